/**
 * What nl80211 answers and tells in this network namespace, as test/data/netlink/radio-*.json holds it:
 *
 *     ip netns exec r0 node test/lab/capture-radio.ts FILE [INTERFACE]
 *
 * Reads radios and stations with what `iw` prints of them (of stations before and after: counters move on), then every event until stdin says a line.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { native } from '../../agent/host/native.ts';
import { openConnection } from '../../agent/host/netlink/connection.ts';
import { NETLINK_GENERIC } from '../../agent/host/netlink/message.ts';
import { openNl80211 } from '../../agent/host/netlink/nl80211.ts';

const [file = 'capture.json', name = 'radio0'] = process.argv.slice(2);
const shim = native();
let heard: string[] = [];
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
const taken = (): string[] => heard.splice(0);
const say = (what: string, of: unknown): void => void process.stdout.write(`${what} ${JSON.stringify(of)}\n`);

const generic = openConnection({ native: tapped, protocol: NETLINK_GENERIC });
const nl80211 = (await openNl80211(generic))!;
const family = taken();
const radios = await nl80211.interfaces();
const interfaces = { datagrams: taken(), iw: execFileSync('iw', ['dev'], { encoding: 'utf8' }) };
const index = radios.find((radio) => radio.name === name)!.index;
const dump = (): string => execFileSync('iw', ['dev', name, 'station', 'dump'], { encoding: 'utf8' });
const before = dump();
await nl80211.stations(index);
const stations = { datagrams: taken(), before, after: dump() };
nl80211.subscribe({
  onStation: (station) => say('new', station),
  onGone: (station) => say('gone', station),
  onPacketsLost: (lost) => say('lost', lost),
  onCandidate: (candidate) => say('candidate', candidate),
  onResync: () => say('resync', null),
});
say('watching', radios);
process.stdin.once('data', () => {
  const events = { datagrams: taken() };
  heard = [];
  const capture = { kernel: release(), family: { datagrams: family }, interfaces, stations, events };
  writeFileSync(file, `${JSON.stringify(capture, null, 1)}\n`);
  process.exit(0);
});
