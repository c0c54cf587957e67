#!/usr/bin/env ucode
/* The agent as ubus object `x0tta6bl4`, over its control socket. rpcd waits meanwhile, so the time is short. */
'use strict';

import * as socket from 'socket';
import { open, readfile, stat, unlink } from 'fs';

const SOCKET = '/var/run/x0tta6bl4/ctl.sock';
const INIT = '/etc/init.d/x0tta6bl4';
const BAT_HOSTS = '/etc/bat-hosts';
/* Root's own: where the agent may write, root must not. */
const PLACE = '/var/run/x0tta6bl4-diag';
const ARCHIVE = PLACE + '/diag.tar.gz';
const CONNECT_MS = 500;
const ANSWER_MS = 2500;
const START_MS = 8000;
/* Less than what lies between two looks of a page. */
const REST_MS = 4000;
/* Longer than a page waits for its archive. */
const TAKEN_MS = 70000;
const MOST_BYTES = 900000;
const MOST_NAMES = 65536;

/* methods:begin */
/* Written by tools/generate.ts from tools/luci/methods.ts. */
const METHODS = {
	status: ["GET","/mesh/status"],
	nodes: ["GET","/mesh/nodes"],
	links: ["GET","/mesh/links"],
	gateways: ["GET","/mesh/gateways"],
	topology: ["GET","/mesh/topology"],
	history: ["GET","/mesh/history"],
	beacon: ["GET","/mesh/beacon"],
	heal_log: ["GET","/heal/log",["limit","integer","query"],["since","integer","query"]],
	explain: ["GET","/heal/explain/",["fault","string","path",1]],
	heal_mode: ["GET","/heal/classes"],
	config_check: ["POST","/config/check",["text","string","body",1],["file","string","body"]],
	config_trial: ["GET","/config/trial"],
	options: ["GET","/config/options"],
	identity: ["GET","/mesh/identity"],
	names: [0,0],
	set_heal_mode: ["POST","/heal/mode",["mode","string","body",1],["class","string","body"]],
	config_confirm: ["POST","/config/confirm"],
	config_revert: ["POST","/config/revert"],
	invite: ["POST","/trust/invite",["node","string","body"],["seconds","integer","body"]],
	diag: [0,0,["step","string","body",1]],
	service: [0,0,["action","string","body",1]]
};
/* methods:end */

function failed(code, message) {
	return { error: { code, message } };
}

function now() {
	const at = clock(true);
	return at[0] * 1000 + at[1] / 1000000;
}

function address() {
	try {
		return require('uci').cursor().get('x0tta6bl4', 'report', 'socket') ?? SOCKET;
	}
	catch (e) {
		return SOCKET;
	}
}

function reach(path) {
	const missing = () => failed('E_NOT_RUNNING', `the agent is not running: nothing listens on ${path}`);

	if (stat(path)?.type != 'socket')
		return missing();

	const connection = socket.connect({ path }, null, null, CONNECT_MS);

	return connection ? { connection } : missing();
}

function send(connection, text, until) {
	while (length(text) > 0) {
		const left = until - now();
		const ready = left > 0 ? socket.poll(int(left) + 1, [ connection, socket.POLLOUT ]) : null;

		if (!(ready?.[0]?.[1] & socket.POLLOUT))
			return false;

		const sent = connection.send(substr(text, 0, 65536), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT);

		if (!sent)
			return false;

		text = substr(text, sent);
	}

	return true;
}

function receive(connection, until) {
	let text = '', head = -1, total = null;

	for (;;) {
		const left = until - now();

		if (left <= 0)
			return failed('E_TIMEOUT', `the agent did not answer within ${ANSWER_MS} ms`);

		/* It answers for each socket, also where nothing happened. */
		if (!socket.poll(int(left) + 1, connection)?.[0]?.[1])
			continue;

		const part = connection.recv(65536, socket.MSG_DONTWAIT);

		if (part == null)
			return failed('E_SOCKET', 'the connection to the agent broke');

		text += part;

		if (head < 0 && (head = index(text, '\r\n\r\n')) >= 0)
			total = match(substr(text, 0, head), /\r\n[Cc]ontent-[Ll]ength: *([0-9]+)/)?.[1];

		if (length(text) > MOST_BYTES)
			return failed('E_TOO_LARGE', `the answer is larger than ${MOST_BYTES} bytes`);

		if (head >= 0 && total != null && length(text) >= head + 4 + +total)
			return { body: substr(text, head + 4, +total) };

		if (part == '')
			return head >= 0 && total == null
				? { body: substr(text, head + 4) }
				: failed('E_SOCKET', 'the agent ended the connection in the middle of an answer');
	}
}

/* Kept for the next one who reads: the agent need not make one for each call. */
let kept = null;

function exchange(connection, ask, until) {
	return send(connection, ask, until)
		? receive(connection, until)
		: failed('E_SOCKET', 'the agent did not take the request');
}

function again(path, ask, until) {
	if (kept == null)
		return null;

	if (kept.path == path && !socket.poll(0, kept.connection)?.[0]?.[1]) {
		const answer = exchange(kept.connection, ask, until);

		if (answer.error?.code != 'E_SOCKET') {
			if (answer.error) {
				kept.connection.close();
				kept = null;
			}
			return answer;
		}
	}

	kept.connection.close();
	kept = null;

	return null;
}

function anew(path, ask, until, keep) {
	const reached = reach(path);

	if (reached.error)
		return reached;

	const answer = exchange(reached.connection, ask, until);

	if (keep && !answer.error)
		kept = { path, connection: reached.connection };
	else
		reached.connection.close();

	return answer;
}

