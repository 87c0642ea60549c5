/* SPDX-License-Identifier: Apache-2.0 */
/* words_progress.c - what lasts, said before a change, and what the message that follows it says.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/words.h"

enum { BAR = 20 };

char *words_instead(const json_t *instead, const char *who)
{
	const char *text = jget_str(instead, "text");

	if (text != NULL)
		return xasprintf("↪️ To make it last, ask %s instead: %s", who, text);
	return xasprintf("↪️ To make it last, ask %s instead, by %s", who,
			 jget_str_or(instead, "command", "?"));
}

/* "3 minutes" */
static char *time_text(int64_t s)
{
	bool minutes = s >= 60 && s % 60 == 0;
	int64_t n = minutes ? s / 60 : s;

	return xasprintf("%" PRId64 " %s%s", n, minutes ? "minute" : "second", n == 1 ? "" : "s");
}

/* What complete means depends on whether it is still watched. */
static char *done_text(const json_t *progress, const char *says)
{
	int64_t stays = jget_int(progress, "stays_s", 0);
	char *time, *text;

	if (stays <= 0)
		return xasprintf("✅ Over: %s.", says);
	time = time_text(stays);
	if (jget_bool(progress, "over", false))
		text = xasprintf("✅ Complete (%s), and still so after %s.", says, time);
	else
		text = xasprintf("✅ Complete (%s). opsd watches for %s whether it stays.", says,
				 time);
	free(time);
	return text;
}

char *words_progress(const json_t *progress)
{
	static const struct {
		const char *state, *head;
	} heads[] = {
		{ "going", "⏳ Under way: " },
		{ "stuck", "⚠️ Stuck: " },
		{ "silent", "⏳ Not known how far it is, since the other end does not answer: " },
		{ "failed", "❌ Did not succeed: " },
		{ "superseded", "↪️ Not followed any more: " },
		{ "undone", "↩️ Undone: " },
		{ "left", "⌛ Not followed any more, it takes too long: " },
	};
	const char *state = jget_str_or(progress, "state", ""), *head = "";
	const char *says = jget_str_or(progress, "says", "");

	if (str_eq(state, "done"))
		return done_text(progress, says);
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (str_eq(heads[i].state, state))
			head = heads[i].head;
	return xasprintf("%s%s.", head, says);
}

static const char *next_of(const char *cause)
{
	static const struct {
		const char *cause, *next;
	} rows[] = {
		{ "image",
		  "Check that the image and its tag exist, and that the cluster may pull it." },
		{ "memory",
		  "It needs more memory than its limit allows: raise the limit, or find out "
		  "what takes it." },
		{ "crash", "It starts and ends again: read the log of that pod." },
		{ "config",
		  "It names a ConfigMap, a Secret or a key that is not there: make it, or "
		  "name another." },
		{ "volume",
		  "A volume of it cannot be mounted: look at the claim, Secret or ConfigMap "
		  "behind it." },
		{ "nodes", "No node has room for it: lower what it requests, or add nodes." },
		{ "quota",
		  "The namespace has used up its quota: make room there, or have it raised." },
		{ "policy", "The cluster refuses its pods: what it says must be put right first." },
		{ "ready",
		  "It runs, but says that it cannot serve: read its log, and look at what it "
		  "depends on." },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (str_eq(rows[i].cause, cause))
			return rows[i].next;
	return NULL;
}

char *words_next(const json_t *facts)
{
	const char *state = jget_str_or(facts, "progress.state", "");
	const char *next = next_of(jget_str(facts, "progress.cause"));
	bool bad = str_eq(state, "stuck") || str_eq(state, "failed");
	bool back = bad && jget_bool(facts, "reversible", false);

	if (str_eq(state, "undone"))
		return xstrdup(
			"➡️ Whoever set it back may do so again: make the change there, or "
			"speak with them before you ask again.");
	if (!bad || (next == NULL && !back))
		return NULL;
	return xasprintf("➡️ %s%s%s%s%s", next != NULL ? next : "",
			 next != NULL && back ? " " : "",
			 back ? "To set the change back: undo " : "",
			 back ? jget_str_or(facts, "request", "?") : "", back ? "." : "");
}

char *words_bar(const json_t *progress)
{
	int64_t have = jget_int(progress, "have", 0), of = jget_int(progress, "of", 0);
	struct buf bar;

	if (of <= 0 || have < 0)
		return NULL;
	if (have > of)
		have = of;
	buf_init(&bar, 200);
	for (int64_t i = 0; i < BAR; i++)
		(void)buf_puts(&bar, i < have * BAR / of ? "▓" : "░");
	(void)buf_printf(&bar, " %" PRId64 " of %" PRId64, have, of);
	return buf_take(&bar);
}
