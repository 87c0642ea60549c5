/* SPDX-License-Identifier: Apache-2.0 */
/* follow: a look is claimed by one replica, survives it, and its end is on record. */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/follow.h"

#define A (&replicas[0])
#define B (&replicas[1])

/* A change that succeeded and is to be followed: that is written with its end. */
static struct request *settled(struct replica *replica)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end = receive(replica, rq);

	expect_good(&end);
	rq->plan = plan_of(3, 5);
	end = begin(replica, rq);
	expect_good(&end);
	rq->outcome = json_pack("{s:s, s:{s:i}, s:b}", "done", "replicas 3 → 5", "evidence",
				"generation", 4, "follow", 1);
	end = settle(replica, rq, REQUEST_SUCCEEDED);
	expect_good(&end);
	return rq;
}

/* The same, and a look at it is due. */
static struct request *changed(struct replica *replica)
{
	struct request *rq = settled(replica);

	expect_sql(
		"SELECT bool_and(wake_at > clock_timestamp()) FROM ops.follow WHERE ended IS NULL "
		"AND claimed_by IS NULL AND done_at IS NULL AND fence = 0",
		"t");
	good("UPDATE ops.follow SET wake_at = clock_timestamp() WHERE ended IS NULL");
	return rq;
}

struct claimed {
	struct end end;
	int rows;
	json_t *row; /* the last one */
};

static void on_found(void *data, const json_t *row)
{
	struct claimed *claimed = data;

	claimed->rows++;
	json_decref(claimed->row);
	claimed->row = json_deep_copy(row);
}

static void on_claimed(void *data, const struct err *err)
{
	on_end(&((struct claimed *)data)->end, err);
}

static struct claimed claim(struct replica *replica)
{
	struct claimed claimed = { 0 };

	store_follow_claim(replica->store, 10, on_found, on_claimed, &claimed);
	wait_end(&claimed.end);
	expect_good(&claimed.end);
	return claimed;
}

static void assert_nothing_due(struct replica *replica)
{
	struct claimed claimed = claim(replica);

	assert_int_equal(claimed.rows, 0);
}

struct marked {
	struct end end;
	size_t lost;
};

static void on_marked(void *data, const json_t *lost, const struct err *err)
{
	struct marked *marked = data;

	marked->lost = json_array_size(lost);
	on_end(&marked->end, err);
}

/* more: members of the mark, as JSON text.  Is the row still ours? */
static bool mark(struct replica *replica, const json_t *row, const char *more)
{
	json_t *one = json_loads(more, 0, NULL), *marks;
	struct marked marked = { 0 };

	assert_non_null(one);
	json_object_set(one, "id", json_object_get(row, "id"));
	json_object_set(one, "fence", json_object_get(row, "fence"));
	marks = json_pack("[o]", one);
	store_follow_mark(replica->store, marks, on_marked, &marked);
	wait_end(&marked.end);
	expect_good(&marked.end);
	json_decref(marks);
	return marked.lost == 0;
}

