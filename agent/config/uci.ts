/**
 * OpenWrt's configuration files (UCI), read exactly as libuci reads them (file.c and list.c, strict mode) and
 * written back without loss: what no edit touched stays byte for byte, comments, blank lines and quoting included.
 *
 * A file is a chain of statements `config TYPE [NAME]`, `option NAME VALUE`, `list NAME VALUE`, `package NAME`
 * (or c, o, l, p). Its corners, all libuci's:
 * - an argument is a run of plain, 'single' and "double" quoted pieces; a backslash escapes the next character
 *   outside quotes and inside double ones, and joins lines before a line's end; quotes may span lines;
 * - `#` begins a comment wherever quotes are closed, even inside a word;
 * - `;` separates statements only after a blank or a quote: glued to a plain word, it makes the rest of the
 *   line disappear;
 * - `option x ''` changes nothing; `list x` after `option x` makes a list of both; `option x` replaces a list;
 * - a named section that appears again goes on where it was, if its type is the same.
 */
import { AgentError } from '../core/errors.ts';

/** Bytes of a whole file. OpenWrt's own are a few KiB; a firewall with thousands of rules fits. */
export const MAX_FILE = 1 << 20;
/** Characters of one physical line. */
export const MAX_LINE = 1 << 15;
/** Characters of a value that an edit writes. Four characters a quote keep it below MAX_LINE. */
export const MAX_VALUE = 4096;

const NAME = /^[A-Za-z0-9_]+$/;
const PACKAGE = /^[A-Za-z0-9_-]+$/;
const TYPE = /^[\x21-\x7e]+$/;

/** A stretch of the file: one statement with its blanks, comment and line end, or (section and kind absent) a gap. */
interface Piece {
  raw: string;
}

interface Statement extends Piece {
  readonly kind: 'package' | 'config' | 'option' | 'list';
  readonly line: number;
  readonly name: string;
  value: string;
  /** Where the value stands in `raw`; an absent one has length 0, just behind the name. */
  from: number;
  to: number;
  /** The rest of the line is ignored because a `;` is glued to a plain word. */
  cut: boolean;
  /** Where the `;` that ended this statement stands in `raw`; -1: the line's end did. */
  separator: number;
}

export type UciValue = string | readonly string[];

/** An option as libuci understands it, and where that stands: a line for each item of a list, else one. */
export interface UciOption {
  readonly value: UciValue;
  readonly lines: readonly number[];
}

/** One section. Stays valid while its document is edited; change it through the document only. */
export class UciSection {
  readonly type: string;
  /** undefined: anonymous. */
  readonly name: string | undefined;
  readonly line: number;
  /** In file order, `config` lines included. Only this module changes it. */
  readonly statements: Statement[] = [];

  constructor(type: string, name: string | undefined, line: number) {
    this.type = type;
    this.name = name;
    this.line = line;
  }

  /** Every option that has a value, in the order of first appearance. */
  options(): Map<string, UciOption> {
    const options = new Map<string, { value: string | string[]; lines: number[] }>();
    for (const { kind, name, value, line } of this.statements) {
      if (kind === 'list') {
        const before = options.get(name);
        if (before === undefined) options.set(name, { value: [value], lines: [line] });
        else {
          // A list that turns up again grows in place: copying it every time would cost quadratic time.
          if (typeof before.value === 'string') before.value = [before.value];
          before.value.push(value);
          before.lines.push(line);
        }
      } else if (kind === 'option' && value !== '') options.set(name, { value, lines: [line] });
    }
    return options;
  }

  /** The values alone. */
  values(): Map<string, UciValue> {
    return new Map([...this.options()].map(([name, { value }]) => [name, value]));
  }

  get(option: string): UciValue | undefined {
    return this.options().get(option)?.value;
  }

  #of(option: string): Statement[] {
    return this.statements.filter((s) => s.name === option && (s.kind === 'option' || s.kind === 'list'));
  }

  /** For the document: the statements that speak of an option. */
  static of(section: UciSection, option: string): Statement[] {
    return section.#of(option);
  }
}

/** A file as a chain of pieces whose concatenation is its text. */
export class UciDocument {
  readonly file: string;
  readonly #pieces: Piece[] = [];
  readonly #sections: UciSection[] = [];
  readonly #named = new Map<string, UciSection>();

  private constructor(file: string) {
    this.file = file;
  }

