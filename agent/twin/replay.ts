/**
 * Replays a recording: the real machines, told what they were told then, have to decide what they decided then.
 *
 * Where a recording begins later than the agent did, the machines start from what was known then and first have to see as
 * much as they remember of ordinary times; until then decisions are not compared, nor are later ones on faults that
 * were known by then. Faults and changes have other numbers there; which is which is told by when they first appear.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Effect } from '../core/effect.ts';
import type { MachineEvent, WorldEvent } from '../core/event.ts';
import type { Machine } from '../core/machine.ts';
import { Runtime } from '../core/runtime.ts';
import { type Nanos, NEVER, SECOND } from '../core/time.ts';
import { heal } from '../heal/heal.ts';
import { Mesh } from '../mesh/mesh.ts';
import type { Recording } from '../record/format.ts';
import { BEACON_VOICE, type Output, type Turn, Turns, VOICE } from '../record/turns.ts';

/** batman-adv's window is 64 OGMs, an agent echoes every ten seconds, budgets are by the minute. */
const WARM_UP: Nanos = 90 * SECOND;

export interface Difference {
  /** Of how many turns it is which, from 1. */
  readonly turn: number;
  readonly event: WorldEvent;
  /** Since the beginning of the recording. */
  readonly afterNs: Nanos;
  readonly expected: Output | null;
  readonly got: Output | null;
}

export interface Replayed {
  readonly turns: number;
  readonly durationNs: Nanos;
  /** Outputs that were compared, and entries of the journal among them. */
  readonly compared: number;
  readonly decisions: number;
  /** Entries of the journal that were not, because of what was before the recording. */
  readonly uncompared: number;
  /** Names of machines that one side lacks, where they are not the same. */
  readonly machines: readonly string[];
  readonly difference: Difference | null;
}

/** Speaks for a machine that holds the mesh key: tells again what that one heard. */
class Voice implements Machine {
  readonly name: string;
  heard: readonly MachineEvent[] = [];

  constructor(name: string) {
    this.name = name;
  }

  on(): Effect[] {
    const { heard } = this;
    this.heard = [];
    return heard.map((event) => ({ type: 'emit', event }));
  }

  deadline(): Nanos {
    return NEVER;
  }
}

export interface ReplayOptions {
  /** Told each turn as it was decided now. */
  readonly onTurn?: (turn: Turn) => void;
  /** Plays on after the first difference, to the end. */
  readonly goOn?: boolean;
}

