/** What of the LuCI app is made from other sources: plugin, ACLs, the options of the form, translations' templates. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Option, ROWS, SECTIONS, type SectionName } from '../../agent/config/schema.ts';
import { METHODS, type Method, OBJECT } from './methods.ts';
import { type Found, type Message, merge, messagesOf, template } from './po.ts';

const ROOT = join(import.meta.dirname, '..', '..');
export const APP = 'openwrt-feed/luci-app-x0tta6bl4';
export const VIEWS = `${APP}/htdocs/luci-static/resources/view/x0tta6bl4`;
const MENU = `${APP}/root/usr/share/luci/menu.d/luci-app-x0tta6bl4.json`;
const BEGIN = '/* methods:begin */';
const END = '/* methods:end */';
export const LANGUAGES = ['de', 'ru'] as const;

/** The rows of methods.ts as the plugin has them, between its two marks: verb, path, and for each argument its members. */
function plugin(old: string | undefined): string {
  const begin = old?.indexOf(BEGIN) ?? -1;
  const end = old?.indexOf(END) ?? -1;
  if (begin < 0 || end < begin) throw new Error(`needs a line ${BEGIN} and, below it, a line ${END}`);
  const rows = METHODS.map(({ name, ask, args }) => {
    const rows = args.map((arg) => [arg.name, arg.type, arg.goes, ...(arg.required === true ? [1] : [])]);
    return `\t${name}: ${JSON.stringify([...(ask ?? [0, 0]), ...rows])}`;
  });
  const table = `/* Written by tools/generate.ts from tools/luci/methods.ts. */\nconst METHODS = {\n${rows.join(',\n')}\n};`;
  return `${old!.slice(0, begin + BEGIN.length)}\n${table}\n${old!.slice(end)}`;
}

function acl(): string {
  const of = (wanted: (method: Method) => boolean) => ({ [OBJECT]: METHODS.filter(wanted).map(({ name }) => name) });
  const rule = {
    'luci-app-x0tta6bl4': {
      description: 'Look after the mesh: its state, its repairs and its settings',
      read: { ubus: of(({ changing }) => !changing), uci: [OBJECT] },
      write: { ubus: of(({ changing }) => changing === true), uci: [OBJECT] },
    },
  };
  return `${JSON.stringify(rule, null, '\t')}\n`;
}

/** Where the name of a section or option does not read well as a title. */
const TITLES: Readonly<Record<string, string>> = {
  log: 'System log',
  heal: 'Healing',
  bpf: 'Measuring (XDP)',
  beacon: 'Beacons',
  report: 'Answering',
  alert: 'Telling people',
  state: 'What is kept',
  'mesh.own': 'The agent makes the mesh',
  'mesh.orig_interval': 'Originator interval',
  'mesh.primary': 'Primary interface',
  'mesh.hard_interface': 'Interfaces',
  'mesh.node_name': 'Name of this router',
  'report.http': 'HTTP',
  'report.http_address': 'HTTP address',
  'report.http_port': 'HTTP port',
  'alert.url': 'Address (URL)',
};

function titleOf(path: string, name: string): string {
  const known = TITLES[path];
  if (known !== undefined) return known;
  const words = name.replaceAll('_', ' ');
  return `${words[0]!.toUpperCase()}${words.slice(1)}`;
}

/** A JavaScript string, in the quotes that xgettext and LuCI's own scanner read. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function optionText(section: string, name: string, option: Option): string {
  const value = option.write(option.default);
  const more = [
    ...(value.length > 0 ? [`value: ${typeof value === 'string' ? quoted(value) : JSON.stringify(value)}`] : []),
    ...(option.choices ? [`choices: [ ${option.choices.map(quoted).join(', ')} ]`] : []),
    ...(option.range ? [`min: ${option.range[0]}, max: ${option.range[1]}`] : []),
    ...(option.unit ? [`unit: ${quoted(option.unit)}`] : []),
  ];
  const title = quoted(titleOf(`${section}.${name}`, name));
  const extra = more.length > 0 ? `, { ${more.join(', ')} }` : '';
  const make = option.apply === 'restart' ? 'late' : 'live';
  return `\t${make}(${quoted(name)}, ${quoted(option.kind)}, _(${title}), _(${quoted(option.help)})${extra})`;
}

/** The schema for settings.js. */
function options(): string {
  const sections = (Object.keys(SECTIONS) as SectionName[]).map((section) => {
    const rows = ROWS.filter((row) => row.section === section);
    const head = `name: ${quoted(section)}, title: _(${quoted(titleOf(section, section))}), help: _(${quoted(SECTIONS[section].help)})`;
    return `{ ${head}, options: [\n${rows.map(({ name, option }) => optionText(section, name, option)).join(',\n')}\n] }`;
  });
  return [
    '/* Written by tools/generate.ts from agent/config/schema.ts. */',
    "'use strict';",
    "'require baseclass';",
    '',
    'const live = (name, kind, title, help, more) => ({ name, kind, title, help, ...more });',
    'const late = (...row) => ({ ...live(...row), restart: true });',
    '',
    `return baseclass.extend({ sections: () => [ ${sections.join(', ')} ] });`,
    '',
  ].join('\n');
}

/** Every text that is translated: in the views, of the menu, of the ACL's description. */
export function texts(): Message[] {
  const found: Found[] = [];
  for (const file of readdirSync(join(ROOT, VIEWS)).sort()) {
    if (!file.endsWith('.js')) continue;
    const path = `${VIEWS}/${file}`;
    // What is generated is read as it will be.
    found.push({ path, source: file === 'options.js' ? options() : readFileSync(join(ROOT, path), 'utf8') });
  }
  const menu = JSON.parse(readFileSync(join(ROOT, MENU), 'utf8')) as Record<string, { title: string }>;
  const titles = [...Object.values(menu).map(({ title }) => title)];
  const [rule] = Object.values(JSON.parse(acl()) as Record<string, { description: string }>);
  const more = (path: string, list: readonly string[]): Found => ({
    path,
    source: list.map((text) => `_(${quoted(text)})`).join('\n'),
  });
  found.push(more(MENU, titles), more(`${APP}/root/usr/share/rpcd/acl.d/luci-app-x0tta6bl4.json`, [rule!.description]));
  return messagesOf(found);
}

export const ARTEFACTS: readonly (readonly [path: string, make: (old: string | undefined) => string])[] = [
  [`${APP}/root/usr/share/rpcd/ucode/x0tta6bl4.uc`, plugin],
  [`${APP}/root/usr/share/rpcd/acl.d/luci-app-x0tta6bl4.json`, acl],
  [`${VIEWS}/options.js`, options],
  [`${APP}/po/templates/x0tta6bl4.pot`, () => template(texts())],
  ...LANGUAGES.map(
    (language) => [`${APP}/po/${language}/x0tta6bl4.po`, (old: string | undefined) => merge(old, texts())] as const,
  ),
];
