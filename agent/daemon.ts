/** x0d: reads the configuration, builds the machines and joins them to the host world. A file of daemon/ is a part of that. */
import { existsSync } from 'node:fs';
import { hostname, setPriority } from 'node:os';
import { parseArgs } from 'node:util';
import { overridesOf } from './config/environment.ts';
import { cautious, diff, settle } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { AgentError, asAgentError } from './core/errors.ts';
import { Log } from './core/log.ts';
import type { Machine } from './core/machine.ts';
import { Runtime } from './core/runtime.ts';
import { type Nanos, SECOND } from './core/time.ts';
import type { Decision } from './core/words.ts';
import type { Air } from './daemon/air.ts';
import { alerting } from './daemon/alerts.ts';
import { beacons } from './daemon/beacons.ts';
import { keep } from './daemon/books.ts';
import { advise, degraded } from './daemon/degraded.ts';
import { opened } from './daemon/kernel.ts';
import type { Agent, Part } from './daemon/part.ts';
import { past } from './daemon/past.ts';
import { keepReady } from './daemon/ready.ts';
import { recording } from './daemon/recording.ts';
import { rehearsals } from './daemon/rehearsals.ts';
import { serving } from './daemon/serving.ts';
import type { Sessions } from './daemon/sessions.ts';
import { adopted, fingerprint, healSettings, resettled, stateLimits } from './daemon/settings.ts';
import { sourcesOf } from './daemon/sources.ts';
import { stopwatch } from './daemon/stopwatch.ts';
import { trials } from './daemon/trial.ts';
import { trust } from './daemon/trust.ts';
import { heal } from './heal/heal.ts';
import { beAlone } from './host/alone.ts';
import { readConfigFile, writeConfigFile } from './host/config-file.ts';
import { Flusher } from './host/flusher.ts';
import { bySeverity, logLines } from './host/log-lines.ts';
import { nativeOrNone } from './host/native.ts';
import { triggerRevert } from './host/netifd.ts';
import { answering, connected } from './host/people.ts';
import { openState } from './host/state.ts';
import { tunnelsFile } from './host/tunnel/memory.ts';
import { Host } from './host/world.ts';
import { Mesh } from './mesh/mesh.ts';
import { Metrics } from './report/metrics.ts';
import { Outcomes } from './report/outcomes.ts';
import { rehearsalState } from './twin/rehearsal.ts';

declare const X0_VERSION: string | undefined;
const VERSION = typeof X0_VERSION === 'string' ? X0_VERSION : '0.0.0-source';
const CONFIG_FILE = '/etc/config/x0tta6bl4';
/** A repair must not queue behind whatever else the router computes; the agent itself takes next to nothing. */
const NICENESS = -10;
const NODE_FLOOR = [22, 13] as const;
/** Whoever ends the agent waits no longer: procd five seconds. */
const LONGEST_END: Nanos = 4 * SECOND;
/** For so long alerts may still be handed to their handlers. */
const ALERTS_END: Nanos = SECOND;
const HELP = `x0d ${VERSION}: the x0tta6bl4 agent

usage: x0d [--config FILE]

  --config FILE   the configuration (${CONFIG_FILE})
  --record FILE   write all that the machines are told and decide into FILE; x0ctl replay FILE plays it again
  --split-log     what is no warning goes to the standard output, which procd logs as less severe than the other
  --version       print the version and end
  --help          this page

SIGHUP reads the configuration again. SIGTERM ends the agent: what it changed for a repair is put back,
and batman-adv forwards on.
`;

/** What counts after the file was read, and what is wrong with the file, in words; null for nothing. */
interface Read {
  readonly source: Uint8Array;
  readonly config: Config;
  readonly trouble: string | null;
}

