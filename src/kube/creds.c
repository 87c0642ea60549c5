/* SPDX-License-Identifier: Apache-2.0 */
/*
 * creds.c - who we are to a cluster: a token or a certificate that is fixed, those that others
 * renew under the same paths, or what a plugin says.
 *
 * Files are read again every 50 s and when asked, always by path and off the loop; what cannot be
 * read stays as it was, and so does a certificate whose key is not there yet.  A plugin is run when
 * something is needed, a minute before its credential expires, and when the cluster refused it.
 * There is one reading or run at a time, for all who wait.
 */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/pem.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum {
	RENEW_MS = 50000,
	AHEAD_MS = 60000, /* of the expiry of a plugin's credential */
	AGAIN_MS = 15000, /* at least, between two runs that nobody waits for */
	TOKEN_MAX = 64 * 1024,
	PEM_MAX = 1 << 20,
};

struct kube_creds {
	uv_loop_t *loop;
	struct kube_credential have;
	unsigned version, cert_version;
	char *token_file, *cert_file, *key_file; /* NULL: not of a file */
	const struct kube_plugin *plugin;        /* borrowed; NULL: not of a plugin */
	struct call *run;                        /* of the plugin */
	uv_timer_t timer;
	uv_work_t work;
	bool timed, reading, closing;
	struct kube_credential fresh; /* of the pool thread: what it could read */
	struct err fresh_err;         /* the first thing that it could not; ERR_NONE */
	struct list waiting;          /* of struct renewal */
};

struct renewal {
	struct call call;
	struct list_node node;
	struct kube_creds *creds;
	call_done_fn done;
	void *data;
};

static void renew(struct kube_creds *creds);

static bool of_files(const struct kube_creds *creds)
{
	return creds->token_file != NULL || creds->cert_file != NULL || creds->key_file != NULL;
}

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
	kube_credential_finish(&creds->fresh);
	free(creds->token_file);
	free(creds->cert_file);
	free(creds->key_file);
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

/* --- of files --- */

static void keep_first(struct err *first, const struct err *err)
{
	if (first->kind == ERR_NONE)
		*first = *err;
}

/* A fixed one of the two is as it was. */
static char *read_half(const char *file, const char *fixed, struct err *err)
{
	size_t len;

	return file != NULL ? file_read(file, PEM_MAX, &len, err) : xstrdup(fixed);
}

/* Both or none: they are written one after the other. */
static void read_cert(struct kube_creds *creds)
{
	struct err err;
	char *cert = read_half(creds->cert_file, creds->have.cert_pem, &err);
	char *key = cert == NULL ? NULL : read_half(creds->key_file, creds->have.key_pem, &err);

	if (key != NULL && pem_pair(cert, key, &err)) {
		creds->fresh.cert_pem = cert;
		creds->fresh.key_pem = key;
		return;
	}
	if (key != NULL)
		err_prefix(&err, "client-certificate and client-key");
	keep_first(&creds->fresh_err, &err);
	free(cert);
	secret_free(key);
}

static void on_work(uv_work_t *work)
{
	struct kube_creds *creds = work->data;
	struct err err;

	creds->fresh_err.kind = ERR_NONE;
	if (creds->token_file != NULL) {
		creds->fresh.token = read_token(creds->token_file, &err);
		if (creds->fresh.token == NULL)
			keep_first(&creds->fresh_err, &err);
	}
	if (creds->cert_file != NULL || creds->key_file != NULL)
		read_cert(creds);
}

static bool take_token(struct kube_creds *creds)
{
	char *fresh = creds->fresh.token;

	if (fresh == NULL || str_eq(fresh, creds->have.token))
		return false;
	secret_free(creds->have.token);
	creds->have.token = fresh;
	creds->fresh.token = NULL;
	log_mask(fresh);
	return true;
}

static bool take_cert(struct kube_creds *creds)
{
	struct kube_credential *have = &creds->have, *fresh = &creds->fresh;

	if (fresh->cert_pem == NULL || str_eq(fresh->cert_pem, have->cert_pem))
		return false;
	free(have->cert_pem);
	secret_free(have->key_pem);
	have->cert_pem = fresh->cert_pem;
	have->key_pem = fresh->key_pem;
	fresh->cert_pem = fresh->key_pem = NULL;
	creds->cert_version++;
	return true;
}

/* Takes what was read; false: err says why nothing changed. */
static bool take_files(struct kube_creds *creds, struct err *ret_err)
{
	bool token = take_token(creds), cert = take_cert(creds);

	kube_credential_finish(&creds->fresh);
	if (creds->fresh_err.kind != ERR_NONE)
		log_warn("credential not read", LOG_STR("reason", creds->fresh_err.msg));
	if (token || cert) {
		creds->version++;
		return true;
	}
	if (creds->fresh_err.kind != ERR_NONE)
		*ret_err = creds->fresh_err;
	else
		err_set(ret_err, ERR_INVALID, "%s still holds the same",
			creds->token_file != NULL  ? creds->token_file
			: creds->cert_file != NULL ? creds->cert_file
						   : creds->key_file);
	return false;
}

static void on_read(uv_work_t *work, int status)
{
	struct kube_creds *creds = work->data;
	struct err err;

	(void)status;
	creds->reading = false;
	if (!creds->closing)
		tell(creds, take_files(creds, &err) ? NULL : &err);
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
		if (!str_eq(creds->have.cert_pem, credential->cert_pem))
			creds->cert_version++;
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
	if (!of_files(creds) || creds->reading)
		return;
	creds->reading = true;
	(void)uv_queue_work(creds->loop, &creds->work, on_work, on_read);
}

static void start_timer(struct kube_creds *creds)
{
	creds->timed = true;
	(void)uv_timer_init(creds->loop, &creds->timer);
	creds->timer.data = creds;
	if (of_files(creds))
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
	creds->have.cert_pem = xstrdup_null(target->cert_pem);
	creds->have.key_pem = xstrdup_null(target->key_pem);
	creds->token_file = xstrdup_null(target->token_file);
	creds->cert_file = xstrdup_null(target->cert_file);
	creds->key_file = xstrdup_null(target->key_file);
	creds->plugin = target->plugin;
	if (creds->plugin == NULL)
		creds->version = 1;
	if (loop != NULL && (of_files(creds) || creds->plugin != NULL))
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

unsigned kube_creds_cert_version(const struct kube_creds *creds)
{
	return creds->cert_version;
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
	return of_files(creds);
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
	if (!of_files(creds) && creds->plugin == NULL) {
		err_set(&err, ERR_INVALID, "the credential is a fixed one");
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
