/* SPDX-License-Identifier: Apache-2.0 */
/* test_op.c - the way of a request with scripted ports: every branch, every ending, in what order.
 */
#include "op_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/xalloc.h"
#include "core/action.h"
#include "core/command.h"
#include "core/op.h"
#include "core/request.h"

static void test_change_runs_through(void **state)
{
	struct stage end = play(&good, 1, &conditional, OP_RECEIVE, NULL);

	(void)state;
	assert_string_equal(end.trace, "RpSA!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
	assert_int_equal(end.n_answered, 1);
	assert_int_equal(end.n_finished, 1);
}

static void test_busy_target_is_planned_again(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.busy = 3;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSpSpSpSA!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
	assert_int_equal(end.n_finished, 1);
	script.started = REQUEST_DENIED; /* it stayed so */
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSpSpSpS");
	assert_int_equal(end.final, REQUEST_DENIED);
}

static void test_read_needs_no_plan(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.received = REQUEST_RUNNING;
	end = play(&script, 0, &reads, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RA!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
}

static void test_unknown_asker_is_asked_for(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.received = REQUEST_RECEIVED;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RPDpSA!");
	script.fail[OP_PEOPLE][0] = ERR_RETRY;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RP!");
	assert_int_equal(end.final, REQUEST_FAILED);
	/* after a sign-in, which takes minutes, it is asked again who it is */
	script.fail[OP_PEOPLE][0] = ERR_NONE;
	script.step_ups = 1;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RPDIPDpSA!");
	script.fail[OP_PROVE][0] = ERR_DENIED;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RPDI!");
	assert_int_equal(end.final, REQUEST_DENIED);
}

/* Taken over, and nobody knows what its requester was told: they are asked, whatever the risk and
 * before any approver. */
static void test_unheard_is_asked_for(void **state)
{
	static const struct approval_rule rule = { .need = 1 };
	struct script script = good;
	struct stage end;

	(void)state;
	script.unheard = true;
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pO");
	script.rules = &rule;
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pO");
	script.rules = NULL;
	end = play(&script, 1, &conditional, OP_PEOPLE, NULL);
	assert_string_equal(end.trace, "PDpO");
	end = play(&script, 2, &conditional, OP_PLAN, PLAN);
	assert_string_equal(end.trace, "pO");
}

static void test_refusals_do_nothing(void **state)
{
	static const enum request_state ends[] = { REQUEST_DENIED, REQUEST_REJECTED };
	struct script script = good;
	struct stage end;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		script.received = ends[i];
		end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
		assert_string_equal(end.trace, "R");
		assert_int_equal(end.n_answered, 1);
	}
	script.received = REQUEST_RECEIVED;
	script.decided = REQUEST_DENIED;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RPD");
	script = good;
	script.started = REQUEST_DENIED; /* the right went away between receive and start */
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpS");
}

static void test_repeated_intent_does_nothing(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.known = "R0000000000000000";
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "R");
}

static void test_nothing_recorded_nothing_done(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.fail[OP_RECEIVE][0] = ERR_UNCERTAIN;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "R");
	assert_int_equal(end.answered, ERR_UNCERTAIN);
	script = good;
	script.fail[OP_START][0] = ERR_RETRY; /* no intent on record: no effect */
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpS");
}

static void test_no_change_is_no_effect(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.plan = NO_CHANGE;
	end = play(&script, 2, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "Rp!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
}

static void test_risk_two_is_offered_first(void **state)
{
	struct stage end = play(&good, 2, &conditional, OP_RECEIVE, NULL);

	(void)state;
	assert_string_equal(end.trace, "RpO");
	end = play(&good, 2, &conditional, OP_CONFIRM, PLAN);
	assert_string_equal(end.trace, "CpSA!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
}

static void test_changed_meaning_is_offered_again(void **state)
{
	struct stage end = play(&good, 2, &conditional, OP_CONFIRM,
				"{\"target\":{\"name\":\"w\"},\"changes\":[{\"field\":\"replicas\","
				"\"from\":2,\"to\":5}]}");

	(void)state;
	assert_string_equal(end.trace, "CpO");
}

static void test_refused_effect_fails(void **state)
{
	static const enum err_kind kinds[] = { ERR_INVALID, ERR_DENIED, ERR_RETRY };
	struct script script = good;
	struct stage end;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		script.fail[OP_ACT][0] = kinds[i];
		end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
		assert_string_equal(end.trace, "RpSA!");
		assert_int_equal(end.final, REQUEST_FAILED);
		assert_int_equal(end.kept, kinds[i]);
	}
}

static void test_unclear_effect_is_looked_at(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.fail[OP_ACT][0] = ERR_UNCERTAIN;
	script.look[0] = "done";
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSA?!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);

	script.look[0] = "not_done"; /* excluded at the target: once more */
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSA?GA!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);

	script.fail[OP_ACT][1] =
		ERR_INVALID; /* its own precondition: the late first one got there */
	script.look[1] = "done";
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSA?GA?!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);

	script = good;
	script.fail[OP_ACT][0] = ERR_UNCERTAIN;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_int_equal(end.final, REQUEST_UNKNOWN);

	script.fail[OP_LOOK][0] = ERR_RETRY;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSA?!");
	assert_int_equal(end.final, REQUEST_UNKNOWN);
}

