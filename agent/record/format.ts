/**
 * The format of a recording, version 1: lines of JSON, plain or as gzip members one after the other.
 *
 *     {"x0tta6bl4":"recording","version":1,"agent":"0.1.0","machines":[...],"begins":"start"}
 *     {"keyframe":[[ns,event],...]}             where it begins later: what was known then, to begin a replay with
 *     [ns,event]                                one turn of the runtime; with what came of it:
 *     [ns,event,[heard],[decided]]
 *
 * `begins` is 'start' where it holds all since the agent's start, else 'later'. Times are CLOCK_MONOTONIC in nanoseconds.
 * Events are those of core/event.ts but for four: tables are told as what changed (tables.ts); settings have a stand-in
 * for the mesh key, and so have keys of the air, without what is remembered under them; a frame is told by what was heard in it, and not at all where that was nothing.
 *
 * What version 1 lacks may be added to it as long as an older agent that ignores it replays the same.
 */
import { AgentError } from '../core/errors.ts';
import type { MachineEvent, Tables, WorldEvent } from '../core/event.ts';
import { isDeeperThan, repeatedMember } from '../core/json.ts';
import type { Nanos } from '../core/time.ts';
import { type PackedTables, packTables, unpackTables } from './tables.ts';
import type { Output, Turn } from './turns.ts';

const VERSION = 1;

export interface Header {
  readonly agent: string;
  readonly machines: readonly string[];
  readonly begins: 'start' | 'later';
}

export type Keyframe = readonly (readonly [Nanos, WorldEvent])[];

/** There is a key, and it does not matter which: nothing in a recording is sealed with one. */
const STAND_IN = '00'.repeat(32);

export function headerLine({ agent, machines, begins }: Header): string {
  return JSON.stringify({ x0tta6bl4: 'recording', version: VERSION, agent, machines, begins });
}

/** A frame in which nothing was heard: nobody needs it, and a flood of them must not cost memory or time. */
export function isNoise({ event, heard, decided }: Turn): boolean {
  return event.type === 'frame' && heard.length === 0 && decided.length === 0;
}

/** Writes turns as lines, each after those before it. */
export class Scribe {
  #tables: Tables | null = null;

