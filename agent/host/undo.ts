/** What to undo, by the names that repairs give it; held in the undo helper, and handed to a new one if it is killed. */
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { startUndoHelper, type UndoHelper } from './netlink/undo.ts';

/** Until a helper that ended, or could not be started, is started again: short, since no change is made meanwhile. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 60_000;

export interface Undo {
  /**
   * Before the change goes out. The same id again replaces what was armed. Throws E_USAGE when too much is armed,
   * E_SOCKET when there is no helper: what cannot be held must not be changed. `waitMs`: from the agent's end until it is
   * sent.
   */
  arm(id: string, protocol: number, message: Uint8Array, waitMs: number): void;
  disarm(id: string): void;
  /** Ids armed now. */
  armed(): readonly string[];
  /** True while there is a helper to hold anything. */
  alive(): boolean;
  /** Nothing is armed: the helper goes. Otherwise it stays, and undoes what is armed when this process ends. */
  close(): void;
}

/** Never throws: without a helper `alive` says so, and another one is tried after a pause that grows. */
export function startUndo(log: Log): Undo {
  const held = new Map<string, { number: number; protocol: number; message: Uint8Array; waitMs: number }>();
  let count = 0;
  let closed = false;
  let helper: UndoHelper | null = null;
  let pause = FIRST_PAUSE_MS;
  let timer: NodeJS.Timeout | null = null;
  start();

  function start(): void {
    timer = null;
    if (closed) return;
    const began = performance.now();
    try {
      // Its lines go where ours go, also when we are no longer there to pass them on.
      helper = startUndoHelper(null, (how) => {
        helper = null;
        if (closed) return;
        if (performance.now() - began > LONGEST_PAUSE_MS) pause = FIRST_PAUSE_MS;
        log.warning('the undo helper ended; another is started', { how, in_ms: pause });
        again();
      });
      for (const { number, protocol, message, waitMs } of held.values()) helper.arm(number, protocol, message, waitMs);
    } catch (thrown) {
      helper = null;
      const error = asAgentError(thrown, 'E_NATIVE');
      log.error('the undo helper cannot be started', { code: error.code, error: error.message, again_ms: pause });
      again();
    }
  }

  function again(): void {
    if (timer !== null) return;
    timer = setTimeout(start, pause).unref();
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }

  return {
    arm(id, protocol, message, waitMs) {
      if (helper === null) throw new AgentError('E_SOCKET', 'the undo helper does not run');
      count += 1;
      const number = held.get(id)?.number ?? count;
      helper.arm(number, protocol, message, waitMs);
      // In the helper's order: what is replaced counts as armed last.
      held.delete(id);
      held.set(id, { number, protocol, message, waitMs });
    },
    disarm(id) {
      const entry = held.get(id);
      if (entry === undefined) return;
      held.delete(id);
      helper?.disarm(entry.number);
    },
    armed: () => [...held.keys()],
    alive: () => helper !== null,
    close() {
      closed = true;
      if (held.size === 0) void helper?.dismiss();
    },
  };
}
