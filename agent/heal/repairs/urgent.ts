/** The repairs that wait for nothing, carried out by execute.ts: kicks, and the mesh's own interfaces out, in, and anew. */
import type { IfIndex } from '../../core/ids.ts';
import { MS, type Nanos } from '../../core/time.ts';
import type { Fault } from '../../core/words.ts';
import { broken, isPrimary, neighboursOn, originatorAddress, type Surroundings, ways } from '../surroundings.ts';
import type { Repair, Scene } from './spec.ts';

/** Seen in the lab: after a second fault some routes of BATMAN_V stood still for longer than without us. */
const HARMFUL_V = 'under BATMAN_V this has made things worse: batman-adv repairs by itself';
/** The gentler repairs' time: neighbours answer in some milliseconds. */
export const ASK_FIRST: Nanos = 60 * MS;
export const ASK_GOES_FIRST = 'the neighbours are asked first: only where routes still go by it then';
/** A kick moves routes in some tens of milliseconds. */
export const KICK_FIRST: Nanos = 250 * MS;
const KICK_GOES_FIRST = 'the kick goes first: only where routes still go by it then';
/** An interface put back counts from nothing, for a minute; agents push each other over that, batman-adv alone waits. */
const NO_AGENT = 'the neighbour there runs no agent: a later fault would last longer than without us';

export const URGENT: readonly Repair[] = [
  {
    action: 'none',
    words: 'there is nothing to repair from here; a person is told',
    does: 'do nothing',
    cost: 0,
    radius: 'link',
    refusal: () => null,
  },
  {
    action: 'clear-way',
    words: 'forwarding OGMs without aggregation lets the others’ kicks pass at once',
    does: "let other routers' OGMs pass without delay for a moment",
    cost: 0.5,
    radius: 'link',
    refusal: (fault, { around }) => {
      if (isV(around)) return HARMFUL_V;
      if (fault.affected.length === 1 && fault.affected[0] === fault.peer)
        return 'its own routes are mended: nobody kicks';
      return isNamed(fault, around) ? 'the kick does that too' : null;
    },
  },
  {
    action: 'ask',
    words: 'neighbours that have other ways say so anew, which pushes the dead path out here',
    does: 'ask the neighbours for their ways',
    cost: 0.7,
    radius: 'link',
    refusal: (fault, { around, knowledge }) => {
      if (isV(around)) return HARMFUL_V;
      if (broken(around, fault.interfaceIndex ?? 0).length === 0) return 'no route goes by it: nothing would be won';
      const others = ways(around, fault.interfaceIndex === null ? [] : [fault.interfaceIndex]);
      const isMet = others.some(({ index }) => neighboursOn(around, index).some((n) => knowledge.isAgent(index, n)));
      return isMet ? null : 'no other neighbour runs the agent';
    },
  },
  {
    action: 'kick',
    words: 'newer OGMs push the dead path out of every window',
    does: 'send our own OGMs at once, so that routes move in milliseconds',
    cost: 1,
    radius: 'link',
    refusal: (fault, { around }) => {
      if (isV(around)) return HARMFUL_V;
      if (fault.class === 'remote-alarm' && !isNamed(fault, around)) return 'none of the broken routes leads here';
      return isIdle(fault, around) ? 'no route goes by it: nothing would be won' : null;
    },
  },
  {
    action: 'detach',
    words: 'taking the dead interface out of bat0 drops its routes at once',
    does: 'take the dead interface out of the mesh until it lives again',
    cost: 2,
    radius: 'link',
    refusal: detachRefusal,
  },
  {
    action: 'reattach',
    words: 'the interface belongs under bat0',
    does: 'put the interface back into the mesh',
    cost: 2,
    radius: 'link',
    refusal: (fault, scene) => {
      const { settings, links, declared } = scene.around;
      if (!settings.reattach) return 'heal.reattach is off';
      // Else each of both would undo what the other does.
      if (declared.has(fault.interface ?? '') && links.get(fault.interfaceIndex ?? 0)?.carrier === false)
        return 'netifd takes out what has lost its carrier, and puts it back with it';
      return masterRefusal(fault, scene.around) ?? insistence(fault, 'takes it out', scene);
    },
  },
  {
    action: 'recreate-mesh',
    words: 'without bat0 there is no mesh; it is made anew with its MAC address and settings',
    does: 'create the mesh interface anew, with its MAC address kept',
    cost: 9,
    radius: 'router',
    refusal: (fault, scene) => {
      const { settings, lastMesh } = scene.around;
      if (!settings.recreate) return 'heal.recreate is off';
      if (!settings.own && lastMesh === null) return 'it was never seen, and mesh.own is off';
      return insistence(fault, 'deletes it', scene);
    },
  },
];

