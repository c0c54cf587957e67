/** WireGuard as our netlink sets and reads it, and as Debian's `wg` does, on the same live kernel; a tunnel that carries. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { native } from '../../agent/host/native.ts';
import { openConnection } from '../../agent/host/netlink/connection.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE } from '../../agent/host/netlink/message.ts';
import { change, encodeCreateWireguard, encodeDeleteLink, getLink } from '../../agent/host/netlink/rtnetlink.ts';
import { openWireguard, type PeerChange, type WireguardDevice } from '../../agent/host/netlink/wireguard.ts';
import { SecretBytes } from '../../agent/trust/keys/secret.ts';
import { run as command } from '../../tools/lab/mesh.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, skip } from './suite.ts';

export const name = 'wireguard';
export const soak = true;

export const run = (report: Report) => inKernels(report, import.meta.filename, [{ name: 'wg' }], 1, 'qemu');

const OTHER = 'far';
const PORTS = [51_820, 51_821] as const;

/** What `wg show X dump` prints: the device, then a peer a line; '(none)' and 'off' for nothing. */
function wgDump(text: string) {
  const [device = [], ...peers] = text
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t').map((field) => (field === '(none)' || field === 'off' ? '' : field)));
  const [, publicKey = '', port = '', mark = ''] = device;
  return {
    publicKey,
    listenPort: Number(port),
    fwmark: Number(mark),
    peers: peers.map(([peer = '', preshared = '', endpoint = '', allowed = '', handshake, rx, tx, keepalive]) => ({
      publicKey: peer,
      hasPresharedKey: preshared !== '',
      endpoint,
      allowedIps: allowed.split(',').filter(Boolean).sort(),
      handshakeSeconds: Number(handshake),
      rxBytes: Number(rx),
      txBytes: Number(tx),
      keepaliveSeconds: Number(keepalive),
    })),
  };
}

function asWg({ publicKey, listenPort, fwmark, peers }: WireguardDevice): ReturnType<typeof wgDump> {
  return {
    publicKey: publicKey ?? '',
    listenPort,
    fwmark,
    peers: peers.map((peer) => ({
      publicKey: peer.publicKey,
      hasPresharedKey: peer.hasPresharedKey,
      endpoint:
        peer.endpoint === null
          ? ''
          : peer.endpoint.address.includes(':')
            ? `[${peer.endpoint.address}]:${peer.endpoint.port}`
            : `${peer.endpoint.address}:${peer.endpoint.port}`,
      allowedIps: [...peer.allowedIps].sort(),
      handshakeSeconds: Math.floor((peer.lastHandshakeMs ?? 0) / 1000),
      rxBytes: peer.rxBytes,
      txBytes: peer.txBytes,
      keepaliveSeconds: peer.keepaliveSeconds,
    })),
  };
}

const wg = (...args: string[]): Promise<string> => command('wg', args);
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const publicOf = async (secret: Uint8Array): Promise<string> =>
  (await command('wg', ['pubkey'], `${base64(secret)}\n`)).trim();

