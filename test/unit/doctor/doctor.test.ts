import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { settle } from '../../../agent/config/load.ts';
import { UciDocument } from '../../../agent/config/uci.ts';
import { CHECKS, diagnose } from '../../../agent/ctl/doctor/doctor.ts';
import type { Facts } from '../../../agent/ctl/doctor/facts.ts';
import { parseScan } from '../../../agent/ctl/doctor/gather.ts';
import { channelOf } from '../../../agent/ctl/doctor/radio.ts';
import { commandLines, diagnosisText } from '../../../agent/ctl/doctor/show.ts';
import { clean } from '../../../agent/ctl/terminal.ts';
import { WELL } from './facts.ts';

/** Facts that differ from a healthy router's in one part. */
type Change = { readonly [K in keyof Facts]?: Partial<Facts[K]> | Facts[K] };

function changed(change: Change): Facts {
  const facts: Record<string, unknown> = { ...WELL };
  for (const [key, value] of Object.entries(change)) {
    const before = facts[key];
    const isPlain = typeof value === 'object' && value !== null && !Array.isArray(value);
    facts[key] = isPlain && before !== null ? { ...(before as object), ...value } : value;
  }
  return facts as unknown as Facts;
}

function links(name: string, more: object) {
  return { links: WELL.kernel.links.map((link) => (link.name === name ? { ...link, ...more } : link)) };
}
const mesh = (more: object) => ({ mesh: { ...WELL.kernel.mesh!, ...more } });
const settings = (more: object) => mesh({ settings: { ...WELL.kernel.mesh!.settings, ...more } });
const radio = (more: object) => ({ radios: [{ ...WELL.radios[0]!, ...more }] });
const agents = (...more: object[]) => ({ agents: more.map((one) => ({ ...WELL.agents[0]!, ...one })) });
const GONE = { agents: [], answer: null, silence: { code: 'E_AGENT_UNREACHABLE', message: 'no answer' } } as const;
/** As the kernel shows it where there is no batman-adv. */
const BARE = {
  mesh: null,
  hard: [],
  neighbours: [],
  gateways: [],
  links: [WELL.kernel.links[0]!, WELL.kernel.links[3]!],
};

