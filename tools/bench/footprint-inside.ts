/**
 * Runs inside the lab's kernel for footprint.ts: a grid of 51 routers, x0d on the one in the middle, which so has 50
 * originators (and its neighbours' further interfaces). Prints one JSON line.
 */
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { Mesh, monotonicNs } from '../lab/mesh.ts';
import { startAgent, stopAgents } from '../lab/scenario.ts';
import { watch } from './proc.ts';

const ROUTER = 25;
const mesh = await Mesh.build('grid3x17', { origIntervalMs: 1000 });
const deadline = monotonicNs() + 180e9;
for (;;) {
  const known = new Set((await mesh.originators(ROUTER)).map((row) => row.orig_address));
  if (known.size >= mesh.size - 1) break;
  if (monotonicNs() > deadline) throw new Error(`${known.size} originators after three minutes`);
  await new Promise((settle) => setTimeout(settle, 1000));
}
await mesh.setInterval(1000);
console.log(`${mesh.size} routers have found each other`);
const began = monotonicNs();
const agent = await startAgent(ROUTER, { nodeArgs: NODE_FLAGS });
const startMs = (monotonicNs() - began) / 1e6;
const footprint = await watch(agent.pid, Number(process.argv[2]));
const originators = new Set((await mesh.originators(ROUTER)).map((row) => row.orig_address)).size;
console.log(JSON.stringify({ ...footprint, start_ms: startMs, originators }));
await stopAgents([agent]);
process.exit(0);
