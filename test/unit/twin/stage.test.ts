/** What a scenario says comes to be in the twin: whom it hits, what agents may do, and what comes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MS, SECOND } from '../../../agent/core/time.ts';
import type { Document } from '../../../agent/twin/chance.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { beginsAt, stage } from '../../../agent/twin/stage.ts';
import { play, read } from '../../../agent/twin/trial.ts';

const base = { format: 1, name: 'stage', topology: { kind: 'ring', nodes: 4 } };

function scenario(rest: object) {
  return read({ ...base, ...rest } as unknown as Document);
}

test("in-use is along the first probe's way, or that of the one which is named", () => {
  const probes = [
    { from: 'r0', to: 'r1' },
    { name: 'other', from: 'r3', to: 'r2' },
  ];
  for (const [along, from, to] of [
    [undefined, 0, 1],
    ['other', 3, 2],
  ] as const)
    for (const entry of [
      { fault: 'silent-loss', link: 'in-use' },
      { fault: 'agent-killed', node: 'in-use' },
    ]) {
      const { faults } = stage(scenario({ probes, timeline: [{ at_s: 1, ...entry, ...(along && { along }) }] }));
      const asked: number[][] = [];
      const routes = {
        route(...pair: [number, number]) {
          asked.push(pair);
          const [a, b] = pair;
          return [a, 5, b];
        },
      };
      const { fault } = faults[0]!;
      assert.ok(typeof fault === 'function' && fault(routes) !== null);
      assert.deepEqual(asked, [[from, to]], `${entry.fault} along ${along}`);
    }
});

test('in-use strikes nobody where a probe has no way, or no router on it, as in the lab', () => {
  const probes = [{ from: 'r0', to: 'r1' }];
  const struck = (entry: object, way: number[]) =>
    stage(scenario({ probes, timeline: [{ at_s: 1, for_s: 1, ...entry }] })).faults.map(({ fault }) =>
      typeof fault === 'function' ? fault({ route: () => way }) : fault,
    );
  for (const entry of [{ fault: 'router-killed' }, { fault: 'bat0-deleted' }, { fault: 'cpu-hog' }]) {
    assert.deepEqual(struck({ ...entry, node: 'in-use' }, []), [null, null], entry.fault);
    assert.deepEqual(struck({ ...entry, node: 'in-use' }, [0, 1]), [null, null], entry.fault);
  }
  assert.deepEqual(struck({ fault: 'router-killed', node: 'in-use' }, [0, 3, 2, 1]), [
    { kind: 'router-off', router: 2 },
    { kind: 'router-on', router: 2 },
  ]);
  assert.deepEqual(struck({ fault: 'carrier-loss', link: 'in-use' }, []), [null, null]);
});

test('what befalls a link comes beside what is there, and goes without the rest, as in the lab', () => {
  const link = ['r1', 'r0'];
  const timeline = [
    { at_s: 1, for_s: 8, fault: 'partial-loss', link, loss_pct: 50 },
    { at_s: 3, for_s: 5, fault: 'delay', link, delay_ms: 40 },
    { at_s: 5, for_s: 1, fault: 'carrier-loss', link },
    { at_s: 6.5, for_s: 4, fault: 'one-way', link },
    { at_s: 7, for_s: 0.2, fault: 'silent-loss', link },
  ];
  const links = [{ between: link, loss_pct: 10, delay_ms: 5 }];
  const simulation = new Simulation(stage(scenario({ settle_s: 0, links, timeline, duration_s: 20 }), 'off'));
  const at = (s: number) => {
    simulation.run(beginsAt({ settle_s: 0 }) + s * SECOND);
    const [there, back] = [simulation.ways(1, 0)[0]!, simulation.ways(0, 1)[0]!];
    const rounded = [there.loss, back.loss].map((loss) => Math.round(100 * loss));
    return [...rounded, Math.round(there.delayNs / MS), there.open, back.open];
  };
  assert.deepEqual(at(0.5), [10, 10, 5, true, true]);
  assert.deepEqual(at(1.5), [55, 55, 5, true, true]);
  assert.deepEqual(at(4.5), [55, 55, 45, true, true]);
  assert.deepEqual(at(6.2), [55, 55, 45, true, true], 'the cable is whole, and as bad as before');
  assert.deepEqual(at(6.7), [55, 55, 45, false, true]);
  assert.deepEqual(at(7.1), [55, 55, 45, false, false]);
  assert.deepEqual(at(7.4), [55, 55, 45, false, true]);
  assert.deepEqual(at(8.5), [55, 55, 5, false, true]);
  assert.deepEqual(at(9.5), [10, 10, 5, false, true]);
  assert.deepEqual(at(11), [10, 10, 5, true, true]);
});

for (const medium of ['cable', 'shared'] as const)
  test(`there and back takes both ways, and as long as both of them do (${medium})`, () => {
    const one = scenario({
      topology: { kind: 'line', nodes: 2, medium },
      settle_s: 0,
      links: [{ between: ['r0', 'r1'], direction: 'forward', delay_ms: 7 }],
      probes: [
        { from: 'r0', to: 'r1' },
        { from: 'r0', to: 'r1', echo: true },
        { from: 'r1', to: 'r0', echo: true },
      ],
      timeline: [
        { at_s: 1, fault: 'delay', link: ['r1', 'r0'], direction: 'forward', delay_ms: 20 },
        { at_s: 2, fault: 'one-way', link: ['r1', 'r0'] },
      ],
      duration_s: 4,
    });
    const simulation = new Simulation(stage(one, 'off'));
    simulation.run();
    const tookMs = (s: number) => {
      const at = beginsAt(one) + s * SECOND;
      return simulation.probes.map((probe) => {
        const { sent, received } = probe.find((each) => each.sent >= at)!;
        return received === 0 ? null : Math.round((received - sent) / MS);
      });
    };
    assert.deepEqual(tookMs(0.5), [7, 7, 7]);
    assert.deepEqual(tookMs(1.5), [7, 27, 27]);
    assert.deepEqual(tookMs(2.5), [7, null, null]);
  });

test('what a person takes back is as that router had it, not as the rest has it', () => {
  const nodes = { r1: { kernel: { hop_penalty: 60 } }, r2: { gateway: {} } };
  const meddle = (node: string, setting: string, value: unknown) => {
    const timeline = [{ at_s: 5, for_s: 5, fault: 'setting-changed', node, setting, value }];
    const story = stage(scenario({ nodes, kernel: { gw_mode: 'client' }, timeline, duration_s: 20 }), 'off');
    const simulation = new Simulation(story);
    simulation.run();
    return simulation.routers[Number(node[1])]!.kernel.mesh!.settings;
  };
  assert.equal(meddle('r1', 'hop_penalty', 200).hopPenalty, 60);
  assert.equal(meddle('r0', 'hop_penalty', 200).hopPenalty, 30);
  assert.equal(meddle('r2', 'gw_mode', 'off').gwMode, 'server');
});

test('a bat0 that was deleted is made anew by a person where for_s says so, and else stays away', () => {
  const deleted = (rest: object) => {
    const timeline = [{ at_s: 5, fault: 'bat0-deleted', node: 'r1', ...rest }];
    const simulation = new Simulation(stage(scenario({ timeline, duration_s: 60 }), 'off'));
    simulation.run();
    return simulation.route(0, 1).length;
  };
  assert.equal(deleted({ for_s: 5 }), 2);
  assert.equal(deleted({}), 0);
});

test('what a person says of a class is known to the agents; one that there is not is refused by its name', () => {
  const drift = { at_s: 5, fault: 'setting-changed', node: 'r3', setting: 'hop_penalty', value: 200 };
  const settingOf = (modes: object) => {
    const { simulation } = play(scenario({ agent: { modes }, timeline: [drift], duration_s: 20 }), { mended: false });
    return simulation.routers[3]!.kernel.mesh?.settings.hopPenalty;
  };
  assert.equal(settingOf({}), 200);
  assert.equal(settingOf({ 'config-drift': 'act' }), 30);
  assert.throws(() => stage(scenario({ agent: { modes: { 'config-drifts': 'act' } } })), /config-drifts/);
});

/** The others take r3 for lost and have it kick: what that lends must not bring the long interval back. */
test('an OGM interval that somebody made too long is put back, also while it is lent', () => {
  for (let seed = 1; seed <= 3; seed++) {
    const drift = { at_s: 5, fault: 'setting-changed', node: 'r3', setting: 'orig_interval_ms', value: 20_000 };
    const agent = { modes: { 'config-drift': 'act' } };
    const told = scenario({ seed, agent, timeline: [drift], duration_s: 60 });
    const { simulation, breaches } = play(told, { mended: false });
    assert.deepEqual(breaches, []);
    assert.equal(simulation.routers[3]!.kernel.mesh?.settings.origInterval, 1000, `seed ${seed}`);
    const steps = simulation.journal.filter(({ decision }) => decision.fault.class === 'config-drift');
    assert.deepEqual(
      steps.map(({ decision }) => decision.step),
      ['planned', 'verified'],
    );
  }
});

