/**
 * Where XDP cannot be used: the same figures of neighbours, as far as a packet socket gives them. It takes OGMs and ELP
 * frames only, a few a second from each neighbour; users' frames would wake this process for each of them. So `frames`
 * and `bytes` are those of batman-adv's own frames, and a neighbour is heard by them alone.
 */
import { type IfIndex, macFromBytes } from '../../core/ids.ts';
import type { Nanos } from '../../core/time.ts';
import { ETH_P_BATMAN } from '../../heal/ogm.ts';
import type { Drops } from '../drops.ts';
import { type BpfInstruction, type Native, type NativePacket, PACKET_OUTGOING } from '../native.ts';
import { BETWEEN_NS, BUCKETS, NEIGHBOURS_MOST, type NeighbourFigures, type Stream, type Who } from './layout.ts';

const ETHER = 14;
const IV_OGM = 0x00;
const ELP = 0x03;
const OGM2 = 0x04;
const COMPAT_VERSION = 15;
/** BATADV_TTL: an OGM2 that nobody has forwarded yet. */
const OWN_TTL = 50;
/** Beyond this a sender has begun anew, or we were away. */
const GAP_MOST = 64;
const SNAP = 600;

const LDB = 0x30; // BPF_LD | BPF_B | BPF_ABS
const JEQ = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RET = 0x06; // BPF_RET | BPF_K

/** Classic BPF (linux/filter.h): of batman-adv's frames those that say that a neighbour is there. */
const HEARTBEATS: readonly BpfInstruction[] = [
  [LDB, 0, 0, 0xfffff000 + 4], // SKF_AD_OFF + SKF_AD_PKTTYPE
  [JEQ, 4, 0, PACKET_OUTGOING],
  [LDB, 0, 0, ETHER],
  [JEQ, 3, 0, IV_OGM],
  [JEQ, 2, 0, ELP],
  [JEQ, 1, 0, OGM2],
  [RET, 0, 0, 0],
  [RET, 0, 0, SNAP],
];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Row = Mutable<Omit<NeighbourFigures, 'ogm' | 'elp' | 'ogm2' | 'between'>> & {
  readonly ogm: Mutable<Stream>;
  readonly elp: Mutable<Stream>;
  readonly ogm2: Mutable<Stream>;
  readonly between: number[];
};

const keyOf = ({ neighbour, index }: Who): string => `${index} ${neighbour}`;
const stream = (): Mutable<Stream> => ({ newest: 0, got: 0, lost: 0, late: 0 });

/** Counts frames of the neighbours that it was told of. No I/O. */
export class Tally {
  readonly #rows = new Map<string, Row>();

  add(who: Who, deadline: Nanos): void {
    if (this.#rows.size >= NEIGHBOURS_MOST || this.#rows.has(keyOf(who))) return;
    this.#rows.set(keyOf(who), {
      ...who,
      last: 0,
      deadline,
      state: 'unheard',
      frames: 0,
      bytes: 0,
      restarts: 0,
      ogm: stream(),
      elp: stream(),
      ogm2: stream(),
      between: new Array<number>(BUCKETS).fill(0),
    });
  }

  remove(who: Who): void {
    this.#rows.delete(keyOf(who));
  }

  row(who: Who): Row | undefined {
    return this.#rows.get(keyOf(who));
  }

  rows(): readonly NeighbourFigures[] {
    return [...this.#rows.values()];
  }

  /** A frame of batman-adv. Answers its sender where that is a neighbour who was not heard before. */
  take(frame: Uint8Array, index: IfIndex, at: Nanos): Who | null {
    if (frame.length < ETHER + 16) return null;
    const row = this.#rows.get(keyOf({ neighbour: macFromBytes(frame, 6), index }));
    if (row === undefined) return null;
    row.between[row.last === 0 ? BUCKETS - 1 : bucketOf(at - row.last, BETWEEN_NS)]! += 1;
    row.frames += 1;
    row.bytes += frame.length;
    row.last = Math.max(row.last, at);
    this.#follow(row, frame);
    if (row.state === 'heard') return null;
    row.state = 'heard';
    return { neighbour: row.neighbour, index };
  }

  #follow(row: Row, frame: Uint8Array): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    if (frame[ETHER + 1] !== COMPAT_VERSION) return;
    const kind = frame[ETHER];
    if (kind === ELP) follow(row, row.elp, view.getUint32(ETHER + 8));
    else if (kind === IV_OGM && frame.length >= ETHER + 24) {
      // A router's own OGM leads its aggregate, and on each interface one bears that interface's address.
      if (macFromBytes(frame, ETHER + 8) === row.neighbour) follow(row, row.ogm, view.getUint32(ETHER + 4));
    } else if (kind === OGM2) {
      for (let at = ETHER; at + 20 <= frame.length && frame[at] === OGM2; at += 20 + view.getUint16(at + 14)) {
        if (frame[at + 1] !== COMPAT_VERSION) return;
        if (frame[at + 2] !== OWN_TTL) continue;
        follow(row, row.ogm2, view.getUint32(at + 4));
        return;
      }
    }
  }
}

function follow(row: Row, s: Mutable<Stream>, number: number): void {
  const ahead = (number - s.newest) | 0;
  if (s.got === 0 || ahead > GAP_MOST || ahead < -GAP_MOST) {
    if (s.got !== 0) row.restarts += 1;
  } else if (ahead <= 0) {
    s.late += 1;
    return;
  } else {
    s.lost += ahead - 1;
  }
  s.newest = number;
  s.got += 1;
}

/** Bucket 0 below `unit`, each twice the one before. */
function bucketOf(ns: Nanos, unit: Nanos): number {
  return ns < unit ? 0 : Math.min(BUCKETS - 1, 1 + Math.floor(Math.log2(ns / unit)));
}

/** Feeds a tally from one interface. What the socket has no room for looks lost on the air. */
export function openTally(
  { native, drops }: { readonly native: Native; readonly drops: Drops },
  tally: Tally,
  { index, name }: { readonly index: IfIndex; readonly name: string },
  onHeard: (who: Who, at: Nanos) => void,
): NativePacket {
  return drops.open(
    native,
    { hears: 'neighbours', interface: name },
    {
      ethertype: ETH_P_BATMAN,
      ifindex: index,
      filter: HEARTBEATS,
      snap: SNAP,
      timestamps: true,
      onFrame: (frame, _index, _type, at) => {
        const who = tally.take(frame, index, at);
        if (who !== null) onHeard(who, at);
      },
      onError() {},
    },
  );
}
