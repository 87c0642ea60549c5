/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watching.c - the watches that a look named, as one; and what they know, for the next look.
 *
 * The objects themselves are kept by the watches of the cluster, which those who follow the same
 * object share.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "kube/watch.h"

enum { PARTS_MAX = 4 };

struct watching;

struct part {
	struct watching *watching;
	struct call *call;
	bool synced;
};

struct watching {
	struct call call;
	struct part parts[PARTS_MAX];
	size_t n;
	bool in_step;
	action_news_fn news;
	call_done_fn done;
	void *data;
};

static void cancel_all(struct watching *watching)
{
	for (size_t i = 0; i < watching->n; i++)
		call_cancel(&watching->parts[i].call);
}

static void on_cancel(struct call *call)
{
	struct watching *watching = (struct watching *)call;

	cancel_all(watching);
	free(watching);
}

static bool all_synced(const struct watching *watching)
{
	for (size_t i = 0; i < watching->n; i++)
		if (!watching->parts[i].synced)
			return false;
	return true;
}

/* The news may cancel the watching: it is the last thing. */
static void on_seen(void *data, enum kube_seen seen, const json_t *object, const struct err *err)
{
	struct part *part = data;
	struct watching *watching = part->watching;
	bool was = watching->in_step;

	(void)object;
	(void)err;
	if (seen == KUBE_SYNCED || seen == KUBE_STALE)
		part->synced = seen == KUBE_SYNCED;
	watching->in_step = all_synced(watching);
	if (watching->in_step || was)
		watching->news(watching->data, watching->in_step);
}

static void on_over(void *data, const struct err *err)
{
	struct part *part = data;
	struct watching *watching = part->watching;
	call_done_fn done = watching->done;
	void *own = watching->data;

	part->call = NULL;
	cancel_all(watching);
	free(watching);
	done(own, err);
}

static bool wish_read(const struct action_env *env, const json_t *node, struct kube **ret_kube,
		      struct kube_wish *ret)
{
	memset(ret, 0, sizeof(*ret));
	*ret_kube = env_kube(env, jget_str_or(node, "cluster", ""));
	ret->kind = kube_kind_find(jget_str_or(node, "kind", ""));
	ret->space = jget_str(node, "namespace");
	ret->name = jget_str(node, "name");
	ret->selector = jget_str(node, "selector");
	return *ret_kube != NULL && ret->kind != NULL;
}

struct call *action_env_watch(struct action_env *env, const json_t *watch, const char *request_id,
			      action_news_fn news, call_done_fn done, void *data)
{
	struct watching *watching;
	struct kube_wish wish;
	struct kube *kube;
	struct err err;
	json_t *node;
	size_t i;

	err_set(&err, ERR_INVALID, "there is nothing to watch");
	json_array_foreach((json_t *)(uintptr_t)watch, i, node)
	{
		if (!wish_read(env, node, &kube, &wish))
			return call_later(env_loop(env), &err, done, data);
	}
	if (json_array_size(watch) == 0 || json_array_size(watch) > PARTS_MAX)
		return call_later(env_loop(env), &err, done, data);
	watching = xcalloc(1, sizeof(*watching));
	watching->call.cancel = on_cancel;
	watching->n = json_array_size(watch);
	watching->news = news;
	watching->done = done;
	watching->data = data;
	json_array_foreach((json_t *)(uintptr_t)watch, i, node)
	{
		struct part *part = &watching->parts[i];

		(void)wish_read(env, node, &kube, &wish);
		wish.request_id = request_id;
		part->watching = watching;
		part->call = kube_watch(kube, &wish, on_seen, on_over, part);
	}
	return &watching->call;
}

/* --- for the looks --- */

json_t *watched_wish(const struct place *place, const char *selector)
{
	json_t *wish = place_target(place);

	if (selector != NULL) {
		json_object_set_new(wish, "kind", json_string("Pod"));
		json_object_del(wish, "name");
		json_object_set_new(wish, "selector", json_string(selector));
	}
	return wish;
}

static const json_t *known(const struct place *place, const char *selector)
{
	struct kube_wish wish = { .kind = selector != NULL ? kube_kind_find("Pod") : place->kind,
				  .space = place->space,
				  .name = selector != NULL ? NULL : place->name,
				  .selector = selector };

	return kube_watched(place->kube, &wish);
}

bool watched_object(const struct place *place, const json_t **ret_object)
{
	const json_t *objects = known(place, NULL);
	char *key = xasprintf("%s/%s", place->space != NULL ? place->space : "", place->name);

	*ret_object = json_object_get(objects, key);
	free(key);
	return objects != NULL;
}

json_t *watched_pods(const struct place *place, const char *selector)
{
	const json_t *objects = known(place, selector);
	json_t *pods, *pod;
	const char *key;

	if (objects == NULL)
		return NULL;
	pods = json_array();
	json_object_foreach((json_t *)(uintptr_t)objects, key, pod) json_array_append(pods, pod);
	return json_pack("{s:o}", "items", pods);
}
