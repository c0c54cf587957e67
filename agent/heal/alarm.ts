/**
 * Word of a fault, outside bat0: raises our own alarms, takes in others', relays each once.
 * A remote alarm is evidence to look, never a command: what follows from it is a bounded kick and a look at our own tables. What a
 * neighbour says of its own ways is for ways.ts.
 */
import type { Effect } from '../core/effect.ts';
import { asAgentError } from '../core/errors.ts';
import type { Event, HealSettings, Mark as StoredMark } from '../core/event.ts';
import { fromHex, toHex } from '../core/hex.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER } from '../core/time.ts';
import type { Alarm as AlarmWord } from '../core/words.ts';
import { Budget, SharedBudget } from './budget.ts';
import { type Entry, Ring } from './ring.ts';
import { Shortage } from './shortage.ts';
import { fallen, originatorAddress, type Surroundings, usable, ways } from './surroundings.ts';
import {
  ANY,
  airKey,
  decodeFrame,
  encodeAlarm,
  encodeEcho,
  encodeHello,
  FOR_MEMBERS,
  fromInterface,
  isBeacon,
  keyOf,
  type MacKey,
  macKey,
  OF_WAYS,
  peekAlarm,
  SHORTEST,
  VERSION,
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
/** Neighbours that admit members only are told so often that this is one; and soon after there is a key or a link. */
const HELLO: Nanos = 10_000 * MS;
const FIRST_HELLO: Nanos = 50 * MS;
/** All alarms taken in a minute, from whoever, as a multiple of what one sender may. */
const ALL_SENDERS = 8;

/** 2100-01-01: a boot epoch is never later than the wall clock of a router that is well (host/state/epoch.ts). */
const LAST_EPOCH = 4_102_444_800;

/** The newest word of a sender, and what it may still say. */
interface Mark {
  epoch: number;
  counter: number;
  /** Which of the 32 counters below that one were taken, the nearest in the lowest bit (RFC 4303, 3.4.3). */
  below: number;
  budget: Budget | null;
  /** What it may say of ways. */
  ofWays: Budget | null;
}

/** Each of a fault's asks is a word of its own. */
const WAYS_BUDGET = 4;

/** A router short of time asks so many times less often. */
const EASED = 4;
/** Keys whose marks are remembered: one that comes back must find its old alarms still taken for old. */
const KEYS = 16;

export class Alarm implements Machine {
  readonly name = 'alarm';
  readonly #around: Surroundings;
  readonly #ring = new Ring<MacKey>({
    mesh: (key, hasAir) => macKey(fromHex(key), VERSION, hasAir ? FOR_MEMBERS : 0),
    air: airKey,
  });
  #counter = 0;
  /** By the id of the key, the youngest last. */
  readonly #marksOf = new Map<string, Map<Mac, Mark>>();
  #nextHello: Nanos = NEVER;
  readonly #askers = new Map<string, Mark>();
  readonly #perSender = () => this.#around.settings.senderBudget;
  readonly #perSenderOfWays = () => this.#perSender() * WAYS_BUDGET;
  readonly #all = new Budget(() => this.#perSender() * ALL_SENDERS);
  readonly #allWays = new Budget(() => this.#perSenderOfWays() * ALL_SENDERS);
  /** Of our own alarms, where somebody else has used those below. */
  #above = 0;
  readonly #overtaken = new Budget(() => 1);
  /** More than others take from one sender is not sent. */
  readonly #raised = new SharedBudget(this.#perSender);
  readonly #raisedOfWays = new SharedBudget(this.#perSenderOfWays);
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
        this.#remember(event.settings.key, event.marks ?? []);
        return [];
      case 'air-keys':
        this.#ring.take(event);
        for (const { id, marks } of event.keys ?? []) this.#remember(id, marks);
        this.#nextHello =
          !event.hello || this.#ring.sending === null ? NEVER : Math.min(this.#nextHello, now + FIRST_HELLO);
        return [];
      case 'link':
        // Whoever is behind it may not let us in yet.
        if (this.#nextHello !== NEVER) this.#nextHello = Math.min(this.#nextHello, now + FIRST_HELLO);
        return [];
      case 'started':
        this.#remember(this.#around.settings.key, event.marks);
        if (this.#around.settings.echoNs > 0) this.#nextEcho = now + FIRST_ECHO;
        return [];
      case 'raise-alarm':
        return this.#raise(event, now);
      case 'frame':
        return this.#take(event.interface, event.frame, event.at ?? now, now);
      case 'ask':
        return this.#ask([event], false, now);
      case 'ease':
        this.#slower = event.on ? EASED : 1;
        return [];
      case 'tick':
        return [...this.#hello(now), ...this.#echo(now)];
      default:
        return [];
    }
  }

  deadline(): Nanos {
    return this.#ring.canSpeak ? Math.min(this.#nextEcho, this.#nextHello) : NEVER;
  }

  /** What the state still knows, of a sender that has not spoken since. */
  #remember(id: string, stored: readonly StoredMark[]): void {
    const marks = this.#marks(id);
    for (const { sender, epoch, counter } of stored) {
      const known = marks.get(sender);
      if (known === undefined || isNewer({ epoch, counter }, known))
        renew(marks, sender, {
          epoch,
          counter,
          // What came before the restart is not known one by one.
          below: 0xffff_ffff,
          budget: known?.budget ?? null,
          ofWays: known?.ofWays ?? null,
        });
    }
  }

  /** What was accepted under one key says nothing under another, or who had the old one could silence a sender for good. */
  #marks(id: string): Map<Mac, Mark> {
    const marks = this.#marksOf.get(id) ?? new Map<Mac, Mark>();
    this.#marksOf.delete(id);
    this.#marksOf.set(id, marks);
    // But for keys that count still: what was said under one of them would be taken once more.
    const counts = new Set(this.#ring.accepted.map((entry) => entry.id));
    const oldest = [...this.#marksOf.keys()].find((one) => one !== id && !counts.has(one));
    if (this.#marksOf.size > KEYS && oldest !== undefined) this.#marksOf.delete(oldest);
    return marks;
  }

  #settle(settings: HealSettings, now: Nanos): void {
    this.#ring.settle(settings.key);
    this.#nextEcho = settings.echoNs > 0 && this.#around.started ? now + settings.echoNs : this.#nextEcho;
    if (settings.echoNs === 0) this.#nextEcho = NEVER;
  }

  #raise({ reason, alarm: word, avoid }: Extract<Event, { type: 'raise-alarm' }>, now: Nanos): Effect[] {
    const sender = originatorAddress(this.#around);
    if (!this.#ring.canSpeak || sender === null) return [];
    if (!(OF_WAYS.has(word.kind) ? this.#raisedOfWays : this.#raised).take(reason, now)) return [unsent()];
    this.#counter += 1;
    const alarm: AlarmWord = { ...word, sender, epoch: this.#epoch, counter: this.#counter };
    return [
      this.#spread(alarm, avoid, now, [...ways(this.#around), ...fallen(this.#around)]),
      metric('alarms_sent_total', {}, 1),
    ];
  }

  #take(index: IfIndex, hex: string, at: Nanos, now: Nanos): Effect[] {
    const link = this.#around.links.get(index);
    if (link === undefined || !this.#around.started || this.#around.settings.mode === 'off') return [];
    // Not from bat0 or a client's bridge: only from what is, or belongs, under the mesh.
    if (link.master !== this.#around.mesh?.index && !this.#around.members.has(link.name))
      return [refused('not-a-member')];
    if (!this.#ring.canSpeak) return [refused('no-key')];
    const bytes = fromHex(hex);
    if (isBeacon(bytes)) return [];
    const said = keyOf(bytes);
    if (said === null) return [refused(bytes.length < SHORTEST ? 'short' : 'version')];
    const entry = this.#entryFor(said);
    if (entry === null) {
      if (said.version !== VERSION) this.#ring.heardStrange(index, now);
      return [refused(said.version === VERSION ? 'mesh-key' : 'key')];
    }
    // A flood brings every alarm as often as there are ways here: copies are dropped before any cryptography.
    const claimed = peekAlarm(bytes);
    const old = claimed === null ? null : this.#old(claimed, entry);
    if (old !== null) return [refused(old)];
    let frame: ReturnType<typeof decodeFrame>;
    try {
      frame = decodeFrame(bytes, entry.key);
    } catch (thrown) {
      return [refused(String(asAgentError(thrown).detail.field ?? 'malformed'))];
    }
    if (!entry.isMesh) this.#ring.heard(index, frame.source, 'air', now);
    else if (said.name !== FOR_MEMBERS) this.#ring.heard(index, frame.source, 'mesh', now);
    if (frame.kind === 'alarm') return this.#alarm(frame.alarm, entry, index, frame.source, now);
    // The address is in the tag, so whoever has it is a member.
    const proven: Effect[] =
      !entry.isMesh && this.#ring.isNews(index, frame.source, now)
        ? [{ type: 'proven', neighbour: frame.source, interface: index }]
        : [];
    if (frame.kind === 'hello') return proven;
    return [...proven, ...this.#answer(frame.echo, entry, frame.source, index, at, now)];
  }

  #entryFor({ version, name }: Pick<MacKey, 'version' | 'name'>): Entry<MacKey> | null {
    if (version === VERSION) return this.#ring.mesh;
    return this.#ring.accepted.find(({ key }) => key.version === version && key.name === name) ?? null;
  }

  /** Why an alarm is not new: under its own key, or since its copy came under another one while that counts as well. */
  #old({ sender, epoch, counter }: { sender: Mac; epoch: number; counter: number }, of: Entry<MacKey>): string | null {
    for (const { id } of this.#ring.accepted) {
      const mark = this.#marksOf.get(id)?.get(sender);
      if (mark === undefined) continue;
      if (id !== of.id && (mark.epoch !== epoch || counter > mark.counter)) continue;
      const old = ageOf({ epoch, counter }, mark);
      if (old !== null) return old;
    }
    return null;
  }

  #alarm(alarm: AlarmWord, entry: Entry<MacKey>, index: IfIndex, source: Mac, now: Nanos): Effect[] {
    const { settings } = this.#around;
    if (alarm.epoch > LAST_EPOCH) return [refused('epoch')];
    if (alarm.sender === originatorAddress(this.#around)) return this.#overtake(alarm, now);
    const marks = this.#marks(entry.id);
    const known = this.#budgetsOf(alarm.sender);
    const { epoch, counter } = alarm;
    const budget = known?.budget ?? new Budget(this.#perSender);
    const ofWays = known?.ofWays ?? new Budget(this.#perSenderOfWays);
    // Its copies are old from here on, whether it is taken or not.
    renew(marks, alarm.sender, { ...advanced(marks.get(alarm.sender), { epoch, counter }), budget, ofWays });
    const isWay = OF_WAYS.has(alarm.kind);
    const remember: Effect = {
      type: 'remember-mark',
      sender: alarm.sender,
      epoch: alarm.epoch,
      counter: alarm.counter,
      ...(!entry.isMesh && { key: entry.id }),
    };
    if (!(isWay ? ofWays : budget).take(now)) return [remember, refused('sender-budget')];
    if (!(isWay ? this.#allWays : this.#all).take(now)) return [remember, refused('budget')];

    const hops = isWay ? 1 : Math.min(alarm.hops, settings.alarmHops);
    const effects: Effect[] = [];
    if (hops > 1) effects.push(this.#spread({ ...alarm, hops: hops - 1 }, [index], now));
    effects.push(
      { type: 'emit', event: { type: 'alarm', alarm, interface: index, source } },
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

  /** What a sender may still say does not begin anew with another key. */
  #budgetsOf(sender: Mac): Mark | null {
    for (const { id } of this.#ring.accepted) {
      const mark = this.#marksOf.get(id)?.get(sender);
      if (mark !== undefined && mark.budget !== null) return mark;
    }
    return null;
  }

  /** On every usable hard interface but those. A relay on the interface it came by would only be heard twice. */
  #spread(alarm: AlarmWord, avoid: readonly IfIndex[], now: Nanos, by = ways(this.#around)): Effect {
    const signed = new Map<Entry<MacKey>, Uint8Array>();
    const under = (entry: Entry<MacKey>, mac: Mac): Uint8Array => {
      if (OF_WAYS.has(alarm.kind)) return encodeAlarm(alarm, mac, entry.key);
      const frame = signed.get(entry) ?? encodeAlarm(alarm, ANY, entry.key);
      signed.set(entry, frame);
      return fromInterface(frame, mac);
    };
    const links = by.filter((link) => !avoid.includes(link.index) || this.#isShared(link.index));
    const frames = links.flatMap((link) =>
      this.#ring
        .towardsAll(link.index, now)
        .map((entry) => ({ interface: link.index, frame: toHex(under(entry, link.mac)) })),
    );
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
    entry: Entry<MacKey>,
    source: Mac,
    index: IfIndex,
    at: Nanos,
    now: Nanos,
  ): Effect[] {
    if (echo.reply) {
      const asked = this.#asked.get(echo.counter);
      if (asked === undefined || asked.interface !== index || asked.neighbour !== source)
        return [unheard('unasked-echo')];
      if (echo.epoch !== this.#around.epoch || echo.asker !== originatorAddress(this.#around))
        return [unheard('unasked-echo')];
      this.#asked.delete(echo.counter);
      if (now - asked.at >= ECHO_TIMEOUT) return [unheard('late-echo')];
      speak(this.#speakers, `${index} ${source}`);
      const heard = { type: 'echo', neighbour: source, interface: index, rttNs: at - asked.at } as const;
      return [{ type: 'emit', event: asked.usual ? heard : { ...heard, asked: true } }];
    }
    if (echo.epoch > LAST_EPOCH) return [unheard('epoch')];
    // By interface: what one neighbour asks over two cables need not arrive in order. By key: who had the old one is nobody under another.
    const asker = `${entry.id} ${index} ${echo.asker}`;
    const mark = this.#askers.get(asker);
    if (mark !== undefined && !isNewer(echo, mark)) return [unheard('replay')];
    const budget = mark?.budget ?? new Budget(() => ECHO_BUDGET);
    renew(this.#askers, asker, { epoch: echo.epoch, counter: echo.counter, below: 0, budget, ofWays: null });
    const link = this.#around.links.get(index)!;
    if (!budget.take(now)) return [unheard('echo-budget')];
    const frame = toHex(encodeEcho({ ...echo, reply: true }, source, link.mac, entry.key));
    return [{ type: 'send', frames: [{ interface: index, frame }] }];
  }

  #echo(now: Nanos): Effect[] {
    if (now < this.#nextEcho || !this.#ring.canSpeak) return [];
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

  /** A neighbour that lets in members only has to hear of this one before batman-adv can. */
  #hello(now: Nanos): Effect[] {
    const sender = originatorAddress(this.#around);
    const entry = this.#ring.sending;
    if (now < this.#nextHello) return [];
    this.#nextHello = now + HELLO;
    if (entry === null || sender === null || !this.#around.started || this.#around.settings.mode === 'off') return [];
    const frames = usable(this.#around).map((link) => {
      this.#counter += 1;
      const id = { sender, epoch: this.#around.epoch, counter: this.#counter };
      return { interface: link.index, frame: toHex(encodeHello(id, link.mac, entry.key)) };
    });
    return frames.length === 0 ? [] : [{ type: 'send', frames }];
  }

  #ask(whom: readonly { neighbour: Mac; interface: IfIndex }[], usual: boolean, now: Nanos): Effect[] {
    const asker = originatorAddress(this.#around);
    if (!this.#ring.canSpeak || asker === null || this.#around.settings.mode === 'off') return [];
    const frames: { interface: IfIndex; frame: string }[] = [];
    for (const { neighbour, interface: index } of whom) {
      const link = this.#around.links.get(index);
      const entry = this.#ring.towards(index, neighbour, now);
      if (link === undefined || !link.carrier || entry === null) continue;
      this.#counter += 1;
      this.#asked.set(this.#counter, { neighbour, interface: index, at: now, usual });
      if (this.#asked.size > MOST_ASKED) this.#asked.delete(this.#asked.keys().next().value!);
      const echo = { reply: false, asker, epoch: this.#around.epoch, counter: this.#counter };
      frames.push({ interface: index, frame: toHex(encodeEcho(echo, neighbour, link.mac, entry.key)) });
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

/** Why a word is not new to who has taken that; null for one that is. Frames overtake each other by a few. */
function ageOf({ epoch, counter }: Pick<Mark, 'epoch' | 'counter'>, mark: Mark): 'seen' | 'replay' | null {
  if (epoch !== mark.epoch) return epoch > mark.epoch ? null : 'replay';
  const behind = mark.counter - counter;
  if (behind < 0) return null;
  if (behind === 0) return 'seen';
  if (behind > 32) return 'replay';
  return (mark.below >>> (behind - 1)) & 1 ? 'seen' : null;
}

/** The mark with that word taken as well. */
function advanced(
  mark: Mark | undefined,
  word: Pick<Mark, 'epoch' | 'counter'>,
): Pick<Mark, 'epoch' | 'counter' | 'below'> {
  if (mark === undefined || word.epoch > mark.epoch) return { ...word, below: 0 };
  const ahead = word.counter - mark.counter;
  if (ahead <= 0) return { epoch: mark.epoch, counter: mark.counter, below: (mark.below | (1 << (-ahead - 1))) >>> 0 };
  const below = ahead > 32 ? 0 : ((ahead === 32 ? 0 : mark.below << ahead) | (1 << (ahead - 1))) >>> 0;
  return { ...word, below };
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

/** An echo comes late on a router that is short of time: nothing that others said was turned away. */
function unheard(reason: string): Effect {
  return metric('echoes_refused_total', { reason }, 1);
}

function metric(name: string, labels: Record<string, string>, value: number): Effect {
  return { type: 'metric', name, labels, value };
}
