import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diff, settle } from '../../../agent/config/load.ts';
import { ownPorts, type Sight, Trial, toBeTried } from '../../../agent/config/trial.ts';
import type { Mac } from '../../../agent/core/ids.ts';
import { SECOND } from '../../../agent/core/time.ts';
import { connected } from '../../../agent/host/people.ts';

const A = '02:00:00:00:00:0a' as Mac;
const B = '02:00:00:00:00:0b' as Mac;
const C = '02:00:00:00:00:0c' as Mac;
const ME = '192.0.2.7';
const START = 1000 * SECOND;

interface Look {
  /** Seconds since the change. */
  readonly at: number;
  /** Who was heard last when, in seconds since the change. */
  readonly heard?: Readonly<Partial<Record<Mac, number>>>;
  readonly answered?: readonly string[];
  readonly connected?: readonly string[];
}

function play(before: { routers?: Mac[]; people?: string[] }, looks: readonly Look[], within = 60): string[] {
  const trial = new Trial({ routers: before.routers ?? [], people: before.people ?? [] }, START, within * SECOND);
  return looks.map(({ at, heard = {}, answered = [], connected = before.people ?? [] }) => {
    const routers = new Map(Object.entries(heard).map(([mac, s]) => [mac as Mac, START + s! * SECOND]));
    const sight: Sight = { routers, answered, connected };
    const found = trial.look(sight, START + at * SECOND);
    return found.verdict === 'revert' ? `revert: ${found.why}` : found.verdict;
  });
}

describe('the mesh is the judge', () => {
  test('all is well: kept at the end and not before', () => {
    const looks = [1, 30, 59, 60].map((at) => ({ at, heard: { [A]: at, [B]: at } }));
    assert.deepEqual(play({ routers: [A, B] }, looks), ['waiting', 'waiting', 'waiting', 'kept']);
  });
  test('all lost, also where the tables go on showing them as they were', () => {
    const looks = [1, 30, 60].map((at) => ({ at, heard: { [A]: 0.5, [B]: -3 } }));
    const said = 'revert: none of the 2 routers that were reached before is reached';
    assert.deepEqual(play({ routers: [A, B] }, looks), ['waiting', 'waiting', said]);
  });
  test('lost, and back in time: a restart of the radio takes a while', () => {
    const looks = [{ at: 5 }, { at: 30 }, { at: 50, heard: { [A]: 49 } }, { at: 60, heard: { [A]: 59 } }];
    assert.equal(play({ routers: [A, B] }, looks).at(-1), 'kept');
  });
  test('there at first, lost later', () => {
    const looks = [
      { at: 5, heard: { [A]: 5 } },
      { at: 60, heard: { [A]: 20 } },
    ];
    assert.match(play({ routers: [A] }, looks).at(-1)!, /^revert: the one router that was reached before is lost$/);
  });
  test('heard in the last third counts', () => {
    assert.equal(play({ routers: [A] }, [{ at: 60, heard: { [A]: 40.1 } }])[0], 'kept');
    assert.match(play({ routers: [A] }, [{ at: 60, heard: { [A]: 39 } }])[0]!, /revert/);
  });
  test('strangers do not make up for those who are lost', () => {
    assert.match(play({ routers: [A] }, [{ at: 60, heard: { [C]: 60 } }])[0]!, /revert/);
  });
  test('one of many is enough: others may have been switched off', () => {
    assert.equal(play({ routers: [A, B, C] }, [{ at: 60, heard: { [C]: 58 } }])[0], 'kept');
  });
  test('a short trial still looks at five seconds', () => {
    assert.equal(play({ routers: [A] }, [{ at: 6, heard: { [A]: 2 } }], 6)[0], 'kept');
  });
});

describe('whoever made it', () => {
  test('answers: kept', () => {
    const looks = [{ at: 50, answered: [ME] }, { at: 60 }];
    assert.deepEqual(play({ people: [ME] }, looks), ['waiting', 'kept']);
  });
  test('holds the connection and answers no more: taken back', () => {
    const looks = [{ at: 5, answered: [ME] }, { at: 60 }];
    assert.match(
      play({ people: [ME] }, looks).at(-1)!,
      /^revert: 192\.0\.2\.7 was logged in, still is, and answers no more$/,
    );
  });
  test('has logged out: nobody is cut off', () => {
    assert.equal(play({ people: [ME] }, [{ at: 60, connected: [] }])[0], 'kept');
  });
  test('one of two is enough', () => {
    assert.equal(play({ people: [ME, '192.0.2.8'] }, [{ at: 55, answered: ['192.0.2.8'] }, { at: 60 }]).at(-1), 'kept');
  });
  test('the mesh is well, the person is not: taken back', () => {
    assert.match(play({ routers: [A], people: [ME] }, [{ at: 60, heard: { [A]: 60 } }])[0]!, /revert: 192/);
  });
});

