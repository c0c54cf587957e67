import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { type Nanos, SECOND } from '../../../agent/core/time.ts';
import { toCbor } from '../../../agent/peer/cbor.ts';
import { decodeFrame, encodeFrame, type Frame } from '../../../agent/peer/frame.ts';
import { type Ask, Session, type SessionEvent } from '../../../agent/peer/session.ts';
import { Inbox, type Priority } from '../../../agent/peer/streams.ts';

type Request = Extract<SessionEvent, { type: 'request' }>;

/** Two ends, and a wire that carries as much as it is let. */
class Pair {
  now: Nanos = 0;
  readonly a = new Session(0);
  readonly b = new Session(0);
  readonly events: { readonly at: 'a' | 'b'; readonly event: SessionEvent }[] = [];
  /** Frames in the order in which they left a. */
  readonly sent: Frame[] = [];
  /** What b does with a request; nothing if absent. */
  answer: ((request: Request) => unknown) | null = ({ body }) => body;

  /** Carries up to so many frames of a, and all of b. */
  carry(most = Number.POSITIVE_INFINITY): void {
    for (let moved = true; moved; ) {
      moved = false;
      const forth = most > 0 ? this.a.next() : null;
      if (forth !== null) {
        most -= 1;
        moved = true;
        this.sent.push(decodeFrame(forth));
        this.take('b', this.b.receive(forth, this.now));
      }
      const back = this.b.next();
      if (back !== null) {
        moved = true;
        this.take('a', this.a.receive(back, this.now));
      }
    }
    this.take('a', this.a.sent(this.now));
    this.take('b', this.b.sent(this.now));
  }

  take(at: 'a' | 'b', events: readonly SessionEvent[]): void {
    for (const event of events) {
      this.events.push({ at, event });
      if (at === 'b' && event.type === 'request' && this.answer !== null)
        this.b.settle(event.ticket, { body: this.answer(event) });
    }
  }

  /** Lets time pass as a world does: a tick at each deadline. */
  pass(ns: Nanos, carry = true): void {
    const end = this.now + ns;
    for (;;) {
      const next = Math.min(this.a.deadline(), this.b.deadline());
      if (next > end) break;
      this.now = Math.max(this.now, next);
      this.take('a', this.a.tick(this.now));
      this.take('b', this.b.tick(this.now));
      if (carry) this.carry();
    }
    this.now = end;
  }

  of(at: 'a' | 'b', type: SessionEvent['type']): SessionEvent[] {
    return this.events.filter((one) => one.at === at && one.event.type === type).map(({ event }) => event);
  }

  ask(body: unknown, over: Partial<Ask> = {}): number {
    return this.a.request({ kind: 'echo', body, priority: 'normal', deadlineNs: 10 * SECOND, ...over }, this.now);
  }
}

function brokenBy(events: readonly SessionEvent[]): string | null {
  const last = events.at(-1);
  return last?.type === 'broken' ? (last.error?.code ?? 'in good order') : null;
}

const part = (over: Partial<Extract<Frame, { type: 'part' }>> = {}): Uint8Array =>
  encodeFrame({ type: 'part', stream: 4, last: true, id: 1, bytes: toCbor(['echo', 1, 1000, 1000]), ...over });

test('request and answer, of every priority and size', () => {
  const pair = new Pair();
  const asked = new Map<number, unknown>();
  for (const priority of ['fault', 'control', 'normal', 'bulk'] as const satisfies Priority[])
    for (const size of [0, 1, 8191, 8192, 8193, 16_000]) {
      const body = new Uint8Array(size).fill(size);
      asked.set(pair.ask(body, { priority }), body);
    }
  pair.carry();
  const answers = pair.of('a', 'answered') as Extract<SessionEvent, { type: 'answered' }>[];
  assert.equal(answers.length, asked.size);
  for (const { id, body } of answers) assert.deepEqual(body, asked.get(id));
  assert.deepEqual(pair.a.pending, { asked: 0, handled: 0, queued: 0 });
  assert.deepEqual(pair.b.pending, { asked: 0, handled: 0, queued: 0 });
});

