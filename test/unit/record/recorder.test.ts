import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type Nanos, SECOND } from '../../../agent/core/time.ts';
import type { Action, Fault, FaultClass } from '../../../agent/core/words.ts';
import { Recorder, type RecorderOptions } from '../../../agent/host/recorder.ts';
import { readRecording } from '../../../agent/record/format.ts';
import { replay } from '../../../agent/twin/replay.ts';
import { KEY, Router } from './help.ts';

interface Kept {
  readonly at: Nanos;
  readonly recording: Uint8Array;
  readonly faults: readonly string[];
}

class Flight {
  readonly kept: Kept[] = [];
  readonly recorder: Recorder;
  readonly router: Router;

  constructor(limitKib: number, over: Partial<RecorderOptions> = {}) {
    let now = (): Nanos => 0;
    this.recorder = new Recorder(limitKib, {
      header: { agent: 'test', machines: [] },
      now: () => now(),
      busy: () => false,
      keep: (recording, faults) => this.kept.push({ at: now(), recording, faults }),
      ...over,
    });
    this.router = new Router((turn) => this.recorder.take(turn));
    now = () => this.router.now;
  }

  read() {
    const bytes = this.recorder.export();
    assert.ok(bytes !== null);
    return readRecording(gunzipSync(bytes).toString('utf8'));
  }
}

test('what is in memory replays, from the start as long as there is room', () => {
  const flight = new Flight(256);
  flight.router.pass(100 * SECOND);
  flight.router.cut();
  flight.router.pass(20 * SECOND);
  const recording = flight.read();
  assert.equal(recording.begins, 'start');
  const done = replay(recording);
  assert.equal(done.difference, null);
  assert.ok(done.decisions >= 2);
  assert.equal(done.uncompared, 0);
});

test('memory is bounded, the oldest goes first, and what is left replays still', () => {
  const flight = new Flight(16);
  flight.router.pass(1500 * SECOND);
  flight.router.cut();
  flight.router.pass(30 * SECOND);
  const bytes = flight.recorder.export()!;
  assert.ok(bytes.length < 24 * 1024, `${bytes.length} bytes`);
  assert.ok(bytes.length > 6 * 1024, `${bytes.length} bytes`);
  const recording = flight.read();
  assert.equal(recording.begins, 'later');
  const done = replay(recording);
  assert.equal(done.difference, null);
  assert.ok(done.durationNs > 120 * SECOND && done.durationNs < 1400 * SECOND, String(done.durationNs / SECOND));
  assert.ok(done.decisions >= 2 && done.uncompared === 0, JSON.stringify(done));
  assert.ok(!gunzipSync(bytes).toString('latin1').includes(KEY));
});

test('nothing is kept while nothing is repaired, and a repair is with what followed', (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const flight = new Flight(64);
  const live = (seconds: number): void => {
    for (let n = 0; n < seconds; n++) {
      flight.router.pass(SECOND);
      t.mock.timers.tick(1000);
    }
  };
  live(120);
  flight.router.alarm();
  live(120);
  assert.equal(flight.kept.length, 0);
  const cutAt = flight.router.now;
  flight.router.cut();
  live(30);
  assert.equal(flight.kept.length, 0);
  flight.router.mend();
  live(200);
  assert.equal(flight.kept.length, 1);
  const [{ at, recording, faults }] = flight.kept as [Kept];
  assert.ok(at >= cutAt + 60 * SECOND && at <= cutAt + 180 * SECOND, String((at - cutAt) / SECOND));
  assert.equal(faults.length, 1);
  const read = readRecording(gunzipSync(recording).toString('utf8'));
  assert.equal(replay(read).difference, null);
  flight.router.cut(2);
  live(5);
  flight.recorder.close();
  assert.equal(flight.kept.length, 2);
  assert.notDeepEqual(flight.kept[1]!.faults, faults);
});

