/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c - the functions of sql/migrations/0015_hold.sql about freezes. */
#include "store/hold.h"

#include "core/request.h"
#include "store_internal.h"

enum { REPEAT_MS = 9000 };

/* No row: fenced off.  NULL: it may. */
static bool take_repeat(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];
	struct request *rq = job->rq;

	if (db_rows(rows) == 0)
		return store_fenced_off(job, err);
	store_hold(job->store, rq);
	rq->frozen = db_text(rows, 0, 0) != NULL;
	if (rq->frozen)
		err_set(&rq->err, ERR_DENIED,
			"It did not happen, and was not tried again: changes are frozen by now "
			"(%.200s).",
			db_text(rows, 0, 0));
	return true;
}

struct call *store_repeat(struct store *store, struct request *rq, call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	params_init(&params, store);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	job->take = take_repeat;
	job->lost = store_lost_work;
	return job_start(job, store->work, "ops_repeat", "SELECT * FROM ops.repeat($1, $2, $3, $4)",
			 &params, REPEAT_MS);
}

struct call *store_own(struct store *store, const char *what, const char *request,
		       const json_t *args, store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, store->observer);
	params_text(&params, what);
	params_text(&params, request);
	params_json(&params, args);
	return store_read(store->work, "ops_own", "SELECT ops.own($1, $2, $3, $4)", &params, done,
			  data);
}

struct call *store_freeze(struct db *db, const json_t *what, const char *reason, int64_t seconds,
			  store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_json(&params, what);
	params_text(&params, reason);
	if (seconds > 0)
		params_int(&params, seconds);
	else
		params_text(&params, NULL);
	return store_read(db, NULL, "SELECT ops.freeze_by_login($1, $2, $3)", &params, done, data);
}

struct call *store_unfreeze(struct db *db, const char *id, const char *reason, store_json_fn done,
			    void *data)
{
	struct params params = { 0 };

	params_text(&params, id);
	params_text(&params, reason);
	return store_read(db, NULL, "SELECT ops.unfreeze_by_login($1, $2)", &params, done, data);
}

struct call *store_freezes(struct db *db, store_json_fn done, void *data)
{
	struct params params = { 0 };

	return store_read(db, NULL, "SELECT ops.freezes()", &params, done, data);
}