test('a fault overtakes bulk that is under way', () => {
  const pair = new Pair();
  for (let i = 0; i < 3; i++) pair.ask(new Uint8Array(60_000), { priority: 'bulk' });
  pair.carry(2);
  pair.a.tell('fault', 'now', 'fault');
  pair.carry();
  const streams = pair.sent.filter((one) => one.type === 'part').map(({ stream }) => stream);
  assert.equal(streams.indexOf(0), 2, 'right after the two parts that had left');
});

test('no more is under way than the other side gives credit for, and all of it arrives once it does', () => {
  const pair = new Pair();
  pair.answer = null;
  const count = 40;
  for (let i = 0; i < count; i++) pair.ask(new Uint8Array(20_000));
  pair.carry();
  const bytes = pair.sent.reduce((sum, one) => sum + (one.type === 'part' ? one.bytes.length : 0), 0);
  assert.ok(bytes <= 64 * 1024, `${bytes} bytes without an answer`);
  // What is urgent passes by the stream that waits.
  pair.a.tell('fault', 1, 'fault');
  pair.carry();
  assert.equal((pair.of('b', 'request').at(-1) as Request).kind, 'fault');
  pair.answer = ({ body }) => body;
  for (const request of pair.of('b', 'request') as Request[]) pair.b.settle(request.ticket, { body: 1 });
  pair.carry();
  assert.equal(pair.of('a', 'answered').length, count);
});

test('both ask at once more than they take: nobody waits for the other forever', () => {
  const pair = new Pair();
  for (let i = 0; i < 50; i++) {
    pair.ask(new Uint8Array(30_000));
    pair.b.request({ kind: 'x', body: new Uint8Array(30_000), priority: 'normal', deadlineNs: SECOND }, 0);
  }
  for (let i = 0; i < 200; i++) {
    pair.carry();
    for (const { at, event } of pair.events.splice(0))
      if (at === 'a' && event.type === 'request') pair.a.settle(event.ticket, { body: new Uint8Array(90_000) });
  }
  assert.deepEqual(pair.a.pending, { asked: 0, handled: 0, queued: 0 });
  assert.deepEqual(pair.b.pending, { asked: 0, handled: 0, queued: 0 });
});

test('what is too much for the queue is refused to who asks, and so is what is too long', () => {
  const pair = new Pair();
  assert.throws(() => pair.ask(new Uint8Array(40_000)), { code: 'E_PEER_BUSY' });
  assert.throws(
    () => {
      for (;;) pair.ask(new Uint8Array(30_000));
    },
    { code: 'E_PEER_BUSY' },
  );
  assert.ok(pair.a.pending.queued < 3 * 1024 * 1024);
});

test('a deadline: who asked hears of it, who answers is told to stop, and a late answer changes nothing', () => {
  const pair = new Pair();
  pair.answer = null;
  const id = pair.ask('slow', { deadlineNs: SECOND });
  pair.carry();
  const [{ ticket }] = pair.of('b', 'request') as [Request];
  pair.pass(2 * SECOND);
  const [failed] = pair.of('a', 'failed') as Extract<SessionEvent, { type: 'failed' }>[];
  assert.equal(failed!.id, id);
  assert.equal(failed!.error.code, 'E_PEER_DEADLINE');
  assert.deepEqual(pair.of('b', 'cancelled'), [{ type: 'cancelled', ticket }]);
  pair.b.settle(ticket, { body: 1 });
  pair.carry();
  assert.equal(pair.of('a', 'answered').length, 0);
  assert.equal(pair.a.pending.asked + pair.b.pending.handled, 0);
});

