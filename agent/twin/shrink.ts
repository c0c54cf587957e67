/**
 * From a scenario that breaks an invariant to the shortest one that still does: fewer things that happen, fewer routers
 * and links, nothing special about them, everything sooner and shorter. Greedy, and bounded.
 */
import type { Document, Entry } from './chance.ts';
import type { Invariant } from './invariants.ts';
import { play, read } from './trial.ts';

const MOST_TRIES = 400;
/** Seconds; what is shorter tells no more. */
const SHORT = 0.2;

export interface Shrunk {
  readonly document: Document;
  readonly tries: number;
}

/** `breaks` answers whether a document still shows what is looked for; by default it is played. */
export function shrink(
  document: Document,
  invariant: Invariant,
  breaks: (document: Document) => boolean = (one) => isBroken(one, invariant),
): Shrunk {
  let best = document;
  let tries = 0;
  for (let isBetter = true; isBetter && tries < MOST_TRIES; ) {
    isBetter = false;
    for (const simpler of simplerThan(best)) {
      if (tries >= MOST_TRIES) break;
      tries += 1;
      if (!breaks(simpler)) continue;
      best = simpler;
      isBetter = true;
      break;
    }
  }
  return { document: best, tries };
}

function isBroken(document: Document, invariant: Invariant): boolean {
  try {
    return play(read(document)).breaches.some((breach) => breach.invariant === invariant);
  } catch {
    // No scenario: a mesh in two parts, a name of nothing.
    return false;
  }
}

/** One step each, the largest first. */
function* simplerThan(document: Document): Iterable<Document> {
  const { timeline, topology } = document;
  for (let i = 0; i < timeline.length; i++) yield { ...document, timeline: timeline.toSpliced(i, 1) };
  for (const name of new Set(topology.links.flat())) yield withoutRouter(document, name);
  for (let i = 0; i < topology.links.length; i++)
    yield { ...document, topology: { ...topology, links: topology.links.toSpliced(i, 1) } };
  for (const special of ['expect', 'probes', 'links', 'nodes', 'link', 'kernel', 'agent'])
    if (special in document)
      yield Object.fromEntries(Object.entries(document).filter(([key]) => key !== special)) as Document;
  for (const [i, entry] of timeline.entries()) {
    const { at_s, for_s } = entry;
    const sooner = whole(at_s / 2);
    if (at_s >= SHORT) yield withEntry(document, i, { ...entry, at_s: 0 });
    if (at_s >= SHORT && sooner > 0) yield withEntry(document, i, { ...entry, at_s: sooner });
    if (typeof for_s === 'number' && for_s >= 2 * SHORT)
      yield withEntry(document, i, { ...entry, for_s: whole(for_s / 2) });
  }
  const { duration_s } = document;
  const end = Math.max(0, ...timeline.map(({ at_s, for_s }) => at_s + (typeof for_s === 'number' ? for_s : 0)));
  if (typeof duration_s === 'number' && duration_s > end + 2) yield { ...document, duration_s: Math.ceil(end + 1) };
}

function withEntry(document: Document, at: number, entry: Entry): Document {
  return { ...document, timeline: document.timeline.with(at, entry) };
}

function withoutRouter(document: Document, name: string): Document {
  const { topology, timeline } = document;
  const agent = document.agent as { readonly nodes?: readonly string[] } | undefined;
  const links = topology.links.filter((link) => !link.includes(name));
  return {
    ...document,
    topology: {
      ...topology,
      links,
      ...(topology.nodes === undefined ? {} : { nodes: topology.nodes.filter((one) => one !== name) }),
      ...(topology.places === undefined
        ? {}
        : { places: Object.fromEntries(Object.entries(topology.places).filter(([one]) => one !== name)) }),
    },
    timeline: timeline.filter(({ node, link }) => node !== name && !(Array.isArray(link) && link.includes(name))),
    ...(agent?.nodes === undefined ? {} : { agent: { ...agent, nodes: agent.nodes.filter((one) => one !== name) } }),
  };
}

/** Whole milliseconds, as people would write them. */
function whole(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
