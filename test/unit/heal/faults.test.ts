/** The catalogue, class by class: what makes each, and what looks like it and must not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MeshSettings, STOCK_SETTINGS, type Vitals } from '../../../agent/core/kernel.ts';
import { MS, SECOND } from '../../../agent/core/time.ts';
import type { FaultClass } from '../../../agent/core/words.ts';
import { CATALOGUE } from '../../../agent/heal/faults/catalogue.ts';
import { repairOf } from '../../../agent/heal/repairs/catalogue.ts';
import { bat0 } from './harness.ts';
import { N1, N2, Story, X } from './story.ts';
import { alarmOf } from './words.ts';

/** TQ as the kernel shows it when this share of our OGMs comes back, one more 64th of the window a second. */
function decay(story: Story, loss: number, seconds: number, n = 1): void {
  const one = story.kernel.ports[n - 1]!;
  const from = one.tq;
  for (let i = 1; i <= seconds; i++) {
    one.tq = Math.round(from + (255 * (1 - loss) - from) * Math.min(1, i / 64));
    story.run(1);
  }
}

function comesAndGoes(story: Story, times: number, silent: number, heard: number, ports = [0]): void {
  const all = (isSilent: boolean) => {
    for (const n of ports) story.kernel.ports[n]!.silent = isSilent;
  };
  for (let i = 0; i < times; i++) {
    all(true);
    story.run(silent);
    all(false);
    story.run(heard);
  }
}

const Z = '02:00:00:00:01:99';
const spoken = (source: string, type: number, version = 15) => ({ source, type, version });

interface Case {
  readonly name: string;
  /** null: nothing must be seen. */
  readonly is: FaultClass | null;
  readonly does: (story: Story) => void;
  readonly settings?: ConstructorParameters<typeof Story>[0];
  readonly kernel?: ConstructorParameters<typeof Story>[1];
}

const gateway = (originator: string, best: boolean) => ({
  originator,
  router: N1,
  interfaceName: 'eth1',
  best,
  bandwidthDown: 100,
  bandwidthUp: 20,
});

function vitals(story: Story, over: Partial<Vitals>): void {
  story.kernel.vitals = { ...story.kernel.vitals, ...over };
}

const FAR = ['02:00:00:00:00:a1', '02:00:00:00:00:a2', '02:00:00:00:00:a3', '02:00:00:00:00:a4'];
const farAway = (): Partial<Story['kernel']> => ({ far: new Map(FAR.map((router) => [router, null])) });
const silence = (story: Story, routers: readonly string[]) => {
  for (const router of routers) story.kernel.far.set(router, story.now);
};

/** Of our OGMs by the first link from now on. */
const lossy = (story: Story, share: number, seconds: number) => {
  story.kernel.ports[0]!.tq = Math.round(255 * (1 - share));
  story.run(seconds);
};

