/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c - one question to a source's API, with its pace, its tries and the checks of its answer. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/backoff.h"

enum { ANSWER_MS = 60000, BASE_MS = 1000, CAP_MS = 64000, SAID_MAX = 200, WAIT_MAX_S = 3600 };

struct asking {
	struct call call;
	struct source *source;
	uv_timer_t timer; /* pace and waits; the memory goes in its close callback */
	struct call *exchange;
	char *what, *url, *bearer, *body;
	bool form;                  /* which kind of body */
	const char *const *headers; /* static, like advice */
	const char *advice;
	struct backoff backoff;
	ask_done_fn done;
	void *data;
};

static void on_timer(uv_timer_t *timer);

static void on_closed(uv_handle_t *handle)
{
	struct asking *asking = handle->data;

	secret_free(asking->bearer);
	secret_free(asking->body);
	free(asking->what);
	free(asking->url);
	free(asking);
}

static void end(struct asking *asking)
{
	call_cancel(&asking->exchange);
	uv_close((uv_handle_t *)&asking->timer, on_closed);
}

static void on_cancel(struct call *call)
{
	end((struct asking *)call);
}

static void finish(struct asking *asking, const struct ask_answer *answer, struct err *err)
{
	if (err != NULL)
		err_prefix(err, "%s: %s", asking->source->label, asking->what);
	asking->done(asking->data, answer, err);
	end(asking);
}

/* --- the pace --- */

/* Waits for the source's pace and at least floor_ms. */
static void wait_turn(struct asking *asking, int64_t floor_ms)
{
	struct source *source = asking->source;
	int64_t now = clock_mono_ms(), at = now + floor_ms;
	int64_t gap = source->per_minute > 0 ? 60000 / (int64_t)source->per_minute : 0;

	if (at < source->free_ms)
		at = source->free_ms;
	else if (source->free_ms < now)
		source->free_ms = now;
	source->free_ms += gap;
	(void)uv_timer_start(&asking->timer, on_timer, (uint64_t)(at - now), 0);
}

/* --- what an answer says --- */

static bool says_json(const struct http_response *response)
{
	const char *type = http_header(response, "Content-Type");
	size_t len;

	if (type == NULL)
		return false;
	len = strcspn(type, "; ");
	if (len == strlen("application/json") && strncasecmp(type, "application/json", len) == 0)
		return true;
	return len > 5 && strncasecmp(type, "application/", 12) == 0 &&
	       strncasecmp(type + len - 5, "+json", 5) == 0;
}

static const char *said(const json_t *json)
{
	static const char *const members[] = { "error.message", "error_description",
					       "errorSummary",  "detail",
					       "error",         "message" };

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (!str_empty(jget_str(json, members[i])))
			return jget_str(json, members[i]);
	return NULL;
}

static const char *common_advice(int status)
{
	switch (status) {
	case 401:
		return "the credentials are refused: check them, and that they have not expired";
	case 403:
		return "a permission is missing: docs/directory.md lists those that are needed";
	case 404:
		return "check url";
	case 429:
		return "the quota is used up: lower per_minute, or run less often";
	default:
		return status >= 500 ? "the source has trouble: the next run tries again"
				     : "check the settings of this source";
	}
}

static void put_status(struct asking *asking, int status, const json_t *json, struct err *err)
{
	const struct source_kind *kind = asking->source->kind;
	const char *advice = asking->advice;
	const char *text = said(json);
	char own[SAID_MAX];

	if (advice == NULL && kind->advice != NULL)
		advice = kind->advice(status, json);
	own[0] = '\0';
	if (text != NULL) {
		(void)snprintf(own, sizeof(own), "%s", text);
		log_redact(own);
	}
	err_set(err, ERR_INVALID, "it answers %d%s%s; %s", status, own[0] != '\0' ? ": " : "", own,
		advice != NULL ? advice : common_advice(status));
}

