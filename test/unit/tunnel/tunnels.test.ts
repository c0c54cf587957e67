/** The host's side: keys, conversation, what is kept and what is not, over a kernel that only notes what it was given. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { type Config, REPEATED } from '../../../agent/config/schema.ts';
import { Log } from '../../../agent/core/log.ts';
import { MS, SECOND } from '../../../agent/core/time.ts';
import type { WireguardDevice } from '../../../agent/host/netlink/wireguard.ts';
import { provider } from '../../../agent/host/openssl.ts';
import type { Raise, TunnelLinks } from '../../../agent/host/tunnel/links.ts';
import { readTunnels, tunnelsFile, writeTunnels } from '../../../agent/host/tunnel/memory.ts';
import { removeOthers, Tunnels } from '../../../agent/host/tunnel/tunnels.ts';
import { standardSuite } from '../../../agent/trust/keys/suite.ts';
import type { Slot } from '../../../agent/tunnel/message.ts';

type TunnelConfig = Config['tunnel'][number];

const IDS = ['spiffe://x0tta6bl4.mesh/router/a', 'spiffe://x0tta6bl4.mesh/router/b'] as const;
const STOCK = Object.fromEntries(
  Object.entries(REPEATED.tunnel.options).map(([name, option]) => [name, option.default]),
) as unknown as Omit<TunnelConfig, 'name'>;
const suite = standardSuite((await provider()).primitives);

/** Two of these see each other's handshakes: where the keys match, there is one. */
class Wires implements TunnelLinks {
  readonly paths = new Map<Slot, { device: WireguardDevice; theirs: string; psk: string; raise: Raise }>();
  readonly removed: string[] = [];
  routed: Slot | null = null;
  other: Wires | null = null;
  refuses: string | null = null;
  #index = 1;

  async found() {
    return [...this.paths].map(([slot, { device }]) => ({
      slot,
      device: this.#now(device),
      isRouted: this.routed === slot,
    }));
  }

  look = async () => [...this.paths.values()].map(({ device }) => this.#now(device));

  #now(device: WireguardDevice): WireguardDevice {
    const mine = [...this.paths.values()].find((path) => path.device === device)!;
    const theirs = [...(this.other?.paths.values() ?? [])].find(
      (path) => path.device.publicKey === mine.theirs && path.theirs === device.publicKey && path.psk === mine.psk,
    );
    const [peer] = device.peers;
    return { ...device, peers: [{ ...peer!, lastHandshakeMs: theirs === undefined ? null : Date.now() }] };
  }

  async raise(_plan: unknown, path: Raise) {
    if (this.refuses !== null) throw new Error(this.refuses);
    assert.equal(path.privateKey.reveal().length, 32);
    const { createPrivateKey, createPublicKey } = await import('node:crypto');
    const head = Buffer.from('302e020100300506032b656e04220420', 'hex');
    const key = createPrivateKey({
      key: Buffer.concat([head, path.privateKey.reveal()]),
      format: 'der',
      type: 'pkcs8',
    });
    const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64');
    if (this.routed === path.slot) this.routed = null;
    this.#index += 1;
    const peer = {
      publicKey: path.theirs,
      hasPresharedKey: true,
      endpoint: null,
      keepaliveSeconds: 0,
      lastHandshakeMs: null,
      rxBytes: 0,
      txBytes: 0,
      allowedIps: [],
    };
    this.paths.set(path.slot, {
      device: { index: this.#index, name: path.slot, publicKey, listenPort: path.listenPort, fwmark: 0, peers: [peer] },
      theirs: path.theirs,
      psk: Buffer.from(path.presharedKey.reveal()).toString('hex'),
      raise: path,
    });
  }

  async route(_plan: unknown, slot: Slot, key: string) {
    assert.equal(this.paths.get(slot)?.device.publicKey, key);
    this.routed = slot;
  }

  async lower(_plan: unknown, slot: Slot) {
    this.paths.delete(slot);
    if (this.routed === slot) this.routed = null;
  }

  async remove(name: string) {
    this.removed.push(name);
    this.paths.clear();
    this.routed = null;
  }

  joins = 0;
  async join() {
    this.joins += 1;
  }

  async call() {}
  async settle() {}
  close() {}
}

class Sites {
  readonly wires = [new Wires(), new Wires()] as const;
  readonly ends: Tunnels[] = [];
  readonly lines: string[] = [];
  readonly directory: string;
  /** Everything that was said between them. */
  readonly said: unknown[] = [];
  /** By which key each is known to the other. */
  readonly keys = ['key of a', 'key of b'];
  readonly revoked = new Set<string>();

