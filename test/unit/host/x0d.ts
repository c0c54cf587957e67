/** x0d as a process of its own, under test: where it lives, what it says and is asked. Its kernel is shim.ts. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { WorldEvent } from '../../../agent/core/event.ts';
import { folder, until } from './help.ts';

export const ROOT = join(import.meta.dirname, '..', '..', '..');
/** Why no x0d can be started here; false where it can. */
export const skip = ['x0shim.node', 'x0undo'].every((file) => existsSync(join(ROOT, 'native', 'build', file)))
  ? false
  : 'the native part is not built (make -C native)';

type Options = Readonly<Record<string, Readonly<Record<string, string>>>>;

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** A place for agents: a configuration, a state, a socket. */
export class Place {
  readonly dir: string;
  readonly config: string;
  readonly socket: string;
  /** Not what a machine that runs tests may have, and no other test's. */
  readonly mesh = `x0-${Math.random().toString(36).slice(2, 10)}`;
  readonly #batadv: string;
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
    this.dir = folder(t);
    this.config = join(this.dir, 'config');
    this.socket = join(this.dir, 'run', 'ctl.sock');
    this.#batadv = join(this.dir, 'batadv');
    this.loadBatadv();
  }

  loadBatadv(): void {
    writeFileSync(this.#batadv, '');
  }

  /** `sections`: what comes after these, as text. */
  configure(options: Options = {}, sections = ''): void {
    const all: Options = {
      heal: {},
      ...options,
      mesh: { interface: this.mesh, ...options.mesh },
      report: { http: '0', socket: this.socket, ...options.report },
      state: { directory: join(this.dir, 'state'), ...options.state },
    };
    const rows = Object.entries(all).map(([name, rows]) =>
      [`config ${name} '${name}'`, ...Object.entries(rows).map(([option, value]) => `\toption ${option} '${value}'`)]
        .join('\n')
        .concat('\n'),
    );
    writeFileSync(this.config, `${rows.join('\n')}\n${sections}`);
  }

  start(batadv = true, tape = join(this.dir, `tape-${Math.random()}`), shim = join(import.meta.dirname, 'shim.ts')) {
    const missing = join(this.dir, 'missing');
    const args = [join(ROOT, 'agent', 'daemon.ts'), '--config', this.config, '--record', tape];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        X0_SHIM: shim,
        X0_UNDO: join(ROOT, 'native', 'build', 'x0undo'),
        X0_TEST_BATADV: batadv ? this.#batadv : missing,
      },
    });
    const agent = {
      pid: child.pid!,
      said: '',
      ready: false,
      code: null as number | string | null,
      kill: (signal: NodeJS.Signals) => void child.kill(signal),
      /** Whoever read its lines is gone. */
      unheard: () => {
        child.stderr.destroy();
        child.stdout.destroy();
      },
      appears: () => writeFileSync(missing, ''),
      says: (what: RegExp, ms = 30_000) =>
        until(`${what} in ${agent.said}`, () => what.test(agent.said) || agent.code !== null, ms).then(() =>
          assert.match(agent.said, what),
        ),
      isReady: () => until(`ready: ${agent.said}`, () => agent.ready || agent.code !== null, 30_000),
      ended: () => until('the end', () => agent.code !== null, 30_000),
      recording: () => readFileSync(tape, 'utf8'),
      tape: () =>
        readFileSync(tape, 'utf8')
          .split('\n')
          .filter((line) => line !== '')
          .slice(1)
          .map((line) => (JSON.parse(line) as [number, WorldEvent])[1]),
    };
    child.stderr.on('data', (text) => {
      agent.said += text;
    });
    child.stdout.on('data', (text) => {
      agent.ready ||= String(text).includes('"ready":true');
    });
    child.once('close', (code, signal) => {
      agent.code = code ?? signal;
    });
    this.#t.after(() => child.kill('SIGKILL'));
    return agent;
  }

  ask(method: string, path: string, body?: unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.socket, method, path }, (response) => {
        let text = '';
        response.on('data', (part) => {
          text += part;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
      });
      asked.on('error', reject);
      asked.end(body === undefined ? '' : JSON.stringify(body));
    });
  }

  async mode(): Promise<string> {
    const { body } = await this.ask('GET', '/mesh/status');
    return (body.heal as { mode: string }).mode;
  }
}
