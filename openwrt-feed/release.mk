# The release that this feed builds. Written by tools/release.ts.
X0_VERSION:=0.1.0
X0_URL:=
X0_HASH:=skip
