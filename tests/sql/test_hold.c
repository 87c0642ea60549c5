/* SPDX-License-Identifier: Apache-2.0 */
/* hold: what keeps a change back, locks of targets and freezes: in every order, on two replicas. */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/approvals.h"
#include "store/hold.h"

#define A (&replicas[0])
#define B (&replicas[1])

/* Allowed, and planned on one object of the cluster. */
static struct request *planned(struct replica *replica, const char *user, const char *name)
{
	struct request *rq = make("workers scale", user,
				  "{\"count\":1,\"team\":\"ads\",\"reason\":\"load\"}", NULL);
	struct end end = receive(replica, rq);

	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_ALLOWED);
	rq->plan = plan_of(3, 5);
	json_object_set_new(json_object_get(rq->plan, "target"), "name", json_string(name));
	plan_digest(rq->plan, rq->digest);
	return rq;
}

static void expect_start(struct replica *replica, struct request *rq, enum request_state state)
{
	struct end end = begin(replica, rq);

	expect_good(&end);
	assert_int_equal(rq->state, state);
}

static void expect_settled(struct replica *replica, struct request *rq, enum request_state state)
{
	struct end end = settle(replica, rq, state);

	expect_good(&end);
}

/* locks */

static void test_one_change_at_a_time(void **state)
{
	struct request *first = planned(A, "ana", "w"), *second = planned(B, "ben", "w");
	struct request *other = planned(B, "ben", "v");

	(void)state;
	expect_start(A, first, REQUEST_RUNNING);
	expect_start(B, second, REQUEST_ALLOWED);
	assert_true(second->busy);
	expect_sql("SELECT count(*) FROM ops.step", "1");
	expect_sql("SELECT string_agg(event, ' ' ORDER BY id) FROM ops.audit WHERE person_id = 2",
		   "link.created request.allowed request.allowed");
	expect_start(B, other, REQUEST_RUNNING); /* another object */
	assert_false(other->busy);
	expect_settled(A, first, REQUEST_SUCCEEDED);
	expect_start(B, second, REQUEST_RUNNING);
	assert_false(second->busy);
	request_destroy(first);
	request_destroy(second);
	request_destroy(other);
}

static void test_who_waits_is_told_for_whom(void **state)
{
	struct request *first = planned(A, "ana", "w"), *second = planned(B, "ben", "w");
	struct end end;

	(void)state;
	expect_start(A, first, REQUEST_RUNNING);
	expect_start(B, second, REQUEST_ALLOWED);
	second->waits = 1; /* not for a moment only: its lease goes with it */
	good("UPDATE ops.request SET wake_at = clock_timestamp() + interval '5 s' WHERE state = "
	     "'allowed'");
	expect_start(B, second, REQUEST_ALLOWED);
	expect_sql("SELECT wake_at > clock_timestamp() + interval '50 s' FROM ops.request WHERE "
		   "state = "
		   "'allowed'",
		   "t");
	owed_forget(B);
	good("DELETE FROM ops.message WHERE kind <> 'progress'");
	end = outbox_claim(B, 10);
	expect_good(&end);
	assert_int_equal(B->n_owed, 1);
	assert_string_equal(B->owed[0]->kind, "progress");
	assert_string_equal(B->owed[0]->user, "U-ben");
	assert_string_equal(jget_str(B->owed[0]->body, "progress.waits_for.request"), first->id);
	assert_string_equal(jget_str(B->owed[0]->body, "progress.waits_for.name"), "Ana");
	assert_string_equal(jget_str(B->owed[0]->body, "progress.waits_for.reason"), "load");
	assert_true(jget_int(B->owed[0]->body, "progress.waits_for.since_ms", 0) > 0);
	assert_true(jget_int(B->owed[0]->body, "progress.waits_for.until_ms", 0) >
		    jget_int(B->owed[0]->body, "progress.waits_for.since_ms", 0));
	expect_settled(A, first, REQUEST_SUCCEEDED);
	second->waits = 2;
	expect_start(B, second, REQUEST_RUNNING);
	expect_sql("SELECT (body #> '{progress,waited}')::text FROM ops.message WHERE kind = "
		   "'progress'",
		   "true");
	request_destroy(first);
	request_destroy(second);
}

