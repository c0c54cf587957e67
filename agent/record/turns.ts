/** What one turn of the runtime was: what it was fed, and what the machines decided. Live and in a replay alike. */
import type { Effect } from '../core/effect.ts';
import type { MachineEvent, WorldEvent } from '../core/event.ts';
import type { IfIndex } from '../core/ids.ts';
import type { Change } from '../core/kernel.ts';
import type { RuntimeOptions } from '../core/runtime.ts';
import type { Nanos } from '../core/time.ts';
import type { Decision } from '../core/words.ts';

/**
 * The machines that hold the mesh key. What they made of a frame is recorded in place of the frame, so a recording needs
 * no key and tells nothing of one; what they send is sealed with the key and not recorded.
 */
export const VOICE = 'alarm';
export const BEACON_VOICE = 'beacon';
const VOICES: ReadonlySet<string> = new Set([VOICE, BEACON_VOICE]);

/** One thing that the machines decided: an entry of the journal, a change of the kernel's, frames by their interfaces. */
export type Output =
  | { readonly journal: Decision }
  | { readonly change: { readonly id: string; readonly change: Change; readonly undo: Change | null } }
  | { readonly send: readonly IfIndex[] };

export interface Turn {
  readonly now: Nanos;
  readonly event: WorldEvent;
  /** What the voices told the other machines because of the event. */
  readonly heard: readonly MachineEvent[];
  readonly decided: readonly Output[];
  /** What was learned, for a keyframe; a recording tells it by what it was learned from. */
  readonly learned?: readonly Learned[];
}

export type Learned = Extract<Effect, { type: 'remember' }>;

interface Begun extends Turn {
  readonly heard: MachineEvent[];
  readonly decided: Output[];
  learned?: Learned[];
}

export class Turns {
  readonly #onTurn: (turn: Turn) => void;
  #turn: Begun | null = null;

  constructor(onTurn: (turn: Turn) => void) {
    this.#onTurn = onTurn;
  }

  /** For the runtime. A turn is handed on when the next one begins: nothing is made of it while it is under way. */
  readonly hooks: Required<Pick<RuntimeOptions, 'record' | 'observe'>> = {
    record: (now, event) => {
      this.end();
      this.#turn = { now, event, heard: [], decided: [] };
    },
    observe: (machine, effect) => {
      if (this.#turn !== null) note(this.#turn, machine, effect);
    },
  };

  /** Hands the last turn on. Not while one is under way. */
  end(): void {
    const turn = this.#turn;
    this.#turn = null;
    if (turn !== null) this.#onTurn(turn);
  }
}

function note(turn: Begun, machine: string, effect: Effect): void {
  const { heard, decided } = turn;
  switch (effect.type) {
    case 'remember':
      turn.learned ??= [];
      turn.learned.push(effect);
      return;
    case 'journal':
      decided.push({ journal: effect.decision });
      return;
    case 'change':
      decided.push({ change: { id: effect.id, change: effect.change, undo: effect.undo } });
      return;
    case 'send':
      if (!VOICES.has(machine)) decided.push({ send: effect.frames.map((frame) => frame.interface) });
      return;
    case 'emit':
      if (VOICES.has(machine)) heard.push(effect.event as MachineEvent);
  }
}
