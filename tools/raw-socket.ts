/**
 * Compiles raw-socket (npm) against the headers of the Node that runs this: `node tools/raw-socket.ts`. Its own way,
 * node-gyp, wants Python and fetches headers from the network; npm's node brings them, and so do nodejs.org's archives.
 * Where that cannot be, one sentence on stderr says why, and the exit code is 1: the agent then asks for no round-trip times.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';

const MODULES = join(import.meta.dirname, '../node_modules');
const RELEASE = join(MODULES, 'raw-socket/build/Release');

function headers(): string | undefined {
  const bin = dirname(process.execPath);
  const npm = `node_modules/node-${process.platform}-${process.arch}/include/node`;
  const places = [join(bin, '../include/node'), join(bin, '..', npm), '/usr/include/node'];
  const [major] = process.versions.node.split('.');
  return places.find((place) => {
    const file = join(place, 'node_version.h');
    const version = existsSync(file) ? /NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(file, 'utf8'))?.[1] : undefined;
    return version === major && existsSync(join(place, 'v8.h'));
  });
}

function compile(): string | null {
  if (!existsSync(join(MODULES, 'raw-socket/src/raw.cc'))) return 'npm did not fetch it';
  const include = headers();
  if (include === undefined) return `the headers of Node ${process.version} are not beside it`;
  mkdirSync(RELEASE, { recursive: true });
  const draft = join(RELEASE, `raw.node.${process.pid}`);
  const { status, stderr, error } = spawnSync(
    'g++',
    [
      ...['-std=c++20', '-O2', '-w', '-fPIC', '-shared', '-fno-exceptions', '-fno-rtti'],
      ...['-DNODE_GYP_MODULE_NAME=raw', '-DBUILDING_NODE_EXTENSION', '-I', include, '-I', join(MODULES, 'nan')],
      ...['-o', draft, join(MODULES, 'raw-socket/src/raw.cc')],
    ],
    { encoding: 'utf8' },
  );
  if (error !== undefined) return 'g++ is missing';
  if (status !== 0) return `g++ refused it: ${stderr.trim().split('\n', 1)[0]}`;
  renameSync(draft, join(RELEASE, 'raw.node'));
  return null;
}

const why = compile();
if (why !== null) {
  console.error(`raw-socket cannot be compiled: ${why}`);
  process.exit(1);
}
