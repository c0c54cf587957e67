/**
 * Each fault of the catalogue, made on the real kernel, with agents on every router, and the same without any: the right
 * class in the journal with its evidence, the repair, the user's packets flowing again, and a minute later nothing
 * drifted and no glitch. Times are the benches' affair; here a repair has a generous limit that stock cannot keep.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isLost } from '../../agent/twin/outage.ts';
import { type Hop, Mesh, macOf, monotonicNs, type Pair } from '../../tools/lab/mesh.ts';
import { outage, type ProbeRecord } from '../../tools/lab/outage.ts';
import {
  type Fault,
  type FaultKind,
  Probe,
  settle,
  startAgent,
  startAgents,
  strike,
} from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, sameAs, say, skip, snapshots, Watched } from './suite.ts';

export const name = 'faults';
export const first = true;

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'ring' }, { name: 'grid' }]);

/** Stock needs four to five seconds, or a person. A laden machine makes an agent ten times slower, not a hundred. */
const LIMIT_MS = 2500;
/** What may be lost in all when a fault is mended. Later than the limit after a fault no run may be lost at all. */
const GLITCH_MS = 500;
/** A machine that stands still for so long proves nothing about time. */
const STILL_MS = 200;
const PULSE_MS = 20;
/** How long the probe runs on after a fault: late glitches would show in it. */
const WATCH_MS = 60_000;

/** Settings that are not the kernel's defaults, so that a repair which forgets them shows. */
const OPTIONS = { origIntervalMs: 1000, hopPenalty: 23, settings: { gw_mode: 'client', multicast_forceflood: '1' } };

interface Case {
  readonly kind: FaultKind;
  readonly pair: Pair;
  /** After so long the fault is mended (a person plugs the cable in again), where that is not the agent's to do. */
  readonly mendAfterMs?: number;
}

interface Seen {
  readonly hop: Hop;
  readonly hops: readonly Hop[];
  readonly fault: Fault;
  /** The newest journal entry of each router before the fault. */
  readonly marks: readonly number[];
}

/** When this process got no CPU, and for how long: the agents are processes like it. */
class Pulse {
  readonly #beats: number[] = [];
  readonly #timer = setInterval(() => this.#beats.push(monotonicNs()), PULSE_MS);

