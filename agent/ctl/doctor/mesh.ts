/** Checks of batman-adv: the module, the mesh interface, its hard interfaces, and who else is heard on them. */
import type { HardInterface, Link } from '../../core/kernel.ts';
import { advice, type Check, type Facts, install, isOpenWrt, problem, quoted } from './facts.ts';

/** What batman-adv puts in front of an Ethernet frame, with that frame's own header. */
const OVERHEAD = 32;
/** Of what users send. */
const USUAL_MTU = 1500;
const COMPAT_VERSION = 15;
const IV_OGM = 0;
const ELP = 3;
const OGM2 = 4;
/** Interfaces that never lose their carrier by themselves. */
const STEADY = new Set(['bridge', 'dummy', 'veth', 'vxlan', 'wireguard', 'gretap', 'tun']);

const noBatman = ({ kernel }: Facts): string | null =>
  kernel.module === 'loaded' || kernel.module === null ? kernel.trouble : 'the kernel has no batman-adv';
const noMesh = (facts: Facts): string | null =>
  noBatman(facts) ?? (facts.kernel.mesh === null ? `there is no ${facts.config.mesh.interface}` : null);

function linkOf({ kernel }: Facts, name: string): Link | undefined {
  return kernel.links.find((link) => link.name === name);
}

/** Hard interfaces with their links, but for one that only gives the address. */
function carriers(facts: Facts): (HardInterface & { readonly link: Link })[] {
  return facts.kernel.hard.flatMap((hard) => {
    const link = facts.kernel.links.find(({ index }) => index === hard.index);
    if (link === undefined || (link.kind === 'bridge' && portsOf(facts, link).length === 0)) return [];
    return [{ ...hard, link }];
  });
}

function portsOf({ kernel }: Facts, { index }: Link): Link[] {
  return kernel.links.filter(({ master }) => master === index);
}

/** A change of what netifd declares, or of the kernel where there is no netifd. */
function byUci(facts: Facts, uci: readonly string[], otherwise: readonly string[]): readonly string[] {
  return isOpenWrt(facts) ? [...uci, 'uci commit network && /etc/init.d/network reload'] : otherwise;
}

const module_: Check = {
  name: 'batman-adv',
  looksFor: 'the kernel module of batman-adv',
  look: (facts) => {
    const { module, release, trouble } = facts.kernel;
    if (module === 'loaded') return [];
    if (module === null) return trouble ?? 'the kernel could not be asked';
    const why = 'Without it there is no mesh, and nothing for the agent to look after.';
    if (module === 'installed')
      return [problem(`batman-adv is installed for kernel ${release} and not loaded`, why, 'modprobe batman-adv')];
    return [
      problem(
        `kernel ${release} has no module batman-adv`,
        why,
        install(facts, 'kmod-batman-adv'),
        'modprobe batman-adv',
      ),
    ];
  },
};

const meshInterface: Check = {
  name: 'mesh-interface',
  looksFor: 'the mesh interface, up, with interfaces under it',
  look: (facts) => {
    const none = noBatman(facts);
    if (none !== null) return none;
    const { interface: name, own } = facts.config.mesh;
    const link = linkOf(facts, name);
    const q = quoted(name);
    if (link === undefined || link.kind !== 'batadv') {
      const others = facts.kernel.links.filter(({ kind }) => kind === 'batadv');
      const instead = others[0]?.name;
      if (instead !== undefined)
        return [
          problem(
            `there is no ${name}, but a mesh interface ${instead}`,
            'The agent looks after the one that mesh.interface names.',
            `uci set x0tta6bl4.mesh.interface=${quoted(instead)} && uci commit x0tta6bl4`,
            '/etc/init.d/x0tta6bl4 restart',
          ),
        ];
      return [
        problem(
          link === undefined ? `there is no interface ${name}` : `${name} is no interface of batman-adv`,
          own
            ? 'The agent makes it (mesh.own), but it does not run or could not.'
            : 'Nobody has made the mesh interface.',
          ...(own
            ? ['/etc/init.d/x0tta6bl4 restart']
            : byUci(
                facts,
                [`uci set network.${q}=interface && uci set network.${q}.proto=batadv`],
                [`ip link add ${q} type batadv && ip link set ${q} up`],
              )),
        ),
      ];
    }
    const found = [];
    if (!link.up)
      found.push(problem(`${name} is down`, 'Nothing goes over it while it is down.', `ip link set ${q} up`));
    const under = carriers(facts);
    if (under.length === 0)
      found.push(
        problem(
          `${name} has no hard interface`,
          'batman-adv reaches other routers over the interfaces that are put under it, and there is none.',
          ...byUci(
            facts,
            [
              `uci set network.mesh_IFACE=interface && uci set network.mesh_IFACE.proto=batadv_hardif`,
              `uci set network.mesh_IFACE.master=${q} && uci set network.mesh_IFACE.device=IFACE`,
            ],
            [`ip link set IFACE up && ip link set IFACE master ${q}`],
          ),
        ),
      );
    return found;
  },
};

