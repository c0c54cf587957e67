/**
 * Neighbours that have good ways are asked to say so again (a request: RFC 8966, 2.6): what they answer is newer than the dead
 * way, which five such numbers push out of this router's window.
 */
import type { Effect } from '../core/effect.ts';
import type { OriginatorPath } from '../core/kernel.ts';
import type { KickReason } from '../core/words.ts';
import { type Surroundings, ways } from './surroundings.ts';
import { ANY } from './wire.ts';

export function ask(
  around: Surroundings,
  lost: readonly { readonly by: OriginatorPath | null }[],
  reason: KickReason,
): Effect[] {
  const good = lost.flatMap(({ by }) => (by === null ? [] : [by]));
  const byNeighbour = Map.groupBy(good, ({ interface: index, neighbour }) => `${index} ${neighbour}`);
  return [...byNeighbour.values()].map((rows) => {
    const { interface: index, neighbour } = rows[0]!;
    const affected = rows.map(({ originator }) => originator);
    const avoid = ways(around, [index]).map((link) => link.index);
    const alarm = { kind: 'way-asked', near: ANY, far: neighbour, affected, hops: 1 } as const;
    return { type: 'emit', event: { type: 'raise-alarm', reason, alarm, avoid } };
  });
}
