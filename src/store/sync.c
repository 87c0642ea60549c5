/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync.c - see sync.h; the SQL stands in sql/migrations/0010_sync.sql.  steps[] says where each
 * step leads; branch() where the answer decides.
 */
#include "store/sync.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/directory.h"
#include "net/db.h"

#include "array.h"
#include "store_internal.h"
#include "sync_rows.h"

enum {
	OPEN_MS = 60000,
	SHORT_MS = 60000,
	LONG_MS = 1200000,
	JSON_MAX = 4 << 20,
};

enum step {
	STEP_CONNECT,
	STEP_DRY,   /* a plan leaves nothing behind: its run row is in the transaction too */
	STEP_OPEN,  /* waits for the run's row; committed before anything else */
	STEP_FRESH, /* the document is the one that was applied: no plan */
	STEP_BEGIN,
	STEP_STAGE, /* waits for the lock and the empty staging tables */
	STEP_COPY,  /* once for each table */
	STEP_SAVE,
	STEP_PLAN, /* waits for what would change and which brakes trip */
	STEP_APPLY,
	STEP_BACK, /* a brake: back to before the plan */
	STEP_REFUSE,
	STEP_COMMIT,
	STEP_WAKE,    /* the service looks at what is pending again */
	STEP_ABANDON, /* rolls back: a plan, a busy or stale run, a failure */
	STEP_CLOSE,   /* records how the run ended */
	STEP_TELL,    /* the fetch failed: the audit channel is told */
	STEP_END,
};

struct sync {
	struct call call;
	struct db *db;
	const struct store_sync *sync; /* lent */
	struct db_session *session;
	struct call *running;
	enum step step;
	char run[24];
	struct sync_rows rows;
	json_t *value;
	struct err err; /* the first failure */
	store_sync_fn done;
	void *data;
};

static void on_answer(void *data, const struct db_answer *answer, const struct err *err);
static void on_plain(void *data, const struct err *err);
static void enter(struct sync *sync, enum step step);

#define APPLY                                                                                      \
	"SELECT dir.sync_apply($1::bigint, $2::jsonb, $4::timestamptz, $5, $3, $6, $7::text[])"
/* Joins of a million rows, once a quarter of an hour, on one connection.  Never by nested loops:
 * after a load that was rolled back the statistics say that a table full of dead rows is empty. */
#define BEGIN                                                                                      \
	"BEGIN; SET LOCAL work_mem = '128MB'; SET LOCAL temp_buffers = '128MB'; "                  \
	"SET LOCAL jit = off; SET LOCAL enable_nestloop = off"
#define REFUSE "SELECT dir.sync_refuse($1::bigint, $2::jsonb, $3)"
#define OPEN "SELECT dir.sync_open($1, $2, $3::text[], $4::interval, $5, $6, $7::jsonb)"
#define TELL "SELECT ops.owe_sync($1::bigint, $2)"

/* clang-format off */
static const struct {
	const char *script;	/* or */
	const char *sql;	/* one statement, with parameters of its own */
	enum step next;
} steps[] = {
	[STEP_CONNECT]	= { NULL, NULL, STEP_OPEN },
	[STEP_DRY]	= { BEGIN, NULL, STEP_OPEN },
	[STEP_OPEN]	= { NULL, OPEN, STEP_BEGIN },
	[STEP_FRESH]	= { NULL, "SELECT dir.sync_fresh($1::bigint, $2)", STEP_END },
	[STEP_BEGIN]	= { BEGIN, NULL, STEP_STAGE },
	[STEP_STAGE]	= { NULL, "SELECT dir.sync_begin($1::bigint, $2::timestamptz)", STEP_COPY },
	[STEP_COPY]	= { NULL, NULL, STEP_SAVE },
	[STEP_SAVE]	= { "SAVEPOINT plan", NULL, STEP_PLAN },
	[STEP_PLAN]	= { NULL, "SELECT dir.sync_plan($1::bigint)", STEP_APPLY },
	[STEP_APPLY]	= { NULL, APPLY, STEP_COMMIT },
	[STEP_BACK]	= { "ROLLBACK TO SAVEPOINT plan", NULL, STEP_REFUSE },
	[STEP_REFUSE]	= { NULL, REFUSE, STEP_COMMIT },
	[STEP_COMMIT]	= { "COMMIT", NULL, STEP_WAKE },
	[STEP_WAKE]	= { "NOTIFY authz_generation", NULL, STEP_END },
	[STEP_ABANDON]	= { "ROLLBACK", NULL, STEP_CLOSE },
	[STEP_CLOSE]	= { NULL, "SELECT dir.sync_close($1::bigint, $2, $3)", STEP_END },
	[STEP_TELL]	= { NULL, TELL, STEP_END },
	[STEP_END]	= { NULL, NULL, STEP_END },
};
/* clang-format on */

