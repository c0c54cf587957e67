/** Waits for the kernel. */
import { AgentError, asAgentError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Host } from '../host/world.ts';

/** Until the kernel has batman-adv there is nothing to heal, and nothing to end for. */
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
      if (error.code !== 'E_NO_BATADV') throw error;
      missing(error.message);
      if (tries === 0) log.error(`${error.message} Asking again every 5 s.`, { code: error.code });
      await new Promise((resolve) => setTimeout(resolve, 5000));
    }
  }
}

/** By the kernel, over netlink or from the shim. */
function isDenied({ detail, cause }: AgentError): boolean {
  return [detail.errno, (cause as { code?: unknown } | undefined)?.code].includes('EPERM');
}
