/** A report as lines for a terminal. */
import { CONTROL, counted } from '../../agent/twin/fields.ts';
import type { FaultName } from '../../agent/twin/scenario.ts';
import type { FaultReport, Report, RunReport } from './report.ts';
import { VERDICTS } from './verdicts.ts';

/** Names come from people: what a terminal would obey is taken out. (A scenario's own cannot have any.) */
export const clean = (text: string) => text.replaceAll(new RegExp(CONTROL, 'gu'), ' ');

export const shortMs = (ms: number) => {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
};

export function foundText({ detection_ms, nameable, named }: FaultReport): string {
  if (!nameable) return 'nothing to name';
  return detection_ms === null ? 'not found' : `${shortMs(detection_ms)} ${named!.class}`;
}

export function repairText({ fault, repair_ms, repairable, probes }: FaultReport): string {
  if (!repairable) return 'no repair';
  if (probes.length === 0 && VERDICTS[fault as FaultName].repair === 'traffic') return 'nobody watched';
  if (repair_ms === 0) return 'no outage';
  return repair_ms === null ? 'not repaired' : shortMs(repair_ms);
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd());
}

function runLines({
  agent,
  problems,
  warnings,
  faults,
  actions,
  false_actions,
  rollbacks,
  probes,
}: RunReport): string[] {
  const lines = ['', `with agents ${agent}:`, ...problems.map((problem) => `  NOT DONE: ${problem}`)];
  lines.push(...warnings.map((warning) => `  BEWARE: ${warning}`));
  const head = ['fault', 'what', 'found', 'repaired', 'packets lost', 'actions', 'rolled back'];
  const rows = faults.map((fault) => [
    `${fault.name} ${fault.fault}`,
    fault.what,
    agent === 'off' ? '-' : foundText(fault),
    repairText(fault),
    String(fault.packets_lost),
    String(fault.actions),
    String(fault.rollbacks),
  ]);
  if (rows.length > 0) lines.push(...table([head, ...rows]));
  for (const { name, from, to, sent, lost, loss_pct } of probes)
    lines.push(`  probe ${name}, ${from} to ${to}: ${lost} of ${sent} packets lost (${loss_pct.toFixed(2)} %)`);
  if (agent === 'on')
    lines.push(`  ${counted(actions.length, 'action')}, ${false_actions} of them false, ${rollbacks} rolled back`);
  for (const { because_of, at_ms, router, action, class: of } of actions)
    if (because_of === null) lines.push(`  false: ${router}: ${action} for ${of} at ${(at_ms / 1000).toFixed(1)} s`);
  return lines;
}

export function asText(report: Report): string[] {
  const lines = [
    `${report.scenario}${report.description === null ? '' : `: ${report.description}`}`,
    `kernel ${report.kernel}, seed ${report.seed}`,
    ...report.runs.flatMap(runLines),
    '',
  ];
  for (const { held, expect, agent, path, why } of report.expectations)
    lines.push(`${held ? 'holds        ' : 'DOES NOT HOLD'}  ${expect}, agents ${agent} (${path}): ${why}`);
  const failed = report.expectations.filter(({ held }) => !held).length;
  lines.push(
    report.expectations.length === 0
      ? 'Nothing was expected.'
      : failed === 0
        ? 'All that was expected holds.'
        : `${failed} of ${counted(report.expectations.length, 'expectation')} ${failed === 1 ? 'does' : 'do'} not hold.`,
  );
  return lines.map(clean);
}
