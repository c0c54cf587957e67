/**
 * What the kernel counted, as figures for people and machines; and what of it may leave this router: sums over all
 * connections with noise (differential privacy, Dwork and others, 2006). Pure: told the time and its randomness.
 */
import { type Nanos, SECOND } from '../../core/time.ts';
import type { NeighbourXdp } from '../../report/api/xdp.ts';
import { BETWEEN_NS, type NeighbourFigures, type Stream, type Totals, type Who } from './layout.ts';

/** The stream that says most of the link: ELP is of this link alone, an own OGM comes once an interval on every one. */
function bestStream({ elp, ogm, ogm2 }: NeighbourFigures): Stream {
  return elp.got > 0 ? elp : ogm.got > 0 ? ogm : ogm2;
}

/** The upper bound of the bucket in which the p-th part of all frames lies: "half of them came within ...". */
export function quantile(buckets: readonly number[], unit: Nanos, p: number): Nanos | null {
  const total = buckets.reduce((sum, n) => sum + n, 0);
  if (total === 0) return null;
  let seen = 0;
  for (const [i, count] of buckets.entries()) {
    seen += count;
    if (seen >= total * p) return unit * 2 ** i;
  }
  return null;
}

/** One neighbour's figures. `name` is its interface's. */
export function figuresOf(row: NeighbourFigures, name: string, now: Nanos): NeighbourXdp {
  const { got, lost } = bestStream(row);
  return {
    interface: name,
    neighbour: row.neighbour,
    frames: row.frames,
    bytes: row.bytes,
    silent: row.state === 'silent',
    lastSeenNs: row.last === 0 ? null : Math.max(0, now - row.last),
    received: got,
    lost,
    lossOnAir: got === 0 ? null : lost / (got + lost),
    restarts: row.restarts,
    medianGapNs: quantile(row.between, BETWEEN_NS, 0.5),
  };
}

/** A neighbour as batman-adv has it. */
export interface Candidate extends Who {
  readonly lastSeenMs: number;
  /** It has shown that it knows the mesh key: a machine watches it. */
  readonly vouched: boolean;
}

/**
 * Which of the candidates the maps shall hold. Who is there stays for as long as batman-adv knows it: however many invented
 * neighbours come later, none takes a place that is taken. Of the newcomers the one heard last comes first. Where
 * the invented ones were there before, those who are vouched for take their places, the youngest first.
 */
export function roster(
  present: readonly Who[],
  candidates: readonly Candidate[],
  most: number,
): { readonly add: readonly Who[]; readonly remove: readonly Who[] } {
  const key = ({ neighbour, index }: Who): string => `${index} ${neighbour}`;
  const wanted = new Map(candidates.map((one) => [key(one), one]));
  const remove = present.filter((one) => !wanted.has(key(one)));
  const unvouched = present.filter((one) => wanted.get(key(one))?.vouched === false);
  for (const one of present) wanted.delete(key(one));
  const newcomers = [...wanted.values()].sort(
    (a, b) => Number(b.vouched) - Number(a.vouched) || a.lastSeenMs - b.lastSeenMs,
  );
  const room = most - (present.length - remove.length);
  const wanting = Math.min(unvouched.length, newcomers.filter(({ vouched }) => vouched).length - room);
  if (wanting > 0) remove.push(...unvouched.slice(-wanting));
  const add = newcomers.slice(0, Math.max(0, room) + Math.max(0, wanting));
  return { add: add.map(({ neighbour, index }) => ({ neighbour, index })), remove };
}

/** What is shared of a router's TCP connections: how many were opened, and established. */
export interface Shared {
  readonly opened: number;
  readonly established: number;
}

/** What one connection can change of it: itself opened, and established. */
const SENSITIVITY = 2;
const RELEASES_A_DAY = 24;
const DAY: Nanos = 86_400 * SECOND;

export interface Ledger {
  /** What is shown: never less than before. */
  readonly shared: Shared;
  /** The sums of all releases, which noise may take down. */
  readonly noised: Shared;
  /** The exact figures at the last release: never to be shown. */
  readonly base: Shared;
  readonly releasedAt: Nanos;
  /** Since the day of the budget began. */
  readonly spent: number;
  readonly dayAt: Nanos;
}

export function openLedger(totals: Totals, now: Nanos): Ledger {
  const { opened, established } = totals;
  const none = { opened: 0, established: 0 };
  return {
    shared: none,
    noised: none,
    base: { opened, established },
    releasedAt: now,
    spent: 0,
    dayAt: now,
  };
}

/**
 * The ledger after another release, or the same one where none is due or paid for: once an hour, each for a 24th of the
 * day's budget `epsilon`. Protects single connections, not people who open many. A start waits a whole hour, so that
 * starting again and again buys nothing.
 */
export function release(ledger: Ledger, totals: Totals, now: Nanos, epsilon: number, uniform: () => number): Ledger {
  if (epsilon <= 0 || now < ledger.releasedAt + DAY / RELEASES_A_DAY) return ledger;
  const fresh = now >= ledger.dayAt + DAY;
  const [dayAt, spent] = fresh ? [now, 0] : [ledger.dayAt, ledger.spent];
  const cost = epsilon / RELEASES_A_DAY;
  if (spent + cost > epsilon * (1 + 1e-9)) return ledger;
  const scale = cost / SENSITIVITY;
  const more = (had: number, before: number, after: number): number =>
    had + after - before + discreteLaplace(scale, uniform);
  const { shared, noised: had, base } = ledger;
  const noised: Shared = {
    opened: more(had.opened, base.opened, totals.opened),
    established: more(had.established, base.established, totals.established),
  };
  return {
    shared: {
      opened: Math.max(shared.opened, noised.opened),
      established: Math.max(shared.established, noised.established),
    },
    noised,
    base: { opened: totals.opened, established: totals.established },
    releasedAt: now,
    spent: spent + cost,
    dayAt,
  };
}

/**
 * Laplace noise over whole numbers, P(k) ~ exp(-epsilon |k|): the difference of two geometric ones. Over doubles the low
 * bits of the sum would give the figure away (Mironov, 2012). `uniform`: from 0 up to 1, 1 not included.
 */
export function discreteLaplace(epsilon: number, uniform: () => number): number {
  const geometric = (): number => Math.floor(Math.log(1 - uniform()) / -epsilon);
  return geometric() - geometric();
}