static void test_waiting_ends(void **state)
{
	struct request *first = planned(A, "ana", "w"), *second = planned(B, "ben", "w");

	(void)state;
	expect_start(A, first, REQUEST_RUNNING);
	second->waits = 25;
	expect_start(B, second, REQUEST_DENIED);
	assert_false(second->busy);
	assert_string_equal(second->code, "busy");
	assert_string_equal(jget_str(second->detail, "holder.request"), first->id);
	expect_sql("SELECT count(*) FROM ops.audit WHERE event = 'request.denied'", "1");
	request_destroy(first);
	request_destroy(second);
}

static void test_unknown_keeps_its_target(void **state)
{
	struct request *first = planned(A, "ana", "w"), *second = planned(B, "ben", "w");
	char sql[200];

	(void)state;
	expect_start(A, first, REQUEST_RUNNING);
	expect_settled(A, first, REQUEST_UNKNOWN);
	expect_start(B, second, REQUEST_DENIED); /* that may last for days */
	assert_string_equal(jget_str(second->detail, "holder.state"), "unknown");
	request_destroy(second);
	snprintf(sql, sizeof(sql), "SELECT ops.resolve('%s', 'failed', 'looked')", first->id);
	good(sql);
	second = planned(B, "ben", "w");
	expect_start(B, second, REQUEST_RUNNING);
	request_destroy(first);
	request_destroy(second);
}

/* The lock of a replica that died is taken over with its request, never merely forgotten. */
static void test_lock_of_the_dead(void **state)
{
	struct request *first = planned(A, "ana", "w"), *second = planned(B, "ben", "w");
	struct request *taken = make_click(first, "ana", NULL);
	struct end end;

	(void)state;
	expect_start(A, first, REQUEST_RUNNING);
	good("UPDATE ops.request SET wake_at = clock_timestamp() WHERE state = 'running'");
	expect_start(B, second, REQUEST_ALLOWED);
	assert_true(second->busy);
	end = claim_due(B);
	expect_good(&end);
	assert_int_equal(B->rows, 1);
	taken->fence = B->row_fence;
	expect_settled(B, taken, REQUEST_SUCCEEDED);
	expect_start(B, second, REQUEST_RUNNING);
	request_destroy(first);
	request_destroy(second);
	request_destroy(taken);
}

static void test_a_refused_start_leaves_no_lock(void **state)
{
	struct request *first = planned(A, "ana", "w"), *second = planned(B, "ben", "w");
	struct end end;

	(void)state;
	good("DELETE FROM dir.membership WHERE person_id = 1");
	expect_start(A, first, REQUEST_DENIED);
	assert_string_equal(first->code, "no_matching_grant");
	good("UPDATE ops.request SET fence = fence + 1 WHERE state = 'allowed'");
	end = begin(B, second);
	assert_int_equal(end.kind, ERR_DENIED); /* fenced off */
	expect_sql("SELECT count(*) FROM ops.step", "0");
	request_destroy(first);
	request_destroy(second);
}

/* What a POST makes is nobody's yet: two may be under way. */
static void test_no_lock_without_an_object(void **state)
{
	struct request *rqs[2] = { planned(A, "ana", "w"), planned(B, "ben", "w") };

	(void)state;
	for (int i = 0; i < 2; i++) {
		json_decref(rqs[i]->plan);
		rqs[i]->plan = json_pack("{s:{s:s,s:s,s:s},s:[]}", "target", "api", "platform",
					 "method", "POST", "path", "/tasks", "changes");
		expect_start(i == 0 ? A : B, rqs[i], REQUEST_RUNNING);
		request_destroy(rqs[i]);
	}
}

struct begun {
	struct end end;
	struct request *rq;
};

/* Sixteen at once, from two replicas: one. */
static void test_many_at_once(void **state)
{
	struct begun begun[16] = { 0 };
	json_t *with = json_object();
	size_t running = 0, busy = 0;

	(void)state;
	for (size_t i = 0; i < 16; i++)
		begun[i].rq = planned(&replicas[i % 2], "ana", "w");
	for (size_t i = 0; i < 16; i++)
		store_start(replicas[i % 2].store, begun[i].rq, "conditional", with, on_end,
			    &begun[i].end);
	for (size_t i = 0; i < 16; i++) {
		while (begun[i].end.n == 0)
			once();
		expect_good(&begun[i].end);
		running += begun[i].rq->state == REQUEST_RUNNING;
		busy += begun[i].rq->busy;
		request_destroy(begun[i].rq);
	}
	assert_int_equal(running, 1);
	assert_int_equal(busy, 15);
	json_decref(with);
}

/* freezes */