  /**
   * Throws E_CONFIG_SYNTAX with {file, line, expected}; the text itself is never quoted, it may hold a secret.
   * Bytes that are no UTF-8 are kept: each reads as the lone surrogate U+DC00 + byte and is written back as itself.
   */
  static parse(source: Uint8Array | string, file: string): UciDocument {
    const doc = new UciDocument(file);
    if (source.length > MAX_FILE) throw syntaxError(file, 1, `a file of at most ${MAX_FILE} bytes`);
    const text = typeof source === 'string' ? source : decode(source);
    const nul = text.indexOf('\0');
    if (nul >= 0) throw syntaxError(file, text.slice(0, nul).split('\n').length, 'text without NUL bytes');
    doc.#read(new Scanner(text, file));
    return doc;
  }

  /** All sections in file order, or those of one type. */
  sections(type?: string): readonly UciSection[] {
    return type === undefined ? this.#sections : this.#sections.filter((s) => s.type === type);
  }

  section(name: string): UciSection | undefined {
    return this.#named.get(name);
  }

  /** The value of an option in a named section. */
  get(section: string, option: string): UciValue | undefined {
    return this.#named.get(section)?.get(option);
  }

  toString(): string {
    return this.#pieces.map((p) => p.raw).join('');
  }

  toBytes(): Uint8Array {
    return encode(this.toString());
  }

  /**
   * Sets an option. The empty string and the empty list remove it, as `uci set` does. Throws E_CONFIG_VALUE for
   * a name or value that UCI cannot carry.
   */
  set(section: UciSection, option: string, value: UciValue): void {
    if (!NAME.test(option)) throw this.#refuse(section, option, 'an option name of letters, digits and _');
    const wanted = typeof value === 'string' ? (value === '' ? [] : [value]) : value;
    for (const v of wanted) {
      if (v.length > MAX_VALUE || v.includes('\0') || /[\ud800-\udc7f\udd00-\udfff]/u.test(v)) {
        throw this.#refuse(section, option, `at most ${MAX_VALUE} characters of well-formed text without NUL`);
      }
    }
    const kind = typeof value === 'string' ? 'option' : 'list';
    const present = UciSection.of(section, option);
    if (kind === 'option' && present.at(-1)?.kind === 'option' && wanted.length > 0) {
      // The last one that is not empty wins, so it is the one to change; earlier ones are the owner's business.
      const effective = present.findLast((s) => s.value !== '' || s === present.at(-1))!;
      replaceValue(effective, wanted[0]!);
      return;
    }
    if (kind === 'list' && present.every((s) => s.kind === 'list')) {
      present.forEach((s, i) => {
        if (i < wanted.length) replaceValue(s, wanted[i]!);
        else this.#remove(section, s);
      });
      let after = present[Math.min(present.length, wanted.length) - 1] ?? section.statements.at(-1)!;
      for (const v of wanted.slice(present.length)) after = this.#insert(section, after, kind, option, v);
      return;
    }
    let after = section.statements[section.statements.indexOf(present[0]!) - 1] ?? section.statements.at(-1)!;
    for (const s of present) this.#remove(section, s);
    for (const v of wanted) after = this.#insert(section, after, kind, option, v);
  }

  /** Removes an option wherever the section speaks of it. */
  remove(section: UciSection, option: string): void {
    for (const s of UciSection.of(section, option)) this.#remove(section, s);
  }

  /** Appends an empty section, or answers the one that already has this name and type. */
  addSection(type: string, name?: string): UciSection {
    const old = name === undefined ? undefined : this.#named.get(name);
    if (old?.type === type) return old;
    if (old || !TYPE.test(type) || (name !== undefined && !NAME.test(name))) {
      throw new AgentError('E_CONFIG_VALUE', `${this.file}: no section can be added under this type and name`, {
        file: this.file,
        section: name ?? '',
        expected: 'a printable type, and a name of letters, digits and _ that no section of another type has',
      });
    }
    const last = this.#pieces.at(-1);
    if (last) endLine(last);
    const blank = last && !/\n\s*\n$/.test(last.raw) && !/^\s*$/.test(last.raw) ? '\n' : '';
    const head = `${blank}config ${quoteIfNeeded(type)}${name === undefined ? '' : ` ${quote(name)}`}\n`;
    const line = this.toString().split('\n').length + blank.length;
    const statement = newStatement('config', line, type, name ?? '', head);
    this.#pieces.push(statement);
    return this.#open(statement);
  }

  /** Removes a section with its options. Comments stay. */
  removeSection(section: UciSection): void {
    for (const s of [...section.statements]) this.#remove(section, s);
    this.#sections.splice(this.#sections.indexOf(section), 1);
    if (section.name !== undefined) this.#named.delete(section.name);
  }