  /** The longest time without it in which one of these was sent, or in the second before, in milliseconds. */
  longestGap(sentNs: readonly number[]): number {
    const gaps = this.#beats.slice(1).map((to, i) => ({ from: this.#beats[i]!, to }));
    const telling = gaps.filter(({ from, to }) => sentNs.some((at) => at > from && at < to + 1e9));
    return Math.max(0, ...telling.map(({ from, to }) => (to - from) / 1e6 - PULSE_MS));
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

interface Span {
  readonly records: readonly ProbeRecord[];
  readonly pulse: Pulse;
  readonly sinceNs: number;
  readonly untilNs: number;
}

/** A check of times: what fails on a machine that kept the probe from sending, or processes from running, is skipped, and told. */
async function timed(what: string, { records, pulse, sinceNs, untilNs }: Span, work: () => string): Promise<boolean> {
  try {
    work();
  } catch (thrown) {
    const span = records.filter(({ sent }) => sent >= sinceNs && sent < untilNs);
    const unsent = Math.max(0, ...span.slice(1).map(({ sent }, i) => (sent - span[i]!.sent) / 1e6));
    const lost = span.filter((record) => isLost(record)).map(({ sent }) => sent);
    const still = Math.max(unsent, pulse.longestGap(lost));
    if (still >= STILL_MS) {
      skip(what, `the machine stood still for ${still.toFixed(0)} ms: ${(thrown as Error).message}`);
      return true;
    }
  }
  return check(what, work);
}

class Story {
  readonly mesh: Mesh;
  watched: Watched[] = [];

  constructor(mesh: Mesh) {
    this.mesh = mesh;
  }

  /** One fault on the way from src to dst: probe, strike, `look` while it lasts, mend, watch on, compare. */
  async one(title: string, { kind, pair, mendAfterMs }: Case, look: (seen: Seen) => Promise<void>): Promise<void> {
    const { mesh, watched } = this;
    say(`${title}: begins`);
    const [src, dst] = pair;
    // What an agent that has just begun borrows would be taken for what was there before.
    await this.#idle();
    const before = await snapshots(mesh);
    const marks = await Promise.all(watched.map((one) => one.newest()));
    const probe = await Probe.start(src, dst);
    const pulse = new Pulse();
    await sleep(1000);
    const hops = await mesh.route(src, dst);
    if (hops === undefined) throw new Error(`no route from r${src} to r${dst}`);
    const fault = await strike(mesh, kind, hops, 0);
    const at = fault.struck.ns;
    await look({ hop: hops[0]!, hops, fault, marks });
    let mendedNs = Number.POSITIVE_INFINITY;
    if (mendAfterMs !== undefined) {
      await sleep(Math.max(0, mendAfterMs - (monotonicNs() - at) / 1e6));
      mendedNs = monotonicNs();
      if (kind === 'delete-interface') {
        // As hardware comes back: up, out of bat0. The rest is the agent's.
        const { from, link } = hops[0]!;
        await mesh.restoreInterface(from, link.a === from ? link.ends[0] : link.ends[1]);
      } else await fault.mend();
      await this.revived(kind, hops[0]!);
    }
    await sleep(Math.max(0, WATCH_MS - (monotonicNs() - at) / 1e6));
    pulse.stop();
    const endNs = monotonicNs() - 1e8;
    const records = await probe.records(at - 1e9);
    await probe.stop();
    const until = Math.min(mendedNs, endNs);
    const limit = at + LIMIT_MS * 1e6;
    const flows = await timed(
      `${title}: packets flow again within ${LIMIT_MS} ms, and go on flowing`,
      { records, pulse, sinceNs: at, untilNs: until },
      () => {
        const cost = outage(records, at, { untilNs: Math.min(until, limit) });
        const from = Math.min(until - 1e9, limit);
        const later = outage(records, from, { untilNs: until });
        const when =
          later.runs > 0 ? `, up to ${((from - at) / 1e6 + later.outageMs).toFixed(0)} ms after the fault` : '';
        const figures = `${cost.outageMs.toFixed(0)} ms, ${cost.lost} packets lost in ${cost.runs} runs, ${later.lost} later${when}`;
        if (!cost.recovered || !later.recovered || later.runs > 0) throw new Error(figures);
        return figures;
      },
    );
    if (!flows) await this.decisions(at, marks);
    if (mendAfterMs !== undefined)
      await timed(
        `${title}: no glitch when it is whole again, a minute long`,
        { records, pulse, sinceNs: mendedNs, untilNs: endNs },
        () => {
          const late = outage(records, mendedNs, { untilNs: endNs });
          const figures = `${late.outageMs.toFixed(0)} ms after the mending, ${late.lost} packets lost in ${late.runs} runs`;
          if (late.lostMs > GLITCH_MS || !late.recovered) throw new Error(figures);
          return figures;
        },
      );
    await check(`${title}: nothing has drifted`, () => sameAs(before, mesh, 45_000));
    await check(`${title}: no repair is left over`, () => this.#idle());
    await eventually('the mesh is complete', 60_000, () => mesh.complete());
    await sleep(2000);
  }

  /** Waits until no router has anything in hand. */
  async #idle(): Promise<void> {
    let left = '';
    await eventually('no open fault, no repair, nothing armed', 75_000, async () => {
      left = (await Promise.all(this.watched.map(leftOver))).filter((one) => one !== '').join('; ');
      return left === '';
    }).catch((thrown: Error) => {
      throw new Error(`${thrown.message}: ${left}`);
    });
  }

  /** What everybody decided since a fault, for whoever looks into it. */
  async decisions(atNs: number, marks: readonly number[]): Promise<void> {
    for (const [router, one] of this.watched.entries())
      for (const entry of await one.journal(marks[router]).catch(() => [])) {
        const ms = (entry.faultAtNs - atNs) / 1e6 + entry.afterMs;
        const { class: kind, interface: end, step, action, result } = entry;
        say(
          `    r${router} ${ms.toFixed(0)} ms: ${kind} ${end ?? ''} ${step} ${action}${result === null ? '' : `: ${result}`}`,
        );
      }
  }

  /** A router that was dead has its agent again. */
  async revived(kind: FaultKind, { to }: Hop): Promise<void> {
    if (kind === 'kill-router') this.watched[to] = new Watched(await startAgent(to, AGENTS));
  }

  /** The journal says what happened, on what evidence. */
  async journal(
    title: string,
    router: number,
    wanted: { class: string; interface?: string },
    since: number,
    ms = 5000,
  ) {
    await check(`${title}: r${router} says ${wanted.class}, with evidence`, async () => {
      const watched = this.watched[router]!;
      const { fault } = await watched.entry({ ...wanted, step: 'planned' }, since, ms);
      const told = await watched.control.get<{ evidence: { source: string; what: string }[]; text: string }>(
        `/heal/explain/${fault}`,
      );
      if (told.evidence.length === 0 || told.text === '') throw new Error('no evidence, or no words');
      return told.evidence.map(({ source, what }) => `${source}: ${what}`).join('; ');
    });
  }

  async verified(title: string, router: number, wanted: { class: string; action?: string }, since: number, ms: number) {
    await check(`${title}: r${router} has verified its repair`, async () => {
      const done = await this.watched[router]!.entry({ ...wanted, step: 'verified' }, since, ms);
      return `${done.action} after ${done.afterMs.toFixed(0)} ms: ${done.result}`;
    });
  }
}

const AGENTS = { config: { heal: { dead_after: 20 } } };
const endOf = ({ link, from }: Hop) => (link.a === from ? link.ends[0] : link.ends[1]);
const farEndOf = ({ link, from }: Hop) => (link.a === from ? link.ends[1] : link.ends[0]);
const isUnder = async (mesh: Mesh, router: number, end: string) =>
  (await snapshots(mesh))[router]!.interfaces[end]?.master === 'bat0';

/** What the same fault costs, and leaves behind, where no agent runs. */
async function stock(mesh: Mesh, kind: FaultKind, pair: Pair, stays: (hop: Hop) => Promise<string>): Promise<void> {
  await check(`without agents: ${kind}`, async () => {
    const probe = await Probe.start(...pair);
    await sleep(1000);
    const hops = (await mesh.route(...pair))!;
    const fault = await strike(mesh, kind, hops, 0);
    await sleep(8000);
    const cost = outage(await probe.records(fault.struck.ns - 1e9), fault.struck.ns);
    await probe.stop();
    const left = await stays(hops[0]!);
    await fault.mend();
    await settle(mesh);
    return `${cost.outageMs.toFixed(0)} ms${cost.recovered ? '' : ' and not back'}; ${left}`;
  });
}

async function ring(): Promise<void> {
  const mesh = await Mesh.build('ring4', OPTIONS);
  await mesh.warm();
  await stock(mesh, 'cut', [0, 2], async () => 'it repairs itself by time');
  await stock(mesh, 'take-from-bat0', [1, 3], async (hop) => {
    if (await isUnder(mesh, hop.from, endOf(hop))) throw new Error('something put it back, and no agent runs');
    return 'the interface stays out of bat0';
  });
  const story = new Story(mesh);
  story.watched = (await startAgents([0, 1, 2, 3], AGENTS)).map((agent) => new Watched(agent));
  await sleep(8000);

  await story.one('link down', { kind: 'cut', pair: [0, 2], mendAfterMs: 12_000 }, async ({ hop, marks }) => {
    for (const [router, end] of [
      [hop.from, endOf(hop)],
      [hop.to, farEndOf(hop)],
    ] as const) {
      await story.journal('link down', router, { class: 'link-down', interface: end }, marks[router]!);
      await story.verified('link down', router, { class: 'link-down' }, marks[router]!, 12_000);
    }
    const others = [0, 1, 2, 3].filter((n) => n !== hop.from && n !== hop.to);
    await check('link down: word of it has reached the others, outside bat0', async () => {
      for (const n of others) await story.watched[n]!.entry({ class: 'remote-alarm' }, marks[n]!, 3000);
    });
  });
  const fell = 'interface fell out of the mesh';
  await story.one(fell, { kind: 'take-from-bat0', pair: [1, 3] }, async ({ hop, marks }) => {
    await story.journal(fell, hop.from, { class: 'interface-fell-out', interface: endOf(hop) }, marks[hop.from]!);
    await story.verified(fell, hop.from, { class: 'interface-fell-out', action: 'reattach' }, marks[hop.from]!, 12_000);
    await check(`${fell}: it is under bat0 again`, () =>
      eventually('under bat0', 5000, () => isUnder(mesh, hop.from, endOf(hop))),
    );
  });
  const gone = 'interface vanished';
  await story.one(gone, { kind: 'delete-interface', pair: [2, 0], mendAfterMs: 12_000 }, async ({ hop, marks }) => {
    await story.journal(gone, hop.from, { class: 'interface-vanished', interface: endOf(hop) }, marks[hop.from]!);
    await story.verified(gone, hop.from, { class: 'interface-vanished' }, marks[hop.from]!, 12_000);
    // The other end keeps its carrier, as with a radio that was pulled out: it has to be told.
    await check(`${gone}: the other end has word of it`, async () => {
      await story.watched[hop.to]!.entry({ class: 'remote-alarm', peer: macOf(hop.from, 0) }, marks[hop.to]!, 3000);
    });
  });
}

async function grid(): Promise<void> {
  const mesh = await Mesh.build('grid3x3', OPTIONS);
  await mesh.warm();
  await stock(mesh, 'delete-bat0', [0, 2], async ({ to }) => {
    if (await mesh.hasBat0(to)) throw new Error('something made bat0 anew, and no agent runs');
    return 'bat0 stays away';
  });
  const story = new Story(mesh);
  const all = Array.from({ length: mesh.size }, (_, n) => n);
  story.watched = (await startAgents(all, AGENTS)).map((agent) => new Watched(agent));
  await sleep(8000);

  const lost = 'bat0 vanished';
  await story.one(lost, { kind: 'delete-bat0', pair: [3, 5] }, async ({ hop, marks }) => {
    await story.journal(lost, hop.to, { class: 'mesh-vanished' }, marks[hop.to]!);
    await story.verified(lost, hop.to, { class: 'mesh-vanished', action: 'recreate-mesh' }, marks[hop.to]!, 30_000);
    await check(`${lost}: it is there again and everybody reaches it`, () =>
      eventually('reached', 40_000, async () => (await mesh.hasBat0(hop.to)) && mesh.reaches(hop.from, hop.to, 2000)),
    );
  });
  const dead = 'router dead';
  await story.one(dead, { kind: 'kill-router', pair: [8, 2], mendAfterMs: 40_000 }, async ({ hop, marks }) => {
    story.watched[hop.to]!.agent.kill('SIGKILL');
    await story.journal(dead, hop.from, { class: 'link-down', interface: endOf(hop) }, marks[hop.from]!);
    await check(`${dead}: the others say so after dead_after (20 s here)`, async () => {
      for (const n of all.filter((n) => n !== hop.to)) {
        const entry = await story.watched[n]!.entry(
          { class: 'router-dead', peer: macOf(hop.to, 0) },
          marks[n]!,
          30_000,
        );
        if (entry.action !== 'none') throw new Error(`r${n} wanted to ${entry.action}`);
      }
    });
  });
  await check('link down: in the grid too', async () => {
    await story.one('link down', { kind: 'cut', pair: [6, 2], mendAfterMs: 12_000 }, async ({ hop, marks }) => {
      await story.journal('link down', hop.from, { class: 'link-down', interface: endOf(hop) }, marks[hop.from]!);
      await story.journal('link down', hop.to, { class: 'link-down', interface: farEndOf(hop) }, marks[hop.to]!);
    });
  });
}

interface Healing {
  readonly faults: readonly {
    readonly class: string;
    readonly interface: string | null;
    readonly evidence?: unknown;
  }[];
  readonly repairs: readonly { readonly fault: string; readonly action: string; readonly state: string }[];
  readonly undoArmed: readonly string[];
}

/** What a router still has in hand. That this kernel is short of time is no repair, and told beside it. */
async function leftOver({ agent, control }: Watched): Promise<string> {
  const { faults, repairs, undoArmed } = (await control.get<{ heal: Healing }>('/mesh/status')).heal;
  for (const fault of faults.filter((one) => one.class === 'overload'))
    say(`    r${agent.router}: ${JSON.stringify(fault)}`);
  const open = faults.filter((fault) => fault.class !== 'overload').map((fault) => JSON.stringify(fault));
  const all = [...open, ...repairs.map((repair) => JSON.stringify(repair)), ...undoArmed];
  return all.length === 0 ? '' : `r${agent.router} has ${all.join(', ')}`;
}

await insideOf(import.meta.filename, { ring, grid });
