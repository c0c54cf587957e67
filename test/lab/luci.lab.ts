/**
 * The LuCI app in a real Chromium: its views over a small page with LuCI's client API (test/luci/page), its plugin over the
 * control socket of a real x0d (in namespaces, with a stand-in for batman-adv), and meshes that this machine does not have.
 *
 *     X0_LUCI=DIR    the same over the real client API of a LuCI checkout in DIR
 *     X0_UCODE=FILE  the plugin itself in this ucode, where none is installed
 *     X0_SHOTS=DIR   keeps a picture of each view, at 360 and 1280 pixels, light and dark
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { describe } from '../../agent/config/describe.ts';
import { FORMAT } from '../../agent/config/migrate.ts';
import { defaultsUci } from '../../agent/config/schema.ts';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { gateways, history } from '../../agent/report/api/past.ts';
import { mismatch, type Schema } from '../../agent/report/shape.ts';
import * as shapes from '../../agent/report/shapes.ts';
import { prepare, Rig, stop } from '../../tools/bench/rig.ts';
import { METHODS } from '../../tools/luci/methods.ts';
import { openPlugin, type Plugin, ucode } from '../../tools/luci/plugin.ts';
import type { Report } from '../../tools/test.ts';
import { type Browser, missing, openBrowser } from '../luci/browser.ts';
import { community, large, router, town } from '../luci/meshes.ts';
import { Server } from '../luci/server.ts';

export const name = 'luci';

const SHOTS = process.env.X0_SHOTS || undefined;
const REAL = process.env.X0_LUCI !== undefined;
const VIEWS = ['status', 'map', 'repairs', 'settings', 'join'] as const;
const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';

interface Stage {
  readonly report: Report;
  readonly browser: Browser;
  readonly server: Server;
  readonly base: string;
  readonly config: string;
  /** What went wrong in pages since it was looked at last. */
  readonly errors: string[];
}

