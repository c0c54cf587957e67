/** Each invariant against an agent that breaks it: what the worlds are asked here no agent asks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import type { Change } from '../../../agent/core/kernel.ts';
import { SECOND } from '../../../agent/core/time.ts';
import type { Action, Decision, FaultClass, Plan } from '../../../agent/core/words.ts';
import { continueOgm, parseOgms } from '../../../agent/heal/ogm.ts';
import { INVARIANTS, type Invariant, Invariants } from '../../../agent/twin/invariants.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { type Fault, story } from '../../../agent/twin/story.ts';
import type { TwinWorld } from '../../../agent/twin/world.ts';

const LINE = [
  { a: 0, b: 1 },
  { a: 1, b: 2 },
];

class Bad {
  readonly simulation: Simulation;
  invariants!: Invariants;
  ogm = '';

  constructor(faults: readonly Fault[] = [], ends = 8) {
    this.simulation = new Simulation(
      story({
        seed: 1,
        routers: 3,
        links: LINE,
        lengthNs: ends * SECOND,
        faults: faults.map((fault) => ({ at: 7e9, fault })),
      }),
      (of) => {
        this.invariants = new Invariants(of);
        const tap = {
          onEvent: (world: TwinWorld, event: { type: string; frame?: string }) => {
            if (world.node === 'r0' && event.type === 'ogm-sent') this.ogm = event.frame!;
          },
          onEffect: () => {},
        };
        return [this.invariants, tap];
      },
    );
    this.simulation.run();
  }

  world(n: number): TwinWorld {
    return this.simulation.routers[n]!.world;
  }

  ask(n: number, ...effects: Effect[]): void {
    for (const effect of effects) this.world(n).carryOut(effect);
    this.pass(1);
  }

  pass(seconds: number): void {
    this.simulation.run(this.simulation.now + seconds * SECOND);
  }
}

function decision(over: Partial<Decision> = {}, evidence = true): Effect {
  const fault = {
    id: 'e1-f9',
    class: 'link-down',
    at: 1,
    interface: 'eth0',
    interfaceIndex: 11,
    peer: null,
    confidence: 1,
    evidence: evidence ? [{ source: 'test', what: 'invented', at: 1 }] : [],
    affected: [],
  } as const;
  const made: Decision = {
    fault,
    step: 'planned',
    at: 1,
    action: 'kick',
    alternatives: [],
    why: '',
    result: null,
    ...over,
  };
  return { type: 'journal', decision: made };
}

function planned({ id, class: kind, action }: { id: string; class: FaultClass; action: Action }): { plan: Plan } {
  const { fault } = (decision() as Extract<Effect, { type: 'journal' }>).decision;
  const about = { ...fault, id, class: kind, interface: null, interfaceIndex: null };
  const rest = { alternatives: [], why: '', later: [], delayNs: SECOND, radius: 'router', act: true } as const;
  return { plan: { fault: about, actions: [action], ...rest } };
}

const takeOut = (name: string, undo = true): Effect => ({
  type: 'change',
  id: `detach-${name}`,
  change: { kind: 'set-master', interface: name, master: null },
  undo: undo ? { kind: 'set-master', interface: name, master: 'bat0' } : null,
});
const setInterval = (ms: number): Effect => ({
  type: 'change',
  id: 'loan-origInterval',
  change: { kind: 'set-mesh', mesh: 'bat0', settings: { origInterval: ms } },
  undo: null,
});
const PUT_BACK: Effect = {
  type: 'change',
  id: 'return',
  change: { kind: 'set-master', interface: 'eth1', master: 'bat0' },
  undo: null,
};
const CUT: Fault = { kind: 'cut', a: 0, b: 1, silent: false };

/** A mesh in which an agent, or who plays one, does `what`. */
function after(what: (bad: Bad) => void, bad = new Bad()): Bad {
  what(bad);
  return bad;
}

