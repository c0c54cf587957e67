/**
 * One agent a mesh interface: two would undo each other's repairs. Who runs holds an abstract unix socket (unix(7)) named
 * after the interface: the kernel keeps such names apart by network namespace, gives each to one only, and takes it back
 * when its process ends, however it ends.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Native, NativeError } from './native.ts';

/** A uid that nobody has. */
const NOBODY = 0xffff_ffff;
/** __SO_ACCEPTCON (linux/net.h), as /proc/net/unix has it. */
const LISTENING = '00010000';
const TRIES = 3;
const PAUSE_MS = 100;

interface Holder {
  readonly pid: number;
  readonly uid: number;
  readonly command: string;
}

/** Takes the interface for this process. Throws E_SOCKET that names who has it. */
export async function beAlone(meshInterface: string, native: Pick<Native, 'unixOwner'>, log: Log): Promise<void> {
  const name = `x0tta6bl4 ${meshInterface}`;
  let failed = await taken(name);
  let uid: number | null = null;
  for (let tries = 0; failed === 'EADDRINUSE' && tries < TRIES; tries++) {
    uid = listenerOf(`\0${name}`, native);
    if (uid !== NOBODY) break;
    // It may have ended just now, or be about to listen.
    await pause(PAUSE_MS);
    failed = await taken(name);
  }
  if (failed === null) return;
  if (failed !== 'EADDRINUSE') {
    log.warning('whether another agent runs could not be found out', { errno: failed });
    return;
  }
  const holder = holderOf(`@${name}`);
  // Anybody on the machine can take a name like this; only an agent's own user, or root, may keep us from healing.
  if (uid === null || uid === NOBODY) uid = holder?.uid ?? uid;
  if (uid !== null && uid !== 0 && uid !== process.getuid?.()) {
    log.warning(`the name of ${meshInterface}'s agent is held by somebody who cannot be one`, { ...holder, uid });
    return;
  }
  const who = holder === null ? 'another process' : `pid ${holder.pid} (${holder.command})`;
  throw new AgentError('E_SOCKET', `an agent for ${meshInterface} runs already: ${who}`, {
    interface: meshInterface,
    ...holder,
  });
}

/** The errno that kept us from the name, null for none. */
function taken(name: string): Promise<string | null> {
  const server = createServer((caller) => caller.destroy());
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(`\0${name}`, () => {
      server.unref();
      resolve(null);
    });
  });
}

/** /proc does not show an agent that is no root what others have open; the kernel names whoever listens. */
function listenerOf(name: string, native: Pick<Native, 'unixOwner'>): number | null {
  try {
    return native.unixOwner(name);
  } catch (thrown) {
    // An agent listens, and lets everybody in: whoever only keeps the name is none.
    return ['ECONNREFUSED', 'EAGAIN'].includes((thrown as NativeError).code) ? NOBODY : null;
  }
}

/** Who has this socket open, as far as /proc shows it. */
function holderOf(path: string): Holder | null {
  try {
    // proc_net(5): seven columns, the fourth its flags, the last the inode, and the path. Whoever calls has a row of that path, too.
    const row = readFileSync('/proc/net/unix', 'latin1')
      .split('\n')
      .find((line) => line.endsWith(` ${path}`) && line.trim().split(/\s+/)[3] === LISTENING);
    const inode = row?.trim().split(/\s+/)[6];
    if (inode === undefined) return null;
    for (const pid of readdirSync('/proc')) {
      if (/^\d+$/.test(pid) && hasOpen(pid, `socket:[${inode}]`)) {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return { pid: Number(pid), uid: statSync(`/proc/${pid}`).uid, command };
      }
    }
  } catch {
    // It ended meanwhile, or /proc is not for us to read.
  }
  return null;
}

function hasOpen(pid: string, what: string): boolean {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((fd) => readlinkSync(`${folder}/${fd}`) === what);
  } catch {
    return false;
  }
}
