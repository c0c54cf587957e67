import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { nameOf, readNames, resolveNode } from '../../../agent/ctl/reach/names.ts';
import { resolve } from '../../../agent/ctl/reach/open.ts';
import { summaryOf, titleOf } from '../../../agent/ctl/reach/ping.ts';
import { hear } from '../../../agent/host/http.ts';
import { decodeEcho, type EchoRequest, encodeEcho } from '../../../agent/mesh/icmp.ts';
import { Metrics } from '../../../agent/report/metrics.ts';
import { DESK, sources } from '../report/fixture.ts';

const REQUEST: EchoRequest = {
  source: '02:00:00:00:00:01',
  nextHop: '02:00:00:00:01:01',
  self: '02:00:00:00:00:00',
  target: '02:00:00:00:02:00',
  uid: 0xa5,
  seq: 0x1234,
  ttl: 50,
  record: false,
};
const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

test('an echo is what batadv_packet.h says, and with a record as batctl begins one', () => {
  const short = '020000000101 020000000001 4305 43 0f 32 08 020000000200 020000000000 a5 00 1234';
  assert.deepEqual(Buffer.from(encodeEcho(REQUEST)), bytes(short));
  const long = bytes(`${short.replace('a5 00', 'a5 01')} 020000000001 ${'000000000000'.repeat(15)}`);
  assert.deepEqual(Buffer.from(encodeEcho({ ...REQUEST, record: true })), long);
});

test('answers: reply, unreachable, time exceeded; padded or with a record; and what is none', () => {
  const frame = (kind: string, rest = '') =>
    bytes(`020000000001 020000000101 4305 43 0f 30 ${kind} 020000000000 020000000200 a5 ${rest || '00 1234'}`);
  const answer = { from: '02:00:00:00:02:00', to: '02:00:00:00:00:00', uid: 0xa5, seq: 0x1234, ttl: 48, recorded: [] };
  assert.deepEqual(decodeEcho(frame('00')), { kind: 'reply', ...answer });
  assert.deepEqual(decodeEcho(frame('03')), { kind: 'unreachable', ...answer });
  assert.deepEqual(decodeEcho(frame('0b')), { kind: 'ttl-exceeded', ...answer });
  const padded = Buffer.concat([frame('00', '07 1234'), Buffer.alloc(26)]);
  assert.deepEqual(decodeEcho(padded), { kind: 'reply', ...answer }, 'padding is no record');
  const recorded = Buffer.concat([frame('00', '02 1234'), bytes('0200000000010200000002aa'), Buffer.alloc(84)]);
  assert.deepEqual(decodeEcho(recorded)?.recorded, ['02:00:00:00:00:01', '02:00:00:00:02:aa']);
  const boast = Buffer.concat([frame('00', 'ff 1234'), Buffer.alloc(96)]);
  assert.equal(decodeEcho(boast)?.recorded.length, 16);
  for (const none of ['08', '0f', '0c']) assert.equal(decodeEcho(frame(none)), null);
  assert.equal(decodeEcho(frame('00').subarray(0, 33)), null);
});

test('whatever comes in, reading it throws nothing', () => {
  const head = fc.constant(bytes('020000000001020000000101 4305 43 0f'));
  const any = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(fc.oneof(any, fc.tuple(head, any).map(Buffer.concat)), (frame) => {
      const answer = decodeEcho(frame);
      assert.ok(answer === null || answer.recorded.length <= 16);
    }),
  );
});

const KNOWN = {
  self: '02:00:00:00:00:00',
  originators: ['02:00:00:00:01:00', '02:00:00:00:02:00', '02:00:00:00:12:ab'],
  stations: [
    { station: '0a:00:00:00:00:01', originator: '02:00:00:00:02:00' },
    { station: '0a:00:00:00:00:01', originator: '02:00:00:00:01:00' },
  ],
  addresses: [
    { address: '10.0.0.7', mac: '0a:00:00:00:00:01' },
    { address: 'fd00::7', mac: '02:00:00:00:01:00' },
  ],
  names: readNames(
    ['# who is who\n02:00:00:00:01:00 attic\n02:00:00:00:01:00  Roof # again\nnonsense\n02:00:00:00:02:00 12ab\n'],
    '127.0.0.1 localhost\n10.0.0.7 cellar cellar.lan\n10.0.0.7 attic\n192.0.2.1 gone\n',
  ),
};

