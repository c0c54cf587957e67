/** M of MAPE-K: keeps the surroundings and turns what changed in them into symptoms. It explains nothing. */
import type { Effect } from '../core/effect.ts';
import type { Event, HealSettings, Tables, WorldEvent } from '../core/event.ts';
import type { IfIndex, Mac } from '../core/ids.ts';
import type { InterfaceAddress, Link, MeshInfo, MeshSettings, Neighbour, Taken } from '../core/kernel.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Symptom } from '../core/words.ts';
import { expectedEveryMs, MISSED, patientEveryMs, silentAfterMs, unheardAfterMs } from '../mesh/silence.ts';
import { Hearing } from './hearing.ts';
import { Shortage } from './shortage.ts';
import { Stalls } from './stalls.ts';
import { attached, broken, isPrimary, NO_SETTINGS, type Surroundings } from './surroundings.ts';

/** Word of a fault elsewhere is a reason to look sooner, though not in the middle of the burst. */
const AFTER_ALARM: Nanos = 300 * MS;
/** Routers that one reading may declare dead, and neighbours silent. */
const MOST_SAID = 32;
/** Routers of the mesh that are remembered, as in mesh/nodes.ts. */
const MOST_HEARD = 4096;
/** What others make us remember is bounded. */
const MOST_NEIGHBOURS = 1024;
/** A router short of time looks so many times less often. */
const EASED = 4;
type Evidence = Extract<WorldEvent, { type: 'neighbour-evidence' }>;

export class Monitor implements Machine, Surroundings {
  readonly name = 'monitor';
  started = false;
  node = '';
  epoch = 0;
  settings: HealSettings = NO_SETTINGS;
  #air: Extract<Event, { type: 'air-keys' }> | null = null;
  readonly links = new Map<IfIndex, Link>();
  mesh: Link | null = null;
  readonly members = new Set<string>();
  tables: Tables | null = null;
  primaryKnown = true;
  lastMesh: MeshInfo | null = null;
  lastMeshUp: { mac: Mac; master: IfIndex } | null = null;
  addresses: readonly InterfaceAddress[] = [];
  declared: ReadonlySet<string> = new Set();
  taken: readonly Taken[] = [];
  /** A repair has it out of its bridge: it belongs there all the same. */
  #isOut = false;
  #nextPoll: Nanos = NEVER;
  #slower = 1;
  readonly #shortage = new Shortage();
  readonly #stalls = new Stalls();
  /** When the carrier of an interface came back last. */
  readonly #hearsSince = new Map<IfIndex, Nanos>();
  /** What is known of each neighbour, by interface and address. */
  readonly #neighbourhood = new Map<string, Hearing>();
  /** Those that are being asked whether they are alive. */
  readonly #asked = new Set<Hearing>();
  /** Originators with when they were last heard of, by our clock. */
  readonly #heard = new Map<Mac, Nanos>();
  readonly #dead = new Set<Mac>();
  /** What settings are when they are not lent. */
  readonly #lent = new Map<string, { settings: Partial<MeshSettings>; until: Nanos }>();

