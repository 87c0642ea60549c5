// SPDX-License-Identifier: Apache-2.0
// Making elements. Data only ever becomes text nodes and attributes, never markup.

export function h(tag, attrs, ...children) {
	const el = document.createElement(tag);

	for (const [name, value] of Object.entries(attrs || {})) {
		if (value === undefined || value === null || value === false)
			continue;
		if (name.startsWith("on"))
			el.addEventListener(name.slice(2), value);
		else if (name === "value" || name === "checked" || name === "selected" || name === "disabled")
			el[name] = value;
		else if (name === "test")
			el.dataset.test = value;
		else
			el.setAttribute(name, value === true ? "" : value);
	}
	add(el, children);
	return el;
}

export function add(el, children) {
	for (const child of children.flat(9))
		if (child !== undefined && child !== null && child !== false && child !== "")
			el.append(child);
	return el;
}

export function fill(el, ...children) {
	el.replaceChildren();
	return add(el, children);
}

// Make the children of an element these nodes, touching only what differs: a node that stays keeps its
// focus, its open menu and what is typed in it.
export function reconcile(el, nodes) {
	let at = el.firstChild;

	for (const node of nodes) {
		if (node === at)
			at = at.nextSibling;
		else
			el.insertBefore(node, at);
	}
	while (at) {
		const next = at.nextSibling;
		at.remove();
		at = next;
	}
}

export const $ = id => document.getElementById(id);

// Only these may be followed; anything else is shown as text.
export function safeUrl(url) {
	try {
		const u = new URL(url);
		return ["http:", "https:", "mailto:"].includes(u.protocol) ? u.href : null;
	} catch {
		return null;
	}
}

export function link(url, text) {
	const href = safeUrl(url);
	return href ? h("a", { href, target: "_blank", rel: "noopener noreferrer" }, text || url) : text || url;
}

export function initials(name) {
	const words = name.replace(/[^\p{L}\p{N} ]/gu, " ").trim().split(/\s+/);
	return ((words[0] || "?")[0] + (words.length > 1 ? words[words.length - 1][0] : "")).toUpperCase();
}

const colours = new Map();      // in the order of first sight, so that neighbours differ

export function avatar(person, size) {
	if (!person)
		return h("span", { class: "av", "data-size": size }, "?");
	if (person.id === "U0OPSD")
		return h("span", { class: "av bot", "data-size": size, "aria-hidden": "true" }, ">_");
	if (!colours.has(person.id))
		colours.set(person.id, colours.size % 8);
	return h("span", { class: `av c${colours.get(person.id)}`, "data-size": size, "aria-hidden": "true" },
		initials(person.real_name));
}

export function clock(ts, seconds) {
	const d = new Date(ts * 1000);
	const two = n => String(n).padStart(2, "0");
	return `${two(d.getHours())}:${two(d.getMinutes())}` + (seconds ? `:${two(d.getSeconds())}` : "");
}
