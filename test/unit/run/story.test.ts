import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  afterFault,
  answer,
  detection,
  did,
  losingFor,
  outageText,
  progress,
  ratio,
  report,
  START,
  type State,
  seen,
  tell,
  verdict,
  waiting,
} from '../../../tools/run/story.ts';
import { cost, decision, fault, MESH, MS, play, probe } from './events.ts';

const STOCK = [fault(0, 'cut', false), cost(0, 4600, { after: [0, 4, 3, 2], frames: 0 })];
const AGENT = [
  fault(1, 'cut', true, 100_000 * MS),
  decision(1, { heardAt: 100_200 * MS }),
  { type: 'journal', router: 1, fault: 'e1-f1', at: 100_000.5 * MS } as const,
  cost(1, 40, { after: [0, 4, 3, 2], frames: 96 }),
];

test('detection: the log gives an upper bound until the journal says it exactly', () => {
  const before = play(MESH, ...STOCK, AGENT[0]!, AGENT[1]!);
  assert.deepEqual(detection(before, before.trials.at(-1)!), { ms: 200, exact: false });
  const after = play(MESH, ...STOCK, ...AGENT);
  assert.deepEqual(detection(after, after.trials.at(-1)!), { ms: 0.5, exact: true });
  assert.equal(afterFault(after, after.trials.at(-1)!, decision(1, { afterMs: 3 })), 3.5);
});

test('a log line that comes sooner tightens the bound, a later one does not loosen it', () => {
  const state = play(
    MESH,
    fault(0, 'cut', true, 0),
    decision(1, { heardAt: 50 * MS }),
    decision(1, { step: 'done', afterMs: 3, heardAt: 20 * MS }),
    decision(1, { step: 'verified', afterMs: 5, heardAt: 90 * MS }),
  );
  assert.equal(detection(state, state.trials[0]!)!.ms, 17);
});

test('what an agent decided before the fault or puts back after it is no detection', () => {
  const state = play(
    MESH,
    fault(0, 'cut', true, 100 * MS),
    decision(1, { heardAt: 60 * MS }),
    decision(2, { action: 'reattach', heardAt: 130 * MS }),
  );
  assert.equal(detection(state, state.trials[0]!), null);
});

test('losing: from the fault until it is measured as recovered', () => {
  const lost = play(MESH, fault(0, 'cut', false, 1000 * MS), probe(1300 * MS, 50));
  assert.equal(losingFor(lost), 300);
  assert.equal(losingFor(play(MESH, fault(0, 'cut', false, 1000 * MS), probe(900 * MS, 50))), null);
  assert.match(waiting(lost), /traffic is still lost, 0\.3 s after the fault/);
  assert.match(waiting(START), /\.\.\. booting a Linux kernel/);
  assert.equal(losingFor(tell(lost, cost(0, 40, {}))), null);
});

test('report: a column for each fault, both outages, the ratio, the decision, the frames', () => {
  const text = report(play(MESH, ...STOCK, ...AGENT)).join('\n');
  assert.match(text, /link r1-r2 cut/);
  assert.match(text, /path after +r0-r4-r3-r2/);
  assert.match(text, /outage without agents +4600 ms/);
  assert.match(text, /outage with agents +40 ms/);
  assert.match(text, /times shorter +115/);
  assert.match(text, /first decision after +0\.5 ms/);
  assert.match(text, /extra frames, all routers, 2 s: with +96/);
  for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
  assert.deepEqual(report(START), ['Nothing was measured.']);
});

test('fewer than three losses in a row are no outage, and count as three in the ratio', () => {
  assert.equal(outageText({ outageMs: 0, recovered: true }), 'under 6 ms');
  assert.equal(outageText({ outageMs: 14_000, recovered: false }), 'over 14000 ms');
  assert.equal(ratio(4600, 40), 115);
  assert.equal(ratio(600, 0), 100);
});

test('verdict: good only when the story came to its end and the agents repaired it', () => {
  assert.equal(verdict(START).ok, false);
  assert.match(verdict(play(MESH, ...STOCK, ...AGENT)).text, /did not come to its end/);
  assert.deepEqual(verdict(play(MESH, ...STOCK, ...AGENT, { type: 'told' })), {
    ok: true,
    text: 'The mesh recovered from every fault of the story; with the agents within 40 ms.',
  });
  const alone = play(MESH, STOCK[0]!, cost(0, 15_846, { recovered: false }), ...AGENT, { type: 'told' });
  assert.equal(
    verdict(alone).text,
    'With the agents the mesh recovered from every fault of the story within 40 ms; ' +
      'without them traffic was still lost 15846 ms after link r1-r2 cut.',
  );
  const lost = verdict(
    play(MESH, ...STOCK, ...AGENT.slice(0, 3), cost(1, 14_000, { recovered: false }), { type: 'told' }),
  );
  assert.equal(lost.ok, false);
  assert.equal(lost.text, 'With the agents, traffic from r0 to r2 was still lost 14000 ms after link r1-r2 cut.');
  const mute = verdict(play(MESH, ...STOCK, AGENT[0]!, AGENT[3]!, { type: 'told' }));
  assert.equal(mute.ok, false);
  assert.match(mute.text, /No agent decided anything/);
  assert.match(verdict(play(MESH, ...STOCK, { type: 'told' })).text, /No fault was measured/);
});

