/** What the connection makes of dumps in parts, interrupted ones, lost answers, silence: over a shim that plays the kernel. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Native, NetlinkOptions } from '../../../agent/host/native.ts';
import { join, u32Bytes } from '../../../agent/host/netlink/attributes.ts';
import { openConnection, openConnections } from '../../../agent/host/netlink/connection.ts';
import { encodeMessage, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, stamp } from '../../../agent/host/netlink/message.ts';

const TYPE = 20;
const ask = () => encodeMessage(18, 0, u32Bytes(0));

interface Socket {
  readonly options: NetlinkOptions;
  readonly sent: { seq: number; dump: boolean }[];
  closed: boolean;
  /** Answers with messages of [type, flags, sequence, payload]. */
  answer(...messages: readonly (readonly [number, number, number, Uint8Array])[]): void;
}

function scripted(onSend: (socket: Socket, seq: number, dump: boolean) => void) {
  const sockets: Socket[] = [];
  const native = {
    openNetlink(options: NetlinkOptions) {
      const socket: Socket = {
        options,
        sent: [],
        closed: false,
        answer(...messages) {
          const datagram = join(
            messages.map(([type, flags, seq, payload]) => {
              const one = encodeMessage(type, flags, payload);
              stamp(one, seq, flags);
              return one;
            }),
          );
          setImmediate(() => socket.closed || options.onMessages(Buffer.from(datagram)));
        },
      };
      sockets.push(socket);
      return {
        portId: 1,
        send(message: Uint8Array) {
          const view = new DataView(message.buffer, message.byteOffset);
          const [seq, dump] = [view.getUint32(8, true), (view.getUint16(6, true) & 0x300) === 0x300];
          socket.sent.push({ seq, dump });
          onSend(socket, seq, dump);
        },
        addMembership() {},
        dropMembership() {},
        close() {
          socket.closed = true;
        },
        ref() {},
        unref() {},
      };
    },
  } as unknown as Native;
  return { native, sockets };
}

const number = (bytes: Uint8Array, start: number) => bytes[start]!;
const row = (seq: number, value: number, flags = 0) => [TYPE, flags, seq, u32Bytes(value)] as const;
const done = (seq: number, flags = 0) => [NLMSG_DONE, flags, seq, u32Bytes(0)] as const;
const error = (seq: number, errno: number) =>
  [NLMSG_ERROR, 0x100, seq, join([u32Bytes(-errno), new Uint8Array(16)])] as const;

