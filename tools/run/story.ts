/**
 * What `make run` tells: events from inside the lab's kernel become the state that picture.ts draws, the lines that a
 * log shows, and the report at the end. Pure.
 */

export const QUALITIES = ['EXCELLENT', 'GOOD', 'FAIR', 'POOR', 'BAD'] as const;
export type Quality = (typeof QUALITIES)[number];
export type FaultKind = 'cut' | 'kill';

/** Instants (`at`, `heardAt`) are CLOCK_MONOTONIC of the lab's kernel, in nanoseconds. */
export type Event =
  | { readonly type: 'step'; readonly text: string }
  | { readonly type: 'note'; readonly text: string }
  | {
      readonly type: 'mesh';
      readonly routers: number;
      readonly links: readonly { readonly id: number; readonly a: number; readonly b: number }[];
      readonly src: number;
      readonly dst: number;
    }
  | { readonly type: 'router'; readonly router: number; readonly alive: boolean; readonly agent: boolean }
  | { readonly type: 'link'; readonly id: number; readonly cut: boolean }
  | {
      readonly type: 'quality';
      /** By the link's id. */
      readonly links: Readonly<Record<string, Quality>>;
      readonly held: readonly number[];
    }
  | { readonly type: 'path'; readonly routers: readonly number[] }
  | {
      readonly type: 'probe';
      readonly at: number;
      readonly sent: number;
      readonly lost: number;
      readonly delayUs: number;
      readonly maxUs: number;
    }
  | {
      readonly type: 'fault';
      readonly id: number;
      readonly kind: FaultKind;
      readonly what: string;
      readonly at: number;
      readonly agents: boolean;
      readonly before: readonly number[];
      /** Part of the story, not of somebody's playing. */
      readonly told: boolean;
    }
  | {
      readonly type: 'decision';
      readonly router: number;
      readonly cause: string;
      /** Interface and peer, as far as known. */
      readonly about: string;
      readonly step: string;
      readonly action: string;
      readonly result: string | null;
      readonly fault: string;
      readonly afterMs: number;
      readonly heardAt: number;
    }
  /** The exact instant of a fault of an agent's journal. */
  | { readonly type: 'journal'; readonly router: number; readonly fault: string; readonly at: number }
  | {
      readonly type: 'cost';
      readonly id: number;
      readonly final: boolean;
      readonly outageMs: number;
      readonly lost: number;
      readonly recovered: boolean;
      readonly frames: number | null;
      readonly after: readonly number[];
    }
  | { readonly type: 'busy'; readonly command: string | null }
  /** The story is over; from here on it is played with. */
  | { readonly type: 'told' };

type Of<T extends Event['type']> = Extract<Event, { type: T }>;
export type Report = Of<'probe'>;
export type Decision = Of<'decision'>;

export interface Trial extends Of<'fault'> {
  /** What has put an end to the fault itself since then. */
  readonly over: 'mended' | 'revived' | null;
  readonly cost: Of<'cost'> | null;
  readonly decisions: readonly Decision[];
}

export interface State {
  readonly step: string;
  readonly note: string | null;
  readonly mesh: Of<'mesh'> | null;
  readonly routers: readonly { readonly alive: boolean; readonly agent: boolean }[];
  readonly cut: readonly number[];
  readonly held: readonly number[];
  readonly quality: Readonly<Record<string, Quality>>;
  readonly path: readonly number[];
  readonly reports: readonly Report[];
  readonly trials: readonly Trial[];
  /** Decisions, oldest first, with those outside of any fault. */
  readonly decisions: readonly Decision[];
  /** "router fault" → when the agent learned of it: from its log (a little late) until its journal says it exactly. */
  readonly learned: Readonly<Record<string, { readonly at: number; readonly exact: boolean }>>;
  readonly busy: string | null;
  readonly told: boolean;
  /** When the story was told, with everything whole again, nothing got through. */
  readonly isLostAtEnd: boolean;
}

