/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - the kinds, and the settings that all of them have. */
#include "directory/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "walk.h"

enum {
	DOMAINS_MAX = 64,
	SCOPE_MAX = 1000,
	TRIES_MAX = 7,
	MINUTES_MAX = 120,
	PER_MINUTE_MAX = 60000,
	KEYS_MAX = 32
};

static const struct source_kind *const kinds[] = {
	&source_file, &source_google, &source_graph, &source_ldap,
	&source_okta, &source_scim,   &source_slack,
};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const char *const common_keys[] = { "kind",  "domains", "url",        "ca_file",
					   "tries", "minutes", "per_minute", NULL };

/* ---- settings ---- */

const char *source_text(const struct source *source, const char *path)
{
	return jget_str(source->node, path);
}

bool source_need(const struct source *source, const char *path, struct err *err)
{
	if (!str_empty(source_text(source, path)))
		return true;
	err_set(err, ERR_INVALID, "%s is missing: it must be a text", path);
	return false;
}

char *source_path(const struct source *source, const char *path)
{
	const char *text = source_text(source, path);

	if (text == NULL)
		return NULL;
	return text[0] == '/' || str_empty(source->dir) ? xstrdup(text)
							: xasprintf("%s/%s", source->dir, text);
}

char *source_secret(const struct source *source, const char *path, struct err *err)
{
	json_t *node = json_deep_copy(jget(source->node, path));
	const char *file = jget_str(node, "file");
	char *full, *text;

	if (file != NULL && file[0] != '/' && !str_empty(source->dir)) {
		full = xasprintf("%s/%s", source->dir, file);
		json_object_set_new(node, "file", json_string(full));
		free(full);
	}
	text = secret_read(node, err);
	if (text == NULL)
		err_prefix(err, "%s.%s", source->label, path);
	json_decref(node);
	return text;
}

bool source_need_secret(const struct source *source, const char *path, struct err *err)
{
	const json_t *node = jget(source->node, path);

	if (json_object_size(node) == 1 &&
	    (!str_empty(jget_str(node, "env")) || !str_empty(jget_str(node, "file"))))
		return true;
	err_set(err, ERR_INVALID,
		"%s must be { env: NAME } or { file: PATH }, never the secret itself", path);
	return false;
}

bool source_same_peer(const char *url, const char *base)
{
	const char *scheme = strstr(base, "://");
	size_t len = scheme == NULL ? 0 : (size_t)(scheme - base) + 3;

	len += strcspn(base + len, "/?#");
	return strncasecmp(url, base, len) == 0 && url[len] == '/';
}

/* ---- opening ---- */

static const struct source_kind *find_kind(const char *name, struct err *err)
{
	const char *names[N_KINDS], *near;

	for (size_t i = 0; i < N_KINDS; i++) {
		if (str_eq(kinds[i]->name, name))
			return kinds[i];
		names[i] = kinds[i]->name;
	}
	near = str_nearest(name, names, N_KINDS);
	err_set(err, ERR_INVALID,
		"kind is file, google, graph, ldap, okta, scim or slack, not \"%.40s\"%s%s%s", name,
		near != NULL ? "; did you mean " : "", near != NULL ? near : "",
		near != NULL ? "?" : "");
	return NULL;
}

static bool check_keys(const struct source *source, struct err *err)
{
	const char *names[KEYS_MAX], *key, *near;
	size_t n = 0;
	json_t *value;

	for (size_t i = 0; common_keys[i] != NULL; i++)
		names[n++] = common_keys[i];
	for (size_t i = 0; source->kind->keys[i] != NULL; i++)
		names[n++] = source->kind->keys[i];
	json_object_foreach(source->node, key, value)
	{
		near = str_nearest(key, names, n);
		if (near != NULL && str_eq(near, key))
			continue;
		err_set(err, ERR_INVALID, "unknown setting \"%.40s\"%s%s%s", key,
			near != NULL ? "; did you mean " : "", near != NULL ? near : "",
			near != NULL ? "?" : "");
		return false;
	}
	return true;
}

static bool take_domains(struct source *source, struct err *err)
{
	const json_t *list = json_object_get(source->node, "domains");
	size_t i;
	json_t *item;

	source->domains = xcalloc(DOMAINS_MAX, sizeof(*source->domains));
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item) || source->n_domains == DOMAINS_MAX)
			break;
		source->domains[source->n_domains++] = json_string_value(item);
	}
	if (source->n_domains > 0 && source->n_domains == json_array_size(list))
		return true;
	err_set(err, ERR_INVALID,
		"domains lists the mail domains whose addresses identify people (at most %d)",
		DOMAINS_MAX);
	return false;
}

static bool is_names(const json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		if (str_empty(json_string_value(item)))
			return false;
	}
	return json_is_array(list) && json_array_size(list) <= SCOPE_MAX;
}

static bool check_scope(const struct source *source, struct err *err)
{
	const json_t *members = json_object_get(source->node, "members");
	const json_t *aside = json_object_get(source->node, "set_aside");

	if (members != NULL && !str_eq(json_string_value(members), "all") && !is_names(members)) {
		err_set(err, ERR_INVALID,
			"members is all, or a list of names or ids of groups whose members are "
			"read besides those of groups in use");
		return false;
	}
	if (aside == NULL || is_names(aside))
		return true;
	err_set(err, ERR_INVALID,
		"set_aside is a list of ids of groups whose members cannot be read");
	return false;
}

