/**
 * Other routers' joinings, on a router that is in but no steward: what a joiner says goes on to a steward over a session,
 * and the answer back. It reads none of it, and keeps little, for a short while.
 */
import { type Nanos, SECOND } from '../../core/time.ts';
import { isJoinMessage } from '../join/messages.ts';

interface Relayed {
  readonly conversation: string;
  readonly steward: string;
  readonly until: Nanos;
}

const TIME: Nanos = 30 * SECOND;
const MOST = 64;

export class Relay {
  readonly #relayed = new Map<number, Relayed>();
  /** Hellos for which there was no session with a steward yet. */
  readonly #parked = new Map<string, { readonly bytes: Uint8Array; readonly until: Nanos }>();
  #last: number;

  /** `first`: where its turns among the stewards begin; each router's elsewhere, so that they share the work. */
  constructor(first: number) {
    this.#last = first;
  }

  /** To whom it goes, under which token; null where there is no steward, and it waits for one. */
  pass(
    conversation: string,
    bytes: Uint8Array,
    stewards: readonly string[],
    now: Nanos,
  ): { readonly steward: string; readonly token: number } | null {
    const known = [...this.#relayed].find(([, one]) => one.conversation === conversation);
    if (known !== undefined) this.#relayed.delete(known[0]);
    if (stewards.length === 0) {
      if (isJoinMessage(bytes, 1)) put(this.#parked, conversation, { bytes, until: now + TIME });
      return null;
    }
    // A request is for the steward whose challenge it answers.
    const goesOn = known !== undefined && isJoinMessage(bytes, 3) && stewards.includes(known[1].steward);
    const token = goesOn ? known[0] : ++this.#last;
    const steward = goesOn ? known[1].steward : [...stewards].sort()[token % stewards.length]!;
    put(this.#relayed, token, { conversation, steward, until: now + TIME });
    return { steward, token };
  }

  /** Whose answer this is; null for nobody's. */
  back(steward: string, token: number, bytes: Uint8Array, now: Nanos): string | null {
    const one = this.#relayed.get(token);
    if (one?.steward !== steward || one.until < now) return null;
    return isJoinMessage(bytes, 2) || isJoinMessage(bytes, 4) ? one.conversation : null;
  }

  /** What waited for a steward, and has not waited too long. */
  unpark(now: Nanos): { readonly conversation: string; readonly bytes: Uint8Array }[] {
    const waited = [...this.#parked].filter(([, { until }]) => until > now);
    this.#parked.clear();
    return waited.map(([conversation, { bytes }]) => ({ conversation, bytes }));
  }
}

/** The oldest goes where there are too many. */
function put<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key);
  if (map.size >= MOST) map.delete(map.keys().next().value!);
  map.set(key, value);
}
