/** A module of the LuCI app that needs nothing but baseclass, outside of LuCI. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VIEWS } from '../../../tools/luci/artefacts.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');

export function load<T>(name: string): T {
  const source = readFileSync(join(ROOT, VIEWS, `${name}.js`), 'utf8');
  return new Function('baseclass', source)({ extend: (members: unknown) => members }) as T;
}
