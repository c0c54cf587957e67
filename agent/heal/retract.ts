/**
 * Word of ways between neighbours. A router whose way to an originator is gone, and who knows no good other one, tells its
 * neighbours (a retraction: RFC 8966, 2.5 and 3.7.2); who went by it and knows no other either passes that on as its own, and
 * who does know one says so at once. Without that each router on the wrong side of a broken link turns round only five OGMs
 * after the one before it.
 *
 * A neighbour's word takes back its own ways alone: those that go by it now, or might.
 */
import type { Tables } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { OriginatorPath } from '../core/kernel.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import { isGoodBeside, type Surroundings, ways } from './surroundings.ts';

/** By then the tables show what came of it. */
const REMEMBERED: Nanos = 2 * SECOND;
const MOST_REMEMBERED = 4096;

export class Retractions {
  readonly #around: Surroundings;
  /** By originator and neighbour, until when. */
  readonly #taken = new Map<string, Nanos>();
  /** Originators that this router has retracted itself. */
  readonly #told = new Map<Mac, Nanos>();
  #rows: { readonly of: Tables; readonly by: ReadonlyMap<Mac, readonly OriginatorPath[]> } | null = null;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** This router has told its neighbours, or is about to. */
  tell(originators: readonly Mac[], now: Nanos): Mac[] {
    const fresh = originators.filter((originator) => (this.#told.get(originator) ?? -1) < now);
    for (const originator of fresh) keep(this.#told, originator, now + REMEMBERED);
    return fresh;
  }

  /** A neighbour has lost its ways to these. Of them those that this router went to by it, with the good way that is left. */
  take(
    originators: readonly Mac[],
    index: IfIndex,
    neighbour: Mac,
    now: Nanos,
  ): { originator: Mac; by: OriginatorPath | null }[] {
    for (const originator of originators) keep(this.#taken, keyOf(originator, index, neighbour), now + REMEMBERED);
    return originators.flatMap((originator) => {
      const best = this.#rowsOf(originator).find((row) => row.best);
      if (best === undefined || !this.#isTaken(best, now)) return [];
      return [{ originator, by: this.wayFor(originator, index, neighbour, now) }];
    });
  }

  /** By which way a neighbour's packets would go on from here, where it sent them by us: alive, not taken back, not by itself. */
  wayFor(originator: Mac, index: IfIndex, neighbour: Mac, now: Nanos): OriginatorPath | null {
    const { tables } = this.#around;
    const rows = this.#rowsOf(originator);
    const best = rows.find((row) => row.best);
    if (tables === null || best === undefined) return null;
    const isOpen = (row: OriginatorPath) =>
      !this.#isTaken(row, now) &&
      (row.interface !== index || row.neighbour !== neighbour) &&
      ways(this.#around).some((link) => link.index === row.interface);
    if (isOpen(best)) return best;
    return rows.find((row) => isOpen(row) && isGoodBeside(row, best, tables)) ?? null;
  }

  /** Does the kernel's best way still go by a neighbour that has none any more? */
  isStuck(originator: Mac, now: Nanos): boolean {
    const best = this.#rowsOf(originator).find((row) => row.best);
    return best !== undefined && this.#isTaken(best, now);
  }

  #isTaken({ originator, interface: index, neighbour }: OriginatorPath, now: Nanos): boolean {
    return (this.#taken.get(keyOf(originator, index, neighbour)) ?? -1) >= now;
  }

  #rowsOf(originator: Mac): readonly OriginatorPath[] {
    const { tables } = this.#around;
    if (tables === null) return [];
    if (this.#rows?.of !== tables)
      this.#rows = { of: tables, by: Map.groupBy(tables.originators, (row) => row.originator) };
    return this.#rows.by.get(originator) ?? [];
  }
}

const keyOf = (originator: Mac, index: IfIndex, neighbour: Mac) => `${originator} ${index} ${neighbour}`;

/** The oldest is forgotten first. */
export function keep<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MOST_REMEMBERED) map.delete(map.keys().next().value!);
}
