import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SECOND } from '../../../agent/core/time.ts';
import type { Decision, Fault } from '../../../agent/core/words.ts';
import type { Caller } from '../../../agent/report/api/call.ts';
import { answer, CALLS } from '../../../agent/report/api.ts';
import { explain } from '../../../agent/report/explain.ts';
import { Outcomes } from '../../../agent/report/outcomes.ts';
import { mismatch } from '../../../agent/report/shape.ts';
import { COMMANDS, error } from '../../../agent/report/shapes.ts';
import { milliseconds, port, Router, TWO_WAYS, tables } from '../heal/harness.ts';
import { type Asking, DESK, ENTRIES, FAULT, SELF, sources } from './fixture.ts';

const ROOT: Caller = { name: 'uid 0 (pid 1)', mayChange: true };
const GUEST: Caller = { name: 'uid 1234 (pid 5)', mayChange: false };

function ask(method: string, url: string, { from = sources(), body = '', caller = ROOT } = {}) {
  const found = answer(from, { method, url, body, caller });
  return { ...found, json: found.type === 'application/json' ? JSON.parse(found.body) : null };
}

const BODIES: Readonly<Record<string, string>> = {
  '/heal/mode': '{"mode":"observe"}',
  '/heal/kick': '{"lost":"02:00:00:00:01:0b"}',
  '/trust/join': '{"invitation":"aaaaa"}',
  '/trust/invite': '{"node":"shed","seconds":60}',
  '/trust/revoke': '{"whom":"shed"}',
  '/trust/install': '{"items":[{"kind":"bundle","bytes":"AAAA"}]}',
  '/peers/ask': '{"whom":"attic","what":"status"}',
  '/config/check': JSON.stringify({ text: "config heal 'heal'\n\toption mode 'sometimes'\n", file: 'some/file' }),
};

const BROKEN: Partial<Asking> = {
  mesh: () => ({ ...sources().mesh(), mesh: null, self: null, hardInterfaces: [], nodes: [], links: [], edges: [] }),
  heal: () => ({
    mode: 'observe',
    faults: [FAULT],
    untold: 0,
    repairs: [{ fault: FAULT, action: 'detach', state: 'verifying' }],
    budgets: [],
    classes: [],
    known: [],
    undoArmed: [],
    authenticated: false,
  }),
  degraded: () => [{ part: 'state', level: 'memory', why: 'the disk is full' }],
  beacon: () => null,
};

for (const call of CALLS) {
  if (call.shape === null) continue;
  test(`${call.method} ${call.path} answers in its documented shape, in good times and bad`, () => {
    for (const more of [{}, BROKEN]) {
      const from = sources({ trust: DESK, ...more });
      const { status, json, endpoint } = ask(call.method, call.path.replace('{id}', FAULT.id), {
        from,
        body: BODIES[call.path] ?? '',
      });
      assert.ok(status === 200 || (call.path === '/health' && status === 503), `${status} ${JSON.stringify(json)}`);
      assert.equal(endpoint, call.path);
      assert.equal(mismatch(call.shape!.schema, json), null);
    }
  });
}

test('health: ok, degraded, problem', () => {
  assert.equal(ask('GET', '/health').json.status, 'ok');
  const weak = ask('GET', '/health', { from: sources({ degraded: BROKEN.degraded! }) });
  assert.deepEqual(
    [weak.status, weak.json.status, weak.json.reasons],
    [200, 'degraded', ['state: memory (the disk is full)']],
  );
  const broken = ask('GET', '/health', { from: sources(BROKEN) });
  assert.deepEqual([broken.status, broken.json.status], [503, 'problem']);
});

/** Sources with these faults open, seen from a router whose only way is eth0. */
function troubled(faults: readonly Fault[], more: Partial<Asking> = {}): Asking {
  const usual = sources();
  return sources({ heal: () => ({ ...usual.heal(), faults }), ...more });
}

