/**
 * An agent as people run it, on the real kernel: heal.mode off, observe and act; without a key and with a wrong one; a
 * configuration that turns bad under a running agent; x0ctl, the metrics, and who may change what.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run as command, type Hop, Mesh, macOf, type Pair } from '../../tools/lab/mesh.ts';
import { outage } from '../../tools/lab/outage.ts';
import {
  type AgentConfig,
  agentConfig,
  agentDir,
  Probe,
  startAgent,
  startAgents,
  stopAgents,
} from '../../tools/lab/scenario.ts';
import type { Report } from '../../tools/test.ts';
import { check, type Entry, eventually, inKernels, insideOf, say, skip, snapshot, Watched } from './suite.ts';

export const name = 'modes, keys and configuration';

export const run = (report: Report) =>
  inKernels(report, import.meta.filename, [{ name: 'modes' }, { name: 'keys' }, { name: 'people' }]);

const X0CTL = join(import.meta.dirname, '../../dist/x0ctl.mjs');

interface Struck {
  readonly hop: Hop;
  readonly end: string;
  readonly outageMs: number;
  /** What every router's journal has of it. */
  readonly entries: readonly Entry[][];
}

/** A ring with agents whose configurations may differ. */
class Ring {
  readonly mesh: Mesh;
  watched: Watched[] = [];

  private constructor(mesh: Mesh) {
    this.mesh = mesh;
  }

  static async build(): Promise<Ring> {
    const ring = new Ring(await Mesh.build('ring4', {}));
    await ring.mesh.warm();
    return ring;
  }

  async start(configOf: (router: number) => AgentConfig = () => ({})): Promise<void> {
    this.watched = [];
    for (const router of [0, 1, 2, 3])
      this.watched.push(new Watched(await startAgent(router, { config: configOf(router) })));
    await sleep(8000);
  }

  async stop(): Promise<void> {
    await stopAgents(this.watched.map(({ agent }) => agent));
    await this.mesh.warm();
  }

  /** Cuts the first link of the way for some seconds, calls `look` while it is down, mends it and waits. */
  async cut(
    pair: Pair,
    downMs: number,
    look: (hop: Hop, end: string) => Promise<void> = async () => {},
  ): Promise<Struck> {
    const marks = await Promise.all(this.watched.map((one) => one.newest()));
    const probe = await Probe.start(...pair);
    await sleep(500);
    const hop = (await this.mesh.route(...pair))![0]!;
    const end = hop.link.a === hop.from ? hop.link.ends[0] : hop.link.ends[1];
    const { ns } = await this.mesh.cut(hop.link);
    await sleep(downMs);
    await look(hop, end);
    const { outageMs } = outage(await probe.records(ns - 1e9), ns);
    const entries = await Promise.all(this.watched.map((one, n) => one.journal(marks[n]!)));
    await probe.stop();
    await this.mesh.mend(hop.link);
    await eventually('the mesh is whole', 60_000, async () => {
      const there = await snapshot(hop.from);
      return there.interfaces[end]?.master === 'bat0' && this.mesh.complete();
    });
    await sleep(3000);
    return { hop, end, outageMs, entries };
  }
}

async function modes(): Promise<void> {
  const ring = await Ring.build();
  await ring.start(() => ({ heal: { mode: 'observe' } }));
  await check('observe: journals what it would have done, and does nothing', async () => {
    const { outageMs, entries, hop } = await ring.cut([0, 2], 8000, async (at, end) => {
      const now = await snapshot(at.from);
      if (now.interfaces[end]!.master !== 'bat0') throw new Error('it took the interface out');
      if (now.settings.aggregated_ogms_enabled !== true) throw new Error('it switched aggregation off');
    });
    const steps = new Set(entries.flat().map(({ step }) => step));
    if (steps.size !== 1 || !steps.has('observed')) throw new Error(`steps: ${[...steps].join(', ') || 'none'}`);
    const own = entries[hop.from]!.find((entry) => entry.class === 'link-down');
    if (own === undefined || own.action === 'none') throw new Error('it does not say what it would have done');
    for (const [n, one] of ring.watched.entries())
      for (const metric of ['kick_frames_total', 'alarms_sent_total'])
        if ((await one.metric(metric)) !== 0) throw new Error(`r${n} has sent: ${metric}`);
    return `would have: ${own.action}; outage ${outageMs.toFixed(0)} ms`;
  });
  for (const one of ring.watched) await one.control.post('/heal/mode', { mode: 'off' });
  await check('off: nothing is journalled, nothing done', async () => {
    const { outageMs, entries } = await ring.cut([1, 3], 8000);
    if (entries.flat().length > 0) throw new Error(`${entries.flat().length} entries, ${entries.flat()[0]!.step}`);
    return `outage ${outageMs.toFixed(0)} ms`;
  });
  for (const one of ring.watched) await one.control.post('/heal/mode', { mode: 'act' });
  await sleep(3000);
  await check('act, asked for over the control socket: it repairs', async () => {
    const { outageMs, entries, hop } = await ring.cut([2, 0], 5000);
    if (!entries[hop.from]!.some(({ step }) => step === 'verified')) throw new Error('no repair was verified');
    if (outageMs > 2500) throw new Error(`${outageMs} ms`);
    return `outage ${outageMs.toFixed(0)} ms`;
  });
}

