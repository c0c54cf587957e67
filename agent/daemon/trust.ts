/**
 * The identity of this router in its mesh. x0d loads nothing of it on a router that has none: what is here only looks for
 * the key file, and wakes the rest when there is one, or when a person founds or joins a mesh.
 */
import { existsSync } from 'node:fs';
import type { Config } from '../config/schema.ts';
import { AgentError, asAgentError } from '../core/errors.ts';
import { MS, SECOND } from '../core/time.ts';
import type { Decision } from '../core/words.ts';
import type { Identity } from '../host/identity.ts';
import type { Spire } from '../host/workload/spire.ts';
import type { Degraded, TrustDesk } from '../report/sources.ts';
import { parseSpiffeId, routerId } from '../trust/certificate/spiffe.ts';
import type { Attestor } from '../trust/join/attest.ts';
import type { TrustEffect, TrustSettings } from '../trust/membership/words.ts';
import { Policy, type Power, readRule } from '../trust/policy.ts';
import type { Agent, Part } from './part.ts';
import { fingerprint, healSettings } from './settings.ts';

/** Of what others decide how often it comes, one entry of the journal in so long. */
const REFUSALS_EVERY = 60 * SECOND;

export interface Trust extends Part {
  /** null on a router that is in no mesh of identities, and until it is loaded. */
  identity(): Identity | null;
  /** Whether somebody who has proved this SPIFFE ID may do so here; the journal says why. */
  permits(id: string, power: Power): boolean;
  /** Whether a rule of the policy is for the router of this name and no other. */
  isNamed(node: string): boolean;
  /** Called once, when there is an identity to work with: at the start, or when a person founds or joins a mesh. */
  onLoaded(use: (identity: Identity) => void): void;
}

export function trust(started: Config, agent: Agent): Trust {
  const { log, state, host, now } = agent;
  let config = started;
  let policy = policyOf(started);
  let identity: Identity | null = null;
  let loading: Promise<void> | null = null;
  let trouble: AgentError | null = null;
  let isClosed = false;
  let entries = 0;
  /** When each kind of refusal was written down last. */
  const refused = new Map<string, number>();
  const users: ((identity: Identity) => void)[] = [];
  const { directory } = started.state;
  const keyFile = `${directory}/identity.key`;

  async function load(create: boolean): Promise<void> {
    try {
      const [{ openIdentity }, attestors] = await Promise.all([import('../host/identity.ts'), attestorsOf(config)]);
      const opened = await openIdentity({
        keyFile,
        airFile: `${directory}/air.key`,
        invitationFile: `${directory}/invitations.key`,
        create,
        settings: settingsOf(config),
        attestors,
        kept: state.kept(),
        now,
        wall: () => Date.now(),
        log,
        keep: (key, value, isUrgent) => host.carryOut({ type: 'remember', kind: 'trust', key, value, isUrgent }),
        decided,
      });
      identity = opened;
      trouble = null;
      for (const use of users) use(opened);
    } catch (thrown) {
      trouble = asAgentError(thrown);
      log.error(`no identity: ${trouble.message}`, { code: trouble.code });
    }
    loading = null;
  }

  function wake(create: boolean): void {
    if (identity === null) loading ??= load(create);
  }

  function decided(effect: TrustEffect & { type: 'decided' }): void {
    if (effect.what.startsWith('not-')) {
      if (now() - (refused.get(effect.what) ?? Number.NEGATIVE_INFINITY) < REFUSALS_EVERY) return;
      refused.set(effect.what, now());
    }
    const decision = decisionOf(effect, `e${state.epoch}-t${++entries}`, now());
    host.carryOut({ type: 'journal', decision });
    log.info(`${effect.what}: ${effect.who}`, { why: effect.why });
  }

  /** The trust domain that this router is in. */
  function domain(): string | null {
    return parseSpiffeId(identity?.current()?.id ?? '')?.trustDomain ?? null;
  }

  function awake(): Identity {
    if (identity !== null) return identity;
    if (loading !== null) throw new AgentError('E_BUSY', 'the identity is being loaded');
    if (trouble !== null) throw trouble;
    throw new AgentError('E_NOT_FOUND', 'this router is in no mesh of identities: x0ctl mesh init, or x0ctl join TEXT');
  }

  const desk: TrustDesk = {
    wake() {
      wake(true);
      return identity !== null;
    },
    view: () => {
      if (identity === null) return null;
      const { tools, inUse, machine } = identity;
      return { ...machine.view(now()), suite: tools.suite.name, providers: inUse };
    },
    trouble: () => trouble?.message ?? (loading === null ? null : 'it is being loaded'),
    join(text) {
      const one = awake();
      trouble = null;
      one.carryOut(one.machine.join(text, now()));
    },
    joinBy(method, anchor, key) {
      const one = awake();
      trouble = null;
      void joinBy(one, method, anchor, key, config, spire, now).catch((thrown) => {
        trouble = asAgentError(thrown);
        log.error(`the joining could not begin: ${trouble.message}`, { code: trouble.code });
      });
    },
    invite(node, lifeMs) {
      const one = awake();
      const { text, id, untilMs, effects } = one.machine.invite(node, lifeMs, now());
      one.carryOut(effects);
      return { text, id, untilMs };
    },
    revoke(whom, by) {
      const one = awake();
      one.carryOut(one.machine.revoke(whom, now(), by));
    },
    install(items) {
      const one = awake();
      one.carryOut(one.machine.install(items, now()));
    },
    candidate(whom) {
      const one = awake();
      if (whom === '') return one.machine.candidate();
      const { found, effects } = one.machine.candidateOf(whom, now());
      one.carryOut(effects);
      return found;
    },
    members: () => awake().machine.members(),
    items: () => awake().machine.items(),
    barred: () => awake().machine.barred(),
  };

  const { workload_socket: socket } = started.trust;
  const spire =
    socket === ''
      ? null
      : import('../host/workload/spire.ts').then(
          (it) => new it.Spire({ socket, log, wall: () => Date.now(), decided }),
        );
  let standing: Spire | null = null;
  spire?.then(
    (one) => {
      standing = one;
      if (isClosed) one.close();
    },
    (thrown) => log.error(`nothing is asked of the SPIRE agent: ${asAgentError(thrown).message}`),
  );

  if (existsSync(keyFile)) wake(false);
  return {
    shows: { trust: desk },
    identity: () => identity,
    permits(id, power) {
      const { isAllowed, why } = policy.decide(id, power, domain());
      // What is only looked at, and allowed, would fill the journal with nothing.
      if (!isAllowed || power !== 'read-status')
        decided({ type: 'decided', what: isAllowed ? 'allowed' : 'not-allowed', who: `${id}: ${power}`, why });
      return isAllowed;
    },
    isNamed(node) {
      const own = domain();
      return own !== null && policy.names(routerId(own, node), own);
    },
    onLoaded(use) {
      users.push(use);
      if (identity !== null) use(identity);
    },
    degraded() {
      const view = desk.view();
      const found: Degraded[] = standing?.degraded() ?? [];
      if (trouble !== null) found.push({ part: 'identity', level: 'none', why: trouble.message });
      else if (view !== null && view.trouble !== '')
        found.push({ part: 'identity', level: view.state, why: view.trouble });
      return found;
    },
    settle(next) {
      config = next;
      policy = policyOf(next);
      identity?.machine.settle(settingsOf(next));
      identity?.feed({ type: 'clock', wallMs: Date.now() });
    },
    close() {
      isClosed = true;
      standing?.close();
      identity?.close();
    },
  };
}

