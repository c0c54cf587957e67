import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Nanos, SECOND } from '../../../agent/core/time.ts';
import { provider } from '../../../agent/host/openssl.ts';
import { type Announcement, Announcements, openAnnouncement, sealAnnouncement } from '../../../agent/peer/announce.ts';
import { Gate, MOST_VISITORS, Visitors } from '../../../agent/peer/gate.ts';
import type { Role } from '../../../agent/peer/proof.ts';
import { type Held, Roster } from '../../../agent/peer/roster.ts';
import { SecretBytes } from '../../../agent/trust/keys/secret.ts';

const at = (n: number) => ({ address: `fe80::${n}%bat0`, port: 7 });
const said = (id: string, originator = '', counter = 1): Announcement => ({
  id,
  port: 7,
  originator,
  epoch: 1,
  counter,
});
const roster = (self = 'm') =>
  new Roster(
    () => self,
    () => 0.5,
  );
const held = (link: number, id: string, role: Role, since: Nanos, over: Partial<Held> = {}): Held => ({
  link,
  id,
  role,
  since,
  target: null,
  tag: String(link),
  ...over,
});

test('configured addresses are dialled at once, and again ever later, but not later than a minute and a half', () => {
  const it = roster();
  it.configure([at(1)], 0);
  const pauses: number[] = [];
  let now = 0;
  for (let i = 0; i < 12; i++) {
    const due = it.deadline(now);
    pauses.push((due - now) / SECOND);
    now = due;
    const [target] = it.tick(now);
    assert.equal(target!.address, 'fe80::1%bat0');
    assert.deepEqual(it.tick(now), [], 'one attempt at a time');
    it.failed(target!.key, now);
  }
  assert.deepEqual(pauses.slice(0, 5), [0, 1, 2, 4, 8]);
  assert.equal(pauses.at(-1), 60);
});

test('retries are spread by chance', () => {
  const dues = [0, 0.3, 0.99].map((chance) => {
    const it = new Roster(
      () => 'm',
      () => chance,
    );
    it.configure([at(1)], 0);
    it.failed(it.tick(0)[0]!.key, 0);
    return it.deadline(0) / SECOND;
  });
  assert.deepEqual(
    dues.map((due) => Math.round(due * 100) / 100),
    [0.5, 0.8, 1.49],
  );
});

test('a place is new once, until it is forgotten; this router itself is none', () => {
  const it = roster('a');
  assert.equal(it.announced(said('b'), 'fe80::2%bat0', 0), true);
  assert.equal(it.announced(said('b'), 'fe80::2%bat0', SECOND), false);
  assert.equal(it.announced(said('c'), 'fe80::2%bat0', SECOND), false, 'another name for the same place');
  assert.equal(it.announced(said(''), 'fe80::3%bat0', SECOND), true);
  assert.equal(it.announced(said('a'), 'fe80::4%bat0', SECOND), false);
});

test('of two that found each other the first by name dials; the second only if nothing came of it', () => {
  const [first, second] = [roster('a'), roster('b')];
  first.announced(said('b'), 'fe80::2%bat0', 0);
  second.announced(said('a'), 'fe80::1%bat0', 0);
  assert.ok(first.deadline(0) <= 0.5 * SECOND);
  assert.ok(second.deadline(0) >= 3 * SECOND);
  assert.equal(first.tick(SECOND).length, 1);
});

test('in a large mesh neighbours are dialled, others when they are asked something', () => {
  const it = roster('a');
  for (let i = 0; i < 20; i++)
    it.announced(said(`r${i}`, `02:00:00:00:00:${(i + 16).toString(16)}`), `fe80::${i}%bat0`, 0);
  assert.deepEqual(it.tick(10 * SECOND), []);
  it.neighbours(new Set(['02:00:00:00:00:10']));
  assert.deepEqual(
    it.tick(10 * SECOND).map(({ id }) => id),
    ['r0'],
  );
  assert.equal(it.want('r5', 10 * SECOND), true);
  assert.equal(it.want('nobody', 10 * SECOND), false);
  assert.deepEqual(
    it.tick(10 * SECOND).map(({ id }) => id),
    ['r5'],
  );
});