const CASES: readonly Case[] = [
  // --- links
  { name: 'a link begins to lose a third', is: 'link-lossy', does: (story) => decay(story, 0.33, 80) },
  { name: 'a link loses 2 %, as it always may', is: null, does: (story) => decay(story, 0.02, 300) },
  {
    name: 'TQ wanders by some hundredths about 3 %',
    is: null,
    does: (story) => {
      for (let i = 0; i < 400; i++) {
        story.kernel.ports[0]!.tq = Math.round(255 * (1 - 0.03 - 0.05 * Math.abs(((i * 7) % 20) / 10 - 1)));
        story.run(1);
      }
    },
  },
  {
    name: 'a radio link that has lost a tenth from the start',
    is: null,
    does: (story) => story.run(300),
    kernel: {
      ports: [1, 2].map((n) => {
        const { ports } = new Story().kernel;
        return { ...ports[n - 1]!, tq: 230 };
      }),
    },
  },
  {
    name: 'a link that always loses a seventh loses half of all for a moment',
    is: null,
    kernel: { ports: new Story().kernel.ports.map((one, n) => (n === 0 ? { ...one, tq: 217 } : one)) },
    does: (story) => {
      lossy(story, 0.15, 500);
      lossy(story, 0.55, 90);
    },
  },
  {
    name: 'a link that loses a fiftieth loses half of all for a moment',
    is: 'link-lossy',
    does: (story) => {
      lossy(story, 0.02, 500);
      lossy(story, 0.55, 90);
    },
  },
  {
    name: 'a link that always loses two fifths loses nearly half',
    is: 'link-lossy',
    kernel: { ports: new Story().kernel.ports.map((one, n) => (n === 0 ? { ...one, tq: 153 } : one)) },
    does: (story) => {
      lossy(story, 0.4, 500);
      lossy(story, 0.47, 500);
    },
  },
  {
    name: 'echoes that always took a fifth of a second take most of one',
    is: 'link-slow',
    kernel: { ports: new Story().kernel.ports.map((one, n) => (n === 0 ? { ...one, rttNs: 400 * MS } : one)) },
    does: (story) => {
      story.run(200);
      story.kernel.ports[0]!.rttNs = 1400 * MS;
      story.run(120);
    },
  },
  {
    name: 'echoes take fifty times as long on one link',
    is: 'link-slow',
    does: (story) => {
      story.run(60);
      story.kernel.ports[0]!.rttNs = 200 * MS;
      story.run(120);
    },
  },
  {
    name: 'echoes take fifty times as long on one link, whose first ones were slow too',
    is: 'link-slow',
    kernel: { ports: new Story().kernel.ports.map((one, n) => (n === 0 ? { ...one, rttNs: 150 * MS } : one)) },
    does: (story) => {
      story.run(60);
      story.kernel.ports[0]!.rttNs = 4 * MS;
      story.run(400);
      story.kernel.ports[0]!.rttNs = 200 * MS;
      story.run(120);
    },
  },
  {
    name: 'echoes take longer on all links: it is this router that is slow',
    is: null,
    does: (story) => {
      story.run(60);
      for (const one of story.kernel.ports) one.rttNs = 200 * MS;
      story.run(120);
    },
  },
  {
    name: 'echoes take longer on one link, while this router has no time to listen',
    is: 'overload',
    does: (story) => {
      vitals(story, { busy: 1 });
      story.run(60);
      story.kernel.ports[0]!.rttNs = 200 * MS;
      story.run(120);
    },
  },
  { name: 'no OGM of ours comes back from one neighbour', is: 'link-one-way', does: (story) => decay(story, 1, 20) },
  {
    name: 'no OGM of ours comes back for two minutes, and then each does',
    is: 'link-one-way',
    does: (story) => {
      decay(story, 1, 130);
      decay(story, 0, 184);
      assert.deepEqual(story.open(), []);
    },
  },
  {
    name: 'the agent of a neighbour ended: three echoes stay unanswered, and OGMs come and go',
    is: null,
    does: (story) => {
      for (let i = 0; i < 3; i++) {
        story.router.runtime.feed({ type: 'echo-lost', interface: 21, neighbour: N1 } as never, story.now);
        story.router.pass(10 * SECOND);
      }
    },
  },
  {
    name: 'two lost echoes are no fault',
    is: null,
    does: (story) => {
      for (let i = 0; i < 2; i++)
        story.router.runtime.feed({ type: 'echo-lost', interface: 21, neighbour: N1 } as never, story.now);
      story.run(30);
    },
  },
  {
    name: 'a carrier is lost three times in a minute',
    is: 'link-flapping',
    does: (story) => {
      for (let i = 0; i < 3; i++) {
        story.tell(1, { carrier: false });
        story.run(3);
        story.tell(1, { carrier: true, master: 10 });
        story.run(3);
      }
    },
  },
  {
    name: 'a carrier is lost twice in an hour',
    is: null,
    does: (story) => {
      for (let i = 0; i < 2; i++) {
        story.tell(1, { carrier: false });
        story.run(5);
        story.tell(1, { carrier: true, master: 10 });
        story.run(1800);
      }
    },
  },
  {
    name: 'a neighbour falls silent for six seconds, three times within three minutes, and no carrier is lost',
    is: 'link-flapping',
    does: (story) => {
      story.run(200);
      comesAndGoes(story, 3, 6, 12);
    },
  },
  {
    name: 'a neighbour falls silent twice',
    is: null,
    does: (story) => {
      story.run(200);
      comesAndGoes(story, 2, 6, 60);
    },
  },
  {
    name: 'one long silence, in which each reading shows it anew',
    is: 'neighbour-dead',
    does: (story) => {
      story.run(200);
      comesAndGoes(story, 1, 40, 100);
    },
  },
  {
    name: 'a neighbour sends one OGM in six seconds',
    is: null,
    does: (story) => {
      story.run(200);
      comesAndGoes(story, 40, 5, 1);
    },
  },
  {
    name: 'nobody is heard on any interface, again and again: it is this router that hears nothing',
    is: null,
    does: (story) => {
      story.run(200);
      comesAndGoes(story, 4, 6, 12, [0, 1]);
    },
  },
  {
    name: 'a neighbour falls silent again and again, while this router has no time to listen',
    is: 'overload',
    does: (story) => {
      vitals(story, { busy: 1 });
      story.run(200);
      comesAndGoes(story, 4, 6, 12);
    },
  },
  // --- interfaces
  {
    name: 'bat0 is set down',
    is: 'mesh-misconfigured',
    does: (story) => {
      story.tellMesh({ up: false });
      story.run(10);
    },
  },
  {
    name: 'bat0 is taken out of its bridge',
    is: 'mesh-misconfigured',
    does: (story) => {
      story.tellMesh({ master: 0 });
      story.run(10);
    },
  },
  {
    name: 'bat0 is set down and up again by somebody at work',
    is: null,
    does: (story) => {
      story.tellMesh({ up: false });
      story.run(2);
      story.tellMesh({ up: true });
      story.run(20);
    },
  },
  {
    name: 'the MTU has no room for a whole frame, and fragmentation is off',
    is: 'mtu-trouble',
    does: (story) => {
      story.tell(1, { mtu: 1500 });
      story.run(20);
    },
    kernel: { settings: { ...new Story().kernel.settings, fragmentation: false } },
  },
  {
    name: 'an MTU that is small from the start, with fragmentation on',
    is: null,
    does: (story) => story.run(60),
    kernel: { ports: new Story().kernel.ports.map((one) => ({ ...one, link: { ...one.link, mtu: 1500 } })) },
  },
  {
    name: 'BATMAN_V is spoken where nobody is heard',
    is: 'mesh-mismatch',
    does: (story) => {
      story.kernel.overheard = [3, 3, 3, 4].map((type) => ({ source: N1, type, version: 15 }));
      story.run(650);
    },
    kernel: {
      ports: new Story().kernel.ports.map((one, i) => ({ ...one, silent: i === 0, heardAt: i === 0 ? 0 : 1e12 })),
    },
  },
  {
    name: 'nobody is heard, and there is nobody',
    is: null,
    does: (story) => story.run(250),
    kernel: {
      ports: new Story().kernel.ports.map((one, i) => ({ ...one, heardAt: i === 0 ? 0 : 1e12, silent: i === 0 })),
    },
  },
  {
    name: 'one neighbour speaks BATMAN_V among others that speak BATMAN_IV',
    is: 'mesh-mismatch',
    does: (story) => {
      story.kernel.overheard = [spoken(N1, 0), spoken(N1, 0), spoken(Z, 3), spoken(Z, 3), spoken(Z, 4)];
      story.run(600);
    },
  },
  {
    name: 'one neighbour speaks another version of the protocol among others that do not',
    is: 'mesh-mismatch',
    does: (story) => {
      story.kernel.overheard = [spoken(N1, 0), spoken(Z, 1, 14), spoken(Z, 1, 14)];
      story.run(600);
    },
  },
  {
    name: 'BATMAN_V is heard for a moment, of somebody who passes by',
    is: null,
    does: (story) => {
      story.kernel.overheard = [spoken(N1, 0), spoken(Z, 3), spoken(Z, 3)];
      story.run(200);
      story.kernel.overheard = [spoken(N1, 0)];
      story.run(1500);
    },
  },
  {
    name: 'a card that carries two meshes speaks both',
    is: null,
    does: (story) => {
      story.kernel.overheard = [spoken(Z, 0), spoken(Z, 3), spoken(Z, 3), spoken(Z, 4)];
      story.run(1500);
    },
  },
  // --- routers
  {
    name: 'a neighbour dies: nothing of it on any link',
    is: 'neighbour-dead',
    does: (story) => {
      story.kernel.ports[0]!.silent = true;
      story.run(30);
    },
  },
  {
    name: 'half of the mesh is lost at once',
    is: 'partition',
    kernel: farAway(),
    does: (story) => {
      silence(story, FAR.slice(0, 3));
      story.run(20);
    },
  },
  {
    name: 'one far router is lost',
    is: null,
    kernel: farAway(),
    does: (story) => {
      silence(story, FAR.slice(0, 1));
      story.run(20);
    },
  },
  {
    name: 'routers leave one by one',
    is: null,
    kernel: farAway(),
    does: (story) => {
      for (const router of FAR.slice(0, 2)) {
        silence(story, [router]);
        story.run(25);
      }
    },
  },
  // --- gateways
  {
    name: 'the only gateway leaves',
    is: 'gateway-lost',
    kernel: {
      settings: { ...new Story().kernel.settings, gwMode: 'client' },
      gateways: [gateway(X, true)],
    },
    does: (story) => {
      story.kernel.gateways = [];
      story.run(10);
    },
  },
  {
    name: 'another gateway takes over',
    is: null,
    kernel: {
      settings: { ...new Story().kernel.settings, gwMode: 'client' },
      gateways: [gateway(X, true), gateway(N1, false)],
    },
    does: (story) => {
      story.kernel.gateways = [gateway(N1, true)];
      story.run(60);
    },
  },
  {
    name: 'the gateway falls silent, and batman-adv was quick to choose another',
    is: 'gateway-lost',
    kernel: {
      ...farAway(),
      settings: { ...new Story().kernel.settings, gwMode: 'client' },
      gateways: [gateway(FAR[0]!, true), gateway(N1, false)],
    },
    does: (story) => {
      silence(story, [FAR[0]!]);
      story.kernel.gateways = [gateway(N1, true)];
      story.run(12);
    },
  },
  {
    name: 'the gateway falls silent where OGMs come each five seconds, and batman-adv was quick to choose another',
    is: 'gateway-lost',
    kernel: {
      ...farAway(),
      settings: { ...new Story().kernel.settings, gwMode: 'client', origInterval: 5000 },
      gateways: [gateway(FAR[0]!, true), gateway(N1, false)],
    },
    does: (story) => {
      silence(story, [FAR[0]!]);
      story.kernel.gateways = [gateway(N1, true)];
      story.run(40);
    },
  },
  {
    name: 'the gateway falls silent, and batman-adv chooses one and then another',
    is: 'gateway-lost',
    kernel: {
      ...farAway(),
      settings: { ...new Story().kernel.settings, gwMode: 'client' },
      gateways: [gateway(FAR[0]!, true), gateway(N1, false), gateway(N2, false)],
    },
    does: (story) => {
      silence(story, [FAR[0]!]);
      story.kernel.gateways = [gateway(N1, true), gateway(N2, false)];
      story.run(3);
      story.kernel.gateways = [gateway(N1, false), gateway(N2, true)];
      story.run(10);
    },
  },
  {
    name: 'a gateway falls silent long after batman-adv chose another',
    is: null,
    kernel: {
      ...farAway(),
      settings: { ...new Story().kernel.settings, gwMode: 'client' },
      gateways: [gateway(FAR[0]!, true), gateway(N1, false)],
    },
    does: (story) => {
      story.kernel.gateways = [gateway(N1, true)];
      story.run(30);
      silence(story, [FAR[0]!]);
      story.run(12);
    },
  },
  {
    name: 'a gateway loses its way out',
    is: 'gateway-no-upstream',
    kernel: { settings: { ...new Story().kernel.settings, gwMode: 'server' } },
    does: (story) => {
      story.kernel.upstream = { interface: null, carrier: false, answers: null };
      story.run(60);
    },
  },
  {
    name: 'the router behind a gateway answers nothing',
    is: 'gateway-no-upstream',
    kernel: { settings: { ...new Story().kernel.settings, gwMode: 'server' } },
    does: (story) => {
      story.kernel.upstream = { interface: 'wan', carrier: true, answers: false };
      story.run(60);
    },
  },
  {
    name: 'a gateway that never had a way out that shows',
    is: null,
    kernel: {
      settings: { ...new Story().kernel.settings, gwMode: 'server' },
      upstream: { interface: null, carrier: false, answers: null },
    },
    does: (story) => story.run(120),
  },
  // --- traffic
  {
    name: 'packets that came by a cable go back by it',
    is: 'routing-loop',
    does: (story) => {
      story.kernel.rates.set('eth1', [3000, 3000, 500]);
      story.run(40);
    },
  },
  {
    name: 'packets are forwarded from one cable to the other',
    is: null,
    does: (story) => {
      story.kernel.rates.set('eth1', [3000, 2900, 500]).set('eth2', [2900, 3000, 500]);
      story.run(60);
    },
  },
  {
    name: 'a download: many large packets one way, small ones the other',
    is: null,
    does: (story) => {
      story.kernel.rates.set('eth1', [8000, 4000, 1400]).set('bat0', [8000, 4000, 1400]);
      story.run(60);
    },
  },
  {
    name: 'a LAN that is joined to the mesh twice',
    is: 'broadcast-storm',
    does: (story) => {
      story.kernel.rates.set('eth1', [5000, 5000, 80]).set('bat0', [5000, 5000, 80]);
      story.kernel.stations = { ...story.kernel.stations, disputed: [['02:00:00:00:0c:01', N1]] };
      story.run(60);
    },
  },
  {
    name: 'a LAN that is joined to the mesh twice, where what circles comes in here and goes out elsewhere',
    is: 'broadcast-storm',
    kernel: { settings: { ...STOCK_SETTINGS, bridgeLoopAvoidance: false } },
    does: (story) => {
      story.kernel.rates.set('eth1', [5000, 5000, 80]).set('bat0', [5000, 300, 80]);
      story.kernel.stations = { ...story.kernel.stations, disputed: [['02:00:00:00:0c:01', N1]] };
      story.run(60);
    },
  },
  {
    name: 'a download, while a station is announced by two routers of one LAN and loops are avoided',
    is: null,
    kernel: { settings: { ...STOCK_SETTINGS, bridgeLoopAvoidance: true } },
    does: (story) => {
      story.kernel.rates.set('eth1', [5000, 300, 1200]).set('bat0', [5000, 300, 1200]);
      story.kernel.stations = { ...story.kernel.stations, disputed: [['02:00:00:00:0c:01', N1]] };
      story.run(25);
    },
  },
  {
    name: 'the same on a busy router, over a slow cable',
    is: 'broadcast-storm',
    does: (story) => {
      story.kernel.rates.set('eth1', [300, 300, 400]).set('bat0', [300, 300, 400]);
      story.run(3600);
      story.kernel.rates.set('eth1', [1500, 1500, 80]).set('bat0', [1500, 1400, 80]);
      story.kernel.stations = { ...story.kernel.stations, disputed: [['02:00:00:00:0c:01', N1]] };
      story.run(60);
    },
  },
  {
    name: 'broadcasts that go round, while every station changes its place faster than tables tell',
    is: 'broadcast-storm',
    does: (story) => {
      story.kernel.rates.set('bat0', [700, 650, 80]).set('br-lan', [1500, 20, 80, 1450]);
      story.run(60);
    },
  },
  {
    name: 'broadcasts that go round soon after the start, first one way more than the other',
    is: 'broadcast-storm',
    does: (story) => {
      story.kernel.rates.set('bat0', [40, 40, 100]).set('br-lan', [40, 40, 100, 5]);
      story.run(20);
      story.kernel.rates.set('bat0', [330, 660, 80]).set('br-lan', [900, 20, 80, 850]);
      story.run(50);
      story.kernel.rates.set('bat0', [700, 650, 80]).set('br-lan', [1500, 20, 80, 1450]);
      story.run(40);
    },
  },
  {
    name: 'ARP requests that go round one way twice as often as the other, and no station that two announce',
    is: 'broadcast-storm',
    kernel: { settings: { ...STOCK_SETTINGS, bridgeLoopAvoidance: false } },
    does: (story) => {
      story.kernel.rates.set('bat0', [90, 90, 100]).set('br-lan', [90, 90, 100, 5]);
      story.run(60);
      story.kernel.rates.set('bat0', [830, 1400, 80]).set('br-lan', [2200, 20, 80]);
      story.run(40);
    },
  },
  {
    name: 'this router itself is asked and answers much, in small packets both ways',
    is: null,
    kernel: { settings: { ...STOCK_SETTINGS, bridgeLoopAvoidance: false } },
    does: (story) => {
      story.kernel.rates.set('bat0', [90, 90, 100]).set('br-lan', [90, 90, 100, 5]);
      story.run(60);
      story.kernel.rates.set('bat0', [1400, 1400, 80]).set('br-lan', [1400, 1400, 80]);
      story.run(60);
    },
  },
  {
    name: 'television by multicast: much comes, nothing goes',
    is: null,
    kernel: { settings: { ...STOCK_SETTINGS, bridgeLoopAvoidance: false } },
    does: (story) => {
      story.kernel.rates.set('bat0', [1500, 40, 1300]).set('br-lan', [1500, 40, 1300, 1450]);
      story.run(60);
    },
  },
  {
    name: 'much traffic both ways for an hour, nearly from the start, and then a station that two routers announce',
    is: null,
    does: (story) => {
      story.kernel.rates.set('bat0', [40, 40, 400]).set('eth1', [40, 40, 400]);
      story.run(30);
      story.kernel.rates.set('bat0', [1000, 1000, 400]).set('eth1', [1000, 1000, 400]);
      story.run(3600);
      story.kernel.stations = { ...story.kernel.stations, disputed: [['02:00:00:00:0c:01', N1]] };
      story.run(60);
    },
  },
  {
    name: 'a call to many on the LAN, and as much comes back as goes',
    is: null,
    does: (story) => {
      story.kernel.rates.set('bat0', [700, 650, 80]).set('br-lan', [1500, 1400, 80, 200]);
      story.run(60);
    },
  },
  {
    name: 'three times the usual both ways, while a station is announced by two routers',
    is: null,
    does: (story) => {
      story.kernel.rates.set('eth1', [300, 300, 400]).set('bat0', [300, 300, 400]);
      story.run(3600);
      story.kernel.rates.set('eth1', [900, 900, 400]).set('bat0', [900, 900, 400]);
      story.kernel.stations = { ...story.kernel.stations, disputed: [['02:00:00:00:0c:01', N1]] };
      story.run(40);
    },
  },
  {
    name: 'much traffic both ways, and every station has one place',
    is: null,
    does: (story) => {
      story.kernel.rates.set('eth1', [5000, 5000, 1200]).set('bat0', [5000, 5000, 1200]);
      story.run(60);
    },
  },
  // --- this router
  {
    name: 'somebody changes the hop penalty',
    is: 'config-drift',
    does: (story) => {
      story.kernel.settings = { ...story.kernel.settings, hopPenalty: 90 };
      story.run(10);
    },
  },
  {
    name: 'somebody changes one interface',
    is: 'config-drift',
    does: (story) => {
      story.tell(1, { mtu: 1400 });
      story.run(10);
    },
  },
  {
    name: 'somebody changes a setting, and back',
    is: null,
    does: (story) => {
      const before = story.kernel.settings;
      story.kernel.settings = { ...before, hopPenalty: 90 };
      story.run(3);
      story.kernel.settings = before;
      story.run(20);
    },
  },
  {
    name: 'the CPUs have no time left',
    is: 'overload',
    does: (story) => {
      vitals(story, { busy: 1 });
      story.run(70);
    },
  },
  {
    name: 'memory runs out',
    is: 'overload',
    does: (story) => {
      vitals(story, { availableKib: 3000 });
      story.run(40);
    },
  },
  {
    name: 'flash is full',
    is: 'overload',
    does: (story) => {
      vitals(story, { flashKib: 12 });
      story.run(40);
    },
  },
  {
    name: 'the CPUs are busy for a moment',
    is: null,
    does: (story) => {
      vitals(story, { busy: 1 });
      story.run(40);
      vitals(story, { busy: 0.4 });
      story.run(60);
    },
  },
  {
    name: 'the wall clock jumps an hour',
    is: 'clock-stepped',
    does: (story) => {
      vitals(story, { wallOffsetMs: story.kernel.vitals.wallOffsetMs - 3_600_000 });
      story.run(11);
    },
  },
  {
    name: 'NTP slews the clock',
    is: null,
    does: (story) => {
      for (let i = 0; i < 20; i++) {
        vitals(story, { wallOffsetMs: story.kernel.vitals.wallOffsetMs + 5 });
        story.run(10);
      }
    },
  },
  {
    name: 'a clock that was never set is set once',
    is: null,
    kernel: { vitals: { ...new Story().kernel.vitals, wallOffsetMs: 0 } },
    does: (story) => {
      vitals(story, { wallOffsetMs: 1.8e12 });
      story.run(30);
    },
  },
];

