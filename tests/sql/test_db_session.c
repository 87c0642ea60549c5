/* SPDX-License-Identifier: Apache-2.0 */
/* db: sessions, scripts and COPY, against a real PostgreSQL. */
#include "db_world.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 100000 };

static struct db_session *session;

static void on_session(void *data, struct db_session *opened, const struct err *err)
{
	struct seen *seen = data;

	session = opened;
	seen->n++;
	if (err != NULL) {
		seen->kind = err->kind;
		snprintf(seen->msg, sizeof(seen->msg), "%s", err->msg);
	}
}

static void on_plain(void *data, const struct err *err)
{
	struct seen *seen = data;

	seen->n++;
	if (err != NULL) {
		seen->kind = err->kind;
		snprintf(seen->msg, sizeof(seen->msg), "%s", err->msg);
	}
}

static void open_session(void)
{
	struct seen seen = { 0 };

	create(1);
	session = NULL;
	db_session_open(world.db, 30000, on_session, &seen);
	assert_int_equal(seen.n, 0);
	wait_for(&seen);
	assert_string_equal(seen.msg, "");
	assert_non_null(session);
}

static struct seen run(const char *sql)
{
	struct seen seen = { 0 };
	struct db_statement statement = { .sql = sql };

	db_session_run(session, &statement, 30000, on_done, &seen);
	wait_for(&seen);
	return seen;
}

static struct seen script(const char *sql)
{
	struct seen seen = { 0 };

	db_session_script(session, sql, 30000, on_plain, &seen);
	wait_for(&seen);
	return seen;
}

static void test_session(void **state)
{
	struct seen seen;

	(void)state;
	open_session();
	assert_string_equal(run("SHOW lock_timeout").text, "700ms");
	assert_string_equal(
		script("DROP TABLE IF EXISTS sess; CREATE TABLE sess (n int PRIMARY KEY)").msg, "");
	assert_string_equal(run("BEGIN").msg, "");
	assert_string_equal(run("INSERT INTO sess VALUES (1)").msg, "");
	assert_string_equal(ask("SELECT count(*) FROM sess").text, "0");
	assert_string_equal(run("COMMIT").msg, "");
	assert_string_equal(ask("SELECT count(*) FROM sess").text, "1");
	seen = run("INSERT INTO sess VALUES (1)");
	assert_int_equal(seen.kind, ERR_INVALID);
	assert_string_equal(seen.sqlstate, "23505");
	seen = script("INSERT INTO sess VALUES (2); SELECT 1/0; INSERT INTO sess VALUES (3)");
	assert_int_equal(seen.kind, ERR_INVALID);
	assert_non_null(strstr(seen.msg, "division by zero"));
	assert_string_equal(run("SELECT count(*) FROM sess").text, "1");
	assert_string_equal(run("BEGIN").msg, "");
	assert_string_equal(run("INSERT INTO sess VALUES (9)").msg, "");
	db_session_close(session);
	assert_string_equal(ask("SELECT count(*) FROM sess").text, "1"); /* rolled back */
}

struct rows {
	struct seen seen; /* first: on_plain's */
	int at;
	bool bad;
	char text[64];
};

static bool next_row(void *data, const char **ret_text, size_t *ret_len)
{
	struct rows *rows = data;

	if (rows->at == ROWS)
		return false;
	*ret_len = (size_t)snprintf(rows->text, sizeof(rows->text), "%d\tperson %d\n", rows->at,
				    rows->at);
	if (rows->bad && rows->at == ROWS / 2)
		rows->text[0] = 'x';
	*ret_text = rows->text;
	rows->at++;
	return true;
}

static void test_copy(void **state)
{
	struct rows rows = { .at = 0 }, bad = { .bad = true };
	struct seen beside = { 0 };

	(void)state;
	open_session();
	assert_string_equal(
		script("DROP TABLE IF EXISTS bulk; CREATE TABLE bulk (n int, name text)").msg, "");
	assert_string_equal(run("BEGIN").msg, "");
	db_session_copy(session, "COPY bulk FROM STDIN", next_row, 30000, on_plain, &rows);
	start(&beside, NULL, "SELECT 1", 5000);
	wait_for(&beside);
	wait_for(&rows.seen);
	assert_string_equal(rows.seen.msg, "");
	assert_string_equal(run("COMMIT").msg, "");
	assert_string_equal(run("SELECT count(*) || ' ' || max(n) FROM bulk").text, "100000 99999");
	db_session_copy(session, "COPY bulk FROM STDIN", next_row, 30000, on_plain, &bad);
	wait_for(&bad.seen);
	assert_int_equal(bad.seen.kind, ERR_INVALID);
	assert_non_null(strstr(bad.seen.msg, "invalid input syntax for type integer"));
	assert_string_equal(run("SELECT count(*) FROM bulk").text, "100000");
	db_session_close(session);
}

static void test_session_lost(void **state)
{
	struct seen seen = { 0 };
	struct db_statement slow = { .sql = "SELECT pg_sleep(600)" };
	char text[128];

	(void)state;
	open_session();
	snprintf(text, sizeof(text), "SELECT pg_terminate_backend(%s)",
		 run("SELECT pg_backend_pid()").text);
	good(text);
	seen = run("SELECT 1");
	assert_true(seen.kind == ERR_RETRY || seen.kind == ERR_UNCERTAIN);
	seen = run("SELECT 1");
	assert_int_equal(seen.kind, ERR_RETRY);
	assert_non_null(strstr(seen.msg, "the session was lost earlier"));
	db_session_close(session);
	db_destroy(world.db);
	open_session();
	seen = (struct seen){ 0 };
	db_session_run(session, &slow, 2000, on_done, &seen);
	wait_for(&seen);
	assert_int_equal(seen.kind, ERR_UNCERTAIN);
	assert_non_null(strstr(seen.msg, "no answer within 2000 ms"));
	db_session_close(session);
}

static void test_session_cancel(void **state)
{
	struct seen seen = { 0 };
	struct db_statement slow = { .sql = "SELECT pg_sleep(600)" };
	struct call *call;

	(void)state;
	open_session();
	call = db_session_run(session, &slow, 30000, on_done, &seen);
	call_cancel(&call);
	assert_int_equal(run("SELECT 1").kind, ERR_RETRY);
	db_session_close(session);
	call = db_session_open(world.db, 30000, on_session, &seen);
	call_cancel(&call);
	call = db_session_open(world.db, 30000, on_session, &seen);
	once();
	once();
	call_cancel(&call);
	assert_int_equal(seen.n, 0);
}

static void test_session_not_opened(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	create_full("postgresql://owner:wrong@127.0.0.1:1/postgres", 1, 0, NULL);
	db_session_open(world.db, 2000, on_session, &seen);
	wait_for(&seen);
	assert_int_equal(seen.kind, ERR_RETRY);
	assert_null(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_session),
		TEST(test_copy),
		TEST(test_session_lost),
		TEST(test_session_cancel),
		TEST(test_session_not_opened),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
