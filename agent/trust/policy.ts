/**
 * Who may do what, by SPIFFE ID. What no rule allows is denied. A rule as the configuration has it:
 *
 *     PATTERN POWER[,POWER...]          router/* read-status        spiffe://x0tta6bl4.mesh/router/desk tell-faults,admit
 *
 * PATTERN is an ID, or one whose last segment is * for all of that depth; without spiffe:// it is of the trust domain that
 * this router is in. Whoever admits or revokes beyond this router needs the owner's delegation too (ledger/ledger.ts): a policy
 * is about whom this router obeys, not about who can sign.
 */
import { AgentError } from '../core/errors.ts';
import { parseSpiffeId } from './certificate/spiffe.ts';

/** Each is asked about somewhere: a word that gates nothing would promise what nobody keeps. */
export const POWERS = ['read-status', 'tell-faults', 'change-configuration', 'admit', 'revoke'] as const;

export type Power = (typeof POWERS)[number];

export interface Rule {
  readonly pattern: string;
  readonly powers: readonly Power[];
}

export interface Ruling {
  readonly id: string;
  readonly power: Power;
  readonly isAllowed: boolean;
  /** In words. */
  readonly why: string;
}

const OWN = 'router/';

/** Throws E_CONFIG_VALUE. */
export function readRule(line: string): Rule {
  const [pattern = '', list = '', more] = line.trim().split(/\s+/);
  const whole = pattern.endsWith('/*') ? `${pattern.slice(0, -1)}x` : pattern;
  const powers = list.split(',');
  const unknown = powers.find((one) => !(POWERS as readonly string[]).includes(one));
  if (parseSpiffeId(whole.startsWith(OWN) ? idIn('x', whole) : whole) === null || more !== undefined)
    throw new AgentError(
      'E_CONFIG_VALUE',
      `expected a SPIFFE ID or router/NAME, or one that ends in /*, and what it may do: "${line}"`,
    );
  if (unknown !== undefined)
    throw new AgentError(
      'E_CONFIG_VALUE',
      `"${unknown}" is nothing that another router can ask for: ${POWERS.join(', ')} are`,
    );
  return { pattern, powers: powers as Power[] };
}

export class Policy {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /** `domain`: the trust domain that this router is in, null where it is in none. */
  decide(id: string, power: Power, domain: string | null): Ruling {
    const matching = this.#rules.filter(({ pattern }) => matches(pattern, id, domain));
    const rule = matching.find(({ powers }) => powers.includes(power));
    const why =
      rule !== undefined
        ? `the rule for ${rule.pattern} allows it`
        : matching.length > 0
          ? `no rule for ${matching.map(({ pattern }) => pattern).join(' or ')} allows it`
          : 'no rule is for this ID';
    return { id, power, isAllowed: rule !== undefined, why };
  }

  /** Whether a rule is for this ID and no other: whoever gets it gets what that allows. */
  names(id: string, domain: string | null): boolean {
    return this.#rules.some(({ pattern }) => !pattern.endsWith('/*') && matches(pattern, id, domain));
  }
}

function matches(pattern: string, id: string, domain: string | null): boolean {
  if (pattern.startsWith(OWN)) return domain !== null && matches(idIn(domain, pattern), id, domain);
  if (!pattern.endsWith('/*')) return pattern === id;
  const head = pattern.slice(0, -1);
  return id.startsWith(head) && id.length > head.length && !id.slice(head.length).includes('/');
}

function idIn(domain: string, pattern: string): string {
  return `spiffe://${domain}/${pattern}`;
}
