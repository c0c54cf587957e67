/**
 * The keys that frames on the air are sealed with, as one machine uses them: the mesh key, and those that identities have
 * agreed on (agent/trust/air/keys.ts). A router with an identity seals with the key of the air; who has none yet is spoken with
 * under the mesh key, where such a one was heard lately, for as long as that key counts.
 */
import type { AirKey, Event } from '../core/event.ts';
import { fromHex } from '../core/hex.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import { type Nanos, SECOND } from '../core/time.ts';

/** A router without an identity that was silent for so long is gone, or has one by now. */
const FORGOTTEN: Nanos = 300 * SECOND;
const MOST_PLAIN = 256;
/** That a neighbour is a member is said no more often than this. */
const SAID: Nanos = 30 * SECOND;
const MOST_SAID = 1024;

export interface Entry<K> {
  readonly key: K;
  /** The mesh key. */
  readonly isMesh: boolean;
  /** Of the key of the air; the mesh key's own digits for that one. */
  readonly id: string;
  /** Keys that came later have a greater one. */
  readonly serial: number;
}

export interface RingOptions<K> {
  /** `hasAir`: this router has keys of the air as well. */
  mesh(key: string, hasAir: boolean): K;
  air(secret: Uint8Array, epoch: number): K;
}

export class Ring<K> {
  readonly #options: RingOptions<K>;
  #meshKey = '';
  #mesh: Entry<K> | null = null;
  #air: readonly Entry<K>[] = [];
  #sending: Entry<K> | null = null;
  #serials = 0;
  #isMixed = true;
  /** When frames under a key of the air that is not known here came last, by interface. Anybody can send such. */
  readonly #strange = new Map<IfIndex, Nanos>();
  /** Neighbours whose frames under a key of the air held, and when. */
  readonly #members = new Map<string, Nanos>();
  /** Neighbours without an identity, by interface and address, and when each was heard. */
  readonly #plain = new Map<string, { readonly interface: IfIndex; readonly at: Nanos }>();
  readonly #said = new Map<string, Nanos>();

  constructor(options: RingOptions<K>) {
    this.#options = options;
  }

  settle(meshKey: string): void {
    this.#meshKey = meshKey;
    this.#makeMesh();
  }

  take({ keys, sending, mixed }: Extract<Event, { type: 'air-keys' }>): void {
    // Whoever has the new key proves it anew.
    if (sending !== (this.#sending?.id ?? null)) this.#said.clear();
    this.#isMixed = keys === null || mixed;
    this.#air = (keys ?? []).map((one: AirKey) => this.#entryOf(one));
    this.#sending = this.#air.find(({ id }) => id === sending) ?? null;
    this.#makeMesh();
  }

  /** Those that frames are accepted under, the mesh key last. */
  get accepted(): readonly Entry<K>[] {
    return this.mesh === null ? this.#air : [...this.#air, this.mesh];
  }

  /** null where there is none, or where it counts no more. */
  get mesh(): Entry<K> | null {
    return this.#isMixed ? this.#mesh : null;
  }

  /** The key of the air to send under; null before there is one. */
  get sending(): Entry<K> | null {
    return this.#sending;
  }

  /** Whether anything can be said at all. */
  get canSpeak(): boolean {
    return this.#sending !== null || this.mesh !== null;
  }

  /** What a frame to all in reach of an interface is sealed with, one copy each: the mesh key where somebody needs it. */
  towardsAll(index: IfIndex, now: Nanos): readonly Entry<K>[] {
    const mesh = this.mesh;
    if (this.#sending === null) return mesh === null ? [] : [mesh];
    return mesh !== null && this.isPlain(index, now) ? [this.#sending, mesh] : [this.#sending];
  }

  /** What a frame to one neighbour is sealed with. */
  towards(index: IfIndex, neighbour: Mac, now: Nanos): Entry<K> | null {
    const mesh = this.mesh;
    if (this.#sending === null) return mesh;
    const name = `${index} ${neighbour}`;
    const isPlain =
      isRecent(this.#plain.get(name)?.at, now) ||
      (isRecent(this.#strange.get(index), now) && !isRecent(this.#members.get(name), now));
    return mesh !== null && isPlain ? mesh : this.#sending;
  }

  /** Somebody who understands the mesh key only, as far as is known, was heard on this interface lately. */
  isPlain(index: IfIndex, now: Nanos): boolean {
    if (isRecent(this.#strange.get(index), now)) return true;
    for (const [name, one] of this.#plain) {
      if (!isRecent(one.at, now)) this.#plain.delete(name);
      else if (one.interface === index) return true;
    }
    return false;
  }

  /**
   * A frame that holds came from this neighbour: under a key of the air, or under the mesh key, from somebody who has none of the
   * air. One under the mesh key from somebody who has says nothing of what it understands.
   */
  heard(index: IfIndex, neighbour: Mac, under: 'air' | 'mesh', now: Nanos): void {
    const name = `${index} ${neighbour}`;
    this.#plain.delete(name);
    this.#members.delete(name);
    if (under === 'air') {
      this.#members.set(name, now);
      if (this.#members.size > MOST_SAID) this.#members.delete(this.#members.keys().next().value!);
      return;
    }
    this.#plain.set(name, { interface: index, at: now });
    if (this.#plain.size > MOST_PLAIN) this.#plain.delete(this.#plain.keys().next().value!);
  }

  /** A frame came under a key of the air that is not known here: its sender, if it is one of ours, has not met who has ours. */
  heardStrange(index: IfIndex, now: Nanos): void {
    if (this.mesh !== null) this.#strange.set(index, now);
  }

  /** Whether it is to be said (anew) that a neighbour is a member. */
  isNews(index: IfIndex, neighbour: Mac, now: Nanos): boolean {
    const name = `${index} ${neighbour}`;
    if (now < (this.#said.get(name) ?? Number.NEGATIVE_INFINITY) + SAID) return false;
    this.#said.delete(name);
    this.#said.set(name, now);
    if (this.#said.size > MOST_SAID) this.#said.delete(this.#said.keys().next().value!);
    return true;
  }

  #entryOf({ id, epoch, key }: AirKey): Entry<K> {
    const known = this.#air.find((one) => one.id === id);
    if (known !== undefined) return known;
    this.#serials += 1;
    return { key: this.#options.air(fromHex(key), epoch), isMesh: false, id, serial: this.#serials };
  }

  #makeMesh(): void {
    const key = this.#meshKey;
    this.#mesh =
      key === '' ? null : { key: this.#options.mesh(key, this.#sending !== null), isMesh: true, id: key, serial: 0 };
  }
}

function isRecent(at: Nanos | undefined, now: Nanos): boolean {
  return at !== undefined && now < at + FORGOTTEN;
}
