/** Routers with identities of their own, for the benches that need sessions between them. */

import { Log } from '../../agent/core/log.ts';
import { provider } from '../../agent/host/openssl.ts';
import { p256 } from '../../agent/host/p256.ts';
import { Peers } from '../../agent/host/peer/peers.ts';
import type { Credentials } from '../../agent/peer/credentials.ts';
import { newSecrets } from '../../agent/trust/keys.ts';
import { standardSuite } from '../../agent/trust/suite.ts';
import {
  authority,
  authorityKey,
  type Credential,
  credential,
  issueRoot,
  issueRouter,
  issueSteward,
  leafKey,
  trustBundle,
  Verifier,
} from '../../agent/trust/svid.ts';

const DOMAIN = 'x0tta6bl4.mesh';
const LIFE_MS = 12 * 3_600_000;

export interface Mesh {
  router(node: string): Credential;
  /** What a router goes by, with a memory of its own for signatures that it has verified. */
  credentials(own: Credential): Credentials;
}

export async function mesh(): Promise<Mesh> {
  const { primitives } = await provider();
  const tools = { suite: standardSuite(primitives), p256, random: primitives.random };
  const { suite } = tools;
  const request = { wallMs: Date.now(), lifeMs: 10 * LIFE_MS };
  const owner = newSecrets(suite);
  const ownerKeys = { key: authorityKey(tools, owner.identity, 'owner'), identity: suite.identityKey(owner.identity) };
  const root = issueRoot(tools, ownerKeys, { trustDomain: DOMAIN, ...request });
  const secrets = newSecrets(suite);
  const { spki } = authorityKey(tools, secrets.identity, 'steward');
  const { publicKey } = suite.identityKey(secrets.identity);
  const der = issueSteward(tools, root, { node: 'steward', spki, identity: publicKey }, request);
  const steward = authority(tools, der, secrets, 'steward');
  const bundle = trustBundle(tools, DOMAIN, 1, [root.certificate.der]);
  const nobody = new Set<string>();
  return {
    router(node) {
      const own = newSecrets(suite);
      const salt = tools.random(16);
      const keys = {
        node,
        spki: leafKey(tools, own.identity, salt).spki,
        identity: suite.identityKey(own.identity).publicKey,
        agreement: suite.agreementKey(own.agreement).publicKey,
      };
      return credential(tools, own, salt, issueRouter(tools, steward, keys, { wallMs: Date.now(), lifeMs: LIFE_MS }));
    },
    credentials(own) {
      const verifier = new Verifier(tools);
      return {
        suite,
        current: () => own,
        verify: (chain) => verifier.verifyPeer(chain, bundle, nobody, Date.now()),
      };
    },
  };
}

export async function peersOf(credentials: Credentials): Promise<Peers> {
  const peers = new Peers({
    credentials,
    log: new Log('error', (line) => void process.stderr.write(`${line}\n`)),
    now: () => Number(process.hrtime.bigint()),
    random: Math.random,
  });
  peers.listen([{ address: '127.0.0.1', port: 0 }]);
  while (peers.ports()[0] === null) await new Promise((resolve) => setTimeout(resolve, 1));
  return peers;
}
