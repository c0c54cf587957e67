/** The program x0lab (cli.ts): terminal, signals, exit code. */
import { x0lab } from './cli.ts';

const { stdout, stderr } = process;
const interrupted = new AbortController();
let signalled = 0;
for (const [signal, number] of [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const)
  process.on(signal, () => {
    signalled ||= 128 + number;
    interrupted.abort();
  });
// Whoever read our output has gone, as in `... | head`.
stdout.on('error', () => process.exit(1));

const code = await x0lab(process.argv.slice(2), {
  out: (text) => void stdout.write(text),
  err: (text) => void stderr.write(text),
  signal: interrupted.signal,
});
// A pipe takes its time: it must not be cut off by our end.
await new Promise((settle) => stdout.write('', settle));
process.exit(signalled || code);
