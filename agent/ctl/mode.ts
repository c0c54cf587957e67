/** x0ctl heal mode: whether the agent repairs, as a whole and by class of faults. */
import type { Of } from '../report/shape.ts';
import type * as shapes from '../report/shapes.ts';
import type { Client } from './client.ts';
import { tell, usage } from './command.ts';
import { EXIT } from './exit.ts';
import { clean, clip, plainJson, type Terminal } from './terminal.ts';

type Classes = Of<typeof shapes.classes>;

const MODES: readonly string[] = ['off', 'observe', 'act'];

/** Answers the exit status. Throws E_USAGE. */
export async function healMode(to: Terminal, json: boolean, words: readonly string[], agent: Client): Promise<number> {
  const [first, second] = words;
  await check(first, second);
  if (first === undefined) {
    const { heal } = (await agent.get('/mesh/status')) as Of<typeof shapes.status>;
    to.out(json ? `${plainJson({ version: 1, mode: heal.mode })}\n` : `${clean(heal.mode)}\n`);
    return EXIT.ok;
  }
  if (second === undefined && MODES.includes(first))
    return tell(to, json, await agent.post('/heal/mode', { mode: first }));
  if (second !== undefined) return tell(to, json, await agent.post('/heal/mode', { class: first, mode: second }));
  const answer = (await agent.get('/heal/classes')) as Classes;
  const rows = answer.classes.filter((row) => first === 'classes' || row.class === first);
  to.out(json ? `${plainJson({ ...answer, classes: rows })}\n` : table(rows, answer.mode));
  return EXIT.ok;
}

/** Before the agent is asked anything. */
async function check(first: string | undefined, second: string | undefined): Promise<void> {
  if (second !== undefined && ![...MODES, 'auto'].includes(second))
    throw usage(`MODE: ${clip(second)} is no mode: off, observe, act or auto`);
  if (first === undefined || (second === undefined && (MODES.includes(first) || first === 'classes'))) return;
  const { isFaultClass } = await import('../heal/faults/catalogue.ts');
  if (isFaultClass(first)) return;
  const what = second === undefined ? 'is no mode (off, observe, act), and no class' : 'is no class';
  throw usage(
    `${second === undefined ? 'MODE' : 'CLASS'}: ${clip(first)} ${what} of faults: "heal mode classes" shows those`,
  );
}

/** Where healing as a whole only observes, or is off, no class is repaired. */
function table(rows: Classes['classes'], whole: Classes['mode']): string {
  const lines = rows.map(({ class: kind, mode, safe, acts, right, wrong, confidence }) => {
    const cases = right + wrong;
    const shown =
      cases === 0 ? '-' : `${right} of ${Math.round(cases * 10) / 10}, at least ${Math.floor(100 * confidence)} %`;
    const now = [mode, whole].includes('off') ? 'ignored' : acts && whole === 'act' ? 'repaired' : 'observed';
    return [kind, mode, now, safe ? 'yes' : '', shown];
  });
  const all = [['CLASS', 'MODE', 'NOW', 'SAFE', 'RIGHT'], ...lines];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return `${all
    .map((row) =>
      row
        .map((cell, i) => clean(cell).padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')}\n`;
}
