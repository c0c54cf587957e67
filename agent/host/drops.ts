/**
 * What the agent's packet sockets had no room for, since it started. The kernel drops such a frame and says so only to who
 * asks that socket: an alarm that the others heard, an OGM that then looks lost on the air. It counts by socket, so an
 * interface is told only where a socket hears one alone.
 */
import type { Dropped } from '../report/sources.ts';
import type { Native, NativePacket, PacketOptions } from './native.ts';

type Row = { -readonly [K in keyof Dropped]: Dropped[K] };

export class Drops {
  readonly #rows = new Map<string, Row>();
  readonly #open = new Map<NativePacket, Row>();

  /** Opens a packet socket whose drops count, and which is closed by `close`. Throws as `openPacket`. */
  open(native: Native, of: Pick<Dropped, 'hears' | 'interface'>, options: PacketOptions): NativePacket {
    const socket = native.openPacket(options);
    const key = `${of.hears} ${of.interface}`;
    const row = this.#rows.get(key) ?? { ...of, frames: 0 };
    this.#rows.set(key, row);
    this.#open.set(socket, row);
    return socket;
  }

  close(socket: NativePacket): void {
    const row = this.#open.get(socket);
    if (row !== undefined) this.#read(socket, row);
    this.#open.delete(socket);
    socket.close();
  }

  /** Of each kind of socket that is open, and of those that were and dropped something. */
  view(): readonly Dropped[] {
    for (const [socket, row] of this.#open) this.#read(socket, row);
    const open = new Set(this.#open.values());
    for (const [key, row] of this.#rows) if (row.frames === 0 && !open.has(row)) this.#rows.delete(key);
    return [...this.#rows.values()].map((row) => ({ ...row }));
  }

  /** The kernel's count begins anew at each reading. */
  #read(socket: NativePacket, row: Row): void {
    try {
      row.frames += socket.statistics().dropped;
    } catch {
      // A figure less; the socket hears on.
    }
  }
}
