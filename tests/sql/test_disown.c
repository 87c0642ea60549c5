/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disown: what a person was told was not recorded does not happen.  A lock on the table of
 * deliveries makes the server answer too late; its commit may still come.
 */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define A (&replicas[0])
#define B (&replicas[1])

struct lock {
	struct db_session *session;
	struct end end;
};

static void on_open(void *data, struct db_session *session, const struct err *err)
{
	struct lock *lock = data;

	on_end(&lock->end, err);
	lock->session = session;
}

static void locked(struct lock *lock)
{
	struct end end = { 0 };

	memset(lock, 0, sizeof(*lock));
	db_session_open(world.db, 5000, on_open, lock);
	wait_end(&lock->end);
	expect_good(&lock->end);
	db_session_script(lock->session, "BEGIN; LOCK TABLE ops.delivery IN ACCESS EXCLUSIVE MODE",
			  5000, on_end, &end);
	wait_end(&end);
	expect_good(&end);
}

static void disown(const struct request *rq, bool click, const char *what)
{
	char sql[400];

	snprintf(sql, sizeof(sql),
		 "SELECT ops.disown('00000000-0000-4000-8000-00000000000a', '{}', '%s', '%s', "
		 "'%s', '%s', %s)",
		 rq->id, rq->delivery.envelope_id, rq->delivery.dedup, rq->delivery.kind,
		 click ? "true" : "false");
	expect_sql(sql, what);
}

static void wait_sql(const char *sql, const char *text)
{
	struct seen seen = ask(sql);

	while (strcmp(seen.text, text) != 0) /* the world's limit ends it */
		seen = ask(sql);
}

static void test_too_late(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "slow");
	struct request *again =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "slow");
	struct lock lock;
	struct end end;

	(void)state;
	locked(&lock);
	end = receive(A, rq);
	assert_int_equal(end.kind, ERR_UNCERTAIN);
	db_session_close(lock.session);
	/* The server's own commit and the store's word race; whichever is first, nothing is left to
	 * run. */
	wait_sql("SELECT disowned FROM ops.delivery WHERE dedup = 'slow'", "t");
	expect_sql("SELECT count(*) FROM ops.request WHERE state <> 'cancelled'", "0");
	end = receive(B, again); /* the same intent, redelivered */
	expect_good(&end);
	assert_string_equal(again->known_id, rq->id);
	assert_string_equal(again->known_state, "cancelled");
	expect_sql("SELECT count(*) FROM ops.request WHERE state <> 'cancelled'", "0");
	request_destroy(rq);
	request_destroy(again);
}

static void test_kept_out(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end;

	(void)state;
	disown(rq, false, "kept_out");
	end = receive(A, rq);
	expect_good(&end);
	assert_string_equal(rq->known_id, rq->id);
	expect_sql("SELECT count(*) FROM ops.request", "0");
	request_destroy(rq);
}

static void test_got_in(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "in");
	struct request *again =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "in");
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	/* A second delivery of it that was not answered in time must not take the first one down.
	 */
	disown(again, false, "known");
	expect_sql("SELECT state FROM ops.request", "allowed");
	disown(rq, false, "cancelled");
	expect_sql("SELECT state FROM ops.request", "cancelled");
	disown(rq, false, "known");
	expect_sql("SELECT string_agg(event, ' ' ORDER BY id) FROM ops.audit WHERE request_id IS "
		   "NOT NULL",
		   "request.allowed request.cancelled");
	rq->plan = plan_of(1, 2);
	rq->state = REQUEST_ALLOWED;
	end = begin(A, rq);
	assert_int_equal(end.kind, ERR_DENIED);
	request_destroy(rq);
	request_destroy(again);
}

/* A form that stayed open has the same key when it is sent again. */
static void test_form_again(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "view");
	struct request *again =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "view");
	struct request *twice =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "view");
	struct end end;

	(void)state;
	rq->delivery.kind = again->delivery.kind = twice->delivery.kind = "submit";
	disown(rq, false, "kept_out");
	end = receive(A, rq); /* its own envelope, late */
	expect_good(&end);
	assert_string_equal(rq->known_id, rq->id);
	end = receive(B, again);
	expect_good(&end);
	assert_null(again->known_id);
	assert_int_equal(again->state, REQUEST_ALLOWED);
	end = receive(A, twice);
	expect_good(&end);
	assert_string_equal(twice->known_id, again->id);
	disown(rq, false, "known"); /* asked again: it is not that try's any more */
	expect_sql("SELECT string_agg(state::text, ' ') FROM ops.request", "allowed");
	request_destroy(rq);
	request_destroy(again);
	request_destroy(twice);
}

/* … and at once, before the store's word on the first try is with the database. */
static void test_form_again_at_once(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "view");
	struct request *again =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "view");
	struct lock lock;
	struct end end;

	(void)state;
	rq->delivery.kind = again->delivery.kind = "submit";
	locked(&lock);
	end = receive(A, rq);
	assert_int_equal(end.kind, ERR_UNCERTAIN);
	db_session_close(lock.session);
	wait_sql("SELECT count(*) FROM ops.delivery", "1"); /* it did get in */
	end = receive(A, again);
	expect_good(&end);
	assert_null(again->known_id);
	assert_int_equal(again->state, REQUEST_ALLOWED);
	expect_sql("SELECT string_agg(state::text, ' ' ORDER BY state) FROM ops.request",
		   "allowed cancelled");
	request_destroy(rq);
	request_destroy(again);
}

static void test_running_is_too_late(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	rq->plan = plan_of(1, 2);
	end = begin(A, rq);
	expect_good(&end);
	disown(rq, false, "too_late");
	expect_sql("SELECT state FROM ops.request", "running");
	request_destroy(rq);
}

