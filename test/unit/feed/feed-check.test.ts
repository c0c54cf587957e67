/**
 * tools/feed-check.ts over a tree that looks to it like an OpenWrt buildroot: GNU make reads the feed's real Makefiles, by as
 * little of OpenWrt's rules as they ask for. What is broken is broken in the tree, and the check has to see it in the feed.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';

const ROOT = join(import.meta.dirname, '../../..');
const MISSING = ['make', 'perl'].find((tool) => spawnSync(tool, ['--version']).error !== undefined);

/** What our packages and image seeds want of others: `node` is in a feed that was updated, and nobody installed it. */
const OTHERS = [
  ...['kmod-batman-adv', 'libbpf', 'libpthread', 'libstdcpp', 'luci', 'luci-base', 'procd-ujail', 'rpcd-mod-ucode'],
  ...['kmod-ath10k', 'ath10k-firmware-qca4019', 'ath10k-firmware-qca9888'],
  ...['ucode-mod-fs', 'ucode-mod-socket', 'ucode-mod-uci', 'wpad-basic-mbedtls', 'wpad-mesh-mbedtls', 'yggdrasil'],
];

type Tree = Record<string, string>;

const packagesOf = (names: readonly string[]): string =>
  [
    'include $(TOPDIR)/rules.mk',
    'include $(INCLUDE_DIR)/package.mk',
    ...names.map((name) => `$(eval $(call BuildPackage,${name}))`),
    '',
  ].join('\n');

const GOOD: Tree = {
  'rules.mk': 'INCLUDE_DIR:=$(TOPDIR)/include\nHOST_ARCH:=x86_64\nARCH:=x86_64\n',
  'include/package.mk': `all: ;@:
define BuildPackage
$(eval DEPENDS:=)$(eval USERID:=)$(eval $(Package/$(1)))$(info Package: $(1)
Depends: $(DEPENDS)
$(if $(USERID),Require-User: $(USERID)
)@@
)
endef
`,
  'include/bpf.mk': 'BPF_DEPENDS:=@HAS_BPF_TOOLCHAIN\n',
  'include/scan.mk': `all:
	@: >tmp/.$(SCAN_TARGET)
	@find -L $(SCAN_DIR) -name Makefile | sort | while read -r file; do dir=$\${file%/Makefile}; \\
	  if $(MAKE) --no-print-directory -r -C "$$dir" TOPDIR=$(TOPDIR) >tmp/one 2>&1; then cat tmp/one >>tmp/.$(SCAN_TARGET); \\
	  else mkdir -p "logs/$$dir"; mv tmp/one "logs/$$dir/dump.txt"; echo "ERROR: please fix $$dir/Makefile" >&2; fi; done
`,
  'feeds/luci/luci.mk': `include $(INCLUDE_DIR)/package.mk
LUCI_NAME:=$(notdir $(CURDIR))
define Package/$(LUCI_NAME)
  DEPENDS:=$(LUCI_DEPENDS)
endef
$(eval $(call BuildPackage,$(LUCI_NAME)))
`,
  'feeds/node.index': 'Source-Makefile: feeds/node/node/Makefile\nPackage: node\nDepends: +libstdcpp\n@@\n',
  'feeds/node/node/Makefile': packagesOf(['node']),
  'package/others/Makefile': packagesOf(OTHERS),
  'scripts/package-metadata.pl': `my ($command, $info) = @ARGV;
my ($name, %depends, %user);
open(my $in, '<', $info) or die "Can't open $info";
while (<$in>) {
  chomp;
  if (/^Package: (.*)/) { $name = $1; $depends{$name} = ''; }
  elsif (/^Depends: (.*)/) { $depends{$name} = $1; }
  elsif (/^Require-User: (\\w+)=(\\d+)/) { $user{$1} = $2; }
}
for $name (sort keys %depends) {
  print "config PACKAGE_$name\\n" if $command eq 'config';
  next if $command ne 'mk';
  for (split ' ', $depends{$name}) {
    next if /@/;
    s/^\\+//; s/^.*://;
    warn "WARNING: Makefile 'package/feeds/x0tta6bl4/$name/Makefile' has a dependency on '$_', which does not exist\\n" unless exists $depends{$_};
  }
}
if ($command eq 'usergroup') { print "user $_ $user{$_} Makefile\\n" for keys %user; }
`,
  'scripts/target-metadata.pl': '',
  'scripts/feeds': '#!/bin/sh\n',
  // Of Kconfig: a package that no menu has is dropped.
  'scripts/config/conf': `#!/bin/sh
while IFS= read -r line; do
  name=$(expr "$line" : 'CONFIG_PACKAGE_\\(.*\\)=y$')
  [ -z "$name" ] || grep -qx "config PACKAGE_$name" tmp/.config-package.in || continue
  printf '%s\\n' "$line"
done <.config >.new && mv .new .config
`,
  'target/linux/x86/image/generic.bootscript': '',
  'target/linux/bcm27xx/README': '',
  'target/linux/mediatek/README': '',
  'target/linux/ipq40xx/README': '',
};

