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
	char *cert_file, *key_file; /* whence those are; NULL: not of a file, which may change */
	char *server_name, *proxy, *space;
	bool insecure;
	char *token, *token_file;   /* token: the fixed one, or NULL */
	struct kube_plugin *plugin; /* NULL: none */
	struct kube_person as;      /* whom the kubeconfig's user speaks for; name NULL: itself */
	bool impersonate;           /* the cluster's option: whoever asks */
};

bool kube_target_read(struct kube_target *target, const char *name, const json_t *node,
		      const char *dir, struct err *err);
void kube_target_finish(struct kube_target *target);
void kube_person_finish(struct kube_person *person); /* one whose parts are our own */

/* --- plugin.c: a program of the kubeconfig (exec) that says who we are --- */

struct kube_plugin {
	char **argv;   /* NULL-ended; the first is an absolute path */
	char **env;    /* "NAME=value" beside our own; NULL-ended */
	char *version; /* apiVersion of what goes in and comes out */
	char *hint;    /* how to install it; NULL: not said */
	unsigned timeout_ms;
};

struct kube_credential {
	char *token;              /* NULL: none */
	char *cert_pem, *key_pem; /* both or none */
	int64_t expires_ms;       /* wall clock; 0: not said */
};

void kube_credential_finish(struct kube_credential *credential);
void kube_plugin_free(struct kube_plugin *plugin);

/* The exec entry of a user; allowed: absolute paths, from the settings.  cluster: for
 * provideClusterInfo.  NULL: err. */
struct kube_plugin *kube_plugin_read(const json_t *exec, const json_t *cluster, const char *dir,
				     const json_t *allowed, struct err *err);

/* What it printed; pure.  false: err. */
bool kube_plugin_answer(const struct kube_plugin *plugin, const char *text, size_t len,
			int64_t now_ms, struct kube_credential *ret, struct err *err);

/* credential is lent, and may be emptied by whoever takes its parts; NULL: err (ERR_RETRY). */
typedef void (*kube_plugin_fn)(void *data, struct kube_credential *credential,
			       const struct err *err);
struct call *kube_plugin_run(uv_loop_t *loop, const struct kube_plugin *plugin, kube_plugin_fn done,
			     void *data);

/* --- creds.c: who we are: what is fixed, what files hold, or a plugin's credential --- */

struct kube_creds;

/* A token's file is read now (blocking), a plugin is run when it is first needed. */
struct kube_creds *kube_creds_create(uv_loop_t *loop, const struct kube_target *target,
				     struct err *err);
void kube_creds_destroy(struct kube_creds *creds);
const char *kube_creds_token(const struct kube_creds *creds); /* NULL: none */
/* Beside or instead of the token; NULL: none.  ret_key is set with it. */
const char *kube_creds_cert(const struct kube_creds *creds, const char **ret_key);
unsigned kube_creds_cert_version(const struct kube_creds *creds); /* grows with each other one */

/* Grows with each change of what the others give; 0: nothing yet. */
unsigned kube_creds_version(const struct kube_creds *creds);
/* Is there something to send that has not expired? */
bool kube_creds_ready(const struct kube_creds *creds);
/* May another look at the same file or program bring something else a moment later? */
bool kube_creds_may_change(const struct kube_creds *creds);

/* Gets what is newer than version; done's err is set when there is nothing newer. */
struct call *kube_creds_renew(struct kube_creds *creds, unsigned version, call_done_fn done,
			      void *data);

/* --- cluster.c: the way to a cluster --- */

struct kube {
	uv_loop_t *loop;
	char *name;
	struct kube_target target;
	struct kube_creds *creds;
	struct line *line;   /* the connections; another once the certificate changed */
	struct list watches; /* of watch.c */
};

struct line {
	struct http *http;    /* calls */
	struct http *streams; /* watches, so that they take no call's place; NULL until the first */
	unsigned users;       /* requests under way */
	unsigned version;     /* of the certificate */
	bool retired;
};

/* The connections to use now; given back when the answer came or the call was cancelled. */
struct line *kube_line_take(struct kube *kube);
void kube_line_give(struct line **linep);
struct http *kube_line_streams(struct kube *kube, struct line *line);

/* "https://…/apis/…?…" of at most KUBE_URL_MAX bytes. */
void kube_url(struct buf *buf, const struct kube *kube, const struct kube_request *request);

enum { KUBE_URL_MAX = 8192 };

struct kube_headers { /* "Name: value", NULL-ended */
	char **items;
	size_t n;
};

void kube_headers_build(struct kube_headers *headers, const struct kube *kube,
			const struct kube_request *request);
void kube_headers_finish(struct kube_headers *headers);

/* --- status.c: what an answer that is no success means; pure --- */

struct kube_asked {
	const char *cluster, *method;
	const struct kube_kind *kind; /* or path */
	const char *space, *name, *subresource, *path;
	const char *person; /* for whom; NULL: for opsd itself */
	bool watches;
	bool dry_run; /* it changes nothing, whatever its method */
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
