/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - the store itself: its life, one SQL function call as a struct job, and the requests it
 * holds.  What is held is renewed; whatever ends a run without an outcome must release it, so that
 * its lease ends and somebody takes it up again.
 */
#include "store_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/owed.h"
#include "core/request.h"
#include "store/migrate.h"
#include "store/outbox.h"
#include "store/requests.h"

enum {
	RENEW_AGE_MS = 10 * 1000,
	HELD_MAX_MS = 60 * 60 * 1000, /* no run takes an hour: what is older was forgotten */
	SWEEP_EVERY = 4,
	SWEEP_LIMIT = 500,
	HELLO_MS = 10 * 1000,
	LINK_FROM_RISK = 3, /* where no sign-in can be had */
	NEVER_RISK = 4,
	RENEW_MS = 8 * 1000,
	HAND_MS = 1000,
	SWEEP_MS = 8 * 1000,
	IDS_MAX = 1 << 20,
};

struct held {
	char id[ID_REQUEST_LEN];
	int64_t fence, since_ms;
	UT_hash_handle hh;
};

/* life */

struct store *store_create(uv_loop_t *loop, const struct store_config *config)
{
	struct store *store = xcalloc(1, sizeof(*store));
	json_t *observer =
		json_pack("{s:s, s:s}", "boot", config->boot_id, "version", config->version);

	assert(config->boot_id != NULL && config->version != NULL);
	if (!str_empty(config->deployment))
		json_object_set_new(observer, "deployment", json_string(config->deployment));
	store->loop = loop;
	store->intake = config->intake;
	store->work = config->work;
	store->boot_id = xstrdup(config->boot_id);
	store->version = xstrdup(config->version);
	store->audit_channel = xstrdup_null(config->audit_channel);
	store->approval_channel = xstrdup_null(config->approval_channel);
	store->proof = config->proof;
	store->signing = config->signing;
	store->checkpoint_s = config->checkpoint_s;
	store->approval_s = config->approval_s;
	store->read_only = config->read_only;
	store->observer = json_canonical(observer);
	json_decref(observer);
	store_disown_init(store);
	return store;
}

void store_destroy(struct store *store)
{
	if (store == NULL)
		return;
	call_cancel(&store->sweep_call);
	call_cancel(&store->seal_call);
	call_cancel(&store->checkpoint_call);
	store_sign_cancel(store);
	store_release_all(store);
	free(store->boot_id);
	free(store->version);
	free(store->audit_channel);
	free(store->approval_channel);
	free(store->observer);
	store_disown_finish(store);
}

/* parameters */

static void params_add(struct params *params, const char *value)
{
	assert(params->n < DB_PARAMS_MAX);
	params->values[params->n++] = value;
}

void params_init(struct params *params, const struct store *store)
{
	memset(params, 0, sizeof(*params));
	params_add(params, store->boot_id);
	params_add(params, store->observer);
}

void params_text(struct params *params, const char *text)
{
	params_add(params, text);
}

void params_take(struct params *params, char *text)
{
	assert(params->n_owned < PARAMS_OWNED_MAX);
	params->owned[params->n_owned++] = text;
	params_add(params, text);
}

void params_delivery(struct params *params, const struct request *rq)
{
	params_text(params, rq->id);
	params_text(params, rq->delivery.envelope_id);
	params_text(params, rq->delivery.dedup);
	params_text(params, rq->delivery.kind);
	params_text(params, rq->asker.team);
	params_text(params, rq->asker.user);
}

void params_json(struct params *params, const json_t *value)
{
	if (value == NULL || json_is_null(value))
		params_add(params, NULL);
	else
		params_take(params, json_canonical(value));
}

void params_int(struct params *params, int64_t n)
{
	char *text;

	assert(params->n_numbers < PARAMS_NUMBERS_MAX);
	text = params->numbers[params->n_numbers++];
	(void)snprintf(text, PARAMS_NUMBER_LEN, "%" PRId64, n);
	params_add(params, text);
}

void params_bool(struct params *params, bool b)
{
	params_add(params, b ? "t" : "f");
}

void params_finish(struct params *params)
{
	while (params->n_owned > 0)
		free(params->owned[--params->n_owned]);
}

/* jobs */

static void job_free(struct job *job)
{
	json_decref(job->announce);
	json_decref(job->reply);
	free(job);
}

static void job_cancel(struct call *call)
{
	struct job *job = (struct job *)call;

	call_cancel(&job->inner);
	if (job->disowned != NULL)
		store_disown_said(job->disowned);
	else if (job->lost != NULL)
		job->lost(job, NULL);
	job_free(job);
}

