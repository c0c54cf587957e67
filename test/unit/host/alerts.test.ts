import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Log } from '../../../agent/core/log.ts';
import { MS, SECOND } from '../../../agent/core/time.ts';
import type { Decision } from '../../../agent/core/words.ts';
import { alerting } from '../../../agent/daemon/alerts.ts';
import { type AlertOptions, Alerts, MOST_WAITING } from '../../../agent/host/alerts.ts';

const decision = (id: string): Decision => ({
  fault: {
    id,
    class: 'link-down',
    at: 0,
    interface: 'eth1',
    interfaceIndex: 5,
    peer: null,
    confidence: 1,
    evidence: [{ source: 'rtnetlink', what: 'the carrier is gone $(reboot)', at: 0 }],
    affected: [],
  },
  step: 'planned',
  at: 0,
  action: 'kick',
  alternatives: [],
  why: 'because',
  result: null,
});

function scene(t: TestContext, over: Partial<AlertOptions>) {
  const logged: string[] = [];
  const log = new Log('info', (line) => void logged.push(line));
  const alerts = new Alerts({ command: [], url: '', timeoutNs: 10 * SECOND, node: 'r1', log, wall: () => 0, ...over });
  t.after(() => alerts.close());
  return { alerts, logged };
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !holds(); i++) await sleep(10);
  assert.ok(holds());
}

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'x0-alerts-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

test('a command gets each entry on its standard input, one at a time, in their order, without a shell', async (t) => {
  const dir = folder(t);
  const [out, script] = [join(dir, 'out'), join(dir, 'handler.sh')];
  writeFileSync(out, '');
  writeFileSync(script, 'echo "begin $2" >> "$1"; cat >> "$1"; echo end >> "$1"\n');
  const { alerts, logged } = scene(t, { command: ['/bin/sh', script, out, '$(id)'] });
  for (const id of ['e1-f1', 'e1-f2']) alerts.take(decision(id));
  await until(() => readFileSync(out, 'utf8').split('end\n').length === 3);
  const lines = readFileSync(out, 'utf8').trim().split('\n');
  assert.deepEqual([lines[0], lines[2], lines[3], lines[5]], ['begin $(id)', 'end', 'begin $(id)', 'end']);
  assert.deepEqual(
    [lines[1], lines[4]].map((line) => JSON.parse(line!).fault),
    ['e1-f1', 'e1-f2'],
  );
  assert.equal(JSON.parse(lines[1]!).evidence[0].what, 'the carrier is gone $(reboot)');
  assert.deepEqual(logged, []);
});

test('a handler that hangs, fails or is not there is named, and the next entry comes to its turn', async (t) => {
  const slow = scene(t, { command: ['/bin/sleep', '60'], timeoutNs: 100 * MS });
  for (let i = 0; i < 2; i++) slow.alerts.take(decision(`e1-f${i}`));
  await until(() => slow.logged.filter((line) => line.includes('took longer than 100 ms')).length === 2);
  const dir = folder(t);
  const script = `sleep 60 & echo $! > ${join(dir, 'pid')}; wait`;
  const shell = scene(t, { command: ['/bin/sh', '-c', script], timeoutNs: 500 * MS });
  shell.alerts.take(decision('e1-f0'));
  await until(() => shell.logged.some((line) => line.includes('took longer than 500 ms')));
  const left = Number(readFileSync(join(dir, 'pid'), 'utf8'));
  await until(() => !existsSync(`/proc/${left}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${left}/status`, 'utf8')));
  const bad = scene(t, { command: ['/bin/false'] });
  bad.alerts.take(decision('e1-f1'));
  await until(() => bad.logged.some((line) => line.includes('ended with 1')));
  const none = scene(t, { command: ['/no/such/program'] });
  none.alerts.take(decision('e1-f1'));
  await until(() => none.logged.some((line) => line.includes('cannot be run')));
});

test('a hook is posted to; what it answers with trouble is named', async (t) => {
  const got: string[] = [];
  let status = 200;
  const server = createServer((asked, answer) => {
    let body = '';
    asked.on('data', (part) => {
      body += part;
    });
    asked.on('end', () => {
      got.push(body);
      answer.writeHead(status).end('fine');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=secret`;
  const { alerts, logged } = scene(t, { url });
  alerts.take(decision('e1-f1'));
  await until(() => got.length === 1);
  assert.equal(JSON.parse(got[0]!).class, 'link-down');
  status = 500;
  alerts.take(decision('e1-f2'));
  await until(() => logged.some((line) => line.includes('answered 500')));
  assert.ok(!logged.join().includes('secret'));
});

test('what waits is bounded: the oldest are dropped, counted, and said once', async (t) => {
  const { alerts, logged } = scene(t, { command: ['/bin/sleep', '60'], timeoutNs: SECOND });
  for (let i = 0; i < MOST_WAITING + 11; i++) alerts.take(decision(`e1-f${i}`));
  assert.equal(alerts.dropped, 10);
  assert.equal(logged.length, 1);
});

test('what happens while the handlers are loaded reaches them, and none but those that count then', async (t) => {
  const got: { path: string; fault: string }[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (part) => {
      text += part;
    });
    request.on('end', () => {
      got.push({ path: request.url ?? '', fault: (JSON.parse(text) as { fault: string }).fault });
      response.end();
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const to = (path: string) => ({
    alert: { command: [], url: path === '' ? '' : `http://127.0.0.1:${port}/${path}`, timeout: 10 * SECOND },
  });
  const alerts = alerting('r1', new Log('error', () => {}));
  alerts.take(decision('e1-f0'));
  alerts.open(to('first'));
  alerts.take(decision('e1-f1'));
  alerts.open(to('second'));
  alerts.take(decision('e1-f2'));
  await until(() => got.length === 2);
  alerts.take(decision('e1-f3'));
  await until(() => got.length === 3);
  assert.deepEqual(
    got,
    ['e1-f1', 'e1-f2', 'e1-f3'].map((fault) => ({ path: '/second', fault })),
  );
  alerts.open(to('third'));
  alerts.open(to(''));
  alerts.take(decision('e1-f4'));
  await sleep(50);
  assert.equal(got.length, 3, 'nobody is configured any more');
});

test('what waits when the file is read again goes to the new handlers', async (t) => {
  const dir = folder(t);
  const [out, script] = [join(dir, 'out'), join(dir, 'handler.sh')];
  writeFileSync(out, '');
  writeFileSync(script, 'sleep 0.2; echo "$2 $(cat)" >> "$1"\n');
  const to = (name: string) => ({ alert: { command: ['/bin/sh', script, out, name], url: '', timeout: 10 * SECOND } });
  const alerts = alerting('r1', new Log('error', () => {}));
  assert.equal(alerts.isBusy, false);
  alerts.open(to('first'));
  assert.equal(alerts.isBusy, true, 'being loaded');
  for (const id of ['e1-f1', 'e1-f2', 'e1-f3']) alerts.take(decision(id));
  await sleep(100);
  alerts.open(to('second'));
  await until(() => !alerts.isBusy && readFileSync(out, 'utf8').split('\n').length === 4);
  const told = readFileSync(out, 'utf8').trim().split('\n');
  assert.deepEqual(told.map((line) => `${line.split(' ')[0]} ${/"fault":"([^"]+)"/.exec(line)?.[1]}`).sort(), [
    'first e1-f1',
    'second e1-f2',
    'second e1-f3',
  ]);
});
