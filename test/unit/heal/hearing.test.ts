/** When a neighbour's silence counts: what is usual on its link, and what it answers. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Effect } from '../../../agent/core/effect.ts';
import { MS, type Nanos, SECOND } from '../../../agent/core/time.ts';
import type { Decision } from '../../../agent/core/words.ts';
import { Random } from '../../../agent/twin/random.ts';
import { port, Router, tables } from './harness.ts';

const NEIGHBOUR = '02:00:00:00:01:01';

/** eth1's neighbour, last heard so long ago; a route goes by it, and another way is known. */
const heard = (ms: number) =>
  tables(
    [
      ['02:00:00:00:00:aa', 1, true],
      ['02:00:00:00:00:aa', 2, false],
    ],
    [
      [NEIGHBOUR, 1, ms],
      ['02:00:00:00:01:02', 2],
    ],
  );

/** A router whose neighbour sends an OGM a second, or loses it, and answers what is asked, or does not. */
class Link {
  readonly router = new Router({}, undefined, heard(100));
  #heardAt: Nanos;
  answers = true;
  asked = 0;
  readonly #decisions: Decision[] = [];

  constructor(speaks = true) {
    this.#heardAt = this.router.now;
    this.read();
    if (speaks) this.echo();
  }

  echo(rttNs = MS): void {
    const { monitor } = this.router.room;
    monitor.on({ type: 'echo', neighbour: NEIGHBOUR, interface: 21, rttNs }, this.router.now);
  }

  /** To the next second, with an OGM at its beginning or without. */
  second(isHeard: boolean): void {
    const { router } = this;
    if (isHeard) this.#heardAt = router.now;
    this.#pass(500 * MS);
    this.read();
    this.#pass(500 * MS);
  }

