/**
 * Joining: four messages between a router without an identity and a steward, over whatever carries bytes (a neighbour's
 * raw frames, relayed or not). Nothing of it is readable on its way, and the steward keeps no state for who only began.
 *
 *     hello      SEQUENCE { 1, method INTEGER, nonce OCTET STRING, agreement key }                  joiner → steward
 *     challenge  SEQUENCE { 2, offer, sealed { cookie, chain of the steward } }                     steward → joiner
 *     request    SEQUENCE { 3, offer, sealed { hello, cookie, keys, possession, evidence } }        joiner → steward
 *     answer     SEQUENCE { 4, sealed { chain, items } or sealed { reason, message } }              steward → joiner
 *
 * An offer is a key encapsulated to the other's hybrid agreement key; the sealed part is under a key derived from it. The
 * binding, which `possession` (a signature by the new identity key) and `evidence` (attest.ts) prove, is the transcript of
 * hello, cookie, the steward's certificate and the joiner's new keys. The cookie is the steward's MAC of hello and of the
 * minute, so a request that was recorded is worth nothing two minutes later, and nothing at another steward.
 */
import { createHmac } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import { leafKey } from '../certificate/credential.ts';
import { der, Malformed, Reader, sequence, TAG } from '../certificate/der.ts';
import { list, number, octets, orNull, readNumber, readText, text } from '../certificate/fields.ts';
import type { Tools } from '../certificate/tools.ts';
import { EMPTY } from '../keys/primitives.ts';
import { fingerprint, type RouterKeys, type RouterSecrets } from '../keys/router.ts';
import type { SecretBytes } from '../keys/secret.ts';
import type { AgreementKey, IdentityKey, Suite } from '../keys/suite.ts';
import { item, type Loose, readItem } from '../ledger/item.ts';
import { type Attested, type Attestor, equal, METHODS, type Method, MOST_EVIDENCE, type Prover } from './attest.ts';

const POSSESSION = 'join v1';
const COOKIE = 32;
const COOKIE_MS = 60_000;
/** No message of a joining is longer, in bytes. */
const MOST_JOIN_MESSAGE = 256 * 1024;

/** What a joiner got: still to be verified against the anchor. */
export interface Admission {
  readonly ok: true;
  readonly chain: readonly Uint8Array[];
  readonly items: readonly Loose[];
}

export interface Rejection {
  readonly ok: false;
  readonly reason: string;
  readonly message: string;
}

/** The joining side of one attempt. */
export class Joiner {
  readonly #tools: Tools;
  readonly #prover: Prover;
  readonly #agreement: AgreementKey;
  readonly #identity: IdentityKey;
  readonly #spki: Uint8Array;
  readonly hello: Uint8Array;
  /** What the leaf key is derived with (credential.ts). */
  readonly salt: Uint8Array;
  #answerKey: SecretBytes | null = null;

