/** x0d: reads the configuration, builds the machines and joins them to the host world. */
import { createHash, hkdfSync } from 'node:crypto';
import { hostname, setPriority } from 'node:os';
import { parseArgs } from 'node:util';
import type { Beacon } from './beacon/beacon.ts';
import { cautious, diff, settle } from './config/load.ts';
import { beaconOf, type Config, optionValue, ROWS } from './config/schema.ts';
import { AgentError, asAgentError } from './core/errors.ts';
import type { HealSettings } from './core/event.ts';
import type { MeshInfo } from './core/kernel.ts';
import { Log } from './core/log.ts';
import type { Machine } from './core/machine.ts';
import { Runtime } from './core/runtime.ts';
import { MS, type Nanos, NEVER, SECOND } from './core/time.ts';
import type { Decision } from './core/words.ts';
import { rehearsals } from './daemon/rehearsals.ts';
import { type Heal, heal } from './heal/heal.ts';
import { rehearse } from './heal/rehearsal.ts';
import { ETH_P_X0 } from './heal/wire.ts';
import type { Alerts } from './host/alerts.ts';
import { beAlone } from './host/alone.ts';
import { readConfigFile } from './host/config-file.ts';
import { type Control, type ControlOptions, isTaken, serveControl } from './host/control.ts';
import { Flusher } from './host/flusher.ts';
import { Ports, serveApi, serveMetrics } from './host/http.ts';
import { native } from './host/native.ts';
import { Recorder } from './host/recorder.ts';
import type { StateLimits } from './host/state/store.ts';
import { openState, type State } from './host/state.ts';
import { openTape, type Tape } from './host/tape.ts';
import { type Book, Host } from './host/world.ts';
import { Mesh } from './mesh/mesh.ts';
import { Turns } from './record/turns.ts';
import { Metrics } from './report/metrics.ts';
import { Outcomes } from './report/outcomes.ts';
import type { Degraded, Sources } from './report/sources.ts';
import type { RehearsalState } from './twin/rehearse.ts';

declare const X0_VERSION: string | undefined;
const VERSION = typeof X0_VERSION === 'string' ? X0_VERSION : '0.0.0-source';
const CONFIG_FILE = '/etc/config/x0tta6bl4';
/** A repair must not queue behind whatever else the router computes; the agent itself takes next to nothing. */
const NICENESS = -10;
const NODE_FLOOR = [22, 13] as const;
const HELP = `x0d ${VERSION}: the x0tta6bl4 agent

usage: x0d [--config FILE]

  --config FILE   the configuration (${CONFIG_FILE})
  --record FILE   write all that the machines are told and decide into FILE; x0ctl replay FILE plays it again
  --version       print the version and end
  --help          this page

SIGHUP reads the configuration again. SIGTERM ends the agent: what it changed for a repair is put back,
and batman-adv forwards on.
`;

/** The alarm key: 64 hex digits as they are; a passphrase goes through HKDF-SHA-256 (RFC 5869). */
function alarmKey(secret: string): string {
  if (/^[0-9a-f]{64}$/i.test(secret)) return secret.toLowerCase();
  return Buffer.from(hkdfSync('sha256', secret, 'x0tta6bl4', 'alarm v1', 32)).toString('hex');
}

/** Names an alarm key without giving it away, '' for none. */
function fingerprint(key: string): string {
  if (key === '') return '';
  const digest = createHash('sha256').update('x0tta6bl4 mark v1').update(Buffer.from(key, 'hex')).digest('hex');
  return digest.slice(0, 16);
}

/** What the machines follow, out of the configuration. */
export function healSettings(config: Config): HealSettings {
  const { mesh, heal: h } = config;
  return {
    mode: h.mode,
    meshInterface: mesh.interface,
    own: mesh.own,
    algorithm: mesh.algorithm,
    primary: mesh.primary,
    hardInterfaces: mesh.hard_interface,
    key: mesh.key === undefined ? '' : alarmKey(mesh.key.reveal()),
    pollNs: h.poll_interval,
    origIntervalMs: mesh.orig_interval / MS,
    kickCount: h.kick_count,
    kickSpacingNs: h.kick_spacing,
    kickBudget: h.kick_budget,
    senderBudget: h.sender_budget,
    alarmHops: h.alarm_hops,
    detach: h.detach,
    reattach: h.reattach,
    recreate: h.recreate,
    reattachDampingNs: h.reattach_damping,
    flapDampingNs: h.flap_damping,
    deadAfterNs: h.dead_after,
    echoNs: h.echo_interval,
    restart: h.restart,
    earnRight: h.earn_right / 100,
    earnFalse: h.earn_false / 100,
    earnCases: h.earn_cases,
    explore: h.explore,
  };
}

