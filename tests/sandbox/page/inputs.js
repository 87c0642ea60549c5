// SPDX-License-Identifier: Apache-2.0
// Inputs and menus: each gives its element, a getter for what is typed or picked, and the part to focus.
// `changed` is called with the value when a menu outside an input block is used.

import { h, fill } from "./dom.js";
import { textObject } from "./mrkdwn.js";

const TYPED = { plain_text_input: "text", email_text_input: "email", url_text_input: "url", number_input: "text" };

export function isInput(e) {
	return e.type in MAKERS || e.type in TYPED;
}

export function input(e, b, ctx, id, changed) {
	const kept = ctx.typed && ctx.typed.get(`${b.block_id}\n${e.action_id}`);
	const make = MAKERS[e.type] || typed;
	const made = make(e, b, ctx, { id, kept, changed: value => {
		if (changed)
			changed(value);
		else if (b.dispatch_action)
			ctx.act(e, b, value, made.el);
	} });
	made.focus = made.focus || made.el;
	made.focus.dataset.test = `input-${e.action_id}`;
	if (e.focus_on_load)
		made.focus.autofocus = true;
	return made;
}

function typed(e, b, ctx, { id, kept, changed }) {
	const common = { id, class: "text", placeholder: e.placeholder && e.placeholder.text, "aria-describedby": `${id}-e` };
	const value = kept ?? e.initial_value ?? "";
	const el = e.multiline ? h("textarea", { ...common, rows: 4 }) :
		h("input", { ...common, type: TYPED[e.type], inputmode: e.type === "number_input" ? "decimal" : null });
	el.value = value;
	if (b.dispatch_action)
		el.addEventListener("keydown", ev => {
			if (ev.key === "Enter" && !e.multiline) {
				ev.preventDefault();
				changed(el.value);
			}
		});
	return { el, get: () => el.value };
}

function chooser(e, options, start, { id, changed }, label) {
	const el = h("select", { id, class: "select", "aria-describedby": `${id}-e`, "aria-label": label || null });
	const hint = e.placeholder ? e.placeholder.text : "Choose\u2026";
	el.append(h("option", { value: "" }, hint));
	for (const o of options)
		el.append(o.options ? h("optgroup", { label: o.label }, o.options.map(one)) : one(o));
	el.value = start ?? "";
	el.addEventListener("change", () => el.value !== "" && changed(el.value));
	return { el, get: () => el.value || null };
}

const one = o => h("option", { value: o.value }, o.text);
const flat = o => ({ value: o.value, text: o.text.text });

function staticSelect(e, b, ctx, how) {
	const options = e.option_groups ? e.option_groups.map(g => ({ label: g.label.text, options: g.options.map(flat) })) :
		e.options.map(flat);
	return chooser(e, options, how.kept ?? (e.initial_option && e.initial_option.value), how, e.action_id);
}

function people(ctx) {
	return [...ctx.people.values()].filter(p => !p.is_bot && !p.deleted && p.id !== "USLACKBOT")
		.map(p => ({ value: p.id, text: `${p.real_name} (@${p.name})` }));
}

function channels(ctx) {
	return [...ctx.channels.values()].filter(c => !c.is_im).map(c => ({ value: c.id, text: "#" + c.name }));
}

function boxes(e, options, start, { id, changed }, many) {
	const name = `${id}-g`;
	const el = h("div", { id, class: "boxes", role: many ? "group" : "radiogroup", tabindex: "-1" },
		options.map((o, i) => h("label", { class: "box" },
			h("input", { type: many ? "checkbox" : "radio", name, value: o.value, checked: start.includes(o.value),
				test: `option-${o.value}`, onchange: () => changed(get()) }),
			h("span", null, o.text, o.description && h("small", null, o.description)))));
	const picked = () => [...el.querySelectorAll("input:checked")].map(i => i.value);
	const get = () => many ? picked() : picked()[0] ?? null;
	return { el, get };
}

const rich = o => ({ value: o.value, text: textObject(o.text), description: o.description && textObject(o.description) });
const values = list => (list || []).map(o => o.value);

