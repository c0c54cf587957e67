/** Slots on a medium without time: every router says what it knows once a superframe. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Place, Slots } from '../../../agent/beacon/slots.ts';
import { seeded } from '../../../tools/bench/seeded.ts';

interface Node {
  readonly near: readonly number[];
  slots: Slots;
  seq: number;
  alive: boolean;
}

/** Collisions destroy both frames, who sends hears nothing, `loss` of the rest is lost. */
class Medium {
  readonly nodes: Node[];
  readonly #slots: number;
  readonly #loss: number;
  readonly #ease: number;
  readonly #draw = seeded(11);
  superframe = 10;
  collided = 0;

  constructor(count: number, links: readonly (readonly [number, number])[], slots: number, loss = 0.05, ease = 1) {
    this.#slots = slots;
    this.#loss = loss;
    this.#ease = ease;
    this.nodes = Array.from({ length: count }, (_, id) => ({
      near: links.flatMap(([a, b]) => (a === id ? [b] : b === id ? [a] : [])),
      slots: this.fresh(id),
      seq: 0,
      alive: true,
    }));
  }

  fresh(id: number): Slots {
    return new Slots(Math.imul(id + 1, 0x9e3779b1) >>> 0, { slots: this.#slots, lead: 0, ease: this.#ease });
  }

  static name = (id: number) => Math.imul(id + 1, 0x9e3779b1) >>> 0;

  run(superframes: number): void {
    for (let i = 0; i < superframes; i++) {
      const k = this.superframe;
      const plans = this.nodes.map(({ slots, alive }) => (alive ? slots.plan(k) : null));
      for (const [id, plan] of plans.entries()) if (plan !== null) this.nodes[id]!.slots.sent(++this.nodes[id]!.seq, k);
      this.collided = 0;
      for (let slot = 0; slot < this.#slots; slot++) {
        const senders = [...plans.keys()].filter((id) => plans[id]?.slot === slot);
        for (const [id, { near, slots, alive }] of this.nodes.entries()) {
          const heard = senders.filter((sender) => near.includes(sender));
          if (!alive || heard.length === 0) continue;
          if (heard.length > 1 || senders.includes(id)) this.collided += 1;
          else if (this.#draw() >= this.#loss) {
            const { seq, slots: its } = this.nodes[heard[0]!]!;
            const reports = its.reports(k, 24);
            const said = { name: Medium.name(heard[0]!), seq, partial: reports.length === 24, reports };
            slots.heard(String(heard[0]), { ...said, ...plans[heard[0]!]! }, k);
          }
        }
      }
      this.superframe += 1;
    }
  }

  clashes(): string[] {
    const found: string[] = [];
    for (const [a, { near, slots, alive }] of this.nodes.entries()) {
      const around = new Set(near.flatMap((b) => [b, ...this.nodes[b]!.near]));
      for (const b of around) {
        const [mine, its] = [slots.place, this.nodes[b]!.slots.place];
        if (b <= a || !alive || !this.nodes[b]!.alive || !mine || !its) continue;
        if (meet(mine, its)) found.push(`${a} and ${b} in ${mine.slot}`);
      }
    }
    return found;
  }
}

function meet(a: Place, b: Place): boolean {
  const stride = Math.min(a.stride, b.stride);
  return a.slot === b.slot && a.phase % stride === b.phase % stride;
}

const grid = (width: number) =>
  Array.from({ length: width * width }, (_, n) => n).flatMap((n) => [
    ...((n + 1) % width === 0 ? [] : [[n, n + 1] as const]),
    ...(n + width < width * width ? [[n, n + width] as const] : []),
  ]);
const full = (count: number) =>
  Array.from({ length: count }, (_, a) => a).flatMap((a) => Array.from({ length: a }, (_, b) => [a, b] as const));

test('a grid that starts at once has a schedule soon, and keeps it', () => {
  const medium = new Medium(36, grid(6), 26);
  medium.run(25);
  assert.deepEqual(medium.clashes(), []);
  const before = medium.nodes.map(({ slots }) => slots.place!.slot);
  medium.run(300);
  assert.deepEqual(medium.clashes(), []);
  const moved = medium.nodes.filter(({ slots }, id) => slots.place!.slot !== before[id]).length;
  assert.ok(moved <= 3, `${moved} moved`);
});

test('two that hear nobody but each other, in the same slot, notice', () => {
  const medium = new Medium(2, [[0, 1]], 1, 0);
  medium.run(200);
  // There is one slot for both: they share its superframes.
  assert.deepEqual(medium.clashes(), []);
  for (const { slots } of medium.nodes) assert.ok(slots.place!.stride > 1);
});

test('more routers than slots: everybody sends less often, and nobody collides', () => {
  const medium = new Medium(20, full(20), 8);
  medium.run(400);
  assert.deepEqual(medium.clashes(), []);
  for (const { slots } of medium.nodes) {
    assert.ok(slots.place!.stride >= 2, `stride ${slots.place!.stride}`);
    assert.equal(slots.overfull, false);
  }
});

test('far too many: the emptiest slot is shared, it is said, and it is over when they go', () => {
  const slots = new Slots(7, { slots: 8, lead: 0, ease: 1 });
  // All places of 8 slots times 8 superframes are taken, in slot 5 but once.
  const others = Array.from({ length: 8 * 8 }, (_, i) => ({ slot: i % 8, stride: 8, phase: i >> 3 }));
  const hear = (k: number, next: number) => {
    for (const [i, place] of others.entries()) {
      const doubled = place.slot === 5 ? [0] : [0, 1];
      for (const j of doubled)
        slots.heard(`${i} ${j}`, { ...place, name: 1000 + 2 * i + j, seq: k, next, partial: false, reports: [] }, k);
    }
  };
  for (let k = 0; k < 20; k++) {
    hear(k, 8);
    slots.plan(k);
  }
  assert.equal(slots.overfull, true);
  assert.deepEqual([slots.place!.slot, slots.place!.stride], [5, 8]);
  hear(20, 0);
  for (let k = 20; k < 80; k++) slots.plan(k);
  assert.equal(slots.overfull, false);
  assert.equal(slots.place!.stride, 1);
});

test('busy air where nothing changes: beacons come half as often, and stay so, until something is odd', () => {
  const medium = new Medium(20, full(20), 40, 0, 2);
  const places = () => medium.nodes.map(({ slots }) => [slots.place!.slot, slots.place!.stride]);
  medium.run(100);
  assert.ok(places().every(([, stride]) => stride === 1));
  medium.run(100);
  const calm = places();
  assert.ok(calm.every(([, stride]) => stride === 2));
  // That others send less often now is nothing odd.
  for (let i = 0; i < 40; i++) {
    medium.run(20);
    assert.deepEqual(places(), calm);
  }
  const [first] = medium.nodes as [Node];
  first.slots.stir(medium.superframe);
  medium.run(1);
  // At once, and in its own slot: nobody else has to do anything about it.
  assert.deepEqual(places(), [[calm[0]![0], 1], ...calm.slice(1)]);
  medium.run(150);
  assert.deepEqual(places(), calm);
});

test('who sends more often again leaves a slot that another one has a part of', () => {
  const slots = new Slots(7, { slots: 4, lead: 0, ease: 1 });
  // All places of 4 slots times 2 superframes but one.
  const others = Array.from({ length: 7 }, (_, i) => ({ slot: i % 4, stride: 2, phase: i >> 2 }));
  const hear = (k: number, next: number, places = others) => {
    const reports = [{ name: 7, slot: 3, stride: 2, phase: 1, seq: 1000, age: 0 }];
    for (const place of places)
      slots.heard(
        `${place.slot} ${place.phase}`,
        { ...place, name: 1000 + 10 * place.slot + place.phase, seq: k, next, partial: false, reports },
        k,
      );
  };
  for (let k = 0; k < 20; k++) {
    hear(k, 2);
    slots.plan(k);
  }
  assert.deepEqual(slots.place, { slot: 3, stride: 2, phase: 1 });
  const stays = others.filter(({ slot }) => slot === 3);
  hear(
    20,
    0,
    others.filter(({ slot }) => slot !== 3),
  );
  for (let k = 20; k < 80; k++) {
    hear(k, 2, stays);
    slots.plan(k);
  }
  assert.equal(slots.place!.stride, 1);
  assert.notEqual(slots.place!.slot, 3);
});

test('a router that is alone goes on for days as it began', () => {
  const slots = new Slots(7, { slots: 50, lead: 0, ease: 2 });
  let sent = 0;
  for (let k = 0; k < 100_000; k++) if (slots.plan(k) !== null) sent += 1;
  assert.equal(slots.place!.stride, 1);
  assert.ok(sent > 50_000, `${sent} beacons`);
});

test('a slot is given back: at once with a farewell, after a while without', () => {
  const medium = new Medium(3, full(3), 12, 0);
  medium.run(30);
  const [first, second, third] = medium.nodes as [Node, Node, Node];
  assert.equal(first.slots.within2Hops(), 2);
  const { slots: going } = second;
  second.alive = false;
  const last = { name: Medium.name(1), seq: second.seq + 1, partial: false, reports: [], next: 0, ...going.place! };
  first.slots.heard('1', last, medium.superframe);
  third.slots.heard('1', last, medium.superframe);
  medium.run(2);
  assert.equal(first.slots.within2Hops(), 1);
  third.alive = false;
  medium.run(20);
  assert.equal(first.slots.within2Hops(), 0);
  // And the narrow stride of a crowd is wide again no longer than the crowd.
  assert.equal(first.slots.place!.stride, 1);
});

test('it is the same every time', () => {
  const run = () => {
    const medium = new Medium(16, grid(4), 20);
    medium.run(60);
    return medium.nodes.map(({ slots }) => slots.place);
  };
  assert.deepEqual(run(), run());
});

test('a neighbour without end: what is remembered is bounded', () => {
  const slots = new Slots(1, { slots: 100, lead: 0, ease: 1 });
  for (let i = 0; i < 5000; i++)
    slots.heard(
      String(i),
      { name: i, seq: 1, slot: i % 100, stride: 1, phase: 0, next: 1, partial: false, reports: [] },
      1,
    );
  assert.ok(slots.within2Hops() <= 256);
});
