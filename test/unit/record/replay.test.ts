import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import type { Tables } from '../../../agent/core/event.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { headerLine, type Recording, readRecording, Scribe } from '../../../agent/record/format.ts';
import { packTables, unpackTables } from '../../../agent/record/tables.ts';
import type { Output } from '../../../agent/record/turns.ts';
import { replay } from '../../../agent/twin/replay.ts';
import { tablesOf } from '../../../tools/bench/fixture.ts';
import { KEY, Router } from './help.ts';

/** A story with echoes, a stranger's alarm, a cut, its repair and its end, an alarm of somebody without the key. */
function story(): Router {
  const router = new Router();
  router.pass(30 * SECOND);
  router.alarm();
  router.alarm('cd'.repeat(32));
  router.pass(5 * SECOND);
  router.cut();
  router.pass(20 * SECOND);
  router.feed({ type: 'kick-asked', by: 'uid 0', lost: null });
  router.pass(40 * SECOND);
  router.mend();
  router.pass(60 * SECOND);
  return router;
}

function textOf({ header, turns }: Router): string {
  const scribe = new Scribe();
  return `${[headerLine(header), ...turns.map((turn) => scribe.line(turn)).filter((line) => line !== null)].join('\n')}\n`;
}

const STORY = story();
const TEXT = textOf(STORY);

function refusal(text: string): string {
  try {
    readRecording(text);
  } catch (thrown) {
    assert.ok(thrown instanceof AgentError, String(thrown));
    assert.equal(thrown.code, 'E_RECORDING');
    assert.ok(Number.isInteger(thrown.detail.line));
    return thrown.message;
  }
  assert.fail('it was read');
}

describe('a whole recording', () => {
  test('replays to the same decisions', () => {
    const done = replay(readRecording(TEXT));
    assert.equal(done.difference, null);
    assert.deepEqual([done.machines, done.uncompared], [[], 0]);
    const journal = STORY.turns.flatMap(({ decided }) => decided).filter((one) => 'journal' in one);
    assert.equal(done.decisions, journal.length);
    // The story has something to tell: else the test could not fail.
    const classes = new Set(journal.map((one) => one.journal.fault.class));
    assert.deepEqual([...classes].sort(), ['asked', 'link-down', 'remote-alarm']);
    const actions = new Set(journal.map((one) => `${one.journal.action} ${one.journal.step}`));
    for (const action of ['kick done', 'ask verified']) assert.ok(actions.has(action), [...actions].join());
  });

  test('holds no key and no frame that was sealed with one', () => {
    const frame = new Router().alarm();
    assert.ok(!TEXT.includes(KEY) && !TEXT.includes(KEY.slice(0, 16)));
    const tag = frame.slice(-32);
    assert.ok(!TEXT.includes(frame) && !TEXT.includes(tag));
    assert.match(TEXT, /"type":"frame","interface":22,"frame":""/);
    // What was not heard is not told: who has no key cannot fill a recording.
    const heard = STORY.turns.filter(({ event, heard: of }) => event.type === 'frame' && of.length > 0).length;
    assert.equal(TEXT.split('\n').filter((line) => line.includes('"type":"frame"')).length, heard);
    assert.ok(STORY.turns.filter(({ event }) => event.type === 'frame').length > heard);
  });

  test('tables take up little', () => {
    const tables = TEXT.split('\n').filter((line) => line.includes('"type":"tables"'));
    const whole = JSON.stringify(STORY.turns.find(({ event }) => event.type === 'tables')!.event).length;
    assert.ok(tables.slice(1).every((line) => line.length < whole));
    assert.ok(tables[1]!.length < whole / 10, `${tables[1]!.length} of ${whole}`);
  });

  test('a last line that was cut off is left out, any other is not', () => {
    const whole = readRecording(TEXT).turns.length;
    const cut = TEXT.slice(0, TEXT.lastIndexOf('\n', TEXT.length - 2) + 5);
    assert.equal(readRecording(cut).turns.length, whole - 1);
    assert.equal(replay(readRecording(cut)).difference, null);
    const lines = TEXT.split('\n');
    lines[5] = lines[5]!.slice(0, 9);
    assert.equal(refusal(lines.join('\n')), 'line 6: no JSON');
  });

  test('what was decided otherwise is the first difference, with its event', () => {
    const recording = readRecording(TEXT);
    const isAlarm = (one: Output): boolean => 'journal' in one && one.journal.fault.class === 'remote-alarm';
    const at = recording.turns.findIndex((turn) => 'decided' in turn && turn.decided.some(isAlarm));
    const forged = (decided: (of: readonly Output[]) => readonly Output[]): Recording => ({
      ...recording,
      turns: recording.turns.map((turn, i) =>
        i === at && 'decided' in turn ? { ...turn, decided: decided(turn.decided) } : turn,
      ),
    });
    const lacking = replay(forged(() => [])).difference!;
    assert.deepEqual([lacking.turn, lacking.expected], [at + 1, null]);
    assert.ok(lacking.got !== null);
    const [first] = recording.turns;
    assert.equal(lacking.afterNs, 30 * SECOND - ('now' in first! ? first.now - 1e12 : 0));
    const more = replay(forged((of) => [...of, { send: [21] }])).difference!;
    assert.deepEqual([more.turn, more.expected, more.got], [at + 1, { send: [21] }, null]);
    const other = replay(
      forged((of) => of.map((one) => ('journal' in one ? { journal: { ...one.journal, why: 'I say so' } } : one))),
    ).difference!;
    assert.equal(other.turn, at + 1);
  });

  test('an event that was left out shows', () => {
    const recording = readRecording(TEXT);
    const turns = recording.turns.filter(
      (turn) => !('event' in turn && turn.event.type === 'link' && turn.event.cause === 'event'),
    );
    assert.notEqual(replay({ ...recording, turns }).difference, null);
  });

  test('other machines are named', () => {
    const recording = { ...readRecording(TEXT), machines: ['monitor', 'oracle'] };
    assert.ok(replay(recording).machines.includes('oracle'));
    assert.ok(replay(recording).machines.includes('plan'));
  });
});

