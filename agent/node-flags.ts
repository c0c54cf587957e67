/** Node's flags for x0d, wherever it is started: init script, lab, benches. `make bench` measures with them. */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=1', '--v8-pool-size=1', '--no-flush-bytecode'];
