/**
 * A rehearsal of a repair: the same machines, thrown away afterwards, take a lost carrier, alarms and a kick with a
 * world that does nothing. JavaScript is compiled as it runs and forgotten when it does not, and a fault must not pay
 * for that: some dozen rehearsals soon after the start, and one now and then, keep the code that repairs ready.
 */
import type { Effect } from '../core/effect.ts';
import type { HealSettings, Tables } from '../core/event.ts';
import { toHex } from '../core/hex.ts';
import { macToBytes } from '../core/ids.ts';
import { type Link, STOCK_SETTINGS } from '../core/kernel.ts';
import { Runtime } from '../core/runtime.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import { heal } from './heal.ts';
import { ETH_P_BATMAN } from './ogm.ts';
import { encodeAlarm, macKey } from './wire.ts';

const SELF = '02:00:00:00:00:01';
const OTHER = '02:00:00:00:00:02';
const KEY = '00'.repeat(32);

/** `from` only has to be some time. */
export function rehearse(settings: HealSettings, from: Nanos): void {
  const taken: Effect[] = [];
  const room = heal();
  const runtime = new Runtime(room.machines, { carryOut: (effect) => void taken.push(effect) });
  let now = from;
  const feed = (event: Parameters<Runtime['feed']>[0]) => runtime.feed(event, now);
  feed({ type: 'settings', settings: { ...settings, mode: 'act', key: KEY, meshInterface: 'bat0', own: false } });
  const links = [
    link(1, 'bat0', 'batadv', 0),
    link(2, 'a', 'veth', 1),
    link(3, 'b', 'veth', 1),
    link(4, 'c', 'veth', 1),
  ];
  for (const one of links) feed({ type: 'link', link: one, cause: 'resync' });
  feed({ type: 'tables', tables: TABLES });
  feed({ type: 'started', node: '', epoch: 1, marks: [] });
  feed({ type: 'ogm-sent', frame: ownOgm() });
  for (const { neighbour, interface: index } of TABLES.neighbours)
    room.knowledge.on({ type: 'echo', neighbour, interface: index, rttNs: 0 }, now);
  for (let counter = 1; counter <= 3; counter++) {
    const alarm = { sender: OTHER, epoch: 1, counter, kind: 'link-down', near: OTHER, far: OTHER, hops: 4 } as const;
    const affected = counter === 1 ? [] : [OTHER];
    const frame = toHex(encodeAlarm({ ...alarm, affected }, OTHER, macKey(Buffer.from(KEY, 'hex'))));
    feed({ type: 'frame', interface: 2, frame });
    feed({ type: 'frame', interface: 3, frame });
  }
  feed({ type: 'link', link: { ...link(2, 'a', 'veth', 1), carrier: false }, cause: 'event' });
  for (const end = now + SECOND; runtime.deadline() < end; ) {
    now = Math.max(now, runtime.deadline());
    feed({ type: 'tick' });
    for (const effect of taken.splice(0)) {
      if (effect.type === 'change') feed({ type: 'change-done', id: effect.id, error: null });
    }
    feed({ type: 'tables', tables: TABLES });
  }
}

function link(index: number, name: string, kind: string, master: number): Link {
  return { index, name, mac: `02:00:00:00:01:0${index}`, up: true, carrier: true, mtu: 1500, master, kind, peer: 0 };
}

function ownOgm(): string {
  const frame = new Uint8Array(14 + 24);
  new DataView(frame.buffer).setUint16(12, ETH_P_BATMAN);
  frame[15] = 15;
  macToBytes(SELF, frame, 22);
  return toHex(frame);
}

const TABLES: Tables = {
  mesh: {
    index: 1,
    name: 'bat0',
    mac: SELF,
    version: '',
    algorithm: 'BATMAN_IV',
    primary: { index: 4, name: 'c', mac: SELF },
    settings: STOCK_SETTINGS,
  },
  hardInterfaces: [],
  originators: [2, 3].map((index) => ({
    originator: OTHER,
    neighbour: `02:00:00:00:02:0${index}`,
    interface: index,
    interfaceName: index === 2 ? 'a' : 'b',
    best: index === 2,
    lastSeenMs: 100,
    tq: 255,
  })),
  neighbours: [2, 3].map((index) => ({
    neighbour: `02:00:00:00:02:0${index}`,
    interface: index,
    interfaceName: index === 2 ? 'a' : 'b',
    lastSeenMs: 100,
  })),
  gateways: [],
};
