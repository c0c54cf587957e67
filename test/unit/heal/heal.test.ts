import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import type { Tables } from '../../../agent/core/event.ts';
import { SECOND } from '../../../agent/core/time.ts';
import type { FaultClass } from '../../../agent/core/words.ts';
import { ETH_P_BATMAN } from '../../../agent/heal/ogm.ts';
import { ETH_P_X0 } from '../../../agent/heal/wire.ts';
import {
  BY_TWO,
  bat0,
  logged,
  milliseconds,
  ORIGINATOR,
  ownOgm,
  port,
  primary0,
  Router,
  TWO_WAYS,
  tables,
  withSettings,
} from './harness.ts';
import { alarmFrom, ethertype, wordsOf } from './words.ts';

/** The kick has had its time, and the tables still show every way as it was. */
function kickInVain(router: Router, still = TWO_WAYS): Effect[] {
  router.pass(milliseconds(260));
  return router.feed({ type: 'tables', tables: still });
}

function setMasters(router: Router): (string | null)[] {
  return router.changes.flatMap(({ change }) => (change.kind === 'set-master' ? [change.master] : []));
}

function backAfterSecondFault(router: Router): boolean {
  const fall = () => {
    router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    kickInVain(router);
    router.done('detach-eth1');
    router.feed({ type: 'link', link: port(1, { carrier: false, master: 0 }), cause: 'event' });
  };
  fall();
  router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  router.pass(milliseconds(10));
  router.feed({ type: 'link', link: port(1), cause: 'event' });
  router.feed({ type: 'tables', tables: TWO_WAYS });
  router.pass(SECOND);
  fall();
  router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(2, { carrier: false }), cause: 'event' });
  router.pass(20 * SECOND);
  const isBack = setMasters(router).includes('bat0');
  router.pass(15 * SECOND);
  assert.ok(setMasters(router).includes('bat0'), 'in the end');
  return isBack;
}

test('a lost carrier: who has another way is asked in the same turn, before anything is written down', () => {
  const router = new Router();
  const effects = router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  const kinds = effects.flatMap(({ type }) => (type === 'send' || type === 'journal' ? [type] : []));
  assert.deepEqual(kinds, ['send', 'journal']);
  assert.deepEqual(
    wordsOf(effects).map(({ index, kind, far, affected, hops }) => ({ index, kind, far, affected, hops })),
    [{ index: 22, kind: 'way-asked', far: '02:00:00:00:01:02', affected: ['02:00:00:00:00:aa'], hops: 1 }],
    'neither the dead interface nor the primary one is used',
  );
});

test('where nobody can be asked, alarm and first OGM leave in that turn', () => {
  const router = new Router({}, undefined, BY_TWO);
  const effects = router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  const kinds = effects.flatMap(({ type }) => (type === 'send' || type === 'journal' ? [type] : []));
  assert.deepEqual(kinds, ['send', 'send', 'journal']);
  assert.deepEqual(
    router.sent.map((frame) => [frame.interface, ethertype(frame.frame)]),
    [
      [22, ETH_P_X0],
      [22, ETH_P_BATMAN],
    ],
  );
});

test('where asking has helped, the far end is told, and what holds is confirmed; what turns back is repaired', () => {
  for (const isSteady of [true, false]) {
    const router = new Router();
    router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    router.pass(milliseconds(61));
    assert.ok(router.effects.some(({ type }) => type === 'poll'));
    const told = wordsOf(router.feed({ type: 'tables', tables: BY_TWO }));
    router.pass(milliseconds(340));
    told.push(...wordsOf(router.feed({ type: 'tables', tables: isSteady ? BY_TWO : TWO_WAYS })));
    assert.deepEqual(
      told.map(({ kind, affected }) => [kind, ...affected]),
      [
        ['link-down', ORIGINATOR],
        ['link-down', '02:00:00:00:00:aa'],
      ],
    );
    assert.ok(
      router.sent.some(({ frame }) => ethertype(frame) === ETH_P_BATMAN),
      'who it is about says so itself',
    );
    assert.deepEqual(
      router.decisions.map(({ step, action }) => `${step} ${action}`),
      isSteady ? ['planned ask', 'verified ask'] : ['planned ask', 'planned kick'],
    );
  }
});

test('a repair is over when the tables first show it, not when it is believed', () => {
  const router = new Router();
  const [fault] = router
    .feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' })
    .flatMap((effect) => (effect.type === 'journal' ? [effect.decision.fault] : []));
  for (const [ms, shown] of [
    [61, BY_TWO],
    [39, TWO_WAYS],
    [20, BY_TWO],
    [300, BY_TWO],
  ] as const) {
    router.pass(milliseconds(ms));
    router.feed({ type: 'tables', tables: shown });
  }
  const verified = router.decisions.find(({ step }) => step === 'verified')!;
  assert.equal(verified.at - fault!.at, milliseconds(120), 'the kernel had turned back in between');
  const mttr = router.effects.flatMap((effect) =>
    effect.type === 'metric' && effect.name === 'mesh_mttr_seconds' ? [effect.value] : [],
  );
  assert.deepEqual(mttr, [0.12]);
});

