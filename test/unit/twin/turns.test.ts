/** Cut after cut, where every router runs the agent: what one repair leaves behind must not make the next one long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { turns } from '../../../tools/bench/calibrate.ts';

/** Stock takes 4 to 10 s (bench `calibrate`). */
for (const seed of [1, 2, 3])
  test(`twenty cuts of a grid in turn, seed ${seed}: none costs a quarter of a second, most a probe or none`, () => {
    const times = turns(seed).sort((a, b) => a - b);
    assert.ok(times.length >= 10, String(times.length));
    assert.ok(times.at(-1)! < 250, `${times.at(-1)} ms`);
    assert.ok(times[Math.floor(times.length / 2)]! < 10, times.join(' '));
  });
