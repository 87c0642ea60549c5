/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_ask.c - one request to a declared API: the URL of path and query, and what the answer's
 * status means.
 *
 * A typed value never adds a path segment or a query: all but the slashes of the declared path is
 * escaped, and a value that holds a slash is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "http_ask.h"
#include "net/parse.h"

enum { URL_MAX = 8192, SAYS_MAX = 200 };

struct ask {
	struct call call;
	struct call *inner;
	uv_loop_t *loop;
	const struct api *api;
	char *what; /* "API platform: POST /tasks" */
	bool reads, keyed;
	int status;
	struct err err;
	http_ask_fn done;
	void *data;
};

/* --- the URL --- */

/* Did a typed value bring a slash into the path? */
static bool smuggled(const char *path, const json_t *args, const char **ret_name)
{
	const char *name, *text;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)args, name, value)
	{
		text = json_string_value(value);
		if (text == NULL || strlen(text) < 2 || strchr(text, '/') == NULL ||
		    strstr(path, text) == NULL)
			continue;
		*ret_name = name;
		return true;
	}
	return false;
}

static bool path_ok(const char *path, const json_t *args, struct err *err)
{
	const char *name = NULL;

	if (path == NULL || path[0] != '/') {
		err_set(err, ERR_INVALID, "the path must begin with /");
		return false;
	}
	if (smuggled(path, args, &name)) {
		err_set(err, ERR_INVALID, "%s may not hold a / here", name);
		return false;
	}
	for (const char *p = path; p != NULL; p = strchr(p + 1, '/')) {
		size_t len = strcspn(p + 1, "/");

		if ((len == 0 && p != path) || (len == 1 && p[1] == '.') ||
		    (len == 2 && memcmp(p + 1, "..", 2) == 0)) {
			err_set(err, ERR_INVALID,
				"an empty value or . or .. cannot be a part of the path %.100s",
				path);
			return false;
		}
	}
	return true;
}

static void put_path(struct buf *url, const char *path)
{
	while (*path != '\0') {
		size_t len = strcspn(path + 1, "/");
		char *part = xstrndup(path + 1, len), *escaped = http_escape(part);

		(void)buf_printf(url, "/%s", escaped);
		free(escaped);
		free(part);
		path += len + 1;
	}
}

static void put_pair(struct buf *url, const char *key, const json_t *value)
{
	const char *mark = strchr(buf_text(url), '?') == NULL ? "?" : "&";
	char *text, *left, *right;

	if (value == NULL || json_is_null(value) ||
	    (json_is_string(value) && json_string_length(value) == 0))
		return;
	text = json_is_string(value) ? xstrdup(json_string_value(value))
				     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	left = http_escape(key);
	right = http_escape(text);
	(void)buf_printf(url, "%s%s=%s", mark, left, right);
	free(text);
	free(left);
	free(right);
}

static void put_query(struct buf *url, const json_t *query)
{
	const char *key;
	json_t *value, *item;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)query, key, value)
	{
		if (!json_is_array(value)) {
			put_pair(url, key, value);
			continue;
		}
		json_array_foreach(value, i, item) put_pair(url, key, item);
	}
}

static char *build_url(const struct api *api, const struct http_ask *want, struct err *err)
{
	struct buf url;

	if (!path_ok(want->path, want->args, err))
		return NULL;
	buf_init(&url, URL_MAX);
	(void)buf_puts(&url, api->url);
	put_path(&url, want->path);
	put_query(&url, want->query);
	if (want->cursor != NULL) {
		json_t *cursor = json_string(want->cursor);

		put_pair(&url, want->cursor_key, cursor);
		json_decref(cursor);
	}
	if (!url.overflow)
		return buf_take(&url);
	buf_finish(&url);
	err_set(err, ERR_INVALID, "the request is too long");
	return NULL;
}

/* --- the answer --- */

static void on_cancel(struct call *call)
{
	struct ask *ask = (struct ask *)call;

	call_cancel(&ask->inner);
	free(ask->what);
	free(ask);
}

static void end(struct ask *ask, const json_t *answer, const struct err *err)
{
	ask->done(ask->data, ask->status, answer, err);
	free(ask->what);
	free(ask);
}

static void on_failed(void *data, const struct err *err)
{
	struct ask *ask = data;
	struct err own = *err;

	ask->inner = NULL;
	end(ask, NULL, &own);
}

