/** The tables of tools/lab/README.md, from the tables that check a scenario. */
import type { JsonSchema } from '../../agent/twin/fields.ts';
import { scenarioSchema } from '../../agent/twin/scenario.ts';
import { VERDICTS } from './verdicts.ts';

function typeOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum) return schema.enum.map((one) => `\`${one}\``).join(', ');
  if (schema.type === 'integer' || schema.type === 'number') {
    const { minimum, maximum } = schema;
    return `${schema.type === 'integer' ? 'whole number' : 'number'}, ${minimum} to ${maximum}`;
  }
  if (schema.type === 'string') return `text, at most ${schema.maxLength}`;
  if (schema.type === 'boolean') return 'true or false';
  if (schema.type === 'array') {
    const { minItems, maxItems, items } = schema;
    const some = minItems === maxItems ? `array of ${maxItems}` : `array, at most ${maxItems}`;
    return items?.properties || items?.oneOf ? some : `${some}: ${typeOf(items ?? {})}`;
  }
  if (schema.oneOf?.every(({ properties }) => properties === undefined)) return schema.oneOf.map(typeOf).join('; or ');
  return schema.type === 'object' || schema.oneOf ? 'object' : 'any';
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function row(key: string, schema: JsonSchema, isRequired: boolean): string {
  const { default: value } = schema;
  const simple = typeof value !== 'object' || (Array.isArray(value) && value.length === 0);
  const standing = isRequired
    ? '**required**'
    : value === undefined
      ? ''
      : simple
        ? `\`${JSON.stringify(value)}\``
        : '';
  return `| \`${key}\` | ${cell(typeOf(schema))} | ${standing} | ${cell(schema.description ?? '')} |`;
}

const HEAD = ['| Key | Type | Default | What it is |', '| --- | --- | --- | --- |'];

function rows(schema: JsonSchema, without: ReadonlySet<string> = new Set()): string[] {
  return Object.entries(schema.properties ?? {})
    .filter(([key]) => !without.has(key))
    .map(([key, one]) => row(key, one, schema.required?.includes(key) ?? false));
}

/** A table for an object; of one that has variants, a list of them with their keys. */
function variantLines(schema: JsonSchema, key: string): string[] {
  return schema.oneOf!.flatMap((one) => {
    const { [key]: name, ...own } = one.properties!;
    const shared = sharedKeys(schema);
    const keys = Object.entries(own).filter(([member]) => !shared.has(member));
    const needed = one.required ?? [];
    const list = keys.map(([member, field]) => {
      const standing = needed.includes(member)
        ? ''
        : field.default === undefined
          ? ', optional'
          : `, else \`${field.default}\``;
      return `  - \`${member}\` (${typeOf(field)}${standing}): ${field.description ?? ''}`;
    });
    return [`- **\`${name!.const}\`** ${one.description ?? ''}`, ...list];
  });
}

/** Keys that every variant has. */
function sharedKeys({ oneOf = [] }: JsonSchema): Set<string> {
  const [first, ...rest] = oneOf.map(({ properties }) => Object.keys(properties!));
  return new Set(first!.filter((key) => rest.every((keys) => keys.includes(key))));
}

function sharedTable(schema: JsonSchema, key: string): string[] {
  const shared = sharedKeys(schema);
  const all = new Set(Object.keys(schema.oneOf![0]!.properties!));
  const without = new Set([...all].filter((one) => !shared.has(one) || one === key));
  return [...HEAD, ...rows(schema.oneOf![0]!, without)];
}

function verdictTable(): string[] {
  const how = {
    traffic: 'packets flow again',
    state: 'what was changed is as before',
    none: 'there is nothing to repair',
  };
  const own: Readonly<Record<string, string>> = {
    'gateway-gone': 'no other router chooses it any more',
    'upstream-gone': 'no other router chooses it any more',
    'bridge-loop': 'the storm is over',
  };
  return [
    '| Fault | Right names | Repaired when |',
    '| --- | --- | --- |',
    ...Object.entries(VERDICTS).map(
      ([fault, { names, repair }]) =>
        `| \`${fault}\` | ${names.map((name) => `\`${name}\``).join(', ') || 'none'} | ${own[fault] ?? how[repair]} |`,
    ),
  ];
}

/** Everything between the README's markers. */
export function scenarioPage(): string {
  const schema = scenarioSchema();
  const members = schema.properties!;
  const of = (key: string): JsonSchema => members[key]!;
  const node = of('nodes').additionalProperties as JsonSchema;
  const parts: [string, string[]][] = [
    ['The scenario', [...HEAD, ...rows(schema)]],
    [
      '`topology`',
      [...sharedTable(of('topology'), 'kind'), '', 'and by its `kind`:', '', ...variantLines(of('topology'), 'kind')],
    ],
    ['`kernel`', [...HEAD, ...rows(of('kernel'))]],
    ['`link`', [...HEAD, ...rows(of('link'))]],
    ['An item of `links`', [...HEAD, ...rows(of('links').items!, new Set(Object.keys(of('link').properties!)))]],
    [
      'A member of `nodes`',
      [...HEAD, ...rows(node), '', '`gateway`:', '', ...HEAD, ...rows(node.properties!.gateway!)],
    ],
    ['`agent`', [...HEAD, ...rows(of('agent'))]],
    ['An item of `probes`', [...HEAD, ...rows(of('probes').items!)]],
    [
      'An item of `timeline`',
      [
        ...sharedTable(of('timeline').items!, 'fault'),
        '',
        'and by its `fault`:',
        '',
        ...variantLines(of('timeline').items!, 'fault'),
      ],
    ],
    [
      'An item of `expect`',
      [
        ...sharedTable(of('expect').items!, 'expect'),
        '',
        'and by its `expect`:',
        '',
        ...variantLines(of('expect').items!, 'expect'),
      ],
    ],
    ['What names a fault rightly, and what repairs it', verdictTable()],
  ];
  return parts.map(([title, lines]) => `### ${title}\n\n${lines.join('\n')}`).join('\n\n');
}

export const schemaText = () => `${JSON.stringify(scenarioSchema(), null, 2)}\n`;