static void test_once_is_never_repeated(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.fail[OP_ACT][0] = ERR_UNCERTAIN;
	script.look[0] = "not_done";
	end = play(&script, 1, &once, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSA?!");
	assert_int_equal(end.final, REQUEST_FAILED);
}

static void test_takeover_looks_first(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.look[0] = "done";
	end = play(&script, 1, &conditional, OP_LOOK, NULL);
	assert_string_equal(end.trace, "?!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
	script.look[0] = "not_done";
	end = play(&script, 1, &conditional, OP_LOOK, NULL);
	assert_string_equal(end.trace, "?GA!");
	script.frozen = true; /* meanwhile */
	end = play(&script, 1, &conditional, OP_LOOK, NULL);
	assert_string_equal(end.trace, "?G!");
	assert_int_equal(end.final, REQUEST_FAILED);
	script.frozen = false;
	end = play(&script, 1, &once, OP_LOOK, NULL);
	assert_string_equal(end.trace, "?!");
}

static void test_settle_is_tried_until_taken(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.fail[OP_SETTLE][0] = ERR_RETRY;
	script.fail[OP_SETTLE][1] = ERR_UNCERTAIN;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSA!!!");
	script.fail[OP_SETTLE][1] = ERR_DENIED; /* fenced off: somebody else's now */
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSA!!");
	assert_int_equal(end.finished, ERR_DENIED);
}

static void test_silent_steps_end(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.silent[OP_ACT] = true;
	script.look[0] = "done";
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpSA?!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
	script = good;
	script.silent[OP_RECEIVE] = true;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "R");
	assert_int_equal(end.answered, ERR_TIMEOUT);
}

static void test_destroy_cancels(void **state)
{
	struct stage now = { .script = good };
	struct command command = { .title = "test", .risk = 1, .kind = &conditional };
	struct request *rq = request_create();
	struct op_list *list;

	(void)state;
	stage = &now;
	assert_int_equal(uv_loop_init(&now.loop), 0);
	list = op_list_create(&now.loop, &stage_ports);
	rq->command = &command;
	rq->args = json_object();
	(void)op_start(list, rq, OP_RECEIVE);
	op_list_destroy(list);
	uv_run(&now.loop, UV_RUN_DEFAULT);
	assert_int_equal(now.n_finished + now.n_answered, 0);
	assert_int_equal(uv_loop_close(&now.loop), 0);
}

static const struct approval_rule one_needed = { .need = 1, .can_approve = "test.change" };
#define OTHER_PLAN                                                                                 \
	"{\"target\":{\"name\":\"w\"},\"changes\":[{\"field\":\"replicas\",\"from\":4,\"to\":5}]}"

static void test_approval_is_asked_for(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.rules = &one_needed;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "Rpa");
	assert_int_equal(end.final, REQUEST_APPROVING);
	/* The requester confirms first, and again when it changed before they did. */
	end = play(&script, 2, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpO");
	end = play(&script, 2, &conditional, OP_CONFIRM, PLAN);
	assert_string_equal(end.trace, "Cpa");
	end = play(&script, 2, &conditional, OP_CONFIRM, OTHER_PLAN);
	assert_string_equal(end.trace, "CpO");
	/* Nothing to do needs nobody's approval. */
	script.plan = NO_CHANGE;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "Rp!");
}

