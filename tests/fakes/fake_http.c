/* SPDX-License-Identifier: Apache-2.0 */
/* fake_http.c - linked in place of src/net/http.c. */
#include "fake_http.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/call.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "net/http.h"

struct exchange {
	struct call call;
	struct http *http;
	struct fake_request seen;
	http_done_fn done;
	void *data;
	struct call *turn;
	int status;
	char *answer;
	int64_t retry_after_ms;
	struct err err;
};

struct http {
	uv_loop_t *loop;
	struct exchange *exchanges[FAKE_HTTP_MAX];
	size_t n;
};

struct http *fake_http_create(uv_loop_t *loop)
{
	struct http *http = xcalloc(1, sizeof(*http));

	http->loop = loop;
	return http;
}

void fake_http_destroy(struct http *http)
{
	for (size_t i = 0; i < http->n; i++) {
		struct exchange *exchange = http->exchanges[i];

		assert(!exchange->seen.open);
		free(exchange->seen.url);
		free(exchange->seen.body);
		free(exchange->seen.bearer);
		free(exchange->seen.type);
		free(exchange->answer);
		free(exchange);
	}
	free(http);
}

size_t fake_http_count(const struct http *http)
{
	return http->n;
}

const struct fake_request *fake_http_request(const struct http *http, size_t i)
{
	assert(i < http->n);
	return &http->exchanges[i]->seen;
}

static void on_cancel(struct call *call)
{
	struct exchange *exchange = (struct exchange *)call;

	assert(exchange->seen.open);
	exchange->seen.open = false;
	call_cancel(&exchange->turn);
}

struct call *http_start(struct http *http, const struct http_request *request, http_done_fn done,
			void *data)
{
	struct exchange *exchange = xcalloc(1, sizeof(*exchange));
	const char *const *header = request->headers;

	assert(http->n < FAKE_HTTP_MAX && str_eq(request->method, "POST"));
	exchange->call.cancel = on_cancel;
	exchange->http = http;
	exchange->done = done;
	exchange->data = data;
	exchange->seen = (struct fake_request){
		.url = xstrdup(request->url),
		.body = xstrndup(request->body, request->body_len),
		.bearer = xstrdup_null(request->bearer),
		.timeout_ms = request->timeout_ms,
		.connection = request->connection,
		.open = true,
	};
	for (; header != NULL && *header != NULL; header++)
		if (str_starts(*header, "Content-Type: "))
			exchange->seen.type = xstrdup(*header + strlen("Content-Type: "));
	http->exchanges[http->n++] = exchange;
	return &exchange->call;
}

static void on_turn(void *data)
{
	struct exchange *exchange = data;
	struct http_response response = { 0 };

	exchange->turn = NULL;
	exchange->seen.open = false;
	if (exchange->err.kind != ERR_NONE) {
		exchange->done(exchange->data, NULL, &exchange->err);
		return;
	}
	response = (struct http_response){
		.status = exchange->status,
		.body = exchange->answer,
		.len = strlen(exchange->answer),
		.retry_after_ms = exchange->retry_after_ms,
	};
	exchange->done(exchange->data, &response, NULL);
}

static struct exchange *open_exchange(struct http *http, size_t i)
{
	assert(i < http->n && http->exchanges[i]->seen.open && http->exchanges[i]->turn == NULL);
	return http->exchanges[i];
}

void fake_http_answer(struct http *http, size_t i, int status, const char *body,
		      int64_t retry_after_ms)
{
	struct exchange *exchange = open_exchange(http, i);

	exchange->status = status;
	exchange->answer = xstrdup(body);
	exchange->retry_after_ms = retry_after_ms;
	exchange->turn = call_defer(http->loop, on_turn, exchange);
}

void fake_http_fail(struct http *http, size_t i, enum err_kind kind, const char *why)
{
	struct exchange *exchange = open_exchange(http, i);

	err_set(&exchange->err, kind, "%s", why);
	exchange->turn = call_defer(http->loop, on_turn, exchange);
}

const char *http_header(const struct http_response *response, const char *name)
{
	(void)response;
	return str_ieq(name, "x-oauth-scopes") ? "chat:write,users:read" : NULL;
}

char *http_escape(const char *text)
{
	char *escaped = xmalloc(3 * strlen(text) + 1), *to = escaped;

	for (; *text != '\0'; text++) {
		if (isalnum((unsigned char)*text) || strchr("-._~", *text) != NULL)
			*to++ = *text;
		else
			to += snprintf(to, 4, "%%%02X", (unsigned char)*text);
	}
	*to = '\0';
	return escaped;
}

bool http_url_ok(const char *url, bool plain_loopback, struct err *err)
{
	if (str_starts(url, "https://") || (plain_loopback && str_starts(url, "http://127.0.0.1:")))
		return true;
	err_set(err, ERR_INVALID, "bad url");
	return false;
}
