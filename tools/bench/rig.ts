/**
 * A router for benches on this machine's own kernel: network namespaces, veth pairs for ports, a bridge that passes for
 * bat0 (standin.ts), and the real x0d in it. Needs root.
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import type { Fixture, Port } from './fixture.ts';

export const ROOT = join(import.meta.dirname, '..', '..');
const BUILD = join(import.meta.dirname, 'build');

export interface RigOptions {
  readonly ports: number;
  readonly originators: number;
  /** Ports have their peers' indexes, as real cards have: their carrier events are rate-limited (linkwatch). */
  readonly equalIndexes?: boolean;
}

/** Bundles the daemon and the stand-in, builds the witness. Once a process is enough. */
export async function prepare(): Promise<void> {
  mkdirSync(BUILD, { recursive: true });
  const newest = (file: string, source: string) =>
    existsSync(file) && statSync(file).mtimeMs > statSync(source).mtimeMs;
  const witness = join(BUILD, 'witness');
  const source = join(import.meta.dirname, 'witness.c');
  if (!newest(witness, source))
    execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-pthread', '-o', witness, source], { stdio: ['ignore', 2, 2] });
  execFileSync(process.execPath, [join(ROOT, 'tools', 'build.ts'), '--only', 'x0d'], { stdio: ['ignore', 2, 2] });
  await build({
    entryPoints: [join(import.meta.dirname, 'standin.ts')],
    outfile: join(BUILD, 'standin.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node22.13',
    logLevel: 'warning',
  });
}

export interface AgentSpawn {
  readonly flags: readonly string[];
  /** Sections and options beyond the rig's own. */
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Before everything, still in the namespaces of the bench: a shell that joins a memory cgroup. */
  readonly wrap?: readonly string[];
}

export class Rig {
  readonly fixture: Fixture;
  /** Indexes of the ports' far ends, in the ports' order. */
  readonly far: readonly number[];
  readonly here: string;
  readonly there: string;
  readonly dir: string;

  constructor({ ports, originators, equalIndexes = false }: RigOptions) {
    this.here = `x0b${process.pid}`;
    this.there = `x0p${process.pid}`;
    this.dir = mkdtempSync(join(tmpdir(), 'x0-bench-'));
    const port = (index: number, name: string, last: string): Port => ({ index, name, mac: `02:00:00:00:00:${last}` });
    this.fixture = {
      mesh: port(1000, 'bat0', 'b0'),
      primary: port(1001, 'primary0', 'ff'),
      ports: Array.from({ length: ports }, (_, n) => port(1010 + n, `eth${n}`, `0${n}`)),
      originators,
    };
    this.far = this.fixture.ports.map(({ index }) => (equalIndexes ? index : index + 500));
    try {
      this.#build();
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  #build(): void {
    const { mesh, primary, ports } = this.fixture;
    for (const ns of [this.here, this.there]) {
      ip([`netns add ${ns}`, `-n ${ns} link set lo up`]);
      // Neighbour discovery has no part in this.
      execFileSync('ip', [
        'netns',
        'exec',
        ns,
        'sh',
        '-c',
        'for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done',
      ]);
    }
    ip([
      `-n ${this.here} link add bat0 index ${mesh.index} address ${mesh.mac} type bridge`,
      `-n ${this.here} link add primary0 index ${primary.index} address ${primary.mac} type veth peer name primary0p`,
      `-n ${this.here} link set primary0p up`,
      ...ports.map(
        ({ index, name, mac }, n) =>
          `link add ${name} index ${index} address ${mac} netns ${this.here} type veth peer name ${name} index ${this.far[n]} netns ${this.there}`,
      ),
      ...ports.map(({ name }) => `-n ${this.there} link set ${name} up`),
      ...[primary, ...ports].map(({ name }) => `-n ${this.here} link set ${name} master bat0 up`),
      `-n ${this.here} link set bat0 up`,
    ]);
  }

  /** What the agent's /metrics says now. */
  metrics(): string {
    const fetching = `fetch('http://127.0.0.1:9091/metrics').then((r) => r.text()).then((t) => process.stdout.write(t))`;
    return execFileSync('ip', ['netns', 'exec', this.here, process.execPath, '-e', fetching], { encoding: 'utf8' });
  }

  /** Starts x0d; answers when it is ready. */
  async agent({ flags, config = '', env = {}, wrap = [] }: AgentSpawn): Promise<Agent> {
    const file = join(this.dir, 'config');
    writeFileSync(
      file,
      `config mesh 'mesh'\n\toption interface 'bat0'\n\toption primary 'primary0'\n\toption key '${'ab'.repeat(32)}'\n` +
        `config report 'report'\n\toption socket '${this.dir}/ctl.sock'\n` +
        `config state 'state'\n\toption directory '${this.dir}/state'\n${config}`,
    );
    mkdirSync(join(this.dir, 'state'), { recursive: true });
    const began = process.hrtime.bigint();
    const program = [process.execPath, ...flags, join(ROOT, 'dist', 'x0d.mjs'), '--config', file];
    const [command, ...args] = [...wrap, 'ip', 'netns', 'exec', this.here, ...program];
    const child = spawn(command!, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        X0_SHIM: join(BUILD, 'standin.cjs'),
        X0_STANDIN_SHIM: join(ROOT, 'native', 'build', 'x0shim.node'),
        X0_STANDIN: JSON.stringify(this.fixture),
        ...env,
      },
    });
    let said = '';
    child.stderr!.on('data', (text) => {
      said = (said + text).slice(-20_000);
    });
    const ready = Promise.withResolvers<{ spawnMs: number; startMs: number }>();
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (!line.startsWith('{"ready"')) return;
      const spawnMs = Number(process.hrtime.bigint() - began) / 1e6;
      ready.resolve({ spawnMs, startMs: (JSON.parse(line) as { startMs: number }).startMs });
    });
    const exited = new Promise<number | string>((settle) =>
      child.once('close', (code, signal) => settle(code ?? signal ?? '')),
    );
    exited.then((code) => ready.reject(new Error(`x0d ended with ${code}: ${said}`)));
    const times = await ready.promise;
    return { pid: child.pid!, child, ...times, said: () => said, exited };
  }

  witness(): Witness {
    return new Witness(spawn('ip', ['netns', 'exec', this.here, join(BUILD, 'witness'), this.there]));
  }

  close(): void {
    for (const ns of [this.here, this.there]) {
      try {
        execFileSync('ip', ['netns', 'del', ns], { stdio: 'ignore' });
      } catch {
        // It was never made.
      }
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface Agent {
  readonly pid: number;
  readonly child: ChildProcess;
  /** From before the spawn to the line on its standard output, and what x0d itself says. */
  readonly spawnMs: number;
  readonly startMs: number;
  readonly exited: Promise<number | string>;
  said(): string;
}

export async function stop(agent: Agent): Promise<void> {
  agent.child.kill('SIGTERM');
  await agent.exited;
}

export interface Note {
  readonly what: 'F' | 'K' | 'L' | 'A';
  readonly index: number;
  readonly carrier: boolean;
  readonly ns: number;
}

/** A running witness.c. */
export class Witness {
  readonly #child: ChildProcessWithoutNullStreams;
  #notes: Note[] = [];
  #dumped: ((notes: Note[]) => void) | null = null;
  #gone: ((error: Error) => void) | null = null;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stderr.pipe(process.stderr);
    child.stdin.on('error', () => {});
    child.once('close', (code) => this.#gone?.(new Error(`the witness ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'end') {
        this.#dumped?.(this.#notes);
        this.#notes = [];
      } else this.#notes.push(readNote(line));
    });
  }

  set(far: number, up: boolean): void {
    this.#child.stdin.write(`${up ? 'up' : 'down'} ${far}\n`);
  }

  /** What was noted since the last time. */
  dump(): Promise<Note[]> {
    return new Promise((settle, fail) => {
      this.#dumped = settle;
      this.#gone = fail;
      this.#child.stdin.write('dump\n');
    });
  }

  close(): void {
    this.#child.stdin.end();
  }
}

/** One line of witness.c. */
export function readNote(line: string): Note {
  const [what, index, third, fourth] = line.split(' ');
  return { what: what as Note['what'], index: Number(index), carrier: third === '1', ns: Number(fourth ?? third) };
}

function ip(commands: readonly string[]): void {
  for (const command of commands) execFileSync('ip', command.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });
}
