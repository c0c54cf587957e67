/**
 * The raw side of the hard interfaces: our own frames (alarms, echoes) in and out, OGMs out, and this router's own OGMs
 * as the kernel sends them.
 *
 * A tap on what leaves an interface makes the kernel clone every frame that leaves it, so it sits where no user's frame
 * passes: under BATMAN_IV on the primary interface, which carries every own OGM (and is best one that nothing else
 * uses). BATMAN_V sends no OGM where nobody listens, so there the tap sits on the hard interfaces.
 */
import type { IfIndex } from '../core/ids.ts';
import type { RoutingAlgorithm } from '../core/kernel.ts';
import type { Log } from '../core/log.ts';
import { ETH_P_BATMAN } from '../heal/ogm.ts';
import { ETH_P_X0 } from '../heal/wire.ts';
import {
  type BpfInstruction,
  ETH_P_ALL,
  type Native,
  type NativeError,
  type NativePacket,
  PACKET_OUTGOING,
} from './native.ts';

export interface Air {
  send(frames: readonly { readonly interface: IfIndex; readonly frame: Uint8Array }[]): void;
  /** Taps sit exactly on these interfaces from now on. */
  tap(interfaces: readonly IfIndex[], algorithm: RoutingAlgorithm): void;
  close(): void;
}

export interface AirOptions {
  readonly native: Native;
  readonly log: Log;
  onFrame(interfaceIndex: IfIndex, frame: Buffer): void;
  onOwnOgm(frame: Buffer): void;
}

/** Classic BPF (linux/filter.h): outgoing frames that begin with an OGM of this type, and nothing else. */
function ownOgms(type: number): BpfInstruction[] {
  const LDB = 0x30; // BPF_LD | BPF_B | BPF_ABS
  const LDH = 0x28; // BPF_LD | BPF_H | BPF_ABS
  const JEQ = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
  const RET = 0x06; // BPF_RET | BPF_K
  const PKTTYPE = 0xfffff000 + 4; // SKF_AD_OFF + SKF_AD_PKTTYPE
  return [
    [LDB, 0, 0, PKTTYPE],
    [JEQ, 0, 5, PACKET_OUTGOING],
    [LDH, 0, 0, 12],
    [JEQ, 0, 3, ETH_P_BATMAN],
    [LDB, 0, 0, 14],
    [JEQ, 0, 1, type],
    [RET, 0, 0, 0xffff],
    [RET, 0, 0, 0],
  ];
}

export function openAir(options: AirOptions): Air {
  const { native, log } = options;
  const frames: NativePacket = native.openPacket({
    ethertype: ETH_P_X0,
    onFrame: (frame, index, packetType) => {
      if (packetType !== PACKET_OUTGOING) options.onFrame(index, frame);
    },
    // An interface went down: rtnetlink tells, and better.
    onError: () => {},
  });
  const taps = new Map<IfIndex, { socket: NativePacket; algorithm: RoutingAlgorithm }>();

  return {
    send(list) {
      for (const { index, code } of frames.sendMany(list.map(({ frame, interface: to }) => [frame, to] as const))) {
        log.debug('a frame did not leave', { interface: list[index]?.interface, errno: code });
      }
    },
    tap(interfaces, algorithm) {
      for (const [index, { socket, algorithm: of }] of taps) {
        if (interfaces.includes(index) && of === algorithm) continue;
        socket.close();
        taps.delete(index);
      }
      for (const index of interfaces) {
        if (taps.has(index)) continue;
        try {
          const socket = native.openPacket({
            ethertype: ETH_P_ALL,
            ifindex: index,
            filter: ownOgms(algorithm === 'BATMAN_V' ? 0x04 : 0x00),
            onFrame: (frame) => options.onOwnOgm(frame),
            onError: () => {},
          });
          taps.set(index, { socket, algorithm });
        } catch (thrown) {
          // It vanished between the table and us; the next table tells what is there.
          log.debug('no tap', { interface: index, errno: (thrown as NativeError).code });
        }
      }
    },
    close() {
      frames.close();
      for (const { socket } of taps.values()) socket.close();
      taps.clear();
    },
  };
}