/** What they follow after the file was read again: what counts from the next start only keeps its value until then. */
function resettled(now: HealSettings, before: Config, after: Config): HealSettings {
  const { meshInterface, own, algorithm, primary, hardInterfaces } = now;
  // A mode that a person asked for stays, unless the file now asks for another one than before.
  const mode = after.heal.mode === before.heal.mode ? now.mode : after.heal.mode;
  return { ...healSettings(after), meshInterface, own, algorithm, primary, hardInterfaces, mode };
}

function stateLimits({ state }: Config): StateLimits {
  return {
    journalEntries: state.journal_entries,
    sizeLimitKib: state.size_limit,
    writeIntervalNs: state.write_interval,
  };
}

/** What counts after the file was read, and what is wrong with the file, in words; null for nothing. */
interface Read {
  readonly config: Config;
  readonly trouble: string | null;
}

/** Whatever is wrong with the file is logged, and there is always a configuration. */
function readConfig(file: string, log: Log, lastGood?: Config): Read {
  let source: Uint8Array | string;
  try {
    source = readConfigFile(file);
  } catch (thrown) {
    const error = asAgentError(thrown, 'E_CONFIG_READ');
    log.error(error.message, { code: error.code });
    log.warning(lastGood ? 'the last good configuration stays' : 'defaults count, and healing only observes', { file });
    return { config: lastGood ?? cautious(settle('', file).config), trouble: error.message };
  }
  const { config, problems, warnings, source: from } = settle(source, file, lastGood);
  for (const problem of problems) log.error(problem.message, { code: problem.code, ...problem.detail });
  for (const { line, message } of warnings) log.warning(message, { file, line });
  if (problems.length === 0) return { config, trouble: null };
  const more = problems.length > 1 ? ` and ${problems.length - 1} more` : '';
  const counts =
    from === 'last-good' ? 'the last good configuration stays' : `defaults count, healing is ${config.heal.mode}`;
  log.warning(counts, { file });
  return { config, trouble: `${problems[0]!.message}${more}: ${counts}` };
}

