/* SPDX-License-Identifier: Apache-2.0 */
/* fake_time.c - the clock that a loop of a test goes by. */
#include "fake_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

static int64_t now_ns = 1000000000000;
static const int64_t began_ns = 1000000000000;

int clock_gettime(clockid_t id, struct timespec *ret_time)
{
	(void)id;
	ret_time->tv_sec = (time_t)(now_ns / 1000000000);
	ret_time->tv_nsec = (long)(now_ns % 1000000000);
	return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
	int n = epoll_pwait(fd, events, max, 0, NULL);

	if (n != 0)
		return n;
	if (timeout_ms < 0) {
		(void)fprintf(stderr, "the loop would wait for ever\n");
		abort();
	}
	now_ns += (int64_t)timeout_ms * 1000000;
	return 0;
}

int64_t fake_time_ms(void)
{
	return (now_ns - began_ns) / 1000000;
}

void fake_time_spend(unsigned ms)
{
	now_ns += (int64_t)ms * 1000000;
}

static void on_time(uv_timer_t *timer)
{
	*(int *)timer->data = 1;
}

void fake_time_run(uv_loop_t *loop, unsigned ms)
{
	uv_timer_t timer;
	int over = 0;

	uv_update_time(loop);
	(void)uv_timer_init(loop, &timer);
	timer.data = &over;
	(void)uv_timer_start(&timer, on_time, ms, 0);
	while (!over)
		(void)uv_run(loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	(void)uv_run(loop, UV_RUN_NOWAIT);
}
