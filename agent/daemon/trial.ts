/**
 * A changed configuration on trial (config/trial.ts): who was reached before, what is seen since, and the way back. What has
 * proved itself is kept in memory (/var/run), so that a restart for an option is judged like a reload.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { diff, settle } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { type Before, ownPorts, Trial, toBeTried } from '../config/trial.ts';
import { AgentError, asAgentError } from '../core/errors.ts';
import { isMac, type Mac } from '../core/ids.ts';
import type { Log } from '../core/log.ts';
import { type Nanos, SECOND } from '../core/time.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { Part } from './part.ts';

/** A file as it was read, byte for byte, and what it said. */
export interface Held {
  readonly source: Uint8Array;
  readonly config: Config;
}

interface Options {
  readonly file: string;
  readonly log: Log;
  readonly mesh: Pick<Mesh, 'view'>;
  now(): Nanos;
  /** Addresses that hold a connection to a port of this router, but for these ports; and those of them that answer. */
  connected(ports: readonly number[]): string[];
  answering(addresses: readonly string[]): Promise<string[]>;
  /** The file as it is. Throws where there is none. */
  read(): Uint8Array;
  /** Replaces the file. Throws where this process may not. */
  write(source: Uint8Array): void;
  /** Has root put back the file that ran before and has this hash. Answers what went wrong with the asking, or null. */
  askBack(sha256: string): Promise<string | null>;
  /** Reads the file again. */
  reload(): void;
  /** What was taken back counts from a start only. */
  restart(why: string): void;
}

interface Trials extends Part {
  /** Who is logged in and answers, asked before a changed file is applied: at once where nobody is. */
  people(config: Config): Promise<readonly string[]>;
  /** The file was read, was right, and is applied. */
  applied(from: Held, to: Held, people: readonly string[]): void;
  /** The agent has started with this. */
  started(held: Held): Promise<void>;
}

const LOOK_MS = 1000;
/** Looks between two pings. */
const PING_EVERY = 5;
/** Who was heard this lately is reached. */
const LATELY: Nanos = 10 * SECOND;
/** How long root may take to put a file back; after that it is asked again, each time after twice as long, up to the other. */
const ASK_AGAIN_MS = 15_000;
const ASK_AGAIN_MOST_MS = 600_000;

