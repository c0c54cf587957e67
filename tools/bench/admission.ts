/**
 * Bench `admission`: a mesh of 250 that was switched on, all joining by an invitation of their own through two stewards.
 * The membership machines are the agent's, and so is their cryptography; time, links and loss are the twin's. Everybody is
 * a router on a grid; a message takes its turn on each link of its way (6 Mbit/s, 2 ms a hop, one packet in twenty sent
 * twice after 20 ms). What a machine computed here counts ten times, as a router's CPU would take, one thing after the
 * other. A joiner is heard only by neighbours that are in: the mesh grows from its stewards outwards.
 *
 * `seconds`: until the last of `admitted` has its certificate; `p50_s` until half have.
 */

import { provider } from '../../agent/host/openssl.ts';
import { p256 } from '../../agent/host/p256.ts';
import type { Credential } from '../../agent/trust/certificate/credential.ts';
import { newSecrets } from '../../agent/trust/keys/router.ts';
import { standardSuite } from '../../agent/trust/keys/suite.ts';
import { makeBundle, makeOwner, makeSteward } from '../../agent/trust/ledger/owner.ts';
import { Membership } from '../../agent/trust/membership/membership.ts';
import { OWN, type TrustEffect, type TrustEvent } from '../../agent/trust/membership/words.ts';
import { Random } from '../../agent/twin/random.ts';
import { Scheduler } from '../../agent/twin/scheduler.ts';
import { type BenchResult, type Progress, percentile } from './stats.ts';

const ROUTERS = 250;
const WIDTH = 16;
const STEWARDS = [67, 187];
const SLOWER = 10;
const HOP_NS = 2e6;
const NS_A_BYTE = 8e9 / 6e6;
const PACKET = 1400;
const LOSS = 0.05;
const LOST_NS = 20e6;
const BEACON_NS = 500e6;
/** TLS and the hybrid proof, as the bench `handshake` has them, on a router. */
const HANDSHAKE_NS = 60e6;
const BEGIN = Date.UTC(2026, 0, 1);
const LONGEST_NS = 300e9;

interface Node {
  readonly index: number;
  readonly machine: Membership;
  readonly key: string;
  credential: Credential | null;
  readonly sessions: Set<number>;
  readonly waiting: (() => readonly TrustEffect[])[];
  admittedAt: number | null;
}

