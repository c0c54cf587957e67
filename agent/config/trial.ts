/**
 * Confirm or revert: a changed configuration is on trial until it has shown that it neither cuts this router off from the
 * mesh nor from whoever made it. The mesh's view is the judge: of the routers that were reached before, one at least has to
 * be reached at the end; of the people who were logged in and answered before, one, unless they all have left by themselves.
 * Pure: it is told what is seen and the time, and says what follows.
 */
import type { Mac } from '../core/ids.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import type { Change } from './load.ts';
import type { Config } from './schema.ts';

/** What can cut nobody off. */
const HARMLESS = new Set(['file', 'log', 'alert', 'state', 'report', 'probe']);
const HARMLESS_OPTIONS = new Set(['mesh.revert_after', 'mesh.node_name']);

/** Whether one of these changes can cut somebody off. */
export function toBeTried(changes: readonly Change[]): boolean {
  return changes.some(({ section, path }) => !HARMLESS.has(section) && !HARMLESS_OPTIONS.has(path));
}

/** Where programs and other routers connect to the agent: nobody is logged in there. */
export function ownPorts({ report, peer }: Config): number[] {
  return [report.http_port, report.metrics_port, peer.port];
}

/** What is seen of those who count. */
export interface Sight {
  /** Originators, and when each was heard last. */
  readonly routers: ReadonlyMap<Mac, Nanos>;
  /** Addresses that answered since the last look. */
  readonly answered: readonly string[];
  /** Addresses that still hold a connection: who has closed it has left, and is not cut off. */
  readonly connected: readonly string[];
}

export type Verdict =
  | { readonly verdict: 'waiting' }
  | { readonly verdict: 'kept' }
  | { readonly verdict: 'revert'; readonly why: string };

export interface Before {
  /** Routers that were reached before the change. */
  readonly routers: readonly Mac[];
  /** Addresses from which somebody was logged in, and that answered. */
  readonly people: readonly string[];
}

/** Whoever was seen in this last part of the trial counts as reached: tables take a while to show a loss. */
const LAST_PART = 3;
const LEAST_NS: Nanos = 5 * SECOND;

export class Trial {
  readonly #before: Before;
  readonly #until: Nanos;
  readonly #since: Nanos;
  #reached: Nanos = -1;
  #answered: Nanos = -1;

  constructor(before: Before, at: Nanos, within: Nanos) {
    this.#before = before;
    this.#until = at + within;
    this.#since = this.#until - Math.max(LEAST_NS, within / LAST_PART);
  }

  /** Nobody is there who could be lost: then there is nothing to try. */
  static hasJudge({ routers, people }: Before): boolean {
    return routers.length > 0 || people.length > 0;
  }

  get until(): Nanos {
    return this.#until;
  }

  look({ routers, answered, connected }: Sight, now: Nanos): Verdict {
    const { routers: before, people } = this.#before;
    for (const one of before) this.#reached = Math.max(this.#reached, routers.get(one) ?? -1);
    if (people.some((one) => answered.includes(one))) this.#answered = now;
    if (now < this.#until) return { verdict: 'waiting' };
    if (before.length > 0 && this.#reached < this.#since) {
      const others = before.length === 1 ? 'the one router that was' : `none of the ${before.length} routers that were`;
      const word = before.length === 1 ? `${others} reached before is lost` : `${others} reached before is reached`;
      return { verdict: 'revert', why: word };
    }
    const stay = people.filter((one) => connected.includes(one));
    if (stay.length > 0 && this.#answered < this.#since)
      return { verdict: 'revert', why: `${stay.join(', ')} was logged in, still is, and answers no more` };
    return { verdict: 'kept' };
  }
}
