/** Effects: everything that a machine can ask a world to do. Plain JSON (frames as hex). */
import type { Event, Memory } from './event.ts';
import type { IfIndex, Mac } from './ids.ts';
import type { Change } from './kernel.ts';
import type { Nanos } from './time.ts';
import type { Decision, Plan } from './words.ts';

export type Level = 'debug' | 'info' | 'warning' | 'error';

/** 'air' ('overheard'): which routing protocols are spoken on some interfaces. */
export type Survey = 'counters' | 'vitals' | 'stations' | 'upstream' | 'netifd' | 'air';

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
  | {
      readonly type: 'change';
      readonly id: string;
      readonly change: Change;
      readonly undo: Change | null;
      /** How long after the agent's end the undo waits: what is changed has to do its work first. */
      readonly undoAfter?: Nanos;
    }
  | { readonly type: 'disarm'; readonly id: string }
  /**
   * From now on the kernel says so ('neighbour-evidence': 'deadline') when no frame of a neighbour came for so long; 0: never;
   * null: as long as the configuration says. When it was heard last is told at once ('heard'). Nothing happens for who is no
   * neighbour, and where no XDP program watches.
   */
  | {
      readonly type: 'deadline';
      readonly neighbour: Mac;
      readonly interface: IfIndex;
      readonly silenceNs: Nanos | null;
    }
  /** Read batman-adv's tables now; the answer is a 'tables' event. */
  | { readonly type: 'poll' }
  /** Look at what the kernel does not announce; `interfaces` are for 'air'. Each answer is the event of its name. */
  | { readonly type: 'survey'; readonly of: readonly Survey[]; readonly interfaces: readonly IfIndex[] }
  /**
   * Play this plan in the twin from the live state: `changes`, in their order, are what it comes to. The answer is a
   * 'rehearsed' event of the same id. What comes after `deadline` is not waited for.
   */
  | {
      readonly type: 'rehearse';
      readonly id: string;
      readonly plan: Plan;
      readonly changes: readonly Change[];
      readonly deadline: Nanos;
    }
  /** Ends the agent, for whoever watches over it to start it anew. */
  | { readonly type: 'restart'; readonly why: string }
  | { readonly type: 'journal'; readonly decision: Decision }
  /** Something learned, kept across restarts; it comes back with 'started'. null forgets it. */
  | {
      readonly type: 'remember';
      readonly kind: Memory['kind'];
      readonly key: string;
      readonly value: string | null;
      /** To be on the medium within a second. */
      readonly isUrgent?: boolean;
    }
  /** The newest alarm accepted from a sender, kept across restarts against replay. */
  | {
      readonly type: 'remember-mark';
      readonly sender: Mac;
      readonly epoch: number;
      readonly counter: number;
      /** The id of the key of the air; absent for the mesh key. */
      readonly key?: string;
    }
  /** A frame that this neighbour sealed with a key of the air: it is a member. Said again every so often. */
  | { readonly type: 'proven'; readonly neighbour: Mac; readonly interface: IfIndex }
  | {
      readonly type: 'metric';
      readonly name: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly value: number;
    };
