/**
 * Reaches other routers at layer 2, by batman-adv's own means: echoes as frames of its ICMP, which every router's kernel
 * answers, over the next hop that its tables name; and its throughput meter. For x0ctl: the agent has no part in it.
 */
import { AgentError, asAgentError } from '../core/errors.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { MeshInfo, OriginatorPath, ThroughputResult } from '../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import { COMPAT_VERSION, decodeEcho, type EchoAnswer, encodeEcho, PACKET_ICMP, TYPE_AT, UID_AT } from '../mesh/icmp.ts';
import { type BpfInstruction, type Native, type NativeError, type NativePacket, PACKET_HOST } from './native.ts';
import { type Batadv, openBatadv } from './netlink/batadv.ts';
import { openConnections } from './netlink/connection.ts';
import { dumpIpNeighbours, dumpLinks, type IpNeighbour } from './netlink/rtnetlink.ts';

const ETH_P_BATMAN = 0x4305;
/** Routes move; but not faster than this, and reading a large mesh's takes milliseconds. */
const FRESH: Nanos = 200 * MS;

export type Echoed =
  | { readonly kind: EchoAnswer['kind']; readonly answer: EchoAnswer; readonly rttNs: Nanos }
  | { readonly kind: 'silence' }
  /** Nothing was sent: the tables know no way. */
  | { readonly kind: 'no-way' };

export interface EchoOptions {
  readonly ttl: number;
  readonly record: boolean;
  readonly timeoutNs: Nanos;
}

export interface Reach {
  /** With its primary interface: who we are. */
  readonly mesh: MeshInfo & { readonly primary: NonNullable<MeshInfo['primary']> };
  readonly batadv: Batadv;
  originators(): Promise<readonly OriginatorPath[]>;
  ipNeighbours(): Promise<readonly IpNeighbour[]>;
  /** One echo and what came of it. Throws E_SOCKET, E_NETLINK. */
  echo(target: Mac, options: EchoOptions): Promise<Echoed>;
  /** Up to its end, or what the signal did to it. Throws E_NETLINK. */
  throughput(target: Mac, testNs: Nanos, signal: AbortSignal): Promise<ThroughputResult>;
  close(): void;
}

const LDB = 0x30; // BPF_LD | BPF_B | BPF_ABS
const JEQ = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RET = 0x06; // BPF_RET | BPF_K
const PKTTYPE = 0xfffff000 + 4; // SKF_AD_OFF + SKF_AD_PKTTYPE

/** Classic BPF (linux/filter.h): ICMP of batman-adv to this router with our mark. */
const answersTo = (uid: number): readonly BpfInstruction[] => [
  [LDB, 0, 0, PKTTYPE],
  [JEQ, 0, 7, PACKET_HOST],
  [LDB, 0, 0, TYPE_AT],
  [JEQ, 0, 5, PACKET_ICMP],
  [LDB, 0, 0, TYPE_AT + 1],
  [JEQ, 0, 3, COMPAT_VERSION],
  [LDB, 0, 0, UID_AT],
  [JEQ, 0, 1, uid],
  [RET, 0, 0, 0xffff],
  [RET, 0, 0, 0],
];

interface Waiting {
  readonly target: Mac;
  readonly sentAt: Nanos;
  done(echoed: Echoed): void;
}

