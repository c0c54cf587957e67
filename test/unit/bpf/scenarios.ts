/**
 * The XDP programs on this machine's own kernel, in a network namespace of their own: `unshare -n node scenarios.ts
 * timer|no-timer [NAME]` runs all of them, or one, and says what came of each in a JSON line. Run by kernel.test.ts.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { Tables, WorldEvent } from '../../../agent/core/event.ts';
import { type MeshInfo, STOCK_SETTINGS } from '../../../agent/core/kernel.ts';
import { Log } from '../../../agent/core/log.ts';
import { loadMesh } from '../../../agent/host/bpf/loader.ts';
import { profile } from '../../../agent/host/bpf/profiler.ts';
import type { Variant } from '../../../agent/host/bpf/validator.ts';
import { Xdp, type XdpSettings } from '../../../agent/host/bpf/xdp.ts';
import { Drops } from '../../../agent/host/drops.ts';
import { attachXdp, native } from '../../../agent/host/native.ts';
import { openConnection } from '../../../agent/host/netlink/connection.ts';
import { NETLINK_ROUTE } from '../../../agent/host/netlink/message.ts';
import * as rt from '../../../agent/host/netlink/rtnetlink.ts';
import { SLOW, until, veth } from '../netlink/scenarios.ts';
import { elp, ether, ogm, ogm2, tcp } from './frames.ts';

const A = '02:00:00:00:00:0a';
const STRANGER = '02:00:00:00:00:5a';

type Evidence = Extract<WorldEvent, { type: 'neighbour-evidence' }>;

const SETTINGS: XdpSettings = {
  deadlineNs: 0,
  admitted: [],
  stamped: [0x88b5],
  port: 17447,
  generic: true,
  epsilon: 1,
};

/** A veth pair, and what measures its end b0, which a mesh is said to have. */
async function setUp(variant: Variant | undefined, more: Partial<XdpSettings> = {}) {
  const { a, b, route } = await veth();
  const shim = native();
  const told: Evidence[] = [];
  const said: string[] = [];
  const xdp = new Xdp({
    native: shim,
    drops: new Drops(),
    log: new Log('debug', (line) => said.push(line)),
    settings: { ...SETTINGS, ...more },
    feed: (event) => told.push(event as Evidence),
    ...(variant && { variant }),
  });
  const mesh: MeshInfo = {
    index: 99,
    name: 'bat0',
    mac: A,
    version: '',
    algorithm: 'BATMAN_IV',
    settings: STOCK_SETTINGS,
  };
  const tables = (...neighbours: readonly string[]): Tables => ({
    mesh,
    hardInterfaces: [{ index: b.index, name: 'b0', mac: b.mac, active: true }],
    originators: [],
    neighbours: neighbours.map((neighbour) => ({
      neighbour,
      interface: b.index,
      interfaceName: 'b0',
      lastSeenMs: 0,
    })),
    gateways: [],
  });
  xdp.tables(tables(A));
  const sender = shim.openPacket({ ethertype: 0x88b6, onFrame() {}, onError() {} });
  const passed: number[] = [];
  const receiver = shim.openPacket({
    ifindex: b.index,
    ethertype: 3,
    rcvbuf: 4 << 20,
    onFrame: (frame) => passed.push(frame.length),
    onError() {},
  });
  const send = (...frames: readonly Buffer[]) =>
    assert.deepEqual(sender.sendMany(frames.map((frame) => [frame, a.index] as const)), []);
  const row = () => xdp.view().neighbours[0]!;
  const close = () => {
    for (const open of [sender, receiver, xdp, route]) open.close();
  };
  return { a, b, route, xdp, told, said, tables, send, passed, row, close };
}

