/**
 * Faults of one link. What the kernel tells at once (a lost carrier) and what the monitor times (silence) come as
 * symptoms; loss, latency and one-way links are read from the figures of the mesh room, against each link's own history:
 * a radio link that always loses a tenth is no fault, a cable that begins to is one.
 */
import type { Event, LinkFigures } from '../../core/event.ts';
import type { Mac } from '../../core/ids.ts';
import { MS, type Nanos, SECOND, toMs } from '../../core/time.ts';
import type { Fault, Finding } from '../../core/words.ts';
import { MISSED, patientEveryMs } from '../../mesh/silence.ts';
import { Missed, repeated } from '../missed.ts';
import { Shortage } from '../shortage.ts';
import { attached, type Surroundings } from '../surroundings.ts';
import { type About, clamp, type Detector, type FaultSpec, percent, type Seen, Steady, Usual } from './spec.ts';

export const LINK_FAULTS: readonly FaultSpec[] = [
  {
    class: 'link-down',
    words: 'the link lost its carrier',
    safe: true,
    repairs: ['ask', 'kick', 'detach'],
    begins: ['carrier-lost', 1, 'rtnetlink'],
    ends: 'carrier-back',
    rightAfterNs: SECOND,
  },
  {
    class: 'link-silent',
    words: 'a neighbour fell silent though the link has a carrier',
    safe: true,
    repairs: ['kick'],
    begins: ['neighbour-silent', 0.9, 'batadv tables'],
    ends: 'neighbour-heard',
    rightAfterNs: 2 * SECOND,
  },
  {
    class: 'link-lossy',
    words: 'a link loses far more packets than it used to',
    safe: false,
    repairs: ['link-cost', 'cycle', 'restart-radio', 'tell'],
    rightAfterNs: 30 * SECOND,
  },
  {
    class: 'link-slow',
    words: 'a link has become far slower than it used to be',
    safe: false,
    repairs: ['link-cost', 'restart-radio', 'tell'],
    rightAfterNs: 30 * SECOND,
  },
  {
    class: 'link-one-way',
    words: 'a neighbour is heard, and does not hear us',
    safe: false,
    repairs: ['link-cost', 'pace', 'cycle', 'restart-radio', 'tell'],
    rightAfterNs: 10 * SECOND,
  },
  {
    class: 'link-flapping',
    words: 'a link comes and goes, again and again',
    safe: false,
    repairs: ['link-cost', 'tell'],
    rightAfterNs: 60 * SECOND,
  },
];

/** A link's usual loss is followed over half an hour, and never taken for more than this. */
const HISTORY: Nanos = 1800 * SECOND;
const WORST_USUAL = 0.2;
/** Loss of the last minutes. TQ rests on 64 OGMs: what it says of one moment wanders by some hundredths. */
const RECENT: Nanos = 240 * SECOND;
/**
 * At once, and in the mean of the last minutes; the limit lies between these, by the link's history. Of 64 OGMs that come
 * back each has been lost on either way, and is held against what was heard: the variance is that of three losses.
 */
const LOSSY = { sigmas: 6, least: 0.15, most: 0.6 } as const;
const STEADILY_LOSSY = { factor: 2, plus: 0.03, least: 0.07, most: 0.5 } as const;
/** So much of what makes a link bad may remain when it counts as mended. */
const MENDED = 0.7;

/** A link is slow at so many times its usual latency, where that is also felt; a kbit/s figure the other way round. */
const SLOWER = 5;
const SLOW_LEAST: Nanos = 40 * MS;
const SLOW_MOST: Nanos = 500 * MS;
const HISTORY_ENOUGH: Nanos = 120 * SECOND;