/* When one that hangs is asked again: a page has half a dozen questions, and rpcd would wait for each. */
let rests = 0;

function request(method, path, body) {
	if (now() < rests)
		return failed('E_TIMEOUT', `the agent did not answer within ${ANSWER_MS} ms, a moment ago`);

	const to = address(), keep = method == 'GET';
	const until = now() + ANSWER_MS;
	const text = body == null ? '' : sprintf('%J', body);
	const ask = `${method} ${path} HTTP/1.1\r\nHost: x0tta6bl4\r\nConnection: ${keep ? 'keep-alive' : 'close'}\r\n` +
		`Content-Type: application/json\r\nContent-Length: ${length(text)}\r\n\r\n${text}`;
	const answer = (keep ? again(to, ask, until) : null) ?? anew(to, ask, until, keep);

	if (answer.error?.code == 'E_TIMEOUT')
		rests = now() + REST_MS;
	if (answer.error)
		return answer;

	try {
		const value = json(answer.body);
		return type(value) == 'object' ? value : failed('E_SOCKET', 'the agent answered with something else than an object');
	}
	catch (e) {
		return failed('E_SOCKET', 'the agent answered with something else than JSON');
	}
}

function usage(name, expected) {
	return failed('E_USAGE', `${name}: expected ${expected}`);
}

function asking(row) {
	return function (req) {
		const body = {}, query = [];
		let path = row.path;

		for (let arg in row.args) {
			const value = req?.args?.[arg.name];

			if (value == null) {
				if (arg.required)
					return usage(arg.name, arg.type == 'integer' ? 'a whole number' : 'a text');
				continue;
			}

			if (arg.type == 'integer' ? type(value) != 'int' || value < 0 : type(value) != 'string')
				return usage(arg.name, arg.type == 'integer' ? 'a whole number of at least 0' : 'a text');

			if (arg.goes == 'query')
				push(query, `${arg.name}=${value}`);
			else if (arg.goes == 'body')
				body[arg.name] = value;
			/* Without the flag s any line of it would do, and a line more is a request more. */
			else if (match(value, /^[A-Za-z0-9._-]+$/s)?.[0] == value && length(value) <= 64)
				path += value;
			else
				return usage(arg.name, 'at most 64 letters, digits, dots, _ and -');
		}

		if (length(query))
			path += '?' + join('&', query);

		return request(row.method, path, row.method == 'POST' ? body : null);
	};
}

function names() {
	const found = {};
	/* Of a FIFO nothing would come, and rpcd waits. */
	const file = stat(BAT_HOSTS)?.type == 'file' ? open(BAT_HOSTS, 'r') : null;

	if (file) {
		for (let line in split(file.read(MOST_NAMES) ?? '', '\n')) {
			const row = match(line, /^[ \t]*([0-9A-Fa-f:]{17})[ \t]+([^ \t\r#]+)/);

			if (row)
				found[lc(row[1])] = row[2];
		}

		file.close();
	}

	return { names: found };
}

function service(req) {
	const action = req?.args?.action;

	if (action != 'start' && action != 'restart')
		return usage('action', 'start or restart');

	if (stat(INIT)?.type != 'file')
		return failed('E_NOT_FOUND', `there is no ${INIT}: is the package x0tta6bl4 installed?`);

	const code = system([ INIT, action ], START_MS);

	rests = 0;

	return code == 0
		? { done: true, message: `${action} was asked for` }
		: failed('E_SERVICE', `${INIT} ${action} ended with ${code}; logread -e x0tta6bl4 tells more`);
}

/* Until when an archive is somebody's: who came second would take it away from who waits for it, or get none. */
let taken = 0;

/* Made in the background, since nobody else is served while rpcd waits. What was fetched is gone: it lies in memory. */
function diag(req) {
	const step = req?.args?.step, code = ARCHIVE + '.code', log = ARCHIVE + '.log';

	if (step == 'make') {
		if (now() < taken)
			return failed('E_BUSY', 'an archive is being made for another page: try again in a minute');

		taken = now() + TAKEN_MS;
		unlink(code);
		system(`umask 077; mkdir -p ${PLACE}; : >${log}; ( x0ctl diag ${ARCHIVE} </dev/null >${log} 2>&1; echo $? >${code} ) &`);
		return { done: true, message: 'an archive is being made' };
	}

	if (step != 'fetch')
		return usage('step', 'make or fetch');

	const ended = readfile(code);

	if (ended == null)
		return stat(log) ? { waiting: true } : failed('E_NOT_FOUND', 'no archive is there: it was fetched, or never made');

	taken = 0;

	if (trim(ended) != '0')
		return failed('E_DIAG', `x0ctl diag: ${trim(readfile(log, 400) ?? '')}`);
	if (stat(ARCHIVE)?.size > MOST_BYTES * 0.7)
		return failed('E_TOO_LARGE', `the archive is too large for this way: fetch ${ARCHIVE} by scp`);

	const archive = readfile(ARCHIVE);

	for (let file in [ code, log, ARCHIVE ])
		unlink(file);

	return archive == null
		? failed('E_NOT_FOUND', `there is no ${ARCHIVE}`)
		: { name: 'x0tta6bl4-diag.tar.gz', data: b64enc(archive) };
}

const own = { names, service, diag };
const methods = {};

for (let name, row in METHODS) {
	const args = {};
	const known = map(slice(row, 2), arg => ({ name: arg[0], type: arg[1], goes: arg[2], required: !!arg[3] }));

	for (let arg in known)
		args[arg.name] = arg.type == 'integer' ? 32 : 'text';

	methods[name] = { args, call: own[name] ?? asking({ method: row[0], path: row[1], args: known }) };
}

return { x0tta6bl4: methods };
