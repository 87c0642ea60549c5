/* SPDX-License-Identifier: Apache-2.0 */
/* backoff: within its bounds, spread, with floor and ceiling. */
#include "test.h"

#include "net/backoff.h"

static void assert_between(uint32_t value, uint32_t low, uint32_t high)
{
	assert_in_range(value, low, high);
}

static void test_bounds_grow_to_the_cap(void **state)
{
	static const uint32_t high[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct backoff backoff;

		backoff_init(&backoff, 1000, 60000);
		for (size_t i = 0; i < sizeof(high) / sizeof(high[0]); i++)
			assert_between(backoff_next(&backoff, 0), 500, high[i]);
		backoff_reset(&backoff);
		assert_between(backoff_next(&backoff, 0), 500, 1000);
	}
}

static void test_spread(void **state)
{
	uint32_t least = UINT32_MAX, most = 0;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		struct backoff backoff = { .base_ms = 1000, .cap_ms = 60000, .tries = 10 };
		uint32_t delay = backoff_next(&backoff, 0);

		least = delay < least ? delay : least;
		most = delay > most ? delay : most;
	}
	/* 500 uniform draws miss a tenth of the range with probability 0.9^500. */
	assert_true(least < 6500);
	assert_true(most > 54000);
}

static void test_floor(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct backoff backoff;

		backoff_init(&backoff, 1000, 60000);
		assert_between(backoff_next(&backoff, 30000), 30000, 31000);
		assert_between(backoff_next(&backoff, 3600000), 3600000, 3601000);
		assert_between(backoff_next(&backoff, 1), 500, 4000);
		assert_true(backoff_next(&backoff, UINT32_MAX) == UINT32_MAX);
	}
}

static void test_extremes(void **state)
{
	struct backoff backoff = { .base_ms = 5000, .cap_ms = 1000, .tries = UINT32_MAX };

	(void)state;
	assert_between(backoff_next(&backoff, 0), 1000, 1000); /* the ceiling wins */
	assert_true(backoff.tries == UINT32_MAX);
	backoff_init(&backoff, 0, 0);
	assert_int_equal(backoff_next(&backoff, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds_grow_to_the_cap),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
