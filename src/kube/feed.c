/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed.c - a list, then a stream from the list's version, over and over.
 *
 *   LIST --pages--> STREAM --it ends--> (wait) --> STREAM from the last version
 *   STREAM --410, or what cannot be read--> (wait) --> LIST
 *   STREAM --silence--> LIST: the last event may have been lost
 *
 * A stream that brought something is resumed at once; else the waits grow from one second to
 * thirty.  A line of the stream that is large is parsed by a thread; what comes meanwhile waits.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "kube/kind.h"
#include "net/http.h"
#include "net/parse.h"
#include "watch_internal.h"

enum {
	PAGE = 250,
	PAGE_MAX = 8 << 20,
	OBJECTS_MAX = 2000,
	LINE_MAX_BYTES = 8 << 20,
	LIST_MS = 20000,
	OPEN_MS = 20000,
	LIFE_S = 300, /* of a stream; the server ends it */
	SILENT_MS = (LIFE_S + 30) * 1000,
	SAFETY_MS = 90000, /* of silence: a bookmark comes about every minute */
	AT_ONCE_MS = 50,   /* between two streams that bring something */
	WAIT_MS = 1000,
	EARLY_MS = 60000, /* for a server that does not know yet what is allowed */
	LAG_MS = 3000,    /* not open for longer: what is known is not how it is */
	WAIT_MAX_MS = 30000,
};

static void list_page(struct watch *watch);
static void open_stream(struct watch *watch);

static void drop_stream(struct watch *watch)
{
	call_cancel(&watch->feed.inner);
	kube_line_give(&watch->feed.line);
}

static void on_list_time(uv_timer_t *timer)
{
	struct watch *watch = timer->data;

	drop_stream(watch); /* a silent one */
	call_cancel(&watch->feed.parse);
	buf_reset(&watch->feed.lines);
	watch->feed.then = FEED_GOES_ON;
	list_page(watch);
}

static void on_stream_time(uv_timer_t *timer)
{
	open_stream(timer->data);
}

static void later(struct watch *watch, uv_timer_cb what, uint64_t ms)
{
	(void)uv_timer_start(&watch->timer, what, ms, 0);
}

/* --- the list --- */

static void start_over(struct watch *watch)
{
	json_decref(watch->feed.found);
	watch->feed.found = NULL;
	free(watch->feed.next_page);
	watch->feed.next_page = NULL;
}

static bool for_ever(enum kube_problem problem)
{
	return problem == KUBE_FORBIDDEN || problem == KUBE_NO_RESOURCE ||
	       problem == KUBE_NOT_FOUND || problem == KUBE_UNKNOWN_US || problem == KUBE_INVALID ||
	       problem == KUBE_POLICY || problem == KUBE_QUOTA;
}

/* A server that has just been started refuses all, until it has read the roles. */
static bool may_be_early(struct watch *watch, enum kube_problem problem)
{
	struct feed *feed = &watch->feed;
	uint64_t now = uv_now(watch->kube->loop);

	if (problem != KUBE_FORBIDDEN || !feed->was_open)
		return false;
	if (feed->forbidden_at == 0)
		feed->forbidden_at = now;
	return now - feed->forbidden_at < EARLY_MS;
}

static void list_failed(struct watch *watch, enum kube_problem problem, const struct err *err)
{
	start_over(watch);
	if (for_ever(problem) && !may_be_early(watch, problem)) {
		watch_end(watch, err);
		return;
	}
	if (problem != KUBE_EXPIRED) /* the cursor only */
		watch_stale(watch, err);
	if (!watch->closing)
		later(watch, on_list_time, backoff_next(&watch->feed.backoff, 0));
}

/* Items of a list do not say what they are; the list does. */
static void name_kind(const struct watch *watch, json_t *item)
{
	if (json_object_get(item, "kind") == NULL)
		json_object_set_new(item, "kind", json_string(watch->kind->kind));
	if (json_object_get(item, "apiVersion") == NULL)
		json_object_set_new(item, "apiVersion", json_string(watch->kind->version));
}

