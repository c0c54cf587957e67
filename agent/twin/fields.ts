/**
 * What a JSON document written by a person may hold: each field is written once and gives the TypeScript type, the
 * check, and the JSON Schema. A member that begins with // is a comment. A check names every departure with a code and
 * a path; it never throws, and what is read is a copy with nothing in it that the fields do not know.
 */
import type { ErrorCode } from '../core/errors.ts';

export type ProblemCode = Extract<ErrorCode, `E_SCENARIO_${string}`>;

/** One thing that is wrong. `path` as in `$.timeline[2].link`: `$` is the document. */
export interface Problem {
  readonly code: ProblemCode;
  readonly path: string;
  readonly message: string;
}

export type Say = (code: ProblemCode, path: string, message: string) => void;

/** JSON Schema, draft 2020-12, as much of it as is used here. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: JsonSchema;
  readonly prefixItems?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly maxProperties?: number;
  readonly oneOf?: readonly JsonSchema[];
  readonly default?: unknown;
}

/** How an object has it: has to be there, may be missing, or stands in with a value where it is missing. */
type Presence = 'required' | 'optional' | 'default';

export interface Field<T, P extends Presence = Presence> {
  readonly schema: JsonSchema;
  readonly presence: P;
  readonly fallback?: T;
  /** The value, or undefined after saying what is wrong with it. */
  read(value: unknown, path: string, say: Say): T | undefined;
}

export type Of<F> = F extends Field<infer T> ? T : never;
type Fields = Readonly<Record<string, Field<unknown>>>;
type Simplify<T> = { readonly [K in keyof T]: T[K] };
export type ObjectOf<P extends Fields> = Simplify<
  { readonly [K in keyof P as P[K]['presence'] extends 'optional' ? never : K]: Of<P[K]> } & {
    readonly [K in keyof P as P[K]['presence'] extends 'optional' ? K : never]?: Of<P[K]>;
  }
>;

/** Members that begin so are for people: JSON has no other place for a comment. */
export const isComment = (key: string) => key.startsWith('//');
const COMMENTS = { '^//': { description: 'A comment.' } } as const;

const LONGEST_SHOWN = 40;

/** A value as it may stand in a message: short, on one line. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value);
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}...` : text;
}

/** So many of what is called so: '1 fault', '2 faults'. */
export const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;

/** `key` below `path`: `.key` where that can be read without quotes. */
export const below = (path: string, key: string): string =>
  /^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) && key.length <= 64 ? `${path}.${key}` : `${path}[${shown(key)}]`;

export function optional<T>(field: Field<T>): Field<T, 'optional'> {
  return { ...field, presence: 'optional' };
}

export function withDefault<T>(field: Field<T>, value: T): Field<T, 'default'> {
  return { ...field, presence: 'default', fallback: value, schema: { ...field.schema, default: value } };
}

export function described<T, P extends Presence>(field: Field<T, P>, description: string): Field<T, P> {
  return { ...field, schema: { ...field.schema, description } };
}

/** Both ends included. */
export function number(min: number, max: number, description: string): Field<number, 'required'> {
  return numeric('number', min, max, description);
}

export function integer(min: number, max: number, description: string): Field<number, 'required'> {
  return numeric('integer', min, max, description);
}

function numeric(type: 'number' | 'integer', min: number, max: number, description: string): Field<number, 'required'> {
  const what = `a ${type === 'integer' ? 'whole ' : ''}number from ${min} to ${max}`;
  return {
    schema: { type, minimum: min, maximum: max, description },
    presence: 'required',
    read(value, path, say) {
      const fits = typeof value === 'number' && value >= min && value <= max;
      if (fits && (type === 'number' || Number.isInteger(value))) return value;
      say('E_SCENARIO_VALUE', path, `expected ${what}, not ${shown(value)}`);
      return undefined;
    },
  };
}

export function flag(description: string): Field<boolean, 'required'> {
  return {
    schema: { type: 'boolean', description },
    presence: 'required',
    read(value, path, say) {
      if (typeof value === 'boolean') return value;
      say('E_SCENARIO_VALUE', path, `expected true or false, not ${shown(value)}`);
      return undefined;
    },
  };
}

