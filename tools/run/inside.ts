/**
 * Runs inside the lab's kernel for `make run`: the mesh, the traffic, the faults, the agents. Says what happens as JSON
 * lines on stdout (`Event` of story.ts) and takes single words on stdin: cut, mend, kill, revive, agents.
 *
 * There is one CPU in here and the faults are measured in milliseconds: nothing is started or asked in the moments
 * after one. What the agents decide is read from their log, which costs nothing; the exact instants come from their
 * journals afterwards.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { client } from '../../agent/ctl/client.ts';
import type { Of } from '../../agent/report/shape.ts';
import type * as shapes from '../../agent/report/shapes.ts';
import { CHORDED_RING, type Hop, Mesh, type MeshLink, monotonicNs, nsOf, run, type Struck } from '../lab/mesh.ts';
import { outage } from '../lab/outage.ts';
import { type Agent, Probe, settle, startAgent, stopAgents } from '../lab/scenario.ts';
import { type Event, type FaultKind, isWay, QUALITIES, type Quality } from './story.ts';

/** A ring of five and a chord: every link has another way round, and so has every router but the two ends. */
const SRC = 0;
const DST = 2;
const PACE_US = 2000;
/** How long frames are counted around a fault. */
const BURST_MS = 2000;
/** A machine that is busy with something else starts an agent in so many seconds, not in one; that is no failure. */
const PATIENCE_MS = 90_000;

const say = (event: Event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const cut = new Set<MeshLink>();
const dead = new Set<number>();
const agents = new Map<number, Agent>();
/** Links that carry, but that an agent keeps out of the mesh until they have proved themselves. */
const held = new Set<MeshLink>();
/** Until then (CLOCK_MONOTONIC, ns) nothing is started and nobody asked. */
let hushUntil = 0;
let framesQuiet = 0;
let faults = 0;
/** Losses of the last reports, to know when traffic flows steadily. */
let lastLossAt = 0;

const step = (text: string) => say({ type: 'step', text });
say({ type: 'step', text: 'Joining five routers with cables, each with its own batman-adv' });
const mesh = await Mesh.build(CHORDED_RING, {});
say({ type: 'mesh', routers: mesh.size, links: mesh.links.map(({ id, a, b }) => ({ id, a, b })), src: SRC, dst: DST });

const nameOf = ({ a, b }: MeshLink) => `r${a}-r${b}`;
const tellRouter = (n: number) => say({ type: 'router', router: n, alive: !dead.has(n), agent: agents.has(n) });
const tellLink = (link: MeshLink) => say({ type: 'link', id: link.id, cut: cut.has(link) });

async function look(): Promise<Hop[] | undefined> {
  const hops = await mesh.route(SRC, DST).catch(() => undefined);
  say({ type: 'path', routers: hops ? [SRC, ...hops.map(({ to }) => to)] : [] });
  return hops;
}

/** Whether there would be a way without these. */
function wayWithout(without: { link?: MeshLink; router?: number }): boolean {
  const usable = mesh.links.filter(
    (l) =>
      l !== without.link && !cut.has(l) && !held.has(l) && ![l.a, l.b].some((n) => n === without.router || dead.has(n)),
  );
  return isWay(usable, SRC, DST);
}

const LINE =
  /^(?:info|warning|error): (\S+) ?(.*?): (\S+)(?: ([a-z-]+))?(?:: (.*?))? fault="([^"]+)" after_ms=([\d.]+)/;

/** A decision in an agent's log: "info: link-down to1: done kick: sent 8 fault="e3-f17" after_ms=0.4". */
function heard(router: number, line: string): void {
  const match = LINE.exec(line);
  if (!match) return;
  const [, cause, about, what, action, result, fault, afterMs] = match;
  say({
    type: 'decision',
    router,
    cause: cause!,
    about: about!,
    step: what!,
    action: action ?? 'none',
    result: result ?? null,
    fault: fault!,
    afterMs: Number(afterMs),
    heardAt: monotonicNs(),
  });
}

async function startAgentOf(router: number): Promise<void> {
  // The journal is written each second instead of each minute: it is read here after every fault.
  const agent = await startAgent(router, {
    config: { state: { write_interval: 1 } },
    onLine: heard,
    readyMs: PATIENCE_MS,
  });
  agents.set(router, agent);
  void agent.exited.then((code) => {
    if (agents.get(router) !== agent) return;
    agents.delete(router);
    tellRouter(router);
    say({ type: 'note', text: `the agent of r${router} ended by itself (${code})` });
  });
  tellRouter(router);
}

async function startAll(): Promise<void> {
  for (let n = 0; n < mesh.size; n++) if (!dead.has(n) && !agents.has(n)) await startAgentOf(n);
}

async function stopAll(): Promise<void> {
  const running = [...agents.values()];
  agents.clear();
  held.clear();
  await stopAgents(running);
  for (let n = 0; n < mesh.size; n++) tellRouter(n);
  say({ type: 'quality', links: {}, held: [] });
}

