/** The catalogue: every fault this agent can tell, and who watches for it. A family of faults is a file beside this one. */
import type { Mac } from '../../core/ids.ts';
import type { FaultClass, Symptom } from '../../core/words.ts';
import type { Ogm } from '../ogm.ts';
import type { Surroundings } from '../surroundings.ts';
import { GATEWAY_FAULTS, GatewayLostDetector, UpstreamDetector } from './gateway.ts';
import {
  FeatureDetector,
  INTERFACE_FAULTS,
  MisconfiguredDetector,
  MismatchDetector,
  MtuDetector,
} from './interface.ts';
import { FlapDetector, LINK_FAULTS, LinkFigureDetector } from './link.ts';
import { LostRoutersDetector, ROUTER_FAULTS } from './router.ts';
import { ClockDetector, DriftDetector, OverloadDetector, SELF_FAULTS } from './self.ts';
import type { Detector, FaultSpec } from './spec.ts';
import { AddressDetector, TRAFFIC_FAULTS, TrafficDetector, TranslationDetector } from './traffic.ts';

/** What others report and people ask for is planned like a fault, and is none of this router's own. */
const WORD: readonly FaultSpec[] = [
  {
    class: 'remote-alarm',
    words: 'another router reported a fault',
    safe: true,
    repairs: ['clear-way', 'kick'],
    rightAfterNs: 0,
  },
  {
    class: 'asked',
    words: 'nothing is wrong; a person asked for a kick',
    safe: true,
    repairs: ['kick'],
    rightAfterNs: 0,
  },
];

export const CATALOGUE: readonly FaultSpec[] = [
  ...LINK_FAULTS,
  ...INTERFACE_FAULTS,
  ...ROUTER_FAULTS,
  ...GATEWAY_FAULTS,
  ...TRAFFIC_FAULTS,
  ...SELF_FAULTS,
  ...WORD,
];

const BY_CLASS = new Map(CATALOGUE.map((spec) => [spec.class, spec]));

export function specOf(fault: FaultClass): FaultSpec;
/** In a journal of another version there may be others. */
export function specOf(fault: string): FaultSpec | undefined;
export function specOf(fault: string): FaultSpec | undefined {
  return BY_CLASS.get(fault as FaultClass);
}

export function isFaultClass(name: string): name is FaultClass {
  return BY_CLASS.has(name as FaultClass);
}

/** By the symptom that begins them. */
export const BEGINS: ReadonlyMap<Symptom['what'], FaultSpec> = new Map(
  CATALOGUE.flatMap((spec) => (spec.begins === undefined ? [] : [[spec.begins[0], spec] as const])),
);

export const ENDS: ReadonlyMap<Symptom['what'], FaultClass> = new Map(
  CATALOGUE.flatMap((spec) => (spec.ends === undefined ? [] : [[spec.ends, spec.class] as const])),
);

export function detectors(around: Surroundings, ogmOf: (originator: Mac) => Ogm | undefined): readonly Detector[] {
  return [
    new LinkFigureDetector(around),
    new FlapDetector(around),
    new MisconfiguredDetector(around),
    new MtuDetector(around),
    new MismatchDetector(around),
    new FeatureDetector(around, ogmOf),
    new LostRoutersDetector(around),
    new GatewayLostDetector(around),
    new UpstreamDetector(around),
    new TrafficDetector(around),
    new TranslationDetector(ogmOf),
    new AddressDetector(around),
    new DriftDetector(around),
    new OverloadDetector(),
    new ClockDetector(),
  ];
}
