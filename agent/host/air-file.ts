/**
 * The keys of the air across a restart, in a file beside the identity's that nobody else can read: a mesh that loses its power
 * comes back with the keys that it had, and its first alarm is believed. What cannot be read is as if there were none, since
 * any member hands them on.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { type KeptAirKey, MOST_AIR_KEYS } from '../trust/air/keys.ts';

const VERSION = 1;
const MOST_BYTES = 512 * 1024;

export function readAirFile(file: string): KeptAirKey[] {
  try {
    const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const { mode, size } = fstatSync(fd);
      if ((mode & constants.S_IFMT) !== constants.S_IFREG || (mode & 0o077) !== 0 || size > MOST_BYTES) return [];
      return keysIn(JSON.parse(readFileSync(fd, 'utf8')));
    } finally {
      closeSync(fd);
    }
  } catch {
    return [];
  }
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
  const temporary = `${file}.x0-${process.pid}`;
  rmSync(temporary, { force: true });
  const fd = openSync(temporary, 'wx', 0o600);
  try {
    fchmodSync(fd, 0o600);
    const bytes = Buffer.from(JSON.stringify({ version: VERSION, keys: told }));
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, file);
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
