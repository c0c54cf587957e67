/**
 * Bench `false-alarms`: 24 hours of virtual time, four routers that all hear each other, profile default. Each link loses
 * one frame in five (a fifth of the links' time, one in twenty: it swings), and every five seconds on the average all that
 * is sent over it within 200 ms. OGMs are lost alike. Nobody fails: whoever is declared silent is a false alarm.
 *
 * Beside it, on the same air: routers that do fail, and how long it takes until a neighbour says so. And `wide_`: three slots
 * instead of 100 for the four, so that each sends every other superframe, as it does where more routers are near than
 * there are slots; `wide_stride`: the mean stride, looked at every ten minutes. (For calm's sake alone no stride is wide here: with
 * so much loss somebody changes its slot within any minute.)
 */
import { beaconSettings, type ProfileName } from '../../agent/beacon/profile.ts';
import { MS, type Nanos, SECOND } from '../../agent/core/time.ts';
import { BeaconAir } from './beacon-air.ts';
import { type Draw, seeded } from './seeded.ts';
import { type BenchResult, mean, type Progress, percentile } from './stats.ts';

const HOURS = 24;
const ROUTERS = 4;
const BURST: Nanos = 200 * MS;
const BURST_EVERY: Nanos = 5 * SECOND;
/** Of profile default's 500 ms: three of them. */
const WIDE_SLOT: Nanos = 166 * MS;
const LOOK: Nanos = 600 * SECOND;
const LINKS = Array.from({ length: ROUTERS }, (_, a) => a).flatMap((a) =>
  Array.from({ length: a }, (_, b) => [a, b] as const),
);

/** Loss of both directions of a link, with bursts: exponential gaps between them. */
function lossy(draw: Draw): (from: number, to: number, t: Nanos) => number {
  const bursts = new Map<string, { begin: Nanos; end: Nanos }>();
  return (from, to, t) => {
    const key = from < to ? `${from} ${to}` : `${to} ${from}`;
    let burst = bursts.get(key) ?? { begin: 0, end: 0 };
    while (t >= burst.end) {
      const begin = burst.end - Math.log(1 - draw()) * BURST_EVERY;
      burst = { begin, end: begin + BURST };
    }
    bursts.set(key, burst);
    if (t >= burst.begin) return 1;
    return Math.floor(t / (60 * SECOND)) % 5 === 4 ? 0.05 : 0.2;
  };
}

function air(profile: ProfileName, seed: number, slotNs: Nanos = 0): BeaconAir {
  const draw = seeded(seed);
  const settings = beaconSettings({ profile, intervalNs: 0, slotNs, guardNs: 0, rateKbit: 6000, ethertype: 0x88b5 });
  const made = new BeaconAir(ROUTERS, { settings, draw, links: LINKS, loss: lossy(draw), skew: 50e-6, ogms: true });
  for (let id = 0; id < ROUTERS; id++) made.at(id * 100 * MS, () => made.start(id));
  return made;
}

const silences = (of: BeaconAir) =>
  of.stations.flatMap(({ symptoms }) => symptoms.filter(({ symptom }) => symptom.what === 'neighbour-silent'));

/** One router falls silent again and again: how long its neighbours take to say so. */
function detection(profile: ProfileName, times: number): number[] {
  const one = air(profile, 7);
  const found: number[] = [];
  one.run(30 * SECOND);
  for (let i = 0; i < times; i++) {
    const at = one.t;
    one.stop(0);
    one.run(at + 10 * SECOND);
    for (const { symptoms } of one.stations.slice(1))
      for (const { t, symptom } of symptoms)
        if (t > at && symptom.what === 'neighbour-silent' && symptom.peer === one.stations[0]!.port)
          found.push((t - at) / MS);
    one.start(0);
    one.run(one.t + (20 + i * 0.0317) * SECOND);
  }
  return found;
}

/** Routers that send every other superframe: who was declared silent, and the strides that they had. */
async function wide(progress: Progress): Promise<{ alarms: number; stride: number }> {
  const one = air('default', 2, WIDE_SLOT);
  const strides: number[] = [];
  for (let t = LOOK; t <= HOURS * 3600 * SECOND; t += LOOK) {
    one.run(t);
    for (const station of one.stations) strides.push(station.machine.view(one.local(station))?.place?.stride ?? 1);
    if (t % (4 * 3600 * SECOND) === 0)
      progress(
        `wide, ${t / SECOND / 3600} of ${HOURS} hours: ${silences(one).length} false alarms, stride ${mean(strides)}`,
      );
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { alarms: silences(one).length, stride: mean(strides) };
}

export async function run(progress: Progress): Promise<BenchResult> {
  const one = air('default', 1);
  for (let hour = 1; hour <= HOURS; hour++) {
    one.run(hour * 3600 * SECOND);
    if (hour % 4 === 0)
      progress(`${hour} of ${HOURS} hours: ${silences(one).length} false alarms, ${one.frames} frames`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const suspicions = one.stations.map(({ machine }, id) => machine.view(one.local(one.stations[id]!))!.suspicions);
  const { alarms, stride } = await wide(progress);
  const times = detection('default', 60);
  const fast = detection('fast', 60);
  progress(`${times.length} of ${60 * (ROUTERS - 1)} silences told, fast ${fast.length}`);
  return {
    figures: {
      false_alarms: silences(one).length,
      wide_false_alarms: alarms,
      wide_stride: stride,
      suspicions_per_hour: mean(suspicions) / HOURS,
      frames_per_s: one.frames / (HOURS * 3600 * ROUTERS),
      detect_ms_p50: percentile(times, 50),
      detect_ms_p95: percentile(times, 95),
      told_pct: (100 * times.length) / (60 * (ROUTERS - 1)),
      fast_detect_ms_p95: percentile(fast, 95),
    },
    baseline: {},
    targets: [
      { figure: 'false_alarms', atMost: 0 },
      { figure: 'wide_false_alarms', atMost: 0 },
      // Without it the figure above says nothing.
      { figure: 'wide_stride', atLeast: 1.9 },
    ],
  };
}
