/*
 * What the views of x0tta6bl4 share: asking the agent, building and updating the page, words for what it says.
 *
 * Whatever comes from the agent may have been said by a stranger on the air. It only ever becomes text: el() makes text
 * nodes, and nothing here or in the views assigns innerHTML (which E() does with a bare string).
 */
'use strict';
'require baseclass';
'require rpc';
'require poll';
'require ui';

const OBJECT = 'x0tta6bl4';
const SVG = 'http://www.w3.org/2000/svg';
/* C0 and C1 controls, and what turns the direction of the text around it. */
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

const declare = (method, params) => rpc.declare({ object: OBJECT, method, params: params || [], reject: true });

const calls = {
	status: declare('status'),
	nodes: declare('nodes'),
	links: declare('links'),
	gateways: declare('gateways'),
	topology: declare('topology'),
	history: declare('history'),
	names: declare('names'),
	heal_log: declare('heal_log', [ 'limit' ]),
	explain: declare('explain', [ 'fault' ]),
	heal_mode: declare('heal_mode'),
	set_heal_mode: declare('set_heal_mode', [ 'mode', 'class' ]),
	config_check: declare('config_check', [ 'text' ]),
	config_trial: declare('config_trial'),
	config_confirm: declare('config_confirm'),
	config_revert: declare('config_revert'),
	options: declare('options'),
	identity: declare('identity'),
	invite: declare('invite', [ 'node', 'seconds' ]),
	diag: declare('diag', [ 'step' ]),
	service: declare('service', [ 'action' ])
};

/* Text of others, fit to be shown: nothing hidden in it, and not longer than anybody would read. */
function clean(value, most) {
	const text = String(value == null ? '' : value).replace(HIDDEN, '\ufffd');
	const limit = most || 64;

	return text.length > limit ? text.slice(0, limit - 1) + '…' : text;
}

/* An element, by name or as 'svg:name'. Attributes that are null are left out; functions listen. */
function el(name, attributes, children) {
	const node = name.startsWith('svg:')
		? document.createElementNS(SVG, name.slice(4))
		: document.createElement(name);

	for (const key in attributes || {}) {
		const value = attributes[key];

		if (typeof value == 'function') {
			node.addEventListener(key, value);
			(node.x0listens = node.x0listens || {})[key] = value;
		}
		else if (value != null && value !== false)
			node.setAttribute(key, value === true ? '' : value);
	}

	for (const child of [ children ].flat(3)) {
		if (child != null && child !== false)
			node.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
	}

	return node;
}

/*
 * Makes `old` what `fresh` is, by as few changes as it takes: what has focus, is open or selected stays so, and nothing
 * flickers. Children with data-key are matched by it. An element with data-keep is left as it is.
 */
function morph(old, fresh) {
	if (old.nodeType != fresh.nodeType || old.nodeName != fresh.nodeName) {
		old.replaceWith(fresh);
		return fresh;
	}

	if (old.nodeType != 1) {
		if (old.nodeValue !== fresh.nodeValue)
			old.nodeValue = fresh.nodeValue;
		return old;
	}

	if (old.hasAttribute('data-keep') && fresh.hasAttribute('data-keep'))
		return old;

	for (const { name, value } of fresh.attributes) {
		if (old.getAttribute(name) !== value)
			old.setAttribute(name, value);
	}

	for (const { name } of [ ...old.attributes ]) {
		/* What a person opened stays open. */
		if (!fresh.hasAttribute(name) && !(name == 'open' && old.nodeName == 'DETAILS'))
			old.removeAttribute(name);
	}

	const before = old.x0listens || {}, after = fresh.x0listens || {};

	for (const key in before)
		old.removeEventListener(key, before[key]);
	for (const key in after)
		old.addEventListener(key, after[key]);
	old.x0listens = after;

	const keyed = new Map();

	for (const child of old.children) {
		if (child.dataset && child.dataset.key)
			keyed.set(child.dataset.key, child);
	}

	let at = old.firstChild;

	for (const child of [ ...fresh.childNodes ]) {
		const key = child.dataset && child.dataset.key;
		const match = key ? keyed.get(key) : at && !(at.dataset && at.dataset.key) ? at : null;

		if (match == null) {
			old.insertBefore(child, at);
			continue;
		}

		if (match !== at)
			old.insertBefore(match, at);

		at = morph(match, child).nextSibling;
	}

	while (at != null) {
		const next = at.nextSibling;

		at.remove();
		at = next;
	}

	return old;
}

