/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate.c - see migrate.h.  Each round is one transaction: lock, read what was applied, check it
 * against the files, apply the first that is missing, record it.  A second run beside this one
 * waits at the lock and then finds nothing left to do.
 */
#include "store/migrate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "net/db.h"

enum { OPEN_MS = 10000, SHORT_MS = 60000, SCRIPT_MS = 1800000 };

#define LOCK "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('opsd migrate', 0))"

enum step {
	STEP_OPEN,
	STEP_BEGIN,
	STEP_LOOK,
	STEP_LIST,
	STEP_SCRIPT,
	STEP_RECORD,
	STEP_COMMIT,
	STEP_END
};

struct migrate {
	struct call call;
	struct db *db;
	struct db_session *session;
	struct call *running;
	enum step step;
	const struct migration *list;
	size_t n;
	bool plan_only;
	bool first_round;
	const struct migration *next; /* of this round */
	json_t *value;
	store_migrate_fn done;
	void *data;
};

static void enter(struct migrate *migrate, enum step step);

static void migrate_free(struct migrate *migrate)
{
	call_cancel(&migrate->running);
	db_session_close(migrate->session);
	json_decref(migrate->value);
	free(migrate);
}

static void on_cancel(struct call *call)
{
	migrate_free((struct migrate *)call);
}

static void finish(struct migrate *migrate, const struct err *err)
{
	migrate->running = NULL;
	migrate->done(migrate->data, err == NULL ? migrate->value : NULL, err);
	migrate_free(migrate);
}

static void fail(struct migrate *migrate, const struct err *err)
{
	struct err copy = *err;

	if (migrate->next != NULL)
		err_prefix(&copy, "migration %s", migrate->next->name);
	finish(migrate, &copy);
}

static const struct migration *find(const struct migrate *migrate, int64_t number)
{
	for (size_t i = 0; i < migrate->n; i++) {
		if (migrate->list[i].number == number)
			return &migrate->list[i];
	}
	return NULL;
}

/* One applied row against its file. */
static bool check_row(const struct migrate *migrate, const struct db_result *rows, size_t row,
		      struct err *err)
{
	const struct migration *file = find(migrate, db_int(rows, row, 0));
	const char *name = db_text(rows, row, 1);

	if (file == NULL)
		err_set(err, ERR_INVALID,
			"the database has %s, which this program does not know: use a newer opsd",
			name);
	else if (!str_eq(file->sha256, db_text(rows, row, 2)))
		err_set(err, ERR_INVALID,
			"%s was applied with another content (%.12s…, this program has %.12s…): an "
			"applied file never "
			"changes, add a new one",
			name, db_text(rows, row, 2), file->sha256);
	else
		return true;
	return false;
}

static bool applied(const struct db_result *rows, int number)
{
	for (size_t i = 0; rows != NULL && i < db_rows(rows); i++) {
		if (db_int(rows, i, 0) == number)
			return true;
	}
	return false;
}

/* The first file that is missing, and none after it that is not. */
static bool pick(struct migrate *migrate, const struct db_result *rows, struct err *err)
{
	migrate->next = NULL;
	for (size_t i = 0; i < migrate->n; i++) {
		const struct migration *file = &migrate->list[i];
		bool is_applied = applied(rows, file->number);

		assert(i == 0 || migrate->list[i - 1].number < file->number);
		if (is_applied && migrate->next != NULL) {
			err_set(err, ERR_INVALID,
				"%s was never applied, but the later %s was: give it a new number",
				migrate->next->name, file->name);
			return false;
		}
		if (!is_applied && migrate->next == NULL)
			migrate->next = file;
		if (migrate->first_round)
			json_array_append_new(
				json_object_get(migrate->value, is_applied ? "applied" : "pending"),
				json_string(file->name));
	}
	migrate->first_round = false;
	return true;
}

/* rows NULL: a database without the table, nothing was applied yet. */
static void decide(struct migrate *migrate, const struct db_result *rows)
{
	struct err err;
	bool good = true;

	for (size_t i = 0; rows != NULL && i < db_rows(rows) && good; i++)
		good = check_row(migrate, rows, i, &err);
	if (!good || !pick(migrate, rows, &err)) {
		migrate->next = NULL;
		fail(migrate, &err);
		return;
	}
	enter(migrate, migrate->next == NULL || migrate->plan_only ? STEP_END : STEP_SCRIPT);
}