test('what was only observed is kept where this router saw it in itself, and not where a neighbour may feign it', (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const kept = (kind: FaultClass, sources: readonly string[], action: Action = 'restore') => {
    const flight = new Flight(64);
    flight.router.pass(60 * SECOND);
    const now = flight.router.now + SECOND;
    const evidence = sources.map((source) => ({ source, what: 'so it was', at: now }));
    const about = { interface: 'eth1', interfaceIndex: 21, peer: null, confidence: 1, affected: [] };
    const fault: Fault = { id: 'e7-f9', class: kind, at: now, ...about, evidence };
    const decision = { fault, step: 'observed', at: now, action, alternatives: [], why: '', result: null } as const;
    flight.recorder.take({ now, event: { type: 'tick' }, heard: [], decided: [{ journal: decision }] });
    flight.recorder.close();
    return flight.kept.map(({ faults }) => faults);
  };
  assert.deepEqual(kept('config-drift', ['settings']), [['e7-f9']]);
  assert.deepEqual(kept('link-down', ['rtnetlink', 'rtnetlink'], 'kick'), [['e7-f9']]);
  assert.deepEqual(kept('overload', ['vitals'], 'ease'), [['e7-f9']]);
  assert.deepEqual(kept('gateway-no-upstream', ['upstream'], 'gateway-stand-down'), [['e7-f9']]);
  assert.deepEqual(kept('link-silent', ['batadv tables'], 'kick'), []);
  assert.deepEqual(kept('link-flapping', ['rtnetlink', 'batadv tables'], 'link-cost'), []);
  assert.deepEqual(kept('translation-inconsistent', ['translation tables'], 'tell'), []);
  assert.deepEqual(kept('remote-alarm', ['alarm'], 'kick'), []);
  assert.deepEqual(kept('clock-stepped', ['vitals'], 'none'), []);
});

test('while a repair is under way nothing is made of what comes', (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let busy = false;
  const flight = new Flight(64, { busy: () => busy });
  flight.router.cut();
  flight.router.pass(5 * SECOND);
  busy = true;
  for (let n = 0; n < 100; n++) t.mock.timers.tick(2000);
  assert.equal(flight.kept.length, 0);
  busy = false;
  flight.router.pass(90 * SECOND);
  for (let n = 0; n < 3; n++) t.mock.timers.tick(2000);
  assert.equal(flight.kept.length, 1);
});

test('a flood of frames in which nothing is heard leaves nothing to be written down', (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let looked = 0;
  const busy = () => {
    looked += 1;
    return true;
  };
  const recorder = new Recorder(256, {
    header: { agent: 'test', machines: [] },
    now: () => 0,
    busy,
    keep: () => {},
  });
  const event = { type: 'frame', interface: 21, frame: 'ff'.repeat(1500) } as const;
  for (let now = 1; now <= 1000; now++) recorder.take({ now, event, heard: [], decided: [] });
  t.mock.timers.tick(1000);
  assert.equal(looked, 0, 'nothing waits');
  recorder.take({ now: 1001, event: { type: 'tick' }, heard: [], decided: [] });
  t.mock.timers.tick(1000);
  assert.ok(looked > 0, 'what is more does');
});

test('0 records nothing; turned on later it begins with what is known', () => {
  const flight = new Flight(0);
  flight.router.pass(100 * SECOND);
  assert.equal(flight.recorder.export(), null);
  flight.recorder.settle(64);
  flight.router.pass(120 * SECOND);
  flight.router.cut();
  flight.router.pass(20 * SECOND);
  const recording = flight.read();
  assert.equal(recording.begins, 'later');
  const done = replay(recording);
  assert.equal(done.difference, null);
  assert.ok(done.decisions >= 2);
  flight.recorder.settle(8);
  assert.ok(flight.recorder.export()!.length < 16 * 1024);
  flight.recorder.settle(0);
  assert.equal(flight.recorder.export(), null);
});

test('a mesh that is too large for the memory is not recorded, and costs nothing', () => {
  const flight = new Flight(2);
  flight.router.pass(600 * SECOND);
  assert.equal(flight.recorder.export(), null);
  flight.recorder.settle(64);
  flight.router.pass(150 * SECOND);
  flight.router.cut();
  flight.router.pass(20 * SECOND);
  assert.equal(replay(flight.read()).difference, null);
});

test('what a repair left behind is written in small batches', (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let asked = 0;
  const busy = (): boolean => {
    asked++;
    return false;
  };
  const flight = new Flight(64, { busy });
  flight.router.pass(60 * SECOND);
  const turns = flight.router.turns.length;
  t.mock.timers.tick(250);
  for (let n = 0; n < turns / 25 - 1; n++) t.mock.timers.tick(20);
  assert.ok(asked >= turns / 25, `${asked} looks for ${turns} turns`);
});

test('where flash has no room for all of it the end of it is kept, and replays', () => {
  const most = 40 * 1024;
  const flight = new Flight(64, { room: () => most });
  flight.router.pass(4000 * SECOND);
  flight.router.cut();
  flight.router.pass(30 * SECOND);
  assert.ok(flight.recorder.export()!.length > most);
  flight.recorder.close();
  const [{ recording }] = flight.kept as [Kept];
  assert.ok(recording.length <= most && recording.length > most / 3, `${recording.length} bytes`);
  const read = readRecording(gunzipSync(recording).toString('utf8'));
  assert.equal(read.begins, 'later');
  const done = replay(read);
  assert.equal(done.difference, null);
  assert.ok(done.decisions >= 2);
});
