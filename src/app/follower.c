/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follower.c - one timer for claims, one for the looks that are due, one mark at a time; a struct
 * followed for each row in hand.
 *
 *   claim --look--> news is not to be had: mark, let go
 *                   it can be watched: mark, hold --news, or time--> look --> …
 */
#include "app/follower.h"

#include <stdlib.h>
#include <string.h>

#include "action/env.h"
#include "app/config.h"
#include "app/service.h"
#include "base/buf.h"
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

enum {
	TICK_MS = FAILPOINT_MS(1000),
	LOOK_MS = 8000,
	LOOKS_MAX = 100,  /* under way */
	HAND_MAX = 300,   /* room for looks is left: what is watched must not keep others waiting */
	STAYING_MAX = 32, /* watched only for whether they stay; the others are looked at by time */
	SAFETY_MS = 30000,          /* then the cluster is asked, whatever its watches say */
	GAP_MS = 500,               /* between two looks at one: what is heard meanwhile is one */
	MARKS_MS = 250,             /* between two writes: what comes of looks meanwhile is one */
	HOLD_MS = 30000,            /* until another replica takes it, should this one be gone */
	STAYING_MS = 90000,         /* the same once it is complete */
	DENIED_MS = 10 * 60 * 1000, /* until it is tried again to watch */
};

struct follower {
	uv_timer_t timer, soon; /* closing them frees the follower */
	struct service *service;
	int64_t stays_s;
	struct list hand;
	unsigned looking, open_timers;
	bool stopping;
	json_t *marks;     /* of looks that are over, not yet written */
	int64_t marked_ms; /* when some were written last */
	json_t *denied;    /* "cluster/namespace": when it is tried again to watch there */
	struct call *claim_call, *mark_call;
	call_done_fn stopped;
	void *stopped_data;
};

struct followed {
	struct list_node node;
	struct follower *follower;
	const struct action_kind *kind;
	struct call *look, *watch;
	json_t *watched; /* what it is that watch watches */
	struct request *rq;
	json_t *row, *with, *since;
	struct action_run run;
	int64_t claimed_ms, done_ms;                        /* done_ms < 0: not complete yet */
	int64_t looked_ms, asked_ms, due_ms, hold_until_ms; /* asked: for all, watched or not */
	bool in_step;                                       /* the watch knows how it is */
	bool news;                                          /* since the last look */
};

static void arm(struct follower *follower);

static int64_t now_of(const struct follower *follower)
{
	return (int64_t)uv_now(&follower->service->loop);
}

static void followed_free(struct followed *followed)
{
	struct follower *follower = followed->follower;

	if (followed->look != NULL)
		follower->looking--;
	call_cancel(&followed->look);
	call_cancel(&followed->watch);
	list_remove(&follower->hand, &followed->node);
	request_destroy(followed->rq);
	json_decref(followed->row);
	json_decref(followed->with);
	json_decref(followed->since);
	json_decref(followed->watched);
	free(followed);
}

static struct followed *find(const struct follower *follower, const char *id)
{
	for (struct list_node *node = list_first(&follower->hand); node != NULL;
	     node = list_next(&follower->hand, node)) {
		struct followed *followed = list_entry(node, struct followed, node);

		if (str_eq(followed->rq->id, id))
			return followed;
	}
	return NULL;
}

static void drop_all(struct follower *follower)
{
	struct list_node *node;

	while ((node = list_first(&follower->hand)) != NULL)
		followed_free(list_entry(node, struct followed, node));
}

/* --- marks --- */

static void write_marks(struct follower *follower);

static int64_t fence_of(const struct followed *followed)
{
	return jget_int(followed->row, "fence", 0);
}

/* Another replica has them, or they are over. */
static void drop_lost(struct follower *follower, const json_t *lost)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)lost, i, one)
	{
		struct followed *followed = find(follower, jget_str(one, "id"));

		if (followed != NULL && fence_of(followed) == jget_int(one, "fence", -1))
			followed_free(followed);
	}
}

static void on_marked(void *data, const json_t *lost, const struct err *err)
{
	struct follower *follower = data;

	follower->mark_call = NULL;
	if (err != NULL) {
		/* What was not written is looked at again when its claim is over. */
		log_warn("looks not recorded", LOG_STR("error", err->msg));
		drop_all(follower);
	} else {
		drop_lost(follower, lost);
		sender_wake(follower->service->sender);
	}
	arm(follower);
	if (follower->stopped == NULL)
		return;
	write_marks(follower);
	if (follower->mark_call == NULL) {
		follower->stopped(follower->stopped_data, err);
		follower->stopped = NULL;
	}
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
	follower->marked_ms = now_of(follower);
}

