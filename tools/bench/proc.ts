/** What a process takes, as /proc tells. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** After a start the heap still grows to its working size. */
const SETTLE_S = 5;

export interface Memory {
  readonly rssMib: number;
  readonly anonMib: number;
}

/** /proc/PID/smaps_rollup. */
export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN);
  return { rssMib: kib('Rss') / 1024, anonMib: kib('Anonymous') / 1024 };
}

/** Seconds of CPU that all threads of a process have used, from the scheduler's own account. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export interface Footprint {
  readonly rss_mib: number;
  readonly anon_mib: number;
  readonly cpu_pct: number;
}

/** Watches a process: the most memory, and the CPU of the whole time. */
export async function watch(pid: number, seconds: number): Promise<Footprint> {
  await sleep(SETTLE_S * 1000);
  const [began, cpu] = [performance.now(), cpuSecondsOf(pid)];
  let [rss, anon] = [0, 0];
  for (let i = 0; i < seconds; i++) {
    await sleep(1000);
    const memory = memoryOf(pid);
    rss = Math.max(rss, memory.rssMib);
    anon = Math.max(anon, memory.anonMib);
  }
  const elapsed = (performance.now() - began) / 1000;
  return { rss_mib: rss, anon_mib: anon, cpu_pct: ((cpuSecondsOf(pid) - cpu) / elapsed) * 100 };
}
