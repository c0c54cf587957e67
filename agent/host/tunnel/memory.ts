/**
 * Which tunnels this router has and since when each has its key: a file beside the control socket, gone with a reboot as
 * the interfaces are. From it an agent that starts knows how old the keys are that it finds; and while none runs, x0ctl
 * tells by it what forwards on. No secret is in it.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const FILE = 'tunnels.json';
const LONGEST = 1 << 20;

export interface Remembered {
  readonly name: string;
  readonly peer: string;
  readonly interface: string;
  /** Ours, of the path in use: it tells whether this is still about the interface that is there. */
  readonly key: string;
  /** With whom it was agreed: the fingerprint of the other end's identity key; '' where that is not known. */
  readonly identity: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly addresses: readonly string[];
}

export const tunnelsFile = (socket: string): string => join(dirname(socket), FILE);

/** What is there and makes sense; nothing where there is no such file. */
export function readTunnels(file: string): Remembered[] {
  try {
    const text = readFileSync(file, 'utf8');
    if (text.length > LONGEST) return [];
    const { tunnels } = JSON.parse(text) as { tunnels: unknown };
    // An older agent did not write the identity.
    return Array.isArray(tunnels)
      ? tunnels.filter(isRemembered).map((one) => ({ ...one, identity: one.identity ?? '' }))
      : [];
  } catch {
    return [];
  }
}

function isRemembered(value: unknown): value is Omit<Remembered, 'identity'> & { readonly identity?: string } {
  if (typeof value !== 'object' || value === null) return false;
  const { name, peer, interface: link, key, identity = '', since, addresses } = value as Record<string, unknown>;
  return (
    [name, peer, link, key, identity].every((text) => typeof text === 'string') &&
    typeof since === 'number' &&
    Array.isArray(addresses) &&
    addresses.every((address) => typeof address === 'string')
  );
}

/** There whole or not at all, and not where there is no tunnel. */
export function writeTunnels(file: string, tunnels: readonly Remembered[]): void {
  if (tunnels.length === 0) {
    rmSync(file, { force: true });
    return;
  }
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.new`;
  writeFileSync(draft, `${JSON.stringify({ tunnels })}\n`, { mode: 0o644 });
  renameSync(draft, file);
}
