/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - one asynchronous call in flight.
 *
 * A function that returns a struct call * has started work and cannot fail: done is called exactly
 * once, from the loop, never before that function has returned.  err is NULL on success and is
 * valid only during done.  The call is gone once done was called, or once it was cancelled; a
 * cancelled call never calls done.
 */
#ifndef OPSD_BASE_CALL_H
#define OPSD_BASE_CALL_H

#include <stddef.h>
#include <uv.h>

struct err;

struct call { /* first member of the callee's own struct */
	void (*cancel)(struct call *call);
};

typedef void (*call_done_fn)(void *data, const struct err *err);

static inline void call_cancel(struct call **callp)
{
	struct call *call = *callp;

	*callp = NULL;
	if (call != NULL)
		call->cancel(call);
}

/* Calls done with a copy of err (or NULL) on the loop's next turn: for what is known at once. */
struct call *call_later(uv_loop_t *loop, const struct err *err, call_done_fn done, void *data);

/* Calls fire(data) on the next turn; for callbacks of another shape than call_done_fn. */
struct call *call_defer(uv_loop_t *loop, void (*fire)(void *data), void *data);

#endif
