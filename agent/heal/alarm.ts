/**
 * Word of a fault, outside bat0: raises our own alarms, takes in others', relays each once.
 * A remote alarm is evidence to look, never a command: what follows from it is a bounded kick and a look at our own tables.
 */
import type { Effect } from '../core/effect.ts';
import { asAgentError } from '../core/errors.ts';
import type { Event, HealSettings, Mark as StoredMark } from '../core/event.ts';
import { fromHex, toHex } from '../core/hex.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER } from '../core/time.ts';
import type { Alarm as AlarmWord } from '../core/words.ts';
import { Budget } from './budget.ts';
import { Shortage } from './shortage.ts';
import { fallen, originatorAddress, type Surroundings, ways } from './surroundings.ts';
import {
  ANY,
  decodeFrame,
  encodeAlarm,
  encodeEcho,
  fromInterface,
  isBeacon,
  type MacKey,
  macKey,
  peekAlarm,
} from './wire.ts';

/** Senders remembered; who was silent longest is forgotten first. */
const SENDERS = 1024;
/** An echo without an answer is lost after this. */
const ECHO_TIMEOUT: Nanos = 1000 * MS;
const MOST_ASKED = 4096;
/** Echo requests answered a minute, for each asker. */
const ECHO_BUDGET = 60;
/** Who among the neighbours runs the agent is worth knowing soon. */
const FIRST_ECHO: Nanos = 1000 * MS;
/** All alarms taken in a minute, from whoever, as a multiple of what one sender may. */
const ALL_SENDERS = 8;

/** 2100-01-01: a boot epoch is never later than the wall clock of a router that is well (host/state/epoch.ts). */
const LAST_EPOCH = 4_102_444_800;

/** The newest word of a sender, and what it may still say. */
interface Mark {
  epoch: number;
  counter: number;
  budget: Budget | null;
}

/** A router short of time asks so many times less often. */
const EASED = 4;
/** Keys whose marks are remembered: one that comes back must find its old alarms still taken for old. */
const KEYS = 4;

export class Alarm implements Machine {
  readonly name = 'alarm';
  readonly #around: Surroundings;
  #key: MacKey | null = null;
  #counter = 0;
  /** By key, as hex; the youngest last. */
  readonly #marksOf = new Map<string, Map<Mac, Mark>>();
  #marks = new Map<Mac, Mark>();
  readonly #askers = new Map<string, Mark>();
  #all: Budget | null = null;
  /** Of our own alarms, where somebody else has used those below. */
  #above = 0;
  readonly #overtaken = new Budget(1);
  #raised: Budget | null = null;
  #raisedOfSilence: Budget | null = null;
  #nextEcho: Nanos = NEVER;
  #slower = 1;
  readonly #shortage = new Shortage();
  /** Neighbours that have answered: only of them silence means loss, a router without the agent never answers. */
  readonly #speakers = new Set<string>();
  readonly #asked = new Map<number, { neighbour: Mac; interface: IfIndex; at: Nanos; usual: boolean }>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): Effect[] {
    this.#shortage.note(event, now);
    switch (event.type) {
      case 'settings':
        this.#settle(event.settings, now);
        this.#remember(event.marks ?? []);
        return [];
      case 'started':
        this.#remember(event.marks);
        if (this.#around.settings.echoNs > 0) this.#nextEcho = now + FIRST_ECHO;
        return [];
      case 'raise-alarm':
        return this.#raise(event.alarm, event.avoid, now);
      case 'frame':
        return this.#take(event.interface, event.frame, event.at ?? now, now);
      case 'ask':
        return this.#ask([event], false, now);
      case 'ease':
        this.#slower = event.on ? EASED : 1;
        return [];
      case 'tick':
        return this.#echo(now);
      default:
        return [];
    }
  }

  deadline(): Nanos {
    return this.#key === null ? NEVER : this.#nextEcho;
  }

  /** What the state still knows, of a sender that has not spoken since. */
  #remember(marks: readonly StoredMark[]): void {
    for (const { sender, epoch, counter } of marks) {
      const known = this.#marks.get(sender);
      if (known === undefined || isNewer({ epoch, counter }, known))
        renew(this.#marks, sender, { epoch, counter, budget: known?.budget ?? null });
    }
  }

