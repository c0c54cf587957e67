import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Effect } from '../../../agent/core/effect.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import type { Machine } from '../../../agent/core/machine.ts';
import { NEVER, SECOND } from '../../../agent/core/time.ts';
import { ETH_P_BATMAN } from '../../../agent/heal/ogm.ts';
import {
  ANY,
  decodeFrame,
  type Echo,
  ETH_P_X0,
  encodeEcho,
  type Frame,
  macKey,
  peekAlarm,
} from '../../../agent/heal/wire.ts';
import { ORIGINATOR, port, Router, tables } from './harness.ts';
import { alarmFrom, alarmOf, ethertype, key, wordsOf } from './words.ts';

function echo(counter: number, over: Partial<Echo> = {}): string {
  const asked = { reply: false, asker: '02:00:00:00:00:aa', epoch: 1, counter, ...over };
  return toHex(encodeEcho(asked, '02:00:00:00:00:01', '02:00:00:00:01:01', key));
}

test('an alarm by which nobody else has to move is passed on, and moves nobody', () => {
  const router = new Router();
  const sender = '02:00:00:00:00:cc';
  const frame = alarmOf({ sender, kind: 'link-down', near: ANY, far: ANY, affected: [sender] });
  const effects = router.feed({ type: 'frame', interface: 21, frame });
  assert.deepEqual(
    wordsOf(effects).map(({ index, kind, hops }) => [index, kind, hops]),
    [[22, 'link-down', 3]],
  );
  router.pass(SECOND);
  assert.deepEqual(router.changes, []);
  assert.ok(!router.sent.some((sent) => ethertype(sent.frame) === ETH_P_BATMAN));
});

test('a remote alarm is relayed once, kicks once, and changes no interface', () => {
  const router = new Router({ kickCount: 1 });
  const frame = alarmFrom('02:00:00:00:00:aa', 7);
  router.feed({ type: 'frame', interface: 21, frame });
  router.feed({ type: 'frame', interface: 22, frame });
  router.pass(SECOND);
  const relayed = router.sent.filter(({ frame: sent }) => ethertype(sent) === ETH_P_X0);
  assert.deepEqual(
    relayed.map(({ interface: index }) => index),
    [22],
  );
  const heard = decodeFrame(fromHex(relayed[0]!.frame), key);
  assert.equal(heard.kind === 'alarm' && heard.alarm.hops, 7);
  assert.equal(
    router.sent.filter(({ frame: sent }) => ethertype(sent) === ETH_P_BATMAN).length,
    2,
    'one OGM on each of two ports',
  );
  assert.ok(router.changes.every((effect) => effect.change.kind === 'set-mesh'));
  assert.ok(router.effects.some((effect) => effect.type === 'remember-mark' && effect.counter === 7));
});

test('alarms that must not be believed', () => {
  const good = fromHex(alarmFrom('02:00:00:00:00:aa', 1));
  const otherKey = alarmOf({ sender: ORIGINATOR }, ORIGINATOR, macKey(fromHex('cd'.repeat(32))));
  const cases: [string, number, string][] = [
    ['tag', 21, toHex(good.map((byte, i) => (i === 40 ? byte ^ 1 : byte)))],
    ['tag', 21, otherKey],
    ['short', 21, toHex(good.subarray(0, 40))],
    ['version', 21, toHex(good.map((byte, i) => (i === 16 ? 9 : byte)))],
    ['magic', 21, toHex(good.map((byte, i) => (i === 14 ? 9 : byte)))],
    ['kind', 21, toHex(good.map((byte, i) => (i === 17 ? 99 : byte)))],
  ];
  for (const [reason, index, frame] of cases) {
    const router = new Router();
    router.feed({ type: 'frame', interface: index, frame });
    assert.deepEqual(router.sent, [], reason);
    const refused = router.effects.find((effect) => effect.type === 'metric' && effect.name === 'alarms_refused_total');
    assert.equal(refused?.type === 'metric' && refused.labels.reason, reason);
  }
});

