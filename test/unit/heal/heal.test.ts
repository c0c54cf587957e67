import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Effect } from '../../../agent/core/effect.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import { macFromBytes, macToBytes } from '../../../agent/core/ids.ts';
import { type MeshSettings, STOCK_SETTINGS } from '../../../agent/core/kernel.ts';
import type { Machine } from '../../../agent/core/machine.ts';
import { NEVER, SECOND } from '../../../agent/core/time.ts';
import { ETH_P_BATMAN, parseOgms } from '../../../agent/heal/ogm.ts';
import {
  ANY,
  decodeFrame,
  type Echo,
  ETH_P_X0,
  encodeAlarm,
  encodeEcho,
  type Frame,
  macKey,
  peekAlarm,
} from '../../../agent/heal/wire.ts';
import { bat0, KEY, milliseconds, ORIGINATOR, ownOgm, port, primary0, Router, TWO_WAYS, tables } from './harness.ts';

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

function withSettings(settings: Partial<MeshSettings>) {
  return { ...TWO_WAYS, mesh: { ...TWO_WAYS.mesh!, settings: { ...STOCK_SETTINGS, ...settings } } };
}

function logged(router: Router): string {
  return router.effects.flatMap((effect) => (effect.type === 'log' ? [effect.message] : [])).join('; ');
}

/** The kick has had its time, and the tables still show every way as it was. */
function kickInVain(router: Router, still = TWO_WAYS): Effect[] {
  router.pass(milliseconds(260));
  return router.feed({ type: 'tables', tables: still });
}

function setMasters(router: Router): (string | null)[] {
  return router.changes.flatMap(({ change }) => (change.kind === 'set-master' ? [change.master] : []));
}

/** Nothing goes by port 1: there is nobody to ask for another way. */
const IDLE = tables([['02:00:00:00:00:aa', 2, true]], [['02:00:00:00:01:02', 2]]);