  /** null for noise. */
  line(turn: Turn): string | null {
    if (isNoise(turn)) return null;
    const { now, event, heard, decided } = turn;
    const parts: unknown[] = [now, this.#pack(event)];
    if (heard.length > 0 || decided.length > 0) parts.push(heard);
    if (decided.length > 0) parts.push(decided);
    return JSON.stringify(parts);
  }

  /** What comes after it needs nothing of what was before. */
  keyframe(events: Keyframe): string {
    this.#tables = null;
    return JSON.stringify({ keyframe: events.map(([now, event]) => [now, this.#pack(event)]) });
  }

  #pack(event: WorldEvent): unknown {
    switch (event.type) {
      case 'tables': {
        const tables = packTables(event.tables, this.#tables);
        this.#tables = event.tables;
        return { ...event, tables };
      }
      case 'settings':
        return { ...event, settings: { ...event.settings, key: event.settings.key === '' ? '' : STAND_IN } };
      case 'air-keys': {
        const keys = event.keys?.map(({ epoch }, i) => ({ id: String(i), epoch, key: STAND_IN, marks: [] })) ?? null;
        return { ...event, keys, sending: event.sending === null ? null : '0' };
      }
      case 'frame':
        return { ...event, frame: '' };
      default:
        return event;
    }
  }
}

/** A turn as it was recorded: what was heard and decided is JSON of somebody's, and only compared and shown. */
export type Recorded = Turn | { readonly keyframe: Keyframe };

const MOST_LINE = 32 * 1024 * 1024;
/** Of events and decisions none has ten. */
const MOST_DEPTH = 64;

export interface Recording extends Header {
  readonly turns: readonly Recorded[];
}

/**
 * Reads a whole recording. Throws E_RECORDING with {line} for what is none, is damaged, or is of a version that is not
 * read; a last line that was cut off by the end of the agent is left out.
 */
export function readRecording(text: string): Recording {
  const lines = text.split('\n');
  const isCut = lines.at(-1) !== '';
  if (!isCut) lines.pop();
  const header = headerOf(lines[0] ?? '');
  const turns: Recorded[] = [];
  let tables: Tables | null = null;
  let last = 0;
  const unpack = (at: number, value: unknown): readonly [Nanos, WorldEvent] => {
    if (!Array.isArray(value)) throw damaged(at, 'no event with its time');
    const [now, packed] = value as unknown[];
    if (typeof now !== 'number' || !(now >= last && now <= Number.MAX_SAFE_INTEGER))
      throw damaged(at, 'a time that is none, or before the one before it');
    last = now;
    const event = checkEvent(packed, at);
    if (event.type !== 'tables') return [now, event];
    try {
      tables = unpackTables(event.tables as unknown as PackedTables, tables);
    } catch (thrown) {
      throw damaged(at, (thrown as Error).message);
    }
    return [now, { ...event, tables }];
  };
  for (const [i, line] of lines.entries()) {
    if (i === 0 || line === '') continue;
    const at = i + 1;
    let value: unknown;
    try {
      if (line.length > MOST_LINE) throw new RangeError();
      value = JSON.parse(line);
    } catch {
      if (isCut && i === lines.length - 1) break;
      throw damaged(at, 'no JSON');
    }
    checkMembers(line, at);
    if (isKeyframe(value)) {
      tables = null;
      turns.push({ keyframe: value.keyframe.map((one) => unpack(at, one)) });
      continue;
    }
    const [now, event] = unpack(at, value);
    const [, , heard = [], decided = []] = value as unknown[];
    if (!isList(heard) || !isList(decided)) throw damaged(at, 'what was heard or decided is no list of objects');
    if (!decided.every(isOutput)) throw damaged(at, 'a decision of a kind that is not known');
    turns.push({ now, event, heard: heard as unknown as MachineEvent[], decided });
  }
  return { ...header, turns };
}

function headerOf(line: string): Header {
  let value: unknown;
  try {
    if (line.length <= MOST_LINE) value = JSON.parse(line);
  } catch {
    // Told below.
  }
  if (Array.isArray(value) && typeof value[0] === 'number')
    throw new AgentError(
      'E_RECORDING',
      'a recording from before they had a version: it holds no decisions to compare',
      {
        line: 1,
      },
    );
  if (value !== undefined) checkMembers(line, 1);
  const { x0tta6bl4, version, agent, machines, begins } = (isObject(value) ? value : {}) as Record<string, unknown>;
  if (x0tta6bl4 !== 'recording') throw damaged(1, 'no recording of x0tta6bl4');
  if (version !== VERSION)
    throw new AgentError(
      'E_RECORDING',
      `a recording of version ${JSON.stringify(version)?.slice(0, 20)}; this agent reads version ${VERSION}`,
      { line: 1 },
    );
  if (typeof agent !== 'string' || !Array.isArray(machines) || !machines.every((name) => typeof name === 'string'))
    throw damaged(1, 'a header that does not say by which agent and machines');
  if (begins !== 'start' && begins !== 'later') throw damaged(1, 'a header that does not say where it begins');
  return { agent, machines, begins };
}

function checkMembers(line: string, at: number): void {
  if (isDeeperThan(line, MOST_DEPTH)) throw damaged(at, `nested deeper than ${MOST_DEPTH}`);
  // Which of two members of one name counts is nobody's to choose.
  const twice = repeatedMember(line);
  if (twice !== null) throw damaged(at, `${JSON.stringify(String(twice.at(-1))).slice(0, 40)} is there twice`);
}

function isKeyframe(value: unknown): value is { keyframe: unknown[] } {
  return isObject(value) && Array.isArray(value.keyframe);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList(value: unknown): value is readonly object[] {
  return Array.isArray(value) && value.every(isObject);
}

/** As much as it takes to say what it is about: the rest is compared. */
function isOutput(value: object): value is Output {
  const { journal, change, send } = value as Readonly<Record<string, unknown>>;
  if ('journal' in value) return isObject(journal) && isObject(journal.fault);
  if ('change' in value) return isObject(change) && typeof change.id === 'string' && isObject(change.change);
  return Array.isArray(send);
}

function damaged(line: number, what: string): AgentError {
  return new AgentError('E_RECORDING', `line ${line}: ${what}`, { line });
}

type Kind = 'string' | 'number' | 'boolean' | 'object' | 'list' | 'any';

/** What an event has to have for machines to look at it; what is inside they may find wanting. */
const EVENTS: Readonly<Record<WorldEvent['type'], Readonly<Record<string, Kind>>>> = {
  started: { node: 'string', epoch: 'number', marks: 'list' },
  settings: { settings: 'object' },
  'air-keys': { keys: 'any', sending: 'any', mixed: 'boolean', hello: 'boolean' },
  link: { link: 'object', cause: 'string' },
  'link-gone': { index: 'number', name: 'string' },
  tables: { tables: 'object' },
  'mesh-settings': { interface: 'string', settings: 'object' },
  addresses: { interface: 'string', addresses: 'list' },
  'ogm-sent': { frame: 'string' },
  frame: { interface: 'number', frame: 'string' },
  'neighbour-evidence': { interface: 'number', neighbour: 'string', what: 'string', at: 'number' },
  'radio-stations': { stations: 'list' },
  'change-done': { id: 'string', error: 'any' },
  'kick-asked': { by: 'string', lost: 'any' },
  'mode-asked': { by: 'string', mode: 'string' },
  'class-mode-asked': { by: 'string', class: 'string', mode: 'string' },
  rehearsed: { id: 'string', verdict: 'string', detail: 'string' },
  counters: { interfaces: 'list' },
  vitals: { vitals: 'object' },
  stations: { stations: 'object' },
  upstream: { upstream: 'object' },
  declared: { interfaces: 'list' },
  transmitted: { id: 'string', at: 'number', stamped: 'boolean', error: 'any' },
  overheard: { interface: 'number', heard: 'list' },
  tick: {},
};

/** Numbers that machines count up to, or divide by: hostile ones would keep them busy for ever. */
const BOUNDS: Readonly<Record<string, readonly [number, number]>> = {
  kickCount: [1, 32],
  kickSpacingNs: [1, 1e12],
  kickBudget: [1, 600],
  senderBudget: [1, 600],
  alarmHops: [1, 32],
  pollNs: [1e6, 1e15],
  deadAfterNs: [1, 1e15],
};

function checkEvent(value: unknown, line: number): WorldEvent {
  if (!isObject(value) || typeof value.type !== 'string' || !Object.hasOwn(EVENTS, value.type))
    throw damaged(line, 'an event of a kind that is not known');
  for (const [name, kind] of Object.entries(EVENTS[value.type as WorldEvent['type']])) {
    const has = Object.hasOwn(value, name) ? value[name] : undefined;
    const fits =
      kind === 'any'
        ? has !== undefined
        : kind === 'list'
          ? Array.isArray(has)
          : kind === 'object'
            ? isObject(has)
            : typeof has === kind;
    if (!fits) throw damaged(line, `an event '${value.type}' without ${name}`);
  }
  if (value.type === 'air-keys' && value.keys !== null && !Array.isArray(value.keys))
    throw damaged(line, "an event 'air-keys' whose keys are none");
  if (value.type === 'settings') checkSettings(value.settings as Readonly<Record<string, unknown>>, line);
  return value as WorldEvent;
}

function checkSettings(settings: Readonly<Record<string, unknown>>, line: number): void {
  for (const [name, [min, max]] of Object.entries(BOUNDS)) {
    const value = settings[name];
    if (typeof value !== 'number' || !(value >= min && value <= max))
      throw damaged(line, `settings with a ${name} that cannot be`);
  }
  if (!Array.isArray(settings.hardInterfaces)) throw damaged(line, 'settings without hardInterfaces');
}