export const START: State = {
  step: 'Booting a Linux kernel with batman-adv',
  note: null,
  mesh: null,
  routers: [],
  cut: [],
  held: [],
  quality: {},
  path: [],
  reports: [],
  trials: [],
  decisions: [],
  learned: {},
  busy: null,
  told: false,
  isLostAtEnd: false,
};

const YOUR_TURN = 'Your turn: break it (c, k), mend it (m, r), compare without the agents (a)';

/** As many reports (ten a second) as the widest screen shows. */
const REPORTS = 600;
const DECISIONS = 200;
/** The last second of the story. */
const END_REPORTS = 10;

export function tell(state: State, event: Event): State {
  switch (event.type) {
    case 'step':
      return { ...state, step: event.text, note: null };
    case 'note':
      return { ...state, note: event.text };
    case 'mesh':
      return {
        ...state,
        mesh: event,
        routers: Array.from({ length: event.routers }, () => ({ alive: true, agent: false })),
      };
    case 'router': {
      const { router, alive, agent } = event;
      const trials = alive && state.routers[router]?.alive === false ? ended(state, 'kill', 'revived') : state.trials;
      return { ...state, trials, routers: state.routers.map((old, n) => (n === router ? { alive, agent } : old)) };
    }
    case 'link': {
      const others = state.cut.filter((id) => id !== event.id);
      const trials = event.cut ? state.trials : ended(state, 'cut', 'mended');
      return { ...state, trials, cut: event.cut ? [...others, event.id] : others };
    }
    case 'quality':
      return { ...state, quality: event.links, held: event.held };
    case 'path':
      return { ...state, path: event.routers };
    case 'probe':
      return { ...state, reports: [...state.reports.slice(1 - REPORTS), event] };
    case 'fault':
      return { ...state, note: null, trials: [...state.trials, { ...event, over: null, cost: null, decisions: [] }] };
    case 'decision': {
      const key = `${event.router} ${event.fault}`;
      const at = event.heardAt - event.afterMs * 1e6;
      const known = state.learned[key];
      const learned =
        known === undefined || (!known.exact && at < known.at)
          ? { ...state.learned, [key]: { at, exact: false } }
          : state.learned;
      const last = state.trials.at(-1);
      const trials =
        last?.agents && !last.cost?.final
          ? [...state.trials.slice(0, -1), { ...last, decisions: [...last.decisions, event] }]
          : state.trials;
      return { ...state, learned, trials, decisions: [...state.decisions.slice(1 - DECISIONS), event] };
    }
    case 'journal':
      return {
        ...state,
        learned: { ...state.learned, [`${event.router} ${event.fault}`]: { at: event.at, exact: true } },
      };
    case 'cost':
      return {
        ...state,
        trials: state.trials.map((trial) => (trial.id === event.id ? { ...trial, cost: event } : trial)),
      };
    case 'busy':
      return { ...state, busy: event.command, ...(event.command === null ? { step: YOUR_TURN } : { note: null }) };
    case 'told': {
      const last = state.reports.slice(-END_REPORTS);
      const isLostAtEnd = last.length > 0 && last.every(({ sent, lost }) => lost > 0 && lost >= sent);
      return { ...state, told: true, isLostAtEnd, step: YOUR_TURN };
    }
  }
}

/** Everything cut is mended at once, and everything dead revived. */
const ended = ({ trials }: State, kind: FaultKind, over: Trial['over']) =>
  trials.map((trial) => (trial.kind === kind ? { ...trial, over } : trial));

export type Command = 'cut' | 'mend' | 'kill' | 'revive' | 'agents';
const UNDER_WAY: Readonly<Record<Command, string>> = {
  cut: 'cutting a link in use ...',
  mend: 'mending ...',
  kill: 'killing a router on the way ...',
  revive: 'reviving ...',
  agents: 'starting or stopping the agents ...',
};

