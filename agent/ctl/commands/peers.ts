/** Sessions with other routers, and asking them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../../core/errors.ts';
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { type Command, macOf, numberOf, showing, tell, usage, views } from '../command.ts';
import { EXIT } from '../exit.ts';
import { clip, plainJson } from '../terminal.ts';

/** What there is to ask, and what the words behind it are. */
const ASKED: Readonly<Record<string, (words: readonly string[]) => Readonly<Record<string, unknown>>>> = {
  status: () => ({}),
  topology: () => ({}),
  log: () => ({}),
  invite: ([router]) => ({ router }),
  revoke: ([router]) => ({ router: router ?? missing('WHO: expected whom to revoke') }),
  kick: ([mac]) => ({ lost: mac === undefined ? undefined : macOf(mac) }),
  mode: ([first, second]) =>
    second === undefined
      ? { mode: first ?? missing('MODE: expected off, observe or act') }
      : { class: first, mode: second },
};
const MOST_WORDS: Readonly<Record<string, number>> = { invite: 1, revoke: 1, kick: 1, mode: 2 };
/** Whose answer is a sentence. */
const TOLD: ReadonlySet<string> = new Set(['revoke', 'kick', 'mode']);
const LOOK_MS = 50;
const LONGEST_MS = 20_000;

export const peerCommands: readonly Command[] = [
  {
    name: 'peers',
    arguments: '[ROUTER WHAT]...',
    least: 0,
    most: 4,
    help: 'sessions with other routers, or what one answers',
    more: `ROUTER is a SPIFFE ID or the name in it, WHAT status, topology or log: that
page of the other router's API, as JSON, if its policy lets this one read it.
Where its policy has admit or revoke for this one, a steward is asked by
invite [NAME] for an invitation, and by revoke WHO to revoke a router. With
tell-faults, kick [MAC] is heal kick there; with change-configuration, mode
MODE or mode CLASS MODE is heal mode there.
HYBRID says where the post-quantum half of the key exchange is: in TLS, or in
the session beside it where a TLS library lacks it.`,
    example: 'x0ctl peers attic status | jq .heal.faults',
    options: { minutes: { type: 'string', value: 'N', help: 'with invite: how long it is good for; 60 without it' } },
    run: async (context) => {
      const [whom, what, ...words] = context.arguments;
      if (whom === undefined)
        return showing<Of<typeof shapes.peers>>('/peers', async (answer, to) => (await views()).peersText(answer, to))(
          context,
        );
      if (what === undefined || !Object.hasOwn(ASKED, what))
        throw usage('WHAT: expected status, topology, log, invite, revoke, kick or mode');
      const extra = words[MOST_WORDS[what] ?? 0];
      if (extra !== undefined) throw usage(`${what} takes no ${clip(extra)}`);
      const body = ASKED[what]!(words);
      const minutes = numberOf(context.options.minutes, 'minutes', 1, 43_200);
      if (minutes !== undefined && what !== 'invite') throw usage('--minutes: only with invite');
      const agent = await context.agent();
      const asked = { whom, what, ...body, seconds: minutes === undefined ? undefined : 60 * minutes };
      const { ticket } = (await agent.post('/peers/ask', asked)) as Of<typeof shapes.peerTicket>;
      for (const end = performance.now() + LONGEST_MS; performance.now() < end; await sleep(LOOK_MS)) {
        const { answer } = (await agent.get(`/peers/answers/${ticket}`)) as Of<typeof shapes.peerAnswer>;
        if (answer === null) continue;
        const page = pageOf(answer, whom);
        if (TOLD.has(what)) return tell(context.to, context.json, { ...page, message: String(page.message) });
        if (what === 'invite' && !context.json) {
          const { text, until } = page;
          const { invitationText } = await import('../trust.ts');
          context.to.out(await invitationText({ text: String(text), until: String(until) }, false));
        } else context.to.out(`${plainJson(page)}\n`);
        return EXIT.ok;
      }
      throw new AgentError('E_PEER_DEADLINE', `${whom} did not answer in time`);
    },
  },
];

function missing(what: string): never {
  throw usage(what);
}

/** What another router answered, which may be anything. */
function pageOf(text: string, whom: string): Readonly<Record<string, unknown>> {
  let page: unknown;
  try {
    page = JSON.parse(text);
  } catch (cause) {
    throw new AgentError('E_PEER_PROTOCOL', `${whom} answered what is no JSON`, {}, { cause });
  }
  if (typeof page !== 'object' || page === null)
    throw new AgentError('E_PEER_PROTOCOL', `${whom} answered what is no page of an API`);
  const { error } = page as { readonly error?: { readonly message?: unknown } };
  if (error !== undefined) throw new AgentError('E_PEER_PROTOCOL', `${whom} answered with an error: ${error?.message}`);
  return page as Record<string, unknown>;
}
