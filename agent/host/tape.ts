/** A recording of everything from the agent's start, written into a file as it comes (`x0d --record FILE`). */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Log } from '../core/log.ts';
import { type Header, headerLine, isNoise, Scribe } from '../record/format.ts';
import type { Turn } from '../record/turns.ts';

/** Turns wait in memory for so long, or until there are so many: no write in the middle of a repair. */
const WAIT_MS = 1000;
const MOST_TURNS = 20_000;

export interface Tape {
  take(turn: Turn): void;
  close(): void;
}

/** Begins FILE anew. Where it cannot be written, that is logged once and the agent goes on without. */
export function openTape(file: string, header: Header, log: Log): Tape {
  const scribe = new Scribe();
  let turns: Turn[] = [];
  let fd: number | null = null;
  try {
    // It tells who is where and when.
    fd = openSync(file, 'w', 0o600);
    writeSync(fd, `${headerLine(header)}\n`);
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
    const waiting = turns;
    turns = [];
    if (fd === null || waiting.length === 0) return;
    const lines = waiting.map((turn) => scribe.line(turn)).filter((line) => line !== null);
    try {
      writeSync(fd, lines.map((line) => `${line}\n`).join(''));
    } catch (thrown) {
      failed(thrown);
    }
  }

  return {
    take(turn) {
      if (fd === null || isNoise(turn)) return;
      turns.push(turn);
      if (turns.length >= MOST_TURNS) write();
    },
    close() {
      clearInterval(timer);
      write();
      if (fd !== null) closeSync(fd);
      fd = null;
    },
  };
}
