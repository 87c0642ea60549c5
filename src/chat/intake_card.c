/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake_card.c - the buttons of an approval card and of an unknown outcome.  Every click names
 * only a request and a digest; who clicked is asked afresh, and everything else is looked up where
 * the vote is recorded.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/card.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/request.h"
#include "intake_internal.h"
#include "slack/envelope.h"
#include "slack/view.h"

/* The kind of a vote, or of what somebody says of an unknown outcome; NULL: none. */
static const char *vote_of(const char *name)
{
	static const char *const votes[] = { "approve",  "deny",         "withdraw", "execute",
					     "happened", "not_happened", "again" };

	for (size_t i = 0; i < sizeof(votes) / sizeof(votes[0]); i++)
		if (str_eq(votes[i], name))
			return votes[i];
	return NULL;
}

/* Takes rq over. */
static void vote(struct intake *intake, struct request *rq)
{
	intake_begin(intake, rq, rq->asker.facts_fresh ? OP_VOTE : OP_CLICKER);
}

bool intake_card_click(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	const char *kind = vote_of(env->action_id);
	struct request *rq;

	if (kind == NULL)
		return false;
	if (intake_too_busy(intake, env, via))
		return true;
	rq = intake_request(intake, env, via, kind);
	if (!intake_button(env->value, rq)) {
		intake_ack_note(intake, env, via, words_not_ours());
	} else if (!str_eq(kind, "deny")) {
		vote(intake, rq);
		return true;
	} else {
		intake_ack(intake, via, env->id, NULL);
		if (env->trigger_id != NULL)
			intake_open(intake, env, card_deny_view(env->value),
				    "The form could not be opened. Press Deny again.");
	}
	request_destroy(rq);
	return true;
}

bool intake_card_submit(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	struct request *rq;
	json_t *values;

	if (!str_eq(env->callback_id, "deny"))
		return false;
	if (intake_too_busy(intake, env, via))
		return true;
	rq = intake_request(intake, env, via, "deny");
	if (!intake_button(env->private_metadata, rq)) {
		intake_ack(intake, via, env->id, NULL);
		request_destroy(rq);
		return true;
	}
	values = slack_view_values(env->state);
	rq->reason = arena_strdup(rq->arena, jget_str(values, "reason"));
	json_decref(values);
	vote(intake, rq);
	return true;
}

bool intake_card_answered(struct intake *intake, const struct request *rq, const struct err *err)
{
	char *text, *payload = NULL;

	if (vote_of(rq->delivery.kind) == NULL)
		return false;
	if (err != NULL)
		text = rq->asker.facts_fresh ? words_not_recorded(rq, err)
					     : xstrdup(words_not_known_who());
	else
		text = words_vote(rq);
	if (text != NULL && str_eq(rq->delivery.kind, "deny"))
		payload = card_deny_errors(text); /* a modal has no other way to be told */
	if (!rq->proving)
		intake_ack_all(intake, rq, payload);
	if (text != NULL && payload == NULL) {
		json_t *message = render_note(text);

		json_object_set_new(message, "replace_original", json_false());
		intake_respond(intake, rq, message);
	}
	free(payload);
	free(text);
	return true;
}
