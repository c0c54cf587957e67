/**
 * A process to be killed, which records into a ring in a file until then.
 *
 *     node writer.ts FILE life      a router's own story: a fault, told quickly, and then time as it passes
 *     node writer.ts FILE rows      numbered lines, as fast as they can be written
 */
import { MS, SECOND } from '../../../agent/core/time.ts';
import { FileRing } from '../../../agent/host/recorder/file.ts';
import { compressed } from '../../../agent/host/recorder/ring.ts';
import { Recorder } from '../../../agent/host/recorder.ts';
import { Router } from './help.ts';

const [file, what] = process.argv.slice(2) as [string, string];
const ring = (machines: readonly string[]) => new FileRing(file, { agent: 'test', machines }, { kept: 0, until: 0 });

if (what === 'rows') {
  const file = ring([]);
  file.begin(null);
  let line = 0;
  let first = 0;
  for (let parts = 1; ; parts++) {
    for (let member = 0; member < 8; member++) {
      const lines: string[] = [];
      for (let n = 0; n < 10; n++) {
        // Of many sizes, and hardly to be compressed.
        const text = `${line++} ${'x'.repeat(line % 7).padEnd((line * 37) % 900, `${Math.sin(line)}`)}`;
        lines.push(text);
        file.wait([text]);
      }
      file.add(compressed(lines));
    }
    file.begin(compressed([`keyframe ${line}`]));
    if (parts >= 4) file.shift();
    if (first++ === 0) process.stdout.write('writing\n');
  }
}

const header = new Router().header;
const recorder = new Recorder(64, {
  header,
  now: () => router.now,
  busy: () => false,
  keep: () => {},
  ring: () => ring(header.machines),
});
const router = new Router((turn) => recorder.take(turn));
let n = 0;
setInterval(() => {
  n += 1;
  router.pass(n < 80 ? SECOND : 5 * MS);
  if (n === 60) router.cut();
  // By then all that was decided is written down.
  if (n === 80) setTimeout(() => process.stdout.write('writing\n'), 1500);
}, 5);
