/* SPDX-License-Identifier: Apache-2.0 */
/* seal: the database seals, the program computes it again; a change, a loss and a cut-off end are
 * found. */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/audit.h"

#define A (&replicas[0])

enum { WRITERS = 8, WRITES = 40 };

static json_t *value;

static void on_value(void *data, const json_t *json, const struct err *err)
{
	struct end *end = data;

	json_decref(value);
	value = json != NULL ? json_deep_copy(json) : NULL;
	on_end(end, err);
}

static void verify(int64_t expect_no, const char *expect_hash)
{
	struct end end = { 0 };

	store_audit_verify(
		A->work,
		&(struct store_verify){ .expect_no = expect_no, .expect_hash = expect_hash },
		on_value, &end);
	wait_end(&end);
	expect_good(&end);
}

static void expect_clean(int64_t seals, int64_t entries, int64_t unsealed)
{
	verify(0, NULL);
	if (jget_str(value, "problem") != NULL)
		fail_msg("%s", jget_str(value, "problem"));
	assert_true(jget_bool(value, "good", false));
	if (seals >= 0)
		assert_int_equal(jget_int(value, "seals", -1), seals);
	assert_int_equal(jget_int(value, "entries", -1), entries);
	assert_int_equal(jget_int(value, "unsealed", -1), unsealed);
}

static void expect_problem(const char *text)
{
	assert_false(jget_bool(value, "good", true));
	assert_non_null(jget_str(value, "problem"));
	if (strstr(jget_str(value, "problem"), text) == NULL)
		fail_msg("%s", jget_str(value, "problem"));
}

static void entries(int n)
{
	char sql[300];

	for (int i = 0; i < n; i++) {
		snprintf(sql, sizeof(sql),
			 "SELECT ops.audit_note('R%d', %d, 'U\"é', '{}', 'test', 'success', "
			 "'{\"n\":%d}')",
			 i, i, i);
		good(sql);
	}
}

static int teardown(void **state)
{
	json_decref(value);
	value = NULL;
	return store_teardown(state);
}

static void test_chain(void **state)
{
	(void)state;
	/* trees of every shape: none, one, two, three … entries */
	good("SELECT * FROM ops.seal(" BOOT_A ", 1000)");
	for (int n = 1; n <= 9; n++) {
		entries(n);
		good("SELECT * FROM ops.seal(" BOOT_A ", 1000)");
	}
	expect_clean(10, 45, 0);
	expect_sql("SELECT count(*) FROM ops.seal(" BOOT_A ", 1000)", "0"); /* nothing new */
	entries(2);
	expect_clean(10, 45, 2);
	good("SELECT * FROM ops.seal(" BOOT_B ", 1)"); /* in small pieces */
	expect_clean(11, 46, 1);
}

/* A writer that is not over yet, beside one that came later and is: its entry is in a later seal.
 */
static void test_open_transaction(void **state)
{
	struct db_session *session = aside();

	(void)state;
	aside_run(session,
		  "BEGIN; SELECT ops.audit_note('R1', 1, 'U', '{}', 'slow', 'success', '{}')");
	entries(3);
	good("SELECT * FROM ops.seal(" BOOT_A ", 1000)");
	expect_clean(-1, 0, 3);
	aside_run(session, "COMMIT");
	db_session_close(session);
	good("SELECT * FROM ops.seal(" BOOT_A ", 1000)");
	expect_clean(-1, 4, 0);
}

