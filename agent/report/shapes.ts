/** The JSON answers of the API, version 1. Within a version, members are only ever added. */
import { array, flag, integer, mac, number, object, oneOf, orNull, type Shape, text, version, wall } from './shape.ts';

const age = number('seconds since it was last heard of');
const quality = orNull(
  oneOf(['EXCELLENT', 'GOOD', 'FAIR', 'POOR', 'BAD'], 'by loss, latency and throughput; null while nothing is known'),
);
const tq = orNull(integer('BATMAN_IV transmit quality, 0 to 255'));
const throughput = orNull(number('BATMAN_V throughput, kbit/s'));
const mode = oneOf(['off', 'observe', 'act'], 'heal.mode');

export const fault = object({
  id: text('unique on this router'),
  class: text('what broke; the root_cause of the metrics'),
  interface: orNull(text('the hard interface that it is about')),
  peer: orNull(text('the neighbour, originator or sender that it is about')),
  confidence: number('0 to 1'),
  ageSeconds: number('since the first evidence reached the agent'),
  evidence: array(object({ source: text('where it was seen'), what: text('in words') }), 'what it rests on'),
});

export const health = object({
  version,
  status: oneOf(
    ['ok', 'degraded', 'problem'],
    'problem: the mesh interface is gone or a fault is open; degraded: it works, with less than it could',
  ),
  reasons: array(text('one reason, in words'), 'why it is not ok'),
  uptimeSeconds: number('of the agent'),
});

const iso = text('ISO 8601');

const isolated = array(
  object({ node: text('the router that was revoked'), addresses: array(mac, 'its own, by its word') }),
  'addresses of revoked routers, whose frames XDP drops',
);

const identityShape = object(
  {
    state: oneOf(
      ['none', 'joining', 'member', 'late', 'ended', 'revoked'],
      'late: its certificate has ended and is believed for its grace only; ended: that too is over',
    ),
    id: orNull(text('SPIFFE ID')),
    key: text('fingerprint of its identity key'),
    trustDomain: orNull(text('of the mesh')),
    isSteward: flag('it may admit and renew others'),
    notBefore: orNull(iso),
    notAfter: orNull(iso),
    now: text('the time by which this router goes, ISO 8601'),
    clock: oneOf(['confirmed', 'unconfirmed', 'behind'], 'whether a steward has confirmed the wall clock'),
    bundle: orNull(integer('sequence of the trust bundle')),
    stewards: array(
      object({ node: text('its name'), isReached: flag('there is a session with it'), notAfter: iso }),
      'who may admit and renew',
    ),
    revoked: integer('routers that are revoked'),
    sessions: integer('with others'),
    openInvitations: integer('that nobody has used yet'),
    air: object(
      {
        epoch: orNull(integer('of the key that is sent under; null while none has come')),
        keys: integer('that are accepted'),
        ageSeconds: number('of the key that is sent under'),
        mixed: flag('the mesh key counts beside them'),
      },
      'the keys of alarms, echoes and beacons',
    ),
    admitted: array(mac, 'addresses that are members'),
    isolated,
    trouble: text('in words; empty where all is well'),
    suite: text('cipher suite in use'),
    cryptography: array(
      object({ algorithm: text('which'), provider: text('node:crypto or noble') }),
      'which provider does what',
    ),
  },
  'null on a router that is in no mesh of identities',
);

export const identity = object({
  version,
  identity: orNull(identityShape),
  trouble: orNull(text('why there is none, in words')),
});

export const members = object({
  version,
  members: array(
    object({
      node: text('its name'),
      key: text('fingerprint of its identity key'),
      notAfter: iso,
      by: text('the steward that renewed it last'),
      isSteward: flag('is it a steward'),
    }),
    'known to this router, which are all where it is a steward',
  ),
  revoked: array(
    object({ node: text('its name'), key: text('fingerprint'), at: iso, by: text('owner, or a steward') }),
    'who is believed no longer',
  ),
  barred: array(
    object({
      credential: text('its kind and digits: ssh, x509 or spiffe'),
      node: text('who came by it and was revoked'),
      key: text('fingerprint of its identity key'),
      at: iso,
    }),
    'credentials that let nobody in until the owner readmits them',
  ),
});