static void sync_free(struct sync *sync)
{
	call_cancel(&sync->running);
	db_session_close(sync->session);
	sync_rows_finish(&sync->rows);
	json_decref(sync->value);
	free(sync);
}

static void on_cancel(struct call *call)
{
	sync_free((struct sync *)call);
}

static void finish(struct sync *sync)
{
	const struct err *err = sync->err.kind == ERR_NONE ? NULL : &sync->err;

	sync->done(sync->data, err == NULL ? sync->value : NULL, err);
	sync_free(sync);
}

static void set_outcome(struct sync *sync, const char *outcome)
{
	json_object_set_new(sync->value, "outcome", json_string(outcome));
}

static bool has_hard_brake(const json_t *plan)
{
	size_t i;
	json_t *brake;

	json_array_foreach(json_object_get(plan, "brakes"), i, brake)
	{
		if (!jget_bool(brake, "hold", false))
			return true;
	}
	return false;
}

static enum step after_plan(struct sync *sync, json_t *plan)
{
	json_object_set(sync->value, "plan", plan);
	if (sync->sync->plan_only) {
		set_outcome(sync, "planned");
		return STEP_ABANDON;
	}
	if (has_hard_brake(plan) && sync->sync->accept == NULL) {
		set_outcome(sync, "refused");
		return STEP_BACK;
	}
	return STEP_APPLY;
}

/* Where the answer leads. */
static enum step branch(struct sync *sync, const char *text)
{
	json_t *json = NULL;
	enum step next = steps[sync->step].next;
	struct err err;

	switch (sync->step) {
	case STEP_OPEN:
		(void)snprintf(sync->run, sizeof(sync->run), "%s", text);
		if (sync->sync->failure != NULL)
			return sync->sync->plan_only ? STEP_ABANDON : STEP_TELL;
		if (sync->sync->directory == NULL)
			return STEP_FRESH;
		return sync->sync->plan_only ? STEP_STAGE : STEP_BEGIN;
	case STEP_FRESH:
		set_outcome(sync, text);
		return next;
	case STEP_CLOSE: /* somebody who accepts a plan reads why it was not taken */
		return sync->err.kind != ERR_NONE && sync->sync->accept == NULL ? STEP_TELL : next;
	case STEP_STAGE:
		if (str_eq(text, "ok"))
			return next;
		set_outcome(sync, text);
		return STEP_ABANDON;
	case STEP_PLAN:
	case STEP_APPLY:
	case STEP_REFUSE:
		json = json_parse(text, strlen(text), JSON_MAX, &err);
		if (json == NULL)
			return next;
		if (sync->step == STEP_PLAN)
			next = after_plan(sync, json);
		else
			json_object_set(sync->value, "result", json);
		if (sync->step == STEP_APPLY)
			set_outcome(sync,
				    jget_bool(json, "changed", false) ? "applied" : "unchanged");
		json_decref(json);
		return next;
	default:
		return next;
	}
}

/* The end of every step that failed: roll back, record, tell. */
static void fail(struct sync *sync, const struct err *err)
{
	bool closing = sync->step >= STEP_ABANDON || sync->step <= STEP_OPEN;

	if (sync->err.kind == ERR_NONE)
		sync->err = *err;
	if (sync->session == NULL || closing || err->kind == ERR_UNCERTAIN ||
	    sync->step == STEP_WAKE)
		finish(sync);
	else
		enter(sync, STEP_ABANDON);
}

static void on_connected(void *data, struct db_session *session, const struct err *err)
{
	struct sync *sync = data;

	sync->running = NULL;
	sync->session = session;
	if (err != NULL)
		fail(sync, err);
	else
		enter(sync, sync->sync->plan_only ? STEP_DRY : STEP_OPEN);
}

static void on_plain(void *data, const struct err *err)
{
	struct sync *sync = data;

	sync->running = NULL;
	if (err != NULL)
		fail(sync, err);
	else if (sync->step == STEP_COPY && ++sync->rows.table < SYNC_TABLES)
		enter(sync, STEP_COPY);
	else
		enter(sync, steps[sync->step].next);
}

static void on_answer(void *data, const struct db_answer *answer, const struct err *err)
{
	struct sync *sync = data;
	const char *text;

	sync->running = NULL;
	if (err != NULL) {
		fail(sync, err);
		return;
	}
	text = db_text(answer->results[0], 0, 0);
	enter(sync, branch(sync, text != NULL ? text : ""));
}

static bool next_rows(void *data, const char **ret_text, size_t *ret_len)
{
	struct sync *sync = data;

	return sync_rows_next(&sync->rows, ret_text, ret_len);
}

