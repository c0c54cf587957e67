/** The clock in a line of routers with clocks that are wrong, and frames that are late, lost or wrongly stamped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '../../../agent/beacon/clock.ts';
import { MS, type Nanos, SECOND, US } from '../../../agent/core/time.ts';
import { type Draw, seeded } from '../../../tools/bench/seeded.ts';

const SUPERFRAME = 500 * MS;
const mac = (n: number) => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;

interface Conditions {
  readonly loss: number;
  /** The largest delay that a frame usually has, and how many have up to a hundred times that. */
  readonly jitter: Nanos;
  readonly late: number;
  /** Stamps that are off by up to 200 ms in either direction, as when somebody sets a clock. */
  readonly wrong: number;
  /** Rates change by so much, up and down, within some minutes. */
  readonly wander: number;
}

/** A router whose clock is wrong. */
class Router {
  readonly id: number;
  clock!: Clock;
  readonly #offset: Nanos;
  readonly #rate: number;
  readonly #wander: number;
  alive = true;
  seq = 0;
  /** Own beacons by number: when they left, by the own clock. */
  readonly left = new Map<number, Nanos>();
  /** By neighbour: the number of its last beacon and when that arrived, by the own clock; of the two last ones. */
  readonly arrived = new Map<number, { seq: number; at: Nanos }[]>();
  lastRead = 0;

  constructor(id: number, draw: Draw, wander: number) {
    this.id = id;
    this.#offset = draw() * 1e6 * SECOND;
    this.#rate = 1 + (draw() * 2 - 1) * 50e-6;
    this.#wander = wander;
    this.start(0);
  }

  start(t: Nanos): void {
    this.clock = new Clock(mac(this.id), { superframeNs: SUPERFRAME, slowestNs: SUPERFRAME }, this.local(t));
    this.alive = true;
    this.lastRead = 0;
    this.left.clear();
    this.arrived.clear();
  }

  local(t: Nanos): Nanos {
    // The integral of a rate that swings by +-wander with a period of 400 s.
    const swing = (this.#wander * 400 * SECOND * (1 - Math.cos((2 * Math.PI * t) / (400 * SECOND)))) / (2 * Math.PI);
    return this.#offset + this.#rate * t + swing;
  }
}

class Line {
  readonly routers: Router[];
  readonly #draw: Draw;
  readonly #conditions: Conditions;
  t: Nanos = 0;
  /** Between this router and the next one nothing passes. */
  cut = -1;

