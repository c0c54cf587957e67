/**
 * A mesh over real Wi-Fi: four emulated radios in a ring, each hearing its two neighbours only, with batman-adv and an agent
 * on top, and a medium that this suite controls; once as mesh points, once as an IBSS. Stations, signal and beacons are seen,
 * XDP counts what the radios bring in; a radio that falls silent is found and routed around; a station that the driver drops is missed at once.
 *
 * mac80211 tells of lost packets when fifty frames in a row to a station were not acknowledged and none was for a second
 * (ieee80211_lost_packet): in an IBSS, and of mesh points that send to their peers without path discovery (mesh_nolearn). That
 * word has to reach the agent; whether it comes before the tables show the silence is a race that the emulated machine's pace
 * decides.
 */
import { globSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Of } from '../../agent/report/shape.ts';
import type * as shapes from '../../agent/report/shapes.ts';
import { run as command, Mesh, macOf, monotonicNs, nsOf } from '../../tools/lab/mesh.ts';
import type { RadioType } from '../../tools/lab/radio.ts';
import { Probe, startAgents } from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { disagreements, type RadioCapture } from './iw-agreement.ts';
import { check, type Entry, eventually, inKernels, insideOf, say, skip, Undecided, Watched } from './suite.ts';

export const name = 'wifi';
export const soak = true;

export const run = (report: Report) =>
  inKernels(report, import.meta.filename, [{ name: 'mesh' }, { name: 'ibss' }], 1, 'qemu');

/** Everything here is emulated, and the machine may be busy: a wait that is over sooner costs nothing. */
const PATIENCE_MS = 120_000;
/** Four agents start one after the other; on a crowded machine the third took longer than the patience above. */
const READY_MS = 300_000;
/** batman-adv alone needs four to five seconds. */
const LIMIT_MS = 15_000;
/** OGMs that come further apart than this, though nothing is wrong, measure the machine and not the mesh. */
const STEADY_MS = 2000;
const LOOKS = 8;
/** The emulated air hands a frame on within 20 ms; one that keeps it for as long as an OGM interval cuts links by itself. */
const STILL_MS = 1000;
/** What the medium takes for a frame: 0.7 ms on a quiet machine. Beyond this all radios together cannot carry the probes. */
const SLOW_MS = 3;
const WORD_MS = 20_000;
/** Traffic flows again when so many of the last packets, and so large a part of them, came through. */
const LAST_NS = 5e9;
const FLOWS = 0.8;
/** Profile brief: of what the tables and the driver tell, beacons that come every 5 s tell nothing sooner. */
const CONFIG = { beacon: { enabled: '1', profile: 'brief' }, bpf: { enabled: '1' } };
/** A probe each 10 ms: each frame of it passes through emulated radios and our medium twice. */
const PACE_US = 10_000;

interface LinkRow {
  readonly neighbour: string;
  readonly radio: null | {
    readonly signalDbm: number | null;
    readonly bitrateKbits: number | null;
    readonly peerLink: string | null;
  };
}

type Beacons = Of<typeof shapes.beacon>['beacon'];

const radioOf = (router: number): string => macOf(router, 1);

async function links(watched: Watched): Promise<Map<string, LinkRow['radio']>> {
  const answer = await watched.control.get<{ links: LinkRow[] }>('/mesh/links');
  return new Map(answer.links.map(({ neighbour, radio }) => [neighbour, radio]));
}

/** What the journal holds of a neighbour's loss: the evidence, in words. */
async function evidence(watched: Watched, peer: string, since: number): Promise<string> {
  const wanted: Partial<Entry> = { class: 'link-silent', peer, step: 'planned' };
  const { fault } = await watched.entry(wanted, since, PATIENCE_MS);
  const told = await watched.control.get<{ evidence: { source: string; what: string }[] }>(`/heal/explain/${fault}`);
  return told.evidence.map(({ source, what }) => `${source}: ${what}`).join('; ');
}

/**
 * Waits until OGMs, one a second, arrive as they should at r0, for so long as the machine is given: what falls silent can
 * only be told from what does not. Answers the longest gap of the last look, in milliseconds.
 */
async function longestGap(mesh: Mesh): Promise<number> {
  const end = monotonicNs() + PATIENCE_MS * 1e6;
  for (;;) {
    let longest = 0;
    for (let look = 0; look < LOOKS; look++) {
      await sleep(1000);
      const row = (await mesh.originators(0)).find((one) => one.best && one.orig_address === macOf(1, 0));
      longest = Math.max(longest, row?.last_seen_msecs ?? Number.POSITIVE_INFINITY);
    }
    if (longest <= STEADY_MS || monotonicNs() > end) return longest;
  }
}

/** What r0's agent was told by nl80211 of frames to a neighbour that nobody acknowledged, out of its recording. */
async function wordOfLostPackets(neighbour: string): Promise<number | undefined> {
  const [tape] = globSync('/tmp/x0/r0/tape-*.jsonl');
  for (const line of readFileSync(tape!, 'utf8').split('\n')) {
    if (!line.includes('packets-lost') || !line.includes(neighbour)) continue;
    return Number(/"count":(\d+)/.exec(line)?.[1] ?? 0);
  }
  return undefined;
}

