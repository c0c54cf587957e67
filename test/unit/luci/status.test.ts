/** LuCI's page Status, over what an agent answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { town } from '../../luci/meshes.ts';
import { page } from './page.ts';

type Answer = Record<string, unknown>;
const answers = () => town() as unknown as Record<string, (...args: unknown[]) => Answer>;

test('what a link without figures of a radio goes over: a cable only where there is one', async () => {
  const agent = answers();
  const [first] = agent.links!().links as Answer[];
  const kinds = ['ethernet', 'wifi', 'vxlan', 'wireguard', null, '<b>', undefined];
  const links = kinds.map((kind, n) => ({ ...first, neighbour: `02:00:00:00:00:0${n}`, kind, radio: null }));
  const { view } = page('status', { ...agent, names: () => ({ names: {} }), links: () => ({ links }) });
  await view.load();
  const shown = await view.render();
  const cells = shown.all().filter((one) => one.getAttribute('data-title') === 'Signal');
  const words = ['cable', 'Wi-Fi, no figures', 'vxlan', 'wireguard', '–', '<b>', '–'];
  assert.deepEqual(
    cells.map(({ textContent }) => textContent),
    words,
  );
});