test('a replayed alarm is refused, also after a restart', () => {
  const router = new Router();
  router.runtime.feed(
    { type: 'started', node: 'r1', epoch: 4, marks: [{ sender: '02:00:00:00:00:aa', epoch: 5, counter: 9 }] },
    router.now,
  );
  for (const [epoch, counter, taken] of [
    [5, 9, false],
    [5, 8, false],
    [4, 99, false],
    [5, 10, true],
    [6, 1, true],
  ] as const) {
    const effects = router.feed({
      type: 'frame',
      interface: 21,
      frame: alarmFrom('02:00:00:00:00:aa', counter, epoch),
    });
    assert.equal(
      effects.some((effect) => effect.type === 'remember-mark'),
      taken,
      `${epoch}/${counter}`,
    );
  }
});

test('an epoch that no router can be in poisons nobody', () => {
  const router = new Router();
  const reasons = (effects: readonly Effect[]) =>
    effects.flatMap((one) => (one.type === 'metric' && one.labels.reason !== undefined ? [one.labels.reason] : []));
  const from = (counter: number, epoch: number) =>
    router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', counter, epoch) });
  assert.deepEqual(reasons(from(1, 2 ** 32 - 1)), ['epoch']);
  assert.ok(
    from(1, 1).some((effect) => effect.type === 'remember-mark'),
    'the router itself is heard',
  );
});

test('who finds its name used by another who has the key goes on above that', () => {
  const router = new Router();
  const raised = () => {
    const alarm = { kind: 'kick', near: ANY, far: ANY, affected: [], hops: 2 } as const;
    const [sent] = router.room.alarm.on({ type: 'raise-alarm', reason: 'own-fault', alarm, avoid: [] }, router.now);
    return peekAlarm(fromHex((sent as Extract<Effect, { type: 'send' }>).frames[0]!.frame))!;
  };
  const before = raised();
  assert.equal(before.epoch, 3);
  const own = alarmFrom(ORIGINATOR, before.counter, 3);
  router.feed({ type: 'frame', interface: 21, frame: own });
  assert.equal(raised().epoch, 3, 'its own, relayed back to it, is no reason');
  router.feed({ type: 'frame', interface: 21, frame: alarmFrom(ORIGINATOR, 77, 900) });
  assert.equal(raised().epoch, 901);
});

test('a new neighbour counts as one that answers, however many did before it', () => {
  const router = new Router({ echoNs: 10e9 });
  const { alarm } = router.room;
  const answers = (n: number): void => {
    const neighbour = `02:00:00:01:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`;
    const [asked] = alarm.on({ type: 'ask', neighbour, interface: 21 }, router.now);
    const { frame } = (asked as Extract<Effect, { type: 'send' }>).frames[0]!;
    const { echo } = decodeFrame(fromHex(frame), key) as Extract<Frame, { kind: 'echo' }>;
    const reply = encodeEcho({ ...echo, reply: true }, port(1).mac, neighbour, key);
    alarm.on({ type: 'frame', interface: 21, frame: toHex(reply) }, router.now);
  };
  for (let n = 0; n < 1100; n++) answers(n);
  const last = '02:00:00:01:04:4b';
  router.feed({ type: 'tables', tables: tables([[last, 1, true]], [[last, 1]]) });
  let lost = 0;
  for (let second = 0; second < 25; second++) {
    router.now += 1e9;
    for (const effect of alarm.on({ type: 'tick' }, router.now))
      if (effect.type === 'emit' && effect.event.type === 'echo-lost' && effect.event.neighbour === last) lost += 1;
  }
  assert.ok(lost > 0, 'its silence is told');
});

