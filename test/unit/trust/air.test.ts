/** Keys of the air: who makes the next one, that all agree on it, and that none that was cast out has one. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type AirKey, AirKeys, idOf, LAST_EPOCH, MOST_AIR_KEYS } from '../../../agent/trust/air/keys.ts';
import { Random } from '../../../agent/twin/random.ts';

const SECOND = 1e9;
const PERIOD = 3600 * SECOND;
/** Of a key that somebody was cast out under: nobody accepts it after this. */
const DROPPED = 6 * SECOND;

interface Member {
  readonly name: string;
  readonly key: string;
  readonly air: AirKeys;
  readonly revoked: Set<string>;
  readonly sessions: Set<Member>;
  /** Ids of all that it ever had. */
  readonly had: Set<string>;
  isMember: boolean;
}

/** Members with sessions, over which what is said takes its time. */
class Mesh {
  readonly all: Member[] = [];
  readonly random: Random;
  now = 0;
  made = 0;
  #queue: { at: number; run: () => void }[] = [];
  /** Looked at after each step. */
  watch: () => void = () => {};
  /** How long a message takes, at most. */
  delay = 0.3 * SECOND;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  add(name: string, isSteward = false): Member {
    const key = createHash('sha256').update(name).digest('hex');
    const air = new AirKeys({
      self: key,
      rotate: () => PERIOD,
      isSteward: () => isSteward,
      random: (length) => Uint8Array.from({ length }, () => Math.floor(this.random.unit() * 256)),
    });
    const member = {
      name,
      key,
      air,
      revoked: new Set<string>(),
      sessions: new Set<Member>(),
      had: new Set<string>(),
      isMember: true,
    };
    this.all.push(member);
    this.#settle(member);
    return member;
  }

