/**
 * A router's web server as far as the LuCI app needs one: the app's own files, LuCI's client API (the small one of this
 * folder, or a real LuCI's where X0_LUCI names a checkout of its sources), and ubus over JSON-RPC. The object `x0tta6bl4`
 * is the plugin's, with rpcd's checks and ACLs before it; `uci` is a file.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { quote, UciDocument } from '../../agent/config/uci.ts';
import { APP } from '../../tools/luci/artefacts.ts';
import { METHODS, OBJECT } from '../../tools/luci/methods.ts';
import { type Args, type Plugin, refusal } from '../../tools/luci/plugin.ts';
import { readPo } from '../../tools/luci/po.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
const MENU = ['status', 'map', 'repairs', 'settings', 'join'];
/** A checkout of LuCI: nothing of it is in this repository. */
const REAL = process.env.X0_LUCI;

type Sections = Record<string, Record<string, string | string[]>>;

export interface ServerOptions {
  readonly plugin: Plugin;
  /** /etc/config/x0tta6bl4 */
  readonly config: string;
  /** Answers in place of the plugin, by method. */
  readonly instead?: Readonly<Record<string, (args: Args) => unknown>>;
}

export class Server {
  /** What was asked of the object, in order; tests look at it. */
  readonly asked: { method: string; args: Args }[] = [];
  readonly options: ServerOptions;
  /** A login that may only look. */
  readonly = false;
  /** The plugin is not installed. */
  absent = false;
  instead: Readonly<Record<string, (args: Args) => unknown>>;
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #uci: Sections;

