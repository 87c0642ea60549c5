/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_read.c - what a kubeconfig says of a credential plugin, and what the plugin answers. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

#define API "client.authentication.k8s.io/"

enum { RUN_MS = 20000, ITEMS_MAX = 200, HINT_MAX = 160, PATH_MAX_BYTES = 4096 };

void kube_credential_finish(struct kube_credential *credential)
{
	secret_free(credential->token);
	secret_free(credential->key_pem);
	free(credential->cert_pem);
	memset(credential, 0, sizeof(*credential));
}

static void free_all(char **texts)
{
	for (char **text = texts; text != NULL && *text != NULL; text++)
		secret_free(*text);
	free(texts);
}

void kube_plugin_free(struct kube_plugin *plugin)
{
	if (plugin == NULL)
		return;
	free_all(plugin->argv);
	free_all(plugin->env);
	free(plugin->version);
	free(plugin->hint);
	free(plugin);
}

/* --- the kubeconfig's entry --- */

/* The program's path: as it stands, beside the kubeconfig, or of PATH. */
static char *find_program(const char *command, const char *dir)
{
	const char *path = getenv("PATH"), *end;

	if (command[0] == '/')
		return xstrdup(command);
	if (strchr(command, '/') != NULL)
		return xasprintf("%s/%s", str_empty(dir) ? "." : dir, command);
	for (; path != NULL && *path != '\0'; path = *end == ':' ? end + 1 : end) {
		char *full;

		end = path + strcspn(path, ":");
		if (*path != '/' || end - path > PATH_MAX_BYTES)
			continue;
		full = xasprintf("%.*s/%s", (int)(end - path), path, command);
		if (access(full, X_OK) == 0)
			return full;
		free(full);
	}
	return NULL;
}

static char *hint_of(const json_t *exec)
{
	const char *text = jget_str(exec, "installHint");
	char *hint;
	size_t n = 0;

	if (str_empty(text))
		return NULL;
	hint = xcalloc(1, HINT_MAX + 1);
	for (; *text != '\0' && n < HINT_MAX; text++)
		if ((unsigned char)*text >= 0x20 && (unsigned char)*text < 0x7f)
			hint[n++] = *text;
	return hint;
}

static bool is_allowed(const json_t *allowed, const char *path)
{
	json_t *item;
	size_t i;

	json_array_foreach(allowed, i, item)
	{
		if (str_eq(json_string_value(item), path))
			return true;
	}
	return false;
}

static bool read_command(struct kube_plugin *plugin, const json_t *exec, const char *dir,
			 const json_t *allowed, struct err *err)
{
	const char *command = jget_str(exec, "command");
	const json_t *args = json_object_get(exec, "args");
	size_t n = json_array_size(args);
	char *path;

	if (str_empty(command) || n > ITEMS_MAX) {
		err_set(err, ERR_INVALID, "exec needs a command and at most %d args", ITEMS_MAX);
		return false;
	}
	path = find_program(command, dir);
	if (path == NULL) {
		err_set(err, ERR_INVALID, "the credential plugin %s is not in PATH%s%s", command,
			plugin->hint != NULL ? "; " : "", plugin->hint != NULL ? plugin->hint : "");
		return false;
	}
	plugin->argv = xcalloc(n + 2, sizeof(*plugin->argv));
	plugin->argv[0] = path;
	for (size_t i = 0; i < n; i++) {
		const char *arg = json_string_value(json_array_get(args, i));

		if (arg == NULL) {
			err_set(err, ERR_INVALID, "exec: args must be texts");
			return false;
		}
		plugin->argv[i + 1] = xstrdup(arg);
	}
	if (is_allowed(allowed, path))
		return true;
	err_set(err, ERR_INVALID,
		"it runs the credential plugin %s; if that is right, allow it beside kubeconfig "
		"with plugins: [\"%s\"]",
		path, path);
	return false;
}

/* KUBERNETES_EXEC_INFO */
static char *info_of(const struct kube_plugin *plugin, const json_t *exec, const json_t *cluster)
{
	static const char *const passed[] = { "server",
					      "tls-server-name",
					      "insecure-skip-tls-verify",
					      "certificate-authority-data",
					      "proxy-url",
					      "disable-compression" };
	json_t *info = json_pack("{s:s, s:s, s:{s:b}}", "kind", "ExecCredential", "apiVersion",
				 plugin->version, "spec", "interactive", 0);
	json_t *about = json_object(), *item;
	char *text, *variable;
	size_t i;

	for (i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		json_object_set(about, passed[i], json_object_get(cluster, passed[i]));
	json_array_foreach(json_object_get(cluster, "extensions"), i, item)
	{
		if (str_eq(jget_str(item, "name"), API "exec"))
			json_object_set(about, "config", json_object_get(item, "extension"));
	}
	if (jget_bool(exec, "provideClusterInfo", false))
		json_object_set(json_object_get(info, "spec"), "cluster", about);
	json_decref(about);
	text = json_text(info);
	json_decref(info);
	variable = xasprintf("KUBERNETES_EXEC_INFO=%s", text);
	free(text);
	return variable;
}

static bool read_env(struct kube_plugin *plugin, const json_t *exec, const json_t *cluster,
		     struct err *err)
{
	const json_t *list = json_object_get(exec, "env");
	size_t n = json_array_size(list);

	if (n > ITEMS_MAX) {
		err_set(err, ERR_INVALID, "exec: more than %d variables", ITEMS_MAX);
		return false;
	}
	plugin->env = xcalloc(n + 2, sizeof(*plugin->env));
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(list, i);
		const char *name = jget_str(item, "name"), *value = jget_str(item, "value");

		if (str_empty(name) || strchr(name, '=') != NULL || value == NULL) {
			err_set(err, ERR_INVALID, "exec: env must be a list of name and value");
			return false;
		}
		plugin->env[i] = xasprintf("%s=%s", name, value);
	}
	plugin->env[n] = info_of(plugin, exec, cluster);
	return true;
}

