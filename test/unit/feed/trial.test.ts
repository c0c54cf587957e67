/**
 * Confirm or revert, mostly in the jail: the agent's side, which may not write /etc/config, and the init script's, which may, run by
 * busybox's ash. Between them is what procd does: the hash of the agent's event goes to the script, its signal to the agent.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { settle } from '../../../agent/config/load.ts';
import type { Mac } from '../../../agent/core/ids.ts';
import { Log } from '../../../agent/core/log.ts';
import { MS, type Nanos } from '../../../agent/core/time.ts';
import { type Held, trials } from '../../../agent/daemon/trial.ts';
import type { Mesh } from '../../../agent/mesh/mesh.ts';
import { noRouter, Router } from './root.ts';

const NEIGHBOUR = '02:00:00:00:00:0b' as Mac;
const FILE = 'etc/config/x0tta6bl4';
const NOW = 'var/run/x0tta6bl4-config/now/x0tta6bl4';
const UNREAD = 'var/run/x0tta6bl4-config/unread';

const RUN = mkdtempSync(join(tmpdir(), 'x0-trial-'));
after(() => rmSync(RUN, { recursive: true }));

/** A file as uci writes it. */
const saying = ({ log = 'info', ...heal }: Record<string, string>, remark = ''): string =>
  `# ${remark}\nconfig log 'log'\n\toption level '${log}'\nconfig report 'report'\n\toption socket '${RUN}/x0.sock'\n` +
  `config heal 'heal'\n${Object.entries(heal)
    .map(([name, value]) => `\toption ${name} '${value}'\n`)
    .join('')}`;
const PROVEN = saying({ poll_interval: '500' }, 'proven');

/** One router: the machine's clock is the test's, and whom it reaches is what the test says. */
class Jail {
  readonly router = new Router();
  readonly lines: string[] = [];
  readonly restarts: string[] = [];
  readonly asked: string[] = [];
  /** Whom it reaches under this configuration. */
  isReached = (_file: string): boolean => true;
  /** Whether procd does what it is asked for. */
  procd = true;
  readonly #t: TestContext;
  /** The file that the agent reads. */
  readonly #seen: string;
  #now: Nanos = 1e15;
  #held: Held;
  // At the start tables are empty.
  #lastSeen: Nanos = 0;
  trials;

