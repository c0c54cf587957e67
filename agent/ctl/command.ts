/** A command of the command line, and what the groups of commands share. */
import { AgentError } from '../core/errors.ts';
import type { Client } from './client.ts';
import { EXIT } from './exit.ts';
import { clean, clip, fold, plainJson, type Terminal } from './terminal.ts';

export interface Context {
  readonly to: Terminal;
  readonly json: boolean;
  readonly arguments: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  /** The agent's, where one was named. */
  readonly socket: string | undefined;
  agent(): Promise<Client>;
}

export interface Command {
  readonly name: string;
  /** As the usage line shows them. */
  readonly arguments: string;
  /** Positional arguments at most. */
  readonly most: number;
  readonly least: number;
  readonly help: string;
  readonly more?: string;
  readonly example: string;
  readonly options?: Readonly<
    Record<string, { type: 'string' | 'boolean'; short?: string; help: string; value?: string }>
  >;
  run(context: Context): Promise<number>;
}

export const CONFIG_FILE = '/etc/config/x0tta6bl4';
/** The schema's default, without loading the schema. */
export const SOCKET = '/var/run/x0tta6bl4/ctl.sock';

export const views = () => import('./views.ts');

/** A command that shows one answer of the agent. */
export function showing<T>(
  path: string,
  text: (answer: T, to: Terminal, options: Context['options']) => Promise<string>,
  exit: (answer: T) => number = () => EXIT.ok,
): Command['run'] {
  return async ({ to, json, options, agent }) => {
    const answer = (await (await agent()).get(path)) as T;
    to.out(json ? `${plainJson(answer)}\n` : await text(answer, to, options));
    return exit(answer);
  };
}

/** What the agent says of a thing that it was asked to do, and did or did not. */
export function tell(to: Terminal, json: boolean, answer: unknown): number {
  const { done, message } = answer as { readonly done: boolean; readonly message: string };
  to.out(json ? `${plainJson(answer)}\n` : fold(`${clean(message)}\n`, to));
  return done ? EXIT.ok : EXIT.refused;
}

export function usage(message: string): AgentError {
  return new AgentError('E_USAGE', message);
}

/** In lower case. Throws E_USAGE. */
export function macOf(raw: string): string {
  const mac = raw.toLowerCase();
  if (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) return mac;
  throw usage(`MAC: ${clip(raw)} is no MAC address such as 02:12:34:56:78:9a`);
}

export function numberOf(
  raw: string | boolean | undefined,
  name: string,
  min: number,
  max: number,
): number | undefined {
  if (raw === undefined) return undefined;
  const value = /^\d+(\.\d+)?$/.test(String(raw)) ? Number(raw) : Number.NaN;
  const whole = Number.isInteger(min);
  if (!(value >= min && value <= max) || (whole && !Number.isInteger(value)))
    throw usage(`--${name}: expected a ${whole ? 'whole ' : ''}number from ${min} to ${max}`);
  return value;
}

export function choiceOf<const C extends readonly string[]>(
  raw: string | boolean | undefined,
  name: string,
  choices: C,
): C[number] | undefined {
  if (raw === undefined || choices.includes(String(raw))) return raw as C[number] | undefined;
  throw usage(`--${name}: expected ${choices.join(' or ')}`);
}
