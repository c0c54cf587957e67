/**
 * Bench `loop`: one whole MAPE-K pass that ends in a repair, on a router in a mesh of 50 originators with three ways to
 * each: the real machines (heal and mesh) in the real runtime, under a world that writes down what it is asked and
 * answers as a kernel would. Time between events is virtual; what is measured is what the machines make of them.
 *
 * `p95_ms`: from the link event to the end of its turn: fault found, repairs weighed, alarm signed, first OGMs of the kick
 * made, dead interface out. `follow_p95_ms`: all turns after it together until the repair is verified (the other OGMs,
 * the kernel's answers, tables read). `first_ms`: the very first pass, before anything is compiled: a router that has
 * been quiet for weeks. Baseline: the same event in observe mode, and in a runtime without machines.
 */
import type { Effect } from '../../agent/core/effect.ts';
import type { HealSettings, WorldEvent } from '../../agent/core/event.ts';
import { Runtime } from '../../agent/core/runtime.ts';
import { MS, type Nanos, SECOND } from '../../agent/core/time.ts';
import { heal } from '../../agent/heal/heal.ts';
import { Mesh } from '../../agent/mesh/mesh.ts';
import { type Fixture, linkOf, ownOgm, SETTINGS, tablesOf } from './fixture.ts';
import { type BenchResult, type Progress, percentile } from './stats.ts';

const PASSES = 2000;
/** Silence longer than this is broken. */
const SILENCE_MS = 3000;
const MESH: Fixture = {
  mesh: { index: 10, name: 'bat0', mac: '02:00:00:00:00:b0' },
  primary: { index: 11, name: 'primary0', mac: '02:00:00:00:00:ff' },
  ports: [1, 2, 3].map((n) => ({ index: 20 + n, name: `eth${n}`, mac: `02:00:00:00:00:0${n}` })),
  originators: 50,
};

/** A router under a kernel that does at once what it is told. */
class Bench {
  readonly #runtime: Runtime;
  /** What the kernel has to say next. */
  readonly #answers: WorldEvent[] = [];
  /** The port that is dead now; its link as the kernel has it. */
  #dead = linkOf(MESH.ports[0]!, { master: MESH.mesh.index });
  #lost = 0;
  /** What the journal said last. */
  step = '';
  /** Milliseconds in the runtime. */
  spent = 0;
  now: Nanos = 1e12;

  constructor(settings: HealSettings, machines = true) {
    this.#runtime = new Runtime(machines ? [...heal().machines, new Mesh()] : [], {
      carryOut: (effect) => this.#carryOut(effect),
    });
    const { mesh, primary, ports } = MESH;
    this.#feed({ type: 'settings', settings });
    this.#feed({ type: 'link', link: linkOf(mesh, { kind: 'batadv' }), cause: 'resync' });
    for (const port of [primary, ...ports])
      this.#feed({ type: 'link', link: linkOf(port, { master: mesh.index }), cause: 'resync' });
    this.#feed({ type: 'tables', tables: tablesOf(MESH) });
    this.#feed({ type: 'started', node: 'bench', epoch: 1, marks: [] });
    this.#feed({ type: 'ogm-sent', frame: ownOgm(primary.mac, 1000) });
  }

  #carryOut(effect: Effect): void {
    if (effect.type === 'journal') this.step = effect.decision.step;
    else if (effect.type === 'poll') this.#answers.push({ type: 'tables', tables: tablesOf(MESH, this.#lost) });
    else if (effect.type === 'change') {
      const { change, id } = effect;
      if (change.kind === 'set-master') {
        this.#dead = { ...this.#dead, master: change.master === null ? 0 : MESH.mesh.index };
        this.#answers.push({ type: 'link', link: this.#dead, cause: 'event' });
      }
      this.#answers.push({ type: 'change-done', id, error: null });
    }
  }

  #feed(event: WorldEvent): number {
    const began = performance.now();
    this.#runtime.feed(event, this.now);
    const took = performance.now() - began;
    this.spent += took;
    return took;
  }

  /** Answers and ticks in their order until `until` says that it is enough. */
  #run(until: () => boolean, limit: Nanos): void {
    const end = this.now + limit;
    while (!until()) {
      const answer = this.#answers.shift();
      if (answer !== undefined) {
        this.#feed(answer);
        continue;
      }
      const at = this.#runtime.deadline();
      if (at > end) break;
      this.now = Math.max(this.now, at);
      this.#feed({ type: 'tick' });
    }
  }

  /** Cuts a port, lets the repair run to its end, mends it. Answers milliseconds: of the first turn, of all others. */
  pass(): { turn: number; follow: number; step: string } {
    this.step = '';
    this.#lost = this.#dead.index;
    this.#dead = { ...this.#dead, carrier: false };
    this.spent = 0;
    const turn = this.#feed({ type: 'link', link: this.#dead, cause: 'event' });
    this.#run(() => this.step === 'verified' || this.step === 'observed', 10 * SECOND);
    const follow = this.spent - turn;
    const { step } = this;
    // What is left of the kick, then back to normal; faults a virtual two minutes apart, so that no damping counts.
    this.#run(() => false, SECOND);
    this.#lost = 0;
    this.#dead = { ...this.#dead, carrier: true };
    this.#feed({ type: 'link', link: this.#dead, cause: 'event' });
    this.#run(() => false, 120 * SECOND);
    this.now += 100 * MS;
    return { turn, follow, step };
  }
}

function many(bench: Bench, wanted: string, progress: Progress): { turns: number[]; follows: number[] } {
  const turns: number[] = [];
  const follows: number[] = [];
  let said = performance.now();
  for (let i = 0; i < PASSES; i++) {
    if (performance.now() - said > SILENCE_MS) {
      progress(`  ${i} of ${PASSES}`);
      said = performance.now();
    }
    const { turn, follow, step } = bench.pass();
    if (step !== wanted) throw new Error(`pass ${i} ended with '${step}', not '${wanted}'`);
    turns.push(turn);
    follows.push(follow);
  }
  return { turns, follows };
}

export async function run(progress: Progress): Promise<BenchResult> {
  progress(`${PASSES} faults, ${MESH.originators} originators by ${MESH.ports.length} ways`);
  const { turns, follows } = many(new Bench(SETTINGS), 'verified', progress);
  progress('the same in observe mode');
  const observed = many(new Bench({ ...SETTINGS, mode: 'observe' }), 'observed', progress);
  progress('the same without machines');
  const empty = many(new Bench(SETTINGS, false), '', progress);
  return {
    figures: {
      p50_ms: percentile(turns, 50),
      p95_ms: percentile(turns, 95),
      p99_ms: percentile(turns, 99),
      max_ms: Math.max(...turns.slice(1)),
      follow_p50_ms: percentile(follows, 50),
      follow_p95_ms: percentile(follows, 95),
      first_ms: turns[0]!,
    },
    baseline: { observe_p95_ms: percentile(observed.turns, 95), empty_p95_ms: percentile(empty.turns, 95) },
    targets: [{ figure: 'p95_ms', atMost: 1 }],
  };
}
