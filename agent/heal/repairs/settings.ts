/**
 * Repairs that change settings, carried out by mend.ts: each with its undo armed before, given back when the fault is over
 * where it is not the fault's own remedy.
 */
import type { Change, Gateway, HardSettings } from '../../core/kernel.ts';
import { MS, type Nanos, SECOND } from '../../core/time.ts';
import type { Fault } from '../../core/words.ts';
import { type Broken, broken, linkByName, neighboursOn, type Surroundings } from '../surroundings.ts';
import type { Repair, Scene, Step } from './spec.ts';
import { isV, meetsAgent, untouchable } from './urgent.ts';

const MINUTE: Nanos = 60 * SECOND;
/** An OGM that comes by a costly interface is worth (255 - penalty) / 255 of what it was: less than any other way. */
const COSTLY = 160;
const FORBIDDING = 240;
/** BATMAN_V, 100 kbit/s units: a link that only serves where there is no other. */
const SLOW = 10;
const QUICK_ELP_MS = 200;
const KNOWN_BY_LAN: Nanos = 12 * SECOND;
const CLEARING_OGMS = 4;
const MOST_CLEARING: Nanos = 20 * SECOND;

export const SETTINGS: readonly Repair[] = [
  {
    action: 'announce',
    words: 'batman-adv takes note of a station where a frame of it comes in, and tells who held it before',
    does: "send frames of this router's own addresses to themselves through bat0, which only who holds the address hears",
    cost: 0.3,
    radius: 'link',
    refusal: ({ peer }, { around }) =>
      around.taken.some(({ originator }) => originator === peer) ? null : 'it announces none of them any more',
    mend: { keeps: 'moment', cooldownNs: 30 * SECOND, limitNs: 30 * SECOND, steps: () => [] },
  },
  {
    action: 'ease',
    words: 'looking and asking less often leaves time to what matters',
    does: 'look at the tables and ask the neighbours less often',
    cost: 0.5,
    radius: 'link',
    refusal: () => null,
    mend: { keeps: 'while', cooldownNs: 10 * MINUTE, limitNs: 120 * SECOND, steps: () => [] },
  },
  {
    action: 'link-cost',
    words: 'a link that costs more is used only where there is no other',
    does: 'make the link cost more, so that routes take others',
    cost: 1.5,
    radius: 'link',
    refusal: costRefusal,
    mend: { keeps: 'while', cooldownNs: 10 * MINUTE, limitNs: 30 * SECOND, steps: costSteps, verdict: haveMoved },
  },
  {
    action: 'pace',
    words: 'probes that come more often tell sooner what the link is worth',
    does: 'probe the link more often',
    cost: 1.6,
    radius: 'link',
    refusal: ({ interface: name }, { around }) => {
      if (!isV(around)) return 'only BATMAN_V probes links; OGMs that come more often would load the whole mesh';
      const now = hardOf(name, around)?.elpInterval;
      return now !== undefined && now > QUICK_ELP_MS ? null : 'it is probed as often as is sane';
    },
    mend: {
      keeps: 'while',
      cooldownNs: 10 * MINUTE,
      limitNs: 60 * SECOND,
      steps: ({ interface: name }, { around }) => hardStep(name, 'elpInterval', QUICK_ELP_MS, around),
    },
  },
  {
    action: 'restore',
    words: 'what was changed is put back as it was',
    does: 'put the changed setting back',
    cost: 2,
    radius: 'router',
    refusal: ({ remedy, class: kind, interface: name }, { knowledge, now }) => {
      if (remedy === undefined) return 'what it was before is not known';
      return knowledge.isContested(kind, name ?? '', now) ? 'somebody changes it again and again: it is meant' : null;
    },
    mend: { keeps: 'good', cooldownNs: 10 * MINUTE, limitNs: 20 * SECOND, steps: remedyStep },
  },
  {
    action: 'set-feature',
    words: 'batman-adv has a feature for this, and it is set the other way',
    does: 'turn the feature of batman-adv that matters here on, or off',
    cost: 2.5,
    radius: 'router',
    refusal: ({ class: kind, remedy }) => {
      if (remedy === undefined)
        return kind === 'mesh-mismatch' ? 'others here have what one lacks' : 'the feature against this is on';
      return remedy.change.kind === 'set-mesh' ? null : 'no feature helps against this';
    },
    mend: {
      keeps: 'while',
      cooldownNs: 30 * MINUTE,
      limitNs: 60 * SECOND,
      steps: (fault, scene) => [
        ...remedyStep(fault, scene),
        ...(fault.class === 'broadcast-storm' ? clearingSteps(scene) : []),
      ],
      // What a neighbour lacks it lacks all the same; else the end of the fault shows it.
      verdict: ({ class: kind, remedy }, _scene, _lost, { mesh }) => {
        const wanted = remedy?.change.kind === 'set-mesh' ? Object.entries(remedy.change.settings) : [];
        const settings = new Map<string, unknown>(Object.entries(mesh?.settings ?? {}));
        const isSet = mesh !== null && wanted.every(([key, value]) => settings.get(key) === value);
        return {
          good: kind === 'mesh-mismatch' && isSet,
          words: wanted.map(([key, value]) => `${key} is ${value}`).join(),
        };
      },
    },
  },
  {
    action: 'cycle',
    words: 'an interface that leaves bat0 and comes back begins anew with its neighbours',
    does: 'take the interface out of the mesh and put it back',
    cost: 3,
    radius: 'link',
    refusal: cycleRefusal,
    mend: {
      keeps: 'moment',
      cooldownNs: 30 * MINUTE,
      limitNs: 90 * SECOND,
      steps: ({ interface: name }, { around }) => {
        const mesh = around.settings.meshInterface;
        const out: Change = { kind: 'set-master', interface: name!, master: null };
        const back: Change = { kind: 'set-master', interface: name!, master: mesh };
        return [{ change: out, undo: back, holds: `${name} master` }];
      },
    },
  },
  {
    action: 'gateway-any',
    words:
      'batman-adv keeps a dead gateway for 200 s, and would choose it again; where it chooses none DHCP asks them all',
    does: 'have batman-adv choose no gateway until the dead one is forgotten: DHCP asks them all',
    cost: 1.9,
    radius: 'router',
    refusal: (fault, { around }) =>
      reselectRefusal(fault, around) ?? (returns(fault, around) ? null : 'batman-adv would choose another'),
    mend: {
      keeps: 'while',
      cooldownNs: 2 * MINUTE,
      limitNs: 10 * SECOND,
      steps: (_fault, { around }) => {
        const mesh = around.settings.meshInterface;
        const set = (gwMode: 'off' | 'client'): Change => ({ kind: 'set-mesh', mesh, settings: { gwMode } });
        return [{ change: set('off'), undo: set('client'), holds: `${mesh} gwMode` }];
      },
      verdict: (_fault, _scene, _lost, { mesh, gateways }) => {
        const isNone = mesh?.settings.gwMode === 'off' && !gateways.some(({ best }) => best);
        return { good: isNone, words: 'none is chosen: DHCP asks all that are left' };
      },
    },
  },
  {
    action: 'gateway-reselect',
    words: 'batman-adv chooses a gateway anew when it is told again that this router wants one',
    does: 'have batman-adv choose a gateway anew',
    cost: 2,
    radius: 'router',
    refusal: (fault, { around }) => reselectRefusal(fault, around),
    helps: ({ affected }, { around }) =>
      (around.tables?.gateways ?? []).some(({ originator }) => affected.indexOf(originator) > 0),
    mend: {
      keeps: 'moment',
      cooldownNs: 2 * MINUTE,
      limitNs: 20 * SECOND,
      steps: (_fault, { around }) => {
        const change: Change = {
          kind: 'set-mesh',
          mesh: around.settings.meshInterface,
          settings: { gwMode: 'client' },
        };
        return [{ change, undo: change, holds: `${around.settings.meshInterface} gwMode` }];
      },
    },
  },
  {
    action: 'gateway-stand-down',
    words: 'clients choose another gateway when this one is no longer offered',
    does: 'stop offering this router as a gateway until it has a way out again',
    cost: 5,
    radius: 'mesh',
    refusal: (_fault, { around }) =>
      (around.tables?.gateways ?? []).length > 0 ? null : 'no other gateway is on offer: nothing would be won',
    mend: {
      keeps: 'while',
      cooldownNs: 10 * MINUTE,
      limitNs: 10 * SECOND,
      steps: (_fault, { around }) => {
        const mesh = around.settings.meshInterface;
        const set = (gwMode: 'off' | 'server'): Change => ({ kind: 'set-mesh', mesh, settings: { gwMode } });
        return [{ change: set('off'), undo: set('server'), holds: `${mesh} gwMode` }];
      },
      // The surroundings show a lent setting as it was.
      verdict: (_fault, _scene, _lost, { mesh }) => {
        const mode = mesh?.settings.gwMode ?? 'not known';
        return { good: mode === 'off', words: `the gateway mode is ${mode}` };
      },
    },
  },
  {
    action: 'isolate',
    words: 'without this router between them the LAN and the mesh no longer make a circle',
    does: 'take the mesh interface out of its bridge until the storm is over',
    cost: 6,
    radius: 'neighbourhood',
    refusal: (_fault, { around }) => {
      const { mesh, links } = around;
      if (mesh === null || !links.has(mesh.master)) return 'the mesh interface is in no bridge';
      return null;
    },
    mend: {
      keeps: 'while',
      cooldownNs: 30 * MINUTE,
      limitNs: 60 * SECOND,
      steps: (_fault, { around }) => unbridging(around),
    },
  },
  {
    action: 'restart-radio',
    words: 'a driver that is stuck begins anew when its interface was down',
    does: 'set the interface down and up again',
    cost: 7,
    radius: 'router',
    shownBy: 'deed',
    refusal: (fault, scene) => {
      if (!scene.around.settings.restart) return 'heal.restart is off';
      const link = linkByName(scene.around, fault.interface ?? '');
      if (link === undefined || !link.up) return 'it is not up';
      return untouchable(fault, scene.around) ?? otherWay(fault, scene) ?? unsure(fault, scene);
    },
    mend: {
      keeps: 'moment',
      cooldownNs: 60 * MINUTE,
      limitNs: 120 * SECOND,
      steps: ({ interface: name }, { around }) => {
        const set = (up: boolean): Change => ({ kind: 'set-up', interface: name!, up });
        const holds = `${name} up`;
        // A mesh that netifd's scripts have joined would not be joined again by an interface that comes up.
        const radio: Change = { kind: 'netifd-radio', interface: name! };
        const netifd: Step[] = around.declared.has(name!) ? [{ change: radio, undo: null, holds, suffices: true }] : [];
        return [
          ...netifd,
          { change: set(false), undo: set(true), holds },
          { change: set(true), undo: set(true), holds },
        ];
      },
    },
  },
  {
    action: 'restart-service',
    words: 'the agent begins anew, with the memory that it needs and no more',
    does: 'restart the agent',
    cost: 8,
    radius: 'router',
    refusal: (_fault, { around }) => (around.settings.restart ? null : 'heal.restart is off'),
    mend: { keeps: 'moment', cooldownNs: 360 * MINUTE, limitNs: 60 * SECOND, steps: () => [] },
  },
  {
    action: 'tell',
    words: 'a person is told',
    does: 'tell a person',
    cost: 10,
    radius: 'link',
    refusal: () => null,
    mend: { keeps: 'moment', cooldownNs: 60 * MINUTE, limitNs: 10 * MS, steps: () => [] },
  },
];

