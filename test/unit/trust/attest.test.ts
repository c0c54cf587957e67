/** One compliance suite, which every way of attestation passes; then what is peculiar to each. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readSshHostKey } from '../../../agent/host/ssh-key.ts';
import { trustBundle, Verifier } from '../../../agent/trust/certificate/verify.ts';
import type { Attestor, Prover } from '../../../agent/trust/join/attest.ts';
import { Invitations, invitationProver, invitationText, readInvitation } from '../../../agent/trust/join/invitation.ts';
import { renewalAttestor, renewalProver } from '../../../agent/trust/join/renewal.ts';
import { readSshAllowed, type SshHostKey, sshAttestor, sshProver } from '../../../agent/trust/join/ssh.ts';
import { type X509Holder, x509Attestor, x509Prover } from '../../../agent/trust/join/x509.ts';
import { fingerprint, newSecrets } from '../../../agent/trust/keys/router.ts';
import { flipped } from './help.ts';
import { BEGIN, DAY, DOMAIN, HOUR, Mesh, tools } from './mesh.ts';

const BINDING = new Uint8Array(randomBytes(32));
const KEY = 'ab'.repeat(32);

interface Way {
  readonly name: string;
  readonly honest: Prover;
  /** Has what looks like it, of its own making. */
  readonly stranger: Prover;
  readonly attestor: Attestor;
  /** The identity key that asks. */
  readonly key: string;
  readonly node: string | null;
  /** When it is no longer good; null for never. */
  readonly endedMs: number | null;
}

const directory = mkdtempSync(join(tmpdir(), 'x0-attest-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const file = (name: string) => join(directory, name);
const run = (command: string, ...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', cwd: directory });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
};

function invitation(): Way {
  const attestor = new Invitations();
  const one = attestor.issue(tools.random, 'kitchen', BEGIN + HOUR);
  const other = new Invitations().issue(tools.random, null, BEGIN + HOUR);
  return {
    name: 'invitation',
    honest: invitationProver(one),
    stranger: invitationProver({ id: one.id, secret: other.secret }),
    attestor,
    key: KEY,
    node: 'kitchen',
    endedMs: BEGIN + HOUR + 1,
  };
}

function sshKey(): SshHostKey & { readonly line: string; readonly key: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(12);
  const blob = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), raw]);
  const line = `ssh-ed25519 ${blob.toString('base64')} attic`;
  return { publicKey: raw, sign: (message) => sign(null, message, privateKey), line, key: privateKey };
}

function ssh(): Way {
  const key = sshKey();
  const attestor = sshAttestor([readSshAllowed(key.line)]);
  return {
    name: 'SSH host key',
    honest: sshProver(key),
    stranger: sshProver(sshKey()),
    attestor,
    key: KEY,
    node: 'attic',
    endedMs: null,
  };
}

/** A CA and a leaf made with openssl; `type` is what -newkey takes. */
function holder(name: string, type: readonly string[]): X509Holder & { readonly ca: Uint8Array } {
  const subject = (cn: string) => ['-subj', `/CN=${cn}`];
  const [ca, caKey, leaf, leafKey, request] = ['ca', 'ca.key', 'leaf', 'leaf.key', 'csr'].map(
    (end) => `${name}.${end}`,
  );
  run(
    'openssl',
    'req',
    '-x509',
    ...type,
    '-nodes',
    '-keyout',
    caKey!,
    '-out',
    ca!,
    ...subject('Maker'),
    '-days',
    '7000',
  );
  run('openssl', 'req', ...type, '-nodes', '-keyout', leafKey!, '-out', request!, ...subject('garage'));
  run('openssl', 'x509', '-req', '-in', request!, '-CA', ca!, '-CAkey', caKey!, '-out', leaf!, '-days', '6000');
  const der = (from: string) => {
    const body = /-----BEGIN CERTIFICATE-----([^-]+)-----END/.exec(readFileSync(file(from), 'utf8'))![1]!;
    return Buffer.from(body, 'base64');
  };
  const key = createPrivateKey(readFileSync(file(leafKey!)));
  const hash = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return { chain: [der(leaf!)], sign: (message) => sign(hash, message, key), ca: der(ca!) };
}

