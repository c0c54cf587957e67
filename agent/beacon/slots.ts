/**
 * Who sends when: a slot of the superframe for each router, without a coordinator. A router knows the slots of its
 * neighbours, and from their beacons those of the neighbours' neighbours: nobody within two hops may have its own.
 *
 * It learns of a collision in two ways: a beacon names another router in its slot, or neighbours that it hears do not hear
 * it. Where both sides know each other the one of the lower hash goes; where they do not, a hash of router and superframe
 * throws the coin. Two that hear nobody but each other would never notice: so each is silent now and then, in superframes
 * that the same kind of hash chooses, and listens to its own slot.
 *
 * A router holds (slot, stride, phase): it sends in superframes k with k mod stride = phase. The stride is 1 until there
 * are more routers within two hops than slots; then everybody sends half as often, or a quarter, an eighth. Beyond that
 * slots are shared by those who find no free one, the emptiest first, and `overfull` says so. Half as often everybody sends
 * also where the air is busy and nothing has changed for a while (`ease`), until something does.
 */

/** The widest stride: sixteen and more would leave neighbours in the dark for too long. */
const WIDEST = 8;
/**
 * A newcomer listens for so many superframes, then sends in another free slot each time for so many: where many begin
 * at once each knows the names around it before it settles.
 */
const LISTEN = 1;
const WANDER = 2;
/** A slot is on probation for so many superframes. */
const PROBATION = 12;
/** So many beacons in a row that do not know of ours make a collision: with a slot on probation, and later. */
const DOUBT = 2;
const DOUBT_LATER = 4;
/** Silent to listen to the own slot once in so many superframes: on probation, later, and where nobody is heard. */
const PAUSE = 8;
const PAUSE_LATER = 48;
const PAUSE_ALONE = 3;
/** After so many moves in vain, a neighbour that does not hear us is deaf: the link is one-way, and nothing to go by. */
const VAIN = 3;
/** Where another router sends is known for so many of its beacons; then it may have moved. */
const FRESH = 2;
/** After so many moves that nobody has answered the air is too full: send half as often. */
const CROWDED = 3;
const MOST_UNANSWERED = CROWDED * Math.log2(WIDEST);
/** Superframes without a change before a wide stride grows narrow again. */
const CALM = 24;
/** A neighbour that has been silent for so many of its beacons gives its slot back. */
const FORGET = 8;
/** The same of a neighbour's neighbour. */
const FORGET_FAR = 6;
/** The air is busy where beacons take this share of the slots, and stable where nothing changed for so many superframes. */
const BUSY = 0.25;
const STABLE = 120;
/** Strides grow narrow again below this share of what would make them wide. */
const HYSTERESIS = 0.8;
export const MOST_NEIGHBOURS = 256;
/** Own beacons that are remembered: a neighbour's beacon may know of none but the last but one. */
const REMEMBERED = 4;

/** When a router sends: in slot `slot` of superframes k with k mod stride = phase. */
export interface Place {
  readonly slot: number;
  readonly stride: number;
  readonly phase: number;
}

export interface Far extends Place {
  readonly name: number;
  /** Its sequence number as the neighbour heard it last, and superframes since. */
  readonly seq: number;
  readonly age: number;
}

/** What a neighbour's beacon says, as far as slots go. */
export interface Said extends Place {
  readonly name: number;
  readonly seq: number;
  /** Superframes until its next beacon; 0: it leaves. */
  readonly next: number;
  readonly partial: boolean;
  readonly reports: readonly Far[];
}

interface Known extends Said {
  heardIn: number;
  /** Its beacons in a row that did not know of ours. */
  deafFor: number;
  /** Moves since it confirmed us last. */
  vain: number;
}

export interface SlotOptions {
  readonly slots: number;
  /** What a beacon says is as old as so many slots. */
  readonly lead: number;
  /** How wide a stride may be only because the air is busy and stable: 1, 2, 4. */
  readonly ease: number;
}

export class Slots {
  readonly #name: number;
  readonly #options: SlotOptions;
  readonly #known = new Map<string, Known>();
  #place: Place | null = null;
  #listensUntil: number | null = null;
  #since = 0;
  #changedIn = 0;
  #moves = 0;
  /** Since a neighbour last confirmed that it hears us. */
  #unanswered = 0;
  /** The last sequence number that was sent from another place. */
  #seqAtTake = 0;
  /** Our last beacons: in which slot, counted from superframe 0, and the sequence number. */
  #sent: { readonly slot: number; readonly seq: number }[] = [];
  /** There are more routers than places: ours is shared. */
  overfull = false;
  /** Collisions that were noticed and moved away from. */
  collisions = 0;

