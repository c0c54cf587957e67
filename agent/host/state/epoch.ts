/** The boot epoch: a number that grows from start to start, whatever becomes of the storage. */
import { assertFiles, type Database, sqlite } from './sqlite.ts';

const EPOCH_MAX = 0xffff_ffff;
/** 2100-01-01 in seconds: a wall clock past this is broken, and an epoch taken from it could never be outgrown. */
const CLOCK_MAX = 4_102_444_800;

/**
 * The next boot epoch: above the stored one, and not below the wall clock's seconds, so that it still grows after the
 * stored one was lost or could not be written. Only with no storage and no clock (a router without a battery, before
 * NTP) can it repeat; then others take this boot's alarms for replays, and healing stays local.
 */
export function nextEpoch(stored: number, wallMs: number): number {
  const seconds = Math.floor(wallMs / 1000);
  const clock = seconds > 0 && seconds < CLOCK_MAX ? seconds : 0;
  return stored >= EPOCH_MAX ? Math.max(clock, 1) : Math.max(stored + 1, clock);
}

export function readEpoch(db: Database): number {
  const value = db.prepare("SELECT value FROM meta WHERE key = 'epoch'").pluck().get();
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < EPOCH_MAX ? value : 0;
}

/** The epoch in a file that is damaged or cannot be written, as far as it can be read; else 0. */
export function epochIn(file: string): number {
  let db: Database | undefined;
  try {
    assertFiles(file);
    db = new (sqlite())(file, { readonly: true, fileMustExist: true, timeout: 0 });
    return readEpoch(db);
  } catch {
    return 0;
  } finally {
    db?.close();
  }
}
