/** What programs are given: X.509-SVIDs made once an entry and renewed at half of their life, JWT-SVIDs, and bundles. */
import { generateKeyPairSync } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import { issueWorkload, type Tools } from '../../trust/svid.ts';
import type { Vouching } from '../../trust/words.ts';
import { type Entry, workloadId } from '../../workload/entry.ts';
import { verifyJwt, writeJwks, writeJwt } from '../../workload/jwt.ts';
import type { JwtSvid, X509Svid } from '../../workload/messages.ts';

export interface IssuingOptions {
  readonly tools: Tools;
  /** null while this router has no identity. */
  vouching(): Vouching | null;
  readonly x509LifeMs: number;
  readonly jwtLifeMs: number;
}

interface Made {
  readonly svid: X509Svid;
  /** Milliseconds since 1970. */
  readonly renewMs: number;
  readonly notAfter: number;
  /** What it was made under: another name, mesh or issuer, another certificate. */
  readonly under: string;
}

export class Issuing {
  readonly #options: IssuingOptions;
  readonly #made = new Map<string, Made>();
  /** Counted since the start. */
  issued = { x509: 0, jwt: 0 };

  constructor(options: IssuingOptions) {
    this.#options = options;
  }

  /** Changes whenever what the streams have sent is out of date. Throws AgentError where there is nothing to send. */
  version(entries: readonly Entry[], kind: 'x509' | 'bundles' | 'jwks'): string {
    const { trustDomain, roots, keys } = this.#vouching();
    if (kind === 'jwks') return writeJwks(keys);
    const bundle = `${trustDomain} ${joined(roots).toString('base64')}`;
    if (kind === 'bundles') return bundle;
    return [bundle, ...entries.map((entry) => `${entry.name} ${this.#fresh(entry).notAfter}`)].join('\n');
  }

  /** Throws AgentError. */
  x509(entries: readonly Entry[]): X509Svid[] {
    const bundle = joined(this.#vouching().roots);
    return entries.map((entry) => ({ ...this.#fresh(entry).svid, bundle }));
  }

  /** Throws AgentError. */
  jwt(entries: readonly Entry[], audience: readonly string[], wanted: string): JwtSvid[] {
    const { by, trustDomain, node, wallMs } = this.#vouching();
    if (by === null) throw noSteward();
    const ids = entries.map((entry) => ({ entry, id: workloadId(trustDomain, node, entry.path) }));
    const chosen = ids.filter(({ id }) => wanted === '' || id === wanted);
    if (chosen.length === 0) throw new AgentError('E_FORBIDDEN', 'no entry gives this program that identity');
    this.issued.jwt += chosen.length;
    return chosen.map(({ entry, id }) => ({
      id,
      token: writeJwt({ id, audience, wallMs, lifeMs: this.#options.jwtLifeMs }, by.key),
      hint: entry.hint,
    }));
  }

  /** Throws AgentError; E_SVID for one that does not hold. */
  validate(token: string, audience: string): ReturnType<typeof verifyJwt> {
    return verifyJwt(this.#options.tools.p256, token, audience, this.#vouching());
  }

  bundles(kind: 'x509' | 'jwt'): Map<string, Uint8Array> {
    const { trustDomain, roots, keys } = this.#vouching();
    return new Map([[`spiffe://${trustDomain}`, kind === 'x509' ? joined(roots) : Buffer.from(writeJwks(keys))]]);
  }

  /** Why nothing can be given out now; null where it can. */
  trouble(): string | null {
    const found = this.#options.vouching();
    if (found === null) return 'this router has no identity';
    return found.by === null ? noSteward().message : null;
  }

  #vouching(): Vouching {
    const found = this.#options.vouching();
    if (found === null) throw new AgentError('E_NOT_FOUND', 'this router has no identity');
    return found;
  }

  #fresh(entry: Entry): Made {
    const vouching = this.#vouching();
    const { by, trustDomain, node, wallMs } = vouching;
    const known = this.#made.get(entry.name);
    const under = [trustDomain, node, by?.certificate.serial, entry.path].join(' ');
    if (known !== undefined && known.under === under && wallMs < known.renewMs) return known;
    if (by === null) throw noSteward();
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const id = workloadId(trustDomain, node, entry.path);
    const name = entry.path.slice(-64);
    const lifeMs = this.#options.x509LifeMs;
    const chain = issueWorkload(this.#options.tools, by, { id, name, spki }, { wallMs, lifeMs });
    const notAfter = Math.min(wallMs + lifeMs, by.certificate.notAfter);
    const svid = {
      id,
      chain: joined(chain),
      key: privateKey.export({ type: 'pkcs8', format: 'der' }),
      bundle: joined(vouching.roots),
      hint: entry.hint,
    };
    // The end of its issuer must not make it new again and again.
    const renewMs = wallMs + Math.max((notAfter - wallMs) / 2, 1000);
    const made: Made = { svid, renewMs, notAfter, under };
    this.#made.set(entry.name, made);
    this.issued.x509 += 1;
    return made;
  }
}

function joined(parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}

function noSteward(): AgentError {
  return new AgentError('E_BUSY', 'this router is no steward, and only a steward vouches for programs so far');
}