export function isV(around: Surroundings): boolean {
  return around.lastMesh?.algorithm === 'BATMAN_V';
}

function isNamed(fault: Fault, around: Surroundings): boolean {
  const self = originatorAddress(around);
  return fault.affected.length === 0 || (self !== null && fault.affected.includes(self));
}

/** A silent neighbour, or an interface outside the mesh, by which nothing goes (any more). */
function isIdle({ class: kind, interfaceIndex, peer }: Fault, around: Surroundings): boolean {
  if (kind === 'link-silent') return peer !== null && broken(around, interfaceIndex ?? 0, peer).length === 0;
  return kind === 'interface-fell-out' && broken(around, interfaceIndex ?? 0).length === 0;
}

function insistence(fault: Fault, does: string, { knowledge, now }: Scene): string | null {
  if (!knowledge.insists(fault.interface ?? '', now)) return null;
  return `somebody ${does} again and again: left to a person`;
}

/** Whose it is now, if it is somebody else's. */
export function masterRefusal(fault: Fault, around: Surroundings): string | null {
  const master = around.links.get(fault.interfaceIndex ?? 0)?.master ?? 0;
  if (master === 0 || master === around.mesh?.index) return null;
  return `it was given to ${around.links.get(master)?.name ?? `interface ${master}`}: left to a person`;
}

export function meetsAgent(index: IfIndex, { around, knowledge }: Scene): boolean {
  return neighboursOn(around, index).some((neighbour) => knowledge.isAgent(index, neighbour));
}

/** Why an interface must stay in, whatever there would be to win. */
export function untouchable(fault: Fault, around: Surroundings): string | null {
  const { settings, links } = around;
  const name = fault.interface ?? '';
  if (isV(around)) return HARMFUL_V;
  if (!settings.detach) return 'heal.detach is off';
  if (isPrimary(around, name)) return 'it is the primary interface: its address is this router’s name in the mesh';
  if (!around.primaryKnown) return 'the primary interface left: who is the new one is not known yet';
  if (links.get(fault.interfaceIndex ?? 0)?.up === false) return 'it was set down: batman-adv knows already';
  const others = ways(around).filter((other) => other.name !== name);
  return others.length === 0 ? 'it is this router’s last hard interface' : null;
}

/** Why a dead interface stays in the mesh, whatever the tables will say of its routes. */
export function staysIn(fault: Fault, scene: Scene): string | null {
  return untouchable(fault, scene.around) ?? (meetsAgent(fault.interfaceIndex ?? 0, scene) ? null : NO_AGENT);
}

/** What comes back counts from a new number, and routers around it may refuse a second one for half a minute: so it is not done first. */
function detachRefusal(fault: Fault, scene: Scene): string | null {
  const { around, now } = scene;
  const refused = untouchable(fault, around);
  if (refused !== null) return refused;
  const lost = broken(around, fault.interfaceIndex ?? 0);
  if (lost.length === 0) return 'no route goes through it: nothing would be won';
  const without = lost.filter(({ other }) => other === 'none').length;
  if (without > 0) return `no other way is known to ${without} of ${lost.length} routers behind it`;
  return staysIn(fault, scene) ?? (now < fault.at + KICK_FIRST ? KICK_GOES_FIRST : null);
}