const hardInterfaces: Check = {
  name: 'hard-interface-down',
  looksFor: 'hard interfaces that are down or without a carrier',
  look: (facts) => {
    const none = noMesh(facts);
    if (none !== null) return none;
    return carriers(facts).flatMap(({ name, link, active }) => {
      if (!link.up)
        return [
          problem(
            `${name} is down`,
            'Over an interface that is down nobody is heard.',
            `ip link set ${quoted(name)} up`,
          ),
        ];
      if (!link.carrier)
        return [
          advice(
            `${name} has no carrier`,
            'The cable is not plugged in, or the radio is on no channel.',
            `ip link show ${quoted(name)}`,
            'logread | grep -e hostapd -e wpa_supplicant | tail',
          ),
        ];
      if (!active)
        return [
          problem(
            `${name} is up and batman-adv does not use it`,
            'batman-adv waits for it, as when its MTU is below what it takes.',
            `dmesg | grep batman | tail`,
            `ip link set ${quoted(name)} nomaster && ip link set ${quoted(name)} master ${quoted(facts.config.mesh.interface)}`,
          ),
        ];
      return [];
    });
  },
};

const bridged: Check = {
  name: 'bridged',
  looksFor: 'interfaces of the mesh that are ports of a bridge',
  look: (facts) => {
    if (facts.kernel.trouble !== null) return facts.kernel.trouble;
    const { kernel, radios, config } = facts;
    const meant = new Set([
      ...config.mesh.hard,
      ...radios.filter(({ type }) => type === 'mesh' || type === 'ibss').map((radio) => radio.interface),
    ]);
    const mesh = linkOf(facts, config.mesh.interface);
    return kernel.links.flatMap((link) => {
      const bridge = kernel.links.find(({ index, kind }) => index === link.master && kind === 'bridge');
      if (meant.has(link.name) && bridge !== undefined)
        return [
          problem(
            `${link.name} is a port of the bridge ${bridge.name}, not of the mesh`,
            'Frames go past batman-adv: a radio in the bridge makes loops, and its neighbours are not in the mesh.',
            ...byUci(
              facts,
              [`uci show network | grep -e ports -e ${quoted(link.name)}   # take it out there`],
              [
                `ip link set ${quoted(link.name)} nomaster`,
                `ip link set ${quoted(link.name)} master ${quoted(config.mesh.interface)}`,
              ],
            ),
          ),
        ];
      // A bridge under bat0 whose port bat0 is, or whose other ports are users'.
      const isUnder = mesh !== undefined && link.kind === 'bridge' && link.master === mesh.index;
      const ports = isUnder ? portsOf(facts, link) : [];
      if (ports.length > 0)
        return [
          advice(
            `the bridge ${link.name} is a hard interface, with the ports ${ports.map(({ name }) => name).join(', ')}`,
            'What is in that bridge hears the mesh’s own frames, and batman-adv sees one link for all its ports.',
            ...ports.map(
              ({ name }) =>
                `ip link set ${quoted(name)} nomaster && ip link set ${quoted(name)} master ${quoted(config.mesh.interface)}`,
            ),
          ),
        ];
      return [];
    });
  },
};

const mtu: Check = {
  name: 'mtu',
  looksFor: 'interfaces whose MTU is too small for batman-adv',
  look: (facts) => {
    const none = noMesh(facts);
    if (none !== null) return none;
    const mesh = facts.kernel.mesh!;
    const inner = linkOf(facts, mesh.name)?.mtu ?? USUAL_MTU;
    const { fragmentation } = mesh.settings;
    // Without fragmentation batman-adv makes the mesh interface's MTU smaller, and users' packets do not fit.
    const least = (fragmentation ? inner : Math.max(inner, USUAL_MTU)) + OVERHEAD;
    return facts.kernel.hard.flatMap(({ name, index }) => {
      const link = facts.kernel.links.find((one) => one.index === index);
      if (link === undefined || link.mtu >= least) return [];
      const seen = `${name} has an MTU of ${link.mtu}; ${mesh.name} takes ${least}`;
      const remedy = [
        `ip link set ${quoted(name)} mtu ${least}`,
        ...(isOpenWrt(facts)
          ? [`uci show network | grep -e mtu -e ${quoted(name)}   # and there: option mtu ${least}`]
          : []),
      ];
      const halved = 'Full packets go as two: half of the air time is lost, and a bad link loses twice as many.';
      const dropped = `Fragmentation is off: ${mesh.name} is left with ${inner}, full packets are lost, pings go through and pages hang.`;
      return [fragmentation ? advice(seen, halved, ...remedy) : problem(seen, dropped, ...remedy)];
    });
  },
};

