/**
 * Alert handlers: each entry of the journal as JSON to a command's standard input, and to an HTTP hook. One at a time, with
 * a time limit, through a bounded queue: whatever a handler does, healing does not wait for it. Loaded only where one is
 * configured.
 */
import { spawn } from 'node:child_process';
import { request as plain } from 'node:http';
import { request as secure } from 'node:https';
import { constants, setPriority } from 'node:os';
import type { Log } from '../core/log.ts';
import { MS, type Nanos } from '../core/time.ts';
import type { Decision } from '../core/words.ts';

export interface AlertOptions {
  /** A program and its arguments, without a shell; empty for none. */
  readonly command: readonly string[];
  /** http: or https:, '' for none. */
  readonly url: string;
  readonly timeoutNs: Nanos;
  readonly node: string;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
}

/** Entries that wait; the oldest go first, and are counted. */
export const MOST_WAITING = 100;
const FINE = 300;

export class Alerts {
  readonly #options: AlertOptions;
  readonly #waiting: string[];
  #busy = false;
  #closed = false;
  dropped = 0;

  /** `waiting`: what another one, that was closed, had not come to. */
  constructor(options: AlertOptions, waiting: readonly string[] = []) {
    this.#options = options;
    this.#waiting = [...waiting];
    void this.#work();
  }

  /** A handler runs, or entries wait for theirs. */
  get isBusy(): boolean {
    return this.#busy;
  }

  take(decision: Decision): void {
    const { node, wall } = this.#options;
    const { fault, step, action, why, result } = decision;
    const event = {
      version: 1,
      node,
      time: new Date(wall()).toISOString(),
      fault: fault.id,
      class: fault.class,
      interface: fault.interface,
      peer: fault.peer,
      confidence: fault.confidence,
      evidence: fault.evidence.map(({ source, what }) => ({ source, what })),
      step,
      action,
      why,
      result,
    };
    this.#waiting.push(JSON.stringify(event));
    if (this.#waiting.length > MOST_WAITING) {
      this.#waiting.shift();
      if (this.dropped++ === 0)
        this.#options.log.warning('alerts come faster than their handlers take them: the oldest are dropped');
    }
    void this.#work();
  }

  /** What runs comes to its end. Answers what waits, for whoever comes next. */
  close(): readonly string[] {
    this.#closed = true;
    return this.#waiting.splice(0);
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    const { command, url, log } = this.#options;
    for (let text = this.#waiting.shift(); text !== undefined && !this.#closed; text = this.#waiting.shift()) {
      const [ran, posted] = await Promise.all([
        command.length === 0 ? null : this.#run(command, text),
        url === '' ? null : this.#post(url, text),
      ]);
      if (ran !== null) log.warning(`the alert command ${ran}`, { command: command[0] });
      if (posted !== null) log.warning(`the alert hook ${posted}`, { url: new URL(url).origin });
    }
    this.#busy = false;
  }

  /** Answers what went wrong, or null. */
  #run([program, ...rest]: readonly string[], text: string): Promise<string | null> {
    const timeout = this.#options.timeoutNs / MS;
    return new Promise((resolve) => {
      // A group of its own, so that what it started ends with it: else one that hangs leaves more behind with each entry.
      const child = spawn(program!, rest, { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        try {
          process.kill(-child.pid!, 'SIGKILL');
        } catch {
          // It is over already.
        }
      }, timeout);
      child.on('error', (error) => {
        clearTimeout(timer);
        resolve(`cannot be run: ${error.message}`);
      });
      child.on('exit', (code, signal) => {
        clearTimeout(timer);
        resolve(late ? `took longer than ${timeout} ms` : code === 0 ? null : `ended with ${code ?? signal}`);
      });
      // It may not read at all.
      child.stdin.on('error', () => {});
      child.stdin.end(`${text}\n`);
      try {
        // Not as urgent as we are.
        if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
      } catch {
        // It is over already, or it is not ours to set.
      }
    });
  }

  #post(url: string, text: string): Promise<string | null> {
    const timeout = this.#options.timeoutNs / MS;
    return new Promise((resolve) => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
      const signal = AbortSignal.timeout(timeout);
      const asked = (url.startsWith('https:') ? secure : plain)(
        url,
        { method: 'POST', headers, signal, agent: false },
        (answer) => {
          const { statusCode = 0 } = answer;
          // What it says is of no interest.
          answer.destroy();
          resolve(statusCode >= 200 && statusCode < FINE ? null : `answered ${statusCode}`);
        },
      );
      asked.on('error', (error) =>
        resolve(signal.aborted ? `took longer than ${timeout} ms` : `cannot be reached: ${error.message}`),
      );
      asked.end(text);
    });
  }
}
