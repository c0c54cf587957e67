/**
 * Node's flags for x0d, wherever it is started: init script, lab, benches (`make bench` measures with them).
 *
 * - max-semi-space-size, initial-heap-size (MiB): the heap stays near what is alive (some 6 MiB less than V8's own choice),
 *   and a young collection, which is what a repair may have to wait for, stays short.
 * - v8-pool-size: one helper thread for collecting and compiling is enough, with its stack and its arena.
 * - no-flush-bytecode: a repair's code is compiled once, at the start (heal/rehearsal.ts), and must still be so when the first
 *   fault comes weeks later; V8 would throw it out after a few collections without use.
 * - no-opt, no-maglev: an agent that computes for two thousandths of the time gains nothing from optimised code, and the
 *   compilers themselves, touched once, stay resident: 12 MiB. What it costs stands in the README (bulk decoding). Where @noble
 *   has to do the lattices of an identity (Node 22), the first is taken back (host/openssl.ts).
 */
export const NODE_FLAGS: readonly string[] = [
  '--max-semi-space-size=1',
  '--initial-heap-size=8',
  '--v8-pool-size=1',
  '--no-flush-bytecode',
  '--no-opt',
  '--no-maglev',
];
