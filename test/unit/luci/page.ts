/**
 * A view of the LuCI app on as little of a browser as it takes to draw it: elements that a test can read, and an agent that it
 * plays. Looks, focus and LuCI itself are the lab suite's, which has Chromium.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VIEWS } from '../../../tools/luci/artefacts.ts';

const VIEWS_AT = join(import.meta.dirname, '..', '..', '..', VIEWS);

/** An element, or a text (nodeName '#text'). */
export class Shown {
  readonly nodeName: string;
  readonly nodeType: 1 | 3;
  nodeValue: string | null;
  parent: Shown | null = null;
  disabled = false;
  readonly childNodes: Shown[] = [];
  readonly #attributes = new Map<string, string>();
  readonly #listeners = new Map<string, (event: unknown) => unknown>();

  constructor(name: string, text: string | null = null) {
    this.nodeName = name;
    this.nodeType = text === null ? 1 : 3;
    this.nodeValue = text;
  }

  get attributes(): { name: string; value: string }[] {
    return [...this.#attributes].map(([name, value]) => ({ name, value }));
  }
  get children(): Shown[] {
    return this.childNodes.filter(({ nodeType }) => nodeType === 1);
  }
  get dataset(): { key?: string } {
    const key = this.#attributes.get('data-key');
    return key === undefined ? {} : { key };
  }
  get firstChild(): Shown | null {
    return this.childNodes[0] ?? null;
  }
  get nextSibling(): Shown | null {
    const beside = this.parent?.childNodes ?? [];
    return beside[beside.indexOf(this) + 1] ?? null;
  }
  get textContent(): string {
    return this.nodeValue ?? this.childNodes.map(({ textContent }) => textContent).join('');
  }
  set textContent(text: string) {
    for (const child of [...this.childNodes]) child.remove();
    this.appendChild(new Shown('#text', text));
  }

  /** Nothing is found: what is asked for by this is the browser's to have changed (a slider's place, a size). */
  querySelector = (): null => null;
  hasAttribute = (name: string): boolean => this.#attributes.has(name);
  getAttribute = (name: string): string | null => this.#attributes.get(name) ?? null;
  setAttribute(name: string, value: unknown): void {
    this.#attributes.set(name, String(value));
  }
  removeAttribute(name: string): void {
    this.#attributes.delete(name);
  }
  addEventListener(name: string, listener: (event: unknown) => unknown): void {
    this.#listeners.set(name, listener);
  }
  removeEventListener(name: string): void {
    this.#listeners.delete(name);
  }
  /** What the listener answers. */
  click(): unknown {
    return this.#listeners.get('click')?.({ currentTarget: this, target: this });
  }

  appendChild(child: Shown): Shown {
    return this.insertBefore(child, null);
  }
  insertBefore(child: Shown, at: Shown | null): Shown {
    child.remove();
    this.childNodes.splice(at === null ? this.childNodes.length : this.childNodes.indexOf(at), 0, child);
    child.parent = this;
    return child;
  }
  replaceWith(other: Shown): void {
    this.parent?.insertBefore(other, this);
    this.remove();
  }
  remove(): void {
    this.parent?.childNodes.splice(this.parent.childNodes.indexOf(this), 1);
    this.parent = null;
  }

  /** This and all elements in it, as they are read. */
  all(): Shown[] {
    return [this, ...this.children.flatMap((child) => child.all())];
  }
  /** The first one in it of this class; throws where there is none. */
  one(style: string): Shown {
    const found = this.all().find((one) => one.getAttribute('class')?.split(' ').includes(style));
    if (found === undefined) throw new Error(`nothing of class ${style} in: ${this.textContent}`);
    return found;
  }
}

/** What the agent answers to a method of ubus; throws as ubus would reject. */
export type Agent = Record<string, (...args: unknown[]) => unknown>;

interface Lib {
  trial(seconds: number | null, update: () => unknown): Shown;
  morph(old: Shown, fresh: Shown): Shown;
}

interface View {
  load(): Promise<unknown>;
  render(): Shown | Promise<Shown>;
  update(): Promise<unknown>;
  /** Settings'. */
  handleSave(): Promise<unknown>;
  /** The map's. */
  seek(age: number): void;
}

export interface Page {
  readonly lib: Lib;
  readonly view: View;
  /** How often the browser was told to load the page anew. */
  readonly reloads: { count: number };
}

/** `more`: what else of LuCI the view requires, by its name there. */
export function page(name: string, agent: Agent, more: Readonly<Record<string, unknown>> = {}): Page {
  Object.defineProperty(String.prototype, 'format', { value: format, configurable: true });
  const reloads = { count: 0 };
  const words = (text: string) => text;
  const document = {
    createElement: (tag: string) => new Shown(tag.toUpperCase()),
    createElementNS: (_: string, tag: string) => new Shown(tag),
    createTextNode: (text: string) => new Shown('#text', text),
    querySelector: () => null,
    getElementById: () => ({ clientWidth: 1000 }),
    documentElement: { lang: 'en' },
  };
  const luci: Record<string, unknown> = {
    ...{
      document,
      Node: Shown,
      Element: Shown,
      requestAnimationFrame() {},
      ResizeObserver: Idle,
      window: { _: words },
    },
    ...{ _: words, N_: (n: number, one: string, many: string) => (n === 1 ? one : many) },
    L: { hasViewPermission: () => true, url: (path: string) => `/${path}`, resource: (path: string) => `/${path}` },
    location: { hash: '', reload: () => void reloads.count++ },
    ui: { addNotification() {} },
    poll: { add() {} },
    rpc: {
      declare:
        ({ method }: { method: string }) =>
        async (...args: unknown[]) =>
          agent[method]!(...args),
    },
    ...{ baseclass: { extend: words }, view: { extend: words } },
    ...more,
  };
  const run = (module: string): unknown =>
    new Function(...Object.keys(luci), readFileSync(join(VIEWS_AT, `${module}.js`), 'utf8'))(...Object.values(luci));
  luci.lib = run('lib');
  luci.layout = run('layout');
  return { lib: luci.lib as Lib, view: run(name) as View, reloads };
}

class Idle {
  observe(): void {}
}

/** LuCI's, as far as the views use it. */
function format(this: string, ...args: unknown[]): string {
  let at = 0;
  return this.replace(/%[sdh]/g, () => String(args[at++]));
}
