/** Keeps the code of repairs warm: a plan is made now and then, and thrown away. */
import { NEVER } from '../core/time.ts';
import { rehearse } from '../heal/rehearsal.ts';
import type { Agent } from './part.ts';

/** Rehearsals: some dozen soon after the start, while nobody waits, then one a minute. */
const REHEARSALS = 40;
const SOON_MS = 100;
const LATER_MS = 60_000;

export function keepReady({ room, now }: Agent): void {
  let count = 0;
  const again = () => {
    // Not while a real repair is under way.
    if (room.execute.busy().length === 0 && room.kick.deadline() === NEVER) rehearse(room.monitor.settings, now());
    count += 1;
    setTimeout(again, count < REHEARSALS ? SOON_MS : LATER_MS).unref();
  };
  setTimeout(again, 0);
}
