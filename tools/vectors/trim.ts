/**
 * Makes the files of test/data/wycheproof from Wycheproof's own:
 *
 *     node tools/vectors/trim.ts FROM_DIRECTORY
 *
 * Left out: fields that nothing here reads, and of the long vectors all but the first few of each kind. A kind is the type
 * of the group, the result and the flags. Left out, too: ML-DSA's internal interface, which signs digests. What is left is
 * as it was.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** The most vectors of one kind that are kept, by the beginning of the file's name; of the others, all. */
const MOST = { mldsa: 4, mlkem: 6 } as const;

/** Other forms of what is there in hexadecimal, and prose. */
const LEFT_OUT = new Set([
  ...['publicKeyDer', 'publicKeyPem', 'publicKeyJwk', 'privateKeyPkcs8', 'source', 'schema', 'numberOfTests'],
  ...['comment', 'notes', 'header', 'mu', 'dk'],
]);

interface File {
  readonly testGroups: readonly Group[];
}
interface Group {
  readonly type: string;
  readonly tests: readonly { readonly result: string; readonly flags?: readonly string[] }[];
}

function trim(file: File, most: number): File {
  const seen = new Map<string, number>();
  const keep = (group: Group, test: Group['tests'][number]): boolean => {
    if (test.flags?.includes('Internal')) return false;
    const kind = JSON.stringify([group.type, test.result, test.flags]);
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    return seen.get(kind)! <= most;
  };
  const groups = file.testGroups.map((group) => ({ ...group, tests: group.tests.filter((test) => keep(group, test)) }));
  return { ...file, testGroups: groups.filter((group) => group.tests.length > 0) };
}

const from = process.argv[2];
if (from === undefined) throw new Error('usage: node tools/vectors/trim.ts FROM_DIRECTORY');
for (const name of readdirSync(from).filter((one) => one.endsWith('.json'))) {
  const most = Object.entries(MOST).find(([begin]) => name.startsWith(begin))?.[1] ?? Number.POSITIVE_INFINITY;
  const file = trim(JSON.parse(readFileSync(join(from, name), 'utf8')), most);
  const text = JSON.stringify(file, (key, value) => (LEFT_OUT.has(key) ? undefined : value));
  const to = join(import.meta.dirname, '../../test/data/wycheproof', `${name}.gz`);
  writeFileSync(to, gzipSync(text, { level: 9 }));
}
