/** The QR codes of join.js, read back by a decoder written from the standard the other way round; and against another encoder. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { load } from './modules.ts';

type Rows = readonly ArrayLike<number>[];
const qr = load<{ encode(text: string): Rows | null; path(rows: Rows): string }>('qr');

/** Error correction codewords of a block and blocks, by level and version, as far as the tests go. */
const BLOCKS: Readonly<Record<string, readonly (readonly [each: number, blocks: number])[]>> = {
  M: [
    [10, 1],
    [16, 1],
    [26, 1],
    [18, 2],
    [24, 2],
    [16, 4],
    [18, 4],
    [22, 4],
    [22, 5],
    [26, 5],
    [30, 5],
    [22, 8],
    [22, 9],
    [24, 9],
    [24, 10],
    [28, 10],
    [28, 11],
    [26, 13],
    [26, 14],
    [26, 16],
  ],
  L: [
    [7, 1],
    [10, 1],
    [15, 1],
    [20, 1],
    [26, 1],
    [18, 2],
    [20, 2],
    [24, 2],
    [30, 2],
    [18, 4],
  ],
};
const MASKS = [
  (x: number, y: number) => (x + y) % 2,
  (_: number, y: number) => y % 2,
  (x: number) => x % 3,
  (x: number, y: number) => (x + y) % 3,
  (x: number, y: number) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2,
  (x: number, y: number) => ((x * y) % 2) + ((x * y) % 3),
  (x: number, y: number) => (((x * y) % 2) + ((x * y) % 3)) % 2,
  (x: number, y: number) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

/** Multiplication in GF(256), bit by bit. */
function times(a: number, b: number): number {
  let product = 0;
  for (let i = 7; i >= 0; i--) {
    product = (product << 1) ^ (product & 0x80 ? 0x11d : 0);
    if ((b >> i) & 1) product ^= a;
  }
  return product & 0xff;
}

/** All its powers of 2 are roots of a block that is whole. */
function assertWhole(block: readonly number[], degree: number): void {
  for (let i = 0, root = 1; i < degree; i++, root = times(root, 2)) {
    const rest = block.reduce((sum, byte) => times(sum, root) ^ byte, 0);
    assert.equal(rest, 0, `syndrome ${i}`);
  }
}

function decode(rows: Rows): string {
  const size = rows.length;
  const version = (size - 17) / 4;
  const at = (x: number, y: number): number => rows[y]![x]!;
  let format = 0;
  for (let i = 0; i < 15; i++) format |= at(8, i < 6 ? i : i < 8 ? i + 1 : size - 15 + i) << i;
  let second = 0;
  for (let i = 0; i < 15; i++) second |= at(i < 8 ? size - 1 - i : i === 8 ? 7 : 14 - i, 8) << i;
  assert.equal(second, format, 'both copies of the format');
  assert.equal(at(8, size - 8), 1, 'the module that is always dark');
  const code = format ^ 0x5412;
  let rest = code;
  for (let i = 14; i >= 10; i--) if ((rest >> i) & 1) rest ^= 0x537 << (i - 10);
  assert.equal(rest, 0, 'the format is whole');
  const level = ['M', 'L'][code >> 13]!;
  const mask = MASKS[(code >> 10) & 7]!;
  const centres = version === 1 ? [] : [6];
  if (version > 1) {
    const count = Math.floor(version / 7) + 2;
    const step = version === 32 ? 26 : Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
    for (let i = count - 2; i >= 0; i--) centres.push(size - 7 - i * step);
  }
  const isFunction = (x: number, y: number): boolean =>
    x === 6 ||
    y === 6 ||
    (x < 9 && y < 9) ||
    (x < 9 && y >= size - 8) ||
    (x >= size - 8 && y < 9) ||
    (version >= 7 && ((x < 6 && y >= size - 11) || (y < 6 && x >= size - 11))) ||
    centres.some((cy) =>
      centres.some((cx) => {
        const corner = (cx === 6 && cy === 6) || (cx === 6 && cy === size - 7) || (cx === size - 7 && cy === 6);
        return !corner && Math.abs(cx - x) <= 2 && Math.abs(cy - y) <= 2;
      }),
    );
  const bits: number[] = [];
  let up = true;
  for (let right = size - 1; right > 0; right -= 2, up = !up) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step++)
      for (const x of [right, right - 1]) {
        const y = up ? size - 1 - step : step;
        if (!isFunction(x, y)) bits.push(at(x, y) ^ (mask(x, y) === 0 ? 1 : 0));
      }
  }
  const words = Array.from({ length: Math.floor(bits.length / 8) }, (_, i) =>
    bits.slice(i * 8, i * 8 + 8).reduce((byte, bit) => (byte << 1) | bit, 0),
  );
  const [each, count] = BLOCKS[level]![version - 1]!;
  const room = words.length - each * count;
  const sizes = Array.from(
    { length: count },
    (_, i) => Math.floor(room / count) + (i >= count - (room % count) ? 1 : 0),
  );
  const blocks: number[][] = sizes.map(() => []);
  let next = 0;
  for (let i = 0; i < Math.max(...sizes); i++)
    for (const [b, length] of sizes.entries()) if (i < length) blocks[b]!.push(words[next++]!);
  for (let i = 0; i < each; i++) for (const block of blocks) block.push(words[next++]!);
  for (const block of blocks) assertWhole(block, each);
  const data = blocks.flatMap((block, b) => block.slice(0, sizes[b]));
  const all = data.flatMap((byte) => Array.from({ length: 8 }, (_, i) => (byte >> (7 - i)) & 1));
  const take = (from: number, length: number): number =>
    all.slice(from, from + length).reduce((value, bit) => value * 2 + bit, 0);
  assert.equal(take(0, 4), 4, 'byte mode');
  const wide = version < 10 ? 8 : 16;
  const length = take(4, wide);
  const bytes = Uint8Array.from({ length }, (_, i) => take(4 + wide + i * 8, 8));
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

