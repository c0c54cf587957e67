/** What one end answers to what it is told, step by step. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MS, SECOND } from '../../../agent/core/time.ts';
import type { TunnelRequest } from '../../../agent/tunnel/message.ts';
import { type Found, type Look, Tunnel, type TunnelEffect, type TunnelEvent } from '../../../agent/tunnel/tunnel.ts';

const AGREEMENT = Buffer.from('agreement');
const ENCAPSULATION = Buffer.from('encapsulation');

class Told {
  readonly machine: Tunnel;
  now = 1000 * SECOND;

  constructor(leads: boolean, calls = true, renewNs = 120 * SECOND) {
    this.machine = new Tunnel({ leads, calls, renewNs });
  }

  tell(event: TunnelEvent): TunnelEffect[] {
    return this.machine.on(event, this.now).filter(({ type }) => type !== 'log');
  }

  /** Up to the next deadline; answers what comes then, without looks. */
  wait(): TunnelEffect[] {
    this.now = Math.max(this.now, this.machine.deadline());
    return this.tell({ type: 'tick' }).filter(({ type }) => type !== 'look');
  }

  /** Waits until something other than a look comes. */
  until(seconds: number): TunnelEffect[] {
    const end = this.now + seconds * SECOND;
    while (this.machine.deadline() <= end) {
      const effects = this.wait();
      if (effects.length > 0) return effects;
    }
    this.now = end;
    return [];
  }

  looked(...keys: readonly string[]): TunnelEffect[] {
    return this.tell({ type: 'looked', looks: keys.map((key) => look(key, 0)) });
  }

  asked(request: TunnelRequest): TunnelEffect[] {
    return this.tell({ type: 'asked', ticket: 7, request });
  }
}

const look = (key: string, handshakeNs: number | null): Look => ({
  key,
  handshakeNs,
  rxBytes: 1,
  txBytes: 2,
  endpoint: '192.0.2.1:51820',
});
const found = (more: Partial<Found>): Found => ({
  ...look('ours-1', 5 * SECOND),
  slot: 'a',
  theirs: 'theirs-1',
  isRouted: true,
  since: 900 * SECOND,
  order: 10,
  ...more,
});
const offer = (more: Partial<Extract<TunnelRequest, { step: 'offer' }>> = {}): TunnelRequest => ({
  step: 'offer',
  slot: 'a',
  wireguard: 'leader-1',
  agreement: AGREEMENT,
  uses: null,
  drops: [],
  calls: true,
  ...more,
});
const reply = (answer: object): TunnelEffect[] => [{ type: 'reply', ticket: 7, answer } as TunnelEffect];
const accepted = { step: 'accept', wireguard: 'theirs-1', encapsulation: ENCAPSULATION } as const;

/** A leader that has its first path, agreed by both. */
function leaderUp(calls = true): Told {
  const end = new Told(true, calls);
  end.tell({ type: 'found', paths: [] });
  assert.deepEqual(end.wait(), [{ type: 'key' }]);
  const [ask] = end.tell({ type: 'keyed', key: 'ours-1', agreement: AGREEMENT });
  assert.deepEqual(ask, { type: 'ask', id: 1, request: offer({ wireguard: 'ours-1', calls }) });
  const [raise] = end.tell({ type: 'answered', id: 1, answer: accepted, why: '' });
  assert.deepEqual(raise, {
    type: 'raise',
    slot: 'a',
    theirs: 'theirs-1',
    key: 'ours-1',
    agreed: ENCAPSULATION,
    calls,
    roamed: false,
  });
  const after = end.tell({ type: 'raised', theirs: 'theirs-1', key: 'ours-1', encapsulation: null });
  if (!calls) {
    assert.deepEqual(after, [{ type: 'ask', id: 2, request: { step: 'ready', wireguard: 'ours-1' } }]);
    end.tell({ type: 'answered', id: 2, answer: { step: 'heard', moved: false }, why: '' });
  }
  assert.deepEqual(end.looked(), []);
  assert.deepEqual(end.tell({ type: 'looked', looks: [look('ours-1', null)] }), []);
  assert.deepEqual(end.looked('ours-1'), [{ type: 'route', slot: 'a', key: 'ours-1' }]);
  end.tell({ type: 'routed', key: 'ours-1' });
  const id = calls ? 2 : 3;
  assert.deepEqual(end.until(1), [{ type: 'ask', id, request: { step: 'moved', wireguard: 'ours-1' } }]);
  end.tell({ type: 'answered', id, answer: { step: 'heard', moved: true }, why: '' });
  assert.deepEqual(end.until(6), [{ type: 'settle', slot: 'a' }]);
  assert.equal(end.machine.view(end.now).state, 'up');
  return end;
}

