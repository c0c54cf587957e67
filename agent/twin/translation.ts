/**
 * What a kernel has of the stations behind routers (net/batman-adv/translation-table.c): its own table's version and
 * checksum, which go out with each OGM, and what its tables of others are at. Where an OGM tells of another version or
 * checksum the kernel asks for the table (batadv_tt_update_orig), and has it at once here; where nothing is answered it keeps
 * what it has, and asks again and again. Stations themselves are not there.
 */
import type { Mac } from '../core/ids.ts';
import type { StationTable } from '../core/kernel.ts';
import type { Address, AddressBook, Announced } from './frames.ts';

/** BATADV_NO_FLAGS: what has no 802.1Q tag. */
const UNTAGGED = 0;

interface Table {
  readonly ttvn: number;
  readonly crc: number;
}

/** How a table may differ: of an older version, or of the same one and not the same. */
export type Stale = 'version' | 'checksum';

export class Translation {
  readonly #number: number;
  readonly #tables = new Map<Address, Table>();
  /** Routers of which no answer comes. */
  readonly #unanswered = new Set<Address>();
  #ttvn = 1;

  /** `number`: of the router, from which its checksums follow. */
  constructor(number: number) {
    this.#number = number;
  }

  /** What goes out with an own OGM. */
  get local(): Table {
    return { ttvn: this.#ttvn, crc: checksum(this.#number, this.#ttvn) };
  }

  /** A station has come, or gone: the version is one byte, and goes on from 255 to 0. */
  change(): void {
    this.#ttvn = (this.#ttvn + 1) & 255;
  }

  /** bat0 begins anew: so does all it knew. */
  reset(): void {
    this.#tables.clear();
    this.#ttvn = 1;
  }

  heard(originator: Address, { ttvn, crc }: Announced): void {
    if (!this.#unanswered.has(originator)) this.#tables.set(originator, { ttvn, crc });
  }

  /** From now on nothing that is asked of this router is answered; null: it is again. */
  stall(originator: Address, how: Stale | null): void {
    if (how === null) {
      this.#unanswered.delete(originator);
      return;
    }
    const known = this.#tables.get(originator);
    if (known === undefined) return;
    if (how === 'checksum') this.#tables.set(originator, { ...known, crc: (known.crc ^ 1) >>> 0 });
    this.#unanswered.add(originator);
  }

  answerAll(): void {
    this.#unanswered.clear();
  }

  tables(book: AddressBook, isKnown: (originator: Mac) => boolean): StationTable[] {
    return [...this.#tables].flatMap(([address, { ttvn, crc }]) => {
      const originator = book.mac(address);
      return isKnown(originator) ? [{ originator, ttvn, vlans: [[UNTAGGED, crc]] as const }] : [];
    });
  }
}

/** Any number that another version, or another router, does not have. */
function checksum(number: number, ttvn: number): number {
  return (Math.imul(number + 1, 0x9e3779b1) ^ Math.imul(ttvn + 1, 0x85ebca6b)) >>> 0;
}
