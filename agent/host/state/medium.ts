/** What a directory lies on, as far as it matters for what is kept there. */
import { statfsSync } from 'node:fs';

/** statfs(2) */
const IN_MEMORY: Readonly<Record<number, string>> = { 16914836: 'tmpfs', 2240043254: 'ramfs' };

/** The file system's name where the next boot finds it empty, else null. */
export function volatileMedium(directory: string): string | null {
  try {
    return IN_MEMORY[statfsSync(directory).type >>> 0] ?? null;
  } catch {
    return null;
  }
}
