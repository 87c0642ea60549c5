/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - the settings table and the file that fills it.  What the table does not name is a
 * mistake. */
#include "app/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/conftree.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"

enum setting_type { SET_TEXT, SET_INT, SET_BOOL, SET_SECRET, SET_FILE, SET_FREE };

struct setting {
	const char *name;
	enum setting_type type;
	const char *fallback; /* JSON text; NULL: null */
	bool required, reloadable;
	int64_t min, max; /* SET_INT */
	const char *help;
};

static const struct setting settings[] = {
	{ "apis", SET_FREE, "{}", false, true, 0, 0, "HTTP APIs that commands may call" },
	{ "audit.checkpoint_minutes", SET_INT, "60", false, false, 0, 1440,
	  "the newest seal of the audit log goes to the audit channel so often; 0: never" },
	{ "audit.signing_key", SET_SECRET, NULL, false, false, 0, 0,
	  "private Ed25519 key (PEM) that signs the seals of the audit log; null: they are not" },
	{ "catalog", SET_FILE, "\"commands/\"", false, true, 0, 0,
	  "folder of the command declarations" },
	{ "clusters", SET_FREE, "{}", false, true, 0, 0, "Kubernetes clusters" },
	{ "database.connections", SET_INT, "2", false, false, 1, 8,
	  "connections for work, besides the one for intake" },
	{ "database.grants_url", SET_SECRET, NULL, false, false, 0, 0,
	  "role of opsd grants apply; default: url" },
	{ "database.owner_url", SET_SECRET, NULL, false, false, 0, 0,
	  "role of opsd migrate; default: url" },
	{ "database.sync_url", SET_SECRET, NULL, false, false, 0, 0,
	  "role of opsd sync; default: url" },
	{ "database.url", SET_SECRET, NULL, true, false, 0, 0, "role of the service" },
	{ "deployment", SET_TEXT, "\"\"", false, false, 0, 0,
	  "mark of this deployment in audit entries" },
	{ "directory", SET_FREE, "{}", false, true, 0, 0,
	  "sources, domains and brakes of the sync" },
	{ "follow.stays_seconds", SET_INT, "300", false, false, 0, 86400,
	  "how long a change is watched after it is complete" },
	{ "grants", SET_FILE, NULL, false, true, 0, 0, "the reviewed grants file" },
	{ "http.listen", SET_TEXT, "\"127.0.0.1:9464\"", false, false, 0, 0,
	  "/metrics /healthz /readyz; null: none" },
	{ "identity.ca_file", SET_FILE, NULL, false, false, 0, 0,
	  "PEM bundle for TLS to the provider; null: the system's" },
	{ "identity.client_id", SET_TEXT, NULL, false, false, 0, 0, "ours at the provider" },
	{ "identity.client_secret", SET_SECRET, NULL, false, false, 0, 0,
	  "where the provider gives one" },
	{ "identity.hosted_domain", SET_TEXT, NULL, false, false, 0, 0,
	  "Google: the company's domain, claim hd" },
	{ "identity.hosts", SET_FREE, "{}", false, false, 0, 0,
	  "more hosts of the provider's endpoints: { names: [oauth2.googleapis.com] }" },
	{ "identity.issuer", SET_TEXT, NULL, false, false, 0, 0,
	  "OpenID provider of company sign-ins; null: none" },
	{ "identity.link_from_risk", SET_INT, "2", false, false, 0, 4,
	  "with a provider: from here on a link by address alone is not enough" },
	{ "identity.sign_in_from_risk", SET_INT, "3", false, false, 0, 4,
	  "with a provider: from here on each request needs a sign-in; 4: none" },
	{ "identity.source", SET_TEXT, NULL, false, false, 0, 0,
	  "source of the directory whose ids the provider's subjects are" },
	{ "identity.subject", SET_TEXT, "\"sub\"", false, false, 0, 0,
	  "claim that is the directory's id: sub, or oid of Entra" },
	{ "identity.tenant", SET_TEXT, NULL, false, false, 0, 0, "Entra: our tenant, claim tid" },
	{ "log.level", SET_TEXT, "\"info\"", false, true, 0, 0, "debug, info, warn or error" },
	{ "read_only", SET_BOOL, "false", false, false, 0, 0,
	  "freeze every change for as long as such a replica lives" },
	{ "slack.api_url", SET_TEXT, "\"https://slack.com/api/\"", false, false, 0, 0,
	  "http:// only to a loopback address" },
	{ "slack.app_token", SET_SECRET, NULL, true, false, 0, 0,
	  "xapp-…, scope connections:write" },
	{ "slack.approval_channel", SET_TEXT, NULL, false, false, 0, 0,
	  "channel of approval cards" },
	{ "slack.approval_minutes", SET_INT, "240", false, false, 5, 4320,
	  "how long approvers have, unless a rule says less" },
	{ "slack.audit_channel", SET_TEXT, NULL, true, false, 0, 0, "channel of every outcome" },
	{ "slack.bot_token", SET_SECRET, NULL, true, false, 0, 0, "xoxb-…" },
	{ "slack.ca_file", SET_FILE, NULL, false, false, 0, 0,
	  "PEM bundle for TLS to Slack; null: the system's" },
	{ "slack.commands", SET_FREE, "{}", false, true, 0, 0,
	  "slash commands bound to one prefix: { /workers: workers }" },
	{ "slack.connections", SET_INT, "2", false, false, 1, 4, "steady websockets" },
	{ "slack.enterprise", SET_TEXT, NULL, false, false, 0, 0,
	  "our enterprise id on Enterprise Grid" },
	{ "slack.hooks_prefix", SET_TEXT, "\"https://hooks.slack.com/\"", false, false, 0, 0,
	  "what a response_url must start with" },
	{ "slack.proxy", SET_TEXT, NULL, false, false, 0, 0, "ip:port of an HTTP proxy" },
};