const OLD: readonly FaultClass[] = ['link-down', 'link-silent', 'router-dead'];

for (const { name, is, does, settings, kernel } of CASES)
  test(`${is ?? 'no fault'}: ${name}`, () => {
    const story = new Story(settings, structuredClone(kernel));
    story.settle();
    assert.deepEqual(story.open(), [], 'nothing is wrong before');
    story.changed.length = 0;
    does(story);
    const seen = story.classes().filter((one) => !OLD.includes(one));
    assert.deepEqual(seen, is === null ? [] : [is]);
    if (is === null) return;
    const { fault } = story.decisions.find((one) => one.fault.class === is)!;
    assert.ok(fault.evidence.length > 0 && fault.evidence.every(({ what, source }) => what !== '' && source !== ''));
    assert.ok(fault.confidence > 0.5 && fault.confidence <= 1);
    const isSafe = CATALOGUE.find((spec) => spec.class === is)!.safe;
    if (!isSafe) {
      const steps = story.decisions.filter((one) => one.fault.class === is).map(({ step }) => step);
      assert.ok(
        steps.every((step) => step === 'observed'),
        `only observed until it is earned: ${steps}`,
      );
    }
  });

test('a neighbour’s word that it does not hear us is a reason to look more closely, and no fault by itself', () => {
  const seenAfter = (told: boolean) => {
    const story = new Story();
    story.settle();
    if (told) {
      const frame = alarmOf({ kind: 'neighbour-lost', near: N1, far: '02:00:00:00:00:01', affected: [X] });
      story.router.runtime.feed({ type: 'frame', interface: 22, frame }, story.now);
      story.run(20);
      assert.ok(!story.classes().includes('link-one-way'), 'it hears us all the same');
    }
    for (let i = 1; i < 30; i++) {
      story.kernel.ports[0]!.tq = 255 - 4 * i;
      story.run(1);
      if (story.classes().includes('link-one-way')) return i;
    }
    return null;
  };
  const [alone, told] = [seenAfter(false), seenAfter(true)];
  assert.ok(alone !== null && told !== null && told < alone, `${told} s instead of ${alone}`);
});

