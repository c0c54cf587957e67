/**
 * Bench `slots`: the schedule of beacons in random geometric meshes of 50, 250 and 1000 routers that start within one
 * superframe of each other. The routers' own slot machines run here, on a medium that is worse than the air: two frames in
 * a slot destroy each other wherever both are heard, who sends hears nothing, and one frame in twenty is lost to each
 * listener. A router plans at the beginning of a superframe and says what it knew four slots before its own.
 *
 * `superframes_N`: from the first router's start until nobody within two hops shares a slot with another (the median
 * of twenty meshes; `_p95`, `_max`). `collision_pct_N`: beacons that met another at one listener or more, of all beacons of the ten
 * minutes afterwards, in superframes of 500 ms, while one router in a hundred leaves each minute, half of them without a
 * word, and comes back ten seconds later. `two_hop_N`: routers within two hops, mean; `slots_N`: slots, twice that.
 * `us_N`: what a router computes in a superframe. `cost_1000_to_50`: what one among 1000 computes over what one among 50 does, where
 * twenty meshes of 50 take turns: else those would have the CPU's caches to themselves. `full_`: 250 routers and half as many slots as routers within two hops. All these never widen their stride for calm's sake, as in profile
 * fast; `calm_`: 50 routers that do, as in the others, with `calm_stride_50`, the mean stride of the ten minutes.
 */
import { MOST_REPORTED } from '../../agent/beacon/frame.ts';
import { type Far, hash, Slots } from '../../agent/beacon/slots.ts';
import { type Draw, seeded } from './seeded.ts';
import { type BenchResult, mean, median, type Progress, percentile } from './stats.ts';

const SUPERFRAME_S = 0.5;
const MINUTE = 60 / SUPERFRAME_S;
const MINUTES = 10;
const AWAY = 10 / SUPERFRAME_S;
const LOSS = 0.05;
const CHURN = 0.01;
const DEGREE = 8;
const LEAD = 4;
/** Meshes of each size: starts, and of them so many watched afterwards. */
const STARTS = 20;
const WATCHED = 3;
/** A schedule that is not there by then does not come. */
const PATIENCE = 200;
/** Superframes until nothing moves any more, and those in which costs are counted. */
const SETTLED = 60;
const COUNTED = 120;

interface Router {
  readonly id: number;
  readonly near: number[];
  readonly within2: Set<number>;
  slots: Slots | null;
  seq: number;
  /** Its superframe in which it comes (back). */
  starts: number;
  says: { slot: number; stride: number; phase: number; next: number; reports: Far[]; partial: boolean } | null;
}

interface Outcome {
  readonly rounds: number;
  readonly sent: number;
  readonly collided: number;
  readonly us: number;
  readonly shared: number;
  /** Mean of all routers, over the time that was watched. */
  readonly stride: number;
}

function geometric(size: number, draw: Draw): Router[] {
  const reach = Math.sqrt(DEGREE / (Math.PI * size));
  const at = Array.from({ length: size }, () => [draw(), draw()] as const);
  const routers = at.map((_, id): Router => {
    return { id, near: [], within2: new Set(), slots: null, seq: 0, starts: 0, says: null };
  });
  for (let a = 0; a < size; a++)
    for (let b = 0; b < a; b++) {
      if (Math.hypot(at[a]![0] - at[b]![0], at[a]![1] - at[b]![1]) > reach) continue;
      routers[a]!.near.push(b);
      routers[b]!.near.push(a);
    }
  for (const router of routers) {
    for (const near of router.near) {
      router.within2.add(near);
      for (const far of routers[near]!.near) if (far !== router.id) router.within2.add(far);
    }
  }
  return routers;
}

const nameOf = (id: number, life: number) => hash(id * 7919 + 13, life >>> 16);

class Air {
  readonly routers: readonly Router[];
  readonly #slots: number;
  readonly #ease: number;
  readonly #draw: Draw;
  superframe = 1000;
  sent = 0;
  collided = 0;
  spentMs = 0;