test('budgets: a sender, all senders, and all kicks are bounded', () => {
  const router = new Router({ senderBudget: 3, kickBudget: 5, kickCount: 1 });
  let taken = 0;
  for (let i = 1; i <= 50; i++) {
    const effects = router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', i) });
    if (effects.some((effect) => effect.type === 'metric' && effect.name === 'alarms_received_total')) taken++;
    assert.ok(
      effects.some((effect) => effect.type === 'remember-mark'),
      'taken or not, it must not come again after a restart',
    );
  }
  assert.equal(taken, 3, 'one sender');
  for (let i = 1; i <= 90; i++) {
    const sender = `02:00:00:00:01:${(i + 10).toString(16).padStart(2, '0')}`;
    router.feed({ type: 'frame', interface: 21, frame: alarmFrom(sender, 1) });
  }
  const kicks = router.sent.filter(({ frame }) => ethertype(frame) === ETH_P_BATMAN).length / 2;
  assert.equal(kicks, 2, 'others’ alarms may use up half');
  for (let i = 0; i < 9; i++) router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const all = router.sent.filter(({ frame }) => ethertype(frame) === ETH_P_BATMAN).length / 2;
  assert.equal(all, 5, 'kicks in all');
});

test('off neither speaks nor listens', () => {
  const router = new Router({ mode: 'off', echoNs: 10 * SECOND });
  router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', 1) });
  router.feed({ type: 'frame', interface: 21, frame: echo(1) });
  router.pass(60 * SECOND);
  assert.deepEqual(router.sent, []);
});

test('echoes: each request is answered once, and an answer counts only in time', () => {
  const router = new Router({ echoNs: 10 * SECOND });
  const answers = [1, 1, 2, 1].map((n) => router.feed({ type: 'frame', interface: 21, frame: echo(n) }));
  assert.deepEqual(
    answers.map((effects) => effects.some(({ type }) => type === 'send')),
    [true, false, true, false],
  );
  router.pass(11 * SECOND);
  const question = router.sent.findLast(({ interface: index }) => index === 21)!;
  const heard = decodeFrame(fromHex(question.frame), key);
  assert.ok(heard.kind === 'echo' && !heard.echo.reply);
  router.pass(2 * SECOND);
  const late = echo(heard.echo.counter, { ...heard.echo, reply: true });
  const effects = router.feed({ type: 'frame', interface: 21, frame: late });
  assert.ok(effects.some((effect) => effect.type === 'metric' && effect.labels.reason === 'late-echo'));
});

test('an epoch that no router can be in silences no asker, and one key’s askers say nothing of another’s', () => {
  const other = 'cd'.repeat(32);
  const router = new Router();
  const isAnswered = (frame: string) =>
    router.feed({ type: 'frame', interface: 21, frame }).some(({ type }) => type === 'send');
  assert.ok(!isAnswered(echo(0xffff_ffff, { epoch: 0xffff_ffff })));
  assert.ok(isAnswered(echo(1)));
  assert.ok(isAnswered(echo(1, { epoch: 4_000_000_000 })), 'who has the key can use up the epochs of a name');
  assert.ok(!isAnswered(echo(2)));
  router.feed({ type: 'settings', settings: { ...router.room.monitor.settings, key: other }, marks: [] });
  const asked = { reply: false, asker: '02:00:00:00:00:aa', epoch: 1, counter: 3 };
  assert.ok(
    isAnswered(toHex(encodeEcho(asked, '02:00:00:00:00:01', '02:00:00:00:01:01', macKey(fromHex(other))))),
    'until there is another key',
  );
});

