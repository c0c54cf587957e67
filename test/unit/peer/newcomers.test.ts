import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECOND } from '../../../agent/core/time.ts';
import { Newcomers } from '../../../agent/peer/newcomers.ts';

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';

test('a neighbour that was not there before is a reason to announce, each five seconds at most', () => {
  const rows: readonly (readonly [atS: number, near: readonly string[], isDue: boolean])[] = [
    [0, [], false],
    [1, [A], true],
    [2, [A], false],
    [3, [A, B], false],
    // Owed since then, also where it has gone meanwhile.
    [5.9, [A], false],
    [6, [A], true],
    [20, [A], false],
    [21, [], false],
    // One that comes back is new.
    [22, [A], true],
    [40, [C], true],
    [41, [C], false],
  ];
  const newcomers = new Newcomers();
  for (const [atS, near, isDue] of rows) assert.equal(newcomers.take(new Set(near), atS * SECOND), isDue, `${atS} s`);
});