  constructor(routers: readonly Router[], slots: number, ease: number, draw: Draw) {
    this.routers = routers;
    this.#slots = slots;
    this.#ease = ease;
    this.#draw = draw;
  }

  round(): void {
    const k = this.superframe;
    const inSlot: Router[][] = Array.from({ length: this.#slots }, () => []);
    const began = performance.now();
    for (const router of this.routers) {
      if (k < router.starts) continue;
      router.slots ??= new Slots(nameOf(router.id, 0), { slots: this.#slots, lead: LEAD, ease: this.#ease });
      const place = router.slots.plan(k);
      router.says = null;
      if (place === null) continue;
      router.seq += 1;
      router.slots.sent(router.seq, k);
      router.says = { ...place, reports: [], partial: false };
      inSlot[place.slot]!.push(router);
    }
    this.spentMs += performance.now() - began;
    for (let slot = -LEAD; slot < this.#slots; slot++) {
      for (const { slots, says } of inSlot[slot + LEAD] ?? []) {
        says!.reports = slots!.reports(k, MOST_REPORTED);
        says!.partial = says!.reports.length === MOST_REPORTED;
      }
      this.#slot(inSlot[slot] ?? [], k);
    }
    this.superframe += 1;
  }

  #slot(senders: readonly Router[], k: number): void {
    if (senders.length === 0) return;
    const sending = new Set(senders.map(({ id }) => id));
    const hears = new Map<number, number>();
    for (const { near } of senders) for (const listener of near) hears.set(listener, (hears.get(listener) ?? 0) + 1);
    for (const sender of senders) {
      this.sent += 1;
      let met = false;
      for (const id of sender.near) {
        const listener = this.routers[id]!;
        if (listener.slots === null || k < listener.starts) continue;
        if (sending.has(id) || hears.get(id)! > 1) {
          met = true;
          continue;
        }
        if (this.#draw() < LOSS) continue;
        const began = performance.now();
        listener.slots.heard(String(sender.id), { name: nameOf(sender.id, 0), seq: sender.seq, ...sender.says! }, k);
        this.spentMs += performance.now() - began;
      }
      if (met) this.collided += 1;
    }
  }

  /** Routers that hold a place which somebody within two hops may use too, or none yet. */
  sharing(): number {
    let count = 0;
    for (const router of this.routers) {
      const mine = router.slots?.place;
      if (!mine) {
        count += 1;
        continue;
      }
      for (const other of router.within2) {
        const its = this.routers[other]!.slots?.place;
        if (!its || its.slot !== mine.slot) continue;
        const stride = Math.min(its.stride, mine.stride);
        if (its.phase % stride !== mine.phase % stride) continue;
        count += 1;
        break;
      }
    }
    return count;
  }

  /** Mean of those that have a place. */
  stride(): number {
    return mean(this.routers.flatMap(({ slots }) => slots?.place?.stride ?? []));
  }

  churn(): void {
    for (const router of this.routers) {
      if (router.slots === null || this.#draw() >= CHURN / MINUTE) continue;
      if (this.#draw() < 0.5) {
        const place = router.slots.place;
        for (const id of router.near)
          if (place && this.#draw() >= LOSS)
            this.routers[id]!.slots?.heard(
              String(router.id),
              { name: nameOf(router.id, 0), seq: router.seq + 1, ...place, next: 0, partial: false, reports: [] },
              this.superframe,
            );
      }
      router.slots = null;
      router.seq += 100;
      router.starts = this.superframe + AWAY;
    }
  }
}

function trial(size: number, slots: number, ease: number, seed: number, minutes: number): Outcome {
  const draw = seeded(seed);
  const routers = geometric(size, draw);
  const air = new Air(routers, slots, ease, draw);
  for (const router of routers) router.starts = air.superframe + Math.floor(draw() * 2);
  let rounds = Number.NaN;
  for (let k = 1; k <= PATIENCE; k++) {
    air.round();
    if (air.sharing() === 0) {
      rounds = k;
      break;
    }
  }
  air.sent = air.collided = air.spentMs = 0;
  const end = minutes * MINUTE;
  const strides: number[] = [];
  for (let k = 0; k < end; k++) {
    air.churn();
    air.round();
    strides.push(air.stride());
  }
  const us = (air.spentMs * 1000) / (end * size);
  return {
    rounds,
    sent: air.sent,
    collided: air.collided,
    us,
    shared: air.sharing(),
    stride: end === 0 ? air.stride() : mean(strides),
  };
}

/** What a router computes in a superframe, in microseconds, where so many meshes of this size take turns. */
function cost(meshes: number, size: number): number {
  const airs = Array.from({ length: meshes }, (_, i) => {
    const draw = seeded(i + 1);
    const routers = geometric(size, draw);
    const slots = Math.ceil(2 * mean(routers.map(({ within2 }) => within2.size)));
    const air = new Air(routers, slots, 1, draw);
    for (const router of routers) router.starts = air.superframe + Math.floor(draw() * 2);
    return air;
  });
  for (let k = 0; k < SETTLED + COUNTED; k++)
    for (const air of airs) {
      if (k === SETTLED) air.spentMs = 0;
      air.round();
    }
  return (airs.reduce((sum, { spentMs }) => sum + spentMs, 0) * 1000) / (COUNTED * meshes * size);
}

export async function run(progress: Progress): Promise<BenchResult> {
  const figures: Record<string, number | null> = {};
  const one = (size: number, share: number, prefix: string, ease = 1): void => {
    const sets = geometric(size, seeded(1)).map(({ within2 }) => within2.size);
    const slots = Math.ceil(share * mean(sets));
    progress(
      `${size} routers, ${mean(sets).toFixed(1)} within two hops (${Math.max(...sets)} at most), ${slots} slots`,
    );
    const starts = Array.from({ length: STARTS }, (_, seed) => trial(size, slots, ease, seed + 1, 0));
    const outcomes = starts.slice(0, WATCHED).map((_, seed) => {
      const outcome = trial(size, slots, ease, seed + 1, MINUTES);
      progress(
        `  seed ${seed + 1}: ${outcome.rounds} superframes, ${outcome.collided} of ${outcome.sent} beacons collided, ` +
          `${outcome.us.toFixed(1)} us, stride ${outcome.stride.toFixed(2)}`,
      );
      return outcome;
    });
    // A schedule that did not come counts as the longest that was waited for.
    const rounds = starts.map((outcome) => (Number.isNaN(outcome.rounds) ? PATIENCE : outcome.rounds));
    const sum = (pick: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + pick(outcome), 0);
    if (share >= 2) {
      figures[`${prefix}superframes_${size}`] = median(rounds);
      figures[`${prefix}superframes_p95_${size}`] = percentile(rounds, 95);
      figures[`${prefix}superframes_max_${size}`] = Math.max(...rounds);
    }
    figures[`${prefix}collision_pct_${size}`] = (100 * sum(({ collided }) => collided)) / sum(({ sent }) => sent);
    figures[`${prefix}two_hop_${size}`] = mean(sets);
    figures[`${prefix}slots_${size}`] = slots;
    figures[`${prefix}us_${size}`] = mean(outcomes.map(({ us }) => us));
    if (ease > 1) figures[`${prefix}stride_${size}`] = mean(outcomes.map(({ stride }) => stride));
  };
  for (const size of [50, 250, 1000]) one(size, 2, '');
  one(250, 0.5, 'full_');
  one(50, 2, 'calm_', 2);
  const costs = [cost(1, 1000), cost(20, 50)] as const;
  figures.cost_1000_to_50 = costs[0] / costs[1];
  progress(`a router among 1000 computes ${costs[0].toFixed(1)} us a superframe, one among 50 ${costs[1].toFixed(1)}`);
  return {
    figures,
    baseline: {},
    targets: [
      { figure: 'superframes_50', atMost: 10 },
      { figure: 'collision_pct_50', atMost: 0.1 },
      { figure: 'calm_collision_pct_50', atMost: 0.1 },
      { figure: 'cost_1000_to_50', atMost: 2 },
    ],
  };
}