function hardOf(name: string | null, around: Surroundings) {
  return around.tables?.hardInterfaces.find((hard) => hard.name === name);
}

function hardStep(name: string | null, key: keyof HardSettings, value: number, around: Surroundings): Step[] {
  const before = hardOf(name, around)?.[key];
  if (name === null || before === undefined) return [];
  const set = (to: number): Change => ({ kind: 'set-hard', interface: name, settings: { [key]: to } });
  return [{ change: set(value), undo: set(before), holds: `${name} ${key}` }];
}

function costSteps(fault: Fault, { around }: Scene): Step[] {
  if (isV(around)) return hardStep(fault.interface, 'throughputOverride', SLOW, around);
  const penalty = fault.class === 'link-one-way' ? FORBIDDING : COSTLY;
  return hardStep(fault.interface, 'hopPenalty', penalty, around);
}

function costRefusal(fault: Fault, scene: Scene): string | null {
  const { around } = scene;
  const hard = hardOf(fault.interface, around);
  const key = isV(around) ? 'throughputOverride' : 'hopPenalty';
  if (hard?.[key] === undefined) return 'this batman-adv cannot make one interface cost more';
  if ((hard.hopPenalty ?? 0) >= COSTLY) return 'it costs as much as is of use';
  const { class: kind, affected } = fault;
  const isOfOne = kind === 'link-flapping' && affected.length > 0;
  if (isOfOne && neighboursOn(around, fault.interfaceIndex ?? 0).some((one) => !affected.includes(one)))
    return 'others are heard well there, and it would cost more for them too';
  const refused = otherWay(fault, scene);
  return refused !== null && mayBring(fault, around) ? null : refused;
}

