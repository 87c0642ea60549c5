/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web.c - calls of Slack's Web API: made, held back, sent, read.
 *
 * One list of waiting calls in order, one timer.  A call may go when its method is not blocked by a
 * 429 and its channel's pace allows it; web_pump() is the only place that sends.  A call that only
 * reads is sent once more after an unclear end, all others never.
 */
#include "slack/web.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "net/http.h"
#include "web_internal.h"

enum {
	WAITING_MAX = 1000,
	BODY_MAX = 1024 * 1024,
	ANSWER_MAX = 4 * 1024 * 1024,
	HOOK_ANSWER_MAX = 64 * 1024,
	TIMEOUT_MS = 10000,
	RETRY_MS = 1000,              /* when Slack does not say how long */
	LONG_RETRY_MS = 60000,        /* workspace limits and migrations */
	PACE_MS = FAILPOINT_MS(1000), /* one post a second and channel … */
	PACE_BURST_MS = 2 * PACE_MS,  /* … after three at once */
	ID_MAX = 64,
};

struct pace {
	char channel[ID_MAX];
	int64_t due_ms; /* when the channel would be even with one post a second */
};

struct block {
	char method[ID_MAX];
	int64_t until_ms;
};

struct slack_web {
	uv_timer_t timer; /* wakes the waiting; closing it frees the rest */
	uv_loop_t *loop;
	struct http *http;
	char *api_url, *hooks_prefix;
	const char *bot_token; /* borrowed */
	bool plain_loopback;
	struct list waiting, active;
	struct pace *paces;
	size_t n_paces;
	struct block *blocks;
	size_t n_blocks;
};

struct web_call {
	struct call call;
	struct list_node node; /* on web->waiting or web->active */
	struct slack_web *web;
	bool waits;
	char method[ID_MAX]; /* "response_url" for those */
	char *url, *body;
	bool hook, json, sent_twice;
	char channel[ID_MAX]; /* paced; "" when not */
	json_t *args;         /* for the sentence of a failure */
	unsigned timeout_ms;
	struct call *inner; /* the exchange, or the turn that refuses */
	struct err refused; /* kept for that turn */
	slack_done_fn done; /* NULL: nobody waits */
	void *data;
};

static void web_pump(struct slack_web *web);

/* --- the end of a call --- */

static void call_free(struct web_call *wc)
{
	list_remove(wc->waits ? &wc->web->waiting : &wc->web->active, &wc->node);
	call_cancel(&wc->inner);
	json_decref(wc->args);
	free(wc->url);
	free(wc->body);
	free(wc);
}

static void on_cancel(struct call *call)
{
	call_free((struct web_call *)call);
}

/* After this neither the call nor, if done destroyed it, the web is there any more. */
static void call_end(struct web_call *wc, const struct slack_answer *answer, const struct err *err)
{
	slack_done_fn done = wc->done;
	void *data = wc->data;

	if (err != NULL && done == NULL)
		log_warn("Slack call failed", LOG_STR("method", wc->method),
			 LOG_STR("class", slack_class_name(answer->class)),
			 LOG_STR("error", err->msg));
	wc->inner = NULL;
	call_free(wc);
	if (done != NULL)
		done(data, answer, err);
}

static void on_refused(void *data)
{
	struct web_call *wc = data;
	struct slack_answer answer = {
		.class = wc->refused.kind == ERR_RETRY ? SLACK_RETRY : SLACK_REFUSED,
		.error = "not_sent",
		.retry_ms = wc->refused.kind == ERR_RETRY ? RETRY_MS : 0,
	};
	struct err err = wc->refused;

	call_end(wc, &answer, &err);
}

/* --- limits --- */

static const struct pace *pace_find(const struct slack_web *web, const char *channel)
{
	for (size_t i = 0; i < web->n_paces; i++)
		if (str_eq(web->paces[i].channel, channel))
			return &web->paces[i];
	return NULL;
}

static int64_t pace_wait(const struct slack_web *web, const char *channel, int64_t now)
{
	const struct pace *pace = pace_find(web, channel);

	if (pace == NULL || pace->due_ms - PACE_BURST_MS <= now)
		return 0;
	return pace->due_ms - PACE_BURST_MS - now;
}