/** As r0 reads it, a mesh of so many routers; one neighbour knows them all. */
function crowd(bad: Bad, routers: number): void {
  const tables = bad.simulation.routers[0]!.kernel.tables();
  const [row] = tables.originators;
  const originators = Array.from({ length: routers }, (_, n) => {
    const originator = `02:00:11:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`;
    return { ...row!, originator };
  });
  bad.world(0).feed({ type: 'tables', tables: { ...tables, originators } });
}

const BREAKS: Readonly<Record<Invariant, () => Bad>> = {
  evidence: () => after((bad) => bad.ask(0, decision())),
  'last way': () => after((bad) => bad.ask(0, takeOut('eth0'))),
  undo: () => after((bad) => bad.ask(1, takeOut('eth0', false))),
  loop: () =>
    after(
      (bad) => {
        for (let i = 0; i < 12; i++) bad.ask(0, decision());
      },
      new Bad([CUT]),
    ),
  numbers: () =>
    after((bad) => {
      const ogm = parseOgms(fromHex(bad.ogm))[0]!;
      const frame = toHex(continueOgm(ogm, ogm.seqno + 60, ogm.originator));
      bad.ask(0, { type: 'send', frames: [{ interface: 11, frame }] });
    }),
  errors: () =>
    after((bad) =>
      bad.ask(0, { type: 'log', level: 'error', message: 'machine plan failed', fields: { code: 'E_BUG' } }),
    ),
  memory: () => after((bad) => crowd(bad, 2500)),
  owed: () =>
    after((bad) => {
      const plan = { fault: (decision() as Extract<Effect, { type: 'journal' }>).decision.fault };
      bad.world(0).agent!.room.knowledge.detached.set('eth9', { plan: plan as never, undo: 'detach-eth9' });
    }),
  armed: () => after((bad) => bad.ask(1, takeOut('eth1'), PUT_BACK)),
  settings: () => after((bad) => bad.ask(0, setInterval(60))),
  members: () =>
    after((bad) => {
      bad.world(1).pause(true);
      bad.simulation.inject({ kind: 'taken', router: 1, towards: 0 });
      bad.pass(1);
    }),
  busy: () => new Bad([CUT], 7.05),
  outcome: () => after((bad) => bad.ask(0, decision()), new Bad([CUT])),
  open: () =>
    after(
      (bad) => {
        bad.world(0).pause(true);
        const { kernel } = bad.simulation.routers[0]!;
        const { index } = kernel.createMesh('BATMAN_IV', null);
        for (const device of kernel.devices) kernel.setMaster(device, index);
      },
      new Bad([{ kind: 'mesh-deleted', router: 0 }], 7.5),
    ),
  whole: () => new Bad([{ kind: 'cut', a: 0, b: 1, silent: true }]),
};

for (const [invariant, breaks] of Object.entries(BREAKS) as [Invariant, () => Bad][])
  test(`found when broken: ${INVARIANTS[invariant]}`, () => {
    const bad = breaks();
    bad.invariants.checkEnd();
    const found = bad.invariants.breaches.map((breach) => breach.invariant);
    assert.ok(found.includes(invariant), `found ${found.join() || 'nothing'}`);
  });

test('a repair of a setting that is under way is found too; a repair that was dropped has ended', () => {
  const bad = new Bad([CUT]);
  const { plan } = planned({ id: 'e1-f9', class: 'gateway-lost', action: 'gateway-reselect' });
  bad.world(0).agent!.room.mend.on({ type: 'plan', plan }, bad.simulation.now);
  bad.invariants.checkEnd();
  assert.ok(bad.invariants.breaches.some(({ invariant }) => invariant === 'busy'));

  const dropped = new Bad([CUT]);
  dropped.ask(0, decision(), decision({ step: 'dropped' }));
  dropped.invariants.checkEnd();
  assert.ok(dropped.invariants.breaches.every(({ invariant }) => invariant !== 'outcome'));
});