/* Whether what lies behind this element is dark: themes say so in many ways, the colour only in one. */
function isDark(node) {
	for (let at = node; at instanceof Element; at = at.parentElement) {
		const found = getComputedStyle(at).backgroundColor.match(/[\d.]+/g);

		if (found && (found.length < 4 || +found[3] > 0.5))
			return 0.2126 * found[0] + 0.7152 * found[1] + 0.0722 * found[2] < 110;
	}

	return false;
}

/* An icon of 16 x 16, drawn in the colour of the text. */
const ICONS = {
	ok: 'M3 8.5l3.2 3.2L13 4.8',
	degraded: 'M8 2.2L14.5 13.5H1.5zM8 6.5v3.2M8 11.8v.1',
	problem: 'M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M5.5 5.5l5 5M10.5 5.5l-5 5',
	waiting: 'M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M8 4.5V8l2.5 1.8',
	play: 'M5 3v10l8-5z',
	pause: 'M5 3v10M11 3v10',
	plus: 'M8 3v10M3 8h10',
	minus: 'M3 8h10',
	fit: 'M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10'
};

function icon(name) {
	return el('svg:svg', { 'class': 'x0-icon', viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true' },
		el('svg:path', { d: ICONS[name], fill: name == 'play' ? 'currentColor' : 'none', stroke: 'currentColor',
			'stroke-width': 2, 'stroke-linecap': 'round', 'stroke-linejoin': 'round' }));
}

/* Quality as the agent has it, best 5. */
const LEVELS = { EXCELLENT: 5, GOOD: 4, FAIR: 3, POOR: 2, BAD: 1 };

function levelWord(level) {
	return [ _('not known'), _('bad'), _('poor'), _('fair'), _('good'), _('excellent') ][level];
}

/* A level as a word or what else is to be read, with as many bars as it has, in its colour. */
function badge(level, words) {
	const bars = [ 1, 2, 3, 4, 5 ].map(n => el('svg:rect', {
		x: n * 3 - 2, y: 11 - n * 2, width: 2, height: n * 2 + 1, 'class': n <= level ? 'x0-on' : 'x0-off'
	}));

	return el('span', { 'class': 'x0-badge x0-q' + level, title: levelWord(level) }, [
		el('svg:svg', { viewBox: '0 0 16 12', width: 20, height: 15, 'aria-hidden': 'true' }, bars),
		el('span', {}, words || levelWord(level))
	]);
}

function duration(seconds) {
	if (seconds < 90)
		return N_(Math.round(seconds), '%d second', '%d seconds').format(Math.round(seconds));

	const minutes = Math.round(seconds / 60);

	if (minutes < 90)
		return N_(minutes, '%d minute', '%d minutes').format(minutes);

	const hours = Math.round(minutes / 60);

	if (hours < 48)
		return N_(hours, '%d hour', '%d hours').format(hours);

	return N_(Math.round(hours / 24), '%d day', '%d days').format(Math.round(hours / 24));
}

function ago(seconds) {
	return seconds < 2 ? _('just now') : _('%s ago').format(duration(seconds));
}

/* Milliseconds to about three digits. */
function milliseconds(ms) {
	if (ms == null)
		return '–';

	const size = Math.abs(ms);

	if (size >= 60000)
		return _('%s min').format((ms / 60000).toFixed(1));
	if (size >= 1000)
		return _('%s s').format((ms / 1000).toFixed(1));

	return _('%s ms').format(ms.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0));
}

/* Wall-clock time as this browser writes it. */
function time(text) {
	const at = new Date(text);

	if (isNaN(at))
		return clean(text);

	const today = at.toDateString() == new Date().toDateString();
	const lang = document.documentElement.lang || undefined;

	try {
		return today ? at.toLocaleTimeString(lang) : at.toLocaleString(lang);
	}
	catch (e) {
		return today ? at.toLocaleTimeString() : at.toLocaleString();
	}
}

