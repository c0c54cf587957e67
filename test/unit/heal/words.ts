/** An alarm as a frame, of a router that has the key. */
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import type { Alarm } from '../../../agent/core/words.ts';
import { encodeAlarm, macKey } from '../../../agent/heal/wire.ts';
import { KEY } from './harness.ts';

let counter = 1000;

export function alarmOf(over: Partial<Alarm>): string {
  counter += 1;
  const sender = '02:00:00:00:00:77';
  const alarm = {
    sender,
    epoch: 1,
    counter,
    kind: 'kick',
    near: sender,
    far: sender,
    affected: [],
    hops: 4,
    ...over,
  } as const;
  return toHex(encodeAlarm(alarm, sender, macKey(fromHex(KEY))));
}