/* Counts a post; forgets the channels that are even again, so that the list stays short. */
static void pace_count(struct slack_web *web, const char *channel, int64_t now)
{
	struct pace *pace = NULL;
	size_t kept = 0;

	for (size_t i = 0; i < web->n_paces; i++)
		if (web->paces[i].due_ms > now)
			web->paces[kept++] = web->paces[i];
	web->n_paces = kept;
	pace = (struct pace *)pace_find(web, channel);
	if (pace == NULL) {
		web->paces = xrealloc(web->paces, (kept + 1) * sizeof(*web->paces));
		pace = &web->paces[web->n_paces++];
		*pace = (struct pace){ .due_ms = now };
		(void)snprintf(pace->channel, sizeof(pace->channel), "%s", channel);
	}
	pace->due_ms += PACE_MS;
}

static int64_t block_wait(const struct slack_web *web, const char *method, int64_t now)
{
	for (size_t i = 0; i < web->n_blocks; i++)
		if (str_eq(web->blocks[i].method, method))
			return web->blocks[i].until_ms > now ? web->blocks[i].until_ms - now : 0;
	return 0;
}

int64_t slack_web_channel_wait(const struct slack_web *web, const char *channel)
{
	int64_t now = clock_mono_ms();
	int64_t pace = pace_wait(web, channel, now),
		block = block_wait(web, "chat.postMessage", now);

	return pace > block ? pace : block;
}

static void block_method(struct slack_web *web, const char *method, int64_t wait_ms)
{
	int64_t until_ms = clock_mono_ms() + wait_ms;
	struct block *block;

	for (size_t i = 0; i < web->n_blocks; i++) {
		if (str_eq(web->blocks[i].method, method)) {
			web->blocks[i].until_ms = until_ms;
			return;
		}
	}
	web->blocks = xrealloc(web->blocks, (web->n_blocks + 1) * sizeof(*web->blocks));
	block = &web->blocks[web->n_blocks++];
	block->until_ms = until_ms;
	(void)snprintf(block->method, sizeof(block->method), "%s", method);
}

/* --- the answer --- */

static int64_t retry_after(const struct http_response *response, const char *error)
{
	if (response->retry_after_ms > 0)
		return response->retry_after_ms;
	if (str_eq(error, "message_limit_exceeded") || str_eq(error, "team_added_to_org"))
		return LONG_RETRY_MS;
	return RETRY_MS;
}

/* A reply address answers with a word, not with JSON. */
static void read_word(const struct http_response *response, char *ret_word, size_t size)
{
	size_t n = strspn(response->body, "abcdefghijklmnopqrstuvwxyz_");

	(void)snprintf(ret_word, size, "%.*s", n < size ? (int)n : 0, response->body);
}

static void read_answer(const struct web_call *wc, const struct http_response *response,
			json_t **ret_json, char *ret_error, size_t size)
{
	struct err err;
	json_t *json;

	*ret_error = '\0';
	*ret_json = NULL;
	if (wc->hook) {
		if (response->status >= 300)
			read_word(response, ret_error, size);
		return;
	}
	json = json_parse(response->body, response->len, ANSWER_MAX, &err);
	if (json_is_object(json) && json_is_boolean(json_object_get(json, "ok"))) {
		if (!jget_bool(json, "ok", false))
			(void)snprintf(ret_error, size, "%.60s",
				       jget_str_or(json, "error", "unknown_error"));
		*ret_json = json;
		return;
	}
	json_decref(json);
	if (response->status >= 200 && response->status < 300)
		(void)snprintf(ret_error, size, "unreadable_answer");
}

/* Reads may be asked again; true when that was done. */
static bool send_again(struct web_call *wc)
{
	struct slack_web *web = wc->web;

	if (wc->sent_twice || !slack_method_reads(wc->method))
		return false;
	wc->sent_twice = true;
	wc->inner = NULL;
	list_remove(&web->active, &wc->node);
	wc->waits = true;
	list_push(&web->waiting, &wc->node);
	web_pump(web);
	return true;
}

static void on_no_response(struct web_call *wc, const struct err *http_err)
{
	bool reads = slack_method_reads(wc->method);
	struct slack_answer answer = { .class = SLACK_RETRY, .error = "no_answer" };
	struct err err = *http_err;

	if (err.kind == ERR_UNCERTAIN) {
		if (send_again(wc))
			return;
		answer.class = reads ? SLACK_RETRY : SLACK_UNCERTAIN;
	} else if (err.kind == ERR_INVALID || err.kind == ERR_INTERNAL) {
		answer.class = SLACK_REFUSED;
	}
	answer.retry_ms = answer.class == SLACK_RETRY ? RETRY_MS : 0;
	if (answer.class == SLACK_RETRY)
		err.kind = ERR_RETRY;
	err_prefix(&err, "Slack's %s", wc->method);
	call_end(wc, &answer, &err);
}

