import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECOND } from '../../../agent/core/time.ts';
import { Random } from '../../../agent/twin/random.ts';
import { Two } from './simulated.ts';

const CALLS = [
  [true, true],
  [true, false],
  [false, true],
] as const;

function tail(two: Two): string {
  const story = two.gaps.length > 0 ? two.before : two.log.slice(-60);
  return `gaps ${two.gaps.join(', ')}\n${story.join('\n')}`;
}

for (const calls of CALLS) {
  test(`quiet network, calling ${calls.join()}: a key each interval, nothing left over`, () => {
    const two = new Two({ seed: 1, renewNs: 5 * SECOND, calls });
    two.run(5 * SECOND);
    assert.ok(two.bothWork, tail(two));
    two.run(600 * SECOND);
    assert.deepEqual(two.gaps, []);
    for (const end of two.ends) {
      const { renewals, failures, trouble } = end.machine.view(two.now);
      assert.ok(renewals > 105 && renewals <= 122, `${renewals} renewals\n${tail(two)}`);
      assert.deepEqual([failures, trouble], [0, null]);
      assert.ok(end.devices.size <= 2);
    }
    const [a, b] = two.ends.map((end) => [...end.devices.values()].find(({ slot }) => slot === end.routed)!.psk);
    assert.equal(a, b);
  });
}

test('an agent that is gone takes nothing with it; the other end says why no key comes', () => {
  const two = new Two({ seed: 2, renewNs: 5 * SECOND, calls: [true, true] });
  two.run(20 * SECOND);
  two.die(1);
  const { since } = two.ends[0].machine.view(two.now);
  two.run(3600 * SECOND);
  assert.deepEqual(two.gaps, []);
  const view = two.ends[0].machine.view(two.now);
  assert.ok(two.bothWork && view.trouble !== null && view.failures > 10);
  assert.ok(view.since! - since! < 10 * SECOND, 'the key in use is that of then');
});

for (let seed = 1; seed <= 120; seed++) {
  test(`seed ${seed}: never without a path once there is one`, () => {
    const random = new Random(seed * 7919);
    const calls = CALLS[seed % 3]!;
    const two = new Two({ seed, renewNs: (5 + 30 * random.unit()) * SECOND, calls });
    two.air.loss = 0.35 * random.unit();
    two.air.trouble = 0.4 * random.unit();
    for (let step = 0; step < 12; step++) {
      two.run((1 + 40 * random.unit()) * SECOND);
      const dice = random.unit();
      if (dice < 0.3) two.restart(0);
      else if (dice < 0.6) two.restart(1);
      else if (dice < 0.65) {
        two.restart(0);
        two.restart(1);
      }
    }
    assert.deepEqual(two.gaps, [], tail(two));
    if (seed % 3 === 0) two.reboot(random.unit() < 0.5 ? 0 : 1);
    two.air.loss = 0;
    two.air.trouble = 0;
    two.run(120 * SECOND);
    assert.ok(two.bothWork, tail(two));
    const before = two.ends.map((end) => end.machine.view(two.now).renewals);
    two.run(200 * SECOND);
    assert.deepEqual(two.gaps, [], tail(two));
    for (const [n, end] of two.ends.entries())
      assert.ok(end.machine.view(two.now).renewals - before[n]! >= 4, `end ${n} renews\n${tail(two)}`);
  });
}
