import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Mac } from '../../../agent/core/ids.ts';
import type { Change, MeshSettings } from '../../../agent/core/kernel.ts';
import { Runtime } from '../../../agent/core/runtime.ts';
import { SECOND } from '../../../agent/core/time.ts';
import type { Action, Fault, Plan } from '../../../agent/core/words.ts';
import { heal } from '../../../agent/heal/heal.ts';
import { repairOf } from '../../../agent/heal/repairs/catalogue.ts';
import { NO_SETTINGS } from '../../../agent/heal/surroundings.ts';
import type { RehearsalState } from '../../../agent/twin/rehearsal.ts';
import { rehearse } from '../../../agent/twin/rehearse.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { sketch } from '../../../agent/twin/sketch.ts';
import { story } from '../../../agent/twin/story.ts';
import { askWhatIf, type View } from '../../../agent/twin/what-if.ts';

const RING = [
  { a: 0, b: 1 },
  { a: 1, b: 2 },
  { a: 2, b: 3 },
  { a: 0, b: 3 },
];

/** A mesh that has run for a while, as router 0 knows it. */
function known(
  links: readonly { a: number; b: number }[],
  routers: number,
  mesh: Partial<MeshSettings> = {},
): { state: RehearsalState; names: Mac[] } {
  const simulation = new Simulation(story({ seed: 1, routers, links, mesh, lengthNs: 12 * SECOND }));
  simulation.run();
  const names = simulation.routers.map(({ kernel }) => kernel.tables().mesh!.primary!.mac);
  const owners: Record<Mac, Mac> = {};
  for (const [n, { kernel }] of simulation.routers.entries())
    for (const { mac } of kernel.devices) owners[mac] = names[n]!;
  const { kernel } = simulation.routers[0]!;
  return {
    names,
    state: {
      self: names[0]!,
      settings: { ...NO_SETTINGS, mode: 'act', key: '00'.repeat(32) },
      tables: kernel.tables(),
      links: kernel.links(),
      owners,
      agents: names,
    },
  };
}

function plan(action: Action, name: string, over: Partial<Fault> = {}): Plan {
  const fault = {
    id: 'e1-f1',
    class: 'link-down',
    at: 0,
    interface: name,
    interfaceIndex: 11,
    peer: null,
    confidence: 1,
    evidence: [],
    affected: [],
    ...over,
  } as const;
  return {
    fault,
    actions: [action],
    alternatives: [],
    why: '',
    later: [],
    delayNs: 0,
    radius: 'link',
    act: true,
  };
}

const takeOut = (name: string): Change[] => [{ kind: 'set-master', interface: name, master: null }];

const dead = (state: RehearsalState, name: string): RehearsalState => ({
  ...state,
  links: state.links.map((link) => (link.name === name ? { ...link, carrier: false } : link)),
});

test('taking out a dead interface in a ring is better than waiting', () => {
  const { state } = known(RING, 4);
  const verdict = rehearse(dead({ ...state, agents: [] }, 'eth0'), plan('detach', 'eth0'), takeOut('eth0'));
  assert.equal(verdict.verdict, 'better', JSON.stringify(verdict));
  assert.ok(verdict.lost.with < verdict.lost.without / 2, JSON.stringify(verdict));
  assert.equal(verdict.routers, 4);
  assert.deepEqual(verdict.left, []);
});

test('taking out the only interface that lives is worse', () => {
  const { state } = known([{ a: 0, b: 1 }], 2);
  const verdict = rehearse(state, plan('detach', 'eth0'), takeOut('eth0'));
  assert.equal(verdict.verdict, 'worse');
  assert.deepEqual(verdict.unreached, { with: 1, without: 0 });
});

test('what changes nothing is the same, and what cannot be shown is said', () => {
  const { state } = known(RING, 4);
  const mesh: Change = { kind: 'create-mesh', mesh: 'bat0', algorithm: 'BATMAN_IV', mac: null };
  const feature: Change = { kind: 'set-mesh', mesh: 'bat0', settings: { bridgeLoopAvoidance: true } };
  const { verdict, left, virtualNs } = rehearse(state, plan('recreate-mesh', 'bat0'), [mesh, feature]);
  assert.deepEqual([verdict, left, virtualNs], ['same', ['create-mesh', 'bridgeLoopAvoidance'], 0]);
});

