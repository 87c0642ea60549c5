/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render_later.c - buttons about time: of a temporary change, of what is scheduled, of an outcome
 * that can be undone; the question of a revert; and the list of `active`.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/facts.h"
#include "render_internal.h"
#include "slack/blocks.h"

/* block: unique in a message. */
static void put_temporary(struct blocks *blocks, const char *block, const char *value)
{
	const struct button buttons[] = {
		{ .text = "Extend 1 h", .action_id = "extend", .value = value },
		{ .text = "Keep", .action_id = "keep", .value = value },
		{ .text = "Set back now", .action_id = "back", .value = value },
	};

	blocks_buttons(blocks, block, buttons, 3);
}

static void put_question(struct blocks *blocks, const char *block, const char *value)
{
	const struct button buttons[] = {
		{ .text = "Keep", .action_id = "keep", .value = value },
		{ .text = "Set back anyway",
		  .action_id = "back",
		  .value = value,
		  .style = "danger" },
	};

	blocks_buttons(blocks, block, buttons, 2);
}

static void put_one(struct blocks *blocks, const char *block, const char *text, const char *action,
		    const char *value)
{
	const struct button button = { .text = text, .action_id = action, .value = value };

	blocks_buttons(blocks, block, &button, 1);
}

void render_when(struct blocks *blocks, const json_t *facts)
{
	const char *foreign = jget_str(facts, "foreign");
	char *when = words_when(facts), *line;

	if (foreign != NULL) {
		line = xasprintf("⚠️ %s", foreign);
		blocks_plain(blocks, line);
		free(line);
	}
	if (when == NULL)
		return;
	line = xasprintf("🕘 %s", when);
	blocks_plain(blocks, line);
	free(line);
	free(when);
}

/* "R… 1764526800000": the change, and the end that the button speaks of. */
static char *end_value(const json_t *facts, const char *member, const char *path)
{
	return xasprintf("%s %lld", jget_str_or(facts, member, ""),
			 (long long)jget_int(facts, path, 0));
}

void render_later(struct blocks *blocks, const json_t *facts)
{
	const char *outcome = jget_str_or(facts, "outcome", "");
	char *value = NULL, *stays = words_not_set_back(facts);

	if (stays != NULL)
		blocks_plain(blocks, stays);
	free(stays);
	if (str_eq(outcome, "scheduled") && !jget_bool(facts, "revert", false)) {
		value = xasprintf("%s -", jget_str_or(facts, "request", ""));
		put_one(blocks, "stop", "Cancel", "stop", value);
	} else if (str_eq(outcome, "extended")) {
		value = end_value(facts, "undoes", "when.starts_ms");
		put_temporary(blocks, "temporary", value);
	} else if (jget_bool(facts, "reversible", false) &&
		   jget_int(facts, "when.ends_ms", 0) > 0) {
		value = end_value(facts, "request", "when.ends_ms");
		put_temporary(blocks, "temporary", value);
	} else if (jget_bool(facts, "reversible", false)) {
		value = xasprintf("%s -", jget_str_or(facts, "request", ""));
		put_one(blocks, "undo", "Undo", "undo", value);
	}
	free(value);
}

json_t *render_revert(const json_t *facts)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	char *head = xasprintf("Set back? %s", jget_str_or(facts, "command", "command"));
	char *value = xasprintf("%s %s", jget_str_or(facts, "request", ""),
				jget_str_or(facts, "digest", ""));
	char *line =
		xasprintf("The change of request %s was to end now. Nothing was done, since the "
			  "value is not the one that it left.",
			  jget_str_or(facts, "undoes", "?"));
	json_t *message;

	blocks_header(blocks, head);
	blocks_plain(blocks, jget_bool(facts, "unheard", false) ? words_unheard() : line);
	render_plan(blocks, facts);
	put_question(blocks, "question", value);
	render_context(blocks, facts);
	blocks_context(blocks, "Open for 3 days; without an answer it stays as it is.");
	message = render_finish(blocks, head, false);
	free(head);
	free(value);
	free(line);
	return message;
}

/* --- the list --- */

static void put_line(struct blocks *blocks, const json_t *item)
{
	const json_t *facts = json_object_get(item, "facts");
	const char *state = jget_str_or(item, "state", ""),
		   *starts = jget_str(facts, "when.starts");
	bool revert = jget_bool(facts, "revert", false);
	char *target = facts_target_text(json_object_get(facts, "target"));
	char *changes = facts_changes_text(json_object_get(facts, "changes"));
	char *text = xasprintf("%s: %s, %s. %s%s. Asked by ", jget_str_or(facts, "command", "?"),
			       target, changes,
			       str_eq(state, "scheduled")   ? revert ? "Set back " : "Starts "
			       : str_eq(state, "approving") ? "Waits for approval"
			       : revert ? "To be set back, but the value is not ours any more"
					: "Waits for the button of its preview",
			       str_eq(state, "scheduled") && starts != NULL ? starts : "");
	char *tail = xasprintf(" · %s", revert ? jget_str_or(facts, "undoes", "?")
					       : jget_str_or(facts, "request", "?"));
	const struct span spans[] = {
		{ .kind = SPAN_TEXT, .text = text, .style = "" },
		{ .kind = SPAN_USER, .text = jget_str_or(facts, "who.user", "?"), .style = "" },
		{ .kind = SPAN_TEXT, .text = tail, .style = "" },
	};

	blocks_rich(blocks, spans, 3);
	free(target);
	free(changes);
	free(text);
	free(tail);
}

void render_active_item(struct blocks *blocks, const json_t *item)
{
	const json_t *facts = json_object_get(item, "facts");
	const char *state = jget_str_or(item, "state", "");
	const char *id = jget_str_or(facts, "request", "");
	bool revert = jget_bool(facts, "revert", false);
	char *block = xasprintf("active %s", id);
	char *value = NULL;

	put_line(blocks, item);
	if (revert && str_eq(state, "scheduled")) {
		value = end_value(facts, "undoes", "when.starts_ms");
		put_temporary(blocks, block, value);
	} else if (revert && str_eq(state, "confirming")) {
		value = xasprintf("%s %s", id, jget_str_or(item, "digest", "-"));
		put_question(blocks, block, value);
	} else if (jget_bool(item, "mine", false)) {
		value = xasprintf("%s -", id);
		put_one(blocks, block, "Cancel", "stop", value);
	}
	free(block);
	free(value);
}

json_t *render_active(const json_t *list)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	size_t i;
	json_t *item;

	if (!json_is_array(list))
		blocks_plain(blocks,
			     "It is not known yet who you are here. Run any command first.");
	else if (json_array_size(list) == 0)
		blocks_plain(blocks, "Nothing is temporary, and nothing waits for its time, as far "
				     "as you may see it.");
	json_array_foreach(list, i, item) render_active_item(blocks, item);
	return render_finish(blocks, "What is temporary, and what waits", false);
}
