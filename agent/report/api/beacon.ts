/** The transmit schedule and the common time. */
import type { BeaconView } from '../../beacon/beacon.ts';
import { type Nanos, toMs } from '../../core/time.ts';
import type { Of } from '../shape.ts';
import * as shapes from '../shapes.ts';
import { type Call, call } from './call.ts';

export const beaconCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/mesh/beacon',
    help: 'The transmit schedule and the common time, where beacons are on.',
    shape: shapes.beacon,
    answer: ({ sources }) => ({ beacon: beaconOf(sources.beacon(), sources.stamps?.() ?? { xdp: 0, socket: 0 }) }),
  }),
];

function beaconOf(
  view: BeaconView | null,
  { xdp, socket }: { readonly xdp: number; readonly socket: number },
): Of<typeof shapes.beacon>['beacon'] {
  if (view === null) return null;
  const { place, jitterNs, boundNs } = view;
  const us = (ns: Nanos) => Math.round(ns) / 1e3;
  return {
    profile: view.profile,
    superframeMs: toMs(view.superframeNs),
    slotMs: toMs(view.slotNs),
    slots: view.slots,
    slot: place?.slot ?? null,
    stride: place?.stride ?? null,
    phase: place?.phase ?? null,
    overfull: view.overfull,
    within2Hops: view.within2Hops,
    collisions: view.collisions,
    root: view.root,
    depth: view.depth,
    meshTimeMs: toMs(view.meshNs),
    offsetMs: toMs(view.offsetNs),
    driftPpm: Math.round(view.driftPpm * 1e3) / 1e3,
    errorBoundUs: boundNs === null ? null : us(boundNs),
    jitterUs: jitterNs === null ? null : us(jitterNs),
    stampedByXdp: xdp,
    stampedBySocket: socket,
    suspicions: view.suspicions,
    neighbours: view.neighbours.map(({ lastNs, heard, ...one }) => ({
      ...one,
      heard: Math.round(heard * 1e4) / 1e4,
      lastMs: toMs(lastNs),
    })),
  };
}
