// SPDX-License-Identifier: Apache-2.0
// One message of the log.

import { S } from "./api.js";
import { h, avatar, clock } from "./dom.js";
import { mrkdwn } from "./mrkdwn.js";
import { blocks } from "./blocks.js";
import { context } from "./act.js";

const FAILED = { operation_timeout: "This action was not answered in time", dispatch_failed: "opsd is not connected" };

function author(m) {
	return S.people.get(m.user) || { id: m.user, real_name: m.user, name: m.user };
}

export function messageElement(m, channel, follows) {
	const who = author(m), bot = m.user === S.bot || m.user === "USLACKBOT";
	const threaded = m.thread_ts && m.thread_ts !== m.ts;
	const body = h("div", { class: "body" });

	if (!follows)
		body.append(h("div", { class: "by" }, h("b", null, m.user === S.bot ? "opsd" : who.real_name),
			bot && h("span", { class: "badge" }, "APP"), h("time", null, clock(m.ts))));
	if (m.ephemeral_for)
		body.append(h("div", { class: "only" }, h("span", { "aria-hidden": "true" }, "\u25d2 "), "Only visible to you"));
	if (m.blocks && m.blocks.length)
		body.append(h("div", { class: "blocks" }, blocks(m.blocks, context({ message: m, channel }))));
	else
		body.append(h("div", { class: "said" }, mrkdwn(m.text || "")));
	for (const f of m.files || [])
		body.append(h("a", { class: "file", href: `/_/file?id=${encodeURIComponent(f.id)}`, download: f.name },
			h("span", { "aria-hidden": "true" }, "\u25a4"), h("span", null, f.title || f.name),
			h("small", null, `${f.size} bytes`)));
	if (m.edited || (m.ephemeral_for && m.edits))
		body.append(h("span", { class: "edited" }, "(edited)"));
	if (m.notice && m.notice.user === S.me)
		body.append(h("div", { class: "notice", role: "status" }, "\u26a0 ", FAILED[m.notice.text] || m.notice.text));
	return h("article", {
		class: ["msg", m.ephemeral_for && "ephemeral", follows && "follows", threaded && "reply", bot && "from-bot"]
			.filter(Boolean).join(" "),
		"data-ts": m.ts, test: "message", "aria-label": `${who.real_name} at ${clock(m.ts)}`,
	}, follows ? h("time", { class: "aside" }, clock(m.ts)) : avatar(who, "m"), body);
}

// What the person typed: Slack shows nothing for an ephemeral command, so the page keeps this line itself.
export function typedLine(line) {
	return h("div", { class: "typed" }, h("span", { "aria-hidden": "true" }, "\u203a"),
		h("span", { class: "sub" }, "You ran"), h("code", null, line.text));
}
