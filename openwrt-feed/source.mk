# Included by every package of this feed: where the sources come from, and how they lie in the build directory.
#
# In a checkout of x0tta6bl4 they are the checkout's own, with the npm packages that tools/setup.sh has put there; where the
# feed stands alone they are the release's archive, which brings those packages along (vendor/, with SHA-512 sums).

X0_FEED:=$(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
X0_TREE:=$(patsubst %/,%,$(dir $(X0_FEED)))
X0_LOCAL:=$(if $(wildcard $(X0_TREE)/agent/daemon.ts),1)

include $(X0_FEED)/release.mk

PKG_VERSION:=$(X0_VERSION)
PKG_RELEASE?=1
PKG_MAINTAINER:=The x0tta6bl4 developers
PKG_LICENSE:=Apache-2.0
PKG_LICENSE_FILES:=LICENSE
# The archive's own folder lies in one of this package's.
PKG_BUILD_DIR:=$(BUILD_DIR)/$(PKG_NAME)-$(PKG_VERSION)/x0tta6bl4-$(PKG_VERSION)

# What a build reads; a change in a checkout builds anew.
X0_SOURCES:=LICENSE package.json package-lock.json tsconfig.json agent native bpf tools/build.ts tools/bpf.ts tools/node

ifeq ($(X0_LOCAL),1)
  PKG_FILE_DEPENDS:=$(addprefix $(X0_TREE)/,agent native bpf package-lock.json tools/build.ts) $(X0_FEED)/source.mk

  # X0_MODULES: the npm packages that this one is built with.
  define Build/Prepare
	@$(foreach module,$(X0_MODULES),[ -e "$(X0_TREE)/node_modules/$(module)" ] || \
	  { echo "x0tta6bl4: the npm package $(module) is missing in $(X0_TREE)/node_modules; run tools/setup.sh base there." >&2; exit 1; };)
	mkdir -p $(PKG_BUILD_DIR)
	tar -C $(X0_TREE) -c --exclude=build $(X0_SOURCES) $(addprefix node_modules/,$(X0_MODULES)) | tar -C $(PKG_BUILD_DIR) -x
  endef
else
  PKG_SOURCE:=x0tta6bl4-$(X0_VERSION).tar.gz
  PKG_SOURCE_URL:=$(X0_URL)
  PKG_HASH:=$(X0_HASH)

  # 'skip' would build whatever lies in dl/ under that name. Reading the feed and cleaning up go without.
  ifneq ($(filter download prepare compile,$(MAKECMDGOALS)),)
    ifeq ($(shell echo '$(X0_HASH)' | grep -xE '[0-9a-f]{64}'),)
      $(error x0tta6bl4: this feed stands alone, and X0_HASH in $(X0_FEED)/release.mk is not the SHA-256 of $(PKG_SOURCE). \
        Take the feed that 'make release' makes beside that archive, which has it, or set X0_HASH to what 'sha256sum' says of the archive that you trust)
    endif
  endif

  define Build/Prepare
	$(call Build/Prepare/Default)
	cd $(PKG_BUILD_DIR)/vendor && sha512sum -c --quiet SHA512SUMS
	$(foreach module,$(X0_MODULES),mkdir -p $(PKG_BUILD_DIR)/node_modules/$(module) && \
	  tar -C $(PKG_BUILD_DIR)/node_modules/$(module) -xzf $(PKG_BUILD_DIR)/vendor/$(subst /,+,$(module)).tgz --strip-components=1 &&) :
  endef
endif

# The router's libc and CPU by the names that npm packages use.
X0_CPU:=$(subst aarch64,arm64,$(subst x86_64,x64,$(subst i386,ia32,$(ARCH))))