/* When marks that wait are to be written; INT64_MAX: not before something ends. */
static int64_t marks_due(const struct follower *follower)
{
	bool waits = json_array_size(follower->marks) > 0 && follower->mark_call == NULL &&
		     follower->looking == 0;

	return waits ? follower->marked_ms + MARKS_MS : INT64_MAX;
}

/* --- watching --- */

static void on_news(void *data, bool in_step)
{
	struct followed *followed = data;

	followed->in_step = in_step;
	followed->news = true;
	arm(followed->follower);
}

static void unwatch(struct followed *followed)
{
	call_cancel(&followed->watch);
	json_decref(followed->watched);
	followed->watched = NULL;
	followed->in_step = false;
}

static char *denied_key(const json_t *watch)
{
	const json_t *first = json_array_get(watch, 0);

	return xasprintf("%s/%s", jget_str_or(first, "cluster", ""),
			 jget_str_or(first, "namespace", ""));
}

/* It is looked at by time from now on. */
static void on_watch_over(void *data, const struct err *err)
{
	struct followed *followed = data;
	struct follower *follower = followed->follower;
	char *key = denied_key(followed->watched);

	followed->watch = NULL;
	if (err->kind == ERR_RETRY) {
		log_debug("not watched", LOG_STR("error", err->msg));
	} else {
		if (json_object_get(follower->denied, key) == NULL)
			log_warn("followed by asking now and then, for it cannot be watched",
				 LOG_STR("where", key), LOG_STR("error", err->msg));
		json_object_set_new(follower->denied, key,
				    json_integer(now_of(follower) + DENIED_MS));
	}
	unwatch(followed);
	followed->news = true;
	free(key);
	arm(follower);
}

static bool may_watch(const struct followed *followed, const json_t *watch)
{
	const struct follower *follower = followed->follower;
	char *key = denied_key(watch);
	bool denied = json_integer_value(json_object_get(follower->denied, key)) > now_of(follower);
	bool crowded = followed->watch == NULL && follower->hand.count > HAND_MAX - LOOKS_MAX;
	size_t staying = 0;

	free(key);
	for (struct list_node *node = list_first(&follower->hand); node != NULL;
	     node = list_next(&follower->hand, node)) {
		const struct followed *other = list_entry(node, struct followed, node);

		if (other != followed && other->watch != NULL && other->done_ms >= 0)
			staying++;
	}
	return !denied && !crowded && (followed->done_ms < 0 || staying < STAYING_MAX);
}

/* The new watch begins before the old one ends, so that they can share a stream. */
static void watch(struct followed *followed, const json_t *watch)
{
	struct call *before = followed->watch;

	if (before != NULL && json_equal(followed->watched, watch))
		return;
	if (watch == NULL || !may_watch(followed, watch)) {
		unwatch(followed);
		return;
	}
	followed->watch = action_env_watch(followed->follower->service->env, watch,
					   followed->rq->id, on_news, on_watch_over, followed);
	call_cancel(&before);
	json_decref(followed->watched);
	followed->watched = json_incref((json_t *)(uintptr_t)watch);
	followed->in_step = false;
}

/* --- looks --- */

static void end_log(const struct followed *followed, const json_t *mark)
{
	if (jget_str(mark, "ended") != NULL)
		log_info("followed", LOG_STR("request", followed->rq->id),
			 LOG_STR("ended", jget_str(mark, "ended")));
}

/* Takes mark.  It stays in hand; written is only what is news, or what keeps it ours. */
static void hold(struct followed *followed, json_t *mark, bool first_done)
{
	int64_t now = now_of(followed->follower);
	int64_t hold_ms = followed->done_ms < 0 ? HOLD_MS : STAYING_MS;
	bool failed = jget_int(mark, "since.fails", 0) != jget_int(followed->since, "fails", 0);

	followed->due_ms = now + jget_int(mark, "again_ms", 0);
	if (json_object_get(mark, "tell") == NULL && !first_done && !failed &&
	    followed->hold_until_ms - now > hold_ms * 2 / 3) {
		json_decref(mark);
		return;
	}
	followed->hold_until_ms = now + hold_ms;
	(void)json_object_del(mark, "again_ms");
	json_object_set_new(mark, "hold_ms", json_integer(hold_ms));
	json_array_append_new(followed->follower->marks, mark);
}