/**
 * A neighbour that goes by this router itself tells it of no other way (batman-adv forwards an OGM only from where it came
 * best) until that costs more: then it does, where it has one, and else all is given back. Two links that forbid themselves
 * one after the other would leave no TQ at all, so not where that is what is done.
 */
function mayBring({ class: kind, interfaceIndex: index }: Fault, around: Surroundings): boolean {
  if (kind === 'link-one-way' || isV(around) || broken(around, index ?? 0).length === 0) return false;
  return (around.tables?.neighbours ?? []).some((one) => one.interface !== index);
}

/** Why nothing is known to be won without this link; to take it away would leave some with no way at all. */
function otherWay(fault: Fault, { around }: Scene): string | null {
  // The interface costs more for all of its neighbours, so all routes through it count.
  const lost = broken(around, fault.interfaceIndex ?? 0);
  if (lost.length === 0) return 'no route goes through it: nothing would be won';
  const without = lost.filter(({ other }) => other === 'none').length;
  return without === 0 ? null : `no other way is known to ${without} of ${lost.length} routers behind it`;
}

/**
 * Why an interface that still carries something must not be down, even for a moment: another row that is old or weak leads
 * nowhere, or back here, and one by an interface that is at fault itself may. Dear, it would still be there for those.
 */
function unsure(fault: Fault, { around, knowledge }: Scene): string | null {
  const lost = broken(around, fault.interfaceIndex ?? 0);
  const isSure = ({ other, by }: Broken) => other === 'good' && by !== null && knowledge.isWhole(by.interface);
  const without = lost.filter((one) => !isSure(one)).length;
  return without === 0 ? null : `no other way is sure for ${without} of ${lost.length} routers behind it`;
}

