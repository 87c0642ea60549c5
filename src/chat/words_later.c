/* SPDX-License-Identifier: Apache-2.0 */
/* words_later.c - sentences about what waits for its time, what is temporary, and what is undone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/words.h"
#include "core/args.h"
#include "core/later.h"
#include "core/request.h"
#include "words_internal.h"

enum { LATER_TEXT_MAX = 2000 };

static bool rolled(const json_t *when, const char *which)
{
	const char *all = jget_str(when, "rolled");

	return all != NULL && strstr(all, which) != NULL;
}

char *words_when(const json_t *facts)
{
	const json_t *when = json_object_get(facts, "when");
	const char *starts = jget_str(when, "starts"), *ends = jget_str(when, "ends");
	struct buf buf;

	if (when == NULL || jget_bool(facts, "revert", false) ||
	    (starts == NULL && ends == NULL && jget_int(when, "for_s", 0) <= 0))
		return NULL;
	buf_init(&buf, LATER_TEXT_MAX);
	if (starts != NULL)
		buf_printf(&buf, "Starts %s%s.", starts,
			   rolled(when, "at") ? ", since that time is over today" : "");
	if (ends != NULL) {
		buf_printf(
			&buf, "%sUntil %s%s; then it is set back.", starts != NULL ? " " : "", ends,
			rolled(when, "until") && starts == NULL ? ", since that time is over today"
								: "");
	} else if (jget_int(when, "for_s", 0) > 0) {
		char *lasts = args_duration_text(jget_int(when, "for_s", 0));

		buf_printf(&buf, "%sFor %s from its start; then it is set back.",
			   starts != NULL ? " " : "", lasts);
		free(lasts);
	}
	return buf_take(&buf);
}

const char *words_head_later(const json_t *facts)
{
	static const struct {
		const char *outcome, *head;
	} heads[] = {
		{ "succeeded", "Set back" },
		{ "failed", "Not set back" },
		{ "unknown", "Not known whether it was set back" },
		{ "denied", "Not set back" },
		{ "expired", "Not set back, since nobody answered" },
		{ "cancelled", "Not set back" },
		{ "kept", "Kept, it is not set back any more" },
		{ "extended", "Extended, it is set back later" },
		{ "approving", "Waiting for approval to set it back" },
	};
	const char *outcome = jget_str_or(facts, "outcome", "");

	if (!jget_bool(facts, "revert", false))
		return NULL;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (str_eq(heads[i].outcome, outcome))
			return heads[i].head;
	return NULL;
}

char *words_not_set_back(const json_t *facts)
{
	const char *outcome = jget_str_or(facts, "outcome", "");

	if (!jget_bool(facts, "revert", false) ||
	    !(str_eq(outcome, "failed") || str_eq(outcome, "denied") || str_eq(outcome, "expired")))
		return NULL;
	return xasprintf("The change of request %s stays as it is. Whoever may do it can set it "
			 "back with `undo %s`.",
			 jget_str_or(facts, "undoes", "?"), jget_str_or(facts, "undoes", "?"));
}

static char *steered(const struct request *rq)
{
	const char *kind = rq->delivery.kind;

	if (str_eq(kind, "extend"))
		return xasprintf("Extended: it is set back %s now.",
				 jget_str_or(rq->detail, "starts", "later"));
	if (str_eq(kind, "back"))
		return xstrdup("It is being set back now.");
	if (str_eq(kind, "keep"))
		return xstrdup("Kept: it is not set back any more.");
	return xstrdup("Cancelled; nothing was done.");
}

static char *too_late(const struct request *rq)
{
	const char *state = jget_str_or(rq->detail, "state", "");

	if (str_eq(state, "running") || str_eq(state, "allowed"))
		return xstrdup("It has started already; it cannot be stopped any more.");
	if (str_eq(state, "approving"))
		return xstrdup("It waits for approval already.");
	if (str_eq(state, "succeeded"))
		return xstrdup("This is done already.");
	if (str_eq(state, "unknown"))
		return xstrdup("It has started already, and it is not known yet what came of it.");
	return xasprintf("This is over already: it is %s.", state);
}

char *words_steer(const struct request *rq)
{
	char *max, *text;

	if (rq->known_id != NULL)
		return NULL;
	if (rq->code == NULL)
		return steered(rq);
	if (str_eq(rq->code, "too_late"))
		return too_late(rq);
	if (str_eq(rq->code, "too_long")) {
		max = args_duration_text(jget_int(rq->detail, "max_s", LATER_MAX_S));
		text = xasprintf(
			"It cannot be extended any more: such a change may last %s in all. "
			"Ask for it anew with the command.",
			max);
		free(max);
		return text;
	}
	return xstrdup(words_code(rq->code));
}

void words_put_undone(struct buf *buf, const char *id, const json_t *undo)
{
	const char *state = jget_str_or(undo, "state", "");
	char *by = xasprintf("request %s of %s", jget_str_or(undo, "id", "?"),
			     jget_str_or(undo, "name", "somebody"));

	if (str_eq(state, "succeeded"))
		buf_printf(buf, "%s is undone already, by %s.", id, by);
	else if (str_eq(state, "unknown"))
		buf_printf(buf,
			   "It is not known whether %s is undone: somebody has to say what came "
			   "of %s.",
			   id, by);
	else
		buf_printf(buf,
			   "%s is about to be undone, by %s. Wait until that is over, or have it "
			   "cancelled.",
			   id, by);
	free(by);
}

char *words_not_undoable(const json_t *past, const char *id)
{
	const char *state = jget_str_or(past, "state", "");

	if (json_is_null(past))
		return xasprintf("There is no request %s.", id);
	if (str_eq(jget_str(past, "revert.state"), "scheduled"))
		return xasprintf("%s is temporary and ends by itself. `active` shows it, with the "
				 "button that sets it back now.",
				 id);
	if (str_eq(jget_str(past, "revert.state"), "succeeded"))
		return xasprintf("%s was set back already: request %s.", id,
				 jget_str_or(past, "revert.id", "?"));
	if (str_eq(state, "unknown"))
		return xasprintf("It is not known whether %s happened, so it cannot be undone. "
				 "Somebody has to look first.",
				 id);
	if (!str_eq(state, "succeeded") || !jget_bool(past, "changed", false))
		return xasprintf("%s changed nothing, so there is nothing to undo.", id);
	if (jget_bool(past, "secret", false))
		return xasprintf("%s held a secret that is not kept, so it cannot be undone from "
				 "here.",
				 id);
	return NULL;
}