test('a link that has always come and gone is no fault; one that begins to is, and only until it keeps still', () => {
  const edge = new Story();
  comesAndGoes(edge, 100, 5, 20);
  assert.ok(!edge.classes().includes('link-flapping'), edge.classes().join());
  const story = new Story().settle();
  story.run(300);
  comesAndGoes(story, 6, 5, 12);
  const told = story.decisions.filter(({ fault }) => fault.class === 'link-flapping');
  assert.equal(told.length, 1, 'once, however long it lasts');
  assert.deepEqual([told[0]!.fault.interface, told[0]!.fault.affected], ['eth1', [N1]]);
  assert.match(told[0]!.fault.evidence[0]!.what, /fell silent 3 times in the last three minutes/);
  story.run(200);
  assert.deepEqual(story.open(), []);
});

test('a radio that loses a neighbour again and again is word of it, and a person’s is not', () => {
  const told = (lose: (story: Story) => void) => {
    const story = new Story().settle();
    story.run(300);
    for (let i = 0; i < 3; i++) {
      lose(story);
      // Too short for the tables.
      comesAndGoes(story, 1, 2, 65);
    }
    return story.classes().includes('link-flapping');
  };
  const gone = { type: 'neighbour-evidence', interface: 21, neighbour: N1, what: 'station-gone' } as const;
  assert.ok(told((story) => story.router.feed({ ...gone, at: story.now })));
  assert.ok(!told((story) => story.router.feed({ type: 'kick-asked', by: 'root', lost: N1 })));
  assert.ok(!told(() => {}));
});

