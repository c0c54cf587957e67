/**
 * The router at the other end, for the benches `handshake` and `session`: a process of its own that listens for sessions and
 * answers 'echo' with what it hears and 'sink' with nothing, and beside that for bare TLS.
 */
import { once } from 'node:events';
import { createServer } from 'node:tls';
import { credentialsOf, listening, type Material, peersOf } from './peers.ts';
import { PLAIN, plainCredentials } from './plain-tls.ts';

const [material] = (await once(process, 'message')) as [Material];
const peers = peersOf(credentialsOf(material));
peers.handle('echo', { handle: (body) => body });
peers.handle('sink', { handle: () => null });
const { port: session } = await listening(peers);

const server = createServer({ ...plainCredentials(), ...PLAIN, requestCert: true, rejectUnauthorized: true });
server.on('secureConnection', (socket) => socket.on('error', () => {}).resume());
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.on('disconnect', () => process.exit(0));
process.send!({ session, plain: (server.address() as { port: number }).port });
