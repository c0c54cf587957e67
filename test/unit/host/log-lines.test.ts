/** The log, where it is not read. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { bySeverity, logLines } from '../../../agent/host/log-lines.ts';

test('a reader that stands still costs bounded memory, and hears what it missed', () => {
  const taken: string[] = [];
  let release: (() => void) | null = null;
  let still = true;
  const to = new Writable({
    write(chunk, _encoding, done) {
      taken.push(String(chunk));
      if (still) release = done;
      else done();
    },
  });
  const say = logLines(to);
  for (let n = 0; n < 10_000; n++) say(`info: ${n} ${'x'.repeat(100)}`);
  assert.ok(to.writableLength < 300 * 1024, `${to.writableLength}`);
  still = false;
  release!();
  assert.equal(to.writableLength, 0);
  const kept = taken.length;
  say('info: again');
  assert.deepEqual(taken.slice(kept), [
    `warning: ${10_000 - kept} lines of the log were lost: nobody read them in time\n`,
    'info: again\n',
  ]);
});

test('a reader that has gone ends nothing', async () => {
  const to = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
  const say = logLines(to);
  say('info: one');
  await new Promise(setImmediate);
  say('info: two');
  await new Promise(setImmediate);
});

test('what is no warning goes to the calmer of two', () => {
  const said: string[] = [];
  const to = (name: string): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        said.push(`${name} ${chunk}`);
        done();
      },
    });
  const say = bySeverity(to('err'), to('out'));
  for (const level of ['debug', 'info', 'warning', 'error']) say(`${level}: info: x`);
  assert.deepEqual(said, [
    'out debug: info: x\n',
    'out info: info: x\n',
    'err warning: info: x\n',
    'err error: info: x\n',
  ]);
});
