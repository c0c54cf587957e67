/** What LuCI's form of the settings makes of a file that somebody wrote by hand: nothing of it may change unasked. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describe } from '../../../agent/config/describe.ts';
import { readBool } from '../../../agent/config/schema.ts';
import { VIEWS } from '../../../tools/luci/artefacts.ts';

type File = Readonly<Record<string, Readonly<Record<string, string>>>>;

interface Shown {
  readonly keys: string[];
  cfgvalue(section: string): string | null;
  write(section: string, value: string): unknown;
}

interface View {
  load(): Promise<void>;
  render(): Promise<unknown>;
}

/** The view over this file, with what it needs of LuCI: its options by section.option, and what they write. */
async function form(file: File): Promise<{ readonly options: Map<string, Shown>; readonly written: string[] }> {
  const options = new Map<string, Shown>();
  const written: string[] = [];
  class Value {
    readonly keys: string[] = [];
    readonly name: string;
    constructor(name: string) {
      this.name = name;
    }
    value(key: string): void {
      this.keys.push(key);
    }
    cfgvalue(section: string): string | null {
      return file[section]?.[this.name] ?? null;
    }
    write(section: string, value: string): void {
      written.push(`${section}.${this.name}=${value}`);
    }
  }
  class Flag extends Value {}
  class ListValue extends Value {}
  class DynamicList extends Value {}
  class Form {
    section(_kind: unknown, section: string) {
      return {
        option(Kind: typeof Value, name: string) {
          const made = new Kind(name);
          options.set(`${section}.${name}`, made);
          return made;
        },
      };
    }
    render = async () => null;
  }
  const uci = {
    load: async () => {},
    add() {},
    get: (_: string, section: string, option?: string) =>
      option === undefined ? (file[section] ?? null) : (file[section]?.[option] ?? null),
    sections: (_: string, type?: string) =>
      Object.entries(file)
        .filter(([name]) => type === undefined || name === type)
        .map(([name, said]) => ({ '.type': name, '.name': name, ...said })),
  };
  const lib = {
    el: () => ({}),
    clean: (text: string) => text,
    ask: async () => ({ sections: describe() }),
    onTrial: async () => null,
    trial: () => null,
    keep() {},
    bare: () => null,
  };
  const words = (text: string) => text;
  Object.defineProperty(String.prototype, 'format', { value: words, configurable: true });
  const source = readFileSync(join(VIEWS_AT, 'settings.js'), 'utf8');
  const view = new Function('view', 'form', 'uci', 'rpc', 'lib', 'window', '_', 'L', source)(
    { extend: (members: View) => members },
    { Map: Form, Value, Flag, ListValue, DynamicList },
    uci,
    { declare: () => async () => file },
    lib,
    { _: words },
    words,
    { hasViewPermission: () => true },
  ) as View;
  await view.load();
  await view.render();
  return { options, written };
}

const VIEWS_AT = join(import.meta.dirname, '..', '..', '..', VIEWS);

test('every word that UCI has for yes and no is shown as what it means, and stays until somebody changes it', async () => {
  for (const word of ['1', 'on', 'true', 'yes', 'enabled', '0', 'off', 'false', 'no', 'disabled']) {
    const { options, written } = await form({
      beacon: { enabled: word },
      heal: { detach: word },
      bpf: { enabled: word },
    });
    const [is, other] = readBool(word) ? ['1', '0'] : ['0', '1'];
    for (const path of ['beacon.enabled', 'heal.detach', 'bpf.enabled']) {
      const [section] = path.split('.') as [string];
      const option = options.get(path)!;
      assert.equal(option.cfgvalue(section), is, `${path} '${word}'`);
      option.write(section, is);
      assert.deepEqual(written.splice(0), [], `${path} '${word}': nobody changed it`);
      option.write(section, other);
      assert.deepEqual(written.splice(0), [`${path}=${other}`]);
    }
  }
});

test('a choice that there is not is shown as it is, and is for the agent to refuse', async () => {
  const { options, written } = await form({ heal: { mode: 'obsrve' } });
  const mode = options.get('heal.mode')!;
  assert.equal(mode.cfgvalue('heal'), 'obsrve');
  assert.deepEqual(mode.keys, ['off', 'observe', 'act', 'obsrve']);
  mode.write('heal', 'act');
  assert.deepEqual(written, ['heal.mode=act'], 'the default, too, where the file says something else');
});

test('what the file does not say gets into it only where it is changed', async () => {
  const { options, written } = await form({});
  for (const [path, value] of [
    ['heal.mode', 'act'],
    ['heal.detach', '1'],
    ['beacon.enabled', '0'],
  ] as const)
    options.get(path)!.write(path.split('.')[0]!, value);
  assert.deepEqual(written, []);
  options.get('heal.detach')!.write('heal', '0');
  assert.deepEqual(written, ['heal.detach=0']);
});
