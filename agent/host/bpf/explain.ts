/** x0ctl bpf explain: finds the object that a name means, lets the validator look at it, and has it explained. */
import { AgentError } from '../../core/errors.ts';
import type { MapSpec } from './elf.ts';
import { explainDot, explainText, factsOf, type ProgramFacts } from './explainer.ts';
import { entryOf, findObjects, HERE_ENDIAN, readValid } from './loader.ts';
import type { Entry, Variant } from './validator.ts';

export interface Explanation {
  readonly text: string;
  readonly facts: {
    readonly file: string;
    readonly sha256: string;
    readonly maps: readonly MapSpec[];
    readonly programs: readonly ProgramFacts[];
  };
}

/** `name`: of a program, or of an object. Throws E_NOT_FOUND, and what the validator throws. */
export function explain(
  name: string,
  options: {
    readonly variant: Variant;
    readonly endian: Entry['endianness'] | undefined;
    readonly dot: boolean;
  },
): Explanation {
  const { variant, endian = HERE_ENDIAN, dot } = options;
  const { folder, manifest } = findObjects();
  const isObject = manifest.objects.some((entry) => entry.name === name);
  const entry = entryOf(manifest, isObject ? name : 'mesh', variant, endian);
  const { object } = readValid(folder, entry);
  const units = [...object.programs, ...object.functions];
  const only = isObject ? null : name;
  if (only !== null && !units.some((unit) => unit.name === only)) {
    const known = [...units.map((unit) => unit.name), ...new Set(manifest.objects.map((one) => one.name))];
    throw new AgentError(
      'E_NOT_FOUND',
      `there is no BPF program or object of that name; there are ${known.join(', ')}`,
    );
  }
  return {
    text: dot ? explainDot(object, only) : explainText(entry, object, only),
    facts: { file: entry.file, sha256: entry.sha256, maps: object.maps, programs: factsOf(object, only) },
  };
}