function followerUp(): Told {
  const end = new Told(false);
  end.tell({ type: 'found', paths: [] });
  const [raise] = end.asked(offer());
  assert.deepEqual(raise, {
    type: 'raise',
    slot: 'a',
    theirs: 'leader-1',
    key: null,
    agreed: AGREEMENT,
    calls: false,
    roamed: false,
  });
  const told = end.tell({ type: 'raised', theirs: 'leader-1', key: 'ours-1', encapsulation: ENCAPSULATION });
  assert.deepEqual(told, reply({ step: 'accept', wireguard: 'ours-1', encapsulation: ENCAPSULATION }));
  assert.deepEqual(end.looked('ours-1'), [], 'the leader goes first');
  assert.deepEqual(end.asked({ step: 'moved', wireguard: 'leader-1' }), [
    ...reply({ step: 'heard', moved: false }),
    { type: 'route', slot: 'a', key: 'ours-1' },
  ]);
  end.tell({ type: 'routed', key: 'ours-1' });
  assert.deepEqual(end.asked({ step: 'moved', wireguard: 'leader-1' }), reply({ step: 'heard', moved: true }));
  assert.deepEqual(end.until(6), [{ type: 'settle', slot: 'a' }]);
  return end;
}

describe('leader', () => {
  test('first path, whoever calls', () => {
    leaderUp(true);
    leaderUp(false);
  });

  test('renewal: another slot, and the old one goes when both have moved and what was under way has come', () => {
    const end = leaderUp();
    assert.deepEqual(end.until(130), [{ type: 'key' }]);
    const [ask] = end.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
    assert.deepEqual((ask as { request: object }).request, offer({ slot: 'b', wireguard: 'ours-2', uses: 'ours-1' }));
    end.tell({ type: 'answered', id: 3, answer: { ...accepted, wireguard: 'theirs-2' }, why: '' });
    end.tell({ type: 'raised', theirs: 'theirs-2', key: 'ours-2', encapsulation: null });
    assert.equal(end.machine.view(end.now).state, 'renewing');
    end.looked('ours-1', 'ours-2');
    end.tell({ type: 'routed', key: 'ours-2' });
    end.until(1);
    end.tell({ type: 'answered', id: 4, answer: { step: 'heard', moved: false }, why: '' });
    const asked = end.until(1);
    assert.deepEqual(asked, [{ type: 'ask', id: 5, request: { step: 'moved', wireguard: 'ours-2' } }]);
    end.tell({ type: 'answered', id: 5, answer: { step: 'heard', moved: true }, why: '' });
    const moved = end.now;
    assert.deepEqual(end.until(10), [
      { type: 'lower', slot: 'a' },
      { type: 'settle', slot: 'b' },
    ]);
    assert.equal(end.now - moved, 5 * SECOND);
    assert.equal(end.machine.view(end.now).renewals, 2);
  });

  test('no answer: offered again, each time later, then given up; the path in use stays', () => {
    const end = leaderUp();
    end.until(130);
    end.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
    const times: number[] = [];
    for (let id = 3; id < 7; id++) {
      times.push(end.now);
      const effects = end.tell({ type: 'answered', id, answer: null, why: 'nobody there' });
      assert.deepEqual(effects, []);
      const next = end.until(60);
      if (id < 6) assert.equal(next[0]?.type, 'ask', String(id));
      else assert.deepEqual(next, [{ type: 'forget', key: 'ours-2' }]);
    }
    assert.ok(times[2]! - times[1]! > times[1]! - times[0]!);
    const { state, trouble, failures, slot } = end.machine.view(end.now);
    assert.deepEqual([state, trouble, failures, slot], ['up', 'nobody there', 1, 'a']);
    assert.deepEqual(end.until(60), [{ type: 'key' }]);
  });

  test('no handshake: the new interface goes, nothing else', () => {
    const end = leaderUp();
    end.until(130);
    end.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
    end.tell({ type: 'answered', id: 3, answer: { ...accepted, wireguard: 'theirs-2' }, why: '' });
    end.tell({ type: 'raised', theirs: 'theirs-2', key: 'ours-2', encapsulation: null });
    assert.deepEqual(end.until(30), [{ type: 'lower', slot: 'b' }]);
    assert.equal(end.machine.active?.ours, 'ours-1');
    // The second time it also asks the other end to call, and looks where it was last.
    end.until(60);
    end.tell({ type: 'keyed', key: 'ours-3', agreement: AGREEMENT });
    const [raise] = end.tell({ type: 'answered', id: 4, answer: { ...accepted, wireguard: 'theirs-3' }, why: '' });
    assert.equal((raise as { roamed: boolean }).roamed, true);
    const [ready] = end.tell({ type: 'raised', theirs: 'theirs-3', key: 'ours-3', encapsulation: null });
    assert.deepEqual((ready as { request: object }).request, { step: 'ready', wireguard: 'ours-3' });
  });

  test('the kernel refuses: said so, tried again', () => {
    const end = leaderUp();
    end.until(130);
    end.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
    end.tell({ type: 'answered', id: 3, answer: { ...accepted, wireguard: 'theirs-2' }, why: '' });
    assert.deepEqual(end.tell({ type: 'failed', what: 'raise', why: 'EADDRINUSE' }), [{ type: 'lower', slot: 'b' }]);
    assert.equal(end.machine.view(end.now).trouble, 'EADDRINUSE');
    assert.deepEqual(end.until(60), [{ type: 'key' }]);
  });

  test('half routed: all goes back to the path in use before the new one goes', () => {
    const end = leaderUp();
    end.until(130);
    end.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
    end.tell({ type: 'answered', id: 3, answer: { ...accepted, wireguard: 'theirs-2' }, why: '' });
    end.tell({ type: 'raised', theirs: 'theirs-2', key: 'ours-2', encapsulation: null });
    end.looked('ours-2');
    assert.deepEqual(end.tell({ type: 'failed', what: 'route', why: 'ENOMEM' }), [
      { type: 'route', slot: 'a', key: 'ours-1' },
      { type: 'lower', slot: 'b' },
    ]);
  });

  test('the other end has rebooted: it asks, and gets a path; what it lost is named', () => {
    const end = leaderUp();
    assert.deepEqual(end.asked({ step: 'please' }), reply({ step: 'heard', moved: false }));
    assert.deepEqual(end.until(1), [{ type: 'key' }]);
  });

  test('a slot that the other end still has: dropped if we have no such path, kept if we have', () => {
    const end = new Told(true);
    end.tell({ type: 'found', paths: [] });
    end.wait();
    end.tell({ type: 'keyed', key: 'ours-1', agreement: AGREEMENT });
    const [again] = end.tell({ type: 'answered', id: 1, answer: { step: 'taken', by: 'old' }, why: '' });
    assert.deepEqual((again as { request: object }).request, offer({ wireguard: 'ours-1', drops: ['old'] }));
    const up = leaderUp();
    up.until(130);
    up.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
    assert.deepEqual(up.tell({ type: 'answered', id: 3, answer: { step: 'taken', by: 'ours-1' }, why: '' }), [
      { type: 'forget', key: 'ours-2' },
    ]);
  });

  test('moved, and the other end knows no such path: back to the one before, which it has', () => {
    const end = leaderUp();
    end.until(130);
    end.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
    end.tell({ type: 'answered', id: 3, answer: { ...accepted, wireguard: 'theirs-2' }, why: '' });
    end.tell({ type: 'raised', theirs: 'theirs-2', key: 'ours-2', encapsulation: null });
    end.looked('ours-2');
    end.tell({ type: 'routed', key: 'ours-2' });
    end.until(1);
    assert.deepEqual(end.tell({ type: 'answered', id: 4, answer: { step: 'unknown' }, why: '' }), [
      { type: 'route', slot: 'a', key: 'ours-1' },
      { type: 'lower', slot: 'b' },
    ]);
    assert.equal(end.machine.active?.ours, 'ours-1');
  });
});

