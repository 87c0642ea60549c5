/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - where a cluster is and who we are there: from settings, from the pod's own files, or
 * from one context of a kubeconfig.  Reads files (blocking): at start and at reload only.
 *
 * A kubeconfig is one file, or those that an environment variable (KUBECONFIG) names: of several
 * the first that defines a cluster, user or context defines it whole, and its paths are beside it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/conftree.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/pem.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/http.h"

#define POD_FILES "/var/run/secrets/kubernetes.io/serviceaccount/"

enum { PEM_MAX = 1 << 20, FILES_MAX = 16, GROUPS_MAX = 200 };

struct kubeconfig { /* its files, as they were named */
	struct {
		struct conftree *tree;
		char *folder;
	} files[FILES_MAX];
	size_t n;
};

struct entry {              /* of a kubeconfig */
	const json_t *node; /* NULL: there is none */
	const char *dir;    /* of its file */
};

/* Generated files write their booleans in many ways. */
static bool truth(const json_t *node, const char *key)
{
	static const char *const words[] = { "yes", "Yes", "YES", "on", "On", "ON", "y", "Y" };
	const char *text = jget_str(node, key);

	for (size_t i = 0; text != NULL && i < sizeof(words) / sizeof(words[0]); i++)
		if (str_eq(text, words[i]))
			return true;
	return jget_bool(node, key, false);
}

static char *under(const char *dir, const char *path)
{
	return path[0] == '/' || str_empty(dir) ? xstrdup(path) : xasprintf("%s/%s", dir, path);
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? xstrdup("") : xstrndup(path, (size_t)(slash - path));
}

static bool set_server(struct kube_target *target, const char *text, struct err *err)
{
	size_t len = strlen(text);

	if (!http_url_ok(text, true, err))
		return false;
	if (strchr(text, '?') != NULL) {
		err_set(err, ERR_INVALID, "server %s: no query is allowed", text);
		return false;
	}
	while (len > 0 && text[len - 1] == '/')
		len--;
	target->server = xstrndup(text, len);
	return true;
}

/* --- base64 of kubeconfig's …-data --- */

static int digit(unsigned char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int)(at - digits);
}

/* PEM text from base64, which may hold line breaks.  NULL: not base64, or not text. */
static char *decode(const char *text)
{
	struct buf buf;
	unsigned bits = 0;
	int have = 0;

	buf_init(&buf, PEM_MAX);
	for (; *text != '\0' && *text != '='; text++) {
		int value = digit((unsigned char)*text);
		char byte;

		if (strchr(" \r\n\t", *text) != NULL)
			continue;
		if (value < 0)
			break;
		bits = (bits << 6 | (unsigned)value) & 0xffffff;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		byte = (char)(bits >> have & 0xff);
		if (byte == '\0' || !buf_append(&buf, &byte, 1))
			break;
	}
	if (text[strspn(text, "= \r\n\t")] == '\0' && buf.len > 0)
		return buf_take(&buf);
	buf_finish(&buf);
	return NULL;
}

/* One PEM of a kubeconfig entry: "x-data" in it, or "x" as a file beside it, whose path goes to
 * ret_file. */
static bool read_pem(const struct entry *entry, const char *key, char **ret_pem, char **ret_file,
		     struct err *err)
{
	char *data_key = xasprintf("%s-data", key);
	const char *data = json_string_value(json_object_get(entry->node, data_key));
	const char *file = json_string_value(json_object_get(entry->node, key));
	size_t len;

	free(data_key);
	if (!str_empty(data)) {
		*ret_pem = decode(data);
		if (*ret_pem == NULL)
			err_set(err, ERR_INVALID, "%s-data is not base64 of PEM text", key);
		return *ret_pem != NULL;
	}
	if (str_empty(file))
		return true;
	*ret_file = under(entry->dir, file);
	*ret_pem = file_read(*ret_file, PEM_MAX, &len, err);
	return *ret_pem != NULL;
}

/* --- kubeconfig --- */

static struct entry entry_of(const struct kubeconfig *config, const char *list, const char *inner,
			     const char *name)
{
	for (size_t f = 0; f < config->n; f++) {
		json_t *item;
		size_t i;

		json_array_foreach(json_object_get(conftree_root(config->files[f].tree), list), i,
				   item)
		{
			if (str_eq(jget_str(item, "name"), name))
				return (struct entry){ json_object_get(item, inner),
						       config->files[f].folder };
		}
	}
	return (struct entry){ NULL, NULL };
}

static void list_contexts(const struct kubeconfig *config, struct buf *buf)
{
	buf_init(buf, 200);
	for (size_t f = 0; f < config->n; f++) {
		json_t *item;
		size_t i;

		json_array_foreach(
			json_object_get(conftree_root(config->files[f].tree), "contexts"), i, item)
		{
			(void)buf_printf(buf, "%s%s", buf->len == 0 ? "" : ", ",
					 jget_str_or(item, "name", "?"));
		}
	}
}

