/** Checks of the router itself: clock, flash, memory, files, Node. */
import { clockText, isPlausible } from '../clock.ts';
import { advice, type Check, isOpenWrt, problem, quoted, service } from './facts.ts';

const NODE_FLOOR = [22, 13] as const;
/** KiB */
const FLASH_LEAST = 512;
const MEMORY_LEAST = 16 * 1024;

const clock: Check = {
  name: 'clock',
  looksFor: 'a clock that was set',
  look: (facts) => {
    const { wallMs } = facts.system;
    if (isPlausible(wallMs)) return [];
    return [
      problem(
        `the clock says ${clockText(wallMs)}`,
        'The journal has wrong times, certificates are not valid yet, and after a reboot others may ignore alarms.',
        isOpenWrt(facts) ? '/etc/init.d/sysntpd restart' : 'timedatectl set-ntp true',
        "date -s '2026-01-31 12:00'   # where there is no way to a time server",
      ),
    ];
  },
};

const flash: Check = {
  name: 'flash',
  looksFor: 'room for the state',
  look: ({ state, config }) => {
    const { freeKib, directory } = state;
    if (freeKib === null) return `${directory} cannot be looked at`;
    const find = `du -xak ${quoted(directory)} /overlay 2>/dev/null | sort -n | tail`;
    const limit = `uci set x0tta6bl4.state.size_limit=${Math.max(256, Math.floor(freeKib / 2))} && uci commit x0tta6bl4 && reload_config`;
    if (freeKib < FLASH_LEAST)
      return [
        problem(
          `${Math.floor(freeKib)} KiB are free where ${directory} lies`,
          'The journal and what was learned are kept in memory only, and settings cannot be saved.',
          find,
        ),
      ];
    if (freeKib < config.sizeLimitKib)
      return [
        advice(
          `${Math.floor(freeKib)} KiB are free where ${directory} lies; the state may take ${config.sizeLimitKib}`,
          'Flash that is full loses whatever is saved next, also settings.',
          limit,
          find,
        ),
      ];
    return [];
  },
};

const volatile: Check = {
  name: 'state-volatile',
  looksFor: 'a state that survives a reboot',
  look: ({ state }) =>
    state.volatile === null
      ? []
      : [
          problem(
            `${state.directory} lies on a ${state.volatile}`,
            'A reboot loses the journal, what was learned, and the boot epoch: others then ignore alarms as old.',
            'uci set x0tta6bl4.state.directory=/etc/x0tta6bl4 && uci commit x0tta6bl4',
            '/etc/init.d/x0tta6bl4 restart',
          ),
        ],
};

const node: Check = {
  name: 'node',
  looksFor: 'a Node that is new enough',
  look: (facts) => {
    const old = (version: string): boolean => {
      const [major = 0, minor = 0] = version.split('.').map(Number);
      return major < NODE_FLOOR[0] || (major === NODE_FLOOR[0] && minor < NODE_FLOOR[1]);
    };
    const { ownNode, agentNode } = facts.system;
    const version = [agentNode, ownNode].find((one) => one !== null && old(one));
    if (version === undefined || version === null) return [];
    return [
      problem(
        `Node ${version} is older than ${NODE_FLOOR.join('.')}`,
        'The agent does not start on it. OpenWrt’s own package feeds have no newer one for routers, so that it comes with an image.',
        ...(isOpenWrt(facts)
          ? [
              'scripts/feeds install -p node node && make   # where the image is built, with nxhack/openwrt-node-packages',
            ]
          : ['npm install -g n && n 24']),
        'node --version',
      ),
    ];
  },
};

const memory: Check = {
  name: 'memory',
  looksFor: 'memory for the agent',
  look: (facts) => {
    const { availableKib, totalKib } = facts.system;
    if (availableKib === null) return '/proc/meminfo cannot be read';
    if (availableKib >= MEMORY_LEAST) return [];
    return [
      problem(
        `${Math.floor(availableKib / 1024)} MiB of ${totalKib === null ? 'the' : Math.floor(totalKib / 1024)} MiB memory are available`,
        'The agent takes some 70 MiB; where memory runs out, the kernel ends a process, and it may be this one.',
        'top -bn1 | head -n 15',
        'uci set x0tta6bl4.bpf.enabled=0 && uci set x0tta6bl4.state.recorder=0 && uci commit x0tta6bl4',
        service(facts, 'restart'),
      ),
    ];
  },
};

const keyFile: Check = {
  name: 'key-readable',
  looksFor: 'files with keys that others can read',
  look: ({ config, state }) => {
    const open = state.keys.filter(({ mode }) => (mode & 0o077) !== 0);
    const found = open.map(({ path, mode }) => ({ path, mode, what: 'keys of this router' }));
    // A group may be the agent's own.
    if (config.hasKey && config.mode !== null && (config.mode & 0o007) !== 0)
      found.push({ path: config.file, mode: config.mode, what: 'the key of the mesh' });
    return found.map(({ path, mode, what }) =>
      problem(
        `${path} holds ${what} and has mode ${(mode & 0o777).toString(8).padStart(3, '0')}`,
        'Every user and program of this router can read it, and speak in its name.',
        `chmod ${path === config.file ? 'o=' : '600'} ${quoted(path)}`,
      ),
    );
  },
};

const hostName: Check = {
  name: 'name',
  looksFor: 'a name that tells this router from others',
  look: (facts) => {
    const { hostName: name } = facts.system;
    if (facts.config.nodeName !== '' || !/^(openwrt|localhost|lede|gluon|\(none\)|)(\..*)?$/i.test(name)) return [];
    return [
      advice(
        `this router is called '${name}', as every other is`,
        'In lists, logs and alerts nobody can tell which router is meant.',
        isOpenWrt(facts)
          ? 'uci set system.@system[0].hostname=NAME && uci commit system && /etc/init.d/system reload'
          : 'hostnamectl set-hostname NAME',
        'uci set x0tta6bl4.mesh.node_name=NAME && uci commit x0tta6bl4   # or only for the mesh',
        service(facts, 'restart'),
      ),
    ];
  },
};

export const SYSTEM_CHECKS: readonly Check[] = [clock, flash, volatile, node, memory, keyFile, hostName];
