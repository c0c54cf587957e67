/** What a person, a program or an attacker may send to each call: refused by an error that names the field, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { answer, CALLS } from '../../../agent/report/api.ts';
import { FAULT, sources } from './fixture.ts';

const caller = { name: 'uid 0 (pid 1)', mayChange: true };
const HOSTILE = [
  '',
  ' ',
  '\x00',
  '\x1b[2J\x1b]0;owned\x07',
  '\u202e\u2066',
  '<script>alert(1)</script>',
  '../../etc/passwd',
  '$(reboot)',
  '__proto__',
  'NaN',
  '-1',
  '1e9',
  '9007199254740993',
  '0x10',
  '1.5',
  '٣',
  'a'.repeat(100_000),
];
const WRONG_TYPES: readonly unknown[] = [0, -1, 1.5, 1e300, true, [], ['act'], {}, { toString: 'x' }, [[[[]]]]];

function ask(method: string, url: string, body = '') {
  const from = sources();
  const found = answer(from, { method, url, body, caller });
  const message =
    found.type === 'application/json' ? (JSON.parse(found.body).error?.message as string | undefined) : undefined;
  return { status: found.status, message, asked: from.asked, length: found.body.length };
}

for (const { method, path, query = [], body = [] } of CALLS) {
  const url = path.replace('{id}', FAULT.id);

  test(`${method} ${path}: what it does not take is named`, () => {
    for (const name of ['strange', '__proto__', 'constructor', '\x1b[1m', '<b>', 'x'.repeat(5000)]) {
      const sent = encodeURIComponent(name);
      const shown = name.length > 80 ? 'xxxxxxx' : name.replaceAll(/[^\x20-\x7e]/g, '?');
      const wrong = ask(method, `${url}?${sent}=1`);
      assert.equal(wrong.status, 400, name);
      assert.ok(wrong.message!.startsWith(shown), wrong.message);
      assert.ok(wrong.message!.length < 300 && /^[\x20-\x7e]*$/.test(wrong.message!));
      if (method !== 'POST') continue;
      const stranger = ask(method, url, `{${JSON.stringify(name)}: 1}`);
      assert.equal(stranger.status, 400, name);
      assert.ok(stranger.message!.startsWith(shown), stranger.message);
      assert.deepEqual(stranger.asked, []);
    }
  });

  for (const { name } of query)
    test(`${method} ${path}: ${name} of any kind is taken or named`, () => {
      for (const value of HOSTILE) {
        const { status, message } = ask(method, `${url}?${name}=${encodeURIComponent(value)}`);
        assert.equal(status, 400, value.slice(0, 40));
        assert.match(message!, new RegExp(`^${name}: expected `));
      }
      // Which of the two counts nobody could know.
      assert.equal(ask(method, `${url}?${name}=1&${name}=2`).message, `${name}: given more than once`);
    });

  for (const { name, type } of body)
    test(`${method} ${path}: ${name} of any kind is taken or named`, () => {
      const proper = (value: unknown) =>
        type === 'string'
          ? typeof value === 'string'
          : type === 'array'
            ? Array.isArray(value)
            : Number.isSafeInteger(value);
      const others = Object.fromEntries(body.filter((one) => one.name !== name).map((one) => [one.name, null]));
      for (const value of [...HOSTILE, ...WRONG_TYPES]) {
        const { status, message, asked, length } = ask(method, url, JSON.stringify({ ...others, [name]: value }));
        const what = `${JSON.stringify(value).slice(0, 60)}: ${status} ${message}`;
        assert.deepEqual(asked, [], 'nothing was asked of the machines');
        assert.ok(length < 300_000);
        if (!proper(value)) assert.ok(status === 400 && message!.startsWith(`${name}: expected `), what);
        else if (status === 404) assert.ok(message!.length < 200, what);
        else if (status === 200) assert.ok(path === '/config/check' && name === 'text', what);
        // Of its own type it may be the other member that is missing, or a part of the agent that is switched off.
        else
          assert.ok(
            body.some((one) => message!.startsWith(`${one.name}: `)) || message!.startsWith('this agent '),
            what,
          );
      }
    });
}

test('any body at all: answered, and nothing throws', () => {
  const posts = CALLS.filter(({ method }) => method === 'POST');
  const names = fc.constantFrom(...posts.flatMap(({ body = [] }) => body.map(({ name }) => name)));
  fc.assert(
    fc.property(
      fc.constantFrom(...posts.map(({ path }) => path)),
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.dictionary(names, fc.anything()).map((value) => JSON.stringify(value) ?? ''),
      ),
      (path, body) => {
        const { status, message } = ask('POST', path, body);
        assert.ok([200, 400, 404].includes(status), `${status} ${message}`);
        assert.ok(message === undefined || /^[\x20-\x7e]*$/.test(message), message);
      },
    ),
    { numRuns: 500 },
  );
});
