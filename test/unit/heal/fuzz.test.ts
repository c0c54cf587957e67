/**
 * The heal room against a small kernel that goes wrong at random, and people, cables and strangers that do what they
 * like. Then a quiet quarter of an hour, after which nothing may be owed, lent, lost or open. Every sequence follows from
 * its seed: X0_FUZZ_SEED=7 plays number 7 alone and tells what happened.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import type { HealSettings, Tables, WorldEvent } from '../../../agent/core/event.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import type { Mac } from '../../../agent/core/ids.ts';
import { type Change, type Link, type MeshSettings, STOCK_SETTINGS } from '../../../agent/core/kernel.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import type { Decision, Mode } from '../../../agent/core/words.ts';
import { CATALOGUE } from '../../../agent/heal/faults/catalogue.ts';
import { ETH_P_BATMAN, parseOgms, seqnoAhead } from '../../../agent/heal/ogm.ts';
import { decodeFrame, encodeAlarm, encodeEcho, macKey } from '../../../agent/heal/wire.ts';
import { Mesh as MeshRoom } from '../../../agent/mesh/mesh.ts';
import { BAT0, bat0, KEY, ORIGINATOR, ownOgm, port, primary0, Router, tables } from './harness.ts';

const SEQUENCES = 150;
const QUIET: Nanos = 900 * SECOND;
const TICKS_A_SECOND = 300;
const MOST_AHEAD = 48;
/** Each of four interfaces in each of five ways, and the routers; far more would be a leak. */
const MOST_OPEN = 24;
const NO_ANSWER: Nanos = 5 * SECOND;
const UNKNOWN = 'no answer within 5000 ms';
const FORGOTTEN: Nanos = 200 * SECOND;
const ROUTERS: readonly Mac[] = ['02:00:00:00:00:a1', '02:00:00:00:00:a2', '02:00:00:00:00:a3', '02:00:00:00:00:bb'];
const SENDERS: readonly Mac[] = [...ROUTERS, '02:00:00:00:00:71', '02:00:00:00:00:72'];
const LENDABLE = ['origInterval', 'aggregatedOgms'] as const;
const key = macKey(fromHex(KEY));

type Send = Extract<Effect, { type: 'send' }>;
type ChangeEffect = Extract<Effect, { type: 'change' }>;

function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An interface as the kernel has it. `n` is 0 for primary0, which has no neighbours. */
interface Device {
  readonly n: number;
  readonly mac: Mac;
  name: string;
  index: number;
  present: boolean;
  up: boolean;
  cable: boolean;
  master: number;
  /** Its own OGMs count from here; begun anew with each attachment. */
  seqno: number;
  /** The neighbour there says nothing. */
  silent: boolean;
  heardAt: Nanos;
  /** It hears nothing of us. */
  deaf: boolean;
  tq: number;
  hopPenalty: number;
  mtu: number;
  /** The name by which the agent took it out of bat0, if nobody has put it back or given it to another since. */
  takenAs: string | null;
}

interface Mesh {
  readonly index: number;
  readonly settings: MeshSettings;
  primary: Device | null;
  up: boolean;
  readonly addresses: Set<string>;
}

