/** What the membership machine is told, what it answers, and what it shows of itself. */
import type { Level } from '../../core/effect.ts';
import type { Mac } from '../../core/ids.ts';
import type { Nanos } from '../../core/time.ts';
import type { Given } from '../../workload/vouch.ts';
import type { GateState, Outcast } from '../air/gate.ts';
import type { AirState, KeptAirKey } from '../air/keys.ts';
import type { Credential } from '../certificate/credential.ts';
import type { Authority } from '../certificate/issue.ts';
import type { Peer } from '../certificate/verify.ts';
import type { Invited } from '../join/invitation.ts';
import type { Revoked, Steward } from '../ledger/ledger.ts';

export interface TrustSettings {
  /** How long the certificates are good for that this router issues, in milliseconds. */
  readonly lifeMs: number;
  /** How long past its end one is believed while no steward can be reached. */
  readonly graceMs: number;
  /** How long a key of the air is in use. */
  readonly rotateNs: Nanos;
  /** Speak with routers without an identity under the mesh key too, until somebody is revoked. */
  readonly isMixed: boolean;
  /** Names the mesh key without giving it away, '' for none. */
  readonly meshKey: string;
}

/** Something that is kept across restarts. Plain text; none of it is secret. */
export interface Kept {
  readonly key: string;
  readonly value: string;
}

export type TrustEvent =
  /** First of all: what was kept. */
  | {
      readonly type: 'started';
      readonly wallMs: number;
      readonly kept: readonly Kept[];
      readonly air?: readonly KeptAirKey[];
      readonly invited?: readonly Invited[];
    }
  /** What the wall clock reads; once a minute, and when it was set. */
  | { readonly type: 'clock'; readonly wallMs: number }
  | { readonly type: 'tick' }
  /** A session with somebody whom `verify` believed. */
  | { readonly type: 'session-up'; readonly peer: Peer }
  /** It has shown a new certificate in a session that stands. */
  | { readonly type: 'session-renewed'; readonly peer: Peer }
  | { readonly type: 'session-down'; readonly key: string }
  | { readonly type: 'message'; readonly key: string; readonly bytes: Uint8Array }
  /** The addresses of this router's hard interfaces. */
  | { readonly type: 'addresses'; readonly addresses: readonly Mac[] }
  /** A frame that was sealed with a key of the air came from this address. */
  | { readonly type: 'proven'; readonly address: Mac }
  /** A router is heard that was not before, and may be in: a joining need not wait for its next attempt. */
  | { readonly type: 'chance' }
  /** Bytes of a joining. OWN is this router's; others name whoever speaks, for the answer. */
  | { readonly type: 'joining'; readonly conversation: string; readonly bytes: Uint8Array };

export type TrustEffect =
  /** Over the session with this key. */
  | { readonly type: 'send'; readonly key: string; readonly bytes: Uint8Array }
  /** `attempt` counts up from 1 for OWN: another one is better tried through another neighbour. */
  | { readonly type: 'join-send'; readonly conversation: string; readonly bytes: Uint8Array; readonly attempt: number }
  /** null forgets it. What is urgent is on the medium within a second. */
  | { readonly type: 'keep'; readonly key: string; readonly value: string | null; readonly isUrgent: boolean }
  /** What this router shows from now on; sessions that are open stay. null: it has nothing to show any more. */
  | { readonly type: 'credential'; readonly credential: Credential | null }
  /** From now on; null where this router has no identity. */
  | { readonly type: 'air'; readonly state: AirState | null }
  /** What is to be there after a restart, and nothing else. */
  | { readonly type: 'keep-air'; readonly keys: readonly KeptAirKey[] }
  /** As a steward: the invitations that are to be known after a restart, and no others. They are secret. */
  | { readonly type: 'keep-invitations'; readonly invited: readonly Invited[] }
  | { readonly type: 'gate'; readonly state: GateState }
  /** End the sessions with these keys. */
  | { readonly type: 'distrust'; readonly keys: readonly string[] }
  /** A session with one of these is wanted: fingerprints and names of stewards. */
  | { readonly type: 'reach'; readonly stewards: readonly Steward[] }
  /** What a steward answered to `vouchFor`, by its token; `message` says why not. */
  | ({ readonly type: 'vouched'; readonly token: number; readonly message: string } & Given)
  /** What was decided about somebody else, for the journal. */
  | {
      readonly type: 'decided';
      readonly what:
        | 'admitted'
        | 'not-admitted'
        | 'not-renewed'
        | 'revoked'
        | 'allowed'
        | 'not-allowed'
        | 'isolated'
        | 'let-in'
        | 'identity-given'
        | 'identity-taken-back';
      readonly who: string;
      readonly why: string;
    }
  | {
      readonly type: 'log';
      readonly level: Level;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

export interface Member {
  readonly key: string;
  readonly node: string;
  readonly notAfter: number;
  /** Fingerprint of the steward that said so. */
  readonly by: string;
}

export interface TrustView {
  readonly state: 'none' | 'joining' | 'member' | 'late' | 'ended' | 'revoked';
  readonly id: string | null;
  readonly key: string;
  readonly trustDomain: string | null;
  readonly isSteward: boolean;
  readonly notBefore: number | null;
  readonly notAfter: number | null;
  /** Milliseconds since 1970 by which this router goes, and whether a steward has confirmed its clock. */
  readonly nowMs: number;
  readonly clock: 'confirmed' | 'unconfirmed' | 'behind';
  readonly bundle: number | null;
  readonly stewards: readonly { readonly node: string; readonly notAfter: number; readonly isReached: boolean }[];
  readonly revoked: readonly Revoked[];
  readonly sessions: number;
  readonly openInvitations: number;
  /** The key of the air that is sent under, null for none; how many are accepted; whether the mesh key counts beside them. */
  readonly air: {
    readonly epoch: number | null;
    readonly keys: number;
    readonly ageNs: Nanos;
    readonly isMixed: boolean;
  };
  readonly outcasts: readonly Outcast[];
  readonly admitted: readonly Mac[];
  /** What members are called, by their addresses. */
  readonly names: ReadonlyMap<Mac, string>;
  /** In words; '' where all is well. */
  readonly trouble: string;
}

/** What this router can vouch for its programs with, and what they may believe. */
export interface Vouching {
  readonly trustDomain: string;
  readonly node: string;
  /** The roots of the trust bundle, DER. */
  readonly roots: readonly Uint8Array[];
  /** The classical keys of the stewards, which sign for programs. */
  readonly keys: readonly Uint8Array[];
  /** null where this router is no steward, and has to ask one. */
  readonly by: Authority | null;
  /** Whether it is one, or has a session with one. */
  readonly isReached: boolean;
  /** Milliseconds since 1970 by which this router goes. */
  readonly wallMs: number;
}

/** The conversation that is this router's own joining. */
export const OWN = 'own';
