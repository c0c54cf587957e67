/** A call of the API, and what the groups of calls share: parameters, refusals, figures. */
import { AgentError } from '../../core/errors.ts';
import { MS, type Nanos } from '../../core/time.ts';
import type { Shape } from '../shape.ts';
import type { Sources } from '../sources.ts';

/** Who asks: over HTTP nobody in particular. `mayChange` is decided by the socket, from the kernel's word. */
export interface Caller {
  readonly name: string;
  readonly mayChange: boolean;
}

export interface Asked {
  readonly sources: Sources;
  readonly caller: Caller;
  readonly query: URLSearchParams;
  /** The {id} of the path. */
  readonly id: string;
  readonly body: Readonly<Record<string, unknown>>;
}

interface Parameter {
  readonly name: string;
  readonly type: 'integer' | 'string' | 'array';
  readonly help: string;
}

export interface Call {
  /** POST only over the control socket, even where it changes nothing. */
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly help: string;
  /** Changes something: only over the control socket, only for those who may. */
  readonly changing: boolean;
  readonly query?: readonly Parameter[];
  readonly body?: readonly Parameter[];
  /** Other statuses than 200 of an answer in this shape, and what they say. */
  readonly also?: Readonly<Record<number, string>>;
  /** null: no JSON, but a page of `type`. */
  readonly shape: Shape<unknown> | null;
  readonly type?: string;
  answer(asked: Asked): unknown;
}

/** `answer` puts the version in front. */
export type Unversioned<T> = Omit<T, 'version'>;

/** Ties the answer's type to its shape. */
export function call<T>(
  row: Omit<Call, 'shape' | 'answer' | 'changing'> & {
    readonly changing?: boolean;
    readonly shape: Shape<T>;
    answer(asked: Asked): Unversioned<T>;
  },
): Call {
  return { changing: false, ...row };
}

export const JSON_TYPE = 'application/json';

export function wholeNumber(query: URLSearchParams, name: string, min: number, max: number): number | undefined {
  const raw = query.get(name);
  if (raw === null) return undefined;
  const value = /^\d{1,16}$/.test(raw) ? Number(raw) : Number.NaN;
  if (!(value >= min && value <= max)) throw usage(`${name}: expected a whole number from ${min} to ${max}`);
  return value;
}

export function usage(message: string): AgentError {
  return new AgentError('E_USAGE', message);
}

/** What somebody sent, for a message: short, and nothing in it that a terminal or a log would obey. */
export function clip(text: string): string {
  const plain = text.slice(0, 81).replaceAll(/[^\x20-\x7e]/g, '?');
  return text.length <= 80 ? plain : `${plain.slice(0, 77)}...`;
}

/**
 * The members of a body that were given: null is as if it were not there. Throws E_USAGE that names what the call does not
 * take, what is given twice, or what is of another type.
 */
export function given({ method, query = [], body = [] }: Call, asked: Pick<Asked, 'query' | 'body'>): Asked['body'] {
  const names = (of: readonly Parameter[]) => (of.length === 0 ? 'none' : of.map(({ name }) => name).join(', '));
  for (const name of asked.query.keys())
    if (!query.some((one) => one.name === name))
      throw usage(`${clip(name)}: no such parameter; there is ${names(query)}`);
  for (const { name } of query) if (asked.query.getAll(name).length > 1) throw usage(`${name}: given more than once`);
  const members = Object.entries(asked.body).filter(([name, value]) => {
    const known = body.find((one) => one.name === name);
    if (known === undefined) throw usage(`${clip(name)}: no such member of a ${method}; there is ${names(body)}`);
    if (value === null) return false;
    if (known.type === 'string' && typeof value !== 'string') throw usage(`${name}: expected a string`);
    if (known.type === 'integer' && !Number.isSafeInteger(value)) throw usage(`${name}: expected a whole number`);
    if (known.type === 'array' && !Array.isArray(value)) throw usage(`${name}: expected a list`);
    return true;
  });
  return Object.fromEntries(members);
}

export function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

export function seconds(ns: Nanos): number {
  return Math.round(ns / MS) / 1e3;
}
