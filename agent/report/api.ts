/**
 * The API: one table of calls, served over HTTP (those that only read) and over the control socket (all).
 * No I/O here: a request comes as data, its answer goes as data.
 */
import type { BeaconView } from '../beacon/beacon.ts';
import { settle } from '../config/load.ts';
import { PACKAGE } from '../config/schema.ts';
import { AgentError, type ErrorCode } from '../core/errors.ts';
import { isMac, type Mac } from '../core/ids.ts';
import type { RadioStation } from '../core/kernel.ts';
import { MS, type Nanos, SECOND, toMs } from '../core/time.ts';
import type { Action, ClassMode, Decision, Fault, FaultClass, Mode } from '../core/words.ts';
import { isFaultClass } from '../heal/faults/catalogue.ts';
import type { MeshView } from '../mesh/mesh.ts';
import { explain } from './explain.ts';
import { docsPage, openapi } from './openapi.ts';
import * as shapes from './shapes.ts';
import { topologyOf } from './topology.ts';

/** A decision as the journal keeps it: host's `Entry`. */
export interface JournalEntry {
  readonly id: number;
  /** Milliseconds since 1970; `decision.at` counts from that boot's zero. */
  readonly wall: number;
  readonly decision: Decision;
}

/** What host's `State` offers of itself. */
export interface JournalReader {
  /** At most `limit` entries in the order of their numbers: those after `sinceId`, or without it the newest. */
  query(query: {
    readonly limit: number;
    readonly sinceId?: number;
    readonly faultId?: string;
  }): readonly JournalEntry[];
  status(): { readonly entries: number; readonly pending: number; readonly omitted: number };
  /** Rows of the chain as they are on the medium. Throws E_JOURNAL_BROKEN. */
  chain(
    after: number,
    limit: number,
  ): {
    readonly checkpoint: Sealed;
    readonly head: Sealed;
    readonly rows: readonly (Sealed & { readonly entry: string })[];
  };
}

interface Sealed {
  readonly id: number;
  readonly hash: Uint8Array;
}

/** What host's `State` and `Recorder` have: recordings of repairs, the oldest first, and what is in memory now (id null). */
export interface RecordingReader {
  list(): readonly {
    readonly id: number;
    readonly wall: number;
    readonly bytes: number;
    readonly faults: readonly string[];
  }[];
  /** gzip; null where there is none. */
  export(id: number | null): Uint8Array | null;
}

/** What heal shows of itself. */
export interface HealView {
  readonly mode: Mode;
  /** Faults that are not over. */
  readonly faults: readonly Fault[];
  /** Routers that are dead beside those that have a fault. */
  readonly untold: number;
  /** Repairs under way. */
  readonly repairs: readonly { readonly fault: Fault; readonly action: Action; readonly state: string }[];
  /** Each class of faults: whether it is repaired, and what it has shown. */
  readonly classes: readonly {
    readonly class: FaultClass;
    readonly mode: ClassMode;
    readonly safe: boolean;
    readonly acts: boolean;
    readonly right: number;
    readonly wrong: number;
    readonly confidence: number;
  }[];
  /** How each repair has fared here. */
  readonly known: readonly {
    readonly class: FaultClass;
    readonly action: Action;
    readonly tries: number;
    readonly successes: number;
    readonly repairNs: Nanos;
    readonly sideEffects: number;
  }[];
  readonly budgets: readonly { readonly name: string; readonly left: number; readonly capacity: number }[];
  /** Ids of changes that would be undone if the agent died now. */
  readonly undoArmed: readonly string[];
  /** There is an alarm key. */
  readonly authenticated: boolean;
}

/** A part that works with less than it could: 'netlink events' at 'polling', because ... */
export interface Degraded {
  readonly part: string;
  readonly level: string;
  readonly why: string;
}

/** What came in from one neighbour, as XDP or the packet socket saw it, since it was first known. */
export interface NeighbourXdp {
  /** Our hard interface. */
  readonly interface: string;
  readonly neighbour: Mac;
  readonly frames: number;
  readonly bytes: number;
  /** Beyond its deadline. */
  readonly silent: boolean;
  /** null: never. */
  readonly lastSeenNs: Nanos | null;
  /** batman-adv's sequence numbers: those that came, and those that were jumped over. */
  readonly received: number;
  readonly lost: number;
  /** 0 to 1; null while none has come. */
  readonly lossOnAir: number | null;
  /** How often its numbers began anew. */
  readonly restarts: number;
  /** Half of its frames came no further apart than this. */
  readonly medianGapNs: Nanos | null;
}