describe('a recording that begins later', () => {
  /** As the recorder makes it: what was known, then what came, with numbers that the machines had reached by then. */
  function later(from: number): { text: string; router: Router } {
    const router = new Router();
    router.pass(10 * SECOND);
    for (let i = 0; i < 5; i++) router.feed({ type: 'kick-asked', by: 'uid 0', lost: null });
    router.cut(2);
    router.pass(30 * SECOND);
    router.mend(2);
    router.pass(400 * SECOND);
    const begin = router.turns.length;
    const keyframe = router.turns.slice(0, 8).map(({ event }) => [router.now, event] as const);
    router.pass(from);
    router.cut();
    router.pass(20 * SECOND);
    router.mend();
    router.pass(60 * SECOND);
    router.cut(2);
    router.pass(20 * SECOND);
    router.mend(2);
    router.pass(60 * SECOND);
    const scribe = new Scribe();
    const lines = [headerLine({ ...router.header, begins: 'later' }), scribe.keyframe(keyframe)];
    for (const turn of router.turns.slice(begin)) lines.push(scribe.line(turn) ?? '');
    return { text: `${lines.join('\n')}\n`, router };
  }

  test('replays to the same decisions once it is warm, whatever their numbers', () => {
    const { text, router } = later(100 * SECOND);
    const done = replay(readRecording(text));
    assert.equal(done.difference, null);
    assert.equal(done.uncompared, 0);
    assert.ok(done.decisions >= 3, String(done.decisions));
    const ids = router.turns.flatMap(({ decided }) =>
      decided.flatMap((one) => ('journal' in one ? [one.journal.fault.id] : [])),
    );
    assert.ok(ids.at(-1)! !== 'e7-f1');
  });

  test('compares nothing that it cannot know', () => {
    const done = replay(readRecording(later(20 * SECOND).text));
    assert.equal(done.difference, null);
    // The first cut's: planned, verified.
    assert.equal(done.uncompared, 2);
    assert.ok(done.decisions >= 2, String(done.decisions));
  });

  test('a difference shows there too', () => {
    const text = later(100 * SECOND).text.replaceAll('"action":"ask"', '"action":"reattach"');
    assert.notEqual(replay(readRecording(text)).difference, null);
  });
});

const HEADER = headerLine(STORY.header);
const FIRST_TABLES =
  '{"mesh":null,"hardInterfaces":[],"gateways":[],"originators":{"rows":[]},"neighbours":{"rows":[]}}';
