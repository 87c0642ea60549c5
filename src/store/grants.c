/* SPDX-License-Identifier: Apache-2.0 */
/* grants.c - see grants.h; the SQL stands in sql/migrations/0011_grants.sql. */
#include "store/grants.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "net/db.h"

#include "array.h"

enum { OPEN_MS = 10000, SHORT_MS = 60000, LONG_MS = 300000, JSON_MAX = 32 << 20 };

enum step {
	STEP_CONNECT,
	STEP_BEGIN,
	STEP_PLAN,    /* waits for what would change */
	STEP_APPLY,   /* waits for the new revision */
	STEP_APPROVE, /* waits for the word to be on record */
	STEP_COMMIT,
	STEP_WAKE,    /* the service decides again what is pending */
	STEP_ABANDON, /* nothing was changed */
	STEP_LIST,    /* waits for the list: the only step of it */
	STEP_END,
};

struct granting {
	struct call call;
	struct db *db;
	const struct store_grants *grants; /* lent; NULL: a list */
	struct db_session *session;
	struct call *running;
	enum step step;
	json_t *value;
	store_grants_fn done;
	void *data;
};

#define APPLY "SELECT authz.grants_apply($1::jsonb, $2, $3::boolean, $4, $5::text[])"

/* clang-format off */
static const struct {
	const char *script, *sql;
	enum step next;
} steps[] = {
	[STEP_CONNECT]	= { NULL, NULL, STEP_BEGIN },
	[STEP_BEGIN]	= { "BEGIN", NULL, STEP_PLAN },
	[STEP_PLAN]	= { NULL, "SELECT authz.grants_plan($1::jsonb, $2::jsonb)", STEP_APPLY },
	[STEP_APPLY]	= { NULL, APPLY, STEP_COMMIT },
	[STEP_APPROVE]	= { NULL, "SELECT authz.grants_approve($1::jsonb, $2)", STEP_COMMIT },
	[STEP_COMMIT]	= { "COMMIT", NULL, STEP_WAKE },
	[STEP_WAKE]	= { "NOTIFY authz_generation", NULL, STEP_END },
	[STEP_ABANDON]	= { "ROLLBACK", NULL, STEP_END },
	[STEP_LIST]	= { NULL, "SELECT authz.grants_list()", STEP_END },
	[STEP_END]	= { NULL, NULL, STEP_END },
};
/* clang-format on */

static void enter(struct granting *granting, enum step step);

static void granting_free(struct granting *granting)
{
	call_cancel(&granting->running);
	db_session_close(granting->session);
	json_decref(granting->value);
	free(granting);
}

static void on_cancel(struct call *call)
{
	granting_free((struct granting *)call);
}

static void finish(struct granting *granting, const struct err *err)
{
	granting->done(granting->data, err == NULL ? granting->value : NULL, err);
	granting_free(granting);
}

static void set_outcome(struct granting *granting, const char *outcome)
{
	json_object_set_new(granting->value, "outcome", json_string(outcome));
}

static enum step after_plan(struct granting *granting, json_t *plan)
{
	const struct store_grants *grants = granting->grants;
	bool problems = json_array_size(json_object_get(plan, "problems")) > 0;
	bool brakes = json_array_size(json_object_get(plan, "brakes")) > 0;
	bool alone = json_array_size(json_object_get(plan, "dangerous")) > 0 &&
		     jget_str(plan, "approved_by") == NULL;

	json_object_set(granting->value, "plan", plan);
	json_object_set(granting->value, "revision", json_object_get(plan, "base"));
	if (problems || (grants->apply && ((brakes && !grants->accept) || alone))) {
		set_outcome(granting, "refused");
		return STEP_ABANDON;
	}
	if (grants->approve) {
		set_outcome(granting, "approved");
		return STEP_APPROVE;
	}
	if (!grants->apply) {
		set_outcome(granting, "planned");
		return STEP_ABANDON;
	}
	set_outcome(granting, jget_int(plan, "changes", 0) > 0 ? "applied" : "unchanged");
	return STEP_APPLY;
}

static void on_connected(void *data, struct db_session *session, const struct err *err)
{
	struct granting *granting = data;

	granting->running = NULL;
	granting->session = session;
	if (err != NULL)
		finish(granting, err);
	else
		enter(granting, granting->grants != NULL ? STEP_BEGIN : STEP_LIST);
}

