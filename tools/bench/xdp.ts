/**
 * Bench `xdp`: nanoseconds that the whole chain of XDP programs takes for a frame over an empty XDP_PASS, by the kernel's
 * test-run facility, with 1, 32 and 256 neighbours in the map; for the worst of an OGM, a batman-adv frame with a TCP SYN
 * inside, a beacon and a foreign frame. And what all maps take of the kernel's memory.
 *
 * Isolation and admission are on. Each figure is the median of some rounds, program and baseline by turns. A beacon is
 * stamped at most 32 times in 134 ms from one sender, which a long test run would soon have used up: it is measured in short
 * ones, by how much longer many frames take than few. What waking userland costs, once a beacon where they are rare, is not in it.
 */
import { macToBytes } from '../../agent/core/ids.ts';
import * as layout from '../../agent/host/bpf/layout.ts';
import { entryOf, findObjects, loadMesh, readValid } from '../../agent/host/bpf/loader.ts';
import { type NativeBpf, native } from '../../agent/host/native.ts';
import { type BenchResult, median, type Progress } from './stats.ts';

const ROUNDS = 9;
const REPEAT = 100_000;
/** Neighbours whose frames are tried: a run has one frame only. */
const SENDERS = 16;
/** Of the 32 stamps that a sender may cause in a window; the first of all wakes userland. */
const FEW = 7;
const MANY = 24;
const WINDOW_NS = 1n << 27n;
/** What the ring for stamps holds before userland has to read: 227 records of 72 bytes. */
const SENDERS_A_RING = 6;
const STAMP_ROUNDS = 40;
const NEIGHBOURS = [1, 32, 256] as const;

/** The interface that a test run says its frames came in on: the loopback's. */
const INDEX = 1;
const macOf = (i: number) =>
  `02:00:00:00:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`;

function frame(from: string, type: number, body: Uint8Array): Buffer {
  const out = Buffer.alloc(14 + body.length, 0xff);
  macToBytes(from, out, 6);
  out.writeUInt16BE(type, 12);
  out.set(body, 14);
  return out;
}

function ogm(from: string): Buffer {
  const body = Buffer.alloc(46);
  body.set([0x00, 15, 50]);
  macToBytes(from, body, 8);
  return frame(from, 0x4305, body);
}

/** unicast(10) Ethernet(14) IPv4(20) TCP(20) */
function syn(from: string): Buffer {
  const body = Buffer.alloc(64);
  body.set([0x40, 15, 50]);
  body.writeUInt16BE(0x0800, 22);
  body.set([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 24);
  body.set([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02], 44);
  return frame(from, 0x4305, body);
}

const KINDS = {
  ogm,
  syn,
  beacon: (from: string) => frame(from, 0x88b5, Buffer.alloc(86, 3)),
  foreign: (from: string) => frame(from.replace('02:00', '02:99'), 0x0800, Buffer.alloc(86)),
} as const;

export async function run(progress: Progress): Promise<BenchResult> {
  const loaded = loadMesh(native());
  const { object } = loaded;
  const { folder, manifest } = findObjects();
  const empty = native().openBpf(readValid(folder, entryOf(manifest, 'pass', 'timer')).image);
  progress(`variant ${loaded.variant}, JIT ${loaded.features.jit}, ${loaded.lockedBytes} bytes locked`);
  const settings = {
    secret: new Uint8Array(16).fill(7),
    outcasts: true,
    admittedOnly: true,
    stamped: [0x88b5],
    port: 17447,
  };
  object.update('settings', layout.encodeU32(0), layout.encodeSettings(settings));
  object.update('outcasts', layout.encodeOutcast('02:00:00:00:99:99'), layout.encodeU32(1));
  const ring = object.openRing('stamps', { onRecords() {} });
  const pass = () => empty.testRun('pass', ogm(macOf(0)), REPEAT)[1];
  pass();

  const figures: Record<string, number> = {};
  const baseline: Record<string, number> = { pass_ns: pass() };
  let known = 0;
  for (const count of NEIGHBOURS) {
    for (; known < count; known++)
      object.update(
        'neighbours',
        layout.encodeKey({ neighbour: macOf(known), index: INDEX }),
        layout.encodeNeighbour(0, known, loaded.neighbourSize),
      );
    let worst = 0;
    for (const [kind, make] of Object.entries(KINDS)) {
      const senders = Array.from({ length: Math.min(SENDERS, count) }, (_, i) =>
        make(macOf(Math.floor((i * count) / SENDERS) % count)),
      );
      const ns = kind === 'beacon' ? await stampedNs(object, senders, pass) : passingNs(object, senders, pass);
      baseline[`${kind}_${count}`] = ns;
      worst = Math.max(worst, ns);
      progress(`${count} neighbours, ${kind}: ${ns.toFixed(1)} ns over an empty program`);
    }
    figures[`ns_over_pass_${count}`] = worst;
  }
  figures.mib = loaded.lockedBytes / (1 << 20);
  for (const open of [ring, object, empty]) open.close();
  return {
    figures,
    baseline,
    targets: [
      ...NEIGHBOURS.map((count) => ({ figure: `ns_over_pass_${count}`, atMost: 120 })),
      { figure: 'mib', atMost: 1 },
    ],
  };
}

/** Nanoseconds over an empty program, of frames that no limit holds back. */
function passingNs(object: NativeBpf, senders: readonly Buffer[], pass: () => number): number {
  const over: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    let sum = 0;
    for (const one of senders) sum += object.testRun('entry', one, Math.round(REPEAT / senders.length))[1];
    over.push(sum / senders.length - pass());
  }
  return median(over);
}

/** The same of frames that are stamped. */
async function stampedNs(object: NativeBpf, senders: readonly Buffer[], pass: () => number): Promise<number> {
  const over: number[] = [];
  for (let round = 0; round < STAMP_ROUNDS; round++) {
    const window = process.hrtime.bigint() / WINDOW_NS;
    while (process.hrtime.bigint() / WINDOW_NS === window) await new Promise((resolve) => setTimeout(resolve, 5));
    const empty = pass();
    for (const [i, one] of senders.entries()) {
      // The ring is read on the event loop.
      if (i % SENDERS_A_RING === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      object.testRun('entry', one, 1);
      const few = object.testRun('entry', one, FEW)[1] * FEW;
      const many = object.testRun('entry', one, MANY)[1] * MANY;
      over.push((many - few) / (MANY - FEW) - empty);
    }
  }
  return median(over);
}