test('a link that comes back while its neighbours are still asked: the originators say all the same what is so', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(milliseconds(30));
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(1), cause: 'event' });
  assert.deepEqual(
    [...new Set(wordsOf(router.effects).map(({ kind, affected }) => `${kind} ${affected}`))],
    ['link-down 02:00:00:00:00:aa'],
  );
  assert.deepEqual(
    router.decisions.map(({ step }) => step),
    ['over'],
  );
});

test('where asking has not helped, or nobody says what came of it, alarm and kick follow', () => {
  for (const isRead of [true, false]) {
    const router = new Router();
    router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    router.feed({ type: 'tables', tables: TWO_WAYS });
    assert.ok(!router.sent.some(({ frame }) => ethertype(frame) === ETH_P_BATMAN), 'its time has not come');
    router.pass(milliseconds(isRead ? 61 : 111));
    if (isRead) router.feed({ type: 'tables', tables: TWO_WAYS });
    assert.ok(router.sent.some(({ frame }) => ethertype(frame) === ETH_P_BATMAN));
    assert.deepEqual(
      wordsOf(router.effects).map(({ kind, affected }) => [kind, affected]),
      [
        ['way-asked', ['02:00:00:00:00:aa']],
        ['link-down', ['02:00:00:00:00:aa']],
      ],
    );
    assert.match(router.decisions.at(-1)!.why, isRead ? /0 of 1 routes/ : /the tables did not come/);
  }
});

/** X behind port 1, Y behind port 2, and no other way to either. */
const BEHIND_EACH = tables(
  [
    ['02:00:00:00:00:aa', 1, true],
    ['02:00:00:00:00:bb', 2, true],
  ],
  [
    ['02:00:00:00:01:01', 1],
    ['02:00:00:00:01:02', 2],
  ],
);

test('while bat0 is being deleted the last of its interfaces still carry word to whoever is behind them', () => {
  const router = new Router({}, [port(1), port(2)], BEHIND_EACH);
  router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(2, { master: 0 }), cause: 'event' });
  const said = wordsOf(router.effects).map(({ index, kind, affected }) => [index, `${kind} ${affected}`]);
  assert.deepEqual(said.sort(), [
    [21, 'interface-gone 02:00:00:00:00:bb'],
    [21, 'way-lost 02:00:00:00:00:bb'],
    [22, 'interface-gone 02:00:00:00:00:bb'],
  ]);
});

test('the way to whoever is behind a fallen interface is withdrawn at all other doors, fallen ones too', () => {
  const router = new Router({}, [port(1), port(2)], BEHIND_EACH);
  router.feed(ownOgm(77, '02:00:00:00:00:bb'));
  router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(2, { master: 0 }), cause: 'event' });
  const withdrawn = router.sent.filter((frame) => ethertype(frame.frame) === ETH_P_BATMAN);
  assert.deepEqual(new Set(withdrawn.map((frame) => frame.interface)), new Set([21]));
  // Offset 18 of the frame: the sequence number.
  assert.deepEqual(new Set(withdrawn.map(({ frame }) => Number.parseInt(frame.slice(36, 44), 16))), new Set([77]));
});

test('where all fell out the primary goes back in before any other: who is first is the primary', () => {
  const router = new Router();
  router.feed({ type: 'link', link: { ...primary0, master: 0 }, cause: 'event' });
  const { primary: _, ...rest } = TWO_WAYS.mesh!;
  router.feed({ type: 'tables', tables: { ...TWO_WAYS, mesh: rest } });
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(2, { master: 0 }), cause: 'event' });
  router.pass(SECOND);
  for (let steps = 0; steps < 4; steps++) router.done(router.changes.at(-1)!.id);
  const put = router.changes.flatMap(({ change }) => (change.kind === 'set-master' ? [change.interface] : []));
  // Its own repair puts it back, and that of the other one first too.
  assert.deepEqual(put.slice(0, 3), ['primary0', 'primary0', 'eth2']);
});

test('where the kick moves the routes the dead interface stays in, and the story ends with its carrier', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(milliseconds(260));
  router.feed({ type: 'tables', tables: BY_TWO });
  router.pass(SECOND);
  router.feed({ type: 'tables', tables: BY_TWO });
  assert.deepEqual(
    router.decisions.map(({ step, action }) => [step, action]),
    [
      ['planned', 'ask'],
      ['planned', 'kick'],
      ['verified', 'kick'],
    ],
  );
  router.feed({ type: 'link', link: port(1), cause: 'event' });
  assert.deepEqual(setMasters(router), []);
});