export const invitation = object({ version, text: text('for x0ctl join'), id: text('names it'), until: iso });

export const candidate = object({
  version,
  candidate: orNull(
    object({
      node: text('its name'),
      identity: text('its identity key, base64'),
      spki: text('the key that it would issue with, base64'),
    }),
  ),
});

export const trustItems = object({
  version,
  items: array(
    object({ kind: oneOf(['bundle', 'steward', 'revocation'], 'what it is'), bytes: text('base64') }),
    'in the order in which another router can take them',
  ),
});

const xdpLevel = oneOf(['native', 'generic', 'packet-socket', 'off'], 'what counts');

export const status = object({
  version,
  agent: object({
    version: text('of the agent'),
    uptimeSeconds: number('of the agent'),
    degraded: array(
      object({ part: text('which part'), level: text('what is used instead'), why: text('in words') }),
      'parts that work with less than they could',
    ),
  }),
  health: oneOf(['ok', 'degraded', 'problem'], 'as /health says'),
  reasons: array(text('one reason, in words'), 'why it is not ok'),
  node: text('name of this router'),
  now: text('the wall clock of this router, by which the journal goes too, RFC 3339'),
  originator: orNull(mac),
  mesh: object({
    interface: text('the mesh interface'),
    present: flag('is it there'),
    algorithm: text('BATMAN_IV or BATMAN_V'),
    batmanVersion: orNull(text('of the kernel module')),
    originatorIntervalMs: orNull(integer('time between two OGMs')),
    hopPenalty: orNull(integer('what each hop takes off the quality, of 255')),
    peers: integer('routers heard of, joined or registered'),
    gateways: integer('gateways on offer'),
  }),
  hardInterfaces: array(
    object({
      name: text('interface'),
      mac,
      active: flag('batman-adv uses it'),
      carrier: flag('up, with carrier'),
      primary: flag('gives this router its originator address'),
    }),
    'interfaces under the mesh interface',
  ),
  identity: orNull(identityShape),
  xdp: orNull(object({ level: xdpLevel, why: orNull(text('why it is not native')) }, 'null where bpf.enabled is 0')),
  dropped: array(
    object({
      hears: oneOf(['alarms', 'beacons', 'own-ogms', 'neighbours'], 'what the socket is there for'),
      interface: orNull(text('null for a socket that hears all interfaces')),
      frames: integer('since the agent started'),
    }),
    'what packet sockets of the agent had no room for; empty where nothing was lost',
  ),
  heal: object({
    mode,
    authenticated: flag('alarms travel under a key; without one the agent heals locally only'),
    open: integer('faults that are not over'),
    faults: array(fault, 'the first 32 of them'),
    repairs: array(
      object({ fault: text('id'), action: text('what is done'), state: text('how far it is') }),
      'repairs under way',
    ),
    last: array(
      object({
        fault: text('id'),
        class: text('what broke'),
        action: text('what was done'),
        step: text('how it ended'),
        time: wall,
      }),
      'the last repairs, newest first',
    ),
    budgets: array(
      object({ name: text('of what'), left: number('now'), capacity: number('at most') }),
      'what may still be spent',
    ),
    undoArmed: array(text('change id'), 'changes that would be undone if the agent died now'),
  }),
});

const calledBy = orNull(text('what the router is called, by its certificate; null where no session has told'));

export const nodes = object({
  version,
  nodes: array(
    object({
      originator: mac,
      node: calledBy,
      state: oneOf(['joined', 'registered', 'left', 'dead'], 'life of a router in the mesh'),
      health: oneOf(['healthy', 'degraded', 'unreachable'], 'of the best path to it'),
      nextHop: mac,
      nextHopNode: calledBy,
      interface: text('the way out'),
      tq,
      throughput,
      lastSeenSeconds: age,
      sinceSeconds: number('in this state'),
    }),
    'other routers',
  ),
});

const incoming = object({
  frames: integer("since it was first known; of a packet socket only batman-adv's own"),
  bytes: integer('of those frames'),
  silent: flag('beyond its deadline'),
  lastSeenMs: orNull(number('since its last frame; null for never')),
  received: integer("of batman-adv's sequence numbers, those that came"),
  lost: integer('those that were jumped over: lost on the air'),
  lossOnAir: orNull(number('0 to 1, towards us; null while no number has come')),
  restarts: integer('how often its numbers began anew'),
  medianGapMs: orNull(number('half of its frames came no further apart')),
});

