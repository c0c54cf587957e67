/* Lets a new router in: an invitation as text, and as a code that its owner's phone can read. */
'use strict';
'require view';
'require view.x0tta6bl4.lib as lib';
'require view.x0tta6bl4.qr as qr';

const el = lib.el;

function code(text) {
	const rows = qr.encode(text);

	if (rows == null)
		return el('p', { 'class': 'x0-empty' }, _('This invitation is too long for a QR code. Use the text.'));

	const size = rows.length + 8;

	return el('svg:svg', { 'class': 'x0-qr', viewBox: [ 0, 0, size, size ].join(' '), role: 'img', 'shape-rendering': 'crispEdges',
		'aria-label': _('The invitation as a QR code; the text below says the same') }, [
		el('svg:rect', { width: size, height: size, fill: '#fff' }),
		el('svg:path', { d: qr.path(rows), fill: '#000' })
	]);
}

return view.extend({
	handleSave: null,
	handleSaveApply: null,
	handleReset: null,

	trouble: null,
	invitation: null,
	said: '',
	minutes: 60,
	name: '',

	load() {
		return lib.ask('identity').then(({ identity }) => { this.said = this.why(identity) }, trouble => {
			if (trouble.code == 'E_NOT_FOUND')
				this.said = this.why(null);
			else
				this.trouble = trouble;
		});
	},

	/* Why this router cannot invite; '' where it can. */
	why(identity) {
		if (identity == null || identity.state == 'none')
			return _('This mesh has no identities yet: its routers know each other by the common mesh.key only, so there is nobody who could invite. Give the new router the same mesh.key, or make identities first: x0ctl mesh init');
		if (!identity.isSteward)
			return _('This router may not invite. These may: %s').format(identity.stewards.map(({ node }) => lib.clean(node)).join(', ') || '–');

		return '';
	},

	invite() {
		return lib.ask('invite', this.name || undefined, this.minutes * 60).then(answer => {
			this.invitation = answer;
			this.said = '';
			this.redraw();
			this.root.querySelector('textarea').focus();
		}, trouble => {
			this.invitation = null;
			this.said = trouble.code == 'E_NOT_FOUND' ? this.why(null) : trouble.message;
			this.redraw();
		});
	},

	copy(ev) {
		const button = ev.currentTarget, text = this.root.querySelector('textarea');

		text.select();
		Promise.resolve(navigator.clipboard ? navigator.clipboard.writeText(text.value) : document.execCommand('copy'))
			.then(() => { button.textContent = _('Copied') }, () => { button.textContent = _('Copy it by hand') });
	},

	result() {
		if (this.said)
			return el('div', { 'class': 'alert-message warning', role: 'alert' }, el('p', {}, this.said));
		if (this.invitation == null)
			return null;

		const { text, until } = this.invitation;

		return el('section', { 'class': 'x0-card x0-invitation', 'data-key': 'invitation' }, [
			code(String(text)),
			el('div', { 'class': 'x0-grow' }, [
				el('label', { 'for': 'x0-invitation' }, _('On the new router: x0ctl join, and then this text')),
				el('textarea', { id: 'x0-invitation', 'class': 'cbi-input-textarea', readonly: true, rows: 6, spellcheck: 'false' }, String(text)),
				el('div', { 'class': 'x0-row' }, [
					el('button', { 'class': 'btn cbi-button', type: 'button', click: ev => this.copy(ev) }, _('Copy')),
					until ? el('span', { 'class': 'x0-small' }, _('good for one router, until %s').format(lib.time(until))) : null
				]),
				el('p', { 'class': 'x0-small' }, _('Whoever has this text may bring a router into the mesh. Show it to nobody else.'))
			])
		]);
	},

	frame() {
		const choices = [ [ 10, _('10 minutes') ], [ 60, _('one hour') ], [ 1440, _('one day') ] ];

		return lib.frame(_('Let a router join'), this.trouble, () => [
			el('p', {}, _('An invitation lets one new router into this mesh, once, until it expires.')),
			el('div', { 'class': 'x0-row' }, [
				el('span', { 'class': 'x0-pair' }, [
					el('label', { 'for': 'x0-name' }, _('Name of the new router')),
					el('input', { id: 'x0-name', type: 'text', 'class': 'cbi-input-text', maxlength: 63, input: ev => { this.name = ev.target.value } }) ]),
				el('span', { 'class': 'x0-pair' }, [ el('label', { 'for': 'x0-minutes' }, _('Good for')),
					el('select', { id: 'x0-minutes', 'class': 'cbi-input-select', change: ev => { this.minutes = +ev.target.value } },
					choices.map(([ minutes, word ]) => el('option', { value: minutes, selected: minutes == this.minutes }, word))) ]),
				el('button', { 'class': 'btn cbi-button cbi-button-add important', type: 'button', click: () => this.invite(),
					disabled: L.hasViewPermission() === false }, _('Make an invitation'))
			]),
			this.result()
		]);
	},

	redraw() {
		lib.morph(this.root, this.frame());
	},

	render() {
		return this.root = this.frame();
	}
});
