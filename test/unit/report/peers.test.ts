import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peersText } from '../../../agent/ctl/views.ts';
import { answer } from '../../../agent/report/api.ts';
import { collect, Metrics } from '../../../agent/report/metrics.ts';
import { sources } from './fixture.ts';

const ROOT = { name: 'root', mayChange: true };
const ask = (method: string, url: string, body = '', caller = ROOT, from = sources()) =>
  JSON.parse(answer(from, { method, url, body, caller }).body);
const SCREEN = { columns: 160, color: false };

test('x0ctl peers: who is at the other end, since when, and what it takes', () => {
  const text = peersText(ask('GET', '/peers'), SCREEN);
  assert.match(text, /spiffe:\/\/x0tta6bl4\.mesh\/router\/attic/);
  assert.match(text, /fe80::1%bat0/);
  assert.match(text, /Suite: X-Wing/);
  assert.match(text, /1 connections where nobody/);
});

test('x0ctl peers on a router without an identity says so', () => {
  const { peers: _, ...without } = sources();
  const found = ask('GET', '/peers', '', ROOT, without as ReturnType<typeof sources>);
  assert.match(peersText(found, SCREEN), /no identity/);
});

test('asking another router takes who may change something, and a question that there is', () => {
  const body = JSON.stringify({ whom: 'attic', what: 'status' });
  assert.equal(ask('POST', '/peers/ask', body).ticket, '0123456789abcdef');
  assert.equal(ask('POST', '/peers/ask', body, { name: 'a guest', mayChange: false }).error.code, 'E_FORBIDDEN');
  assert.equal(ask('POST', '/peers/ask', '{"whom":"attic","what":"secrets"}').error.code, 'E_USAGE');
  assert.equal(ask('POST', '/peers/ask', '{"whom":"attic","what":"toString"}').error.code, 'E_USAGE');
});

test('metrics of sessions', () => {
  const metrics = new Metrics();
  collect(metrics, sources());
  const page = metrics.render();
  assert.match(page, /^peer_sessions\{hybrid="TLS"\} 1$/m);
  assert.match(page, /^peer_sessions\{hybrid="session"\} 0$/m);
  assert.match(page, /^peer_half_open 1$/m);
  assert.match(page, /^peer_queued_bytes 300$/m);
});
