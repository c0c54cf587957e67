/**
 * Beacons and probes on the air; WIRE.md in this folder draws the layout. Authenticated with a key derived from the mesh
 * key (version 1) or from a key of the air that identities have agreed on (version 2): HMAC-SHA-256 (RFC 2104) cut to 16 bytes, over the Ethernet source address and the whole payload.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import { type Mac, macFromBytes, macToBytes } from '../core/ids.ts';
import type { Nanos } from '../core/time.ts';
import { AIR_VERSION, MAGIC, type MacKey, macKey, VERSION } from '../heal/wire.ts';

const ETHER = 14;
const TAG = 16;
const COMMON = 26;
const BEACON_HEAD = 76;
const ENTRY = 16;
const KIND_BEACON = 32;
const KIND_PROBE = 33;
const KIND_ANSWER = 34;
const FLAG_PARTIAL = 1;
/** Version 1: its sender would have understood version 2. */
const FLAG_AIR = 2;
const BROADCAST: Mac = 'ff:ff:ff:ff:ff:ff';
const NOBODY: Mac = '00:00:00:00:00:00';

/** Neighbours that one beacon reports; where there are more they take turns. */
export const MOST_REPORTED = 24;
/** Slots of a superframe, and superframes between two beacons of one router: what the fields hold. */
export const MOST_SLOTS = 250;
export const MOST_STRIDE = 15;
/** The largest error bound that a beacon can state; unknown beyond. */
export const UNKNOWN_BOUND: Nanos = 0xffff_ffff;
/** The longest beacon, from the Ethernet header to the tag, in bytes. */
export const LONGEST_BEACON = ETHER + BEACON_HEAD + ENTRY * MOST_REPORTED + TAG;
/** Times of receipt travel in this unit: 68 s fit in 32 bits. */
const RECEIPT_UNIT: Nanos = 16;
const NOT_KNOWN = 0xffff_ffff;
/** Beyond these 36 years it is no time; nor is what has more superframes than their number holds. */
const LATEST: Nanos = 2 ** 60;
export const latestTime = (superframeNs: Nanos): Nanos => Math.min(LATEST, 2 ** 32 * superframeNs);

/** What a beacon says of one neighbour. */
export interface Report {
  /** `shortName()` of the neighbour. */
  readonly name: number;
  readonly slot: number;
  /** Superframes between two beacons of it, a power of two, and which of them. */
  readonly stride: number;
  readonly phase: number;
  /** Its sequence number that was heard last, and when that arrived, in mesh time of whoever reports; null if not known. */
  readonly seq: number;
  readonly at: Nanos | null;
  /** Superframes since then; 255 for that and more. */
  readonly age: number;
  /** Share of its beacons that were heard lately, 0 to 1 in steps of 1/255. */
  readonly heard: number;
}

export interface Beacon {
  readonly node: Mac;
  readonly epoch: number;
  readonly seq: number;
  readonly superframe: number;
  readonly slot: number;
  readonly stride: number;
  readonly phase: number;
  /** Superframes until the next beacon, 1 to 255; 0: this is the last one, the router leaves. */
  readonly next: number;
  /** Mesh time that this beacon was planned for. */
  readonly planned: Nanos;
  /** When an earlier beacon really left by this interface, in mesh time; seq 0 for none. */
  readonly sent: { readonly seq: number; readonly at: Nanos };
  /** No error of the times in this beacon is larger; UNKNOWN_BOUND where nothing is known. */
  readonly bound: Nanos;
  readonly root: Mac;
  readonly rootSeq: number;
  readonly depth: number;
  /** Some neighbours are left out of this one. */
  readonly partial: boolean;
  readonly reports: readonly Report[];
}

export interface Probe {
  /** Whose question it is, in a question and in its answer. */
  readonly asker: Mac;
  readonly epoch: number;
  readonly counter: number;
}

export type Frame =
  | { readonly kind: 'beacon'; readonly beacon: Beacon; readonly source: Mac }
  | { readonly kind: 'probe' | 'answer'; readonly probe: Probe; readonly source: Mac };

export interface BeaconKey {
  readonly mac: MacKey;
  readonly version: MacKey['version'];
  /** Tells meshes, and keys of the air, apart before any cryptography. */
  readonly meshId: number;
  readonly epoch: number;
  /** The sender has keys of the air. */
  readonly hasAir: boolean;
}

/** The beacon key of a mesh key (64 hex digits). */
export function beaconKey(meshKey: string, epoch = 0, hasAir = false): BeaconKey {
  return derived(Buffer.from(meshKey, 'hex'), VERSION, epoch, hasAir);
}

/** The beacon key of a key of the air. */
export function airBeaconKey(secret: Uint8Array, epoch: number): BeaconKey {
  return derived(secret, AIR_VERSION, epoch & 0xff, true);
}

function derived(secret: Uint8Array, version: MacKey['version'], epoch: number, hasAir: boolean): BeaconKey {
  const derive = (label: string) => createHmac('sha256', secret).update(`x0tta6bl4 ${label} v${version}`).digest();
  return { mac: macKey(derive('beacon')), version, meshId: derive('mesh id').readUInt32BE(0), epoch, hasAir };
}

