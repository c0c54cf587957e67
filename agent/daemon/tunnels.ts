/** Tunnels to other sites. Not on every router, so not in every router's memory: loaded where one is configured. */
import type { Config } from '../config/schema.ts';
import { asAgentError } from '../core/errors.ts';
import { SECOND } from '../core/time.ts';
import { openLinks } from '../host/tunnel/links.ts';
import { tunnelsFile } from '../host/tunnel/memory.ts';
import { type Exchange, Tunnels } from '../host/tunnel/tunnels.ts';
import type { Degraded } from '../report/sources.ts';
import type { Agent, Part } from './part.ts';

/** A key in use for so many intervals: its renewal fails. */
const LATE = 3;

/** What the sessions bring. */
export interface Sessions {
  readonly exchange: Exchange;
  /** Who answers requests about tunnels. */
  answer(handle: (peer: string, body: unknown) => Promise<unknown>): void;
  /** Told each time that a session with somebody has begun. */
  onUp(told: (peer: string) => void): void;
}

/** `sessions` null: there are none, so no key is agreed; what is there forwards on. */
export async function tunnels(config: Config, agent: Agent, sessions: Sessions | null): Promise<Part> {
  const { log, native, now } = agent;
  let trouble = sessions === null ? 'there are no sessions with other routers: keys are not renewed' : null;
  let running: Tunnels | null = null;
  if (sessions !== null)
    try {
      const links = await openLinks(native, log);
      const opened = new Tunnels({
        tunnels: config.tunnel,
        exchange: sessions.exchange,
        links,
        mesh: config.mesh.interface,
        file: tunnelsFile(config.report.socket),
        log,
        now,
        wall: () => Date.now(),
      });
      sessions.answer((peer, body) => opened.handle(peer, body));
      sessions.onUp((peer) => opened.reachable(peer));
      await opened.start();
      running = opened;
    } catch (thrown) {
      trouble = asAgentError(thrown, 'E_TUNNEL').message;
      log.error(`no tunnels: ${trouble}`);
    }
  return {
    shows: { tunnels: () => running?.view() ?? [] },
    degraded() {
      if (trouble !== null) return [{ part: 'tunnels', level: 'none', why: trouble }];
      return (running?.view() ?? []).flatMap(({ name, state, since, trouble: why }): Degraded[] => {
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
    close: () => running?.close(),
  };
}