static void on_plain(void *data, const struct err *err)
{
	struct granting *granting = data;

	granting->running = NULL;
	if (err != NULL && granting->step != STEP_WAKE) /* the sweep finds it too */
		finish(granting, err);
	else
		enter(granting, steps[granting->step].next);
}

static void on_answer(void *data, const struct db_answer *answer, const struct err *err)
{
	struct granting *granting = data;
	const char *text = err == NULL ? db_text(answer->results[0], 0, 0) : NULL;
	struct err wrong;
	json_t *json = NULL;

	granting->running = NULL;
	if (err != NULL) {
		finish(granting, err);
		return;
	}
	if (granting->step == STEP_APPLY || granting->step == STEP_APPROVE) {
		json_object_set_new(granting->value, "revision",
				    json_integer(db_int(answer->results[0], 0, 0)));
		enter(granting, STEP_COMMIT);
		return;
	}
	json = json_parse(text != NULL ? text : "", text != NULL ? strlen(text) : 0, JSON_MAX,
			  &wrong);
	if (json == NULL) {
		finish(granting, &wrong);
	} else if (granting->step == STEP_PLAN) {
		enter(granting, after_plan(granting, json));
	} else {
		json_object_update(granting->value, json);
		enter(granting, STEP_END);
	}
	json_decref(json);
}

static struct call *run(struct granting *granting, const char *const *params, size_t n)
{
	struct db_statement statement = {
		.name = "grants", .sql = steps[granting->step].sql, .n = n, .params = params
	};

	return db_session_run(granting->session, &statement, LONG_MS, on_answer, granting);
}

static struct call *run_plan(struct granting *granting)
{
	char *rows = json_text(granting->grants->rows);
	char *actions = json_text(granting->grants->actions);
	const char *params[] = { rows, actions };
	struct call *call = run(granting, params, 2);

	free(rows);
	free(actions);
	return call;
}

static struct call *run_apply(struct granting *granting)
{
	const struct store_grants *grants = granting->grants;
	char *plan = json_text(json_object_get(granting->value, "plan"));
	char *by = array_text(grants->reviewed_by, grants->n_reviewed_by);
	const char *params[] = { plan, grants->plan, grants->accept ? "t" : "f",
				 grants->commit != NULL ? grants->commit : "", by };
	struct call *call = run(granting, params, 5);

	free(plan);
	free(by);
	return call;
}

static struct call *run_approve(struct granting *granting)
{
	char *plan = json_text(json_object_get(granting->value, "plan"));
	const char *params[] = { plan, granting->grants->plan };
	struct call *call = run(granting, params, 2);

	free(plan);
	return call;
}

static struct call *start(struct granting *granting, enum step step)
{
	if (steps[step].script != NULL)
		return db_session_script(granting->session, steps[step].script, SHORT_MS, on_plain,
					 granting);
	switch (step) {
	case STEP_CONNECT:
		return db_session_open(granting->db, OPEN_MS, on_connected, granting);
	case STEP_PLAN:
		return run_plan(granting);
	case STEP_APPLY:
		return run_apply(granting);
	case STEP_APPROVE:
		return run_approve(granting);
	default:
		return run(granting, NULL, 0);
	}
}

/* The only place where the step changes. */
static void enter(struct granting *granting, enum step step)
{
	granting->step = step;
	if (step == STEP_END)
		finish(granting, NULL);
	else
		granting->running = start(granting, step);
}

static struct granting *granting_new(struct db *db, const struct store_grants *grants,
				     store_grants_fn done, void *data)
{
	struct granting *granting = xcalloc(1, sizeof(*granting));

	*granting = (struct granting){ .call = { .cancel = on_cancel },
				       .db = db,
				       .grants = grants,
				       .value = json_object(),
				       .done = done,
				       .data = data };
	enter(granting, STEP_CONNECT);
	return granting;
}

struct call *store_grants_start(struct db *db, const struct store_grants *grants,
				store_grants_fn done, void *data)
{
	assert((!grants->accept && !grants->approve) || grants->plan != NULL);
	return &granting_new(db, grants, done, data)->call;
}

struct call *store_grants_list(struct db *db, store_grants_fn done, void *data)
{
	return &granting_new(db, NULL, done, data)->call;
}