/** What a frame says of the key that it is sealed with; null for what is too short, or of another version. */
export function keyOf(frame: Uint8Array): Omit<BeaconKey, 'mac'> | null {
  const version = frame[ETHER + 2];
  if (frame.length < ETHER + COMMON || (version !== VERSION && version !== AIR_VERSION)) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const hasAir = version === AIR_VERSION || (view.getUint16(ETHER + 6) & FLAG_AIR) !== 0;
  return { version, meshId: view.getUint32(ETHER + 8), epoch: frame[ETHER + 5]!, hasAir };
}

/** A router in four bytes, for slot maps: FNV-1a over its address. Two of the same name within two hops share a fate. */
export function shortName(node: Mac): number {
  let name = 0x811c9dc5;
  for (let i = 0; i < node.length; i++) name = Math.imul(name ^ node.charCodeAt(i), 0x01000193);
  return name >>> 0;
}

/** The whole Ethernet frame of a beacon from one interface. Reports beyond MOST_REPORTED are left out. */
export function encodeBeacon(beacon: Beacon, source: Mac, ethertype: number, key: BeaconKey): Uint8Array {
  const reports = beacon.reports.slice(0, MOST_REPORTED);
  const size = BEACON_HEAD + ENTRY * reports.length;
  const { frame, view } = begin(size, BROADCAST, source, ethertype, KIND_BEACON, key, beacon.node, beacon);
  const partial = beacon.partial || reports.length < beacon.reports.length;
  view.setUint16(ETHER + 6, (partial ? FLAG_PARTIAL : 0) | flagsOf(key));
  view.setUint32(ETHER + 26, beacon.superframe);
  frame[ETHER + 30] = beacon.slot;
  frame[ETHER + 31] = packed(beacon.stride, beacon.phase);
  frame[ETHER + 32] = beacon.next;
  frame[ETHER + 33] = beacon.depth;
  setTime(view, ETHER + 34, beacon.planned);
  setTime(view, ETHER + 42, beacon.sent.at);
  view.setUint32(ETHER + 50, beacon.sent.seq);
  view.setUint32(ETHER + 54, clampBound(beacon.bound));
  macToBytes(beacon.root, frame, ETHER + 58);
  view.setUint32(ETHER + 64, beacon.rootSeq);
  frame[ETHER + 75] = reports.length;
  for (const [i, report] of reports.entries()) {
    const at = ETHER + BEACON_HEAD + ENTRY * i;
    view.setUint32(at, report.name);
    frame[at + 4] = report.slot;
    frame[at + 5] = packed(report.stride, report.phase);
    frame[at + 6] = report.age;
    frame[at + 7] = Math.round(Math.min(1, Math.max(0, report.heard)) * 255);
    view.setUint32(at + 8, report.seq);
    const before = report.at === null ? -1 : Math.round((beacon.planned - report.at) / RECEIPT_UNIT);
    view.setUint32(at + 12, before >= 0 && before < NOT_KNOWN ? before : NOT_KNOWN);
  }
  return seal(frame, key);
}

/** A question to one neighbour's interface, or the answer to one. */
export function encodeProbe(
  probe: Probe,
  answer: boolean,
  to: Mac,
  source: Mac,
  ethertype: number,
  key: BeaconKey,
): Uint8Array {
  const kind = answer ? KIND_ANSWER : KIND_PROBE;
  const id = { epoch: probe.epoch, seq: probe.counter };
  return seal(begin(COMMON, to, source, ethertype, kind, key, probe.asker, id).frame, key);
}

