/** Tunnels on a real kernel with WireGuard, Debian's `wg` as the outside witness: traffic across renewals, restarts, a mesh. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Control } from '../../tools/lab/ask.ts';
import type { HeardFrames } from '../../tools/lab/eavesdrop.ts';
import { Helper } from '../../tools/lab/helper.ts';
import { run as command, nsOf } from '../../tools/lab/mesh.ts';
import { type Agent, startAgent, stopAgents } from '../../tools/lab/scenario.ts';
import { INSIDE, OUTSIDE, Probe, SITES, TwoSites, UNDERLAY, Witness } from '../../tools/lab/tunnels.ts';
import type { Report } from '../../tools/test.ts';
import { check, eventually, inKernels, insideOf, skip } from './suite.ts';

export const name = 'tunnel';
export const soak = true;

export const run = (report: Report) =>
  inKernels(report, import.meta.filename, [{ name: 'renewals' }, { name: 'mesh' }, { name: 'agents' }], 1, 'qemu');

/** Emulated, everything takes its time; what is held is that it comes, and what is lost. */
const LONG = 120_000;
const PACE_US = 10_000;
const BAT0 = ['10.98.0.1', '10.98.0.2'] as const;
/** Of payload: batman-adv has to cut its frames for a hard interface of 1350. */
const LARGE = 1400;
const SECRET = 'a word that only the two sites may read';

async function prepare(): Promise<boolean> {
  await command('modprobe', ['-d', process.env.LAB_MODULES!, 'wireguard']);
  await command('modprobe', ['-d', process.env.LAB_MODULES!, 'vxlan']);
  try {
    await command('wg', ['--version']);
    return true;
  } catch {
    skip('tunnels', 'the Debian package wireguard-tools is missing');
    return false;
  }
}

async function renewals(): Promise<void> {
  if (!(await prepare())) return;
  const sites = new TwoSites({ psk_interval: 5e9 });
  await sites.build();
  const renewed = (count: number) =>
    eventually(`${count} renewals`, count * 30_000, async () => (await sites.view(0)).renewals >= count);

  const isUp = await check('a tunnel comes up between two sites, and wg says the same of it', async () => {
    await Promise.all([sites.start(0), sites.start(1)]);
    await eventually(
      'a path',
      LONG,
      async () => (await sites.view(0)).state === 'up' && (await sites.view(1)).state === 'up',
    );
    assert.ok(await sites.reaches(10_000), 'nothing comes through');
    const { interface: link } = await sites.view(0);
    const dump = await command('ip', ['netns', 'exec', SITES[0], 'wg', 'show', link!, 'dump']);
    const [, preshared, endpoint, allowed] = dump.trimEnd().split('\n').at(-1)!.split('\t');
    assert.notEqual(preshared, '(none)');
    return `${endpoint} ${allowed}`;
  });
  // All that follows is about that tunnel.
  if (!isUp) return;

  await check(
    'traffic flows across ten renewals without a loss; each is a new handshake; nothing is in the clear',
    async () => {
      await sites.capture(0, [SECRET]);
      const before = (await sites.view(0)).renewals;
      const probe = sites.probe(PACE_US);
      const talk = ['netns', 'exec', SITES[0], process.execPath, '-e', chatter(SECRET, INSIDE[1])];
      await command('ip', talk);
      const witness = new Witness(SITES[0]);
      // The path that is there already is the first that it sees.
      await eventually(
        'ten renewals',
        300_000,
        async () => (await sites.view(0)).renewals >= before + 10 && witness.effective > 10,
      );
      witness.stop();
      await command('ip', talk);
      await sleep(1000);
      const { sent, received, where } = await probe.stop();
      const { frames, found, ports } = await sites.capture(0, [SECRET]);
      assert.equal(received, sent, `${sent - received} of ${sent} lost${where}`);
      assert.ok(frames > sent / 2, `${frames} frames captured`);
      assert.deepEqual(found, []);
      assert.deepEqual(
        ports.split(', ').filter((port) => !['0x806', '0x86dd', 'udp 51820', 'udp 51821'].includes(port)),
        [],
      );
      return `${sent} datagrams there and back, none lost; ${witness.effective} paths; ${frames} frames: ${ports}`;
    },
  );

  await check(
    'an agent is killed: the tunnel forwards on; the next one takes it over and goes on renewing',
    async () => {
      const { since } = await sites.view(1);
      const probe = sites.probe(PACE_US);
      await sites.kill(1);
      await sleep(10_000);
      const alone = await sites.view(0);
      assert.equal(alone.state === 'up' || alone.state === 'renewing', true);
      await sites.start(1);
      const taken = await sites.view(1);
      assert.ok(taken.since !== null && Math.abs(taken.since - since!) < 20e9, 'it does not know since when');
      await sites.kill(0);
      await sites.start(0);
      await renewed(2);
      const { sent, received, where } = await probe.stop();
      assert.equal(received, sent, `${sent - received} of ${sent} lost${where}`);
      return `${sent} datagrams, none lost`;
    },
  );

  await check('a foreign network that loses a fifth, and a session too: no path is given up for none', async () => {
    for (const site of SITES)
      await command('ip', [
        'netns',
        'exec',
        site,
        'tc',
        'qdisc',
        'add',
        'dev',
        UNDERLAY,
        'root',
        'netem',
        'loss',
        '20%',
        'delay',
        '20ms',
      ]);
    sites.swallows = 0.2;
    const before = (await sites.view(0)).renewals;
    const probe = sites.probe(50_000);
    await eventually('three renewals', 300_000, async () => (await sites.view(0)).renewals >= before + 3);
    const { sent, received } = await probe.stop();
    sites.swallows = 0;
    for (const site of SITES)
      await command('ip', ['netns', 'exec', site, 'tc', 'qdisc', 'del', 'dev', UNDERLAY, 'root']);
    // 0.8 * 0.8 come back; far fewer would be a gap.
    assert.ok(received / sent > 0.5, `${received} of ${sent}`);
    await eventually('a quiet one', LONG, async () => sites.reaches(2000));
    return `${received} of ${sent} came back`;
  });
  await sites.close();
}

