/* SPDX-License-Identifier: Apache-2.0 */
/* follower.c - one timer, one claim, one mark; a struct look for each look under way. */
#include "app/follower.h"

#include <stdlib.h>
#include <string.h>

#include "action/env.h"
#include "app/config.h"
#include "app/service.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/sender.h"
#include "core/action.h"
#include "core/command.h"
#include "core/facts.h"
#include "core/progress.h"
#include "core/request.h"
#include "store/follow.h"

enum { TICK_MS = FAILPOINT_MS(1000), LOOKS_MAX = 100, LOOK_MS = 8000 };

struct follower {
	uv_timer_t timer; /* closing it frees the follower */
	struct service *service;
	int64_t stays_s;
	struct list looks;
	json_t *marks; /* of looks that are over, not yet written */
	struct call *claim_call, *mark_call;
};

struct look {
	struct list_node node;
	struct follower *follower;
	struct call *call;
	struct request *rq;
	json_t *row, *with;
	struct action_run run;
};

/* --- marks --- */

static void on_marked(void *data, const struct err *err)
{
	struct follower *follower = data;

	follower->mark_call = NULL;
	/* What was not written is looked at again when its claim is over. */
	if (err != NULL)
		log_warn("looks not recorded", LOG_STR("error", err->msg));
	else
		sender_wake(follower->service->sender);
}

static void write_marks(struct follower *follower)
{
	if (json_array_size(follower->marks) == 0 || follower->mark_call != NULL)
		return;
	FAILPOINT("follow.mark");
	follower->mark_call =
		store_follow_mark(follower->service->store, follower->marks, on_marked, follower);
	json_decref(follower->marks);
	follower->marks = json_array();
}

/* --- looks --- */

static void look_free(struct look *look)
{
	list_remove(&look->follower->looks, &look->node);
	request_destroy(look->rq);
	json_decref(look->row);
	json_decref(look->with);
	free(look);
}

static void on_look(void *data, const json_t *result, const struct err *err)
{
	struct look *look = data;
	struct follower *follower = look->follower;
	const struct progress_look seen = {
		.id = look->rq->id,
		.fence = jget_int(look->row, "fence", 0),
		.since = look->run.since,
		.age_ms = jget_int(look->row, "age_ms", 0),
		.done_ms = jget_int(look->row, "done_ms", -1),
		.stays_s = follower->stays_s,
	};
	json_t *mark = progress_mark(&seen, result, err);
	const json_t *tell = json_object_get(mark, "tell");

	if (tell != NULL)
		json_object_set_new(mark, "tell", facts_progress(look->rq, tell));
	json_array_append_new(follower->marks, mark);
	if (jget_str(mark, "ended") != NULL)
		log_info("followed", LOG_STR("request", look->rq->id),
			 LOG_STR("ended", jget_str(mark, "ended")));
	look_free(look);
	if (follower->looks.count == 0)
		write_marks(follower);
}

static const struct action_kind *find_kind(const char *name)
{
	for (size_t i = 0; action_kinds[i] != NULL; i++)
		if (str_eq(action_kinds[i]->name, name))
			return action_kinds[i];
	return NULL;
}

/* The parameters as they were; those that hold a secret are not on record, and no look needs it. */
static json_t *params_of(const struct look *look)
{
	json_t *params = json_object_get(look->row, "params");

	if (json_is_object(params))
		return json_incref(params);
	if (look->rq->command != NULL)
		return command_fill(look->rq->command->with, look->rq->args);
	return json_object();
}

static void begin_look(void *data, const json_t *row)
{
	struct follower *follower = data;
	const struct action_kind *kind = find_kind(jget_str(row, "kind"));
	struct look *look;

	if (kind == NULL || kind->follow == NULL) {
		log_error("a kind that cannot be followed", LOG_STR("kind", jget_str(row, "kind")));
		return;
	}
	look = xcalloc(1, sizeof(*look));
	look->follower = follower;
	look->row = json_incref((json_t *)(uintptr_t)row);
	look->rq = service_request(follower->service, json_object_get(row, "row"));
	look->rq->plan = json_incref(look->rq->offered_plan);
	look->with = params_of(look);
	look->run = (struct action_run){ .request_id = look->rq->id,
					 .with = look->with,
					 .args = look->rq->args,
					 .plan = look->rq->plan,
					 .since = json_object_get(row, "since"),
					 .timeout_ms = LOOK_MS };
	list_push(&follower->looks, &look->node);
	look->call = kind->follow(follower->service->env, &look->run, on_look, look);
}

static void on_claimed(void *data, const struct err *err)
{
	struct follower *follower = data;

	follower->claim_call = NULL;
	if (err != NULL)
		log_debug("looks not claimed", LOG_STR("error", err->msg));
}

static void on_tick(uv_timer_t *timer)
{
	struct follower *follower = timer->data;
	size_t under_way = follower->looks.count;

	write_marks(follower);
	if (follower->service->state != SERVICE_SERVING || follower->claim_call != NULL ||
	    under_way >= LOOKS_MAX)
		return;
	follower->claim_call =
		store_follow_claim(follower->service->store, (unsigned)(LOOKS_MAX - under_way),
				   begin_look, on_claimed, follower);
}

struct follower *follower_create(struct service *service)
{
	struct follower *follower = xcalloc(1, sizeof(*follower));

	follower->service = service;
	follower->stays_s = config_int(service->config, "follow.stays_seconds");
	follower->marks = json_array();
	list_init(&follower->looks);
	uv_timer_init(&service->loop, &follower->timer);
	follower->timer.data = follower;
	uv_timer_start(&follower->timer, on_tick, TICK_MS, TICK_MS);
	return follower;
}

static void on_closed(uv_handle_t *timer)
{
	free(timer->data);
}

void follower_destroy(struct follower *follower)
{
	struct list_node *node;

	if (follower == NULL)
		return;
	call_cancel(&follower->claim_call);
	call_cancel(&follower->mark_call);
	while ((node = list_first(&follower->looks)) != NULL) {
		struct look *look = list_entry(node, struct look, node);

		call_cancel(&look->call);
		look_free(look);
	}
	json_decref(follower->marks);
	uv_close((uv_handle_t *)&follower->timer, on_closed);
}
