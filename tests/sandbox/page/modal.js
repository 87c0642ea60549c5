// SPDX-License-Identifier: Apache-2.0
// The modal on top of a person's stack: what is typed in it survives an update with the same ids.

import { S, call } from "./api.js";
import { $, h, fill } from "./dom.js";
import { textObject } from "./mrkdwn.js";
import { blocks } from "./blocks.js";
import { context } from "./act.js";

let shown = null;           // { user, view, fields, errors }

const top = () => (S.views[S.me] || []).at(-1);

function values() {
	const out = {};
	for (const f of shown.fields.values())
		(out[f.block.block_id] ||= {})[f.action] = f.get();
	return out;
}

function typed() {
	const out = new Map();
	if (shown)
		for (const f of shown.fields.values())
			out.set(`${f.block.block_id}\n${f.action}`, f.get());
	return out;
}

export function showModal() {
	const dialog = $("modal"), view = top();

	if (!view) {
		shown = null;
		if (dialog.open)
			dialog.close();
		return;
	}
	if (shown && shown.user === S.me && shown.view.id === view.id && shown.view.hash === view.hash)
		return;
	const same = shown && shown.user === S.me && shown.view.id === view.id;
	draw(dialog, view, same ? typed() : new Map());
	if (!dialog.open)
		dialog.showModal();
}

function draw(dialog, view, kept) {
	shown = { user: S.me, view, fields: new Map() };
	const depth = S.views[S.me].length;
	const ctx = context({ view, fields: shown.fields, typed: kept, values });
	const body = h("div", { class: "modal-body" }, h("div", { class: "banner", role: "alert", test: "banner", hidden: true }),
		blocks(view.blocks, ctx));
	fill(dialog, h("form", { class: "modal-form", novalidate: true, onsubmit: submit },
		h("div", { class: "modal-head" },
			depth > 1 && h("button", { type: "button", class: "btn dots", "aria-label": "Back", onclick: () => close(false) }, "\u2190"),
			h("h2", { id: "modal-title" }, textObject(view.title)),
			h("button", { type: "button", class: "btn dots", "aria-label": "Close", test: "modal-x", onclick: () => close(true) }, "\u2715")),
		body,
		h("div", { class: "modal-foot" },
			h("button", { type: "button", class: "btn", test: "modal-close", onclick: () => close(false) },
				view.close ? textObject(view.close) : "Close"),
			view.submit && h("button", { class: "btn primary", test: "modal-submit" }, textObject(view.submit)))));
	dialog.oncancel = ev => {
		ev.preventDefault();
		close(true);
	};
	const first = dialog.querySelector("[autofocus]") || shown.fields.values().next().value?.focus;
	first?.focus();
}

async function close(all) {
	await call("close", { user: S.me, view_id: top().id, all });
}

async function submit(ev) {
	ev.preventDefault();
	const dialog = $("modal"), mine = shown;
	const button = dialog.querySelector('[data-test="modal-submit"]');
	button.disabled = true;
	button.setAttribute("aria-busy", "true");
	const out = await call("submit", { user: S.me, view_id: mine.view.id, values: values() });
	button.disabled = false;
	button.removeAttribute("aria-busy");
	if (mine !== shown)
		return;
	errors(out.ok ? out.errors || {} : {}, !out.ok ? out.error : out.banner);
}

function errors(found, banner) {
	let first = null;
	for (const [id, f] of shown.fields) {
		if (f.soft)
			continue;
		const text = found[id] || "";
		f.error.textContent = text;
		f.focus.setAttribute("aria-invalid", String(!!text));
		if (text && !first)
			first = f.focus;
	}
	const bar = $("modal").querySelector('[data-test="banner"]');
	bar.textContent = banner || "";
	bar.hidden = !banner;
	first?.focus();
}
