#!/bin/bash
# Brings what the project needs on a Debian machine, and does nothing where it is all there:
#
#     tools/setup.sh base    a C compiler, Node, the npm packages, the native part, the bundles
#     tools/setup.sh lab     base, and what boots kernels with batman-adv in them (user-mode Linux)
#     tools/setup.sh test    lab, and what the tests compare with (promtool), shellcheck, busybox, a browser (chromium)
#     tools/setup.sh soak    test, and what boots Debian's own kernel (QEMU), for radios and WireGuard; other processors
#     tools/setup.sh bpf     base, and the compiler of the XDP programs (clang)
#     tools/setup.sh native  base, and the compilers and checkers that tools/native.ts runs over the native part
#
# Debian packages come through apt, as root or with sudo where it asks for no password. Says on stderr what it is doing;
# ends with one sentence and exit code 1 when something is missing that it cannot bring. Some packages can be done
# without: then it says what is lost, goes on, and tries no failed one again (`make clean` lets it).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export PATH=$PATH:/usr/sbin:/sbin

NODE_VERSION=24.21.0
need=${1:-base}
say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'x0tta6bl4: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null; }
case $need in base | bpf | lab | test | soak | native) ;; *) fail "tools/setup.sh takes base, bpf, lab, test, soak or native, not $need." ;; esac
soak=
[ "$need" != soak ] || { soak=1 need=test; }

# Two of us at once would install into each other.
mkdir -p .cache 2>/dev/null && { [ ! -e .cache/setup.lock ] || [ -w .cache/setup.lock ]; } && [ -w .cache ] ||
  fail "this checkout belongs to $(stat -c %U .cache 2>/dev/null || stat -c %U .), and $(id -un) may not write into it: run make as that user, or in a clone of your own."
exec 9>.cache/setup.lock
flock -n 9 || { say 'waiting for another setup to finish'; flock 9; }

# Debian packages, told by what they bring: a program may as well have come from elsewhere.
packages=()
wants() { have "$1" || packages+=("$2"); }
wants cc gcc
wants make make
[ -e /usr/include/stdio.h ] || packages+=(libc6-dev)
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
wants node nodejs
wants npm npm
if [ "$need" = lab ] || [ "$need" = test ]; then
  wants linux.uml user-mode-linux
  wants modprobe kmod
  wants ip iproute2
  wants batctl batctl
fi
[ "$need" != test ] || wants promtool prometheus
if [ "$need" = test ]; then
  wants shellcheck shellcheck
  wants busybox busybox
  wants chromium chromium
fi