#define FREEZE(WHAT) "SELECT ops.freeze_by_login('" WHAT "', 'incident', null)"

static void test_freeze_stops_starts(void **state)
{
	struct request *rq = planned(A, "ana", "w");
	struct request *read = make("datasets list", "ana", "{\"team\":\"ads\"}", NULL);
	struct end end;

	(void)state;
	good(FREEZE("{}"));
	expect_start(A, rq, REQUEST_DENIED);
	assert_string_equal(rq->code, "frozen");
	assert_string_equal(jget_str(json_array_get(jget(rq->detail, "frozen"), 0), "reason"),
			    "incident");
	assert_string_equal(jget_str(json_array_get(jget(rq->detail, "frozen"), 0), "by"), "owner");
	expect_sql("SELECT count(*) FROM ops.step", "0");
	end = receive(A, read); /* reads go on */
	expect_good(&end);
	assert_int_equal(read->state, REQUEST_RUNNING);
	request_destroy(rq);
	good("SELECT ops.unfreeze_by_login(null, 'over')");
	rq = planned(A, "ana", "w");
	expect_start(A, rq, REQUEST_RUNNING);
	expect_sql("SELECT string_agg(event, ' ' ORDER BY id) FROM ops.audit WHERE event LIKE "
		   "'freeze.%' AND body::json #>> '{observer,login}' = 'owner'",
		   "freeze.set freeze.lifted");
	expect_sql(
		"SELECT count(*) FROM ops.message WHERE kind = 'audit' AND body ->> 'outcome' IN "
		"('frozen', 'unfrozen')",
		"2");
	request_destroy(rq);
	request_destroy(read);
}

static void expect_covered(const char *what, bool covered)
{
	struct request *rq = planned(A, "ana", "workers-dev");
	char sql[300];

	snprintf(sql, sizeof(sql), "SELECT ops.freeze_by_login('%s', 'r', null)", what);
	good(sql);
	expect_start(A, rq, covered ? REQUEST_DENIED : REQUEST_RUNNING);
	if (!covered)
		expect_settled(A, rq, REQUEST_SUCCEEDED);
	good("SELECT ops.unfreeze_by_login(null, 'over')");
	owed_forget(A);
	request_destroy(rq);
}

/* workers.scale of team ads on Deployment ads/workers-dev in cluster main */
static void test_what_a_freeze_covers(void **state)
{
	(void)state;
	expect_covered("{\"action\":\"workers.scale\"}", true);
	expect_covered("{\"action\":\"workers.*\"}", true);
	expect_covered("{\"action\":\"workers.drop\"}", false);
	expect_covered("{\"action\":\"workers_scale\"}", false); /* no wildcard but the star */
	expect_covered("{\"cluster\":\"main\"}", true);
	expect_covered("{\"cluster\":\"other\"}", false);
	expect_covered("{\"namespace\":\"ads\",\"name\":\"*-dev\"}", true);
	expect_covered("{\"namespace\":\"ads\",\"name\":\"*-prod\"}", false);
	expect_covered("{\"team\":\"ads\"}", true);
	expect_covered("{\"team\":\"web\"}", false);
	expect_covered("{\"team\":\"ads\",\"cluster\":\"other\"}", false);
	expect_covered("{\"role\":\"prod\"}", true); /* it does not say: it may be meant */
}

static void test_freeze_ends_by_itself(void **state)
{
	struct request *rq = planned(A, "ana", "w");

	(void)state;
	good("SELECT ops.freeze_by_login('{}', 'for a while', 3600)");
	good("UPDATE ops.freeze SET since = since - interval '2 h', ends_at = ends_at - interval "
	     "'2 "
	     "h'");
	expect_start(A, rq, REQUEST_RUNNING);
	good("SELECT ops.sweep('{}', 10)");
	expect_sql("SELECT count(*) FROM ops.freeze", "0");
	expect_sql("SELECT count(*) FROM ops.audit WHERE event = 'freeze.ended'", "1");
	request_destroy(rq);
}

