/**
 * What lies in the maps and rings of bpf/maps.h, byte by byte: change both. Numbers are in this machine's byte order,
 * which is the kernel's.
 */
import { endianness } from 'node:os';
import { type IfIndex, type Mac, macFromBytes, macToBytes } from '../../core/ids.ts';
import type { Nanos } from '../../core/time.ts';

const LITTLE = endianness() === 'LE';

export const NEIGHBOURS_MOST = 256;
export const OUTCASTS_MOST = 256;
export const BUCKETS = 16;

const KEY = 12;
/** With bpf_timer the value is 16 bytes longer: the kernel's own. */
const NEIGHBOUR = 88;
/** Of one CPU. */
const COUNTS = 136;
const TOTALS = 176;
const STRANGER = 16;
const STAMP = 64;
const EVENT = 32;

/** Places in the map of programs. */
export const CHAIN = { heard: 0, tcp: 1, ogm2: 2 } as const;
/** Of settings.flags. */
export const WITH_OUTCASTS = 1;
export const ADMITTED_ONLY = 2;

/** A neighbour: a hardware address on one of our interfaces. */
export interface Who {
  readonly neighbour: Mac;
  readonly index: IfIndex;
}

const STATES = ['unheard', 'heard', 'silent'] as const;
type State = (typeof STATES)[number];

/** Sequence numbers of one kind, from one neighbour. */
export interface Stream {
  readonly newest: number;
  readonly got: number;
  /** Numbers jumped over: lost on the air. */
  readonly lost: number;
  /** Duplicates, or out of order. */
  readonly late: number;
}

/** How a neighbour stands, and what came in from it since it was put into the map: all but what every frame adds to. */
export interface NeighbourState extends Who {
  /** 0 for never. */
  readonly last: Nanos;
  /** The silence after which it counts as silent; 0 for none. */
  readonly deadline: Nanos;
  readonly state: State;
  /** How often its numbers began anew. */
  readonly restarts: number;
  readonly ogm: Stream;
  readonly elp: Stream;
  readonly ogm2: Stream;
}

/** What every frame of a neighbour adds to. */
export interface Counts {
  readonly frames: number;
  readonly bytes: number;
  /** Times between two frames: bucket 0 below BETWEEN_NS, each twice the one before, the last for all beyond. */
  readonly between: readonly number[];
}

export interface NeighbourFigures extends NeighbourState, Counts {}

export const BETWEEN_NS: Nanos = 1 << 15;
export const HANDSHAKE_NS: Nanos = 1 << 17;

/** Over all neighbours and CPUs. */
export interface Totals {
  readonly strangers: number;
  readonly isolated: number;
  readonly unadmitted: number;
  readonly fragments: number;
  readonly segments: number;
  readonly opened: number;
  readonly answered: number;
  readonly established: number;
  readonly closed: number;
  readonly reset: number;
  readonly retransmitted: number;
  readonly unstamped: number;
  /** Times from SYN to the ACK that completes it: bucket 0 below HANDSHAKE_NS, each twice the one before. */
  readonly handshakes: readonly number[];
}

/** Somebody who is no neighbour, by a hash that means nothing after the next boot. */
export interface Stranger {
  readonly hash: string;
  readonly index: IfIndex;
  /** Frames, less those of others that share its place. */
  readonly weight: number;
}

export interface Stamp {
  readonly at: Nanos;
  readonly index: IfIndex;
  /** Of the whole frame. */
  readonly length: number;
  /** What followed the Ethernet header, 48 bytes, filled up with zeros. */
  readonly head: Uint8Array;
}