static bool take_cluster(struct kube_target *target, const struct entry *entry, struct err *err)
{
	const json_t *cluster = entry->node;
	const char *proxy = jget_str(cluster, "proxy-url");
	const char *server = jget_str(cluster, "server");

	if (server == NULL) {
		err_set(err, ERR_INVALID, "the cluster has no server");
		return false;
	}
	target->insecure = truth(cluster, "insecure-skip-tls-verify");
	target->server_name = xstrdup_null(jget_str(cluster, "tls-server-name"));
	if (!set_server(target, server, err) ||
	    !read_pem(entry, "certificate-authority", &target->ca_pem, &target->ca_file, err))
		return false;
	if (target->insecure && target->ca_pem != NULL) {
		err_set(err, ERR_INVALID,
			"insecure-skip-tls-verify and a certificate authority exclude each other");
		return false;
	}
	if (target->ca_file != NULL) { /* it can be read; from now on as it is then */
		free(target->ca_pem);
		target->ca_pem = NULL;
	}
	if (str_empty(proxy))
		return true;
	if (!str_starts(proxy, "http://") && !str_starts(proxy, "https://") &&
	    !str_starts(proxy, "socks5://")) {
		err_set(err, ERR_INVALID,
			"proxy-url must begin with http://, https:// or socks5://");
		return false;
	}
	/* The proxy resolves the name, as client-go has it. */
	target->proxy =
		str_starts(proxy, "socks5://") ? xasprintf("socks5h%s", proxy + 6) : xstrdup(proxy);
	return true;
}