/** How the measuring of what comes in works, and what it counted. Only what comes in is seen. */
export interface XdpView {
  readonly level: 'native' | 'generic' | 'packet-socket' | 'off';
  /** Why not native; null where it is. */
  readonly why: string | null;
  /** With the kernel's timer, or without; null where no program is loaded. */
  readonly variant: string | null;
  readonly jit: boolean;
  readonly interfaces: readonly {
    readonly name: string;
    readonly level: XdpView['level'];
    readonly why: string | null;
  }[];
  readonly neighbours: readonly NeighbourXdp[];
  /** By name; all 0 where no program is loaded. */
  readonly totals: Readonly<Record<string, number>>;
  /** Senders who are no neighbours, told apart by keyed hashes; at least so many. */
  readonly strangers: number;
  /** Half of the TCP handshakes took no longer than this; null while there was none. */
  readonly medianHandshakeNs: Nanos | null;
  readonly programs: readonly {
    readonly name: string;
    readonly verified: number;
    /** Counted only while somebody has the kernel's statistics on: x0ctl bpf profile. */
    readonly runs: number;
    readonly ns: number;
  }[];
  readonly lockedBytes: number;
  /** With noise: what may leave this router. */
  readonly shared: { readonly opened: number; readonly established: number };
}

/** All that the calls rest on. The daemon provides it; every function answers at once and does not throw. */
export interface Sources {
  readonly version: string;
  readonly startedAt: Nanos;
  now(): Nanos;
  degraded(): readonly Degraded[];
  mesh(): MeshView;
  /** null where there are no beacons, or where who we are is not known yet. */
  beacon(): BeaconView | null;
  heal(): HealView;
  readonly journal: JournalReader;
  /** The last decision on an open fault, or the one that repaired it. */
  outcome(fault: string): Decision | null;
  readonly recorder: RecordingReader;
  /** null where the section bpf is off. */
  xdp?(): XdpView | null;
  /** Section → option → value as JSON; secrets are `Secret`, which shows as '[secret]'. */
  config(): Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  process(): { readonly rssBytes: number; readonly cpuSeconds: number };
  /** Feeds the runtime a 'mode-asked' or 'kick-asked' event. Answers what was decided in that turn. */
  ask(
    event:
      | { readonly type: 'mode-asked'; readonly by: string; readonly mode: Mode }
      | {
          readonly type: 'class-mode-asked';
          readonly by: string;
          readonly class: FaultClass;
          readonly mode: ClassMode;
        }
      | { readonly type: 'kick-asked'; readonly by: string; readonly lost: Mac | null },
  ): readonly Decision[];
}

/** Who asks: over HTTP nobody in particular. `mayChange` is decided by the socket, from the kernel's word. */
export interface Caller {
  readonly name: string;
  readonly mayChange: boolean;
}

export interface Request {
  readonly method: string;
  /** Path and query as they came, percent-encoded. */
  readonly url: string;
  readonly body: string;
  readonly caller: Caller;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** The call's path in the table, or 'other': a label of bounded number. */
  readonly endpoint: string;
  readonly allow?: string;
}

interface Asked {
  readonly sources: Sources;
  readonly caller: Caller;
  readonly query: URLSearchParams;
  /** The {id} of the path. */
  readonly id: string;
  readonly body: Readonly<Record<string, unknown>>;
}

interface Parameter {
  readonly name: string;
  readonly type: 'integer' | 'string';
  readonly help: string;
}

export interface Call {
  /** POST only over the control socket, even where it changes nothing. */
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly help: string;
  /** Changes something: only over the control socket, only for those who may. */
  readonly changing: boolean;
  readonly query?: readonly Parameter[];
  readonly body?: readonly Parameter[];
  /** Other statuses than 200 of an answer in this shape, and what they say. */
  readonly also?: Readonly<Record<number, string>>;
  /** null: no JSON, but a page of `type`. */
  readonly shape: shapes.Shape<unknown> | null;
  readonly type?: string;
  answer(asked: Asked): unknown;
}

/** `answer` puts the version in front. */
type Unversioned<T> = Omit<T, 'version'>;

/** Ties the answer's type to its shape. */
function call<T>(
  row: Omit<Call, 'shape' | 'answer' | 'changing'> & {
    readonly changing?: boolean;
    readonly shape: shapes.Shape<T>;
    answer(asked: Asked): Unversioned<T>;
  },
): Call {
  return { changing: false, ...row };
}

