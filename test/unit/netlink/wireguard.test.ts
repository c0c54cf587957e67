/** WireGuard's messages: what is written is what is read, over as many messages as it takes; secrets; hostile bytes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { AgentError } from '../../../agent/core/errors.ts';
import { bytesAttribute, join, nest, u16Attribute, u32Attribute } from '../../../agent/host/netlink/attributes.ts';
import type { NetlinkConnection } from '../../../agent/host/netlink/connection.ts';
import { NLMSG_HEADER, refusal } from '../../../agent/host/netlink/message.ts';
import {
  type DeviceChange,
  decodeDevicePart,
  encodeSetDevice,
  joinParts,
  openWireguard,
  type PeerChange,
} from '../../../agent/host/netlink/wireguard.ts';
import { SecretBytes } from '../../../agent/trust/keys/secret.ts';

const FAMILY = 30;
const key = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const secret = (fill: number): SecretBytes => new SecretBytes(new Uint8Array(32).fill(fill));

/** The kernel's view of messages that set a device: attributes have the same numbers both ways. */
function read(messages: readonly Uint8Array[]) {
  const index = u32Attribute(1, 7);
  return joinParts(
    messages.map((message, number) => {
      const bytes = join(number === 0 ? [message, index] : [message]);
      return decodeDevicePart(bytes, NLMSG_HEADER, bytes.length);
    }),
  );
}

const rounded = (change: DeviceChange) => read(encodeSetDevice(FAMILY, 'wg0', change));

test('what is written is what is read', () => {
  const ipv4 = fc.tuple(fc.ipV4(), fc.nat(32)).map(([ip, mask]) => `${ip}/${mask}`);
  const ipv6 = fc.tuple(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.nat(128)).map(([raw, mask]) => {
    const groups = Array.from({ length: 8 }, (_, i) => (raw[i]! + 0x1001).toString(16));
    return `${groups.join(':')}/${mask}`;
  });
  const peer = fc.record({
    publicKey: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((raw) => Buffer.from(raw).toString('base64')),
    keepaliveSeconds: fc.nat(0xffff),
    endpoint: fc.record({
      address: fc.constantFrom('192.0.2.1', 'fe80::1', '2001:db8::7'),
      port: fc.nat(0xffff),
      scope: fc.constant(0),
    }),
    allowedIps: fc.array(fc.oneof(ipv4, ipv6), { maxLength: 12 }),
  });
  const change = fc.record({
    listenPort: fc.nat(0xffff),
    fwmark: fc.nat(0xffff_ffff),
    peers: fc.uniqueArray(peer, { maxLength: 6, selector: ({ publicKey }) => publicKey }),
  });
  fc.assert(
    fc.property(change, (wanted) => {
      const device = rounded(wanted);
      assert.equal(device.name, 'wg0');
      assert.deepEqual([device.listenPort, device.fwmark], [wanted.listenPort, wanted.fwmark]);
      const known = device.peers.map(({ publicKey, keepaliveSeconds, endpoint, allowedIps }) => {
        return { publicKey, keepaliveSeconds, endpoint, allowedIps };
      });
      // fast-check's records have no prototype.
      const asked = wanted.peers.map((peer) => ({ ...peer, endpoint: { ...peer.endpoint } }));
      assert.deepEqual(known, asked);
    }),
    { numRuns: 150 },
  );
});

