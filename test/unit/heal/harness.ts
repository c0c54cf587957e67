/** A router for the machines' tests: a runtime with the heal room, and a world that writes down what it is asked. */
import type { Effect } from '../../../agent/core/effect.ts';
import type { HealSettings, Tables, WorldEvent } from '../../../agent/core/event.ts';
import { toHex } from '../../../agent/core/hex.ts';
import { macToBytes } from '../../../agent/core/ids.ts';
import {
  type Link,
  type MeshInfo,
  type MeshSettings,
  type Neighbour,
  type OriginatorPath,
  STOCK_SETTINGS,
} from '../../../agent/core/kernel.ts';
import type { Machine } from '../../../agent/core/machine.ts';
import { Runtime } from '../../../agent/core/runtime.ts';
import { MS, type Nanos } from '../../../agent/core/time.ts';
import type { Decision } from '../../../agent/core/words.ts';
import { heal } from '../../../agent/heal/heal.ts';
import { NO_SETTINGS } from '../../../agent/heal/surroundings.ts';

/** Neighbours that are seen from the start have settled after this. */
const SETTLED: Nanos = 20_000 * MS;

export const KEY = 'ab'.repeat(32);
export const ORIGINATOR = '02:00:00:00:00:ff';
export const BAT0 = 10;

/** eth<port>: index 20+port, MAC 02:00:00:00:00:0<port>, under bat0, alive. */
export function port(n: number, over: Partial<Link> = {}): Link {
  const mac = `02:00:00:00:00:0${n}`;
  return {
    index: 20 + n,
    name: `eth${n}`,
    mac,
    up: true,
    carrier: true,
    mtu: 1532,
    master: BAT0,
    kind: 'veth',
    peer: 40 + n,
    ...over,
  };
}

export const bat0: Link = {
  index: BAT0,
  name: 'bat0',
  mac: '02:00:00:00:00:b0',
  up: true,
  carrier: true,
  mtu: 1500,
  master: 0,
  kind: 'batadv',
  peer: 0,
};
export const primary0: Link = { ...port(9), index: 11, name: 'primary0', mac: ORIGINATOR, kind: 'bridge', peer: 0 };

export function tables(
  paths: readonly (readonly [originator: string, portNumber: number, best: boolean])[],
  neighbours: readonly [mac: string, portNumber: number, lastSeenMs?: number][],
  over: Partial<MeshInfo> = {},
): Tables {
  const mesh: MeshInfo = {
    index: BAT0,
    name: 'bat0',
    mac: bat0.mac,
    version: '2022.3',
    algorithm: 'BATMAN_IV',
    primary: { index: 11, name: 'primary0', mac: ORIGINATOR },
    settings: STOCK_SETTINGS,
    ...over,
  };
  const originators: OriginatorPath[] = paths.map(([originator, n, best]) => ({
    originator,
    neighbour: `02:00:00:00:01:0${n}`,
    interface: 20 + n,
    interfaceName: `eth${n}`,
    best,
    lastSeenMs: 100,
    tq: 255,
  }));
  const rows: Neighbour[] = neighbours.map(([neighbour, n, lastSeenMs = 100]) => ({
    neighbour,
    interface: 20 + n,
    interfaceName: `eth${n}`,
    lastSeenMs,
  }));
  return { mesh, hardInterfaces: [], originators, neighbours: rows, gateways: [] };
}

/** A BATMAN_IV OGM of this router as the kernel sends it, with a TVLV of four bytes behind it. */
export function ownOgm(seqno: number, originator = ORIGINATOR): WorldEvent {
  const frame = new Uint8Array(14 + 24 + 4);
  frame.fill(0xff, 0, 6);
  macToBytes(originator, frame, 6);
  const view = new DataView(frame.buffer);
  view.setUint16(12, 0x4305);
  frame.set([0x00, 15, 50, 0], 14);
  view.setUint32(18, seqno);
  macToBytes(originator, frame, 22);
  macToBytes(originator, frame, 28);
  frame[35] = 255;
  view.setUint16(36, 4);
  return { type: 'ogm-sent', frame: toHex(frame) };
}