function plant(t: TestContext, tree: Tree): string {
  const top = mkdtempSync(join(tmpdir(), 'x0-tree-'));
  t.after(() => rmSync(top, { recursive: true }));
  for (const [file, text] of Object.entries(tree)) {
    mkdirSync(join(top, dirname(file)), { recursive: true });
    writeFileSync(join(top, file), text, { mode: 0o755 });
  }
  return top;
}

function feedCheck(tree: string): { readonly status: number | null; readonly out: string; readonly failed: string[] } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['tools/feed-check.ts', tree], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const failed = stdout.split(/^ {2}FAILED feed: /m).slice(1);
  return { status, out: stdout + stderr, failed };
}

/** All that is wrong with a tree, but for what is `expected`, is the test's own mistake. */
function fails(t: TestContext, change: (tree: Tree) => void, expected: readonly RegExp[]): void {
  const tree = { ...GOOD };
  change(tree);
  const { status, out, failed } = feedCheck(plant(t, tree));
  assert.equal(status, 1, out);
  assert.match(out, /\nfail\n$/);
  for (const one of expected)
    assert.ok(
      failed.some((line) => one.test(line)),
      `${one} in:\n${out}`,
    );
  for (const line of failed)
    assert.ok(
      expected.some((one) => one.test(line)),
      `unforeseen: ${line}`,
    );
}

describe('feed-check', { skip: MISSING !== undefined && `${MISSING} is missing` }, () => {
  test('a tree that has all of it passes, nothing is skipped, and nothing in it is changed', (t) => {
    const top = plant(t, GOOD);
    const { status, out } = feedCheck(top);
    assert.equal(status, 0, out);
    assert.match(out, /\n\d\d passed, 0 failed, 0 skipped\npass\n$/);
    assert.deepEqual(readdirSync(top).sort(), ['feeds', 'include', 'package', 'rules.mk', 'scripts', 'target']);
    for (const [file, text] of Object.entries(GOOD)) assert.equal(readFileSync(join(top, file), 'utf8'), text);
  });

  test('a Makefile that cannot be read fails', (t) => {
    fails(t, (tree) => delete tree['include/bpf.mk'], [
      /^x0tta6bl4-bpf: its Makefile can be read: [\s\S]*bpf\.mk: No such file/,
      /^x0tta6bl4-bpf: in the menus: not there/,
    ]);
  });

  test('a dependency that no feed has fails, by the words of the tools and by name', (t) => {
    fails(
      t,
      (tree) => {
        tree['package/others/Makefile'] = packagesOf(OTHERS.filter((name) => name !== 'libbpf'));
      },
      [/^package-metadata\.pl mk has nothing to say of us: WARNING: .*'libbpf'/, /^libbpf: is there: no feed/],
    );
  });

  test('a line of a seed that defconfig drops fails, in each profile that has it', (t) => {
    fails(
      t,
      (tree) => {
        const keep = `printf '%s\\n' "$line"`;
        tree['scripts/config/conf'] = tree['scripts/config/conf']!.replace(
          keep,
          `case $line in CONFIG_NODEJS_24=y) ;; *) ${keep} ;; esac`,
        );
      },
      [/^profile [\w-]+: defconfig drops CONFIG_NODEJS_24=y\n/],
    );
  });

  test('a tree that cannot be scanned, or whose tools end with a failure, fails', (t) => {
    fails(t, (tree) => Object.assign(tree, { 'include/scan.mk': 'all:\n\t@echo no >&2; exit 1\n' }), [
      /can be scanned: no/,
    ]);
    fails(
      t,
      (tree) => {
        tree['scripts/package-metadata.pl'] =
          `die "no licences\\n" if $ARGV[0] eq 'license';\n${tree['scripts/package-metadata.pl']}`;
      },
      [/^package-metadata\.pl license [\s\S]*no licences/],
    );
  });

  test('what is no buildroot is refused with the usage', (t) => {
    const { status, out } = feedCheck(plant(t, { 'rules.mk': '' }));
    assert.equal(status, 2);
    assert.match(out, /^usage: make feed-check OPENWRT=DIR, .* is none$/m);
  });
});
