/**
 * The flight recorder: the last minutes of all that the machines were told and decided, compressed, in a file in memory that
 * outlasts the process (recorder/file.ts), or where that cannot be on the heap; after a repair, or a fault of this router's
 * own that was only observed, a copy goes to flash, once what followed is over.
 *
 * Memory: `limitKib` of gzip in SEGMENTS parts, the oldest of which goes when they are full, and up to RAW of text that
 * waits for being compressed. Each part begins with a keyframe, so that a replay can begin with it. The first part of all
 * begins where the agent did. What waits is in the file too, some second after it happened: that much a kill can take.
 *
 * Flash: nothing while nothing happens. A recording is at most `limitKib`, goes into the database in pieces (two
 * writes each: log and file), and only while half of the budget for bursts stays for the journal (state/budget.ts).
 * At 256 KiB that is half a MiB an incident and, by the budget, no more than 8 MiB a day whatever happens.
 */
import { MS, type Nanos, SECOND } from '../core/time.ts';
import type { Decision } from '../core/words.ts';
import { type Header, isNoise, Scribe } from '../record/format.ts';
import { Known } from '../record/known.ts';
import type { Turn } from '../record/turns.ts';
import { assembled, compressed, HeapRing, type Part, type Ring } from './recorder/ring.ts';

const SEGMENTS = 4;
const RAW = 32 * 1024;
/** Turns are written down a moment later, before they grow old on the heap. */
const WAIT_MS = 250;
/** While a repair is under way they are left alone for so long; and so often what was written down goes into the file. */
const LONGEST: Nanos = SECOND;
/** So often it is looked whether the aftermath is over. */
const LOOK_MS = 2000;
/** What a repair left behind is written down in small batches: the next fault may come any time. */
const BATCH = 25;
const BATCH_MS = 20;
const MOST_WAITING = 2000;
/** A repair is told together with what came of it, and with what else went wrong beside it. */
const AFTERMATH: Nanos = 60 * SECOND;

/** What is to be known of a part to tell when the next one begins. In bytes of gzip. */
interface Segment {
  /** 0 for the one that begins where the agent began. */
  readonly keyframe: number;
  bytes: number;
}

export interface RecorderOptions {
  readonly header: Omit<Header, 'begins'>;
  readonly now: () => Nanos;
  /** A repair is under way. */
  readonly busy: () => boolean;
  /** Bytes that a recording may have to be kept now; without it, any number. */
  readonly room?: () => number;
  /** Keeps a recording of these faults, if it can. */
  readonly keep: (recording: Uint8Array, faults: readonly string[]) => void;
  /** Where the parts shall lie, asked when recording begins; on the heap without it. */
  readonly ring?: () => Ring;
  /** The ring has failed: the parts lie on the heap from now on. */
  readonly onFailed?: (thrown: unknown) => void;
}

export class Recorder {
  /** 0 records nothing. */
  #limitKib: number;
  readonly #options: RecorderOptions;
  readonly #known = new Known();
  #scribe = new Scribe();
  /** null before it is needed. */
  #ring: Ring | null = null;
  #segments: Segment[] = [];
  #lines: string[] = [];
  #length = 0;
  /** Lines that the ring has as well, and when it was given the last. */
  #given = 0;
  #givenAt: Nanos = 0;
  /** Something was decided that the ring does not have. */
  #isUrgent = false;
  readonly #waiting: Turn[] = [];
  #timer: NodeJS.Timeout | null = null;
  /** Faults that are worth keeping since a recording was last kept, and when the last of that was. */
  readonly #faults = new Set<string>();
  #happenedAt: Nanos = 0;
  #hasBegun = false;

  constructor(limitKib: number, options: RecorderOptions) {
    this.#limitKib = limitKib;
    this.#options = options;
  }

