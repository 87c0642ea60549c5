// SPDX-License-Identifier: Apache-2.0
// Block Kit as DOM. `ctx` says where the blocks stand: people, channels, act(element, block, value),
// suggest(element, block, text), and, in a modal, fields (where inputs put their getters) and typed values.

import { h, fill, link, avatar } from "./dom.js";
import { entities, textObject, mention, date, emoji, glyphs } from "./mrkdwn.js";
import { input, isInput } from "./inputs.js";

export function blocks(list, ctx) {
	return (list || []).map(b => block(b, ctx));
}

function block(b, ctx) {
	const make = KINDS[b.type];
	const el = make ? make(b, ctx) : h("div", { class: "b-unknown" }, `Block of type ${b.type}`);
	el.classList.add("b");
	el.dataset.block = b.block_id || "";
	return el;
}

const KINDS = {
	section(b, ctx) {
		const body = h("div", { class: "b-text" });
		if (b.text)
			body.append(h("div", null, textObject(b.text)));
		if (b.fields)
			body.append(h("div", { class: "b-fields" }, b.fields.map(f => h("div", null, textObject(f)))));
		return h("div", { class: "b-section" }, body, b.accessory && element(b.accessory, b, ctx));
	},
	header: b => h("h3", { class: "b-header" }, textObject(b.text)),
	divider: () => h("hr"),
	context: b => h("div", { class: "b-context" }, b.elements.map(e =>
		e.type === "image" ? picture(e, true) : h("span", null, textObject(e)))),
	actions: (b, ctx) => h("div", { class: "b-actions" }, b.elements.map(e => element(e, b, ctx))),
	context_actions: (b, ctx) => h("div", { class: "b-actions" }, b.elements.map(e => element(e, b, ctx))),
	image: b => h("figure", { class: "b-image" }, b.title && h("figcaption", null, textObject(b.title)), picture(b)),
	markdown: b => h("div", { class: "b-text pre" }, b.text),
	alert: b => h("div", { class: `b-alert ${b.level || "default"}`, role: "note" }, textObject(b.text)),
	rich_text: b => h("div", { class: "b-rich" }, b.elements.map(rich)),
	table,
	data_table: b => h("div", null, h("div", { class: "b-caption" }, b.caption), table(b)),
	input: field,
	container: (b, ctx) => h("div", { class: "b-container" }, b.title && h("b", null, textObject(b.title)),
		blocks(b.child_blocks, ctx)),
};

function picture(e, small) {
	return h("span", { class: small ? "pic small" : "pic", role: "img", "aria-label": e.alt_text, title: e.alt_text },
		small ? "\u25a7" : e.alt_text);
}

function table(b) {
	const cell = c => c.type === "rich_text" ? c.elements.map(rich) : glyphs(c.text ?? String(c.value ?? ""));
	const align = i => (b.column_settings && b.column_settings[i] && b.column_settings[i].align) || "left";
	const row = (cells, tag) => h("tr", null, cells.map((c, i) => h(tag, { class: align(i) }, cell(c))));
	return h("div", { class: "b-table" }, h("table", null, h("thead", null, row(b.rows[0], "th")),
		h("tbody", null, b.rows.slice(1).map(r => row(r, "td")))));
}

function field(b, ctx) {
	const id = `f-${b.block_id}`;
	const hint = b.hint && h("div", { class: "hint" }, textObject(b.hint));
	const error = h("div", { class: "error", role: "alert", id: `${id}-e` });
	const { el, get, focus } = input(b.element, b, ctx, id);
	if (ctx.fields)
		ctx.fields.set(b.block_id, { get, action: b.element.action_id, error, el, focus, block: b });
	return h("div", { class: "b-input" }, h("label", { for: id }, textObject(b.label),
		b.optional && h("span", { class: "opt" }, " (optional)")), el, hint, error);
}

// Elements that act at once

export function element(e, b, ctx) {
	if (e.type === "button" || e.type === "workflow_button" || e.type === "icon_button")
		return button(e, b, ctx);
	if (e.type === "overflow")
		return overflow(e, b, ctx);
	if (e.type === "image")
		return picture(e);
	if (e.type === "feedback_buttons")
		return h("span", { class: "b-actions" }, ["positive_button", "negative_button"].map(k =>
			button({ type: "button", action_id: e.action_id, text: e[k].text, value: e[k].value }, b, ctx)));
	if (isInput(e)) {
		const { el, get } = input(e, b, ctx, `e-${b.block_id}-${e.action_id}`, value => ctx.act(e, b, value, el));
		if (ctx.fields)
			ctx.fields.set(`${b.block_id}\n${e.action_id}`, { get, action: e.action_id, block: b, soft: true });
		return el;
	}
	return h("span", { class: "b-unknown" }, e.type);
}