  on(event: Event, now: Nanos): Effect[] {
    this.#shortage.note(event, now);
    switch (event.type) {
      case 'settings':
        this.epoch = event.epoch ?? this.epoch;
        return this.#settle(event.settings, now);
      case 'air-keys':
        this.#air = event;
        return [];
      case 'started':
        this.node = event.node;
        this.epoch = event.epoch;
        this.started = true;
        this.#nextPoll = now + this.settings.pollNs;
        return this.#missing();
      case 'link':
        return this.#link(event.link, now);
      case 'link-gone':
        return this.#gone(event.index, event.name);
      case 'tables':
        return this.#read(event.tables, now);
      case 'mesh-settings':
        return this.#settings(event.interface, event.settings, now);
      case 'addresses':
        // An empty answer while bat0 is away must not make us forget what it had.
        if (event.interface === this.settings.meshInterface && this.mesh !== null) this.addresses = event.addresses;
        return [];
      case 'neighbour-evidence':
        return this.#radio(event, now);
      case 'lent': {
        // A reading that is on its way may have seen the setting before it was returned.
        const until = event.returned ? now + SECOND : NEVER;
        this.#lent.set(Object.keys(event.settings).join(), { settings: event.settings, until });
        return [];
      }
      case 'held':
        if (event.what !== `${this.settings.meshInterface} master`) return [];
        this.#isOut = !event.returned;
        if (event.returned && this.mesh !== null && this.lastMeshUp !== null) this.lastMeshUp.master = this.mesh.master;
        return [];
      case 'alarm':
        this.#nextPoll = Math.min(this.#nextPoll, now + AFTER_ALARM);
        return [];
      case 'stations':
        this.taken = event.stations.taken ?? [];
        return [];
      case 'declared':
        this.declared = new Set(event.interfaces);
        return [];
      case 'echo':
        this.#neighbourhood.get(`${event.interface} ${event.neighbour}`)?.answered(event.rttNs);
        return [];
      case 'echo-lost':
        this.#neighbourhood.get(`${event.interface} ${event.neighbour}`)?.lost();
        return [];
      case 'ease':
        this.#slower = event.on ? EASED : 1;
        return [];
      case 'mode-asked':
        // Until the next start, or until the file asks for another: the configuration file is a person's, and stays as it is.
        this.settings = { ...this.settings, mode: event.mode };
        return [log(`healing is now ${event.mode}`, { by: event.by })];
      case 'tick':
        if (now < this.#nextPoll) return this.#ask(now);
        this.#stalls.note(this.#nextPoll, now);
        this.#nextPoll = now + this.#slower * this.settings.pollNs;
        return [{ type: 'poll' }, ...this.#ask(now)];
      default:
        return [];
    }
  }

  deadline(): Nanos {
    let earliest = this.started ? this.#nextPoll : NEVER;
    for (const { deadline } of this.#asked) earliest = Math.min(earliest, deadline);
    return earliest;
  }

  #settle(settings: HealSettings, now: Nanos): Effect[] {
    this.settings = settings;
    if (settings.own) {
      this.members.add(settings.primary);
      for (const name of settings.hardInterfaces) this.members.add(name);
    }
    if (this.started) this.#nextPoll = Math.min(this.#nextPoll, now + settings.pollNs);
    return [];
  }

  /** At the start: what ought to be there and is not. */
  #missing(): Effect[] {
    if (!this.settings.own) return [];
    const found: Effect[] = [];
    if (this.mesh === null) {
      return [this.#say('mesh-gone', this.settings.meshInterface, 0, null, 'there is no mesh interface yet')];
    }
    const { hardInterfaces, primary } = this.settings;
    for (const link of this.links.values()) {
      if (link.master === this.mesh.index || !(link.name === primary || hardInterfaces.includes(link.name))) continue;
      found.push(
        this.#say('left-mesh', link.name, link.index, null, `it is configured, and not under ${this.mesh.name}`),
      );
    }
    return found;
  }

  #link(link: Link, now: Nanos): Effect[] {
    const known = this.links.get(link.index);
    // Under another name it is another interface, to whoever goes by names.
    const renamed = known !== undefined && known.name !== link.name;
    const said = renamed ? this.#renamed(known, link.name) : [];
    const before = renamed ? undefined : known;
    this.links.set(link.index, link);
    if (link.name === this.settings.meshInterface && link.kind === 'batadv') {
      const isNew = this.mesh === null || this.mesh.index !== link.index;
      this.mesh = link;
      this.lastMeshUp = { mac: link.mac, master: (this.#isOut ? this.lastMeshUp?.master : null) ?? link.master };
      // A dump comes in the order of indexes: its ports may have been told before it.
      for (const port of this.links.values()) if (port.master === link.index) this.members.add(port.name);
      if (isNew && this.started)
        said.push(this.#say('mesh-back', link.name, link.index, null, 'the mesh interface is there'));
      return said;
    }
    const isIn = this.mesh !== null && link.master === this.mesh.index;
    const wasIn = before !== undefined && this.mesh !== null && before.master === this.mesh.index;
    if (isIn) this.members.add(link.name);
    if (!this.started || !this.members.has(link.name)) return said;

    if (before === undefined) said.push(this.#say('appeared', link.name, link.index, null, 'the interface is there'));
    if (wasIn && !isIn && isPrimary(this, link.name)) {
      this.primaryKnown = false;
      said.push({ type: 'poll' });
    }
    if (wasIn && !isIn) {
      const where = this.links.get(link.master);
      const whither = link.master === 0 ? 'to nowhere' : `to ${where?.name ?? `interface ${link.master}`}`;
      said.push(this.#say('left-mesh', link.name, link.index, null, `it was moved from ${this.mesh!.name} ${whither}`));
    }
    if (!wasIn && isIn) {
      said.push(this.#say('joined-mesh', link.name, link.index, null, `it is under ${this.mesh!.name}`));
    }
    const had = before?.up === true && before.carrier;
    const has = link.up && link.carrier;
    if (before !== undefined && had && !has) {
      const how = link.up ? 'the carrier is gone' : 'it was set down';
      said.push(this.#say('carrier-lost', link.name, link.index, null, how));
    }
    if (before !== undefined && !had && has) {
      this.#hearsSince.set(link.index, now);
      said.push(this.#say('carrier-back', link.name, link.index, null, 'the carrier is there'));
    }
    return said;
  }

  #renamed({ index, name }: Link, to: string): Effect[] {
    if (this.members.has(name)) this.members.add(to);
    return [{ type: 'emit', event: { type: 'renamed', from: name, to } }, ...this.#gone(index, name)];
  }

  #gone(index: IfIndex, name: string): Effect[] {
    const known = this.links.get(index);
    this.links.delete(index);
    this.#hearsSince.delete(index);
    if (this.mesh !== null && index === this.mesh.index) {
      this.mesh = null;
      this.tables = null;
      return this.started ? [this.#say('mesh-gone', name, index, null, 'the mesh interface was deleted')] : [];
    }
    if (!this.started || known === undefined || !this.members.has(known.name)) return [];
    return [this.#say('vanished', known.name, index, null, 'the interface was deleted or unplugged')];
  }

  #read(read: Tables, now: Nanos): Effect[] {
    // A reading that began before bat0 went away must not bring it back.
    if (this.mesh === null) {
      this.tables = null;
      return [];
    }
    const tables = this.#withoutLoans(read, now);
    this.tables = tables;
    this.primaryKnown = true;
    if (tables.mesh !== null) this.lastMesh = tables.mesh;
    if (!this.started) return [];
    // What would break with each interface, found now, while nobody waits for it.
    for (const { index } of attached(this)) broken(this, index);
    return [...this.#neighbours(tables, now), ...this.#originators(tables, now)];
  }

  /** Between two readings, so that what is lent next goes back to what it was. */
  #settings(name: string, settings: MeshSettings, now: Nanos): Effect[] {
    if (this.tables?.mesh?.name !== name) return [];
    // Word of a change comes in the order of changes: what is another value after we returned ours is somebody's.
    for (const [key, lent] of this.#lent) {
      const keys = Object.keys(lent.settings) as (keyof MeshSettings)[];
      if (lent.until !== NEVER && keys.some((one) => settings[one] !== lent.settings[one])) this.#lent.delete(key);
    }
    this.tables = this.#withoutLoans({ ...this.tables, mesh: { ...this.tables.mesh, settings } }, now);
    this.lastMesh = this.tables.mesh;
    return [];
  }

  /** Settings as the mesh has them by itself: what a repair changed for a moment is nothing to reckon with. */
  #withoutLoans(tables: Tables, now: Nanos): Tables {
    for (const [key, { until }] of this.#lent) if (now > until) this.#lent.delete(key);
    if (tables.mesh === null || this.#lent.size === 0) return tables;
    const settings = { ...tables.mesh.settings };
    for (const { settings: original } of this.#lent.values()) Object.assign(settings, original);
    return { ...tables, mesh: { ...tables.mesh, settings } };
  }

  /** What a radio says of a neighbour. That it is gone is certain; unacknowledged frames only make its silence count sooner. */
  #radio({ interface: index, neighbour, what, count = 0 }: Evidence, now: Nanos): Effect[] {
    const known = this.#neighbourhood.get(`${index} ${neighbour}`);
    if (known === undefined || !this.started) return [];
    if (what === 'packets-lost') {
      known.unheardAt = now;
      known.unheard = count;
      return known.silent ? [] : [{ type: 'poll' }];
    }
    if (what !== 'station-gone') return [];
    known.goneAt = now;
    const link = attached(this).find((one) => one.index === index);
    // With the carrier all stations go: that is another fault.
    if (known.silent || known.isYoung(now) || link === undefined || !link.up || !link.carrier) return [];
    known.silent = true;
    const heard = `last heard ${known.row.lastSeenMs} ms before the last look at the tables`;
    return [
      this.#say('neighbour-silent', link.name, index, neighbour, `our radio has dropped it; ${heard}`, 'nl80211'),
    ];
  }

  #neighbours(tables: Tables, now: Nanos): Effect[] {
    const said: Effect[] = [];
    const links = new Map(attached(this).map((link) => [link.index, link]));
    const gone = new Map(this.#neighbourhood);
    // The reading may be older than a new name.
    const nameOf = (row: Neighbour) => this.links.get(row.interface)?.name ?? row.interfaceName;
    for (const row of tables.neighbours) {
      const key = `${row.interface} ${row.neighbour}`;
      gone.delete(key);
      let known = this.#neighbourhood.get(key);
      if (known === undefined) {
        if (this.#neighbourhood.size >= MOST_NEIGHBOURS) continue;
        known = new Hearing(row, patientEveryMs(tables, row.interface), now);
        this.#neighbourhood.set(key, known);
      }
      const { interface: index } = row;
      const carrier = links.get(index)?.carrier ?? false;
      // Through a cable that is out nobody is heard, and when it is back in that was no silence of theirs.
      if (!carrier) continue;
      const heardNs = row.lastSeenMs * MS;
      const deafNs = heardNs - (now - (this.#hearsSince.get(index) ?? Number.NEGATIVE_INFINITY));
      const stoodStillMs = Math.max(this.#stalls.since(now - heardNs), deafNs) / MS;
      known.read(row, patientEveryMs(tables, index), now, stoodStillMs);
      const slow = silentAfterMs(tables, index, known.missable(MISSED, now));
      const silent = known.isSilent(slow, unheardAfterMs(tables, index), now);
      if (silent && !known.silent && said.length < MOST_SAID) {
        known.silent = true;
        const every = expectedEveryMs(tables, index);
        const usual = known.usualMs > every ? `, at times only after ${Math.round(known.usualMs)} ms` : '';
        const isUnheard = known.isUnheard(now);
        const lost = isUnheard ? `; ${known.unheard} frames in a row to it were not acknowledged` : '';
        const asked = known.unanswered > 0 ? `; ${known.unanswered} questions in a row were not answered` : '';
        const detail = `last heard ${row.lastSeenMs} ms ago, expected every ${every} ms${usual}${lost}${asked}`;
        const source = isUnheard ? 'batadv tables, nl80211' : asked === '' ? undefined : 'batadv tables, echoes';
        said.push(this.#say('neighbour-silent', nameOf(row), index, row.neighbour, detail, source));
      } else if (known.doubts(patientEveryMs(tables, index), now) && this.#mayAsk(now)) {
        known.begin(now);
        this.#asked.add(known);
      }
      if (!silent && known.silent) {
        known.heardAgain(patientEveryMs(tables, index), now);
        said.push(this.#say('neighbour-heard', nameOf(row), row.interface, row.neighbour, 'it is heard again'));
      }
    }
    for (const [key, { row, silent }] of gone) {
      this.#neighbourhood.delete(key);
      if (!silent) continue;
      const detail = 'batman-adv has forgotten it';
      said.push(this.#say('neighbour-heard', nameOf(row), row.interface, row.neighbour, detail));
    }
    return [...said, ...this.#ask(now)];
  }

  /** There is a key under which routers believe each other. */
  get canSpeak(): boolean {
    const { keys = null, sending = null, mixed = true } = this.#air ?? {};
    return (keys !== null && sending !== null) || ((keys === null || mixed) && this.settings.key !== '');
  }

  /** Whoever has no key, or is short of time, cannot tell an answer that is late from none. */
  #mayAsk(now: Nanos): boolean {
    return this.canSpeak && this.settings.mode !== 'off' && !this.#shortage.isOn(now);
  }

  /** Those in doubt whose turn it is; when one has left all questions unanswered the tables have the last word. */
  #ask(now: Nanos): Effect[] {
    const effects: Effect[] = [];
    for (const known of this.#asked) {
      const { neighbour, interface: index } = known.row;
      const isKnown = this.#neighbourhood.get(`${index} ${neighbour}`) === known;
      if (!isKnown || known.silent || !known.isAsked || !this.#mayAsk(now)) {
        this.#asked.delete(known);
        known.trust();
      } else if (now >= known.deadline) {
        const isOver = known.ask(now) === 'enough';
        if (isOver) this.#asked.delete(known);
        effects.push(isOver ? { type: 'poll' } : { type: 'emit', event: { type: 'ask', neighbour, interface: index } });
      }
    }
    return effects;
  }

  #originators(tables: Tables, now: Nanos): Effect[] {
    const said: Effect[] = [];
    const hard = new Set(tables.neighbours.map((row) => row.neighbour));
    for (const path of tables.originators) {
      if (hard.has(path.originator)) continue;
      const at = now - path.lastSeenMs * MS;
      // Anybody can invent routers: of who is beyond that it is not told that they are gone.
      if (this.#heard.size >= MOST_HEARD && !this.#heard.has(path.originator)) continue;
      this.#heard.set(path.originator, Math.max(at, this.#heard.get(path.originator) ?? at));
    }
    for (const [originator, at] of this.#heard) {
      const silence = now - at - this.#stalls.since(at);
      // A mesh that broke in two is told of a part at a time.
      if (said.length >= MOST_SAID) break;
      if (silence > this.settings.deadAfterNs && !this.#dead.has(originator)) {
        this.#dead.add(originator);
        const detail = `nothing of it was heard for ${Math.round(silence / SECOND)} s`;
        said.push(this.#say('originator-dead', '', 0, originator, detail));
      } else if (silence <= this.settings.deadAfterNs && this.#dead.delete(originator)) {
        said.push(this.#say('originator-heard', '', 0, originator, 'its OGMs arrive again'));
      }
      // Forgotten after ten times the limit, so that a mesh with passers-by stays small.
      if (silence > 10 * this.settings.deadAfterNs) {
        this.#heard.delete(originator);
        if (this.#dead.delete(originator))
          said.push(this.#say('originator-heard', '', 0, originator, 'it is given up'));
      }
    }
    return said;
  }

  #say(
    what: Symptom['what'],
    iface: string,
    index: IfIndex,
    peer: Mac | null,
    detail: string,
    source?: string,
  ): Effect {
    const symptom = { what, interface: iface, index, peer, detail, ...(source !== undefined && { source }) };
    return { type: 'emit', event: { type: 'symptom', symptom } };
  }
}

function log(message: string, fields: Record<string, unknown>): Effect {
  return { type: 'log', level: 'info', message, fields };
}