static bool read_version(struct kube_plugin *plugin, const json_t *exec, struct err *err)
{
	const char *version = jget_str_or(exec, "apiVersion", "");
	const char *mode = jget_str_or(exec, "interactiveMode", "");

	plugin->version = xstrdup(version);
	if (!str_eq(version, API "v1") && !str_eq(version, API "v1beta1")) {
		err_set(err, ERR_INVALID,
			"exec: apiVersion must be " API "v1 or v1beta1, not \"%s\"", version);
		return false;
	}
	if (str_eq(mode, "") && str_eq(version, API "v1")) {
		err_set(err, ERR_INVALID, "exec: interactiveMode is missing (Never, IfAvailable)");
		return false;
	}
	if (str_eq(mode, "Always")) {
		err_set(err, ERR_INVALID,
			"exec: interactiveMode Always cannot work here: a service has nobody at a "
			"terminal");
		return false;
	}
	return true;
}

struct kube_plugin *kube_plugin_read(const json_t *exec, const json_t *cluster, const char *dir,
				     const json_t *allowed, struct err *err)
{
	struct kube_plugin *plugin = xcalloc(1, sizeof(*plugin));

	plugin->hint = hint_of(exec);
	plugin->timeout_ms = RUN_MS;
	if (read_version(plugin, exec, err) && read_command(plugin, exec, dir, allowed, err) &&
	    read_env(plugin, exec, cluster, err))
		return plugin;
	kube_plugin_free(plugin);
	return NULL;
}

/* --- the answer --- */

/* RFC 3339: 2026-11-25T10:15:30[.5](Z|+01:00); false: it is something else. */
static bool read_time(const char *text, int64_t *ret_ms)
{
	struct tm parts = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
	int hours = 0, minutes = 0, sign;

	if (rest == NULL)
		return false;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	sign = *rest == '-' ? -1 : 1;
	if (*rest == '+' || *rest == '-') {
		if (strspn(rest + 1, "0123456789:") != 5 || rest[3] != ':' || rest[6] != '\0')
			return false;
		hours = (rest[1] - '0') * 10 + rest[2] - '0';
		minutes = (rest[4] - '0') * 10 + rest[5] - '0';
	} else if (!str_eq(rest, "Z")) {
		return false;
	}
	*ret_ms = ((int64_t)timegm(&parts) - sign * (hours * 3600 + minutes * 60)) * 1000;
	return true;
}

static bool header_safe(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text <= 0x20 || *text >= 0x7f)
			return false;
	return true;
}

static bool take(const json_t *status, int64_t now_ms, struct kube_credential *ret,
		 const char **ret_why)
{
	const char *token = jget_str(status, "token");
	const char *cert = jget_str(status, "clientCertificateData");
	const char *key = jget_str(status, "clientKeyData");
	const char *expires = jget_str(status, "expirationTimestamp");

	*ret_why = NULL;
	if (str_empty(token) && str_empty(cert) && str_empty(key))
		*ret_why = "its answer holds neither a token nor a certificate";
	else if (str_empty(cert) != str_empty(key))
		*ret_why = "its answer holds a certificate without its key, or a key without its "
			   "certificate";
	else if (!str_empty(cert) && strstr(cert, "-----BEGIN") == NULL)
		*ret_why = "its certificate is no PEM text";
	else if (!str_empty(token) && !header_safe(token))
		*ret_why = "its token holds characters that no token has";
	else if (!str_empty(expires) && !read_time(expires, &ret->expires_ms))
		*ret_why = "its expirationTimestamp is no time";
	else if (ret->expires_ms != 0 && ret->expires_ms <= now_ms)
		*ret_why = "it gave a credential that has expired already; is the clock of this "
			   "machine right?";
	if (*ret_why != NULL)
		return false;
	ret->token = str_empty(token) ? NULL : xstrdup(token);
	ret->cert_pem = str_empty(cert) ? NULL : xstrdup(cert);
	ret->key_pem = str_empty(key) ? NULL : xstrdup(key);
	if (ret->token != NULL)
		log_mask(ret->token);
	return true;
}

bool kube_plugin_answer(const struct kube_plugin *plugin, const char *text, size_t len,
			int64_t now_ms, struct kube_credential *ret, struct err *err)
{
	struct err ignored;
	json_t *answer = json_parse(text, len, len + 1, &ignored);
	const char *version = jget_str_or(answer, "apiVersion", ""), *why = NULL;

	memset(ret, 0, sizeof(*ret));
	if (!str_eq(jget_str(answer, "kind"), "ExecCredential"))
		why = len == 0 ? "it printed nothing" : "what it printed is no ExecCredential";
	else if (!str_eq(version, plugin->version))
		why = "its answer has another apiVersion than the kubeconfig asks for";
	if (why == NULL && take(json_object_get(answer, "status"), now_ms, ret, &why)) {
		json_decref(answer);
		return true;
	}
	json_decref(answer);
	memset(ret, 0, sizeof(*ret));
	err_set(err, ERR_RETRY, "the credential plugin %s: %s", plugin->argv[0], why);
	return false;
}
