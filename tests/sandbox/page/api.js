// SPDX-License-Identifier: Apache-2.0
// The control API of the Slack stand-in and what the page remembers of the workspace.

export const S = {
	people: new Map(), groups: new Map(), channels: new Map(), views: {}, homes: {}, sockets: 0,
	me: localStorage.getItem("me") || "U0ANA", place: { kind: "channel", id: "C0OPS" },
	unread: new Map(), typed: new Map(), bot: "U0OPSD",
};

export async function call(name, args) {
	try {
		const answer = await fetch(`/_/${name}`, { method: "POST", body: JSON.stringify(args || {}) });
		return await answer.json();
	} catch (e) {
		return { ok: false, error: `The stand-in does not answer (${e.message})` };
	}
}

export async function load() {
	const state = await call("state", { limit: 300 });
	if (!state.ok)
		return false;
	S.people = new Map(state.people.map(p => [p.id, p]));
	S.groups = new Map(state.groups.map(g => [g.id, g]));
	S.channels = new Map(Object.values(state.channels).map(c => [c.id, { ...c,
		messages: new Map(c.messages.map(m => [m.ts, m])) }]));
	S.views = state.views;
	S.homes = state.homes;
	S.sockets = state.open_sockets;
	return true;
}

export const me = () => S.people.get(S.me);

export function sees(channel, person) {
	return channel.members.includes(person);
}

export const dm = person => [...S.channels.values()].find(c => c.im_user === person);

export function visible(message, person) {
	return !message.deleted && (!message.ephemeral_for || message.ephemeral_for === person);
}

// Unread counts: person -> channel -> how many.

export function markUnread(message, channel, isOpen) {
	for (const p of S.people.values()) {
		if (!sees(channel, p.id) || !visible(message, p.id) || message.user === p.id || (isOpen && p.id === S.me))
			continue;
		if (!S.unread.has(p.id))
			S.unread.set(p.id, new Map());
		const mine = S.unread.get(p.id);
		const old = mine.get(channel.id) || { count: 0, close: 0 };
		const close = channel.is_im || message.ephemeral_for === p.id || (message.text || "").includes(`<@${p.id}`);
		mine.set(channel.id, { count: old.count + 1, close: old.close + (close ? 1 : 0) });
	}
}

export function markRead(person, channel) {
	S.unread.get(person)?.delete(channel);
}

export function waiting(person) {
	let n = 0;
	for (const u of S.unread.get(person)?.values() || [])
		n += u.close;
	return n;
}

export function listen(onEvent, onState) {
	let stream, was = false;
	const open = () => {
		stream = new EventSource("/_/stream");
		stream.onopen = () => {
			onState(true);
			if (was)
				onEvent({ type: "reload" });
			was = true;
		};
		stream.onerror = () => onState(false);
		stream.onmessage = ev => onEvent(JSON.parse(ev.data));
	};
	open();
}
