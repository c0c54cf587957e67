import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Log } from '../../../agent/core/log.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { EXIT } from '../../../agent/ctl/exit.ts';
import { main } from '../../../agent/ctl/main.ts';
import { exportRecording } from '../../../agent/ctl/record.ts';
import { openTape } from '../../../agent/host/tape.ts';
import { screen } from '../ctl/screen.ts';
import { Router } from './help.ts';

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'x0-replay-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** What x0d --record leaves of a short story. */
function recorded(t: TestContext): string {
  const file = join(folder(t), 'tape.jsonl');
  const router = new Router();
  const tape = openTape(file, router.header, new Log('error', (line) => assert.fail(line)));
  router.pass(15 * SECOND);
  router.cut();
  router.pass(5 * SECOND);
  for (const turn of router.turns) tape.take(turn);
  tape.close();
  return file;
}

async function run(...argv: string[]): Promise<{ status: number; out: string; err: string }> {
  const to = screen();
  const status = await main(argv, to);
  return { status, out: to.written, err: to.complained };
}

test('a tape replays, plain and as gzip members, and is nobody else to read', async (t) => {
  const file = recorded(t);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { status, out } = await run('replay', file);
  assert.equal(status, EXIT.ok, out);
  assert.match(out, /^recorded by agent test\n\d+ events over 20\.\d+ s, [1-9]\d* decisions: the same again\n$/);
  const text = readFileSync(file, 'utf8');
  const half = text.indexOf('\n', text.length / 2) + 1;
  writeFileSync(`${file}.gz`, Buffer.concat([gzipSync(text.slice(0, half)), gzipSync(text.slice(half))]));
  assert.equal((await run('replay', `${file}.gz`)).out, out);
  assert.match((await run('replay', file, '--log')).out, /15\.000 s {2}e7-f1 link-down eth1: planned ask: /);
  const json = JSON.parse((await run('replay', file, '--json')).out) as Record<string, unknown>;
  assert.deepEqual([json.version, json.difference, json.agent], [1, null, 'test']);
});

test('of a file whose end is missing the whole lines are played, and it says so', async (t) => {
  const file = recorded(t);
  const text = readFileSync(file, 'utf8');
  const whole = /(\d+) events/.exec((await run('replay', file)).out)![1]!;
  for (const bytes of [
    gzipSync(text).subarray(0, -400),
    Buffer.from(text.slice(0, -300)),
    gzipSync(text).subarray(0, -9),
  ]) {
    writeFileSync(file, bytes);
    const { status, out, err } = await run('replay', file);
    assert.equal(status, EXIT.ok, err);
    assert.match(out, /^the end of the file is missing: what is whole of it was played\nrecorded by/);
    const played = Number(/(\d+) events/.exec(out)![1]);
    assert.ok(played > 5 && played <= Number(whole), out);
    assert.equal(JSON.parse((await run('replay', file, '--json')).out).cut, true);
  }
  writeFileSync(file, text);
  assert.equal(JSON.parse((await run('replay', file, '--json')).out).cut, false);
});

test('a difference is told in words, with exit status 1', async (t) => {
  const file = recorded(t);
  writeFileSync(file, readFileSync(file, 'utf8').replace('"result":null', '"result":"no idea"'));
  const { status, out } = await run('replay', file);
  assert.equal(status, EXIT.problem);
  const [, head, event, then, now, where] = out.split('\n');
  assert.match(head!, /to the first difference:$/);
  assert.match(event!, /^event \d+, after 15\.000 s: link eth1 \(21\): up, no carrier, master 10$/);
  assert.match(then!, /^ {2}then {2}e7-f1 link-down eth1: planned ask: no idea$/);
  assert.match(now!, /^ {2}now {3}e7-f1 link-down eth1: planned ask: /);
  assert.equal(where, '');
  writeFileSync(
    file,
    readFileSync(file, 'utf8')
      .replace('"result":"no idea"', '"result":null')
      .replace('"confidence":1', '"confidence":0.5'),
  );
  assert.match((await run('replay', file)).out, /they differ in journal\.fault\.confidence: 0\.5 then, 1 now/);
  const json = JSON.parse((await run('replay', file, '--json')).out) as { difference: { inWords: string[] } };
  assert.ok(json.difference.inWords.length > 2);
});

test('what cannot be replayed says why', async (t) => {
  const file = recorded(t);
  const text = readFileSync(file, 'utf8');
  const refused = async (bytes: string | Uint8Array): Promise<string> => {
    writeFileSync(file, bytes);
    const { status, err } = await run('replay', file);
    assert.equal(status, EXIT.refused);
    return err;
  };
  assert.match(await refused('[1,{"type":"tick"}]\n'), /tape\.jsonl: a recording from before they had a version/);
  assert.match(await refused(text.replace('"version":1', '"version":9')), /version 9; this agent reads version 1/);
  assert.match(await refused(gzipSync(text).subarray(0, 99)), /no recording of x0tta6bl4/);
  assert.match(await refused(`${text.split('\n')[0]}\n`), /there is nothing in it to play/);
  assert.match(await refused(Uint8Array.of(0x1f, 0x8b, 1, 2, 3)), /no recording of x0tta6bl4/);
  assert.match(await refused(Uint8Array.of(0xff, 0xfe, 0)), /no recording of x0tta6bl4/);
  assert.equal((await run('replay', `${file}.none`)).status, EXIT.refused);
  assert.equal((await run('replay')).status, EXIT.usage);
});

test("record export writes through nobody else's link, and for nobody else to read", async (t) => {
  const place = folder(t);
  const to = screen();
  const post = async () => ({ version: 1, data: gzipSync('{}\n').toString('base64') });
  const agent = { post, get: post };
  const link = join(place, 'link');
  symlinkSync(join(place, 'victim'), link);
  await assert.rejects(exportRecording(agent, link, undefined, to, false), { code: 'E_FORBIDDEN' });
  assert.equal(existsSync(join(place, 'victim')), false);
  const open = join(place, 'open');
  writeFileSync(open, 'what somebody left here', { mode: 0o666 });
  assert.equal(await exportRecording(agent, open, undefined, to, false), 0);
  assert.equal(statSync(open).mode & 0o777, 0o600);
});
