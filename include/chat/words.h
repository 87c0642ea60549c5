/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words - every sentence that a person reads about a request, in one place; pure.
 *
 * Each says what happened, to what, and what to do next.  Texts are plain: render.c makes them
 * inert. The caller frees what is returned.
 */
#ifndef OPSD_CHAT_WORDS_H
#define OPSD_CHAT_WORDS_H

#include "base/json.h"

struct err;
struct request;

/* The acknowledgement of a request that was recorded and goes on; NULL: say nothing yet. */
char *words_accepted(const struct request *rq);

/* The acknowledgement when the database did not take it.  A promise, which store and ops.claim_due
 * keep; of a vote only that the card tells. */
char *words_not_recorded(const struct request *rq, const struct err *err);

/* In a preview of what was taken over before anybody knew what its requester was told. */
const char *words_unheard(void);

/* The same intent came again. */
char *words_known(const struct request *rq);

/* What a click on an approval card came to, when the card does not say it; NULL: it does. */
char *words_vote(const struct request *rq);

/* Slack did not say who clicked. */
const char *words_not_known_who(void);

/* A button that names no request. */
const char *words_not_ours(void);

/* From facts (core/facts.h): the headline of an outcome, without names of people. */
char *words_headline(const json_t *facts);

/* Why a request was refused, and who could help; from facts with "code" and "detail". */
char *words_refusal(const json_t *facts);

/* A freeze: what, who, since when, why, until when. */
char *words_frozen(const json_t *freeze);

/* Of a request whose target was busy: "waits_for" has who holds it; without it the wait is over. */
char *words_waits(const json_t *progress);

/* To the requester: who can say what came of an unknown outcome, and where. */
const char *words_doubt_elsewhere(void);

/* The one line of the audit channel after the name of the person: "workers scale Deployment …:
 * replicas 3 → 5". */
char *words_audit(const json_t *facts);

/* Of an owner's "instead" (core/lever.h): what to type for a change that lasts. */
char *words_instead(const json_t *instead, const char *who);

/* words_progress.c */

/* From "progress" (core/progress.h): how far it is; and its bar, NULL where there is none. */
char *words_progress(const json_t *progress);
char *words_bar(const json_t *progress);
/* Of the facts of a progress: what to do about it; NULL: nothing. */
char *words_next(const json_t *facts);

/* words_later.c */

/* When it starts and ends: "Until …; then it is set back."  NULL: at once, and for good. */
char *words_when(const json_t *facts);

/* The headline of the end of a temporary change; NULL: it is none. */
const char *words_head_later(const json_t *facts);

/* What to do about a change that should have been set back and was not; NULL: nothing. */
char *words_not_set_back(const json_t *facts);

/* What a click that moves what has not started came to; NULL: it came before. */
char *words_steer(const struct request *rq);

/* Why a request (of store_undoable) cannot be undone; NULL: it can. */
char *words_not_undoable(const json_t *past, const char *id);

/* words_rights.c */

/* What `whoami` answers, and what `why` answers about what (a command): of ops.tell. */
char *words_whoami(const json_t *who);
char *words_why(const json_t *why, const char *what);
char *words_outlook(const json_t *outlook); /* what is not given, and could change it */

/* That the copy of the directory is old; NULL: it is not. */
char *words_stale(int64_t age_s);

/* The code of a company sign-in, to the one who must type it; and why one did not count (a code of
 * store/prove.h). */
struct sign_in_code {
	const char *code, *url;
	int64_t lives_s;
};
char *words_sign_in(const char *what, const struct request *rq, const struct sign_in_code *code);
char *words_proof(const char *code);

/* To a person whose Slack account was linked just now: { "email" }. */
char *words_linked(const json_t *link);

/* A line of the audit channel that is no outcome: { "alarm": what, … }. */
char *words_alarm(const json_t *alarm);

/* Of the directory sync, whole with its mark: an alarm, or that it is over. */
char *words_directory(const json_t *facts);
/* A seal of the audit log, whole with its mark: { "seal", "hash", "key", "entries" }. */
char *words_checkpoint(const json_t *facts);
/* What was done without asking, for whoever reviews it (ops.review_json); and what came of the
 * button. */
char *words_review(const json_t *review);
char *words_reviewed(const json_t *answer);

/* A mark for an outcome: "✅", "❌", … */
const char *words_mark(const char *outcome);

/* In front of a list of commands when it is not known who asks. */
const char *words_may_unknown(void);

#endif
