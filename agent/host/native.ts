/** The native shim (native/*.c): netlink, packet and listening unix sockets on Node's loop, and the monotonic clock. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentError } from '../core/errors.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Nanos } from '../core/time.ts';

/** Every call on a closed socket throws EBADF; what the kernel refuses is thrown as an Error with the errno's name. */
export interface NativeError extends Error {
  /** 'ENOBUFS', 'ENETDOWN', ...; 'EUNKNOWN' for an errno that the shim does not name. */
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
}

/** What every socket of the shim has. An open socket keeps the process alive until unref(), and itself from collection. */
export interface NativeSocket {
  /** Closes the descriptor at once; no callback comes afterwards. Twice is fine. */
  close(): void;
  ref(): void;
  unref(): void;
}

export interface NativeNetlink extends NativeSocket {
  readonly portId: number;
  /** One datagram with one or more messages to the kernel. */
  send(message: Uint8Array): void;
  addMembership(group: number): void;
  dropMembership(group: number): void;
}

export interface NetlinkOptions {
  readonly protocol: number;
  /** Receive buffer in bytes; beyond net.core.rmem_max with CAP_NET_ADMIN only. */
  readonly rcvbuf?: number;
  /** One datagram: the buffer is the callee's to keep. */
  onMessages(datagram: Buffer): void;
  /** Messages were lost (ENOBUFS): what is known from events has to be read anew. The socket works on. */
  onOverrun(): void;
  onError(code: string): void;
}

/** [code, jt, jf, k] of one classic BPF instruction (linux/filter.h). */
export type BpfInstruction = readonly [number, number, number, number];

/** linux/if_packet.h */
export const PACKET_HOST = 0;
export const PACKET_BROADCAST = 1;
export const PACKET_MULTICAST = 2;
export const PACKET_OTHERHOST = 3;
export const PACKET_OUTGOING = 4;
/** Every ethertype, and what leaves as well. */
export const ETH_P_ALL = 3;

export interface NativePacket extends NativeSocket {
  /** One whole Ethernet frame. Throws ENETDOWN, ENXIO, ENOBUFS, ... */
  send(frame: Uint8Array, interfaceIndex: IfIndex): void;
  /** Many frames in order, 4096 at most, 32 a system call. Answers those that did not go. */
  sendMany(frames: readonly (readonly [Uint8Array, IfIndex])[]): { readonly index: number; readonly code: string }[];
  /** Since the last call: frames that passed the filter, and of them those dropped for want of room. */
  statistics(): { readonly received: number; readonly dropped: number };
}

export interface PacketOptions {
  /** 0 or absent: every interface. */
  readonly ifindex?: IfIndex;
  readonly ethertype: number;
  /** Stands before the first frame can come in. */
  readonly filter?: readonly BpfInstruction[];
  readonly rcvbuf?: number;
  /** Bytes kept of a frame: 64 to 65536, 2048 if absent. */
  readonly snap?: number;
  /** Ask for the time of receipt; without it `at` is 0 (two clock readings a wake-up saved). */
  readonly timestamps?: boolean;
  onFrame(frame: Buffer, interfaceIndex: IfIndex, packetType: number, at: Nanos): void;
  /** 'ENETDOWN': an interface went down. The socket works on. */
  onError(code: string): void;
}

export interface ListenOptions {
  readonly path: string;
  /** Of the path; 0o660 if absent. */
  readonly mode?: number;
  /** The descriptor is the callee's: wrap it with new net.Socket({ fd }). The ids are the kernel's word (SO_PEERCRED). */
  onConnection(fd: number, pid: number, uid: number, gid: number): void;
  onError(code: string): void;
}

export interface Native {
  openNetlink(options: NetlinkOptions): NativeNetlink;
  openPacket(options: PacketOptions): NativePacket;
  /** Takes a stale path over; throws EADDRINUSE where somebody listens. close() removes the path. */
  listenUnix(options: ListenOptions): NativeSocket;
  /** CLOCK_MONOTONIC. */
  now(): Nanos;
}

const HERE = dirname(fileURLToPath(import.meta.url));

/** Where a file that native/Makefile builds may lie: named by the environment, beside the bundle, in the source tree. */
function candidates(file: string, variable: string): string[] {
  const named = process.env[variable];
  if (named) return [named];
  return [join(HERE, file), join(HERE, '..', 'native', 'build', file), join(HERE, '..', '..', 'native', 'build', file)];
}

let loaded: Native | undefined;

/** The shim, loaded once. Throws E_NATIVE that names what was looked for. */
export function native(): Native {
  if (loaded) return loaded;
  const places = candidates('x0shim.node', 'X0_SHIM');
  const place = places.find((path) => existsSync(path));
  if (!place)
    throw new AgentError('E_NATIVE', 'x0shim.node is missing: build it with `make -C native`, or name it in X0_SHIM', {
      places,
    });
  try {
    loaded = createRequire(import.meta.url)(place) as Native;
  } catch (cause) {
    throw new AgentError('E_NATIVE', `x0shim.node cannot be loaded: ${(cause as Error).message}`, { place }, { cause });
  }
  return loaded;
}

/** The path of the undo helper. Throws E_NATIVE. */
export function undoHelperPath(): string {
  const places = candidates('x0undo', 'X0_UNDO');
  const place = places.find((path) => existsSync(path));
  if (!place)
    throw new AgentError('E_NATIVE', 'x0undo is missing: build it with `make -C native`, or name it in X0_UNDO', {
      places,
    });
  return place;
}
