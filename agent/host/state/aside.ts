/** Damaged files are set aside, not deleted: somebody may want to know what was in them. */
import { lstatSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BESIDE } from './sqlite.ts';

const ALL = ['', ...BESIDE] as const;

/** Renames the database and its WAL to `….damaged-<time>`, and keeps the newest two such. Answers the new name. */
export function setAside(file: string, wallMs: number): string {
  const stamp = new Date(wallMs).toISOString().replaceAll(/[:.]/g, '-');
  let aside = `${file}.damaged-${stamp}`;
  for (let n = 2; lstatSync(aside, { throwIfNoEntry: false }) !== undefined; n++) {
    aside = `${file}.damaged-${stamp}-${n}`;
  }
  for (const suffix of ALL)
    if (lstatSync(file + suffix, { throwIfNoEntry: false }) !== undefined) renameSync(file + suffix, aside + suffix);
  const prefix = `${file}.damaged-`;
  const others = readdirSync(dirname(file))
    .map((name) => join(dirname(file), name))
    .filter((name) => name.startsWith(prefix) && !BESIDE.some((suffix) => name.endsWith(suffix)) && name !== aside)
    .sort();
  for (const old of others.slice(0, -1)) {
    try {
      // A directory is not ours to empty: it goes only when nothing is in it.
      if (lstatSync(old).isDirectory()) rmdirSync(old);
      else for (const suffix of ALL) rmSync(old + suffix, { force: true });
    } catch {
      // One file too many is no reason not to start.
    }
  }
  return aside;
}
