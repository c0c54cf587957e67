/** Draws the state of `make run`: state in, lines of a terminal out. Pure. */
import {
  afterFault,
  type Decision,
  detection,
  did,
  losingFor,
  measured,
  milliseconds,
  outageText,
  pathText,
  type Quality,
  type Report,
  ratio,
  type State,
  seen,
  type Trial,
  times,
} from './story.ts';

export interface Look {
  readonly columns: number;
  readonly rows: number;
  /** UTF-8; else ASCII. */
  readonly unicode: boolean;
  readonly color: boolean;
  /** Counts the pictures: what moves, moves by it. */
  readonly tick: number;
  readonly elapsedMs: number;
}

type Style = 'plain' | 'dim' | 'bold' | 'red' | 'green' | 'yellow' | 'cyan' | 'magenta' | 'title' | 'alarm' | 'good';
const CODES: Readonly<Record<Style, string>> = {
  plain: '',
  dim: '2',
  bold: '1',
  red: '31',
  green: '32',
  yellow: '33',
  cyan: '36',
  magenta: '35',
  title: '1;36',
  alarm: '1;31',
  good: '1;32',
};
const QUALITY_STYLE: Readonly<Record<Quality, Style>> = {
  EXCELLENT: 'green',
  GOOD: 'cyan',
  FAIR: 'yellow',
  POOR: 'magenta',
  BAD: 'red',
};

/** What a terminal without UTF-8 shows instead. */
const ASCII: Readonly<Record<string, string>> = {
  '─': '-',
  '│': '|',
  '┌': '+',
  '┐': '+',
  '└': '+',
  '┘': '+',
  '├': '+',
  '┤': '+',
  '┬': '+',
  '┴': '+',
  '═': '=',
  '║': '=',
  '╚': '+',
  '╔': '+',
  '╝': '+',
  '╗': '+',
  '╌': '-',
  '╎': ':',
  '✗': 'X',
  '▶': '>',
  '◀': '<',
  '▼': 'v',
  '▲': '^',
  '█': '#',
  '▏': '|',
  '●': '*',
  '○': 'o',
  '·': '.',
  '▁': '_',
  '▂': '_',
  '▃': '-',
  '▄': '-',
  '▅': '=',
  '▆': '=',
  '▇': '#',
  '→': '>',
  '×': 'x',
};

/** A sheet of characters with a style each; what does not fit is cut. */
export class Sheet {
  readonly width: number;
  readonly height: number;
  readonly #chars: string[][];
  readonly #styles: Style[][];

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.#chars = Array.from({ length: height }, () => Array.from({ length: width }, () => ' '));
    this.#styles = Array.from({ length: height }, () => Array.from({ length: width }, () => 'plain' as Style));
  }

  /** Answers the column behind the text. */
  put(x: number, y: number, text: string, style: Style = 'plain'): number {
    let at = x;
    for (const char of text) {
      if (y >= 0 && y < this.height && at >= 0 && at < this.width) {
        this.#chars[y]![at] = char;
        this.#styles[y]![at] = style;
      }
      at++;
    }
    return at;
  }

  right(y: number, text: string, style: Style = 'plain', margin = 1): void {
    this.put(this.width - margin - [...text].length, y, text, style);
  }

  lines({ unicode, color }: Pick<Look, 'unicode' | 'color'>): string[] {
    return this.#chars.map((row, y) => {
      let line = '';
      let style: Style = 'plain';
      const end = row.findLastIndex((char) => char !== ' ') + 1;
      for (let x = 0; x < end; x++) {
        const next = this.#styles[y]![x]!;
        if (color && next !== style) line += `\x1b[0${CODES[next] && `;${CODES[next]}`}m`;
        style = next;
        const char = row[x]!;
        line += unicode ? char : char > '~' ? (ASCII[char] ?? '?') : char;
      }
      return color && style !== 'plain' ? `${line}\x1b[0m` : line;
    });
  }
}

/** Where the routers stand, in columns and rows of a grid: a ring of five drawn as two rows. */
const PLACES: readonly (readonly [number, number])[] = [
  [0, 0],
  [1, 0],
  [2, 0],
  [2, 1],
  [1, 1],
];
const BOX = 8;
/** In fewer figures would be cut, and a figure that is cut is another one. */
const LEAST_COLUMNS = 80;
const LEAST_ROWS = 20;