export function oneOf<const C extends readonly (string | number)[]>(
  choices: C,
  description: string,
): Field<C[number], 'required'> {
  return {
    schema: { enum: choices, description },
    presence: 'required',
    read(value, path, say) {
      if ((choices as readonly unknown[]).includes(value)) return value as C[number];
      say('E_SCENARIO_VALUE', path, `expected one of ${choices.join(', ')}, not ${shown(value)}`);
      return undefined;
    },
  };
}

/** What a terminal obeys, or shows otherwise than it is written: C0, C1, ends of lines, and what turns the direction round. */
export const CONTROL = /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u;

/** Text of at least one and at most `longest` UTF-16 units, without control characters. */
export function text(longest: number, description: string): Field<string, 'required'> {
  return {
    schema: { type: 'string', minLength: 1, maxLength: longest, description },
    presence: 'required',
    read(value, path, say) {
      const fits = typeof value === 'string' && value !== '' && value.length <= longest && !CONTROL.test(value);
      if (fits) return value;
      say(
        'E_SCENARIO_VALUE',
        path,
        `expected 1 to ${longest} characters, none a control character, not ${shown(value)}`,
      );
      return undefined;
    },
  };
}

export function list<T>(item: Field<T>, most: number, description: string, least = 0): Field<readonly T[], 'required'> {
  return {
    schema: { type: 'array', items: item.schema, ...(least > 0 && { minItems: least }), maxItems: most, description },
    presence: 'required',
    read(value, path, say) {
      if (!Array.isArray(value)) {
        say('E_SCENARIO_VALUE', path, `expected an array, not ${shown(value)}`);
        return undefined;
      }
      if (value.length > most) {
        say('E_SCENARIO_LIMIT', path, `has ${value.length} items, at most ${most} are allowed`);
        return undefined;
      }
      if (value.length < least) {
        say('E_SCENARIO_VALUE', path, `expected at least ${least} items, not ${value.length}`);
        return undefined;
      }
      const items = value.map((one, i) => item.read(one, `${path}[${i}]`, say));
      return items.includes(undefined) ? undefined : (items as T[]);
    },
  };
}

/** Exactly two, that differ. */
export function pair(item: Field<string>, description: string): Field<readonly [string, string], 'required'> {
  const any = two(item, description);
  return {
    ...any,
    read(value, path, say) {
      const both = any.read(value, path, say);
      if (both === undefined || both[0] !== both[1]) return both;
      say('E_SCENARIO_VALUE', path, `expected two that differ, not ${shown(both[0])} twice`);
      return undefined;
    },
  };
}

/** An array of two, which may be the same. */
export function two<T>(item: Field<T>, description: string): Field<readonly [T, T], 'required'> {
  return {
    schema: { type: 'array', items: item.schema, minItems: 2, maxItems: 2, description },
    presence: 'required',
    read(value, path, say) {
      if (!Array.isArray(value) || value.length !== 2) {
        say(
          'E_SCENARIO_VALUE',
          path,
          `expected an array of two, not ${Array.isArray(value) ? `of ${value.length}` : shown(value)}`,
        );
        return undefined;
      }
      const [a, b] = [item.read(value[0], `${path}[0]`, say), item.read(value[1], `${path}[1]`, say)];
      return a === undefined || b === undefined ? undefined : [a, b];
    },
  };
}

/** Of two forms the one whose JSON type it has: text or array. */
export function textOr<A, B>(ofText: Field<A>, ofArray: Field<B>, description: string): Field<A | B, 'required'> {
  return {
    schema: { description, oneOf: [ofText.schema, ofArray.schema] },
    presence: 'required',
    read: (value, path, say) => (Array.isArray(value) ? ofArray : ofText).read(value, path, say) as A | B | undefined,
  };
}