  #settle(member: Member): void {
    member.air.settle(member.isMember, [...member.revoked], this.now);
    this.#note(member);
  }

  #note(member: Member): void {
    for (const { id } of member.air.keys()) member.had.add(id);
  }

  #later(run: () => void): void {
    this.#queue.push({ at: this.now + this.random.unit() * this.delay, run });
  }

  link(a: Member, b: Member): void {
    if (a.sessions.has(b) || !a.isMember || !b.isMember) return;
    a.sessions.add(b);
    b.sessions.add(a);
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      // What is revoked goes first, as the ledger's items do.
      for (const key of one.revoked) this.#tell(one, other, () => this.hear(other, key));
      for (const key of one.air.keys()) this.hand(one, other, key);
    }
  }

  cut(a: Member, b: Member): void {
    a.sessions.delete(b);
    b.sessions.delete(a);
  }

  #tell(from: Member, to: Member, run: () => void): void {
    this.#later(() => {
      if (from.sessions.has(to)) run();
    });
  }

  hand(from: Member, to: Member, key: AirKey): void {
    if (!from.air.isFor(key, to.key)) return;
    const { epoch, born, against } = key;
    const secret = Uint8Array.from(key.secret);
    const ageMs = (this.now - born) / 1e6;
    this.#tell(from, to, () => {
      if (!to.isMember || !to.air.take(epoch, secret, ageMs, against, this.now)) return;
      this.#note(to);
      const fresh = to.air.keys().find(({ id }) => id === idOf(secret))!;
      for (const other of to.sessions) if (other !== from) this.hand(to, other, fresh);
    });
  }

  /** One learns of a revocation, and tells it on. */
  hear(who: Member, key: string): void {
    if (who.revoked.has(key)) return;
    who.revoked.add(key);
    if (who.key === key) {
      who.isMember = false;
      for (const other of [...who.sessions]) this.cut(who, other);
    } else
      for (const other of [...who.sessions]) {
        this.#tell(who, other, () => this.hear(other, key));
        // Told last of all, with its session gone.
        if (other.key === key) this.cut(who, other);
      }
    this.#settle(who);
  }

  /** Starts anew with what was kept. */
  reboot(who: Member): void {
    for (const other of [...who.sessions]) this.cut(who, other);
    const kept = who.air.keys().map(({ epoch, secret, born, against }) => ({
      epoch,
      secret: Uint8Array.from(secret),
      ageMs: (this.now - born) / 1e6,
      against,
    }));
    who.air.settle(false, [], this.now);
    this.#settle(who);
    who.air.restore(kept, this.now);
  }

  pass(ns: number): void {
    const end = this.now + ns;
    for (;;) {
      this.#queue.sort((a, b) => a.at - b.at);
      const due = Math.min(this.#queue[0]?.at ?? Infinity, ...this.all.map(({ air }) => air.deadline()));
      if (due > end) break;
      this.now = Math.max(this.now, due);
      if ((this.#queue[0]?.at ?? Infinity) <= this.now) this.#queue.shift()!.run();
      for (const member of this.all) {
        if (member.air.deadline() > this.now) continue;
        const made = member.air.tick(this.now);
        if (made === null) continue;
        this.made += 1;
        this.#note(member);
        for (const other of member.sessions) this.hand(member, other, made);
      }
      this.watch();
    }
    this.now = end;
  }

  /** Whom nobody has revoked; who is may not have heard of it. */
  get members(): Member[] {
    const revoked = new Set(this.all.flatMap((one) => [...one.revoked]));
    return this.all.filter(({ isMember, key }) => isMember && !revoked.has(key));
  }

  /** All send under one key: now, or a moment later where they are just changing. */
  agreed(why: string): AirKey {
    for (let i = 0; i < 10 && new Set(this.members.map(({ air }) => air.sending?.id)).size > 1; i++) this.pass(SECOND);
    const ids = new Set(this.members.map(({ air }) => air.sending?.id));
    assert.equal(ids.size, 1, `${why}: ${[...ids]}`);
    const { sending } = this.members[0]!.air;
    assert.ok(sending !== null, why);
    return sending;
  }
}

function line(mesh: Mesh, count: number): Member[] {
  const all = Array.from({ length: count }, (_, i) => mesh.add(`r${i}`, i === 0));
  for (let i = 1; i < count; i++) mesh.link(all[i - 1]!, all[i]!);
  return all;
}

/** Whatever anybody sends is accepted by everybody who has a session with somebody. */
function nothingLost(mesh: Mesh): () => void {
  return () => {
    for (const from of mesh.members)
      for (const to of mesh.members) {
        const { sending } = from.air;
        if (sending === null || to.air.sending === null || from === to) continue;
        const ids = to.air.keys().map(({ id }) => id);
        assert.ok(ids.includes(sending.id), `${to.name} refuses what ${from.name} sends at ${mesh.now / SECOND} s`);
      }
  };
}

test('the first router makes the first key, and who comes later gets it with its first session', () => {
  const mesh = new Mesh(1);
  const first = mesh.add('attic', true);
  mesh.pass(5 * SECOND);
  assert.equal(first.air.sending?.epoch, 1);
  const late = mesh.add('hall');
  assert.equal(late.air.sending, null);
  mesh.pass(3 * SECOND);
  mesh.link(first, late);
  mesh.pass(SECOND);
  assert.equal(mesh.agreed('late joiner').epoch, 1);
  assert.equal(mesh.made, 1);
});

test('rotation: one router makes the key, all change to it, and at no moment is anybody’s word refused', () => {
  for (let seed = 1; seed <= 6; seed++) {
    const mesh = new Mesh(seed);
    line(mesh, 8);
    mesh.pass(60 * SECOND);
    const begun = mesh.agreed('begun');
    mesh.made = 0;
    mesh.watch = nothingLost(mesh);
    mesh.pass(10 * PERIOD);
    assert.ok(mesh.agreed('rotated').epoch >= begun.epoch + 9);
    assert.ok(mesh.made <= 12, `${mesh.made} keys made in ten periods`);
    for (const { air } of mesh.members) assert.ok(air.keys().length <= 3);
  }
});

test('revoked: within six seconds nobody accepts a key that it had, it never gets a new one, and no other word is lost', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const mesh = new Mesh(seed);
    mesh.delay = 0.15 * SECOND;
    const all = line(mesh, 7);
    for (let i = 0; i < 4; i++) mesh.link(mesh.random.pick(all), mesh.random.pick(all));
    for (const one of all) mesh.cut(one, one);
    mesh.pass(120 * SECOND);
    const before = mesh.agreed('before');
    const out = all[1 + Math.floor(mesh.random.unit() * 6)]!;
    // The others stay in touch.
    const rest = all.filter((one) => one !== out);
    for (let i = 1; i < rest.length; i++) mesh.link(rest[i - 1]!, rest[i]!);
    mesh.pass(SECOND);
    mesh.watch = nothingLost(mesh);
    mesh.hear(mesh.random.pick(rest), out.key);
    mesh.pass(DROPPED);
    const after = mesh.agreed('after');
    assert.ok(after.epoch > before.epoch && after.against.includes(out.key.slice(0, 16)));
    for (const { air, name } of mesh.members)
      for (const { id } of air.keys())
        assert.ok(!out.had.has(id), `${name} still accepts a key of ${out.name}, seed ${seed}`);
    mesh.pass(60 * SECOND);
    assert.equal(mesh.agreed('later').id, after.id);
  }
});

