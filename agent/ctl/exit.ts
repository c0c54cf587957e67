/** What x0ctl's exit statuses mean, and which error ends in which. */
export const EXIT = {
  ok: 0,
  /** The command worked, and what it looked at has a problem. */
  problem: 1,
  usage: 2,
  unreachable: 3,
  /** Not allowed, there is no such thing, or it is not what it has to be. */
  refused: 4,
  failed: 5,
} as const;

const BY_ERROR: Readonly<Record<string, number>> = {
  E_USAGE: EXIT.usage,
  E_AGENT_UNREACHABLE: EXIT.unreachable,
  E_FORBIDDEN: EXIT.refused,
  E_NOT_FOUND: EXIT.refused,
  E_CONFIG_READ: EXIT.refused,
  E_CONFIG_SYNTAX: EXIT.problem,
  E_CONFIG_VALUE: EXIT.problem,
  E_JOURNAL_BROKEN: EXIT.problem,
  E_KEY_FILE: EXIT.refused,
  E_MAP: EXIT.refused,
  E_PEER_REFUSED: EXIT.refused,
  E_RECORDING: EXIT.refused,
  E_STATE: EXIT.refused,
  E_SVID: EXIT.refused,
};

export function exitOf(code: string): number {
  return BY_ERROR[code] ?? (code.startsWith('E_SCENARIO_') ? EXIT.refused : EXIT.failed);
}