function button(e, b, ctx) {
	const el = h("button", {
		type: "button", class: `btn ${e.style || ""}`, test: `action-${e.action_id}`, title: e.accessibility_label,
		"aria-label": e.accessibility_label, onclick: () => {
			if (e.url)
				link(e.url, "").click?.();
			ctx.act(e, b, e.value, el);
		},
	}, textObject(e.text));
	return el;
}

function overflow(e, b, ctx) {
	const menu = h("div", { class: "menu", role: "menu", hidden: true });
	const el = h("span", { class: "overflow" },
		h("button", { type: "button", class: "btn dots", "aria-haspopup": "menu", "aria-label": "More actions",
			test: `action-${e.action_id}`, onclick: () => {
				menu.hidden = !menu.hidden;
				if (menu.hidden)
					return;
				const low = el.getBoundingClientRect().bottom + menu.offsetHeight + 8 >
					el.closest(".log, .modal-body").getBoundingClientRect().bottom;
				menu.classList.toggle("up", low);
				menu.firstChild.focus();
			} }, "\u22ef"), menu);
	el.addEventListener("focusout", ev => {
		if (!el.contains(ev.relatedTarget))
			menu.hidden = true;
	});
	el.addEventListener("keydown", ev => {
		if (ev.key === "Escape" && !menu.hidden) {
			menu.hidden = true;
			el.firstChild.focus();
			ev.stopPropagation();
		}
	});
	fill(menu, e.options.map(o => h("button", { type: "button", role: "menuitem", test: `option-${o.value}`,
		onclick: () => {
			menu.hidden = true;
			ctx.act(e, b, o.value, el.firstChild);
		} }, textObject(o.text), o.description && h("small", null, textObject(o.description)))));
	return el;
}

// Rich text

function styled(node, style) {
	const tags = { bold: "strong", italic: "em", strike: "s", code: "code", underline: "u" };
	for (const [name, tag] of Object.entries(tags))
		if (style && style[name])
			node = h(tag, null, node);
	return node;
}

function piece(e) {
	const make = {
		text: () => (e.style && e.style.code ? e.text : glyphs(e.text)), link: () => link(e.url, e.text), emoji: () => emoji(e.name),
		user: () => mention("@", e.user_id), channel: () => mention("#", e.channel_id),
		usergroup: () => mention("S", e.usergroup_id), broadcast: () => h("span", { class: "mention group" }, "@" + e.range),
		date: () => h("time", { class: "date", title: e.fallback }, date(e.timestamp, e.format, e.fallback || "")),
		color: () => h("code", null, e.value), team: () => e.team_id,
	}[e.type];
	return styled(make ? make() : e.type, e.style);
}

function rich(e) {
	const inner = () => e.elements.map(piece);
	if (e.type === "rich_text_preformatted")
		return h("pre", null, inner());
	if (e.type === "rich_text_quote")
		return h("blockquote", null, inner());
	if (e.type === "rich_text_list")
		return h(e.style === "ordered" ? "ol" : "ul", { class: `in${e.indent || 0}`, start: e.offset ? e.offset + 1 : null },
			e.elements.map(item => h("li", null, item.elements.map(piece))));
	return h("div", { class: "rich-line" }, inner());
}

// A confirm dialog of an element; resolves to true or false.
export function ask(dialog, confirm) {
	return new Promise(resolve => {
		const done = ok => {
			dialog.close();
			resolve(ok);
		};
		fill(dialog,
			h("div", { class: "modal-head" }, h("h2", { id: "confirm-title" }, textObject(confirm.title))),
			h("div", { class: "modal-body" }, textObject(confirm.text)),
			h("div", { class: "modal-foot" },
				h("button", { type: "button", class: "btn", test: "confirm-no", onclick: () => done(false) },
					confirm.deny ? textObject(confirm.deny) : "Cancel"),
				h("button", { type: "button", class: `btn ${confirm.style || "primary"}`, test: "confirm-yes",
					onclick: () => done(true) }, confirm.confirm ? textObject(confirm.confirm) : "Yes")));
		dialog.oncancel = ev => {
			ev.preventDefault();
			done(false);
		};
		dialog.showModal();
	});
}

export function plain(message) {
	return entities(message.text || "");
}

export { avatar };