export const links = object({
  version,
  links: array(
    object({
      interface: text('our hard interface'),
      neighbour: mac,
      originator: orNull(text('the router behind it, where it is known')),
      node: calledBy,
      quality,
      carrier: flag('of our interface'),
      kind: orNull(
        text(
          "of our interface: 'wifi', 'ethernet' (hardware that is no radio), or as the kernel names it: vlan, vxlan, bridge, ...",
        ),
      ),
      tq,
      throughput,
      latencyMs: orNull(number('one way: half of the round trip')),
      loss: orNull(number('0 to 1, one way')),
      lastSeenSeconds: age,
      radio: orNull(
        object({
          signalDbm: orNull(number('of what we hear of it, averaged')),
          bitrateKbits: orNull(number('at which we send to it')),
          expectedKbits: orNull(number('that rate control expects to come through')),
          retries: orNull(integer('repeated frames to it')),
          failed: orNull(integer('frames to it that nobody acknowledged')),
          inactiveMs: orNull(integer('since the last frame of it, at the last look')),
          peerLink: orNull(text('how far two mesh points have got with each other')),
        }),
      ),
      incoming: orNull(incoming),
    }),
    'neighbours, one row for each on each hard interface; `incoming` is what XDP saw, or a packet socket',
  ),
  isolated,
});

export const paths = object({
  version,
  paths: array(
    object({
      originator: mac,
      neighbour: text('the next hop on this way'),
      interface: text('our hard interface'),
      best: flag('batman-adv takes this one'),
      tq,
      throughput,
    }),
    'one row for each way to each router',
  ),
});

export const xdp = object({
  version,
  level: xdpLevel,
  why: orNull(text('why it is not native')),
  variant: orNull(
    text('timer or no-timer: whether the kernel itself says who fell silent; null where nothing is loaded'),
  ),
  jit: flag('the programs are compiled, not interpreted'),
  interfaces: array(
    object({ name: text('hard interface'), level: xdpLevel, why: orNull(text('why it is not native')) }),
    'where it looks',
  ),
  totals: {
    schema: {
      type: 'object',
      description: 'frames and TCP segments by what they were, since the agent started; only what comes in',
      additionalProperties: { type: 'integer' },
    },
  } as Shape<Readonly<Record<string, number>>>,
  strangers: integer('senders who are no neighbours, at least'),
  medianHandshakeMs: orNull(number('half of the TCP handshakes of forwarded traffic took no longer')),
  programs: array(
    object({
      name: text('program'),
      verified: integer('instructions that the verifier went through'),
      runs: integer('while statistics are on'),
      ns: integer('what these runs took'),
    }),
    'what is loaded',
  ),
  lockedBytes: integer('what the maps take of the kernel'),
});

export const peers = object({
  version,
  enabled: flag('this router has an identity, and so sessions'),
  halfOpen: integer('connections where nobody has proven anything yet'),
  peers: array(
    object({
      id: orNull(text('SPIFFE ID; null for a router that asks to be let in')),
      node: orNull(text('the name in it')),
      address: text('where it is'),
      role: oneOf(['initiator', 'responder'], "this router's part"),
      sinceSeconds: number('since both ends have proven who they are'),
      suite: text('cipher suite'),
      hybrid: oneOf(['TLS', 'session'], 'where the post-quantum half of the key exchange is'),
      rttMs: orNull(number('time there and back, as last asked')),
      streams: integer('requests under way, of both sides'),
      queuedBytes: integer('waiting to be sent'),
      bytesIn: integer('since it stands'),
      bytesOut: integer('since it stands'),
    }),
    'sessions that stand',
  ),
});

export const peerTicket = object({ version, ticket: text('to fetch the answer with') });

export const peerAnswer = object({ version, answer: orNull(text('JSON; null while it is awaited')) });

