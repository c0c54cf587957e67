/** What a radio says of a neighbour, and what comes of it: tables of what is told and what is planned. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NeighbourEvidence } from '../../../agent/core/event.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { milliseconds, port, Router, tables } from './harness.ts';

const NEIGHBOUR = '02:00:00:00:01:01';

/** The tables with our neighbour on eth1 last heard so long ago. */
const heard = (ms: number) =>
  tables(
    [
      ['02:00:00:00:00:aa', 1, true],
      ['02:00:00:00:00:aa', 2, false],
    ],
    [
      [NEIGHBOUR, 1, ms],
      ['02:00:00:00:01:02', 2],
    ],
  );

class Scene {
  readonly router: Router;

  constructor(carrier = true) {
    this.router = new Router({}, [port(1, { carrier }), port(2)], heard(100));
    this.reads(100);
  }

  says(what: NeighbourEvidence, neighbour = NEIGHBOUR, index = 21): void {
    const evidence = { interface: index, neighbour, what, at: this.router.now, count: 50 } as const;
    this.router.feed({ type: 'neighbour-evidence', ...evidence });
  }

  reads(ms: number): void {
    this.router.feed({ type: 'tables', tables: heard(ms) });
  }

  get planned() {
    return this.router.decisions.filter(({ step }) => step === 'planned');
  }
}

describe('our radio has dropped a neighbour', () => {
  test('it is lost at once, on the radio’s word, and others are told', () => {
    const scene = new Scene();
    scene.says('station-gone');
    const [decision] = scene.planned;
    assert.equal(decision?.fault.class, 'link-silent');
    assert.equal(decision.fault.interface, 'eth1');
    assert.equal(decision.fault.peer, NEIGHBOUR);
    assert.deepEqual(
      decision.fault.evidence.map(({ source }) => source),
      ['nl80211'],
    );
    assert.match(decision.fault.evidence[0]!.what, /our radio has dropped it/);
    assert.ok(scene.router.sent.length > 0, 'kick and alarm are on the air');
  });

  test('what was heard before it went does not bring it back; what is heard afterwards does', () => {
    const scene = new Scene();
    scene.says('station-gone');
    for (const [afterMs, heardMsAgo, isBack] of [
      [100, 150, false],
      [1000, 1150, false],
      // The reading is a little older than when it reaches us.
      [1100, 1000, false],
      [2000, 300, true],
    ] as const) {
      scene.router.now = 1e12 + milliseconds(afterMs);
      scene.reads(heardMsAgo);
      assert.equal(scene.router.room.analyse.open().length === 0, isBack, `after ${afterMs} ms`);
    }
    assert.equal(scene.planned.length, 1, 'one fault, told once');
  });

  test('said twice, or after it was silent anyway, it is one fault', () => {
    for (const first of ['radio', 'tables']) {
      const scene = new Scene();
      if (first === 'tables') scene.reads(3600);
      scene.says('station-gone');
      scene.says('station-gone');
      assert.equal(scene.planned.length, 1, first);
    }
  });

  test('it is no fault where batman-adv does not know the neighbour, or the carrier is gone too', () => {
    const unknown = new Scene();
    unknown.says('station-gone', '02:00:00:00:0a:0a');
    unknown.says('station-gone', NEIGHBOUR, 22);
    assert.deepEqual(unknown.planned, []);
    const down = new Scene(false);
    down.says('station-gone');
    assert.deepEqual(down.planned, []);
  });
});

describe('frames to a neighbour are not acknowledged', () => {
  for (const [name, lostBefore, heardMsAgo, isLost] of [
    ['nothing was lost', null, 3000, false],
    ['nothing was lost, and it is silent all the same', null, 3600, true],
    ['lost, and it is heard', 0, 900, false],
    ['lost, and one OGM is missing', 0, 2100, false],
    ['lost, and more than two are missing', 0, 2300, true],
    ['lost, and heard since', 6 * SECOND, 2300, false],
    ['lost a while ago, and not heard since', 0.2 * SECOND, 2300, true],
  ] as const)
    test(name, () => {
      const scene = new Scene();
      if (lostBefore !== null) scene.says('packets-lost');
      scene.router.now += lostBefore ?? 0;
      scene.reads(heardMsAgo);
      assert.equal(scene.planned.length, isLost ? 1 : 0);
      if (!isLost || lostBefore === null) return;
      const [evidence] = scene.planned[0]!.fault.evidence;
      assert.match(evidence!.source, /nl80211/);
      assert.match(evidence!.what, /last heard 2300 ms ago.*50 frames in a row to it were not acknowledged/);
    });

  test('the tables are read at once', () => {
    const scene = new Scene();
    scene.says('packets-lost');
    assert.ok(scene.router.effects.some(({ type }) => type === 'poll'));
    assert.deepEqual(scene.planned, []);
  });
});

test('what concerns the liveness of beacons only is left to it', () => {
  const scene = new Scene();
  scene.says('deadline');
  scene.says('heard');
  assert.deepEqual(scene.router.effects, []);
});