export function picture(state: State, look: Look): string[] {
  const { columns, rows } = look;
  if (columns < LEAST_COLUMNS || rows < LEAST_ROWS)
    return [`This picture needs ${LEAST_COLUMNS} columns and ${LEAST_ROWS} rows.`, state.step, 'q stops']
      .slice(0, rows)
      .map((line) => line.slice(0, columns));
  const sheet = new Sheet(columns, rows);
  header(sheet, state, look);
  chapters(sheet, state);
  const gap = Math.min(20, Math.max(7, Math.floor((columns * 0.6 - 3 * BOX) / 2) - 1));
  const meshWidth = 3 * BOX + 2 * gap + 4;
  // From one row of routers to the next.
  const pitch = rows >= 36 ? 7 : rows >= 30 ? 6 : 5;
  if (state.mesh) mesh(sheet, state, look, 4, gap, pitch);
  else sheet.put(3, 5, `${'|/-\\'[Math.floor(look.tick / 2) % 4]} ${state.step.slice(0, meshWidth - 10)} ...`, 'bold');
  verdictBox(sheet, state, meshWidth, 4);
  // Air between the parts where there is room for it.
  const air = rows >= 28 ? 1 : 0;
  let y = 7 + pitch + air;
  y = traffic(sheet, state, y) + air;
  y = bars(sheet, state, y) + air;
  decisions(sheet, state, y, rows - 1);
  help(sheet, state, rows - 1);
  return sheet.lines(look);
}

/** Why a link that has a carrier stands aside. */
const HELD = 'Your turn. A link that failed twice is held: it has to live 30 s before use';

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function header(sheet: Sheet, state: State, { elapsedMs, tick }: Look): void {
  sheet.put(1, 0, 'x0tta6bl4', 'title');
  sheet.put(12, 0, 'five routers, real batman-adv, one kernel', 'dim');
  const running = state.routers.filter(({ agent }) => agent).length;
  const alive = state.routers.filter((router) => router.alive).length;
  const word = running === 0 ? 'AGENTS OFF' : running === alive ? 'AGENTS ON' : `AGENTS ON IN ${running}`;
  sheet.right(0, clock(elapsedMs), 'dim');
  if (state.mesh) sheet.put(sheet.width - 8 - word.length, 0, word, running === 0 ? 'yellow' : 'good');
  const text = state.note ?? (state.told && state.busy === null && state.held.length > 0 ? HELD : state.step);
  const busy = !state.told || state.busy !== null ? '|/-\\'[Math.floor(tick / 2) % 4]! : '→';
  sheet.put(1, 1, busy, 'bold');
  sheet.put(3, 1, text, state.note === null ? 'bold' : 'yellow');
}

/** The chapters of the story, the present one bright. */
function chapters(sheet: Sheet, state: State): void {
  const withAgents = state.routers.some(({ agent }) => agent) || state.trials.some(({ agents }) => agents);
  const now = state.told ? 3 : withAgents ? 2 : state.reports.length > 0 ? 1 : 0;
  let x = 3;
  ['1 boot', '2 faults without agents', '3 the same with agents', '4 your turn'].forEach((name, i) => {
    x = sheet.put(x, 2, name, i === now ? 'title' : 'dim') + 3;
  });
}

