/**
 * What programs are given: X.509-SVIDs, made once an entry and renewed at half of their life; JWT-SVIDs, kept for half of
 * theirs; and bundles. A steward makes them itself, another router has one make them over its session.
 */
import { generateKeyPairSync } from 'node:crypto';
import { AgentError, invariant } from '../../core/errors.ts';
import { MS } from '../../core/time.ts';
import { readCertificate } from '../../trust/certificate/certificate.ts';
import type { Tools } from '../../trust/certificate/tools.ts';
import { Budgets } from '../../trust/membership/budget.ts';
import type { Vouching } from '../../trust/membership/words.ts';
import { type Entry, workloadId } from '../../workload/entry.ts';
import { verifyJwt, writeJwks } from '../../workload/jwt.ts';
import type { JwtSvid, X509Svid } from '../../workload/messages.ts';
import { type Given, vouch, type Wanted } from '../../workload/vouch.ts';

const MOST_TOKENS = 256;
/** New tokens for one entry, a second: a program that asks for ever other audiences leaves the others theirs. */
const TOKENS = { rate: 1, burst: 50 };
/** Milliseconds after which a steward that did not answer is asked again for what is still good. */
const RETRY_MS = 15_000;

export interface IssuingOptions {
  readonly tools: Tools;
  /** null while this router has no identity. */
  vouching(): Vouching | null;
  /** Asks another router, a steward. Rejects with an AgentError. */
  ask(wanted: Wanted): Promise<Given>;
  readonly x509LifeMs: number;
  readonly jwtLifeMs: number;
}

interface Made {
  readonly svid: X509Svid;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
  renewMs: number;
  /** What it was made under: another name or mesh, another certificate. */
  readonly under: string;
}

export class Issuing {
  readonly #options: IssuingOptions;
  readonly #made = new Map<string, Made>();
  readonly #making = new Map<string, Promise<Made>>();
  readonly #budgets = new Budgets(TOKENS);
  readonly #tokens = new Map<string, { readonly token: string; readonly renewMs: number }>();
  /** Counted since the start. */
  readonly issued = { x509: 0, jwt: 0 };

  constructor(options: IssuingOptions) {
    this.#options = options;
  }