  constructor(name: number, options: SlotOptions) {
    this.#name = name;
    this.#options = options;
  }

  /** null while it listens. */
  get place(): Place | null {
    return this.#place;
  }

  /** Routers within two hops that send beacons, this one not counted. */
  within2Hops(): number {
    return this.#everybody().size;
  }

  /** A neighbour's beacon arrived in this superframe. `key` names the neighbour and the interface. */
  heard(key: string, said: Said, superframe: number): void {
    const before = this.#known.get(key);
    if (said.next === 0) {
      if (this.#known.delete(key)) this.#changedIn = superframe;
      return;
    }
    if (before === undefined && this.#known.size >= MOST_NEIGHBOURS) return;
    // Who only sends more or less often in its slot is no less calm: else the first to send less often would end that for all.
    if (before === undefined || before.slot !== said.slot) this.#changedIn = superframe;
    const { deafFor = 0, vain = 0 } = before ?? {};
    const known: Known = { ...said, heardIn: superframe, deafFor, vain };
    this.#known.set(key, known);
    this.#confirm(known, superframe);
  }

  /** The neighbour is dead: its slot is free. */
  lost(key: string, superframe: number): void {
    if (this.#known.delete(key)) this.#changedIn = superframe;
  }

  /** Something is odd nearby: beacons come as often as they can for a while. */
  stir(superframe: number): void {
    this.#changedIn = superframe;
  }

  /** The clock jumped to another mesh's time: superframes are numbered anew, and so is what is remembered of them. */
  shift(by: number): void {
    for (const known of this.#known.values()) known.heardIn += by;
    this.#since += by;
    this.#changedIn += by;
    if (this.#listensUntil !== null) this.#listensUntil += by;
    const slots = by * this.#options.slots;
    this.#sent = this.#sent.map(({ slot, seq }) => ({ slot: slot + slots, seq }));
  }

  /**
   * Once a superframe, in good time before it: moves where that is due. Answers where in this superframe to send, and
   * how many superframes later the next beacon will be; null for none in this one.
   */
  plan(superframe: number): (Place & { readonly next: number }) | null {
    this.#forget(superframe);
    if (this.#place === null) {
      this.#listensUntil ??= superframe + LISTEN;
      if (superframe < this.#listensUntil) return null;
      this.#take(superframe, 1);
    } else if (superframe <= this.#listensUntil! + WANDER) {
      this.#moves += 1;
      this.#take(superframe, 1);
    } else {
      this.#adapt(superframe);
      this.#resolve(superframe);
    }
    const place = this.#place!;
    if (!this.#sendsIn(superframe)) return null;
    let next = 1;
    while (!this.#sendsIn(superframe + next) && next < 255) next += 1;
    return { ...place, next };
  }

  /** Our beacon of this superframe has this sequence number. */
  sent(seq: number, superframe: number): void {
    const { slots } = this.#options;
    this.#sent = [...this.#sent.slice(1 - REMEMBERED), { slot: superframe * slots + (this.#place?.slot ?? 0), seq }];
  }

  /** The neighbours as our beacon tells of them: `most`, by turns where there are more. */
  reports(superframe: number, most: number): (Far & { readonly key: string })[] {
    const all = [...this.#known];
    const first = all.length > most ? (superframe * most) % all.length : 0;
    return [...all.slice(first), ...all.slice(0, first)].slice(0, most).map(([key, known]) => {
      const { name, slot, stride, phase, seq } = known;
      return { key, name, slot, stride, phase, seq, age: Math.min(255, superframe - known.heardIn) };
    });
  }

  /** Does the neighbour's beacon know of the last one that we sent before it was made? */
  #confirm(known: Known, superframe: number): void {
    if (this.#place === null) return;
    const { slots, lead } = this.#options;
    const made = superframe * slots + known.slot - lead;
    const seq = this.#sent.findLast((sent) => sent.slot < made)?.seq ?? 0;
    if (seq <= this.#seqAtTake) return;
    const mine = known.reports.find(({ name }) => name === this.#name);
    if (mine === undefined ? known.partial : false) return;
    if (mine !== undefined && mine.seq >= seq) {
      known.deafFor = 0;
      known.vain = 0;
      this.#unanswered = 0;
    } else known.deafFor += 1;
  }

  /** Wider where there are too many, or where nothing changes; narrower again when that is over. */
  #adapt(superframe: number): void {
    const place = this.#place!;
    const wanted = this.#stride(superframe, place.stride);
    const isCalm = superframe - Math.max(this.#since, this.#changedIn) > CALM;
    if (wanted === place.stride) {
      // Somebody may have gone.
      if (this.overfull && isCalm) this.#take(superframe, wanted);
    } else if (wanted > place.stride) {
      // Of what it had it keeps a part, which is nobody else's.
      const phase = (place.phase + place.stride * (hash(this.#name, 2) % (wanted / place.stride))) % wanted;
      this.#place = { slot: place.slot, stride: wanted, phase };
    } else if (isCalm || place.stride <= this.#options.ease) this.#narrow(superframe, wanted);
  }

  /** More often, in the same slot where nobody else has a part of that: one who moved would disturb others. */
  #narrow(superframe: number, stride: number): void {
    const { slot, phase } = this.#place!;
    const wanted = { slot, stride, phase: phase % stride };
    const isShared = [...this.#everybody().values()].some((other) => collide(other, wanted));
    if (isShared) this.#take(superframe, stride);
    else this.#settle(wanted, superframe, false);
  }

  #stride(superframe: number, now: number): number {
    const { slots, ease } = this.#options;
    const all = this.#everybody().size + 1;
    let needed = Math.min(WIDEST, 1 << Math.floor(this.#unanswered / CROWDED));
    while (needed < WIDEST && all > slots * needed * (needed < now ? HYSTERESIS : 1)) needed *= 2;
    const isCalm = superframe - this.#changedIn > STABLE && all > slots * BUSY;
    return isCalm ? Math.max(needed, ease) : needed;
  }

  #resolve(superframe: number): void {
    if (this.#isContested(superframe) || (this.#isDoubtful(superframe) && (hash(this.#name, superframe) & 1) === 1))
      this.#move(superframe);
  }

  /** Somebody is known to have our place, and to keep it. */
  #isContested(superframe: number): boolean {
    const place = this.#place!;
    for (const known of this.#known.values()) {
      const age = superframe - known.heardIn;
      if (this.#isRival(known, age, place)) return true;
      for (const far of known.reports) if (this.#isRival(far, far.age + age, place)) return true;
    }
    return false;
  }

  /** Neighbours that we hear do not hear us. */
  #isDoubtful(superframe: number): boolean {
    const isNew = superframe - this.#since < PROBATION;
    let asked = 0;
    let deaf = 0;
    for (const known of this.#known.values()) {
      if (known.vain >= VAIN) continue;
      asked += 1;
      if (known.deafFor > 0) deaf += 1;
      if (known.deafFor >= (isNew ? DOUBT : DOUBT_LATER)) return true;
    }
    // One beacon that most did not hear was no loss of a single frame.
    return isNew && deaf > 1 && 2 * deaf > asked;
  }

  #isRival(other: Place & { readonly name: number }, age: number, place: Place): boolean {
    if (other.name === this.#name || age > FRESH * other.stride || !collide(other, place)) return false;
    return this.#yields(other.name, place);
  }

  /** The same answer at both routers, and another one for another slot. */
  #yields(rival: number, { slot }: Place): boolean {
    const [mine, its] = [hash(this.#name, slot), hash(rival, slot)];
    return mine < its || (mine === its && this.#name < rival);
  }

  #move(superframe: number): void {
    const { stride } = this.#place!;
    for (const known of this.#known.values()) {
      if (known.deafFor > 0) known.vain += 1;
      known.deafFor = 0;
    }
    // Where there is nowhere to go, staying harms no more than going.
    if (this.overfull) return;
    this.collisions += 1;
    this.#moves += 1;
    this.#unanswered = Math.min(this.#unanswered + 1, MOST_UNANSWERED);
    const left = this.#place!;
    this.#place = null;
    this.#take(superframe, stride, left);
  }

  /** A free place, where there is one. */
  #take(superframe: number, stride: number, left: Place | null = null): void {
    const { slots } = this.#options;
    const taken = [...this.#everybody().values()];
    let wanted = Math.max(stride, this.#stride(superframe, stride));
    for (; wanted <= WIDEST; wanted *= 2) {
      const busy = new Uint8Array(slots * wanted);
      for (const place of taken) occupy(busy, place, slots, wanted);
      // Where two collide nobody hears either: it looks free.
      if (left !== null) occupy(busy, left, slots, wanted);
      const free: number[] = [];
      for (const [at, used] of busy.entries()) if (used === 0) free.push(at);
      if (free.length === 0) continue;
      const at = this.#choice(free, superframe);
      this.#settle({ slot: at % slots, stride: wanted, phase: Math.floor(at / slots) }, superframe, false);
      return;
    }
    const load = new Uint16Array(slots);
    for (const { slot } of taken) if (slot < slots) load[slot]! += 1;
    const least = Math.min(...load);
    const emptiest = [...load.keys()].filter((slot) => load[slot] === least);
    const slot = emptiest[hash(this.#name, 0) % emptiest.length]!;
    this.#settle({ slot, stride: WIDEST, phase: hash(this.#name, 2) % WIDEST }, superframe, true);
  }

  /**
   * Wandering and after a collision any free place will do. Who settles takes the one that its name gives it the best
   * claim to: of all that know of each other, no two have the best claim to the same.
   */
  #choice(free: readonly number[], superframe: number): number {
    if (superframe !== this.#listensUntil! + WANDER) return free[hash(this.#name, 3 + this.#moves) % free.length]!;
    const others = [...this.#everybody().keys()];
    let best = free[0]!;
    let fewest = Number.POSITIVE_INFINITY;
    for (const at of free) {
      const claim = hash(this.#name, at);
      let better = 0;
      for (const name of others) {
        if (hash(name, at) > claim) better += 1;
        // Neighbours that invent others must not make this long.
        if (better > fewest) break;
      }
      if (better > fewest || (better === fewest && claim < hash(this.#name, best))) continue;
      best = at;
      fewest = better;
    }
    return best;
  }

  #settle(place: Place, superframe: number, overfull: boolean): void {
    this.#place = place;
    this.#since = superframe;
    this.#seqAtTake = this.#sent.at(-1)?.seq ?? 0;
    this.#changedIn = superframe;
    this.overfull = overfull;
  }

  /** Everybody within two hops, by name. */
  #everybody(): Map<number, Place> {
    const all = new Map<number, Place>();
    for (const known of this.#known.values())
      for (const far of known.reports)
        if (far.name !== this.#name && far.age <= FORGET_FAR * far.stride) all.set(far.name, far);
    for (const known of this.#known.values()) all.set(known.name, known);
    return all;
  }

  #forget(superframe: number): void {
    for (const [key, { heardIn, stride }] of this.#known) {
      if (superframe - heardIn <= FORGET * stride) continue;
      this.#known.delete(key);
      this.#changedIn = superframe;
    }
  }

  #sendsIn(superframe: number): boolean {
    const { stride, phase } = this.#place!;
    if (superframe % stride !== phase) return false;
    // A wide stride is silent often enough already, but then so is its rival: by turns, counted in its own superframes.
    const turn = Math.floor(superframe / stride);
    const isNew = superframe - this.#since < PROBATION;
    // Who hears nobody may be alone, or one of a crowd that all talk at once.
    const every = this.#known.size === 0 && !isNew ? PAUSE_ALONE : isNew ? PAUSE : PAUSE_LATER;
    return superframe === this.#since || hash(this.#name, turn + 17) % every !== 0;
  }
}

/** Do two places ever meet? */
function collide(a: Place, b: Place): boolean {
  const stride = Math.min(a.stride, b.stride);
  return a.slot === b.slot && a.phase % stride === b.phase % stride;
}

/** Marks what a place takes of `slots` times `stride`. */
function occupy(busy: Uint8Array, place: Place, slots: number, stride: number): void {
  if (place.slot >= slots) return;
  const step = Math.min(place.stride, stride);
  for (let phase = place.phase % step; phase < stride; phase += step) busy[phase * slots + place.slot] = 1;
}

/** A number out of two, as good as random and the same everywhere (the finaliser of MurmurHash3). */
export function hash(a: number, b: number): number {
  let h = Math.imul(a ^ Math.imul(b + 1, 0x9e3779b1), 0x85ebca6b);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
