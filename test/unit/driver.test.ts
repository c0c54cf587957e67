import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tally } from '../../tools/test.ts';

test('the summary: failures and skips with their reasons, then the counts alone on the last line', () => {
  const said: string[] = [];
  const tally = new Tally((line) => said.push(line));
  const report = tally.of('faults');
  report.pass('link down');
  report.pass('router dead');
  report.fail('mesh vanished', 'still gone after 60 s');
  report.skip('radio', 'this kernel has no mac80211_hwsim');
  assert.deepEqual(tally.summary().split('\n'), [
    'FAILED  faults: mesh vanished: still gone after 60 s',
    'skipped faults: radio: this kernel has no mac80211_hwsim',
    '2 passed, 1 failed, 1 skipped',
  ]);
  assert.equal(said.length, 2);
});
