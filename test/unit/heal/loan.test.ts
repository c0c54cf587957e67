/** Settings lent for a kick, and somebody else who sets them meanwhile. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type MeshSettings, STOCK_SETTINGS } from '../../../agent/core/kernel.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { ownOgm, Router } from './harness.ts';

/** A router amid a kick: aggregation is off and the interval short, as the kernel has confirmed. */
function kicking(): Router {
  const router = new Router();
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  told(router, { aggregatedOgms: false });
  told(router, { aggregatedOgms: false, origInterval: 50 });
  for (const id of ['loan-aggregatedOgms', 'loan-origInterval']) router.done(id);
  router.effects.length = 0;
  return router;
}

function told(router: Router, settings: Partial<MeshSettings>, name = 'bat0'): void {
  router.feed({ type: 'mesh-settings', interface: name, settings: { ...STOCK_SETTINGS, ...settings } });
}

/** What the interval is set to, in order. */
function intervals(router: Router): (number | undefined)[] {
  return router.changes.flatMap(({ change }) =>
    change.kind === 'set-mesh' && 'origInterval' in change.settings ? [change.settings.origInterval] : [],
  );
}

/** The kernel has caught up, and confirms what is asked of it. */
function end(router: Router): void {
  router.pass(3 * SECOND);
  router.feed(ownOgm(1100));
  for (const { id } of [...router.changes]) router.done(id);
}

describe('somebody sets the OGM interval while it is lent', () => {
  test('what they set stays, and nothing is armed against it', () => {
    const router = kicking();
    told(router, { aggregatedOgms: false, origInterval: 2000 });
    router.done('loan-origInterval-back');
    told(router, { aggregatedOgms: false, origInterval: 2000 });
    assert.deepEqual(intervals(router), [2000]);
    assert.ok(router.effects.some((effect) => effect.type === 'disarm' && effect.id === 'loan-origInterval'));
    end(router);
    assert.deepEqual(intervals(router), [2000]);
    assert.equal(router.room.monitor.lastMesh?.settings.origInterval, 2000);
  });

  test('on its way back, too, though our return may have come after it', () => {
    const router = kicking();
    router.pass(3 * SECOND);
    router.feed(ownOgm(1100));
    assert.deepEqual(intervals(router), [1000]);
    told(router, { origInterval: 2000 });
    told(router, { origInterval: 1000 });
    told(router, { origInterval: 2000 });
    router.done('loan-origInterval-back');
    router.done('loan-origInterval-back');
    assert.deepEqual(intervals(router), [1000, 2000]);
  });

  test('right before: what is lent goes back to that, read or not', () => {
    const router = new Router();
    told(router, { origInterval: 2000 });
    router.feed({ type: 'kick-asked', by: 'root', lost: null });
    assert.deepEqual(intervals(router), [50]);
    for (const id of ['loan-aggregatedOgms', 'loan-origInterval']) router.done(id);
    end(router);
    assert.deepEqual(intervals(router), [50, 2000]);
  });

  for (const [name, settings, mesh] of [
    ['our own change', { aggregatedOgms: false, origInterval: 50 }, 'bat0'],
    ['the one before it', { aggregatedOgms: false }, 'bat0'],
    ['another setting', { aggregatedOgms: false, origInterval: 50, hopPenalty: 5 }, 'bat0'],
    ['another mesh', { origInterval: 4000 }, 'bat1'],
  ] as const)
    test(`${name} is none of that`, () => {
      const router = kicking();
      told(router, settings, mesh);
      assert.deepEqual(intervals(router), []);
      end(router);
      assert.deepEqual(intervals(router), [1000]);
    });
});

test('what somebody sets is known before the next reading, but for what is lent', () => {
  const router = kicking();
  told(router, { aggregatedOgms: false, origInterval: 50, hopPenalty: 5 });
  const { settings } = router.room.monitor.lastMesh!;
  assert.deepEqual([settings.hopPenalty, settings.origInterval, settings.aggregatedOgms], [5, 1000, true]);
});
