/* The journal: every fault with what was seen, what was weighed, what was done, and what came of it. */
'use strict';
'require view';
'require ui';
'require view.x0tta6bl4.lib as lib';

const EVERY = 10;
const FEW = 200;
const ALL = 1000;
const el = lib.el;

/* One row for each fault out of the entries of the journal, the newest first. */
function faultsOf(entries) {
	const faults = new Map();

	for (const entry of entries) {
		const known = faults.get(entry.fault) || { id: entry.fault, 'class': entry['class'], time: entry.time, interface: entry.interface,
			peer: entry.peer, decided: null, repaired: null, action: 'none' };

		known.decided = known.decided == null && entry.step == 'planned' ? entry.afterMs : known.decided;
		if (entry.step == 'verified')
			known.repaired = entry.afterMs;
		known.step = lib.outcome(known.step, entry.step);
		known.action = entry.action != 'none' ? entry.action : known.action;
		known.why = entry.why || known.why;
		known.result = entry.result || known.result;
		faults.set(entry.fault, known);
	}

	return [ ...faults.values() ].reverse();
}

/* A cell of a table for other programs; one that begins like a formula would be one to them. */
function cell(value) {
	const text = String(value == null ? '' : value);
	const safe = '=+-@\t\r'.includes(text[0]) && isNaN(text) ? "'" + text : text;

	return '"' + safe.replaceAll('"', '""') + '"';
}