static void test_click(void **state)
{
	struct request *rq = make("workers restart", "ana", "{\"team\":\"ads\"}", NULL);
	struct request *click, *second;
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	rq->plan = plan_of(3, 5);
	plan_digest(rq->plan, rq->digest);
	end = offer(A, rq);
	expect_good(&end);
	click = make_click(rq, "ana", NULL);
	end = confirm(A, click, true, NULL);
	expect_good(&end);
	disown(click, true, "released");
	expect_sql("SELECT state || ' ' || (claimed_by IS NULL) || ' ' || (wake_at = expires_at) "
		   "FROM ops.request",
		   "confirming true true");
	click->command = rq->command;
	end = begin(A, click); /* the click that does not count cannot start anything */
	assert_int_equal(end.kind, ERR_DENIED);
	second = make_click(rq, "ana", NULL);
	end = confirm(B, second, true, NULL);
	expect_good(&end);
	assert_null(second->known_id);
	assert_int_equal(second->state, REQUEST_CONFIRMING);
	request_destroy(rq);
	request_destroy(click);
	request_destroy(second);
}

/* Its replica was gone before anybody knew what the person had been told: whoever takes it over
 * must ask. */
static void take_over_unheard(struct request *rq)
{
	struct end end;

	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	end = claim_due(B);
	expect_good(&end);
	assert_int_equal(B->rows, 1);
	assert_true(jget_bool(B->row, "unheard", false));
	rq->fence = B->row_fence;
	rq->plan = rq->plan != NULL ? rq->plan : plan_of(3, 5);
	plan_digest(rq->plan, rq->digest);
	rq->state = REQUEST_ALLOWED;
	end = begin(B, rq);
	assert_int_equal(end.kind, ERR_DENIED);
	expect_sql("SELECT count(*) FROM ops.step", "0");
}

static void test_taken_over_unheard(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct request *click;
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	take_over_unheard(rq);
	disown(rq, false,
	       "too_late"); /* the word of the first one comes late: the person is asked */
	end = offer(B, rq);
	expect_good(&end);
	disown(rq, false, "known");
	expect_sql("SELECT state FROM ops.request", "confirming");
	click = make_click(rq, "ana", NULL);
	end = confirm(B, click, true, NULL);
	expect_good(&end);
	assert_int_equal(click->state, REQUEST_CONFIRMING);
	click->command = rq->command;
	click->plan = json_incref(rq->plan);
	end = begin(B, click);
	expect_good(&end);
	assert_int_equal(click->state, REQUEST_RUNNING);
	request_destroy(rq);
	request_destroy(click);
}

/* The next write of the same replica says that it had the answer. */
static void test_taken_over_heard(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	expect_sql("SELECT unheard FROM ops.request", "t");
	good("SELECT ops.renew('00000000-0000-4000-8000-00000000000a', '{}', array_agg(id), "
	     "array_agg(fence)) FROM ops.request");
	expect_sql("SELECT unheard FROM ops.request", "f");
	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	end = claim_due(B);
	expect_good(&end);
	assert_false(jget_bool(B->row, "unheard", true));
	rq->fence = B->row_fence;
	rq->plan = plan_of(3, 5);
	end = begin(B, rq);
	expect_good(&end);
	request_destroy(rq);
}

/* What the one who takes it over writes says nothing about the first one. */
static void test_unheard_stays_so(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end;

	(void)state;
	rq->asker.facts_fresh = false;
	end = receive(A, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_RECEIVED);
	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	end = claim_due(B);
	expect_good(&end);
	good("SELECT ops.renew('00000000-0000-4000-8000-00000000000b', '{}', array_agg(id), "
	     "array_agg(fence)) FROM ops.request");
	good("SELECT ops.decide_request('00000000-0000-4000-8000-00000000000b', '{}', id, fence, "
	     "'ok', 'ana@example.com', 'Ana', 'C', 0) FROM ops.request");
	expect_sql("SELECT state || ' ' || unheard FROM ops.request", "allowed true");
	request_destroy(rq);
}

static void test_click_taken_over_unheard(void **state)
{
	struct request *rq = make("workers restart", "ana", "{\"team\":\"ads\"}", NULL);
	struct request *first, *second;
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	rq->plan = plan_of(3, 5);
	plan_digest(rq->plan, rq->digest);
	end = offer(A, rq);
	expect_good(&end);
	first = make_click(rq, "ana", NULL);
	end = confirm(A, first, true, NULL);
	expect_good(&end);
	take_over_unheard(rq);
	disown(first, true, "too_late");
	end = offer(B, rq); /* asks again */
	expect_good(&end);
	second = make_click(rq, "ana", NULL);
	end = confirm(A, second, true, NULL); /* by the one that lost the first */
	expect_good(&end);
	assert_int_equal(second->state, REQUEST_CONFIRMING);
	/* Its late word on the first click must not take the second back. */
	good("UPDATE ops.delivery SET disowned = false");
	disown(first, true, "too_late");
	expect_sql("SELECT (claimed_by IS NOT NULL) FROM ops.request", "t");
	request_destroy(rq);
	request_destroy(first);
	request_destroy(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_too_late),
		STORE_TEST(test_kept_out),
		STORE_TEST(test_got_in),
		STORE_TEST(test_form_again),
		STORE_TEST(test_form_again_at_once),
		STORE_TEST(test_running_is_too_late),
		STORE_TEST(test_click),
		STORE_TEST(test_taken_over_unheard),
		STORE_TEST(test_taken_over_heard),
		STORE_TEST(test_unheard_stays_so),
		STORE_TEST(test_click_taken_over_unheard),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
