/**
 * Stands in for batman-adv on a kernel without it, so that the real x0d runs there at native speed: a shim around the
 * native shim (named to x0d by X0_SHIM) under which a bridge passes for bat0 and the `batadv` family answers from a fixture.
 *
 * Everything else is the kernel's own: links, their events and changes, packet sockets, carriers. Each request of the
 * family still crosses into the kernel and back (as a look-up of the controller, with the same sequence number and flags),
 * so that system calls and wake-ups are as many as with batman-adv; only the rows are put in here.
 *
 * X0_STANDIN holds the Fixture as JSON. Bundled to one CommonJS file by rig.ts: the shim is loaded by require().
 */
import { createRequire } from 'node:module';
import type { Tables } from '../../agent/core/event.ts';
import { fromHex } from '../../agent/core/hex.ts';
import type { Native, NativeNetlink, NetlinkOptions } from '../../agent/host/native.ts';
import {
  flagAttribute,
  join,
  macAttribute,
  nest,
  stringAttribute,
  u8Attribute,
  u16Attribute,
  u32Attribute,
} from '../../agent/host/netlink/attributes.ts';
import { encodeGeneric, encodeGetFamily } from '../../agent/host/netlink/genetlink.ts';
import {
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  NLM_F_DUMP,
  NLM_F_MULTI,
  NLMSG_DONE,
  NLMSG_ERROR,
} from '../../agent/host/netlink/message.ts';
import { type Fixture, ownOgm, tablesOf } from './fixture.ts';

const CONTROLLER = 16;
const FAMILY = 29;
const GET_MESH = 1;
const GET_HARDIF = 5;
const GET_ORIGINATORS = 8;
const GET_NEIGHBORS = 9;

const real = createRequire(__filename)(process.env.X0_STANDIN_SHIM!) as Native;
const fixture = JSON.parse(process.env.X0_STANDIN!) as Fixture;

/** A port is lost as long as its carrier is: what batman-adv would have made of it a few OGMs later. */
let lost = 0;

/** Rows of one command as messages; the sequence number is put in when they are asked for. */
function rowsOf(command: number): Uint8Array[] {
  const tables: Tables = tablesOf(fixture, lost);
  const mesh = tables.mesh!;
  const say = (...attributes: Uint8Array[]) => encodeGeneric(FAMILY, command, 1, ...attributes);
  switch (command) {
    case GET_MESH:
      return [
        say(
          stringAttribute(1, mesh.version),
          stringAttribute(2, mesh.algorithm),
          u32Attribute(3, mesh.index),
          stringAttribute(4, mesh.name),
          macAttribute(5, mesh.mac),
          u32Attribute(6, mesh.primary!.index),
          stringAttribute(7, mesh.primary!.name),
          macAttribute(8, mesh.primary!.mac),
          ...[41, 42, 45, 46, 47, 48, 51, 53, 55].map((type) =>
            u8Attribute(type, type === 53 ? 30 : Number(type === 41)),
          ),
          ...[43, 44, 49, 50, 52, 57, 60].map((type) =>
            u32Attribute(type, type === 57 ? mesh.settings.origInterval : 0),
          ),
        ),
      ];
    case GET_HARDIF:
      return tables.hardInterfaces.map((row) =>
        say(
          u32Attribute(3, mesh.index),
          u32Attribute(6, row.index),
          stringAttribute(7, row.name),
          macAttribute(8, row.mac),
          flagAttribute(15),
          u8Attribute(53, 0),
        ),
      );
    case GET_ORIGINATORS:
      return tables.originators.map((row) =>
        say(
          macAttribute(9, row.originator),
          macAttribute(24, row.neighbour),
          stringAttribute(7, row.interfaceName),
          u32Attribute(6, row.interface),
          u8Attribute(25, row.tq!),
          u32Attribute(23, row.lastSeenMs),
          ...(row.best ? [flagAttribute(22)] : []),
        ),
      );
    case GET_NEIGHBORS:
      return tables.neighbours.map((row) =>
        say(
          macAttribute(24, row.neighbour),
          stringAttribute(7, row.interfaceName),
          u32Attribute(6, row.interface),
          u32Attribute(23, row.lastSeenMs),
        ),
      );
    default:
      return [];
  }
}

function family(): Uint8Array {
  const group = (name: string, id: number) => nest(id, stringAttribute(1, name), u32Attribute(2, id));
  const groups = nest(7, group('config', 1), group('tpmeter', 2));
  return encodeGeneric(
    CONTROLLER,
    1,
    2,
    u16Attribute(1, FAMILY),
    stringAttribute(2, 'batadv'),
    u32Attribute(3, 1),
    groups,
  );
}

