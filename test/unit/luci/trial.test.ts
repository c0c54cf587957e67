/** What LuCI shows of a changed configuration that is on trial, and what it does when that ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { page, type Shown } from './page.ts';

/** As much of LuCI's form as a view without options takes. */
class Form {
  section = () => ({ option: () => ({}) });
  render = async () => null;
  load = async () => {};
}
const uci = { load: async () => {}, sections: () => [], get: () => null, add() {} };

/** Settings over a file that others change, and a trial. */
async function settings(secondsLeft: number | null = 30) {
  const state = { secondsLeft, interface: 'bat9', isReadable: true };
  const { view, reloads } = page(
    'settings',
    {
      options: () => ({ sections: [] }),
      config_trial: () => ({ secondsLeft: state.secondsLeft }),
      config_check: () => ({ valid: true }),
      get: (config) => {
        assert.equal(config, 'x0tta6bl4');
        if (!state.isReadable) throw new Error('Access denied');
        return { mesh: { '.type': 'mesh', interface: state.interface } };
      },
    },
    { form: { Map: Form }, uci },
  );
  await view.load();
  await view.render();
  return { state, view, reloads };
}

test('a change that was taken back: the page is loaded anew, once the file is back', async () => {
  const { state, view, reloads } = await settings();
  await view.update();
  state.secondsLeft = null;
  for (let n = 0; n < 3; n++) await view.update();
  assert.equal(reloads.count, 0, 'root has not put it back yet');
  state.interface = 'bat0';
  await view.update();
  assert.equal(reloads.count, 1);
  await view.update();
  assert.equal(reloads.count, 1, 'once is enough');
});

test('a change that was kept: the form stays, with what has been typed into it', async () => {
  const { state, view, reloads } = await settings();
  state.secondsLeft = null;
  for (let n = 0; n < 20; n++) await view.update();
  assert.equal(reloads.count, 0);
  state.interface = 'bat1';
  await view.update();
  assert.equal(reloads.count, 0, 'long after a trial others may edit the file');
});

test('what is saved meanwhile, and not applied, is not taken for what was taken back', async () => {
  const { state, view, reloads } = await settings();
  Object.assign(view, { super: async () => Object.assign(state, { interface: 'saved' }) });
  await view.handleSave();
  state.secondsLeft = null;
  await view.update();
  assert.equal(reloads.count, 0);
});

test('where no trial has ended, or the file cannot be read, the page stays', async () => {
  for (const [secondsLeft, isReadable] of [
    [null, true],
    [30, false],
  ] as const) {
    const { state, view, reloads } = await settings(secondsLeft);
    await view.update();
    Object.assign(state, { secondsLeft: null, interface: 'bat0', isReadable });
    for (let n = 0; n < 3; n++) await view.update();
    assert.equal(reloads.count, 0, `${secondsLeft}`);
  }
});

const live = (place: Shown): Shown[] => place.all().filter((one) => one.hasAttribute('aria-live'));

test('a screen reader is told of a trial by an element that it knows, and once: without the seconds', () => {
  const { lib } = page('settings', {}, { form: { Map: Form }, uci });
  const place = lib.trial(null, () => null);
  const [region, ...others] = live(place);
  assert.ok(region, 'before there is anything to say');
  assert.equal(others.length, 0);
  assert.equal(place.textContent, '');

  lib.morph(
    place,
    lib.trial(41, () => null),
  );
  assert.deepEqual(live(place), [region], 'the same element');
  assert.equal(region.getAttribute('aria-live'), 'polite');
  const said = region.textContent;
  assert.match(said, /^The changed settings are on trial\. .* they are taken back\.$/);
  assert.match(place.textContent, /41 seconds/);

  lib.morph(
    place,
    lib.trial(36, () => null),
  );
  assert.equal(region.textContent, said);
  assert.match(place.textContent, /36 seconds/);

  lib.morph(
    place,
    lib.trial(null, () => null),
  );
  assert.equal(place.textContent, '');
  assert.equal(place.hasAttribute('class'), false, 'no frame around nothing');
});
