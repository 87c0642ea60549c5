/* SPDX-License-Identifier: Apache-2.0 */
/* call: once, later, never after a cancel; the loop is empty afterwards. */
#include "../unit/test.h"

#include <string.h>

#include "base/call.h"
#include "base/err.h"

struct seen {
	uv_loop_t loop;
	int n;
	struct err err;
	struct call *other;
	int chain;
	int ticks;
};

static int setup(void **state)
{
	static struct seen seen;

	seen = (struct seen){ 0 };
	*state = &seen;
	return uv_loop_init(&seen.loop);
}

static int teardown(void **state)
{
	struct seen *seen = *state;

	return uv_loop_close(&seen->loop);
}

static void on_done(void *data, const struct err *err)
{
	struct seen *seen = data;

	seen->n++;
	if (err != NULL)
		seen->err = *err;
}

static void run(struct seen *seen)
{
	assert_int_equal(uv_run(&seen->loop, UV_RUN_DEFAULT), 0);
}

static void test_later(void **state)
{
	struct seen *seen = *state;
	struct err err;

	err_set(&err, ERR_RETRY, "busy");
	assert_non_null(call_later(&seen->loop, &err, on_done, seen));
	memset(&err, 0, sizeof(err)); /* it keeps a copy */
	assert_int_equal(seen->n, 0);
	run(seen);
	assert_int_equal(seen->n, 1);
	assert_int_equal(seen->err.kind, ERR_RETRY);
	assert_string_equal(seen->err.msg, "busy");
	assert_non_null(call_later(&seen->loop, NULL, on_done, seen));
	run(seen);
	assert_int_equal(seen->n, 2);
}

static void test_cancel(void **state)
{
	struct seen *seen = *state;
	struct call *call = call_later(&seen->loop, NULL, on_done, seen);

	call_cancel(&call);
	assert_null(call);
	call_cancel(&call);
	run(seen);
	assert_int_equal(seen->n, 0);
}

static void cancel_other(void *data)
{
	struct seen *seen = data;

	seen->n++;
	call_cancel(&seen->other);
}

/* Calls end in the order of their start; the first may cancel one due on the same turn. */
static void test_cancel_sibling(void **state)
{
	struct seen *seen = *state;

	assert_non_null(call_defer(&seen->loop, cancel_other, seen));
	seen->other = call_defer(&seen->loop, cancel_other, seen);
	assert_non_null(call_later(&seen->loop, NULL, on_done, seen));
	run(seen);
	assert_int_equal(seen->n, 2);
}

static struct seen *order_seen;

static void first(void *data)
{
	(void)data;
	assert_int_equal(order_seen->n++, 0);
}

static void second(void *data)
{
	(void)data;
	assert_int_equal(order_seen->n++, 1);
}

static void third(void *data)
{
	(void)data;
	assert_int_equal(order_seen->n++, 2);
	uv_stop(&order_seen->loop);
}

static void test_order(void **state)
{
	order_seen = *state;
	assert_non_null(call_defer(&order_seen->loop, first, NULL));
	assert_non_null(call_defer(&order_seen->loop, second, NULL));
	assert_non_null(call_defer(&order_seen->loop, third, NULL));
	(void)uv_run(&order_seen->loop, UV_RUN_NOWAIT);
	assert_int_equal(order_seen->n, 3); /* all in one turn */
	run(order_seen);
}

static void again(void *data)
{
	struct seen *seen = data;

	if (++seen->chain < 1000)
		assert_non_null(call_defer(&seen->loop, again, seen));
}

static void on_tick(uv_check_t *check)
{
	struct seen *seen = check->data;

	if (++seen->ticks == 10)
		uv_close((uv_handle_t *)check, NULL);
}

/* A chain of deferred calls takes a turn each, so that the loop's other work goes on. */
static void test_chain(void **state)
{
	struct seen *seen = *state;
	uv_check_t check;

	assert_int_equal(uv_check_init(&seen->loop, &check), 0);
	check.data = seen;
	assert_int_equal(uv_check_start(&check, on_tick), 0);
	assert_non_null(call_defer(&seen->loop, again, seen));
	for (int turn = 0; turn < 10; turn++)
		(void)uv_run(&seen->loop, UV_RUN_NOWAIT);
	assert_true(seen->chain <= 10);
	run(seen);
	assert_int_equal(seen->chain, 1000);
}

#define CALL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(test_later), CALL_TEST(test_cancel), CALL_TEST(test_cancel_sibling),
		CALL_TEST(test_order), CALL_TEST(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
