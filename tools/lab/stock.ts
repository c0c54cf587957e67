/**
 * What a fault costs a mesh without any agent, the figure that everything else is measured against:
 *
 *     node tools/lab/stock.ts --topology ring4 --runs 5
 *     node tools/lab/stock.ts --topology grid3x3 --interval 200 --fault cut-silently
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { topology } from './mesh.ts';
import { quantile } from './outage.ts';
import type { Trial } from './scenario.ts';
import type { StockOptions } from './stock-inside.ts';
import { bootUml, prepareLab, umlMissing } from './uml.ts';

const { values } = parseArgs({
  options: {
    topology: { type: 'string', default: 'ring4' },
    runs: { type: 'string', default: '5' },
    interval: { type: 'string', default: '1000' },
    algorithm: { type: 'string', default: 'BATMAN_IV' },
    fault: { type: 'string', default: 'cut' },
    after: { type: 'string', default: '9000' },
    src: { type: 'string', default: '0' },
    dst: { type: 'string' },
    bla: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const missing = umlMissing();
if (missing) {
  process.stderr.write(`${missing}\n`);
  process.exit(1);
}
prepareLab();
const shape = topology(values.topology);
// The farthest router of a grid is its last, of a ring the one across.
const across = values.topology.includes('ring') ? shape.routers >> 1 : shape.routers - 1;
const options: StockOptions = {
  topology: values.topology,
  runs: Number(values.runs),
  src: Number(values.src),
  dst: Number(values.dst ?? across),
  fault: values.fault as StockOptions['fault'],
  afterMs: Number(values.after),
  origIntervalMs: Number(values.interval),
  algorithm: values.algorithm as 'BATMAN_IV' | 'BATMAN_V',
  bla: values.bla,
};
const trials: Trial[] = [];
const uml = bootUml({
  script: join(import.meta.dirname, 'stock-inside.ts'),
  args: [JSON.stringify(options)],
  onLine: (line) => {
    const message = JSON.parse(line) as { trial?: Trial; flowingMs?: number };
    if (values.json) process.stdout.write(`${line}\n`);
    if (!message.trial) return;
    const t = message.trial;
    trials.push(t);
    if (!values.json)
      process.stdout.write(
        `${t.fault}: outage ${t.outageMs.toFixed(1)} ms${t.recovered ? '' : ' (not recovered)'}, lost ${t.lostMs.toFixed(0)} ms, ` +
          `${t.before.join('-')} -> ${t.after.join('-') || 'none'}, ${t.framesQuiet.toFixed(0)} frames/s quiet, ` +
          `${t.framesBurst.toFixed(0)} extra after, longest stall ${t.stallMs.toFixed(1)} ms\n`,
      );
  },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => uml.kill());
const code = await uml.exited;
const outages = trials.map((t) => t.outageMs);
process.stdout.write(
  `${values.topology}, OGM ${values.interval} ms, ${trials.length} runs: median ${quantile(outages, 0.5).toFixed(1)} ms, ` +
    `p95 ${quantile(outages, 0.95).toFixed(1)} ms, ${Math.min(...outages).toFixed(1)} to ${Math.max(...outages).toFixed(1)} ms\n`,
);
process.exit(code);