export function trials(options: Options): Trials {
  const { file, log, mesh, now, connected, answering, read, write, askBack, reload, restart } = options;
  let running: {
    trial: Trial;
    before: Before;
    from: Held;
    to: Held;
    restarted: boolean;
    timer: NodeJS.Timeout;
  } | null = null;
  let first: Held | null = null;
  let proven: Held | null = null;
  let takenBack: { readonly why: string; readonly to: Held } | null = null;
  /** Asked of root and not there yet. */
  let awaited: {
    readonly from: Held;
    readonly to: Held;
    readonly before: Before;
    readonly restarted: boolean;
    timer: NodeJS.Timeout | null;
  } | null = null;

  const same = (a: Held, b: Held): boolean => Buffer.compare(a.source, b.source) === 0;
  const heard = (): Map<Mac, Nanos> =>
    new Map(mesh.view().nodes.map(({ originator, lastSeen }) => [originator, lastSeen]));
  const reached = (): Mac[] => [...heard()].filter(([, at]) => at >= now() - LATELY).map(([one]) => one);

  function begin(from: Held, to: Held, before: Before, restarted: boolean): void {
    end();
    const within = to.config.mesh.revert_after;
    if (within === 0 || !Trial.hasJudge(before)) {
      prove(to);
      return;
    }
    const { routers, people } = before;
    log.info('the changed configuration is on trial', {
      seconds: within / SECOND,
      routers: routers.length,
      ...(people.length > 0 && { people: people.join(' ') }),
    });
    let looks = 0;
    const answered: string[] = [];
    const look = () => {
      if (running?.trial !== trial) return;
      if (people.length > 0 && looks++ % PING_EVERY === 0)
        void answering(people).then((some) => answered.push(...some));
      const holding = people.length > 0 ? connected(ownPorts(to.config)) : [];
      const found = trial.look({ routers: heard(), answered: answered.splice(0), connected: holding }, now());
      if (found.verdict === 'kept') keep('it has proved itself');
      else if (found.verdict === 'revert') takeBack(found.why);
    };
    const trial = new Trial(before, now(), within);
    running = { trial, before, from, to, restarted, timer: setInterval(look, LOOK_MS).unref() };
    // An agent that dies in it starts with the same judges.
    store();
  }

  function end(): void {
    if (running !== null) clearInterval(running.timer);
    running = null;
  }

  function keep(why: string): void {
    const { to } = running!;
    log.info(`the changed configuration is kept: ${why}`);
    end();
    prove(to);
  }

  function takeBack(why: string): void {
    const { from, to, before, restarted } = running!;
    end();
    takenBack = { why, to: from };
    log.warning('the changed configuration is taken back', { file, why });
    spare(from, to);
    try {
      write(from.source);
    } catch (thrown) {
      // In the jail /etc/config is a copy, and not ours to write: whoever may write it tells us by a signal.
      log.debug('root is asked for it', { why: asAgentError(thrown).message });
      awaited = { from, to, before, restarted, timer: null };
      prove(from);
      ask(ASK_AGAIN_MS);
      return;
    }
    prove(from);
    if (restarted) restart('the configuration was taken back');
    else reload();
  }

  /**
   * What the file says and was not taken, because it was refused or nobody has had it read yet: putting back what ran before
   * must not cost somebody this. In the jail the second kind is not to be seen from here; the init script keeps that.
   */
  function spare(...taken: readonly Held[]): void {
    const place = `${first!.config.report.socket}.unread`;
    let source: Uint8Array;
    try {
      source = read();
    } catch {
      return;
    }
    if (taken.some((held) => same(held, { ...held, source }))) return;
    try {
      writeOwn(place, source);
      log.warning('what the file says now has not been taken, and is kept', { file, kept: place });
    } catch (thrown) {
      log.error('what the file says now has not been taken, and cannot be kept', {
        file,
        why: (thrown as Error).message,
      });
    }
  }

  function ask(patienceMs: number): void {
    const sha256 = createHash('sha256').update(awaited!.from.source).digest('hex');
    awaited!.timer = setTimeout(() => {
      log.error('the configuration of before has not come back: root is asked again', { file, sha256 });
      spare(awaited!.from, awaited!.to);
      ask(Math.min(2 * patienceMs, ASK_AGAIN_MOST_MS));
    }, patienceMs).unref();
    void askBack(sha256).then((refused) => {
      if (refused !== null) log.error('the changed configuration cannot be taken back', { file, why: refused });
    });
  }

  /** Nothing is waited for any more; answers what was. */
  function arrived(): typeof awaited {
    const was = awaited;
    if (was?.timer) clearTimeout(was.timer);
    awaited = null;
    return was;
  }

  /** What still waits for a restart has proved nothing. */
  function prove(held: Held): void {
    if (first === null || toBeTried(waiting(first.config, held.config))) return;
    proven = held;
    store();
  }

  /** For the next start; in memory. */
  function store(): void {
    if (proven === null || first === null) return;
    const source = Buffer.from(proven.source).toString('base64');
    // Cut off by what runs, it reaches nobody, and the next start would find nobody to be lost.
    const routers = (running ?? awaited)?.before.routers ?? reached();
    try {
      writeOwn(placeOf(first.config), JSON.stringify({ source, routers }));
    } catch (thrown) {
      log.debug('what has proved itself could not be kept', { why: (thrown as Error).message });
    }
  }

  return {
    people: async (config) => answering(connected(ownPorts(config))),
    applied(from, to, people) {
      first ??= to;
      // A reload that found nothing new: what was asked for is still to come.
      if (awaited !== null && same(to, from)) return;
      if (takenBack !== null && same(to, takenBack.to)) {
        const was = arrived();
        prove(to);
        if (was?.restarted) restart('the configuration was taken back');
        return;
      }
      const missed = takenBack;
      takenBack = null;
      const was = arrived();
      if (was !== null) {
        log.warning('another configuration came than the one of before', { file });
        // That one cut nobody off, and those who were reached under it still are the judges.
        if (toBeTried(diff(missed!.to.config, to.config))) begin(missed!.to, to, was.before, was.restarted);
        else {
          prove(to);
          if (was.restarted) restart('the configuration was taken back');
        }
        return;
      }
      const changes = diff(from.config, to.config).filter(({ apply }) => apply === 'live');
      if (running !== null && same(to, running.from)) {
        end();
        prove(to);
      } else if (running !== null) {
        // On top of one that is on trial: both have to prove themselves, against what stood before the first.
        if (toBeTried(changes)) begin(running.from, to, running.before, running.restarted);
        else running.to = to;
      } else if (toBeTried(changes)) begin(from, to, { routers: reached(), people }, false);
      else prove(to);
    },
    async started(held) {
      first = held;
      const last = stored(placeOf(held.config));
      const from = last && { source: last.source, config: settle(last.source, file).config };
      if (from === null || same(from, held) || !toBeTried(diff(from.config, held.config))) {
        prove(held);
        return;
      }
      const people = await answering(connected(ownPorts(held.config)));
      begin(from, held, { routers: last!.routers, people }, true);
    },
    shows: {
      trial: {
        secondsLeft: () => (running === null ? null : Math.max(0, Math.ceil((running.trial.until - now()) / SECOND))),
        decide(what, by) {
          if (running === null) return false;
          if (what === 'confirm') keep(`${by} confirmed it`);
          else takeBack(`${by} asked for it`);
          return true;
        },
      },
    },
    degraded() {
      if (takenBack === null) return [];
      const still = awaited === null ? '' : '; the file of before has not come back yet, so the change still counts';
      return [{ part: 'configuration', level: 'partly', why: `a change was taken back: ${takenBack.why}${still}` }];
    },
    close() {
      // Whom this router reaches now is whom the next start has to reach.
      if (running === null) store();
      end();
      arrived();
    },
  };
}

function waiting(first: Config, held: Config): ReturnType<typeof diff> {
  return diff(first, held).filter(({ apply }) => apply === 'restart');
}

function placeOf({ report }: Config): string {
  return `${report.socket}.proven`;
}

function stored(place: string): { readonly source: Uint8Array; readonly routers: Mac[] } | null {
  try {
    const { source, routers } = JSON.parse(readOwn(place)) as Record<string, unknown>;
    if (typeof source !== 'string' || !Array.isArray(routers)) return null;
    return {
      source: Buffer.from(source, 'base64'),
      routers: routers.filter((one): one is Mac => typeof one === 'string' && isMac(one)),
    };
  } catch {
    return null;
  }
}

/** Replaces a file of our own, for nobody else to read: it may hold a key. */
function writeOwn(place: string, data: string | Uint8Array): void {
  const draft = `${place}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, data, { mode: 0o600, flag: 'wx' });
  renameSync(draft, place);
}

/** What is read here may become the configuration: from nobody else, wherever the socket was put. */
function readOwn(place: string): string {
  const fd = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { uid, mode } = fstatSync(fd);
    if (uid !== process.geteuid?.() || (mode & 0o077) !== 0)
      throw new AgentError('E_FORBIDDEN', `${place} is not ours`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}
