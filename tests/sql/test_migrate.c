/* SPDX-License-Identifier: Apache-2.0 */
/* migrate: order, one transaction each, refusals, two runs at once; and the real migrations. */
#include "db_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "store/migrate.h"

struct ran {
	int n;
	char value[4096];
	char msg[ERR_MSG_MAX];
};

static const struct migration two[] = {
	{ 1, "0001_first.sql", "aa",
	  "CREATE SCHEMA ops; CREATE TABLE ops.migration (number int PRIMARY KEY, name text, "
	  "sha256 text,"
	  " applied_at timestamptz DEFAULT clock_timestamp()); CREATE TABLE made (n int)" },
	{ 2, "0002_second.sql", "bb", "INSERT INTO made VALUES (1); ALTER TABLE made ADD t text" },
	{ 4, "0004_bad.sql", "cc", "INSERT INTO made VALUES (2); SELECT 1/0" },
};

static void on_migrated(void *data, const json_t *value, const struct err *err)
{
	struct ran *ran = data;

	ran->n++;
	if (err != NULL) {
		snprintf(ran->msg, sizeof(ran->msg), "%s", err->msg);
	} else {
		char *text = json_text(value);

		snprintf(ran->value, sizeof(ran->value), "%s", text);
		free(text);
	}
}

static struct ran migrate(const struct migration *list, size_t n, bool plan_only)
{
	struct ran ran = { 0 };

	store_migrate_start(world.db, list, n, plan_only, on_migrated, &ran);
	assert_int_equal(ran.n, 0);
	while (ran.n == 0)
		once();
	return ran;
}

static void clean(void)
{
	wait_alone();
	good("DROP SCHEMA IF EXISTS ops, dir, authz CASCADE");
	good("DROP TABLE IF EXISTS made");
}

static void test_in_order_and_once(void **state)
{
	struct ran ran;

	(void)state;
	create(1);
	clean();
	ran = migrate(two, 2, true);
	assert_string_equal(ran.value, "{\"applied\":[],\"pending\":[\"0001_first.sql\",\"0002_"
				       "second.sql\"],\"done\":[]}");
	assert_string_equal(ask("SELECT to_regclass('made') IS NULL").text, "t");
	ran = migrate(two, 1, false);
	assert_string_equal(
		ran.value,
		"{\"applied\":[],\"pending\":[\"0001_first.sql\"],\"done\":[\"0001_first.sql\"]}");
	ran = migrate(two, 2, false);
	assert_string_equal(ran.value, "{\"applied\":[\"0001_first.sql\"],\"pending\":[\"0002_"
				       "second.sql\"],\"done\":[\"0002_second.sql\"]}");
	ran = migrate(two, 2, false);
	assert_string_equal(ran.value, "{\"applied\":[\"0001_first.sql\",\"0002_second.sql\"],"
				       "\"pending\":[],\"done\":[]}");
	assert_string_equal(ask("SELECT string_agg(number || name || sha256, ' ' ORDER BY number) "
				"FROM ops.migration")
				    .text,
			    "10001_first.sqlaa 20002_second.sqlbb");
	assert_string_equal(ask("SELECT count(*) FROM made").text, "1");
}

static void test_failing_file_leaves_nothing(void **state)
{
	struct ran ran;

	(void)state;
	create(1);
	clean();
	ran = migrate(two, 3, false);
	assert_non_null(strstr(ran.msg, "migration 0004_bad.sql: "));
	assert_non_null(strstr(ran.msg, "division by zero"));
	assert_string_equal(ask("SELECT max(number) FROM ops.migration").text, "2");
	assert_string_equal(ask("SELECT count(*) FROM made").text, "1");
}

static void test_refusals(void **state)
{
	struct migration list[3];
	struct ran ran;

	(void)state;
	create(1);
	clean();
	memcpy(list, two, sizeof(list));
	migrate(list, 2, false);
	list[0].sha256 = "a1";
	ran = migrate(list, 3, false);
	assert_non_null(strstr(ran.msg, "0001_first.sql was applied with another content"));
	ran = migrate(list + 1, 1, true);
	assert_non_null(strstr(
		ran.msg, "the database has 0001_first.sql, which this program does not know"));
	list[0].sha256 = "aa";
	good("DELETE FROM ops.migration WHERE number = 1");
	ran = migrate(list, 2, false);
	assert_non_null(strstr(
		ran.msg, "0001_first.sql was never applied, but the later 0002_second.sql was"));
}

static void test_two_runs_at_once(void **state)
{
	struct ran a = { 0 }, b = { 0 };

	(void)state;
	create(1);
	clean();
	store_migrate_start(world.db, two, 2, false, on_migrated, &a);
	store_migrate_start(world.db, two, 2, false, on_migrated, &b);
	while (a.n == 0 || b.n == 0)
		once();
	assert_string_equal(a.msg, "");
	assert_string_equal(b.msg, "");
	assert_string_equal(ask("SELECT count(*) FROM made").text, "1");
}

static void test_cancel(void **state)
{
	struct ran ran = { 0 };
	struct call *call;

	(void)state;
	create(1);
	clean();
	wait_up(1);
	call = store_migrate_start(world.db, two, 2, false, on_migrated, &ran);
	for (int i = 0; i < 12; i++)
		once();
	call_cancel(&call);
	assert_int_equal(ran.n, 0);
}

static void test_the_real_ones(void **state)
{
	struct ran ran;

	(void)state;
	create(1);
	clean();
	assert_true(store_migrations_n >= 3);
	ran = migrate(store_migrations, store_migrations_n, false);
	assert_string_equal(ran.msg, "");
	ran = migrate(store_migrations, store_migrations_n, true);
	assert_non_null(strstr(ran.value, "\"pending\":[]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_order_and_once),
		TEST(test_failing_file_leaves_nothing),
		TEST(test_refusals),
		TEST(test_two_runs_at_once),
		TEST(test_cancel),
		TEST(test_the_real_ones),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
