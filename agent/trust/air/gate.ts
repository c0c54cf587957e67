/**
 * Whose frames come in, by the addresses they wear: members are admitted, who was cast out is isolated. What rests on this is
 * XDP's, and an address can be forged: it keeps out who wears its own.
 *
 * An address is a member's where the member says so over its session, or where it sealed a frame with a key of the air. Nobody
 * is isolated on a third router's word, nor an address that a member claims too: who is revoked must not take others along
 * by having named their addresses as its own.
 */
import type { Mac } from '../../core/ids.ts';
import { type Nanos, NEVER, SECOND } from '../../core/time.ts';

/** Since its last session or sealed frame: a mesh goes on for a while where an agent does not. */
const LET_IN_FOR: Nanos = 12 * 3600 * SECOND;
/**
 * A revocation: who was cast out may have proven an address that nobody knows as its own, and can for some seconds more. So
 * whatever was proven has to be proven anew, under the new key.
 */
const PROVES_STILL: Nanos = 6 * SECOND;
const PROVES_ANEW: Nanos = 60 * SECOND;
export const MOST_ADDRESSES = 32;
const MOST_PROVEN = 256;
const MOST_ROUTERS = 1024;
/** Of the map of the XDP program. */
const MOST_ISOLATED = 256;

export interface Outcast {
  readonly key: string;
  readonly node: string;
  readonly addresses: readonly Mac[];
}

/** Whose addresses are admitted, and whose are isolated. */
export interface GateState {
  readonly admitted: readonly Mac[];
  readonly isolated: readonly Mac[];
}

/** What changed, for the journal. */
export interface GateNews {
  readonly what: 'isolated' | 'let-in';
  readonly who: string;
  readonly why: string;
}

interface Claim {
  readonly node: string;
  readonly addresses: readonly Mac[];
  /** null while its session stands. */
  ended: Nanos | null;
}

export class Gate {
  #own: ReadonlySet<Mac> = new Set();
  /** By fingerprint; who was heard longest ago first. */
  readonly #claims = new Map<string, Claim>();
  /** And until when that counts. */
  readonly #proven = new Map<Mac, Nanos>();
  #revokedAt: Nanos = Number.NEGATIVE_INFINITY;
  readonly #outcasts = new Map<string, Outcast>();
  #revoked: ReadonlyMap<string, { readonly node: string; readonly by: string }> = new Map();

  /** The addresses of this router. */
  own(addresses: readonly Mac[]): GateNews[] {
    this.#own = new Set(addresses);
    return this.#free(addresses, 'they are of this router itself');
  }