function save(name, type, text) {
	const link = el('a', { href: URL.createObjectURL(new Blob([ text ], { type })), download: name });

	document.body.appendChild(link);
	link.click();
	link.remove();
	setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

return view.extend({
	handleSave: null,
	handleSaveApply: null,
	handleReset: null,

	entries: null,
	classes: null,
	trouble: null,
	limit: FEW,
	text: '',
	kind: '',
	step: '',
	stories: {},
	opened: {},

	fetch() {
		return Promise.all([ lib.ask('heal_log', this.limit), lib.ask('heal_mode') ]).then(([ log, modes ]) => {
			this.entries = log.entries;
			this.classes = modes.classes;
			this.trouble = null;
		}).catch(thrown => { this.trouble = lib.told(thrown) });
	},

	load() {
		try {
			this.text = decodeURIComponent(location.hash.slice(1));
		}
		catch (e) {
			/* Somebody else's link. */
		}
		this.named = this.text;

		return Promise.all([ lib.loadNames(), lib.ask('nodes').then(({ nodes }) => lib.learn(null, nodes)).catch(() => {}), this.fetch() ]);
	},

	shown() {
		const text = this.text.toLowerCase();

		return faultsOf(this.entries).filter(fault => (!this.kind || fault['class'] == this.kind)
			&& (!this.step || fault.step == this.step)
			&& (!text || [ fault.id, lib.faultWord(fault['class']), fault['class'], fault.interface, fault.peer, lib.nameOf(fault.peer),
				lib.actionWord(fault.action), fault.why, fault.result ].some(part => String(part).toLowerCase().includes(text))));
	},

	filters(faults) {
		const choice = (name, word, values, wordOf) => el('select', { 'class': 'cbi-input-select', 'aria-label': word, 'data-key': name,
			change: ev => { this[name] = ev.target.value; this.redraw() } },
			[ el('option', { value: '' }, word) ].concat(values.map(value => el('option', { value, selected: value == this[name] }, wordOf(value)))));
		const kinds = [ ...new Set(this.entries.map(entry => entry['class'])) ];
		const steps = [ ...new Set(faultsOf(this.entries).map(fault => fault.step)) ];

		return el('div', { 'class': 'x0-row x0-filters', 'data-key': 'filters' }, [
			el('input', { type: 'search', 'class': 'cbi-input-text', 'data-key': 'text', placeholder: _('Search'), 'aria-label': _('Search'), value: this.text,
				input: ev => { this.text = ev.target.value; this.redraw() } }),
			choice('kind', _('All faults'), kinds, lib.faultWord),
			choice('step', _('All outcomes'), steps, value => lib.stepWord(value)[0]),
			el('button', { 'class': 'btn cbi-button', type: 'button', click: () => this.exportAs('json') }, _('Export JSON')),
			el('button', { 'class': 'btn cbi-button', type: 'button', click: () => this.exportAs('csv') }, _('Export CSV')),
			el('span', { 'class': 'x0-small', role: 'status' }, N_(faults.length, '%d fault', '%d faults').format(faults.length))
		]);
	},

	exportAs(type) {
		const wanted = new Set(this.shown().map(fault => fault.id));
		const entries = this.entries.filter(entry => wanted.has(entry.fault));
		const columns = [ 'id', 'time', 'fault', 'class', 'interface', 'peer', 'step', 'action', 'afterMs', 'why', 'result' ];
		const name = 'x0tta6bl4-repairs-' + new Date().toISOString().slice(0, 10) + '.' + type;

		if (type == 'json')
			save(name, 'application/json', JSON.stringify(entries, null, 2) + '\n');
		else
			save(name, 'text/csv', [ columns ].concat(entries.map(entry => columns.map(column => entry[column])))
				.map(row => row.map(cell).join(',')).join('\r\n') + '\r\n');
	},

	explain(id) {
		return lib.ask('explain', id).then(story => { this.stories[id] = story },
			({ message }) => { this.stories[id] = { failed: message } }).then(() => this.redraw());
	},

	story(id) {
		const story = this.stories[id];

		if (story == null)
			return el('p', { 'class': 'spinning' }, _('Asking the agent…'));
		if (story.failed)
			return el('p', { 'class': 'x0-problem' }, story.failed);

		return el('div', { 'class': 'x0-story' }, [
			el('h4', {}, _('What was seen')),
			el('ul', {}, story.evidence.map(({ source, what, afterMs }) => el('li', {}, [
				el('code', {}, '+' + lib.milliseconds(afterMs)), ' ', el('em', {}, lib.clean(source)), ': ', lib.clean(what, 400) ]))),
			story.alternatives.length ? el('h4', {}, _('What was weighed, gentlest first')) : null,
			story.alternatives.length ? el('ul', {}, story.alternatives.slice().sort((a, b) => a.cost - b.cost).map(({ action, refused, taken }) =>
				el('li', { 'class': taken ? 'x0-ok' : '' }, [ el('strong', {}, lib.actionWord(action)), ': ',
					taken ? _('taken') : refused ? lib.clean(refused, 300) : _('would have been done') ]))) : null,
			el('h4', {}, _('What was done')),
			el('ol', {}, story.entries.map(entry => el('li', {}, [
				el('code', {}, '+' + lib.milliseconds(entry.afterMs)), ' ', lib.stepWord(entry.step)[0],
				entry.action != 'none' ? [ ': ', lib.actionWord(entry.action) ] : '', entry.result ? ' – ' + lib.clean(entry.result, 400) : '' ]))),
			el('details', {}, [ el('summary', {}, _('The agent’s own words')),
				el('pre', { tabindex: 0 }, story.text.map(line => lib.clean(line, 400)).join('\n')) ])
		]);
	},

	row(fault) {
		const about = [ fault.interface && lib.clean(fault.interface, 16), fault.peer && lib.nameOf(fault.peer) ].filter(part => part);

		return el('li', { 'data-key': fault.id }, el('details', {
			'class': 'x0-fault', open: this.opened[fault.id] === true,
			toggle: ev => {
				this.opened[fault.id] = ev.currentTarget.open;
				if (ev.currentTarget.open && !this.stories[fault.id])
					this.explain(fault.id);
			}
		}, [
			el('summary', {}, [
				lib.stepBadge(fault.step),
				el('span', { 'class': 'x0-grow' }, [ el('strong', {}, lib.faultWord(fault['class'])), about.length ? ' · ' + about.join(' · ') : '',
					fault.action != 'none' ? el('span', { 'class': 'x0-small' }, lib.actionWord(fault.action)) : null ]),
				el('span', { 'class': 'x0-times' }, [
					fault.decided != null ? el('span', { title: _('from the first evidence to the decision') },
						[ _('decided'), ' ', lib.milliseconds(fault.decided) ]) : null,
					fault.repaired != null ? el('span', { title: _('from the first evidence to the proof') },
						[ _('repaired'), ' ', el('strong', {}, lib.milliseconds(fault.repaired)) ]) : null ]),
				el('time', { 'class': 'x0-small', datetime: lib.clean(fault.time) }, lib.time(fault.time))
			]),
			this.opened[fault.id] ? this.story(fault.id) : null
		]));
	},

	/* Who may be repaired: each class with how it fared, and a choice. */
	catalogue() {
		const choices = { auto: _('as earned'), act: _('always repair'), observe: _('only observe'), off: _('off') };
		const columns = [ _('Fault'), _('Now'), _('Right'), _('Wrong'), _('Choice') ];

		return el('details', { 'class': 'x0-catalogue', 'data-key': 'catalogue' }, [
			el('summary', {}, _('Which faults are repaired')),
			el('table', { 'class': 'table x0-table' }, [
				el('thead', {}, el('tr', { 'class': 'tr table-titles' }, columns.map(title => el('th', { 'class': 'th', scope: 'col' }, title)))),
				el('tbody', {}, (this.classes || []).map(one => el('tr', { 'class': 'tr', 'data-key': one['class'] }, [
					lib.faultWord(one['class']),
					one.acts ? _('repaired') : _('observed'),
					String(Math.round(one.right * 10) / 10),
					String(Math.round(one.wrong * 10) / 10),
					el('select', { 'class': 'cbi-input-select', 'aria-label': lib.faultWord(one['class']), disabled: L.hasViewPermission() === false,
						change: ev => lib.ask('set_heal_mode', ev.target.value, one['class'])
							.catch(({ message }) => ui.addNotification(null, [ el('p', {}, lib.clean(message, 200)) ], 'error'))
							.then(() => this.update()) },
						Object.entries(choices).map(([ value, word ]) => el('option', { value, selected: value == one.mode }, word)))
				].map((value, i) => el('td', { 'class': 'td', 'data-title': columns[i] }, el('div', {}, value))))))
			])
		]);
	},

	frame() {
		return lib.frame(_('Repairs'), this.trouble, () => this.entries === null ? null : this.content(this.shown()));
	},

	content(faults) {
		return [
			this.filters(faults),
			this.entries.length >= this.limit ? el('p', { 'class': 'x0-small', 'data-key': 'newest' },
				_('These are the newest %d entries of the journal; an export has no more than these.').format(this.entries.length)) : null,
			faults.length ? el('ul', { 'class': 'x0-list x0-faults', 'data-key': 'faults' }, faults.map(fault => this.row(fault)))
				: el('p', { 'class': 'x0-empty', 'data-key': 'none' }, this.entries.length
					? _('No fault is like this. The filter may be too narrow.') : _('Nothing had to be repaired so far.')),
			this.limit < ALL && this.entries.length >= this.limit ? el('button', { 'class': 'btn cbi-button', type: 'button', 'data-key': 'more',
				click: () => { this.limit = ALL; this.update() } }, _('Show older ones')) : null,
			this.catalogue()
		];
	},

	redraw() {
		lib.morph(this.root, this.frame());
	},

	update() {
		return this.fetch().then(() => this.redraw());
	},

	render() {
		/* Somebody came for this one. */
		if (this.named && this.entries && this.entries.some(entry => entry.fault == this.named)) {
			this.opened[this.named] = true;
			this.explain(this.named);
		}
		this.root = this.frame();
		lib.keep(() => this.update(), EVERY);

		return this.root;
	}
});
