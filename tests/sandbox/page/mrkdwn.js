// SPDX-License-Identifier: Apache-2.0
// Slack's mrkdwn as DOM nodes: tokens in angle brackets first, then entities and emphasis in the rest.

import { h, link } from "./dom.js";

// Plain glyphs in a colour, so that the page looks the same without an emoji font.
const EMOJI = {
	white_check_mark: ["\u2714", "good"], heavy_check_mark: ["\u2714"], x: ["\u2716", "bad"], warning: ["\u26a0", "warn"],
	no_entry: ["\u2298", "bad"], no_entry_sign: ["\u2298", "bad"], lock: ["\u26bf", "warn"], hourglass: ["\u231b"],
	hourglass_flowing_sand: ["\u231b"], rotating_light: ["\u25b2", "bad"], question: ["?", "warn"], grey_question: ["?"],
	information_source: ["\u2139"], clock3: ["\u25f7"], stopwatch: ["\u25f7"], arrow_right: ["\u2192"], eyes: ["\u25c9"],
	leftwards_arrow_with_hook: ["\u21a9"], arrows_counterclockwise: ["\u21bb"], repeat: ["\u21bb"], rocket: ["\u27a4", "good"],
	large_green_circle: ["\u25cf", "good"], red_circle: ["\u25cf", "bad"], large_yellow_circle: ["\u25cf", "warn"],
	white_circle: ["\u25cb"], gear: ["\u2699"], wrench: ["\u2692"], memo: ["\u270e"], bell: ["\u266a"], tada: ["\u2738", "good"],
	busts_in_silhouette: ["\u2691"], wave: ["\u270b"], thumbsup: ["\u2714", "good"], "+1": ["\u2714", "good"], "-1": ["\u2716", "bad"], mag: ["\u2315"],
	package: ["\u25a3"], fire: ["\u25b2", "bad"], zzz: ["z"], pause_button: ["\u2016"], double_vertical_bar: ["\u2016"],
};

export function emoji(name) {
	const e = EMOJI[name];
	return e ? h("span", { class: `emo ${e[1] || ""}`, role: "img", "aria-label": name.replace(/_/g, " ") }, e[0]) : `:${name}:`;
}

// The same for the characters themselves.
const CHARS = {
	"\u2705": "white_check_mark", "\u274c": "x", "\u26a0": "warning", "\u26d4": "no_entry", "\u270f": "memo", "\u231b": "hourglass",
	"\u23f3": "hourglass", "\u{1f6ab}": "no_entry_sign", "\u{1f512}": "lock", "\u{1f6a8}": "rotating_light", "\u2139": "information_source",
	"\u{1f465}": "busts_in_silhouette", "\u{1f440}": "eyes", "\u{1f504}": "arrows_counterclockwise", "\u21a9": "leftwards_arrow_with_hook", "\u23f1": "stopwatch",
	"\u{1f680}": "rocket", "\u{1f7e2}": "large_green_circle", "\u{1f534}": "red_circle", "\u{1f7e1}": "large_yellow_circle",
	"\u2714": "heavy_check_mark", "\u{1f514}": "bell", "\u{1f527}": "wrench", "\u{1f44d}": "thumbsup", "\u{1f389}": "tada",
};
const CHAR = new RegExp(`(${Object.keys(CHARS).join("|")})\ufe0f?`, "u");

export function glyphs(text) {
	return text.split(CHAR).map((part, i) => i % 2 ? emoji(CHARS[part]) : part);
}

let names = { people: new Map(), channels: new Map(), groups: new Map() };

export function useNames(maps) {
	names = maps;
}

export function entities(text) {
	return text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
}

export function mention(kind, id, label) {
	if (kind === "@") {
		const p = names.people.get(id);
		return h("span", { class: "mention" + (p && p.deleted ? " off" : "") }, "@" + (p ? p.name : label || id));
	}
	if (kind === "#") {
		const c = names.channels.get(id);
		return h("span", { class: "mention" }, "#" + (c ? c.name : label || id));
	}
	const g = names.groups.get(id);
	return h("span", { class: "mention group" }, "@" + (g ? g.handle : (label || id).replace(/^@/, "")));
}

const two = n => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const LONG = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
	"November", "December"];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

function ago(d) {
	const s = Math.round((Date.now() - d) / 1000), a = Math.abs(s);
	const text = a < 60 ? `${a} s` : a < 3600 ? `${Math.round(a / 60)} min` : a < 86400 ? `${Math.round(a / 3600)} h` :
		`${Math.round(a / 86400)} d`;
	return s >= 0 ? `${text} ago` : `in ${text}`;
}

function pretty(d, otherwise) {
	const day = t => new Date(t.getFullYear(), t.getMonth(), t.getDate()).getTime();
	const days = Math.round((day(d) - day(new Date())) / 86400000);
	return { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days] || otherwise;
}