/** Whatever is wrong with the file is logged, and there is always a configuration. */
function readConfig(file: string, log: Log, lastGood?: Config): Read {
  const overrides = overridesOf(process.env);
  let source: Uint8Array;
  try {
    source = readConfigFile(file);
  } catch (thrown) {
    const error = asAgentError(thrown, 'E_CONFIG_READ');
    log.error(error.message, { code: error.code });
    log.warning(lastGood ? 'the last good configuration stays' : 'defaults count, and healing only observes', { file });
    return {
      source: new Uint8Array(),
      config: lastGood ?? cautious(settle('', file, undefined, overrides).config),
      trouble: error.message,
    };
  }
  const { config, problems, untold, warnings, migrated, source: from } = settle(source, file, lastGood, overrides);
  if (migrated.length > 0) log.info('the configuration is of an older form', { file, read_as: migrated.join('; ') });
  for (const problem of problems) log.error(problem.message, { code: problem.code, ...problem.detail });
  for (const { line, message } of warnings) log.warning(message, { file, line });
  if (problems.length === 0) return { source, config, trouble: null };
  const others = problems.length - 1 + untold;
  const more = others > 0 ? ` and ${others} more` : '';
  const counts = {
    'last-good': 'the last good configuration stays',
    file: `the rest of the file counts, healing is ${config.heal.mode}`,
    defaults: `defaults count, healing is ${config.heal.mode}`,
  }[from];
  log.warning(counts, { file });
  return { source, config, trouble: `${problems[0]!.message}${more}: ${counts}` };
}

