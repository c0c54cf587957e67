import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import type { WorldEvent } from '../../../agent/core/event.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import type { Action } from '../../../agent/core/words.ts';
import { rehearsals } from '../../../agent/daemon/rehearsals.ts';
import { NO_SETTINGS } from '../../../agent/heal/surroundings.ts';
import type { RehearsalState } from '../../../agent/twin/rehearsal.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { story } from '../../../agent/twin/story.ts';

const now = (): Nanos => performance.now() * MS;

/** Two routers and a cable, as one of them knows it. */
function pair(): RehearsalState {
  const simulation = new Simulation(story({ seed: 1, routers: 2, links: [{ a: 0, b: 1 }], lengthNs: 12 * SECOND }));
  simulation.run();
  const names = simulation.routers.map(({ kernel }) => kernel.tables().mesh!.primary!.mac);
  const owners: Record<string, string> = {};
  for (const [n, { kernel }] of simulation.routers.entries())
    for (const { mac } of kernel.devices) owners[mac] = names[n]!;
  const { kernel } = simulation.routers[0]!;
  const settings = { ...NO_SETTINGS, mode: 'act' } as const;
  return { self: names[0]!, settings, tables: kernel.tables(), links: kernel.links(), owners, agents: [] };
}

function asked(action: Action, ms: number): Extract<Effect, { type: 'rehearse' }> {
  const fault = {
    id: 'e1-f1',
    class: 'link-lossy',
    at: 0,
    interface: 'eth0',
    interfaceIndex: 11,
    peer: null,
    confidence: 1,
    evidence: [],
    affected: [],
  } as const;
  const weighed = { alternatives: [], why: '', later: [], delayNs: 0, radius: 'router', act: true } as const;
  const out = { kind: 'set-master', interface: 'eth0', master: null } as const;
  const changes = action === 'detach' ? [out] : [];
  return {
    type: 'rehearse',
    id: 'r',
    plan: { fault, actions: [action], ...weighed },
    changes,
    deadline: now() + ms * MS,
  };
}

function scene(state: RehearsalState | null) {
  const { promise, resolve } = Promise.withResolvers<WorldEvent>();
  const heard: WorldEvent[] = [];
  const ask = rehearsals({
    now,
    state: () => state,
    feed: (event) => {
      heard.push(event);
      resolve(event);
    },
  });
  return { ask, heard, first: promise };
}

test('a plan that cuts the only way is worse, and says by how much', async () => {
  const { ask, first } = scene(pair());
  ask(asked('detach', 30_000));
  const event = await first;
  assert.equal(event.type === 'rehearsed' && event.verdict, 'worse', JSON.stringify(event));
  assert.match(event.type === 'rehearsed' ? event.detail : '', /mesh of 2 routers .* 1 and 0 routers out of reach/);
});

test('late, beside another, before the mesh is known, or of no use: nobody knows, and one answer each', async () => {
  const { ask, heard, first } = scene(pair());
  ask(asked('detach', 0));
  ask(asked('detach', 30_000));
  ask(asked('recreate-mesh', 30_000));
  await first;
  await new Promise((settle) => setTimeout(settle, 300));
  const verdicts = heard.map((event) => (event.type === 'rehearsed' ? `${event.verdict}: ${event.detail}` : ''));
  assert.deepEqual(verdicts.sort(), [
    'unknown: another rehearsal is under way',
    'unknown: it changes nothing that a rehearsal could show',
    'unknown: the rehearsal took too long',
  ]);
  const blind = scene(null);
  blind.ask(asked('detach', 30_000));
  assert.match(JSON.stringify(await blind.first), /does not know its mesh/);
});
