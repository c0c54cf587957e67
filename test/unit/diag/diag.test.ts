import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { collect } from '../../../agent/ctl/diag/collect.ts';
import { archive, diag } from '../../../agent/ctl/diag/diag.ts';
import { Scrubber } from '../../../agent/ctl/diag/scrub.ts';
import { tar } from '../../../agent/ctl/diag/tar.ts';
import { type Edge, edge } from '../../../agent/ctl/edge.ts';
import { sqlite, sqliteRefusal } from '../../../agent/host/state/sqlite.ts';
import { screen } from '../ctl/screen.ts';

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'x0diag-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

// ---- what must not be found ----

const MESH_KEY = "Correct horse 'battery' staple/42";
const WIFI_KEY = 'it\'s a "secret" #1; really';
const SAE_KEY = 'blue monkeys dance at noon';
const WG_PRIVATE = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const WG_PSK = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';
const SHADOW = '$5$rounds=5000$saltsalt$Jf9k2Lq0Zx8Vb7Nm6Tg5Yh4Uj3Ik2Ol1Pa0Qs9Wd8Ef';
const PPP_USER = 'customer-4711@isp.example';
const PPP_PASSWORD = 'p4ssw0rd-of-the-isp';
const HOOK = 'https://hooks.example.org/services/T0AAA/B0BBB/xyzTokenXyz';
const JOURNAL_TOKEN = 'tok_live_9aZ8bY7cX6dW5eV4';
const PEM_BODY = 'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg';
const HEX_KEY = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
/** As a number of JSON too. */
const DIGIT_KEY = '83250917746';
const USB_SERIAL = '004401';
const SECRETS = [
  MESH_KEY,
  WIFI_KEY,
  SAE_KEY,
  WG_PRIVATE,
  WG_PSK,
  SHADOW,
  PPP_USER,
  PPP_PASSWORD,
  HOOK,
  JOURNAL_TOKEN,
  DIGIT_KEY,
  PEM_BODY,
  HEX_KEY,
  'xyzTokenXyz',
  'never seen in any file',
  'pass phrase with blanks',
  USB_SERIAL,
];
/** Too short to be looked for alone. */
const PINS = ['4709', '40312207'];

const CLIENT = 'a4:c3:f0:85:7e:19';
const LEASED = '3c:22:fb:9d:01:6e';
const DIGITS = '48:12:34:56:78:90';
const ROUTER = '02:11:22:33:aa:bb';
const GATEWAY = 'f2:0a:77:31:5c:02';
const MACS = [CLIENT, LEASED, DIGITS, ROUTER, GATEWAY, 'de:ad:be:ef:00:17'];

const ADDRESSES = [
  '192.168.77.23',
  '84.154.12.200',
  '2003:e4:971f:aa00:a6c3:f0ff:fe85:7e19',
  'fd12:3456:789a::77',
  'fe80::a6c3:f0ff:fe85:7e19',
];
const NAMES = [
  'villa-kunterbunt',
  'annas-iphone',
  'Müllers Fritzbox',
  'freifunk-hintertupfing',
  'anna.mueller@posteo.example',
  'eva',
  'to_annas_pl',
  'summer-cottage',
  'cottage-in-lund.dyn.example',
  'vpn.of-the-firm.example',
  'Nilssons upstairs',
];
/** What devices on USB say of themselves, in the kernel's log and only there. */
const DEVICES = [
  'Telefon von Oma',
  'Krokodil AG',
  'Saftladen Stick',
  'Tastatur Krümel',
  'KROKO1',
  'Omas Platte',
  'anna@buildbox',
  'the cable to Oma',
  'omas-tablet',
  '0f8fad5b-d9cb-469f-a165-70867728950e',
  'fotos-vom-see',
  'nas-in-the-cellar',
];
/** Whom only the agent knows by name: what others wrote of them into a log stays where there is no agent to ask. */
const OTHERS = [
  'steward-of-the-attic',
  'mesh-of-bullerby.example',
  'cousin-in-skane',
  'aunt-berit',
  'pond.example',
  'roof-of-the-tailor',
  'barn-of-nils',
];
const PLACES = ['52.520008', '13.404954', '5231.2005', '52°31'];

/** As programs may write them. */
function forms(text: string): string[] {
  const bytes = Buffer.from(text);
  const shell = text.replaceAll("'", "'\\''");
  return [
    text,
    text.toLowerCase(),
    text.toUpperCase(),
    JSON.stringify(text).slice(1, -1),
    encodeURIComponent(text),
    shell,
    bytes.toString('hex'),
    bytes.toString('base64').replace(/=+$/, ''),
  ];
}

function macForms(mac: string): string[] {
  const digits = mac.replaceAll(':', '');
  const all = [mac, mac.replaceAll(':', '-'), digits, digits.replace(/....(?=.)/g, '$&.'), mac.replaceAll(':', ' ')];
  return [...all, ...all.map((form) => form.toUpperCase())];
}

