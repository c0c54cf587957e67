import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describe } from '../../../agent/config/describe.ts';
import { APP, LANGUAGES, texts } from '../../../tools/luci/artefacts.ts';
import { formsOf, merge, messagesOf, readPo, template } from '../../../tools/luci/po.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');

test('texts are found as LuCI looks them up, and what cannot be read is refused', () => {
  const source = `_('one'); x = _( 'it\\'s  two' ).format(1); N_(list.length, '%d thing', '%d things'); __('no'); obj._('no');`;
  const found = messagesOf([{ path: 'a.js', source }]);
  assert.deepEqual(
    found.map(({ id, plural }) => [id, plural]),
    [
      ['one', null],
      ["it's two", null],
      ['%d thing', '%d things'],
    ],
  );
  for (const bad of ["_('a' + b)", '_("double")', '_(`tick`)', '_(name)', "N_(2, 'only one')"])
    assert.throws(
      () => messagesOf([{ path: 'a.js', source: `\n${bad}` }]),
      /a\.js:2: only a text in single quotes/,
      bad,
    );
});

test('a .po file keeps what is translated, loses what is gone, and has a place for what is new', () => {
  const messages = messagesOf([{ path: 'a.js', source: `_('stays "so"'); _('new'); N_(n, '%d a', '%d b')` }]);
  const old = [
    'msgid ""',
    'msgstr ""',
    '"Plural-Forms: nplurals=3; plural=0;\\n"',
    '',
    '#: x',
    'msgid "stays \\"so\\""',
    'msgstr "bleibt "',
    '"so\\\\"',
    '',
    'msgid "gone"',
    'msgstr "weg"',
    '',
  ].join('\n');
  const merged = merge(old, messages);
  assert.equal(merge(merged, messages), merged, 'a second time changes nothing');
  const { texts: kept } = readPo(merged);
  assert.deepEqual([...kept.keys()], ['stays "so"', 'new', '%d a']);
  assert.deepEqual(kept.get('stays "so"'), ['bleibt so\\']);
  assert.deepEqual(kept.get('%d a'), ['', '', '']);
  assert.deepEqual([...readPo(template(messages)).texts.values()], [[''], [''], ['', '']]);
  assert.throws(() => readPo('msgid "a"\nnonsense'), /line 2 is none of a \.po file/);
});

/** %s and %d of a text, in their order. */
const places = (text: string): string => (text.match(/%[sd%]/g) ?? []).join(' ');

for (const language of LANGUAGES)
  test(`the translation into ${language} says everything, with the same places for figures`, () => {
    const catalogue = readPo(readFileSync(join(ROOT, APP, 'po', language, 'x0tta6bl4.po'), 'utf8'));
    const waiting: string[] = [];
    for (const { id, plural } of texts()) {
      const forms = catalogue.texts.get(id) ?? [];
      assert.equal(forms.length, plural === null ? 1 : formsOf(catalogue), id);
      if (forms.some((form) => form === '')) {
        waiting.push(id);
        continue;
      }
      for (const [n, form] of forms.entries()) {
        const wanted = [places(id), ...(plural === null ? [] : [places(plural)])];
        assert.ok(wanted.includes(places(form)), `${id}: ${form}`);
        assert.equal(form.trim(), form, id);
        // A second language that is the first one is none; names and signs are.
        if (/[a-z]{3,} [a-z]{3,}/.test(id)) assert.notEqual(form, id, `${n}`);
      }
    }
    assert.deepEqual(waiting, [], 'not translated');
  });

test('what Settings says of an option is never cut off, in any language', () => {
  for (const language of [null, ...LANGUAGES]) {
    const known = language && readPo(readFileSync(join(ROOT, APP, 'po', language, 'x0tta6bl4.po'), 'utf8')).texts;
    // As lib.clean() of the app cuts it.
    for (const { title, help } of describe().flatMap((section) => [section, ...section.options]))
      for (const [text, most] of [
        [title, 48],
        [help, 400],
      ] as const)
        assert.ok((known ? (known.get(text)?.[0] ?? '') : text).length <= most, `${language}: ${text}`);
  }
});