static bool refuse_unsupported(const json_t *user, struct err *err)
{
	static const struct {
		const char *key, *why;
	} rows[] = {
		{ "auth-provider", "the auth-provider was removed from Kubernetes; make the "
				   "kubeconfig anew, with a tokenFile" },
		{ "username", "a user name and password are not accepted by Kubernetes any more" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const json_t *value = json_object_get(user, rows[i].key);

		if (value == NULL || json_is_null(value))
			continue;
		err_set(err, ERR_INVALID, "%s", rows[i].why);
		return false;
	}
	return true;
}

/* as, as-uid, as-groups, as-user-extra */
static bool take_person(struct kube_target *target, const json_t *user, struct err *err)
{
	const json_t *groups = json_object_get(user, "as-groups");
	struct kube_person *as = &target->as;

	as->name = xstrdup_null(jget_str(user, "as"));
	as->uid = xstrdup_null(jget_str(user, "as-uid"));
	as->groups = json_deep_copy(groups);
	as->extra = json_deep_copy(json_object_get(user, "as-user-extra"));
	if (json_array_size(groups) > GROUPS_MAX) {
		err_set(err, ERR_INVALID, "more than %d as-groups", GROUPS_MAX);
		return false;
	}
	if (!str_empty(as->name) || (as->uid == NULL && json_array_size(groups) == 0))
		return true;
	err_set(err, ERR_INVALID, "as-uid and as-groups need as: whom they are of");
	return false;
}

/* A token or certificate that stands there makes the plugin superfluous. */
static bool take_plugin(struct kube_target *target, const struct entry *user, const json_t *cluster,
			const json_t *allowed, struct err *err)
{
	const json_t *exec = json_object_get(user->node, "exec");

	if (!json_is_object(exec) || target->token != NULL || target->token_file != NULL ||
	    target->cert_pem != NULL)
		return true;
	target->plugin = kube_plugin_read(exec, cluster, user->dir, allowed, err);
	return target->plugin != NULL;
}

static bool take_user(struct kube_target *target, const struct entry *user, const json_t *cluster,
		      const json_t *allowed, struct err *err)
{
	const json_t *token = json_object_get(user->node, "token");
	const char *file = jget_str(user->node, "tokenFile");

	if (!refuse_unsupported(user->node, err) ||
	    !read_pem(user, "client-certificate", &target->cert_pem, &target->cert_file, err) ||
	    !read_pem(user, "client-key", &target->key_pem, &target->key_file, err))
		return false;
	if ((target->cert_pem == NULL) != (target->key_pem == NULL)) {
		err_set(err, ERR_INVALID, "client-certificate and client-key belong together");
		return false;
	}
	if (target->cert_pem != NULL && !pem_pair(target->cert_pem, target->key_pem, err)) {
		err_prefix(err, "client-certificate and client-key");
		return false;
	}
	if (token != NULL && !json_is_null(token) && !json_is_string(token)) {
		err_set(err, ERR_INVALID, "token must be a text: put it in quotes");
		return false;
	}
	target->token =
		str_empty(json_string_value(token)) ? NULL : xstrdup(json_string_value(token));
	target->token_file = str_empty(file) ? NULL : under(user->dir, file);
	return take_person(target, user->node, err) &&
	       take_plugin(target, user, cluster, allowed, err);
}

static bool take_context(struct kube_target *target, const struct kubeconfig *config,
			 const char *name, const json_t *allowed, struct err *err)
{
	struct entry context = entry_of(config, "contexts", "context", name), cluster, user;
	const char *cluster_name = jget_str(context.node, "cluster");
	const char *user_name = jget_str_or(context.node, "user", "");
	struct buf names;

	if (context.node == NULL) {
		list_contexts(config, &names);
		err_set(err, ERR_INVALID, "it has no context \"%s\"; it has: %s", name,
			*buf_text(&names) == '\0' ? "none" : buf_text(&names));
		buf_finish(&names);
		return false;
	}
	cluster = entry_of(config, "clusters", "cluster", cluster_name);
	user = *user_name == '\0' ? (struct entry){ NULL, NULL }
				  : entry_of(config, "users", "user", user_name);
	if (cluster.node == NULL || (user.node == NULL && *user_name != '\0')) {
		err_set(err, ERR_INVALID, "context \"%s\" names the %s \"%s\", which is not there",
			name, cluster.node == NULL ? "cluster" : "user",
			cluster.node == NULL ? (cluster_name == NULL ? "" : cluster_name)
					     : user_name);
		return false;
	}
	target->space = xstrdup_null(jget_str(context.node, "namespace"));
	return take_cluster(target, &cluster, err) &&
	       take_user(target, &user, cluster.node, allowed, err);
}

static bool load(struct kubeconfig *config, const char *path, struct err *err)
{
	struct diags diags;
	struct conftree *tree;

	if (config->n == FILES_MAX) {
		err_set(err, ERR_INVALID, "more than %d files", FILES_MAX);
		return false;
	}
	diags_init(&diags);
	tree = conftree_load_loose(path, &diags);
	if (tree == NULL)
		err_set(err, ERR_INVALID, "%s",
			diags.n > 0 ? diag_text(&diags.items[0]) : "it cannot be read");
	diags_finish(&diags);
	if (tree == NULL)
		return false;
	config->files[config->n].tree = tree;
	config->files[config->n++].folder = folder_of(path);
	return true;
}

/* The files of a variable: those that are not there are left out, the others must be readable. */
static bool load_list(struct kubeconfig *config, const char *variable, struct err *err)
{
	const char *list = getenv(variable), *home = getenv("HOME"), *end;
	char *fallback = str_empty(list) && str_eq(variable, "KUBECONFIG") && !str_empty(home)
				 ? xasprintf("%s/.kube/config", home)
				 : NULL;
	bool good = true;

	for (const char *at = fallback != NULL ? fallback : list; good && at != NULL && *at != '\0';
	     at = *end == ':' ? end + 1 : end) {
		char *path;

		end = at + strcspn(at, ":");
		path = xstrndup(at, (size_t)(end - at));
		if (*path != '\0' && access(path, F_OK) == 0)
			good = load(config, path, err);
		free(path);
	}
	free(fallback);
	if (good && config->n == 0)
		err_set(err, ERR_INVALID, "none of the files of %s is there", variable);
	return good && config->n > 0;
}

static bool read_kubeconfig(struct kube_target *target, const json_t *node, const json_t *allowed,
			    const char *dir, struct err *err)
{
	const char *file = jget_str(node, "file"), *env = jget_str(node, "env");
	const char *context = jget_str(node, "context");
	struct kubeconfig config = { .n = 0 };
	char *path;
	bool good;

	if ((file == NULL) == (env == NULL) || context == NULL) {
		err_set(err, ERR_INVALID,
			"kubeconfig needs file (or env: the variable that names files) and "
			"context; the current-context is never used");
		return false;
	}
	path = file != NULL ? under(dir, file) : xasprintf("of %s", env);
	good = file != NULL ? load(&config, path, err) : load_list(&config, env, err);
	if (good) {
		good = take_context(target, &config, context, allowed, err);
		if (!good)
			err_prefix(err, "kubeconfig %s", path);
	}
	for (size_t i = 0; i < config.n; i++) {
		conftree_destroy(config.files[i].tree);
		free(config.files[i].folder);
	}
	free(path);
	return good;
}

/* --- the pod's own, and plain settings --- */

static bool read_pod(struct kube_target *target, struct err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	struct err ignored;
	size_t len;
	bool good;
	char *url;

	if (str_empty(host) || str_empty(port)) {
		err_set(err, ERR_INVALID,
			"in_cluster: opsd does not run in a pod (KUBERNETES_SERVICE_HOST and "
			"KUBERNETES_SERVICE_PORT are not set)");
		return false;
	}
	url = xasprintf(strchr(host, ':') != NULL ? "https://[%s]:%s" : "https://%s:%s", host,
			port);
	good = set_server(target, url, err);
	free(url);
	target->token_file = xstrdup(POD_FILES "token");
	/* Without it the system's certificates are used. */
	if (access(POD_FILES "ca.crt", R_OK) == 0)
		target->ca_file = xstrdup(POD_FILES "ca.crt");
	target->space = str_empty(getenv("POD_NAMESPACE"))
				? file_read(POD_FILES "namespace", 256, &len, &ignored)
				: xstrdup(getenv("POD_NAMESPACE"));
	return good;
}

static bool read_plain(struct kube_target *target, const json_t *node, const char *dir,
		       struct err *err)
{
	const char *ca_file = jget_str(node, "ca_file"), *file = jget_str(node, "token_file");

	if (ca_file != NULL)
		target->ca_file = under(dir, ca_file);
	if (file != NULL)
		target->token_file = under(dir, file);
	return set_server(target, jget_str_or(node, "server", ""), err);
}

static bool known_keys(const json_t *node, struct err *err)
{
	static const char *const known[] = { "kubeconfig", "in_cluster", "server",     "ca_file",
					     "token_file", "plugins",    "impersonate" };
	const char *key, *near;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)node, key, value)
	{
		bool good = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			good = good || str_eq(key, known[i]);
		if (good)
			continue;
		near = str_nearest(key, known, sizeof(known) / sizeof(known[0]));
		err_set(err, ERR_INVALID, "unknown setting %s%s%s%s", key,
			near != NULL ? "; did you mean " : "", near != NULL ? near : "",
			near != NULL ? "?" : "");
		return false;
	}
	return true;
}