const CASES: readonly (readonly [
  what: string,
  change: Change,
  /** check and weight of all that is found, and what the first says and advises. */
  found: readonly string[],
  seen: RegExp,
  remedy: RegExp,
])[] = [
  [
    'no module',
    { kernel: { ...BARE, module: 'missing' } },
    ['batman-adv!'],
    /6\.6\.100 has no module/,
    /opkg install kmod-batman-adv/,
  ],
  [
    'no module, apk',
    { kernel: { ...BARE, module: 'missing' }, system: { packages: 'apk' } },
    ['batman-adv!'],
    /no module/,
    /^apk update && apk add kmod-batman-adv$/m,
  ],
  ['not loaded', { kernel: { ...BARE, module: 'installed' } }, ['batman-adv!'], /not loaded/, /^modprobe batman-adv$/m],
  ['no mesh', { kernel: BARE }, ['mesh-interface!'], /no interface bat0/, /network\.bat0\.proto=batadv/],
  [
    'no mesh of our own',
    { kernel: BARE, config: { mesh: { interface: 'bat0', own: true, hard: [] } } },
    ['mesh-interface!'],
    /no interface bat0/,
    /init\.d\/x0tta6bl4 restart/,
  ],
  [
    'another name',
    { config: { mesh: { interface: 'bat1', own: false, hard: [] } }, kernel: { mesh: null } },
    ['mesh-interface!'],
    /no bat1, but a mesh interface bat0/,
    /mesh\.interface=bat0/,
  ],
  ['mesh down', { kernel: links('bat0', { up: false }) }, ['mesh-interface!'], /bat0 is down/, /ip link set bat0 up/],
  [
    'nothing under it',
    { kernel: { hard: [WELL.kernel.hard[0]!], neighbours: [] } },
    ['mesh-interface!'],
    /no hard interface/,
    /batadv_hardif/,
  ],
  ['down', { kernel: links('eth1', { up: false }) }, ['hard-interface-down!'], /eth1 is down/, /ip link set eth1 up/],
  [
    'no carrier',
    { kernel: links('eth1', { carrier: false }) },
    ['hard-interface-down'],
    /eth1 has no carrier/,
    /ip link show eth1/,
  ],
  [
    'not active',
    { kernel: { hard: WELL.kernel.hard.map((one) => ({ ...one, active: one.name !== 'eth1' })) } },
    ['hard-interface-down!'],
    /does not use it/,
    /dmesg/,
  ],
  [
    'bridged',
    { kernel: { ...links('wlan0', { master: 6 }), hard: WELL.kernel.hard.slice(0, 2) } },
    ['bridged!'],
    /wlan0 is a port of the bridge br-lan/,
    /uci show network/,
  ],
  [
    'bridged, no OpenWrt',
    {
      kernel: { ...links('eth1', { master: 6 }), hard: [WELL.kernel.hard[0]!, WELL.kernel.hard[2]!] },
      system: { packages: null },
    },
    ['bridged!'],
    /eth1 is a port/,
    /ip link set eth1 master bat0/,
  ],
  [
    'a bridge with ports under it',
    { kernel: { ...links('lan1', { master: 4, mtu: 1532 }) } },
    ['bridged'],
    /bridge primary0 is a hard interface, with the ports lan1/,
    /lan1 master bat0/,
  ],
  [
    'MTU',
    { kernel: links('eth1', { mtu: 1500 }) },
    ['mtu'],
    /MTU of 1500; bat0 takes 1532/,
    /ip link set eth1 mtu 1532/,
  ],
  [
    'MTU without fragmentation',
    { kernel: { ...links('eth1', { mtu: 1500 }), ...settings({ fragmentation: false }) } },
    ['mtu!'],
    /eth1 has/,
    /mtu 1532/,
  ],
  [
    'another algorithm',
    {
      air: [
        { interface: 'eth1', source: '02:00:00:00:02:05', type: 3, version: 15 },
        { interface: 'eth1', source: '02:00:00:00:02:05', type: 4, version: 15 },
      ],
    },
    ['algorithm!'],
    /02:05 on eth1 routes by BATMAN_V, we by BATMAN_IV/,
    /routing_algo=BATMAN_V/,
  ],
  [
    'the other way round',
    { kernel: mesh({ algorithm: 'BATMAN_V' }) },
    ['algorithm!'],
    /routes by BATMAN_IV/,
    /routing_algo=BATMAN_IV/,
  ],
  [
    'another version',
    { air: [{ interface: 'eth1', source: '02:00:00:00:02:05', type: 0, version: 14 }] },
    ['algorithm!'],
    /version 14/,
    /batctl -v/,
  ],
  ['nobody', { kernel: { neighbours: [] }, air: [] }, ['nobody'], /heard on eth1, wlan0/, /ether proto 0x4305/],
  [
    'primary',
    { kernel: mesh({ primary: { index: 5, name: 'eth1', mac: '02:00:00:00:00:05' } }) },
    ['primary'],
    /primary interface is eth1/,
    /bat0_primary\.force_link=1\nuci commit network && [^\n]*reload\nip link set eth1 nomaster && ip link set wlan0 nomaster$/m,
  ],
  [
    'primary, no OpenWrt',
    {
      kernel: mesh({ primary: { index: 5, name: 'eth1', mac: '02:00:00:00:00:05' } }),
      config: { mesh: { interface: 'bat0', own: false, hard: [] } },
      system: { packages: null },
    },
    ['primary'],
    /primary interface is eth1/,
    /^(uci add_list x0tta6bl4\.mesh\.hard_interface=\w+ && ){2}uci set x0tta6bl4\.mesh\.own=1 && uci commit x0tta6bl4$/m,
  ],
  ['gateway into nothing', { kernel: { wayOut: null } }, ['gateway!'], /announces itself/, /gw_mode=off/],
  [
    'gateway nowhere',
    { kernel: { ...settings({ gwMode: 'client' }), wayOut: null } },
    ['gateway!'],
    /nobody in the mesh announces/,
    /gw_mode server/,
  ],
  ['gateway not announced', { kernel: settings({ gwMode: 'off' }) }, ['gateway'], /way out by wan/, /gw_mode=server/],
  [
    'address twice',
    { air: [{ interface: 'eth1', source: '02:00:00:00:00:05', type: 0, version: 15 }] },
    ['address-twice!'],
    /its own address, 02:00:00:00:00:05/,
    /macaddr=/,
  ],
  [
    'address twice here',
    { kernel: { hard: WELL.kernel.hard.map((one) => ({ ...one, mac: '02:00:00:00:00:04' })) } },
    ['address-twice', 'address-twice'],
    /eth1 has the same address/,
    /macaddr=/,
  ],
  [
    'radio off',
    { wireless: [{ ...WELL.wireless[0]!, disabled: true }] },
    ['radio-off!'],
    /mesh0 .* disabled/,
    /wifi reload/,
  ],
  [
    'channel',
    radio({ stations: [], heard: [{ bssid: '02:00:00:00:01:07', meshId: 'free', frequency: 2412 }] }),
    ['channel!'],
    /on channel 36; 02:00:00:00:01:07 of the same mesh is on 1$/,
    /channel=1/,
  ],
  [
    'mesh id',
    radio({ stations: [], heard: [{ bssid: '02:00:00:00:01:07', meshId: 'Free', frequency: 5180 }] }),
    ['mesh-id!'],
    /mesh id 'free'.* has 'Free'/,
    /mesh_id=Free/,
  ],
  [
    'peer link',
    radio({ stations: [{ interface: 7, station: '02:00:00:00:01:07', peerLink: 'listen' }] }),
    ['peer-link!'],
    /peer link is 'listen'/,
    /station get/,
  ],
  ['wpad', { supplicantMesh: false }, ['wpad!'], /encryption 'sae'/, /wpad-mesh/],
  ['802.11s forwards', radio({ forwarding: true }), ['mesh-fwding!'], /wlan0 forwards/, /mesh_fwding 0/],
  ['802.11s asks for paths', radio({ discovers: true }), ['mesh-nolearn'], /wlan0 asks for a path/, /mesh_nolearn 1/],
  ['country', { country: '00' }, ['country'], /no country/, /country=XX/],
  ['clock in 1970', { system: { wallMs: 86_400_000 } }, ['clock!'], /1970-01-02 00:00/, /sysntpd restart/],
  ['clock far ahead', { system: { wallMs: 1e300 } }, ['clock!'], /clock says/, /date -s/],
  ['flash full', { state: { freeKib: 100 } }, ['flash!'], /100 KiB are free/, /du -xak/],
  ['flash tight', { state: { freeKib: 4000 } }, ['flash'], /may take 8192/, /size_limit=2000/],
  ['tmpfs', { state: { volatile: 'tmpfs' } }, ['state-volatile!'], /lies on a tmpfs/, /state\.directory=/],
  [
    'Node 20',
    { system: { agentNode: '20.20.2' } },
    ['node!'],
    /Node 20\.20\.2 is older than 22\.13/,
    /^scripts\/feeds install -p node node && make /,
  ],
  ['Node 22.12', { system: { ownNode: '22.12.0', agentNode: null } }, ['node!'], /22\.12\.0/, /node --version/],
  ['memory', { system: { availableKib: 9000 } }, ['memory!'], /8 MiB of 244 MiB/, /recorder=0.*\n.*restart$/],
  [
    'key file',
    { state: { keys: [{ path: '/etc/x0tta6bl4/node.key', mode: 0o644 }] } },
    ['key-readable!'],
    /node\.key .* mode 644/,
    /chmod 600 \/etc\/x0tta6bl4\/node\.key/,
  ],
  [
    'configuration with a key',
    { config: { mode: 0o644 } },
    ['key-readable!'],
    /config\/x0tta6bl4 .* mode 644/,
    /chmod o= /,
  ],
  ['name', { system: { hostName: 'OpenWrt' } }, ['name'], /called 'OpenWrt'/, /hostname=NAME[\s\S]*x0tta6bl4 restart$/],
  [
    'no configuration',
    { config: { exists: false } },
    ['configuration'],
    /there is no/,
    /^x0ctl config defaults --write\n\/etc\/init\.d\/x0tta6bl4 reload$/,
  ],
  [
    'no configuration of another name',
    { config: { exists: false, file: '/tmp/my own' } },
    ['configuration'],
    /there is no/,
    /^x0ctl config defaults --write '\/tmp\/my own'\n/,
  ],
  [
    'an empty configuration',
    { config: { isEmpty: true } },
    ['configuration'],
    /x0tta6bl4 has no settings/,
    /^x0ctl config defaults --write$/,
  ],
  [
    'a configuration that is a directory',
    { config: { unread: 'no file' } },
    ['configuration!'],
    /is not a file/,
    /ls -l/,
  ],
  [
    'another configuration that is bad',
    { config: { file: '/tmp/my own', problems: ['/tmp/my own:3: heal.mode: expected one of off, observe, act'] } },
    ['configuration!'],
    /heal\.mode/,
    /config check '\/tmp\/my own'/,
  ],
  [
    'bad configuration',
    { config: { problems: ['x:3: heal.mode: expected one of off, observe, act'] } },
    ['configuration!'],
    /heal\.mode/,
    /config check/,
  ],
  [
    'odd configuration',
    { config: { warnings: ['x:3: unknown option heal.mod', 'x:4: more'] } },
    ['configuration'],
    /heal\.mod, and 1 more/,
    /config check/,
  ],
  ['not running', GONE, ['agent!'], /does not run$/, /x0tta6bl4 enable\n.*start/],
  [
    'not running, and why',
    { ...GONE, log: ['info: ready', 'error: Node 20.1.0 is too old code="E_USAGE"', 'x0d ended'] },
    ['agent!'],
    /its last words: error: Node 20/,
    /start/,
  ],
  [
    'not answering',
    { ...GONE, agents: WELL.agents },
    ['agent!'],
    /pid 100\) and does not answer: no answer/,
    /restart/,
  ],
  ['two agents', agents({}, { pid: 90 }), ['two-agents!'], /pids 90, 100/, /^kill 100 /],
  ['two agents of two meshes', agents({}, { pid: 90, config: '/etc/config/other' }), [], /./, /./],
  [
    'capabilities',
    agents({ capabilities: 0n }),
    ['capabilities!'],
    /without CAP_NET_ADMIN, CAP_NET_RAW/,
    /procd-ujail/,
  ],
  [
    'capabilities of BPF',
    { ...agents({ capabilities: (1n << 12n) | (1n << 13n) | (1n << 23n) }), config: { bpf: true } },
    ['capabilities!'],
    /CAP_PERFMON, CAP_BPF/,
    /ujail/,
  ],
  ['not nice', agents({ capabilities: (1n << 12n) | (1n << 13n) }), ['capabilities'], /CAP_SYS_NICE/, /restart/],
  ['root needs none', agents({ uid: 0, capabilities: 0n }), [], /./, /./],
  ['old agent', { answer: { version: '0.0.9' } }, ['old-agent!'], /version 0\.0\.9, this x0ctl 0\.1\.0/, /restart/],
  ['replaced', agents({ replaced: true }), ['old-agent'], /was replaced/, /restart/],
  [
    'no key',
    {
      config: { hasKey: false, mode: 0o644 },
      answer: { degraded: [{ part: 'alarms', level: 'none', why: 'mesh.key is not set' }] },
    },
    ['mesh-key'],
    /not set/,
    /mesh\.key=KEY && .*\nreload_config$/,
  ],
  [
    'radios that wait for the key',
    {
      wireless: [
        { ...WELL.wireless[0]!, section: 'x0mesh_5g', disabled: true, sealed: 'no' },
        { ...WELL.wireless[0]!, section: 'x0mesh_2g', disabled: true, sealed: 'no' },
      ],
      config: { hasKey: false },
      answer: { degraded: [{ part: 'alarms', level: 'none', why: 'mesh.key is not set' }] },
    },
    ['radio-off!', 'radio-off!', 'mesh-key'],
    /x0mesh_5g .* waits for the key/,
    /^uci set x0tta6bl4\.mesh\.key=KEY && .*\n\/etc\/init\.d\/x0tta6bl4 setup\n\/etc\/init\.d\/network reload && reload_config$/,
  ],
  [
    'a radio that has waited for a key, which was set without setup',
    { wireless: [{ ...WELL.wireless[0]!, section: 'x0mesh_5g', disabled: true, sealed: 'no' }] },
    ['radio-off!'],
    /x0mesh_5g .* waits for setup: mesh\.key has been set/,
    /^\/etc\/init\.d\/x0tta6bl4 setup\n\/etc\/init\.d\/network reload && reload_config$/,
  ],
  [
    'a radio with the password of an earlier key',
    { wireless: [{ ...WELL.wireless[0]!, section: 'x0mesh_5g', sealed: 'otherwise' }] },
    ['radio-key'],
    /password of x0mesh_5g .* not the one that setup makes/,
    /^\/etc\/init\.d\/x0tta6bl4 setup\n/,
  ],
  [
    'a radio that is off though there is a key',
    { wireless: [{ ...WELL.wireless[0]!, section: 'x0mesh_5g', disabled: true, sealed: 'by mesh.key' }] },
    ['radio-off!'],
    /x0mesh_5g .* is disabled/,
    /disabled=0/,
  ],
  ['observe', { answer: { mode: 'observe' } }, ['heal-mode'], /'observe'/, /heal mode act/],
  [
    'XDP',
    {
      config: { bpf: true },
      answer: {
        xdp: [{ name: 'eth1', level: 'packet-socket', why: "eth1 has somebody else's XDP program, which stays" }],
      },
    },
    ['xdp-place'],
    /eth1/,
    /xdp off/,
  ],
  [
    'degraded',
    { answer: { degraded: [{ part: 'undo', level: 'none', why: 'the undo helper does not run' }] } },
    ['degraded'],
    /undo: none/,
    /logread/,
  ],
  [
    'degraded, told elsewhere',
    { answer: { degraded: [{ part: 'alarms', level: 'none', why: 'mesh.key is not set' }] } },
    [],
    /./,
    /./,
  ],
];

