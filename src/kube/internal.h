/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the files of kube/ share: where a cluster is, who we are there, the way to it,
 * what an error says. */
#ifndef OPSD_KUBE_INTERNAL_H
#define OPSD_KUBE_INTERNAL_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "base/call.h"
#include "base/list.h"
#include "kube/client.h"

/* --- config.c: a cluster's description with its files read --- */

struct kube_target {
	char *server; /* no slash at the end; may carry a path */
	char *ca_file, *ca_pem;
	char *cert_pem, *key_pem;
	char *server_name, *proxy, *space;
	bool insecure;
	char *token, *token_file; /* token: the fixed one, or NULL */
};

bool kube_target_read(struct kube_target *target, const char *name, const json_t *node,
		      const char *dir, struct err *err);
void kube_target_finish(struct kube_target *target);

/* --- token.c: the bearer token, read again off the loop --- */

struct kube_token;

/* file NULL: the fixed one (or none) for ever.  The file is read now (blocking). */
struct kube_token *kube_token_create(uv_loop_t *loop, const char *fixed, const char *file,
				     struct err *err);
void kube_token_destroy(struct kube_token *token);
const char *kube_token_text(const struct kube_token *token); /* NULL: none */

/* Reads the file again; done's err is set when the text did not change or cannot be read. */
struct call *kube_token_renew(struct kube_token *token, call_done_fn done, void *data);

/* --- cluster.c: the way to a cluster --- */

struct kube {
	uv_loop_t *loop;
	char *name;
	struct kube_target target;
	struct kube_token *token;
	struct http *http;    /* calls */
	struct http *streams; /* watches, so that they take no call's place; NULL until the first */
	struct list watches;  /* of watch.c */
};

struct http *kube_streams(struct kube *kube);

/* "https://…/apis/…?…" of at most KUBE_URL_MAX bytes. */
void kube_url(struct buf *buf, const struct kube *kube, const struct kube_request *request);

enum { KUBE_URL_MAX = 8192 };

struct kube_headers { /* "Name: value", NULL-ended */
	char **items;
	size_t n;
};

void kube_headers_build(struct kube_headers *headers, const struct kube_request *request);
void kube_headers_finish(struct kube_headers *headers);

/* --- status.c: what an answer that is no success means; pure --- */

struct kube_asked {
	const char *cluster, *method;
	const struct kube_kind *kind; /* or path */
	const char *space, *name, *subresource, *path;
};

struct kube_said {
	int status;
	const char *text, *type; /* body and Content-Type */
	size_t len;
};

/* "cluster main: Deployment ads/web"; the caller frees. */
char *kube_asked_text(const struct kube_asked *asked);
bool kube_asked_reads(const struct kube_asked *asked);
enum kube_problem kube_status_error(const struct kube_asked *asked, const struct kube_said *said,
				    struct err *ret_err);

#endif
