/** `x0ctl twin`: scenarios in the twin, and questions about the mesh of a running agent. */
import { AgentError } from '../core/errors.ts';
import { SECOND } from '../core/time.ts';
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import type { Document } from '../twin/chance.ts';
import { counted } from '../twin/fields.ts';
import type { Invariant } from '../twin/invariants.ts';
import { playSeed, type SeedReport } from '../twin/report.ts';
import { type ParseOptions, parseScenario, type Scenario } from '../twin/scenario.ts';
import { shrink } from '../twin/shrink.ts';
import { unplayed } from '../twin/stage.ts';
import { type Answer, askWhatIf, type Question } from '../twin/what-if.ts';
import type { Client } from './client.ts';
import { readBeside, readNamed, textOf } from './file.ts';
import { clean, clip, fold, plainJson, type Terminal, table } from './terminal.ts';

const MOST_FILE = 8 << 20;
/** Of what is wrong with a scenario; x0lab check names all of it. */
const MOST_NAMED = 4;

export interface RunOptions {
  readonly file: string;
  readonly seed: number | undefined;
  readonly seeds: number;
  readonly agents: 'on' | 'off';
}

/** Plays a scenario under one seed or more. Answers whether nothing was broken, and all came as expected. Throws E_SCENARIO_*, E_NOT_FOUND, E_USAGE. */
export function runScenario({ file, seed, seeds, agents }: RunOptions, to: Terminal, json: boolean): boolean {
  const source = read(file);
  const asWritten = parsed(source, file, {});
  const first = seed ?? asWritten.seed;
  if (first > Number.MAX_SAFE_INTEGER - (seeds - 1))
    throw new AgentError(
      'E_USAGE',
      `--seeds: from ${first} on there are no ${seeds} seeds up to ${Number.MAX_SAFE_INTEGER}`,
    );
  const left = unplayed(asWritten);
  const reports: SeedReport[] = [];
  let shortest: Document | null = null;
  const wait = patience(to);
  for (let n = 0; n < seeds; n++) {
    const scenario = parsed(source, file, { seed: first + n });
    const which = seeds === 1 ? '' : `seed ${first + n}, ${n + 1} of ${seeds}: `;
    const report = playSeed(scenario, agents, true, (now, end) => {
      wait(() => `${which}${Math.round(now / SECOND)} of ${Math.round(end / SECOND)} virtual seconds`);
    });
    reports.push(report);
    const breach = report.broken[0];
    if (breach === undefined) continue;
    shortest = shortestOf(source, scenario, breach.invariant as Invariant, agents, wait);
    break;
  }
  const isWell = reports.every(
    ({ broken, expectations }) => broken.length === 0 && expectations.every(({ held }) => held),
  );
  if (json) to.out(`${plainJson({ version: 1, agents, unplayed: left, reports, shortest })}\n`);
  else to.out(asText(reports, shortest, to));
  if (left.length > 0 && !json)
    to.err(fold(`${clean(`the twin has nothing for this, and played without: ${left.join(', ')}`)}\n`, to));
  const other = agents === 'on' ? 'off' : 'on';
  const elsewhere = asWritten.expect.filter(({ agent }) => agent === other).length;
  if (elsewhere > 0 && !json)
    to.err(fold(`${elsewhere} of what is expected is about agents ${other}: --agents ${other}\n`, to));
  return isWell;
}

/** Says now and then what somebody waits for. */
type Patience = (say: () => string) => void;

const SAID_EVERY_MS = 5000;
/** A clock that is read after every event would be most of what short ones take. */
const LOOKED_EVERY = 1000;

function patience(to: Terminal): Patience {
  let last = performance.now();
  let steps = 0;
  return (say) => {
    steps += 1;
    if (steps % LOOKED_EVERY !== 0 || performance.now() - last < SAID_EVERY_MS) return;
    last = performance.now();
    to.err(fold(`${clean(say())}\n`, to));
  };
}

