/**
 * The shim's BPF part and its transmitter on this machine's own kernel, each scenario in a network namespace of its own:
 * `unshare -n node bpf-scenarios.ts NAME`. Run by kernel.test.ts; X0_TEST_BPF is the folder of the compiled objects.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { attachXdp, type BpfError, type NativeBpf, native } from '../../../agent/host/native.ts';
import * as rt from '../../../agent/host/netlink/rtnetlink.ts';
import { frame, openFds, SLOW, settledFds, until, veth } from './scenarios.ts';

const image = (name: 'shim' | 'refused'): Buffer => readFileSync(join(process.env.X0_TEST_BPF!, `${name}.o`));
const u32s = (...numbers: number[]): Uint8Array => new Uint8Array(Uint32Array.from(numbers).buffer);
const CPUS = readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim().split('-').at(-1)!;
const PER_CPU = 8 * (Number(CPUS) + 1);

/** The hash map of counters, by last byte. */
function counted(object: NativeBpf): Record<number, number> {
  const [keys, values] = object.read('counts');
  assert.equal(values.length, keys.length * 2);
  const read = endianness() === 'LE' ? 'LE' : 'BE';
  return Object.fromEntries(
    Array.from({ length: keys.length / 4 }, (_, i) => [
      keys[`readUInt32${read}`](i * 4),
      Number(values[`readBigUInt64${read}`](i * 8)),
    ]),
  );
}

