/** What records: the flight recorder, and with --record a tape. */

import type { Log } from '../core/log.ts';
import type { RuntimeOptions } from '../core/runtime.ts';
import type { Nanos } from '../core/time.ts';
import { Recorder } from '../host/recorder.ts';
import type { State } from '../host/state.ts';
import { openTape, type Tape } from '../host/tape.ts';
import type { Header } from '../record/format.ts';
import { Turns } from '../record/turns.ts';
import type { RecordingReader } from '../report/sources.ts';

interface Recording {
  readonly hooks: Required<Pick<RuntimeOptions, 'record' | 'observe'>>;
  readonly reader: RecordingReader;
  begin(tape: string, log: Log): void;
  settle(limitKib: number): void;
  close(): void;
}

interface Options {
  readonly header: Omit<Header, 'begins'>;
  readonly limitKib: number;
  readonly state: State;
  now(): Nanos;
  /** A repair is under way. */
  busy(): boolean;
}

export function recording({ header, limitKib, state, now, busy }: Options): Recording {
  let tape: Tape | null = null;
  const recorder = new Recorder(limitKib, {
    header,
    now,
    busy,
    keep: (bytes, faults) => void state.keepRecording(bytes, faults),
  });
  const turns = new Turns((turn) => {
    tape?.take(turn);
    recorder.take(turn);
  });
  return {
    hooks: turns.hooks,
    reader: {
      list: () => state.recordings(),
      export: (id) => {
        turns.end();
        return id === null ? recorder.export() : state.recording(id);
      },
    },
    begin(file, log) {
      tape = openTape(file, { ...header, begins: 'start' }, log);
    },
    settle: (limit) => recorder.settle(limit),
    close() {
      turns.end();
      recorder.close();
      tape?.close();
    },
  };
}