  constructor(t: TestContext) {
    this.directory = mkdtempSync(join(tmpdir(), 'x0-tunnel-'));
    t.after(() => {
      for (const end of this.ends) end?.close();
      rmSync(this.directory, { recursive: true });
    });
    this.wires[0].other = this.wires[1];
    this.wires[1].other = this.wires[0];
  }

  async start(site: 0 | 1, more: Partial<TunnelConfig> = {}): Promise<Tunnels> {
    const end = new Tunnels({
      tunnels: [
        {
          ...STOCK,
          name: 'home',
          peer: site === 0 ? 'b' : IDS[0],
          endpoint: '192.0.2.1:6000',
          psk_interval: 0.4 * SECOND,
          ...more,
        },
      ],
      links: this.wires[site],
      mesh: 'bat0',
      file: join(this.directory, `${site}.json`),
      log: new Log('debug', (line) => void this.lines.push(line)),
      now: () => performance.now() * MS,
      wall: () => Date.now(),
      exchange: {
        own: IDS[site],
        suite,
        keyOf: (peer) => this.keys[IDS.indexOf(peer as (typeof IDS)[number])] ?? null,
        isRevoked: (key) => this.revoked.has(key),
        request: async (to, body) => {
          assert.equal(to, IDS[site === 0 ? 1 : 0]);
          this.said.push(body);
          const other = this.ends[site === 0 ? 1 : 0];
          if (other === undefined) throw new Error('nobody there');
          const answer = await other.handle(IDS[site], structuredClone(body));
          this.said.push(answer);
          return structuredClone(answer);
        },
      },
    });
    this.ends[site]?.close();
    this.ends[site] = end;
    await end.start();
    return end;
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    for (const end = Date.now() + 10_000; !holds(); await sleep(10))
      assert.ok(Date.now() < end, `${what}\n${this.lines.join('\n')}`);
  }

