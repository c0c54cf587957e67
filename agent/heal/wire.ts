/**
 * Word of a fault on the air: frames of our own over the hard interfaces, beside bat0, never through it.
 * WIRE.md in this folder draws the layout. Authenticated with the mesh key (version 1) or a key of the air that identities have
 * agreed on (version 2): HMAC-SHA-256 (RFC 2104) cut to 16 bytes, over the whole payload with the hop count set to zero (it is
 * the one field that relays change).
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import { type Mac, macFromBytes, macToBytes } from '../core/ids.ts';
import type { Alarm } from '../core/words.ts';

/** IEEE 802 local experimental ethertype 1 (IEEE Std 802-2014, 9.2.4). */
export const ETH_P_X0 = 0x88b5;
const ETHER = 14;
export const MAGIC = 0x7830; // 'x0'
/** Sealed with the mesh key; and with a key of the air. */
export const VERSION = 1;
export const AIR_VERSION = 2;
const TAG = 16;
const ALARM_HEAD = 14 + 8 + 12 + 1;
const ECHO_BODY = 14 + 8;

/** Shorter ones bear nothing to find a key by. */
export const SHORTEST = ETHER + 8;

const KINDS = {
  'link-down': 1,
  'neighbour-lost': 2,
  'interface-gone': 3,
  kick: 4,
  'way-lost': 5,
  'way-asked': 6,
} as const;
const ECHO_REQUEST = 16;
const ECHO_REPLY = 17;
/** Only under a key of the air: this address is a member's. */
const HELLO = 18;
const KIND_NAMES = new Map<number, Alarm['kind']>(
  Object.entries(KINDS).map(([name, value]) => [value, name as Alarm['kind']]),
);

export interface Echo {
  readonly reply: boolean;
  /** Originator address of the router that asked. */
  readonly asker: Mac;
  readonly epoch: number;
  readonly counter: number;
}

export type Frame = (
  | { readonly kind: 'alarm'; readonly alarm: Alarm }
  | { readonly kind: 'echo'; readonly echo: Echo }
  | { readonly kind: 'hello' }
) & { readonly source: Mac };

/** Originators that one alarm can name: 255 * 6 bytes would not fit an Ethernet frame beside the rest, 200 do. */
export const MOST_AFFECTED = 200;

export const ANY: Mac = '00:00:00:00:00:00';
const BROADCAST: Mac = 'ff:ff:ff:ff:ff:ff';

/** The two padded forms of an HMAC key (RFC 2104), made once: a hash object an alarm costs three times as much. */
export interface MacKey {
  readonly inner: Uint8Array;
  readonly outer: Uint8Array;
  readonly version: typeof VERSION | typeof AIR_VERSION;
  /** What stands in the frame to find the key by, 24 bits. Version 1: 0, or FOR_MEMBERS where the sender has keys of the air. */
  readonly name: number;
}

/** In a frame of version 1: its sender would have understood version 2. */
export const FOR_MEMBERS = 0x01_0000;

const BLOCK = 64;

/** `key`: at most one block of SHA-256, 64 bytes; ours have 32. */
export function macKey(key: Uint8Array, version: MacKey['version'] = VERSION, name = 0): MacKey {
  const pad = (byte: number) => Uint8Array.from({ length: BLOCK }, (_, i) => (key[i] ?? 0) ^ byte);
  return { inner: pad(0x36), outer: pad(0x5c), version, name };
}

/** The alarm key of a key of the air: its epoch's low byte and 16 bits of the key are its name. */
export function airKey(secret: Uint8Array, epoch: number): MacKey {
  const derive = (label: string) => createHmac('sha256', secret).update(label).digest();
  const name = ((epoch & 0xff) << 16) | derive('x0tta6bl4 alarm key name v2').readUInt16BE(0);
  return macKey(derive('x0tta6bl4 alarm v2'), AIR_VERSION, name);
}

