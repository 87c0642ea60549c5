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
#define WAITING                                                                                    \
	"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE "     \
	"'%ops.receive%'"

/* Nobody writes a delivery until it is closed. */
static struct db_session *locked(void)
{
	struct db_session *session = aside();

	aside_run(session, "BEGIN; LOCK TABLE ops.delivery IN ACCESS EXCLUSIVE MODE");
	return session;
}

/* said: the person was told already that nothing was recorded. */
static void disown_when(const struct request *rq, bool click, bool said, const char *what)
{
	char sql[400];

	snprintf(sql, sizeof(sql),
		 "SELECT what FROM ops.disown(" BOOT_A ", '{}', '%s', "
		 "'%s', '%s', '%s', %s, %s)",
		 rq->id, rq->delivery.envelope_id, rq->delivery.dedup, rq->delivery.kind,
		 click ? "true" : "false", said ? "true" : "false");
	expect_sql(sql, what);
}

/* The answer does not come in the time that a person can wait. */
static void receive_too_late(struct request *rq)
{
	struct db_session *lock = locked();
	struct end end;

	world.patience_ms = 0;
	end = receive(A, rq);
	world.patience_ms = PATIENCE_MS;
	assert_int_equal(end.kind, ERR_UNCERTAIN);
	db_session_close(lock);
}

static void disown(const struct request *rq, bool click, const char *what)
{
	disown_when(rq, click, false, what);
}

static void test_too_late(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "slow");
	struct request *again =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "slow");
	struct end end;

	(void)state;
	receive_too_late(rq);
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
	disown(rq, false, "kept_out");
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

static void cut(const char *whose)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
		 "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
		 "WHERE wait_event_type = 'Lock' AND query LIKE '%%ops.receive%%' AND %s",
		 whose);
	expect_sql(sql, "1");
}

/* Without what the last try has left under way. */
static void anew(void **state)
{
	assert_int_equal(store_teardown(state), 0);
	assert_int_equal(store_setup(state), 0);
}

/* The same delivery is with both replicas, and the answer of one is lost: what both say is the
 * same, whoever came first.  false: the machine stood still for longer than its person can wait. */
static bool twins_agree(void)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct request *twin = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end first = { 0 }, second = { 0 };
	struct db_session *lock;
	bool sure;

	twin->delivery.dedup = rq->delivery.dedup;
	twin->delivery.envelope_id = rq->delivery.envelope_id;
	lock = locked();
	store_receive(A->store, rq, on_end, &first);
	wait_sql(WAITING, "1");
	good("CREATE TABLE first_one AS SELECT pid FROM pg_stat_activity "
	     "WHERE wait_event_type = 'Lock' AND query LIKE '%ops.receive%'");
	store_receive(B->store, twin, on_end, &second);
	wait_sql(WAITING, "2");
	cut("pid = (SELECT pid FROM first_one)");
	good("DROP TABLE first_one");
	db_session_close(lock);
	while (first.n == 0 || second.n == 0)
		once();
	sure = !rq->unsure && !twin->unsure;
	if (sure && first.kind == ERR_NONE) {
		expect_good(&second);
		assert_null(twin->known_id);
		assert_int_equal(twin->state, REQUEST_ALLOWED);
		assert_string_equal(rq->known_id, twin->id);
		twin->plan = plan_of(1, 2);
		second = begin(B, twin); /* it goes on as if there had been no other */
		expect_good(&second);
	} else if (sure) {
		expect_good(&second);
		assert_string_equal(twin->known_state, "cancelled");
		expect_sql("SELECT count(*) FROM ops.request WHERE state <> 'cancelled'", "0");
	}
	request_destroy(rq);
	request_destroy(twin);
	return sure;
}

static void test_twins_agree(void **state)
{
	while (!twins_agree())
		anew(state);
}

/* Nobody else has it: that it stays unrecorded is in the database before anybody is told. */
static bool sure_before_it_is_said(void)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct request *twin = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end = { 0 };
	struct db_session *lock;
	bool sure;

	twin->delivery.dedup = rq->delivery.dedup;
	lock = locked();
	store_receive(A->store, rq, on_end, &end);
	wait_sql(WAITING, "1");
	cut("true");
	db_session_close(lock);
	wait_end(&end);
	assert_true(end.kind == ERR_UNCERTAIN || end.kind == ERR_RETRY);
	sure = !rq->unsure;
	if (sure) {
		expect_sql("SELECT count(*) FROM ops.delivery WHERE NOT disowned", "0");
		end = receive(B, twin);
		expect_good(&end);
		assert_string_equal(twin->known_state, "cancelled");
		expect_sql("SELECT count(*) FROM ops.request WHERE state <> 'cancelled'", "0");
	}
	request_destroy(rq);
	request_destroy(twin);
	return sure;
}

static void test_sure_before_it_is_said(void **state)
{
	while (!sure_before_it_is_said())
		anew(state);
}

/* Its own row got in, and another delivery was acknowledged because of it: it is not taken down in
 * silence, its person is asked. */
static void test_twin_was_told(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "both");
	struct request *twin =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "both");
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	end = receive(B, twin);
	expect_good(&end);
	assert_string_equal(twin->known_id, rq->id);
	disown(rq, false, "known");
	expect_sql("SELECT state || ' ' || (wake_at <= clock_timestamp()) FROM ops.request",
		   "allowed true");
	end = claim_due(B);
	expect_good(&end);
	assert_int_equal(B->rows, 1);
	assert_true(jget_bool(B->row, "unheard", false));
	request_destroy(rq);
	request_destroy(twin);
}

/* The database was out of reach for the one that said "not recorded", and not for the other: what
 * that has not started is asked about. */
static void test_told_wrongly(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "late");
	struct request *twin =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "late");
	struct end end = receive(B, twin);

	(void)state;
	expect_good(&end);
	disown_when(rq, false, true, "known");
	twin->plan = plan_of(1, 2);
	end = begin(B, twin);
	assert_int_equal(end.kind, ERR_DENIED);
	end = claim_due(A);
	expect_good(&end);
	assert_int_equal(A->rows, 1);
	assert_true(jget_bool(A->row, "unheard", false));
	expect_sql("SELECT count(*) FROM ops.step", "0");
	request_destroy(rq);
	request_destroy(twin);
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
	struct end end;

	(void)state;
	rq->delivery.kind = again->delivery.kind = "submit";
	receive_too_late(rq);
	wait_sql("SELECT count(*) FROM ops.delivery", "1"); /* it got in, or was kept out */
	end = receive(A, again);
	expect_good(&end);
	assert_null(again->known_id);
	assert_int_equal(again->state, REQUEST_ALLOWED);
	expect_sql("SELECT state FROM ops.request WHERE state <> 'cancelled'", "allowed");
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
	good("SELECT ops.renew(" BOOT_A ", '{}', array_agg(id), "
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
	good("SELECT ops.renew(" BOOT_B ", '{}', array_agg(id), "
	     "array_agg(fence)) FROM ops.request");
	good("SELECT ops.decide_request(" BOOT_B ", '{}', id, fence, "
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
		STORE_TEST(test_twins_agree),
		STORE_TEST(test_sure_before_it_is_said),
		STORE_TEST(test_twin_was_told),
		STORE_TEST(test_told_wrongly),
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
