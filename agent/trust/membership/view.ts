/** What membership shows of itself: to people, and to the programs that this router vouches for. */
import type { Nanos } from '../../core/time.ts';
import { readCertificate } from '../certificate/certificate.ts';
import { EMPTY } from '../keys/primitives.ts';
import type { Air } from './air.ts';
import type { Joining } from './joining.ts';
import type { OwnCertificate } from './own.ts';
import type { Router } from './router.ts';
import type { Sessions } from './sessions.ts';
import type { Stewardship } from './stewardship.ts';
import type { TrustView, Vouching } from './words.ts';

/** A steward's own certificate is for the owner to renew, who wants to be told early. */
const STEWARD_ENDS_MS = 30 * 24 * 3_600_000;

export interface Parts {
  readonly router: Router;
  readonly sessions: Sessions;
  readonly own: OwnCertificate;
  readonly joining: Joining;
  readonly stewardship: Stewardship;
  readonly air: Air;
}

export function viewOf(parts: Parts, now: Nanos): TrustView {
  const { router, sessions, own, joining, stewardship, air } = parts;
  const { key, ledger, calendar } = router;
  const mine = own.credential;
  const nowMs = calendar.now(now);
  const without = ledger.has(key) ? 'revoked' : joining.isUnderWay ? 'joining' : 'none';
  const kept = own.state(nowMs);
  const state = kept === null || (kept === 'ended' && joining.isAskedFor) ? without : kept;
  return {
    state,
    id: mine?.id ?? null,
    key,
    trustDomain: ledger.bundle?.trustDomain ?? null,
    isSteward: stewardship.authority !== null,
    notBefore: mine?.notBefore ?? null,
    notAfter: mine?.notAfter ?? null,
    nowMs,
    clock: calendar.isSure ? 'confirmed' : calendar.isBehind(now) ? 'behind' : 'unconfirmed',
    bundle: ledger.bundle?.sequence ?? null,
    stewards: ledger.stewards().map(({ node, notAfter, fingerprint }) => ({
      node,
      notAfter,
      isReached: fingerprint === key || sessions.has(fingerprint),
    })),
    revoked: ledger.revoked(),
    sessions: sessions.size,
    openInvitations: stewardship.openInvitations(),
    ...air.view(now),
    trouble: troubleOf(parts, state, now),
  };
}

function troubleOf({ router, own, joining, stewardship }: Parts, state: TrustView['state'], now: Nanos): string {
  if (state === 'revoked')
    return 'this router was revoked: it comes back with new keys (stop the agent, remove identity.key) and an invitation';
  if (state === 'ended') {
    const last = joining.trouble === '' ? '' : `; the last attempt: ${joining.trouble}`;
    return `the certificate has ended and so has its grace: x0ctl join takes a new invitation${last}`;
  }
  if (state === 'late') return 'the certificate has ended and no steward renews it: it is believed for its grace only';
  if (own.graceMs(now) > 0) return 'no steward has renewed the certificate in time';
  const ends = stewardship.authority?.certificate.notAfter ?? Number.POSITIVE_INFINITY;
  if (ends < router.calendar.now(now) + STEWARD_ENDS_MS)
    return `this steward may admit and renew until ${new Date(ends).toISOString()} only: x0ctl mesh steward self`;
  return joining.trouble;
}

/** What programs on this router rest on (agent/workload); null while this router has no identity of its own. */
export function vouchingOf({ router, sessions, own, stewardship }: Parts, now: Nanos): Vouching | null {
  const { ledger, calendar } = router;
  const { bundle } = ledger;
  if (bundle === null || own.credential === null) return null;
  const wallMs = calendar.now(now);
  const keys = ledger.stewards().flatMap(({ fingerprint }) => {
    const steward = readCertificate(ledger.certificateOf(fingerprint) ?? EMPTY);
    return steward === null || steward.notAfter < wallMs ? [] : [steward.spki];
  });
  return {
    trustDomain: bundle.trustDomain,
    node: own.nodeName(),
    roots: bundle.roots.map(({ der }) => der),
    keys,
    by: stewardship.authority,
    isReached: stewardship.authority !== null || sessions.stewards().length > 0,
    wallMs,
  };
}
