/** A captured steward fills its own share of what other stewards remember, and nobody else's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { surplus } from '../../../agent/trust/join/share.ts';
import { writeGossip } from '../../../agent/trust/membership/gossip.ts';
import { DAY, HOUR, Mesh, type Router } from './mesh.ts';

const digits = (n: number, length: number) => n.toString(16).padStart(length, '0');

/** Three stewards with sessions among all; the last is captured. */
function stewards(): { mesh: Mesh; one: Router; two: Router; bad: Router } {
  const mesh = new Mesh();
  const [one, two, bad] = [mesh.add('one'), mesh.add('two'), mesh.add('bad')];
  mesh.found(one);
  mesh.link(one, two, bad);
  mesh.link(two, bad);
  for (const [router, name] of [
    [two, 'two'],
    [bad, 'bad'],
  ] as const) {
    mesh.join(router, mesh.invite(one, name));
    mesh.makeSteward(router, one);
  }
  return { mesh, one, two, bad };
}

function hear(mesh: Mesh, to: Router, from: Router, said: Parameters<typeof writeGossip>[0]): void {
  mesh.tell(to, { type: 'message', key: mesh.keyOf(from), bytes: writeGossip(said) });
}

test('a flood of invitations, and of routers that came by some, leaves those of the others', () => {
  const { mesh, one, two, bad } = stewards();
  const own = mesh.invite(one, 'kitchen');
  const elsewhere = mesh.invite(two, 'shed');
  const used = mesh.invite(one, 'attic');
  const attic = mesh.add('attic');
  mesh.link(one, attic);
  mesh.join(attic, used);
  const untilMs = mesh.wallMs + HOUR;
  for (let n = 0; n < 1300; n++) {
    const [id, key] = [digits(n, 16), digits(n, 64)];
    hear(mesh, one, bad, { type: 'invited', id, secret: new Uint8Array(16).fill(1), node: '', untilMs });
    hear(mesh, one, bad, { type: 'issued', key, node: `n${n}`, untilMs, invitation: digits(n + 5000, 16) });
  }
  assert.equal(one.machine.view(mesh.now).openInvitations, 512 + 2);
  const names = new Set(one.machine.members().map(({ node }) => node));
  for (const name of ['two', 'bad', 'attic']) assert.ok(names.has(name), name);
  assert.equal(names.size, 4 + 1024);
  // Of what was used before it is still known by whom.
  const thief = mesh.add('thief');
  mesh.link(one, thief);
  mesh.join(thief, used);
  assert.match(thief.log.join('\n'), /used: attic has used this invitation already/);
  for (const [name, text] of [
    ['kitchen', own],
    ['shed', elsewhere],
  ] as const) {
    const router = mesh.add(name);
    mesh.link(one, router);
    mesh.join(router, text);
    assert.equal(router.credential?.id.split('/').at(-1), name);
  }
});

test('who tells of a member that is known already does not get it into a share of its own', () => {
  const { mesh, one, two, bad } = stewards();
  const shed = mesh.add('shed');
  mesh.link(two, shed);
  mesh.join(shed, mesh.invite(two, 'shed'));
  const key = mesh.keyOf(shed);
  hear(mesh, one, bad, { type: 'issued', key, node: 'shed', untilMs: mesh.wallMs + DAY, invitation: '' });
  for (let n = 0; n < 1100; n++) {
    const said = { key: digits(n, 64), node: `n${n}`, untilMs: mesh.wallMs + DAY, invitation: '' };
    hear(mesh, one, bad, { type: 'issued', ...said });
  }
  assert.ok(one.machine.members().some((member) => member.key === key));
});

test('what is kept is the same in whatever order it was told', () => {
  interface Word {
    readonly by: string;
    readonly name: string;
  }
  const bounds = { by: ({ by }: Word) => by, name: ({ name }: Word) => name, each: 5, all: 9 };
  const words: Word[] = ['a', 'b', 'c'].flatMap((by, i) =>
    Array.from({ length: [12, 4, 2][i]! }, (_, n) => ({ by, name: `${by}${digits(n * 7, 4)}` })),
  );
  const keep = (told: readonly Word[]) => {
    const kept: Word[] = [];
    for (const one of told) {
      kept.push(one);
      const extra = surplus(kept, bounds);
      if (extra !== null) kept.splice(kept.indexOf(extra), 1);
    }
    return kept.map(({ name }) => name).sort();
  };
  const first = keep(words);
  assert.deepEqual([first.length, first.filter((name) => name.startsWith('c')).length], [9, 2]);
  fc.assert(
    fc.property(fc.shuffledSubarray(words, { minLength: words.length }), (order) => {
      assert.deepEqual(keep(order), first);
    }),
    { numRuns: 200 },
  );
});
