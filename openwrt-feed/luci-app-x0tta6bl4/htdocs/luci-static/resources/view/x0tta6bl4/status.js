/* Is the mesh well? This router, its neighbours, its gateway and the last repairs at a glance. */
'use strict';
'require view';
'require view.x0tta6bl4.lib as lib';

const EVERY = 5;
const LOG = 200;
const DAY = 86400;
const el = lib.el;

/* The one sentence. */
function verdict({ health, mesh, heal }) {
	const others = N_(mesh.peers, '%d other router is in reach', '%d other routers are in reach').format(mesh.peers);

	if (!mesh.present)
		return [ 'problem', _('There is no mesh: the interface %s is missing.').format(lib.clean(mesh.interface)) ];
	if (health == 'problem')
		return [ 'problem', heal.open
			? N_(heal.open, 'The mesh has a fault that is not over; %s.', 'The mesh has faults that are not over; %s.').format(others)
			: _('The mesh has a problem; %s.').format(others) ];
	if (mesh.peers == 0)
		return [ 'degraded', _('This router is alone: no other router is in reach.') ];
	if (health == 'degraded')
		return [ 'degraded', _('The mesh works, with less than it could; %s.').format(others) ];

	return [ 'ok', _('The mesh is well; %s.').format(others) ];
}

function modeWord(mode) {
	return { act: _('repairs'), observe: _('only observes'), off: _('is off') }[mode] || lib.clean(mode);
}

/* Rows of a term and what there is to say of it. */
function facts(rows) {
	return el('dl', { 'class': 'x0-facts' }, rows.filter(row => row).map(([ term, value ]) =>
		el('div', {}, [ el('dt', {}, term), el('dd', {}, value) ])));
}

function card(key, title, children) {
	return el('section', { 'class': 'x0-card', 'data-key': key, 'aria-label': title }, [ el('h3', {}, title), children ]);
}

function thisRouter({ node, originator, agent, heal, mesh, hardInterfaces }) {
	return card('self', _('This router'), [
		facts([
			[ _('Name'), el('strong', {}, lib.clean(node)) ],
			[ _('Address'), el('code', {}, originator || '–') ],
			[ _('Protocol'), [ lib.clean(mesh.algorithm), mesh.batmanVersion ? ' ' + lib.clean(mesh.batmanVersion) : '' ] ],
			[ _('Agent'), _('%s, running for %s').format(lib.clean(agent.version), lib.duration(agent.uptimeSeconds)) ],
			[ _('Healing'), modeWord(heal.mode) ],
			heal.authenticated ? null : [ _('Alarms'), _('none: mesh.key is not set, so each router repairs by itself only') ]
		]),
		el('ul', { 'class': 'x0-ports', 'aria-label': _('Interfaces of the mesh') }, hardInterfaces.map(port => el('li', {
			'class': port.carrier && port.active ? 'x0-ok' : 'x0-problem', 'data-key': port.name
		}, [
			lib.icon(port.carrier && port.active ? 'ok' : 'problem'), ' ', lib.clean(port.name, 16),
			el('span', { 'class': 'x0-small' }, port.primary ? _('primary') : !port.carrier ? _('no carrier')
				: port.active ? _('in use') : _('not in use'))
		])))
	]);
}

function gateway(gateways, nodes) {
	const chosen = gateways.find(one => one.best);

	if (gateways.length == 0)
		return card('gateway', _('Way out'), el('p', {}, _('No router of the mesh offers a gateway.')));
	if (chosen == null)
		return card('gateway', _('Way out'), el('p', {},
			N_(gateways.length, 'One gateway is on offer, and none is chosen.', '%d gateways are on offer, and none is chosen.')
				.format(gateways.length)));

	const node = nodes.find(one => one.originator == chosen.originator);
	const near = node && node.nextHop == chosen.originator;

	return card('gateway', _('Way out'), facts([
		[ _('Gateway'), el('strong', {}, lib.nameOf(chosen.originator)) ],
		[ _('Way'), node == null ? '–' : near ? _('directly, over %s').format(lib.clean(node.interface, 16))
			: _('through %s, over %s').format(lib.nameOf(node.nextHop), lib.clean(node.interface, 16)) ],
		[ _('Offers'), _('%s down, %s up').format(speed(chosen.downKbits), speed(chosen.upKbits)) ],
		gateways.length > 1 ? [ _('Others'), String(gateways.length - 1) ] : null
	]));
}

function speed(kbits) {
	if (kbits == null)
		return '–';

	return kbits >= 1000 ? _('%s Mbit/s').format(Math.round(kbits / 100) / 10) : _('%s kbit/s').format(Math.round(kbits));
}