const HTML = 'text/html; charset=utf-8';
const JSON_TYPE = 'application/json';
const LOG_LIMIT = 20;
const LOG_MOST = 1000;
/** Rows that are read in a millisecond or two. */
const CHAIN_PAGE = 200;

export const CALLS: readonly Call[] = [
  call({
    method: 'GET',
    path: '/health',
    help: 'Is all well? Status 503 for a problem.',
    also: { 503: 'a problem' },
    shape: shapes.health,
    answer: ({ sources }) => ({
      ...healthOf(sources),
      uptimeSeconds: seconds(sources.now() - sources.startedAt),
    }),
  }),
  call({
    method: 'GET',
    path: '/mesh/status',
    help: 'This router, its mesh and its healing at a glance.',
    shape: shapes.status,
    answer: ({ sources }) => statusOf(sources),
  }),
  call({
    method: 'GET',
    path: '/mesh/nodes',
    help: 'The other routers.',
    shape: shapes.nodes,
    answer: ({ sources }) => {
      const now = sources.now();
      const nodes = sources.mesh().nodes.map(({ originator, state, health, nextHop, tq, throughput, ...node }) => ({
        originator,
        state,
        health,
        nextHop,
        interface: node.interface,
        tq,
        throughput,
        lastSeenSeconds: seconds(now - node.lastSeen),
        sinceSeconds: seconds(now - node.since),
      }));
      return { nodes };
    },
  }),
  call({
    method: 'GET',
    path: '/mesh/links',
    help: 'Our neighbours on each hard interface, with the quality of the link.',
    shape: shapes.links,
    answer: ({ sources }) => {
      const now = sources.now();
      const seen = new Map(sources.xdp?.()?.neighbours.map((one) => [`${one.interface} ${one.neighbour}`, one]));
      const links = sources.mesh().links.map((link) => ({
        interface: link.interface,
        neighbour: link.neighbour,
        originator: link.originator,
        quality: link.quality,
        carrier: link.carrier,
        tq: link.tq,
        throughput: link.throughput,
        latencyMs: link.latencyNs === null ? null : toMs(link.latencyNs),
        loss: link.loss === null ? null : Math.round(link.loss * 1e4) / 1e4,
        lastSeenSeconds: seconds(now - link.lastSeen),
        radio: link.radio === null ? null : radioOf(link.radio),
        incoming: incomingOf(seen.get(`${link.interface} ${link.neighbour}`)),
      }));
      return { links };
    },
  }),
  call({
    method: 'GET',
    path: '/mesh/xdp',
    help: 'How what comes in is measured, and what was counted over all neighbours.',
    shape: shapes.xdp,
    answer: ({ sources, caller }) => xdpOf(sources.xdp?.() ?? null, caller.mayChange),
  }),
  call({
    method: 'GET',
    path: '/mesh/topology',
    help: 'The graph of the mesh as this router knows it, with shortest paths.',
    shape: shapes.topology,
    answer: ({ sources }) => topologyOf(sources.mesh()),
  }),
  call({
    method: 'GET',
    path: '/mesh/paths',
    help: 'Every way to every router, the worse ones too: batman-adv’s originator table.',
    shape: shapes.paths,
    answer: ({ sources }) => ({
      paths: sources.mesh().paths.map(({ originator, neighbour, interfaceName, best, tq, throughput }) => ({
        originator,
        neighbour,
        interface: interfaceName,
        best,
        tq: tq ?? null,
        throughput: throughput ?? null,
      })),
    }),
  }),
  call({
    method: 'GET',
    path: '/mesh/beacon',
    help: 'The transmit schedule and the common time, where beacons are on.',
    shape: shapes.beacon,
    answer: ({ sources }) => ({ beacon: beaconOf(sources.beacon()) }),
  }),
  call({
    method: 'GET',
    path: '/heal/log',
    help: 'The journal of decisions, oldest first: the newest ones, or those after an entry.',
    query: [
      { name: 'limit', type: 'integer', help: `entries at most, 1 to ${LOG_MOST}; ${LOG_LIMIT} without it` },
      { name: 'since', type: 'integer', help: 'only entries after this one, by its id' },
    ],
    shape: shapes.log,
    answer: ({ sources, query }) => {
      const limit = wholeNumber(query, 'limit', 1, LOG_MOST) ?? LOG_LIMIT;
      const since = wholeNumber(query, 'since', 0, Number.MAX_SAFE_INTEGER);
      const entries = sources.journal.query({ limit, ...(since !== undefined && { sinceId: since }) });
      return { entries: entries.map(entryOf) };
    },
  }),
  call({
    method: 'GET',
    path: '/heal/chain',
    help: 'The journal as it is on flash, with its seals, for whoever verifies it: x0ctl heal verify.',
    query: [{ name: 'since', type: 'integer', help: `only rows after this one, by its id; ${CHAIN_PAGE} at most` }],
    shape: shapes.chain,
    answer: ({ sources, query }) => {
      const since = wholeNumber(query, 'since', 0, Number.MAX_SAFE_INTEGER) ?? 0;
      const { checkpoint, head, rows } = sources.journal.chain(since, CHAIN_PAGE);
      return {
        checkpoint: sealOf(checkpoint),
        head: sealOf(head),
        pending: sources.journal.status().pending,
        rows: rows.map((row) => ({ ...sealOf(row), entry: row.entry })),
      };
    },
  }),
  call({
    method: 'GET',
    path: '/heal/explain/{id}',
    help: 'One fault: evidence, alternatives, what was done and what came of it, in words.',
    shape: shapes.explanation,
    answer: ({ sources, id }) => explanationOf(sources, id),
  }),
  call({
    method: 'GET',
    path: '/heal/classes',
    help: 'The classes of faults: which are repaired, which only observed, and what each has shown so far.',
    shape: shapes.classes,
    answer: ({ sources }) => {
      const { mode, classes, known } = sources.heal();
      return {
        mode,
        classes: classes.map((one) => ({
          ...one,
          confidence: round(one.confidence),
          repairs: known
            .filter((record) => record.class === one.class)
            .map(({ action, tries, successes, repairNs, sideEffects }) => ({
              action,
              tries: round(tries),
              successes: round(successes),
              meanMs: successes < 1 ? null : toMs(repairNs / successes),
              sideEffects,
            })),
        })),
      };
    },
  }),
  call({
    method: 'GET',
    path: '/config',
    help: 'The configuration in use, without secrets.',
    shape: shapes.config,
    answer: ({ sources }) => ({ config: sources.config() }),
  }),
  {
    method: 'GET',
    path: '/openapi.json',
    help: 'This table as OpenAPI 3.1.',
    changing: false,
    shape: null,
    type: JSON_TYPE,
    answer: ({ sources }) => JSON.stringify(openapi(CALLS, shapes.COMMANDS, sources.version)),
  },
  {
    method: 'GET',
    path: '/docs',
    help: 'This table as a page for people.',
    changing: false,
    shape: null,
    type: HTML,
    answer: ({ sources }) => docsPage(CALLS, shapes.COMMANDS, sources.version),
  },
  call({
    method: 'POST',
    path: '/heal/mode',
    help: 'Sets heal.mode until the next start or change of the configuration, or the mode of one class of faults for good.',
    changing: true,
    body: [
      { name: 'mode', type: 'string', help: 'off, observe or act; of a class also auto' },
      { name: 'class', type: 'string', help: 'a class of faults; may be left out' },
    ],
    shape: shapes.done,
    answer: ({ sources, caller, body }) => {
      const { mode, class: kind } = body;
      if (kind !== undefined) return classMode(sources, caller, kind, mode);
      if (mode !== 'off' && mode !== 'observe' && mode !== 'act') throw usage('mode: expected off, observe or act');
      sources.ask({ type: 'mode-asked', by: caller.name, mode });
      return { done: true, message: `heal.mode is ${mode} until the next start` };
    },
  }),
  call({
    method: 'POST',
    path: '/heal/kick',
    help: 'Has this router send its next OGMs at once, as after a fault, and by an alarm the others; within the budget.',
    changing: true,
    body: [{ name: 'lost', type: 'string', help: 'MAC address of a neighbour that is lost; may be left out' }],
    shape: shapes.kicked,
    answer: ({ sources, caller, body }) => {
      const lost = body.lost ?? null;
      if (lost !== null && (typeof lost !== 'string' || !isMac(lost)))
        throw usage('lost: expected a MAC address such as 02:12:34:56:78:9a, in lower case');
      return kickedOf(sources.ask({ type: 'kick-asked', by: caller.name, lost }));
    },
  }),
  call({
    method: 'GET',
    path: '/record',
    help: 'The recordings of repairs that are kept.',
    shape: shapes.recordings,
    answer: ({ sources }) => ({
      recordings: sources.recorder.list().map(({ id, wall, bytes, faults }) => ({
        id,
        time: new Date(wall).toISOString(),
        bytes,
        faults,
      })),
    }),
  }),
  call({
    method: 'POST',
    path: '/record/export',
    help: 'One recording, or what the flight recorder has in memory now. Changes nothing.',
    body: [{ name: 'id', type: 'integer', help: 'of a recording that is kept; what is in memory without it' }],
    shape: shapes.recording,
    answer: ({ sources, body }) => {
      const id = body.id ?? null;
      if (id !== null && !Number.isSafeInteger(id)) throw usage('id: expected the number of a recording');
      const recording = sources.recorder.export(id as number | null);
      if (recording === null)
        throw new AgentError(
          'E_NOT_FOUND',
          id === null
            ? 'nothing is recorded: state.recorder is 0, or too small for this mesh'
            : `there is no recording ${id}; see record list`,
        );
      return { bytes: recording.length, data: Buffer.from(recording).toString('base64') };
    },
  }),
  call({
    method: 'POST',
    path: '/config/check',
    help: 'Holds the text of a configuration file against the schema. Changes nothing.',
    body: [
      { name: 'text', type: 'string', help: 'the text of the file' },
      { name: 'file', type: 'string', help: 'its name, for the messages; may be left out' },
    ],
    shape: shapes.configReport,
    answer: ({ body }) => {
      if (typeof body.text !== 'string') throw usage('text: expected the text of a configuration file');
      return checkConfig(body.text, typeof body.file === 'string' ? body.file : PACKAGE);
    },
  }),
];

