/* SPDX-License-Identifier: Apache-2.0 */
/* db: jobs, groups, refusals, bounds and cancelling, against a real PostgreSQL. */
#include "db_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

static void test_one(void **state)
{
	const char *params[] = { "41", NULL };
	struct db_statement statement = { .name = "sum",
					  .sql = "SELECT $1::int + 1 AS n, $2::text IS NULL, true",
					  .n = 2,
					  .params = params };
	struct seen seen = { 0 };

	(void)state;
	create(1);
	assert_false(db_up(world.db));
	db_start(world.db, &statement, 1, 30000, on_done, &seen);
	params[0] = "7"; /* it was copied */
	assert_int_equal(seen.n, 0);
	wait_for(&seen);
	assert_string_equal(seen.msg, "");
	assert_string_equal(seen.text, "42");
	assert_true(db_up(world.db));
	assert_string_equal(db_last_error(world.db), "");
	assert_string_equal(ask("SHOW lock_timeout").text, "700ms");
	assert_string_equal(ask("SHOW client_encoding").text, "UTF8");
	assert_string_equal(ask("SHOW application_name").text, "opsd-test");
}

static void test_pipelined_in_order(void **state)
{
	struct seen seen[200] = { 0 };

	(void)state;
	create(1);
	for (size_t i = 0; i < 200; i++) {
		char text[8];
		const char *params[] = { text };
		struct db_statement statement = { .name = i % 2 ? "odd" : "even",
						  .sql = "SELECT $1::int",
						  .n = 1,
						  .params = params };

		snprintf(text, sizeof(text), "%d", (int)i);
		db_start(world.db, &statement, 1, 30000, on_done, &seen[i]);
	}
	for (size_t i = 0; i < 200; i++) {
		char text[8];

		wait_for(&seen[i]);
		snprintf(text, sizeof(text), "%d", (int)i);
		assert_string_equal(seen[i].text, text);
		assert_int_equal(seen[i].order, (int)i + 1);
	}
	assert_int_equal(db_stats(world.db)->in_flight, 0);
	assert_int_equal(db_stats(world.db)->queued, 0);
}

/* What comes while one connection is busy goes to another one. */
static void test_idle_connection(void **state)
{
	struct seen slow = { 0 }, quick = { 0 };

	(void)state;
	create(2);
	wait_up(2);
	start(&slow, NULL, "SELECT pg_sleep(600)", 600000);
	wait_in_flight(1);
	start(&quick, NULL, "SELECT 1", 30000);
	wait_for(&quick);
	assert_int_equal(slow.n, 0);
}

static void test_job_is_one_transaction(void **state)
{
	struct db_statement group[] = {
		{ .name = "g1", .sql = "INSERT INTO grouped VALUES (1)" },
		{ .name = "g2", .sql = "SELECT count(*) FROM grouped" },
		{ .name = "g3", .sql = "INSERT INTO grouped VALUES (1)" },
		{ .name = "g4", .sql = "SELECT 'unreached'" },
	};
	struct seen seen = { 0 }, after = { 0 };

	(void)state;
	create(1);
	good("DROP TABLE IF EXISTS grouped");
	good("CREATE TABLE grouped (n int PRIMARY KEY)");
	for (int i = 0; i < 2; i++) { /* freshly prepared, then prepared already */
		seen = after = (struct seen){ 0 };
		db_start(world.db, group, 4, 30000, on_done, &seen);
		start(&after, "g4", "SELECT 'unreached'", 30000);
		wait_for(&after);
		assert_int_equal(seen.n, 1);
		assert_int_equal(seen.kind, ERR_INVALID);
		assert_string_equal(seen.sqlstate, "23505");
		assert_non_null(strstr(seen.msg, "\"g3\""));
		assert_non_null(strstr(seen.msg, "duplicate key"));
		assert_int_equal(seen.answered, 2);
		assert_string_equal(seen.text, "1");
		assert_string_equal(after.text, "unreached"); /* the next job is not touched */
		assert_string_equal(ask("SELECT count(*) FROM grouped").text, "0");
	}
}

/* What waits at the same time is one transaction. */
static void test_jobs_share_a_transaction(void **state)
{
	struct seen seen[40] = { 0 };
	int same = 0;

	(void)state;
	create(1);
	wait_up(1);
	for (size_t i = 0; i < 40; i++)
		start(&seen[i], "xid", "SELECT pg_current_xact_id()", 30000);
	for (size_t i = 0; i < 40; i++)
		wait_for(&seen[i]);
	for (size_t i = 1; i < 40; i++)
		same += strcmp(seen[i].text, seen[i - 1].text) == 0;
	assert_int_equal(same, 40 - 3); /* of 16, 16 and 8 */
}

