/**
 * batman-adv's tables, read every second, are most of what there is to record, and hardly change but for when each row
 * was last heard of. So a recording has them as what differs from the tables before them.
 */
import type { Tables } from '../core/event.ts';

type Row = Readonly<Record<string, unknown>>;

/** Rows anew; or when each was last heard of, and by their place those rows that changed beyond that. */
type PackedRows =
  | { readonly rows: readonly Row[] }
  | { readonly seen: readonly unknown[]; readonly changed?: Readonly<Record<string, Row>> };

export interface PackedTables {
  readonly originators: PackedRows;
  readonly neighbours: PackedRows;
  /** Left out where they are as before. */
  readonly mesh?: Tables['mesh'];
  readonly hardInterfaces?: Tables['hardInterfaces'];
  readonly gateways?: Tables['gateways'];
}

/** What is no longer told one by one is not worth telling apart. */
const MOST_CHANGED = 0.5;

export function packTables(tables: Tables, before: Tables | null): PackedTables {
  return {
    originators: packRows(asRows(tables.originators), asRows(before?.originators ?? [])),
    neighbours: packRows(asRows(tables.neighbours), asRows(before?.neighbours ?? [])),
    ...(differs(tables.mesh, before?.mesh) && { mesh: tables.mesh }),
    ...(differs(tables.hardInterfaces, before?.hardInterfaces) && { hardInterfaces: tables.hardInterfaces }),
    ...(differs(tables.gateways, before?.gateways) && { gateways: tables.gateways }),
  };
}

/** Both come from the same decoder, with their members in the same order. */
function differs(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}

/** Throws a RangeError where it does not follow from what was before. */
export function unpackTables(packed: PackedTables, before: Tables | null): Tables {
  const rest = (key: 'mesh' | 'hardInterfaces' | 'gateways'): unknown => {
    if (Object.hasOwn(packed, key)) return packed[key];
    if (before === null) throw new RangeError(`the first tables lack ${key}`);
    return before[key];
  };
  return {
    mesh: rest('mesh') as Tables['mesh'],
    hardInterfaces: rest('hardInterfaces') as Tables['hardInterfaces'],
    originators: unpackRows(packed.originators, asRows(before?.originators ?? [])) as unknown as Tables['originators'],
    neighbours: unpackRows(packed.neighbours, asRows(before?.neighbours ?? [])) as unknown as Tables['neighbours'],
    gateways: rest('gateways') as Tables['gateways'],
  };
}

function asRows(rows: readonly object[]): readonly Row[] {
  return rows as readonly Row[];
}

function packRows(rows: readonly Row[], before: readonly Row[]): PackedRows {
  if (rows.length !== before.length || rows.length === 0) return { rows };
  const seen: unknown[] = [];
  const changed: Record<string, Row> = {};
  let count = 0;
  for (const [i, row] of rows.entries()) {
    const { lastSeenMs, ...rest } = row;
    seen.push(lastSeenMs);
    if (isSame(row, before[i]!)) continue;
    changed[i] = rest;
    count++;
    if (count > rows.length * MOST_CHANGED) return { rows };
  }
  return count === 0 ? { seen } : { seen, changed };
}

function isSame(row: Row, before: Row): boolean {
  const keys = Object.keys(row);
  return (
    keys.length === Object.keys(before).length && keys.every((key) => key === 'lastSeenMs' || row[key] === before[key])
  );
}

function unpackRows(packed: PackedRows, before: readonly Row[]): readonly Row[] {
  if (typeof packed !== 'object' || packed === null) throw new RangeError('tables without their rows');
  if ('rows' in packed) {
    if (!Array.isArray(packed.rows)) throw new RangeError('rows that are no array');
    return packed.rows;
  }
  const { seen, changed = {} } = packed;
  if (!Array.isArray(seen) || seen.length !== before.length) throw new RangeError('tables unlike those before them');
  return before.map((row, i) => {
    const now = Object.hasOwn(changed, i) ? changed[i] : row;
    return { ...now, lastSeenMs: seen[i] as unknown };
  });
}
