/* The mesh as this router knows it: who is there, by which ways, how good they are, and how that was an hour ago. */
'use strict';
'require view';
'require view.x0tta6bl4.lib as lib';
'require view.x0tta6bl4.layout as layout';

const EVERY = 5;
const LOG = 200;
const STEP = 15;
const el = lib.el;

/* How good a way is by its cost: expected transmissions, or for BATMAN_V the milliseconds that one Mbit takes. */
const LIMITS = { BATMAN_IV: [ 1.05, 1.25, 1.7, 3 ], BATMAN_V: [ 10, 20, 100, 1000 ] };

function levelOf(cost, algorithm) {
	const limits = LIMITS[algorithm] || LIMITS.BATMAN_IV;
	const at = limits.findIndex(limit => cost <= limit);

	return at < 0 ? 1 : 5 - at;
}

const pairOf = (a, b) => a < b ? a + ' ' + b : b + ' ' + a;

/* The cheapest way from one router to all others, as a Map of router to the one before it. */
function waysFrom(self, edges) {
	const near = new Map(), far = new Map([ [ self, 0 ] ]), before = new Map(), open = new Set([ self ]);

	for (const edge of edges) {
		for (const [ a, b ] of [ [ edge.from, edge.to ], [ edge.to, edge.from ] ])
			near.set(a, (near.get(a) || []).concat([ [ b, edge.cost ] ]));
	}

	while (open.size) {
		let at = null;

		for (const one of open)
			at = at == null || far.get(one) < far.get(at) ? one : at;
		open.delete(at);

		for (const [ next, cost ] of near.get(at) || []) {
			if (far.get(at) + cost < (far.has(next) ? far.get(next) : Infinity)) {
				far.set(next, far.get(at) + cost);
				before.set(next, at);
				open.add(next);
			}
		}
	}

	return before;
}

function wayTo(target, self, before) {
	const way = [ target ];

	while (way[0] != self && before.has(way[0]))
		way.unshift(before.get(way[0]));

	return way[0] == self ? way : [];
}

