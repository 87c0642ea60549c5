/* SPDX-License-Identifier: Apache-2.0 */
/* env.c - the clusters and APIs of the configuration, each with a client of its own. */
#include "action/env.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/own.h"
#include "internal.h"
#include "kube/watch.h"
#include "net/http.h"

enum { NAMES_MAX = 64, KEDA_AGAIN_MS = 5 * 60 * 1000 };

struct cluster {
	struct kube *kube;
	char *argo_cd;           /* its namespace */
	int64_t keda_missing_ms; /* when it was seen; 0: not */
};

struct action_env {
	uv_loop_t *loop;
	struct cluster *clusters;
	size_t n_clusters;
	struct api *apis;
	size_t n_apis;
	struct own_port own;
};

/* --- making --- */

static void api_finish(struct api *api)
{
	http_destroy(api->http);
	secret_free(api->bearer);
	free(api->name);
	free(api->url);
	free(api->ca_file);
}

static bool api_keys(const json_t *node, struct err *err)
{
	static const char *const known[] = { "url", "ca_file", "auth" };
	const char *key, *near;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)node, key, value)
	{
		near = str_nearest(key, known, 3);
		if (near != NULL && str_eq(near, key))
			continue;
		err_set(err, ERR_INVALID, "unknown setting %s%s%s%s", key,
			near != NULL ? "; did you mean " : "", near != NULL ? near : "",
			near != NULL ? "?" : "");
		return false;
	}
	return true;
}

static bool api_auth(struct api *api, const json_t *node, const char *dir, struct err *err)
{
	const json_t *bearer = jget(node, "auth.bearer");
	const char *file = jget_str(bearer, "file");
	json_t *own;

	if (json_object_get(node, "auth") == NULL)
		return true;
	if (bearer == NULL) {
		err_set(err, ERR_INVALID,
			"auth must be { bearer: { file: PATH } } or { bearer: { "
			"env: NAME } }");
		return false;
	}
	own = json_deep_copy(bearer);
	if (file != NULL && file[0] != '/' && !str_empty(dir)) {
		char *path = xasprintf("%s/%s", dir, file);

		json_object_set_new(own, "file", json_string(path));
		free(path);
	}
	api->bearer = secret_read(own, err);
	json_decref(own);
	return api->bearer != NULL;
}

static bool api_read(struct api *api, uv_loop_t *loop, const json_t *node, const char *dir,
		     struct err *err)
{
	const char *url = jget_str_or(node, "url", ""), *ca_file = jget_str(node, "ca_file");
	size_t len = strlen(url);
	struct http_config config = { .plain_loopback = str_starts(url, "http://") };
	char *label;

	if (!api_keys(node, err) || !http_url_ok(url, true, err) || !api_auth(api, node, dir, err))
		return false;
	while (len > 0 && url[len - 1] == '/')
		len--;
	api->url = xstrndup(url, len);
	if (ca_file != NULL)
		api->ca_file = ca_file[0] == '/' || str_empty(dir)
				       ? xstrdup(ca_file)
				       : xasprintf("%s/%s", dir, ca_file);
	if (loop == NULL)
		return true;
	label = xasprintf("API %s", api->name);
	config.name = label;
	config.tls.ca_file = api->ca_file;
	api->http = http_create(loop, &config);
	free(label);
	return true;
}

/* What is not of the connection: the namespaces of others who are at work there.  Takes it out of
 * node. */
static bool take_space(json_t *node, const char *key, const char *fallback, char **ret_space,
		       struct err *err)
{
	const json_t *value = json_object_get(node, key);
	const char *text = value == NULL ? fallback : json_string_value(value);

	if (!kube_namespace_ok(text)) {
		err_set(err, ERR_INVALID, "%s must be the name of a namespace", key);
		return false;
	}
	*ret_space = xstrdup(text);
	json_object_del(node, key);
	return true;
}

bool action_env_spaces(json_t *node, char **ret_argo_cd, char **ret_flux, struct err *err)
{
	*ret_argo_cd = *ret_flux = NULL;
	if (take_space(node, "argocd_namespace", "argocd", ret_argo_cd, err) &&
	    take_space(node, "flux_namespace", "flux-system", ret_flux, err))
		return true;
	free(*ret_argo_cd);
	*ret_argo_cd = NULL;
	return false;
}