export const topology = object({
  version,
  algorithm: orNull(text('BATMAN_IV or BATMAN_V, which says what a cost is; null for a map from a file')),
  batmanVersion: orNull(text('of the kernel module')),
  self: orNull(mac),
  nodes: array(
    object({
      id: mac,
      cost: orNull(number('of the cheapest path from here; null if it cannot be reached')),
      hops: orNull(integer('edges of that path')),
      via: orNull(text('the first router of that path')),
    }),
    'routers',
  ),
  edges: array(
    object({
      from: mac,
      to: mac,
      kind: oneOf(
        ['link', 'route', 'alternative'],
        'route: through that neighbour, over however many hops; alternative: the same, but not in use',
      ),
      cost: number('expected transmissions (BATMAN_IV), or milliseconds that one Mbit takes (BATMAN_V)'),
    }),
    'what this router can know of the graph: its links, and the routes that its neighbours offer',
  ),
  statistics: object({
    nodes: integer('routers'),
    edges: integer('edges'),
    components: integer('parts that cannot reach each other'),
    meanDegree: number('edges of a router'),
    diameterCost: number('the most expensive of all shortest paths'),
    diameterHops: integer('the most edges that a cheapest path has'),
    meanCost: number('of all shortest paths'),
    sources: integer(
      'routers from which diameter and mean were reckoned: where not all, the diameter is a lower bound; 0: left out',
    ),
  }),
  cuts: object(
    {
      routers: array(
        object({ id: mac, parts: array(integer('routers'), 'what its part would fall into, the largest first') }),
        'articulation routers: without one of them the mesh splits',
      ),
      edges: array(
        object({ from: mac, to: mac, parts: array(integer('routers'), 'on the side of from, and of to') }),
        'bridges: edges that no other way goes around',
      ),
    },
    'what would split the mesh, as far as is known here, alternatives counted',
  ),
});

export const beacon = object({
  version,
  beacon: orNull(
    object({
      profile: text('beacon.profile'),
      superframeMs: number('time between two beacons'),
      slotMs: number('time of one router in it'),
      slots: integer('slots of a superframe'),
      slot: orNull(integer('of this router; null while it listens')),
      stride: orNull(integer('superframes between two beacons of this router')),
      phase: orNull(integer('which of these superframes')),
      overfull: flag('there are more routers within two hops than places: slots are shared'),
      within2Hops: integer('other routers with beacons within two hops'),
      collisions: integer('collisions noticed and moved away from since the start'),
      root: orNull(text('whose clock is the mesh time; null while it is looked for')),
      depth: integer('hops from the root'),
      meshTimeMs: number('mesh time'),
      offsetMs: number('mesh time ahead of the clock of this router (CLOCK_MONOTONIC)'),
      driftPpm: number('how much faster the mesh time runs'),
      errorBoundUs: orNull(number('no error of the mesh time here is larger; null while nothing is known')),
      jitterUs: orNull(number('99th percentile of how late the last hundred beacons left')),
      stampedByXdp: integer('beacons, alarms and echoes whose arrival XDP stamped'),
      stampedBySocket: integer('those that the packet socket stamped'),
      suspicions: integer('neighbours that were asked because of their silence, and answered'),
      neighbours: array(
        object({
          interface: text('our hard interface'),
          address: mac,
          node: mac,
          slot: integer('its slot'),
          heard: number('share of its last sixteen beacons, 0 to 1'),
          state: oneOf(['alive', 'suspected', 'silent'], 'by beacons and all other signs of life'),
          lastMs: number('since its last beacon'),
        }),
        'neighbours that send beacons',
      ),
    }),
  ),
});

const entry = object({
  id: integer('number in the journal'),
  time: wall,
  fault: text('id'),
  class: text('what broke'),
  interface: orNull(text('hard interface')),
  peer: orNull(text('neighbour, originator or sender')),
  step: text('planned, observed, done, verified, rolled-back, failed, dropped or over'),
  action: text('a repair: none, kick, detach, link-cost, restore, ...'),
  afterMs: number('from the first evidence to this step'),
  faultAtNs: number('the first evidence, by CLOCK_MONOTONIC of the boot it was in'),
  why: text('in words'),
  result: orNull(text('in words')),
});

export const log = object({ version, entries: array(entry, 'oldest first') });

const sealed = { id: integer('of the entry'), hash: text('SHA-256 over the seal before it and its own text') };