/* A start that did not see the freeze ends before it; one that begins later sees it. */
static void test_freeze_waits_for_starts(void **state)
{
	struct request *rq = planned(A, "ana", "w");
	struct db_session *session = aside();
	struct seen seen;
	char sql[1000];

	(void)state;
	snprintf(sql, sizeof(sql),
		 "BEGIN; SELECT ops.start(" BOOT_A ", '{}', '%s', 1, "
		 "'k', 'conditional', null, null, 'd', null, 'main/w', 0, null, 0)",
		 rq->id);
	aside_run(session, sql);
	seen = ask(FREEZE("{}"));
	assert_string_equal(seen.sqlstate, "55P03"); /* it waits, here not for long */
	expect_sql("SELECT count(*) FROM ops.freeze", "0");
	aside_run(session, "COMMIT");
	good(FREEZE("{}"));
	db_session_close(session);
	request_destroy(rq);
}

/* An effect that did not happen is not tried again under a freeze, nor by who lost the request. */
static void test_freeze_stops_a_repeat(void **state)
{
	struct request *rq = planned(A, "ana", "w");
	struct end end = { 0 };

	(void)state;
	expect_start(A, rq, REQUEST_RUNNING);
	store_repeat(A->store, rq, on_end, &end);
	wait_end(&end);
	expect_good(&end);
	assert_false(rq->frozen);
	good(FREEZE("{}"));
	end = (struct end){ 0 };
	store_repeat(A->store, rq, on_end, &end);
	wait_end(&end);
	expect_good(&end);
	assert_true(rq->frozen);
	assert_non_null(strstr(rq->err.msg, "incident"));
	expect_sql("SELECT string_agg(outcome::text, ' ' ORDER BY id) FROM ops.audit WHERE event = "
		   "'request.repeated'",
		   "attempt denied");
	good("UPDATE ops.request SET fence = fence + 1");
	end = (struct end){ 0 };
	store_repeat(A->store, rq, on_end, &end);
	wait_end(&end);
	assert_int_equal(end.kind, ERR_DENIED);
	request_destroy(rq);
}

static void test_preview_and_reader_show_it(void **state)
{
	struct request *rq = make("workers restart", "ana", "{\"team\":\"ads\"}", NULL);
	struct end end = receive(A, rq);

	(void)state;
	expect_good(&end);
	good(FREEZE("{\"team\":\"ads\"}"));
	rq->plan = plan_of(3, 5);
	plan_digest(rq->plan, rq->digest);
	end = offer(A, rq);
	expect_good(&end);
	assert_string_equal(jget_str(json_array_get(jget(A->owed[0]->body, "frozen"), 0), "reason"),
			    "incident");
	expect_sql("SELECT body #>> '{frozen,0,reason}' FROM ops.message WHERE kind = 'preview'",
		   "incident");
	expect_sql("SELECT ops.freezes() #>> '{0,what,team}'", "ads");
	request_destroy(rq);
}

/* As long as one replica with read_only in its configuration lives, and not longer. */
static void test_read_only(void **state)
{
	struct request *rq = planned(A, "ana", "w");

	(void)state;
	good("SELECT ops.hello('00000000-0000-4000-8000-00000000000c', '{}', 'h', 'v', true)");
	good("SELECT ops.unfreeze_by_login(null, 'try')");
	expect_start(A, rq, REQUEST_DENIED);
	assert_string_equal(jget_str(json_array_get(jget(rq->detail, "frozen"), 0), "by"),
			    "the configuration");
	good("SELECT ops.sweep('{}', 10)");
	expect_sql("SELECT count(*) FROM ops.freeze", "1");
	good("UPDATE ops.replica SET seen_at = seen_at - interval '2 min' WHERE read_only");
	good("SELECT ops.sweep('{}', 10)");
	expect_sql("SELECT count(*) FROM ops.freeze", "0");
	good("SELECT ops.renew('00000000-0000-4000-8000-00000000000c', '{}', '{}', '{}')");
	expect_sql("SELECT id FROM ops.freeze", "read_only");
	request_destroy(rq);
}

/* what is unknown */

/* Ben may approve what Ana asks for. */
static void let_approve(void)
{
	good("INSERT INTO authz.permit (stable_key, capability, action_id, group_id, origin, "
	     "revision)"
	     " SELECT 'sre-approves', 'approve', a.action_id, g.group_id, 'file', 93 FROM "
	     "authz.action a,"
	     " dir.grp g WHERE a.name = 'workers.scale' AND g.name_key = 'sre'");
	good("INSERT INTO authz.permit_scope (grant_id, param, any_value) SELECT grant_id, 'team', "
	     "true"
	     " FROM authz.permit WHERE stable_key = 'sre-approves'");
}

static struct request *unknown(void)
{
	struct request *rq = planned(A, "ana", "w");

