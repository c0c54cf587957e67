/** Where the BPF objects lie once they are installed: known without reading any, so that a router without them pays nothing. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const MANIFEST = 'manifest.json';
/** As the package x0tta6bl4-bpf has it. */
export const INSTALLED = '/lib/bpf/x0tta6bl4';
export const manifestOf = (folder: string): string => join(folder, MANIFEST);

/** Whether somebody installed them, or named their folder: not what lies about in a source tree. */
export function areInstalled(): boolean {
  return existsSync(manifestOf(process.env.X0_BPF || INSTALLED));
}
