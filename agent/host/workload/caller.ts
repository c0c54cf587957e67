/**
 * Who is at the other end of a unix socket: uid, gid and pid by SO_PEERCRED, the rest out of /proc. An open /proc/PID is a
 * handle on that one process, as a pidfd is: once the process is gone every look through it fails, even if its number
 * has been given to another. So nothing that is read here can be of somebody else.
 */
import { createHash } from 'node:crypto';
import { close, constants, openSync } from 'node:fs';
import { type FileHandle, open, readFile, readlink, stat } from 'node:fs/promises';
import { type Facts, readCgroups } from '../../workload/entry.ts';

/** A larger executable has no hash. */
const LARGEST = 256 * 1024 * 1024;
const MOST_HASHES = 64;

interface Stat {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** Hashes of executables by what changes whenever their bytes do. */
const hashes = new Map<string, string>();

export class Caller {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  #directory: number | null = null;

  /** To be made in the turn in which the connection was accepted. */
  constructor(pid: number, uid: number, gid: number) {
    this.pid = pid;
    this.uid = uid;
    this.gid = gid;
    try {
      // 0 is a process of another PID namespace, of which nothing more can be known.
      if (pid > 0) this.#directory = openSync(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch {
      // It is gone already; or /proc does not show it.
    }
  }

  /** What is known of it now; null where it is gone. `isHashed`: with its executable's hash. */
  async facts(isHashed: boolean): Promise<Facts | null> {
    const { uid, gid } = this;
    if (this.pid === 0) return { uid, gid, path: null, sha256: null, cgroups: [] };
    if (this.#directory === null) return null;
    const process = `/proc/self/fd/${this.#directory}`;
    try {
      const cgroups = readCgroups(await readFile(`${process}/cgroup`, 'utf8').catch(() => ''));
      const executable = await executableOf(`${process}/exe`, isHashed);
      // What has died meanwhile has no state any more; a zombie has, and nothing to say.
      const state = /\) (\S)/.exec(await readFile(`${process}/stat`, 'latin1'))?.[1];
      if (state === undefined || 'ZXx'.includes(state)) return null;
      return { uid, gid, ...executable, cgroups };
    } catch {
      return null;
    }
  }

  close(): void {
    if (this.#directory !== null) close(this.#directory, () => {});
    this.#directory = null;
  }
}

async function executableOf(link: string, isHashed: boolean): Promise<Pick<Facts, 'path' | 'sha256'>> {
  let file: FileHandle | null = null;
  try {
    file = await open(link, 'r');
    const found = await file.stat({ bigint: true });
    const name = await readlink(link);
    // In another mount namespace a path may lead to another file than here: only what leads to the same file names it.
    const named = await stat(name, { bigint: true }).catch(() => null);
    const path = named !== null && isSame(named, found) ? name : null;
    const sha256 = isHashed ? await hashOf(file, found) : null;
    // It may have become another program meanwhile.
    if (!isSame(await stat(link, { bigint: true }), found)) return { path: null, sha256: null };
    return { path, sha256 };
  } catch {
    return { path: null, sha256: null };
  } finally {
    await file?.close();
  }
}

async function hashOf(file: FileHandle, found: Stat): Promise<string | null> {
  if (found.size > LARGEST) return null;
  const key = keyOf(found);
  const known = hashes.get(key);
  if (known !== undefined) return known;
  const hash = createHash('sha256');
  for await (const chunk of file.createReadStream({ autoClose: false, start: 0 })) hash.update(chunk);
  if (keyOf(await file.stat({ bigint: true })) !== key) return null;
  const digest = hash.digest('hex');
  if (hashes.size >= MOST_HASHES) hashes.delete(hashes.keys().next().value!);
  hashes.set(key, digest);
  return digest;
}

function keyOf({ dev, ino, size, mtimeNs, ctimeNs }: Stat): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

function isSame(a: Stat, b: Stat): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}
