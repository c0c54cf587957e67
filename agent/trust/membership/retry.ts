/** How long is waited for another attempt: twice as long after each that failed. */
import type { Nanos } from '../../core/time.ts';

export interface Patience {
  readonly first: Nanos;
  readonly longest: Nanos;
}

/** `failed`: how many attempts have failed before the one that failed now. */
export function waitOf({ first, longest }: Patience, failed: number): Nanos {
  return Math.min(first * 2 ** failed, longest);
}
