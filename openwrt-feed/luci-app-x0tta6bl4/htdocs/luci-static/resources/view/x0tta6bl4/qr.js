/*
 * A QR code of a text (ISO/IEC 18004, byte mode, UTF-8), as rows of modules and as SVG. Error correction is M, and L
 * where the text is too long for that.
 */
'use strict';
'require baseclass';

/* For each version from 1 to 25, which a phone still reads from a screen: error correction codewords of a block, and blocks. */
const SIZES = {
	M: {
		each: [ 10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28 ],
		blocks: [ 1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21 ],
		bits: 0
	},
	L: {
		each: [ 7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26 ],
		blocks: [ 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12 ],
		bits: 1
	}
};

const MASKS = [
	(x, y) => (x + y) % 2 == 0,
	(x, y) => y % 2 == 0,
	x => x % 3 == 0,
	(x, y) => (x + y) % 3 == 0,
	(x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 == 0,
	(x, y) => (x * y) % 2 + (x * y) % 3 == 0,
	(x, y) => ((x * y) % 2 + (x * y) % 3) % 2 == 0,
	(x, y) => ((x + y) % 2 + (x * y) % 3) % 2 == 0
];

/* Powers of 2 in GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1, twice around, and their logarithms. */
const EXP = new Uint8Array(510), LOG = new Uint8Array(256);

for (let i = 0, x = 1; i < 255; i++) {
	EXP[i] = EXP[i + 255] = x;
	LOG[x] = i;
	x = x << 1 ^ (x & 128 ? 0x11d : 0);
}

function times(a, b) {
	return a && b ? EXP[LOG[a] + LOG[b]] : 0;
}

/* The error correction of a block: the rest of its division by the generator of that degree. */
function correction(data, degree) {
	let generator = [ 1 ];

	for (let i = 0; i < degree; i++) {
		const next = generator.concat(0);

		generator.forEach((factor, at) => { next[at + 1] ^= times(factor, EXP[i]) });
		generator = next;
	}

	const rest = new Uint8Array(degree);

	for (const byte of data) {
		const factor = byte ^ rest[0];

		rest.copyWithin(0, 1);
		rest[degree - 1] = 0;
		for (let i = 0; i < degree; i++)
			rest[i] ^= times(generator[i + 1], factor);
	}

	return rest;
}

/* Where the centres of the alignment patterns are, on both axes. */
function alignments(version) {
	if (version == 1)
		return [];

	const count = Math.floor(version / 7) + 2;
	const step = Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
	const found = [ 6 ];

	for (let at = version * 4 + 10; found.length < count; at -= step)
		found.splice(1, 0, at);

	return found;
}

/* Codewords of all kinds that fit into a version. */
function capacity(version) {
	const count = version > 1 ? Math.floor(version / 7) + 2 : 0;
	let modules = (16 * version + 128) * version + 64;

	if (count)
		modules -= (25 * count - 10) * count - 55;
	if (version >= 7)
		modules -= 36;

	return Math.floor(modules / 8);
}

function remainder(value, divisor, bits) {
	let rest = value << bits;

	for (let i = 31 - Math.clz32(rest); i >= bits; i = 31 - Math.clz32(rest))
		rest ^= divisor << (i - bits);

	return value << bits | rest;
}

/* Data and error correction in the order in which they are drawn. */
function codewords(bytes, version, { each, blocks }) {
	const total = capacity(version), degree = each[version - 1], count = blocks[version - 1];
	const room = total - degree * count;
	const bits = [];
	const put = (value, length) => {
		for (let i = length - 1; i >= 0; i--)
			bits.push(value >> i & 1);
	};

	put(4, 4);
	put(bytes.length, version < 10 ? 8 : 16);
	bytes.forEach(byte => put(byte, 8));
	put(0, Math.min(4, room * 8 - bits.length));
	while (bits.length % 8)
		bits.push(0);

	const data = [];

	for (let i = 0; i < bits.length; i += 8)
		data.push(parseInt(bits.slice(i, i + 8).join(''), 2));
	for (let pad = 236; data.length < room; pad ^= 236 ^ 17)
		data.push(pad);

	const short = Math.floor(room / count), longer = room % count;
	const parts = [];

	for (let i = 0, at = 0; i < count; i++) {
		const size = short + (i < count - longer ? 0 : 1);
		const part = data.slice(at, at += size);

		parts.push({ part, check: correction(part, degree) });
	}

	const out = [];

	for (let i = 0; i <= short; i++)
		parts.forEach(({ part }) => { if (i < part.length) out.push(part[i]) });
	for (let i = 0; i < degree; i++)
		parts.forEach(({ check }) => out.push(check[i]));

	return out;
}

/* How hard to read: runs, squares, what looks like a finder, and too much of one colour. */
function penalty(rows) {
	const size = rows.length;
	let found = 0, dark = 0;

	const line = at => {
		let run = 0, before = -1, last = 0;

		for (let i = 0; i < size; i++) {
			const now = at(i);

			run = now == before ? run + 1 : 1;
			before = now;
			found += run == 5 ? 3 : run > 5 ? 1 : 0;
			last = (last << 1 | now) & 0x7ff;
			if (i >= 10 && (last == 0x5d || last == 0x5d0))
				found += 40;
		}
	};

	for (let i = 0; i < size; i++) {
		line(x => rows[i][x]);
		line(y => rows[y][i]);
	}

	for (let y = 0; y < size; y++) {
		for (let x = 0; x < size; x++) {
			dark += rows[y][x];
			if (x && y && rows[y][x] == rows[y - 1][x] && rows[y][x] == rows[y][x - 1] && rows[y][x] == rows[y - 1][x - 1])
				found += 3;
		}
	}

	return found + Math.floor(Math.abs(dark * 20 - size * size * 10) / (size * size)) * 10;
}

function matrix(version, words, bits) {
	const size = version * 4 + 17;
	const rows = Array.from({ length: size }, () => new Uint8Array(size));
	const taken = rows.map(() => new Uint8Array(size));
	const set = (x, y, dark) => {
		rows[y][x] = dark ? 1 : 0;
		taken[y][x] = 1;
	};

	for (let i = 0; i < size; i++) {
		set(6, i, i % 2 == 0);
		set(i, 6, i % 2 == 0);
	}

	for (const [ cx, cy ] of [ [ 3, 3 ], [ size - 4, 3 ], [ 3, size - 4 ] ]) {
		for (let y = cy - 4; y <= cy + 4; y++) {
			for (let x = cx - 4; x <= cx + 4; x++) {
				const far = Math.max(Math.abs(x - cx), Math.abs(y - cy));

				if (x >= 0 && y >= 0 && x < size && y < size)
					set(x, y, far != 2 && far != 4);
			}
		}
	}

	const centres = alignments(version), edge = size - 7;

	for (const cy of centres) {
		for (const cx of centres) {
			if ((cx == 6 && cy == 6) || (cx == 6 && cy == edge) || (cx == edge && cy == 6))
				continue;
			for (let y = -2; y <= 2; y++)
				for (let x = -2; x <= 2; x++)
					set(cx + x, cy + y, Math.max(Math.abs(x), Math.abs(y)) != 1);
		}
	}

	const format = mask => {
		const code = remainder(bits << 3 | mask, 0x537, 10) ^ 0x5412;
		const bit = i => code >> i & 1;

		for (let i = 0; i < 15; i++) {
			set(8, i < 6 ? i : i < 8 ? i + 1 : size - 15 + i, bit(i));
			set(i < 8 ? size - 1 - i : i == 8 ? 7 : 14 - i, 8, bit(i));
		}
		set(8, size - 8, 1);
	};

	format(0);

	if (version >= 7) {
		const code = remainder(version, 0x1f25, 12);

		for (let i = 0; i < 18; i++) {
			set(size - 11 + i % 3, Math.floor(i / 3), code >> i & 1);
			set(Math.floor(i / 3), size - 11 + i % 3, code >> i & 1);
		}
	}

	let at = 0;

	for (let right = size - 1; right >= 1; right -= 2) {
		if (right == 6)
			right = 5;
		for (let step = 0; step < size; step++) {
			const y = (right + 1 & 2) == 0 ? size - 1 - step : step;

			for (const x of [ right, right - 1 ]) {
				if (!taken[y][x]) {
					rows[y][x] = words[at >> 3] >> 7 - (at & 7) & 1;
					at++;
				}
			}
		}
	}

	let best = null, least = Infinity;

	for (let mask = 0; mask < 8; mask++) {
		format(mask);

		const tried = rows.map((row, y) => row.map((dark, x) => taken[y][x] ? dark : dark ^ MASKS[mask](x, y)));
		const found = penalty(tried);

		if (found < least) {
			least = found;
			best = tried;
		}
	}

	return best;
}

return baseclass.extend({
	/* Rows of 0 and 1 without the quiet zone; null for a text that fits into no QR code. */
	encode(text) {
		const bytes = new TextEncoder().encode(text);

		for (const level of [ SIZES.M, SIZES.L ]) {
			for (let version = 1; version <= SIZES.M.each.length; version++) {
				const room = capacity(version) - level.each[version - 1] * level.blocks[version - 1];

				if (bytes.length + (version < 10 ? 2 : 3) <= room)
					return matrix(version, codewords(bytes, version, level), level.bits);
			}
		}

		return null;
	},

	/* The path of all dark modules, one unit each, in a square of `rows.length + 8`. */
	path(rows) {
		return rows.map((row, y) => Array.from(row, (dark, x) => dark ? 'M' + (x + 4) + ' ' + (y + 4) + 'h1v1h-1z' : '').join(''))
			.join('');
	}
});