/** What each agent says of its links, and which are out of the mesh. A link is as good as its worse end. */
async function askQuality(): Promise<void> {
  const worst = new Map<MeshLink, Quality>();
  const out = new Set<MeshLink>();
  for (const { router, socket } of [...agents.values()]) {
    while (monotonicNs() < hushUntil) await sleep(100);
    let links: Of<typeof shapes.links>['links'];
    let inMesh: Set<string>;
    try {
      links = ((await client(socket).get('/mesh/links')) as Of<typeof shapes.links>).links;
      // The kernel itself says what is under bat0.
      const text = await run('ip', ['-n', nsOf(router), '-o', 'link', 'show', 'master', 'bat0']);
      inMesh = new Set([...text.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => name!));
    } catch {
      continue;
    }
    for (const link of mesh.links) {
      const name = link.a === router ? link.ends[0] : link.b === router ? link.ends[1] : undefined;
      if (name === undefined || cut.has(link) || dead.has(link.a) || dead.has(link.b)) continue;
      if (!inMesh.has(name)) out.add(link);
      const quality = links.find((one) => one.interface === name)?.quality;
      if (!quality) continue;
      const rank = Math.max(QUALITIES.indexOf(quality), QUALITIES.indexOf(worst.get(link) ?? 'EXCELLENT'));
      worst.set(link, QUALITIES[rank]!);
    }
    await sleep(40);
  }
  held.clear();
  for (const link of out) held.add(link);
  const shown = [...worst].filter(([link]) => !held.has(link));
  say({
    type: 'quality',
    links: Object.fromEntries(shown.map(([{ id }, quality]) => [id, quality])),
    held: [...held].map(({ id }) => id),
  });
}

/**
 * The instants of the faults that the agents' journals know of since `since`, exact where a line of a log comes late.
 * An agent keeps its database to itself, so a copy is read; a journal that cannot be read leaves the log's instants.
 */
async function readJournals(since: number): Promise<void> {
  for (const [router, { socket }] of agents) {
    try {
      const { entries } = (await client(socket).get('/heal/log?limit=60')) as Of<typeof shapes.log>;
      const seen = new Set<string>();
      for (const { fault, faultAtNs } of entries) {
        if (faultAtNs < since || seen.has(fault)) continue;
        seen.add(fault);
        say({ type: 'journal', router, fault, at: faultAtNs });
      }
    } catch {
      // An agent that was killed with its router says nothing.
    }
  }
}

/** The OGM interval of 60 ms that `settle` takes would look like trouble to the agents: they hold still meanwhile. */
async function settleQuietly(): Promise<void> {
  const mode = async (name: string) => {
    for (const { socket } of agents.values()) await client(socket).post('/heal/mode', { mode: name });
  };
  await mode('off');
  await settle(mesh);
  await sleep(agents.size > 0 ? 2000 : 0);
  await mode('act');
}

const probe = { current: undefined as Probe | undefined };

async function traffic(): Promise<void> {
  probe.current = await Probe.start(SRC, DST, {
    paceUs: PACE_US,
    onReport: ({ t, sent, lost, delayUs, maxUs }) => {
      if (lost > 0) lastLossAt = t;
      say({ type: 'probe', at: t, sent, lost, delayUs, maxUs });
    },
  });
}

/** How many control frames a second the mesh sends of its own accord. */
async function countQuiet(ms: number): Promise<void> {
  const first = await mesh.airCount();
  await sleep(ms);
  const last = await mesh.airCount();
  framesQuiet = (last.control - first.control) / ((last.atNs - first.atNs) / 1e9);
}

/**
 * One fault on the way that traffic takes, watched for at least `watchMs` and until traffic has flowed for a second
 * (`limitMs` at most). Answers false when there was nothing that could be broken.
 */
