/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals: who may vote, for what and until when; cards that follow the row; and fifty approvers
 * on two replicas at once, of whom exactly as many count as are needed.
 */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "store/approvals.h"

enum { CROWD = 50 };

#define A (&replicas[0])
#define B (&replicas[1])

/* Sam and a crowd of sre may approve restarts; sre is also a group that a rule may name. */
static void hire(void)
{
	good("INSERT INTO dir.person (source_id, external_id, state, kind, display_name, "
	     "first_gen, "
	     "last_gen) SELECT s.source_id, 'u-x' || i, 'active', 'human', 'X' || i, 1, 1 FROM "
	     "dir.source s, generate_series(1, 50) i");
	good("INSERT INTO dir.person_email SELECT lower(display_name) || '@example.com', "
	     "person_id, "
	     "true FROM dir.person WHERE external_id LIKE 'u-x%'");
	good("INSERT INTO dir.membership SELECT p.person_id, g.group_id, true, 1 FROM dir.person "
	     "p, "
	     "dir.grp g WHERE p.external_id LIKE 'u-x%' AND g.name_key = 'sre'");
	good("INSERT INTO authz.permit (stable_key, capability, action_id, group_id, origin, "
	     "revision) SELECT 'sre-approve', 'approve', a.action_id, g.group_id, 'file', 93 FROM "
	     "authz.action a, dir.grp g WHERE a.name = 'workers.restart' AND g.name_key = 'sre'");
	good("INSERT INTO authz.permit_scope (grant_id, param, any_value) SELECT grant_id, 'team', "
	     "true FROM authz.permit WHERE stable_key = 'sre-approve'");
}

static struct end ask_approval(struct replica *replica, struct request *rq, const json_t *changed)
{
	struct end end = { 0 };

	store_ask(replica->store, rq, changed, on_end, &end);
	wait_end(&end);
	return end;
}

/* received by Ana, planned, asked */
static struct request *asked(json_t *rules)
{
	struct request *rq = make("workers restart", "ana", "{\"team\":\"ads\"}", NULL);
	struct end end = receive(A, rq);

	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_ALLOWED);
	rq->plan = plan_of(3, 5);
	plan_digest(rq->plan, rq->digest);
	rq->rules = rules;
	end = ask_approval(A, rq, NULL);
	expect_good(&end);
	return rq;
}

static json_t *need(int n)
{
	return json_pack("[{s:i, s:s}]", "need", n, "can_approve", "workers.restart");
}

/* The answer to one click; the caller destroys it. */
static struct request *vote(struct replica *replica, const struct request *rq, const char *user,
			    const char *kind, json_t **ret_row)
{
	struct request *click = make_click(rq, user, NULL);
	struct end end = { 0 };
	json_t *row = NULL;

	click->delivery.kind = kind;
	click->reason = "because";
	store_vote(replica->store, click, &row, on_end, &end);
	wait_end(&end);
	expect_good(&end);
	if (ret_row != NULL)
		*ret_row = row;
	else
		json_decref(row);
	return click;
}

static void expect_vote(const struct request *rq, const char *user, const char *kind,
			const char *code)
{
	struct request *click = vote(B, rq, user, kind, NULL);

	assert_string_equal(click->code != NULL ? click->code : "counts", code);
	request_destroy(click);
}

static void expect_card(const char *state, const char *ts)
{
	bool seen = false;

	owed_forget(A);
	(void)outbox_claim(A, 50);
	for (size_t i = 0; i < A->n_owed; i++) {
		if (!str_eq(A->owed[i]->kind, "card"))
			continue;
		seen = true;
		assert_string_equal(jget_str(A->owed[i]->body, "state"), state);
		assert_string_equal(A->owed[i]->ts != NULL ? A->owed[i]->ts : "none", ts);
		assert_string_equal(A->owed[i]->channel, "CAPPROVE");
	}
	assert_true(seen);
}

static void mark_cards(const char *ts)
{
	struct owed_mark mark = { .end = OWED_DELIVERED };

	for (size_t i = 0; i < A->n_owed; i++) {
		struct end end = { 0 };

		mark.id = A->owed[i]->id;
		snprintf(mark.ts, sizeof(mark.ts), "%s",
			 str_eq(A->owed[i]->kind, "card") ? ts : "9.9");
		store_outbox_mark(A->store, &mark, 1, on_end, &end);
		wait_end(&end);
		expect_good(&end);
	}
}