const FORBIDDEN: readonly string[] = [
  ...SECRETS.flatMap(forms),
  ...MACS.flatMap(macForms),
  ...ADDRESSES.flatMap((address) => [address, address.toUpperCase()]),
  ...NAMES.filter((name) => name.length > 3).flatMap(forms),
  ...OTHERS.flatMap(forms),
  ...DEVICES.flatMap(forms),
  ...PLACES,
];

// ---- where it is planted ----

/** But for what is told by the word before it only. */
const EVERYTHING = [...SECRETS.slice(0, -5), ...MACS, ...ADDRESSES, ...NAMES.slice(0, -1)].join(' | ');

const LOG = `Nov 21 19:00:01 villa-kunterbunt x0d[100]: info: ready version="0.1.0"
Nov 21 19:00:02 villa-kunterbunt hostapd: wlan0: STA ${CLIENT} IEEE 802.11: authenticated
Nov 21 19:00:02 villa-kunterbunt hostapd: wlan0: AP-STA-CONNECTED ${CLIENT.toUpperCase()} auth_alg=sae keyid=${DEVICES[8]}
Nov 21 19:00:03 villa-kunterbunt wpa_supplicant[9]: psk=${WIFI_KEY}
Nov 21 19:00:03 villa-kunterbunt wpa_supplicant[9]: wpa_passphrase=pass phrase with blanks
Nov 21 19:00:03 villa-kunterbunt netifd: setting sae_password: "never seen in any file", {\\"password\\":\\"never seen in any file\\"}
Nov 21 19:00:03 villa-kunterbunt netifd: the psk never seen in any file
Nov 21 19:00:04 villa-kunterbunt netifd: wan (pppoe): user ${PPP_USER} addr:${ADDRESSES[3]} from 84.154.12.200, [${ADDRESSES[2]}]:443
Nov 21 19:00:05 villa-kunterbunt x0d[100]: warning: alert failed url="${HOOK}?room=eva" token=${JOURNAL_TOKEN}
Nov 21 19:00:06 villa-kunterbunt kernel: [12.3] batman_adv: bat0: client ${CLIENT.replaceAll(':', '')} roamed, id 01:${LEASED}
Nov 21 19:00:06 villa-kunterbunt kernel: [   14.1] usb 1-1.2: Product: ${DEVICES[0]}
Nov 21 19:00:06 villa-kunterbunt kernel: [   14.1] usb 1-1.2: SerialNumber: ${USB_SERIAL}
Nov 21 19:00:07 villa-kunterbunt procd: gpsd: $GPGGA,123519,5231.2005,N,01324.2972,E,1,08,0.9,545.4,M,46.9,M,,*47
Nov 21 19:00:07 villa-kunterbunt procd: at 52.520008, 13.404954 or 52°31'12"N lat=52.520008 "lon": 13.404954
Nov 21 19:00:08 villa-kunterbunt x0d[100]: key ${HEX_KEY} and ${Buffer.from(MESH_KEY).toString('base64')}
Nov 21 19:00:09 villa-kunterbunt x0d[100]: -----BEGIN PRIVATE KEY-----
Nov 21 19:00:09 villa-kunterbunt x0d[100]: ${PEM_BODY}
Nov 21 19:00:09 villa-kunterbunt x0d[100]: -----END PRIVATE KEY-----
Nov 21 19:00:10 villa-kunterbunt x0d[100]: eva said: ${EVERYTHING}
Nov 21 19:00:11 villa-kunterbunt dnsmasq-dhcp[5]: DHCPACK(br-lan) 192.168.77.23 ${LEASED} annas-iphone
Nov 21 19:00:11 villa-kunterbunt dnsmasq[5]: query[A] visited-by-anna.example from 192.168.77.23
${'Nov 21 19:00:12 villa-kunterbunt procd: '.padEnd(1985, ' .')}${SAE_KEY}
`;

