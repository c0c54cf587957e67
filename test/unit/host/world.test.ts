/** What the host makes of changes that fail, each in its own way, and of a router where something is missing. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import type { WorldEvent } from '../../../agent/core/event.ts';
import type { Change } from '../../../agent/core/kernel.ts';
import { Log } from '../../../agent/core/log.ts';
import { Runtime } from '../../../agent/core/runtime.ts';
import { NEVER } from '../../../agent/core/time.ts';
import { NO_SETTINGS } from '../../../agent/heal/surroundings.ts';
import { Host } from '../../../agent/host/world.ts';
import { linkOf, RTM_GETLINK, RTM_NEWLINK, Script, undoScene, until } from './help.ts';

const EBUSY = 16;
const EEXIST = 17;
const bat0 = linkOf(3, 'bat0', { kind: 'batadv' });
const eth1 = linkOf(5, 'eth1', { master: 3 });
const OUT: Change = { kind: 'set-master', interface: 'eth1', master: null };
const BACK: Change = { kind: 'set-master', interface: 'eth1', master: 'bat0' };

/** A host with a machine that writes down what it hears, and asks for the effects that the test hands it. */
function scene(t: TestContext) {
  const script = new Script();
  const undo = undoScene(t);
  const heard: WorldEvent[] = [];
  const booked: Effect[] = [];
  const restarts: string[] = [];
  let wanted: Effect[] = [];
  const host = new Host({
    native: script.native,
    log: new Log('error', () => {}),
    directory: null,
    onRestart: (why) => void restarts.push(why),
    onBook: (book) => void booked.push(book),
    onCount() {},
  });
  const machine = {
    name: 'test',
    on(event: unknown) {
      heard.push(event as WorldEvent);
      return wanted.splice(0);
    },
    deadline: () => NEVER,
  };
  host.attach(new Runtime([machine], host), { ...NO_SETTINGS, meshInterface: 'bat0' }, 1);
  t.after(() => host.close());
  return {
    script,
    undo,
    heard,
    booked,
    restarts,
    host,
    async open(): Promise<void> {
      const opening = host.open();
      (await script.next(RTM_GETLINK)).rows(bat0, eth1);
      await opening;
      await until('the undo helper', () => undo.started(1));
    },
    want(...effects: Effect[]): void {
      wanted = effects;
      host.feed({ type: 'tick' });
    },
    /** The last word on the change, once it is there. */
    async done(): Promise<string | null> {
      await until('change-done', () => heard.at(-1)?.type === 'change-done');
      const last = heard.at(-1)!;
      return last.type === 'change-done' ? last.error : '';
    },
  };
}

const detach: Effect = { type: 'change', id: 'detach-eth1', change: OUT, undo: BACK };

test('a restart waits for the end of the turn, so that its entry in the journal is not lost', async (t) => {
  const { heard, restarts, want } = scene(t);
  want({ type: 'restart', why: 'memory' }, { type: 'emit', event: { type: 'ease', on: true } });
  assert.deepEqual([heard.at(-1)?.type as string, restarts], ['ease', []]);
  await until('the restart', () => restarts.length === 1);
});

test('a refusal: nothing was changed, and the undo is disarmed', async (t) => {
  const { script, undo, host, open, want, done } = scene(t);
  undo.install();
  await open();
  want(detach);
  assert.deepEqual(host.armed(), ['detach-eth1'], 'armed before the kernel has answered');
  (await script.next(RTM_NEWLINK)).errno(EBUSY);
  assert.match((await done())!, /EBUSY/);
  assert.deepEqual(host.armed(), []);
  assert.equal(script.asked.length, 0);
});

test('a lost answer: the undo stays armed, and what the interface is now is told first', async (t) => {
  const { script, undo, heard, host, open, want, done } = scene(t);
  undo.install();
  await open();
  want(detach);
  (await script.next(RTM_NEWLINK)).lose();
  const look = await script.next(RTM_GETLINK);
  assert.notEqual(heard.at(-1)?.type, 'change-done');
  look.rows({ ...eth1, master: 0 });
  assert.match((await done())!, /lost/);
  const told = heard.at(-2)!;
  assert.ok(told.type === 'link' && told.link.master === 0);
  assert.deepEqual(host.armed(), ['detach-eth1']);
  want({ type: 'disarm', id: 'detach-eth1' });
  assert.deepEqual(host.armed(), []);
});