export function date(epoch, format, fallback) {
	const d = new Date(epoch * 1000);
	if (isNaN(d))
		return fallback;
	const short = `${MONTHS[d.getMonth()]} ${d.getDate()}, ${d.getFullYear()}`;
	const long = `${DAYS[d.getDay()]}, ${LONG[d.getMonth()]} ${d.getDate()}, ${d.getFullYear()}`;
	const full = `${LONG[d.getMonth()]} ${d.getDate()}, ${d.getFullYear()}`;
	const parts = {
		date_num: `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`, date: full, date_short: short,
		date_long: long, date_pretty: pretty(d, full), date_short_pretty: pretty(d, short),
		date_long_pretty: pretty(d, long), date_slash: `${d.getMonth() + 1}/${d.getDate()}/${d.getFullYear()}`,
		day_divider_pretty: pretty(d, long), time: `${two(d.getHours())}:${two(d.getMinutes())}`,
		time_secs: `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`, ago: ago(d),
	};
	return format.replace(/\{(\w+)\}/g, (all, name) => parts[name] ?? all);
}

function token(body) {
	const bar = body.indexOf("|");
	const head = bar < 0 ? body : body.slice(0, bar), label = bar < 0 ? "" : entities(body.slice(bar + 1));
	let m;

	if ((m = /^([@#])([A-Z0-9]+)$/.exec(head)))
		return mention(m[1], m[2], label);
	if ((m = /^!subteam\^([A-Z0-9]+)$/.exec(head)))
		return mention("S", m[1], label);
	if ((m = /^!date\^(\d+)\^([^^]*)(?:\^(.*))?$/.exec(head))) {
		const el = h("time", { class: "date", title: label }, date(Number(m[1]), m[2], label));
		return m[3] ? link(m[3], el.textContent) : el;
	}
	if ((m = /^!(here|channel|everyone)$/.exec(head)))
		return h("span", { class: "mention group" }, "@" + m[1]);
	return link(entities(head), label || entities(head).replace(/^mailto:/, ""));
}

const PLAIN = /^(?:[^<>`*_~\n:&]|&(?!lt;|gt;|amp;))+/;
const MARK = { "*": "strong", _: "em", "~": "s" };

// One line (or label) of mrkdwn.
export function inline(text) {
	const out = [];
	let at = 0, m;

	while (at < text.length) {
		const rest = text.slice(at), c = rest[0];
		const edge = at === 0 || /[\s(["'>*_~|,.:;-]/.test(text[at - 1]);
		if ((m = PLAIN.exec(rest))) {
			out.push(...glyphs(m[0]));
		} else if ((m = /^<([^<>\n]+)>/.exec(rest))) {
			out.push(token(m[1]));
		} else if ((m = /^`([^`\n]+)`/.exec(rest))) {
			out.push(h("code", null, entities(m[1].replace(/<[^<>|]+\|([^<>]*)>/g, "$1"))));
		} else if (MARK[c] && edge && (m = new RegExp(`^\\${c}(\\S(?:[^\\${c}\\n]*\\S)?)\\${c}(?![\\w])`).exec(rest))) {
			out.push(h(MARK[c], null, inline(m[1])));
		} else if ((m = /^:([a-z0-9_+-]+):/.exec(rest))) {
			out.push(emoji(m[1]));
		} else if ((m = /^&(lt|gt|amp);/.exec(rest))) {
			out.push({ lt: "<", gt: ">", amp: "&" }[m[1]]);
		} else if (c === "\n") {
			m = ["\n"];
			out.push(h("br"));
		} else {
			m = [c];
			out.push(c);
		}
		at += m[0].length;
	}
	return out;
}

// A whole mrkdwn text: code fences, quotes, then lines.
export function mrkdwn(text) {
	const out = [];

	text.split(/```/).forEach((part, i, all) => {
		if (i % 2 && i < all.length - 1) {
			out.push(h("pre", null, entities(part.replace(/^\n/, "").replace(/<[^<>|]+\|([^<>]*)>/g, "$1"))));
			return;
		}
		if (i % 2)
			part = "```" + part;
		lines(part, out);
	});
	return out;
}

function lines(part, out) {
	let plain = [], quote = [];
	const flush = () => {
		if (plain.length)
			out.push(...inline(plain.join("\n")));
		if (quote.length)
			out.push(h("blockquote", null, inline(quote.join("\n"))));
		plain = [];
		quote = [];
	};

	for (const line of part.split("\n")) {
		const m = /^&gt; ?(.*)$/.exec(line);
		if (m ? plain.length : quote.length)
			flush();
		(m ? quote : plain).push(m ? m[1] : line);
	}
	flush();
}

export function textObject(t) {
	if (!t)
		return null;
	if (t.type === "mrkdwn")
		return mrkdwn(t.text);
	return t.emoji === false ? glyphs(t.text) : t.text.split(/:([a-z0-9_+-]+):/).map((part, i) => i % 2 ? emoji(part) : glyphs(part));
}
