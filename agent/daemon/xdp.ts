/**
 * The measuring of what comes in. After the start: no repair waits for it. With `auto` it is on where somebody installed the
 * objects: that is asked for by itself, and elsewhere nothing of it is loaded.
 */
import { beaconOf, type Config } from '../config/schema.ts';
import { ETH_P_X0 } from '../heal/wire.ts';
import { areInstalled } from '../host/bpf/place.ts';
import type { XdpView } from '../report/api/xdp.ts';
import type { Agent, Part } from './part.ts';

/** What is shown where nothing is measured. */
const OFF: XdpView = {
  level: 'off',
  why: 'x0tta6bl4-bpf is not installed, and bpf.enabled is auto',
  variant: null,
  jit: false,
  interfaces: [],
  neighbours: [],
  totals: {},
  strangers: 0,
  medianHandshakeNs: null,
  programs: [],
  lockedBytes: 0,
  shared: { opened: 0, established: 0, spent: 0 },
};

export async function xdp(config: Config, { native, log, host }: Agent): Promise<Part> {
  const { bpf } = config;
  if (bpf.enabled === 'auto' && !areInstalled()) return { shows: { xdp: () => OFF } };
  const { Xdp } = await import('../host/bpf/xdp.ts');
  const measured = new Xdp({
    native,
    log,
    drops: host.drops,
    settings: {
      deadlineNs: bpf.deadline,
      admitted: bpf.admitted,
      stamped: [...new Set([ETH_P_X0, beaconOf(config).ethertype])],
      generic: bpf.generic,
      port: config.peer.port,
      epsilon: bpf.epsilon / 100,
    },
    feed: (event) => host.feed(event),
  });
  host.xdp = measured;
  return { shows: { xdp: () => measured.view() } };
}