static bool read_any(struct kube_target *target, const json_t *node, const char *dir,
		     struct err *err)
{
	const json_t *kubeconfig = json_object_get(node, "kubeconfig");
	bool in_cluster = jget_bool(node, "in_cluster", false);
	bool plain = jget_str(node, "server") != NULL;

	if (!json_is_object(node) || !known_keys(node, err)) {
		if (!json_is_object(node))
			err_set(err, ERR_INVALID, "must be a mapping");
		return false;
	}
	if ((json_is_object(kubeconfig) ? 1 : 0) + (in_cluster ? 1 : 0) + (plain ? 1 : 0) != 1) {
		err_set(err, ERR_INVALID,
			"say where it is by one of: kubeconfig: { file, context }, in_cluster: "
			"true, server");
		return false;
	}
	if (in_cluster)
		return read_pod(target, err);
	if (plain)
		return read_plain(target, node, dir, err);
	return read_kubeconfig(target, kubeconfig, json_object_get(node, "plugins"), dir, err);
}

static bool read_impersonate(struct kube_target *target, const json_t *node, struct err *err)
{
	const json_t *wish = json_object_get(node, "impersonate");

	if (wish != NULL && !json_is_boolean(wish)) {
		err_set(err, ERR_INVALID, "impersonate must be true or false");
		return false;
	}
	target->impersonate = json_is_true(wish);
	if (!target->impersonate || target->as.name == NULL)
		return true;
	err_set(err, ERR_INVALID, "impersonate and the kubeconfig's own \"as\" exclude each other");
	return false;
}

bool kube_target_read(struct kube_target *target, const char *name, const json_t *node,
		      const char *dir, struct err *err)
{
	memset(target, 0, sizeof(*target));
	if (!read_any(target, node, dir, err) || !read_impersonate(target, node, err)) {
		err_prefix(err, "clusters.%s", name);
		return false;
	}
	if (str_empty(target->space)) {
		free(target->space);
		target->space = xstrdup("default");
	}
	return true;
}

void kube_person_finish(struct kube_person *person)
{
	free((char *)(uintptr_t)person->name);
	free((char *)(uintptr_t)person->uid);
	json_decref((json_t *)(uintptr_t)person->groups);
	json_decref((json_t *)(uintptr_t)person->extra);
	memset(person, 0, sizeof(*person));
}

void kube_target_finish(struct kube_target *target)
{
	secret_free(target->key_pem);
	secret_free(target->token);
	kube_plugin_free(target->plugin);
	kube_person_finish(&target->as);
	free(target->server);
	free(target->ca_file);
	free(target->ca_pem);
	free(target->cert_pem);
	free(target->cert_file);
	free(target->key_file);
	free(target->server_name);
	free(target->proxy);
	free(target->space);
	free(target->token_file);
	memset(target, 0, sizeof(*target));
}