describe('follower', () => {
  test('first path; the same offer again has the same answer, one that is spent has none', () => {
    const end = followerUp();
    assert.deepEqual(end.asked(offer()), reply({ step: 'accept', wireguard: 'ours-1', encapsulation: ENCAPSULATION }));
    end.asked(offer({ slot: 'b', wireguard: 'leader-2', uses: 'leader-1' }));
    end.tell({ type: 'raised', theirs: 'leader-2', key: 'ours-2', encapsulation: ENCAPSULATION });
    assert.deepEqual(end.asked(offer()), reply({ step: 'unknown' }));
  });

  test('an offer that comes twice while the interface is made is answered twice', () => {
    const end = new Told(false);
    end.tell({ type: 'found', paths: [] });
    end.tell({ type: 'asked', ticket: 1, request: offer() });
    assert.deepEqual(end.tell({ type: 'asked', ticket: 2, request: offer() }), []);
    const tickets = end
      .tell({ type: 'raised', theirs: 'leader-1', key: 'ours-1', encapsulation: ENCAPSULATION })
      .map((effect) => (effect as { ticket: number }).ticket);
    assert.deepEqual(tickets, [1, 2]);
  });

  test('an offer that would take the path in use away has to name it', () => {
    const end = followerUp();
    const late = offer({ wireguard: 'leader-9' });
    assert.deepEqual(end.asked(late), reply({ step: 'taken', by: 'leader-1' }));
    assert.equal(end.machine.active?.ours, 'ours-1');
    const [raise] = end.asked(offer({ wireguard: 'leader-9', drops: ['leader-1'] }));
    assert.equal(raise?.type, 'raise');
    assert.equal(end.machine.active, null);
  });

  test('it calls where the leader asks for that', () => {
    const end = new Told(false);
    end.tell({ type: 'found', paths: [] });
    end.asked(offer({ calls: false }));
    end.tell({ type: 'raised', theirs: 'leader-1', key: 'ours-1', encapsulation: ENCAPSULATION });
    assert.deepEqual(end.asked({ step: 'ready', wireguard: 'leader-1' }), [
      { type: 'call', slot: 'a' },
      ...reply({ step: 'heard', moved: false }),
    ]);
    assert.deepEqual(end.asked({ step: 'ready', wireguard: 'leader-2' }), reply({ step: 'unknown' }));
  });

  test('what never had a handshake goes after a while; what had one waits for the leader', () => {
    const end = new Told(false);
    end.tell({ type: 'found', paths: [] });
    end.asked(offer());
    end.tell({ type: 'raised', theirs: 'leader-1', key: 'ours-1', encapsulation: ENCAPSULATION });
    assert.deepEqual(end.until(60), [{ type: 'lower', slot: 'a' }]);
    const other = new Told(false);
    other.tell({ type: 'found', paths: [] });
    other.asked(offer());
    other.tell({ type: 'raised', theirs: 'leader-1', key: 'ours-1', encapsulation: ENCAPSULATION });
    other.looked('ours-1');
    assert.deepEqual(other.until(3600), []);
  });

  test('without a path it asks for one, ever more rarely', () => {
    const end = new Told(false);
    end.tell({ type: 'found', paths: [] });
    const times: number[] = [];
    for (let id = 1; id < 8; id++) {
      assert.deepEqual(end.until(100), [{ type: 'ask', id, request: { step: 'please' } }]);
      times.push(end.now);
      end.tell({ type: 'answered', id, answer: null, why: 'nobody there' });
    }
    assert.equal(times.at(-1)! - times.at(-2)!, 30 * SECOND);
    const at = end.now;
    end.tell({ type: 'reachable' });
    assert.deepEqual(end.until(100), [{ type: 'ask', id: 8, request: { step: 'please' } }]);
    assert.equal(end.now, at);
  });

  test('a leader is not asked to lead by a leader', () => {
    assert.deepEqual(followerUp().asked({ step: 'please' }), reply({ step: 'unknown' }));
    assert.deepEqual(leaderUp().asked(offer()), reply({ step: 'unknown' }));
  });
});