/** What to say at once to somebody who wants that done, and whether it can be done at all as things stand. */
export function answer(state: State, command: Command): { readonly possible: boolean; readonly text: string } {
  const no = (text: string) => ({ possible: false, text });
  if (state.busy !== null) return { possible: true, text: `next: ${UNDER_WAY[command]}` };
  const dead = [...state.routers.keys()].filter((n) => !state.routers[n]!.alive);
  const broken = dead.length + state.cut.length > 0;
  if ((command === 'mend' || command === 'revive') && !broken) return no('Nothing is broken.');
  // Whether one that is held comes back in time is for those inside to say.
  if ((command === 'cut' || command === 'kill') && broken && state.held.length === 0 && !breakable(state, command)) {
    const why = dead.length > 0 ? `r${dead.join(', r')} is dead` : 'a link is cut';
    return no(`${why}: with one more fault there would be no way. Press ${dead.length > 0 ? 'r' : 'm'} first.`);
  }
  return { possible: true, text: UNDER_WAY[command] };
}

/** Whether something on the path could fail and leave another way. */
function breakable({ mesh, path, cut, routers }: State, kind: FaultKind): boolean {
  if (mesh === null || path.length === 0) return true;
  const { src, dst } = mesh;
  const whole = mesh.links.filter(({ id, a, b }) => !cut.includes(id) && routers[a]!.alive && routers[b]!.alive);
  const onPath = (n: number) => path.includes(n);
  return kind === 'cut'
    ? whole.some(
        (link) =>
          onPath(link.a) &&
          onPath(link.b) &&
          isWay(
            whole.filter((one) => one !== link),
            src,
            dst,
          ),
      )
    : path.some(
        (n) =>
          n !== src &&
          n !== dst &&
          isWay(
            whole.filter(({ a, b }) => a !== n && b !== n),
            src,
            dst,
          ),
      );
}

/** Whether these links lead from one router to another. */
export function isWay(links: readonly { readonly a: number; readonly b: number }[], from: number, to: number): boolean {
  const seen = new Set([from]);
  // A set gives what is added to it meanwhile its turn too.
  for (const at of seen) for (const { a, b } of links) if (a === at || b === at) seen.add(a === at ? b : a);
  return seen.has(to);
}

/** Milliseconds from a fault's instant to a decision of an agent. */
export function afterFault(state: State, trial: Trial, { router, fault, afterMs }: Decision): number {
  return (state.learned[`${router} ${fault}`]!.at - trial.at) / 1e6 + afterMs;
}

/** Milliseconds from the fault's instant to the first decision about it, and whether the journal confirmed it. */
export function detection(state: State, trial: Trial): { readonly ms: number; readonly exact: boolean } | null {
  const all = trial.decisions
    .filter(({ step, action }) => step === 'planned' && action !== 'reattach')
    .map((decision) => ({
      ms: afterFault(state, trial, decision),
      exact: state.learned[`${decision.router} ${decision.fault}`]!.exact,
    }))
    .filter(({ ms }) => ms >= 0);
  return all.reduce<(typeof all)[number] | null>(
    (least, one) => (least === null || one.ms < least.ms ? one : least),
    null,
  );
}

/** The newest measured trial of that kind without (or with) the agents. */
export function measured(state: State, kind: FaultKind, agents: boolean): Trial | undefined {
  return state.trials.findLast((trial) => trial.kind === kind && trial.agents === agents && trial.cost !== null);
}

/**
 * How many times shorter the outage was than the same mesh's without the agents. Where fewer than three packets in a
 * row were lost there was no outage by the lab's measure; three, at one each 2 ms, is what it then counts as.
 */
export function ratio(stockMs: number, agentMs: number): number {
  return stockMs / (agentMs || NO_OUTAGE_MS);
}
const NO_OUTAGE_MS = 6;

export function outageText({
  outageMs,
  recovered,
}: {
  readonly outageMs: number;
  readonly recovered: boolean;
}): string {
  if (outageMs === 0) return `under ${NO_OUTAGE_MS} ms`;
  return `${recovered ? '' : 'over '}${milliseconds(outageMs)}`;
}

export const times = (value: number) => (value < 10 ? value.toFixed(1) : `${Math.round(value)}`);