enum { N_SETTINGS = sizeof(settings) / sizeof(settings[0]) };

struct config {
	struct conftree *tree;
	json_t *values[N_SETTINGS]; /* with defaults; NULL: null */
	bool set[N_SETTINGS];
	char *path, *dir;
};

static size_t index_of(const char *name)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strcmp(settings[i].name, name) == 0)
			return i;
	assert(!"a setting that is in the table");
	abort();
}

static const char *type_text(enum setting_type type)
{
	switch (type) {
	case SET_TEXT:
	case SET_FILE:
		return "a text";
	case SET_INT:
		return "a whole number";
	case SET_BOOL:
		return "true or false";
	case SET_SECRET:
		return "{ env: NAME } or { file: PATH }, never the secret itself";
	case SET_FREE:
		break;
	}
	return "a mapping";
}

static bool is_secret_ref(const json_t *value)
{
	return json_is_object(value) && json_object_size(value) == 1 &&
	       (json_is_string(json_object_get(value, "env")) ||
		json_is_string(json_object_get(value, "file")));
}

static bool fits(const struct setting *setting, const json_t *value)
{
	switch (setting->type) {
	case SET_TEXT:
	case SET_FILE:
		return json_is_string(value) && json_string_length(value) > 0;
	case SET_INT:
		return json_is_integer(value) && json_integer_value(value) >= setting->min &&
		       json_integer_value(value) <= setting->max;
	case SET_BOOL:
		return json_is_boolean(value);
	case SET_SECRET:
		return is_secret_ref(value);
	case SET_FREE:
		return json_is_object(value);
	}
	return false;
}

/* "slack.app_token" to "/slack/app_token" */
static char *pointer_of(const char *name)
{
	char *pointer = xasprintf("/%s", name);

	for (char *p = pointer + 1; *p != '\0'; p++)
		if (*p == '.')
			*p = '/';
	return pointer;
}

