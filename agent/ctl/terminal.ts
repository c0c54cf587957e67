/** Where x0ctl writes to, and the tables it writes. All of it is ASCII: a router's console need not know UTF-8. */

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  readonly columns: number;
  readonly rows: number;
  /** Standard output is a screen. */
  readonly isScreen: boolean;
  readonly color: boolean;
  /** Calls back for every key; answers what ends that. Absent where there is no keyboard. */
  readonly keys?: (onKey: (key: string) => void) => () => void;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Resolves after so many milliseconds, or once the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The real one. */
export function terminal(): Terminal {
  const { stdin, stdout, stderr, env } = process;
  // `x0ctl heal log | head` is no error.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    stderr.write(`x0ctl: the output cannot be written: ${error.code ?? error.message}\n`);
    process.exit(5);
  });
  stderr.on('error', () => {});
  const isScreen = stdout.isTTY === true;
  return {
    out: (text) => stdout.write(text),
    err: (text) => stderr.write(text),
    get columns() {
      // A pipe has no width: what goes to grep or a file is not cut. A serial console may say 0.
      return isScreen ? stdout.columns || 80 : Number.MAX_SAFE_INTEGER;
    },
    get rows() {
      return stdout.rows || 24;
    },
    isScreen,
    // no-color.org: present and not empty.
    color: isScreen && !env.NO_COLOR && env.TERM !== 'dumb',
    environment: env,
    ...(isScreen && stdin.isTTY && { keys: onKeys }),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', done);
      }),
  };
}

function onKeys(onKey: (key: string) => void): () => void {
  const { stdin } = process;
  const hear = (data: Buffer) => onKey(data.toString('latin1'));
  stdin.setRawMode(true);
  stdin.on('data', hear);
  stdin.resume();
  return () => {
    stdin.off('data', hear);
    stdin.setRawMode(false);
    stdin.pause();
  };
}

const PLAIN: Readonly<Record<string, string>> = {
  '\u2018': "'",
  '\u2019': "'",
  '\u201c': '"',
  '\u201d': '"',
  '\u2013': '-',
  '\u2014': '-',
  '\u2026': '...',
  '\u2192': '->',
};

/** What came over the network may hold terminal commands: only printable ASCII stays, typography in its nearest form. */
export function clean(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/gu, (char) => PLAIN[char] ?? '?');
}

/** What a person typed, for a message: clean, and short. */
export function clip(text: string, most = 80): string {
  return text.length <= most ? clean(text) : `${clean(text.slice(0, most - 3))}...`;
}

/** Lines of at most `width`, broken at blanks where there are any; all but the first begin with `indent` blanks. */
export function wrap(text: string, width: number, indent = 0): string[] {
  const lines: string[] = [];
  let rest = text;
  for (let room = width; rest.length > room && room > 0; room = width - indent) {
    const blank = rest.lastIndexOf(' ', room);
    const at = blank > room / 3 ? blank : room;
    lines.push(rest.slice(0, at));
    rest = rest.slice(at).trimStart();
  }
  lines.push(rest);
  return lines.map((line, i) => (i === 0 ? line : ' '.repeat(indent) + line));
}

/** Text for people: on a screen, a line that is too long goes on in the next, two blanks further in. */
export function fold(
  text: string,
  { columns, isScreen = true }: Pick<Terminal, 'columns'> & Partial<Terminal>,
): string {
  if (!isScreen) return text;
  const width = Math.max(columns, 40);
  const lines = text.split('\n').flatMap((line) => wrap(line, width, Math.min(line.search(/\S|$/) + 2, width >> 1)));
  return lines.join('\n');
}

/** JSON whose every byte is printable ASCII, for the same reason; in one line with an indent of 0. */
export function plainJson(value: unknown, indent = 2): string {
  const escaped = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value, null, indent).replaceAll(/[\u007f-\uffff]/g, escaped);
}

export type Color = 'red' | 'yellow' | 'green' | 'bold' | 'dim';
const CODES: Readonly<Record<Color, number>> = { red: 31, yellow: 33, green: 32, bold: 1, dim: 2 };

export function paint(text: string, color: Color | null, to: Pick<Terminal, 'color'>): string {
  return color === null || !to.color ? text : `\x1b[${CODES[color]}m${text}\x1b[0m`;
}

export interface Column<R> {
  readonly title: string;
  readonly of: (row: R) => string;
  readonly right?: boolean;
  /** Gives way when the table is too wide: the last column goes on in the next line, another is cut. */
  readonly flexible?: boolean;
  readonly color?: (row: R) => Color | null;
}

const LEAST = 6;

/** A table that fits the terminal as long as its fixed columns do; a cell that had to be cut ends in '~'. */
export function table<R>(
  columns: readonly Column<R>[],
  rows: readonly R[],
  to: Pick<Terminal, 'columns' | 'color'>,
): string {
  const cells = rows.map((row) => columns.map(({ of }) => clean(of(row))));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  let excess = widths.reduce((sum, width) => sum + width + 1, -1) - Math.max(to.columns, 40);
  for (const [i, { flexible }] of columns.entries()) {
    if (!flexible || excess <= 0) continue;
    const less = Math.min(excess, Math.max(0, widths[i]! - LEAST));
    widths[i]! -= less;
    excess -= less;
  }
  const wrapped = (text: string, column: number) => {
    const indent = widths.slice(0, column).reduce((sum, width) => sum + width + 1, 0);
    return wrap(text, widths[column]!).join(`\n${' '.repeat(indent)}`);
  };
  const line = (texts: readonly string[], row: R | null) =>
    columns
      .map(({ right, color }, i) => {
        const width = widths[i]!;
        const isLast = i === columns.length - 1;
        const cut = isLast || texts[i]!.length <= width ? texts[i]! : `${texts[i]!.slice(0, width - 1)}~`;
        const padded = right ? cut.padStart(width) : isLast ? wrapped(cut, i) : cut.padEnd(width);
        return paint(padded, row === null ? 'bold' : (color?.(row) ?? null), to);
      })
      .join(' ')
      .trimEnd();
  return [
    line(
      columns.map(({ title }) => title),
      null,
    ),
    ...rows.map((row, i) => line(cells[i]!, row)),
    '',
  ].join('\n');
}

/** 0.4s, 12s, 5m, 3h, 2d */
export function age(seconds: number): string {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)}s`;
  if (seconds < 120) return `${Math.round(seconds)}s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)}h` : `${Math.round(seconds / 86_400)}d`;
}

/** 850 us, 12.3 ms, 4.2 s */
export function milliseconds(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} us`;
  return ms < 1000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : age(ms / 1000).replace(/([smhd])$/, ' $1');
}
