/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - one request to a cluster: send, and again where that is safe, until an answer or the
 * deadline.
 *
 *   SEND --401--> RENEW (the credentials) --changed--> SEND; a file that did not change: a moment
 *        later again
 *   nothing to send, or expired --> READY (the plugin) --> SEND
 *   SEND --429 or 5xx with Retry-After; a read whose connection broke--> WAIT --> SEND
 *   SEND --2xx, large--> PARSE --> done
 */
#include "kube/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "kube/kind.h"
#include "net/http.h"
#include "net/parse.h"

enum {
	TRIES_MAX = 10,
	WAIT_MAX_MS = 60000,
	BROKEN_WAIT_MS = 1000,
	EARLY_MS = 1, /* the loop's clock may be that coarse */
	TIMEOUT_MS = 10000,
	BODY_MAX = 4 << 20,
	WARNINGS_MAX = 10,
	RENEWALS_MAX = 4,
	RENEW_AGAIN_MS = 250,
};

struct ask { /* one kube_call */
	struct call call;
	struct kube *kube;
	struct call *inner; /* the one thing that is waited for, but WAIT, which is timer */
	uv_timer_t timer;
	struct kube_asked asked; /* its texts are in texts */
	char *texts[7];
	char *url, *body;
	struct kube_headers headers;
	size_t max_body;
	uint64_t deadline_ms; /* of uv_hrtime */
	unsigned tries;
	unsigned renewals;     /* of the credentials, for this */
	unsigned version_sent; /* of the credentials */
	struct line *line;     /* while it is sent */
	bool json;             /* the answer must be; else it is text (a log) */
	bool clouded;          /* a try of this write ended without a clear answer */
	struct kube_answer answer;
	json_t *warnings;
	char audit_id[64];
	char *text;     /* what is being parsed */
	struct err err; /* while the token is read: what the cluster said */
	kube_done_fn done;
	void *data;
};

static void send_it(struct ask *ask);

/* --- the end of a request --- */

static void on_closed(uv_handle_t *handle)
{
	struct ask *ask = handle->data;

	for (size_t i = 0; i < sizeof(ask->texts) / sizeof(ask->texts[0]); i++)
		free(ask->texts[i]);
	kube_headers_finish(&ask->headers);
	free(ask->url);
	free(ask->body);
	free(ask->text);
	json_decref(ask->warnings);
	free(ask);
}

static void on_cancel(struct call *call)
{
	struct ask *ask = (struct ask *)call;

	call_cancel(&ask->inner);
	kube_line_give(&ask->line);
	uv_close((uv_handle_t *)&ask->timer, on_closed);
}

static void end(struct ask *ask, const struct err *err)
{
	struct kube_answer *answer = &ask->answer;

	answer->audit_id = ask->audit_id;
	answer->warnings = ask->warnings;
	if (answer->text == NULL)
		answer->text = "";
	uv_close((uv_handle_t *)&ask->timer, on_closed);
	ask->done(ask->data, answer, err);
}

static void end_badly(struct ask *ask, enum kube_problem problem, struct err *err)
{
	ask->answer.problem = problem;
	ask->answer.text = "";
	if (ask->clouded && err->kind != ERR_UNCERTAIN) {
		err->kind = ERR_UNCERTAIN;
		err_prefix(err, "an earlier try may have been carried out");
		ask->answer.problem = KUBE_NOT_CLEAR;
	}
	end(ask, err);
}

static int64_t left_ms(const struct ask *ask)
{
	return (int64_t)ask->deadline_ms - (int64_t)(uv_hrtime() / 1000000);
}

/* --- trying again --- */

static void on_wait(uv_timer_t *timer)
{
	send_it(timer->data);
}

/* false: no tries or no time left. */
static bool try_later(struct ask *ask, int64_t wait_ms)
{
	if (wait_ms > WAIT_MAX_MS)
		wait_ms = WAIT_MAX_MS;
	if (ask->tries > TRIES_MAX || wait_ms >= left_ms(ask))
		return false;
	return uv_timer_start(&ask->timer, on_wait, (uint64_t)wait_ms, 0) == 0;
}

/* --- credentials --- */

static void renew(struct ask *ask);

static void on_renew_time(uv_timer_t *timer)
{
	renew(timer->data);
}

static void on_renewed(void *data, const struct err *err)
{
	struct ask *ask = data;

	ask->inner = NULL;
	if (err == NULL)
		send_it(ask);
	else if (kube_creds_may_change(ask->kube->creds) && ask->renewals < RENEWALS_MAX &&
		 left_ms(ask) > RENEW_AGAIN_MS)
		/* The old one may end a moment before the new one is there. */
		(void)uv_timer_start(&ask->timer, on_renew_time, RENEW_AGAIN_MS, 0);
	else
		end_badly(ask, KUBE_UNKNOWN_US, &ask->err);
}

