/**
 * The report of a scenario as one page: what happened on which router when, with agents and without, on one axis of time.
 * One file, no script, nothing from elsewhere. Every name in it comes from people and is escaped: a node may be called
 * `<script>`.
 */
import { PASSIVE } from '../../agent/twin/expected.ts';
import type { Scenario } from '../../agent/twin/scenario.ts';
import type { MeshGraph } from '../../agent/twin/topologies.ts';
import type { JournalRow, Played, PlayedFault, PlayedProbe } from './played.ts';
import type { FaultReport, Report, RunReport } from './report.ts';
import { foundText, repairText, shortMs } from './words.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: XML has no place for them.
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]/g;
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text that may stand in HTML or SVG, between tags and in quoted attributes. */
export const escaped = (text: string) => text.replace(CONTROL, ' ').replace(/[&<>"']/g, (char) => ENTITIES[char]!);

const cut = (text: string, longest: number) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text);
const px = (value: number) => String(Math.round(value * 10) / 10);

/** Places of a timeline, in its own units; the page scales it. */
const WIDTH = 1000;
const LEFT = 116;
const RIGHT = 16;
const LANE = 26;
const PROBE = 38;
const BAND = 22;

/** Delays that need not be seen, in microseconds. */
const QUIET_US = 3000;

/** What is drawn of one stretch of time. */
interface Axis {
  /** What its ticks count from; a fault, in a closer look. */
  readonly zero: number;
  readonly from: number;
  readonly to: number;
  x(ms: number): number;
}

function axisOf(from: number, to: number, zero = 0): Axis {
  const scale = (WIDTH - LEFT - RIGHT) / Math.max(1, to - from);
  return { zero, from, to, x: (ms) => LEFT + (Math.min(to, Math.max(from, ms)) - from) * scale };
}

/** Round times, some eight of them. */
function ticks({ from, to, zero }: Axis): number[] {
  const rough = (to - from) / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough)!;
  const found: number[] = [];
  for (let n = Math.ceil((from - zero) / step); zero + n * step <= to + step / 1000; n++) found.push(zero + n * step);
  return found;
}

