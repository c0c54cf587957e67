/** Alarms, echoes and hellos under the keys that identities agree on, beside the mesh key and instead of it. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Effect } from '../../../agent/core/effect.ts';
import { AgentError } from '../../../agent/core/errors.ts';
import type { AirKey, WorldEvent } from '../../../agent/core/event.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import type { Alarm } from '../../../agent/core/words.ts';
import {
  AIR_VERSION,
  airKey,
  decodeFrame,
  encodeAlarm,
  encodeEcho,
  encodeHello,
  FOR_MEMBERS,
  keyOf,
  macKey,
  VERSION,
} from '../../../agent/heal/wire.ts';
import { KEY, ORIGINATOR, Router } from './harness.ts';

const NEIGHBOUR = '02:00:00:00:01:01';
const SENDER = '02:00:00:00:00:77';
const [OLD, NEW] = [1, 2].map((n) => ({
  id: `k${n}`,
  epoch: n,
  key: `0${n}`.repeat(32),
  marks: [],
})) as readonly AirKey[] as [AirKey, AirKey];
const sealOf = ({ key, epoch }: AirKey) => airKey(fromHex(key), epoch);
const MESH = macKey(fromHex(KEY));
/** As a member that was told of keys of the air seals with the mesh key. */
const MEMBERS_MESH = macKey(fromHex(KEY), VERSION, FOR_MEMBERS);

const keys = (
  given: readonly AirKey[] | null,
  more: Partial<Extract<WorldEvent, { type: 'air-keys' }>> = {},
): WorldEvent => ({
  type: 'air-keys',
  keys: given,
  sending: given?.[0]?.id ?? null,
  mixed: true,
  hello: false,
  ...more,
});
const word = (counter: number, over: Partial<Alarm> = {}): Alarm => ({
  sender: SENDER,
  epoch: 5,
  counter,
  kind: 'link-down',
  near: SENDER,
  far: NEIGHBOUR,
  affected: [],
  hops: 1,
  ...over,
});
const frame = (bytes: Uint8Array, index = 21): WorldEvent => ({ type: 'frame', interface: index, frame: toHex(bytes) });
const frames = (effects: readonly Effect[]) =>
  effects
    .flatMap((effect) => (effect.type === 'send' ? effect.frames : []))
    .map(({ interface: index, frame: hex }) => ({ index, bytes: fromHex(hex) }));
const refusals = (effects: readonly Effect[]) =>
  effects.flatMap((effect) =>
    effect.type === 'metric' && effect.name === 'alarms_refused_total' ? [effect.labels.reason] : [],
  );
const taken = (effects: readonly Effect[]) =>
  effects.filter((effect) => effect.type === 'metric' && effect.name === 'alarms_received_total').length;
const raise = (router: Router) => {
  const alarm = { kind: 'link-down', near: ORIGINATOR, far: NEIGHBOUR, affected: [], hops: 4 } as const;
  return frames(router.room.alarm.on({ type: 'raise-alarm', reason: 'own-fault', alarm, avoid: [] }, router.now));
};

test('version 2 is HMAC-SHA-256 with a key derived from that of the air, whose name stands in the frame', () => {
  const secret = fromHex(NEW.key);
  const sealed = Buffer.from(encodeAlarm(word(1), NEIGHBOUR, sealOf(NEW)));
  const derive = (label: string) => createHmac('sha256', secret).update(label).digest();
  assert.deepEqual([sealed[16], sealed[19]], [AIR_VERSION, NEW.epoch]);
  assert.deepEqual(sealed.subarray(20, 22), derive('x0tta6bl4 alarm key name v2').subarray(0, 2));
  const payload = Buffer.from(sealed.subarray(14, -16));
  payload[4] = 0;
  const tag = createHmac('sha256', derive('x0tta6bl4 alarm v2')).update(payload).digest().subarray(0, 16);
  assert.deepEqual(sealed.subarray(-16), tag);
});

test('an alarm under the mesh key is taken once for as long as that key counts, however often the other one changes', () => {
  const router = new Router();
  const alarm = encodeAlarm(word(1), NEIGHBOUR, MESH);
  assert.equal(taken(router.feed(frame(alarm))), 1);
  for (let n = 1; n <= 40; n++) {
    const key = { ...NEW, id: String(n), epoch: n };
    router.feed(keys([key]));
    router.feed(frame(encodeAlarm(word(n + 1, { epoch: 6 }), NEIGHBOUR, sealOf(key))));
  }
  assert.deepEqual(refusals(router.feed(frame(alarm))), ['seen']);
});

