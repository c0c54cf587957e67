/**
 * The native shim for an x0d under test (X0_SHIM): this machine's own links and clock, a batman-adv without a mesh
 * interface that is there as soon as the file X0_TEST_BATADV is, and no air.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Native } from '../../../agent/host/native.ts';
import { NETLINK_GENERIC } from '../../../agent/host/netlink/message.ts';
import { Script } from './help.ts';

const real = createRequire(import.meta.url)('../../../native/build/x0shim.node') as Native;
const script = new Script();
Object.defineProperty(script, 'batadv', { get: () => existsSync(process.env.X0_TEST_BATADV!) });

export const openNetlink: Native['openNetlink'] = (options) =>
  (options.protocol === NETLINK_GENERIC ? script.native : real).openNetlink(options);
export const openPacket: Native['openPacket'] = (options) => script.native.openPacket(options);
export const listenUnix: Native['listenUnix'] = (options) => real.listenUnix(options);
export const lives: Native['lives'] = (pidfd) => real.lives(pidfd);
export const unixOwner: Native['unixOwner'] = (path) => real.unixOwner(path);
export const now: Native['now'] = () => real.now();
