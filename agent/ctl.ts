/** x0ctl: the command line over SSH. */
import { main } from './ctl/main.ts';
import { terminal } from './ctl/terminal.ts';

process.exitCode = await main(process.argv.slice(2), terminal());
