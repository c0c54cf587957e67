/** Lines through points, robust against a few that are far off. */

/** The median of an unsorted list; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The Theil-Sen slope: the median of the slopes of all pairs of points; 0 where all have the same x. */
export function theilSen(points: readonly { readonly x: number; readonly y: number }[]): number {
  const found: number[] = [];
  for (const [i, a] of points.entries())
    for (const b of points.slice(0, i)) if (a.x !== b.x) found.push((a.y - b.y) / (a.x - b.x));
  return found.length === 0 ? 0 : median(found);
}

/** Between which mean slopes a line must lie that runs above all of `floors` and below all of `ceilings`. */
export function slopes(
  floors: readonly { readonly at: number; readonly ahead: number }[],
  ceilings: readonly { readonly at: number; readonly ahead: number }[],
): [least: number, most: number] {
  let least = Number.NEGATIVE_INFINITY;
  let most = Number.POSITIVE_INFINITY;
  for (const floor of floors)
    for (const ceiling of ceilings) {
      const run = ceiling.at - floor.at;
      if (run === 0) continue;
      const slope = (ceiling.ahead - floor.ahead) / run;
      if (run > 0) most = Math.min(most, slope);
      else least = Math.max(least, slope);
    }
  return [least, most];
}
