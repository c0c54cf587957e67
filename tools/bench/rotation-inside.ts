/**
 * Runs inside the lab's kernel for rotation.ts: two sites with a tunnel whose key is renewed each 5 s, traffic through it
 * all the time. Prints one JSON line. What counts as a renewal is seen from outside, by `wg`: a path with another key, whose
 * latest handshake is later than that of every path before.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../lab/mesh.ts';
import { SITES, TwoSites, Witness } from '../lab/tunnels.ts';

const wanted = Number(process.argv[2]);
const INTERVAL_NS = 5e9;
const PACE_US = 10_000;

await run('modprobe', ['-d', process.env.LAB_MODULES!, 'wireguard']);
const sites = new TwoSites({ psk_interval: INTERVAL_NS });
await sites.build();
await Promise.all([sites.start(0), sites.start(1)]);
for (let tries = 0; (await sites.view(0)).state !== 'up'; tries++) {
  if (tries > 600) throw new Error('no path within a minute');
  await sleep(100);
}
console.log('the tunnel is up');

const first = (await sites.view(0)).renewals;
const witness = new Witness(SITES[0]);
const began = performance.now();
const probe = sites.probe(PACE_US);
let told = 0;
for (;;) {
  const { renewals, failures } = await sites.view(0);
  // The path that was there already is the first that it sees.
  const effective = witness.effective - 1;
  if (effective >= told + 10) {
    told = effective;
    console.log(`${effective} renewals, ${failures} tries failed`);
  }
  if (renewals - first >= wanted && effective >= wanted) break;
  if (performance.now() - began > wanted * 20_000) break;
  await sleep(300);
}
const seconds = (performance.now() - began) / 1000;
const { sent, received } = await probe.stop();
const { renewals, failures } = await sites.view(0);
witness.stop();
const effective = witness.effective - 1;
console.log(JSON.stringify({ renewals: renewals - first, effective, failures, sent, lost: sent - received, seconds }));
await sites.close();
process.exit(0);
