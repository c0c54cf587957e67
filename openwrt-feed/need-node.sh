#!/bin/sh
# need-node.sh TOPDIR: says what to do where this OpenWrt build has no Node for the router, or one too old, and fails.
#
# A dependency that cannot be met would only make the package vanish from the menus, without a word.
# shellcheck shell=dash

top=$1
feed="'src-git node https://github.com/nxhack/openwrt-node-packages.git;openwrt-25.12' (or ;openwrt-24.10)"
how="scripts/feeds update node && scripts/feeds uninstall node && scripts/feeds install -p node node"

# The newest of all packages called node that are for the device; feeds may each have one. "Build-Only" is for the host.
version=$(awk '
	/^Package: / { name = $2; version = ""; host = 0 }
	/^Version: / { version = $2 }
	/^Build-Only: / { host = 1 }
	/^@@/ { if (name == "node" && version != "" && !host) print version; name = "" }
' "$top/tmp/.packageinfo" 2>/dev/null | sort -t. -k1,1n -k2,2n | tail -n 1)

fail() {
	echo "x0tta6bl4: $*" >&2
	exit 1
}

[ -n "$version" ] || fail "no package 'node' for routers is known here: x0tta6bl4 needs Node 22.13 or newer. Add $feed to feeds.conf, then $how."
major=${version%%.*}
rest=${version#*.}
minor=${rest%%.*}
{ [ "$major" -gt 22 ] || { [ "$major" -eq 22 ] && [ "$minor" -ge 13 ]; }; } 2>/dev/null ||
	fail "the package 'node' here is $version, and x0tta6bl4 needs Node 22.13 or newer. Add $feed to feeds.conf, then $how."
grep -q '^CONFIG_PACKAGE_node=[ym]' "$top/.config" ||
	fail "Node $version is known here, but not selected for this target (CONFIG_PACKAGE_node): its CPU may lack a floating point unit, or another feed's 'node' hides it; $how."