	expect_start(A, rq, REQUEST_RUNNING);
	rq->outcome = json_pack("{s:{s:s}}", "evidence", "resourceVersion", "77");
	expect_settled(A, rq, REQUEST_UNKNOWN);
	return rq;
}

static struct request *says(const struct request *rq, const char *user, const char *kind)
{
	struct request *click = make_click(rq, user, NULL);

	click->delivery.kind = kind;
	return click;
}

static void resolve(struct replica *replica, struct request *click, json_t **ret_row)
{
	struct end end = { 0 };
	json_t *row = NULL;

	store_resolve(replica->store, click, &row, on_end, &end);
	wait_end(&end);
	expect_good(&end);
	if (ret_row != NULL)
		*ret_row = row;
	else
		assert_null(row);
}

static void test_unknown_owes_a_message(void **state)
{
	struct request *rq = unknown();
	struct end end;

	(void)state;
	let_approve();
	good("DELETE FROM ops.message WHERE kind <> 'doubt'");
	owed_forget(B);
	end = outbox_claim(B, 10);
	expect_good(&end);
	assert_int_equal(B->n_owed, 1);
	assert_string_equal(B->owed[0]->kind, "doubt");
	assert_string_equal(B->owed[0]->channel, "CAPPROVE");
	assert_string_equal(jget_str(B->owed[0]->body, "state"), "unknown");
	assert_string_equal(jget_str(B->owed[0]->body, "doubt.evidence.resourceVersion"), "77");
	assert_true(jget_int(B->owed[0]->body, "doubt.began_ms", 0) > 0);
	assert_string_equal(
		jget_str(json_array_get(json_object_get(B->owed[0]->body, "asked"), 0), "name"),
		"Sam");
	request_destroy(rq);
}

static void test_who_may_say_so(void **state)
{
	struct request *rq = unknown(), *click;

	(void)state;
	let_approve();
	click = says(rq, "ben", "happened"); /* may ask, not approve */
	resolve(A, click, NULL);
	assert_string_equal(click->code, "not_resolver");
	request_destroy(click);
	good("INSERT INTO authz.permit (stable_key, capability, action_id, person_id, origin, "
	     "revision, valid)"
	     " SELECT 'ana', 'approve', action_id, 1, 'file', 93, tstzrange(now() - interval '1 "
	     "h', now() + "
	     "interval '1 h') FROM authz.action WHERE name = 'workers.scale'");
	good("INSERT INTO authz.permit_scope (grant_id, param, any_value) SELECT grant_id, 'team', "
	     "true"
	     " FROM authz.permit WHERE stable_key = 'ana'");
	click = says(rq, "ana", "happened"); /* may approve, but asked for it */
	resolve(A, click, NULL);
	assert_string_equal(click->code, "not_resolver");
	request_destroy(click);
	expect_sql("SELECT count(*) FROM ops.audit WHERE event = 'resolve.refused'", "2");
	expect_sql("SELECT state FROM ops.request", "unknown");
	good("INSERT INTO authz.action (name, risk) VALUES ('ops.resolve', 1)");
	good("INSERT INTO authz.permit (stable_key, capability, action_id, group_id, origin, "
	     "revision)"
	     " SELECT 'resolve', 'request', a.action_id, g.group_id, 'file', 93 FROM authz.action "
	     "a, dir.grp g"
	     " WHERE a.name = 'ops.resolve' AND g.name_key = 'ads-oncall'");
	click = says(rq, "ana", "not_happened"); /* a grant of its own */
	resolve(A, click, NULL);
	assert_null(click->code);
	expect_sql("SELECT state FROM ops.request", "failed");
	expect_sql("SELECT state FROM ops.step", "not_applied");
	request_destroy(click);
	request_destroy(rq);
}

static void test_it_happened(void **state)
{
	struct request *rq = unknown(), *click = says(rq, "sam", "happened");
	struct request *again = says(rq, "sam", "again"), *next = planned(B, "ben", "w");

	(void)state;
	let_approve();
	resolve(B, click, NULL);
	assert_null(click->code);
	assert_int_equal(click->state, REQUEST_SUCCEEDED);
	expect_sql("SELECT state || ' ' || error FROM ops.request WHERE person_id = 1",
		   "succeeded Sam looked and says that it happened.");
	expect_sql("SELECT state FROM ops.step", "applied");
	expect_sql("SELECT body::json #>> '{evidence,name}' FROM ops.audit WHERE event = "
		   "'request.succeeded'",
		   "Sam");
	expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'doubt' AND due_at IS NOT NULL "
		   "AND rev = 2",
		   "1");
	resolve(A, again, NULL); /* late */
	assert_string_equal(again->code, "resolved_already");
	expect_start(B, next, REQUEST_RUNNING); /* the object is free */
	request_destroy(rq);
	request_destroy(click);
	request_destroy(again);
	request_destroy(next);
}

