import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Look, picture, spark } from '../../../tools/run/picture.ts';
import { START, type State } from '../../../tools/run/story.ts';
import { cost, decision, fault, MESH, MS, play, probe } from './events.ts';

const LOOK: Look = { columns: 80, rows: 24, unicode: true, color: false, tick: 0, elapsedMs: 61_000 };
const draw = (state: State, look: Partial<Look> = {}) => picture(state, { ...LOOK, ...look });

const ROUTERS = [0, 1, 2, 3, 4].map((router) => ({ type: 'router', router, alive: true, agent: true }) as const);
const STOCK = play(MESH, { type: 'path', routers: [0, 1, 2] }, fault(0, 'cut', false), cost(0, 4600, {}));
const RUNNING = play.from(
  STOCK,
  ...ROUTERS,
  { type: 'quality', links: { 0: 'EXCELLENT', 3: 'POOR' }, held: [5] },
  ...Array.from({ length: 100 }, (_, i) => probe(1000 * MS + i * 100 * MS, 0)),
  fault(1, 'cut', true, 11_000 * MS),
  { type: 'link', id: 1, cut: true },
  decision(1, { heardAt: 11_001 * MS }),
  cost(1, 40, { frames: 96 }),
  { type: 'path', routers: [0, 4, 3, 2] },
  { type: 'told' },
);

test('every size from tiny to large: as many lines as rows at most, none wider than the terminal', () => {
  for (const state of [START, STOCK, RUNNING])
    for (const [columns, rows] of [
      [10, 2],
      [79, 24],
      [80, 24],
      [81, 25],
      [120, 40],
      [300, 100],
    ] as const) {
      const lines = draw(state, { columns, rows });
      assert.ok(lines.length <= rows);
      for (const line of lines) assert.ok([...line].length <= columns, `${columns}x${rows}: ${line}`);
    }
});

test('at 80x24 it tells all: routers, agents, classes, cut and held links, both outages, decisions, keys', () => {
  const text = draw(RUNNING).join('\n');
  for (const part of [
    'r0 ●',
    'source',
    'target',
    'EXCELLENT',
    'POOR',
    '✗ CUT ✗',
    'held',
    'AGENTS ON',
    '4600 ms',
    '40 ms',
    '115 times shorter',
    'FLOWING',
    'to2 lost its carrier',
    'c cut the link in use',
    'r0-r4-r3-r2',
    '1:01',
  ])
    assert.ok(text.includes(part), `${part} is missing in\n${text}`);
});

test('the way of the traffic is drawn double and moves; a cut link is not part of it', () => {
  const [first, second] = [draw(RUNNING), draw(RUNNING, { tick: 1 })];
  assert.notDeepEqual(first, second);
  assert.ok(first.some((line) => line.includes('╚')));
  assert.ok(draw(STOCK).some((line) => line.includes('═')));
});

test('ASCII holds nothing else, and no colour means no escape', () => {
  for (const state of [START, STOCK, RUNNING]) {
    for (const line of draw(state, { unicode: false })) assert.match(line, /^[ -~]*$/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what is looked for
    for (const line of draw(state)) assert.doesNotMatch(line, /\x1b/);
  }
  assert.ok(draw(RUNNING, { color: true }).some((line) => line.includes('\x1b[')));
});

test('a dead router, and agents in only some', () => {
  const state = play.from(RUNNING, { type: 'router', router: 1, alive: false, agent: false });
  const text = draw(state).join('\n');
  assert.ok(text.includes('r1 ✗') && text.includes('dead') && text.includes('AGENTS ON'));
  const some = play.from(RUNNING, { type: 'router', router: 1, alive: true, agent: false });
  assert.ok(draw(some).join('\n').includes('AGENTS ON IN 4'));
});

test('spark: a lost packet shows, a delay grows by doubling', () => {
  assert.equal(spark(probe(0, 0)).loss, '·');
  assert.equal(spark(probe(0, 1)).loss, '▁');
  assert.deepEqual(spark(probe(0, 50)), { loss: '█', delay: ' ' });
  assert.equal(spark({ ...probe(0, 0), delayUs: 100 }).delay, '▁');
  assert.equal(spark({ ...probe(0, 0), delayUs: 1e9 }).delay, '█');
});

test('what happens before there is a mesh stays out of the panel beside it', () => {
  const text = draw(
    play({ type: 'step', text: 'Joining five routers with cables, each with its own batman-adv' }),
  ).join('\n');
  assert.match(text, /Joining five routers with cables, each w.* \.\.\. +Every link has another way/);
});

test('classes of links stand in nobody’s way, however long their names', () => {
  const links = Object.fromEntries(MESH.links.map(({ id }) => [id, 'EXCELLENT' as const]));
  for (const columns of [80, 120]) {
    const text = draw(play(MESH, ...ROUTERS, { type: 'quality', links, held: [] }), { columns }).join('\n');
    assert.equal(text.match(/(?<!\w)EXCELLENT(?!\w)/g)?.length, 6, text);
    for (const { router } of ROUTERS) assert.ok(text.includes(`│ r${router} ● │`), text);
  }
});

test('the panel tells that an agent has decided, and when only where its journal says so', () => {
  assert.match(draw(RUNNING).join('\n'), /decided +yes/);
  const exact = play.from(RUNNING, { type: 'journal', router: 1, fault: 'e1-f1', at: 11_000.5 * MS });
  assert.match(draw(exact).join('\n'), /decided +after 0\.5 ms/);
});

test('the panel tells a fault that is over from one that is there', () => {
  assert.match(draw(RUNNING).join('\n'), /link r1-r2 cut *\n.*with the agents/);
  const mended = draw(play.from(RUNNING, { type: 'link', id: 1, cut: false })).join('\n');
  assert.match(mended, /link r1-r2 cut, mended *\n.*it was with the agents/);
  const off = play.from(RUNNING, ...ROUTERS.map((router) => ({ ...router, agent: false })));
  assert.match(draw(off).join('\n'), /link r1-r2 cut *\n.*it was with the agents/);
});