test('an MTU, an upstream and memory that befall a simulated router are seen by its agent', () => {
  const seen = (entry: object, rest: object = {}) => {
    const told = scenario({ ...rest, timeline: [{ at_s: 5, ...entry }], duration_s: 60 });
    const { simulation, breaches } = play(told, { mended: false });
    assert.deepEqual(breaches, []);
    return simulation.journal.map(({ node, decision }) => `${node} ${decision.fault.class}`)[0];
  };
  const small = { fault: 'mtu-lowered', link: ['r2', 'r3'], mtu: 1400 };
  assert.equal(seen(small), 'r2 config-drift');
  assert.equal(seen(small, { kernel: { fragmentation: false } }), 'r2 mtu-trouble');
  assert.equal(seen({ fault: 'memory-pressure', node: 'r1', mib: 200 }), 'r1 overload');
  const gateways = { nodes: { r0: { gateway: {} }, r2: { gateway: {} } }, settle_s: 60 };
  assert.equal(seen({ fault: 'upstream-gone', node: 'r0' }, gateways), 'r0 gateway-no-upstream');
});

/**
 * Where routes move away from the dead one the kernel chooses anew by itself; where they do not (it would keep the way over
 * the lost link, and choose the same gateway again, for 200 s) the agent has it choose. It is told either way.
 */
