/**
 * The flight recorder: the last minutes of all that the machines were told and decided, in memory, compressed; after a
 * repair, or a fault of this router's own that was only observed, a copy goes to flash, once what followed is over.
 *
 * Memory: `limitKib` of gzip in SEGMENTS parts, the oldest of which goes when they are full, and up to RAW of text that
 * waits for being compressed. Each part begins with a keyframe, so that a replay can begin with it. The first part of all
 * begins where the agent did.
 *
 * Flash: nothing while nothing happens. A recording is at most `limitKib`, goes into the database in pieces (two
 * writes each: log and file), and only while half of the budget for bursts stays for the journal (state/budget.ts).
 * At 256 KiB that is half a MiB an incident and, by the budget, no more than 8 MiB a day whatever happens.
 */
import { gzipSync } from 'node:zlib';
import { type Nanos, SECOND } from '../core/time.ts';
import type { Decision } from '../core/words.ts';
import { type Header, headerLine, isNoise, Scribe } from '../record/format.ts';
import { Known } from '../record/known.ts';
import type { Turn } from '../record/turns.ts';

const SEGMENTS = 4;
const RAW = 32 * 1024;
/** Turns are written down a moment later, before they grow old on the heap, and not while a repair is under way. */
const WAIT_MS = 250;
/** So often it is looked whether the aftermath is over. */
const LOOK_MS = 2000;
/** What a repair left behind is written down in small batches: the next fault may come any time. */
const BATCH = 25;
const BATCH_MS = 20;
const MOST_WAITING = 2000;
/** A repair is told together with what came of it, and with what else went wrong beside it. */
const AFTERMATH: Nanos = 60 * SECOND;
/** 48 KiB of working memory in place of 256, for files four per cent larger. */
const COMPRESSION = { level: 6, windowBits: 13, memLevel: 5 } as const;

interface Segment {
  /** Whether it begins where the agent began. */
  readonly isFirst: boolean;
  /** Of gzip. */
  readonly members: Uint8Array[];
  bytes: number;
}

export interface RecorderOptions {
  readonly header: Omit<Header, 'begins'>;
  readonly now: () => Nanos;
  /** A repair is under way. */
  readonly busy: () => boolean;
  /** Keeps a recording of these faults, if it can. */
  readonly keep: (recording: Uint8Array, faults: readonly string[]) => void;
}

export class Recorder {
  /** 0 records nothing. */
  #limitKib: number;
  readonly #options: RecorderOptions;
  readonly #known = new Known();
  #scribe = new Scribe();
  #segments: Segment[] = [];
  #lines: string[] = [];
  #length = 0;
  readonly #waiting: Turn[] = [];
  #timer: NodeJS.Timeout | null = null;
  /** Faults that are worth keeping since a recording was last kept, and when the last of that was. */
  readonly #faults = new Set<string>();
  #happenedAt: Nanos = 0;

  constructor(limitKib: number, options: RecorderOptions) {
    this.#limitKib = limitKib;
    this.#options = options;
    if (limitKib > 0) this.#segments.push({ isFirst: true, members: [], bytes: 0 });
  }