static void test_asking(void **state)
{
	struct request *rq;

	(void)state;
	hire();
	rq = asked(need(1));
	assert_int_equal(rq->state, REQUEST_APPROVING);
	expect_sql("SELECT state FROM ops.request", "approving");
	expect_sql("SELECT claimed_by IS NULL AND wake_at < expires_at FROM ops.request", "t");
	expect_sql("SELECT cardinality(asked) FROM ops.approval", "3");
	/* The requester is told whom it waits for. */
	assert_int_equal(A->n_owed, 1);
	assert_string_equal(A->owed[0]->kind, "reply");
	assert_int_equal(json_array_size(jget(A->owed[0]->body, "approval.asked")), 3);
	expect_card("approving", "none");
	request_destroy(rq);
}

static void test_too_few_is_said_at_once(void **state)
{
	struct request *rq;

	(void)state;
	rq = asked(need(1)); /* nobody was hired */
	assert_int_equal(rq->state, REQUEST_DENIED);
	assert_string_equal(rq->code, "too_few_approvers");
	expect_sql("SELECT count(*) FROM ops.approval", "0");
	request_destroy(rq);
	rq = asked(json_pack("[{s:i, s:s}]", "need", 1, "group", "nobody-knows-it"));
	assert_string_equal(rq->code, "too_few_approvers");
	request_destroy(rq);
	rq = asked(json_pack("[{s:i, s:s}]", "need", 2, "group", "ads-oncall"));
	assert_string_equal(rq->code, "too_few_approvers"); /* Ana asks, so only Ben is left */
	request_destroy(rq);
	rq = asked(json_pack("[{s:i, s:s}]", "need", 1, "group", "ADS-oncall"));
	assert_int_equal(rq->state, REQUEST_APPROVING);
	request_destroy(rq);
}

static void test_who_may_vote(void **state)
{
	struct request *rq, *other;

	(void)state;
	hire();
	rq = asked(need(2));
	other = asked(need(2));
	expect_vote(rq, "ana", "approve", "own_request");
	expect_vote(rq, "ana", "deny", "own_request");
	expect_vote(rq, "ben", "approve", "not_approver");
	expect_vote(rq, "ben", "withdraw", "not_requester");
	expect_vote(rq, "sue", "approve", "person_not_active");
	expect_vote(rq, "nobody", "approve", "unknown_address");
	expect_vote(rq, "sam", "approve", "counts");
	expect_vote(rq, "sam", "approve", "voted_already");
	expect_vote(rq, "sam", "deny", "voted_already");
	expect_sql("SELECT count(*) FROM ops.vote", "1");
	expect_sql("SELECT count(*) FROM ops.audit WHERE event = 'vote.refused'", "8");
	json_decref(other->plan);
	other->plan = NULL;
	snprintf(other->digest, sizeof(other->digest), "%064d", 1);
	expect_vote(other, "sam", "approve", "stale_card");
	good("UPDATE ops.approval SET expires_at = clock_timestamp()");
	expect_vote(rq, "x1", "approve", "too_late");
	expect_sql("SELECT state FROM ops.request WHERE state <> 'approving'", "");
	request_destroy(rq);
	request_destroy(other);
}

static void test_deny_and_withdraw_end_it(void **state)
{
	struct request *denied, *withdrawn;

	(void)state;
	hire();
	denied = asked(need(2));
	withdrawn = asked(need(2));
	expect_vote(denied, "sam", "deny", "counts");
	expect_vote(denied, "x1", "approve", "too_late");
	expect_vote(withdrawn, "ana", "withdraw", "counts");
	expect_vote(withdrawn, "sam", "approve", "too_late");
	expect_sql(
		"SELECT string_agg(state || ' ' || coalesce(code, ''), ', ' ORDER BY state) FROM "
		"ops.request",
		"denied approver_denied, cancelled allowed");
	expect_sql("SELECT detail ->> 'reason' FROM ops.request WHERE state = 'denied'", "because");
	request_destroy(denied);
	request_destroy(withdrawn);
}

static void test_card_follows_the_row(void **state)
{
	struct request *rq;

	(void)state;
	hire();
	rq = asked(need(2));
	expect_card("approving", "none");
	mark_cards("7.7");
	expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'card' AND due_at IS NOT NULL",
		   "0");
	expect_vote(rq, "sam", "approve", "counts");
	expect_card("approving", "7.7");
	/* It changes once more while that edit is under way: it stays owed. */
	expect_vote(rq, "ana", "withdraw", "counts");
	mark_cards("7.7");
	expect_card("cancelled", "7.7");
	mark_cards("8.8"); /* somebody had deleted it */
	expect_sql("SELECT reposted FROM ops.message WHERE kind = 'card'", "t");
	request_destroy(rq);
}

/* Approved by one, carried on by B, as row. */
static struct request *approved(struct request *rq, json_t **ret_row)
{
	struct request *click = vote(B, rq, "sam", "approve", ret_row);

	assert_non_null(*ret_row);
	assert_int_equal(click->state, REQUEST_ALLOWED);
	assert_string_equal(jget_str(*ret_row, "approved"), rq->digest);
	rq->fence = click->fence;
	return click;
}