static struct call *run(struct sync *sync, const char *const *params, size_t n)
{
	struct db_statement statement = {
		.name = "sync", .sql = steps[sync->step].sql, .n = n, .params = params
	};

	return db_session_run(sync->session, &statement, LONG_MS, on_answer, sync);
}

static struct call *run_open(struct sync *sync)
{
	const struct store_sync *s = sync->sync;
	char *domains = array_text(s->domains, s->n_domains);
	char age[40];
	char *notes = json_text(s->notes);
	const char *params[] = { s->source, s->kind, domains, age, s->failure, s->settings, notes };
	struct call *call;

	(void)snprintf(age, sizeof(age), "%lld milliseconds", (long long)s->fetch_ms);
	call = run(sync, params, 7);
	free(notes);
	free(domains);
	return call;
}

static struct call *run_apply(struct sync *sync)
{
	const struct store_sync *s = sync->sync;
	char *plan = json_text(json_object_get(sync->value, "plan"));
	char *by = array_text(s->by, s->n_by);
	const char *params[] = { sync->run,    plan,      s->channel, s->directory->generated_at,
				 s->validator, s->accept, by };
	struct call *call = run(sync, params, sync->step == STEP_APPLY ? 7 : 3);

	free(plan);
	free(by);
	return call;
}

static struct call *run_close(struct sync *sync)
{
	const char *outcome = jget_str(sync->value, "outcome");
	bool failed = sync->err.kind != ERR_NONE;
	bool stale = !failed && str_eq(outcome, "stale");
	const char *params[] = { sync->run, stale ? "stale" : "failed",
				 failed  ? sync->err.msg
				 : stale ? "a newer snapshot was applied"
					 : "another run was busy" };

	return run(sync, params, 3);
}

static struct call *start(struct sync *sync, enum step step)
{
	const struct store_sync *s = sync->sync;
	const char *staged[] = { sync->run,
				 s->directory != NULL ? s->directory->generated_at : NULL };
	const char *told[] = { sync->run, s->channel };

	if (steps[step].script != NULL)
		return db_session_script(sync->session, steps[step].script, SHORT_MS, on_plain,
					 sync);
	switch (step) {
	case STEP_CONNECT:
		return db_session_open(sync->db, OPEN_MS, on_connected, sync);
	case STEP_OPEN:
		return run_open(sync);
	case STEP_STAGE:
		return run(sync, staged, 2);
	case STEP_FRESH:
	case STEP_TELL:
		return run(sync, told, 2);
	case STEP_COPY:
		sync_rows_begin(&sync->rows, sync->rows.table);
		return db_session_copy(sync->session, sync_rows_sql(sync->rows.table), next_rows,
				       LONG_MS, on_plain, sync);
	case STEP_PLAN:
		return run(sync, staged, 1);
	case STEP_CLOSE:
		return run_close(sync);
	default:
		return run_apply(sync);
	}
}

/* The only place where the step changes. */
static void enter(struct sync *sync, enum step step)
{
	sync->step = step;
	if (step == STEP_CLOSE && sync->sync->plan_only)
		step = sync->step = STEP_END; /* it was rolled back with the rest */
	if (step == STEP_END)
		finish(sync);
	else
		sync->running = start(sync, step);
}

struct call *store_sync_start(struct db *db, const struct store_sync *config, store_sync_fn done,
			      void *data)
{
	struct sync *sync = xcalloc(1, sizeof(*sync));

	assert(config->directory == NULL || config->failure == NULL);
	sync->call.cancel = on_cancel;
	sync->db = db;
	sync->sync = config;
	sync->done = done;
	sync->data = data;
	sync->value = json_object();
	sync_rows_init(&sync->rows, config);
	if (config->failure != NULL) {
		set_outcome(sync, "failed");
		json_object_set_new(sync->value, "error", json_string(config->failure));
	}
	enter(sync, STEP_CONNECT);
	return &sync->call;
}

/* ---- before the fetch ---- */

struct call *store_sync_before(struct db *db, const char *source, const char *settings,
			       store_sync_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, source);
	params_text(&params, settings);
	return store_read_slowly(db, "SELECT dir.sync_before($1, $2)", &params, done, data);
}

/* ---- addresses ---- */

struct call *store_held(struct db *db, store_sync_fn done, void *data)
{
	struct params params = { 0 };

	return store_read(db, NULL, "SELECT dir.held_addresses()", &params, done, data);
}

struct call *store_release_address(struct db *db, const char *address, const char *reason,
				   store_sync_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, address);
	params_text(&params, reason);
	return store_read(db, NULL, "SELECT dir.release_address($1, $2)", &params, done, data);
}
