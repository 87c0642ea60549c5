/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - who watches what, the objects as they are known, and what is told to whom.
 *
 * feed.c brings the objects; here they are compared with what is known, so that a change is told
 * once however often it comes.
 */
#include "kube/watch.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "kube/kind.h"
#include "net/http.h"
#include "watch_internal.h"

struct watcher { /* one kube_watch */
	struct call call;
	struct list_node node;
	struct watch *watch;
	struct call *join; /* until then it is told nothing */
	bool *left;        /* set while it is told what is there */
	kube_seen_fn seen;
	call_done_fn done;
	void *data;
};

/* --- telling --- */

static void tell(struct watch *watch, enum kube_seen seen, const json_t *object,
		 const struct err *err)
{
	struct list_node *node = list_first(&watch->watchers);

	while (node != NULL) {
		struct watcher *watcher = list_entry(node, struct watcher, node);

		watch->next = list_next(&watch->watchers, node);
		if (watcher->join == NULL)
			watcher->seen(watcher->data, seen, object, err);
		node = watch->next;
	}
	watch->next = NULL;
}

static char *key_of(const json_t *object)
{
	return xasprintf("%s/%s", jget_str_or(object, "metadata.namespace", ""),
			 jget_str_or(object, "metadata.name", ""));
}

static bool same(const json_t *a, const json_t *b, const char *path)
{
	return str_eq(jget_str(a, path), jget_str(b, path));
}

void watch_see(struct watch *watch, json_t *object)
{
	char *key = key_of(object);
	json_t *known = json_incref(json_object_get(watch->objects, key));

	if (known == NULL || !same(known, object, "metadata.resourceVersion") ||
	    !same(known, object, "metadata.uid")) {
		json_object_set(watch->objects, key, object);
		if (known != NULL && !same(known, object, "metadata.uid"))
			tell(watch, KUBE_GONE, known, NULL);
		tell(watch, KUBE_THERE, object, NULL);
	}
	json_decref(known);
	free(key);
}

void watch_lose(struct watch *watch, json_t *object)
{
	char *key = key_of(object);
	json_t *known = json_object_get(watch->objects, key);

	/* One that came under the name since is another. */
	if (known != NULL && same(known, object, "metadata.uid")) {
		json_object_del(watch->objects, key);
		tell(watch, KUBE_GONE, object, NULL);
	}
	free(key);
}

void watch_settle(struct watch *watch, const json_t *found)
{
	json_t *before = json_copy(watch->objects), *object;
	const char *key;

	json_object_foreach(before, key, object)
	{
		if (json_object_get(found, key) == NULL)
			watch_lose(watch, object);
	}
	json_decref(before);
	json_object_foreach((json_t *)(uintptr_t)found, key, object)
	{
		watch_see(watch, object);
	}
}

void watch_synced(struct watch *watch)
{
	if (watch->synced && !watch->stale)
		return;
	watch->synced = true;
	watch->stale = false;
	tell(watch, KUBE_SYNCED, NULL, NULL);
}

void watch_stale(struct watch *watch, const struct err *err)
{
	if (watch->stale)
		return;
	watch->stale = true;
	tell(watch, KUBE_STALE, NULL, err);
}

/* --- the end --- */

static void on_closed(uv_handle_t *handle)
{
	struct watch *watch = handle->data;

	json_decref(watch->objects);
	feed_free(watch);
	free(watch->path);
	free(watch->selectors);
	free(watch->space);
	free(watch->name);
	free(watch->request_id);
	free(watch);
}

static void close_watch(struct watch *watch)
{
	watch->closing = true;
	list_remove(&watch->kube->watches, &watch->node);
	feed_stop(watch);
	uv_close((uv_handle_t *)&watch->timer, on_closed);
}

void watch_end(struct watch *watch, const struct err *err)
{
	struct err own = *err;
	struct list_node *node;

	close_watch(watch);
	while ((node = list_pop(&watch->watchers)) != NULL) {
		struct watcher *watcher = list_entry(node, struct watcher, node);

		call_cancel(&watcher->join);
		watcher->done(watcher->data, &own);
		free(watcher);
	}
}

