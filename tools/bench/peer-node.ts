/**
 * The router at the other end, for the benches `handshake` and `session`: a process of its own that listens for sessions and
 * answers 'echo' with what it hears and 'sink' with nothing, and beside that for bare TLS. Asked by a message, it says when
 * the last session and the last TLS handshake stood at this end, in CLOCK_MONOTONIC nanoseconds, which are all processes'.
 */
import { once } from 'node:events';
import { createServer } from 'node:tls';
import { credentialsOf, listening, type Material, peersOf } from './peers.ts';
import { PLAIN, plainCredentials } from './plain-tls.ts';

const [material] = (await once(process, 'message')) as [Material];
const now = (): number => Number(process.hrtime.bigint());
const stood = { session: 0, plain: 0 };
const peers = peersOf(credentialsOf(material), {
  onUp: () => {
    stood.session = now();
  },
});
peers.handle('echo', { handle: (body) => body });
peers.handle('sink', { handle: () => null });
const { port: session } = await listening(peers);

const server = createServer({ ...plainCredentials(), ...PLAIN, requestCert: true, rejectUnauthorized: true });
server.on('secureConnection', (socket) => {
  stood.plain = now();
  socket.on('error', () => {}).resume();
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.on('disconnect', () => process.exit(0));
process.on('message', () => process.send!(stood));
process.send!({ session, plain: (server.address() as { port: number }).port });
