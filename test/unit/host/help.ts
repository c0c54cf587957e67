/** What the tests of the host share: a kernel that answers when it is told to, and a stand-in for x0undo. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Link } from '../../../agent/core/kernel.ts';
import type { Native, NetlinkOptions } from '../../../agent/host/native.ts';
import {
  join as bytes,
  nest,
  stringAttribute,
  u16Attribute,
  u32Attribute,
  u32Bytes,
} from '../../../agent/host/netlink/attributes.ts';
import {
  encodeMessage,
  NETLINK_GENERIC,
  NLM_F_DUMP,
  NLMSG_DONE,
  NLMSG_ERROR,
  stamp,
} from '../../../agent/host/netlink/message.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
const CONTROLLER = 16;
const FAMILY = 29;
export const ENOENT = 2;
export const ENODEV = 19;

export function linkOf(index: number, name: string, over: Partial<Link> = {}): Link {
  const mac = `02:00:00:00:00:${index.toString(16).padStart(2, '0')}`;
  return { index, name, mac, up: true, carrier: true, mtu: 1500, master: 0, kind: 'veth', peer: 0, ...over };
}

function linkMessage(type: number, link: Link): Uint8Array {
  const flags = (link.up ? 0x1 : 0) | (link.carrier ? 0x10000 : 0);
  return encodeMessage(
    type,
    0,
    bytes([new Uint8Array(4), u32Bytes(link.index), u32Bytes(flags), u32Bytes(0)]),
    stringAttribute(3, link.name),
    u32Attribute(4, link.mtu),
    u32Attribute(10, link.master),
    nest(18, stringAttribute(1, link.kind)),
  );
}

/** A request that waits for its answer. */
export interface Asked {
  readonly type: number;
  readonly dump: boolean;
  /** The rows, then the end. */
  rows(...links: readonly Link[]): void;
  /** 0 acknowledges. */
  errno(errno: number): void;
  /** The answer does not fit into the socket. */
  lose(): void;
}

/**
 * rtnetlink as a script: requests pile up in `asked` until the test answers them. batman-adv is there or not, and has no
 * mesh interface.
 */
export class Script {
  readonly asked: Asked[] = [];
  readonly open = new Set<NetlinkOptions | string>();
  batadv = true;
  /** Sending fails with this. */
  broken: string | null = null;
  #events: NetlinkOptions | null = null;

  readonly native = {
    openNetlink: (options: NetlinkOptions) => {
      this.open.add(options);
      return {
        portId: 1,
        send: (message: Uint8Array) => this.#take(options, message),
        addMembership: () => {
          this.#events = options;
        },
        dropMembership() {},
        close: () => this.open.delete(options),
        ref() {},
        unref() {},
      };
    },
    openPacket: () => {
      const name = `packet ${this.open.size}`;
      this.open.add(name);
      return {
        sendMany: () => [],
        statistics: () => ({ received: 0, dropped: 0 }),
        close: () => this.open.delete(name),
      };
    },
    now: () => performance.now() * 1e6,
  } as unknown as Native;

  /** The next request of this type, as soon as it comes. */
  async next(type: number): Promise<Asked> {
    await until(`a request of type ${type}`, () => this.asked.some((one) => one.type === type));
    const at = this.asked.findIndex((one) => one.type === type);
    return this.asked.splice(at, 1)[0]!;
  }

  /** An event of the kernel, read at once. */
  tell(link: Link): void {
    this.#events!.onMessages(Buffer.from(linkMessage(RTM_NEWLINK, link)));
  }

  tellGone(link: Link): void {
    this.#events!.onMessages(Buffer.from(linkMessage(RTM_DELLINK, link)));
  }

  loseEvents(): void {
    this.#events!.onOverrun();
  }

  #take(options: NetlinkOptions, message: Uint8Array): void {
    if (this.broken !== null) throw Object.assign(new Error('sendto failed'), { code: this.broken, syscall: 'sendto' });
    const view = new DataView(message.buffer, message.byteOffset);
    const [type, flags, sequence] = [view.getUint16(4, true), view.getUint16(6, true), view.getUint32(8, true)];
    const dump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
    const say = (...messages: Uint8Array[]) => {
      for (const one of messages) stamp(one, sequence, 0);
      setImmediate(() => this.open.has(options) && options.onMessages(Buffer.from(bytes(messages))));
    };
    const error = (errno: number) =>
      encodeMessage(NLMSG_ERROR, 0x100, bytes([u32Bytes(-errno >>> 0), new Uint8Array(16)]));
    const end = () => (dump ? encodeMessage(NLMSG_DONE, 0, u32Bytes(0)) : error(0));
    const asked: Asked = {
      type,
      dump,
      rows: (...links) => say(...links.map((link) => linkMessage(RTM_NEWLINK, link)), end()),
      errno: (errno) => say(error(errno)),
      lose: () => setImmediate(() => options.onOverrun()),
    };
    if (options.protocol !== NETLINK_GENERIC) this.asked.push(asked);
    else if (type !== CONTROLLER) dump ? asked.rows() : asked.errno(ENODEV);
    else if (!this.batadv) asked.errno(ENOENT);
    else
      say(
        encodeMessage(
          CONTROLLER,
          0,
          Uint8Array.of(1, 2, 0, 0),
          u16Attribute(1, FAMILY),
          stringAttribute(2, 'batadv'),
          u32Attribute(3, 1),
        ),
        error(0),
      );
  }
}

export async function until(what: string, holds: () => boolean, ms = 5000): Promise<void> {
  const end = Date.now() + ms;
  while (!holds()) {
    assert.ok(Date.now() < end, `in time: ${what}`);
    await pause(2);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return port;
}

export function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'x0-host-'));
  t.after(() => rmSync(made, { recursive: true, force: true, maxRetries: 5 }));
  return made;
}

/** A stand-in for x0undo, which is not there before install(): it keeps what it is told and says who it is. */
export function undoScene(t: TestContext) {
  const dir = folder(t);
  const program = join(dir, 'x0undo');
  const before = process.env.X0_UNDO;
  process.env.X0_UNDO = program;
  t.after(() => {
    if (before === undefined) delete process.env.X0_UNDO;
    else process.env.X0_UNDO = before;
  });
  const file = (what: string, n: number) => join(dir, `${what}-${n}`);
  return {
    program,
    /** Bytes that the n-th helper has been told. */
    told: (n: number) => (existsSync(file('told', n)) ? readFileSync(file('told', n)) : Buffer.alloc(0)),
    /** The n-th helper runs, and is listening. */
    started: (n: number) => existsSync(file('told', n)),
    pid: (n: number) => Number(readFileSync(file('pid', n), 'utf8')),
    install() {
      const script = [
        '#!/bin/sh',
        `n=1; while [ -e ${dir}/pid-$n ]; do n=$((n + 1)); done`,
        `echo $$ >${dir}/pid-$n`,
        `exec cat >${dir}/told-$n`,
      ];
      writeFileSync(program, `${script.join('\n')}\n`, { mode: 0o755 });
    },
  };
}