test('a key that was made without knowledge of a revocation does not stay, whoever has it', () => {
  const mesh = new Mesh(5);
  const [a, b, c] = line(mesh, 3) as [Member, Member, Member];
  mesh.pass(60 * SECOND);
  mesh.cut(b, c);
  mesh.hear(a, 'ee'.repeat(32));
  mesh.pass(10 * SECOND);
  // c, which has not heard of it, makes one of a higher epoch, twice over.
  for (const secret of [1, 2]) c.air.take(50 + secret, new Uint8Array(32).fill(secret), 0, [], mesh.now);
  mesh.pass(100 * SECOND);
  assert.equal(c.air.sending?.epoch, 52);
  mesh.link(b, c);
  mesh.pass(10 * SECOND);
  assert.ok(mesh.agreed('met').against.includes('ee'.repeat(8)));
  for (const { air } of mesh.members) assert.ok(air.keys().every(({ epoch }) => epoch < 50));
});

test('partitions, losses and revocations in any order: who has met agrees, and nothing that was cast out is accepted', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const mesh = new Mesh(seed);
    const { random } = mesh;
    const all = Array.from({ length: 3 + Math.floor(random.unit() * 7) }, (_, i) =>
      mesh.add(`s${seed} r${i}`, random.unit() < 0.3),
    );
    for (let step = 0; step < 40; step++) {
      const [a, b] = [random.pick(all), random.pick(all)];
      const roll = random.unit();
      if (a === b) continue;
      if (roll < 0.45) mesh.link(a, b);
      else if (roll < 0.7) mesh.cut(a, b);
      else if (roll < 0.75 && mesh.members.length > 2 && a.isMember && b.isMember) mesh.hear(a, b.key);
      else if (roll < 0.8 && a.isMember) mesh.reboot(a);
      mesh.pass(random.unit() < 0.2 ? random.unit() * 2 * PERIOD : random.unit() * 20 * SECOND);
    }
    const members = mesh.members;
    for (let i = 1; i < members.length; i++) mesh.link(members[i - 1]!, members[i]!);
    mesh.pass(120 * SECOND);
    if (mesh.members.length < 2) continue;
    const agreed = mesh.agreed(`seed ${seed}`);
    const revoked = new Set(mesh.members.flatMap((one) => [...one.revoked]));
    for (const one of mesh.members) {
      assert.deepEqual([...one.revoked].sort(), [...revoked].sort(), `seed ${seed}`);
      for (const key of one.air.keys())
        for (const out of mesh.all)
          if (revoked.has(out.key))
            assert.ok(!out.had.has(key.id), `seed ${seed}: ${out.name} had what ${one.name} accepts`);
    }
    mesh.watch = nothingLost(mesh);
    mesh.pass(2 * PERIOD);
    assert.ok(mesh.agreed('goes on').epoch > agreed.epoch, `seed ${seed}`);
  }
});

