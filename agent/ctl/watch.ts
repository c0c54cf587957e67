/** x0ctl watch: the mesh as it is now, again and again. On a screen it redraws; elsewhere it prints what changed. */

import { type AgentError, asAgentError } from '../core/errors.ts';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import type { Client } from './client.ts';
import { clean, plainJson, type Terminal } from './terminal.ts';
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
/** Entries of the journal that a look asks for: more than come between two looks, or than a screen shows. */
const LOG = 50;

async function look(agent: Client, lines: number): Promise<Sight> {
  const [status, links, log] = await Promise.all([
    agent.get('/mesh/status') as Promise<Sight['status']>,
    agent.get('/mesh/links') as Promise<Sight['links']>,
    agent.get(`/heal/log?limit=${lines}`) as Promise<Sight['log']>,
  ]);
  return { status, links, log };
}

/** Told of a sight, and of what kept the newest from being seen. */
type Show = (sight: Sight, trouble: AgentError | null) => void;

/** `count` looks, endless for 0. An agent that goes away in between is waited for. */
export async function watch(
  agent: Client,
  to: Terminal,
  json: boolean,
  intervalMs: number,
  count: number,
): Promise<number> {
  const isScreen = to.isScreen && !json;
  const ended = new AbortController();
  const stop = () => ended.abort();
  // The first failure is an answer; later ones are what one wants to watch.
  let sight = await look(agent, LOG);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const onKey = (key: string) => {
    if (key === 'q' || key === 'Q' || key === '\x03' || key === '\x1b') stop();
  };
  const noKeys = isScreen ? to.keys?.(onKey) : undefined;
  if (isScreen) to.out(ENTER);
  const show = json ? objects(to) : isScreen ? screen(to) : lines(to);
  try {
    show(sight, null);
    for (let n = 1; (count === 0 || n < count) && !ended.signal.aborted; n++) {
      await to.sleep(intervalMs, ended.signal);
      if (ended.signal.aborted) break;
      try {
        sight = await look(agent, LOG);
        show(sight, null);
      } catch (thrown) {
        show(sight, asAgentError(thrown));
      }
    }
  } finally {
    if (isScreen) to.out(LEAVE);
    noKeys?.();
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
  return 0;
}

function screen(to: Terminal): Show {
  return ({ status, links, log }, trouble) => {
    const [title, ...entries] = logText(log, to).trimEnd().split('\n');
    // The log gets what the rest leaves, a third at least; what does not fit of it is its oldest.
    const room = Math.max(1, to.rows - 2);
    const now = `${statusText(status, to)}\n${linksText(links, to)}`.split('\n');
    const top = now.slice(0, room - Math.min(entries.length, Math.floor(room / 3)));
    const newest = entries.slice(Math.max(0, entries.length - (room - top.length)));
    const last = trouble === null ? 'q quits' : `q quits; what stands above is old: ${clean(trouble.message)}`;
    const shown = [...top, title, ...newest, last];
    // Over what is there rather than after a clearing: no flicker.
    to.out(`${HOME}${shown.join(`${CLEAR_LINE}\r\n`)}${CLEAR_LINE}${CLEAR_BELOW}`);
  };
}

/** For machines: each look in a line, its log only what is new; or the error that it met. */
function objects(to: Terminal): Show {
  let seen = Number.POSITIVE_INFINITY;
  return ({ status, links, log }, trouble) => {
    const say = (value: object) => to.out(`${plainJson({ version: 1, ...value }, 0)}\n`);
    if (trouble !== null) return say({ error: { code: trouble.code, message: trouble.message } });
    const entries = log.entries.filter(({ id }) => id > seen);
    seen = Math.max(0, ...log.entries.map(({ id }) => id));
    say({ status, links, log: { ...log, entries } });
  };
}

function lines(to: Terminal): Show {
  let health = '';
  let lastTrouble: string | null = null;
  let seen: number | null = null;
  const qualities = new Map<string, string>();
  return ({ status, links, log }, trouble) => {
    const say = (text: string) => to.out(`${clean(text)}\n`);
    const why = trouble?.message ?? null;
    if (why !== lastTrouble) say(why ?? 'the agent answers again');
    lastTrouble = why;
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
