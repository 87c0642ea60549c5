/* SPDX-License-Identifier: Apache-2.0 */
/* doubt.c - an unknown outcome with its evidence, and the buttons for those who may say what came
 * of it; rendered anew from the row each time that it is sent. */
#include <stdlib.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "chat/card.h"
#include "render_internal.h"
#include "slack/blocks.h"

enum { SPANS_MAX = 20, EVIDENCE_MAX = 2500 };

static const char *head_of(const json_t *facts)
{
	const char *state = jget_str(facts, "state");

	if (str_eq(state, "unknown"))
		return "Not known whether it happened";
	return str_eq(state, "succeeded") ? "It happened" : "It did not happen";
}

static void put_evidence(struct blocks *blocks, const json_t *facts)
{
	const json_t *evidence = jget(facts, "doubt.evidence");
	int64_t began_ms = jget_int(facts, "doubt.began_ms", 0);
	struct span began[] = {
		{ .kind = SPAN_TEXT, .text = "The attempt began ", .style = "" },
		{ .kind = SPAN_DATE,
		  .text = "at the time on record",
		  .style = "",
		  .epoch = began_ms / 1000 },
		{ .kind = SPAN_TEXT, .text = ". What is known of it:", .style = "" },
	};
	char *text;

	if (began_ms > 0)
		blocks_rich(blocks, began, sizeof(began) / sizeof(began[0]));
	if (jget_str(facts, "why") != NULL)
		blocks_plain(blocks, jget_str(facts, "why"));
	if (evidence == NULL || json_is_null(evidence))
		return;
	text = json_dumps(evidence, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	if (text == NULL)
		return;
	text[str_utf16_prefix(text, EVIDENCE_MAX)] = '\0';
	blocks_preformatted(blocks, text);
	free(text);
}

static void put_asked(struct blocks *blocks, const json_t *facts)
{
	struct span spans[SPANS_MAX];
	size_t n = 0, i;
	json_t *person;

	spans[n++] = (struct span){ .kind = SPAN_TEXT,
				    .text = "Look at the object, then say what came of it: ",
				    .style = "" };
	json_array_foreach(json_object_get(facts, "asked"), i, person)
	{
		const char *user = jget_str(person, "user");

		if (n + 2 >= SPANS_MAX)
			break;
		spans[n++] = (struct span){ .kind = user != NULL ? SPAN_USER : SPAN_TEXT,
					    .text = user != NULL ? user
								 : jget_str_or(person, "name", "?"),
					    .style = "" };
		spans[n++] = (struct span){ .kind = SPAN_TEXT, .text = ", ", .style = "" };
	}
	spans[n++] = (struct span){ .kind = SPAN_TEXT,
				    .text = "or anybody else who may approve it. Until then nobody "
					    "can change the same object.",
				    .style = "" };
	blocks_rich(blocks, spans, n);
}

static void put_buttons(struct blocks *blocks, const json_t *facts)
{
	char *value = xasprintf("%s unknown", jget_str_or(facts, "request", ""));
	const struct button buttons[] = {
		{ .text = "It happened",
		  .action_id = "happened",
		  .value = value,
		  .confirm_title = "It happened?",
		  .confirm_text = "It counts as done from now on. The audit log has your name.",
		  .confirm_yes = "It happened" },
		{ .text = "It did not",
		  .action_id = "not_happened",
		  .value = value,
		  .confirm_title = "It did not happen?",
		  .confirm_text = "It counts as failed from now on. The audit log has your name.",
		  .confirm_yes = "It did not" },
		{ .text = "Try again",
		  .action_id = "again",
		  .value = value,
		  .style = "danger",
		  .confirm_title = "It did not happen, try again?",
		  .confirm_text =
			  "You ask for the same anew: decided, planned and, where its rules "
			  "say so, approved again. If it did happen after all, it happens "
			  "twice.",
		  .confirm_yes = "Try again" },
	};

	blocks_buttons(blocks, "doubt", buttons, sizeof(buttons) / sizeof(buttons[0]));
	free(value);
}

static void put_asker(struct blocks *blocks, const json_t *facts)
{
	const char *user = jget_str(facts, "who.user");
	char *rest = xasprintf(" (%s) asked for this. Reason: %s",
			       jget_str_or(facts, "who.email", "not in the directory"),
			       jget_str_or(facts, "reason", "none given"));
	const struct span spans[] = {
		{ .kind = user != NULL ? SPAN_USER : SPAN_TEXT,
		  .text = user != NULL ? user : "somebody",
		  .style = "" },
		{ .kind = SPAN_TEXT, .text = rest, .style = "" },
	};

	blocks_rich(blocks, spans, sizeof(spans) / sizeof(spans[0]));
	free(rest);
}

json_t *render_doubt(const json_t *facts)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	char *head = xasprintf("%s: %s", head_of(facts), jget_str_or(facts, "command", "command"));
	json_t *message;

	blocks_header(blocks, head);
	put_asker(blocks, facts);
	render_plan(blocks, facts);
	put_evidence(blocks, facts);
	if (str_eq(jget_str(facts, "state"), "unknown")) {
		put_asked(blocks, facts);
		put_buttons(blocks, facts);
	}
	render_context(blocks, facts);
	message = render_finish(blocks, head, false);
	free(head);
	return message;
}
