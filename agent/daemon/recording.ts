/** What records: the flight recorder, and with --record a tape. */

import { dirname, join } from 'node:path';
import type { Log } from '../core/log.ts';
import type { RuntimeOptions } from '../core/runtime.ts';
import type { Nanos } from '../core/time.ts';
import { BlackBox } from '../host/recorder/black-box.ts';
import { Recorder } from '../host/recorder.ts';
import type { State } from '../host/state.ts';
import { openTape, type Tape } from '../host/tape.ts';
import type { Header } from '../record/format.ts';
import { Turns } from '../record/turns.ts';
import type { RecordingReader } from '../report/sources.ts';

interface Recording {
  readonly hooks: Required<Pick<RuntimeOptions, 'record' | 'observe'>>;
  readonly reader: RecordingReader;
  /** Once no other agent can have the control socket, and its directory. */
  begin(tape: string | undefined): void;
  /** Why what is recorded would not outlast a kill; null where it does, or nothing is recorded. */
  trouble(): string | null;
  settle(limitKib: number): void;
  close(): void;
}

interface Options {
  readonly header: Omit<Header, 'begins'>;
  readonly limitKib: number;
  /** Of the control socket: where it is, the ring is. */
  readonly socket: string;
  readonly log: Log;
  readonly state: State;
  now(): Nanos;
  /** A repair is under way. */
  busy(): boolean;
}

export function recording({ header, limitKib, socket, state, log, now, busy }: Options): Recording {
  let isOn = limitKib > 0;
  let tape: Tape | null = null;
  const room = () => state.recordingRoom();
  const box = new BlackBox({
    file: join(dirname(socket), 'recorder.db'),
    header,
    now,
    log,
    room,
    keep: (bytes, faults) => state.keepRecording(bytes, faults, 'ended'),
  });
  const recorder = new Recorder(limitKib, {
    header,
    now,
    busy,
    room,
    keep: (bytes, faults) => void state.keepRecording(bytes, faults),
    ring: () => box.ring(),
    onFailed: (thrown) => box.failed(thrown),
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
    begin(file) {
      box.open();
      recorder.open();
      if (file !== undefined) tape = openTape(file, { ...header, begins: 'start' }, log);
    },
    trouble: () => (isOn ? box.trouble : null),
    settle(limit) {
      isOn = limit > 0;
      recorder.settle(limit);
    },
    close() {
      turns.end();
      recorder.close();
      tape?.close();
    },
  };
}
