/** A tunnel's hard interface, over a kernel that holds interfaces by name and does what it is asked in words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Link } from '../../../agent/core/kernel.ts';
import { Log } from '../../../agent/core/log.ts';
import type { NetlinkConnection } from '../../../agent/host/netlink/connection.ts';
import { holdHard, joinMesh } from '../../../agent/host/tunnel/hard.ts';
import { meshEnd } from '../../../agent/tunnel/plan.ts';
import { linkOf } from '../host/help.ts';

const END = meshEnd('spiffe://x0tta6bl4.mesh/router/a', 'spiffe://x0tta6bl4.mesh/router/b');
const PLAN = { name: 'home', mtu: 1420, mesh: { ...END, under: 'bat0' } };
const VXLAN = 'vx-home';
const BAT0 = linkOf(3, 'bat0', { kind: 'batadv' });

class Kernel {
  readonly links = new Map<string, Link>();
  readonly did: string[] = [];
  readonly lines: string[] = [];
  readonly log = new Log('info', (line) => void this.lines.push(line));
  readonly route = {
    request: async (_message: Uint8Array, what: string) => {
      const looked = /^look at interface (.*)$/.exec(what);
      if (looked !== null) return this.links.has(looked[1]!) ? [this.links.get(looked[1]!)!] : [];
      this.did.push(what);
      if (what === `make ${VXLAN}`) this.set({ ...linkOf(9, VXLAN), mac: END.mac, up: false, kind: 'vxlan' });
      if (what === `remove ${VXLAN}`) this.links.delete(VXLAN);
      if (what.startsWith('put')) this.set({ ...this.vxlan, master: BAT0.index });
      if (what.startsWith('start')) this.set({ ...this.vxlan, up: true });
      return [];
    },
  } as unknown as NetlinkConnection;

  set(link: Link): void {
    this.links.set(link.name, link);
  }

  get vxlan(): Link {
    return this.links.get(VXLAN)!;
  }

  hold = () => holdHard(this.route, PLAN, this.log);
  join = () => joinMesh(this.route, PLAN);
}

test('made where there is a mesh, it joins at once, and is left alone from then on', async () => {
  const kernel = new Kernel();
  kernel.set(BAT0);
  await kernel.hold();
  assert.deepEqual([kernel.vxlan.master, kernel.vxlan.up, kernel.vxlan.mac], [BAT0.index, true, END.mac]);
  const before = kernel.did.length;
  await kernel.hold();
  assert.equal(await kernel.join(), true);
  assert.equal(kernel.did.length, before);
  assert.deepEqual(kernel.lines, []);
});

test('made before the mesh interface, it joins once that is there, by either way', async () => {
  for (const later of ['hold', 'join'] as const) {
    const kernel = new Kernel();
    await kernel.hold();
    assert.deepEqual([kernel.vxlan.master, kernel.vxlan.up], [0, false]);
    await kernel.hold();
    assert.equal(await kernel.join(), false);
    assert.equal(kernel.lines.length, 1, 'said once');
    kernel.set({ ...BAT0, kind: 'bridge' });
    assert.equal(await kernel.join(), false, 'that is none');
    kernel.set(BAT0);
    await kernel[later]();
    assert.deepEqual([kernel.vxlan.master, kernel.vxlan.up], [BAT0.index, true], later);
  }
});

test('what was taken out of the mesh stays out, also for the next agent', async () => {
  const kernel = new Kernel();
  kernel.set(BAT0);
  await kernel.hold();
  kernel.set({ ...kernel.vxlan, master: 0 });
  await kernel.hold();
  await kernel.join();
  assert.equal(kernel.vxlan.master, 0);
});

test('that of another peer is made anew, and without a mesh there is nothing to do', async () => {
  const kernel = new Kernel();
  kernel.set(BAT0);
  kernel.set(linkOf(8, VXLAN, { kind: 'vxlan', master: BAT0.index }));
  assert.equal(await kernel.join(), false);
  assert.deepEqual(kernel.did, []);
  await kernel.hold();
  assert.equal(kernel.did[0], `remove ${VXLAN}`);
  assert.deepEqual([kernel.vxlan.mac, kernel.vxlan.master], [END.mac, BAT0.index]);
  const none = new Kernel();
  await holdHard(none.route, { ...PLAN, mesh: null }, none.log);
  assert.equal(await joinMesh(none.route, { ...PLAN, mesh: null }), false);
  assert.deepEqual(none.did, []);
});