export async function run(progress: Progress): Promise<BenchResult> {
  const { primitives } = await provider();
  const tools = { suite: standardSuite(primitives), p256, random: primitives.random };
  const scheduler = new Scheduler();
  const random = new Random(1);
  const links = new Map<string, number>();
  const byKey = new Map<string, number>();
  let bytesSent = 0;

  const nodes: Node[] = Array.from({ length: ROUTERS }, (_, index) => {
    const machine = new Membership(tools, newSecrets(tools.suite), {
      lifeMs: 43_200_000,
      graceMs: 604_800_000,
      rotateNs: 21_600e9,
      isMixed: true,
      meshKey: '',
    });
    const { key } = machine.view(0);
    byKey.set(key, index);
    return { index, machine, key, credential: null, sessions: new Set(), waiting: [], admittedAt: null };
  });
  const neighbours = (at: number): number[] =>
    [at % WIDTH > 0 ? at - 1 : -1, at % WIDTH < WIDTH - 1 ? at + 1 : -1, at - WIDTH, at + WIDTH].filter(
      (other) => other >= 0 && other < ROUTERS,
    );
  /** Next hops of the shortest ways to each destination. */
  const ways = nodes.map(({ index }) => {
    const next = new Array<number>(ROUTERS).fill(-1);
    next[index] = index;
    const reached = [index];
    for (const at of reached)
      for (const other of neighbours(at)) {
        if (next[other] !== -1) continue;
        next[other] = at;
        reached.push(other);
      }
    return next;
  });

  /** Over every link of the way, each of which carries one packet at a time. */
  function carry(from: number, to: number, length: number, arrive: () => void): void {
    bytesSent += length;
    let at = scheduler.now;
    for (let hop = from; hop !== to; ) {
      const next = ways[to]![hop]!;
      const link = `${hop} ${next}`;
      let takes = length * NS_A_BYTE;
      for (let packet = 0; packet < length; packet += PACKET) if (random.unit() < LOSS) takes += LOST_NS;
      at = Math.max(at, links.get(link) ?? 0) + takes;
      links.set(link, at);
      at += HOP_NS;
      hop = next;
    }
    scheduler.at(at, arrive);
  }

  /** One router does one thing after the other, as slowly as routers do. */
  function compute(node: Node, work: () => readonly TrustEffect[]): void {
    node.waiting.push(work);
    if (node.waiting.length === 1) scheduler.at(scheduler.now, () => proceed(node));
  }

  function proceed(node: Node): void {
    const began = process.cpuUsage();
    const effects = node.waiting[0]!();
    const { user, system } = process.cpuUsage(began);
    scheduler.after((user + system) * 1e3 * SLOWER, () => {
      node.waiting.shift();
      carryOut(node, effects);
      if (node.waiting.length > 0) proceed(node);
    });
  }

  const tell = (node: Node, event: TrustEvent) => compute(node, () => node.machine.on(event, scheduler.now));

  function carryOut(node: Node, effects: readonly TrustEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'send') {
        const to = nodes[byKey.get(effect.key)!]!;
        carry(node.index, to.index, effect.bytes.length + 100, () =>
          tell(to, { type: 'message', key: node.key, bytes: effect.bytes }),
        );
      } else if (effect.type === 'join-send') {
        const { bytes } = effect;
        const isOwn = effect.conversation === OWN;
        const near = neighbours(node.index).filter((other) => nodes[other]!.credential !== null);
        const to = isOwn ? near[effect.attempt % near.length] : Number(effect.conversation);
        if (to === undefined) continue;
        carry(node.index, to, bytes.length + 100, () =>
          tell(nodes[to]!, { type: 'joining', conversation: isOwn ? String(node.index) : OWN, bytes }),
        );
      } else if (effect.type === 'credential' && effect.credential !== null) {
        const isFirst = node.credential === null;
        node.credential = effect.credential;
        if (isFirst) admitted(node);
      }
    }
  }

  function admitted(node: Node): void {
    node.admittedAt = scheduler.now;
    for (const other of neighbours(node.index))
      scheduler.after(BEACON_NS * random.unit(), () => {
        tell(nodes[other]!, { type: 'chance' });
      });
    // With its neighbours, and with both stewards over the mesh.
    for (const other of new Set([...neighbours(node.index), ...STEWARDS])) connect(node, nodes[other]!);
  }

  function connect(a: Node, b: Node): void {
    if (a === b || a.sessions.has(b.index) || a.credential === null || b.credential === null) return;
    a.sessions.add(b.index);
    b.sessions.add(a.index);
    // Both chains and both proofs cross the way.
    carry(a.index, b.index, 22_000, () =>
      carry(b.index, a.index, 22_000, () =>
        scheduler.after(HANDSHAKE_NS, () => {
          const ofA = b.machine.verify(a.credential!.chain, scheduler.now);
          const ofB = a.machine.verify(b.credential!.chain, scheduler.now);
          if (!ofA.ok || !ofB.ok) return;
          tell(a, { type: 'session-up', peer: ofB });
          tell(b, { type: 'session-up', peer: ofA });
        }),
      ),
    );
  }

  for (const node of nodes) carryOut(node, node.machine.on({ type: 'started', wallMs: BEGIN, kept: [] }, 0));
  const owner = makeOwner(tools, newSecrets(tools.suite), { trustDomain: 'x0tta6bl4.mesh', wallMs: BEGIN });
  const items = [
    makeBundle(owner, 1, [owner]),
    ...STEWARDS.map((at) => makeSteward(tools, owner, nodes[at]!.machine.candidate(), { wallMs: BEGIN })),
  ];
  for (const at of STEWARDS) carryOut(nodes[at]!, nodes[at]!.machine.install(items, 0));
  scheduler.run(2e9);
  const start = scheduler.now;
  const joiners = nodes.filter(({ index }) => !STEWARDS.includes(index));
  for (const [i, node] of joiners.entries()) {
    const { text, effects } = nodes[STEWARDS[i % 2]!]!.machine.invite('', 3_600_000, scheduler.now);
    carryOut(nodes[STEWARDS[i % 2]!]!, effects);
    scheduler.at(start + 1e9 * random.unit(), () => compute(node, () => node.machine.join(text, scheduler.now)));
  }
  const isIn = ({ admittedAt }: Node) => admittedAt !== null;
  let told = 0;
  for (let end = start; end < start + LONGEST_NS && !nodes.every(isIn); end += 250e6) {
    scheduler.run(end);
    for (const node of nodes)
      if (node.machine.deadline() <= scheduler.now && node.waiting.length === 0) tell(node, { type: 'tick' });
    const count = nodes.filter(isIn).length;
    if (count >= told + 50) {
      told = count;
      progress(`${count} of ${ROUTERS} are in after ${((scheduler.now - start) / 1e9).toFixed(1)} s`);
    }
  }
  const times = joiners.flatMap(({ admittedAt }) => (admittedAt === null ? [] : [(admittedAt - start) / 1e9]));
  const share = STEWARDS.map((at) => nodes[at]!.machine.members().filter(({ by }) => by === nodes[at]!.key).length);
  progress(`certificates made: ${share.join(' and ')}; ${(bytesSent / 1e6).toFixed(1)} MB sent`);
  return {
    figures: {
      admitted: nodes.filter(isIn).length,
      seconds: times.length < joiners.length ? null : Math.max(...times),
      p50_s: percentile(times, 50),
      kb_a_router: bytesSent / 1e3 / ROUTERS,
    },
    baseline: {},
    targets: [{ figure: 'admitted', atLeast: ROUTERS }],
  };
}