static bool add_cluster(struct action_env *env, const char *name, const json_t *node,
			const char *dir, struct err *err)
{
	json_t *own = json_deep_copy(node);
	struct cluster *cluster = &env->clusters[env->n_clusters];
	char *flux = NULL;
	struct kube *kube = NULL;

	if (action_env_spaces(own, &cluster->argo_cd, &flux, err))
		kube = kube_create(env->loop, name, own, dir, err);
	else
		err_prefix(err, "clusters.%s", name);
	json_decref(own);
	free(flux);
	if (kube == NULL) {
		free(cluster->argo_cd);
		return false;
	}
	cluster->kube = kube;
	env->n_clusters++;
	return true;
}

static bool add_clusters(struct action_env *env, const json_t *clusters, const char *dir,
			 struct diags *diags)
{
	const char *name;
	json_t *node;
	bool good = true;

	env->clusters = xcalloc(json_object_size(clusters) + 1, sizeof(*env->clusters));
	json_object_foreach((json_t *)(uintptr_t)clusters, name, node)
	{
		struct err err;

		if (add_cluster(env, name, node, dir, &err))
			continue;
		diag_add(diags, NULL, 0, 0, "%s", err.msg);
		good = false;
	}
	return good;
}

static bool add_apis(struct action_env *env, const json_t *apis, const char *dir,
		     struct diags *diags)
{
	const char *name;
	json_t *node;
	bool good = true;

	env->apis = xcalloc(json_object_size(apis) + 1, sizeof(*env->apis));
	json_object_foreach((json_t *)(uintptr_t)apis, name, node)
	{
		struct api *api = &env->apis[env->n_apis++];
		struct err err;

		api->name = xstrdup(name);
		if (api_read(api, env->loop, node, dir, &err))
			continue;
		diag_add(diags, NULL, 0, 0, "apis.%s: %s", name, err.msg);
		good = false;
	}
	return good;
}

struct action_env *action_env_create(uv_loop_t *loop, const json_t *clusters, const json_t *apis,
				     const char *dir, struct diags *diags)
{
	struct action_env *env = xcalloc(1, sizeof(*env));
	bool good;

	env->loop = loop;
	good = add_clusters(env, clusters, dir, diags);
	good = add_apis(env, apis, dir, diags) && good;
	if (good)
		return env;
	action_env_destroy(env);
	return NULL;
}

void action_env_destroy(struct action_env *env)
{
	if (env == NULL)
		return;
	for (size_t i = 0; i < env->n_clusters; i++) {
		kube_destroy(env->clusters[i].kube);
		free(env->clusters[i].argo_cd);
	}
	for (size_t i = 0; i < env->n_apis; i++)
		api_finish(&env->apis[i]);
	free(env->clusters);
	free(env->apis);
	free(env);
}

void action_env_set_own(struct action_env *env, const struct own_port *own)
{
	env->own = *own;
}

/* --- finding --- */

const struct own_port *env_own(const struct action_env *env)
{
	return &env->own;
}

uv_loop_t *env_loop(const struct action_env *env)
{
	return env->loop;
}

static struct cluster *find_cluster(const struct action_env *env, const char *name)
{
	for (size_t i = 0; i < env->n_clusters; i++)
		if (str_eq(kube_name(env->clusters[i].kube), name))
			return &env->clusters[i];
	return NULL;
}

struct kube *env_kube(const struct action_env *env, const char *name)
{
	struct cluster *cluster = find_cluster(env, name);

	return cluster == NULL ? NULL : cluster->kube;
}

const struct api *env_api(const struct action_env *env, const char *name)
{
	for (size_t i = 0; i < env->n_apis; i++)
		if (str_eq(env->apis[i].name, name))
			return &env->apis[i];
	return NULL;
}

static bool unknown(const char *what, const char *name, const char *const *names, size_t n,
		    struct err *err)
{
	const char *near = str_nearest(name, names, n);

