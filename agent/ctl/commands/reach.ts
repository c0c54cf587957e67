/** Other routers at layer 2, by batman-adv's own means. */
import { CONFIG_FILE, type Command, type Context, numberOf, usage } from '../command.ts';

const NODE = `NODE is an address in the mesh or the end of one, the address of anything
behind it, an IP address, or a name: of /etc/bat-hosts, of /etc/hosts, or as
x0ctl nodes has it. Takes root, and but for such names no agent.`;
const MESH = { type: 'string', value: 'NAME', help: 'the mesh interface; mesh.interface without it' } as const;

function asked({ arguments: [word], options: { mesh }, socket }: Context) {
  // IFNAMSIZ, without its NUL.
  if (mesh !== undefined && !/^[\x21-\x7e]{1,15}$/.test(String(mesh)))
    throw usage('--mesh: expected the name of an interface');
  return { word: word!, mesh: typeof mesh === 'string' ? mesh : undefined, configFile: CONFIG_FILE, socket };
}

export const reachCommands: readonly Command[] = [
  {
    name: 'ping',
    arguments: 'NODE',
    least: 1,
    most: 1,
    help: 'echoes to a router at layer 2, without IP',
    more: `${NODE}
Exit status 1 if no answer came.`,
    example: 'x0ctl ping 9a --count 3 --record',
    options: {
      count: { type: 'string', value: 'N', help: 'echoes, 5 without it; 0 until Ctrl-C' },
      interval: { type: 'string', value: 'SECONDS', help: 'between two, 0.01 to 3600; 1 without it' },
      timeout: { type: 'string', value: 'SECONDS', help: 'to wait for each, 0.01 to 60; 1 without it' },
      ttl: { type: 'string', value: 'N', help: 'routers on the way at most; 50 without it' },
      record: { type: 'boolean', help: 'the way there and back, 16 routers at most' },
      mesh: MESH,
    },
    run: async (context) => {
      const { count, interval, timeout, ttl, record } = context.options;
      const options = {
        count: numberOf(count, 'count', 0, 100_000) ?? 5,
        intervalS: numberOf(interval, 'interval', 0.01, 3600) ?? 1,
        timeoutS: numberOf(timeout, 'timeout', 0.01, 60) ?? 1,
        ttl: numberOf(ttl, 'ttl', 1, 255) ?? 50,
        record: record === true,
      };
      if (context.json && options.count === 0) throw usage('--count: expected 1 or more with --json');
      const named = asked(context);
      const { ping } = await import('../reach/ping.ts');
      return ping(named, options, context.to, context.json);
    },
  },
  {
    name: 'traceroute',
    arguments: 'NODE',
    least: 1,
    most: 1,
    help: 'the routers on the way to one, at layer 2',
    more: `${NODE}
Exit status 1 if it was not reached.`,
    example: 'x0ctl traceroute attic',
    options: {
      hops: { type: 'string', value: 'N', help: 'at most; 50 without it' },
      probes: { type: 'string', value: 'N', help: 'for each router, 1 to 10; 3 without it' },
      mesh: MESH,
    },
    run: async (context) => {
      const options = {
        hops: numberOf(context.options.hops, 'hops', 1, 255) ?? 50,
        probes: numberOf(context.options.probes, 'probes', 1, 10) ?? 3,
      };
      const named = asked(context);
      const { traceroute } = await import('../reach/traceroute.ts');
      return traceroute(named, options, context.to, context.json);
    },
  },
  {
    name: 'throughput',
    arguments: 'NODE',
    least: 1,
    most: 1,
    help: "what gets through to a router, by batman-adv's meter",
    more: `${NODE}
It fills the way there while it lasts: users notice. Exit status 1 without a
figure.`,
    example: 'x0ctl throughput 02:12:34:56:78:9a --seconds 3',
    options: { seconds: { type: 'string', value: 'N', help: 'how long, 1 to 600; 10 without it' }, mesh: MESH },
    run: async (context) => {
      const seconds = numberOf(context.options.seconds, 'seconds', 1, 600) ?? 10;
      const named = asked(context);
      const { throughput } = await import('../reach/throughput.ts');
      return throughput(named, seconds, context.to, context.json);
    },
  },
];
