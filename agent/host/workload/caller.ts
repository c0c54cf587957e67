/**
 * Who is at the other end of a unix socket: uid, gid and pid by SO_PEERCRED, the rest out of /proc. The pid is the caller's for
 * as long as that process lives, which its pidfd says (SO_PEERPIDFD, native/unix.c): it is asked once /proc/PID is open, and after
 * each look. An open /proc/PID is a handle on one process as well, so nothing that is read here can be of somebody else. Who has
 * become another program since it called is nobody that can be vouched for: it was not that program which called.
 */
import { createHash } from 'node:crypto';
import { close, closeSync, constants, openSync, statSync } from 'node:fs';
import { type FileHandle, open, readFile, readlink, stat } from 'node:fs/promises';
import { AgentError } from '../../core/errors.ts';
import { type Facts, readCgroups } from '../../workload/entry.ts';

/** A larger executable has no hash. */
const LARGEST = 256 * 1024 * 1024;
const MOST_HASHES = 64;
/** In place of a pidfd (native.ts). */
const [GONE, NONE_HERE] = [-1, -2];

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
  readonly #lives: (pidfd: number) => boolean;
  #pidfd: number;
  #directory: number | null = null;
  /** Which executable it was when it called; null where that cannot be seen. */
  #called: string | null = null;

  /** To be made in the turn in which the connection was accepted. `pidfd`: the shim's, of which this takes care from here on. */
  constructor(pid: number, uid: number, gid: number, pidfd: number, lives: (pidfd: number) => boolean) {
    this.pid = pid;
    this.uid = uid;
    this.gid = gid;
    this.#pidfd = pidfd;
    this.#lives = lives;
    // 0 is a process of another PID namespace, of which nothing more can be known.
    if (pid === 0 || pidfd < 0) return;
    try {
      const directory = openSync(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
      this.#directory = directory;
      this.#called = nameOf(`/proc/self/fd/${directory}/exe`);
      if (lives(pidfd)) return;
      // The number may have been another's when it was opened.
      this.#directory = null;
      closeSync(directory);
    } catch {
      // It is gone already; or /proc does not show it.
    }
  }

  /** Throws E_CALLER where its process has ended. */
  ensureAlive(): void {
    if (!this.#isThere) throw new AgentError('E_CALLER', 'the program that called has ended');
  }

  get #isThere(): boolean {
    if (this.#pidfd >= 0) return this.#lives(this.#pidfd);
    // Of another PID namespace, and a kernel that has no pidfd of it: uid and gid are what they were at its call.
    return this.pid === 0 && this.#pidfd === NONE_HERE;
  }

  /** What is known of it now. `isHashed`: with its executable's hash. Rejects with E_CALLER where it is gone or another program. */
  async facts(isHashed: boolean): Promise<Facts> {
    const facts = await this.#look(isHashed);
    this.ensureAlive();
    if (facts === null) throw new AgentError('E_CALLER', 'the program that called has ended');
    return facts;
  }

  async #look(isHashed: boolean): Promise<Facts | null> {
    const { uid, gid } = this;
    if (this.pid === 0) return { uid, gid, path: null, sha256: null, cgroups: [] };
    if (this.#directory === null) return null;
    const process = `/proc/self/fd/${this.#directory}`;
    if (this.#isOther(process)) throw new AgentError('E_CALLER', 'the process that called has become another program');
    try {
      const cgroups = readCgroups(await readFile(`${process}/cgroup`, 'utf8').catch(() => ''));
      const executable = await executableOf(`${process}/exe`, isHashed);
      // What has died meanwhile has no state any more; a zombie has, and nothing to say.
      const state = /\) (\S)/.exec(await readFile(`${process}/stat`, 'latin1'))?.[1];
      if (state === undefined || 'ZXx'.includes(state)) return null;
      // It may have become another one while it was looked at.
      if (this.#isOther(process)) return null;
      return { uid, gid, ...executable, cgroups };
    } catch {
      return null;
    }
  }

  /** What cannot be seen (any more: it has put off its rights) is no other program; of that no path is told either. */
  #isOther(process: string): boolean {
    const now = nameOf(`${process}/exe`);
    return now !== null && now !== this.#called;
  }

  close(): void {
    if (this.#directory !== null) close(this.#directory, () => {});
    this.#directory = null;
    if (this.#pidfd >= 0) close(this.#pidfd, () => {});
    this.#pidfd = GONE;
  }
}

/** Which file an executable is; null where that cannot be seen. */
function nameOf(link: string): string | null {
  try {
    const { dev, ino } = statSync(link, { bigint: true });
    return `${dev} ${ino}`;
  } catch {
    return null;
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
