import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, type RequestOptions, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { AgentError } from '../../../agent/core/errors.ts';
import { Log } from '../../../agent/core/log.ts';
import { isTaken, type ListenerFactory, serveControl } from '../../../agent/host/control.ts';
import { BODY_LIMIT, isOurHost, Ports, serveApi, serveMetrics } from '../../../agent/host/http.ts';
import { type Native, native } from '../../../agent/host/native.ts';
import { Metrics } from '../../../agent/report/metrics.ts';
import { until } from '../host/help.ts';
import { sources } from './fixture.ts';

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

function send(options: RequestOptions, body = ''): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request({ agent: false, host: '127.0.0.1', ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

test('HTTP reads, and refuses the rest', async (t) => {
  const metrics = new Metrics();
  const from = sources();
  const server = await serveApi(from, metrics, '127.0.0.1', 0);
  t.after(() => server.close());
  const { port } = server;
  const get = (path: string, more: object = {}) => send({ port, path, ...more });

  const good = await get('/mesh/status');
  assert.equal(good.status, 200);
  assert.equal(JSON.parse(good.body).version, 1);
  assert.equal(good.headers['access-control-allow-origin'], undefined);
  assert.equal((await get('/mesh/status', { headers: { host: `localhost:${port}` } })).status, 200);

  assert.equal((await get('/mesh/status', { headers: { host: `evil.example:${port}` } })).status, 421);
  assert.equal((await get('/mesh/status', { headers: { host: 'localhost' } })).status, 421);
  assert.equal((await get('/nothing')).status, 404);
  assert.equal((await get(`/${'x'.repeat(3000)}`)).status, 414);
  assert.equal((await get(`/${'x'.repeat(30_000)}`)).status, 431);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD']) {
    const { status, headers } = await get('/heal/mode', { method });
    assert.deepEqual([status, headers.allow], [405, 'GET'], method);
  }
  assert.deepEqual(from.asked, []);
  assert.match(metrics.render(), /^http_requests_total\{method="GET",endpoint="\/mesh\/status",status="200"\} 2$/m);
  assert.match(metrics.render(), /^http_requests_total\{method="other",endpoint="other",status="405"\} 4$/m);
});

test('many requests in one breath are no client of ours: a few are answered, and that connection ends', async (t) => {
  const server = await serveApi(sources(), new Metrics(), '127.0.0.1', 0);
  t.after(() => server.close());
  const { port } = server;
  const pipelined = (count: number): Promise<number> =>
    new Promise((resolve) => {
      let text = '';
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(`GET /health HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`.repeat(count));
      });
      socket.on('data', (chunk) => {
        text += chunk;
        if (count <= 4 && text.split('HTTP/1.1 200').length > count) socket.end();
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(text.split('HTTP/1.1 200').length - 1));
    });
  assert.equal(await pipelined(4), 4);
  assert.ok((await pipelined(500)) <= 4);
  assert.equal((await send({ port, path: '/health' })).status, 200, 'others are served');
});

test('who asks without end gets 50 answers a second, and connections that are not taken; a second later all is as before', async (t) => {
  const metrics = new Metrics();
  const server = await serveApi(sources(), metrics, '127.0.0.1', 0);
  t.after(() => server.close());
  const { port } = server;
  const begin = Math.ceil(performance.now() / 1000) * 1000;
  await new Promise((resolve) => setTimeout(resolve, begin - performance.now() + 20));
  const ends = await Promise.all(
    Array.from({ length: 150 }, () =>
      send({ port, path: '/health' }).then(
        ({ status }) => status,
        () => 0,
      ),
    ),
  );
  const answered = ends.filter((status) => status === 200).length;
  assert.ok(answered > 0 && answered <= 100, `${answered} answered`);
  assert.ok(ends.filter((status) => status === 0).length >= 50, 'the others were cut off');

  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => kept.destroy());
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const busy: Got[] = [];
  for (let n = 0; n < 120 && busy.length === 0; n++) {
    const got = await send({ port, path: '/health', agent: kept });
    if (got.status !== 200) busy.push(got);
  }
  assert.equal(busy[0]?.status, 503);
  assert.equal(JSON.parse(busy[0].body).error.code, 'E_BUSY');
  await new Promise((resolve) => setTimeout(resolve, 1100));
  assert.equal((await send({ port, path: '/health' })).status, 200);
});

