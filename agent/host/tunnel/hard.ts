/**
 * A tunnel as a hard interface of the mesh: a VXLAN over it. It is put under the mesh interface once, and up only from then
 * on, so that the kernel itself keeps whether that has been: what is up and under nothing was taken out, by a repair or by a
 * person, and to put it back is a matter of healing. The next agent sees the same.
 */
import type { Log } from '../../core/log.ts';
import { VXLAN_OVERHEAD, VXLAN_PORT, vxlanName } from '../../tunnel/plan.ts';
import type { NetlinkConnection } from '../netlink/connection.ts';
import {
  change,
  encodeCreateVxlan,
  encodeDeleteLink,
  encodeSetMaster,
  encodeSetMtu,
  encodeSetUp,
  getLink,
} from '../netlink/rtnetlink.ts';
import type { LinkPlan } from './links.ts';

type HardPlan = Pick<LinkPlan, 'name' | 'mtu' | 'mesh'>;

/** Makes it where it is not there, or that of another peer. */
export async function holdHard(route: NetlinkConnection, plan: HardPlan, log: Log): Promise<void> {
  const { name: tunnel, mtu, mesh } = plan;
  if (mesh === null) return;
  const name = vxlanName(tunnel);
  const there = await getLink(route, name);
  if (there?.mac !== mesh.mac) {
    if (there !== undefined) await change(route, encodeDeleteLink(name), `remove ${name}`);
    const ends = { local: mesh.local, remote: mesh.remote, vni: mesh.vni, port: VXLAN_PORT };
    await change(route, encodeCreateVxlan(name, ends, mesh.mac), `make ${name}`);
    await change(route, encodeSetMtu(name, mtu - VXLAN_OVERHEAD), `set the MTU of ${name}`);
    if (!(await joinMesh(route, plan)))
      log.warning(`${name} is made, and joins the mesh once there is a mesh interface ${mesh.under}`);
    return;
  }
  await joinMesh(route, plan);
}

/** Puts it under the mesh interface where it has never been there. Answers whether it has been, now. */
export async function joinMesh(route: NetlinkConnection, { name: tunnel, mesh }: HardPlan): Promise<boolean> {
  if (mesh === null) return false;
  const name = vxlanName(tunnel);
  const there = await getLink(route, name);
  if (there === undefined || there.mac !== mesh.mac) return false;
  if (there.up || there.master !== 0) return true;
  const under = await getLink(route, mesh.under);
  if (under?.kind !== 'batadv') return false;
  await change(route, encodeSetMaster(name, under.index), `put ${name} into the mesh`);
  await change(route, encodeSetUp(name, true), `start ${name}`);
  return true;
}
