/**
 * Records what a live kernel answers, as test/data/netlink/*.json holds it:
 *
 *     ip netns exec r0 node test/lab/capture-netlink.ts FILE [bat0]
 *
 * Every datagram of each answer as hex, and beside batman-adv's tables what batctl printed of them at the same moment.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { native } from '../../agent/host/native.ts';
import { openBatadv } from '../../agent/host/netlink/batadv.ts';
import { openConnection } from '../../agent/host/netlink/connection.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE } from '../../agent/host/netlink/message.ts';
import {
  change,
  dumpAddresses,
  dumpIpNeighbours,
  dumpLinks,
  encodeSetMaster,
  getLink,
} from '../../agent/host/netlink/rtnetlink.ts';
import { COMPARISONS, ourRows } from './batctl-agreement.ts';

const [file = 'capture.json', name = 'bat0'] = process.argv.slice(2);
const heard: string[] = [];
const shim = native();
const tapped: typeof shim = {
  ...shim,
  openNetlink: (options) =>
    shim.openNetlink({
      ...options,
      onMessages(datagram) {
        heard.push(datagram.toString('hex'));
        options.onMessages(datagram);
      },
    }),
};
const captures: Record<string, { datagrams: string[]; batctl?: string }> = {};
async function capture(what: string, ask: () => Promise<unknown>, batctl?: string): Promise<void> {
  heard.length = 0;
  await ask().catch(() => {}); // a refusal is a message like any other
  captures[what] = { datagrams: [...heard], ...(batctl !== undefined && { batctl }) };
}

const route = openConnection({ native: tapped, protocol: NETLINK_ROUTE });
await capture('links', () => dumpLinks(route));
await capture('addresses', () => dumpAddresses(route));
await capture('ip-neighbours', () => dumpIpNeighbours(route));
await capture('refused', () => change(route, encodeSetMaster('lo', 99999), 'refused'));
const mesh = await getLink(route, name);
if (mesh) {
  const generic = openConnection({ native: tapped, protocol: NETLINK_GENERIC });
  heard.length = 0;
  const batadv = await openBatadv(generic);
  captures.family = { datagrams: [...heard] };
  await capture('algorithms', () => batadv.routingAlgorithms());
  for (const comparison of COMPARISONS) {
    const batctl = () => execFileSync('batctl', ['meshif', name, ...comparison.batctl], { encoding: 'utf8' });
    // The same before and after: then nothing moved while we looked.
    for (let tries = 0; tries < 50; tries++) {
      const before = batctl();
      await capture(comparison.table, () => ourRows(comparison, batadv, mesh.index), before);
      const still = (text: string) => text.replace(/"last_seen_msecs":\d+/g, '');
      if (still(batctl()) === still(before)) break;
    }
  }
  generic.close();
}
route.close();
const rows = Object.entries(captures).map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
writeFileSync(file, `{\n  "kernel": ${JSON.stringify(release().split('-')[0])},\n${rows.join(',\n')}\n}\n`);
