/**
 * Routes over rtnetlink (linux/rtnetlink.h; man 7 rtnetlink): struct rtmsg { u8 family, u8 dst_len, u8 src_len, u8 tos,
 * u8 table, u8 protocol, u8 scope, u8 type, u32 flags }, then attributes. Only what leads straight to an interface.
 */
import { AgentError } from '../../core/errors.ts';
import type { IfIndex } from '../../core/ids.ts';
import { bytesAttribute, join, reader, u32Attribute, u32Bytes } from './attributes.ts';
import type { NetlinkConnection } from './connection.ts';
import { encodeMessage, NLM_F_CREATE } from './message.ts';
import { ipBytes, ipText } from './rtnetlink.ts';

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTA = { DST: 1, OIF: 4, PRIORITY: 6, PREFSRC: 7, TABLE: 15 } as const;
const NLM_F_REPLACE = 0x100;
const AF_INET = 2;
const AF_INET6 = 10;
const RTPROT_STATIC = 4;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const RTN_UNREACHABLE = 7;
/** Any other route to the same network goes before one of this metric. */
const LAST_METRIC = 0xffff_ffff;
/** In the header, where the number does not fit into it. */
const RT_TABLE_COMPAT = 252;
export const MAIN_TABLE = 254;

export interface Route {
  /** As in 10.0.0.0/8 */
  readonly to: string;
  readonly index: IfIndex;
  readonly table: number;
  /** The address that this router sends from itself; null leaves it to the kernel. */
  readonly source: string | null;
}

function encode(type: number, flags: number, { to, index, table, source }: Route): Uint8Array {
  const [ip = '', prefix = ''] = to.split('/');
  const bytes = ipBytes(ip);
  const isOld = bytes.length === 4;
  const scope = isOld ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const shown = table < 256 ? table : RT_TABLE_COMPAT;
  const head = [isOld ? AF_INET : AF_INET6, Number(prefix), 0, 0, shown, RTPROT_STATIC, scope, RTN_UNICAST];
  return encodeMessage(
    type,
    flags,
    join([Uint8Array.from(head), u32Bytes(0)]),
    bytesAttribute(RTA.DST, bytes),
    u32Attribute(RTA.OIF, index),
    u32Attribute(RTA.TABLE, table),
    ...(source === null ? [] : [bytesAttribute(RTA.PREFSRC, ipBytes(source))]),
  );
}

/** In one step in place of the route that leads there now: no packet meets neither. Throws a RangeError for no address. */
export const encodeReplaceRoute = (route: Route): Uint8Array =>
  encode(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);

function refusal(type: number, flags: number, to: string): Uint8Array {
  const [ip = '', prefix = ''] = to.split('/');
  const head = [AF_INET6, Number(prefix), 0, 0, MAIN_TABLE, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNREACHABLE];
  return encodeMessage(
    type,
    flags,
    join([Uint8Array.from(head), u32Bytes(0)]),
    bytesAttribute(RTA.DST, ipBytes(ip)),
    u32Attribute(RTA.PRIORITY, LAST_METRIC),
    u32Attribute(RTA.TABLE, MAIN_TABLE),
  );
}

/** What no other route of the main table leads to of this IPv6 network goes nowhere, instead of by the default route. */
export const encodeRefuse = (to: string): Uint8Array => refusal(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, to);

export const encodeRefuseNot = (to: string): Uint8Array => refusal(RTM_DELROUTE, 0, to);

export const encodeDeleteRoute = (route: Route): Uint8Array => encode(RTM_DELROUTE, 0, route);

const ROUTE = reader({
  name: 'RTM_NEWROUTE',
  attributes: {
    RTA_DST: [RTA.DST, 'bytes'],
    RTA_OIF: [RTA.OIF, 'u32'],
    RTA_PRIORITY: [RTA.PRIORITY, 'u32'],
    RTA_PREFSRC: [RTA.PREFSRC, 'bytes'],
    RTA_TABLE: [RTA.TABLE, 'u32'],
  },
  mandatory: [],
});

/** undefined: of another family, or it leads to no interface. */
export function decodeRoute(bytes: Uint8Array, start: number, end: number): Route | undefined {
  if (end - start < 12) throw new AgentError('E_NETLINK_DECODE', 'RTM_NEWROUTE: cut off');
  const family = bytes[start]!;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const length = family === AF_INET ? 4 : 16;
  ROUTE.read(bytes, start + 12, end);
  if (!ROUTE.has(RTA.OIF)) return undefined;
  const address = (type: number): string | null => {
    if (!ROUTE.has(type)) return null;
    const found = ROUTE.bytes(type);
    if (found.length !== length) throw new AgentError('E_NETLINK_DECODE', 'RTM_NEWROUTE: no address of its family');
    return ipText(found);
  };
  return {
    to: `${address(RTA.DST) ?? ipText(new Uint8Array(length))}/${bytes[start + 1]}`,
    index: ROUTE.u32(RTA.OIF),
    table: ROUTE.has(RTA.TABLE) ? ROUTE.u32(RTA.TABLE) : bytes[start + 4]!,
    source: address(RTA.PREFSRC),
  };
}

export function dumpRoutes(route: NetlinkConnection): Promise<Route[]> {
  return route.dump(encodeMessage(RTM_GETROUTE, 0, new Uint8Array(12)), 'list routes', (bytes, start, end, type) =>
    type === RTM_NEWROUTE ? decodeRoute(bytes, start, end) : undefined,
  );
}
