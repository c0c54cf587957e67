import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { authorityKey } from '../../../agent/trust/certificate/credential.ts';
import { Verifier } from '../../../agent/trust/certificate/verify.ts';
import { fingerprint, newSecrets } from '../../../agent/trust/keys/router.ts';
import type { Loose } from '../../../agent/trust/ledger/item.ts';
import { Ledger } from '../../../agent/trust/ledger/ledger.ts';
import { makeBundle, makeOwner, makeRevocations, makeSteward } from '../../../agent/trust/ledger/owner.ts';
import { readStatement, sayRevocation } from '../../../agent/trust/ledger/statement.ts';
import { flipped } from './help.ts';
import { BEGIN, DAY, DOMAIN, tools } from './mesh.ts';

const WALL = { wallMs: BEGIN };
const ownerOf = () => makeOwner(tools, newSecrets(tools.suite), { trustDomain: DOMAIN, wallMs: BEGIN });
const owner = ownerOf();

function stewardOf(node: string) {
  const secrets = newSecrets(tools.suite);
  const identity = tools.suite.identityKey(secrets.identity);
  const { spki } = authorityKey(tools, secrets.identity, 'steward');
  const one = { node, spki, identity: identity.publicKey };
  return { node, identity, key: fingerprint(identity.publicKey), one, item: makeSteward(tools, owner, one, WALL) };
}

const [good, bad] = [stewardOf('good'), stewardOf('bad')];
const keyOf = (n: number) => n.toString(16).padStart(64, '0');

function revocation(by: typeof good, key: string, node: string, untilMs = BEGIN + 60 * DAY): Loose {
  return {
    kind: 'revocation',
    bytes: sayRevocation(by.identity, { domain: DOMAIN, key, node, at: BEGIN, until: untilMs }),
  };
}

const first = makeBundle(owner, 1, [owner]);

function ledger(): Ledger {
  const made = new Ledger(tools, new Verifier(tools));
  made.found(first.bytes, readStatement(first.bytes)!.signer.slice(0, 32));
  return made;
}

const ITEMS: readonly Loose[] = [
  good.item,
  bad.item,
  revocation(good, keyOf(1), 'one'),
  revocation(bad, keyOf(2), 'two'),
  revocation(bad, keyOf(1), 'one'),
  revocation(bad, good.key, 'good'),
  ...makeRevocations(owner, [bad], BEGIN),
  ...makeRevocations(owner, [{ key: keyOf(3), node: 'three' }], BEGIN),
];

test('whoever has seen the same believes the same, in whatever order it came', () => {
  const every = fc.shuffledSubarray([...ITEMS], { minLength: ITEMS.length });
  fc.assert(
    fc.property(every, (order) => {
      const one = ledger();
      // What could not be judged yet is told again, as neighbours do.
      for (let i = 0; i < 2; i++) for (const { kind, bytes } of order) one.take(kind, bytes, BEGIN);
      const revoked = one
        .revoked()
        .map(({ node }) => node)
        .sort();
      // Of the bad steward's word nothing counts, since the owner has revoked it.
      assert.deepEqual(revoked, ['bad', 'one', 'three']);
      assert.deepEqual(
        one.stewards().map(({ node }) => node),
        ['good'],
      );
      const other = ledger();
      for (const { kind, bytes } of one.items()) other.take(kind, bytes, BEGIN);
      assert.deepEqual(
        other
          .revoked()
          .map(({ key }) => key)
          .sort(),
        one
          .revoked()
          .map(({ key }) => key)
          .sort(),
      );
    }),
    { numRuns: 20 },
  );
});

test('what nobody who may has signed is refused, with its reason', () => {
  const one = ledger();
  const stranger = ownerOf();
  const refused = ({ kind, bytes }: Loose, why: RegExp) => {
    const outcome = one.take(kind, bytes, BEGIN);
    assert.ok(typeof outcome !== 'string', String(outcome));
    assert.match(outcome.refused, why);
  };
  refused(revocation(good, keyOf(1), 'one'), /neither a root nor a steward/);
  refused(makeBundle(stranger, 2, [stranger]), /no root that is believed/);
  refused(makeSteward(tools, stranger, good.one, WALL), /root of the trust bundle/);
  refused({ kind: 'bundle', bytes: good.item.bytes }, /malformed/);
  refused({ kind: 'revocation', bytes: new Uint8Array(60_000) }, /too large/);
  assert.throws(() => new Ledger(tools, new Verifier(tools)).found(first.bytes, 'ab'.repeat(8)), { code: 'E_SVID' });
  assert.equal(one.take(good.item.kind, good.item.bytes, BEGIN), 'new');
  assert.equal(one.take(good.item.kind, good.item.bytes, BEGIN), 'known');
  refused(revocation(good, keyOf(1), 'one', BEGIN + 500 * DAY), /kept too long/);
  // No Date holds it: whoever showed it to a person would fail.
  const at = 8.7e15;
  const body = { domain: DOMAIN, key: keyOf(1), node: 'one', at, until: at + DAY };
  refused({ kind: 'revocation', bytes: sayRevocation(good.identity, body) }, /malformed/);
  const valid = revocation(good, keyOf(1), 'one');
  fc.assert(
    fc.property(fc.nat(), (bit) => one.take('revocation', flipped(valid.bytes, bit), BEGIN) !== 'new'),
    { numRuns: 100 },
  );
});

test('a steward revokes so many, no steward and no root; what has ended is forgotten', () => {
  const one = ledger();
  one.take(good.item.kind, good.item.bytes, BEGIN);
  one.take(bad.item.kind, bad.item.bytes, BEGIN);
  const root = fingerprint(owner.authority.identity.publicKey);
  for (const key of [good.key, root]) {
    const { kind, bytes } = revocation(bad, key, 'x');
    one.take(kind, bytes, BEGIN);
    assert.ok(!one.has(key));
  }
  const outcomes = Array.from({ length: 40 }, (_, i) => revocation(bad, keyOf(i), `r${i}`)).map(({ kind, bytes }) =>
    one.take(kind, bytes, BEGIN),
  );
  assert.equal(outcomes.filter((one) => one === 'new').length, 30, 'the two that do not count are counted too');
  assert.equal(one.revoked().length, 30);
  one.prune(BEGIN + 61 * DAY);
  assert.deepEqual(one.revoked(), []);
  assert.equal(one.items().filter(({ kind }) => kind === 'revocation').length, 0);
});