describe('what does not fit into one message', () => {
  const many = (count: number, of: number): string[] =>
    Array.from({ length: count }, (_, i) => `10.${of}.${i >> 8}.${i & 255}/32`);

  test('peers whose allowed addresses go on, and many peers', () => {
    const peers: PeerChange[] = [1, 2, 3].map((n) => ({
      publicKey: key(n),
      allowedIps: many(n * 700, n),
      replaceAllowedIps: true,
      presharedKey: secret(n),
      updateOnly: n === 2,
    }));
    for (let n = 10; n < 200; n++) peers.push({ publicKey: key(n), allowedIps: [`10.9.9.${n}/32`] });
    const messages = encodeSetDevice(FAMILY, 'wg0', { privateKey: secret(9), replacePeers: true, peers });
    assert.ok(messages.length > 3);
    for (const message of messages) assert.ok(message.length < 20_000, `${message.length} bytes`);
    const device = read(messages);
    assert.deepEqual(
      device.peers.map(({ publicKey, allowedIps }) => [publicKey, allowedIps]),
      peers.map(({ publicKey, allowedIps }) => [publicKey, allowedIps]),
    );
    assert.ok(device.peers.slice(0, 3).every((peer) => peer.hasPresharedKey));
  });

  test('what replaces, does so once: flags and keys stand in the first message of a peer and of the device', () => {
    const peers = [
      { publicKey: key(1), allowedIps: many(3000, 1), replaceAllowedIps: true, presharedKey: secret(0xa5) },
    ];
    const messages = encodeSetDevice(FAMILY, 'wg0', { replacePeers: true, privateKey: secret(0x5a), peers });
    const holding = (bytes: Uint8Array) =>
      messages.filter((message) => Buffer.from(message).includes(Buffer.from(bytes))).length;
    assert.equal(holding(new Uint8Array(32).fill(0xa5)), 1, 'the preshared key');
    assert.equal(holding(new Uint8Array(32).fill(0x5a)), 1, 'the private key');
    assert.equal(holding(u32Attribute(5, 1)), 1, 'replace all peers');
    assert.equal(holding(u32Attribute(3, 2)), 1, 'replace the allowed addresses');
  });

  test('nothing but a name is a message too', () => {
    assert.equal(encodeSetDevice(FAMILY, 'wg0', {}).length, 1);
  });
});

describe('secrets', () => {
  test('what is read keeps none: they are overwritten in the message itself', () => {
    const [message] = encodeSetDevice(FAMILY, 'wg0', {
      privateKey: secret(0x5a),
      peers: [
        { publicKey: key(1), presharedKey: secret(0xa5) },
        { publicKey: key(2), presharedKey: null },
      ],
    });
    const bytes = join([message!, u32Attribute(1, 7)]);
    const part = decodeDevicePart(bytes, NLMSG_HEADER, bytes.length);
    assert.deepEqual(
      part.peers.map(({ hasPresharedKey }) => hasPresharedKey),
      [true, false],
    );
    for (const fill of [0x5a, 0xa5]) assert.ok(!Buffer.from(bytes).includes(Buffer.alloc(8, fill)));
  });

  test('no error holds one, and what was to be sent is overwritten where it is refused', async () => {
    const sent: Uint8Array[] = [];
    const generic = {
      request(message: Uint8Array, what: string) {
        if (what.startsWith('look up')) return Promise.resolve([{ id: FAMILY, name: 'wireguard', groups: new Map() }]);
        sent.push(message);
        return Promise.reject(refusal(what, { errno: 22 }));
      },
    } as unknown as NetlinkConnection;
    const wireguard = (await openWireguard(generic))!;
    const change = { privateKey: secret(0x5a), peers: [{ publicKey: key(1), presharedKey: secret(0xa5) }] };
    const error = await wireguard.set('wg0', change).catch((thrown: unknown) => thrown);
    assert.match(inspect(error, { depth: 9 }), /EINVAL/);
    assert.doesNotMatch(inspect([error, change], { depth: 9 }), /WlpaWlpa|paWlpaWl|5a5a5a|90, 90, 90/);
    assert.ok(sent[0]!.every((byte) => byte === 0));
    assert.equal(change.privateKey.reveal()[0], 0x5a, 'the secret itself is its owner’s');
  });

  for (const [name, change, says] of [
    ['a key of another length', { privateKey: new SecretBytes(new Uint8Array(31).fill(0x5a)) }, /32 bytes, not 31/],
    ['a public key that is none', { peers: [{ publicKey: 'WlpaWlpa' }] }, /32 bytes in base64/],
    ['a key with something behind it', { peers: [{ publicKey: `${key(1)}AA` }] }, /32 bytes in base64/],
    ['a port too large', { listenPort: 65_536 }, /a port is 0 to 65535, not 65536/],
    ['an address without a mask', { peers: [{ publicKey: key(1), allowedIps: ['10.0.0.1'] }] }, /ADDRESS\/0 to 32/],
    ['a mask too long', { peers: [{ publicKey: key(1), allowedIps: ['10.0.0.0/33'] }] }, /0 to 32, not 10.0.0.0\/33/],
    ['no address', { peers: [{ publicKey: key(1), allowedIps: ['example/8'] }] }, /not an IP address: example/],
    ['a keepalive below nothing', { peers: [{ publicKey: key(1), keepaliveSeconds: -1 }] }, /a keepalive is 0 to/],
  ] as const)
    test(`${name} is refused, and not repeated where it may be secret`, () => {
      assert.throws(
        () => encodeSetDevice(FAMILY, 'wg0', change),
        (error) => error instanceof AgentError && says.test(error.message) && !/WlpaWl|5a5a/.test(inspect(error)),
      );
    });
});

