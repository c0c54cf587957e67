import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../agent/core/errors.ts';
import { fromCbor, toCbor } from '../../../agent/peer/cbor.ts';
import { type Binding, check, conclude, open, prove, respond } from '../../../agent/peer/proof.ts';
import type { AgreementKey, IdentityKey } from '../../../agent/trust/keys/suite.ts';
import { secrets, TestMesh, tools } from './help.ts';

const { suite } = tools;
const mesh = new TestMesh();
const [kitchen, roof] = [mesh.router('kitchen'), mesh.router('roof')];
const keys = { kitchen: kitchen.identity.publicKey, roof: roof.identity.publicKey };

function binding(over: Partial<Binding> = {}): Binding {
  return {
    suite,
    exporter: Buffer.alloc(32, 7),
    initiator: { id: kitchen.id, leaf: kitchen.chain[0]! },
    responder: { id: roof.id, leaf: roof.chain[0]! },
    ...over,
  };
}

function isUntrusted(thrown: unknown): boolean {
  return thrown instanceof AgentError && thrown.code === 'E_PEER_UNTRUSTED';
}

const ephemeral = () => suite.agreementKey(suite.newAgreement());
const altered = (proof: Uint8Array, over: Record<string, unknown>): Uint8Array =>
  toCbor({ ...(fromCbor(proof) as object), ...over });

interface Said {
  readonly opening: Uint8Array;
  readonly proof: Uint8Array;
  readonly agreement: AgreementKey | null;
}

/** What an initiator says. */
async function says(
  of = binding(),
  key: IdentityKey | null = kitchen.identity,
  agreement: AgreementKey | null = null,
): Promise<Said> {
  const opening = open(suite, agreement);
  return { opening, proof: await prove(of, opening, key), agreement };
}

/** What the responder makes of it. Throws E_PEER_UNTRUSTED. */
async function takes(said: Said, of = binding(), theirs: Uint8Array | null = keys.kitchen, isHybrid = true) {
  const answer = await respond(of, said.opening, roof.identity, isHybrid);
  check(of, said.opening, said.proof, theirs);
  return answer;
}

/** What the initiator makes of that. Throws E_PEER_UNTRUSTED. */
const concludes = (said: Said, response: Uint8Array, of = binding()) =>
  conclude(of, said.opening, response, keys.roof, said.agreement);

test('both sides prove themselves; where TLS was hybrid there are no further keys', async () => {
  const said = await says();
  const { response, keys: none } = await takes(said);
  assert.equal(none, null);
  assert.equal(concludes(said, response), null);
});

test('where TLS was not hybrid both have the same two keys', async () => {
  const said = await says(binding(), kitchen.identity, ephemeral());
  const { response, keys: theirs } = await takes(said, binding(), keys.kitchen, false);
  const ours = concludes(said, response);
  assert.deepEqual(ours!.initiator.reveal(), theirs!.initiator.reveal());
  assert.deepEqual(ours!.responder.reveal(), theirs!.responder.reveal());
  assert.notDeepEqual(ours!.initiator.reveal(), ours!.responder.reveal());
});

test('a router without an identity proves nothing, and only where it showed no certificate', async () => {
  const nobody = binding({ initiator: null });
  const said = await says(nobody, null);
  assert.equal(concludes(said, (await takes(said, nobody, null)).response, nobody), null);
  await assert.rejects(takes(await says(binding(), null)), isUntrusted);
  await assert.rejects(takes(await says(nobody, kitchen.identity), nobody, null), isUntrusted);
});

const OTHERS: readonly [string, Partial<Binding>][] = [
  ['of another session (replayed, or somebody is in the middle)', { exporter: Buffer.alloc(32, 8) }],
  ['of another initiator', { initiator: { id: roof.id, leaf: kitchen.chain[0]! } }],
  ['with another certificate of the initiator', { initiator: { id: kitchen.id, leaf: roof.chain[0]! } }],
  ['for another responder', { responder: { id: kitchen.id, leaf: roof.chain[0]! } }],
  ['for another certificate of the responder', { responder: { id: roof.id, leaf: kitchen.chain[0]! } }],
];