const algorithm: Check = {
  name: 'algorithm',
  looksFor: 'neighbours that route by another algorithm or version',
  look: (facts) => {
    const none = noMesh(facts) ?? (facts.air === null ? 'listening takes CAP_NET_RAW' : null);
    if (none !== null) return none;
    const { algorithm: ours, name } = facts.kernel.mesh!;
    const theirs = ours === 'BATMAN_V' ? [IV_OGM] : [ELP, OGM2];
    const other = ours === 'BATMAN_V' ? 'BATMAN_IV' : 'BATMAN_V';
    const seen = new Map<string, { text: string; isVersion: boolean }>();
    for (const heard of facts.air!) {
      const key = `${heard.interface} ${heard.source}`;
      if (heard.version !== COMPAT_VERSION)
        seen.set(key, {
          text: `${heard.source} on ${heard.interface} speaks version ${heard.version} of the protocol, we ${COMPAT_VERSION}`,
          isVersion: true,
        });
      else if (theirs.includes(heard.type))
        seen.set(key, {
          text: `${heard.source} on ${heard.interface} routes by ${other}, we by ${ours}`,
          isVersion: false,
        });
    }
    return [...seen.values()]
      .slice(0, 8)
      .map(({ text, isVersion }) =>
        isVersion
          ? problem(
              text,
              'Versions do not understand each other.',
              'batctl -v   # on both; then bring the older one up to date',
            )
          : problem(
              text,
              'The two do not hear each other: all routers of a mesh need the same algorithm.',
              ...byUci(
                facts,
                [`uci set network.${quoted(name)}.routing_algo=${other}   # here, or ${ours} there`],
                [
                  `ip link del ${quoted(name)} && ip link add ${quoted(name)} type batadv ra ${other}   # or ${ours} there`,
                ],
              ),
            ),
      );
  },
};

const alone: Check = {
  name: 'nobody',
  looksFor: 'other routers in reach',
  look: (facts) => {
    const none = noMesh(facts);
    if (none !== null) return none;
    if (facts.kernel.neighbours.length > 0 || carriers(facts).every(({ link }) => !link.carrier)) return [];
    const others = new Set((facts.air ?? []).map(({ source }) => source)).size;
    if (others > 0) return [];
    return [
      advice(
        `no other router is heard on ${carriers(facts)
          .map(({ name }) => name)
          .join(', ')}`,
        'Either there is none in reach, or it is on another channel, mesh id, VLAN or cable.',
        'x0ctl doctor   # there',
        ...(isOpenWrt(facts) ? [install(facts, 'tcpdump-mini')] : []),
        `tcpdump -eni ${quoted(carriers(facts)[0]?.name ?? 'IFACE')} ether proto 0x4305`,
      ),
    ];
  },
};

const primary: Check = {
  name: 'primary',
  looksFor: 'a primary interface that never goes away',
  look: (facts) => {
    const none = noMesh(facts);
    if (none !== null) return none;
    const name = facts.kernel.mesh!.primary?.name;
    const link = name === undefined ? undefined : linkOf(facts, name);
    if (link === undefined || STEADY.has(link.kind) || carriers(facts).length < 2) return [];
    return [
      advice(
        `the primary interface is ${name}`,
        'If it goes, this router changes its address in the mesh, and all others learn the way to it anew.',
        ...(isOpenWrt(facts) ? steadyByUci(facts, link) : steadyByHand(facts)),
      ),
    ];
  },
};

/** The first that is active takes the place, and keeps it: all the others go out once. */
function makeWay(facts: Facts): string[] {
  const all = carriers(facts).map(({ name }) => quoted(name));
  const each = (verb: string) => all.map((name) => `ip link set ${name} ${verb}`).join(' && ');
  return [each('nomaster'), `${each(`master ${quoted(facts.config.mesh.interface)}`)}   # its users wait a second`];
}