test('a router on which nothing is wrong', () => {
  const { findings, skipped, checks } = diagnose(WELL);
  assert.deepEqual(findings, []);
  assert.deepEqual(skipped, []);
  assert.ok(checks >= 20);
});

for (const [what, change, found, seen, remedy] of CASES)
  test(`found: ${what}`, () => {
    const { findings } = diagnose(changed(change));
    assert.deepEqual(
      findings.map(({ check, weight }) => `${check}${weight === 'problem' ? '!' : ''}`),
      found,
    );
    if (findings.length === 0) return;
    assert.match(findings[0]!.seen, seen);
    assert.match(findings[0]!.remedy.join('\n'), remedy);
    for (const one of findings) assert.ok(one.why.length > 20 && one.remedy.length > 0, one.check);
  });

test('every check finds something in a case above', () => {
  const found = new Set(CASES.flatMap(([, change]) => diagnose(changed(change)).findings.map(({ check }) => check)));
  assert.deepEqual(
    CHECKS.map(({ name }) => name).filter((name) => !found.has(name)),
    [],
  );
});

/** An option as a person types it: the words in capitals are theirs to fill in. */
const OPTION = /uci (set|add_list) x0tta6bl4\.(\w+)\.(\w+)=('[^']*'|\S+)/g;

test('what it sets of ours is taken by the agent, all of one remedy together', () => {
  let tried = 0;
  for (const [what, change] of CASES)
    for (const openWrt of [true, false]) {
      const plain = changed(change);
      const facts = openWrt ? plain : { ...plain, system: { ...plain.system, packages: null } };
      for (const { check, remedy } of diagnose(facts).findings) {
        const { interface: name, own, hard } = facts.config.mesh;
        const document = UciDocument.parse(`config mesh 'mesh'\n\toption interface '${name}'\n`, 'x');
        const put = (section: string, option: string, value: string | string[]) =>
          document.set(document.addSection(section, section), option, value);
        put('mesh', 'own', own ? '1' : '0');
        put('mesh', 'hard_interface', [...hard]);
        const set = [...remedy.join('\n').matchAll(OPTION)];
        for (const [, verb, section, option, word] of set) {
          const value = word!.replaceAll("'", '').replace(/^(KEY|NAME)$/, 'a-word-of-theirs');
          put(section!, option!, verb === 'set' ? value : [...(document.get(section!, option!) ?? []), value]);
        }
        const { problems, warnings } = settle(document.toString(), 'x');
        if (set.length > 0) assert.deepEqual([problems, warnings], [[], []], `${what}: ${check}`);
        tried += set.length;
      }
    }
  assert.ok(tried >= 10, `${tried}`);
});

