/* SPDX-License-Identifier: Apache-2.0 */
/* test_op_later.c - the way of what waits for its time, and of what sets a change back. */
#include "op_world.h"

static const struct approval_rule one_needed = { .need = 1, .can_approve = "test.change" };

static void test_what_waits(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.not_before = true;
	script.scheduled = REQUEST_SCHEDULED;
	end = play(&script, 1, &conditional, OP_RECEIVE, NULL);
	assert_string_equal(end.trace, "RpW");
	end = play(&script, 2, &conditional, OP_RECEIVE, NULL); /* confirmed before it waits */
	assert_string_equal(end.trace, "RpO");
	end = play(&script, 2, &conditional, OP_CONFIRM, PLAN);
	assert_string_equal(end.trace, "CpW");
	script.scheduled = REQUEST_ALLOWED; /* its time has come */
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pWSA!");
	script.steering = true;
	end = play(&script, 1, &conditional, OP_CLICKER, NULL);
	assert_string_equal(end.trace, "KT");
	assert_int_equal(end.n_answered, 1);
}

/* Agreed to with its change; but what is not ours is never set back unasked. */
static void test_reverts(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.undoes = script.reverts = true;
	script.rules = &one_needed;
	end = play(&script, 3, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pSA!");
	script.plan = FOREIGN;
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pO");
	end = play(&script, 1, &conditional, OP_CONFIRM, FOREIGN); /* now it is a change like any */
	assert_string_equal(end.trace, "Cpa");
	script.rules = NULL;
	script.reverts = false; /* an undo is one from the start */
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pO");
	script.plan = PLAN;
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pSA!");
}

/* A revert is owed: what cannot be reached now is tried again, what is refused is said. */
static void test_revert_that_cannot_be_planned(void **state)
{
	struct script script = good;
	struct stage end;

	(void)state;
	script.undoes = script.reverts = true;
	script.scheduled = REQUEST_SCHEDULED;
	script.fail[OP_PLAN][0] = ERR_RETRY;
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pW");
	script.scheduled = REQUEST_ALLOWED; /* tried for long enough */
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "pW!");
	assert_int_equal(end.final, REQUEST_FAILED);
	assert_int_equal(end.kept, ERR_RETRY);
	script.fail[OP_PLAN][0] = ERR_INVALID;
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "p!");
	script.reverts = false;
	script.fail[OP_PLAN][0] = ERR_RETRY;
	end = play(&script, 1, &conditional, OP_PLAN, NULL);
	assert_string_equal(end.trace, "p!");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_waits),
		cmocka_unit_test(test_reverts),
		cmocka_unit_test(test_revert_that_cannot_be_planned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