/** Nearly all is lost, and yet the neighbour is heard. */
const ONE_WAY = 0.9;
/** Where no OGM of ours is heard back any more the loss rises by one 64th an interval (window.ts). */
const WINDOW_OGMS = 64;
/** Silent for so many OGMs a neighbour is gone. */
const GONE_INTERVALS = 10;
const SLOPE_OVER: Nanos = 12 * SECOND;
/** Where the neighbour itself says so, lately, less suffices. */
const SLOPE_WHEN_TOLD: Nanos = 6 * SECOND;
const TOLD: Nanos = 30 * SECOND;
const SLOPE = 0.85;
/** Echoes unanswered in a row while the neighbour is heard. */
const UNANSWERED = 3;
const SOME_LOST = 0.2;

interface History {
  readonly usualLoss: Usual;
  recentLoss: Usual;
  /** One over the latency: so the mean is the harmonic one, which the slow echoes of a router that starts do not move. */
  readonly usualPace: Usual;
  readonly usualThroughput: Usual;
  /** Losses of the last seconds, oldest first. */
  readonly past: { readonly at: Nanos; readonly loss: number }[];
  unanswered: number;
  everAnswered: boolean;
  /** Another router says that it does not hear us. */
  toldAt: Nanos;
  /** Until then the window of a link that was one-way is filling again. */
  fillsUntil: Nanos;
}

