/* SPDX-License-Identifier: Apache-2.0 */
/* later.c - times, schedules and steering: the functions of sql/migrations/0014. */
#include "store/later.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "core/later.h"
#include "core/request.h"
#include "store_internal.h"

enum { STEER_MS = 1300, TIMES_MS = 9000, SCHEDULE_MS = 9000 };

/* times */

static bool take_times(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];
	json_t *times = store_json(db_text(rows, 0, 0));
	struct request *rq = job->rq;
	char *says;

	if (times == NULL)
		return store_fenced_off(job, err);
	if (jget_str(times, "problem") != NULL) {
		says = later_problem(times, rq->args);
		rq->rejection = arena_strdup(rq->arena, says);
		err_set(err, ERR_INVALID, "%s", says);
		free(says);
		json_decref(times);
		return false;
	}
	json_decref(rq->times);
	rq->times = times;
	rq->not_before = json_object_get(times, "starts_ms") != NULL;
	return true;
}

struct call *store_set_times(struct store *store, struct request *rq, const char *tz,
			     call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	int64_t lasts = jget_int(rq->args, "for", 0);
	struct params params = { 0 };

	params_text(&params, store->boot_id);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	params_text(&params, tz);
	if (lasts > 0)
		params_int(&params, lasts);
	else
		params_text(&params, NULL);
	params_text(&params, jget_str(rq->args, "until"));
	params_text(&params, jget_str(rq->args, "at"));
	params_int(&params, later_max_s(rq->command));
	job->take = take_times;
	return job_start(job, store->work, "ops_set_times",
			 "SELECT ops.set_times($1, $2, $3, $4, $5, $6, $7, $8)", &params, TIMES_MS);
}

/* schedule */

static bool take_scheduled(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];

	if (!store_written_ok(job, answer, err) ||
	    !store_take_state(job->rq, db_text(rows, 0, WRITTEN_STATE), err))
		return false;
	if (job->rq->state == REQUEST_SCHEDULED)
		store_release(job->store, job->rq->id); /* it waits; nobody's */
	store_take_owed(job->store, db_text(rows, 0, WRITTEN_OWED), job->sent_ms);
	return true;
}

struct call *store_schedule(struct store *store, struct request *rq, call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	params_init(&params, store);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	params_json(&params, rq->plan);
	params_text(&params, rq->digest[0] != '\0' ? rq->digest : NULL);
	params_text(&params, rq->err.kind != ERR_NONE ? rq->err.msg : NULL);
	params_int(&params, store_reserve(store, 0));
	job->take = take_scheduled;
	job->lost = store_lost_work;
	return job_start(job, store->work, "ops_schedule",
			 "SELECT * FROM ops.schedule($1, $2, $3, $4, $5, $6, $7, $8)", &params,
			 SCHEDULE_MS);
}

/* steer */

static bool take_steered(struct job *job, const struct db_answer *answer, struct err *err)
{
	if (!store_take_click(job, answer, err))
		return false;
	job->rq->fence = db_int(answer->results[0], 0, ANSWER_FENCE);
	return true;
}

struct call *store_steer(struct store *store, struct request *rq, json_t **ret_row,
			 call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	params_init(&params, store);
	params_delivery(&params, rq);
	params_text(&params, rq->asker.verdict);
	params_text(&params, rq->asker.email_key);
	params_text(&params, rq->digest);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 0));
	job->take = take_steered;
	job->lost = store_lost_intake;
	job->click = true;
	job->ret_row = ret_row;
	return job_start(
		job, store->intake, "ops_steer",
		"SELECT * FROM ops.steer($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
		&params, STEER_MS);
}

/* readers */

struct call *store_active(struct db *db, const char *team, const char *user, unsigned limit,
			  store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, team);
	params_text(&params, user);
	params_int(&params, limit);
	return store_read(db, "ops_active", "SELECT ops.active($1, $2, $3)", &params, done, data);
}

struct call *store_home(struct db *db, const char *team, const char *user, unsigned limit,
			store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, team);
	params_text(&params, user);
	params_int(&params, limit);
	return store_read(db, "ops_home", "SELECT ops.home($1, $2, $3)", &params, done, data);
}

struct call *store_undoable(struct db *db, const char *id, store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, id);
	return store_read(db, "ops_undoable", "SELECT ops.undoable($1)", &params, done, data);
}
