import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { ETH_P_BATMAN, parseOgms } from '../../../agent/heal/ogm.ts';
import { decodeFrame, ETH_P_X0, encodeAlarm, macKey } from '../../../agent/heal/wire.ts';
import { bat0, KEY, milliseconds, ORIGINATOR, ownOgm, port, Router, TWO_WAYS, tables } from './harness.ts';

const key = macKey(fromHex(KEY));

function ethertype(frame: string): number {
  return Number.parseInt(frame.slice(24, 28), 16);
}

function alarmFrom(sender: string, counter: number, epoch = 1, hops = 8): string {
  const alarm = {
    sender,
    epoch,
    counter,
    kind: 'link-down',
    near: '02:00:00:00:01:01',
    far: '02:00:00:00:01:07',
    affected: [],
    hops,
  } as const;
  return toHex(encodeAlarm(alarm, '02:00:00:00:01:01', key));
}

test('a lost carrier: alarm and first OGM leave in the same turn, before anything is written down', () => {
  const router = new Router();
  const effects = router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  const kinds = effects
    .filter((effect) => effect.type === 'send' || effect.type === 'journal')
    .map((effect) => effect.type);
  assert.deepEqual(kinds, ['send', 'send', 'journal']);
  assert.deepEqual(
    router.sent.map((frame) => [frame.interface, ethertype(frame.frame)]),
    [
      [22, ETH_P_X0],
      [22, ETH_P_BATMAN],
    ],
    'neither the dead interface nor the primary one is used',
  );
});

test('a kick sends contiguous sequence numbers from the kernel’s last, at the configured pace', () => {
  const router = new Router({ kickCount: 4, kickSpacingNs: milliseconds(5) });
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(milliseconds(14));
  const ogms = router.sent.filter((frame) => ethertype(frame.frame) === ETH_P_BATMAN);
  assert.deepEqual(
    ogms.map((frame) => parseOgms(fromHex(frame.frame), 'BATMAN_IV')[0]?.seqno),
    [1001, 1002, 1003],
  );
  router.pass(milliseconds(2));
  assert.equal(router.sent.filter((frame) => ethertype(frame.frame) === ETH_P_BATMAN).length, 4);
  router.pass(milliseconds(100));
  assert.equal(
    router.sent.filter((frame) => ethertype(frame.frame) === ETH_P_BATMAN).length,
    4,
    'and then it is silent',
  );
});

test('a second kick goes on from the highest number sent, though the kernel is behind', () => {
  const router = new Router({ kickCount: 3 });
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  router.pass(SECOND);
  router.feed(ownOgm(1001));
  router.effects.length = 0;
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const ogm = router.sent.find((frame) => ethertype(frame.frame) === ETH_P_BATMAN);
  assert.equal(parseOgms(fromHex(ogm!.frame), 'BATMAN_IV')[0]?.seqno, 1004);
});

test('after a kick we go on for the kernel, slower than it counts, until it has caught up', () => {
  const router = new Router({ kickCount: 4 });
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  let own = 1000;
  let last = 0;
  for (let second = 1; second <= 60; second++) {
    const before = router.sent.length;
    router.pass(SECOND);
    router.feed(ownOgm(++own));
    if (router.sent.length > before) last = second;
  }
  assert.ok(last > 5 && last < 30, `the last one after ${last} s`);
  const seqnos = router.sent.filter(({ interface: index, frame }) => index === 21 && ethertype(frame) === ETH_P_BATMAN);
  const numbers = seqnos.map(({ frame }) => parseOgms(fromHex(frame), 'BATMAN_IV')[0]!.seqno);
  assert.deepEqual(
    numbers,
    numbers.map((_, i) => 1001 + i),
    'no number is left out',
  );
});

test('aggregation is off while kicks are about, with its undo armed, and on again after', () => {
  const router = new Router();
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const off = router.changes.at(-1)!;
  assert.deepEqual(off.change, { kind: 'set-mesh', mesh: 'bat0', settings: { aggregatedOgms: false } });
  assert.deepEqual(off.undo, { kind: 'set-mesh', mesh: 'bat0', settings: { aggregatedOgms: true } });
  router.pass(SECOND);
  assert.deepEqual(router.changes.at(-1)!.change, {
    kind: 'set-mesh',
    mesh: 'bat0',
    settings: { aggregatedOgms: true },
  });
  assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === off.id));
});

test('a mesh that runs without aggregation is left without', () => {
  const router = new Router(
    {},
    undefined,
    tables([], [], { settings: { ...TWO_WAYS.mesh!.settings, aggregatedOgms: false } }),
  );
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  router.pass(SECOND);
  assert.deepEqual(router.changes, []);
});