  constructor(count: number, conditions: Conditions, seed: number) {
    this.#draw = seeded(seed);
    this.#conditions = conditions;
    this.routers = Array.from({ length: count }, (_, id) => new Router(id, this.#draw, conditions.wander));
  }

  /** One superframe: everybody's beacon, at odd times. `check` is called in between. */
  round(check: () => void): void {
    const turns = this.routers
      .map((router) => ({ router, at: this.t + this.#draw() * SUPERFRAME }))
      .sort((a, b) => a.at - b.at);
    for (const { router, at } of turns) {
      if (!router.alive) continue;
      this.t = at;
      check();
      router.clock.tick(router.local(at));
      this.#beacon(router);
      check();
    }
  }

  #beacon(from: Router): void {
    if (from.clock.root === null) return;
    const { loss, wrong } = this.#conditions;
    const local = from.local(this.t);
    const previous = from.left.get(from.seq);
    from.seq += 1;
    const stamp = this.#draw() < wrong ? (this.#draw() - 0.5) * 400 * MS : 0;
    from.left.set(from.seq, local + stamp);
    from.left.delete(from.seq - 8);
    for (const to of this.routers.filter(({ id, alive }) => alive && Math.abs(id - from.id) === 1)) {
      if (Math.min(to.id, from.id) === this.cut) continue;
      if (this.#draw() < loss) continue;
      const arrived = to.local(this.t + this.#delay()) + (this.#draw() < wrong ? (this.#draw() - 0.5) * 400 * MS : 0);
      const before = to.arrived.get(from.id) ?? [];
      const receipt = from.arrived.get(to.id)?.at(-1);
      const heard = before.find(({ seq }) => seq === from.seq - 1);
      const ours = receipt === undefined ? undefined : to.left.get(receipt.seq);
      const times = [
        local,
        ...(previous === undefined ? [] : [previous]),
        ...(receipt === undefined ? [] : [receipt.at]),
      ];
      const { clock } = from;
      to.clock.heard(
        String(from.id),
        {
          root: clock.root!,
          rootSeq: clock.rootSeq,
          depth: clock.depth,
          bound: clock.stated(times),
          planned: clock.mesh(local),
          arrived,
          down: heard && previous !== undefined ? { mesh: clock.mesh(previous), local: heard.at } : null,
          up: receipt && ours !== undefined ? { local: ours, mesh: clock.mesh(receipt.at) } : null,
        },
        to.local(this.t),
      );
      to.arrived.set(from.id, [...before.slice(-1), { seq: from.seq, at: arrived }]);
    }
  }

  #delay(): Nanos {
    const { jitter, late } = this.#conditions;
    return US + this.#draw() * jitter * (this.#draw() < late ? 100 : 1);
  }
}

interface Outcome {
  readonly errors: Nanos[][];
  readonly bounds: Nanos[][];
}

/** Runs a line and holds, at every beacon of everybody: error <= bound, and what users read never runs back. */
function watch(line: Line, rounds: number, warm: number, strict = true): Outcome {
  const errors: Nanos[][] = line.routers.map(() => []);
  const bounds: Nanos[][] = line.routers.map(() => []);
  const began = line.t;
  for (let round = 0; round < rounds; round++) {
    line.round(() => {
      for (const router of line.routers) {
        const { clock, id } = router;
        if (!router.alive || clock.root === null) continue;
        const root = line.routers.find((other) => mac(other.id) === clock.root)!;
        if (!root.alive || !root.clock.isRoot) continue;
        const local = router.local(line.t);
        const truth = root.clock.mesh(root.local(line.t));
        const error = Math.abs(clock.mesh(local) - truth);
        const bound = clock.bound(local);
        if (strict)
          assert.ok(error <= bound + 1, `router ${id} errs by ${error} ns, and said at most ${bound}, round ${round}`);
        const read = clock.read(local);
        assert.ok(read.mesh >= router.lastRead, `router ${id} went back by ${router.lastRead - read.mesh} ns`);
        if (strict) assert.ok(Math.abs(read.mesh - truth) <= read.bound + 1, `router ${id}: what users read`);
        router.lastRead = read.mesh;
        if (round < warm) continue;
        errors[id]!.push(error);
        bounds[id]!.push(bound);
      }
    });
    line.t = began + (round + 1) * SUPERFRAME;
  }
  return { errors, bounds };
}

const p95 = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.95)]!;
const CABLE: Conditions = { loss: 0.02, jitter: 10 * US, late: 0, wrong: 0, wander: 0.5e-6 };
const RADIO: Conditions = { loss: 0.1, jitter: 200 * US, late: 0.1, wrong: 0, wander: 1e-6 };

for (const [name, conditions] of Object.entries({ CABLE, RADIO }))
  test(`no error is larger than stated: ${name.toLowerCase()}, six seeds of six routers in a line`, () => {
    for (let seed = 1; seed <= 6; seed++) {
      const line = new Line(6, conditions, seed);
      const { bounds } = watch(line, 150, 60);
      const roots = new Set(line.routers.map(({ clock }) => clock.root));
      assert.equal(roots.size, 1, `seed ${seed}: one root`);
      for (const [id, all] of bounds.entries())
        assert.ok(p95(all) < 20 * MS, `seed ${seed}: router ${id} knows something`);
    }
  });

test('on a cable a hop costs some microseconds', () => {
  const { errors, bounds } = watch(new Line(6, CABLE, 7), 300, 60);
  const all = errors.map(p95);
  assert.ok(Math.max(...all) < 40 * US, `errors ${all}`);
  assert.ok(Math.max(...bounds.map(p95)) < MS, `bounds ${bounds.map(p95)}`);
});

test('wrong stamps move nothing: gross ones are doubted, and the bound covers the doubt', () => {
  for (let seed = 1; seed <= 4; seed++) {
    const line = new Line(3, { ...CABLE, wrong: 0.02 }, seed);
    const { errors } = watch(line, 300, 60, false);
    for (const [id, all] of errors.entries())
      assert.ok(p95(all) < MS, `seed ${seed}: router ${id} errs by ${p95(all)}`);
  }
});

test('a root that dies is replaced, and time goes on', () => {
  for (let seed = 1; seed <= 4; seed++) {
    const line = new Line(5, CABLE, seed);
    watch(line, 60, 0);
    const dead = line.routers.find(({ clock }) => clock.isRoot)!;
    dead.alive = false;
    line.cut = -1;
    const left = line.routers.filter(({ alive, id }) => alive && (dead.id === 0 || dead.id === 4 || id > dead.id));
    const before = left.map((router) => router.clock.mesh(router.local(line.t)));
    const t = line.t;
    watch(line, 60, 0);
    for (const [i, router] of left.entries()) {
      const passed = router.clock.mesh(router.local(line.t)) - before[i]!;
      assert.ok(Math.abs(passed - (line.t - t)) < 5 * MS, `seed ${seed}: ${passed - (line.t - t)} ns too much`);
      assert.notEqual(router.clock.root, mac(dead.id), `seed ${seed}: a dead root`);
    }
    assert.equal(new Set(left.map(({ clock }) => clock.root)).size, 1, `seed ${seed}: one root`);
  }
});

test('where two meshes meet the older time wins, and nobody goes back', () => {
  for (let seed = 1; seed <= 4; seed++) {
    const line = new Line(6, CABLE, seed);
    line.cut = 2;
    const young = line.routers.slice(seed % 2 === 0 ? 3 : 0, seed % 2 === 0 ? 6 : 3);
    for (const router of young) router.alive = false;
    watch(line, 40, 0);
    for (const router of young) router.start(line.t);
    watch(line, 40, 0);
    const old = line.routers.filter((router) => !young.includes(router));
    const root = old[0]!.clock.root;
    assert.notEqual(young[0]!.clock.root, root, 'two meshes at first');
    line.cut = -1;
    watch(line, 40, 0);
    for (const { clock, id } of line.routers) assert.equal(clock.root, root, `seed ${seed}: router ${id}`);
  }
});

test('a newcomer, and a former root that comes back, join the time that there is', () => {
  const line = new Line(3, CABLE, 3);
  watch(line, 60, 0);
  const root = line.routers.find(({ clock }) => clock.isRoot)!;
  root.start(line.t);
  watch(line, 60, 0);
  assert.equal(new Set(line.routers.map(({ clock }) => clock.root)).size, 1);
  const now = line.routers.map((router) => router.clock.mesh(router.local(line.t)));
  assert.ok(Math.min(...now) > 50 * SECOND, `the time went on: ${now}`);
});