test('what is written can be read', () => {
  for (const text of ['', 'a', 'x0tta6bl4', 'Приглашение в сеть', 'a'.repeat(230), 'x'.repeat(660)])
    assert.equal(decode(qr.encode(text)!), text);
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) =>
      assert.equal(decode(qr.encode(text)!), text.toWellFormed()),
    ),
    { numRuns: 60 },
  );
});

/** SHA-256 of the rows that libqrencode 4.1.1 writes: `qrencode -8 -l M -m 0 -t ASCII`, ## as 1, two blanks as 0. */
test('another encoder writes the same, modules, mask and all', () => {
  const texts: readonly (readonly [string, string])[] = [
    ['a'.repeat(200), '7fc27d216fc2a9d2f9527ab2573d685e606a89440863f52af3ed0c15cde401c2'],
    [
      Array.from({ length: 200 }, (_, i) => `${i + 1} `).join(''),
      '643b621e338a72d58ce1e5395eff67d1abd384e1aec7eb9cadb492a3e558b69d',
    ],
    ['Привет, mesh', 'cc4550033d75d9d07b209fd2f584f62428c5f741ffaca94922fb70546e823760'],
  ];
  for (const [text, expected] of texts) {
    const rows = qr.encode(text)!.map((row) => Array.from(row).join(''));
    assert.equal(createHash('sha256').update(rows.join('\n')).digest('hex'), expected, text.slice(0, 20));
  }
});

test('what is too long for M takes L, and what is too long for that none', () => {
  assert.ok(qr.encode('x'.repeat(997))!.length === 117);
  assert.ok(qr.encode('x'.repeat(1273))!.length === 117);
  assert.equal(qr.encode('x'.repeat(1274)), null);
});

test('the path draws every dark module once, inside its quiet zone', () => {
  const rows = qr.encode('hello')!;
  const drawn = [...qr.path(rows).matchAll(/M(\d+) (\d+)h1v1h-1z/g)].map(([, x, y]) => `${x} ${y}`);
  const dark = rows.flatMap((row, y) =>
    Array.from(row, (one, x) => (one ? `${x + 4} ${y + 4}` : '')).filter((one) => one !== ''),
  );
  assert.deepEqual(drawn, dark);
});