test('a link whose carrier goes with the neighbour is told once, and by its carrier', () => {
  const story = new Story().settle();
  story.run(300);
  for (let i = 0; i < 5; i++) {
    story.tell(1, { carrier: false });
    story.run(6);
    story.tell(1, { carrier: true, master: 10 });
    story.run(6);
  }
  const told = story.decisions.filter(({ fault }) => fault.class === 'link-flapping');
  assert.equal(told.length, 1);
  assert.match(told[0]!.fault.evidence.at(-1)!.what, /carrier was lost 3 times/);
});

test('translation tables that do not fit what a router announces, three times in a row', () => {
  const tvlv = (ttvn: number, crc: number) => `0401000c00${hex(ttvn, 2)}0001${hex(crc, 8)}00000000`;
  const story = new Story();
  const announce = (ttvn: number, crc: number) => {
    const body = tvlv(ttvn, crc);
    const head = `ffffffffffff0200000000ff4305000f320000000001${X.replaceAll(':', '')}020000000001`;
    const frame = `${head}00ff${hex(body.length / 2, 4)}${body}`;
    story.router.runtime.feed({ type: 'ogm-sent', frame }, story.now);
  };
  const table = (ttvn: number, crc: number) => {
    story.kernel.stations = { local: 0, remote: 1, disputed: [], tables: [{ originator: X, ttvn, vlans: [[0, crc]] }] };
  };
  announce(7, 0xabcdef01);
  table(7, 0xabcdef01);
  story.settle();
  assert.deepEqual(story.classes(), []);
  table(7, 0x11111111);
  story.run(200);
  assert.deepEqual(story.classes(), ['translation-inconsistent']);
  assert.match(story.decisions[0]!.fault.evidence[0]!.what, /1 of 1 checksums/);
  table(7, 0xabcdef01);
  story.run(70);
  assert.deepEqual(story.open(), []);
});

