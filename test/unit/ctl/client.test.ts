/** What may sit on the agent's socket: an agent, another program, or somebody who means harm. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { client } from '../../../agent/ctl/client.ts';
import { main } from '../../../agent/ctl/main.ts';
import { screen } from './screen.ts';

async function server(t: TestContext, serve: (socket: Socket, request: string) => void): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'x0ctl-'));
  const path = join(folder, 's');
  const open = new Set<Socket>();
  const listening = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    let request = '';
    socket.on('data', (data) => {
      request += data.toString('latin1');
      if (request.includes('\r\n\r\n')) serve(socket, request);
    });
  });
  await new Promise<void>((ready) => listening.listen(path, ready));
  t.after(() => {
    listening.close();
    for (const socket of open) socket.destroy();
    rmSync(folder, { recursive: true, force: true });
  });
  return path;
}

const answer = (body: string, head = 'HTTP/1.1 200 OK') =>
  `${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

test('a request is HTTP/1.1, and the answer is read as it comes: at once, byte by byte, without a length', async (t) => {
  let asked = '';
  const text = answer('{"a":"\u00e9"}');
  const whole = await server(t, (socket, request) => {
    asked = request;
    socket.write(text);
  });
  assert.deepEqual(await client(whole).post('/heal/kick', { lost: 'ü' }), { a: 'é' });
  assert.match(
    asked,
    /^POST \/heal\/kick HTTP\/1\.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application\/json\r\nContent-Length: 13\r\n\r\n/,
  );
  const dripping = await server(t, (socket) => {
    for (const byte of Buffer.from(text)) socket.write(Buffer.of(byte));
  });
  assert.deepEqual(await client(dripping).get('/'), { a: 'é' });
  const ending = await server(t, (socket) => socket.end('HTTP/1.0 200 OK\r\n\r\n{"b":1}'));
  assert.deepEqual(await client(ending).get('/'), { b: 1 });
});

test('what is no answer of an agent is said, within bounds', async (t) => {
  const cases: readonly (readonly [string, (socket: Socket) => void, RegExp])[] = [
    ['nothing', (socket) => socket.end(), /no agent of ours/],
    ['no HTTP', (socket) => socket.end('220 smtp.example\r\n\r\n'), /no agent of ours/],
    ['no JSON', (socket) => socket.end(answer('<html>')), /no agent of ours/],
    ['cut off', (socket) => socket.end(answer('{"a":1}').slice(0, -3)), /no agent of ours/],
    ['silence', () => {}, /nothing within 0\.2 s/],
    ['a drip without end', (socket) => void setInterval(() => socket.write('x'), 20).unref(), /nothing within 0\.2 s/],
    [
      'a length that is a lie',
      (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n{'),
      /nothing within/,
    ],
    [
      'too much',
      (socket) => void socket.write(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(17 << 20)}`),
      /too large|nothing within/,
    ],
    ['hung up', (socket) => void socket.destroy(), /no agent of ours|no answer on/],
  ];
  for (const [what, serve, message] of cases) {
    const path = await server(t, serve);
    // Short where nothing comes; what comes, comes late on a busy machine.
    const patience = String(message).includes('nothing') ? 200 : 30_000;
    await assert.rejects(client(path, patience).get('/'), { code: 'E_AGENT_UNREACHABLE', message }, what);
  }
});

test('refusals come through with their codes; codes that are none are a bug of somebody', async (t) => {
  const refusing = (error: unknown) =>
    server(t, (socket) => socket.end(answer(JSON.stringify({ error }), 'HTTP/1.1 400 Bad Request')));
  await assert.rejects(client(await refusing({ code: 'E_USAGE', message: 'limit: expected' })).get('/'), {
    code: 'E_USAGE',
    message: 'limit: expected',
  });
  await assert.rejects(client(await refusing({ code: '__proto__' })).get('/'), {
    code: 'E_BUG',
    message: 'status 400',
  });
});

test('an agent that answers what no agent does: a sentence, no crash, nothing that commands the terminal', async (t) => {
  for (const body of [
    '{}',
    '[]',
    'null',
    '1',
    '"\\u001b[2J"',
    '{"nodes":1}',
    '{"nodes":[{}]}',
    '{"nodes":[null]}',
    '{"nodes":{"length":1e9}}',
    '{"links":"\\u001b"}',
  ]) {
    const socket = await server(t, (one) => one.end(answer(body)));
    for (const line of [
      ['status'],
      ['nodes'],
      ['links'],
      ['heal', 'log'],
      ['topology'],
      ['beacon'],
      ['xdp'],
      ['nodes', '--json'],
    ]) {
      const to = screen();
      const status = await main([...line, '--socket', socket], to);
      const said = to.written + to.complained;
      assert.ok(status >= 0 && status <= 5);
      assert.match(said, /^[\x20-\x7e\n]*$/, `${line.join(' ')} ${body}`);
      if (line.length === 1 || !line.includes('--json'))
        assert.ok(status !== 0 || said.length > 0, `${line.join(' ')} ${body}`);
    }
  }
});
