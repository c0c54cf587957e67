import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  canonical,
  ENTRY_LIMIT,
  type Entry,
  GENESIS,
  seal,
  verifyChain,
  writeEntry,
} from '../../../agent/host/journal.ts';
import { decision } from './help.ts';

function entry(id: number): Entry {
  return { id, epoch: 3, at: id * 10, wall: 1_780_000_000_000 + id, decision: decision(id) };
}

function chain(count: number): { id: number; entry: string; hash: Uint8Array }[] {
  let hash = GENESIS.hash;
  return Array.from({ length: count }, (_, i) => {
    const text = writeEntry(entry(i + 1));
    hash = seal(hash, text);
    return { id: i + 1, entry: text, hash };
  });
}

test('canonical JSON: order of keys does not matter, and it means the same', () => {
  assert.equal(
    canonical({ b: 1, a: [undefined, null, { d: 'ü"', c: Number.NaN }], x: undefined }),
    '{"a":[null,null,{"c":null,"d":"ü\\""}],"b":1}',
  );
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.deepEqual(JSON.parse(canonical(value)), JSON.parse(JSON.stringify(value)));
      assert.equal(canonical(JSON.parse(canonical(value))), canonical(value));
    }),
  );
});

test('a chain verifies from any checkpoint within it', () => {
  const rows = chain(8);
  for (let from = 0; from < 8; from++) {
    const seen = verifyChain(from === 0 ? GENESIS : rows[from - 1]!, rows.slice(from));
    assert.ok(seen.ok && seen.entries === 8 - from && seen.first === from + 1);
  }
});

test('any change of any byte of any entry is found, at that entry', () => {
  const rows = chain(5);
  fc.assert(
    fc.property(fc.nat(4), fc.nat(), fc.integer({ min: 32, max: 126 }), (which, where, code) => {
      const text = rows[which]!.entry;
      const at = where % text.length;
      if (text.charCodeAt(at) === code) return;
      const changed = rows.map((row) => ({ ...row }));
      changed[which]!.entry = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
      const seen = verifyChain(GENESIS, changed);
      assert.ok(!seen.ok && seen.broken === which + 1);
    }),
  );
});

test('an entry that is too long keeps its first and last evidence and says what went', () => {
  const long = { ...entry(1), decision: decision(1, { why: 'because '.repeat(9000) }, 500) };
  const text = writeEntry(long);
  assert.ok(text.length <= ENTRY_LIMIT);
  const back = JSON.parse(text) as Entry;
  assert.equal(back.decision.fault.evidence.length, 8);
  assert.match(back.decision.why, /492 pieces of evidence not kept/);
});
