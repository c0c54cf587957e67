/**
 * The plugin of rpcd outside of rpcd: the real one where this machine has ucode (X0_UCODE names it, else it is looked for),
 * or the same table of methods carried out here. What rpcd itself checks before it calls a plugin, this does for both.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { APP } from './artefacts.ts';
import { METHODS, type Method, OBJECT } from './methods.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const STAGE = join(import.meta.dirname, 'stage');
export const PLUGIN = join(ROOT, APP, 'root/usr/share/rpcd/ucode/x0tta6bl4.uc');
const ANSWER_MS = 2500;

export type Args = Readonly<Record<string, unknown>>;

export interface Plugin {
  readonly how: 'ucode' | 'stand-in';
  /** Of the plugin's own process; null where it has none. */
  readonly pid: number | null;
  /** Never rejects for what is asked, only when the plugin is gone. */
  call(method: string, args?: Args): Promise<unknown>;
  close(): void;
}

/** The program, or null where there is none, or one without the modules that the plugin needs. */
export function ucode(): string | null {
  const program = process.env.X0_UCODE ?? 'ucode';
  try {
    execFileSync(program, ['-e', 'import * as s from "socket"; import { open } from "fs"; s.connect;'], {
      stdio: 'ignore',
    });
    return program;
  } catch {
    return null;
  }
}

/** Why rpcd would not call a method with these arguments, as ubus's status; 0 where it would. */
export function refusal(method: Method | undefined, args: Args): number {
  if (method === undefined) return 3;
  for (const [name, value] of Object.entries(args)) {
    const known = method.args.find((one) => one.name === name);
    const fits = known?.type === 'integer' ? Number.isInteger(value) : typeof value === 'string';
    if (known === undefined || !fits) return 2;
  }
  return 0;
}

export function openPlugin(socket: string): Plugin {
  const program = ucode();
  return program === null ? standIn(socket) : real(program, socket);
}

function real(program: string, socket: string): Plugin {
  const child: ChildProcess = spawn(program, [join(STAGE, 'driver.uc'), PLUGIN, STAGE], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, X0_SOCKET: socket },
  });
  const waiting: PromiseWithResolvers<unknown>[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line)));
  child.once('close', (code) => {
    for (const one of waiting.splice(0)) one.reject(new Error(`ucode ended with ${code}`));
  });
  return {
    how: 'ucode',
    pid: child.pid!,
    call: (method, args = {}) => {
      const one = Promise.withResolvers<unknown>();
      waiting.push(one);
      child.stdin!.write(`${JSON.stringify({ object: OBJECT, method, args })}\n`);
      return one.promise;
    },
    close: () => void child.kill(),
  };
}

const failed = (code: string, message: string) => ({ error: { code, message } });

function standIn(socket: string): Plugin {
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    how: 'stand-in',
    pid: null,
    call: async (name, args = {}) => {
      const method = METHODS.find((one) => one.name === name);
      if (method?.ask === undefined) return name === 'names' ? { names: {} } : failed('E_NOT_FOUND', 'only with ucode');
      const [verb, path] = method.ask;
      let url = path;
      const query: string[] = [];
      const body: Record<string, unknown> = {};
      for (const { name: key, goes, required } of method.args) {
        const value = args[key];
        if (value === undefined) {
          if (required) return failed('E_USAGE', `${key}: expected a text`);
          continue;
        }
        if (goes === 'query') query.push(`${key}=${value}`);
        else if (goes === 'body') body[key] = value;
        else if (/^[A-Za-z0-9._-]{1,64}$/.test(String(value))) url += value;
        else return failed('E_USAGE', `${key}: expected at most 64 letters, digits, dots, _ and -`);
      }
      if (query.length > 0) url += `?${query.join('&')}`;
      return ask(socket, kept, verb, url, verb === 'POST' ? JSON.stringify(body) : '');
    },
    close: () => kept.destroy(),
  };
}

function ask(socketPath: string, agent: Agent, method: string, path: string, body: string): Promise<unknown> {
  return new Promise((resolve) => {
    const sent = request({ socketPath, method, path, agent, timeout: ANSWER_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
    });
    sent.on('timeout', () => sent.destroy(Object.assign(new Error('timeout'), { code: 'E_TIMEOUT' })));
    sent.on('error', (thrown: NodeJS.ErrnoException) =>
      resolve(
        thrown.code === 'E_TIMEOUT'
          ? failed('E_TIMEOUT', `the agent did not answer within ${ANSWER_MS} ms`)
          : failed('E_NOT_RUNNING', `the agent is not running: nothing listens on ${socketPath}`),
      ),
    );
    sent.end(body);
  });
}