async function inside(): Promise<void> {
  await command('modprobe', ['-d', process.env.LAB_MODULES!, 'wireguard']);
  try {
    await wg('--version');
  } catch {
    skip('WireGuard', 'the Debian package wireguard-tools is missing');
    return;
  }
  const route = openConnection({ native: native(), protocol: NETLINK_ROUTE });
  const generic = openConnection({ native: native(), protocol: NETLINK_GENERIC });
  const wireguard = (await openWireguard(generic))!;
  const agrees = async (device: string): Promise<WireguardDevice> => {
    const ours = (await wireguard.device(device))!;
    assert.deepEqual(asWg(ours), wgDump(await wg('show', device, 'dump')));
    return ours;
  };

  await check('a link of its own kind is made, and is not there before', async () => {
    assert.equal(await wireguard.device('wg0'), undefined);
    assert.equal(await wireguard.device('lo'), undefined);
    for (const device of ['wg0', 'wg1']) await change(route, encodeCreateWireguard(device), 'create');
    assert.equal((await getLink(route, 'wg0'))?.kind, 'wireguard');
    const fresh = await agrees('wg0');
    assert.equal(fresh.publicKey, null);
  });

  const secrets = [randomBytes(32), randomBytes(32)] as const;
  const preshared = randomBytes(32);
  const keys = [await publicOf(secrets[0]), await publicOf(secrets[1])] as const;

  await check(
    'a device with many peers and thousands of allowed addresses is set, and read as wg reads it',
    async () => {
      const peers: PeerChange[] = [];
      for (let n = 0; n < 60; n++)
        peers.push({
          publicKey: base64(randomBytes(32)),
          allowedIps: Array.from({ length: n === 30 ? 2500 : 2 }, (_, i) => `10.${100 + n}.${i >> 8}.${i & 255}/32`),
          keepaliveSeconds: n,
          ...(n % 3 === 0 && { endpoint: { address: '192.0.2.7', port: 1000 + n, scope: 0 } }),
          ...(n % 3 === 1 && { endpoint: { address: '2001:db8::7', port: 1000 + n, scope: 0 } }),
          ...(n % 2 === 0 && { presharedKey: new SecretBytes(randomBytes(32)) }),
        });
      const change = { privateKey: new SecretBytes(secrets[0]), listenPort: PORTS[0], fwmark: 0x77, peers };
      await wireguard.set('wg0', { ...change, replacePeers: true });
      const device = await agrees('wg0');
      assert.equal(device.publicKey, keys[0]);
      assert.deepEqual(
        new Set(device.peers.map(({ publicKey }) => publicKey)),
        new Set(peers.map(({ publicKey }) => publicKey)),
      );
      return `${device.peers.length} peers, ${device.peers.reduce((sum, { allowedIps }) => sum + allowedIps.length, 0)} addresses`;
    },
  );

  await check('peers are removed, replaced, kept where only an update was meant', async () => {
    const [first, second] = (await wireguard.device('wg0'))!.peers;
    await wireguard.set('wg0', {
      peers: [
        { publicKey: first!.publicKey, remove: true },
        { publicKey: second!.publicKey, replaceAllowedIps: true, allowedIps: ['10.9.0.0/24'], presharedKey: null },
        { publicKey: base64(randomBytes(32)), updateOnly: true, keepaliveSeconds: 5 },
      ],
    });
    const device = await agrees('wg0');
    assert.equal(device.peers.length, 59);
    const changed = device.peers.find(({ publicKey }) => publicKey === second!.publicKey)!;
    assert.deepEqual([changed.allowedIps, changed.hasPresharedKey], [['10.9.0.0/24'], false]);
  });

  await check('the preshared key is the one that was given', async () => {
    const peer = { publicKey: keys[1], presharedKey: new SecretBytes(Uint8Array.from(preshared)) };
    await wireguard.set('wg0', {
      replacePeers: true,
      peers: [{ ...peer, endpoint: { address: '127.0.0.1', port: PORTS[1], scope: 0 }, allowedIps: ['10.88.0.2/32'] }],
    });
    assert.equal((await wg('show', 'wg0', 'preshared-keys')).trim(), `${keys[1]}\t${base64(preshared)}`);
    await agrees('wg0');
  });

  await check('two of our devices shake hands and carry packets; the handshake shows as wg shows it', async () => {
    await wireguard.set('wg1', {
      privateKey: new SecretBytes(secrets[1]),
      listenPort: PORTS[1],
      peers: [
        {
          publicKey: keys[0],
          presharedKey: new SecretBytes(Uint8Array.from(preshared)),
          endpoint: { address: '127.0.0.1', port: PORTS[0], scope: 0 },
          allowedIps: ['10.88.0.1/32'],
          keepaliveSeconds: 1,
        },
      ],
    });
    // Its sockets stay where it was made: the far end of the tunnel is another namespace, its packets use this one's lo.
    await command('ip', ['netns', 'add', OTHER]);
    await command('ip', ['link', 'set', 'wg1', 'netns', OTHER]);
    await command('ip', ['address', 'add', '10.88.0.1/24', 'dev', 'wg0']);
    await command('ip', ['link', 'set', 'wg0', 'up']);
    await command('ip', ['-n', OTHER, 'address', 'add', '10.88.0.2/24', 'dev', 'wg1']);
    await command('ip', ['-n', OTHER, 'link', 'set', 'wg1', 'up']);
    return eventually('a handshake', 60_000, async () => {
      // Counters may move between the two looks.
      const [peer] = (await agrees('wg0').catch(() => null))?.peers ?? [];
      if (peer?.lastHandshakeMs == null || peer.rxBytes === 0) return undefined;
      const age = Date.now() - peer.lastHandshakeMs;
      return age < 60_000 && `${peer.rxBytes} bytes received, shaken hands ${Math.round(age / 1000)} s ago`;
    });
  });

  await check('its own private key is taken away, and the link', async () => {
    await wireguard.set('wg0', { privateKey: null });
    assert.equal((await wireguard.device('wg0'))?.publicKey, null);
    assert.equal((await wg('show', 'wg0', 'public-key')).trim(), '(none)');
    await change(route, encodeDeleteLink('wg0'), 'delete');
    assert.equal(await wireguard.device('wg0'), undefined);
  });
  generic.close();
  route.close();
}

await insideOf(import.meta.filename, { wg: inside });
