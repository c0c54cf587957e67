/**
 * What the shapes of JSON answers are written with. A shape is written once and gives three things: the TypeScript type, the
 * JSON Schema of the OpenAPI page, and `mismatch` for tests.
 */

export interface Shape<T> {
  readonly schema: Schema;
  /** Only for the compiler: the type that the schema describes. */
  readonly _?: T;
}

export interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
}

export type Of<S> = S extends Shape<infer T> ? T : never;

function basic<T>(type: string): (description: string) => Shape<T> {
  return (description) => ({ schema: { type, description } });
}

export const text = basic<string>('string');
export const number = basic<number>('number');
export const integer = basic<number>('integer');
export const flag = basic<boolean>('boolean');

export function oneOf<const C extends readonly string[]>(choices: C, description: string): Shape<C[number]> {
  return { schema: { type: 'string', enum: choices, description } };
}

export function object<const P extends Readonly<Record<string, Shape<unknown>>>>(
  properties: P,
  description?: string,
): Shape<{ readonly [K in keyof P]: Of<P[K]> }> {
  const schemas = Object.fromEntries(Object.entries(properties).map(([key, { schema }]) => [key, schema]));
  return {
    schema: {
      type: 'object',
      ...(description !== undefined && { description }),
      properties: schemas,
      required: Object.keys(properties),
    },
  };
}

export function array<T>(items: Shape<T>, description: string): Shape<readonly T[]> {
  return { schema: { type: 'array', description, items: items.schema } };
}

export function orNull<T>({ schema }: Shape<T>): Shape<T | null> {
  if (schema.enum !== undefined)
    return { schema: { ...schema, type: ['string', 'null'], enum: [...schema.enum, null] } };
  if (typeof schema.type === 'string') return { schema: { ...schema, type: [schema.type, 'null'] } };
  return { schema: { anyOf: [schema, { type: 'null' }] } };
}

/** Every answer begins with this. */
export const version: Shape<1> = { schema: { type: 'integer', const: 1, description: 'of the shape of this answer' } };
export const wall = text('wall-clock time, RFC 3339');
export const mac = text('MAC address');

/** Where a value departs from a schema, as a path and a reason; null if it fits. Members beyond the schema are a departure. */
export function mismatch(schema: Schema, value: unknown, at = '$'): string | null {
  if (schema.anyOf !== undefined)
    return schema.anyOf.some((option) => mismatch(option, value, at) === null) ? null : `${at}: fits no alternative`;
  if ('const' in schema && value !== schema.const) return `${at}: is not ${JSON.stringify(schema.const)}`;
  if (schema.enum !== undefined && !schema.enum.includes(value)) return `${at}: ${JSON.stringify(value)} is no choice`;
  const types = schema.type === undefined ? [] : [schema.type].flat();
  const isA = (type: string) =>
    type === 'integer'
      ? Number.isInteger(value)
      : type === 'number'
        ? Number.isFinite(value)
        : type === (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
  if (types.length > 0 && !types.some(isA)) return `${at}: ${JSON.stringify(value)} is no ${types.join(' or ')}`;
  if (Array.isArray(value) && schema.items !== undefined) {
    for (const [i, item] of value.entries()) {
      const found = mismatch(schema.items, item, `${at}[${i}]`);
      if (found !== null) return found;
    }
  }
  if (schema.properties !== undefined && typeof value === 'object' && value !== null) {
    const members = value as Record<string, unknown>;
    for (const key of schema.required ?? []) if (!(key in members)) return `${at}.${key}: is missing`;
    for (const [key, member] of Object.entries(members)) {
      if (!Object.hasOwn(schema.properties, key)) return `${at}.${key}: is not in the shape`;
      const found = mismatch(schema.properties[key]!, member, `${at}.${key}`);
      if (found !== null) return found;
    }
  }
  return null;
}