struct job *job_create(struct store *store, struct request *rq, call_done_fn done, void *data)
{
	struct job *job = xcalloc(1, sizeof(*job));

	job->call.cancel = job_cancel;
	job->store = store;
	job->rq = rq;
	job->done = done;
	job->data = data;
	return job;
}

void store_db_err(const struct db_answer *answer, const struct err *from, struct err *err)
{
	const char *state = answer != NULL ? answer->sqlstate : "";

	*err = *from;
	if (str_eq(state, "42883") || str_eq(state, "3F000") || str_eq(state, "42P01"))
		err_set(err, ERR_INVALID,
			"The database lacks what this version needs (%s). Run: opsd migrate",
			from->msg);
	else if (str_eq(state, "42501"))
		err_set(err, ERR_INVALID,
			"The database role may not do this (%s). Grant it opsd_service, or for "
			"reports "
			"opsd_auditor.",
			from->msg);
}

static void job_done(struct job *job, const struct err *err)
{
	call_done_fn done = job->done;
	void *data = job->data;

	job_free(job);
	done(data, err);
}

void store_job_sure(struct job *job, const char *known_id, const char *known_state)
{
	struct err err = job->lost_err;
	struct request *rq = job->rq;

	if (known_id == NULL || known_state == NULL ||
	    !request_state_from_name(known_state, &rq->state)) {
		job_done(job, &err);
		return;
	}
	rq->known_id = arena_strdup(rq->arena, known_id);
	rq->known_state = arena_strdup(rq->arena, known_state);
	job_done(job, NULL);
}

static void on_answer(void *data, const struct db_answer *answer, const struct err *err)
{
	struct job *job = data;
	struct store *store = job->store;
	struct err mine;

	job->inner = NULL;
	if (err != NULL) {
		store_db_err(answer, err, &mine);
		err = &mine;
	} else if (!job->take(job, answer, &mine)) {
		err = &mine;
	}
	if (err != NULL && job->lost != NULL)
		job->lost(job, err);
	if (job->disowned != NULL) {
		job->lost_err = *err;
		return;
	}
	if (err == NULL && (job->crowded || job->unmade) && store->unclaimed != NULL)
		store->unclaimed(store->unclaimed_data, job->crowded);
	job_done(job, err);
}

/* Whether the call that is being made may owe what it does not hand over; asked once. */
static bool store_crowded(struct store *store)
{
	bool crowded = store->crowded;

	store->crowded = false;
	return crowded;
}

struct call *job_start(struct job *job, struct db *db, const char *name, const char *sql,
		       struct params *params, unsigned timeout_ms)
{
	const char *values[DISOWN_PARAMS];
	struct db_statement statements[2];

	if (job->dedup != NULL && store_disowned(job->store, job->dedup, &statements[0], values))
		job->at = 1;
	statements[job->at] = (struct db_statement){
		.name = name, .sql = sql, .n = params->n, .params = params->values
	};
	job->sent_ms = clock_mono_ms();
	job->crowded = store_crowded(job->store);
	job->inner = db_start(db, statements, job->at + 1, timeout_ms, on_answer, job);
	params_finish(params);
	return &job->call;
}

/* held requests */

void store_hold(struct store *store, const struct request *rq)
{
	struct held *held;

	HASH_FIND_STR(store->held, rq->id, held);
	if (held == NULL) {
		held = xcalloc(1, sizeof(*held));
		memcpy(held->id, rq->id, sizeof(held->id));
		HASH_ADD_STR(store->held, id, held);
	}
	held->fence = rq->fence;
	held->since_ms = clock_mono_ms();
}

static void drop(struct store *store, struct held *held)
{
	HASH_DEL(store->held, held);
	free(held);
}

void store_release(struct store *store, const char *id)
{
	struct held *held;

	HASH_FIND_STR(store->held, id, held);
	if (held != NULL)
		drop(store, held);
}

void store_release_all(struct store *store)
{
	struct held *held, *next;

	HASH_ITER(hh, store->held, held, next)
	{
		drop(store, held);
	}
}