/* What the API itself says: the usual places in its JSON. */
static void put_says(char *out, size_t size, const char *body, size_t len)
{
	static const char *const places[] = { "message", "error.message", "error", "detail",
					      "title" };
	struct err ignored;
	json_t *answer = json_parse(body, len, len, &ignored);
	const char *text = NULL;

	for (size_t i = 0; text == NULL && i < sizeof(places) / sizeof(places[0]); i++)
		text = jget_str(answer, places[i]);
	(void)snprintf(out, size, "%s%.*s", text != NULL ? ": " : "", SAYS_MAX,
		       text != NULL ? text : "");
	for (char *c = out; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	log_redact(out);
	json_decref(answer);
}

static enum err_kind kind_of(const struct ask *ask, int status)
{
	if (status == 401 || status == 403)
		return ERR_DENIED;
	if (status == 429 || status == 425)
		return ERR_RETRY;
	if (status >= 500 || status == 408)
		return ask->reads ? ERR_RETRY : ERR_UNCERTAIN;
	/* With a key: an earlier sending of the same is still being worked on. */
	if (status == 409 && ask->keyed)
		return ERR_UNCERTAIN;
	return ERR_INVALID;
}

static void refused(struct ask *ask, const struct http_response *response)
{
	char says[SAYS_MAX + 8];
	const char *why = "";
	struct err err;
	enum err_kind kind = kind_of(ask, response->status);

	put_says(says, sizeof(says), response->body, response->len);
	if (response->status == 401)
		why = "; opsd's token for it is not accepted";
	else if (response->status >= 300 && response->status < 400)
		why = "; redirects are not followed";
	else if (kind == ERR_UNCERTAIN)
		why = "; it may have happened all the same";
	err_set(&err, kind, "%s answered %d%s%s", ask->what, response->status, says, why);
	end(ask, NULL, &err);
}

static void on_parsed(void *data, json_t *value, const struct err *err)
{
	struct ask *ask = data;
	struct err wrong;

	ask->inner = NULL;
	if (err == NULL || !ask->reads) {
		end(ask, value, NULL);
		return;
	}
	err_set(&wrong, ERR_INVALID, "%s: its answer is no JSON: %s", ask->what, err->msg);
	end(ask, NULL, &wrong);
}

static void on_response(void *data, const struct http_response *response, const struct err *err)
{
	struct ask *ask = data;
	struct err own;
	json_t *value;

	ask->inner = NULL;
	if (err != NULL) {
		own = *err;
		/* A read can be repeated, whatever became of it. */
		if (ask->reads && own.kind == ERR_UNCERTAIN)
			own.kind = ERR_RETRY;
		end(ask, NULL, &own);
		return;
	}
	ask->status = response->status;
	if (response->status < 200 || response->status > 299) {
		refused(ask, response);
		return;
	}
	if (response->len > PARSE_HERE_MAX) {
		ask->inner = parse_start(ask->loop, response->body, response->len, on_parsed, ask);
		return;
	}
	value = json_parse(response->body, response->len, response->len, &own);
	on_parsed(ask, value, value == NULL ? &own : NULL);
	json_decref(value);
}

struct call *http_ask_start(const struct action_env *env, const struct http_ask *want,
			    http_ask_fn done, void *data)
{
	struct ask *ask = xcalloc(1, sizeof(*ask));
	const char *headers[4] = { "Accept: application/json" };
	char *key_header = xasprintf("Idempotency-Key: %s", want->key != NULL ? want->key : "");
	char *body = want->body != NULL ? json_text(want->body) : NULL, *url;
	struct http_request request = { .method = want->method,
					.headers = headers,
					.body = body,
					.body_len = body != NULL ? strlen(body) : 0,
					.timeout_ms = want->timeout_ms,
					.max_body = HTTP_ASK_BODY_MAX,
					.connection = want->connection };
	size_t n = 1;

	ask->call.cancel = on_cancel;
	ask->loop = env_loop(env);
	ask->api = want->api;
	ask->reads = str_eq(want->method, "GET") || str_eq(want->method, "HEAD");
	ask->keyed = want->key != NULL && want->keyed;
	ask->done = done;
	ask->data = data;
	ask->what = xasprintf("API %s: %s %s", want->api->name, want->method,
			      want->path != NULL ? want->path : "");
	url = build_url(want->api, want, &ask->err);
	if (body != NULL)
		headers[n++] = "Content-Type: application/json";
	if (want->key != NULL)
		headers[n++] = key_header;
	request.url = url;
	request.bearer = want->api->bearer;
	if (url == NULL)
		ask->inner = call_later(ask->loop, &ask->err, on_failed, ask);
	else
		ask->inner = http_start(want->api->http, &request, on_response, ask);
	free(key_header);
	free(body);
	free(url);
	return &ask->call;
}
