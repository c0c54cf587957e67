/** Somebody in the middle of a TCP connection: hears all, and may cut, hold back or change it. */

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Address } from '../../../agent/host/peer/peers.ts';

export class Middle {
  readonly at: Address;
  /** All bytes of all connections, in the order in which they came. */
  readonly heard: Buffer[] = [];
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    const { port } = server.address() as { port: number };
    this.at = { address: '127.0.0.1', port };
  }

  static async before({ address, port }: Address): Promise<Middle> {
    const server = createServer((near) => middle.#join(near, connect({ host: address, port })));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const middle = new Middle(server);
    return middle;
  }

  #join(near: Socket, far: Socket): void {
    this.connections += 1;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (chunk: Buffer) => {
        this.heard.push(chunk);
        to.write(chunk);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  }

  /** Breaks what is open; new connections go through. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  /** Carries nothing any more, and says so to nobody. */
  hold(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