test('what is asked and taken back at once has its place until whoever is at work on it is done', () => {
  const pair = new Pair();
  pair.answer = null;
  for (let i = 0; i < 64; i++) {
    const id = pair.ask(i, { deadlineNs: i % 2 === 0 ? SECOND : 10 * SECOND });
    pair.carry();
    if (i % 2 === 1) pair.a.cancel(id);
    pair.carry();
  }
  pair.pass(2 * SECOND);
  assert.equal(pair.of('b', 'cancelled').length, 64);
  assert.equal(pair.b.pending.handled, 0);
  pair.ask('one more');
  pair.carry();
  const [busy] = pair.of('a', 'failed').slice(-1) as Extract<SessionEvent, { type: 'failed' }>[];
  assert.match(busy!.error.message, /too many requests at once/);
  assert.equal(pair.of('b', 'request').length, 64);
  for (const { ticket } of pair.of('b', 'request') as Request[]) pair.b.settle(ticket, { body: null });
  pair.ask('one more');
  pair.carry();
  assert.equal(pair.of('b', 'request').length, 65);
});

test('a request that has not left is taken back', () => {
  const pair = new Pair();
  pair.a.cancel(pair.ask('x'));
  pair.carry();
  assert.deepEqual(pair.events, []);
  assert.equal(pair.a.pending.queued, 0);
});

test('answers that nobody has asked for are let go by, and nothing of them is held', () => {
  const session = new Session(0);
  const inbox = new Inbox();
  for (let id = 1; id <= 64; id++) {
    const last = id % 64 === 0;
    const bytes = new Uint8Array(8192);
    assert.deepEqual(session.receive(part({ stream: 7, id: 5, last, bytes }), 0), []);
    inbox.giveBack(7, inbox.costOf(bytes));
    assert.deepEqual(
      inbox.part(7, 5, last, bytes, 1 << 20, false),
      last ? { bytes: new Uint8Array(0), cost: 64 * (8192 + 128) } : null,
    );
  }
  assert.equal(brokenBy(session.receive(part({ stream: 7, id: 5, bytes: Uint8Array.of(0xff) }), 0)), null);
  const endless = (): void => {
    for (let i = 0; i < 200; i++) {
      inbox.giveBack(7, 8192 + 128);
      inbox.part(7, 6, false, new Uint8Array(8192), 1 << 20, false);
    }
  };
  assert.throws(endless, { code: 'E_PEER_PROTOCOL' });
});

test("the other side's refusal comes as E_PEER_REFUSED with its code", () => {
  const pair = new Pair();
  pair.answer = null;
  pair.ask('x');
  pair.carry();
  const [{ ticket }] = pair.of('b', 'request') as [Request];
  pair.b.settle(ticket, { error: new AgentError('E_FORBIDDEN', 'not for you') });
  pair.carry();
  const [{ error }] = pair.of('a', 'failed') as [Extract<SessionEvent, { type: 'failed' }>];
  assert.equal(error.code, 'E_PEER_REFUSED');
  assert.equal(error.detail.code, 'E_FORBIDDEN');
});

test('an answer that is longer than was asked for is a refusal', () => {
  const pair = new Pair();
  pair.answer = () => new Uint8Array(5000);
  pair.ask('x', { most: 4000 });
  pair.carry();
  assert.equal(pair.of('a', 'failed').length, 1);
});

test('an idle session asks whether the other is there, knows how long that takes, and stands for a day', () => {
  const pair = new Pair();
  pair.pass(24 * 3600 * SECOND);
  assert.equal(brokenBy(pair.events.map(({ event }) => event)), null);
  assert.equal(pair.a.rttNs, 0);
  assert.ok(pair.sent.length > 1000);
});

test('a side that says nothing is given up, within 30 s, and 6 s where the link is suspected', () => {
  const silent = new Pair();
  silent.pass(29 * SECOND, false);
  assert.equal(brokenBy(silent.events.map(({ event }) => event)), null);
  silent.pass(2 * SECOND, false);
  assert.deepEqual(
    silent.of('a', 'broken').map((event) => event.type === 'broken' && event.error?.code),
    ['E_PEER_SILENT'],
  );
  const suspected = new Pair();
  suspected.a.link('suspect', 0);
  suspected.pass(5.9 * SECOND, false);
  assert.equal(suspected.of('a', 'broken').length, 0);
  suspected.pass(0.2 * SECOND, false);
  assert.equal(suspected.of('a', 'broken').length, 1);
});