test('the same state and plan give the same verdict, also as JSON from another thread', () => {
  const { state } = known(RING, 4);
  const copy = JSON.parse(JSON.stringify(dead(state, 'eth1'))) as RehearsalState;
  const of = (one: RehearsalState) => rehearse(one, plan('detach', 'eth1'), takeOut('eth1'));
  assert.deepEqual(of(dead(state, 'eth1')), of(copy));
});

test('a worker thread answers the same, and says what it could not take', async () => {
  const worker = new Worker(new URL('../../../agent/twin/worker.ts', import.meta.url));
  const answers = new Map<number, { verdict?: unknown; error?: { code: string } }>();
  const both = new Promise<void>((resolve) => {
    worker.on('message', (answer: { id: number; verdict?: unknown; error?: { code: string } }) => {
      answers.set(answer.id, answer);
      if (answers.size === 2) resolve();
    });
  });
  const { state } = known(RING, 4);
  const changes = takeOut('eth0');
  worker.postMessage({ id: 1, state: dead(state, 'eth0'), plan: plan('detach', 'eth0'), changes });
  worker.postMessage({ id: 2, state: null, plan: null });
  await both;
  await worker.terminate();
  assert.deepEqual(answers.get(1)!.verdict, rehearse(dead(state, 'eth0'), plan('detach', 'eth0'), changes));
  assert.equal(answers.get(2)!.error!.code, 'E_BUG');
});

test('hops are read off the hop penalty: a line is drawn as a line, a ring as a ring', () => {
  const drawn = (links: readonly { a: number; b: number }[], routers: number) => {
    const { state, names } = known(links, routers);
    const { tables, self, owners } = state;
    const { links: found, names: order } = sketch({
      self,
      hopPenalty: 30,
      links: tables.neighbours.map((row) => ({
        interface: row.interfaceName,
        neighbour: row.neighbour,
        originator: owners[row.neighbour]!,
        worth: 255,
      })),
      paths: tables.originators.map((row) => ({ ...row, interface: row.interfaceName, worth: row.tq! })),
    });
    const number = (n: number) => names.indexOf(order[n]!);
    return found.map(({ a, b }) => [number(a), number(b)].sort((x, y) => x - y).join(' ')).sort();
  };
  const line = Array.from({ length: 4 }, (_, n) => ({ a: n, b: n + 1 }));
  assert.deepEqual(drawn(line, 5), ['0 1', '1 2', '2 3', '3 4']);
  assert.deepEqual(drawn(RING, 4), ['0 1', '0 3', '1 2', '2 3']);
});

function view(links: readonly { a: number; b: number }[], routers: number, mesh: Partial<MeshSettings> = {}): View {
  const { state } = known(links, routers, mesh);
  const { tables, owners, self } = state;
  return {
    status: { originator: self, mesh: { algorithm: 'BATMAN_IV', originatorIntervalMs: 1000 } },
    links: tables.neighbours.map((row) => ({
      interface: row.interfaceName,
      neighbour: row.neighbour,
      originator: owners[row.neighbour]!,
      carrier: true,
      tq: 255,
      throughput: null,
    })),
    paths: tables.originators.map((row) => ({
      originator: row.originator,
      neighbour: row.neighbour,
      interface: row.interfaceName,
      tq: row.tq ?? null,
      throughput: null,
    })),
  };
}

test('what if: a cut in a ring costs little with agents and seconds without, and cuts nobody off', () => {
  const answer = askWhatIf(view(RING, 4), { what: 'cut', a: 'self', b: '00:01:00:01' });
  assert.deepEqual(answer.cutOff, []);
  const row = answer.rows.find(({ router }) => router.endsWith('00:01:00:01'))!;
  assert.equal(row.after.length, 4);
  assert.ok(row.withAgentsMs! < 200, JSON.stringify(row));
  assert.ok(row.withoutMs! > 2000, JSON.stringify(row));
});

test('what if: hops are read off the hop penalty that this mesh has', () => {
  const line = Array.from({ length: 4 }, (_, n) => ({ a: n, b: n + 1 }));
  const { status, ...rest } = view(line, 5, { hopPenalty: 5 });
  const ask = (hopPenalty: number) => {
    const { cutOff } = askWhatIf({ ...rest, status: { ...status, mesh: { ...status.mesh, hopPenalty } } }, QUESTION);
    return cutOff.map((mac) => mac.slice(9));
  };
  const QUESTION = { what: 'kill', a: '00:02:00:01' } as const;
  assert.deepEqual(ask(5), ['02:00:01', '03:00:01', '04:00:01'], 'all behind it');
  assert.deepEqual(ask(30), ['02:00:01'], 'with another they would all seem to be one hop away');
});

