/** What users' connections did: exact for who may change this router, and for nobody else, nor for what may be sent away. */
const OF_CONNECTIONS: ReadonlySet<string> = new Set([
  'segments',
  'opened',
  'answered',
  'established',
  'closed',
  'reset',
  'retransmitted',
]);

export function withoutConnections(totals: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(totals).filter(([name]) => !OF_CONNECTIONS.has(name)));
}