async function keys(): Promise<void> {
  const ring = await Ring.build();
  await ring.start(() => ({ mesh: { key: [] } }));
  await check('no key: it says so, heals by itself, sends and believes nothing', async () => {
    for (const { agent } of ring.watched)
      if (!/no mesh\.key/.test(agent.log())) throw new Error(`r${agent.router} does not say that it has no key`);
    const { heal } = await ring.watched[0]!.control.get<{ heal: { authenticated: boolean } }>('/mesh/status');
    if (heal.authenticated) throw new Error('its status says that it has a key');
    const { outageMs, entries, hop } = await ring.cut([0, 2], 7000);
    const own = entries[hop.from]!.filter((entry) => entry.class === 'link-down').map(
      ({ step, action }) => `${step} ${action}`,
    );
    if (own.length === 0) throw new Error('it did not see its own fault');
    if (entries.flat().some((entry) => entry.class === 'remote-alarm')) throw new Error('somebody believed an alarm');
    for (const one of ring.watched)
      if ((await one.metric('alarms_sent_total')) !== 0) throw new Error('an alarm was sent');
    if (outageMs > 6500) throw new Error(`${outageMs} ms: worse than stock`);
    return `outage ${outageMs.toFixed(0)} ms; ${own.join(', ')}`;
  });
  await ring.stop();
  const odd = 3;
  await ring.start((n) => (n === odd ? { mesh: { key: 'another key than all the others have' } } : {}));
  await check('a wrong key: its alarms are refused and counted, and it believes nobody', async () => {
    const { entries } = await ring.cut([odd, 1], 4000);
    const refused = await Promise.all(ring.watched.map((one) => one.metric('alarms_refused_total', { reason: 'tag' })));
    const heard = entries.flatMap((list) => list.filter((entry) => entry.class === 'remote-alarm'));
    if (heard.some(({ peer }) => peer === macOf(odd, 0)))
      throw new Error('somebody believed the router with the wrong key');
    if (entries[odd]!.some((entry) => entry.class === 'remote-alarm')) throw new Error('it believed an alarm');
    if (refused[odd] === 0) throw new Error('it refused nothing');
    if (refused.every((count, n) => n === odd || count === 0)) throw new Error('nobody refused its alarms');
    return `refused: ${refused.map((count, n) => `r${n} ${count}`).join(', ')}`;
  });
  await check('no alarm of the others was refused among themselves', async () => {
    const since = await ring.watched[1]!.newest();
    await ring.watched[0]!.control.post('/heal/kick', {});
    await ring.watched[1]!.entry({ class: 'remote-alarm', peer: macOf(0, 0) }, since, 3000);
  });
}

async function people(): Promise<void> {
  const ring = await Ring.build();
  ring.watched = (await startAgents([0, 1, 2, 3])).map((agent) => new Watched(agent));
  await sleep(5000);
  const [one] = ring.watched as [Watched];
  const file = join(agentDir(0), 'config');
  const good = readFileSync(file, 'utf8');
  const option = async (section: string, name: string) =>
    (await one.control.get<{ config: Record<string, Record<string, unknown>> }>('/config')).config[section]![name];
  const reload = async (text: string): Promise<string> => {
    const before = one.agent.log().length;
    writeFileSync(file, text);
    one.agent.kill('SIGHUP');
    await sleep(1500);
    return one.agent.log().slice(before);
  };

  await check('SIGHUP: what changed counts at once', async () => {
    const said = await reload(agentConfig(0, { heal: { kick_count: 5 } }));
    if ((await option('heal', 'kick_count')) !== 5)
      throw new Error(`kick_count is ${await option('heal', 'kick_count')}`);
    if (!said.includes('heal.kick_count')) throw new Error(`the log does not say so: ${said}`);
  });
  for (const [what, text] of [
    ['a value out of range', agentConfig(0, { heal: { kick_count: 5000, kick_spacing: 20 } })],
    ['a file that is no UCI', `${good}\n\x00\x01 config 'heal\n option\n`],
  ] as const)
    await check(
      `SIGHUP with ${what}: the last good configuration stays, and the log says where it is wrong`,
      async () => {
        const said = await reload(text);
        if ((await option('heal', 'kick_count')) !== 5) throw new Error('the bad file was taken');
        if ((await option('heal', 'kick_spacing')) === 20) throw new Error('half of the bad file was taken');
        if (!said.includes('last good')) throw new Error(`the log: ${said}`);
        const { health } = await one.control.get<{ health: string }>('/mesh/status');
        if (health === 'problem') throw new Error('the agent has a problem');
        return said.split('\n')[0];
      },
    );
  await check('SIGHUP with the file mended: all as before', async () => {
    await reload(good);
    if ((await option('heal', 'kick_count')) === 5) throw new Error('the mended file was not taken');
  });

  // A fault, so that there is something to tell.
  const { entries } = await ring.cut([0, 2], 3000);
  const fault = entries[0]!.find((entry) => entry.class === 'link-down')?.fault;
  if (existsSync(X0CTL)) await x0ctl(one, fault);
  else skip('x0ctl', 'dist/x0ctl.mjs is not there');

  const promtool = 'promtool finds nothing in the metrics but the names of the brief';
  if (!existsSync('/usr/bin/promtool')) skip(promtool, 'promtool is not installed (Debian: prometheus)');
  else
    await check(promtool, async () => {
      const page = await one.metrics();
      if (!page.includes('self_healing_events_total')) throw new Error('no repair in the metrics');
      const said = await new Promise<string>((settle) => {
        const child = execFile('promtool', ['check', 'metrics'], (_, stdout, stderr) => settle(stdout + stderr));
        child.stdin!.end(page);
      });
      const odd = said.split('\n').filter((line) => line !== '' && !/^mesh_peers_count /.test(line));
      if (odd.length > 0) throw new Error(odd.join('; '));
      return `${page.split('\n').length} lines`;
    });
  await check('HTTP reads, and changes nothing', async () => {
    const script = `for (const [method, path] of [['GET', '/health'], ['GET', '/mesh/status'], ['GET', '/mesh/topology'], ['POST', '/heal/mode']])
      console.log(path, await fetch('http://127.0.0.1:8080' + path, { method, ...(method === 'POST' && { body: '{"mode":"off"}' }) }).then((r) => r.status));`;
    const said = await command('ip', ['netns', 'exec', 'r0', process.execPath, '--input-type=module', '-e', script]);
    if (!/^\/health (200|503)\n\/mesh\/status 200\n\/mesh\/topology 200\n\/heal\/mode 4\d\d\n$/.test(said))
      throw new Error(said);
    if ((await option('heal', 'mode')) !== 'act') throw new Error('the mode was changed');
  });
}