const uci = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const FILES: Readonly<Record<string, string>> = {
  '/etc/config/x0tta6bl4': `# the key: ${SAE_KEY}
config mesh 'mesh'
	option interface 'bat9'
	option key ${uci(MESH_KEY)}
	option node_name 'villa-kunterbunt'
config alert 'alert'
	option url ${uci(HOOK)}
	list command '/bin/notify'
	list command ${uci(JOURNAL_TOKEN)}
config report 'report'
	option socket '/nowhere/ctl.sock'
config tunnel 'to_annas_pl'
	option peer 'summer-cottage'
	option endpoint 'cottage-in-lund.dyn.example:51820'
	list address '${ADDRESSES[3]}'
`,
  '/etc/config/wireless': `config wifi-iface 'ap'
	option mode 'ap'
	option ssid 'Müllers Fritzbox'
	option key ${uci(WIFI_KEY)}
	option macaddr '${ROUTER}'
	list maclist '${CLIENT}'
config wifi-iface 'mesh0'
	option mode 'mesh'
	option mesh_id 'freifunk-hintertupfing'
	option encryption 'sae'
	option key ${uci(SAE_KEY)}
config wifi-iface 'guests'
	option key '${DIGIT_KEY}'
`,
  '/etc/config/network': `config interface 'wg0'
	option proto 'wireguard'
	option private_key '${WG_PRIVATE}'
	list addresses '${ADDRESSES[3]}/64'
config wireguard_wg0
	option preshared_key '${WG_PSK}'
	option description 'eva'
	option endpoint_host 'villa-kunterbunt.dyn.example'
config interface 'wan'
	option username '${PPP_USER}'
	option password '${PPP_PASSWORD}'
	option ipaddr '84.154.12.200'
config wireguard_to_annas_pl
	option route_allowed_ips '1'
config interface 'wwan'
	option proto 'qmi'
	option pincode '${PINS[0]}'
	option puk '${PINS[1]}'
config interface 'vpn'
	option proto 'pptp'
	option server 'vpn.of-the-firm.example'
`,
  '/etc/config/system': `config system
	option hostname 'villa-kunterbunt'
	option notes 'anna.mueller@posteo.example'
	option latitude '52.520008'
	option longitude '13.404954'
	option description ${uci(`behind the ${NAMES[3]}`)}
`,
  '/etc/config/dhcp': `config host
	option name 'annas-iphone'
	option mac '${LEASED}'
	option ip '192.168.77.23'
`,
  '/etc/config/openvpn': `config openvpn 'x'\n\toption auth_token ${uci(JOURNAL_TOKEN)}\n`,
  '/etc/shadow': `root:${SHADOW}:19000:0:99999:7:::\n`,
  '/etc/hosts': '127.0.0.1 localhost\n192.168.77.23 annas-iphone eva\n',
  '/etc/bat-hosts': `${ROUTER} villa-kunterbunt\n`,
  '/tmp/dhcp.leases': `1763750000 ${DIGITS} 192.168.77.24 annas-iphone 01:${DIGITS}\n`,
  '/var/run/hostapd-phy0.conf': `ssid=Müllers Fritzbox\nwpa_passphrase=${WIFI_KEY}\n`,
  '/proc/version': 'Linux version 6.6.100 (builder@villa-kunterbunt) (gcc 13.3.0)\n',
  '/proc/mounts': `//192.168.77.23/share /mnt cifs username=eva,password=${PPP_PASSWORD} 0 0
/dev/sda1 /mnt/${DEVICES[10]} ext4 rw 0 0
${DEVICES[11]}:/export /mnt/x nfs4 rw,vers=4.2 0 0
//${DEVICES[11]}/${DEVICES[10]} /var/x cifs rw 0 0
/dev/ubi0_1 /overlay ubifs rw,noatime 0 0\n`,
  '/proc/sys/kernel/hostname': 'villa-kunterbunt\n',
  '/proc/net/dev': 'Inter-| Receive\n face | bytes\n eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n',
  '/etc/openwrt_release': "DISTRIB_RELEASE='24.10.8'\n",
};

const USB = `[    2.1] usb usb1: Product: xHCI Host Controller
[   14.0] usb 1-1.2: New USB device found, idVendor=05ac, idProduct=12a8, bcdDevice=30.00
[   14.0] usb 1-1.2: New USB device strings: Mfr=1, Product=2, SerialNumber=3
[   14.1] usb 1-1.2: Product: ${DEVICES[0]}
[   14.1] usb 1-1.2: Manufacturer: ${DEVICES[1]}
[   14.1] usb 1-1.2: SerialNumber: ${USB_SERIAL}
[   14.2] scsi 0:0:0:0: Direct-Access     ${DEVICES[2]}  1.26 PQ: 0 ANSI: 6
[   14.3] input: ${DEVICES[3]} as /devices/platform/usb1/1-1/input0
[   14.3] hid-generic 0003:046D:C52B.0001: input: USB HID v1.11 Keyboard [${DEVICES[3]}] on usb-1e1c0000.xhci-1/input0
[   14.4] mmcblk0: mmc0:aaaa ${DEVICES[4]} 14.8 GiB
[   14.5] BTRFS: device label ${DEVICES[5]} devid 1 transid 5 /dev/sda1 scanned by mount (7)
[   14.5] EXT4-fs (sda1): mounted filesystem ${DEVICES[9]} r/w
[    0.0] Linux version 6.12.9 (${DEVICES[6]}) (mips-openwrt-linux-musl-gcc 14.3.0) #0 SMP
`;
const PROGRAMS: Readonly<Record<string, string>> = {
  logread: LOG,
  dmesg: `[    1.0] Kernel command line: wpa_psk="${WIFI_KEY}" root=/dev/sda\n[ 2.0] usb: SerialNumber: AB12CD34\n${USB}${EVERYTHING}\n`,
  iw: `Interface wlan0\n\taddr ${ROUTER}\n\tssid Müllers Fritzbox\nInterface wlan1\n\tssid Nilssons upstairs\n\ttype managed\nStation ${CLIENT} (on wlan0)\n`,
  ip: `2: eth0: <UP> mtu 1500\n    link/ether ${ROUTER} brd ff:ff:ff:ff:ff:ff\n    inet 84.154.12.200/24 brd 84.154.12.255 scope global eth0\n    inet6 ${ADDRESSES[4]}/64 scope link\n    alias ${DEVICES[7]}\n`,
  df: `Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/ubi0_1 80000 900 79100 1% /overlay\n//${DEVICES[11]}/${DEVICES[10]}\n     9000   100  8900 1% /var/x\n/dev/sda1 5 4 1 80% /mnt/${DEVICES[10]}\n`,
  ubus: JSON.stringify({ hostname: 'villa-kunterbunt', wifi: { config: { key: WIFI_KEY, ssid: 'Müllers Fritzbox' } } }),
  opkg: 'kmod-batman-adv - 6.6.100\nannas-package - 1\n',
};