static void take_mark(struct followed *followed, json_t *mark, const json_t *what)
{
	struct follower *follower = followed->follower;
	const json_t *tell = json_object_get(mark, "tell");
	bool over = jget_str(mark, "ended") != NULL, first_done = false;
	json_t *since = json_incref(json_object_get(mark, "since"));

	end_log(followed, mark);
	if (tell != NULL)
		json_object_set_new(mark, "tell", facts_progress(followed->rq, tell));
	if (jget_bool(mark, "done", false) && followed->done_ms < 0) {
		followed->done_ms = now_of(follower);
		first_done = true;
	}
	if (what != NULL && !over)
		watch(followed, json_object_get(what, "watch"));
	if (!over && followed->watch != NULL) {
		hold(followed, mark, first_done);
		json_decref(followed->since);
		followed->since = since;
		return;
	}
	json_decref(since);
	json_array_append_new(follower->marks, mark);
	followed_free(followed);
}

static void on_look(void *data, const json_t *result, const struct err *err)
{
	struct followed *followed = data;
	struct follower *follower = followed->follower;
	int64_t now = now_of(follower);
	const struct progress_look seen = {
		.id = followed->rq->id,
		.fence = fence_of(followed),
		.since = followed->since,
		.age_ms = jget_int(followed->row, "age_ms", 0) + now - followed->claimed_ms,
		.done_ms = followed->done_ms < 0 ? -1 : now - followed->done_ms,
		.stays_s = follower->stays_s,
		.watched = followed->in_step,
	};

	followed->look = NULL;
	followed->looked_ms = now;
	follower->looking--;
	take_mark(followed, progress_mark(&seen, result, err), result);
	arm(follower);
}

static void look(struct followed *followed)
{
	int64_t now = now_of(followed->follower);

	followed->run.since = followed->since;
	followed->run.known = followed->in_step && now - followed->asked_ms < SAFETY_MS;
	followed->run.quiet = !followed->news;
	followed->news = false;
	if (!followed->run.known)
		followed->asked_ms = now;
	followed->follower->looking++;
	followed->look = followed->kind->follow(followed->follower->service->env, &followed->run,
						on_look, followed);
}

static int64_t due_of(const struct followed *followed)
{
	int64_t soonest = followed->looked_ms + GAP_MS;

	return followed->news && soonest < followed->due_ms ? soonest : followed->due_ms;
}

static void on_soon(uv_timer_t *timer)
{
	struct follower *follower = timer->data;
	int64_t now = now_of(follower);

	for (struct list_node *node = list_first(&follower->hand); node != NULL;
	     node = list_next(&follower->hand, node)) {
		struct followed *followed = list_entry(node, struct followed, node);

		if (followed->look == NULL && due_of(followed) <= now &&
		    follower->looking < LOOKS_MAX)
			look(followed);
	}
	if (marks_due(follower) <= now)
		write_marks(follower);
	arm(follower);
}

/* For the look or the write that is due next. */
static void arm(struct follower *follower)
{
	int64_t next = marks_due(follower), now = now_of(follower);

	if (follower->stopping || follower->looking >= LOOKS_MAX)
		return; /* the end of a look arms it */
	for (struct list_node *node = list_first(&follower->hand); node != NULL;
	     node = list_next(&follower->hand, node)) {
		const struct followed *followed = list_entry(node, struct followed, node);

		if (followed->look == NULL && due_of(followed) < next)
			next = due_of(followed);
	}
	if (next != INT64_MAX)
		(void)uv_timer_start(&follower->soon, on_soon,
				     next > now ? (uint64_t)(next - now) : 0, 0);
}

/* --- claims --- */

static const struct action_kind *find_kind(const char *name)
{
	for (size_t i = 0; action_kinds[i] != NULL; i++)
		if (str_eq(action_kinds[i]->name, name))
			return action_kinds[i];
	return NULL;
}

/* The parameters as they were; those that hold a secret are not on record, and no look needs it. */
static json_t *params_of(const struct followed *followed)
{
	json_t *params = json_object_get(followed->row, "params");

	if (json_is_object(params))
		return json_incref(params);
	if (followed->rq->command != NULL)
		return command_fill(followed->rq->command->with, followed->rq->args);
	return json_object();
}

