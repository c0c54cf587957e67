/** Tunnels to other sites: their state, and since when each has its key. */
import { type Nanos, SECOND } from '../../core/time.ts';
import type { TunnelView } from '../../tunnel/tunnel.ts';
import { array, flag, integer, number, object, oneOf, orNull, text, version } from '../shape.ts';
import { type Call, call, seconds } from './call.ts';

/** A tunnel as the daemon shows it. */
export interface TunnelShown extends TunnelView {
  readonly name: string;
  readonly peer: string;
  readonly interface: string | null;
  readonly hard: string | null;
  readonly leads: boolean;
}

export const tunnelsShape = object({
  version,
  tunnels: orNull(
    array(
      object({
        name: text('its name in the configuration'),
        peer: text('SPIFFE id of the router at the other end'),
        state: oneOf(
          ['starting', 'up', 'renewing', 'silent'],
          'starting: no path yet; renewing: in use, and another path is being made; silent: nobody answers over it',
        ),
        interface: orNull(text('the WireGuard interface that is sent over')),
        hardInterface: orNull(text('the hard interface of the mesh that it is; null where it is none')),
        leads: flag('this end begins each renewal'),
        keySeconds: orNull(number('since when the preshared key in use has been in use')),
        handshakeSeconds: orNull(number("since WireGuard's last handshake over it")),
        endpoint: orNull(text('where the other end was heard last')),
        receivedBytes: integer('over the path in use'),
        sentBytes: integer('over the path in use'),
        renewals: integer('keys that came into use since the agent started'),
        failures: integer('tries of that which failed'),
        trouble: orNull(text('why the last try failed; null after one that did not')),
      }),
      'the tunnels of the configuration',
    ),
  ),
});

export const tunnelCalls: readonly Call[] = [
  call({
    method: 'GET',
    path: '/tunnels',
    help: 'WireGuard tunnels to other sites; null where none is configured.',
    shape: tunnelsShape,
    answer: ({ sources }) => ({ tunnels: sources.tunnels?.()?.map((tunnel) => shown(tunnel, sources.now())) ?? null }),
  }),
];

function shown({ look, since, hard, slot: _, ...tunnel }: TunnelShown, now: Nanos) {
  return {
    name: tunnel.name,
    peer: tunnel.peer,
    state: tunnel.state,
    interface: tunnel.interface,
    hardInterface: hard,
    leads: tunnel.leads,
    keySeconds: since === null ? null : seconds(now - since),
    // The kernel has it by the wall clock: what is older than this boot was before that was set.
    handshakeSeconds:
      look?.handshakeNs == null || look.handshakeNs > now ? null : Math.round(look.handshakeNs / SECOND),
    endpoint: look?.endpoint ?? null,
    receivedBytes: look?.rxBytes ?? 0,
    sentBytes: look?.txBytes ?? 0,
    renewals: tunnel.renewals,
    failures: tunnel.failures,
    trouble: tunnel.trouble,
  };
}
