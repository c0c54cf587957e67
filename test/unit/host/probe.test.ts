/** ICMP echoes: as bytes, against whatever a raw socket may receive, and over this machine's own loopback. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { Log } from '../../../agent/core/log.ts';
import { MS, SECOND } from '../../../agent/core/time.ts';
import { decodeAnswer, encodeEcho } from '../../../agent/host/icmp.ts';
import { Prober } from '../../../agent/host/probe.ts';

const TOKEN = Buffer.from('0011223344556677', 'hex');
const quiet = new Log('error', () => {});

/** As the far end answers, and as a raw socket hands it over. */
function answered(family: 4 | 6, request: Uint8Array): Buffer {
  const reply = Buffer.from(request);
  reply[0] = family === 4 ? 0 : 129;
  return family === 4 ? Buffer.concat([Buffer.of(0x45, ...new Uint8Array(19)), reply]) : reply;
}

test('a question as RFC 792 has it, with a checksum that makes the sum of all words 0xffff', () => {
  const packet = encodeEcho(4, { id: 0x1234, seq: 7, token: TOKEN });
  assert.equal(packet.toString('hex', 4, 16), '123400070011223344556677');
  let sum = 0;
  for (let at = 0; at < packet.length; at += 2) sum += packet.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  assert.deepEqual([packet[0], packet.length, sum], [8, 64, 0xffff]);
  assert.deepEqual([...encodeEcho(6, { id: 1, seq: 1, token: TOKEN }).subarray(0, 4)], [128, 0, 0, 0]);
});

for (const family of [4, 6] as const)
  test(`IPv${family}: its answer is read, cut off anywhere it is none, and no bytes break the reader`, () => {
    const whole = answered(family, encodeEcho(family, { id: 0xfffe, seq: 0x8001, token: TOKEN }));
    const { id, seq, token } = decodeAnswer(family, whole)!;
    assert.deepEqual([id, seq, Buffer.from(token).toString('hex')], [0xfffe, 0x8001, TOKEN.toString('hex')]);
    const least = whole.length - 48;
    for (let length = 0; length < least; length++) assert.equal(decodeAnswer(family, whole.subarray(0, length)), null);
    assert.equal(decodeAnswer(family, encodeEcho(family, { id, seq, token })), null, 'a question is no answer');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const found = decodeAnswer(family, bytes);
        assert.ok(found === null || found.token.length === 8);
      }),
    );
  });

/** A raw-socket whose far end is this function. */
function scene(targets: readonly string[], reply: (packet: Buffer, to: string) => Buffer | Error | null) {
  let now = 0;
  const listeners: ((packet: Buffer) => void)[] = [];
  const opened: number[] = [];
  const module = {
    Protocol: { ICMP: 1, ICMPv6: 58 },
    AddressFamily: { IPv4: 1, IPv6: 2 },
    createSocket: ({ protocol }: { protocol: number }) => {
      opened.push(protocol);
      return {
        on: (event: string, listener: (packet: never) => void) => {
          if (event === 'message') listeners.push(listener as (packet: Buffer) => void);
        },
        send: (packet: Buffer, _from: number, _length: number, to: string, done: (error: Error | null) => void) => {
          const answer = reply(packet, to);
          done(answer instanceof Error ? answer : null);
          now += 3 * MS;
          if (answer instanceof Buffer) for (const listener of listeners) listener(answer);
        },
        close: () => void opened.pop(),
      };
    },
  };
  const prober = new Prober({ targets, intervalNs: 2 * MS, now: () => now, log: quiet, load: () => module });
  return { prober, opened, pass: (ns: number) => (now += ns) };
}

test('each target is asked in turn; answers, losses and refusals are told apart', async () => {
  const { prober, opened, pass } = scene(['10.0.0.1', 'fe80::1%bat0', '10.0.0.3'], (packet, to) =>
    to === '10.0.0.1' ? answered(4, packet) : to === '10.0.0.3' ? new Error('no route') : null,
  );
  assert.deepEqual(opened, [1, 58]);
  for (let i = 0; prober.view().targets.some(({ sent }) => sent < 2); i++) {
    assert.ok(i < 200);
    await pause(3);
    pass(SECOND);
  }
  pass(3 * SECOND);
  const [good, silent, refused] = prober.view().targets as [never, never, never];
  const { sent, answered: got, lastNs, medianNs, loss, error } = good as Record<string, number>;
  assert.ok(got === sent && lastNs === 3 * MS && medianNs === 3 * MS && loss === 0 && error === null);
  assert.deepEqual([(silent as { loss: number }).loss, (silent as { lastNs: null }).lastNs], [1, null]);
  assert.equal((refused as { error: string }).error, 'no route');
  prober.close();
  assert.deepEqual(opened, []);
});

test('an answer to another question, with a wrong token, or twice counts for nothing', async () => {
  const { prober } = scene(['10.0.0.1'], (packet) => {
    const wrong = Buffer.from(packet);
    wrong[9]! ^= 1;
    return answered(4, wrong);
  });
  for (let i = 0; prober.view().targets[0]!.sent < 1 && i < 200; i++) await pause(3);
  assert.equal(prober.view().targets[0]!.answered, 0);
  prober.close();
});

test('without raw-socket nobody is asked, and it is said why', () => {
  const load = () => {
    throw new Error("Cannot find module 'raw-socket'\nRequire stack: ...");
  };
  const prober = new Prober({ targets: ['10.0.0.1'], intervalNs: SECOND, now: () => 0, log: quiet, load });
  assert.match(prober.view().why!, /^round-trip times need raw-socket: Cannot find module 'raw-socket'$/);
  assert.equal(prober.view().targets[0]!.sent, 0);
  prober.close();
});

function obstacle(): string | false {
  try {
    createRequire(import.meta.url)('raw-socket');
  } catch (thrown) {
    return `raw-socket: ${(thrown as Error).message.split('\n', 1)[0]}`;
  }
  return process.getuid?.() === 0 ? false : 'raw sockets need root';
}

test('the loopback answers, over IPv4 and IPv6', { skip: obstacle() }, async () => {
  const targets = ['127.0.0.1', '::1'];
  const now = () => Number(process.hrtime.bigint());
  const prober = new Prober({ targets, intervalNs: 20 * MS, now, log: quiet });
  for (let i = 0; prober.view().targets.some(({ answered }) => answered < 3); i++) {
    assert.ok(i < 500, JSON.stringify(prober.view()));
    await pause(10);
  }
  for (const { medianNs, error } of prober.view().targets)
    assert.ok(medianNs! > 0 && medianNs! < SECOND && error === null);
  prober.close();
});
