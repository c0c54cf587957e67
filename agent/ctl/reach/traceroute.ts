/** `x0ctl traceroute`: the routers on the way to one, by echoes that may go one hop, two hops, and so on. */
import { toMs } from '../../core/time.ts';
import { clean, fold, plainJson, type Terminal } from '../terminal.ts';
import { type Asked, type Found, reaching } from './open.ts';
import { PATIENCE, titleOf, until } from './ping.ts';

export interface TracerouteOptions {
  readonly hops: number;
  readonly probes: number;
}

interface Hop {
  readonly hop: number;
  /** Who answered; several where the way changed meanwhile, none where nobody did. */
  readonly routers: readonly string[];
  readonly rttMs: readonly (number | null)[];
}

/** Routers in a row that say nothing: then there is no more to come. */
const MOST_SILENT = 4;

/** Answers the exit status: 0 where the router was reached. */
export function traceroute(asked: Asked, options: TracerouteOptions, to: Terminal, json: boolean): Promise<number> {
  return reaching(asked, (found) => run(found, options, to, json));
}

async function run(found: Found, { hops: most, probes }: TracerouteOptions, to: Terminal, json: boolean) {
  const { reach, target, name, stopped } = found;
  const hops: Hop[] = [];
  let end: 'reached' | 'no-way' | 'unreachable' | null = null;
  if (!json) to.out(fold(`${clean(`way to ${titleOf(target, name)} at layer 2, ${most} hops at most`)}\n`, to));
  for (let ttl = 1, silent = 0; ttl <= most && end === null && silent < MOST_SILENT && !stopped.aborted; ttl++) {
    const routers = new Set<string>();
    const rttMs: (number | null)[] = [];
    for (let probe = 0; probe < probes; probe++) {
      const echoed = await until(stopped, reach.echo(target, { ttl, record: false, timeoutNs: PATIENCE }));
      if (echoed === null) break;
      if (echoed.kind === 'no-way') end = 'no-way';
      if (echoed.kind === 'reply') end = 'reached';
      if (echoed.kind === 'unreachable') end = 'unreachable';
      if ('answer' in echoed) routers.add(echoed.answer.from);
      rttMs.push('answer' in echoed ? toMs(echoed.rttNs) : null);
      if (end === 'no-way') break;
    }
    if (end === 'no-way') break;
    silent = routers.size === 0 ? silent + 1 : 0;
    const hop = { hop: ttl, routers: [...routers], rttMs };
    hops.push(hop);
    if (!json) to.out(fold(line(hop, name), to));
  }
  if (json) to.out(`${plainJson({ version: 1, target, reached: end === 'reached', hops })}\n`);
  else if (end !== 'reached') to.out(`${WORDS[end ?? 'silence']}\n`);
  return end === 'reached' ? 0 : 1;
}

const WORDS = {
  'no-way': 'not sent: no way to it is known',
  unreachable: 'the last one knows no way to it',
  silence: 'not reached',
} as const;

function line({ hop, routers, rttMs }: Hop, name: (mac: string) => string): string {
  const times = rttMs.map((ms) => (ms === null ? '*' : `${ms.toFixed(2)} ms`)).join('  ');
  const who = routers.map((mac) => clean(titleOf(mac, name))).join(', ');
  return `${String(hop).padStart(2)}  ${who === '' ? '' : `${who}  `}${times}\n`;
}
