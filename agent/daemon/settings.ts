/** What the machines and the state follow, out of the configuration. */
import { createHash, hkdfSync } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import type { HealSettings } from '../core/event.ts';
import type { Log } from '../core/log.ts';
import { MS } from '../core/time.ts';
import type { StateLimits } from '../host/state/store.ts';

/** The alarm key: 64 hex digits as they are; a passphrase goes through HKDF-SHA-256 (RFC 5869). */
function alarmKey(secret: string): string {
  if (/^[0-9a-f]{64}$/i.test(secret)) return secret.toLowerCase();
  return Buffer.from(hkdfSync('sha256', secret, 'x0tta6bl4', 'alarm v1', 32)).toString('hex');
}

/** Names an alarm key without giving it away, '' for none. */
export function fingerprint(key: string): string {
  if (key === '') return '';
  const digest = createHash('sha256').update('x0tta6bl4 mark v1').update(Buffer.from(key, 'hex')).digest('hex');
  return digest.slice(0, 16);
}

/** What the machines follow, out of the configuration. */
export function healSettings(config: Config): HealSettings {
  const { mesh, heal: h } = config;
  return {
    mode: h.mode,
    meshInterface: mesh.interface,
    own: mesh.own,
    algorithm: mesh.algorithm,
    primary: mesh.primary,
    hardInterfaces: mesh.hard_interface,
    key: mesh.key === undefined ? '' : alarmKey(mesh.key.reveal()),
    pollNs: h.poll_interval,
    origIntervalMs: mesh.orig_interval / MS,
    kickCount: h.kick_count,
    kickSpacingNs: h.kick_spacing,
    kickBudget: h.kick_budget,
    senderBudget: h.sender_budget,
    alarmHops: h.alarm_hops,
    detach: h.detach,
    reattach: h.reattach,
    recreate: h.recreate,
    reattachDampingNs: h.reattach_damping,
    flapDampingNs: h.flap_damping,
    deadAfterNs: h.dead_after,
    echoNs: h.echo_interval,
    restart: h.restart,
    earnRight: h.earn_right / 100,
    earnFalse: h.earn_false / 100,
    earnCases: h.earn_cases,
    explore: h.explore,
  };
}

/** A mesh that /etc/config/network declares is netifd's to make, whatever mesh.own says: two owners would fight over it. */
export async function adopted(settings: HealSettings, log: Log): Promise<HealSettings> {
  if (!settings.own) return settings;
  const { declaresMesh } = await import('../host/netifd.ts');
  if (!(await declaresMesh(settings.meshInterface))) return settings;
  log.warning(`mesh.own does not count: the network configuration declares ${settings.meshInterface}`);
  return { ...settings, own: false };
}

/** What they follow after the file was read again: what counts from the next start only keeps its value until then. */
export function resettled(now: HealSettings, before: Config, after: Config): HealSettings {
  const { meshInterface, own, algorithm, primary, hardInterfaces } = now;
  // A mode that a person asked for stays, unless the file now asks for another one than before.
  const mode = after.heal.mode === before.heal.mode ? now.mode : after.heal.mode;
  return { ...healSettings(after), meshInterface, own, algorithm, primary, hardInterfaces, mode };
}

export function stateLimits({ state }: Config): StateLimits {
  return {
    journalEntries: state.journal_entries,
    sizeLimitKib: state.size_limit,
    writeIntervalNs: state.write_interval,
  };
}
