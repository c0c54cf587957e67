/** Where the flight recorder's parts lie: in a file that outlasts the process (file.ts), or where that cannot be, on the heap. */
import { gzipSync } from 'node:zlib';
import { type Header, headerLine } from '../../record/format.ts';

/** 48 KiB of working memory in place of 256, for files four per cent larger. */
const COMPRESSION = { level: 6, windowBits: 13, memLevel: 5 } as const;

/** More than a header has, as gzip. */
const HEADER_BYTES = 1024;

export interface Part {
  /** Whether it begins where the agent began; the others begin with a keyframe. */
  readonly isFirst: boolean;
  /** Of gzip. */
  readonly members: readonly Uint8Array[];
}

/** Each call is done whole, or throws and has done nothing. */
export interface Ring {
  /** A new part, with its keyframe; null where the agent begins, which only the first of all can. */
  begin(keyframe: Uint8Array | null): void;
  /** To the newest part, in place of the lines that waited. */
  add(member: Uint8Array): void;
  /** The oldest part goes. */
  shift(): void;
  /** Lines that wait for being compressed, after those before them. */
  wait(lines: readonly string[]): void;
  /** Faults of which no recording has been kept yet. */
  note(faults: readonly string[]): void;
  /** The oldest first. */
  parts(): readonly Part[];
  /** Gives back the room of what went. */
  trim(): void;
  /** Nobody needs it any more: nothing is left of it. Never throws. */
  end(): void;
}

export class HeapRing implements Ring {
  readonly #parts: { readonly isFirst: boolean; readonly members: Uint8Array[] }[];

  constructor(parts: readonly Part[] = []) {
    this.#parts = parts.map(({ isFirst, members }) => ({ isFirst, members: [...members] }));
  }

  begin(keyframe: Uint8Array | null): void {
    // A copy, as below: what zlib answers may lie in a larger buffer.
    this.#parts.push({ isFirst: keyframe === null, members: keyframe === null ? [] : [Uint8Array.from(keyframe)] });
  }

  add(member: Uint8Array): void {
    this.#parts.at(-1)!.members.push(Uint8Array.from(member));
  }

  shift(): void {
    this.#parts.shift();
  }

  wait(): void {}
  note(): void {}

  parts(): readonly Part[] {
    return this.#parts;
  }

  trim(): void {}

  end(): void {
    this.#parts.length = 0;
  }
}

/** Of parts of these sizes, the first of the newest that fit into `most` bytes together; the very newest in any case. */
export function firstThatFits(sizes: readonly number[], most: number): number {
  let from = sizes.length - 1;
  let bytes = sizes[from] ?? 0;
  while (from > 0 && bytes + sizes[from - 1]! <= most) {
    from -= 1;
    bytes += sizes[from]!;
  }
  return from;
}

export function compressed(lines: readonly string[]): Uint8Array {
  return gzipSync(`${lines.join('\n')}\n`, COMPRESSION);
}

/**
 * Parts and what waited behind them as one gzip file, null where there is nothing. Where `most` bytes are too few for all
 * of it the oldest parts are left out, but never the newest.
 */
export function assembled(
  header: Omit<Header, 'begins'>,
  parts: readonly Part[],
  waiting: readonly string[],
  most = Number.POSITIVE_INFINITY,
): Uint8Array | null {
  if (parts.length === 0) return null;
  const end = waiting.length > 0 ? [compressed(waiting)] : [];
  const around = HEADER_BYTES + (end[0]?.length ?? 0);
  const sizes = parts.map(({ members }) => members.reduce((sum, { length }) => sum + length, 0));
  const from = firstThatFits(sizes, most - around);
  const begins = parts[from]!.isFirst ? 'start' : 'later';
  const members = parts.slice(from).flatMap((part) => part.members);
  return Buffer.concat([compressed([headerLine({ ...header, begins })]), ...members, ...end]);
}
