/* SPDX-License-Identifier: Apache-2.0 */
/*
 * creds.c - who we are to a cluster: a fixed token, a token that others renew under the same path,
 * or what a plugin says.
 *
 * A file is read again every 50 s and when asked, always by path and off the loop; when it cannot
 * be read the old text stays.  A plugin is run when something is needed, a minute before its
 * credential expires, and when the cluster refused it.  There is one reading or run at a time, for
 * all who wait.
 */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum {
	RENEW_MS = 50000,
	AHEAD_MS = 60000, /* of the expiry of a plugin's credential */
	AGAIN_MS = 15000, /* at least, between two runs that nobody waits for */
	TOKEN_MAX = 64 * 1024,
};

struct kube_creds {
	uv_loop_t *loop;
	struct kube_credential have;
	unsigned version;
	char *file;                       /* NULL: not of a file */
	const struct kube_plugin *plugin; /* borrowed; NULL: not of a plugin */
	struct call *run;                 /* of the plugin */
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
	struct kube_creds *creds;
	call_done_fn done;
	void *data;
};

static void renew(struct kube_creds *creds);

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

static void release(struct kube_creds *creds)
{
	kube_credential_finish(&creds->have);
	secret_free(creds->fresh);
	free(creds->file);
	free(creds);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct kube_creds *creds = handle->data;

	creds->timed = false;
	if (!creds->reading)
		release(creds);
}

/* Tells those who wait now; who asks meanwhile waits for the next. */
static void tell(struct kube_creds *creds, const struct err *err)
{
	size_t n = creds->waiting.count;

	while (n-- > 0 && creds->waiting.count > 0) {
		struct renewal *renewal =
			list_entry(list_pop(&creds->waiting), struct renewal, node);

		renewal->done(renewal->data, err);
		free(renewal);
	}
	if (creds->waiting.count > 0)
		renew(creds);
}

/* --- of a file --- */

static void on_work(uv_work_t *work)
{
	struct kube_creds *creds = work->data;

	creds->fresh = read_token(creds->file, &creds->fresh_err);
}

/* Takes what was read; false: err says why nothing changed. */
static bool take_file(struct kube_creds *creds, struct err *ret_err)
{
	char *fresh = creds->fresh;

	creds->fresh = NULL;
	if (fresh == NULL) {
		*ret_err = creds->fresh_err;
		log_warn("token not read", LOG_STR("reason", ret_err->msg));
		return false;
	}
	if (str_eq(fresh, creds->have.token)) {
		err_set(ret_err, ERR_INVALID, "token file %s still holds the same token",
			creds->file);
		secret_free(fresh);
		return false;
	}
	secret_free(creds->have.token);
	creds->have.token = fresh;
	creds->version++;
	log_mask(fresh);
	return true;
}

static void on_read(uv_work_t *work, int status)
{
	struct kube_creds *creds = work->data;
	struct err err;

	(void)status;
	creds->reading = false;
	if (!creds->closing)
		tell(creds, take_file(creds, &err) ? NULL : &err);
	else if (!creds->timed)
		release(creds);
}

/* --- of a plugin --- */

static void on_timer(uv_timer_t *timer)
{
	renew(timer->data);
}

/* Ahead of the expiry, so that nobody waits for it. */
static void plan_next(struct kube_creds *creds)
{
	int64_t wait_ms = creds->have.expires_ms - clock_wall_ms() - AHEAD_MS;

	if (creds->have.expires_ms == 0)
		return;
	(void)uv_timer_start(&creds->timer, on_timer,
			     (uint64_t)(wait_ms > AGAIN_MS ? wait_ms : AGAIN_MS), 0);
	uv_unref((uv_handle_t *)&creds->timer);
}

