/** Round-trip times by ICMP. After the start, and only where somebody wants them. */
import type { Config } from '../config/schema.ts';
import type { Agent, Part } from './part.ts';

export async function probes({ probe }: Config, { log, now }: Agent): Promise<Part> {
  const { Prober } = await import('../host/probe.ts');
  const prober = new Prober({ targets: probe.targets, intervalNs: probe.interval, now, log });
  return {
    shows: { probes: () => prober.view() },
    degraded: () => {
      const { why } = prober.view();
      return why === null ? [] : [{ part: 'probes', level: 'none', why }];
    },
    close: () => prober.close(),
  };
}
