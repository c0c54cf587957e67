/**
 * One router of the bench `sync`, in a network namespace of its own: the real beacon machine, the shim's transmitter and
 * kernel stamps, over a clock that is made wrong on the way in and out. Argument: NodeSpec as JSON. Says [t, mesh, bound]
 * for every tenth of a second of the machine's own clock, and ends with its parent.
 */
import { Beacon } from '../../agent/beacon/beacon.ts';
import { beaconSettings, type ProfileName } from '../../agent/beacon/profile.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { Event } from '../../agent/core/event.ts';
import { fromHex, toHex } from '../../agent/core/hex.ts';
import type { Mac } from '../../agent/core/ids.ts';
import { STOCK_SETTINGS } from '../../agent/core/kernel.ts';
import { Log } from '../../agent/core/log.ts';
import { MS, type Nanos } from '../../agent/core/time.ts';
import { NO_SETTINGS } from '../../agent/heal/surroundings.ts';
import { openAir } from '../../agent/host/air.ts';
import { openBeat } from '../../agent/host/beat.ts';
import { Drops } from '../../agent/host/drops.ts';
import { native } from '../../agent/host/native.ts';

export interface NodeSpec {
  readonly node: Mac;
  readonly ports: readonly { readonly index: number; readonly name: string; readonly mac: Mac }[];
  readonly profile: ProfileName;
  /** Of its clock against the machine's. */
  readonly rate: number;
  readonly offset: Nanos;
  readonly startAt: Nanos;
}

/** Depth in the line of routers, machine's time, mesh time, stated bound (null: not known). */
export type Sample = readonly [t: Nanos, mesh: Nanos, bound: Nanos | null, depth: number];

const SAMPLE: Nanos = 100 * MS;

function main(spec: NodeSpec): void {
  const { node, ports, profile, rate, offset } = spec;
  const shim = native();
  const local = (t: Nanos) => offset + rate * t;
  const real = (at: Nanos) => (at - offset) / rate;
  const log = new Log('warning', (line) => void process.stderr.write(`${line}\n`));
  const settings = beaconSettings({ profile, intervalNs: 0, slotNs: 0, guardNs: 0, rateKbit: 6000, ethertype: 0x88b5 });
  const machine = new Beacon(settings, { ...NO_SETTINGS, mode: 'act', key: '5e'.repeat(32) });
  let timer: NodeJS.Timeout | undefined;
  const feed = (event: Event): void => {
    carryOut(machine.on(event, local(shim.now())));
    clearTimeout(timer);
    const at = machine.deadline();
    if (at === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(() => feed({ type: 'tick' }), Math.max(0, Math.ceil((real(at) - shim.now()) / MS)));
  };
  const drops = new Drops();
  const air = openAir({
    native: shim,
    log,
    drops,
    timestamps: true,
    onFrame: (index, frame, at) => feed({ type: 'frame', interface: index, frame: toHex(frame), at: local(at) }),
    onOwnOgm: () => {},
  });
  const beat = openBeat({
    native: shim,
    log,
    drops,
    ethertype: settings.ethertype,
    feed: (event) => feed(event.type === 'transmitted' ? { ...event, at: local(event.at) } : event),
  });
  function carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.type === 'transmit-at') beat.transmit({ ...effect, at: real(effect.at), latest: real(effect.latest) });
      else if (effect.type === 'send')
        air.send(effect.frames.map(({ interface: index, frame }) => ({ interface: index, frame: fromHex(frame) })));
    }
  }

  const common = { up: true, carrier: true, mtu: 1532, peer: 0 };
  const bat0 = { ...common, index: 9999, name: 'bat0', mac: node, master: 0, kind: 'batadv' };
  feed({ type: 'link', link: bat0, cause: 'resync' });
  for (const port of ports)
    feed({ type: 'link', link: { ...common, ...port, master: 9999, kind: 'veth' }, cause: 'resync' });
  const mesh = {
    index: 9999,
    name: 'bat0',
    mac: node,
    version: '',
    algorithm: 'BATMAN_IV' as const,
    primary: { index: 9998, name: 'primary0', mac: node },
    settings: STOCK_SETTINGS,
  };
  setTimeout(
    () => {
      feed({ type: 'started', node, epoch: 1, marks: [] });
      const tables = { mesh, hardInterfaces: [], originators: [], neighbours: [], gateways: [] };
      feed({ type: 'tables', tables });
    },
    Math.max(0, (spec.startAt - shim.now()) / MS),
  );

  let next = Math.ceil(shim.now() / SAMPLE) * SAMPLE;
  const sample = (): void => {
    const read = machine.read(local(next));
    if (read !== null) {
      const { mesh: time, bound } = read;
      const line: Sample = [next, time, Number.isFinite(bound) ? bound : null, machine.view(local(next))!.depth];
      process.stdout.write(`${JSON.stringify(line)}\n`);
    }
    while (next <= shim.now()) next += SAMPLE;
    setTimeout(sample, Math.ceil((next - shim.now()) / MS));
  };
  setTimeout(sample, Math.ceil((next - shim.now()) / MS));
  process.stdin.on('end', () => process.exit(0)).resume();
}

if (process.argv[1] === import.meta.filename) main(JSON.parse(process.argv[2]!) as NodeSpec);