  #refuse(section: UciSection, option: string, expected: string): AgentError {
    const where = section.name ?? section.type;
    return new AgentError('E_CONFIG_VALUE', `${this.file}: ${where}.${option}: expected ${expected}`, {
      file: this.file,
      section: where,
      option,
      expected,
    });
  }

  #insert(section: UciSection, after: Statement, kind: 'option' | 'list', name: string, value: string): Statement {
    endLine(after);
    const head = `\t${kind} ${name} `;
    const s = newStatement(kind, after.line, name, value, `${head}${quote(value)}\n`);
    s.from = head.length;
    s.to = s.raw.length - 1;
    this.#pieces.splice(this.#pieces.indexOf(after) + 1, 0, s);
    section.statements.splice(section.statements.indexOf(after) + 1, 0, s);
    return s;
  }

  #remove(section: UciSection, statement: Statement): void {
    const at = this.#pieces.indexOf(statement);
    const before = this.#pieces[at - 1];
    this.#pieces.splice(at, 1);
    section.statements.splice(section.statements.indexOf(statement), 1);
    // A `;` must not be left dangling at a line's end, nor two lines be joined.
    const endedLine = statement.raw.endsWith('\n') || at === this.#pieces.length;
    if (before && endedLine && !before.raw.endsWith('\n')) endLine(before);
  }

  /** The section that a `config` statement opens or goes on with. */
  #open(statement: Statement): UciSection {
    const { name: type, value: name, line } = statement;
    let section = name === '' ? undefined : this.#named.get(name);
    if (section && section.type !== type) {
      const expected = `the type that this section had on line ${section.line}`;
      throw syntaxError(this.file, line, expected);
    }
    if (!section) {
      section = new UciSection(type, name === '' ? undefined : name, line);
      this.#sections.push(section);
      if (name !== '') this.#named.set(name, section);
    }
    section.statements.push(statement);
    return section;
  }

  #read(scanner: Scanner): void {
    let section: UciSection | undefined;
    while (scanner.nextLine()) {
      for (;;) {
        const statement = scanner.statement();
        if (!statement) break;
        this.#pieces.push(statement);
        if (statement.kind === 'config') section = this.#open(statement);
        else if (statement.kind !== 'package') {
          if (!section) throw syntaxError(this.file, statement.line, 'a config line before the first option');
          section.statements.push(statement);
        }
      }
      const gap = scanner.gap();
      if (gap !== '') this.#pieces.push({ raw: gap });
    }
  }
}

/** A value in the form that libuci writes: single quotes, with '\'' for one of them. */
export function quote(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}

function quoteIfNeeded(word: string): string {
  return PACKAGE.test(word) ? word : quote(word);
}

function newStatement(kind: Statement['kind'], line: number, name: string, value: string, raw: string): Statement {
  return { raw, kind, line, name, value, from: 0, to: 0, cut: false, separator: -1 };
}

