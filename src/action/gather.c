/* SPDX-License-Identifier: Apache-2.0 */
/* gather.c - several requests to one cluster at once; done when all of them are. */
#include <assert.h>
#include <stdlib.h>

#include "base/xalloc.h"
#include "internal.h"

struct gather;

struct item {
	struct gather *gather;
	struct call *call;
};

struct gather {
	struct call call;
	struct item items[GATHER_MAX];
	struct gathered got[GATHER_MAX];
	size_t n, left;
	gather_done_fn done;
	void *data;
};

static void gather_free(struct gather *gather)
{
	for (size_t i = 0; i < gather->n; i++)
		json_decref(gather->got[i].body);
	free(gather);
}

static void on_cancel(struct call *call)
{
	struct gather *gather = (struct gather *)call;

	for (size_t i = 0; i < gather->n; i++)
		call_cancel(&gather->items[i].call);
	gather_free(gather);
}

static void on_answer(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct item *item = data;
	struct gather *gather = item->gather;
	struct gathered *got = &gather->got[item - gather->items];

	item->call = NULL;
	got->problem = answer->problem;
	if (err != NULL)
		got->err = *err;
	else
		got->body = json_incref((json_t *)(uintptr_t)answer->body);
	if (--gather->left > 0)
		return;
	gather->done(gather->data, gather->got);
	gather_free(gather);
}

struct call *gather_start(struct kube *kube, const struct kube_request *requests, size_t n,
			  gather_done_fn done, void *data)
{
	struct gather *gather = xcalloc(1, sizeof(*gather));

	assert(n > 0 && n <= GATHER_MAX);
	gather->call.cancel = on_cancel;
	gather->n = gather->left = n;
	gather->done = done;
	gather->data = data;
	for (size_t i = 0; i < n; i++) {
		gather->items[i].gather = gather;
		gather->items[i].call = kube_call(kube, &requests[i], on_answer, &gather->items[i]);
	}
	return &gather->call;
}