export const BPF_SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  async 'bpf: an object is loaded, attached, counts, tells, and is taken away again'() {
    const fds = await settledFds();
    const { a, b, route } = await veth();
    const shim = native();
    const object = shim.openBpf(image('shim'));
    assert.deepEqual(
      object.programs.map(({ name, section, type }) => [name, section, type]),
      [
        ['count', 'xdp', 6],
        ['drop', 'xdp', 6],
      ],
    );
    const size = Object.fromEntries(object.maps.map((map) => [map.name, [map.keySize, map.valueSize, map.maxEntries]]));
    assert.deepEqual(size, {
      counts: [4, 8, 300],
      totals: [4, 4, 2],
      prefixes: [8, 4, 16],
      chain: [4, 4, 4],
      records: [0, 0, 65536],
    });
    const attached = attachXdp(object, 'count', b.index);
    assert.equal(attached.mode, 'native');
    const records: Buffer[] = [];
    const ring = object.openRing('records', { onRecords: (more) => records.push(...more) });
    const sender = shim.openPacket({ ethertype: 0x88b6, onFrame() {}, onError() {} });
    const before = shim.now();
    for (let round = 0; round < 3; round++)
      assert.deepEqual(sender.sendMany(Array.from({ length: 200 }, (_, i) => [frame(i), a.index] as const)), []);
    await until('600 records', () => records.length === 600);
    const after = shim.now();
    const times = records.map((record) => Number(record.readBigUInt64LE(0)));
    assert.ok(times.every((time, i) => time > before && time < after && (i === 0 || time >= times[i - 1]!)));
    assert.deepEqual(
      records.map((record) => record[8]),
      Array.from({ length: 600 }, (_, i) => i % 200),
    );
    assert.deepEqual(counted(object), Object.fromEntries(Array.from({ length: 200 }, (_, i) => [i, 3])));
    const [keys, values] = object.read('totals');
    assert.equal(keys.length, 8);
    assert.equal(values.length, 2 * PER_CPU);
    const perCpu = Array.from({ length: PER_CPU / 8 }, (_, cpu) => values.readUInt32LE(cpu * 8));
    assert.equal(
      perCpu.reduce((sum, n) => sum + n, 0),
      600,
    );

    // read() does not wait for the loop, which does not turn here.
    sender.send(frame(7), a.index);
    for (const end = shim.now() + 2e9; records.length === 600 && shim.now() < end; ) ring.read();
    assert.deepEqual([records.length, records.at(-1)![8]], [601, 7]);
    ring.read();
    assert.equal(records.length, 601);

    attached.close();
    attached.close();
    sender.send(frame(1), a.index);
    await pause(20 * SLOW);
    assert.equal(counted(object)[1], 3, 'detached: no longer counted');
    ring.close();
    assert.throws(() => ring.read(), { code: 'EBADF' });
    object.close();
    assert.throws(() => object.read('counts'), { code: 'EBADF' });
    sender.close();
    route.close();
    await until('nothing left open', () => openFds() === fds);
  },

  async 'bpf: a ring and an attached program outlive their object; a busy ring is read to its end'() {
    const { a, b, route } = await veth();
    const object = native().openBpf(image('shim'));
    const attached = attachXdp(object, 'count', b.index);
    let got = 0;
    let calls = 0;
    const ring = object.openRing('records', {
      onRecords: (records) => {
        calls++;
        got += records.length;
        if (got >= 1500) ring.close(); // in the midst of it
      },
    });
    object.close();
    const sender = native().openPacket({ ethertype: 0x88b6, onFrame() {}, onError() {} });
    sender.sendMany(Array.from({ length: 2000 }, (_, i) => [frame(i & 255), a.index] as const));
    await until('1500 records', () => got >= 1500);
    await pause(20 * SLOW);
    assert.ok(got < 2000 && calls >= 6, `${got} records in ${calls} calls`);
    attached.close();
    sender.close();
    route.close();
  },

  async 'bpf: entries are written, read and removed, with batch operations and without'() {
    const object = native().openBpf(image('shim'));
    const values = new Uint8Array(new BigUint64Array(300).fill(7n).buffer);
    object.update('counts', u32s(...Array.from({ length: 300 }, (_, i) => i * 1000)), values);
    const all = counted(object);
    assert.equal(Object.keys(all).length, 300);
    assert.ok(Object.values(all).every((n) => n === 7));
    assert.throws(() => object.update('counts', u32s(1), values.subarray(0, 8)), { code: 'E2BIG' });
    assert.equal(object.remove('counts', u32s(0, 1000, 5, 2000)), 3);
    assert.equal(Object.keys(counted(object)).length, 297);
    object.update('counts', u32s(), new Uint8Array(0));

    const both = new Uint8Array(PER_CPU * 2).fill(1);
    object.update('totals', u32s(0, 1), both);
    assert.equal(object.read('totals')[1].readUInt32LE(PER_CPU), 0x01010101);

    object.update('prefixes', Uint8Array.of(...u32s(8), 10, 0, 0, 0, ...u32s(16), 10, 1, 0, 0), u32s(1, 2));
    assert.equal(object.read('prefixes')[0].length, 16);
    assert.equal(object.remove('prefixes', Uint8Array.of(...u32s(8), 10, 0, 0, 0)), 1);
    assert.equal(object.read('prefixes')[0].length, 8);

    // A map of programs has no batch operations.
    const drop = object.programs.find((program) => program.name === 'drop')!;
    object.update('chain', u32s(1, 3), u32s(drop.fd, drop.fd));
    const [keys, ids] = object.read('chain');
    assert.deepEqual([...keys], [...u32s(1, 3)]);
    assert.ok(ids.length === 8 && ids.readUInt32LE(0) > 0 && ids.readUInt32LE(0) === ids.readUInt32LE(4));
    assert.equal(object.remove('chain', u32s(0, 1, 3)), 2);
    assert.throws(() => object.update('chain', u32s(0), u32s(9999)), { code: 'EBADF' });

    for (const bad of [
      () => object.read('records'),
      () => object.update('counts', u32s(1), u32s(1)),
      () => object.update('counts', u32s(1, 2), values.subarray(0, 8)),
      () => object.update('counts', new Uint8Array(3), new Uint8Array(8)),
      () => object.remove('counts', new Uint8Array(3)),
      () => object.remove('counts', [1] as never),
      () => object.openRing('records', {} as never),
    ])
      assert.throws(bad, TypeError);
    for (const bad of ['nothing', 'x'.repeat(500), 7 as never]) {
      assert.throws(() => object.read(bad), { code: 'ENOENT' });
      assert.throws(() => object.openRing(bad, { onRecords() {} }), { code: 'ENOENT' });
    }
    assert.throws(() => object.openRing('counts', { onRecords() {} }), { code: 'EINVAL' });
    object.close();
  },

  async 'bpf: programs chained by a tail call; an interface that has a program keeps it'() {
    const { a, b, route } = await veth();
    const shim = native();
    const [first, second] = [shim.openBpf(image('shim')), shim.openBpf(image('shim'))];
    let passed = 0;
    const receiver = shim.openPacket({ ifindex: b.index, ethertype: 0x88b5, onFrame: () => passed++, onError() {} });
    const attached = attachXdp(first, 'count', b.index);
    const dropper = second.programs.find((program) => program.name === 'drop')!;
    first.update('chain', u32s(0), u32s(dropper.fd));
    receiver.send(frame(1), a.index);
    await pause(20 * SLOW);
    assert.equal(passed, 0);
    assert.equal(first.remove('chain', u32s(0)), 1);
    receiver.send(frame(2), a.index);
    await until('passed', () => passed === 1);
    assert.deepEqual(counted(first), { 1: 1, 2: 1 });

    assert.throws(() => attachXdp(second, 'drop', b.index), { code: 'EBUSY' });
    assert.throws(() => second.attachXdp('drop', b.index, true), { code: 'EEXIST' });
    assert.throws(() => attachXdp(second, 'drop', 4711), { code: 'ENODEV' });
    assert.throws(() => attachXdp(second, 'nothing', b.index), { code: 'ENOENT' });
    assert.throws(() => attachXdp(second, 'drop', 'b0' as never), TypeError);
    receiver.send(frame(3), a.index);
    await until('still ours', () => passed === 2 && counted(first)[3] === 1);

    attached.close();
    const generic = second.attachXdp('drop', b.index, true);
    receiver.send(frame(4), a.index);
    await pause(20 * SLOW);
    assert.equal(passed, 2);
    assert.throws(() => attachXdp(first, 'count', b.index), { code: 'EEXIST' });
    generic.close();

    // A driver without XDP of its own.
    await rt.change(route, rt.encodeCreateBridge('br0', '02:00:00:00:00:0c'), 'bridge');
    const bridge = (await rt.getLink(route, 'br0'))!.index;
    const onBridge = attachXdp(first, 'count', bridge);
    assert.equal(onBridge.mode, 'generic');
    await rt.change(route, rt.encodeDeleteLink('br0'), 'delete');
    onBridge.close();
    for (const open of [first, second, receiver]) open.close();
    route.close();
  },

  async 'bpf: a program is run on a frame of ours, and what it costs is counted while that is asked for'() {
    const shim = native();
    const object = shim.openBpf(image('shim'));
    const [answer, ns] = object.testRun('drop', frame(7), 1000);
    assert.ok(answer === 1 && ns < 1e6, `${answer} ${ns}`);
    object.testRun('count', frame(7), 5);
    assert.equal(counted(object)[7], 5, 'on the real maps');
    assert.throws(() => object.testRun('nothing', frame(1), 1), { code: 'ENOENT' });
    assert.throws(() => object.testRun('drop', new Uint8Array(13), 1), { code: 'EINVAL' });
    for (const bad of [new Uint8Array(4000), 'frame', null])
      assert.throws(() => object.testRun('drop', bad as never, 1), TypeError);
    assert.throws(() => object.testRun('drop', frame(1), -1), TypeError);

    const { fd } = object.programs.find(({ name }) => name === 'drop')!;
    const runs = () => Number(/run_cnt:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]);
    const before = runs();
    const statistics = shim.bpfStatistics();
    object.testRun('drop', frame(1), 100);
    assert.equal(runs(), before + 100);
    statistics.close();
    object.testRun('drop', frame(1), 100);
    // Somebody else may have them on.
    if (readFileSync('/proc/sys/kernel/bpf_stats_enabled', 'utf8').trim() === '0') assert.equal(runs(), before + 100);
    object.close();
    assert.throws(() => object.testRun('drop', frame(1), 1), { code: 'EBADF' });
  },

  async 'bpf: what cannot be loaded is refused with the words of libbpf and the verifier'() {
    const shim = native();
    const refusal = (bytes: Uint8Array): BpfError => {
      try {
        shim.openBpf(bytes).close();
      } catch (error) {
        return error as BpfError;
      }
      return assert.fail('loaded');
    };
    const fds = await settledFds();
    const refused = refusal(image('refused'));
    assert.equal(refused.code, 'EACCES');
    assert.equal(refused.syscall, 'bpf_object__load');
    assert.match(refused.log, /invalid access to packet, off=12 size=1/);
    const good = image('shim');
    for (const bad of [Buffer.from('no object at all'), good.subarray(0, 200), good.subarray(0, good.length - 300)]) {
      const { errno, message } = refusal(bad);
      assert.ok(errno > 0, message);
    }
    const other = Buffer.from(good);
    other[5] = 3 - other[5]!; // ELF's data encoding
    assert.match(refusal(other).message, /ndian|format/i);
    assert.throws(() => shim.openBpf(new Uint8Array(0)), TypeError);
    assert.throws(() => shim.openBpf('shim.o' as never), TypeError);
    await until('nothing left open', () => openFds() === fds);
  },

  async 'bpf: an ended worker leaves nothing attached or open'() {
    const { a, b, route } = await veth();
    const before = await settledFds();
    const worker = new Worker(
      `import(${JSON.stringify(import.meta.resolve('../../../agent/host/native.ts'))}).then(({ native, attachXdp }) => {
         const { readFileSync } = require('node:fs');
         const object = native().openBpf(readFileSync(${JSON.stringify(join(process.env.X0_TEST_BPF!, 'shim.o'))}));
         attachXdp(object, 'drop', ${b.index});
         object.openRing('records', { onRecords() {} });
         const transmitter = native().openTransmitter({ onSent() {}, onFailed() {} });
         transmitter.send(Buffer.alloc(60), ${a.index}, native().now() + 1e12);
         require('node:worker_threads').parentPort.postMessage('open');
       });`,
      { eval: true },
    );
    await once(worker, 'message');
    assert.ok(openFds() > before + 5);
    await worker.terminate();
    await until('the worker left nothing', () => openFds() <= before);
    assert.equal(
      readdirSync('/proc/self/task').filter(
        (id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8') === 'x0transmit\n',
      ).length,
      0,
    );
    let passed = 0;
    const receiver = native().openPacket({
      ifindex: b.index,
      ethertype: 0x88b5,
      onFrame: () => passed++,
      onError() {},
    });
    receiver.send(frame(1), a.index);
    await until('no longer dropped', () => passed === 1);
    receiver.close();
    route.close();
  },
};

