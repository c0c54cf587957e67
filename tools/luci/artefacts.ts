/** What of the LuCI app is made from other sources: plugin, ACLs, translations and their template. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from '../../agent/config/describe.ts';
import { METHODS, type Method, OBJECT } from './methods.ts';
import { type Found, type Message, merge, messagesOf, template } from './po.ts';

const ROOT = join(import.meta.dirname, '..', '..');
export const APP = 'openwrt-feed/luci-app-x0tta6bl4';
export const VIEWS = `${APP}/htdocs/luci-static/resources/view/x0tta6bl4`;
const MENU = `${APP}/root/usr/share/luci/menu.d/luci-app-x0tta6bl4.json`;
/** Where the texts of options are. */
const SCHEMA = 'agent/config/schema.ts';
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
      description: 'Look after the mesh: its state and its repairs',
      read: { ubus: of(({ changing }) => !changing) },
      write: { ubus: of(({ changing }) => changing === true) },
    },
    // Apart: whoever may read the file has the key of the mesh.
    'luci-app-x0tta6bl4-settings': {
      description: 'The settings of the mesh agent, keys among them',
      read: { uci: [OBJECT] },
      write: { uci: [OBJECT] },
    },
  };
  return `${JSON.stringify(rule, null, '\t')}\n`;
}

/** A JavaScript string, in the quotes that xgettext and LuCI's own scanner read. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** Every text that is translated: in the views, of the menu, of the ACL's description. */
export function texts(): Message[] {
  const found: Found[] = [];
  for (const file of readdirSync(join(ROOT, VIEWS)).sort()) {
    if (!file.endsWith('.js')) continue;
    const path = `${VIEWS}/${file}`;
    found.push({ path, source: readFileSync(join(ROOT, path), 'utf8') });
  }
  const menu = JSON.parse(readFileSync(join(ROOT, MENU), 'utf8')) as Record<string, { title: string }>;
  const titles = [...Object.values(menu).map(({ title }) => title)];
  const rules = Object.values(JSON.parse(acl()) as Record<string, { description: string }>);
  const more = (path: string, list: readonly string[]): Found => ({
    path,
    source: list.map((text) => `_(${quoted(text)})`).join('\n'),
  });
  // What the agent says of its options, which the form looks up.
  const options = describe().flatMap((section) => [section, ...section.options]);
  found.push(
    more(
      SCHEMA,
      options.flatMap(({ title, help }) => [title, help]),
    ),
  );
  found.push(
    more(MENU, titles),
    more(
      `${APP}/root/usr/share/rpcd/acl.d/luci-app-x0tta6bl4.json`,
      rules.map(({ description }) => description),
    ),
  );
  return messagesOf(found);
}

export const ARTEFACTS: readonly (readonly [path: string, make: (old: string | undefined) => string])[] = [
  [`${APP}/root/usr/share/rpcd/ucode/x0tta6bl4.uc`, plugin],
  [`${APP}/root/usr/share/rpcd/acl.d/luci-app-x0tta6bl4.json`, acl],
  [`${APP}/po/templates/x0tta6bl4.pot`, () => template(texts())],
  ...LANGUAGES.map(
    (language) => [`${APP}/po/${language}/x0tta6bl4.po`, (old: string | undefined) => merge(old, texts())] as const,
  ),
];
