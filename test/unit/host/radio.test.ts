/** The watch over radios, on what a live kernel has said (test/data/netlink/radio-ibss-6.1.json). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Log } from '../../../agent/core/log.ts';
import type { Native, NetlinkOptions } from '../../../agent/host/native.ts';
import { eachMessage, NLM_F_DUMP, NLMSG_HEADER, stamp } from '../../../agent/host/netlink/message.ts';
import { watchRadios } from '../../../agent/host/radio.ts';
import type { RadioCapture } from '../../lab/iw-agreement.ts';
import { Script, until } from './help.ts';

const FILE = new URL('../../data/netlink/radio-ibss-6.1.json', import.meta.url);
const capture = JSON.parse(readFileSync(FILE, 'utf8')) as RadioCapture;
const SILENT = '02:00:00:00:01:01';
const DELETED = '02:00:00:00:03:01';
/** The number of radio0 in the recording. */
const INDEX = 2;

/** A kernel that answers as it did then: the family, and its stations as often as they are asked for. */
function replay() {
  const sockets = new Set<NetlinkOptions>();
  const looks = { count: 0 };
  let events: NetlinkOptions | undefined;
  const native = {
    now: () => 0,
    openNetlink(options: NetlinkOptions) {
      sockets.add(options);
      return {
        send(message: Uint8Array) {
          const view = new DataView(message.buffer, message.byteOffset);
          const dump = (view.getUint16(6, true) & NLM_F_DUMP) === NLM_F_DUMP;
          if (dump) looks.count++;
          for (const hex of (dump ? capture.stations : capture.family).datagrams) {
            const bytes = Buffer.from(hex, 'hex');
            eachMessage(bytes, (_type, _flags, _sequence, start) =>
              stamp(bytes.subarray(start - NLMSG_HEADER), view.getUint32(8, true), 0),
            );
            setImmediate(() => sockets.has(options) && options.onMessages(bytes));
          }
        },
        addMembership: () => {
          events = options;
        },
        dropMembership() {},
        close: () => sockets.delete(options),
        ref() {},
        unref() {},
      };
    },
  } as unknown as Native;
  return {
    native,
    sockets,
    looks,
    happen: () => {
      for (const hex of capture.events.datagrams) events!.onMessages(Buffer.from(hex, 'hex'));
    },
    lose: () => events!.onOverrun(),
  };
}

async function scene(t: TestContext, interfaces: () => readonly number[]) {
  const kernel = replay();
  const said: string[] = [];
  const looks: (readonly string[])[] = [];
  const radios = (await watchRadios({
    native: kernel.native,
    log: new Log('error', () => {}),
    interfaces,
    onEvidence: ({ interface: index, neighbour, what, count }) =>
      said.push(`${index} ${neighbour} ${what} ${count ?? ''}`),
    onStations: (stations) => looks.push(stations.map(({ station }) => station)),
  }))!;
  t.after(() => radios.close());
  return { kernel, said, looks, radios };
}

test('lost packets and lost stations of our radios are evidence', async (t) => {
  const { kernel, said } = await scene(t, () => [INDEX]);
  kernel.happen();
  assert.deepEqual(said, [`${INDEX} ${SILENT} packets-lost 50`]);
  await until('the station', () => said.length === 2);
  assert.equal(said[1], `${INDEX} ${DELETED} station-gone `);
});

test('what other radios lose is none, nor what is lost with the interface', async (t) => {
  let interfaces = [INDEX];
  const { kernel, said } = await scene(t, () => interfaces);
  interfaces = [INDEX + 1];
  kernel.happen();
  interfaces = [INDEX];
  kernel.happen();
  said.length = 0;
  interfaces = [];
  await pause(60);
  assert.deepEqual(said, []);
});

test('stations are looked at when asked, and when events were lost; one look at a time', async (t) => {
  const { kernel, looks, radios } = await scene(t, () => [INDEX]);
  radios.look();
  radios.look();
  await until('a look', () => looks.length === 1);
  assert.deepEqual([...looks[0]!].sort(), [SILENT, DELETED]);
  kernel.lose();
  await until('another', () => looks.length === 2);
  assert.equal(kernel.looks.count, 2);
});

test('after the end nothing is told, and no socket stays open', async (t) => {
  const { kernel, said, looks, radios } = await scene(t, () => [INDEX]);
  kernel.happen();
  radios.look();
  radios.close();
  said.length = 0;
  await pause(60);
  assert.deepEqual([said, looks, kernel.sockets.size], [[], [], 0]);
});

test('a kernel without Wi-Fi', async () => {
  const script = new Script();
  script.batadv = false;
  const watched = await watchRadios({
    native: script.native,
    log: new Log('error', () => {}),
    interfaces: () => [INDEX],
    onEvidence: () => assert.fail(),
    onStations: () => assert.fail(),
  });
  assert.equal(watched, null);
  assert.equal(script.open.size, 0);
});