  /** A member says over its session which addresses it has. */
  claimed(key: string, node: string, addresses: readonly Mac[]): GateNews[] {
    if (this.#revoked.has(key)) return [];
    const said = [...new Set(addresses)].filter((mac) => !isGroup(mac)).slice(0, MOST_ADDRESSES);
    this.#claims.delete(key);
    // Of two that were the same router one after the other the later one counts.
    for (const [other, claim] of this.#claims)
      if (claim.ended !== null && claim.addresses.some((mac) => said.includes(mac)))
        this.#claims.set(other, { ...claim, addresses: claim.addresses.filter((mac) => !said.includes(mac)) });
    this.#claims.set(key, { node, addresses: said, ended: null });
    if (this.#claims.size > MOST_ROUTERS) this.#claims.delete(this.#claims.keys().next().value!);
    return this.#free(said, `${node}, a member, has them now`);
  }

  /** Its session has ended. */
  left(key: string, now: Nanos): void {
    const claim = this.#claims.get(key);
    if (claim !== undefined) claim.ended = now;
  }

  /** A frame under a key of the air came from this address. */
  proven(mac: Mac, now: Nanos): void {
    if (isGroup(mac) || this.#isIsolated(mac)) return;
    this.#proven.delete(mac);
    const isLate = now >= this.#revokedAt + PROVES_STILL;
    this.#proven.set(mac, isLate ? now + LET_IN_FOR : this.#revokedAt + PROVES_ANEW);
    if (this.#proven.size > MOST_PROVEN) this.#proven.delete(this.#proven.keys().next().value!);
  }

  /** When the next address is let in no longer. */
  deadline(): Nanos {
    return Math.min(NEVER, ...this.#proven.values());
  }

  /** What was kept across a restart, of those who are still revoked. */
  restore(outcasts: readonly Outcast[]): void {
    for (const one of outcasts) this.#outcasts.set(one.key, one);
  }

  /** Who is revoked now. */
  revoke(revoked: ReadonlyMap<string, { readonly node: string; readonly by: string }>, now: Nanos): GateNews[] {
    const isNew = [...revoked.keys()].some((key) => !this.#revoked.has(key));
    this.#revoked = revoked;
    if (isNew) {
      this.#revokedAt = now;
      for (const [mac, until] of this.#proven) this.#proven.set(mac, Math.min(until, now + PROVES_ANEW));
    }
    const news: GateNews[] = [];
    for (const [key, { node, by }] of revoked) {
      const claim = this.#claims.get(key);
      this.#claims.delete(key);
      if (claim === undefined || this.#outcasts.has(key)) continue;
      const kept = claim.addresses.filter((mac) => !this.#own.has(mac) && !this.#isClaimed(mac));
      const addresses = kept.slice(0, Math.max(0, MOST_ISOLATED - this.isolated().length));
      for (const mac of addresses) this.#proven.delete(mac);
      this.#outcasts.set(key, { key, node, addresses });
      if (addresses.length > 0)
        news.push({ what: 'isolated', who: `${node}: ${addresses.join(' ')}`, why: `${node} was revoked by ${by}` });
    }
    for (const [key, { node, addresses }] of this.#outcasts) {
      if (revoked.has(key)) continue;
      this.#outcasts.delete(key);
      if (addresses.length > 0)
        news.push({ what: 'let-in', who: `${node}: ${addresses.join(' ')}`, why: `${node} is revoked no longer` });
    }
    return news;
  }

  outcasts(): readonly Outcast[] {
    return [...this.#outcasts.values()];
  }

  isolated(): readonly Mac[] {
    return this.outcasts().flatMap(({ addresses }) => addresses);
  }

  /** Whose frames are let in where only members' are; those that were heard here come first. */
  admitted(now: Nanos): readonly Mac[] {
    for (const [mac, until] of this.#proven) if (now >= until) this.#proven.delete(mac);
    const here = [...this.#claims.values()].filter(({ ended }) => ended === null || now < ended + LET_IN_FOR);
    const named = new Set(here.flatMap(({ addresses }) => addresses));
    const heard = [...this.#proven.keys()].sort();
    const rest = [...named].filter((mac) => !this.#proven.has(mac)).sort();
    return [...heard, ...rest].filter((mac) => !this.#isIsolated(mac));
  }

  /** Whose an address is, as members say, for people to read; an address that two claim is nobody's. */
  names(): ReadonlyMap<Mac, string> {
    const found = new Map<Mac, string | null>();
    for (const { node, addresses } of this.#claims.values())
      for (const mac of addresses)
        found.set(mac, (found.get(mac) ?? node) === node && found.get(mac) !== null ? node : null);
    for (const mac of this.#own) found.delete(mac);
    return new Map([...found].filter((entry): entry is [Mac, string] => entry[1] !== null));
  }

  #isClaimed(mac: Mac): boolean {
    for (const { addresses } of this.#claims.values()) if (addresses.includes(mac)) return true;
    return false;
  }

  #isIsolated(mac: Mac): boolean {
    for (const { addresses } of this.#outcasts.values()) if (addresses.includes(mac)) return true;
    return false;
  }

  #free(addresses: readonly Mac[], why: string): GateNews[] {
    const news: GateNews[] = [];
    for (const one of this.outcasts()) {
      const freed = one.addresses.filter((mac) => addresses.includes(mac));
      if (freed.length === 0) continue;
      this.#outcasts.set(one.key, { ...one, addresses: one.addresses.filter((mac) => !freed.includes(mac)) });
      news.push({ what: 'let-in', who: freed.join(' '), why });
    }
    return news;
  }
}

function isGroup(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1 || mac === '00:00:00:00:00:00';
}
