/** Routers with identities of their own, in this process and in others, for the benches that need sessions between them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Log } from '../../agent/core/log.ts';
import { provider } from '../../agent/host/openssl.ts';
import { p256 } from '../../agent/host/p256.ts';
import { type Address, Peers, type PeersOptions } from '../../agent/host/peer/peers.ts';
import type { Credentials } from '../../agent/peer/credentials.ts';
import type { Exchange } from '../../agent/peer/exchange.ts';
import { authorityKey, credential, leafKey } from '../../agent/trust/certificate/credential.ts';
import { authority, issueRoot, issueRouter, issueSteward } from '../../agent/trust/certificate/issue.ts';
import { trustBundle, Verifier } from '../../agent/trust/certificate/verify.ts';
import { decodeKeyFile, encodeKeyFile } from '../../agent/trust/keys/file.ts';
import { newSecrets } from '../../agent/trust/keys/router.ts';
import { standardSuite } from '../../agent/trust/keys/suite.ts';

const DOMAIN = 'x0tta6bl4.mesh';
const LIFE_MS = 12 * 3_600_000;
const PATIENCE_MS = 5000;
const { primitives } = await provider();
const tools = { suite: standardSuite(primitives), p256, random: primitives.random };
const { suite } = tools;

/** What a router proves itself by, as base64: it goes from one process of a bench to another. */
export interface Material {
  readonly root: string;
  readonly secrets: string;
  readonly salt: string;
  readonly chain: readonly string[];
}

/** Makes routers of one mesh; of one that is there (`before`) with another certificate. */
export function mesh(): (node: string, before?: Material) => Material {
  const request = { wallMs: Date.now(), lifeMs: 10 * LIFE_MS };
  const owner = newSecrets(suite);
  const ownerKeys = { key: authorityKey(tools, owner.identity, 'owner'), identity: suite.identityKey(owner.identity) };
  const root = issueRoot(tools, ownerKeys, { trustDomain: DOMAIN, ...request });
  const secrets = newSecrets(suite);
  const { spki } = authorityKey(tools, secrets.identity, 'steward');
  const { publicKey } = suite.identityKey(secrets.identity);
  const der = issueSteward(tools, root, { node: 'steward', spki, identity: publicKey }, request);
  const steward = authority(tools, der, secrets, 'steward');
  return (node, before) => {
    const own = before === undefined ? newSecrets(suite) : decodeKeyFile(bytes(before.secrets));
    const salt = tools.random(16);
    const keys = {
      node,
      spki: leafKey(tools, own.identity, salt).spki,
      identity: suite.identityKey(own.identity).publicKey,
      agreement: suite.agreementKey(own.agreement).publicKey,
    };
    const chain = issueRouter(tools, steward, keys, { wallMs: Date.now(), lifeMs: LIFE_MS });
    return {
      root: base64(root.certificate.der),
      secrets: base64(encodeKeyFile(own)),
      salt: base64(salt),
      chain: chain.map(base64),
    };
  };
}

/** With a memory of its own for signatures that it has verified. */
export function credentialsOf(material: Material): Credentials {
  const bundle = trustBundle(tools, DOMAIN, 1, [bytes(material.root)]);
  const own = credential(
    tools,
    decodeKeyFile(bytes(material.secrets)),
    bytes(material.salt),
    material.chain.map(bytes),
  );
  const verifier = new Verifier(tools);
  const nobody = new Set<string>();
  return {
    suite,
    current: () => own,
    verify: (chain) => verifier.verifyPeer(chain, bundle, nobody, Date.now()),
  };
}

export function peersOf(credentials: Credentials, hooks: Pick<PeersOptions, 'onUp' | 'onDown'> = {}): Peers {
  return new Peers({
    ...hooks,
    credentials,
    log: new Log('error', (line) => void process.stderr.write(`${line}\n`)),
    now: () => Number(process.hrtime.bigint()),
    random: Math.random,
  });
}

/** One router that has yet to dial another, as an agent dials those that its configuration names. */
export function dialler(credentials: Credentials): {
  /** Until this end holds the other for proven. */
  dial(at: Address): Promise<Exchange>;
  close(): void;
} {
  let up: (session: Exchange) => void = () => {};
  const peers = peersOf(credentials, { onUp: (session) => up(session) });
  return {
    dial: (at) =>
      new Promise((resolve, reject) => {
        const patience = setTimeout(() => reject(new Error(`no session within ${PATIENCE_MS} ms`)), PATIENCE_MS);
        up = (session) => {
          clearTimeout(patience);
          resolve(session);
        };
        peers.configure([at]);
      }),
    close: () => peers.close(),
  };
}

export async function listening(peers: Peers): Promise<{ address: string; port: number }> {
  peers.listen([{ address: '127.0.0.1', port: 0 }]);
  while (peers.ports()[0] === null) await new Promise((resolve) => setTimeout(resolve, 1));
  return { address: '127.0.0.1', port: peers.ports()[0]! };
}

/** peer-node.ts in a process of its own, under a Node and its flags; `port` is where its router listens. */
export async function otherRouter(
  material: Material,
  flags: readonly string[] = [],
  node = process.execPath,
): Promise<{ readonly child: ChildProcess; readonly pid: number; readonly ports: { session: number; plain: number } }> {
  const child = spawn(node, [...flags, join(import.meta.dirname, 'peer-node.ts')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  child.send(material);
  const [ports] = (await once(child, 'message')) as [{ session: number; plain: number }];
  return { child, pid: child.pid!, ports };
}

function base64(some: Uint8Array): string {
  return Buffer.from(some).toString('base64');
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'base64');
}
