/** x0d as a process: signals, its socket, and what a second one meets. Its kernel is shim.ts. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Log } from '../../../agent/core/log.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { readLeft } from '../../../agent/host/recorder/file.ts';
import { sqliteRefusal } from '../../../agent/host/state/sqlite.ts';
import { openState } from '../../../agent/host/state.ts';
import { readRecording } from '../../../agent/record/format.ts';
import { replay } from '../../../agent/twin/replay.ts';
import { freePort, until } from './help.ts';
import { Place, skip } from './x0d.ts';

/** Names of the processes that this one has started and that still run. */
function children(pid: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        // proc(5): pid, (name), state, parent
        const [, command, parent] = /\((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, 'latin1')) ?? [];
        return Number(parent) === pid ? [command!] : [];
      } catch {
        return []; // it has ended
      }
    });
}

/** The faults of the journal that an agent has left. */
function agentJournal(place: Place): string[] {
  const state = openState({
    directory: join(place.dir, 'state'),
    journalEntries: 100,
    sizeLimitKib: 256,
    writeIntervalNs: SECOND,
    now: () => 0,
    wall: () => 0,
    log: new Log('error', () => {}),
  });
  const entries = state.query();
  state.close();
  return entries.map(({ decision }) => decision.fault.id);
}

test('waiting for batman-adv: SIGHUP is heard, nothing is left open, SIGTERM ends it', { skip }, async (t) => {
  const place = new Place(t);
  place.configure();
  const agent = place.start(false);
  await agent.says(/no batman-adv.*E_NO_BATADV/);
  assert.deepEqual(children(agent.pid), [], 'no undo helper yet');
  place.configure({ heal: { poll_interval: '2000' } });
  agent.kill('SIGHUP');
  await agent.says(/heal\.poll_interval changed\n/);
  agent.kill('SIGTERM');
  await agent.ended();
  assert.equal(agent.code, 0, agent.said);
  assert.equal(agent.ready, false);
});

const KEYS = ['aa'.repeat(32), 'bb'.repeat(32)] as const;
const print = (key: string) =>
  createHash('sha256')
    .update(Buffer.concat([Buffer.from('x0tta6bl4 mark v1'), Buffer.from(key, 'hex')]))
    .digest()
    .subarray(0, 8)
    .toString('hex');

test('marks go with the key, also with one that comes by SIGHUP while it waits', {
  skip: skip || (sqliteRefusal() ?? false),
}, async (t) => {
  const place = new Place(t);
  const state = openState({
    directory: join(place.dir, 'state'),
    journalEntries: 100,
    sizeLimitKib: 256,
    writeIntervalNs: SECOND,
    now: () => 0,
    wall: () => 0,
    log: new Log('error', () => {}),
  });
  for (const [n, key] of KEYS.entries()) {
    state.useKey(print(key));
    state.rememberMark(`02:00:00:00:00:0${n}`, 1, 1);
  }
  state.close();

  place.configure({ mesh: { key: KEYS[0] } });
  const first = place.start();
  await first.isReady();
  first.kill('SIGTERM');
  await first.ended();
  const second = place.start(false);
  await second.says(/E_NO_BATADV/);
  place.configure({ mesh: { key: KEYS[1] } });
  second.kill('SIGHUP');
  await second.says(/mesh\.key changed/);
  second.appears();
  await second.isReady();
  second.kill('SIGTERM');
  await second.ended();
  const marks = [first, second].map((agent) => {
    const started = agent.tape().filter((event) => event.type === 'started');
    assert.equal(started.length, 1, agent.said);
    return started[0]!.marks.map(({ sender }) => sender);
  });
  assert.deepEqual(marks, [['02:00:00:00:00:00'], ['02:00:00:00:00:01']]);
});