test('health: a lost link is a problem as long as somebody is behind it, whoever repairs it', () => {
  const health = (from: Asking) => ask('GET', '/health', { from }).json as { status: string; reasons: string[] };
  const elsewhere = health(troubled([FAULT]));
  assert.equal(elsewhere.status, 'degraded', 'observed, or left to batman-adv: all go by eth0');
  assert.match(elsewhere.reasons[0]!, /link-down of eth1 .*left to batman-adv/);
  const here = health(troubled([{ ...FAULT, interface: 'eth0', peer: null }]));
  assert.equal(here.status, 'problem');
  assert.match(here.reasons[0]!, /not over, and it is the way to 2 routers/);
  const lossy = (peer: string) => troubled([{ ...FAULT, class: 'link-lossy', interface: 'eth0', peer }]);
  const { nextHop } = sources().mesh().nodes[0]!;
  assert.equal(health(lossy(nextHop)).status, 'problem');
  assert.equal(health(lossy('02:00:00:00:01:77')).status, 'degraded', 'nothing goes by that neighbour');
  const usual = sources().heal();
  const busy = troubled([FAULT], {
    heal: () => ({ ...usual, faults: [FAULT], repairs: [{ fault: FAULT, action: 'kick', state: 'kicking' }] }),
  });
  assert.equal(health(busy).status, 'problem');
  assert.equal(health(troubled([{ ...FAULT, class: 'config-drift' }])).status, 'problem');
  const nobody = sources().mesh();
  const alone = troubled([FAULT], { mesh: () => ({ ...nobody, nodes: [] }) });
  assert.equal(health(alone).status, 'problem', 'nobody is heard at all');
  const verified = troubled([FAULT], { outcome: () => ENTRIES[1]!.decision });
  assert.match(health(verified).reasons[0]!, /repaired by detach: 2 of 2/);
});

test('hundreds of faults: the journal is not asked for each, and the answer stays short', () => {
  const faults = Array.from({ length: 400 }, (_, n) => ({ ...FAULT, class: 'router-dead' as const, id: `e1-f${n}` }));
  let asked = 0;
  const usual = sources();
  const from = troubled(faults, {
    journal: {
      ...usual.journal,
      query: (query) => {
        asked += 1;
        return usual.journal.query(query);
      },
    },
  });
  const { reasons } = ask('GET', '/health', { from }).json;
  assert.equal(reasons.length, 11);
  assert.equal(reasons.at(-1), 'and 390 more');
  assert.equal(asked, 0);
  const { body, json } = ask('GET', '/mesh/status', { from });
  assert.deepEqual([json.heal.open, json.heal.faults.length], [400, 32]);
  assert.equal(asked, 1, 'for the last repairs');
  assert.ok(body.length < 16_384, `${body.length} bytes`);
});

test('the status says what this router takes the time to be: the journal goes by that, and a browser by another clock', () => {
  assert.equal(ask('GET', '/mesh/status').json.now, '2026-01-02T03:04:10.000Z');
});

test('outcomes: what repaired a fault stays, however many others come and go', () => {
  const open = [FAULT];
  const outcomes = new Outcomes(() => open);
  const [planned, verified] = ENTRIES.map(({ decision }) => decision) as [Decision, Decision];
  assert.equal(outcomes.of(FAULT.id), null);
  for (const [decision, step] of [
    [planned, 'planned'],
    [verified, 'verified'],
    [planned, 'verified'],
  ] as const) {
    outcomes.take(decision);
    assert.equal(outcomes.of(FAULT.id)?.step, step);
  }
  for (let n = 0; n < 1000; n++) outcomes.take({ ...planned, fault: { ...FAULT, id: `e1-f${n + 2}` } });
  assert.equal(outcomes.of(FAULT.id)?.step, 'verified');
  assert.equal(outcomes.of('e1-f2'), null, 'it is over');
  outcomes.take({ ...verified, step: 'failed' });
  assert.equal(outcomes.of(FAULT.id)?.step, 'failed');
});

