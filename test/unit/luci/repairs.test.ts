/** LuCI's page of repairs over a journal that is longer than what it asks for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { page, type Shown } from './page.ts';

const entry = (id: number) => ({
  ...{ id, time: '2026-01-02T03:04:05.006Z', fault: `e1-f${id}`, class: 'link-down', interface: 'eth1', peer: null },
  ...{ step: 'verified', action: 'kick', afterMs: 1, why: '', result: '' },
});

/** The page over a journal of so many entries. */
async function repairs(length: number): Promise<{ shown: Shown; notes(): string[] }> {
  const journal = Array.from({ length }, (_, n) => entry(n + 1));
  const { view } = page('repairs', {
    names: () => ({ names: {} }),
    nodes: () => ({ nodes: [] }),
    heal_mode: () => ({ classes: [] }),
    heal_log: (limit) => ({ entries: journal.slice(-Number(limit)) }),
  });
  await view.load();
  const shown = await view.render();
  const notes = (): string[] =>
    shown
      .all()
      .filter((one) => one.dataset.key === 'newest')
      .map(({ textContent }) => textContent);
  return { shown, notes };
}

test('where the journal may be longer than the page, and than an export, it says so', async () => {
  const { shown, notes } = await repairs(5000);
  assert.match(notes().join(), /^These are the newest 200 entries of the journal; an export has no more/);
  const more = shown.all().find((one) => one.dataset.key === 'more')!;
  await more.click();
  await new Promise((done) => setTimeout(done, 20));
  assert.match(notes().join(), /^These are the newest 1000 entries/);
  assert.equal(
    shown.all().some((one) => one.dataset.key === 'more'),
    false,
    'there is no way to more',
  );
});

test('a journal that is shown whole needs no such word', async () => {
  const { notes } = await repairs(199);
  assert.deepEqual(notes(), []);
});
