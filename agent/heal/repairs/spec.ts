/** What a repair is. */
import type { Tables } from '../../core/event.ts';
import type { Change } from '../../core/kernel.ts';
import type { Nanos } from '../../core/time.ts';
import type { Action, Fault, Radius } from '../../core/words.ts';
import type { Knowledge } from '../knowledge.ts';
import type { Broken, Surroundings } from '../surroundings.ts';

export interface Repair {
  readonly action: Action;
  /** Why it helps, for the journal. */
  readonly words: string;
  /** What is done, in the imperative, for people. */
  readonly does: string;
  /** Lower is gentler. */
  readonly cost: number;
  readonly radius: Radius;
  /** Why it must not be done now, or null. */
  refusal(fault: Fault, scene: Scene): string | null;
  /** Of one that is only observed: would it help now? Where it is missing, whenever it is not refused. */
  helps?(fault: Fault, scene: Scene): boolean;
  /** Nothing but the deed shows whether it helps. */
  readonly shownBy?: 'deed';
  /** Where mend.ts carries it out; the others are execute.ts's. */
  readonly mend?: Mending;
}

export interface Scene {
  readonly around: Surroundings;
  readonly knowledge: Knowledge;
  readonly now: Nanos;
}

export interface Mending {
  /** 'while': in force while the fault lasts, then given back; 'good': for good; 'moment': it leaves nothing changed. */
  readonly keeps: 'while' | 'good' | 'moment';
  /** After it failed it is not tried again for so long. */
  readonly cooldownNs: Nanos;
  /** By then it has to have helped. */
  readonly limitNs: Nanos;
  steps(fault: Fault, scene: Scene): readonly Step[];
  /**
   * Has it helped, where that shows before the fault is over? null: only the end of the fault shows it.
   * `lost`: the originators that went by the fault's interface when it began. `read`: what the kernel
   * said just now, what is lent included.
   */
  readonly verdict?: (
    fault: Fault,
    scene: Scene,
    lost: readonly Broken[],
    read: Tables,
  ) => { good: boolean; words: string };
}

export interface Step {
  readonly change: Change;
  /**
   * Armed before, and sent when the agent dies, or the repair does not help. null: netifd is asked, which brings about what
   * is declared; where it cannot, the next step follows all the same.
   */
  readonly undo: Change | null;
  /** Where it is done, what follows need not be. */
  readonly suffices?: boolean;
  /** It waits so long for what was done before. */
  readonly afterNs?: Nanos;
  /** It lasts so long: then its undo follows, and after that the next step. */
  readonly forNs?: Nanos;
  /** As in 'eth1 hopPenalty': what is ours to change meanwhile. */
  readonly holds: string;
}
