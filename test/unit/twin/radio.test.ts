/** Scenarios by radio: who hears whom, and how well, follows from where routers stand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MS, SECOND } from '../../../agent/core/time.ts';
import type { Document } from '../../../agent/twin/chance.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { stage, unplayed } from '../../../agent/twin/stage.ts';
import { play, read } from '../../../agent/twin/trial.ts';

const NAMES = ['r0', 'r1', 'r2'];
type Place = readonly [number, number];

function scenario(topology: object, rest: object = {}) {
  return read({
    format: 1,
    name: 'radio',
    seed: 7,
    settle_s: 0,
    duration_s: 20,
    topology: { medium: 'radio', ...topology },
    ...rest,
  } as unknown as Document);
}

function three(places: readonly Place[], sideM: number, links: readonly (readonly [string, string])[]) {
  const named = Object.fromEntries(places.map((place, n) => [NAMES[n]!, place]));
  return new Simulation(stage(scenario({ kind: 'links', nodes: NAMES, links, places: named, side_m: sideM }), 'off'));
}

/** Of frames that a router sends to everybody, one a millisecond, right after those `beside`: the share that another gets. */
function share(simulation: Simulation, from: number, to: number, beside: readonly number[] = []): number {
  const count = 4000;
  simulation.run(10 * SECOND);
  let heard = 0;
  const [sender, receiver] = [simulation.routers[from]!, simulation.routers[to]!];
  const source = sender.towards.get(to)!.address;
  Object.assign(receiver.kernel, {
    listener: { onFrame: () => {}, onLink: () => {}, onGone: () => {}, onOgm: () => {}, onSettings: () => {} },
  });
  const port = receiver.towards.get(from)!.port!;
  const { onFrame } = port;
  port.onFrame = (frame) => {
    if (frame.kind === 'raw' && frame.source === source) heard += 1;
    onFrame(frame);
  };
  for (let n = 0; n < count; n++)
    simulation.scheduler.at((10_000 + n) * MS, () => {
      for (const number of [...beside, from]) {
        const { kernel, towards } = simulation.routers[number]!;
        const device = [...towards.values()][0]!;
        kernel.inject(device.index, { kind: 'raw', source: device.address, to: null, hex: '', bytes: 1400 });
      }
    });
  simulation.run(15 * SECOND);
  return heard / count;
}

test('what is near is heard, what is far is heard less, and what is farther not at all', () => {
  const pair = [
    ['r0', 'r1'],
    ['r1', 'r2'],
  ] as const;
  const line: Place[] = [
    [0, 0.5],
    [0.5, 0.5],
    [1, 0.5],
  ];
  const shares = [100, 300, 380, 2000].map((sideM) => share(three(line, sideM, pair), 0, 1));
  assert.ok(shares[0]! > 0.99, shares.join());
  assert.ok(shares[1]! < shares[0]! && shares[2]! < shares[1]! - 0.02, shares.join());
  assert.equal(shares[3], 0);
});

test('two who cannot hear each other talk at once, and the third between them loses what two in sight do not', () => {
  const links = [
    ['r0', 'r1'],
    ['r1', 'r2'],
  ] as const;
  const between: Place[] = [
    [0, 0.5],
    [0.5, 0.5],
    [1, 0.5],
  ];
  // The same distance from r1, on one side of it.
  const inSight: Place[] = [
    [0, 0.5],
    [0.5, 0.5],
    [0, 0.45],
  ];
  const SIDE_M = 280;
  const hidden = three(between, SIDE_M, links);
  assert.ok(
    !hidden.routers[0]!.towards.has(2) && !hidden.routers[2]!.towards.has(0),
    'they are hidden from each other',
  );
  assert.ok(three(inSight, SIDE_M, links).routers[0]!.towards.has(2));
  const alone = share(three(between, SIDE_M, links), 0, 1);
  const collided = share(hidden, 0, 1, [2]);
  const polite = share(three(inSight, SIDE_M, links), 0, 1, [2]);
  assert.ok(collided < alone - 0.1, `${collided} of ${alone}`);
  assert.ok(Math.abs(polite - alone) < 0.03, `${polite} of ${alone}`);
});

test('an interferer raises what is lost near it, while it is on', () => {
  const places = { r0: [0, 0.5], r1: [1, 0.5] };
  const at = (interferers?: readonly object[]) =>
    new Simulation(
      stage(
        scenario({ kind: 'links', links: [['r0', 'r1']], places, side_m: 80, ...(interferers && { interferers }) }),
        'off',
      ),
    );
  const always = { at: [1, 0.4], on_s: 1000, off_s: 0 };
  const never = { at: [1, 0.4], on_s: 0.001, off_s: 86_400 };
  assert.ok(share(at(), 0, 1) > 0.99);
  assert.ok(share(at([never]), 0, 1) > 0.99);
  assert.ok(share(at([always]), 0, 1) < 0.2);
});

test('the same seed gives the same journal, byte for byte, and another air another', () => {
  const timeline = [{ at_s: 15, fault: 'router-killed', node: 'r1' }];
  const digest = (seed: number, places: number) => {
    const topology = { kind: 'random-geometric', nodes: 7, radius: 0.5, seed: places };
    const { breaches, simulation } = play(scenario(topology, { seed, timeline, duration_s: 60 }));
    assert.deepEqual(breaches, []);
    return simulation.digest();
  };
  const once = digest(5, 1);
  assert.equal(digest(5, 1), once);
  assert.notEqual(digest(6, 1), once);
  assert.notEqual(digest(5, 2), once);
});

test('faults strike links that the air carries or hardly carries, and what a link loses is beside that', () => {
  const topology = { kind: 'line', nodes: 3, side_m: 900 };
  const far = scenario(topology, {
    timeline: [{ at_s: 1, fault: 'silent-loss', link: ['r0', 'r1'], for_s: 2 }],
  });
  const simulation = new Simulation(stage(far, 'off'));
  simulation.run();
  assert.deepEqual(simulation.route(0, 1), []);
  const near = { kind: 'line', nodes: 3, side_m: 80 };
  const lossy = new Simulation(
    stage(scenario(near, { links: [{ between: ['r0', 'r1'], direction: 'forward', loss_pct: 40 }] }), 'off'),
  );
  const [there, back] = [share(lossy, 0, 1), share(new Simulation(stage(scenario(near), 'off')), 1, 0)];
  assert.ok(there > 0.55 && there < 0.65, `${there}`);
  assert.ok(back > 0.99, `${back}`);
  assert.deepEqual(unplayed(scenario(near, { link: { rate_kbit_s: 1000 } })), ['$.link.rate_kbit_s']);
});