/* One job of a group is refused: the others are done, once each, and in order. */
static void test_refused_within_a_group(void **state)
{
	struct seen seen[5] = { 0 }, gone = { 0 };
	struct call *call;

	(void)state;
	create(1);
	good("DROP TABLE IF EXISTS shared");
	good("CREATE TABLE shared (n int, at serial)");
	call = start(&gone, "ins9", "INSERT INTO shared VALUES (9)", 30000);
	start(&seen[0], "ins0", "INSERT INTO shared VALUES (0)", 30000);
	start(&seen[1], "ins1", "INSERT INTO shared VALUES (1) RETURNING 'one'", 30000);
	start(&seen[2], "bad", "SELECT 1/0", 30000);
	start(&seen[3], "worse", "SELECT no_such_column", 30000);
	start(&seen[4], "ins4", "INSERT INTO shared VALUES (4)", 30000);
	cancel_in_flight(&call); /* it is not sent a second time */
	for (size_t i = 0; i < 5; i++)
		wait_for(&seen[i]);
	assert_int_equal(seen[0].kind, ERR_NONE);
	assert_string_equal(seen[1].text, "one");
	assert_string_equal(seen[2].sqlstate, "22012");
	assert_string_equal(seen[3].sqlstate, "42703");
	assert_int_equal(seen[4].kind, ERR_NONE);
	assert_string_equal(ask("SELECT string_agg(n::text, ',' ORDER BY at) FROM shared").text,
			    "0,1,4");
	assert_string_equal(ask("SELECT count(DISTINCT xmin::text) FROM shared").text, "3");
	for (size_t i = 1; i < 5; i++)
		assert_int_equal(seen[i].order, seen[i - 1].order + 1);
}

/* A constraint that is only checked at the commit: the answers were good, the Sync is not. */
static void test_refused_at_commit(void **state)
{
	struct seen seen = { 0 }, after = { 0 };

	(void)state;
	create(1);
	good("DROP TABLE IF EXISTS late");
	good("CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
	start(&seen, "late", "INSERT INTO late VALUES (1), (1)", 30000);
	start(&after, NULL, "SELECT 5", 30000);
	wait_for(&after);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.kind, ERR_INVALID);
	assert_string_equal(seen.sqlstate, "23505");
	assert_string_equal(after.text, "5");
	assert_string_equal(ask("SELECT count(*) FROM late").text, "0");
}

static void test_bad_statement_is_prepared_again(void **state)
{
	struct seen seen = { 0 }, again = { 0 };

	(void)state;
	create(1);
	good("DROP TABLE IF EXISTS later");
	start(&seen, "later", "SELECT count(*) FROM later", 30000);
	wait_for(&seen);
	assert_int_equal(seen.kind, ERR_INVALID);
	assert_string_equal(seen.sqlstate, "42P01");
	assert_non_null(strstr(seen.msg, "relation \"later\" does not exist"));
	good("CREATE TABLE later (n int)");
	start(&again, "later", "SELECT count(*) FROM later", 30000);
	wait_for(&again);
	assert_string_equal(again.text, "0");
}

/* A migration beside a running service: the plan of a prepared statement no longer fits. */
static void test_stale_plan_is_retried_on_a_new_connection(void **state)
{
	struct seen first = { 0 }, stale = { 0 }, again = { 0 };
	uint64_t before;

	(void)state;
	create(1);
	good("DROP TABLE IF EXISTS changed");
	good("CREATE TABLE changed (a int)");
	start(&first, "star", "SELECT * FROM changed", 30000);
	wait_for(&first);
	good("ALTER TABLE changed ADD b int");
	start(&stale, "star", "SELECT * FROM changed", 30000);
	before = db_stats(world.db)->reconnects;
	wait_for(&stale);
	assert_int_equal(stale.kind, ERR_RETRY);
	assert_int_equal(db_stats(world.db)->reconnects, before + 1);
	start(&again, "star", "SELECT * FROM changed", 30000);
	wait_for(&again);
	assert_string_equal(again.msg, "");
}

static void test_kinds_of_refusal(void **state)
{
	(void)state;
	create(1);
	assert_int_equal(ask("SELECT 1/0").kind, ERR_INVALID);
	assert_int_equal(
		ask("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$").kind,
		ERR_RETRY);
	assert_int_equal(
		ask("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$").kind,
		ERR_RETRY);
}

