/** Faults of the way out of the mesh: a client whose gateway went, a gateway with nothing behind it. */
import type { Event } from '../../core/event.ts';
import type { Mac } from '../../core/ids.ts';
import { MS, type Nanos, SECOND } from '../../core/time.ts';
import type { Finding } from '../../core/words.ts';
import type { Surroundings } from '../surroundings.ts';
import { type Detector, type FaultSpec, NOTHING, Steady } from './spec.ts';

export const GATEWAY_FAULTS: readonly FaultSpec[] = [
  {
    class: 'gateway-lost',
    words: 'the gateway that this router uses is gone',
    safe: false,
    repairs: ['gateway-any', 'gateway-reselect', 'tell'],
    rightAfterNs: 10 * SECOND,
  },
  {
    class: 'gateway-no-upstream',
    words: 'this router offers a gateway, and has no way out of the mesh',
    safe: false,
    repairs: ['gateway-stand-down', 'tell'],
    rightAfterNs: 60 * SECOND,
  },
];

/** A gateway used for so long is one to miss. */
const USED_FOR: Nanos = 10 * SECOND;
const MISSED = 6;
/** A gateway that falls silent so soon after batman-adv chose another was left for that; twice what silence takes, and at least: */
const LEFT_FOR: Nanos = 20 * SECOND;

interface Used {
  readonly gateway: Mac;
  readonly since: Nanos;
  last: Nanos;
}

export class GatewayLostDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['tables'];
  readonly #around: Surroundings;
  readonly #lost = new Steady('gateway-lost', 3 * SECOND, 3, 0);
  #used: Used | null = null;
  /** What batman-adv has left by itself, where nobody knows yet whether it is gone. */
  #left: { readonly gateway: Mac; readonly until: Nanos } | null = null;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    const { tables, started } = this.#around;
    if (!started || !tables?.mesh || event.type !== 'tables') return [];
    if (tables.mesh.settings.gwMode !== 'client') {
      this.#used = null;
      this.#left = null;
      return this.#lost.lose(NOTHING, 'this router uses no gateway');
    }
    const silentMs = MISSED * Math.max(1000, tables.mesh.settings.origInterval);
    const ageOf = (gateway: Mac) =>
      Math.min(...tables.originators.filter((path) => path.originator === gateway).map((path) => path.lastSeenMs));
    const best = tables.gateways.find((gateway) => gateway.best);
    const isHeard = best !== undefined && ageOf(best.originator) < silentMs;
    if (isHeard) {
      if (this.#used?.gateway !== best.originator) this.#choose(best.originator, 2 * silentMs * MS, now);
      this.#used!.last = now;
      return this.#missed(best.originator, (gateway) => ageOf(gateway) >= silentMs, now);
    }
    const used = this.#used;
    if (!isSettled(used)) return [];
    // By the repair none is chosen: a lent setting is seen as it was, but for what was read.
    const isNone = event.tables.mesh?.settings.gwMode === 'off';
    if (isNone) {
      const isKept = tables.gateways.some(({ originator }) => originator === used.gateway);
      const isSilent = ageOf(used.gateway) >= silentMs;
      if (isKept && isSilent && this.#lost.isOpen(NOTHING)) return [];
      // One that is heard again may fall silent again before the repair is taken back.
      if (!isKept) this.#used = null;
      else if (!isSilent) used.last = now;
      if (!isKept || !isSilent)
        return this.#lost.end(NOTHING, `${used.gateway} is ${isKept ? 'heard again' : 'forgotten'}`);
    }
    const others = tables.gateways.filter(
      ({ originator }) => originator !== used.gateway && ageOf(originator) < silentMs,
    );
    const rest = others.length > 0 ? `${others.length} others are on offer` : 'no other is on offer';
    const isOffered = best !== undefined || isNone;
    const how = isOffered
      ? `${isNone ? 'would be' : 'is'} chosen still, and nothing is heard of it`
      : 'is no longer on offer';
    const what = `${used.gateway} ${how} for ${Math.round((now - used.last) / SECOND)} s; ${rest}`;
    const affected = [used.gateway, ...others.map(({ originator }) => originator)].slice(0, 50);
    return this.#lost.read(NOTHING, { confidence: 0.9, source: 'batadv tables', what, affected }, now);
  }

  #choose(gateway: Mac, silence: Nanos, now: Nanos): void {
    if (this.#lost.isOpen(NOTHING)) this.#left = null;
    // Else what was left before still is: it may choose several, one after the other.
    else if (isSettled(this.#used))
      this.#left = { gateway: this.#used.gateway, until: now + Math.max(LEFT_FOR, silence) };
    this.#used = { gateway, since: now, last: now };
  }

  /** Gone it is too where batman-adv was quick to choose another. */
  #missed(by: Mac, isSilent: (gateway: Mac) => boolean, now: Nanos): readonly Finding[] {
    const left = this.#left;
    if (left === null || now > left.until || !isSilent(left.gateway)) {
      if (left !== null && now > left.until) this.#left = null;
      return this.#lost.end(NOTHING, `${by} is the gateway now`);
    }
    const what = `${left.gateway} fell silent; batman-adv has chosen ${by} by itself`;
    const seen = { confidence: 0.9, source: 'batadv tables', what, affected: [left.gateway, by] };
    const found = this.#lost.read(NOTHING, seen, now);
    if (found.length > 0) this.#left = null;
    return found;
  }
}

function isSettled(used: Used | null): used is Used {
  return used !== null && used.last - used.since >= USED_FOR;
}

/** Readings are rare: two of them, half a minute. */
const SEEN = 2;

export class UpstreamDetector implements Detector {
  readonly wants: readonly Event['type'][] = ['upstream', 'tables'];
  readonly #around: Surroundings;
  readonly #none = new Steady('gateway-no-upstream', 10 * SECOND, SEEN, 20 * SECOND);
  #hadUpstream = false;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  on(event: Event, now: Nanos): readonly Finding[] {
    // lent settings are seen as they were: a gateway that stands down for this fault still counts as one.
    const isGateway = this.#around.tables?.mesh?.settings.gwMode === 'server';
    if (event.type === 'tables') {
      if (this.#around.tables?.mesh == null || isGateway) return [];
      this.#hadUpstream = false;
      return this.#none.lose(NOTHING, 'this router offers no gateway');
    }
    if (event.type !== 'upstream' || !isGateway) return [];
    const { interface: name, carrier, answers } = event.upstream;
    const works = name !== null && carrier && answers !== false;
    if (works) {
      this.#hadUpstream = true;
      return this.#none.read(NOTHING, `the way out by ${name} is there`, now);
    }
    // One that never had an upstream is not set up yet, or has one that we cannot see.
    if (!this.#hadUpstream) return [];
    const what =
      name === null
        ? 'there is no default route out of the mesh'
        : !carrier
          ? `the default route leads out by ${name}, which has no carrier`
          : `the router behind ${name} does not answer ARP`;
    return this.#none.read(NOTHING, { confidence: 0.95, source: 'upstream', what }, now);
  }
}

export const UPSTREAM_EVERY: Nanos = 15_000 * MS;