test('targets are bounded, and forgotten when they are announced no more', () => {
  const it = roster('a');
  for (let i = 0; i < 5000; i++) it.announced(said(`r${i}`), `fe80::${i}%bat0`, i);
  assert.equal(it.isKnown('fe80::4999%bat0'), true);
  assert.equal(it.isKnown('fe80::1%bat0'), false);
  it.tick(400 * SECOND);
  assert.equal(it.isKnown('fe80::4999%bat0'), false);
});

/** What both ends keep, given the order in which each sees two sessions begin. */
function kept(
  sessions: readonly { link: number; by: 'a' | 'b' }[],
  order: { a: number[]; b: number[] },
): (number | undefined)[] {
  return (['a', 'b'] as const).map((self) => {
    const it = roster(self);
    const other = self === 'a' ? 'b' : 'a';
    for (const [i, link] of order[self].entries()) {
      const { by } = sessions.find((one) => one.link === link)!;
      it.opened(held(link, other, by === self ? 'initiator' : 'responder', i), i);
    }
    return it.sessionWith(other)?.link;
  });
}

test('of two sessions with the same router both ends keep the same one, in whatever order they see them', () => {
  for (const by of [
    ['a', 'b'],
    ['a', 'a'],
    ['b', 'b'],
  ] as const) {
    const sessions = by.map((one, i) => ({ link: i + 1, by: one }));
    const verdicts = [
      [1, 2],
      [2, 1],
    ].flatMap((a) =>
      [
        [1, 2],
        [2, 1],
      ].map((b) => kept(sessions, { a, b })),
    );
    const all = new Set(verdicts.flat());
    assert.equal(all.size, 1, `${by}: ${JSON.stringify(verdicts)}`);
  }
});

test('a session that comes long after another takes its place: the other end may have lost the first', () => {
  const it = roster('a');
  it.opened(held(1, 'b', 'initiator', 0), 0);
  assert.deepEqual(it.opened(held(2, 'b', 'responder', 60 * SECOND), 60 * SECOND), { keep: true, leave: [1] });
});

test('a router that reaches itself does not try again', () => {
  const it = roster('a');
  it.configure([at(1)], 0);
  const [target] = it.tick(0);
  assert.equal(it.opened(held(1, 'a', 'initiator', 0, { target: target!.key }), 0).keep, false);
  assert.equal(it.deadline(0), Number.POSITIVE_INFINITY);
});

test('after a session has ended it is dialled anew, soon', () => {
  const it = roster('a');
  it.configure([at(1)], 0);
  const [target] = it.tick(0);
  it.opened(held(1, 'b', 'initiator', 0, { target: target!.key }), 0);
  assert.deepEqual(it.tick(100 * SECOND), []);
  it.closed(1, 100 * SECOND);
  assert.ok(it.deadline(100 * SECOND) <= 102 * SECOND);
});

test('half-open connections: few, short-lived, and a flood displaces itself', () => {
  const gate = new Gate(0);
  const friend = gate.knock('fe80::1', true, 0).key!;
  let now = 0;
  for (let i = 0; i < 5000; i++) {
    now += SECOND / 100;
    gate.knock(`10.0.${i % 3}.1`, false, now);
    assert.ok(gate.size <= 81);
    if (now < 7 * SECOND) continue;
    gate.leave(friend);
    assert.notEqual(gate.knock('fe80::1', true, now).key, null, 'a known router still comes in');
    break;
  }
  assert.ok(gate.refused > 0);
  const before = gate.size;
  assert.equal(gate.tick(now + 9 * SECOND).length, before);
  assert.equal(gate.size, 0);
});

test('one address has a few half-open connections only, and its oldest goes first', () => {
  const gate = new Gate(0);
  const keys = Array.from({ length: 12 }, () => gate.knock('10.0.0.1', false, 0).key!);
  assert.deepEqual(gate.knock('10.0.0.1', false, 0).evicted, [keys[0]]);
});

const { primitives } = await provider();
const aead = primitives.chacha20Poly1305;
const key = new SecretBytes(Buffer.alloc(32, 1));
const nonce = Buffer.alloc(12, 2);