/* What the journal says of how soon faults are found and repaired. */
function healing(entries, now) {
	const since = now - DAY * 1000;
	const own = entries.filter(entry => entry.class != 'remote-alarm' && entry.class != 'asked');
	const fresh = own.filter(entry => Date.parse(entry.time) > since);
	const found = own.filter(entry => entry.step == 'planned').map(entry => entry.afterMs);
	const mended = own.filter(entry => entry.step == 'verified');
	const today = new Set(fresh.map(entry => entry.fault));
	const failed = new Set(fresh.filter(entry => entry.step == 'failed').map(entry => entry.fault));

	return card('healing', _('Repairs'), [
		el('div', { 'class': 'x0-figures' }, [
			figure(String(today.size), _('faults in 24 hours')),
			figure(lib.milliseconds(lib.median(found)), _('to a decision (median)')),
			figure(lib.milliseconds(lib.median(mended.map(entry => entry.afterMs))), _('to the proven repair (median)'))
		]),
		failed.size ? el('p', { 'class': 'x0-problem' }, N_(failed.size, '%d of them could not be repaired',
			'%d of them could not be repaired').format(failed.size)) : null
	]);
}

function figure(value, what) {
	return el('div', { 'class': 'x0-figure' }, [ el('strong', {}, value), el('span', {}, what) ]);
}

/* Bars for a signal, as phones show it; where there is none, what the link goes over. */
function signal(radio, kind) {
	if (radio == null)
		return kind == null ? '–' : el('span', { 'class': 'x0-small' }, kind == 'ethernet' ? _('cable')
			: kind == 'wifi' ? _('Wi-Fi, no figures') : lib.clean(kind, 16));
	if (radio.signalDbm == null)
		return '–';

	const dbm = radio.signalDbm;
	const level = dbm >= -60 ? 5 : dbm >= -67 ? 4 : dbm >= -74 ? 3 : dbm >= -80 ? 2 : 1;

	return lib.badge(level, _('%d dBm').format(dbm));
}

function percent(share) {
	if (share == null)
		return '–';

	return (share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0) + ' %';
}

function neighbours(links) {
	if (links.length == 0)
		return el('p', { 'class': 'x0-empty' }, _('No neighbour is heard. Do all routers use the same channel, mesh name and key?'));

	const columns = [ _('Neighbour'), _('Interface'), _('Signal'), _('Quality'), _('Loss'), _('Latency'), _('Heard') ];
	const sorted = links.slice().sort((a, b) => (lib.LEVELS[b.quality] || 0) - (lib.LEVELS[a.quality] || 0)
		|| a.neighbour.localeCompare(b.neighbour));

	return el('table', { 'class': 'table x0-table', 'aria-label': _('Neighbours') }, [
		el('thead', {}, el('tr', { 'class': 'tr table-titles' }, columns.map(title =>
			el('th', { 'class': 'th', scope: 'col' }, title)))),
		el('tbody', {}, sorted.map(link => {
			const name = lib.nameOf(link.originator || link.neighbour);
			const cells = [
				[ el('strong', {}, name), name == link.neighbour ? null : [ el('br'), el('code', { 'class': 'x0-small' }, link.neighbour) ] ],
				[ lib.clean(link.interface, 16), link.carrier ? null
					: el('span', { 'class': 'x0-problem' }, [ ' ', _('no carrier') ]) ],
				signal(link.radio, link.kind),
				lib.badge(lib.LEVELS[link.quality] || 0),
				percent(link.loss),
				link.latencyMs == null ? '–' : lib.milliseconds(link.latencyMs),
				lib.ago(link.lastSeenSeconds)
			];

			return el('tr', { 'class': 'tr', 'data-key': link.interface + ' ' + link.neighbour },
				cells.map((cell, i) => el('td', { 'class': 'td', 'data-title': columns[i] }, el('div', {}, cell))));
		}))
	]);
}

function lastRepairs(entries) {
	const last = new Map();

	for (const entry of entries) {
		const known = last.get(entry.fault);

		const step = lib.outcome(known && known.step, entry.step);

		last.set(entry.fault, { ...entry, step, began: known ? known.began : entry.time,
			afterMs: step != entry.step ? known.afterMs : entry.afterMs });
	}

	const shown = [ ...last.values() ].reverse().slice(0, 5);

	if (shown.length == 0)
		return el('p', { 'class': 'x0-empty' }, _('Nothing had to be repaired so far.'));

	return el('ul', { 'class': 'x0-list' }, shown.map(entry => el('li', { 'data-key': entry.fault }, [
		lib.stepBadge(entry.step),
		el('span', { 'class': 'x0-grow' }, [ el('strong', {}, lib.faultWord(entry.class)),
			entry.interface ? ' · ' + lib.clean(entry.interface, 16) : '', entry.peer ? ' · ' + lib.nameOf(entry.peer) : '' ]),
		el('span', { 'class': 'x0-small' }, entry.step == 'verified'
			? _('%s, after %s').format(lib.time(entry.began), lib.milliseconds(entry.afterMs)) : lib.time(entry.began)),
		el('a', { href: L.url('admin/services/x0tta6bl4/repairs') + '#' + encodeURIComponent(entry.fault) }, _('Why?'))
	])));
}