function parsed(source: string, file: string, options: ParseOptions): Scenario {
  const result = parseScenario(source, { ...options, readFile: (name) => readBeside(file, name, MOST_FILE) });
  if (result.ok) return result.scenario;
  const { problems } = result;
  const named = problems.slice(0, MOST_NAMED).map(({ path, message }) => `${path} ${message}`);
  const more = problems.length > MOST_NAMED ? ` (and ${problems.length - MOST_NAMED} more)` : '';
  throw new AgentError(problems[0]!.code, `${file}: ${named.join('; ')}${more}`, { file, problems });
}

function read(file: string): string {
  try {
    return textOf(file, readNamed(file, MOST_FILE));
  } catch (thrown) {
    if (!(thrown instanceof AgentError)) throw thrown;
    throw new AgentError(thrown.code, `SCENARIO: ${thrown.message}`, { file }, { cause: thrown });
  }
}

/** The same scenario with every link by name, made as short as can be; as it is, where that shows nothing. */
function shortestOf(
  source: string,
  scenario: Scenario,
  invariant: Invariant,
  agents: 'on' | 'off',
  wait: Patience,
): Document {
  let tries = 0;
  const { graph, seed } = scenario;
  const links = graph.links.map(({ a, b }) => [graph.nodes[a]!, graph.nodes[b]!] as const);
  const raw = JSON.parse(source) as Document;
  const document: Document = {
    ...raw,
    seed,
    // By its number a router has its addresses, its clock and its luck.
    topology: { kind: 'links', links, nodes: graph.nodes, medium: graph.medium, ...radioOf(scenario) },
    timeline: raw.timeline ?? [],
  };
  const breaks = (one: Document): boolean => {
    tries += 1;
    const result = parseScenario(JSON.stringify(one));
    if (!result.ok) return false;
    const say = () => `seed ${seed} broke ${invariant}: looking for the shortest scenario that does, try ${tries}`;
    try {
      return playSeed(result.scenario, agents, true, () => wait(say)).broken.some(
        (breach) => breach.invariant === invariant,
      );
    } catch {
      // With less in it, it is nothing that the twin plays: a fault along a probe that is gone, say.
      return false;
    }
  };
  return breaks(document) ? shrink(document, invariant, breaks).document : { ...raw, seed };
}

/** Where radios stand is all that they have. */
function radioOf({ graph, topology }: Scenario): object {
  if (graph.medium !== 'radio') return {};
  const places = Object.fromEntries(graph.nodes.map((name, n) => [name, graph.places![n]!]));
  const { interferers } = topology;
  return { places, side_m: graph.sideM, ...(interferers && { interferers }) };
}

function asText(reports: readonly SeedReport[], shortest: Document | null, to: Terminal): string {
  const lines: string[] = [];
  const [first, last] = [reports[0]!, reports.at(-1)!];
  const span = first === last ? `seed ${first.seed}` : `seeds ${first.seed} to ${last.seed}`;
  lines.push(`${span}: ${reports.reduce((sum, { virtualS }) => sum + virtualS, 0)} virtual seconds`);
  const rows = new Map<string, { fault: string; probe: string; times: number[]; gone: number }>();
  for (const { outages } of reports)
    for (const { fault, probe, ms, back } of outages) {
      const row = rows.get(`${fault} ${probe}`) ?? { fault, probe, times: [], gone: 0 };
      row.times.push(ms);
      if (!back) row.gone += 1;
      rows.set(`${fault} ${probe}`, row);
    }
  if (rows.size > 0) {
    const cells = [...rows.values()].map(({ fault, probe, times, gone }) => {
      const sorted = times.sort((a, b) => a - b);
      return [fault, probe, `${sorted[sorted.length >> 1]}`, `${sorted.at(-1)}`, gone === 0 ? '' : `${gone} not back`];
    });
    lines.push('', ...tableOf(['FAULT', 'PROBE', 'OUTAGE MS', 'LONGEST', ''], cells, to));
  }
  const repairs = new Map<string, number>();
  for (const report of reports)
    for (const [what, count] of Object.entries(report.repairs)) repairs.set(what, (repairs.get(what) ?? 0) + count);
  lines.push('', ...[...repairs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, count]) => `${count} x ${what}`));
  for (const { seed, broken } of reports)
    for (const { invariant, atS, what } of broken)
      lines.push('', `BROKEN with seed ${seed} after ${atS.toFixed(3)} s: ${clean(invariant)}: ${clean(what)}`);
  const judged = reports.flatMap(({ seed, expectations }) => expectations.map((one) => ({ seed, ...one })));
  const failed = judged.filter(({ held }) => !held);
  for (const { seed, path, expect, why } of failed)
    lines.push('', `NOT AS EXPECTED with seed ${seed}: ${path} ${expect}: ${clean(why)}`);
  if (judged.length > 0 && failed.length === 0) lines.push('', 'all came as expected, as far as the twin can judge it');
  if (shortest === null) lines.push('', 'no invariant was broken');
  else lines.push('the shortest scenario that still shows it:', JSON.stringify(shortest));
  return `${lines.join('\n')}\n`;
}