  /** Of these entries, newer than before where it is time; with the bundle of now. Rejects with an AgentError. */
  async x509(entries: readonly Entry[]): Promise<X509Svid[]> {
    const made = await Promise.all(entries.map((entry) => this.#fresh(entry)));
    const bundle = Buffer.concat(this.#vouching().roots);
    return made.map(({ svid }) => ({ ...svid, bundle }));
  }

  /** Rejects with an AgentError. */
  async jwt(entries: readonly Entry[], audience: readonly string[], wanted: string): Promise<JwtSvid[]> {
    const { trustDomain, node } = this.#vouching();
    const ids = entries.map((entry) => ({ entry, id: workloadId(trustDomain, node, entry.path) }));
    const chosen = ids.filter(({ id }) => wanted === '' || id === wanted);
    if (chosen.length === 0) throw new AgentError('E_FORBIDDEN', 'no entry gives this program that identity');
    return Promise.all(
      chosen.map(async ({ entry, id }) => ({ id, token: await this.#token(id, entry, audience), hint: entry.hint })),
    );
  }

  /** Throws AgentError; E_SVID for one that does not hold. */
  validate(token: string, audience: string): ReturnType<typeof verifyJwt> {
    return verifyJwt(this.#options.tools.p256, token, audience, this.#vouching());
  }

  /** Throws AgentError. */
  bundles(kind: 'x509' | 'jwt'): Map<string, Uint8Array> {
    const { trustDomain, roots, keys } = this.#vouching();
    const bundle = kind === 'x509' ? Buffer.concat(roots) : Buffer.from(writeJwks(keys));
    return new Map([[`spiffe://${trustDomain}`, bundle]]);
  }

  /** Why nothing new can be given out; null where it can. */
  trouble(): string | null {
    const found = this.#options.vouching();
    if (found === null) return 'this router has no identity';
    return found.isReached ? null : 'no steward can be reached, and only a steward vouches for programs';
  }

  #vouching(): Vouching {
    const found = this.#options.vouching();
    if (found === null) throw new AgentError('E_NOT_FOUND', 'this router has no identity');
    return found;
  }

  async #vouch(wanted: Wanted): Promise<Given> {
    const { by, ...router } = this.#vouching();
    return by === null ? this.#options.ask(wanted) : vouch(this.#options.tools, by, wanted, router);
  }

  async #token(id: string, { name, path }: Entry, audience: readonly string[]): Promise<string> {
    const { wallMs } = this.#vouching();
    const key = JSON.stringify([id, audience]);
    const known = this.#tokens.get(key);
    if (known !== undefined && wallMs < known.renewMs) return known.token;
    if (!this.#budgets.take(name, performance.now() * MS))
      throw new AgentError('E_BUSY', 'this program asks for more tokens than anybody needs');
    const lifeMs = this.#options.jwtLifeMs;
    const { jwt } = await this.#vouch({ path, spki: new Uint8Array(), audience, lifeMs });
    // Nothing is given out that this router itself would not believe.
    const { id: proven, expiresMs } = this.validate(jwt, audience[0]!);
    if (proven !== id) throw new AgentError('E_SVID', 'a steward has made a token for somebody else');
    this.#tokens.delete(key);
    if (this.#tokens.size >= MOST_TOKENS) this.#tokens.delete(this.#tokens.keys().next().value!);
    this.#tokens.set(key, { token: jwt, renewMs: wallMs + (expiresMs - wallMs) / 2 });
    this.issued.jwt += 1;
    return jwt;
  }

  async #fresh(entry: Entry): Promise<Made> {
    const { trustDomain, node, wallMs } = this.#vouching();
    const under = [trustDomain, node, entry.path].join(' ');
    const last = this.#made.get(entry.name);
    const known = last?.under === under && wallMs < last.notAfter ? last : null;
    if (known !== null && wallMs < known.renewMs) return known;
    // All that wait for it get the same one.
    let making = this.#making.get(entry.name);
    if (making === undefined) {
      making = this.#make(entry, under).finally(() => this.#making.delete(entry.name));
      this.#making.set(entry.name, making);
    }
    if (known === null) return making;
    try {
      return await making;
    } catch {
      // What is still good goes on being so; whoever has it waits for the next.
      known.renewMs = wallMs + RETRY_MS;
      return known;
    }
  }

  async #make(entry: Entry, under: string): Promise<Made> {
    const { trustDomain, node, wallMs } = this.#vouching();
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const id = workloadId(trustDomain, node, entry.path);
    const lifeMs = this.#options.x509LifeMs;
    const { chain } = await this.#vouch({ path: entry.path, spki, audience: [], lifeMs });
    const leaf = readCertificate(chain[0] ?? new Uint8Array());
    if (leaf === null || leaf.uris[0] !== id || !spki.equals(leaf.spki))
      throw new AgentError('E_SVID', 'a steward has made a certificate for somebody else');
    const key = privateKey.export({ type: 'pkcs8', format: 'der' });
    const svid = { id, chain: Buffer.concat(chain), key, bundle: new Uint8Array(), hint: entry.hint };
    const { notAfter } = leaf;
    // The near end of its issuer must not make it new again and again.
    const made: Made = { svid, renewMs: wallMs + Math.max((notAfter - wallMs) / 2, 1000), notAfter, under };
    this.#made.set(entry.name, made);
    this.issued.x509 += 1;
    return made;
  }
}

/** Asks over a membership's sessions, and gives up on answers that do not come. */
export class Asking {
  readonly #send: (token: number, wanted: Wanted) => void;
  readonly #waiting = new Map<number, { resolve(given: Given): void; reject(error: AgentError): void }>();
  readonly #patienceMs: number;
  #token = 0;

  /** `send` throws AgentError. */
  constructor(send: (token: number, wanted: Wanted) => void, patienceMs = 8_000) {
    this.#send = send;
    this.#patienceMs = patienceMs;
  }

  ask(wanted: Wanted): Promise<Given> {
    const token = ++this.#token;
    return new Promise<Given>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(token);
        reject(new AgentError('E_BUSY', 'the steward does not answer'));
      }, this.#patienceMs).unref();
      this.#waiting.set(token, {
        resolve: (given) => {
          clearTimeout(timer);
          resolve(given);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      try {
        this.#send(token, wanted);
      } catch (thrown) {
        invariant(thrown instanceof AgentError, 'an AgentError');
        this.answered({ token, chain: [], jwt: '', message: thrown.message });
      }
    });
  }

  answered({ token, message, ...given }: Given & { readonly token: number; readonly message: string }): void {
    const one = this.#waiting.get(token);
    this.#waiting.delete(token);
    if (message === '') one?.resolve(given);
    else one?.reject(new AgentError('E_BUSY', message));
  }
}
