/** Checks of the agent: its configuration, its process, its rights, and what it says of itself. */
import { CONFIG_FILE } from '../command.ts';
import { advice, type Check, type Facts, givesRadios, install, isOpenWrt, problem, quoted, service } from './facts.ts';

const DENIED = 'the configuration is for root to read: run it as root';
/** linux/capability.h */
const NEEDED = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13 } as const;
const USEFUL = { CAP_SYS_NICE: 23 } as const;
const FOR_BPF = { CAP_PERFMON: 38, CAP_BPF: 39 } as const;

const logs = (facts: Facts): string =>
  isOpenWrt(facts) ? 'logread | grep -e x0d -e x0tta6bl4 | tail' : 'journalctl -u x0d | tail';

const configuration: Check = {
  name: 'configuration',
  looksFor: 'a configuration that can be read and is valid',
  look: (facts) => {
    const { config } = facts;
    const named = (command: string): string =>
      `x0ctl config ${command}${config.file === CONFIG_FILE ? '' : ` ${quoted(config.file)}`}`;
    if (!config.exists)
      return [
        advice(
          `there is no ${config.file}`,
          'Defaults count, and healing only observes.',
          named('defaults --write'),
          service(facts, 'reload'),
        ),
      ];
    if (config.isEmpty)
      return [
        advice(
          `${config.file} has no settings`,
          'Defaults count. uci sets an option only in a section that is there, so none can be set.',
          named('defaults --write'),
        ),
      ];
    if (config.unread === 'denied') return DENIED;
    if (config.unread === 'no file')
      return [
        problem(
          `${config.file} is not a file`,
          'Defaults count, and healing only observes.',
          `ls -l ${quoted(config.file)}`,
        ),
      ];
    const check = named('check');
    const found = config.problems
      .slice(0, 5)
      .map((message) =>
        problem(message, 'What is wrong does not count, and until it is right healing may only observe.', check),
      );
    const odd = config.warnings[0];
    if (odd !== undefined)
      found.push(
        advice(
          `${odd}${config.warnings.length > 1 ? `, and ${config.warnings.length - 1} more like it` : ''}`,
          'It is ignored: a slip of the pen, or of another version.',
          check,
        ),
      );
    return found;
  },
};

const running: Check = {
  name: 'agent',
  looksFor: 'the agent, running and answering',
  look: (facts) => {
    const { agents, silence, log, answer } = facts;
    if (answer !== null) return [];
    const last = log.findLast((line) => /\berror\b|code=E_|too old|Error:/.test(line));
    const words = last === undefined ? '' : `; its last words: ${last.slice(-200)}`;
    if (agents.length === 0)
      return [
        problem(
          `the agent does not run${words}`,
          'batman-adv goes on without it, and repairs itself in seconds instead of milliseconds.',
          ...(isOpenWrt(facts) ? ['/etc/init.d/x0tta6bl4 enable'] : []),
          service(facts, 'start'),
          logs(facts),
        ),
      ];
    if (silence?.code === 'E_FORBIDDEN') return silence.message;
    return [
      problem(
        `the agent runs (pid ${agents[0]!.pid}) and does not answer: ${silence?.message ?? 'no reason'}${words}`,
        'It hangs, or has its socket elsewhere (report.socket).',
        `ls -l ${quoted(facts.config.socket)}`,
        logs(facts),
        service(facts, 'restart'),
      ),
    ];
  },
};

const twice: Check = {
  name: 'two-agents',
  looksFor: 'a second agent',
  look: (facts) => {
    const seen = new Map<string, number[]>();
    for (const { config, pid } of facts.agents) seen.set(config, [...(seen.get(config) ?? []), pid]);
    return [...seen].flatMap(([config, pids]) => {
      if (pids.length < 2) return [];
      const [first, ...others] = pids.sort((a, b) => a - b);
      return [
        problem(
          `${pids.length} agents run with ${config}: pids ${pids.join(', ')}`,
          'Two would undo each other’s repairs.',
          ...others.map((pid) => `kill ${pid}   # ${first} stays`),
        ),
      ];
    });
  },
};

