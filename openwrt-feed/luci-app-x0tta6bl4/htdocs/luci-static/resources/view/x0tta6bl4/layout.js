/*
 * Where the routers of a mesh are drawn. Springs along links, repulsion between all, each connected part by itself, the
 * parts side by side. No chance in it: the same mesh is drawn the same way, and a mesh that changed a little moves a
 * little, when it is told where things were.
 */
'use strict';
'require baseclass';

/* Links are about this long, and no two routers nearer than GAP. */
const LENGTH = 100;
const GAP = 58;
/* Routers push each other up to here: a squared distance. */
const REACH = 36 * LENGTH * LENGTH;

/* Parts that hang together, the largest first, as lists of indices. */
function components(near) {
	const seen = new Uint8Array(near.length), found = [];

	for (let i = 0; i < near.length; i++) {
		if (seen[i])
			continue;

		const part = [ i ];

		seen[i] = 1;
		for (let at = 0; at < part.length; at++) {
			for (const next of near[part[at]]) {
				if (!seen[next]) {
					seen[next] = 1;
					part.push(next);
				}
			}
		}
		found.push(part);
	}

	return found.sort((a, b) => b.length - a.length || a[0] - b[0]);
}

/* A tree from its root outwards, each branch in a sector as wide as it has leaves. */
function radial(part, near, root, x, y) {
	const level = new Map([ [ root, 0 ] ]), children = new Map(), order = [ root ];

	for (const at of order) {
		const own = near[at].filter(next => !level.has(next));

		children.set(at, own);
		for (const next of own) {
			level.set(next, level.get(at) + 1);
			order.push(next);
		}
	}

	const leaves = new Map();

	for (let i = order.length - 1; i >= 0; i--)
		leaves.set(order[i], Math.max(1, children.get(order[i]).reduce((sum, next) => sum + leaves.get(next), 0)));

	const place = (at, from, to) => {
		const angle = (from + to) / 2, far = level.get(at) * LENGTH;

		x[at] = Math.cos(angle) * far;
		y[at] = Math.sin(angle) * far;

		let begin = from;

		for (const next of children.get(at)) {
			const end = begin + (to - from) * leaves.get(next) / leaves.get(at);

			place(next, begin, end);
			begin = end;
		}
	};

	place(root, -Math.PI, Math.PI);
}

/* `heat` is how far a router may move in the first round. */
function relax(part, pairs, degrees, x, y, rounds, heat) {
	const n = part.length, dx = new Float64Array(n), dy = new Float64Array(n);
	const at = new Map(part.map((node, i) => [ node, i ]));
	const links = pairs.filter(([ a ]) => at.has(a)).map(([ a, b ]) => [ at.get(a), at.get(b) ]);
	const px = Float64Array.from(part, node => x[node]), py = Float64Array.from(part, node => y[node]);
	const weight = Float64Array.from(part, node => 1 + Math.min(degrees[node], 12) / 12);

	for (let round = 0; round < rounds; round++) {
		dx.fill(0);
		dy.fill(0);

		for (let i = 0; i < n; i++) {
			for (let j = i + 1; j < n; j++) {
				let ax = px[i] - px[j], ay = py[i] - py[j];
				let square = ax * ax + ay * ay;

				if (square < 1) {
					/* On top of each other: apart in a direction of their own. */
					ax = Math.cos(i * 2.4 + j);
					ay = Math.sin(i * 2.4 + j);
					square = 1;
				}

				/* Those far away do not matter to each other, so a long mesh does not drive itself apart. */
				if (square > REACH)
					continue;

				const push = LENGTH * LENGTH * 0.6 * weight[i] * weight[j] * (1 - square / REACH) / square;

				dx[i] += ax * push;
				dy[i] += ay * push;
				dx[j] -= ax * push;
				dy[j] -= ay * push;
			}
		}

		for (const [ i, j ] of links) {
			const ax = px[i] - px[j], ay = py[i] - py[j];
			const pull = Math.sqrt(ax * ax + ay * ay) / LENGTH * 1.3;

			dx[i] -= ax * pull;
			dy[i] -= ay * pull;
			dx[j] += ax * pull;
			dy[j] += ay * pull;
		}

		const most = heat * Math.pow(1 - round / rounds, 1.5) + 1;

		for (let i = 0; i < n; i++) {
			dx[i] -= px[i] * 0.08;
			dy[i] -= py[i] * 0.08;

			const far = Math.sqrt(dx[i] * dx[i] + dy[i] * dy[i]);

			if (far > 0) {
				const step = Math.min(far * 0.12, most) / far;

				px[i] += dx[i] * step;
				py[i] += dy[i] * step;
			}
		}
	}

	/* What still touches is moved apart. */
	for (let round = 0; round < 12; round++) {
		for (let i = 0; i < n; i++) {
			for (let j = i + 1; j < n; j++) {
				const ax = px[i] - px[j], ay = py[i] - py[j];
				const far = Math.sqrt(ax * ax + ay * ay) || 1;

				if (far < GAP) {
					const step = (GAP - far) / far / 2;

					px[i] += ax * step;
					py[i] += ay * step;
					px[j] -= ax * step;
					py[j] -= ay * step;
				}
			}
		}
	}

	part.forEach((node, i) => {
		x[node] = px[i];
		y[node] = py[i];
	});
}