const timeOf = (ms: number, span: number) =>
  span < 5000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toFixed(span < 20_000 ? 1 : 0))} s`;

/** How a mark of the journal looks, and what it means. */
const MARKS: Readonly<
  Record<string, { readonly shape: 'ring' | 'dot' | 'diamond' | 'cross'; readonly tone: string; readonly says: string }>
> = {
  planned: { shape: 'ring', tone: 'plan', says: 'named and planned' },
  observed: { shape: 'ring', tone: 'plan', says: 'observed' },
  dropped: { shape: 'ring', tone: 'plan', says: 'dropped' },
  done: { shape: 'dot', tone: 'act', says: 'acted' },
  verified: { shape: 'dot', tone: 'good', says: 'verified' },
  over: { shape: 'diamond', tone: 'calm', says: 'over' },
  'rolled-back': { shape: 'cross', tone: 'warn', says: 'rolled back' },
  failed: { shape: 'cross', tone: 'bad', says: 'failed' },
};
const markOf = (step: string) => MARKS[step] ?? MARKS.planned!;

function mark(x: number, y: number, step: string): string {
  const { shape, tone } = markOf(step);
  const r = 5;
  switch (shape) {
    case 'ring':
      return `<circle class="m ${tone} ring" cx="${px(x)}" cy="${px(y)}" r="${r - 0.5}"/>`;
    case 'dot':
      return `<circle class="m ${tone}" cx="${px(x)}" cy="${px(y)}" r="${r}"/>`;
    case 'diamond':
      return `<path class="m ${tone}" d="M${px(x)} ${px(y - r)}l${r} ${r}l-${r} ${r}l-${r} -${r}z"/>`;
    default:
      return `<path class="m ${tone} ring" d="M${px(x - 4)} ${px(y - 4)}l8 8m0 -8l-8 8"/>`;
  }
}

/** Marks that would lie upon each other become one, with a number; each says all that it stands for. */
function marks(rows: readonly JournalRow[], axis: Axis, y: number): string {
  const groups: { x: number; rows: JournalRow[] }[] = [];
  for (const row of rows) {
    const x = axis.x(row.atMs);
    const last = groups.at(-1);
    if (last !== undefined && x - last.x < 9) last.rows.push(row);
    else groups.push({ x, rows: [row] });
  }
  return groups
    .map(({ x, rows: some }) => {
      // The gravest, or what came last, gives the look.
      const look =
        some.find(({ step }) => step === 'failed') ?? some.find(({ step }) => step === 'rolled-back') ?? some.at(-1)!;
      const lines = some.slice(0, 14).map((row) => sentence(row));
      if (some.length > lines.length) lines.push(`and ${some.length - lines.length} more`);
      const count = some.length > 1 ? `<text class="n" x="${px(x + 7)}" y="${px(y - 4)}">${some.length}</text>` : '';
      return `<g tabindex="0"><title>${escaped(lines.join('\n'))}</title>${mark(x, y, look.step)}${count}</g>`;
    })
    .join('');
}

function sentence({ atMs, class: of, interface: on, step, action, result }: JournalRow): string {
  const what = PASSIVE.has(action) ? '' : ` ${action}`;
  return `${(atMs / 1000).toFixed(3)} s  ${of}${on ? ` ${on}` : ''}: ${step}${what}${result ? `: ${result}` : ''}`;
}

/** A probe's packets: what is lost hangs from the top in red, what came is a line by its delay. */
function probeLane({ stretches, losses, name }: PlayedProbe, axis: Axis, top: number, label: string): string {
  const parts: string[] = [];
  const height = PROBE - 12;
  const inside = stretches.filter(([at]) => at >= axis.from && at <= axis.to);
  const width = inside.length > 1 ? inside[1]![0] - inside[0]![0] : 100;
  // Below that it is the machine's noise, and shall look like nothing.
  const slowest = Math.max(QUIET_US, ...inside.map(([, , , delay]) => delay));
  parts.push(
    `<rect class="flow" x="${LEFT}" y="${px(top)}" width="${WIDTH - LEFT - RIGHT}" height="${height}" rx="3"/>`,
  );
  const lines: string[][] = [[]];
  const isClose = axis.zero > 0;
  for (const [from, to, lost] of isClose ? losses : []) {
    if (to < axis.from || from > axis.to) continue;
    const wide = Math.max(1.6, axis.x(to) - axis.x(from));
    const said = `${name}: ${lost} packets lost, ${shortMs(to - from)}`;
    parts.push(
      `<rect class="lost" x="${px(axis.x(from))}" y="${px(top)}" width="${px(wide)}" height="${height}"><title>${escaped(said)}</title></rect>`,
    );
  }
  for (const [at, sent, lost, delay] of inside) {
    const x = axis.x(at);
    const to = axis.x(at + width);
    if (lost > 0 && !isClose) {
      const share = lost / sent;
      const tall = Math.max(3, share * height);
      const said = `${name}: ${lost} of ${sent} packets lost at ${(at / 1000).toFixed(1)} s`;
      parts.push(
        `<rect class="lost" x="${px(x)}" y="${px(top)}" width="${px(Math.max(1.6, to - x + 0.4))}" height="${px(tall)}"><title>${escaped(said)}</title></rect>`,
      );
    }
    if (lost === sent) lines.push([]);
    else lines.at(-1)!.push(`${px((x + to) / 2)},${px(top + height - 3 - (delay / slowest) * (height - 8))}`);
  }
  for (const line of lines) if (line.length > 1) parts.push(`<polyline class="delay" points="${line.join(' ')}"/>`);
  return `${laneLabel(label, top + height / 2)}${parts.join('')}`;
}

const laneLabel = (text: string, y: number) =>
  `<text class="label" x="${LEFT - 10}" y="${px(y + 4)}">${escaped(cut(text, 15))}<title>${escaped(text)}</title></text>`;

interface Band {
  readonly fault: PlayedFault;
  readonly x: number;
  readonly to: number;
  readonly row: number;
  readonly text: string;
  /** Where there is no room on the right, what it is called stands on the left. */
  readonly isLeft: boolean;
}

/** About as wide as a letter of the bands is. */
const LETTER = 6.6;

/** Where each fault's band goes, so that nothing lies upon another. */
function bandsOf(faults: readonly PlayedFault[], axis: Axis, endMs: number): Band[] {
  const rows: { from: number; to: number }[][] = [];
  return faults.map((fault) => {
    const x = axis.x(fault.atMs);
    const to = Math.max(x + 2, axis.x(fault.mendedMs ?? endMs));
    const { name, fault: kind, what } = fault;
    const text = cut(
      faults.length > 14 ? name : faults.length > 6 ? `${name}: ${kind}` : `${name}: ${kind}, ${what}`,
      64,
    );
    const wide = 12 + text.length * LETTER;
    const isLeft = x + wide > WIDTH - RIGHT && x - wide > LEFT;
    const place = isLeft ? { from: x - wide, to: to + 4 } : { from: x - 4, to: Math.max(to, x + wide) };
    let row = rows.findIndex((taken) => taken.every(({ from, to: end }) => end < place.from || from > place.to));
    if (row === -1) row = rows.push([]) - 1;
    rows[row]!.push(place);
    return { fault, x, to, row, text, isLeft };
  });
}

function drawBands(bands: readonly Band[], axis: Axis, top: number, bottom: number): string {
  return bands
    .map(({ fault, x, to, row, text, isLeft }) => {
      const y = top + row * BAND;
      const isMended = fault.mendedMs !== null && fault.mendedMs <= axis.to;
      const mended = isMended
        ? `<line class="mend" x1="${px(to)}" x2="${px(to)}" y1="${px(y)}" y2="${px(bottom)}"/>`
        : '';
      const label = `<text class="fault${isLeft ? ' end' : ''}" x="${px(isLeft ? x - 6 : x + 7)}" y="${px(y + 13)}">${escaped(text)}</text>`;
      return (
        `<g><title>${escaped(`${fault.name}: ${fault.fault}, ${fault.what}`)}</title>` +
        `<rect class="span" x="${px(x)}" y="${px(y)}" width="${px(to - x)}" height="${px(bottom - y)}"/>` +
        `<rect class="band" x="${px(x)}" y="${px(y)}" width="${px(to - x)}" height="${BAND - 5}" rx="3"/>` +
        `<line class="strike" x1="${px(x)}" x2="${px(x)}" y1="${px(y)}" y2="${px(bottom)}"/>${mended}${label}</g>`
      );
    })
    .join('');
}

/** One picture: faults above, then the probes, then a lane for each router that has something to tell. */
function picture(played: Played, names: readonly string[], axis: Axis, about: string): string {
  const faults = played.faults.filter(
    ({ atMs, mendedMs }) => atMs <= axis.to && (mendedMs ?? played.durationMs) >= axis.from,
  );
  const journal = played.journal.filter(({ atMs }) => atMs >= axis.from && atMs <= axis.to);
  const lanes = played.agents
    .map(({ router }) => router)
    .filter((n) => played.agents.length <= 12 || journal.some(({ router }) => router === n));
  const top = 8;
  const bands = bandsOf(faults, axis, played.durationMs);
  const probesTop = top + Math.max(1, ...bands.map(({ row }) => row + 1)) * BAND + 8;
  const lanesTop = probesTop + played.probes.length * PROBE;
  const bottom = lanesTop + lanes.length * LANE + 4;
  const height = bottom + 24;
  const span = axis.to - axis.from;
  const parts: string[] = [];
  for (const at of ticks(axis)) {
    const x = px(axis.x(at));
    parts.push(`<line class="grid" x1="${x}" x2="${x}" y1="${px(probesTop - 4)}" y2="${px(bottom)}"/>`);
    parts.push(
      `<text class="tick" x="${x}" y="${px(bottom + 16)}">${axis.zero > 0 && at > axis.zero ? '+' : ''}${timeOf(at - axis.zero, span)}</text>`,
    );
  }
  for (const [i, router] of lanes.entries()) {
    const y = lanesTop + i * LANE + LANE / 2;
    parts.push(`<line class="lane" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${px(y)}" y2="${px(y)}"/>`);
    parts.push(laneLabel(names[router]!, y));
  }
  parts.push(drawBands(bands, axis, top, bottom));
  for (const [i, probe] of played.probes.entries())
    parts.push(probeLane(probe, axis, probesTop + i * PROBE, `${names[probe.from]} → ${names[probe.to]}`));
  for (const [i, router] of lanes.entries())
    parts.push(
      marks(
        journal.filter((row) => row.router === router),
        axis,
        lanesTop + i * LANE + LANE / 2,
      ),
    );
  return (
    `<div class="scroll"><svg class="time" viewBox="0 0 ${WIDTH} ${px(height)}" role="img" aria-label="${escaped(about)}">` +
    `${parts.join('')}</svg></div>`
  );
}

