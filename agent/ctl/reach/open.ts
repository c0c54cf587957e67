/** What ping, traceroute and throughput have in common: the mesh interface, NODE by whatever name, and an end on Ctrl-C. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { settle } from '../../config/load.ts';
import { DEFAULTS } from '../../config/schema.ts';
import type { Mac } from '../../core/ids.ts';
import { readConfigFile } from '../../host/config-file.ts';
import { native } from '../../host/native.ts';
import { openReach, type Reach } from '../../host/reach.ts';
import { nameOf, readNames, resolveNode } from './names.ts';

export interface Asked {
  /** As the person named the router. */
  readonly word: string;
  readonly mesh: string | undefined;
  readonly configFile: string;
}

export interface Found {
  readonly reach: Reach;
  readonly target: Mac;
  name(mac: Mac): string;
  /** Ctrl-C: the figures so far are an answer, too. */
  readonly stopped: AbortSignal;
}

/** Runs `work` with the router found. Throws what `openReach` and `resolveNode` throw. */
export async function reaching<T>({ word, mesh, configFile }: Asked, work: (found: Found) => Promise<T>): Promise<T> {
  const reach = await openReach(native(), mesh ?? meshOf(configFile));
  const ended = new AbortController();
  const stop = () => ended.abort();
  try {
    const [originators, stations, addresses] = await Promise.all([
      reach.originators(),
      reach.batadv.remoteStations(reach.mesh.index),
      reach.ipNeighbours(),
    ]);
    const batHosts = ['/etc/bat-hosts', join(homedir(), 'bat-hosts')].map(text);
    const names = readNames(batHosts, text('/etc/hosts'));
    const target = resolveNode(word, {
      self: reach.mesh.primary.mac,
      originators: [...new Set(originators.map(({ originator }) => originator))],
      stations: [...stations].sort((a, b) => Number(b.best) - Number(a.best)),
      addresses: addresses.flatMap(({ address, mac }) => (mac === undefined ? [] : [{ address, mac }])),
      names,
    });
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    return await work({ reach, target, name: (mac) => nameOf(mac, names), stopped: ended.signal });
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    reach.close();
  }
}

function meshOf(configFile: string): string {
  try {
    return settle(readConfigFile(configFile), configFile).config.mesh.interface;
  } catch {
    return DEFAULTS.mesh.interface;
  }
}

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