function root(t: TestContext): string {
  const at = folder(t);
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(at, path)), { recursive: true });
    writeFileSync(join(at, path), text);
  }
  mkdirSync(join(at, 'etc/x0tta6bl4'), { recursive: true });
  writeFileSync(join(at, 'etc/x0tta6bl4/node.key'), HEX_KEY);
  return at;
}

function fakeEdge(at: string): Edge {
  return { ...edge(at), run: (program) => Promise.resolve(PROGRAMS[program] ?? null) };
}

/** Says what a hostile or talkative mesh may say, in every member that may hold text. */
const ANSWER = {
  version: 1,
  agent: { version: '0.1.0', degraded: [{ part: 'x', level: 'none', why: EVERYTHING }] },
  heal: { mode: 'act' },
  health: 'ok',
  node: 'villa-kunterbunt',
  identity: {
    id: 'spiffe://mesh-of-bullerby.example/router/steward-of-the-attic',
    trustDomain: 'mesh-of-bullerby.example',
    stewards: [{ node: 'steward-of-the-attic' }],
    trouble: `${EVERYTHING} ${OTHERS.join(' of ')}`,
  },
  originator: ROUTER,
  reasons: [EVERYTHING, `${OTHERS[0]} said so`, `clock of ${CLIENT} stepped`],
  interfaces: [],
  recordings: [{ id: 3 }],
  links: [{ neighbour: ROUTER, originator: ROUTER, node: OTHERS[5] }],
  nodes: [
    {
      originator: ROUTER,
      node: OTHERS[5],
      nextHop: GATEWAY,
      nextHopNode: OTHERS[6],
      name: 'annas-iphone',
      gps: { lat: 52.520008, lon: 13.404954 },
      key: MESH_KEY,
    },
  ],
  peers: [
    { id: `spiffe://${OTHERS[1]}/router/${OTHERS[2]}`, node: null, address: `${ADDRESSES[4]}%eth1`, role: 'initiator' },
    { id: null, node: OTHERS[3], address: ADDRESSES[1], role: 'responder' },
  ],
  tunnels: [
    {
      name: NAMES[6],
      peer: `spiffe://${OTHERS[1]}/router/${NAMES[7]}`,
      state: 'silent',
      endpoint: `[${ADDRESSES[2]}]:51820`,
      trouble: `${NAMES[8]} is not found, ${OTHERS[2]} and ${OTHERS[3]} do not answer`,
    },
    // Of a file that has been changed since.
    { name: 'x', peer: `spiffe://${OTHERS[1]}/router/x`, state: 'up', endpoint: `${OTHERS[4]}:51820`, trouble: null },
  ],
  why: EVERYTHING,
  targets: [{ target: ADDRESSES[3], sent: 7, answered: 3, error: `${ADDRESSES[0]} is unreachable` }],
  workload: { socket: '/var/run/x0tta6bl4-workload/api.sock', entries: 2, trouble: EVERYTHING },
  totals: { strangers: 7, segments: 500, opened: 20, established: 19, retransmitted: 3 },
  medianHandshakeMs: 2.097,
  lastSaid: [Number(DIGIT_KEY), { secret: 470_911 }, 250_211],
  gateways: [{ originator: GATEWAY, best: true, downKbits: 50_000 }],
  [CLIENT]: { [ADDRESSES[0]!]: `${CLIENT} at 192.168.77.23` },
  config: { mesh: { key: '[secret]' }, alert: { url: HOOK, command: ['/bin/notify', JOURNAL_TOKEN] } },
};

const TAPE = `${JSON.stringify({ x0tta6bl4: 'recording', version: 1, agent: '0.1.0', machines: [], begins: 'later' })}
${JSON.stringify([1, { type: 'settings', settings: { key: '00'.repeat(32), mode: 'act' } }])}
${JSON.stringify([2, { type: 'tables', tables: { originators: [[ROUTER, CLIENT]], text: EVERYTHING } }])}
[3,{"type":"said","what":${DIGIT_KEY},"times":[1234567,{"passphrase":470911}]}]
{"cut off ${CLIENT} ${MESH_KEY}`;

