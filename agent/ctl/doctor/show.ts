/** `x0ctl doctor`: looks, and says what is wrong with what to do about it. */
import type { Terminal } from '../terminal.ts';
import { clean, paint, plainJson, wrap } from '../terminal.ts';
import { CHECKS, type Diagnosis, diagnose } from './doctor.ts';
import { type GatherOptions, gather } from './gather.ts';

/** Answers the exit status: 1 where there is a problem; advice is none. */
export async function doctor(options: GatherOptions, to: Terminal, json: boolean, verbose: boolean): Promise<number> {
  const diagnosis = diagnose(await gather(options));
  to.out(json ? `${plainJson({ version: 1, ...diagnosis })}\n` : diagnosisText(diagnosis, to, verbose));
  return diagnosis.findings.some(({ weight }) => weight === 'problem') ? 1 : 0;
}

export function diagnosisText(
  { findings, skipped, checks }: Diagnosis,
  to: Pick<Terminal, 'columns' | 'color'>,
  verbose: boolean,
): string {
  const width = Math.max(40, Math.min(to.columns, 80));
  const lines: string[] = [];
  const row = (name: string, text: string) => lines.push(...wrap(`  ${name.padEnd(7)} ${clean(text)}`, width, 10));
  for (const { check, weight, seen, why, remedy } of findings) {
    const head = wrap(`${weight === 'problem' ? 'PROBLEM' : 'advice '}   ${clean(seen)} [${check}]`, width, 10);
    lines.push(
      ...head.map((line, i) =>
        i > 0 ? line : line.replace(/^\S+/, (word) => paint(word, weight === 'problem' ? 'red' : 'yellow', to)),
      ),
    );
    row('why', why);
    for (const [i, command] of remedy.entries())
      for (const [j, part] of commandLines(clean(command), width - 10).entries())
        lines.push(`  ${(i + j === 0 ? 'remedy' : '').padEnd(7)} ${part}`);
    lines.push('');
  }
  const problems = findings.filter(({ weight }) => weight === 'problem').length;
  const told = [`${problems} ${problems === 1 ? 'problem' : 'problems'}`, `${findings.length - problems} advice`];
  if (skipped.length > 0) told.push(`${skipped.length} not looked at`);
  lines.push(`${checks} checks: ${told.join(', ')}`);
  if (verbose) {
    const why = new Map(skipped.map((one) => [one.check, one.why]));
    const found = new Set(findings.map(({ check }) => check));
    for (const { name, looksFor } of CHECKS) {
      const state = why.has(name) ? `not looked at: ${why.get(name)}` : found.has(name) ? 'see above' : 'well';
      lines.push(...wrap(`  ${name.padEnd(19)} ${clean(`${looksFor}: ${state}`)}`, width, 22));
    }
  } else {
    const by = new Map<string, string[]>();
    for (const { check, why } of skipped) by.set(why, [...(by.get(why) ?? []), check]);
    for (const [why, all] of by) lines.push(...wrap(`  ${all.join(', ')}: ${clean(why)}`, width, 4));
  }
  return `${lines.join('\n')}\n`;
}

/** A command that is too long goes on in the next line as a shell takes it; a remark behind it stands before it. */
export function commandLines(command: string, width: number): string[] {
  if (command.length <= width) return [command];
  const remark = command.lastIndexOf('   # ');
  if (remark > 0)
    return [...wrap(command.slice(remark + 3), width, 2), ...commandLines(command.slice(0, remark), width)];
  const lines: string[] = [];
  let line = '';
  // Words with their quotes whole, and && at the end of what it ends.
  for (const word of command.match(/(?:[^\s'"]|'[^']*'|"(?:\\.|[^"\\])*"|['"])+(?: &&)?/g) ?? []) {
    const isDone = line.endsWith(' &&');
    if (line !== '' && (isDone || line.length + word.length + 3 > width)) {
      lines.push(isDone ? line : `${line} \\`);
      line = `  ${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