test('an address of its own that only another router announces: a frame to itself through bat0, and again, ever more slowly', () => {
  const OWN = bat0.mac;
  const own = OWN.replaceAll(':', '');
  const story = new Story().settle();
  const taken = (...rows: readonly (readonly [station: string, vid: number, originator: string])[]) => {
    const of = rows.map(([station, vid, originator]) => ({ station, vid, originator }));
    story.kernel.stations = { local: 1, remote: 4, disputed: [], tables: [], ...(of.length > 0 && { taken: of }) };
  };
  const settle = (seconds: number) => {
    for (let i = 0; i < seconds && story.sent.length === 0; i++) story.run(1);
  };
  taken([OWN, 0, X]);
  settle(70);
  assert.deepEqual(story.sent, [`${own}${own}9000`.padEnd(120, '0')]);
  assert.deepEqual(story.steps('address-taken'), ['planned announce']);
  assert.match(
    story.decisions[0]!.fault.evidence[0]!.what,
    new RegExp(`^${X} announces ${OWN}, which is this router's own$`),
  );
  taken();
  story.run(10);
  assert.deepEqual([story.steps('address-taken'), story.open()], [['planned announce', 'verified announce'], []]);
  // By two, and tagged: each is a fault of its own, and each is told.
  story.sent.length = 0;
  story.decisions.length = 0;
  taken([OWN, 0x8005, X], [OWN, 0, N1], ['02:00:00:00:00:b1', 0, N1]);
  settle(70);
  assert.deepEqual(
    story.sent.map((frame) => [frame.length, frame.slice(24, 36)]),
    [
      [120, '810000059000'],
      [120, '900000000000'],
      [120, '900000000000'],
    ],
  );
  assert.equal(story.sent[2]!.slice(0, 24), '0200000000b1'.repeat(2));
  const count = () => story.steps('address-taken').filter((step) => step === 'failed announce').length;
  const failed = [600, 600, 600].map((seconds) => {
    const before = count();
    story.run(seconds);
    return count() - before;
  });
  assert.ok(failed[0]! > 0 && failed[2]! < failed[0]!, `it did not help ${failed.join(', ')} times`);
  assert.deepEqual(story.open(), ['address-taken', 'address-taken']);
});

