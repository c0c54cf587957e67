/** Where the API and the metrics are served: the control socket, and HTTP. */
import type { Config } from '../config/schema.ts';
import { type AgentError, asAgentError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { type Control, type ControlOptions, isTaken, serveControl } from '../host/control.ts';
import { Ports, serveApi, serveMetrics } from '../host/http.ts';
import type { Native } from '../host/native.ts';
import type { Metrics } from '../report/metrics.ts';
import type { Sources } from '../report/sources.ts';
import type { Part } from './part.ts';

export interface Serving extends Part {
  /** Throws E_SOCKET where another agent has the control socket. */
  control(sources: Sources): void;
  /** Answers after the first try of each port. */
  http(sources: Sources): Promise<void>;
  /** Why there is no control socket, and what is not served. */
  trouble(): { readonly control: AgentError | null; readonly ports: ReturnType<Ports['trouble']> };
}

interface Options {
  readonly report: Config['report'];
  readonly metrics: Metrics;
  readonly native: Native;
  readonly log: Log;
}

export function serving({ report, metrics, native, log }: Options): Serving {
  let control: Controlled | null = null;
  const ports = new Ports(log);
  return {
    control(sources) {
      control = controlled(
        {
          path: report.socket,
          sources,
          metrics,
          listener: (options) => native.listenUnix(options),
          onError: (code) => log.warning('the control socket could not accept', { errno: code }),
        },
        log,
      );
    },
    async http(sources) {
      if (!report.http) return;
      const { http_address: address, http_port: port, metrics_port: metricsPort } = report;
      await Promise.all([
        ports.keep('status', () => serveApi(sources, metrics, address, port)),
        ports.keep('metrics', () => serveMetrics(sources, metrics, address, metricsPort)),
      ]);
    },
    trouble: () => ({ control: control?.trouble ?? null, ports: ports.trouble() }),
    close() {
      control?.close();
      ports.close();
    },
  };
}

/** The control socket, or why there is none. */
interface Controlled extends Control {
  readonly trouble: AgentError | null;
}

/** Without its socket the agent heals on. Throws E_SOCKET where another agent has it. */
function controlled(options: ControlOptions, log: Log): Controlled {
  try {
    return { ...serveControl(options), trouble: null };
  } catch (thrown) {
    const error = asAgentError(thrown, 'E_SOCKET');
    if (isTaken(error)) throw error;
    log.error(`no control socket: ${error.message}`, { code: error.code });
    return { close() {}, trouble: error };
  }
}
