import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readMap } from '../../../agent/mesh/map.ts';
import { load } from './modules.ts';

interface Place {
  readonly x: number;
  readonly y: number;
}
type Places = ReadonlyMap<string, Place>;
interface How {
  readonly wide: number;
  readonly first: string | null;
  readonly before: Places | null;
}

const layout = load<{ place(ids: readonly string[], links: readonly (readonly [string, string])[], how: How): Places }>(
  'layout',
);
const name = (n: number): string => `r${n}`;
const ids = (count: number): string[] => Array.from({ length: count }, (_, n) => name(n));
const plain: How = { wide: 1.6, first: 'r0', before: null };

function nearest(places: Places): number {
  const all = [...places.values()];
  let least = Number.POSITIVE_INFINITY;
  for (const [i, a] of all.entries())
    for (const b of all.slice(i + 1)) least = Math.min(least, Math.hypot(a.x - b.x, a.y - b.y));
  return least;
}

const meshes: Readonly<Record<string, readonly [number, readonly (readonly [string, string])[]]>> = {
  one: [1, []],
  three: [
    3,
    [
      ['r0', 'r1'],
      ['r1', 'r2'],
    ],
  ],
  ring: [12, ids(12).map((id, n) => [id, name((n + 1) % 12)] as const)],
  line: [40, ids(39).map((id, n) => [id, name(n + 1)] as const)],
  star: [
    300,
    ids(300)
      .slice(1)
      .map((id) => ['r0', id] as const),
  ],
  alone: [30, []],
  everybody: [
    14,
    ids(14).flatMap((a) =>
      ids(14)
        .filter((b) => a < b)
        .map((b) => [a, b] as const),
    ),
  ],
  'to itself, twice and to nobody': [
    2,
    [
      ['r0', 'r0'],
      ['r0', 'r1'],
      ['r1', 'r0'],
      ['r0', 'r9'],
    ],
  ],
};

for (const [what, [count, links]] of Object.entries(meshes))
  test(`${what}: every router has a place of its own, the same each time`, () => {
    const places = layout.place(ids(count), links, plain);
    assert.equal(places.size, count);
    for (const { x, y } of places.values()) assert.ok(Number.isFinite(x) && Number.isFinite(y));
    assert.ok(count < 2 || nearest(places) > 25, `${nearest(places)}`);
    assert.deepEqual(layout.place(ids(count), links, plain), places);
  });

test('a community of 279: neighbours are nearer than others, and it is soon done', () => {
  const path = join(import.meta.dirname, '../../data/freifunk/leipzig-meshviewer.json.gz');
  const map = readMap(gunzipSync(readFileSync(path)));
  const all = map.nodes.map(({ id }) => id);
  const links = map.links.map(({ source, target }) => [source, target] as const);
  const began = performance.now();
  const places = layout.place(all, links, { wide: 1.8, first: null, before: null });
  assert.ok(performance.now() - began < 1500, `${performance.now() - began} ms`);
  assert.ok(nearest(places) > 25);
  const far = (a: Place, b: Place): number => Math.hypot(a.x - b.x, a.y - b.y);
  const linked = links.map(([a, b]) => far(places.get(a)!, places.get(b)!)).sort((a, b) => a - b);
  const xs = [...places.values()].map(({ x }) => x);
  assert.ok(linked[linked.length >> 1]! < (Math.max(...xs) - Math.min(...xs)) / 8, 'half of the links are short');
});

test('what was there stays where it was, and who comes is put beside its neighbour', () => {
  const [count, links] = meshes.ring!;
  const before = layout.place(ids(count), links, plain);
  const same = layout.place(ids(count), links, { ...plain, before });
  assert.deepEqual(same, before);
  const grown = layout.place(ids(count + 1), [...links, ['r3', 'r12']], { ...plain, before });
  const moved = ids(count).map((id) =>
    Math.hypot(grown.get(id)!.x - before.get(id)!.x, grown.get(id)!.y - before.get(id)!.y),
  );
  assert.ok(Math.max(...moved) < 120, `${Math.max(...moved)}`);
  const { x, y } = grown.get('r12')!;
  assert.ok(Math.hypot(x - grown.get('r3')!.x, y - grown.get('r3')!.y) < 220);
});