/** Since the last fault, as long as traffic has not come back: how long it has been lost by now. */
export function losingFor(state: State): number | null {
  const trial = state.trials.at(-1);
  const last = state.reports.at(-1);
  if (trial === undefined || last === undefined || trial.cost?.recovered || trial.cost?.final) return null;
  if (last.at < trial.at || last.lost === 0) return null;
  return (last.at - trial.at) / 1e6;
}

export function milliseconds(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return `${Math.round(ms)} ms`;
}

export const pathText = (routers: readonly number[]) =>
  routers.length ? routers.map((n) => `r${n}`).join('-') : 'none';

const CAUSES: Readonly<Record<string, string>> = {
  'link-down': 'lost its carrier',
  'interface-vanished': 'vanished',
  'interface-fell-out': 'fell out of the mesh',
  'mesh-vanished': 'vanished',
  'link-silent': 'fell silent',
  'router-dead': 'is dead',
};

/** 02:00:00:00:<router>:<port> is the lab's scheme of addresses. */
const named = (text: string) =>
  text.replaceAll(/02:00:00:00:([0-9a-f]{2}):[0-9a-f]{2}/g, (_, n) => `r${parseInt(n, 16)}`);

/** What the agent saw, as "to2 lost its carrier". */
export function seen({ cause, about }: Decision): string {
  const parts = named(about).split(' ').filter(Boolean);
  if (cause === 'remote-alarm') return `${parts.at(-1) ?? 'a router'} raised the alarm`;
  return `${parts[0] ?? 'something'} ${CAUSES[cause] ?? cause}`;
}

const DONE: Readonly<Record<string, string>> = {
  ask: 'asked its neighbours for other ways',
  kick: 'sent its own OGMs at once',
  'clear-way': 'let OGMs pass without delay',
  detach: 'took the dead interface out of bat0',
  reattach: 'put the interface back into bat0',
  'recreate-mesh': 'made bat0 anew',
};
const PLANS: Readonly<Record<string, string>> = {
  ask: 'ask the neighbours for other ways',
  kick: 'send its own OGMs at once (kick)',
  'clear-way': 'let OGMs pass without delay',
  detach: 'take the interface out',
  reattach: 'put the interface back',
  'recreate-mesh': 'make bat0 anew',
  none: 'nothing to be done',
};

/** What the agent did about it, in a clause. */
export function did({ step, action, result }: Decision): string {
  const said = result === null ? '' : named(result);
  switch (step) {
    case 'planned':
      return `decides: ${PLANS[action] ?? action}`;
    case 'done':
      return DONE[action] ?? action;
    case 'verified':
      return `repair verified${said === '' ? '' : `: ${said}`}`;
    case 'over':
      return `over${said === '' ? '' : `: ${said}`}`;
    default:
      return `${step} ${action}${said === '' ? '' : `: ${said}`}`;
  }
}

/** What a log shows of an event, or null. */
export function progress(state: State, event: Event): string | null {
  switch (event.type) {
    case 'step':
      return event.text;
    case 'note':
      return `  ${event.text}`;
    case 'mesh':
      return `  ${event.routers} routers, ${event.links.length} cables: ${event.links.map(({ a, b }) => `r${a}-r${b}`).join(' ')}`;
    case 'router':
      return state.routers[event.router]?.agent !== event.agent && event.agent
        ? `  r${event.router}: agent runs`
        : null;
    case 'fault':
      return `  ${event.what}; traffic went ${pathText(event.before)}`;
    case 'decision': {
      const trial = state.trials.at(-1);
      // Those who saw it themselves; who was told by an alarm is on the picture, where there is room.
      if (!trial?.agents || trial.cost?.final || event.step !== 'planned' || event.cause === 'remote-alarm')
        return null;
      return `  r${event.router}: ${seen(event)}; ${did(event)}`;
    }
    case 'cost': {
      if (!event.final) return null;
      const trial = state.trials.find(({ id }) => id === event.id)!;
      const detected = detection(state, trial);
      const saw = detected === null ? '' : `decided after ${milliseconds(detected.ms)}, `;
      return event.recovered
        ? `  ${saw}outage ${outageText(event)}, traffic now ${pathText(event.after)}`
        : `  ${saw}traffic NOT back, lost for ${milliseconds(event.outageMs)}`;
    }
    default:
      return null;
  }
}