/** Keys of a person's choice. */
export function record<T>(
  item: Field<T>,
  most: number,
  description: string,
): Field<Readonly<Record<string, T>>, 'required'> {
  return {
    schema: {
      type: 'object',
      patternProperties: COMMENTS,
      additionalProperties: item.schema,
      maxProperties: most,
      description,
    },
    presence: 'required',
    read(value, path, say) {
      if (!isObject(value, path, say)) return undefined;
      const entries = Object.entries(value).filter(([key]) => !isComment(key));
      if (entries.length > most) {
        say('E_SCENARIO_LIMIT', path, `has ${entries.length} members, at most ${most} are allowed`);
        return undefined;
      }
      // No prototype: a member may be called `constructor`.
      const found: Record<string, T> = Object.create(null);
      let whole = true;
      for (const [key, one] of entries) {
        const read = item.read(one, below(path, key), say);
        if (read === undefined) whole = false;
        else found[key] = read;
      }
      return whole ? found : undefined;
    },
  };
}

export function object<const P extends Fields>(fields: P, description: string): Field<ObjectOf<P>, 'required'> {
  return {
    schema: objectSchema(fields, description),
    presence: 'required',
    read: (value, path, say) =>
      isObject(value, path, say) ? (readMembers(fields, value, path, say) as ObjectOf<P> | undefined) : undefined,
  };
}

type VariantsOf<D extends string, V extends Readonly<Record<string, { readonly fields: Fields }>>> = {
  [K in keyof V & string]: Simplify<{ readonly [_ in D]: K } & ObjectOf<V[K]['fields']>>;
}[keyof V & string];

/** An object whose member `key` says which other members it has; `common` are those that all have. */
export function variants<
  const D extends string,
  const V extends Readonly<Record<string, { readonly fields: Fields; readonly help: string }>>,
  const C extends Fields,
>(key: D, choices: V, common: C, description: string): Field<VariantsOf<D, V> & ObjectOf<C>, 'required'> {
  type T = VariantsOf<D, V> & ObjectOf<C>;
  const names = Object.keys(choices);
  return {
    schema: {
      description,
      oneOf: names.map((name) => {
        const { fields, help } = choices[name]!;
        const schema = objectSchema({ ...fields, ...common }, help);
        return {
          ...schema,
          properties: { [key]: { const: name }, ...schema.properties },
          required: [key, ...(schema.required ?? [])],
        };
      }),
    },
    presence: 'required',
    read(value, path, say) {
      if (!isObject(value, path, say)) return undefined;
      const name = value[key];
      if (name === undefined) {
        say('E_SCENARIO_KEY', below(path, key), `is missing; it is one of ${names.join(', ')}`);
        return undefined;
      }
      if (typeof name !== 'string' || !Object.hasOwn(choices, name)) {
        say('E_SCENARIO_VALUE', below(path, key), `expected one of ${names.join(', ')}, not ${shown(name)}`);
        return undefined;
      }
      const fields = { ...choices[name]!.fields, ...common };
      const { [key]: _, ...rest } = value;
      const read = readMembers(fields, rest, path, say, ` of ${name}`);
      return read === undefined ? undefined : ({ [key]: name, ...read } as T);
    },
  };
}

function isObject(value: unknown, path: string, say: Say): value is Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return true;
  say('E_SCENARIO_VALUE', path, `expected an object, not ${shown(value)}`);
  return false;
}

function objectSchema(fields: Fields, description: string): JsonSchema {
  const required = Object.keys(fields).filter((key) => fields[key]!.presence === 'required');
  return {
    type: 'object',
    description,
    properties: Object.fromEntries(Object.entries(fields).map(([key, { schema }]) => [key, schema])),
    ...(required.length > 0 && { required }),
    patternProperties: COMMENTS,
    additionalProperties: false,
  };
}

function readMembers(
  fields: Fields,
  value: Record<string, unknown>,
  path: string,
  say: Say,
  of = '',
): Record<string, unknown> | undefined {
  let whole = true;
  const found: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(fields, key) || isComment(key)) continue;
    whole = false;
    say('E_SCENARIO_KEY', below(path, key), `no such key${of}; there are ${Object.keys(fields).join(', ') || 'none'}`);
  }
  for (const [key, field] of Object.entries(fields)) {
    if (!Object.hasOwn(value, key)) {
      if (field.presence === 'default') found[key] = field.fallback;
      if (field.presence === 'required') {
        whole = false;
        say('E_SCENARIO_KEY', below(path, key), 'is missing');
      }
      continue;
    }
    const read = field.read(value[key], below(path, key), say);
    if (read === undefined) whole = false;
    else found[key] = read;
  }
  return whole ? found : undefined;
}