/** Ways of many hops, and names of a scenario. */
const FLEXIBLE = new Set(['WAY NOW', 'AFTERWARDS', 'FAULT', 'PROBE']);

function tableOf(titles: readonly string[], rows: readonly string[][], to: Terminal): string[] {
  const columns = titles.map((title, i) => ({ title, of: (row: string[]) => row[i]!, flexible: FLEXIBLE.has(title) }));
  return table(columns, rows, to).trimEnd().split('\n');
}

/** Asks the running agent for its mesh, and the twin what would happen to it. Throws E_USAGE and E_NOT_FOUND. */
export async function whatIf(words: string, agent: Client, to: Terminal, json: boolean): Promise<void> {
  const question = questionOf(words);
  const [status, links, paths] = (await Promise.all([
    agent.get('/mesh/status'),
    agent.get('/mesh/links'),
    agent.get('/mesh/paths'),
  ])) as [Of<typeof shapes.status>, Of<typeof shapes.links>, Of<typeof shapes.paths>];
  const answer = askWhatIf({ status, links: links.links, paths: paths.paths }, question);
  to.out(json ? `${plainJson({ version: 1, ...answer })}\n` : fold(answerText(answer, to), to));
}

function questionOf(words: string): Question {
  const [verb, a, b, ...rest] = words.trim().split(/\s+/);
  if (verb === 'cut' && a !== undefined && b !== undefined && rest.length === 0) return { what: 'cut', a, b };
  if (verb === 'kill' && a !== undefined && b === undefined) return { what: 'kill', a };
  throw new AgentError(
    'E_USAGE',
    `QUESTION: '${clip(words)}' is no question: "cut A B" for a link, "kill A" for a router`,
  );
}

function answerText(answer: Answer, to: Terminal): string {
  const { routers, leftOut, question, rows, cutOff } = answer;
  const lines = [`${question}: ${routers} routers as far as this one's tables tell`, ''];
  const way = (hops: readonly string[]) => (hops.length === 0 ? 'none' : hops.slice(1).join(' '));
  const cells = rows.map(({ router, before, after, withAgentsMs, withoutMs }) => [
    router,
    way(before),
    way(after),
    withAgentsMs === null ? 'cut off' : `${withAgentsMs}`,
    withoutMs === null ? 'cut off' : `${withoutMs}`,
  ]);
  if (cells.length === 0) lines.push('No way of this router leads there: nothing would change for it.');
  else lines.push(...tableOf(['ROUTER', 'WAY NOW', 'AFTERWARDS', 'OUTAGE MS', 'WITHOUT AGENTS'], cells, to));
  lines.push('', cutOff.length === 0 ? 'Nobody would be cut off.' : `Cut off: ${cutOff.join(' ')}`);
  if (leftOut > 0) lines.push(`Of ${counted(leftOut, 'router')} further away nothing is said: no more are simulated.`);
  return `${lines.join('\n')}\n`;
}
