/**
 * What the packages of openwrt-feed/ take on flash, without Node: their files as the Makefiles install them, stripped, for
 * this machine's processor; and x0d's bundle compressed, as a package has it.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { BenchResult, Progress } from './stats.ts';

const ROOT = join(import.meta.dirname, '../..');
const MB = 2 ** 20;
const ENDIAN = 'bpfel';

const bytes = (patterns: readonly string[]): number =>
  patterns
    .flatMap((pattern) => globSync(pattern, { cwd: ROOT, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);

/** As a package's build strips it; null where it is not there. */
function stripped(file: string): number | null {
  if (!existsSync(file)) return null;
  const work = mkdtempSync(join(tmpdir(), 'x0-size-'));
  try {
    const copy = join(work, basename(file));
    copyFileSync(file, copy);
    return spawnSync('strip', ['--strip-all', copy]).status === 0 ? statSync(copy).size : null;
  } finally {
    rmSync(work, { recursive: true });
  }
}

const packed = (file: string): number => gzipSync(readFileSync(join(ROOT, file)), { level: 9 }).length;

function sum(...parts: readonly (number | null)[]): number | null {
  return parts.includes(null) ? null : parts.reduce<number>((all, one) => all + one!, 0);
}

export async function run(progress: Progress): Promise<BenchResult> {
  const native = (name: string): number | null => stripped(join(ROOT, 'native/build', name));
  const agent = bytes(['dist/*.mjs', 'openwrt-feed/x0tta6bl4/files/*']);
  const shim = sum(native('x0shim.node'), native('x0undo'), native('x0init'));
  const objects = bytes([`bpf/build/*-${ENDIAN}.o`, 'bpf/build/manifest.json']);
  progress('compiling better-sqlite3');
  const out = join(ROOT, '.cache/sqlite');
  const built = spawnSync('make', ['-s', '-C', join(ROOT, 'native'), '-f', 'sqlite.mk', `OUT=${out}`], {
    encoding: 'utf8',
  });
  const script = bytes([
    'node_modules/better-sqlite3/lib/{index,binding,database,sqlite-error,util}.js',
    'node_modules/better-sqlite3/lib/methods/*.js',
  ]);
  const sqlite = built.status === 0 ? sum(stripped(join(out, 'better_sqlite3.node')), script) : null;
  const luci = bytes(['openwrt-feed/luci-app-x0tta6bl4/{htdocs,root}/**/*']);
  const mb = (size: number | null): number | null => (size === null ? null : size / MB);
  return {
    figures: {
      parts_mb: mb(sum(agent, shim, objects === 0 ? null : objects)),
      bundle_gz_mb: globSync('dist/x0d*.mjs', { cwd: ROOT }).reduce((all, file) => all + packed(file), 0) / MB,
      agent_mb: mb(agent),
      native_mb: mb(shim),
      bpf_mb: mb(objects),
      sqlite_mb: mb(sqlite),
      luci_mb: mb(luci),
    },
    baseline: {},
    targets: [
      { figure: 'parts_mb', atMost: 3 },
      { figure: 'bundle_gz_mb', atMost: 1 },
    ],
  };
}