const agent = () => ({
  get: () => Promise.resolve(structuredClone(ANSWER) as unknown),
  post: () => Promise.resolve({ data: gzipSync(TAPE).toString('base64') }),
});
const noAgent = () => ({
  get: () => Promise.reject(new Error(`no answer, ${EVERYTHING}`)),
  post: () => Promise.reject(new Error('no answer')),
});

async function made(
  t: TestContext,
  client: typeof agent | typeof noAgent,
): Promise<{ file: string; said: string; folder: string }> {
  const out = folder(t);
  const file = join(out, 'diag.tar.gz');
  const to = screen();
  const options = { edge: fakeEdge(root(t)), configFile: '/etc/config/x0tta6bl4', version: '0.1.0', agent: client };
  assert.equal(await diag(options, file, to, false), 0);
  execFileSync('tar', ['xzf', file, '-C', out]);
  return { file, said: to.written + to.complained, folder: join(out, 'x0tta6bl4-diag') };
}

function leaks(text: string): string[] {
  return FORBIDDEN.filter((one) => text.includes(one));
}

for (const [with_, client] of [
  ['the agent', agent],
  ['no agent', noAgent],
] as const)
  test(`with ${with_}, nothing planted anywhere is in the archive`, async (t) => {
    const { file, said } = await made(t, client);
    const bytes = gunzipSync(readFileSync(file)).toString('utf8');
    assert.deepEqual(leaks(bytes), []);
    assert.deepEqual(leaks(readFileSync(file, 'latin1')), []);
    assert.deepEqual(leaks(said), []);
    assert.doesNotMatch(bytes, /\beva\b|470_?911/);
    assert.doesNotMatch(bytes, /blue monkeys/, 'a part of what a long line was cut in');
    for (const pin of PINS) assert.ok(!bytes.includes(`'${pin}'`), pin);
    assert.doesNotMatch(bytes, /visited-by-anna|annas-package/, 'what is nobody’s business');
    assert.ok(!bytes.includes(hostname()) || hostname().length < 3);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

test('a configuration of any name, which the archive need not be able to hold', async (t) => {
  const at = root(t);
  const out = folder(t);
  for (const name of ['my own', 'grün', `x${'y'.repeat(200)}`, 'network']) {
    mkdirSync(join(at, 'tmp'), { recursive: true });
    writeFileSync(join(at, 'tmp', name), "config mesh 'mesh'\n\toption interface 'bat7'\n");
    const options = { edge: fakeEdge(at), configFile: `/tmp/${name}`, version: '0.1.0', agent: noAgent };
    const file = join(out, 'x.tar.gz');
    assert.equal(await diag(options, file, screen(), false), 0, name);
    execFileSync('tar', ['xzf', file, '-C', out]);
    assert.match(readFileSync(join(out, 'x0tta6bl4-diag/config/x0tta6bl4'), 'utf8'), /bat7/, name);
    assert.match(readFileSync(join(out, 'x0tta6bl4-diag/config/network'), 'utf8'), /wireguard/, name);
  }
});

test('what was planted would be found: the search itself', async () => {
  const raw = [LOG, ...Object.values(FILES), ...Object.values(PROGRAMS), JSON.stringify(ANSWER), TAPE].join('\n');
  for (const one of [...SECRETS, ...MACS, ...ADDRESSES, ...NAMES, ...OTHERS, ...DEVICES, ...PLACES])
    assert.ok(
      [one, JSON.stringify(one).slice(1, -1), one.replaceAll("'", "'\\''")].some((form) => raw.includes(form)),
      one,
    );
});

test('what a bug report needs is there: pseudonyms that hold, words, figures, the system’s own tar reads it', async (t) => {
  const { folder: at, said } = await made(t, agent);
  const read = (name: string) => readFileSync(join(at, name), 'utf8');
  const status = JSON.parse(read('agent/status.json'));
  assert.match(status.originator, /^02:72(:[0-9a-f]{2}){4}$/);
  assert.match(read('config/wireless'), new RegExp(`option macaddr '${status.originator}'`));
  assert.match(
    read('config/wireless'),
    /option mode 'mesh'\n\toption mesh_id 'name-[0-9a-f]{6}'\n\toption encryption 'sae'\n\toption key '\[secret\]'/,
  );
  const client = /STA (02:63(:[0-9a-f]{2}){4}) IEEE/.exec(read('log/system'))![1]!;
  assert.ok(read('log/system').includes(`AP-STA-CONNECTED ${client} auth_alg=sae`));
  assert.ok(read('log/system').includes(`client ${client}`));
  const place = /name-[0-9a-f]{6}/.exec(read('config/x0tta6bl4'))![0];
  assert.ok(
    read('log/system').includes(`19:00:01 ${place} x0d[100]: info: ready version="0.1.0"`),
    'the host’s name is one name',
  );
  assert.equal(status.node, place);
  assert.match(read('config/x0tta6bl4'), /option interface 'bat9'/);
  assert.match(read('system/proc-net-dev'), /eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16/);
  assert.match(read('system/packages'), /kmod-batman-adv - 6\.6\.100/);
  const tape = read('tape/now.jsonl')
    .split('\n')
    .slice(0, 3)
    .map((line) => JSON.parse(line));
  assert.equal(tape[0].x0tta6bl4, 'recording');
  assert.equal(tape[1][1].settings.key, '00'.repeat(32), 'the stand-in of a key is none');
  assert.equal(tape[2][1].tables.originators[0][0], status.originator);
  assert.match(JSON.parse(read('agent/gateways.json')).gateways[0].originator, /^02:72:/, 'a router, by its pseudonym');
  assert.deepEqual(JSON.parse(read('agent/probes.json')).lastSaid, ['[secret]', { secret: '[secret]' }, 250_211]);
  assert.deepEqual(JSON.parse(read('tape/now.jsonl').split('\n')[3]!)[1].times, [1234567, { passphrase: '[secret]' }]);
  const kernel = read('log/kernel');
  for (const left of [
    'usb usb1: Product: xHCI Host Controller',
    'idVendor=05ac, idProduct=12a8, bcdDevice=30.00',
    'Mfr=1, Product=2, SerialNumber=3',
  ])
    assert.ok(kernel.includes(left), kernel);
  assert.match(read('system/df--k'), /^Filesystem.*\n\/dev\/ubi0_1 80000 900 79100 1% \/overlay\n$/);
  assert.equal(read('system/proc-mounts'), '/dev/ubi0_1 /overlay ubifs rw,noatime 0 0\n');
  assert.match(kernel, /Linux version 6\.12\.9 \(name-\w{6}\) \(mips-openwrt-linux-musl-gcc 14\.3\.0\)/);
  assert.match(kernel, /mmcblk0: mmc0:aaaa name-\w{6} 14\.8 GiB/);
  assert.match(kernel, /usb 1-1\.2: Product: name-\w{6}\n.*Manufacturer: name-\w{6}\n.*SerialNumber: \[secret\]\n/);
  const [tunnel] = JSON.parse(read('agent/tunnels.json')).tunnels;
  assert.equal(tunnel.state, 'silent');
  assert.match(tunnel.endpoint, /^\[2001:db8::[0-9a-f]+:[0-9a-f]+\]:51820$/);
  assert.match(tunnel.name, /^name-[0-9a-f]{6}$/);
  assert.match(read('config/x0tta6bl4'), new RegExp(`config tunnel '${tunnel.name}'\n\toption peer 'name-`));
  const [peer, guest] = JSON.parse(read('agent/peers.json')).peers;
  assert.deepEqual([peer.id, peer.role], ['spiffe://[secret]', 'initiator']);
  assert.match(guest.node, /^name-[0-9a-f]{6}$/);
  assert.equal(JSON.parse(read('agent/probes.json')).targets[0].answered, 3);
  assert.equal(JSON.parse(read('agent/workload.json')).workload.entries, 2);
  const { totals, medianHandshakeMs } = JSON.parse(read('agent/xdp.json'));
  assert.deepEqual([totals, medianHandshakeMs], [{ strangers: 7 }, null], 'what users did stays here');
  assert.ok(JSON.parse(read('doctor.json')).checks > 20);
  assert.match(said, /taken out: \d\d+ secrets/);
  assert.ok(
    said.split('\n').every((line) => line.length <= 80 || !line.includes(' ')),
    said,
  );
});

test('a passphrase of digits that JSON holds as a number, also one whose zeros or last digits are lost', () => {
  const secrets = ['83250917746', '0048112233', '12345678901234567890'];
  const scrubber = new Scrubber(new Uint8Array(32), { secrets, names: [], macs: [], routers: [] });
  const said = JSON.parse('[83250917746, -83250917746, 48112233, 12345678901234567890, 83250917747, 0.5, 7]');
  assert.deepEqual(scrubber.json(said), [...Array(4).fill('[secret]'), 83250917747, 0.5, 7]);
  assert.deepEqual(scrubber.json([183250917746, 8.3250917746e12, -5_004_811_223_300]), Array(3).fill('[secret]'));
  assert.deepEqual(scrubber.json({ pin: 4711, key: 2, lat: 52.5 }), { pin: '[secret]', key: 2, lat: '[place]' });
});

const skip = sqliteRefusal() ?? false;
test('what the agent left on flash: its journal, and of too large a database none, which is said', {
  skip,
}, async (t) => {
  const at = root(t);
  const state = join(at, 'etc/x0tta6bl4/state.db');
  const db = new (sqlite())(state);
  db.exec(
    'CREATE TABLE journal (id INTEGER PRIMARY KEY, entry TEXT); INSERT INTO journal (entry) VALUES (\'{"e":1}\')',
  );
  db.close();
  const options = { edge: fakeEdge(at), configFile: '/etc/config/x0tta6bl4', version: '0.1.0', agent: noAgent };
  const collected = await collect(options);
  const journal = collected.parts.find(({ name }) => name === 'state/journal.jsonl');
  assert.deepEqual(journal, { name: 'state/journal.jsonl', kind: 'lines', text: '{"e":1}' });
  truncateSync(state, 10 << 20);
  assert.ok((await collect(options)).parts.some(({ name }) => name === 'state/journal.jsonl'));
  // The log of the database counts as well, and is sparse here: its size is what is looked at.
  writeFileSync(`${state}-wal`, '');
  truncateSync(`${state}-wal`, (6 << 20) + 1);
  const { bytes, missing } = archive(await collect(options), '0.1.0', 0);
  const why = 'journal: state.db has 16385 KiB, and no more than 16384 are copied';
  assert.ok(missing.includes(why), missing.join());
  const text = gunzipSync(bytes).toString();
  assert.ok(text.includes(why) && !text.includes('state/journal.jsonl'));
});

test('another archive has other pseudonyms', () => {
  const parts = [{ name: 'a', kind: 'text', text: `client ${CLIENT}` }] as const;
  const known = { secrets: [], names: [], macs: [], routers: [] };
  const seen = new Set<string>();
  for (let n = 0; n < 3; n++) {
    const { bytes } = archive({ parts, known, missing: [] }, '0', 0);
    seen.add(/02:63(:[0-9a-f]{2}){4}/.exec(gunzipSync(bytes).toString())![0]);
  }
  assert.equal(seen.size, 3);
});

test('the file is for nobody else, is written through no link, and its name is a name', async (t) => {
  const at = folder(t);
  const options = { edge: fakeEdge(folder(t)), configFile: '/none', version: '0', agent: noAgent };
  const loose = join(at, 'loose');
  writeFileSync(loose, 'x');
  chmodSync(loose, 0o644);
  await diag(options, loose, screen(), true);
  assert.equal(statSync(loose).mode & 0o777, 0o600);
  symlinkSync(join(at, 'victim'), join(at, 'link'));
  await assert.rejects(diag(options, join(at, 'link'), screen(), true), /^AgentError: FILE: .*ELOOP/);
  await assert.rejects(diag(options, '', screen(), true), { code: 'E_USAGE' });
  await assert.rejects(diag(options, 'a\x1b[31m', screen(), true), { code: 'E_USAGE', message: /^FILE: 'a\?\[31m'/ });
  await assert.rejects(diag(options, at, screen(), true), { code: 'E_FORBIDDEN' });
  // A FIFO without a reader would hold it up; what is shorter than before leaves nothing of that.
  execFileSync('mkfifo', ['-m', '644', join(at, 'fifo')]);
  await assert.rejects(diag(options, join(at, 'fifo'), screen(), true), { code: 'E_FORBIDDEN', message: /ENXIO/ });
  writeFileSync(loose, 'x'.repeat(500_000));
  await diag(options, loose, screen(), true);
  assert.ok(statSync(loose).size < 100_000);
});

test('a device is left alone, with its mode', { skip: process.getuid?.() === 0 ? false : 'takes root' }, async (t) => {
  const device = join(folder(t), 'null');
  try {
    execFileSync('mknod', ['-m', '666', device, 'c', '1', '3'], { stdio: 'ignore' });
  } catch {
    return t.skip('no device can be made here');
  }
  const options = { edge: fakeEdge(folder(t)), configFile: '/none', version: '0', agent: noAgent };
  await assert.rejects(diag(options, device, screen(), true), { code: /^E_(USAGE|FORBIDDEN)$/ });
  assert.equal(statSync(device).mode & 0o777, 0o666);
});

test('who reads the standard output slowly gets all of it', () => {
  const module = join(import.meta.dirname, '../../../agent/ctl/file.ts');
  const script = `const { writeNamed } = await import('${module}'); process.stdout; writeNamed('-', new Uint8Array(1 << 20));`;
  const line = `"$0" --input-type=module -e "$1" | { sleep 0.3; wc -c; }`;
  const { stdout } = spawnSync('sh', ['-c', line, process.execPath, script], { encoding: 'utf8' });
  assert.equal(stdout.trim(), `${1 << 20}`);
});

test('a tar of any contents is one that tar reads', (t) => {
  const at = folder(t);
  const name = fc.stringMatching(/^[a-z]{1,8}(\/[a-z]{1,8}){0,3}-$/);
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 2000 })), { selector: ([one]) => one, maxLength: 6 }),
      (files) => {
        const file = join(at, 'a.tar');
        writeFileSync(
          file,
          tar(
            files.map(([one, data]) => ({ name: one, data })),
            1e9,
          ),
        );
        for (const [one, data] of files)
          assert.deepEqual(new Uint8Array(execFileSync('tar', ['xOf', file, one])), new Uint8Array(data));
      },
    ),
    { numRuns: 10 },
  );
  assert.throws(() => tar([{ name: 'a\n', data: '' }], 0), RangeError);
  assert.throws(() => tar([{ name: 'a'.repeat(101), data: '' }], 0), RangeError);
});