static void on_cancel(struct call *call)
{
	struct watcher *watcher = (struct watcher *)call;
	struct watch *watch = watcher->watch;

	call_cancel(&watcher->join);
	if (watcher->left != NULL)
		*watcher->left = true;
	if (watch->next == &watcher->node)
		watch->next = list_next(&watch->watchers, &watcher->node);
	list_remove(&watch->watchers, &watcher->node);
	free(watcher);
	if (watch->watchers.count == 0 && !watch->closing)
		close_watch(watch);
}

/* --- the beginning --- */

/* What the watch knows already is told to the one who came later. */
static void on_join(void *data)
{
	struct watcher *watcher = data;
	struct watch *watch = watcher->watch;
	json_t *known = json_copy(watch->objects), *object;
	bool left = false, synced = watch->synced && !watch->stale;
	const char *key;

	watcher->join = NULL;
	watcher->left = &left;
	json_object_foreach(known, key, object)
	{
		if (!left)
			watcher->seen(watcher->data, KUBE_THERE, object, NULL);
	}
	json_decref(known);
	if (!left && synced)
		watcher->seen(watcher->data, KUBE_SYNCED, NULL, NULL);
	if (!left)
		watcher->left = NULL;
}

static char *selectors_of(const struct kube_wish *wish)
{
	char *name = http_escape(wish->name != NULL ? wish->name : "");
	char *labels = http_escape(wish->selector != NULL ? wish->selector : "");
	char *text =
		xasprintf("%s%s%s%s", wish->name != NULL ? "&fieldSelector=metadata.name%3D" : "",
			  name, wish->selector != NULL ? "&labelSelector=" : "", labels);

	free(name);
	free(labels);
	return text;
}

static struct watch *find(const struct kube *kube, const char *path, const char *selectors)
{
	for (struct list_node *node = list_first(&kube->watches); node != NULL;
	     node = list_next(&kube->watches, node)) {
		struct watch *watch = list_entry(node, struct watch, node);

		if (str_eq(watch->path, path) && str_eq(watch->selectors, selectors))
			return watch;
	}
	return NULL;
}

static struct watch *find_wish(const struct kube *kube, const struct kube_wish *wish)
{
	char *path = kube_kind_path(wish->kind, wish->space, NULL, NULL);
	char *selectors = selectors_of(wish);
	struct watch *watch = find(kube, path, selectors);

	free(path);
	free(selectors);
	return watch;
}

static struct watch *make(struct kube *kube, const struct kube_wish *wish)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));

	watch->kube = kube;
	watch->kind = wish->kind;
	watch->path = kube_kind_path(wish->kind, wish->space, NULL, NULL);
	watch->selectors = selectors_of(wish);
	watch->space = xstrdup_null(wish->space);
	watch->name = xstrdup_null(wish->name);
	watch->request_id = xstrdup_null(wish->request_id);
	watch->objects = json_object();
	list_init(&watch->watchers);
	list_push(&kube->watches, &watch->node);
	(void)uv_timer_init(kube->loop, &watch->timer);
	watch->timer.data = watch;
	feed_start(watch);
	return watch;
}

struct call *kube_watch(struct kube *kube, const struct kube_wish *wish, kube_seen_fn seen,
			call_done_fn done, void *data)
{
	struct watch *watch = find_wish(kube, wish);
	struct watcher *watcher;
	struct err err;

	if (watch == NULL && kube->watches.count >= KUBE_WATCHES_MAX) {
		err_set(&err, ERR_RETRY, "cluster %s: %d watches are open, and no more are opened",
			kube->name, KUBE_WATCHES_MAX);
		return call_later(kube->loop, &err, done, data);
	}
	watcher = xcalloc(1, sizeof(*watcher));
	watcher->call.cancel = on_cancel;
	watcher->seen = seen;
	watcher->done = done;
	watcher->data = data;
	watcher->watch = watch != NULL ? watch : make(kube, wish);
	list_push(&watcher->watch->watchers, &watcher->node);
	watcher->join = call_defer(kube->loop, on_join, watcher);
	return &watcher->call;
}

/* --- what is known --- */

const json_t *kube_watched(const struct kube *kube, const struct kube_wish *wish)
{
	const struct watch *watch = find_wish(kube, wish);

	return watch != NULL && watch->synced && !watch->stale ? watch->objects : NULL;
}

size_t kube_watches(const struct kube *kube)
{
	return kube->watches.count;
}
