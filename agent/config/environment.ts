/**
 * The names under which the project's brief knows options: environment variables, which override what the file has, and the
 * values of its Helm chart, which only tell where they went. The one table of both.
 */
import type { Row } from './schema.ts';

interface Alias {
  /** section.option; null while no part of the agent has one for it. */
  readonly path: Row['path'] | null;
  readonly variable?: string;
  readonly helm?: string;
  /** From the variable's unit to the option's; a text that is no number is left as it is, and refused by the option. */
  readonly times?: number;
}

export const ALIASES: readonly Alias[] = [
  { path: 'mesh.node_name', variable: 'MESH_NODE_ID' },
  { path: 'mesh.max_neighbours', helm: 'mesh.maxNeighbors' },
  { path: 'beacon.slot', variable: 'MESH_SLOT_DURATION_MS', helm: 'mesh.slotDuration' },
  { path: 'beacon.interval', variable: 'MESH_BEACON_INTERVAL_S', helm: 'mesh.beaconInterval', times: 1000 },
  { path: null, variable: 'PQ_CRYPTO_ENABLED', helm: 'security.pqCrypto.enabled' },
  { path: null, helm: 'security.pqCrypto.algorithm' },
  { path: null, helm: 'security.spiffe.enabled' },
  { path: 'trust.domain', helm: 'security.spiffe.trustDomain' },
  { path: null, helm: 'ai.enabled' },
  { path: null, variable: 'AI_FALLBACK_MODE', helm: 'ai.fallbackMode' },
  { path: null, helm: 'dao.enabled' },
  { path: null, variable: 'DAO_QUADRATIC_VOTING', helm: 'dao.quadraticVoting' },
  { path: null, helm: 'dao.quorum' },
];

export interface Override {
  readonly variable: string;
  /** As the file would have it. */
  readonly text: string;
}

export interface Overrides {
  /** By section.option. */
  readonly by: ReadonlyMap<string, Override>;
  /** Variables that are set and have nothing to override in this version. */
  readonly idle: readonly string[];
}

export const NO_OVERRIDES: Overrides = { by: new Map(), idle: [] };

/** An empty variable is one that is not set. */
export function overridesOf(environment: Readonly<Record<string, string | undefined>>): Overrides {
  const by = new Map<string, Override>();
  const idle: string[] = [];
  for (const { path, variable, times = 1 } of ALIASES) {
    if (variable === undefined) continue;
    const raw = environment[variable]?.trim();
    if (!raw) continue;
    if (path === null) idle.push(variable);
    else by.set(path, { variable, text: scaled(raw, times) });
  }
  return { by, idle };
}

function scaled(text: string, times: number): string {
  return times !== 1 && /^\d{1,9}(\.\d{1,9})?$/.test(text) ? String(Math.round(Number(text) * times)) : text;
}

/** For the README, in Markdown. */
export function aliasTable(): string {
  const code = (text: string | undefined | null) => (text ? `\`${text}\`` : ' ');
  const rows = ALIASES.map(
    ({ path, variable, helm, times }) =>
      `| ${code(variable)} | ${code(helm)} | ${path === null ? 'nothing yet' : `${code(path)}${times ? `, times ${times}` : ''}`} |`,
  );
  return ['| Environment variable | Helm value | Overrides, is |', '|---|---|---|', ...rows].join('\n');
}