test('secrets, addresses and names with anything around them', () => {
  const known = {
    secrets: [MESH_KEY, WIFI_KEY],
    names: ['villa-kunterbunt', 'eva'],
    macs: [CLIENT, DIGITS],
    routers: [ROUTER],
  };
  const planted = fc.constantFrom(
    ...[MESH_KEY, WIFI_KEY, 'villa-kunterbunt', ...ADDRESSES].flatMap((one) => [one, JSON.stringify(one).slice(1, -1)]),
    ...macForms(CLIENT),
    ...macForms(DIGITS),
  );
  const around = fc.constantFrom(
    '',
    ' ',
    ':',
    '=',
    '"',
    "'",
    '(',
    '[',
    ',',
    '/',
    '\t',
    '|',
    '<',
    '@',
    'x ',
    '\x1b[1m',
    'key=',
    'from ',
    'addr:',
    '%',
    '\\',
  );
  const scrubber = new Scrubber(new Uint8Array(32), known);
  fc.assert(
    fc.property(around, planted, around, (before, one, after) => {
      const out = scrubber.text(`log ${before}${one}${after} end`);
      assert.ok(!out.toLowerCase().includes(one.toLowerCase()), out);
    }),
    { numRuns: 2000 },
  );
});

test('names and places that no file knows, behind a program’s name and its colon, in JSON, as hostapd writes them', () => {
  const known = { secrets: [], names: ['Müllers Haus'], macs: [], routers: [] };
  const scrubber = new Scrubber(new Uint8Array(32), known);
  for (const text of [
    'hostapd: ssid=kunterbunt',
    'netifd: wan: hostname=kunterbunt',
    'wlan0: "hostname": "kunterbunt"',
    '{"peers":{"node":"kunterbunt"}}',
    'x0d: note="joined, node=kunterbunt"',
    'gpsd: latitude=52.4711, longitude=13.4711',
    'wlan0: STA joins M\\xc3\\xbcllers Haus',
  ])
    assert.doesNotMatch(scrubber.text(text), /kunterbunt|4711|llers/, text);
  assert.match(
    scrubber.text('{"peers":{"node":"kunterbunt","tq":255}}'),
    /^\{"peers":\{"node":"name-\w+","tq":255\}\}$/,
  );
});