function policyOf({ trust: { allow } }: Config): Policy {
  return new Policy(allow.map(readRule));
}

function settingsOf(config: Config): TrustSettings {
  const { life, grace, rotate, mixed } = config.trust;
  const meshKey = fingerprint(healSettings(config).key);
  return { lifeMs: life / MS, graceMs: grace / MS, rotateNs: rotate, isMixed: mixed, meshKey };
}

async function attestorsOf({ trust: { ssh_allowed, x509_authority } }: Config): Promise<Attestor[]> {
  const found: Attestor[] = [];
  if (ssh_allowed.length > 0) {
    const { readSshAllowed, sshAttestor } = await import('../trust/join/ssh.ts');
    found.push(sshAttestor(ssh_allowed.map(readSshAllowed)));
  }
  if (x509_authority.length > 0) {
    const [{ x509Attestor }, { readCertificates }] = await Promise.all([
      import('../trust/join/x509.ts'),
      import('../host/x509-file.ts'),
    ]);
    found.push(x509Attestor(x509_authority.flatMap(readCertificates)));
  }
  return found;
}

async function joinBy(
  one: Identity,
  method: 'ssh-host-key' | 'x509-proof',
  anchor: string,
  key: Buffer | undefined,
  { trust: { x509_certificate, x509_key } }: Config,
  spire: Promise<Spire> | null,
  now: Agent['now'],
): Promise<void> {
  if (method === 'ssh-host-key') {
    const [{ sshProver }, { parseSshHostKey, readSshHostKey, SSH_HOST_KEYS }] = await Promise.all([
      import('../trust/join/ssh.ts'),
      import('../host/ssh-key.ts'),
    ]);
    const file = SSH_HOST_KEYS.find((path) => existsSync(path)) ?? SSH_HOST_KEYS[0];
    const own = key === undefined ? readSshHostKey(file) : parseSshHostKey(key, 'the host key that was handed over');
    one.carryOut(one.machine.joinWith(sshProver(own), anchor, now()));
    return;
  }
  const [{ x509Prover }, { openHolder }] = await Promise.all([
    import('../trust/join/x509.ts'),
    import('../host/x509-file.ts'),
  ]);
  const holder = spire === null ? openHolder(x509_certificate, x509_key) : await (await spire).holder();
  one.carryOut(one.machine.joinWith(x509Prover(holder), anchor, now()));
}

/** As the journal has it: no fault, but something that was asked for, and why it was done or not. */
function decisionOf(effect: TrustEffect & { type: 'decided' }, id: string, at: number): Decision {
  const what = `${effect.what} ${effect.who}`;
  return {
    fault: {
      id,
      class: 'asked',
      at,
      interface: null,
      interfaceIndex: null,
      peer: null,
      confidence: 1,
      evidence: [{ source: 'trust', what, at }],
      affected: [],
    },
    step: effect.what.startsWith('not-') ? 'dropped' : 'done',
    at,
    action: 'none',
    alternatives: [],
    why: effect.why,
    result: what,
  };
}
