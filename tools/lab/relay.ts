/**
 * A man in the middle of TCP connections, a process of its own in the namespace of whoever plays him. Arguments: a JSON
 * object { at, to, cert, key }: where he listens, whom he connects to for each connection, and PEM files of a certificate of
 * his own. On stdin he is told what he is from the next connection on, those that stand are cut: `pass` hands every byte on,
 * `flip` turns one bit around in each FLIP_EVERY bytes, `own` ends TLS at both sides by his own certificate. Each word is
 * answered with what came of the one before, as JSON.
 */
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { connect as connectTls, TLSSocket } from 'node:tls';

export type Part = 'pass' | 'flip' | 'own';

export interface RelayOptions {
  readonly at: { readonly host: string; readonly port: number };
  readonly to: { readonly host: string; readonly port: number };
  readonly cert: string;
  readonly key: string;
}

export interface Relayed {
  readonly part: Part;
  readonly connections: number;
  /** Bytes that he handed on; for `own` those inside TLS, which he could read. */
  readonly bytes: number;
  readonly flipped: number;
  /** For `own`: handshakes of TLS that came about with him. */
  readonly handshakes: number;
  /** The beginning of what he could read, as base64. */
  readonly read: string;
}

const FLIP_EVERY = 3000;
const MOST_READ = 64 * 1024;
const { at, to, cert, key } = JSON.parse(process.argv[2]!) as RelayOptions;
const own = { cert: readFileSync(cert), key: readFileSync(key) };
const open = new Set<Duplex>();
let part: Part = 'pass';
let now = { connections: 0, bytes: 0, flipped: 0, handshakes: 0 };
let read: Buffer[] = [];

function pipe(from: Duplex, into: Duplex): void {
  open.add(from);
  from.on('data', (chunk: Buffer) => {
    if (part === 'flip') {
      const end = now.bytes + chunk.length;
      for (let next = Math.ceil((now.bytes + 1) / FLIP_EVERY) * FLIP_EVERY; next <= end; next += FLIP_EVERY) {
        chunk[next - now.bytes - 1]! ^= 0x10;
        now.flipped += 1;
      }
    }
    now.bytes += chunk.length;
    if (part === 'own' && Buffer.concat(read).length < MOST_READ) read.push(chunk);
    into.write(chunk);
  });
  from.on('error', () => into.destroy());
  from.on('close', () => {
    open.delete(from);
    into.destroy();
  });
}

function middle(near: Socket): void {
  now.connections += 1;
  if (part !== 'own') {
    const far = connect(to);
    pipe(near, far);
    pipe(far, near);
    return;
  }
  const nearTls = new TLSSocket(near, { isServer: true, ...own, requestCert: true, rejectUnauthorized: false });
  const farTls = connectTls({ ...to, ...own, rejectUnauthorized: false, checkServerIdentity: () => undefined });
  for (const [one, event] of [
    [nearTls, 'secure'],
    [farTls, 'secureConnect'],
  ] as const)
    one.once(event, () => {
      now.handshakes += 1;
    });
  pipe(nearTls, farTls);
  pipe(farTls, nearTls);
}

createServer(middle).listen(at, () => process.stdout.write('ready\n'));
createInterface({ input: process.stdin })
  .on('line', (word) => {
    const relayed: Relayed = { part, ...now, read: Buffer.concat(read).toString('base64') };
    process.stdout.write(`${JSON.stringify(relayed)}\n`);
    for (const one of open) one.destroy();
    part = word as Part;
    now = { connections: 0, bytes: 0, flipped: 0, handshakes: 0 };
    read = [];
  })
  .on('close', () => process.exit(0));
