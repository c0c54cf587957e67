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
  readonly type: 'integer' | 'string';
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

export function clip(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

export function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

export function seconds(ns: Nanos): number {
  return Math.round(ns / MS) / 1e3;
}
