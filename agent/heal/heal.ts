export type Heal = ReturnType<typeof heal>;

/**
 * The heal room as a whole: MAPE-K as small machines over one event stream, in the order in which one turn passes
 * through them: what the monitor notices is planned and on its way before the turn ends.
 */
import { Alarm } from './alarm.ts';
import { Analyse } from './analyse.ts';
import { Detect } from './detect.ts';
import { Earned } from './earned.ts';
import { Execute } from './execute.ts';
import { detectors } from './faults/catalogue.ts';
import { Journal } from './journal.ts';
import { Keeper } from './keeper.ts';
import { Kick } from './kick.ts';
import { Knowledge } from './knowledge.ts';
import { Mend } from './mend.ts';
import { Monitor } from './monitor.ts';
import { Plan } from './plan.ts';
import { Returns } from './returns.ts';
import { Ways } from './ways.ts';

export function heal() {
  const monitor = new Monitor();
  const knowledge = new Knowledge(monitor);
  const earned = new Earned(monitor, knowledge);
  const analyse = new Analyse(monitor, knowledge, earned);
  const plan = new Plan(monitor, knowledge, earned);
  const execute = new Execute(monitor, knowledge, earned);
  const mend = new Mend(monitor, knowledge, earned);
  const returns = new Returns(monitor, knowledge, earned);
  const alarm = new Alarm(monitor);
  const kick = new Kick(monitor);
  const ways = new Ways(monitor, kick, earned);
  const detect = new Detect(
    monitor,
    detectors(monitor, (originator) => ways.forwarded(originator)),
  );
  const journal = new Journal();
  return {
    monitor,
    knowledge,
    earned,
    analyse,
    plan,
    execute,
    mend,
    alarm,
    kick,
    ways,
    machines: [
      monitor,
      knowledge,
      earned,
      analyse,
      plan,
      execute,
      returns,
      alarm,
      ways,
      kick,
      mend,
      detect,
      new Keeper(monitor),
      journal,
    ],
  };
}
