/**
 * Tunnels to other sites. Not on every router, so not in every router's memory: loaded where one is configured. They begin
 * once there are sessions and this router has an identity; until then what an agent before has left forwards on.
 */
import type { Config } from '../config/schema.ts';
import { asAgentError } from '../core/errors.ts';
import { SECOND } from '../core/time.ts';
import { openLinks, type TunnelLinks } from '../host/tunnel/links.ts';
import { tunnelsFile } from '../host/tunnel/memory.ts';
import { removeOthers, Tunnels } from '../host/tunnel/tunnels.ts';
import type { Degraded } from '../report/sources.ts';
import type { Suite } from '../trust/keys/suite.ts';
import type { Agent, Part } from './part.ts';

/** A key in use for so many intervals: its renewal fails. */
const LATE = 3;
/** Until it is looked again whether this router has an identity. */
const LOOK_MS = 2000;

/** What the tunnels need of the sessions (sessions.ts, `channel`). */
interface Channel {
  readonly suite: Suite;
  /** This router's SPIFFE id; null while it has none. */
  own(): string | null;
  /** Over a session with this router and nobody else. Throws AgentError. */
  request(peer: string, body: unknown): Promise<unknown>;
  /** Which identity key this router has proven in the session that stands, by fingerprint; null where none does. */
  keyOf(peer: string): string | null;
  /** Whether the router with this key is revoked. */
  isRevoked(key: string): boolean;
  /** Who answers what others ask about tunnels; `peer` is the SPIFFE id that the session has proven. */
  answer(handle: (peer: string, body: unknown) => Promise<unknown>): void;
  /** Told of each session that begins. */
  onUp(told: (peer: string) => void): void;
  /** Told when somebody with a session is believed no longer. */
  onDistrust(told: () => void): void;
}

export interface TunnelPart extends Part {
  attach(sessions: Channel): void;
}

export function tunnels(config: Config, agent: Agent): TunnelPart {
  const { log, native, now } = agent;
  const file = tunnelsFile(config.report.socket);
  let running: Tunnels | null = null;
  let links: TunnelLinks | null = null;
  let trouble = 'there are no sessions with other routers, over which keys are agreed';
  let timer: NodeJS.Timeout | null = null;
  let isClosed = false;

  async function begin(own: string, sessions: Channel): Promise<void> {
    links = await openLinks(native, log);
    const opened = new Tunnels({
      tunnels: config.tunnel,
      exchange: {
        own,
        suite: sessions.suite,
        request: (peer, body) => sessions.request(peer, body),
        keyOf: (peer) => sessions.keyOf(peer),
        isRevoked: (key) => sessions.isRevoked(key),
      },
      links,
      mesh: config.mesh.interface,
      file,
      log,
      now,
      wall: () => Date.now(),
    });
    await opened.start();
    if (isClosed) opened.close();
    else {
      running = opened;
      sessions.answer((peer, body) => opened.handle(peer, body));
      sessions.onUp((peer) => opened.reachable(peer));
      sessions.onDistrust(() => opened.recheck());
    }
  }

  function attach(sessions: Channel): void {
    const own = sessions.own();
    if (own === null) {
      trouble = 'this router has no identity, without which no key is agreed';
      timer = setTimeout(() => attach(sessions), LOOK_MS).unref();
      return;
    }
    begin(own, sessions).catch((thrown) => {
      trouble = asAgentError(thrown, 'E_TUNNEL').message;
      log.error(`no tunnels: ${trouble}`);
    });
  }

  removeOthers(file, config.tunnel, () => openLinks(native, log), log).catch((thrown) =>
    log.warning(`a tunnel that is configured no longer is still there: ${asAgentError(thrown, 'E_TUNNEL').message}`),
  );

  return {
    attach,
    shows: { tunnels: () => (config.tunnel.length === 0 ? null : (running?.view() ?? [])) },
    degraded() {
      if (config.tunnel.length === 0) return [];
      if (running === null) return [{ part: 'tunnels', level: 'none', why: trouble }];
      return running.view().flatMap(({ name, state, since, trouble: why }): Degraded[] => {
        const interval = config.tunnel.find((tunnel) => tunnel.name === name)!.psk_interval;
        const because = why === null ? '' : `: ${why}`;
        if (state === 'starting' || state === 'silent')
          return [{ part: `tunnel ${name}`, level: 'none', why: `nothing goes through${because}` }];
        const age = since === null ? 0 : now() - since;
        if (age < LATE * interval) return [];
        const old = `its key is ${Math.round(age / SECOND)} s old`;
        return [{ part: `tunnel ${name}`, level: 'partly', why: `${old}${because}` }];
      });
    },
    close() {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      running?.close();
      links?.close();
    },
  };
}