test('a suspicion is over with the answer to the question that it caused, not with what was on its way', () => {
  const pair = new Pair();
  const earlier = pair.b;
  earlier.tell('x', 1, 'normal');
  pair.a.link('suspect', 0);
  pair.a.receive(earlier.next()!, SECOND);
  pair.now = SECOND;
  pair.pass(6.9 * SECOND, false);
  assert.equal(pair.of('a', 'broken').length, 1, 'no answer');
  const sound = new Pair();
  sound.a.link('suspect', 0);
  sound.carry();
  sound.pass(20 * SECOND, true);
  assert.equal(sound.of('a', 'broken').length, 0);
});

test('a side that stops reading is given up', () => {
  const pair = new Pair();
  pair.a.writable(false, 0);
  for (let s = 0; s < 15; s++) {
    assert.equal(brokenBy(pair.a.tick(pair.now)), null);
    pair.now += SECOND;
    // It still speaks.
    pair.a.receive(encodeFrame({ type: 'credit', stream: 0, bytes: 0 }), pair.now);
  }
  assert.equal(brokenBy(pair.a.tick(pair.now)), 'E_PEER_SILENT');
});

const BREACHES: readonly [string, (s: Session) => SessionEvent[]][] = [
  ['garbage', (s) => s.receive(Uint8Array.of(200, 1, 2), 0)],
  ['a second proof', (s) => s.receive(encodeFrame({ type: 'proof', bytes: new Uint8Array(3) }), 0)],
  ['a stream that is none', (s) => s.receive(part({ stream: 8 }), 0)],
  ['an empty part', (s) => s.receive(part({ bytes: new Uint8Array(0) }), 0)],
  [
    'a message within another',
    (s) => {
      assert.deepEqual(s.receive(part({ last: false, bytes: new Uint8Array(1024) }), 0), []);
      return s.receive(part({ id: 2 }), 0);
    },
  ],
  [
    'a part that is too short for one that goes on',
    (s) => s.receive(part({ last: false, bytes: new Uint8Array(1023) }), 0),
  ],
  ['what is not CBOR', (s) => s.receive(part({ bytes: Uint8Array.of(0xff) }), 0)],
  ['a request that is none', (s) => s.receive(part({ bytes: toCbor({ kind: 'echo' }) }), 0)],
  ['a deadline without end', (s) => s.receive(part({ bytes: toCbor(['echo', 1, 1e12, 10]) }), 0)],
  ['a negative deadline', (s) => s.receive(part({ bytes: toCbor(['echo', 1, -1, 10]) }), 0)],
  ['a kind without end', (s) => s.receive(part({ bytes: toCbor(['x'.repeat(65), 1, 1, 10]) }), 0)],
  [
    'an answer that is none',
    (s) => {
      const id = s.request({ kind: 'x', body: 1, priority: 'normal', deadlineNs: SECOND }, 0);
      return s.receive(part({ stream: 5, id, bytes: toCbor([2, 3]) }), 0);
    },
  ],
  ['credit beyond the window', (s) => s.receive(encodeFrame({ type: 'credit', stream: 0, bytes: 1 }), 0)],
  ['credit for no stream', (s) => s.receive(encodeFrame({ type: 'credit', stream: 9, bytes: 1 }), 0)],
  [
    'more than it had credit for',
    (s) => {
      for (let id = 1; ; id++) {
        const events = s.receive(part({ id, bytes: toCbor(['echo', new Uint8Array(8000), 1000, 1000]) }), 0);
        if (brokenBy(events) !== null) return events;
        assert.ok(id < 20, 'taken without end');
      }
    },
  ],
  [
    'a request without an end',
    (s) => {
      for (let i = 0; ; i++) {
        const events = s.receive(part({ last: false, bytes: new Uint8Array(1024) }), 0);
        if (brokenBy(events) !== null) return events;
        assert.ok(i < 200, 'taken without end');
      }
    },
  ],
  [
    'nothing but pings',
    (s) => {
      for (let number = 0; ; number++) {
        const events = s.receive(encodeFrame({ type: 'ping', number }), 0);
        if (brokenBy(events) !== null) return events;
        assert.ok(number < 200, 'answered without end');
      }
    },
  ],
];

