/* SPDX-License-Identifier: Apache-2.0 */
/* requests: one row per intent, decided at each step; refusals, clicks, take-overs and disowned
 * deliveries. */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define A (&replicas[0])
#define B (&replicas[1])

static void expect_state(const struct request *rq, const char *state)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT state FROM ops.request WHERE id = '%s'", rq->id);
	expect_sql(sql, state);
}

static struct request *allowed(const char *title)
{
	struct request *rq = make(title, "ana", "{\"count\":1,\"team\":\"ads\"}", NULL);
	struct end end = receive(A, rq);

	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_ALLOWED);
	return rq;
}

/* received, planned, offered: waits for the button */
static struct request *offered(void)
{
	struct request *rq = allowed("workers restart");
	struct end end;

	rq->plan = plan_of(3, 5);
	plan_digest(rq->plan, rq->digest);
	end = offer(A, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_CONFIRMING);
	return rq;
}

static void test_receive_allows(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"count\":5,\"team\":\"ads\"}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_ALLOWED);
	assert_string_equal(rq->code, "allowed");
	assert_int_equal(rq->fence, 1);
	assert_string_equal(rq->person_name, "Ana");
	assert_string_equal(rq->person_email, "ana@example.com");
	assert_string_equal(jget_str(rq->detail, "grant"), "ads-oncall-workers.scale");
	assert_int_equal(jget_int(rq->detail, "generation", 0), 7);
	assert_int_equal(jget_int(rq->detail, "revision", 0), 93);
	assert_null(rq->known_id);
	assert_int_equal(A->n_owed, 0);
	expect_sql("SELECT string_agg(event, ' ' ORDER BY id) FROM ops.audit",
		   "link.created request.allowed");
	expect_sql("SELECT body::json #>> '{facts,who,email}' FROM ops.audit WHERE request_id IS "
		   "NOT NULL",
		   "ana@example.com");
	expect_sql("SELECT body::json #>> '{observer,deployment}' FROM ops.audit LIMIT 1", "test");
	request_destroy(rq);
}

static void test_receive_refuses(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"count\":5,\"team\":\"web\"}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_DENIED);
	assert_string_equal(rq->code, "no_matching_grant");
	assert_string_equal(jget_str(rq->detail, "scope"), "count=..50 team=ads");
	assert_string_equal(json_string_value(json_array_get(jget(rq->detail, "groups"), 0)),
			    "sre");
	assert_string_equal(json_string_value(json_array_get(jget(rq->detail, "people"), 0)),
			    "Sam");
	/* The acknowledgement tells the person; the audit channel is owed, and claimed by us. */
	assert_int_equal(A->n_owed, 1);
	assert_string_equal(A->owed[0]->kind, "audit");
	assert_string_equal(A->owed[0]->channel, "CAUDIT");
	assert_string_equal(A->owed[0]->request, rq->id);
	assert_string_equal(jget_str(A->owed[0]->body, "outcome"), "denied");
	assert_string_equal(jget_str(A->owed[0]->body, "who.name"), "Ana");
	expect_sql("SELECT response_url IS NULL FROM ops.request", "t");
	expect_sql("SELECT outcome FROM ops.audit WHERE event = 'request.denied'", "denied");
	request_destroy(rq);
}

static void test_receive_rejects(void **state)
{
	struct request *rq = make("workers scale", "ana", "{}", NULL);
	struct end end;

	(void)state;
	rq->command = NULL;
	rq->rejection = "There is no command \"wrokers\".";
	end = receive(A, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_REJECTED);
	assert_int_equal(A->n_owed, 1);
	assert_string_equal(jget_str(A->owed[0]->body, "why"), rq->rejection);
	assert_string_equal(jget_str(A->owed[0]->body, "text"), "workers scale {}");
	request_destroy(rq);
}

