/**
 * What several stewards tell of is kept in bounds that none of them can use up alone: each has a share, and where all of it together
 * is too much, whoever has told of most gives up some of its own. What goes follows from what there is, not from the order in
 * which it came.
 */
export interface Told<T> {
  readonly by: (one: T) => string;
  readonly name: (one: T) => string;
  /** Of one steward; of all. */
  readonly each: number;
  readonly all: number;
}

/** What has to go of all that was told; null where there is room. */
export function surplus<T>(told: Iterable<T>, { by, name, each, all }: Told<T>): T | null {
  const shares = new Map<string, T[]>();
  let count = 0;
  for (const one of told) {
    const share = shares.get(by(one));
    if (share === undefined) shares.set(by(one), [one]);
    else share.push(one);
    count += 1;
  }
  let longest: readonly [steward: string, share: readonly T[]] = ['', []];
  for (const [steward, share] of shares)
    if (share.length > longest[1].length || (share.length === longest[1].length && steward > longest[0]))
      longest = [steward, share];
  const [, share] = longest;
  if (share.length <= each && count <= all) return null;
  return share.reduce((last, one) => (name(one) > name(last) ? one : last));
}