async function main(file: string, tape: string | undefined): Promise<void> {
  const log = new Log('info', (line) => void process.stderr.write(`${line}\n`));
  let { config, trouble } = readConfig(file, log);
  // Before anything is opened or written that another agent may have in use.
  await beAlone(config.mesh.interface, log);
  // None is heard before what follows has been set up, up to the next wait.
  process.on('SIGHUP', reload);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const started = config;
  log.level = config.log.level;
  // What counts from the next start only keeps its value, whatever the file says meanwhile.
  const { report } = config;
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
  const shim = native();
  const startedAt = shim.now();
  const metrics = new Metrics();
  const state = openState({
    directory: config.state.directory,
    ...stateLimits(config),
    now: () => shim.now(),
    wall: () => Date.now(),
    log,
  });
  const mesh = new Mesh();
  const room = heal();
  let beacon: Beacon | null = null;
  let openBeat: typeof import('./host/beat.ts').openBeat | null = null;
  const outcomes = new Outcomes(() => room.analyse.open());
  const host = new Host({
    native: shim,
    log,
    directory: state.level === 'disk' ? config.state.directory : null,
    onRehearse: rehearsals({
      now: () => shim.now(),
      state: () => rehearsalState(room, mesh),
      feed: (event) => host.feed(event),
    }),
    onRestart: (why) => {
      log.warning('the agent restarts itself', { why });
      stop('SIGTERM');
    },
    ...(started.beacon.enabled && {
      beat: (feed) => openBeat!({ native: shim, log, ethertype: beaconOf(started).ethertype, feed }),
    }),
    onBook: (book) => keep(book, { log, metrics, state, outcomes, flusher, alerts }),
    onCount: (name, labels) => metrics.take(name, labels, 1),
  });
  const machines: Machine[] = [...room.machines, mesh];
  const header = {
    agent: VERSION,
    machines: [...machines.map(({ name }) => name), ...(config.beacon.enabled ? ['beacon'] : [])],
  };
  let recording: Tape | null = null;
  const recorder = new Recorder(config.state.recorder, {
    header,
    now: () => shim.now(),
    busy: () => room.execute.busy().length > 0,
    keep: (bytes, faults) => void state.keepRecording(bytes, faults),
  });
  const turns = new Turns((turn) => {
    recording?.take(turn);
    recorder.take(turn);
  });
  /** What is decided in the turn that a person waits for. */
  let asked: Decision[] | null = null;
  const runtime = new Runtime(machines, host, {
    ...turns.hooks,
    observe: (machine, effect) => {
      turns.hooks.observe(machine, effect);
      if (effect.type === 'journal') asked?.push(effect.decision);
    },
    stopwatch: {
      now: () => shim.now(),
      took: (phase, ns, sinceTurnBegan) => {
        // The turn begins with the event in our hands, and the plan is the decision.
        if (phase === 'plan') metrics.take('mesh_mttd_seconds', {}, sinceTurnBegan / SECOND);
        if (PHASES.has(phase)) metrics.take('mape_k_cycle_duration_seconds', { phase }, ns / SECOND);
      },
    },
  });

  // Flash is slow: never while a repair is under way.
  const flusher = new Flusher(
    state,
    () => shim.now(),
    () => room.execute.busy().length > 0,
  );
  let alerts: Alerts | null = null;
  let control: Controlled | null = null;
  const ports = new Ports(log);
  /** What the kernel lacks, while that is waited for. */
  let missing: string | null = null;

  function reload(): void {
    const read = readConfig(file, log, config);
    const next = read.config;
    trouble = read.trouble;
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
      recorder.settle(next.state.recorder);
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
    if (live.has('alert')) void settleAlerts();
  }

  async function settleAlerts(): Promise<void> {
    const { command, url, timeout: timeoutNs } = config.alert;
    alerts?.close();
    alerts = null;
    if (command.length === 0 && url === '') return;
    const { Alerts } = await import('./host/alerts.ts');
    alerts = new Alerts({ command, url, timeoutNs, node, log, wall: () => Date.now() });
  }

  let ending = false;

  /** A second signal waits for nothing. */
  function stop(signal: NodeJS.Signals): void {
    if (!ending && room.kick.isCatchingUp) {
      ending = true;
      log.info(`ending on ${signal}, once the kernel has caught up with the last kick`);
      const until = shim.now() + LONGEST_END;
      const again = () => {
        if (!room.kick.isCatchingUp || shim.now() > until) stop(signal);
        else setTimeout(again, 50);
      };
      again();
      return;
    }
    log.info(`ending on ${signal}`, { undone: host.armed().length });
    for (const effect of beacon?.farewell(shim.now()) ?? []) host.carryOut(effect);
    control?.close();
    ports.close();
    host.close();
    turns.end();
    recorder.close();
    state.close();
    recording?.close();
    process.exit(0);
  }

  const sources: Sources = {
    version: VERSION,
    startedAt,
    now: () => shim.now(),
    degraded: () =>
      degraded(config, { state, host, around: room.monitor, control, ports, file: trouble, kernel: missing }),
    mesh: () => mesh.view(),
    beacon: () => beacon?.view(shim.now()) ?? null,
    heal: () => ({
      mode: room.monitor.settings.mode,
      faults: room.analyse.open(),
      untold: room.analyse.untold(),
      repairs: [...room.execute.busy(), ...room.mend.busy()],
      classes: room.earned.view(),
      known: room.knowledge.records(),
      budgets: [{ name: 'kicks', left: room.kick.left(shim.now()), capacity: room.monitor.settings.kickBudget }],
      undoArmed: host.armed(),
      authenticated: room.monitor.settings.key !== '',
    }),
    journal: state,
    outcome: (fault) => outcomes.of(fault),
    recorder: {
      list: () => state.recordings(),
      export: (id) => {
        turns.end();
        return id === null ? recorder.export() : state.recording(id);
      },
    },
    xdp: () => host.xdp?.view() ?? null,
    config: () => asTable(config),
    process: () => ({ rssBytes: process.memoryUsage.rss(), cpuSeconds: cpuSeconds() }),
    ask: (event) => {
      const decided: Decision[] = [];
      asked = decided;
      host.feed(event);
      asked = null;
      return decided;
    },
  };
  void settleAlerts();
  // Before the machines may act, and before the tape of an agent that has this socket could be begun anew.
  control = controlled(
    {
      path: report.socket,
      sources,
      metrics,
      listener: (options) => shim.listenUnix(options),
      onError: (code) => log.warning('the control socket could not accept', { errno: code }),
    },
    log,
  );
  if (tape !== undefined) recording = openTape(tape, { ...header, begins: 'start' }, log);
  const settings = healSettings(config);
  state.useKey(fingerprint(settings.key));
  host.attach(runtime, settings, state.epoch);
  // What is wrong has to be seen most where there is no mesh yet.
  const { http_address: address, http_port: port, metrics_port: metricsPort } = report;
  const served = report.http
    ? [
        ports.keep('status', () => serveApi(sources, metrics, address, port)),
        ports.keep('metrics', () => serveMetrics(sources, metrics, address, metricsPort)),
      ]
    : [];
  if (started.beacon.enabled) {
    // Not on every router, so not in every router's memory.
    ({ openBeat } = await import('./host/beat.ts'));
    const { Beacon } = await import('./beacon/beacon.ts');
    beacon = new Beacon(beaconOf(started), room.monitor.settings);
    machines.push(beacon);
  }
  await opened(host, log, (why) => {
    missing = why;
  });
  host.feed({ type: 'started', node, epoch: state.epoch, marks: state.marks(), memories: state.memories() });
  advise(room.monitor, config, log);
  await Promise.all(served);

  keepReady(room, () => shim.now());
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
  if (config.bpf.enabled) await measure(host, config, log);
}

