/**
 * The API: one table of calls, served over HTTP (those that only read) and over the control socket (all).
 * No I/O here: a request comes as data, its answer goes as data.
 */
import { AgentError, type ErrorCode } from '../core/errors.ts';
import { beaconCalls } from './api/beacon.ts';
import { type Call, type Caller, clip, given, JSON_TYPE, usage } from './api/call.ts';
import { checkCalls } from './api/check.ts';
import { configCalls } from './api/config.ts';
import { documentCalls } from './api/documents.ts';
import { healCalls } from './api/heal.ts';
import { meshCalls } from './api/mesh.ts';
import { pastCalls } from './api/past.ts';
import { peerCalls } from './api/peers.ts';
import { probeCalls } from './api/probes.ts';
import { recordCalls } from './api/record.ts';
import { statusCalls } from './api/status.ts';
import { steeringCalls } from './api/steering.ts';
import { topologyCalls } from './api/topology.ts';
import { trustCalls } from './api/trust.ts';
import { tunnelCalls } from './api/tunnels.ts';
import { workloadCalls } from './api/workload.ts';
import { xdpCalls } from './api/xdp.ts';
import type { Sources } from './sources.ts';

/**
 * All calls, a line a group, in the order of /docs. A group is a file of api/; each of its rows says method, path, shape, help,
 * and whether it changes something, which takes the control socket and a caller who may.
 */
export const CALLS: readonly Call[] = [
  ...statusCalls,
  ...meshCalls,
  ...xdpCalls,
  ...probeCalls,
  ...topologyCalls,
  ...pastCalls,
  ...tunnelCalls,
  ...workloadCalls,
  ...beaconCalls,
  ...trustCalls,
  ...peerCalls,
  ...healCalls,
  ...configCalls,
  ...documentCalls(() => CALLS),
  ...steeringCalls,
  ...recordCalls,
  ...checkCalls,
];

export interface Request {
  readonly method: string;
  /** Path and query as they came, percent-encoded. */
  readonly url: string;
  readonly body: string;
  readonly caller: Caller;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** The call's path in the table, or 'other': a label of bounded number. */
  readonly endpoint: string;
  readonly allow?: string;
}

const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  E_USAGE: 400,
  E_FORBIDDEN: 403,
  E_NOT_FOUND: 404,
  E_BUSY: 503,
};

/** Answers one request. Never throws. */
export function answer(sources: Sources, request: Request): Answer {
  let endpoint = 'other';
  try {
    const { path, query } = split(request.url);
    const found = CALLS.map((row) => ({ row, id: matches(row.path, path) })).filter(({ id }) => id !== null);
    if (found.length === 0) throw new AgentError('E_NOT_FOUND', `there is no ${clip(path)}; see /docs`);
    endpoint = found[0]!.row.path;
    const hit = found.find(({ row }) => row.method === request.method);
    if (hit === undefined) {
      const allow = found.map(({ row }) => row.method).join(', ');
      return { ...errorAnswer(405, 'E_USAGE', `${endpoint} takes ${allow}`, endpoint), allow };
    }
    const { row, id } = hit;
    if (row.changing && !request.caller.mayChange)
      throw new AgentError('E_FORBIDDEN', `${request.caller.name} may not change anything; run it as root`);
    const body = row.method === 'POST' ? parseBody(request.body) : {};
    const value = row.answer({
      sources,
      caller: request.caller,
      query,
      id: id!,
      body: given(row, { query, body }),
    });
    if (row.shape === null) return { status: 200, type: row.type!, body: value as string, endpoint };
    const status = endpoint === '/health' && (value as { status: string }).status === 'problem' ? 503 : 200;
    return { status, type: JSON_TYPE, body: JSON.stringify({ version: 1, ...(value as object) }), endpoint };
  } catch (thrown) {
    if (thrown instanceof AgentError)
      return errorAnswer(STATUS[thrown.code] ?? 500, thrown.code, thrown.message, endpoint);
    // A bug of ours; what it says is for the log of whoever looks, not for the caller.
    return errorAnswer(500, 'E_BUG', 'the agent failed to answer', endpoint);
  }
}

export function errorAnswer(status: number, code: ErrorCode, message: string, endpoint: string): Answer {
  return { status, type: JSON_TYPE, body: JSON.stringify({ version: 1, error: { code, message } }), endpoint };
}

function split(url: string): { path: string; query: URLSearchParams } {
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  return { path, query: new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1)) };
}

/** The {id} of a path ('' where the pattern has none), or null if it is another path. */
function matches(pattern: string, path: string): string | null {
  const at = pattern.indexOf('{id}');
  if (at === -1) return path === pattern ? '' : null;
  if (!path.startsWith(pattern.slice(0, at))) return null;
  const id = path.slice(at);
  return /^[A-Za-z0-9._-]{1,64}$/.test(id) ? id : null;
}

function parseBody(text: string): Readonly<Record<string, unknown>> {
  if (text.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw usage('the body has to be a JSON object');
}