  #settle(settings: HealSettings, now: Nanos): void {
    this.#key = settings.key === '' ? null : macKey(fromHex(settings.key));
    this.#marks = this.#marksOf.get(settings.key) ?? new Map();
    this.#marksOf.delete(settings.key);
    this.#marksOf.set(settings.key, this.#marks);
    if (this.#marksOf.size > KEYS) this.#marksOf.delete(this.#marksOf.keys().next().value!);
    this.#nextEcho = settings.echoNs > 0 && this.#around.started ? now + settings.echoNs : this.#nextEcho;
    if (settings.echoNs === 0) this.#nextEcho = NEVER;
    if (this.#all !== null) this.#all.perMinute = settings.senderBudget * ALL_SENDERS;
    for (const mark of this.#marks.values()) if (mark.budget !== null) mark.budget.perMinute = settings.senderBudget;
  }

  #raise(word: Omit<AlarmWord, 'sender' | 'epoch' | 'counter'>, avoid: readonly IfIndex[], now: Nanos): Effect[] {
    const sender = originatorAddress(this.#around);
    if (this.#key === null || sender === null) return [];
    // More than others take from one sender is not sent; a silence, which strangers can feign, may use half of it.
    const { senderBudget } = this.#around.settings;
    this.#raised ??= new Budget(senderBudget);
    this.#raisedOfSilence ??= new Budget(Math.max(1, senderBudget / 2));
    if (word.kind === 'neighbour-lost' && !this.#raisedOfSilence.take(now)) return [unsent()];
    if (!this.#raised.take(now)) return [unsent()];
    this.#counter += 1;
    const alarm: AlarmWord = { ...word, sender, epoch: this.#epoch, counter: this.#counter };
    return [
      this.#spread(alarm, avoid, [...ways(this.#around), ...fallen(this.#around)]),
      metric('alarms_sent_total', {}, 1),
    ];
  }

  #take(index: IfIndex, hex: string, at: Nanos, now: Nanos): Effect[] {
    const link = this.#around.links.get(index);
    if (link === undefined || !this.#around.started || this.#around.settings.mode === 'off') return [];
    // Not from bat0 or a client's bridge: only from what is, or belongs, under the mesh.
    if (link.master !== this.#around.mesh?.index && !this.#around.members.has(link.name))
      return [refused('not-a-member')];
    const key = this.#key;
    if (key === null) return [refused('no-key')];
    const bytes = fromHex(hex);
    if (isBeacon(bytes)) return [];
    // A flood brings every alarm as often as there are ways here: copies are dropped before any cryptography.
    const claimed = peekAlarm(bytes);
    const mark = claimed === null ? undefined : this.#marks.get(claimed.sender);
    if (claimed !== null && mark !== undefined && !isNewer(claimed, mark)) {
      return [refused(mark.counter === claimed.counter && mark.epoch === claimed.epoch ? 'seen' : 'replay')];
    }
    let frame: ReturnType<typeof decodeFrame>;
    try {
      frame = decodeFrame(bytes, key);
    } catch (thrown) {
      return [refused(String(asAgentError(thrown).detail.field ?? 'malformed'))];
    }
    return frame.kind === 'alarm'
      ? this.#alarm(frame.alarm, index, now)
      : this.#answer(frame.echo, frame.source, index, at, now);
  }

  #alarm(alarm: AlarmWord, index: IfIndex, now: Nanos): Effect[] {
    const { settings } = this.#around;
    if (alarm.epoch > LAST_EPOCH) return [refused('epoch')];
    if (alarm.sender === originatorAddress(this.#around)) return this.#overtake(alarm, now);
    const mark = this.#marks.get(alarm.sender);
    const budget = mark?.budget ?? new Budget(settings.senderBudget);
    // Its copies are old from here on, whether it is taken or not.
    renew(this.#marks, alarm.sender, { epoch: alarm.epoch, counter: alarm.counter, budget });
    this.#all ??= new Budget(settings.senderBudget * ALL_SENDERS);
    const remember: Effect = {
      type: 'remember-mark',
      sender: alarm.sender,
      epoch: alarm.epoch,
      counter: alarm.counter,
    };
    if (!budget.take(now)) return [remember, refused('sender-budget')];
    if (!this.#all.take(now)) return [remember, refused('budget')];

    const hops = Math.min(alarm.hops, settings.alarmHops);
    const effects: Effect[] = [];
    if (hops > 1) effects.push(this.#spread({ ...alarm, hops: hops - 1 }, [index]));
    effects.push(
      { type: 'emit', event: { type: 'alarm', alarm, interface: index } },
      remember,
      metric('alarms_received_total', {}, 1),
    );
    return effects;
  }

  /**
   * Somebody else who has the key speaks in our name, and what we say next would be old to all who heard it: it begins
   * above that.
   */
  #overtake(alarm: AlarmWord, now: Nanos): Effect[] {
    if (!isNewer(alarm, { epoch: this.#epoch, counter: this.#counter })) return [];
    this.#above = Math.min(LAST_EPOCH, alarm.epoch + 1);
    if (!this.#overtaken.take(now)) return [refused('own-name')];
    const fields = { epoch: alarm.epoch, counter: alarm.counter };
    return [
      { type: 'log', level: 'warning', message: "somebody with the mesh key speaks in this router's name", fields },
      refused('own-name'),
    ];
  }

  get #epoch(): number {
    return Math.max(this.#around.epoch, this.#above);
  }

  /** On every usable hard interface but those. A relay on the interface it came by would only be heard twice. */
  #spread(alarm: AlarmWord, avoid: readonly IfIndex[], by = ways(this.#around)): Effect {
    const signed = encodeAlarm(alarm, ANY, this.#key!);
    const frames = by
      .filter((link) => !avoid.includes(link.index) || this.#isShared(link.index))
      .map((link) => ({ interface: link.index, frame: toHex(fromInterface(signed, link.mac)) }));
    return { type: 'send', frames };
  }

  /** More than one neighbour on an interface: one of them may not hear the others, so a relay there is needed too. */
  #isShared(index: IfIndex): boolean {
    let count = 0;
    for (const row of this.#around.tables?.neighbours ?? []) if (row.interface === index) count += 1;
    return count > 1;
  }

  #answer(
    echo: { reply: boolean; asker: Mac; epoch: number; counter: number },
    source: Mac,
    index: IfIndex,
    at: Nanos,
    now: Nanos,
  ): Effect[] {
    if (echo.reply) {
      const asked = this.#asked.get(echo.counter);
      if (asked === undefined || asked.interface !== index || asked.neighbour !== source)
        return [refused('unasked-echo')];
      if (echo.epoch !== this.#around.epoch || echo.asker !== originatorAddress(this.#around))
        return [refused('unasked-echo')];
      this.#asked.delete(echo.counter);
      if (now - asked.at >= ECHO_TIMEOUT) return [refused('late-echo')];
      speak(this.#speakers, `${index} ${source}`);
      const heard = { type: 'echo', neighbour: source, interface: index, rttNs: at - asked.at } as const;
      return [{ type: 'emit', event: asked.usual ? heard : { ...heard, asked: true } }];
    }
    // By interface: what one neighbour asks over two cables need not arrive in order.
    const asker = `${index} ${echo.asker}`;
    const mark = this.#askers.get(asker);
    if (mark !== undefined && !isNewer(echo, mark)) return [refused('replay')];
    const budget = mark?.budget ?? new Budget(ECHO_BUDGET);
    renew(this.#askers, asker, { epoch: echo.epoch, counter: echo.counter, budget });
    const link = this.#around.links.get(index)!;
    if (!budget.take(now)) return [refused('echo-budget')];
    const frame = toHex(encodeEcho({ ...echo, reply: true }, source, link.mac, this.#key!));
    return [{ type: 'send', frames: [{ interface: index, frame }] }];
  }

  #echo(now: Nanos): Effect[] {
    if (now < this.#nextEcho || this.#key === null) return [];
    const effects: Effect[] = [];
    for (const [counter, asked] of this.#asked) {
      if (now - asked.at < ECHO_TIMEOUT) continue;
      this.#asked.delete(counter);
      // One that was asked in doubt is judged by whoever had it asked; of whom nobody had time to listen to nothing is known.
      if (!asked.usual || this.#shortage.isOn(now) || !this.#speakers.has(`${asked.interface} ${asked.neighbour}`))
        continue;
      effects.push({
        type: 'emit',
        event: { type: 'echo-lost', neighbour: asked.neighbour, interface: asked.interface },
      });
    }
    this.#nextEcho = now + this.#slower * this.#around.settings.echoNs;
    return [...effects, ...this.#ask(this.#around.tables?.neighbours ?? [], true, now)];
  }

  #ask(whom: readonly { neighbour: Mac; interface: IfIndex }[], usual: boolean, now: Nanos): Effect[] {
    const asker = originatorAddress(this.#around);
    if (this.#key === null || asker === null || this.#around.settings.mode === 'off') return [];
    const frames: { interface: IfIndex; frame: string }[] = [];
    for (const { neighbour, interface: index } of whom) {
      const link = this.#around.links.get(index);
      if (link === undefined || !link.carrier) continue;
      this.#counter += 1;
      this.#asked.set(this.#counter, { neighbour, interface: index, at: now, usual });
      if (this.#asked.size > MOST_ASKED) this.#asked.delete(this.#asked.keys().next().value!);
      const echo = { reply: false, asker, epoch: this.#around.epoch, counter: this.#counter };
      frames.push({ interface: index, frame: toHex(encodeEcho(echo, neighbour, link.mac, this.#key)) });
    }
    return frames.length === 0 ? [] : [{ type: 'send', frames }];
  }
}

/** Who spoke last is the last to be forgotten. */
function renew(marks: Map<string, Mark>, sender: string, mark: Mark): void {
  marks.delete(sender);
  marks.set(sender, mark);
  if (marks.size > SENDERS) marks.delete(marks.keys().next().value!);
}

/** Who was silent longest is forgotten first. */
function speak(speakers: Set<string>, who: string): void {
  speakers.delete(who);
  speakers.add(who);
  if (speakers.size > SENDERS) speakers.delete(speakers.values().next().value!);
}

function isNewer(alarm: Pick<Mark, 'epoch' | 'counter'>, mark: Pick<Mark, 'epoch' | 'counter'>): boolean {
  return alarm.epoch > mark.epoch || (alarm.epoch === mark.epoch && alarm.counter > mark.counter);
}

function unsent(): Effect {
  return { type: 'log', level: 'warning', message: 'alarm not sent: the budget of a minute is used up', fields: {} };
}

function refused(reason: string): Effect {
  return metric('alarms_refused_total', { reason }, 1);
}

function metric(name: string, labels: Record<string, string>, value: number): Effect {
  return { type: 'metric', name, labels, value };
}
