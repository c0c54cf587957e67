/**
 * What identities gate on the air: hands the keys that members have agreed on to the machines that seal frames, and who is
 * admitted or cast out to XDP. Loaded once there is an identity.
 */
import type { Config } from '../config/schema.ts';
import { toHex } from '../core/hex.ts';
import type { Mac } from '../core/ids.ts';
import type { Machine } from '../core/machine.ts';
import { MS, type Nanos, NEVER, SECOND } from '../core/time.ts';
import type { Identity } from '../host/identity.ts';
import type { Degraded } from '../report/sources.ts';
import type { GateState } from '../trust/air/gate.ts';
import type { Agent, Part } from './part.ts';

/** From the first key on neighbours have so long to prove themselves before others' frames are dropped. */
const GRACE: Nanos = 15 * SECOND;

export interface Air extends Part {
  /** A frame under a key of the air came from this address. */
  proven(neighbour: Mac): void;
}

export function air(started: Config, agent: Agent, identity: Identity): Air {
  const { host, state, now, room } = agent;
  const { admission } = started.bpf;
  let gate: GateState = { admitted: [], isolated: [] };
  let isMember = false;
  let strictAt: Nanos = NEVER;
  let hasMeshKey = started.mesh.key !== undefined;

  function settleGate(): void {
    const isStrict = admission && isMember && now() >= strictAt;
    host.gate(isStrict ? gate.admitted : null, gate.isolated);
  }

  identity.onAir({
    air(told) {
      const keys = told?.keys.map(({ id, epoch, secret }) => ({
        id,
        epoch,
        key: toHex(secret),
        marks: state.marksUnder(id),
      }));
      // What was accepted until now has to be known before it is asked for.
      host.writeBooks();
      host.feed({
        type: 'air-keys',
        keys: keys ?? null,
        sending: told?.sending ?? null,
        mixed: told?.isMixed ?? true,
        hello: admission,
      });
      isMember = told !== null && told.sending !== null;
      if (admission && isMember && strictAt === NEVER) {
        strictAt = now() + GRACE;
        setTimeout(settleGate, GRACE / MS + 100).unref();
      }
      settleGate();
    },
    gate(told) {
      gate = told;
      settleGate();
    },
  });

  let addresses = '';
  const look = (): void => {
    const macs = [...new Set((room.monitor.tables?.hardInterfaces ?? []).map(({ mac }) => mac))].sort();
    if (macs.join() === addresses) return;
    addresses = macs.join();
    identity.feed({ type: 'addresses', addresses: macs });
  };
  // Only looks.
  const witness: Machine = {
    name: 'air',
    on(event) {
      // A repair does not wait for any of this.
      if (event.type === 'tables') setImmediate(look);
      return [];
    },
    deadline: () => NEVER,
  };
  agent.machines.push(witness);
  look();

  return {
    proven: (neighbour) => setImmediate(() => identity.feed({ type: 'proven', address: neighbour })),
    degraded() {
      const { air: keys, revoked, state: standing } = identity.machine.view(now());
      if (standing === 'none' || standing === 'joining') return [];
      const found: Degraded[] = [];
      if (keys.epoch === null) {
        const why = 'no key of the air has come yet: it comes with the first session';
        found.push({ part: 'alarms', level: keys.isMixed && hasMeshKey ? 'mesh key' : 'none', why });
      } else if (hasMeshKey && revoked.length > 0) {
        const why = 'somebody who knew the mesh key was revoked: it counts no more';
        found.push({ part: 'alarms', level: 'members', why });
      }
      const level = host.xdp?.standing().level ?? 'off';
      const isOpen = level === 'off' || level === 'packet-socket';
      if (isOpen && gate.isolated.length > 0)
        found.push({ part: 'isolation', level: 'none', why: 'no XDP program drops what revoked routers send' });
      if (isOpen && admission && isMember)
        found.push({ part: 'admission', level: 'none', why: 'no XDP program drops what others than members send' });
      return found;
    },
    settle(config) {
      hasMeshKey = config.mesh.key !== undefined;
    },
  };
}
