/** A router whose clock was never set, and a browser that knows what time it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { town } from '../../luci/meshes.ts';
import { type Agent, page } from './page.ts';

/** A town's mesh by a clock that is so much behind. */
function behind(lateMs: number): Agent {
  const answers = town() as Record<string, (args: object) => Record<string, unknown>>;
  const late = (time: unknown) => new Date(Date.parse(String(time)) - lateMs).toISOString();
  return {
    ...Object.fromEntries(Object.entries(answers).map(([name, answer]) => [name, () => answer({})])),
    config_trial: () => ({ secondsLeft: null }),
    status: () => ({ ...answers.status!({}), now: late(answers.status!({}).now) }),
    heal_log: (limit) => {
      const { entries } = answers.heal_log!({ limit }) as { entries: { time: string }[] };
      return { entries: entries.map((entry) => ({ ...entry, time: late(entry.time) })) };
    },
  };
}

const AT_1970 = Date.now() - 3 * 3_600_000;

async function faultsToday(lateMs: number): Promise<string> {
  const { view } = page('status', behind(lateMs));
  await view.load();
  const shown = await view.render();
  return shown.one('x0-figures').children[0]!.textContent;
}

test('faults in 24 hours are those of the router’s day, whatever year it has', async () => {
  const right = await faultsToday(0);
  assert.match(right, /^[1-9]\d*faults in 24 hours$/);
  assert.equal(await faultsToday(AT_1970), right);
  assert.equal(await faultsToday(-AT_1970), right, 'a clock that is ahead');
});

async function ticks(lateMs: number): Promise<string[]> {
  const { view } = page('map', behind(lateMs));
  await view.load();
  const shown = await view.render();
  view.seek(600);
  await new Promise((done) => setTimeout(done, 20));
  return shown.one('x0-ticks').children.map((tick) => `${tick.getAttribute('data-key')} ${tick.getAttribute('x')}`);
}

test('ticks of the slider stand where the repairs were, whatever year the router has', async () => {
  const right = await ticks(0);
  assert.ok(right.length > 0);
  assert.deepEqual(await ticks(AT_1970), right);
});