/** Two ports to two neighbours; router X (…:aa) is reached by either, best by eth1. */
export const TWO_WAYS = tables(
  [
    ['02:00:00:00:00:aa', 1, true],
    ['02:00:00:00:00:aa', 2, false],
  ],
  [
    ['02:00:00:00:01:01', 1],
    ['02:00:00:00:01:02', 2],
  ],
);

export class Router {
  readonly room = heal();
  readonly effects: Effect[] = [];
  readonly runtime: Runtime;
  now: Nanos = 1e12 - SETTLED;

  constructor(
    settings: Partial<HealSettings> = {},
    links: readonly Link[] = [port(1), port(2)],
    first = TWO_WAYS,
    more: { readonly machines?: readonly Machine[]; readonly carryOut?: (effect: Effect) => void } = {},
  ) {
    const carryOut = (effect: Effect) => {
      this.effects.push(effect);
      if (more.carryOut !== undefined) more.carryOut(effect);
      // As the host does where there is no twin.
      else if (effect.type === 'rehearse')
        this.runtime.feed({ type: 'rehearsed', id: effect.id, verdict: 'unknown', detail: '' }, this.now);
    };
    this.runtime = new Runtime([...this.room.machines, ...(more.machines ?? [])], { carryOut });
    this.feed({ type: 'settings', settings: { ...NO_SETTINGS, mode: 'act', key: KEY, ...settings } });
    for (const link of [bat0, primary0, ...links]) this.feed({ type: 'link', link, cause: 'resync' });
    this.feed({ type: 'tables', tables: first });
    this.feed({ type: 'started', node: 'r1', epoch: 3, marks: [] });
    this.feed({ type: 'tables', tables: first });
    this.pass(SETTLED);
    this.feed({ type: 'tables', tables: first });
    this.feed(ownOgm(1000));
    // All neighbours run the agent, until they leave echoes unanswered.
    for (const { neighbour, interface: index } of first.neighbours)
      this.room.knowledge.on({ type: 'echo', neighbour, interface: index, rttNs: MS }, this.now);
    this.effects.length = 0;
  }

  feed(event: WorldEvent): Effect[] {
    const before = this.effects.length;
    this.runtime.feed(event, this.now);
    return this.effects.slice(before);
  }

  /** Lets time pass, giving every machine its ticks on the way. */
  pass(ns: Nanos): Effect[] {
    const before = this.effects.length;
    const end = this.now + ns;
    for (let at = this.runtime.deadline(); at <= end; at = this.runtime.deadline()) {
      this.now = Math.max(this.now, at);
      this.runtime.feed({ type: 'tick' }, this.now);
    }
    this.now = end;
    return this.effects.slice(before);
  }

  /** Answers the last 'change' of this kind the way a kernel would. */
  done(id: string, error: string | null = null): Effect[] {
    return this.feed({ type: 'change-done', id, error });
  }

  get decisions(): Decision[] {
    return this.effects.flatMap((effect) => (effect.type === 'journal' ? [effect.decision] : []));
  }

  get sent(): { interface: number; frame: string }[] {
    return this.effects.flatMap((effect) => (effect.type === 'send' ? effect.frames : []));
  }

  get changes(): Extract<Effect, { type: 'change' }>[] {
    return this.effects.filter((effect) => effect.type === 'change');
  }
}

export function milliseconds(n: number): Nanos {
  return n * MS;
}

export function withSettings(settings: Partial<MeshSettings>) {
  return { ...TWO_WAYS, mesh: { ...TWO_WAYS.mesh!, settings: { ...STOCK_SETTINGS, ...settings } } };
}

export function logged(router: Router): string {
  return router.effects.flatMap((effect) => (effect.type === 'log' ? [effect.message] : [])).join('; ');
}

/** X is reached by port 2 alone: nothing goes by port 1, or nothing does any more. */
export const BY_TWO = tables([['02:00:00:00:00:aa', 2, true]], [['02:00:00:00:01:02', 2]]);
