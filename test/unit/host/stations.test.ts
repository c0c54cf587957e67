import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Backbone, LocalStation, RemoteStation } from '../../../agent/core/kernel.ts';
import { onOurNetworks, summedUp } from '../../../agent/host/stations.ts';

const X = '02:00:00:00:01:00';
const Y = '02:00:00:00:02:00';
const PHONE = '02:00:00:00:0c:01';
const ROAMED = 0x002;
const NEW = 0x400;

const local = (station: string, flags = 0, vid = 0): LocalStation => ({ station, vid, flags, crc32: 7 });
const remote = (station: string, originator: string, flags = 0, vid = 0): RemoteStation => {
  return { station, originator, vid, flags, crc32: 9, ttvn: 1, lastTtvn: 3, best: true };
};

test('a station of ours that another router announces is disputed', () => {
  const said = summedUp([local(PHONE)], [remote(PHONE, X), remote('02:00:00:00:0c:02', X)], [], []);
  assert.deepEqual(said, {
    local: 1,
    remote: 2,
    disputed: [[PHONE, X]],
    tables: [{ originator: X, ttvn: 3, vlans: [[0, 9]] }],
  });
});

test('what listens to a multicast group is announced by each router, and no dispute', () => {
  for (const group of ['01:00:5e:00:00:01', '33:33:00:00:00:01', 'ff:ff:ff:ff:ff:ff'])
    assert.deepEqual(summedUp([local(group)], [remote(group, X), remote(group, Y)], [], []).disputed, [], group);
});

test('one that roams, is not announced yet, or is in another VLAN, is no dispute', () => {
  assert.deepEqual(summedUp([local(PHONE, ROAMED)], [remote(PHONE, X)], [], []).disputed, []);
  assert.deepEqual(summedUp([local(PHONE)], [remote(PHONE, X, NEW)], [], []).disputed, []);
  assert.deepEqual(summedUp([local(PHONE, 0, 5)], [remote(PHONE, X)], [], []).disputed, []);
});

test('an address of this router itself that only another has is taken; while both have it, it is disputed', () => {
  const taken = (flags: number, ...own: readonly LocalStation[]) =>
    summedUp(own, [remote(PHONE, X, flags, 0x8005), remote(PHONE, Y, flags)], [PHONE, Y], []).taken;
  const rows = [
    { station: PHONE, vid: 0x8005, originator: X },
    { station: PHONE, vid: 0, originator: Y },
  ];
  assert.deepEqual(taken(0), rows);
  assert.deepEqual(taken(0, local(PHONE)), rows.slice(0, 1));
  assert.deepEqual(taken(0, local(PHONE, ROAMED)), rows);
  assert.equal(taken(ROAMED), undefined);
});

test('who avoids loops on the same LAN was heard last so long ago; this router itself does not count', () => {
  const row = (own: boolean, lastSeenMs?: number): Backbone => {
    return { backbone: X, vid: 0, crc: 1, own, ...(lastSeenMs === undefined ? {} : { lastSeenMs }) };
  };
  assert.equal(summedUp([], [], [], [row(true, 10), row(false, 9000), row(false, 4000), row(false)]).backboneMs, 4000);
  assert.equal(summedUp([], [], [], [row(true, 10)]).backboneMs, undefined);
  const many = Array.from({ length: 300_000 }, (_, i) => row(false, 300_000 - i));
  assert.equal(summedUp([], [], [], many).backboneMs, 1, 'whoever is on a LAN can invent them');
});

test('what is taken on a network that this router has not in the mesh is not its own; each is asked for once', async () => {
  const rows = [0, 0x8005, 0x8007, 0x8007].map((vid, i) => ({ station: PHONE, vid, originator: i % 2 === 0 ? X : Y }));
  const said = { local: 1, remote: 4, disputed: [], tables: [] };
  const asked: number[] = [];
  const has = async (vid: number) => {
    asked.push(vid);
    return vid === 5;
  };
  assert.deepEqual(await onOurNetworks({ ...said, taken: rows }, has), { ...said, taken: rows.slice(0, 2) });
  assert.deepEqual(asked, [5, 7]);
  assert.deepEqual(await onOurNetworks({ ...said, taken: rows.slice(2) }, has), said);
  assert.deepEqual(await onOurNetworks(said, has), said);
});

test('who announces our address on networks that are none of ours does not hide who announces it on ours', async () => {
  const foreign = Array.from({ length: 4000 }, (_, n) => remote(PHONE, X, 0, 0x8001 + n));
  for (const vid of [0, 0x8fff]) {
    const said = summedUp([local(Y, 0, vid)], [...foreign, remote(PHONE, X, 0, vid)], [PHONE], []);
    assert.ok(said.taken!.length <= 64);
    const ours = await onOurNetworks(said, async (id) => id === 0xfff);
    assert.deepEqual(ours.taken, [{ station: PHONE, vid, originator: X }]);
  }
});

test('disputes and tables are bounded, however many a neighbour announces', () => {
  const many = Array.from({ length: 3000 }, (_, n) => {
    const station = `02:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`;
    return { station, router: `0a${station.slice(2)}` };
  });
  const said = summedUp(
    many.map(({ station }) => local(station)),
    many.map(({ station, router }) => remote(station, router)),
    [],
    [],
  );
  assert.equal(said.disputed.length, 32);
  assert.equal(said.tables.length, 1024);
  assert.equal(said.remote, 3000);
});