test('what if: the middle of a line dies, and all beyond are cut off', () => {
  const line = Array.from({ length: 3 }, (_, n) => ({ a: n, b: n + 1 }));
  const { cutOff } = askWhatIf(view(line, 4), { what: 'kill', a: '00:01:00:01' });
  assert.deepEqual(
    cutOff.map((mac) => mac.slice(9)),
    ['01:00:01', '02:00:01', '03:00:01'],
  );
});

test('what if: names of nobody, of several, and links that are not there are errors', () => {
  const ring = view(RING, 4);
  assert.throws(() => askWhatIf(ring, { what: 'kill', a: 'ff' }), /no router of this mesh ends in ff/);
  assert.throws(() => askWhatIf(ring, { what: 'kill', a: '00:01' }), /4 routers of this mesh/);
  assert.throws(() => askWhatIf(ring, { what: 'cut', a: 'self', b: '02:00:01' }), /no link between them/);
  assert.throws(() => askWhatIf(ring, { what: 'kill', a: 'self' }), /that is this router/);
});

test('what if: of a mesh that is larger than what is simulated it says how many are left out, and who is one of them', () => {
  const mac = (n: number): Mac => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;
  const row = { neighbour: mac(1), interface: 'eth0', throughput: null };
  // Each fifteen a hop further than those before.
  const tq = (n: number) => Math.round(255 * (1 - 30 / 255) ** (1 + Math.floor(n / 15)));
  const large: View = {
    status: { originator: mac(0), mesh: { algorithm: 'BATMAN_IV', originatorIntervalMs: 1000 } },
    links: [{ ...row, originator: mac(1), carrier: true, tq: 255 }],
    paths: Array.from({ length: 70 }, (_, n) => ({ ...row, originator: mac(n + 1), tq: tq(n) })),
  };
  assert.equal(askWhatIf(large, { what: 'kill', a: mac(63) }).leftOut, 7);
  assert.throws(
    () => askWhatIf(large, { what: 'kill', a: mac(70) }),
    /:46 is further away than the 64 routers that are/,
  );
  assert.throws(() => askWhatIf(large, { what: 'kill', a: '6' }), /5 routers of this mesh end/);
  assert.equal(askWhatIf(view(RING, 4), { what: 'kill', a: '00:01:00:01' }).leftOut, 0);
});

const repairs = (action: Action, fault: Partial<Fault>, state: RehearsalState): Change[] => {
  const { room, feed } = agentOf(state);
  feed();
  const scene = { around: room.monitor, knowledge: room.knowledge, now: 0 };
  return repairOf(action)
    .mend!.steps(plan(action, fault.interface ?? '', fault).fault, scene)
    .map(({ change }) => change);
};

/** A heal room that knows what is known here. */
function agentOf(state: RehearsalState) {
  const room = heal();
  const runtime = new Runtime(room.machines, { carryOut: () => {} });
  const feed = () => {
    runtime.feed({ type: 'settings', settings: state.settings }, 0);
    for (const link of state.links) runtime.feed({ type: 'link', link, cause: 'resync' }, 0);
    runtime.feed({ type: 'tables', tables: state.tables }, 0);
    runtime.feed({ type: 'started', node: '', epoch: 1, marks: [] }, 0);
    runtime.feed({ type: 'tables', tables: state.tables }, 0);
  };
  return { room, feed };
}

const judged = (action: Action, fault: Partial<Fault>, state: RehearsalState) =>
  rehearse(state, plan(action, fault.interface ?? '', fault), repairs(action, fault, state));

/** bat0 as a port of a bridge to the LAN. */
const bridged = (state: RehearsalState): RehearsalState => {
  const mesh = state.links.find(({ name }) => name === 'bat0')!;
  const lan = { ...mesh, index: 99, name: 'br-lan', kind: 'bridge', mac: '02:00:00:00:00:99' };
  return { ...state, links: [...state.links.filter((one) => one !== mesh), { ...mesh, master: 99 }, lan] };
};