  constructor(t: TestContext, jailed = true) {
    this.#t = t;
    this.#seen = jailed ? NOW : FILE;
    t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
    for (const kept of ['proven', 'unread']) rmSync(`${RUN}/x0.sock.${kept}`, { force: true });
    this.router.write(FILE, PROVEN);
    this.router.service('start');
    this.#held = this.#read();
    this.trials = this.#agent();
    void this.trials.started(this.#held);
  }

  #agent() {
    return trials({
      file: '/etc/config/x0tta6bl4',
      log: new Log('info', (line) => void this.lines.push(line)),
      mesh: {
        view: () => ({ nodes: [{ originator: NEIGHBOUR, lastSeen: this.#lastSeen }] }),
      } as unknown as Pick<Mesh, 'view'>,
      now: () => this.#now,
      connected: () => [],
      answering: async () => [],
      read: () => Buffer.from(this.router.read(this.#seen)),
      write: (source) => {
        if (this.#seen !== FILE) throw new Error('EROFS: read-only file system');
        this.router.write(FILE, Buffer.from(source).toString());
      },
      askBack: async (sha256) => {
        this.asked.push(sha256);
        if (this.procd) this.#signalled(this.router.service(`revert ${sha256}`).out);
        return null;
      },
      reload: () => {
        assert.equal(this.#seen, FILE, 'it reads again when it is told to');
        this.#reads();
      },
      restart: (why) => void this.restarts.push(why),
    });
  }

  /** The agent ends, by itself or without a word, and procd starts it with the file as it is now. */
  async restart(how: 'ends' | 'dies'): Promise<void> {
    if (how === 'ends') this.trials.close!();
    this.#t.mock.timers.reset();
    this.#t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
    this.router.service('start');
    this.#held = this.#read();
    this.trials = this.#agent();
    await this.trials.started(this.#held);
  }

  #read(): Held {
    const source = Buffer.from(this.router.read(this.#seen));
    return { source, config: settle(source, FILE).config };
  }

  #signalled(out: string): void {
    if (/^send_signal x0tta6bl4$/m.test(out)) this.#reads();
  }

  #reads(): void {
    // What the agent refuses never gets as far as this.
    if (settle(this.router.read(this.#seen), FILE).problems.length > 0) return;
    const before = this.#held;
    this.#held = this.#read();
    this.trials.applied(before, this.#held, []);
  }

  /** A person commits a file and runs reload_config. */
  change(text: string): void {
    this.router.write(FILE, text);
    this.#signalled(this.router.service('reload').out);
  }

  async pass(seconds: number): Promise<void> {
    for (let s = 0; s < seconds; s++) {
      this.#now += 1000 * MS;
      if (this.isReached(this.#held.source.toString())) this.#lastSeen = this.#now;
      this.#t.mock.timers.tick(1000);
      await Promise.resolve();
    }
  }

  /** What the agent has kept of a file that it never took. */
  get spared(): string | null {
    const place = `${RUN}/x0.sock.unread`;
    return existsSync(place) ? readFileSync(place, 'utf8') : null;
  }

  get file(): string {
    return this.router.read(FILE);
  }

  get secondsLeft(): number | null {
    return this.trials.shows!.trial!.secondsLeft();
  }

  get said(): string {
    return this.trials.degraded!(this.#held.config)
      .map(({ why }) => why)
      .join('; ');
  }
}

const BAD = saying({ poll_interval: '2000' }, 'bad');

/** A router that is up, and that BAD would cut off. */
async function begun(t: TestContext, jailed = true): Promise<Jail> {
  const jail = new Jail(t, jailed);
  jail.isReached = (file) => !/poll_interval '2000'/.test(file);
  await jail.pass(5);
  return jail;
}

/** BAD has cut it off, and nothing comes of having asked for the file of before. */
async function cutOff(t: TestContext): Promise<Jail> {
  const jail = await begun(t);
  jail.change(BAD);
  jail.procd = false;
  await jail.pass(61);
  return jail;
}

describe('confirm or revert in the jail', { skip: noRouter() }, () => {
  test('two changes within one trial: what stood before the first comes back, byte for byte', async (t) => {
    const jail = await begun(t);
    jail.change(BAD);
    await jail.pass(20);
    jail.change(saying({ poll_interval: '2000', log: 'debug' }, 'and a harmless one'));
    await jail.pass(100);
    assert.equal(jail.file, PROVEN, jail.lines.join('\n'));
    assert.equal(jail.secondsLeft, null);
    assert.equal(jail.asked.length, 1);
    assert.match(jail.said, /^a change was taken back: the one router that was reached before is lost$/);
  });

  test('also after as many as are kept, each of which begins the trial anew', async (t) => {
    const jail = await begun(t);
    for (let i = 0; i < 8; i++) {
      jail.change(saying({ poll_interval: '2000', echo_interval: `${10 + i}` }, `${i}`));
      await jail.pass(10);
    }
    await jail.pass(100);
    assert.equal(jail.file, PROVEN, jail.lines.join('\n'));
  });

  test('what does not come back is asked for again, and the status says so until it does', async (t) => {
    const jail = await cutOff(t);
    assert.equal(jail.asked.length, 1);
    assert.match(jail.said, /has not come back yet/);
    // A reload that finds nothing new.
    jail.change(BAD);
    await jail.pass(60);
    assert.equal(jail.asked.length, 3, 'after 15 s, and 30 s after that');
    assert.equal(new Set(jail.asked).size, 1);
    assert.match(jail.lines.join('\n'), /has not come back: root is asked again/);
    assert.equal(jail.file, BAD);
    jail.procd = true;
    await jail.pass(100);
    assert.equal(jail.file, PROVEN);
    assert.doesNotMatch(jail.said, /not come back/);
    const asked = jail.asked.length;
    await jail.pass(1000);
    assert.equal(jail.asked.length, asked, 'and no more from then on');
  });

  test('another file than the one that was asked for is on trial against that one, and taken back like it', async (t) => {
    const jail = await cutOff(t);
    assert.match(jail.said, /has not come back/);
    jail.procd = true;
    // It differs from the bad one by what cuts nobody off.
    jail.change(saying({ poll_interval: '2000', log: 'debug' }));
    assert.match(jail.lines.join('\n'), /another configuration came than the one of before/);
    assert.equal(jail.secondsLeft, 60);
    await jail.pass(70);
    assert.equal(jail.file, PROVEN, jail.lines.join('\n'));
  });

  test('one that reaches the mesh again is kept, whoever wrote it', async (t) => {
    const jail = await cutOff(t);
    const mended = saying({ poll_interval: '700' }, 'by hand');
    jail.change(mended);
    await jail.pass(70);
    assert.equal(jail.file, mended);
    assert.equal(jail.secondsLeft, null);
    assert.equal(jail.said, '');
  });

  test('edits that no reload has taken yet are kept, for root alone, when a failed trial replaces the file', async (t) => {
    const jail = await begun(t);
    jail.change(BAD);
    const edits = saying({ poll_interval: '2000', log: 'debug' }, 'uci commit, and no reload_config');
    jail.router.write(FILE, edits);
    jail.router.sh('rm /bin/logger');
    jail.router.write('bin/logger', '#!/bin/sh\necho "$*" >>/tmp/log\n', 0o755);
    await jail.pass(61);
    assert.equal(jail.file, PROVEN, jail.lines.join('\n'));
    assert.equal(jail.router.read(UNREAD), edits);
    assert.equal(jail.router.sh(`stat -c %a /${UNREAD}`).out, '600\n');
    assert.match(
      jail.router.read('tmp/log'),
      /never reloaded: they are kept in \/var\/run\/x0tta6bl4-config\/unread$/m,
    );
  });

  test('nothing is kept of what was taken, on trial and taken back', async (t) => {
    const jail = await begun(t);
    jail.change(BAD);
    await jail.pass(61);
    assert.equal(jail.file, PROVEN);
    assert.ok(!jail.router.has(UNREAD));
    assert.equal(jail.spared, null);
  });

  const REFUSED = saying({ poll_interval: 'soon' }, 'a slip of the pen, and an hour of work');

  test('a file that was refused meanwhile is kept', async (t) => {
    const jail = await begun(t);
    jail.change(BAD);
    jail.change(REFUSED);
    await jail.pass(61);
    assert.equal(jail.file, PROVEN, jail.lines.join('\n'));
    assert.equal(jail.spared, REFUSED);
    assert.equal(statSync(`${RUN}/x0.sock.unread`).mode & 0o777, 0o600);
    assert.match(jail.lines.join('\n'), /has not been taken, and is kept.*x0\.sock\.unread/);
  });

  test('a file that was refused while root is waited for is kept, too', async (t) => {
    const jail = await cutOff(t);
    assert.equal(jail.spared, null);
    jail.change(REFUSED);
    jail.procd = true;
    await jail.pass(20);
    assert.equal(jail.file, PROVEN);
    assert.equal(jail.spared, REFUSED);
  });

  for (const [what, text] of [
    ['edits that no reload has taken', saying({ poll_interval: '2000', log: 'debug' })],
    ['what it has refused', REFUSED],
  ] as const)
    test(`without a jail it is the agent that replaces the file, and keeps ${what}`, async (t) => {
      const jail = await begun(t, false);
      jail.change(BAD);
      if (text === REFUSED) jail.change(text);
      else jail.router.write(FILE, text);
      await jail.pass(61);
      assert.equal(jail.file, PROVEN, jail.lines.join('\n'));
      assert.equal(jail.spared, text);
      assert.equal(jail.secondsLeft, null);
    });

  test('a person who reverts gets the file from before all that is on trial', async (t) => {
    const jail = await begun(t);
    jail.change(BAD);
    jail.change(saying({ poll_interval: '3000' }));
    assert.equal(jail.trials.shows!.trial!.decide('revert', 'somebody'), true);
    await jail.pass(1);
    assert.equal(jail.file, PROVEN);
  });

  test('what counts from a restart only: it ends itself once the file of before is there, and not before that', async (t) => {
    const jail = await begun(t);
    jail.isReached = (file) => !/option generic '0'/.test(file);
    jail.router.write(FILE, `${PROVEN}config bpf 'bpf'\n\toption generic '0'\n`);
    await jail.restart('ends');
    assert.equal(jail.secondsLeft, 60);
    jail.procd = false;
    await jail.pass(61);
    assert.deepEqual(jail.restarts, []);
    assert.match(jail.said, /not come back yet/);
    jail.procd = true;
    await jail.pass(20);
    assert.equal(jail.file, PROVEN);
    assert.equal(jail.restarts.length, 1);
  });

  test('what counts from a restart only: it ends itself for a file of somebody else that cuts nobody off, too', async (t) => {
    const jail = await begun(t);
    jail.isReached = (file) => !/option generic '0'/.test(file);
    jail.router.write(FILE, `${PROVEN}config bpf 'bpf'\n\toption generic '0'\n`);
    await jail.restart('ends');
    jail.procd = false;
    await jail.pass(61);
    const mended = PROVEN.replace('info', 'debug');
    jail.change(mended);
    assert.equal(jail.restarts.length, 1);
    await jail.restart('ends');
    assert.equal(jail.secondsLeft, null);
    assert.equal(jail.file, mended);
  });

  test('an agent that dies while it is on trial, or while it waits, starts with the same judges', async (t) => {
    const jail = await begun(t);
    jail.change(BAD);
    await jail.pass(30);
    await jail.restart('dies');
    assert.equal(jail.secondsLeft, 60, 'nobody is reached now');
    jail.procd = false;
    await jail.pass(61);
    await jail.restart('dies');
    assert.equal(jail.secondsLeft, 60);
    jail.procd = true;
    await jail.pass(61);
    assert.equal(jail.file, PROVEN);
  });
});
