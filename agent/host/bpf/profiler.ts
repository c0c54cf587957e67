/**
 * What the programs cost, from the kernel's own run statistics: switched on by a descriptor of this process, so that they
 * are off again when it ends, however it ends. Nobody else's programs are looked at.
 */
import { AgentError } from '../../core/errors.ts';
import { type Native, type NativeError, native } from '../native.ts';

/** Of one program, as /proc/self/fdinfo of its owner has it. */
export interface Runs {
  readonly name: string;
  readonly runs: number;
  readonly ns: number;
}

export interface Profile {
  readonly name: string;
  readonly runs: number;
  readonly nsARun: number;
  readonly runsASecond: number;
  /** Of one CPU, 0 to 1. */
  readonly share: number;
}

/** Two readings, `seconds` apart. A program that was not there before is left out. */
export function profileOf(before: readonly Runs[], after: readonly Runs[], seconds: number): Profile[] {
  const had = new Map(before.map((one) => [one.name, one]));
  return after.flatMap(({ name, runs, ns }) => {
    const old = had.get(name);
    if (old === undefined) return [];
    const [more, took] = [runs - old.runs, ns - old.ns];
    return [
      {
        name,
        runs: more,
        nsARun: more > 0 ? took / more : 0,
        runsASecond: more / seconds,
        share: took / (seconds * 1e9),
      },
    ];
  });
}

/** Runs `read` twice, `seconds` apart, with the kernel's statistics on. Throws E_FORBIDDEN without the right to that. */
export async function profile(
  read: () => Promise<readonly Runs[]>,
  seconds: number,
  shim: Native = native(),
): Promise<Profile[]> {
  let statistics: ReturnType<Native['bpfStatistics']>;
  try {
    statistics = shim.bpfStatistics();
  } catch (thrown) {
    const { code, message } = thrown as NativeError;
    if (code === 'EPERM' || code === 'EACCES')
      throw new AgentError('E_FORBIDDEN', 'the kernel lets only root (CAP_SYS_ADMIN) switch its BPF statistics on');
    throw new AgentError('E_NATIVE', message);
  }
  try {
    const before = await read();
    const at = performance.now();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const after = await read();
    return profileOf(before, after, (performance.now() - at) / 1000);
  } finally {
    statistics.close();
  }
}
