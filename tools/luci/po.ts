/**
 * Translations: finds the texts of `_()` and `N_()` in sources, as gettext's xgettext does for LuCI, writes their template,
 * and keeps .po files in step with it. What was translated stays; what is gone goes; what is new waits, empty.
 */

export interface Found {
  readonly path: string;
  readonly source: string;
}

export interface Message {
  readonly id: string;
  readonly plural: string | null;
  readonly places: readonly string[];
}

export interface Catalogue {
  /** The header's fields, as text. */
  readonly header: string;
  /** By id: one text, or one for each form of the plural; '' where there is none yet. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
}

const STRING = String.raw`'((?:[^'\\\n]|\\.)*)'`;
const CALL = new RegExp(
  String.raw`(?<![\w$.])(?:_\(\s*${STRING}\s*[,)]|N_\((?:[^,()]|\([^()]*\))*,\s*${STRING}\s*,\s*${STRING}\s*[,)])`,
  'g',
);
/** A call whose text could not be read: somebody wrote something else than one literal there. */
const OTHER = /(?<![\w$.])(?:_|N_)\(/g;

function unescaped(text: string): string {
  // As LuCI looks texts up: white space counts as one blank.
  return text
    .replace(/\\(.)/g, (_, character: string) => (character === 'n' || character === 't' ? ' ' : character))
    .replace(/\s+/g, ' ')
    .trim();
}

/** In the order in which they are found. Throws on a call that holds no literal text. */
export function messagesOf(sources: readonly Found[]): Message[] {
  const messages = new Map<string, { id: string; plural: string | null; places: string[] }>();
  for (const { path, source } of sources) {
    const calls = [...source.matchAll(CALL)];
    const starts = new Set(calls.map(({ index }) => index));
    for (const { index } of source.matchAll(OTHER))
      if (!starts.has(index))
        throw new Error(`${path}:${lineOf(source, index)}: only a text in single quotes can be translated`);
    for (const { 1: single, 2: one, 3: many, index } of calls) {
      const id = unescaped((single ?? one)!);
      const plural = many === undefined ? null : unescaped(many);
      const known = messages.get(id) ?? { id, plural: null, places: [] };
      known.plural ??= plural;
      known.places.push(`${path}:${lineOf(source, index)}`);
      messages.set(id, known);
    }
  }
  return [...messages.values()];
}

function lineOf(source: string, index: number): number {
  return source.slice(0, index).split('\n').length;
}

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
const HEADER = 'Content-Type: text/plain; charset=UTF-8';

function write(header: string, messages: readonly Message[], textsOf: (message: Message) => readonly string[]): string {
  const lines = [
    'msgid ""',
    'msgstr ""',
    ...header
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => `"${escaped(line)}\\n"`),
  ];
  for (const message of messages) {
    const texts = textsOf(message);
    // The file and not the line: lines move with every change.
    const files = [...new Set(message.places.map((place) => place.replace(/:\d+$/, '')))];
    lines.push('', ...files.map((file) => `#: ${file}`), `msgid "${escaped(message.id)}"`);
    if (message.plural === null) lines.push(`msgstr "${escaped(texts[0] ?? '')}"`);
    else {
      lines.push(`msgid_plural "${escaped(message.plural)}"`);
      for (const [form, text] of texts.entries()) lines.push(`msgstr[${form}] "${escaped(text)}"`);
    }
  }
  return `${lines.join('\n')}\n`;
}

export function template(messages: readonly Message[]): string {
  return write(HEADER, messages, ({ plural }) => (plural === null ? [''] : ['', '']));
}

/** How many forms of the plural the header speaks of. */
export function formsOf({ header }: Catalogue): number {
  return Number(/nplurals=(\d)/.exec(header)?.[1] ?? 2);
}

/** A .po file with exactly these messages, translated as far as it was. */
export function merge(old: string | undefined, messages: readonly Message[]): string {
  if (old === undefined) throw new Error('does not exist: begin it with a header');
  const catalogue = readPo(old);
  const forms = formsOf(catalogue);
  return write(catalogue.header, messages, ({ id, plural }) => {
    const texts = catalogue.texts.get(id) ?? [];
    return Array.from({ length: plural === null ? 1 : forms }, (_, form) => texts[form] ?? '');
  });
}

/** Throws on a line that is none of a .po file. */
export function readPo(text: string): Catalogue {
  let header = '';
  const texts = new Map<string, string[]>();
  let id: string | null = null;
  let forms: string[] = [];
  let into: 'id' | 'plural' | number | null = null;
  const close = () => {
    if (id === '') header = forms[0] ?? '';
    else if (id !== null) texts.set(id, forms);
    id = null;
    forms = [];
  };
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const row = /^(?:(msgid|msgid_plural|msgstr)(?:\[(\d)\])? )?"((?:[^"\\]|\\.)*)"$/.exec(line);
    if (row === null) throw new Error(`line ${at + 1} is none of a .po file: ${line}`);
    const value = row[3]!.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
    if (row[1] === 'msgid') {
      close();
      id = '';
      into = 'id';
    } else if (row[1] === 'msgid_plural') into = 'plural';
    else if (row[1] === 'msgstr') into = Number(row[2] ?? 0);
    if (into === 'id') id += value;
    else if (typeof into === 'number') forms[into] = (forms[into] ?? '') + value;
  }
  close();
  return { header, texts };
}