static void test_read_runs_at_once(void **state)
{
	struct request *rq = make("datasets list", "ana", "{\"team\":\"ads\"}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_RUNNING);
	end = settle(A, rq, REQUEST_SUCCEEDED);
	expect_good(&end);
	assert_int_equal(A->n_owed, 2);
	assert_string_equal(A->owed[0]->kind, "audit");
	assert_string_equal(A->owed[1]->kind, "reply");
	assert_string_equal(A->owed[1]->response_url, "https://hooks.example/1");
	assert_string_equal(A->owed[1]->user, "U-ana");
	assert_string_equal(jget_str(A->owed[1]->body, "answer"), "42");
	expect_sql("SELECT count(*) FROM ops.step", "0");
	expect_sql("SELECT response_url IS NULL FROM ops.request", "t");
	request_destroy(rq);
}

static void test_decide_later(void **state)
{
	struct request *rq = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct request *guest =
		make("workers scale", "gus", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct end end;

	(void)state;
	rq->asker.facts_fresh = guest->asker.facts_fresh = false;
	end = receive(A, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_RECEIVED);
	end = (struct end){ 0 };
	store_decide(A->store, rq, on_end, &end);
	wait_end(&end);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_ALLOWED);
	assert_string_equal(rq->person_name, "Ana");

	end = receive(A, guest);
	expect_good(&end);
	guest->asker.verdict = "guest";
	end = (struct end){ 0 };
	store_decide(A->store, guest, on_end, &end);
	wait_end(&end);
	expect_good(&end);
	assert_int_equal(guest->state, REQUEST_DENIED);
	assert_string_equal(guest->code, "guest");
	/* It was acknowledged already: both sides are told. */
	assert_int_equal(A->n_owed, 2);
	assert_string_equal(A->owed[1]->kind, "reply");
	assert_string_equal(A->owed[1]->response_url, "https://hooks.example/1");
	request_destroy(rq);
	request_destroy(guest);
}

static void test_same_intent_again(void **state)
{
	struct request *first =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "intent-1");
	struct request *again =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "intent-1");
	struct request *frame =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "intent-2");
	struct end end = receive(A, first);

	(void)state;
	expect_good(&end);
	end = receive(B, again); /* a new envelope of the same intent, at another replica */
	expect_good(&end);
	assert_string_equal(again->known_id, first->id);
	assert_string_equal(again->known_state, "allowed");
	frame->delivery.envelope_id = first->delivery.envelope_id; /* the same frame once more */
	end = receive(A, frame);
	expect_good(&end);
	assert_string_equal(frame->known_id, first->id);
	expect_sql("SELECT count(*) FROM ops.request", "1");
	request_destroy(first);
	request_destroy(again);
	request_destroy(frame);
}

enum { RACERS = 16 };

static void test_race_of_one_intent(void **state)
{
	struct request *rq[RACERS];
	struct end end[RACERS] = { 0 };
	int won = 0;

	(void)state;
	for (int i = 0; i < RACERS; i++) {
		struct replica *replica = &replicas[i % 2];

		rq[i] = make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", "race");
		store_receive(replica->store, rq[i], on_end, &end[i]);
	}
	for (int i = 0; i < RACERS; i++) {
		while (end[i].n == 0)
			once();
		expect_good(&end[i]);
		won += rq[i]->known_id == NULL;
	}
	assert_int_equal(won, 1);
	expect_sql("SELECT count(*) FROM ops.request", "1");
	expect_sql("SELECT count(*) FROM ops.link", "1");
	expect_sql("SELECT count(*) FROM ops.audit WHERE event = 'request.allowed'", "1");
	for (int i = 0; i < RACERS; i++)
		request_destroy(rq[i]);
}

static struct request *undo_of(const struct request *first, const char *user)
{
	struct request *rq = make("workers scale", user, "{\"team\":\"ads\",\"count\":1}", NULL);

	rq->delivery.kind = "undo";
	rq->undoes = first->id;
	return rq;
}

/* Everybody undoes the same request at once: one does, the others hear who. */
static void test_race_of_undos(void **state)
{
	struct request *first =
		make("workers scale", "ana", "{\"team\":\"ads\",\"count\":1}", NULL);
	struct request *rq[RACERS];
	struct end end[RACERS] = { 0 }, one = receive(A, first);
	const char *won = NULL;

	(void)state;
	expect_good(&one);
	for (int i = 0; i < RACERS; i++) {
		rq[i] = undo_of(first, i % 2 == 0 ? "sam" : "ana");
		store_receive(replicas[i % 2].store, rq[i], on_end, &end[i]);
	}
	for (int i = 0; i < RACERS; i++) {
		while (end[i].n == 0)
			once();
		expect_good(&end[i]);
		if (rq[i]->state == REQUEST_ALLOWED) {
			assert_null(won);
			won = rq[i]->id;
		}
	}
	assert_non_null(won);
	for (int i = 0; i < RACERS; i++) {
		if (rq[i]->id == won)
			continue;
		assert_int_equal(rq[i]->state, REQUEST_DENIED);
		assert_string_equal(rq[i]->code, "undone_already");
		assert_string_equal(jget_str(rq[i]->detail, "undo.id"), won);
	}
	expect_sql("SELECT count(*) FROM ops.audit WHERE event = 'request.denied'", "15");
	/* once it is known that this one changed nothing, another may */
	good("UPDATE ops.request SET state = 'failed', wake_at = NULL, claimed_by = NULL, "
	     "finished_at = clock_timestamp() WHERE undoes IS NOT NULL AND state = 'allowed'");
	request_destroy(rq[0]);
	rq[0] = undo_of(first, "ana");
	one = receive(B, rq[0]);
	expect_good(&one);
	assert_int_equal(rq[0]->state, REQUEST_ALLOWED);
	for (int i = 0; i < RACERS; i++)
		request_destroy(rq[i]);
	request_destroy(first);
}