test('topology has shortest paths from here', () => {
  const { nodes, statistics } = ask('GET', '/mesh/topology').json;
  assert.equal(nodes.length, 3);
  assert.deepEqual(
    nodes.map(({ hops }: { hops: number }) => hops),
    [0, 1, 2],
  );
  assert.equal(nodes[0].id, SELF);
  assert.equal(statistics.diameterHops, 2);
});

test('the log is limited and continued', () => {
  const ids = (url: string) => ask('GET', url).json.entries.map(({ id }: { id: number }) => id);
  assert.deepEqual(ids('/heal/log'), [1, 2]);
  assert.deepEqual(ids('/heal/log?limit=1'), [2]);
  assert.deepEqual(ids('/heal/log?since=1'), [2]);
  for (const bad of ['limit=0', 'limit=1001', 'limit=x', 'since=-1', 'limit=1e2'])
    assert.equal(ask('GET', `/heal/log?${bad}`).status, 400, bad);
});

test('an explanation tells the whole story', () => {
  const { text } = ask('GET', `/heal/explain/${FAULT.id}`).json;
  assert.deepEqual(text, [
    'Fault e1-f1: the link lost its carrier (interface eth1, peer 02:00:00:00:01:0c).',
    'Seen 2026-01-02T03:04:05.006Z; sure to 100 %. Times below count from the first evidence.',
    '',
    'What was seen:',
    '    +0.00 ms  rtnetlink: the carrier is gone',
    '',
    'What was weighed, gentlest first:',
    '  none           do nothing',
    '                 -> no: 2 routers were reached through it',
    '  kick           send our own OGMs at once, so that routes move in milliseconds',
    '                 -> taken',
    '  detach         take the dead interface out of the mesh until it lives again',
    '                 -> taken',
    '  recreate-mesh  create the mesh interface anew, with its MAC address kept',
    '                 -> no: the mesh interface is there',
    '  Why: the kick moves routes at once, and out of the mesh no stale route stays',
    '',
    'What was done:',
    '    +0.12 ms  Decided kick, then detach',
    '    +43.1 ms  Verified detach: 2 of 2 routes go another way',
    '',
    'Result: repaired by detach, verified 43.1 ms after the first evidence.',
  ]);
});

test('how a story may end', () => {
  const ending = (step: string, result: string | null) => {
    const decision = { ...ENTRIES[1]!.decision, step: step as 'over', result };
    const from = sources({
      journal: { ...sources().journal, query: () => [ENTRIES[0]!, { ...ENTRIES[1]!, decision }] },
    });
    return ask('GET', `/heal/explain/${FAULT.id}`, { from }).json.text.at(-1);
  };
  assert.match(ending('failed', 'the kernel refused: EBUSY'), /^Result: not repaired: the kernel refused: EBUSY/);
  assert.match(ending('rolled-back', null), /taken back/);
  assert.match(ending('observed', null), /observe: detach would have been done/);
  assert.match(ending('over', 'the carrier is there'), /over after 43.1 ms: the carrier is there/);
  assert.match(ending('planned', null), /still under way/);
});

test('what was asked for, or told of, has an end; a kick that its budget refused was not taken', () => {
  const router = new Router({ kickBudget: 1 });
  const tell = () => {
    const told = router.decisions.map((decision, id) => ({ id, wall: 0, decision }));
    const last = told.at(-1)!.decision.fault.id;
    return explain(told.filter(({ decision }) => decision.fault.id === last)).join('\n');
  };
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  assert.match(tell(), /-> taken[\s\S]*Result: still under way/);
  router.pass(SECOND);
  assert.match(tell(), /-> taken[\s\S]*Result: done: \d+ frames sent\./);
  router.feed({ type: 'kick-asked', by: 'root', lost: null });
  assert.doesNotMatch(tell(), /-> taken/);
  assert.match(
    tell(),
    /-> no: the budget of 1 kicks[\s\S]*Refused kick: the budget[\s\S]*Result: nothing was done: the budget/,
  );
  // Its own repair goes on without the kick, and says so.
  router.feed({ type: 'link', link: port(1, { carrier: false }), cause: 'event' });
  for (const ms of [61, 200]) {
    router.pass(milliseconds(ms));
    router.feed({ type: 'tables', tables: TWO_WAYS });
  }
  router.done('detach-eth1');
  router.feed({ type: 'tables', tables: tables([['02:00:00:00:00:aa', 2, true]], [['02:00:00:00:01:02', 2]]) });
  assert.match(tell(), /kick .*\n.*-> no: the budget[\s\S]*detach .*\n.*-> taken[\s\S]*Result: repaired by detach/);
});

