// SPDX-License-Identifier: Apache-2.0
// Behind the scenes: what the cluster and the audit log say, and switches that break things.
// Each panel stands alone: without its source it says so and keeps asking slowly.

import { S, call } from "./api.js";
import { $, h, fill, clock } from "./dom.js";

const EVERY = 1000, SLOW = 5000;
const seen = new Map();         // cell -> its last text, to make changes flash

function panel(id, title) {
	const body = h("div", { class: "panel-body", test: `panel-${id}` });
	const mark = h("span", { class: "mark" });
	$("side-body").append(h("section", { class: "panel", "aria-labelledby": `p-${id}` },
		h("h2", { id: `p-${id}` }, title, mark), body));
	return { body, mark };
}

function cell(key, text, attrs, ...more) {
	const old = seen.get(key);
	seen.set(key, text);
	const flash = old !== undefined && old !== text;
	return h("td", { ...attrs, class: `${(attrs && attrs.class) || ""}${flash ? " flash" : ""}`,
		title: flash ? `was ${old}` : null }, more.length ? more : text);
}

async function poll(url, draw, failed) {
	let wait = EVERY, last = null;
	for (;;) {
		try {
			const answer = await fetch(url, { cache: "no-store" });
			if (!answer.ok)
				throw new Error(`HTTP ${answer.status}`);
			const text = await answer.text();
			if (text !== last) {
				last = text;
				draw(JSON.parse(text));
			}
			wait = EVERY;
		} catch (e) {
			last = null;
			failed(e);
			wait = SLOW;
		}
		await new Promise(r => setTimeout(r, wait));
	}
}

function quiet(p, text) {
	fill(p.body, h("p", { class: "quiet" }, text));
	p.mark.className = "mark off";
}

// Cluster

function objectsOf(data) {
	const list = Array.isArray(data) ? data : data.items || data.objects || Object.values(data).flat();
	return list.filter(o => o && o.kind && o.metadata);
}

const WORKLOADS = ["Deployment", "StatefulSet"];

function drawWorkloads(p, objects) {
	const rows = objects.filter(o => WORKLOADS.includes(o.kind) && !/^kube-/.test(o.metadata.namespace));
	rows.sort((a, b) => (a.metadata.namespace + a.metadata.name).localeCompare(b.metadata.namespace + b.metadata.name));
	p.mark.className = "mark on";
	if (!rows.length) {
		fill(p.body, h("p", { class: "quiet" }, "No deployments."));
		return;
	}
	let ns = null;
	fill(p.body, h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Deployment"),
		h("th", { scope: "col", class: "num" }, "Ready"), h("th", { scope: "col", class: "num" }, "Spec"))),
	h("tbody", null, rows.map(o => {
		const spec = o.spec.replicas ?? 1, ready = (o.status && o.status.readyReplicas) || 0;
		const key = `${o.metadata.namespace}/${o.metadata.name}`;
		const head = ns !== o.metadata.namespace ? h("tr", { class: "group" }, h("th", { colspan: 3, scope: "rowgroup" },
			(ns = o.metadata.namespace))) : null;
		const bar = h("span", { class: "bar" }, h("i"));
		bar.firstChild.style.width = `${spec ? Math.min(100, ready / spec * 100) : 0}%`;
		return [head, h("tr", { test: `deploy-${key}` }, h("td", null, o.metadata.name, bar),
			cell(`${key} ready`, String(ready), { class: `num${ready < spec ? " behind" : ""}` }),
			cell(`${key} spec`, String(spec), { class: "num strong" }))];
	}))));
}

function drawConfig(p, objects) {
	const maps = objects.filter(o => o.kind === "ConfigMap" && !/^kube-/.test(o.metadata.namespace) &&
		o.metadata.name !== "kube-root-ca.crt");
	maps.sort((a, b) => a.metadata.namespace.localeCompare(b.metadata.namespace));
	p.mark.className = "mark on";
	fill(p.body, maps.length ? h("table", { class: "config" }, h("tbody", null, maps.map(o => {
		const key = `${o.metadata.namespace}/${o.metadata.name}`;
		return [h("tr", { class: "group" }, h("th", { colspan: 2, scope: "rowgroup" }, key)),
			Object.entries(o.data || {}).map(([k, v]) => h("tr", { test: `config-${key}-${k}` },
				h("td", { class: "key" }, k), cell(`${key} ${k}`, String(v), { class: "mono" })))];
	}))) : h("p", { class: "quiet" }, "No config maps."));
}

// Audit

const pick = (row, ...names) => {
	for (const n of names)
		if (row[n] !== undefined && row[n] !== null && row[n] !== "")
			return row[n];
	return "";
};

function stamp(row) {
	const at = pick(row, "at", "time", "created_at", "recorded_at", "happened_at", "ts");
	const t = typeof at === "number" ? (at > 1e11 ? at / 1000 : at) : Date.parse(at) / 1000;
	return isNaN(t) ? String(at) : clock(t, true);
}

const words = v => typeof v === "object" ? JSON.stringify(v) : String(v);

function tone(text) {
	return /fail|den|reject|refus|unknown|expire|dead|suspend/.test(text) ? "bad" : /success|succe|done|approv|applied|revert/.test(text) ? "good" : "";
}