for (const [what, over] of OTHERS)
  test(`refused on both sides: a proof ${what}`, async () => {
    const said = await says();
    await assert.rejects(takes(said, binding(over)), isUntrusted);
    const { response } = await takes(said);
    assert.throws(() => concludes(said, response, binding(over)), isUntrusted);
  });

const ALTERED: readonly [string, 'opening' | 'proof', Record<string, unknown>][] = [
  ['another suite', 'opening', { suite: 0xf001 }],
  ['another suite', 'proof', { suite: 0xf001 }],
  ['no suite', 'opening', { suite: null }],
  ['a key that was put in', 'opening', { agreement: ephemeral().publicKey }],
  ['a signature of nothing', 'proof', { signature: new Uint8Array(0) }],
  ['a signature that is no bytes', 'proof', { signature: 'yes' }],
  ['a signature of zeros', 'proof', { signature: new Uint8Array(3375) }],
  ['something more', 'opening', { admin: new Uint8Array(1) }],
  ['something more', 'proof', { admin: new Uint8Array(1) }],
];

for (const [what, where, over] of ALTERED)
  test(`refused: ${where} with ${what}`, async () => {
    const said = await says();
    await assert.rejects(takes({ ...said, [where]: altered(said[where], over) }), isUntrusted);
  });

test('refused: the classical half of a signature, or the post-quantum half, alone', async () => {
  const said = await says();
  const { signature } = fromCbor(said.proof) as { signature: Uint8Array };
  for (const at of [100, signature.length - 10]) {
    const broken = Uint8Array.from(signature);
    broken[at]! ^= 1;
    await assert.rejects(takes({ ...said, proof: altered(said.proof, { signature: broken }) }), isUntrusted);
  }
});

test("refused: a key that is not the certificate's", async () => {
  await assert.rejects(takes(await says(binding(), suite.identityKey(secrets().identity))), isUntrusted);
});

test('no downgrade: without a hybrid group somebody has to bring a key, and its answer has to come', async () => {
  const bare = await says();
  await assert.rejects(takes(bare, binding(), keys.kitchen, false), isUntrusted);
  const said = await says(binding(), kitchen.identity, ephemeral());
  const { response } = await takes(bare);
  assert.throws(() => concludes(said, response), isUntrusted);
  const without = { ...said, opening: altered(said.opening, { agreement: undefined }) };
  await assert.rejects(takes(without), isUntrusted);
});

test("an initiator's proof sent back is no responder's", async () => {
  const said = await says();
  assert.throws(() => conclude(binding(), said.opening, said.proof, keys.kitchen, null), isUntrusted);
});

test('a response to another opening, or with another secret, is refused', async () => {
  const first = await says(binding(), kitchen.identity, ephemeral());
  const second = await says(binding(), kitchen.identity, ephemeral());
  const { response } = await takes(first, binding(), keys.kitchen, false);
  assert.throws(() => concludes(second, response), isUntrusted);
  const put = altered(response, { message: suite.offer(first.agreement!.publicKey).message });
  assert.throws(() => concludes(first, put), isUntrusted);
});

test('malformed proofs are refused without more ado', async () => {
  const said = await says();
  for (const bytes of [
    new Uint8Array(0),
    toCbor(null),
    toCbor([1]),
    toCbor('x'),
    toCbor(new Uint8Array(4)),
    toCbor({}),
  ]) {
    await assert.rejects(takes({ ...said, opening: bytes }), isUntrusted);
    await assert.rejects(takes({ ...said, proof: bytes }), isUntrusted);
    assert.throws(() => concludes(said, bytes), isUntrusted);
  }
  const tooLarge = Buffer.concat([Uint8Array.of(0, 1), Buffer.alloc(1216, 255)]);
  for (const publicKey of [new Uint8Array(5), new Uint8Array(1218), tooLarge])
    await assert.rejects(takes(await says(binding(), kitchen.identity, { ...ephemeral(), publicKey })), isUntrusted);
  const { response } = await takes(await says(binding(), kitchen.identity, ephemeral()));
  assert.ok(response.length < 8192, 'a proof fits its frame');
});
