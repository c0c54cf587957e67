/** A mesh for tests: an owner, a steward, and routers with what they prove themselves by; and sessions between them. */

import { Log } from '../../../agent/core/log.ts';
import { provider } from '../../../agent/host/openssl.ts';
import { p256 } from '../../../agent/host/p256.ts';
import { type Address, Peers, type PeersOptions } from '../../../agent/host/peer/peers.ts';
import type { Credentials } from '../../../agent/peer/credentials.ts';
import { authorityKey, type Credential, credential, leafKey } from '../../../agent/trust/certificate/credential.ts';
import {
  type Authority,
  authority,
  issueRoot,
  issueRouter,
  issueSteward,
} from '../../../agent/trust/certificate/issue.ts';
import type { Tools } from '../../../agent/trust/certificate/tools.ts';
import { type TrustBundle, trustBundle, Verifier } from '../../../agent/trust/certificate/verify.ts';
import { newSecrets, type RouterSecrets } from '../../../agent/trust/keys/router.ts';
import { standardSuite } from '../../../agent/trust/keys/suite.ts';

export const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
const { primitives } = await provider();
export const tools: Tools = { suite: standardSuite(primitives), p256, random: primitives.random };
const verifier = new Verifier(tools);

export class TestMesh {
  readonly steward: Authority;
  readonly bundle: TrustBundle;
  readonly revoked = new Set<string>();
  readonly domain: string;

  constructor(domain = 'x0tta6bl4.mesh') {
    this.domain = domain;
    const owner = newSecrets(tools.suite);
    const root = issueRoot(
      tools,
      { key: authorityKey(tools, owner.identity, 'owner'), identity: tools.suite.identityKey(owner.identity) },
      { trustDomain: domain, wallMs: Date.now() - 48 * HOUR, lifeMs: 10 * YEAR },
    );
    const secrets = newSecrets(tools.suite);
    const { publicKey: identity } = tools.suite.identityKey(secrets.identity);
    const { spki } = authorityKey(tools, secrets.identity, 'steward');
    const request = { wallMs: Date.now() - 48 * HOUR, lifeMs: YEAR };
    this.steward = authority(
      tools,
      issueSteward(tools, root, { node: 'attic', spki, identity }, request),
      secrets,
      'steward',
    );
    this.bundle = trustBundle(tools, domain, 1, [root.certificate.der]);
  }

  /** What a router of this name proves itself by; of `from` to `from + life`. */
  router(
    node: string,
    { secrets = newSecrets(tools.suite), wallMs = Date.now(), lifeMs = 12 * HOUR } = {},
  ): Credential {
    const salt = tools.random(16);
    const { publicKey: identity } = tools.suite.identityKey(secrets.identity);
    const { publicKey: agreement } = tools.suite.agreementKey(secrets.agreement);
    const { spki } = leafKey(tools, secrets.identity, salt);
    const chain = issueRouter(tools, this.steward, { node, spki, identity, agreement }, { wallMs, lifeMs });
    return credential(tools, secrets, salt, chain);
  }

  credentials(current: () => Credential | null, wallMs: () => number = Date.now): Credentials {
    return {
      suite: tools.suite,
      current,
      verify: (chain) => verifier.verifyPeer(chain, this.bundle, this.revoked, wallMs()),
    };
  }
}

export function secrets(): RouterSecrets {
  return newSecrets(tools.suite);
}

export const monotonic = (): number => Number(process.hrtime.bigint());

export interface Router {
  readonly peers: Peers;
  readonly at: Address;
  readonly id: string;
  readonly lines: string[];
}

const running: Peers[] = [];

/** A router that listens on an address of the loopback. */
export async function router(
  mesh: TestMesh,
  node: string,
  {
    own = mesh.router(node),
    address = '127.0.0.1',
    ...options
  }: Partial<PeersOptions> & { own?: Credential | null; address?: string } = {},
): Promise<Router> {
  const lines: string[] = [];
  const peers = new Peers({
    credentials: mesh.credentials(() => own),
    log: new Log('info', (line) => lines.push(line)),
    now: monotonic,
    random: Math.random,
    ...options,
  });
  running.push(peers);
  peers.listen([{ address, port: 0 }]);
  await until(() => peers.ports()[0] !== null);
  return { peers, at: { address, port: peers.ports()[0]! }, id: own?.id ?? '', lines };
}

export function closeAll(): void {
  for (const peers of running.splice(0)) peers.close();
}

export async function until(condition: () => boolean, ms = 5000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