test('metrics have their own port and only their own page', async (t) => {
  const server = await serveMetrics(sources(), new Metrics(), '127.0.0.1', 0);
  t.after(() => server.close());
  const { port } = server;
  const page = await send({ port, path: '/metrics' });
  assert.equal(page.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(page.body, /^mesh_peers_count 2$/m);
  assert.equal((await send({ port, path: '/mesh/status' })).status, 404);
  assert.equal((await send({ port, path: '/metrics', headers: { host: 'evil.example' } })).status, 421);
});

test('a port that is taken is named', async (t) => {
  const server = await serveMetrics(sources(), new Metrics(), '127.0.0.1', 0);
  t.after(() => server.close());
  await assert.rejects(serveApi(sources(), new Metrics(), '127.0.0.1', server.port), { code: 'E_SOCKET' });
});

test('a port that is taken is tried again, and meanwhile said', async (t) => {
  const other = await serveMetrics(sources(), new Metrics(), '127.0.0.1', 0);
  const said: string[] = [];
  const ports = new Ports(new Log('info', (line) => void said.push(line)), 20);
  t.after(() => ports.close());
  await ports.keep('status', () => serveApi(sources(), new Metrics(), '127.0.0.1', other.port));
  assert.match(ports.trouble()[0]!.why, /EADDRINUSE/);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(said.length, 1, 'once, however often it is tried');
  await other.close();
  await until('the port is taken', () => ports.trouble().length === 0);
  assert.equal((await send({ port: other.port, path: '/health' })).status, 200);
});

test('two Host headers are refused, whichever comes first', async (t) => {
  const server = await serveApi(sources(), new Metrics(), '127.0.0.1', 0);
  t.after(() => server.close());
  const { port } = server;
  for (const names of [
    ['localhost', 'evil.example'],
    ['evil.example', 'localhost'],
    ['localhost', 'localhost'],
  ]) {
    const hosts = names.map((name) => `Host: ${name}:${port}\r\n`).join('');
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(`GET /health HTTP/1.1\r\n${hosts}\r\n`));
      let text = '';
      socket.on('data', (part) => {
        text += part;
      });
      socket.on('close', () => resolve(text));
      socket.on('error', reject);
    });
    assert.match(answer, /^HTTP\/1\.1 400 /, String(names));
  }
});

test('which Host headers are ours', () => {
  const table: [string | undefined, string, boolean][] = [
    ['localhost:8080', '127.0.0.1', true],
    ['LOCALHOST:8080', '127.0.0.1', true],
    ['127.0.0.1:8080', '127.0.0.1', true],
    ['[::1]:8080', '127.0.0.1', true],
    ['10.0.0.1:8080', '10.0.0.1', true],
    ['10.0.0.1:8080', '127.0.0.1', false],
    ['10.0.0.1:8080', '0.0.0.0', true],
    ['[fe80::1]:8080', '::', true],
    ['router.lan:8080', '0.0.0.0', false],
    ['localhost', '127.0.0.1', false],
    ['localhost:8081', '127.0.0.1', false],
    ['localhost:8080.evil.example', '127.0.0.1', false],
    ['', '127.0.0.1', false],
    [undefined, '127.0.0.1', false],
  ];
  for (const [header, bound, expected] of table) assert.equal(isOurHost(header, bound, 8080), expected, `${header}`);
});

