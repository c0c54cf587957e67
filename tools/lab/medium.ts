/**
 * The air between the radios of mac80211_hwsim: registers itself as their medium and decides, frame by frame, who hears
 * whom, at what signal, and whether a frame counts as acknowledged. Runs inside the lab's kernel, in the namespace in
 * which the radios were made:
 *
 *     node tools/lab/medium.ts RADIOS [SEED]
 *
 * Before anybody says otherwise nobody hears anybody. stdin: one change a line, as JSON; stdout: what became of each:
 *
 *     {"set":[{"from":0,"to":1,"signal":-50,"loss":0.1}]}     from now on 1 hears 0 so; signal null: not at all
 *     {"count":true}                                          frames so far; the longest wait for us since this was asked last
 *
 * Family MAC80211_HWSIM, drivers/net/wireless/mac80211_hwsim.h of Linux 6.1. The kernel hands over each frame once; a
 * unicast one is repeated here as often as its rate table allows, until it and its acknowledgement have come through.
 * Frames take no time and never collide.
 */
import { createInterface } from 'node:readline';
import { native } from '../../agent/host/native.ts';
import { bytesAttribute, macAttribute, reader, u32Attribute } from '../../agent/host/netlink/attributes.ts';
import { openConnection } from '../../agent/host/netlink/connection.ts';
import { encodeGeneric, GENERIC_HEADER, getFamily } from '../../agent/host/netlink/genetlink.ts';
import { decodeAnswer, eachMessage, NETLINK_GENERIC, NLMSG_ERROR, refusal } from '../../agent/host/netlink/message.ts';

const CMD = { REGISTER: 1, FRAME: 2, TX_INFO_FRAME: 3 } as const;
const A = {
  ADDR_RECEIVER: 1,
  ADDR_TRANSMITTER: 2,
  FRAME: 3,
  FLAGS: 4,
  RX_RATE: 5,
  SIGNAL: 6,
  TX_INFO: 7,
  COOKIE: 8,
  FREQ: 19,
} as const;
const FRAME = reader({
  name: 'HWSIM_CMD_FRAME',
  attributes: {
    ADDR_TRANSMITTER: [A.ADDR_TRANSMITTER, 'mac'],
    FRAME: [A.FRAME, 'bytes'],
    FLAGS: [A.FLAGS, 'u32'],
    TX_INFO: [A.TX_INFO, 'bytes'],
    COOKIE: [A.COOKIE, 'bytes'],
    FREQ: [A.FREQ, 'u32'],
  },
  mandatory: ['ADDR_TRANSMITTER', 'FRAME', 'FLAGS', 'COOKIE'],
});
const EINVAL = 22;
const FLAG_NO_ACK = 2;
const FLAG_ACKED = 4;
/** struct hwsim_tx_rate { s8 index; u8 count; }, four of them in the order of trying. */
const RATES = 4;
/** IEEE 802.11: frame control, duration, then who shall receive it. */
const ADDRESS_1 = 4;

/** One way from a radio to another. */
export interface Way {
  readonly from: number;
  readonly to: number;
  /** dBm; null: out of reach. */
  readonly signal: number | null;
  /** 0..1 of each try. */
  readonly loss?: number;
}

/** What names a radio here; its interface has 02 instead of 42, and a last byte as one likes (mesh.ts). */
const radioAddress = (radio: number): string => `42:00:00:00:${radio.toString(16).padStart(2, '0')}:00`;
const RADIO_BYTE = 4;

