/** `x0ctl diag`: one archive for a bug report, with secrets and personal data taken out. */
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { writeNamed } from '../file.ts';
import { clean, plainJson, type Terminal, wrap } from '../terminal.ts';
import { type Collected, type CollectOptions, collect, optionsOf, type Raw } from './collect.ts';
import { type Counts, Scrubber } from './scrub.ts';
import { type Entry, tar } from './tar.ts';

const FILE = 'x0tta6bl4-diag.tar.gz';

/** Answers the exit status. Throws E_FORBIDDEN, E_USAGE. */
export async function diag(
  options: CollectOptions,
  file: string | undefined,
  to: Terminal,
  json: boolean,
): Promise<number> {
  const into = file ?? FILE;
  const collected = await collect(options);
  const { bytes, counts, names, missing } = archive(collected, options.version, Date.now());
  writeNamed(into, bytes);
  // The archive itself may be what the standard output is for.
  const say = (text: string) => (into === '-' ? to.err(text) : to.out(text));
  if (json) {
    say(`${plainJson({ version: 1, file: into, bytes: bytes.length, parts: names, hidden: counts, missing })}\n`);
    return 0;
  }
  const { secrets, macs, addresses, names: called, places } = counts;
  const lines = [
    `${into}: ${bytes.length} bytes, ${names.length} parts`,
    `taken out: ${secrets} secrets, ${places} places; by pseudonyms: ${macs} addresses of cards, ${addresses} IP addresses, ${called} names`,
    ...missing.map((one) => `without ${one}`),
    `Look through it before you send it: tar xzf ${into}`,
  ];
  const width = Math.max(40, to.columns);
  say(
    lines
      .flatMap((line) => wrap(clean(line), width, 2))
      .map((line) => `${line}\n`)
      .join(''),
  );
  return 0;
}

export interface Archive {
  readonly bytes: Buffer;
  /** As the archive has it: without secrets, too. */
  readonly missing: readonly string[];
  readonly names: readonly string[];
  readonly counts: Readonly<Counts>;
}

/** The key of the pseudonyms is made here, and gone with it. */
export function archive({ parts, known, missing }: Collected, version: string, wallMs: number): Archive {
  const key = randomBytes(32);
  const scrubber = new Scrubber(key, known);
  const entries: Entry[] = parts.map((part) => ({
    name: `x0tta6bl4-diag/${part.name}`,
    data: scrubbed(part, scrubber),
  }));
  key.fill(0);
  const about = {
    x0ctl: version,
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    made: new Date(wallMs).toISOString(),
    hidden: scrubber.counts,
    missing: missing.map((one) => scrubber.text(one)),
  };
  entries.unshift(
    { name: 'x0tta6bl4-diag/README', data: README },
    { name: 'x0tta6bl4-diag/about.json', data: asJson(about) },
  );
  const bytes = gzipSync(tar(entries, wallMs / 1000));
  return { bytes, missing: about.missing, names: entries.map(({ name }) => name), counts: scrubber.counts };
}

const README = `What a router with x0tta6bl4 knew when x0ctl diag was run on it.

Keys, passphrases and what looks like one are [secret], places are [place]. Names of
hosts and networks are name-XXXXXX, IP addresses lie in 198.18.0.0/15 and 2001:db8::/32,
addresses of cards begin with 02:72 (a router's) or 02:63 (anybody's): the same one
everywhere in this archive, another in the next, and nobody can tell which was whose.
A recording in tape/ is for reading: by its pseudonyms it may replay otherwise.
`;

function scrubbed(part: Raw, scrubber: Scrubber): string {
  switch (part.kind) {
    case 'text':
      return scrubber.log(part.text);
    case 'json':
      return asJson(scrubber.json(part.value));
    case 'lines':
      return part.text
        .split('\n')
        .map((line) => lineOf(line, scrubber))
        .join('\n');
    case 'uci':
      return part.document
        .sections()
        .map((section) => {
          const head = `config ${scrubber.text(section.type)}${section.name === undefined ? '' : ` '${scrubber.text(section.name)}'`}`;
          const options = optionsOf(section).map(
            ({ name, value, isList }) =>
              `\t${isList ? 'list' : 'option'} ${name} '${scrubber.value(name, value).replaceAll("'", "'\\''")}'`,
          );
          return `${[head, ...options].join('\n')}\n`;
        })
        .join('\n');
  }
}

function lineOf(line: string, scrubber: Scrubber): string {
  if (line === '') return '';
  try {
    return JSON.stringify(scrubber.json(JSON.parse(line)));
  } catch {
    return scrubber.text(line);
  }
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 1)}\n`;
}