describe('start', () => {
  test('a path that is there is taken over, and since when is known', () => {
    const end = new Told(true);
    end.tell({ type: 'found', paths: [found({})] });
    const { state, since, slot } = end.machine.view(end.now);
    assert.deepEqual([state, since, slot], ['up', 900 * SECOND, 'a']);
    const effects = end.until(60);
    assert.deepEqual(effects, [{ type: 'ask', id: 1, request: { step: 'moved', wireguard: 'ours-1' } }]);
    end.tell({ type: 'answered', id: 1, answer: { step: 'heard', moved: true }, why: '' });
    end.until(6);
    // Its key is of 900 s, so at 1020 s.
    assert.deepEqual(end.until(60), [{ type: 'key' }]);
    assert.ok(Math.abs(end.now - 1020 * SECOND) < SECOND, String(end.now / SECOND));
  });

  test('an older one beside it goes once the other end has moved', () => {
    const end = new Told(true);
    end.tell({ type: 'found', paths: [found({}), found({ slot: 'b', key: 'ours-0', isRouted: false, order: 9 })] });
    end.until(1);
    end.tell({ type: 'answered', id: 1, answer: { step: 'heard', moved: true }, why: '' });
    assert.deepEqual(end.until(6), [
      { type: 'lower', slot: 'b' },
      { type: 'settle', slot: 'a' },
    ]);
  });

  test('a leader that does not know since when its path is in use renews it, also where the one before is still there', () => {
    const end = new Told(true);
    const before = found({ slot: 'b', key: 'ours-0', theirs: 'theirs-0', isRouted: false, order: 9 });
    end.tell({ type: 'found', paths: [found({ since: null }), before] });
    assert.deepEqual(end.until(1), [{ type: 'ask', id: 1, request: { step: 'moved', wireguard: 'ours-1' } }]);
    // The other end takes its time: the slot is not free meanwhile.
    assert.deepEqual(end.until(1), []);
    end.tell({ type: 'answered', id: 1, answer: { step: 'heard', moved: true }, why: '' });
    const effects = end.until(6);
    assert.deepEqual(effects, [{ type: 'lower', slot: 'b' }, { type: 'settle', slot: 'a' }, { type: 'key' }]);
  });

  test('a newer one was coming: a leader asks whether it still is, a follower waits to be told', () => {
    const newer = found({ slot: 'b', key: 'ours-2', theirs: 'theirs-2', isRouted: false, order: 11 });
    const leader = new Told(true);
    leader.tell({ type: 'found', paths: [found({}), newer] });
    leader.looked('ours-1', 'ours-2');
    const steps: string[] = [];
    for (let i = 0; i < 6; i++) {
      const [ask] = leader.until(2);
      if (ask?.type !== 'ask') continue;
      steps.push(`${ask.request.step} ${(ask.request as { wireguard: string }).wireguard}`);
      const moved = ask.request.step === 'moved';
      const effects = leader.tell({ type: 'answered', id: ask.id, answer: { step: 'heard', moved }, why: '' });
      if (effects.length > 0) {
        assert.deepEqual(effects, [{ type: 'route', slot: 'b', key: 'ours-2' }]);
        break;
      }
    }
    assert.equal(steps.at(-1), 'ready ours-2');
    const follower = new Told(false);
    follower.tell({ type: 'found', paths: [found({}), newer] });
    assert.deepEqual(follower.looked('ours-1', 'ours-2'), []);
    assert.deepEqual(follower.asked({ step: 'moved', wireguard: 'theirs-2' }).at(-1), {
      type: 'route',
      slot: 'b',
      key: 'ours-2',
    });
  });

  test('before it has looked it denies nothing', () => {
    assert.deepEqual(new Told(false).asked(offer()), reply({ step: 'later' }));
    const end = leaderUp();
    end.until(130);
    end.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
    assert.deepEqual(end.tell({ type: 'answered', id: 3, answer: { step: 'later' }, why: '' }), []);
    assert.equal(end.until(5)[0]?.type, 'ask');
  });

  test('words of what is no more are passed over', () => {
    const end = leaderUp();
    for (const event of [
      { type: 'raised', theirs: 'x', key: 'y', encapsulation: null },
      { type: 'routed', key: 'y' },
      { type: 'answered', id: 99, answer: accepted, why: '' },
      { type: 'failed', what: 'raise', why: 'x' },
      { type: 'found', paths: [] },
    ] as const)
      assert.deepEqual(end.tell(event), []);
    assert.deepEqual(end.tell({ type: 'keyed', key: 'late', agreement: AGREEMENT }), [{ type: 'forget', key: 'late' }]);
    assert.equal(end.machine.active?.ours, 'ours-1');
  });
});