if [ "$(id -u)" = 0 ]; then root=(env); elif have sudo && sudo -n true 2>/dev/null; then root=(sudo -n env); else root=(); fi
apt_install() { "${root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends "$@" >&2; }
# The lists may be old or absent; they are fetched only when that shows.
install() { apt_install "$@" || { say 'fetching the package lists' && "${root[@]}" apt-get update -q >&2 && apt_install "$@"; }; }

if [ ${#packages[@]} -gt 0 ]; then
  list="${packages[*]}"
  have apt-get || fail "missing: ${list// /, } (the names of Debian's packages; this machine has no apt)."
  [ ${#root[@]} -gt 0 ] ||
    fail "these Debian packages are missing and only root can install them: ${list// /, } (apt-get install $list)."
  say "installing the Debian packages ${list// /, }"
  # What brings a daemon (prometheus) must not start it.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap '"${root[@]}" rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null
    "${root[@]}" chmod 755 $policy
  fi
  install "${packages[@]}" || fail "apt could not install ${list// /, }."
fi

# What can be done without: does it exist, what is lost, the packages that bring it.
may_have() {
  [ ! -e "$1" ] && ! have "$1" || return 0
  local lost=$2 tried=.cache/without-${1##*/}
  shift 2
  if [ ! -e "$tried" ] && have apt-get && [ ${#root[@]} -gt 0 ]; then
    say "installing the Debian packages $*"
    install "$@" && return 0
    touch "$tried"
  fi
  say "going on without $*: $lost"
}
may_have /usr/include/bpf/libbpf.h 'the native part will not load BPF objects' libbpf-dev
if [ "$need" != base ]; then
  may_have clang 'there will be no XDP programs, and a packet socket counts instead' clang
  may_have llvm-objcopy 'there will be no XDP programs, and a packet socket counts instead' llvm
fi
if [ -n "$soak" ]; then
  lost='the suites that need radios or WireGuard are skipped'
  may_have qemu-system-x86_64 "$lost" qemu-system-x86
  may_have busybox "$lost" busybox-static
  may_have iw "$lost" iw
  may_have wg "$lost" wireguard-tools
  may_have aarch64-linux-gnu-g++ 'nothing is compiled for aarch64' g++-aarch64-linux-gnu
  may_have arm-linux-gnueabihf-g++ 'nothing is compiled for armv7' g++-arm-linux-gnueabihf
  may_have qemu-aarch64 'the unit tests do not run on aarch64' qemu-user
fi
if [ "$need" = native ]; then
  lost='tools/native.ts skips it'
  may_have musl-gcc "$lost" musl-tools
  may_have aarch64-linux-gnu-gcc "$lost" gcc-aarch64-linux-gnu libc6-dev-arm64-cross
  may_have /usr/aarch64-linux-gnu/lib/libstdc++.so.6 "$lost" libstdc++6-arm64-cross
  may_have arm-linux-gnueabihf-gcc "$lost" gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
  may_have qemu-aarch64 "$lost" qemu-user
  may_have valgrind "$lost" valgrind
fi

# Node: the one on PATH, or the project's own. tools/node knows which.
if ! tools/node --version >/dev/null 2>&1; then
  say "fetching Node $NODE_VERSION into .node (this machine's is older than 22.13)"
  npm install --prefix .node --no-fund --no-audit --save-exact --loglevel=error "node@$NODE_VERSION" >&2 || fail "npm could not fetch Node $NODE_VERSION."
  tools/node --version >/dev/null || fail "Node $NODE_VERSION from npm does not run on this machine."
fi

stamp=$(sha256sum <package-lock.json)
if [ "$(cat node_modules/.setup 2>/dev/null)" != "$stamp" ]; then
  say 'fetching the npm packages'
  # Not `npm ci`: it refuses the lock where a registry lacks optional packages of platforms other than this one. No
  # install scripts: what we use brings its binaries in the package, and compiling instead would need the network.
  npm install --no-save --ignore-scripts --no-fund --no-audit --loglevel=error >&2 || fail 'npm could not fetch the packages of package-lock.json.'
  printf '%s\n' "$stamp" >node_modules/.setup
fi

# make tells by itself what is up to date.
build() {
  make -q -C "$1" >/dev/null 2>&1 || { say "building $1" && make -s -C "$1" >&2; } || fail "$1 could not be built."
}
[ ! -e native/Makefile ] || build native
# What is asked by ICMP, if anybody wants that; nothing else needs it. It is not tried again and again.
if [ ! -e node_modules/raw-socket/build/Release/raw.node ] && [ ! -e .cache/without-raw-socket ]; then
  tools/node tools/raw-socket.ts >&2 || { touch .cache/without-raw-socket && say 'going on without raw-socket: round-trip times by ICMP are not measured'; }
fi
# The XDP programs, where there is what compiles them; nothing else needs it.
if have clang && have llvm-objcopy && [ -e /usr/include/bpf/bpf_helpers.h ] &&
  { [ ! -e bpf/build/manifest.json ] || [ -n "$(find bpf tools/bpf.ts -newer bpf/build/manifest.json -not -path 'bpf/build*' -type f -print -quit)" ]; }; then
  say 'compiling the XDP programs'
  tools/node tools/bpf.ts >&2 || fail 'the XDP programs could not be compiled.'
fi
if [ -e tools/build.ts ] && { [ ! -e dist/x0d.mjs ] || [ -n "$(find agent tools/build.ts package-lock.json -newer dist/x0d.mjs -print -quit)" ]; }; then
  say 'bundling the agent'
  tools/node tools/build.ts >&2 || fail 'the agent could not be bundled.'
fi

if [ "$need" = lab ] || [ "$need" = test ]; then
  build tools/lab
  if [ -n "$soak" ] && have qemu-system-x86_64 && [ ! -d .cache/qemu/lib/modules ]; then
    tools/node -e 'import("./tools/lab/qemu.ts").then((qemu) => qemu.fetchKernel((text) => console.error(`setup: ${text}`)))
      .catch((error) => { console.error(`setup: ${error.message.split("\n")[0]}`); process.exit(1); })' ||
      say "going on without Debian's kernel for QEMU: the suites that need it are skipped"
  fi
  for modules in /usr/lib/uml/modules/*; do
    [ -e ".cache/uml/lib/modules/${modules##*/}/modules.dep.bin" ] || { say "indexing the lab kernel's modules" &&
      tools/node -e 'import("./tools/lab/uml.ts").then((uml) => uml.prepareLab())'; } || fail 'the kernel modules could not be indexed.'
  done
fi