export async function run(report: Report): Promise<void> {
  const why = missing();
  if (why !== null) return report.skip('all', why);
  if (ucode() === null)
    report.skip('the plugin in ucode', 'no ucode with its socket module is installed (X0_UCODE); its stand-in answers');
  const dir = mkdtempSync(join(tmpdir(), 'x0-luci-'));
  const config = join(dir, 'x0tta6bl4');
  writeFileSync(config, defaultsUci());
  const plugin = openPlugin(join(dir, 'nobody.sock'));
  const server = new Server({ plugin, config });
  const browser = await openBrowser();
  try {
    const stage: Stage = { report, browser, server, base: await server.listen(), config, errors: [] };
    await views(stage);
    await pictures(stage);
    await hostile(stage);
    await troubles(stage);
    await settings(stage);
    await realAgent(stage, config);
  } finally {
    await browser.close();
    server.close();
    plugin.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

const STEWARD = { state: 'member', isSteward: true, stewards: [] };

async function check(report: Report, what: string, does: () => Promise<unknown>): Promise<void> {
  try {
    await does();
    report.pass(what);
  } catch (thrown) {
    report.fail(what, thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  }
}

async function open(
  { browser, base, errors }: Stage,
  view: string,
  { width = 1280, dark = false, lang = 'en', tick = 1000 } = {},
): Promise<Page> {
  const page = await browser.context.newPage();
  page.on('pageerror', (error) => errors.push(String(error.stack ?? error)));
  page.on('dialog', (dialog) => {
    errors.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.setViewportSize({ width, height: width < 500 ? 780 : 800 });
  const query = `dark=${Number(dark)}&lang=${lang}&tick=${tick}`;
  await page.goto(
    `${base}/cgi-bin/luci/admin/services/x0tta6bl4/${view.replace('#', `?${query}#`)}${view.includes('#') ? '' : `?${query}`}`,
  );
  await page.waitForSelector('.x0');
  // The style has to be there before anything is measured.
  await page.waitForFunction(`getComputedStyle(document.querySelector('.x0')).getPropertyValue('--x0-accent') !== ''`);
  return page;
}

/** What a person reads there: as it is laid out. */
const seen = (page: Page, where: string): Promise<string> =>
  page.evaluate(`document.querySelector('${where}').innerText`);
const textOf = (page: Page): Promise<string> => seen(page, '#view');
const number = (page: Page, expression: string): Promise<number> => page.evaluate(expression);

/** What there is to see in the views, and that it reacts. */
async function views(stage: Stage): Promise<void> {
  const { report, server, errors } = stage;
  await check(report, 'the meshes of these tests answer in the shapes of the API', async () => {
    const schemas: Record<string, Schema> = {
      status: shapes.status.schema,
      nodes: shapes.nodes.schema,
      links: shapes.links.schema,
      topology: shapes.topology.schema,
      heal_log: shapes.log.schema,
      explain: shapes.explanation.schema,
      heal_mode: shapes.classes.schema,
      gateways: gateways.schema,
      history: history.schema,
      options: shapes.options.schema,
      config_trial: shapes.trial.schema,
    };
    for (const answers of [town(), large(300), community()])
      for (const [method, schema] of Object.entries(schemas))
        assert.equal(mismatch(schema, answers[method]!({ fault: 'e3-f4', limit: 50 })), null, method);
  });

  server.instead = town();
  await check(report, 'Status says in a sentence that the mesh is well, and shows what that rests on', async () => {
    const page = await open(stage, 'status');
    const text = await textOf(page);
    for (const part of [
      'The mesh is well; 9 other routers are in reach.',
      'roof-north',
      'town-hall',
      'through bakery',
      '-79 dBm',
      '38.2 ms',
    ])
      assert.ok(text.includes(part), `${part} in ${text}`);
    assert.equal(await page.locator('.x0-hero[role=status][aria-live=polite]').count(), 1);
    server.instead = town('problem');
    await page.waitForSelector('.x0-hero.x0-problem', { timeout: 25_000 });
    assert.match(await textOf(page), /a fault that is not over/);
    await page.close();
  });

  server.instead = town();
  await check(report, 'Status is updated in place: what is marked stays, and nothing is built anew', async () => {
    const page = await open(stage, 'status', { tick: 100 });
    await page.evaluate(`for (const node of document.querySelectorAll('.x0 *')) node.marked = true`);
    await page.focus('#x0-mode');
    await sleep(1200);
    const [all, marked, focus] = (await page.evaluate(
      `[document.querySelectorAll('.x0 *').length, [...document.querySelectorAll('.x0 *')].filter(n => n.marked).length, document.activeElement.id]`,
    )) as [number, number, string];
    assert.deepEqual([marked, focus], [all, 'x0-mode']);
    assert.ok(server.asked.length > 10, 'it was asked meanwhile');
    await page.selectOption('#x0-mode', 'observe');
    await page.waitForFunction(`true`);
    await sleep(100);
    assert.deepEqual(server.asked.find(({ method }) => method === 'set_heal_mode')?.args, { mode: 'observe' });
    await page.close();
  });

  await check(report, 'Map: routers, ways, the way to the gateway; a click and the keyboard show details', async () => {
    const page = await open(stage, 'map');
    assert.equal(await page.locator('svg.x0-map g.x0-node').count(), 10);
    assert.equal(await page.locator('line.x0-edge').count(), 10 + 6, 'ten ways, and six samples of the key');
    assert.equal(await page.locator('svg.x0-map line.x0-way').count(), 2, 'two hops to the gateway');
    const dashes = (await page.evaluate(
      `[5, 4, 3, 2, 1].map(n => { const s = getComputedStyle(document.querySelector('.x0-legend .x0-l' + n)); return s.strokeDasharray + s.strokeWidth })`,
    )) as string[];
    assert.equal(new Set(dashes).size, 5, 'each quality is told by more than its colour');
    await page.locator(`g[data-id="${router(8)}"]`).click();
    await page.waitForSelector('.x0-details h3');
    assert.match(await seen(page, '.x0-details'), /workshop[\s\S]*roof-north[\s\S]*library[\s\S]*old-mill/);
    await page.locator(`g[data-id="${router(0)}"]`).focus();
    await page.keyboard.press('ArrowUp');
    const next = (await page.evaluate('document.activeElement.dataset.id')) as string;
    assert.notEqual(next, router(0));
    await page.keyboard.press('Enter');
    assert.equal(await page.locator('g[aria-pressed=true]').getAttribute('data-id'), next);
    const labels = (await page.evaluate(
      `[...document.querySelectorAll('svg.x0-map g.x0-node')].map(g => g.getAttribute('aria-label'))`,
    )) as string[];
    assert.ok(
      labels.every((label) => label.length > 3) &&
        labels.some((label) => /town-hall, gateway, 2 hops or more, quality good/.test(label)),
      labels.join('; '),
    );
    assert.equal(await page.locator('svg.x0-map g.x0-node[tabindex="0"]').count(), 1, 'one stop of the tab key');
    await page.close();
  });

  await check(report, 'Map: the slider shows the last hour, and who was not there', async () => {
    const page = await open(stage, 'map');
    const slider = page.locator('input[type=range]');
    await slider.fill('-1065');
    await page.waitForSelector('.x0-replaying');
    const lost = (await page.evaluate(
      `[...document.querySelectorAll('svg.x0-map g.x0-lost')].map(g => g.dataset.id)`,
    )) as string[];
    assert.deepEqual(lost, [router(1), router(5)], 'the library and the harbour hung on a link that was down');
    assert.match((await slider.getAttribute('aria-valuetext'))!, /18 minutes ago/);
    assert.match(await seen(page, '.x0-here'), /A link lost its carrier: repaired/);
    assert.equal(await page.locator('.x0-ticks rect').count(), 2);
    await slider.fill('0');
    await page.waitForFunction(`document.querySelector('.x0-replaying') === null`);
    assert.equal(await page.locator('svg.x0-map g.x0-lost').count(), 0);
    await page.close();
  });

  await check(report, 'Map: 300 routers are drawn apart from each other, and stay where they are', async () => {
    for (const [what, answers] of [
      ['a star of stars', large(300)],
      ['Leipzig', community()],
    ] as const) {
      server.instead = answers;
      const page = await open(stage, 'map', { tick: 100 });
      const places = (): Promise<[string, number, number][]> =>
        page.evaluate(
          `[...document.querySelectorAll('svg.x0-map g.x0-node')].map(g => { const r = g.querySelector('.x0-mark').getBoundingClientRect(); return [g.dataset.id, r.x + r.width / 2, r.y + r.height / 2] })`,
        );
      const first = await places();
      assert.ok(first.length >= 279, `${what}: ${first.length}`);
      let nearest = Number.POSITIVE_INFINITY;
      for (const [i, [, x, y]] of first.entries())
        for (const [, ox, oy] of first.slice(i + 1)) nearest = Math.min(nearest, Math.hypot(x - ox, y - oy));
      assert.ok(nearest > 9, `${what}: two routers are ${nearest} pixels apart`);
      const box = (await page.evaluate(
        `(r => [r.left, r.top, r.right, r.bottom])(document.querySelector('.x0-canvas').getBoundingClientRect())`,
      )) as number[];
      assert.ok(
        first.every(([, x, y]) => x > box[0]! && x < box[2]! && y > box[1]! && y < box[3]!),
        `${what}: all are in the picture`,
      );
      await sleep(900);
      const moved = (await places()).map(([, x, y], i) => Math.hypot(x - first[i]![1], y - first[i]![2]));
      assert.ok(Math.max(...moved) < 1, `${what}: nothing moved, but ${Math.max(...moved)} pixels`);
      await page.close();
    }
  });

  server.instead = town();
  await check(report, 'Repairs: each with its times; opening one asks why; the filter and the exports', async () => {
    const page = await open(stage, 'repairs');
    assert.equal(await page.locator('.x0-fault').count(), 4);
    assert.match(await textOf(page), /decided 0\.14 ms\s+repaired 38\.2 ms/);
    await page.locator('.x0-fault summary').first().click();
    await page.waitForSelector('.x0-story');
    assert.match(
      await seen(page, '.x0-story'),
      /eth1 lost its carrier[\s\S]*announce routes at once: taken[\s\S]*38\.2 ms repaired/,
    );
    await page.fill('input[type=search]', 'gateway');
    await page.waitForFunction(`document.querySelectorAll('.x0-fault').length === 1`);
    assert.equal(await page.evaluate('document.activeElement.type'), 'search', 'the focus stays in the field');
    for (const [word, expected] of [
      ['Export CSV', /"e3-f2","gateway-lost"/],
      ['Export JSON', /"fault": "e3-f2"/],
    ] as const) {
      const [download] = await Promise.all([page.waitForEvent('download'), page.click(`text=${word}`)]);
      assert.match(readFileSync((await download.path())!, 'utf8'), expected);
    }
    await page.close();
    const named = await open(stage, 'repairs#e3-f3');
    await named.waitForSelector('.x0-fault[open] .x0-story');
    await named.close();
  });

  const nobody = { error: { code: 'E_NOT_FOUND', message: 'there is no /mesh/identity; see /docs' } };
  await check(report, 'Join: says that there are no identities yet, or who may invite', async () => {
    for (const [identity, expected] of [
      [nobody, /no identities yet/],
      [{ version: 1, identity: null }, /no identities yet/],
      [
        { version: 1, identity: { ...STEWARD, isSteward: false, stewards: [{ node: 'attic' }] } },
        /may not invite[\s\S]*attic/,
      ],
    ] as const) {
      server.instead = { ...town(), identity: () => identity };
      const page = await open(stage, 'join');
      assert.match(await seen(page, '[role=alert]'), expected);
      await page.close();
    }
  });
  await check(report, 'Join: an invitation is a text to copy and a code', async () => {
    const asked: unknown[] = [];
    server.instead = {
      ...town(),
      identity: () => ({ version: 1, identity: STEWARD }),
      invite: (args) => {
        asked.push(args);
        return {
          version: 1,
          text: `x0i1.${'a7'.repeat(90)}`,
          id: 'i1',
          until: new Date(Date.now() + 3_600_000).toISOString(),
        };
      },
    };
    const page = await open(stage, 'join');
    await page.fill('#x0-name', 'attic');
    await page.click('text=Make an invitation');
    await page.waitForSelector('svg.x0-qr');
    assert.deepEqual(asked, [{ node: 'attic', seconds: 3600 }]);
    assert.equal(await page.locator('textarea').inputValue(), `x0i1.${'a7'.repeat(90)}`);
    if (SHOTS !== undefined) {
      mkdirSync(SHOTS, { recursive: true });
      await page.screenshot({ path: join(SHOTS, 'invitation.png'), fullPage: true });
    }
    await page.close();
  });

  server.instead = {
    ...town(),
    diag: ({ step }) => (step === 'make' ? { done: true } : { name: 'x.tar.gz', data: 'H4sIAAAAAAAAAwMAAAAAAAAAAAA=' }),
  };
  await check(report, 'Status: the archive for a bug report is made, and saved', async () => {
    const page = await open(stage, 'status');
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('text=Diagnostic archive')]);
    assert.equal(readFileSync((await download.path())!).length, 20);
    await page.close();
  });
  await check(
    report,
    'Status and Settings: a changed configuration on trial is told, and a person decides',
    async () => {
      for (const view of ['status', 'settings'] as const)
        for (const [word, method] of [
          ['Keep them now', 'config_confirm'],
          ['Take them back', 'config_revert'],
        ] as const) {
          let secondsLeft: number | null = 41;
          server.instead = {
            ...town(),
            config_trial: () => ({ version: 1, secondsLeft }),
            [method]: () => {
              secondsLeft = null;
              return { version: 1, done: true, message: 'as you say' };
            },
          };
          const page = await open(stage, view, { tick: 100 });
          assert.match(await seen(page, '.x0-trial'), /are on trial\.[\s\S]*Time left: 41 seconds/);
          if (SHOTS !== undefined) await page.screenshot({ path: join(SHOTS, `trial-${view}.png`) });
          await page.click(`text=${word}`);
          await page.waitForFunction(`document.querySelector('.x0-trial') === null`);
          await page.waitForSelector('text=as you say');
          await page.close();
        }
    },
  );
  await check(report, 'no view threw anything', async () => assert.deepEqual(errors.splice(0), []));
}

/** Every view at both widths, light and dark, in three languages: nothing sticks out, and colours can be read. */
async function pictures(stage: Stage): Promise<void> {
  const { report, server, errors } = stage;
  if (SHOTS !== undefined) mkdirSync(SHOTS, { recursive: true });
  server.instead = {
    ...town(),
    identity: () => ({ version: 1, identity: STEWARD }),
    invite: () => ({
      version: 1,
      text: `x0i1.${'a7'.repeat(90)}`,
      id: 'i1',
      until: new Date(Date.now() + 3_600_000).toISOString(),
    }),
  };
  const looks = VIEWS.flatMap((view) =>
    [360, 1280].flatMap((width) => [false, true].map((dark) => ({ view, width, dark, lang: dark ? 'ru' : 'de' }))),
  );
  await check(report, 'views fit 360 and 1280 pixels, light and dark, in German and Russian', async () => {
    for (const { view, width, dark, lang } of looks) {
      const page = await open(stage, view, { width, dark, lang: REAL ? 'en' : lang });
      const what = `${view} at ${width}${dark ? ', dark' : ''}`;
      if (view === 'repairs') await page.locator('.x0-fault summary').first().click();
      if (view === 'map') await page.locator('svg.x0-map g.x0-gateway').first().click();
      if (view === 'join') {
        await page.locator('.x0 button').first().click();
        await page.waitForSelector('svg.x0-qr');
      }
      await page.waitForTimeout(80);
      assert.ok(
        (await number(page, 'document.documentElement.scrollWidth - innerWidth')) <= 0,
        `${what} is too wide: ${await page.evaluate(WIDEST)}`,
      );
      assert.equal(await page.evaluate(`document.documentElement.classList.contains('x0-dark')`), dark, what);
      const contrast = await number(page, CONTRAST);
      assert.ok(contrast >= (REAL ? 2.9 : 3.4), `${what}: contrast ${contrast}`);
      const small = (await page.evaluate(SMALL)) as string[];
      if (!REAL) assert.deepEqual(small, [], `${what}: too small for a finger`);
      assert.deepEqual(await page.evaluate(STRAY), [], `${what}: checkboxes whose box is drawn elsewhere`);
      assert.deepEqual(await page.evaluate(BROKEN), [], `${what}: words broken in two`);
      assert.deepEqual(await page.evaluate(APART), [], `${what}: labels that stand elsewhere than their field`);
      if (view === 'map') assert.equal(await page.evaluate(CHOSEN), 'rgb(161, 59, 214)', `${what}: under the mouse`);
      if (SHOTS !== undefined)
        await page.screenshot({ path: join(SHOTS, `${view}-${width}-${dark ? 'dark' : 'light'}.png`), fullPage: true });
      for (const name of view === 'map' ? ['', 'the-router-on-the-roof-of-the-old-fire-station', 'W'.repeat(48)] : []) {
        assert.ok((await number(page, `document.querySelectorAll('.x0-hop .x0-badge').length`)) > 0, what);
        if (name !== '')
          await page.evaluate(
            `document.querySelectorAll('.x0-hop > :first-child').forEach(n => n.textContent = '${name}')`,
          );
        assert.deepEqual(await page.evaluate(BELOW), [], `${what}: the quality of a hop is not beside '${name}'`);
      }
      await page.close();
    }
  });
  await check(report, 'nothing threw at any size', async () => assert.deepEqual(errors.splice(0), []));
}

/** The least contrast of any text of ours with what is behind it. */
const CONTRAST = `(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => { for (let at = node; at; at = at.parentElement) { const c = parse(getComputedStyle(at).backgroundColor); if (getComputedStyle(at).backgroundImage !== 'none') return null; if (c.length < 4 || c[3] > 0.9) return c; } return [255, 255, 255]; };
  let least = 21;
  for (const node of document.querySelectorAll('.x0 *:not(svg, svg *, button, option)')) {
    if (![...node.childNodes].some(n => n.nodeType === 3 && n.nodeValue.trim()) || !node.checkVisibility()) continue;
    const under = behind(node);
    // A theme's own box, of a colour that runs: its text is the theme's too.
    if (under === null) continue;
    const a = light(parse(getComputedStyle(node).color)), b = light(under);
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()`;
const WIDEST = `[...document.querySelectorAll('.x0 *')].filter(n => n.getBoundingClientRect().right > innerWidth).slice(-3).map(n => n.outerHTML.slice(0, 120)).join(' ')`;
const SMALL = `[...document.querySelectorAll('.x0 button, .x0 select, .x0 summary')].filter(n => n.checkVisibility() && n.getBoundingClientRect().height < 24).map(n => n.textContent)`;

/** Themes draw the box by ::before in the input's place, so that one must be what it is placed by. */
const STRAY = `[...document.querySelectorAll('.x0 input[type=checkbox]')].filter(n => getComputedStyle(n).position === 'static').map(n => n.parentNode.textContent)`;
/** Labels that are neither in the line of their field nor above its beginning. */
const APART = `[...document.querySelectorAll('.x0-row label[for]')].filter(n => {
  const a = n.getBoundingClientRect(), b = document.getElementById(n.htmlFor).getBoundingClientRect();
  return !(a.top < b.bottom && b.top < a.bottom) && Math.abs(a.left - b.left) > 2;
}).map(n => n.textContent)`;
/** Hops of the way whose badge stands below the name of the router, goes on in another line, or sticks out. */
const BELOW = `[...document.querySelectorAll('.x0-hop')].filter(n => n.children.length > 1).filter(n => {
  const a = n.firstChild.getBoundingClientRect(), b = n.lastChild.getBoundingClientRect();
  return b.top >= a.bottom || b.height > 32 || b.left < a.right || b.right > n.getBoundingClientRect().right + 1;
}).map(n => n.textContent)`;
const CHOSEN = `getComputedStyle(document.querySelector('.x0-selected .x0-mark')).stroke`;
/** Words of ours that go on in the next line. */
const BROKEN = `[...document.querySelectorAll('.x0-facts dt, .x0-figure span, .x0-step span')].filter(n => n.checkVisibility()).flatMap(n => [...n.firstChild.nodeValue.matchAll(/\\S+/g)].filter(({ 0: word, index }) => {
  const range = document.createRange();
  range.setStart(n.firstChild, index); range.setEnd(n.firstChild, index + word.length);
  return range.getClientRects().length > 1;
}).map(([word]) => word))`;

/** Routers, and the agent's words, may hold anything. */
async function hostile(stage: Stage): Promise<void> {
  const { report, server, errors } = stage;
  const base = town();
  const huge = `${HOSTILE}${'A'.repeat(5000)}\u202e\u0007\u0000`;
  const evil = (value: unknown): unknown => {
    if (typeof value === 'string') return /^\d{4}-|^[A-Z_]+$|^([0-9a-f]{2}:){5}/.test(value) ? value : huge;
    if (Array.isArray(value)) return value.map(evil);
    if (value !== null && typeof value === 'object')
      return Object.fromEntries(
        Object.entries(value).map(([key, one]) => [
          key,
          ['kind', 'fault', 'id', 'mode', 'state'].includes(key) ? one : evil(one),
        ]),
      );
    return typeof value === 'number' ? value * 1e9 : value;
  };
  const answers = Object.fromEntries(
    Object.entries(base).map(([method, own]) => [
      method,
      (args: Parameters<typeof own>[0]) =>
        method === 'names'
          ? { names: Object.fromEntries(Array.from({ length: 5 }, (_, n) => [router(2 * n), huge])) }
          : evil(own(args)),
    ]),
  );
  const spoken = { title: HOSTILE, help: huge };
  server.instead = {
    ...answers,
    options: () => ({
      version: 1,
      sections: describe().map((section) => ({
        ...section,
        ...spoken,
        options: section.options.map((option) => ({ ...option, ...spoken, value: [HOSTILE], unit: HOSTILE })),
      })),
    }),
    identity: () => ({ identity: { state: huge, isSteward: false, stewards: [{ node: huge }] } }),
  };
  await check(
    report,
    'names of HTML, control characters and huge values are shown as text, and nothing runs',
    async () => {
      for (const view of VIEWS) {
        for (const width of [360, 1280]) {
          const page = await open(stage, view, { width });
          if (view === 'repairs') {
            await page.locator('.x0-fault summary').first().click();
            await page.waitForSelector('.x0-story');
          }
          if (view === 'map')
            await page
              .locator('svg.x0-map g.x0-self')
              .focus()
              .then(() => page.keyboard.press('Enter'));
          await sleep(150);
          assert.equal(await page.evaluate('window.hacked'), undefined, view);
          assert.equal(await number(page, `document.querySelectorAll('.x0 img, .x0 script').length`), 0, view);
          assert.ok(
            (await number(page, 'document.documentElement.scrollWidth - innerWidth')) <= 0,
            `${view} at ${width} is too wide: ${await page.evaluate(WIDEST)}`,
          );
          if (view === 'status') assert.match(await textOf(page), /<img src=x onerror=/);
          // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there.
          assert.doesNotMatch(await textOf(page), /[\u0000-\u0008\u202e]/);
          await page.close();
        }
      }
    },
  );
  await check(report, 'a link to Repairs that is cut off in the middle of a letter opens it', async () => {
    server.instead = base;
    const page = await open(stage, 'repairs#%E0%A4%A');
    assert.equal(await page.locator('.x0-fault').count(), 4);
    await page.close();
  });
  await check(report, 'a wrong answer of any type breaks no view for good', async () => {
    for (const answer of [7, {}, { version: 1, nodes: null, links: 3, entries: 'x', edges: {} }]) {
      server.instead = Object.fromEntries(Object.keys(base).map((method) => [method, () => answer]));
      for (const view of ['status', 'map', 'repairs']) {
        const page = await stage.browser.context.newPage();
        await page.goto(`${stage.base}/cgi-bin/luci/admin/services/x0tta6bl4/${view}?tick=100`);
        await page.waitForSelector('.x0-trouble', { timeout: 15_000 });
        server.instead = base;
        await page.waitForFunction(
          `document.querySelector('.x0-trouble') === null && document.querySelector('.x0-body').children.length > 1`,
          undefined,
          { timeout: 25_000 },
        );
        server.instead = Object.fromEntries(Object.keys(base).map((method) => [method, () => answer]));
        await page.close();
      }
    }
  });
  errors.splice(0);
}

/** No agent, no plugin, no permission: said plainly, with what to do. */
async function troubles(stage: Stage): Promise<void> {
  const { report, server, errors } = stage;
  await check(report, 'where the agent does not run, every view says so and how to start it', async () => {
    server.instead = { service: () => ({ done: true, message: 'start was asked for' }) };
    for (const view of ['status', 'map', 'repairs', 'join']) {
      const page = await open(stage, view);
      assert.equal(await page.locator('.x0-trouble').getAttribute('data-code'), 'E_NOT_RUNNING', view);
      assert.match(await textOf(page), /The agent is not running[\s\S]*\/etc\/init\.d\/x0tta6bl4 start/);
      await page.click('text=Start the agent');
      await page.waitForSelector('text=start was asked for');
      await page.close();
    }
  });
  await check(
    report,
    'an agent that ends while somebody looks: what was known stays, grey; one that comes back is shown',
    async () => {
      server.instead = town();
      const page = await open(stage, 'status', { tick: 100 });
      server.instead = {};
      await page.waitForSelector('.x0-stale');
      assert.match(await textOf(page), /not running[\s\S]*roof-north/);
      server.instead = town();
      await page.waitForFunction(`document.querySelector('.x0-stale, .x0-trouble') === null`);
      await page.close();
    },
  );
  await check(report, 'a plugin that rpcd has not loaded, and a slow agent', async () => {
    server.absent = true;
    let page = await open(stage, 'status');
    assert.equal(await page.locator('.x0-trouble').getAttribute('data-code'), 'E_NO_PLUGIN');
    assert.match(await textOf(page), /\/etc\/init\.d\/rpcd restart/);
    await page.close();
    server.absent = false;
    // All that the page asks: whatever answers first is shown, and nobody listens where the plugin itself would ask.
    const late = () => ({ error: { code: 'E_TIMEOUT', message: 'the agent did not answer' } });
    server.instead = Object.fromEntries(METHODS.map(({ name }) => [name, late]));
    page = await open(stage, 'status');
    assert.match(await textOf(page), /does not answer in time/);
    await page.close();
  });
  await check(report, 'who may only look is offered nothing to change', async () => {
    server.readonly = true;
    // What follows is to change things again, whatever becomes of this.
    try {
      server.instead = town();
      const status = await open(stage, 'status');
      assert.ok(await status.locator('#x0-mode').isDisabled());
      await status.close();
      server.instead = {
        ...town(),
        identity: () => ({ identity: { state: 'member', isSteward: true, stewards: [] } }),
      };
      const join = await open(stage, 'join');
      assert.ok(await join.locator('text=Make an invitation').isDisabled());
      await join.close();
    } finally {
      server.readonly = false;
    }
  });
  await check(report, 'no trouble threw anything', async () => assert.deepEqual(errors.splice(0), []));
}

/** Every option of the schema can be seen and changed; what the agent refuses is not saved. */
async function settings(stage: Stage): Promise<void> {
  const { report, server, config, errors } = stage;
  const checked: string[] = [];
  let verdict: object = { version: 1, file: 'x', valid: true, problems: [], warnings: [] };
  const options = () => ({ version: 1, sections: describe() });
  server.instead = {
    options,
    config_check: ({ text }) => {
      checked.push(String(text));
      return verdict;
    },
  };
  await check(
    report,
    'Settings: the agent is asked first; what it refuses is not saved, and says which option',
    async () => {
      const page = await open(stage, 'settings');
      await page.click('text=Healing');
      verdict = {
        version: 1,
        file: 'x',
        valid: false,
        problems: [{ line: 3, option: 'heal.dead_after', message: 'heal.dead_after: expected <b>more</b>' }],
        warnings: [],
      };
      const field = page.locator('[data-field="cbid.x0tta6bl4.heal.dead_after"] input').first();
      await field.fill('45');
      await page.locator('.cbi-page-actions >> text=/^Save$/').click();
      await page.waitForSelector('[role=alert] >> text=heal.dead_after');
      assert.match(await textOf(page), /expected <b>more<\/b>/);
      assert.match(readFileSync(config, 'utf8'), /dead_after '60'/);
      assert.match(checked.at(-1)!, /config heal 'heal'[\s\S]*\toption dead_after '45'/);
      verdict = { version: 1, file: 'x', valid: true, problems: [], warnings: [] };
      if (!REAL) {
        await page.locator('.cbi-page-actions >> text=/Save & Apply/').click();
        await page.waitForFunction('true');
        await sleep(300);
        const text = readFileSync(config, 'utf8');
        assert.match(text, /dead_after '45'/);
        assert.equal(
          text.match(/^\toption /gm)!.length,
          defaultsUci().match(/^\toption [a-z]/gm)!.length,
          'and nothing else was touched',
        );
      }
      await page.close();
    },
  );
  await check(report, 'Settings: a value out of its range is told at once', async () => {
    const page = await open(stage, 'settings');
    await page.click('text=Healing');
    const field = page.locator('[data-field="cbid.x0tta6bl4.heal.kick_count"] input').first();
    await field.fill('99');
    await field.blur();
    await page.waitForSelector('.cbi-input-invalid');
    await page.close();
  });
  await check(
    report,
    'Settings: a tunnel of the file has its fields; what the form does not know goes along',
    async () => {
      const before = readFileSync(config, 'utf8');
      writeFileSync(
        config,
        `${before}\nconfig tunnel 'office'\n\toption peer 'attic'\n\tlist allowed_ips '10.7.0.0/16'\n\nconfig other 'odd'\n\toption it "it's"\n`,
      );
      const own = new Server({ ...server.options, config, instead: server.instead });
      try {
        const page = await open({ ...stage, base: await own.listen() }, 'settings');
        assert.doesNotMatch(
          await textOf(page),
          /Written by the packages/,
          'what is the packages’ is not asked of people',
        );
        await page.click('text=Tunnels');
        const peer = page.locator('[data-field="cbid.x0tta6bl4.office.peer"] input').first();
        assert.equal(await peer.inputValue(), 'attic');
        await peer.fill('cellar');
        await page.locator('.cbi-page-actions >> text=/^Save$/').click();
        for (let i = 0; i < 50 && !/cellar/.test(checked.at(-1)!); i++) await sleep(100);
        assert.match(checked.at(-1)!, new RegExp(`config file 'file'\\n\\toption format '${FORMAT}'`));
        assert.match(
          checked.at(-1)!,
          /config tunnel 'office'\n\toption peer 'cellar'\n\tlist allowed_ips '10\.7\.0\.0\/16'\n/,
        );
        assert.match(checked.at(-1)!, /config other 'odd'\n\toption it 'it'\\''s'\n/);
        await page.close();
      } finally {
        own.close();
        writeFileSync(config, before);
      }
    },
  );
  await check(report, 'Settings without an agent: that is said, and what the file has can be changed', async () => {
    server.instead = {};
    const page = await open(stage, 'settings');
    assert.equal(await page.locator('.x0-trouble').getAttribute('data-code'), 'E_NOT_RUNNING');
    await page.click('text=heal');
    const field = page.locator('[data-field="cbid.x0tta6bl4.heal.dead_after"] input').first();
    assert.equal(await field.inputValue(), REAL ? '60' : '45');
    const key = page.locator('[data-field="cbid.x0tta6bl4.heal.kick_count"] input').first();
    await key.fill('7');
    await page.locator('.cbi-page-actions >> text=/^Save$/').click();
    await sleep(300);
    await page.close();
  });
  await check(report, 'no setting threw anything but its refusal', async () =>
    assert.deepEqual(
      errors.splice(0).filter((one) => !/Not saved/.test(one)),
      [],
    ),
  );
}

/** The views over a real x0d: its socket, the plugin's path, a mesh of thirty behind three ports. */
async function realAgent(stage: Stage, config: string): Promise<void> {
  const { report, browser, errors } = stage;
  if (process.getuid?.() !== 0) return report.skip('a real agent', 'network namespaces need root');
  await prepare();
  const rig = new Rig({ ports: 3, originators: 30 });
  let plugin: Plugin | null = null;
  let server: Server | null = null;
  try {
    const agent = await rig.agent({ flags: NODE_FLAGS });
    plugin = openPlugin(join(rig.dir, 'ctl.sock'));
    server = new Server({ plugin, config });
    const here: Stage = { report, browser, server, base: await server.listen(), config, errors };
    await check(report, `a real x0d through ${plugin.how}: its mesh on the Map, its state in Status`, async () => {
      await sleep(1500);
      const map = await open(here, 'map');
      assert.equal(await map.locator('svg.x0-map g.x0-node').count(), 34, 'thirty, three neighbours and itself');
      await map.close();
      const status = await open(here, 'status');
      assert.match(await textOf(status), /in reach/);
      assert.match(await textOf(status), /BATMAN_IV/);
      assert.equal(await status.locator('.x0-table tbody tr').count(), 3);
      await status.close();
    });
    await check(report, 'a cut cable: the repair is in the journal, and tells why', async () => {
      const witness = rig.witness();
      await sleep(300);
      const repairs = await open(here, 'repairs', { tick: 100 });
      witness.set(rig.far[0]!, false);
      await repairs.waitForSelector('.x0-fault', { timeout: 30_000 });
      await repairs.locator('.x0-fault summary').first().click();
      await repairs.waitForSelector('.x0-story');
      assert.match(await textOf(repairs), /What was seen[\s\S]*What was done/);
      witness.close();
      await repairs.close();
    });
    await check(report, 'healing is switched in Status, the agent does it, and says who asked', async () => {
      const status = await open(here, 'status');
      await status.selectOption('#x0-mode', 'observe');
      await status.waitForFunction(`document.querySelector('.x0-facts').innerText.includes('only observes')`);
      const told = (await plugin!.call('status')) as { heal: { mode: string } };
      assert.equal(told.heal.mode, 'observe');
      await status.close();
    });
    await check(report, 'a real agent without identities says so in Join', async () => {
      const join = await open(here, 'join');
      assert.match(await seen(join, '[role=alert]'), /no identities yet/);
      await join.close();
    });
    await check(report, 'the real agent judges the settings', async () => {
      const told = (await plugin!.call('config_check', { text: "config heal 'heal'\n\toption mode 'x'\n" })) as {
        problems: { option: string }[];
      };
      assert.equal(told.problems[0]!.option, 'heal.mode');
    });
    await stop(agent);
    await check(report, 'and when it has ended, that is said', async () => {
      const status = await open(here, 'status');
      assert.equal(await status.locator('.x0-trouble').getAttribute('data-code'), 'E_NOT_RUNNING');
      await status.close();
    });
    await check(report, 'nothing threw over a real agent', async () => assert.deepEqual(errors.splice(0), []));
  } finally {
    server?.close();
    plugin?.close();
    rig.close();
  }
}
