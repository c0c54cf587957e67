/**
 * All commands, a line a group, in the order of --help. A group is a file of commands/: its rows are what dispatch, help and
 * whatever completes a line rest on. What a command needs to run it imports when it runs.
 */
import type { Command } from './command.ts';
import { beaconCommands } from './commands/beacon.ts';
import { bpfCommands } from './commands/bpf.ts';
import { completionCommands } from './commands/completion.ts';
import { configCommands } from './commands/config.ts';
import { doctorCommands } from './commands/doctor.ts';
import { healCommands } from './commands/heal.ts';
import { meshCommands } from './commands/mesh.ts';
import { peerCommands } from './commands/peers.ts';
import { reachCommands } from './commands/reach.ts';
import { recordCommands } from './commands/record.ts';
import { trustCommands } from './commands/trust.ts';
import { tunnelCommands } from './commands/tunnels.ts';
import { twinCommands } from './commands/twin.ts';
import { watchCommands } from './commands/watch.ts';
import { workloadCommands } from './commands/workload.ts';

export const COMMANDS: readonly Command[] = [
  ...meshCommands,
  ...reachCommands,
  ...doctorCommands,
  ...trustCommands,
  ...tunnelCommands,
  ...workloadCommands,
  ...beaconCommands,
  ...peerCommands,
  ...watchCommands,
  ...healCommands,
  ...recordCommands,
  ...twinCommands,
  ...bpfCommands,
  ...configCommands,
  ...completionCommands(() => COMMANDS),
];
