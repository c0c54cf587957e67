/**
 * Who would notice a plan beside those who talk to this router: stations of the LAN behind it, where the mesh interface is
 * to leave its bridge or join one; and whoever goes out by a gateway, where that is to be chosen anew or taken down.
 */
import type { Mac } from '../core/ids.ts';
import type { Change, MeshSettings } from '../core/kernel.ts';
import type { Plan } from '../core/words.ts';
import type { Probe } from './outage.ts';
import type { RehearsalState } from './rehearsal.ts';
import type { Simulation } from './simulation.ts';
import type { Sketch } from './sketch.ts';

export interface Users {
  /** Settings of routers, as far as they matter to users. */
  readonly special: ReadonlyMap<number, Partial<MeshSettings>>;
  /** One datagram of each. */
  send(simulation: Simulation, targets: readonly number[], sent: Probe[]): void;
}

const MOST_CLIENTS = 24;

export function users(state: RehearsalState, plan: Plan, changes: readonly Change[], drawn: Sketch): Users {
  const { meshInterface } = state.settings;
  const isBridging = (change: Change) =>
    'interface' in change && change.interface === meshInterface && change.kind !== 'add-address';
  const stations = changes.some(isBridging) ? lan(plan, drawn) : null;
  const isChoosing = (change: Change) => change.kind === 'set-mesh' && change.settings.gwMode !== undefined;
  const clients = changes.some(isChoosing) ? outbound(state, plan, drawn) : null;
  return {
    special: clients?.special ?? new Map(),
    send(simulation, targets, sent) {
      stations?.(simulation, targets, sent);
      clients?.send(simulation, sent);
    },
  };
}

/**
 * Of a LAN that is joined to the mesh twice nothing comes through, until one lets go of it; then it goes by the other. Where
 * no other is known it is cut off.
 */
function lan({ fault }: Plan, { names }: Sketch) {
  const isStorm = fault.class === 'broadcast-storm';
  const other = isStorm ? fault.affected.map((router) => names.indexOf(router)).find((n) => n > 0) : undefined;
  return (simulation: Simulation, targets: readonly number[], sent: Probe[]) => {
    const { kernel } = simulation.routers[0]!;
    const isIn = kernel.mesh?.up === true && kernel.devices.some(({ index }) => index === kernel.mesh!.master);
    const by = !isIn ? other : isStorm ? undefined : 0;
    for (const to of targets) {
      const probe = { sent: simulation.now, received: to === by ? simulation.now : 0 };
      sent.push(probe);
      if (by !== undefined && to !== by) simulation.send(by, to, probe);
    }
  };
}

/** Where this router offers a gateway all others are clients; else it is the only one that counts. */
function outbound({ tables, self }: RehearsalState, { fault }: Plan, { names }: Sketch) {
  const isGateway = tables.mesh?.settings.gwMode === 'server';
  const hasNoWayOut = fault.class === 'gateway-no-upstream';
  const numberOf = new Map<Mac, number>(names.map((name, n) => [name, n]));
  const special = new Map<number, Partial<MeshSettings>>();
  const clients = isGateway ? names.map((_, n) => n).slice(1, 1 + MOST_CLIENTS) : [0];
  for (const n of clients) special.set(n, { gwMode: 'client' });
  const offer = (down: number, up: number) => ({ gwMode: 'server', gwBandwidthDown: down, gwBandwidthUp: up }) as const;
  for (const { originator, bandwidthDown, bandwidthUp } of tables.gateways) {
    const n = numberOf.get(originator);
    if (n !== undefined) special.set(n, offer(bandwidthDown, bandwidthUp));
  }
  const { gwBandwidthDown = 100, gwBandwidthUp = 20 } = tables.mesh?.settings ?? {};
  if (isGateway) special.set(numberOf.get(self)!, offer(gwBandwidthDown, gwBandwidthUp));
  return {
    special,
    send(simulation: Simulation, sent: Probe[]) {
      const numbers = new Map(simulation.routers.map(({ name }, n) => [name, n]));
      for (const from of clients) {
        const probe = { sent: simulation.now, received: 0 };
        sent.push(probe);
        const chosen = simulation.routers[from]!.kernel.mesh?.protocol.gateways().find(({ best }) => best);
        const to = chosen === undefined ? undefined : numbers.get(simulation.book.number(chosen.originator));
        if (to !== undefined && !(to === 0 && hasNoWayOut)) simulation.send(from, to, probe);
      }
    },
  };
}