test('the flight recorder and the tape of a running agent replay, and tell no key', { skip }, async (t) => {
  const place = new Place(t);
  place.configure({ mesh: { key: KEYS[0] } });
  const agent = place.start();
  await agent.isReady();
  await place.ask('POST', '/heal/kick', {});
  const { status, body } = await place.ask('POST', '/record/export', {});
  assert.equal(status, 200);
  const text = gunzipSync(Buffer.from(body.data as string, 'base64')).toString('utf8');
  agent.kill('SIGTERM');
  await agent.ended();
  const tape = agent.recording();
  for (const one of [text, tape]) {
    assert.ok(!one.includes(KEYS[0]));
    const recording = readRecording(one);
    assert.equal(recording.begins, 'start');
    const done = replay(recording);
    assert.equal(done.difference, null);
    assert.deepEqual(done.machines, []);
    assert.ok(done.decisions > 0, one);
  }
});

test('what an agent has recorded that is killed is listed by the next one, and replays; an orderly end leaves nothing', {
  skip: skip || (sqliteRefusal() ?? false),
}, async (t) => {
  const place = new Place(t);
  place.configure();
  const file = join(place.dir, 'run', 'recorder.db');
  const list = async () =>
    (await place.ask('GET', '/record')).body.recordings as { id: number; why: string; faults: string[] }[];
  const killed = place.start();
  await killed.isReady();
  const { body: kicked } = await place.ask('POST', '/heal/kick', {});
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const copy = join(place.dir, 'copy.db');
  await until('the kick in the file', () => {
    copyFileSync(file, copy);
    try {
      return readLeft(copy)?.waiting.some((lines) => lines.includes(kicked.fault as string)) ?? false;
    } catch {
      return false; // in the middle of a write
    }
  });
  killed.kill('SIGKILL');
  await killed.ended();
  const next = place.start();
  await next.isReady();
  assert.match(next.said, /warning: the last life ended without a word .* kept: x0ctl record list/);
  const kept = await list();
  assert.deepEqual(
    kept.map(({ why }) => why),
    ['ended'],
  );
  const { body } = await place.ask('POST', '/record/export', { id: kept[0]!.id });
  const text = gunzipSync(Buffer.from(body.data as string, 'base64')).toString('utf8');
  assert.ok(text.includes(kicked.fault as string), 'up to what was asked of it last');
  const recording = readRecording(text);
  assert.equal(recording.begins, 'start');
  const done = replay(recording);
  assert.equal(done.difference, null);
  assert.deepEqual(done.machines, []);
  assert.ok(done.decisions > 0);
  next.kill('SIGTERM');
  await next.ended();
  assert.equal(existsSync(file), false);
  const third = place.start();
  await third.isReady();
  assert.doesNotMatch(third.said, /without a word/);
  assert.deepEqual(await list(), kept);
  third.kill('SIGTERM');
  await third.ended();
});

test('where the runtime directory takes no file, recording goes on on the heap, and status and log say so', {
  skip: skip || (sqliteRefusal() ?? false),
}, async (t) => {
  const place = new Place(t);
  place.configure();
  const file = join(place.dir, 'run', 'recorder.db');
  mkdirSync(join(place.dir, 'run'), { mode: 0o750 });
  symlinkSync('/nowhere', file);
  const agent = place.start();
  await agent.isReady();
  assert.equal([...agent.said.matchAll(/the flight recorder is kept on the heap/g)].length, 1, agent.said);
  const { body: status } = await place.ask('GET', '/mesh/status');
  const { degraded } = status.agent as { degraded: { part: string; level: string }[] };
  assert.ok(
    degraded.some(({ part, level }) => part === 'recorder' && level === 'memory'),
    JSON.stringify(degraded),
  );
  assert.equal((await place.ask('POST', '/record/export', {})).status, 200);
  agent.kill('SIGTERM');
  await agent.ended();
  assert.equal(agent.code, 0);
  assert.ok(lstatSync(file).isSymbolicLink());
});