/** Version and name of the key that a frame of ours is sealed with, as it says; null for what is too short. */
export function keyOf(frame: Uint8Array): Pick<MacKey, 'version' | 'name'> | null {
  const version = frame[ETHER + 2];
  if (frame.length < SHORTEST || (version !== VERSION && version !== AIR_VERSION)) return null;
  return { version, name: (frame[ETHER + 5]! << 16) | (frame[ETHER + 6]! << 8) | frame[ETHER + 7]! };
}

/**
 * Words of ways are about those of the interface that says them: the tag covers its address, or anybody could say them again in
 * another's name.
 */
export const OF_WAYS: ReadonlySet<Alarm['kind']> = new Set(['way-lost', 'way-asked']);

/** The same frame from another of this router's interfaces: but for words of ways the tag does not cover the Ethernet addresses. */
export function fromInterface(frame: Uint8Array, source: Mac): Uint8Array {
  const copy = Uint8Array.from(frame);
  macToBytes(source, copy, 6);
  return copy;
}

/** The whole Ethernet frame of an alarm, sent from `source`. */
export function encodeAlarm(alarm: Alarm, source: Mac, key: MacKey): Uint8Array {
  // More than fit: these at least. The rest finds its way as batman-adv does by itself.
  const affected = alarm.affected.slice(0, MOST_AFFECTED);
  const frame = begin(ALARM_HEAD + 6 * affected.length, BROADCAST, source, KINDS[alarm.kind], alarm.hops, alarm, key);
  macToBytes(alarm.near, frame, ETHER + 22);
  macToBytes(alarm.far, frame, ETHER + 28);
  frame[ETHER + 34] = affected.length;
  for (const [i, mac] of affected.entries()) macToBytes(mac, frame, ETHER + ALARM_HEAD + 6 * i);
  return seal(frame, key);
}

/** An echo, request or reply, to one neighbour's hard interface. */
export function encodeEcho(echo: Echo, to: Mac, source: Mac, key: MacKey): Uint8Array {
  const kind = echo.reply ? ECHO_REPLY : ECHO_REQUEST;
  return seal(begin(ECHO_BODY, to, source, kind, 0, { ...echo, sender: echo.asker }, key), key);
}

/** Says to everybody in reach that this address is a member's. */
export function encodeHello(
  id: { readonly sender: Mac; readonly epoch: number; readonly counter: number },
  source: Mac,
  key: MacKey,
): Uint8Array {
  return seal(begin(ECHO_BODY, BROADCAST, source, HELLO, 0, id, key), key);
}

/**
 * Who sent an alarm, unverified: enough to drop a copy of what was taken before without computing its tag. null for
 * what is no alarm at all.
 */
export function peekAlarm(frame: Uint8Array): { sender: Mac; epoch: number; counter: number } | null {
  if (frame.length < ETHER + ALARM_HEAD + TAG || !KIND_NAMES.has(frame[ETHER + 3]!)) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(ETHER) !== MAGIC || keyOf(frame) === null) return null;
  return {
    sender: macFromBytes(frame, ETHER + 8),
    epoch: view.getUint32(ETHER + 14),
    counter: view.getUint32(ETHER + 18),
  };
}

/** A frame of the beacons, which lie beside these on the same ethertype: kinds 32 to 47, see agent/beacon/WIRE.md. */
export function isBeacon(frame: Uint8Array): boolean {
  return frame.length > ETHER + 3 && frame[ETHER + 3]! >> 4 === 2;
}

