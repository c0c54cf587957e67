/** One of this directory's programs (eavesdrop.ts, relay.ts, flood.ts) in a namespace: it answers each line with a line. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export class Helper {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: ((line: string) => void)[] = [];
  readonly ready: Promise<string>;

  constructor(namespace: string, script: string, options: object) {
    const args = [
      'netns',
      'exec',
      namespace,
      process.execPath,
      join(import.meta.dirname, script),
      JSON.stringify(options),
    ];
    this.#child = spawn('ip', args);
    this.#child.stderr.pipe(process.stderr);
    this.ready = new Promise((resolve) => this.#waiting.push(resolve));
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#waiting.shift()?.(line));
  }

  async ask<T>(line: string): Promise<T> {
    const answer = new Promise<string>((resolve) => this.#waiting.push(resolve));
    this.#child.stdin.write(`${line}\n`);
    return JSON.parse(await answer) as T;
  }

  /** Answers its last word, if it has one. */
  async end(): Promise<string> {
    let last = '';
    this.#waiting.push((line) => {
      last = line;
    });
    const gone = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.end();
    await gone;
    return last;
  }
}
