import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { p256 } from '../../../agent/host/p256.ts';
import { BOUND_KEYS_OID, readCertificate, writeCertificate } from '../../../agent/trust/certificate/certificate.ts';
import { authorityKey, credential, leafKey, pem } from '../../../agent/trust/certificate/credential.ts';
import {
  type Authority,
  authority,
  issueRoot,
  issueRouter,
  issueSteward,
} from '../../../agent/trust/certificate/issue.ts';
import { nodeOf, parseSpiffeId } from '../../../agent/trust/certificate/spiffe.ts';
import type { Tools } from '../../../agent/trust/certificate/tools.ts';
import { type Refusal, SKEW_MS, trustBundle, Verifier } from '../../../agent/trust/certificate/verify.ts';
import { fingerprint, newSecrets } from '../../../agent/trust/keys/router.ts';
import { SUITE_IDS, standardSuite } from '../../../agent/trust/keys/suite.ts';
import { flipped, PROVIDERS } from './help.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
const DOMAIN = 'x0tta6bl4.mesh';
const NOBODY = new Set<string>();

function toolsOf(primitives: (typeof PROVIDERS)[number][1]): Tools {
  return { suite: standardSuite(primitives), p256, random: primitives.random };
}

const tools = toolsOf(PROVIDERS[0]![1]);

/** An owner with its root. */
function owner(trustDomain = DOMAIN, using = tools): Authority {
  const { identity: secret } = newSecrets(using.suite);
  const identity = using.suite.identityKey(secret);
  const key = authorityKey(using, secret, 'owner');
  return issueRoot(using, { key, identity }, { trustDomain, wallMs: NOW, lifeMs: 10 * YEAR });
}

function steward(root: Authority, lifeMs = YEAR, using = tools): Authority {
  const secrets = newSecrets(using.suite);
  const identity = using.suite.identityKey(secrets.identity);
  const { spki } = authorityKey(using, secrets.identity, 'steward');
  const one = { node: 'attic', spki, identity: identity.publicKey };
  return authority(using, issueSteward(using, root, one, { wallMs: NOW, lifeMs }), secrets, 'steward');
}

function router(by: Authority, { node = 'kitchen', wallMs = NOW, lifeMs = 12 * HOUR } = {}, using = tools) {
  const secrets = newSecrets(using.suite);
  const salt = using.random(16);
  const { publicKey: identity } = using.suite.identityKey(secrets.identity);
  const { publicKey: agreement } = using.suite.agreementKey(secrets.agreement);
  const { spki } = leafKey(using, secrets.identity, salt);
  const chain = issueRouter(using, by, { node, spki, identity, agreement }, { wallMs, lifeMs });
  return { secrets, salt, chain, spki, identity, agreement };
}

const root = owner();
const attic = steward(root);
const bundle = trustBundle(tools, DOMAIN, 1, [root.certificate.der]);
const kitchen = router(attic);
const verifier = new Verifier(tools);
const verify = (chain: readonly Uint8Array[], at = NOW, revoked: ReadonlySet<string> = NOBODY, grace = 0) =>
  verifier.verifyPeer(chain, bundle, revoked, at, grace);

function reason(chain: readonly Uint8Array[], at = NOW, revoked: ReadonlySet<string> = NOBODY): Refusal | 'none' {
  const verdict = new Verifier(tools).verifyPeer(chain, bundle, revoked, at);
  return verdict.ok ? 'none' : verdict.reason;
}

for (const [name, primitives] of PROVIDERS) {
  test(`what ${name} issues, every provider believes`, () => {
    const made = toolsOf(primitives);
    const top = owner(DOMAIN, made);
    const { chain, identity, agreement } = router(steward(top, YEAR, made), {}, made);
    for (const [, other] of PROVIDERS) {
      const theirs = toolsOf(other);
      const trusted = trustBundle(theirs, DOMAIN, 1, [top.certificate.der]);
      const verdict = new Verifier(theirs).verifyPeer(chain, trusted, NOBODY, NOW);
      assert.ok(verdict.ok);
      assert.equal(verdict.id, 'spiffe://x0tta6bl4.mesh/router/kitchen');
      assert.equal(verdict.node, 'kitchen');
      assert.equal(verdict.fingerprint, fingerprint(identity));
      assert.deepEqual(Buffer.from(verdict.keys.agreement), Buffer.from(agreement));
      assert.deepEqual(verdict.issuers.length, 2);
    }
  });
}

