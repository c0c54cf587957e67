/** What to undo, by the names that repairs give it; held in the undo helper, and handed to a new one if it is killed. */
import type { Log } from '../core/log.ts';
import { startUndoHelper, type UndoHelper } from './netlink/undo.ts';

const RESTART_MS = 1000;

export interface Undo {
  /** Before the change goes out. The same id again replaces what was armed. Throws E_USAGE when too much is armed. */
  arm(id: string, protocol: number, message: Uint8Array): void;
  disarm(id: string): void;
  /** Ids armed now. */
  armed(): readonly string[];
  /** True while there is a helper to hold anything. */
  alive(): boolean;
  /** Nothing is armed: the helper goes. Otherwise it stays, and undoes what is armed when this process ends. */
  close(): void;
}

export function startUndo(log: Log): Undo {
  const held = new Map<string, { number: number; protocol: number; message: Uint8Array }>();
  let count = 0;
  let closed = false;
  let helper: UndoHelper | null = start();

  function start(): UndoHelper | null {
    // Its lines go where ours go, also when we are no longer there to pass them on.
    return startUndoHelper(null, (how) => {
      helper = null;
      if (closed) return;
      log.warning('the undo helper ended; another is started', { how });
      setTimeout(() => {
        if (closed) return;
        helper = start();
        for (const { number, protocol, message } of held.values()) helper?.arm(number, protocol, message);
      }, RESTART_MS).unref();
    });
  }

  return {
    arm(id, protocol, message) {
      count += 1;
      const number = held.get(id)?.number ?? count;
      helper?.arm(number, protocol, message);
      held.set(id, { number, protocol, message });
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