function x509(name: string, type: readonly string[]): Way {
  const one = holder(name, type);
  const stranger = x509Prover(holder(`${name}2`, type));
  const attestor = x509Attestor([one.ca]);
  const endedMs = Date.now() + 6001 * DAY;
  return { name: `X.509, ${name}`, honest: x509Prover(one), stranger, attestor, key: KEY, node: 'garage', endedMs };
}

function renewal(): Way {
  const mesh = new Mesh();
  const founder = mesh.add('founder');
  mesh.found(founder);
  const bundle = trustBundle(tools, DOMAIN, 1, [mesh.owner.authority.certificate.der]);
  const verifier = new Verifier(tools);
  const { identity, chain } = founder.credential!;
  return {
    name: 'renewal',
    honest: renewalProver(identity, chain),
    stranger: renewalProver(tools.suite.identityKey(newSecrets(tools.suite).identity), chain),
    attestor: renewalAttestor(tools.suite, (shown, wallMs) =>
      verifier.verifyPeer(shown, bundle, new Set(), wallMs, DAY),
    ),
    key: fingerprint(identity.publicKey),
    node: founder.credential!.id.split('/').at(-1)!,
    endedMs: BEGIN + 12 * HOUR + 2 * DAY,
  };
}

const WAYS = [
  invitation(),
  ssh(),
  x509('P-256', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']),
  x509('Ed25519', ['-newkey', 'ed25519']),
  renewal(),
];
/** X.509's are as old as this run, the others of the meshes' day. */
const nowOf = (way: Way) => (way.name.startsWith('X.509') ? Date.now() : BEGIN);

for (const way of WAYS) {
  const { attestor, honest, stranger, key, name } = way;
  const now = nowOf(way);
  const evidence = honest.prove(BINDING);

  test(`${name}: the honest one is let in, again too, under its name`, () => {
    for (let i = 0; i < 2; i++) {
      const verdict = attestor.check(evidence, BINDING, key, now);
      assert.ok(verdict.ok, JSON.stringify(verdict));
      assert.equal(verdict.node, way.node);
      assert.ok(verdict.how.length > 3);
    }
    assert.equal(attestor.method, honest.method);
  });

  test(`${name}: a stranger, another conversation, and what has ended are refused`, () => {
    const other = new Uint8Array(randomBytes(32));
    for (const [proof, binding] of [
      [stranger.prove(BINDING), BINDING],
      [evidence, other],
      [honest.prove(other), BINDING],
    ] as const) {
      const verdict = attestor.check(proof, binding, key, now);
      assert.ok(!verdict.ok && ['bad-proof', 'unknown'].includes(verdict.reason), JSON.stringify(verdict));
    }
    if (way.endedMs === null) return;
    const late = attestor.check(evidence, BINDING, key, way.endedMs);
    assert.ok(!late.ok && late.reason === 'expired', JSON.stringify(late));
  });

  test(`${name}: no garbage throws or gets in`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => !attestor.check(bytes, BINDING, key, now).ok),
      { numRuns: 200 },
    );
    fc.assert(
      fc.property(fc.nat(evidence.length), fc.uint8Array({ maxLength: 30 }), (cut, end) => {
        const bytes = Buffer.concat([evidence.subarray(0, cut), end]);
        return bytes.equals(evidence) || !attestor.check(bytes, BINDING, key, now).ok;
      }),
      { numRuns: 200 },
    );
    fc.assert(
      fc.property(fc.nat(), (bit) => {
        const verdict = attestor.check(flipped(evidence, bit), BINDING, key, now);
        // A certificate's own signature may be malleable; whom it proves is not.
        return !verdict.ok || (name.startsWith('X.509') && verdict.node === way.node);
      }),
      { numRuns: 300 },
    );
  });
}

test('an invitation survives being typed, and no letter of it may be wrong', () => {
  const invitations = new Invitations();
  const { id, secret } = invitations.issue(tools.random, null, BEGIN);
  const text = invitationText({ id, secret, anchor: KEY });
  assert.match(text, /^[a-z2-7]{72}$/);
  const groups = text.match(/.{1,5}/g)!;
  for (const typed of [text, text.toUpperCase(), groups.join('-'), ` ${groups.join(' ')}\n`]) {
    const read = readInvitation(typed);
    assert.equal(read.id, id);
    assert.deepEqual(Buffer.from(read.secret.reveal()), Buffer.from(secret.reveal()));
    assert.ok(KEY.startsWith(read.anchor) && read.anchor.length === 32);
  }
  for (let at = 0; at < text.length; at++) {
    const wrong = `${text.slice(0, at)}${text[at] === 'a' ? 'b' : 'a'}${text.slice(at + 1)}`;
    assert.throws(
      () => readInvitation(wrong),
      (error: Error) => !error.message.includes(text.slice(5, 20)),
    );
  }
});

