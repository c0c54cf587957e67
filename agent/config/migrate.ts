/**
 * Brings a configuration that an older version wrote into today's form. `file.format` says which form a file has; one
 * without it is of form 0. A step never loses what a person wrote: what is no longer an option stands on as it was, and
 * `config check` names it.
 */
import type { UciDocument, UciValue } from './uci.ts';

type Step =
  | { readonly rename: string; readonly to: string }
  /** Where it has this value, and nobody chose it: it was the default. */
  | { readonly change: string; readonly from: string; readonly to: string; readonly why: string }
  /** Each item of a list anew; one of which null is left goes, unless nothing would be left of the list. */
  | { readonly items: string; readonly why: string; anew(item: string): string | null };

interface Migration {
  /** The form that the file has afterwards. */
  readonly format: number;
  readonly steps: readonly Step[];
}

/** In order, each one form further. A released one is never changed. */
export const MIGRATIONS: readonly Migration[] = [
  {
    format: 1,
    steps: [
      {
        change: 'state.directory',
        from: '/var/lib/x0tta6bl4',
        to: '/etc/x0tta6bl4',
        why: 'on OpenWrt a reboot empties /var',
      },
    ],
  },
  {
    format: 2,
    steps: [
      {
        items: 'trust.allow',
        anew(rule) {
          if (rule === 'spiffe://x0tta6bl4.mesh/router/* read-status,tell-faults') return 'router/* read-status';
          const [, pattern, powers] = /^\s*(\S+)\s+(\S+)\s*$/.exec(rule) ?? [];
          if (pattern === undefined || powers === undefined) return rule;
          const all = powers.split(',');
          const left = all.filter((power) => power !== 'tell-faults' && power !== 'change-configuration');
          if (left.length === all.length) return rule;
          return left.length === 0 ? null : `${pattern} ${left.join(',')}`;
        },
        why: 'tell-faults and change-configuration allowed nothing then, and router/* is all of whatever mesh it is',
      },
    ],
  },
];

export const FORMAT = MIGRATIONS.at(-1)!.format;

export interface Migrated {
  readonly from: number;
  /** What was changed, a line each, without values that may be secret; empty: the file is of today's form. */
  readonly changes: readonly string[];
  /** At most the number was: there is nothing that a person has to know. */
  readonly isNumberOnly: boolean;
}

/**
 * Changes `doc`. A file of a form that is newer than this agent, or says no number, is left as it is. Only sections with a
 * name are looked at, as `uci get` does; names and types are the same in ours.
 */
export function migrate(doc: UciDocument, migrations: readonly Migration[] = MIGRATIONS): Migrated {
  const said = doc.get('file', 'format') ?? '0';
  const from = typeof said === 'string' && /^\d{1,6}$/.test(said) ? Number(said) : Number.POSITIVE_INFINITY;
  const changes: string[] = [];
  for (const { format, steps } of migrations) {
    if (format <= from) continue;
    for (const step of steps) changes.push(...take(doc, step));
  }
  const isNumberOnly = changes.length === 0;
  const newest = migrations.at(-1)?.format ?? 0;
  // A file with nothing in it follows the defaults, whatever form they have.
  if (from < newest && doc.sections().length > 0) {
    doc.set(doc.addSection('file', 'file'), 'format', String(newest));
    changes.push(`file.format is ${newest}`);
  }
  return { from, changes, isNumberOnly };
}

function take(doc: UciDocument, step: Step): string[] {
  const at = 'rename' in step ? step.rename : 'items' in step ? step.items : step.change;
  const [section, option] = at.split('.') as [string, string];
  const value = doc.get(section, option);
  if (value === undefined) return [];
  if ('items' in step) {
    if (typeof value === 'string') return [];
    const items = value.flatMap((item) => step.anew(item) ?? []);
    // Without a list the default would count, and nobody be told: what is there stays, and is refused by name.
    if (items.length === 0) return [];
    if (items.length === value.length && items.every((item, i) => item === value[i])) return [];
    put(doc, at, items);
    return [`${at} is written anew: ${step.why}`];
  }
  if ('change' in step) {
    if (value !== step.from) return [];
    put(doc, at, step.to);
    return [`${at} is ${step.to} instead of ${step.from}: ${step.why}`];
  }
  const [newSection, newOption] = step.to.split('.') as [string, string];
  // Both names: the new one was written by somebody who knew it.
  if (doc.get(newSection, newOption) !== undefined) return [];
  put(doc, step.to, value);
  doc.remove(doc.section(section)!, option);
  return [`${at} is called ${step.to} now`];
}

function put(doc: UciDocument, path: string, value: UciValue): void {
  const [section, option] = path.split('.') as [string, string];
  doc.set(doc.section(section) ?? doc.addSection(section, section), option, value);
}
