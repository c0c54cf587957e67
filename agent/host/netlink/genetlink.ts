/**
 * Generic netlink (linux/genetlink.h): after the netlink header struct genlmsghdr { u8 command, u8 version, u16 zero },
 * then attributes. A family's number is given out when its module loads; the controller (number 16) knows it by name,
 * and the kernel loads the module while it is asked where it can.
 */
import { AgentError } from '../../core/errors.ts';
import { reader, stringAttribute } from './attributes.ts';
import type { NetlinkConnection } from './connection.ts';
import { encodeMessage, isErrno } from './message.ts';

export const GENERIC_HEADER = 4;

const CONTROLLER = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR = { FAMILY_ID: 1, FAMILY_NAME: 2, VERSION: 3, MCAST_GROUPS: 7 } as const;
const CTRL_ATTR_MCAST_GRP = { NAME: 1, ID: 2 } as const;

export interface Family {
  readonly id: number;
  readonly name: string;
  readonly version: number;
  /** Multicast groups by name. */
  readonly groups: ReadonlyMap<string, number>;
}

const FAMILY = reader({
  name: 'CTRL_CMD_NEWFAMILY',
  attributes: {
    CTRL_ATTR_FAMILY_ID: [CTRL_ATTR.FAMILY_ID, 'u16'],
    CTRL_ATTR_FAMILY_NAME: [CTRL_ATTR.FAMILY_NAME, 'string'],
    CTRL_ATTR_VERSION: [CTRL_ATTR.VERSION, 'u32'],
    CTRL_ATTR_MCAST_GROUPS: [CTRL_ATTR.MCAST_GROUPS, 'nested'],
  },
  mandatory: ['CTRL_ATTR_FAMILY_ID', 'CTRL_ATTR_FAMILY_NAME'],
});
/** The groups stand in a list whose attribute types only count up; 64 are more than any family has. */
const GROUPS = reader({
  name: 'CTRL_ATTR_MCAST_GROUPS',
  attributes: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`group ${i}`, [i, 'nested'] as const])),
  mandatory: [],
});
const GROUP = reader({
  name: 'CTRL_ATTR_MCAST_GRP',
  attributes: {
    CTRL_ATTR_MCAST_GRP_NAME: [CTRL_ATTR_MCAST_GRP.NAME, 'string'],
    CTRL_ATTR_MCAST_GRP_ID: [CTRL_ATTR_MCAST_GRP.ID, 'u32'],
  },
  mandatory: ['CTRL_ATTR_MCAST_GRP_NAME', 'CTRL_ATTR_MCAST_GRP_ID'],
});

export function encodeGeneric(
  family: number,
  command: number,
  version: number,
  ...attributes: readonly Uint8Array[]
): Uint8Array {
  return encodeMessage(family, 0, Uint8Array.of(command, version, 0, 0), ...attributes);
}

export function encodeGetFamily(name: string): Uint8Array {
  return encodeGeneric(CONTROLLER, CTRL_CMD_GETFAMILY, 1, stringAttribute(CTRL_ATTR.FAMILY_NAME, name));
}

export function decodeFamily(bytes: Uint8Array, start: number, end: number): Family {
  if (end - start < GENERIC_HEADER) throw new AgentError('E_NETLINK_DECODE', 'CTRL_CMD_NEWFAMILY: cut off');
  FAMILY.read(bytes, start + GENERIC_HEADER, end);
  const groups = new Map<string, number>();
  if (FAMILY.has(CTRL_ATTR.MCAST_GROUPS)) {
    GROUPS.read(bytes, FAMILY.start(CTRL_ATTR.MCAST_GROUPS), FAMILY.end(CTRL_ATTR.MCAST_GROUPS));
    for (let i = 0; i < 64; i++) {
      if (!GROUPS.has(i)) continue;
      GROUP.read(bytes, GROUPS.start(i), GROUPS.end(i));
      groups.set(GROUP.string(CTRL_ATTR_MCAST_GRP.NAME), GROUP.u32(CTRL_ATTR_MCAST_GRP.ID));
    }
  }
  return {
    id: FAMILY.u16(CTRL_ATTR.FAMILY_ID),
    name: FAMILY.string(CTRL_ATTR.FAMILY_NAME),
    version: FAMILY.has(CTRL_ATTR.VERSION) ? FAMILY.u32(CTRL_ATTR.VERSION) : 1,
    groups,
  };
}

/** undefined where the kernel has no such family. */
export async function getFamily(generic: NetlinkConnection, name: string): Promise<Family | undefined> {
  try {
    const [family] = await generic.request(encodeGetFamily(name), `look up ${name}`, decodeFamily, true);
    return family;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
