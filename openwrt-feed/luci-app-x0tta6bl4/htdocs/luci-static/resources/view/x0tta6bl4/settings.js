/*
 * Every option of /etc/config/x0tta6bl4, as the agent itself describes them; it judges before anything is saved. Where there is
 * no agent to ask, what the file has can be changed all the same.
 */
'use strict';
'require view';
'require form';
'require uci';
'require rpc';
'require view.x0tta6bl4.lib as lib';

const CONFIG = 'x0tta6bl4';
const EVERY = 5;
/* After a trial the file may still become what it was: root is asked for that, and the agent may restart for it. */
const LOOKS = 12;
const CONTROL = /[\u0000-\u001f\u007f]/;
const DOTS = /\/\.\.?(\/|$)/;
const el = lib.el;

/* As rpcd has it for this login, past what the form holds. */
const read = rpc.declare({ object: 'uci', method: 'get', params: [ 'config' ], expect: { values: {} }, reject: true });
const file = () => read(CONFIG).then(values => JSON.stringify(values)).catch(() => null);

/* A form's texts are HTML, so what goes there is escaped. The agent's are in the translations too. */
const plain = text => '%h'.format(text);
const told = (text, most) => plain(lib.clean(window._(text), most || 400));

/* What may be entered, and what it is now if nothing is. */
function note({ kind, unit, range, value, restart, choices }) {
	const [ min, max ] = range, parts = [];

	if (min != null)
		parts.push(unit ? _('%s to %s %s').format(min, max, unit) : _('%s to %s').format(min, max));
	if (kind != 'bool' && !choices.length && value.length)
		parts.push(_('default: %s').format(value.join(', ')));
	if (restart)
		parts.push(_('counts after a restart'));

	return parts.join('; ');
}

function isPath(text) {
	return text[0] == '/' && text.length <= 107 && !CONTROL.test(text) && !text.includes('//') && !text.endsWith('/') && !DOTS.test(text);
}

const ALLOWED = {
	path: text => isPath(text) || _('an absolute path of at most 107 bytes without . and .. in it'),
	secret: text => (text.length >= 16 && text.length <= 256 && !CONTROL.test(text)) || _('16 to 256 characters without control characters'),
	string: text => !CONTROL.test(text) || _('a text without control characters'),
	list: text => !CONTROL.test(text) || _('a text without control characters')
};

/* UCI has five words for yes and for no, and the agent takes them all; a widget knows 1 and 0, and shows the others as no. */
const DIGITS = { on: '1', 'true': '1', yes: '1', enabled: '1', off: '0', 'false': '0', no: '0', disabled: '0' };

const WIDGETS = { bool: form.Flag, 'enum': form.ListValue, list: form.DynamicList };

function addOption(section, type, row) {
	const { name, kind, range: [ min, max ], value: [ value ] } = row;
	const widget = WIDGETS[kind] || form.Value;
	const extra = note(row);
	const option = section.option(widget, name, told(row.title, 48),
		told(row.help) + (extra ? '<br><em class="x0-small">' + plain(extra) + '</em>' : ''));

	if (kind == 'bool' || kind == 'enum') {
		const isSwitch = kind == 'bool' || row.choices.includes('1');
		const known = word => isSwitch && Object.hasOwn(DIGITS, word) ? DIGITS[word] : word;
		/* What the agent will not take is shown as it is: another choice in its place would be saved unasked. */
		const odd = kind == 'bool' ? [] : uci.sections(CONFIG, type).map(one => one[name])
			.filter(word => typeof word == 'string' && !row.choices.includes(known(word)));

		row.choices.concat(odd).forEach(choice => option.value(choice, lib.clean(choice)));
		option.default = value;
		option.rmempty = false;
		option.cfgvalue = id => known(uci.get(CONFIG, id, name));
		/* What the file says already, or does not say and is so by default, need not get into it. */
		option.write = function (id, now) {
			const was = option.cfgvalue(id);

			return now == (was == null ? value : was) ? null : widget.prototype.write.apply(this, [ id, now ]);
		};

		return option;
	}

	option.optional = true;
	option.placeholder = kind == 'list' ? null : value;
	option.password = kind == 'secret';
	if (kind == 'mac')
		option.datatype = 'macaddr';
	else if (min != null)
		option.datatype = 'and(integer,range(' + min + ',' + max + '))';
	if (ALLOWED[kind])
		option.validate = (id, text) => text == null || text === '' || ALLOWED[kind](String(text));

	return option;
}

/* What the file has, without a word about it. */
function undescribed() {
	return uci.sections(CONFIG).filter(section => !section['.anonymous']).map(section => ({
		type: section['.type'], name: section['.name'], title: section['.name'], help: '', options: optionsOf(section).map(([ name, value ]) => ({
			name, title: name, help: '', kind: Array.isArray(value) ? 'list' : name == 'key' ? 'secret' : 'string', range: [], value: [], choices: []
		}))
	}));
}