/* What the router's clock says, by which its journal goes: it may be years from this browser's. Milliseconds since 1970. */
function clock(status) {
	const at = Date.parse(status.now);

	return isNaN(at) ? Date.now() : at;
}

function median(values) {
	const sorted = values.slice().sort((a, b) => a - b);

	return sorted.length ? sorted[sorted.length >> 1] : null;
}

/* Classes of faults and repairs in a person's words; the agent's own word where it has one that is new here. */
function faultWord(name) {
	const words = {
		'link-down': _('A link lost its carrier'),
		'link-silent': _('A neighbour fell silent'),
		'link-lossy': _('A link loses packets'),
		'link-slow': _('A link became slow'),
		'link-one-way': _('A link works one way only'),
		'link-flapping': _('A link comes and goes'),
		'interface-vanished': _('An interface disappeared'),
		'interface-fell-out': _('An interface fell out of the mesh'),
		'mesh-vanished': _('The mesh interface disappeared'),
		'mesh-misconfigured': _('The mesh interface is not set up right'),
		'mesh-mismatch': _('Somebody speaks another mesh protocol'),
		'neighbour-dead': _('A neighbour is gone'),
		'router-dead': _('A router is gone'),
		'partition': _('A part of the mesh is lost'),
		'gateway-lost': _('The gateway is gone'),
		'gateway-no-upstream': _('The gateway here has no way out'),
		'routing-loop': _('Packets circle'),
		'broadcast-storm': _('Broadcasts circle'),
		'translation-inconsistent': _('Stations are not where they should be'),
		'address-taken': _('Another router announces this router’s own address'),
		'mtu-trouble': _('Full-size packets do not fit through'),
		'config-drift': _('A setting was changed by hand'),
		'overload': _('This router is overloaded'),
		'clock-stepped': _('The clock jumped'),
		'remote-alarm': _('Another router reported a fault'),
		'asked': _('A person asked')
	};

	return Object.hasOwn(words, name) ? words[name] : clean(name);
}

function actionWord(name) {
	const words = {
		'none': _('nothing'),
		'tell': _('tell a person'),
		'announce': _('say anew where this router’s own address is'),
		'clear-way': _('let others’ route messages pass'),
		'ask': _('ask the neighbours for their routes'),
		'kick': _('announce routes at once'),
		'ease': _('look less often'),
		'link-cost': _('make the link dearer'),
		'pace': _('probe the link more often'),
		'restore': _('put the setting back'),
		'set-feature': _('set the feature that helps'),
		'cycle': _('take the interface out and in again'),
		'detach': _('take the interface out'),
		'reattach': _('put the interface back'),
		'gateway-any': _('choose no gateway until the dead one is forgotten'),
		'gateway-reselect': _('choose another gateway'),
		'gateway-stand-down': _('stop being a gateway'),
		'isolate': _('take the mesh out of its bridge'),
		'recreate-mesh': _('make the mesh interface anew'),
		'restart-radio': _('restart the radio'),
		'restart-service': _('restart the agent')
	};

	return Object.hasOwn(words, name) ? words[name] : clean(name);
}

/* How a repair stands: a word, an icon, and how good it is. */
function stepWord(step) {
	const words = {
		'planned': [ _('under way'), 'waiting' ],
		'done': [ _('done'), 'ok' ],
		'verified': [ _('repaired'), 'ok' ],
		'over': [ _('over by itself'), 'ok' ],
		'observed': [ _('only observed'), 'waiting' ],
		'dropped': [ _('plan dropped'), 'degraded' ],
		'rolled-back': [ _('taken back'), 'degraded' ],
		'failed': [ _('failed'), 'problem' ]
	};

	return Object.hasOwn(words, step) ? words[step] : [ clean(step), 'waiting' ];
}

/* The outcome of a fault after one more step: what was proven to be repaired stays so when it is over. */
function outcome(before, step) {
	return before == 'verified' && (step == 'over' || step == 'planned') ? before : step;
}

function stepBadge(step) {
	const [ word, mark ] = stepWord(step);

	return el('span', { 'class': 'x0-step x0-' + mark }, [ icon(mark), el('span', {}, word) ]);
}

