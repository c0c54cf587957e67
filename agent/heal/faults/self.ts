/** Faults of this router itself: overload, a clock that jumped, settings that somebody changed by hand. */
import type { Event } from '../../core/event.ts';
import type { Change, HardSettings, MeshInfo, MeshSettings, Vitals } from '../../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../../core/time.ts';
import type { Finding, Remedy } from '../../core/words.ts';
import { attached, type Surroundings } from '../surroundings.ts';
import { isTooSmall } from './interface.ts';
import { type About, type Detector, type FaultSpec, NOTHING, percent, Steady } from './spec.ts';

export const SELF_FAULTS: readonly FaultSpec[] = [
  {
    class: 'config-drift',
    words: 'somebody changed a setting of the mesh by hand',
    safe: false,
    repairs: ['restore', 'tell'],
    lasting: true,
    rightAfterNs: 60 * SECOND,
  },
  {
    class: 'overload',
    words: 'this router has too little time, memory or flash left',
    safe: false,
    repairs: ['ease', 'restart-service', 'tell'],
    rightAfterNs: 30 * SECOND,
  },
  {
    class: 'clock-stepped',
    words: 'the wall clock jumped; nothing here goes by it',
    safe: true,
    repairs: ['none'],
    rightAfterNs: 0,
  },
];

export const VITALS_EVERY: Nanos = 10 * SECOND;
/** A download or an upgrade keeps a small router busy for half a minute, and is no fault. */
const TIME = { part: 'time', after: 55 * SECOND, readings: 6, clear: 25 * SECOND } as const;
const SPACE = { after: 18 * SECOND, readings: 3, clear: 25 * SECOND } as const;
const BUSY = 0.99;
const OWN_BUSY = 0.5;
const LATE: Nanos = 2000 * MS;
const MEMORY_SHARE = 0.04;
const MEMORY_LEAST_KIB = 6 * 1024;
const MEMORY_MOST_KIB = 32 * 1024;
const FLASH_LEAST_KIB = 512;

export class OverloadDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['vitals'];
  readonly #watched = [TIME, { ...SPACE, part: 'memory' }, { ...SPACE, part: 'flash' }].map(
    ({ part, after, readings, clear }) => ({ part, steady: new Steady('overload', after, readings, clear) }),
  );

  on(event: Event, now: Nanos): readonly Finding[] {
    if (event.type !== 'vitals') return [];
    const lacks = lacking(event.vitals);
    return this.#watched.flatMap(({ part, steady }) => {
      const about: About = { ...NOTHING, part };
      const what = lacks[part]!;
      return steady.read(
        about,
        what === '' ? `enough ${part} again` : { confidence: 0.9, source: 'vitals', what },
        now,
      );
    });
  }
}

/** What there is too little of, in words; '' where there is enough. */
function lacking(vitals: Vitals): Readonly<Record<string, string>> {
  const { busy, ownBusy, lateNs, availableKib, totalKib, flashKib } = vitals;
  const time: string[] = [];
  if (busy !== null && busy > BUSY) time.push(`the CPUs are busy to ${percent(busy)}`);
  if (ownBusy > OWN_BUSY) time.push(`the agent itself takes ${percent(ownBusy)} of a CPU`);
  if (lateNs > LATE) time.push(`a timer came ${Math.round(lateNs / MS)} ms late`);
  const least = Math.min(Math.max(MEMORY_LEAST_KIB, MEMORY_SHARE * (totalKib ?? 0)), MEMORY_MOST_KIB);
  const isFull = availableKib !== null && totalKib !== null && availableKib < least;
  return {
    time: time.join('; '),
    memory: isFull ? `${Math.round(availableKib / 1024)} of ${Math.round(totalKib / 1024)} MiB are available` : '',
    flash: flashKib !== null && flashKib < FLASH_LEAST_KIB ? `${Math.round(flashKib)} KiB of flash are free` : '',
  };
}

/** NTP slews by half a millisecond a second; more than this is a step. */
const STEP_MS = 1000;
/** A clock that was never set (1970, or the firmware's build date) is set once: no fault. */
const NEVER_SET_MS = 1_700_000_000_000;

export class ClockDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['vitals'];
  readonly #step = new Steady('clock-stepped', 0, 1, 0);
  #offset: number | null = null;

  on(event: Event, now: Nanos): readonly Finding[] {
    if (event.type !== 'vitals') return [];
    const before = this.#offset;
    const offset = event.vitals.wallOffsetMs;
    this.#offset = offset;
    const by = before === null ? 0 : offset - before;
    if (Math.abs(by) < STEP_MS || before! + now / MS < NEVER_SET_MS)
      return this.#step.end(NOTHING, 'it runs on evenly');
    const what = `the wall clock was set ${by > 0 ? 'forward' : 'back'} by ${(Math.abs(by) / 1000).toFixed(1)} s`;
    return this.#step.read(NOTHING, { confidence: 1, source: 'vitals', what }, now);
  }
}

/** netifd sets several things one after the other; a person, too. */
const SETTLED: Nanos = 5 * SECOND;
/** A setting that nobody put back in this time is meant. */
const ACCEPTED: Nanos = 900 * SECOND;
/** After one of ours was given back, a reading that is on its way may still show it. */
const OURS: Nanos = 3 * SECOND;