/** A few datagrams in the clear, into the tunnel. */
const chatter = (word: string, to: string): string =>
  `const s = require('node:dgram').createSocket('udp4');
   let left = 20;
   const timer = setInterval(() => { s.send(${JSON.stringify(word)}, 9999, ${JSON.stringify(to)}); if (--left === 0) { clearInterval(timer); s.close(); } }, 20);`;

async function mesh(): Promise<void> {
  if (!(await prepare())) return;
  const sites = new TwoSites({ psk_interval: 5e9, mesh: true });
  await sites.build();
  for (const [n, site] of SITES.entries())
    await command('sh', [
      '-ec',
      `ip -n ${site} link add bat0 type batadv && ip -n ${site} link set bat0 up && ip -n ${site} address add 10.98.0.${n + 1}/24 dev bat0`,
    ]);

  const view = () => command('nsenter', [`--net=/run/netns/${SITES[0]}`, 'batctl', 'meshif', 'bat0', 'originators']);

  const isOne = await check(
    'a tunnel is a hard interface: the two sites are one mesh, and frames larger than it has room for fit',
    async () => {
      await Promise.all([sites.start(0), sites.start(1)]);
      // batctl refuses while bat0 has no hard interface.
      await eventually('an originator', LONG, async () => (await view().catch(() => '')).includes('vx-site'));
      await eventually('an answer', LONG, () => sites.reaches(5000, BAT0));
      assert.ok(await sites.reaches(20_000, BAT0, LARGE), `none of ${LARGE} bytes comes through`);
      return (await command('ip', ['-n', SITES[0], '-d', 'link', 'show', 'vx-site']))
        .replace(/\s+/g, ' ')
        .slice(0, 400);
    },
  );
  if (!isOne) return;

  await check('the mesh goes across ten renewals without a loss', async () => {
    const before = (await sites.view(0)).renewals;
    const probe = sites.probe(20_000, BAT0, LARGE);
    await eventually('ten renewals', 300_000, async () => (await sites.view(0)).renewals >= before + 10);
    const { sent, received, where } = await probe.stop();
    assert.equal(received, sent, `${sent - received} of ${sent} lost${where}`);
    return `${sent} datagrams of ${LARGE} bytes there and back, none lost`;
  });
  await sites.close();
}

interface Shown {
  readonly state: string;
  readonly interface: string | null;
  readonly renewals: number;
  readonly failures: number;
  readonly handshakeSeconds: number | null;
  readonly leads: boolean;
}

const x0ctl = (agent: Agent, ...args: string[]): Promise<string> =>
  command(process.execPath, ['dist/x0ctl.mjs', '--socket', agent.socket, ...args]);

const shownBy = async (agent: Agent): Promise<Shown> =>
  (await new Control(agent.socket).get<{ tunnels: Shown[] }>('/tunnels')).tunnels[0]!;

/** Emulated, an agent that makes keys or has its hands full may not answer in the time that x0ctl gives it. */
const patiently = <T>(what: string, work: () => Promise<T | undefined>): Promise<T> =>
  eventually(what, 2 * LONG, () => work().catch(() => undefined));