/* What went wrong between here and the agent, and what a person can do about it. */
function troubleOf(thrown) {
	const text = String(thrown && thrown.message || thrown);

	if (thrown && thrown.code)
		return thrown;
	if (/-32000|Object not found|not found|code 3\b|code 4\b/i.test(text))
		return { code: 'E_NO_PLUGIN', message: text };
	if (/-32002|denied|code 6\b/i.test(text))
		return { code: 'E_DENIED', message: text };

	return { code: 'E_NETWORK', message: text };
}

function troubleWords(code) {
	switch (code) {
	case 'E_NOT_RUNNING':
		return [ _('The agent is not running.'),
			_('The mesh goes on without it, but nobody repairs it. Start it, and look into the log if it ends again.'),
			[ '/etc/init.d/x0tta6bl4 enable', '/etc/init.d/x0tta6bl4 start', 'logread -e x0tta6bl4' ], true ];
	case 'E_TIMEOUT':
		return [ _('The agent does not answer in time.'),
			_('It may be starting, or this router is overloaded. This page keeps asking.'),
			[ 'top', 'logread -e x0tta6bl4' ], true ];
	case 'E_NO_PLUGIN':
		return [ _('rpcd does not know the agent.'),
			_('Its plugin was installed after rpcd was started, or lacks a package it needs. Restart rpcd.'),
			[ '/etc/init.d/rpcd restart', 'ubus -v list x0tta6bl4' ], false ];
	case 'E_DENIED':
		return [ _('You may not see this.'),
			_('This login has no permission for x0tta6bl4. Log in as somebody who has, or grant it in /etc/config/rpcd.'),
			[], false ];
	case 'E_NETWORK':
		return [ _('This router does not answer.'), _('This page keeps asking.'), [], false ];
	case 'E_ANSWER':
		return [ _('The agent answered in a way that this page does not understand.'),
			_('Agent and page may be of different versions. Update both packages, and reload this page.'), [], false ];
	default:
		return [ _('The agent could not answer.'), '', [], false ];
	}
}

