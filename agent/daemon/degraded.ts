/** What works with less than it could: the status shows it, and the log says some of it once, at the start. */
import type { Config } from '../config/schema.ts';
import type { HealSettings } from '../core/event.ts';
import type { MeshInfo } from '../core/kernel.ts';
import type { Log } from '../core/log.ts';
import type { State } from '../host/state.ts';
import type { Host } from '../host/world.ts';
import type { Degraded } from '../report/sources.ts';
import type { Part } from './part.ts';
import type { Serving } from './serving.ts';

/** Said once, at the start: what would make this mesh heal better. */
export function advise(
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

export function degraded(
  config: Config,
  now: {
    readonly state: State;
    readonly host: Host;
    readonly around: { mesh: unknown; lastMesh: MeshInfo | null; canSpeak: boolean };
    readonly serving: Serving;
    readonly parts: readonly Part[];
    /** Why what is recorded would not outlast a kill. */
    readonly recorder: string | null;
    /** What is wrong with the configuration file, and what the kernel lacks. */
    readonly file: string | null;
    readonly kernel: string | null;
  },
): Degraded[] {
  const { state, host, around, serving, parts, recorder, file, kernel } = now;
  const found: Degraded[] = [];
  if (kernel !== null) found.push({ part: 'kernel', level: 'none', why: kernel });
  const { trouble, level, volatile } = state.status();
  if (trouble !== null) found.push({ part: 'state', level, why: trouble.message });
  if (volatile !== null) {
    const why = `${config.state.directory} lies on a ${volatile}: lost at a reboot`;
    found.push({ part: 'state', level: 'memory', why });
  }
  if (recorder !== null) found.push({ part: 'recorder', level: 'memory', why: recorder });
  if (config.mesh.key === undefined && !around.canSpeak)
    found.push({ part: 'alarms', level: 'none', why: 'mesh.key is not set' });
  for (const part of parts) found.push(...(part.degraded?.(config) ?? []));
  if (kernel === null && !host.undoAlive())
    found.push({ part: 'undo', level: 'none', why: 'the undo helper does not run' });
  const { control, ports } = serving.trouble();
  if (control !== null) found.push({ part: 'control', level: 'none', why: control.message });
  const xdp = host.xdp?.standing();
  // The generic one is slower, and counts the same: status shows it, and it is no lack.
  if (xdp?.why && xdp.level !== 'generic') found.push({ part: 'xdp', level: xdp.level, why: xdp.why });
  if (file !== null) found.push({ part: 'configuration', level: 'partly', why: file });
  for (const { what, why } of ports) found.push({ part: `HTTP ${what}`, level: 'none', why });
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
