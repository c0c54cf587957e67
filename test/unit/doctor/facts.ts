/** A router on which nothing is wrong. */

import { type Link, STOCK_SETTINGS } from '../../../agent/core/kernel.ts';
import type { Facts } from '../../../agent/ctl/doctor/facts.ts';

const link = (index: number, name: string, kind: string, master: number, more: Partial<Link> = {}): Link => ({
  index,
  name,
  mac: `02:00:00:00:00:0${index}`,
  up: true,
  carrier: true,
  mtu: 1532,
  master,
  kind,
  peer: 0,
  ...more,
});

export const WELL: Facts = {
  system: {
    ownNode: '24.21.0',
    agentNode: '24.21.0',
    wallMs: Date.UTC(2026, 10, 21),
    hostName: 'attic',
    packages: 'opkg',
    availableKib: 80_000,
    totalKib: 250_000,
  },
  config: {
    file: '/etc/config/x0tta6bl4',
    exists: true,
    unread: null,
    mode: 0o600,
    problems: [],
    warnings: [],
    mesh: { interface: 'bat0', own: false, hard: ['eth1', 'wlan0'] },
    nodeName: '',
    hasKey: true,
    bpf: false,
    sizeLimitKib: 8192,
    socket: '/var/run/x0tta6bl4/ctl.sock',
  },
  state: {
    directory: '/etc/x0tta6bl4',
    volatile: null,
    freeKib: 50_000,
    keys: [{ path: '/etc/x0tta6bl4/node.key', mode: 0o600 }],
  },
  kernel: {
    release: '6.6.100',
    module: 'loaded',
    trouble: null,
    links: [
      link(1, 'lo', '', 0, { mac: '' }),
      link(3, 'bat0', 'batadv', 6, { mtu: 1500 }),
      link(4, 'primary0', 'bridge', 3),
      link(5, 'eth1', '', 3),
      link(6, 'br-lan', 'bridge', 0, { mtu: 1500 }),
      link(7, 'wlan0', '', 3),
      link(8, 'lan1', '', 6, { mtu: 1500 }),
      link(9, 'wan', '', 0, { mtu: 1500 }),
    ],
    mesh: {
      index: 3,
      name: 'bat0',
      mac: '02:00:00:00:00:03',
      version: '2024.3',
      algorithm: 'BATMAN_IV',
      primary: { index: 4, name: 'primary0', mac: '02:00:00:00:00:04' },
      settings: { ...STOCK_SETTINGS, gwMode: 'server' },
    },
    hard: [
      { index: 4, name: 'primary0', mac: '02:00:00:00:00:04', active: true },
      { index: 5, name: 'eth1', mac: '02:00:00:00:00:05', active: true },
      { index: 7, name: 'wlan0', mac: '02:00:00:00:00:07', active: true },
    ],
    neighbours: [{ neighbour: '02:00:00:00:01:05', interface: 5, interfaceName: 'eth1', lastSeenMs: 10 }],
    originators: [],
    gateways: [],
    wayOut: 'wan',
  },
  air: [{ interface: 'eth1', source: '02:00:00:00:01:05', type: 0, version: 15 }],
  radios: [
    {
      interface: 'wlan0',
      type: 'mesh',
      mac: '02:00:00:00:00:07',
      frequency: 5180,
      stations: [{ interface: 7, station: '02:00:00:00:01:07', peerLink: 'established' }],
      forwarding: false,
      discovers: false,
      heard: [{ bssid: '02:00:00:00:01:07', meshId: 'free', frequency: 5180 }],
    },
  ],
  wireless: [{ section: 'mesh0', meshId: 'free', encryption: 'sae', disabled: false }],
  supplicantMesh: true,
  country: 'DE',
  // Every right of capability.h up to CAP_CHECKPOINT_RESTORE.
  agents: [{ pid: 100, uid: 453, config: '/etc/config/x0tta6bl4', capabilities: 0x1ffffffffffn, replaced: false }],
  answer: { version: '0.1.0', mode: 'act', degraded: [], xdp: [] },
  silence: null,
  log: [],
  version: '0.1.0',
};
