/** Writes every decision down: journal, log line, and the figures of the metrics. */
import type { Effect, Level } from '../core/effect.ts';
import type { Event } from '../core/event.ts';
import type { Machine } from '../core/machine.ts';
import { type Nanos, NEVER, SECOND, toMs } from '../core/time.ts';
import type { Decision } from '../core/words.ts';

const LEVELS: Readonly<Record<Decision['step'], Level>> = {
  planned: 'info',
  observed: 'info',
  done: 'info',
  verified: 'info',
  over: 'info',
  dropped: 'info',
  'rolled-back': 'warning',
  failed: 'warning',
};

export class Journal implements Machine {
  readonly name = 'journal';

  on(event: Event, now: Nanos): Effect[] {
    if (event.type !== 'decision') return [];
    const { decision } = event;
    const { fault, step, action, result } = decision;
    const about = [fault.class, fault.interface, fault.peer].filter((part) => part !== null).join(' ');
    const effects: Effect[] = [
      { type: 'journal', decision },
      {
        type: 'log',
        level: LEVELS[step],
        message: `${about}: ${step}${action === 'none' ? '' : ` ${action}`}${result === null ? '' : `: ${result}`}`,
        fields: { fault: fault.id, after_ms: toMs(now - fault.at), ...refusals(decision) },
      },
    ];
    // What a person asked for is no healing, and not counted as such.
    if (fault.class === 'asked') return effects;
    if (step === 'verified' || step === 'failed' || step === 'rolled-back') {
      const labels = { root_cause: fault.class, action, success: String(step === 'verified') };
      effects.push({ type: 'metric', name: 'self_healing_events_total', labels, value: 1 });
    }
    if (step === 'verified') {
      const seconds = (decision.at - fault.at) / SECOND;
      effects.push({
        type: 'metric',
        name: 'self_healing_mttr_seconds',
        labels: { recovery_type: action },
        value: seconds,
      });
      effects.push({ type: 'metric', name: 'mesh_mttr_seconds', labels: {}, value: seconds });
    }
    return effects;
  }

  deadline(): Nanos {
    return NEVER;
  }
}

function refusals({ step, alternatives }: Decision): Record<string, string> {
  if (step !== 'planned' && step !== 'observed') return {};
  return Object.fromEntries(
    alternatives.flatMap(({ action, refused }) => (refused === null ? [] : [[`not_${action}`, refused]])),
  );
}