test('an address that two routers have is told, and answered, a few times an hour, however often and by however many it is taken', () => {
  for (const [name, originators] of [
    ['one', [X]],
    ['many', Array.from({ length: 30 }, (_, i) => `02:00:00:00:0d:${(i + 16).toString(16)}`)],
  ] as const) {
    const story = new Story().settle();
    const before = story.kernel.stations;
    const taken = originators.map((originator) => ({ station: bat0.mac, vid: 0, originator }));
    const run = (seconds: number) => {
      for (let at = 0; at < seconds; at += 4) {
        story.kernel.stations = story.kernel.stations === before ? { ...before, taken } : before;
        const looks = story.surveys.get('stations')!;
        // As long as it takes to be told, or to be over: two readings, or one.
        for (let i = 0; i < 13; i++, at++)
          if (story.surveys.get('stations')! - looks < (story.kernel.stations === before ? 1 : 2)) story.run(1);
      }
    };
    run(3600);
    const first = story.decisions.filter(({ step }) => step === 'planned').length;
    assert.ok(first >= 12 && first <= 24, `${name}: told ${first} times in the first hour`);
    run(3600);
    const { length } = story.decisions.filter(({ step }) => step === 'planned');
    assert.ok(length - first >= 3 && length - first <= 13, `${name}: told ${length - first} times in the second hour`);
    assert.match(
      story.decisions.at(-1)!.fault.evidence[0]!.what,
      /within the hour: do two routers have one address\?$/,
    );
  }
});

test('what stays taken is looked at as often as stations usually are, and after each frame', () => {
  const story = new Story().settle();
  story.kernel.stations = { ...story.kernel.stations, taken: [{ station: bat0.mac, vid: 0, originator: X }] };
  story.run(600);
  const looks = story.surveys.get('stations')!;
  const { length } = story.sent;
  story.run(3600);
  const more = story.surveys.get('stations')! - looks;
  assert.ok(more <= 61 + 2 * (story.sent.length - length), `${more} times in an hour`);
});

test('in one reading only, or where the mode forbids it, an address that is taken sends no frame', () => {
  for (const [settings, seconds] of [
    [{}, 1],
    [{ mode: 'observe' }, 300],
  ] as const) {
    const story = new Story(settings).settle();
    const before = story.kernel.stations;
    story.kernel.stations = { ...before, taken: [{ station: bat0.mac, vid: 0, originator: X }] };
    const looks = story.surveys.get('stations')!;
    while (story.surveys.get('stations') === looks) story.run(1);
    story.run(seconds - 1);
    story.kernel.stations = before;
    story.run(120);
    assert.deepEqual(story.sent, []);
  }
});

test('whoever speaks something else beside others is asked after more often until it is certain, and then rarely', () => {
  const story = new Story().settle();
  const looks = (seconds: number) => {
    const before = story.surveys.get('air') ?? 0;
    story.run(seconds);
    return (story.surveys.get('air') ?? 0) - before;
  };
  assert.ok(looks(3600) <= 7, 'while nothing foreign is heard');
  story.kernel.overheard = [spoken(N1, 0), spoken(Z, 3), spoken(Z, 3)];
  assert.ok(looks(1200) <= 7);
  const [told] = story.decisions;
  assert.deepEqual([told!.fault.class, told!.fault.peer, told!.action], ['mesh-mismatch', Z, 'tell']);
  assert.ok(looks(3600) <= 7);
  assert.equal(story.open().length, 2, 'on both interfaces, once');
  // Ever new ones push nobody out, and fill no memory.
  const many = (n: number) =>
    Array.from({ length: 60 }, (_, i) => spoken(`02:00:00:00:${10 + (n % 80)}:${10 + i}`, 3)).flatMap((one) => [
      one,
      one,
    ]);
  for (let n = 0; n < 20; n++) {
    story.kernel.overheard = [...many(n), spoken(Z, 3), spoken(Z, 3)];
    story.run(70);
  }
  assert.ok(story.open().length <= 16);
  assert.ok(story.router.room.analyse.open().some(({ peer }) => peer === Z));
  story.kernel.overheard = [spoken(N1, 0)];
  story.run(1300);
  assert.deepEqual(story.open(), []);
});

test('what was spoken where nobody is heard is over where nobody can listen any more', () => {
  for (const over of [{ carrier: false }, { master: 0 }]) {
    const ports = new Story().kernel.ports.map((one, i) => ({ ...one, silent: i === 0, heardAt: i === 0 ? 0 : 1e12 }));
    const story = new Story({ mode: 'observe' }, { ports, overheard: [spoken(N1, 3), spoken(N1, 3)] }).settle();
    const isOpen = () => story.router.room.analyse.open().some((one) => one.class === 'mesh-mismatch' && !one.peer);
    story.run(60);
    assert.ok(isOpen());
    story.tell(1, over);
    story.run(1300);
    assert.ok(!isOpen(), JSON.stringify(over));
  }
});

const DAT = '02010000';
const TT = '04010000';
const MCAST = '0602000400000000';

