/**
 * netifd, OpenWrt's network daemon, asked over ubus by its command line tool: which devices it has declared, and to bring
 * one up as declared. What it owns it would otherwise change back, or not know of.
 */
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';

const UBUS = '/bin/ubus';
const NETIFD = '/sbin/netifd';
/** The init script's `radio` reads there which device is meant. */
const RADIO = '/var/run/x0tta6bl4/radio';
const TIMEOUT_MS = 4000;

/** One row of `ubus call network.interface dump`, as far as it matters here. */
interface Declared {
  readonly name: string;
  readonly devices: readonly string[];
}

/** null where netifd does not run. Throws where ubus does not answer. */
export async function declaredDevices(): Promise<string[] | null> {
  if (!existsSync(UBUS) || !existsSync(NETIFD)) return null;
  return parseDump(await ubus(['call', 'network.interface', 'dump'])).flatMap(({ devices }) => [...devices]);
}

/** Answers what went wrong, or null. */
export async function bringUp(device: string): Promise<string | null> {
  try {
    const all = parseDump(await ubus(['call', 'network.interface', 'dump']));
    const found = all.find(({ devices }) => devices.includes(device));
    if (found === undefined) return `netifd does not declare ${device}`;
    await ubus(['call', `network.interface.${found.name}`, 'up']);
    return null;
  } catch (thrown) {
    return `netifd: ${thrown instanceof Error ? thrown.message.split('\n', 1)[0] : String(thrown)}`;
  }
}

/** Whether /etc/config/network declares this mesh interface, up or not; false where netifd does not run or does not answer. */
export async function declaresMesh(name: string): Promise<boolean> {
  if (!existsSync(UBUS) || !existsSync(NETIFD)) return false;
  try {
    return hasMesh(await ubus(['call', 'network.interface', 'dump']), name);
  } catch {
    return false;
  }
}

/** A batadv interface has its section's name; the device is there only once it is up. */
export function hasMesh(text: string, name: string): boolean {
  const dump: unknown = JSON.parse(text);
  const rows = (dump as { interface?: unknown } | null)?.interface;
  return Array.isArray(rows) && rows.some((row) => row?.proto === 'batadv' && row.interface === name);
}

/** Interfaces that a person stopped (autostart off) are left alone. */
export function parseDump(text: string): Declared[] {
  const dump: unknown = JSON.parse(text);
  const rows = (dump as { interface?: unknown } | null)?.interface;
  if (!Array.isArray(rows)) return [];
  return rows.flatMap((row: Record<string, unknown> | null) => {
    if (typeof row?.interface !== 'string' || row.autostart === false) return [];
    const devices = [row.device, row.l3_device].filter((name): name is string => typeof name === 'string');
    return [{ name: row.interface, devices: [...new Set(devices)] }];
  });
}

function ubus(words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(UBUS, words, { timeout: TIMEOUT_MS, maxBuffer: 1 << 20 }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
}

/**
 * Has netifd take the radio of this device down and up, by the init script: what netifd tells of radios has all their keys
 * in it, which the agent shall not see, and a radio that went down comes up again whatever becomes of the agent. Answers
 * what went wrong, or null where it was begun.
 */
export async function restartRadio(device: string): Promise<string | null> {
  if (!existsSync(UBUS) || !existsSync(NETIFD)) return 'netifd does not run here';
  if (!existsSync(`/sys/class/net/${device}/phy80211`)) return `${device} is no radio`;
  try {
    writeFileSync(RADIO, `${device}\n`);
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
  return trigger('radio');
}

/** Has procd run the init script's `revert` to a file that ran before, as root. Answers what went wrong, or null. */
export function triggerRevert(sha256: string): Promise<string | null> {
  return trigger('revert', { sha256 });
}

async function trigger(
  action: 'radio' | 'revert',
  more: Readonly<Record<string, string>> = {},
): Promise<string | null> {
  if (!existsSync(UBUS)) return 'there is no ubus here to ask for it';
  try {
    const event = { type: `x0tta6bl4.${action}`, data: { package: 'x0tta6bl4', ...more } };
    await ubus(['call', 'service', 'event', JSON.stringify(event)]);
    return null;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message.split('\n', 1)[0]! : String(thrown);
  }
}