export function replay(recording: Recording, { onTurn, goOn = false }: ReplayOptions = {}): Replayed {
  const voice = new Voice(VOICE);
  const beacon = new Voice(BEACON_VOICE);
  const room = heal();
  const machines: Machine[] = [
    ...room.machines.map((one) => (one.name === VOICE ? voice : one)),
    new Mesh(),
    ...(recording.machines.includes(BEACON_VOICE) ? [beacon] : []),
  ];
  let got: Turn | null = null;
  const turns = new Turns((turn) => {
    got = turn;
  });
  const runtime = new Runtime(machines, { carryOut() {} }, turns.hooks);
  const play = (now: Nanos, event: WorldEvent, heard: readonly MachineEvent[]): Turn => {
    const isBeacons = (one: MachineEvent) => one.type === 'symptom' && one.symptom.source === 'beacon';
    voice.heard = heard.filter((one) => !isBeacons(one));
    beacon.heard = heard.filter(isBeacons);
    runtime.feed(event, now);
    turns.end();
    return got!;
  };

  const isLater = recording.begins === 'later';
  const [then, self] = [new Side(), new Side()];
  const names = new Names();
  let began: Nanos | null = null;
  let last: Nanos = 0;
  let count = 0;
  let compared = 0;
  let decisions = 0;
  let uncompared = 0;
  let difference: Difference | null = null;
  for (const turn of recording.turns) {
    if ('keyframe' in turn) {
      // Only where the machines know nothing yet: later ones say again what they have seen.
      if (began === null && count === 0) {
        for (const [now, event] of turn.keyframe) {
          began ??= now;
          last = now;
          play(now, event, []);
        }
      }
      continue;
    }
    count++;
    began ??= turn.now;
    last = turn.now;
    const now = play(turn.now, isLater ? names.event(turn.event) : turn.event, turn.heard);
    onTurn?.(now);
    const isWarm = !isLater || turn.now >= began + WARM_UP;
    const was = then.compared(turn.decided, isWarm);
    const is = self.compared(now.decided, isWarm);
    uncompared += turn.decided.filter(isEntry).length - was.filter(isEntry).length;
    decisions += was.filter(isEntry).length;
    if (isLater) names.bind(turn.decided, now.decided);
    for (let i = 0; difference === null && i < Math.max(was.length, is.length); i++) {
      const [expected, found] = [was[i] ?? null, is[i] ?? null];
      compared++;
      const renamed = expected === null || !isLater ? expected : names.translated(expected);
      if (isDeepStrictEqual(plain(renamed), plain(found))) continue;
      difference = { turn: count, event: turn.event, afterNs: turn.now - began, expected, got: found };
    }
    if (difference !== null && !goOn) break;
  }
  const own = machines.map(({ name }) => name);
  return {
    turns: count,
    durationNs: began === null ? 0 : last - began,
    compared,
    decisions,
    uncompared,
    machines: [
      ...own.filter((name) => !recording.machines.includes(name)),
      ...recording.machines.filter((name) => !own.includes(name)),
    ],
    difference,
  };
}

/** As JSON has it: what was recorded is. */
function plain(value: unknown): unknown {
  return value === null ? null : JSON.parse(JSON.stringify(value));
}

function isEntry(output: Output): boolean {
  return 'journal' in output;
}

/** What of the outputs of one side is to be compared: not what is about faults that it knew before it was warm. */
class Side {
  readonly #before = new Set<string>();
  readonly #since = new Set<string>();

  compared(outputs: readonly Output[], isWarm: boolean): readonly Output[] {
    return outputs.filter((output) => {
      const fault = faultOf(output);
      if (fault === null) return isWarm;
      if (!this.#since.has(fault)) (isWarm && !this.#before.has(fault) ? this.#since : this.#before).add(fault);
      return this.#since.has(fault);
    });
  }
}

/** The numbers of faults and changes begin anew in a replay that does not begin at the start. */
class Names {
  readonly #faults = new Map<string, string>();
  readonly #changes = new Map<string, string>();

  /** What both sides decided in one turn is about the same, one by one: told apart, it is told apart below. */
  bind(then: readonly Output[], now: readonly Output[]): void {
    for (const [i, one] of then.entries()) {
      const other = now[i];
      if (other === undefined) return;
      const [a, b] = [faultOf(one), faultOf(other)];
      if (a !== null && b !== null && !this.#faults.has(a)) this.#faults.set(a, b);
      if ('change' in one && 'change' in other && !this.#changes.has(one.change.id))
        this.#changes.set(one.change.id, other.change.id);
    }
  }

  translated(output: Output): Output {
    if ('change' in output) {
      const { change } = output;
      return { change: { ...change, id: this.#changes.get(change.id) ?? change.id } };
    }
    const fault = faultOf(output);
    if (!('journal' in output) || fault === null) return output;
    const { journal } = output;
    return { journal: { ...journal, fault: { ...journal.fault, id: this.#faults.get(fault) ?? fault } } };
  }

  event(event: WorldEvent): WorldEvent {
    return event.type === 'change-done' ? { ...event, id: this.#changes.get(event.id) ?? event.id } : event;
  }
}

function faultOf(output: Output): string | null {
  return 'journal' in output && typeof output.journal?.fault?.id === 'string' ? output.journal.fault.id : null;
}