/** The mesh, with what was hit. */
function map({ graph, topology: { kind } }: Scenario, faults: readonly PlayedFault[]): string {
  const round = new Set<string>(['ring', 'full']);
  const size = 320;
  const pad = 34;
  const places = (round.has(kind) ? undefined : graph.places) ?? spread(graph, round.has(kind));
  const at = (n: number) => places[n]!.map((value) => pad + value * (size - 2 * pad)) as [number, number];
  const links = new Set(faults.flatMap((fault) => fault.links));
  const direct = new Set(faults.flatMap(({ routers }) => (routers.length <= 2 ? routers : [])));
  const many = graph.nodes.length > 40;
  const lines = graph.links.map(({ a, b }, id) => {
    const [[x1, y1], [x2, y2]] = [at(a), at(b)];
    return `<line class="wire${links.has(id) ? ' hit' : ''}" x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}"/>`;
  });
  const dots = graph.nodes.map((name, n) => {
    const [x, y] = at(n);
    const label = many
      ? ''
      : `<text x="${px(x)}" y="${px(y + (y > size - pad - 1 ? 21 : -11))}">${escaped(cut(name, 14))}</text>`;
    return `<g><title>${escaped(name)}</title><circle class="node${direct.has(n) ? ' hit' : ''}" cx="${px(x)}" cy="${px(y)}" r="${many ? 3.5 : 7}"/>${label}</g>`;
  });
  return `<svg class="map" viewBox="0 0 ${size} ${size}" role="img" aria-label="the mesh">${lines.join('')}${dots.join('')}</svg>`;
}