/** Puts a new value where the old one stands; blanks, comment and line end around it stay. */
function replaceValue(s: Statement, value: string): void {
  if (s.value === value && s.to > s.from) return;
  const absent = s.to === s.from;
  if (absent && s.separator >= 0) {
    // libuci took the `;` for the value, and what follows it by other rules than behind a value: keep the comment only.
    const comment = /^[^'"\\]*?(#[^\n]*)/.exec(s.raw.slice(s.from))?.[1];
    s.raw = `${s.raw.slice(0, s.from)}${comment ? ` ${comment}` : ''}\n`;
    s.separator = -1;
  }
  // A backslash that the file's end left dangling behind the name would escape what is put there.
  if (absent && s.raw[s.from - 1] === '\\') {
    s.raw = s.raw.slice(0, s.from - 1) + s.raw.slice(s.from);
    s.from = --s.to;
  }
  const lead = absent ? ' ' : '';
  const text = quote(value);
  // Behind a quoted value a glued `;` would come to life: what was ignored stays so, as a comment.
  s.raw = `${s.raw.slice(0, s.from)}${lead}${text}${s.cut ? ' #' : ''}${s.raw.slice(s.to)}`;
  if (s.separator >= 0) s.separator += lead.length + text.length - (s.to - s.from);
  s.from += lead.length;
  s.to = s.from + text.length;
  s.cut = false;
  s.value = value;
}

/** Makes a piece end its line, so that another can follow on the next. */
function endLine(piece: Piece & { separator?: number }): void {
  const { raw, separator } = piece;
  if (separator !== undefined && separator >= 0 && raw.slice(separator + 1).trim() === '') {
    piece.raw = `${raw.slice(0, separator)}\n`;
    piece.separator = -1;
  } else if (raw.endsWith('\n')) {
    // At the file's end a statement may stop with two lines joined and nothing on the second.
    if (separator !== undefined && /(?<!\\)(\\\\)*\\\r?\n$/.test(raw)) piece.raw += '\n';
  } else {
    // Behind a backslash the first line end only joins lines. Behind a `;`, or a blank that follows an empty argument,
    // libuci takes a line end for a statement, but a comment for what it is.
    const odd = separator !== undefined && /[; \t]$/.test(raw);
    piece.raw += raw.endsWith('\\') ? '\n\n' : odd ? '#\n' : '\n';
  }
}

function syntaxError(file: string, line: number, expected: string): AgentError {
  return new AgentError('E_CONFIG_SYNTAX', `${file}:${line}: expected ${expected}`, { file, line, expected });
}

/** Some editors put it at the beginning of a file, and show nothing of it. */
const BYTE_ORDER_MARK = '\u{feff}';
const HASH = 35;
const SINGLE = 39;
const DOUBLE = 34;
const SEMICOLON = 59;
const BACKSLASH = 92;
const LF = 10;
const CR = 13;
const END = -1;

/** isspace() in the C locale. */
function isSpace(c: number): boolean {
  return c === 32 || (c >= 9 && c <= 13);
}

function isBlank(c: number): boolean {
  return c === 32 || c === 9;
}

/** libuci's reader: a line at a time, and further lines where a quote or a backslash asks for them. */
class Scanner {
  readonly #text: string;
  readonly #file: string;
  #line = 0;
  #pos = 0;
  /** Behind the last line read. */
  #end = 0;
  /** The rest of the line does not count: a comment, or a `;` glued to a word. */
  #ended = false;
  #cut = false;
  /** Where the piece being read began. */
  #start = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  /** Reads the next line; false at the file's end. */
  nextLine(): boolean {
    if (this.#end >= this.#text.length) return false;
    this.#start = this.#pos = this.#end;
    this.#ended = false;
    this.#more();
    this.#skip(isSpace);
    return true;
  }

  /** What is left of the line: blanks and comments. */
  gap(): string {
    return this.#text.slice(this.#start, this.#end);
  }

  /** The next statement on this line, or undefined when nothing but a gap is left. */
  statement(): Statement | undefined {
    this.#skip(isBlank);
    if (this.#peek() === END || this.#peek() === HASH) return undefined;
    const line = this.#line;
    const start = this.#start;
    const wordAt = this.#pos;
    while (this.#peek() !== END && !isBlank(this.#peek())) this.#pos++;
    const kind = KEYWORDS.get(this.#text.slice(wordAt, this.#pos));
    if (!kind) {
      // `option` alone on its line arrives with its line end, which is how libuci comes to refuse it, too.
      const unseen = wordAt === 0 && this.#text.startsWith(BYTE_ORDER_MARK) ? ', and no byte order mark before it' : '';
      throw syntaxError(this.#file, line, `config, option, list, package or a comment${unseen}`);
    }
    if (this.#peek() === END) throw syntaxError(this.#file, line, `a name behind ${kind}`);
    this.#pos++;
    this.#cut = false;
    const name = this.#argument();
    const pattern = kind === 'config' ? TYPE : kind === 'package' ? PACKAGE : NAME;
    if (name.text === '')
      throw syntaxError(this.#file, line, `a ${kind === 'config' ? 'type' : 'name'} behind ${kind}`);
    if (!pattern.test(name.text)) {
      const allowed = pattern === TYPE ? 'printable characters without blanks' : 'letters, digits and _';
      throw syntaxError(this.#file, line, `a ${kind === 'config' ? 'type' : 'name'} of ${allowed}`);
    }
    const value = kind === 'package' ? { text: '', from: name.to, to: name.to } : this.#argument();
    if (kind === 'config' && value.text !== '' && !NAME.test(value.text)) {
      throw syntaxError(this.#file, line, 'a section name of letters, digits and _');
    }
    let separator = value.separator ?? (kind === 'package' ? undefined : name.separator);
    const rest = this.#argument();
    if (rest.text !== '') throw syntaxError(this.#file, line, 'the end of the line');
    separator ??= rest.separator;

    // Up to here a `;` or nothing: what follows is another statement, or a comment, or the line's end.
    if (separator !== undefined) {
      let p = this.#pos;
      while (p < this.#end && isBlank(this.#text.charCodeAt(p))) p++;
      if (p === this.#end) this.#pos = p;
    }
    const stop = this.#peek() === END ? this.#end : this.#pos;
    this.#start = stop;
    const present = value.to > value.from;
    return {
      raw: this.#text.slice(start, stop),
      kind,
      line,
      name: name.text,
      value: value.text,
      from: (present ? value.from : name.to) - start,
      to: (present ? value.to : name.to) - start,
      cut: this.#cut,
      separator: separator === undefined ? -1 : separator - start,
    };
  }

  #peek(): number {
    return this.#ended || this.#pos >= this.#end ? END : this.#text.charCodeAt(this.#pos);
  }

  #skip(what: (c: number) => boolean): void {
    while (what(this.#peek())) this.#pos++;
  }

  #more(): boolean {
    const from = this.#end;
    if (from >= this.#text.length) return false;
    const lf = this.#text.indexOf('\n', from);
    this.#end = lf < 0 ? this.#text.length : lf + 1;
    this.#line++;
    if (this.#end - from > MAX_LINE)
      throw syntaxError(this.#file, this.#line, `a line of at most ${MAX_LINE} characters`);
    return true;
  }

  /** The next argument, '' for none; `separator` is where a `;` stood in its place. */
  #argument(): { text: string; from: number; to: number; separator?: number } {
    this.#skip(isSpace);
    const from = this.#pos;
    if (this.#peek() === SEMICOLON) {
      this.#pos++;
      return { text: '', from, to: from, separator: from };
    }
    const out: string[] = [];
    let copied = 0;
    const take = () => {
      out.push(this.#text[this.#pos++]!);
      copied++;
    };
    do {
      const c = this.#peek();
      if (c === END) break;
      if (c === HASH || c === SEMICOLON) {
        // libuci ends the word with a NUL: where nothing was unquoted before, that falls on the `;` itself.
        const glued = c === SEMICOLON && from + copied === this.#pos;
        this.#ended = c === HASH || glued;
        this.#cut ||= glued;
        return { text: out.join(''), from, to: this.#pos };
      }
      if (c === SINGLE || c === DOUBLE) this.#quoted(c, take);
      else if (c !== BACKSLASH || this.#escape()) take();
    } while (this.#peek() !== END && !isSpace(this.#peek()));
    const to = this.#pos;
    if (this.#peek() !== END) this.#pos++;
    return { text: out.join(''), from, to };
  }

  #quoted(mark: number, take: () => void): void {
    const opened = this.#line;
    this.#pos++;
    for (;;) {
      const c = this.#peek();
      if (c === mark) {
        this.#pos++;
        return;
      }
      if (c === END) {
        if (!this.#more()) throw syntaxError(this.#file, opened, `a closing ${String.fromCharCode(mark)}`);
      } else if (mark === SINGLE || c !== BACKSLASH || this.#escape()) take();
    }
  }

  /** Passes a backslash; false where it only joined two lines. */
  #escape(): boolean {
    this.#pos++;
    const c = this.#peek();
    const crlf = c === CR && this.#text.charCodeAt(this.#pos + 1) === LF;
    if (c !== END && c !== LF && !crlf) return true;
    if (c !== END) this.#pos += crlf ? 2 : 1;
    this.#more();
    return false;
  }
}

const KEYWORDS: ReadonlyMap<string, Statement['kind']> = new Map(
  (['package', 'config', 'option', 'list'] as const).flatMap((k) => [[k, k] as const, [k[0]!, k] as const]),
);

/** UTF-8 to text; a byte that is none becomes the lone surrogate U+DC00 + byte (as Python's surrogateescape does). */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
    const out: string[] = [];
    let run = 0;
    for (let i = 0; i < bytes.length; ) {
      const length = sequenceLength(bytes, i);
      if (length === 0) {
        if (i > run) out.push(lenient.decode(bytes.subarray(run, i)));
        out.push(String.fromCharCode(0xdc00 + bytes[i]!));
        run = ++i;
      } else i += length;
    }
    out.push(lenient.decode(bytes.subarray(run)));
    return out.join('');
  }
}

/** Bytes of the well-formed UTF-8 sequence at `i` (Unicode, table 3-7), or 0. */
function sequenceLength(bytes: Uint8Array, i: number): number {
  const first = bytes[i]!;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || i + length > bytes.length) return 0;
  const second = bytes[i + 1]!;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let k = 2; k < length; k++) if ((bytes[i + k]! & 0xc0) !== 0x80) return 0;
  return length;
}

function encode(text: string): Uint8Array {
  const encoder = new TextEncoder();
  if (text.isWellFormed()) return encoder.encode(text);
  const parts: Uint8Array[] = [];
  let run = 0;
  for (const match of text.matchAll(/[\udc80-\udcff]/gu)) {
    parts.push(encoder.encode(text.slice(run, match.index)), Uint8Array.of(text.charCodeAt(match.index) - 0xdc00));
    run = match.index + 1;
  }
  parts.push(encoder.encode(text.slice(run)));
  const bytes = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