return view.extend({
	handleSave: null,
	handleSaveApply: null,
	handleReset: null,

	data: null,
	trouble: null,
	positions: null,
	selected: null,
	focused: null,
	/* null shows all; else what part of the layout is seen. */
	window: null,
	/* Seconds ago; null is now. */
	replay: null,
	past: null,
	spare: false,
	timer: null,

	fetch() {
		return Promise.all([ lib.ask('topology'), lib.ask('status'), lib.ask('nodes'), lib.ask('links'), lib.ask('gateways') ])
			.then(([ topology, status, nodes, links, gateways ]) => {
				this.data = { topology, status, nodes: new Map(nodes.nodes.map(node => [ node.originator, node ])),
					links: links.links, gateways: gateways.gateways };
				this.trouble = null;
				lib.learn(status, nodes.nodes);
			}).catch(thrown => { this.trouble = lib.told(thrown) });
	},

	load() {
		return Promise.all([ lib.loadNames(), this.fetch() ]);
	},

	/* The graph to be drawn: of now, or of a moment in the last hour. */
	graph() {
		const { topology, links } = this.data;
		const self = topology.self;
		let edges = topology.edges, ids = topology.nodes.map(node => node.id);

		if (this.replay != null && this.past) {
			const costs = new Map();

			for (const { ageSeconds, changes } of this.past.frames) {
				if (ageSeconds < this.replay - 1)
					break;
				for (let i = 0; i < changes.length; i += 2)
					costs.set(changes[i], changes[i + 1]);
			}
			edges = [ ...costs ].filter(([ , cost ]) => cost > 0).map(([ i, cost ]) => ({ ...this.past.edges[i], cost }));
			/* Who was not there then is seen to be missing. */
			ids = [ ...new Set(ids.concat(this.past.edges.flatMap(({ from, to }) => [ from, to ]))) ];
		}

		const own = new Map(links.filter(link => link.originator).map(link => [ link.originator, link.quality ]));
		const best = new Map();

		for (const edge of edges) {
			const key = pairOf(edge.from, edge.to), known = best.get(key);

			if (edge.from == edge.to || (known && (known.kind != 'alternative' || edge.kind == 'alternative') && known.cost <= edge.cost))
				continue;
			if (edge.kind == 'alternative' && known)
				continue;

			const told = this.replay == null && edge.kind == 'link' && edge.from == self ? own.get(edge.to) : null;

			best.set(key, { ...edge, key, level: lib.LEVELS[told] || levelOf(edge.cost, topology.algorithm) });
		}

		const all = [ ...best.values() ];
		const used = all.filter(edge => edge.kind != 'alternative');

		return { self, ids, edges: used, spare: all.filter(edge => edge.kind == 'alternative'),
			before: self ? waysFrom(self, used) : new Map() };
	},

	/* Where everything is; moves only what has to. */
	arrange({ self, ids, edges, spare }) {
		const all = new Set(ids), lone = new Set(ids);

		for (const { from, to } of edges) {
			lone.delete(from);
			lone.delete(to);
		}

		/* Ways not in use hold only those who hang on nothing else. */
		const pairs = edges.concat(spare.filter(({ from, to }) => lone.has(from) || lone.has(to)))
			.map(({ from, to }) => [ from, to ]);
		const known = this.positions && ids.every(id => this.positions.has(id));

		if (!known) {
			const placed = layout.place([ ...all ], pairs, { wide: this.shape(), first: self, before: this.positions });

			this.positions = new Map([ ...(this.replay != null && this.positions || []), ...placed ]);
		}
	},

	shape() {
		const box = this.size();

		return box.width / box.height;
	},

	size() {
		const canvas = this.root && this.root.querySelector('.x0-canvas');
		const place = document.getElementById('view') || document.body;
		/* Before it is in its place: what the details beside it leave. */
		const beside = window.innerWidth > 820 ? 20 * parseFloat(getComputedStyle(place).fontSize) : 0;
		const width = canvas && canvas.clientWidth || Math.min(place.clientWidth, window.innerWidth) - beside - 2 || 800;

		return { width: Math.max(width, 200),
			height: canvas && canvas.clientHeight || Math.min(Math.max(window.innerHeight * 0.62, 320), 720) };
	},

	/* What of the layout is seen, with the shape of the place it is seen in. */
	seen(ids) {
		const { width, height } = this.size();

		if (this.window)
			return { ...this.window, h: this.window.w * height / width };

		const at = ids.map(id => this.positions.get(id));
		const xs = at.map(({ x }) => x), ys = at.map(({ y }) => y);
		const left = Math.min(...xs), top = Math.min(...ys);
		const wide = Math.max(Math.max(...xs) - left, 160), high = Math.max(Math.max(...ys) - top, 120);
		/* Room for names at the edges, of the same size on every screen. */
		const scale = Math.max(wide / Math.max(width - 160, 80), high / Math.max(height - 80, 80));

		/* The buttons stand at the right. */
		return { x: (left + Math.max(...xs)) / 2 - (width - 44) * scale / 2, y: (top + Math.max(...ys)) / 2 - height * scale / 2,
			w: width * scale, h: height * scale };
	},

	describe(id, graph) {
		const node = this.data.nodes.get(id);
		const parts = [ lib.nameOf(id) ];

		if (id == graph.self)
			parts.push(_('this router'));
		if (this.data.gateways.some(one => one.originator == id))
			parts.push(_('gateway'));

		const way = wayTo(id, graph.self, graph.before);

		if (way.length > 1) {
			const worst = Math.min(...way.slice(1).map((to, i) => graph.levels.get(pairOf(way[i], to)) || 1));

			parts.push(N_(way.length - 1, '%d hop or more', '%d hops or more').format(way.length - 1),
				_('quality %s').format(lib.levelWord(worst)));
		}
		else if (id != graph.self)
			parts.push(_('no way known'));
		if (node && node.health == 'degraded')
			parts.push(_('worse than it was'));

		return parts.join(', ');
	},

	drawing() {
		const graph = this.graph();

		graph.levels = new Map(graph.edges.map(edge => [ edge.key, edge.level ]));
		this.drawn = graph;

		if (graph.ids.length == 0)
			return el('p', { 'class': 'x0-empty' }, _('There is no mesh to draw yet.'));

		this.arrange(graph);

		const { self, ids, edges, spare, before } = graph;
		const box = this.seen(ids), { width } = this.size(), unit = box.w / width;
		this.wide = width;

		const chosen = this.data.gateways.find(one => one.best);
		const offers = new Set(this.data.gateways.map(one => one.originator));
		const near = new Set(edges.filter(edge => edge.kind == 'link' && edge.from == self).map(edge => edge.to));
		const cuts = new Set(this.data.topology.cuts.routers.map(({ id }) => id));
		const px = ids.length <= 20 ? 13 : ids.length <= 60 ? 10 : ids.length <= 150 ? 8 : 6;
		const size = Math.min(px * unit, 21);
		const at = id => this.positions.get(id);
		const line = (edge, name, key) => {
			const a = at(edge.from), b = at(edge.to);

			return a && b && el('svg:line', { 'class': name, 'data-key': key, x1: a.x.toFixed(1), y1: a.y.toFixed(1),
				x2: b.x.toFixed(1), y2: b.y.toFixed(1) });
		};
		const way = target => wayTo(target, self, before);
		const steps = (target, name) => target == null ? [] : way(target).slice(1).map((to, i, rest) =>
			line({ from: i ? rest[i - 1] : self, to }, name, name + to));

		/* Few things stand in front: those that matter, and those that a name was found room for. */
		const rank = id => (id == this.selected ? 100000 : 0) + (id == self ? 50000 : 0) + (offers.has(id) ? 20000 : 0)
			+ (near.has(id) ? 10000 : 0) + (cuts.has(id) ? 5000 : 0);
		/* Where there are many, an address in the picture tells nobody anything. */
		const told = ids.filter(id => ids.length <= 60 || this.window || rank(id) > 5000 || lib.called(id));
		const labels = this.labels(told.sort((a, b) => rank(b) - rank(a)), ids, at, unit, size, box);

		const node = id => {
			const { x, y } = at(id);
			const known = this.data.nodes.get(id);
			const lost = id != self && !before.has(id);
			const kind = [ 'x0-node', id == self ? 'x0-self' : offers.has(id) ? 'x0-gateway' : '', chosen && id == chosen.originator ? 'x0-best' : '', near.has(id) ? 'x0-near' : '',
				lost || (known && known.health == 'unreachable') ? 'x0-lost' : '', id == this.selected ? 'x0-selected' : '' ];
			const r = id == self ? size * 1.25 : size;

			return el('svg:g', {
				'class': kind.join(' '), 'data-key': 'n' + id, 'data-id': id, role: 'button',
				tabindex: id == (this.focused || self || ids[0]) ? 0 : -1, 'aria-pressed': String(id == this.selected),
				'aria-label': this.describe(id, graph), transform: 'translate(' + x.toFixed(1) + ' ' + y.toFixed(1) + ')'
			}, [
				el('svg:title', {}, this.describe(id, graph)),
				offers.has(id) ? el('svg:rect', { 'class': 'x0-mark', x: -r, y: -r, width: r * 2, height: r * 2, rx: r * 0.3 })
					: el('svg:circle', { 'class': 'x0-mark', r }),
				id == self ? el('svg:circle', { 'class': 'x0-heart', r: r * 0.42 }) : null,
				offers.has(id) ? el('svg:path', { 'class': 'x0-out', d: arrow(r * 0.55) }) : null,
				lost ? el('svg:path', { 'class': 'x0-cross', d: 'M' + [ -r, -r ] + 'L' + [ r, r ] }) : null
			]);
		};

		return el('svg:svg', {
			'class': 'x0-map' + (ids.length > 60 ? ' x0-many' : '') + (this.window ? ' x0-zoomed' : ''), 'data-nodes': ids.length,
			role: 'group', 'aria-label': N_(ids.length, 'Map of the mesh: %d router', 'Map of the mesh: %d routers').format(ids.length),
			viewBox: [ box.x, box.y, box.w, box.h ].map(value => value.toFixed(1)).join(' ')
		}, [
			el('svg:g', { 'data-key': 'spare' }, this.spare ? spare.map(edge => line(edge, 'x0-spare', edge.key)) : []),
			el('svg:g', { 'data-key': 'ways' }, [ steps(chosen && chosen.originator, 'x0-way'),
				this.selected && this.selected != self ? steps(this.selected, 'x0-pick') : [] ]),
			el('svg:g', { 'data-key': 'edges' }, edges.map(edge => line(edge, 'x0-edge x0-l' + edge.level
				+ (edge.kind == 'route' ? ' x0-route' : ''), edge.key))),
			el('svg:g', { 'data-key': 'nodes' }, ids.map(node)),
			el('svg:g', { 'data-key': 'labels', 'aria-hidden': 'true' }, labels)
		]);
	},

	/* Names for those first in line, as far as there is room. */
	labels(told, ids, at, unit, size, box) {
		const taken = [], found = [], font = 12 * unit;
		const free = one => taken.every(other => one.right < other.left || other.right < one.left
			|| one.bottom < other.top || other.bottom < one.top);
		const dots = ids.map(id => ({ id, ...at(id) }));

		for (const id of told) {
			const { x, y } = at(id);

			if (x < box.x || x > box.x + box.w || y < box.y || y > box.y + box.h || found.length > 120)
				continue;

			const text = lib.clean(lib.nameOf(id), 22);
			const half = text.length * font * 0.29, gap = size * (id == this.drawn.self ? 1.25 : 1) + font * 0.25;
			const spots = [ [ x, y + gap + font * 0.85, 'middle', x - half ], [ x, y - gap - font * 0.1, 'middle', x - half ],
				[ x + gap, y + font * 0.35, 'start', x + gap ], [ x - gap, y + font * 0.35, 'end', x - gap - half * 2 ] ];

			for (const [ tx, ty, anchor, left ] of spots) {
				const own = { left, right: left + half * 2, top: ty - font * 0.9, bottom: ty + font * 0.25 };
				const over = dots.some(dot => dot.id != id && dot.x > own.left - size && dot.x < own.right + size
					&& dot.y > own.top - size && dot.y < own.bottom + size);

				if ((over && id != this.selected && id != this.drawn.self) || !free(own))
					continue;
				taken.push(own);
				found.push(el('svg:text', { 'class': 'x0-label', 'data-key': 't' + id, x: tx.toFixed(1), y: ty.toFixed(1),
					'text-anchor': anchor, 'font-size': font.toFixed(1) }, text));
				break;
			}
		}

		return found;
	},

	details() {
		const id = this.selected, graph = this.drawn;

		if (id == null || graph == null)
			return el('div', { 'class': 'x0-details x0-empty' }, _('Choose a router to see what is known of it.'));

		const node = this.data.nodes.get(id);
		const offer = this.data.gateways.find(one => one.originator == id);
		const way = wayTo(id, graph.self, graph.before);
		const links = this.data.links.filter(link => link.originator == id || link.neighbour == id);
		const cut = this.data.topology.cuts.routers.find(one => one.id == id);
		const states = { joined: _('in the mesh'), registered: _('new in the mesh'), left: _('left'), dead: _('not heard for a long time') };
		const row = (term, value) => el('div', {}, [ el('dt', {}, term), el('dd', {}, value) ]);

		return el('div', { 'class': 'x0-details', 'data-key': id }, [
			el('h3', {}, lib.nameOf(id)),
			el('dl', { 'class': 'x0-facts' }, [
				row(_('Address'), el('code', {}, id)),
				id == graph.self ? row(_('State'), _('this router'))
					: node ? row(_('State'), (states[node.state] || lib.clean(node.state)) + ', ' + _('for %s').format(lib.duration(node.sinceSeconds))) : null,
				node ? row(_('Heard'), lib.ago(node.lastSeenSeconds)) : null,
				offer ? row(_('Gateway'), offer.best ? _('the one in use') : _('on offer')) : null,
				way.length > 1 ? row(_('Way'), el('ol', { 'class': 'x0-way-list' }, way.map((one, i) => el('li', {}, el('div', { 'class': 'x0-hop' }, [
					el('span', {}, lib.nameOf(one)), i ? lib.badge(graph.levels.get(pairOf(way[i - 1], one)) || 0) : null ]))))) : null,
				links.map(link => row(_('Link on %s').format(lib.clean(link.interface, 16)), [ lib.badge(lib.LEVELS[link.quality] || 0),
					link.radio && link.radio.signalDbm != null ? ' ' + _('%d dBm').format(link.radio.signalDbm) : '',
					link.loss != null ? ' · ' + _('loss %s %%').format((link.loss * 100).toFixed(1)) : '' ])),
				cut ? row(_('Without it'), _('the mesh falls into parts of %s routers').format(cut.parts.join(' + '))) : null
			]),
			el('a', { href: L.url('admin/services/x0tta6bl4/repairs') + '#' + encodeURIComponent(id) }, _('Repairs about it'))
		]);
	},

	/* For those who read, or have read to them, rather than look. */
	table() {
		const graph = this.drawn;

		if (graph == null)
			return null;

		return el('details', { 'class': 'x0-as-table', 'data-key': 'table' }, [
			el('summary', {}, _('The same as a list')),
			el('ul', {}, graph.ids.map(id => el('li', { 'data-key': id }, this.describe(id, graph))))
		]);
	},

	legend() {
		const sample = (name, word) => el('span', { 'class': 'x0-sample' }, [
			el('svg:svg', { viewBox: '0 0 40 12', width: 40, height: 12, 'aria-hidden': 'true' },
				el('svg:line', { 'class': name, x1: 2, y1: 6, x2: 38, y2: 6 })), word ]);
		const shape = (name, word, mark) => el('span', { 'class': 'x0-sample' }, [
			el('svg:svg', { viewBox: '-9 -9 18 18', width: 18, height: 18, 'aria-hidden': 'true' }, el('svg:g', { 'class': name }, mark)), word ]);

		return el('div', { 'class': 'x0-legend', 'aria-label': _('Legend') }, [
			[ 5, 4, 3, 2, 1 ].map(level => sample('x0-edge x0-l' + level, lib.levelWord(level))),
			sample('x0-way', _('way to the gateway')),
			sample('x0-edge x0-l5 x0-route', _('over more than one hop')),
			shape('x0-node x0-self', _('this router'), [ el('svg:circle', { 'class': 'x0-mark', r: 7 }), el('svg:circle', { 'class': 'x0-heart', r: 3 }) ]),
			shape('x0-node x0-gateway x0-best', _('gateway'), [ el('svg:rect', { 'class': 'x0-mark', x: -6, y: -6, width: 12, height: 12, rx: 2 }),
				el('svg:path', { 'class': 'x0-out', d: arrow(3.4) }) ]),
			shape('x0-node x0-lost', _('no way to it'), [ el('svg:circle', { 'class': 'x0-mark', r: 6 }), el('svg:path', { 'class': 'x0-cross', d: 'M-6 -6L6 6' }) ])
		]);
	},

	tools() {
		const button = (name, word, act) => el('button', { 'class': 'btn cbi-button x0-tool', type: 'button', title: word, 'aria-label': word,
			click: act }, lib.icon(name));

		return el('div', { 'class': 'x0-tools', 'data-key': 'tools' }, [
			button('plus', _('Nearer'), () => this.zoom(0.7)),
			button('minus', _('Farther'), () => this.zoom(1 / 0.7)),
			button('fit', _('All of it'), () => this.zoom(null))
		]);
	},

	/* The slider over the last hour, with a tick for each repair. */
	timeline() {
		const span = this.past ? Math.max(STEP, Math.ceil((this.past.frames[0] || { ageSeconds: 0 }).ageSeconds / STEP) * STEP) : 3600;
		const at = this.replay == null ? 0 : -Math.min(this.replay, span);
		const when = this.replay == null ? _('now')
			: lib.ago(this.replay) + ' (' + lib.time(lib.clock(this.data.status) - this.replay * 1000) + ')';
		const ticks = this.past ? this.past.faults.filter(one => one.age <= span) : [];
		const here = this.replay == null ? [] : ticks.filter(one => Math.abs(one.age - this.replay) < 45);

		return el('div', { 'class': 'x0-timeline', 'data-key': 'timeline' }, [
			el('button', { 'class': 'btn cbi-button x0-tool', type: 'button', click: () => this.play(),
				'aria-label': this.timer ? _('Stop the replay') : _('Replay the last hour') }, lib.icon(this.timer ? 'pause' : 'play')),
			el('div', { 'class': 'x0-slide' }, [
				el('svg:svg', { 'class': 'x0-ticks', viewBox: '0 0 1000 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
					ticks.map(({ age, step, id }) => el('svg:rect', { 'class': 'x0-' + lib.stepWord(step)[1], 'data-key': id,
						x: (1000 - age / span * 1000).toFixed(0), y: 0, width: 5, height: 10 }))),
				el('input', { type: 'range', min: -span, max: 0, step: STEP, value: at, 'aria-label': _('Moment of the last hour'),
					'aria-valuetext': when, 'data-key': 'slider', input: ev => this.seek(-ev.target.value) })
			]),
			el('output', { 'class': 'x0-when' }, when),
			here.length ? el('span', { 'class': 'x0-small x0-here' }, here.slice(0, 3).map(one =>
				lib.faultWord(one['class']) + ': ' + lib.stepWord(one.step)[0]).join(' · ')) : null,
			el('label', { 'class': 'x0-small x0-check' }, [
				el('input', { type: 'checkbox', change: ev => { this.spare = ev.target.checked; this.redraw() } }),
				_('also ways that are not in use') ])
		]);
	},

	frame() {
		return lib.frame(_('Map of the mesh'), this.trouble, () => this.data == null ? null : [
			el('div', { 'class': 'x0-mapping', 'data-key': 'map' }, [
				el('div', { 'class': 'x0-canvas' + (this.replay != null ? ' x0-replaying' : '') }, [ this.drawing(), this.tools() ]),
				el('aside', { 'aria-live': 'polite', 'aria-label': _('Details') }, this.details())
			]),
			this.timeline(),
			this.legend(),
			this.table()
		]);
	},

	redraw() {
		const slider = this.root.querySelector('input[type=range]');

		lib.morph(this.root, this.frame());
		if (slider && this.replay == null)
			slider.value = 0;
		else if (slider)
			slider.value = -this.replay;
	},

	update() {
		return this.fetch().then(() => {
			if (this.replay == null)
				this.redraw();
		});
	},

	choose(id) {
		this.selected = id;
		if (id != null)
			this.focused = id;
		this.redraw();
	},

	zoom(factor, x, y) {
		if (factor == null || this.drawn == null || this.drawn.ids.length == 0)
			this.window = null;
		else {
			const box = this.seen(this.drawn.ids);
			const cx = x == null ? box.x + box.w / 2 : x, cy = y == null ? box.y + box.h / 2 : y;
			const w = Math.min(Math.max(box.w * factor, 150), 50000);

			this.window = { x: cx - (cx - box.x) * w / box.w, y: cy - (cy - box.y) * w / box.w, w };
		}
		this.redraw();
	},

	/* Asked for anew when somebody comes back to it. */
	loadPast() {
		if (this.past && (this.replay != null || Date.now() - this.past.at < 30000))
			return Promise.resolve();

		return Promise.all([ lib.ask('history'), lib.ask('heal_log', LOG), lib.ask('status') ]).then(([ history, log, status ]) => {
			const faults = new Map();

			if (!Array.isArray(history.frames) || !Array.isArray(history.edges))
				throw new TypeError('history');
			for (const entry of log.entries) {
				const known = faults.get(entry.fault);

				faults.set(entry.fault, { id: entry.fault, 'class': entry['class'], step: lib.outcome(known && known.step, entry.step),
					age: known ? known.age : (lib.clock(status) - Date.parse(entry.time)) / 1000 });
			}
			this.past = { ...history, at: Date.now(), faults: [ ...faults.values() ] };
		}).catch(thrown => { this.trouble = lib.told(thrown) });
	},

	seek(age) {
		this.loadPast().then(() => {
			this.replay = age <= 0 || !this.past ? null : age;
			this.redraw();
		});
	},

	play() {
		if (this.timer) {
			clearInterval(this.timer);
			this.timer = null;
			return this.redraw();
		}

		this.loadPast().then(() => {
			const first = this.past && this.past.frames[0];
			const span = first ? first.ageSeconds : 0;

			this.replay = this.replay || span;
			this.timer = setInterval(() => {
				if (!this.root.isConnected || this.replay <= STEP) {
					clearInterval(this.timer);
					this.timer = null;
					this.replay = null;
				}
				else
					this.replay = Math.max(0, this.replay - Math.max(STEP, span / 120));
				this.redraw();
			}, 150);
			this.redraw();
		});
	},

	/* The router nearest to a point of the screen, within a finger's width. */
	nearest(ev) {
		const map = this.root.querySelector('svg.x0-map');
		const box = map.getBoundingClientRect(), seen = this.seen(this.drawn.ids), unit = seen.w / box.width;
		const x = seen.x + (ev.clientX - box.left) * unit, y = seen.y + (ev.clientY - box.top) * unit;
		let found = null, least = Math.pow(24 * unit, 2);

		for (const id of this.drawn.ids) {
			const at = this.positions.get(id);
			const far = Math.pow(at.x - x, 2) + Math.pow(at.y - y, 2);

			if (far < least) {
				least = far;
				found = id;
			}
		}

		return { id: found, x, y, unit };
	},

	onKey(ev) {
		const { id } = ev.target.dataset || {};
		const arrows = { ArrowRight: [ 1, 0 ], ArrowLeft: [ -1, 0 ], ArrowDown: [ 0, 1 ], ArrowUp: [ 0, -1 ] };

		if (ev.key == '+' || ev.key == '-' || ev.key == '0')
			this.zoom({ '+': 0.7, '-': 1 / 0.7, '0': null }[ev.key]);
		else if (ev.key == 'Escape')
			this.choose(null);
		else if (id && (ev.key == 'Enter' || ev.key == ' '))
			this.choose(id);
		else if (id && arrows[ev.key]) {
			const [ ax, ay ] = arrows[ev.key], from = this.positions.get(id);
			let next = null, least = Infinity;

			for (const other of this.drawn.ids) {
				const to = this.positions.get(other);
				const along = (to.x - from.x) * ax + (to.y - from.y) * ay;
				const aside = Math.abs((to.x - from.x) * ay) + Math.abs((to.y - from.y) * ax);

				if (along > 1 && aside < along * 2 && along + aside * 2 < least) {
					least = along + aside * 2;
					next = other;
				}
			}
			if (next) {
				this.focused = next;
				this.redraw();
				this.root.querySelector('[data-id="' + CSS.escape(next) + '"]').focus();
			}
		}
		else
			return;

		ev.preventDefault();
	},

	listen(canvas) {
		let held = null;

		canvas.addEventListener('keydown', ev => this.onKey(ev));
		canvas.addEventListener('wheel', ev => {
			if (!ev.ctrlKey && !ev.metaKey && !this.window)
				return;
			ev.preventDefault();

			const { x, y } = this.nearest(ev);

			this.zoom(ev.deltaY < 0 ? 0.85 : 1 / 0.85, x, y);
		}, { passive: false });
		canvas.addEventListener('pointerdown', ev => {
			if (ev.target.closest('svg.x0-map'))
				held = { x: ev.clientX, y: ev.clientY, box: this.seen(this.drawn.ids), moved: false };
		});
		canvas.addEventListener('pointermove', ev => {
			if (held == null || (ev.pointerType == 'touch' && !this.window))
				return;

			const dx = ev.clientX - held.x, dy = ev.clientY - held.y;

			if (!held.moved && dx * dx + dy * dy < 36)
				return;
			held.moved = true;
			canvas.setPointerCapture(ev.pointerId);

			const unit = held.box.w / this.size().width;

			this.window = { x: held.box.x - dx * unit, y: held.box.y - dy * unit, w: held.box.w };
			this.redraw();
		});
		canvas.addEventListener('pointerup', ev => {
			if (held && !held.moved && ev.target.closest('svg.x0-map'))
				this.choose(this.nearest(ev).id);
			held = null;
		});
		canvas.addEventListener('pointercancel', () => { held = null });
	},

	render() {
		this.root = this.frame();

		/* In its place the map may have another size than was thought. */
		let listening = null;

		new ResizeObserver(() => {
			const canvas = this.root.querySelector('.x0-canvas');

			if (canvas && canvas !== listening) {
				listening = canvas;
				this.listen(canvas);
			}
			if (canvas && canvas.clientWidth && Math.abs(canvas.clientWidth / this.wide - 1) > 0.01)
				this.redraw();
		}).observe(this.root);
		lib.keep(() => this.update(), EVERY);
		/* The mesh first, then its past. */
		setTimeout(() => this.loadPast().then(() => this.redraw()), 800);

		return this.root;
	}
});

function arrow(r) {
	return 'M' + [ -r, 0 ] + 'H' + r + 'M' + [ r * 0.2, -r * 0.8 ] + 'L' + [ r, 0 ] + 'L' + [ r * 0.2, r * 0.8 ];
}
