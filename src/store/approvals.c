/* SPDX-License-Identifier: Apache-2.0 */
/* approvals.c - asking, voting and saying what came of what is unknown: ops.ask and ops.vote of
 * sql/migrations/0013, ops.resolve_click of 0015. */
#include "store/approvals.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"
#include "base/str.h"
#include "core/request.h"
#include "store_internal.h"

enum { VOTE_MS = 1300, ASK_MS = 9000 };

static bool take_asked(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];
	struct request *rq = job->rq;

	if (!store_written_ok(job, answer, err) ||
	    !store_take_state(rq, db_text(rows, 0, WRITTEN_STATE), err))
		return false;
	if (str_eq(db_text(rows, 0, WRITTEN_CODE), "nobody_to_ask"))
		return true;
	if (rq->state == REQUEST_DENIED)
		store_take_decision(rq, db_text(rows, 0, WRITTEN_CODE),
				    db_text(rows, 0, WRITTEN_DETAIL));
	job->unmade = rq->state == REQUEST_APPROVING;
	store_release(job->store, rq->id); /* it waits for clicks; nobody's */
	store_take_owed(job->store, db_text(rows, 0, WRITTEN_OWED), job->sent_ms);
	return true;
}

struct call *store_ask(struct store *store, struct request *rq, const json_t *changed,
		       call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	params_init(&params, store);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	params_json(&params, rq->plan);
	params_text(&params, rq->digest);
	params_json(&params, rq->rules);
	params_json(&params, changed);
	params_text(&params, store->approval_channel);
	params_int(&params, store->approval_s);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 0));
	job->take = take_asked;
	job->lost = store_lost_work;
	return job_start(job, store->work, "ops_ask",
			 "SELECT * FROM ops.ask($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
			 &params, ASK_MS);
}

bool store_take_click(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];
	struct request held = { .fence = db_int(rows, 0, ANSWER_FENCE) }, *rq = job->rq;

	if (!store_take_state(rq, db_text(rows, 0, ANSWER_STATE), err))
		return false;
	store_take_known(rq, rows);
	store_take_decision(rq, db_text(rows, 0, ANSWER_CODE), db_text(rows, 0, ANSWER_DETAIL));
	*job->ret_row = store_json(db_text(rows, 0, ANSWER_ROW));
	if (*job->ret_row != NULL) {
		(void)snprintf(held.id, sizeof(held.id), "%s",
			       jget_str_or(*job->ret_row, "id", ""));
		store_hold(job->store, &held);
	}
	store_take_owed(job->store, db_text(rows, 0, ANSWER_OWED), job->sent_ms);
	return true;
}

/* A click that counts: what it was on is drawn anew. */
static bool take_decided(struct job *job, const struct db_answer *answer, struct err *err)
{
	if (!store_take_click(job, answer, err))
		return false;
	job->unmade = job->rq->code == NULL;
	return true;
}

static bool take_vote(struct job *job, const struct db_answer *answer, struct err *err)
{
	if (!take_decided(job, answer, err))
		return false;
	job->rq->fence = db_int(answer->results[0], 0, ANSWER_FENCE);
	return true;
}

struct call *store_vote(struct store *store, struct request *rq, json_t **ret_row,
			call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	params_init(&params, store);
	params_delivery(&params, rq);
	params_text(&params, rq->asker.verdict);
	params_text(&params, rq->asker.email_key);
	params_text(&params, rq->digest);
	params_text(&params, rq->reason);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 0));
	params_bool(&params, rq->proving);
	job->take = take_vote;
	job->lost = store_lost_intake;
	job->click = true;
	job->ret_row = ret_row;
	return job_start(
		job, store->intake, "ops_vote",
		"SELECT * FROM ops.vote($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
		"$13, $14, $15)",
		&params, VOTE_MS);
}

struct call *store_resolve(struct store *store, struct request *rq, json_t **ret_row,
			   call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;
	char again[ID_REQUEST_LEN];

	id_request(again);
	params_init(&params, store);
	params_delivery(&params, rq);
	params_text(&params, rq->asker.channel);
	params_text(&params, rq->asker.response_url);
	params_text(&params, rq->asker.verdict);
	params_text(&params, rq->asker.email_key);
	params_text(&params, rq->asker.name);
	params_text(&params, again);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 0));
	job->take = take_decided;
	job->ret_row = ret_row;
	return job_start(
		job, store->intake, "ops_resolve_click",
		"SELECT * FROM ops.resolve_click($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
		"$12, $13, $14, $15, $16)",
		&params, VOTE_MS);
}