describe('what the kernel says that is strange', () => {
  const part = (...attributes: Uint8Array[]) => {
    const bytes = join([new Uint8Array(4), ...attributes]);
    return decodeDevicePart(bytes, 0, bytes.length);
  };
  const peer = (...attributes: Uint8Array[]) =>
    part(nest(8, nest(0, bytesAttribute(1, new Uint8Array(32)), ...attributes))).peers[0];

  test('an endpoint or allowed address of another family is passed over', () => {
    assert.equal(peer(bytesAttribute(4, new Uint8Array(16).fill(9)))?.endpoint, null);
    const foreign = nest(
      0,
      u16Attribute(1, 1),
      bytesAttribute(2, new Uint8Array(4)),
      bytesAttribute(3, Uint8Array.of(0)),
    );
    assert.deepEqual(peer(nest(9, foreign))?.allowedIps, []);
  });

  test('a handshake that never was, and one that was', () => {
    const time = new Uint8Array(16);
    assert.equal(peer(bytesAttribute(6, time))?.lastHandshakeMs, null);
    new DataView(time.buffer).setUint32(0, 1000, true);
    assert.equal(peer(bytesAttribute(6, time))?.lastHandshakeMs, 1_000_000);
  });

  test('nothing that says which device it is', () => {
    assert.throws(() => joinParts([]), /nothing says which device/);
    assert.throws(() => joinParts([part()]), /nothing says which device/);
  });

  test('the same peer in two messages is one only where it goes on', () => {
    const head = { index: 1, name: 'wg0', publicKey: null, listenPort: 0, fwmark: 0 };
    const of = (n: number, ip: string) => ({ ...peer()!, publicKey: key(n), allowedIps: [ip] });
    const parts = [
      { device: head, peers: [of(1, 'a'), of(2, 'b')] },
      { device: null, peers: [of(2, 'c'), of(3, 'd')] },
      { device: null, peers: [of(1, 'e')] },
    ];
    assert.deepEqual(
      joinParts(parts).peers.map(({ allowedIps }) => allowedIps.join('')),
      ['a', 'bc', 'd', 'e'],
    );
  });

  test('any bytes: an answer or E_NETLINK_DECODE', () => {
    const tree = fc.letrec((tie) => ({
      payload: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(4, 16, 28, 32).chain((length) => fc.uint8Array({ minLength: length, maxLength: length })),
        fc.uint8Array({ maxLength: 40 }),
        fc.array(tie('attribute') as fc.Arbitrary<Uint8Array>, { maxLength: 5 }).map(join),
      ),
      attribute: fc
        .tuple(fc.nat(10), tie('payload') as fc.Arbitrary<Uint8Array>)
        .map(([type, data]) => bytesAttribute(type, data)),
    }));
    const raw = fc.uint8Array({ maxLength: 200 });
    const survives = (bytes: Uint8Array): void => {
      try {
        joinParts([decodeDevicePart(bytes, 0, bytes.length)]);
      } catch (error) {
        if (!(error instanceof AgentError) || error.code !== 'E_NETLINK_DECODE') throw error;
      }
    };
    fc.assert(fc.property(raw, survives), { numRuns: 500 });
    const built = fc.array(tree.attribute, { maxLength: 8 }).map((list) => join([new Uint8Array(4), ...list]));
    fc.assert(fc.property(built, survives), { numRuns: 1000 });
    const [whole] = encodeSetDevice(FAMILY, 'wg0', {
      peers: [{ publicKey: key(1), allowedIps: ['10.0.0.0/8', '::/0'], keepaliveSeconds: 5 }],
    });
    fc.assert(
      fc.property(fc.nat(whole!.length), fc.nat(whole!.length - 1), fc.nat(255), (cut, place, value) => {
        const bytes = whole!.slice(NLMSG_HEADER, Math.max(NLMSG_HEADER, cut));
        if (bytes.length > 0) bytes[place % bytes.length] = value;
        survives(bytes);
      }),
      { numRuns: 1000 },
    );
  });
});
