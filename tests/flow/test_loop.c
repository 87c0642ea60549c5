/* SPDX-License-Identifier: Apache-2.0 */
/* loop: the meter counts work and not waiting; the end insists on an empty loop. */
#include "../fakes/fake_time.h"
#include "../unit/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop.h"

static void on_tick(uv_timer_t *timer)
{
	fake_time_spend(*(const unsigned *)timer->data);
	uv_close((uv_handle_t *)timer, NULL);
}

static void test_meter(void **state)
{
	unsigned busy_ms = 30;
	uint64_t sum = 0;
	const struct loop_health *health;
	struct loop *meter;
	uv_timer_t timer;
	uv_loop_t uv;

	(void)state;
	loop_init(&uv);
	meter = loop_meter_start(&uv);
	(void)uv_timer_init(&uv, &timer);
	timer.data = &busy_ms;
	(void)uv_timer_start(&timer, on_tick, 100, 0); /* 100 ms of waiting, 30 of work */
	(void)uv_run(&uv, UV_RUN_DEFAULT);
	(void)uv_run(&uv, UV_RUN_NOWAIT); /* the prepare phase that ends the working iteration */
	health = loop_meter_read(meter);
	assert_true(health->iterations >= 2);
	assert_int_equal(health->busy_us, 30000);
	assert_int_equal(health->worst_us, 30000);
	for (size_t i = 0; i < LOOP_BUCKETS; i++)
		sum += health->bucket[i];
	assert_int_equal(sum, health->iterations);
	assert_int_equal(health->bucket[7], 1); /* 20 … 50 ms */
	loop_meter_reset_worst(meter);
	assert_int_equal(health->worst_us, 0);
	loop_meter_stop(meter);
	loop_finish(&uv);
	loop_meter_stop(NULL);
}

static void test_sigpipe_is_ignored(void **state)
{
	uv_loop_t uv;
	int ends[2];

	(void)state;
	loop_init(&uv);
	assert_int_equal(pipe(ends), 0);
	(void)close(ends[0]);
	assert_int_equal(write(ends[1], "x", 1), -1);
	(void)close(ends[1]);
	loop_finish(&uv);
}

static void test_something_left_open(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		uv_loop_t uv;
		uv_timer_t timer;

		log_set_level(LOG_ERROR);
		log_set_fd(-1);
		(void)signal(SIGABRT, SIG_DFL);
		loop_init(&uv);
		(void)uv_timer_init(&uv, &timer);
		loop_finish(&uv);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meter),
		cmocka_unit_test(test_sigpipe_is_ignored),
		cmocka_unit_test(test_something_left_open),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