export class LinkFigureDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['links', 'echo', 'echo-lost', 'alarm', 'vitals', 'ease'];
  readonly #around: Surroundings;
  readonly #histories = new Map<string, History>();
  readonly #lossy = new Steady('link-lossy', 4 * SECOND, 4, 20 * SECOND);
  readonly #slow = new Steady('link-slow', 25 * SECOND, 10, 30 * SECOND);
  readonly #oneWay = new Steady('link-one-way', 2 * SECOND, 3, 10 * SECOND);
  readonly #shortage = new Shortage();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    this.#shortage.note(event, now);
    switch (event.type) {
      case 'echo':
        this.#answered(event.interface, event.neighbour, true);
        return [];
      case 'echo-lost':
        this.#answered(event.interface, event.neighbour, false);
        return [];
      case 'alarm': {
        const { kind, near, far } = event.alarm;
        const ours = kind === 'neighbour-lost' && attached(this.#around).find(({ mac }) => mac === far);
        const history = ours ? this.#histories.get(`${ours.index} ${near}`) : undefined;
        if (history !== undefined) history.toldAt = now;
        return [];
      }
      case 'links':
        return this.#read(event.links, now);
      default:
        return [];
    }
  }

  #answered(index: number, neighbour: string, answered: boolean): void {
    const history = this.#histories.get(`${index} ${neighbour}`);
    if (history === undefined) return;
    history.unanswered = answered ? 0 : history.unanswered + 1;
    history.everAnswered ||= answered;
  }

  #read(links: readonly LinkFigures[], now: Nanos): Finding[] {
    const findings: Finding[] = [];
    const interval = Math.max(1000, this.#around.tables?.mesh?.settings.origInterval ?? 1000) * MS;
    const present = new Set<string>();
    for (const link of links) {
      const key = `${link.index} ${link.neighbour}`;
      present.add(key);
      let history = this.#histories.get(key);
      if (history === undefined) {
        history = {
          usualLoss: new Usual(HISTORY),
          recentLoss: new Usual(RECENT),
          usualPace: new Usual(HISTORY),
          usualThroughput: new Usual(HISTORY),
          past: [],
          unanswered: 0,
          everAnswered: false,
          toldAt: Number.NEGATIVE_INFINITY,
          fillsUntil: Number.NEGATIVE_INFINITY,
        };
        this.#histories.set(key, history);
      }
      const heard = link.carrier && now - link.lastSeen < 2.5 * interval;
      const about: About = { interface: link.interface, index: link.index, peer: link.neighbour };
      // What says nothing is another fault's: a link without carrier, a silent neighbour.
      if (!heard) {
        history.past.length = 0;
        history.unanswered = 0;
        for (const usual of [history.usualLoss, history.recentLoss, history.usualPace, history.usualThroughput])
          usual.skip(now);
        // A link that loses much is silent now and then, and a bad one all the same.
        const isGone = !link.carrier || now - link.lastSeen > GONE_INTERVALS * interval;
        for (const steady of isGone ? [this.#lossy, this.#slow, this.#oneWay] : [this.#slow, this.#oneWay])
          findings.push(...steady.lose(about, 'the neighbour is not heard at all'));
        continue;
      }
      const wasOneWay = this.#oneWay.isOpen(about);
      const oneWay = this.#judgeOneWay(link, history, interval, now);
      findings.push(...this.#oneWay.read(about, oneWay, now));
      const isOneWay = this.#oneWay.isOpen(about);
      if (wasOneWay && !isOneWay) history.fillsUntil = now + WINDOW_OGMS * interval;
      const isFilling = now < history.fillsUntil && isFalling(history, interval, now);
      const lossy = isOneWay
        ? 'it is one-way'
        : isFilling && !this.#lossy.isOpen(about)
          ? 'more and more of our OGMs come back'
          : this.#judgeLoss(link, history, about, now);
      findings.push(...(isOneWay ? this.#lossy.lose(about, 'it is one-way') : this.#lossy.read(about, lossy, now)));
      findings.push(...this.#slow.read(about, this.#judgeSpeed(link, history, about, links, now), now));
    }
    for (const key of this.#histories.keys()) if (!present.has(key)) this.#histories.delete(key);
    for (const steady of [this.#lossy, this.#slow, this.#oneWay])
      findings.push(...steady.sweep(now - 60 * SECOND, 'the neighbour is gone'));
    return findings;
  }

  #judgeLoss({ loss }: LinkFigures, history: History, about: About, now: Nanos): Seen | string {
    const { usualLoss, recentLoss } = history;
    if (loss === null) return 'its loss is not known';
    recentLoss.learn(loss, now);
    const usual = Math.min(WORST_USUAL, usualLoss.value ?? 0);
    const recent = recentLoss.knownNs > RECENT / 2 ? recentLoss.value! : 0;
    const steadyLimit = limitOf(STEADILY_LOSSY, usual);
    // Once it is a fault only what it loses now keeps it one: the mean of minutes would outlast it.
    const isLossy = this.#lossy.isOpen(about)
      ? loss >= MENDED * steadyLimit
      : usualLoss.knownNs >= HISTORY_ENOUGH && (loss >= suddenLimit(usual) || recent >= steadyLimit);
    if (!isLossy) {
      if (this.#lossy.isOpen(about)) history.recentLoss = new Usual(RECENT);
      // What may be the beginning of a fault is not what is usual.
      if (usualLoss.knownNs >= HISTORY_ENOUGH && loss > (usual + suddenLimit(usual)) / 2) usualLoss.skip(now);
      else usualLoss.learn(loss, now);
      return `it loses ${percent(loss)} now`;
    }
    usualLoss.skip(now);
    const mean = recent > 0 ? `, ${percent(recent)} in the mean of the last minutes` : '';
    return {
      confidence: clamp(0.6 + (Math.max(loss, recent) - usual), 0.6, 0.95),
      source: 'batadv tables',
      what: `it loses ${percent(loss)}${mean}; its usual is ${percent(usual)}`,
    };
  }

  #judgeSpeed(
    link: LinkFigures,
    history: History,
    about: About,
    all: readonly LinkFigures[],
    now: Nanos,
  ): Seen | string {
    const { usualPace, usualThroughput } = history;
    const isOpen = this.#slow.isOpen(about);
    const { latencyNs, throughput } = link;
    if (throughput !== null && throughput > 0) {
      const usual = usualThroughput.value ?? 0;
      if (usualThroughput.knownNs > HISTORY_ENOUGH && throughput < (usual / SLOWER) * (isOpen ? 1.5 : 1)) {
        usualThroughput.skip(now);
        const what = `batman-adv measures ${Math.round(throughput)} kbit/s; its usual is ${Math.round(usual)}`;
        return { confidence: 0.8, source: 'batadv tables', what };
      }
      usualThroughput.learn(throughput, now);
    }
    if (latencyNs === null) return 'it is as fast as it used to be';
    const pace = 1 / Math.max(1, latencyNs);
    const usual = 1 / (usualPace.value ?? pace);
    const limit = clamp(SLOWER * usual, SLOW_LEAST, SLOW_MOST) * (isOpen ? MENDED : 1);
    if (usualPace.knownNs < HISTORY_ENOUGH || latencyNs < limit) {
      usualPace.learn(pace, now);
      return `an echo takes ${toMs(latencyNs)} ms one way`;
    }
    usualPace.skip(now);
    if (this.#shortage.isOn(now)) return 'this router is short of time';
    // All links at once are slow where it is this router that is.
    const others = all.filter((other) => other.index !== link.index && other.latencyNs !== null);
    if (others.length > 0 && others.every((other) => other.latencyNs! > limit))
      return 'all links are: it is this router';
    const what = `an echo takes ${toMs(latencyNs)} ms one way; its usual is ${toMs(usual)} ms`;
    return { confidence: 0.8, source: 'echoes', what };
  }

  #judgeOneWay({ loss, lastSeen }: LinkFigures, history: History, interval: Nanos, now: Nanos): Seen | string {
    const ago = `heard ${toMs(now - lastSeen)} ms ago`;
    const { past } = history;
    if (loss !== null) {
      past.push({ at: now, loss });
      while (past.length > 1 && past[1]!.at <= now - SLOPE_OVER) past.shift();
    }
    if (loss !== null && loss >= ONE_WAY)
      return {
        confidence: 0.9,
        source: 'batadv tables',
        what: `${ago}, and ${percent(loss)} of our OGMs do not come back`,
      };
    // Where OGMs come back it is only its agent that ended.
    if (history.unanswered >= UNANSWERED && history.everAnswered && loss !== null && loss >= SOME_LOST)
      return { confidence: 0.9, source: 'echoes', what: `${ago}, and ${history.unanswered} echoes went unanswered` };
    // Its word that it does not hear us is a reason to look more closely, and to nothing else.
    const isTold = now - history.toldAt < TOLD;
    const from = now - (isTold ? SLOPE_WHEN_TOLD : SLOPE_OVER);
    const first = past.findLast(({ at }) => at <= from);
    if (loss !== null && first !== undefined) {
      const risen = loss - first.loss;
      const all = (now - first.at) / interval / WINDOW_OGMS;
      const run = past.slice(past.indexOf(first));
      if (risen >= SLOPE * all && run.every((one, i) => i === 0 || one.loss >= run[i - 1]!.loss)) {
        const over = Math.round((now - first.at) / SECOND);
        const word = isTold ? ', and it says that it does not hear us' : '';
        const what = `${ago}, and no OGM of ours came back in ${over} s${word}`;
        return { confidence: isTold ? 0.85 : 0.8, source: 'batadv tables', what };
      }
    }
    return 'it hears us';
  }
}

/** Does the loss fall at least half as fast as it does where every OGM comes back? */
function isFalling({ past }: History, interval: Nanos, now: Nanos): boolean {
  const [first, last] = [past[0], past.at(-1)];
  if (first === undefined || last === undefined) return false;
  return first.loss - last.loss >= (now - first.at) / interval / WINDOW_OGMS / 2;
}

function limitOf(of: typeof STEADILY_LOSSY, usual: number): number {
  return clamp(of.factor * usual + of.plus, of.least, of.most);
}

function suddenLimit(usual: number): number {
  return clamp(usual + LOSSY.sigmas * Math.sqrt((3 * usual) / WINDOW_OGMS), LOSSY.least, LOSSY.most);
}

/** So many within the window; over when the link has kept quiet for as long. */
const FLAPS = 3;
const CARRIER_WINDOW: Nanos = 60 * SECOND;
const SILENCE_WINDOW: Nanos = 180 * SECOND;
/** By chance, on a link that is whole, no more than one OGM in a hundred thousand begins a silence. */
const CHANCE = 1e-5;
const MOST_MISSED = 12;
/** OGMs heard one after the other between two silences: who sends rarer ones than we do is not silent in between. */
const HEARD_BETWEEN = 3;
/** At the edge of what a radio reaches links come and go: what is usual there is no fault, within bounds. */
const ACQUAINTED: Nanos = 300 * SECOND;
const UNUSUAL = 2;
const MOST_USUAL = 12;

/** One neighbour on one interface, and when it was not heard. */
interface Ear {
  readonly interface: string;
  readonly index: number;
  readonly peer: Mac;
  readonly missed: Missed;
  lastSeen: Nanos;
  /** OGMs since its last silence. */
  heard: number;
  isSilent: boolean;
  /** This silence has another reason: a lost carrier, or that we had no time to listen. */
  isExplained: boolean;
  /** When silences of the last minutes were over: a long one counts once. */
  silences: Nanos[];
  readonly usual: Usual;
}

/** Radios lose no carrier: there a link that comes and goes shows in a neighbour that falls silent again and again. */
export class FlapDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['fault', 'links', 'vitals', 'ease'];
  readonly #around: Surroundings;
  readonly #downs = new Map<string, { index: number; at: Nanos[] }>();
  readonly #ears = new Map<string, Ear>();
  /** One fault an interface, however many come and go on it. */
  readonly #flapping = new Steady('link-flapping', 0, 1, 0);
  readonly #told = new Map<string, About>();
  readonly #shortage = new Shortage();
  #readAt: Nanos = Number.NEGATIVE_INFINITY;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    this.#shortage.note(event, now);
    if (event.type === 'fault') this.#note(event.fault, now);
    if (event.type !== 'links') return [];
    this.#listen(event.links, now);
    for (const [name, known] of this.#downs) {
      known.at = known.at.filter((at) => now - at < CARRIER_WINDOW);
      if (known.at.length === 0) this.#downs.delete(name);
    }
    const ears = Map.groupBy(this.#ears.values(), (ear) => ear.interface);
    const names = new Set([...this.#downs.keys(), ...ears.keys(), ...this.#told.keys()]);
    return [...names].flatMap((name) => this.#judge(name, ears.get(name) ?? [], now));
  }

  #note({ class: kind, interface: name, interfaceIndex, peer, evidence }: Fault, now: Nanos): void {
    if (kind === 'link-down' && name !== null) {
      const known = this.#downs.get(name) ?? { index: 0, at: [] };
      known.index = interfaceIndex ?? 0;
      if (known.at.at(-1) !== now) known.at.push(now);
      this.#downs.set(name, known);
    }
    // Others may know sooner than we: a radio that lost it, questions that it left unanswered. A person only says so.
    const ear = kind === 'link-silent' ? this.#ears.get(`${interfaceIndex} ${peer}`) : undefined;
    if (ear !== undefined && evidence.every(({ source }) => source !== 'operator')) ear.isSilent = true;
  }

  #listen(links: readonly LinkFigures[], now: Nanos): void {
    const { tables, settings } = this.#around;
    if (tables === null) return;
    // Whoever reads late, or hears nobody at all, learns of himself.
    const isLate = now - this.#readAt > 2 * settings.pollNs + SECOND || this.#shortage.isOn(now);
    this.#readAt = now;
    const present = new Set<string>();
    for (const link of links) {
      const key = `${link.index} ${link.neighbour}`;
      present.add(key);
      let ear = this.#ears.get(key);
      if (ear === undefined) {
        ear = begun(link);
        this.#ears.set(key, ear);
      }
      const lastDown = this.#downs.get(link.interface)?.at.at(-1) ?? Number.NEGATIVE_INFINITY;
      hear(ear, link, patientEveryMs(tables, link.index), now);
      ear.isExplained ||= isLate || !link.carrier || lastDown >= ear.lastSeen;
    }
    for (const key of this.#ears.keys()) if (!present.has(key)) this.#ears.delete(key);
    const all = [...this.#ears.values()];
    const isDeaf = new Set(all.map(({ index }) => index)).size > 1 && all.every(({ isSilent }) => isSilent);
    for (const ear of all) {
      ear.isExplained ||= isDeaf;
      if (this.#told.has(ear.interface)) ear.usual.skip(now);
      else ear.usual.learn(ear.silences.length, now);
    }
  }

  #judge(name: string, ears: readonly Ear[], now: Nanos): Finding[] {
    const downs = this.#downs.get(name);
    const told = this.#told.get(name);
    const count = downs?.at.length ?? 0;
    const about = told ?? { interface: name, index: downs?.index ?? ears[0]?.index ?? 0, peer: null };
    if (count >= FLAPS) {
      this.#told.set(name, about);
      const what = `its carrier was lost ${count} times in the last minute`;
      return this.#flapping.read(about, { confidence: 0.95, source: 'rtnetlink', what }, now);
    }
    const restless = ears.filter(isRestless);
    if (restless.length > 0) {
      this.#told.set(name, about);
      const affected = restless.slice(0, 50).map(({ peer }) => peer);
      const most = Math.max(...restless.map(({ silences }) => silences.length));
      const others = restless.length === 1 ? '' : `, and ${restless.length - 1} others did the like`;
      const what = `${affected[0]} fell silent ${most} times in the last three minutes, and was heard well in between${others}`;
      return this.#flapping.read(about, { confidence: 0.9, source: 'batadv tables', what, affected }, now);
    }
    if (told === undefined || count > 0 || ears.some(({ silences }) => silences.length > 0)) return [];
    this.#told.delete(name);
    return this.#around.links.has(about.index)
      ? this.#flapping.end(about, 'it kept still for a while')
      : this.#flapping.lose(about, 'it is gone');
  }
}

function begun({ interface: name, index, neighbour: peer, lastSeen }: LinkFigures): Ear {
  return {
    interface: name,
    index,
    peer,
    missed: new Missed(),
    lastSeen,
    heard: 0,
    isSilent: false,
    isExplained: false,
    silences: [],
    usual: new Usual(HISTORY),
  };
}

function hear(ear: Ear, { lastSeen }: LinkFigures, everyMs: number, now: Nanos): void {
  ear.silences = ear.silences.filter((at) => now - at < SILENCE_WINDOW);
  // The age of one OGM is told a little differently each time.
  if (lastSeen - ear.lastSeen > (everyMs * MS) / 4) {
    if (!ear.isSilent) ear.missed.heard();
    else if (!ear.isExplained && ear.heard >= HEARD_BETWEEN) ear.silences.push(now);
    ear.heard = ear.isSilent ? 1 : ear.heard + 1;
    ear.lastSeen = lastSeen;
    ear.isSilent = ear.isExplained = false;
  }
  const silentMs = (now - lastSeen) / MS;
  ear.missed.read(silentMs, everyMs, now);
  const missable = repeated(ear.missed.loss(), CHANCE, MISSED, MOST_MISSED);
  ear.isSilent ||= silentMs > (missable + 0.5) * everyMs;
  if (ear.isSilent) ear.missed.silent();
}

function isRestless({ silences, usual }: Ear): boolean {
  if (usual.knownNs < ACQUAINTED) return false;
  return silences.length >= Math.min(MOST_USUAL, Math.floor(FLAPS + UNUSUAL * usual.value!));
}