test('an X.509 certificate is known by its key, and by its SPIFFE ID through all its keys', () => {
  const spiffeId = 'spiffe://corp.example/x0d/garage';
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const one = holder('ids', newKey);
  writeFileSync(file('ids.ext'), `subjectAltName=DNS:garage.example,URI:${spiffeId}\n`);
  const credentials = ['first', 'second'].map((name) => {
    run('openssl', 'req', ...newKey, '-nodes', '-keyout', `${name}.key`, '-out', 'csr', '-subj', '/CN=garage');
    const by = ['-CA', 'ids.ca', '-CAkey', 'ids.ca.key', '-extfile', 'ids.ext', '-days', '6000'];
    run('openssl', 'x509', '-req', '-in', 'csr', ...by, '-out', `${name}.leaf`, '-outform', 'DER');
    const key = createPrivateKey(readFileSync(file(`${name}.key`)));
    const proof = x509Prover({
      chain: [readFileSync(file(`${name}.leaf`))],
      sign: (message) => sign('sha256', message, key),
    }).prove(BINDING);
    const verdict = x509Attestor([one.ca]).check(proof, BINDING, KEY, Date.now());
    assert.ok(verdict.ok, JSON.stringify(verdict));
    const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
    assert.equal(verdict.credentials[0], `x509:${createHash('sha256').update(spki).digest('hex')}`);
    return verdict.credentials;
  });
  const id = `spiffe:${createHash('sha256').update(spiffeId).digest('hex')}`;
  assert.deepEqual(
    credentials.map(([, second]) => second),
    [id, id],
  );
  assert.notEqual(credentials[0]![0], credentials[1]![0]);
});

test('an X.509 chain keeps to what its CAs allow: how many follow, what a key is for, what is not known here', () => {
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const ca = (more = '') => `basicConstraints=critical,CA:TRUE${more}\nkeyUsage=critical,keyCertSign,cRLSign\n`;
  const make = (name: string, by: string | null, extensions: string): Buffer => {
    run('openssl', 'req', ...newKey, '-nodes', '-keyout', `${name}.key`, '-out', 'csr', '-subj', `/CN=${name}`);
    writeFileSync(file('ext'), extensions);
    const signed = by === null ? ['-key', `${name}.key`] : ['-CA', `${by}.pem`, '-CAkey', `${by}.key`];
    const out = ['-extfile', 'ext', '-days', '6000', '-out', `${name}.pem`];
    run('openssl', 'x509', '-req', '-in', 'csr', ...signed, ...out);
    run('openssl', 'x509', '-in', `${name}.pem`, '-outform', 'DER', '-out', `${name}.der`);
    return readFileSync(file(`${name}.der`));
  };
  const tried = (root: string, middle: string, leaf: string, isShown = false) => {
    const authority = make('root', null, root);
    const chain = [make('middle', 'root', middle)];
    chain.unshift(make('garage', 'middle', leaf));
    const key = createPrivateKey(readFileSync(file('garage.key')));
    const shown = isShown ? [...chain, authority] : chain;
    const proof = x509Prover({ chain: shown, sign: (message) => sign('sha256', message, key) }).prove(BINDING);
    return x509Attestor([authority]).check(proof, BINDING, KEY, Date.now());
  };
  const LEAF = 'keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:garage.example\n';
  for (const root of [ca(), ca(',pathlen:1')])
    for (const middle of [ca(), ca(',pathlen:0')]) {
      const verdict = tried(root, middle, LEAF);
      assert.ok(verdict.ok, JSON.stringify(verdict));
    }
  for (const [root, middle, leaf, why, isShown] of [
    [ca(',pathlen:0'), ca(), LEAF, /more CAs/, false],
    [ca(',pathlen:0'), ca(), LEAF, /more CAs/, true],
    [ca(), ca(), 'keyUsage=critical,keyEncipherment\n', /not for signing/, false],
    [ca(), `${ca()}nameConstraints=critical,permitted;DNS:cellar.example\n`, LEAF, /not known here: 551d1e/, false],
    [ca(), ca(), `${LEAF}1.2.3.4=critical,DER:0500\n`, /not known here: 2a0304/, false],
  ] as const) {
    const verdict = tried(root, middle, leaf, isShown);
    assert.ok(!verdict.ok && verdict.reason === 'bad-proof' && why.test(verdict.message), JSON.stringify(verdict));
  }
});