static void test_approved_plan_is_started(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.rules = &one_needed;
	script.approved = PLAN;
	end = play(&script, 2, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pSA!");
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
	script.started = REQUEST_APPROVING; /* an approver is not one any more */
	end = play(&script, 2, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pS");
	assert_int_equal(end.final, REQUEST_APPROVING);
}

static void test_changed_plan_is_asked_again(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.rules = &one_needed;
	script.approved = OTHER_PLAN;
	end = play(&script, 2, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pa");
	/* No rule holds any more: the requester confirms what it is now. */
	script.rules = NULL;
	end = play(&script, 2, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pO");
	/* The policy was loosened, the plan is the same. */
	script.approved = PLAN;
	end = play(&script, 2, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pSA!");
}

static void test_what_cannot_be_shown_cannot_be_approved(void **state)
{
	struct script script = good;
	struct stage end;
	char plan[2400];

	(void)state;
	script.rules = &one_needed;
	snprintf(plan, sizeof(plan),
		 "{\"changes\":[{\"field\":\"text\",\"from\":\"\",\"to\":\"%01990d\"}]}", 7);
	script.plan = plan;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "Rp!");
	assert_int_equal(end.final, REQUEST_FAILED);
	assert_int_equal(end.kept, ERR_INVALID);
	script.rules = NULL; /* nobody has to see it whole */
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_int_equal(end.final, REQUEST_SUCCEEDED);
}

static void test_vote_only_records(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	end = play(&script, 2, &conditional, OP_VOTE, NULL);
	assert_string_equal(end.trace, "V");
	assert_int_equal(end.n_answered, 1);
	end = play(&script, 2, &conditional, OP_CLICKER, NULL);
	assert_string_equal(end.trace, "KV");
	assert_int_equal(end.n_answered, 1);
	script.fail[OP_CLICKER][0] = ERR_RETRY; /* not known who it was: no vote */
	end = play(&script, 2, &conditional, OP_CLICKER, NULL);
	assert_string_equal(end.trace, "K");
	assert_int_equal(end.answered, ERR_RETRY);
	script = good;
	script.silent[OP_VOTE] = true;
	end = play(&script, 2, &conditional, OP_VOTE, NULL);
	assert_int_equal(end.answered, ERR_TIMEOUT);
}

/* A vote that needs a sign-in is recorded after it, by whoever the account is then; without one it
 * is refused where votes are counted. */
static void test_vote_after_a_sign_in(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.step_ups = 1;
	end = play(&script, 2, &conditional, OP_VOTE, NULL);
	assert_string_equal(end.trace, "VIKV");
	script.fail[OP_PROVE][0] = ERR_DENIED;
	end = play(&script, 2, &conditional, OP_VOTE, NULL);
	assert_string_equal(end.trace, "VIV");
	assert_int_equal(end.final, REQUEST_APPROVING);
	script = good;
	script.step_ups = 2; /* never twice for one click */
	end = play(&script, 2, &conditional, OP_VOTE, NULL);
	assert_string_equal(end.trace, "VIKV");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_change_runs_through),
		cmocka_unit_test(test_busy_target_is_planned_again),
		cmocka_unit_test(test_read_needs_no_plan),
		cmocka_unit_test(test_unknown_asker_is_asked_for),
		cmocka_unit_test(test_unheard_is_asked_for),
		cmocka_unit_test(test_refusals_do_nothing),
		cmocka_unit_test(test_repeated_intent_does_nothing),
		cmocka_unit_test(test_nothing_recorded_nothing_done),
		cmocka_unit_test(test_no_change_is_no_effect),
		cmocka_unit_test(test_risk_two_is_offered_first),
		cmocka_unit_test(test_changed_meaning_is_offered_again),
		cmocka_unit_test(test_refused_effect_fails),
		cmocka_unit_test(test_unclear_effect_is_looked_at),
		cmocka_unit_test(test_once_is_never_repeated),
		cmocka_unit_test(test_takeover_looks_first),
		cmocka_unit_test(test_settle_is_tried_until_taken),
		cmocka_unit_test(test_silent_steps_end),
		cmocka_unit_test(test_destroy_cancels),
		cmocka_unit_test(test_approval_is_asked_for),
		cmocka_unit_test(test_approved_plan_is_started),
		cmocka_unit_test(test_changed_plan_is_asked_again),
		cmocka_unit_test(test_what_cannot_be_shown_cannot_be_approved),
		cmocka_unit_test(test_vote_only_records),
		cmocka_unit_test(test_vote_after_a_sign_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
