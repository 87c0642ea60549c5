/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - the copy of a request that one run of the flow works on, and the names of its states.
 */
#include "core/request.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/catalog.h"
#include "core/email.h"

static const char *const state_names[] = {
	[REQUEST_RECEIVED] = "received",     [REQUEST_ALLOWED] = "allowed",
	[REQUEST_CONFIRMING] = "confirming", [REQUEST_APPROVING] = "approving",
	[REQUEST_SCHEDULED] = "scheduled",   [REQUEST_RUNNING] = "running",
	[REQUEST_UNKNOWN] = "unknown",       [REQUEST_SUCCEEDED] = "succeeded",
	[REQUEST_FAILED] = "failed",         [REQUEST_DENIED] = "denied",
	[REQUEST_REJECTED] = "rejected",     [REQUEST_EXPIRED] = "expired",
	[REQUEST_CANCELLED] = "cancelled",
};

enum { N_STATES = sizeof(state_names) / sizeof(state_names[0]) };

struct request *request_create(void)
{
	struct request *rq = xcalloc(1, sizeof(*rq));

	rq->arena = arena_create();
	return rq;
}

void request_destroy(struct request *rq)
{
	if (rq == NULL)
		return;
	json_decref(rq->args);
	json_decref(rq->scope);
	json_decref(rq->detail);
	json_decref(rq->plan);
	json_decref(rq->offered_plan);
	json_decref(rq->rules);
	json_decref(rq->approved_by);
	json_decref(rq->answer);
	json_decref(rq->outcome);
	json_decref(rq->times);
	json_decref(rq->undone);
	catalog_unref(rq->catalog);
	arena_destroy(rq->arena);
	free(rq);
}

void request_set_asker(struct request *rq, const char *verdict, const char *email, const char *name,
		       const char *tz)
{
	struct asker *asker = &rq->asker;
	char key[EMAIL_KEY_LEN];
	const char *why;

	asker->facts_fresh = true;
	asker->verdict = arena_strdup(rq->arena, verdict);
	asker->name = arena_strdup(rq->arena, name);
	asker->tz = arena_strdup(rq->arena, tz);
	asker->email_key = NULL;
	if (str_eq(verdict, "ok") && email != NULL && email_key(email, NULL, 0, key, &why))
		asker->email_key = arena_strdup(rq->arena, key);
}

bool request_confirms(const struct request *rq)
{
	return str_eq(rq->delivery.kind, "confirm") || str_eq(rq->delivery.kind, "cancel");
}

bool request_resolves(const struct request *rq)
{
	const char *kind = rq->delivery.kind;

	return str_eq(kind, "happened") || str_eq(kind, "not_happened") || str_eq(kind, "again");
}

const char *request_state_name(enum request_state state)
{
	return state_names[state];
}

bool request_state_from_name(const char *name, enum request_state *ret_state)
{
	for (size_t i = 0; i < N_STATES; i++) {
		if (str_eq(name, state_names[i])) {
			*ret_state = (enum request_state)i;
			return true;
		}
	}
	return false;
}

bool request_state_final(enum request_state state)
{
	return state >= REQUEST_SUCCEEDED;
}
