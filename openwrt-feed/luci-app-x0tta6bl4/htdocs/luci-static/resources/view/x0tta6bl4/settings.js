/* Every option of /etc/config/x0tta6bl4, out of the agent's own schema; the agent judges before anything is saved. */
'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require view.x0tta6bl4.lib as lib';
'require view.x0tta6bl4.options as options';

const CONFIG = 'x0tta6bl4';
const CONTROL = /[\u0000-\u001f\u007f]/;
const DOTS = /\/\.\.?(\/|$)/;
const el = lib.el;

/* A form's texts are HTML, so what goes there is escaped. */
const plain = text => '%h'.format(text);

/* What may be entered, and what it is now if nothing is. */
function note({ kind, unit, min, max, value, restart, choices }) {
	const parts = [];

	if (min != null)
		parts.push(unit ? _('%s to %s %s').format(min, max, unit) : _('%s to %s').format(min, max));
	if (kind != 'bool' && !choices && value != null && value !== '' && !Array.isArray(value))
		parts.push(_('default: %s').format(value));
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

const WIDGETS = { bool: form.Flag, 'enum': form.ListValue, list: form.DynamicList };

function addOption(section, row) {
	const widget = WIDGETS[row.kind] || form.Value;
	const extra = note(row);
	const option = section.option(widget, row.name, plain(row.title),
		plain(row.help) + (extra ? '<br><em class="x0-small">' + plain(extra) + '</em>' : ''));

	if (row.kind == 'bool' || row.kind == 'enum') {
		(row.choices || []).forEach(choice => option.value(choice, choice));
		option.default = row.value;
		option.rmempty = false;
		/* What is not in the file and stays as it is by default need not get into it. */
		option.write = function (id, value) {
			return value == row.value && uci.get(CONFIG, id, row.name) == null ? null : widget.prototype.write.apply(this, [ id, value ]);
		};

		return option;
	}

	option.optional = true;
	option.placeholder = row.kind == 'list' ? null : row.value;
	option.password = row.kind == 'secret';
	if (row.kind == 'mac')
		option.datatype = 'macaddr';
	else if (row.min != null)
		option.datatype = 'and(integer,range(' + row.min + ',' + row.max + '))';
	if (ALLOWED[row.kind])
		option.validate = (id, value) => value == null || value === '' || ALLOWED[row.kind](String(value));

	return option;
}

/* The file as it would be, for the agent to look at. */
function quote(value) {
	return "'" + String(value).replaceAll("'", "'\\''") + "'";
}

return view.extend({
	load() {
		return uci.load(CONFIG).then(() => {
			for (const { name } of options.sections()) {
				if (uci.get(CONFIG, name) == null)
					uci.add(CONFIG, name, name);
			}
		});
	},

	text() {
		return this.rows.map(({ name, fields }) => 'config ' + name + ' ' + quote(name) + '\n'
			+ fields.map(({ option, row }) => {
				const value = option.formvalue(name);

				if (value == null || value === '' || value.length === 0)
					return '';

				return Array.isArray(value) ? value.map(one => '\tlist ' + row.name + ' ' + quote(one) + '\n').join('')
					: '\toption ' + row.name + ' ' + quote(value) + '\n';
			}).join('')).join('\n');
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
		return this.check().then(() => this.super('handleSave', [ ev ]));
	},

	restart() {
		return el('div', { 'class': 'x0-row' }, [
			el('span', {}, _('Options that count after a restart wait for this:')),
			el('button', {
				'class': 'btn cbi-button cbi-button-action', type: 'button', disabled: L.hasViewPermission() === false,
				click: ev => {
					const button = ev.currentTarget;

					button.disabled = true;
					lib.ask('service', 'restart')
						.then(() => ui.addNotification(null, [ el('p', {}, _('The agent restarts. The mesh goes on meanwhile.')) ], 'info'))
						.catch(({ message }) => ui.addNotification(null, [ el('p', {}, lib.clean(message, 300)) ], 'error'))
						.then(() => { button.disabled = false });
				}
			}, _('Restart the agent'))
		]);
	},

	render() {
		const map = new form.Map(CONFIG, _('Settings of the mesh agent'),
			_('What is kept in /etc/config/x0tta6bl4. An empty field takes the default.'));

		map.tabbed = true;
		this.rows = options.sections().map(({ name, title, help, options: rows }) => {
			const section = map.section(form.NamedSection, name, name, plain(title), plain(help));

			section.addremove = false;

			return { name, fields: rows.map(row => ({ row, option: addOption(section, row) })) };
		});
		this.findings = el('div', { 'aria-live': 'assertive' });

		return map.render().then(node => lib.bare([ this.findings, node, this.restart() ]));
	}
});

function empty(node) {
	while (node.firstChild)
		node.firstChild.remove();
}