test('a router by address, its end, an address behind it, an IP address, a name', () => {
  const cases: readonly [string, string][] = [
    ['02:00:00:00:01:00', '02:00:00:00:01:00'],
    ['02-00-00-00-12-AB', '02:00:00:00:12:ab'],
    ['ab', '02:00:00:00:12:ab'],
    ['01:00', '02:00:00:00:01:00'],
    ['0100', '02:00:00:00:01:00'],
    ['0a:00:00:00:00:01', '02:00:00:00:02:00'],
    ['10.0.0.7', '02:00:00:00:02:00'],
    ['fd00::7', '02:00:00:00:01:00'],
    ['attic', '02:00:00:00:01:00'],
    ['ROOF', '02:00:00:00:01:00'],
    ['12ab', '02:00:00:00:02:00'],
    ['cellar.lan', '02:00:00:00:02:00'],
  ];
  for (const [word, mac] of cases) assert.equal(resolveNode(word, KNOWN), mac, word);
});

test('what is no router is said, naming NODE', () => {
  const cases: readonly [string, string, RegExp][] = [
    ['00', 'E_USAGE', /^NODE: 00 may be 02:00:00:00:00:00 or 02:00:00:00:01:00/],
    ['02:00:00:00:00:00', 'E_USAGE', /this router/],
    ['02:00:00:00:09:09', 'E_NOT_FOUND', /^NODE: no router 02:00:00:00:09:09 is known; x0ctl nodes/],
    ['gone', 'E_NOT_FOUND', /gone is known \(192\.0\.2\.1\)/],
    ['a', 'E_NOT_FOUND', /NODE/],
    ['nobody', 'E_NOT_FOUND', /NODE/],
    ['', 'E_USAGE', /NODE/],
    ['\x1b[31mred', 'E_USAGE', /^NODE: '\?\[31mred' is no name/],
    ['<script>', 'E_NOT_FOUND', /NODE/],
    ['x'.repeat(100_000), 'E_USAGE', /^.{0,150}$/],
    ['__proto__', 'E_NOT_FOUND', /NODE/],
  ];
  for (const [word, code, message] of cases)
    assert.throws(
      () => resolveNode(word, KNOWN),
      (error: Error & { code: string }) => error.code === code && message.test(error.message),
      word.slice(0, 40),
    );
});

test('names for people', () => {
  assert.equal(nameOf('02:00:00:00:01:00', KNOWN.names), 'attic');
  assert.equal(nameOf('02:00:00:00:12:ab', KNOWN.names), '02:00:00:00:12:ab');
  assert.equal(
    titleOf('02:00:00:00:01:00', (mac) => nameOf(mac, KNOWN.names)),
    'attic (02:00:00:00:01:00)',
  );
});

test('the figures of a ping', () => {
  const answer = decodeEcho(bytes('020000000001020000000101 4305 430f3000 020000000000 020000000200 a5001234'))!;
  const reply = (ms: number) => ({ kind: 'reply', answer, rttNs: ms * 1e6 }) as const;
  assert.deepEqual(summaryOf([]), { sent: 0, received: 0, lossPercent: 0, rttMs: null });
  assert.deepEqual(summaryOf([{ kind: 'silence' }, { kind: 'no-way' }]), {
    sent: 2,
    received: 0,
    lossPercent: 100,
    rttMs: null,
  });
  assert.deepEqual(summaryOf([reply(1), { kind: 'silence' }, reply(3)]), {
    sent: 3,
    received: 2,
    lossPercent: 33.3,
    rttMs: { min: 1, avg: 2, max: 3, mdev: 1 },
  });
});

test('a name that no file has: the agent is asked, where it runs', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'x0reach-'));
  const socket = join(folder, 's');
  const server = createServer(
    hear(sources({ trust: DESK }), new Metrics(), () => ({ name: 'uid 0', mayChange: true })),
  );
  await new Promise<void>((listening) => server.listen(socket, listening));
  t.after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  });
  const names = new Map([['cellar', '02:00:00:00:00:0c']]);
  const known = { ...KNOWN, originators: ['02:00:00:00:00:0b', '02:00:00:00:00:0c'], names };
  assert.equal(await resolve('cellar', known, names, join(folder, 'none')), '02:00:00:00:00:0c', 'not for a known one');
  await assert.rejects(resolve('hall', known, names, join(folder, 'none')), {
    message: 'NODE: no router hall is known; x0ctl nodes shows them',
  });
  assert.equal(await resolve('HALL', known, names, socket), '02:00:00:00:00:0b');
  assert.equal(nameOf('02:00:00:00:00:0b', names), 'hall', 'and called so in what follows');
  await assert.rejects(resolve('roof', known, names, socket), { code: 'E_NOT_FOUND' });
});