static void on_run(void *data, struct kube_credential *credential, const struct err *err)
{
	struct kube_creds *creds = data;

	creds->run = NULL;
	if (credential != NULL) {
		kube_credential_finish(&creds->have);
		creds->have = *credential;
		memset(credential, 0, sizeof(*credential));
		creds->version++;
		plan_next(creds);
	} else {
		log_warn("no credential", LOG_STR("reason", err->msg));
	}
	tell(creds, err);
}

/* --- of either --- */

static void renew(struct kube_creds *creds)
{
	if (creds->plugin != NULL && creds->run == NULL)
		creds->run = kube_plugin_run(creds->loop, creds->plugin, on_run, creds);
	if (creds->file == NULL || creds->reading)
		return;
	creds->reading = true;
	(void)uv_queue_work(creds->loop, &creds->work, on_work, on_read);
}

static void start_timer(struct kube_creds *creds)
{
	creds->timed = true;
	(void)uv_timer_init(creds->loop, &creds->timer);
	creds->timer.data = creds;
	if (creds->file != NULL)
		(void)uv_timer_start(&creds->timer, on_timer, RENEW_MS, RENEW_MS);
	uv_unref((uv_handle_t *)&creds->timer);
}

struct kube_creds *kube_creds_create(uv_loop_t *loop, const struct kube_target *target,
				     struct err *err)
{
	struct kube_creds *creds = xcalloc(1, sizeof(*creds));

	creds->loop = loop;
	creds->work.data = creds;
	list_init(&creds->waiting);
	creds->have.token = target->token_file != NULL ? read_token(target->token_file, err)
						       : xstrdup_null(target->token);
	if (target->token_file != NULL && creds->have.token == NULL) {
		release(creds);
		return NULL;
	}
	if (creds->have.token != NULL)
		log_mask(creds->have.token);
	creds->plugin = target->plugin;
	if (creds->plugin == NULL)
		creds->version = 1;
	if (loop == NULL || (target->token_file == NULL && target->plugin == NULL))
		return creds;
	creds->file = xstrdup_null(target->token_file);
	start_timer(creds);
	return creds;
}

void kube_creds_destroy(struct kube_creds *creds)
{
	if (creds == NULL)
		return;
	assert(creds->waiting.count == 0);
	creds->closing = true;
	call_cancel(&creds->run);
	if (creds->timed)
		uv_close((uv_handle_t *)&creds->timer, on_timer_closed);
	else
		release(creds);
}

const char *kube_creds_token(const struct kube_creds *creds)
{
	return creds->have.token;
}

const char *kube_creds_cert(const struct kube_creds *creds, const char **ret_key)
{
	*ret_key = creds->have.key_pem;
	return creds->have.cert_pem;
}

unsigned kube_creds_version(const struct kube_creds *creds)
{
	return creds->version;
}

bool kube_creds_ready(const struct kube_creds *creds)
{
	return creds->version > 0 &&
	       (creds->have.expires_ms == 0 || clock_wall_ms() < creds->have.expires_ms);
}

bool kube_creds_may_change(const struct kube_creds *creds)
{
	return creds->file != NULL;
}

static void on_cancel(struct call *call)
{
	struct renewal *renewal = (struct renewal *)call;

	list_remove(&renewal->creds->waiting, &renewal->node);
	free(renewal);
}

struct call *kube_creds_renew(struct kube_creds *creds, unsigned version, call_done_fn done,
			      void *data)
{
	struct renewal *renewal;
	struct err err;

	if (creds->version > version && kube_creds_ready(creds))
		return call_later(creds->loop, NULL, done, data);
	if (creds->file == NULL && creds->plugin == NULL) {
		err_set(&err, ERR_INVALID, "the token is a fixed one");
		return call_later(creds->loop, &err, done, data);
	}
	renewal = xcalloc(1, sizeof(*renewal));
	renewal->call.cancel = on_cancel;
	renewal->creds = creds;
	renewal->done = done;
	renewal->data = data;
	list_push(&creds->waiting, &renewal->node);
	renew(creds);
	return &renewal->call;
}