  /** What has been recorded goes where there is less room for it now. */
  settle(limitKib: number): void {
    if (limitKib === 0) {
      for (const turn of this.#waiting.splice(0)) this.#known.take(turn);
      this.#lines = [];
      this.#length = 0;
      this.#faults.clear();
    }
    // What comes after a gap cannot follow from what was before it.
    if (limitKib === 0 || this.#limitKib === 0) this.#segments = [];
    this.#limitKib = limitKib;
    this.#bound();
  }

  take(turn: Turn): void {
    if (isNoise(turn) && turn.learned === undefined) return;
    if (this.#limitKib === 0) {
      this.#known.take(turn);
      return;
    }
    this.#waiting.push(turn);
    if (this.#waiting.length >= MOST_WAITING) this.#write();
    else this.#timer ??= setTimeout(() => this.#wake(), WAIT_MS).unref();
  }

  /** All of it up to now as a gzip file, null where there is nothing. */
  export(): Uint8Array | null {
    this.#write();
    const [first] = this.#segments;
    if (first === undefined) return null;
    const begins = first.isFirst ? 'start' : 'later';
    const parts: Uint8Array[] = [gzipSync(`${headerLine({ ...this.#options.header, begins })}\n`, COMPRESSION)];
    for (const { members } of this.#segments) parts.push(...members);
    if (this.#lines.length > 0) parts.push(gzipSync(joined(this.#lines), COMPRESSION));
    return Buffer.concat(parts);
  }

  /** What was repaired just now is kept at once: the end of the agent is the end of its memory. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#limitKib === 0) return;
    this.#write();
    if (this.#faults.size > 0) this.#keep();
  }

  #wake(): void {
    this.#timer = null;
    if (!this.#options.busy()) {
      this.#write(BATCH);
      if (this.#faults.size > 0 && this.#options.now() >= this.#happenedAt + AFTERMATH) this.#keep();
    }
    if (this.#waiting.length === 0 && this.#faults.size === 0) return;
    const wait = this.#waiting.length === 0 ? LOOK_MS : this.#options.busy() ? WAIT_MS : BATCH_MS;
    this.#timer = setTimeout(() => this.#wake(), wait).unref();
  }

  #keep(): void {
    const recording = this.export();
    // Where flash has had enough for now it stays in memory, as long as there is room.
    if (recording !== null) this.#options.keep(recording, [...this.#faults]);
    this.#faults.clear();
  }

  #write(most = this.#waiting.length): void {
    for (const turn of this.#waiting.splice(0, most)) {
      // It may have been given up at the turn before.
      if (this.#limitKib === 0) {
        this.#known.take(turn);
        continue;
      }
      if (this.#segments.length === 0) this.#begin(turn.now);
      this.#known.take(turn);
      if (this.#segments.length === 0) continue;
      const line = this.#scribe.line(turn);
      if (line === null) continue;
      this.#lines.push(line);
      this.#length += line.length;
      for (const output of turn.decided) {
        if (!('journal' in output) || !isIncident(output.journal)) continue;
        this.#faults.add(output.journal.fault.id);
        this.#happenedAt = turn.now;
      }
      if (this.#length >= RAW) this.#compress(turn.now);
    }
  }

  /** On this thread, a millisecond or a few: the pool of threads that would do it elsewhere takes 2 MiB for ever. */
  #compress(now: Nanos): void {
    const segment = this.#segments.at(-1)!;
    const member = gzipSync(joined(this.#lines), COMPRESSION);
    this.#lines = [];
    this.#length = 0;
    // A copy: what zlib answers may lie in a larger buffer.
    segment.members.push(Uint8Array.from(member));
    segment.bytes += member.length;
    if (segment.bytes >= Math.max((this.#limitKib * 1024) / SEGMENTS, 2 * keyframeOf(segment))) this.#begin(now);
    this.#bound();
  }

  /** Of a part at least half is what happened; a mesh that is too large for that is not recorded. */
  #begin(now: Nanos): void {
    this.#scribe = new Scribe();
    const keyframe = gzipSync(joined([this.#scribe.keyframe(this.#known.keyframe(now))]), COMPRESSION);
    if (4 * keyframe.length > this.#limitKib * 1024) this.settle(0);
    else this.#segments.push({ isFirst: false, members: [Uint8Array.from(keyframe)], bytes: keyframe.length });
  }

  #bound(): void {
    const most = this.#limitKib * 1024;
    const bytes = (): number => this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
    while (this.#segments.length > 1 && (this.#segments.length > SEGMENTS || bytes() > most)) this.#segments.shift();
  }
}

/** One that this router saw the reason for: others must not decide how often our flash is written. */
function isIncident({ step, action, fault }: Decision): boolean {
  if (action === 'none' || fault.class === 'remote-alarm') return false;
  return ENDS.has(step) || (step === 'observed' && fault.evidence.every(({ source }) => OWN_EYES.has(source)));
}

const ENDS: ReadonlySet<string> = new Set(['verified', 'failed', 'rolled-back']);
/** Where a neighbour's frames, or their absence, show nothing: what is only observed costs him nothing to feign. */
const OWN_EYES: ReadonlySet<string> = new Set(['rtnetlink', 'settings', 'vitals', 'upstream']);

function keyframeOf({ isFirst, members }: Segment): number {
  return isFirst ? 0 : members[0]!.length;
}

function joined(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}