static void renew(struct ask *ask)
{
	ask->renewals++;
	ask->inner = kube_creds_renew(ask->kube->creds, ask->version_sent, on_renewed, ask);
}

static void on_ready(void *data, const struct err *err)
{
	struct ask *ask = data;
	struct err own;

	ask->inner = NULL;
	(void)uv_timer_stop(&ask->timer);
	if (err == NULL) {
		send_it(ask);
		return;
	}
	err_set(&own, ERR_RETRY, "cluster %s: %s", ask->kube->name, err->msg);
	end_badly(ask, KUBE_UNKNOWN_US, &own);
}

static void on_not_ready(uv_timer_t *timer)
{
	struct ask *ask = timer->data;
	struct err err;

	call_cancel(&ask->inner);
	err_set(&err, ERR_TIMEOUT,
		"cluster %s: the credential plugin %s has not answered yet; nothing was sent",
		ask->kube->name, ask->kube->target.plugin->argv[0]);
	end_badly(ask, KUBE_UNKNOWN_US, &err);
}

/* Waits for the credentials, no longer than for the answer. */
static void get_ready(struct ask *ask)
{
	int64_t left = left_ms(ask);

	(void)uv_timer_start(&ask->timer, on_not_ready, left > 0 ? (uint64_t)left : 0, 0);
	ask->inner = kube_creds_renew(ask->kube->creds, kube_creds_version(ask->kube->creds),
				      on_ready, ask);
}

/* --- answers --- */

/* Warning: 299 - "text" */
static void take_warnings(struct ask *ask, const struct http_response *response)
{
	json_array_clear(ask->warnings);
	for (size_t i = 0; i < WARNINGS_MAX; i++) {
		const char *value = http_header_at(response, "Warning", i);
		const char *open = value == NULL ? NULL : strchr(value, '"');
		const char *close = open == NULL ? NULL : strrchr(value, '"');

		if (value == NULL)
			return;
		if (close > open)
			json_array_append_new(ask->warnings,
					      json_stringn(open + 1, (size_t)(close - open - 1)));
	}
}

static void on_parsed(void *data, json_t *value, const struct err *err)
{
	struct ask *ask = data;
	struct err wrong;
	char *where;

	ask->inner = NULL;
	ask->answer.text = ask->text;
	ask->answer.body = value;
	/* What was done is done, even when its answer cannot be read. */
	if (err == NULL || !kube_asked_reads(&ask->asked)) {
		end(ask, NULL);
		return;
	}
	where = kube_asked_text(&ask->asked);
	err_set(&wrong, ERR_INVALID, "%s: the answer cannot be read: %s", where, err->msg);
	free(where);
	end_badly(ask, KUBE_INVALID, &wrong);
}

static void take_good(struct ask *ask, const struct http_response *response)
{
	struct err err;
	json_t *value;

	free(ask->text);
	ask->text = xstrndup(response->body, response->len);
	if (!ask->json) {
		on_parsed(ask, NULL, NULL);
		return;
	}
	if (response->len > PARSE_HERE_MAX) {
		ask->inner = parse_start(ask->kube->loop, ask->text, response->len, on_parsed, ask);
		return;
	}
	value = json_parse(ask->text, response->len, response->len, &err);
	on_parsed(ask, value, value == NULL ? &err : NULL);
	json_decref(value);
}

static void take_bad(struct ask *ask, const struct http_response *response)
{
	const struct kube_said said = { .status = response->status,
					.text = response->body,
					.type = http_header(response, "Content-Type"),
					.len = response->len };
	struct err err;
	enum kube_problem problem = kube_status_error(&ask->asked, &said, &err);

	if (problem == KUBE_UNKNOWN_US && ask->renewals < RENEWALS_MAX) {
		ask->err = err;
		renew(ask);
		return;
	}
	/* An eviction that a disruption budget holds back (KUBE_POLICY) is not a busy server. */
	if ((response->status == 429 || response->status >= 500) && problem != KUBE_POLICY &&
	    response->retry_after_ms >= 0 && try_later(ask, response->retry_after_ms)) {
		ask->clouded = ask->clouded || err.kind == ERR_UNCERTAIN;
		return;
	}
	end_badly(ask, problem, &err);
}

