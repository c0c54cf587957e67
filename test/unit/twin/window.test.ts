import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../agent/twin/random.ts';
import { Bits, isReset, Worths } from '../../../agent/twin/window.ts';

/** The window as a list of numbers that were received. */
class Plain {
  last = 0;
  seen = new Set<number>();

  take(seqno: number, isHere: boolean): void {
    const ahead = seqno - this.last;
    if (ahead > 0 || ahead <= -64) {
      if (ahead <= -64 || ahead >= 65536) this.seen.clear();
      this.last = seqno;
    }
    if (isHere) this.seen.add(seqno);
    for (const one of this.seen) if (this.last - one >= 64) this.seen.delete(one);
  }
}

test('the window of bits is the list of what came in the last 64', () => {
  const random = new Random(1, 'window');
  for (let round = 0; round < 50; round++) {
    const [bits, plain] = [new Bits(), new Plain()];
    let at = 1000;
    plain.last = at;
    for (let i = 0; i < 300; i++) {
      const step = random.is(0.9) ? random.int(4) : random.int(200) - 40;
      const seqno = at + step;
      const isHere = random.is(0.7);
      if (bits.take(seqno - at, isHere)) at = seqno;
      plain.take(seqno, isHere);
      assert.equal(at, plain.last);
      assert.equal(bits.count, plain.seen.size);
      for (let back = 0; back < 64; back++) assert.equal(bits.has(back), plain.seen.has(at - back));
    }
  }
});

test('a reset is a number far behind or very far ahead', () => {
  assert.deepEqual([-64, -63, 0, 65535, 65536].map(isReset), [true, false, false, false, true]);
});

test('the average leaves out what is missing, as the kernel does', () => {
  const worths = new Worths();
  for (const value of [200, 200, 200, 200, 200]) worths.push(value);
  for (const left of [200, 200, 200, 200, 0]) {
    worths.push(0);
    assert.equal(worths.average, left);
  }
  for (const value of [255, 9, 9, 9, 9]) worths.push(value);
  assert.equal(worths.average, 58);
  worths.push(0);
  assert.equal(worths.average, 9);
});