  /** Before the first turn at the latest: the recording begins where the agent does. */
  open(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    if (this.#limitKib > 0) this.#append(null);
  }

  /** What has been recorded goes where there is less room for it now. */
  settle(limitKib: number): void {
    this.open();
    if (limitKib === 0) {
      for (const turn of this.#waiting.splice(0)) this.#known.take(turn);
      this.#faults.clear();
    }
    // What comes after a gap cannot follow from what was before it.
    if (limitKib === 0 || this.#limitKib === 0) this.#forget();
    const isLess = limitKib < this.#limitKib;
    this.#limitKib = limitKib;
    this.#bound();
    if (isLess && this.#segments.length > 0) this.#store((ring) => ring.trim());
  }

  take(turn: Turn): void {
    this.open();
    if (isNoise(turn) && turn.learned === undefined) return;
    if (this.#limitKib === 0) {
      this.#known.take(turn);
      return;
    }
    this.#waiting.push(turn);
    if (this.#waiting.length >= MOST_WAITING) this.#write();
    this.#timer ??= setTimeout(() => this.#wake(), WAIT_MS).unref();
  }

  /** All of it up to now as a gzip file, or what `most` bytes have room for of its end; null where there is nothing. */
  export(most?: number): Uint8Array | null {
    this.open();
    this.#write();
    return assembled(this.#options.header, this.#parts(), this.#lines, most);
  }

  /** What was repaired just now is kept at once: the end of the agent is the end of what it remembers. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#limitKib > 0) {
      this.#write();
      if (this.#faults.size > 0) this.#keep();
    }
    this.#forget();
  }

  #wake(): void {
    this.#timer = null;
    const now = this.#options.now();
    const isBusy = this.#options.busy();
    const [oldest] = this.#waiting;
    // A killed agent shall not take a long repair with it.
    if (!isBusy || (oldest !== undefined && now - oldest.now >= LONGEST)) this.#write(BATCH);
    if (this.#isUrgent || now - this.#givenAt >= LONGEST) this.#give(now);
    if (!isBusy && this.#faults.size > 0 && now >= this.#happenedAt + AFTERMATH) this.#keep();
    const wait = this.#wait(isBusy, now);
    if (wait !== null) this.#timer = setTimeout(() => this.#wake(), wait).unref();
  }

  /** Milliseconds to the next look, null where there is nothing to look for. */
  #wait(isBusy: boolean, now: Nanos): number | null {
    if (this.#waiting.length > 0) return isBusy ? WAIT_MS : BATCH_MS;
    if (this.#given < this.#lines.length) return Math.max(WAIT_MS, (this.#givenAt + LONGEST - now) / MS);
    return this.#faults.size > 0 ? LOOK_MS : null;
  }

  #keep(): void {
    const recording = this.export(this.#options.room?.());
    // Where flash has had enough for now it stays in the ring, as long as there is room.
    if (recording !== null) this.#options.keep(recording, [...this.#faults]);
    this.#faults.clear();
    this.#store((ring) => ring.note([]));
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
        if (!('journal' in output)) continue;
        this.#isUrgent = true;
        if (isIncident(output.journal)) this.#happened(output.journal.fault.id, turn.now);
      }
      if (this.#length >= RAW) this.#compress(turn.now);
    }
  }

  #happened(fault: string, at: Nanos): void {
    this.#happenedAt = at;
    if (this.#faults.has(fault)) return;
    this.#faults.add(fault);
    this.#store((ring) => ring.note([...this.#faults]));
  }

  /** Lines of which the ring has none yet. */
  #give(now: Nanos): void {
    this.#isUrgent = false;
    this.#givenAt = now;
    if (this.#given === this.#lines.length) return;
    const lines = this.#lines.slice(this.#given);
    this.#given = this.#lines.length;
    this.#store((ring) => ring.wait(lines));
  }

  /** On this thread, a millisecond or a few: the pool of threads that would do it elsewhere takes 2 MiB for ever. */
  #compress(now: Nanos): void {
    const segment = this.#segments.at(-1)!;
    const member = compressed(this.#lines);
    this.#dropLines();
    segment.bytes += member.length;
    this.#store((ring) => ring.add(member));
    if (segment.bytes >= Math.max((this.#limitKib * 1024) / SEGMENTS, 2 * segment.keyframe)) this.#begin(now);
    this.#bound();
  }

  /** Of a part at least half is what happened; a mesh that is too large for that is not recorded. */
  #begin(now: Nanos): void {
    this.#scribe = new Scribe();
    const keyframe = compressed([this.#scribe.keyframe(this.#known.keyframe(now))]);
    if (4 * keyframe.length > this.#limitKib * 1024) this.settle(0);
    else this.#append(keyframe);
  }

  #append(keyframe: Uint8Array | null): void {
    const bytes = keyframe?.length ?? 0;
    this.#segments.push({ keyframe: bytes, bytes });
    this.#ring ??= this.#options.ring?.() ?? new HeapRing();
    this.#store((ring) => ring.begin(keyframe));
  }

  #bound(): void {
    const most = this.#limitKib * 1024;
    const bytes = (): number => this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
    while (this.#segments.length > 1 && (this.#segments.length > SEGMENTS || bytes() > most)) {
      this.#segments.shift();
      this.#store((ring) => ring.shift());
    }
  }

  #dropLines(): void {
    this.#lines = [];
    this.#length = 0;
    this.#given = 0;
    this.#isUrgent = false;
  }

  #forget(): void {
    this.#ring?.end();
    this.#ring = null;
    this.#segments = [];
    this.#dropLines();
  }

  /** Where the ring fails, what it has goes to the heap; where that cannot be read the recording begins anew there. */
  #store(work: (ring: Ring) => void): void {
    const ring = this.#ring;
    if (ring === null) return;
    try {
      work(ring);
    } catch (thrown) {
      this.#failed(ring, thrown);
      if (this.#segments.length > 0) work(this.#ring!);
    }
  }

  #parts(): readonly Part[] {
    const ring = this.#ring;
    try {
      return ring?.parts() ?? [];
    } catch (thrown) {
      this.#failed(ring!, thrown);
      return this.#ring!.parts();
    }
  }

  #failed(ring: Ring, thrown: unknown): void {
    this.#options.onFailed?.(thrown);
    let parts: readonly Part[] = [];
    try {
      parts = ring.parts();
    } catch {
      this.#segments = [];
      this.#dropLines();
    }
    this.#ring = new HeapRing(parts);
    ring.end();
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
