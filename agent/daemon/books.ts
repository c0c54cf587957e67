/** What is carried out after the turn: everything that only people read. */
import type { Log } from '../core/log.ts';
import type { Decision } from '../core/words.ts';
import type { Flusher } from '../host/flusher.ts';
import type { State } from '../host/state.ts';
import type { Book } from '../host/world.ts';
import type { Metrics } from '../report/metrics.ts';
import type { Outcomes } from '../report/outcomes.ts';

interface Into {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly state: State;
  readonly outcomes: Outcomes;
  readonly flusher: Flusher;
  readonly alerts: { take(decision: Decision): void };
}

export function keep(book: Book, into: Into): void {
  switch (book.type) {
    case 'log':
      into.log.at(book.level, book.message, book.fields);
      return;
    case 'metric':
      into.metrics.take(book.name, book.labels, book.value);
      return;
    case 'journal':
      into.state.append(book.decision);
      into.outcomes.take(book.decision);
      into.alerts.take(book.decision);
      break;
    case 'remember':
      into.state.remember(book.kind, book.key, book.value, book.isUrgent);
      break;
    case 'remember-mark':
      into.state.rememberMark(book.sender, book.epoch, book.counter, book.key);
      break;
  }
  into.flusher.settle();
}
