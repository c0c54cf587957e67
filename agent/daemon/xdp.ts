/** The measuring of what comes in. After the start: no repair waits for it. */
import { beaconOf, type Config } from '../config/schema.ts';
import { ETH_P_X0 } from '../heal/wire.ts';
import type { Agent, Part } from './part.ts';

export async function xdp(config: Config, { native, log, host }: Agent): Promise<Part> {
  const { bpf } = config;
  const { Xdp } = await import('../host/bpf/xdp.ts');
  const measured = new Xdp({
    native,
    log,
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