/** Links with what is known of them, the way that traffic takes, and the routers over both. */
function mesh(sheet: Sheet, state: State, look: Look, top: number, gap: number, pitch: number): void {
  const { links, src, dst } = state.mesh!;
  const at = (n: number) => {
    const [column, row] = PLACES[n % PLACES.length]!;
    return { x: 2 + column * (BOX + gap), y: top + row * pitch };
  };
  const losing = losingFor(state) !== null;
  const isDead = (n: number) => state.routers[n]?.alive === false;
  for (const { id, a, b } of links) {
    const step = state.path.findIndex(
      (n, i) => (n === a && state.path[i + 1] === b) || (n === b && state.path[i + 1] === a),
    );
    const used = step !== -1;
    const isCut = state.cut.includes(id);
    const isDown = isCut || isDead(a) || isDead(b);
    const quality = isDown ? undefined : state.quality[id];
    const style: Style = isDown ? 'red' : used ? (losing ? 'alarm' : 'bold') : quality ? QUALITY_STYLE[quality] : 'dim';
    const label = isCut ? '✗ CUT ✗' : isDown ? '✗' : state.held.includes(id) ? 'held' : (quality ?? '');
    const labelStyle: Style = isDown ? 'alarm' : quality ? QUALITY_STYLE[quality] : 'dim';
    // The cells of the line from a to b, with the character for each direction.
    const cells = route(at(a), at(b));
    const forward = used && state.path[step] === a;
    cells.forEach(({ x, y, dx, dy, corner }, i) => {
      const line = isDown ? (dx ? '╌' : '╎') : used ? (dx ? '═' : '║') : dx ? '─' : '│';
      let char = corner ? (used && !isDown ? '╚' : '└') : line;
      if (used && !isDown && !losing && !corner) {
        const along = forward ? i : cells.length - 1 - i;
        if ((along - look.tick) % 5 === 0) {
          const [fx, fy] = forward ? [dx, dy] : [-dx, -dy];
          char = fx > 0 ? '▶' : fx < 0 ? '◀' : fy > 0 ? '▼' : '▲';
        }
      }
      sheet.put(x, y, char, style);
    });
    if (label === '') continue;
    const flat = cells.filter(({ dx, corner }) => dx !== 0 && !corner);
    if (flat.length > 0) {
      const text = flat.length >= label.length + 4 ? ` ${label} ` : label.slice(0, flat.length - 2);
      const left = Math.min(...flat.map(({ x }) => x));
      sheet.put(left + ((flat.length - text.length) >> 1), flat[0]!.y, text, labelStyle);
    } else {
      // Left of the line, each: between two of them there is not always room for both.
      const middle = cells[cells.length >> 1]!;
      sheet.put(middle.x - 1 - label.length, middle.y, label, labelStyle);
    }
  }
  state.routers.forEach(({ alive, agent }, n) => {
    const { x, y } = at(n);
    const style: Style = !alive ? 'red' : state.path.includes(n) ? 'bold' : 'plain';
    sheet.put(x, y, '┌──────┐', style);
    sheet.put(x, y + 1, '│      │', style);
    sheet.put(x, y + 2, '└──────┘', style);
    sheet.put(x + 1, y + 1, alive ? ` r${n}   ` : ` r${n} ✗ `, alive ? 'bold' : 'alarm');
    if (alive) sheet.put(x + 5, y + 1, agent ? '●' : '○', agent ? 'good' : 'dim');
    const role = !alive ? 'dead' : n === src ? 'source' : n === dst ? 'target' : '';
    if (role) sheet.put(x + 1, y, role, alive ? 'cyan' : 'alarm');
  });
}

interface Cell {
  readonly x: number;
  readonly y: number;
  readonly dx: number;
  readonly dy: number;
  readonly corner: boolean;
}

/** Straight between boxes in a row or column, else down from the first and along the lower row. */
function route(from: { x: number; y: number }, to: { x: number; y: number }): Cell[] {
  const cells: Cell[] = [];
  const swap = from.y > to.y || (from.y === to.y && from.x > to.x);
  const [p, q] = swap ? [to, from] : [from, to];
  if (p.y === q.y) for (let x = p.x + BOX; x < q.x; x++) cells.push({ x, y: p.y + 1, dx: 1, dy: 0, corner: false });
  else {
    const x = p.x + 3;
    const straight = p.x === q.x;
    for (let y = p.y + 3; y < q.y + (straight ? 0 : 1); y++) cells.push({ x, y, dx: 0, dy: 1, corner: false });
    if (!straight) {
      cells.push({ x, y: q.y + 1, dx: 1, dy: 0, corner: true });
      for (let along = x + 1; along < q.x; along++) cells.push({ x: along, y: q.y + 1, dx: 1, dy: 0, corner: false });
    }
  }
  return swap ? cells.reverse().map((cell) => ({ ...cell, dx: -cell.dx, dy: -cell.dy })) : cells;
}

