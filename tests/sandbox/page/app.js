// SPDX-License-Identifier: Apache-2.0
// The chat window: who looks, where, what is said there, and the composer.

import { S, call, load, listen, me, sees, dm, visible, markUnread, markRead, waiting } from "./api.js";
import { $, h, fill, avatar, reconcile } from "./dom.js";
import { useNames } from "./mrkdwn.js";
import { messageElement, typedLine } from "./message.js";
import { showModal } from "./modal.js";
import { blocks } from "./blocks.js";
import { context } from "./act.js";
import { startSide } from "./side.js";

const EXAMPLES = ["/ops help", "/ops workers scale team=ads role=dev count=5 reason=\"queue is growing\"",
	"/ops workers scale team=ads role=prod count=20 for=2h reason=\"backlog\"", "/ops datasets list owner=ads"];
const history = new Map();      // person -> what they typed, and where the cursor is
const drafts = new Map();
let config = {};

const here = () => S.place.kind === "channel" ? S.channels.get(S.place.id) : dm(S.me);
const showsMessages = () => S.place.kind === "channel" || S.place.tab === "messages";

// Left: people, channels, apps

function notes(p) {
	const out = [];
	if (p.deleted)
		out.push("deactivated");
	if (p.is_restricted)
		out.push("guest");
	if (p.team_id !== "T0OPS")
		out.push("other workspace");
	if (p.is_email_confirmed === false)
		out.push("address not confirmed");
	return out;
}

function drawPeople() {
	const rows = [...S.people.values()].filter(p => !p.is_bot && p.id !== "USLACKBOT");
	fill($("people"), rows.map(p => {
		const about = [p.real_name, ...p.groups, ...notes(p)].join(", ");
		return h("button", { type: "button", role: "radio", "aria-checked": String(p.id === S.me), title: about,
			"aria-label": about, class: `eye${p.deleted ? " off" : ""}`, test: `person-${p.id}`,
			tabindex: p.id === S.me ? "0" : "-1", onclick: () => become(p.id) },
		avatar(p, "m"), waiting(p.id) && p.id !== S.me ? h("i", { class: "dot", title: "unread" }) : null);
	}));
	const p = me();
	fill($("me"), avatar(p, "l"), h("div", null, h("b", null, p.real_name), h("span", { class: "sub" },
		p.email || "no address shown"), h("div", { class: "tags" }, p.groups.length ? p.groups.map(g =>
		h("span", { class: "tag" }, g)) : h("span", { class: "tag none" }, "no group"),
	notes(p).map(n => h("span", { class: "tag warn" }, n)))));
}

function drawChannels() {
	const mine = S.unread.get(S.me);
	const item = (id, label, on, mark, act, test) => {
		const u = mine?.get(id);
		return h("li", null, h("button", { type: "button", class: `chan${on ? " on" : ""}${u ? " unread" : ""}`,
			"aria-current": on ? "page" : null, onclick: act, test },
		h("span", { class: "hash", "aria-hidden": "true" }, mark), h("span", { class: "label" }, label),
		u ? h("span", { class: `count${u.close ? " close" : ""}`, "aria-label": `${u.count} unread` }, u.count) : null));
	};
	fill($("channels"), [...S.channels.values()].filter(c => !c.is_im && sees(c, S.me)).map(c =>
		item(c.id, c.name + (c.is_archived ? " (archived)" : ""), S.place.kind === "channel" && S.place.id === c.id,
			c.is_private ? "\u{1f512}" : c.is_ext_shared ? "\u2194" : "#",
			() => go({ kind: "channel", id: c.id }), `channel-${c.name}`)));
	const d = dm(S.me);
	fill($("apps"), d ? item(d.id, "opsd", S.place.kind === "app", "\u25c6", () => go({ kind: "app", tab: "home" }),
		"app-opsd") : h("li", { class: "chan" }, "No apps"));
}

function drawLink(alive) {
	const up = alive !== false && S.sockets > 0;
	fill($("link"), h("i", { class: up ? "lamp up" : "lamp" }), alive === false ? "stand-in is gone" :
		up ? "opsd connected" : "not connected");
	$("link").title = `${S.sockets} open Socket Mode connections`;
}

function become(id) {
	drafts.set(S.me, $("composer").value);
	S.me = id;
	localStorage.setItem("me", id);
	$("composer").value = drafts.get(id) || "";
	const c = S.place.kind === "channel" && S.channels.get(S.place.id);
	if (c && !sees(c, id)) {
		const first = [...S.channels.values()].find(k => !k.is_im && sees(k, id));
		S.place = first ? { kind: "channel", id: first.id } : { kind: "app", tab: "home" };
	}
	fill($("ack"));
	drawAll();
}

