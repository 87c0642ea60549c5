/* SPDX-License-Identifier: Apache-2.0 */
/* card.c - the card of an approval, rendered anew from the row each time that it is sent. */
#include "chat/card.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/facts.h"
#include "render_internal.h"
#include "slack/blocks.h"

enum { SPANS_MAX = 40 };

struct line { /* a rich text line under construction */
	struct span spans[SPANS_MAX];
	size_t n;
};

static void put_text(struct line *line, const char *text)
{
	if (line->n < SPANS_MAX)
		line->spans[line->n++] =
			(struct span){ .kind = SPAN_TEXT, .text = text, .style = "" };
}

/* A mention of whom Slack knows, else the name. */
static void put_person(struct line *line, const json_t *person)
{
	const char *user = jget_str(person, "user");

	if (user == NULL)
		put_text(line, jget_str_or(person, "name", "somebody"));
	else if (line->n < SPANS_MAX)
		line->spans[line->n++] =
			(struct span){ .kind = SPAN_USER, .text = user, .style = "" };
}

static void put_people(struct line *line, const json_t *people)
{
	size_t i;
	json_t *person;

	json_array_foreach(people, i, person)
	{
		if (i > 0)
			put_text(line, i + 1 == json_array_size(people) ? " or " : ", ");
		put_person(line, person);
	}
}

static void put_until(struct line *line, const json_t *facts, const char *path)
{
	int64_t ms = jget_int(facts, path, 0);

	if (ms <= 0 || line->n + 2 > SPANS_MAX)
		return;
	put_text(line, " Until ");
	line->spans[line->n++] = (struct span){
		.kind = SPAN_DATE, .text = "the time on the card", .style = "", .epoch = ms / 1000
	};
	put_text(line, ".");
}

void render_asked(struct blocks *blocks, const json_t *facts)
{
	const json_t *asked = jget(facts, "approval.asked");
	char *value = xasprintf("%s %s", jget_str_or(facts, "request", ""),
				jget_str_or(facts, "digest", ""));
	const struct button cancel = { .text = "Cancel", .action_id = "withdraw", .value = value };
	struct line line = { .n = 0 };

	put_text(&line, "Nothing happens before somebody else approves it. Asked: ");
	put_people(&line, asked);
	put_text(&line, ".");
	put_until(&line, facts, "approval.expires_ms");
	blocks_rich(blocks, line.spans, line.n);
	blocks_buttons(blocks, "withdraw", &cancel, 1);
	free(value);
}

static const char *head_of(const json_t *facts)
{
	static const struct {
		const char *state, *head;
	} heads[] = {
		{ "approving", "Approval needed" },
		{ "allowed", "Approved, about to start" },
		{ "confirming", "Changed, shown to the requester again" },
		{ "running", "Approved, under way" },
		{ "succeeded", "Approved and done" },
		{ "failed", "Approved, but it failed" },
		{ "unknown", "Approved, not known whether it happened" },
		{ "denied", "Not approved" },
		{ "expired", "Expired without approval" },
		{ "cancelled", "Cancelled" },
	};

	if (jget_bool(facts, "approval.outdated", false))
		return "Out of date";
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (str_eq(heads[i].state, jget_str(facts, "state")))
			return heads[i].head;
	return "Approval";
}

static void put_asker(struct blocks *blocks, const json_t *facts)
{
	struct line line = { .n = 0 };
	char *who = xasprintf(" (%s) asks for this. Reason: %s",
			      jget_str_or(facts, "who.email", "not in the directory"),
			      jget_str_or(facts, "reason", "none given"));

	put_person(&line, json_object_get(facts, "who"));
	put_text(&line, who);
	blocks_rich(blocks, line.spans, line.n);
	free(who);
}

static void put_votes(struct blocks *blocks, const json_t *facts)
{
	size_t i;
	json_t *vote;

	json_array_foreach(jget(facts, "approval.votes"), i, vote)
	{
		bool deny = str_eq(jget_str(vote, "decision"), "deny");
		struct line line = { .n = 0 };

		put_text(&line, deny ? "⛔ " : "✅ ");
		put_person(&line, vote);
		put_text(&line, deny ? " does not approve: "
				: str_eq(jget_str(vote, "decision"), "execute") ? " gives the start"
										: " approves");
		if (deny)
			put_text(&line, jget_str_or(vote, "reason", "no reason given"));
		blocks_rich(blocks, line.spans, line.n);
	}
}

