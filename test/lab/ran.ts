/** Time in which this process ran: a machine that stands still for seconds is no slow agent. */
import { monotonicNs } from '../../tools/lab/mesh.ts';

const BEAT_MS = 20;
/** Sooner than that a timer is only late. */
const STILL_NS = 200e6;

let beat = monotonicNs();
let stood = 0;

setInterval(() => {
  stood += gap();
  beat = monotonicNs();
}, BEAT_MS).unref();

function gap(): number {
  const late = monotonicNs() - beat - BEAT_MS * 1e6;
  return late > STILL_NS ? late : 0;
}

/** Monotonic nanoseconds, without those in which this process got no CPU for 200 ms and more. */
export function ranNs(): number {
  return monotonicNs() - stood - gap();
}