/** The shim's listener in a folder of its own, or a skipped test. */
function shim(t: TestContext): { native: Native; path: string } | null {
  try {
    const found = native();
    const folder = mkdtempSync(join(tmpdir(), 'x0-control-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    return { native: found, path: join(folder, 'ctl.sock') };
  } catch {
    t.skip('the native shim is not built (make -C native)');
    return null;
  }
}

test('the control socket: all calls for our own uid, reading for another', async (t) => {
  const found = shim(t);
  if (found === null) return;
  const { path } = found;
  for (const uid of [process.getuid!(), 0, 54321]) {
    const from = sources();
    const listener: ListenerFactory = (options) =>
      found.native.listenUnix({
        ...options,
        onConnection: (fd, pid, _, gid, pidfd) => options.onConnection(fd, pid, uid, gid, pidfd),
      });
    const control = serveControl({ path, sources: from, metrics: new Metrics(), listener });
    assert.equal(statSync(path).mode & 0o777, 0o660);
    assert.equal((await send({ socketPath: path, path: '/health' })).status, 200);
    const changed = await send({ socketPath: path, path: '/heal/mode', method: 'POST' }, '{"mode":"observe"}');
    const may = uid !== 54321;
    assert.equal(changed.status, may ? 200 : 403);
    assert.equal(from.asked.length, may ? 1 : 0);
    control.close();
    assert.equal(existsSync(path), false);
  }
});

test('the control socket bounds bodies, addresses and connections', async (t) => {
  const found = shim(t);
  if (found === null) return;
  const { path } = found;
  const control = serveControl({ path, sources: sources(), metrics: new Metrics(), listener: found.native.listenUnix });
  t.after(() => control.close());
  assert.equal((await send({ socketPath: path, path: `/${'x'.repeat(3000)}` })).status, 414);
  const large = await send(
    { socketPath: path, path: '/config/check', method: 'POST' },
    'x'.repeat(BODY_LIMIT + 1),
  ).catch((error: NodeJS.ErrnoException) => ({ status: error.code }));
  // The refusal may come while the client still writes.
  assert.ok([413, 'EPIPE', 'ECONNRESET'].includes(large.status!), String(large.status));

  const held = await Promise.all(
    Array.from(
      { length: 40 },
      () =>
        new Promise<boolean>((resolve) => {
          const socket = connect(path);
          t.after(() => socket.destroy());
          socket.on('close', () => resolve(false));
          socket.on('error', () => resolve(false));
          setTimeout(() => resolve(!socket.destroyed), 300);
        }),
    ),
  );
  assert.equal(held.filter(Boolean).length, 32);
});

test('the control socket: who may only read cannot keep the others out, nor one of them all of those', async (t) => {
  const found = shim(t);
  if (found === null) return;
  const { path } = found;
  let uid = 0;
  let met = 0;
  const listener: ListenerFactory = (options) =>
    found.native.listenUnix({
      ...options,
      onConnection: (fd, pid, _, gid, pidfd) => {
        met += 1;
        options.onConnection(fd, pid, uid, gid, pidfd);
      },
    });
  const control = serveControl({ path, sources: sources(), metrics: new Metrics(), listener, uid: 0 });
  t.after(() => control.close());
  let open = 0;
  for (const [whose, count, stay] of [
    [1000, 40, 8],
    [1001, 10, 16],
    [1002, 10, 24],
    [1003, 10, 24],
    [0, 40, 32],
  ] as const) {
    uid = whose;
    const wanted = met + count;
    for (let n = 0; n < count; n++) {
      const socket = connect(path);
      open += 1;
      socket.on('error', () => {});
      socket.on('close', () => {
        open -= 1;
      });
    }
    await until(`${stay} of ${open}`, () => met === wanted && open <= stay);
    assert.equal(open, stay);
  }
});

test('the control socket closes a connection that says nothing', async (t) => {
  const found = shim(t);
  if (found === null) return;
  const { path } = found;
  const listener = found.native.listenUnix;
  const control = serveControl({ path, sources: sources(), metrics: new Metrics(), listener, idleMs: 50 });
  t.after(() => control.close());
  const socket = connect(path);
  await until('it is closed', () => socket.destroyed);
  assert.equal((await send({ socketPath: path, path: '/health' })).status, 200);
});

test('the directory of the control socket is made; a path that another listens on is taken, others cannot be used', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'x0-control-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const serve = (path: string, listener: ListenerFactory) =>
    serveControl({ path, sources: sources(), metrics: new Metrics(), listener });
  const failing = (code: string) => () => {
    throw Object.assign(new Error(code), { code });
  };
  const taken = (path: string, listener: ListenerFactory) => {
    try {
      serve(path, listener).close();
    } catch (thrown) {
      assert.ok(thrown instanceof AgentError && thrown.code === 'E_SOCKET');
      return isTaken(thrown);
    }
    return assert.fail('it was served');
  };
  const path = join(folder, 'run', 'x0tta6bl4', 'ctl.sock');
  serve(path, () => ({ close() {} })).close();
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o750);
  assert.equal(taken(path, failing('EADDRINUSE')), true);
  assert.equal(taken(path, failing('EACCES')), false);
  writeFileSync(join(folder, 'plain'), '');
  assert.equal(
    taken(join(folder, 'plain', 'ctl.sock'), () => assert.fail('nothing to listen in')),
    false,
  );
});

test('the kernel names the peer: another user on the machine may look, not change', async (t) => {
  const found = shim(t);
  if (found === null) return;
  if (process.getuid!() !== 0) return t.skip('needs root to become somebody else');
  const { path } = found;
  const from = sources();
  const control = serveControl({ path, sources: from, metrics: new Metrics(), listener: found.native.listenUnix });
  t.after(() => control.close());
  chmodSync(path, 0o666);
  chmodSync(join(path, '..'), 0o755);
  // Synchronous would block the server that it talks to.
  const { spawn } = await import('node:child_process');
  const curl = (...args: string[]) =>
    new Promise<string>((resolve) => {
      const child = spawn('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', path, ...args], {
        uid: 65534,
      });
      let out = '';
      child.stdout.on('data', (data) => {
        out += data;
      });
      child.on('close', () => resolve(out));
    });
  if (spawnSync('curl', ['--version']).error !== undefined) return t.skip('curl is not installed');
  assert.equal(await curl('http://x0/health'), '200');
  assert.equal(await curl('-d', '{"mode":"off"}', 'http://x0/heal/mode'), '403');
  assert.deepEqual(from.asked, []);
});
