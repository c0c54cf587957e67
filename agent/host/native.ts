/**
 * The native shim (native/*.c): netlink, packet and listening unix sockets on Node's loop, frames sent on time, BPF
 * objects, and the monotonic clock.
 */
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

export interface NativeTransmitter extends NativeSocket {
  /** Whether its thread has the real-time priority that was asked for (CAP_SYS_NICE). */
  readonly realtime: boolean;
  /**
   * One whole Ethernet frame, copied, to leave at `at` (CLOCK_MONOTONIC; at once where that is past), but not after
   * `latest`. Answers its ticket. Throws ENOBUFS where 64 frames wait, or have left and not been told of yet.
   */
  send(frame: Uint8Array, interfaceIndex: IfIndex, at: Nanos, latest?: Nanos): number;
  /** True where the frame had not left: nothing more is heard of it. */
  cancel(ticket: number): boolean;
}

export interface TransmitterOptions {
  /** 1 to 99 of SCHED_FIFO; 0 or absent: as the process. */
  readonly priority?: number;
  /**
   * A frame has left, at `at`: by the kernel's stamp in the driver, where `stamped`, else by the clock before the system
   * call. In the order in which they left.
   */
  onSent(ticket: number, at: Nanos, stamped: boolean): void;
  /** 'ETIME': it would have been later than `latest`. Else the kernel's word: 'ENETDOWN', 'ENXIO', 'ENOBUFS', ... */
  onFailed(ticket: number, at: Nanos, code: string): void;
}

/** linux/bpf.h */
export const BPF_PROG_TYPE_XDP = 6;

export interface BpfMap {
  readonly name: string;
  /** BPF_MAP_TYPE_* of linux/bpf.h. */
  readonly type: number;
  /** Bytes; both 0 for a ring buffer. A map with a value for each CPU reads and writes them all, each rounded up to 8. */
  readonly keySize: number;
  readonly valueSize: number;
  /** For a ring buffer its size in bytes. */
  readonly maxEntries: number;
}

export interface BpfProgram {
  readonly name: string;
  readonly section: string;
  /** BPF_PROG_TYPE_* of linux/bpf.h. */
  readonly type: number;
  /** The object's own: the value to write into a map of programs for tail calls, never to close. */
  readonly fd: number;
}

export interface NativeRing extends NativeSocket {
  /** Hands what is there now to onRecords before it returns: for who cannot wait for the loop. */
  read(): void;
}

/**
 * A loaded object. Stays until close(), which takes its maps and programs out of the kernel unless an attached program
 * or an open ring still needs them. It does not keep the process alive. An unknown map or program throws ENOENT.
 */
export interface NativeBpf extends NativeSocket {
  readonly maps: readonly BpfMap[];
  readonly programs: readonly BpfProgram[];
  /** Keys and values of all entries, packed, in no order. A map in use may change meanwhile: entries may be missed. */
  read(map: string): readonly [keys: Buffer, values: Buffer];
  /** Writes packed keys and as many values. Throws E2BIG where the map is full; those before stay written. */
  update(map: string, keys: Uint8Array, values: Uint8Array): void;
  /** Takes out what is there of these keys; answers how many that were. */
  remove(map: string, keys: Uint8Array): number;
  /** Every record of a ring buffer, in order, many at a time: the buffers are the callee's. One reader a ring. */
  openRing(map: string, options: { onRecords(records: Buffer[]): void }): NativeRing;
  /** In one mode only: see attachXdp() of this file. */
  attachXdp(program: string, interfaceIndex: IfIndex, generic: boolean): NativeSocket;
  /** Runs a program `repeat` times on a frame of 14 bytes or more, which goes nowhere; the maps are the real ones. */
  testRun(program: string, frame: Uint8Array, repeat: number): readonly [answer: number, nsARound: number];
}

/** What openBpf throws beside TypeErrors. `code` is 'EUNKNOWN' and `errno` 4000 or more where libbpf itself refuses. */
export interface BpfError extends NativeError {
  /** What libbpf said, with the verifier's log: its last mebibyte. */
  readonly log: string;
}