function facts(row) {
	let body = row.body;

	if (typeof body === "string") {
		try {
			body = JSON.parse(body);
		} catch {
			body = { facts: { text: body } };
		}
	}
	return (body && body.facts) || {};
}

const pairs = o => Object.entries(o || {}).map(([k, v]) => `${k}=${words(v)}`).join(" ");

// One line of what an entry is about, from columns or from the facts of its body.
function about(row, f) {
	const changes = Array.isArray(f.changes) ? f.changes.map(c =>
		`${pick(c, "field", "path", "name", "key")} ${words(c.from ?? "\u2013")} \u2192 ${words(c.to ?? "\u2013")}`).join(", ") : "";
	const target = typeof f.target === "string" ? f.target : f.target ? pick(f.target, "name", "text", "title") : "";
	const parts = [[target, changes || pairs(f.args)].filter(Boolean).join(" "), f.code, f.why, f.text,
		words(pick(row, "text", "summary", "detail", "details", "message"))];
	return parts.filter(Boolean).join(" \u00b7 ");
}

function auditRow(r, fresh) {
	const f = facts(r), kind = words(pick(r, "event", "kind", "what", "type")).replace(/^request\./, "");
	const person = S.people.get(r.slack_user);
	const who = (f.who && f.who.name) || (person && person.real_name) || words(pick(r, "person", "who", "actor", "person_name"));
	const action = words(pick(r, "action", "command")), text = about(r, f);
	return h("li", { class: fresh ? "fresh" : "", test: "audit-row", title: pick(r, "request_id") },
		h("time", null, stamp(r)), h("div", null,
			h("span", { class: `kind ${tone(kind + " " + (r.outcome || ""))}` }, kind || "entry"),
			who && h("b", null, who), action && h("span", { class: "act" }, action),
			text && h("div", { class: "what" }, text)));
}

let newest = null;

function drawAudit(p, data) {
	const list = Array.isArray(data) ? data : data.entries || data.items || data.rows || data.audit || [];
	const id = r => pick(r, "seq", "id", "n", "entry_id") || JSON.stringify(r);
	const rows = list.slice().sort((x, y) => Number(id(y)) - Number(id(x)) || 0).slice(0, 60);
	const old = newest;

	p.mark.className = "mark on";
	newest = new Set(list.map(id));
	fill(p.body, rows.length ? h("ol", { class: "audit" }, rows.map(r => auditRow(r, old && !old.has(id(r))))) :
		h("p", { class: "quiet" }, "No entries yet."));
}

// Breaking things

const TROUBLE = [
	["Slack refreshes the socket", "refresh", { kind: "warning", after: 3 }],
	["Cut the sockets", "socket", { mode: "abort" }],
	["Sockets go silent", "socket", { mode: "mute" }],
	["Next command arrives twice", "fault", { name: "duplicate", same_id: false, times: 1 }],
	["Answer of the next post is lost", "fault", { name: "api", method: "chat.postMessage", mode: "lost", times: 1 }],
	["Next 5 posts: 429", "fault", { name: "api", method: "chat.postMessage", mode: "http", status: 429, retry_after: 2, times: 5 }],
	["Web API: 503 for 10 calls", "fault", { name: "api", method: "*", mode: "http", status: 503, times: 10 }],
	["response_url: 500 for 3", "fault", { name: "hook", mode: "http", status: 500, times: 3 }],
	["New sockets refused (409) 5 times", "fault", { name: "handshake", mode: "http", status: 409, times: 5 }],
	["30 minutes pass", "age", { seconds: 1801 }],
];

function startTrouble() {
	const p = panel("trouble", "Break things");
	const out = h("p", { class: "quiet", role: "status" }, "Each button makes Slack misbehave once.");
	const run = async (label, name, args) => {
		const answer = await call(name, args);
		out.textContent = answer.ok ? `${label}: done` : `${label}: ${answer.error}`;
	};
	p.body.append(h("div", { class: "trouble" }, TROUBLE.map(([label, name, args]) =>
		h("button", { type: "button", class: "btn small", onclick: () => run(label, name, args) }, label)),
	h("button", { type: "button", class: "btn small", test: "clear-faults", onclick: () => run("Clear all faults", "clear", {}) },
		"Clear all faults")), out);
	p.mark.className = "";
}

export function startSide(config) {
	const work = panel("deployments", "Deployments"), conf = panel("config", "Configuration"),
		audit = panel("audit", "Audit log");

	if (config.kube)
		poll(config.kube.replace(/\/$/, "") + (/\/_\//.test(config.kube) ? "" : "/_/objects"), data => {
			const objects = objectsOf(data);
			drawWorkloads(work, objects);
			drawConfig(conf, objects);
		}, e => {
			quiet(work, `The cluster does not answer (${e.message}).`);
			quiet(conf, "The cluster does not answer.");
		});
	else {
		quiet(work, "No cluster in this sandbox.");
		quiet(conf, "No cluster in this sandbox.");
	}
	if (config.audit)
		poll(config.audit, data => drawAudit(audit, data), e => quiet(audit, `The audit log does not answer (${e.message}).`));
	else
		quiet(audit, "No audit log in this sandbox.");
	startTrouble();
}