static void take_setting(struct config *config, size_t i, struct diags *diags)
{
	const struct setting *setting = &settings[i];
	json_t *value = jget(conftree_root(config->tree), setting->name);
	char *pointer = pointer_of(setting->name);

	if (value != NULL && !json_is_null(value)) {
		config->set[i] = true;
		config->values[i] = json_incref(value);
		if (!fits(setting, value) && setting->type == SET_INT)
			conftree_diag(config->tree, diags, pointer,
				      "%s must be a whole number from %" PRId64 " to %" PRId64,
				      setting->name, setting->min, setting->max);
		else if (!fits(setting, value))
			conftree_diag(config->tree, diags, pointer, "%s must be %s", setting->name,
				      type_text(setting->type));
	} else if (setting->required) {
		conftree_diag(config->tree, diags, pointer, "%s is missing: it must be %s (%s)",
			      setting->name, type_text(setting->type), setting->help);
	} else if (setting->fallback != NULL && value == NULL) {
		config->values[i] = json_loads(setting->fallback, JSON_DECODE_ANY, NULL);
		assert(config->values[i] != NULL);
	}
	free(pointer);
}

static bool names_setting(const char *name, size_t len)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strncmp(settings[i].name, name, len) == 0 &&
		    (settings[i].name[len] == '\0' || settings[i].name[len] == '.'))
			return true;
	return false;
}

static bool is_free(const char *name)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strcmp(settings[i].name, name) == 0)
			return settings[i].type == SET_FREE || settings[i].type == SET_SECRET;
	return false;
}

/* "slack.api_url" cut to as many parts as name has: "slack" for "slakc".  The caller frees. */
static char *cut_to(const char *setting, const char *name)
{
	const char *end = setting;

	for (;;) {
		end = strchrnul(end, '.');
		name = strchr(name, '.');
		if (*end == '\0' || name == NULL)
			return xstrndup(setting, (size_t)(end - setting));
		end++;
		name++;
	}
}

static void unknown_setting(struct config *config, const char *pointer, const char *name,
			    struct diags *diags)
{
	char *names[N_SETTINGS];
	const char *near;
	int line = 0, column = 0;

	for (size_t i = 0; i < N_SETTINGS; i++)
		names[i] = cut_to(settings[i].name, name);
	near = str_nearest(name, (const char *const *)names, N_SETTINGS);
	(void)conftree_key_place(config->tree, pointer, &line, &column);
	diag_add(diags, config->path, line, column, "unknown setting \"%s\"%s%s%s", name,
		 near != NULL ? ", did you mean \"" : "", near != NULL ? near : "",
		 near != NULL ? "\"?" : "");
	for (size_t i = 0; i < N_SETTINGS; i++)
		free(names[i]);
}

/* Every key of the file must lead to a setting. */
static void check_keys(struct config *config, const json_t *node, const char *above,
		       struct diags *diags)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)node, key, value)
	{
		char *name = above[0] == '\0' ? xstrdup(key) : xasprintf("%s.%s", above, key);
		char *pointer = pointer_of(name);

		if (!names_setting(name, strlen(name)))
			unknown_setting(config, pointer, name, diags);
		else if (json_is_object(value) && !is_free(name))
			check_keys(config, value, name, diags);
		free(name);
		free(pointer);
	}
}

static void check_meaning(struct config *config, struct diags *diags)
{
	const char *url = config_str(config, "slack.api_url");
	const char *level = config_str(config, "log.level");

	if (url != NULL && !str_ends(url, "/"))
		conftree_diag(config->tree, diags, "/slack/api_url",
			      "slack.api_url must end in \"/\"");
	if (level != NULL && !str_eq(level, "debug") && !str_eq(level, "info") &&
	    !str_eq(level, "warn") && !str_eq(level, "error"))
		conftree_diag(config->tree, diags, "/log/level",
			      "log.level must be debug, info, warn or error");
}

static const char *find_path(const char *path)
{
	if (path != NULL)
		return path;
	return access("opsd.yaml", F_OK) == 0 ? "opsd.yaml" : "/etc/opsd/opsd.yaml";
}