/** What was decided on a kick that was asked for: planned, and then perhaps refused by its budget, all in one turn. */
function kickedOf(decisions: readonly Decision[]): Unversioned<shapes.Of<typeof shapes.kicked>> {
  const last = decisions.at(-1);
  const steps = decisions.map(({ step, action, result }) => ({ step, action, result }));
  if (last === undefined)
    return { done: false, message: 'nothing was done: heal.mode is off', fault: null, decisions: steps };
  const { fault, step, action, alternatives, result } = last;
  const refused = alternatives.find((one) => one.action === 'kick')?.refused ?? null;
  const done = refused === null && step !== 'observed' && action !== 'none';
  const what = done ? `${step} ${action}` : (refused ?? result ?? 'nothing was done');
  const message = `fault ${fault.id}: ${what}; x0ctl heal explain ${fault.id} tells what came of it`;
  return { done, message, fault: fault.id, decisions: steps };
}

function classMode(sources: Sources, caller: Caller, kind: unknown, mode: unknown): { done: boolean; message: string } {
  if (typeof kind !== 'string' || !isFaultClass(kind))
    throw usage(`class: ${clip(String(kind))} is no class of faults; /heal/classes shows them`);
  if (mode !== 'off' && mode !== 'observe' && mode !== 'act' && mode !== 'auto')
    throw usage('mode: expected off, observe, act or auto');
  sources.ask({ type: 'class-mode-asked', by: caller.name, class: kind, mode });
  return { done: true, message: `${kind} is ${mode} from now on` };
}

