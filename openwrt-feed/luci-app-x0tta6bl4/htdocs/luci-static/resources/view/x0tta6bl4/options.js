/* Written by tools/generate.ts from agent/config/schema.ts. */
'use strict';
'require baseclass';

return baseclass.extend({ sections: () => [ { name: 'log', title: _('System log'), help: _('What goes to the system log.'), options: [
	{ name: 'level', kind: 'enum', value: 'info', choices: [ 'debug', 'info', 'warning', 'error' ], title: _('Level'), help: _('The least severe message that is logged.') }
] }, { name: 'mesh', title: _('Mesh'), help: _('The batman-adv mesh that the agent looks after.'), options: [
	{ name: 'interface', kind: 'string', value: 'bat0', restart: true, title: _('Interface'), help: _('The mesh interface.') },
	{ name: 'own', kind: 'bool', value: '0', restart: true, title: _('The agent makes the mesh'), help: _('The agent creates the mesh interface and sets it up itself; 0 adopts the one that the network configuration declares.') },
	{ name: 'hard_interface', kind: 'list', restart: true, title: _('Interfaces'), help: _('The interfaces that are put into a mesh that the agent owns.') },
	{ name: 'algorithm', kind: 'enum', value: 'BATMAN_IV', choices: [ 'BATMAN_IV', 'BATMAN_V' ], restart: true, title: _('Algorithm'), help: _('The routing algorithm of a mesh that the agent owns; all routers of a mesh need the same.') },
	{ name: 'primary', kind: 'string', value: 'primary0', restart: true, title: _('Primary interface'), help: _('The interface that never goes away and gives this router its address in a mesh that the agent owns; created if missing.') },
	{ name: 'orig_interval', kind: 'duration', value: '0', min: 0, max: 60000, unit: 'ms', title: _('Originator interval'), help: _('The time between two originator messages; 0 leaves what batman-adv has, else at least 40.') },
	{ name: 'key', kind: 'secret', title: _('Key'), help: _('The key that authenticates alarms between routers, in hexadecimal or as a passphrase; without it the agent repairs only by itself.') },
	{ name: 'node_name', kind: 'string', restart: true, title: _('Name of this router'), help: _('The name that people see for this router; empty takes the host name.') }
] }, { name: 'heal', title: _('Healing'), help: _('How faults are found and repaired.'), options: [
	{ name: 'mode', kind: 'enum', value: 'act', choices: [ 'off', 'observe', 'act' ], title: _('Mode'), help: _('off does nothing, observe only journals what it would have done, act repairs.') },
	{ name: 'poll_interval', kind: 'duration', value: '1000', min: 200, max: 60000, unit: 'ms', title: _('Poll interval'), help: _('The time between two looks at the tables that the kernel does not announce.') },
	{ name: 'kick_count', kind: 'int', value: '12', min: 1, max: 32, title: _('Kick count'), help: _('The originator messages of one kick: three at once, the rest ever slower.') },
	{ name: 'kick_spacing', kind: 'duration', value: '4', min: 1, max: 100, unit: 'ms', title: _('Kick spacing'), help: _('The time between the first originator messages of a kick.') },
	{ name: 'kick_budget', kind: 'int', value: '20', min: 1, max: 600, title: _('Kick budget'), help: _('The kicks that this router may send in a minute, half of them for what others tell or feign.') },
	{ name: 'sender_budget', kind: 'int', value: '6', min: 1, max: 600, title: _('Sender budget'), help: _('The alarms that are accepted from one router in a minute.') },
	{ name: 'alarm_hops', kind: 'int', value: '8', min: 1, max: 32, title: _('Alarm hops'), help: _('The number of hops that an alarm of this router travels.') },
	{ name: 'detach', kind: 'bool', value: '1', title: _('Detach'), help: _('Take a dead interface out of the mesh until it lives again.') },
	{ name: 'reattach', kind: 'bool', value: '1', title: _('Reattach'), help: _('Put an interface back that fell out of the mesh.') },
	{ name: 'recreate', kind: 'bool', value: '1', title: _('Recreate'), help: _('Create the mesh interface anew, with its MAC address, when it has vanished.') },
	{ name: 'reattach_damping', kind: 'duration', value: '0', min: 0, max: 3600, unit: 's', title: _('Reattach damping'), help: _('The time that an interface has to live before it goes back into the mesh the first time.') },
	{ name: 'flap_damping', kind: 'duration', value: '30', min: 30, max: 3600, unit: 's', title: _('Flap damping'), help: _('The time that an interface has to live before it goes back when it keeps failing.') },
	{ name: 'echo_interval', kind: 'duration', value: '10', min: 0, max: 3600, unit: 's', title: _('Echo interval'), help: _('The time between two latency probes to each neighbour that has the agent; 0 sends none.') },
	{ name: 'dead_after', kind: 'duration', value: '60', min: 5, max: 3600, unit: 's', title: _('Dead after'), help: _('The silence after which another router counts as dead.') },
	{ name: 'restart', kind: 'bool', value: '0', title: _('Restart'), help: _('Restart a radio, or the agent itself, as the last resort.') },
	{ name: 'earn_right', kind: 'int', value: '95', min: 50, max: 100, title: _('Earn right'), help: _('The percentage of observed cases in which a repair has to have been right before its class of faults is repaired.') },
	{ name: 'earn_false', kind: 'int', value: '5', min: 0, max: 50, title: _('Earn false'), help: _('The percentage of observed cases below which false ones have to stay for that.') },
	{ name: 'earn_cases', kind: 'int', value: '20', min: 1, max: 10000, title: _('Earn cases'), help: _('The observed cases that it takes at least.') },
	{ name: 'explore', kind: 'int', value: '0', min: 0, max: 1000, title: _('Explore'), help: _('One repair in so many tries the gentlest way again, though another has worked better here; 0 never.') }
] }, { name: 'bpf', title: _('Measuring (XDP)'), help: _('What comes in from the neighbours, measured in the kernel (XDP); only incoming frames are seen.'), options: [
	{ name: 'enabled', kind: 'bool', value: '0', restart: true, title: _('Enabled'), help: _('Measure with XDP programs where the kernel takes them, else with a packet socket; takes some 3 MiB of memory.') },
	{ name: 'generic', kind: 'bool', value: '1', restart: true, title: _('Generic'), help: _('Also where the driver has no XDP of its own, as with most radios: then the kernel may copy each frame first.') },
	{ name: 'deadline', kind: 'duration', value: '5000', min: 0, max: 60000, unit: 'ms', restart: true, title: _('Deadline'), help: _('The silence after which a neighbour is reported as silent, where no schedule says otherwise; 0 is never.') },
	{ name: 'admitted', kind: 'list', restart: true, title: _('Admitted'), help: _('Addresses of neighbours whose batman-adv frames pass, all others being dropped; empty lets all pass.') },
	{ name: 'epsilon', kind: 'int', value: '100', min: 0, max: 1000, restart: true, title: _('Epsilon'), help: _('How much the shared TCP figures may give away of a connection in a day, in hundredths of an epsilon; 0 shares none.') }
] }, { name: 'beacon', title: _('Beacons'), help: _('Beacons between neighbours: a common time, a transmit schedule, silent neighbours found soon.'), options: [
	{ name: 'enabled', kind: 'bool', value: '0', restart: true, title: _('Enabled'), help: _('Send beacons; that needs a mesh key, and the same options here on every router of the mesh.') },
	{ name: 'profile', kind: 'enum', value: 'default', choices: [ 'brief', 'default', 'fast' ], restart: true, title: _('Profile'), help: _('brief: a beacon every 5 s in slots of 100 ms; default: every 500 ms, silent neighbours are found within 1500 ms; fast: every 100 ms in slots of 2 ms, found within 300 ms.') },
	{ name: 'interval', kind: 'duration', value: '0', min: 0, max: 60000, unit: 'ms', restart: true, title: _('Interval'), help: _('The superframe: the time between two beacons; 0 as the profile says.') },
	{ name: 'slot', kind: 'duration', value: '0', min: 0, max: 1000, unit: 'ms', restart: true, title: _('Slot'), help: _('The time that one router has in a superframe; 0 as the profile says.') },
	{ name: 'guard', kind: 'int', value: '0', min: 0, max: 100000, restart: true, title: _('Guard'), help: _('The part of a slot, in microseconds, that clocks may be wrong by; 0 as the profile says.') },
	{ name: 'rate', kind: 'int', value: '1000', min: 1000, max: 1000000, restart: true, title: _('Rate'), help: _('The lowest multicast rate of the radios, in kbit/s: what a beacon takes on the air follows from it.') },
	{ name: 'ethertype', kind: 'string', value: '0x88b5', restart: true, title: _('Ethertype'), help: _('The ethertype of beacons: IEEE local experimental 1, shared with the alarms, unless something else uses that.') }
] }, { name: 'report', title: _('Answering'), help: _('Where the agent can be asked.'), options: [
	{ name: 'http', kind: 'bool', value: '1', restart: true, title: _('HTTP'), help: _('Answer HTTP requests, which can only read.') },
	{ name: 'http_address', kind: 'string', value: '127.0.0.1', restart: true, title: _('HTTP address'), help: _('The address of both HTTP ports.') },
	{ name: 'http_port', kind: 'int', value: '8080', min: 1, max: 65535, restart: true, title: _('HTTP port'), help: _('The TCP port of the status pages.') },
	{ name: 'metrics_port', kind: 'int', value: '9091', min: 1, max: 65535, restart: true, title: _('Metrics port'), help: _('The TCP port of the Prometheus metrics.') },
	{ name: 'socket', kind: 'path', value: '/var/run/x0tta6bl4/ctl.sock', restart: true, title: _('Socket'), help: _('The unix socket that x0ctl talks to.') }
] }, { name: 'alert', title: _('Telling people'), help: _('Who is told of each entry of the journal, as JSON; nobody by default.'), options: [
	{ name: 'command', kind: 'list', title: _('Command'), help: _('A program, by its absolute path, and its arguments, without a shell; the entry comes on its standard input.') },
	{ name: 'url', kind: 'string', title: _('Address (URL)'), help: _('An address that gets the entry by HTTP POST.') },
	{ name: 'timeout', kind: 'duration', value: '10', min: 1, max: 300, unit: 's', title: _('Timeout'), help: _('The time that a handler may take; then it is killed.') }
] }, { name: 'state', title: _('What is kept'), help: _('What is kept on flash.'), options: [
	{ name: 'directory', kind: 'path', value: '/etc/x0tta6bl4', restart: true, title: _('Directory'), help: _('The directory of the state database, on flash: a reboot empties /var.') },
	{ name: 'journal_entries', kind: 'int', value: '5000', min: 100, max: 1000000, title: _('Journal entries'), help: _('The decisions that the journal keeps; the oldest go first.') },
	{ name: 'write_interval', kind: 'duration', value: '60', min: 1, max: 3600, unit: 's', title: _('Write interval'), help: _('The time that entries are collected before they are written.') },
	{ name: 'size_limit', kind: 'int', value: '8192', min: 256, max: 1048576, unit: 'KiB', title: _('Size limit'), help: _('The size that the state database may reach.') },
	{ name: 'recorder', kind: 'int', value: '256', min: 0, max: 65536, unit: 'KiB', title: _('Recorder'), help: _('The memory of the flight recorder, compressed; 0 records nothing.') }
] } ] });