function wordsOf(effects: readonly Effect[]) {
  const frames = effects.flatMap((effect) => (effect.type === 'send' ? effect.frames : []));
  return frames
    .filter(({ frame }) => ethertype(frame) === ETH_P_X0)
    .flatMap(({ interface: index, frame }) => {
      const word = decodeFrame(fromHex(frame), key);
      return word.kind === 'alarm' ? [{ index, ...word.alarm }] : [];
    });
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
  const router = new Router({}, undefined, IDLE);
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
  const moved = tables([['02:00:00:00:00:aa', 2, true]], [['02:00:00:00:01:02', 2]]);
  for (const isSteady of [true, false]) {
    const router = new Router();
    router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
    router.pass(milliseconds(61));
    assert.ok(router.effects.some(({ type }) => type === 'poll'));
    const told = wordsOf(router.feed({ type: 'tables', tables: moved }));
    router.pass(milliseconds(340));
    told.push(...wordsOf(router.feed({ type: 'tables', tables: isSteady ? moved : TWO_WAYS })));
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

test('while bat0 is being deleted the last of its interfaces still carry word to whoever is behind them', () => {
  const behindEach = tables(
    [
      ['02:00:00:00:00:aa', 1, true],
      ['02:00:00:00:00:bb', 2, true],
    ],
    [
      ['02:00:00:00:01:01', 1],
      ['02:00:00:00:01:02', 2],
    ],
  );
  const router = new Router({}, [port(1), port(2)], behindEach);
  const alarms = () =>
    router.sent
      .filter((frame) => ethertype(frame.frame) === ETH_P_X0)
      .map(({ interface: index, frame }) => {
        const word = decodeFrame(fromHex(frame), macKey(fromHex(KEY)));
        return [index, word.kind === 'alarm' ? `${word.alarm.kind} ${word.alarm.affected}` : word.kind];
      });
  router.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  router.effects.length = 0;
  router.feed({ type: 'link', link: port(2, { master: 0 }), cause: 'event' });
  assert.deepEqual(alarms().sort(), [
    [21, 'interface-gone 02:00:00:00:00:bb'],
    [21, 'way-lost 02:00:00:00:00:bb'],
    [22, 'interface-gone 02:00:00:00:00:bb'],
  ]);
});

test('the way to whoever is behind a fallen interface is withdrawn at all other doors, fallen ones too', () => {
  const behindEach = tables(
    [
      ['02:00:00:00:00:aa', 1, true],
      ['02:00:00:00:00:bb', 2, true],
    ],
    [
      ['02:00:00:00:01:01', 1],
      ['02:00:00:00:01:02', 2],
    ],
  );
  const router = new Router({}, [port(1), port(2)], behindEach);
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
  assert.deepEqual(put.slice(0, 2), ['primary0', 'eth2']);
});

test('a kick sends contiguous sequence numbers from the kernel’s last, at the configured pace', () => {
  const router = new Router({ kickCount: 4, kickSpacingNs: milliseconds(5) }, undefined, IDLE);
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(milliseconds(14));
  const ogms = router.sent.filter((frame) => ethertype(frame.frame) === ETH_P_BATMAN);
  assert.deepEqual(
    ogms.map((frame) => parseOgms(fromHex(frame.frame))[0]?.seqno),
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
  assert.equal(parseOgms(fromHex(ogm!.frame))[0]?.seqno, 1004);
});

test('after a kick the kernel counts faster until it has caught up, and then as before', () => {
  const router = new Router();
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const spell = router.changes.find(({ id }) => id === 'loan-origInterval')!;
  assert.deepEqual(spell.change, { kind: 'set-mesh', mesh: 'bat0', settings: { origInterval: 50 } });
  assert.deepEqual(spell.undo, { kind: 'set-mesh', mesh: 'bat0', settings: { origInterval: 1000 } });
  // The OGM that was scheduled before still waits.
  router.pass(SECOND);
  let own = 1000;
  let back: number | undefined;
  for (let i = 0; i < 60 && back === undefined; i++) {
    router.feed(ownOgm(++own));
    back = router.changes.find(({ id }) => id === 'loan-origInterval-back') ? own : undefined;
    router.feed({ type: 'tables', tables: withSettings({ origInterval: 50 }) });
    assert.equal(router.room.monitor.lastMesh!.settings.origInterval, 1000, 'nobody reckons with the spell');
    router.pass(milliseconds(50));
  }
  assert.equal(back, 1012, 'as soon as its number is the highest sent');
  assert.deepEqual(router.changes.at(-1)!.change, spell.undo);
  assert.ok(
    !router.effects.some((effect) => effect.type === 'disarm' && effect.id === spell.id),
    'not before it is done',
  );
  router.done('loan-origInterval-back');
  assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === spell.id));
});

test('a kernel that never catches up gets its interval back all the same', () => {
  const router = new Router();
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  router.pass(8 * SECOND);
  assert.ok(router.changes.some(({ id }) => id === 'loan-origInterval-back'));
});

test('a setting that the kernel does not take back is offered again, and its undo stays armed', () => {
  const router = new Router();
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const tries = () => router.changes.filter(({ id }) => id === 'loan-aggregatedOgms-back').length;
  const disarmed = () =>
    router.effects.some((effect) => effect.type === 'disarm' && effect.id === 'loan-aggregatedOgms');
  router.pass(SECOND);
  for (let n = 1; n <= 3; n++) {
    assert.deepEqual([tries(), disarmed()], [n, false]);
    router.done('loan-aggregatedOgms-back', 'no buffer space');
    router.pass(9 * SECOND);
  }
  router.done('loan-aggregatedOgms-back');
  assert.ok(disarmed());
  router.pass(60 * SECOND);
  assert.equal(tries(), 4);
});

test('kicks never lead the kernel so far that a peer would take its number for a new beginning', () => {
  const router = new Router({ kickBudget: 600 });
  for (let i = 0; i < 20; i++) {
    router.feed({ type: 'kick-asked', by: 'root', lost: null });
    router.pass(3 * SECOND);
  }
  const numbers = router.sent
    .filter(({ frame }) => ethertype(frame) === ETH_P_BATMAN)
    .map(({ frame }) => parseOgms(fromHex(frame))[0]!.seqno);
  assert.equal(Math.max(...numbers), 1048);
  assert.match(logged(router), /OGMs are 48 behind/);
  router.effects.length = 0;
  router.feed(ownOgm(5_000_000));
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const ogm = router.sent.find(({ frame }) => ethertype(frame) === ETH_P_BATMAN)!;
  assert.equal(parseOgms(fromHex(ogm.frame))[0]!.seqno, 5_000_001, 'another primary begins anew');
});

test('what the tap hears of our own frames is not taken for the kernel’s', () => {
  const router = new Router({ kickCount: 3 });
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  router.pass(milliseconds(10));
  for (const { frame } of router.sent.filter((sent) => ethertype(sent.frame) === ETH_P_BATMAN)) {
    router.feed({ type: 'ogm-sent', frame });
  }
  assert.ok(!router.changes.some(({ id }) => id === 'loan-origInterval-back'), 'it has not caught up');
});

test('a router whose primary is its only radio sends by it', () => {
  const radio = port(9, { index: 11, name: 'primary0', mac: ORIGINATOR });
  const first = tables([['02:00:00:00:00:aa', 1, true]], [['02:00:00:00:01:01', 1]]);
  const there = { interface: 11, interfaceName: 'primary0' };
  const router = new Router({ primary: 'nothing' }, [radio], {
    ...first,
    neighbours: first.neighbours.map((row) => ({ ...row, ...there })),
    originators: first.originators.map((row) => ({ ...row, ...there })),
  });
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  assert.deepEqual(
    router.sent.map(({ interface: index, frame }) => [index, ethertype(frame)]),
    [
      [11, ETH_P_X0],
      [11, ETH_P_BATMAN],
    ],
  );
});

test('aggregation is off while kicks are about, with its undo armed, and on again after', () => {
  const router = new Router();
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  const off = router.changes[0]!;
  assert.deepEqual(off.change, { kind: 'set-mesh', mesh: 'bat0', settings: { aggregatedOgms: false } });
  assert.deepEqual(off.undo, { kind: 'set-mesh', mesh: 'bat0', settings: { aggregatedOgms: true } });
  router.pass(SECOND);
  const back = router.changes.at(-1)!;
  assert.deepEqual(back.change, off.undo);
  router.done(back.id);
  assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === off.id));
});