test("a remote alarm's explanation ends too", () => {
  const alarm = { ...FAULT, class: 'remote-alarm' as const };
  const end = (decision: Decision) => explain([{ id: 1, wall: 0, decision }]).at(-1);
  const planned = ENTRIES[0]!.decision;
  assert.match(end({ ...planned, fault: alarm, action: 'clear-way' })!, /^Result: others' OGMs were let pass at once/);
  assert.match(
    end({ ...planned, fault: alarm, step: 'done', action: 'kick', result: '24 frames sent' })!,
    /^Result: done: 24 frames sent; whether it helped/,
  );
});

test('a kick that is asked for is answered with what was decided', () => {
  const kick = (decisions: readonly Decision[]) =>
    ask('POST', '/heal/kick', { from: sources({ ask: () => decisions }) }).json;
  const router = new Router({ kickBudget: 1 });
  const ways = ['act', 'act', 'observe', 'off'] as const;
  const answers = ways.map((mode) => {
    router.feed({ type: 'mode-asked', by: 'root', mode });
    const before = router.decisions.length;
    router.feed({ type: 'kick-asked', by: 'root', lost: null });
    const answer = kick(router.decisions.slice(before));
    router.pass(SECOND);
    return answer;
  });
  assert.deepEqual(
    answers.map(({ done, fault }) => [done, fault]),
    [
      [true, 'e3-f1'],
      [false, 'e3-f2'],
      [false, 'e3-f3'],
      [false, null],
    ],
  );
  assert.match(answers[0].message, /^fault e3-f1: planned kick/);
  assert.match(answers[1].message, /^fault e3-f2: the budget of 1 kicks a minute is used up/);
  assert.match(answers[2].message, /observe mode: nothing was done/);
  assert.match(answers[3].message, /heal\.mode is off/);
});

test('changes are asked of the machines by those who may', () => {
  const from = sources();
  assert.equal(ask('POST', '/heal/mode', { from, body: '{"mode":"off"}' }).status, 200);
  assert.equal(ask('POST', '/heal/kick', { from }).status, 200);
  assert.deepEqual(from.asked, [
    { type: 'mode-asked', by: ROOT.name, mode: 'off' },
    { type: 'kick-asked', by: ROOT.name, lost: null },
  ]);
  const refused = ask('POST', '/heal/mode', { from, body: '{"mode":"off"}', caller: GUEST });
  assert.deepEqual([refused.status, refused.json.error.code], [403, 'E_FORBIDDEN']);
  assert.equal(from.asked.length, 2);
  assert.equal(ask('POST', '/config/check', { body: BODIES['/config/check']!, caller: GUEST }).status, 200);
});

test('wrong requests get an error in its shape', () => {
  const table: [string, string, string, number][] = [
    ['GET', '/nothing', '', 404],
    ['GET', '/heal/explain/e9-f9', '', 404],
    ['GET', '/heal/explain/..%2f..', '', 404],
    ['GET', '/heal/explain/', '', 404],
    ['POST', '/mesh/status', '', 405],
    ['GET', '/heal/mode', '', 405],
    ['DELETE', '/health', '', 405],
    ['POST', '/heal/mode', '', 400],
    ['POST', '/heal/mode', '{"mode":"maybe"}', 400],
    ['POST', '/heal/mode', '[1]', 400],
    ['POST', '/heal/mode', '{', 400],
    ['POST', '/heal/kick', '{"lost":"x"}', 400],
    ['POST', '/config/check', '{}', 400],
  ];
  for (const [method, url, body, expected] of table) {
    const { status, json } = ask(method, url, { body });
    assert.equal(status, expected, `${method} ${url} ${body}`);
    assert.equal(mismatch(error.schema, json), null);
  }
});

test('the SSH host key that x0ctl hands over is what it reads as root, or is refused unquoted', () => {
  const given: unknown[] = [];
  const from = sources();
  const desk = { ...from.trust!, joinBy: (...all: unknown[]) => void given.push(...all) };
  const join = (key: unknown) =>
    answer(
      { ...from, trust: desk },
      {
        method: 'POST',
        url: '/trust/join',
        body: JSON.stringify({ method: 'ssh-host-key', anchor: 'ab'.repeat(16), key }),
        caller: { name: 'root', mayChange: true },
      },
    );
  for (const key of ['', 'no base64!', 'A'.repeat(8000), 7, ['A']]) {
    const { status, body } = join(key);
    assert.equal(status, 400, String(key).slice(0, 20));
    assert.match(body, /key: expected /);
    assert.ok(body.length < 300);
  }
  assert.deepEqual(given, []);
  assert.equal(join(Buffer.from('secret').toString('base64')).status, 200);
  assert.equal(String(given[2]), 'secret');
});

test('a bug behind a call tells nothing of itself', () => {
  const from = sources({
    mesh: () => {
      throw new Error('inner secret');
    },
  });
  const { status, body } = ask('GET', '/mesh/nodes', { from });
  assert.equal(status, 500);
  assert.doesNotMatch(body, /secret/);
});

test('config check names file, line, option and what was expected', () => {
  const { json } = ask('POST', '/config/check', { body: BODIES['/config/check']! });
  assert.equal(json.valid, false);
  assert.deepEqual([json.problems[0].line, json.problems[0].option], [2, 'heal.mode']);
  assert.match(json.problems[0].message, /^some\/file:2: heal\.mode: expected one of off, observe, act/);
});

test('OpenAPI and its page come from the table', () => {
  const document = ask('GET', '/openapi.json').json;
  assert.equal(document.openapi, '3.1.0');
  const operations = Object.values<Record<string, { operationId: string }>>(document.paths).flatMap(Object.values);
  assert.equal(operations.length, CALLS.length);
  assert.equal(new Set(operations.map(({ operationId }) => operationId)).size, CALLS.length);
  assert.deepEqual(
    document.paths['/health'].get.responses['503'].content,
    document.paths['/health'].get.responses['200'].content,
  );
  assert.deepEqual(Object.keys(document.components.schemas), [
    'x0ctl.heal.mode',
    'x0ctl.watch',
    'x0ctl.doctor',
    'x0ctl.diag',
    'x0ctl.ping.NODE',
    'x0ctl.traceroute.NODE',
    'x0ctl.throughput.NODE',
  ]);
  const page = ask('GET', '/docs');
  for (const { command } of COMMANDS) assert.ok(page.body.includes(command), command);
  assert.match(page.type, /^text\/html/);
  for (const { path } of CALLS) assert.ok(page.body.includes(path), path);
  assert.doesNotMatch(page.body, /src=|https?:/, 'nothing from elsewhere');
});

test('whatever is asked, the answer is one', () => {
  const paths = fc.oneof(
    fc.string(),
    fc.constantFrom(...CALLS.map(({ path }) => path)).chain((path) => fc.string().map((more) => path + more)),
    fc.string().map((id) => `/heal/explain/${id}`),
    fc.string().map((query) => `/heal/log?${query}`),
  );
  fc.assert(
    fc.property(
      paths,
      fc.constantFrom('GET', 'POST', 'PUT', ''),
      fc.oneof(fc.string(), fc.json()),
      (url, method, body) => {
        const found = answer(sources(), { method, url, body, caller: GUEST });
        assert.ok([200, 400, 403, 404, 405].includes(found.status), `${found.status}`);
        assert.ok(found.endpoint === 'other' || CALLS.some(({ path }) => path === found.endpoint));
      },
    ),
  );
});
