import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runVectors } from '../../../tools/vectors/run.ts';
import { subjects } from '../../../tools/vectors/subject.ts';
import { readVectors } from '../../../tools/vectors.ts';

const DATA = join(import.meta.dirname, '../../data/wycheproof');

for (const file of readdirSync(DATA).filter((name) => name.endsWith('.gz'))) {
  const vectors = readVectors(join(DATA, file));
  for (const subject of subjects()) {
    test(`${subject.name}: ${file.replace('_test.json.gz', '')}`, (t) => {
      const results = runVectors(vectors, [subject]);
      const failed = results.flatMap((one) => one.failed.map((line) => `group ${one.group}, ${line}`));
      assert.deepEqual(failed, []);
      const why = new Set(results.flatMap(({ notCovered }) => [...notCovered.keys()]));
      if (results.some(({ passed }) => passed > 0)) assert.deepEqual([...why], []);
      else t.skip([...why].join(', '));
    });
  }
}