/** The newest fault: what it was and whether it still is, when it was seen, when it was repaired. */
function verdictBox(sheet: Sheet, state: State, x: number, y: number): void {
  const trial = state.trials.at(-1);
  if (trial === undefined) {
    sheet.put(x, y, 'NO FAULT YET', 'dim');
    [
      'Every link has another way',
      'round. Soon one that is in',
      'use is cut: first without',
      'the agent, then with it.',
    ].forEach((line, i) => {
      sheet.put(x, y + 1 + i, line, 'dim');
    });
    return;
  }
  const row = (i: number, name: string, value: string, style: Style = 'bold') => {
    sheet.put(x, y + i, name, 'dim');
    sheet.put(x + 14, y + i, value, style);
  };
  const { over, what } = trial;
  sheet.put(x, y, over === null ? what : `${what}, ${over}`, over === null ? 'alarm' : 'dim');
  const past = over !== null || trial.agents !== state.routers.some(({ agent }) => agent) ? 'it was ' : '';
  const style: Style = past ? 'dim' : trial.agents ? 'green' : 'yellow';
  sheet.put(x, y + 1, `${past}${trial.agents ? 'with' : 'without'} the agents`, style);
  const found = detection(state, trial);
  const { cost } = trial;
  const lost = losingFor(state);
  // The log's lines come late: when it was, the journal says.
  if (found?.exact) row(2, 'decided', `after ${milliseconds(found.ms)}`, 'good');
  else if (found) row(2, 'decided', 'yes', 'good');
  else row(2, 'decided', trial.agents ? '...' : 'by nobody', 'plain');
  if (cost?.recovered) row(3, 'outage', outageText(cost), 'good');
  else if (lost !== null) row(3, 'traffic', `lost, ${milliseconds(lost)}`, 'alarm');
  else row(3, 'traffic', cost?.final ? 'did not return' : '...', cost?.final ? 'alarm' : 'plain');
  row(4, 'packets lost', cost?.recovered || cost?.final ? `${cost.lost}` : '...');
  row(5, 'extra frames', cost?.frames == null ? '...' : `${cost.frames} in 2 s`);
  row(6, 'path before', pathText(trial.before), 'plain');
  row(7, 'path now', pathText(state.path), 'plain');
}

const LEVELS = '▁▂▃▄▅▆▇█';

/** One column for each report: a delay low and green, a loss high and red. */
export function spark({ sent, lost, delayUs }: Report): { readonly delay: string; readonly loss: string } {
  const share = sent === 0 ? 0 : lost / sent;
  const loss = share === 0 ? '·' : LEVELS[Math.max(0, Math.ceil(share * 8) - 1)]!;
  // 100 us is one step, each further step twice that.
  const delay =
    share === 1 ? ' ' : LEVELS[Math.max(0, Math.min(7, Math.round(Math.log2(Math.max(delayUs, 1) / 100))))]!;
  return { delay, loss };
}

function traffic(sheet: Sheet, state: State, y: number): number {
  if (!state.mesh) return y + 4;
  const { src, dst } = state.mesh;
  const last = state.reports.at(-1);
  sheet.put(1, y, `TRAFFIC r${src} → r${dst}`, 'bold');
  const width = sheet.width - 11;
  sheet.put(20, y, `500 packets a second, the last ${Math.round(width / 10)} s`, 'dim');
  if (last) {
    const losing = last.lost > 0;
    const word = losing
      ? `LOSING ${Math.round((100 * last.lost) / last.sent)} %`
      : `FLOWING ${(last.delayUs / 1000).toFixed(1)} ms`;
    sheet.right(y, word, losing ? 'alarm' : 'good');
  }
  sheet.put(1, y + 1, 'lost', 'dim');
  sheet.put(1, y + 2, 'delay', 'dim');
  state.reports.slice(-width).forEach((report, i) => {
    const { delay, loss } = spark(report);
    sheet.put(10 + i, y + 1, loss, loss === '·' ? 'dim' : 'alarm');
    sheet.put(10 + i, y + 2, delay, 'green');
  });
  return y + 3;
}