/** Encoded once for each command and state of the ports: the measured process must not pay for its own stage. */
const encoded = new Map<string, Buffer>();

function answerTo(command: number, sequence: number): Buffer {
  const key = `${command} ${lost}`;
  let bytes = encoded.get(key);
  if (bytes === undefined) {
    bytes = Buffer.from(join(command < 0 ? [family()] : rowsOf(command)));
    encoded.set(key, bytes);
  }
  const copy = Buffer.from(bytes);
  for (let at = 0; at < copy.length; at += (copy.readUInt32LE(at) + 3) & ~3) {
    copy.writeUInt16LE(command === GET_MESH || command < 0 ? 0 : NLM_F_MULTI, at + 6);
    copy.writeUInt32LE(sequence, at + 8);
  }
  return copy;
}

/** The generic netlink socket: rows of the fixture where the kernel's controller answered. */
function openGeneric(options: NetlinkOptions): NativeNetlink {
  const asked = new Map<number, number>();
  const socket = real.openNetlink({
    ...options,
    onMessages(datagram) {
      let at = 0;
      while (at < datagram.length) {
        const type = datagram.readUInt16LE(at + 4);
        const sequence = datagram.readUInt32LE(at + 8);
        const command = asked.get(sequence);
        if (command === undefined) return options.onMessages(datagram);
        if (type === NLMSG_DONE || type === NLMSG_ERROR) {
          asked.delete(sequence);
          return options.onMessages(datagram.subarray(at));
        }
        if (at === 0 && command !== 0) {
          asked.set(sequence, 0);
          const rows = answerTo(command, sequence);
          if (rows.length > 0) options.onMessages(rows);
        }
        at += (datagram.readUInt32LE(at) + 3) & ~3;
      }
    },
  });
  return {
    portId: socket.portId,
    send(message) {
      const view = new DataView(message.buffer, message.byteOffset, message.length);
      const [type, flags, sequence] = [view.getUint16(4, true), view.getUint16(6, true), view.getUint32(8, true)];
      const dump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
      asked.set(sequence, type === CONTROLLER ? -1 : message[16]!);
      const stage = encodeGetFamily('nlctrl');
      const as = new DataView(stage.buffer);
      as.setUint16(6, flags, true);
      as.setUint32(8, sequence, true);
      // A dump takes no name.
      if (dump) as.setUint32(0, 20, true);
      socket.send(dump ? stage.subarray(0, 20) : stage);
    },
    addMembership: () => {},
    dropMembership: () => {},
    close: () => socket.close(),
    ref: () => socket.ref(),
    unref: () => socket.unref(),
  };
}

/** The rtnetlink socket: the bridge's kind reads `batadv` (as long a word), and a port without carrier counts as lost. */
function openRoute(options: NetlinkOptions): NativeNetlink {
  const ports = new Set(fixture.ports.map(({ index }) => index));
  return real.openNetlink({
    ...options,
    onMessages(datagram) {
      for (let at = datagram.indexOf('bridge\0'); at >= 0; at = datagram.indexOf('bridge\0', at))
        datagram.write('batadv', at);
      if (datagram.readUInt16LE(4) === 16 && datagram[16] === 0 && ports.has(datagram.readInt32LE(20))) {
        const carrier = (datagram.readUInt32LE(24) & 0x10000) !== 0;
        const index = datagram.readInt32LE(20);
        if (!carrier) lost = index;
        else if (lost === index) lost = 0;
      }
      options.onMessages(datagram);
    },
  });
}

export const openNetlink: Native['openNetlink'] = (options) => {
  if (options.protocol === NETLINK_GENERIC) return openGeneric(options);
  return options.protocol === NETLINK_ROUTE ? openRoute(options) : real.openNetlink(options);
};
export const openPacket: Native['openPacket'] = (options) => real.openPacket(options);
export const openTransmitter: Native['openTransmitter'] = (options) => real.openTransmitter(options);
export const listenUnix: Native['listenUnix'] = (options) => real.listenUnix(options);
export const lives: Native['lives'] = (pidfd) => real.lives(pidfd);
export const now: Native['now'] = () => real.now();
export const openBpf: Native['openBpf'] = (image) => real.openBpf(image);
export const bpfObstacle: Native['bpfObstacle'] = () => real.bpfObstacle();

// batman-adv sends an OGM of ours each interval, past the agent's tap on the primary interface.
const air = real.openPacket({ ethertype: 0x88b6, onFrame: () => {}, onError: () => {} });
air.unref();
let sequence = 1000;
setInterval(() => {
  sequence += 1;
  try {
    air.send(fromHex(ownOgm(fixture.primary.mac, sequence)), fixture.primary.index);
  } catch {
    // The primary is not there yet, or no more.
  }
}, 1000).unref();
