/** How one vector ends: a handler returns where it holds, and throws one of these where not. */
import { AgentError } from '../../agent/core/errors.ts';

export class Failed extends Error {}

/** The vector asks for something that the agent does not do: said, and no failure. */
export class NotCovered extends Error {}

export type Fields = Readonly<Record<string, unknown>>;

/** A hex field; `absent` is what it is where it does not stand there. Throws NotCovered for none, and for what is no hex. */
export function bytes(from: Fields, name: string, absent?: string): Uint8Array {
  const text = from[name] ?? absent;
  if (text === undefined) throw new NotCovered(`${name} is not in the file`);
  if (typeof text !== 'string' || !/^([0-9a-f]{2})*$/i.test(text))
    throw new NotCovered(`${name} is not in hexadecimal`);
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

/** A length in bytes. Throws NotCovered for what is none. */
export function count(from: Fields, name: string): number {
  const value = from[name];
  if (value === undefined) throw new NotCovered(`${name} is not in the file`);
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new NotCovered(`${name} is no number of bytes`);
  return value as number;
}

/** Whether a vector is one that holds, as the field says: one of `yes` or of `no`. Throws NotCovered for neither. */
export function expected<T>(from: Fields, name: string, yes: readonly T[], no: readonly T[]): boolean {
  const said = from[name] as T;
  if (!yes.includes(said) && !no.includes(said))
    throw new NotCovered(said === undefined ? `${name} is not in the file` : `${name} is ${JSON.stringify(said)}`);
  return yes.includes(said);
}

export function same(found: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(found, expected) !== 0) throw new Failed(`${what} differs`);
}

export function holds(condition: boolean, otherwise: string): void {
  if (!condition) throw new Failed(otherwise);
}

/** That it is refused in an orderly way: an AgentError, whatever the library threw inside. */
export function refused(work: () => unknown, what: string): void {
  if (attempt(work) !== null) throw new Failed(`${what} was accepted`);
}

/** What `work` gives; null where it refuses. */
export function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof AgentError) return null;
    throw thrown;
  }
}

/** The same of what is no code of the agent's, and throws what it likes. */
export function possible<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}