test('the same keys and revocations in whatever order give the same choice', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed);
    const names = ['aa', 'bb', 'cc'].map((two) => two.repeat(32));
    const keys = Array.from({ length: 6 }, (_, i) => ({
      epoch: 1 + Math.floor(random.unit() * 4),
      secret: new Uint8Array(32).fill(i + 1),
      against: names.filter(() => random.unit() < 0.7).map((key) => key.slice(0, 16)),
    }));
    keys.push({ epoch: 1, secret: new Uint8Array(32).fill(99), against: names.map((key) => key.slice(0, 16)) });
    const chosen = [1, 2, 3].map(() => {
      const air = new AirKeys({
        self: 'ff'.repeat(32),
        rotate: () => PERIOD,
        isSteward: () => false,
        random: () => assert.fail(),
      });
      const steps = [
        ...keys.map((key) => () => air.take(key.epoch, key.secret, 0, key.against, 1)),
        ...names.slice(0, 2).map((_, i) => () => air.settle(true, names.slice(0, i + 1), 1)),
      ];
      air.settle(true, [], 1);
      for (let i = steps.length - 1; i > 0; i--) {
        const j = Math.floor(random.unit() * (i + 1));
        [steps[i], steps[j]] = [steps[j]!, steps[i]!];
      }
      for (const step of steps) step();
      air.settle(true, names.slice(0, 2), 1);
      return air.keys()[0]?.id;
    });
    assert.equal(new Set(chosen).size, 1, `seed ${seed}`);
  }
});

test('what a member says may be anything: bounded, and never in the way of a key that is clean', () => {
  const mesh = new Mesh(9);
  const one = mesh.add('attic', true);
  mesh.pass(10 * SECOND);
  for (const epoch of [0, -1, 1.5, Number.NaN, LAST_EPOCH + 1, 2 ** 60])
    assert.equal(one.air.take(epoch, new Uint8Array(32).fill(3), 0, [], mesh.now), false, String(epoch));
  assert.equal(one.air.take(5, new Uint8Array(31), 0, [], mesh.now), false);
  for (let i = 0; i < 500; i++) one.air.take(1000 + i, Buffer.alloc(32, `${i}`), 1e18, [], mesh.now);
  assert.ok(one.air.keys().length <= MOST_AIR_KEYS);
  // The highest there is, from one that is cast out then: the next key counts all the same, and is made once.
  one.air.take(LAST_EPOCH, new Uint8Array(32).fill(7), -5, [], mesh.now);
  mesh.pass(3 * PERIOD);
  const before = mesh.made;
  mesh.hear(one, 'dd'.repeat(32));
  mesh.pass(10 * SECOND);
  assert.equal(mesh.made, before + 1);
  assert.deepEqual(one.air.sending?.against, ['dd'.repeat(8)]);
  assert.equal(one.air.keys().length, 1);
  // And the one after it, when it is old.
  mesh.pass(2 * PERIOD);
  assert.ok(mesh.made > before + 1, 'keys are changed for their age again');
  assert.ok(one.air.sending!.epoch < LAST_EPOCH);
});

test('a router that is out, or none, has no keys, and its secrets are overwritten', () => {
  const mesh = new Mesh(3);
  const one = mesh.add('attic', true);
  mesh.pass(10 * SECOND);
  const { secret } = one.air.sending!;
  assert.ok(secret.some((byte) => byte !== 0));
  one.air.settle(false, [], mesh.now);
  assert.deepEqual([one.air.keys(), one.air.sending, one.air.deadline()], [[], null, Number.POSITIVE_INFINITY]);
  assert.ok(secret.every((byte) => byte === 0));
});
