/** A SPIRE agent's word for as long as x0d runs: what it gives, renews, takes back and gives again. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { AgentError } from '../../../agent/core/errors.ts';
import { Log } from '../../../agent/core/log.ts';
import { Spire } from '../../../agent/host/workload/spire.ts';
import type { X509Holder } from '../../../agent/trust/join/x509.ts';
import { x509Attestor, x509Prover } from '../../../agent/trust/join/x509.ts';
import { ownerKey, router, until, well, x0ctl } from '../ctl/help.ts';
import { OWN_UID, type Stage, stage } from './help.ts';

const BINDING = Buffer.from('binding');
const ID = 'spiffe://x0tta6bl4.mesh/workload/';

interface Told {
  readonly spire: Spire;
  readonly decided: string[];
  readonly lines: string[];
  wall: number | null;
}

/** `patienceMs`: a machine may be slow to give a certificate; where none comes all of it is waited. */
function listening(t: TestContext, one: Stage, socket = one.path, patienceMs = 20_000): Told {
  const [decided, lines]: [string[], string[]] = [[], []];
  const told = { decided, lines, wall: null as number | null };
  const spire = new Spire({
    socket,
    log: new Log('debug', (line) => void lines.push(line)),
    wall: () => told.wall ?? one.vouching()!.wallMs,
    decided: ({ what, who, why }) => void decided.push(`${what} ${who}: ${why}`),
    leastWaitMs: 5,
    patienceMs,
  });
  // It keeps no process alive, and what waits for it here has to.
  const alive = setInterval(() => {}, 1000);
  t.after(() => {
    clearInterval(alive);
    spire.close();
  });
  return Object.assign(told, { spire });
}

const leafOf = ({ chain }: X509Holder) => Buffer.from(chain[0]!).toString('hex');
const code = (wanted: AgentError['code'], says: RegExp) => (error: AgentError) =>
  error.code === wanted && says.test(error.message);

test('its certificate proves this router to a steward that believes its CA, and the newest does after a renewal', async (t) => {
  const one = stage(t);
  const { spire, decided, lines } = listening(t, one);
  const holder = await spire.holder();
  const prover = x509Prover(holder);
  const attestor = x509Attestor(one.vouching()!.roots);
  const check = (binding = BINDING) => attestor.check(prover.prove(BINDING), binding, '', one.vouching()!.wallMs);
  assert.ok(check().ok, JSON.stringify(check()));
  assert.ok(!check(Buffer.from('another')).ok);
  assert.deepEqual(spire.degraded(), []);
  const first = leafOf(holder);
  one.aheadMs = 3_000_000;
  await until(() => leafOf(holder) !== first);
  assert.ok(check().ok);
  assert.deepEqual(decided, [], 'a renewal is nothing for the journal');
  assert.equal(lines.filter((line) => line.includes('a certificate from the SPIRE agent')).length, 2);
});

test('what it takes back proves nothing any more, in an attempt that is under way too, and all are told', async (t) => {
  const one = stage(t);
  const { spire, decided, lines } = listening(t, one);
  const holder = await spire.holder();
  const prover = x509Prover(holder);
  prover.prove(BINDING);
  one.entries = [];
  await until(() => decided.length === 1);
  assert.match(decided[0]!, new RegExp(`^identity-taken-back ${ID}\\S+: the SPIRE agent denies it`));
  assert.throws(() => prover.prove(BINDING), code('E_FORBIDDEN', /has taken \S+ back/));
  await assert.rejects(spire.holder(), code('E_FORBIDDEN', /has taken \S+ back/));
  assert.match(spire.degraded()[0]!.why, /has taken \S+ back: this router cannot join by it/);
  assert.ok(lines.some((line) => line.includes('HAS TAKEN THE IDENTITY')));
  // It says so at each try, and it is told once.
  const said = one.counted.length;
  await until(() => one.counted.length > said + 2);
  assert.equal(decided.length, 1);
  one.entries = [OWN_UID];
  await until(() => decided.length === 2);
  assert.match(decided[1]!, new RegExp(`^identity-given ${ID}\\S+: the SPIRE agent gives it again`));
  prover.prove(BINDING);
  assert.deepEqual(spire.degraded(), []);
});

test('one that is gone leaves its last certificate, for as long as that lasts; one that was never there leaves none', async (t) => {
  const one = stage(t);
  const told = listening(t, one);
  const holder = await told.spire.holder();
  one.server.close();
  await until(() => told.spire.degraded().length > 0);
  assert.equal(told.spire.degraded()[0]!.level, 'last certificate');
  x509Prover(holder).prove(BINDING);
  assert.deepEqual(told.decided, [], 'nothing was taken back');
  told.wall = one.vouching()!.wallMs + 3_700_000;
  assert.match(told.spire.degraded()[0]!.why, /has ended, and none has followed it/);

  const none = listening(t, one, `${one.path}.none`, 1500);
  await assert.rejects(none.spire.holder(), code('E_SOCKET', /no certificate from .*ENOENT/));
  assert.deepEqual(none.spire.degraded()[0]!.level, 'none');
  assert.equal(none.lines.filter((line) => line.includes('no word from the SPIRE agent')).length, 1, 'said once');
});

test('one that never gave anything has taken nothing back', async (t) => {
  const one = stage(t, []);
  const { spire, decided } = listening(t, one, one.path, 1500);
  await assert.rejects(spire.holder(), code('E_SOCKET', /gRPC status 7/));
  assert.deepEqual(decided, []);
});

test('x0ctl status and the journal tell it, and x0ctl join --x509 no longer joins by it', async (t) => {
  const one = stage(t);
  const at = await router(t, undefined, { 'trust.workload_socket': one.path });
  const isTold = (word: string) => at.lines.some((line) => line.includes(word));
  await until(() => isTold('a certificate from the SPIRE agent'));
  one.entries = [];
  await until(() => isTold('HAS TAKEN THE IDENTITY'));
  assert.match(at.part.degraded!(at.config)[0]!.why, /has taken \S+ back/);
  assert.match(at.journal[0]!.result!, new RegExp(`^identity-taken-back ${ID}`));
  assert.equal(at.journal[0]!.step, 'done');
  const join = ['join', '--x509', '--anchor', 'ab'.repeat(16), '--seconds', '1'];
  assert.match((await x0ctl(at, ...join)).err, /not yet in: the SPIRE agent has taken \S+ back/);
  // Another way in is not barred by it.
  await well(at, 'mesh', 'init', '--owner-key', ownerKey(at));
  assert.notEqual(at.part.identity()!.current(), null);
});