/** Sends r0's radio frames to a neighbour that does not answer, some three seconds long. */
async function insist(neighbour: string): Promise<void> {
  const r0 = (...words: string[]) => command('ip', ['netns', 'exec', nsOf(0), ...words]);
  await r0('ip', 'address', 'add', '10.78.1.1/24', 'dev', 'radio0');
  await r0('ip', 'neigh', 'replace', '10.78.1.2', 'lladdr', neighbour, 'dev', 'radio0', 'nud', 'permanent');
  const send = `const s = require('node:dgram').createSocket('udp4');
    let n = 0;
    const t = setInterval(() => n++ < 150 ? s.send('x', 9, '10.78.1.2') : (clearInterval(t), s.close()), 20);`;
  await r0(process.execPath, '-e', send);
  await r0('ip', 'address', 'delete', '10.78.1.1/24', 'dev', 'radio0');
}

async function inside(radioType: RadioType): Promise<void> {
  const mesh = await Mesh.build('radio-ring4', { radioType });
  say(`radios are up; traffic flowed after ${Math.round(await mesh.warm(300_000))} ms`);

  await check('every radio and station is read as iw prints it', async () => {
    const file = '/tmp/radio.json';
    const script = `${import.meta.dirname}/capture-radio.ts`;
    await command('ip', ['netns', 'exec', nsOf(0), process.execPath, script, file], '\n');
    const capture = JSON.parse(readFileSync(file, 'utf8')) as RadioCapture;
    const { interfaces, stations, wrong } = disagreements(capture);
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
    if (interfaces !== 1 || stations !== 2) throw new Error(`${interfaces} radios, ${stations} stations`);
  });

  const agents = await startAgents([0, 1, 2, 3], { readyMs: READY_MS, config: CONFIG });
  const watched = agents.map((agent) => new Watched(agent, PATIENCE_MS));
  say('four agents are ready');

  await check('stations with signal, bitrate and peer link are in links and metrics, those out of reach are not', () =>
    eventually('r0 shows both neighbours', PATIENCE_MS, async () => {
      const seen = await links(watched[0]!);
      const [left, right] = [seen.get(radioOf(1)), seen.get(radioOf(3))];
      if (seen.size !== 2 || !left || !right) return undefined;
      if (left.signalDbm === null || left.bitrateKbits === null) return undefined;
      if (radioType === 'mesh' && left.peerLink !== 'established') return undefined;
      const shown = await watched[0]!.metric('mesh_link_signal_dbm', { interface: 'radio0', neighbour: radioOf(1) });
      return shown < -40 && `r1 at ${left.signalDbm} dBm and ${left.bitrateKbits} kbit/s`;
    }),
  );

  await check('beacons are heard by both neighbours and by nobody out of reach, and all have one time', () =>
    eventually('four schedules', PATIENCE_MS, async () => {
      const views: Beacons[] = [];
      for (const one of watched) views.push((await one.control.get<Of<typeof shapes.beacon>>('/mesh/beacon')).beacon);
      const heard = views.map((view) => view?.neighbours.map(({ node }) => node) ?? []);
      const near = [1, 3].map((router) => macOf(router, 0));
      const isRing = heard.every((nodes) => nodes.length === 2) && near.every((node) => heard[0]!.includes(node));
      const bounds = views.map((view) => view?.errorBoundUs ?? Number.POSITIVE_INFINITY);
      if (!isRing || new Set(views.map((view) => view?.root)).size !== 1 || Math.max(...bounds) > 1e6) return undefined;
      const stamped = views[0]!.stampedByXdp;
      return (
        stamped > 0 && `within ${(Math.max(...bounds) / 1e3).toFixed(1)} ms by its own word; ${stamped} stamped by XDP`
      );
    }),
  );

  await check('a radio has no XDP of its own: the generic one counts what both neighbours send', () =>
    eventually('both are counted', PATIENCE_MS, async () => {
      const { level } = await watched[0]!.control.get<Of<typeof shapes.xdp>>('/mesh/xdp');
      const { links: rows } = await watched[0]!.control.get<Of<typeof shapes.links>>('/mesh/links');
      const frames = rows.map(({ incoming }) => incoming?.frames ?? 0);
      return level === 'generic' && frames.length === 2 && Math.min(...frames) > 10 && `${frames.join(' and ')} frames`;
    }),
  );

  await check('a signal that falls is seen', async () => {
    await mesh.hear({ from: 1, to: 0, signal: -82 });
    return eventually('r0 hears r1 below -70 dBm', PATIENCE_MS, async () => {
      const signal = (await links(watched[0]!)).get(radioOf(1))?.signalDbm ?? 0;
      return signal < -70 && `${signal} dBm`;
    });
  });
  await mesh.hear({ from: 1, to: 0, signal: -50 });

  // Echoes have told by now who runs the agent.
  const gapMs = await longestGap(mesh);
  const isBusy = gapMs > STEADY_MS;
  const busy = `the machine is too busy: OGMs arrived up to ${gapMs} ms apart before anything was wrong`;
  const begun = await mesh.radioCount(); // the longest wait counts from here on
  let stillMs = 0;
  const count = async () => {
    const counted = await mesh.radioCount();
    stillMs = Math.max(stillMs, counted.longestNs / 1e6);
    return { ...counted, eachMs: (counted.busyNs - begun.busyNs) / (counted.frames - begun.frames) / 1e6 };
  };
  // Who was quiet before the strike may be busy after it: what failed while the air itself was slow says nothing.
  const decided = async (work: () => unknown) => {
    try {
      return await work();
    } catch (thrown) {
      const { eachMs } = await count();
      if (stillMs < STILL_MS && eachMs < SLOW_MS) throw thrown;
      const air = `the emulated air took ${eachMs.toFixed(1)} ms for a frame, ${stillMs.toFixed(0)} at most`;
      throw new Undecided(`the machine is too busy: ${air} (${(thrown as Error).message})`);
    }
  };
  const timely = (what: string, work: () => unknown) => (isBusy ? skip(what, busy) : check(what, () => decided(work)));
  const silent = 'a radio falls silent';
  const probe = await Probe.start(0, 2, { paceUs: PACE_US });
  await sleep(3000);
  const via = (await mesh.route(0, 2))![0]!.to;
  const since = await watched[0]!.newest();
  const struck = await mesh.killRouter(via);
  say(`r${via}, on the way from r0 to r2, has fallen silent`);
  // Looked for from now on: what is said of the fault takes its time too.
  const turning = eventually('another way', PATIENCE_MS, async () => {
    const [first] = (await mesh.route(0, 2)) ?? [];
    return first !== undefined && first.to !== via && first;
  }).then((around) => ({ around, turnedMs: (monotonicNs() - struck.ns) / 1e6 }));
  turning.catch(() => {}); // awaited below
  // The traffic may turn away before fifty were lost, and has to last for more than a second: so more of it, beside the mesh.
  const insisting = insist(radioOf(via));
  insisting.catch(() => {});
  await check(`${silent}: r0 says so, on what evidence`, () => evidence(watched[0]!, radioOf(via), since));
  await timely(`${silent}: traffic goes around it within ${LIMIT_MS / 1000} s`, async () => {
    const { around, turnedMs } = await turning;
    await sleep(Math.max(LAST_NS / 1e6, LIMIT_MS - turnedMs));
    const records = await probe.records(struck.ns);
    const endNs = monotonicNs() - 1e9;
    const counted = records.filter(({ sent }) => sent < endNs);
    const isLost = ({ received }: { received: number }) => received === 0;
    const last = counted.filter(({ sent }) => sent > endNs - LAST_NS);
    const arrived = 1 - last.filter(isLost).length / last.length;
    const lostMs = (counted.filter(isLost).length * PACE_US) / 1000;
    const { longestNs } = await count();
    // The emulated air drops frames of any way when the machine is busy: what counts is the time lost in all.
    const figures =
      `by r${around.to} after ${turnedMs.toFixed(0)} ms; ${lostMs.toFixed(0)} ms of packets lost, ` +
      `${(100 * arrived).toFixed(0)} % of the last arrived; the air held frames up for ${(longestNs / 1e6).toFixed(0)} ms at most`;
    if (lostMs > LIMIT_MS || arrived < FLOWS || turnedMs > LIMIT_MS) throw new Error(figures);
    return figures;
  });
  await probe.stop();
  await insisting;
  const lost = await eventually('word of it', WORD_MS, () => wordOfLostPackets(radioOf(via))).catch(() => null);
  await timely('fifty frames that nobody acknowledged are told by the driver, and reach the agent', () => {
    if (lost === null) throw new Error('that word did not come');
    return `${lost} in a row`;
  });
  await mesh.reviveRouter(via);
  await check(`${silent}: it is heard again when it is back`, () =>
    eventually('no open fault', PATIENCE_MS, async () => {
      const { heal } = await watched[0]!.control.get<{ heal: { faults: [] } }>('/mesh/status');
      return heal.faults.length === 0;
    }),
  );

  const other = via === 1 ? 3 : 1;
  await check('a station that the driver drops is missed at once, on its word', async () => {
    const mark = await watched[0]!.newest();
    await command('ip', ['netns', 'exec', nsOf(0), 'iw', 'dev', 'radio0', 'station', 'del', radioOf(other)]);
    const told = await evidence(watched[0]!, radioOf(other), mark);
    if (!told.startsWith('nl80211: our radio has dropped it')) throw new Error(told);
    return told;
  });
  const { frames, delivered, busyNs } = await mesh.radioCount();
  say(`medium: ${frames} frames, ${delivered} deliveries, ${(busyNs / frames / 1e3).toFixed(0)} us each`);
}

await insideOf(import.meta.filename, { mesh: () => inside('mesh'), ibss: () => inside('ibss') });