const MALFORMED: readonly [what: string, text: string, says: RegExp][] = [
  ['nothing', '', /^line 1: no recording of x0tta6bl4$/],
  ['something else', '{"a":1}\n', /^line 1: no recording of x0tta6bl4$/],
  ['from before versions', '[12,{"type":"tick"}]\n', /from before they had a version/],
  ['a later version', HEADER.replace('"version":1', '"version":2'), /version 2; this agent reads version 1/],
  ['a version in words', HEADER.replace('"version":1', '"version":"x"'), /version "x"/],
  ['no machines', HEADER.replace('"machines"', '"others"'), /^line 1: a header that/],
  ['no beginning', HEADER.replace('"start"', '"never"'), /^line 1: a header that/],
  ['no JSON', `${HEADER}\n[1,{"type":"ti\n`, /^line 2: no JSON$/],
  [
    'a header that says it twice',
    HEADER.replace('"version":1', '"version":2,"version":1'),
    /^line 1: "version" is there/,
  ],
  ['an event with two types', `${HEADER}\n[7,{"type":"tick","type":"tick"}]\n`, /^line 2: "type" is there twice$/],
  [
    'an event without a bottom',
    `${HEADER}\n[7,{"type":"tick","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}]\n`,
    /^line 2: nested deeper than 64$/,
  ],
  ['no turn', `${HEADER}\n7\n`, /^line 2: no event with its time$/],
  ['a time in words', `${HEADER}\n["7",{"type":"tick"}]\n`, /^line 2: a time that is none/],
  ['time that runs back', `${HEADER}\n[7,{"type":"tick"}]\n[6,{"type":"tick"}]\n`, /^line 3: a time/],
  ['time without end', `${HEADER}\n[1e400,{"type":"tick"}]\n`, /^line 2: a time/],
  ['an unknown event', `${HEADER}\n[7,{"type":"toString"}]\n`, /^line 2: an event of a kind/],
  ['an event of machines', `${HEADER}\n[7,{"type":"symptom","symptom":{}}]\n`, /^line 2: an event of a kind/],
  [
    'an event without parts',
    `${HEADER}\n[7,{"type":"link","cause":"event"}]\n`,
    /^line 2: an event 'link' without link$/,
  ],
  [
    'tables that follow from nothing',
    `${HEADER}\n[7,{"type":"tables","tables":{"originators":{"seen":[1]}}}]\n`,
    /^line 2: the first tables lack mesh$/,
  ],
  [
    'tables that do not fit',
    `${HEADER}\n[7,{"type":"tables","tables":{"mesh":null,"hardInterfaces":[],"gateways":[],"originators":{"seen":[1]},"neighbours":{"rows":[]}}}]\n`,
    /^line 2: tables unlike/,
  ],
  ...['{}', '{"originators":null}', '{"originators":5}'].map((tables): [string, string, RegExp] => [
    `tables that are ${tables}`,
    `${HEADER}\n[7,{"type":"tables","tables":${FIRST_TABLES}}]\n[8,{"type":"tables","tables":${tables}}]\n`,
    /^line 3: tables without their rows$/,
  ]),
  ['heard no list', `${HEADER}\n[7,{"type":"tick"},7]\n`, /^line 2: what was heard/],
  ['decided no list', `${HEADER}\n[7,{"type":"tick"},[],[7]]\n`, /^line 2: what was heard/],
  ...['{}', '{"journal":null}', '{"journal":{}}', '{"change":null}', '{"change":{"id":1}}', '{"send":5}'].map(
    (decided): [string, string, RegExp] => [
      `a decision that is ${decided}`,
      `${HEADER}\n[7,{"type":"tick"},[],[${decided}]]\n`,
      /^line 2: a decision of a kind that is not known$/,
    ],
  ),
];
for (const [what, text, says] of MALFORMED) test(`refused: ${what}`, () => assert.match(refusal(text), says));

test('settings that would keep a machine busy for ever are refused', () => {
  const settings = TEXT.split('\n')[1]!;
  assert.match(settings, /"kickCount":12/);
  assert.match(refusal(`${HEADER}\n${settings.replace('"kickCount":12', '"kickCount":1e12')}\n`), /kickCount/);
});

test('hostile lines are read or refused, and replayed to an end', () => {
  const lines = TEXT.split('\n').slice(0, 40);
  const value = fc.oneof(fc.constantFrom('null', '[]', '{}', '-1', '""', '1e300', '"__proto__"'), fc.json());
  fc.assert(
    fc.property(fc.nat({ max: lines.length - 1 }), fc.nat(200), value, (n, at, to) => {
      const changed = [...lines];
      // One value of the line becomes another: what stands behind the at-th colon or comma.
      let left = at;
      changed[n] = lines[n]!.replaceAll(/([:,])("[^"]*"|-?\d+|true|false|null)/g, (all, mark: string) =>
        left-- === 0 ? `${mark}${to}` : all,
      );
      let recording: Recording;
      try {
        recording = readRecording(changed.join('\n'));
      } catch (thrown) {
        assert.equal((thrown as AgentError).code, 'E_RECORDING', String(thrown));
        return;
      }
      replay(recording);
    }),
    { numRuns: 300 },
  );
});

test('tables are unpacked as they were packed', () => {
  const mesh = {
    mesh: { index: 1, name: 'bat0', mac: '' },
    primary: { index: 2, name: 'p', mac: '' },
    ports: [
      { index: 3, name: 'a', mac: '' },
      { index: 4, name: 'b', mac: '' },
    ],
    originators: 5,
  };
  const base = tablesOf(mesh);
  const tables = fc
    .array(fc.record({ row: fc.nat(11), tq: fc.nat(255), seen: fc.nat(9000), lost: fc.constantFrom(0, 0, 0, 3, 4) }), {
      maxLength: 6,
    })
    .map((steps) =>
      steps.map(({ row, tq, seen, lost }): Tables => {
        const made = lost === 0 ? base : tablesOf(mesh, lost);
        const { tq: _, ...without } = made.originators[0]!;
        return {
          ...made,
          originators: made.originators.map((path, i) =>
            i === row ? { ...path, tq, lastSeenMs: seen } : i === 0 && row === 5 ? { ...without } : path,
          ),
          ...(row === 7 && { mesh: null, neighbours: [] }),
        };
      }),
    );
  fc.assert(
    fc.property(tables, (steps) => {
      let before: Tables | null = null;
      let read: Tables | null = null;
      for (const step of steps) {
        read = unpackTables(JSON.parse(JSON.stringify(packTables(step, before))), read);
        assert.deepEqual(read, step);
        before = step;
      }
    }),
  );
});
