/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env - what action kinds act on: the clusters and APIs of the configuration, with their clients.
 *
 * clusters: { "main": { "kubeconfig": { "file", "context" } | "in_cluster": true | "server",
 * "ca_file", "token_file" } }, apis: { "platform": { "url", "ca_file"?, "auth": { "bearer": {
 * "file"|"env" } } } }.
 */
#ifndef OPSD_ACTION_ENV_H
#define OPSD_ACTION_ENV_H

#include <stdbool.h>
#include <uv.h>

#include "base/call.h"
#include "base/json.h"
#include "core/action.h"

struct buf;
struct diags;
struct err;
struct own_port;

/* The table of all kinds: sorted by name, NULL-ended. */
extern const struct action_kind *const action_kinds[];

/* Reads files (blocking): before the loop runs or at a reload.  dir: relative paths start there.
 * loop NULL: names only, for checks that open no connection.  NULL: diags (named "clusters.main:
 * …"). */
struct action_env *action_env_create(uv_loop_t *loop, const json_t *clusters, const json_t *apis,
				     const char *dir, struct diags *diags);
/* Of a cluster's settings: where Argo CD and Flux are there (argocd_namespace, flux_namespace).
 * Taken out of node, for they are not of the connection; the caller frees both.  false: err. */
bool action_env_spaces(json_t *node, char **ret_argo_cd, char **ret_flux, struct err *err);
/* For the kinds opsd.*; copied.  Without it they cannot run. */
void action_env_set_own(struct action_env *env, const struct own_port *own);
/* Does a cluster that with names want to know for whom? */
bool action_env_impersonates(const struct action_env *env, const json_t *with);
void action_env_destroy(struct action_env *env); /* every run must be done or cancelled before */

/*
 * What a look of a kind named in "watch", as one: news when all of it is known (in_step), again
 * when something of it has changed, and when it is not in step with the cluster any more; may
 * cancel it.  While it is in step, a look may take what is known (action_run.known).  Ends by
 * itself only with an err: not allowed (ERR_DENIED), or no more watches; then nothing tells.
 */
typedef void (*action_news_fn)(void *data, bool in_step);
struct call *action_env_watch(struct action_env *env, const json_t *watch, const char *request_id,
			      action_news_fn news, call_done_fn done, void *data);

/* opsd check --online: one line per cluster and API: reachable, who we are, what is missing. */
typedef void (*action_line_fn)(void *data, bool good, const char *what, const char *says);
struct call *action_env_probe(struct action_env *env, action_line_fn line, call_done_fn done,
			      void *data);

/* Prometheus text of the clients' counters. */
void action_env_metrics(const struct action_env *env, struct buf *buf);

#endif
