/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - calls that end on the loop's next turn, in the order in which they were started.
 *
 * An idle handle, not a timer: one started from an idle callback waits for the next turn, so that a
 * chain of such calls cannot starve the loop.  libuv runs idle handles last started first;
 * whichever comes first therefore ends all that are older too.  The close callback is the only
 * free.
 */
#include "base/call.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"
#include "base/xalloc.h"

struct later {
	struct call call;
	struct list_node node; /* on pending, until done or cancelled */
	uint64_t seq;
	uv_idle_t idle;
	call_done_fn done; /* or fire */
	void (*fire)(void *data);
	void *data;
	struct err err; /* ERR_NONE: success */
};

/* A loop has one thread, so a list a thread needs no lock; it may hold calls of several loops. */
static _Thread_local struct list pending;
static _Thread_local uint64_t last_seq;

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void later_close(struct later *later)
{
	list_remove(&pending, &later->node);
	uv_close((uv_handle_t *)&later->idle, on_closed);
}

static void on_cancel(struct call *call)
{
	later_close((struct later *)call);
}

static void later_end(struct later *later)
{
	later_close(later);
	if (later->fire != NULL)
		later->fire(later->data);
	else
		later->done(later->data, later->err.kind == ERR_NONE ? NULL : &later->err);
}

/* The oldest call of this loop that is not newer than seq, or NULL. */
static struct later *oldest(const uv_loop_t *loop, uint64_t seq)
{
	struct list_node *node;

	for (node = list_first(&pending); node != NULL; node = list_next(&pending, node)) {
		struct later *later = list_entry(node, struct later, node);

		if (later->seq > seq)
			return NULL;
		if (later->idle.loop == loop)
			return later;
	}
	return NULL;
}

static void on_turn(uv_idle_t *idle)
{
	const struct later *self = idle->data;
	uint64_t seq = self->seq;
	struct later *later;

	for (later = oldest(idle->loop, seq); later != NULL; later = oldest(idle->loop, seq))
		later_end(later);
}

static struct later *later_start(uv_loop_t *loop, void *data)
{
	struct later *later = xcalloc(1, sizeof(*later));

	later->call.cancel = on_cancel;
	later->data = data;
	later->seq = ++last_seq;
	if (pending.head.next == NULL)
		list_init(&pending);
	list_push(&pending, &later->node);
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