  renewals = (site: 0 | 1): number => this.ends[site]?.view()[0]?.renewals ?? 0;
}

test('two ends agree on keys and renew them; nothing secret is said, kept, logged or shown', async (t) => {
  const sites = new Sites(t);
  await sites.start(1);
  await sites.start(0);
  const psks = new Set<string>();
  await sites.until('three keys', () => {
    for (const wires of sites.wires) for (const { psk } of wires.paths.values()) psks.add(psk);
    return sites.renewals(0) >= 3 && sites.renewals(1) >= 3;
  });
  assert.ok(psks.size >= 3, `${psks.size} different keys`);
  const seen = [...sites.wires[0].paths.values(), ...sites.wires[1].paths.values()];
  for (const { raise } of seen) {
    assert.throws(() => raise.privateKey.reveal(), /wiped/);
    assert.throws(() => raise.presharedKey.reveal(), /wiped/);
  }
  const texts = [
    inspect(sites.said, { depth: 9, maxArrayLength: null }),
    sites.lines.join(),
    inspect(sites.ends, { depth: 9 }),
  ];
  texts.push(readFileSync(join(sites.directory, '0.json'), 'utf8'));
  for (const text of texts)
    for (const psk of psks)
      for (const form of [psk, Buffer.from(psk, 'hex').toString('base64'), Buffer.from(psk, 'hex').join(', ')])
        assert.ok(!text.includes(form));
  const [first] = sites.ends[0]!.view();
  assert.equal(first!.peer, IDS[1]);
  assert.match(first!.interface!, /^wg[ab]-home$/);
  assert.ok(
    sites.wires.every(({ joins }) => joins > 0),
    'a mesh that came up later is joined at a look',
  );
});

test('ports follow the slots, the endpoint too', async (t) => {
  const sites = new Sites(t);
  await sites.start(1, { listen_port: 7000 });
  await sites.start(0, { endpoint: '[2001:db8::1]:6000' });
  await sites.until('two keys', () => sites.renewals(0) >= 2);
  const ends = new Set<string>();
  await sites.until('both slots', () => {
    for (const [slot, { raise }] of sites.wires[0].paths)
      ends.add(`${slot} ${raise.listenPort} ${raise.endpoint?.address} ${raise.endpoint?.port} ${raise.calls}`);
    return ends.size >= 2;
  });
  assert.deepEqual([...ends].sort(), ['a 51820 2001:db8::1 6000 true', 'b 51821 2001:db8::1 6001 true']);
  const [slot, { raise }] = [...sites.wires[1].paths][0]!;
  assert.equal(raise.listenPort, slot === 'a' ? 7000 : 7001);
  assert.equal(raise.calls, false);
});

test('the next agent takes over what it finds, with the age of its key', async (t) => {
  const sites = new Sites(t);
  await sites.start(1, { psk_interval: 100 * SECOND });
  await sites.start(0, { psk_interval: 100 * SECOND });
  await sites.until('a key', () => sites.ends[0]!.view()[0]!.state === 'up' && sites.renewals(1) === 1);
  const before = sites.ends[0]!.view()[0]!;
  const key = sites.wires[0].paths.get('a')!.device.publicKey;
  await sleep(100);
  await sites.start(0, { psk_interval: 100 * SECOND });
  const after = sites.ends[0]!.view()[0]!;
  assert.equal(after.state, 'up');
  assert.ok(Math.abs(after.since! - before.since!) < 20 * MS, `${after.since} ${before.since}`);
  assert.equal(sites.wires[0].paths.get('a')!.device.publicKey, key);
  assert.equal(sites.wires[0].routed, 'a');
  const remembered = readTunnels(join(sites.directory, '0.json'));
  assert.deepEqual(
    remembered.map(({ name, peer, interface: link, key: ours }) => [name, peer, link, ours]),
    [['home', IDS[1], 'wga-home', key]],
  );
});

test('a key of before the clock was set is not 56 years old: its age is not known, and it is renewed', async (t) => {
  const sites = new Sites(t);
  await sites.start(1, { psk_interval: 100 * SECOND });
  await sites.start(0, { psk_interval: 100 * SECOND });
  await sites.until('a key', () => sites.ends[0]!.view()[0]!.state === 'up' && sites.renewals(1) === 1);
  const file = join(sites.directory, '0.json');
  for (const end of sites.ends) end!.close();
  writeTunnels(
    file,
    readTunnels(file).map((one) => ({ ...one, since: 40_000 })),
  );
  // Nobody is there to renew it with.
  delete sites.ends[1];
  const again = await sites.start(0, { psk_interval: 100 * SECOND });
  assert.equal(again.view()[0]!.since, null);
});

test('what is configured no longer is removed, once; nothing is opened where there is nothing of that', async (t) => {
  const sites = new Sites(t);
  const file = join(sites.directory, '0.json');
  const one = {
    name: 'gone',
    peer: 'x',
    interface: 'wga-gone',
    key: 'k',
    identity: '',
    since: 1,
    addresses: ['10.0.0.1'],
  };
  const log = new Log('error', () => {});
  let opened = 0;
  const open = async () => {
    opened += 1;
    return sites.wires[0];
  };
  const configured = [{ ...STOCK, name: 'home' }];
  await removeOthers(file, configured, open, log);
  writeTunnels(file, [{ ...one, name: 'home' }]);
  await removeOthers(file, configured, open, log);
  assert.equal(opened, 0);
  writeTunnels(file, [one, { ...one, name: 'home' }]);
  for (let run = 0; run < 2; run++) await removeOthers(file, configured, open, log);
  assert.deepEqual([opened, sites.wires[0].removed], [1, ['gone']]);
  assert.deepEqual(
    readTunnels(file).map(({ name }) => name),
    ['home'],
  );
  await removeOthers(file, [], open, log);
  assert.ok(!existsSync(file));
});

test('who is revoked has no tunnel any more, after a restart neither; who has its name later gets one of its own', async (t) => {
  const sites = new Sites(t);
  const slow = { psk_interval: 100 * SECOND };
  await sites.start(1, slow);
  await sites.start(0, slow);
  const up = () => sites.ends[0]!.view()[0]!.state === 'up' && sites.wires[0].routed !== null;
  await sites.until('a key', up);
  const file = join(sites.directory, '0.json');
  assert.deepEqual(
    readTunnels(file).map(({ identity }) => identity),
    ['key of b'],
  );
  sites.ends[0]!.recheck();
  await sleep(20);
  assert.deepEqual(sites.wires[0].removed, [], 'nobody is revoked');

  sites.revoked.add('key of b');
  sites.ends[0]!.recheck();
  await sites.until('it is taken down', () => sites.wires[0].removed.length === 1 && !existsSync(file));
  const [row] = sites.ends[0]!.view();
  assert.deepEqual([row!.state, row!.trouble, sites.wires[0].paths.size], ['starting', 'the other end was revoked', 0]);

  sites.keys[1] = 'another key of b';
  sites.ends[0]!.reachable(IDS[1]);
  await sites.until('another one', up);
  sites.revoked.add('another key of b');
  // The agent was not there when it was revoked.
  await sites.start(0, slow);
  assert.deepEqual(sites.wires[0].removed, ['home', 'home']);
  assert.match(sites.lines.join('\n'), /leads to spiffe:\S+\/b, which was revoked: it is taken down/);
});

test('what leads to another router than is configured now is not taken over', async (t) => {
  const sites = new Sites(t);
  await sites.start(1);
  await sites.start(0);
  await sites.until('a key', () => sites.ends[0]!.view()[0]!.state === 'up');
  sites.ends[1]!.close();
  await sites.start(0, { peer: 'z' });
  assert.deepEqual([sites.wires[0].removed, sites.wires[0].paths.size], [['home'], 0]);
  assert.equal(sites.ends[0]!.view()[0]!.state, 'starting');
});

test('the kernel refuses: said why, and tried again', async (t) => {
  const sites = new Sites(t);
  sites.wires[0].refuses = 'Device or resource busy';
  await sites.start(1);
  await sites.start(0);
  await sites.until('trouble', () => sites.ends[0]!.view()[0]!.trouble === 'Device or resource busy');
  assert.equal(sites.ends[0]!.view()[0]!.state, 'starting');
  sites.wires[0].refuses = null;
  await sites.until('a key', () => sites.renewals(0) > 0);
});

test('who has no tunnel here is told so, and so is who sends nonsense', async (t) => {
  const sites = new Sites(t);
  const end = await sites.start(0);
  assert.throws(() => end.handle('spiffe://x0tta6bl4.mesh/router/z', { step: 'please' }), { code: 'E_NOT_FOUND' });
  assert.throws(() => end.handle(IDS[1], { step: 'nonsense' }), { code: 'E_TUNNEL' });
});

test('a follower that gets a broken agreement key refuses it and lives', async (t) => {
  const sites = new Sites(t);
  const end = await sites.start(1);
  const offer = {
    step: 'offer',
    slot: 'a',
    wireguard: Buffer.alloc(32, 4).toString('base64'),
    agreement: new Uint8Array(100),
    uses: null,
    drops: [],
    calls: true,
  };
  assert.deepEqual(await end.handle(IDS[0], offer), { step: 'unknown' });
  assert.equal(sites.wires[1].paths.size, 0);
  assert.match(end.view()[0]!.trouble!, /suite/);
});

test('the memory file: atomic, readable, and nonsense in it is nothing', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'x0-tunnel-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = tunnelsFile(join(directory, 'run', 'ctl.sock'));
  assert.deepEqual(readTunnels(file), []);
  const one = { name: 'home', peer: IDS[0], interface: 'wga-home', key: 'k', identity: 'ab', since: 5, addresses: [] };
  writeTunnels(file, [one]);
  assert.deepEqual(readTunnels(file), [one]);
  assert.equal(statSync(file).mode & 0o777, 0o644);
  const { identity: _, ...older } = one;
  writeFileSync(file, JSON.stringify({ tunnels: [older, { ...one, identity: 7 }] }));
  assert.deepEqual(readTunnels(file), [{ ...one, identity: '' }], 'an older agent wrote no identity');
  for (const text of ['', '{', 'null', '{"tunnels":7}', '{"tunnels":[null,7,{"name":1}]}', '[]']) {
    writeFileSync(file, text);
    assert.deepEqual(readTunnels(file), [], text);
  }
});
