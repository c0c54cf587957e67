/** Whether a wall clock can be right; milliseconds since 1970. */

/** Older than this project: a clock that was never set. */
const EPOCH = Date.UTC(2025, 0, 1);
const FAR = Date.UTC(2100, 0, 1);

export function isPlausible(wallMs: number): boolean {
  return wallMs >= EPOCH && wallMs < FAR;
}

/** What a clock reads, down to the minute; one that no Date can hold as near as one can. */
export function clockText(wallMs: number): string {
  const held = Math.min(Math.max(wallMs, -8.64e15), 8.64e15);
  return new Date(held).toISOString().slice(0, 16).replace('T', ' ');
}