static void test_whole_way(void **state)
{
	struct request *rq = offered(), *click = make_click(rq, "ana", NULL);
	json_t *row = NULL;
	struct end end;

	(void)state;
	assert_int_equal(A->n_owed, 1);
	assert_string_equal(A->owed[0]->kind, "preview");
	assert_string_equal(A->owed[0]->response_url, "https://hooks.example/1");
	end = confirm(B, click, true, &row);
	expect_good(&end);
	assert_int_equal(click->state, REQUEST_CONFIRMING);
	assert_int_equal(click->fence, 2);
	assert_null(click->known_id);
	assert_string_equal(jget_str(row, "command"), "workers restart");
	assert_string_equal(jget_str(row, "plan.target.name"), "workers");
	assert_string_equal(jget_str(row, "args.team"), "ads");
	assert_string_equal(jget_str(row, "digest"), rq->digest);

	click->command = rq->command;
	click->plan = plan_of(3, 5);
	end = begin(B, click);
	expect_good(&end);
	assert_int_equal(click->state, REQUEST_RUNNING);
	expect_sql("SELECT state || ' ' || fence || ' ' || effect FROM ops.step",
		   "intent 2 conditional");
	click->outcome =
		json_pack("{s:s,s:{s:i}}", "done", "replicas 3 -> 5", "evidence", "status", 200);
	end = settle(B, click, REQUEST_SUCCEEDED);
	expect_good(&end);
	expect_state(rq, "succeeded");
	expect_sql("SELECT state || ' ' || evidence FROM ops.step", "applied {\"status\":200}");
	assert_int_equal(B->n_owed, 2);
	assert_string_equal(B->owed[1]->response_url, "https://hooks.example/2");
	expect_sql("SELECT string_agg(substr(event, 9), ' ' ORDER BY id) FROM ops.audit WHERE "
		   "request_id IS NOT NULL",
		   "allowed offered confirmed started succeeded");
	/* The answer of a settle may be lost: again is the same. */
	end = settle(B, click, REQUEST_SUCCEEDED);
	expect_good(&end);
	expect_sql("SELECT count(*) FROM ops.message WHERE kind <> 'link'", "3");
	json_decref(row);
	request_destroy(rq);
	request_destroy(click);
}

static void test_clicks_that_do_not_count(void **state)
{
	struct request *rq = offered(), *other = make_click(rq, "ben", NULL);
	struct request *stale = make_click(rq, "ana", NULL), *first = make_click(rq, "ana", NULL);
	struct request *second = make_click(rq, "ana", NULL),
		       *frame = make_click(rq, "ana", "click");
	struct request *frame2 = make_click(rq, "ana", "click");
	struct end end = confirm(A, other, true, NULL);

	(void)state;
	expect_good(&end);
	assert_int_equal(other->state, REQUEST_DENIED);
	assert_string_equal(other->code, "not_requester");
	expect_state(rq, "confirming");
	expect_sql("SELECT count(*) FROM ops.audit WHERE event = 'confirm.denied'", "1");

	memset(stale->digest, 'f', 64);
	end = confirm(A, stale, true, NULL);
	expect_good(&end);
	assert_string_equal(stale->code, "stale_preview");
	assert_string_equal(stale->known_id, rq->id);

	end = confirm(A, first, true, NULL);
	expect_good(&end);
	assert_null(first->known_id);
	end = confirm(B, second, true, NULL);
	expect_good(&end);
	assert_string_equal(second->known_state, "confirming");
	end = confirm(B, frame, true, NULL);
	expect_good(&end);
	end = confirm(B, frame2, true, NULL);
	expect_good(&end);
	assert_string_equal(frame2->known_id, rq->id);
	expect_sql("SELECT fence || ' ' || (claimed_by::text LIKE '%a') FROM ops.request",
		   "2 true");
	request_destroy(rq);
	request_destroy(other);
	request_destroy(stale);
	request_destroy(first);
	request_destroy(second);
	request_destroy(frame);
	request_destroy(frame2);
}

