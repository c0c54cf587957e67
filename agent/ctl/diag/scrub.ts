/**
 * Takes out of texts and JSON what nobody else need know: keys and passphrases, wherever they turn up; and who and where people
 * are: addresses of cards and of the internet, names of hosts and networks, mail addresses, places. Addresses and names get
 * pseudonyms by a key that is made for one archive and kept nowhere: the same one everywhere in it, and another in the next.
 *
 * What it does not know as a secret it tells by its name or its form, and in doubt takes too much.
 */
import { createHmac } from 'node:crypto';
import { isIPv6 } from 'node:net';

const HIDDEN = '[secret]';
const PLACE = '[place]';

const SECRET =
  'key\\d*|keys|psk|sae|pass|passwd|password|passphrase|passcode|pwd|secret|token|apikey|private\\w*|preshared\\w*|auth\\w*|credentials?|pin|pincode|puk|cookie|session|url|uri|command|username|user|userid|login|identity|email|mail|contact|owner|phone|msisdn|serial|serialnumber|imei|imsi|iccid|clientid';
/** Options, members and words before '=' or ':' whose value is a secret, a place, or a name. */
const SECRET_NAME = new RegExp(
  `(^|[_.-])(${SECRET})([_.-]|$)|(password|passphrase|secret|token|apikey|privatekey|presharedkey|secretkey|accesskey)$`,
  'i',
);
/** They look like those above, and tell nothing. */
const HARMLESS_NAME = /^(authenticated|key_?mgmt|wpa_key_mgmt|keyframe|sae_pwe|auth_alg|auth_type|last_auth)$/i;
const PLACE_NAME =
  /(^|[_.-])(lat|lon|lng|latitude|longitude|altitude|alt|gps\w*|geo\w*|location|position|coordinates?|street|city|zip|zipcode|postcode)([_.-]|$)|(latitude|longitude)$/i;
const NAME_NAME =
  /(^|[_.-])(hostname|host|server|peeraddr|ssid|essid|mesh_?id|node|node_?name|by|domain|trust_?domain|search|fqdn|description|notes|label|alias|keyid)([_.-]|$)|node$/i;
/** Values that are no secret whatever their name is: a switch, a slot, nothing. And the stand-in of recordings for a key. */
const EMPTY_VALUE = /^(true|false|null|none|on|off|yes|no|\d{1,3}|0*|\[secret\]|\[place\]|name-[0-9a-f]{6})$/i;

