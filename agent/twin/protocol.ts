/** What a simulated kernel has of batman-adv, whichever algorithm it runs. */
import type { IfIndex, Mac } from '../core/ids.ts';
import type { Gateway, HardSettings, MeshSettings, Neighbour, OriginatorPath } from '../core/kernel.ts';
import type { Nanos } from '../core/time.ts';
import type { Address, AddressBook, Announced, Frame } from './frames.ts';
import type { Port } from './medium.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** A network interface of one simulated router. */
export interface Device {
  readonly address: Address;
  readonly mac: Mac;
  readonly kind: string;
  /** Half duplex: what is forwarded over the interface by which it came takes its time twice. */
  readonly isRadio: boolean;
  readonly port: Port | null;
  name: string;
  index: IfIndex;
  /** It is there, not unplugged. */
  present: boolean;
  up: boolean;
  master: IfIndex;
  mtu: number;
  settings: { -readonly [K in keyof HardSettings]: HardSettings[K] };
  readonly traffic: Traffic;
}

/** Frames of batman-adv, and of agents, that came and went. */
export interface Traffic {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

export const noTraffic = (): Traffic => ({ rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 });

/** What the protocol is given by its kernel. */
export interface Ground {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly book: AddressBook;
  readonly settings: MeshSettings;
  /** While on, windows are born full: a mesh that has been running for a while. */
  readonly warm: { on: boolean };
  send(device: Device, frame: Frame): void;
  /** What goes out with an own OGM beside the gateway; null: nothing that anybody reads. */
  announced(): Announced | null;
  /** When a timer of this kernel that is set now for so many milliseconds goes off. */
  expiry(ms: number): Nanos;
}

export interface Protocol {
  /** The interface whose address is this router's name. */
  readonly primary: Device | null;
  attach(device: Device): void;
  detach(device: Device): void;
  /** It went up or down. */
  changed(device: Device): void;
  receive(device: Device, frame: Frame): void;
  /** The next hop to an originator, for what came in by a device (null: begins here). */
  route(target: Address, by: Device | null): { readonly device: Device; readonly neighbour: Address } | null;
  isOwn(address: Address): boolean;
  originators(): OriginatorPath[];
  neighbours(): Neighbour[];
  gateways(): Gateway[];
  /**
   * From now on the way to an originator by a neighbour on an interface is held to be as good as any can be, whatever comes
   * by it; null: none is. Only BATMAN_IV knows this.
   */
  stick(target: Address, by: { readonly device: Device; readonly neighbour: Address } | null): void;
  /** The gateway is to be chosen anew. */
  reselect(): void;
  /** The mesh interface is deleted. */
  stop(): void;
  /** Entries kept, for a bound on memory. */
  readonly size: number;
}