static void test_cancel_and_expiry(void **state)
{
	struct request *no = offered(), *late = offered(), *left = offered();
	struct request *click_no = make_click(no, "ana", NULL),
		       *click_late = make_click(late, "ana", NULL);
	char sql[300];
	struct end end = confirm(A, click_no, false, NULL);

	(void)state;
	expect_good(&end);
	assert_int_equal(click_no->state, REQUEST_CANCELLED);
	expect_state(no, "cancelled");

	snprintf(
		sql, sizeof(sql),
		"UPDATE ops.request SET expires_at = clock_timestamp(), wake_at = clock_timestamp()"
		" WHERE id IN ('%s', '%s')",
		late->id, left->id);
	good(sql);
	end = confirm(A, click_late, true, NULL); /* the database's clock says no */
	expect_good(&end);
	assert_int_equal(click_late->state, REQUEST_EXPIRED);
	end = claim_due(B);
	expect_good(&end);
	assert_int_equal(B->rows, 0);
	expect_state(left, "expired");
	snprintf(sql, sizeof(sql),
		 "SELECT string_agg(kind::text || ' ' || (body ->> 'outcome'), ', ' ORDER BY id)"
		 " FROM ops.message WHERE request_id = '%s' AND kind <> 'preview'",
		 left->id);
	expect_sql(sql, "audit expired, reply expired");
	request_destroy(no);
	request_destroy(late);
	request_destroy(left);
	request_destroy(click_no);
	request_destroy(click_late);
}

static void test_right_gone_at_start(void **state)
{
	struct request *rq = allowed("workers scale");
	struct end end;

	(void)state;
	good("UPDATE dir.person SET state = 'suspended' WHERE display_name = 'Ana'");
	rq->plan = plan_of(3, 5);
	end = begin(A, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_DENIED);
	assert_string_equal(rq->code, "person_not_active");
	expect_sql("SELECT count(*) FROM ops.step", "0");
	assert_int_equal(A->n_owed, 2);
	assert_string_equal(A->owed[0]->kind, "audit");
	assert_string_equal(A->owed[1]->kind, "reply");
	request_destroy(rq);
}

static void test_take_over(void **state)
{
	struct request *rq = allowed("workers scale"), taken = { 0 };
	struct end end;

	(void)state;
	rq->plan = plan_of(3, 5);
	end = begin(A, rq);
	expect_good(&end);
	end = claim_due(B);
	expect_good(&end);
	assert_int_equal(B->rows, 0); /* the lease is A's */
	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	end = claim_due(B);
	expect_good(&end);
	assert_int_equal(B->rows, 1);
	assert_string_equal(B->row_id, rq->id);
	assert_int_equal(B->row_fence, 2);
	assert_string_equal(jget_str(B->row, "step.state"), "intent");
	assert_string_equal(jget_str(B->row, "state"), "running");

	/* The first worker is fenced off; what it says is only noted. */
	end = settle(A, rq, REQUEST_SUCCEEDED);
	assert_int_equal(end.kind, ERR_DENIED);
	expect_state(rq, "running");
	expect_sql("SELECT count(*) FROM ops.message WHERE kind <> 'link'", "0");
	expect_sql("SELECT outcome FROM ops.audit WHERE event = 'request.late_answer'", "unknown");
	rq->state = REQUEST_ALLOWED;
	end = begin(A, rq);
	assert_int_equal(end.kind, ERR_DENIED);

	taken = *rq;
	taken.fence = 2;
	end = settle(B, &taken, REQUEST_UNKNOWN);
	expect_good(&end);
	expect_state(rq, "unknown");
	expect_sql("SELECT state FROM ops.step", "unknown");
	expect_sql("SELECT wake_at > clock_timestamp() + interval '14 minutes' FROM ops.request",
		   "t");
	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	end = claim_due(A); /* nobody runs it again; the channel is reminded */
	expect_good(&end);
	assert_int_equal(A->rows, 0);
	expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'audit'", "2");
	request_destroy(rq);
}

static void test_start_needs_the_lease(void **state)
{
	struct request *rq = allowed("workers scale");
	struct end end;

	(void)state;
	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	rq->plan = plan_of(3, 5);
	end = begin(A, rq);
	assert_int_equal(end.kind, ERR_DENIED);
	assert_non_null(strstr(end.msg, rq->id));
	expect_sql("SELECT count(*) FROM ops.step", "0");
	request_destroy(rq);
}