test('where it does not, the dead interface leaves bat0, returns with its carrier, and the story ends', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(milliseconds(200));
  router.feed({ type: 'tables', tables: TWO_WAYS });
  assert.deepEqual(setMasters(router), [], 'the kick has not had its time');
  router.effects.length = 0;
  router.pass(milliseconds(60));
  assert.ok(
    router.effects.some(({ type }) => type === 'poll'),
    'it is looked at then',
  );
  kickInVain(router);
  const detach = router.changes.find((effect) => effect.change.kind === 'set-master')!;
  assert.deepEqual(detach.change, { kind: 'set-master', interface: 'eth1', master: null });
  assert.deepEqual(detach.undo, { kind: 'set-master', interface: 'eth1', master: 'bat0' });
  router.feed({ type: 'link', link: port(1, { carrier: false, master: 0 }), cause: 'event' });
  router.done(detach.id);
  router.pass(milliseconds(700));
  router.feed({ type: 'tables', tables: BY_TWO });
  const said = router.decisions.map(({ step, action, why }) => [step, action, why] as const);
  assert.deepEqual(
    said.map(([step, action]) => [step, action]),
    [
      ['planned', 'detach'],
      ['verified', 'detach'],
    ],
  );
  assert.match(said[0]![2], /0 of 1 routes go another way; taking the dead interface out/);
  router.feed({ type: 'link', link: port(1, { carrier: true, master: 0 }), cause: 'event' });
  router.pass(milliseconds(10));
  assert.deepEqual(router.changes.at(-1)!.change, { kind: 'set-master', interface: 'eth1', master: 'bat0' });
  router.done(router.changes.at(-1)!.id);
  router.feed({ type: 'link', link: port(1), cause: 'event' });
  assert.equal(router.decisions.at(-1)!.step, 'over');
  assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === detach.id));
});

test('what is refused says why', () => {
  const otherWay = tables(
    [
      ['02:00:00:00:00:aa', 1, true],
      ['02:00:00:00:00:aa', 2, false],
    ],
    [],
  );
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
    [
      'the primary one',
      new Router({}, undefined, {
        ...otherWay,
        mesh: { ...otherWay.mesh!, primary: { index: 21, name: 'eth1', mac: port(1).mac } },
      }),
      /primary interface/,
    ],
  ];
  for (const [name, router, why] of cases) {
    router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    kickInVain(router, router.room.monitor.tables!);
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
    kickInVain(router);
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
    [['observed', 'ask']],
  );
  assert.deepEqual(router.sent, []);
  assert.deepEqual(router.changes, []);
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

test('an interface that somebody gives to a bridge stays there, though it is told first that it only left bat0', () => {
  const router = new Router();
  router.feed({ type: 'link', link: { ...port(30, { master: 0 }), name: 'br-x', kind: 'bridge' }, cause: 'event' });
  router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  router.pass(milliseconds(30));
  router.feed({ type: 'link', link: port(1, { master: port(30).index }), cause: 'event' });
  router.pass(60 * SECOND);
  assert.deepEqual(setMasters(router), []);
  const failed = router.decisions.filter(
    ({ step, fault }) => step === 'failed' && fault.class === 'interface-fell-out',
  );
  assert.deepEqual(
    failed.map(({ action, result }) => [action, result]),
    [['reattach', 'it was given to br-x: left to a person']],
  );
});

test('a primary that somebody gives to a bridge stays there too, whatever else is put back', () => {
  const router = new Router();
  router.feed({ type: 'link', link: { ...port(30, { master: 0 }), name: 'br-x', kind: 'bridge' }, cause: 'event' });
  router.feed({ type: 'link', link: { ...primary0, master: 0 }, cause: 'event' });
  const { primary: _, ...rest } = TWO_WAYS.mesh!;
  router.feed({ type: 'tables', tables: { ...TWO_WAYS, mesh: rest } });
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(2, { master: 0 }), cause: 'event' });
  router.pass(milliseconds(30));
  router.feed({ type: 'link', link: { ...primary0, master: port(30).index }, cause: 'event' });
  router.pass(SECOND);
  for (let steps = 0; steps < 4; steps++) router.done(router.changes.at(-1)!.id);
  const put = router.changes.flatMap(({ change }) => (change.kind === 'set-master' ? [change.interface] : []));
  assert.deepEqual(put, ['eth2']);
});

