/**
 * A reporter of node:test for tools/test.ts: a line of JSON behind MARK for each test that passed, failed or was skipped, so
 * that it can be told from what a test itself prints. A suite counts only when it failed by itself.
 */
import type { TestEvent } from 'node:test/reporters';

export const MARK = '\u0001x0:';

export interface Told {
  readonly name: string;
  /** Absent: it passed. */
  readonly skipped?: string;
  readonly failed?: string;
}

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    const told = type === 'test:pass' ? passed(data) : type === 'test:fail' ? failed(data) : undefined;
    if (told !== undefined) yield `\n${MARK}${JSON.stringify(told)}\n`;
  }
}

type Passed = Extract<TestEvent, { type: 'test:pass' }>['data'];
type Failed = Extract<TestEvent, { type: 'test:fail' }>['data'];

function passed({ name, details, skip }: Passed): Told | undefined {
  if (details.type === 'suite') return undefined;
  if (skip === undefined || skip === false) return { name };
  return { name, skipped: typeof skip === 'string' ? skip : 'no reason given' };
}

function failed({ name, details: { error } }: Failed): Told | undefined {
  // It fails with its tests: those have been counted.
  if ((error as { failureType?: string }).failureType === 'subtestsFailed') return undefined;
  return { name, failed: error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : error.message };
}