	err_set(err, ERR_INVALID, "there is no %s \"%s\" in the configuration%s%s%s", what, name,
		near != NULL ? "; did you mean " : "", near != NULL ? near : "",
		near != NULL ? "?" : "");
	return false;
}

bool env_check_cluster(const struct action_env *env, const json_t *with, const char **ret_param,
		       struct err *err)
{
	const char *name = jget_str(with, "cluster"), *names[NAMES_MAX];
	size_t n = 0;

	if (env == NULL || name == NULL || has_template(name) || env_kube(env, name) != NULL)
		return true;
	*ret_param = "cluster";
	for (; n < env->n_clusters && n < NAMES_MAX; n++)
		names[n] = kube_name(env->clusters[n].kube);
	return unknown("cluster", name, names, n, err);
}

bool env_check_api(const struct action_env *env, const json_t *with, const char **ret_param,
		   struct err *err)
{
	const char *name = jget_str(with, "api"), *names[NAMES_MAX];
	size_t n = 0;

	if (env == NULL || name == NULL || has_template(name) || env_api(env, name) != NULL)
		return true;
	*ret_param = "api";
	for (; n < env->n_apis && n < NAMES_MAX; n++)
		names[n] = env->apis[n].name;
	return unknown("API", name, names, n, err);
}

const char *env_argo_cd(const struct action_env *env, const struct kube *kube)
{
	return find_cluster(env, kube_name(kube))->argo_cd;
}

bool env_keda_missing(const struct action_env *env, const struct kube *kube)
{
	const struct cluster *cluster = find_cluster(env, kube_name(kube));

	return cluster->keda_missing_ms != 0 &&
	       clock_mono_ms() - cluster->keda_missing_ms < KEDA_AGAIN_MS;
}

void env_set_keda_missing(struct action_env *env, const struct kube *kube)
{
	find_cluster(env, kube_name(kube))->keda_missing_ms = clock_mono_ms();
}

bool action_env_impersonates(const struct action_env *env, const json_t *with)
{
	const char *name = jget_str(with, "cluster");
	const struct kube *kube = name == NULL ? NULL : env_kube(env, name);

	return kube != NULL && kube_impersonates(kube);
}

/* --- metrics --- */

static void put_stats(struct buf *buf, const char *kind, const char *name,
		      const struct http_stats *stats)
{
	(void)buf_printf(buf, "opsd_target_requests_total{%s=\"%s\"} %" PRIu64 "\n", kind, name,
			 stats->started);
	(void)buf_printf(buf, "opsd_target_failed_total{%s=\"%s\"} %" PRIu64 "\n", kind, name,
			 stats->failed);
	(void)buf_printf(buf, "opsd_target_timeouts_total{%s=\"%s\"} %" PRIu64 "\n", kind, name,
			 stats->timeouts);
	(void)buf_printf(buf, "opsd_target_active{%s=\"%s\"} %u\n", kind, name, stats->active);
	(void)buf_printf(buf, "opsd_target_queued{%s=\"%s\"} %u\n", kind, name, stats->queued);
}

void action_env_metrics(const struct action_env *env, struct buf *buf)
{
	if (env->loop == NULL)
		return;
	for (size_t i = 0; i < env->n_clusters; i++) {
		struct kube *kube = env->clusters[i].kube;

		put_stats(buf, "cluster", kube_name(kube), kube_stats(kube));
		(void)buf_printf(buf, "opsd_target_watches{cluster=\"%s\"} %zu\n", kube_name(kube),
				 kube_watches(kube));
	}
	for (size_t i = 0; i < env->n_apis; i++)
		put_stats(buf, "api", env->apis[i].name, http_stats(env->apis[i].http));
}

size_t env_clusters(const struct action_env *env)
{
	return env->n_clusters;
}

struct kube *env_cluster_at(const struct action_env *env, size_t i)
{
	return env->clusters[i].kube;
}

size_t env_apis(const struct action_env *env)
{
	return env->n_apis;
}

const struct api *env_api_at(const struct action_env *env, size_t i)
{
	return &env->apis[i];
}