static void test_claim_and_mark(void **state)
{
	struct request *rq = changed(A);
	struct claimed first = claim(A), next;

	(void)state;
	assert_int_equal(first.rows, 1);
	assert_string_equal(jget_str(first.row, "id"), rq->id);
	assert_string_equal(jget_str(first.row, "row.command"), "workers scale");
	assert_string_equal(jget_str(first.row, "row.slack_user"), "U-ana");
	assert_int_equal(jget_int(first.row, "since.evidence.generation", 0), 4);
	assert_non_null(jget_str(first.row, "kind"));
	assert_true(json_is_null(json_object_get(first.row, "done_ms")));
	assert_nothing_due(B); /* it is A's */
	assert_true(mark(A, first.row,
			 "{\"since\":{\"keep\":{\"a\":1}},\"done\":true,\"again_ms\":0,\"tell\":"
			 "{\"n\":1}}"));
	expect_sql(
		"SELECT count(*) FROM ops.message WHERE kind = 'progress' AND body ->> 'n' = '1'",
		"1");
	next = claim(B);
	assert_int_equal(next.rows, 1);
	assert_int_equal(jget_int(next.row, "since.keep.a", 0), 1);
	assert_true(jget_int(next.row, "done_ms", -1) >= 0);
	assert_int_equal(jget_int(next.row, "fence", 0), jget_int(first.row, "fence", 0) + 1);
	/* A was slow: what it saw then counts no more */
	assert_false(mark(A, first.row,
			  "{\"since\":{},\"done\":false,\"ended\":\"failed\",\"says\":\"old\"}"));
	expect_sql("SELECT count(*) FROM ops.follow WHERE ended IS NOT NULL", "0");
	assert_true(mark(B, next.row, "{\"since\":{},\"done\":true,\"again_ms\":60000}"));
	assert_nothing_due(A);
	json_decref(first.row);
	json_decref(next.row);
	request_destroy(rq);
}

/* Held from mark to mark while it is watched, and due like any other once it is not. */
static void test_held(void **state)
{
	struct request *rq = changed(A), *next;
	struct claimed first = claim(A), taken;

	(void)state;
	assert_true(mark(A, first.row, "{\"since\":{\"n\":1},\"done\":false,\"hold_ms\":60000}"));
	expect_sql("SELECT count(*) FROM ops.follow WHERE claimed_by IS NOT NULL AND wake_at > "
		   "clock_timestamp() + interval '40 seconds'",
		   "1");
	assert_nothing_due(B);
	assert_true(mark(A, first.row,
			 "{\"since\":{\"n\":2},\"done\":true,\"hold_ms\":0,\"tell\":{\"n\":3}}"));
	expect_sql("SELECT count(*) FROM ops.follow WHERE done_at IS NOT NULL", "1");
	taken = claim(B); /* it was not held on in time */
	assert_int_equal(taken.rows, 1);
	assert_int_equal(jget_int(taken.row, "since.n", 0), 2);
	assert_false(mark(A, first.row, "{\"since\":{},\"done\":true,\"hold_ms\":60000}"));
	assert_true(mark(B, taken.row, "{\"since\":{},\"done\":true,\"hold_ms\":60000}"));
	/* what is changed again before anybody was told is followed no more */
	next = changed(A);
	assert_false(mark(B, taken.row, "{\"since\":{},\"done\":true,\"hold_ms\":60000}"));
	expect_sql(
		"SELECT string_agg(coalesce(ended, '-'), ',' ORDER BY request_id) FROM ops.follow",
		"superseded,-");
	json_decref(first.row);
	json_decref(taken.row);
	request_destroy(rq);
	request_destroy(next);
}

/* A replica dies with a look under way: another takes it when the claim is over. */
static void test_dead_replica(void **state)
{
	struct request *rq = changed(A);
	struct claimed first = claim(A), next;

	(void)state;
	assert_nothing_due(B);
	good("UPDATE ops.follow SET wake_at = clock_timestamp()");
	next = claim(B);
	assert_int_equal(next.rows, 1);
	assert_string_equal(jget_str(next.row, "id"), rq->id);
	json_decref(first.row);
	json_decref(next.row);
	request_destroy(rq);
}

/* Changes of one object in a row are looked at as one, unless somebody was told of the first. */
static void test_changed_again(void **state)
{
	struct request *first = changed(A), *second = changed(A), *third;
	struct claimed claimed = claim(A);
	char sql[200];

	(void)state;
	(void)snprintf(sql, sizeof(sql), "SELECT ended FROM ops.follow WHERE request_id = '%s'",
		       first->id);
	expect_sql(sql, "superseded");
	assert_int_equal(claimed.rows, 1);
	assert_string_equal(jget_str(claimed.row, "id"), second->id);
	assert_true(mark(A, claimed.row,
			 "{\"since\":{\"told\":\"x\"},\"done\":false,\"again_ms\":60000}"));
	third = changed(B);
	expect_sql("SELECT count(*) FROM ops.follow WHERE ended IS NULL", "2");
	json_decref(claimed.row);
	request_destroy(first);
	request_destroy(second);
	request_destroy(third);
}