static void test_start_counts_again(void **state)
{
	struct request *rq, *click;
	struct end end;
	json_t *row;

	(void)state;
	hire();
	rq = asked(need(1));
	click = approved(rq, &row);
	request_destroy(click);
	json_decref(row);
	good("DELETE FROM dir.membership m USING dir.person p WHERE p.person_id = m.person_id AND "
	     "p.display_name = 'Sam'");
	end = begin(B, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_APPROVING);
	expect_sql("SELECT count(*) FROM ops.step", "0");
	expect_sql("SELECT state FROM ops.request", "approving");
	click = vote(B, rq, "x1", "approve", &row);
	assert_non_null(row);
	rq->fence = click->fence;
	request_destroy(click);
	json_decref(row);
	json_decref(rq->rules);
	rq->rules = need(2); /* the policy of now wants two */
	end = begin(B, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_APPROVING);
	click = vote(B, rq, "x2", "approve", &row);
	assert_non_null(row);
	rq->fence = click->fence;
	request_destroy(click);
	json_decref(row);
	end = begin(A, rq); /* not A's */
	assert_int_equal(end.kind, ERR_DENIED);
	end = begin(B, rq);
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_RUNNING);
	expect_sql("SELECT count(*) FROM ops.step", "1");
	request_destroy(rq);
}

static void test_changed_plan_voids_votes(void **state)
{
	struct request *rq, *click;
	struct end end;
	json_t *row,
		*before = json_pack("[{s:s, s:i, s:i}]", "field", "replicas", "from", 3, "to", 5);

	(void)state;
	hire();
	rq = asked(need(1));
	click = approved(rq, &row);
	json_decref(rq->plan);
	rq->plan = plan_of(4, 5);
	plan_digest(rq->plan, rq->digest);
	end = begin(B, rq); /* not what was approved */
	expect_good(&end);
	assert_int_equal(rq->state, REQUEST_ALLOWED);
	assert_string_equal(rq->code, "needs_approval");
	expect_sql("SELECT count(*) FROM ops.step", "0");
	end = ask_approval(B, rq, before);
	expect_good(&end);
	expect_vote(click, "x1", "approve", "stale_card");
	expect_sql("SELECT max(round) || ' ' || count(*) FROM ops.approval", "2 2");
	expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'card'", "2");
	expect_vote(rq, "sam", "approve", "counts"); /* again, on what it is now */
	json_decref(before);
	json_decref(row);
	request_destroy(click);
	request_destroy(rq);
}

static void test_disowned_vote_does_not_count(void **state)
{
	struct request *rq, *click;
	char sql[400];
	json_t *row;

	(void)state;
	hire();
	rq = asked(need(1));
	click = approved(rq, &row);
	snprintf(sql, sizeof(sql),
		 "SELECT what FROM ops.disown(" BOOT_B ", '{}', '%s', "
		 "'%s', '%s', 'approve', true, false)",
		 rq->id, click->delivery.envelope_id, click->delivery.dedup);
	expect_sql(sql, "released");
	expect_sql("SELECT state FROM ops.request", "approving");
	expect_sql("SELECT count(*) FROM ops.vote", "0");
	expect_vote(rq, "x1", "approve", "counts");
	json_decref(row);
	request_destroy(click);
	request_destroy(rq);
}

static void test_timers(void **state)
{
	struct request *rq;

	(void)state;
	hire();
	rq = asked(need(1));
	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	(void)claim_due(A);
	assert_int_equal(A->rows, 0);
	expect_sql("SELECT cardinality(asked) BETWEEN 10 AND 13 FROM ops.approval", "t");
	expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'ask'", "1");
	good("UPDATE ops.request SET wake_at = clock_timestamp()");
	(void)claim_due(B); /* names nobody twice */
	expect_sql("SELECT count(*) FROM ops.message WHERE kind = 'ask'", "1");
	good("UPDATE ops.request SET wake_at = clock_timestamp(), expires_at = clock_timestamp()");
	(void)claim_due(B);
	expect_sql("SELECT state FROM ops.request", "expired");
	request_destroy(rq);
}

static void test_deadlocks(void **state)
{
	static const char question[] =
		"SELECT coalesce(string_agg(scope || ' ' || need || ' ' || have || ' ' || "
		"requesters, ', ' "
		"ORDER "
		"BY scope), '') FROM ops.approval_deadlocks('[{\"command\": \"c\", \"action\": "
		"\"workers.restart\", \"risk\": 2, \"need\": 1, \"can_approve\": "
		"\"workers.restart\"}]')";

	(void)state;
	/* Nobody may approve: Ana and Ben for ads, Sam for whatever. */
	expect_sql(question, "team=(any other) 1 0 1, team=ads 1 0 3");
	hire();
	expect_sql(question, "");
	/* Only Sam may approve, and he may ask too. */
	good("UPDATE dir.person SET state = 'suspended' WHERE external_id LIKE 'u-x%'");
	expect_sql(question, "team=(any other) 1 1 1, team=ads 1 1 1");
}

