/** What the benches pretend: a router in a mesh of as many originators as they say, each reached by every one of its ports. */
import type { HealSettings, Tables } from '../../agent/core/event.ts';
import type { IfIndex, Mac } from '../../agent/core/ids.ts';
import {
  type Link,
  type MeshInfo,
  type Neighbour,
  type OriginatorPath,
  STOCK_SETTINGS,
} from '../../agent/core/kernel.ts';
import { NO_SETTINGS } from '../../agent/heal/surroundings.ts';

export interface Port {
  readonly index: IfIndex;
  readonly name: string;
  readonly mac: Mac;
}

export interface Fixture {
  readonly mesh: Port;
  readonly primary: Port;
  readonly ports: readonly Port[];
  readonly originators: number;
}

/** As a configuration file would have them, with a key: alarms are made and signed. */
export const SETTINGS: HealSettings = {
  ...NO_SETTINGS,
  mode: 'act',
  key: 'ab'.repeat(32),
};

const hex = (n: number) => n.toString(16).padStart(2, '0');
export const originatorMac = (n: number): Mac => `02:00:00:01:${hex(n >> 8)}:${hex(n & 255)}`;
/** The neighbour on a port, by the port's place. */
export const neighbourMac = (place: number): Mac => `02:00:00:02:00:${hex(place)}`;

/**
 * Tables as batman-adv 2022.3 tells them. Originator n goes by port n modulo their number, the others are good second
 * ways; each neighbour's own address is an originator too. With `lost` no row leads through that port any more.
 */
export function tablesOf({ mesh, primary, ports, originators }: Fixture, lost: IfIndex = 0): Tables {
  const alive = ports.filter((port) => port.index !== lost);
  const paths: OriginatorPath[] = [];
  const neighbours: Neighbour[] = [];
  for (const port of alive) {
    const neighbour = neighbourMac(ports.indexOf(port));
    const where = { interface: port.index, interfaceName: port.name, neighbour };
    neighbours.push({ ...where, lastSeenMs: 200 });
    paths.push({ ...where, originator: neighbour, best: true, lastSeenMs: 200, tq: 255 });
  }
  for (let n = 0; n < originators; n++) {
    const way = ports[n % ports.length]!.index;
    const best = way === lost ? alive[0]?.index : way;
    for (const port of alive)
      paths.push({
        originator: originatorMac(n),
        neighbour: neighbourMac(ports.indexOf(port)),
        interface: port.index,
        interfaceName: port.name,
        best: port.index === best,
        lastSeenMs: 100 + ((n * 37) % 800),
        tq: port.index === best ? 240 : 220,
      });
  }
  const info: MeshInfo = {
    ...mesh,
    version: '2022.3',
    algorithm: 'BATMAN_IV',
    primary,
    settings: STOCK_SETTINGS,
  };
  const hardInterfaces = [primary, ...alive].map((port) => ({ ...port, active: true }));
  return { mesh: info, hardInterfaces, originators: paths, neighbours, gateways: [] };
}

export function linkOf(port: Port, over: Partial<Link> = {}): Link {
  return { ...port, up: true, carrier: true, mtu: 1532, master: 0, kind: 'veth', peer: 0, ...over };
}

/** This router's own OGM (BATMAN_IV, compatibility version 15) as the kernel sends it, a whole Ethernet frame as hex. */
export function ownOgm(originator: Mac, seqno: number): string {
  const mac = originator.replaceAll(':', '');
  const ogm = `000f3200${(seqno >>> 0).toString(16).padStart(8, '0')}${mac}${mac}00ff0000`;
  return `ffffffffffff${mac}4305${ogm}`;
}