test('what somebody gives to a bridge while bat0 waits to be made anew stays there', () => {
  const router = new Router();
  router.feed({ type: 'link', link: { ...port(30, { master: 0 }), name: 'br-x', kind: 'bridge' }, cause: 'event' });
  for (const n of [1, 2]) router.feed({ type: 'link', link: port(n, { master: 0 }), cause: 'event' });
  router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
  router.pass(SECOND);
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(1, { master: port(30).index }), cause: 'event' });
  router.pass(2 * SECOND);
  for (let steps = 0; steps < 12; steps++) router.done(router.changes.at(-1)!.id);
  const put = router.changes.flatMap(({ change }) => (change.kind === 'set-master' ? [change.interface] : []));
  assert.ok(put.includes('eth2') && !put.includes('eth1'), put.join());
});

test('bat0 gone: made anew with its MAC and settings, the primary first', () => {
  const router = new Router();
  router.feed({ type: 'addresses', interface: 'bat0', addresses: [{ family: 4, address: '10.77.0.1', prefix: 24 }] });
  for (const link of [port(1), port(2)]) router.feed({ type: 'link', link: { ...link, master: 0 }, cause: 'event' });
  router.effects.length = 0;
  router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
  assert.equal(router.changes.length, 0, 'netifd goes first');
  router.pass(2 * SECOND);
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
  assert.deepEqual(kinds.slice(0, 4), ['create-mesh bat0', 'set-up bat0', 'set-mesh bat0', 'set-up primary0']);
  assert.equal(kinds[4], 'set-master primary0');
  assert.equal(kinds.at(-1), 'add-address bat0');
  const first = router.changes[0]!.change;
  assert.equal(first.kind === 'create-mesh' && first.mac, '02:00:00:00:00:b0');
});

test('bat0 gone on a router that stands still: late answers end no rebuilding, and what came late is not taken twice', () => {
  const router = new Router();
  for (const link of [port(1), port(2)]) router.feed({ type: 'link', link: { ...link, master: 0 }, cause: 'event' });
  router.effects.length = 0;
  router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
  router.pass(2 * SECOND);
  const whole = () => router.changes.map(({ change }) => change.kind);
  for (let n = 1; n <= 3; n++) {
    assert.equal(whole().length, n);
    router.pass(5 * SECOND);
  }
  assert.deepEqual(whole(), ['create-mesh', 'set-up', 'set-mesh', 'set-up']);
  router.done(router.changes[0]!.id);
  router.feed({ type: 'link', link: { ...bat0, index: 30 }, cause: 'event' });
  router.done(router.changes[2]!.id, 'no such device');
  assert.equal(whole().length, 4, 'answers to what is no longer waited for');
  for (let n = 4; n < 30 && whole().length === n; n++) router.done(router.changes.at(-1)!.id);
  assert.deepEqual(setMasters(router), ['bat0', 'bat0', 'bat0']);
  const steps = router.decisions.filter(({ fault }) => fault.class === 'mesh-vanished').map(({ step }) => step);
  assert.deepEqual(steps, ['planned']);
});

test('bat0 gone in the middle of a kick: nothing stays armed, and it is made anew with aggregation as it was', () => {
  const router = new Router();
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const off = router.changes[0]!;
  router.feed({ type: 'tables', tables: withSettings({ aggregatedOgms: false }) });
  router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
  assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === off.id));
  assert.match(logged(router), /mesh interface is gone/);
  router.pass(2 * SECOND);
  for (let i = 0; i < 2; i++) router.done(router.changes.at(-1)!.id);
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
    ['link-silent'],
  );
});