/** A mesh without places: links pull, nodes push, for a while. Only a picture: it need not be the same everywhere. */
function spread({ nodes, links }: MeshGraph, asCircle: boolean): (readonly [number, number])[] {
  const angle = (n: number) => 2 * Math.PI * (n / nodes.length - 0.25);
  const at = nodes.map((_, n) => [0.5 + 0.5 * Math.cos(angle(n)), 0.5 + 0.5 * Math.sin(angle(n))]);
  if (asCircle) return at.map(([x, y]) => [x!, y!] as const);
  const ideal = 0.8 / Math.sqrt(nodes.length);
  const rounds = nodes.length > 100 ? 60 : 200;
  for (let round = 0; round < rounds; round++) {
    const step = 0.05 * (1 - round / rounds);
    const move = nodes.map(() => [0, 0]);
    const act = (a: number, b: number, strength: (distance: number) => number) => {
      const [dx, dy] = [at[a]![0]! - at[b]![0]!, at[a]![1]! - at[b]![1]!];
      const distance = Math.hypot(dx, dy) || 0.001;
      for (const [axis, delta] of [dx, dy].entries()) {
        move[a]![axis]! += (delta / distance) * strength(distance);
        move[b]![axis]! -= (delta / distance) * strength(distance);
      }
    };
    for (let a = 0; a < nodes.length; a++)
      for (let b = a + 1; b < nodes.length; b++) act(a, b, (d) => (ideal * ideal) / d);
    for (const { a, b } of links) act(a, b, (d) => (-d * d) / ideal);
    for (const [n, [dx, dy]] of move.entries()) {
      const length = Math.hypot(dx!, dy!) || 1;
      at[n]![0]! += (dx! / length) * Math.min(length, step);
      at[n]![1]! += (dy! / length) * Math.min(length, step);
    }
  }
  const [xs, ys] = [0, 1].map((axis) => at.map((place) => place[axis]!)) as [number[], number[]];
  const fit = (value: number, all: number[]) => (value - Math.min(...all)) / (Math.max(...all) - Math.min(...all) || 1);
  return at.map(([x, y]) => [fit(x!, xs), fit(y!, ys)] as const);
}

/** How long after a fault something still happened that is worth a closer look. */
function closeUp(fault: PlayedFault, played: Played): Axis | undefined {
  const last = Math.max(
    0,
    ...fault.costs.map(({ outageMs }) => outageMs),
    ...played.journal
      .filter(
        ({ atMs, step }) =>
          atMs >= fault.atMs && atMs < Math.min(fault.untilMs, fault.atMs + 15_000) && step !== 'over',
      )
      .map(({ atMs }) => atMs - fault.atMs),
  );
  // What fills the whole picture anyway needs no second one.
  if (last <= 0 || last > played.durationMs / 3) return undefined;
  return axisOf(fault.atMs - 0.08 * last, fault.atMs + 1.12 * last + 5, fault.atMs);
}