test('openssl and node:crypto verify the chain, and see what SPIFFE asks for', () => {
  const directory = mkdtempSync(join(tmpdir(), 'x0-svid-'));
  try {
    const [leaf, middle] = kitchen.chain as [Uint8Array, Uint8Array];
    const file = (name: string, der: Uint8Array) => {
      writeFileSync(join(directory, name), pem('CERTIFICATE', der));
      return join(directory, name);
    };
    const [ca, untrusted, own] = [file('root', root.certificate.der), file('steward', middle), file('leaf', leaf)];
    const openssl = (...args: string[]) => spawnSync('openssl', args, { encoding: 'utf8' });
    const at = ['-attime', String(NOW / 1000), '-x509_strict'];
    for (const purpose of ['sslserver', 'sslclient']) {
      const well = openssl('verify', ...at, '-purpose', purpose, '-CAfile', ca, '-untrusted', untrusted, own);
      assert.equal(well.status, 0, well.stderr);
    }
    const late = String((NOW + 13 * HOUR) / 1000);
    assert.match(openssl('verify', '-attime', late, '-CAfile', ca, '-untrusted', untrusted, own).stderr, /expired/);
    assert.notEqual(openssl('verify', ...at, '-CAfile', ca, own).status, 0);
    const stranger = file('stranger', owner().certificate.der);
    assert.notEqual(openssl('verify', ...at, '-CAfile', stranger, '-untrusted', untrusted, own).status, 0);

    const text = openssl('x509', '-in', own, '-noout', '-text').stdout;
    assert.match(text, /Key Usage: critical\n\s+Digital Signature\n/);
    assert.match(text, /Basic Constraints: critical\n\s+CA:FALSE\n/);
    assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication/);
    assert.match(text, /URI:spiffe:\/\/x0tta6bl4\.mesh\/router\/kitchen\n/);
    assert.ok(text.includes(BOUND_KEYS_OID));
    assert.match(openssl('x509', '-in', untrusted, '-noout', '-text').stdout, /CA:TRUE, pathlen:0/);
  } finally {
    rmSync(directory, { recursive: true });
  }
  const [leaf, middle] = kitchen.chain.map((der) => new X509Certificate(der)) as [X509Certificate, X509Certificate];
  const top = new X509Certificate(root.certificate.der);
  assert.ok(leaf.checkIssued(middle) && leaf.verify(middle.publicKey) && !leaf.ca);
  assert.ok(middle.checkIssued(top) && middle.verify(top.publicKey) && middle.ca);
  assert.equal(leaf.subjectAltName, 'URI:spiffe://x0tta6bl4.mesh/router/kitchen');
  const read = readCertificate(kitchen.chain[0]!)!;
  assert.equal(read.notAfter, Date.parse(leaf.validTo));
  assert.equal(read.notBefore, Date.parse(leaf.validFrom));
  assert.equal(BigInt(`0x${read.serial}`), BigInt(`0x${leaf.serialNumber}`));
});

test('a credential fits its certificate, and no other', () => {
  const mine = credential(tools, kitchen.secrets, kitchen.salt, kitchen.chain);
  assert.equal(mine.id, 'spiffe://x0tta6bl4.mesh/router/kitchen');
  const key = createPrivateKey(pem('PRIVATE KEY', mine.privateKey.reveal()));
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  assert.deepEqual(spki, Buffer.from(kitchen.spki));
  assert.ok(!JSON.stringify(mine).includes(Buffer.from(mine.privateKey.reveal()).toString('hex')));
  const other = router(attic);
  const wrong = { code: 'E_SVID' };
  assert.throws(() => credential(tools, other.secrets, kitchen.salt, kitchen.chain), wrong);
  assert.throws(() => credential(tools, kitchen.secrets, other.salt, kitchen.chain), wrong);
  assert.throws(() => credential(tools, kitchen.secrets, kitchen.salt, []), wrong);
  assert.throws(() => authority(tools, kitchen.chain[0]!, kitchen.secrets, 'steward'), wrong);
  assert.throws(() => trustBundle(tools, DOMAIN, 1, [attic.certificate.der]), wrong);
  assert.throws(() => trustBundle(tools, 'other.mesh', 1, [root.certificate.der]), wrong);
});