test('every changed byte of a hello is noticed, also of its addresses; and none passes for one of version 1', () => {
  const id = { sender: SENDER, epoch: 5, counter: 1 };
  const hello = encodeHello(id, NEIGHBOUR, sealOf(NEW));
  assert.deepEqual(decodeFrame(hello, sealOf(NEW)), { kind: 'hello', source: NEIGHBOUR });
  for (let at = 0; at < hello.length; at++) {
    if (at === 18) continue; // the hop count, as in every frame
    const changed = Uint8Array.from(hello);
    changed[at]! ^= 1;
    assert.throws(() => decodeFrame(changed, sealOf(NEW)), AgentError, `byte ${at}`);
  }
  assert.throws(() => decodeFrame(encodeHello(id, NEIGHBOUR, MESH), MESH), /kind/);
});

test('a router takes any bytes of either version, and what it takes it has verified', () => {
  const router = new Router();
  router.feed(keys([NEW, OLD]));
  const good = [sealOf(NEW), sealOf(OLD), MESH].map((key, i) => encodeAlarm(word(i + 1), NEIGHBOUR, key));
  fc.assert(
    fc.property(
      fc.constantFrom(...good),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.nat(90),
      (from, changes, cut) => {
        const bytes = Uint8Array.from(from.subarray(0, from.length - (cut < 60 ? cut : 0)));
        for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
        const said = router.feed(frame(bytes));
        if (taken(said) === 0) return;
        const name = keyOf(bytes);
        assert.ok([sealOf(NEW), sealOf(OLD), MESH].some((key) => key.version === name?.version && decodes(bytes, key)));
      },
    ),
    { numRuns: 1500 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => void router.feed(frame(bytes))));
});

function decodes(bytes: Uint8Array, key: ReturnType<typeof macKey>): boolean {
  try {
    return decodeFrame(bytes, key) !== null;
  } catch {
    return false;
  }
}

test('a member seals with the key of the air alone, and beside it with the mesh key where somebody needs that', () => {
  const router = new Router();
  assert.deepEqual(
    raise(router).map(({ bytes }) => bytes[16]),
    [1, 1],
    'without an identity as ever',
  );
  router.feed(keys([NEW]));
  assert.deepEqual(
    raise(router).map(({ index, bytes }) => [index, bytes[16]]),
    [
      [21, 2],
      [22, 2],
    ],
  );
  // A router without an identity is heard on one interface.
  router.feed(
    frame(encodeEcho({ reply: false, asker: SENDER, epoch: 1, counter: 1 }, '02:00:00:00:00:01', NEIGHBOUR, MESH)),
  );
  const both = raise(router);
  assert.deepEqual(
    both.map(({ index, bytes }) => [index, bytes[16]]),
    [
      [21, 2],
      [21, 1],
      [22, 2],
    ],
  );
  assert.equal(keyOf(both[1]!.bytes)?.name, FOR_MEMBERS, 'who would have understood version 2 says so');
  // What one that knows the air seals with the mesh key says nothing; what it seals with that of the air does.
  router.feed(
    frame(
      encodeEcho({ reply: false, asker: SENDER, epoch: 1, counter: 2 }, '02:00:00:00:00:01', NEIGHBOUR, MEMBERS_MESH),
    ),
  );
  assert.deepEqual(
    raise(router).map(({ bytes }) => bytes[16]),
    [2, 1, 2],
  );
  const ask = (counter: number, key: typeof MESH) =>
    router.feed(
      frame(encodeEcho({ reply: false, asker: SENDER, epoch: 1, counter }, '02:00:00:00:00:01', NEIGHBOUR, key)),
    );
  ask(3, sealOf(NEW));
  assert.deepEqual(
    raise(router).map(({ bytes }) => bytes[16]),
    [2, 2],
  );
  ask(4, MESH);
  router.pass(301e9);
  assert.deepEqual(
    raise(router).map(({ bytes }) => bytes[16]),
    [2, 2],
    'forgotten after five minutes',
  );
});