function boundsOf(part, x, y) {
	const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };

	for (const i of part) {
		box.left = Math.min(box.left, x[i]);
		box.right = Math.max(box.right, x[i]);
		box.top = Math.min(box.top, y[i]);
		box.bottom = Math.max(box.bottom, y[i]);
	}

	return box;
}

/* The first part in its own place, the others in rows beside or below it, wherever the whole comes nearer to `wide`. */
function pack(parts, x, y, wide) {
	const boxes = parts.map(part => boundsOf(part, x, y));
	const widths = boxes.map(box => box.right - box.left + LENGTH), heights = boxes.map(box => box.bottom - box.top + LENGTH);
	const area = widths.reduce((sum, w, i) => i ? sum + w * heights[i] : 0, 0);
	const beside = parts.length > 1 && widths[0] / heights[0] < wide;
	const room = beside ? Math.max(area / heights[0] * 1.15, Math.max(...widths.slice(1)))
		: Math.max(widths[0] || 0, Math.sqrt(area * wide));
	const start = beside ? widths[0] : 0;
	let left = 0, top = 0, height = 0;

	parts.forEach((part, i) => {
		const box = boxes[i];

		if (i == 1) {
			left = start;
			top = beside ? 0 : heights[0];
			height = 0;
		}
		else if (i > 1 && left + widths[i] > start + room + 1) {
			left = start;
			top += height;
			height = 0;
		}
		for (const node of part) {
			x[node] += left - box.left;
			y[node] += top - box.top;
		}
		left += widths[i];
		height = Math.max(height, heights[i]);
	});
}

return baseclass.extend({
	/*
	 * `ids` of the routers, `links` as pairs of them. `wide` is width by height of the place to fill, `first` the router
	 * in whose part the others begin, `before` a Map of id to { x, y } from the last time, or null.
	 * Answers a Map of id to { x, y }.
	 */
	place(ids, links, { wide, first, before }) {
		const index = new Map(ids.map((id, i) => [ id, i ]));
		const near = ids.map(() => []), pairs = [];

		for (const [ a, b ] of links) {
			const i = index.get(a), j = index.get(b);

			if (i != null && j != null && i != j && !near[i].includes(j)) {
				near[i].push(j);
				near[j].push(i);
				pairs.push([ i, j ]);
			}
		}

		const x = new Float64Array(ids.length), y = new Float64Array(ids.length);
		const degrees = near.map(own => own.length);
		const known = ids.filter(id => before && before.has(id)).length;
		const parts = components(near);
		const self = index.get(first);

		parts.sort((a, b) => b.includes(self) - a.includes(self) || b.length - a.length);

		if (before && known >= ids.length * 0.7) {
			for (const [ i, id ] of ids.entries()) {
				const at = before.get(id) || before.get(ids[near[i].find(next => before.has(ids[next]))]);

				x[i] = at ? at.x + (before.has(id) ? 0 : Math.cos(i) * 40) : Math.cos(i) * LENGTH;
				y[i] = at ? at.y + (before.has(id) ? 0 : Math.sin(i) * 40) : Math.sin(i) * LENGTH;
			}
			if (known < ids.length) {
				for (const part of parts.filter(one => one.some(i => !before.has(ids[i])))) {
					const box = boundsOf(part, x, y);
					const cx = (box.left + box.right) / 2, cy = (box.top + box.bottom) / 2;

					part.forEach(i => { x[i] -= cx; y[i] -= cy });
					relax(part, pairs, degrees, x, y, 30, 10);
					part.forEach(i => { x[i] += cx; y[i] += cy });
				}
			}
		}
		else {
			for (const part of parts) {
				if (part.length == 1)
					continue;

				const root = part.includes(self) ? self
					: part.reduce((best, i) => degrees[i] > degrees[best] ? i : best, part[0]);

				radial(part, near, root, x, y);
				relax(part, pairs, degrees, x, y, part.length > 400 ? 60 : part.length > 120 ? 110 : 260, LENGTH);

				/* The long side lies along the long side of the place. */
				const box = boundsOf(part, x, y);

				if ((box.right - box.left > box.bottom - box.top) != (wide > 1)) {
					for (const i of part)
						[ x[i], y[i] ] = [ y[i], -x[i] ];
				}
			}
			pack(parts, x, y, wide);
		}

		return new Map(ids.map((id, i) => [ id, { x: x[i], y: y[i] } ]));
	}
});
