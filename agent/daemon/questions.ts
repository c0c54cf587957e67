/**
 * What another router asks this one to show, over its session and where the policy lets it: pages of the API, as a person on
 * this router would see them. The journal's takes some milliseconds, in which nothing is repaired: so many a second are read.
 */
import { AgentError } from '../core/errors.ts';
import { QUESTIONS, type Question } from '../report/api/peers.ts';
import { answer } from '../report/api.ts';
import { Budgets } from '../trust/membership/budget.ts';
import type { Agent } from './part.ts';

/** Of one router, at once and then a second; all together five times that. */
const AT_ONCE = 20;
const PER_SECOND = 2;
const ALL = 5;

/** `id` has proven to be who asks. Answers the page as JSON. Throws E_FORBIDDEN, E_PEER_BUSY. */
export type Tell = (what: Question, id: string) => string;

export function questions({ sources, now }: Pick<Agent, 'sources' | 'now'>, mayRead: (id: string) => boolean): Tell {
  const ofOne = new Budgets({ rate: PER_SECOND, burst: AT_ONCE });
  const ofAll = new Budgets({ rate: ALL * PER_SECOND, burst: ALL * AT_ONCE });
  return (what, id) => {
    if (!mayRead(id)) throw new AgentError('E_FORBIDDEN', `the policy of this router does not let ${id} read it`);
    if (!ofOne.take(id, now()) || !ofAll.take('', now()))
      throw new AgentError('E_PEER_BUSY', `more than ${PER_SECOND} pages a second are asked for`);
    const caller = { name: id, mayChange: false };
    return answer(sources, { method: 'GET', url: QUESTIONS[what], body: '', caller }).body;
  };
}
