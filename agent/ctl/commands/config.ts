/** The configuration: checked, brought into today's form, and what becomes of a change. */
import { AgentError, asAgentError } from '../../core/errors.ts';
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { CONFIG_FILE, type Command, showing, tell, views } from '../command.ts';
import { EXIT } from '../exit.ts';
import { clean, clip, fold, plainJson } from '../terminal.ts';

export const configCommands: readonly Command[] = [
  {
    name: 'config check',
    arguments: '[FILE]',
    least: 0,
    most: 1,
    help: 'check a configuration file; needs no agent',
    more: `${CONFIG_FILE} without FILE. Environment variables that override an
option (MESH_NODE_ID and others) are taken as they are here.
Exit status 1 if there is a problem.`,
    example: 'x0ctl config check && /etc/init.d/x0tta6bl4 reload',
    run: async ({ to, json, arguments: [file = CONFIG_FILE] }) => {
      const [{ checkConfig }, { overridesOf }, { readConfigFile }, { reportText }] = await Promise.all([
        import('../../report/api/check.ts'),
        import('../../config/environment.ts'),
        import('../../host/config-file.ts'),
        views(),
      ]);
      const report = checkConfig(readConfigFile(file), file, overridesOf(process.env));
      to.out(json ? `${plainJson(report)}\n` : reportText(report, to));
      return report.valid ? EXIT.ok : EXIT.problem;
    },
  },
  {
    name: 'config migrate',
    arguments: '[FILE]',
    least: 0,
    most: 1,
    help: "bring an older version's file into today's form",
    more: `${CONFIG_FILE} without FILE. Only shows what would change, unless
--write is given. Needs no agent; one that reads an older file understands it.`,
    example: 'x0ctl config migrate --write',
    options: { write: { type: 'boolean', help: 'change the file' } },
    run: async ({ to, json, options, arguments: [file = CONFIG_FILE] }) => {
      const [{ migrate }, { UciDocument }, { readConfigFile, writeConfigFile }] = await Promise.all([
        import('../../config/migrate.ts'),
        import('../../config/uci.ts'),
        import('../../host/config-file.ts'),
      ]);
      const doc = UciDocument.parse(readConfigFile(file), file);
      const { changes } = migrate(doc);
      if (options.write === true && changes.length > 0) writeConfigFile(file, doc.toBytes());
      const written = options.write === true && changes.length > 0;
      if (json) to.out(`${plainJson({ version: 1, file, changes, written })}\n`);
      else to.out(changes.length === 0 ? `${clean(file)} is of today's form.\n` : `${changes.map(clean).join('\n')}\n`);
      return EXIT.ok;
    },
  },
  {
    name: 'config defaults',
    arguments: '[FILE]',
    least: 0,
    most: 1,
    help: 'the file that the package brings',
    more: `Every option with its default and what it does. --write puts it where there is
no FILE, or behind what has comments only; where somebody set something the
file stays as it is. ${CONFIG_FILE} without FILE. Needs no agent.`,
    example: 'x0ctl config defaults | diff - /etc/config/x0tta6bl4',
    options: { write: { type: 'boolean', help: 'write the file' } },
    run: async ({ to, json, options, arguments: [file = CONFIG_FILE] }) => {
      const { defaultsUci } = await import('../../config/schema.ts');
      const text = defaultsUci();
      const written = options.write === true;
      if (written) await putDefaults(file, text);
      if (json) to.out(`${plainJson({ version: 1, file, text, written })}\n`);
      else to.out(written ? fold(`${clean(file)} has all defaults now.\n`, to) : text);
      return EXIT.ok;
    },
  },
  {
    name: 'config trial',
    arguments: '',
    least: 0,
    most: 0,
    help: 'whether a changed configuration is on trial',
    more: `After a reload with a change that could cut this router off, one of the
routers that were reached before, and of the people who were logged in, has to
be reached when mesh.revert_after has passed; else the change is taken back.`,
    example: 'x0ctl config trial',
    run: showing<Of<typeof shapes.trial>>('/config/trial', async ({ secondsLeft }, to) =>
      secondsLeft === null
        ? 'No changed configuration is on trial.\n'
        : fold(
            `The changed configuration is on trial for another ${secondsLeft} s: x0ctl config confirm keeps it now.\n`,
            to,
          ),
    ),
  },
  {
    name: 'config confirm',
    arguments: '',
    least: 0,
    most: 0,
    help: 'keep the changed configuration that is on trial',
    example: 'x0ctl config confirm',
    run: async ({ to, json, agent }) => tell(to, json, await (await agent()).post('/config/confirm', {})),
  },
  {
    name: 'config revert',
    arguments: '',
    least: 0,
    most: 0,
    help: 'take the changed configuration back that is on trial',
    example: 'x0ctl config revert',
    run: async ({ to, json, agent }) => tell(to, json, await (await agent()).post('/config/revert', {})),
  },
];

/**
 * Comments are no configuration: the defaults go behind them. Throws E_FORBIDDEN where something else is in the file, or what
 * reading and writing throw.
 */
async function putDefaults(file: string, text: string): Promise<void> {
  const [{ UciDocument }, { readConfigFile, writeConfigFile }] = await Promise.all([
    import('../../config/uci.ts'),
    import('../../host/config-file.ts'),
  ]);
  let old: Uint8Array = Buffer.alloc(0);
  try {
    old = readConfigFile(file);
  } catch (thrown) {
    if (asAgentError(thrown).detail.errno !== 'ENOENT') throw thrown;
  }
  const sectionsOf = (bytes: Uint8Array) => UciDocument.parse(bytes, file).sections().length;
  const said = Buffer.from(old).toString('latin1').trim();
  const bytes = Buffer.concat(said === '' ? [Buffer.from(text)] : [old, Buffer.from(`\n\n${text}`)]);
  let stays = '';
  try {
    if (sectionsOf(old) > 0) stays = 'has settings: it stays as it is, and what it does not name has its default';
    // What somebody began to write, a quote that stays open, would swallow them.
    else if (sectionsOf(bytes) !== sectionsOf(Buffer.from(text))) stays = 'is not empty: it stays as it is';
  } catch {
    stays = 'is not empty: it stays as it is';
  }
  if (stays !== '') throw new AgentError('E_FORBIDDEN', `${clip(file, 255)} ${stays}`);
  writeConfigFile(file, bytes);
}
