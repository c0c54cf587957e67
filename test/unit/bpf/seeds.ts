/** The objects of test/data/bpf, as if a manifest named them. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readObject } from '../../../agent/host/bpf/elf.ts';
import type { Entry } from '../../../agent/host/bpf/validator.ts';

export const DATA = join(import.meta.dirname, '../../data/bpf');

export const seed = (endianness: Entry['endianness']): Buffer => readFileSync(join(DATA, `seed-${endianness}.o`));

export function entryFor(bytes: Uint8Array, endianness: Entry['endianness'], more: Partial<Entry> = {}): Entry {
  return {
    name: 'seed',
    variant: 'timer',
    endianness,
    file: `seed-${endianness}.o`,
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    maps: readObject(seed(endianness)).maps,
    ...more,
  };
}
