/**
 * One end of a tunnel in a network namespace, for the lab: the agent's own tunnels over its own netlink. The session with
 * the other end is the pipe to tunnels.ts, which starts this; it stands for one that is authenticated.
 */
import { readFileSync } from 'node:fs';
import { type Config, DEFAULTS } from '../../agent/config/schema.ts';
import { asAgentError } from '../../agent/core/errors.ts';
import { Log } from '../../agent/core/log.ts';
import { native } from '../../agent/host/native.ts';
import { provider } from '../../agent/host/openssl.ts';
import { openLinks } from '../../agent/host/tunnel/links.ts';
import { type TunnelRow, Tunnels } from '../../agent/host/tunnel/tunnels.ts';
import { standardSuite } from '../../agent/trust/keys/suite.ts';

type Tunnel = Config['tunnel'][number];

export interface EndOptions {
  readonly own: string;
  readonly tunnels: readonly Tunnel[];
  readonly file: string;
}

export type ToEnd =
  | { readonly type: 'asked'; readonly id: number; readonly from: string; readonly body: unknown }
  | { readonly type: 'answered'; readonly id: number; readonly answer: unknown; readonly error: string | null }
  | { readonly type: 'view' }
  /** Watches an interface for these bytes, until asked again; answers what it has seen since. */
  | { readonly type: 'capture'; readonly interface: string; readonly words: readonly string[] };

export type FromEnd =
  | { readonly type: 'ready' }
  | { readonly type: 'ask'; readonly id: number; readonly to: string; readonly body: unknown }
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown; readonly error: string | null }
  | { readonly type: 'view'; readonly rows: readonly TunnelRow[] }
  | { readonly type: 'captured'; readonly frames: number; readonly found: readonly string[]; readonly ports: string };

const shim = native();
const { own, tunnels: configured, file } = JSON.parse(process.argv[2]!) as EndOptions;
const log = new Log('info', (line) => void process.stderr.write(`${own.split('/').at(-1)}: ${line}\n`));
const say = (message: FromEnd): void => void process.send?.(message);

const waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>();
let asked = 0;
const tunnels = new Tunnels({
  tunnels: configured,
  links: await openLinks(shim, log),
  mesh: DEFAULTS.mesh.interface,
  file,
  log,
  now: () => shim.now(),
  wall: () => Date.now(),
  exchange: {
    own,
    suite: standardSuite((await provider()).primitives),
    keyOf: (peer) => peer,
    isRevoked: () => false,
    request: (to, body) =>
      new Promise((resolve, reject) => {
        asked += 1;
        const id = asked;
        waiting.set(id, { resolve, reject });
        setTimeout(() => {
          if (waiting.delete(id)) reject(new Error('no answer within 5 s'));
        }, 5000);
        say({ type: 'ask', id, to, body });
      }),
  },
});

let seen = { frames: 0, found: new Set<string>(), ports: new Set<string>() };

function capture(name: string, words: readonly string[]): void {
  const ifindex = Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
  shim.openPacket({
    ifindex,
    ethertype: 0x0003,
    rcvbuf: 8 << 20,
    onFrame(frame) {
      seen.frames += 1;
      for (const word of words) if (frame.includes(word)) seen.found.add(word);
      // IPv4 without options, as it is here; the protocol, and of UDP where it goes.
      const type = frame.readUInt16BE(12);
      if (type !== 0x0800) seen.ports.add(`0x${type.toString(16)}`);
      else seen.ports.add(frame[23] === 17 ? `udp ${frame.readUInt16BE(36)}` : `protocol ${frame[23]}`);
    },
    onError: () => {},
  });
}

process.on('message', async (message: ToEnd) => {
  switch (message.type) {
    case 'asked':
      try {
        say({ type: 'answer', id: message.id, answer: await tunnels.handle(message.from, message.body), error: null });
      } catch (thrown) {
        say({ type: 'answer', id: message.id, answer: null, error: asAgentError(thrown).message });
      }
      break;
    case 'answered': {
      const one = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error === null) one?.resolve(message.answer);
      else one?.reject(new Error(message.error));
      break;
    }
    case 'view':
      say({ type: 'view', rows: tunnels.view() });
      break;
    case 'capture':
      if (seen.frames === 0) capture(message.interface, message.words);
      say({
        type: 'captured',
        frames: seen.frames,
        found: [...seen.found],
        ports: [...seen.ports].sort().join(', '),
      });
      seen = { frames: 0, found: new Set(), ports: new Set() };
  }
});
process.on('disconnect', () => process.exit(0));

await tunnels.start();
say({ type: 'ready' });