  constructor(options: ServerOptions) {
    this.options = options;
    this.instead = options.instead ?? {};
    this.#uci = {};
    const document = UciDocument.parse(readFileSync(options.config), options.config);
    for (const section of document.sections())
      this.#uci[section.name!] = {
        '.type': section.type,
        '.name': section.name!,
        ...Object.fromEntries(
          [...section.values()].map(([key, value]) => [key, typeof value === 'string' ? value : [...value]]),
        ),
      };
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://router');
    try {
      if (request.method === 'POST') {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const asked = JSON.parse(Buffer.concat(chunks).toString()) as Call | Call[];
        const answer = Array.isArray(asked)
          ? await Promise.all(asked.map((one) => this.#call(one)))
          : await this.#call(asked);
        return send(response, 200, 'application/json', JSON.stringify(answer));
      }
      if (url.pathname.startsWith('/luci-static/')) return serveFile(response, url.pathname);
      const page = /^\/cgi-bin\/luci\/admin\/services\/x0tta6bl4\/(\w+)$/.exec(url.pathname);
      if (page === null) return send(response, 404, 'text/plain', 'not found');
      send(response, 200, 'text/html; charset=utf-8', this.#page(page[1]!, url.searchParams));
    } catch (thrown) {
      send(response, 500, 'text/plain', String((thrown as Error).stack));
    }
  }

  /** What LuCI's dispatcher makes of a view: the frame, the menu, and a script that loads it. */
  #page(view: string, query: URLSearchParams): string {
    const env = {
      token: '0'.repeat(32),
      media: '/luci-static/bootstrap',
      resource: '/luci-static/resources',
      base_url: '/luci-static/resources',
      scriptname: '/cgi-bin/luci',
      pathinfo: `/admin/services/x0tta6bl4/${view}`,
      ubuspath: '/ubus',
      sessionid: '0'.repeat(32),
      pollinterval: 5,
      requestpath: ['admin', 'services', 'x0tta6bl4', view],
      dispatchpath: ['admin', 'services', 'x0tta6bl4', view],
      nodespec: { satisfied: true, readonly: this.readonly },
      apply_rollback: 30,
      apply_holdoff: 1,
      apply_timeout: 5,
      apply_display: 1,
      rollback_token: null,
      tickms: Number(query.get('tick') ?? 1000),
    };
    const dark = query.get('dark') === '1';
    const language = query.get('lang') ?? 'en';
    const menu = MENU.map((one) => `<a href="/cgi-bin/luci/admin/services/x0tta6bl4/${one}">${one}</a>`).join(' ');
    const head =
      REAL === undefined
        ? `<link rel="stylesheet" href="/luci-static/page/page.css"><script>window.X0_ENV = ${JSON.stringify(env)};${translations(language)}</script><script src="/luci-static/page/luci.js"></script>`
        : `<link rel="stylesheet" href="/luci-static/bootstrap/cascade.css"><link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/bootstrap/mobile.css"><script src="/luci-static/resources/cbi.js"></script><script src="/luci-static/resources/luci.js"></script><script>L = new LuCI(${JSON.stringify(env)});</script>`;
    const start =
      REAL === undefined
        ? `L.require('view.x0tta6bl4.${view}')`
        : `L.require('ui').then(ui => ui.instantiateView('x0tta6bl4/${view}'))`;
    return `<!DOCTYPE html><html lang="${language}" data-darkmode="${dark}"><head><meta charset="utf-8"><title>x0tta6bl4</title>
<meta name="viewport" content="width=device-width, initial-scale=1">${head}</head>
<body><header><div id="indicators"></div>${menu}</header><div id="maincontent" class="container"><div id="view"></div></div>
<script>${start}</script></body></html>`;
  }

  async #call({ id, method, params }: Call): Promise<unknown> {
    if (method !== 'call') return { jsonrpc: '2.0', id, result: {} };
    const [, object, name, args = {}] = params;
    const ok = (...result: unknown[]) => ({ jsonrpc: '2.0', id, result });
    const refused = (code: number, message: string) => ({ jsonrpc: '2.0', id, error: { code, message } });
    if (object === 'session') return ok(0, { access: !this.readonly });
    if (object === 'luci') return ok(0, {});
    if (object === 'file') return ok(0, { entries: [] });
    if (object === 'uci') return ok(...this.#change(name, args));
    if (object !== OBJECT || this.absent) return refused(-32000, 'Object not found');
    const own = this.instead[name];
    const row = METHODS.find((one) => one.name === name);
    if (row?.changing === true && this.readonly) return refused(-32002, 'Access denied');
    const status = refusal(row, args);
    if (status !== 0) return ok(status);
    this.asked.push({ method: name, args });
    return ok(0, own !== undefined ? own(args) : await this.options.plugin.call(name, args));
  }

  #change(name: string, args: Args): unknown[] {
    const { config, section, option, options, values, type } = args as unknown as {
      config: string;
      section: string;
      option?: string;
      options?: string[];
      values?: Record<string, string>;
      type: string;
    };
    if (config === 'luci') return [0, { values: {} }];
    const key = section ?? (args.name as string);
    switch (name) {
      case 'get':
        return [0, { values: this.#uci }];
      case 'set':
        Object.assign(this.#uci[section]!, values);
        return [0];
      case 'add':
        this.#uci[key] = { '.type': type, '.name': key, ...values };
        return [0, { section: key }];
      case 'delete':
        for (const one of options ?? [option!]) delete this.#uci[section]![one];
        return [0];
      case 'changes':
        return [0, { changes: {} }];
      case 'apply':
        this.#write();
        return [0];
      default:
        return [0];
    }
  }

  #write(): void {
    const text = Object.entries(this.#uci).map(([name, values]) => {
      const lines = Object.entries(values)
        .filter(([key]) => !key.startsWith('.'))
        .flatMap(([key, value]) =>
          typeof value === 'string'
            ? [`\toption ${key} ${quote(value)}`]
            : value.map((one) => `\tlist ${key} ${quote(one)}`),
        );
      return [`config ${values['.type'] as string} ${quote(name)}`, ...lines, ''].join('\n');
    });
    writeFileSync(this.options.config, text.join('\n'));
  }
}

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: readonly [session: string, object: string, name: string, args?: Args];
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}

function serveFile(response: ServerResponse, path: string): void {
  const below = normalize(path).replace(/^\/luci-static\//, '');
  const places = [
    join(ROOT, APP, 'htdocs/luci-static', below),
    below.startsWith('page/') ? join(import.meta.dirname, below) : '',
    ...(REAL === undefined
      ? []
      : [
          join(REAL, 'modules/luci-base/htdocs/luci-static', below),
          join(REAL, 'themes/luci-theme-bootstrap/htdocs/luci-static', below),
        ]),
  ];
  const found = places.find((place) => place !== '' && existsSync(place));
  if (found === undefined) send(response, 404, 'text/plain', 'not found');
  else send(response, 200, TYPES[extname(found)] ?? 'application/octet-stream', readFileSync(found));
}

/** What LuCI makes of a .po file: texts by their ids, and which form of the plural a number takes. */
function translations(language: string): string {
  const path = join(ROOT, APP, 'po', language, 'x0tta6bl4.po');
  if (!existsSync(path)) return '';
  const { header, texts } = readPo(readFileSync(path, 'utf8'));
  const plural = /plural=([^;]+);/.exec(header)?.[1] ?? 'n != 1';
  const translated = Object.fromEntries([...texts].filter(([, forms]) => forms.every((form) => form !== '')));
  return `window.X0_TR = ${JSON.stringify(translated).replaceAll('<', '\\u003c')};window.X0_PLURAL = n => ${plural};`;
}