  constructor(tools: Tools, secrets: RouterSecrets, prover: Prover, keys: RouterKeys) {
    this.#tools = tools;
    this.#prover = prover;
    this.#agreement = keys.agreement;
    this.#identity = keys.identity;
    this.salt = tools.random(16);
    this.#spki = leafKey(tools, secrets.identity, this.salt).spki;
    this.hello = sequence(
      number(1),
      number(METHODS[prover.method]),
      der(TAG.octets, tools.random(16)),
      der(TAG.octets, this.#agreement.publicKey),
    );
  }

  /**
   * Answers the steward's challenge. `believe` looks at its chain before anything is proved to it, and throws E_SVID for
   * one that is not of the mesh. Throws E_SVID, E_SUITE, E_SEAL, E_KEY for what is no challenge.
   */
  request(
    challenge: Uint8Array,
    believe: (chain: readonly Uint8Array[]) => { readonly agreement: Uint8Array },
  ): Uint8Array {
    const { suite } = this.#tools;
    const outer = read(challenge, 2, (from) => ({ offer: from.take(TAG.octets), sealed: from.take(TAG.octets) }));
    const secret = this.#agreement.accept(outer.offer);
    const opened = unseal(suite, keyOf(suite, secret, [this.hello], 'challenge'), outer.sealed, (from) => ({
      cookie: from.take(TAG.octets),
      chain: octets(from),
    }));
    const { agreement } = believe(opened.chain);
    const { publicKey: identity } = this.#identity;
    const bound = binding(suite, {
      hello: this.hello,
      cookie: opened.cookie,
      steward: opened.chain[0] ?? EMPTY,
      identity,
      agreement: this.#agreement.publicKey,
      spki: this.#spki,
    });
    const body = sequence(
      der(TAG.octets, this.hello),
      der(TAG.octets, opened.cookie),
      der(TAG.octets, identity),
      der(TAG.octets, this.#spki),
      der(TAG.octets, this.#identity.sign(POSSESSION, bound)),
      der(TAG.octets, this.#prover.prove(bound)),
    );
    const { message, secret: second } = suite.offer(agreement);
    this.#answerKey = keyOf(suite, second, [bound], 'answer');
    const key = keyOf(suite, second, [], 'request');
    return sequence(number(3), der(TAG.octets, message), der(TAG.octets, suite.sealer(key).seal(body, EMPTY)));
  }

  /** Throws E_SVID, E_SEAL for what is no answer. */
  answer(bytes: Uint8Array): Admission | Rejection {
    if (this.#answerKey === null) throw bad('an answer before the request');
    const sealed = read(bytes, 4, (from) => from.take(TAG.octets));
    return unseal(this.#tools.suite, this.#answerKey, sealed, (from): Admission | Rejection => {
      if (readNumber(from) === 1) return { ok: false, reason: readText(from), message: readText(from) };
      const chain = octets(from);
      const list = from.enter(TAG.sequence);
      const items: Loose[] = [];
      while (!list.isAtEnd) items.push(readItem(list.enter(TAG.sequence)));
      return { ok: true, chain, items };
    });
  }
}

/** What a joiner asks for, when its proof holds. */
export interface Applicant {
  readonly identity: Uint8Array;
  readonly agreement: Uint8Array;
  readonly spki: Uint8Array;
  readonly method: Method;
  readonly evidence: Uint8Array;
  readonly attested: Attested & { readonly ok: true };
}

/** The steward's side, of all attempts: it keeps nothing between two messages. */
export class Admitter {
  readonly #tools: Tools;
  readonly #cookieKey: Uint8Array;
  readonly #attestors: ReadonlyMap<number, Attestor>;

  constructor(tools: Tools, attestors: readonly Attestor[]) {
    this.#tools = tools;
    this.#cookieKey = tools.random(32);
    this.#attestors = new Map(attestors.map((one) => [METHODS[one.method], one]));
  }

  /** null for what is no hello. `chain` is the steward's own. */
  challenge(hello: Uint8Array, chain: readonly Uint8Array[], wallMs: number): Uint8Array | null {
    const { suite } = this.#tools;
    const asked = readHello(hello);
    if (asked === null) return null;
    try {
      const { message, secret } = suite.offer(asked.agreement);
      const body = sequence(der(TAG.octets, this.#cookie(hello, wallMs)), list(chain));
      const key = keyOf(suite, secret, [hello], 'challenge');
      return sequence(number(2), der(TAG.octets, message), der(TAG.octets, suite.sealer(key).seal(body, EMPTY)));
    } catch (thrown) {
      if (thrown instanceof AgentError) return null;
      throw thrown;
    }
  }

  /**
   * Looks at a request. null for what does not open. Else `decide` says what the applicant gets, or why not, and the
   * answer to send comes back.
   */
  answer(
    request: Uint8Array,
    own: { readonly agreement: AgreementKey; readonly chain: readonly Uint8Array[] },
    wallMs: number,
    decide: (applicant: Applicant) => Admission | Rejection,
  ): { readonly bytes: Uint8Array; readonly outcome: Admission | Rejection } | null {
    const { suite } = this.#tools;
    try {
      const outer = read(request, 3, (from) => ({ offer: from.take(TAG.octets), sealed: from.take(TAG.octets) }));
      const secret = own.agreement.accept(outer.offer);
      const said = unseal(suite, keyOf(suite, secret, [], 'request'), outer.sealed, (from) => ({
        hello: from.take(TAG.octets),
        cookie: from.take(TAG.octets),
        identity: from.take(TAG.octets),
        spki: from.take(TAG.octets),
        possession: from.take(TAG.octets),
        evidence: from.take(TAG.octets),
      }));
      const hello = readHello(said.hello);
      if (hello === null) return null;
      const { agreement } = hello;
      const bound = binding(suite, { ...said, agreement, steward: own.chain[0] ?? EMPTY });
      const outcome = this.#look({ ...said, agreement, method: hello.method }, bound, wallMs, decide);
      const body = outcome.ok
        ? sequence(number(0), list(outcome.chain), sequence(...outcome.items.map(item)))
        : sequence(number(1), text(outcome.reason), text(outcome.message.slice(0, 250)));
      const key = keyOf(suite, secret, [bound], 'answer');
      return { bytes: sequence(number(4), der(TAG.octets, suite.sealer(key).seal(body, EMPTY))), outcome };
    } catch (thrown) {
      if (thrown instanceof AgentError) return null;
      throw thrown;
    }
  }

  #look(
    said: {
      readonly [key in 'hello' | 'cookie' | 'identity' | 'agreement' | 'spki' | 'possession' | 'evidence']: Buffer;
    } & {
      readonly method: number;
    },
    bound: Uint8Array,
    wallMs: number,
    decide: (applicant: Applicant) => Admission | Rejection,
  ): Admission | Rejection {
    const { identity, agreement, spki, evidence } = said;
    const isFresh = [0, 1].some((before) => equal(this.#cookie(said.hello, wallMs - before * COOKIE_MS), said.cookie));
    if (!isFresh) return { ok: false, reason: 'expired', message: 'the request is too old, or for another steward' };
    if (!this.#tools.suite.verify(identity, POSSESSION, bound, said.possession))
      return { ok: false, reason: 'bad-proof', message: 'the new key did not sign the request' };
    const attestor = this.#attestors.get(said.method);
    if (attestor === undefined) return { ok: false, reason: 'method', message: 'this steward does not admit that way' };
    if (evidence.length > MOST_EVIDENCE) return { ok: false, reason: 'malformed', message: 'the proof is too long' };
    const attested = attestor.check(evidence, bound, fingerprint(identity), wallMs);
    if (!attested.ok) return attested;
    return decide({ identity, agreement, spki, method: attestor.method, evidence, attested });
  }

  #cookie(hello: Uint8Array, wallMs: number): Uint8Array {
    const minute = String(Math.floor(wallMs / COOKIE_MS));
    return createHmac('sha256', this.#cookieKey).update(minute).update(hello).digest().subarray(0, COOKIE);
  }
}

/** Whether these are the bytes of a message of so many of a joining; 1 is the first. */
export function isJoinMessage(bytes: Uint8Array, which: 1 | 2 | 3 | 4): boolean {
  if (bytes.length > MOST_JOIN_MESSAGE) return false;
  return orNull(() => readNumber(new Reader(bytes).enter(TAG.sequence)) === which) ?? false;
}

function readHello(bytes: Uint8Array): { readonly method: number; readonly agreement: Buffer } | null {
  return orNull(() => {
    const outer = new Reader(bytes);
    const from = outer.enter(TAG.sequence);
    outer.end();
    if (readNumber(from) !== 1) throw new Malformed('no hello');
    const method = readNumber(from);
    if (from.take(TAG.octets).length !== 16) throw new Malformed('a nonce of another length');
    const agreement = from.take(TAG.octets);
    from.end();
    return { method, agreement };
  });
}

function binding(
  suite: Suite,
  said: { readonly [key in 'hello' | 'cookie' | 'steward' | 'identity' | 'agreement' | 'spki']: Uint8Array },
): Uint8Array {
  const transcript = suite.transcript();
  for (const name of ['hello', 'cookie', 'steward', 'identity', 'agreement', 'spki'] as const)
    transcript.add(`join ${name}`, said[name]);
  return transcript.digest();
}

function keyOf(suite: Suite, secret: SecretBytes, said: readonly Uint8Array[], use: string): SecretBytes {
  const transcript = suite.transcript();
  for (const one of said) transcript.add('said', one);
  return suite.derive(secret, transcript, `join ${use}`);
}

function unseal<T>(suite: Suite, key: SecretBytes, sealed: Uint8Array, work: (from: Reader) => T): T {
  const { text: plain } = suite.open(key, sealed, EMPTY);
  return whole(plain, work);
}

function read<T>(bytes: Uint8Array, which: number, work: (from: Reader) => T): T {
  return whole(bytes, (from) => {
    if (readNumber(from) !== which) throw new Malformed('another message');
    return work(from);
  });
}

function whole<T>(bytes: Uint8Array, work: (from: Reader) => T): T {
  const done = orNull(() => {
    const outer = new Reader(bytes);
    const from = outer.enter(TAG.sequence);
    outer.end();
    const answer = { value: work(from) };
    from.end();
    return answer;
  });
  if (done === null) throw bad('a message of a joining is malformed');
  return done.value;
}

function bad(message: string): AgentError {
  return new AgentError('E_SVID', message);
}
