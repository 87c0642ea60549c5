/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - one cluster's API: where it is, who we are there, and requests whose errors are
 * sentences.
 *
 * Tokens in files are read again every minute and after a refusal, off the loop.  Reads are tried
 * again after a lost connection; anything after 429 or 5xx that carries Retry-After; a write is
 * never sent twice otherwise.  Every write carries fieldManager=opsd and fieldValidation=Strict,
 * every request its id as Audit-ID.
 */
#ifndef OPSD_KUBE_CLIENT_H
#define OPSD_KUBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"
#include "base/json.h"

struct err;
struct http_stats;
struct kube;
struct kube_kind;

/*
 * node: { "kubeconfig": { "file" or "env", "context" }, "plugins"? } | { "in_cluster": true } |
 * { "server", "ca_file"?, "token_file"? }, each with "impersonate"?. Reads files (blocking);
 * relative ones are of dir.  NULL: err.  loop NULL: for checks only, makes no requests.
 */
struct kube *kube_create(uv_loop_t *loop, const char *name, const json_t *node, const char *dir,
			 struct err *err);
void kube_destroy(struct kube *kube); /* every call must be done or cancelled before */

const char *kube_name(const struct kube *kube);
bool kube_impersonates(const struct kube *kube); /* requests are made as request.person */
const char *kube_server(const struct kube *kube);
const char *kube_namespace(const struct kube *kube); /* the context's; "default" */
const struct http_stats *kube_stats(const struct kube *kube);

struct kube_person {          /* for whom a request is made, where the cluster's settings say so */
	const char *name;     /* NULL: for opsd itself */
	const char *uid;      /* NULL: not said */
	const json_t *groups; /* array of texts; NULL: none */
	const json_t *extra;  /* { "key": [ "text" ] }; NULL: none */
};

struct kube_request { /* copied by kube_call */
	const char *method;
	const struct kube_kind *kind; /* NULL: path */
	const char *space, *name, *subresource;
	const char *path;                 /* "/version", without kind */
	const char *query;                /* "labelSelector=a%3Db&limit=500", escaped; NULL */
	const json_t *body;               /* NULL: none */
	const char *content_type;         /* of body; NULL: application/json */
	const char *accept;               /* NULL: application/json */
	const char *request_id;           /* NULL: none */
	const struct kube_person *person; /* NULL: for opsd itself */
	bool dry_run;                     /* dryRun=All: nothing is changed, so it is a read */
	unsigned timeout_ms;              /* all tries together; 0: 10,000 */
	size_t max_body;                  /* 0: 4 MiB */
};

enum kube_problem {
	KUBE_FINE,
	KUBE_NOT_FOUND,   /* the object is missing */
	KUBE_NO_RESOURCE, /* the cluster does not know this kind */
	KUBE_CONFLICT,    /* changed since it was read, or another uid */
	KUBE_EXISTS,      /* create: the name is taken */
	KUBE_OWNED,       /* the field belongs to another manager */
	KUBE_UNTRUE,  /* the JSON patch could not be applied: a test failed, or a path is missing */
	KUBE_INVALID, /* refused: values, immutable fields, schema */
	KUBE_POLICY,  /* refused by an admission webhook or policy */
	KUBE_QUOTA,   /* refused by quota, limits, pod security */
	KUBE_FORBIDDEN,   /* not allowed to opsd */
	KUBE_UNKNOWN_US,  /* our credentials are not accepted */
	KUBE_EXPIRED,     /* the list's cursor or version is too old */
	KUBE_BUSY,        /* 429 */
	KUBE_UNAVAILABLE, /* no connection, 5xx */
	KUBE_NOT_CLEAR,   /* the write may have happened */
};

struct kube_answer { /* lent during done */
	enum kube_problem problem;
	int status;             /* 0: no answer came */
	const json_t *body;     /* parsed; NULL when it was not JSON, or on error */
	const char *text;       /* as it came; "" on error */
	const json_t *warnings; /* array of texts: the cluster's Warning headers */
	const char *audit_id;   /* ""; the cluster's */
};

/*
 * Never NULL answer.  err kinds: ERR_INVALID, ERR_DENIED, ERR_RETRY: certainly nothing was changed;
 * ERR_TIMEOUT: the same, no time left; ERR_UNCERTAIN (never of a read): it may have happened.  The
 * sentence names cluster, namespace, kind and name and never holds the object's content.
 */
typedef void (*kube_done_fn)(void *data, const struct kube_answer *answer, const struct err *err);

struct call *kube_call(struct kube *kube, const struct kube_request *request, kube_done_fn done,
		       void *data);

#endif