static bool take_number(const struct source *source, const char *key, unsigned max, unsigned *ret_n,
			struct err *err)
{
	const json_t *value = json_object_get(source->node, key);

	if (value == NULL)
		return true;
	if (json_is_integer(value) && json_integer_value(value) >= 1 &&
	    json_integer_value(value) <= (json_int_t)max) {
		*ret_n = (unsigned)json_integer_value(value);
		return true;
	}
	err_set(err, ERR_INVALID, "%s must be a whole number from 1 to %u", key, max);
	return false;
}

static bool take_url(struct source *source, struct err *err)
{
	const char *url = source_text(source, "url");
	size_t len;

	if (url == NULL)
		url = source->kind->url;
	if (url == NULL) {
		err_set(err, ERR_INVALID, "url is missing: it must be a text (https://…)");
		return false;
	}
	if (url[0] == '\0')
		return true;
	if (source->kind != &source_ldap && !http_url_ok(url, true, err))
		return false;
	for (len = strlen(url); url[len - 1] == '/'; len--)
		;
	source->url = xstrndup(url, len);
	return true;
}

static bool take(struct source *source, struct err *err)
{
	source->kind = find_kind(jget_str_or(source->node, "kind", "file"), err);
	if (source->kind == NULL)
		return false;
	source->per_minute = source->kind->per_minute;
	source->tries = TRIES_MAX;
	source->minutes = 20;
	source->ca_file = source_path(source, "ca_file");
	return check_keys(source, err) && take_domains(source, err) && check_scope(source, err) &&
	       take_number(source, "per_minute", PER_MINUTE_MAX, &source->per_minute, err) &&
	       take_number(source, "tries", TRIES_MAX, &source->tries, err) &&
	       take_number(source, "minutes", MINUTES_MAX, &source->minutes, err) &&
	       take_url(source, err) && source->kind->check(source, err);
}

struct source *source_open(const struct source_config *config, struct err *err)
{
	struct source *source = xcalloc(1, sizeof(*source));
	struct http_config http = { .max_active = SOURCE_ACTIVE };

	source->loop = config->loop;
	source->name = xstrdup(config->name);
	source->dir = xstrdup_null(config->dir);
	source->label = xasprintf("directory.sources.%s", config->name);
	source->node = json_deep_copy(config->node);
	if (!take(source, err)) {
		err_prefix(err, "%s", source->label);
		source_close(source);
		return NULL;
	}
	if (config->loop != NULL) {
		http.name = source->label;
		http.plain_loopback = str_starts(source->url, "http://");
		http.plain_metadata = source->kind->metadata;
		http.tls.ca_file = source->ca_file;
		source->http = http_create(config->loop, &http);
	}
	return source;
}

void source_close(struct source *source)
{
	if (source == NULL)
		return;
	http_destroy(source->http);
	json_decref(source->node);
	json_decref(source->scope);
	free(source->domains);
	free(source->name);
	free(source->dir);
	free(source->label);
	free(source->url);
	free(source->ca_file);
	free(source);
}

const char *source_kind(const struct source *source)
{
	return source->kind->name;
}

const char *const *source_domains(const struct source *source, size_t *ret_n)
{
	*ret_n = source->n_domains;
	return source->domains;
}

/* ---- whose members are read ---- */

void source_scope(struct source *source, const json_t *ids)
{
	size_t i;
	json_t *id;

	json_decref(source->scope);
	source->scope = json_object();
	json_array_foreach(ids, i, id)
	{
		if (json_is_string(id))
			json_object_set_new(source->scope, json_string_value(id), json_true());
	}
}

static bool names(const json_t *list, const char *id, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		if (str_eq(json_string_value(item), id) || str_eq(json_string_value(item), name))
			return true;
	}
	return false;
}

bool source_sets_aside(const struct source *source, const char *id)
{
	return id != NULL && names(json_object_get(source->node, "set_aside"), id, id);
}

bool source_reads(const struct source *source, const char *id, const char *name)
{
	const json_t *members = json_object_get(source->node, "members");

	if (id == NULL || source_sets_aside(source, id))
		return false;
	return source->probing || str_eq(json_string_value(members), "all") ||
	       names(members, id, name) || json_object_get(source->scope, id) != NULL;
}

struct call *source_fetch(struct source *source, const char *validator, source_done_fn done,
			  void *data)
{
	if (source->kind->walk != NULL)
		return walk_start(source, source->kind->walk, done, data);
	return source->kind->fetch(source, validator, done, data);
}

void notes_count(json_t *notes, size_t people, size_t groups)
{
	json_object_set_new(notes, "people", json_integer((json_int_t)people));
	json_object_set_new(notes, "groups", json_integer((json_int_t)groups));
}

struct call *source_probe(struct source *source, source_done_fn done, void *data)
{
	source->probing = true;
	source->tries = 1;
	return source_fetch(source, NULL, done, data);
}
