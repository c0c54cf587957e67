/**
 * The SPIRE agent on this router, for as long as x0d runs: what it gives last is what this router joins with, and what it takes
 * back proves nothing any more.
 */
import { AgentError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Degraded } from '../../report/sources.ts';
import type { X509Holder } from '../../trust/join/x509.ts';
import type { TrustEffect } from '../../trust/membership/words.ts';
import { signBy } from '../x509-file.ts';
import { type Svid, WorkloadClient } from './client.ts';

/** How long somebody who wants to join waits for the first certificate. */
const PATIENCE_MS = 15_000;

export interface SpireOptions {
  readonly socket: string;
  readonly log: Log;
  /** Milliseconds since 1970. */
  wall(): number;
  /** For the journal. */
  decided(effect: TrustEffect & { type: 'decided' }): void;
  readonly leastWaitMs?: number;
  readonly patienceMs?: number;
}

export class Spire {
  readonly #options: SpireOptions;
  readonly #client: WorkloadClient;
  #svid: Svid | null = null;
  /** What it has taken back; null while it has not. */
  #taken: string | null = null;
  /** Why there is no stream now; '' while there is one. */
  #why = 'it has not answered yet';
  #isSaid = false;
  readonly #waiting = new Set<() => void>();

  constructor(options: SpireOptions) {
    this.#options = options;
    const { socket, leastWaitMs } = options;
    this.#client = new WorkloadClient({
      socket,
      random: Math.random,
      given: (svid) => (svid === null ? this.#takenBack() : this.#given(svid)),
      failed: (why) => this.#failed(why),
      ...(leastWaitMs !== undefined && { leastWaitMs }),
    });
  }

  /**
   * To prove this router with, to stewards who bind the hybrid keys in: by the newest certificate at each proof. Rejects with
   * E_FORBIDDEN where SPIRE has taken it back, E_SOCKET where none comes in time.
   */
  async holder(): Promise<X509Holder> {
    if (this.#svid === null && this.#taken === null) await this.#first();
    const newest = (): Svid => this.#newest();
    newest();
    return {
      get chain() {
        return newest().chain;
      },
      sign: (message) => signBy(newest().key, message),
    };
  }

  degraded(): Degraded[] {
    const part = 'SPIRE';
    if (this.#taken !== null) {
      const why = `the SPIRE agent has taken ${this.#taken} back: this router cannot join by it; a member stays one until a steward revokes it`;
      return [{ part, level: 'none', why }];
    }
    const why = `${this.#options.socket}: ${this.#why}`;
    if (this.#svid === null) return [{ part, level: 'none', why }];
    if (this.#svid.notAfter < this.#options.wall())
      return [{ part, level: 'none', why: `the certificate of ${this.#svid.id} has ended, and none has followed it` }];
    return this.#why === '' ? [] : [{ part, level: 'last certificate', why }];
  }

  close(): void {
    this.#client.close();
    for (const done of this.#waiting) done();
  }

  #first(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, this.#options.patienceMs ?? PATIENCE_MS).unref();
      this.#waiting.add(done);
    });
  }

  #newest(): Svid {
    if (this.#svid !== null) return this.#svid;
    if (this.#taken !== null)
      throw new AgentError('E_FORBIDDEN', `the SPIRE agent has taken ${this.#taken} back: it proves nothing any more`);
    const { socket } = this.#options;
    throw new AgentError('E_SOCKET', `no certificate from ${socket}: ${this.#why}`, { socket });
  }

  #given(svid: Svid): void {
    const { log, decided } = this.#options;
    const { id, notAfter } = svid;
    const before = this.#svid;
    if (this.#taken !== null)
      decided({ type: 'decided', what: 'identity-given', who: id, why: 'the SPIRE agent gives it again' });
    if (before?.notAfter !== notAfter || before.id !== id)
      log.info('a certificate from the SPIRE agent', { id, ends: new Date(notAfter).toISOString() });
    this.#svid = svid;
    this.#taken = null;
    this.#why = '';
    this.#isSaid = false;
    for (const done of [...this.#waiting]) done();
  }

  #takenBack(): void {
    const { log, decided } = this.#options;
    const id = this.#svid?.id;
    this.#svid = null;
    if (id === undefined) return;
    this.#taken = id;
    log.error('THE SPIRE AGENT HAS TAKEN THE IDENTITY OF THIS ROUTER BACK', { id });
    const why = 'the SPIRE agent denies it: nobody is shown it any more';
    decided({ type: 'decided', what: 'identity-taken-back', who: id, why });
  }

  #failed(why: string): void {
    this.#why = why;
    if (!this.#isSaid && this.#taken === null)
      this.#options.log.warning('no word from the SPIRE agent', { socket: this.#options.socket, why });
    this.#isSaid = true;
  }
}