/* fifty at once */

struct racer {
	struct request *click;
	struct end end;
	json_t *row;
};

static struct racer racers[CROWD];
static unsigned over;

static void on_raced(void *data, const struct err *err)
{
	struct racer *racer = data;

	on_end(&racer->end, err);
	over++;
}

static void test_fifty_at_once(void **state)
{
	unsigned won = 0, counted = 0;
	struct request *rq;
	struct end end;

	(void)state;
	hire();
	rq = asked(need(2));
	over = 0;
	for (int i = 0; i < CROWD; i++) {
		char user[16];

		snprintf(user, sizeof(user), "x%d", i + 1);
		racers[i] = (struct racer){ .click = make_click(rq, user, NULL) };
		racers[i].click->delivery.kind = "approve";
		store_vote(replicas[i % 2].store, racers[i].click, &racers[i].row, on_raced,
			   &racers[i]);
	}
	while (over < CROWD)
		once();
	for (int i = 0; i < CROWD; i++) {
		struct racer *racer = &racers[i];

		expect_good(&racer->end);
		counted += racer->click->code == NULL;
		if (racer->row != NULL) {
			won++;
			rq->fence = racer->click->fence;
			end = begin(&replicas[i % 2], rq);
			expect_good(&end);
			assert_int_equal(rq->state, REQUEST_RUNNING);
		} else if (racer->click->code != NULL) {
			assert_string_equal(racer->click->code, "too_late");
			assert_int_equal(json_array_size(jget(racer->click->detail, "by")), 2);
		}
		json_decref(racer->row);
		request_destroy(racer->click);
	}
	assert_int_equal(won, 1);
	assert_int_equal(counted, 2);
	expect_sql("SELECT count(*) FROM ops.vote", "2");
	expect_sql("SELECT count(*) FROM ops.step", "1");
	request_destroy(rq);
}

/* Two who approve, one who denies, and the requester who cancels, at once, in every order: one of
 * them decides, and the others are told so. */
static void test_one_of_them_decides(void **state)
{
	static const struct {
		const char *user, *kind;
	} clicks[] = {
		{ "x1", "approve" }, { "x2", "approve" }, { "x3", "deny" }, { "ana", "withdraw" }
	};
	enum { CLICKS = sizeof(clicks) / sizeof(clicks[0]), TURNS = 16 };

	(void)state;
	hire();
	for (unsigned turn = 0; turn < TURNS; turn++) {
		struct request *rq = asked(need(2));
		unsigned won = 0, decided = 0;
		char sql[200];

		owed_forget(A);
		owed_forget(B);
		over = 0;
		for (unsigned i = 0; i < CLICKS; i++) {
			unsigned n = (i * (turn % 2 == 0 ? 1 : 3) + turn / 2) % CLICKS;

			racers[i] = (struct racer){ .click = make_click(rq, clicks[n].user, NULL) };
			racers[i].click->delivery.kind = clicks[n].kind;
			store_vote(replicas[(i + turn) % 2].store, racers[i].click, &racers[i].row,
				   on_raced, &racers[i]);
		}
		while (over < CLICKS)
			once();
		for (unsigned i = 0; i < CLICKS; i++) {
			const struct request *click = racers[i].click;

			expect_good(&racers[i].end);
			won += racers[i].row != NULL;
			decided += click->code == NULL && click->state != REQUEST_APPROVING;
			json_decref(racers[i].row);
			request_destroy(racers[i].click);
		}
		assert_int_equal(decided, 1);
		snprintf(sql, sizeof(sql),
			 "SELECT CASE state WHEN 'allowed' THEN 1 WHEN 'denied' THEN 0 WHEN "
			 "'cancelled' THEN 0 END FROM ops.request WHERE id = '%s'",
			 rq->id);
		expect_sql(sql, won == 1 ? "1" : "0");
		request_destroy(rq);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_asking),
		STORE_TEST(test_too_few_is_said_at_once),
		STORE_TEST(test_who_may_vote),
		STORE_TEST(test_deny_and_withdraw_end_it),
		STORE_TEST(test_card_follows_the_row),
		STORE_TEST(test_start_counts_again),
		STORE_TEST(test_changed_plan_voids_votes),
		STORE_TEST(test_disowned_vote_does_not_count),
		STORE_TEST(test_timers),
		STORE_TEST(test_deadlocks),
		STORE_TEST(test_fifty_at_once),
		STORE_TEST(test_one_of_them_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
