/** What comes in, as XDP measures it, and the programs that do. */
import type { Of } from '../../report/shape.ts';
import type * as shapes from '../../report/shapes.ts';
import { type Command, choiceOf, numberOf, showing, usage, views } from '../command.ts';
import { EXIT } from '../exit.ts';
import { fold, plainJson } from '../terminal.ts';

export const bpfCommands: readonly Command[] = [
  {
    name: 'xdp',
    arguments: '',
    least: 0,
    most: 0,
    help: 'how what comes in is measured, and what was counted',
    more: 'XDP sees what comes in; what goes out is not in any of these figures.',
    example: "x0ctl xdp --json | jq '.totals.retransmitted'",
    run: showing<Of<typeof shapes.xdp>>('/mesh/xdp', async (answer, to) => (await views()).xdpText(answer, to)),
  },
  {
    name: 'bpf explain',
    arguments: '[NAME]',
    least: 0,
    most: 1,
    help: 'what the BPF programs are and may do; needs no agent',
    more: `NAME is a program (entry, heard, ogm2, tcp, control), shown with its control
flow and disassembly, or an object (mesh, pass), shown in short. The object is
validated first, against its manifest.`,
    example: 'x0ctl bpf explain tcp --dot | dot -Tsvg > tcp.svg',
    options: {
      dot: { type: 'boolean', help: 'the control-flow graph for Graphviz' },
      variant: { type: 'string', value: 'VARIANT', help: 'timer or no-timer; timer without it' },
      endian: { type: 'string', value: 'ORDER', help: "little or big; this router's without it" },
    },
    run: async ({ to, json, arguments: [named = 'mesh'], options }) => {
      if (json && options.dot === true) throw usage('--dot and --json exclude each other');
      const variant = choiceOf(options.variant, 'variant', ['timer', 'no-timer']) ?? 'timer';
      const endian = choiceOf(options.endian, 'endian', ['little', 'big']);
      const { explain } = await import('../../host/bpf/explain.ts');
      const { text, facts } = explain(named, { variant, endian, dot: options.dot === true });
      to.out(json ? `${plainJson({ version: 1, ...facts })}\n` : options.dot === true ? text : fold(text, to));
      return EXIT.ok;
    },
  },
  {
    name: 'bpf profile',
    arguments: '',
    least: 0,
    most: 0,
    help: 'what the BPF programs cost now; as root',
    more: `Switches the kernel's BPF statistics on for so long, which costs each program of
the kernel some 20 ns a run, and off again. What a tail call leads to counts for
the program that made it.`,
    example: 'x0ctl bpf profile --seconds 10',
    options: { seconds: { type: 'string', value: 'N', help: 'how long, 0.1 to 600; 5 without it' } },
    run: async ({ to, json, options, agent }) => {
      const seconds = numberOf(options.seconds, 'seconds', 0.1, 600) ?? 5;
      const [{ profile }, client, { profileText }] = await Promise.all([
        import('../../host/bpf/profiler.ts'),
        agent(),
        views(),
      ]);
      const read = async () => ((await client.get('/mesh/xdp')) as Of<typeof shapes.xdp>).programs;
      const programs = await profile(read, seconds);
      to.out(json ? `${plainJson({ version: 1, seconds, programs })}\n` : profileText(programs, to));
      return EXIT.ok;
    },
  },
];
