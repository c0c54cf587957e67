/** Alarms as frames, of a router that has the key, and what frames say. */
import type { Effect } from '../../../agent/core/effect.ts';
import { fromHex, toHex } from '../../../agent/core/hex.ts';
import type { Alarm } from '../../../agent/core/words.ts';
import { decodeFrame, ETH_P_X0, encodeAlarm, macKey } from '../../../agent/heal/wire.ts';
import { KEY } from './harness.ts';

export const key = macKey(fromHex(KEY));

let counter = 1000;

/** As it comes from an interface of `source`. */
export function alarmOf(over: Partial<Alarm>, source = '02:00:00:00:01:01', under = key): string {
  counter += 1;
  const sender = '02:00:00:00:00:77';
  const alarm = { sender, epoch: 1, counter, kind: 'kick', near: sender, far: sender, affected: [], hops: 4 } as const;
  return toHex(encodeAlarm({ ...alarm, ...over }, source, under));
}

export function ethertype(frame: string): number {
  return Number.parseInt(frame.slice(24, 28), 16);
}

export function alarmFrom(sender: string, counter: number, epoch = 1, hops = 8): string {
  const [near, far] = ['02:00:00:00:01:01', '02:00:00:00:01:07'];
  return alarmOf({ sender, counter, epoch, hops, kind: 'link-down', near, far });
}

export function wordsOf(effects: readonly Effect[]) {
  const frames = effects.flatMap((effect) => (effect.type === 'send' ? effect.frames : []));
  return frames
    .filter(({ frame }) => ethertype(frame) === ETH_P_X0)
    .flatMap(({ interface: index, frame }) => {
      const word = decodeFrame(fromHex(frame), key);
      return word.kind === 'alarm' ? [{ index, ...word.alarm }] : [];
    });
}