test('without the native part nothing is said of the kernel', () => {
  const { findings, skipped } = diagnose(
    changed({ kernel: { ...BARE, module: null, trouble: 'x0shim.node is missing: build it' } }),
  );
  assert.deepEqual(findings, []);
  assert.match(skipped.find(({ check }) => check === 'batman-adv')!.why, /x0shim/);
});

test('what could not be found out is told as that, and nothing is guessed', () => {
  const { findings, skipped } = diagnose(
    changed({
      ...GONE,
      agents: WELL.agents,
      silence: { code: 'E_FORBIDDEN', message: 'you may not use the socket; try as root' },
      kernel: { ...BARE, trouble: 'the tables are for root to read: run it as root' },
      air: null,
      state: { freeKib: null },
      system: { availableKib: null },
      supplicantMesh: null,
      wireless: [],
    }),
  );
  assert.deepEqual(findings, []);
  const why = Object.fromEntries(skipped.map((one) => [one.check, one.why]));
  assert.match(why['mesh-interface']!, /root/);
  assert.match(why.agent!, /root/);
  assert.match(why.flash!, /cannot be looked at/);
  assert.match(why.channel!, /wireless/);
});

test('whatever the facts hold, lines have 80 columns and nothing that commands a terminal', () => {
  const nasty = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc.constant('\x1b]0;owned\x07'),
    fc.constant('<script>alert(1)</script>'),
    fc.constant('x'.repeat(300)),
  );
  fc.assert(
    fc.property(nasty, nasty, (a, b) => {
      const all = CASES.flatMap(([, change]) => diagnose(changed(change)).findings);
      const facts = changed({
        ...radio({
          interface: a,
          stations: [],
          heard: [
            { bssid: b, meshId: a, frequency: 5180 },
            { bssid: b, meshId: 'free', frequency: 1 },
          ],
        }),
        wireless: [{ section: a, meshId: 'free', encryption: b, disabled: true, sealed: 'no' }],
        answer: { version: a, mode: b, degraded: [{ part: a, level: b, why: a }] },
        config: { file: a, problems: [b], warnings: [a] },
        system: { hostName: a },
        state: { directory: b, freeKib: 1, keys: [{ path: a, mode: 0o777 }] },
      });
      const diagnosis = { ...diagnose(facts), checks: 1 };
      for (const findings of [diagnosis.findings, all]) {
        const text = diagnosisText({ ...diagnosis, findings }, { columns: 80, color: false }, true);
        assert.match(text, /^[\x20-\x7e\n]*$/);
        // A command is not broken inside a word, which may be a path of any length.
        const isOurs = findings === all;
        for (const line of text.split('\n')) assert.ok(line.length <= 80 || (!isOurs && /\S{50}/.test(line)), line);
      }
    }),
    { numRuns: 40 },
  );
});

