/** Identities: founding a mesh, inviting, joining, stewards, revoking, changing the owner's key. */
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { type Command, numberOf, usage } from '../command.ts';
import { EXIT } from '../exit.ts';
import { clean, plainJson, wrap } from '../terminal.ts';

const OWNER_KEY = '/etc/x0tta6bl4/owner.key';
const trust = () => import('../trust.ts');
const OWNER = { type: 'string', value: 'FILE', help: `the owner's key; ${OWNER_KEY}` } as const;

export const trustCommands: readonly Command[] = [
  {
    name: 'mesh init',
    arguments: '',
    least: 0,
    most: 0,
    help: 'found a mesh, this router its first steward',
    more: `The owner's key makes stewards and revokes them, and is needed for nothing else:
take the file off the router and keep it safe (see x0ctl mesh steward). Whoever
has it owns the mesh; without it no steward can be made or revoked any more.`,
    example: 'x0ctl mesh init --name attic',
    options: {
      name: { type: 'string', value: 'NAME', help: 'what this router is called; of its key without it' },
      domain: { type: 'string', value: 'DOMAIN', help: 'SPIFFE trust domain; trust.domain without it' },
      'owner-key': { type: 'string', value: 'FILE', help: `where its key goes; ${OWNER_KEY}` },
    },
    run: async ({ to, json, options, agent }) => {
      const { found } = await trust();
      const file = String(options['owner-key'] ?? OWNER_KEY);
      const made = await found(await agent(), file, text(options.domain), text(options.name) ?? '');
      to.out(
        json
          ? `${plainJson({ version: 1, ...made })}\n`
          : `${wrap(clean(`This router is ${made.id}, the first steward of ${made.trustDomain}.`), to.columns).join('\n')}
The owner's key is in ${file}: take it off this router, and keep it safe.
Let others in with:  x0ctl invite
`,
      );
      return EXIT.ok;
    },
  },
  {
    name: 'mesh members',
    arguments: '',
    least: 0,
    most: 0,
    help: 'routers with an identity, and who is revoked',
    more: 'All of them where this router is a steward; else those that it has heard of.',
    example: 'x0ctl mesh members',
    run: async ({ to, json, agent }) => {
      const answer = (await (await agent()).post('/trust/members', {})) as Of<typeof shapes.members>;
      to.out(json ? `${plainJson(answer)}\n` : (await trust()).membersText(answer, to));
      return EXIT.ok;
    },
  },
  {
    name: 'mesh steward',
    arguments: 'ROUTER',
    least: 1,
    most: 1,
    help: 'make a router a steward, which admits others',
    more: `ROUTER is its name or the fingerprint of its key, or self. The owner's key is
read here and does not go to the agent.`,
    example: 'x0ctl mesh steward kitchen --owner-key /mnt/usb/owner.key',
    options: { 'owner-key': OWNER },
    run: async ({ to, json, options, arguments: [router], agent }) => {
      const { steward } = await trust();
      const node = await steward(await agent(), String(options['owner-key'] ?? OWNER_KEY), router!);
      to.out(json ? `${plainJson({ version: 1, node })}\n` : `${clean(node)} is a steward.\n`);
      return EXIT.ok;
    },
  },
  {
    name: 'mesh revoke',
    arguments: 'ROUTER',
    least: 1,
    most: 1,
    help: 'put a router out of the mesh, for good',
    more: `ROUTER is its name or the fingerprint of its key. A steward revokes routers; the
owner's key revokes stewards too. Whom a revoked steward had revoked comes back,
unless --keep makes that the owner's own word.`,
    example: 'x0ctl mesh revoke kitchen',
    options: {
      'owner-key': { type: 'string', value: 'FILE', help: "revoke with the owner's key, a steward too" },
      keep: { type: 'boolean', help: 'what that steward had revoked stays revoked' },
    },
    run: async ({ to, json, options, arguments: [router], agent }) => {
      if (options.keep === true && options['owner-key'] === undefined)
        throw usage('--keep goes with --owner-key: what a steward had revoked only the owner can keep so');
      const { revoke } = await trust();
      const node = await revoke(await agent(), text(options['owner-key']), router!, options.keep === true);
      to.out(json ? `${plainJson({ version: 1, node })}\n` : `${clean(node)} is revoked.\n`);
      return EXIT.ok;
    },
  },
  {
    name: 'mesh readmit',
    arguments: 'CREDENTIAL',
    least: 1,
    most: 1,
    help: 'let what a revoked router came by admit anew',
    more: `CREDENTIAL is as x0ctl mesh members shows it, or 32 digits or more of it; or the
name of the router that was revoked, for all by which it came. That router's key
stays revoked: it comes back with a new one. Whoever else has the credential,
comes in as well. Needs the owner's key, which is read here and goes nowhere.`,
    example: 'x0ctl mesh readmit kitchen --owner-key /mnt/usb/owner.key',
    options: { 'owner-key': OWNER },
    run: async ({ to, json, options, arguments: [which], agent }) => {
      const { readmit } = await trust();
      const credentials = await readmit(await agent(), String(options['owner-key'] ?? OWNER_KEY), which!);
      if (json) to.out(`${plainJson({ version: 1, credentials })}\n`);
      else to.out(credentials.map((one) => `Admits again: ${clean(one)}\n`).join(''));
      return EXIT.ok;
    },
  },
  {
    name: 'mesh rotate',
    arguments: '',
    least: 0,
    most: 0,
    help: "change the owner's key, in two steps",
    more: `The first step makes a new key, which is believed beside the old one. When all
routers have heard of it, --finish drops the old key: wait a week, since one
that was off through both steps needs a new invitation.`,
    example: 'x0ctl mesh rotate --owner-key old.key --new-key new.key',
    options: {
      'owner-key': OWNER,
      'new-key': { type: 'string', value: 'FILE', help: 'where the new key goes; not with --finish' },
      finish: { type: 'boolean', help: 'believe --owner-key only, the new one by then' },
    },
    run: async ({ to, json, options, agent }) => {
      const { finishRotation, rotate } = await trust();
      const [file, next] = [String(options['owner-key'] ?? OWNER_KEY), text(options['new-key'])];
      if ((options.finish === true) === (next !== undefined))
        throw usage('--owner-key is not all: expected --new-key FILE as well, or --finish');
      const sequence =
        next === undefined ? await finishRotation(await agent(), file) : await rotate(await agent(), file, next);
      const said = next === undefined ? 'The former key is believed no longer.' : `The new key is in ${next}.`;
      to.out(json ? `${plainJson({ version: 1, bundle: sequence })}\n` : `${said} Trust bundle ${sequence}.\n`);
      return EXIT.ok;
    },
  },
  {
    name: 'invite',
    arguments: '[NAME]',
    least: 0,
    most: 1,
    help: 'let one router in: prints what to type there',
    more: `NAME is what it will be called; of its key without it. The text is as good as a
key until it is used or has ended, and good once: show it to nobody else.`,
    example: 'x0ctl invite kitchen',
    options: {
      minutes: { type: 'string', value: 'N', help: 'how long it is good for, 1 to 43200; 60 without it' },
      qr: { type: 'boolean', help: 'with a QR code, for a phone' },
    },
    run: async ({ to, json, options, arguments: [node = ''], agent }) => {
      if (json && options.qr === true) throw usage('--qr and --json exclude each other');
      const seconds = 60 * (numberOf(options.minutes, 'minutes', 1, 43_200) ?? 60);
      const answer = (await (await agent()).post('/trust/invite', { node, seconds })) as Of<typeof shapes.invitation>;
      if (json) to.out(`${plainJson(answer)}\n`);
      else to.out(await (await trust()).invitationText(answer, options.qr === true));
      return EXIT.ok;
    },
  },
  {
    name: 'join',
    arguments: '[TEXT]',
    least: 0,
    most: 1,
    help: 'join a mesh, by an invitation',
    more: `TEXT is what x0ctl invite printed elsewhere; - reads it from the standard input,
where no other user sees it. Without TEXT: by this router's SSH host key or its
X.509 certificate, where a steward's configuration has them.`,
    example: 'x0ctl join -',
    options: {
      'ssh-host-key': { type: 'boolean', help: 'by the SSH host key; with --anchor' },
      x509: { type: 'boolean', help: 'by trust.x509_certificate; with --anchor' },
      anchor: { type: 'string', value: 'DIGITS', help: "32 digits or more of the owner key's fingerprint" },
      seconds: { type: 'string', value: 'N', help: 'how long to wait for the outcome; 60 without it' },
    },
    run: async ({ to, json, options, arguments: [given], agent }) => {
      const { hostKey, join, readText } = await trust();
      const seconds = numberOf(options.seconds, 'seconds', 1, 3600) ?? 60;
      if (options['ssh-host-key'] === true && options.x509 === true)
        throw usage('--ssh-host-key and --x509 exclude each other');
      if (given !== undefined && options.anchor !== undefined)
        throw usage('--anchor goes with --ssh-host-key or --x509: an invitation says itself which mesh it is for');
      const method = options['ssh-host-key'] === true ? 'ssh-host-key' : options.x509 === true ? 'x509-proof' : null;
      if ((method === null) === (given === undefined))
        throw usage('expected TEXT alone; or --ssh-host-key or --x509, with --anchor');
      if (method !== null && options.anchor === undefined) throw usage('--anchor says which mesh to join');
      const body = async () =>
        method !== null
          ? { method, anchor: options.anchor, ...(method === 'ssh-host-key' && hostKey()) }
          : { invitation: given === '-' ? await readText() : given };
      const { id, trouble } = await join(await agent(), body, seconds * 1000);
      if (json) to.out(`${plainJson({ version: 1, id, trouble })}\n`);
      else if (id !== null) to.out(`${wrap(clean(`This router is ${id}.`), to.columns).join('\n')}\n`);
      else to.err(`x0ctl: not yet in: ${clean(trouble)}\n`);
      return id === null ? EXIT.problem : EXIT.ok;
    },
  },
];

function text(option: string | boolean | undefined): string | undefined {
  return typeof option === 'string' ? option : undefined;
}
