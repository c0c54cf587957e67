/**
 * Whether what a scenario expects has come about: the words of `expect` that the twin judges, and by the same rules the lab
 * on real kernels (tools/lab/report.ts). Pure.
 */
import type { Decision } from '../core/words.ts';
import { counted } from './fields.ts';
import type { Expectation } from './scenario.ts';

export interface Judged {
  readonly held: boolean;
  /** In words: the figures, or what did not hold. */
  readonly why: string;
}

/** What came of a scenario, as far as these words ask. */
export interface Outcome {
  /** Of two routers at the end: whether a packet would come back. */
  readonly reach: readonly { readonly from: string; readonly to: string; readonly ok: boolean }[];
  /** What a fault cost a probe; none where no packet was sent while it lasted. */
  readonly costs: readonly {
    readonly fault: string;
    readonly probe: string;
    readonly outageMs: number;
    readonly recovered: boolean;
  }[];
  readonly probes: readonly { readonly name: string; readonly lossPct: number }[];
  /** What agents did. */
  readonly actions: readonly {
    readonly router: string;
    readonly action: string;
    readonly class: string;
    readonly atMs: number;
  }[];
}

/** What the twin has no judge for: it knows no right name for a fault, and no state before it. */
const OTHERS: ReadonlySet<string> = new Set([
  'found',
  'repaired',
  'no-false-actions',
  'settings-as-before',
  'agents-alive',
] satisfies Expectation['expect'][]);

export function isJudged({ expect }: Expectation): boolean {
  return !OTHERS.has(expect);
}

/** null for a word that is none of these. */
export function judge(expectation: Expectation, { reach, costs, probes, actions }: Outcome): Judged | null {
  switch (expectation.expect) {
    case 'reachable':
    case 'unreachable': {
      const { from, to, expect } = expectation;
      const wanted = expect === 'reachable';
      const asked = reach.filter((pair) =>
        [from, to].every((name) => name === undefined || name === pair.from || name === pair.to),
      );
      const verb = wanted ? 'does not reach' : 'reaches';
      const wrong = asked.filter(({ ok }) => ok !== wanted);
      return all(
        wrong.map((pair) => `${pair.from} ${verb} ${pair.to}`),
        counted(asked.length, 'pair'),
      );
    }
    case 'outage-below': {
      const { fault, probe, ms } = expectation;
      const asked = costs.filter(
        (cost) => (fault === undefined || cost.fault === fault) && (probe === undefined || cost.probe === probe),
      );
      const said = (cost: Outcome['costs'][number]) =>
        `${cost.fault} cost ${cost.probe} ${shownMs(cost.outageMs)}${cost.recovered ? '' : ' and was not over'}`;
      if (asked.length === 0) return { held: false, why: 'no packet was sent after the fault' };
      return all(asked.filter((cost) => !cost.recovered || cost.outageMs >= ms).map(said), asked.map(said).join('; '));
    }
    case 'loss-below': {
      const { probe, pct } = expectation;
      const asked = probes.filter(({ name }) => probe === undefined || name === probe);
      const said = ({ name, lossPct }: Outcome['probes'][number]) => `${name} lost ${lossPct.toFixed(2)} %`;
      return all(asked.filter(({ lossPct }) => lossPct >= pct).map(said), asked.map(said).join('; '));
    }
    case 'no-actions':
      return all(actions.map(actionText), 'none');
    default:
      return null;
  }
}

/** The first eight of what is wrong, or what is right. */
export function all(failed: readonly string[], otherwise: string): Judged {
  if (failed.length === 0) return { held: true, why: otherwise };
  const more = failed.length > 8 ? `; and ${failed.length - 8} more` : '';
  return { held: false, why: failed.slice(0, 8).join('; ') + more };
}

export const shownMs = (ms: number): string => (ms < 10_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`);

export const actionText = ({ router, action, class: of, atMs }: Outcome['actions'][number]): string =>
  `${router}: ${action} for ${of} at ${(atMs / 1000).toFixed(1)} s`;

const DONE: ReadonlySet<string> = new Set(['done', 'verified', 'failed', 'rolled-back'] satisfies Decision['step'][]);

/** Actions that change nothing and send nothing. */
export const PASSIVE: ReadonlySet<string> = new Set(['none', 'tell']);

/** Whether an entry of a journal tells that something was done, and by the agent's own decision. */
export function isAction(entry: { readonly step: string; readonly action: string; readonly class: string }): boolean {
  return DONE.has(entry.step) && !PASSIVE.has(entry.action) && entry.class !== 'asked';
}