export const TRANSMIT_SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  async 'transmitter: frames leave on time and in order while JavaScript is busy, and come back stamped'() {
    const { a, b, route } = await veth();
    const shim = native();
    const heard: { last: number; at: number }[] = [];
    const receiver = shim.openPacket({
      ifindex: b.index,
      ethertype: 0x88b5,
      timestamps: true,
      onFrame: (bytes, _index, _type, at) => heard.push({ last: bytes[59]!, at }),
      onError() {},
    });
    const sent: { ticket: number; at: number; stamped: boolean }[] = [];
    const transmitter = shim.openTransmitter({
      priority: 20,
      onSent: (ticket, at, stamped) => sent.push({ ticket, at, stamped }),
      onFailed: (_ticket, _at, code) => assert.fail(code),
    });
    assert.equal(typeof transmitter.realtime, 'boolean');
    // Given in reverse, 1 ms apart, while this thread does not come to rest until long after the last one. On a machine
    // so busy that the first was due before all were given in, nothing is asked of their order: once more, with more time.
    const due = new Map<number, number>();
    let start = 0;
    for (let lead = 20e6; ; lead *= 5) {
      start = shim.now() + lead;
      for (let i = 49; i >= 0; i--) due.set(transmitter.send(frame(i), a.index, start + i * 1e6), start + i * 1e6);
      const inTime = shim.now() < start;
      if (inTime) while (shim.now() < start + 70e6);
      await until('all 50', () => sent.length === 50 && heard.length === 50);
      if (inTime) break;
      assert.ok(lead < 5e9, 'this machine takes seconds for 50 calls');
      sent.length = 0;
      heard.length = 0;
      due.clear();
    }
    assert.deepEqual(
      heard.map((one) => one.last),
      Array.from({ length: 50 }, (_, i) => i),
    );
    assert.deepEqual(
      sent.map((one) => one.ticket),
      [...due.keys()].reverse(),
    );
    const late = sent.map(({ ticket, at }) => at - due.get(ticket)!).sort((x, y) => x - y);
    assert.ok(late[0]! >= 0, `never early: ${late[0]}`);
    assert.ok(late[25]! < 5e6 * SLOW * SLOW, `on time, the machine's load allowing: median ${late[25]} ns late`);
    for (const [i, { at, stamped }] of sent.entries()) {
      assert.ok(stamped, 'veth stamps what it sends');
      assert.ok(heard[i]!.at >= at - 2000, `heard ${heard[i]!.at - at} ns after it was sent`);
    }
    transmitter.close();
    receiver.close();
    route.close();
  },

  async 'transmitter: too late, cancelled, refused, too many, and closed with frames that wait'() {
    const { a, route } = await veth();
    const shim = native();
    const fds = await settledFds();
    const told: (readonly [number, string])[] = [];
    const transmitter = shim.openTransmitter({
      onSent: (ticket) => told.push([ticket, 'sent']),
      onFailed: (ticket, at, code) => {
        assert.ok(at > 0);
        told.push([ticket, code]);
      },
    });
    assert.equal(transmitter.realtime, false);
    const now = shim.now();
    const past = transmitter.send(frame(1), a.index, now - 2e6);
    const late = transmitter.send(frame(2), a.index, now - 2e6, now - 1e6);
    const soon = transmitter.send(frame(3), a.index, now + 30e6, now + 10e9);
    const nowhere = transmitter.send(frame(4), 4711, 0);
    const cancelled = transmitter.send(frame(5), a.index, now + 20e9);
    const far = transmitter.send(frame(6), a.index, 8e18);
    assert.equal(transmitter.cancel(cancelled), true);
    assert.equal(transmitter.cancel(cancelled), false);
    await until('all told', () => told.length === 4);
    assert.deepEqual(
      told.toSorted(([x], [y]) => x - y),
      [
        [past, 'sent'],
        [late, 'ETIME'],
        [soon, 'sent'],
        [nowhere, 'ENXIO'],
      ],
    );
    assert.equal(transmitter.cancel(past), false);
    await rt.change(route, rt.encodeSetUp('a0', false), 'down');
    const down = transmitter.send(frame(7), a.index, 0);
    await until('ENETDOWN', () => told.some(([ticket, code]) => ticket === down && code === 'ENETDOWN'));

    for (let i = 0; i < 63; i++) transmitter.send(frame(i), a.index, now + 1e12);
    assert.throws(() => transmitter.send(frame(0), a.index, now), { code: 'ENOBUFS' });
    assert.equal(transmitter.cancel(far), true);
    transmitter.send(frame(0), a.index, now + 1e12);

    const bytes = frame(1);
    for (const bad of [
      () => transmitter.send(Buffer.alloc(13), a.index, 0),
      () => transmitter.send(Buffer.alloc(65537), a.index, 0),
      () => transmitter.send(bytes, 0, 0),
      () => transmitter.send(bytes, a.index, Number.NaN),
      () => transmitter.send(bytes, a.index, -1),
      () => transmitter.send(bytes, a.index, Number.POSITIVE_INFINITY),
      () => transmitter.send(bytes, a.index, 0, 'x' as never),
      () => transmitter.send('x' as never, a.index, 0),
      () => transmitter.cancel('x' as never),
      () => shim.openTransmitter({ onSent() {} } as never),
      () => shim.openTransmitter({ priority: 100, onSent() {}, onFailed() {} }),
    ])
      assert.throws(bad, TypeError);
    transmitter.close();
    transmitter.close();
    assert.throws(() => transmitter.send(bytes, a.index, 0), { code: 'EBADF' });
    for (let i = 0; i < 30; i++) shim.openTransmitter({ onSent() {}, onFailed() {} }).close();
    // Closed in its own callback, with more to tell.
    await rt.change(route, rt.encodeSetUp('a0', true), 'up');
    let calls = 0;
    const last = shim.openTransmitter({
      onSent: () => {
        calls++;
        last.close();
      },
      onFailed() {},
    });
    for (let i = 0; i < 10; i++) last.send(bytes, a.index, 0);
    await until('called', () => calls > 0);
    await pause(20 * SLOW);
    assert.equal(calls, 1);
    await until('nothing left open', () => openFds() === fds);
    route.close();
  },

  async 'a packet socket counts what it had no room for'() {
    const { a, b, route } = await veth();
    let frames = 0;
    const receiver = native().openPacket({
      ifindex: b.index,
      ethertype: 0x88b5,
      rcvbuf: 4096,
      timestamps: true,
      onFrame: () => frames++,
      onError: (code) => assert.fail(code),
    });
    receiver.sendMany(Array.from({ length: 500 }, (_, i) => [frame(i & 255), a.index] as const));
    const { received, dropped } = receiver.statistics();
    assert.equal(received, 500);
    assert.ok(dropped > 0 && dropped < 500, `${dropped} dropped`);
    await until('the rest', () => frames === 500 - dropped);
    assert.deepEqual(receiver.statistics(), { received: 0, dropped: 0 });
    receiver.close();
    route.close();
  },
};

if (process.argv[1] === import.meta.filename) {
  const scenario = { ...BPF_SCENARIOS, ...TRANSMIT_SCENARIOS }[process.argv[2] ?? ''];
  assert.ok(scenario, 'no such scenario');
  await scenario();
}