function external(e, b, ctx, { id, kept, changed }) {
	let picked = kept ?? e.initial_option ?? null, serial = 0;
	const box = h("input", { id, class: "text", role: "combobox", "aria-expanded": "false", "aria-controls": `${id}-l`,
		placeholder: e.placeholder ? e.placeholder.text : "Type to search", autocomplete: "off" });
	const list = h("div", { id: `${id}-l`, class: "menu wide", role: "listbox", hidden: true });
	const el = h("div", { class: "combo" }, box, list);
	box.value = picked ? picked.text.text : "";
	const choose = o => {
		picked = o;
		box.value = o.text.text;
		list.hidden = true;
		changed(o);
	};
	box.addEventListener("input", async () => {
		const mine = ++serial;
		picked = null;
		if (box.value.length < (e.min_query_length ?? 3)) {
			list.hidden = true;
			return;
		}
		const answer = await ctx.suggest(e, b, box.value);
		if (mine !== serial)
			return;
		const groups = answer.option_groups || [{ options: answer.options || [] }];
		fill(list, groups.map(g => [g.label && h("div", { class: "menu-label" }, g.label.text),
			g.options.map(o => h("button", { type: "button", role: "option", test: `option-${o.value}`,
				onclick: () => choose(o) }, textObject(o.text), o.description && h("small", null, textObject(o.description))))]));
		if (!list.childNodes.length)
			list.append(h("div", { class: "menu-label" }, "No results"));
		list.hidden = false;
	});
	el.addEventListener("focusout", ev => {
		if (!el.contains(ev.relatedTarget))
			list.hidden = true;
	});
	return { el, focus: box, get: () => picked };
}

function when(type, member) {
	return (e, b, ctx, { id, kept, changed }) => {
		const el = h("input", { id, class: "text short", type, "aria-describedby": `${id}-e` });
		const start = kept ?? e[member];
		el.value = type === "datetime-local" && typeof start === "number" ? local(start) : start ?? "";
		const get = () => !el.value ? null : type === "datetime-local" ? Math.floor(new Date(el.value) / 1000) : el.value;
		el.addEventListener("change", () => get() && changed(get()));
		return { el, get };
	};
}

function local(epoch) {
	const d = new Date(epoch * 1000);
	return new Date(d - d.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

const MAKERS = {
	static_select: staticSelect,
	external_select: external,
	users_select: (e, b, ctx, how) => chooser(e, people(ctx), how.kept ?? e.initial_user, how, e.action_id),
	channels_select: (e, b, ctx, how) => chooser(e, channels(ctx), how.kept ?? e.initial_channel, how, e.action_id),
	conversations_select: (e, b, ctx, how) =>
		chooser(e, channels(ctx), how.kept ?? e.initial_conversation ??
			(e.default_to_current_conversation ? ctx.channel : null), how, e.action_id),
	multi_static_select: (e, b, ctx, how) => boxes(e, (e.options || e.option_groups.flatMap(g => g.options)).map(rich),
		how.kept ?? values(e.initial_options), how, true),
	multi_users_select: (e, b, ctx, how) => boxes(e, people(ctx), how.kept ?? e.initial_users ?? [], how, true),
	multi_channels_select: (e, b, ctx, how) => boxes(e, channels(ctx), how.kept ?? e.initial_channels ?? [], how, true),
	multi_conversations_select: (e, b, ctx, how) =>
		boxes(e, channels(ctx), how.kept ?? e.initial_conversations ?? [], how, true),
	checkboxes: (e, b, ctx, how) => boxes(e, e.options.map(rich), how.kept ?? values(e.initial_options), how, true),
	radio_buttons: (e, b, ctx, how) => boxes(e, e.options.map(rich),
		how.kept ? [how.kept] : values(e.initial_option && [e.initial_option]), how, false),
	datepicker: when("date", "initial_date"),
	timepicker: when("time", "initial_time"),
	datetimepicker: when("datetime-local", "initial_date_time"),
	rich_text_input: (e, b, ctx, how) => typed({ ...e, multiline: true, initial_value: "" }, b, ctx, how),
};