/** One sequence: the kernel, the air, the people, and what must hold at every moment. */
class Sequence {
  readonly trace: string[] = [];
  readonly broken = new Map<string, string>();
  readonly #seed: number;
  readonly #rnd: () => number;
  readonly #router: Router;
  readonly #devices: Device[];
  readonly #ways: readonly (readonly number[])[];
  readonly #dead = new Set<Mac>();
  readonly #heard = new Map<string, Nanos>();
  readonly #best = new Map<Mac, number>();
  #mesh: Mesh | null = { index: BAT0, settings: { ...STOCK_SETTINGS }, primary: null, up: true, addresses: new Set() };
  /** br-lan, of somebody else. */
  readonly #bridge: Link = { ...bat0, index: 12, name: 'br-lan', kind: 'bridge', mac: '02:00:00:00:00:b1' };
  #nextIndex = 100;
  #quiet = false;
  #nextOgm: Nanos;
  #told: Nanos = 0;
  #answered = { route: 0, batadv: 0 };
  #polls = { under: false, again: false, count: 0 };
  /** The interface whose own OGMs the agent hears. */
  #tapped: Device | null = null;
  readonly #later: { at: Nanos; run: () => void }[] = [];
  readonly #armed = new Map<string, Change>();
  /** What these may be without the agent having forgotten something: as they began, and as somebody set them. */
  readonly #allowed = {
    origInterval: new Set<unknown>([STOCK_SETTINGS.origInterval]),
    aggregatedOgms: new Set<unknown>([true]),
  };
  /** The kernel's last own sequence numbers on the air, by originator. */
  readonly #onAir = new Map<Mac, number>([[ORIGINATOR, 1000]]);
  readonly #decisions: Decision[] = [];
  readonly #rehearsals: Nanos[] = [];
  /** What somebody has set: none of ours is left behind. */
  readonly #wished = { hopPenalty: new Set([0]) };
  #aired: Nanos = 1e12;
  #busy = false;
  #storm = false;
  #looping = '';
  #clockMs = 1.8e12;
  readonly #counted = { at: 1e12, packets: new Map<string, number>() };
  readonly #kicks: Nanos[] = [];
  readonly #frames: string[] = [];
  #ticks = { second: 0, count: 0 };
  #counter = 0;
  #budget = { least: 20, since: 0 };

  constructor(seed: number) {
    this.#seed = seed;
    this.#rnd = mulberry32(seed);
    const alive = { present: true, up: true, cable: true, silent: false, deaf: false, takenAs: null };
    const begun = { ...alive, master: BAT0, heardAt: 0, tq: 255, hopPenalty: 0, mtu: 1532 };
    this.#devices = [1, 2, 3].map((n) => {
      const { mac, name, index } = port(n);
      return { ...begun, n, mac, name, index, seqno: this.#int(2 ** 32) };
    });
    const { mac, name, index } = primary0;
    this.#devices.push({ ...begun, n: 0, mac, name, index, seqno: 1000 });
    this.#mesh!.primary = this.#tapped = this.#devices[3]!;
    // The first three are neighbours, each behind its own port and perhaps behind others; the fourth is further off.
    this.#ways = ROUTERS.map((_, i) => [1, 2, 3].filter((n) => n === i + 1 || this.#is(0.6)));
    const own = this.#is(0.3);
    const settings: Partial<HealSettings> = {
      own,
      hardInterfaces: own ? ['eth1', 'eth2', 'eth3'] : [],
      echoNs: this.#is(0.5) ? 10 * SECOND : 0,
    };
    const links = [...this.#devices.map((device) => this.#link(device)), this.#bridge];
    this.#router = new Router(settings, links, this.#tables(1e12), { machines: [new MeshRoom()], carryOut() {} });
    // In half of the sequences all that else has to be earned is repaired.
    if (this.#is(0.5))
      for (const { class: kind } of CATALOGUE)
        this.#feed({ type: 'class-mode-asked', by: 'root', class: kind, mode: 'act' });
    this.#nextOgm = this.now + this.#int(1000) * MS;
    this.#note(`begins, ${own ? 'own' : 'adopted'}; ways ${JSON.stringify(this.#ways)}`);
  }

  get now(): Nanos {
    return this.#router.now;
  }

  run(): void {
    for (let steps = 5 + this.#int(30); steps > 0; steps--) {
      this.#outside();
      const x = this.#rnd();
      const pause = x < 0.4 ? this.#rnd() * 20 * MS : x < 0.7 ? this.#rnd() * SECOND : this.#rnd() * 40 * SECOND;
      // Now and then the agent is not given its turn for a while.
      if (this.#is(0.05)) this.#router.now += this.#rnd() * 4 * SECOND;
      this.#live(pause);
    }
    this.#quieten();
    this.#live(QUIET);
    this.#atTheEnd();
  }

  // --- the agent's side ------------------------------------------------------------------------------------------

  #feed(event: WorldEvent): void {
    const { runtime, room, effects } = this.#router;
    runtime.feed(event, this.now);
    const turn = effects.splice(0);
    const { mode, kickBudget } = room.monitor.settings;
    this.#check(room.analyse.open().length <= MOST_OPEN, 'faults', `${room.analyse.open().length} faults are open`);
    if (event.type === 'settings') this.#budget = { least: kickBudget, since: this.now };
    for (const effect of turn) this.#served(effect, mode);
  }

  #served(effect: Effect, mode: Mode): void {
    switch (effect.type) {
      case 'log': {
        const isBug = effect.fields.code === 'E_BUG' || /^(machine|the turn|the world) .*failed/.test(effect.message);
        this.#check(!isBug, 'errors', effect.message);
        if (effect.message.startsWith('kick: ')) this.#kicked();
        return;
      }
      case 'journal': {
        const { fault, step, action, result } = effect.decision;
        this.#decisions.push(effect.decision);
        this.#note(`  ${fault.id} ${fault.class} ${fault.interface ?? ''} ${step} ${action}: ${result ?? ''}`);
        return;
      }
      case 'poll':
        this.#poll();
        return;
      case 'disarm':
        this.#armed.delete(effect.id);
        return;
      case 'send':
        this.#sent(effect, mode);
        return;
      case 'change':
        this.#asked(effect, mode);
        return;
      case 'survey':
        this.#surveyed(effect);
        return;
      case 'rehearse': {
        this.#rehearsals.push(this.now);
        const verdict = (['better', 'same', 'worse', 'unknown'] as const)[this.#int(4)]!;
        if (this.#is(0.8))
          this.#in(this.#rnd() * SECOND, () =>
            this.#feed({ type: 'rehearsed', id: effect.id, verdict, detail: 'at random' }),
          );
        return;
      }
      case 'remember':
        this.#check(effect.value === null || effect.value.length < 200, 'memories', `${effect.key} is long`);
    }
  }

  #surveyed({ of }: Extract<Effect, { type: 'survey' }>): void {
    const after = this.#rnd() * 20 * MS;
    if (of.includes('vitals'))
      this.#in(after, () =>
        this.#feed({
          type: 'vitals',
          vitals: {
            busy: this.#busy ? 1 : 0.2,
            ownBusy: 0.01,
            lateNs: 0,
            availableKib: 90_000,
            totalKib: 256_000,
            rssKib: 70_000,
            flashKib: 5000,
            wallOffsetMs: this.#clockMs,
          },
        }),
      );
    if (of.includes('stations'))
      this.#in(after, () =>
        this.#feed({
          type: 'stations',
          stations: { local: 1, remote: 1, disputed: this.#storm ? [[SENDERS[4]!, ROUTERS[0]!]] : [], tables: [] },
        }),
      );
    if (!of.includes('counters')) return;
    const seconds = (this.now - this.#counted.at) / SECOND;
    this.#counted.at = this.now;
    const rate = (name: string) => (this.#storm && name === 'bat0' ? 5000 : name === this.#looping ? 3000 : 4);
    for (const name of ['bat0', ...this.#devices.map((device) => device.name)])
      this.#counted.packets.set(name, (this.#counted.packets.get(name) ?? 0) + rate(name) * seconds);
    const interfaces = [...this.#counted.packets].map(([name, n]) => ({
      name,
      rxPackets: n,
      rxBytes: n * 80,
      rxMulticast: 0,
      txPackets: n,
      txBytes: n * 80,
    }));
    this.#in(after, () => this.#feed({ type: 'counters', interfaces }));
  }

  #kicked(): void {
    this.#kicks.push(this.now);
    const { least, since } = this.#budget;
    const lately = this.#kicks.filter((at) => at > this.now - 60 * SECOND && at >= since).length;
    this.#check(lately <= least, 'kick budget', `${lately} kicks within a minute, ${least} are allowed`);
  }

  #sent({ frames }: Send, mode: Mode): void {
    if (frames.length === 0) return;
    this.#check(mode !== 'off', 'modes', 'a frame is sent in mode off');
    for (const { interface: index, frame } of frames) {
      const bytes = fromHex(frame);
      if (frame.slice(24, 28) === ETH_P_BATMAN.toString(16)) {
        this.#check(mode === 'act', 'modes', `an OGM is sent in mode ${mode}`);
        for (const ogm of parseOgms(bytes)) {
          const ahead = seqnoAhead(ogm.seqno, this.#onAir.get(ogm.originator) ?? ogm.seqno);
          this.#check(ahead <= MOST_AHEAD, 'numbers', `${ogm.originator} is ${ahead} ahead of its kernel`);
        }
        continue;
      }
      const heard = decodeFrame(bytes, key);
      const device = this.#devices.find((one) => one.present && one.index === index);
      if (heard.kind !== 'echo' || heard.echo.reply || device === undefined || !this.#hears(device)) continue;
      if (!this.#quiet && this.#is(0.2)) continue;
      const reply = encodeEcho({ ...heard.echo, reply: true }, device.mac, neighbourOf(device), key);
      this.#in(2 * MS, () => this.#feed({ type: 'frame', interface: index, frame: toHex(reply) }));
    }
  }

  #live(span: Nanos): void {
    const { runtime } = this.#router;
    const end = this.now + span;
    for (;;) {
      const next = this.#later.reduce((a, b) => (b.at < a.at ? b : a), { at: Number.POSITIVE_INFINITY, run: () => {} });
      const at = Math.min(runtime.deadline(), this.#nextOgm, next.at);
      if (at > end || this.broken.has('spin')) break;
      this.#router.now = Math.max(this.now, at);
      if (next.at <= at) {
        this.#later.splice(this.#later.indexOf(next), 1);
        next.run();
      } else if (this.#nextOgm <= at) this.#ogm();
      else this.#tick();
    }
    this.#router.now = Math.max(this.now, end);
  }

  #tick(): void {
    const { runtime } = this.#router;
    const second = Math.floor(this.now / SECOND);
    this.#ticks = { second, count: this.#ticks.second === second ? this.#ticks.count + 1 : 1 };
    this.#check(this.#ticks.count <= TICKS_A_SECOND, 'spin', `more than ${TICKS_A_SECOND} ticks in a second`);
    this.#feed({ type: 'tick' });
    if (runtime.deadline() > this.now) return;
    const who = runtime.machines.filter((machine) => machine.deadline() <= this.now).map(({ name }) => name);
    this.#check(false, 'deadline', `after a tick ${who.join()} still wants one`);
  }

  // --- the kernel ------------------------------------------------------------------------------------------------

  /** One change, as the host asks for it and netlink carries it out: at once, told and answered a little later. */
  #asked({ id, change, undo }: ChangeEffect, mode: Mode): void {
    this.#note(`  change ${id} ${JSON.stringify(change)}`);
    if (id.startsWith('mend-') && !id.endsWith('-back') && (change.kind === 'set-mesh' || change.kind === 'set-mtu'))
      this.#check(this.now - (this.#rehearsals.at(-1) ?? 0) < 10 * SECOND, 'rehearsed', `${id} was not rehearsed`);
    if (id.startsWith('mend-') && !id.endsWith('-back')) this.#check(undo !== null, 'undo', `${id} has no undo`);
    this.#checkChange(id, change, mode);
    const name = 'interface' in change ? change.interface : change.mesh;
    const wasArmed = this.#armed.has(id);
    const answer = (error: string | null, after: Nanos) =>
      this.#in(after, () => {
        if (error !== null) this.#note(`  answer ${id}: ${error}`);
        // What the kernel refused needs no undo, unless it was out already; where it said nothing the undo stays.
        if (error !== null && error !== UNKNOWN && this.#armed.get(id) === undo && !wasArmed) this.#armed.delete(id);
        this.#feed({ type: 'change-done', id, error });
      });
    const unknown = [change, undo].flatMap((one) => (one === null ? [] : this.#unknown(one)))[0];
    if (unknown !== undefined) {
      answer(`there is no interface ${unknown}`, 0);
      return;
    }
    if (undo !== null) this.#armed.set(id, undo);
    const x = this.#quiet ? 1 : this.#rnd();
    if (x < 0.1) {
      // Nobody knows: what the interface is now is told before the error.
      const error = x < 0.05 ? 'not done' : this.#carryOut(change, mode);
      this.#note(`  no answer to ${id}: ${error ?? 'done'}`);
      this.#in(NO_ANSWER, () => {
        const device = this.#byName(name);
        if (device !== undefined) this.#tell(device, 0);
        if (name === 'bat0' && this.#mesh !== null) this.#tellMesh(0);
        answer(UNKNOWN, 0);
      });
      return;
    }
    const error = x < 0.22 ? 'Device or resource busy' : this.#carryOut(change, mode);
    const isSlow = !this.#quiet && this.#is(0.15);
    const after = isSlow ? this.#rnd() * NO_ANSWER : this.#rnd() * (this.#quiet ? 1 : 3) * MS;
    // One connection for routes, one for batman-adv: each answers in the order in which it was asked.
    const which = change.kind === 'set-mesh' ? 'batadv' : 'route';
    const told = change.kind.startsWith('create') ? this.#told : 0;
    this.#answered[which] = Math.max(this.#answered[which], this.now + after, told);
    answer(error, this.#answered[which] - this.now);
    this.#checkArmed(change);
  }

  /** Interfaces of a change that the agent's host knows nothing of: then nothing goes out. */
  #unknown(change: Change): string[] {
    if (change.kind.startsWith('create') || change.kind === 'set-up') return [];
    const names = [
      'interface' in change ? change.interface : change.mesh,
      ...(change.kind === 'set-master' && change.master !== null ? [change.master] : []),
    ];
    return names.filter((name) => this.#toldIndex(name) === undefined);
  }

  #toldIndex(name: string): number | undefined {
    return [...this.#router.room.monitor.links.values()].find((link) => link.name === name)?.index;
  }

  #carryOut(change: Change, mode: Mode): string | null {
    // Names that the agent's host has made indexes of: whoever has the name since is another.
    const toldMesh = this.#toldIndex('bat0');
    const mesh = this.#mesh?.index === toldMesh || change.kind.startsWith('create') ? this.#mesh : null;
    switch (change.kind) {
      case 'set-master': {
        if (change.interface === 'bat0') return mesh === null ? 'No such device' : null;
        const index = this.#toldIndex(change.interface);
        const device = this.#devices.find((one) => one.present && one.index === index);
        if (device === undefined) return 'No such device';
        if (change.master === null) {
          this.#checkTakingOut(device, mode);
          if (device.master === mesh?.index) device.takenAs = device.name;
          this.#setMaster(device, 0);
          return null;
        }
        if (mesh === null) return 'No such device';
        this.#setMaster(device, mesh.index);
        return null;
      }
      case 'set-up': {
        if (change.interface === 'bat0') {
          if (this.#mesh === null) return 'No such device';
          this.#mesh.up = change.up;
          this.#tellMesh();
          return null;
        }
        const device = this.#byName(change.interface);
        if (device === undefined) return 'No such device';
        this.#setUp(device, change.up);
        return null;
      }
      case 'set-mesh':
        if (mesh === null) return 'No such device';
        Object.assign(mesh.settings, change.settings);
        return null;
      case 'netifd-up':
      case 'netifd-radio':
        return 'netifd does not run';
      case 'set-hard':
      case 'set-mtu': {
        const device = this.#byName(change.interface);
        if (device === undefined) return 'No such device';
        if (change.kind === 'set-hard' && device.master !== mesh?.index) return 'No such device';
        if (change.kind === 'set-hard') device.hopPenalty = change.settings.hopPenalty!;
        else {
          device.mtu = change.mtu;
          this.#tell(device);
        }
        return null;
      }
      case 'create-mesh':
        if (mesh !== null) return 'File exists';
        this.#createMesh();
        return null;
      case 'create-bridge':
        return this.#byName(change.interface) === undefined ? 'not simulated' : 'File exists';
      case 'add-address': {
        const { address } = change.address;
        if (mesh === null) return 'No such device';
        if (mesh.addresses.has(address)) return 'File exists';
        mesh.addresses.add(address);
        return null;
      }
    }
  }

  #createMesh(): void {
    const settings = { ...STOCK_SETTINGS };
    this.#mesh = { index: this.#nextIndex++, settings, primary: null, up: false, addresses: new Set() };
    this.#tellMesh();
  }

  #deleteMesh(): void {
    const mesh = this.#mesh;
    if (mesh === null) return;
    for (const device of this.#devices) if (device.master === mesh.index) this.#setMaster(device, 0);
    this.#mesh = null;
    this.#in(this.#soon(), () => this.#feed({ type: 'link-gone', index: mesh.index, name: 'bat0' }));
  }

  #setMaster(device: Device, master: number): void {
    if (device.master === master) return;
    const mesh = this.#mesh;
    device.master = master;
    if (master !== 0) device.takenAs = null;
    if (mesh !== null && master === mesh.index) {
      device.seqno = this.#int(2 ** 32);
      device.heardAt = this.now;
      if (device.up) mesh.primary ??= device;
    } else if (mesh?.primary === device) {
      mesh.primary = this.#attached().find((one) => one.up) ?? null;
    }
    this.#tell(device);
  }

  #setUp(device: Device, up: boolean): void {
    if (device.up === up) return;
    device.up = up;
    if (up && this.#mesh !== null && device.master === this.#mesh.index) this.#mesh.primary ??= device;
    this.#tell(device);
  }

  #attached(): Device[] {
    const index = this.#mesh?.index;
    return this.#devices.filter((device) => device.present && device.master === index);
  }

  #byName(name: string): Device | undefined {
    return this.#devices.find((device) => device.present && device.name === name);
  }

  #link({ n, name, index, mac, up, cable, master, mtu }: Device): Link {
    const over = { name, index, mac, up, carrier: up && cable, master, mtu };
    return n === 0 ? { ...primary0, ...over } : port(n, over);
  }

  #tell(device: Device, after = this.#soon()): void {
    const link = this.#link(device);
    if (device.present) this.#in(after, () => this.#feed({ type: 'link', link, cause: 'event' }));
  }

  #tellMesh(after = this.#soon()): void {
    const link = { ...bat0, index: this.#mesh!.index, up: this.#mesh!.up };
    this.#in(after, () => this.#feed({ type: 'link', link, cause: 'event' }));
  }

  /** Links are told in the order in which they changed. */
  #soon(): Nanos {
    const after = this.#quiet ? 0 : this.#is(0.1) ? 50 * MS : this.#rnd() * 2 * MS;
    this.#told = Math.max(this.#told, this.now + after);
    return this.#told - this.now;
  }

  #in(after: Nanos, run: () => void): void {
    this.#later.push({ at: Math.round(this.now + after), run });
  }

  #ogm(): void {
    const interval = this.#mesh?.settings.origInterval ?? 1000;
    this.#nextOgm += Math.max(20, interval + this.#int(40) - 20) * MS;
    for (const device of this.#attached()) {
      if (!device.up) continue;
      device.seqno = (device.seqno + 1) >>> 0;
      if (device === this.#mesh!.primary) this.#onAir.set(device.mac, device.seqno);
      if (device === this.#mesh!.primary && device === this.#tapped) this.#feed(ownOgm(device.seqno, device.mac));
    }
  }

  #poll(): void {
    if (this.#polls.under) {
      this.#polls.again = true;
      return;
    }
    this.#polls.under = true;
    const read = this.#tables(this.now);
    this.#in(this.#rnd() * (this.#quiet ? 2 : 20) * MS, () => {
      this.#polls.under = false;
      this.#tapped = this.#devices.find(({ mac }) => mac === read.mesh?.primary?.mac) ?? this.#tapped;
      this.#feed({ type: 'tables', tables: read });
      const addresses = [...(this.#mesh?.addresses ?? [])].map(
        (address) => ({ family: 4, address, prefix: 24 }) as const,
      );
      if (this.#polls.count++ % 10 === 0) this.#feed({ type: 'addresses', interface: 'bat0', addresses });
      if (!this.#polls.again) return;
      this.#polls.again = false;
      this.#poll();
    });
  }

  // --- the air ---------------------------------------------------------------------------------------------------

  #hears(device: Device): boolean {
    return device.n > 0 && device.present && device.up && device.cable && !device.silent;
  }

  #tables(now: Nanos): Tables {
    const mesh = this.#mesh;
    if (mesh === null) return { mesh: null, hardInterfaces: [], originators: [], neighbours: [], gateways: [] };
    const attached = this.#attached();
    for (const device of attached) {
      // Of 64 OGMs one more is missed a second.
      const dt = Math.max(0, now - this.#aired) / SECOND;
      device.tq = Math.min(255, Math.max(0, device.tq + (device.deaf ? -4 : 4) * dt));
    }
    this.#aired = now;
    for (const device of attached)
      if (this.#hears(device)) device.heardAt = now - ((now + device.n * 137 * MS) % SECOND);
    const members = attached.filter(({ n, heardAt }) => n > 0 && now - heardAt < FORGOTTEN);
    const rows = ROUTERS.flatMap((originator, i) => this.#paths(originator, this.#ways[i]!, members, now));
    const neighbours = members.map(({ n, heardAt }): [Mac, number, number] => [
      neighbourMac(n),
      n,
      Math.round((now - heardAt) / MS),
    ]);
    const { primary } = mesh;
    const read = tables([], neighbours, { index: mesh.index, settings: { ...mesh.settings } });
    const { primary: _, ...info } = read.mesh!;
    const named = primary && { primary: { index: primary.index, name: primary.name, mac: primary.mac } };
    const asIs = ({ interface: at, ...row }: { interface: number }) => {
      const { index, name } = this.#devices[at - 21]!;
      return { ...row, interface: index, interfaceName: name };
    };
    return {
      ...read,
      mesh: { ...info, ...named },
      hardInterfaces: attached.map(({ index, name, mac, up, hopPenalty }) => ({
        index,
        name,
        mac,
        active: up,
        hopPenalty,
      })),
      neighbours: read.neighbours.map((row) => ({ ...row, ...asIs(row) })),
      originators: [
        ...rows,
        ...members.map((device) => ({
          originator: neighbourOf(device),
          neighbour: neighbourOf(device),
          interface: device.index,
          interfaceName: device.name,
          best: true,
          lastSeenMs: Math.round((now - device.heardAt) / MS),
          tq: shown(255, device),
        })),
      ],
    };
  }

  /** The rows of one originator: the best stays the best until it is five OGMs behind another. */
  #paths(originator: Mac, ways: readonly number[], members: readonly Device[], now: Nanos): Tables['originators'] {
    const open = members.filter(({ n }) => ways.includes(n));
    const rows = open.map((device) => {
      const id = `${originator} ${device.index} ${device.seqno >= 0 ? this.#mesh!.index : 0}`;
      if (this.#hears(device) && !this.#dead.has(originator)) this.#heard.set(id, device.heardAt);
      return { device, at: this.#heard.get(id) ?? Number.NEGATIVE_INFINITY };
    });
    const known = rows.filter(({ at }) => now - at < FORGOTTEN);
    const newest = Math.max(...known.map(({ at }) => at));
    const usable = known.filter(({ at }) => newest - at < 5 * SECOND);
    const worth = ({ device }: { device: Device }) => shown(255 - 20 * device.n, device);
    const top = [...usable].sort((a, b) => worth(b) - worth(a))[0];
    const kept = usable.find(({ device }) => device.n === this.#best.get(originator)) ?? usable[0];
    const best = kept !== undefined && worth(kept) < 0.8 * worth(top!) ? top : kept;
    if (best !== undefined) this.#best.set(originator, best.device.n);
    return known.map(({ device, at }) => ({
      originator,
      neighbour: neighbourOf(device),
      interface: device.index,
      interfaceName: device.name,
      best: device === best?.device,
      lastSeenMs: Math.round((now - at) / MS),
      tq: shown(255 - 20 * device.n, device),
    }));
  }

  // --- people, cables, strangers ---------------------------------------------------------------------------------

  #outside(): void {
    const device = this.#devices[this.#int(3)]!;
    const { name } = device;
    const does = (what: string) => this.#note(what);
    if (this.#is(0.25)) {
      this.#subtle(device, does);
      return;
    }
    const x = this.#rnd();
    if (x < 0.28) {
      device.cable = !device.cable;
      does(`carrier of ${name} ${device.cable ? 'back' : 'lost'}`);
      this.#tell(device);
    } else if (x < 0.36) {
      does(`${name} is ${device.present ? 'unplugged' : 'plugged in'}`);
      if (device.present) this.#unplug(device);
      else this.#plug(device, this.#is(0.5), this.#is(0.7));
    } else if (x < 0.42) {
      const one = this.#is(0.15) ? this.#devices[3]! : device;
      does(`somebody takes ${one.name} out of its master`);
      one.takenAs = null;
      if (one.present) this.#setMaster(one, 0);
    } else if (x < 0.46) {
      does(`somebody gives ${name} to br-lan`);
      if (device.present) this.#setMaster(device, this.#bridge.index);
    } else if (x < 0.49) {
      does(`somebody gives ${name} to bat0`);
      if (device.present && this.#mesh !== null) this.#setMaster(device, this.#mesh.index);
    } else if (x < 0.54) {
      does(`somebody sets ${name} ${device.up ? 'down' : 'up'}`);
      if (device.present) this.#setUp(device, !device.up);
    } else if (x < 0.58) {
      does('somebody deletes bat0');
      this.#deleteMesh();
    } else if (x < 0.6) {
      this.#makeMesh();
    } else if (x < 0.62) {
      if (!device.present) return;
      device.name = name.startsWith('eth') ? `lan${device.n}` : `eth${device.n}`;
      does(`${name} is renamed ${device.name}`);
      this.#tell(device);
    } else if (x < 0.72) {
      if (!device.present || !device.up || !device.cable) return;
      const frame = this.#alarm();
      does(`alarm on ${name}`);
      this.#feed({ type: 'frame', interface: device.index, frame });
    } else if (x < 0.76) {
      device.silent = !device.silent;
      does(`the neighbour on ${name} is ${device.silent ? 'silent' : 'heard'}`);
    } else if (x < 0.78) {
      // True or not.
      const what = this.#is(0.5) ? 'station-gone' : 'packets-lost';
      const { index } = device;
      does(`the radio of ${name} says ${what}`);
      this.#feed({ type: 'neighbour-evidence', interface: index, neighbour: neighbourOf(device), what, at: this.now });
    } else if (x < 0.81) {
      const originator = ROUTERS[this.#int(ROUTERS.length)]!;
      if (!this.#dead.delete(originator)) this.#dead.add(originator);
      does(`${originator} is ${this.#dead.has(originator) ? 'dead' : 'alive'}`);
    } else if (x < 0.88) {
      const mode = (['off', 'observe', 'act', 'act'] as const)[this.#int(4)]!;
      does(`mode ${mode}`);
      this.#feed({ type: 'mode-asked', by: 'root', mode });
    } else if (x < 0.93) {
      this.#settings();
    } else if (x < 0.97) {
      const lost = this.#is(0.5) ? null : neighbourOf(device);
      const times = this.#is(0.2) ? 12 : 1;
      does(`${times} kicks are asked for, ${lost}`);
      for (let i = 0; i < times; i++) {
        this.#feed({ type: 'kick-asked', by: 'root', lost });
        this.#live(this.#rnd() * 2 * SECOND);
      }
    } else if (this.#mesh !== null) {
      const origInterval = [500, 1000, 2000][this.#int(3)]!;
      does(`somebody sets the interval to ${origInterval}`);
      this.#allowed.origInterval.add(origInterval);
      Object.assign(this.#mesh.settings, { origInterval });
    }
  }

  /** What no event of the kernel tells of. */
  #subtle(device: Device, does: (what: string) => void): void {
    const { name } = device;
    switch (this.#int(8)) {
      case 0:
        device.deaf = !device.deaf;
        does(`the neighbour on ${name} ${device.deaf ? 'no longer hears' : 'hears'} us`);
        return;
      case 1:
        device.hopPenalty = [0, 20, 50][this.#int(3)]!;
        this.#wished.hopPenalty.add(device.hopPenalty);
        does(`somebody sets the hop penalty of ${name} to ${device.hopPenalty}`);
        return;
      case 2:
        device.mtu = [1400, 1532][this.#int(2)]!;
        does(`somebody sets the MTU of ${name} to ${device.mtu}`);
        if (device.present) this.#tell(device);
        return;
      case 3:
        if (this.#mesh === null) return;
        this.#mesh.up = this.#is(0.3);
        does(`somebody sets bat0 ${this.#mesh.up ? 'up' : 'down'}`);
        this.#tellMesh();
        return;
      case 4:
        this.#storm = !this.#storm;
        does(`a storm ${this.#storm ? 'begins' : 'ends'}`);
        return;
      case 5:
        this.#looping = this.#looping === '' ? name : '';
        does(`packets circle over ${this.#looping || 'nothing'}`);
        return;
      case 6:
        this.#busy = !this.#busy;
        does(`the router is ${this.#busy ? 'busy' : 'idle'}`);
        return;
      default:
        this.#clockMs += (this.#rnd() - 0.5) * 1e7;
        does('the wall clock jumps');
    }
  }

  #unplug(device: Device): void {
    // As a rule the kernel tells first that it goes down and leaves its master.
    if (this.#is(0.7)) {
      this.#setUp(device, false);
      this.#setMaster(device, 0);
    }
    const { index, name } = device;
    if (this.#mesh?.primary === device) this.#setMaster(device, 0);
    device.present = false;
    device.takenAs = null;
    device.master = 0;
    this.#in(this.#soon(), () => this.#feed({ type: 'link-gone', index, name }));
  }

  #plug(device: Device, up: boolean, cable: boolean): void {
    device.index = this.#nextIndex++;
    device.hopPenalty = 0;
    device.mtu = 1532;
    device.present = true;
    device.up = up;
    device.cable = cable;
    this.#tell(device);
  }

  /** Somebody, netifd perhaps, makes bat0 and puts in some of what belongs there. */
  #makeMesh(): void {
    if (this.#mesh !== null) this.#deleteMesh();
    this.#note('somebody makes bat0 anew');
    this.#createMesh();
    for (const device of [this.#devices[3]!, ...this.#devices.slice(0, 3)])
      if (device.present && device.master === 0 && this.#is(0.7)) this.#setMaster(device, this.#mesh!.index);
  }

  #settings(): void {
    const { settings } = this.#router.room.monitor;
    const origIntervalMs = [0, 0, 1000, 500][this.#int(4)]!;
    if (origIntervalMs > 0) this.#allowed.origInterval.add(origIntervalMs);
    const over: Partial<HealSettings> = {
      mode: (['off', 'observe', 'act', 'act', 'act'] as const)[this.#int(5)]!,
      origIntervalMs,
      kickCount: 1 + this.#int(32),
      kickSpacingNs: (1 + this.#int(20)) * MS,
      kickBudget: [2, 6, 20, 100][this.#int(4)]!,
      senderBudget: [1, 6, 60][this.#int(3)]!,
      detach: this.#is(0.8),
      reattach: this.#is(0.8),
      recreate: this.#is(0.8),
      reattachDampingNs: this.#int(3) * 5 * SECOND,
      deadAfterNs: this.#is(0.5) ? 60 * SECOND : 10 * SECOND,
      echoNs: this.#int(3) * 5 * SECOND,
    };
    this.#note(`settings ${JSON.stringify(over)}`);
    this.#feed({ type: 'settings', settings: { ...settings, ...over } });
  }

  #alarm(): string {
    const x = this.#rnd();
    if (x < 0.2 && this.#frames.length > 0) return this.#frames[this.#int(this.#frames.length)]!;
    const sender = SENDERS[this.#int(SENDERS.length)]!;
    const { mac } = this.#devices[this.#int(3)]!;
    const affected = [[], [ORIGINATOR], ['02:00:00:00:00:55']][this.#int(3)]!;
    this.#counter += this.#is(0.05) ? 1000 : 1;
    const kind = (['link-down', 'neighbour-lost', 'interface-gone', 'kick'] as const)[this.#int(4)]!;
    const alarm = {
      sender,
      epoch: 1,
      counter: this.#counter,
      kind,
      near: sender,
      far: mac,
      affected,
      hops: this.#int(12),
    };
    const frame = toHex(encodeAlarm(alarm, sender, key));
    this.#frames.push(frame);
    if (x < 0.8) return frame;
    if (x < 0.9) return frame.slice(0, 2 * this.#int(frame.length / 2));
    const at = 2 * this.#int(frame.length / 2);
    return `${frame.slice(0, at)}${this.#int(256).toString(16).padStart(2, '0')}${frame.slice(at + 2)}`;
  }

  /** Nobody does anything any more but mend: cables, routers, settings. Masters and bat0 are for the agent to mend. */
  #quieten(): void {
    this.#note('quiet');
    this.#quiet = true;
    const { settings } = this.#router.room.monitor;
    const calm = { detach: true, reattach: true, recreate: true, kickBudget: 20, deadAfterNs: 60 * SECOND };
    this.#feed({ type: 'settings', settings: { ...settings, ...calm, mode: 'act' } });
    this.#feed({ type: 'mode-asked', by: 'root', mode: 'act' });
    this.#dead.clear();
    this.#storm = this.#busy = false;
    this.#looping = '';
    for (const device of this.#devices) {
      device.deaf = false;
      this.#in(this.#rnd() * 60 * SECOND, () => {
        device.silent = false;
        this.#note(`${device.name} is made whole`);
        if (!device.present) return this.#plug(device, true, true);
        if (!device.cable) {
          device.cable = true;
          this.#tell(device);
        }
        this.#setUp(device, true);
      });
    }
  }

  // --- what must hold --------------------------------------------------------------------------------------------

  /** In a mode that does not act, only what was lent or taken out is given back. */
  #checkChange(id: string, change: Change, mode: Mode): void {
    if (mode === 'act') return;
    const isAsBefore = (name: (typeof LENDABLE)[number], { [name]: value }: Partial<MeshSettings>) =>
      value === undefined || this.#allowed[name].has(value);
    const isReturn =
      /^mend-.*-back$/.test(id) ||
      (change.kind === 'set-master' &&
        change.master !== null &&
        this.#router.room.knowledge.detached.has(change.interface)) ||
      (change.kind === 'set-up' && this.#router.room.knowledge.detached.has(change.interface)) ||
      (change.kind === 'set-mesh' &&
        id.startsWith('loan-') &&
        LENDABLE.every((name) => isAsBefore(name, change.settings)));
    this.#check(isReturn, 'modes', `${id} ${JSON.stringify(change)} in mode ${mode}`);
  }

  #checkTakingOut(device: Device, mode: Mode): void {
    this.#check(mode === 'act', 'modes', `${device.name} is taken out in mode ${mode}`);
    if (device.master !== this.#mesh?.index) return;
    this.#check(this.#mesh.primary !== device, 'primary', `the primary ${device.name} is taken out`);
    // As the agent has been told: what broke in the same millisecond it cannot know yet.
    const links = [...this.#router.room.monitor.links.values()];
    const others = links.filter(
      ({ index, master, up, carrier, name }) =>
        index !== device.index && master === this.#mesh?.index && up && carrier && name !== 'primary0',
    );
    this.#check(others.length > 0, 'last', `${device.name} is taken out, and no usable one is left`);
  }

  /** Should the agent die now, nothing of what it lent or took would be left behind. */
  #checkArmed(change: Change): void {
    if (change.kind === 'set-mesh')
      for (const name of LENDABLE) {
        const isOut = this.#mesh !== null && !this.#allowed[name].has(this.#mesh.settings[name]);
        this.#check(!isOut || this.#armed.has(`loan-${name}`), 'undo', `${name} is lent and no undo is armed`);
      }
    for (const { takenAs, name } of this.#devices)
      this.#check(takenAs === null || this.#armed.has(`detach-${takenAs}`), 'undo', `${name} is out, no undo is armed`);
  }

  #atTheEnd(): void {
    const { room } = this.#router;
    const mesh = this.#mesh;
    const owed = [...room.knowledge.detached.keys()];
    this.#check(owed.length === 0, 'owed', `${owed.join()} is owed`);
    const armed = [...this.#armed].filter(([, change]) => !this.#isOutside(change)).map(([id]) => id);
    this.#check(armed.length === 0, 'armed', `${armed.join()} is armed`);
    for (const name of LENDABLE) {
      const value = mesh?.settings[name];
      this.#check(mesh === null || this.#allowed[name].has(value), 'settings', `${name} is left at ${value}`);
    }
    const insisted = (name: string) => this.#insisted(name);
    this.#check(mesh !== null || insisted('bat0'), 'members', 'there is no bat0');
    for (const { name, master, present, up, cable, takenAs } of this.#devices) {
      const isFree = present && up && cable && master === 0 && room.monitor.members.has(name);
      this.#check(mesh === null || !isFree || insisted(name), 'members', `${name} is not under bat0`);
      this.#check(takenAs === null || !present, 'taken', `${name} was taken out by the agent and is still out`);
    }
    for (const { name, hopPenalty } of this.#devices)
      this.#check(this.#wished.hopPenalty.has(hopPenalty), 'settings', `the hop penalty of ${name} is ${hopPenalty}`);
    const isStuck = (name: string | null) => [...this.#armed.values()].some((one) => nameIn(one) === name);
    const { length: mending } = room.mend.busy().filter(({ fault }) => !isStuck(fault.interface));
    this.#check(mending === 0, 'busy', `${mending} repairs of settings are still in force`);
    for (const fault of room.analyse.open())
      this.#check(!this.#isWhole(fault.class, fault.interface, fault.peer), 'open', describe(fault));
    this.#check(room.execute.busy().length === 0, 'busy', 'a repair is still under way');
  }

  /** What batman-adv keeps of an interface can be put back when it is in the mesh again, and not before. */
  #isOutside(change: Change): boolean {
    const device = this.#devices.find(({ name }) => name === nameIn(change));
    return change.kind === 'set-hard' && device?.present === true && device.master !== this.#mesh?.index;
  }

  /** A person took it out again and again, and the journal says that it is left to that person. */
  #insisted(name: string): boolean {
    const about = this.#decisions.filter(({ fault }) => fault.interface === name);
    return about.some(({ alternatives }) => alternatives.some(({ refused }) => refused?.includes('again and again')));
  }

  #isWhole(fault: string, name: string | null, peer: Mac | null): boolean {
    const device = this.#byName(name ?? '');
    switch (fault) {
      case 'mesh-vanished':
        return this.#mesh !== null;
      case 'router-dead':
        return true;
      // A setting that somebody changed stays changed, until it is taken as meant.
      case 'config-drift':
      case 'mtu-trouble':
      case 'mesh-misconfigured':
        return false;
      case 'link-lossy':
      case 'link-slow':
      case 'link-one-way':
      case 'link-flapping':
        return device === undefined || this.#hears(device);
      case 'partition':
      case 'neighbour-dead':
      case 'broadcast-storm':
      case 'routing-loop':
      case 'overload':
      case 'clock-stepped':
        return true;
      case 'interface-vanished':
        return device !== undefined;
      case 'interface-fell-out':
        return device !== undefined && device.master === this.#mesh?.index;
      case 'link-silent':
        return device === undefined || neighbourOf(device) !== peer || this.#hears(device);
      default:
        return device === undefined || (device.up && device.cable);
    }
  }

  /** The first of a kind is kept: what follows is often its consequence. */
  #check(holds: boolean, what: string, message: string): void {
    if (holds || this.broken.has(what)) return;
    const after = ((this.now - 1e12) / SECOND).toFixed(3);
    this.#note(`BROKEN ${what}: ${message}`);
    this.broken.set(what, `seed ${this.#seed} after ${after} s: ${message}`);
  }

  #note(what: string): void {
    this.trace.push(`${((this.#router === undefined ? 0 : this.now - 1e12) / SECOND).toFixed(3)} ${what}`);
  }

  #int(below: number): number {
    return Math.floor(this.#rnd() * below);
  }

  #is(probability: number): boolean {
    return this.#rnd() < probability;
  }
}

/** As the kernel shows it: with the loss of the link, and our own hop penalty. */
function shown(tq: number, { tq: link, hopPenalty }: Device): number {
  return Math.floor((((tq * link) / 255) * (255 - hopPenalty)) / 255);
}

function neighbourMac(n: number): Mac {
  return `02:00:00:00:01:0${n}`;
}

function neighbourOf({ n }: Device): Mac {
  return neighbourMac(n);
}

function nameIn(change: Change): string | null {
  return 'interface' in change ? change.interface : null;
}

function describe(fault: { id: string; class: string; interface: string | null; peer: Mac | null }): string {
  return `${fault.id} ${fault.class} ${fault.interface ?? ''} ${fault.peer ?? ''} is open, about what is whole`;
}

const INVARIANTS: Readonly<Record<string, string>> = {
  owed: 'nothing that a repair took out is owed after a quiet time',
  armed: 'no undo is armed after a quiet time, but for what cannot be put back',
  undo: 'what is lent or taken out has an undo armed',
  settings: 'settings of the mesh are as they were, or as somebody set them',
  members: 'what is whole and belongs under the mesh interface is there, unless somebody insists',
  taken: 'what a repair took out is back, under whatever name',
  deadline: 'no deadline is in the past after a tick',
  spin: 'ticks are bounded',
  errors: 'no machine fails',
  modes: 'off and observe do nothing but give back',
  'kick budget': 'a minute sees no more kicks than are allowed',
  numbers: 'own sequence numbers stay near the kernel’s',
  primary: 'the primary is never taken out',
  rehearsed: 'nothing above one link is changed without a rehearsal',
  memories: 'what is remembered is short',
  last: 'the last usable interface is never taken out',
  faults: 'the open faults are bounded',
  open: 'no fault is open about what is whole',
  busy: 'no repair goes on for ever',
};

const only = process.env.X0_FUZZ_SEED;
const broken = new Map<string, string[]>();

for (let seed = Number(only ?? 1); seed <= Number(only ?? SEQUENCES); seed++) {
  const sequence = new Sequence(seed);
  sequence.run();
  for (const [what, how] of sequence.broken) broken.set(what, [...(broken.get(what) ?? []), how]);
  if (only !== undefined) console.log(sequence.trace.join('\n'));
}

for (const [what, promise] of Object.entries(INVARIANTS))
  test(`fuzz: ${promise}`, () => {
    const found = broken.get(what) ?? [];
    assert.equal(found.length, 0, `broken in ${found.length} sequences:\n${found.slice(0, 8).join('\n')}`);
  });