static void take_items(struct watch *watch, const json_t *body)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(body, "items"), i, item)
	{
		char *key = xasprintf("%s/%s", jget_str_or(item, "metadata.namespace", ""),
				      jget_str_or(item, "metadata.name", ""));

		name_kind(watch, item);
		json_object_set(watch->feed.found, key, item);
		free(key);
	}
}

static void set_version(struct watch *watch, const char *version)
{
	if (str_empty(version))
		return;
	free(watch->feed.version);
	watch->feed.version = xstrdup(version);
}

static void listed(struct watch *watch)
{
	json_t *found = watch->feed.found;

	watch->feed.found = NULL;
	watch_settle(watch, found);
	json_decref(found);
	if (!watch->closing)
		open_stream(watch);
}

static void on_listed(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct watch *watch = data;
	const char *more = jget_str(answer->body, "metadata.continue");
	struct err wrong;

	watch->feed.inner = NULL;
	if (err != NULL) {
		list_failed(watch, answer->problem, err);
		return;
	}
	take_items(watch, answer->body);
	set_version(watch, jget_str(answer->body, "metadata.resourceVersion"));
	free(watch->feed.next_page);
	watch->feed.next_page = str_empty(more) ? NULL : xstrdup(more);
	if (json_object_size(watch->feed.found) > OBJECTS_MAX) {
		err_set(&wrong, ERR_INVALID,
			"cluster %s: more than %d %s to watch; name fewer with a selector",
			watch->kube->name, OBJECTS_MAX, watch->kind->plural);
		watch_end(watch, &wrong);
		return;
	}
	if (watch->feed.next_page != NULL)
		list_page(watch);
	else
		listed(watch);
}

static void list_page(struct watch *watch)
{
	struct feed *feed = &watch->feed;
	char *cursor = feed->next_page == NULL ? NULL : http_escape(feed->next_page);
	char *query = xasprintf("limit=%d%s%s%s", PAGE, watch->selectors,
				cursor != NULL ? "&continue=" : "", cursor != NULL ? cursor : "");
	struct kube_request request = {
		.method = "GET",
		.kind = watch->kind,
		.space = watch->space,
		.query = query,
		.request_id = watch->request_id,
		.timeout_ms = LIST_MS,
		.max_body = PAGE_MAX,
	};

	if (feed->found == NULL)
		feed->found = json_object();
	feed->inner = kube_call(watch->kube, &request, on_listed, watch);
	free(cursor);
	free(query);
}

/* --- what the stream brings --- */

static void stop_stream(struct watch *watch, enum feed_then then)
{
	drop_stream(watch);
	buf_reset(&watch->feed.lines);
	watch->feed.scanned = 0;
	watch->feed.then = then;
}

/* An ERROR event: a Status in the middle of a stream that began well. */
static void take_trouble(struct watch *watch, const json_t *status)
{
	const char *reason = jget_str_or(status, "reason", "");
	bool gone = jget_int(status, "code", 0) == 410 || str_eq(reason, "Expired") ||
		    str_eq(reason, "Gone");

	log_debug("watch error", LOG_STR("cluster", watch->kube->name), LOG_STR("reason", reason));
	stop_stream(watch, gone ? FEED_LIST : FEED_RESUME);
	if (!gone)
		watch->feed.brought = false;
}

static void take_event(struct watch *watch, json_t *event)
{
	json_t *object = json_object_get(event, "object");
	const char *type = jget_str_or(event, "type", "");
	const char *version = jget_str(object, "metadata.resourceVersion");

	if (str_eq(type, "ERROR")) {
		take_trouble(watch, object);
		return;
	}
	if (str_empty(version)) {
		stop_stream(watch, FEED_LIST);
		watch->feed.brought = false;
		return;
	}
	set_version(watch, version);
	watch->feed.brought = true;
	watch->feed.renewed = false;
	backoff_reset(&watch->feed.backoff);
	if (str_eq(type, "ADDED") || str_eq(type, "MODIFIED"))
		watch_see(watch, object);
	else if (str_eq(type, "DELETED"))
		watch_lose(watch, object);
	if (json_object_size(watch->objects) > OBJECTS_MAX && !watch->closing)
		stop_stream(watch, FEED_LIST); /* which says that there are too many */
}

