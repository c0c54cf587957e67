/**
 * The methods of the ubus object `x0tta6bl4`, once. The plugin of rpcd, the ACLs and what the tests put in the plugin's
 * place where there is no ucode are made from it.
 */

export interface Argument {
  readonly name: string;
  readonly type: 'integer' | 'string';
  /** Where it goes in the request to the agent. */
  readonly goes: 'query' | 'path' | 'body';
  readonly required?: boolean;
}

export interface Method {
  readonly name: string;
  /** Changes something, or hands out what only who may change something shall have: another ACL. */
  readonly changing?: boolean;
  /** What the agent is asked; absent where the plugin itself answers. */
  readonly ask?: readonly [method: 'GET' | 'POST', path: string];
  readonly args: readonly Argument[];
}

const read = (name: string, path: string, args: readonly Argument[] = []): Method => ({
  name,
  ask: ['GET', path],
  args,
});
const change = (name: string, path: string, args: readonly Argument[] = []): Method => ({
  name,
  changing: true,
  ask: ['POST', path],
  args,
});
const query = (name: string): Argument => ({ name, type: 'integer', goes: 'query' });
const body = (name: string, required = false): Argument => ({ name, type: 'string', goes: 'body', required });

export const OBJECT = 'x0tta6bl4';

export const METHODS: readonly Method[] = [
  read('status', '/mesh/status'),
  read('nodes', '/mesh/nodes'),
  read('links', '/mesh/links'),
  read('gateways', '/mesh/gateways'),
  read('topology', '/mesh/topology'),
  read('history', '/mesh/history'),
  read('beacon', '/mesh/beacon'),
  read('heal_log', '/heal/log', [query('limit'), query('since')]),
  read('explain', '/heal/explain/', [{ name: 'fault', type: 'string', goes: 'path', required: true }]),
  read('heal_mode', '/heal/classes'),
  { name: 'config_check', ask: ['POST', '/config/check'], args: [body('text', true), body('file')] },
  read('config_trial', '/config/trial'),
  read('options', '/config/options'),
  read('identity', '/mesh/identity'),
  // Of /etc/bat-hosts, as batctl shows them.
  { name: 'names', args: [] },
  change('set_heal_mode', '/heal/mode', [body('mode', true), body('class')]),
  change('config_confirm', '/config/confirm'),
  change('config_revert', '/config/revert'),
  change('invite', '/trust/invite', [body('node'), { name: 'seconds', type: 'integer', goes: 'body' }]),
  // make begins an archive for a bug report, fetch hands it out.
  { name: 'diag', changing: true, args: [body('step', true)] },
  // start or restart: the init script's.
  { name: 'service', changing: true, args: [body('action', true)] },
];