const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  E_USAGE: 400,
  E_FORBIDDEN: 403,
  E_NOT_FOUND: 404,
};

/** Answers one request. Never throws. */
export function answer(sources: Sources, request: Request): Answer {
  let endpoint = 'other';
  try {
    const { path, query } = split(request.url);
    const found = CALLS.map((row) => ({ row, id: matches(row.path, path) })).filter(({ id }) => id !== null);
    if (found.length === 0) throw new AgentError('E_NOT_FOUND', `there is no ${clip(path)}; see /docs`);
    endpoint = found[0]!.row.path;
    const hit = found.find(({ row }) => row.method === request.method);
    if (hit === undefined) {
      const allow = found.map(({ row }) => row.method).join(', ');
      return { ...errorAnswer(405, 'E_USAGE', `${endpoint} takes ${allow}`, endpoint), allow };
    }
    const { row, id } = hit;
    if (row.changing && !request.caller.mayChange)
      throw new AgentError('E_FORBIDDEN', `${request.caller.name} may not change anything; run it as root`);
    const body = row.method === 'POST' ? parseBody(request.body) : {};
    const value = row.answer({ sources, caller: request.caller, query, id: id!, body });
    if (row.shape === null) return { status: 200, type: row.type!, body: value as string, endpoint };
    const status = endpoint === '/health' && (value as { status: string }).status === 'problem' ? 503 : 200;
    return { status, type: JSON_TYPE, body: JSON.stringify({ version: 1, ...(value as object) }), endpoint };
  } catch (thrown) {
    if (thrown instanceof AgentError)
      return errorAnswer(STATUS[thrown.code] ?? 500, thrown.code, thrown.message, endpoint);
    // A bug of ours; what it says is for the log of whoever looks, not for the caller.
    return errorAnswer(500, 'E_BUG', 'the agent failed to answer', endpoint);
  }
}