test('a second agent on the same socket is refused before it may act; the first goes on, and its tape', {
  skip,
}, async (t) => {
  const place = new Place(t);
  const tape = join(place.dir, 'tape');
  place.configure();
  const first = place.start(true, tape);
  await first.isReady();
  assert.equal(statSync(join(place.socket, '..')).mode & 0o777, 0o750, 'the directory is made');
  place.configure({ mesh: { interface: `${place.mesh}-2` } });
  const second = place.start(true, tape);
  await second.ended();
  assert.equal(second.code, 1);
  assert.match(second.said, /another agent answers there code=E_SOCKET/);
  assert.doesNotMatch(second.said, /no mesh\.key/, 'said when the machines are started');
  assert.match(first.said, /no mesh\.key/);
  assert.equal(await place.mode(), 'act');
  assert.deepEqual(children(first.pid), ['x0undo']);
  assert.equal(existsSync(place.socket), true);
  first.kill('SIGTERM');
  await first.ended();
  assert.equal(first.code, 0);
  assert.equal(existsSync(place.socket), false);
  assert.deepEqual(
    first.tape().filter(({ type }) => type === 'settings' || type === 'started').length,
    2,
    'all from its start on',
  );
});

test('two agents on one mesh interface: the second ends, whatever sockets and states they have', {
  skip,
}, async (t) => {
  const place = new Place(t);
  place.configure();
  const first = place.start();
  await first.isReady();
  place.configure({
    report: { socket: join(place.dir, 'other', 'ctl.sock') },
    state: { directory: join(place.dir, 'other') },
  });
  const second = place.start();
  await second.ended();
  assert.equal(second.code, 1, second.said);
  const words = new RegExp(`an agent for ${place.mesh} runs already: pid ${first.pid} \\(.*daemon\\.ts.*code=E_SOCKET`);
  assert.match(second.said, words);
  assert.equal(existsSync(join(place.dir, 'other')), false, 'nothing was begun');
  first.kill('SIGKILL');
  await first.ended();
  const third = place.start();
  await third.isReady();
  assert.ok(third.ready, third.said);
  third.kill('SIGTERM');
  await third.ended();
});

