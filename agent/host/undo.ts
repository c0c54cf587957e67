/**
 * The undo helper (native/undo.c): a process of a few pages that holds the messages which take a repair back, and sends
 * them when our end of its pipe closes, whatever closed it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Log } from '../core/log.ts';
import { undoHelperPath } from './native.ts';

const ARM = 1;
const DISARM = 2;
const DISMISS = 3;

export interface Undo {
  /** Before the change goes out. The same id again replaces what was armed. */
  arm(id: string, protocol: number, message: Uint8Array): void;
  disarm(id: string): void;
  /** Ids armed now. */
  armed(): readonly string[];
  /** True while there is a helper to hold anything. */
  alive(): boolean;
  /** Closes the pipe: what is armed is sent. */
  close(): void;
}

export function startUndo(log: Log): Undo {
  const ids = new Map<string, number>();
  let count = 0;
  let child: ChildProcess | null = null;
  let closed = false;
  const held = new Map<string, { protocol: number; message: Uint8Array }>();

  function start(): void {
    child = spawn(undoHelperPath(), [], { stdio: ['pipe', 'ignore', 'inherit'], detached: true });
    child.unref();
    (child.stdin as unknown as { unref?: () => void }).unref?.();
    child.stdin!.on('error', (error) => log.warning('the undo helper does not listen', { error: error.message }));
    child.once('error', (error) => log.error('the undo helper cannot be started', { error: error.message }));
    child.once('exit', (code, signal) => {
      child = null;
      if (closed) return;
      // Somebody killed it. A helper that is killed sends nothing, so a new one takes over what was armed.
      log.warning('the undo helper ended; another is started', { code, signal });
      setTimeout(() => {
        if (closed) return;
        start();
        for (const [id, { protocol, message }] of held) write(ARM, protocol, ids.get(id)!, message);
      }, 1000).unref();
    });
  }

  function write(type: number, protocol: number, id: number, message: Uint8Array): void {
    const record = Buffer.alloc(12 + message.length);
    record.writeUInt32LE(8 + message.length, 0);
    record[4] = type;
    record[5] = protocol;
    record.writeUInt32LE(id, 8);
    record.set(message, 12);
    // A pipe with room takes this at once, in the call: it is in the helper's hands before the change goes out.
    child?.stdin?.write(record);
  }

  start();
  return {
    arm(id, protocol, message) {
      count += 1;
      if (!ids.has(id)) ids.set(id, count);
      held.set(id, { protocol, message });
      write(ARM, protocol, ids.get(id)!, message);
    },
    disarm(id) {
      if (!held.delete(id)) return;
      write(DISARM, 0, ids.get(id)!, new Uint8Array());
      ids.delete(id);
    },
    armed: () => [...held.keys()],
    alive: () => child !== null,
    close() {
      closed = true;
      if (held.size === 0) write(DISMISS, 0, 0, new Uint8Array());
      child?.stdin?.end();
    },
  };
}