describe('connection', () => {
  test('a dump in several parts, with a stranger in between', async () => {
    const { native } = scripted((socket, seq) => {
      socket.answer(row(seq, 1), row(seq + 1000, 99), row(seq, 2));
      socket.answer(row(seq, 3));
      socket.answer(done(seq));
    });
    const connection = openConnection({ native, protocol: 0 });
    assert.deepEqual(await connection.dump(ask(), 'rows', number), [1, 2, 3]);
    connection.close();
  });

  test('an interrupted dump is begun anew, and nothing of the first is kept', async () => {
    let tries = 0;
    const { native } = scripted((socket, seq) => {
      if (++tries < 3) socket.answer(row(seq, 7), row(seq, 8, NLM_F_DUMP_INTR), done(seq));
      else socket.answer(row(seq, 1), done(seq));
    });
    const connection = openConnection({ native, protocol: 0 });
    assert.deepEqual(await connection.dump(ask(), 'rows', number), [1]);
    assert.equal(tries, 3);
    connection.close();
  });

  test('a dump interrupted five times is given up, and the next one runs', async () => {
    let tries = 0;
    const { native } = scripted((socket, seq) => {
      tries++;
      socket.answer(row(seq, 7), done(seq, tries <= 5 ? NLM_F_DUMP_INTR : 0));
    });
    const connection = openConnection({ native, protocol: 0 });
    await assert.rejects(connection.dump(ask(), 'rows', number), { code: 'E_NETLINK_INTERRUPTED' });
    assert.equal(tries, 5);
    assert.deepEqual(await connection.dump(ask(), 'rows', number), [7]);
    connection.close();
  });

  test('dumps run one after the other, requests beside them', async () => {
    let running = 0;
    const { native, sockets } = scripted((socket, seq, dump) => {
      if (!dump) return socket.answer(row(seq, 5), error(seq, 0));
      assert.equal(++running, 1);
      setTimeout(() => {
        running--;
        socket.answer(row(seq, 1), done(seq));
      }, 20);
    });
    const connection = openConnection({ native, protocol: 0 });
    const order: string[] = [];
    const note = (what: string) => () => order.push(what);
    await Promise.all([
      connection.dump(ask(), 'rows', number).then(note('dump 1')),
      connection.dump(ask(), 'rows', number).then(note('dump 2')),
      connection.request(ask(), 'one', number).then(note('request')),
    ]);
    assert.deepEqual(order, ['request', 'dump 1', 'dump 2']);
    assert.equal(sockets[0]!.sent.length, 3);
    connection.close();
  });

  test('silence: the request fails in time; a silent dump gets a new socket', async () => {
    let deaf = true;
    const { native, sockets } = scripted((socket, seq) => {
      if (!deaf) socket.answer(row(seq, 1), done(seq));
    });
    const connection = openConnection({ native, protocol: 0, timeoutMs: 20 });
    await assert.rejects(connection.request(ask(), 'one'), { code: 'E_NETLINK_TIMEOUT' });
    assert.equal(sockets[0]!.closed, false);
    await assert.rejects(connection.dump(ask(), 'rows', number), { code: 'E_NETLINK_TIMEOUT' });
    assert.equal(sockets[0]!.closed, true);
    deaf = false;
    assert.deepEqual(await connection.dump(ask(), 'rows', number), [1]);
    connection.close();
    assert.ok(sockets.every((socket) => socket.closed));
  });

  test('a lost answer: a change fails, a reading is asked once more, a dump goes on', async () => {
    let lost = 0;
    const { native } = scripted((socket, seq, dump) => {
      if (dump) {
        socket.answer(row(seq, 1));
        setImmediate(() => socket.options.onOverrun());
        setTimeout(() => socket.answer(done(seq)), 5);
      } else if (lost++ < 2) setImmediate(() => socket.options.onOverrun());
      else socket.answer(row(seq, 5), error(seq, 0));
    });
    const connection = openConnection({ native, protocol: 0 });
    await assert.rejects(connection.request(ask(), 'change'), {
      code: 'E_NETLINK_LOST',
      detail: { request: 'change', errno: 'ENOBUFS' },
    });
    assert.deepEqual(await connection.request(ask(), 'read', number, true), [5]);
    assert.deepEqual(await connection.dump(ask(), 'rows', number), [1]);
    connection.close();
  });

  test('a row that cannot be read fails its dump only; a datagram that cannot, what is pending', async () => {
    let what = 'row';
    const { native, sockets } = scripted((socket, seq) => {
      if (what === 'row') socket.answer(row(seq, 1), row(seq, 2), done(seq));
      else setImmediate(() => socket.options.onMessages(Buffer.of(1, 2, 3)));
    });
    const connection = openConnection({ native, protocol: 0 });
    const picky = (bytes: Uint8Array, start: number) => {
      if (bytes[start] === 1) throw new Error('cannot be read');
      return 0;
    };
    await assert.rejects(connection.dump(ask(), 'rows', picky), { code: 'E_NETLINK_DECODE' });
    assert.equal(sockets[0]!.closed, false);
    what = 'datagram';
    await assert.rejects(connection.request(ask(), 'one'), { code: 'E_NETLINK_DECODE' });
    connection.close();
  });

  test('closing fails what is pending', async () => {
    const { native } = scripted(() => {});
    const connection = openConnection({ native, protocol: 0 });
    const pending = assert.rejects(connection.request(ask(), 'one'), { code: 'E_SOCKET' });
    connection.close();
    await pending;
    assert.throws(() => connection.send(ask(), 'one'), { code: 'E_SOCKET' });
  });
});

test('both protocols, or neither: what was opened before a refusal is closed', () => {
  const whole = scripted(() => {});
  openConnections(whole.native);
  assert.ok(whole.sockets.length > 2 && whole.sockets.every(({ closed }) => !closed));
  for (let refused = 0; refused < whole.sockets.length; refused++) {
    const { native, sockets } = scripted(() => {});
    const openNetlink = (options: NetlinkOptions) => {
      if (sockets.length === refused) throw Object.assign(new Error('EMFILE'), { code: 'EMFILE', syscall: 'socket' });
      return native.openNetlink(options);
    };
    assert.throws(() => openConnections({ ...native, openNetlink }), { code: 'E_SOCKET' });
    assert.equal(sockets.length, refused);
    assert.ok(sockets.every(({ closed }) => closed));
  }
});