function cycleRefusal(fault: Fault, scene: Scene): string | null {
  const refused = untouchable(fault, scene.around) ?? otherWay(fault, scene) ?? unsure(fault, scene);
  if (refused !== null) return refused;
  if (scene.knowledge.detached.has(fault.interface ?? '')) return 'it is out already';
  return meetsAgent(fault.interfaceIndex ?? 0, scene) ? null : 'the neighbour there runs no agent';
}

function reselectRefusal({ affected }: Fault, { tables }: Surroundings): string | null {
  if (affected.length < 2) return 'no other gateway is on offer';
  const best = tables?.gateways.find((gateway) => gateway.best);
  return best === undefined || best.originator === affected[0] ? null : 'batman-adv has chosen another by itself';
}

/**
 * Would batman-adv choose the lost gateway again, or one that is as silent? By what its tables still say of them
 * (gateway_client.c, bat_iv_ogm.c, bat_v.c).
 */
function returns({ affected: [, ...others] }: Fault, { tables }: Surroundings): boolean {
  const isFast = tables?.mesh?.settings.gwSelClass === 1;
  const worth = ({ tq, throughput, bandwidthDown }: Gateway): number =>
    tq === undefined ? Math.min(throughput ?? 0, bandwidthDown) : isFast ? tq * tq * bandwidthDown : tq;
  const best = (isHeard: boolean) => {
    const gateways = (tables?.gateways ?? []).filter(({ originator }) => others.includes(originator) === isHeard);
    return Math.max(0, ...gateways.map(worth));
  };
  return best(false) > 0 && best(false) >= best(true);
}

function remedyStep({ remedy, interface: name }: Fault, { around }: Scene): Step[] {
  if (remedy === undefined) return [];
  const { change } = remedy;
  const isSetting = change.kind === 'set-mesh' || change.kind === 'set-hard';
  const holds = `${name} ${isSetting ? Object.keys(change.settings)[0] : change.kind}`;
  // What netifd has declared it brings up as declared; what is missing after that is ours.
  const isNetifds = !isSetting && name !== null && around.declared.has(name);
  const netifd: Step[] = isNetifds ? [{ change: { kind: 'netifd-up', interface: name }, undo: null, holds }] : [];
  return [...netifd, { ...remedy, holds }];
}

/** bat0 out of its bridge. */
function unbridging({ mesh, links }: Surroundings): Step[] {
  const bridge = links.get(mesh?.master ?? 0)?.name;
  if (mesh === null || bridge === undefined) return [];
  const to = (master: string | null): Change => ({ kind: 'set-master', interface: mesh.name, master });
  return [{ change: to(null), undo: to(bridge), holds: `${mesh.name} master` }];
}

/**
 * What went round has taught both routers that stations of the mesh are behind them. batman-adv keeps that for ten minutes
 * (BATADV_TT_LOCAL_TIMEOUT), and frames to those stations are lost or go round, loop avoidance or not. Where the circle is
 * open for a few OGMs the stations are heard where they are, and are taken back by their own routers. Before that each of
 * the two has to have heard by the LAN that the other avoids loops too (BATADV_BLA_PERIOD_LENGTH), or it all begins anew.
 */
function clearingSteps({ around }: Scene): Step[] {
  const interval = (around.tables?.mesh?.settings.origInterval ?? 1000) * MS;
  const forNs = Math.min(MOST_CLEARING, CLEARING_OGMS * interval);
  return unbridging(around).map((step) => ({ ...step, afterNs: KNOWN_BY_LAN, forNs }));
}

/** All that had another way go by one, and somebody does. */
function haveMoved(fault: Fault, { around }: Scene, lost: readonly Broken[]): { good: boolean; words: string } {
  const isElsewhere = ({ originator }: Broken) =>
    (around.tables?.originators ?? []).some(
      (path) => path.best && path.originator === originator && path.interface !== fault.interfaceIndex,
    );
  const moved = lost.filter(isElsewhere);
  const isLeft = lost.some((one) => one.other !== 'none' && !moved.includes(one));
  return { good: moved.length > 0 && !isLeft, words: `${moved.length} of ${lost.length} routers go another way` };
}
