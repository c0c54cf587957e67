/** A child on a disk that is full from the start or becomes so: `full.ts DIRECTORY`. Says what became of the state. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Log } from '../../../agent/core/log.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { openState } from '../../../agent/host/state.ts';
import { decision } from './help.ts';

const directory = process.argv[2]!;
const ballast = join(directory, 'ballast');
let time = 0;

function fill(): void {
  for (let kib = 1024; kib >= 1; kib /= 2) {
    try {
      for (let n = 0; ; n++) writeFileSync(`${ballast}-${kib}-${n}`, Buffer.alloc(kib * 1024));
    } catch {
      // Full for this size; a smaller piece may still fit.
    }
  }
}

function free(): void {
  for (const name of readdirSync(directory)) if (name.startsWith('ballast')) rmSync(join(directory, name));
}

function open() {
  const log = new Log('error', () => undefined);
  const wall = (): number => Date.UTC(2026, 0, 1) + time / 1e6;
  return openState({
    directory,
    journalEntries: 500,
    sizeLimitKib: 512,
    writeIntervalNs: SECOND,
    now: () => time,
    wall,
    log,
  });
}

fill();
const first = open();
first.append(decision(1));
first.flush();
const atStart = { level: first.level, trouble: first.trouble?.code, seen: first.query().length };
first.close();
free();
rmSync(join(directory, 'state.db'), { force: true });

const second = open();
second.append(decision(1));
second.flush();
fill();
for (let n = 2; n <= 100; n++) second.append(decision(n));
second.flush();
const whileFull = { level: second.level, trouble: second.trouble?.code, seen: second.query().length };
free();
time += 120 * SECOND;
second.flush();
const seen = second.verify();
const afterwards = { level: second.level, trouble: second.trouble?.code ?? null, entries: seen.ok ? seen.entries : -1 };
second.close();
process.stdout.write(JSON.stringify({ atStart, whileFull, afterwards }));