static void on_open(void *data, struct db_session *session, const struct err *err)
{
	struct migrate *migrate = data;

	migrate->running = NULL;
	migrate->session = session;
	if (err != NULL)
		fail(migrate, err);
	else
		enter(migrate, STEP_BEGIN);
}

static void on_plain(void *data, const struct err *err)
{
	struct migrate *migrate = data;

	migrate->running = NULL;
	if (err != NULL) {
		fail(migrate, err);
	} else if (migrate->step == STEP_COMMIT) {
		json_array_append_new(json_object_get(migrate->value, "done"),
				      json_string(migrate->next->name));
		migrate->next = NULL;
		enter(migrate, STEP_BEGIN);
	} else {
		enter(migrate, migrate->step + 1);
	}
}

static void on_answer(void *data, const struct db_answer *answer, const struct err *err)
{
	struct migrate *migrate = data;

	migrate->running = NULL;
	if (err != NULL)
		fail(migrate, err);
	else if (migrate->step == STEP_LIST)
		decide(migrate, answer->results[0]);
	else if (migrate->step == STEP_LOOK && !db_bool(answer->results[0], 0, 0))
		decide(migrate, NULL);
	else
		enter(migrate, migrate->step + 1);
}

static struct call *record(struct migrate *migrate)
{
	char number[16];
	const char *params[] = { number, migrate->next->name, migrate->next->sha256 };
	struct db_statement statement = {
		.name = "record",
		.sql = "INSERT INTO ops.migration (number, name, sha256) VALUES ($1, $2, $3)",
		.n = 3,
		.params = params
	};

	(void)snprintf(number, sizeof(number), "%d", migrate->next->number);
	return db_session_run(migrate->session, &statement, SHORT_MS, on_answer, migrate);
}

static void enter(struct migrate *migrate, enum step step)
{
	static const struct db_statement look = {
		.name = "look", .sql = "SELECT to_regclass('ops.migration') IS NOT NULL"
	};
	static const struct db_statement list = {
		.name = "list",
		.sql = "SELECT number, name, sha256 FROM ops.migration ORDER BY number"
	};
	struct db_session *session = migrate->session;

	migrate->step = step;
	switch (step) {
	case STEP_OPEN:
		migrate->running = db_session_open(migrate->db, OPEN_MS, on_open, migrate);
		return;
	case STEP_BEGIN:
		migrate->running = db_session_script(session, migrate->plan_only ? "BEGIN" : LOCK,
						     SCRIPT_MS, on_plain, migrate);
		return;
	case STEP_LOOK:
		migrate->running = db_session_run(session, &look, SHORT_MS, on_answer, migrate);
		return;
	case STEP_LIST:
		migrate->running = db_session_run(session, &list, SHORT_MS, on_answer, migrate);
		return;
	case STEP_SCRIPT:
		migrate->running = db_session_script(session, migrate->next->sql, SCRIPT_MS,
						     on_plain, migrate);
		return;
	case STEP_RECORD:
		migrate->running = record(migrate);
		return;
	case STEP_COMMIT:
		migrate->running =
			db_session_script(session, "COMMIT", SHORT_MS, on_plain, migrate);
		return;
	case STEP_END:
		migrate->next = NULL;
		finish(migrate, NULL);
		return;
	}
}

struct call *store_migrate_start(struct db *db, const struct migration *list, size_t n,
				 bool plan_only, store_migrate_fn done, void *data)
{
	struct migrate *migrate = xcalloc(1, sizeof(*migrate));

	*migrate = (struct migrate){ .call = { .cancel = on_cancel },
				     .db = db,
				     .list = list,
				     .n = n,
				     .plan_only = plan_only,
				     .first_round = true,
				     .value = json_pack("{s:[],s:[],s:[]}", "applied", "pending",
							"done"),
				     .done = done,
				     .data = data };
	enter(migrate, STEP_OPEN);
	return &migrate->call;
}
