/** The agent's part for identities on a real socket, file and database, and x0ctl asking it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { build, type Config } from '../../../agent/config/schema.ts';
import type { Effect } from '../../../agent/core/effect.ts';
import { Log } from '../../../agent/core/log.ts';
import type { Decision } from '../../../agent/core/words.ts';
import { main } from '../../../agent/ctl/main.ts';
import type { Agent } from '../../../agent/daemon/part.ts';
import { type Trust, trust } from '../../../agent/daemon/trust.ts';
import { hear } from '../../../agent/host/http.ts';
import { openState, type State } from '../../../agent/host/state.ts';
import { Metrics } from '../../../agent/report/metrics.ts';
import type { Sources } from '../../../agent/report/sources.ts';
import { sources } from '../report/fixture.ts';
import { screen } from './screen.ts';

export interface Router {
  readonly directory: string;
  readonly socket: string;
  readonly part: Trust;
  readonly state: State;
  readonly journal: Decision[];
  readonly lines: string[];
  readonly config: Config;
  readonly log: Log;
  /** What its API shows: a part that begins later adds its own. */
  readonly from: Sources;
}

let sockets = 0;
export const now = () => Math.round(performance.now() * 1e6);

export async function router(
  t: TestContext,
  directory = mkdtempSync(join(tmpdir(), 'x0-trust-')),
  options: Record<string, unknown> = {},
): Promise<Router> {
  const lines: string[] = [];
  const journal: Decision[] = [];
  const log = new Log('debug', (line) => void lines.push(line));
  const config: Config = build(({ path, option }) =>
    path === 'state.directory' ? directory : (options[path] ?? option.default),
  );
  const state = openState({
    directory,
    journalEntries: 1000,
    sizeLimitKib: 4096,
    writeIntervalNs: 1e9,
    now,
    wall: Date.now,
    log,
  });
  const carryOut = (effect: Effect) => {
    if (effect.type === 'remember') state.remember(effect.kind, effect.key, effect.value, effect.isUrgent);
    if (effect.type === 'journal') journal.push(effect.decision);
  };
  const part = trust(config, { log, state, now, host: { carryOut } } as unknown as Agent);
  const socket = join(directory, `${process.pid}-${++sockets}.sock`);
  const from: Sources = { ...sources(), ...part.shows };
  const server = createServer(hear(from, new Metrics(), () => ({ name: 'uid 0', mayChange: true })));
  await new Promise<void>((listening) => server.listen(socket, listening));
  t.after(() => {
    server.close();
    server.closeAllConnections();
    part.close?.();
    state.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { directory, socket, part, state, journal, lines, config, log, from };
}

export async function x0ctl(at: Router, ...argv: string[]): Promise<{ status: number; out: string; err: string }> {
  const to = screen({ environment: { X0_SOCKET: at.socket } });
  const status = await main(argv, to);
  return { status, out: to.written, err: to.complained };
}

export async function well(at: Router, ...argv: string[]): Promise<string> {
  const { status, out, err } = await x0ctl(at, ...argv);
  assert.equal(status, 0, `${argv.join(' ')}: ${out}${err}`);
  return out;
}

export const ownerKey = ({ directory }: Router) => join(directory, 'owner.key');

/** The directory of a router that has ended, for its next life. */
export function endOf({ directory, state, part }: Router): string {
  part.close?.();
  state.close();
  return directory;
}

/** Gives up late, as an emulated processor takes a minute for what takes a second here. */
export async function until(isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !isSo(); ) {
    assert.ok(Date.now() < end, 'it does not come');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