/** Two whole agents that share no mesh: identities, a session over the foreign network, the tunnel that follows from it. */
async function agents(): Promise<void> {
  if (!(await prepare())) return;
  const spaces = [nsOf(0), nsOf(1)] as const;
  for (const space of spaces) await command('ip', ['netns', 'add', space]);
  await command(
    'ip',
    `link add ${UNDERLAY} netns ${spaces[0]} type veth peer name ${UNDERLAY} netns ${spaces[1]}`.split(' '),
  );
  for (const [n, space] of spaces.entries()) {
    for (const link of ['lo', UNDERLAY]) await command('ip', ['-n', space, 'link', 'set', link, 'up']);
    await command('ip', ['-n', space, 'address', 'add', `${OUTSIDE[n]}/24`, 'dev', UNDERLAY]);
    await command('ip', ['-n', space, 'link', 'add', 'bat0', 'type', 'batadv']);
    await command('ip', ['-n', space, 'link', 'set', 'bat0', 'up']);
  }
  const configOf = (own: 0 | 1) => {
    const other = own === 0 ? 1 : 0;
    return {
      mesh: { key: '' },
      peer: { announce: '0', ...(own === 0 ? { listen: [OUTSIDE[0]] } : { connect: [OUTSIDE[0]] }) },
      'tunnel site': {
        peer: SITES[other],
        endpoint: `${OUTSIDE[other]}:51820`,
        address: [INSIDE[own]],
        allowed_ips: [`${INSIDE[other]}/32`],
        // What is under way over an old path has half of it to arrive, at most 5 s.
        psk_interval: '10',
      },
    };
  };
  const start = (router: 0 | 1) => startAgent(router, { config: configOf(router), readyMs: 2 * LONG });
  const east = await start(0);
  const west = await start(1);
  const ear = new Helper(spaces[0], 'eavesdrop.ts', {
    interfaces: [UNDERLAY],
    words: [SECRET, 'spiffe', 'x0tta6bl4', ...SITES, 'tunnel', 'suite'],
  });
  await ear.ready;

  const isJoined = await check('two agents that share no mesh: identities, a session, and a tunnel by it', async () => {
    for (const agent of [east, west])
      await patiently('its keys', async () => {
        const { body } = await new Control(agent.socket).ask('POST', '/trust/wake', {});
        return (body as { done: boolean }).done;
      });
    let tries = 0;
    await patiently('a mesh', async () => {
      const { body } = await new Control(east.socket).ask('GET', '/mesh/identity');
      if ((body as { identity: { bundle: number | null } }).identity.bundle !== null) return true;
      await x0ctl(east, 'mesh', 'init', '--name', SITES[0], '--owner-key', `/tmp/x0/owner-${++tries}.key`);
      return true;
    });
    const { text } = await patiently(
      'an invitation',
      async () => JSON.parse(await x0ctl(east, 'invite', SITES[1], '--json')) as { text: string },
    );
    await patiently('a joining', async () => {
      const { status } = await new Control(west.socket).ask('POST', '/trust/join', { invitation: text });
      return status === 200;
    });
    await eventually(
      'the tunnel is up at both ends',
      3 * LONG,
      async () =>
        (await shownBy(east).catch(() => null))?.state === 'up' &&
        (await shownBy(west).catch(() => null))?.state === 'up',
    );
    return JSON.stringify(await shownBy(east));
  });
  if (!isJoined) return;

  await check('ten renewals under traffic without a loss; wg says the same; nothing is in the clear', async () => {
    const before = await shownBy(east);
    const probe = new Probe(PACE_US, 64, [spaces[0], INSIDE[0], spaces[1], INSIDE[1]]);
    const talk = ['netns', 'exec', spaces[0], process.execPath, '-e', chatter(SECRET, INSIDE[1])];
    await command('ip', talk);
    const witness = new Witness(spaces[0]);
    await eventually(
      'ten renewals',
      600_000,
      async () =>
        ((await shownBy(east).catch(() => null))?.renewals ?? 0) >= before.renewals + 10 && witness.effective > 10,
    );
    witness.stop();
    await command('ip', talk);
    const { sent, received, where } = await probe.stop(15_000);
    const heard = await ear.ask<HeardFrames>('');
    assert.equal(received, sent, `${sent - received} of ${sent} lost${where}`);
    assert.deepEqual(heard.found, {});
    assert.ok(heard.frames > sent / 2, `${heard.frames} frames captured`);
    return `${sent} datagrams there and back, none lost; ${witness.effective} paths by wg; ${heard.frames} frames: ${heard.kinds.join(', ')}`;
  });

  await check('wg shows the path that the agent shows', async () => {
    // A path lives for seconds: what is looked at may be gone by the time that wg is asked.
    const [shown, dump] = await patiently('both at once', async () => {
      const first = await shownBy(east);
      const said = await command('ip', ['netns', 'exec', spaces[0], 'wg', 'show', first.interface!, 'dump']);
      return (await shownBy(east)).interface === first.interface ? ([first, said] as const) : undefined;
    });
    const [, preshared, endpoint, allowed, handshake] = dump!.trimEnd().split('\n').at(-1)!.split('\t');
    assert.notEqual(preshared, '(none)');
    assert.match(endpoint!, new RegExp(`^${OUTSIDE[1]}:5182[01]$`));
    assert.equal(allowed, `${INSIDE[1]}/32`);
    const age = Date.now() / 1000 - Number(handshake);
    assert.ok(
      Math.abs(age - shown!.handshakeSeconds!) < 10,
      `by wg ${age} s ago, by the agent ${shown!.handshakeSeconds}`,
    );
    return `${endpoint} ${allowed}, a handshake ${age.toFixed(1)} s ago`;
  });
  await ear.end();
  await stopAgents([east, west]);
}

await insideOf(import.meta.filename, { renewals, mesh, agents });
