/**
 * Bundles the two programs: agent/daemon.ts → dist/x0d.mjs, agent/ctl.ts → dist/x0ctl.mjs; and what x0d rehearses plans with on
 * another thread: agent/twin/worker.ts → dist/x0twin.mjs.
 *
 *     node tools/build.ts [--only x0d|x0twin|x0ctl]
 *
 * Parted (dist/x0d-*.mjs, dist/x0ctl-*.mjs), so that what a router does not use is not read: it costs memory in x0d and time in
 * x0ctl. better-sqlite3 stays outside (it has a native part), and so do the optional raw-socket and @openforge-sh/liboqs.
 * `X0_VERSION` in the sources becomes package.json's version. The native shim is looked for beside the bundle, then in
 * native/build.
 */
import { chmodSync, globSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');
const PROGRAMS = { x0d: 'agent/daemon.ts', x0twin: 'agent/twin/worker.ts', x0ctl: 'agent/ctl.ts' } as const;

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const names = (Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[]).filter(
  (name) => values.only === undefined || values.only === name,
);
if (names.length === 0) throw new Error(`--only takes ${Object.keys(PROGRAMS).join(' or ')}`);

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
for (const name of names) {
  const outfile = join(ROOT, 'dist', `${name}.mjs`);
  // Names of parts follow their contents: those of another build would stay.
  for (const old of globSync(`dist/${name}-*`, { cwd: ROOT })) rmSync(join(ROOT, old));
  await build({
    absWorkingDir: ROOT,
    entryPoints: { [name]: PROGRAMS[name] },
    outdir: 'dist',
    outExtension: { '.js': '.mjs' },
    splitting: name !== 'x0twin',
    chunkNames: `${name}-[name]-[hash]`,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22.13',
    external: ['better-sqlite3', 'raw-socket', '@openforge-sh/liboqs', '*.node'],
    define: { X0_VERSION: JSON.stringify(version) },
    banner: { js: '#!/usr/bin/env node' },
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    // Flash, and the source that V8 keeps in memory. Names stay, so that a stack still says where.
    minifyWhitespace: true,
    logLevel: 'warning',
  });
  chmodSync(outfile, 0o755);
  console.log(`dist/${name}.mjs ${kib(outfile)}, map ${kib(`${outfile}.map`)}`);
}

function kib(file: string): string {
  return `${(statSync(file).size / 1024).toFixed(1)} KiB`;
}