test('members that have not met, each with a key of its own, understand each other by the mesh key meanwhile', () => {
  const [one, other] = [new Router(), new Router()];
  one.feed(keys([OLD]));
  other.feed(keys([NEW]));
  const [first] = raise(other);
  assert.deepEqual(refusals(one.feed(frame(first!.bytes))), ['key']);
  const said = raise(one);
  assert.deepEqual(
    said.map(({ index, bytes }) => [index, bytes[16]]),
    [
      [21, 2],
      [21, 1],
      [22, 2],
    ],
  );
  const asked = frames(one.room.alarm.on({ type: 'ask', neighbour: NEIGHBOUR, interface: 21 }, one.now));
  assert.equal(asked[0]!.bytes[16], 1);
  // Where the mesh key counts no more nobody can have that by sending whatever it likes.
  one.feed(keys([OLD], { mixed: false }));
  one.feed(frame(first!.bytes));
  assert.deepEqual(
    raise(one).map(({ bytes }) => bytes[16]),
    [2, 2],
  );
});

test('once somebody is revoked the mesh key says nothing, in either direction; without a key of the air neither does anything', () => {
  const router = new Router();
  router.feed(keys([NEW], { mixed: false }));
  assert.deepEqual(refusals(router.feed(frame(encodeAlarm(word(1), NEIGHBOUR, MESH)))), ['mesh-key']);
  assert.deepEqual(refusals(router.feed(frame(encodeAlarm(word(1), NEIGHBOUR, MEMBERS_MESH)))), ['mesh-key']);
  assert.equal(taken(router.feed(frame(encodeAlarm(word(1), NEIGHBOUR, sealOf(NEW))))), 1);
  assert.deepEqual(refusals(router.feed(frame(encodeAlarm(word(2), NEIGHBOUR, sealOf(OLD))))), ['key']);
  router.feed(keys([], { mixed: false }));
  assert.deepEqual(raise(router), []);
  assert.deepEqual(refusals(router.feed(frame(encodeAlarm(word(3), NEIGHBOUR, sealOf(NEW))))), ['no-key']);
  assert.equal(router.room.monitor.canSpeak, false);
  router.feed(keys(null));
  assert.equal(taken(router.feed(frame(encodeAlarm(word(4), NEIGHBOUR, MESH)))), 1, 'without an identity as ever');
});

test('an alarm counts once, under however many keys it comes', () => {
  const router = new Router();
  router.feed(keys([NEW, OLD]));
  const copies = [sealOf(OLD), sealOf(NEW), MESH].map((key) => encodeAlarm(word(7), NEIGHBOUR, key));
  assert.equal(
    copies.reduce((sum, copy) => sum + taken(router.feed(frame(copy))), 0),
    1,
  );
  const later = [sealOf(NEW), sealOf(OLD)].map((key) => encodeAlarm(word(8), NEIGHBOUR, key));
  assert.equal(
    later.reduce((sum, copy) => sum + taken(router.feed(frame(copy))), 0),
    1,
  );
  assert.equal(taken(router.feed(frame(encodeAlarm(word(7), NEIGHBOUR, sealOf(NEW))))), 0, 'late by another way');
});

/** The latest that a router takes from anybody: 2100-01-01. */
const LAST_EPOCH = 4_102_444_800;

test('who had an old key silences nobody under the next one', () => {
  const router = new Router();
  router.feed(keys([OLD], { mixed: false }));
  const forged = encodeAlarm(word(0xffff_ffff, { epoch: LAST_EPOCH }), NEIGHBOUR, sealOf(OLD));
  const forgedToo = encodeAlarm(word(0xffff_ffff), NEIGHBOUR, sealOf(OLD));
  assert.equal(taken(router.feed(frame(forgedToo))) + taken(router.feed(frame(forged))), 2);
  router.feed(keys([NEW], { mixed: false }));
  assert.equal(taken(router.feed(frame(encodeAlarm(word(1), NEIGHBOUR, sealOf(NEW))))), 1);
});