test('while batman-adv is missing: HTTP says so, and no two starts give a fault the same name', {
  skip: skip || (sqliteRefusal() ?? false),
}, async (t) => {
  const place = new Place(t);
  const port = await freePort();
  const taken = createServer();
  await new Promise<void>((listening) => taken.listen(0, '127.0.0.1', listening));
  t.after(() => taken.close());
  const metrics = (taken.address() as { port: number }).port;
  place.configure({ report: { http: '1', http_port: String(port), metrics_port: String(metrics) } });
  const ids: string[] = [];
  for (const _ of [1, 2]) {
    const agent = place.start(false);
    await agent.says(/E_NO_BATADV/);
    const answer = await fetch(`http://127.0.0.1:${port}/health`);
    const { status, reasons } = (await answer.json()) as { status: string; reasons: string[] };
    assert.equal(status, 'problem');
    assert.ok(
      reasons.some((why) => /^kernel: none/.test(why)),
      String(reasons),
    );
    assert.ok(
      reasons.some((why) => /^HTTP metrics: none \(cannot listen.*EADDRINUSE/.test(why)),
      String(reasons),
    );
    const kicked = (await place.ask('POST', '/heal/kick')).body;
    assert.equal(kicked.done, false, 'there is nothing to kick with');
    agent.kill('SIGTERM');
    await agent.ended();
    ids.push(agentJournal(place).at(-1)!);
    assert.equal(kicked.fault, ids.at(-1), JSON.stringify(kicked));
  }
  assert.notEqual(ids[0], ids[1]);
});

test('alerts that wait when the agent ends reach their handler; one that hangs holds nothing up', {
  skip,
}, async (t) => {
  const place = new Place(t);
  const [out, script] = [join(place.dir, 'alerts'), join(place.dir, 'handler.sh')];
  writeFileSync(out, '');
  writeFileSync(script, `sleep "$1"; cat >> '${out}'\n`);
  for (const [pause, most] of [
    ['0.1', 7000],
    ['9', 7000],
  ] as const) {
    writeFileSync(out, '');
    const command = ['/bin/sh', script, pause].map((word) => `\tlist command '${word}'\n`).join('');
    place.configure({}, `config alert 'alert'\n${command}`);
    const agent = place.start(false);
    await agent.says(/E_NO_BATADV/);
    const { fault } = (await place.ask('POST', '/heal/kick')).body as { fault: string };
    const began = Date.now();
    agent.kill('SIGTERM');
    await agent.ended();
    assert.equal(agent.code, 0);
    assert.ok(Date.now() - began < most, `${Date.now() - began} ms`);
    if (pause === '0.1') assert.match(readFileSync(out, 'utf8'), new RegExp(`"fault":"${fault}"`));
  }
});

test('no place for a socket: the agent runs all the same, and says what it lacks', { skip }, async (t) => {
  const place = new Place(t);
  writeFileSync(join(place.dir, 'run'), 'in the way');
  const [port, metrics] = [await freePort(), await freePort()];
  place.configure({ report: { http: '1', http_port: String(port), metrics_port: String(metrics) } });
  const agent = place.start();
  await agent.isReady();
  assert.ok(agent.ready, agent.said);
  assert.match(agent.said, /no control socket: .* code="E_SOCKET"/);
  const status = (await (await fetch(`http://127.0.0.1:${port}/mesh/status`)).json()) as {
    agent: { degraded: { part: string; level: string }[] };
  };
  assert.ok(
    status.agent.degraded.some(({ part, level }) => part === 'control' && level === 'none'),
    JSON.stringify(status.agent),
  );
  agent.kill('SIGTERM');
  await agent.ended();
  assert.equal(agent.code, 0);
});

test('SIGHUP leaves the mode that was asked for, unless the file has another one than before', { skip }, async (t) => {
  const place = new Place(t);
  place.configure();
  const agent = place.start();
  await agent.isReady();
  assert.equal((await place.ask('POST', '/heal/mode', { mode: 'observe' })).status, 200);
  place.configure({ heal: { kick_count: '9' }, state: { write_interval: '5' }, mesh: { node_name: 'b' } });
  agent.kill('SIGHUP');
  await agent.says(/heal\.kick_count changed\n/);
  await agent.says(/state\.write_interval changed\n/);
  await agent.says(/mesh\.node_name changed: it counts from the next start/);
  assert.equal(await place.mode(), 'observe');
  place.configure({ heal: { mode: 'off' } });
  agent.kill('SIGHUP');
  await agent.says(/heal\.mode changed/);
  assert.equal(await place.mode(), 'off');
  agent.kill('SIGTERM');
  await agent.ended();
});

test('what somebody else left beside the socket is no proven configuration, and is not written through', {
  skip,
}, async (t) => {
  const place = new Place(t);
  place.configure();
  const planted = (own: boolean) => {
    const source = readFileSync(place.config, 'utf8').replace(
      "option interface 'x0-",
      "option orig_interval '5000'\n\toption interface 'x0-",
    );
    const text = JSON.stringify({ source: Buffer.from(source).toString('base64'), routers: ['02:00:00:00:00:01'] });
    mkdirSync(join(place.socket, '..'), { recursive: true });
    rmSync(`${place.socket}.proven`, { force: true });
    if (own) return writeFileSync(`${place.socket}.proven`, text, { mode: 0o600 });
    const victim = join(place.dir, 'victim');
    writeFileSync(victim, text);
    chmodSync(victim, 0o600);
    symlinkSync(victim, `${place.socket}.proven`);
  };
  for (const own of [true, false]) {
    planted(own);
    const agent = place.start();
    await agent.isReady();
    if (own) await agent.says(/the changed configuration is on trial/);
    const { body } = await place.ask('GET', '/config/trial');
    assert.equal(body.secondsLeft !== null, own, JSON.stringify(body));
    agent.kill('SIGTERM');
    await agent.ended();
    assert.equal(agent.code, 0, agent.said);
  }
  assert.ok(lstatSync(`${place.socket}.proven`).isFile());
  assert.equal(statSync(`${place.socket}.proven`).mode & 0o777, 0o600);
  assert.match(readFileSync(join(place.dir, 'victim'), 'utf8'), /02:00:00:00:00:01/, 'untouched');
});

test('one option that is wrong: the rest of the file counts, and that is what is said', { skip }, async (t) => {
  const place = new Place(t);
  place.configure({ beacon: { slot: 'soon' }, mesh: { node_name: 'kitchen' }, heal: { mode: 'act' } });
  const agent = place.start();
  await agent.isReady();
  await agent.says(/the rest of the file counts, healing is act/);
  const { body } = await place.ask('GET', '/config');
  assert.equal((body.config as { mesh: { node_name: string } }).mesh.node_name, 'kitchen');
  agent.kill('SIGTERM');
  await agent.ended();
});

test('nobody reads the log any more: the agent goes on', { skip }, async (t) => {
  const place = new Place(t);
  place.configure();
  const agent = place.start();
  await agent.isReady();
  agent.unheard();
  for (const mode of ['observe', 'act', 'observe']) {
    agent.kill('SIGHUP');
    assert.equal((await place.ask('POST', '/heal/mode', { mode })).status, 200);
  }
  assert.equal(await place.mode(), 'observe');
  agent.kill('SIGTERM');
  await agent.ended();
  assert.equal(agent.code, 0);
});

test('without the shim it starts, says what is lost, and ends as asked', { skip }, async (t) => {
  const place = new Place(t);
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  place.configure({ report: { http: '1', http_port: `${port}`, metrics_port: `${port + 1}` } });
  const agent = place.start(true, undefined, join(place.dir, 'x0shim.node'));
  await agent.isReady();
  await agent.says(/error: x0shim\.node is missing.*Without it there is no netlink.*E_NATIVE/);
  const answer = await fetch(`http://127.0.0.1:${port}/mesh/status`);
  const { health, agent: shown } = (await answer.json()) as { health: string; agent: { degraded: { part: string }[] } };
  assert.equal(health, 'problem');
  assert.deepEqual(
    shown.degraded.map(({ part }) => part).filter((part) => part === 'kernel' || part === 'control'),
    ['kernel', 'control'],
  );
  agent.kill('SIGTERM');
  await agent.ended();
  assert.equal(agent.code, 0);
});

test('a tunnel on a router without sessions: shown as what it is, and no harm to the rest', { skip }, async (t) => {
  const place = new Place(t);
  place.configure();
  const tunnel =
    "\nconfig tunnel 'home'\n\toption peer 'attic'\n\toption endpoint '192.0.2.1:51820'\n\toption mesh '1'\n";
  appendFileSync(place.config, tunnel);
  const agent = place.start();
  await agent.isReady();
  // What waits for nothing is joined after it is ready.
  for (let tries = 0; (await place.ask('GET', '/tunnels')).body.tunnels === null; tries++) assert.ok(tries < 2000);
  const { body } = await place.ask('GET', '/mesh/status');
  const { degraded } = body.agent as { degraded: { part: string; level: string }[] };
  assert.ok(
    degraded.some(({ part, level }) => part === 'tunnels' && level === 'none'),
    JSON.stringify(degraded),
  );
  const { body: shown } = await place.ask('GET', '/config');
  assert.equal((shown.config as Record<string, { psk_interval?: number }>)['tunnel.home']?.psk_interval, 120);
  agent.kill('SIGTERM');
  await agent.ended();
  assert.equal(agent.code, 0, agent.said);
});