return baseclass.extend({
	el,
	clean,
	morph,
	icon,
	badge,
	levelWord,
	LEVELS,
	duration,
	ago,
	milliseconds,
	time,
	clock,
	median,
	faultWord,
	actionWord,
	stepWord,
	stepBadge,
	outcome,

	/* MAC address → name: of /etc/bat-hosts, and what routers call themselves. */
	names: {},
	learned: new Map(),

	/* The name of this router; null where nobody knows one. */
	called(mac) {
		return Object.hasOwn(this.names, mac) ? this.names[mac] : this.learned.get(mac) || null;
	},

	/* What people call this router: its name where there is one. */
	nameOf(mac) {
		return clean(this.called(mac) || mac || '?', 48);
	},

	/* This router's name, and those that certificates say. */
	learn(status, nodes) {
		for (const { originator, node, nextHop, nextHopNode } of nodes)
			this.learned.set(nextHop, nextHopNode).set(originator, node);
		if (status && status.originator)
			this.learned.set(status.originator, status.node);
	},

	/* Asks the agent. Rejects with { code, message }. */
	ask(method, ...args) {
		return calls[method](...args).then(answer => {
			if (answer && answer.error)
				throw { code: String(answer.error.code), message: clean(answer.error.message, 400) };
			if (typeof answer != 'object' || answer == null)
				throw { code: 'E_NO_PLUGIN', message: 'ubus: ' + answer };

			return answer;
		}).catch(thrown => { throw troubleOf(thrown) });
	},

	/* What frame() takes for a trouble, of whatever a view's asking ended with. */
	told(thrown) {
		return thrown && thrown.code ? thrown : { code: 'E_ANSWER', message: String(thrown && thrown.message) };
	},

	/* Says the agent's answer, or why there is none, where LuCI says such things. */
	say(asked) {
		const words = kind => ({ message }) => { ui.addNotification(null, [ el('p', {}, clean(message, 300)) ], kind) };

		return asked.then(words('info'), words('error'));
	},

	/* The seconds after which a changed configuration is judged; null where none is on trial. */
	onTrial() {
		return this.ask('config_trial').then(({ secondsLeft }) => secondsLeft).catch(() => null);
	},

	/*
	 * Says so, and lets a person decide at once. What a screen reader is to say has to come into an element that it knows
	 * already, so that is there without a trial too; the time that is left is beside it, or it would be said again and again.
	 */
	trial(seconds, update) {
		const said = words => el('div', { 'aria-live': 'polite' }, words);

		if (seconds == null)
			return el('div', { 'data-key': 'trial' }, said(null));

		const decide = (method, style, word) => el('button', {
			'class': 'btn cbi-button ' + style, type: 'button', disabled: L.hasViewPermission() === false,
			click: () => this.say(this.ask(method)).then(update)
		}, word);

		return el('div', { 'class': 'alert-message notice x0-trial', role: 'group', 'aria-label': _('Changed settings on trial'), 'data-key': 'trial' }, [
			said(el('p', {}, _('The changed settings are on trial. If they cut this router off from the mesh, or from you, they are taken back.'))),
			el('p', { role: 'timer' }, _('Time left: %s').format(duration(seconds))),
			el('div', { 'class': 'x0-row' }, [
				decide('config_confirm', 'cbi-button-apply', _('Keep them now')),
				decide('config_revert', 'cbi-button-reset', _('Take them back'))
			])
		]);
	},

	/* Names, once for a page: they change when somebody edits a file. */
	loadNames() {
		return this.ask('names').then(({ names }) => { this.names = names || {} }).catch(() => {});
	},

	/* Keeps a view up to date; what it has just been drawn with need not be asked for again. */
	keep(update, seconds) {
		const began = Date.now();

		poll.add(() => Date.now() - began < 1000 ? Promise.resolve() : update(), seconds);
	},

	/* What a view is in, with its style, on a theme light or dark. */
	bare(children) {
		requestAnimationFrame(() => this.settle());

		return el('div', { 'class': 'x0' }, [
			el('link', { rel: 'stylesheet', href: L.resource('view/x0tta6bl4/style.css') }), children ]);
	},

	/*
	 * The frame of a view that morph() updates. `trouble` is what ask() was rejected with, or null; `content` makes what is
	 * in it. An answer that it cannot make anything of is a trouble too.
	 */
	frame(title, trouble, content) {
		let children = null;

		try {
			children = content();
		}
		catch (thrown) {
			trouble = trouble || this.told(thrown);
		}

		return this.bare([
			el('h2', { name: 'content' }, title),
			el('div', { 'class': 'x0-trouble-place', 'aria-live': 'polite' }, trouble ? this.trouble(trouble) : null),
			el('div', { 'class': trouble ? 'x0-body x0-stale' : 'x0-body' }, children)
		]);
	},

	/* Light or dark, as what lies behind the page is. */
	settle() {
		const root = document.querySelector('.x0');

		if (root)
			document.documentElement.classList.toggle('x0-dark', isDark(root.parentElement));
	},

	trouble({ code, message }) {
		const [ what, why, commands, starts ] = troubleWords(code);
		const start = el('button', {
			'class': 'btn cbi-button cbi-button-apply',
			click: ev => {
				const button = ev.currentTarget;

				button.disabled = true;
				this.ask('service', code == 'E_TIMEOUT' ? 'restart' : 'start')
					.then(({ message }) => { button.textContent = clean(message, 200) })
					.catch(thrown => { button.textContent = clean(thrown.message, 200) });
			}
		}, code == 'E_TIMEOUT' ? _('Restart the agent') : _('Start the agent'));

		return el('div', { 'class': 'alert-message warning x0-trouble', role: 'alert', 'data-code': code }, [
			el('p', { 'class': 'x0-trouble-what' }, [ icon('problem'), ' ', el('strong', {}, what) ]),
			why ? el('p', {}, why) : null,
			commands.length ? el('pre', { tabindex: 0, 'aria-label': _('Commands') }, commands.join('\n')) : null,
			starts && L.hasViewPermission() !== false ? start : null,
			el('p', { 'class': 'x0-small' }, clean(message, 400))
		]);
	}
});
