/**
 * Boots a kernel, builds a mesh in it, and runs a command there with the host's files and programs:
 *
 *     node tools/lab/shell.ts --topology grid3x3 -- ip netns exec r0 batctl o
 *     node tools/lab/shell.ts --topology ring4 -- experiment.ts
 *     node tools/lab/shell.ts --kernel qemu --topology radio-ring4 -- ip netns exec r0 iw dev radio0 station dump
 *
 * Without a command, stdin is given to a shell inside. A .ts or .mjs file runs under Node; `Mesh.attach` of mesh.ts
 * gives it the mesh that is already there. Its /tmp is its own and is gone with it: what it writes to $LAB_RESULTS stays
 * on the host, in --results DIR.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { KERNELS, type KernelName } from './kernels.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: 'string', default: 'uml' },
    topology: { type: 'string', default: 'ring4' },
    algorithm: { type: 'string', default: 'BATMAN_IV' },
    interval: { type: 'string', default: '1000' },
    bla: { type: 'boolean', default: false },
    'equal-indexes': { type: 'boolean', default: false },
    cold: { type: 'boolean', default: false },
    memory: { type: 'string', default: '1500' },
    results: { type: 'string' },
  },
});

const kernel = KERNELS[values.kernel as KernelName];
const missing = kernel === undefined ? '--kernel takes uml or qemu' : kernel.missing();
if (missing) {
  process.stderr.write(`${missing}\n`);
  process.exit(1);
}
kernel.prepare();
const inside = {
  topology: values.topology,
  warm: !values.cold,
  algorithm: values.algorithm,
  origIntervalMs: Number(values.interval),
  bla: values.bla,
  equalIndexes: values['equal-indexes'],
};
const guest = kernel.boot({
  script: join(import.meta.dirname, 'inside.ts'),
  args: [JSON.stringify(inside), ...positionals],
  memMb: Number(values.memory),
  onLine: (line) => process.stdout.write(`${line}\n`),
  ...(values.results === undefined ? {} : { results: values.results }),
});
if (positionals.length === 0) {
  const input = createInterface({ input: process.stdin });
  input.on('line', (line) => guest.send(line));
  input.on('close', () => guest.send('exit'));
}
// Whoever read our output has gone, as in `... | head`.
process.stdout.on('error', () => guest.kill());
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => guest.kill());
process.exit(await guest.exited);