static void put_needed(struct blocks *blocks, const json_t *facts)
{
	struct line line = { .n = 0 };
	size_t i;
	json_t *rule;

	json_array_foreach(jget(facts, "approval.rules"), i, rule)
	{
		int64_t left = jget_int(rule, "need", 1) - jget_int(rule, "have", 0);
		const char *group = jget_str(rule, "group");
		char *text;

		if (left <= 0)
			continue;
		if (jget_str(rule, "can_execute") != NULL)
			text = xasprintf("Then the start, by one of those who can execute %s and "
					 "neither asked nor approved.",
					 jget_str(rule, "can_execute"));
		else
			text = xasprintf(
				"Still needed: %d %s%s%s.", (int)left,
				group != NULL ? "of the group " : "of those who can approve ",
				group != NULL ? group : jget_str_or(rule, "can_approve", "?"),
				left > 1 ? ", different people" : "");
		blocks_plain(blocks, text);
		free(text);
	}
	put_text(&line, "Asked: ");
	put_people(&line, jget(facts, "approval.asked"));
	put_text(&line, "; anybody else who may approve it can do so too.");
	put_until(&line, facts, "approval.expires_ms");
	blocks_rich(blocks, line.spans, line.n);
}

/* All approvals are there, and a third person gives the start. */
static bool only_start_is_left(const json_t *rules)
{
	bool start = false;
	size_t i;
	json_t *rule;

	json_array_foreach(rules, i, rule)
	{
		bool met = jget_int(rule, "have", 0) >= jget_int(rule, "need", 1);

		if (jget_str(rule, "can_execute") != NULL)
			start = !met;
		else if (!met)
			return false;
	}
	return start;
}

static void put_buttons(struct blocks *blocks, const json_t *facts)
{
	char *value = xasprintf("%s %s", jget_str_or(facts, "request", ""),
				jget_str_or(facts, "digest", ""));
	bool start = only_start_is_left(jget(facts, "approval.rules"));
	const struct button buttons[] = {
		{ .text = start ? "Start it" : "Approve",
		  .action_id = start ? "execute" : "approve",
		  .value = value,
		  .style = "primary" },
		{ .text = "Deny", .action_id = "deny", .value = value, .style = "danger" },
		{ .text = "Cancel", .action_id = "withdraw", .value = value },
	};

	blocks_buttons(blocks, "vote", buttons, 3);
	free(value);
}

json_t *render_card(const json_t *facts)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	bool outdated = jget_bool(facts, "approval.outdated", false);
	bool open = str_eq(jget_str(facts, "state"), "approving") && !outdated;
	const json_t *changed = jget(facts, "approval.changed");
	char *head = xasprintf("%s: %s", head_of(facts), jget_str_or(facts, "command", "command"));
	json_t *message;

	blocks_header(blocks, head);
	if (outdated) {
		blocks_plain(blocks, "The change is not what this card showed any more. A newer "
				     "card was posted; votes on this one do not count.");
	} else {
		if (open && json_is_array(changed)) {
			char *was = facts_changes_text(changed);
			char *text = xasprintf("Something changed since it was approved (it was: "
					       "%s). Nothing was done, and earlier approvals do "
					       "not count. Look again:",
					       was[0] != '\0' ? was : "no change");

			blocks_plain(blocks, text);
			free(text);
			free(was);
		}
		put_asker(blocks, facts);
		render_plan(blocks, facts);
		render_frozen(blocks, facts);
		put_votes(blocks, facts);
	}
	if (open) {
		put_needed(blocks, facts);
		put_buttons(blocks, facts);
	} else if (!outdated && jget_str(facts, "why") != NULL) {
		blocks_plain(blocks, jget_str(facts, "why"));
	}
	render_context(blocks, facts);
	message = render_finish(blocks, head, false);
	free(head);
	return message;
}

json_t *render_ask(const json_t *facts)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	struct line line = { .n = 0 };
	char *head = xasprintf("Still waiting for approval: %s",
			       jget_str_or(facts, "command", "command"));

	put_people(&line, json_object_get(facts, "asked"));
	put_text(&line, ": this still waits for approval.");
	put_until(&line, facts, "expires_ms");
	blocks_rich(blocks, line.spans, line.n);
	json_t *message = render_finish(blocks, head, false);

	free(head);
	return message;
}

json_t *card_deny_view(const char *value)
{
	struct blocks *blocks = blocks_create(BLOCKS_MODAL);
	const struct input reason = { .name = "reason",
				      .label = "Why not",
				      .hint = "The person who asked will read it.",
				      .multiline = true,
				      .max_length = CARD_REASON_MAX };

	blocks_input(blocks, &reason);
	return blocks_modal(blocks, "Do not approve", "Deny", "deny", value);
}

char *card_deny_errors(const char *text)
{
	json_t *answer =
		json_pack("{s:s, s:{s:s}}", "response_action", "errors", "errors", "reason", text);
	char *out = json_text(answer);

	json_decref(answer);
	return out;
}
