import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { copyFileSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import { readSvid } from '../../../agent/host/workload/client.ts';
import { pem } from '../../../agent/trust/certificate/credential.ts';
import { GRPC } from '../../../agent/workload/grpc.ts';
import {
  readBundles,
  readJwtSvidResponse,
  readValidateResponse,
  readX509SvidResponse,
  writeJwtSvidRequest,
  writeValidateRequest,
} from '../../../agent/workload/messages.ts';
import { call, dial, METADATA, OWN_UID, stage } from './help.ts';

const ID = 'spiffe://x0tta6bl4.mesh/workload/a/shop/database';

test('a program gets a certificate that openssl verifies against its bundle, and the next one over the same stream', async (t) => {
  const one = stage(t);
  const { node } = one.vouching()!;
  const id = ID.replace('/a/', `/${node}/`);
  const asked = call(dial(t, one.path), 'FetchX509SVID');
  const [first] = await asked.received(1);
  const { svids } = readX509SvidResponse(first!);
  assert.equal(svids.length, 1);
  assert.equal(svids[0]!.id, id);
  assert.equal(svids[0]!.hint, 'shop');
  const svid = readSvid(svids[0]!);
  assert.equal(svid.chain.length, 2);
  assert.ok(
    new X509Certificate(svid.chain[0]!).checkPrivateKey(
      createPrivateKey({ key: Buffer.from(svids[0]!.key), format: 'der', type: 'pkcs8' }),
    ),
  );

  const directory = mkdtempSync(join(tmpdir(), 'x0-workload-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = (name: string, der: Uint8Array): string => {
    writeFileSync(join(directory, name), pem('CERTIFICATE', der));
    return join(directory, name);
  };
  const words = execFileSync('openssl', [
    'verify',
    '-attime',
    String(Math.floor(one.vouching()!.wallMs / 1000)),
    '-CAfile',
    file('root', svid.bundle[0]!),
    '-untrusted',
    file('steward', svid.chain[1]!),
    file('leaf', svid.chain[0]!),
  ]).toString();
  assert.match(words, /: OK/);
  // No router: nobody takes it for one.
  const verdict = one.router.machine.verify(svid.chain, one.mesh.now);
  assert.ok(!verdict.ok && verdict.reason === 'no-bound-keys');

  one.aheadMs = 3_600_000 / 2 + 1;
  const [, second] = await asked.received(2);
  const renewed = readSvid(readX509SvidResponse(second!).svids[0]!);
  assert.ok(renewed.notAfter > svid.notAfter);
  assert.notDeepEqual(renewed.chain[0], svid.chain[0]);
  assert.equal(one.issuing.issued.x509, 2);
});

test('a program of which the configuration says nothing gets nothing, whatever it asks', async (t) => {
  const one = stage(t, [{ ...OWN_UID, selectors: ['unix:uid:4294967'] }]);
  const session = dial(t, one.path);
  for (const method of ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles', 'FetchJWTSVID', 'ValidateJWTSVID']) {
    const asked = call(session, method);
    assert.equal(await asked.status, GRPC.permissionDenied, method);
    assert.equal(asked.messages.length, 0);
  }
  assert.equal(one.issuing.issued.x509, 0);
});

test('an entry that is taken out ends the stream, and so does a revocation of this router', async (t) => {
  const one = stage(t);
  const session = dial(t, one.path);
  const asked = call(session, 'FetchX509SVID');
  await asked.received(1);
  one.entries = [];
  assert.equal(await asked.status, GRPC.permissionDenied);
  one.entries = [OWN_UID];
  const again = call(session, 'FetchX509SVID');
  const bundles = call(session, 'FetchX509Bundles');
  await Promise.all([again.received(1), bundles.received(1)]);
  one.mesh.revokeByOwner(one.router, one.router);
  assert.equal(await again.status, GRPC.permissionDenied);
  assert.equal(await bundles.status, GRPC.permissionDenied);
  assert.equal(one.server.counts().streams, 0);
});

test('bundles, tokens and their validation', async (t) => {
  const one = stage(t);
  const session = dial(t, one.path);
  const [x509] = await call(session, 'FetchX509Bundles').received(1);
  const roots = readBundles('x509', x509!).get('spiffe://x0tta6bl4.mesh')!;
  assert.deepEqual(Buffer.from(roots), Buffer.concat(one.vouching()!.roots));
  const [jwt] = await call(session, 'FetchJWTBundles').received(1);
  const jwks = JSON.parse(Buffer.from(readBundles('jwt', jwt!).get('spiffe://x0tta6bl4.mesh')!).toString());
  assert.equal(jwks.keys.length, 1);

  const ask = (audience: string[], id = '') => call(session, 'FetchJWTSVID', writeJwtSvidRequest({ audience, id }));
  assert.equal(await ask([]).status, GRPC.invalidArgument);
  assert.equal(await ask(['shop'], 'spiffe://x0tta6bl4.mesh/workload/a/other').status, GRPC.permissionDenied);
  const asked = ask(['shop']);
  const [token] = readJwtSvidResponse((await asked.received(1))[0]!);
  assert.equal(await asked.status, GRPC.ok);
  const validate = (audience: string, text: string) =>
    call(session, 'ValidateJWTSVID', writeValidateRequest(audience, text));
  const { id, claims } = readValidateResponse((await validate('shop', token!.token).received(1))[0]!);
  assert.equal(id, token!.id);
  assert.deepEqual(claims.aud, ['shop']);
  assert.equal(await validate('elsewhere', token!.token).status, GRPC.invalidArgument);
  assert.equal(await validate('shop', `${token!.token.slice(0, -4)}AAAA`).status, GRPC.invalidArgument);
  one.aheadMs = 361_000;
  assert.equal(await validate('shop', token!.token).status, GRPC.invalidArgument);
});

test('who does not speak the protocol is told so', async (t) => {
  const one = stage(t);
  const session = dial(t, one.path);
  assert.equal(await call(session, 'FetchX509SVID', undefined, { metadata: {} }).status, GRPC.invalidArgument);
  const not = { 'workload.spiffe.io': 'false' };
  assert.equal(await call(session, 'FetchX509SVID', undefined, { metadata: not }).status, GRPC.invalidArgument);
  assert.equal(await call(session, 'Nothing').status, GRPC.unimplemented);
  const raw = (bytes: number[]) => call(session, 'FetchX509SVID', Uint8Array.from(bytes), { isRaw: true }).status;
  assert.equal(await raw([]), GRPC.invalidArgument);
  assert.equal(await raw([0, 0, 0, 0, 9, 1]), GRPC.invalidArgument);
  assert.equal(await raw([1, 0, 0, 0, 0]), GRPC.unimplemented);
  assert.equal(await raw([0, 255, 255, 255, 255]), GRPC.resourceExhausted);
  assert.equal(await raw([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), GRPC.invalidArgument);
  const bad = call(session, 'FetchJWTSVID', Uint8Array.of(10, 99, 1));
  assert.equal(await bad.status, GRPC.invalidArgument);
  assert.ok(one.counted.includes('other 3') && one.counted.includes('FetchJWTSVID 3'));
  // Not even HTTP/2.
  const socket = connectSocket(one.path);
  socket.end('GET / HTTP/1.1\r\n\r\n');
  await new Promise((resolve) => socket.on('close', resolve).resume());
  assert.equal((await call(session, 'FetchX509SVID').received(1)).length, 1);
});

test('a request that is taken back without an error, before all of it came, costs the others nothing', async (t) => {
  const one = stage(t, undefined, undefined, { requestMs: 400 });
  for (const method of ['FetchX509SVID', 'FetchJWTSVID', 'Nothing']) {
    const socket = connectSocket(one.path);
    const request = {
      ':method': 'POST',
      ':scheme': 'http',
      ':authority': 'x',
      ':path': `/SpiffeWorkloadAPI/${method}`,
    };
    const fields = { ...request, ...METADATA, 'content-type': 'application/grpc' };
    const headers = Object.entries(fields).flatMap(([name, value]) => [
      Buffer.of(0), // a literal that is not indexed (RFC 7541, 6.2.2)
      ...[name, value].flatMap((text) => [Buffer.of(text.length), Buffer.from(text)]),
    ]);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(http2Frame(4, 0, 0));
    // HEADERS without END_STREAM, and RST_STREAM with NO_ERROR.
    socket.write(Buffer.concat([http2Frame(1, 4, 1, Buffer.concat(headers)), http2Frame(3, 0, 1, Buffer.alloc(4))]));
    // What the server answers to this comes after all that.
    socket.write(http2Frame(6, 0, 0, Buffer.from('answered')));
    await new Promise<void>((resolve, reject) => {
      let heard = '';
      socket.on('close', () => reject(new Error('it was closed')));
      socket.on('data', (chunk) => {
        heard += chunk.toString('latin1');
        if (heard.includes('answered')) resolve();
      });
    });
    // Nor where its time is up.
    await later(500);
    socket.destroy();
  }
  assert.equal((await call(dial(t, one.path), 'FetchX509SVID').received(1)).length, 1);
});

/** RFC 9113, 4.1. */
function http2Frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

test('a request that never ends is ended, and so is a connection without one', async (t) => {
  const one = stage(t, undefined, undefined, { requestMs: 400, idleMs: 2000 });
  const session = dial(t, one.path);
  const headers = {
    ':method': 'POST',
    ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
    'content-type': 'application/grpc',
  };
  for (const [metadata, status] of [
    [METADATA, GRPC.deadlineExceeded],
    [{}, GRPC.invalidArgument],
  ] as const) {
    const stream = session.request({ ...headers, ...metadata }, { endStream: false });
    stream.on('error', () => {});
    const heard = await new Promise((resolve) => stream.once('response', resolve));
    assert.equal(Number((heard as Record<string, string>)['grpc-status']), status);
    const feeding = setInterval(() => void (stream.destroyed || stream.write(Buffer.alloc(1000))), 20);
    await new Promise((resolve) => stream.once('close', resolve));
    clearInterval(feeding);
  }
  assert.equal(one.server.counts().connections, 1);
  await new Promise((resolve) => session.once('close', resolve));
  assert.equal(one.server.counts().connections, 0);
});

test('one program cannot take all connections and streams', async (t) => {
  const one = stage(t);
  const sessions = Array.from({ length: 20 }, () => dial(t, one.path));
  const left = await Promise.all(
    sessions.map((session) =>
      call(session, 'FetchX509SVID')
        .received(1)
        .then(
          () => 'up',
          () => 'refused',
        ),
    ),
  );
  assert.equal(left.filter((what) => what === 'up').length, 16);
  const up = sessions[left.indexOf('up')]!;
  const calls = Array.from({ length: 20 }, () => call(up, 'FetchX509Bundles'));
  const told = await Promise.all(
    calls.map((asked) =>
      asked.received(1).then(
        () => -1,
        () => asked.status,
      ),
    ),
  );
  assert.equal(told.filter((what) => what === -1).length, 16);
  assert.equal(told.filter((what) => what === GRPC.resourceExhausted).length, 4);
});

test('the executable, its hash and its disguises', async (t) => {
  const self = process.execPath;
  const sha256 = createHash('sha256').update(readFileSync(self)).digest('hex');
  const one = stage(t, [{ ...OWN_UID, selectors: [`unix:path:${self}`, `unix:sha256:${sha256}`] }]);
  await call(dial(t, one.path), 'FetchX509SVID').received(1);
  one.entries = [{ ...OWN_UID, selectors: [`unix:sha256:${sha256.replace(/./, (c) => (c === '0' ? '1' : '0'))}`] }];
  assert.equal(await call(dial(t, one.path), 'FetchX509SVID').status, GRPC.permissionDenied);
  one.entries = [{ ...OWN_UID, selectors: ['unix:path:/usr/bin/true'] }];
  assert.equal(await call(dial(t, one.path), 'FetchX509SVID').status, GRPC.permissionDenied);

  // A program that connected, and whose process is another one by the time it asks.
  const directory = mkdtempSync(join(tmpdir(), 'x0-workload-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const copy = join(directory, 'program');
  copyFileSync('/bin/sleep', copy);
  const child = spawn(copy, ['30']);
  t.after(() => child.kill('SIGKILL'));
  await new Promise((resolve) => child.once('spawn', resolve));
  const { Caller } = await import('../../../agent/host/workload/caller.ts');
  let isAlive = true;
  const caller = new Caller(child.pid!, 7, 8, pidfd(), () => isAlive);
  t.after(() => caller.close());
  await new Promise((resolve) => setTimeout(resolve, 50));
  const facts = (await caller.facts(true))!;
  assert.equal(facts.path, copy);
  assert.equal(facts.sha256, createHash('sha256').update(readFileSync(copy)).digest('hex'));
  assert.deepEqual([facts.uid, facts.gid], [7, 8]);
  rmSync(copy);
  assert.equal((await caller.facts(false))!.path, null);
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  isAlive = false;
  await assert.rejects(caller.facts(false), { code: 'E_CALLER' });
  // None to be had: of another PID namespace uid and gid are known, and nothing of one of this.
  const apart = new Caller(0, 7, 8, -2, () => false);
  assert.deepEqual(await apart.facts(true), { uid: 7, gid: 8, path: null, sha256: null, cgroups: [] });
  await assert.rejects(new Caller(process.pid, 7, 8, -2, () => true).facts(false), { code: 'E_CALLER' });
  await assert.rejects(new Caller(0, 7, 8, -1, () => true).facts(false), { code: 'E_CALLER' });
});

test('who has ended by the time of the answer gets none, and a code', async (t) => {
  let isAlive = true;
  const one = stage(t, [OWN_UID], () => isAlive);
  const first = call(dial(t, one.path), 'FetchX509SVID');
  await first.received(1);
  isAlive = false;
  assert.equal(await first.status, GRPC.permissionDenied);
  const after = call(dial(t, one.path), 'FetchX509SVID');
  assert.equal(await after.status, GRPC.permissionDenied);
  assert.match(after.told(), /^E_CALLER: the program that called has ended$/);
  // There when it called, and when it was looked at, and no more when a certificate has been made for it.
  let looks = 2;
  const two = stage(t, [OWN_UID], () => looks-- > 0);
  const late = call(dial(t, two.path), 'FetchX509SVID');
  assert.equal(await late.status, GRPC.permissionDenied);
  assert.match(late.told(), /^E_CALLER/);
  assert.equal(late.messages.length, 0);
});

/** Something to be closed. */
function pidfd(): number {
  return openSync('/dev/null', 'r');
}
