/*
 * Stands in for rpcd: loads a plugin as it does, and calls its methods as they come, a JSON line each.
 *
 *     ucode driver.uc PLUGIN FOLDER-OF-STAND-IN-MODULES
 */
'use strict';

import { stdin, stdout } from 'fs';

unshift(REQUIRE_SEARCH_PATH, ARGV[1] + '/*.uc');

const plugin = loadfile(ARGV[0], { raw_mode: true })();

for (let line = stdin.read('line'); length(line); line = stdin.read('line')) {
	const call = json(line);
	let reply;

	try {
		reply = plugin[call.object][call.method].call({ args: call.args });
	}
	catch (e) {
		reply = { thrown: `${e.message}\n${e.stacktrace?.[0]?.context}` };
	}

	/* As rpcd does after each call. */
	gc();
	stdout.write(sprintf('%J\n', reply));
	stdout.flush();
}
