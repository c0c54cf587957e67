/* Written by tools/generate.ts from agent/config/schema.ts. */
'use strict';
'require baseclass';

const live = (name, kind, title, help, more) => ({ name, kind, title, help, ...more });
const late = (...row) => ({ ...live(...row), restart: true });

return baseclass.extend({ sections: () => [ { name: 'file', title: _('File'), help: _('The form of this file.'), options: [
	late('format', 'int', _('Format'), _('Written by the packages; a file of an older form is brought into this one, and loses nothing.'), { value: '1', min: 0, max: 999999 })
] }, { name: 'log', title: _('System log'), help: _('What goes to the system log.'), options: [
	live('level', 'enum', _('Level'), _('The least severe message that is logged.'), { value: 'info', choices: [ 'debug', 'info', 'warning', 'error' ] })
] }, { name: 'mesh', title: _('Mesh'), help: _('The batman-adv mesh that the agent looks after.'), options: [
	late('interface', 'string', _('Interface'), _('The mesh interface.'), { value: 'bat0' }),
	late('own', 'bool', _('The agent makes the mesh'), _('The agent creates the mesh interface and sets it up itself; 0 adopts the one that the network configuration declares.'), { value: '0' }),
	late('hard_interface', 'list', _('Interfaces'), _('The interfaces that are put into a mesh that the agent owns.')),
	late('algorithm', 'enum', _('Algorithm'), _('The routing algorithm of a mesh that the agent owns; all routers of a mesh need the same.'), { value: 'BATMAN_IV', choices: [ 'BATMAN_IV', 'BATMAN_V' ] }),
	late('primary', 'string', _('Primary interface'), _('The interface that never goes away and gives this router its address in a mesh that the agent owns; created if missing.'), { value: 'primary0' }),
	live('orig_interval', 'duration', _('Originator interval'), _('The time between two originator messages; 0 leaves what batman-adv has, else at least 40.'), { value: '0', min: 0, max: 60000, unit: 'ms' }),
	live('key', 'secret', _('Key'), _('The key that authenticates alarms between routers, in hexadecimal or as a passphrase; without it the agent repairs only by itself.')),
	late('node_name', 'string', _('Name of this router'), _('The name that people see for this router; empty takes the host name.')),
	late('max_neighbours', 'int', _('Max neighbours'), _('The neighbours that a radio of the mesh takes at most (IEEE 802 mesh peers), told to it by the init script when it is set up; 0 leaves what the radio has.'), { value: '0', min: 0, max: 255 }),
	live('revert_after', 'duration', _('Revert after'), _('The time after which a changed configuration is taken back if it has cut this router off from the mesh or from who is logged in; 0 never takes it back.'), { value: '60', min: 0, max: 3600, unit: 's' })
] }, { name: 'heal', title: _('Healing'), help: _('How faults are found and repaired.'), options: [
	live('mode', 'enum', _('Mode'), _('off does nothing, observe only journals what it would have done, act repairs.'), { value: 'act', choices: [ 'off', 'observe', 'act' ] }),
	live('poll_interval', 'duration', _('Poll interval'), _('The time between two looks at the tables that the kernel does not announce.'), { value: '1000', min: 200, max: 60000, unit: 'ms' }),
	live('kick_count', 'int', _('Kick count'), _('The originator messages of one kick: three at once, the rest ever slower.'), { value: '12', min: 1, max: 32 }),
	live('kick_spacing', 'duration', _('Kick spacing'), _('The time between the first originator messages of a kick.'), { value: '4', min: 1, max: 100, unit: 'ms' }),
	live('kick_budget', 'int', _('Kick budget'), _('The kicks that this router may send in a minute, half of them for what others tell or feign.'), { value: '20', min: 1, max: 600 }),
	live('sender_budget', 'int', _('Sender budget'), _('The alarms that are accepted from one router in a minute.'), { value: '6', min: 1, max: 600 }),
	live('alarm_hops', 'int', _('Alarm hops'), _('The number of hops that an alarm of this router travels.'), { value: '8', min: 1, max: 32 }),
	live('detach', 'bool', _('Detach'), _('Take a dead interface out of the mesh until it lives again.'), { value: '1' }),
	live('reattach', 'bool', _('Reattach'), _('Put an interface back that fell out of the mesh.'), { value: '1' }),
	live('recreate', 'bool', _('Recreate'), _('Create the mesh interface anew, with its MAC address, when it has vanished.'), { value: '1' }),
	live('reattach_damping', 'duration', _('Reattach damping'), _('The time that an interface has to live before it goes back into the mesh the first time.'), { value: '0', min: 0, max: 3600, unit: 's' }),
	live('flap_damping', 'duration', _('Flap damping'), _('The time that an interface has to live before it goes back when it keeps failing.'), { value: '30', min: 30, max: 3600, unit: 's' }),
	live('echo_interval', 'duration', _('Echo interval'), _('The time between two latency probes to each neighbour that has the agent; 0 sends none.'), { value: '10', min: 0, max: 3600, unit: 's' }),
	live('dead_after', 'duration', _('Dead after'), _('The silence after which another router counts as dead.'), { value: '60', min: 5, max: 3600, unit: 's' }),
	live('restart', 'bool', _('Restart'), _('Restart a radio, or the agent itself, as the last resort.'), { value: '0' }),
	live('earn_right', 'int', _('Earn right'), _('The percentage of observed cases in which a repair has to have been right before its class of faults is repaired.'), { value: '95', min: 50, max: 100 }),
	live('earn_false', 'int', _('Earn false'), _('The percentage of observed cases below which false ones have to stay for that.'), { value: '5', min: 0, max: 50 }),
	live('earn_cases', 'int', _('Earn cases'), _('The observed cases that it takes at least.'), { value: '20', min: 1, max: 10000 }),
	live('explore', 'int', _('Explore'), _('One repair in so many tries the gentlest way again, though another has worked better here; 0 never.'), { value: '0', min: 0, max: 1000 })
] }, { name: 'bpf', title: _('Measuring (XDP)'), help: _('What comes in from the neighbours, measured in the kernel (XDP); only incoming frames are seen.'), options: [
	late('enabled', 'enum', _('Enabled'), _('Measure with XDP programs where the kernel takes them, else with a packet socket; takes some 3 MiB of memory; auto is on where the package x0tta6bl4-bpf is installed.'), { value: 'auto', choices: [ 'auto', '0', '1' ] }),
	late('generic', 'bool', _('Generic'), _('Also where the driver has no XDP of its own, as with most radios: then the kernel may copy each frame first.'), { value: '1' }),
	late('deadline', 'duration', _('Deadline'), _('The silence after which a neighbour is reported as silent, where no schedule says otherwise; 0 is never.'), { value: '5000', min: 0, max: 60000, unit: 'ms' }),
	late('admitted', 'list', _('Admitted'), _('Addresses of neighbours whose batman-adv frames pass, all others being dropped; empty lets all pass.')),
	late('admission', 'bool', _('Admission'), _('Whether batman-adv frames pass from members of the mesh only, where this router has an identity; all others are dropped.'), { value: '0' }),
	late('epsilon', 'int', _('Epsilon'), _('How much the shared TCP figures may give away of a connection in a day, in hundredths of an epsilon; 0 shares none.'), { value: '100', min: 0, max: 1000 })
] }, { name: 'probe', title: _('Probe'), help: _('Round-trip times over the mesh by ICMP and ICMPv6 echo; needs the optional package raw-socket.'), options: [
	late('targets', 'list', _('Targets'), _('The addresses to ask, IPv4 or IPv6, 64 at most; empty asks nobody.')),
	late('interval', 'duration', _('Interval'), _('Each of them is asked so often.'), { value: '10', min: 1, max: 3600, unit: 's' })
] }, { name: 'peer', title: _('Peer'), help: _('Sessions with other routers, where this one has an identity: mutually authenticated and encrypted.'), options: [
	late('enabled', 'bool', _('Enabled'), _('Have sessions with other routers once this one has an identity.'), { value: '1' }),
	late('port', 'int', _('Port'), _('The TCP port of sessions, and the UDP port of announcements.'), { value: '17447', min: 1, max: 65535 }),
	late('listen', 'list', _('Listen'), _('Further addresses of this router to listen on, beside the link-local one of the mesh interface.')),
	late('connect', 'list', _('Connect'), _('Addresses of routers to keep a session with, which need not be in the same mesh: an address, or [address]:port.')),
	late('announce', 'bool', _('Announce'), _('Tell the mesh every half minute where sessions with this router can be had.'), { value: '1' })
] }, { name: 'beacon', title: _('Beacons'), help: _('Beacons between neighbours: a common time, a transmit schedule, silent neighbours found soon.'), options: [
	late('enabled', 'bool', _('Enabled'), _('Send beacons; that needs a mesh key, and the same options here on every router of the mesh.'), { value: '0' }),
	late('profile', 'enum', _('Profile'), _('brief: a beacon every 5 s in slots of 100 ms; default: every 500 ms, silent neighbours are found within 1500 ms; fast: every 100 ms in slots of 2 ms, found within 300 ms.'), { value: 'default', choices: [ 'brief', 'default', 'fast' ] }),
	late('interval', 'duration', _('Interval'), _('The superframe: the time between two beacons; 0 as the profile says.'), { value: '0', min: 0, max: 60000, unit: 'ms' }),
	late('slot', 'duration', _('Slot'), _('The time that one router has in a superframe; 0 as the profile says.'), { value: '0', min: 0, max: 1000, unit: 'ms' }),
	late('guard', 'int', _('Guard'), _('The part of a slot, in microseconds, that clocks may be wrong by; 0 as the profile says.'), { value: '0', min: 0, max: 100000 }),
	late('rate', 'int', _('Rate'), _('The lowest multicast rate of the radios, in kbit/s: what a beacon takes on the air follows from it.'), { value: '1000', min: 1000, max: 1000000 }),
	late('ethertype', 'string', _('Ethertype'), _('The ethertype of beacons: IEEE local experimental 1, shared with the alarms, unless something else uses that.'), { value: '0x88b5' })
] }, { name: 'report', title: _('Answering'), help: _('Where the agent can be asked.'), options: [
	late('http', 'bool', _('HTTP'), _('Answer HTTP requests, which can only read.'), { value: '1' }),
	late('http_address', 'string', _('HTTP address'), _('The address of both HTTP ports.'), { value: '127.0.0.1' }),
	late('http_port', 'int', _('HTTP port'), _('The TCP port of the status pages.'), { value: '8080', min: 1, max: 65535 }),
	late('metrics_port', 'int', _('Metrics port'), _('The TCP port of the Prometheus metrics.'), { value: '9091', min: 1, max: 65535 }),
	late('socket', 'path', _('Socket'), _('The unix socket that x0ctl talks to.'), { value: '/var/run/x0tta6bl4/ctl.sock' })
] }, { name: 'alert', title: _('Telling people'), help: _('Who is told of each entry of the journal, as JSON; nobody by default.'), options: [
	live('command', 'list', _('Command'), _('A program, by its absolute path, and its arguments, without a shell; the entry comes on its standard input.')),
	live('url', 'string', _('Address (URL)'), _('An address that gets the entry by HTTP POST.')),
	live('timeout', 'duration', _('Timeout'), _('The time that a handler may take; then it is killed.'), { value: '10', min: 1, max: 300, unit: 's' })
] }, { name: 'state', title: _('What is kept'), help: _('What is kept on flash.'), options: [
	late('directory', 'path', _('Directory'), _('The directory of the state database, on flash: a reboot empties /var.'), { value: '/etc/x0tta6bl4' }),
	live('journal_entries', 'int', _('Journal entries'), _('The decisions that the journal keeps; the oldest go first.'), { value: '5000', min: 100, max: 1000000 }),
	live('write_interval', 'duration', _('Write interval'), _('The time that entries are collected before they are written.'), { value: '60', min: 1, max: 3600, unit: 's' }),
	live('size_limit', 'int', _('Size limit'), _('The size that the state database may reach.'), { value: '8192', min: 256, max: 1048576, unit: 'KiB' }),
	live('recorder', 'int', _('Recorder'), _('The memory of the flight recorder, compressed; 0 records nothing.'), { value: '256', min: 0, max: 65536, unit: 'KiB' })
] }, { name: 'trust', title: _('Trust'), help: _('The identity of this router in its mesh; x0ctl mesh init and x0ctl join make one.'), options: [
	late('domain', 'string', _('Domain'), _('The SPIFFE trust domain of a mesh that x0ctl mesh init makes.'), { value: 'x0tta6bl4.mesh' }),
	live('life', 'duration', _('Life'), _('The time that the certificates are good for which this router issues as a steward; they are renewed at half of it.'), { value: '43200', min: 600, max: 604800, unit: 's' }),
	live('grace', 'duration', _('Grace'), _('The time that certificates are still believed after their end while no steward can be reached.'), { value: '604800', min: 0, max: 2592000, unit: 's' }),
	live('rotate', 'duration', _('Rotate'), _('How long alarms and beacons are sealed with the same key of the air; a revocation changes it at once.'), { value: '21600', min: 60, max: 604800, unit: 's' }),
	live('mixed', 'bool', _('Mixed'), _('Whether routers without an identity are spoken with and believed under the mesh key too, until somebody is revoked.'), { value: '1' }),
	live('allow', 'list', _('Allow'), _('Who may do what on this router over a session: a SPIFFE ID, or one that ends in /*, and what it may; the rest is denied.'), { value: ["spiffe://x0tta6bl4.mesh/router/* read-status,tell-faults"] }),
	late('ssh_allowed', 'list', _('Ssh allowed'), _('The SSH host keys whose routers this steward admits: ssh-ed25519, the key, and a name where the router has one.')),
	late('x509_authority', 'list', _('X509 authority'), _('The files of the CA certificates whose routers this steward admits, in PEM.')),
	late('x509_certificate', 'string', _('X509 certificate'), _('The certificate that this router joins with, in PEM.')),
	late('x509_key', 'string', _('X509 key'), _('The private key of that certificate, in PEM.')),
	late('workload_socket', 'string', _('Workload socket'), _('The socket of a SPIRE agent on this router, from which the certificate to join with is taken instead.'))
] }, { name: 'workload', title: _('Workload'), help: _('The SPIFFE Workload API: certificates and tokens for programs on this router.'), options: [
	late('enabled', 'bool', _('Enabled'), _('Serve the SPIFFE Workload API to the programs that have a section of their own.'), { value: '0' }),
	late('socket', 'path', _('Socket'), _('Where programs find it; any of them may ask.'), { value: '/var/run/x0tta6bl4-workload/api.sock' }),
	late('x509_life', 'duration', _('X509 life'), _('The time that a program\'s certificate is good for; it is renewed at half of it.'), { value: '3600', min: 60, max: 86400, unit: 's' }),
	late('jwt_life', 'duration', _('Jwt life'), _('The time that a program\'s token is good for.'), { value: '300', min: 30, max: 3600, unit: 's' })
] } ] });