test('clients of a gateway that dies use another one, and all interfaces are in when it comes back', () => {
  const dies = (seed: number, rest: object) =>
    play(
      scenario({
        seed,
        topology: { kind: 'ring', nodes: 6 },
        kernel: { gw_mode: 'client' },
        nodes: { r0: { gateway: {} }, r3: { gateway: {} } },
        agent: { modes: { 'gateway-lost': 'act' } },
        settle_s: 60,
        timeline: [{ at_s: 5, fault: 'gateway-gone', node: 'r0', ...rest }],
        duration_s: 100,
      }),
      { mended: 'for_s' in rest },
    );
  let chosenByUs = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const { simulation } = dies(seed, {});
    for (const client of [1, 2, 4, 5]) {
      const best = simulation.routers[client]!.kernel.tables().gateways.filter((gateway) => gateway.best);
      assert.deepEqual(
        best.map(({ originator }) => originator),
        ['02:00:00:03:00:01'],
        `seed ${seed}, r${client}`,
      );
    }
    const lost = simulation.journal.filter(({ decision }) => decision.fault.class === 'gateway-lost');
    assert.ok(lost.length > 0, `seed ${seed}`);
    for (const { node, decision } of lost) {
      if (decision.step !== 'planned' || decision.action !== 'gateway-reselect') continue;
      const over = lost.find((one) => one.node === node && one.decision.step === 'over')!.decision;
      assert.ok(over.at - decision.at < 2e9, `${node} after ${(over.at - decision.at) / 1e9} s`);
      assert.match(over.result ?? '', /02:00:00:03:00:01 is the gateway now/);
      chosenByUs += 1;
    }
  }
  assert.ok(chosenByUs > 0);
  const { simulation, breaches } = dies(1, { for_s: 40 });
  assert.deepEqual(breaches, []);
  for (const { kernel } of simulation.routers)
    for (const { name, master } of kernel.links()) if (/^eth/.test(name)) assert.notEqual(master, 0, name);
});

/**
 * A gateway next door that falls silent: batman-adv keeps the way to it, and the choice, for 200 s (PURGE_TIMEOUT). None is
 * chosen meanwhile, and afterwards the one that is left.
 */
test('a client whose neighbour, the gateway, falls silent uses none until that is forgotten, then another', () => {
  const silent = (seconds: number, forS?: number) => {
    const { simulation, breaches } = play(
      scenario({
        topology: {
          kind: 'links',
          links: [
            ['a', 'b'],
            ['a', 'c'],
            ['c', 'd'],
          ],
        },
        kernel: { gw_mode: 'client' },
        nodes: { b: { gateway: {} }, d: { gateway: {} } },
        agent: { modes: { 'gateway-lost': 'act' } },
        settle_s: 60,
        timeline: [{ at_s: 5, fault: 'silent-loss', link: ['a', 'b'], ...(forS && { for_s: forS }) }],
        duration_s: seconds,
      }),
      { mended: false },
    );
    assert.deepEqual(breaches, []);
    const [client] = simulation.routers;
    const lost = simulation.journal.filter(
      ({ node, decision }) => decision.fault.class === 'gateway-lost' && node === 'r0',
    );
    return {
      mode: client!.kernel.mesh?.settings.gwMode,
      best: client!.kernel.tables().gateways.find(({ best }) => best)?.originator ?? null,
      steps: lost.map(({ decision }) => `${decision.step} ${decision.action}: ${decision.result}`),
    };
  };
  const [BAD, GOOD] = ['02:00:00:01:00:01', '02:00:00:03:00:01'];
  const first = silent(60);
  assert.deepEqual([first.mode, first.best], ['off', null]);
  assert.deepEqual(first.steps, [
    'planned gateway-any: null',
    'verified gateway-any: none is chosen: DHCP asks all that are left',
  ]);
  const later = silent(400);
  assert.deepEqual([later.mode, later.best], ['client', GOOD], later.steps.join());
  assert.match(later.steps.at(-1)!, /^over gateway-any/);
  const back = silent(200, 60);
  assert.deepEqual([back.mode, back.best], ['client', BAD], back.steps.join());
});
