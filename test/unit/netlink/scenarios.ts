/**
 * What the shim and the connection do on this machine's own kernel, each scenario in a network namespace of its own:
 * `unshare -n node scenarios.ts NAME`. Run by kernel.test.ts; ends non-zero where an assertion fails.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { AgentError } from '../../../agent/core/errors.ts';
import type { Link } from '../../../agent/core/kernel.ts';
import { ETH_P_ALL, native, PACKET_OUTGOING, undoHelperPath } from '../../../agent/host/native.ts';
import { type ConnectionOptions, openConnection } from '../../../agent/host/netlink/connection.ts';
import { getFamily } from '../../../agent/host/netlink/genetlink.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE } from '../../../agent/host/netlink/message.ts';
import {
  dumpRoutes,
  encodeDeleteRoute,
  encodeRefuse,
  encodeRefuseNot,
  encodeReplaceRoute,
  MAIN_TABLE,
} from '../../../agent/host/netlink/routes.ts';
import * as rt from '../../../agent/host/netlink/rtnetlink.ts';
import { encodeArm, encodeDisarm, encodeDismiss, startUndoHelper } from '../../../agent/host/netlink/undo.ts';
import { Caller } from '../../../agent/host/workload/caller.ts';

/** valgrind 3.19 (Debian 12) knows no pidfd_open: under it the shim is on a kernel before 5.3. */
const HAS_PIDFD_OPEN = !(process.env.X0_TEST_RUNNER ?? '').includes('valgrind');
/** How many times longer everything may take: under valgrind (tools/native.ts). */
export const SLOW = Number(process.env.X0_TEST_SLOW ?? 1);

const openRoute = (more: Partial<ConnectionOptions> = {}) =>
  openConnection({ native: native(), protocol: NETLINK_ROUTE, timeoutMs: 5000 * SLOW, ...more });

export async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 5000): Promise<void> {
  const end = Date.now() + ms * SLOW;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `in time: ${what}`);
    await pause(5);
  }
}

export async function veth(route = openRoute()) {
  await rt.change(route, rt.encodeCreateVeth('a0', 'b0', '02:00:00:00:00:0a', '02:00:00:00:00:0b'), 'create');
  await rt.change(route, rt.encodeSetUp('a0', true), 'up');
  await rt.change(route, rt.encodeSetUp('b0', true), 'up');
  const a = await rt.getLink(route, 'a0');
  const b = await rt.getLink(route, 'b0');
  assert.ok(a && b);
  return { route, a, b };
}

/** An Ethernet frame of the local experimental ethertype. */
export function frame(last: number): Buffer {
  const out = Buffer.alloc(60, 0x55);
  Buffer.from('02000000000b02000000000a88b5', 'hex').copy(out);
  out[59] = last;
  return out;
}

export const openFds = () => readdirSync('/proc/self/fd').length;

/** What is open once Node has closed what it opened to begin. */
export async function settledFds(): Promise<number> {
  let [count, same] = [openFds(), 0];
  while (same < 10) {
    await pause(10 * SLOW);
    const now = openFds();
    same = now === count ? same + 1 : 0;
    count = now;
  }
  return count;
}

/** Connects to a path, says its own number, and then exits, sleeps, or becomes another program when it is told to. */
const CALL = `
  use Socket; $| = 1; my ($path, $then) = @ARGV;
  socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die $!; connect($s, sockaddr_un($path)) or die $!; print "$$";
  exit 0 if $then eq 'exit'; <STDIN> if $then eq 'wait'; exec 'sleep', '60' if $then eq 'wait'; sleep 60;`;

function calling(path: string, then: string) {
  return spawn('perl', ['-e', CALL, path, then], { stdio: ['pipe', 'ignore', 'inherit'] });
}

