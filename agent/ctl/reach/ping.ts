/** `x0ctl ping`: echoes of batman-adv's own ICMP to one router, and what came of them. */
import { MS, type Nanos, SECOND, toMs } from '../../core/time.ts';
import type { Echoed } from '../../host/reach.ts';
import { echoLength } from '../../mesh/icmp.ts';
import { clean, fold, plainJson, type Terminal } from '../terminal.ts';
import { type Asked, type Found, reaching } from './open.ts';

export interface PingOptions {
  /** 0: until it is stopped. */
  readonly count: number;
  readonly intervalS: number;
  readonly timeoutS: number;
  readonly ttl: number;
  readonly record: boolean;
}

/** Answers the exit status: 0 where a reply came. */
export function ping(asked: Asked, options: PingOptions, to: Terminal, json: boolean): Promise<number> {
  return reaching(asked, (found) => run(found, options, to, json));
}

async function run(found: Found, options: PingOptions, to: Terminal, json: boolean): Promise<number> {
  const { reach, target, name, stopped } = found;
  const { count, intervalS, timeoutS, ttl, record } = options;
  const echoes: (Echoed & { readonly n: number })[] = [];
  const bytes = echoLength(record);
  if (!json) to.out(fold(`${clean(`PING ${titleOf(target, name)}: ${bytes} bytes at layer 2`)}\n`, to));
  for (let n = 1; (count === 0 || n <= count) && !stopped.aborted; n++) {
    const began = performance.now();
    const echoed = await until(stopped, reach.echo(target, { ttl, record, timeoutNs: timeoutS * SECOND }));
    if (echoed === null) break;
    echoes.push({ ...echoed, n });
    if (!json) to.out(fold(lines(echoed, n, bytes, name), to));
    // An endless run keeps its figures, not its answers.
    if (n !== count) await to.sleep(Math.max(0, intervalS * 1000 - (performance.now() - began)), stopped);
  }
  const summary = summaryOf(echoes);
  if (json) {
    const shown = echoes.map((echoed) => ({
      seq: echoed.n,
      result: echoed.kind,
      ...('answer' in echoed
        ? {
            from: echoed.answer.from,
            ttl: echoed.answer.ttl,
            rttMs: toMs(echoed.rttNs),
            recorded: echoed.answer.recorded,
          }
        : { from: null, ttl: null, rttMs: null, recorded: [] }),
    }));
    to.out(`${plainJson({ version: 1, target, ...summary, echoes: shown })}\n`);
  } else to.out(fold(summaryText(summary, titleOf(target, name)), to));
  return summary.received > 0 ? 0 : 1;
}

/** null where the signal came first. */
export async function until<T>(signal: AbortSignal, work: Promise<T>): Promise<T | null> {
  if (signal.aborted) return null;
  const { promise, resolve } = Promise.withResolvers<null>();
  const stop = () => resolve(null);
  signal.addEventListener('abort', stop);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

export function titleOf(mac: string, name: (mac: string) => string): string {
  return name(mac) === mac ? mac : `${name(mac)} (${mac})`;
}

const WORDS = { unreachable: 'destination unreachable', 'ttl-exceeded': 'time to live exceeded' } as const;

function lines(echoed: Echoed, n: number, bytes: number, name: (mac: string) => string): string {
  if (echoed.kind === 'silence') return `seq=${n} no answer\n`;
  if (echoed.kind === 'no-way') return `seq=${n} not sent: no way to it is known\n`;
  const { answer, rttNs, kind } = echoed;
  const from = clean(titleOf(answer.from, name));
  if (kind !== 'reply') return `from ${from}: seq=${n} ${WORDS[kind]}\n`;
  const way = answer.recorded.map((mac) => `    ${clean(titleOf(mac, name))}\n`).join('');
  const lead = way === '' ? '' : '  way there and back, by the interfaces that it came in by:\n';
  return `${bytes} bytes from ${from}: seq=${n} ttl=${answer.ttl} time=${toMs(rttNs).toFixed(2)} ms\n${lead}${way}`;
}

interface Summary {
  readonly sent: number;
  readonly received: number;
  readonly lossPercent: number;
  readonly rttMs: { readonly min: number; readonly avg: number; readonly max: number; readonly mdev: number } | null;
}

export function summaryOf(echoes: readonly Echoed[]): Summary {
  const sent = echoes.length;
  const times: Nanos[] = echoes.flatMap((echoed) => (echoed.kind === 'reply' ? [echoed.rttNs] : []));
  const received = times.length;
  const lossPercent = sent === 0 ? 0 : Math.round(((sent - received) / sent) * 1000) / 10;
  if (received === 0) return { sent, received, lossPercent, rttMs: null };
  const avg = times.reduce((sum, one) => sum + one, 0) / received;
  const mdev = Math.sqrt(times.reduce((sum, one) => sum + (one - avg) ** 2, 0) / received);
  const min = times.reduce((a, b) => Math.min(a, b));
  const max = times.reduce((a, b) => Math.max(a, b));
  return { sent, received, lossPercent, rttMs: { min: toMs(min), avg: toMs(avg), max: toMs(max), mdev: toMs(mdev) } };
}

function summaryText({ sent, received, lossPercent, rttMs }: Summary, title: string): string {
  const head = `--- ${clean(title)} ---\n${sent} sent, ${received} answered, ${lossPercent}% lost\n`;
  if (rttMs === null) return head;
  const { min, avg, max, mdev } = rttMs;
  return `${head}round trip min/avg/max/mdev = ${[min, avg, max, mdev].map((ms) => ms.toFixed(2)).join('/')} ms\n`;
}

/** How long one echo may take at most, for those that send several in a row. */
export const PATIENCE: Nanos = 2000 * MS;
