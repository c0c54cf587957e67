/**
 * Runs inside the lab's kernel for shell.ts: builds a mesh, warms it up, then runs a command with the mesh there, or
 * prints what the mesh is and does what stdin says. First argument: the options as JSON; the rest: the command.
 */
import { spawn } from 'node:child_process';
import { Mesh, type MeshOptions } from './mesh.ts';

interface InsideOptions extends MeshOptions {
  readonly topology: string;
  readonly warm: boolean;
}

const [json, ...command] = process.argv.slice(2);
const options = JSON.parse(json!) as InsideOptions;
const say = (text: string) => process.stderr.write(`lab: ${text}\n`);

const mesh = await Mesh.build(options.topology, options);
say(
  `${options.topology}: ${mesh.size} routers (r0 ...), ${mesh.links.length} links, ${options.algorithm ?? 'BATMAN_IV'}`,
);
if (options.warm) say(`traffic flowed after ${Math.round(await mesh.warm())} ms`);
const [program, ...args] =
  command[0]?.endsWith('.ts') || command[0]?.endsWith('.mjs') ? [process.execPath, ...command] : command;
const child = spawn(program ?? 'sh', args, { stdio: 'inherit', env: { ...process.env, LAB_MESH: json } });
child.once('error', (error) => {
  say(error.message);
  process.exit(127);
});
child.once('exit', (code) => process.exit(code ?? 1));