test('without a judge there is no trial', () => {
  assert.equal(Trial.hasJudge({ routers: [], people: [] }), false);
  assert.equal(Trial.hasJudge({ routers: [A], people: [] }), true);
  assert.equal(Trial.hasJudge({ routers: [], people: [ME] }), true);
});

test('which changes are tried', () => {
  const { config } = settle('', 'x');
  const changed = (section: string, option: string, value: string): boolean =>
    toBeTried(diff(config, settle(`config ${section} '${section}'\n\toption ${option} '${value}'\n`, 'x').config));
  const cases: readonly (readonly [string, string, string, boolean])[] = [
    ['log', 'level', 'debug', false],
    ['state', 'size_limit', '4096', false],
    ['report', 'http_port', '8081', false],
    ['mesh', 'revert_after', '30', false],
    ['mesh', 'node_name', 'n', false],
    ['mesh', 'orig_interval', '500', true],
    ['mesh', 'interface', 'bat1', true],
    ['heal', 'detach', '0', true],
    ['bpf', 'generic', '0', true],
  ];
  for (const [section, option, value, expected] of cases)
    assert.equal(changed(section, option, value), expected, `${section}.${option}`);
});

const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const row = (local: string, remote: string, state: string): string =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n`;
const any = '00000000:0000';

test('programs and routers that connect to the agent are nobody who is logged in', () => {
  const { config } = settle(
    "config peer 'peer'\n\toption port '4000'\nconfig report 'report'\n\toption http_port '8088'\n\toption metrics_port '9100'\n",
    'x',
  );
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');
  const ports = [4000, 8088, 9100, 22];
  const table = [
    head,
    ...ports.map((port) => row(`00000000:${hex(port)}`, any, '0A')),
    ...ports.map((port, i) => row(`010200C0:${hex(port)}`, `0${i + 1}0300C0:D431`, '01')),
  ].join('');
  const read = (file: string): string => (file.endsWith('6') ? '' : table);
  assert.deepEqual(connected(ownPorts(config), read), ['192.0.3.4'], 'by SSH');
});

test('who is logged in, from /proc/net/tcp', () => {
  const tcp = [
    head,
    row('00000000:0016', any, '0A'),
    row('0100007F:1F90', any, '0A'),
    row('010200C0:0016', '070200C0:D431', '01'), // 192.0.2.7, in an SSH session
    row('010200C0:0016', '080200C0:D431', '04'), // our end has closed, it has not heard of that
    row('010200C0:0016', '090200C0:D431', '06'), // TIME_WAIT: gone
    row('0100007F:0016', '0100007F:D431', '01'), // this router itself
    row('010200C0:1F90', '0A0200C0:D431', '01'), // a page of ours
    row('010200C0:D000', '0B0200C0:0016', '01'), // outgoing
    'garbage\n   1: zz\n',
  ].join('');
  const six = 'B80D0120000000000000000001000000';
  const mapped = '0000000000000000FFFF0000070200C0';
  const tcp6 = [
    head,
    row(`${'0'.repeat(32)}:0050`, `${'0'.repeat(32)}:0000`, '0A'),
    row(`${six}:0050`, `${six.replace('01000000', '05000000')}:C000`, '01'),
    row(`${mapped}:0016`, `${mapped}:C001`, '01'),
  ].join('');
  const read = (file: string): string => (file.endsWith('6') ? tcp6 : tcp);
  assert.deepEqual(connected([8080], read), ['192.0.2.7', '192.0.2.8', '2001:db8::5']);
  assert.deepEqual(connected([8080, 22], read), ['2001:db8::5']);
  assert.deepEqual(
    connected([], () => ''),
    [],
  );
  const many = [
    row('00000000:0016', any, '0A'),
    ...Array.from({ length: 99 }, (_, i) =>
      row('010200C0:0016', `${i.toString(16).padStart(2, '0').toUpperCase()}0300C0:D431`, '01'),
    ),
  ];
  assert.equal(connected([], (file) => (file.endsWith('6') ? '' : many.join(''))).length, 8);
});