const capabilities: Check = {
  name: 'capabilities',
  looksFor: 'the rights that the agent needs',
  look: (facts) =>
    facts.agents.flatMap(({ pid, capabilities: held, uid }) => {
      if (held === null || uid === 0) return [];
      const lacks = (which: Readonly<Record<string, number>>) =>
        Object.entries(which)
          .filter(([, bit]) => ((held >> BigInt(bit)) & 1n) === 0n)
          .map(([name]) => name);
      const remedy = isOpenWrt(facts)
        ? [
            install(facts, 'procd-ujail'),
            'ls -l /sbin/ujail /etc/capabilities/x0tta6bl4.json',
            service(facts, 'restart'),
          ]
        : [
            'systemctl edit x0d   # AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_NICE',
            service(facts, 'restart'),
          ];
      const missing = [...lacks(NEEDED), ...(facts.config.bpf ? lacks(FOR_BPF) : [])];
      if (missing.length > 0)
        return [
          problem(
            `the agent (pid ${pid}) runs as user ${uid} without ${missing.join(', ')}`,
            'It can look, and change little or nothing. Without ujail procd starts it with no rights at all.',
            ...remedy,
          ),
        ];
      const nice = lacks(USEFUL);
      if (nice.length === 0) return [];
      return [
        advice(`the agent (pid ${pid}) has no ${nice.join(', ')}`, 'On a busy router it repairs later.', ...remedy),
      ];
    }),
};

const replaced: Check = {
  name: 'old-agent',
  looksFor: 'an agent that is older than its program on flash',
  look: (facts) => {
    const { answer, version, agents } = facts;
    const old = agents.find((one) => one.replaced);
    // A checkout has no version of its own.
    if (answer !== null && answer.version !== version && !version.endsWith('-source'))
      return [
        problem(
          `the agent that runs is version ${answer.version}, this x0ctl ${version}`,
          'After an upgrade the old one goes on until it is restarted, and the two may not understand each other.',
          service(facts, 'restart'),
        ),
      ];
    if (old === undefined) return [];
    return [
      advice(
        `the agent (pid ${old.pid}) began before its program on flash was replaced`,
        'What runs is not what is installed.',
        service(facts, 'restart'),
      ),
    ];
  },
};

const key: Check = {
  name: 'mesh-key',
  looksFor: 'the key of the mesh',
  // Routers with an identity agree on keys of their own.
  look: (facts) => {
    const { config, answer } = facts;
    const speaks = answer !== null && !answer.degraded.some(({ part, level }) => part === 'alarms' && level === 'none');
    if (config.hasKey || speaks) return [];
    if (config.unread === 'denied') return DENIED;
    return [
      advice(
        'mesh.key is not set',
        'Routers heal alone: neither alarms nor echoes go between them, and no dead interface is taken out.',
        'head -c 32 /dev/urandom | hexdump -ve \'/1 "%02x"\'   # makes one',
        'uci set x0tta6bl4.mesh.key=KEY && uci commit x0tta6bl4   # the same on every router',
        ...(isOpenWrt(facts) ? givesRadios(facts) : [service(facts, 'reload')]),
      ),
    ];
  },
};

const mode: Check = {
  name: 'heal-mode',
  looksFor: 'healing that acts',
  look: ({ answer }) => {
    if (answer === null) return 'the agent does not answer';
    if (answer.mode === 'act') return [];
    return [
      advice(
        `healing is '${answer.mode}'`,
        answer.mode === 'off'
          ? 'Nothing is repaired, and nothing journalled.'
          : 'The journal tells what it would have done; nothing is repaired.',
        'x0ctl heal mode act',
        'uci set x0tta6bl4.heal.mode=act && uci commit x0tta6bl4   # for good',
      ),
    ];
  },
};

const xdp: Check = {
  name: 'xdp-place',
  looksFor: 'somebody else’s XDP program on our interfaces',
  look: ({ answer, config }) => {
    if (!config.bpf) return [];
    if (answer === null) return 'the agent does not answer';
    return answer.xdp
      .filter(({ why }) => why !== null && /else's XDP|EBUSY|EEXIST|another program/.test(why))
      .map(({ name, why }) =>
        advice(
          `${name}: ${why}`,
          'There is one place for XDP at an interface; a packet socket counts instead, and sees less.',
          `ip link show ${quoted(name)}   # shows its number`,
          `ip link set ${quoted(name)} xdp off   # takes it off, if nobody needs it`,
        ),
      );
  },
};

/** Parts that other checks tell of, and better. */
const TOLD = new Set(['alarms', 'mesh', 'kernel', 'configuration']);

const degraded: Check = {
  name: 'degraded',
  looksFor: 'parts of the agent that do less than they could',
  look: (facts) => {
    if (facts.answer === null) return 'the agent does not answer';
    return facts.answer.degraded
      .filter(({ part }) => !TOLD.has(part) && !(part === 'state' && facts.state.volatile !== null))
      .map(({ part, level, why }) =>
        advice(`${part}: ${level} (${why})`, 'The agent works on with less.', 'x0ctl status', logs(facts)),
      );
  },
};

export const AGENT_CHECKS: readonly Check[] = [
  running,
  configuration,
  twice,
  capabilities,
  replaced,
  key,
  mode,
  xdp,
  degraded,
];