function optionsOf(section) {
	return Object.entries(section).filter(([ name ]) => name[0] != '.');
}

/* The file as it would be, for the agent to look at. */
function quote(value) {
	return "'" + String(value).replaceAll("'", "'\\''") + "'";
}

return view.extend({
	looks: 0,

	load() {
		return Promise.all([ ...[ lib.ask('options'), uci.load(CONFIG) ].map(asked => asked.catch(trouble => ({ trouble }))), lib.onTrial(), file() ]).then(([ told, loaded, trial, was ]) => {
			this.onTrial = trial;
			this.was = was;
			if (loaded && loaded.trouble)
				throw loaded.trouble;
			this.trouble = told.trouble;
			this.described = told.trouble ? undescribed() : told.sections;
			for (const { name, repeated } of this.described) {
				if (!repeated && uci.get(CONFIG, name) == null)
					uci.add(CONFIG, name, name);
			}
		});
	},

	/* Each section of the file with what the form has of it, and what it does not know as it is. */
	text() {
		return uci.sections(CONFIG).map(section => {
			const name = section['.name'], row = this.rows.find(({ type, repeated, id }) => repeated ? type == section['.type'] : id == name);
			const known = row ? row.fields.map(({ option }) => [ option.option, option.formvalue(name) ]) : [];
			const others = optionsOf(section).filter(([ key ]) => !known.some(([ own ]) => own == key));

			return 'config ' + section['.type'] + (section['.anonymous'] ? '' : ' ' + quote(name)) + '\n'
				+ known.concat(others).map(([ key, value ]) => value == null || value === '' ? ''
					: Array.isArray(value) ? value.map(one => '\tlist ' + key + ' ' + quote(one) + '\n').join('')
						: '\toption ' + key + ' ' + quote(value) + '\n').join('');
		}).join('\n');
	},

	/* Resolves where the agent has nothing against it, or cannot be asked. */
	check() {
		return lib.ask('config_check', this.text()).then(report => {
			empty(this.findings);
			if (report.valid)
				return;

			this.findings.appendChild(el('div', { 'class': 'alert-message error', role: 'alert', tabindex: -1 }, [
				el('strong', {}, _('Not saved: the agent would not take this.')),
				el('ul', {}, report.problems.map(({ option, message }) => el('li', {}, [ option ? el('code', {}, lib.clean(option)) : null,
					' ', lib.clean(message, 300) ])))
			]));
			this.findings.firstChild.focus();
			throw new TypeError(_('Not saved: the agent would not take this.'));
		}, () => empty(this.findings));
	},

	handleSave(ev) {
		return this.check().then(() => this.super('handleSave', [ ev ])).then(() => file()).then(was => { this.was = was });
	},

	restart() {
		return el('div', { 'class': 'x0-row' }, [
			el('span', {}, _('Options that count after a restart wait for this:')),
			el('button', {
				'class': 'btn cbi-button cbi-button-action', type: 'button', disabled: L.hasViewPermission() === false,
				click: ev => {
					const button = ev.currentTarget;

					button.disabled = true;
					lib.say(lib.ask('service', 'restart').then(() => ({ message: _('The agent restarts. The mesh goes on meanwhile.') })))
						.then(() => { button.disabled = false });
				}
			}, _('Restart the agent'))
		]);
	},

	trial() {
		return el('div', {}, lib.trial(this.onTrial, () => this.update()));
	},

	update() {
		return lib.onTrial().then(seconds => {
			if (this.onTrial != null && seconds == null)
				this.looks = LOOKS;
			this.onTrial = seconds;
			lib.morph(this.place, this.trial());
			if (seconds != null || this.looks == 0)
				return null;

			this.looks--;

			return file().then(now => {
				/* The form shows, and would save again, what was taken back. */
				if (now != null && this.was != null && now != this.was) {
					this.looks = 0;
					location.reload();
				}
			});
		});
	},

	render() {
		const map = new form.Map(CONFIG, _('Settings of the mesh agent'),
			_('What is kept in /etc/config/x0tta6bl4. An empty field takes the default.'));

		map.tabbed = true;
		this.rows = this.described.map(({ name, type, title, help, repeated, options }) => {
			const section = repeated ? map.section(form.TypedSection, name, told(title, 48), told(help))
				: map.section(form.NamedSection, name, type || name, told(title, 48), told(help));

			section.addremove = !!repeated;

			return { id: name, type: type || name, repeated, fields: options.map(row => ({ option: addOption(section, type || name, row) })) };
		});
		this.findings = el('div', { 'aria-live': 'assertive' });
		this.place = this.trial();
		lib.keep(() => this.update(), EVERY);

		return map.render().then(node => lib.bare([ this.trouble ? lib.trouble(this.trouble) : null, this.place, this.findings, node, this.restart() ]));
	}
});

function empty(node) {
	while (node.firstChild)
		node.firstChild.remove();
}
