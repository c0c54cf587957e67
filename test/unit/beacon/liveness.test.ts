/** Liveness as a table: what happens when, and what a tick then finds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Liveness } from '../../../agent/beacon/liveness.ts';
import { MS } from '../../../agent/core/time.ts';

const OPTIONS = { suspectNs: 1000 * MS, overdueNs: 100 * MS, askNs: 400 * MS, paceNs: 20 * MS };

/** Ticks at its deadlines until `until`; answers when who was asked, and when declared silent. */
function run(liveness: Liveness, until: number): { asked: number[]; silent: number[] } {
  const asked: number[] = [];
  const silent: number[] = [];
  for (let at = liveness.deadline(); at <= until * MS; at = liveness.deadline()) {
    const found = liveness.tick(at);
    for (const _ of found.ask) asked.push(at / MS);
    for (const _ of found.silent) silent.push(at / MS);
  }
  return { asked, silent };
}

function alive(): Liveness {
  const liveness = new Liveness(OPTIONS);
  liveness.beacon('a', 0, 500 * MS);
  return liveness;
}

test('silence is asked about when it is suspicious, and declared when nothing answers', () => {
  const { asked, silent } = run(alive(), 5000);
  assert.equal(asked[0], 1000);
  assert.equal(asked.length, 20);
  assert.deepEqual(silent, [1400]);
});

test('who does not answer at once is nothing odd, who does not answer for a while is', () => {
  const liveness = alive();
  const odd = [1000, 1020, 1040, 1060, 1080].map((ms) => liveness.tick(ms * MS).isOdd);
  assert.deepEqual(odd, [false, false, false, true, true]);
  liveness.sign('a', 1090 * MS);
  assert.equal(liveness.tick(2090 * MS).isOdd, false);
});

test('a beacon that was announced for later is waited for', () => {
  const liveness = new Liveness(OPTIONS);
  liveness.beacon('a', 0, 2000 * MS);
  assert.equal(run(liveness, 5000).asked[0], 2100);
});

test('any sign of life puts it off, before the questions and among them', () => {
  const liveness = alive();
  liveness.sign('a', 900 * MS);
  assert.equal(liveness.deadline(), 1900 * MS);
  assert.deepEqual(run(liveness, 1950).asked, [1900, 1920, 1940]);
  liveness.sign('a', 1955 * MS);
  assert.equal(liveness.state('a'), 'alive');
  assert.equal(liveness.suspicions, 1);
  assert.deepEqual(run(liveness, 2900), { asked: [], silent: [] });
});

test('a sign from before the silence, or of somebody unknown, is none', () => {
  const liveness = alive();
  liveness.beacon('a', 500 * MS, 1000 * MS);
  liveness.sign('a', 400 * MS);
  liveness.sign('b', 400 * MS);
  assert.equal(liveness.deadline(), 1500 * MS);
  assert.equal(liveness.state('b'), null);
});

test('one lucky frame brings nobody back, three do', () => {
  const liveness = alive();
  run(liveness, 1500);
  assert.equal(liveness.state('a'), 'silent');
  assert.equal(liveness.sign('a', 1600 * MS), false);
  assert.equal(liveness.sign('a', 1700 * MS), false);
  assert.equal(liveness.state('a'), 'silent');
  assert.equal(liveness.sign('a', 1800 * MS), true);
  assert.equal(liveness.state('a'), 'alive');
});

test('a tick that comes late lets the frames in first that came meanwhile', () => {
  const liveness = alive();
  assert.deepEqual(liveness.tick(1300 * MS), { ask: [], look: [], isOdd: false, isBlind: false, silent: [] });
  assert.equal(liveness.deadline(), 1310 * MS);
  assert.deepEqual(liveness.tick(1310 * MS).ask, ['a']);
});

test('who was held up while asking asks on before anything is said', () => {
  const liveness = alive();
  assert.equal(run(liveness, 1080).asked.length, 5);
  // 420 ms without a tick: half of the twenty questions are still wanted, 20 ms apart.
  liveness.tick(1500 * MS);
  const { asked, silent } = run(liveness, 5000);
  assert.deepEqual(asked, [1520, 1540, 1560, 1580]);
  assert.deepEqual(silent, [1600]);
});

for (const what of ['station-gone', 'packets-lost'] as const)
  test(`word of '${what}' has it asked at once, and not declared`, () => {
    const liveness = alive();
    assert.equal(liveness.evidence('a', what, 200 * MS, 200 * MS), false);
    const { asked, silent } = run(liveness, 250);
    assert.deepEqual([asked[0], silent.length], [200, 0]);
    liveness.sign('a', 251 * MS);
    assert.equal(liveness.state('a'), 'alive');
  });

test("the kernel's deadline has it asked at once, unless more has been heard than the kernel saw", () => {
  const liveness = alive();
  liveness.evidence('a', 'deadline', 900 * MS, 900 * MS);
  assert.equal(liveness.state('a'), 'alive');
  liveness.evidence('a', 'deadline', 999.5 * MS, 999.5 * MS);
  assert.equal(liveness.state('a'), 'suspected');
  assert.deepEqual(liveness.tick(999.5 * MS).ask, ['a']);
  assert.equal(run(liveness, 5000).silent.length, 1);
});

test('where the kernel sees its frames it is asked before anybody is suspected', () => {
  const liveness = alive();
  liveness.evidence('a', 'heard', 400 * MS, 400 * MS);
  assert.deepEqual(liveness.tick(1400 * MS), { ask: [], look: ['a'], isOdd: false, isBlind: false, silent: [] });
  liveness.evidence('a', 'heard', 1300 * MS, 1400 * MS);
  assert.equal(liveness.suspicions, 0);
  assert.equal(liveness.deadline(), 2300 * MS);
  // It has seen no more: two milliseconds are all that this costs.
  assert.deepEqual(liveness.tick(2300 * MS).look, ['a']);
  liveness.evidence('a', 'heard', 1300 * MS, 2300 * MS);
  assert.deepEqual(liveness.tick(2302 * MS).ask, ['a']);
});

test('a frame that the kernel saw is a sign of life', () => {
  const liveness = alive();
  liveness.evidence('a', 'heard', 800 * MS, 801 * MS);
  assert.equal(liveness.deadline(), 1800 * MS);
});

test('many at once: bounded in a tick, and each is asked often enough before it is declared', () => {
  const liveness = new Liveness(OPTIONS);
  for (let i = 0; i < 200; i++) liveness.beacon(String(i), 0, 500 * MS);
  const asked = new Map<string, number>();
  for (let at = liveness.deadline(); at < 5000 * MS; at = Math.max(liveness.deadline(), at + MS)) {
    const { ask, silent } = liveness.tick(at);
    assert.ok(ask.length <= 32, `${ask.length} in one tick`);
    for (const key of ask) asked.set(key, (asked.get(key) ?? 0) + 1);
    for (const { key } of silent) assert.ok(asked.get(key)! >= 10, `${key} asked ${asked.get(key)} times`);
    if (!Number.isFinite(liveness.deadline())) break;
  }
  for (let i = 0; i < 200; i++) assert.equal(liveness.state(String(i)), 'silent');
});