test('time: not yet, in time, expired, in grace', () => {
  const end = NOW + 12 * HOUR;
  assert.equal(reason(kitchen.chain, NOW - SKEW_MS - 3 * 60_000), 'not-yet-valid');
  assert.equal(reason(kitchen.chain, NOW - SKEW_MS), 'none');
  assert.equal(reason(kitchen.chain, end + SKEW_MS), 'none');
  assert.equal(reason(kitchen.chain, end + SKEW_MS + 1), 'expired');
  assert.equal(reason(kitchen.chain, 0), 'not-yet-valid');
  const late = verify(kitchen.chain, end + HOUR, NOBODY, 2 * HOUR);
  assert.ok(late.ok && late.isLate);
  const prompt = verify(kitchen.chain, NOW, NOBODY, 2 * HOUR);
  assert.ok(prompt.ok && !prompt.isLate);
  assert.ok(!verify(kitchen.chain, end + 3 * HOUR, NOBODY, 2 * HOUR).ok);
});

test('revoking a router or its steward takes effect, also on a chain that was believed before', () => {
  assert.ok(verify(kitchen.chain).ok);
  const revoke = (key: Uint8Array) => verify(kitchen.chain, NOW, new Set([fingerprint(key)]));
  for (const key of [kitchen.identity, attic.identity.publicKey, root.identity.publicKey]) {
    const verdict = revoke(key);
    assert.ok(!verdict.ok && verdict.reason === 'revoked');
  }
});

/** `chain` with its leaf made by hand: its issuer's keys, these fields, and the signatures of whoever. */
function forged(
  change: Partial<Parameters<typeof writeCertificate>[0]>,
  by: Pick<Authority, 'key' | 'identity'> = attic,
  signHybrid = by.identity.sign,
): Uint8Array[] {
  const { notBefore, notAfter } = readCertificate(kitchen.chain[0]!)!;
  const fields = {
    serial: Uint8Array.of(7),
    issuer: { organisation: DOMAIN, commonName: 'attic' },
    subject: { organisation: DOMAIN, commonName: 'kitchen' },
    notBefore,
    notAfter,
    spki: kitchen.spki,
    issuerSpki: attic.certificate.spki,
    uri: 'spiffe://x0tta6bl4.mesh/router/kitchen',
    authority: null,
    identity: kitchen.identity,
    agreement: kitchen.agreement,
    ...change,
  };
  const size = signHybrid('certificate v1', new Uint8Array(1)).length;
  const leaf = writeCertificate(fields, size, (message) => signHybrid('certificate v1', message), by.key.sign);
  return [leaf, ...kitchen.chain.slice(1)];
}

test('what is forged is refused, each for its reason', () => {
  assert.equal(reason(forged({})), 'none', 'the forger makes what a steward makes');
  const mallory = steward(owner());
  const other = { key: attic.key, identity: mallory.identity };
  // A quantum computer has found the steward's classical key: a hybrid signature of another does not do.
  assert.equal(reason(forged({}, other)), 'bad-hybrid-signature');
  assert.equal(reason(forged({}, { key: mallory.key, identity: attic.identity })), 'bad-signature');
  assert.equal(reason(router(mallory).chain), 'unknown-issuer');
  assert.equal(reason([router(mallory).chain[0]!, attic.certificate.der]), 'bad-signature');
  assert.equal(reason([kitchen.chain[0]!]), 'unknown-issuer');
  assert.equal(reason([kitchen.chain[0]!, kitchen.chain[1]!, root.certificate.der]), 'none');
  assert.equal(reason(forged({ uri: 'spiffe://other.mesh/router/kitchen' })), 'wrong-trust-domain');
  for (const uri of [
    'spiffe://x0tta6bl4.mesh',
    'spiffe://x0tta6bl4.mesh/other/kitchen',
    'https://x0tta6bl4.mesh/router/a',
  ])
    assert.equal(reason(forged({ uri })), 'not-a-router', uri);
  assert.equal(reason(forged({ authority: 0 })), 'wrong-usage');
  assert.equal(reason(forged({ notAfter: NOW + 2 * YEAR })), 'outlives-issuer');
  assert.equal(reason(forged({ agreement: new Uint8Array(0) })), 'no-bound-keys');
  const research = Uint8Array.from(kitchen.identity);
  research.set([SUITE_IDS.ntru >> 8, SUITE_IDS.ntru & 0xff]);
  assert.equal(reason(forged({ identity: research })), 'wrong-suite');
  assert.equal(reason(forged({ identity: new Uint8Array(0) })), 'no-bound-keys');
  // A router that issues: its certificate is no authority.
  const self = {
    key: leafKey(tools, kitchen.secrets.identity, kitchen.salt),
    identity: tools.suite.identityKey(kitchen.secrets.identity),
  };
  const child = forged({ issuer: { organisation: DOMAIN, commonName: 'kitchen' }, issuerSpki: kitchen.spki }, self)[0]!;
  assert.equal(reason([child, kitchen.chain[0]!, attic.certificate.der]), 'wrong-usage');
  // A steward that makes a steward.
  const second = forged({
    authority: 0,
    uri: `spiffe://${DOMAIN}`,
    agreement: new Uint8Array(0),
    identity: mallory.identity.publicKey,
    spki: mallory.certificate.spki,
    subject: { organisation: DOMAIN, commonName: 'mallory' },
  })[0]!;
  const under = forged(
    { issuer: { organisation: DOMAIN, commonName: 'mallory' }, issuerSpki: mallory.certificate.spki },
    mallory,
  )[0]!;
  assert.equal(reason([under, second, attic.certificate.der]), 'wrong-usage');
  assert.equal(reason([]), 'malformed');
  assert.equal(reason([...kitchen.chain, ...kitchen.chain]), 'malformed');
});

