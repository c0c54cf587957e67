/** What the API, the metrics and x0ctl show, joined from where it is. A part adds its own (`Part.shows`). */
import { type Config, optionValue, ROWS } from '../config/schema.ts';
import { MS, type Nanos, SECOND } from '../core/time.ts';
import type { Heal } from '../heal/heal.ts';
import type { State } from '../host/state.ts';
import type { Host } from '../host/world.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { Outcomes } from '../report/outcomes.ts';
import type { Sources } from '../report/sources.ts';

interface From extends Pick<Sources, 'version' | 'startedAt' | 'degraded' | 'recorder' | 'ask'> {
  now(): Nanos;
  /** As the file was read last. */
  config(): Config;
  readonly mesh: Mesh;
  readonly room: Heal;
  readonly host: Host;
  readonly state: State;
  readonly outcomes: Outcomes;
}

export function sourcesOf({ version, startedAt, degraded, recorder, ask, now, config, ...from }: From): Sources {
  const { mesh, room, host, state, outcomes } = from;
  return {
    version,
    startedAt,
    now,
    wall: () => Date.now(),
    degraded,
    mesh: () => mesh.view(),
    isRadio: (index) => host.isRadio(index),
    beacon: () => null,
    heal: () => ({
      mode: room.monitor.settings.mode,
      faults: room.analyse.open(),
      untold: room.analyse.untold(),
      repairs: [...room.execute.busy(), ...room.mend.busy()],
      classes: room.earned.view(),
      known: room.knowledge.records(),
      budgets: [
        { name: 'kicks', left: room.kick.left(now()), capacity: room.monitor.settings.kickBudget },
        { name: 'answers', left: room.ways.left(now()), capacity: room.ways.answersAMinute },
      ],
      undoArmed: host.armed(),
      authenticated: room.monitor.canSpeak,
    }),
    journal: state,
    outcome: (fault) => outcomes.of(fault),
    dropped: () => host.drops.view(),
    recorder,
    config: () => asTable(config()),
    process: () => ({ rssBytes: process.memoryUsage.rss(), cpuSeconds: cpuSeconds() }),
    ask,
  };
}

function asTable(config: Config): Record<string, Record<string, unknown>> {
  const table: Record<string, Record<string, unknown>> = {};
  for (const row of ROWS) {
    table[row.section] ??= {};
    const value = optionValue(config, row);
    const scale = row.option.unit === 'ms' ? MS : row.option.unit === 's' ? SECOND : 1;
    table[row.section]![row.name] = row.option.kind === 'duration' ? (value as number) / scale : (value ?? null);
  }
  for (const { name, ...tunnel } of config.tunnel)
    table[`tunnel.${name}`] = {
      ...tunnel,
      keepalive: tunnel.keepalive / SECOND,
      psk_interval: tunnel.psk_interval / SECOND,
    };
  for (const { name, ...program } of config.program) table[`program.${name}`] = program;
  return table;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
