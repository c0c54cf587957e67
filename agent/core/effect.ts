/** Effects: everything that a machine can ask a world to do. Plain JSON (frames as hex). */
import type { Event } from './event.ts';
import type { IfIndex, Mac } from './ids.ts';
import type { Change } from './kernel.ts';
import type { Nanos } from './time.ts';
import type { Decision } from './words.ts';

export type Level = 'debug' | 'info' | 'warning' | 'error';

export type Effect =
  /** Told to every machine in the same turn, after the event that caused it. */
  | { readonly type: 'emit'; readonly event: Event }
  | {
      readonly type: 'log';
      readonly level: Level;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  /** Raw frames, sent in this order with as few system calls as can be. An empty source address is filled in by the world. */
  | { readonly type: 'send'; readonly frames: readonly { readonly interface: IfIndex; readonly frame: string }[] }
  /**
   * One frame that leaves at `at` by itself, whatever the agent is busy with, but not after `latest`. What became of it
   * comes back as 'transmitted' with the same id.
   */
  | {
      readonly type: 'transmit-at';
      readonly id: string;
      readonly interface: IfIndex;
      readonly frame: string;
      readonly at: Nanos;
      readonly latest: Nanos;
    }
  /**
   * A change of the kernel's settings. Its outcome comes back as 'change-done' with the same id.
   * `undo` is armed in the undo helper before the change goes out, and sent if the agent dies before it is disarmed.
   */
  | { readonly type: 'change'; readonly id: string; readonly change: Change; readonly undo: Change | null }
  | { readonly type: 'disarm'; readonly id: string }
  /** Read batman-adv's tables now; the answer is a 'tables' event. */
  | { readonly type: 'poll' }
  | { readonly type: 'journal'; readonly decision: Decision }
  /** The newest alarm accepted from a sender, kept across restarts against replay. */
  | { readonly type: 'remember-mark'; readonly sender: Mac; readonly epoch: number; readonly counter: number }
  | {
      readonly type: 'metric';
      readonly name: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly value: number;
    };