export const chain = object({
  version,
  checkpoint: object(sealed, 'the last entry that is gone from the beginning; id 0 for none'),
  head: object(sealed, 'the last entry that was written, as the agent remembers it'),
  pending: integer('entries that wait to be written'),
  rows: array(object({ ...sealed, entry: text('the entry as it was sealed') }), 'in order'),
});

export const explanation = object({
  version,
  fault: text('id'),
  text: array(text('one line'), 'the whole story in words'),
  evidence: array(
    object({ source: text('where'), what: text('in words'), afterMs: number('from the first evidence') }),
    'what it rests on',
  ),
  alternatives: array(
    object({
      action: text('what could be done'),
      cost: number('lower is gentler'),
      refused: orNull(text('why it was not taken')),
      taken: flag('it was done; several may be, one after the other'),
    }),
    'what was weighed',
  ),
  entries: array(entry, 'oldest first'),
});

export const recordings = object({
  version,
  recordings: array(
    object({
      id: integer('number'),
      time: wall,
      bytes: integer('as gzip'),
      faults: array(text('id'), 'whose repair it holds'),
      why: oneOf(['faults', 'ended'], 'ended: what an agent left that was killed, crashed or ran out of memory'),
    }),
    'oldest first',
  ),
});

export const recording = object({
  version,
  bytes: integer('of the gzip file'),
  data: text('the gzip file as base64; its lines are described in agent/record/format.ts'),
});

export const classes = object({
  version,
  mode,
  classes: array(
    object({
      class: text('what can break'),
      mode: oneOf(['off', 'observe', 'act', 'auto'], 'auto: repaired where it is safe or has earned it, else observed'),
      safe: flag('repaired from the first day'),
      acts: flag('repaired now, where heal.mode is act'),
      right: number('cases in which the repair was right, or would have been; old ones count less'),
      wrong: number('cases in which it was not'),
      confidence: number('the share that was right is at least this, to 95 %'),
      repairs: array(
        object({
          action: text('the repair'),
          tries: number('here; old ones count less'),
          successes: number('verified'),
          meanMs: orNull(number('from the first evidence to the verification')),
          sideEffects: integer('other faults that began just after'),
        }),
        'how they have fared here',
      ),
    }),
    'the catalogue',
  ),
});

export const config = object({
  version,
  config: {
    schema: {
      type: 'object',
      description: 'section → option → value, secrets left out; durations in nanoseconds',
      additionalProperties: { type: 'object' },
    },
  } as Shape<Readonly<Record<string, Readonly<Record<string, unknown>>>>>,
});

export const options = object({
  version,
  sections: array(
    object({
      name: text('the type of the section'),
      title: text('to be read'),
      help: text('one sentence'),
      repeated: flag('there may be several of this type, each with a name of its own'),
      options: array(
        object({
          name: text('as the file has it'),
          title: text('to be read'),
          help: text('one sentence'),
          kind: oneOf(['bool', 'int', 'enum', 'string', 'list', 'mac', 'path', 'duration', 'secret'], 'what it is'),
          restart: flag('it counts from the next start only'),
          value: array(text('as the file has it'), 'the default; of a list its items'),
          choices: array(text('one value'), 'none where there is no choice'),
          range: array(number('in the unit'), 'least and most; none where it is no number'),
          unit: orNull(text('of the number in the file')),
        }),
        'in the order of the file',
      ),
    }),
    'what people look for first, first',
  ),
});

const finding = object({
  line: integer('0 where the option is not in the file'),
  option: text('section.option, or the section'),
  message: text('what is wrong, and what was expected'),
});

export const configReport = object({
  version,
  file: text('as it was named'),
  valid: flag('no problem found'),
  problems: array(finding, 'to be mended'),
  untold: integer('how many further problems are not listed'),
  warnings: array(finding, 'odd, but harmless'),
  migrated: array(text('one change'), 'what is read as an older form of the file'),
  overridden: array(
    object({ option: text('section.option'), variable: text('its name') }),
    'options that an environment variable decides',
  ),
});

export const trial = object({
  version,
  secondsLeft: orNull(integer('until it is judged; null where none is on trial')),
});

export const done = object({ version, done: flag('it is under way'), message: text('in words') });