export function errorAnswer(status: number, code: ErrorCode, message: string, endpoint: string): Answer {
  return { status, type: JSON_TYPE, body: JSON.stringify({ version: 1, error: { code, message } }), endpoint };
}

function split(url: string): { path: string; query: URLSearchParams } {
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  return { path, query: new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1)) };
}

/** The {id} of a path ('' where the pattern has none), or null if it is another path. */
function matches(pattern: string, path: string): string | null {
  const at = pattern.indexOf('{id}');
  if (at === -1) return path === pattern ? '' : null;
  if (!path.startsWith(pattern.slice(0, at))) return null;
  const id = path.slice(at);
  return /^[A-Za-z0-9._-]{1,64}$/.test(id) ? id : null;
}

function parseBody(text: string): Readonly<Record<string, unknown>> {
  if (text.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw usage('the body has to be a JSON object');
}

function wholeNumber(query: URLSearchParams, name: string, min: number, max: number): number | undefined {
  const raw = query.get(name);
  if (raw === null) return undefined;
  const value = /^\d{1,16}$/.test(raw) ? Number(raw) : Number.NaN;
  if (!(value >= min && value <= max)) throw usage(`${name}: expected a whole number from ${min} to ${max}`);
  return value;
}

function usage(message: string): AgentError {
  return new AgentError('E_USAGE', message);
}

function clip(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function seconds(ns: Nanos): number {
  return Math.round(ns / MS) / 1e3;
}

/** Reasons that are told, and open faults that are listed: more are a number. */
const MOST_REASONS = 10;
const MOST_FAULTS = 32;
/** What takes a way, or makes it worse: batman-adv finds others by itself, unless there are none. */
const OF_WAYS: ReadonlySet<FaultClass> = new Set<FaultClass>([
  'link-down',
  'link-silent',
  'link-lossy',
  'link-slow',
  'link-one-way',
  'link-flapping',
  'interface-vanished',
  'interface-fell-out',
]);

function healthOf(sources: Sources): { status: 'ok' | 'degraded' | 'problem'; reasons: string[] } {
  const mesh = sources.mesh();
  const { faults, repairs, untold } = sources.heal();
  const problems: string[] = [];
  const weak = sources.degraded().map(({ part, level, why }) => `${part}: ${level} (${why})`);
  if (mesh.mesh === null) problems.push(`the mesh interface ${mesh.meshInterface} is not there`);
  const up = mesh.nodes.some(({ state }) => state === 'joined' || state === 'registered');
  const busy = new Set(repairs.map(({ fault }) => fault.id));
  for (const fault of faults) {
    const about = [fault.interface, fault.peer].filter((part) => part !== null).join(' ');
    const what = `${fault.class}${about === '' ? '' : ` of ${about}`} (${fault.id})`;
    const last = sources.outcome(fault.id);
    const behind = up && !busy.has(fault.id) && OF_WAYS.has(fault.class) ? countBehind(mesh, fault) : null;
    if (last?.step === 'verified') weak.push(`${what} is repaired by ${last.action}: ${last.result}`);
    else if (behind === null) problems.push(`${what} is not over`);
    else if (behind > 0) problems.push(`${what} is not over, and it is the way to ${behind} routers`);
    else weak.push(`${what} is left to batman-adv: every router that is there is reached another way`);
  }
  if (untold > 0) problems.push(`${untold} more routers are dead`);
  if (mesh.mesh !== null && !up) weak.push('no other router is heard');
  if (sources.now() > mesh.tablesAt + 30 * SECOND) weak.push('the tables of batman-adv are not up to date');
  const status = problems.length > 0 ? 'problem' : weak.length > 0 ? 'degraded' : 'ok';
  const all = [...problems, ...weak];
  const more = all.length - MOST_REASONS;
  return { status, reasons: more > 0 ? [...all.slice(0, MOST_REASONS), `and ${more} more`] : all };
}

/** Routers whose best way is still the one that a fault is about: an interface, or a neighbour on it. */
function countBehind({ nodes }: MeshView, { interface: name, peer }: Fault): number {
  return nodes.filter((node) => node.interface === name && (peer === null || node.nextHop === peer)).length;
}

function statusOf(sources: Sources): Unversioned<shapes.Of<typeof shapes.status>> {
  const mesh = sources.mesh();
  const heal = sources.heal();
  const now = sources.now();
  const { status, reasons } = healthOf(sources);
  const xdp = sources.xdp?.() ?? null;
  const last: shapes.Of<typeof shapes.status>['heal']['last'][number][] = [];
  for (const { wall, decision } of sources.journal.query({ limit: 50 }).toReversed()) {
    if (!['verified', 'failed', 'rolled-back'].includes(decision.step) || last.length >= 5) continue;
    const { fault, action, step } = decision;
    last.push({ fault: fault.id, class: fault.class, action, step, time: new Date(wall).toISOString() });
  }
  return {
    agent: {
      version: sources.version,
      uptimeSeconds: seconds(now - sources.startedAt),
      degraded: sources.degraded().map(({ part, level, why }) => ({ part, level, why })),
    },
    health: status,
    reasons,
    node: mesh.node,
    originator: mesh.self,
    mesh: {
      interface: mesh.meshInterface,
      present: mesh.mesh !== null,
      algorithm: mesh.algorithm,
      batmanVersion: mesh.mesh?.version ?? null,
      originatorIntervalMs: mesh.mesh?.settings.origInterval ?? null,
      peers: mesh.nodes.filter(({ state }) => state === 'joined' || state === 'registered').length,
      gateways: mesh.gateways,
    },
    hardInterfaces: mesh.hardInterfaces.map(({ name, mac, active, carrier, primary }) => ({
      name,
      mac,
      active,
      carrier,
      primary,
    })),
    xdp: xdp === null ? null : { level: xdp.level, why: xdp.why },
    heal: {
      mode: heal.mode,
      authenticated: heal.authenticated,
      open: heal.faults.length,
      faults: heal.faults.slice(0, MOST_FAULTS).map((fault) => ({
        id: fault.id,
        class: fault.class,
        interface: fault.interface,
        peer: fault.peer,
        confidence: fault.confidence,
        ageSeconds: seconds(now - fault.at),
        evidence: fault.evidence.map(({ source, what }) => ({ source, what })),
      })),
      repairs: heal.repairs.map(({ fault, action, state }) => ({ fault: fault.id, action, state })),
      last,
      budgets: heal.budgets.map(({ name, left, capacity }) => ({ name, left: Math.round(left * 100) / 100, capacity })),
      undoArmed: heal.undoArmed,
    },
  };
}

function incomingOf(seen: NeighbourXdp | undefined): shapes.Of<typeof shapes.links>['links'][number]['incoming'] {
  if (seen === undefined) return null;
  const { frames, bytes, silent, lastSeenNs, received, lost, lossOnAir, restarts, medianGapNs } = seen;
  return {
    frames,
    bytes,
    silent,
    lastSeenMs: lastSeenNs === null ? null : toMs(lastSeenNs),
    received,
    lost,
    lossOnAir: lossOnAir === null ? null : Math.round(lossOnAir * 1e4) / 1e4,
    restarts,
    medianGapMs: medianGapNs === null ? null : toMs(medianGapNs),
  };
}

/** What users' connections did is exact for who may change this router, and not shown to others. */
const OF_CONNECTIONS = new Set(['segments', 'opened', 'answered', 'established', 'closed', 'reset', 'retransmitted']);

function xdpOf(xdp: XdpView | null, exact: boolean): Unversioned<shapes.Of<typeof shapes.xdp>> {
  if (xdp === null) {
    const none = { interfaces: [], totals: {}, strangers: 0, programs: [], lockedBytes: 0, medianHandshakeMs: null };
    return { level: 'off', why: 'bpf.enabled is 0', variant: null, jit: false, ...none };
  }
  const { level, why, variant, jit, interfaces, totals, strangers, programs, lockedBytes, medianHandshakeNs } = xdp;
  const shown = Object.entries(totals).filter(([name]) => exact || !OF_CONNECTIONS.has(name));
  return {
    level,
    why,
    variant,
    jit,
    interfaces: interfaces.map((one) => ({ ...one })),
    totals: Object.fromEntries(shown),
    strangers,
    medianHandshakeMs: medianHandshakeNs === null || !exact ? null : toMs(medianHandshakeNs),
    programs: programs.map(({ name, verified, runs, ns }) => ({ name, verified, runs, ns })),
    lockedBytes,
  };
}

function radioOf(station: RadioStation) {
  return {
    signalDbm: station.signalAverage ?? station.signal ?? null,
    bitrateKbits: station.txBitrate ?? null,
    expectedKbits: station.expectedThroughput ?? null,
    retries: station.txRetries ?? null,
    failed: station.txFailed ?? null,
    inactiveMs: station.inactiveMs ?? null,
    peerLink: station.peerLink ?? null,
  };
}

function sealOf({ id, hash }: Sealed): { id: number; hash: string } {
  return { id, hash: Buffer.from(hash).toString('hex') };
}

function entryOf({ id, wall, decision }: JournalEntry): shapes.Of<typeof shapes.log>['entries'][number] {
  const { fault, step, action, at, why, result } = decision;
  return {
    id,
    time: new Date(wall).toISOString(),
    fault: fault.id,
    class: fault.class,
    interface: fault.interface,
    peer: fault.peer,
    step,
    action,
    afterMs: toMs(at - fault.at),
    faultAtNs: fault.at,
    why,
    result,
  };
}

function beaconOf(view: BeaconView | null): shapes.Of<typeof shapes.beacon>['beacon'] {
  if (view === null) return null;
  const { place, jitterNs, boundNs } = view;
  const us = (ns: Nanos) => Math.round(ns) / 1e3;
  return {
    profile: view.profile,
    superframeMs: toMs(view.superframeNs),
    slotMs: toMs(view.slotNs),
    slots: view.slots,
    slot: place?.slot ?? null,
    stride: place?.stride ?? null,
    phase: place?.phase ?? null,
    overfull: view.overfull,
    within2Hops: view.within2Hops,
    collisions: view.collisions,
    root: view.root,
    depth: view.depth,
    meshTimeMs: toMs(view.meshNs),
    offsetMs: toMs(view.offsetNs),
    driftPpm: Math.round(view.driftPpm * 1e3) / 1e3,
    errorBoundUs: boundNs === null ? null : us(boundNs),
    jitterUs: jitterNs === null ? null : us(jitterNs),
    suspicions: view.suspicions,
    neighbours: view.neighbours.map(({ lastNs, heard, ...one }) => ({
      ...one,
      heard: Math.round(heard * 1e4) / 1e4,
      lastMs: toMs(lastNs),
    })),
  };
}

function explanationOf(sources: Sources, id: string): Unversioned<shapes.Of<typeof shapes.explanation>> {
  const entries = sources.journal.query({ limit: 100, faultId: id });
  if (entries.length === 0) throw new AgentError('E_NOT_FOUND', `the journal has no fault ${id}; see heal log`);
  const { fault } = entries[0]!.decision;
  const weighed = entries.findLast(({ decision }) => decision.alternatives.length > 0)?.decision;
  const zero = fault.evidence[0]?.at ?? fault.at;
  return {
    fault: id,
    text: explain(entries),
    evidence: fault.evidence.map(({ source, what, at }) => ({ source, what, afterMs: toMs(at - zero) })),
    alternatives: (weighed?.alternatives ?? []).map(({ action, cost, refused }) => ({
      action,
      cost,
      refused,
      taken: refused === null && weighed!.step !== 'observed',
    })),
    entries: entries.map(entryOf),
  };
}

/** What is wrong with the text of a configuration file. Also for x0ctl, which needs no agent for it. */
export function checkConfig(source: Uint8Array | string, file: string): shapes.Of<typeof shapes.configReport> {
  const { problems, warnings } = settle(source, file);
  return {
    version: 1,
    file,
    valid: problems.length === 0,
    problems: problems.map(({ message, detail }) => ({
      line: typeof detail.line === 'number' ? detail.line : 0,
      option: [detail.section, detail.option].filter((part) => typeof part === 'string').join('.'),
      message,
    })),
    warnings: warnings.map(({ line, section, option, message }) => ({
      line,
      option: option === undefined ? section : `${section}.${option}`,
      message,
    })),
  };
}
