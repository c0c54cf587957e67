import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkStructure } from '../../tools/structure.ts';

const ROOT = join(import.meta.dirname, '../..');

function breachesOf(files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'x0-structure-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return checkStructure(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('the agent keeps the direction of imports', () => {
  assert.deepEqual(checkStructure(ROOT), []);
});

/** A machine, reached by way of a file beside it. */
const MESH = {
  'agent/mesh/b.ts': "export { b } from './c.ts';",
  'agent/mesh/c.ts': "import type { Machine } from '../core/machine.ts';\nexport const b: Machine | null = null;",
};

const REFUSED: readonly [path: string, text: string, what: RegExp][] = [
  ['agent/core/a.ts', "import type { B } from '../heal/b.ts';", /:1: core imports nothing/],
  ['agent/core/a.ts', "import { readFileSync } from 'node:fs';", /no I\/O/],
  ['agent/heal/a.ts', "import type { B } from '../host/b.ts';", /a machine imports a world/],
  ['agent/heal/a.ts', "\n\nexport { b } from '../twin/b.ts';", /:3: a machine imports a world/],
  ['agent/heal/a.ts', "import { b } from '../mesh/b.ts';", /another's machine/],
  ['agent/heal/a.ts', "import {\n  type A,\n  b,\n} from '../mesh/b.ts';", /another's machine/],
  ['agent/heal/a.ts', "import '../mesh/b.ts';", /another's machine/],
  ['agent/heal/a.ts', "export * from '../mesh/b.ts';", /another's machine/],
  ['agent/heal/a.ts', "const b = await import('../mesh/b.ts');", /another's machine/],
  ['agent/heal/a.ts', 'const b = await import(name);', /cannot be read off/],
  ['agent/heal/a.ts', "import mqtt from 'mqtt';", /need no package/],
  ['agent/trust/a.ts', "import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';", /need no package/],
  ['agent/trust/keys/noble.ts', "import mqtt from 'mqtt';", /need no package/],
  ['agent/trust/keys/a.ts', "import type { B } from '../certificate/b.ts';", /the other way round: keys ◄ certificate/],
  ['agent/trust/join/a.ts', "import { b } from '../membership/b.ts';", /:1: .*the other way round/],
  ['agent/trust/keys/a.ts', "import type { B } from '../b.ts';", /from the door of its room/],
  ['agent/trust/odd/a.ts', 'export const a = 1;', /WITHIN does not name \(odd\)/],
  ['agent/govern/a.ts', "import { spawn } from 'node:child_process';", /no I\/O/],
  ['agent/heal/a.ts', 'export const now = () => Date.now();', /reads a clock/],
  ['agent/heal/a.ts', 'const D = Date; export const now = () => D.now();', /reads a clock/],
  ['agent/heal/a.ts', 'const { now } = Date; export { now };', /reads a clock/],
  ['agent/heal/a.ts', "export const up = () => process['uptime']();", /touches the process/],
  ['agent/heal/a.ts', "import { randomBytes } from 'node:crypto';", /random number/],
  ['agent/heal/a.ts', 'setTimeout(() => {}, 5);', /starts a timer/],
  ['agent/heal/a.ts', 'export const home = process.env.HOME;', /touches the process/],
  ['agent/twin/a.ts', '\nexport const a = Math.log10(3);', /:2: an engine may round/],
  ['agent/twin/a.ts', 'const { pow } = Math; export { pow };', /an engine may round/],
  ['agent/mesh/a.ts', 'export const a = (b: number) => b ** (2 / 3);', /an engine may round/],
  ['agent/mesh/a.ts', 'export const a = (b: number) => 12 ** b;', /an engine may round/],
  ['agent/host/a.ts', "import { b } from '../twin/b.ts';", /one world imports the other/],
  ['agent/twin/a.ts', "import type { B } from '../host/b.ts';", /one world imports the other/],
  ['agent/host/a.ts', "import { b } from '../daemon.ts';", /nobody imports an entry point/],
  ['agent/host/a.ts', "import { createRequire } from 'node:module';", /native code/],
  ['agent/host/a.ts', "import Database from 'better-sqlite3';", /native code/],
  ['agent/ctl.ts', 'process.dlopen({}, name);', /native code/],
  ['agent/daemon.ts', "import { b } from '../tools/b.ts';", /outside agent/],
  ['agent/host/a.ts', "import { b } from '../../test/b.ts';", /outside agent/],
];

for (const [path, text, what] of REFUSED) {
  test(`refused: ${path}: ${text.trim().replaceAll('\n', ' ')}`, () => {
    const breaches = breachesOf({ ...MESH, [path]: text });
    assert.ok(breaches.length > 0, 'nothing found');
    assert.match(breaches.join('\n'), what);
  });
}

test('allowed: down the layers, types and pure functions between machine rooms, what comments and words of others say', () => {
  assert.deepEqual(
    breachesOf({
      'agent/core/a.ts': "import { inspect } from 'node:util';\nexport const a = inspect(Math.sqrt(2 ** 40));",
      'agent/mesh/b.ts': "import { a } from '../core/a.ts';\nexport interface B { at: number }\nexport const b = a;",
      'agent/heal/c.ts':
        "/** import { x } from '../host/x.ts'; Date.now() */\n// setTimeout(\nimport type { B } from '../mesh/b.ts';\n" +
        "import { b, type B as D } from '../mesh/b.ts';\nexport const c = (d: D): B => ({ ...d, ...b });",
      'agent/host/d.ts':
        "import { readFileSync } from 'node:fs';\nimport { c } from '../heal/c.ts';\nexport { c, readFileSync };",
      'agent/trust/door.ts': "import { a } from './membership/a.ts';\nexport { a };",
      'agent/trust/membership/a.ts':
        "import { b } from '../keys/b.ts';\nimport { c } from './c.ts';\nexport const a = b + c;",
      'agent/trust/membership/c.ts': 'export const c = 1;',
      'agent/trust/keys/b.ts': 'export const b = 1;',
      'agent/trust/keys/noble.ts': "import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';",
      'agent/host/native.ts': "import { createRequire } from 'node:module';\ncreateRequire(import.meta.url)(path);",
      'agent/daemon.ts':
        "import { c } from './host/d.ts';\nimport { version } from '../package.json' with { type: 'json' };",
    }),
    [],
  );
});

test('circles of values are refused, of types not', () => {
  const found = breachesOf({
    'agent/heal/a.ts': "import { b } from './b.ts';",
    'agent/heal/b.ts': "import { c } from './c.ts';",
    'agent/heal/c.ts': "import { a } from './a.ts';",
  });
  assert.equal(found.length, 1);
  assert.match(found[0]!, /a\.ts:1: imports itself by way of .*b\.ts → .*c\.ts → .*a\.ts/);
  assert.deepEqual(
    breachesOf({
      'agent/heal/a.ts': "import { b } from './b.ts';",
      'agent/heal/b.ts': "import type { A } from './a.ts';",
    }),
    [],
  );
});