/** Throws E_NO_BATADV, E_NOT_FOUND where there is no such mesh, E_FORBIDDEN without the rights, E_SOCKET, E_NETLINK. */
export async function openReach(native: Native, meshInterface: string): Promise<Reach> {
  const { route, generic } = openConnections(native);
  let socket: NativePacket | null = null;
  const close = () => {
    socket?.close();
    route.close();
    generic.close();
  };
  try {
    const batadv = await openBatadv(generic);
    const links = await dumpLinks(route);
    const link = links.find(({ name, kind }) => name === meshInterface && kind === 'batadv');
    const mesh = link && (await batadv.mesh(link.index));
    if (mesh === undefined)
      throw new AgentError('E_NOT_FOUND', `there is no mesh interface ${meshInterface}`, { interface: meshInterface });
    const { primary } = mesh;
    if (primary === undefined)
      throw new AgentError('E_NOT_FOUND', `${meshInterface} has no interface that is up, so no address in the mesh`);
    const macs = new Map(links.map(({ index, mac }) => [index, mac]));
    const uid = Math.floor(Math.random() * 256);
    const waiting = new Map<number, Waiting>();
    let seq = Math.floor(Math.random() * 0x8000);
    let known: { readonly at: Nanos; readonly paths: readonly OriginatorPath[] } | null = null;

    const paths = async (): Promise<readonly OriginatorPath[]> => {
      if (known === null || native.now() - known.at > FRESH) {
        const read = await batadv.originators(mesh.index);
        known = { at: native.now(), paths: read };
      }
      return known.paths;
    };
    // Before anything is sent, and without a wish for what is not ours. A failure here is the first word of a lack of rights.
    await paths();
    socket = native.openPacket({
      ethertype: ETH_P_BATMAN,
      filter: answersTo(uid),
      snap: 256,
      timestamps: true,
      onFrame: (frame, index, _type, at) => {
        const came = decodeEcho(frame);
        if (came === null || came.to !== primary.mac) return;
        // The end of the way is for us to enter.
        const end = came.recorded.length > 0 ? macs.get(index) : undefined;
        const answer = end === undefined ? came : { ...came, recorded: [...came.recorded, end] };
        const asked = waiting.get(answer.seq);
        // Whoever answers in another's name is not who was asked; on the way everybody may answer.
        if (asked === undefined || (answer.kind === 'reply' && answer.from !== asked.target)) return;
        asked.done({ kind: answer.kind, answer, rttNs: Math.max(0, at - asked.sentAt) });
      },
      onError: () => {},
    });
    const open = socket;

    const send = (frame: Uint8Array, index: IfIndex): void => {
      try {
        open.send(frame, index);
      } catch (thrown) {
        const { code } = thrown as NativeError;
        throw new AgentError('E_SOCKET', `an echo could not be sent: ${code}`, { errno: code }, { cause: thrown });
      }
    };

    return {
      mesh: { ...mesh, primary },
      batadv,
      originators: paths,
      ipNeighbours: () => dumpIpNeighbours(route),
      async echo(target, { ttl, record, timeoutNs }) {
        const way = (await paths()).find((path) => path.best && path.originator === target);
        const source = way && macs.get(way.interface);
        if (way === undefined || source === undefined) return { kind: 'no-way' };
        seq = (seq + 1) & 0xffff;
        const mine = seq;
        const frame = encodeEcho({
          source,
          nextHop: way.neighbour,
          self: primary.mac,
          target,
          uid,
          seq: mine,
          ttl,
          record,
        });
        const { promise, resolve } = Promise.withResolvers<Echoed>();
        const timer = setTimeout(() => resolve({ kind: 'silence' }), timeoutNs / MS);
        waiting.set(mine, { target, sentAt: native.now(), done: resolve });
        try {
          send(frame, way.interface);
          return await promise;
        } finally {
          clearTimeout(timer);
          waiting.delete(mine);
        }
      },
      throughput: (target, testNs, signal) => measure(batadv, mesh.index, target, testNs, signal),
      close,
    };
  } catch (thrown) {
    close();
    const error = asAgentError(thrown, 'E_SOCKET');
    const errno = error.detail.errno ?? (thrown as NativeError).code;
    if (errno !== 'EPERM' && errno !== 'EACCES') throw error;
    throw new AgentError('E_FORBIDDEN', 'this takes CAP_NET_ADMIN and CAP_NET_RAW; try as root', {}, { cause: thrown });
  }
}

/** Beyond the test itself: what the kernel takes to begin it, and to give up. */
const GRACE: Nanos = 15 * SECOND;

async function measure(
  batadv: Batadv,
  mesh: IfIndex,
  target: Mac,
  testNs: Nanos,
  signal: AbortSignal,
): Promise<ThroughputResult> {
  const { promise, resolve, reject } = Promise.withResolvers<ThroughputResult>();
  // Its end may be told before the answer that names it.
  const told: ThroughputResult[] = [];
  let cookie: number | null = null;
  const leave = batadv.subscribeThroughput((result) => {
    if (cookie === null) told.push(result);
    else if (result.cookie === cookie) resolve(result);
  });
  const cancel = () => void batadv.cancelThroughputTest(mesh, target).catch(reject);
  const timer = setTimeout(
    () => reject(new AgentError('E_NETLINK_LOST', 'the kernel did not tell of the end of the test')),
    (testNs + GRACE) / MS,
  );
  try {
    cookie = await batadv.startThroughputTest(mesh, target, Math.round(testNs / MS));
    const early = told.find((result) => result.cookie === cookie);
    if (early !== undefined) return early;
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel);
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
    leave();
  }
}
