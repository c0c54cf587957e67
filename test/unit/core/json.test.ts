import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isDeeperThan, repeatedMember, type Way } from '../../../agent/core/json.ts';

const CASES: readonly [text: string, way: Way | null][] = [
  ['{}', null],
  ['"a"', null],
  ['{"a":1,"b":"a","c":["a","a"]}', null],
  ['{"a":{"a":{"a":1}}}', null],
  ['[{"a":1},{"a":1}]', null],
  ['{"a":"\\":","b":"\\\\","c":",{["}', null],
  ['{"a":1,"a":2}', ['a']],
  ['{ "a" : 1 , "b" : [ 0, {"c":[],"d":{},"c" \n:\t3} ] }', ['b', 1, 'c']],
  ['{"a":1,"\\u0061":2}', ['a']],
  ['{"__proto__":1,"__proto__":2}', ['__proto__']],
  ['{"a\\"":1,"a":2,"a\\"":3}', ['a"']],
];

for (const [text, way] of CASES)
  test(`members twice in ${text.replaceAll(/\s/g, ' ')}: ${way === null ? 'none' : way.join(' ')}`, () => {
    JSON.parse(text);
    assert.deepEqual(repeatedMember(text), way);
  });

test('names that may be there twice are let pass, and do not hide others', () => {
  const isFree = (name: string) => name.startsWith('//');
  assert.equal(repeatedMember('{"//":1,"//":2,"a":3}', isFree), null);
  assert.deepEqual(repeatedMember('{"//":1,"//":2,"a":3,"a":4}', isFree), ['a']);
});

test('what JSON.stringify writes has no member twice, and where one is added it is found', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.string(), (value, name) => {
      assert.equal(repeatedMember(JSON.stringify(value)), null);
      assert.equal(repeatedMember(JSON.stringify(value, null, 1)), null);
      const member = `${JSON.stringify(name)}:${JSON.stringify(value)}`;
      assert.deepEqual(repeatedMember(`[0,{${member},${member}}]`), [1, name]);
    }),
  );
});

test('depth counts what is in each other, not what follows each other, nor what stands in text', () => {
  assert.equal(isDeeperThan('[[],{"a":[]},[],"[[[[","\\"[[[["]', 3), false);
  assert.equal(isDeeperThan('[[],{"a":[]},[]]', 2), true);
  assert.equal(isDeeperThan('7', 0), false);
});
