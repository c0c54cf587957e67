/** Runs the vectors of one file, group by group, against each provider. */
import { ACVP } from './acvp.ts';
import { Failed, type Fields, NotCovered } from './outcome.ts';
import type { Subject } from './subject.ts';
import { type Handler, WYCHEPROOF } from './wycheproof.ts';

export interface GroupResult {
  /** From 1, as it stands in the file. */
  readonly group: number;
  readonly what: string;
  readonly provider: Subject['name'];
  readonly passed: number;
  /** `tcId: why`, one each. */
  readonly failed: readonly string[];
  /** Why → how many. */
  readonly notCovered: ReadonlyMap<string, number>;
}

interface VectorFile extends Fields {
  readonly testGroups: readonly (Fields & { readonly tests: readonly Fields[] })[];
}

/**
 * `answers` are ACVP's expectedResults.json, where `vectors` are its prompt.json. Throws an Error with a sentence for
 * what is no file of vectors.
 */
export function runVectors(vectors: unknown, subjects: readonly Subject[], answers?: unknown): GroupResult[] {
  const file = asVectors(vectors);
  const groups = answers === undefined ? file.testGroups : merged(file, asVectors(answers));
  const results: GroupResult[] = [];
  for (const [index, group] of groups.entries()) {
    const kind = kindOf(file, group);
    // What Wycheproof says once for a file counts for each group.
    const whole = { algorithm: file.algorithm, ...group };
    for (const subject of subjects) results.push(runGroup(index + 1, kind, whole, subject));
  }
  return results;
}

/** The key of its handler: a type of Wycheproof's, or `algorithm/mode/function` of ACVP's. */
function kindOf(file: VectorFile, group: Fields): string {
  if (typeof group.type === 'string') return group.type;
  return [file.algorithm, file.mode, group.function].filter((part) => part !== undefined).join('/');
}

function runGroup(group: number, kind: string, whole: VectorFile['testGroups'][number], subject: Subject): GroupResult {
  const failed: string[] = [];
  const notCovered = new Map<string, number>();
  let passed = 0;
  for (const test of whole.tests) {
    try {
      handlerOf(kind, whole, subject).check(subject, whole, test);
      passed++;
    } catch (thrown) {
      if (thrown instanceof NotCovered) notCovered.set(thrown.message, (notCovered.get(thrown.message) ?? 0) + 1);
      else failed.push(`${test.tcId}: ${thrown instanceof Failed ? thrown.message : `broke: ${thrown}`}`);
    }
  }
  const set = whole.parameterSet ?? whole.curve ?? whole.algorithm;
  return { group, what: `${kind} ${set ?? ''}`.trim(), provider: subject.name, passed, failed, notCovered };
}

function handlerOf(kind: string, group: Fields, subject: Subject): Handler {
  const known = [WYCHEPROOF, ACVP].find((one) => Object.hasOwn(one, kind));
  const handler = known?.[kind];
  if (handler === undefined) throw new NotCovered(`nothing here runs ${kind}`);
  for (const [field, value] of Object.entries(handler.only ?? {})) {
    if (group[field] !== value) throw new NotCovered(`${field} ${group[field] ?? 'not given'}`);
  }
  if (!subject.has(handler.needs)) throw new NotCovered('this Node has no such algorithm');
  return handler;
}

/** ACVP also wraps a file into an array, behind an object that names its version. */
function asVectors(json: unknown): VectorFile {
  const file = (Array.isArray(json) ? json.at(-1) : json) as VectorFile | null;
  const groups = file?.testGroups;
  const isGroup = (group: Fields | null): boolean =>
    Array.isArray(group?.tests) && group.tests.every((test) => typeof test === 'object' && test !== null);
  if (!Array.isArray(groups) || !groups.every(isGroup))
    throw new Error('neither Wycheproof nor ACVP: it has no testGroups with tests');
  return file!;
}

function merged(questions: VectorFile, answers: VectorFile): VectorFile['testGroups'] {
  const groups = new Map(answers.testGroups.map((group) => [group.tgId, group]));
  return questions.testGroups.map((group) => {
    const known = groups.get(group.tgId);
    const tests = new Map(known?.tests.map((test) => [test.tcId, test]));
    return { ...known, ...group, tests: group.tests.map((test) => ({ ...test, ...tests.get(test.tcId) })) };
  });
}