static void take_value(struct watch *watch, json_t *value, const struct err *err)
{
	if (value != NULL) {
		take_event(watch, value);
		return;
	}
	log_warn("watch line not read", LOG_STR("cluster", watch->kube->name),
		 LOG_STR("reason", err->msg));
	watch->feed.brought = false;
	stop_stream(watch, FEED_LIST);
}

static void go_on(struct watch *watch);

static void on_parsed(void *data, json_t *value, const struct err *err)
{
	struct watch *watch = data;

	watch->feed.parse = NULL;
	take_value(watch, value, err);
	go_on(watch);
}

/* One line off the front; false: no whole one is there, or one is being parsed. */
static bool take_line(struct watch *watch)
{
	struct feed *feed = &watch->feed;
	struct buf *lines = &feed->lines;
	const char *end;
	struct err err;
	json_t *value;
	size_t len;

	if (feed->parse != NULL || lines->len == feed->scanned)
		return false;
	end = memchr(lines->data + feed->scanned, '\n', lines->len - feed->scanned);
	feed->scanned = end == NULL ? lines->len : 0;
	if (end == NULL)
		return false;
	len = (size_t)(end - lines->data);
	if (len > PARSE_HERE_MAX) {
		feed->parse = parse_start(watch->kube->loop, lines->data, len, on_parsed, watch);
		buf_consume(lines, len + 1);
		return false;
	}
	value = len == 0 ? NULL : json_parse(lines->data, len, len, &err);
	buf_consume(lines, len + 1);
	if (len > 0)
		take_value(watch, value, &err);
	json_decref(value);
	return true;
}

/* --- the stream's end --- */

static uint64_t wait_of(struct watch *watch)
{
	struct feed *feed = &watch->feed;
	uint64_t age = uv_now(watch->kube->loop) - feed->opened;

	if (age > LIFE_S * 1000 / 2) /* nothing happened, which is no trouble */
		backoff_reset(&feed->backoff);
	if (!feed->brought)
		return backoff_next(&feed->backoff, feed->wait_ms);
	return age >= AT_ONCE_MS ? 0 : AT_ONCE_MS - age;
}

static void open_later(struct watch *watch, bool list)
{
	uint64_t ms = wait_of(watch);
	struct err err;

	err_set(&err, ERR_RETRY, "cluster %s: the stream of %s ends again and again",
		watch->kube->name, watch->kind->plural);
	if (ms > LAG_MS)
		watch_stale(watch, &err);
	if (watch->closing)
		return;
	/* What came while it was stale is told before it is SYNCED again. */
	later(watch, list || watch->stale ? on_list_time : on_stream_time, ms);
}

static void on_renewed(void *data, const struct err *err)
{
	struct watch *watch = data;
	struct err refused = watch->feed.refused;

	watch->feed.inner = NULL;
	if (err == NULL)
		open_stream(watch);
	else
		watch_end(watch, &refused);
}

static void go_on(struct watch *watch)
{
	struct feed *feed = &watch->feed;
	enum feed_then then;

	while (!watch->closing && take_line(watch))
		;
	then = feed->then;
	if (watch->closing || feed->parse != NULL || then == FEED_GOES_ON)
		return;
	feed->then = FEED_GOES_ON;
	buf_reset(&feed->lines); /* half a line, if anything */
	feed->scanned = 0;
	if (then == FEED_ASK)
		feed->inner =
			kube_creds_renew(watch->kube->creds, feed->version_sent, on_renewed, watch);
	else
		open_later(watch, then == FEED_LIST);
}