static void on_response(void *data, const struct http_response *response,
			const struct err *http_err)
{
	struct web_call *wc = data;
	struct slack_answer answer = { 0 };
	struct err err = { 0 };
	char error[ID_MAX];
	json_t *json;

	if (http_err != NULL) {
		on_no_response(wc, http_err);
		return;
	}
	read_answer(wc, response, &json, error, sizeof(error));
	answer.class = slack_web_classify(response->status, error, false);
	if (answer.class == SLACK_UNCERTAIN && send_again(wc)) {
		json_decref(json);
		return;
	}
	answer.class = slack_web_classify(response->status, error, slack_method_reads(wc->method));
	answer.json = json;
	answer.error = error;
	answer.scopes = http_header(response, "X-OAuth-Scopes");
	if (answer.class == SLACK_RETRY)
		answer.retry_ms = retry_after(response, error);
	if (response->status == 429 && !wc->hook) {
		block_method(wc->web, wc->method, answer.retry_ms);
		web_pump(wc->web);
	}
	if (answer.class != SLACK_OK)
		slack_web_sentence(wc->method, wc->args, &answer, response->status, &err);
	call_end(wc, &answer, answer.class == SLACK_OK ? NULL : &err);
	json_decref(json);
}

/* --- sending --- */

static void call_send(struct web_call *wc)
{
	static const char *const json_type[] = { "Content-Type: application/json; charset=utf-8",
						 NULL };
	static const char *const form_type[] = { "Content-Type: application/x-www-form-urlencoded",
						 NULL };
	struct slack_web *web = wc->web;
	struct http_request request = {
		.method = "POST",
		.url = wc->url,
		.headers = wc->json ? json_type : form_type,
		.bearer = wc->hook ? NULL : web->bot_token,
		.body = wc->body,
		.body_len = strlen(wc->body),
		.timeout_ms = wc->timeout_ms,
		.max_body = wc->hook ? HOOK_ANSWER_MAX : ANSWER_MAX,
		/* A message that is sent twice is seen twice. */
		.connection = str_eq(wc->method, "chat.postMessage") || wc->hook ? HTTP_RECENT
										 : HTTP_KEPT,
	};

	list_remove(&web->waiting, &wc->node);
	wc->waits = false;
	list_push(&web->active, &wc->node);
	wc->inner = http_start(web->http, &request, on_response, wc);
}

static void on_timer(uv_timer_t *timer)
{
	web_pump(timer->data);
}

/* Sends what may go now, in order, and sets the timer for what comes next. */
static void web_pump(struct slack_web *web)
{
	struct list_node *node = list_first(&web->waiting), *next;
	int64_t now = clock_mono_ms(), soonest = -1;

	for (; node != NULL; node = next) {
		struct web_call *wc = list_entry(node, struct web_call, node);
		int64_t wait;

		next = list_next(&web->waiting, node);
		if (wc->inner != NULL) /* refused on the next turn */
			continue;
		wait = block_wait(web, wc->method, now);
		if (wait == 0 && wc->channel[0] != '\0')
			wait = pace_wait(web, wc->channel, now);
		if (wait == 0) {
			if (wc->channel[0] != '\0')
				pace_count(web, wc->channel, now);
			call_send(wc);
		} else if (soonest < 0 || wait < soonest) {
			soonest = wait;
		}
	}
	if (soonest < 0)
		(void)uv_timer_stop(&web->timer);
	else
		(void)uv_timer_start(&web->timer, on_timer, (uint64_t)soonest, 0);
}

/* --- making a call --- */

static void form_put(struct buf *buf, const char *key, const char *value)
{
	char *name = http_escape(key), *text = http_escape(value);

	(void)buf_printf(buf, "%s%s=%s", buf->len > 0 ? "&" : "", name, text);
	free(name);
	free(text);
}

/* Texts as they are; all else as JSON, which is what Slack expects of lists and objects in a form.
 */
static char *form_of(const json_t *args)
{
	const json_t *value;
	const char *key;
	struct buf buf;

	buf_init(&buf, BODY_MAX);
	json_object_foreach((json_t *)args, key, value)
	{
		char *text = json_is_string(value) ? xstrdup(json_string_value(value))
						   : json_text(value);

		if (!json_is_null(value))
			form_put(&buf, key, text);
		free(text);
	}
	return buf_take(&buf);
}

