/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch - the objects of one kind, one or those of a selector, as they are and as they change.
 *
 * First comes what is there (THERE each), then SYNCED, once a stream of changes is open; after that
 * every change, until it is cancelled.  What becomes of the connection is not the watcher's
 * concern: a stream that ends is resumed where it was, one that is too old (410) or silent is
 * listed again and the difference is told.  Nothing is told twice.  Watches with the same wish
 * share one stream.
 *
 * While the cluster does not answer, or refuses what it allowed before (for a minute: one that has
 * just been started does), the watch is STALE: told once, and SYNCED when it is over.  Of
 * several changes of an object meanwhile, as of those that a list finds, only the last is told.
 */
#ifndef OPSD_KUBE_WATCH_H
#define OPSD_KUBE_WATCH_H

#include "base/call.h"
#include "base/json.h"

struct err;
struct kube;
struct kube_kind;

struct kube_wish { /* copied by kube_watch */
	const struct kube_kind *kind;
	const char *space;      /* NULL: a cluster-wide kind, or all namespaces */
	const char *name;       /* NULL: all */
	const char *selector;   /* of labels: "app=web,tier!=cache"; NULL: all */
	const char *request_id; /* Audit-ID of what is asked; of who comes later: not used */
};

enum kube_seen {
	KUBE_THERE,  /* new, or changed; object as it is now */
	KUBE_GONE,   /* deleted, or no longer of the selector; object as it was last */
	KUBE_SYNCED, /* all that is there was told, and what changes will be; object NULL */
	KUBE_STALE,  /* no news for a while: why in err; object NULL */
};

/* object and err are lent; an object may be kept by json_incref.  One that was deleted and made
 * again under its name is GONE, then THERE with another uid.  May cancel any watch and start
 * others. */
typedef void (*kube_seen_fn)(void *data, enum kube_seen seen, const json_t *object,
			     const struct err *err);

/* Ends by itself only with an err: not allowed (ERR_DENIED; it needs the verbs list and watch), no
 * such kind, more than 2,000 objects, more than KUBE_WATCHES_MAX streams of one cluster. */
enum { KUBE_WATCHES_MAX = 64 };
struct call *kube_watch(struct kube *kube, const struct kube_wish *wish, kube_seen_fn seen,
			call_done_fn done, void *data);

/* What the watches of this wish know now, { "namespace/name": object }, lent; NULL: nobody watches
 * that, or it is not in step with the cluster. */
const json_t *kube_watched(const struct kube *kube, const struct kube_wish *wish);

size_t kube_watches(const struct kube *kube); /* streams that are open or to be opened again */

#endif