char *store_held_ids(struct store *store, int64_t min_age_ms, char **ret_fences)
{
	int64_t now = clock_mono_ms();
	struct held *held, *next;
	struct buf ids, fences;

	buf_init(&ids, IDS_MAX);
	buf_init(&fences, IDS_MAX);
	HASH_ITER(hh, store->held, held, next)
	{
		int64_t age = now - held->since_ms;

		if (age > HELD_MAX_MS) {
			log_error("request left behind; its lease ends",
				  LOG_STR("request", held->id));
			drop(store, held);
		} else if (age >= min_age_ms) {
			buf_printf(&ids, "%c%s", ids.len == 0 ? '{' : ',', held->id);
			buf_printf(&fences, "%c%" PRId64, fences.len == 0 ? '{' : ',', held->fence);
		}
	}
	buf_puts(&ids, ids.len == 0 ? "{}" : "}");
	buf_puts(&fences, fences.len == 0 ? "{}" : "}");
	if (ids.overflow || fences.overflow) { /* far above the ceiling of requests under way */
		buf_reset(&ids);
		buf_reset(&fences);
		buf_puts(&ids, "{}");
		buf_puts(&fences, "{}");
	}
	*ret_fences = buf_take(&fences);
	return buf_take(&ids);
}

/* hello */

static bool take_hello(struct job *job, const struct db_answer *answer, struct err *err)
{
	int64_t migration = db_int(answer->results[0], 0, 0);
	int needed = store_migrations[store_migrations_n - 1].number;

	(void)job;
	if (migration >= needed)
		return true;
	err_set(err, ERR_INVALID,
		"The database is at migration %" PRId64
		", this version needs %d. Run: opsd migrate",
		migration, needed);
	return false;
}

struct call *store_hello(struct store *store, call_done_fn done, void *data)
{
	struct job *job = job_create(store, NULL, done, data);
	char host[256] = "";
	struct params params;

	(void)gethostname(host, sizeof(host) - 1);
	params_init(&params, store);
	params_text(&params, host);
	params_text(&params, store->version);
	params_bool(&params, store->read_only);
	job->take = take_hello;
	params_text(&params, store->audit_channel);
	params_text(&params, store->approval_channel);
	params_bool(&params, store->proof.possible);
	params_int(&params, store->proof.possible ? store->proof.link_from_risk : LINK_FROM_RISK);
	params_int(&params, store->proof.possible ? store->proof.each_from_risk : NEVER_RISK);
	return job_start(
		job, store->work, "ops_hello",
		"SELECT h.* FROM ops.configure($6, $7, $8, $9, $10), ops.hello($1, $2, $3, "
		"$4, $5) h",
		&params, HELLO_MS);
}

/* hand over */

static bool take_handed(struct job *job, const struct db_answer *answer, struct err *err)
{
	(void)err;
	log_info("handed over", LOG_INT("requests", db_int(answer->results[0], 0, 0)));
	store_release_all(job->store);
	return true;
}

struct call *store_hand_over(struct store *store, call_done_fn done, void *data)
{
	struct job *job = job_create(store, NULL, done, data);
	struct params params = { 0 };

	params_text(&params, store->boot_id);
	job->take = take_handed;
	return job_start(job, store->work, "ops_hand_over", "SELECT ops.hand_over($1)", &params,
			 HAND_MS);
}

/* renew */

static void on_swept(void *data, const struct db_answer *answer, const struct err *err)
{
	struct store *store = data;

	(void)answer;
	store->sweep_call = NULL;
	if (err != NULL)
		log_warn("old rows not removed", LOG_STR("error", err->msg));
}

static void sweep(struct store *store)
{
	char limit[PARAMS_NUMBER_LEN];
	const char *const values[] = { store->observer, limit };
	const struct db_statement statement = {
		.name = "ops_sweep", .sql = "SELECT ops.sweep($1, $2)", .n = 2, .params = values
	};

	(void)snprintf(limit, sizeof(limit), "%d", SWEEP_LIMIT);
	store->sweep_call = db_start(store->work, &statement, 1, SWEEP_MS, on_swept, store);
}

static bool take_renewed(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];

	(void)err;
	for (size_t i = 0; i < db_rows(rows); i++) {
		log_warn("lease lost", LOG_STR("request", db_text(rows, i, 0)));
		store_release(job->store, db_text(rows, i, 0));
	}
	return true;
}

struct call *store_renew(struct store *store, call_done_fn done, void *data)
{
	struct job *job = job_create(store, NULL, done, data);
	struct params params;
	char *ids, *fences;

	ids = store_held_ids(store, RENEW_AGE_MS, &fences);
	params_init(&params, store);
	params_take(&params, ids);
	params_take(&params, fences);
	job->take = take_renewed;
	store_seal(store);
	if (++store->renewals % SWEEP_EVERY == 0 && store->sweep_call == NULL)
		sweep(store);
	return job_start(job, store->work, "ops_renew", "SELECT unnest(ops.renew($1, $2, $3, $4))",
			 &params, RENEW_MS);
}
