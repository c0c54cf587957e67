/** The benches' pure helpers: fixtures that the machines read as meant, and how notes are paired with faults. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex } from '../../../agent/core/hex.ts';
import { heal } from '../../../agent/heal/heal.ts';
import { parseOgms } from '../../../agent/heal/ogm.ts';
import { broken } from '../../../agent/heal/surroundings.ts';
import { partitions } from '../../../agent/mesh/cuts.ts';
import { Graph } from '../../../agent/mesh/topology.ts';
import { pair } from '../../../tools/bench/detect.ts';
import { type Fixture, originatorMac, ownOgm, tablesOf } from '../../../tools/bench/fixture.ts';
import { readNote } from '../../../tools/bench/rig.ts';
import { enlarged } from '../../../tools/bench/topology.ts';

const FIXTURE: Fixture = {
  mesh: { index: 10, name: 'bat0', mac: '02:00:00:00:00:b0' },
  primary: { index: 11, name: 'primary0', mac: '02:00:00:00:00:ff' },
  ports: [1, 2, 3].map((n) => ({ index: 20 + n, name: `eth${n}`, mac: `02:00:00:00:00:0${n}` })),
  originators: 300,
};

describe('fixture', () => {
  test('every originator has one best way and a good other one', () => {
    const tables = tablesOf(FIXTURE);
    const best = tables.originators.filter((path) => path.best).map((path) => path.originator);
    assert.equal(new Set(best).size, best.length);
    assert.equal(best.length, 300 + 3);
    assert.equal(tables.originators.length, 3 * 300 + 3);
    const around = { ...heal().monitor, tables };
    const ways = broken(around, 21);
    assert.equal(ways.length, 100);
    assert.ok(ways.every(({ other }) => other === 'good'));
  });

  test('a lost port leads nowhere, and everybody has a way left', () => {
    const tables = tablesOf(FIXTURE, 22);
    assert.ok(tables.originators.every((path) => path.interface !== 22));
    assert.equal(tables.originators.filter((path) => path.best && path.originator === originatorMac(1)).length, 1);
    assert.deepEqual(
      tables.hardInterfaces.map(({ name }) => name),
      ['primary0', 'eth1', 'eth3'],
    );
  });

  test('its OGM is one', () => {
    const ogm = parseOgms(fromHex(ownOgm('02:00:00:00:00:ff', 4_294_967_295)))[0];
    assert.equal(ogm?.seqno, 4_294_967_295);
    assert.equal(ogm?.originator, '02:00:00:00:00:ff');
  });
});

describe('notes of the witness', () => {
  test('are read', () => {
    assert.deepEqual(readNote('L 1010 0 123456789'), { what: 'L', index: 1010, carrier: false, ns: 123456789 });
    assert.deepEqual(readNote('F 1510 77'), { what: 'F', index: 1510, carrier: false, ns: 77 });
  });

  test('belong to the fault before them, and to its port', () => {
    const near = new Map([
      [1510, 1010],
      [1511, 1011],
    ]);
    const notes = [
      'A 1511 900000', // of an earlier kick
      'F 1510 1000000',
      'L 1011 0 1050000', // another port
      'L 1010 1 1060000', // a change that is no loss
      'A 1511 1300000', // noted before the subscriber had the lock
      'K 1011 0 1040000',
      'K 1010 0 1080000',
      'L 1010 0 1100000',
      'L 1010 0 1200000',
      'F 1511 2000000',
      'A 1511 2100000', // at the dead port itself
    ].map(readNote);
    assert.deepEqual(pair(notes, near), [
      { saidMs: 0.08, heardMs: 0.1, actedMs: 0.3 },
      { saidMs: Number.POSITIVE_INFINITY, heardMs: Number.POSITIVE_INFINITY, actedMs: Number.POSITIVE_INFINITY },
    ]);
  });
});

test('a mesh enlarged keeps its degrees and hangs together', () => {
  const ring = Graph.of(
    Array.from({ length: 20 }, (_, i) => ({ from: `n${i}`, to: `n${(i + 1) % 20}`, cost: 1 + i })),
    ['alone'],
  );
  const four = enlarged(ring, 4);
  assert.equal(four.nodes().length, 84);
  assert.equal(four.edges().length, 4 * 20 + 3 * 2);
  assert.deepEqual(
    partitions(four).map((part) => part.length),
    [80, 1, 1, 1, 1],
  );
});
