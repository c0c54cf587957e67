/**
 * Where the log's lines go: standard error. Who reads it may stop, or be gone (a closed terminal, a logger that was
 * restarted): that must neither end the agent nor fill its memory.
 */
import type { Writable } from 'node:stream';

/** Bytes that wait for a slow reader, beyond what the pipe itself holds. */
const MOST_WAITING = 256 * 1024;

export function logLines(to: Writable): (line: string) => void {
  let lost = 0;
  to.on('error', () => {
    // Nobody is left to be told.
  });
  return (line) => {
    if (to.writableLength > MOST_WAITING) {
      lost += 1;
      return;
    }
    if (lost > 0) to.write(`warning: ${lost} lines of the log were lost: nobody read them in time\n`);
    lost = 0;
    to.write(`${line}\n`);
  };
}

/** What is no warning goes to `calm`: procd logs the standard output as daemon.info, and standard error as daemon.err. */
export function bySeverity(problems: Writable, calm: Writable): (line: string) => void {
  const loud = logLines(problems);
  const quiet = logLines(calm);
  return (line) => (/^(debug|info):/.test(line) ? quiet : loud)(line);
}
