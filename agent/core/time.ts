/**
 * Time inside the agent: CLOCK_MONOTONIC in nanoseconds, as a JavaScript number.
 *
 * A double holds whole nanoseconds exactly for the first 104 days of uptime and to 2 ns for the year after:
 * far below anything measured here, and far cheaper than a bigint on every event.
 * Wall time exists only at the edges (logs, journal entries shown to people).
 */
export type Nanos = number;

export const US: Nanos = 1e3;
export const MS: Nanos = 1e6;
export const SECOND: Nanos = 1e9;
export const NEVER: Nanos = Number.POSITIVE_INFINITY;

/** Milliseconds with microsecond digits, for people and JSON. */
export function toMs(ns: Nanos): number {
  return Math.round(ns / US) / 1e3;
}
