/** How long the machines took, for the metrics. */
import type { RuntimeOptions } from '../core/runtime.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import type { Metrics } from '../report/metrics.ts';

const PHASES: ReadonlySet<string> = new Set(['monitor', 'analyse', 'plan', 'execute', 'knowledge']);

export function stopwatch(now: () => Nanos, metrics: Metrics): NonNullable<RuntimeOptions['stopwatch']> {
  return {
    now,
    took: (phase, ns, sinceTurnBegan) => {
      // The turn begins with the event in our hands, and the plan is the decision.
      if (phase === 'plan') metrics.take('mesh_mttd_seconds', {}, sinceTurnBegan / SECOND);
      if (PHASES.has(phase)) metrics.take('mape_k_cycle_duration_seconds', { phase }, ns / SECOND);
    },
  };
}
