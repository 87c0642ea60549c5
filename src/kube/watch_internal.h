/* SPDX-License-Identifier: Apache-2.0 */
/* watch_internal.h - what watch.c (watchers and objects) and feed.c (lists and streams) share. */
#ifndef OPSD_KUBE_WATCH_INTERNAL_H
#define OPSD_KUBE_WATCH_INTERNAL_H

#include "base/buf.h"
#include "base/err.h"
#include "internal.h"
#include "net/backoff.h"

enum feed_then { /* what follows when the stream is over and all of it was read */
		 FEED_GOES_ON,
		 FEED_RESUME, /* from the last version */
		 FEED_LIST,   /* the last version is of no use */
		 FEED_ASK,    /* for a new credential, then resume */
};

struct feed {
	struct call *inner; /* list, stream or credential */
	struct call *parse; /* of a large line */
	struct buf lines;   /* not yet read */
	size_t scanned;     /* of lines: no line break up to here */
	json_t *found;      /* of the pages so far; NULL: no list is under way */
	char *version, *next_page;
	enum feed_then then;
	bool brought;          /* the stream brought something */
	bool was_open;         /* a stream, once */
	uint64_t forbidden_at; /* uv_now, since then without a stream; 0: not */
	struct line *line;     /* of the stream */
	unsigned version_sent; /* of the credentials it was opened with */
	bool renewed;          /* the credential, since something came */
	struct err refused;    /* while it is renewed: what the cluster said */
	uint64_t opened;       /* uv_now */
	uint32_t wait_ms;      /* at least, before the next */
	struct backoff backoff;
};

struct watch {                 /* one wish, for all who have it */
	struct list_node node; /* kube->watches */
	struct kube *kube;
	const struct kube_kind *kind;
	char *path, *selectors; /* "&fieldSelector=…": together what is shared by */
	char *space, *name, *request_id;
	struct list watchers;
	struct list_node *next; /* whom to tell next */
	json_t *objects;        /* "namespace/name" to object */
	bool synced, stale, closing;
	uv_timer_t timer; /* the feed's */
	struct feed feed;
};

/* --- watch.c --- */

void watch_see(struct watch *watch, json_t *object);
void watch_lose(struct watch *watch, json_t *object);
void watch_settle(struct watch *watch, const json_t *found); /* all that there is */
void watch_synced(struct watch *watch); /* nothing that changes can be missed from now on */
void watch_stale(struct watch *watch, const struct err *err);
void watch_end(struct watch *watch, const struct err *err);

/* --- feed.c --- */

void feed_start(struct watch *watch);
void feed_stop(struct watch *watch);
void feed_free(struct watch *watch);

#endif
