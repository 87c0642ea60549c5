/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - calls that end on the loop's next turn.
 *
 * An idle handle, not a timer: one started from an idle callback waits for the next turn, so that a
 * chain of such calls cannot starve the loop.  The handle's close callback is the only free.
 */
#include "base/call.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/xalloc.h"

struct later {
	struct call call;
	uv_idle_t idle;
	call_done_fn done; /* or fire */
	void (*fire)(void *data);
	void *data;
	struct err err; /* ERR_NONE: success */
};

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void later_close(struct later *later)
{
	uv_close((uv_handle_t *)&later->idle, on_closed);
}

static void on_cancel(struct call *call)
{
	later_close((struct later *)call);
}

static void on_turn(uv_idle_t *idle)
{
	struct later *later = idle->data;

	later_close(later);
	if (later->fire != NULL)
		later->fire(later->data);
	else
		later->done(later->data, later->err.kind == ERR_NONE ? NULL : &later->err);
}

static struct later *later_start(uv_loop_t *loop, void *data)
{
	struct later *later = xcalloc(1, sizeof(*later));

	later->call.cancel = on_cancel;
	later->data = data;
	(void)uv_idle_init(loop, &later->idle);
	later->idle.data = later;
	(void)uv_idle_start(&later->idle, on_turn);
	return later;
}

struct call *call_later(uv_loop_t *loop, const struct err *err, call_done_fn done, void *data)
{
	struct later *later = later_start(loop, data);

	later->done = done;
	if (err != NULL)
		later->err = *err;
	return &later->call;
}

struct call *call_defer(uv_loop_t *loop, void (*fire)(void *data), void *data)
{
	struct later *later = later_start(loop, data);

	later->fire = fire;
	return &later->call;
}
