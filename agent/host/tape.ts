/** A tape of everything that the runtime was fed, for replay and for finding out when what happened. */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { WorldEvent } from '../core/event.ts';
import type { Log } from '../core/log.ts';
import type { Nanos } from '../core/time.ts';

/** Lines wait in memory for so long, or until there are so many: no write in the middle of a repair. */
const WAIT_MS = 1000;
const MOST_LINES = 20_000;

export interface Tape {
  take(now: Nanos, event: WorldEvent): void;
  close(): void;
}

/** Begins FILE anew. Where it cannot be written, that is logged once and the agent goes on without. */
export function openTape(file: string, log: Log): Tape {
  let lines: string[] = [];
  let fd: number | null = null;
  try {
    // It tells who is where and when; the key itself is left out below.
    fd = openSync(file, 'w', 0o600);
  } catch (thrown) {
    failed(thrown);
  }
  const timer = setInterval(write, WAIT_MS);
  timer.unref();

  function failed(thrown: unknown): void {
    log.error('the tape cannot be written', { file, error: thrown instanceof Error ? thrown.message : String(thrown) });
    fd = null;
  }

  function write(): void {
    if (fd === null || lines.length === 0) return;
    const text = `${lines.join('\n')}\n`;
    lines = [];
    try {
      writeSync(fd, text);
    } catch (thrown) {
      failed(thrown);
    }
  }

  return {
    take(now, event) {
      if (fd === null) return;
      lines.push(
        JSON.stringify([
          now,
          event.type === 'settings' ? { ...event, settings: { ...event.settings, key: '' } } : event,
        ]),
      );
      if (lines.length >= MOST_LINES) write();
    },
    close() {
      clearInterval(timer);
      write();
      if (fd !== null) closeSync(fd);
      fd = null;
    },
  };
}
