/** Runs inside the lab's kernel for stock.ts: trials without an agent. Argument: the options as JSON; answers JSON lines. */
import { Mesh, type MeshOptions } from './mesh.ts';
import { type FaultKind, repairTrial, settle } from './scenario.ts';

export interface StockOptions extends MeshOptions {
  readonly topology: string;
  readonly runs: number;
  readonly src: number;
  readonly dst: number;
  readonly fault: FaultKind;
  readonly afterMs: number;
}

const options = JSON.parse(process.argv[2]!) as StockOptions;
const say = (message: unknown) => process.stdout.write(`${JSON.stringify(message)}\n`);
const mesh = await Mesh.build(options.topology, options);
say({ flowingMs: await mesh.warm() });
for (let i = 0; i < options.runs; i++) {
  if (i > 0) await settle(mesh);
  const { src, dst, fault, afterMs } = options;
  // The hops take turns: a link beside the sender is another case than one in the middle.
  const hops = (await mesh.route(src, dst))?.length ?? 1;
  say({ trial: await repairTrial({ mesh, src, dst, fault, afterMs, hop: i % hops }) });
}