static bool on_data(void *data, const char *piece, size_t len)
{
	struct watch *watch = data;
	struct feed *feed = &watch->feed;

	if (len == 0) { /* it is open */
		feed->was_open = true;
		feed->forbidden_at = 0;
		watch_synced(watch);
		return true;
	}
	if (!buf_append(&feed->lines, piece, len)) {
		log_warn("watch line too long", LOG_STR("cluster", watch->kube->name));
		feed->brought = false;
		stop_stream(watch, FEED_LIST);
	}
	later(watch, on_list_time, SAFETY_MS);
	go_on(watch);
	return true;
}

/* The answer was no stream. */
static void refused(struct watch *watch, const struct http_response *response)
{
	const struct kube_asked asked = { .cluster = watch->kube->name,
					  .method = "GET",
					  .kind = watch->kind,
					  .space = watch->space,
					  .watches = true };
	const struct kube_said said = { .status = response->status,
					.text = response->body,
					.type = http_header(response, "Content-Type"),
					.len = response->len };
	struct feed *feed = &watch->feed;
	struct err err;
	enum kube_problem problem = kube_status_error(&asked, &said, &err);

	if (problem == KUBE_UNKNOWN_US && !feed->renewed) {
		feed->renewed = true;
		feed->refused = err;
		feed->then = FEED_ASK;
	} else if (problem == KUBE_EXPIRED) {
		feed->then = FEED_LIST;
	} else if (for_ever(problem) && !may_be_early(watch, problem)) {
		watch_end(watch, &err);
	} else {
		feed->wait_ms =
			response->retry_after_ms > 0 ? (uint32_t)response->retry_after_ms : 0;
		feed->then = FEED_RESUME;
		watch_stale(watch, &err);
	}
}

static void on_stream_end(void *data, const struct http_response *response, const struct err *err)
{
	struct watch *watch = data;
	struct feed *feed = &watch->feed;

	feed->inner = NULL;
	kube_line_give(&feed->line);
	(void)uv_timer_stop(&watch->timer);
	feed->wait_ms = 0;
	if (err == NULL && (response->status < 200 || response->status > 299))
		refused(watch, response);
	else
		feed->then = FEED_RESUME;
	/* A cut after a while is the way of the world; a cluster that cannot be reached is not. */
	if (err != NULL && err->kind != ERR_UNCERTAIN && !watch->closing)
		watch_stale(watch, err);
	if (!watch->closing)
		go_on(watch);
}

static void open_stream(struct watch *watch)
{
	struct feed *feed = &watch->feed;
	struct kube *kube = watch->kube;
	char *version = http_escape(feed->version != NULL ? feed->version : "");
	char *url = xasprintf("%s%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%d"
			      "&resourceVersion=%s%s",
			      kube->target.server, watch->path, LIFE_S, version, watch->selectors);
	const struct kube_request plain = { .method = "GET", .request_id = watch->request_id };
	struct kube_headers headers = { 0 };
	struct http_request request = { .method = "GET",
					.url = url,
					.bearer = kube_creds_token(kube->creds),
					.timeout_ms = OPEN_MS,
					.on_data = on_data,
					.idle_ms = SILENT_MS };

	kube_headers_build(&headers, kube, &plain);
	request.headers = (const char *const *)headers.items;
	feed->brought = false;
	feed->then = FEED_GOES_ON;
	feed->opened = uv_now(kube->loop);
	feed->version_sent = kube_creds_version(kube->creds);
	feed->line = kube_line_take(kube);
	feed->inner =
		http_start(kube_line_streams(kube, feed->line), &request, on_stream_end, watch);
	later(watch, on_list_time, SAFETY_MS);
	kube_headers_finish(&headers);
	free(version);
	free(url);
}

/* --- the feed --- */

void feed_start(struct watch *watch)
{
	buf_init(&watch->feed.lines, LINE_MAX_BYTES);
	backoff_init(&watch->feed.backoff, WAIT_MS, WAIT_MAX_MS);
	list_page(watch);
}

void feed_stop(struct watch *watch)
{
	drop_stream(watch);
	call_cancel(&watch->feed.parse);
}

void feed_free(struct watch *watch)
{
	start_over(watch);
	free(watch->feed.version);
	buf_finish(&watch->feed.lines);
}
