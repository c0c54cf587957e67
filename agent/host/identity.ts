/**
 * This router's identity at work: the key file, the membership machine (agent/trust/membership) with its timer, and
 * what it keeps. A transport is attached when there is one; without, the machine waits.
 */
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { MS, type Nanos } from '../core/time.ts';
import type { GateState } from '../trust/air/gate.ts';
import type { AirState } from '../trust/air/keys.ts';
import type { Credential } from '../trust/certificate/credential.ts';
import type { Tools } from '../trust/certificate/tools.ts';
import type { Peer, Refused } from '../trust/certificate/verify.ts';
import type { Attestor } from '../trust/join/attest.ts';
import { newSecrets } from '../trust/keys/router.ts';
import { standardSuite } from '../trust/keys/suite.ts';
import { Membership } from '../trust/membership/membership.ts';
import type { Kept, TrustEffect, TrustEvent, TrustSettings } from '../trust/membership/words.ts';
import { readAirFile, writeAirFile } from './air-file.ts';
import { readInvitationFile, writeInvitationFile } from './invitation-file.ts';
import { createKeyFile, readKeyFile } from './key-file.ts';
import { type Provider, provider } from './openssl.ts';
import { p256 } from './p256.ts';

/** The wall clock is looked at so often, since nobody says when it was set. */
const LONGEST_SLEEP_MS = 60_000;

/** What carries the machine's bytes; all of it answers at once. */
export interface TrustTransport {
  send(key: string, bytes: Uint8Array): void;
  joinSend(conversation: string, bytes: Uint8Array, attempt: number): void;
  /** Ends the sessions with these keys. */
  distrust(keys: readonly string[]): void;
  /** A session with one of these stewards is wanted. */
  reach(stewards: readonly { readonly node: string; readonly fingerprint: string }[]): void;
  /** What this router shows from now on; sessions that are open stay. */
  credential(credential: Credential | null): void;
}

export interface IdentityOptions {
  /** Where the key file lies, and whether one is made where there is none. */
  readonly keyFile: string;
  /** Where the keys of the air are kept. */
  readonly airFile: string;
  /** Where a steward's invitations are kept. */
  readonly invitationFile: string;
  readonly create: boolean;
  readonly settings: TrustSettings;
  readonly attestors: readonly Attestor[];
  readonly kept: readonly Kept[];
  now(): Nanos;
  wall(): number;
  readonly log: Log;
  keep(key: string, value: string | null, isUrgent: boolean): void;
  decided(effect: TrustEffect & { type: 'decided' }): void;
}

export function keyFileIn(directory: string): string {
  return join(directory, 'identity.key');
}

/** Who hears which keys frames on the air are sealed with, and whose frames are let in. */
export interface AirListener {
  air(state: AirState | null): void;
  gate(state: GateState): void;
}

/** The tools of this Node, and which provider has what of them. */
export async function trustTools(): Promise<{ readonly tools: Tools; readonly inUse: Provider['inUse'] }> {
  const { primitives, inUse } = await provider();
  return { tools: { suite: standardSuite(primitives), p256, random: primitives.random }, inUse };
}

/** Throws E_KEY_FILE; with errno ENOENT where there is no key and none was to be made. */
export async function openIdentity(options: IdentityOptions): Promise<Identity> {
  const { tools, inUse } = await trustTools();
  let secrets: ReturnType<typeof readKeyFile>;
  try {
    secrets = readKeyFile(options.keyFile);
  } catch (thrown) {
    if (!options.create || !(thrown instanceof AgentError) || thrown.detail.errno !== 'ENOENT') throw thrown;
    secrets = newSecrets(tools.suite);
    createKeyFile(options.keyFile, secrets);
  }
  if (secrets.suite !== tools.suite.id)
    throw new AgentError(
      'E_SUITE',
      `${options.keyFile} is of suite ${secrets.suite}, this router speaks ${tools.suite.id}`,
    );
  return new Identity(options, inUse, tools, new Membership(tools, secrets, options.settings, options.attestors));
}

