/** What the lab's kernels have in common: what they are asked to run, and how what they say is heard. */
import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';

export interface GuestOptions {
  /** The Node script that runs inside. */
  readonly script: string;
  readonly args?: readonly string[];
  /** Memory of the guest in MiB; only what it touches is taken from the host. */
  readonly memMb?: number;
  /** A line that the script wrote to stdout, without its end. */
  readonly onLine?: (line: string) => void;
  /** A line of the script's stderr or of the kernel; goes to this process's stderr by default. */
  readonly onConsole?: (line: string) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** A directory of the host that the guest may write to; it finds it in the environment as LAB_RESULTS. */
  readonly results?: string;
}

export interface Guest {
  /** Writes one line to the script's stdin. */
  send(line: string): void;
  /** Resolves with the script's exit code, or with 255 where the kernel ended without handing one out. */
  readonly exited: Promise<number>;
  /** Once it has exited: the signal that ended the emulator itself (QEMU, user-mode Linux), which we had not; else null. */
  readonly crashedBy: () => string | null;
  kill(): void;
}

/** The name of the signal that an exit code above 128 stands for; null for any other code. */
export const signalOf = (code: number): string | null =>
  Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0] ?? null;

export const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** First and last on the line that carries the script's output, behind a control character that no JSON has. */
const START_MARK = '\u001elab-start';
const EXIT_MARK = '\u001elab-exit ';

/** Shell lines that run the script with `device` as its stdin and stdout, between the marks. */
export function runScript({ script, args = [], env = {} }: GuestOptions, root: string, device: string): string {
  // What older Nodes have to be told, so that they run TypeScript.
  const { NODE_OPTIONS } = process.env;
  const exports = Object.entries({ ...(NODE_OPTIONS && { NODE_OPTIONS }), ...env }).map(
    ([key, value]) => `export ${key}=${quote(value)}`,
  );
  const command = [process.execPath, script, ...args].map(quote).join(' ');
  return `${exports.join('\n')}
cd ${quote(root)}
${command} <${device} >${device}
code=$?
# What the kernel says of a process that died by a signal: where it was.
[ $code -lt 128 ] || dmesg | tail -n 20
printf '\\036lab-exit %d\\n' $code >${device}
sleep 5`;
}

/** Says that the script is about to run: what the console has said up to then is shown only if it never comes. */
export const sayStart = (device: string): string => `# Held open: what comes while nobody has it is lost.
exec 9<>${device}
stty -F ${device} raw -echo
printf '\\036lab-start\\n' >${device}`;

/** Hears a guest: `child` is the tether, `consoles` what kernel and stderr say, `lines` and `input` the script's. */
export function follow(
  child: ChildProcess,
  consoles: readonly NodeJS.ReadableStream[],
  lines: NodeJS.ReadableStream,
  input: NodeJS.WritableStream,
  options: GuestOptions,
): Guest {
  const onConsole = options.onConsole ?? ((line) => process.stderr.write(`${line}\n`));
  let started = false;
  const early: string[] = [];
  /** A line that nobody has opened yet loses what comes. */
  const unsent: string[] = [];
  for (const stream of consoles)
    createInterface({ input: stream }).on('line', (line) => {
      const text = line.trimEnd();
      if (started && text !== '') onConsole(text);
      else early.push(text);
    });
  let code = 255;
  let isOver = false;
  let crash: string | null = null;
  const end = () => {
    isOver = true;
    child.kill('SIGTERM');
  };
  createInterface({ input: lines }).on('line', (line) => {
    if (line === START_MARK) {
      started = true;
      for (const early of unsent.splice(0)) input.write(early);
    } else {
      // The mark may follow output that had no line end.
      const mark = line.indexOf(EXIT_MARK);
      const text = mark === -1 ? line : line.slice(0, mark);
      if (mark === -1 || text !== '') options.onLine?.(text);
      if (mark === -1) return;
      code = Number(line.slice(mark + EXIT_MARK.length));
      end();
    }
  });
  // A guest that is gone reads no more: its end is told by `exited`.
  input.on('error', () => {});
  const exited = new Promise<number>((settle, fail) => {
    child.once('error', fail);
    child.once('close', (status) => {
      // The tether's code is that of the emulator.
      if (!isOver) crash = signalOf(status ?? 0);
      if (!started && code !== 0) for (const line of early) onConsole(line);
      settle(code);
    });
  });
  return {
    send(line) {
      if (started) input.write(`${line}\n`);
      else unsent.push(`${line}\n`);
    },
    exited,
    crashedBy: () => crash,
    kill: end,
  };
}
