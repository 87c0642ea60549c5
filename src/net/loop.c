/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - the meter and the end.
 *
 * A prepare handle sees each iteration once, at the same point.  The pair of prepare and check
 * alone would not do: I/O callbacks run inside the poll phase, between the two.
 */
#include "net/loop.h"

#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/xalloc.h"

const uint32_t loop_bucket_us[LOOP_BUCKETS - 1] = { 100,   250,   500,   1000,  2500,
						    10000, 20000, 50000, 100000 };

struct loop {
	uv_prepare_t prepare;
	uint64_t last_ns, last_idle_ns;
	struct loop_health health;
};

void loop_init(uv_loop_t *uv)
{
	int status = uv_loop_init(uv);

	if (status == 0)
		status = uv_loop_configure(uv, UV_METRICS_IDLE_TIME);
	if (status != 0) {
		log_error("no event loop", LOG_STR("reason", uv_strerror(status)));
		abort();
	}
	(void)signal(SIGPIPE, SIG_IGN);
}

static void on_iteration(uv_prepare_t *prepare)
{
	struct loop *loop = prepare->data;
	uint64_t now_ns = uv_hrtime(), idle_ns = uv_metrics_idle_time(prepare->loop);
	uint64_t length_ns = now_ns - loop->last_ns, waited_ns = idle_ns - loop->last_idle_ns;
	uint64_t busy_us = length_ns > waited_ns ? (length_ns - waited_ns) / 1000 : 0;
	size_t i = 0;

	loop->last_ns = now_ns;
	loop->last_idle_ns = idle_ns;
	while (i < LOOP_BUCKETS - 1 && busy_us > loop_bucket_us[i])
		i++;
	loop->health.bucket[i]++;
	loop->health.iterations++;
	loop->health.busy_us += busy_us;
	if (busy_us > loop->health.worst_us)
		loop->health.worst_us = busy_us;
}

struct loop *loop_meter_start(uv_loop_t *uv)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));

	loop->last_ns = uv_hrtime();
	loop->last_idle_ns = uv_metrics_idle_time(uv);
	(void)uv_prepare_init(uv, &loop->prepare);
	loop->prepare.data = loop;
	(void)uv_prepare_start(&loop->prepare, on_iteration);
	uv_unref((uv_handle_t *)&loop->prepare);
	return loop;
}

const struct loop_health *loop_meter_read(const struct loop *loop)
{
	return &loop->health;
}

void loop_meter_reset_worst(struct loop *loop)
{
	loop->health.worst_us = 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void loop_meter_stop(struct loop *loop)
{
	if (loop != NULL)
		uv_close((uv_handle_t *)&loop->prepare, on_closed);
}

static void on_left(uv_handle_t *handle, void *data)
{
	(void)data;
	log_error("still open at the end of the loop",
		  LOG_STR("handle", uv_handle_type_name(uv_handle_get_type(handle))),
		  LOG_INT("active", uv_is_active(handle)),
		  LOG_INT("closing", uv_is_closing(handle)));
}

void loop_finish(uv_loop_t *uv)
{
	int status;

	(void)uv_run(uv, UV_RUN_DEFAULT);
	status = uv_loop_close(uv);
	if (status == 0)
		return;
	log_error("the loop does not close", LOG_STR("reason", uv_strerror(status)));
	uv_walk(uv, on_left, NULL);
	abort();
}
