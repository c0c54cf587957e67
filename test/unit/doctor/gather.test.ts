import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gather, processes } from '../../../agent/ctl/doctor/gather.ts';
import { edge } from '../../../agent/ctl/edge.ts';
import { noRouter, Router } from '../feed/root.ts';

function root(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  links: Readonly<Record<string, string>> = {},
): string {
  const at = mkdtempSync(join(tmpdir(), 'x0doctor-'));
  t.after(() => rmSync(at, { recursive: true, force: true }));
  for (const path of [...Object.keys(files), ...Object.keys(links)])
    mkdirSync(dirname(join(at, path)), { recursive: true });
  for (const [path, text] of Object.entries(files)) writeFileSync(join(at, path), text);
  for (const [path, to] of Object.entries(links)) symlinkSync(to, join(at, path));
  return at;
}

const words = (...all: string[]) => `${all.join('\0')}\0`;
const status = (uid: number, capabilities: string) =>
  `Name:\tnode\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapEff:\t${capabilities}\n`;
/** Began 1000 s after a boot at 1763000000. */
const STAT = '100 (node (x) y) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100000 0';

test('agents in this namespace, by what their words and their status say', (t) => {
  const at = root(
    t,
    {
      '/proc/stat': 'cpu 1 2 3\nbtime 1763000000\n',
      '/proc/100/cmdline': words(
        '/usr/bin/node',
        '--no-opt',
        '/usr/lib/x0tta6bl4/x0d.mjs',
        '--config',
        '/etc/config/one',
      ),
      '/proc/100/status': status(453, '0000000000803000'),
      '/proc/100/stat': STAT,
      '/proc/101/cmdline': words('node', 'x0d.mjs', '--config=/etc/config/two'),
      '/proc/101/status': status(0, '000001ffffffffff'),
      '/proc/102/cmdline': words('sh', '-c', 'node x0d.mjs'),
      '/proc/103/cmdline': words('/usr/bin/node', '/usr/lib/x0tta6bl4/x0d.mjs'),
      '/proc/104/cmdline': words('vi', 'x0d.mjs'),
      '/proc/105/cmdline': '',
      '/proc/self/x': '',
      '/usr/lib/x0tta6bl4/x0d.mjs': '',
    },
    {
      '/proc/self/ns/net': 'net:[1]',
      '/proc/100/ns/net': 'net:[1]',
      '/proc/101/ns/net': 'net:[1]',
      '/proc/103/ns/net': 'net:[2]',
    },
  );
  const found = processes(edge(at));
  assert.deepEqual(
    found.map(({ pid, uid, config, capabilities }) => [pid, uid, config, capabilities]),
    [
      [100, 453, '/etc/config/one', 0x803000n],
      [101, 0, '/etc/config/two', 0x1ffffffffffn],
    ],
  );
  // The program that this test wrote is younger than a process of 2025.
  assert.equal(found[0]!.replaced, true);
  assert.equal(found[1]!.replaced, false, 'a program of no known place');
});

test('a configuration that is no file, or not for us to read, is not taken for an empty one', async (t) => {
  const at = root(t, {
    '/etc/config/x0tta6bl4': "config mesh 'mesh'\n",
    '/etc/config/folder/x': '',
    '/etc/config/empty': '',
    '/etc/config/words': '# nothing yet\n\n',
    '/etc/config/bad': '# nothing yet\noption',
  });
  const found = async (configFile: string, read = edge(at).read) => {
    const facts = await gather({
      edge: { ...edge(at), read, run: () => Promise.resolve(null) },
      configFile,
      version: '0',
      scan: false,
      agent: () => ({ get: () => Promise.reject(new Error('no')), post: () => Promise.reject(new Error('no')) }),
    });
    return facts.config;
  };
  const unread = async (...asked: Parameters<typeof found>) => (await found(...asked)).unread;
  assert.equal(await unread('/etc/config/x0tta6bl4'), null);
  assert.equal(await unread('/etc/config/empty'), null);
  assert.equal(await unread('/etc/config/nowhere'), null);
  assert.equal(await unread('/etc/config/folder'), 'no file');
  assert.equal(await unread('/etc/config/x0tta6bl4', () => ''), 'denied');
  const empty = [];
  for (const name of ['x0tta6bl4', 'empty', 'words', 'bad', 'nowhere', 'folder'])
    empty.push((await found(`/etc/config/${name}`)).isEmpty);
  assert.deepEqual(empty, [false, true, true, false, false, false]);
  assert.equal((await found('/etc/config/x0tta6bl4', () => '')).isEmpty, false);
});