test('an interface that is set down cuts a last way as well; one that no route needs, or somebody sets up, does not', () => {
  const set = (router: number, name: string, up: boolean) => {
    const change: Change = { kind: 'set-up', interface: name, up };
    const undo: Change = { kind: 'set-up', interface: name, up: true };
    const bad = after((one) => one.ask(router, { type: 'change', id: 'mend-1-1', change, undo }));
    return bad.invariants.breaches.flatMap(({ invariant, what }) => (invariant === 'last way' ? [what] : []));
  };
  assert.deepEqual(set(0, 'eth0', false), ['r0: eth0 is set down, by which alone somebody is reached']);
  assert.deepEqual(set(1, 'eth0', false), []);
  assert.deepEqual(set(0, 'eth0', true), []);
});

test('what somebody could not set, since bat0 was away in that second, nobody wants', () => {
  const setting = (origInterval: number): Fault => ({ kind: 'setting', router: 0, settings: { origInterval } });
  const bad = new Bad([setting(200)]);
  bad.simulation.inject({ kind: 'mesh-deleted', router: 0 });
  bad.simulation.inject(setting(1000));
  bad.pass(30);
  assert.equal(bad.simulation.routers[0]!.kernel.mesh?.settings.origInterval, 200, 'made anew as it was');
  bad.invariants.checkEnd();
  assert.deepEqual(bad.invariants.breaches, []);
});

const LEFT: readonly [what: RegExp, change: Change][] = [
  [/bat0 gwMode is left at server/, { kind: 'set-mesh', mesh: 'bat0', settings: { gwMode: 'server' } }],
  [/bat0 bridgeLoopAvoidance/, { kind: 'set-mesh', mesh: 'bat0', settings: { bridgeLoopAvoidance: true } }],
  [/bat0 hopPenalty/, { kind: 'set-mesh', mesh: 'bat0', settings: { hopPenalty: 90 } }],
  [/eth0 hopPenalty/, { kind: 'set-hard', interface: 'eth0', settings: { hopPenalty: 160 } }],
  [/eth0 throughputOverride/, { kind: 'set-hard', interface: 'eth0', settings: { throughputOverride: 10 } }],
  [/eth0 set-mtu/, { kind: 'set-mtu', interface: 'eth0', mtu: 1400 }],
  [/bat0 up/, { kind: 'set-up', interface: 'bat0', up: false }],
  [/bat0 master/, { kind: 'set-master', interface: 'bat0', master: 'eth1' }],
];

for (const [what, change] of LEFT)
  test(`whatever an agent can set it may not leave so: ${JSON.stringify(change)}`, () => {
    const bad = after((one) => one.ask(1, { type: 'change', id: 'mend-1-1', change, undo: null }));
    bad.invariants.checkEnd();
    const found = bad.invariants.breaches.find(({ invariant }) => invariant === 'settings');
    assert.match(found?.what ?? 'nothing', what);
  });

test('a crowd too small to matter breaks nothing of memory', () => {
  const few = after((bad) => crowd(bad, 500));
  few.invariants.checkMemory();
  assert.deepEqual(few.invariants.breaches, []);
});

