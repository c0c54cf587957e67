/** Names of routers, out of files: batctl's, root's own of the same form, and hosts(5). */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isMac, type Mac } from '../../core/ids.ts';
import { readConfigFile } from '../../host/config-file.ts';
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

/** '' where there is none, or what is no file, or one far too large. */
function text(file: string): string {
  try {
    return Buffer.from(readConfigFile(file)).toString('utf8');
  } catch {
    return '';
  }
}
