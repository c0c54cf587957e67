/**
 * The raw side of the hard interfaces: our own frames (alarms, echoes) in and out, OGMs out, and this router's own OGMs
 * as the kernel sends them.
 *
 * A tap on what leaves an interface makes the kernel clone every frame that leaves it, so it sits where no user's frame
 * passes: on the primary interface, which carries every own OGM of BATMAN_IV, and is best one that nothing else uses.
 */
import type { IfIndex } from '../core/ids.ts';
import type { Log } from '../core/log.ts';
import type { Nanos } from '../core/time.ts';
import { ETH_P_BATMAN, IV_OGM } from '../heal/ogm.ts';
import { AIR_VERSION, ETH_P_X0, MAGIC, VERSION } from '../heal/wire.ts';
import type { Drops } from './drops.ts';
import {
  type BpfInstruction,
  ETH_P_ALL,
  type Native,
  type NativeError,
  type NativePacket,
  PACKET_OUTGOING,
} from './native.ts';

/** Frames handed to the shim in one call, which takes 4096 at most. */
const AT_ONCE = 1024;

interface Tapped {
  readonly index: IfIndex;
  readonly name: string;
}

export interface Air {
  send(frames: readonly { readonly interface: IfIndex; readonly frame: Uint8Array }[]): void;
  /** The tap sits on this interface from now on, null for nowhere. */
  tap(on: Tapped | null): void;
  close(): void;
}

export interface AirOptions {
  readonly native: Native;
  readonly log: Log;
  readonly drops: Drops;
  /** Frames come with the time of their receipt; without this `at` is 0, and a wake-up two clock readings cheaper. */
  readonly timestamps?: boolean;
  onFrame(interfaceIndex: IfIndex, frame: Buffer, at: Nanos): void;
  onOwnOgm(frame: Buffer): void;
}

const LDB = 0x30; // BPF_LD | BPF_B | BPF_ABS
const LDH = 0x28; // BPF_LD | BPF_H | BPF_ABS
const JEQ = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RET = 0x06; // BPF_RET | BPF_K
const PKTTYPE = 0xfffff000 + 4; // SKF_AD_OFF + SKF_AD_PKTTYPE

/** Classic BPF (linux/filter.h): outgoing frames that begin with an OGM, and nothing else. */
const OWN_OGMS: readonly BpfInstruction[] = [
  [LDB, 0, 0, PKTTYPE],
  [JEQ, 0, 5, PACKET_OUTGOING],
  [LDH, 0, 0, 12],
  [JEQ, 0, 3, ETH_P_BATMAN],
  [LDB, 0, 0, 14],
  [JEQ, 0, 1, IV_OGM],
  [RET, 0, 0, 0xffff],
  [RET, 0, 0, 0],
];

/** Incoming frames that begin as ours do: what is not so much as meant for us costs nothing but this. */
export const OUR_FRAMES: readonly BpfInstruction[] = [
  [LDB, 0, 0, PKTTYPE],
  [JEQ, 6, 0, PACKET_OUTGOING],
  [LDH, 0, 0, 14],
  [JEQ, 0, 4, MAGIC],
  [LDB, 0, 0, 16],
  [JEQ, 1, 0, VERSION],
  [JEQ, 0, 1, AIR_VERSION],
  [RET, 0, 0, 0xffff],
  [RET, 0, 0, 0],
];

export function openAir(options: AirOptions): Air {
  const { native, log, drops } = options;
  const alarms = { hears: 'alarms', interface: null } as const;
  const frames: NativePacket = drops.open(native, alarms, {
    ethertype: ETH_P_X0,
    filter: OUR_FRAMES,
    ...(options.timestamps && { timestamps: true }),
    onFrame: (frame, index, _type, at) => options.onFrame(index, frame, at),
    // An interface went down: rtnetlink tells, and better.
    onError: () => {},
  });
  let tapped: { readonly index: IfIndex; readonly socket: NativePacket } | null = null;

  return {
    send(list) {
      for (let at = 0; at < list.length; at += AT_ONCE) {
        const part = list.slice(at, at + AT_ONCE);
        for (const { index, code } of frames.sendMany(part.map(({ frame, interface: to }) => [frame, to] as const))) {
          log.debug('a frame did not leave', { interface: part[index]?.interface, errno: code });
        }
      }
    },
    tap(on) {
      if (tapped?.index === on?.index) return;
      if (tapped !== null) drops.close(tapped.socket);
      tapped = null;
      if (on === null) return;
      const { index, name } = on;
      try {
        const socket = drops.open(
          native,
          { hears: 'own-ogms', interface: name },
          {
            ethertype: ETH_P_ALL,
            ifindex: index,
            filter: OWN_OGMS,
            onFrame: (frame) => options.onOwnOgm(frame),
            onError: () => {},
          },
        );
        tapped = { index, socket };
      } catch (thrown) {
        // It vanished between the table and us; the next table tells what is there.
        log.debug('no tap', { interface: index, errno: (thrown as NativeError).code });
      }
    },
    close() {
      drops.close(frames);
      if (tapped !== null) drops.close(tapped.socket);
      tapped = null;
    },
  };
}
