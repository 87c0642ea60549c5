/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c - a bearer token that others renew under the same path: read again every 50 s and when
 * asked, always by path and off the loop.  When it cannot be read the old one stays.
 */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { RENEW_MS = 50000, TOKEN_MAX = 64 * 1024 };

struct kube_token {
	uv_loop_t *loop;
	char *text, *file;
	uv_timer_t timer;
	uv_work_t work;
	bool timed, reading, closing;
	char *fresh; /* of the pool thread; NULL: fresh_err */
	struct err fresh_err;
	struct list waiting; /* of struct renewal */
};

struct renewal {
	struct call call;
	struct list_node node;
	struct kube_token *token;
	call_done_fn done;
	void *data;
};

/* Nothing but what may stand in a header; NULL: err. */
static char *read_token(const char *file, struct err *err)
{
	size_t len, start;
	char *raw = file_read(file, TOKEN_MAX, &len, err), *text;

	if (raw == NULL)
		return NULL;
	while (len > 0 && isspace((unsigned char)raw[len - 1]))
		len--;
	for (start = 0; start < len && isspace((unsigned char)raw[start]); start++)
		;
	text = xstrndup(raw + start, len - start);
	secret_free(raw);
	for (const char *c = text; *c != '\0'; c++) {
		if (*c > 0x20 && *c < 0x7f)
			continue;
		err_set(err, ERR_INVALID, "token file %s holds something else than a token", file);
		secret_free(text);
		return NULL;
	}
	if (*text != '\0')
		return text;
	err_set(err, ERR_INVALID, "token file %s is empty", file);
	free(text);
	return NULL;
}

static void on_work(uv_work_t *work)
{
	struct kube_token *token = work->data;

	token->fresh = read_token(token->file, &token->fresh_err);
}

static void release(struct kube_token *token)
{
	secret_free(token->text);
	secret_free(token->fresh);
	free(token->file);
	free(token);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct kube_token *token = handle->data;

	token->timed = false;
	if (!token->reading)
		release(token);
}

/* Takes what was read; false: err says why nothing changed. */
static bool take(struct kube_token *token, struct err *ret_err)
{
	char *fresh = token->fresh;

	token->fresh = NULL;
	if (fresh == NULL) {
		*ret_err = token->fresh_err;
		log_warn("token not read", LOG_STR("reason", ret_err->msg));
		return false;
	}
	if (str_eq(fresh, token->text)) {
		err_set(ret_err, ERR_INVALID, "token file %s still holds the same token",
			token->file);
		secret_free(fresh);
		return false;
	}
	secret_free(token->text);
	token->text = fresh;
	log_mask(token->text);
	return true;
}

static void on_read(uv_work_t *work, int status)
{
	struct kube_token *token = work->data;
	size_t n = token->waiting.count;
	struct err err;
	bool changed;

	(void)status;
	token->reading = false;
	if (token->closing) {
		if (!token->timed)
			release(token);
		return;
	}
	changed = take(token, &err);
	while (n-- > 0 && token->waiting.count > 0) {
		struct renewal *renewal =
			list_entry(list_pop(&token->waiting), struct renewal, node);

		renewal->done(renewal->data, changed ? NULL : &err);
		free(renewal);
	}
}

static void read_again(struct kube_token *token)
{
	if (token->reading)
		return;
	token->reading = true;
	(void)uv_queue_work(token->loop, &token->work, on_work, on_read);
}

static void on_timer(uv_timer_t *timer)
{
	read_again(timer->data);
}

struct kube_token *kube_token_create(uv_loop_t *loop, const char *fixed, const char *file,
				     struct err *err)
{
	struct kube_token *token = xcalloc(1, sizeof(*token));

	token->loop = loop;
	list_init(&token->waiting);
	token->text = xstrdup_null(fixed);
	if (file != NULL) {
		char *text = read_token(file, err);

		if (text == NULL) {
			release(token);
			return NULL;
		}
		secret_free(token->text);
		token->text = text;
	}
	if (token->text != NULL)
		log_mask(token->text);
	if (file == NULL || loop == NULL)
		return token;
	token->file = xstrdup(file);
	token->work.data = token;
	token->timed = true;
	(void)uv_timer_init(loop, &token->timer);
	token->timer.data = token;
	(void)uv_timer_start(&token->timer, on_timer, RENEW_MS, RENEW_MS);
	uv_unref((uv_handle_t *)&token->timer);
	return token;
}

void kube_token_destroy(struct kube_token *token)
{
	if (token == NULL)
		return;
	assert(token->waiting.count == 0);
	token->closing = true;
	if (token->timed)
		uv_close((uv_handle_t *)&token->timer, on_timer_closed);
	else
		release(token);
}

const char *kube_token_text(const struct kube_token *token)
{
	return token->text;
}

static void on_cancel(struct call *call)
{
	struct renewal *renewal = (struct renewal *)call;

	list_remove(&renewal->token->waiting, &renewal->node);
	free(renewal);
}

struct call *kube_token_renew(struct kube_token *token, call_done_fn done, void *data)
{
	struct renewal *renewal;
	struct err err;

	if (token->file == NULL) {
		err_set(&err, ERR_INVALID, "the token is a fixed one");
		return call_later(token->loop, &err, done, data);
	}
	renewal = xcalloc(1, sizeof(*renewal));
	renewal->call.cancel = on_cancel;
	renewal->token = token;
	renewal->done = done;
	renewal->data = data;
	list_push(&token->waiting, &renewal->node);
	read_again(token);
	return &renewal->call;
}
