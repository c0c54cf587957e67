import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_FILE, MAX_LINE, MAX_VALUE, quote, UciDocument, type UciValue } from '../../../agent/config/uci.ts';
import { AgentError } from '../../../agent/core/errors.ts';

const DATA = new URL('../../data/uci/', import.meta.url);
const SHAPES = readdirSync(DATA).filter((name) => !name.includes('.'));

type Plain = [type: string, name: string, options: Record<string, UciValue>][];

function plain(doc: UciDocument): Plain {
  return doc.sections().map((s) => [s.type, s.name ?? '', Object.fromEntries(s.values())]);
}

function refused(source: string | Uint8Array): AgentError {
  try {
    UciDocument.parse(source, 'f');
  } catch (thrown) {
    assert.ok(thrown instanceof AgentError && thrown.code === 'E_CONFIG_SYNTAX', String(thrown));
    return thrown;
  }
  assert.fail('parsed');
}

test('reads as libuci does: vectors that libuci itself answered (null: it refuses)', () => {
  const vectors = JSON.parse(readFileSync(new URL('libuci.json', DATA), 'utf8')) as [string, Plain | null][];
  assert.ok(vectors.length > 200);
  for (const [text, expected] of vectors) {
    if (expected === null) refused(text);
    else {
      const doc = UciDocument.parse(text, 'f');
      assert.deepEqual(plain(doc), expected, JSON.stringify(text));
      assert.equal(doc.toString(), text);
    }
  }
});

test("files of OpenWrt's own shapes come back byte for byte", () => {
  assert.deepEqual(SHAPES.toSorted(), ['firewall', 'network', 'system', 'wireless']);
  for (const name of SHAPES) {
    const bytes = readFileSync(new URL(name, DATA));
    assert.deepEqual(Buffer.from(UciDocument.parse(bytes, name).toBytes()), bytes, name);
  }
  const read = (name: string) => UciDocument.parse(readFileSync(new URL(name, DATA)), name);
  assert.equal(read('wireless').get('default_radio0', 'ssid'), "Café 'Mitte'");
  assert.equal(read('wireless').get('default_radio0', 'key'), 'it\'s a "secret" #1; really');
  assert.deepEqual(read('network').sections('device')[0]?.get('ports'), ['lan1', 'lan2', 'bat0']);
  assert.match(String(read('system').sections('system')[0]?.get('notes')), /^Attic, [^,]*Ada\.\n\nDo not reset\.$/);
  assert.equal(read('firewall').sections('rule')[0]?.get('dest_port'), '68');
});

test('what is no UCI is refused with file, line and what was expected, and without quoting the text', () => {
  const cases: [string, number, RegExp][] = [
    ['option a b\n', 1, /config line before/],
    ['config a\n\nfoo bar\n', 3, /config, option, list, package/],
    ["config a\n\toption key 'geheim\n\n", 2, /closing '/],
    ['config a\n\toption key geheim geheim\n', 2, /end of the line/],
    ['config a\n\toption ge-heim 1\n', 2, /letters, digits and _/],
    ['config a ge-heim\n', 1, /section name/],
    ["config a\n\toption ''\n", 2, /a name behind option/],
    ['config a n\nconfig b n\n', 2, /type .* line 1/],
    ['config a\noption x "a\0geheim"\n', 2, /NUL/],
    [`config a\noption x ${'y'.repeat(MAX_LINE)}\n`, 2, /line of at most/],
    ['#'.repeat(MAX_FILE + 1), 1, /file of at most/],
    ['\ufeffconfig a\n', 1, /config, option.* no byte order mark/],
  ];
  for (const [text, line, expected] of cases) {
    const { detail, message } = refused(text);
    assert.equal(detail.file, 'f');
    assert.equal(detail.line, line, message);
    assert.match(String(detail.expected), expected);
    assert.ok(message.startsWith(`f:${line}: expected `));
    assert.ok(!message.includes('heim'), message);
  }
});

/** Text rich in what the syntax is made of. */
const soup = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'config ',
        'option ',
        'list ',
        'package ',
        "'",
        '"',
        '\\',
        '\n',
        '\r\n',
        ' ',
        '\t',
        ';',
        ' ; ',
        '#',
      ),
      fc.constantFrom(
        'a',
        'b',
        "''",
        'config t n\n',
        "\toption a 'b'\n",
        '\tlist l x\n',
        "option a 'b'; option c d # e\n",
      ),
      fc.string({ unit: 'binary', maxLength: 3 }),
    ),
    { maxLength: 24 },
  )
  .map((parts) => parts.join(''));

test('random bytes and near-UCI never crash, and what parses is written back as it was', () => {
  const check = (source: Uint8Array | string) => {
    try {
      const doc = UciDocument.parse(source, 'f');
      if (typeof source === 'string') assert.equal(doc.toString(), source);
      else assert.deepEqual(doc.toBytes(), source);
    } catch (thrown) {
      if (!(thrown instanceof AgentError)) throw thrown;
      assert.equal(thrown.code, 'E_CONFIG_SYNTAX');
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 2000 });
  fc.assert(fc.property(soup, check), { numRuns: 5000 });
  // Comments and quotes take any bytes: here the file always parses, invalid UTF-8 included.
  const inside = fc.uint8Array({ maxLength: 60 }).map((b) => b.filter((c) => c !== 0 && c !== 0x27));
  fc.assert(
    fc.property(inside, (bytes) => {
      const source = Buffer.concat([Buffer.from("config a n\noption x '"), bytes, Buffer.from("'\n")]);
      assert.deepEqual(Buffer.from(UciDocument.parse(source, 'f').toBytes()), source);
    }),
  );
});

