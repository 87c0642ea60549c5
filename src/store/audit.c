/* SPDX-License-Identifier: Apache-2.0 */
/* audit.c - readers: each is one SQL function that answers with one JSON text. */
#include "store/audit.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/xalloc.h"
#include "store_internal.h"

enum { READ_MS = 10 * 1000, SLOW_MS = 60 * 1000, READ_MAX = 64 << 20, TICK_MAX = 50 };

struct reading {
	struct call call;
	struct call *inner;
	store_json_fn done;
	void *data;
};

static void reading_cancel(struct call *call)
{
	struct reading *reading = (struct reading *)call;

	call_cancel(&reading->inner);
	free(reading);
}

static void on_answer(void *data, const struct db_answer *answer, const struct err *err)
{
	struct reading *reading = data;
	store_json_fn done = reading->done;
	void *done_data = reading->data;
	const char *text;
	json_t *value = NULL;
	struct err mine;

	free(reading);
	if (err != NULL) {
		store_db_err(answer, err, &mine);
		err = &mine;
	} else {
		text = db_rows(answer->results[0]) > 0 ? db_text(answer->results[0], 0, 0) : NULL;
		value = text != NULL ? json_parse(text, strlen(text), READ_MAX, &mine)
				     : json_null();
		if (value == NULL)
			err = &mine;
	}
	done(done_data, value, err);
	json_decref(value);
}

static struct call *read_within(unsigned ms, struct db *db, const struct db_statement *statement,
				store_json_fn done, void *data)
{
	struct reading *reading = xcalloc(1, sizeof(*reading));

	reading->call.cancel = reading_cancel;
	reading->done = done;
	reading->data = data;
	reading->inner = db_start(db, statement, 1, ms, on_answer, reading);
	return &reading->call;
}

struct call *store_read(struct db *db, const char *name, const char *sql, struct params *params,
			store_json_fn done, void *data)
{
	const struct db_statement statement = {
		.name = name, .sql = sql, .n = params->n, .params = params->values
	};
	struct call *call = read_within(READ_MS, db, &statement, done, data);

	params_finish(params);
	return call;
}

struct call *store_read_slowly(struct db *db, const char *sql, struct params *params,
			       store_json_fn done, void *data)
{
	const struct db_statement statement = { .sql = sql,
						.n = params->n,
						.params = params->values };
	struct call *call = read_within(SLOW_MS, db, &statement, done, data);

	params_finish(params);
	return call;
}

struct call *store_audit_list(struct db *db, const json_t *filter, unsigned limit,
			      store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, jget_str(filter, "request"));
	params_text(&params, jget_str(filter, "person"));
	params_text(&params, jget_str(filter, "action"));
	params_text(&params, jget_str(filter, "since"));
	params_text(&params, jget_str(filter, "outcome"));
	params_int(&params, limit);
	return store_read(db, "ops_audit_list", "SELECT ops.audit_list($1, $2, $3, $4, $5, $6)",
			  &params, done, data);
}

struct call *store_explain(struct db *db, const char *person, const char *action,
			   const json_t *scope, store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, person);
	params_text(&params, action);
	params_json(&params, scope);
	return store_read(db, "ops_explain", "SELECT ops.explain_request($1, $2, $3)", &params,
			  done, data);
}

struct call *store_tell(struct store *store, const json_t *question, store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_json(&params, question);
	params_text(&params, store->observer);
	return store_read(store->work, "ops_tell", "SELECT ops.tell($1, $2)", &params, done, data);
}

struct call *store_access_tick(struct store *store, store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, store->observer);
	params_int(&params, TICK_MAX);
	return store_read(store->work, "ops_access_tick", "SELECT to_json(ops.access_tick($1, $2))",
			  &params, done, data);
}

struct call *store_acting(struct db *db, int64_t person, const char *slack_user, store_json_fn done,
			  void *data)
{
	struct params params = { 0 };

	params_int(&params, person);
	params_text(&params, slack_user);
	return store_read(db, "ops_acting", "SELECT ops.acting($1, $2)", &params, done, data);
}

struct call *store_may(struct db *db, const char *team, const char *user, store_json_fn done,
		       void *data)
{
	struct params params = { 0 };

	params_text(&params, team);
	params_text(&params, user);
	return store_read(db, "ops_may", "SELECT ops.may($1, $2)", &params, done, data);
}

struct call *store_deadlocks(struct db *db, const json_t *rules, store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_json(&params, rules);
	return store_read(db, "ops_deadlocks",
			  "SELECT coalesce(json_agg(x), '[]') FROM ops.approval_deadlocks($1) x",
			  &params, done, data);
}

struct call *store_health(struct db *db, store_json_fn done, void *data)
{
	struct params params = { 0 };

	return store_read(db, "ops_health", "SELECT ops.health()", &params, done, data);
}
