/** Who is logged in on this router over the network, and whether they can be reached: /proc/net/tcp, and ping. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** As /proc/net/tcp numbers them (include/net/tcp_states.h): the far end has not said that it leaves, or has not heard us. */
const HOLDING = new Set([1, 4, 9, 11]);
const LISTEN = 10;
const MOST = 8;
const PING_MS = 1500;

/** Addresses of those who hold a connection to a port that this router listens on, but for `ports`; eight at most. */
export function connected(ports: readonly number[], read: (file: string) => string = readTable): string[] {
  const rows = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => parseTable(read(file)));
  const listening = new Set(rows.filter(({ state }) => state === LISTEN).map(({ port }) => port));
  const found = rows.filter(
    ({ state, port, peer }) => HOLDING.has(state) && listening.has(port) && !ports.includes(port) && !isHere(peer),
  );
  return [...new Set(found.map(({ peer }) => peer))].slice(0, MOST);
}

function readTable(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

interface Connection {
  readonly port: number;
  readonly peer: string;
  readonly state: number;
}

/** proc_net(5): addresses are 32-bit words in the machine's own byte order. */
function parseTable(text: string): Connection[] {
  return [
    ...text.matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):[0-9A-F]{4} ([0-9A-F]{2}) /gm),
  ].map(([, port, peer, state]) => ({
    port: Number.parseInt(port!, 16),
    peer: addressOf(peer!),
    state: Number.parseInt(state!, 16),
  }));
}

const LITTLE = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

function addressOf(hex: string): string {
  const bytes = hex.match(/.{8}/g)!.flatMap((word) => {
    const four = word.match(/../g)!.map((byte) => Number.parseInt(byte, 16));
    return LITTLE ? four.reverse() : four;
  });
  const mapped = bytes.length === 16 && bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255;
  if (bytes.length === 4 || mapped) return bytes.slice(-4).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}

function isHere(address: string): boolean {
  return address === '::1' || address === '::' || address.startsWith('127.') || address === '0.0.0.0';
}

/** Of these addresses, those that answer one echo request. A router without ping answers for none. */
export async function answering(addresses: readonly string[]): Promise<string[]> {
  const given = await Promise.all(addresses.map(answers));
  return addresses.filter((_, i) => given[i]);
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    execFile('ping', ['-c', '1', '-W', '1', address], { timeout: PING_MS }, (error) => resolve(error === null));
  });
}
