import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Mac } from '../../../agent/core/ids.ts';
import { SECOND } from '../../../agent/core/time.ts';
import type { Action, Plan } from '../../../agent/core/words.ts';
import { NO_SETTINGS } from '../../../agent/heal/surroundings.ts';
import { type RehearsalState, rehearse } from '../../../agent/twin/rehearse.ts';
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
function known(links: readonly { a: number; b: number }[], routers: number): { state: RehearsalState; names: Mac[] } {
  const simulation = new Simulation(story({ seed: 1, routers, links, lengthNs: 12 * SECOND }));
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

function plan(action: Action, name: string): Plan {
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
  } as const;
  return {
    fault,
    actions: [action],
    alternatives: [],
    why: '',
    detachLate: false,
    delayNs: 0,
    radius: 'link',
    act: true,
  };
}

const dead = (state: RehearsalState, name: string): RehearsalState => ({
  ...state,
  links: state.links.map((link) => (link.name === name ? { ...link, carrier: false } : link)),
});

test('taking out a dead interface in a ring is better than waiting', () => {
  const { state } = known(RING, 4);
  const verdict = rehearse(dead({ ...state, agents: [] }, 'eth0'), plan('detach', 'eth0'));
  assert.equal(verdict.verdict, 'better', JSON.stringify(verdict));
  assert.ok(verdict.lost.with < verdict.lost.without / 2, JSON.stringify(verdict));
  assert.equal(verdict.routers, 4);
  assert.deepEqual(verdict.left, []);
});

test('taking out the only interface that lives is worse', () => {
  const { state } = known([{ a: 0, b: 1 }], 2);
  const verdict = rehearse(state, plan('detach', 'eth0'));
  assert.equal(verdict.verdict, 'worse');
  assert.deepEqual(verdict.unreached, { with: 1, without: 0 });
});

test('what changes nothing is the same, and what cannot be shown is said', () => {
  const { state } = known(RING, 4);
  assert.equal(rehearse(state, plan('kick', 'eth0')).verdict, 'same');
  assert.deepEqual(rehearse(state, plan('recreate-mesh', 'bat0')).left, ['recreate-mesh']);
});

test('the same state and plan give the same verdict, also as JSON from another thread', () => {
  const { state } = known(RING, 4);
  const copy = JSON.parse(JSON.stringify(dead(state, 'eth1'))) as RehearsalState;
  assert.deepEqual(rehearse(dead(state, 'eth1'), plan('detach', 'eth1')), rehearse(copy, plan('detach', 'eth1')));
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
  worker.postMessage({ id: 1, state: dead(state, 'eth0'), plan: plan('detach', 'eth0') });
  worker.postMessage({ id: 2, state: null, plan: null });
  await both;
  await worker.terminate();
  assert.deepEqual(answers.get(1)!.verdict, rehearse(dead(state, 'eth0'), plan('detach', 'eth0')));
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

function view(links: readonly { a: number; b: number }[], routers: number): View {
  const { state } = known(links, routers);
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