/* How long the peer asks us to wait; 0: it does not say.  Its clock is compared with itself. */
static int64_t asked_wait(const struct http_response *response)
{
	const char *reset = http_header(response, "X-Rate-Limit-Reset");
	const char *date = http_header(response, "Date");
	struct tm tm = { 0 };
	int64_t at;

	if (response->retry_after_ms >= 0)
		return response->retry_after_ms;
	if (reset == NULL || date == NULL || !str_to_i64(reset, &at) ||
	    strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return 0;
	at -= (int64_t)timegm(&tm);
	return at < 0 ? 0 : at > WAIT_MAX_S ? WAIT_MAX_S * 1000 : at * 1000;
}

static bool passes(const struct asking *asking, int status, const json_t *json)
{
	const struct source_kind *kind = asking->source->kind;

	return status == 429 || status >= 500 ||
	       (kind->passing != NULL && kind->passing(status, json));
}

/* --- the exchange --- */

static void put_tries(struct err *err, unsigned tries)
{
	char *text = xasprintf("%s (tried %u times)", err->msg, tries);

	err_set(err, err->kind, "%s", text);
	free(text);
}

/* Another try after a wait, or the end. */
static void again(struct asking *asking, struct err *err, int64_t floor_ms)
{
	struct source *source = asking->source;

	if (asking->backoff.tries + 1 >= source->tries) {
		if (source->tries > 1)
			put_tries(err, source->tries);
		finish(asking, NULL, err);
		return;
	}
	log_warn("directory source asked again", LOG_STR("source", source->name),
		 LOG_STR("what", asking->what), LOG_STR("reason", err->msg));
	wait_turn(asking, backoff_next(&asking->backoff, (uint32_t)floor_ms));
}

static void take_page(struct asking *asking, const struct http_response *response, json_t *json,
		      struct err *err)
{
	const struct ask_answer answer = { response->status, json, response };
	const char *type = http_header(response, "Content-Type");

	if (response->status != 200) {
		put_status(asking, response->status, json, err);
		finish(asking, &answer, err);
	} else if (!says_json(response)) {
		err_set(err, ERR_INVALID,
			"it answers 200 with %.60s, not JSON: a proxy or a sign-in page stands in "
			"its place; check url and the way there",
			type != NULL ? type : "no content type");
		finish(asking, NULL, err);
	} else if (json == NULL) {
		err_prefix(err, "it answers 200 with something that is cut off or no JSON");
		finish(asking, NULL, err);
	} else {
		finish(asking, &answer, NULL);
	}
}

static void on_response(void *data, const struct http_response *response, const struct err *failure)
{
	struct asking *asking = data;
	json_t *json = NULL;
	struct err err = { .kind = ERR_NONE };

	asking->exchange = NULL;
	if (failure != NULL) {
		err_set(&err, failure->kind, "%s; check the address and the way there",
			failure->msg);
		if (err.kind == ERR_RETRY || err.kind == ERR_TIMEOUT || err.kind == ERR_UNCERTAIN)
			again(asking, &err, 0);
		else
			finish(asking, NULL, &err);
		return;
	}
	if (response->status != 200 || says_json(response))
		json = json_parse(response->body, response->len, SOURCE_PAGE_MAX, &err);
	if (passes(asking, response->status, json)) {
		put_status(asking, response->status, json, &err);
		again(asking, &err, asked_wait(response));
	} else {
		take_page(asking, response, json, &err);
	}
	json_decref(json);
}

static void on_timer(uv_timer_t *timer)
{
	static const char *const form_headers[] = {
		"Content-Type: application/x-www-form-urlencoded", "Accept: application/json", NULL
	};
	static const char *const json_headers[] = { "Content-Type: application/json",
						    "Accept: application/json", NULL };
	static const char *const plain_headers[] = { "Accept: application/json", NULL };
	struct asking *asking = timer->data;
	const char *body = asking->body;
	const struct http_request request = {
		.method = body != NULL ? "POST" : "GET",
		.url = asking->url,
		.headers = body != NULL && asking->form ? form_headers
			   : body != NULL               ? json_headers
			   : asking->headers != NULL    ? asking->headers
							: plain_headers,
		.bearer = asking->bearer,
		.body = body,
		.body_len = body != NULL ? strlen(body) : 0,
		.timeout_ms = ANSWER_MS,
		.max_body = SOURCE_PAGE_MAX,
	};

	asking->exchange = http_start(asking->source->http, &request, on_response, asking);
}

struct call *ask_start(struct source *source, const struct ask *ask, ask_done_fn done, void *data)
{
	struct asking *asking = xcalloc(1, sizeof(*asking));

	asking->call.cancel = on_cancel;
	asking->source = source;
	asking->what = xstrdup(ask->what);
	asking->url = xstrdup(ask->url);
	asking->bearer = xstrdup_null(ask->bearer);
	asking->form = ask->form != NULL;
	asking->body = xstrdup_null(asking->form ? ask->form : ask->json);
	asking->headers = ask->headers;
	asking->advice = ask->advice;
	asking->done = done;
	asking->data = data;
	backoff_init(&asking->backoff, BASE_MS, CAP_MS);
	(void)uv_timer_init(source->loop, &asking->timer);
	asking->timer.data = asking;
	wait_turn(asking, 0);
	return &asking->call;
}
