import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../agent/core/errors.ts';
import { fromCbor, toCbor } from '../../../agent/peer/cbor.ts';
import { type Binding, conclude, propose, respond } from '../../../agent/peer/proof.ts';
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

test('both sides prove themselves; where TLS was hybrid there are no further keys', () => {
  const proposal = propose(binding(), kitchen.identity, null);
  const { response, keys: none } = respond(binding(), proposal, keys.kitchen, roof.identity, true);
  assert.equal(none, null);
  assert.equal(conclude(binding(), proposal, response, keys.roof, null), null);
});

test('where TLS was not hybrid both have the same two keys', () => {
  const agreement = ephemeral();
  const proposal = propose(binding(), kitchen.identity, agreement);
  const { response, keys: theirs } = respond(binding(), proposal, keys.kitchen, roof.identity, false);
  const ours = conclude(binding(), proposal, response, keys.roof, agreement);
  assert.deepEqual(ours!.initiator.reveal(), theirs!.initiator.reveal());
  assert.deepEqual(ours!.responder.reveal(), theirs!.responder.reveal());
  assert.notDeepEqual(ours!.initiator.reveal(), ours!.responder.reveal());
});

test('a router without an identity proves nothing, and only where it showed no certificate', () => {
  const nobody = binding({ initiator: null });
  const proposal = propose(nobody, null, null);
  const { response } = respond(nobody, proposal, null, roof.identity, true);
  assert.equal(conclude(nobody, proposal, response, keys.roof, null), null);
  assert.throws(() => respond(binding(), proposal, keys.kitchen, roof.identity, true), isUntrusted);
  const signed = propose(nobody, kitchen.identity, null);
  assert.throws(() => respond(nobody, signed, null, roof.identity, true), isUntrusted);
});

const OTHERS: readonly [string, Partial<Binding>][] = [
  ['of another session (replayed, or somebody is in the middle)', { exporter: Buffer.alloc(32, 8) }],
  ['of another initiator', { initiator: { id: roof.id, leaf: kitchen.chain[0]! } }],
  ['with another certificate of the initiator', { initiator: { id: kitchen.id, leaf: roof.chain[0]! } }],
  ['for another responder', { responder: { id: kitchen.id, leaf: roof.chain[0]! } }],
  ['for another certificate of the responder', { responder: { id: roof.id, leaf: kitchen.chain[0]! } }],
];

for (const [what, over] of OTHERS)
  test(`refused on both sides: a proof ${what}`, () => {
    const proposal = propose(binding(), kitchen.identity, null);
    assert.throws(() => respond(binding(over), proposal, keys.kitchen, roof.identity, true), isUntrusted);
    const { response } = respond(binding(), proposal, keys.kitchen, roof.identity, true);
    assert.throws(() => conclude(binding(over), proposal, response, keys.roof, null), isUntrusted);
  });

const ALTERED: readonly [string, Record<string, unknown>][] = [
  ['another suite', { suite: 0xf001 }],
  ['no suite', { suite: null }],
  ['a key that was put in', { agreement: ephemeral().publicKey }],
  ['a signature of nothing', { signature: new Uint8Array(0) }],
  ['a signature that is no bytes', { signature: 'yes' }],
  ['something more', { admin: new Uint8Array(1) }],
  ['a signature of zeros', { signature: new Uint8Array(3375) }],
];

for (const [what, over] of ALTERED)
  test(`refused: a proposal with ${what}`, () => {
    const proposal = altered(propose(binding(), kitchen.identity, null), over);
    assert.throws(() => respond(binding(), proposal, keys.kitchen, roof.identity, true), isUntrusted);
  });

test('refused: the classical half of a signature, or the post-quantum half, alone', () => {
  const proposal = propose(binding(), kitchen.identity, null);
  const { signature } = fromCbor(proposal) as { signature: Uint8Array };
  for (const at of [100, signature.length - 10]) {
    const broken = Uint8Array.from(signature);
    broken[at]! ^= 1;
    const forged = altered(proposal, { signature: broken });
    assert.throws(() => respond(binding(), forged, keys.kitchen, roof.identity, true), isUntrusted);
  }
});

test("refused: a key that is not the certificate's", () => {
  const other = suite.identityKey(secrets().identity);
  const proposal = propose(binding(), other, null);
  assert.throws(() => respond(binding(), proposal, keys.kitchen, roof.identity, true), isUntrusted);
});

test('no downgrade: without a hybrid group somebody has to bring a key, and its answer has to come', () => {
  const bare = propose(binding(), kitchen.identity, null);
  assert.throws(() => respond(binding(), bare, keys.kitchen, roof.identity, false), isUntrusted);
  const agreement = ephemeral();
  const proposal = propose(binding(), kitchen.identity, agreement);
  const { response } = respond(binding(), bare, keys.kitchen, roof.identity, true);
  assert.throws(() => conclude(binding(), proposal, response, keys.roof, agreement), isUntrusted);
  const without = altered(proposal, { agreement: undefined });
  assert.throws(() => respond(binding(), without, keys.kitchen, roof.identity, true), isUntrusted);
});

test("an initiator's proof sent back is no responder's", () => {
  const proposal = propose(binding(), kitchen.identity, null);
  assert.throws(() => conclude(binding(), proposal, proposal, keys.kitchen, null), isUntrusted);
});

test('a response to another proposal, or with another secret, is refused', () => {
  const [one, two] = [ephemeral(), ephemeral()];
  const [first, second] = [propose(binding(), kitchen.identity, one), propose(binding(), kitchen.identity, two)];
  const { response } = respond(binding(), first, keys.kitchen, roof.identity, false);
  assert.throws(() => conclude(binding(), second, response, keys.roof, two), isUntrusted);
  const put = altered(response, { message: suite.offer(one.publicKey).message });
  assert.throws(() => conclude(binding(), first, put, keys.roof, one), isUntrusted);
});

test('malformed proofs are refused without more ado', () => {
  for (const bytes of [
    new Uint8Array(0),
    toCbor(null),
    toCbor([1]),
    toCbor('x'),
    toCbor(new Uint8Array(4)),
    toCbor({}),
  ])
    assert.throws(() => respond(binding(), bytes, keys.kitchen, roof.identity, true), isUntrusted);
  const proposal = propose(binding(), kitchen.identity, ephemeral());
  for (const agreement of [
    new Uint8Array(5),
    new Uint8Array(1218),
    Buffer.concat([Uint8Array.of(0, 1), Buffer.alloc(1216, 255)]),
  ]) {
    const signed = propose(binding(), kitchen.identity, { ...ephemeral(), publicKey: agreement });
    assert.throws(() => respond(binding(), signed, keys.kitchen, roof.identity, true), isUntrusted);
  }
  assert.ok(proposal.length < 8192, 'a proof fits its frame');
});
