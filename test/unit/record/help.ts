/** A router whose machines are recorded: what it is told comes from its script, what it decides from the machines. */
import type { Effect } from '../../../agent/core/effect.ts';
import type { WorldEvent } from '../../../agent/core/event.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import { Runtime } from '../../../agent/core/runtime.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import { heal } from '../../../agent/heal/heal.ts';
import { decodeFrame, encodeAlarm, encodeEcho, macKey } from '../../../agent/heal/wire.ts';
import { Mesh } from '../../../agent/mesh/mesh.ts';
import { type Turn, Turns } from '../../../agent/record/turns.ts';
import { linkOf, neighbourMac, ownOgm, SETTINGS, tablesOf } from '../../../tools/bench/fixture.ts';

export const KEY = SETTINGS.key;
const MESH = {
  mesh: { index: 10, name: 'bat0', mac: '02:00:00:00:00:b0' },
  primary: { index: 11, name: 'primary0', mac: '02:00:00:00:00:ff' },
  ports: [1, 2, 3].map((n) => ({ index: 20 + n, name: `eth${n}`, mac: `02:00:00:00:00:0${n}` })),
  originators: 6,
};
const STRANGER = '02:00:00:00:09:01';

export class Router {
  readonly turns: Turn[] = [];
  readonly room = heal();
  readonly machines = [...this.room.machines, new Mesh()];
  readonly #onTurn: (turn: Turn) => void;
  readonly #collector: Turns;
  readonly #runtime: Runtime;
  #answers: WorldEvent[] = [];
  #lost = 0;
  #counter = 0;
  now: Nanos = 1e12;

  constructor(onTurn: (turn: Turn) => void = () => {}) {
    this.#onTurn = onTurn;
    this.#collector = new Turns((turn) => {
      this.turns.push(turn);
      this.#onTurn(turn);
    });
    this.#runtime = new Runtime(this.machines, { carryOut: (effect) => this.#carryOut(effect) }, this.#collector.hooks);
    const { mesh, primary, ports } = MESH;
    this.feed({ type: 'settings', settings: { ...SETTINGS, echoNs: 10 * SECOND } });
    this.feed({ type: 'link', link: linkOf(mesh, { kind: 'batadv' }), cause: 'resync' });
    for (const port of [primary, ...ports])
      this.feed({ type: 'link', link: linkOf(port, { master: mesh.index }), cause: 'resync' });
    this.feed({ type: 'tables', tables: tablesOf(MESH) });
    this.feed({ type: 'started', node: 'r', epoch: 7, marks: [] });
    this.feed({ type: 'ogm-sent', frame: ownOgm(primary.mac, 1000) });
  }

  get header() {
    return { agent: 'test', machines: this.machines.map(({ name }) => name), begins: 'start' as const };
  }

  feed(event: WorldEvent): void {
    this.#runtime.feed(event, this.now);
    this.#collector.end();
  }

  /** Lets time pass as it does in a host: ticks when wanted, tables each second, what was asked for answered. */
  pass(ns: Nanos): void {
    const end = this.now + ns;
    for (let nextTables = this.now + SECOND; this.now < end; ) {
      for (const answer of this.#answers.splice(0)) this.feed(answer);
      const next = Math.min(end, nextTables, Math.max(this.now + MS, this.#runtime.deadline()));
      this.now = next;
      if (this.#runtime.deadline() <= this.now) this.feed({ type: 'tick' });
      if (next === nextTables) {
        this.feed({ type: 'tables', tables: tablesOf(MESH, this.#lost) });
        this.feed({ type: 'ogm-sent', frame: ownOgm(MESH.primary.mac, 1000 + Math.floor(this.now / SECOND)) });
        nextTables += SECOND;
      }
    }
  }

  cut(port = 1): void {
    const { index, name, mac } = MESH.ports[port - 1]!;
    this.#lost = index;
    this.feed({
      type: 'link',
      link: linkOf({ index, name, mac }, { master: MESH.mesh.index, carrier: false }),
      cause: 'event',
    });
  }

  mend(port = 1): void {
    this.#lost = 0;
    this.feed({ type: 'link', link: linkOf(MESH.ports[port - 1]!, { master: MESH.mesh.index }), cause: 'event' });
  }

  /** Word of a stranger's fault, sealed with `key`. */
  alarm(key = KEY): string {
    this.#counter += 1;
    const alarm = {
      sender: STRANGER,
      epoch: 1,
      counter: this.#counter,
      kind: 'link-down',
      affected: [],
      hops: 3,
    } as const;
    const bytes = encodeAlarm({ ...alarm, near: STRANGER, far: STRANGER }, STRANGER, macKey(Buffer.from(key, 'hex')));
    const frame = toHex(bytes);
    this.feed({ type: 'frame', interface: 22, frame });
    return frame;
  }

  /** Every neighbour runs an agent, which answers echoes. */
  #answer(index: number, hex: string): void {
    const port = MESH.ports.find((one) => one.index === index);
    const bytes = fromHex(hex);
    if (port === undefined || index === this.#lost || bytes[12] !== 0x88) return;
    const frame = decodeFrame(bytes, macKey(Buffer.from(KEY, 'hex')));
    if (frame.kind !== 'echo' || frame.echo.reply) return;
    const neighbour = neighbourMac(MESH.ports.indexOf(port));
    const reply = encodeEcho({ ...frame.echo, reply: true }, port.mac, neighbour, macKey(Buffer.from(KEY, 'hex')));
    this.#answers.push({ type: 'frame', interface: index, frame: toHex(reply) });
  }

  #carryOut(effect: Effect): void {
    if (effect.type === 'poll') this.#answers.push({ type: 'tables', tables: tablesOf(MESH, this.#lost) });
    else if (effect.type === 'send')
      for (const { interface: index, frame } of effect.frames) this.#answer(index, frame);
    else if (effect.type === 'change') this.#answers.push({ type: 'change-done', id: effect.id, error: null });
  }
}
