/**
 * What a shell needs to complete x0ctl's lines, out of the table of commands.
 *
 * bash asks a function for every word. busybox ash, OpenWrt's shell, completes names of programs and files and nothing else
 * (no functions, no aliases: tried with 1.35): for it each command is a link to x0ctl, which knows by what name it was called,
 * so that x0ctl-<TAB> shows them all and x0ctl-heal-l<TAB> finds x0ctl-heal-log.
 */
import type { Command } from './command.ts';

type Row = Pick<Command, 'name' | 'options'>;
type Options = NonNullable<Command['options']>;

export const SHELLS = ['bash', 'ash'] as const;

export function completion(shell: (typeof SHELLS)[number], commands: readonly Row[], global: Options): string {
  return shell === 'bash' ? bash(commands, global) : ash(commands);
}

function bash(commands: readonly Row[], global: Options): string {
  const first = [...new Set(commands.map(({ name }) => name.split(' ')[0]!)), 'help'];
  const groups = new Map<string, string[]>();
  for (const { name } of commands) {
    const [head, tail] = name.split(' ') as [string, string?];
    if (tail !== undefined) groups.set(head, [...(groups.get(head) ?? []), tail]);
  }
  const flags = (options: Options) => Object.keys(options).map((name) => `--${name}`);
  const valued = new Set(
    [global, ...commands.map(({ options }) => options ?? {})].flatMap((options) =>
      Object.entries(options)
        .filter(([, { type }]) => type === 'string')
        .map(([name]) => `--${name}`),
    ),
  );
  const own = commands.filter(({ options }) => options !== undefined);
  return `# bash completion of x0ctl: eval "$(x0ctl completion bash)"
_x0ctl() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} words=() i=1 choices
  COMPREPLY=()
  case $before in
    ${[...valued].join(' | ')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  while [ "$i" -lt "$COMP_CWORD" ]; do
    case \${COMP_WORDS[i]} in
      ${[...valued].join(' | ')}) i=$((i + 1)) ;;
      -*) ;;
      *) words+=("\${COMP_WORDS[i]}") ;;
    esac
    i=$((i + 1))
  done
  [ "\${words[0]}" != help ] || words=("\${words[@]:1}")
  if [[ $word == -* ]]; then
    choices='${flags(global).join(' ')}'
    case "\${words[0]} \${words[1]}" in
${own.map(({ name, options }) => `      "${name}"${name.includes(' ') ? '' : '*'}) choices+=' ${flags(options!).join(' ')}' ;;`).join('\n')}
    esac
  else
    case "\${#words[@]} \${words[0]}" in
      0*) choices='${first.join(' ')}' ;;
${[...groups].map(([head, tails]) => `      '1 ${head}') choices='${tails.join(' ')}' ;;`).join('\n')}
      *) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$choices" -- "$word"))
}
complete -o filenames -F _x0ctl x0ctl
`;
}

function ash(commands: readonly Row[]): string {
  const names = commands.map(({ name }) => name.replaceAll(' ', '-'));
  return `# Links beside x0ctl for ash's line editor, which completes names of programs: x0ctl completion ash | sh
at=$(command -v x0ctl) || exit 1
for name in ${names.join(' ')}; do
  ln -sf "\${at##*/}" "\${at%/*}/x0ctl-$name" || exit 1
done
`;
}

/** 'x0ctl-heal-log' is 'heal log'; nothing where it is no such name. */
export function calledAs(program: string, commands: readonly Row[]): string[] {
  const name = /(?:^|\/)x0ctl-([a-z-]+)$/.exec(program)?.[1];
  const found = commands.find((row) => row.name.replaceAll(' ', '-') === name);
  return found === undefined ? [] : found.name.split(' ');
}

/** What a person types, in full: unique beginnings of commands stand for them. Answers the choices where there are several. */
export function inFull(
  words: readonly string[],
  commands: readonly Row[],
): readonly string[] | { readonly choices: string[] } {
  const full: string[] = [];
  let rows = commands.map(({ name }) => name.split(' '));
  for (const [i, word] of words.entries()) {
    rows = rows.filter((row) => full.every((done, j) => row[j] === done));
    const all = [...new Set(rows.flatMap((row) => row[i] ?? []))];
    if (all.length === 0 || all.includes(word)) {
      full.push(word);
      continue;
    }
    const fitting = all.filter((one) => one.startsWith(word));
    if (fitting.length > 1) return { choices: fitting };
    full.push(fitting[0] ?? word);
  }
  return full;
}