struct config *config_load(const char *path, struct diags *diags)
{
	struct config *config = xcalloc(1, sizeof(*config));
	size_t before = diags->total;
	const char *slash;

	config->path = xstrdup(find_path(path));
	slash = strrchr(config->path, '/');
	config->dir = slash == NULL ? xstrdup(".")
				    : xstrndup(config->path, (size_t)(slash - config->path));
	config->tree = conftree_load(config->path, diags);
	if (config->tree != NULL && !json_is_object(conftree_root(config->tree)))
		diag_add(diags, config->path, 1, 1,
			 "the configuration must be a mapping of settings");
	else if (config->tree != NULL) {
		for (size_t i = 0; i < N_SETTINGS; i++)
			take_setting(config, i, diags);
		check_keys(config, conftree_root(config->tree), "", diags);
		if (diags->total == before)
			check_meaning(config, diags);
	}
	if (diags->total == before)
		return config;
	config_destroy(config);
	return NULL;
}

void config_destroy(struct config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < N_SETTINGS; i++)
		json_decref(config->values[i]);
	conftree_destroy(config->tree);
	free(config->path);
	free(config->dir);
	free(config);
}

const char *config_path(const struct config *config)
{
	return config->path;
}

const char *config_dir(const struct config *config)
{
	return config->dir;
}

const char *config_str(const struct config *config, const char *name)
{
	return json_string_value(config->values[index_of(name)]);
}

int64_t config_int(const struct config *config, const char *name)
{
	return json_integer_value(config->values[index_of(name)]);
}

bool config_bool(const struct config *config, const char *name)
{
	return json_is_true(config->values[index_of(name)]);
}

const json_t *config_node(const struct config *config, const char *name)
{
	return config->values[index_of(name)];
}

bool config_has(const struct config *config, const char *name)
{
	return config->values[index_of(name)] != NULL;
}

/* A secret's file is looked for beside the configuration. */
static json_t *secret_node(const struct config *config, const json_t *value)
{
	const char *file = jget_str(value, "file");
	json_t *node;
	char *path;

	if (file == NULL || file[0] == '/')
		return json_copy((json_t *)(uintptr_t)value);
	path = xasprintf("%s/%s", config->dir, file);
	node = json_pack("{s:s}", "file", path);
	free(path);
	return node;
}

char *config_secret(const struct config *config, const char *name, struct err *err)
{
	const json_t *value = config->values[index_of(name)];
	json_t *node;
	char *secret;

	if (value == NULL) {
		err_set(err, ERR_INVALID, "%s is not set in %s.", name, config->path);
		return NULL;
	}
	node = secret_node(config, value);
	secret = secret_read(node, err);
	if (secret == NULL)
		err_prefix(err, "%s", name);
	json_decref(node);
	return secret;
}

char *config_file(const struct config *config, const char *name)
{
	const char *path = config_str(config, name);

	if (path == NULL)
		return NULL;
	return path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", config->dir, path);
}

static void print_value(struct buf *buf, const struct setting *setting, const json_t *value)
{
	char *text;

	if (value == NULL) {
		buf_puts(buf, "null");
	} else if (setting->type == SET_SECRET && jget_str(value, "env") != NULL) {
		buf_printf(buf, "*** (environment variable %s)", jget_str(value, "env"));
	} else if (setting->type == SET_SECRET) {
		buf_printf(buf, "*** (file %s)", jget_str_or(value, "file", "?"));
	} else {
		text = json_is_string(value) ? xasprintf("\"%s\"", json_string_value(value)) : NULL;
		if (text == NULL)
			text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		buf_puts(buf, text);
		free(text);
	}
}

void config_print(const struct config *config, struct buf *buf)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		buf_printf(buf, "%s: ", settings[i].name);
		print_value(buf, &settings[i], config->values[i]);
		buf_printf(buf, "    # %s%s; %s\n", config->set[i] ? "from the file" : "default",
			   settings[i].reloadable ? ", reloadable" : "", settings[i].help);
	}
}