/** After the start: no repair waits for it. */
async function measure(host: Host, { bpf }: Config, log: Log): Promise<void> {
  const { Xdp } = await import('./host/bpf/xdp.ts');
  host.xdp = new Xdp({
    native: native(),
    log,
    settings: {
      deadlineNs: bpf.deadline,
      admitted: bpf.admitted,
      beaconEthertype: ETH_P_X0,
      generic: bpf.generic,
      epsilon: bpf.epsilon / 100,
    },
    feed: (event) => host.feed(event),
  });
}

/** Rehearsals: some dozen soon after the start, while nobody waits, then one a minute. */
const REHEARSALS = 40;
const SOON_MS = 100;
const LATER_MS = 60_000;

function keepReady(room: Heal, now: () => Nanos): void {
  let count = 0;
  const again = () => {
    // Not while a real repair is under way.
    if (room.execute.busy().length === 0 && room.kick.deadline() === NEVER) rehearse(room.monitor.settings, now());
    count += 1;
    setTimeout(again, count < REHEARSALS ? SOON_MS : LATER_MS).unref();
  };
  setTimeout(again, 0);
}

/** Whoever ends the agent waits no longer: procd five seconds. */
const LONGEST_END: Nanos = 4 * SECOND;

/** null while who we are, or what the tables hold, is not known. */
function rehearsalState({ monitor, knowledge }: Heal, mesh: Mesh): RehearsalState | null {
  const { self, links } = mesh.view();
  const { tables, settings } = monitor;
  if (self === null || tables === null) return null;
  const owned = links.filter(({ originator }) => originator !== null);
  return {
    self,
    // There is a key, and another thread need not have it.
    settings: { ...settings, key: settings.key === '' ? '' : '00'.repeat(32) },
    tables,
    links: [...monitor.links.values()],
    owners: Object.fromEntries(owned.map(({ neighbour, originator }) => [neighbour, originator!])),
    agents: owned
      .filter(({ index, neighbour }) => knowledge.isAgent(index, neighbour))
      .map(({ originator }) => originator!),
  };
}

const PHASES: ReadonlySet<string> = new Set(['monitor', 'analyse', 'plan', 'execute', 'knowledge']);

/** Until the kernel has batman-adv there is nothing to heal, and nothing to end for. */
async function opened(host: Host, log: Log, missing: (why: string | null) => void): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await host.open();
      missing(null);
      return;
    } catch (thrown) {
      const error = asAgentError(thrown, 'E_NETLINK');
      if (error.code !== 'E_NO_BATADV') throw error;
      missing(error.message);
      if (tries === 0) log.error(`${error.message} Asking again every 5 s.`, { code: error.code });
      await new Promise((resolve) => setTimeout(resolve, 5000));
    }
  }
}

/** The control socket, or why there is none. */
interface Controlled extends Control {
  readonly trouble: AgentError | null;
}

/** Without its socket the agent heals on. Throws E_SOCKET where another agent has it. */
function controlled(options: ControlOptions, log: Log): Controlled {
  try {
    return { ...serveControl(options), trouble: null };
  } catch (thrown) {
    const error = asAgentError(thrown, 'E_SOCKET');
    if (isTaken(error)) throw error;
    log.error(`no control socket: ${error.message}`, { code: error.code });
    return { close() {}, trouble: error };
  }
}

/** What is carried out after the turn: everything that only people read. */
function keep(
  book: Book,
  into: { log: Log; metrics: Metrics; state: State; outcomes: Outcomes; flusher: Flusher; alerts: Alerts | null },
): void {
  switch (book.type) {
    case 'log':
      into.log.at(book.level, book.message, book.fields);
      return;
    case 'metric':
      into.metrics.take(book.name, book.labels, book.value);
      return;
    case 'journal':
      into.state.append(book.decision);
      into.outcomes.take(book.decision);
      into.alerts?.take(book.decision);
      break;
    case 'remember':
      into.state.remember(book.kind, book.key, book.value);
      break;
    case 'remember-mark':
      into.state.rememberMark(book.sender, book.epoch, book.counter);
      break;
  }
  into.flusher.settle();
}

