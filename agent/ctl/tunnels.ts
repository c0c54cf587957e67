/** Tunnels as text for people; also what is known of them while no agent runs. */
import { uptime } from 'node:os';
import { asAgentError } from '../core/errors.ts';
import { readTunnels, tunnelsFile } from '../host/tunnel/memory.ts';
import type { tunnelsShape } from '../report/api/tunnels.ts';
import type { Of } from '../report/shape.ts';
import type { Context } from './command.ts';
import { age, clean, type Terminal, table } from './terminal.ts';

type Screen = Pick<Terminal, 'columns' | 'color'>;

const COLORS = { up: 'green', renewing: 'green', starting: 'yellow', silent: 'red' } as const;

export function tunnelsText({ tunnels }: Of<typeof tunnelsShape>, to: Screen): string {
  if (tunnels === null || tunnels.length === 0) return 'No tunnel is configured.\n';
  const rows = table(
    [
      { title: 'TUNNEL', of: ({ name }) => name },
      { title: 'STATE', of: ({ state }) => state, color: ({ state }) => COLORS[state] },
      { title: 'VIA', of: (tunnel) => tunnel.interface ?? '-' },
      { title: 'KEY', of: ({ keySeconds }) => (keySeconds === null ? '-' : age(keySeconds)), right: true },
      {
        title: 'HANDSHAKE',
        of: ({ handshakeSeconds }) => (handshakeSeconds === null ? '-' : age(handshakeSeconds)),
        right: true,
      },
      { title: 'RENEWED', of: ({ renewals }) => String(renewals), right: true },
      { title: 'ENDPOINT', of: ({ endpoint }) => endpoint ?? '-' },
      { title: 'PEER', of: ({ peer }) => peer.replace('spiffe://', ''), flexible: true },
    ],
    tunnels,
    to,
  );
  const troubles = tunnels.flatMap(({ name, trouble }) =>
    trouble === null ? [] : [`${clean(`${name}: ${trouble}`)}\n`],
  );
  return rows + troubles.join('');
}

/** Where no agent answers: what was up when it ended is so still, unless somebody has taken it down. */
export function sayLeftBehind({ to, json }: Context, thrown: unknown): void {
  const { socket } = asAgentError(thrown).detail;
  if (json || typeof socket !== 'string') return;
  for (const { name, peer, interface: link, since } of readTunnels(tunnelsFile(socket))) {
    const seconds = Math.max(0, (Date.now() - since) / 1000);
    // The file is gone with a reboot, so its times cannot be older; the clock can have been set since.
    const key =
      seconds > uptime()
        ? "its key of before this router's clock was set"
        : `its key of ${new Date(since).toISOString()}, ${age(seconds)} old`;
    to.out(clean(`tunnel ${name} to ${peer} forwards on over ${link} with ${key}`));
    to.out('\n');
  }
}