function go(place) {
	S.place = place;
	drawAll();
	if (place.kind === "app" && place.tab === "home")
		call("home", { user: S.me });
	else
		$("composer").focus();
}

// Middle

function drawHead() {
	const c = here();
	const head = $("room-head");
	if (S.place.kind === "app") {
		const tab = (name, label) => h("button", { type: "button", role: "tab", class: "tab", test: `tab-${name}`,
			"aria-selected": String(S.place.tab === name), onclick: () => go({ kind: "app", tab: name }) }, label);
		fill(head, avatar(S.people.get(S.bot), "m"), h("h1", null, "opsd"), h("span", { class: "badge" }, "APP"),
			h("div", { class: "tabs", role: "tablist" }, tab("home", "Home"), tab("messages", "Messages")));
		return;
	}
	const flags = [];
	if (c.is_ext_shared)
		flags.push(h("span", { class: "tag warn" }, "shared with another organisation"));
	if (!c.members.includes(S.bot))
		flags.push(h("span", { class: "tag" }, "opsd is not a member"));
	fill(head, h("h1", null, h("span", { class: "hash", "aria-hidden": "true" }, "#"), c.name),
		h("span", { class: "sub" }, `${c.members.length} members`), flags);
}

const spring = h("div", { class: "spring" });
let drawn = { key: null, els: new Map() };      // the elements of the place that is shown, by time stamp

function drawLog() {
	const log = $("log");
	if (!showsMessages()) {
		drawHome(log);
		return;
	}
	log.className = "log";
	log.setAttribute("role", "log");
	const c = here(), key = `${S.me} ${c && c.id}`;
	if (drawn.key !== key)
		drawn = { key, els: new Map() };
	const low = log.scrollHeight - log.scrollTop - log.clientHeight < 60, first = !drawn.els.size;
	const nodes = c ? rowsOf(c) : [];
	reconcile(log, nodes.length ? [spring, ...nodes] : [spring, empty(c)]);
	if (low || first)
		log.scrollTop = log.scrollHeight;
	if (c)
		markRead(S.me, c.id);
}

function rowsOf(c) {
	const rows = [...c.messages.values()].filter(m => visible(m, S.me));
	const lines = typedHere(c).slice(), out = [], els = new Map();
	let last = null;
	const line = () => {
		const l = lines.shift();
		out.push(l.el ||= typedLine(l));
		last = null;
	};

	rows.sort((a, b) => root(a) < root(b) ? -1 : root(a) > root(b) ? 1 : a.ts < b.ts ? -1 : 1);
	for (const m of rows) {
		while (lines.length && lines[0].ts < root(m))
			line();
		const joined = !!last && follows(last, m), old = drawn.els.get(m.ts);
		const kept = old && old.m === m && old.joined === joined;
		const el = kept ? old.el : messageElement(m, c, joined);
		els.set(m.ts, kept ? old : { m, joined, el });
		out.push(el);
		last = m;
	}
	while (lines.length)
		line();
	drawn.els = els;
	return out;
}

// Lines that the person typed in a channel, oldest first.
function typedHere(c) {
	const key = `${S.me} ${c.id}`;
	if (!S.typed.has(key))
		S.typed.set(key, []);
	return S.typed.get(key);
}

const root = m => m.thread_ts || m.ts;
const follows = (a, b) => a.user === b.user && b.ts - a.ts < 240 && !a.ephemeral_for === !b.ephemeral_for &&
	root(a) === a.ts && root(b) === b.ts;

function empty(c) {
	const name = S.place.kind === "app" ? "opsd" : `#${c.name}`;
	return h("div", { class: "empty" }, h("div", { class: "empty-mark" }, S.place.kind === "app" ? ">_" : "#"),
		h("h2", null, `This is the beginning of ${name}`),
		h("p", null, "Type a slash command below. What opsd answers appears here, exactly as Slack would show it."));
}

function drawHome(log) {
	const view = S.homes[S.me];
	log.className = "log home";
	log.setAttribute("role", "region");
	fill(log, h("div", { class: "sheet", test: "home" }, view ? blocks(view.blocks, context({ view })) :
		h("div", { class: "empty" }, h("div", { class: "empty-mark" }, ">_"), h("h2", null, "Nothing here yet"),
			h("p", null, "opsd publishes this page when it hears that you opened it."))));
}

function drawComposer() {
	const p = me(), c = here();
	const box = $("composer");
	const why = p.deleted ? "This account is deactivated" : c && c.is_archived ? "This channel is archived" :
		!c ? "No conversation" : null;
	$("composer-form").hidden = !showsMessages();
	box.disabled = !!why;
	box.placeholder = why || (S.place.kind === "app" ? "Message opsd, or type / for a command" :
		`Message #${c.name}, or type / for a command`);
	fill($("chips"), (config.examples || EXAMPLES).map(text => h("button", { type: "button", class: "chip",
		title: text, disabled: !!why, onclick: () => {
			box.value = text;
			box.focus();
		} }, text)));
}

