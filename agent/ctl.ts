/** x0ctl: the command line over SSH. */
import { COMMANDS } from './ctl/commands.ts';
import { calledAs } from './ctl/completion.ts';
import { main } from './ctl/main.ts';
import { terminal } from './ctl/terminal.ts';

// A link x0ctl-heal-log, or what a wrapper says that it was called.
const called = calledAs(process.env.X0_CALLED ?? process.argv[1] ?? '', COMMANDS);
process.exitCode = await main([...called, ...process.argv.slice(2)], terminal());
