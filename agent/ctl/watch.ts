/** x0ctl watch: the mesh as it is now, again and again. On a screen it redraws; elsewhere it prints what changed. */

import { AgentError } from '../core/errors.ts';
import type * as shapes from '../report/shapes.ts';
import type { Of } from '../report/shapes.ts';
import type { Client } from './client.ts';
import { clean, type Terminal } from './terminal.ts';
import { entryLine, linksText, logText, statusText } from './views.ts';

interface Sight {
  readonly status: Of<typeof shapes.status>;
  readonly links: Of<typeof shapes.links>;
  readonly log: Of<typeof shapes.log>;
}

/** The other screen, no cursor, and long lines cut rather than wrapped; and all of it back. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

async function look(agent: Client, lines: number): Promise<Sight> {
  const [status, links, log] = await Promise.all([
    agent.get('/mesh/status') as Promise<Sight['status']>,
    agent.get('/mesh/links') as Promise<Sight['links']>,
    agent.get(`/heal/log?limit=${lines}`) as Promise<Sight['log']>,
  ]);
  return { status, links, log };
}

/** `count` looks, endless for 0. An agent that goes away in between is waited for. */
export async function watch(agent: Client, to: Terminal, intervalMs: number, count: number): Promise<number> {
  const ended = new AbortController();
  const stop = () => ended.abort();
  // The first failure is an answer; later ones are what one wants to watch.
  let sight = await look(agent, 10);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const noKeys = to.keys?.((key) => {
    if (key === 'q' || key === 'Q' || key === '\x03' || key === '\x1b') stop();
  });
  if (to.isScreen) to.out(ENTER);
  const show = to.isScreen ? screen(to) : lines(to);
  try {
    show(sight, null);
    for (let n = 1; (count === 0 || n < count) && !ended.signal.aborted; n++) {
      await to.sleep(intervalMs, ended.signal);
      if (ended.signal.aborted) break;
      try {
        sight = await look(agent, 10);
        show(sight, null);
      } catch (thrown) {
        show(sight, thrown instanceof AgentError ? thrown.message : String(thrown));
      }
    }
  } finally {
    if (to.isScreen) to.out(LEAVE);
    noKeys?.();
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
  return 0;
}

function screen(to: Terminal): (sight: Sight, trouble: string | null) => void {
  return ({ status, links, log }, trouble) => {
    const text = [statusText(status, to), linksText(links, to), logText(log, to)].join('\n');
    const last = trouble === null ? 'q quits' : `q quits; what stands above is old: ${clean(trouble)}`;
    const shown = [...text.split('\n').slice(0, Math.max(1, to.rows - 1)), last];
    // Over what is there rather than after a clearing: no flicker.
    to.out(`${HOME}${shown.join(`${CLEAR_LINE}\r\n`)}${CLEAR_LINE}${CLEAR_BELOW}`);
  };
}

function lines(to: Terminal): (sight: Sight, trouble: string | null) => void {
  let health = '';
  let lastTrouble: string | null = null;
  let seen: number | null = null;
  const qualities = new Map<string, string>();
  return ({ status, links, log }, trouble) => {
    const say = (text: string) => to.out(`${clean(text)}\n`);
    if (trouble !== lastTrouble) say(trouble ?? 'the agent answers again');
    lastTrouble = trouble;
    if (trouble !== null) return;
    const now = [status.health, ...status.reasons].join(': ');
    if (now !== health)
      say(`${status.node || 'this router'} is ${status.health}${status.reasons.map((why) => `; ${why}`).join('')}`);
    health = now;
    for (const { interface: name, neighbour, quality } of links.links) {
      const key = `${name} ${neighbour}`;
      if (qualities.get(key) !== (quality ?? '-')) say(`link ${key}: ${quality ?? 'quality unknown'}`);
      qualities.set(key, quality ?? '-');
    }
    const there = new Set(links.links.map((link) => `${link.interface} ${link.neighbour}`));
    for (const key of qualities.keys()) {
      if (there.has(key)) continue;
      say(`link ${key}: gone`);
      qualities.delete(key);
    }
    for (const entry of log.entries) if (seen !== null && entry.id > seen) to.out(`${entryLine(entry)}\n`);
    seen = Math.max(seen ?? 0, ...log.entries.map(({ id }) => id));
  };
}
