/**
 * `make run`: boots one kernel with five routers on a real batman-adv, breaks the mesh without and with the agent, and
 * shows it. In a terminal a live picture that can be played with afterwards; elsewhere lines and a report. The exit
 * code is 0 if the mesh recovered with the agents, 1 if not, and the last line says so.
 */
import { join } from 'node:path';
import { bootUml, prepareLab, umlMissing } from '../lab/uml.ts';
import { picture } from './picture.ts';
import { answer, type Command, type Event, progress, report, START, tell, verdict, waiting } from './story.ts';

/** The other screen, no cursor, no wrapping; and all of it back. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J';
const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l';
const REDRAW_MS = 100;
/** Without a terminal, silence longer than this is broken. */
const SILENCE_MS = 4000;
/** From inside something comes ten times a second: a kernel that says nothing for so long hangs. */
const STUCK_S = 180;
const ASIDES = 20;
const KEYS: Readonly<Record<string, Command>> = { c: 'cut', m: 'mend', k: 'kill', r: 'revive', a: 'agents' };
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
/** As a shell has it for who wrote to nobody (SIGPIPE). */
const UNHEARD = 141;

const { stdin, stdout } = process;
const { env } = process;
const live = stdout.isTTY && env.TERM !== 'dumb';
/** Whether somebody can play with it once the story is told. */
const hasKeys = live && stdin.isTTY;
const unicode = /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '') && env.TERM !== 'linux';
const color = !env.NO_COLOR;

const missing = umlMissing();
if (missing) {
  process.stderr.write(`x0tta6bl4: ${missing}\n`);
  process.exit(1);
}
try {
  prepareLab();
} catch (thrown) {
  process.stderr.write(`x0tta6bl4: the lab cannot be prepared: ${(thrown as Error).message.split('\n')[0]}\n`);
  process.exit(1);
}

const started = performance.now();
const elapsedMs = () => performance.now() - started;
let state = START;
let tick = 0;
let onScreen = false;
let lastWords = 0;
let unheardS = 0;
/** The last that the kernel and the script inside said besides: wanted only when they end before their time. */
const aside: string[] = [];

function overhear(line: string): void {
  aside.push(line);
  if (aside.length > ASIDES) aside.shift();
}

// Whoever read our lines has gone (`make run | head`): there is nobody left to tell, and nothing has been shown.
for (const stream of [stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(UNHEARD);
    throw error;
  });

function print(line: string): void {
  lastWords = performance.now();
  stdout.write(`${(elapsedMs() / 1000).toFixed(1).padStart(6)} s  ${line}\n`);
}

function draw(): void {
  tick++;
  // A serial console may say 0.
  const columns = stdout.columns || 80;
  const rows = stdout.rows || 24;
  const lines = picture(state, { columns, rows, unicode, color, tick, elapsedMs: elapsedMs() });
  // Over what is there, in one synchronised write: no flicker.
  stdout.write(`\x1b[?2026h\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J\x1b[?2026l`);
}

/** It may take those inside seconds to begin: what is asked of them is confirmed here. */
function press(command: Command): void {
  const { possible, text } = answer(state, command);
  state = tell(state, { type: 'note', text });
  if (possible) uml.send(command);
}

function restore(): void {
  if (!onScreen) return;
  onScreen = false;
  if (stdin.isTTY) stdin.setRawMode(false);
  stdout.write(LEAVE);
}
process.on('exit', restore);

function hear(line: string): void {
  unheardS = 0;
  let event: Event;
  try {
    event = JSON.parse(line) as Event;
  } catch {
    overhear(line);
    return;
  }
  const before = state;
  state = tell(state, event);
  if (event.type === 'told' && !hasKeys) uml.kill();
  if (live) return;
  const said = event.type === 'cost' || event.type === 'fault' ? progress(state, event) : progress(before, event);
  if (said !== null) print(said);
}

if (!live) print(START.step);
const uml = bootUml({
  script: join(import.meta.dirname, 'inside.ts'),
  onLine: hear,
  onConsole: overhear,
  env: { NODE_NO_WARNINGS: '1' },
});
let asked = 0;
for (const [signal, code] of Object.entries(SIGNALS) as [keyof typeof SIGNALS, number][])
  process.on(signal, () => {
    asked = code;
    uml.kill();
  });

let stopped = false;
// Counted, not measured: the time in which we ourselves stand still (Ctrl-Z) is nobody's silence.
const watchdog = setInterval(() => {
  if (++unheardS < STUCK_S) return;
  overhear(`nothing was heard from inside for ${STUCK_S} s`);
  uml.kill();
}, 1000);
let timer: NodeJS.Timeout;
if (live) {
  onScreen = true;
  stdout.write(ENTER);
  stdout.on('resize', () => stdout.write('\x1b[2J'));
  timer = setInterval(draw, REDRAW_MS);
  if (hasKeys) {
    stdin.setRawMode(true);
    stdin.on('data', (data) => {
      for (const key of data.toString('latin1').toLowerCase()) {
        if (key === 'q' || key === '\x03') {
          stopped = true;
          uml.kill();
        } else if (state.told && KEYS[key]) press(KEYS[key]);
      }
    });
  }
} else {
  timer = setInterval(() => {
    if (performance.now() - lastWords > SILENCE_MS) print(waiting(state));
  }, 500);
}

const code = await uml.exited;
clearInterval(timer);
clearInterval(watchdog);
if (stdin.isTTY) stdin.pause();
restore();
const { ok, text } = verdict(state);
if (state.trials.length > 0) stdout.write(`\n${report(state).join('\n')}\n\n`);
if (asked !== 0) process.exit(asked);
if (stopped && !state.told) process.exit(0);
if (!state.told && aside.length > 0) process.stderr.write(`${aside.join('\n')}\n`);
stdout.write(
  `${ok || state.told ? text : `${text} The kernel of the lab ended with ${code} while it said: ${state.step}.`}\n`,
);
process.exit(ok ? 0 : 1);