test('announcements: sealed, so that nothing of them can be read or made without the key', () => {
  const one = said('spiffe://x0tta6bl4.mesh/router/kitchen', '02:00:00:00:00:01');
  const datagram = sealAnnouncement(aead, key, nonce, one);
  assert.deepEqual(openAnnouncement(aead, key, datagram), one);
  assert.ok(!Buffer.from(datagram).includes('kitchen'));
  assert.equal(openAnnouncement(aead, new SecretBytes(Buffer.alloc(32, 9)), datagram), null);
  for (let i = 0; i < datagram.length; i++) {
    const broken = Uint8Array.from(datagram);
    broken[i]! ^= 1;
    assert.equal(openAnnouncement(aead, key, broken), null);
  }
  for (const length of [0, 1, 12, 13, 20])
    assert.equal(openAnnouncement(aead, key, datagram.subarray(0, length)), null);
});

test('announcements: an old one is ignored, and so is a flood', () => {
  const it = new Announcements(0);
  assert.equal(it.judge(said('a', '', 2), 'fe80::1', 0), 'first');
  assert.equal(it.judge(said('a', '', 2), 'fe80::1', 0), 'old');
  assert.equal(it.judge(said('a', '', 1), 'fe80::1', 0), 'old');
  assert.equal(it.judge(said('a', '', 3), 'fe80::1', 0), 'again');
  assert.equal(it.judge({ ...said('a', '', 1), epoch: 2 }, 'fe80::1', 0), 'again');
  assert.equal(it.judge(said('a', '', 1), 'fe80::1', 301 * SECOND), 'first');
  let opened = 0;
  for (let i = 0; i < 100_000; i++) if (it.affords(i * 1000)) opened++;
  assert.ok(opened < 400, `${opened} opened in a tenth of a second`);
});

test('who asks to be let in has a place: whoever holds several gives one, then whoever has had its time', () => {
  const visitors = new Visitors<string>();
  const arrives = (who: string, address: string, now: number) => visitors.arrive(who, address, now * SECOND);
  for (let i = 0; i < MOST_VISITORS; i++)
    assert.deepEqual(arrives(`flood ${i}`, 'flood', 0), { comes: true, turnedOut: null });
  assert.deepEqual(arrives('a', 'a', 0), { comes: true, turnedOut: 'flood 0' });
  assert.deepEqual(arrives('flood 4', 'flood', 0), { comes: true, turnedOut: 'flood 1' }, 'only its own go for it');
  for (const [who, out] of [
    ['b', 'flood 2'],
    ['c', 'flood 3'],
  ] as const)
    assert.deepEqual(arrives(who, who, 1), { comes: true, turnedOut: out });
  assert.deepEqual(arrives('d', 'd', 4), { comes: false, turnedOut: null }, 'each other address has one');
  assert.deepEqual(arrives('d', 'd', 5), { comes: true, turnedOut: 'a' });
  visitors.leave('flood 4');
  assert.deepEqual(arrives('e', 'e', 5), { comes: true, turnedOut: null });
});

test('with another certificate, what has failed is tried again at once, and nothing else is', () => {
  const it = new Roster(
    () => 'b',
    () => 0.5,
  );
  it.configure(
    [
      { address: 'x', port: 1 },
      { address: 'y', port: 1 },
    ],
    0,
  );
  for (let n = 0; n < 8; n++) {
    const now = it.deadline(0);
    for (const { key } of it.tick(now)) if (key === 'x 1') it.failed(key, now);
  }
  const later = it.deadline(0);
  it.anew(later - 30 * SECOND);
  assert.equal(it.deadline(0), later - 29.5 * SECOND);
  assert.deepEqual(
    it.tick(later).map(({ key }) => key),
    ['x 1'],
  );
});

test('a place is known by its configuration, its name or a proof; not by an announcement that anybody can make', () => {
  const it = new Roster(
    () => 'b',
    () => 0.5,
  );
  const said = { port: 1, originator: '', epoch: 1, counter: 1 } as const;
  it.configure([{ address: 'configured', port: 1 }], 0);
  it.announced({ ...said, id: 'a' }, 'named', 0);
  it.announced({ ...said, id: '' }, 'nameless', 0);
  const known = () => ['configured', 'named', 'nameless', 'nobody'].filter((address) => it.isKnown(address));
  assert.deepEqual(known(), ['configured', 'named']);
  it.provenAt('nameless');
  assert.deepEqual(known(), ['configured', 'named', 'nameless']);
  for (let n = 0; n < 256; n++) it.provenAt(`later ${n}`);
  assert.deepEqual(known(), ['configured', 'named'], 'so many are remembered');
});
