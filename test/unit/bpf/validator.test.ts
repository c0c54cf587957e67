/** What lies between a file and the kernel: each kind of damage has its own code, and no bytes get past or break anything. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { AgentError, type ErrorCode } from '../../../agent/core/errors.ts';
import { type BpfObject, IMAGE_MOST, readObject } from '../../../agent/host/bpf/elf.ts';
import { explainDot, explainText } from '../../../agent/host/bpf/explainer.ts';
import { findObjects, readValid } from '../../../agent/host/bpf/loader.ts';
import { checkObject, readManifest, validate } from '../../../agent/host/bpf/validator.ts';
import { DATA, entryFor, seed } from './seeds.ts';

const BOTH = ['little', 'big'] as const;

/** As in test/data/bpf/cases.json: what is done to the little-endian seed, and what has to come of it. */
interface Case {
  readonly what: string;
  /** Bytes kept. */
  readonly keep?: number;
  /** [offset, bytes in hexadecimal] */
  readonly put?: readonly (readonly [number, string])[];
  /** Texts of the same length: the last place of the one, which lies among the names of sections, becomes the other. */
  readonly swap?: readonly [string, string];
  readonly code: ErrorCode;
}

const CASES = JSON.parse(readFileSync(join(DATA, 'cases.json'), 'utf8')) as Case[];

function damaged({ keep, put = [], swap }: Case): Buffer {
  let bytes = Buffer.from(seed('little'));
  if (keep !== undefined) bytes = bytes.subarray(0, keep);
  for (const [at, hex] of put) Buffer.from(hex, 'hex').copy(bytes, at);
  if (swap !== undefined) {
    const at = bytes.lastIndexOf(swap[0], undefined, 'latin1');
    assert.ok(at >= 0, swap[0]);
    bytes.write(swap[1], at, 'latin1');
  }
  return bytes;
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'passed';
  } catch (error) {
    return error instanceof AgentError ? error.code : `${(error as Error).stack}`;
  }
};

describe('the validator', () => {
  test('the seeds pass, and are read alike in both byte orders', () => {
    const [little, big] = BOTH.map((order) => validate(seed(order), entryFor(seed(order), order))) as [
      BpfObject,
      BpfObject,
    ];
    assert.deepEqual(little.maps, [
      { name: 'values', type: 1, keySize: 4, valueSize: 24, maxEntries: 8 },
      { name: 'chain', type: 3, keySize: 4, valueSize: 4, maxEntries: 2 },
      { name: 'ring', type: 27, keySize: 0, valueSize: 0, maxEntries: 4096 },
    ]);
    assert.deepEqual(big.maps, little.maps);
    assert.deepEqual(
      little.programs.map(({ name, section }) => [name, section]),
      [
        ['first', 'xdp'],
        ['second', 'xdp'],
      ],
    );
    assert.deepEqual(
      little.functions.map(({ name }) => name),
      ['fired'],
    );
    const plain = ({ programs }: BpfObject) =>
      programs.map(({ instructions }) =>
        instructions.map(({ at, code, dst, src, offset, immediate, upper, symbol }) => [
          at,
          code,
          dst,
          src,
          offset,
          immediate,
          upper,
          symbol,
        ]),
      );
    assert.deepEqual(plain(big), plain(little));
  });

  test('damage to the file, as the manifest shows it', () => {
    const bytes = seed('little');
    const entry = entryFor(bytes, 'little');
    const flipped = Buffer.from(bytes);
    flipped[flipped.length >> 1]! ^= 1;
    assert.equal(
      codeOf(() => validate(bytes, entry)),
      'passed',
    );
    assert.equal(
      codeOf(() => validate(bytes.subarray(0, 1000), entry)),
      'E_BPF_TRUNCATED',
    );
    assert.equal(
      codeOf(() => validate(bytes.subarray(0, 10), entry)),
      'E_BPF_TRUNCATED',
    );
    assert.equal(
      codeOf(() => validate(Buffer.alloc(0), entry)),
      'E_BPF_TRUNCATED',
    );
    assert.equal(
      codeOf(() => validate(Buffer.concat([bytes, Buffer.alloc(8)]), entry)),
      'E_BPF_SIZE',
    );
    assert.equal(
      codeOf(() => validate(Buffer.alloc(IMAGE_MOST + 1), { ...entry, size: 1 << 30 })),
      'E_BPF_SIZE',
    );
    assert.equal(
      codeOf(() => validate(flipped, entry)),
      'E_BPF_HASH',
    );
    assert.equal(
      codeOf(() => validate(seed('big'), entryFor(seed('big'), 'little'))),
      'E_BPF_ENDIAN',
    );
    assert.equal(
      codeOf(() => validate(bytes, { ...entry, maps: entry.maps.slice(1) })),
      'E_BPF_MAP',
    );
    const text = Buffer.alloc(bytes.length, 'no object at all');
    assert.equal(
      codeOf(() => validate(text, entry)),
      'E_BPF_ELF',
    );
    const host = readFileSync(process.execPath).subarray(0, bytes.length);
    assert.equal(
      codeOf(() => validate(host, entry)),
      'E_BPF_MACHINE',
    );
  });

  for (const one of CASES)
    test(`a bad object that its manifest names: ${one.what}`, () => {
      const bytes = damaged(one);
      const entry = entryFor(bytes, 'little');
      assert.equal(
        codeOf(() => validate(bytes, entry)),
        one.code,
      );
    });

  test('every code of an object has a case', () => {
    const tried = new Set<string>([...CASES.map(({ code }) => code), 'E_BPF_SIZE', 'E_BPF_HASH']);
    for (const code of [
      'E_BPF_TRUNCATED',
      'E_BPF_SIZE',
      'E_BPF_ELF',
      'E_BPF_MACHINE',
      'E_BPF_ENDIAN',
      'E_BPF_HASH',
      'E_BPF_SECTION',
      'E_BPF_LICENCE',
      'E_BPF_MAP',
      'E_BPF_INSTRUCTIONS',
      'E_BPF_HELPER',
    ])
      assert.ok(tried.has(code), code);
  });

  test('a manifest that is none', () => {
    const entry = entryFor(seed('little'), 'little');
    const text = (value: unknown) => JSON.stringify({ version: 1, compiler: 'clang', objects: [value] });
    assert.equal(readManifest(text(entry)).objects.length, 1);
    for (const bad of [
      '',
      '[]',
      'null',
      '{"version":1}',
      text(null),
      text({ ...entry, sha256: 'x' }),
      text({ ...entry, file: '../../etc/passwd' }),
      text({ ...entry, variant: 'other' }),
      text({ ...entry, maps: 1 }),
    ])
      assert.equal(
        codeOf(() => readManifest(bad)),
        'E_BPF_MANIFEST',
        bad,
      );
  });
});