test('a mesh that runs without aggregation is left without', () => {
  const router = new Router({}, undefined, withSettings({ aggregatedOgms: false }));
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  router.pass(SECOND);
  assert.deepEqual(
    router.changes.map(({ id }) => id),
    ['loan-origInterval'],
  );
});

test('where the kick moves the routes the dead interface stays in, and the story ends with its carrier', () => {
  const router = new Router();
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.pass(milliseconds(260));
  const moved = tables([['02:00:00:00:00:aa', 2, true]], [['02:00:00:00:01:02', 2]]);
  router.feed({ type: 'tables', tables: moved });
  router.pass(SECOND);
  router.feed({ type: 'tables', tables: moved });
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
  router.feed({ type: 'tables', tables: tables([['02:00:00:00:00:aa', 2, true]], [['02:00:00:00:01:02', 2]]) });
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

test('an alarm by which nobody else has to move is passed on, and moves nobody', () => {
  const router = new Router();
  const sender = '02:00:00:00:00:cc';
  const word = {
    sender,
    epoch: 1,
    counter: 1,
    kind: 'link-down',
    near: ANY,
    far: ANY,
    affected: [sender],
    hops: 4,
  } as const;
  const frame = toHex(encodeAlarm(word, '02:00:00:00:01:01', key));
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
    const [sent] = router.room.alarm.on({ type: 'raise-alarm', alarm, avoid: [] }, router.now);
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
    const { echo } = decodeFrame(fromHex(frame), macKey(fromHex(KEY))) as Extract<Frame, { kind: 'echo' }>;
    const reply = encodeEcho({ ...echo, reply: true }, port(1).mac, neighbour, macKey(fromHex(KEY)));
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
  router.feed({ type: 'link', link: port(1, { master: 30 }), cause: 'event' });
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

test('off neither speaks nor listens', () => {
  const router = new Router({ mode: 'off', echoNs: 10 * SECOND });
  router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:aa', 1) });
  router.feed({ type: 'frame', interface: 21, frame: echo(1) });
  router.pass(60 * SECOND);
  assert.deepEqual(router.sent, []);
});

function echo(counter: number, over: Partial<Echo> = {}): string {
  const asked = { reply: false, asker: '02:00:00:00:00:aa', epoch: 1, counter, ...over };
  return toHex(encodeEcho(asked, '02:00:00:00:00:01', '02:00:00:00:01:01', key));
}

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
  const other = encodeAlarm(
    { sender: '02:00:00:00:00:aa', epoch: 1, counter: 1, kind: 'kick', near: ANY, far: ANY, affected: [], hops: 2 },
    ANY,
    macKey(fromHex('cd'.repeat(32))),
  );
  assert.ok(taken(toHex(other)), 'low numbers count under a new key');
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

/** From the neighbour at port 1: it has no way any more. */
function wayLost(counter: number, affected: readonly string[], source = '02:00:00:00:01:01', hops = 1): string {
  const alarm = { sender: '02:00:00:00:00:cc', epoch: 1, counter, kind: 'way-lost', near: ANY, far: ANY } as const;
  return toHex(encodeAlarm({ ...alarm, affected, hops }, source, key));
}

/** X is reached by port 1 and, less well, by port 2; Y by port 1 alone; Z by port 2 alone. */
const THREE = {
  ...TWO_WAYS,
  originators: tables(
    [
      ['02:00:00:00:00:aa', 1, true],
      ['02:00:00:00:00:aa', 2, false],
      ['02:00:00:00:00:bb', 1, true],
      ['02:00:00:00:00:cc', 2, true],
    ],
    [],
  ).originators,
};
const WAYS = ['02:00:00:00:00:aa', '02:00:00:00:00:bb', '02:00:00:00:00:cc'];

function said(effects: readonly Effect[]) {
  const frames = effects.flatMap((effect) => (effect.type === 'send' ? effect.frames : []));
  const ogms = frames.filter(({ frame }) => ethertype(frame) === ETH_P_BATMAN);
  const words = wordsOf(effects);
  const marked = (mark: string) => ogms.filter(({ frame }) => frame.slice(68, 70) === mark);
  return {
    withdrawn: marked('79').map(({ interface: index }) => index),
    kicked: marked('78').length,
    announced: marked('7b').map(({ interface: index, frame }) => {
      const [seqno, tq] = [frame.slice(36, 44), frame.slice(70, 72)].map((hex) => Number.parseInt(hex, 16));
      return [index, macFromBytes(fromHex(frame), 22), seqno!, tq!, frame.slice(32, 34)] as const;
    }),
    retracted: words.filter(({ kind }) => kind === 'way-lost').map(({ index, affected }) => [index, ...affected]),
    asked: words.filter(({ kind }) => kind === 'way-asked').map(({ index, affected }) => [index, ...affected]),
  };
}

const NOTHING = { withdrawn: [], kicked: 0, announced: [], retracted: [], asked: [] };

test('a neighbour that lost its ways: who went by it and knows no other says so in its turn, once, and kicks', () => {
  const router = new Router({}, [port(1), port(2)], THREE);
  for (const originator of WAYS) router.feed(ownOgm(50, originator));
  router.effects.length = 0;
  const first = said(router.feed({ type: 'frame', interface: 21, frame: wayLost(1, WAYS) }));
  // X has another way, and Z does not go by that neighbour.
  assert.deepEqual(first.retracted, [[22, '02:00:00:00:00:bb']]);
  assert.deepEqual(new Set(first.withdrawn), new Set([22]));
  assert.ok(first.kicked > 0);
  assert.deepEqual(first.asked, [[22, '02:00:00:00:00:aa']], 'what is left for X has to be heard anew here');
  const told = new Set(first.announced.map(([index, originator]) => `${index} ${originator}`));
  assert.deepEqual(told, new Set(['21 02:00:00:00:00:aa', '21 02:00:00:00:00:cc']), 'and by it that neighbour may go');
  const again = said(router.feed({ type: 'frame', interface: 21, frame: wayLost(2, ['02:00:00:00:00:bb']) }));
  assert.deepEqual(again, NOTHING, 'what is told is told');
  const second = said(router.feed({ type: 'frame', interface: 22, frame: wayLost(3, WAYS, '02:00:00:00:01:02') }));
  assert.deepEqual(
    second.retracted,
    [[21, '02:00:00:00:00:aa', '02:00:00:00:00:cc']],
    'the other way of X is gone too',
  );
  assert.deepEqual(second.announced, []);
});

test('who is asked says its way anew: numbers that the originator will use next, and what they will be worth', () => {
  const router = new Router({}, [port(1), port(2)], THREE);
  for (const originator of WAYS) router.feed(ownOgm(50, originator));
  router.effects.length = 0;
  const ask = (counter: number, affected: readonly string[], far = port(2).mac) => {
    const effects = router.feed({ type: 'frame', interface: 22, frame: asked(counter, affected, far) });
    assert.deepEqual(said(effects), NOTHING, 'the tables may be old');
    if (!effects.some(({ type }) => type === 'poll')) return NOTHING;
    router.pass(milliseconds(5));
    return said(router.feed({ type: 'tables', tables: THREE }));
  };
  const { announced, ...rest } = ask(1, ['02:00:00:00:00:bb', '02:00:00:00:00:cc', '02:00:00:00:00:77']);
  assert.deepEqual(rest, { withdrawn: [], kicked: 0, retracted: [], asked: [] });
  // Z is reached by the one who asks, and of the last nothing was heard.
  assert.deepEqual(
    announced.map(([index, originator, seqno]) => [index, originator, seqno]),
    [51, 51, 52, 53, 54, 55, 56].map((seqno) => [22, '02:00:00:00:00:bb', seqno]),
  );
  const tq = THREE.originators.find(({ originator }) => originator === '02:00:00:00:00:bb')!.tq!;
  assert.deepEqual(new Set(announced.map(([, , , worth]) => worth)), new Set([Math.floor((tq * (255 - 30)) / 255)]));
  assert.deepEqual(new Set(announced.map(([, , , , ttl]) => ttl)), new Set(['01']), 'nobody passes it on');
  router.feed(ownOgm(52, '02:00:00:00:00:bb'));
  assert.deepEqual(ask(2, ['02:00:00:00:00:bb']), NOTHING, 'the same numbers once more would move nothing');
  assert.deepEqual(ask(3, ['02:00:00:00:00:bb'], '02:00:00:00:09:99'), NOTHING, 'another was asked');
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  router.effects.length = 0;
  assert.deepEqual(ask(4, ['02:00:00:00:00:bb']).announced, [], 'a dead way is not passed on');
});

test('nobody is answered where others would hear it; a turned way is looked at, and kicked for where it is still there', () => {
  const shared = {
    ...THREE,
    neighbours: [
      ...THREE.neighbours,
      ...tables([], [['02:00:00:00:01:09', 2]]).neighbours,
      ...tables([], [['02:00:00:00:01:02', 2]]).neighbours,
    ],
  };
  for (const [first, answers] of [
    [THREE, true],
    [shared, false],
  ] as const) {
    const router = new Router({}, [port(1), port(2)], first);
    for (const originator of WAYS) router.feed(ownOgm(50, originator));
    router.effects.length = 0;
    router.feed({ type: 'frame', interface: 22, frame: asked(1, ['02:00:00:00:00:bb'], port(2).mac) });
    assert.equal(said(router.feed({ type: 'tables', tables: first })).announced.length > 0, answers);
  }
  const router = new Router({}, [port(1), port(2)], THREE);
  for (const originator of WAYS) router.feed(ownOgm(50, originator));
  router.effects.length = 0;
  router.feed({ type: 'frame', interface: 21, frame: wayLost(1, ['02:00:00:00:00:aa']) });
  router.effects.length = 0;
  router.pass(milliseconds(61));
  assert.ok(router.effects.some(({ type }) => type === 'poll'));
  const words = wordsOf(router.feed({ type: 'tables', tables: THREE }));
  assert.deepEqual(
    words.map(({ kind, affected }) => [kind, ...affected]),
    [
      ['kick', '02:00:00:00:00:aa'],
      ['kick', '02:00:00:00:00:aa'],
    ],
  );
  router.pass(SECOND);
  assert.deepEqual(wordsOf(router.feed({ type: 'tables', tables: THREE })), [], 'once');
});

/** As the kernel passes it on: an OGM that a neighbour had sent. */
function passedOn(originator: string, seqno: number, previous: string) {
  const event = ownOgm(seqno, originator);
  assert.ok(event.type === 'ogm-sent');
  const bytes = fromHex(event.frame);
  macToBytes(previous, bytes, 14 + 14);
  return { ...event, frame: toHex(bytes) };
}

test('an OGM that was on its way when its way broke: what the kernel still passes on is taken back, or said as it is now', () => {
  const [x, y, dead, alive] = ['02:00:00:00:00:aa', '02:00:00:00:00:bb', '02:00:00:00:01:01', '02:00:00:00:01:02'];
  const router = new Router({}, [port(1), port(2), port(3)], THREE);
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  const after = (originator: string, seqno: number, previous: string) => {
    const effects = router.feed(passedOn(originator, seqno, previous));
    const frames = effects.flatMap((effect) => (effect.type === 'send' ? effect.frames : []));
    return frames.map(({ interface: index, frame }) => [
      index,
      frame.slice(36, 44),
      frame.slice(68, 70),
      Number.parseInt(frame.slice(70, 72), 16),
    ]);
  };
  const number = '00000033';
  const each = (...rows: unknown[]) => rows.flatMap((row) => Array(4).fill(row));
  assert.deepEqual(after(y, 0x33, dead), each([22, number, '79', 10], [23, number, '79', 10]), 'no other way is known');
  const tq = THREE.originators.find((row) => row.originator === x && !row.best)!.tq!;
  const worth = Math.floor((tq * (255 - 30)) / 255);
  const reverse = each([23, number, '7a', worth], [22, number, '79', 10]);
  assert.deepEqual(after(x, 0x33, dead), reverse, 'by port 2, to whom there is none by us');
  assert.deepEqual(after(x, 0x34, alive), [], 'that came another way');
  assert.equal(after(y, 0x34, alive).length, 8, 'what was taken back is good again');
  router.pass(SECOND);
  // The kick had taken it back; by now whatever comes is what it says.
  assert.deepEqual(after(x, 0x35, dead), each([22, '00000035', '7a', 255], [23, '00000035', '7a', 255]));
  assert.deepEqual(after(x, 0x36, dead), []);
});

function asked(counter: number, affected: readonly string[], far: string): string {
  const alarm = { sender: '02:00:00:00:00:dd', epoch: 1, counter, kind: 'way-asked', near: ANY, far } as const;
  return toHex(encodeAlarm({ ...alarm, affected, hops: 1 }, '02:00:00:00:01:02', key));
}

test('the far end of a link says that it is gone, and this end still has a carrier: its ways are asked for', () => {
  const router = new Router();
  const alarm = {
    sender: '02:00:00:00:00:cc',
    epoch: 1,
    counter: 1,
    kind: 'link-down',
    near: '02:00:00:00:01:01',
    far: port(1).mac,
    affected: ['02:00:00:00:00:cc'],
    hops: 4,
  } as const;
  const heard = (at: number) =>
    said(router.feed({ type: 'frame', interface: at, frame: toHex(encodeAlarm(alarm, '02:00:00:00:01:02', key)) }));
  assert.deepEqual(heard(22).asked, [[22, '02:00:00:00:00:aa']]);
  const setMaster = router.changes.filter(({ change }) => change.kind === 'set-master');
  assert.deepEqual(setMaster, [], 'an interface is changed on its own evidence only');
  const other = new Router();
  const by = other.feed({ type: 'frame', interface: 21, frame: toHex(encodeAlarm(alarm, '02:00:00:00:01:01', key)) });
  assert.deepEqual(said(by).asked, [], 'what came over that link itself says that it is alive');
});

test('a lost way goes no further than its neighbours, and moves nobody who does not act', () => {
  const router = new Router({}, [port(1), port(2)], THREE);
  const far = router.feed({ type: 'frame', interface: 21, frame: wayLost(1, ['02:00:00:00:00:aa'], undefined, 8) });
  assert.deepEqual(said(far), { ...NOTHING, asked: [[22, '02:00:00:00:00:aa']] });
  const observer = new Router({ mode: 'observe' }, [port(1), port(2)], THREE);
  assert.deepEqual(said(observer.feed({ type: 'frame', interface: 21, frame: wayLost(1, WAYS) })), NOTHING);
  const journal = router.effects.filter((effect) => effect.type === 'journal');
  assert.deepEqual(journal, [], 'it is no fault of its own');
});

test('lost ways have a budget of their own, and leave that of alarms alone', () => {
  const router = new Router({ senderBudget: 1 }, [port(1), port(2)], THREE);
  const reasons = Array.from({ length: 6 }, (_, n) =>
    router
      .feed({ type: 'frame', interface: 21, frame: wayLost(n + 1, ['02:00:00:00:00:aa']) })
      .some((one) => one.type === 'metric' && one.labels.reason === 'sender-budget'),
  );
  assert.deepEqual(reasons, [false, false, false, false, true, true]);
  const alarm = router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:cc', 7) });
  assert.ok(alarm.some((one) => one.type === 'metric' && one.name === 'alarms_received_total'));
});

test('a lost link without routes names only its own router; too many are cut to what fits', () => {
  const quiet = new Router({}, undefined, tables([['02:00:00:00:00:aa', 2, true]], []));
  quiet.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  const many = new Router(
    {},
    undefined,
    tables(
      Array.from({ length: 300 }, (_, n) => [
        `02:00:00:00:${(n >> 8) + 16}:${(n & 255).toString(16).padStart(2, '0')}`,
        1,
        true,
      ]),
      [],
    ),
  );
  many.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  const affected = [quiet, many].map((router) => {
    const { frame } = router.sent.find((sent) => ethertype(sent.frame) === ETH_P_X0)!;
    const word = decodeFrame(fromHex(frame), key);
    return word.kind === 'alarm' ? word.alarm.affected : [];
  });
  assert.deepEqual(affected[0], [ORIGINATOR]);
  assert.equal(affected[1]!.length, 200);
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
    const [dropped] = gone.decisions.filter(({ step }) => step === 'dropped');
    assert.equal(dropped?.action, 'recreate-mesh', 'what was planned has an end');
    gone.pass(60 * SECOND);
    const isMeant = (effect: (typeof gone.changes)[number]) =>
      event.type === 'mode-asked' || effect.change.kind === 'create-mesh';
    assert.deepEqual(gone.changes.filter(isMeant), []);
  }

  const kicking = new Router({}, undefined, IDLE);
  kicking.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  kicking.effects.length = 0;
  kicking.feed({ type: 'mode-asked', by: 'root', mode: 'off' });
  kicking.pass(SECOND);
  assert.deepEqual(kicking.sent, []);
  assert.ok(
    kicking.changes.some(({ id }) => id === 'loan-aggregatedOgms-back'),
    'what is lent goes back',
  );

  const missed = new Router({ mode: 'observe' });
  missed.feed({ type: 'link-gone', index: 21, name: 'eth1' });
  missed.feed({ type: 'link', link: port(1, { master: 0 }), cause: 'event' });
  missed.pass(10 * SECOND);
  assert.deepEqual(missed.changes, []);
  missed.feed({ type: 'mode-asked', by: 'root', mode: 'act' });
  missed.pass(3 * SECOND);
  assert.deepEqual(setMasters(missed), ['bat0']);
});

test('where the interval is long, or cannot be lent, the kernel is not left behind', () => {
  const slow = new Router({}, undefined, withSettings({ origInterval: 10_000 }));
  slow.feed({ type: 'kick-asked', by: 'root', lost: null });
  slow.pass(12 * SECOND);
  assert.ok(!slow.changes.some(({ id }) => id === 'loan-origInterval-back'), 'its next OGM has not been sent yet');
  const fixed = new Router({ kickBudget: 600 });
  for (let i = 0; i < 5; i++) {
    fixed.feed({ type: 'kick-asked', by: 'root', lost: null });
    fixed.done('loan-origInterval', 'not supported');
    fixed.pass(2 * SECOND);
  }
  const numbers = fixed.sent
    .filter(({ frame }) => ethertype(frame) === ETH_P_BATMAN)
    .map(({ frame }) => parseOgms(fromHex(frame))[0]!.seqno);
  assert.equal(Math.max(...numbers), 1012);
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