test('an unanswered echo is lost, but for what a router that is short of time did not hear', () => {
  for (const [vitals, lost] of [
    [{ busy: 0.5, lateNs: 0 }, true],
    [{ busy: 1, lateNs: 0 }, false],
    [{ busy: null, lateNs: SECOND }, false],
  ] as const) {
    let said = 0;
    const listener: Machine = {
      name: 'listener',
      on(event) {
        if (event.type === 'echo-lost') said += 1;
        return [];
      },
      deadline: () => NEVER,
    };
    const router = new Router({ echoNs: 10 * SECOND }, undefined, undefined, { machines: [listener] });
    router.pass(11 * SECOND);
    const question = router.sent.findLast(({ interface: index }) => index === 21)!;
    const heard = decodeFrame(fromHex(question.frame), key);
    assert.ok(heard.kind === 'echo');
    const answer = echo(heard.echo.counter, { ...heard.echo, reply: true });
    router.feed({ type: 'frame', interface: 21, frame: answer });
    const rest = { ownBusy: 0, availableKib: null, totalKib: null, rssKib: 0, flashKib: null, wallOffsetMs: 0 };
    router.feed({ type: 'vitals', vitals: { ...rest, ...vitals } });
    router.pass(22 * SECOND);
    assert.equal(said > 0, lost, JSON.stringify(vitals));
  }
});

test('a round trip ends when the kernel had the answer, and not when we read it', () => {
  const rtt = (readLate?: number): number => {
    const router = new Router({ echoNs: 10 * SECOND });
    router.pass(11 * SECOND);
    const heard = decodeFrame(fromHex(router.sent.findLast(({ interface: index }) => index === 21)!.frame), key);
    assert.ok(heard.kind === 'echo');
    const frame = echo(heard.echo.counter, { ...heard.echo, reply: true });
    const at = readLate === undefined ? {} : { at: router.now - readLate };
    const voice = router.room.machines.find(({ name }) => name === 'alarm')!;
    const effects = voice.on({ type: 'frame', interface: 21, frame, ...at }, router.now);
    return effects.flatMap((one) => (one.type === 'emit' && one.event.type === 'echo' ? [one.event.rttNs] : []))[0]!;
  };
  assert.equal(rtt() - rtt(30e6), 30e6);
});

test('another key has other marks, and the old one finds its own again', () => {
  const router = new Router();
  const settings = router.room.monitor.settings;
  const taken = (frame: string) =>
    router.feed({ type: 'frame', interface: 21, frame }).some(({ type }) => type === 'remember-mark');
  assert.ok(taken(alarmFrom('02:00:00:00:00:aa', 500)));
  router.feed({ type: 'settings', settings: { ...settings, key: 'cd'.repeat(32) } });
  const other = macKey(fromHex('cd'.repeat(32)));
  const sender = '02:00:00:00:00:aa';
  assert.ok(taken(alarmOf({ sender, counter: 1 }, ANY, other)), 'low numbers count under a new key');
  router.feed({ type: 'settings', settings });
  assert.ok(!taken(alarmFrom('02:00:00:00:00:aa', 500)), 'and a replay under the old one stays a replay');
});

test('alarms that overtake each other are each taken once; what is far behind is a replay', () => {
  const router = new Router({ senderBudget: 600 });
  const taken = (counter: number) =>
    router
      .feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', counter) })
      .some(({ type }) => type === 'remember-mark');
  for (const [counter, isNew] of [
    [100, true],
    [98, true],
    [98, false],
    [99, true],
    [100, false],
    [140, true],
    [108, true],
    [107, false],
    [139, true],
    [139, false],
    [172, true],
    [140, false],
    [141, true],
    [139, false],
  ] as const)
    assert.equal(taken(counter), isNew, String(counter));
});

test('alarms in any order, some of them twice: none is taken twice', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 200 }), (counters) => {
      const router = new Router({ senderBudget: 60_000 });
      const seen = new Set<number>();
      for (const counter of counters) {
        const isTaken = router
          .feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', counter) })
          .some(({ type }) => type === 'remember-mark');
        assert.ok(!isTaken || !seen.has(counter), String(counter));
        const newest = Math.max(0, ...seen);
        assert.equal(isTaken, !seen.has(counter) && counter >= newest - 32);
        if (isTaken) seen.add(counter);
      }
    }),
    { numRuns: 60 },
  );
});
