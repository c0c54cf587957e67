/**
 * Bench `luci`: the time from asking for the Map's page to the frame in which the mesh is drawn, in Chromium, median of RUNS.
 *
 *     map30_ms, map300_ms      over the real x0d in a mesh of 30 and 300 originators, through the plugin's path
 *     community_ms             279 routers of Leipzig's mesh (test/data/freifunk)
 *     app_kb                   everything that the package installs, as LuCI's build leaves it: without comments and white space
 *
 * Baseline: a page of LuCI's with nothing in its view, and the app as it is written.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { transformSync } from 'esbuild';
import { defaultsUci } from '../../agent/config/schema.ts';
import { NODE_FLAGS } from '../../agent/node-flags.ts';
import { type Browser, missing, openBrowser } from '../../test/luci/browser.ts';
import { community } from '../../test/luci/meshes.ts';
import { Server } from '../../test/luci/server.ts';
import { APP } from '../luci/artefacts.ts';
import { openPlugin } from '../luci/plugin.ts';
import { prepare, Rig, ROOT, stop } from './rig.ts';
import { type BenchResult, median, type Progress } from './stats.ts';

const RUNS = 7;

/** Milliseconds from the page's start to the frame after the one in which it holds so many routers. */
async function drawn(browser: Browser, url: string, atLeast: number): Promise<number> {
  const page = await browser.context.newPage();
  try {
    await page.goto(url, { waitUntil: 'commit' });
    const at = await page.waitForFunction(
      `document.querySelectorAll('svg.x0-map g.x0-node').length >= ${atLeast} && new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))`,
      undefined,
      { timeout: 20_000, polling: 'raf' },
    );
    return (await at.jsonValue()) as number;
  } finally {
    await page.close();
  }
}

async function empty(browser: Browser, url: string): Promise<number> {
  const page = await browser.context.newPage();
  try {
    await page.goto(url);
    return await page.evaluate('new Promise(done => requestAnimationFrame(() => done(performance.now())))');
  } finally {
    await page.close();
  }
}

async function repeated(measure: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  // The first fills caches.
  for (let i = 0; i <= RUNS; i++) times.push(await measure());
  return median(times.slice(1));
}

/** What LuCI's build makes of it by jsmin and csstidy: white space and comments go, names stay. */
function stripped(file: string, text: string): string {
  const how = { minifyWhitespace: true, charset: 'utf8' } as const;
  if (extname(file) === '.css') return transformSync(text, { ...how, loader: 'css' }).code;
  return extname(file) === '.js' ? transformSync(`function view() {${text}}`, how).code : text;
}

function appKb(how: (file: string, text: string) => string): number {
  const below = (dir: string): string[] =>
    readdirSync(join(ROOT, dir), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  const files = ['htdocs', 'root'].flatMap((part) => below(join(APP, part)));
  return files.reduce((sum, file) => sum + Buffer.byteLength(how(file, readFileSync(file, 'utf8'))), 0) / 1000;
}

export async function run(progress: Progress): Promise<BenchResult> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  const why = missing();
  if (why !== null) throw new Error(why);
  await prepare();
  const figures: Record<string, number | null> = {};
  const baseline: Record<string, number> = { written_kb: appKb((_, text) => text) };
  const browser = await openBrowser();
  try {
    for (const originators of [30, 300]) {
      progress(`${originators} originators`);
      const rig = new Rig({ ports: 3, originators });
      const agent = await rig.agent({ flags: NODE_FLAGS });
      const config = join(rig.dir, 'x0tta6bl4');
      writeFileSync(config, defaultsUci());
      const plugin = openPlugin(join(rig.dir, 'ctl.sock'));
      const server = new Server({ plugin, config });
      try {
        const base = await server.listen();
        await sleep(2500);
        const map = `${base}/cgi-bin/luci/admin/services/x0tta6bl4/map`;
        figures[`map${originators}_ms`] = await repeated(() => drawn(browser, map, originators));
        if (originators === 30) {
          server.instead = community();
          figures.community_ms = await repeated(() => drawn(browser, map, 279));
          baseline.empty_ms = await repeated(() => empty(browser, `${base}/luci-static/page/page.css`));
        }
      } finally {
        server.close();
        plugin.close();
        await stop(agent);
        rig.close();
      }
    }
  } finally {
    await browser.close();
  }
  figures.app_kb = appKb(stripped);
  return {
    figures,
    baseline,
    targets: [
      { figure: 'map30_ms', atMost: 1000 },
      { figure: 'map300_ms', atMost: 1000 },
      { figure: 'community_ms', atMost: 1000 },
      { figure: 'app_kb', atMost: 100 },
    ],
  };
}
