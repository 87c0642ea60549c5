/* SPDX-License-Identifier: Apache-2.0 */
/* home.c - see chat/home.h. */
#include "chat/home.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/words.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/facts.h"
#include "render_internal.h"
#include "slack/blocks.h"

static size_t shown_of(const json_t *list)
{
	size_t n = json_array_size(list);

	return n < HOME_ITEMS ? n : HOME_ITEMS;
}

static void put_more(struct blocks *blocks, const json_t *list, const char *where)
{
	if (json_array_size(list) > HOME_ITEMS)
		blocks_context(blocks, where);
}

static void put_freezes(struct blocks *blocks, const json_t *freezes)
{
	for (size_t i = 0; i < shown_of(freezes); i++) {
		char *text = words_frozen(json_array_get(freezes, i));
		char *line = xasprintf("🧊 %s", text);

		blocks_plain(blocks, line);
		free(line);
		free(text);
	}
	put_more(blocks, freezes, "More freezes are in force.");
}

/* "https://….slack.com/archives/C…/p1764526800000100": where the card is.  NULL: not known. */
static char *card_link(const char *workspace, const json_t *item)
{
	const char *channel = jget_str(item, "channel"), *ts = jget_str(item, "ts");
	struct buf digits;
	char *text, *link;

	if (workspace == NULL || channel == NULL || ts == NULL)
		return NULL;
	buf_init(&digits, 64);
	for (; *ts != '\0'; ts++)
		if (*ts != '.')
			buf_append(&digits, ts, 1);
	text = buf_take(&digits);
	link = xasprintf("%sarchives/%s/p%s", workspace, channel, text);
	free(text);
	return link;
}

static void put_approval(struct blocks *blocks, const struct home_view *view, const json_t *item)
{
	const json_t *facts = json_object_get(item, "facts");
	char *target = facts_target_text(json_object_get(facts, "target"));
	char *changes = facts_changes_text(json_object_get(facts, "changes"));
	char *link = card_link(view->workspace, item);
	char *text = xasprintf("%s: %s, %s. Asked by ", jget_str_or(facts, "command", "?"), target,
			       changes);
	char *tail = xasprintf(" · %s · open until ", jget_str_or(facts, "request", "?"));
	const struct span spans[] = {
		{ .kind = SPAN_TEXT, .text = text, .style = "" },
		{ .kind = SPAN_USER, .text = jget_str_or(facts, "who.user", "?"), .style = "" },
		{ .kind = SPAN_TEXT, .text = tail, .style = "" },
		{ .kind = SPAN_DATE,
		  .text = "its end",
		  .style = "",
		  .epoch = (long long)(jget_int(item, "expires_ms", 0) / 1000) },
		{ .kind = SPAN_TEXT, .text = " · ", .style = "" },
		{ .kind = SPAN_LINK, .text = link, .label = "Open the card", .style = "b" },
	};

	blocks_rich(blocks, spans, link != NULL ? 6 : 4);
	free(target);
	free(changes);
	free(link);
	free(text);
	free(tail);
}

static void put_now(struct blocks *blocks, const struct home_view *view)
{
	const json_t *active = json_object_get(view->home, "active");
	const json_t *approve = json_object_get(view->home, "approve");

	if (view->unknown)
		blocks_plain(blocks, "The database does not answer, so what is active is not known "
				     "now. Open this tab again in a minute.");
	put_freezes(blocks, json_object_get(view->home, "freezes"));
	if (json_array_size(approve) > 0)
		blocks_header(blocks, "Waits for your approval");
	for (size_t i = 0; i < shown_of(approve); i++)
		put_approval(blocks, view, json_array_get(approve, i));
	put_more(blocks, approve, "More waits for your approval: see its channel.");
	if (json_array_size(active) > 0)
		blocks_header(blocks, "What is temporary, and what waits");
	for (size_t i = 0; i < shown_of(active); i++)
		render_active_item(blocks, json_array_get(active, i));
	put_more(blocks, active, "There is more: the word active lists it.");
}

static bool may_use(const json_t *may, const char *action)
{
	size_t i;
	json_t *name;

	if (!json_is_array(may))
		return true;
	json_array_foreach(may, i, name) if (str_eq(json_string_value(name), action)) return true;
	return false;
}

static void put_command(struct blocks *blocks, const struct command *command)
{
	const struct button open = { .text = "Open form",
				     .action_id = "open_form",
				     .value = command->title };
	char *line = xasprintf("%s: %s", command->title, command->about);
	char *block_id = xasprintf("open %s", command->title);

	blocks_plain_button(blocks, line, block_id, &open);
	free(line);
	free(block_id);
}

static void put_commands(struct blocks *blocks, const struct home_view *view)
{
	size_t n = 0;
	char *line;

	blocks_header(blocks, "What you can run");
	if (!json_is_array(view->may))
		blocks_plain(blocks, words_may_unknown());
	for (size_t i = 0; i < catalog_commands(view->catalog); i++) {
		const struct command *command = catalog_command(view->catalog, i);

		if (!may_use(view->may, command->action))
			continue;
		if (n++ < HOME_COMMANDS)
			put_command(blocks, command);
	}
	if (n == 0)
		blocks_plain(blocks, "There is no command that you may run. Ask the data platform "
				     "team for a grant.");
	if (n > HOME_COMMANDS) {
		line = xasprintf("There are %zu more: the word help lists all of them.",
				 n - HOME_COMMANDS);
		blocks_context(blocks, line);
		free(line);
	}
}

json_t *home_view(const struct home_view *view)
{
	struct blocks *blocks = blocks_create(BLOCKS_HOME);

	if (view->note != NULL)
		blocks_plain(blocks, view->note);
	put_now(blocks, view);
	put_commands(blocks, view);
	return blocks_home(blocks);
}