/** One setting as it was found at the start, and as the kernel has it. */
interface Setting {
  readonly about: About;
  /** As in `bat0 hopPenalty`. */
  readonly what: string;
  readonly value: unknown;
  readonly change: (value: unknown) => Change;
  /** Just now it is nobody's to choose. */
  readonly isMoot?: boolean;
}

/** What was there at the start, or was set when the interface came, is what somebody wanted. */
export class DriftDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['tables', 'held', 'settings'];
  readonly #around: Surroundings;
  readonly #drift = new Map<string, Steady>();
  /** By setting: its value, and since when it is another. */
  readonly #wanted = new Map<
    string,
    { readonly owner: number; readonly since: Nanos; value: unknown; differsSince: Nanos }
  >();
  /** Settings that are ours for a while, and until when after that. */
  readonly #ours = new Map<string, Nanos>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    if (event.type === 'held') {
      this.#ours.set(event.what, event.returned ? now + OURS : Number.POSITIVE_INFINITY);
      return [];
    }
    if (event.type === 'settings') {
      this.#wanted.delete(`${event.settings.meshInterface} origInterval`);
      return [];
    }
    const { tables, mesh, started } = this.#around;
    if (event.type !== 'tables' || !started || mesh === null || !tables?.mesh) return [];
    const findings: Finding[] = [];
    const present = new Set<string>();
    for (const setting of this.#settings(tables.mesh)) {
      present.add(setting.what);
      findings.push(...this.#judge(setting, now));
    }
    for (const key of this.#wanted.keys()) {
      if (present.has(key)) continue;
      // An interface that comes back comes with settings of its own.
      this.#wanted.delete(key);
      findings.push(...(this.#drift.get(key)?.sweep(now + 1, 'the interface is out of the mesh') ?? []));
      this.#drift.delete(key);
    }
    return findings;
  }

  #settings(info: MeshInfo): Setting[] {
    const mesh = info.name;
    const of: About = { interface: mesh, index: info.index, peer: null };
    const settings: Setting[] = (Object.keys(info.settings) as (keyof MeshSettings)[])
      // The keeper's, where the configuration asks for one.
      .filter((key) => key !== 'origInterval' || this.#around.settings.origIntervalMs === 0)
      .map((key) => ({
        about: of,
        what: `${mesh} ${key}`,
        value: info.settings[key],
        change: (value) => ({ kind: 'set-mesh', mesh, settings: { [key]: value } }),
      }));
    settings.push({
      about: of,
      what: `${mesh} mtu`,
      value: this.#around.mesh!.mtu,
      change: (value) => ({ kind: 'set-mtu', interface: mesh, mtu: value as number }),
      // Without fragmentation batman-adv makes it as small as it has to be, and does not take that back.
      isMoot: !info.settings.fragmentation,
    });
    for (const { name, index, mtu } of attached(this.#around)) {
      const about: About = { interface: name, index, peer: null };
      const change = (value: unknown): Change => ({ kind: 'set-mtu', interface: name, mtu: value as number });
      // A fault of its own, and a worse one.
      if (!isTooSmall(mtu, this.#around)) settings.push({ about, what: `${name} mtu`, value: mtu, change });
      const hard = this.#around.tables!.hardInterfaces.find((one) => one.index === index);
      for (const key of ['hopPenalty', 'elpInterval', 'throughputOverride'] as const satisfies (keyof HardSettings)[]) {
        if (hard?.[key] === undefined) continue;
        const set = (value: unknown): Change => ({ kind: 'set-hard', interface: name, settings: { [key]: value } });
        settings.push({ about, what: `${name} ${key}`, value: hard[key], change: set });
      }
    }
    return settings;
  }

  #judge({ about, what, value, change, isMoot = false }: Setting, now: Nanos): Finding[] {
    if ((this.#ours.get(what) ?? 0) > now || isMoot) return [];
    const wanted = this.#wanted.get(what);
    if (wanted === undefined || wanted.owner !== about.index) {
      this.#wanted.set(what, { owner: about.index, since: now, value, differsSince: -1 });
      return this.#drift.get(what)?.lose(this.#named(about, what), 'the interface was made anew') ?? [];
    }
    // Whoever makes it needs a moment to set it up.
    if (now - wanted.since < SETTLED) wanted.value = value;
    const key = this.#named(about, what);
    if (wanted.value === value) {
      wanted.differsSince = -1;
      const ended = this.#drift.get(what)?.end(key, `${what} is ${value} again`, true) ?? [];
      this.#drift.delete(what);
      return ended;
    }
    if (wanted.differsSince === -1) wanted.differsSince = now;
    if (now - wanted.differsSince > ACCEPTED) {
      wanted.value = value;
      wanted.differsSince = -1;
      const ended = this.#drift.get(what)?.end(key, 'nobody put it back: it is meant', false) ?? [];
      this.#drift.delete(what);
      return ended;
    }
    const steady = this.#drift.get(what) ?? new Steady('config-drift', SETTLED, 2, 0);
    this.#drift.set(what, steady);
    const remedy: Remedy = { change: change(wanted.value), undo: change(value) };
    const seen = { confidence: 0.7, source: 'settings', what: `${what} was ${wanted.value}, and is ${value}`, remedy };
    return steady.read(key, seen, now);
  }

  /** Several settings of one interface may drift at once: each is a fault of its own. */
  #named(about: About, what: string): About {
    return { ...about, part: what };
  }
}