async function main(file: string, tape: string | undefined, split = false): Promise<void> {
  const log = new Log('info', split ? bySeverity(process.stderr, process.stdout) : logLines(process.stderr));
  // Who waited for the word "ready" may have gone since.
  process.stdout.on('error', () => {});
  let { source, config, trouble } = readConfig(file, log);
  // Before anything is opened or written that another agent may have in use.
  await beAlone(config.mesh.interface, nativeOrNone().native, log);
  // None is heard before what follows has been set up, up to the next wait.
  process.on('SIGHUP', changed);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // What counts from the next start only keeps its value, whatever the file says meanwhile.
  const started = config;
  log.level = config.log.level;
  const node = config.mesh.node_name || hostname();
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  if (major < NODE_FLOOR[0] || (major === NODE_FLOOR[0] && minor < NODE_FLOOR[1])) {
    throw new AgentError(
      'E_USAGE',
      `Node ${process.versions.node} is too old: ${NODE_FLOOR.join('.')} or newer is needed`,
    );
  }

  try {
    setPriority(NICENESS);
  } catch {
    // It takes CAP_SYS_NICE; without it a busy router repairs later.
  }
  const { native: shim, missing: lost } = nativeOrNone();
  const now = () => shim.now();
  const startedAt = now();
  const metrics = new Metrics();
  const state = openState({
    directory: config.state.directory,
    ...stateLimits(config),
    now,
    wall: () => Date.now(),
    log,
  });
  const mesh = new Mesh();
  const room = heal();
  const repairing = () => room.execute.busy().length > 0;
  const outcomes = new Outcomes(() => room.analyse.open());
  const alerts = alerting(node, log);
  const beacon = beacons({
    config,
    native: shim,
    log,
    now,
    onTime: () => host.onTime(),
    canSpeak: () => room.monitor.canSpeak,
    stamping: () => host,
  });
  const served = serving({ report: config.report, metrics, native: shim, log });
  const parts: Part[] = [];
  let air: Air | null = null;
  const trial = trials({
    file,
    log,
    mesh,
    now,
    connected: (ports) => connected(ports),
    answering,
    read: () => readConfigFile(file),
    write: (source) => writeConfigFile(file, source),
    askBack: triggerRevert,
    reload: () => reload([]),
    restart,
  });
  const host = new Host({
    native: shim,
    log,
    directory: state.level === 'disk' ? config.state.directory : null,
    onRehearse: rehearsals({
      now,
      state: () => rehearsalState(room, mesh),
      feed: (event) => host.feed(event),
    }),
    onRestart: restart,
    onProven: (neighbour) => air?.proven(neighbour),
    ...(started.beacon.enabled && { beat: beacon.beat }),
    onBook: (book) => keep(book, { log, metrics, state, outcomes, flusher, alerts }),
    onCount: (name, labels) => metrics.take(name, labels, 1),
  });
  const machines: Machine[] = [...room.machines, mesh];
  const header = {
    agent: VERSION,
    machines: [...machines.map(({ name }) => name), ...(config.beacon.enabled ? ['beacon'] : [])],
  };
  const recorded = recording({
    header,
    limitKib: config.state.recorder,
    socket: config.report.socket,
    state,
    log,
    now,
    busy: repairing,
  });
  /** What is decided in the turn that a person waits for. */
  let asked: Decision[] | null = null;
  const runtime = new Runtime(machines, host, {
    ...recorded.hooks,
    observe: (machine, effect) => {
      recorded.hooks.observe(machine, effect);
      if (effect.type === 'journal') asked?.push(effect.decision);
    },
    stopwatch: stopwatch(now, metrics),
  });
  // Flash is slow: never while a repair is under way.
  const flusher = new Flusher(state, now, repairing);
  /** What the kernel lacks, while that is waited for. */
  let missing: string | null = null;
  const sources = sourcesOf({
    version: VERSION,
    startedAt,
    now,
    degraded: () =>
      degraded(config, {
        state,
        host,
        around: room.monitor,
        serving: served,
        parts,
        recorder: recorded.trouble(),
        file: trouble,
        kernel: missing,
      }),
    config: () => config,
    mesh,
    room,
    host,
    state,
    outcomes,
    recorder: recorded.reader,
    ask: (event) => {
      const decided: Decision[] = [];
      asked = decided;
      host.feed(event);
      asked = null;
      return decided;
    },
  });
  const agent: Agent = { node, log, native: shim, now, host, machines, room, mesh, state, metrics, sources };

  function join(part: Part): void {
    parts.push(part);
    Object.assign(sources, part.shows);
  }

  function changed(): void {
    void trial.people(config).then(reload);
  }

  function restart(why: string): void {
    log.warning('the agent restarts itself', { why });
    stop('SIGTERM');
  }

  function reload(people: readonly string[]): void {
    const read = readConfig(file, log, config);
    const before = { source, config };
    const next = read.config;
    trouble = read.trouble;
    if (trouble === null) source = read.source;
    const changes = diff(config, next);
    const waiting = new Set(diff(started, next).map(({ path }) => path));
    for (const { path, apply } of changes) {
      const counts =
        apply === 'live' ? '' : waiting.has(path) ? ': it counts from the next start' : ' back to what runs';
      log.info(`${path} changed${counts}`);
    }
    if (changes.length === 0 && trouble === null) log.info('the configuration has not changed');
    const live = new Set(changes.filter(({ apply }) => apply === 'live').map(({ section }) => section));
    if (live.has('state')) {
      state.settle(stateLimits(next));
      recorded.settle(next.state.recorder);
      flusher.settle();
    }
    if (live.has('heal') || live.has('mesh')) {
      const settings = resettled(room.monitor.settings, config, next);
      // What was accepted under the old key is kept as that key's.
      host.writeBooks();
      state.useKey(fingerprint(settings.key));
      host.settings(settings, state.marks());
    }
    config = next;
    log.level = next.log.level;
    for (const part of parts) part.settle?.(config, live);
    if (trouble === null) trial.applied(before, { source, config }, people);
  }

  let ending = false;

  /** A second signal waits for nothing. */
  function stop(signal: NodeJS.Signals): void {
    if (!ending) {
      ending = true;
      // What was decided a moment ago, the restart itself too, has its alert.
      host.writeBooks();
      if (room.kick.isCatchingUp) log.info(`ending on ${signal}, once the kernel has caught up with the last kick`);
      const began = now();
      const again = () => {
        const isCatchingUp = room.kick.isCatchingUp && now() <= began + LONGEST_END;
        const isAlerting = alerts.isBusy && now() <= began + ALERTS_END;
        if (isCatchingUp || isAlerting) setTimeout(again, 50);
        else stop(signal);
      };
      again();
      return;
    }
    log.info(`ending on ${signal}`, { undone: host.armed().length });
    for (const part of parts) for (const effect of part.farewell?.() ?? []) host.carryOut(effect);
    for (const part of parts) part.close?.();
    host.close();
    recorded.close();
    state.close();
    process.exit(0);
  }

  const talking = Promise.withResolvers<Sessions>();
  const underWay = Promise.withResolvers<void>();
  const identities = trust(config, agent);
  identities.onLoaded((identity) => {
    if (started.workload.enabled)
      import('./daemon/workload.ts')
        .then(({ workload }) => join(workload(config, agent, identity)))
        .catch((thrown) => log.error(`no identities for programs: ${asAgentError(thrown).message}`));
    // Without sessions nobody hands on keys, and the mesh key goes on.
    if (!started.peer.enabled) return;
    // The machines have to be there before they are told of keys.
    Promise.all([import('./daemon/air.ts'), underWay.promise])
      .then(([{ air: begin }]) => {
        air = begin(started, agent, identity);
        join(air);
      })
      .catch((thrown) => log.error(`no keys for the air: ${asAgentError(thrown).message}`));
    const loaded = import('./daemon/sessions.ts').then(({ sessions }) =>
      sessions(started, agent, identity, identities),
    );
    const use = (part: Sessions) => {
      join(part);
      talking.resolve(part);
    };
    loaded.then(use).catch((thrown) => log.error(`no sessions: ${asAgentError(thrown).message}`));
  });
  for (const part of [alerts, beacon, served, trial, identities]) join(part);
  alerts.open(config);
  // Before the machines may act, and before what an agent that has this socket records could be begun anew.
  served.control(sources);
  recorded.begin(tape);
  const settings = await adopted(healSettings(config), log);
  state.useKey(fingerprint(settings.key));
  host.attach(runtime, settings, state.epoch);
  // What is wrong has to be seen most where there is no mesh yet.
  const http = served.http(sources);
  // Not on every router, so not in every router's memory.
  if (started.beacon.enabled) machines.push(await beacon.load(room.monitor.settings));
  if (lost === null)
    await opened(host, log, (why) => {
      missing = why;
    });
  else {
    missing = `${lost.message}. Without it there is no netlink, no frame, no XDP and no control socket: nothing is healed`;
    log.error(missing, { code: lost.code });
  }
  host.feed({ type: 'started', node, epoch: state.epoch, marks: state.marks(), memories: state.memories() });
  underWay.resolve();
  advise(room.monitor, config, log);
  await http;

  keepReady(agent);
  if (trouble === null) void trial.started({ source, config });
  log.info('ready', {
    version: VERSION,
    node,
    epoch: state.epoch,
    mode: room.monitor.settings.mode,
    took_ms: Math.round(performance.now()),
  });
  process.stdout.write(
    `${JSON.stringify({ ready: true, version: VERSION, startMs: Math.round(performance.now()) })}\n`,
  );
  if (started.probe.targets.length > 0) join(await (await import('./daemon/probes.ts')).probes(started, agent));
  join(past(agent));
  if (started.tunnel.length > 0 || existsSync(tunnelsFile(started.report.socket))) {
    const part = (await import('./daemon/tunnels.ts')).tunnels(started, agent);
    join(part);
    void talking.promise.then((over) => part.attach(over.channel('tunnel/key')));
  }
  if (config.bpf.enabled !== '0') join(await (await import('./daemon/xdp.ts')).xdp(config, agent));
}

function fail(thrown: unknown): never {
  const error = asAgentError(thrown);
  process.stderr.write(`error: ${error.message} code=${error.code}\n`);
  process.exit(error.blame === 'caller' ? 2 : 1);
}

try {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', default: CONFIG_FILE },
      record: { type: 'string' },
      'split-log': { type: 'boolean' },
      version: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) process.stdout.write(HELP);
  else if (values.version) process.stdout.write(`${VERSION}\n`);
  else main(values.config, values.record, values['split-log']).catch(fail);
} catch (thrown) {
  process.stderr.write(`x0d: ${(thrown as Error).message}\n${HELP}`);
  process.exit(2);
}
