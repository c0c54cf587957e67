/** A child that writes as fast as it can until it is killed: `writer.ts DIRECTORY`. Says after each flush how far it is. */
import { writeSync } from 'node:fs';
import { Log } from '../../../agent/core/log.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { openState } from '../../../agent/host/state.ts';
import { decision } from './help.ts';

const state = openState({
  directory: process.argv[2]!,
  journalEntries: 200,
  sizeLimitKib: 256,
  writeIntervalNs: SECOND,
  now: () => Number(process.hrtime.bigint()),
  wall: Date.now,
  log: new Log('error', (line) => writeSync(2, `${line}\n`)),
});
writeSync(1, `epoch ${state.epoch}\n`);
for (let n = 1; ; n++) {
  const id = state.append(decision(n));
  state.rememberMark(`02:00:00:00:00:${(n % 256).toString(16).padStart(2, '0')}`, 1, n);
  if (n % 3 === 0) {
    state.flush();
    writeSync(1, `flushed ${id}\n`);
  }
}