test('without a key nothing is sent to others and nothing of theirs is believed; the own kick stays', () => {
  const router = new Router({ key: '' });
  router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', 1) });
  assert.deepEqual(router.sent, []);
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(milliseconds(115));
  const sent = router.sent.map(({ frame }) => ethertype(frame));
  assert.ok(sent.length > 0);
  assert.deepEqual(new Set(sent), new Set([ETH_P_BATMAN]));
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

test('bat0 that is back by itself is not made a second time', () => {
  const router = new Router();
  for (const link of [port(1), port(2)]) router.feed({ type: 'link', link: { ...link, master: 0 }, cause: 'event' });
  router.effects.length = 0;
  router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
  router.pass(SECOND);
  router.feed({ type: 'link', link: { ...bat0, index: 30 }, cause: 'event' });
  router.feed({ type: 'link', link: port(1, { master: port(30).index }), cause: 'event' });
  router.feed({ type: 'link', link: port(2, { master: 0 }), cause: 'event' });
  router.pass(5 * SECOND);
  assert.deepEqual(
    router.changes.map(({ change }) => change),
    [{ kind: 'set-master', interface: 'eth2', master: 'bat0' }],
    'only the member that nobody put in',
  );
});

test('bat0 deleted again and again is left to a person; a repair that failed is tried again, ever more slowly', () => {
  const router = new Router();
  const remake = () => router.feed({ type: 'link', link: { ...bat0 }, cause: 'event' });
  for (let i = 0; i < 3; i++) {
    router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
    router.pass(3 * SECOND);
    remake();
  }
  const remakes = router.decisions.filter(({ step, fault }) => step === 'planned' && fault.class === 'mesh-vanished');
  assert.deepEqual(
    remakes.map(({ action }) => action),
    ['recreate-mesh', 'recreate-mesh', 'none'],
  );
  const other = new Router();
  other.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  const puts = () => setMasters(other).length;
  other.pass(milliseconds(200));
  for (let n = 1; n <= 3; n++) {
    assert.equal(puts(), n);
    const asked = other.changes.findLast(({ change }) => change.kind === 'set-master')!;
    other.done(asked.id, 'not supported');
    assert.equal(other.decisions.at(-1)!.step, 'failed');
    other.pass((30 * 2 ** (n - 1) + 1) * SECOND);
  }
});

test('what fell out while healing was off is put back when it is on again', () => {
  const router = new Router({ mode: 'off' });
  router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  router.pass(10 * SECOND);
  assert.deepEqual(router.changes, []);
  router.feed({ type: 'mode-asked', by: 'root', mode: 'act' });
  router.pass(SECOND);
  assert.deepEqual(setMasters(router), ['bat0']);
});

test('what netifd took out, since its carrier went, is for netifd to put back', () => {
  const router = new Router({ detach: false });
  router.feed({ type: 'declared', interfaces: [port(1).name] });
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.feed({ type: 'link', link: port(1, { master: 0, carrier: false }), cause: 'event' });
  router.pass(10 * SECOND);
  assert.deepEqual(setMasters(router), []);
  const plan = router.decisions.find(({ fault }) => fault.class === 'interface-fell-out')!;
  assert.match(plan.alternatives.find(({ action }) => action === 'reattach')!.refused!, /netifd takes out/);
  // With its carrier it is nobody's but ours, where netifd fails to.
  const other = new Router();
  other.feed({ type: 'declared', interfaces: [port(1).name] });
  other.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  other.pass(SECOND);
  assert.ok(other.changes.some(({ change }) => change.kind === 'netifd-up'));
});

test('an interface that somebody gave to a bridge is theirs', () => {
  const router = new Router();
  const lan = port(8, { index: 50, name: 'br-lan', master: 0, kind: 'bridge' });
  router.feed({ type: 'link', link: lan, cause: 'event' });
  router.feed({ type: 'link', link: port(1, { master: 50 }), cause: 'event' });
  router.pass(5 * SECOND);
  assert.deepEqual(setMasters(router), []);
  assert.match(
    router.decisions[0]!.alternatives.find(({ action }) => action === 'reattach')!.refused!,
    /given to br-lan/,
  );
});

test('a neighbour lost on a shared interface: a way by another neighbour there is another way', () => {
  const router = new Router();
  const over = (neighbour: string) => ({
    ...TWO_WAYS,
    originators: TWO_WAYS.originators.filter(({ best }) => best).map((row) => ({ ...row, neighbour })),
  });
  router.feed({ type: 'tables', tables: { ...over('02:00:00:00:01:01'), originators: TWO_WAYS.originators } });
  router.feed({ type: 'kick-asked', by: 'root', lost: '02:00:00:00:01:01' });
  router.pass(SECOND);
  router.feed({ type: 'tables', tables: over('02:00:00:00:01:01') });
  assert.ok(!router.decisions.some(({ step }) => step === 'verified'));
  router.feed({ type: 'tables', tables: over('02:00:00:00:01:77') });
  assert.equal(router.decisions.at(-1)!.step, 'verified');
});

test('carrier back before its detachment: it stays in', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.feed({ type: 'link', link: port(1), cause: 'event' });
  for (let i = 0; i < 5; i++) kickInVain(router);
  assert.deepEqual(setMasters(router), []);
});

test('damping: a second fault does not put an interface back within 30 s of its last return, unless it is the last', () => {
  for (const ports of [
    [port(1), port(2), port(3)],
    [port(1), port(2)],
  ]) {
    assert.equal(backAfterSecondFault(new Router({}, ports)), ports.length === 2, `${ports.length} ports`);
  }
});

test('a detachment that the kernel did not answer goes back, and nothing stays owed', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  kickInVain(router);
  router.done('detach-eth1', 'the answer was lost');
  router.pass(milliseconds(100));
  assert.deepEqual(setMasters(router), [null, 'bat0']);
  router.done('return-eth1');
  assert.equal(router.room.knowledge.detached.size, 0);
  assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === 'detach-eth1'));
});