/** What a log shows when nothing has happened for a while. */
export function waiting(state: State): string {
  const lost = losingFor(state);
  if (lost !== null) return `  ... traffic is still lost, ${(lost / 1000).toFixed(1)} s after the fault`;
  return `  ... ${state.step[0]!.toLowerCase()}${state.step.slice(1)}`;
}

/** The table at the end: each fault of the story in a column, without and with the agents. */
export function report(state: State): string[] {
  const columns = [
    [
      '',
      'path before',
      'path after',
      'outage without agents',
      'outage with agents',
      'times shorter',
      'first decision after',
      'extra frames, all routers, 2 s: without',
      'extra frames, all routers, 2 s: with',
    ],
  ];
  for (const kind of ['cut', 'kill'] as const) {
    const told = (agents: boolean) =>
      state.trials.find((trial) => trial.kind === kind && trial.told && trial.agents === agents && trial.cost !== null);
    const stock = told(false);
    const agent = told(true);
    const either = agent ?? stock;
    if (either === undefined) continue;
    const outage = (trial?: Trial) => (trial ? outageText(trial.cost!) : '-');
    const frames = (trial?: Trial) => `${trial?.cost?.frames ?? '-'}`;
    const detected = agent && detection(state, agent);
    columns.push([
      either.what,
      pathText(either.before),
      either.cost!.final ? pathText(either.cost!.after) : '-',
      outage(stock),
      outage(agent),
      stock && agent ? times(ratio(stock.cost!.outageMs, agent.cost!.outageMs)) : '-',
      detected ? milliseconds(detected.ms) : '-',
      frames(stock),
      frames(agent),
    ]);
  }
  if (columns.length === 1) return ['Nothing was measured.'];
  const widths = columns.map((column) => Math.max(...column.map((cell) => cell.length)));
  const line = (row: number) =>
    columns
      .map((column, i) => column[row]!.padEnd(widths[i]!))
      .join('   ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('   ');
  return [line(0), rule, ...columns[0]!.slice(1).map((_, i) => line(i + 1))];
}

/** Whether the story ended well, and the sentence that says so. */
export function verdict(state: State): { readonly ok: boolean; readonly text: string } {
  const end = state.mesh === null ? '' : ` from r${state.mesh.src} to r${state.mesh.dst}`;
  const failed = state.trials.find((trial) => trial.told && trial.agents && trial.cost?.final && !trial.cost.recovered);
  if (failed)
    return {
      ok: false,
      text: `With the agents, traffic${end} was still lost ${milliseconds(failed.cost!.outageMs)} after ${failed.what}.`,
    };
  if (!state.told) return { ok: false, text: 'The story did not come to its end.' };
  if (state.isLostAtEnd)
    return { ok: false, text: `With everything mended again and the agents running, nothing got through${end}.` };
  const repaired = state.trials.filter((trial) => trial.told && trial.agents && trial.cost?.recovered);
  if (repaired.length === 0) return { ok: false, text: 'No fault was measured with the agents running.' };
  const mute = repaired.find((trial) => detection(state, trial) === null);
  if (mute) return { ok: false, text: `No agent decided anything when ${mute.what}: the repair was not theirs.` };
  const worst = Math.max(...repaired.map(({ cost }) => cost!.outageMs));
  const within = `within ${milliseconds(worst || NO_OUTAGE_MS)}`;
  const alone = state.trials.find((trial) => trial.told && !trial.agents && trial.cost?.final && !trial.cost.recovered);
  return {
    ok: true,
    text: alone
      ? `With the agents the mesh recovered from every fault of the story ${within}; without them traffic was still lost ${milliseconds(alone.cost!.outageMs)} after ${alone.what}.`
      : `The mesh recovered from every fault of the story; with the agents ${within}.`,
  };
}
