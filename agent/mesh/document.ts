/**
 * A JSON document from somebody else: its size, depth and number of parts are bounded before it is parsed, and each
 * member is read with a check that names its place, as `$.links[3].cost`. Members that nobody reads are left alone:
 * the formats that come this way are open ones.
 */
import { AgentError } from '../core/errors.ts';

/** A community of ten thousand routers with all that its map server tells of each. */
export const MOST_BYTES = 16 * 1024 * 1024;
const MOST_DEPTH = 64;
/** Objects and arrays: each costs some fifty bytes of memory, however few it took in the file. */
const MOST_PARTS = 500_000;
const MOST_TEXT = 256;

/** A value and where it stands. */
export class Place {
  readonly value: unknown;
  readonly path: string;

  constructor(value: unknown, path: string) {
    this.value = value;
    this.path = path;
  }

  /** Throws E_MAP for what is no JSON, or more of it than is sane. */
  static root(source: string | Uint8Array): Place {
    if (source.length > MOST_BYTES) throw refused('$', `larger than ${MOST_BYTES} bytes`);
    const text = typeof source === 'string' ? source : decode(source);
    measure(text);
    try {
      return new Place(JSON.parse(text), '$');
    } catch (thrown) {
      // The engine names line and column, or quotes what stands around the place.
      throw refused('$', `no JSON: ${(thrown as Error).message.replace(new RegExp(CONTROL, 'g'), ' ')}`);
    }
  }

  /** Whether the member is there and is not null. */
  has(name: string): boolean {
    const { value } = this;
    return isObject(value) && Object.hasOwn(value, name) && value[name] !== null;
  }

  /** Throws E_MAP where this is no object. A member that is missing is undefined. */
  at(name: string): Place {
    const value = this.object();
    return new Place(Object.hasOwn(value, name) ? value[name] : undefined, `${this.path}.${name}`);
  }

  object(): Readonly<Record<string, unknown>> {
    if (!isObject(this.value)) throw this.refused('an object');
    return this.value;
  }

  list(most: number): Place[] {
    if (!Array.isArray(this.value)) throw this.refused('an array');
    if (this.value.length > most) throw refused(this.path, `${this.value.length} entries, at most ${most} are read`);
    return this.value.map((value, i) => new Place(value, `${this.path}[${i}]`));
  }

  /** Of 1 to 256 characters, none of them a control character: it may end up on somebody's terminal. */
  text(): string {
    const { value } = this;
    if (typeof value !== 'string' || value === '' || value.length > MOST_TEXT || CONTROL.test(value))
      throw this.refused(`a string of 1 to ${MOST_TEXT} characters`);
    return value;
  }

  number(min: number, max: number): number {
    const { value } = this;
    if (typeof value !== 'number' || !(value >= min && value <= max))
      throw this.refused(`a number from ${min} to ${max}`);
    return value;
  }

  flag(): boolean {
    if (typeof this.value !== 'boolean') throw this.refused('true or false');
    return this.value;
  }

  refused(expected: string): AgentError {
    return refused(this.path, `expected ${expected}, found ${shown(this.value)}`);
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

export function refused(path: string, what: string): AgentError {
  return new AgentError('E_MAP', `${path}: ${what}`, { path });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'an array';
  if (isObject(value)) return 'an object';
  const text = JSON.stringify(value);
  return text.length <= 40 ? text : `${text.slice(0, 37)}...`;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refused('$', 'not UTF-8');
  }
}

/** What JSON.parse would build of it, without building it. Of what is no JSON it may say anything that is bounded. */
function measure(text: string): void {
  let depth = 0;
  let parts = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
    } else if (char === 0x7b || char === 0x5b) {
      depth++;
      parts++;
      if (depth > MOST_DEPTH) throw refused('$', `nested deeper than ${MOST_DEPTH} at ${lineAndColumn(text, i)}`);
      if (parts > MOST_PARTS) throw refused('$', `more than ${MOST_PARTS} objects and arrays`);
    } else if (char === 0x7d || char === 0x5d) depth--;
  }
}

function lineAndColumn(text: string, at: number): string {
  const before = text.slice(0, at);
  return `line ${before.split('\n').length}, column ${at - before.lastIndexOf('\n')}`;
}