test('a fault is held against what happened there: another kind, or another place, is no evidence', () => {
  const seen = (kind: FaultClass, name: string, router: number, fault: Fault): boolean => {
    const { fault: about } = (decision() as Extract<Effect, { type: 'journal' }>).decision;
    const bad = after((one) => {
      one.simulation.inject(fault);
      one.ask(router, decision({ fault: { ...about, class: kind, interface: name }, action: 'none' }));
    });
    return bad.invariants.breaches.every(({ invariant }) => invariant !== 'evidence');
  };
  const loss: Fault = { kind: 'loss', a: 0, b: 1, loss: 0.5 };
  assert.equal(seen('link-lossy', 'eth0', 0, loss), true);
  assert.equal(seen('link-lossy', 'eth1', 1, loss), false, 'that is the other link');
  assert.equal(seen('interface-vanished', 'eth0', 0, loss), false);
  assert.equal(seen('routing-loop', 'eth0', 0, loss), false, 'nothing makes one here');
  const memory: Fault = { kind: 'memory', router: 2, kib: 1 };
  assert.equal(seen('overload', '', 2, memory), true);
  assert.equal(seen('overload', '', 0, memory), false);
  const setting: Fault = { kind: 'setting', router: 1, settings: { hopPenalty: 31 } };
  assert.equal(seen('config-drift', 'bat0', 1, setting), true);
  assert.equal(seen('config-drift', 'bat0', 2, setting), false);
  assert.equal(seen('mesh-vanished', 'bat0', 1, setting), false);
  const upstream: Fault = { kind: 'upstream', router: 0, answers: false };
  assert.equal(seen('gateway-no-upstream', '', 0, upstream), true);
  assert.equal(seen('gateway-no-upstream', '', 1, upstream), false);
  const unplugged: Fault = { kind: 'unplugged', router: 1, towards: 0 };
  assert.equal(seen('interface-vanished', 'eth0', 1, unplugged), true);
  assert.equal(seen('interface-vanished', 'eth1', 1, unplugged), false);
  assert.equal(seen('link-silent', 'eth0', 0, unplugged), true, 'the other end hears nothing');
  assert.equal(seen('link-silent', 'eth0', 2, unplugged), false);
});

test('under BATMAN_V too a router that is not reached is found, unless it has begun anew', () => {
  const found = (fault: Fault): boolean => {
    let invariants!: Invariants;
    const simulation = new Simulation(
      story({ seed: 1, routers: 3, algorithm: 'BATMAN_V', links: LINE, lengthNs: 8 * SECOND }),
      (of) => {
        invariants = new Invariants(of);
        return [invariants];
      },
    );
    simulation.run();
    simulation.inject(fault);
    simulation.run(10 * SECOND);
    invariants.checkEnd();
    return invariants.breaches.some(({ invariant }) => invariant === 'whole');
  };
  assert.equal(found({ kind: 'cut', a: 0, b: 1, silent: true }), true);
  assert.equal(found({ kind: 'agent-killed', router: 0 }), false);
});

test('a quiet mesh breaks none', () => {
  const quiet = new Bad();
  quiet.pass(5);
  quiet.invariants.checkEnd();
  assert.deepEqual(quiet.invariants.breaches, []);
});

test('what an agent that restarts itself leaves unsaid its neighbours may see, and nobody else', () => {
  const seen = (n: number, restarts: number | null) =>
    after((bad) => {
      if (restarts !== null) bad.ask(restarts, { type: 'restart', why: 'a test' });
      const plain = (decision() as Extract<Effect, { type: 'journal' }>).decision;
      const fault = { ...plain.fault, class: 'link-silent' } as const;
      bad.ask(n, { type: 'journal', decision: { ...plain, fault, action: 'none' } });
    }).invariants.breaches.map(({ invariant }) => invariant);
  assert.deepEqual(seen(0, null), ['evidence']);
  assert.deepEqual(seen(0, 1), []);
  assert.deepEqual(seen(0, 2), ['evidence']);
});

test('an MTU that an agent has put back is one that somebody had set there, or it is left behind', () => {
  const left = (set: number, restores: boolean) =>
    after((bad) => {
      bad.world(0).pause(true);
      const plain = (decision() as Extract<Effect, { type: 'journal' }>).decision;
      if (restores)
        bad.world(0).carryOut({ type: 'journal', decision: { ...plain, step: 'verified', action: 'restore' } });
      bad.simulation.inject({ kind: 'mtu', router: 0, towards: 1, mtu: 1400 });
      bad.simulation.inject({ kind: 'mtu', router: 0, towards: 1, mtu: null });
      const { kernel } = bad.simulation.routers[0]!;
      kernel.apply({ kind: 'set-mtu', interface: 'eth0', mtu: set });
      bad.invariants.checkEnd();
    }).invariants.breaches.some(({ invariant }) => invariant === 'settings');
  assert.equal(left(1400, true), false);
  assert.equal(left(1400, false), true);
  assert.equal(left(1300, true), true);
});