async function strike(kind: FaultKind, told: boolean, watchMs: number, limitMs: number): Promise<boolean> {
  if (agents.size > 0) await askQuality();
  const hops = await look();
  if (!hops || hops.some(({ link }) => cut.has(link) || dead.has(link.a) || dead.has(link.b))) {
    say({ type: 'note', text: `There is no way from r${SRC} to r${DST} right now: press m, or wait.` });
    return false;
  }
  // The middle first: a break far from the sender is the harder case.
  const order = [...hops.keys()].sort((x, y) => Math.abs(x - hops.length / 2) - Math.abs(y - hops.length / 2));
  const link = order.map((i) => hops[i]!.link).find((l) => wayWithout({ link: l }));
  const router = order.map((i) => hops[i]!.to).find((n) => n !== DST && wayWithout({ router: n }));
  if (kind === 'cut' ? link === undefined : router === undefined) {
    const why =
      held.size > 0
        ? `${[...held].map(nameOf).join(', ')} failed twice, held for 30 s: wait a little.`
        : `Press ${dead.size > 0 ? 'r' : 'm'} first.`;
    say({ type: 'note', text: `No other way would be left. ${why}` });
    return false;
  }
  const idle = await mesh.airCount();
  // The counting has just held up the only CPU.
  await sleep(250);
  hushUntil = monotonicNs() + 600e6;
  let struck: Struck;
  if (kind === 'cut') {
    struck = await mesh.cut(link!);
    cut.add(link!);
  } else {
    struck = await mesh.killRouter(router!);
    dead.add(router!);
    const agent = agents.get(router!);
    agents.delete(router!);
    agent?.kill('SIGKILL');
  }
  const id = faults++;
  const what = kind === 'cut' ? `link ${nameOf(link!)} cut` : `router r${router} killed`;
  const before = [SRC, ...hops.map(({ to }) => to)];
  say({ type: 'fault', id, kind, what, at: struck.ns, agents: agents.size > 0, before, told });
  if (kind === 'cut') tellLink(link!);
  else tellRouter(router!);

  const since = () => (monotonicNs() - struck.ns) / 1e6;
  const measure = async (final: boolean, frames: number | null, after: readonly number[]) => {
    const untilNs = monotonicNs();
    if (final) await sleep(50);
    const cost = outage(await probe.current!.records(struck.ns - 1e9), struck.ns, { untilNs });
    const { outageMs, lost, recovered } = cost;
    say({ type: 'cost', id, final, outageMs, lost, recovered, frames, after });
  };
  await sleep(Math.max(0, 400 - since()));
  // Outside of the 300 ms that matter: where traffic goes now, and what it has cost so far.
  await look();
  await sleep(Math.max(0, 700 - since()));
  await measure(false, null, []);
  await sleep(Math.max(0, BURST_MS - since()));
  const burst = await mesh.airCount();
  const frames = burst.control - idle.control - framesQuiet * ((burst.atNs - idle.atNs) / 1e9);
  await look();
  await readJournals(struck.ns);
  let again = false;
  while (since() < watchMs || (monotonicNs() - lastLossAt < 1.2e9 && since() < limitMs)) {
    await sleep(100);
    if (again || monotonicNs() - lastLossAt < 0.4e9) continue;
    again = true;
    await measure(false, null, []);
    await look();
  }
  const now = await look();
  await measure(true, Math.max(0, Math.round(frames)), now ? [SRC, ...now.map(({ to }) => to)] : []);
  await readJournals(struck.ns);
  return true;
}

async function mendLinks(): Promise<number> {
  const links = [...cut];
  for (const link of links) {
    await mesh.mend(link);
    cut.delete(link);
    tellLink(link);
  }
  return links.length;
}

async function reviveRouters(): Promise<number> {
  const routers = [...dead];
  const wanted = agents.size > 0;
  for (const router of routers) {
    await mesh.reviveRouter(router);
    dead.delete(router);
    tellRouter(router);
    // A link that was cut stays so, whichever router comes back.
    for (const link of cut) await mesh.cut(link);
    if (wanted) await startAgentOf(router);
  }
  return routers.length;
}

async function twice(told: string): Promise<void> {
  step(`${told}: cutting a link in use`);
  await strike('cut', true, 3500, 14_000);
  step('Mending the link; the mesh settles, so that every fault finds it the same');
  await mendLinks();
  await settleQuietly();
  await look();
  step(`${told}: killing a router on the way`);
  await strike('kill', true, 3500, 14_000);
}

async function play(): Promise<void> {
  step('The routers find each other and settle (no agent anywhere yet)');
  await mesh.warm();
  for (let n = 0; n < mesh.size; n++) tellRouter(n);
  step(`Sending a packet every ${PACE_US / 1000} ms from r${SRC} to r${DST}`);
  await traffic();
  await look();
  await countQuiet(1500);
  await twice('Without the agent');
  step('Reviving the router; the mesh settles');
  await reviveRouters();
  await settle(mesh);
  await look();
  step('Starting the real agent in all five routers');
  await startAll();
  await askQuality();
  await countQuiet(1500);
  await twice('With the agent');
  step('Reviving the router; traffic has to go on');
  await reviveRouters();
  await sleep(2500);
  await look();
  await askQuality();
  say({ type: 'told' });
}

/** Commands wait for the story, and for each other: a fault is measured alone. */
const waiting: string[] = [];
let ready = false;

async function obey(command: string): Promise<void> {
  switch (command) {
    case 'cut':
      step('Cutting a link in use');
      await strike('cut', false, 2600, 9000);
      break;
    case 'kill':
      step('Killing a router on the way');
      await strike('kill', false, 2600, 9000);
      break;
    case 'mend':
    case 'revive': {
      const done = (command === 'mend' ? await mendLinks() : 0) + (await reviveRouters());
      say({ type: 'note', text: done === 0 ? 'Nothing is broken.' : 'Mended.' });
      break;
    }
    case 'agents':
      if (agents.size > 0) {
        step('Stopping the agents: the mesh goes on without them');
        await stopAll();
      } else {
        step('Starting the agents');
        await startAll();
      }
      break;
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  if (ready && waiting.length < 3) waiting.push(line);
});

await play();
ready = true;
let asked = 0;
for (;;) {
  const command = waiting.shift();
  if (command !== undefined) {
    say({ type: 'busy', command });
    await obey(command);
    say({ type: 'busy', command: null });
  } else if (monotonicNs() - asked > 3e9) {
    await look();
    if (agents.size > 0) await askQuality();
    asked = monotonicNs();
  }
  await sleep(50);
}
