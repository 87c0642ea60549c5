/* SPDX-License-Identifier: Apache-2.0 */
/* render.c - facts to Block Kit.  Data goes into plain or rich text only, so nothing from outside
 * is ever parsed. */
#include "chat/render.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/words.h"
#include "core/facts.h"
#include "render_internal.h"
#include "slack/blocks.h"

enum {
	TABLE_COLUMNS = 20,
	TABLE_ROWS = 99,
	VALUE_MAX = 1900,
	LINE_MAX = 3000,
	LEVERS_MAX = 2,
	HELP_BLOCK_MAX = 2800
};

json_t *render_finish(struct blocks *blocks, const char *text, bool replace)
{
	json_t *message = blocks_message(blocks, text);

	if (replace)
		json_object_set_new(message, "replace_original", json_true());
	return message;
}

json_t *render_note(const char *text)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);

	blocks_plain(blocks, text);
	return render_finish(blocks, text, false);
}

void render_context(struct blocks *blocks, const json_t *facts)
{
	char *text;

	if (jget_str(facts, "request") == NULL)
		return;
	text = xasprintf("Request %s%s%s", jget_str(facts, "request"),
			 jget_str(facts, "reason") != NULL ? " · reason: " : "",
			 jget_str_or(facts, "reason", ""));
	blocks_context(blocks, text);
	free(text);
}

static void put_list(struct blocks *blocks, const char *mark, const json_t *items,
		     const char *member)
{
	size_t i;
	json_t *item;

	json_array_foreach(items, i, item)
	{
		const char *text =
			member == NULL ? json_string_value(item) : jget_str(item, member);
		const char *who = member == NULL ? NULL : jget_str(item, "who");
		char *line;

		if (text == NULL)
			continue;
		line = xasprintf("%s %s%s%s", mark, who != NULL ? who : "", who != NULL ? ": " : "",
				 text);
		blocks_plain(blocks, line);
		free(line);
	}
}

static char *cell_text(const json_t *cell)
{
	if (json_is_string(cell))
		return xstrdup(json_string_value(cell));
	if (cell == NULL || json_is_null(cell))
		return xstrdup("–");
	return json_text(cell);
}

static void put_table(struct blocks *blocks, const json_t *columns, const json_t *rows)
{
	size_t n_columns = json_array_size(columns), n_rows = json_array_size(rows);
	const char *head[TABLE_COLUMNS];
	char **cells;

	if (n_columns > TABLE_COLUMNS)
		n_columns = TABLE_COLUMNS;
	if (n_rows > TABLE_ROWS)
		n_rows = TABLE_ROWS;
	if (n_columns == 0 || n_rows == 0)
		return;
	cells = xcalloc(n_columns * n_rows, sizeof(*cells));
	for (size_t c = 0; c < n_columns; c++) {
		const char *name = json_string_value(json_array_get(columns, c));

		head[c] = name != NULL ? name : "";
	}
	for (size_t i = 0; i < n_columns * n_rows; i++)
		cells[i] = cell_text(
			json_array_get(json_array_get(rows, i / n_columns), i % n_columns));
	blocks_table(blocks, head, n_columns, (const char *const *)cells, n_rows);
	for (size_t i = 0; i < n_columns * n_rows; i++)
		free(cells[i]);
	free(cells);
}

static void put_fields(struct blocks *blocks, const json_t *fields)
{
	enum { PAIRS = 10 };
	const char *pairs[2 * PAIRS];
	char *values[PAIRS];
	size_t n = json_array_size(fields) < PAIRS ? json_array_size(fields) : PAIRS;

	for (size_t i = 0; i < n; i++) {
		const json_t *field = json_array_get(fields, i);
		const char *name = json_string_value(json_array_get(field, 0));

		values[i] = cell_text(json_array_get(field, 1));
		pairs[2 * i] = name != NULL ? name : "";
		pairs[2 * i + 1] = values[i];
	}
	if (n > 0)
		blocks_fields(blocks, pairs, n);
	for (size_t i = 0; i < n; i++)
		free(values[i]);
}

