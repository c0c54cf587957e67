import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import { macFromBytes, macToBytes } from '../../../agent/core/ids.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { ETH_P_BATMAN } from '../../../agent/heal/ogm.ts';
import { ANY, fromInterface } from '../../../agent/heal/wire.ts';
import { milliseconds, ORIGINATOR, ownOgm, port, Router, TWO_WAYS, tables } from './harness.ts';
import { alarmFrom, alarmOf, ethertype, wordsOf } from './words.ts';

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

/** From the neighbour at port 2. */
function asked(counter: number, affected: readonly string[], far: string): string {
  const [sender, source] = ['02:00:00:00:00:dd', '02:00:00:00:01:02'];
  return alarmOf({ sender, counter, kind: 'way-asked', near: ANY, far, affected, hops: 1 }, source);
}

/** From the neighbour at port 1: it has no way any more. */
function wayLost(counter: number, affected: readonly string[], source = '02:00:00:00:01:01', hops = 1): string {
  const sender = '02:00:00:00:00:cc';
  return alarmOf({ sender, counter, kind: 'way-lost', near: ANY, far: ANY, affected, hops }, source);
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

const NOTHING = { withdrawn: [], kicked: 0, announced: [], retracted: [], asked: [] };

/** As the kernel passes it on: an OGM that a neighbour had sent. */
function passedOn(originator: string, seqno: number, previous: string) {
  const event = ownOgm(seqno, originator);
  assert.ok(event.type === 'ogm-sent');
  const bytes = fromHex(event.frame);
  macToBytes(previous, bytes, 14 + 14);
  return { ...event, frame: toHex(bytes) };
}

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

test('the far end of a link says that it is gone, and this end still has a carrier: its ways are asked for', () => {
  const router = new Router();
  const cc = '02:00:00:00:00:cc';
  const word = { sender: cc, kind: 'link-down', near: '02:00:00:00:01:01', far: port(1).mac, affected: [cc] } as const;
  const heard = (at: number) =>
    said(router.feed({ type: 'frame', interface: at, frame: alarmOf(word, '02:00:00:00:01:02') }));
  assert.deepEqual(heard(22).asked, [[22, '02:00:00:00:00:aa']]);
  const setMaster = router.changes.filter(({ change }) => change.kind === 'set-master');
  assert.deepEqual(setMaster, [], 'an interface is changed on its own evidence only');
  const other = new Router();
  const by = other.feed({ type: 'frame', interface: 21, frame: alarmOf(word) });
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

test('lost ways have a budget of their own, also when settings are read again, and leave that of alarms alone', () => {
  const router = new Router({ senderBudget: 1 }, [port(1), port(2)], THREE);
  let counter = 0;
  const refused = () =>
    Array.from({ length: 6 }, () =>
      router
        .feed({ type: 'frame', interface: 21, frame: wayLost(++counter, ['02:00:00:00:00:aa']) })
        .some((one) => one.type === 'metric' && one.labels.reason === 'sender-budget'),
    );
  assert.deepEqual(refused(), [false, false, false, false, true, true]);
  const alarm = router.feed({ type: 'frame', interface: 21, frame: alarmFrom('02:00:00:00:00:cc', ++counter) });
  assert.ok(alarm.some((one) => one.type === 'metric' && one.name === 'alarms_received_total'));
  router.feed({ type: 'settings', settings: router.room.monitor.settings });
  router.pass(60 * SECOND);
  assert.deepEqual(refused(), [false, false, false, false, true, true]);
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
  const affected = [quiet, many].map((router) => wordsOf(router.effects)[0]!.affected);
  assert.deepEqual(affected[0], [ORIGINATOR]);
  assert.equal(affected[1]!.length, 200);
});

test('words of ways are those of the interface that said them: said again in another’s name they are refused', () => {
  const router = new Router({}, [port(1), port(2)], THREE);
  for (const originator of WAYS) router.feed(ownOgm(50, originator));
  const [sender, far, source] = ['02:00:00:00:00:cc', port(1).mac, '02:00:00:00:99:01'];
  for (const genuine of [
    wayLost(1, WAYS, source),
    alarmOf({ sender, counter: 2, kind: 'way-asked', near: ANY, far, affected: WAYS, hops: 1 }, source),
  ]) {
    const replayed = toHex(fromInterface(fromHex(genuine), '02:00:00:00:01:01'));
    const effects = router.feed({ type: 'frame', interface: 21, frame: replayed });
    assert.deepEqual(said(effects), NOTHING);
    assert.ok(!effects.some(({ type }) => type === 'poll'));
    assert.deepEqual(
      effects.flatMap((effect) => (effect.type === 'metric' ? [[effect.name, effect.labels.reason]] : [])),
      [['alarms_refused_total', 'tag']],
    );
  }
  const own = router.feed({ type: 'frame', interface: 21, frame: wayLost(3, ['02:00:00:00:00:aa']) });
  assert.deepEqual(said(own).asked, [[22, '02:00:00:00:00:aa']]);
});

test('a question is answered by a reading that began after it, or not at all', () => {
  const router = new Router({}, [port(1), port(2)], THREE);
  for (const originator of WAYS) router.feed(ownOgm(50, originator));
  const question = asked(1, ['02:00:00:00:00:bb'], port(2).mac);
  router.feed({ type: 'frame', interface: 22, frame: question });
  const askedAt = router.now;
  const read = (since: number) => said(router.feed({ type: 'tables', tables: THREE, since })).announced.length;
  router.pass(milliseconds(2));
  assert.equal(read(askedAt - 1), 0);
  router.pass(milliseconds(2));
  assert.equal(read(askedAt), 7);
  assert.equal(read(askedAt), 0, 'once');
  const late = new Router({}, [port(1), port(2)], THREE);
  for (const originator of WAYS) late.feed(ownOgm(50, originator));
  late.feed({ type: 'frame', interface: 22, frame: question });
  late.pass(milliseconds(101));
  assert.deepEqual(said(late.feed({ type: 'tables', tables: THREE, since: late.now })).announced, []);
});

test('so many originators are answered for in a minute, and no more, whoever asks', () => {
  const many = Array.from({ length: 200 }, (_, n) => `02:00:00:01:00:${n.toString(16).padStart(2, '0')}`);
  const first = tables(
    many.map((originator) => [originator, 1, true]),
    [
      ['02:00:00:00:01:01', 1],
      ['02:00:00:00:01:02', 2],
    ],
  );
  const router = new Router({ kickBudget: 10 }, [port(1), port(2)], first);
  assert.equal(router.room.ways.left(router.now), 300);
  let frames = 0;
  for (let second = 0; second < 30; second++) {
    for (const originator of many) router.feed(ownOgm(100 + second, originator));
    router.effects.length = 0;
    router.feed({ type: 'frame', interface: 22, frame: asked(second + 1, many, port(2).mac) });
    frames += said(router.feed({ type: 'tables', tables: first })).announced.length;
    router.pass(SECOND);
  }
  assert.equal(frames, 7 * 300);
  assert.equal(router.room.ways.left(router.now), 0);
  assert.equal(router.room.kick.left(router.now), 10);
  router.pass(60 * SECOND);
  assert.equal(router.room.ways.left(router.now), 300);
});

test('what others can cause leaves half of the withdrawals and words to our own lost carriers', () => {
  const alone = tables(
    [['02:00:00:00:00:aa', 1, true]],
    [
      ['02:00:00:00:01:01', 1],
      ['02:00:00:00:01:02', 2],
    ],
  );
  for (const alarms of [0, 30]) {
    const router = new Router({}, [port(1), port(2)], alone);
    router.feed(ownOgm(50, '02:00:00:00:00:aa'));
    for (let n = 0; n < alarms; n++) {
      // The far end of port 1 is gone, they say: what goes by it is stuck.
      const over = { sender: `02:00:00:00:77:${10 + (n % 8)}`, near: '02:00:00:00:01:01', far: port(1).mac, hops: 1 };
      const frame = alarmOf({ ...over, kind: 'link-down', affected: ['02:00:00:00:66:66'] });
      router.feed({ type: 'frame', interface: 22, frame });
      router.pass(milliseconds(1500));
      router.feed({ type: 'tables', tables: alone });
    }
    router.effects.length = 0;
    const { withdrawn, retracted } = said(
      router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' }),
    );
    assert.deepEqual([withdrawn.length, alarms > 0 || retracted.length > 0], [4, true], `after ${alarms}`);
  }
});

test('each turned way is looked at in its own time', () => {
  const both = {
    ...TWO_WAYS,
    originators: tables(
      WAYS.slice(0, 2).flatMap((originator) => [[originator, 1, true] as const, [originator, 2, false] as const]),
      [],
    ).originators,
  };
  const router = new Router({}, [port(1), port(2)], both);
  const start = router.now;
  const looks: number[] = [];
  const pass = (ms: number) => {
    for (let n = 0; n < ms; n++) {
      const isDue = router.pass(milliseconds(1)).some(({ type }) => type === 'poll');
      if (!isDue) continue;
      looks.push((router.now - start) / milliseconds(1));
      router.feed({ type: 'tables', tables: both });
    }
  };
  router.feed({ type: 'frame', interface: 21, frame: wayLost(1, WAYS.slice(0, 1)) });
  pass(30);
  router.feed({ type: 'frame', interface: 21, frame: wayLost(2, WAYS.slice(1, 2)) });
  pass(100);
  assert.deepEqual(looks, [60, 90]);
});

test('a person who forbids what follows from others’ words forbids this too', () => {
  const router = new Router({}, [port(1), port(2)], THREE);
  for (const originator of WAYS) router.feed(ownOgm(50, originator));
  router.feed({ type: 'class-mode-asked', by: 'root', class: 'remote-alarm', mode: 'off' });
  router.effects.length = 0;
  router.feed({ type: 'frame', interface: 21, frame: wayLost(1, WAYS) });
  router.feed({ type: 'frame', interface: 22, frame: asked(1, ['02:00:00:00:00:bb'], port(2).mac) });
  router.feed({ type: 'tables', tables: THREE });
  assert.deepEqual(said(router.effects), NOTHING);
});

test('what was begun in act is not gone on with in another mode', () => {
  for (const mode of ['observe', 'off'] as const) {
    const router = new Router({}, [port(1), port(2)], THREE);
    for (const originator of WAYS) router.feed(ownOgm(50, originator));
    router.feed({ type: 'frame', interface: 21, frame: wayLost(1, WAYS) });
    router.pass(milliseconds(20));
    router.feed({ type: 'mode-asked', by: 'root', mode });
    router.effects.length = 0;
    router.feed(passedOn('02:00:00:00:00:bb', 51, '02:00:00:00:01:01'));
    router.pass(milliseconds(500));
    router.feed({ type: 'tables', tables: THREE });
    assert.deepEqual(said(router.effects), NOTHING);
    assert.deepEqual(wordsOf(router.effects), []);
  }
});
