/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - the one uv loop: how busy it is, signals, and an end that leaves nothing open.
 *
 * Busy time of an iteration = its length less the time spent waiting for events
 * (uv_metrics_idle_time); kept as a histogram and a maximum.
 */
#ifndef OPSD_NET_LOOP_H
#define OPSD_NET_LOOP_H

#include <stdint.h>
#include <uv.h>

/* Upper bounds in microseconds of the histogram's buckets; the last bucket has none. */
enum { LOOP_BUCKETS = 10 };
extern const uint32_t loop_bucket_us[LOOP_BUCKETS - 1]; /* 100 … 100000 */

struct loop_health {
	uint64_t iterations;
	uint64_t busy_us;  /* sum */
	uint64_t worst_us; /* since start */
	uint64_t bucket[LOOP_BUCKETS];
};

struct loop; /* the meter on a uv loop; closed by loop_meter_stop */

/* Initialises *uv with idle metrics and ignores SIGPIPE. */
void loop_init(uv_loop_t *uv);

struct loop *loop_meter_start(uv_loop_t *uv);
const struct loop_health *loop_meter_read(const struct loop *loop);
void loop_meter_reset_worst(struct loop *loop);
void loop_meter_stop(struct loop *loop); /* its handles close; memory goes in the close callback */

/* Runs the loop dry and closes it.  Aborts, naming what is still open, unless uv_loop_close gives
 * 0. */
void loop_finish(uv_loop_t *uv);

#endif