/** An OGM of this router, as our kernel passes it on. */
function announces(story: Story, originator: string, tvlvs: string): void {
  const mac = originator.replaceAll(':', '');
  const head = `ffffffffffff0200000000ff4305000f320000000001${mac}${mac}`;
  const frame = `${head}00ff${hex(tvlvs.length / 2, 4)}${tvlvs}`;
  story.router.runtime.feed({ type: 'ogm-sent', frame }, story.now);
}

test('a feature that is on here and that a lasting neighbour lacks is told; turned off only where no neighbour has it', () => {
  const meet = (first: string, second: string, settings: Partial<MeshSettings> = {}) => {
    const story = new Story({}, { settings: { ...new Story().kernel.settings, ...settings } }).settle();
    announces(story, N1, first);
    announces(story, N2, second);
    story.run(500);
    assert.deepEqual(story.classes(), [], 'a neighbour that is new is no neighbour to reckon with');
    story.run(200);
    return story;
  };
  const all = TT + DAT + MCAST;
  const rows: readonly (readonly [string, string, Partial<MeshSettings>, readonly string[]])[] = [
    [all, all, {}, []],
    [TT + MCAST, all, {}, [`${N1} tell`]],
    [all, TT + DAT, {}, [`${N2} tell`]],
    [TT + MCAST, TT + MCAST, {}, [`${N1} set-feature`, `${N2} set-feature`]],
    [TT + MCAST, TT + MCAST, { distributedArpTable: false }, []],
    [TT + DAT, TT + DAT, { multicastForceflood: true }, []],
    [TT + DAT, TT + DAT, { multicastFanout: 0 }, []],
    ['', DAT, {}, []],
  ];
  for (const [first, second, settings, expected] of rows) {
    const story = meet(first, second, settings);
    const told = story.decisions.map(({ fault, step, action }) => {
      assert.deepEqual([fault.class, step], ['mesh-mismatch', 'observed']);
      return `${fault.peer} ${action}`;
    });
    assert.deepEqual(told, expected);
    assert.deepEqual(story.changed, []);
  }
});

test('who turned a feature off does not lack it: routers do not turn it off one after the other', () => {
  const story = new Story().settle();
  for (const peer of [N1, N2]) announces(story, peer, TT + DAT + MCAST);
  story.run(700);
  for (const peer of [N1, N2]) announces(story, peer, TT + MCAST);
  story.run(1500);
  assert.deepEqual(story.decisions, []);
});

test('a feature that nobody around has is turned off with its undo, and on again when somebody with it stays', () => {
  const story = new Story().settle();
  story.act('mesh-mismatch');
  announces(story, N1, TT + MCAST);
  story.kernel.ports[1]!.silent = true;
  story.run(800);
  assert.equal(story.kernel.settings.distributedArpTable, false);
  assert.deepEqual(
    [...story.armed.values()],
    [{ kind: 'set-mesh', mesh: 'bat0', settings: { distributedArpTable: true } }],
  );
  assert.deepEqual(story.steps('mesh-mismatch'), ['planned set-feature', 'verified set-feature']);
  story.kernel.ports[1]!.silent = false;
  announces(story, N2, TT + DAT + MCAST);
  story.run(1000);
  assert.equal(story.kernel.settings.distributedArpTable, true);
  assert.equal(story.armed.size, 0);
  assert.ok(!story.classes().includes('config-drift'));
});

test('every class has words and repairs that exist, and the last of an unsafe one tells a person', () => {
  for (const { class: kind, words, repairs, safe } of CATALOGUE) {
    assert.ok(words.length > 10 && repairs.length > 0, kind);
    for (const action of repairs) assert.equal(repairOf(action).action, action);
    if (!safe) assert.equal(repairs.at(-1), 'tell', kind);
    if (!safe) for (const action of repairs) assert.ok(repairOf(action).mend !== undefined, `${kind} ${action}`);
  }
});

test('a link that loses a third is one fault, though it is silent for three seconds now and then; dead, it is over', () => {
  const story = new Story().settle();
  decay(story, 0.33, 80);
  for (let round = 0; round < 5; round++) {
    story.kernel.ports[0]!.silent = true;
    story.run(3);
    story.kernel.ports[0]!.silent = false;
    lossy(story, 0.33, 12);
  }
  const lossyOnes = () =>
    new Set(story.decisions.flatMap(({ fault }) => (fault.class === 'link-lossy' ? [fault.id] : [])));
  assert.equal(lossyOnes().size, 1);
  assert.ok(story.open().includes('link-lossy'));
  story.kernel.ports[0]!.silent = true;
  story.run(20);
  assert.ok(!story.open().includes('link-lossy'), 'then another fault says it all');
});

test('hours without a fault: nothing is seen, nothing done, and little asked', () => {
  const story = new Story();
  let noise = 1;
  for (let minute = 0; minute < 240; minute += 10) {
    // Loss below what counts as poor, latency and traffic that wander.
    noise = (noise * 48271) % 2147483647;
    for (const one of story.kernel.ports) {
      one.tq = 255 - (noise % 12);
      one.rttNs = (2 + (noise % 7)) * MS;
    }
    story.kernel.rates.set('bat0', [noise % 900, noise % 500, 400]);
    story.run(600);
  }
  assert.deepEqual(story.decisions, []);
  assert.deepEqual(story.changed, []);
  assert.ok(story.surveys.get('counters')! <= 1460);
  assert.equal(story.surveys.get('upstream'), undefined, 'this router is no gateway');
});

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