test('a lost answer, and nobody can be asked either: the outcome is told all the same', async (t) => {
  const { script, undo, host, open, want, done } = scene(t);
  undo.install();
  await open();
  want(detach);
  (await script.next(RTM_NEWLINK)).lose();
  (await script.next(RTM_GETLINK)).errno(EBUSY);
  assert.match((await done())!, /lost/);
  assert.deepEqual(host.armed(), ['detach-eth1']);
});

test('a change that could not be sent was not made', async (t) => {
  const { script, undo, host, open, want, done } = scene(t);
  undo.install();
  await open();
  script.broken = 'EAGAIN';
  want(detach);
  assert.match((await done())!, /sendto/);
  assert.deepEqual(host.armed(), []);
});

test('a change that cannot be taken back is not made: no helper, no way back', async (t) => {
  const { script, undo, host, open, want, done, heard } = scene(t);
  undo.install();
  await open();
  want({ ...detach, undo: { ...BACK, master: 'bat7' } } as Effect);
  assert.match((await done())!, /no undo could be prepared: there is no interface bat7/);
  process.kill(undo.pid(1), 'SIGKILL');
  await until('gone', () => !host.undoAlive());
  heard.length = 0;
  want(detach);
  assert.match((await done())!, /no undo could be prepared: the undo helper does not run/);
  assert.equal(script.asked.length, 0);
  assert.deepEqual(host.armed(), []);
});

test('what a creation made is told before its outcome, since the next step names it', async (t) => {
  const { script, undo, heard, open, want, done } = scene(t);
  undo.install();
  await open();
  want({ type: 'change', id: 'c', change: { kind: 'create-bridge', interface: 'primary0', mac: null }, undo: null });
  (await script.next(RTM_NEWLINK)).errno(0);
  (await script.next(RTM_GETLINK)).rows(linkOf(9, 'primary0', { kind: 'bridge' }));
  assert.equal(await done(), null);
  const told = heard.at(-2)!;
  assert.ok(told.type === 'link' && told.link.name === 'primary0');
  // Somebody else was faster: then that one is the next step's.
  want({ type: 'change', id: 'm', change: { kind: 'create-bridge', interface: 'br9', mac: null }, undo: null });
  (await script.next(RTM_NEWLINK)).errno(EEXIST);
  (await script.next(RTM_GETLINK)).rows(linkOf(10, 'br9', { kind: 'bridge' }));
  assert.match((await done())!, /EEXIST/);
  assert.equal(heard.at(-2)?.type, 'link');
});

test('no batman-adv: nothing stays open, the machines hear of settings, and it opens when there is one', async (t) => {
  const { script, undo, heard, host, open } = scene(t);
  undo.install();
  script.batadv = false;
  for (let tries = 0; tries < 3; tries++) {
    await assert.rejects(host.open(), { code: 'E_NO_BATADV' });
    assert.equal(script.open.size, 0);
    assert.equal(host.undoAlive(), false);
  }
  assert.equal(undo.started(1), false);
  assert.deepEqual(host.armed(), []);
  host.settings({ ...NO_SETTINGS, meshInterface: 'bat0', pollNs: 7 });
  const last = heard.at(-1);
  assert.ok(last?.type === 'settings' && last.settings.pollNs === 7);
  script.batadv = true;
  await open();
  assert.equal(heard.at(-1)?.type, 'tables');
  assert.ok(host.undoAlive());
  host.close();
  assert.equal(script.open.size, 0);
});

test('effects before it is open harm nothing: books are kept, a change is answered', async (t) => {
  const { booked, host, want, done } = scene(t);
  want({ type: 'log', level: 'info', message: 'x', fields: {} }, { type: 'poll' }, { type: 'disarm', id: 'x' }, detach);
  assert.match((await done())!, /not open/);
  assert.equal(booked.length, 0);
  host.writeBooks();
  assert.deepEqual(
    booked.map(({ type }) => type),
    ['log'],
  );
  host.close();
  assert.equal(booked.length, 1, 'written once');
});