/** How long the same kind of fault took the traffic away, without and with the agents, on one scale. */
function bars(sheet: Sheet, state: State, y: number): number {
  const trial = state.trials.at(-1);
  const kind = trial?.kind ?? 'cut';
  sheet.put(1, y, 'OUTAGE', 'bold');
  sheet.put(
    9,
    y,
    trial ? `of this fault: ${kind === 'cut' ? 'a link in use cut' : 'a router on the path killed'}` : '',
    'dim',
  );
  const ms = (agents: boolean): { value: number; text: string; running: boolean } | null => {
    const live = trial?.agents === agents ? losingFor(state) : null;
    if (live !== null) return { value: live, text: `${milliseconds(live)} ...`, running: true };
    if (trial?.agents === agents && trial.cost === null) return null;
    const cost = measured(state, kind, agents)?.cost;
    return cost ? { value: cost.outageMs, text: outageText(cost), running: !cost.recovered } : null;
  };
  const [stock, agent] = [ms(false), ms(true)];
  const most = Math.max(5000, stock?.value ?? 0, agent?.value ?? 0);
  const room = sheet.width - 18 - 12;
  const bar = (row: number, name: string, it: typeof stock, style: Style) => {
    sheet.put(1, row, name, 'plain');
    if (it === null) return void sheet.put(17, row, state.mesh ? 'not measured yet' : '', 'dim');
    const full = Math.round((it.value / most) * room);
    const end = sheet.put(17, row, full === 0 ? '▏' : '█'.repeat(full), style);
    sheet.put(end + 1, row, it.text, 'bold');
  };
  bar(y + 1, 'without agents', stock, 'yellow');
  bar(y + 2, 'with agents', agent, 'green');
  if (stock && agent && !stock.running && !agent.running) {
    const shorter = ratio(stock.value, agent.value);
    sheet.right(
      y + 2,
      shorter >= 1.05 ? `${times(shorter)} times shorter` : 'no shorter',
      shorter >= 1.05 ? 'good' : 'yellow',
    );
  }
  return y + 3;
}

function decisions(sheet: Sheet, state: State, top: number, bottom: number): void {
  const room = bottom - top - 1;
  if (room < 1) return;
  sheet.put(1, top, 'DECISIONS', 'bold');
  const trial = state.trials.findLast(({ agents }) => agents);
  if (trial === undefined) {
    sheet.put(12, top, 'of the agents: none run yet', 'dim');
    return;
  }
  sheet.put(12, top, `of the agents, in ms after: ${trial.what}`, 'dim');
  shown(state, trial, room).forEach((decision, i) => {
    const y = top + 1 + i;
    const ms = afterFault(state, trial, decision);
    sheet.put(1, y, (ms < 10 ? ms.toFixed(1) : ms.toFixed(0)).padStart(7), 'bold');
    sheet.put(10, y, `r${decision.router}`, 'cyan');
    const end = decision.step === 'planned' ? sheet.put(13, y, `${seen(decision)}: `, 'dim') : 13;
    const style: Style = decision.step === 'verified' ? 'good' : decision.step === 'failed' ? 'yellow' : 'plain';
    sheet.put(end, y, did(decision), style);
  });
}

/** As many as fit, in the order of their instants: those who saw the fault themselves before those who were told. */
export function shown(state: State, trial: Trial, room: number): Decision[] {
  const rank = ({ cause, step, result }: Decision) =>
    (cause === 'remote-alarm' ? 2 : 0) +
    (result?.startsWith('no route here') ? 4 : 0) +
    (step === 'planned' || step === 'verified' ? 0 : 1);
  const time = (decision: Decision) => afterFault(state, trial, decision);
  return trial.decisions
    .filter((decision) => time(decision) >= 0)
    .sort((x, y) => rank(x) - rank(y) || time(x) - time(y))
    .slice(0, room)
    .sort((x, y) => time(x) - time(y));
}

function help(sheet: Sheet, state: State, y: number): void {
  const keys: readonly (readonly [string, string])[] = state.told
    ? [
        ['c', 'cut the link in use'],
        ['m', 'mend'],
        ['k', 'kill a router'],
        ['r', 'revive'],
        ['a', state.routers.some(({ agent }) => agent) ? 'agents off' : 'agents on'],
        ['q', 'stop'],
      ]
    : [['q', 'stop']];
  let x = 1;
  for (const [key, what] of keys) {
    x = sheet.put(x, y, key, 'title');
    x = sheet.put(x + 1, y, what, 'plain') + 2;
  }
  if (!state.told) sheet.put(x, y, 'the story plays by itself; then you may break things: c m k r a', 'dim');
}
