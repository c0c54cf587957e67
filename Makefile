# x0tta6bl4. Every target brings what it lacks (tools/setup.sh), says what it does, and asks nothing.
NODE := tools/node

.DEFAULT_GOAL := help
.PHONY: run test soak check native bpf bench lint format build release feed-check clean help

run:    ## boot five routers, each with its agent; cut a link in use; show the repair
	@tools/setup.sh lab
	@$(NODE) tools/run/main.ts

test:   ## everything that proves it, with one summary
	@tools/setup.sh test
	@$(NODE) tools/test.ts all

soak:   ## every lab suite, also the long ones: every class of faults, radios and WireGuard in QEMU
	@tools/setup.sh soak
	@$(NODE) tools/test.ts soak

check:  ## the quick part: types, lint, direction of imports, generated files, unit tests but the longest
	@tools/setup.sh base
	@$(NODE) tools/test.ts quick

native: ## the native part under every compiler, sanitizers and valgrind (minutes)
	@tools/setup.sh native
	@$(NODE) tools/native.ts

bpf:    ## the XDP programs, for both byte orders, with and without timers (takes clang)
	@tools/setup.sh bpf
	@$(NODE) tools/bpf.ts

bench:  ## every figure of the README, measured here (half an hour and more)
	@tools/setup.sh lab
	@$(NODE) tools/bench/main.ts

lint:   ## types, lint, direction of imports
	@tools/setup.sh base
	@$(NODE) node_modules/typescript/bin/tsc --noEmit
	@$(NODE) node_modules/@biomejs/biome/bin/biome check .
	@$(NODE) tools/structure.ts

format: ## put the sources in form, write what is generated
	@tools/setup.sh base
	@$(NODE) node_modules/@biomejs/biome/bin/biome check --write .
	@$(NODE) tools/generate.ts

build:  ## native part and the bundles dist/x0d.mjs, dist/x0ctl.mjs
	@tools/setup.sh base
	@$(NODE) tools/build.ts

release: ## the archive that OpenWrt's packages build from, without a network, and the feed that knows its hash: dist/release/
	@tools/setup.sh base
	@$(NODE) tools/release.ts

feed-check: ## OpenWrt's own tools over openwrt-feed/: make feed-check OPENWRT=DIR, an OpenWrt buildroot
	@tools/setup.sh base
	@$(NODE) tools/feed-check.ts $(OPENWRT)

clean:  ## what was built; packages and Node stay
	@rm -rf dist bpf/build native/build tools/lab/build .cache

help:   ## this
	@sed -n 's/^\([a-z-]*\): *## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20