/** Reads a frame that came in. Throws E_FRAME, saying what is wrong with it; Ethernet padding behind the tag is fine. */
export function decodeFrame(frame: Uint8Array, key: MacKey): Frame {
  if (frame.length < ETHER + ECHO_BODY + TAG) throw bad('short', `${frame.length} bytes`);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(12) !== ETH_P_X0) throw bad('ethertype', `0x${view.getUint16(12).toString(16)}`);
  if (view.getUint16(ETHER) !== MAGIC) throw bad('magic', `0x${view.getUint16(ETHER).toString(16)}`);
  const of = keyOf(frame);
  if (of?.version !== key.version) throw bad('version', String(frame[ETHER + 2]));
  if (of.version === AIR_VERSION && of.name !== key.name) throw bad('key', 'it was not made with this key of the air');
  const kind = frame[ETHER + 3]!;
  const alarmKind = KIND_NAMES.get(kind);
  const isEcho = kind === ECHO_REQUEST || kind === ECHO_REPLY || (kind === HELLO && of.version === AIR_VERSION);
  if (alarmKind === undefined && !isEcho) throw bad('kind', String(kind));
  const count = isEcho ? 0 : (frame[ETHER + ALARM_HEAD - 1] ?? 0);
  const end = ETHER + (isEcho ? ECHO_BODY : ALARM_HEAD + 6 * count);
  if (count > MOST_AFFECTED) throw bad('affected', `${count} originators`);
  if (frame.length < end + TAG) throw bad('short', `${frame.length} bytes for kind ${kind}`);
  if (!timingSafeEqual(tag(frame.subarray(0, end), key), frame.subarray(end, end + TAG))) {
    throw bad('tag', 'it was not made with this key');
  }
  const source = macFromBytes(frame, 6);
  const sender = macFromBytes(frame, ETHER + 8);
  const epoch = view.getUint32(ETHER + 14);
  const counter = view.getUint32(ETHER + 18);
  if (kind === HELLO) return { kind: 'hello', source };
  if (alarmKind === undefined) {
    return { kind: 'echo', echo: { reply: kind === ECHO_REPLY, asker: sender, epoch, counter }, source };
  }
  const near = macFromBytes(frame, ETHER + 22);
  const far = macFromBytes(frame, ETHER + 28);
  const affected = Array.from({ length: count }, (_, i) => macFromBytes(frame, ETHER + ALARM_HEAD + 6 * i));
  return {
    kind: 'alarm',
    alarm: { sender, epoch, counter, kind: alarmKind, near, far, affected, hops: frame[ETHER + 4]! },
    source,
  };
}

function begin(
  body: number,
  to: Mac,
  source: Mac,
  kind: number,
  hops: number,
  id: { sender: Mac; epoch: number; counter: number },
  key: MacKey,
): Uint8Array {
  const frame = new Uint8Array(ETHER + body + TAG);
  const view = new DataView(frame.buffer);
  macToBytes(to, frame, 0);
  macToBytes(source, frame, 6);
  view.setUint16(12, ETH_P_X0);
  view.setUint16(ETHER, MAGIC);
  frame[ETHER + 2] = key.version;
  frame[ETHER + 3] = kind;
  frame[ETHER + 4] = hops;
  frame[ETHER + 5] = key.name >> 16;
  view.setUint16(ETHER + 6, key.name & 0xffff);
  macToBytes(id.sender, frame, ETHER + 8);
  view.setUint32(ETHER + 14, id.epoch);
  view.setUint32(ETHER + 18, id.counter);
  return frame;
}

function seal(frame: Uint8Array, key: MacKey): Uint8Array {
  frame.set(tag(frame.subarray(0, frame.length - TAG), key), frame.length - TAG);
  return frame;
}

/** Kinds that go no further than to a neighbour. Who relays one must not pass for the interface that it came from. */
const OF_INTERFACES: ReadonlySet<number> = new Set([
  ...[...OF_WAYS].map((kind) => KINDS[kind]),
  ECHO_REQUEST,
  ECHO_REPLY,
  HELLO,
]);

/** Of a frame without its tag. */
function tag(frame: Uint8Array, key: MacKey): Buffer {
  const addresses = OF_INTERFACES.has(frame[ETHER + 3]!) ? 12 : 0;
  const signed = Buffer.concat([key.inner, frame.subarray(ETHER), frame.subarray(0, addresses)]);
  signed[BLOCK + 4] = 0; // the hop count
  return hash('sha256', Buffer.concat([key.outer, hash('sha256', signed, 'buffer')]), 'buffer').subarray(0, TAG);
}

function bad(field: string, found: string): AgentError {
  return new AgentError('E_FRAME', `frame refused: ${field}: ${found}`, { field });
}