test('hostile input costs linear time', () => {
  const started = performance.now();
  for (const unit of [
    'config a\n',
    'l a b\n',
    'o a b;',
    'l a \\\n',
    "l a ''\\\n",
    '#',
    '"',
    'c t n\n',
    "l a 'b';",
    '\xff',
  ]) {
    const body = `c t n\n${unit.repeat(Math.floor(500_000 / unit.length))}`;
    try {
      for (const s of UciDocument.parse(Buffer.from(body, 'latin1'), 'f').sections()) s.values();
    } catch (thrown) {
      assert.ok(thrown instanceof AgentError);
    }
  }
  assert.ok(performance.now() - started < 5000);
});

const value = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).map((s) => s.replaceAll('\0', '') || 'x');
const nasty = fc.oneof(
  value,
  fc.string({ unit: fc.constantFrom("'", '"', '\\', '\n', ' ', '#', ';', 'a', '\r'), minLength: 1 }),
);

test('parse(write(x)) = x for arbitrary values', () => {
  fc.assert(
    fc.property(nasty, fc.array(nasty, { minLength: 1, maxLength: 5 }), (one, many) => {
      const doc = UciDocument.parse('', 'f');
      const section = doc.addSection('t', 'n');
      doc.set(section, 'one', one);
      doc.set(section, 'many', many);
      const again = UciDocument.parse(doc.toBytes(), 'f');
      assert.equal(again.get('n', 'one'), one);
      assert.deepEqual(again.get('n', 'many'), many);
    }),
    { numRuns: 1000 },
  );
});

test('an edit changes its option and nothing else, in any file that parses', () => {
  let parsed = 0;
  const edit = fc.record({
    option: fc.constantFrom('a', 'c', 'l', 'fresh'),
    value: fc.option(fc.oneof(nasty, fc.array(nasty, { maxLength: 3 }))),
  });
  fc.assert(
    fc.property(soup, fc.array(edit, { minLength: 1, maxLength: 3 }), (body, edits) => {
      let doc: UciDocument;
      try {
        doc = UciDocument.parse(`config t n\n${body}`, 'f');
      } catch {
        return;
      }
      parsed++;
      const expected = plain(doc);
      const section = doc.section('n')!;
      const options = expected.find(([, name]) => name === 'n')![2];
      for (const { option, value } of edits) {
        if (value === null) doc.remove(section, option);
        else doc.set(section, option, value);
        if (value === null || value.length === 0) delete options[option];
        else options[option] = value;
        assert.deepEqual(plain(doc), expected);
      }
      doc.addSection('added', 'added');
      assert.deepEqual(
        plain(UciDocument.parse(doc.toBytes(), 'f')),
        [...expected, ['added', 'added', {}]],
        doc.toString(),
      );
      doc.removeSection(section);
      const rest = expected.filter(([, name]) => name !== 'n');
      assert.deepEqual(plain(UciDocument.parse(doc.toBytes(), 'f')), [...rest, ['added', 'added', {}]], doc.toString());
    }),
    { numRuns: 10000 },
  );
  assert.ok(parsed > 500, `${parsed} files parsed`);
});

test('an edited file keeps comments, blanks, order and the quoting of every other line', () => {
  const text = readFileSync(new URL('firewall', DATA), 'utf8');
  const doc = UciDocument.parse(text, 'firewall');
  const rule = doc.sections('rule')[0]!;
  doc.set(rule, 'dest_port', '546');
  assert.equal(doc.toString(), text.replace('68\t#', "'546'\t#"));
  doc.set(rule, 'dest_port', '546');
  doc.set(rule, 'enabled', '0');
  doc.set(doc.sections('zone')[1]!, 'network', ['wan', 'wwan', "l'an"]);
  assert.equal(
    doc.toString(),
    text
      .replace('68\t#', "'546'\t#")
      .replace('ipv4\n', "ipv4\n\toption enabled '0'\n")
      .replace("'wan6'\n", `'wwan'\n\tlist network ${quote("l'an")}\n`),
  );
});

test('what UCI cannot carry is not written', () => {
  const doc = UciDocument.parse("config t 'n'\n", 'f');
  const section = doc.section('n')!;
  const code = { code: 'E_CONFIG_VALUE' };
  assert.throws(() => doc.set(section, 'a-b', 'x'), code);
  assert.throws(() => doc.set(section, 'a', 'x\0'), code);
  assert.throws(() => doc.set(section, 'a', ['x'.repeat(MAX_VALUE + 1)]), code);
  assert.throws(() => doc.addSection('u', 'n'), code);
  assert.throws(() => doc.addSection('a b'), code);
  assert.equal(doc.toString(), "config t 'n'\n");
});