export class Identity {
  readonly #options: IdentityOptions;
  readonly inUse: Provider['inUse'];
  readonly tools: Tools;
  readonly machine: Membership;
  #credential: Credential | null = null;
  #transport: TrustTransport | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;
  #air: AirState | null = null;
  #gate: GateState = { admitted: [], isolated: [] };
  #listener: AirListener | null = null;
  #vouched: ((effect: TrustEffect & { type: 'vouched' }) => void) | null = null;

  constructor(options: IdentityOptions, inUse: Provider['inUse'], tools: Tools, machine: Membership) {
    this.#options = options;
    this.inUse = inUse;
    this.tools = tools;
    this.machine = machine;
    const air = readAirFile(options.airFile);
    const invited = readInvitationFile(options.invitationFile);
    this.feed({ type: 'started', wallMs: options.wall(), kept: options.kept, air, invited });
  }

  /** null while this router has no identity. */
  current(): Credential | null {
    return this.#credential;
  }

  verify(chain: readonly Uint8Array[]): Peer | Refused {
    return this.machine.verify(chain, this.#options.now());
  }

  attach(transport: TrustTransport): void {
    this.#transport = transport;
    transport.credential(this.#credential);
  }

  /** Who hears what stewards answer about programs. */
  onVouched(told: (effect: TrustEffect & { type: 'vouched' }) => void): void {
    this.#vouched = told;
  }

  /** Is told at once how things stand, and of each change. */
  onAir(listener: AirListener): void {
    this.#listener = listener;
    listener.air(this.#air);
    listener.gate(this.#gate);
  }

  feed(event: TrustEvent): void {
    this.carryOut(this.machine.on(event, this.#options.now()));
  }

  carryOut(effects: readonly TrustEffect[]): void {
    for (const effect of effects) {
      try {
        this.#carryOut(effect);
      } catch (thrown) {
        this.#options.log.error(`the identity's '${effect.type}' could not be carried out`, { why: String(thrown) });
      }
    }
    this.#sleep();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #carryOut(effect: TrustEffect): void {
    const transport = this.#transport;
    switch (effect.type) {
      case 'send':
        transport?.send(effect.key, effect.bytes);
        return;
      case 'join-send':
        transport?.joinSend(effect.conversation, effect.bytes, effect.attempt);
        return;
      case 'distrust':
        transport?.distrust(effect.keys);
        return;
      case 'reach':
        transport?.reach(effect.stewards);
        return;
      case 'credential':
        this.#credential = effect.credential;
        transport?.credential(effect.credential);
        return;
      case 'air':
        this.#air = effect.state;
        this.#listener?.air(effect.state);
        return;
      case 'keep-air':
        writeAirFile(this.#options.airFile, effect.keys);
        return;
      case 'keep-invitations':
        writeInvitationFile(this.#options.invitationFile, effect.invited);
        return;
      case 'gate':
        this.#gate = effect.state;
        this.#listener?.gate(effect.state);
        return;
      case 'keep':
        this.#options.keep(effect.key, effect.value, effect.isUrgent);
        return;
      case 'decided':
        this.#options.decided(effect);
        return;
      case 'vouched':
        this.#vouched?.(effect);
        return;
      case 'log':
        this.#options.log.at(effect.level, effect.message, effect.fields);
    }
  }

  #sleep(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#isClosed) return;
    const wait = Math.min(LONGEST_SLEEP_MS, Math.max(0, (this.machine.deadline() - this.#options.now()) / MS));
    this.#timer = setTimeout(() => {
      const isDue = this.machine.deadline() <= this.#options.now();
      this.feed(isDue ? { type: 'tick' } : { type: 'clock', wallMs: this.#options.wall() });
    }, Math.ceil(wait));
    this.#timer.unref();
  }
}
