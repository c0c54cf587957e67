/** How often beacons come, and what follows from that: superframe, slot, guard time, and when silence is suspicious. */
import { MS, type Nanos, SECOND, US } from '../core/time.ts';
import { LONGEST_BEACON, MOST_SLOTS } from './frame.ts';

export const PROFILES = ['brief', 'default', 'fast'] as const;
export type ProfileName = (typeof PROFILES)[number];

interface Profile {
  readonly superframeNs: Nanos;
  readonly slotNs: Nanos;
  readonly guardNs: Nanos;
  /** A beacon is made and handed over so long before its slot: whatever holds the agent up for less costs nothing. */
  readonly leadNs: Nanos;
  /** See liveness.ts. */
  readonly suspectNs: Nanos;
  readonly overdueNs: Nanos;
  readonly askNs: Nanos;
  readonly paceNs: Nanos;
  /** How wide a stride may be in quiet times on busy air. */
  readonly ease: number;
}

/** `suspectNs` with `askNs` is how long a neighbour is silent when it is declared so. */
const TABLE: Readonly<Record<ProfileName, Profile>> = {
  brief: {
    superframeNs: 5 * SECOND,
    slotNs: 100 * MS,
    guardNs: 10 * MS,
    leadNs: 100 * MS,
    suspectNs: 11 * SECOND,
    overdueNs: SECOND,
    askNs: SECOND,
    paceNs: 40 * MS,
    ease: 2,
  },
  // One lost beacon is asked about unless an OGM came meanwhile, so that there is time for many questions.
  default: {
    superframeNs: 500 * MS,
    slotNs: 5 * MS,
    guardNs: 500 * US,
    leadNs: 100 * MS,
    suspectNs: 650 * MS,
    overdueNs: 100 * MS,
    askNs: 680 * MS,
    paceNs: 15 * MS,
    ease: 2,
  },
  fast: {
    superframeNs: 100 * MS,
    slotNs: 2 * MS,
    guardNs: 300 * US,
    leadNs: 100 * MS,
    suspectNs: 150 * MS,
    overdueNs: 20 * MS,
    askNs: 130 * MS,
    paceNs: 8 * MS,
    ease: 1,
  },
};

/** Options of the configuration; 0 leaves what the profile has. */
export interface BeaconChoice {
  readonly profile: ProfileName;
  readonly intervalNs: Nanos;
  readonly slotNs: Nanos;
  readonly guardNs: Nanos;
  /** Multicast rate of the slowest radio, kbit/s. */
  readonly rateKbit: number;
  readonly ethertype: number;
}

export interface BeaconSettings extends Profile {
  readonly profile: ProfileName;
  readonly slots: number;
  readonly airtimeNs: Nanos;
  readonly ethertype: number;
}

/** Long preamble and PLCP header, and the wait before a frame (IEEE 802.11, DSSS): what does not depend on the rate. */
const PREAMBLE: Nanos = 242 * US;
/** An 802.11 frame has a longer header than an Ethernet one, and both have a checksum. */
const RADIO_BYTES = 28;
const FEWEST_SLOTS = 8;

/** The longest beacon on the air. */
function airtime(rateKbit: number): Nanos {
  return PREAMBLE + ((LONGEST_BEACON + RADIO_BYTES) * 8 * MS) / rateKbit;
}

export function beaconSettings(choice: BeaconChoice): BeaconSettings {
  const base = TABLE[choice.profile];
  const superframeNs = choice.intervalNs || base.superframeNs;
  const slotNs = choice.slotNs || base.slotNs;
  // What a profile promises holds for its own interval; another one stretches it.
  const scale = superframeNs / base.superframeNs;
  return {
    ...base,
    profile: choice.profile,
    superframeNs,
    slotNs,
    guardNs: choice.guardNs || base.guardNs,
    suspectNs: base.suspectNs * scale,
    overdueNs: base.overdueNs * scale,
    slots: Math.min(MOST_SLOTS, Math.floor(superframeNs / slotNs)),
    airtimeNs: airtime(choice.rateKbit),
    ethertype: choice.ethertype,
  };
}

/** Does the longest beacon fit a slot, with the guard time? */
export function fits({ slotNs, guardNs, airtimeNs }: BeaconSettings): boolean {
  return airtimeNs + guardNs <= slotNs;
}

export function hasSlots({ superframeNs, slotNs }: BeaconSettings): boolean {
  return superframeNs >= FEWEST_SLOTS * slotNs;
}

const ms = (ns: Nanos) => Math.round(ns / (MS / 10)) / 10;

/** For the error: what has to fit. */
export const FITTING =
  `beacon.slot to hold the guard time and a beacon of ${LONGEST_BEACON} bytes at beacon.rate ` +
  `(${ms(airtime(1000))} ms at 1 Mbit/s, ${ms(airtime(6000))} ms at 6): profile fast, with slots of 2 ms, needs a rate of 6000`;
export const ENOUGH_SLOTS = `beacon.interval to hold ${FEWEST_SLOTS} times beacon.slot or more`;
