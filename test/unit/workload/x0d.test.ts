/**
 * The Workload API of a whole x0d, asked by a foreign program: curl, which speaks HTTP/2 and nothing of ours. It is known by
 * its uid and its path; another program of the same user is not.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { accessSync, constants, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { readSvid } from '../../../agent/host/workload/client.ts';
import { Frames, frame, GRPC } from '../../../agent/workload/grpc.ts';
import { readJwtSvidResponse, readX509SvidResponse, writeJwtSvidRequest } from '../../../agent/workload/messages.ts';
import { until } from '../host/help.ts';
import { skip as noX0d, Place, ROOT } from '../host/x0d.ts';
import { call, dial } from './help.ts';

const run = promisify(execFile);
const CURL = (process.env.PATH ?? '').split(delimiter).flatMap((directory) => {
  try {
    accessSync(join(directory, 'curl'), constants.X_OK);
    return [join(directory, 'curl')];
  } catch {
    return [];
  }
})[0];
const speaksHttp2 = CURL !== undefined && execFileSync(CURL, ['--version'], { encoding: 'utf8' }).includes('HTTP2');
const skip = noX0d || (speaksHttp2 ? false : 'no curl with HTTP/2');

interface Heard {
  readonly messages: Buffer[];
  /** null where the call had not ended when curl gave up. */
  readonly status: number | null;
}

/** One gRPC call by curl; a stream is left after `seconds`. */
async function byCurl(place: Place, socket: string, method: string, body: Uint8Array, seconds: number): Promise<Heard> {
  const [sent, got, headers] = ['sent', 'got', 'headers'].map((name) => join(place.dir, `${method}.${name}`));
  writeFileSync(sent!, frame(body));
  writeFileSync(got!, '');
  const args = ['--http2-prior-knowledge', '--unix-socket', socket, '--max-time', String(seconds), '-sS', '-N'];
  for (const header of ['content-type: application/grpc', 'te: trailers', 'workload.spiffe.io: true'])
    args.push('-H', header);
  args.push('--data-binary', `@${sent}`, '-o', got!, '-D', headers!, `http://localhost/SpiffeWorkloadAPI/${method}`);
  // A stream that stands ends by --max-time.
  await run(CURL!, args).catch((thrown: { code: number; stderr: string }) =>
    assert.equal(thrown.code, 28, thrown.stderr),
  );
  const status = /^grpc-status: (\d+)/im.exec(readFileSync(headers!, 'utf8'))?.[1];
  return {
    messages: new Frames(1 << 20).take(readFileSync(got!)),
    status: status === undefined ? null : Number(status),
  };
}

async function steward(
  t: TestContext,
  programs: Readonly<Record<string, readonly string[]>>,
): Promise<[Place, string]> {
  const place = new Place(t);
  const socket = join(place.dir, 'workload', 'api.sock');
  const sections = Object.entries(programs).map(
    ([name, selectors]) =>
      `config program '${name}'\n\toption path '${name}'\n${selectors.map((one) => `\tlist selector '${one}'\n`).join('')}`,
  );
  place.configure({ workload: { enabled: '1', socket }, peer: { enabled: '0' } }, sections.join('\n'));
  const agent = place.start();
  await agent.isReady();
  assert.ok(agent.ready, agent.said);
  const ctl = [join(ROOT, 'agent', 'ctl.ts'), '--socket', place.socket];
  await run(process.execPath, [...ctl, 'mesh', 'init', '--name', 'attic', '--owner-key', join(place.dir, 'owner.key')]);
  await until(`the socket: ${agent.said}`, () => agent.code !== null || isThere(socket), 10_000);
  return [place, socket];
}

function isThere(file: string): boolean {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
}

test('a running x0d gives a program its identity by uid and path, and another of the same user none', {
  skip,
}, async (t) => {
  const own = `unix:uid:${process.getuid!()}`;
  const path = `unix:path:${realpathSync(CURL!)}`;
  const [place, socket] = await steward(t, {
    shop: [own, path],
    another_user: ['unix:uid:4294967', path],
    another_program: [own, 'unix:path:/usr/sbin/nobody-runs-this'],
  });
  const [certificates, tokens] = await Promise.all([
    byCurl(place, socket, 'FetchX509SVID', new Uint8Array(), 2),
    byCurl(place, socket, 'FetchJWTSVID', writeJwtSvidRequest({ audience: ['till'], id: '' }), 10),
  ]);
  assert.equal(certificates.status, null, 'the stream stands');
  const { svids } = readX509SvidResponse(certificates.messages[0]!);
  const id = 'spiffe://x0tta6bl4.mesh/workload/attic/shop';
  assert.deepEqual(
    svids.map((one) => one.id),
    [id],
  );
  const leaf = new X509Certificate(readSvid(svids[0]!).chain[0]!);
  assert.equal(leaf.subjectAltName, `URI:${id}`);
  assert.equal(tokens.status, GRPC.ok);
  assert.deepEqual(
    readJwtSvidResponse(tokens.messages[0]!).map((one) => one.id),
    [id],
  );
  // This very process: the same user, another program.
  const refused = call(dial(t, socket), 'FetchX509SVID');
  assert.equal(await refused.status, GRPC.permissionDenied);
  assert.deepEqual(refused.messages, []);
});
