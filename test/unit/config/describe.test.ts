/** What forms are told of the schema: all of it, in their shape, and nothing that reads like a name in a file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe } from '../../../agent/config/describe.ts';
import { type Option, REPEATED, ROWS } from '../../../agent/config/schema.ts';
import { mismatch } from '../../../agent/report/shape.ts';
import { options } from '../../../agent/report/shapes.ts';

test('every option is described, but for what the packages write', () => {
  const told = describe().flatMap(({ name, options }) => options.map((option) => `${name}.${option.name}`));
  const repeated = Object.entries(REPEATED).flatMap(([type, { options }]) =>
    Object.keys(options as Record<string, Option>).map((name) => `${type}.${name}`),
  );
  const all = [...ROWS.map(({ path }) => path), ...repeated].filter((path) => path !== 'file.format');
  assert.deepEqual(told.sort(), all.sort());
  assert.equal(mismatch(options.schema, { version: 1, sections: describe() }), null);
});

test('what people look for is first, and titles are words', () => {
  assert.equal(describe()[0]!.name, 'mesh');
  for (const { title, options } of describe())
    for (const one of [title, ...options.map((option) => option.title)]) {
      assert.match(one, /^[A-Z]/);
      assert.doesNotMatch(one, /_|\b(Ssh|X509|Mtu|Jwt|Psk|ips)\b/, one);
    }
});