/** A name and the sign of its value, however the name is quoted. */
const ASSIGNED = /(?<![\w.-])([\w.-]{1,80})[\\"']*\s*[=:]\s*/g;
const SECRET_WORD =
  /\b(psk|passphrase|password|passwd|secret|token|private[ -]key|preshared[ -]key)(\s+(?:is |was |to )?)(["']?)(\S+)/gi;
/** As iw and hostapd write a network's name: up to the end of the line, or of the quotes. */
const SSID_WORD = /(\bssid[ \t]+)("[^"]*"|'[^']*'|(?![:="'])[^\n]+)/gi;
/** As the kernel writes what a device on the bus says of itself: people name their phones, and each stick has its number. */
const USB_STRING = /(\busb \d[\w.-]{0,30}: (Product|Manufacturer|SerialNumber): )([^\n]+)/g;
const DEVICE_NAMES = [
  /(\bscsi \d+:\d+:\d+:\d+: \S{1,30} +)([^\n]{1,80}?)(?= +PQ: )/g,
  /(\binput: )([^\n]{1,200}?)(?= as \/devices\/)/g,
  /(\bUSB HID [^\n[]{1,40}\[)([^\]\n]{1,200})(?=\] on usb-)/g,
  /(\bmmcblk\d{1,3}: mmc\d{1,3}:[0-9a-f]{4} )([^\n]{1,40}?)(?= [\d.]{1,9} [KMGT]iB)/g,
  /(\bBTRFS: device label )([^\n]{1,256}?)(?= devid )/g,
  // What somebody wrote of an interface, as ip prints it; who built this kernel, and where.
  /(^\s{1,8}alias )([^\n]{1,256})/gm,
  /(\bLinux version \S{1,80} \()([^\s()@]{1,64}@[^\s()]{1,64})(?=\))/g,
];
/** Of file systems and partitions, by which a disk is known again. */
const UUID = /(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])/gi;
const NAMED = /(["']?)([A-Za-z_][\w.-]*)\1\s*[=:]\s*/g;
/** Quoted, or a word without what closes around it. */
const WORD = /"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;)}\]]*[^\s,;)}\]"']/y;

/** Too short, or too common, to be looked for everywhere. */
const LEAST_NAME = 3;
const LEAST_SECRET = 4;
/** Below it a name counts only as a word of its own. */
const LONG_NAME = 6;
const COMMON = new Set(
  (
    'openwrt localhost localdomain localhost.localdomain lan wan mesh router node host home none auto default local bat0 true ' +
    'false off on act observe the and root system test debian ip6-localhost ip6-loopback ip6-allnodes ip6-allrouters ' +
    'x0d x0ctl x0tta6bl4 link links status version agent heal'
  ).split(' '),
);

export interface Known {
  /** Secrets as they are: the mesh key, passphrases. */
  readonly secrets: readonly string[];
  /** Names of hosts and networks. */
  readonly names: readonly string[];
  /** Addresses of cards, wherever they were seen. */
  readonly macs: readonly string[];
  /** Of them those of routers: their pseudonyms say so. */
  readonly routers: readonly string[];
}

export interface Counts {
  secrets: number;
  macs: number;
  addresses: number;
  names: number;
  places: number;
}

/** With what a word before it and one behind it may add. */
const LONGEST_IPV6 = 80;
/** Of one text, or line: what is looked for may cost time by the square of it. */
const MOST_TEXT = 8192;
/** What goes with what is cut off: the beginning of a secret or a name there, which nobody could tell any more. */
const MOST_PART = 1024;
/** How many texts are remembered, of how many characters at most: a recording says the same words over and over. */
const MOST_MEMO = 20_000;
const MEMO_LENGTH = 80;

export class Scrubber {
  readonly counts: Counts = { secrets: 0, macs: 0, addresses: 0, names: 0, places: 0 };
  readonly #key: Uint8Array;
  readonly #routers: ReadonlySet<string>;
  readonly #secrets: RegExp | null;
  /** Secrets that JSON may hold as a number, whose zeros in front and digits behind the sixteenth it loses. */
  readonly #numbers: ReadonlySet<number>;
  /** The same among other digits, as texts have them hidden. */
  readonly #digits: RegExp | null;
  readonly #names: RegExp | null;
  readonly #macs: RegExp | null;
  readonly #pseudonyms = new Map<string, string>();
  readonly #made = new Set<string>();
  readonly #memo = new Map<string, string>();

  constructor(key: Uint8Array, { secrets, names, macs, routers }: Known) {
    this.#key = key;
    this.#routers = new Set(routers.map((mac) => mac.toLowerCase()));
    this.#secrets = anyOf(secrets.filter((one) => one.length >= LEAST_SECRET).flatMap(secretForms), 'g');
    const numbers = secrets.filter((one) => one.length >= LEAST_SECRET && /^\d+$/.test(one));
    this.#numbers = new Set(numbers.map(Number));
    this.#digits = anyOf(numbers, '');
    const wanted = names.filter((name) => name.length >= LEAST_NAME && !COMMON.has(name.toLowerCase()));
    this.#names = anyOf(wanted.flatMap(nameForms), 'gi', (form) => form.length < LONG_NAME);
    const bare = macs.filter((mac) => !isOfAll(mac)).map((mac) => mac.replaceAll(':', ''));
    this.#macs = anyOf(
      bare.flatMap((digits) => [
        digits,
        ...[' ', '-', ':'].map((by) => digits.replace(/..(?=.)/g, `$&${by}`)),
        digits.replace(/....(?=.)/g, '$&.'),
      ]),
      'gi',
    );
  }

  /** Any text: a log, what a program said. */
  text(text: string): string {
    const known = this.#memo.get(text);
    if (known !== undefined) return known;
    const out =
      text.length <= MOST_TEXT
        ? this.#text(text)
        : `${this.#text(text.slice(0, MOST_TEXT)).slice(0, -MOST_PART)} [cut]`;
    if (text.length <= MEMO_LENGTH && this.#memo.size < MOST_MEMO) this.#memo.set(text, out);
    return out;
  }

  /** Lines of one; keys stretch over several. */
  log(text: string): string {
    const whole = text.replace(/-----BEGIN [^-]*-----[\s\S]*?(-----END [^-]*-----|$)/g, () => this.#hide());
    return whole
      .split('\n')
      .map((line) => this.text(line))
      .join('\n');
  }

  /** The value of an option or a member of this name. */
  value(name: string, text: string): string {
    if (EMPTY_VALUE.test(text)) return text;
    if (PLACE_NAME.test(name)) return this.#place();
    if (isSecretName(name)) return this.#hide();
    const bare = this.#secretsOf(text);
    if (NAME_NAME.test(name) && bare === text && !isAddress(text) && !COMMON.has(text.toLowerCase()))
      return this.#name(text);
    return this.text(text);
  }

  /** Plain JSON, member by member; numbers stay but for places and secrets. */
  json(value: unknown, name = ''): unknown {
    if (typeof value === 'string') return name === '' ? this.text(value) : this.value(name, value);
    if (typeof value === 'number') return this.#number(name, value);
    if (Array.isArray(value)) return value.map((one) => this.json(one, name));
    if (typeof value !== 'object' || value === null) return value;
    const members = Object.entries(value).map(([key, member]) => [this.text(key), this.json(member, key)] as const);
    return Object.fromEntries(members);
  }

  #number(name: string, value: number): unknown {
    if (PLACE_NAME.test(name)) return this.#place();
    const digits = String(value);
    const isKnown = this.#numbers.has(Math.abs(value)) || this.#digits?.test(digits);
    const isSecret = isKnown || (isSecretName(name) && !EMPTY_VALUE.test(digits));
    return isSecret ? this.#hide() : value;
  }

  #text(text: string): string {
    let out = this.#devices(this.#secretsOf(text));
    if (this.#names !== null) out = out.replace(this.#names, (name) => this.#name(name));
    out = out.replace(/-----BEGIN [^-]*-----[\s\S]*?(-----END [^-]*-----|$)/g, () => this.#hide());
    // Whatever stands behind the scheme: hooks carry tokens in paths, and hosts are somebody's.
    out = out.replace(/\b([a-z][a-z0-9+.-]*):\/\/[^\s"'<>]+/gi, (_, scheme: string) => `${scheme}://${this.#hide()}`);
    out = out.replace(/[\w.%+-]+@[\w-]+(?:\.[\w-]+)+/g, (mail) => this.#name(mail));
    out = this.#places(out);
    out = this.#assigned(out);
    out = out.replace(
      SECRET_WORD,
      (_, name: string, gap: string, quote: string) => `${name}${gap}${quote}${this.#hide()}`,
    );
    out = this.#called(out);
    out = out.replace(SSID_WORD, (all, lead: string, value: string) => {
      const bare = value.replace(/^(["'])(.*)\1$/, '$2');
      return EMPTY_VALUE.test(bare) ? all : `${lead}${value.replace(bare, () => this.#name(bare))}`;
    });
    out = this.#addresses(out.replace(UUID, () => this.#hide()));
    // What looks random is a key, a seal or a token: hexadecimal of 24 digits, base64 of 20 with digits and both cases.
    out = out.replace(/(?:0x)?[0-9a-f]{24,}/gi, () => this.#hide());
    return out.replace(/(?<![\w+/=-])[\w+/-]{20,}={0,2}/g, (word) =>
      /\d/.test(word) && /[a-z]/.test(word) && /[A-Z]/.test(word) ? this.#hide() : word,
    );
  }

  #secretsOf(text: string): string {
    return this.#secrets === null ? text : text.replace(this.#secrets, () => this.#hide());
  }

  #devices(text: string): string {
    let out = text.replace(USB_STRING, (_, lead: string, what: string, value: string) =>
      what === 'SerialNumber' ? `${lead}${this.#hide()}` : `${lead}${this.#name(value)}`,
    );
    for (const form of DEVICE_NAMES)
      out = out.replace(form, (_, lead: string, name: string) => `${lead}${this.#name(name)}`);
    return out;
  }

  #places(text: string): string {
    let out = text.replace(/\$G[A-Z]{4},[^\r\n]*/g, () => this.#place());
    out = out.replace(/[-+]?\d{1,3}\.\d{3,}°?\s*[NS]?\s*[,;/ ]\s*[-+]?\d{1,3}\.\d{3,}°?(\s*[EW]\b)?/gi, () =>
      this.#place(),
    );
    out = out.replace(/\d{1,3}°\s*\d{1,2}['′]\s*(?:[\d.]+["″]\s*)?[NSEW]?/g, () => this.#place());
    return out;
  }

  /** NAME=value where the name tells of a secret: a quoted value, or all up to the end of the line, for passphrases have blanks. */
  #assigned(text: string): string {
    let out = '';
    let done = 0;
    for (const match of text.matchAll(ASSIGNED)) {
      const at = match.index + match[0].length;
      if (match.index < done || !isSecretName(match[1]!)) continue;
      const quoted = /^(?:"(?:[^"\\]|\\.)*"|'[^']*')/.exec(text.slice(at))?.[0];
      const end = text.indexOf('\n', at);
      const value = quoted ?? text.slice(at, end < 0 ? text.length : end);
      const bare = value.replace(/^(["'])([\s\S]*)\1$/, '$2').trim();
      // A switch may stand before further words: 'auth=0 key=...'.
      if (EMPTY_VALUE.test(bare) || EMPTY_VALUE.test(/^[^\s,;]*/.exec(bare)![0])) continue;
      const quote = quoted === undefined ? '' : quoted[0];
      out += `${text.slice(done, at)}${quote}${this.#hide()}${quote}`;
      done = at + value.length;
    }
    return out + text.slice(done);
  }

  /** NAME=value where the name tells of a place, or of somebody: of 'hostapd: ssid=home' the second. */
  #called(text: string): string {
    let out = '';
    let done = 0;
    for (const match of text.matchAll(NAMED)) {
      const name = match[2]!;
      if (match.index < done || !(PLACE_NAME.test(name) || NAME_NAME.test(name))) continue;
      WORD.lastIndex = match.index + match[0].length;
      const at = WORD.lastIndex;
      const value = WORD.exec(text)?.[0];
      if (value === undefined) continue;
      const bare = value.replace(/^(["'])([\s\S]*)\1$/, '$2');
      const quote = bare === value ? '' : value[0]!;
      out += `${text.slice(done, at)}${quote}${this.value(name, bare)}${quote}`;
      done = at + value.length;
    }
    return out + text.slice(done);
  }

  #addresses(text: string): string {
    let out = text;
    if (this.#macs !== null) out = out.replace(this.#macs, (found) => this.#mac(colons(found.replace(/[ .:-]/g, ''))));
    // Six pairs are a card's; more are a client's identifier, or a dump.
    const cards = (found: string) => {
      const pairs = found.toLowerCase().split(/[:-]/);
      return pairs.length === 6 ? this.#mac(pairs.map((pair) => pair.padStart(2, '0')).join(':')) : this.#hide();
    };
    out = out.replace(/[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5,}/gi, cards);
    out = out.replace(/(?<![0-9a-f:-])[0-9a-f]{1,2}(?:[:-][0-9a-f]{1,2}){5,}(?![0-9a-f])/gi, cards);
    out = out.replace(/(?<![0-9a-f])[0-9a-f]{2}(?: [0-9a-f]{2}){5,}(?![0-9a-f])/gi, (found) =>
      /[a-f]/i.test(found) ? this.#hide() : found,
    );
    out = out.replace(/(?<![0-9a-f.])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?![0-9a-f.])/gi, (found) =>
      this.#mac(colons(found.replaceAll('.', ''))),
    );
    out = out.replace(/(?<![0-9a-z])[0-9a-f]{12}(?![0-9a-z])/gi, (found) =>
      /[a-f]/i.test(found) && /\d/.test(found) ? this.#mac(colons(found)) : found,
    );
    out = out.replace(/[0-9a-f.]*:[0-9a-f.:]*:[0-9a-f.:]*/gi, (found) => this.#ipv6In(found));
    return out.replace(/(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)/g, (found) => this.#ipv4(found));
  }

  #mac(mac: string): string {
    if (isOfAll(mac) || this.#made.has(mac)) return mac;
    this.counts.macs += 1;
    return this.#pseudonym(`mac ${mac}`, (digest) => {
      const who = this.#routers.has(mac) ? '02:72' : '02:63';
      return `${who}:${colons(digest.toString('hex', 0, 4))}`;
    });
  }

  #ipv4(address: string): string {
    const bytes = address.split('.').map(Number);
    const first = bytes[0]!;
    // None, this machine, masks, groups: everybody has them.
    if (bytes.some((byte) => byte > 255) || first === 0 || first === 127 || first >= 224 || this.#made.has(address))
      return address;
    this.counts.addresses += 1;
    return this.#pseudonym(`ip ${address}`, (digest) => `198.${18 + (digest[0]! & 1)}.${digest[1]}.${digest[2]}`);
  }

  /** The longest IPv6 address in what may hold one: behind a word and its colon, or before what looks like more of it. */
  #ipv6In(text: string): string {
    if (text.length > LONGEST_IPV6) return this.#hide();
    for (let at = 0; at >= 0 && at < text.length; at = text.indexOf(':', at) + 1 || -1)
      for (let end = text.length; end > at + 1; end--) {
        const address = text.slice(at, end);
        if (!isIPv6(address)) continue;
        if (/^(::|::1|ff0[0-9a-f]:.*)$/i.test(address) || this.#made.has(address)) return text;
        return `${text.slice(0, at)}${this.#ipv6(address)}${text.slice(end)}`;
      }
    return text;
  }

  #ipv6(address: string): string {
    this.counts.addresses += 1;
    return this.#pseudonym(`ip ${address.toLowerCase()}`, (digest) => {
      const group = (of: number) => (digest.readUInt16BE(of) | 0x1000).toString(16);
      return `${/^fe[89ab]/i.test(address) ? 'fe80' : '2001:db8'}::${group(0)}:${group(2)}`;
    });
  }

  #name(name: string): string {
    this.counts.names += 1;
    return this.#pseudonym(`name ${name.toLowerCase()}`, (digest) => `name-${digest.toString('hex', 0, 3)}`);
  }

  #pseudonym(what: string, make: (digest: Buffer) => string): string {
    let made = this.#pseudonyms.get(what);
    if (made === undefined) {
      made = make(createHmac('sha256', this.#key).update(what).digest());
      this.#pseudonyms.set(what, made);
      this.#made.add(made);
    }
    return made;
  }

  #hide(): string {
    this.counts.secrets += 1;
    return HIDDEN;
  }

  #place(): string {
    this.counts.places += 1;
    return PLACE;
  }
}

export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name) && !HARMLESS_NAME.test(name);
}

export function isPersonalName(name: string): boolean {
  return NAME_NAME.test(name);
}

/** Groups and nobody: batman-adv's own tables are full of them. */
function isOfAll(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1 || mac === '00:00:00:00:00:00';
}

function isAddress(text: string): boolean {
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) || /^\d+(\.\d+){3}$/.test(text) || isIPv6(text);
}

function colons(digits: string): string {
  return digits.toLowerCase().replace(/..(?=.)/g, '$&:');
}

/** As it is, and as programs write it: hexadecimal, base64, percent-encoded, in JSON, in a shell. */
function secretForms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  const hex = bytes.toString('hex');
  const json = JSON.stringify(secret).slice(1, -1);
  const all = [secret, json, hex, hex.toUpperCase(), base64, base64.replaceAll('+', '-').replaceAll('/', '_')];
  return [
    ...all,
    encodeURIComponent(secret.toWellFormed()),
    secret.replaceAll("'", "'\\''"),
    secret.toLowerCase(),
    secret.toUpperCase(),
  ];
}

function nameForms(name: string): string[] {
  const json = JSON.stringify(name).slice(1, -1);
  return [
    name,
    json,
    encodeURIComponent(name.toWellFormed()),
    name.replaceAll("'", "'\\''"),
    Buffer.from(name).toString('hex'),
    ...printable(name),
  ];
}

/** As hostapd, wpa_supplicant and iw write a network's name that is not all ASCII. */
function printable(name: string): string[] {
  const bytes = [...Buffer.from(name)];
  if (bytes.every((byte) => byte < 0x7f)) return [];
  const escaped = (byte: number) => `\\x${byte.toString(16).padStart(2, '0')}`;
  return [bytes.map((byte) => (byte < 0x20 || byte > 0x7e ? escaped(byte) : String.fromCharCode(byte))).join('')];
}

/** The longest first, or a part of it would be left. */
function anyOf(
  words: readonly string[],
  flags: string,
  asWord: (word: string) => boolean = () => false,
): RegExp | null {
  const unique = [...new Set(words)].sort((a, b) => b.length - a.length);
  if (unique.length === 0) return null;
  const escaped = unique.map((word) => {
    const literal = word.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
    return asWord(word) ? `(?<![A-Za-z0-9])${literal}(?![A-Za-z0-9])` : literal;
  });
  return new RegExp(escaped.join('|'), flags);
}