/* The button carries the whole next question, so that any replica can answer it. */
static void put_next(struct blocks *blocks, const json_t *facts)
{
	const char *next = jget_str(facts, "answer.next");
	json_t *value;
	char *text;

	if (next == NULL)
		return;
	value = json_pack("{s:s, s:O, s:s}", "c", jget_str_or(facts, "command", ""), "a",
			  json_object_get(facts, "args"), "k", next);
	text = json_text(value);
	json_decref(value);
	if (strlen(text) <= VALUE_MAX) {
		const struct button more = { .text = "Next page",
					     .action_id = "page",
					     .value = text };

		blocks_buttons(blocks, "pages", &more, 1);
	} else {
		blocks_context(blocks, "There is more: narrow the filters to see it.");
	}
	free(text);
}

static void put_answer(struct blocks *blocks, const json_t *facts)
{
	const json_t *answer = json_object_get(facts, "answer");
	const json_t *rows = json_object_get(answer, "rows");

	if (jget_str(answer, "title") != NULL)
		blocks_header(blocks, jget_str(answer, "title"));
	put_fields(blocks, json_object_get(answer, "fields"));
	if (jget_str(answer, "text") != NULL)
		blocks_preformatted(blocks, jget_str(answer, "text"));
	if (json_is_array(rows) && json_array_size(rows) == 0)
		blocks_plain(blocks, "Nothing matches.");
	put_table(blocks, json_object_get(answer, "columns"), rows);
	put_next(blocks, facts);
}

static bool refused(const char *outcome)
{
	return str_eq(outcome, "denied") || str_eq(outcome, "rejected");
}

/* Somebody whom we know, refused by a decision: not a stranger, nor one who only mistyped. */
static bool may_ask_why(const json_t *facts)
{
	return str_eq(jget_str(facts, "outcome"), "denied") && jget_str(facts, "command") != NULL &&
	       jget(facts, "detail.age_s") != NULL;
}

static void put_why(struct blocks *blocks, const json_t *facts)
{
	const struct button why = { .text = "Why?",
				    .action_id = "why",
				    .value = jget_str_or(facts, "request", "") };

	blocks_buttons(blocks, "why", &why, 1);
}

static void put_stale(struct blocks *blocks, const json_t *facts)
{
	char *text = words_stale(jget_int(facts, "detail.age_s", 0));

	if (text != NULL)
		blocks_context(blocks, text);
	free(text);
}

json_t *render_reply(const json_t *facts)
{
	const char *outcome = jget_str_or(facts, "outcome", "");
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	bool answered = json_object_get(facts, "answer") != NULL;
	char *text = refused(outcome) ? words_refusal(facts) : words_headline(facts);
	char *line = xasprintf("%s %s", words_mark(outcome), text);

	if (answered)
		put_answer(blocks, facts);
	else
		blocks_plain(blocks, line);
	if (!refused(outcome) && jget_str(facts, "why") != NULL)
		blocks_plain(blocks, jget_str(facts, "why"));
	if (str_eq(outcome, "unknown"))
		blocks_plain(blocks, words_doubt_elsewhere());
	if (!answered && !refused(outcome)) {
		put_list(blocks, "⚠️", json_object_get(facts, "warnings"), NULL);
		put_list(blocks, "👥", json_object_get(facts, "owners"), "says");
	}
	if (json_object_get(facts, "approval") != NULL)
		render_asked(blocks, facts);
	render_later(blocks, facts);
	if (may_ask_why(facts))
		put_why(blocks, facts);
	put_stale(blocks, facts);
	if (!(refused(outcome) && jget_str(facts, "command") == NULL))
		render_context(blocks, facts);
	if (answered) {
		free(line);
		line = xstrdup(jget_str_or(facts, "answer.title", "Here is what you asked for."));
	}
	free(text);
	json_t *message = render_finish(blocks, line, jget_bool(facts, "replace", false));

	free(line);
	return message;
}

