/** Links as the machines are told of them, where what was asked and what was announced cross on their way. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Log } from '../../../agent/core/log.ts';
import { type Kernel, openKernel } from '../../../agent/host/kernel.ts';
import { ENODEV, linkOf, RTM_GETLINK, Script, until } from './help.ts';

const eth1 = linkOf(5, 'eth1');
const dead = { ...eth1, carrier: false };

interface Scene {
  readonly script: Script;
  readonly kernel: Kernel;
  /** What was told since the last look, as `name carrier` or `name gone`. */
  told(): string[];
  resyncs: number;
}

async function scene(t: TestContext, ...links: (typeof eth1)[]): Promise<Scene> {
  const script = new Script();
  let said: string[] = [];
  const made = {
    script,
    told: () => said.splice(0),
    resyncs: 0,
  };
  const opening = openKernel({
    native: script.native,
    log: new Log('error', () => {}),
    onLink: (link) => void said.push(`${link.name} ${link.carrier ? 'up' : 'dead'}`),
    onLinkGone: (_index, name) => void said.push(`${name} gone`),
    onMeshSettings: () => {},
    onResync: () => {
      made.resyncs += 1;
    },
  });
  (await script.next(RTM_GETLINK)).rows(...links);
  const kernel = await opening;
  t.after(() => kernel.close());
  said = [];
  return Object.assign(made, { kernel });
}

test('a look that an event has overtaken tells nothing', async (t) => {
  const { script, kernel, told } = await scene(t, eth1);
  const looked = kernel.look('eth1');
  const asked = await script.next(RTM_GETLINK);
  script.tell(dead);
  asked.rows(eth1);
  await looked;
  assert.deepEqual(told(), ['eth1 dead']);
  assert.equal(kernel.links.get(5)?.carrier, false);

  const again = kernel.look('eth1');
  (await script.next(RTM_GETLINK)).rows(eth1);
  await again;
  assert.deepEqual(told(), ['eth1 up'], 'an event of before the look counts for nothing');
});

test('a look does not bring back what has gone meanwhile', async (t) => {
  const { script, kernel, told } = await scene(t, eth1);
  const looked = kernel.look('eth1');
  const asked = await script.next(RTM_GETLINK);
  script.tellGone(eth1);
  asked.rows(eth1);
  await looked;
  assert.deepEqual(told(), ['eth1 gone']);
  assert.equal(kernel.byName('eth1'), undefined);
});

test('a look that fails, and one at nothing, are over all the same', async (t) => {
  const { script, kernel, told } = await scene(t, eth1);
  for (const what of ['refuse', 'lose'] as const) {
    const looked = kernel.look('eth1');
    const asked = await script.next(RTM_GETLINK);
    if (what === 'refuse') asked.errno(ENODEV);
    else {
      asked.lose();
      (await script.next(RTM_GETLINK)).lose();
    }
    await looked;
  }
  assert.deepEqual(told(), []);
});

test('lost events: what is told meanwhile is newer than the reading, and is read once more', async (t) => {
  const eth2 = linkOf(6, 'eth2');
  const made = await scene(t, eth1, eth2);
  const { script, kernel, told } = made;
  script.loseEvents();
  const first = await script.next(RTM_GETLINK);
  script.tell(dead);
  first.rows(eth1, linkOf(7, 'eth3'));
  const second = await script.next(RTM_GETLINK);
  assert.deepEqual(told(), ['eth1 dead', 'eth2 gone', 'eth3 up']);
  assert.equal(made.resyncs, 0);
  // The event had waited since before others were lost: this is how it is now.
  second.rows(eth1, linkOf(7, 'eth3'));
  await until('read anew', () => made.resyncs === 1);
  assert.deepEqual(told(), ['eth1 up', 'eth3 up']);
  assert.deepEqual([...kernel.links.keys()].sort(), [5, 7]);
});

test('what appears while all links are read is not taken for gone', async (t) => {
  const made = await scene(t, eth1);
  made.script.loseEvents();
  const first = await made.script.next(RTM_GETLINK);
  made.script.tell(linkOf(8, 'eth8'));
  first.rows(eth1);
  (await made.script.next(RTM_GETLINK)).rows(eth1, linkOf(8, 'eth8'));
  await until('read anew', () => made.resyncs === 1);
  assert.ok(!made.told().includes('eth8 gone'));
  assert.equal(made.kernel.byName('eth8')?.index, 8);
});

test('events lost again while all links are read: they are read once more; a reading that fails is tried again', async (t) => {
  const made = await scene(t, eth1);
  made.script.loseEvents();
  const first = await made.script.next(RTM_GETLINK);
  made.script.loseEvents();
  first.rows(eth1);
  const second = await made.script.next(RTM_GETLINK);
  second.errno(ENODEV);
  await pause(50);
  assert.equal(made.resyncs, 0);
  (await made.script.next(RTM_GETLINK)).rows(dead);
  await until('read anew', () => made.resyncs === 1);
  assert.equal(made.kernel.byName('eth1')?.carrier, false);
});

test('a link that never stands still does not keep the reading from its end', async (t) => {
  const made = await scene(t, eth1);
  made.script.loseEvents();
  let readings = 0;
  while (made.resyncs === 0) {
    await until('asked or done', () => made.resyncs > 0 || made.script.asked.length > 0);
    const asked = made.script.asked.shift();
    if (asked === undefined) break;
    readings += 1;
    made.script.tell(dead);
    asked.rows(eth1);
  }
  assert.ok(readings > 1 && readings < 10, `${readings}`);
  assert.equal(made.kernel.byName('eth1')?.carrier, false);
});

test('names: a renamed link keeps its index, a gone one goes by the name it had, and two never share one', async (t) => {
  const { script, kernel, told } = await scene(t, eth1, linkOf(6, 'eth2'));
  script.tell({ ...eth1, name: 'wan' });
  assert.equal(kernel.byName('wan')?.index, 5);
  assert.equal(kernel.byName('eth1'), undefined);
  // The event of a rename was lost: the name that was told is the one that goes.
  script.tellGone({ ...eth1, name: 'wan9' });
  assert.deepEqual(told(), ['wan up', 'wan gone']);
  // A new interface has the name of one whose own event is still to come.
  script.tell(linkOf(9, 'eth2'));
  assert.deepEqual(told(), ['eth2 gone', 'eth2 up']);
  assert.equal(kernel.byName('eth2')?.index, 9);
  script.tellGone(linkOf(6, 'eth2'));
  assert.deepEqual(told(), []);
  // An index that is used again.
  script.tell(linkOf(9, 'bat0', { kind: 'batadv' }));
  assert.equal(kernel.byName('eth2'), undefined);
  assert.equal(kernel.byName('bat0')?.kind, 'batadv');
});