/* No answer came: http_err's sentence begins with the client's name, which we say otherwise. */
static void take_none(struct ask *ask, const struct err *http_err)
{
	bool reads = kube_asked_reads(&ask->asked), sent = http_err->kind == ERR_UNCERTAIN;
	const char *says = strstr(http_err->msg, ": ");
	char *where;
	struct err err;

	if (reads && sent && try_later(ask, BROKEN_WAIT_MS))
		return;
	where = kube_asked_text(&ask->asked);
	err_set(&err, http_err->kind, "%s: %s", where, says == NULL ? http_err->msg : says + 2);
	free(where);
	if (reads && sent)
		err.kind = left_ms(ask) <= EARLY_MS ? ERR_TIMEOUT : ERR_RETRY;
	end_badly(ask, err.kind == ERR_UNCERTAIN ? KUBE_NOT_CLEAR : KUBE_UNAVAILABLE, &err);
}

static void on_response(void *data, const struct http_response *response, const struct err *err)
{
	struct ask *ask = data;
	const char *audit_id = response == NULL ? NULL : http_header(response, "Audit-Id");

	ask->inner = NULL;
	kube_line_give(&ask->line);
	if (err != NULL) {
		take_none(ask, err);
		return;
	}
	ask->answer.status = response->status;
	if (audit_id != NULL && strlen(audit_id) < sizeof(ask->audit_id))
		memcpy(ask->audit_id, audit_id, strlen(audit_id) + 1);
	take_warnings(ask, response);
	if (response->status >= 200 && response->status < 300)
		take_good(ask, response);
	else
		take_bad(ask, response);
}

/* --- sending --- */

static void on_no_time(void *data, const struct err *err)
{
	struct ask *ask = data;
	struct err own = *err;

	ask->inner = NULL;
	end_badly(ask, KUBE_UNAVAILABLE, &own);
}

static void send_it(struct ask *ask)
{
	struct kube *kube = ask->kube;
	int64_t left = left_ms(ask);
	struct http_request request = {
		.method = ask->asked.method,
		.url = ask->url,
		.headers = (const char *const *)ask->headers.items,
		.bearer = kube_creds_token(kube->creds),
		.body = ask->body,
		.body_len = ask->body == NULL ? 0 : strlen(ask->body),
		.max_body = ask->max_body,
		.timeout_ms = left > 0 ? (unsigned)left : 1,
	};
	struct err err;

	if (ask->url == NULL || left <= 0) {
		if (ask->url == NULL)
			err_set(&err, ERR_INVALID, "cluster %s: the request is too long",
				kube->name);
		else
			err_set(&err, ERR_TIMEOUT, "cluster %s: no answer in time", kube->name);
		ask->inner = call_later(kube->loop, &err, on_no_time, ask);
		return;
	}
	if (!kube_creds_ready(kube->creds)) {
		get_ready(ask);
		return;
	}
	ask->tries++;
	ask->version_sent = kube_creds_version(kube->creds);
	ask->line = kube_line_take(kube);
	ask->inner = http_start(ask->line->http, &request, on_response, ask);
}

static void keep_asked(struct ask *ask, const struct kube_request *request)
{
	struct kube_asked *asked = &ask->asked;

	asked->cluster = ask->kube->name;
	asked->dry_run = request->dry_run;
	asked->kind = request->kind;
	asked->method = ask->texts[0] = xstrdup(request->method);
	asked->space = ask->texts[1] = xstrdup_null(request->space);
	asked->name = ask->texts[2] = xstrdup_null(request->name);
	asked->subresource = ask->texts[3] = xstrdup_null(request->subresource);
	asked->path = ask->texts[4] = xstrdup_null(request->path);
	if (ask->kube->target.impersonate && request->person != NULL)
		asked->person = ask->texts[5] = xstrdup_null(request->person->name);
}

struct call *kube_call(struct kube *kube, const struct kube_request *request, kube_done_fn done,
		       void *data)
{
	struct ask *ask = xcalloc(1, sizeof(*ask));
	unsigned timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : TIMEOUT_MS;
	struct buf url;

	ask->call.cancel = on_cancel;
	ask->kube = kube;
	ask->done = done;
	ask->data = data;
	buf_init(&url, KUBE_URL_MAX);
	kube_url(&url, kube, request);
	if (!url.overflow)
		ask->url = buf_take(&url);
	buf_finish(&url);
	ask->body = request->body == NULL ? NULL : json_text(request->body);
	ask->max_body = request->max_body != 0 ? request->max_body : BODY_MAX;
	ask->deadline_ms = uv_hrtime() / 1000000 + timeout_ms;
	ask->warnings = json_array();
	keep_asked(ask, request);
	ask->json = !str_eq(request->accept, "*/*");
	kube_headers_build(&ask->headers, kube, request);
	(void)uv_timer_init(kube->loop, &ask->timer);
	ask->timer.data = ask;
	send_it(ask);
	return &ask->call;
}