for (const [what, does] of BREACHES)
  test(`the session ends with E_PEER_PROTOCOL: ${what}`, () => {
    const session = new Session(0);
    assert.equal(brokenBy(does(session)), 'E_PEER_PROTOCOL');
    assert.deepEqual(session.receive(part(), 0), [], 'nothing is taken after that');
    assert.throws(() => session.tell('x', 1, 'normal'), { code: 'E_PEER_CLOSED' });
  });

test('many small requests: so many are handled at once, the rest is refused as busy or not sent', () => {
  const pair = new Pair();
  pair.answer = null;
  for (let i = 0; i < 1000; i++) pair.ask(i);
  pair.carry();
  assert.equal(pair.of('b', 'request').length, 64);
  assert.equal(pair.b.pending.handled, 64);
});

test('leaving: what is under way is finished, nothing new begins, both ends end in good order', () => {
  const pair = new Pair();
  pair.answer = null;
  pair.ask('x');
  pair.carry();
  pair.a.leave('duplicate', 0);
  pair.carry();
  assert.deepEqual(pair.of('b', 'leaving'), [{ type: 'leaving', reason: 'duplicate' }]);
  assert.throws(() => pair.ask('y'), { code: 'E_PEER_CLOSED' });
  assert.equal(pair.of('a', 'broken').length, 0);
  pair.b.settle((pair.of('b', 'request')[0] as Request).ticket, { body: 1 });
  pair.carry();
  assert.equal(pair.of('a', 'answered').length, 1);
  for (const at of ['a', 'b'] as const) assert.deepEqual(pair.of(at, 'broken'), [{ type: 'broken', error: null }]);
});

test('leaving does not wait without end', () => {
  const pair = new Pair();
  pair.answer = null;
  pair.ask('x', { deadlineNs: 500 * SECOND });
  pair.carry();
  pair.a.leave('leaving', 0);
  pair.pass(6 * SECOND);
  assert.equal(pair.of('a', 'broken').length, 1);
  assert.equal(pair.of('a', 'failed').length, 1);
});

test('whatever frames come in whatever order: no throw, and what waits is bounded', () => {
  const u8 = fc.nat(9);
  const hostile: fc.Arbitrary<Uint8Array> = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.record({ stream: u8, last: fc.boolean(), id: u8, bytes: fc.uint8Array({ maxLength: 30 }) }).map(part),
    fc.record({ stream: u8, id: u8 }).map((over) => part(over)),
    fc.record({ type: fc.constant('credit' as const), stream: u8, bytes: fc.nat(300) }).map(encodeFrame),
    fc.record({ type: fc.constant('cancel' as const), id: u8 }).map(encodeFrame),
    fc.record({ type: fc.constantFrom('ping' as const, 'pong' as const), number: u8 }).map(encodeFrame),
    fc.record({ type: fc.constant('bye' as const), reason: u8 }).map(encodeFrame),
  );
  fc.assert(
    fc.property(fc.array(hostile, { maxLength: 60 }), (frames) => {
      const session = new Session(0);
      for (const [i, one] of frames.entries()) {
        if (i % 7 === 0)
          try {
            session.request({ kind: 'x', body: i, priority: 'normal', deadlineNs: SECOND }, i);
          } catch (thrown) {
            assert.ok(thrown instanceof AgentError);
          }
        for (const event of session.receive(one, i))
          if (event.type === 'request') session.settle(event.ticket, { body: 1 });
        session.tick(i * SECOND);
        session.next();
      }
      assert.ok(session.pending.handled <= 64);
    }),
    { numRuns: 500 },
  );
});