/** Reads what came in. Throws E_FRAME, naming the field that is wrong; Ethernet padding behind the tag is fine. */
export function decodeFrame(frame: Uint8Array, key: BeaconKey): Frame {
  if (frame.length < ETHER + COMMON + TAG) throw bad('short', `${frame.length} bytes`);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(ETHER) !== MAGIC) throw bad('magic', `0x${view.getUint16(ETHER).toString(16)}`);
  if (frame[ETHER + 2] !== key.version) throw bad('version', String(frame[ETHER + 2]));
  const kind = frame[ETHER + 3]!;
  if (kind < KIND_BEACON || kind > KIND_ANSWER) throw bad('kind', String(kind));
  if (view.getUint32(ETHER + 8) !== key.meshId) throw bad('mesh', 'it is of another mesh');
  if (frame[ETHER + 5] !== key.epoch) throw bad('key-epoch', String(frame[ETHER + 5]));
  const count = kind === KIND_BEACON ? (frame[ETHER + 75] ?? 0) : 0;
  if (count > MOST_REPORTED) throw bad('reports', `${count} neighbours`);
  const end = ETHER + (kind === KIND_BEACON ? BEACON_HEAD + ENTRY * count : COMMON);
  if (frame.length < end + TAG) throw bad('short', `${frame.length} bytes for kind ${kind}`);
  if (!timingSafeEqual(tag(frame, end, key), frame.subarray(end, end + TAG))) {
    throw bad('tag', 'it was not made with this key');
  }
  const source = macFromBytes(frame, 6);
  const node = macFromBytes(frame, ETHER + 12);
  const epoch = view.getUint32(ETHER + 18);
  const seq = view.getUint32(ETHER + 22);
  if (source === NOBODY || (frame[6]! & 1) === 1) throw bad('source', source);
  if (node === NOBODY || (frame[ETHER + 12]! & 1) === 1) throw bad('node', node);
  if (kind !== KIND_BEACON) {
    return { kind: kind === KIND_PROBE ? 'probe' : 'answer', probe: { asker: node, epoch, counter: seq }, source };
  }
  const planned = getTime(view, ETHER + 34, 'planned');
  const { stride, phase } = unpacked(frame[ETHER + 31]!, 'stride');
  const reports = Array.from({ length: count }, (_, i): Report => {
    const at = ETHER + BEACON_HEAD + ENTRY * i;
    return {
      name: view.getUint32(at),
      slot: slotOf(frame[at + 4]!),
      ...unpacked(frame[at + 5]!, 'report'),
      age: frame[at + 6]!,
      heard: frame[at + 7]! / 255,
      seq: view.getUint32(at + 8),
      at: view.getUint32(at + 12) === NOT_KNOWN ? null : planned - view.getUint32(at + 12) * RECEIPT_UNIT,
    };
  });
  const beacon: Beacon = {
    node,
    epoch,
    seq,
    superframe: view.getUint32(ETHER + 26),
    slot: slotOf(frame[ETHER + 30]!),
    stride,
    phase,
    next: frame[ETHER + 32]!,
    planned,
    sent: { seq: view.getUint32(ETHER + 50), at: getTime(view, ETHER + 42, 'sent') },
    bound: view.getUint32(ETHER + 54),
    root: macFromBytes(frame, ETHER + 58),
    rootSeq: view.getUint32(ETHER + 64),
    depth: frame[ETHER + 33]!,
    partial: (view.getUint16(ETHER + 6) & FLAG_PARTIAL) !== 0,
    reports,
  };
  return { kind: 'beacon', beacon, source };
}

function begin(
  body: number,
  to: Mac,
  source: Mac,
  ethertype: number,
  kind: number,
  key: BeaconKey,
  node: Mac,
  id: { readonly epoch: number; readonly seq: number },
) {
  const frame = new Uint8Array(ETHER + body + TAG);
  const view = new DataView(frame.buffer);
  macToBytes(to, frame, 0);
  macToBytes(source, frame, 6);
  view.setUint16(12, ethertype);
  view.setUint16(ETHER, MAGIC);
  frame[ETHER + 2] = key.version;
  frame[ETHER + 3] = kind;
  frame[ETHER + 5] = key.epoch;
  view.setUint16(ETHER + 6, flagsOf(key));
  view.setUint32(ETHER + 8, key.meshId);
  macToBytes(node, frame, ETHER + 12);
  view.setUint32(ETHER + 18, id.epoch);
  view.setUint32(ETHER + 22, id.seq);
  return { frame, view };
}

function flagsOf({ version, hasAir }: BeaconKey): number {
  return version === VERSION && hasAir ? FLAG_AIR : 0;
}

function seal(frame: Uint8Array, key: BeaconKey): Uint8Array {
  const end = frame.length - TAG;
  frame.set(tag(frame, end, key), end);
  return frame;
}

/** Over the source address as well: it names the neighbour, and nobody relays a beacon. */
function tag(frame: Uint8Array, end: number, { mac }: BeaconKey): Uint8Array {
  const inner = hash('sha256', Buffer.concat([mac.inner, frame.subarray(6, 12), frame.subarray(ETHER, end)]), 'buffer');
  return hash('sha256', Buffer.concat([mac.outer, inner]), 'buffer').subarray(0, TAG);
}

/** Stride (its power of two) in the upper half, phase in the lower. */
function packed(stride: number, phase: number): number {
  return (Math.log2(stride) << 4) | (phase & 15);
}

function unpacked(byte: number, field: string): { stride: number; phase: number } {
  const stride = 1 << (byte >> 4);
  const phase = byte & 15;
  if (stride > MOST_STRIDE || phase >= stride) throw bad(field, `phase ${phase} of ${stride}`);
  return { stride, phase };
}

function slotOf(byte: number): number {
  if (byte >= MOST_SLOTS) throw bad('slot', String(byte));
  return byte;
}

function setTime(view: DataView, at: number, ns: Nanos): void {
  view.setBigUint64(at, BigInt(Math.max(0, Math.round(ns))));
}

function getTime(view: DataView, at: number, field: string): Nanos {
  const ns = Number(view.getBigUint64(at));
  if (ns > LATEST) throw bad(field, 'a time beyond 36 years');
  return ns;
}

function clampBound(ns: Nanos): number {
  return ns < UNKNOWN_BOUND ? Math.ceil(Math.max(0, ns)) : UNKNOWN_BOUND;
}

function bad(field: string, found: string): AgentError {
  return new AgentError('E_FRAME', `frame refused: ${field}: ${found}`, { field });
}