return view.extend({
	handleSave: null,
	handleSaveApply: null,
	handleReset: null,

	data: null,
	trouble: null,

	fetch() {
		return Promise.all([ lib.ask('status'), lib.ask('links'), lib.ask('nodes'), lib.ask('gateways'),
			lib.ask('heal_log', LOG), lib.onTrial() ]).then(([ status, links, nodes, gateways, log, trial ]) => {
			this.data = { status, links: links.links, nodes: nodes.nodes, gateways: gateways.gateways, entries: log.entries, trial };
			this.trouble = null;
			lib.learn(status, nodes.nodes);
		}).catch(thrown => { this.trouble = lib.told(thrown) });
	},

	load() {
		return Promise.all([ lib.loadNames(), this.fetch() ]);
	},

	healMode(mode) {
		const choices = { act: _('Repair'), observe: _('Only observe'), off: _('Off') };

		return el('div', { 'class': 'x0-row', 'data-key': 'mode' }, [
			el('label', { 'for': 'x0-mode' }, _('Healing until the next start')),
			el('select', {
				id: 'x0-mode', 'class': 'cbi-input-select', disabled: L.hasViewPermission() === false,
				change: ev => lib.say(lib.ask('set_heal_mode', ev.target.value)).then(() => this.update())
			}, Object.entries(choices).map(([ value, word ]) => el('option', { value, selected: value == mode }, word)))
		]);
	},

	/* An archive for a bug report, made in the background and then handed to the browser. */
	diagnose(button, step, tries) {
		return lib.ask('diag', step).then(answer => {
			if (answer.data) {
				el('a', { href: 'data:application/gzip;base64,' + answer.data, download: lib.clean(answer.name) }).click();
				button.textContent = _('Saved');
			}
			else if (tries > 0)
				return new Promise(done => setTimeout(done, 1500)).then(() => this.diagnose(button, 'fetch', tries - 1));
			else
				throw { message: _('It takes too long. Look into it over SSH: x0ctl diag') };
		}).catch(({ message }) => { button.textContent = lib.clean(message, 300) });
	},

	report() {
		return el('div', { 'class': 'x0-row', 'data-key': 'report' }, [
			el('span', {}, _('Something is wrong? For a bug report, without secrets:')),
			el('button', { 'class': 'btn cbi-button', type: 'button', 'data-keep': true, disabled: L.hasViewPermission() === false, click: ev => {
				const button = ev.currentTarget;

				button.disabled = true;
				button.textContent = _('Being made…');
				this.diagnose(button, 'make', 40).then(() => { button.disabled = false });
			} }, _('Diagnostic archive'))
		]);
	},

	content() {
		if (this.data == null)
			return null;

		const { status, links, nodes, gateways, entries, trial } = this.data;
		const [ mark, sentence ] = verdict(status);

		return [
			lib.trial(trial, () => this.update()),
			el('div', { 'class': 'x0-hero x0-' + mark, role: 'status', 'aria-live': 'polite' }, [
				lib.icon(mark),
				el('p', {}, sentence)
			]),
			status.reasons.length ? el('ul', { 'class': 'x0-reasons', 'aria-label': _('Reasons') },
				status.reasons.map(reason => el('li', {}, lib.clean(reason, 300)))) : null,
			el('div', { 'class': 'x0-cards' }, [ thisRouter(status), gateway(gateways, nodes), healing(entries, lib.clock(status)) ]),
			el('section', { 'data-key': 'neighbours' }, [ el('h3', {}, _('Neighbours')), neighbours(links) ]),
			el('section', { 'data-key': 'repairs' }, [ el('h3', {}, _('Last repairs')), lastRepairs(entries) ]),
			this.healMode(status.heal.mode),
			this.report()
		];
	},

	update() {
		return this.fetch().then(() => {
			lib.morph(this.root, this.frame());
		});
	},

	frame() {
		return lib.frame(_('Mesh'), this.trouble, () => this.content());
	},

	render() {
		this.root = this.frame();
		lib.keep(() => this.update(), EVERY);

		return this.root;
	}
});
