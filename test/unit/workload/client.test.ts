import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import { createServer as createSocketServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { AgentError } from '../../../agent/core/errors.ts';
import { readSvid, type Svid, WorkloadClient } from '../../../agent/host/workload/client.ts';
import { frame } from '../../../agent/workload/grpc.ts';
import { writeX509SvidResponse, type X509Svid } from '../../../agent/workload/messages.ts';
import { OWN_UID, stage } from './help.ts';

function client(t: TestContext, socket: string) {
  const given: (Svid | null)[] = [];
  const failed: string[] = [];
  const waits: number[] = [];
  const one = new WorkloadClient({
    socket,
    given: (svid) => void given.push(svid),
    failed: (why, again) => {
      failed.push(why);
      waits.push(again);
    },
    random: () => 1,
    leastWaitMs: 5,
  });
  t.after(() => one.close());
  return { given, failed, waits, one };
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 5000; !holds(); ) {
    assert.ok(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('it has what the server gives, and each renewal; what is taken away it gives up; it comes back by itself', async (t) => {
  const one = stage(t);
  const { given, failed } = client(t, one.path);
  await until(() => given.length === 1, 'a certificate');
  one.aheadMs = 1_800_001;
  await until(() => given.length === 2, 'a renewal');
  assert.ok(given[1]!.notAfter > given[0]!.notAfter);
  one.entries = [];
  await until(() => given.includes(null), 'given up');
  assert.match(failed[0]!, /status 7/);
  one.entries = [OWN_UID];
  await until(() => given.at(-1) !== null, 'given again');
});

function directory(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'x0-workload-'));
  t.after(() => rmSync(made, { recursive: true }));
  return join(made, 'api.sock');
}

async function serving(t: TestContext, answer: (stream: ServerHttp2Stream) => void): Promise<string> {
  const path = directory(t);
  const sessions = new Set<{ destroy(): void }>();
  const server = createServer();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    answer(stream);
  });
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

const OK = { ':status': 200, 'content-type': 'application/grpc' };

test('nobody there, garbage, HTTP, an overlong message: later and later, and never an answer', async (t) => {
  const gone = client(t, directory(t));
  await until(() => gone.waits.length >= 5, 'tries');
  assert.deepEqual(gone.waits.slice(0, 5), [5, 10, 20, 40, 80]);
  assert.match(gone.failed[0]!, /ENOENT/);

  const path = directory(t);
  const sockets = new Set<Socket>();
  const garbage = createSocketServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write('SSH-2.0-nothing\r\n'.repeat(20));
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    garbage.close();
  });
  await new Promise<void>((resolve) => garbage.listen(path, resolve));
  const answers: ((stream: ServerHttp2Stream) => void)[] = [
    (stream) => stream.respond({ ':status': 404 }, { endStream: true }),
    (stream) => {
      stream.respond(OK);
      stream.write(Buffer.from([0, 255, 255, 255, 255]));
    },
    (stream) => {
      stream.respond(OK);
      stream.write(frame(Buffer.from([0x0a, 99])));
    },
    (stream) => {
      stream.respond(OK);
      stream.end(frame(new Uint8Array()));
    },
    (stream) => stream.respond({ ...OK, 'grpc-status': '14', 'grpc-message': 'later' }, { endStream: true }),
    (stream) => stream.close(2),
  ];
  const paths = [path, ...(await Promise.all(answers.map((answer) => serving(t, answer))))];
  for (const socket of paths) {
    const { given, failed, one } = client(t, socket);
    await until(() => failed.length >= 2, `tries at ${paths.indexOf(socket)}`);
    assert.deepEqual(given, []);
    one.close();
  }
});

test('a certificate of another name, of another key or none is refused', async (t) => {
  const one = stage(t);
  const entries = [OWN_UID, { ...OWN_UID, name: 'b', path: 'b' }];
  const [a, b] = (await one.issuing.x509(entries)) as [X509Svid, X509Svid];
  const svid = a;
  assert.equal(readSvid(svid).id, svid.id);
  const bad = [
    { ...svid, id: 'spiffe://x0tta6bl4.mesh/workload/a/other' },
    { ...svid, id: 'nonsense' },
    { ...svid, key: b.key },
    { ...svid, key: new Uint8Array(9) },
    { ...svid, chain: new Uint8Array() },
    { ...svid, chain: svid.chain.subarray(0, 500) },
    { ...svid, chain: svid.bundle },
    { ...svid, bundle: Uint8Array.of(0x30, 0x84, 1, 1, 1, 1) },
    { ...svid, bundle: Uint8Array.of(0x30, 0x80) },
  ];
  for (const [i, one] of bad.entries())
    assert.throws(
      () => readSvid(one),
      (error: AgentError) => error.code === 'E_SVID',
      String(i),
    );
  assert.ok(writeX509SvidResponse({ svids: [svid], federated: new Map() }).length > 1000);
});