export const SCENARIOS: Readonly<Record<string, (variant: Variant) => Promise<void>>> = {
  async 'counts frames, bytes, gaps in sequence numbers, and TCP, of neighbours alone'(variant) {
    const { xdp, send, passed, row, close } = await setUp(variant);
    const { level, why, interfaces } = xdp.view();
    assert.deepEqual([level, why], ['native', null]);
    assert.deepEqual(interfaces, [{ name: 'b0', level: 'native', why: null }]);
    assert.equal(xdp.view().variant, variant);
    const frames = [
      ...[100, 101, 104, 104, 103, 105].map((seqno) => ogm(A, seqno)),
      ogm(A, 900, '02:00:00:00:00:77'), // forwarded: another's number
      ogm(A, 106).fill(14, 15, 16), // another version
      ether(A, 0x4305, Buffer.of(0, 15)),
      Buffer.alloc(14).fill(ether(A, 0x4305, Buffer.alloc(0))),
    ];
    send(...frames);
    await until('all passed', () => passed.length >= frames.length);
    const bytes = frames.reduce((sum, { length }) => sum + length, 0);
    const one = row();
    assert.deepEqual([one.frames, one.bytes], [frames.length, bytes]);
    assert.deepEqual([one.received, one.lost, one.restarts, one.silent], [4, 2, 0, false]);
    assert.equal(one.lossOnAir, 2 / 6);
    assert.ok(one.lastSeenNs! < 1e9 && one.medianGapNs! > 0);
    send(ogm(A, 5000), ogm(A, 5001));
    await until('began anew', () => row().restarts === 1);
    assert.deepEqual([row().received, row().lost], [6, 2]);

    // ELP says more of a link than OGMs, and wraps around.
    send(elp(A, -2), elp(A, -1), elp(A, 1));
    await until('ELP', () => row().received === 3 && row().lost === 1);
    // A network card fills frames up to 60 bytes.
    const filled = (frame: Buffer) => Buffer.concat([frame, Buffer.alloc(60 - frame.length)]);
    send(filled(elp(A, 2)), filled(elp(A, 5)));
    await until('ELP over a cable', () => row().received === 5 && row().lost === 3);
    send(ogm2(A, [7, 49], [8, 12], [500, 50]), ogm2(A, [502, 50]), ogm2(A, [7, 49]));

    const flow = { port: 1 };
    send(
      tcp(A, { ...flow, flags: 'S', seq: 100 }),
      tcp(A, { ...flow, flags: 'SA', seq: 900, back: true }),
      tcp(A, { ...flow, flags: 'A', seq: 101 }),
      tcp(A, { ...flow, flags: 'PA', seq: 101, length: 50 }),
      tcp(A, { ...flow, flags: 'PA', seq: 101, length: 50 }),
      tcp(A, { ...flow, flags: 'FA', seq: 151 }),
      tcp(A, { port: 2, flags: 'S', seq: 7, ipv6: true, vlan: true }),
      tcp(A, { port: 2, flags: 'S', seq: 7, ipv6: true, vlan: true }),
      tcp(A, { port: 2, flags: 'A', seq: 8, ipv6: true, vlan: true }),
      tcp(A, { port: 3, flags: 'R', seq: 7, fourAddresses: true }),
      tcp(A, { port: 4, flags: 'S', seq: 7, fragment: 0x2000 }),
      tcp(A, { port: 5, flags: 'S', seq: 7, kind: 0x41 }),
      tcp(A, { port: 6, flags: 'S', seq: 7 }).subarray(0, 70),
      tcp(STRANGER, { port: 7, flags: 'S', seq: 7 }),
      ether(STRANGER, 0x0800, Buffer.alloc(46)),
    );
    const totals = () => xdp.view().totals;
    await until('strangers', () => totals().strangers === 2);
    assert.deepEqual(totals(), {
      strangers: 2,
      isolated: 0,
      unadmitted: 0,
      fragments: 1,
      segments: 10,
      opened: 2,
      answered: 1,
      established: 1,
      closed: 1,
      reset: 1,
      retransmitted: 2,
      unstamped: 0,
    });
    assert.equal(xdp.view().strangers, 1);
    assert.ok(xdp.view().medianHandshakeNs! > 0);
    assert.ok(xdp.view().lockedBytes > 0 && xdp.view().lockedBytes <= 1 << 20);
    close();
  },

  async 'counts the OGM2s that a neighbour sends itself, wherever they stand in an aggregate'(variant) {
    const { send, passed, row, close } = await setUp(variant);
    const frames = [
      ether(A, 0x0800, Buffer.alloc(46)), // the first frame of all only says that the neighbour is heard
      ogm2(A, [7, 49], [8, 12], [500, 50]),
      ogm2(A, [502, 50]), // alone and with nothing behind it: the shortest
      ogm2(A, [7, 49]),
      ogm2(A, [9, 49], [503, 50]).fill(14, 35, 36), // the second one is of another version
      ogm2(A, [505, 50], [506, 50]),
    ];
    send(...frames);
    await until('all passed', () => passed.length === frames.length);
    assert.deepEqual([row().received, row().lost, row().restarts], [3, 3, 0]);
    close();
  },

  async 'tells connections apart, and gives them places of their own as far as there are any'(variant) {
    const { xdp, send, passed, close } = await setUp(variant);
    const totals = () => xdp.view().totals;
    const each = (flags: string, seq: number, ipv6: boolean) =>
      Array.from({ length: 200 }, (_, i) => tcp(A, { port: 1000 + 8 * i, flags, seq, ipv6 }));
    // The first frame of all only says that the neighbour is heard.
    send(ogm(A, 1));
    for (const ipv6 of [false, true]) send(...each('S', 7, ipv6));
    for (const ipv6 of [false, true]) send(...each('A', 8, ipv6));
    await until('all passed', () => passed.length === 801);
    assert.deepEqual([totals().opened, totals().retransmitted], [400, 0]);
    // By chance some 70 of 400 share one of 2048 places with another.
    assert.ok(totals().established! > 270, `${totals().established}`);
    close();
  },

  async 'who takes the place of a neighbour that went begins at nothing, and all places can be taken again'(variant) {
    const { xdp, tables, send, passed, close } = await setUp(variant);
    const mac = (i: number) => `02:00:00:00:01:${i.toString(16).padStart(2, '0')}`;
    const counted = () => xdp.view().neighbours.map(({ neighbour, frames, bytes }) => [neighbour, frames, bytes]);
    send(ogm(A, 1), ogm(A, 2));
    await until('counted', () => passed.length === 2);
    assert.deepEqual(counted(), [[A, 2, 120]]);
    for (let round = 0; round < 3; round++) {
      xdp.tables(tables(...Array.from({ length: 256 }, (_, i) => mac(i))));
      assert.equal(counted().filter(([, frames]) => frames === 0).length, 256);
      const sent = passed.length;
      send(...Array.from({ length: 256 }, (_, i) => ogm(mac(i), 1)), ogm(mac(7), 2));
      await until('all passed', () => passed.length === sent + 257);
      const rows = counted();
      assert.equal(rows.filter(([, frames, bytes]) => frames === 1 && bytes === 60).length, 255);
      assert.deepEqual(
        rows.find(([neighbour]) => neighbour === mac(7)),
        [mac(7), 2, 120],
      );
      xdp.tables(tables(A));
      assert.deepEqual(counted(), [[A, 0, 0]]);
    }
    close();
  },

  async 'drops what outcasts send, and batman-adv of who was not admitted; nothing else'(variant) {
    const { xdp, tables, send, passed, close } = await setUp(variant);
    const count = async (frames: readonly Buffer[]) => {
      const before = passed.length;
      send(...frames, ether(A, 0x9999, Buffer.alloc(1000)));
      await until('the last one', () => passed.slice(before).includes(1014));
      return passed.length - before - 1;
    };
    const frames = [ogm(A, 1), ogm(STRANGER, 1), ether(STRANGER, 0x0800, Buffer.alloc(46))];
    assert.equal(await count(frames), 3);
    xdp.isolate([STRANGER]);
    assert.equal(await count(frames), 1);
    assert.equal(xdp.view().totals.isolated, 2);
    xdp.isolate([]);
    assert.equal(await count(frames), 3);
    // An outcast is a neighbour no longer, whatever batman-adv still says.
    xdp.tables(tables(A, STRANGER));
    assert.equal(xdp.view().neighbours.length, 2);
    xdp.isolate([STRANGER]);
    xdp.tables(tables(A, STRANGER));
    assert.equal(xdp.view().neighbours.length, 1);
    assert.equal(await count(frames), 1);
    close();
  },

  async 'admission: batman-adv of the admitted alone'(variant) {
    const { xdp, send, passed, close } = await setUp(variant, { admitted: [A] });
    send(ogm(STRANGER, 1), ether(STRANGER, 0x0800, Buffer.alloc(50)), ogm(A, 1), ether(A, 0x9999, Buffer.alloc(1000)));
    await until('the last one', () => passed.includes(1014));
    assert.deepEqual(
      passed.filter((length) => length === 60 || length === 64),
      [64, 60],
    );
    assert.equal(xdp.view().totals.unadmitted, 1);
    // The kernel takes tags off and gives what is behind them to batman-adv, whatever VLAN they name.
    const tagged = (frame: Buffer, ...tags: readonly (readonly [ethertype: number, vlan: number])[]) =>
      tags.reduceRight((inner, [ethertype, vlan]) => {
        const tag = Buffer.alloc(4);
        tag.writeUInt16BE(ethertype, 0);
        tag.writeUInt16BE(vlan, 2);
        return Buffer.concat([inner.subarray(0, 12), tag, inner.subarray(12)]);
      }, frame);
    const [Q, AD] = [0x8100, 0x88a8];
    const hidden = [
      tagged(ogm(STRANGER, 2), [Q, 0]),
      tagged(ogm(STRANGER, 3), [Q, 5]),
      tagged(ogm(STRANGER, 4), [AD, 0], [Q, 0]),
      tagged(ogm(STRANGER, 5), [Q, 0], [Q, 0], [AD, 0], [Q, 7]),
      tagged(ether(STRANGER, 0x0800, Buffer.alloc(50)), [Q, 0], [Q, 0], [Q, 0], [Q, 0], [Q, 0]),
    ];
    const open = [
      tagged(ether(STRANGER, 0x0800, Buffer.alloc(300)), [Q, 7]),
      tagged(ether(STRANGER, 0x0800, Buffer.alloc(400)), [AD, 7], [Q, 9]),
      tagged(ogm(A, 2), [Q, 0]),
    ];
    const before = passed.length;
    send(...hidden, ...open, ether(A, 0x9999, Buffer.alloc(1001)));
    await until('the last one', () => passed.includes(1015));
    assert.equal(passed.length - before, open.length + 1);
    assert.equal(xdp.view().totals.unadmitted, 1 + hidden.length);
    close();
  },

  async 'members are let in as they become known; an outcast may still ask for its neighbour and for the port of sessions'(
    variant,
  ) {
    const { xdp, tables, send, passed, close } = await setUp(variant);
    const lengths = async (...frames: readonly Buffer[]) => {
      const before = passed.length;
      send(...frames, ether(A, 0x9999, Buffer.alloc(1000)));
      await until('the last one', () => passed.slice(before).includes(1014));
      return passed.slice(before, -1);
    };
    xdp.tables(tables(A, STRANGER));
    xdp.gate([], []);
    assert.deepEqual(await lengths(ogm(A, 1), ogm(STRANGER, 1), ether(STRANGER, 0x88b5, Buffer.alloc(80))), [94]);
    // Before batman-adv can know it.
    xdp.tables(tables());
    xdp.gate([A], []);
    assert.deepEqual(await lengths(ogm(A, 2), ogm(STRANGER, 2)), [60]);
    xdp.gate([A, STRANGER], []);
    assert.deepEqual(await lengths(ogm(A, 3), ogm(STRANGER, 3)), [60, 60]);
    xdp.gate(null, [STRANGER]);
    assert.deepEqual(await lengths(ogm(A, 4), ogm(STRANGER, 4), ether(STRANGER, 0x88b5, Buffer.alloc(80))), [60]);
    const local = (next: number, ...ports: readonly [number, number]) => {
      const ip = Buffer.alloc(64);
      ip[0] = 0x60;
      ip[6] = next;
      ip.set([0xfe, 0x80], 8);
      ip.set([0xff, 0x12], 24);
      ip.writeUInt16BE(ports[0], 40);
      ip.writeUInt16BE(ports[1], 42);
      return ip;
    };
    const from = (ip: Buffer) => ether(STRANGER, 0x86dd, ip);
    const afar = local(6, 5, 17447);
    afar.set([0x20, 0x01], 8);
    const elsewhere = local(6, 5, 17447);
    elsewhere.set([0x20, 0x01], 24);
    const answering = local(6, 17447, 5);
    answering[53] = 0x12;
    const let_in = [
      answering,
      local(6, 5, 17447),
      local(17, 17447, 17447),
      local(58, 135 << 8, 0),
      local(58, 136 << 8, 0),
    ];
    const beginning = local(6, 17447, 22);
    beginning[53] = 0x02;
    const kept_out = [
      beginning,
      local(17, 17447, 53),
      answering.subarray(0, 53),
      local(6, 22, 5),
      local(17, 53, 53),
      local(58, 128 << 8, 0),
      local(50, 0, 17447),
      afar,
      elsewhere,
      local(6, 5, 17447).subarray(0, 43),
    ];
    assert.deepEqual(
      await lengths(...let_in.map(from)),
      let_in.map(() => 78),
    );
    assert.deepEqual(await lengths(...kept_out.map(from)), []);
    close();
  },

  async 'says by itself that a neighbour fell silent, and that it is heard again'(variant) {
    const { xdp, told, send, b, row, close } = await setUp(variant, { deadlineNs: 200e6 });
    const shim = native();
    // The kernel's timer owes nothing to how busy this process is.
    const slack = variant === 'timer' ? 30e6 : 100e6 * SLOW;
    const last = () => shim.now() - row().lastSeenNs!;
    send(ogm(A, 1));
    await until('heard', () => told.length > 0); // on a busy machine it is silent again by now
    const { at, ...first } = told[0]!;
    assert.deepEqual(first, { type: 'neighbour-evidence', neighbour: A, interface: b.index, what: 'heard' });
    assert.ok(Math.abs(at - last()) < 20e6);
    // Any frame pushes the deadline back. A machine that is too busy to send them in time proves nothing: then once more.
    for (let tries = 0, gap = Number.POSITIVE_INFINITY; gap > 100e6; tries++) {
      assert.ok(tries < 20, 'this machine is too busy');
      send(ogm(A, 1));
      await until('heard', () => told.at(-1)!.what === 'heard');
      told.length = 1;
      gap = 0;
      for (let i = 0, before = shim.now(); i < 15; i++) {
        await pause(20);
        send(ether(A, 0x9999, Buffer.alloc(50)));
        gap = Math.max(gap, shim.now() - before);
        before = shim.now();
      }
      if (gap <= 100e6) assert.equal(told.length, 1);
    }
    await until('silent', () => told.length === 2);
    assert.equal(told[1]!.what, 'deadline');
    const took = told[1]!.at - last();
    assert.ok(took >= 199e6 && took < 200e6 + slack, `after ${took / 1e6} ms`);
    assert.ok(row().silent);
    await pause(100);
    assert.equal(told.length, 2, 'said once');
    const watch = (silenceNs: number | null) => {
      xdp.setDeadline({ neighbour: A, index: b.index }, silenceNs);
      const answer = told.pop()!;
      assert.ok(answer.what === 'heard' && Math.abs(answer.at - last()) < 20e6, 'says when it was heard last');
    };
    watch(20e6);
    send(ogm(A, 2));
    await until('heard again and silent again', () => told.length === 4);
    assert.deepEqual(
      told.slice(2).map(({ what }) => what),
      ['heard', 'deadline'],
    );
    const sooner = told[3]!.at - told[2]!.at;
    assert.ok(sooner >= 19e6 && sooner < 20e6 + slack, `after ${sooner / 1e6} ms`);
    // Sooner, while it is heard; then never.
    watch(10e9);
    send(ogm(A, 3));
    await until('heard', () => told.length === 5);
    watch(30e6);
    await until('silent', () => told.length === 6);
    watch(0);
    send(ogm(A, 4));
    await until('heard', () => told.length === 7);
    await pause(80);
    assert.equal(told.length, 7);
    // As the configuration says.
    watch(null);
    await until('silent', () => told.length === 8);
    xdp.setDeadline({ neighbour: STRANGER, index: b.index }, 1e6);
    assert.equal(told.length, 8);
    close();
  },

  async 'beacons are stamped on arrival, and no flood of them gets far'(variant) {
    const { xdp, told, send, b, passed, close } = await setUp(variant);
    const shim = native();
    const beacon = (from: string, i: number, length = 80) => {
      const body = Buffer.alloc(length, 7);
      body.writeUInt32BE(i, 0);
      return ether(from, 0x88b5, body);
    };
    send(ogm(A, 1));
    await until('heard', () => told.length === 1);
    const before = shim.now();
    const frames = [beacon(A, 1), beacon(A, 2, 20), beacon(STRANGER, 3)];
    send(...frames);
    await until('all in', () => passed.length >= 4);
    const stamps: number[] = [];
    for (const frame of frames)
      await until('stamped', () => {
        const at = xdp.stampOf(b.index, frame);
        if (at !== null) stamps.push(at);
        return at !== null;
      });
    assert.ok(stamps.every((at, i) => at > before && at < shim.now() && (i === 0 || at > stamps[i - 1]!)));
    assert.equal(xdp.stampOf(b.index, frames[0]!), null, 'once');
    assert.equal(xdp.stampOf(b.index + 1, beacon(A, 2)), null);
    send(...Array.from({ length: 400 }, (_, i) => beacon(STRANGER, 100 + i)));
    await until('the flood is over', () => xdp.view().totals.unstamped! >= 400 - 64);
    send(beacon(A, 9));
    await until('a neighbour is stamped all the same', () => xdp.stampOf(b.index, beacon(A, 9)) !== null);
    close();
  },

  async 'a flood of invented addresses evicts nobody and fills no map'(variant) {
    const { xdp, tables, send, passed, row, close } = await setUp(variant);
    const mac = (i: number) =>
      `02:11:${[24, 16, 8, 0].map((by) => ((i >>> by) & 255).toString(16).padStart(2, '0')).join(':')}`;
    send(ogm(A, 1));
    for (let round = 0; round < 5; round++) {
      send(...Array.from({ length: 600 }, (_, i) => ogm(mac(round * 600 + i), i)));
      await until('passed', () => passed.length >= (round + 1) * 600);
    }
    send(ogm(A, 2));
    await until('still counted', () => row().frames === 2);
    assert.equal(xdp.view().totals.strangers, 3000);
    assert.equal(xdp.view().neighbours.length, 1);
    // More neighbours than there is room for: who was there first stays.
    xdp.tables(tables(...Array.from({ length: 400 }, (_, i) => mac(i)), A));
    assert.equal(xdp.view().neighbours.length, 256);
    assert.ok(xdp.view().neighbours.some(({ neighbour }) => neighbour === A));
    close();
  },

  async "somebody else's program stays, and a packet socket counts instead"(variant) {
    const { a, b, route } = await veth();
    const foreign = loadMesh(native(), variant);
    const theirs = attachXdp(foreign.object, 'tcp', b.index);
    route.close();
    const again = await setUpOn(variant, a.index, b.index);
    const { level, why, interfaces } = again.xdp.view();
    assert.deepEqual([level, interfaces[0]!.level], ['packet-socket', 'packet-socket']);
    assert.match(why!, /b0: somebody else's XDP program/);
    again.send(ogm(A, 5), ogm(A, 8), ether(A, 0x9999, Buffer.alloc(60)));
    await until('counted', () => again.xdp.view().neighbours[0]?.received === 2);
    const [one] = again.xdp.view().neighbours;
    assert.deepEqual([one!.frames, one!.lost], [2, 2]);
    await until('silent by the clock', () => again.told.length === 2);
    assert.deepEqual(
      again.told.map(({ what }) => what),
      ['heard', 'deadline'],
    );
    const socket = { hears: 'neighbours', interface: 'b0' } as const;
    assert.deepEqual(again.drops.view(), [{ ...socket, frames: 0 }]);
    // More than its socket has room for, in one turn of the loop; on a busy machine veth itself loses some before.
    const count = () => again.drops.view()[0]!.frames;
    let sent = 2;
    for (; count() === 0 && sent < 20_000; sent += 500)
      again.send(...Array.from({ length: 500 }, (_, i) => ogm(A, 9 + sent + i)));
    const dropped = count();
    await until('the others are counted', () => again.xdp.view().neighbours[0]!.frames > 2);
    const { frames } = again.xdp.view().neighbours[0]!;
    assert.ok(dropped > 0 && frames + dropped <= sent, `${dropped} dropped, ${frames} counted of ${sent}`);
    again.close();
    assert.deepEqual(again.drops.view(), [{ ...socket, frames: dropped }]);
    theirs.close();
    foreign.close();
  },

  async 'what it costs is counted while somebody asks, and no longer'(variant) {
    const { xdp, send, passed, close } = await setUp(variant);
    const read = async () => xdp.view().programs;
    const [before] = await read();
    const found = profile(read, 0.2);
    await pause(50);
    send(...Array.from({ length: 100 }, (_, i) => ogm(A, i)));
    const [entry] = await found;
    assert.deepEqual([entry!.name, entry!.runs], ['entry', 100]);
    // User-mode Linux counts by its tick of 10 ms.
    if (SLOW === 1) assert.ok(entry!.nsARun > 10 && entry!.nsARun < 1e6 && entry!.share > 0);
    assert.ok(entry!.runsASecond > 0);
    assert.ok(before!.verified > 100);
    if (readFileSync('/proc/sys/kernel/bpf_stats_enabled', 'utf8').trim() === '0') {
      // Somebody else on this machine may be asking just now: statistics are all programs' or none's.
      let uncounted = false;
      for (let tries = 1; tries <= 50 && !uncounted; tries++) {
        const was = (await read())[0]!.runs;
        send(ogm(A, 200 + tries));
        await until('passed', () => passed.length === 100 + tries);
        uncounted = (await read())[0]!.runs === was;
        if (!uncounted) await pause(100);
      }
      assert.ok(uncounted);
    }
    close();
  },

  async 'lets go of the interface on close, and when killed'(variant) {
    const before = bpfFds();
    const { b, xdp, close } = await setUp(variant);
    const other = loadMesh(native(), variant);
    assert.throws(() => other.attach(b.index), { code: 'E_BPF_FOREIGN' });
    xdp.close();
    other.attach(b.index).close();

    const child = spawn(process.execPath, [import.meta.filename, variant, 'attached for ever', String(b.index)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    assert.throws(() => other.attach(b.index), { code: 'E_BPF_FOREIGN' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await until('free again', () => {
      try {
        other.attach(b.index).close();
        return true;
      } catch {
        return false;
      }
    });
    other.close();
    close();
    assert.equal(bpfFds(), before, 'nothing left open');
  },

  async 'an interface of another name is another one, whatever its number'(variant) {
    const { route, xdp, tables, close } = await setUp(variant);
    const before = tables(A);
    const [one] = before.hardInterfaces;
    xdp.tables({ ...before, hardInterfaces: [{ ...one!, name: 'wan' }] });
    assert.deepEqual(xdp.view().interfaces, [{ name: 'wan', level: 'native', why: null }]);
    // It left, went, and its number is somebody else's before the program would have been let go of.
    xdp.tables({ ...before, hardInterfaces: [] });
    await rt.change(route, rt.encodeDeleteLink('b0'), 'delete');
    const create = rt.encodeCreateVeth('c0', 'c1');
    // nlmsghdr, then ifinfomsg: family, type, index
    new DataView(create.buffer, create.byteOffset).setInt32(16 + 4, one!.index, endianness() === 'LE');
    await rt.change(route, create, 'create');
    assert.equal((await rt.getLink(route, 'c0'))?.index, one!.index);
    xdp.tables({ ...before, hardInterfaces: [{ ...one!, name: 'c0' }] });
    assert.deepEqual(xdp.view().interfaces, [{ name: 'c0', level: 'native', why: null }]);
    const strict = loadMesh(native(), variant);
    assert.throws(
      () => strict.attach(one!.index),
      { code: 'E_BPF_FOREIGN' },
      'the program is there, not only a handle',
    );
    strict.close();
    close();
  },

  async 'a driver without XDP of its own gets the generic one; an interface that goes is forgotten'(variant) {
    const { route, xdp, tables, close } = await setUp(variant);
    await rt.change(route, rt.encodeCreateBridge('br0', '02:00:00:00:00:0c'), 'bridge');
    const bridge = (await rt.getLink(route, 'br0'))!;
    const both = tables(A);
    const strict = loadMesh(native(), variant);
    assert.throws(() => strict.attach(bridge.index, false), { code: 'E_BPF_LOAD', message: /bpf.generic is 0/ });
    xdp.tables({ ...both, hardInterfaces: [...both.hardInterfaces, { ...bridge, active: true }] });
    assert.deepEqual(xdp.standing(), { level: 'native', why: null }, 'nobody is behind the bridge');
    const behind = { neighbour: STRANGER, interface: bridge.index, interfaceName: 'br0', lastSeenMs: 0 };
    xdp.tables({
      ...both,
      hardInterfaces: [...both.hardInterfaces, { ...bridge, active: true }],
      neighbours: [...both.neighbours, behind],
    });
    const { level, why, interfaces } = xdp.view();
    assert.equal(level, 'generic');
    assert.match(why!, /^br0: /);
    assert.deepEqual(
      interfaces.map((one) => one.level),
      ['native', 'generic'],
    );
    await rt.change(route, rt.encodeDeleteLink('br0'), 'delete');
    xdp.tables(both);
    assert.deepEqual(xdp.standing(), { level: 'native', why: null });
    xdp.tables({ ...both, mesh: null });
    assert.deepEqual(xdp.standing(), { level: 'off', why: null });
    // A repair may have taken it out for a moment: the program stays.
    assert.throws(() => strict.attach(both.hardInterfaces[0]!.index), { code: 'E_BPF_FOREIGN' });
    strict.close();
    close();
  },
};

/** Descriptors of maps, programs and links. */
function bpfFds(): number {
  const names = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return names.filter((name) => name.includes('bpf')).length;
}

/** As setUp, on a pair that is there, without a mesh's tables for more. */
async function setUpOn(variant: Variant, from: number, to: number) {
  const told: Evidence[] = [];
  const drops = new Drops();
  const xdp = new Xdp({
    native: native(),
    drops,
    log: new Log('error', () => {}),
    settings: { ...SETTINGS, deadlineNs: 60e6 },
    feed: (event) => told.push(event as Evidence),
    variant,
  });
  xdp.tables({
    mesh: { index: 99, name: 'bat0', mac: A, version: '', algorithm: 'BATMAN_IV', settings: STOCK_SETTINGS },
    hardInterfaces: [{ index: to, name: 'b0', mac: '02:00:00:00:00:0b', active: true }],
    originators: [],
    neighbours: [{ neighbour: A, interface: to, interfaceName: 'b0', lastSeenMs: 0 }],
    gateways: [],
  });
  const sender = native().openPacket({ ethertype: 0x88b6, onFrame() {}, onError() {} });
  return {
    xdp,
    told,
    drops,
    send: (...frames: readonly Buffer[]) => sender.sendMany(frames.map((frame) => [frame, from] as const)),
    close: () => {
      sender.close();
      xdp.close();
    },
  };
}

async function main([variant, only, index]: readonly string[]): Promise<void> {
  if (only === 'attached for ever') {
    loadMesh(native(), variant as Variant).attach(Number(index));
    process.stdout.write('attached\n');
    await pause(60_000);
  }
  // What IPv6 says by itself when an interface comes up would be counted as well.
  for (const which of ['all', 'default']) writeFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, '1');
  for (const [name, run] of Object.entries(SCENARIOS)) {
    if (only !== undefined && name !== only) continue;
    const at = performance.now();
    const why = await run(variant as Variant).then(
      () => null,
      (error: Error) => error.stack ?? error.message,
    );
    process.stdout.write(`${JSON.stringify({ name, why, ms: Math.round(performance.now() - at) })}\n`);
    const route = openConnection({ native: native(), protocol: NETLINK_ROUTE });
    await rt.change(route, rt.encodeDeleteLink('a0'), 'delete').catch(() => {});
    route.close();
  }
  process.exit(0);
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