/** Mulberry32: 0 <= x < 1, the same for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function main([radioCount = '4', seed = '1']: readonly string[]): Promise<void> {
  const radios = Array.from({ length: Number(radioCount) }, (_, radio) => radio);
  const draw = random(Number(seed));
  const shim = native();
  const generic = openConnection({ native: shim, protocol: NETLINK_GENERIC });
  const family = await getFamily(generic, 'MAC80211_HWSIM');
  generic.close();
  if (family === undefined) throw new Error('there is no MAC80211_HWSIM: modprobe mac80211_hwsim');

  const byRadio = new Map(radios.map((radio) => [radioAddress(radio), radio]));
  const ways: (Way | undefined)[][] = radios.map(() => []);
  const receivers = radios.map((radio) => macAttribute(A.ADDR_RECEIVER, radioAddress(radio)));
  const count = { frames: 0, unicast: 0, delivered: 0, failed: 0, busyNs: 0, longestNs: 0 };
  const passes = (way: Way | undefined): boolean => way !== undefined && draw() >= (way.loss ?? 0);

  /** The kernel does not wait for these, and does not answer them. */
  const send = (command: number, ...attributes: Uint8Array[]): void =>
    socket.send(encodeGeneric(family.id, command, 1, ...attributes));

  function deliver(frame: Uint8Array, to: number, way: Way): void {
    count.delivered += 1;
    const frequency = FRAME.has(A.FREQ) ? [u32Attribute(A.FREQ, FRAME.u32(A.FREQ))] : [];
    const signal = u32Attribute(A.SIGNAL, way.signal!);
    send(CMD.FRAME, receivers[to]!, bytesAttribute(A.FRAME, frame), u32Attribute(A.RX_RATE, 1), signal, ...frequency);
  }

  function take(bytes: Uint8Array, start: number, end: number): void {
    if (bytes[start] !== CMD.FRAME) return;
    FRAME.read(bytes, start + GENERIC_HEADER, end);
    const from = byRadio.get(FRAME.mac(A.ADDR_TRANSMITTER));
    if (from === undefined) return;
    count.frames += 1;
    const frame = FRAME.bytes(A.FRAME);
    const flags = FRAME.u32(A.FLAGS);
    const rates = FRAME.has(A.TX_INFO) ? FRAME.bytes(A.TX_INFO).slice(0, 2 * RATES) : Uint8Array.of(0, 1);
    let answer = flags;
    let signal = -30;
    if ((frame[ADDRESS_1]! & 1) !== 0) {
      for (const to of radios) {
        const way = ways[from]![to];
        if (to !== from && passes(way)) deliver(frame, to, way!);
      }
      spend(rates, 1);
    } else {
      count.unicast += 1;
      const to = frame[ADDRESS_1 + RADIO_BYTE]!;
      const way = ways[from]![to];
      const back = ways[to]?.[from];
      const most = (flags & FLAG_NO_ACK) !== 0 ? 1 : tries(rates);
      let [tried, heard, acked] = [0, false, false];
      for (; tried < most && !acked; tried++) {
        if (!passes(way)) continue;
        heard = true;
        acked = passes(back);
      }
      // A frame that is repeated because its acknowledgement was lost is taken once.
      if (heard) deliver(frame, to, way!);
      if (acked) {
        answer |= FLAG_ACKED;
        signal = back!.signal!;
      } else count.failed += 1;
      spend(rates, tried);
    }
    send(
      CMD.TX_INFO_FRAME,
      bytesAttribute(
        A.ADDR_TRANSMITTER,
        bytes.subarray(FRAME.start(A.ADDR_TRANSMITTER), FRAME.end(A.ADDR_TRANSMITTER)),
      ),
      u32Attribute(A.FLAGS, answer),
      u32Attribute(A.SIGNAL, signal),
      bytesAttribute(A.TX_INFO, rates),
      bytesAttribute(A.COOKIE, FRAME.bytes(A.COOKIE)),
    );
  }

  const socket = shim.openNetlink({
    protocol: NETLINK_GENERIC,
    rcvbuf: 1 << 22,
    onMessages(datagram) {
      const began = shim.now();
      eachMessage(datagram, (type, flags, _sequence, start, end) => {
        if (type === family.id) take(datagram, start, end);
        else if (type === NLMSG_ERROR) {
          const refused = decodeAnswer(type, flags, datagram, start, end);
          // A radio that has just gone down hears no more.
          if (refused.errno !== 0 && refused.errno !== EINVAL) throw refusal('a frame', refused);
        }
      });
      const took = shim.now() - began;
      count.busyNs += took;
      count.longestNs = Math.max(count.longestNs, took);
    },
    onOverrun: () => say({ overrun: true }),
    onError: (code) => fail(`the socket failed: ${code}`),
  });
  send(CMD.REGISTER);

  const say = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line) as { readonly set?: readonly Way[] };
    const ns = shim.now();
    for (const way of asked.set ?? []) ways[way.from]![way.to] = way.signal === null ? undefined : way;
    say(asked.set === undefined ? count : { ns, doneNs: shim.now() });
    if (asked.set === undefined) count.longestNs = 0;
  }
  process.exit(0);
}

function tries(rates: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < rates.length; i += 2) if (rates[i]! < 128) sum += rates[i + 1]!;
  return Math.max(1, sum);
}

/** Leaves in the table what was used of it: the last rate with a count is the one that came through, or did not. */
function spend(rates: Uint8Array, tried: number): void {
  let left = tried;
  for (let i = 0; i < rates.length; i += 2) {
    if (left === 0 || rates[i]! >= 128) rates.set([0xff, 0], i);
    else {
      rates[i + 1] = Math.min(left, rates[i + 1]!);
      left -= rates[i + 1]!;
    }
  }
}

function fail(why: string): never {
  process.stderr.write(`medium: ${why}\n`);
  process.exit(1);
}

await main(process.argv.slice(2)).catch((thrown: unknown) => fail((thrown as Error).message));
