/** The agent's end of the undo helper. The framing of its pipe is described at the top of native/undo.c. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { AgentError } from '../../core/errors.ts';
import { undoHelperPath } from '../native.ts';

const ARM = 1;
const DISARM = 2;
const DISMISS = 3;
const HEAD = 8;
/** The helper's bounds. */
export const UNDO_SLOTS = 64;
export const UNDO_MESSAGE_MAX = 4096;
const LONGEST_WAIT_MS = 0xffff;

function record(type: number, protocol: number, id: number, message: Uint8Array, waitMs = 0): Uint8Array {
  const out = new Uint8Array(4 + HEAD + message.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, HEAD + message.length, true);
  view.setUint8(4, type);
  view.setUint8(5, protocol);
  view.setUint16(6, Math.min(waitMs, LONGEST_WAIT_MS), true);
  view.setUint32(8, id, true);
  out.set(message, 4 + HEAD);
  return out;
}

/** `waitMs`: from the agent's end until the message goes, 65.5 s at most. */
export function encodeArm(id: number, protocol: number, message: Uint8Array, waitMs = 0): Uint8Array {
  if (message.length > UNDO_MESSAGE_MAX)
    throw new AgentError('E_USAGE', `an undo message has at most ${UNDO_MESSAGE_MAX} bytes`);
  return record(ARM, protocol, id, message, waitMs);
}

export function encodeDisarm(id: number): Uint8Array {
  return record(DISARM, 0, id, new Uint8Array(0));
}

export function encodeDismiss(): Uint8Array {
  return record(DISMISS, 0, 0, new Uint8Array(0));
}

export interface UndoHelper {
  readonly pid: number;
  /**
   * Holds `message` until disarm(id). When this returns true the helper has it for certain, whatever becomes of the
   * agent: the bytes lie in the kernel's pipe. false: they are written as soon as the pipe has room.
   * Throws E_USAGE above 64 armed, E_SOCKET when the helper is gone.
   */
  arm(id: number, protocol: number, message: Uint8Array, waitMs: number): boolean;
  disarm(id: number): void;
  /** Ends the helper without sending anything. */
  dismiss(): Promise<void>;
}

/**
 * Starts the helper. `onLine`: what it says, null for our own standard error; `onGone`: it ended without being dismissed,
 * or could not be started, so nothing is held any more. Throws E_NATIVE where there is no such program.
 */
export function startUndoHelper(onLine: ((line: string) => void) | null, onGone: (how: string) => void): UndoHelper {
  const child = spawn(undoHelperPath(), [], { stdio: ['pipe', 'ignore', onLine === null ? 'inherit' : 'pipe'] });
  const armed = new Set<number>();
  // Where the system lacks something (processes, descriptors) there is no pid, perhaps no pipe, and soon an 'error'.
  let alive = child.pid !== undefined;
  let told = false;
  let dismissed = false;
  let rest = '';
  const gone = (how: string) => {
    alive = false;
    if (told) return;
    told = true;
    if (!dismissed) onGone(how);
  };
  child.on('error', (error) => gone(error.message));
  child.on('exit', (code, signal) => gone(signal ?? `exit ${code}`));
  const { stdin } = child;
  stdin?.on('error', (error) => gone(error.message));
  child.stderr?.setEncoding('utf8');
  child.stderr?.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine?.(line);
  });
  // The helper must not keep the agent alive: that it ends is what it waits for.
  child.unref();
  (stdin as unknown as { unref(): void } | null | undefined)?.unref();
  (child.stderr as unknown as { unref(): void } | null | undefined)?.unref();

  const write = (bytes: Uint8Array): boolean => {
    if (!alive || !stdin) return false;
    stdin.write(bytes);
    return stdin.writableLength === 0;
  };
  return {
    pid: child.pid ?? 0,
    arm(id, protocol, message, waitMs) {
      if (!armed.has(id) && armed.size >= UNDO_SLOTS)
        throw new AgentError('E_USAGE', `at most ${UNDO_SLOTS} undo messages are held`);
      if (!alive) throw new AgentError('E_SOCKET', 'the undo helper does not run');
      const written = write(encodeArm(id, protocol, message, waitMs));
      armed.add(id);
      return written;
    },
    disarm(id) {
      if (armed.delete(id)) write(encodeDisarm(id));
    },
    async dismiss() {
      dismissed = true;
      if (!alive || !stdin) return;
      child.ref();
      const ended = once(child, 'exit');
      stdin.end(encodeDismiss());
      await ended;
    },
  };
}