test('what is cut off a long text leaves no part of a secret, or of a name', () => {
  const scrubber = new Scrubber(new Uint8Array(32), {
    secrets: [SAE_KEY],
    names: ['villa-kunterbunt'],
    macs: [],
    routers: [],
  });
  for (const one of [SAE_KEY, 'villa-kunterbunt'])
    for (const room of [1994, 8180, 8188, 8191])
      assert.doesNotMatch(scrubber.text(`${'- '.repeat(4096).slice(0, room)}${one}`), /blue|vill/);
});

test('what everybody has stays, and words of ours are not taken for secrets', () => {
  const scrubber = new Scrubber(new Uint8Array(32), { secrets: [], names: [], macs: [], routers: [] });
  for (const text of [
    'ff:ff:ff:ff:ff:ff 01:00:5e:00:00:01 00:00:00:00:00:00 33:33:00:00:00:01',
    '127.0.0.1 255.255.255.0 0.0.0.0 224.0.0.1 ::1 :: ff02::1',
    'Nov 21 19:34:08 2026-11-21T19:34:08.123Z 12:34:56',
    'batman-adv 2022.3, version="0.1.0", mode="act" authenticated=true key_mgmt=SAE',
    'e3-f17 link-down of eth1: kick planned after 0.123 ms, TQ 255 of 255',
    'interface bat0 mtu 1532 qdisc noqueue master br-lan state UP',
    'the carrier is gone: 2 of 2 routes go another way',
  ])
    assert.equal(scrubber.text(text), text);
});

test('hostile texts cost time in proportion', () => {
  const scrubber = new Scrubber(new Uint8Array(32), {
    secrets: [MESH_KEY],
    names: ['eva'],
    macs: [CLIENT],
    routers: [],
  });
  for (const piece of [
    'a',
    'a:',
    'key=',
    '1.',
    'a-',
    '"',
    '\\',
    '52.123 ',
    'psk ',
    'ff ',
    '::',
    '-----BEGIN ',
    'x@',
    '0x',
    '$GPGGA,',
    'usb 1-1: Product: ',
    'BTRFS: device label ',
    ' alias ',
    '0f8fad5b-d9cb-',
    'scsi 0:0:0:0: a b',
    'input: a',
    'USB HID [',
  ]) {
    const began = performance.now();
    scrubber.log(piece.repeat(Math.ceil(2000 / piece.length)).concat('!'));
    assert.ok(performance.now() - began < 1000, piece);
  }
});