static void test_tampering(void **state)
{
	char hash[65];

	(void)state;
	entries(5);
	good("SELECT * FROM ops.seal(" BOOT_A ", 1000)");
	entries(5);
	good("SELECT * FROM ops.seal(" BOOT_A ", 1000)");
	expect_clean(2, 10, 0);
	snprintf(hash, sizeof(hash), "%s", jget_str(value, "hash"));
	verify(2, hash);
	assert_true(jget_bool(value, "good", false));

	/* by somebody who can switch triggers off */
	good("SET session_replication_role = replica");
	good("UPDATE ops.audit SET body = replace(body, '\"n\":3', '\"n\":4') WHERE id = (SELECT "
	     "max(id) FROM ops.audit"
	     " WHERE request_id = 'R3')");
	verify(0, NULL);
	expect_problem("Seal 2: an entry was changed");
	good("UPDATE ops.audit SET body = replace(body, '\"n\":4', '\"n\":3') WHERE id = (SELECT "
	     "max(id) FROM ops.audit"
	     " WHERE request_id = 'R3')");
	verify(0, NULL);
	assert_true(jget_bool(value, "good", false));
	good("UPDATE ops.audit SET at = at + interval '1 us' WHERE id = (SELECT min(id) FROM "
	     "ops.audit)");
	verify(0, NULL);
	expect_problem("Seal 1: an entry was changed");
	good("UPDATE ops.audit SET at = at - interval '1 us' WHERE id = (SELECT min(id) FROM "
	     "ops.audit)");

	/* the end cut off: clean to look at, but not for whoever noted the hash */
	good("DELETE FROM ops.audit WHERE xid >= (SELECT xid_from FROM ops.audit_seal WHERE "
	     "seal_no = 2)");
	verify(0, NULL);
	expect_problem("Seal 2: entries were added or removed");
	good("DELETE FROM ops.audit_seal WHERE seal_no = 2");
	verify(0, NULL);
	assert_true(jget_bool(value, "good", false));
	verify(2, hash);
	expect_problem("Seal 2 with hash");
	good("SET session_replication_role = origin");
}

static void on_noted(void *data, const struct db_answer *answer, const struct err *err)
{
	(void)answer;
	on_end(data, err);
}

/* Two sealers beside eight writers: nothing is left out, nothing twice, no fork. */
static void test_race(void **state)
{
	static struct end ends[WRITERS];
	struct end seals[2] = { { 0 } };
	const char *const boots[] = { BOOT_A, BOOT_B };
	char sql[2][200];
	int written = 0, left;

	(void)state;
	for (int i = 0; i < 2; i++)
		snprintf(sql[i], sizeof(sql[i]), "SELECT * FROM ops.seal(%s, 7)", boots[i]);
	memset(ends, 0, sizeof(ends));
	left = 0;
	do {
		for (int i = 0; i < WRITERS && written < WRITERS * WRITES; i++) {
			const struct db_statement note = {
				.sql = "SELECT state FROM "
				       "ops.receive('00000000-0000-4000-8000-00000000000a', '{}',"
				       " 'R' || left(gen_random_uuid()::text, 23), "
				       "gen_random_uuid()::text,"
				       " gen_random_uuid()::text, 'slash', 'T1', 'U1', 'C1', NULL, "
				       "'x', NULL, NULL,"
				       " 0::smallint, NULL, NULL, NULL, NULL, NULL, 'no', true, "
				       "'ok', NULL, 'n',"
				       " true, NULL, 0, NULL)"
			};

			if (written >= WRITERS && ends[i].n == 0)
				continue;
			assert_string_equal(ends[i].msg, "");
			ends[i] = (struct end){ 0 };
			db_start(replicas[i % 2].work, &note, 1, PATIENCE_MS, on_noted, &ends[i]);
			written++;
		}
		for (int i = 0; i < 2; i++) {
			const struct db_statement seal = { .sql = sql[i] };

			if (left > 0 && seals[i].n == 0)
				continue;
			assert_string_equal(seals[i].msg, "");
			seals[i] = (struct end){ 0 };
			db_start(replicas[i].intake, &seal, 1, PATIENCE_MS, on_noted, &seals[i]);
		}
		left = 1;
		once();
	} while (written < WRITERS * WRITES);
	for (int i = 0; i < WRITERS; i++)
		while (ends[i].n == 0)
			once();
	for (int i = 0; i < 2; i++)
		while (seals[i].n == 0)
			once();
	/* A transaction of the server's own, as autovacuum's, may hold the seals back. */
	for (int turns = 0; turns < 1000 && (turns == 0 || jget_int(value, "unsealed", 0) > 0);
	     turns++) {
		for (int i = 0; i < 60; i++)
			good(sql[0]);
		verify(0, NULL);
	}
	expect_clean(-1, WRITERS * WRITES, 0);
	assert_true(jget_int(value, "seals", 0) > 40);
}

