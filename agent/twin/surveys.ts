/**
 * What agents may ask their router for beside its tables, in stories that are about it (story.surveyed): counters, stations,
 * and what is spoken on an interface. Elsewhere it would say nothing new, and to answer takes time of every agent.
 */
import type { IfIndex } from '../core/ids.ts';
import type { InterfaceCounters, Overheard, Stations } from '../core/kernel.ts';
import { MS, type Nanos } from '../core/time.ts';
import type { AddressBook } from './frames.ts';
import { type Kernel, MESH } from './kernel.ts';
import type { Scheduler } from './scheduler.ts';

/** What answers: client networks alone (lans.ts) have no air to listen to. */
export interface Answers {
  counters(kernel: Kernel): readonly InterfaceCounters[];
  stations(kernel: Kernel): Stations;
  /** A frame from a router's own address to itself has gone into its bat0. */
  announced?(kernel: Kernel): void;
  /** Tells once it has listened; nothing where nobody can listen. */
  overhear?(kernel: Kernel, index: IfIndex, tell: (heard: readonly Overheard[]) => void): void;
}

/** As host/survey.ts listens. */
const LISTEN: Nanos = 2500 * MS;

export class Surveys implements Answers {
  readonly #lans: Answers | null;
  readonly #book: AddressBook;
  readonly #scheduler: Scheduler;

  constructor(lans: Answers | null, book: AddressBook, scheduler: Scheduler) {
    this.#lans = lans;
    this.#book = book;
    this.#scheduler = scheduler;
  }

  /** What circles between client networks, and all else. */
  counters(kernel: Kernel): InterfaceCounters[] {
    const rows = new Map<string, InterfaceCounters>();
    const add = (row: InterfaceCounters) => {
      const known = rows.get(row.name);
      rows.set(row.name, known === undefined ? row : sum(known, row));
    };
    for (const { name, traffic } of kernel.attached()) add({ name, rxMulticast: 0, ...traffic });
    if (kernel.mesh !== null) add({ name: MESH, rxMulticast: 0, ...kernel.traffic });
    for (const row of this.#lans?.counters(kernel) ?? []) add(row);
    return [...rows.values()];
  }

  stations(kernel: Kernel): Stations {
    const lans = this.#lans?.stations(kernel) ?? { local: 1, remote: 0, disputed: [] };
    const known = new Set(kernel.mesh?.protocol.originators().map(({ originator }) => originator));
    const tables = kernel.translation.tables(this.#book, (originator) => known.has(originator));
    return { ...lans, remote: lans.remote + tables.length, tables };
  }

  announced(kernel: Kernel): void {
    this.#lans?.announced?.(kernel);
  }

  overhear(kernel: Kernel, index: IfIndex, tell: (heard: readonly Overheard[]) => void): void {
    const heard = kernel.listen(index);
    if (heard === null) return;
    this.#scheduler.after(LISTEN, () => {
      kernel.unlisten(index);
      tell(heard);
    });
  }
}

function sum(a: InterfaceCounters, b: InterfaceCounters): InterfaceCounters {
  return {
    name: a.name,
    rxPackets: a.rxPackets + b.rxPackets,
    rxBytes: a.rxBytes + b.rxBytes,
    rxMulticast: a.rxMulticast + b.rxMulticast,
    txPackets: a.txPackets + b.txPackets,
    txBytes: a.txBytes + b.txBytes,
  };
}
