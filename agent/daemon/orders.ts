/**
 * What another router has this one do, over its session and where the policy lets it: a steward's work, a kick, another mode
 * of healing; by the same calls of the API as a person on this router would use.
 */
import { AgentError, type ErrorCode } from '../core/errors.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import { ORDERS, type Order } from '../report/api/peers.ts';
import { answer } from '../report/api.ts';
import type { Agent } from './part.ts';
import type { Trust } from './trust.ts';

/** Each is an entry of the journal, which one router shall not fill. */
const MOST_ORDERS = 30;
const HOUR: Nanos = 3600 * SECOND;
const LONGEST_BODY = 1024;

/** `id` has proven to be who asks; `body` is the call's as JSON. Answers its page. Throws AgentError. */
export type Obey = (what: Order, id: string, body: unknown) => string;

export function orders(
  { sources, now }: Pick<Agent, 'sources' | 'now'>,
  trust: Pick<Trust, 'permits' | 'isNamed'>,
): Obey {
  const given = new Map<string, number>();
  let until = now() + HOUR;
  return (what, id, body) => {
    if (typeof body !== 'string' || body.length > LONGEST_BODY)
      throw new AgentError('E_PEER_PROTOCOL', `${what} takes a call of the API as JSON`);
    if (now() >= until) {
      given.clear();
      until = now() + HOUR;
    }
    const count = (given.get(id) ?? 0) + 1;
    if (count > MOST_ORDERS)
      throw new AgentError('E_PEER_BUSY', `${id} has asked for ${MOST_ORDERS} things in an hour`);
    given.set(id, count);
    const { power, url, words } = ORDERS[what];
    if (!trust.permits(id, power))
      throw new AgentError('E_FORBIDDEN', `the policy of this router does not let ${id} ${words}`);
    // Who may let in would else make itself whatever the policy has a rule for.
    if (what === 'invite' && trust.isNamed(nodeIn(body)))
      throw new AgentError(
        'E_FORBIDDEN',
        'the policy of this router has a rule for that name: a person invites it here',
      );
    return pageOf(answer(sources, { method: 'POST', url, body, caller: { name: id, mayChange: true } }).body);
  };
}

function nodeIn(body: string): string {
  try {
    return String((JSON.parse(body) as { node?: unknown } | null)?.node ?? '');
  } catch {
    // The call says so.
    return '';
  }
}

function pageOf(page: string): string {
  const { error } = JSON.parse(page) as { error?: { code: ErrorCode; message: string } };
  if (error !== undefined) throw new AgentError(error.code, error.message);
  return page;
}