export interface Liveness extends Who {
  readonly at: Nanos;
  readonly last: Nanos;
  readonly silent: boolean;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const u32 = (v: DataView, at: number): number => v.getUint32(at, LITTLE);
const u64 = (v: DataView, at: number): number => Number(v.getBigUint64(at, LITTLE));
const u32s = (v: DataView, at: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => u32(v, at + 4 * i));

export function encodeKey({ neighbour, index }: Who): Uint8Array {
  const key = new Uint8Array(KEY);
  macToBytes(neighbour, key);
  view(key).setUint32(8, index, LITTLE);
  return key;
}

function whoAt(bytes: Uint8Array, at: number): Who {
  return { neighbour: macFromBytes(bytes, at), index: u32(view(bytes), at + 8) };
}

/** The value of a neighbour of whom nothing has been heard. `place`: that of its counts. `size` as the map says. */
export function encodeNeighbour(deadline: Nanos, place: number, size: number): Uint8Array {
  const value = new Uint8Array(size);
  const v = view(value);
  v.setBigUint64(8, BigInt(deadline), LITTLE);
  v.setUint32(80, place, LITTLE);
  return value;
}

export interface Placed extends NeighbourState {
  /** That of its counts. */
  readonly place: number;
}

export function decodeNeighbours(keys: Uint8Array, values: Uint8Array, size: number): Placed[] {
  const v = view(values);
  const found: Placed[] = [];
  for (let i = 0; (i + 1) * KEY <= keys.length && size >= NEIGHBOUR && (i + 1) * size <= values.length; i++) {
    const at = i * size;
    const stream = (from: number): Stream => {
      const [newest, got, lost, late] = u32s(v, at + from, 4) as [number, number, number, number];
      return { newest, got, lost, late };
    };
    found.push({
      ...whoAt(keys, i * KEY),
      last: u64(v, at),
      deadline: u64(v, at + 8),
      state: STATES[u32(v, at + 16)] ?? 'unheard',
      restarts: u32(v, at + 20),
      ogm: stream(24),
      elp: stream(40),
      ogm2: stream(56),
      place: u32(v, at + 80),
    });
  }
  return found;
}

/** The counts at a place, of all CPUs. `size`: the bytes of a place. What is not there counts as nothing. */
export function decodeCounts(values: Uint8Array, place: number, size: number): Counts {
  const v = view(values);
  let bytes = 0;
  const between = new Array<number>(BUCKETS).fill(0);
  for (let at = place * size; at + COUNTS <= Math.min((place + 1) * size, values.length); at += COUNTS) {
    bytes += u64(v, at);
    for (const bucket of between.keys()) between[bucket]! += u64(v, at + 8 + 8 * bucket);
  }
  return { frames: between.reduce((sum, n) => sum + n, 0), bytes, between };
}

const COUNTERS = [
  'strangers',
  'isolated',
  'unadmitted',
  'fragments',
  'segments',
  'opened',
  'answered',
  'established',
  'closed',
  'reset',
  'retransmitted',
  'unstamped',
] as const;

/** `values`: one for each CPU. */
export function decodeTotals(values: Uint8Array): Totals {
  const v = view(values);
  const sums = new Array<number>(COUNTERS.length).fill(0);
  const handshakes = new Array<number>(BUCKETS).fill(0);
  for (let at = 0; at + TOTALS <= values.length; at += TOTALS) {
    for (const i of COUNTERS.keys()) sums[i]! += u64(v, at + 8 + i * 8);
    for (const [i, n] of u32s(v, at + 112, BUCKETS).entries()) handshakes[i]! += n;
  }
  const counters = Object.fromEntries(COUNTERS.map((name, i) => [name, sums[i]!]));
  return { ...(counters as Record<(typeof COUNTERS)[number], number>), handshakes };
}

export function decodeStrangers(values: Uint8Array): Stranger[] {
  const v = view(values);
  const found: Stranger[] = [];
  for (let at = 0; at + STRANGER <= values.length; at += STRANGER) {
    const hash = v.getBigUint64(at, LITTLE).toString(16).padStart(16, '0');
    const one = { hash, weight: u32(v, at + 8), index: u32(v, at + 12) };
    if (one.weight > 0) found.push(one);
  }
  return found.sort((a, b) => b.weight - a.weight);
}

/** null for a record of another length than ours have. */
export function decodeStamp(record: Uint8Array): Stamp | null {
  if (record.length !== STAMP) return null;
  const v = view(record);
  return { at: u64(v, 0), index: u32(v, 8), length: u32(v, 12), head: record.subarray(16) };
}

export function decodeEvent(record: Uint8Array): Liveness | null {
  if (record.length !== EVENT) return null;
  const v = view(record);
  const state = STATES[u32(v, 28)];
  if (state === undefined || state === 'unheard') return null;
  return { ...whoAt(record, 16), at: u64(v, 0), last: u64(v, 8), silent: state === 'silent' };
}

export interface Settings {
  /** 16 bytes. */
  readonly secret: Uint8Array;
  readonly outcasts: boolean;
  readonly admittedOnly: boolean;
  /** Ethertypes whose frames are stamped on arrival, two at most. */
  readonly stamped: readonly number[];
  /** Of sessions: over it who was cast out may join anew. */
  readonly port: number;
}

export function encodeSettings({ secret, outcasts, admittedOnly, stamped, port }: Settings): Uint8Array {
  const value = new Uint8Array(32);
  value.set(secret.subarray(0, 16));
  const v = view(value);
  v.setUint32(16, (outcasts ? WITH_OUTCASTS : 0) | (admittedOnly ? ADMITTED_ONLY : 0), LITTLE);
  for (const [i, ethertype] of stamped.slice(0, 2).entries()) v.setUint16(20 + 2 * i, ethertype);
  v.setUint16(24, port);
  return value;
}

export function encodeOutcast(mac: Mac): Uint8Array {
  return macToBytes(mac, new Uint8Array(8));
}

export function encodeU32(...numbers: readonly number[]): Uint8Array {
  const out = new Uint8Array(numbers.length * 4);
  for (const [i, n] of numbers.entries()) view(out).setUint32(i * 4, n, LITTLE);
  return out;
}

const ETHER = 14;
const COMMANDS = { deadline: 1, silent: 2 } as const;

/**
 * A command for the program `control`. deadline: the new one, in ns. silent: the neighbour fell silent, if its last frame
 * still is `value`.
 */
export function encodeCommand(who: Who, what: keyof typeof COMMANDS, value: Nanos): Uint8Array {
  const frame = new Uint8Array(ETHER + 24);
  frame.set(encodeKey(who), ETHER);
  view(frame).setUint32(ETHER + 12, COMMANDS[what], LITTLE);
  view(frame).setBigUint64(ETHER + 16, BigInt(value), LITTLE);
  return frame;
}