/* on_connect has set lock_timeout. */
static void test_waiting_for_a_lock(void **state)
{
	struct db_statement holds[] = { { .sql = "SELECT pg_advisory_xact_lock(7)" },
					{ .sql = "SELECT pg_sleep(600)" } };
	struct seen holder = { 0 }, waits = { 0 };

	(void)state;
	create(2);
	wait_up(2);
	db_start(world.db, holds, 2, 600000, on_done, &holder);
	wait_in_flight(1);
	while (strcmp(ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").text, "1") !=
	       0)
		;
	start(&waits, NULL, "SELECT pg_advisory_xact_lock(7)", 30000);
	wait_for(&waits);
	assert_int_equal(waits.kind, ERR_RETRY);
	assert_string_equal(waits.sqlstate, "55P03");
	assert_int_equal(holder.n, 0);
}

static void test_big_parameter(void **state)
{
	size_t len = 8 << 20;
	char *big = xmalloc(len + 1);
	const char *params[] = { big };
	struct db_statement statement = { .sql = "SELECT length($1::text)",
					  .n = 1,
					  .params = params };
	struct seen seen = { 0 }, too_big = { 0 };

	(void)state;
	memset(big, 'x', len);
	big[len] = '\0';
	create(1);
	db_start(world.db, &statement, 1, 30000, on_done, &seen);
	wait_for(&seen);
	assert_string_equal(seen.text, "8388608");
	free(big);
	big = xmalloc(17 << 20);
	memset(big, 'x', 17 << 20);
	big[(17 << 20) - 1] = '\0';
	params[0] = big;
	db_start(world.db, &statement, 1, 30000, on_done, &too_big);
	assert_int_equal(too_big.n, 0);
	wait_for(&too_big);
	assert_int_equal(too_big.kind, ERR_INVALID);
	free(big);
}

static void test_queue_bound(void **state)
{
	struct seen seen[4] = { 0 };

	(void)state;
	create_full(url(), 1, 2, NULL); /* not connected yet: two wait, the rest is refused */
	for (size_t i = 0; i < 4; i++)
		start(&seen[i], NULL, "SELECT 1", 30000);
	assert_int_equal(seen[2].n + seen[3].n, 0);
	wait_for(&seen[2]);
	wait_for(&seen[3]);
	assert_int_equal(seen[2].kind, ERR_RETRY);
	assert_int_equal(seen[3].kind, ERR_RETRY);
	wait_for(&seen[1]);
	assert_int_equal(seen[0].kind, ERR_NONE);
	assert_int_equal(seen[1].kind, ERR_NONE);
}

static void test_cancel_in_each_phase(void **state)
{
	struct seen seen = { 0 }, last = { 0 };
	struct call *call;

	(void)state;
	create_full(url(), 1, 3, NULL);
	call = start(&seen, NULL, "SELECT 'queued'", 30000);
	call_cancel(&call);
	wait_up(1);
	call = start(&seen, NULL, "SELECT 'in flight'", 30000);
	cancel_in_flight(&call);
	start(&last, NULL, "SELECT 'last'", 30000);
	wait_for(&last);
	assert_string_equal(last.text, "last");
	for (int i = 0; i < 11; i++)
		start(&last, NULL, "SELECT 1", 30000);
	call = start(&seen, NULL, "SELECT 'one too many'", 30000);
	call_cancel(&call);
	while (last.n < 12)
		once();
	assert_int_equal(seen.n, 0);
}

static void test_destroy_ends_silently(void **state)
{
	struct seen seen[20] = { 0 };

	(void)state;
	create(1);
	wait_up(1);
	for (size_t i = 0; i < 20; i++)
		start(&seen[i], NULL, "SELECT pg_sleep(600)", 600000);
	wait_in_flight(1);
	db_destroy(world.db);
	world.db = NULL;
	for (int i = 0; i < 5; i++)
		uv_run(&world.loop, UV_RUN_NOWAIT);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(seen[i].n, 0);
}

static void on_done_destroy(void *data, const struct db_answer *answer, const struct err *err)
{
	on_done(data, answer, err);
	db_destroy(world.db);
	world.db = NULL;
}

static void test_destroy_within_done(void **state)
{
	struct db_statement one = { .sql = "SELECT 1" };
	struct seen first = { 0 }, other = { 0 };

	(void)state;
	create(1);
	wait_up(1);
	db_start(world.db, &one, 1, 30000, on_done_destroy, &first);
	db_start(world.db, &one, 1, 30000, on_done, &other);
	wait_for(&first);
	assert_int_equal(other.n, 0);
}

/* Within the end of a job that failed with its connection. */
static void test_destroy_within_failure(void **state)
{
	struct db_statement slow = { .sql = "SELECT pg_sleep(600)" };
	struct seen first = { 0 }, other = { 0 };

	(void)state;
	create(1);
	wait_up(1);
	db_start(world.db, &slow, 1, 2000, on_done_destroy, &first);
	db_start(world.db, &slow, 1, 2000, on_done, &other);
	wait_for(&first);
	assert_int_equal(first.kind, ERR_UNCERTAIN);
	assert_int_equal(other.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one),
		TEST(test_pipelined_in_order),
		TEST(test_idle_connection),
		TEST(test_job_is_one_transaction),
		TEST(test_jobs_share_a_transaction),
		TEST(test_refused_within_a_group),
		TEST(test_refused_at_commit),
		TEST(test_bad_statement_is_prepared_again),
		TEST(test_stale_plan_is_retried_on_a_new_connection),
		TEST(test_kinds_of_refusal),
		TEST(test_waiting_for_a_lock),
		TEST(test_big_parameter),
		TEST(test_queue_bound),
		TEST(test_cancel_in_each_phase),
		TEST(test_destroy_ends_silently),
		TEST(test_destroy_within_done),
		TEST(test_destroy_within_failure),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
