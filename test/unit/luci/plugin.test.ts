/** The plugin of rpcd: its table against the API, its stand-in, and where there is ucode the plugin itself against bad servers. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serveControl } from '../../../agent/host/control.ts';
import { native } from '../../../agent/host/native.ts';
import { answer, CALLS } from '../../../agent/report/api.ts';
import { Metrics } from '../../../agent/report/metrics.ts';
import { APP } from '../../../tools/luci/artefacts.ts';
import { METHODS, OBJECT } from '../../../tools/luci/methods.ts';
import { openPlugin, type Plugin, refusal, ucode } from '../../../tools/luci/plugin.ts';
import { sources } from '../report/fixture.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const noUcode = ucode() === null ? 'no ucode with its socket module is installed (X0_UCODE)' : false;

interface Failed {
  readonly error: { readonly code: string; readonly message: string };
}

function place(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'x0-ubus-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'ctl.sock');
}

function plugin(t: TestContext, socket: string): Plugin {
  const opened = openPlugin(socket);
  t.after(() => opened.close());
  return opened;
}

test('each method asks a call that there is, and what changes something is under another ACL', () => {
  const acl = JSON.parse(readFileSync(join(ROOT, APP, 'root/usr/share/rpcd/acl.d/luci-app-x0tta6bl4.json'), 'utf8'));
  const { read, write } = acl['luci-app-x0tta6bl4'];
  for (const { name, ask, args, changing = false } of METHODS) {
    assert.equal(read.ubus[OBJECT].includes(name), !changing, name);
    assert.equal(write.ubus[OBJECT].includes(name), changing, name);
    if (ask === undefined) continue;
    const call = CALLS.find(({ method, path }) => method === ask[0] && path.replace('{id}', '') === ask[1]);
    // Not every agent knows identities: then Join says so.
    if (call === undefined && ['identity', 'invite'].includes(name)) continue;
    assert.ok(call, `${name}: there is no ${ask.join(' ')}`);
    if (call.changing) assert.ok(changing, name);
    const known = [...(call.query ?? []), ...(call.body ?? [])].map((one) => one.name);
    for (const { name: arg, goes } of args) assert.ok(goes === 'path' || known.includes(arg), `${name}: ${arg}`);
  }
});

test('who may look at the mesh cannot read its key, which is in the configuration', () => {
  const acl = JSON.parse(readFileSync(join(ROOT, APP, 'root/usr/share/rpcd/acl.d/luci-app-x0tta6bl4.json'), 'utf8'));
  const menu = JSON.parse(readFileSync(join(ROOT, APP, 'root/usr/share/luci/menu.d/luci-app-x0tta6bl4.json'), 'utf8'));
  const { read, write } = acl['luci-app-x0tta6bl4'];
  assert.deepEqual([...Object.keys(read), ...Object.keys(write)], ['ubus', 'ubus']);
  assert.deepEqual(menu['admin/services/x0tta6bl4/settings'].depends.acl, ['luci-app-x0tta6bl4-settings']);
});

test('the archive is made where only root may write: the shell would follow a link of the agent’s', () => {
  const source = readFileSync(join(ROOT, APP, 'root/usr/share/rpcd/ucode/x0tta6bl4.uc'), 'utf8');
  const [, place] = /^const PLACE = '(.*)';$/m.exec(source)!;
  const [, socket] = /^const SOCKET = '(.*)';$/m.exec(source)!;
  assert.match(source, /^const ARCHIVE = PLACE \+ /m);
  assert.notEqual(dirname(socket!), place);
  assert.match(source, /umask 077; mkdir -p \$\{PLACE\};/);
});

test('what stands between ^ and $ in ucode is the whole text, not one line of it, by the flag s', () => {
  const source = readFileSync(join(ROOT, APP, 'root/usr/share/rpcd/ucode/x0tta6bl4.uc'), 'utf8');
  const whole = [...source.matchAll(/\/\^[^\n/]*\$\/(\w*)/g)];
  assert.ok(whole.length > 0);
  for (const [text, flags] of whole) assert.ok(flags!.includes('s'), text);
});

test('what rpcd refuses before a plugin is called', () => {
  const of = (name: string) => METHODS.find((one) => one.name === name);
  assert.equal(refusal(undefined, {}), 3);
  assert.equal(refusal(of('heal_log'), { limit: 5 }), 0);
  for (const args of [{ limit: '5' }, { limit: 1.5 }, { limit: null }, { more: 1 }])
    assert.equal(refusal(of('heal_log'), args), 2);
  assert.equal(refusal(of('explain'), { fault: 7 }), 2);
});

test('every method over the socket of an API; errors name what was wrong', async (t) => {
  const socket = place(t);
  const from = sources();
  const control = serveControl({
    path: socket,
    sources: from,
    metrics: new Metrics(),
    listener: (o) => native().listenUnix(o),
  });
  t.after(() => control.close());
  const { call } = plugin(t, socket);
  for (const { name, ask, args } of METHODS) {
    if (ask?.[0] !== 'GET' || args.some(({ required }) => required)) continue;
    const direct = answer(from, { method: 'GET', url: ask[1], body: '', caller: { name: 'x', mayChange: true } });
    assert.deepEqual(await call(name), JSON.parse(direct.body), name);
  }
  assert.equal(((await call('explain', { fault: 'e1-f1' })) as { fault: string }).fault, 'e1-f1');
  const wrong: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    ['explain', {}, /^fault: /],
    ['explain', { fault: '../../x' }, /^fault: /],
    ['explain', { fault: 'a'.repeat(65) }, /^fault: /],
    // The second request would come from who may only look; this socket lets everybody change things.
    ['explain', { fault: 'e HTTP/1.1\r\nHost:\r\n\r\nPOST /heal/kick HTTP/1.1\r\nHost:\r\n\r\n\na' }, /^fault: /],
    ['explain', { fault: 'e1-f1\n' }, /^fault: /],
    ['explain', { fault: 'e9-f9' }, /no fault e9-f9/],
    ['heal_log', { limit: 0 }, /^limit: /],
    ['heal_log', { limit: 1e9 }, /^limit: /],
    ['set_heal_mode', { mode: '<script>' }, /^mode: /],
    ['set_heal_mode', { mode: 'act', class: '\u0000' }, /^class: /],
    ['config_check', {}, /^text: /],
  ];
  for (const [name, args, expected] of wrong) {
    const { error } = (await call(name, args)) as Failed;
    assert.match(error.message, expected, name);
  }
  assert.deepEqual(from.asked, []);
  await call('set_heal_mode', { mode: 'observe' });
  assert.deepEqual(from.asked.length, 1);
  const text = `config heal 'heal'\n\toption mode 'x'\n${'# ä\n'.repeat(20_000)}`;
  const report = (await call('config_check', { text })) as { valid: boolean };
  assert.equal(report.valid, false, 'a text that does not fit into one packet');
});

test('a configuration on trial: how long yet, and what a person decides reaches the agent', async (t) => {
  const socket = place(t);
  const decided: string[] = [];
  let secondsLeft: number | null = 30;
  const control = serveControl({
    path: socket,
    sources: sources({
      trial: {
        secondsLeft: () => secondsLeft,
        decide(what) {
          decided.push(what);
          return secondsLeft !== null;
        },
      },
    }),
    metrics: new Metrics(),
    listener: (o) => native().listenUnix(o),
  });
  t.after(() => control.close());
  const { call } = plugin(t, socket);
  assert.deepEqual(await call('config_trial'), { version: 1, secondsLeft: 30 });
  assert.equal(((await call('config_confirm')) as { done: boolean }).done, true);
  assert.equal(((await call('config_revert')) as { done: boolean }).done, true);
  assert.deepEqual(decided, ['confirm', 'revert']);
  secondsLeft = null;
  assert.deepEqual(await call('config_trial'), { version: 1, secondsLeft: null });
  assert.deepEqual(await call('config_revert'), {
    version: 1,
    done: false,
    message: 'no changed configuration is on trial',
  });
});

test('where nobody listens that is said', async (t) => {
  const { error } = (await plugin(t, '/nowhere/ctl.sock').call('status')) as Failed;
  assert.equal(error.code, 'E_NOT_RUNNING');
});

/** Servers that no agent is: what each does with a connection, and what the plugin makes of it. */
const BAD: Readonly<Record<string, readonly [does: (socket: Socket) => void, code: string]>> = {
  'ends at once': [(socket) => void socket.end(), 'E_SOCKET'],
  'breaks off in the middle': [
    (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":'),
    'E_SOCKET',
  ],
  'says something else than JSON': [
    (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'),
    'E_SOCKET',
  ],
  'answers with a list': [(socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]'), 'E_SOCKET'],
  'never stops': [
    (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      const more = () => {
        while (socket.writable && socket.write('x'.repeat(65_536)));
      };
      socket.on('drain', more);
      more();
    },
    'E_TOO_LARGE',
  ],
  'says nothing': [() => {}, 'E_TIMEOUT'],
  'says a byte now and then': [
    (socket) => {
      const timer = setInterval(() => socket.write('x'), 100);
      socket.on('close', () => clearInterval(timer));
    },
    'E_TIMEOUT',
  ],
};

test('ucode: a server that is none costs rpcd seconds at most, and is named', { skip: noUcode }, async (t) => {
  await Promise.all(
    Object.entries(BAD).map(async ([what, [does, code]]) => {
      const socket = place(t);
      const server: Server = createServer((connection) => {
        connection.on('error', () => {});
        connection.once('data', () => does(connection));
      });
      await new Promise<void>((resolve) => server.listen(socket, resolve));
      const began = performance.now();
      const { error } = (await plugin(t, socket).call('status')) as Failed;
      assert.equal(error.code, code, what);
      assert.ok(performance.now() - began < 4500, `${what}: ${performance.now() - began} ms`);
      server.close();
    }),
  );
});

test('ucode: a kept connection that the agent ended costs no call, nor does an agent that was started anew', {
  skip: noUcode,
}, async (t) => {
  const socket = place(t);
  let made = 0;
  const begin = () => {
    const http = createHttp({ keepAliveTimeout: 60_000 }, (_, response) => response.end('{"version":1}'));
    http.on('connection', () => {
      made++;
    });
    return new Promise<typeof http>((resolve) => http.listen(socket, () => resolve(http)));
  };
  const { call } = plugin(t, socket);
  const good = async () => assert.deepEqual(await call('status'), { version: 1 });
  let http = await begin();
  for (let i = 0; i < 5; i++) await good();
  assert.equal(made, 1);
  http.closeAllConnections();
  await good();
  assert.equal(made, 2);
  http.close();
  http.closeAllConnections();
  http = await begin();
  await good();
  assert.equal(made, 3);
  http.close();
  http.closeAllConnections();
  assert.equal(((await call('status')) as Failed).error.code, 'E_NOT_RUNNING');
});

test('ucode: an agent that hangs costs rpcd one wait, not one for each question of a page, and is asked again soon', {
  skip: noUcode,
}, async (t) => {
  const socket = place(t);
  let hangs = true;
  let asked = 0;
  const http = createHttp((_, response) => {
    asked++;
    if (!hangs) response.end('{"version":1}');
  });
  await new Promise<void>((resolve) => http.listen(socket, resolve));
  t.after(() => {
    http.close();
    http.closeAllConnections();
  });
  const { call } = plugin(t, socket);
  const began = performance.now();
  for (const method of ['status', 'links', 'nodes', 'gateways', 'heal_log', 'config_trial'])
    assert.equal(((await call(method)) as Failed).error.code, 'E_TIMEOUT', method);
  assert.equal(asked, 1);
  assert.ok(performance.now() - began < 4500, `${performance.now() - began} ms`);
  hangs = false;
  await sleep(4200);
  assert.deepEqual(await call('status'), { version: 1 });
});

/** Why the plugin cannot have an /var/run of the test's own here, or false. */
const noPlace =
  noUcode || (spawnSync('unshare', ['-rm', 'mount', '--bind', tmpdir(), '/run']).status !== 0 && 'no mount namespaces');

test('ucode: an archive that was fetched lies in memory no longer', { skip: noPlace }, async (t) => {
  const [run, bin] = ['run', 'bin'].map((name) => join(dirname(place(t)), name)) as [string, string];
  for (const folder of [run, bin]) mkdirSync(folder);
  const program = (name: string, text: string) =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  // In what it writes to /var/run, and with an x0ctl that a test can hold up.
  const inner = `mount --bind ${run} /run && exec ${ucode()} "$@"`;
  program('ucode', `exec unshare -rm sh -c '${inner}' sh "$@"`);
  program(
    'x0ctl',
    `while [ -e ${bin}/held ]; do sleep 0.05; done; echo said; [ ! -e ${bin}/broken ] && echo archive >"$2"`,
  );
  const before = { X0_UCODE: process.env.X0_UCODE, PATH: process.env.PATH };
  Object.assign(process.env, { X0_UCODE: join(bin, 'ucode'), PATH: `${bin}:${before.PATH}` });
  t.after(() => {
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  });
  const { call } = plugin(t, '/nowhere/ctl.sock');
  const left = (): string[] => readdirSync(join(run, 'x0tta6bl4-diag')).sort();
  const fetched = async (): Promise<{ data?: string; error?: Failed['error'] }> => {
    for (let n = 0; n < 200; n++) {
      const answer = (await call('diag', { step: 'fetch' })) as { waiting?: boolean };
      if (answer.waiting !== true) return answer as object;
      await sleep(20);
    }
    throw new Error('it is said to be under way, and is not');
  };

  assert.equal((await fetched()).error?.code, 'E_NOT_FOUND', 'none was made');
  writeFileSync(join(bin, 'held'), '');
  await call('diag', { step: 'make' });
  assert.deepEqual(await call('diag', { step: 'fetch' }), { waiting: true });
  const second = (await call('diag', { step: 'make' })) as Failed;
  assert.equal(second.error?.code, 'E_BUSY', 'another page does not take it away from who waits for it');
  assert.match(second.error.message, /for another page: try again in a minute/);
  rmSync(join(bin, 'held'));
  assert.equal(Buffer.from((await fetched()).data!, 'base64').toString(), 'archive\n');
  assert.deepEqual(left(), []);
  assert.equal((await fetched()).error?.code, 'E_NOT_FOUND', 'and nobody waits for one that is gone');

  await call('diag', { step: 'make' });
  assert.equal(Buffer.from((await fetched()).data!, 'base64').toString(), 'archive\n', 'another one can be made');
  writeFileSync(join(bin, 'broken'), '');
  await call('diag', { step: 'make' });
  for (let n = 0; n < 2; n++)
    assert.match((await fetched()).error!.message, /said/, 'why it failed can be asked again');
  assert.equal(((await call('diag', { step: 'make' })) as Failed).error, undefined, 'and another one made');
  await fetched();
});

test('ucode: names of /etc/bat-hosts and the init script are asked for safely', { skip: noUcode }, async (t) => {
  const { call } = plugin(t, '/nowhere/ctl.sock');
  assert.equal(typeof ((await call('names')) as { names: object }).names, 'object');
  for (const step of ['', 'make; reboot', '../x'])
    assert.match(((await call('diag', { step })) as Failed).error.message, /^step: /);
  for (const action of ['stop', 'start; reboot', '', '$(reboot)']) {
    const { error } = (await call('service', { action })) as Failed;
    assert.match(error.message, /^action: /);
  }
});

test('ucode: /etc/bat-hosts is read where it is a file, and no more of it than 64 KiB', {
  skip: noPlace,
}, async (t) => {
  const [etc, bin] = ['etc', 'bin'].map((name) => join(dirname(place(t)), name)) as [string, string];
  for (const folder of [etc, bin]) mkdirSync(folder);
  const inner = `mount --bind ${etc} /etc && exec ${ucode()} "$@"`;
  writeFileSync(join(bin, 'ucode'), `#!/bin/sh\nexec unshare -rm sh -c '${inner}' sh "$@"\n`, { mode: 0o755 });
  const before = process.env.X0_UCODE;
  process.env.X0_UCODE = join(bin, 'ucode');
  t.after(() => {
    if (before === undefined) delete process.env.X0_UCODE;
    else process.env.X0_UCODE = before;
  });
  const { call } = plugin(t, '/nowhere/ctl.sock');
  const hosts = join(etc, 'bat-hosts');
  const named = async () => {
    const late = sleep(2000, 'nothing within two seconds', { ref: false });
    return ((await Promise.race([call('names'), late])) as { names?: object }).names;
  };

  assert.deepEqual(await named(), {}, 'where there is none');
  writeFileSync(hosts, `02:AA:00:00:00:01 kitchen # upstairs\n${'#'.repeat(65_536)}\n02:aa:00:00:00:02 attic\n`);
  assert.deepEqual(await named(), { '02:aa:00:00:00:01': 'kitchen' });
  rmSync(hosts);
  execFileSync('mkfifo', [hosts]);
  assert.deepEqual(await named(), {}, 'a FIFO');
  rmSync(hosts);
  mkdirSync(hosts);
  assert.deepEqual(await named(), {}, 'a folder');
});
