/** Round-trip times as text for people. */
import type { Probes } from '../report/api/probes.ts';
import { clean, milliseconds, type Terminal, table } from './terminal.ts';

export function probesText({ why, targets }: Probes, to: Pick<Terminal, 'columns' | 'color'>): string {
  const said = why === null ? '' : `Nobody is asked: ${clean(why)}.\n`;
  if (targets.length === 0) return said;
  const time = (ms: number | null) => (ms === null ? '-' : milliseconds(ms));
  return `${said}${table(
    [
      { title: 'ADDRESS', of: ({ target }) => target, flexible: true },
      { title: 'LAST', of: ({ lastMs }) => time(lastMs), right: true },
      { title: 'MEDIAN', of: ({ medianMs }) => time(medianMs), right: true },
      {
        title: 'LOSS',
        of: ({ loss }) => (loss === null ? '-' : `${(loss * 100).toFixed(1)}%`),
        color: ({ loss }) => (loss === 1 ? 'red' : null),
        right: true,
      },
      { title: 'ASKED', of: ({ sent }) => `${sent}`, right: true },
      { title: '', of: ({ error }) => error ?? '', color: () => 'red', flexible: true },
    ],
    targets,
    to,
  )}`;
}