  read(): void {
    this.router.feed({ type: 'tables', tables: heard((this.router.now - this.#heardAt) / MS) });
  }

  carrier(isThere: boolean): void {
    this.router.feed({ type: 'link', link: port(1, { carrier: isThere }), cause: 'event' });
  }

  #pass(ns: Nanos): void {
    const { router } = this;
    const end = router.now + ns;
    while (router.now < end) {
      const next = Math.min(end, Math.max(router.now, router.runtime.deadline()));
      const effects = router.pass(next - router.now);
      const asked = asks(effects);
      this.asked += asked;
      if (this.answers && asked > 0) this.echo();
      if (effects.some(({ type }) => type === 'poll')) this.read();
    }
    this.#decisions.push(...router.decisions);
    router.effects.length = 0;
  }

  get silences(): Decision[] {
    return this.#decisions.filter(({ fault, step }) => fault.class === 'link-silent' && step === 'planned');
  }
}

/** Frames of our ethertype to one neighbour. */
function asks(effects: readonly Effect[]): number {
  const sent = effects.flatMap((effect) => (effect.type === 'send' ? effect.frames : []));
  return sent.filter(({ frame }) => frame.slice(24, 28) === '88b5' && frame.startsWith('02')).length;
}

/** Milliseconds from the last OGM until its silence is told. */
function toldAfter(link: Link): number {
  link.second(true);
  const from = link.router.now - SECOND;
  for (let second = 0; second < 20 && link.silences.length === 0; second++) link.second(false);
  const [told] = link.silences;
  assert.ok(told, 'it is told');
  return (told.at - from) / MS;
}

describe('a neighbour that runs the agent', () => {
  test('is asked when an OGM is overdue, and found silent when it does not answer', () => {
    const link = new Link();
    link.answers = false;
    const ms = toldAfter(link);
    assert.ok(ms >= 2200 && ms <= 2700, `after ${ms} ms`);
    const [decision] = link.silences;
    assert.equal(decision!.fault.evidence[0]!.source, 'batadv tables, echoes');
    assert.match(decision!.fault.evidence[0]!.what, /4 questions in a row were not answered/);
  });

  test('that answers may miss more OGMs than one that is not asked', () => {
    const link = new Link();
    const ms = toldAfter(link);
    assert.ok(ms >= 5500 && ms <= 6500, `after ${ms} ms`);
    const stock = toldAfter(new Link(false));
    assert.ok(stock >= 3500 && stock <= 4500, `after ${stock} ms`);
  });

  test('is asked nothing while it is heard', () => {
    const link = new Link();
    for (let second = 0; second < 60; second++) link.second(true);
    assert.equal(link.asked, 0);
  });

  test('whose agent has ended is believed to be heard, and asked no more', () => {
    const link = new Link();
    link.answers = false;
    link.second(true);
    link.second(false);
    link.second(true);
    const before = link.asked;
    assert.ok(before > 0);
    const ms = toldAfter(link);
    assert.ok(ms >= 3500, `after ${ms} ms`);
    assert.equal(link.asked, before);
  });

  test('is not asked by a router that is short of time: it could not tell late from never', () => {
    const link = new Link();
    link.answers = false;
    link.router.room.monitor.on({ type: 'ease', on: true }, link.router.now);
    const ms = toldAfter(link);
    assert.ok(ms >= 3500, `after ${ms} ms`);
  });

  test('questions that were held up do not count', () => {
    const link = new Link();
    link.answers = false;
    link.second(true);
    link.second(false);
    const { router } = link;
    // The agent stands still in the midst of its questions.
    router.now += 700 * MS;
    router.runtime.feed({ type: 'tick' }, router.now);
    link.echo();
    link.read();
    assert.deepEqual(link.silences, []);
  });
});

describe('a router that stood still', () => {
  /** No event reaches the agent for so long, and then the timers that were due. */
  const standStill = (link: Link, ns: Nanos) => {
    link.router.now += ns;
    link.router.runtime.feed({ type: 'tick' }, link.router.now);
  };

  test('counts no silence that it could not have heard, and afterwards as before', () => {
    for (const speaks of [true, false]) {
      const link = new Link(speaks);
      for (let second = 0; second < 100; second++) link.second(true);
      standStill(link, 8 * SECOND);
      link.read();
      assert.deepEqual(link.silences, [], `answers: ${speaks}`);
      link.answers = false;
      const ms = toldAfter(link);
      assert.ok(ms <= 5500, `after ${ms} ms`);
    }
  });

  test('again and again finds who is silent nevertheless', () => {
    const link = new Link(false);
    link.second(true);
    const from = link.router.now - SECOND;
    for (let round = 0; round < 20 && link.silences.length === 0; round++) {
      link.second(false);
      standStill(link, 600 * MS);
    }
    const [told] = link.silences;
    assert.ok(told !== undefined && told.at - from < 8 * SECOND, `after ${((told?.at ?? 0) - from) / MS} ms`);
  });
});

test('a cable that was out for long: what could not be heard through it was no silence, when it is back and afterwards', () => {
  for (const speaks of [true, false]) {
    const link = new Link(speaks);
    for (let second = 0; second < 20; second++) link.second(true);
    link.carrier(false);
    for (let second = 0; second < 12; second++) link.second(false);
    link.carrier(true);
    link.read();
    link.second(false);
    for (let second = 0; second < 60; second++) link.second(true);
    assert.deepEqual(link.silences, [], `answers: ${speaks}`);
    link.answers = false;
    const ms = toldAfter(link);
    assert.ok(ms <= (speaks ? 2700 : 5500), `answers: ${speaks}, after ${ms} ms`);
  }
});

test('a neighbour that is not there any more when the cable is back is silent', () => {
  const link = new Link(false);
  for (let second = 0; second < 20; second++) link.second(true);
  link.carrier(false);
  link.second(false);
  link.carrier(true);
  const from = link.router.now;
  for (let second = 0; second < 20 && link.silences.length === 0; second++) link.second(false);
  const ms = (link.silences[0]!.at - from) / MS;
  assert.ok(ms > 3000 && ms <= 5500, `after ${ms} ms`);
});

test('a link that loses one OGM in sixteen is not called silent, with an agent at its end or without', () => {
  for (const speaks of [true, false]) {
    const random = new Random(7, 'lossy');
    const link = new Link(speaks);
    link.answers = speaks;
    for (let second = 0; second < 6000; second++) link.second(!random.is(0.06));
    assert.equal(link.silences.length, 0, `answers: ${speaks}`);
    const ms = toldAfter(link);
    assert.ok(ms <= 9500, `a real silence is told after ${ms} ms`);
  }
});

test('a neighbour that has just appeared may come and go: its silence counts later, and a radio that drops it, not at all', () => {
  const router = new Router();
  const reads = (ms: number, after: Nanos) => {
    router.now += after;
    const { originators, ...rest } = heard(ms);
    const found = tables([], [['02:00:00:00:01:03', 1, ms]]);
    router.feed({ type: 'tables', tables: { ...rest, originators, neighbours: found.neighbours } });
  };
  const evidence = { interface: 21, neighbour: '02:00:00:00:01:03', what: 'station-gone', count: 0 } as const;
  router.feed({ type: 'tables', tables: heard(100) });
  reads(100, SECOND);
  router.feed({ type: 'neighbour-evidence', ...evidence, at: router.now });
  reads(4000, 4 * SECOND);
  const silences = () => router.decisions.filter(({ fault }) => fault.class === 'link-silent').length;
  assert.equal(silences(), 0);
  reads(9000, 5 * SECOND);
  assert.equal(silences(), 1);
  const settled = new Router();
  settled.feed({ type: 'tables', tables: heard(100) });
  settled.now += 60 * SECOND;
  settled.feed({ type: 'tables', tables: heard(100) });
  settled.feed({ type: 'tables', tables: heard(4000) });
  assert.equal(settled.decisions.filter(({ fault }) => fault.class === 'link-silent').length, 1);
});

test('an outage is no loss: the next is found as soon as the first', () => {
  const link = new Link();
  for (let round = 0; round < 5; round++) {
    link.answers = true;
    link.echo();
    for (let second = 0; second < 80; second++) link.second(true);
    link.answers = false;
    const before = link.silences.length;
    link.second(true);
    const from = link.router.now - SECOND;
    for (let second = 0; second < 10; second++) link.second(false);
    const told = link.silences[before];
    assert.ok(told !== undefined && told.at - from < 2700 * MS, `round ${round}`);
    link.second(true);
  }
});
