/** What the benches share: figures from samples, and what a bench hands back. */

export interface Target {
  readonly figure: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** `figures` by the keys of the README's table; a figure that could not be measured is null. */
export interface BenchResult {
  readonly figures: Readonly<Record<string, number | null>>;
  /** What it is measured against: stock batman-adv, another package, an empty program. {} for none. */
  readonly baseline: Readonly<Record<string, number | null>>;
  readonly targets: readonly Target[];
}

/** Says what a bench is doing, for who waits; never part of its result. */
export type Progress = (line: string) => void;

export interface Bench {
  run(progress: Progress): Promise<BenchResult>;
}

/**
 * The p-th percentile (0..100) by linear interpolation between the ordered samples; with 20 samples the 95th lies
 * between the two worst. Throws a RangeError for no samples: a figure out of nothing would be worse than none.
 */
export function percentile(samples: readonly number[], p: number): number {
  if (samples.length === 0) throw new RangeError('no samples');
  if (!(p >= 0 && p <= 100)) throw new RangeError(`not a percentile: ${p}`);
  const sorted = [...samples].sort((a, b) => a - b);
  const at = ((sorted.length - 1) * p) / 100;
  const low = sorted[Math.floor(at)]!;
  const high = sorted[Math.ceil(at)]!;
  return low === high ? low : low + (high - low) * (at - Math.floor(at));
}

export function median(samples: readonly number[]): number {
  return percentile(samples, 50);
}

export function mean(samples: readonly number[]): number {
  if (samples.length === 0) throw new RangeError('no samples');
  return samples.reduce((sum, one) => sum + one, 0) / samples.length;
}

/** To three significant digits or whole numbers: more would claim what no run here can give. */
export function round(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const scale = 10 ** Math.min(digits, 9);
  return Math.round(value * scale) / scale;
}

/** Whether a figure is there and on the right side of its target. */
export function reached(target: Target, figures: BenchResult['figures']): boolean {
  const value = figures[target.figure];
  if (value === null || value === undefined || Number.isNaN(value)) return false;
  return value <= (target.atMost ?? Number.POSITIVE_INFINITY) && value >= (target.atLeast ?? Number.NEGATIVE_INFINITY);
}