export const kicked = object({
  version,
  done: flag('it is under way, or done'),
  message: text('in words'),
  fault: orNull(text('the id that it has in the journal; null where healing is off')),
  decisions: array(
    object({
      step: text('as in the journal'),
      action: text('what was planned, observed or done'),
      result: orNull(text('in words')),
    }),
    'what was decided at once',
  ),
});

export const error = object({
  version,
  error: object({ code: text('stable, see agent/core/errors.ts'), message: text('for people') }),
});

const rtt = orNull(number('round trip in milliseconds; null where no answer came'));

/** What x0ctl prints as JSON where that is no call's answer as it came. */
export const COMMANDS: readonly { readonly command: string; readonly help: string; readonly shape: Shape<unknown> }[] =
  [
    {
      command: 'x0ctl heal mode --json',
      help: 'Without a word; with one it prints the answer of /heal/mode or /heal/classes.',
      shape: object({ version, mode }),
    },
    {
      command: 'x0ctl watch --json',
      help: 'One line for each look: what it saw, or the error that kept it from seeing.',
      shape: {
        schema: {
          anyOf: [
            object({
              version,
              status: { schema: { ...status.schema, description: 'as /mesh/status answers' } },
              links: { schema: { ...links.schema, description: 'as /mesh/links answers' } },
              log: { schema: { ...log.schema, description: 'as /heal/log answers, only what is new' } },
            }).schema,
            error.schema,
          ],
        },
      },
    },
    {
      command: 'x0ctl doctor --json',
      help: 'What is wrong with this router, the worst first.',
      shape: object({
        version,
        findings: array(
          object({
            check: text('which one found it'),
            weight: oneOf(['problem', 'advice'], 'a problem ends in exit status 1'),
            seen: text('what was seen'),
            why: text('why it matters'),
            remedy: array(text('a command'), 'what mends it; words in capitals are for a person to fill in'),
          }),
          'empty where all is well',
        ),
        skipped: array(object({ check: text('which one'), why: text('in words') }), 'what could not be looked at'),
        checks: integer('in all'),
      }),
    },
    {
      command: 'x0ctl diag --json',
      help: 'The archive that was written.',
      shape: object({
        version,
        file: text('where it is'),
        bytes: integer('its size'),
        parts: array(text('name in the archive'), 'what is in it'),
        hidden: object({
          secrets: integer('keys, passphrases and what looks like one'),
          macs: integer('addresses of cards'),
          addresses: integer('IP addresses'),
          names: integer('of hosts and networks'),
          places: integer('coordinates'),
        }),
        missing: array(text('which, and why'), 'what could not be had'),
      }),
    },
    {
      command: 'x0ctl ping NODE --json',
      help: 'Echoes at layer 2.',
      shape: object({
        version,
        target: mac,
        sent: integer('echoes'),
        received: integer('answers'),
        lossPercent: number('of the echoes'),
        rttMs: orNull(
          object({
            min: number('milliseconds'),
            avg: number('milliseconds'),
            max: number('milliseconds'),
            mdev: number('standard deviation'),
          }),
        ),
        echoes: array(
          object({
            seq: integer('from 1'),
            result: oneOf(['reply', 'unreachable', 'ttl-exceeded', 'silence', 'no-way'], 'what came of it'),
            from: orNull(mac),
            ttl: orNull(integer('what was left of it')),
            rttMs: rtt,
            recorded: array(mac, 'interfaces on the way there and back, with --record'),
          }),
          'in order',
        ),
      }),
    },
    {
      command: 'x0ctl traceroute NODE --json',
      help: 'The way at layer 2.',
      shape: object({
        version,
        target: mac,
        reached: flag('it answered'),
        hops: array(
          object({
            hop: integer('from 1'),
            routers: array(mac, 'who answered; several where the way changed'),
            rttMs: array(rtt, 'one a probe'),
          }),
          'in order',
        ),
      }),
    },
    {
      command: 'x0ctl throughput NODE --json',
      help: "batman-adv's own meter.",
      shape: object({
        version,
        target: mac,
        result: text('complete, stopped, or why there is no figure'),
        testMs: integer('how long it ran'),
        bytes: integer('that arrived'),
        mbitsPerSecond: orNull(number('Mbit/s; null where there is no figure')),
      }),
    },
  ];
