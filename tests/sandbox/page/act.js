// SPDX-License-Identifier: Apache-2.0
// What a click does: ask first if the element says so, send it as the person who looks, show what failed.

import { S, call } from "./api.js";
import { $ } from "./dom.js";
import { ask } from "./blocks.js";

const FAILED = { operation_timeout: "opsd did not answer in time", dispatch_failed: "opsd is not connected" };

// The context that blocks.js needs; `where` is {message, channel} or {view, fields, typed}.
export function context(where) {
	const target = () => where.view ? { view_id: where.view.id, values: where.values ? where.values() : {} } :
		{ channel: where.channel.id, ts: where.message.ts };

	return {
		people: S.people, channels: S.channels, channel: where.channel && where.channel.id,
		fields: where.fields, typed: where.typed,
		async act(element, block, value, el) {
			if (element.confirm && !await ask($("confirm"), element.confirm))
				return;
			el.setAttribute("aria-busy", "true");
			const out = await call("click", { user: S.me, action_id: element.action_id, block_id: block.block_id,
				value, wait: true, ...target() });
			el.removeAttribute("aria-busy");
			const problem = !out.ok ? out.error : out.outcome === "acked" ? null : FAILED[out.outcome];
			el.classList.toggle("failed", !!problem);
			if (problem)
				el.title = problem;
		},
		async suggest(element, block, value) {
			const out = await call("suggest", { user: S.me, action_id: element.action_id, block_id: block.block_id,
				value, ...(where.view ? { view_id: where.view.id } : target()) });
			return out.ok && out.ack ? out.ack : { options: [] };
		},
	};
}
