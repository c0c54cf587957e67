/** What openwrt-feed/README.md tells people to do is there to be done. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';

const FEED = join(import.meta.dirname, '../../../openwrt-feed');
const PAGE = readFileSync(join(FEED, 'README.md'), 'utf8');

test('every package and every profile has its row, and no other has', () => {
  const rows = [...PAGE.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name!).sort();
  const packages = globSync('*/Makefile', { cwd: FEED }).map(dirname);
  const profiles = globSync('profiles/*.config', { cwd: FEED }).map((file) => basename(file, '.config'));
  assert.deepEqual(rows, [...packages, ...profiles].sort());
});

test('every profile takes what a mesh needs', () => {
  for (const file of globSync('profiles/*.config', { cwd: FEED })) {
    const text = readFileSync(join(FEED, file), 'utf8');
    const names = ['x0tta6bl4', 'x0tta6bl4-sqlite', 'node', 'procd-ujail', 'wpad-mesh-mbedtls'];
    // LuCI's collection has the web server: an app depends on luci-base alone.
    for (const name of [...names, 'luci', 'luci-app-x0tta6bl4'])
      assert.ok(text.includes(`\nCONFIG_PACKAGE_${name}=y\n`), `${file}: ${name}`);
    assert.equal([...text.matchAll(/^CONFIG_TARGET_\w+_DEVICE_[\w-]+=y$/gm)].length, 1, file);
  }
});

/** What rc.common gives every service. */
const OF_ALL = ['start', 'stop', 'restart', 'reload', 'enable', 'disable'];

test('the commands are those of the init script, the feed that of need-node.sh', () => {
  const service = readFileSync(join(FEED, 'x0tta6bl4/files/x0tta6bl4.init'), 'utf8');
  const extra = /^EXTRA_COMMANDS="(.*)"$/m.exec(service)![1]!.split(' ');
  for (const [, command] of PAGE.matchAll(/\/etc\/init\.d\/x0tta6bl4 (\w+)/g))
    assert.ok([...extra, ...OF_ALL].includes(command!), command);
  assert.ok(readFileSync(join(FEED, 'need-node.sh'), 'utf8').includes(/src-git node (\S+);/.exec(PAGE)![1]!));
});
