/**
 * Radios for a mesh inside the lab's QEMU kernel: mac80211_hwsim's, one in each router's namespace as `radio0`, with
 * medium.ts deciding who hears whom.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Way } from './medium.ts';
import { nsOf, run, type Struck } from './mesh.ts';

const RADIOS = '/sys/class/ieee80211';
const CHANNEL_MHZ = '2412';
/** Fragments of IBSS beacons and mesh ids alike carry it. */
const NETWORK = 'x0lab';

export type RadioType = 'mesh' | 'ibss';

export interface MediumCount {
  readonly frames: number;
  readonly unicast: number;
  readonly delivered: number;
  /** Unicast frames that nobody acknowledged. */
  readonly failed: number;
  /** Of the medium: working in all, and the longest that frames waited for it since this was asked last. */
  readonly busyNs: number;
  readonly longestNs: number;
}

/** Talks to medium.ts: changes with their instants, in order. */
export class Air {
  readonly #child;
  readonly #waiting: { settle: (answer: unknown) => void; fail: (error: Error) => void }[] = [];

  private constructor(radios: number) {
    this.#child = spawn(process.execPath, [join(import.meta.dirname, 'medium.ts'), String(radios)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) =>
      this.#waiting.shift()?.settle(JSON.parse(line)),
    );
    this.#child.stdin.on('error', () => {});
    this.#child.once('close', () => {
      for (const { fail } of this.#waiting.splice(0)) fail(new Error('the medium ended'));
    });
  }

  /** Makes the radios and their medium, in which nobody hears anybody yet. */
  static async open(radios: number): Promise<Air> {
    const modprobe = (...args: string[]) => run('modprobe', ['-d', process.env.LAB_MODULES ?? '/', ...args]);
    await modprobe('-r', 'mac80211_hwsim');
    await modprobe('mac80211_hwsim', `radios=${radios}`);
    const air = new Air(radios);
    await air.#answer();
    return air;
  }

  #answer(): Promise<unknown> {
    return new Promise((settle, fail) => this.#waiting.push({ settle, fail }));
  }

  #ask(question: object): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    return this.#answer();
  }

  set(ways: readonly Way[]): Promise<Struck> {
    return this.#ask({ set: ways }) as Promise<Struck>;
  }

  count(): Promise<MediumCount> {
    return this.#ask({ count: true }) as Promise<MediumCount>;
  }

  close(): void {
    this.#child.stdin.end();
  }
}

/**
 * Moves radio n into router n's namespace, names its interface `name`, and lets it join the network. Without 802.11n: its
 * aggregates' status hwsim does not report, and mac80211 then tells of no lost packets. Mesh points as the feed sets them up:
 * with path discovery (no `mesh_nolearn`) mac80211 drops the path to a neighbour after 25 lost frames and sends no more.
 */
export async function placeRadio(n: number, name: string, mac: string, mtu: number, type: RadioType): Promise<void> {
  // A module that was loaded again numbers its radios on.
  const phy = readdirSync(RADIOS).find((one) => {
    const address = readFileSync(join(RADIOS, one, 'macaddress'), 'utf8').trim();
    return Number.parseInt(address.split(':')[4]!, 16) === n;
  });
  if (phy === undefined) throw new Error(`there is no radio ${n}`);
  const [old] = readdirSync(join(RADIOS, phy, 'device/net'));
  const net = nsOf(n);
  await run('iw', ['phy', phy, 'set', 'netns', 'name', net]);
  const join_ =
    type === 'mesh'
      ? [`mesh join ${NETWORK} freq ${CHANNEL_MHZ}`, 'set mesh_param mesh_fwding 0', 'set mesh_param mesh_nolearn 1']
      : [`ibss join ${NETWORK} ${CHANNEL_MHZ} NOHT fixed-freq 02:ca:ff:ee:ba:be`];
  const script = [
    `ip link set ${old} name ${name} address ${mac}`,
    `iw dev ${name} set type ${type === 'mesh' ? 'mp' : 'ibss'}`,
    `ip link set ${name} mtu ${mtu} up`,
    ...join_.map((words) => `iw dev ${name} ${words}`),
    `iw dev ${name} set power_save off || true`,
  ];
  await run('ip', ['netns', 'exec', net, 'sh', '-ec', script.join('\n')]);
}