/** netifd makes the mesh here, so mesh.own would not count. A bridge without ports has no carrier, and no address that stays. */
function steadyByUci(facts: Facts, link: Link): string[] {
  const mesh = facts.config.mesh.interface;
  const section = `network.${mesh.replaceAll(/\W/g, '_')}_primary`;
  const mac = `${((Number.parseInt(link.mac.slice(0, 2), 16) | 2) ^ 0x80).toString(16).padStart(2, '0')}${link.mac.slice(2)}`;
  const set = (...all: readonly string[]) => all.map((one) => `uci set ${one}`).join(' && ');
  return [
    set('network.primary0=device', 'network.primary0.type=bridge', 'network.primary0.name=primary0'),
    set('network.primary0.bridge_empty=1', 'network.primary0.mtu=1536', `network.primary0.macaddr=${mac}`),
    set(`${section}=interface`, `${section}.proto=batadv_hardif`, `${section}.master=${quoted(mesh)}`),
    set(`${section}.device=primary0`, `${section}.force_link=1`),
    'uci commit network && /etc/init.d/network reload',
    ...makeWay(facts),
  ];
}

function steadyByHand(facts: Facts): string[] {
  const { interface: mesh, own, hard } = facts.config.mesh;
  const lists = carriers(facts)
    .filter(({ name }) => !hard.includes(name))
    .map(({ name }) => `uci add_list x0tta6bl4.mesh.hard_interface=${quoted(name)}`);
  const owned = [
    [...lists, 'uci set x0tta6bl4.mesh.own=1', 'uci commit x0tta6bl4'].join(' && '),
    'systemctl restart x0d   # the agent then makes a steady one; or by hand:',
  ];
  return [
    ...(own ? [] : owned),
    `ip link add primary0 type bridge && ip link set primary0 up && ip link set primary0 master ${quoted(mesh)}`,
    ...makeWay(facts),
  ];
}

const gateway: Check = {
  name: 'gateway',
  looksFor: 'a way out of the mesh that is announced and used',
  look: (facts) => {
    const none = noMesh(facts);
    if (none !== null) return none;
    const { mesh, gateways, wayOut } = facts.kernel;
    const mode = mesh!.settings.gwMode;
    const q = quoted(mesh!.name);
    const set = (to: string) =>
      byUci(facts, [`uci set network.${q}.gw_mode=${to}`], [`batctl meshif ${q} gw_mode ${to}`]);
    if (mode === 'server' && wayOut === null)
      return [
        problem(
          'this router announces itself as a gateway and has no default route',
          'Others send their traffic here, and it ends here.',
          'ip route show default',
          ...set('off'),
        ),
      ];
    if (mode === 'client' && gateways.length === 0)
      return [
        problem(
          'this router looks for a gateway, and nobody in the mesh announces one',
          'Its users get no address and no way out, unless by a cable of their own.',
          `batctl meshif ${q} gw_mode server   # on the router with the way out`,
          ...(wayOut === null ? [] : set('server')),
        ),
      ];
    if (mode === 'off' && gateways.length === 0 && wayOut !== null)
      return [
        advice(
          `this router has a way out by ${wayOut}, and nobody in the mesh announces a gateway`,
          'Routers in gateway mode client would not find it, and DHCP goes to whoever answers first.',
          ...set('server'),
        ),
      ];
    return [];
  },
};

const address: Check = {
  name: 'address-twice',
  looksFor: 'an address that two have',
  look: (facts) => {
    const none = noMesh(facts);
    if (none !== null) return none;
    const { hard, mesh } = facts.kernel;
    const own = new Map(hard.map(({ mac, name }) => [mac, name]));
    const why = 'batman-adv tells routers by their addresses: two with one are taken for one, and frames go to either.';
    const remedy = (name: string) =>
      byUci(
        facts,
        [`uci set network.SECTION_OF_${name.toUpperCase().replaceAll(/\W/g, '_')}.macaddr=02:XX:XX:XX:XX:XX`],
        [`ip link set ${quoted(name)} address 02:XX:XX:XX:XX:XX   # digits of your choice`],
      );
    const found = [];
    for (const { source, interface: via } of new Map((facts.air ?? []).map((one) => [one.source, one])).values()) {
      const name = own.get(source);
      // On one medium our interfaces hear each other, too.
      if (name !== undefined && name === via)
        found.push(
          problem(`frames from another router come in on ${via} with its own address, ${source}`, why, ...remedy(via)),
        );
    }
    const twice = hard.filter(({ mac, name }, i) =>
      hard.some((two, j) => j < i && two.mac === mac && two.name !== name),
    );
    for (const { name, mac } of twice)
      found.push(
        advice(`${name} has the same address as another interface of ${mesh!.name}: ${mac}`, why, ...remedy(name)),
      );
    return found;
  },
};

export const MESH_CHECKS: readonly Check[] = [
  module_,
  meshInterface,
  hardInterfaces,
  bridged,
  mtu,
  algorithm,
  alone,
  primary,
  gateway,
  address,
];
