/**
 * One hierarchy of errors. Every error that leaves a room is an AgentError with a stable code from `ERRORS`:
 * the code is what scripts and tests match, the message is for people.
 */

/** Whose fault it is: ours (a bug), the caller's (bad input), or the outside world's (kernel, disk, network). */
export type Blame = 'bug' | 'caller' | 'world';

/** Every code, with whose fault it is and what it means. Codes are never reused. */
export const ERRORS = {
  E_BUG: ['bug', 'an invariant of the agent did not hold'],
  E_CONFIG_SYNTAX: ['caller', 'a configuration file is not valid UCI'],
  E_CONFIG_VALUE: ['caller', 'an option has a value that its schema refuses'],
  E_CONFIG_READ: ['world', 'a configuration file cannot be read or written'],
  E_USAGE: ['caller', 'a command line or request is wrong'],
  E_NOT_FOUND: ['caller', 'what was asked for does not exist'],
  E_FORBIDDEN: ['caller', 'the caller may not do this'],
  E_CALLER: ['caller', 'a program that asked for an identity has ended, or become another program, since it called'],
  E_BUSY: ['world', 'what was asked for is being made ready: ask again'],
  E_FRAME: ['world', 'a frame from the air is malformed'],
  E_NETLINK: ['world', 'the kernel refused a netlink request'],
  E_NETLINK_DECODE: ['world', 'a netlink message is malformed or lacks a mandatory attribute'],
  E_NETLINK_INTERRUPTED: ['world', 'a netlink dump was interrupted more often than is sane'],
  E_NETLINK_LOST: ['world', "the kernel's answer to a netlink request was lost: what became of it is not known"],
  E_NETLINK_TIMEOUT: ['world', 'the kernel did not answer a netlink request'],
  E_NO_BATADV: ['world', 'the kernel has no batman-adv'],
  E_SOCKET: ['world', 'a socket cannot be opened or used'],
  E_NATIVE: ['world', 'the native shim is missing or cannot be loaded'],
  E_BPF_MANIFEST: ['world', 'the manifest of the BPF objects is missing or malformed'],
  E_BPF_TRUNCATED: ['world', 'a BPF object ends before it should'],
  E_BPF_SIZE: ['world', 'a BPF object is larger than it should be'],
  E_BPF_ELF: ['world', 'a BPF object is no ELF file, or a malformed one'],
  E_BPF_MACHINE: ['world', 'an object is for another machine than BPF'],
  E_BPF_ENDIAN: ['world', 'a BPF object is of the other byte order'],
  E_BPF_HASH: ['world', 'a BPF object is not the one that its manifest names'],
  E_BPF_SECTION: ['world', 'a BPF object has a section that none of ours has'],
  E_BPF_LICENCE: ['world', "a BPF object's licence is not one that the kernel wants"],
  E_BPF_MAP: ['world', 'a BPF object has a map of a type or size that none of ours has'],
  E_BPF_INSTRUCTIONS: ['world', 'a BPF program is too long, or its instructions are none'],
  E_BPF_HELPER: ['world', 'a BPF program calls a helper that is not allowed'],
  E_BPF_LOAD: ['world', 'the kernel or libbpf refused a BPF object'],
  E_BPF_FOREIGN: ['world', "an interface has somebody else's XDP program, which stays"],
  E_STATE: ['world', 'the state database cannot be used'],
  E_STATE_DAMAGED: ['world', 'the state database was damaged and has been set aside'],
  E_JOURNAL_BROKEN: ['world', 'the journal of decisions does not verify'],
  E_KEY: ['world', 'a key or what was encapsulated to one is malformed, unsafe or wiped'],
  E_KEY_FILE: ['world', 'the key file cannot be read, written or trusted'],
  E_SEAL: ['world', 'a sealed message was not made with this key, or was changed on its way'],
  E_SUITE: ['world', 'a key or message is of another cipher suite than the one in use, or of one that is not there'],
  E_SVID: ['world', 'a certificate or a statement does not prove the identity that it is shown for'],
  E_PEER_UNREACHABLE: ['world', 'another router could not be connected to'],
  E_PEER_UNTRUSTED: ['world', 'another router did not prove who it is, or is not to be trusted'],
  E_PEER_PROTOCOL: ['world', 'another router sent what the protocol of sessions does not allow'],
  E_PEER_SILENT: ['world', 'another router fell silent, or stopped reading'],
  E_PEER_CLOSED: ['world', 'the session with another router has ended'],
  E_PEER_BUSY: ['world', 'more is asked of a session than it can hold'],
  E_PEER_DEADLINE: ['world', 'another router did not answer in time'],
  E_PEER_REFUSED: ['world', 'another router answered a request with an error'],
  E_TUNNEL: ['world', 'a tunnel cannot be made, or its other end said what it must not say'],
  E_MAP: ['caller', 'a file that describes a mesh is malformed or too large'],
  E_RECORDING: ['caller', 'a recording is malformed, or of a version that is not read'],
  E_SCENARIO_SYNTAX: ['caller', 'a scenario is not JSON'],
  E_SCENARIO_FORMAT: ['caller', 'a scenario is of a format version that is not known'],
  E_SCENARIO_KEY: ['caller', 'a scenario has a key that its place does not know, or lacks one'],
  E_SCENARIO_VALUE: ['caller', 'a scenario has a value of the wrong type or out of range'],
  E_SCENARIO_TOPOLOGY: ['caller', 'a scenario asks for a topology that cannot be'],
  E_SCENARIO_REFERENCE: ['caller', 'a scenario names a node, link, fault, probe or file that is not there'],
  E_SCENARIO_LIMIT: ['caller', 'a scenario, or a file that it names, is larger than is allowed'],
  E_AGENT_UNREACHABLE: ['world', 'the agent does not answer on its socket'],
} as const satisfies Record<string, readonly [Blame, string]>;

export type ErrorCode = keyof typeof ERRORS;

export class AgentError extends Error {
  readonly code: ErrorCode;
  /** Facts for machines: file, line, option, errno, ... Plain JSON, and never a secret. */
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, detail: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AgentError';
    this.code = code;
    this.detail = detail;
  }

  get blame(): Blame {
    return ERRORS[this.code][0];
  }

  toJSON(): { code: ErrorCode; blame: Blame; message: string; detail: Readonly<Record<string, unknown>> } {
    return { code: this.code, blame: this.blame, message: this.message, detail: this.detail };
  }
}

/** For what cannot happen: throws E_BUG with what was expected. */
export function invariant(condition: unknown, expected: string): asserts condition {
  if (!condition) throw new AgentError('E_BUG', `invariant broken: ${expected}`);
}

/** Any thrown thing as an AgentError, so that callers match one shape. */
export function asAgentError(thrown: unknown, code: ErrorCode = 'E_BUG'): AgentError {
  if (thrown instanceof AgentError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new AgentError(code, message, {}, { cause: thrown });
}