#define CHECKPOINT(signed) "SELECT coalesce(ops.checkpoint(3600, " signed "), 0)"
#define SAID "SELECT count(*) FROM ops.message WHERE body ->> 'event' = 'audit.checkpoint'"

static void seal_of(int n)
{
	entries(n);
	good("SELECT * FROM ops.seal(" BOOT_A ", 1000)");
}

static void an_hour_later(void)
{
	good("SET session_replication_role = replica");
	good("UPDATE ops.audit_checkpoint SET posted_at = posted_at - interval '1 hour'");
	good("SET session_replication_role = origin");
}

/* Once an hour, when something was added; with a key, the newest seal that it has signed. */
static void test_checkpoints(void **state)
{
	(void)state;
	good("UPDATE ops.setting SET audit_channel = NULL");
	expect_sql(CHECKPOINT("false"), "0"); /* no seal */
	seal_of(3);
	expect_sql(CHECKPOINT("false"), "0"); /* nowhere to say it */
	good("UPDATE ops.setting SET audit_channel = 'C1'");
	expect_sql(CHECKPOINT("true"), "0"); /* not signed yet */
	expect_sql(CHECKPOINT("false"), "1");
	seal_of(2);
	expect_sql(CHECKPOINT("false"), "0"); /* not yet time */
	an_hour_later();
	expect_sql(CHECKPOINT("false"), "2");
	expect_sql("SELECT concat(m.channel, ' ', m.kind, ' ', m.body ->> 'seal', ' ', m.body ->> "
		   "'entries', ' ', m.body ->> 'hash' = s.hash, ' ', m.body ->> 'key') FROM "
		   "ops.message m, ops.audit_seal s WHERE s.seal_no = 2 ORDER BY m.id DESC LIMIT 1",
		   "C1 audit 2 2 t ");
	an_hour_later();
	expect_sql(CHECKPOINT("false"), "0"); /* nothing was added */
	seal_of(1);
	seal_of(1);
	good("SELECT ops.seal_sign(3, repeat('a', 16), repeat('0', 128))");
	expect_sql(CHECKPOINT("true"), "3");
	expect_sql(
		"SELECT concat(body ->> 'seal', ' ', body ->> 'entries', ' ', body ->> 'key') FROM "
		"ops.message ORDER BY id DESC LIMIT 1",
		"3 1 aaaaaaaaaaaaaaaa");
	expect_sql(SAID, "3");
	assert_true(ask("UPDATE ops.audit_checkpoint SET seal_no = 4").msg[0] != '\0');
}

/* Replicas that ask at the same time. */
static void test_checkpoint_race(void **state)
{
	static const struct db_statement ask = { .sql = CHECKPOINT("false") };
	struct end ends[2];
	char said[8];

	(void)state;
	good("UPDATE ops.setting SET audit_channel = 'C1'");
	for (int round = 1; round <= 20; round++) {
		seal_of(1);
		memset(ends, 0, sizeof(ends));
		for (int i = 0; i < 2; i++)
			db_start(replicas[i].work, &ask, 1, PATIENCE_MS, on_noted, &ends[i]);
		while (ends[0].n == 0 || ends[1].n == 0)
			once();
		assert_string_equal(ends[0].msg, "");
		assert_string_equal(ends[1].msg, "");
		snprintf(said, sizeof(said), "%d", round);
		expect_sql(SAID, said);
		an_hour_later();
	}
}

#define SEAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, store_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEAL_TEST(test_chain),       SEAL_TEST(test_open_transaction),
		SEAL_TEST(test_tampering),   SEAL_TEST(test_race),
		SEAL_TEST(test_checkpoints), SEAL_TEST(test_checkpoint_race)
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
