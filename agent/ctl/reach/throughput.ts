/** `x0ctl throughput`: batman-adv's own meter, from kernel to kernel: what a TCP-like stream gets through the mesh. */
import { SECOND } from '../../core/time.ts';
import { clean, fold, plainJson, type Terminal } from '../terminal.ts';
import { type Asked, reaching } from './open.ts';
import { titleOf } from './ping.ts';

/** BATADV_TP_REASON_* (batadv_packet.h) */
const COMPLETE = 3;
const CANCELLED = 4;
const REASONS: Readonly<Record<number, string>> = {
  [COMPLETE]: 'complete',
  [CANCELLED]: 'stopped',
  128: 'it could not be reached, or does not answer',
  129: 'too much was lost',
  130: 'another test to or from it is running',
  131: 'there is not enough memory',
  132: 'its interface could not send',
  133: 'too many tests are running',
};

/** Answers the exit status: 0 for a figure. */
export function throughput(asked: Asked, seconds: number, to: Terminal, json: boolean): Promise<number> {
  return reaching(asked, async ({ reach, target, name, stopped }) => {
    if (!json)
      to.out(fold(`${clean(`sending to ${titleOf(target, name)} for ${seconds} s, which fills the way there`)}\n`, to));
    const { result, testMs = 0, bytes = 0 } = await reach.throughput(target, seconds * SECOND, stopped);
    const works = result === COMPLETE || result === CANCELLED;
    const mbits = works && testMs > 0 ? Math.round((bytes * 8) / testMs / 10) / 100 : null;
    const reason = REASONS[result] ?? `the kernel says ${result}`;
    if (json) to.out(`${plainJson({ version: 1, target, result: reason, testMs, bytes, mbitsPerSecond: mbits })}\n`);
    else if (mbits === null) to.out(`no figure: ${reason}\n`);
    else to.out(`${mbits.toFixed(2)} Mbit/s: ${bytes} bytes in ${(testMs / 1000).toFixed(2)} s, ${reason}\n`);
    return mbits === null ? 1 : 0;
  });
}