/** Every command against a live agent, for people and as JSON; and asked by somebody else. */
async function x0ctl(one: Watched, fault: string | undefined): Promise<void> {
  const asks = (as: { uid?: number; gid?: number }, ...args: string[]) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((settle) =>
      execFile(process.execPath, [X0CTL, '--socket', one.agent.socket, ...args], as, (error, stdout, stderr) =>
        settle({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      ),
    );
  for (const args of [
    ['status'],
    ['nodes'],
    ['links'],
    ['topology'],
    ['heal', 'log'],
    ...(fault === undefined ? [] : [['heal', 'explain', fault]]),
    ['heal', 'mode'],
  ])
    await check(`x0ctl ${args.slice(0, 2).join(' ')}: a table for people, JSON for programs`, async () => {
      // Status says by its exit code that a fault is open: both are well here.
      const most = args[0] === 'status' ? 1 : 0;
      const human = await asks({}, ...args);
      if (human.code > most || human.stdout.trim() === '') throw new Error(`exit ${human.code}: ${human.stderr}`);
      const wide = human.stdout.split('\n').find((line) => line.length > 80);
      if (wide !== undefined && args[0] !== 'heal') throw new Error(`wider than 80 columns: ${wide}`);
      const machine = await asks({}, ...args, '--json');
      if (machine.code > most) throw new Error(`--json: exit ${machine.code}: ${machine.stdout}`);
      if ((JSON.parse(machine.stdout) as { version: number }).version !== 1)
        throw new Error('no version 1 in its JSON');
    });
  await check('x0ctl topology --dot', async () => {
    const { code, stdout } = await asks({}, 'topology', '--dot');
    if (code !== 0 || !/^(di)?graph\b/.test(stdout)) throw new Error(stdout);
  });
  await check('x0ctl heal mode observe, and back', async () => {
    for (const mode of ['observe', 'act']) {
      const { code, stderr } = await asks({}, 'heal', 'mode', mode);
      if (code !== 0) throw new Error(stderr);
      const { stdout } = await asks({}, 'heal', 'mode', '--json');
      if ((JSON.parse(stdout) as { mode: string }).mode !== mode) throw new Error(stdout);
    }
  });
  await check('somebody else whom the socket lets in may look, not change', async () => {
    const other = { uid: 65534, gid: 0 };
    const look = await asks(other, 'heal', 'mode', '--json');
    if (look.code !== 0) throw new Error(`looking: exit ${look.code}: ${look.stdout}${look.stderr}`);
    const change = await asks(other, 'heal', 'mode', 'off');
    if (change.code !== 4) throw new Error(`changing: exit ${change.code}: ${change.stdout}${change.stderr}`);
    const { stdout } = await asks({}, 'heal', 'mode', '--json');
    if ((JSON.parse(stdout) as { mode: string }).mode !== 'act') throw new Error('it changed the mode');
    const stranger = await asks({ uid: 65534, gid: 65534 }, 'status');
    if (stranger.code !== 4) throw new Error(`a stranger to its group: exit ${stranger.code}`);
  });
  say('x0ctl was asked everything');
}

await insideOf(import.meta.filename, { modes, keys, people });
