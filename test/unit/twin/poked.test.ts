/** What only a kernel that is wrong shows: translation tables, stuck routes, two routing algorithms; and what agents read of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex } from '../../../agent/core/hex.ts';
import type { Overheard } from '../../../agent/core/kernel.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { parseOgms, TVLV_TT, tvlvsOf } from '../../../agent/heal/ogm.ts';
import { AddressBook, type Announced, frameOf, type Ogm, ogmBytes, ogmFrameHex } from '../../../agent/twin/frames.ts';
import { Simulation } from '../../../agent/twin/simulation.ts';
import { type Story, story, type Timed } from '../../../agent/twin/story.ts';
import { Surveys } from '../../../agent/twin/surveys.ts';

const LINE = [0, 1, 2].map((n) => ({ a: n, b: n + 1 }));
const at = (s: number, fault: Timed['fault']): Timed => ({ at: s * SECOND, fault });

function played(given: Partial<Story>, untilS = 30): { simulation: Simulation; surveys: Surveys } {
  const simulation = new Simulation(
    story({ seed: 1, routers: 4, links: LINE, agents: [], surveyed: true, lengthNs: untilS * SECOND, ...given }),
  );
  simulation.run();
  return { simulation, surveys: new Surveys(null, simulation.book, simulation.scheduler) };
}

test('what hangs on an OGM is on the air as batman-adv has it, and is read back', () => {
  const book = new AddressBook();
  const originator = book.number('02:00:00:00:00:07');
  const told: Announced = { ttvn: 200, crc: 0xfedcba98, arp: true, multicast: true };
  const bare = { originator, seqno: 5, ttl: 50, flags: 0, previous: originator, mark: 0, tq: 255 };
  for (const gateway of [null, { down: 100, up: 20 }])
    for (const announced of [null, told, { ...told, arp: false }, { ...told, multicast: false }]) {
      const ogms: Ogm[] = [
        { ...bare, gateway, announced },
        { ...bare, seqno: 9, gateway: null, announced: null },
      ];
      const hex = ogmFrameHex(originator, ogms, book);
      assert.equal(hex.length / 2, 14 + ogms.reduce((sum, ogm) => sum + ogmBytes(ogm), 0));
      const frame = frameOf(hex, book);
      assert.ok(frame?.kind === 'ogm');
      assert.deepEqual(frame.ogms, ogms);
      // As an agent reads it.
      const [seen] = parseOgms(fromHex(hex));
      const tvlvs = tvlvsOf(seen!);
      const expected = [
        ...(gateway === null ? [] : [0x01]),
        ...(announced === null
          ? []
          : [TVLV_TT, ...(announced.arp ? [0x02] : []), ...(announced.multicast ? [0x06] : [])]),
      ];
      assert.deepEqual([...tvlvs.keys()], expected);
      if (announced !== null)
        assert.deepEqual([...tvlvs.get(TVLV_TT)!.slice(0, 8)], [0, 200, 0, 1, 0xfe, 0xdc, 0xba, 0x98]);
    }
});

test('each kernel has the tables of all others, and an older or another one while nothing is answered', () => {
  const tablesAt = (untilS: number, stale: 'version' | 'checksum') => {
    const { simulation, surveys } = played(
      {
        faults: [
          at(10, { kind: 'table', router: 1, of: 3, stale }),
          at(20, { kind: 'table', router: 1, of: 3, stale: null }),
        ],
      },
      untilS,
    );
    const of = simulation.routers[3]!.kernel;
    const row = (router: number) =>
      surveys
        .stations(simulation.routers[router]!.kernel)
        .tables.find(({ originator }) => originator === simulation.book.mac(of.name!));
    return { is: of.translation.local, wrong: row(1)!, right: row(0)!, own: row(3) };
  };
  const crcOf = ({ vlans }: { vlans: readonly (readonly [number, number])[] }) => vlans[0]![1];
  for (const stale of ['version', 'checksum'] as const) {
    const before = tablesAt(9, stale);
    assert.deepEqual([before.wrong.ttvn, crcOf(before.wrong)], [before.is.ttvn, before.is.crc]);
    assert.equal(before.own, undefined, 'of itself a kernel has no such table');
    const { is, wrong, right } = tablesAt(19, stale);
    assert.deepEqual([right.ttvn, crcOf(right)], [is.ttvn, is.crc], 'only one router is wrong');
    assert.equal(wrong.ttvn, stale === 'version' ? is.ttvn - 1 : is.ttvn);
    assert.notEqual(crcOf(wrong), is.crc);
    const after = tablesAt(24, stale);
    assert.deepEqual([after.wrong.ttvn, crcOf(after.wrong)], [after.is.ttvn, after.is.crc]);
  }
});

test('without a story about it OGMs tell of no stations, and nobody listens', () => {
  const { simulation, surveys } = played({ surveyed: false });
  assert.deepEqual(surveys.stations(simulation.routers[0]!.kernel).tables, []);
});

test('two routers that hold each other to be the way make a loop, until an interface costs more', () => {
  const stuck = (router: number, by: number | null) => ({ kind: 'route', router, to: 3, by }) as const;
  const loop = [at(10, stuck(1, 2)), at(10, stuck(2, 1))];
  const probes = [{ from: 0, to: 3, everyNs: SECOND / 50, fromNs: 8 * SECOND }];
  const arrived = (simulation: Simulation) => simulation.probes[0]!.filter(({ received }) => received > 0).length;
  const well = played({ probes }, 20).simulation;
  const { simulation, surveys } = played({ faults: loop, probes }, 20);
  assert.deepEqual(well.route(0, 3), [0, 1, 2, 3]);
  assert.deepEqual(simulation.route(0, 3), []);
  assert.ok(arrived(simulation) < arrived(well) / 4, `${arrived(simulation)} of ${arrived(well)}`);
  // What circles comes and goes by the cable between the two, some fifty times a packet.
  const rows = surveys.counters(simulation.routers[1]!.kernel);
  const [back, on] = ['eth0', 'eth1'].map((name) => rows.find((row) => row.name === name)!);
  assert.ok(Math.min(on!.rxPackets, on!.txPackets) > 10 * Math.max(back!.rxPackets, back!.txPackets));
  const costly =
    (router: number, name: string): Timed['fault'] =>
    () => {
      const change = { kind: 'set-hard', interface: name, settings: { hopPenalty: 240 } } as const;
      assert.equal(costed.routers[router]!.kernel.apply(change), null);
      return null;
    };
  const costed: Simulation = new Simulation(
    story({
      ...{ seed: 1, routers: 4, links: LINE, agents: [], surveyed: true, lengthNs: 20 * SECOND },
      faults: [...loop, at(12, costly(2, 'eth0'))],
    }),
  );
  costed.run();
  assert.deepEqual(costed.route(2, 3), [2, 3], 'the stuck way costs more than it is held to be worth');
  const freed = played({ faults: [...loop, at(15, stuck(1, null)), at(15, stuck(2, null))] }, 25).simulation;
  assert.deepEqual(freed.route(0, 3), [0, 1, 2, 3]);
});

test('routers of two algorithms hear each other and understand nothing', () => {
  const { simulation, surveys } = played({ tongues: new Map([[1, 'BATMAN_V']]) });
  assert.deepEqual(simulation.route(0, 1), []);
  assert.deepEqual(simulation.route(2, 3), [2, 3]);
  const heard = (router: number, name: string): number[] => {
    const { kernel } = simulation.routers[router]!;
    let said: readonly Overheard[] | null = null;
    surveys.overhear(kernel, kernel.byName(name)!.index, (all) => {
      said = all;
    });
    simulation.run(simulation.now + 4 * SECOND);
    assert.ok(said, 'who listens is told');
    return [...new Set((said as readonly Overheard[]).map(({ type }) => type))];
  };
  assert.deepEqual(heard(0, 'eth0'), [0x03, 0x04]);
  assert.deepEqual(heard(1, 'eth0'), [0x00]);
  assert.deepEqual(heard(3, 'eth0'), [0x00]);
});

test('a router that comes back with the other algorithm is alone, and is in again when it is set back', () => {
  const other = { kind: 'algorithm', router: 3, algorithm: 'BATMAN_V' } as const;
  assert.deepEqual(played({ faults: [at(10, other)] }, 20).simulation.routers[3]!.kernel.mesh?.algorithm, 'BATMAN_V');
  const back = played({ faults: [at(10, other), at(20, { ...other, algorithm: 'BATMAN_IV' })] }, 40).simulation;
  assert.deepEqual(back.route(0, 3), [0, 1, 2, 3]);
});