test('three hundred routers dead in one reading are told a part at a time, and none is lost', () => {
  const paths = Array.from(
    { length: 300 },
    (_, n) => `02:00:00:00:${(n >> 8) + 16}:${(n & 255).toString(16).padStart(2, '0')}`,
  );
  const router = new Router(
    {},
    undefined,
    tables(
      paths.map((mac) => [mac, 1, true] as const),
      [],
    ),
  );
  router.feed({ type: 'tables', tables: router.room.monitor.tables! });
  router.now += 61 * SECOND;
  const dead = () => router.decisions.filter(({ fault }) => fault.class === 'router-dead').length;
  router.feed({ type: 'tables', tables: tables([], []) });
  assert.equal(dead(), 32);
  for (let i = 0; i < 10; i++) router.feed({ type: 'tables', tables: tables([], []) });
  assert.equal(dead(), 32, 'strangers can invent routers: the others are a number');
  assert.deepEqual([router.room.analyse.open().length, router.room.analyse.untold()], [32, 268]);
  const logged = router.effects.filter(
    (effect) => effect.type === 'log' && /more than 32 routers/.test(effect.message),
  );
  assert.equal(logged.length, 1);
  router.feed({
    type: 'tables',
    tables: tables(
      [
        [paths[0]!, 1, true],
        [paths[299]!, 1, true],
      ],
      [],
    ),
  });
  assert.deepEqual([router.room.analyse.open().length, router.room.analyse.untold()], [31, 267]);
  router.now += 600 * SECOND;
  for (let i = 0; i < 20; i++) router.feed({ type: 'tables', tables: tables([], []) });
  assert.equal(router.room.analyse.untold(), 0, 'given up');
});

test('a renamed interface is gone under its old name, and new under the other', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { name: 'lan1' }), cause: 'event' });
  assert.equal(router.decisions[0]!.fault.class, 'interface-vanished');
  assert.ok(router.room.monitor.members.has('lan1'));
});

test('an interface at whose far end no agent answers stays in', () => {
  const router = new Router({ echoNs: 10 * SECOND });
  const gives = (n: number) => {
    router.feed({ type: 'link', link: port(n, { carrier: false }), cause: 'event' });
    return router.decisions.at(-1)!.alternatives.find(({ action }) => action === 'detach')!.refused;
  };
  assert.match(gives(1)!, /the kick goes first/);
  const stock = new Router();
  for (let i = 0; i < 3; i++)
    stock.room.knowledge.on({ type: 'echo-lost', neighbour: '02:00:00:00:01:01', interface: 21 }, stock.now);
  stock.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  const { alternatives } = stock.decisions.at(-1)!;
  assert.match(alternatives.find(({ action }) => action === 'detach')!.refused!, /runs no agent/);
});

test('a neighbour that is gone for good and comes back is watched as before', () => {
  const router = new Router();
  const silent = (ms: number) => router.feed({ type: 'tables', tables: tables([], [['02:00:00:00:01:01', 1, ms]]) });
  for (let round = 0; round < 3; round++) {
    silent(100);
    silent(9000 * (round + 1));
    router.feed({ type: 'tables', tables: tables([], []) });
  }
  assert.equal(router.decisions.filter(({ fault }) => fault.class === 'link-silent').length, 3);
  assert.deepEqual(router.room.analyse.open(), []);
  for (let n = 0; n < 3000; n++) {
    const mac = `02:00:00:07:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`;
    router.feed({ type: 'tables', tables: tables([], [[mac, 1, 100]]) });
    router.feed({ type: 'tables', tables: tables([], [[mac, 1, 9000]]) });
  }
  assert.ok(router.room.analyse.open().length <= 1, 'invented neighbours are forgotten with their rows');
});

test('a neighbour with rare OGMs, or one that loses many, is not lost again and again', () => {
  for (const every of [5000, 2000]) {
    const router = new Router();
    for (let second = 0; second < 600; second++) {
      router.now += SECOND;
      const ms = (second * 1000) % every;
      router.feed({ type: 'tables', tables: tables([], [['02:00:00:00:01:01', 1, ms + 50]]) });
    }
    const found = router.decisions.filter(({ fault, step }) => fault.class === 'link-silent' && step === 'planned');
    assert.ok(found.length <= 1, `${every} ms: ${found.length}`);
    assert.deepEqual(router.sent, [], 'and nothing went by it: no kick');
  }
});

