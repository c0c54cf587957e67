/** A terminal that keeps what is written on it. */
import type { Terminal } from '../../../agent/ctl/terminal.ts';

export interface Screen extends Terminal {
  written: string;
  complained: string;
}

export function screen(more: Partial<Terminal> = {}): Screen {
  return {
    written: '',
    complained: '',
    out(text) {
      this.written += text;
    },
    err(text) {
      this.complained += text;
    },
    columns: 80,
    rows: 24,
    isScreen: false,
    color: false,
    environment: {},
    sleep: () => Promise.resolve(),
    ...more,
  };
}