test('facts of a router that has next to nothing, and of files that are none', async (t) => {
  const at = root(t, {
    '/etc/config/x0tta6bl4': '\x00\xff not UCI',
    '/etc/config/wireless':
      "config wifi-iface 'm'\n\toption mode 'mesh'\n\toption mesh_id 'free net'\n\toption device 'radio0'\nconfig wifi-device 'radio0'\n\toption disabled '1'\n",
    '/etc/config/network': "config interface 'm'\n\toption proto 'batadv_hardif'\n\toption device 'wlan0'\n",
    '/etc/openwrt_release': '',
    '/usr/bin/apk': '',
    '/proc/meminfo': 'MemTotal: 250000 kB\nMemAvailable: 9000 kB\n',
    '/proc/sys/kernel/osrelease': '6.6.1\n',
    '/lib/modules/6.6.1/batman-adv.ko': '',
    '/etc/x0tta6bl4/node.key': '',
  });
  const facts = await gather({
    edge: { ...edge(at), run: () => Promise.resolve(null) },
    configFile: '/etc/config/x0tta6bl4',
    version: '0',
    scan: false,
    agent: () => ({ get: () => Promise.reject(new Error('no')), post: () => Promise.reject(new Error('no')) }),
  });
  assert.equal(facts.config.exists, true);
  assert.ok(facts.config.problems.length > 0);
  assert.equal(facts.system.packages, 'apk');
  assert.deepEqual([facts.system.availableKib, facts.system.totalKib], [9000, 250_000]);
  assert.deepEqual(facts.config.mesh.hard, ['wlan0']);
  assert.deepEqual(facts.wireless, [
    { section: 'm', meshId: 'free net', encryption: '', disabled: true, sealed: 'no' },
  ]);
  assert.deepEqual(
    facts.state.keys.map(({ path }) => path),
    ['/etc/x0tta6bl4/node.key'],
  );
  assert.ok(facts.state.freeKib! > 0);
  assert.deepEqual(facts.silence, { code: 'E_AGENT_UNREACHABLE', message: 'no' });
  assert.deepEqual(facts.agents, []);
});

test('the password of a radio: as setup makes it from mesh.key, or not', { skip: noRouter() }, async (t) => {
  const key = 'Schlüssel für’s Netz der Gasse';
  const router = new Router();
  const made = router.sh(`. /usr/lib/x0tta6bl4/setup.sh; x0_password "${key}"`).out.trim();
  assert.match(made, /^[0-9a-f]{32}$/);
  const wifi = (name: string, more = '') => `config wifi-iface '${name}'\n\toption mode 'mesh'\n${more}`;
  const facts = await gather({
    edge: {
      ...edge(
        root(t, {
          '/etc/config/x0tta6bl4': `config mesh 'mesh'\n\toption key '${key}'\n`,
          '/etc/config/wireless': [
            wifi('a', `\toption key '${made}'\n`),
            wifi('b'),
            wifi('c', "\toption key 'x'\n"),
          ].join(''),
        }),
      ),
      run: () => Promise.resolve(null),
    },
    configFile: '/etc/config/x0tta6bl4',
    version: '0',
    scan: false,
    agent: () => ({ get: () => Promise.reject(new Error('no')), post: () => Promise.reject(new Error('no')) }),
  });
  assert.deepEqual(
    facts.wireless.map(({ sealed }) => sealed),
    ['by mesh.key', 'no', 'otherwise'],
  );
  assert.ok(!JSON.stringify(facts.wireless).includes(made));
});

test('programs are those of the PATH, and none of the directory that x0ctl was called in', (t) => {
  const at = root(t, { '/x0-not-a-program': '#!/bin/sh\necho run >ran\n' });
  chmodSync(join(at, 'x0-not-a-program'), 0o755);
  const script = `import { edge } from '${join(import.meta.dirname, '../../../agent/ctl/edge.ts')}';
    console.log(await edge().run('x0-not-a-program', []), (await edge().run('echo', ['well']))?.trim());`;
  // How this Node is told to strip types, where it has to be told.
  const { NODE_OPTIONS } = process.env;
  const flags = NODE_OPTIONS === undefined ? {} : { NODE_OPTIONS };
  for (const env of [{}, { PATH: '' }, { PATH: ':/bin::' }]) {
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: at,
      env: { ...env, ...flags },
    });
    assert.equal(String(stdout).trim(), 'null well', JSON.stringify(env));
    assert.ok(!existsSync(join(at, 'ran')));
  }
});