/* What lasts instead: the command, and a button that opens its form, filled in. */
static void put_levers(struct blocks *blocks, const json_t *owners)
{
	struct button buttons[LEVERS_MAX];
	char *values[LEVERS_MAX];
	size_t n = 0, i;
	json_t *owner;

	json_array_foreach((json_t *)(uintptr_t)owners, i, owner)
	{
		const json_t *instead = json_object_get(owner, "instead");
		char *line;

		if (instead == NULL || n == LEVERS_MAX)
			continue;
		line = words_instead(instead, jget_str_or(owner, "who", "?"));
		blocks_plain(blocks, line);
		free(line);
		values[n] = json_text(instead);
		if (strlen(values[n]) > VALUE_MAX) {
			free(values[n]);
			continue;
		}
		buttons[n] = (struct button){ .text = jget_str_or(instead, "command", "?"),
					      .action_id = n == 0 ? "lever" : "lever_2",
					      .value = values[n] };
		n++;
	}
	if (n > 0)
		blocks_buttons(blocks, "levers", buttons, n);
	while (n > 0)
		free(values[--n]);
}

void render_plan(struct blocks *blocks, const json_t *facts)
{
	char *target = facts_target_text(json_object_get(facts, "target"));
	char *changes = facts_changes_text(json_object_get(facts, "changes"));
	const char *pairs[] = { "What", target, "Change", changes };

	blocks_fields(blocks, pairs, 2);
	put_list(blocks, "👥", json_object_get(facts, "owners"), "says");
	put_list(blocks, "⚠️", json_object_get(facts, "warnings"), NULL);
	put_levers(blocks, json_object_get(facts, "owners"));
	render_when(blocks, facts);
	free(target);
	free(changes);
}

void render_frozen(struct blocks *blocks, const json_t *facts)
{
	size_t i;
	json_t *freeze;

	json_array_foreach(json_object_get(facts, "frozen"), i, freeze)
	{
		char *text = words_frozen(freeze);
		char *line = xasprintf("🧊 %s Nothing starts that it covers.", text);

		blocks_plain(blocks, line);
		free(line);
		free(text);
	}
}

json_t *render_preview(const json_t *facts)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	const json_t *before = json_object_get(facts, "changed_since");
	bool unheard = jget_bool(facts, "unheard", false);
	char *head = xasprintf("%s: %s", unheard ? "Still wanted?" : "Please confirm",
			       jget_str_or(facts, "command", "command"));
	char *value = xasprintf("%s %s", jget_str_or(facts, "request", ""),
				jget_str_or(facts, "digest", ""));
	const struct button buttons[] = {
		{ .text = unheard ? "Run" : "Confirm",
		  .action_id = "confirm",
		  .value = value,
		  .style = "primary" },
		{ .text = unheard ? "Forget" : "Cancel", .action_id = "cancel", .value = value },
	};
	json_t *message;

	if (jget_bool(facts, "revert", false)) {
		blocks_destroy(blocks);
		free(head);
		free(value);
		return render_revert(facts);
	}
	blocks_header(blocks, head);
	if (unheard)
		blocks_plain(blocks, words_unheard());
	if (before != NULL) {
		char *was = facts_changes_text(before);
		char *line = xasprintf(
			"Something changed since you confirmed (it was: %s). Nothing was done. "
			"Look again:",
			was[0] != '\0' ? was : "no change");

		blocks_plain(blocks, line);
		free(line);
		free(was);
	}
	render_plan(blocks, facts);
	render_frozen(blocks, facts);
	blocks_buttons(blocks, "confirm", buttons, 2);
	render_context(blocks, facts);
	blocks_context(blocks,
		       unheard ? "Valid for 10 minutes. Nothing happens before you press Run."
			       : "Valid for 10 minutes. Nothing happens before you confirm.");
	message = render_finish(blocks, head, jget_bool(facts, "replace", false));
	free(head);
	free(value);
	return message;
}

