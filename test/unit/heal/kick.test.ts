import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex } from '../../../agent/core/hex.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { ETH_P_BATMAN, parseOgms } from '../../../agent/heal/ogm.ts';
import { ETH_P_X0 } from '../../../agent/heal/wire.ts';
import { BY_TWO, logged, milliseconds, ORIGINATOR, ownOgm, port, Router, tables, withSettings } from './harness.ts';
import { alarmFrom, ethertype } from './words.ts';

test('a kick sends contiguous sequence numbers from the kernel’s last, at the configured pace', () => {
  const router = new Router({ kickCount: 4, kickSpacingNs: milliseconds(5) }, undefined, BY_TWO);
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

test('of a budget of one nothing goes to what others cause', () => {
  const router = new Router({ kickBudget: 1 });
  router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:cc', 1) });
  assert.equal(router.room.kick.left(router.now), 1);
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  assert.equal(router.room.kick.left(router.now), 0);
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
