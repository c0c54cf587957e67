/** The XDP programs on this machine's own kernel: scenarios.ts, all of them for each variant in a process and namespace of its own. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { findObjects, loadMesh } from '../../../agent/host/bpf/loader.ts';
import type { Variant } from '../../../agent/host/bpf/validator.ts';
import { native } from '../../../agent/host/native.ts';
import { SCENARIOS } from './scenarios.ts';

function obstacle(variant: Variant): string | false {
  try {
    if (process.getuid?.() !== 0) return 'needs root for network namespaces';
    if (spawnSync('unshare', ['-n', 'true']).status !== 0) return 'this kernel or container gives no network namespace';
    findObjects();
    loadMesh(native(), variant).close();
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}

const { NODE_TEST_CONTEXT: _, ...env } = process.env;

/** What came of each scenario: null for well. */
async function runAll(variant: Variant): Promise<ReadonlyMap<string, string | null>> {
  const args = ['-n', process.execPath, join(import.meta.dirname, 'scenarios.ts'), variant];
  const child = spawn('unshare', args, { env, timeout: 60_000, stdio: ['ignore', 'pipe', 'inherit'] });
  const found = new Map<string, string | null>();
  for await (const line of createInterface({ input: child.stdout })) {
    const { name, why } = JSON.parse(line) as { name: string; why: string | null };
    found.set(name, why);
  }
  return found;
}

for (const variant of ['timer', 'no-timer'] as const) {
  const skip = obstacle(variant);
  const results = skip ? null : runAll(variant);
  describe(variant, () => {
    for (const name of Object.keys(SCENARIOS))
      test(name, { skip, timeout: 70_000 }, async () => {
        const why = (await results!).get(name);
        assert.equal(why, null, why ?? 'the scenarios ended before it');
      });
  });
}
