/* SPDX-License-Identifier: Apache-2.0 */
/* words_hold.c - sentences about what holds a change back: freezes and busy targets. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/words.h"
#include "words_internal.h"

enum { WORDS_MAX = 6000 };

/* "team=ads cluster=main", or everything. */
static void put_what(struct buf *buf, const json_t *what)
{
	const char *key;
	json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)(uintptr_t)what, key, value)
	{
		const char *text = json_string_value(value);

		buf_printf(buf, "%s%s=%s", n++ > 0 ? " " : "", key, text != NULL ? text : "?");
	}
	if (n == 0)
		buf_puts(buf, "everything");
}

char *words_frozen(const json_t *freeze)
{
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	buf_puts(&buf, "Changes are frozen (");
	put_what(&buf, json_object_get(freeze, "what"));
	buf_printf(&buf, ") by %s", jget_str_or(freeze, "by", "somebody"));
	words_time(&buf, jget_int(freeze, "since_ms", 0));
	buf_printf(&buf, ": %s.", jget_str_or(freeze, "reason", "no reason given"));
	if (jget_int(freeze, "until_ms", 0) > 0) {
		buf_puts(&buf, " It ends");
		words_time(&buf, jget_int(freeze, "until_ms", 0));
		buf_puts(&buf, ".");
	}
	return buf_take(&buf);
}

void words_put_freezes(struct buf *buf, const json_t *frozen)
{
	size_t i;
	json_t *freeze;

	json_array_foreach(frozen, i, freeze)
	{
		char *text = words_frozen(freeze);

		buf_printf(buf, " %s", text);
		free(text);
	}
}

void words_put_frozen(struct buf *buf, const json_t *frozen)
{
	buf_puts(buf, "Nothing was done.");
	words_put_freezes(buf, frozen);
	buf_puts(buf, " Reads go on. Ask again when it is lifted: `ops unfreeze`, by those who "
		      "may.");
}

/* "R1 of Ben (workers scale, reason: load) since …" */
static void put_holder(struct buf *buf, const json_t *holder)
{
	buf_printf(buf, "request %s of %s (%s", jget_str_or(holder, "request", "?"),
		   jget_str_or(holder, "name", "somebody"),
		   jget_str_or(holder, "command", "a command"));
	if (jget_str(holder, "reason") != NULL)
		buf_printf(buf, ", reason: %s", jget_str(holder, "reason"));
	buf_puts(buf, "), which began");
	words_time(buf, jget_int(holder, "since_ms", 0));
}

void words_put_busy(struct buf *buf, const json_t *holder)
{
	bool unknown = str_eq(jget_str(holder, "state"), "unknown");

	buf_puts(buf, unknown ? "Nothing was done: it is not known what came of "
			      : "Nothing was done: this is being changed by ");
	put_holder(buf, holder);
	buf_puts(buf, unknown ? ". Somebody who may must say so first, by the buttons of its "
				"message; then ask again."
			      : ". Ask again when that is over.");
}

char *words_waits(const json_t *progress)
{
	struct buf buf;

	buf_init(&buf, WORDS_MAX);
	if (json_object_get(progress, "waits_for") == NULL) {
		buf_puts(&buf, "The wait is over; the outcome follows.");
		return buf_take(&buf);
	}
	buf_puts(&buf, "Waiting: this is being changed by ");
	put_holder(&buf, json_object_get(progress, "waits_for"));
	buf_puts(&buf, ". Yours starts when that is over.");
	return buf_take(&buf);
}

const char *words_doubt_elsewhere(void)
{
	return "Look at it before you ask again. Those who may approve it can say what came of it, "
	       "by the buttons in the approval channel; until then nobody can change the same "
	       "object.";
}
