/** Structured log: one line an entry, level first, fields as key=value; procd and journald add the time. */
import type { Level } from './effect.ts';

export type { Level } from './effect.ts';

const ORDER: Readonly<Record<Level, number>> = { debug: 0, info: 1, warning: 2, error: 3 };

export type Fields = Readonly<Record<string, unknown>>;

export class Log {
  level: Level;
  readonly #write: (line: string) => void;

  constructor(level: Level, write: (line: string) => void) {
    this.level = level;
    this.#write = write;
  }

  at(level: Level, message: string, fields: Fields = {}): void {
    if (ORDER[level] < ORDER[this.level]) return;
    let line = `${level}: ${message}`;
    for (const [key, value] of Object.entries(fields)) {
      if (value !== undefined) line += ` ${key}=${JSON.stringify(value)}`;
    }
    this.#write(line.replaceAll('\n', '\\n'));
  }

  debug(message: string, fields?: Fields): void {
    this.at('debug', message, fields);
  }
  info(message: string, fields?: Fields): void {
    this.at('info', message, fields);
  }
  warning(message: string, fields?: Fields): void {
    this.at('warning', message, fields);
  }
  error(message: string, fields?: Fields): void {
    this.at('error', message, fields);
  }
}
