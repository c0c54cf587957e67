/** Identities for programs on this router. Not on every router, so not in every router's memory: loaded where it is on. */
import type { Config } from '../config/schema.ts';
import { asAgentError } from '../core/errors.ts';
import { MS } from '../core/time.ts';
import type { Identity } from '../host/identity.ts';
import { Asking, Issuing } from '../host/workload/issuing.ts';
import { WorkloadServer } from '../host/workload/server.ts';
import { Registry } from '../workload/entry.ts';
import type { Agent, Part } from './part.ts';

export function workload(started: Config, agent: Agent, identity: Identity): Part {
  const { log, native, now, metrics } = agent;
  const { socket, x509_life, jwt_life } = started.workload;
  let registry = registryOf(started);
  let trouble: string | null = null;
  let server: WorkloadServer | null = null;
  const asking = new Asking((token, wanted) => identity.carryOut(identity.machine.vouchFor(token, wanted, now())));
  identity.onVouched((answer) => asking.answered(answer));
  const issuing = new Issuing({
    tools: identity.tools,
    vouching: () => identity.machine.vouching(now()),
    ask: (wanted) => asking.ask(wanted),
    x509LifeMs: x509_life / MS,
    jwtLifeMs: jwt_life / MS,
  });
  try {
    server = new WorkloadServer({
      path: socket,
      listener: (options) => native.listenUnix(options),
      lives: (pidfd) => native.lives(pidfd),
      registry: () => registry,
      issuing,
      log,
      counted: (method, status) => metrics.take('workload_requests_total', { method, status: String(status) }, 1),
    });
  } catch (thrown) {
    trouble = asAgentError(thrown).message;
    log.error(`no identities for programs: ${trouble}`);
  }
  return {
    shows: {
      workload: () => ({
        socket,
        entries: registry.size,
        connections: server?.counts().connections ?? 0,
        streams: server?.counts().streams ?? 0,
        certificates: issuing.issued.x509,
        tokens: issuing.issued.jwt,
        trouble: trouble ?? issuing.trouble(),
      }),
    },
    degraded() {
      const why = trouble ?? issuing.trouble();
      return why === null ? [] : [{ part: 'identities for programs', level: 'none', why }];
    },
    settle(config) {
      registry = registryOf(config);
    },
    close: () => server?.close(),
  };
}

function registryOf({ program }: Config): Registry {
  return new Registry(program.map(({ name, path, selector, hint }) => ({ name, path, selectors: selector, hint })));
}
