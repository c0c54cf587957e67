/** What the tests of the state share: a clock that is set by hand, decisions to write, a place for them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Log } from '../../../agent/core/log.ts';
import { SECOND } from '../../../agent/core/time.ts';
import type { Decision } from '../../../agent/core/words.ts';
import { openState, type State, type StateOptions } from '../../../agent/host/state.ts';

export const WALL = Date.UTC(2026, 5, 1);

export class Bench {
  time = 100 * SECOND;
  readonly lines: string[] = [];
  readonly directory: string;

  constructor(t: TestContext) {
    this.directory = mkdtempSync(join(tmpdir(), 'x0-state-'));
    t.after(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  get file(): string {
    return join(this.directory, 'state.db');
  }

  open(over: Partial<StateOptions> = {}): State {
    return openState({
      directory: this.directory,
      journalEntries: 1000,
      sizeLimitKib: 1024,
      writeIntervalNs: 300 * SECOND,
      now: () => this.time,
      wall: () => WALL + this.time / 1e6,
      log: new Log('debug', (line) => this.lines.push(line)),
      ...over,
    });
  }

  /** Lets time go by as the daemon would: flushes when it is due. */
  pass(state: State, ns: number): void {
    const end = this.time + ns;
    for (let due = state.flushDue(); due <= end; due = state.flushDue()) {
      this.time = Math.max(this.time, due);
      state.flush();
    }
    this.time = end;
  }
}

export function decision(n: number, over: Partial<Decision> = {}, evidence = 3): Decision {
  return {
    fault: {
      id: `e1-f${n}`,
      class: 'link-down',
      at: n,
      interface: 'eth1',
      interfaceIndex: 4,
      peer: '02:00:00:00:00:07',
      affected: [],
      confidence: 0.95,
      evidence: Array.from({ length: evidence }, (_, i) => ({
        source: 'rtnetlink',
        what: `carrier of eth1 lost, seen for the ${i}th time`,
        at: n + i,
      })),
    },
    step: 'done',
    at: n + 5,
    action: 'kick',
    alternatives: [
      { action: 'kick', cost: 1, refused: null },
      { action: 'detach', cost: 5, refused: 'the only interface left' },
    ],
    why: 'a neighbour was reached over this link; others still hear us',
    result: null,
    ...over,
  };
}