/** Said once, at the start: what would make this mesh heal better. */
function advise(
  around: { lastMesh: { primary?: { name: string } } | null; settings: HealSettings },
  config: Config,
  log: Log,
): void {
  if (config.mesh.key === undefined) {
    log.warning('no mesh.key: this router heals by itself only, and neither tells others of faults nor believes them');
  }
  const primary = around.lastMesh?.primary?.name;
  if (primary !== undefined && primary !== config.mesh.primary) {
    log.warning(
      `the primary interface is ${primary}: if it goes, this router changes its address in the mesh. ` +
        `A bridge or dummy named ${config.mesh.primary}, put under the mesh interface first, avoids that`,
    );
  }
}

function degraded(
  config: Config,
  now: {
    readonly state: State;
    readonly host: Host;
    readonly around: { mesh: unknown; lastMesh: MeshInfo | null };
    readonly control: Controlled | null;
    readonly ports: Ports;
    /** What is wrong with the configuration file, and what the kernel lacks. */
    readonly file: string | null;
    readonly kernel: string | null;
  },
): Degraded[] {
  const { state, host, around, control, ports, file, kernel } = now;
  const found: Degraded[] = [];
  if (kernel !== null) found.push({ part: 'kernel', level: 'none', why: kernel });
  const { trouble, level, volatile } = state.status();
  if (trouble !== null) found.push({ part: 'state', level, why: trouble.message });
  if (volatile !== null) {
    const why = `${config.state.directory} lies on a ${volatile}: lost at a reboot`;
    found.push({ part: 'state', level: 'memory', why });
  }
  if (config.mesh.key === undefined) found.push({ part: 'alarms', level: 'none', why: 'mesh.key is not set' });
  if (config.beacon.enabled && config.mesh.key === undefined)
    found.push({ part: 'beacons', level: 'none', why: 'mesh.key is not set' });
  if (host.onTime() === false)
    found.push({ part: 'beacons', level: 'none', why: 'frames cannot be sent on time: the log says why' });
  if (kernel === null && !host.undoAlive())
    found.push({ part: 'undo', level: 'none', why: 'the undo helper does not run' });
  if (control?.trouble) found.push({ part: 'control', level: 'none', why: control.trouble.message });
  const xdp = host.xdp?.standing();
  // The generic one is slower, and counts the same: status shows it, and it is no lack.
  if (xdp?.why && xdp.level !== 'generic') found.push({ part: 'xdp', level: xdp.level, why: xdp.why });
  if (file !== null) found.push({ part: 'configuration', level: 'partly', why: file });
  for (const { what, why } of ports.trouble()) found.push({ part: `HTTP ${what}`, level: 'none', why });
  if (kernel === null && around.mesh === null)
    found.push({ part: 'mesh', level: 'none', why: `there is no ${config.mesh.interface}` });
  const foreign = config.mesh.own ? foreignMesh(config, around.lastMesh) : null;
  if (foreign !== null) found.push({ part: 'mesh', level: 'partly', why: foreign });
  return found;
}

/** mesh.own is set, and the mesh is not as this agent makes it: somebody else made it. null where it is. */
function foreignMesh({ mesh }: Config, found: MeshInfo | null): string | null {
  if (found === null) return null;
  if (found.algorithm !== mesh.algorithm)
    return `${mesh.interface} runs ${found.algorithm}, and mesh.algorithm is ${mesh.algorithm}: it was there before`;
  if (found.primary !== undefined && found.primary.name !== mesh.primary)
    return `${mesh.interface} has ${found.primary.name} for its primary interface, not ${mesh.primary}: it was there before`;
  return null;
}

function asTable(config: Config): Record<string, Record<string, unknown>> {
  const table: Record<string, Record<string, unknown>> = {};
  for (const row of ROWS) {
    table[row.section] ??= {};
    const value = optionValue(config, row);
    const scale = row.option.unit === 'ms' ? MS : row.option.unit === 's' ? SECOND : 1;
    table[row.section]![row.name] = row.option.kind === 'duration' ? (value as number) / scale : (value ?? null);
  }
  return table;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
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
      version: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) process.stdout.write(HELP);
  else if (values.version) process.stdout.write(`${VERSION}\n`);
  else main(values.config, values.record).catch(fail);
} catch (thrown) {
  process.stderr.write(`x0d: ${(thrown as Error).message}\n${HELP}`);
  process.exit(2);
}