test('twenty-one silences in one instant cost one kick, and leave the alarms for what matters', () => {
  const macs = Array.from({ length: 21 }, (_, n) => `02:00:00:00:02:${(n + 16).toString(16)}`);
  const with21 = (ms: number) =>
    tables(
      macs.map((_, n) => [`02:00:00:00:03:${(n + 16).toString(16)}`, 1, true] as const),
      macs.map((mac) => [mac, 1, ms] as [string, number, number]),
    );
  const by = (read: ReturnType<typeof with21>) => ({
    ...read,
    originators: read.originators.map((path, n) => ({ ...path, neighbour: macs[n]! })),
  });
  const router = new Router({ kickCount: 3 });
  router.feed({ type: 'tables', tables: by(with21(100)) });
  router.feed({ type: 'tables', tables: by(with21(9000)) });
  router.pass(SECOND);
  const ogms = router.sent.filter(({ frame, interface: index }) => index === 22 && ethertype(frame) === ETH_P_BATMAN);
  assert.equal(ogms.length, 3);
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  assert.deepEqual(
    router.sent.slice(0, 2).map(({ frame }) => ethertype(frame)),
    [ETH_P_X0, ETH_P_BATMAN],
    'a lost carrier is still told and kicked for',
  );
});

test('a mode that forbids repairs ends what waits, and one that allows them takes up what is left over', () => {
  for (const event of [
    { type: 'mode-asked', by: 'root', mode: 'observe' },
    { type: 'class-mode-asked', by: 'root', class: 'mesh-vanished', mode: 'observe' },
  ] as const) {
    const gone = new Router();
    for (const link of [port(1), port(2)]) gone.feed({ type: 'link', link: { ...link, master: 0 }, cause: 'event' });
    gone.feed({ type: 'link-gone', index: 10, name: 'bat0' });
    gone.effects.length = 0;
    gone.feed(event);
    const dropped = gone.decisions.filter(({ step }) => step === 'dropped').map(({ action }) => action);
    const waiting = event.type === 'mode-asked' ? ['reattach', 'reattach'] : [];
    assert.deepEqual(dropped, [...waiting, 'recreate-mesh'], 'what was planned has an end');
    gone.pass(60 * SECOND);
    const isMeant = (effect: (typeof gone.changes)[number]) =>
      event.type === 'mode-asked' || effect.change.kind === 'create-mesh';
    assert.deepEqual(gone.changes.filter(isMeant), []);
  }

  const kicking = new Router({}, undefined, BY_TWO);
  kicking.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  kicking.effects.length = 0;
  kicking.feed({ type: 'mode-asked', by: 'root', mode: 'off' });
  kicking.pass(SECOND);
  assert.deepEqual(kicking.sent, []);
  assert.ok(
    kicking.changes.some(({ id }) => id === 'loan-aggregatedOgms-back'),
    'what is lent goes back',
  );

  for (const event of [
    { type: 'mode-asked', by: 'root', mode: 'off' },
    { type: 'mode-asked', by: 'root', mode: 'observe' },
    { type: 'class-mode-asked', by: 'root', class: 'link-down', mode: 'observe' },
  ] as const) {
    const asking = new Router();
    asking.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    asking.pass(milliseconds(20));
    asking.feed(event);
    asking.effects.length = 0;
    asking.pass(milliseconds(500));
    asking.feed({ type: 'tables', tables: BY_TWO });
    asking.pass(SECOND);
    assert.deepEqual([asking.sent, asking.changes], [[], []], 'neither word nor kick nor loan');
  }

  const missed = new Router({ mode: 'observe' });
  missed.feed({ type: 'link-gone', index: 21, name: 'eth1' });
  missed.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  missed.pass(10 * SECOND);
  assert.deepEqual(missed.changes, []);
  missed.feed({ type: 'mode-asked', by: 'root', mode: 'act' });
  missed.pass(3 * SECOND);
  assert.deepEqual(setMasters(missed), ['bat0']);
});