test('isolating: a LAN with another way into the mesh is better off, one without is not worse off than in the storm', () => {
  const { state, names } = known(RING, 4);
  const storm = { class: 'broadcast-storm', interface: 'bat0' } as const;
  const both = judged('isolate', { ...storm, affected: [names[0]!, names[2]!] }, bridged(state));
  assert.equal(both.verdict, 'better', JSON.stringify(both));
  assert.ok(both.lost.with < both.lost.without / 10, JSON.stringify(both));
  assert.equal(judged('isolate', { ...storm, affected: [names[0]!] }, bridged(state)).verdict, 'same');
  const calm = judged('isolate', { class: 'mesh-misconfigured', interface: 'bat0' }, bridged(state));
  assert.equal(calm.verdict, 'worse', 'without a storm it would cut the LAN off');
});

test('a mesh interface that is put back into its bridge, or up again, is better', () => {
  const { state } = known(RING, 4);
  const bat0 = { class: 'mesh-misconfigured', interface: 'bat0' } as const;
  const join: Change = { kind: 'set-master', interface: 'bat0', master: 'br-lan' };
  assert.equal(rehearse(state, plan('restore', 'bat0', bat0), [join]).verdict, 'better');
  const down = { ...state, links: state.links.map((link) => (link.name === 'bat0' ? { ...link, up: false } : link)) };
  const up: Change = { kind: 'set-up', interface: 'bat0', up: true };
  assert.equal(rehearse(down, plan('restore', 'bat0', bat0), [up]).verdict, 'better');
});

const offered = (originators: readonly Mac[], state: RehearsalState, own: Partial<MeshSettings>): RehearsalState => ({
  ...state,
  tables: {
    ...state.tables,
    mesh: { ...state.tables.mesh!, settings: { ...state.tables.mesh!.settings, ...own } },
    gateways: originators.map((originator) => ({
      originator,
      router: originator,
      interfaceName: 'eth0',
      best: false,
      tq: 255,
      bandwidthDown: 100,
      bandwidthUp: 20,
    })),
  },
});

test('a gateway without a way out stands down: better where clients have another, the same where they have none', () => {
  const { state, names } = known(RING, 4);
  const fault = { class: 'gateway-no-upstream' } as const;
  const other = offered([names[2]!], state, { gwMode: 'server' });
  const shown = judged('gateway-stand-down', fault, other);
  assert.equal(shown.verdict, 'better', JSON.stringify(shown));
  assert.equal(judged('gateway-stand-down', fault, offered([], state, { gwMode: 'server' })).verdict, 'same');
  const works = judged('gateway-stand-down', { class: 'gateway-lost' }, offered([], state, { gwMode: 'server' }));
  assert.equal(works.verdict, 'worse', 'one that works is missed');
});

test('choosing a gateway anew is carried out, and no worse', () => {
  const { state, names } = known(RING, 4);
  const lost = { class: 'gateway-lost', affected: [names[1]!, names[2]!] } as const;
  const shown = judged('gateway-reselect', lost, offered([names[1]!, names[2]!], state, { gwMode: 'client' }));
  assert.notEqual(shown.verdict, 'worse', JSON.stringify(shown));
  assert.ok(shown.lost.without > 0, 'who goes out by a dead gateway loses what is sent');
});

test('restarting a radio: down, a while, up; better where the link lost most, worse where it lost nothing', () => {
  const { state } = known([{ a: 0, b: 1 }], 2);
  const worth = (tq: number): RehearsalState => ({
    ...state,
    tables: { ...state.tables, originators: state.tables.originators.map((row) => ({ ...row, tq })) },
  });
  const fault = { class: 'link-lossy', interface: 'eth0' } as const;
  const steps = repairs('restart-radio', fault, state);
  assert.deepEqual(steps, [
    { kind: 'set-up', interface: 'eth0', up: false },
    { kind: 'set-up', interface: 'eth0', up: true },
  ]);
  const bad = judged('restart-radio', fault, worth(20));
  assert.equal(bad.verdict, 'better', JSON.stringify(bad));
  assert.deepEqual(bad.left, []);
  assert.equal(judged('restart-radio', fault, worth(255)).verdict, 'worse');
});

test('a link made dear is carried out: what had no other way goes by it still', () => {
  const { state } = known(RING, 4);
  const dear: Change = { kind: 'set-hard', interface: 'eth0', settings: { hopPenalty: 160 } };
  const shown = rehearse(state, plan('link-cost', 'eth0', { class: 'link-lossy' }), [dear]);
  assert.deepEqual([shown.left, shown.unreached], [[], { with: 0, without: 0 }]);
});