test('who gets no answer for longer than a session of WireGuard lives is silent', () => {
  const end = leaderUp();
  end.tell({ type: 'looked', looks: [look('ours-1', 100 * SECOND)] });
  assert.equal(end.machine.view(end.now + 50 * SECOND).state, 'up');
  assert.equal(end.machine.view(end.now + 100 * SECOND).state, 'silent');
  assert.equal(end.machine.view(end.now + 50 * SECOND).look?.handshakeNs, 150 * SECOND);
});

test('while a handshake is awaited it is looked for often, else rarely', () => {
  const end = leaderUp();
  const looks = (seconds: number): number => {
    const till = end.now + seconds * SECOND;
    let count = 0;
    while (end.machine.deadline() <= till) {
      end.now = Math.max(end.now, end.machine.deadline());
      count += end.tell({ type: 'tick' }).filter(({ type }) => type === 'look').length;
    }
    return count;
  };
  assert.ok(looks(100) <= 11);
  end.until(30);
  end.tell({ type: 'keyed', key: 'ours-2', agreement: AGREEMENT });
  end.tell({ type: 'answered', id: 3, answer: { ...accepted, wireguard: 'theirs-2' }, why: '' });
  end.tell({ type: 'raised', theirs: 'theirs-2', key: 'ours-2', encapsulation: null });
  const count = looks((2000 * MS) / SECOND);
  assert.ok(count >= 9 && count <= 11, String(count));
});
