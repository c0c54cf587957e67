/** Sessions with other routers, and asking them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../../core/errors.ts';
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { type Command, showing, usage, views } from '../command.ts';
import { EXIT } from '../exit.ts';
import { plainJson } from '../terminal.ts';

const QUESTIONS: ReadonlySet<string> = new Set(['status', 'topology', 'log']);
const LOOK_MS = 50;
const LONGEST_MS = 20_000;

export const peerCommands: readonly Command[] = [
  {
    name: 'peers',
    arguments: '[ROUTER QUESTION]',
    least: 0,
    most: 2,
    help: 'sessions with other routers, or what one answers',
    more: `ROUTER is a SPIFFE ID or the name in it, QUESTION status, topology or log: that
page of the other router's API, as JSON, if its policy lets this one read it.
HYBRID says where the post-quantum half of the key exchange is: in TLS, or in
the session beside it where a TLS library lacks it.`,
    example: 'x0ctl peers attic status | jq .heal.faults',
    run: async (context) => {
      const [whom, what] = context.arguments;
      if (whom === undefined)
        return showing<Of<typeof shapes.peers>>('/peers', async (answer, to) => (await views()).peersText(answer, to))(
          context,
        );
      if (what === undefined || !QUESTIONS.has(what)) throw usage('QUESTION: expected status, topology or log');
      const agent = await context.agent();
      const { ticket } = (await agent.post('/peers/ask', { whom, what })) as Of<typeof shapes.peerTicket>;
      for (const end = performance.now() + LONGEST_MS; performance.now() < end; await sleep(LOOK_MS)) {
        const { answer } = (await agent.get(`/peers/answers/${ticket}`)) as Of<typeof shapes.peerAnswer>;
        if (answer === null) continue;
        context.to.out(`${plainJson(JSON.parse(answer))}\n`);
        return EXIT.ok;
      }
      throw new AgentError('E_PEER_DEADLINE', `${whom} did not answer in time`);
    },
  },
];
