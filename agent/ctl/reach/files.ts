/** Names of routers, out of files: batctl's, root's own of the same form, and hosts(5). */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isMac, type Mac } from '../../core/ids.ts';
import { readNames } from './names.ts';

/** Names with a MAC or IP address each. */
export function namesHere(): Map<string, string> {
  return readNames(['/etc/bat-hosts', join(homedir(), 'bat-hosts')].map(text), text('/etc/hosts'));
}

/** The first name of each MAC address. */
export function namesByAddress(): Map<Mac, string> {
  const found = new Map<Mac, string>();
  for (const [name, address] of namesHere()) if (isMac(address) && !found.has(address)) found.set(address, name);
  return found;
}

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