test('an ordinary certificate, of however good an identity, is none here: it has no bound keys', () => {
  const directory = mkdtempSync(join(tmpdir(), 'x0-plain-'));
  try {
    const file = join(directory, 'plain');
    const make = [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-sha256', '-days', '7000'],
      ...['-subj', '/O=x0tta6bl4.mesh/CN=kitchen', '-keyout', '/dev/null', '-out', file, '-outform', 'DER'],
      ...['-addext', 'subjectAltName=URI:spiffe://x0tta6bl4.mesh/router/kitchen'],
    ];
    assert.equal(spawnSync('openssl', make).status, 0);
    assert.equal(reason([readFileSync(file)], Date.now() + HOUR), 'no-bound-keys');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a steward proves that it may issue; a router does not', () => {
  const good = verifier.verifySteward(attic.certificate.der, bundle, NOBODY, NOW);
  assert.ok(good.ok && good.node === 'attic');
  const bad = verifier.verifySteward(kitchen.chain[0]!, bundle, NOBODY, NOW);
  assert.ok(!bad.ok);
  const gone = verifier.verifySteward(attic.certificate.der, bundle, new Set([good.fingerprint]), NOW);
  assert.ok(!gone.ok && gone.reason === 'revoked');
});

test('no flipped bit of a chain is believed, and no bytes throw', () => {
  const [leaf, middle] = kitchen.chain as [Uint8Array, Uint8Array];
  fc.assert(
    fc.property(fc.nat(), fc.boolean(), (bit, first) => {
      const chain = first ? [flipped(leaf, bit), middle] : [leaf, flipped(middle, bit)];
      assert.ok(!verify(chain).ok);
    }),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), (chain) => !verify(chain).ok),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.nat(leaf.length - 1), fc.uint8Array({ maxLength: 40 }), (cut, end) => {
      assert.ok(!verify([Buffer.concat([leaf.subarray(0, cut), end]), middle]).ok);
    }),
    { numRuns: 300 },
  );
});

test('SPIFFE IDs are read as the standard has them', () => {
  assert.deepEqual(parseSpiffeId('spiffe://a.b/x/y'), { trustDomain: 'a.b', path: 'x/y' });
  for (const bad of ['spiffe://', 'spiffe:///a', 'spiffe://A/x', 'spiffe://a/', 'spiffe://a/x/', 'spiffe://a//x'])
    assert.equal(parseSpiffeId(bad), null, bad);
  for (const bad of [
    'spiffe://u@a/x',
    'spiffe://a:1/x',
    'spiffe://a/x?y',
    'spiffe://a/%20',
    'spiffe://a/..',
    'SPIFFE://a/x',
  ])
    assert.equal(parseSpiffeId(bad), null, bad);
  assert.equal(nodeOf('spiffe://a/router/x', 'a'), 'x');
  assert.equal(nodeOf('spiffe://a/router/x/y', 'a'), null);
  assert.equal(nodeOf('spiffe://a/router/x', 'b'), null);
});