test('the dead interface leaves bat0 after the kick, returns with its carrier, and the story ends', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(milliseconds(40));
  const detach = router.changes.find((effect) => effect.change.kind === 'set-master')!;
  assert.deepEqual(detach.change, { kind: 'set-master', interface: 'eth1', master: null });
  assert.deepEqual(detach.undo, { kind: 'set-master', interface: 'eth1', master: 'bat0' });
  router.feed({ type: 'link', link: port(1, { carrier: false, master: 0 }), cause: 'event' });
  router.done(detach.id);
  router.pass(milliseconds(700));
  router.feed({ type: 'tables', tables: tables([['02:00:00:00:00:aa', 2, true]], [['02:00:00:00:01:02', 2]]) });
  assert.deepEqual(
    router.decisions.map(({ step, action }) => [step, action]),
    [
      ['planned', 'detach'],
      ['verified', 'detach'],
    ],
  );
  router.feed({ type: 'link', link: port(1, { carrier: true, master: 0 }), cause: 'event' });
  router.pass(milliseconds(10));
  assert.deepEqual(router.changes.at(-1)!.change, { kind: 'set-master', interface: 'eth1', master: 'bat0' });
  router.done(router.changes.at(-1)!.id);
  router.feed({ type: 'link', link: port(1), cause: 'event' });
  assert.equal(router.decisions.at(-1)!.step, 'over');
  assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === detach.id));
});

test('what is refused says why', () => {
  const cases: [string, Router, RegExp][] = [
    ['its last interface', new Router({}, [port(1)]), /last hard interface/],
    [
      'no other way',
      new Router({}, undefined, tables([['02:00:00:00:00:aa', 1, true]], [])),
      /no other way is known to 1 of 1 routers/,
    ],
    [
      'a leaf behind it',
      new Router(
        {},
        undefined,
        tables(
          [
            ['02:00:00:00:00:aa', 1, true],
            ['02:00:00:00:00:aa', 2, false],
            ['02:00:00:00:00:bb', 1, true],
          ],
          [],
        ),
      ),
      /no other way is known to 1 of 2 routers/,
    ],
    ['configured off', new Router({ detach: false }), /heal.detach is off/],
  ];
  for (const [name, router, why] of cases) {
    router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    router.pass(milliseconds(100));
    const refused = router.decisions[0]!.alternatives.find(({ action }) => action === 'detach')!.refused;
    assert.match(refused ?? '', why, name);
    assert.ok(!router.changes.some((effect) => effect.change.kind === 'set-master'), `${name}: nothing is taken out`);
  }
});

test('a flapping interface is put back no sooner than the flap damping', () => {
  const router = new Router();
  let returns = 0;
  for (let round = 0; round < 3; round++) {
    router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    router.pass(milliseconds(100));
    const detach = router.changes.findLast(
      (effect) => effect.change.kind === 'set-master' && effect.change.master === null,
    );
    router.done(detach!.id);
    router.feed({ type: 'link', link: port(1, { carrier: false, master: 0 }), cause: 'event' });
    router.feed({ type: 'link', link: port(1, { carrier: true, master: 0 }), cause: 'event' });
    router.pass(SECOND);
    const back = router.changes.filter(
      (effect) => effect.change.kind === 'set-master' && effect.change.master === 'bat0',
    ).length;
    if (back > returns) {
      returns = back;
      router.feed({ type: 'link', link: port(1), cause: 'event' });
    }
  }
  assert.equal(returns, 1, 'once at once, then it waits');
  router.pass(35 * SECOND);
  const last = router.changes.findLast((effect) => effect.change.kind === 'set-master');
  assert.deepEqual(last?.change, { kind: 'set-master', interface: 'eth1', master: 'bat0' }, 'and then it goes back');
});

