/**
 * The keys of the air across a restart, in a file beside the identity's that nobody else can read: a mesh that loses its power
 * comes back with the keys that it had, and its first alarm is believed. What cannot be read is as if there were none, since
 * any member hands them on.
 */
import { rmSync } from 'node:fs';
import { type KeptAirKey, MOST_AIR_KEYS } from '../trust/air/keys.ts';
import { readPrivate, replacePrivate } from './private-file.ts';

const VERSION = 1;

export function readAirFile(file: string): KeptAirKey[] {
  return keysIn(readPrivate(file));
}

/** Replaces it; without any key there is none. Throws what the file system says. */
export function writeAirFile(file: string, keys: readonly KeptAirKey[]): void {
  if (keys.length === 0) {
    rmSync(file, { force: true });
    return;
  }
  const told = keys.map(({ epoch, secret, ageMs, against }) => ({
    epoch,
    secret: Buffer.from(secret).toString('hex'),
    ageMs: Math.round(ageMs),
    against,
  }));
  replacePrivate(file, { version: VERSION, keys: told });
}

function keysIn(value: unknown): KeptAirKey[] {
  const { version, keys } = (value ?? {}) as { version?: unknown; keys?: unknown };
  if (version !== VERSION || !Array.isArray(keys)) return [];
  return keys.slice(0, MOST_AIR_KEYS).flatMap((one: Partial<Record<keyof KeptAirKey, unknown>> | null) => {
    const { epoch, secret, ageMs, against } = one ?? {};
    if (typeof epoch !== 'number' || typeof ageMs !== 'number' || !Array.isArray(against)) return [];
    if (typeof secret !== 'string' || !/^[0-9a-f]{64}$/.test(secret)) return [];
    if (!against.every((name) => typeof name === 'string' && /^[0-9a-f]{16}$/.test(name))) return [];
    return [{ epoch, secret: Uint8Array.from(Buffer.from(secret, 'hex')), ageMs, against: against as string[] }];
  });
}
