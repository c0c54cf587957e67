/*
 * LuCI's client API as its documentation describes it, as far as the views of x0tta6bl4 use it: for tests. Where LuCI is
 * careless, this is too: E() and dom.append() make HTML of a bare string, so a view that forgets that is found out.
 */
'use strict';

(() => {
  const env = { ...window.X0_ENV };
  const classes = {};

  String.prototype.format = function (...args) {
    let at = 0;
    return this.replace(/%(?:\.(\d+))?([sdfxh%])/g, (whole, digits, kind) => {
      if (kind === '%') return '%';
      if (at >= args.length) return whole;
      const value = args[at++];
      if (kind === 'd') return String(Math.floor(Number(value)) || 0);
      if (kind === 'f') return Number(value).toFixed(digits === undefined ? 6 : Number(digits));
      if (kind === 'x') return Number(value).toString(16);
      if (kind === 'h')
        return String(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
      return String(value);
    });
  };

  const blank = (text) => String(text).trim().replace(/[ \t\n]+/g, ' ');
  window._ = (text) => window.X0_TR?.[blank(text)]?.[0] || text;
  window.N_ = (n, one, many) => {
    const form = window.X0_PLURAL ? Number(window.X0_PLURAL(n)) : Number(n !== 1);
    return window.X0_TR?.[blank(one)]?.[form] || (form ? many : one);
  };

  /* Classes: extend() makes a subclass, super() calls what it overrides. */
  class Base {
    __init__() {}
    super(name, args) {
      const own = this.__supers?.[name] ?? 0;
      let level = Object.getPrototypeOf(this);
      for (let seen = -1; level !== null; level = Object.getPrototypeOf(level)) {
        if (Object.hasOwn(level, name) && ++seen > own) break;
      }
      if (level === null) return null;
      this.__supers = { ...this.__supers, [name]: own + 1 };
      try {
        return typeof level[name] === 'function' ? level[name].apply(this, args ?? []) : level[name];
      } finally {
        this.__supers[name] = own;
      }
    }
    static extend(members) {
      const Parent = this;
      const Child = class extends Parent {};
      for (const [key, value] of Object.entries(Object.getOwnPropertyDescriptors(members)))
        Object.defineProperty(Child.prototype, key, value);
      return Child;
    }
    static instantiate(args) {
      return new this(...args);
    }
    static isSubclass(one) {
      return typeof one === 'function' && (one === this || one.prototype instanceof this);
    }
    constructor(...args) {
      this.__init__(...args);
    }
  }

  const dom = {
    elem: (node) => node !== null && typeof node === 'object' && 'nodeType' in node,
    append(node, children) {
      if (Array.isArray(children)) {
        for (const child of children) {
          if (dom.elem(child)) node.appendChild(child);
          else if (child !== null && child !== undefined) node.appendChild(document.createTextNode(String(child)));
        }
      } else if (dom.elem(children)) node.appendChild(children);
      else if (children !== null && children !== undefined) node.innerHTML = String(children);
      return node.lastChild;
    },
    content(node, children) {
      while (node.firstChild) node.firstChild.remove();
      return dom.append(node, children);
    },
    attr(node, attributes) {
      for (const [key, value] of Object.entries(attributes ?? {})) {
        if (value === null || value === undefined) continue;
        if (typeof value === 'function') node.addEventListener(key, value);
        else node.setAttribute(key, typeof value === 'object' ? JSON.stringify(value) : value);
      }
    },
    create(what, attributes, children) {
      const own = attributes !== null && typeof attributes === 'object' && !Array.isArray(attributes) && !dom.elem(attributes);
      const node = Array.isArray(what) ? document.createDocumentFragment() : document.createElement(what);
      if (own) dom.attr(node, attributes);
      dom.append(node, own ? children : attributes);
      return node;
    },
    instances: new WeakMap(),
    bindClassInstance: (node, instance) => dom.instances.set(node, instance),
    findClassInstance(node) {
      for (let at = node; at !== null; at = at.parentNode) if (dom.instances.has(at)) return dom.instances.get(at);
      return null;
    },
    callClassMethod: (node, name, ...args) => dom.findClassInstance(node)?.[name]?.(...args),
  };
  window.E = (...args) => dom.create(...args);

  const poll = {
    queue: [],
    add(fn, interval) {
      if (typeof fn !== 'function') throw new TypeError('Invalid argument to LuCI.poll.add()');
      poll.queue.push({ fn, every: interval ?? env.pollinterval, idle: true });
      poll.start();
      return true;
    },
    remove(fn) {
      poll.queue = poll.queue.filter((entry) => entry.fn !== fn);
    },
    start() {
      if (poll.timer !== undefined) return false;
      poll.tick = 0;
      poll.timer = setInterval(() => poll.step(), env.tickms ?? 1000);
      poll.step();
      return true;
    },
    stop() {
      clearInterval(poll.timer);
      delete poll.timer;
    },
    active: () => poll.timer !== undefined,
    step() {
      for (const entry of poll.queue) {
        if (poll.tick % entry.every !== 0 || !entry.idle) continue;
        entry.idle = false;
        Promise.resolve(entry.fn()).finally(() => {
          entry.idle = true;
        });
      }
      poll.tick += 1;
    },
  };

  let id = 0;
  const rpc = {
    declare({ object, method, params = [], expect, reject }) {
      return async (...args) => {
        const sent = {};
        params.forEach((name, at) => {
          if (args[at] !== undefined) sent[name] = args[at];
        });
        const response = await fetch(env.ubuspath, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ jsonrpc: '2.0', id: ++id, method: 'call', params: [env.sessionid, object, method, sent] }),
        });
        if (!response.ok) throw new Error(`RPC call to ${object}/${method} failed with HTTP error ${response.status}`);
        const message = await response.json();
        if (message.error) {
          const { code, message: text } = message.error;
          throw new Error(`RPC call to ${object}/${method} failed with error ${code}: ${text}`);
        }
        const [status, data] = message.result;
        if (reject && status !== 0) throw new Error(`RPC call to ${object}/${method} failed with ubus code ${status}: ?`);
        let value = message.result.length > 1 ? data : status;
        for (const [key, otherwise] of Object.entries(expect ?? {})) {
          if (key !== '') value = value?.[key];
          if (value === null || value === undefined || typeof value !== typeof otherwise) value = otherwise;
          break;
        }
        return value;
      };
    },
  };

  /* What was loaded of a configuration, and what has been changed of it since. */
  const uci = {
    values: {},
    async load(config) {
      if (uci.values[config] === undefined)
        uci.values[config] = await rpc.declare({ object: 'uci', method: 'get', params: ['config'], expect: { values: {} } })(config);
    },
    pending: [],
    sections: (config, type) =>
      Object.values(uci.values[config] ?? {}).filter((section) => type === undefined || section['.type'] === type),
    get(config, section, option) {
      const found = uci.values[config]?.[section];
      if (found === undefined) return null;
      return option === undefined ? found : (found[option] ?? null);
    },
    set(config, section, option, value) {
      uci.values[config][section][option] = value;
      uci.pending.push(['set', { config, section, values: { [option]: value } }]);
    },
    unset(config, section, option) {
      if (uci.values[config]?.[section]?.[option] === undefined) return;
      delete uci.values[config][section][option];
      uci.pending.push(['delete', { config, section, option }]);
    },
    add(config, type, name) {
      uci.values[config][name] = { '.type': type, '.name': name };
      uci.pending.push(['add', { config, type, name }]);
      return name;
    },
    async save() {
      for (const [method, args] of uci.pending.splice(0))
        await rpc.declare({ object: 'uci', method, params: Object.keys(args), reject: true })(...Object.values(args));
    },
  };

  const ui = {
    addNotification(title, children, ...names) {
      const node = E('div', { class: `alert-message ${names.join(' ')}` }, [
        title === null ? E([]) : E('h4', {}, title),
        E('div', {}, children),
        E('button', { class: 'btn', click: (ev) => ev.target.parentNode.remove() }, [_('Dismiss')]),
      ]);
      document.getElementById('maincontent').prepend(node);
      return node;
    },
    showModal(title, children) {
      const node = E('div', { class: 'modal', role: 'dialog', 'aria-modal': 'true' }, [E('h4', {}, title)]);
      dom.append(node, children);
      document.body.append(node);
      return node;
    },
    hideModal() {
      for (const node of document.querySelectorAll('.modal')) node.remove();
    },
    createHandlerFn:
      (self, fn, ...args) =>
      (ev) => {
        const button = ev.currentTarget;
        button.disabled = true;
        return Promise.resolve((typeof fn === 'string' ? self[fn] : fn).call(self, ...args, ev)).finally(() => {
          button.disabled = false;
        });
      },
    changes: {
      apply: () => rpc.declare({ object: 'uci', method: 'apply', params: ['rollback'], reject: true })(false),
    },
  };

  /* Forms: a map of named sections with options, each with its widget. */
  const TYPES = {
    integer: (value) => /^-?\d+$/.test(value) || _('Expecting: %s').format(_('valid integer value')),
    range: (value, min, max) =>
      (Number(value) >= min && Number(value) <= max) || _('Expecting: %s').format(`${min} – ${max}`),
    macaddr: (value) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(value) || _('Expecting: %s').format(_('valid MAC address')),
  };

  function judge(datatype, value) {
    if (!datatype) return true;
    const all = /^and\((.*)\)$/.exec(datatype);
    const parts = (all ? all[1] : datatype).match(/\w+(?:\([^)]*\))?/g);
    for (const part of parts) {
      const [, name, args] = /^(\w+)(?:\(([^)]*)\))?$/.exec(part);
      const verdict = TYPES[name](value, ...(args ?? '').split(',').map(Number));
      if (verdict !== true) return verdict;
    }
    return true;
  }

  const AbstractValue = Base.extend({
    __init__(map, section, name, title, description) {
      Object.assign(this, { map, section, option: name, title, description, optional: false, rmempty: true, default: null });
    },
    cbid(section) {
      return `cbid.${this.map.config}.${section}.${this.option}`;
    },
    cfgvalue(section) {
      return uci.get(this.map.config, section, this.option);
    },
    validate: () => true,
    formvalue(section) {
      const value = this.at(section).read();
      return value === '' || value?.length === 0 ? null : value;
    },
    /* Where there are several sections of its type, it has a widget in each. */
    at(section) {
      if (!this.section.repeated) return this;
      this.copies ??= {};
      this.copies[section] ??= Object.assign(Object.create(this), { section: {} });
      return this.copies[section];
    },
    problem(section) {
      const value = this.read();
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one === '' || one === null) continue;
        for (const verdict of [judge(this.datatype, one), this.validate(section, one)]) if (verdict !== true) return verdict;
      }
      return null;
    },
    mark(section) {
      const problem = this.problem(section);
      this.input.classList.toggle('cbi-input-invalid', problem !== null);
      this.input.setAttribute('aria-invalid', String(problem !== null));
      this.said.textContent = problem ?? '';
    },
    renderRow(section) {
      const id = `widget.${this.cbid(section)}`;
      this.said = E('div', { class: 'cbi-value-error', role: 'alert' });
      const node = E('div', { class: 'cbi-value', 'data-field': this.cbid(section) }, [
        E('label', { class: 'cbi-value-title', for: id }, this.title),
        E('div', { class: 'cbi-value-field' }, [
          this.widget(section, id),
          this.said,
          this.description ? E('div', { class: 'cbi-value-description' }, this.description) : E([]),
        ]),
      ]);
      this.input = node.querySelector('input, select');
      node.addEventListener('change', () => this.mark(section));
      return node;
    },
    async parse(section) {
      const problem = this.problem(section);
      if (problem !== null) throw new TypeError(`${_('Option "%s" contains an invalid input value.').format(this.title)} ${problem}`);
      const value = this.formvalue(section);
      if (value === null || (value === this.default && (this.rmempty || this.optional))) {
        if (this.rmempty || this.optional) return uci.unset(this.map.config, section, this.option);
        throw new TypeError(_('Option "%s" must not be empty.').format(this.title));
      }
      if (JSON.stringify(value) !== JSON.stringify(this.cfgvalue(section))) return this.write(section, value);
    },
    write(section, value) {
      uci.set(this.map.config, section, this.option, value);
    },
  });

  const Value = AbstractValue.extend({
    widget(section, id) {
      const input = E('input', { id, class: 'cbi-input-text', type: this.password ? 'password' : 'text', placeholder: this.placeholder });
      input.value = this.cfgvalue(section) ?? this.default ?? '';
      return input;
    },
    read() {
      return this.input.value;
    },
  });
  const Flag = AbstractValue.extend({
    widget(section, id) {
      const input = E('input', { id, type: 'checkbox' });
      input.checked = (this.cfgvalue(section) ?? this.default) === '1';
      return input;
    },
    read() {
      return this.input.checked ? '1' : '0';
    },
  });
  const ListValue = AbstractValue.extend({
    value(key, word) {
      this.choices = [...(this.choices ?? []), [key, word ?? key]];
    },
    widget(section, id) {
      const now = this.cfgvalue(section) ?? this.default;
      return E('select', { id, class: 'cbi-input-select' },
        this.choices.map(([key, word]) => E('option', { value: key, selected: key === now ? '' : null }, [word])));
    },
    read() {
      return this.input.value;
    },
  });
  const DynamicList = AbstractValue.extend({
    widget(section, id) {
      const items = [this.cfgvalue(section) ?? []].flat();
      const list = E('div', { class: 'cbi-dynlist' });
      const add = (value) => {
        const input = E('input', { class: 'cbi-input-text', type: 'text', id: list.childElementCount ? null : id });
        input.value = value;
        list.append(input);
      };
      for (const item of items) add(item);
      add('');
      list.addEventListener('input', () => list.lastChild.value !== '' && add(''));
      this.list = list;
      return list;
    },
    read() {
      return [...this.list.children].map(({ value }) => value).filter((value) => value !== '');
    },
  });

  const NamedSection = Base.extend({
    __init__(map, name, type, title, description) {
      Object.assign(this, { map, name, type, title, description, children: [] });
    },
    option(Kind, ...args) {
      const option = new Kind(this.map, this, ...args);
      this.children.push(option);
      return option;
    },
    cfgsections() {
      return [this.name];
    },
    render() {
      return E('div', { class: 'cbi-section', 'data-tab': this.type, 'data-tab-title': this.title }, [
        E('h3', {}, this.title),
        E('div', { class: 'cbi-section-descr' }, this.description),
        E('div', { class: 'cbi-section-node' }, this.children.map((option) => option.renderRow(this.name))),
      ]);
    },
  });

  const TypedSection = NamedSection.extend({
    __init__(map, type, title, description) {
      Object.assign(this, { map, type, title, description, children: [], repeated: true });
    },
    cfgsections() {
      return uci.sections(this.map.config, this.type).map((section) => section['.name']);
    },
    render() {
      const name = E('input', { class: 'cbi-section-create-name', type: 'text', 'aria-label': _('Name') });
      const add = () => {
        uci.add(this.map.config, this.type, name.value);
        return this.map.render();
      };
      return E('div', { class: 'cbi-section', 'data-tab': this.type, 'data-tab-title': this.title }, [
        E('h3', {}, this.title),
        E('div', { class: 'cbi-section-descr' }, this.description),
        ...this.cfgsections().map((section) =>
          E('div', { class: 'cbi-section-node' }, [E('h3', {}, [section]), ...this.children.map((option) => option.at(section).renderRow(section))])),
        this.addremove ? E('div', { class: 'cbi-section-create' }, [name, E('button', { class: 'cbi-button', click: add }, [_('Add')])]) : E([]),
      ]);
    },
  });

  const FormMap = Base.extend({
    __init__(config, title, description) {
      Object.assign(this, { config, title, description, sections: [] });
    },
    section(Kind, ...args) {
      const section = new Kind(this, ...args);
      this.sections.push(section);
      return section;
    },
    async render() {
      await uci.load(this.config);
      this.root ??= E('div', { id: `cbi-${this.config}`, class: 'cbi-map' });
      dom.bindClassInstance(this.root, this);
      const nodes = this.sections.map((section) => section.render());
      dom.content(this.root, [E('h2', { name: 'content' }, this.title), E('div', { class: 'cbi-map-descr' }, this.description)]);
      if (this.tabbed) this.root.append(this.tabs(nodes));
      for (const node of nodes) this.root.append(node);
      return this.root;
    },
    tabs(nodes) {
      const menu = E('ul', { class: 'cbi-tabmenu', role: 'tablist' });
      const show = (shown) => {
        for (const [at, node] of nodes.entries()) {
          node.hidden = at !== shown;
          menu.children[at].className = at === shown ? 'cbi-tab' : 'cbi-tab-disabled';
        }
      };
      for (const [at, node] of nodes.entries())
        menu.append(E('li', {}, [E('a', { href: '#', click: (ev) => { ev.preventDefault(); show(at); } }, [node.dataset.tabTitle])]));
      show(0);
      return menu;
    },
    async save() {
      try {
        for (const section of this.sections) for (const name of section.cfgsections()) for (const option of section.children) await option.at(name).parse(name);
      } catch (thrown) {
        ui.showModal(_('Save error'), [E('p', {}, [thrown.message])]);
        throw thrown;
      }
      await uci.save();
    },
    reset() {
      return this.render();
    },
  });

  const View = Base.extend({
    __init__() {
      const place = document.getElementById('view');
      dom.content(place, E('div', { class: 'spinning' }, _('Loading view…')));
      Promise.resolve(this.load())
        .then((loaded) => this.render(loaded))
        .then((nodes) => {
          dom.content(place, nodes);
          dom.append(place, this.addFooter());
        })
        .catch((thrown) => {
          dom.content(place, E('pre', { class: 'x0-thrown' }, [thrown.stack ?? String(thrown)]));
          throw thrown;
        });
    },
    load() {},
    render() {},
    maps: () => [...document.querySelectorAll('#maincontent .cbi-map')],
    handleSave() {
      return Promise.all(this.maps().map((map) => dom.callClassMethod(map, 'save')));
    },
    handleSaveApply(ev) {
      return this.handleSave(ev).then(() => ui.changes.apply());
    },
    handleReset() {
      return Promise.all(this.maps().map((map) => dom.callClassMethod(map, 'reset')));
    },
    addFooter() {
      const button = (name, word) =>
        this[name] ? E('button', { class: `cbi-button x0-${name}`, click: ui.createHandlerFn(this, name) }, [word]) : E([]);
      const any = this.handleSave || this.handleSaveApply || this.handleReset;
      return any ? E('div', { class: 'cbi-page-actions' },
        [button('handleSaveApply', _('Save & Apply')), button('handleSave', _('Save')), button('handleReset', _('Reset'))]) : E([]);
    },
  });

  Object.assign(classes, {
    baseclass: Base, view: View, dom, poll, rpc, uci, ui,
    form: { Map: FormMap, NamedSection, TypedSection, Value, Flag, ListValue, DynamicList },
  });

  const L = {
    env,
    url: (...parts) => [env.scriptname, ...parts].join('/'),
    resource: (...parts) => [env.resource, ...parts].join('/'),
    resolveDefault: (value, otherwise) => Promise.resolve(value).catch(() => otherwise),
    bind: (fn, self, ...args) => fn.bind(self, ...args),
    isObject: (value) => value !== null && typeof value === 'object',
    toArray: (value) => (Array.isArray(value) ? value : value === null || value === undefined ? [] : String(value).split(/\s+/)),
    hasViewPermission: () => !env.nodespec?.readonly,
    require(name) {
      classes[name] ??= (async () => {
        const url = L.resource(`${name.replaceAll('.', '/')}.js`);
        const response = await fetch(url);
        if (!response.ok) throw new Error(`HTTP error ${response.status} while loading class file "${url}"`);
        const source = await response.text();
        const head = source.replace(/^(?:\s|\/\*[\s\S]*?\*\/|\/\/.*\n|'use strict';)*/, '');
        const needs = [...head.matchAll(/'require (\S+?)(?: as (\w+))?';\s*/gy)];
        const wanted = needs.map((need) => need[1]);
        const values = await Promise.all(wanted.map((one) => classes[one] ?? L.require(one)));
        const names = needs.map((need) => need[2] ?? need[1].replace(/\W/g, '_'));
        const make = new Function('window', 'document', 'L', ...names, `${source}\n//# sourceURL=${url}`);
        const made = make.call(make, window, document, L, ...values);
        if (!Base.isSubclass(made)) throw new TypeError(`"${name}" factory yields invalid constructor`);
        return new made();
      })();
      return Promise.resolve(classes[name]);
    },
  };
  window.L = L;
})();
