/** Alert handlers, loaded only where one is configured. */
import type { Config } from '../config/schema.ts';
import type { Log } from '../core/log.ts';
import type { Decision } from '../core/words.ts';
import type { Alerts } from '../host/alerts.ts';
import type { Part } from './part.ts';

interface Alerting extends Part {
  open(config: Config): void;
  take(decision: Decision): void;
}

export function alerting(node: string, log: Log): Alerting {
  let alerts: Alerts | null = null;

  async function open({ alert: { command, url, timeout: timeoutNs } }: Config): Promise<void> {
    alerts?.close();
    alerts = null;
    if (command.length === 0 && url === '') return;
    const { Alerts } = await import('../host/alerts.ts');
    alerts = new Alerts({ command, url, timeoutNs, node, log, wall: () => Date.now() });
  }

  return {
    open: (config) => void open(config),
    take: (decision) => alerts?.take(decision),
    settle(config, live) {
      if (live.has('alert')) void open(config);
    },
  };
}