const row = (cells: readonly string[], tag = 'td') =>
  `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`;

function faultTable(report: Report): string {
  const on = report.runs.find(({ agent }) => agent === 'on');
  const off = report.runs.find(({ agent }) => agent === 'off');
  const base = (on ?? off)!;
  if (base.faults.length === 0) return '';
  const outage = (fault: FaultReport | undefined) => {
    if (fault === undefined) return '–';
    const tone = fault.repairable ? (fault.repair_ms === null ? 'bad' : 'good') : 'calm';
    return `<span class="${tone}">${escaped(repairText(fault))}</span><small>${fault.packets_lost} lost</small>`;
  };
  const head = [
    'Fault',
    ...(on ? ['Found', 'Repaired with agents'] : []),
    ...(off ? ['Repaired without'] : []),
    ...(on ? ['Actions'] : []),
  ];
  const rows = base.faults.map((fault) => {
    const [mine, stock] = [on, off].map((run) => run?.faults.find(({ name }) => name === fault.name));
    const lost =
      mine === undefined
        ? 'bad'
        : mine.nameable && mine.detection_ms === null
          ? 'bad'
          : mine.nameable
            ? 'good'
            : 'calm';
    const acted =
      mine === undefined ? '–' : `${mine.actions}${mine.rollbacks > 0 ? `, ${mine.rollbacks} rolled back` : ''}`;
    return row([
      `<b>${escaped(fault.name)}</b> ${escaped(fault.fault)}<small>${escaped(fault.what)}, at ${(fault.at_ms / 1000).toFixed(1)} s</small>`,
      ...(on
        ? [mine === undefined ? 'not made' : `<span class="${lost}">${escaped(foundText(mine))}</span>`, outage(mine)]
        : []),
      ...(off ? [outage(stock)] : []),
      ...(on ? [acted] : []),
    ]);
  });
  return `<div class="scroll"><table>${row(head, 'th')}${rows.join('')}</table></div>`;
}

function expectationList({ expectations }: Report): string {
  if (expectations.length === 0) return '<p class="calm">Nothing was expected.</p>';
  const items = expectations.map(
    ({ held, expect, agent, why }) =>
      `<li class="${held ? 'held' : 'broken'}"><b>${escaped(expect)}</b> <small>agents ${agent}</small><span>${escaped(why)}</span></li>`,
  );
  return `<ul class="expect">${items.join('')}</ul>`;
}

function runSection(played: Played, run: RunReport, names: readonly string[]): string {
  const whole = axisOf(0, played.durationMs);
  const title = played.agent === 'on' ? 'With agents' : 'Without agents';
  const figures = [
    ...run.probes.map(
      ({ name, lost, sent, loss_pct }) =>
        `${escaped(name)}: ${lost} of ${sent} packets lost (${loss_pct.toFixed(2)} %)`,
    ),
    ...(played.agent === 'on'
      ? [`${run.actions.length} actions, ${run.false_actions} false, ${run.rollbacks} rolled back`]
      : []),
  ];
  const ups = played.faults.flatMap((fault) => {
    const axis = closeUp(fault, played);
    if (axis === undefined) return [];
    const span = shortMs(axis.to - fault.atMs);
    return [
      `<details${played.faults.length > 6 ? '' : ' open'}><summary>${escaped(fault.name)}, the first ${escaped(span)}</summary>${picture(played, names, axis, `${fault.name}, close up`)}</details>`,
    ];
  });
  const journal =
    played.journal.length === 0
      ? ''
      : `<details><summary>Journal: ${played.journal.length} entries</summary><div class="scroll"><table class="journal">${row(['Time', 'Router', 'Class', 'Interface', 'Step', 'Action', 'Result'], 'th')}${played.journal
          .slice(0, 2000)
          .map((one) =>
            row([
              `${(one.atMs / 1000).toFixed(3)} s`,
              ...[
                names[one.router]!,
                one.class,
                one.interface ?? '',
                one.step,
                one.action === 'none' ? '' : one.action,
                one.result ?? '',
              ].map(escape),
            ]),
          )
          .join('')}</table></div></details>`;
  const drift =
    run.drift.length === 0
      ? ''
      : `<details><summary>Not as before: ${run.drift.length}</summary><ul>${run.drift.map((one) => `<li>${escaped(one)}</li>`).join('')}</ul></details>`;
  return (
    `<section><h2>${title}</h2>${run.problems.map((one) => `<p class="bad">Not done: ${escaped(one)}</p>`).join('')}${run.warnings.map((one) => `<p class="warned">${escaped(one)}</p>`).join('')}<p class="calm">${figures.join(' · ')}</p>` +
    `${picture(played, names, whole, `${title}: the whole timeline`)}${ups.join('')}${drift}${journal}</section>`
  );
}

