import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawn, Random } from '../../../agent/twin/random.ts';

test('the same seed and name give the same numbers, another of either gives others', () => {
  const draw = (seed: number, name: string) => {
    const random = new Random(seed, name);
    return Array.from({ length: 8 }, () => random.uint32());
  };
  assert.deepEqual(draw(7, 'a'), draw(7, 'a'));
  assert.notDeepEqual(draw(7, 'a'), draw(7, 'b'));
  assert.notDeepEqual(draw(7, 'a'), draw(8, 'a'));
  assert.notDeepEqual(draw(7, 'a'), draw(7 + 2 ** 32, 'a'));
});

test('a stream that was split off does not depend on what was drawn before', () => {
  const [one, other] = [new Random(1), new Random(1)];
  other.uint32();
  assert.equal(one.split('x').uint32(), other.split('x').uint32());
  assert.notEqual(one.split('x').uint32(), one.split('y').uint32());
});

test('numbers are spread evenly and keep to their bounds', () => {
  const random = new Random(3);
  const buckets = new Array<number>(10).fill(0);
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < 20_000; i++) {
    const unit = random.unit();
    assert.ok(unit >= 0 && unit < 1);
    buckets[random.int(10)]! += 1;
    const normal = random.normal();
    sum += normal;
    squares += normal * normal;
    const there = drawn(5, i, 9);
    assert.ok(there >= 0 && there < 1);
  }
  for (const count of buckets) assert.ok(count > 1800 && count < 2200, String(buckets));
  assert.ok(Math.abs(sum / 20_000) < 0.05);
  assert.ok(Math.abs(squares / 20_000 - 1) < 0.05);
});

test('never and always', () => {
  const random = new Random(4);
  for (let i = 0; i < 1000; i++) {
    assert.equal(random.is(0), false);
    assert.equal(random.is(1), true);
  }
});