test('a long command is the same command to a shell', () => {
  const command = `printf '%s|' one 'two  words' "three 'quoted' ones" && printf '%s|' ${'word '.repeat(30)}   # a remark`;
  const lines = commandLines(command, 60);
  assert.ok(lines.length > 4);
  assert.ok(lines.every((line) => line.length <= 60));
  const said = (text: string) => execFileSync('sh', ['-c', text], { encoding: 'utf8' });
  assert.equal(said(lines.join('\n')), said(command));
});

test('a name from the air in a remedy stays one word of it', () => {
  for (const name of [
    "'; echo owned; '",
    '’; echo owned; ’',
    '$(echo owned)',
    '`echo owned`',
    'a\necho owned',
    '-n "owned',
  ])
    for (const { remedy } of diagnose(
      changed(radio({ stations: [], heard: [{ bssid: name, meshId: name, frequency: 5180 }] })),
    ).findings) {
      const command = commandLines(clean(remedy[0]!), 70).join('\n');
      const words = execFileSync('sh', ['-c', `uci() { printf '%s|' "$@"; }; ${command}`], { encoding: 'utf8' });
      assert.equal(words.split('|').length, 3, `${command}: ${words}`);
      assert.ok(words.startsWith('set|wireless.SECTION.mesh_id='), words);
    }
});

test('iw’s words, and channels', () => {
  const text = `BSS 02:00:00:00:01:00(on wlan0)
\tfreq: 2412.0
\tsignal: -40.00 dBm
\tSSID: 
\tMESH ID: free net
BSS 02:00:00:00:01:02(on wlan0)
\tfreq: 2412
\tlast seen: 11924 ms ago
\tMESH ID: as it was
BSS 02:00:00:00:01:02(on wlan0)
\tlast seen: 144.7s [boottime]
\tfreq: 2437
\tlast seen: 80 ms ago
\tMESH ID: as it is
BSS 02:00:00:00:01:01(on wlan0) -- joined
\tfreq: 5180
\tSSID: an access point
`;
  assert.deepEqual(parseScan(text), [
    { bssid: '02:00:00:00:01:00', meshId: 'free net', frequency: 2412 },
    { bssid: '02:00:00:00:01:02', meshId: 'as it is', frequency: 2437 },
  ]);
  assert.deepEqual(parseScan(''), []);
  assert.deepEqual([2412, 2472, 2484, 5180, 5825, 5955, 6115].map(channelOf), [1, 13, 14, 36, 165, 1, 33]);
});
