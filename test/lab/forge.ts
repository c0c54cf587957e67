/**
 * Sends an alarm that nobody asked for, as who was cast out could: with keys that it had, from a hard interface of its own.
 *
 *     node test/lab/forge.ts AIR-KEY-FILE INTERFACE SOURCE COUNT
 *
 * SOURCE: the address to wear. Run in the router's namespace.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { ANY, airKey, ETH_P_X0, encodeAlarm } from '../../agent/heal/wire.ts';
import { readAirFile } from '../../agent/host/air-file.ts';
import { native } from '../../agent/host/native.ts';

const [file, name, source, count] = process.argv.slice(2) as [string, string, string, string];
const [key] = readAirFile(file);
if (key === undefined) throw new Error(`${file} has no key: ${readFileSync(file, 'utf8').slice(0, 20)}`);
const index = Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
const socket = native().openPacket({ ethertype: ETH_P_X0, onFrame() {}, onError() {} });
const seal = airKey(key.secret, key.epoch);
for (let i = 0; i < Number(count); i++) {
  const alarm = {
    sender: '02:00:00:00:77:77',
    epoch: Math.floor(Date.now() / 1000),
    counter: i + 1,
    kind: 'link-down',
    near: '02:00:00:00:77:77',
    far: ANY,
    affected: [],
    hops: 2,
  } as const;
  const failed = socket.sendMany([[Buffer.from(encodeAlarm(alarm, source, seal)), index]]);
  if (failed.length > 0) throw new Error(`not sent: ${JSON.stringify(failed)}, ${Object.keys(networkInterfaces())}`);
}
socket.close();
process.exit(0);
