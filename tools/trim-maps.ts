/**
 * Makes the files of test/data/freifunk from the meshviewer.json of communities:
 *
 *     node tools/trim-maps.ts FROM_DIRECTORY
 *
 * Kept whole is what makes the topology; left out is all else that a community tells of its nodes, people first.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const KEPT = new Set([
  ...['timestamp', 'meta', 'nodes', 'links', 'node_id', 'is_online', 'is_gateway'],
  ...['source', 'target', 'source_tq', 'target_tq', 'type'],
]);

const from = process.argv[2];
if (from === undefined) throw new Error('usage: node tools/trim-maps.ts FROM_DIRECTORY');
for (const name of readdirSync(from).filter((one) => one.endsWith('.json'))) {
  const map: unknown = JSON.parse(readFileSync(join(from, name), 'utf8'));
  const text = JSON.stringify(map, (key, value) =>
    key === '' || /^\d+$/.test(key) || KEPT.has(key) ? value : undefined,
  );
  writeFileSync(join(import.meta.dirname, '../test/data/freifunk', `${name}.gz`), gzipSync(text, { level: 9 }));
}
