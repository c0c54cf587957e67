/** Waits for the kernel. */
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Host } from '../host/world.ts';

/** What passes: batman-adv may come yet, and a driver that loads its firmware holds the kernel's lock for seconds. */
const PASSES: ReadonlySet<string> = new Set(['E_NO_BATADV', 'E_NETLINK_TIMEOUT', 'E_NETLINK_LOST']);

/** Until the kernel has batman-adv, and answers, there is nothing to heal, and nothing to end for. */
export async function opened(host: Host, log: Log, missing: (why: string | null) => void): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await host.open();
      missing(null);
      return;
    } catch (thrown) {
      const error = asAgentError(thrown, 'E_NETLINK');
      if (isDenied(error))
        throw new AgentError(
          error.code,
          `${error.message}: x0d has to run as root, or with CAP_NET_ADMIN and CAP_NET_RAW`,
          error.detail,
          { cause: error },
        );
      if (!PASSES.has(error.code)) throw error;
      missing(error.message);
      if (tries === 0)
        log.error(`${error.message.replace(/[^.?]$/, '$&.')} Asking again every 5 s.`, { code: error.code });
      await new Promise((resolve) => setTimeout(resolve, 5000));
    }
  }
}

/** By the kernel, over netlink or from the shim. */
function isDenied({ detail, cause }: AgentError): boolean {
  return [detail.errno, (cause as { code?: unknown } | undefined)?.code].includes('EPERM');
}