test('verdict: a mesh that is whole again and carries nothing has not recovered', () => {
  const second = (lost: number) => Array.from({ length: 10 }, (_, i) => probe(200_000 * MS + i, lost));
  const end = (...lost: number[]) => play(MESH, ...STOCK, ...AGENT, ...lost.flatMap(second), { type: 'told' });
  assert.equal(verdict(end(50)).ok, false);
  assert.equal(
    verdict(end(0, 50)).text,
    'With everything mended again and the agents running, nothing got through from r0 to r2.',
  );
  for (const lost of [[0], [3], [50, 0], [50, 49]]) assert.equal(verdict(end(...lost)).ok, true, `${lost}`);
  // What is lost by playing afterwards is no part of it.
  assert.equal(verdict(play.from(end(0), ...second(50))).ok, true);
});

test('a fault of somebody playing afterwards changes neither report nor verdict', () => {
  const end = play(MESH, ...STOCK, ...AGENT, { type: 'told' });
  const played = play.from(end, { ...fault(9, 'cut', true), told: false }, cost(9, 9000, { recovered: false }));
  assert.deepEqual(report(played), report(end));
  assert.deepEqual(verdict(played), verdict(end));
});

test('in words: who saw what, and what was done about it', () => {
  assert.equal(seen(decision(1, {})), 'to2 lost its carrier');
  assert.equal(seen(decision(3, { cause: 'remote-alarm', about: 'to2 02:00:00:00:01:00' })), 'r1 raised the alarm');
  assert.equal(
    did(decision(1, { step: 'verified', result: '2 of 2 routes go another way' })),
    'repair verified: 2 of 2 routes go another way',
  );
  assert.equal(did(decision(1, { action: 'kick' })), 'decides: send its own OGMs at once (kick)');
});

test('progress: steps, faults, what was seen first-hand and the cost; nothing for the rest', () => {
  const state = play(MESH, ...STOCK, AGENT[0]!);
  assert.match(progress(state, AGENT[0]!)!, /link r1-r2 cut; traffic went r0-r1-r2/);
  assert.match(progress(state, decision(1, {}))!, /r1: to2 lost its carrier; decides/);
  assert.equal(progress(state, decision(3, { cause: 'remote-alarm' })), null);
  assert.equal(progress(state, probe(0, 0)), null);
  const done = play(MESH, ...STOCK, ...AGENT);
  assert.equal(progress(done, AGENT[3]!), '  decided after 0.5 ms, outage 40 ms, traffic now r0-r4-r3-r2');
});

test('links are cut and mended, routers die and come back, reports and decisions stay bounded', () => {
  let state = play(
    MESH,
    { type: 'link', id: 1, cut: true },
    { type: 'link', id: 1, cut: true },
    { type: 'router', router: 1, alive: false, agent: false },
  );
  assert.deepEqual(state.cut, [1]);
  assert.equal(state.routers[1]!.alive, false);
  state = tell(state, { type: 'link', id: 1, cut: false });
  assert.deepEqual(state.cut, []);
  for (let i = 0; i < 2000; i++) state = play.from(state, probe(i, 0), decision(1, {}));
  assert.ok(state.reports.length <= 600 && state.decisions.length <= 200);
});

test('a key is answered at once: what is under way, or why it cannot be done', () => {
  const ready = play(MESH, { type: 'path', routers: [0, 1, 2] }, { type: 'told' });
  assert.deepEqual(answer(ready, 'cut'), { possible: true, text: 'cutting a link in use ...' });
  assert.equal(answer(ready, 'kill').possible, true);
  assert.deepEqual(answer(ready, 'mend'), { possible: false, text: 'Nothing is broken.' });
  const one = play.from(
    ready,
    { type: 'router', router: 1, alive: false, agent: false },
    { type: 'path', routers: [0, 4, 3, 2] },
  );
  for (const command of ['kill', 'cut'] as const) {
    const { possible, text } = answer(one, command);
    assert.equal(possible, false);
    assert.equal(text, 'r1 is dead: with one more fault there would be no way. Press r first.');
    assert.ok(text.length <= 77);
  }
  assert.equal(answer(one, 'revive').possible, true);
  assert.match(answer(tell(one, { type: 'busy', command: 'kill' }), 'mend').text, /^next: mending/);
  // What is only looked at every few seconds does not take the note away.
  const noted = play.from(one, { type: 'note', text: 'why' }, { type: 'path', routers: [] }, probe(0, 0));
  assert.equal(noted.note, 'why');
});

test('a fault is over once its link is mended or its router is back', () => {
  const both = play(MESH, fault(0, 'cut', false), { type: 'link', id: 1, cut: true }, fault(1, 'kill', false), {
    type: 'router',
    router: 1,
    alive: false,
    agent: false,
  });
  const overs = (state: State) => state.trials.map(({ over }) => over);
  assert.deepEqual(overs(both), [null, null]);
  const back = tell(both, { type: 'router', router: 1, alive: true, agent: false });
  assert.deepEqual(overs(back), [null, 'revived']);
  assert.deepEqual(overs(tell(back, { type: 'link', id: 1, cut: false })), ['mended', 'revived']);
});