static void begin(void *data, const json_t *row)
{
	struct follower *follower = data;
	const struct action_kind *kind = find_kind(jget_str(row, "kind"));
	int64_t now = now_of(follower), done_ms = jget_int(row, "done_ms", -1);
	struct followed *followed = find(follower, jget_str(row, "id"));

	if (followed != NULL) /* it was not held on in time, and is claimed anew */
		followed_free(followed);
	if (kind == NULL || kind->follow == NULL) {
		log_error("a kind that cannot be followed", LOG_STR("kind", jget_str(row, "kind")));
		return;
	}
	followed = xcalloc(1, sizeof(*followed));
	followed->follower = follower;
	followed->kind = kind;
	followed->row = json_incref((json_t *)(uintptr_t)row);
	followed->rq = service_request(follower->service, json_object_get(row, "row"));
	followed->rq->plan = json_incref(followed->rq->offered_plan);
	followed->with = params_of(followed);
	followed->since = json_incref(json_object_get(row, "since"));
	followed->claimed_ms = now;
	followed->done_ms = done_ms < 0 ? -1 : now - done_ms;
	followed->run = (struct action_run){ .request_id = followed->rq->id,
					     .with = followed->with,
					     .args = followed->rq->args,
					     .plan = followed->rq->plan,
					     .timeout_ms = LOOK_MS };
	list_push(&follower->hand, &followed->node);
	look(followed);
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
	size_t room = follower->looking < LOOKS_MAX ? LOOKS_MAX - follower->looking : 0;

	write_marks(follower);
	if (follower->hand.count + room > HAND_MAX)
		room = follower->hand.count < HAND_MAX ? HAND_MAX - follower->hand.count : 0;
	if (follower->service->state != SERVICE_SERVING || follower->claim_call != NULL ||
	    room == 0)
		return;
	follower->claim_call = store_follow_claim(follower->service->store, (unsigned)room, begin,
						  on_claimed, follower);
}

/* --- the follower --- */

static void start_timer(struct follower *follower, uv_timer_t *timer)
{
	uv_timer_init(&follower->service->loop, timer);
	timer->data = follower;
	follower->open_timers++;
}

struct follower *follower_create(struct service *service)
{
	struct follower *follower = xcalloc(1, sizeof(*follower));

	follower->service = service;
	follower->stays_s = config_int(service->config, "follow.stays_seconds");
	follower->marks = json_array();
	follower->denied = json_object();
	list_init(&follower->hand);
	start_timer(follower, &follower->soon);
	start_timer(follower, &follower->timer);
	uv_timer_start(&follower->timer, on_tick, TICK_MS, TICK_MS);
	return follower;
}

/* Whoever takes it looks at once: it is not known what has been missed. */
static void let_go(struct followed *followed)
{
	json_array_append_new(followed->follower->marks,
			      json_pack("{s:s, s:I, s:O, s:b, s:i}", "id", followed->rq->id,
					"fence", (json_int_t)fence_of(followed), "since",
					followed->since, "done", followed->done_ms >= 0, "again_ms",
					0));
	followed_free(followed);
}

void follower_stop(struct follower *follower, call_done_fn done, void *data)
{
	struct list_node *node;

	follower->stopping = true;
	(void)uv_timer_stop(&follower->timer);
	(void)uv_timer_stop(&follower->soon);
	call_cancel(&follower->claim_call);
	while ((node = list_first(&follower->hand)) != NULL)
		let_go(list_entry(node, struct followed, node));
	write_marks(follower);
	if (follower->mark_call == NULL) {
		done(data, NULL);
		return;
	}
	follower->stopped = done;
	follower->stopped_data = data;
}

static void on_closed(uv_handle_t *timer)
{
	struct follower *follower = timer->data;

	if (--follower->open_timers == 0)
		free(follower);
}

void follower_destroy(struct follower *follower)
{
	if (follower == NULL)
		return;
	call_cancel(&follower->claim_call);
	call_cancel(&follower->mark_call);
	drop_all(follower);
	json_decref(follower->marks);
	json_decref(follower->denied);
	uv_close((uv_handle_t *)&follower->timer, on_closed);
	uv_close((uv_handle_t *)&follower->soon, on_closed);
}

void follower_metrics(const struct follower *follower, struct buf *buf)
{
	unsigned watched = 0;

	for (struct list_node *node = list_first(&follower->hand); node != NULL;
	     node = list_next(&follower->hand, node))
		if (list_entry(node, struct followed, node)->in_step)
			watched++;
	(void)buf_printf(buf, "opsd_followed_watched %u\n", watched);
}