test('X.509 files that are none: a FIFO, a device, a folder, nothing', () => {
  run('mkfifo', 'fifo');
  const module = join(import.meta.dirname, '../../../agent/host/x509-file.ts');
  const code = `const { readCertificates } = await import(${JSON.stringify(module)});
    try { readCertificates(process.argv[1]) } catch ({ code, message }) { console.log(code, message) }`;
  for (const [path, why] of [
    [file('fifo'), 'it is not a file'],
    ['/dev/zero', 'it is not a file'],
    [directory, 'it is not a file'],
    [file('missing'), 'ENOENT'],
  ]) {
    const said = spawnSync(process.execPath, ['-e', code, path!], { encoding: 'utf8', timeout: 10_000 });
    assert.equal(said.stdout, `E_KEY_FILE ${path} cannot be read: ${why}\n`, said.stderr);
  }
});

test('ssh-keygen makes a proof, and verifies ours; both forms of a host key are read', () => {
  run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'host', '-f', 'host');
  writeFileSync(file('binding'), BINDING);
  run('ssh-keygen', '-Y', 'sign', '-n', 'x0tta6bl4-join', '-f', 'host', 'binding');
  const armored = readFileSync(file('binding.sig'), 'utf8').replaceAll(/-----[A-Z ]+-----/g, '');
  const attestor = sshAttestor([
    readSshAllowed(readFileSync(file('host.pub'), 'utf8').split(' ').slice(0, 2).join(' ')),
  ]);
  assert.ok(attestor.check(Buffer.from(armored, 'base64'), BINDING, KEY, BEGIN).ok);

  const named = attestor.check(Buffer.from(armored, 'base64'), BINDING, KEY, BEGIN);
  const [, base64] = /SHA256:(\S+)/.exec(run('ssh-keygen', '-l', '-E', 'sha256', '-f', 'host.pub'))!;
  assert.deepEqual(named.ok && named.credentials, [`ssh:${Buffer.from(base64!, 'base64').toString('hex')}`]);

  const mine = readSshHostKey(file('host'));
  const evidence = Buffer.from(sshProver(mine).prove(BINDING));
  assert.ok(attestor.check(evidence, BINDING, KEY, BEGIN).ok);
  const lines = evidence
    .toString('base64')
    .match(/.{1,70}/g)!
    .join('\n');
  writeFileSync(file('ours.sig'), `-----BEGIN SSH SIGNATURE-----\n${lines}\n-----END SSH SIGNATURE-----\n`);
  writeFileSync(file('allowed'), `router ${readFileSync(file('host.pub'), 'utf8')}`);
  const said = spawnSync(
    'ssh-keygen',
    ['-Y', 'verify', '-f', 'allowed', '-I', 'router', '-n', 'x0tta6bl4-join', '-s', 'ours.sig'],
    { cwd: directory, input: BINDING, encoding: 'utf8' },
  );
  assert.equal(said.status, 0, said.stderr);

  const key = sshKey();
  const seed = key.key.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
  const dropbear = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000040', 'hex'), seed, key.publicKey]);
  writeFileSync(file('dropbear'), dropbear, { mode: 0o600 });
  const read = readSshHostKey(file('dropbear'));
  assert.deepEqual(Buffer.from(read.publicKey), Buffer.from(key.publicKey));
  assert.deepEqual(Buffer.from(read.sign(BINDING)), Buffer.from(key.sign(BINDING)));
  for (const bad of ['', 'hello', dropbear.subarray(0, 40)]) {
    writeFileSync(file('bad'), bad);
    assert.throws(() => readSshHostKey(file('bad')), { code: 'E_KEY_FILE' });
  }
  for (const bad of ['', 'ssh-rsa AAAA', 'ssh-ed25519 AAAA', `${key.line}/x`])
    assert.throws(() => readSshAllowed(bad), { code: 'E_CONFIG_VALUE' }, bad);
});
