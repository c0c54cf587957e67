/** Alert handlers, loaded only where one is configured. */
import type { Config } from '../config/schema.ts';
import type { Log } from '../core/log.ts';
import type { Decision } from '../core/words.ts';
import type { Alerts } from '../host/alerts.ts';
import type { Part } from './part.ts';

interface Alerting extends Part {
  open(config: Pick<Config, 'alert'>): void;
  take(decision: Decision): void;
  /** A handler runs or is being loaded, or entries wait. */
  readonly isBusy: boolean;
}

/** Entries that wait while the handlers are loaded: what was wrong at the start is among them. */
const MOST_EARLY = 100;

export function alerting(node: string, log: Log): Alerting {
  let alerts: Alerts | null = null;
  /** null where nothing is being loaded. */
  let early: Decision[] | null = null;
  let opened = 0;
  /** What the handlers of before had not come to. */
  let left: readonly string[] = [];

  async function open({ alert: { command, url, timeout: timeoutNs } }: Pick<Config, 'alert'>): Promise<void> {
    const turn = ++opened;
    if (alerts !== null) left = alerts.close();
    alerts = null;
    if (command.length === 0 && url === '') {
      early = null;
      left = [];
      return;
    }
    early ??= [];
    const { Alerts } = await import('../host/alerts.ts');
    // The file was read again meanwhile.
    if (turn !== opened) return;
    alerts = new Alerts({ command, url, timeoutNs, node, log, wall: () => Date.now() }, left);
    left = [];
    for (const decision of early ?? []) alerts.take(decision);
    early = null;
  }

  return {
    open: (config) => void open(config),
    take(decision) {
      if (early !== null && early.length < MOST_EARLY) early.push(decision);
      else alerts?.take(decision);
    },
    get isBusy() {
      return early !== null || (alerts?.isBusy ?? false);
    },
    settle(config, live) {
      if (live.has('alert')) void open(config);
    },
  };
}
