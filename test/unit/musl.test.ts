/** What tools/musl.ts says of linked files: those here are of this machine's compiler, with a library that stands for musl's. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { wrongForMusl } from '../../tools/musl.ts';

const MISSING = ['gcc', 'readelf'].find((tool) => spawnSync(tool, ['--version']).error !== undefined);
const options = { skip: MISSING !== undefined && `${MISSING} is missing` };

class Bench {
  readonly top = mkdtempSync(join(tmpdir(), 'x0-musl-'));
  readonly libc = join(this.top, 'lib/libc.so');
  readonly machine: string;

  constructor(t: TestContext) {
    t.after(() => rmSync(this.top, { recursive: true }));
    mkdirSync(join(this.top, 'lib'));
    this.link('lib/libc.so', 'int open(void) { return 0; }', ['-nostdlib', '-shared']);
    const said = execFileSync('readelf', ['-h', this.libc], { encoding: 'utf8' });
    this.machine = /Machine: +(.*)/.exec(said)![1]!.trim();
  }

  link(name: string, source: string, args: readonly string[]): string {
    const [file, from] = [join(this.top, name), join(this.top, 'source.c')];
    writeFileSync(from, source);
    execFileSync('gcc', ['-fPIC', '-fno-stack-protector', '-o', file, from, ...args]);
    return file;
  }

  wrong(file: string, addon: boolean): string[] {
    return wrongForMusl(file, { machine: this.machine, libc: this.libc }, addon);
  }
}

const OWN = ['-nostdlib', '-shared'];

test('an addon that asks for no more than musl and Node have is right', options, (t) => {
  const bench = new Bench(t);
  const source =
    'int open(void); int napi_set_element(void); int uv_close(void); int maybe(void) __attribute__((weak));' +
    'int f(void) { return open() + napi_set_element() + uv_close() + (maybe ? maybe() : 0); }';
  const file = bench.link('addon.node', source, [...OWN, `-L${join(bench.top, 'lib')}`, '-lc']);
  assert.deepEqual(bench.wrong(file, true), []);
});

test('what nobody has is named, and what Node has is not there for a program', options, (t) => {
  const bench = new Bench(t);
  const source =
    'int open(void); int fopen_s(void); int uv_close(void); int f(void) { return open() + fopen_s() + uv_close(); }';
  const file = bench.link('addon.node', source, [...OWN, `-L${join(bench.top, 'lib')}`, '-lc']);
  assert.deepEqual(bench.wrong(file, true), ['asks for fopen_s, which neither musl nor Node has']);
  assert.match(bench.wrong(file, false).join('\n'), /is started by undefined(.|\n)*asks for uv_close/);
});

test("glibc's and other processors' are told", options, (t) => {
  const bench = new Bench(t);
  const file = bench.link('glibc.node', '#include <stdio.h>\nint f(void) { return puts("x"); }', ['-shared']);
  const wrong = bench.wrong(file, true);
  for (const one of ['needs libc.so.6', "does not need musl's libc.so", "asks for versions of glibc's symbols"])
    assert.ok(wrong.includes(one), wrong.join('\n'));
  assert.deepEqual(
    wrongForMusl(file, { machine: 'ARM', libc: bench.libc }, true)[0],
    `is for ${bench.machine}, not for ARM`,
  );
  assert.deepEqual(bench.wrong(join(bench.top, 'none.node'), true), [`${join(bench.top, 'none.node')} was not made`]);
});
