/**
 * Hears all frames of some interfaces of its network namespace and looks for words in them. Arguments: a JSON object
 * { interfaces, words }, each word as text or as base64 behind "base64:". A line on stdin is answered with what was heard up
 * to then, as JSON; the end of stdin ends it.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { native } from '../../agent/host/native.ts';

export interface HeardFrames {
  readonly frames: number;
  readonly bytes: number;
  /** How often each word was there; only those that were. */
  readonly found: Readonly<Record<string, number>>;
  /** EtherTypes, and of UDP over IPv4 where it went. */
  readonly kinds: readonly string[];
}

const ETH_P_ALL = 0x0003;
const { interfaces, words } = JSON.parse(process.argv[2]!) as { interfaces: string[]; words: string[] };
const wanted = words.map((word): [string, Buffer] => {
  const isBytes = word.startsWith('base64:');
  return [word, isBytes ? Buffer.from(word.slice(7), 'base64') : Buffer.from(word)];
});
const found: Record<string, number> = {};
const kinds = new Set<string>();
let [frames, bytes] = [0, 0];
const shim = native();
for (const name of interfaces)
  shim.openPacket({
    ifindex: Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8')),
    ethertype: ETH_P_ALL,
    rcvbuf: 8 << 20,
    onFrame(frame) {
      frames += 1;
      bytes += frame.length;
      for (const [word, sought] of wanted) if (frame.includes(sought)) found[word] = (found[word] ?? 0) + 1;
      const type = frame.readUInt16BE(12);
      // IPv4 without options.
      const isUdp = type === 0x0800 && frame[23] === 17;
      kinds.add(isUdp ? `udp ${frame.readUInt16BE(36)}` : `0x${type.toString(16).padStart(4, '0')}`);
    },
    onError: () => {},
  });
process.stdout.write('ready\n');
createInterface({ input: process.stdin })
  .on('line', () => {
    const heard: HeardFrames = { frames, bytes, found, kinds: [...kinds].sort() };
    process.stdout.write(`${JSON.stringify(heard)}\n`);
  })
  .on('close', () => process.exit(0));
