/* SPDX-License-Identifier: Apache-2.0 */
/* nearby.c - the object that was asked for is not there: which of those that are did they mean? */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { NAMES_MAX = 500 };

struct nearby {
	struct call call;
	struct call *inner;
	char *name;
	struct err err;
	call_done_fn then;
	void *data;
};

static void nearby_free(struct nearby *nearby)
{
	free(nearby->name);
	free(nearby);
}

static void on_cancel(struct call *call)
{
	struct nearby *nearby = (struct nearby *)call;

	call_cancel(&nearby->inner);
	nearby_free(nearby);
}

static void on_names(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct nearby *nearby = data;
	const json_t *items = json_object_get(answer->body, "items");
	const char **names = xcalloc(NAMES_MAX, sizeof(*names)), *near;
	size_t n = 0;

	(void)err; /* then there is no hint */
	for (size_t i = 0; i < json_array_size(items) && n < NAMES_MAX; i++) {
		names[n] = jget_str(json_array_get(items, i), "metadata.name");
		if (names[n] != NULL)
			n++;
	}
	near = str_nearest(nearby->name, names, n);
	if (near != NULL) {
		struct err own = nearby->err;

		err_set(&nearby->err, own.kind, "%s; did you mean %s?", own.msg, near);
	} else if (answer->body != NULL && n == 0) {
		struct err own = nearby->err;

		err_set(&nearby->err, own.kind, "%s; nothing of this kind is there", own.msg);
	}
	free(names);
	nearby->then(nearby->data, &nearby->err);
	nearby_free(nearby);
}

struct call *nearby_start(const struct place *place, const struct action_run *run,
			  const struct err *err, call_done_fn then, void *data)
{
	struct nearby *nearby = xcalloc(1, sizeof(*nearby));
	struct kube_request request = {
		.method = "GET",
		.kind = place->kind,
		.space = place->space,
		.query = "limit=500",
		.accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
			  "application/json",
		.request_id = run->request_id,
		.person = run->person,
		.timeout_ms = run->timeout_ms / 2 + 1,
	};

	nearby->call.cancel = on_cancel;
	nearby->name = xstrdup(place->name);
	nearby->err = *err;
	nearby->then = then;
	nearby->data = data;
	nearby->inner = kube_call(place->kube, &request, on_names, nearby);
	return &nearby->call;
}