json_t *render_progress(const json_t *facts)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	bool over = jget_bool(facts, "progress.over", false);
	char *target = facts_target_text(json_object_get(facts, "target"));
	char *head = xasprintf("%s: %s", jget_str_or(facts, "command", "command"), target);
	const json_t *progress = json_object_get(facts, "progress");
	bool waits = jget(facts, "progress.waits_for") != NULL ||
		     jget_bool(facts, "progress.waited", false);
	char *says = waits ? words_waits(progress) : words_progress(progress),
	     *bar = words_bar(progress), *next = words_next(facts);
	json_t *message;

	blocks_header(blocks, head);
	blocks_plain(blocks, says);
	if (bar != NULL)
		blocks_plain(blocks, bar);
	if (jget_str(progress, "why") != NULL)
		blocks_plain(blocks, jget_str(progress, "why"));
	if (next != NULL)
		blocks_plain(blocks, next);
	if (jget_str(progress, "text") != NULL)
		blocks_preformatted(blocks, jget_str(progress, "text"));
	render_context(blocks, facts);
	if (!over)
		blocks_context(blocks, "This message follows what happens.");
	message = render_finish(blocks, head, false);
	free(says);
	free(bar);
	free(next);
	free(head);
	free(target);
	return message;
}

/* What everybody must see at once mentions them. */
static void put_alarm(struct blocks *blocks, const json_t *facts)
{
	char *line = words_alarm(facts);
	const struct span spans[] = {
		{ .kind = SPAN_TEXT, .text = "🚨 ", .style = "" },
		{ .kind = SPAN_BROADCAST, .text = jget_str_or(facts, "mention", ""), .style = "" },
		{ .kind = SPAN_TEXT, .text = " ", .style = "" },
		{ .kind = SPAN_USER, .text = jget_str_or(facts, "user", ""), .style = "" },
		{ .kind = SPAN_TEXT, .text = " ", .style = "" },
		{ .kind = SPAN_TEXT, .text = line, .style = "" },
	};

	blocks_rich(blocks, spans, sizeof(spans) / sizeof(spans[0]));
	free(line);
}

static void put_audit_line(struct blocks *blocks, const json_t *facts)
{
	if (jget_str(facts, "alarm") != NULL) {
		put_alarm(blocks, facts);
		return;
	}
	char *line = words_audit(facts);
	char *tail = xasprintf(" %s%s · %s", jget_str(facts, "reason") != NULL ? "reason: " : "",
			       jget_str_or(facts, "reason", ""), jget_str_or(facts, "request", ""));
	const char *user = jget_str(facts, "who.user"); /* NULL: an operator, or opsd */
	char *mail = xasprintf(
		" (%s) ", user == NULL ? "without Slack"
				       : jget_str_or(facts, "who.email", "not in the directory"));
	const struct span spans[] = {
		{ .kind = SPAN_TEXT, .text = words_mark(jget_str(facts, "outcome")), .style = "" },
		{ .kind = SPAN_TEXT, .text = " ", .style = "" },
		{ .kind = user != NULL ? SPAN_USER : SPAN_TEXT,
		  .text = user != NULL ? user : jget_str_or(facts, "who.name", "opsd"),
		  .style = "" },
		{ .kind = SPAN_TEXT, .text = mail, .style = "" },
		{ .kind = SPAN_TEXT, .text = line, .style = "" },
		{ .kind = SPAN_TEXT, .text = tail, .style = "" },
	};

	blocks_rich(blocks, spans, sizeof(spans) / sizeof(spans[0]));
	free(line);
	free(tail);
	free(mail);
}

json_t *render_review(const json_t *review)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	const struct button done = { .text = "I have reviewed it",
				     .action_id = "review",
				     .value = jget_str_or(review, "request", ""),
				     .style = "primary" };
	char *text = words_review(review);
	json_t *message;

	blocks_plain(blocks, text);
	blocks_buttons(blocks, "review", &done, 1);
	message = render_finish(blocks, text, false);
	free(text);
	return message;
}