static void test_given_up(void **state)
{
	struct request *rq = allowed("workers scale");
	struct end end;

	(void)state;
	rq->plan = plan_of(3, 5);
	end = begin(A, rq);
	expect_good(&end);
	good("UPDATE ops.request SET attempts = 5, wake_at = clock_timestamp()");
	end = claim_due(B);
	expect_good(&end);
	assert_int_equal(B->rows, 0);
	expect_state(rq, "unknown");
	expect_sql("SELECT state FROM ops.step", "unknown");
	request_destroy(rq);
}

static void test_renew(void **state)
{
	struct request *rq;
	struct end end;

	(void)state;
	clock_fake(clock_mono_ms()); /* no jump: what is held was held by this clock */
	rq = allowed("workers scale");
	good("UPDATE ops.request SET wake_at = clock_timestamp() + interval '5 seconds'");
	good("UPDATE ops.replica SET seen_at = seen_at - interval '5 minutes'");
	end = renew(A); /* held for less than 10 s: left alone */
	expect_good(&end);
	expect_sql("SELECT wake_at < clock_timestamp() + interval '20 seconds' FROM ops.request",
		   "t");
	expect_sql("SELECT string_agg(boot_id::text, ' ') FROM ops.replica WHERE seen_at > "
		   "clock_timestamp() - interval '4 minutes'",
		   "00000000-0000-4000-8000-00000000000a");
	expect_sql("SELECT ops.renew(" BOOT_A ", '{}', ARRAY[id, 'R0'], "
		   "ARRAY[1, 1])"
		   " FROM ops.request",
		   "{R0}");
	expect_sql("SELECT wake_at > clock_timestamp() + interval '50 seconds' FROM ops.request",
		   "t");
	expect_sql("SELECT ops.renew(" BOOT_A ", '{}', ARRAY[id], "
		   "ARRAY[2]) "
		   "IS DISTINCT FROM '{}'"
		   " FROM ops.request",
		   "t");
	/* Held for longer: the C side asks by itself; after a take-over it lets go. */
	good("UPDATE ops.request SET wake_at = clock_timestamp() + interval '5 seconds'");
	clock_fake_advance(20000);
	end = renew(A);
	expect_good(&end);
	expect_sql("SELECT wake_at > clock_timestamp() + interval '50 seconds' FROM ops.request",
		   "t");
	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	end = claim_due(B);
	expect_good(&end);
	assert_int_equal(B->rows, 1);
	good("UPDATE ops.request SET wake_at = clock_timestamp() + interval '5 seconds'");
	end = renew(A);
	expect_good(&end);
	expect_sql("SELECT wake_at < clock_timestamp() + interval '20 seconds' FROM ops.request",
		   "t");
	clock_fake_advance(20000);
	end = renew(B);
	expect_good(&end);
	expect_sql("SELECT wake_at > clock_timestamp() + interval '50 seconds' FROM ops.request",
		   "t");
	clock_real();
	request_destroy(rq);
}

static void test_secrets(void **state)
{
	struct request *rq =
		make("workers join", "ana", "{\"team\":\"ads\",\"token\":\"xyzzy-7\"}", NULL);
	struct end end;

	(void)state;
	json_object_set_new(rq->scope, "count", json_integer(1));
	end = receive(A, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_ALLOWED);
	expect_sql("SELECT text IS NULL AND args ->> 'token' = 'xyzzy-7' FROM ops.request", "t");
	rq->plan = plan_of(3, 5);
	end = begin(A, rq);
	expect_good(&end);
	expect_sql("SELECT params IS NULL FROM ops.step", "t");
	end = settle(A, rq, REQUEST_SUCCEEDED);
	expect_good(&end);
	expect_sql("SELECT args ->> 'token' FROM ops.request", "***");
	expect_sql("SELECT count(*) FROM ops.audit WHERE body LIKE '%xyzzy-7%'", "0");
	request_destroy(rq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_receive_allows),
		STORE_TEST(test_receive_refuses),
		STORE_TEST(test_receive_rejects),
		STORE_TEST(test_read_runs_at_once),
		STORE_TEST(test_decide_later),
		STORE_TEST(test_same_intent_again),
		STORE_TEST(test_race_of_one_intent),
		STORE_TEST(test_race_of_undos),
		STORE_TEST(test_whole_way),
		STORE_TEST(test_clicks_that_do_not_count),
		STORE_TEST(test_cancel_and_expiry),
		STORE_TEST(test_right_gone_at_start),
		STORE_TEST(test_take_over),
		STORE_TEST(test_start_needs_the_lease),
		STORE_TEST(test_given_up),
		STORE_TEST(test_renew),
		STORE_TEST(test_secrets),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