export interface ListenOptions {
  readonly path: string;
  /** Of the path; 0o660 if absent. */
  readonly mode?: number;
  /** Hand over a pidfd of each caller. */
  readonly pidfds?: boolean;
  /** Get it by its number only, as kernels before 6.5 have to; for tests. */
  readonly byNumber?: boolean;
  /**
   * The descriptors are the callee's: wrap `fd` with new net.Socket({ fd }). The ids are the kernel's word (SO_PEERCRED).
   * `pidfd`: -1 where the caller's process has ended, -2 where there is none to be had: not asked for, a caller of another
   * PID namespace before Linux 6.5, or a kernel before 5.3.
   */
  onConnection(fd: number, pid: number, uid: number, gid: number, pidfd: number): void;
  onError(code: string): void;
}

export interface Native {
  openNetlink(options: NetlinkOptions): NativeNetlink;
  openPacket(options: PacketOptions): NativePacket;
  /** Takes a stale path over; throws EADDRINUSE where somebody listens. close() removes the path. */
  listenUnix(options: ListenOptions): NativeSocket;
  /** The uid that listens there, by the kernel's word. Throws ECONNREFUSED where nobody does, EAGAIN where none is let in. */
  unixOwner(path: string): number;
  /** Whether the process of a pidfd has not ended. */
  lives(pidfd: number): boolean;
  openTransmitter(options: TransmitterOptions): NativeTransmitter;
  /**
   * Loads an object file into the kernel. Throws a BpfError, or ENOSYS with the words of bpfObstacle(). The bytes have to
   * be known to be good (their SHA-256): libbpf trusts them, and of objects with one byte damaged, some crash it.
   */
  openBpf(image: Uint8Array): NativeBpf;
  /** The kernel counts what every BPF program costs, until close(). Throws EPERM without CAP_SYS_ADMIN, or as openBpf. */
  bpfStatistics(): NativeSocket;
  /** Why openBpf cannot work here (no libbpf when built, or none to load), a sentence; null where it can. */
  bpfObstacle(): string | null;
  /** CLOCK_MONOTONIC. */
  now(): Nanos;
}

export interface AttachedXdp {
  /** Native: in the driver. Generic: in the network stack, slower and after the frame has been copied. */
  readonly mode: 'native' | 'generic';
  /** Detaches. The end of the process does so too, and the end of the interface makes it harmless. */
  close(): void;
}

/** Errors that another mode would meet as well. */
const ANY_MODE = new Set(['EBUSY', 'EEXIST', 'EPERM', 'ENODEV', 'ENOENT', 'ENOMEM', 'EMFILE', 'ENFILE', 'EBADF']);

/**
 * Attaches an XDP program to an interface, in native mode where the driver can. Never replaces another program: throws
 * EBUSY, or EEXIST where that one is in the other mode. Else ENODEV, EPERM, ENOENT (no such program).
 */
export function attachXdp(object: NativeBpf, program: string, interfaceIndex: IfIndex): AttachedXdp {
  try {
    const link = object.attachXdp(program, interfaceIndex, false);
    return { mode: 'native', close: () => link.close() };
  } catch (error) {
    if (error instanceof TypeError || ANY_MODE.has((error as NativeError).code)) throw error;
  }
  const link = object.attachXdp(program, interfaceIndex, true);
  return { mode: 'generic', close: () => link.close() };
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

/**
 * The shim; without it what only tells the time, which is Node's own CLOCK_MONOTONIC, and throws `missing` for all else:
 * the agent starts all the same, and says what it has lost.
 */
export function nativeOrNone(): { readonly native: Native; readonly missing: AgentError | null } {
  try {
    return { native: native(), missing: null };
  } catch (thrown) {
    const missing = thrown as AgentError;
    const refuse = (): never => {
      throw missing;
    };
    const none: Native = {
      openNetlink: refuse,
      openPacket: refuse,
      listenUnix: refuse,
      unixOwner: refuse,
      lives: () => false,
      openTransmitter: refuse,
      openBpf: refuse,
      bpfStatistics: refuse,
      bpfObstacle: () => missing.message,
      now: () => Number(process.hrtime.bigint()),
    };
    return { native: none, missing };
  }
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
