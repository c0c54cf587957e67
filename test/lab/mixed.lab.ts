/** The agent on a third of the routers is never worse than stock beyond noise: few runs; bench heal-mixed has many. */
import { MIXES, noiseLimit } from '../../tools/bench/heal-mixed.ts';
import { outages, series, sideBySide } from '../../tools/bench/trials.ts';
import { umlMissing } from '../../tools/lab/uml.ts';
import type { Report } from '../../tools/test.ts';

export const name = 'mixed mesh';

const RUNS = 3;

export async function run(report: Report): Promise<void> {
  const missing = umlMissing();
  if (missing !== undefined) return report.skip('ring and grid', missing);
  const say = (line: string): void => void process.stdout.write(`           ${line}\n`);
  await sideBySide(
    Object.entries(MIXES).map(([topology, { third }]) => async () => {
      const spec = { topology, runs: RUNS, afterMs: 8000 };
      const stock = outages(await series(`${topology}, stock`, { ...spec, agents: [] }, say));
      const mixed = outages(await series(`${topology}, a third`, { ...spec, agents: third }, say));
      const limit = noiseLimit(stock);
      const figures = `${mixed.map((ms) => ms.toFixed(0)).join(', ')} ms; stock ${stock.map((ms) => ms.toFixed(0)).join(', ')}`;
      const what = `${topology}: a third of the routers with the agent is not worse than stock`;
      if (mixed.every((ms) => ms <= limit)) report.pass(what);
      else report.fail(what, figures);
      say(`${topology}: ${figures}`);
    }),
  );
}
