/**
 * Bench `quiet`: 24 virtual hours of a small mesh in the twin, with random loss on every link below the POOR class (3 %),
 * and nothing wrong. Whatever an agent does then is a mistake. `actions`: repairs planned, changes asked for and kicks.
 * `hours` shows how long it was; --runs N plays so many hours.
 */
import { SECOND } from '../../agent/core/time.ts';
import { Random } from '../../agent/twin/random.ts';
import { Simulation, WARM } from '../../agent/twin/simulation.ts';
import { story } from '../../agent/twin/story.ts';
import type { BenchResult, Progress } from './stats.ts';
import { runsOr } from './trials.ts';

const HOURS = 24;
const ROUTERS = 6;
const POOR = 0.03;
const SEED = 1;

export async function run(progress: Progress): Promise<BenchResult> {
  const hours = runsOr(HOURS);
  const random = new Random(SEED, 'quiet');
  const loss = () => [random.between(0, POOR), random.between(0, POOR)] as const;
  const links = Array.from({ length: ROUTERS }, (_, n) => ({ a: n, b: (n + 1) % ROUTERS, loss: loss() }));
  links.push({ a: 0, b: 3, loss: loss() });
  let actions = 0;
  const said = new Map<string, number>();
  const note = (what: string) => {
    actions += 1;
    said.set(what, (said.get(what) ?? 0) + 1);
  };
  const simulation = new Simulation(
    story({ seed: SEED, routers: ROUTERS, links, lengthNs: hours * 3600 * SECOND }),
    () => [
      {
        onEffect: (_, effect) => {
          if (simulation.now < WARM) return;
          if (effect.type === 'change') note('change');
          else if (effect.type === 'log' && effect.message.startsWith('kick: ')) note('kick');
          else if (effect.type === 'journal' && effect.decision.step === 'planned' && effect.decision.action !== 'none')
            note(`${effect.decision.fault.class}: ${effect.decision.action}`);
        },
      },
    ],
  );
  for (let hour = 1; hour <= hours; hour++) {
    simulation.run(hour * 3600 * SECOND);
    simulation.journal.length = 0;
    progress(`${hour} of ${hours} virtual hours, ${actions} actions`);
  }
  for (const [what, count] of said) progress(`${count} × ${what}`);
  return { figures: { actions, hours }, baseline: {}, targets: [{ figure: 'actions', atMost: 0 }] };
}