static void test_try_again(void **state)
{
	struct request *rq = unknown(), *click = says(rq, "sam", "again");
	json_t *row = NULL;

	(void)state;
	let_approve();
	good("DELETE FROM authz.permit_scope s USING authz.permit g WHERE g.grant_id = s.grant_id "
	     "AND "
	     "g.stable_key = 'sre-workers.scale'");
	resolve(A, click, NULL); /* Sam may not ask for it: all stays as it was */
	assert_string_equal(click->code, "no_matching_grant");
	expect_sql("SELECT string_agg(state::text, ' ' ORDER BY created_at) FROM ops.request",
		   "unknown denied");
	request_destroy(click);
	good("INSERT INTO authz.permit_scope (grant_id, param, any_value) SELECT grant_id, 'team', "
	     "true"
	     " FROM authz.permit WHERE stable_key = 'sre-workers.scale'");
	click = says(rq, "sam", "again");
	resolve(A, click, &row);
	assert_null(click->code);
	assert_non_null(row);
	assert_string_equal(jget_str(row, "state"), "allowed");
	assert_string_equal(jget_str(row, "slack_user"), "U-sam");
	assert_string_equal(jget_str(row, "command"), "workers scale");
	assert_int_equal(jget_int(row, "args.count", 0), 1);
	assert_string_not_equal(jget_str(row, "id"), rq->id);
	expect_sql("SELECT string_agg(state::text, ' ' ORDER BY created_at) FROM ops.request",
		   "failed denied allowed");
	json_decref(row);
	request_destroy(rq);
	request_destroy(click);
}

/* Everybody presses something at once, twice: one of them counts. */
static void test_racing_clicks(void **state)
{
	static const char *const kinds[] = { "happened", "not_happened", "again" };
	struct request *rq = unknown(), *clicks[18];
	struct end ends[18] = { 0 };
	json_t *rows[18] = { 0 };
	size_t counted = 0, again = 0;

	(void)state;
	let_approve();
	for (size_t i = 0; i < 18; i++) {
		char dedup[20];

		snprintf(dedup, sizeof(dedup), "click-%zu", i / 2); /* each is delivered twice */
		clicks[i] = make_click(rq, "sam", dedup);
		clicks[i]->delivery.kind = kinds[i / 2 % 3];
		store_resolve(replicas[i % 2].store, clicks[i], &rows[i], on_end, &ends[i]);
	}
	for (size_t i = 0; i < 18; i++) {
		while (ends[i].n == 0)
			once();
		expect_good(&ends[i]);
		counted += clicks[i]->code == NULL && clicks[i]->known_id == NULL;
		again += rows[i] != NULL;
		json_decref(rows[i]);
		request_destroy(clicks[i]);
	}
	assert_int_equal(counted, 1);
	assert_in_range(again, 0, 1);
	expect_sql("SELECT count(*) FROM ops.audit WHERE event IN ('request.succeeded', "
		   "'request.failed')",
		   "1");
	request_destroy(rq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_one_change_at_a_time),
		STORE_TEST(test_who_waits_is_told_for_whom),
		STORE_TEST(test_waiting_ends),
		STORE_TEST(test_unknown_keeps_its_target),
		STORE_TEST(test_lock_of_the_dead),
		STORE_TEST(test_a_refused_start_leaves_no_lock),
		STORE_TEST(test_no_lock_without_an_object),
		STORE_TEST(test_many_at_once),
		STORE_TEST(test_freeze_stops_starts),
		STORE_TEST(test_what_a_freeze_covers),
		STORE_TEST(test_freeze_ends_by_itself),
		STORE_TEST(test_freeze_waits_for_starts),
		STORE_TEST(test_freeze_stops_a_repeat),
		STORE_TEST(test_preview_and_reader_show_it),
		STORE_TEST(test_read_only),
		STORE_TEST(test_unknown_owes_a_message),
		STORE_TEST(test_who_may_say_so),
		STORE_TEST(test_it_happened),
		STORE_TEST(test_try_again),
		STORE_TEST(test_racing_clicks),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