const LEGEND = [
  ...['planned', 'done', 'verified', 'over', 'rolled-back', 'failed'].map(
    (step) => [mark(8, 8, step), markOf(step).says] as const,
  ),
  ['<rect class="lost" x="3" y="2" width="10" height="12"/>', 'packets lost'] as const,
  ['<path class="delay" d="M1 11l5 -6l4 4l5 -6"/>', 'delay'] as const,
  ['<rect class="band" x="1" y="4" width="14" height="9" rx="2"/>', 'a fault, until it is taken back'] as const,
].map(([picture, says]) => `<span><svg viewBox="0 0 16 16">${picture}</svg>${says}</span>`);

const KERNEL_WORDS: Readonly<Record<Report['kernel'], string>> = {
  uml: "user-mode Linux's batman-adv",
  netns: "this machine's kernel, a stand-in for batman-adv",
  qemu: "Debian's kernel in QEMU",
};

export function asHtml(scenario: Scenario, played: readonly Played[], report: Report): string {
  const { graph, kernel } = scenario;
  const failed = report.expectations.filter(({ held }) => !held).length;
  const verdict =
    report.expectations.length === 0
      ? '<span class="pill">played</span>'
      : failed === 0
        ? '<span class="pill held">all holds</span>'
        : `<span class="pill broken">${failed} of ${report.expectations.length} do not hold</span>`;
  const facts = [
    `${graph.nodes.length} routers, ${graph.links.length} links over ${graph.medium === 'cable' ? 'cables' : 'a shared medium'}`,
    kernel.algorithm,
    `OGM every ${kernel.orig_interval_ms} ms`,
    `${scenario.duration_s} s`,
    KERNEL_WORDS[report.kernel],
    `seed ${report.seed}`,
  ];
  const sections = [...played.keys()]
    .sort((a, b) => (played[a]!.agent === 'on' ? 0 : 1) - (played[b]!.agent === 'on' ? 0 : 1))
    .map((i) => runSection(played[i]!, report.runs[i]!, graph.nodes));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${escaped(report.scenario)}</title>
<style>${STYLE}</style>
</head>
<body>
<header><div><h1>${escaped(report.scenario)} ${verdict}</h1>
${report.description === null ? '' : `<p class="lead">${escaped(report.description)}</p>`}
<p class="facts">${facts.map((fact) => `<span>${escaped(fact)}</span>`).join('')}</p>
<h2>Expected</h2>${expectationList(report)}</div>
${map(scenario, played[0]?.faults ?? [])}</header>
<section><h2>Faults</h2>${faultTable(report)}</section>
<p class="legend">${LEGEND.join('')}</p>
${sections.join('\n')}
<footer>x0lab, report version ${report.report}. Times are from the start of the timeline; repair time is the outage, from the fault to the end of the last run of three or more lost packets, or until what was changed is as before.</footer>
</body>
</html>
`;
}

const STYLE = `
:root{--bg:#f7f8fa;--card:#fff;--ink:#1c2430;--soft:#667085;--line:#e3e7ee;--plan:#5b6b86;--act:#2563eb;--good:#12805c;--warn:#b45309;--bad:#c81e3a;--flow:#eef2f7;--delay:#8fa3c2;--fault:#e8833a;--span:rgba(232,131,58,.07)}
@media(prefers-color-scheme:dark){:root{--bg:#0f141b;--card:#171e28;--ink:#e6ebf2;--soft:#93a1b5;--line:#2a3442;--plan:#9fb0cc;--act:#6ea3ff;--good:#43c59e;--warn:#f0a54a;--bad:#ff6b81;--flow:#1f2834;--delay:#58708f;--fault:#f09a52;--span:rgba(240,154,82,.08)}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:24px 20px 40px;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
header{display:grid;grid-template-columns:minmax(0,1fr) 300px;gap:24px;align-items:start}
h1{font-size:26px;line-height:1.25;margin:0 0 6px;display:flex;flex-wrap:wrap;gap:12px;align-items:center}
h2{font-size:17px;margin:22px 0 8px}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:2px 18px 14px;margin:16px 0}
.lead{margin:0 0 8px;color:var(--soft);font-size:16px}
.facts{display:flex;flex-wrap:wrap;gap:6px;margin:0}
.facts span{border:1px solid var(--line);background:var(--card);border-radius:99px;padding:1px 10px;font-size:13px;color:var(--soft)}
.pill{font-size:13px;font-weight:600;border-radius:99px;padding:3px 12px;color:#fff;background:var(--soft)}
.pill.held{background:var(--good)}.pill.broken{background:var(--bad)}
@media(prefers-color-scheme:dark){.pill{color:#0f141b}}
.expect{list-style:none;margin:0;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:4px 14px}
.expect li{padding:4px 10px 4px 30px;position:relative;border-radius:8px}
.expect li:before{position:absolute;left:9px;font-weight:700}
.expect .held:before{content:"\\2713";color:var(--good)}.expect .broken:before{content:"\\2717";color:var(--bad)}
.expect .broken{background:color-mix(in srgb,var(--bad) 9%,transparent)}
.expect span{display:block;color:var(--soft);font-size:13px}
small{color:var(--soft);font-weight:400;font-size:12.5px}
td small{display:block}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;min-width:560px;font-size:14px}
th{text-align:left;font-weight:600;color:var(--soft);font-size:12.5px}
th,td{padding:7px 12px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
td>.good{color:var(--good);font-weight:600}td>.bad,p.bad{color:var(--bad);font-weight:600}.warned{color:var(--warn)}.calm{color:var(--soft)}
.journal{font:12.5px/1.4 ui-monospace,"DejaVu Sans Mono",monospace;min-width:760px}.journal td{padding:3px 12px 3px 0}
details{margin-top:10px}summary{cursor:pointer;color:var(--soft);font-size:14px;padding:4px 0}
svg.time{display:block;width:100%;min-width:720px;height:auto}
svg.map{width:100%;max-width:320px;background:var(--card);border:1px solid var(--line);border-radius:12px;justify-self:end}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}
.map text{font-size:11px;text-anchor:middle;fill:var(--soft)}
.wire{stroke:var(--delay);stroke-width:1.6}.wire.hit{stroke:var(--fault);stroke-width:3}
.node{fill:var(--card);stroke:var(--plan);stroke-width:2}.node.hit{fill:var(--fault);stroke:var(--fault)}
svg .label{text-anchor:end;fill:var(--soft)}svg .tick{text-anchor:middle;fill:var(--soft);font-size:11px}
.grid,.lane{stroke:var(--line);stroke-width:1}.flow{fill:var(--flow)}
.lost{fill:var(--bad)}.delay{fill:none;stroke:var(--delay);stroke-width:1.4}
.band{fill:var(--fault);opacity:.3}.span{fill:var(--span)}.strike{stroke:var(--fault);stroke-width:1.6}.mend{stroke:var(--good);stroke-width:1.3;stroke-dasharray:4 3}
svg .fault{font-size:11.5px;font-weight:600}svg .fault.end{text-anchor:end}
.m{stroke-width:2;stroke:var(--card)}.m.ring{fill:none;stroke-width:2.2}
.plan{fill:var(--plan)}.act{fill:var(--act)}.good{fill:var(--good)}.m.calm{fill:var(--delay)}.m.warn,.m.bad{stroke-width:2.6}
.m.plan.ring{stroke:var(--plan)}.m.warn{stroke:var(--warn)}.m.bad{stroke:var(--bad)}
svg .n{font-size:10px;fill:var(--soft)}
g:focus{outline:none}g:focus .m,g:hover>.m{stroke:var(--ink)}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;margin:16px 4px 0;color:var(--soft);font-size:13px}
.legend span{display:inline-flex;gap:6px;align-items:center}.legend svg{width:16px;height:16px}
footer{color:var(--soft);font-size:12.5px;margin:20px 4px 0}
@media(max-width:760px){body{padding:14px 12px 30px}header{grid-template-columns:1fr}svg.map{justify-self:center;max-width:260px}h1{font-size:21px}section{padding:2px 12px 12px}}
`;