static struct web_call *call_new(struct slack_web *web, const char *method, json_t *args,
				 slack_done_fn done, void *data)
{
	struct web_call *wc = xcalloc(1, sizeof(*wc));

	assert(strlen(method) < ID_MAX);
	wc->call.cancel = on_cancel;
	wc->web = web;
	(void)snprintf(wc->method, sizeof(wc->method), "%s", method);
	wc->args = args != NULL ? args : json_object();
	wc->done = done;
	wc->data = data;
	wc->waits = true;
	list_push(&web->waiting, &wc->node);
	return wc;
}

static struct call *call_start(struct web_call *wc)
{
	struct slack_web *web = wc->web;

	if (wc->refused.kind == ERR_NONE && web->waiting.count > WAITING_MAX)
		err_set(&wc->refused, ERR_RETRY,
			"Slack's %s was not sent: %d calls are waiting already", wc->method,
			WAITING_MAX);
	if (wc->refused.kind == ERR_NONE && strlen(wc->body) > BODY_MAX)
		err_set(&wc->refused, ERR_INVALID,
			"Slack's %s was not sent: %zu bytes are more than the %d allowed",
			wc->method, strlen(wc->body), BODY_MAX);
	if (wc->refused.kind != ERR_NONE)
		wc->inner = call_defer(web->loop, on_refused, wc);
	else
		web_pump(web);
	return &wc->call;
}

struct call *slack_web_call(struct slack_web *web, const char *method, json_t *args,
			    unsigned timeout_ms, slack_done_fn done, void *data)
{
	struct web_call *wc = call_new(web, method, args, done, data);

	wc->json = slack_method_takes_json(method);
	wc->url = xasprintf("%s%s", web->api_url, method);
	wc->body = wc->json ? json_text(wc->args) : form_of(wc->args);
	wc->timeout_ms = timeout_ms > 0 ? timeout_ms : TIMEOUT_MS;
	if (slack_method_posts(method))
		(void)snprintf(wc->channel, sizeof(wc->channel), "%s",
			       jget_str_or(wc->args, "channel", ""));
	return call_start(wc);
}

/* Only Slack's own addresses; in tests a stand-in on this machine. */
static bool hook_ok(const struct slack_web *web, const char *url)
{
	struct err err;

	if (str_empty(url))
		return false;
	if (str_starts(url, web->hooks_prefix))
		return http_url_ok(url, web->plain_loopback, &err);
	return web->plain_loopback && str_starts(url, "http://") && http_url_ok(url, true, &err);
}

struct call *slack_web_respond(struct slack_web *web, const char *response_url, json_t *message,
			       slack_done_fn done, void *data)
{
	struct web_call *wc = call_new(web, "response_url", message, done, data);

	wc->hook = true;
	wc->json = true;
	wc->url = xstrdup(response_url != NULL ? response_url : "");
	wc->body = json_text(wc->args);
	wc->timeout_ms = TIMEOUT_MS;
	if (!hook_ok(web, response_url))
		err_set(&wc->refused, ERR_INVALID,
			"the reply was not sent: its address is not one of Slack's");
	return call_start(wc);
}

/* --- life --- */

struct slack_web *slack_web_create(uv_loop_t *loop, struct http *http,
				   const struct slack_web_config *config)
{
	struct slack_web *web = xcalloc(1, sizeof(*web));

	assert(str_ends(config->api_url, "/"));
	web->loop = loop;
	web->http = http;
	web->api_url = xstrdup(config->api_url);
	web->hooks_prefix = xstrdup(config->hooks_prefix != NULL ? config->hooks_prefix
								 : "https://hooks.slack.com/");
	web->bot_token = config->bot_token;
	web->plain_loopback = config->plain_loopback;
	list_init(&web->waiting);
	list_init(&web->active);
	(void)uv_timer_init(loop, &web->timer);
	web->timer.data = web;
	return web;
}

static void on_closed(uv_handle_t *timer)
{
	struct slack_web *web = timer->data;

	free(web->api_url);
	free(web->hooks_prefix);
	free(web->paces);
	free(web->blocks);
	free(web);
}

void slack_web_destroy(struct slack_web *web)
{
	struct list_node *node;

	if (web == NULL)
		return;
	for (node = list_first(&web->waiting); node != NULL; node = list_first(&web->waiting))
		call_free(list_entry(node, struct web_call, node));
	for (node = list_first(&web->active); node != NULL; node = list_first(&web->active))
		call_free(list_entry(node, struct web_call, node));
	uv_close((uv_handle_t *)&web->timer, on_closed);
}
