/** Checks a configuration file. */
import { CONFIG_FILE, type Command, views } from '../command.ts';
import { EXIT } from '../exit.ts';
import { plainJson } from '../terminal.ts';

export const configCommands: readonly Command[] = [
  {
    name: 'config check',
    arguments: '[FILE]',
    least: 0,
    most: 1,
    help: 'check a configuration file; needs no agent',
    more: `${CONFIG_FILE} without FILE. Exit status 1 if there is a problem.`,
    example: 'x0ctl config check && /etc/init.d/x0tta6bl4 reload',
    run: async ({ to, json, arguments: [file = CONFIG_FILE] }) => {
      const [{ checkConfig }, { readConfigFile }, { reportText }] = await Promise.all([
        import('../../report/api/check.ts'),
        import('../../host/config-file.ts'),
        views(),
      ]);
      const report = checkConfig(readConfigFile(file), file);
      to.out(json ? `${plainJson(report)}\n` : reportText(report, to));
      return report.valid ? EXIT.ok : EXIT.problem;
    },
  },
];