test('observe mode writes down what it would have done, and does nothing', () => {
  const router = new Router({ mode: 'observe' });
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(SECOND);
  assert.deepEqual(
    router.decisions.map(({ step, action }) => [step, action]),
    [['observed', 'detach']],
  );
  assert.deepEqual(router.sent, []);
  assert.deepEqual(router.changes, []);
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
  const otherKey = toHex(
    encodeAlarm(
      {
        sender: ORIGINATOR,
        epoch: 1,
        counter: 1,
        kind: 'kick',
        near: ORIGINATOR,
        far: ORIGINATOR,
        affected: [],
        hops: 8,
      },
      ORIGINATOR,
      macKey(fromHex('cd'.repeat(32))),
    ),
  );
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

test('budgets: a sender, all senders, and all kicks are bounded', () => {
  const router = new Router({ senderBudget: 3, kickBudget: 5, kickCount: 1 });
  let taken = 0;
  for (let i = 1; i <= 50; i++) {
    const effects = router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', i) });
    if (effects.some((effect) => effect.type === 'remember-mark')) taken++;
  }
  assert.equal(taken, 3, 'one sender');
  for (let i = 1; i <= 90; i++) {
    const sender = `02:00:00:00:01:${(i + 10).toString(16).padStart(2, '0')}`;
    router.feed({ type: 'frame', interface: 21, frame: alarmFrom(sender, 1) });
  }
  const kicks = router.sent.filter(({ frame }) => ethertype(frame) === ETH_P_BATMAN).length / 2;
  assert.equal(kicks, 5, 'kicks in all');
});

test('an interface taken from bat0 by somebody goes back; one taken again and again is left to a person', () => {
  const router = new Router();
  let put = 0;
  for (let round = 0; round < 4; round++) {
    router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
    router.pass(milliseconds(100));
    const back = router.changes.filter(
      (effect) => effect.change.kind === 'set-master' && effect.change.master === 'bat0',
    );
    if (back.length > put) {
      put = back.length;
      router.done(back.at(-1)!.id);
      router.feed({ type: 'link', link: port(1), cause: 'event' });
      router.feed({ type: 'tables', tables: TWO_WAYS });
    }
    router.pass(6 * SECOND);
  }
  assert.equal(put, 2);
  assert.match(
    router.decisions.flatMap(({ alternatives }) => alternatives.map(({ refused }) => refused ?? '')).join(),
    /again and again/,
  );
});

test('bat0 gone: made anew with its MAC and settings, the primary first', () => {
  const router = new Router();
  router.feed({ type: 'addresses', interface: 'bat0', addresses: [{ family: 4, address: '10.77.0.1', prefix: 24 }] });
  for (const link of [port(1), port(2)]) router.feed({ type: 'link', link: { ...link, master: 0 }, cause: 'event' });
  router.effects.length = 0;
  router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
  const done = new Set<string>();
  for (let i = 0; i < 30; i++) {
    const next = router.changes.find((effect) => !done.has(effect.id));
    if (next === undefined) break;
    done.add(next.id);
    router.done(next.id);
  }
  const kinds = router.changes.map(({ change }) =>
    'interface' in change ? `${change.kind} ${change.interface}` : `${change.kind} ${change.mesh}`,
  );
  assert.deepEqual(kinds.slice(0, 4), ['create-mesh bat0', 'set-mesh bat0', 'set-up primary0', 'set-master primary0']);
  assert.deepEqual(kinds.slice(-2), ['set-up bat0', 'add-address bat0']);
  const first = router.changes[0]!.change;
  assert.equal(first.kind === 'create-mesh' && first.mac, '02:00:00:00:00:b0');
});

test('bat0 gone in the middle of a kick: nothing stays armed, and it is made anew with aggregation as it was', () => {
  const router = new Router();
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const off = router.changes[0]!;
  const settings = { ...TWO_WAYS.mesh!.settings, aggregatedOgms: false };
  router.feed({ type: 'tables', tables: { ...TWO_WAYS, mesh: { ...TWO_WAYS.mesh!, settings } } });
  router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
  assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === off.id));
  router.done(router.changes.at(-1)!.id);
  const set = router.changes.at(-1)!.change;
  assert.equal(set.kind === 'set-mesh' && set.settings.aggregatedOgms, true);
});

test('a silent neighbour is a fault after three and a half OGM intervals, once', () => {
  const router = new Router();
  const quiet = (ms: number) =>
    tables(
      [['02:00:00:00:00:aa', 2, true]],
      [
        ['02:00:00:00:01:01', 1, ms],
        ['02:00:00:00:01:02', 2],
      ],
    );
  for (const ms of [1000, 3400, 3600, 4600, 5600]) router.feed({ type: 'tables', tables: quiet(ms) });
  assert.deepEqual(
    router.decisions.filter(({ step }) => step === 'planned').map(({ fault }) => fault.class),
    ['neighbour-lost'],
  );
});

test('without a key nothing is sent to others and nothing of theirs is believed; the own kick stays', () => {
  const router = new Router({ key: '' });
  router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', 1) });
  assert.deepEqual(router.sent, []);
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  assert.deepEqual(
    router.sent.map(({ frame }) => ethertype(frame)),
    [ETH_P_BATMAN],
  );
});

test('ports that a dump tells before bat0 are members all the same', () => {
  const router = new Router({}, [port(1), port(2)]);
  const early = new Router({}, []);
  early.runtime.feed({ type: 'link', link: { ...port(3), index: 5 }, cause: 'resync' }, early.now);
  for (const each of [router, early]) {
    const name = each === router ? port(1) : { ...port(3), index: 5 };
    each.feed({ type: 'link', link: { ...name, master: 0 }, cause: 'event' });
    assert.equal(each.decisions[0]?.fault.class, 'interface-fell-out');
  }
  const dumped = new Router();
  dumped.room.monitor.members.clear();
  dumped.feed({ type: 'link', link: { ...bat0, mtu: 1400 }, cause: 'resync' });
  assert.ok(dumped.room.monitor.members.has('eth1'), 'bat0 last');
});

test('ten quiet minutes: no decision, no frame, no change', () => {
  const router = new Router();
  for (let second = 0; second < 600; second++) {
    router.pass(SECOND);
    router.feed(ownOgm(1001 + second));
    router.feed({ type: 'tables', tables: TWO_WAYS });
  }
  assert.deepEqual([router.decisions, router.sent, router.changes], [[], [], []]);
});
