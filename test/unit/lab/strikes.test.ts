/** What makes the faults of a scenario, against a mesh that is none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseScenario } from '../../../agent/twin/scenario.ts';
import type { Mesh } from '../../../tools/lab/mesh.ts';
import { bridging, isUp, lanPairs, lonelyLans, type Stage, Striker, type Weather } from '../../../tools/lab/strikes.ts';

test('a flapping link that cannot be mended in between is told when it is taken back, and ends nothing', async () => {
  const parsed = parseScenario(
    JSON.stringify({
      format: 1,
      name: 'flaps',
      topology: { kind: 'line', nodes: 2 },
      timeline: [{ at_s: 0, fault: 'flapping', how: 'silent', link: ['r0', 'r1'], down_s: 0.05, up_s: 0.05, for_s: 1 }],
    }),
  );
  assert.ok(parsed.ok);
  const { scenario } = parsed;
  const link = { id: 0, a: 0, b: 1, ends: ['to1', 'to0'], medium: 'cable' };
  let tries = 0;
  const mesh = {
    links: [link],
    cutSilently: async () => ({ ns: 1 }),
    mend: async () => {
      tries += 1;
      throw new Error('there is no such interface');
    },
  } as unknown as Mesh;
  const stage: Stage = { mesh, scenario, withAgents: false, killAgent: async () => {}, startAgent: async () => {} };
  const made = await new Striker(stage, {} as Weather).strike(scenario.timeline[0]!);
  await sleep(150);
  assert.equal(tries, 1);
  await assert.rejects(made.mend(), /no such interface/);
});

test('a cable between two LANs is the same one, whichever router is named first', async () => {
  const loop = { fault: 'bridge-loop', for_s: 5 };
  const scenario = scenarioOf([
    { ...loop, at_s: 0, nodes: ['r2', 'r0'] },
    { ...loop, at_s: 9, nodes: ['r0', 'r2'] },
    { ...loop, at_s: 9, nodes: ['r1', 'r3'] },
  ]);
  assert.deepEqual(lanPairs(scenario), [
    [0, 2],
    [1, 3],
  ]);
});

function scenarioOf(timeline: readonly object[]) {
  const topology = { kind: 'ring', nodes: 4 };
  const parsed = parseScenario(JSON.stringify({ format: 1, name: 'struck', topology, timeline }));
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.scenario;
}

test('bat0 is set down, or taken out of its bridge, by one change each', async () => {
  const changes: string[] = [];
  const mesh = {
    change: async (text: string) => {
      changes.push(text);
      return { ns: 7 };
    },
  } as unknown as Mesh;
  const scenario = scenarioOf([
    { at_s: 0, fault: 'bat0-down', node: 'r1' },
    { at_s: 1, fault: 'bat0-unbridged', node: 'r3' },
  ]);
  const stage: Stage = { mesh, scenario, withAgents: true, killAgent: async () => {}, startAgent: async () => {} };
  const striker = new Striker(stage, {} as Weather);
  for (const entry of scenario.timeline) {
    const { ns, routers, repaired } = await striker.strike(entry);
    assert.deepEqual([ns, routers], [7, [Number(entry.fault === 'bat0-down' ? 1 : 3)]]);
    assert.ok(repaired);
  }
  assert.deepEqual(changes, ['down r1 bat0', 'nomaster r3 bat0']);
  assert.deepEqual(lonelyLans(scenario), [3]);
});

test('a router gets the other algorithm with its agent ended before and started after, and back the same way', async () => {
  for (const [own, other] of [
    ['BATMAN_IV', 'BATMAN_V'],
    ['BATMAN_V', 'BATMAN_IV'],
  ] as const) {
    const did: string[] = [];
    const note = (what: string) => async () => void did.push(what);
    const mesh = {
      links: [{ id: 0, a: 0, b: 1, ends: ['to1', 'to0'], medium: 'cable' }],
      interfacesOf: () => [],
      algorithmOf: () => own,
      deleteBat0: async (n: number) => {
        did.push(`delete ${n}`);
        return { ns: 9 };
      },
      makeBat0: (n: number, algorithm: string) => note(`make ${n} ${algorithm}`)(),
      batctl: async () => {},
    } as unknown as Mesh;
    const scenario = scenarioOf([{ at_s: 0, fault: 'algorithm-changed', node: 'r1' }]);
    const killAgent = (n: number, signal: string) => note(`kill ${n} ${signal}`)();
    const startAgent = (n: number) => note(`start ${n}`)();
    const striker = new Striker({ mesh, scenario, withAgents: true, killAgent, startAgent }, {} as Weather);
    // Under BATMAN_V an ELP interval is set in the router's namespace, which is not there.
    const made = await striker.strike(scenario.timeline[0]!).catch(() => null);
    assert.deepEqual(did.slice(0, 3), ['kill 1 SIGKILL', 'delete 1', `make 1 ${other}`]);
    if (other === 'BATMAN_V') continue;
    assert.deepEqual(did.slice(3), ['start 1']);
    assert.deepEqual([made?.ns, made?.routers, made?.links], [9, [1, 0], [0]]);
  }
});

test('a bridge for bat0: its address goes there, and what others are called by', () => {
  const lines = bridging(2, 4);
  assert.equal(lines[0]!.startsWith('link add br-lan index 50 address '), true);
  assert.ok(lines.indexOf('link set bat0 master br-lan') > 0);
  assert.equal(lines.filter((line) => line.startsWith('neigh replace')).length, 3);
});

test('up is what has the flag UP, not a driver that is', () => {
  assert.ok(isUp('20: bat0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500'));
  assert.ok(isUp('20: bat0: <UP> mtu 1500'));
  assert.ok(!isUp('20: bat0: <BROADCAST,MULTICAST> mtu 1500'));
  assert.ok(!isUp('20: bat0: <BROADCAST,LOWER_UP> mtu 1500'));
  assert.ok(!isUp(''));
});
