/**
 * A steward's invitations across a restart, in a file beside the identity's that nobody else can read. What cannot be read is
 * as if nobody had been invited: then a person invites anew.
 */
import { rmSync } from 'node:fs';
import { isNodeId } from '../trust/certificate/spiffe.ts';
import { type Invited, MOST_INVITATIONS } from '../trust/join/invitation.ts';
import { SecretBytes } from '../trust/keys/secret.ts';
import { readPrivate, replacePrivate } from './private-file.ts';

const VERSION = 1;

export function readInvitationFile(file: string): Invited[] {
  const { version, invitations } = (readPrivate(file) ?? {}) as { version?: unknown; invitations?: unknown };
  if (version !== VERSION || !Array.isArray(invitations)) return [];
  return invitations
    .slice(0, MOST_INVITATIONS)
    .flatMap((one: Partial<Record<keyof Invited, unknown>> | null): Invited[] => {
      const { id, secret, node, untilMs, by } = one ?? {};
      if (typeof id !== 'string' || !/^[0-9a-f]{16}$/.test(id) || typeof untilMs !== 'number') return [];
      if (typeof secret !== 'string' || !/^[0-9a-f]{32}$/.test(secret)) return [];
      if (node !== null && (typeof node !== 'string' || !isNodeId(node))) return [];
      if (by !== undefined && (typeof by !== 'string' || !/^[0-9a-f]{64}$/.test(by))) return [];
      const opened = { id, secret: new SecretBytes(Uint8Array.from(Buffer.from(secret, 'hex'))), node, untilMs };
      return [by === undefined ? opened : { ...opened, by }];
    });
}

/** Replaces it; without any invitation there is none. Throws what the file system says. */
export function writeInvitationFile(file: string, invited: readonly Invited[]): void {
  if (invited.length === 0) {
    rmSync(file, { force: true });
    return;
  }
  const invitations = invited.map(({ id, secret, node, untilMs, by }) => ({
    id,
    secret: Buffer.from(secret.reveal()).toString('hex'),
    node,
    untilMs,
    by,
  }));
  replacePrivate(file, { version: VERSION, invitations });
}