describe('files that are none to read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'x0-objects-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const entry = { ...entryFor(seed('little'), 'little'), file: 'one.o' };
  const path = join(folder, entry.file);
  const read = (): string => {
    const code = codeOf(() => readValid(folder, entry));
    rmSync(path, { recursive: true, force: true });
    return code;
  };

  test('a good one, for comparison; then none', () => {
    writeFileSync(path, seed('little'));
    assert.equal(read(), 'passed');
    assert.equal(read(), 'E_BPF_MANIFEST');
  });

  test('one of eight GiB is refused for its size, before it is read', () => {
    writeFileSync(path, '');
    truncateSync(path, 8 * 2 ** 30);
    assert.equal(read(), 'E_BPF_SIZE');
  });

  test('a folder; a pipe that nobody writes to holds nobody up', () => {
    mkdirSync(path);
    assert.equal(read(), 'E_BPF_MANIFEST');
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    assert.equal(read(), 'E_BPF_MANIFEST');
  });
});

describe('fuzzing', () => {
  const SEED = Number(process.env.X0_FUZZ_SEED ?? Date.now() % 1e6);
  const BUDGET_MS = 1200;
  let state = SEED;
  // mulberry32
  const random = (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
  const INTERESTING = [0, 1, 7, 8, 16, 24, 64, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff];

  function mutate(bytes: Buffer): Buffer {
    let out = Buffer.from(bytes);
    for (let i = random(6); i >= 0; i--) {
      const at = random(out.length);
      switch (random(5)) {
        case 0:
          out[at]! ^= 1 << random(8);
          break;
        case 1:
          if (at + 8 <= out.length) out.writeUInt32LE(INTERESTING[random(INTERESTING.length)]!, at & ~3);
          break;
        case 2:
          out = out.subarray(0, Math.max(1, at));
          break;
        case 3:
          out.copy(out, at, random(out.length), random(out.length));
          break;
        default:
          // The header and the section table are where most is decided.
          out[random(2) === 0 ? random(64) : Math.max(0, out.length - 1 - random(1100))] = random(256);
      }
      if (out.length < 2) return out;
    }
    return out;
  }

  test(`hostile bytes are refused with a code, in bounded time (X0_FUZZ_SEED=${SEED})`, () => {
    const end = performance.now() + BUDGET_MS;
    const codes = new Map<string, number>();
    let tried = 0;
    for (; performance.now() < end; tried++) {
      const order = BOTH[random(2)]!;
      const bytes = mutate(seed(order));
      if (bytes.equals(seed(order))) continue;
      const at = performance.now();
      const past = codeOf(() => validate(bytes, entryFor(seed(order), order)));
      assert.match(past, /^E_BPF_[A-Z]+$/, `the manifest does not name these bytes: seed ${SEED}, round ${tried}`);
      // The rules alone, as if a manifest named them; what passes can be explained.
      let object: BpfObject | null = null;
      const code = codeOf(() => {
        object = readObject(bytes);
        checkObject(object);
      });
      assert.match(code, /^(passed|E_BPF_[A-Z]+)$/, `seed ${SEED}, round ${tried}`);
      if (object !== null && code === 'passed') {
        explainText(entryFor(bytes, order), object, null);
        explainDot(object, null);
      }
      codes.set(code, (codes.get(code) ?? 0) + 1);
      const took = performance.now() - at;
      assert.ok(took < 1000, `${took} ms: seed ${SEED}, round ${tried}`);
    }
    assert.ok(tried > 40 && codes.size >= 4, JSON.stringify([tried, ...codes]));
  });
});

test('the objects that were built pass, in both byte orders and variants', (t) => {
  let found: ReturnType<typeof findObjects>;
  try {
    found = findObjects();
  } catch (error) {
    t.skip((error as Error).message);
    return;
  }
  assert.ok(existsSync(found.folder));
  for (const entry of found.manifest.objects) {
    const { object } = readValid(found.folder, entry);
    assert.equal(object.licence, 'GPL', entry.file);
  }
  const [mesh] = found.manifest.objects.filter(({ name }) => name === 'mesh');
  const orders = found.manifest.objects.filter(({ name, variant }) => name === 'mesh' && variant === mesh!.variant);
  assert.deepEqual(orders[0]!.maps, orders[1]!.maps);
});