test('a member that nobody puts in is put in where its class acts, and that is written down', () => {
  const unplugged = (router: Router) => {
    router.feed({ type: 'link-gone', index: 21, name: 'eth1' });
    router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  };
  const deleted = (router: Router) => {
    for (const n of [1, 2]) router.feed({ type: 'link', link: port(n, { master: 0 }), cause: 'event' });
    router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
    router.feed({ type: 'link', link: bat0, cause: 'event' });
    router.feed({ type: 'link', link: port(2), cause: 'event' });
  };
  const modes = (router: Router, mode: 'observe' | 'act', ...classes: FaultClass[]) => {
    for (const kind of classes) router.feed({ type: 'class-mode-asked', by: 'root', class: kind, mode });
  };
  for (const [happens, kind] of [
    [unplugged, 'interface-vanished'],
    [deleted, 'interface-fell-out'],
  ] as const) {
    const router = new Router();
    modes(router, 'observe', 'interface-vanished', 'interface-fell-out', 'mesh-vanished');
    happens(router);
    router.effects.length = 0;
    router.pass(60 * SECOND);
    assert.deepEqual([setMasters(router), router.decisions], [[], []], 'it is only observed');
    modes(router, 'act', kind === 'interface-vanished' ? 'interface-fell-out' : 'interface-vanished', 'mesh-vanished');
    router.pass(60 * SECOND);
    assert.deepEqual(
      router.decisions.filter(({ fault }) => fault.class === kind),
      [],
      'that class is not asked',
    );
    router.effects.length = 0;
    modes(router, 'act', kind);
    router.pass(31 * SECOND);
    assert.deepEqual(setMasters(router).slice(0, 1), ['bat0']);
    router.feed({ type: 'link', link: port(1), cause: 'event' });
    const steps = router.decisions.filter(({ fault, action }) => fault.class === kind && action === 'reattach');
    assert.deepEqual(
      [steps[0]!.step, steps.at(-1)!.step, steps[0]!.fault.interface],
      ['planned', 'verified', 'eth1'],
      steps.map(({ step }) => step).join(),
    );
  }

  const other = new Router();
  unplugged(other);
  other.pass(SECOND);
  other.feed({ type: 'link', link: port(1), cause: 'event' });
  other.pass(60 * SECOND);
  assert.ok(!other.decisions.some(({ action }) => action === 'reattach'), 'somebody else put it in');

  const stubborn = new Router();
  unplugged(stubborn);
  for (let i = 0; i < 60; i++) {
    for (const effect of stubborn.pass(SECOND))
      if (effect.type === 'change') stubborn.done(effect.id, 'Device or resource busy');
  }
  const steps = stubborn.decisions.flatMap(({ step, action }) => (action === 'reattach' ? [step] : []));
  assert.deepEqual(steps, ['planned', 'failed']);
  modes(stubborn, 'observe', 'interface-vanished');
  assert.equal(stubborn.decisions.at(-1)!.step, 'dropped');
  stubborn.effects.length = 0;
  stubborn.pass(600 * SECOND);
  assert.deepEqual(setMasters(stubborn), []);
});

test('an interface unplugged while its carrier was lost is whole again when it comes back', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.feed({ type: 'link-gone', index: 21, name: 'eth1' });
  assert.deepEqual(
    router.room.analyse.open().map((fault) => fault.class),
    ['interface-vanished'],
  );
  router.feed({ type: 'link', link: port(1), cause: 'event' });
  assert.deepEqual(router.room.analyse.open(), []);
});

test('without a mesh interface nothing is borrowed', () => {
  const router = new Router({ recreate: false });
  router.feed({ type: 'link-gone', index: 10, name: 'bat0' });
  router.effects.length = 0;
  router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', 1) });
  router.pass(60 * SECOND);
  assert.deepEqual(router.changes, []);
});

test('a dead way to the gateway that is gone is taken out for batman-adv to choose another, and not where it has', () => {
  const G = '02:00:00:00:00:aa';
  const other = '02:00:00:00:01:02';
  const lose = (chosen: boolean) => {
    const row = (originator: string, best: boolean) => {
      return { originator, router: originator, interfaceName: '', best, bandwidthDown: 100, bandwidthUp: 20 };
    };
    const first = tables(
      [
        [G, 1, true],
        [other, 2, true],
      ],
      [
        ['02:00:00:00:01:01', 1],
        [other, 2],
      ],
    );
    const router = new Router({}, undefined, withGateways(first, [row(G, true), row(other, false)]));
    router.feed({ type: 'class-mode-asked', by: 'root', class: 'gateway-lost', mode: 'act' });
    const read = (age: number, best: string) => {
      const originators = first.originators.map((path) =>
        path.originator === G ? { ...path, lastSeenMs: age } : path,
      );
      const gateways = [row(G, best === G), row(other, best === other)];
      router.pass(SECOND);
      router.feed({ type: 'tables', tables: withGateways({ ...first, originators }, gateways) });
    };
    for (let i = 0; i < 12; i++) read(100, G);
    router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    for (let i = 0; i < 14; i++) read(1000 * i, chosen ? other : G);
    const lost = router.decisions.filter(({ fault }) => fault.class === 'gateway-lost');
    assert.ok(lost.length > 0);
    return setMasters(router);
  };
  assert.deepEqual(lose(false), [null]);
  assert.deepEqual(lose(true), []);
});

function withGateways(read: Tables, gateways: Tables['gateways']): Tables {
  return { ...read, gateways, mesh: { ...read.mesh!, settings: { ...read.mesh!.settings, gwMode: 'client' } } };
}