/* What looks found is written for many rows at once: a settle that waited for one of them could be
 * what they wait for. */
static void test_settle_waits_for_no_look(void **state)
{
	struct request *first = changed(A), *second;
	struct claimed claimed = claim(A);
	struct db_session *session = aside();

	(void)state;
	aside_run(session, "BEGIN; UPDATE ops.follow SET since = since");
	second = settled(A);
	aside_run(session, "COMMIT");
	db_session_close(session);
	expect_sql("SELECT count(*) FROM ops.follow WHERE ended IS NULL", "2");
	assert_true(mark(A, claimed.row, "{\"since\":{},\"done\":true,\"again_ms\":60000}"));
	json_decref(claimed.row);
	request_destroy(first);
	request_destroy(second);
}

static void test_ends(void **state)
{
	static const struct {
		const char *ended, *outcome, *posts;
	} rows[] = { { "done", "success", "0" },
		     { "failed", "failure", "1" },
		     { "undone", "failure", "1" },
		     { "superseded", "attempt", "0" },
		     { "left", "attempt", "0" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct request *rq = changed(A);
		struct claimed claimed = claim(A);
		char sql[400], more[300];

		assert_int_equal(claimed.rows, 1);
		good("DELETE FROM ops.message");
		(void)snprintf(
			more, sizeof(more),
			"{\"since\":{\"evidence\":{\"generation\":4}},\"done\":false,\"ended\":"
			"\"%s\",\"says\":\"set back by \\\"x\\\"\",\"tell\":{\"n\":2}}",
			rows[i].ended);
		assert_true(mark(A, claimed.row, more));
		assert_false(mark(A, claimed.row,
				  more)); /* the answer was lost: once more changes nothing */
		(void)snprintf(
			sql, sizeof(sql),
			"SELECT string_agg(outcome || (body::json -> 'facts' ->> 'why'), ',') FROM "
			"ops.audit WHERE request_id = '%s' AND event = 'request.followed'",
			rq->id);
		(void)snprintf(more, sizeof(more), "%sset back by \"x\"", rows[i].outcome);
		expect_sql(sql, more);
		expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'audit'", rows[i].posts);
		expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'progress'", "1");
		/* the request stays what it is */
		(void)snprintf(sql, sizeof(sql), "SELECT state FROM ops.request WHERE id = '%s'",
			       rq->id);
		expect_sql(sql, "succeeded");
		good("UPDATE ops.follow SET begun_at = begun_at");
		assert_nothing_due(B);
		json_decref(claimed.row);
		request_destroy(rq);
	}
	/* and forgotten after a week */
	good("UPDATE ops.follow SET begun_at = clock_timestamp() - interval '8 days'");
	good("SELECT ops.sweep('{}', 100)");
	expect_sql("SELECT count(*) FROM ops.follow", "0");
}

/* What did not succeed, or has nothing to follow, is not. */
static void test_not_followed(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	rq->plan = plan_of(3, 5);
	end = begin(A, rq);
	expect_good(&end);
	rq->outcome = json_pack("{s:b}", "follow", 1);
	end = settle(A, rq, REQUEST_FAILED);
	expect_good(&end);
	expect_sql("SELECT count(*) FROM ops.follow", "0");
	request_destroy(rq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_claim_and_mark),
		STORE_TEST(test_held),
		STORE_TEST(test_dead_replica),
		STORE_TEST(test_changed_again),
		STORE_TEST(test_settle_waits_for_no_look),
		STORE_TEST(test_ends),
		STORE_TEST(test_not_followed),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