json_t *render_linked(const json_t *link)
{
	char *text = words_linked(link);
	json_t *message = render_note(text);

	free(text);
	return message;
}

/* One line; the same as text is added to text. */
static void put_audit(struct blocks *blocks, const json_t *facts, struct buf *text)
{
	const char *event = jget_str(facts, "event");
	bool checkpoint = str_eq(event, "audit.checkpoint");
	bool whole = checkpoint || str_starts(event, "directory.");
	bool alarm = jget_str(facts, "alarm") != NULL;
	const char *mark = alarm ? "🚨" : words_mark(jget_str(facts, "outcome"));
	char *line = checkpoint ? words_checkpoint(facts)
		     : whole    ? words_directory(facts)
		     : alarm    ? words_alarm(facts)
				: words_audit(facts);

	if (whole)
		blocks_plain(blocks, line);
	else
		put_audit_line(blocks, facts);
	buf_printf(text, "%s%s%s%s", text->len > 0 ? "\n" : "", whole ? "" : mark, whole ? "" : " ",
		   line);
	free(line);
}

json_t *render_audit(const json_t *const *facts, size_t n)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	struct buf text;
	json_t *message;

	buf_init(&text, (size_t)LINE_MAX * RENDER_AUDIT_LINES);
	for (size_t i = 0; i < n; i++)
		put_audit(blocks, facts[i], &text);
	message = render_finish(blocks, buf_text(&text), false);
	buf_finish(&text);
	return message;
}

/* Everything of one command. */
static void put_command_help(struct blocks *blocks, const json_t *command)
{
	char *line = xasprintf("%s: %s", jget_str_or(command, "title", "?"),
			       jget_str_or(command, "about", ""));
	const json_t *params = json_object_get(command, "params");
	size_t i;
	json_t *param;

	blocks_plain(blocks, line);
	free(line);
	json_array_foreach(params, i, param)
	{
		line = xasprintf("%s (%s%s)%s%s", jget_str_or(param, "name", "?"),
				 jget_str_or(param, "kind", "text"),
				 jget_bool(param, "optional", false) ? ", optional" : "",
				 jget_str(param, "about") != NULL ? ": " : "",
				 jget_str_or(param, "about", ""));
		blocks_context(blocks, line);
		free(line);
	}
	line = xasprintf("Example: %s", jget_str_or(command, "example", ""));
	blocks_plain(blocks, line);
	free(line);
}

/* As many commands to a block as fit: a message has fewer blocks than a catalog has commands. */
static void put_commands_help(struct blocks *blocks, const json_t *commands)
{
	struct buf text;
	size_t i;
	json_t *command;

	buf_init(&text,
		 (size_t)2 * HELP_BLOCK_MAX); /* one that is too long alone is cut by its block */
	json_array_foreach(commands, i, command)
	{
		char *lines = xasprintf("%s: %s\n    %s", jget_str_or(command, "title", "?"),
					jget_str_or(command, "about", ""),
					jget_str_or(command, "usage", ""));

		if (text.len > 0 && text.len + strlen(lines) + 1 >= HELP_BLOCK_MAX) {
			blocks_plain(blocks, buf_text(&text));
			buf_reset(&text);
		}
		(void)buf_printf(&text, "%s%s", text.len > 0 ? "\n" : "", lines);
		free(lines);
	}
	if (text.len > 0)
		blocks_plain(blocks, buf_text(&text));
	buf_finish(&text);
}

json_t *render_help(const json_t *commands, const char *intro)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);

	if (intro != NULL)
		blocks_plain(blocks, intro);
	if (json_array_size(commands) == 0)
		blocks_plain(blocks, "There is no such command that you may run. Ask the data "
				     "platform team for a grant.");
	else if (json_array_size(commands) == 1)
		put_command_help(blocks, json_array_get(commands, 0));
	else
		put_commands_help(blocks, commands);
	return render_finish(blocks, "Commands that you may run", false);
}
