/** The other routers, and our links to those beside us. */
import type { RadioStation } from '../../core/kernel.ts';
import { toMs } from '../../core/time.ts';
import type { LinkView } from '../../mesh/mesh.ts';
import type { Of } from '../shape.ts';
import * as shapes from '../shapes.ts';
import type { Sources } from '../sources.ts';
import { type Call, call, seconds } from './call.ts';
import { isolatedOf } from './trust.ts';
import type { NeighbourXdp } from './xdp.ts';

export const meshCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/mesh/nodes',
    help: 'The other routers.',
    shape: shapes.nodes,
    answer: ({ sources }) => {
      const now = sources.now();
      const names = sources.trust?.view()?.names;
      const nodes = sources.mesh().nodes.map(({ originator, state, health, nextHop, tq, throughput, ...node }) => ({
        originator,
        node: names?.get(originator) ?? null,
        state,
        health,
        nextHop,
        nextHopNode: names?.get(nextHop) ?? null,
        interface: node.interface,
        tq,
        throughput,
        lastSeenSeconds: seconds(now - node.lastSeen),
        sinceSeconds: seconds(now - node.since),
      }));
      return { nodes };
    },
  }),
  call({
    method: 'GET',
    path: '/mesh/links',
    help: 'Our neighbours on each hard interface, with the quality of the link.',
    shape: shapes.links,
    answer: ({ sources }) => {
      const now = sources.now();
      const names = sources.trust?.view()?.names;
      const seen = new Map(sources.xdp?.()?.neighbours.map((one) => [`${one.interface} ${one.neighbour}`, one]));
      const links = sources.mesh().links.map((link) => ({
        interface: link.interface,
        neighbour: link.neighbour,
        originator: link.originator,
        node: names?.get(link.originator ?? link.neighbour) ?? null,
        quality: link.quality,
        carrier: link.carrier,
        kind: kindOf(link, sources),
        tq: link.tq,
        throughput: link.throughput,
        latencyMs: link.latencyNs === null ? null : toMs(link.latencyNs),
        loss: link.loss === null ? null : Math.round(link.loss * 1e4) / 1e4,
        lastSeenSeconds: seconds(now - link.lastSeen),
        radio: link.radio === null ? null : radioOf(link.radio),
        incoming: incomingOf(seen.get(`${link.interface} ${link.neighbour}`)),
      }));
      return { links, isolated: isolatedOf(sources.trust) };
    },
  }),
];

/** A port of a switch (DSA) is hardware, too, with a carrier of its own. */
function kindOf({ radio, kind, index }: LinkView, sources: Pick<Sources, 'isRadio'>): string | null {
  if (radio !== null || sources.isRadio(index)) return 'wifi';
  return kind === '' || kind === 'dsa' ? 'ethernet' : kind;
}

function incomingOf(seen: NeighbourXdp | undefined): Of<typeof shapes.links>['links'][number]['incoming'] {
  if (seen === undefined) return null;
  const { frames, bytes, silent, lastSeenNs, received, lost, lossOnAir, restarts, medianGapNs } = seen;
  return {
    frames,
    bytes,
    silent,
    lastSeenMs: lastSeenNs === null ? null : toMs(lastSeenNs),
    received,
    lost,
    lossOnAir: lossOnAir === null ? null : Math.round(lossOnAir * 1e4) / 1e4,
    restarts,
    medianGapMs: medianGapNs === null ? null : toMs(medianGapNs),
  };
}

function radioOf(station: RadioStation) {
  return {
    signalDbm: station.signalAverage ?? station.signal ?? null,
    bitrateKbits: station.txBitrate ?? null,
    expectedKbits: station.expectedThroughput ?? null,
    retries: station.txRetries ?? null,
    failed: station.txFailed ?? null,
    inactiveMs: station.inactiveMs ?? null,
    peerLink: station.peerLink ?? null,
  };
}