function drawAll() {
	useNames(S);
	drawLog();
	drawPeople();
	drawChannels();
	drawHead();
	drawComposer();
	showModal();
}

// Composer

function typedBy(user) {
	if (!history.has(user))
		history.set(user, { lines: [], at: 0 });
	return history.get(user);
}

async function send(ev) {
	ev.preventDefault();
	const box = $("composer"), text = box.value.trim(), channel = here(), user = S.me;
	if (!text || !channel)
		return;
	const past = typedBy(user);
	if (past.lines[past.lines.length - 1] !== text)
		past.lines.push(text);
	past.at = past.lines.length;
	box.value = "";
	if (text[0] !== "/") {
		const out = await call("say", { user, channel: channel.id, text });
		if (!out.ok)
			say(out.error, "bad");
		return;
	}
	const m = /^(\/\S+)\s*([\s\S]*)$/.exec(text);
	typedHere(channel).push({ text, ts: (Date.now() / 1000).toFixed(6) });
	drawLog();
	$("log").scrollTop = $("log").scrollHeight;
	say("waiting for the acknowledgement\u2026");
	const out = await call("slash", { user, channel: channel.id, command: m[1], text: m[2], wait: true });
	if (!out.ok)
		say(out.error, "bad");
	else if (out.outcome === "acked")
		say(`acknowledged in ${out.elapsed_ms < 10 ? out.elapsed_ms.toFixed(1) : Math.round(out.elapsed_ms)} ms`, "good");
	else
		say(out.outcome === "dispatch_failed" ? "not delivered: opsd has no open connection" :
			"not acknowledged within 3 seconds", "bad");
}

function say(text, how) {
	fill($("ack"), h("span", { class: how || "" }, text));
}

function keys(ev) {
	const past = typedBy(S.me), box = $("composer");
	const step = ev.key === "ArrowUp" ? -1 : ev.key === "ArrowDown" ? 1 : 0;
	if (!step || !past.lines.length)
		return;
	ev.preventDefault();
	past.at = Math.max(0, Math.min(past.lines.length, past.at + step));
	box.value = past.lines[past.at] || "";
}

function peopleKeys(ev) {
	const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[ev.key];
	if (!step)
		return;
	ev.preventDefault();
	const all = [...$("people").children], at = all.findIndex(b => b.getAttribute("aria-checked") === "true");
	all[(at + step + all.length) % all.length].click();
	$("people").querySelector('[aria-checked="true"]').focus();
}

// Events

function changed(ev) {
	const c = S.channels.get(ev.channel);
	if (!c)
		return false;
	const open = showsMessages() && here() === c;
	if (ev.type === "message_deleted") {
		const m = c.messages.get(ev.ts);
		if (m)
			m.deleted = true;
	} else {
		const fresh = !c.messages.has(ev.message.ts);
		c.messages.set(ev.message.ts, ev.message);
		if (c.messages.size > 600)
			c.messages.delete(c.messages.keys().next().value);
		if (fresh)
			markUnread(ev.message, c, open);
	}
	return open;
}

let drawing = 0;
function soon() {
	drawing ||= requestAnimationFrame(() => {
		drawing = 0;
		drawLog();
		drawPeople();
		drawChannels();
	});
}

async function onEvent(ev) {
	if (ev.type === "reload") {
		await load();
		drawn.key = null;
		drawAll();
	} else if (ev.type === "sockets") {
		S.sockets = ev.open;
		drawLink();
	} else if (ev.type === "views") {
		S.views[ev.user] = ev.stack;
		S.homes[ev.user] = ev.home;
		if (ev.user === S.me) {
			showModal();
			if (!showsMessages())
				drawLog();
		}
	} else {
		changed(ev);
		soon();
	}
}

async function start() {
	config = await fetch("/_/page-config.json").then(r => r.json()).catch(() => ({}));
	while (!(await load()))
		await new Promise(r => setTimeout(r, 500));
	if (!S.people.has(S.me))
		S.me = "U0ANA";
	$("composer-form").addEventListener("submit", send);
	$("composer").addEventListener("keydown", keys);
	$("people").addEventListener("keydown", peopleKeys);
	$("side-toggle").addEventListener("click", ev => {
		const open = document.body.classList.toggle("side-open");
		ev.target.setAttribute("aria-expanded", String(open));
	});
	drawAll();
	drawLink();
	listen(onEvent, drawLink);
	startSide(config);
	document.body.dataset.ready = "1";
	$("composer").focus();
}

start();