test('marks of a key of the air are kept under its name, and hold after a restart', () => {
  const router = new Router();
  router.feed(keys([NEW]));
  const said = router.feed(frame(encodeAlarm(word(9), NEIGHBOUR, sealOf(NEW))));
  const [mark] = said.filter((effect) => effect.type === 'remember-mark');
  assert.deepEqual(mark, { type: 'remember-mark', sender: SENDER, epoch: 5, counter: 9, key: 'k2' });
  const again = new Router();
  again.feed(keys([{ ...NEW, marks: [{ sender: SENDER, epoch: 5, counter: 9 }] }]));
  assert.deepEqual(refusals(again.feed(frame(encodeAlarm(word(9), NEIGHBOUR, sealOf(NEW))))), ['seen']);
});

test('an echo is answered under the key that it was asked under, and its address counts as a member’s', () => {
  const router = new Router();
  router.feed(keys([NEW, OLD]));
  const ask = (key: ReturnType<typeof macKey>, counter: number) =>
    router.feed(
      frame(encodeEcho({ reply: false, asker: SENDER, epoch: 1, counter }, '02:00:00:00:00:01', NEIGHBOUR, key)),
    );
  const first = ask(sealOf(OLD), 1);
  assert.deepEqual(keyOf(frames(first)[0]!.bytes), { version: 2, name: sealOf(OLD).name });
  const proven = (effects: readonly Effect[]) => effects.filter((effect) => effect.type === 'proven');
  assert.deepEqual(proven(first), [{ type: 'proven', neighbour: NEIGHBOUR, interface: 21 }]);
  assert.deepEqual(proven(ask(sealOf(NEW), 2)), [], 'said once in a while');
  assert.deepEqual(proven(ask(MESH, 3)), [], 'the mesh key proves nothing');
  router.pass(31e9);
  assert.equal(proven(ask(sealOf(NEW), 4)).length, 1);
  router.feed(keys([{ ...NEW, id: 'k3', epoch: 3 }]));
  assert.equal(proven(ask(airKey(fromHex(NEW.key), 3), 5)).length, 1, 'anew under a new key');
});

test('hellos go out where they are asked for: soon after a key and a link, then every ten seconds', () => {
  const router = new Router();
  router.feed(keys([NEW]));
  const hellos = (effects: readonly Effect[]) => frames(effects).filter(({ bytes }) => bytes[17] === 18);
  assert.equal(hellos(router.pass(20e9)).length, 0);
  router.feed(keys([NEW], { hello: true }));
  const [first] = hellos(router.pass(1e9));
  assert.deepEqual(decodeFrame(first!.bytes, sealOf(NEW)).kind, 'hello');
  assert.ok(hellos(router.pass(20e9)).length >= 4, 'two rounds on two interfaces');
  const listener = new Router();
  listener.feed(keys([NEW]));
  const heard = listener.feed(frame(first!.bytes));
  assert.deepEqual(
    heard.map(({ type }) => type),
    ['proven'],
  );
});

test('a rotation under traffic: of a stream of alarms none is lost and none counts twice', () => {
  for (const [switches, takes] of [
    [10, 25],
    [25, 10],
    [17, 17],
  ] as const) {
    const [sender, relay] = [new Router({ senderBudget: 600 }), new Router({ senderBudget: 600 })];
    for (const one of [sender, relay]) one.feed(keys([OLD]));
    let heard = 0;
    for (let i = 0; i < 40; i++) {
      if (i === 5) sender.feed(keys([NEW, OLD], { sending: OLD.id }));
      if (i === 6) relay.feed(keys([NEW, OLD], { sending: OLD.id }));
      if (i === switches) sender.feed(keys([NEW, OLD]));
      if (i === takes) relay.feed(keys([NEW, OLD]));
      if (i === 35) for (const one of [sender, relay]) one.feed(keys([NEW]));
      sender.pass(200e6);
      relay.pass(200e6);
      for (const { bytes } of raise(sender)) {
        // The sender has another name than whoever listens.
        const alarm = decodeFrame(bytes, bytes[19] === NEW.epoch ? sealOf(NEW) : sealOf(OLD));
        assert.equal(alarm.kind, 'alarm');
        const told = alarm.kind === 'alarm' ? { ...alarm.alarm, sender: SENDER } : word(i);
        const key = bytes[19] === NEW.epoch ? sealOf(NEW) : sealOf(OLD);
        heard += taken(relay.feed(frame(encodeAlarm(told, NEIGHBOUR, key))));
      }
    }
    assert.equal(heard, 40);
  }
});