export const SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  async 'links: create, change, enslave, delete, and the events of it'() {
    const route = openRoute();
    const seen: Link[] = [];
    const gone: string[] = [];
    const stop = rt.subscribeLinks(route, {
      onChange: (link) => seen.push(link),
      onGone: (_index, name) => gone.push(name),
      onResync: () => assert.fail('nothing was lost'),
    });
    const { a, b } = await veth(route);
    assert.equal(a.kind, 'veth');
    assert.equal(a.mac, '02:00:00:00:00:0a');
    assert.equal(b.mac, '02:00:00:00:00:0b');
    assert.equal(a.peer, b.index);
    assert.equal(b.peer, a.index);
    await until('carrier', () => seen.some((link) => link.name === 'a0' && link.up && link.carrier));
    await rt.change(route, rt.encodeCreateBridge('br0', '02:00:00:00:00:0c'), 'bridge');
    const bridge = await rt.getLink(route, 'br0');
    assert.equal(bridge?.kind, 'bridge');
    assert.equal(bridge?.mac, '02:00:00:00:00:0c');
    await rt.change(route, rt.encodeSetMaster('a0', bridge!.index), 'enslave');
    assert.equal((await rt.getLink(route, a.index))?.master, bridge!.index);
    await rt.change(route, rt.encodeSetMaster(a.index, 0), 'release');
    await pause(20);
    assert.deepEqual(gone, [], 'leaving a bridge is no disappearance');
    assert.equal((await rt.getLink(route, a.index))?.master, 0);
    await rt.change(route, rt.encodeSetMtu('b0', 1400), 'mtu');
    await rt.change(route, rt.encodeSetMac('b0', '02:00:00:00:00:0d'), 'mac');
    const links = await rt.dumpLinks(route);
    assert.deepEqual(links.map((link) => link.name).sort(), ['a0', 'b0', 'br0', 'lo']);
    const changed = links.find((link) => link.name === 'b0');
    assert.equal(changed?.mtu, 1400);
    assert.equal(changed?.mac, '02:00:00:00:00:0d');
    await rt.change(route, rt.encodeDeleteLink('a0'), 'delete');
    await until('both ends gone', () => gone.length === 2);
    assert.deepEqual(gone.sort(), ['a0', 'b0']);
    assert.equal(await rt.getLink(route, 'a0'), undefined);
    assert.equal(await rt.getLink(route, 4711), undefined);
    stop();
    route.close();
  },

  async 'addresses of both families are added, listed, deleted'() {
    const { route, a } = await veth();
    const addresses = [
      { family: 4, address: '10.1.2.3', prefix: 24 },
      { family: 6, address: 'fd00::1:0:2', prefix: 64 },
    ] as const;
    for (const address of addresses) await rt.change(route, rt.encodeAddAddress(a.index, address), 'add');
    const rows = (await rt.dumpAddresses(route)).filter((row) => row.index === a.index && row.scope === 0);
    assert.deepEqual(
      rows.map(({ family, address, prefix, permanent }) => ({ family, address, prefix, permanent })),
      addresses.map((address) => ({ ...address, permanent: true })),
    );
    for (const address of addresses) await rt.change(route, rt.encodeDeleteAddress(a.index, address), 'delete');
    assert.equal((await rt.dumpAddresses(route)).filter((row) => row.index === a.index && row.scope === 0).length, 0);
    await rt.dumpIpNeighbours(route);
    route.close();
  },

  async 'whoever is asked for and does not answer has failed'() {
    const { route, a } = await veth();
    await rt.change(route, rt.encodeAddAddress(a.index, { family: 4, address: '10.1.2.3', prefix: 24 }), 'add');
    const FAILED = 0x20;
    const stateOf = async (address: string) =>
      (await rt.dumpIpNeighbours(route)).find((row) => row.index === a.index && row.address === address)?.state ?? 0;
    await rt.change(route, rt.encodeUseIpNeighbour(a.index, '10.1.2.9'), 'ask');
    let state = 0;
    const end = Date.now() + 10_000;
    while (state !== FAILED && Date.now() < end) {
      await pause(100);
      state = await stateOf('10.1.2.9');
    }
    assert.equal(state, FAILED);
    route.close();
  },

  async 'a refusal carries the errno and the words of the kernel'() {
    const route = openRoute();
    await assert.rejects(rt.change(route, rt.encodeCreateVeth('a-name-that-is-too-long', 'b0'), 'create'), (error) => {
      assert.ok(error instanceof AgentError);
      assert.equal(error.code, 'E_NETLINK');
      assert.equal(error.detail.errno, 'ERANGE');
      assert.match(String(error.detail.words), /policy/);
      return true;
    });
    const refused = await new Promise<AgentError | null>((resolve) => {
      route.send(rt.encodeDeleteLink('nothing'), 'delete', resolve);
    });
    assert.equal(refused?.detail.errno, 'ENODEV');
    route.close();
    await assert.rejects(rt.dumpLinks(route), { code: 'E_SOCKET' });
  },

  async 'many requests and dumps at once are all answered'() {
    const { route } = await veth();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        i % 4 === 0 ? rt.dumpLinks(route).then((links) => links.length) : rt.getLink(route, 'a0').then((l) => l?.name),
      ),
    );
    assert.ok(answers.every((answer, i) => answer === (i % 4 === 0 ? 3 : 'a0')));
    route.close();
  },

  async 'an urgent message is carried out before send returns'() {
    const { route } = await veth();
    const pending = rt.dumpLinks(route);
    route.send(rt.encodeSetUp('a0', false), 'down');
    assert.equal((await rt.getLink(route, 'a0'))?.up, false);
    await pending;
    route.close();
  },

  async 'more events than fit: the subscriber is told to read anew, and the socket lives'() {
    const { route } = await veth(openRoute({ eventBuffer: 4096 }));
    let resyncs = 0;
    let changes = 0;
    rt.subscribeLinks(route, { onChange: () => changes++, onGone() {}, onResync: () => resyncs++ });
    // All within one turn of the loop, so that nobody reads meanwhile.
    for (let i = 0; i < 200; i++) route.send(rt.encodeSetMtu('a0', 1000 + i), 'mtu');
    await until('told', () => resyncs > 0);
    const before = changes;
    await rt.change(route, rt.encodeSetMtu('a0', 1500), 'mtu');
    await until('events go on', () => changes > before);
    route.close();
  },

  async 'a generic-netlink family is found by name, and an unknown one is not'() {
    const generic = openConnection({ native: native(), protocol: NETLINK_GENERIC });
    const controller = await getFamily(generic, 'nlctrl');
    assert.equal(controller?.id, 16);
    assert.ok(controller.groups.has('notify'));
    assert.equal(await getFamily(generic, 'x0nothing'), undefined);
    generic.close();
  },

  async 'frames cross a veth pair in order, filtered, stamped and counted'() {
    const { a, b, route } = await veth();
    const got: { last: number; at: number; index: number }[] = [];
    const before = native().now();
    const receiver = native().openPacket({
      ifindex: b.index,
      ethertype: 0x88b5,
      timestamps: true,
      // Accept where byte 59 is not 7.
      filter: [
        [0x30, 0, 0, 59],
        [0x15, 0, 1, 7],
        [0x06, 0, 0, 0],
        [0x06, 0, 0, 0xffff],
      ],
      onFrame: (bytes, index, _type, at) => got.push({ last: bytes[59]!, at, index }),
      onError: (code) => assert.fail(code),
    });
    let outgoing = 0;
    const watcher = native().openPacket({
      ifindex: a.index,
      ethertype: ETH_P_ALL,
      onFrame: (bytes, _index, type, at) => {
        if (bytes.readUInt16BE(12) === 0x88b5 && type === PACKET_OUTGOING) outgoing++;
        assert.equal(at, 0);
      },
      onError: (code) => assert.fail(code),
    });
    const sender = native().openPacket({ ethertype: 0x88b6, onFrame() {}, onError: (code) => assert.fail(code) });
    sender.send(frame(1), a.index);
    sender.send(frame(7), a.index);
    const failed = sender.sendMany([
      ...Array.from({ length: 70 }, (_, i) => [frame(i + 100), a.index] as const),
      [frame(9), 4711],
      [frame(10), a.index],
    ]);
    assert.deepEqual(failed, [{ index: 70, code: 'ENXIO' }]);
    await until('72 frames', () => got.length === 72);
    assert.deepEqual(
      got.map((one) => one.last),
      [1, ...Array.from({ length: 70 }, (_, i) => i + 100), 10],
    );
    const after = native().now();
    assert.ok(got.every((one) => one.index === b.index && one.at > before && one.at < after));
    await until('73 outgoing', () => outgoing === 73);
    assert.deepEqual(receiver.statistics(), { received: 72, dropped: 0 });
    assert.throws(() => sender.send(Buffer.alloc(5), a.index), TypeError);
    assert.throws(() => sender.send(frame(1), 4711), { code: 'ENXIO', syscall: 'sendto' });
    assert.throws(() => sender.sendMany([[frame(1), 'a'] as never]), TypeError);
    assert.throws(() => native().openPacket({ ethertype: 0, onFrame() {}, onError() {} }), TypeError);
    assert.throws(() => native().openPacket({ ethertype: 3, filter: [[1, 2, 3, 4]], onFrame() {}, onError() {} }), {
      code: 'EINVAL',
    });
    for (const socket of [receiver, watcher, sender]) socket.close();
    assert.throws(() => sender.send(frame(1), a.index), { code: 'EBADF' });
    route.close();
  },

  async 'a packet socket outlives its interface going down and up'() {
    const { a, b, route } = await veth();
    const errors: string[] = [];
    let frames = 0;
    const receiver = native().openPacket({
      ifindex: b.index,
      ethertype: 0x88b5,
      onFrame: () => frames++,
      onError: (code) => errors.push(code),
    });
    const sender = native().openPacket({ ethertype: 0x88b6, onFrame() {}, onError() {} });
    await rt.change(route, rt.encodeSetUp('b0', false), 'down');
    await until('ENETDOWN', () => errors.includes('ENETDOWN'));
    await rt.change(route, rt.encodeSetUp('a0', false), 'down');
    assert.throws(() => sender.send(frame(1), a.index), { code: 'ENETDOWN' });
    await rt.change(route, rt.encodeSetUp('a0', true), 'up');
    await rt.change(route, rt.encodeSetUp('b0', true), 'up');
    await until('frames again', () => {
      sender.send(frame(2), a.index);
      return frames > 0;
    });
    await rt.change(route, rt.encodeDeleteLink('a0'), 'delete');
    await until('told of the end', () => errors.length >= 2);
    receiver.close();
    sender.close();
    route.close();
  },

  async 'a unix listener names its peer, replaces a stale path, respects a live one, cleans up'() {
    const dir = mkdtempSync(join(tmpdir(), 'x0-unix-'));
    chmodSync(dir, 0o755);
    const path = join(dir, 'sock');
    const calls: { pid: number; uid: number; gid: number }[] = [];
    const listen = () =>
      native().listenUnix({
        path,
        onConnection(fd, pid, uid, gid) {
          calls.push({ pid, uid, gid });
          const socket = new Socket({ fd });
          socket.on('data', (data) => socket.end(`heard ${data}`));
        },
        onError: (code) => assert.fail(code),
      });
    const first = listen();
    assert.equal(statSync(path).mode & 0o777, 0o660);
    assert.throws(listen, { code: 'EADDRINUSE' });
    await until('the second one knocked', () => calls.length === 1);
    calls.length = 0;
    const client = connect(path);
    client.write('word');
    const [answer] = await once(client, 'data');
    assert.equal(String(answer), 'heard word');
    assert.deepEqual(calls, [{ pid: process.pid, uid: process.getuid!(), gid: process.getgid!() }]);
    // Another user, as the kernel sees it.
    chmodSync(path, 0o666);
    const script = `require('net').connect(${JSON.stringify(path)}).on('connect', function () { this.end(); })`;
    const other = spawn(process.execPath, ['-e', script], { uid: 65534, gid: 65534, stdio: 'inherit', cwd: '/' });
    await once(other, 'exit');
    await until('second call', () => calls.length === 2);
    assert.deepEqual(calls[1], { pid: other.pid, uid: 65534, gid: 65534 });
    first.close();
    assert.equal(existsSync(path), false);
    // What a killed process leaves behind.
    const dead = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(path)})`]);
    await until('left behind', () => existsSync(path));
    dead.kill('SIGKILL');
    await once(dead, 'exit');
    const second = listen();
    rmSync(path);
    const successor = createServer().listen(path);
    await once(successor, 'listening');
    second.close();
    assert.equal(existsSync(path), true, "a successor's path is not ours to remove");
    successor.close();
    writeFileSync(join(dir, 'file'), '');
    assert.throws(() => native().listenUnix({ path: join(dir, 'file'), onConnection() {}, onError() {} }), {
      code: 'EEXIST',
    });
    assert.throws(() => native().listenUnix({ path: 'x'.repeat(200), onConnection() {}, onError() {} }), {
      code: 'ENAMETOOLONG',
    });
    rmSync(dir, { recursive: true });
  },

  async 'a listener hands over a pidfd of who calls, which knows when that process ends, and leaks none'() {
    const dir = mkdtempSync(join(tmpdir(), 'x0-unix-'));
    const path = join(dir, 'sock');
    const before = await settledFds();
    for (const byNumber of [false, true]) {
      const calls: { fd: number; pid: number; pidfd: number }[] = [];
      const onConnection = (fd: number, pid: number, _uid: number, _gid: number, pidfd: number) =>
        void calls.push({ fd, pid, pidfd });
      const listener = native().listenUnix({
        path,
        pidfds: true,
        byNumber,
        onConnection,
        onError: (code) => assert.fail(code),
      });
      const caller = calling(path, 'sleep');
      const ended = once(caller, 'exit');
      await until('it called', () => calls.length === 1);
      assert.equal(calls[0]!.pid, caller.pid);
      const has = !byNumber || HAS_PIDFD_OPEN;
      if (has) assert.ok(calls[0]!.pidfd >= 0 && native().lives(calls[0]!.pidfd));
      else assert.equal(calls[0]!.pidfd, -2);
      caller.kill('SIGKILL');
      if (has) await until('its end is known', () => !native().lives(calls[0]!.pidfd));
      await ended;
      caller.stdin.destroy();
      // One that has gone before it was heard: this thread waits for it, and so hears nobody meanwhile.
      execFileSync('perl', ['-e', CALL, path, 'exit']);
      await until('it is heard', () => calls.length === 2);
      const { pidfd } = calls[1]!;
      assert.ok(byNumber ? pidfd === -1 : pidfd === -1 || !native().lives(pidfd), String(pidfd));
      for (const { fd, pidfd: one } of calls) for (const open of [fd, one]) if (open >= 0) closeSync(open);
      listener.close();
    }
    let none = 0;
    const plain = native().listenUnix({
      path,
      onConnection(fd, _pid, _uid, _gid, pidfd) {
        closeSync(fd);
        none = pidfd;
      },
      onError: (code) => assert.fail(code),
    });
    execFileSync('perl', ['-e', CALL, path, 'exit']);
    await until('it is heard', () => none !== 0);
    assert.equal(none, -2, 'nobody has asked for one');
    plain.close();
    for (const bad of [-1, 1.5, '3', null, undefined, 2 ** 31])
      assert.throws(() => native().lives(bad as never), TypeError);
    assert.equal(native().lives(9999), false);
    rmSync(dir, { recursive: true });
    await until('nothing left open', () => openFds() <= before);
  },

  async 'a program that called and died is not taken for the one that has its number now, nor one that became another'() {
    const dir = mkdtempSync(join(tmpdir(), 'x0-unix-'));
    const path = join(dir, 'sock');
    const before = await settledFds();
    const callers: Caller[] = [];
    const fds: number[] = [];
    const listener = native().listenUnix({
      path,
      pidfds: true,
      onConnection(fd, pid, uid, gid, pidfd) {
        fds.push(fd);
        callers.push(new Caller(pid, uid, gid, pidfd, native().lives));
      },
      onError: (code) => assert.fail(code),
    });
    const gone = { code: 'E_CALLER', message: /has ended/ };

    // Its number is another's before it is heard: this thread hears nobody until then.
    const pid = Number(execFileSync('perl', ['-e', CALL, path, 'exit']));
    let heir = spawn('sleep', ['60']);
    for (let i = 0; heir.pid !== pid && i < 50; i++) {
      heir.kill('SIGKILL');
      // The next process of this namespace is one more.
      writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
      heir = spawn('sleep', ['60']);
    }
    assert.equal(heir.pid, pid);
    await until('it is heard', () => callers.length === 1);
    assert.equal(callers[0]!.pid, pid);
    assert.ok(existsSync(`/proc/${pid}/exe`));
    await assert.rejects(callers[0]!.facts(true), gone);
    assert.throws(() => callers[0]!.ensureAlive(), gone);
    heir.kill('SIGKILL');

    // Who dies between the look and the answer.
    const dying = calling(path, 'sleep');
    await until('it called', () => callers.length === 2);
    const facts = await callers[1]!.facts(true);
    assert.match(facts.path ?? '', /perl/);
    assert.match(facts.sha256 ?? '', /^[0-9a-f]{64}$/);
    callers[1]!.ensureAlive();
    dying.kill('SIGKILL');
    await until('its end is known', () => {
      try {
        callers[1]!.ensureAlive();
        return false;
      } catch {
        return true;
      }
    });
    await assert.rejects(callers[1]!.facts(false), gone);

    // Who becomes another program between its call and the look: that one has not called.
    const turning = calling(path, 'wait');
    await until('it called', () => callers.length === 3);
    assert.match((await callers[2]!.facts(false)).path ?? '', /perl/);
    turning.stdin.write('\n');
    await until('it is another program', () => readlinkSync(`/proc/${turning.pid}/exe`).endsWith('/sleep'));
    await assert.rejects(callers[2]!.facts(true), { code: 'E_CALLER', message: /become another program/ });
    callers[2]!.ensureAlive();
    turning.kill('SIGKILL');

    listener.close();
    for (const one of callers) one.close();
    for (const fd of fds) closeSync(fd);
    rmSync(dir, { recursive: true });
    await Promise.all([dying, turning].map((one) => one.exitCode ?? one.signalCode ?? once(one, 'exit')));
    for (const one of [dying, turning]) one.stdin.destroy();
    await until('nothing left open', () => openFds() <= before + 2);
  },

  async 'a listener without a descriptor left for who calls neither spins nor stays deaf'() {
    const dir = mkdtempSync(join(tmpdir(), 'x0-unix-'));
    const path = join(dir, 'sock');
    let [calls, errors] = [0, 0];
    const listener = native().listenUnix({
      path,
      onConnection(fd) {
        calls += 1;
        closeSync(fd);
      },
      onError(code) {
        assert.equal(code, 'EMFILE');
        errors += 1;
      },
    });
    // It does all that this process cannot while it has no descriptors. Its limit is below the number of the spare one.
    const other = spawn(
      'sh',
      [
        '-c',
        `read _; prlimit --pid ${process.pid} --nofile=4: ; ${process.execPath} -e "$1"; prlimit --pid ${process.pid} --nofile=1024: ; cat`,
        'sh',
        `require('net').connect(${JSON.stringify(path)}).on('close', () => {}); setTimeout(() => process.exit(), 1500)`,
      ],
      { stdio: ['pipe', 'inherit', 'inherit'] },
    );
    other.stdin.write('\n');
    await until('there is none', () => errors > 0);
    await pause(500);
    assert.ok(errors < 20, `${errors} wake-ups in half a second`);
    assert.equal(calls, 0);
    await until('it hears again', () => calls === 1);
    other.stdin.end();
    await once(other, 'exit');
    listener.close();
    rmSync(dir, { recursive: true });
  },

  async 'nothing leaks: descriptors of closed and of refused sockets, and those of an ended worker'() {
    const before = await settledFds();
    const shim = native();
    for (let i = 0; i < 20; i++) {
      const netlink = shim.openNetlink({ protocol: NETLINK_ROUTE, onMessages() {}, onOverrun() {}, onError() {} });
      const packet = shim.openPacket({ ethertype: 3, onFrame() {}, onError() {} });
      netlink.close();
      netlink.close();
      packet.close();
      assert.throws(() => shim.openNetlink({ protocol: NETLINK_ROUTE } as never), TypeError);
      assert.throws(() => shim.openNetlink({ protocol: 31, onMessages() {}, onOverrun() {}, onError() {} }));
      assert.throws(() => shim.openPacket({ ethertype: 3, ifindex: 4711, onFrame() {}, onError() {} }), {
        code: 'ENODEV',
      });
      assert.throws(() => shim.openPacket({ ethertype: 3, onFrame() {} } as never), TypeError);
    }
    await until('nothing left open', () => openFds() === before);
    const worker = new Worker(
      `const { createRequire } = require('node:module');
       import(${JSON.stringify(import.meta.resolve('../../../agent/host/native.ts'))}).then(({ native }) => {
         for (let i = 0; i < 20; i++) {
           native().openNetlink({ protocol: 0, onMessages() {}, onOverrun() {}, onError() {} });
           native().openPacket({ ethertype: 3, onFrame() {}, onError() {} });
         }
         require('node:worker_threads').parentPort.postMessage('open');
       });`,
      { eval: true },
    );
    await once(worker, 'message');
    assert.ok(openFds() >= before + 40);
    await worker.terminate();
    await until('the worker left nothing', () => openFds() <= before);
  },

  async 'what is of another type, too large or no whole number is refused, never rounded, cut or taken for absent'() {
    const before = await settledFds();
    const shim = native();
    const packet = { ethertype: 0x88b5, onFrame() {}, onError() {} };
    const netlink = { protocol: NETLINK_ROUTE, onMessages() {}, onOverrun() {}, onError() {} };
    const unix = { path: '/tmp/x0-refused.sock', onConnection() {}, onError() {} };
    const sent = { onSent() {}, onFailed() {} };
    const numbers = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32, 2 ** 32 + 1, 2 ** 53, '1', null, {}, 1n];
    const wrong: Record<string, readonly [(options: never) => unknown, object, Record<string, readonly unknown[]>]> = {
      packet: [
        (options) => shim.openPacket(options),
        packet,
        {
          ethertype: [undefined, 0, 65536, ...numbers],
          ifindex: [2 ** 31, ...numbers],
          snap: numbers,
          rcvbuf: numbers,
          timestamps: [1, 'yes', null],
          filter: [{}, 'ret', 7, null],
          onFrame: [undefined, null, {}],
        },
      ],
      netlink: [
        (options) => shim.openNetlink(options),
        netlink,
        { protocol: [undefined, ...numbers], rcvbuf: numbers, onError: [undefined, 1] },
      ],
      unix: [
        (options) => shim.listenUnix(options),
        unix,
        {
          mode: numbers,
          pidfds: [1, 'yes', null],
          byNumber: [0],
          path: ['', 7, undefined, '/tmp/x0-refused\u0000.sock'],
        },
      ],
      transmitter: [(options) => shim.openTransmitter(options), sent, { priority: [100, ...numbers], onSent: [null] }],
    };
    for (const [kind, [open, good, bad]] of Object.entries(wrong)) {
      for (const [name, values] of Object.entries(bad))
        for (const value of values)
          assert.throws(
            () => open({ ...good, [name]: value } as never),
            TypeError,
            `${kind}, ${name}: ${String(value)}`,
          );
      for (const none of [undefined, null, 5, 'options', []]) assert.throws(() => open(none as never), TypeError, kind);
      const trap = Object.defineProperty({ ...good }, Object.keys(bad)[0]!, {
        get() {
          throw new RangeError('from a getter');
        },
      });
      assert.throws(() => open(trap as never), RangeError, kind);
      assert.throws(() => (open as () => unknown)(), TypeError);
    }
    const [socket, route] = [shim.openPacket(packet), shim.openNetlink(netlink)];
    const transmitter = shim.openTransmitter(sent);
    for (const number of [0, ...numbers]) {
      assert.throws(() => socket.send(frame(1), number as never), TypeError);
      assert.throws(() => socket.sendMany([[frame(1), number as never]]), TypeError);
      assert.throws(() => transmitter.send(frame(1), number as never, 0), TypeError);
      assert.throws(() => route.addMembership(number as never), TypeError);
    }
    for (const number of numbers) assert.throws(() => transmitter.cancel(number as never), TypeError);
    for (const at of [-1, Number.NaN, 9e18, '1', 1n, null])
      assert.throws(() => transmitter.send(frame(1), 1, at as never), TypeError);
    const detached = new Uint8Array(60);
    structuredClone(detached, { transfer: [detached.buffer] });
    for (const bytes of [
      Buffer.alloc(13),
      detached,
      new Uint16Array(30),
      new DataView(new ArrayBuffer(60)),
      'frame',
      [],
    ])
      assert.throws(() => socket.send(bytes as never, 1), TypeError);
    for (const open of [socket, route, transmitter]) open.close();
    assert.throws(() => socket.send(frame(1), 1), { code: 'EBADF' });
    assert.throws(() => transmitter.send(frame(1), 1, 0), { code: 'EBADF' });
    await until('nothing left open', () => openFds() === before);
    assert.ok(!existsSync(unix.path));
  },

  async 'a method called on another kind of socket throws, and an exception in a callback is an uncaught one'() {
    const shim = native();
    const netlink = shim.openNetlink({ protocol: NETLINK_ROUTE, onMessages() {}, onOverrun() {}, onError() {} });
    const packet = shim.openPacket({ ethertype: 0x88b5, onFrame() {}, onError() {} });
    assert.throws(() => packet.send.call(netlink as never, frame(1), 1), TypeError);
    assert.throws(() => netlink.send.call({} as never, Buffer.alloc(20)), TypeError);
    netlink.close();
    packet.close();
    const { route, a, b } = await veth();
    const thrown = once(process, 'uncaughtException');
    const bad = shim.openPacket({
      ifindex: b.index,
      ethertype: 0x88b5,
      onFrame() {
        throw new Error('from the callback');
      },
      onError() {},
    });
    bad.send(frame(1), a.index);
    const [error] = await thrown;
    assert.equal((error as Error).message, 'from the callback');
    bad.close();
    route.close();
  },

  async 'an open socket that is unreferenced lets the process end'() {
    openRoute().unref();
    native()
      .openPacket({ ethertype: 3, onFrame() {}, onError() {} })
      .unref();
  },

  async 'undo: kill -9 of the agent, and what it armed is undone'() {
    const { route, a } = await veth();
    await rt.change(route, rt.encodeSetMtu('a0', 1400), 'mtu');
    const agent = spawn(process.execPath, [import.meta.filename, 'agent-that-arms'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface({ input: agent.stdout }), 'line');
    assert.equal(line, 'armed');
    assert.equal((await rt.getLink(route, a.index))?.mtu, 1300, 'the repair is in flight');
    assert.equal((await rt.getLink(route, a.index))?.up, false);
    agent.kill('SIGKILL');
    await until('undone', async () => {
      const link = await rt.getLink(route, a.index);
      return link?.mtu === 1400 && link.up;
    });
    assert.equal((await rt.getLink(route, 'b0'))?.up, true, 'what was disarmed is left alone');
    route.close();
  },

  async 'undo: an agent that is stopped does not keep what it armed, and one that goes on can arm again'() {
    const { route, a } = await veth();
    await rt.change(route, rt.encodeSetMtu('a0', 1400), 'mtu');
    const agent = spawn(process.execPath, [import.meta.filename, 'agent-that-arms'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: agent.stdout });
    await once(lines, 'line');
    const isAsBefore = async () => {
      const link = await rt.getLink(route, a.index);
      return link?.mtu === 1400 && link.up;
    };
    await pause(1500);
    assert.equal(await isAsBefore(), false, 'one that runs keeps it');
    agent.kill('SIGSTOP');
    await pause(1500);
    assert.equal(await isAsBefore(), false, 'a moment is nothing');
    await until('undone', isAsBefore);
    agent.kill('SIGCONT');
    agent.kill('SIGUSR2');
    await once(lines, 'line');
    assert.equal(await isAsBefore(), false, 'it repairs once more');
    agent.kill('SIGKILL');
    await until('undone again', isAsBefore);
    route.close();
  },

  async 'agent-that-arms'() {
    const route = openRoute();
    const helper = startUndoHelper(
      () => {},
      () => {},
    );
    assert.ok(helper.arm(1, NETLINK_ROUTE, rt.encodeSetMtu('a0', 1400), 0));
    await rt.change(route, rt.encodeSetMtu('a0', 1300), 'repair');
    assert.ok(helper.arm(2, NETLINK_ROUTE, rt.encodeSetUp('a0', true), 0));
    await rt.change(route, rt.encodeSetUp('a0', false), 'repair');
    helper.arm(3, NETLINK_ROUTE, rt.encodeSetUp('b0', false), 0);
    helper.disarm(3);
    process.stdout.write('armed\n');
    setInterval(() => {}, 1000);
    process.on('SIGUSR2', async () => {
      assert.ok(helper.arm(1, NETLINK_ROUTE, rt.encodeSetMtu('a0', 1400), 0));
      await rt.change(route, rt.encodeSetMtu('a0', 1300), 'repair');
      process.stdout.write('armed\n');
    });
  },

  async 'undo: nobody reads its lines, and it undoes all the same'() {
    const { route, a } = await veth();
    const folder = mkdtempSync(join(tmpdir(), 'x0-undo-'));
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const [reader, writer] = [openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK), openSync(pipe, 'w')];
    rmSync(folder, { recursive: true });
    assert.throws(() => {
      for (;;) writeSync(reader, Buffer.alloc(4096));
    }, /EAGAIN/);
    const child = spawn(undoHelperPath(), [], { stdio: ['pipe', 'ignore', writer] });
    for (const mtu of [1401, 1402]) child.stdin!.write(encodeArm(mtu, 0, rt.encodeSetMtu('a0', mtu)));
    child.stdin!.end();
    const [code] = await Promise.race([once(child, 'close'), pause(5000 * SLOW).then(() => ['still waiting'])]);
    child.kill('SIGKILL');
    assert.equal(code, 0);
    assert.equal((await rt.getLink(route, a.index))?.mtu, 1401);
    route.close();
  },

  async 'undo: reverse order, refusals said, replacing, dismissing, malformed input, deaf to signals'() {
    const { route, a } = await veth();
    const helper = async (input: readonly Uint8Array[], before: (pid: number) => unknown = () => {}) => {
      const child = spawn(undoHelperPath(), [], { stdio: ['pipe', 'inherit', 'pipe'] });
      const said: string[] = [];
      createInterface({ input: child.stderr }).on('line', (text) => said.push(text));
      for (const bytes of input) child.stdin.write(bytes);
      await before(child.pid!);
      child.stdin.on('error', () => {});
      child.stdin.end();
      const [code] = await once(child, 'close');
      return { code: code as number, said };
    };
    const mtu = (value: number) => rt.encodeSetMtu('a0', value);
    const now = async () => (await rt.getLink(route, a.index))?.mtu;

    const ordered = await helper([encodeArm(1, 0, mtu(1401)), encodeArm(2, 0, mtu(1402)), encodeArm(3, 0, mtu(1403))]);
    assert.equal(ordered.code, 0);
    assert.deepEqual(
      ordered.said.map((line) => line.match(/step (\d+).*: (.*)$/)?.slice(1)),
      [
        ['3', 'undone'],
        ['2', 'undone'],
        ['1', 'undone'],
      ],
    );
    assert.equal(await now(), 1401, 'the oldest comes last');

    const replaced = await helper([encodeArm(1, 0, mtu(1404)), encodeArm(2, 0, mtu(1405)), encodeArm(1, 0, mtu(1406))]);
    assert.deepEqual(
      replaced.said.map((line) => line.match(/step (\d+)/)?.[1]),
      ['1', '2'],
    );
    assert.equal(await now(), 1405);

    const refused = await helper([encodeArm(1, 0, mtu(1407)), encodeArm(9, 0, rt.encodeDeleteLink('nothing'))]);
    assert.equal(refused.code, 1);
    assert.match(refused.said[0]!, /step 9.*No such device/);
    assert.equal(await now(), 1407, 'the rest is still undone');

    assert.deepEqual(await helper([encodeArm(1, 0, mtu(1408)), encodeDisarm(1), encodeDisarm(7)]), {
      code: 0,
      said: [],
    });
    assert.deepEqual(await helper([encodeArm(1, 0, mtu(1408)), encodeDismiss()]), { code: 0, said: [] });
    assert.equal(await now(), 1407);

    // What waits goes last, whenever it was armed.
    const began = performance.now();
    const waited = await helper([
      encodeArm(1, 0, mtu(1408)),
      encodeArm(2, 0, mtu(1412), 300),
      encodeArm(3, 0, mtu(1413)),
    ]);
    assert.deepEqual(
      waited.said.map((line) => line.match(/step (\d+)/)?.[1]),
      ['3', '1', '2'],
    );
    assert.ok(performance.now() - began >= 300);
    assert.equal(await now(), 1412);

    const signalled = await helper([encodeArm(1, 0, mtu(1409))], async (pid) => {
      await pause(50 * SLOW * SLOW); // it may have valgrind to load first
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal);
      await pause(20);
    });
    assert.equal(signalled.code, 0);
    assert.equal(await now(), 1409);

    const long = encodeArm(2, 0, mtu(1410));
    long[0] = 0xff;
    long[1] = 0xff;
    const wrongType = encodeDisarm(1);
    wrongType[4] = 77;
    const wrongLength = encodeArm(2, 0, mtu(1410));
    wrongLength[12]! += 4;
    const idle = encodeDisarm(1);
    idle[6] = 1;
    const many = Array.from({ length: 65 }, (_, i) => encodeArm(i, 0, mtu(1411)));
    for (const [bad, value] of [
      [[long], 1420],
      [[wrongType], 1421],
      [[wrongLength], 1422],
      [[encodeArm(2, 0, mtu(1410)).subarray(0, 30)], 1423],
      [[Uint8Array.of(1, 2, 3)], 1424],
      [[encodeArm(2, 200, mtu(1410))], 1425],
      [[idle], 1426],
    ] as const) {
      const { code, said } = await helper([encodeArm(1, 0, mtu(value)), ...bad]);
      assert.equal(code, 2, said.join());
      assert.match(said[0]!, /malformed/);
      assert.equal(await now(), value, 'what was armed before is undone');
    }
    assert.equal((await helper(many)).code, 2);
    route.close();
  },

  async 'routes: replaced in one step, in any table, with the address that is sent from; a VXLAN between two addresses'() {
    const { route, a, b } = await veth();
    const lo = (await rt.getLink(route, 'lo'))!;
    await rt.change(route, rt.encodeSetUp('lo', true), 'up');
    for (const [family, address, prefix] of [
      [4, '10.99.0.1', 32],
      [6, 'fd00::1', 128],
    ] as const)
      await rt.change(route, rt.encodeAddOwnAddress(lo.index, { family, address, prefix }), 'address');
    const routes = async (to: string) =>
      (await dumpRoutes(route))
        .filter((one) => one.to === to)
        .map(({ index, table, source }) => [index, table, source]);
    for (const [to, source, table] of [
      ['10.98.0.0/16', '10.99.0.1', MAIN_TABLE],
      ['10.97.0.2/32', null, 1000],
      ['fd00:2::/64', 'fd00::1', MAIN_TABLE],
      ['0.0.0.0/0', null, 100],
    ] as const) {
      const one = { to, source, table };
      await rt.change(route, encodeReplaceRoute({ ...one, index: a.index }), 'route');
      assert.deepEqual(await routes(to), [[a.index, table, source]], to);
      await rt.change(route, encodeReplaceRoute({ ...one, index: b.index }), 'route');
      assert.deepEqual(await routes(to), [[b.index, table, source]], to);
      await rt.change(route, encodeDeleteRoute({ ...one, index: b.index }), 'route');
      assert.deepEqual(await routes(to), [], to);
    }
    // What is refused gives way to whatever else leads there, and back.
    const known = async () => (await routes('fd00:2::/64')).map(([index]) => index);
    const way = { to: 'fd00:2::/64', source: null, table: MAIN_TABLE, index: a.index };
    for (let twice = 0; twice < 2; twice++) await rt.change(route, encodeRefuse('fd00:2::/64'), 'refuse');
    assert.deepEqual(await known(), [lo.index]);
    await rt.change(route, encodeReplaceRoute(way), 'route');
    assert.deepEqual(await known(), [a.index, lo.index]);
    await rt.change(route, encodeDeleteRoute(way), 'route');
    await rt.change(route, encodeRefuseNot('fd00:2::/64'), 'refuse');
    assert.deepEqual(await known(), []);
    await assert.rejects(
      rt.change(route, encodeRefuseNot('fd00:2::/64'), 'refuse'),
      (error: AgentError) => error.detail.errno === 'ESRCH',
    );
    const ends = { local: 'fd00::1', remote: 'fd00::2', vni: 0xabcdef, port: 4789 };
    try {
      await rt.change(route, rt.encodeCreateVxlan('vx-home', ends, '02:00:00:00:00:77'), 'create');
    } catch (error) {
      if ((error as AgentError).detail.errno !== 'EOPNOTSUPP') throw error; // a kernel without VXLAN
    }
    const vxlan = await rt.getLink(route, 'vx-home');
    if (vxlan !== undefined) assert.deepEqual([vxlan.kind, vxlan.mac], ['vxlan', '02:00:00:00:00:77']);
    route.close();
  },
};

if (process.argv[1] === import.meta.filename) {
  const scenario = SCENARIOS[process.argv[2] ?? ''];
  assert.ok(scenario, 'no such scenario');
  await scenario();
}
