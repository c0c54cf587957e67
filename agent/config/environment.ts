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
  /** Where there is no option, how it is instead; absent where no part of the agent has it. */
  readonly instead?: string;
  /** From the variable's unit to the option's; a text that is no number is left as it is, and refused by the option. */
  readonly times?: number;
}

export const ALIASES: readonly Alias[] = [
  { path: 'mesh.node_name', variable: 'MESH_NODE_ID' },
  { path: 'mesh.max_neighbours', helm: 'mesh.maxNeighbors' },
  { path: 'beacon.slot', variable: 'MESH_SLOT_DURATION_MS', helm: 'mesh.slotDuration' },
  { path: 'beacon.interval', variable: 'MESH_BEACON_INTERVAL_S', helm: 'mesh.beaconInterval', times: 1000 },
  {
    path: null,
    variable: 'PQ_CRYPTO_ENABLED',
    helm: 'security.pqCrypto.enabled',
    instead: 'always on: identities and sessions are hybrid, and tunnels have keys that are agreed over them',
  },
  {
    path: null,
    helm: 'security.pqCrypto.algorithm',
    instead: 'X25519 with ML-KEM-768, Ed25519 with ML-DSA-65, both always',
  },
  { path: null, helm: 'security.spiffe.enabled', instead: 'on from x0ctl mesh init or x0ctl join' },
  { path: 'trust.domain', helm: 'security.spiffe.trustDomain' },
  { path: null, helm: 'ai.enabled' },
  { path: null, variable: 'AI_FALLBACK_MODE', helm: 'ai.fallbackMode' },
  { path: null, helm: 'dao.enabled' },
  { path: null, variable: 'DAO_QUADRATIC_VOTING', helm: 'dao.quadraticVoting' },
  { path: null, helm: 'dao.quorum' },
];

export interface Override {
  readonly variable: string;
  /** From the variable's unit to the option's. */
  readonly times: number;
  /** As the file would have it. */
  readonly text: string;
}

export interface Overrides {
  /** By section.option. */
  readonly by: ReadonlyMap<string, Override>;
  /** Variables that are set and override nothing, and why. */
  readonly idle: readonly string[];
}

export const NO_OVERRIDES: Overrides = { by: new Map(), idle: [] };

/** An empty variable is one that is not set. */
export function overridesOf(environment: Readonly<Record<string, string | undefined>>): Overrides {
  const by = new Map<string, Override>();
  const idle: string[] = [];
  for (const { path, variable, instead, times = 1 } of ALIASES) {
    if (variable === undefined) continue;
    const raw = environment[variable]?.trim();
    if (!raw) continue;
    if (path === null)
      idle.push(`${variable} overrides nothing: ${instead ?? 'this version has no part that it is for'}`);
    else by.set(path, { variable, times, text: scaled(raw, times) });
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
    ({ path, variable, helm, instead, times }) =>
      `| ${code(variable)} | ${code(helm)} | ${path === null ? (instead ?? 'nothing yet') : `${code(path)}${times ? `, times ${times}` : ''}`} |`,
  );
  return ['| Environment variable | Helm value | Overrides, is |', '|---|---|---|', ...rows].join('\n');
}
