/**
 * Whose the hard interfaces' addresses are. batman-adv lists a neighbour's further interfaces as originators, also when
 * the link to them is cut or new and nothing tells any more that they are no routers: it is remembered for a while.
 */
import type { Mac } from '../core/ids.ts';
import { type Nanos, SECOND } from '../core/time.ts';

/** About as long as the kernel itself keeps an originator that is silent (PURGE_TIMEOUT, 200 s), and the poll on top. */
const REMEMBERED: Nanos = 240 * SECOND;
const MOST_ADDRESSES = 1024;

interface Known {
  router: Mac | null;
  at: Nanos;
}

export class Addresses {
  /** The longest unconfirmed first. */
  readonly #known = new Map<Mac, Known>();

  /** `router` null: a neighbour's interface, and no more is known; that does not take back what was. */
  note(address: Mac, router: Mac | null, now: Nanos): void {
    const before = this.#known.get(address);
    if (before !== undefined && router === null && before.router !== null) return;
    this.#known.delete(address);
    if (this.#known.size >= MOST_ADDRESSES) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(address, { router, at: now });
  }

  /** The router that an address belongs to; null where it is not known. */
  routerOf(address: Mac): Mac | null {
    return this.#known.get(address)?.router ?? null;
  }

  /**
   * What is known of an address holds while it and its router are listed as originators; but that of a neighbour there is
   * now (`near`) only as long as its own paths say so.
   */
  read(listed: ReadonlySet<Mac>, near: ReadonlySet<Mac>, now: Nanos): void {
    for (const [address, { router, at }] of [...this.#known]) {
      const isAlias = router !== null && router !== address;
      if (isAlias && !near.has(address) && listed.has(address) && listed.has(router)) this.note(address, router, now);
      else if (now >= at + REMEMBERED) this.#known.delete(address);
    }
  }

  /** Every address that is not, or not known to be, a router's own. */
  *aliases(): Iterable<{ readonly address: Mac; readonly router: Mac | null }> {
    for (const [address, { router }] of this.#known) if (router !== address) yield { address, router };
  }
}
