/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rbac.c - what the commands need, gathered as { where: { "group/resource": { names: [verbs] } } }
 * and printed as roles.
 *
 * where is "*" (the whole cluster), "{}" (a namespace that the person says) or "=name".  names is
 * "" (all) or object names with spaces between.  What a wider place or more names allow already is
 * left out, so that no rule is superfluous.
 */
#include "action/rbac.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/catalog.h"
#include "core/command.h"
#include "internal.h"

enum { EXPANDED_MAX = 200, TEXT_MAX = 1 << 20 };

struct use { /* of an action kind: a command's do, or a parameter's from */
	const struct command *command;
	const struct action_kind *kind;
	const json_t *with;
};

struct making {
	const struct rbac_wish *wish;
	json_t *places;
	struct err *err;
	bool failed;
};

/* --- templates --- */

static const char *text_of(const struct use *use, const char *param)
{
	return jget_str(use->with, param);
}

static json_t *expand(const struct use *use, const char *text);

/* text with each value of the enum in the place of its first template "{name}"; NULL: no enum. */
static json_t *expand_first(const struct use *use, const char *text, const char *at, size_t len,
			    const char *name)
{
	const struct param *param = command_param(use->command, name);
	json_t *all;

	if (param == NULL || param->type != PARAM_ENUM || param->optional)
		return NULL;
	all = json_array();
	for (size_t i = 0; i < param->n_values && all != NULL; i++) {
		char *filled = xasprintf("%.*s%s%s", (int)(at - text), text, param->values[i],
					 at + len + 2);
		json_t *more = expand(use, filled);

		free(filled);
		if (more == NULL || json_array_size(all) + json_array_size(more) > EXPANDED_MAX) {
			json_decref(all);
			all = NULL;
		} else {
			(void)json_array_extend(all, more);
		}
		json_decref(more);
	}
	return all;
}

/* All texts that it may become; NULL: that is not known.  A new reference. */
static json_t *expand(const struct use *use, const char *text)
{
	for (const char *at = text; *at != '\0'; at++) {
		const char *inner;
		size_t len = command_template(at, &inner);
		char *name;
		json_t *all;

		if (len == 0)
			continue;
		name = xstrndup(inner, len);
		all = expand_first(use, text, at, len, name);
		free(name);
		return all;
	}
	return json_pack("[s]", text);
}

/* --- gathering --- */

static json_t *member(json_t *object, const char *key)
{
	json_t *inner = json_object_get(object, key);

	if (inner == NULL) {
		inner = json_object();
		json_object_set_new(object, key, inner);
	}
	return inner;
}

static void add_verbs(struct making *making, const char *where, const char *resource,
		      const char *names, const char *verbs)
{
	json_t *set = member(member(member(making->places, where), resource), names);

	for (const char *at = verbs; *at != '\0'; at += strspn(at, " ")) {
		char *verb = xstrndup(at, strcspn(at, " "));

		json_object_set_new(set, verb, json_true());
		at += strlen(verb);
		free(verb);
	}
}

static char *resource_of(const struct kube_kind *kind, const char *subresource)
{
	return xasprintf("%s/%s%s%s", kube_kind_group(kind), kind->plural,
			 subresource != NULL ? "/" : "", subresource != NULL ? subresource : "");
}

/* The names that the need's object may have, with spaces between; "": any. */
static char *names_of(const struct use *use, const struct action_need *need)
{
	const char *text = need->object == NULL ? NULL : text_of(use, need->object);
	json_t *all = str_empty(text) ? NULL : expand(use, text), *item;
	struct buf buf;
	size_t i;

	buf_init(&buf, TEXT_MAX);
	json_array_foreach(all, i, item)
	{
		(void)buf_printf(&buf, "%s%s", i > 0 ? " " : "", json_string_value(item));
	}
	json_decref(all);
	return buf_take(&buf);
}

static const char *space_of(const struct making *making, const struct use *use,
			    const struct action_need *need)
{
	if (need->at == ACTION_AT_ARGO_CD)
		return making->wish->argo_cd;
	return need->at == ACTION_AT_FLUX ? making->wish->flux : text_of(use, "namespace");
}

static void add_kind(struct making *making, const struct use *use, const struct action_need *need,
		     const struct kube_kind *kind)
{
	const char *space = space_of(making, use, need);
	json_t *spaces = str_empty(space) ? NULL : expand(use, space), *item;
	char *resource = resource_of(kind, need->subresource), *names = names_of(use, need);
	size_t i;

	if (!kind->namespaced || str_empty(space))
		add_verbs(making, "*", resource, names, need->verbs);
	else if (spaces == NULL)
		add_verbs(making, "{}", resource, names, need->verbs);
	json_array_foreach(kind->namespaced ? spaces : NULL, i, item)
	{
		char *where = xasprintf("=%s", json_string_value(item));

		add_verbs(making, where, resource, names, need->verbs);
		free(where);
	}
	json_decref(spaces);
	free(resource);
	free(names);
}

static void add_named(struct making *making, const struct use *use, const struct action_need *need,
		      const char *name)
{
	const struct kube_kind *kind = kube_kind_find(name);

	if (kind != NULL) {
		add_kind(making, use, need, kind);
		return;
	}
	err_set(making->err, ERR_INVALID, "%s: opsd does not know the kind %s", use->command->title,
		name);
	making->failed = true;
}

/* The words of need->kinds that are kinds; the first only, or all. */
static void add_listed(struct making *making, const struct use *use, const struct action_need *need,
		       bool all)
{
	size_t n = 0;

	for (const char *at = need->kinds; *at != '\0'; at += strspn(at, " ")) {
		char *word = xstrndup(at, strcspn(at, " "));

		at += strlen(word);
		if (!str_eq(word, "*") && (all || n == 0)) {
			add_named(making, use, need, word);
			n++;
		}
		free(word);
	}
	if (n > 0)
		return;
	err_set(making->err, ERR_INVALID,
		"%s: the kind of the object is said by the person only; give it as an enum",
		use->command->title);
	making->failed = true;
}

static void add_need(struct making *making, const struct use *use, const struct action_need *need)
{
	const char *text = text_of(use, "kind");
	bool several = strchr(need->kinds, ' ') != NULL || str_eq(need->kinds, "*");
	json_t *kinds, *item;
	size_t i;

	if (need->spare && making->wish->bare)
		return;
	if (need->when != NULL && (json_object_get(use->with, need->when) == NULL ||
				   json_is_null(json_object_get(use->with, need->when))))
		return;
	if (!several || str_empty(text)) {
		add_listed(making, use, need, false);
		return;
	}
	kinds = expand(use, text);
	if (kinds == NULL)
		add_listed(making, use, need, true);
	json_array_foreach(kinds, i, item)
	{
		add_named(making, use, need, json_string_value(item));
	}
	json_decref(kinds);
}

static void add_use(struct making *making, const struct use *use)
{
	const char *cluster = text_of(use, "cluster");
	const struct action_need *need = use->kind->needs;

	if (need == NULL || cluster == NULL ||
	    (!has_template(cluster) && !str_eq(cluster, making->wish->cluster)))
		return;
	for (; need->verbs != NULL && !making->failed; need++)
		add_need(making, use, need);
}

static const struct action_kind *kind_of(const char *name)
{
	for (size_t i = 0; action_kinds[i] != NULL; i++)
		if (str_eq(action_kinds[i]->name, name))
			return action_kinds[i];
	return NULL;
}

static void add_command(struct making *making, const struct command *command)
{
	struct use use = { .command = command, .kind = command->kind, .with = command->with };

	add_use(making, &use);
	for (size_t i = 0; i < command->n_params; i++) {
		const char *name;
		json_t *with;

		json_object_foreach((json_t *)(uintptr_t)command->params[i].from, name, with)
		{
			use.kind = kind_of(name);
			use.with = with;
			if (use.kind != NULL)
				add_use(making, &use);
		}
	}
}

/* --- leaving out what is allowed already --- */

static void drop_verbs(json_t *set, const json_t *wider)
{
	const char *verb;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)wider, verb, value)
	{
		(void)json_object_del(set, verb);
	}
}

static bool among(const char *name, size_t len, const char *names)
{
	for (const char *at = names; *at != '\0'; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");

		if (n == len && memcmp(at, name, n) == 0)
			return true;
		at += n;
	}
	return false;
}

static bool covers(const char *wider, const char *names)
{
	if (*wider == '\0')
		return true;
	for (const char *at = names; *at != '\0'; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");

		if (!among(at, n, wider))
			return false;
		at += n;
	}
	return *names != '\0';
}

/* own: { names: verbs } of a place; other: of the same or of a wider one. */
static void prune(json_t *own, const json_t *other)
{
	const char *names, *wider;
	json_t *set, *more;

	json_object_foreach(own, names, set)
	{
		json_object_foreach((json_t *)(uintptr_t)other, wider, more)
		{
			if (set != more && covers(wider, names))
				drop_verbs(set, more);
		}
	}
}

static void prune_all(json_t *places)
{
	const json_t *whole = json_object_get(places, "*");
	const char *where, *resource;
	json_t *resources, *sets;

	json_object_foreach(places, where, resources)
	{
		json_object_foreach(resources, resource, sets)
		{
			prune(sets, sets);
			if (resources != whole)
				prune(sets, json_object_get(whole, resource));
		}
	}
}

/* --- printing --- */

static void put_words(struct buf *buf, const char *words)
{
	bool first = true;

	for (const char *at = words; *at != '\0'; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");

		(void)buf_printf(buf, "%s\"%.*s\"", first ? "" : ", ", (int)n, at);
		first = false;
		at += n;
	}
}

static void put_rules(struct buf *buf, const json_t *resources)
{
	const char *resource, *names, *verb;
	json_t *sets, *set, *value;

	json_object_foreach((json_t *)(uintptr_t)resources, resource, sets)
	{
		const char *slash = strchr(resource, '/');

		json_object_foreach(sets, names, set)
		{
			bool first = true;

			if (json_object_size(set) == 0)
				continue;
			(void)buf_printf(buf, "  - { apiGroups: [\"%.*s\"], resources: [\"%s\"], ",
					 (int)(slash - resource), resource, slash + 1);
			if (*names != '\0') {
				(void)buf_puts(buf, "resourceNames: [");
				put_words(buf, names);
				(void)buf_puts(buf, "], ");
			}
			(void)buf_puts(buf, "verbs: [");
			json_object_foreach(set, verb, value)
			{
				(void)buf_printf(buf, "%s%s", first ? "" : ", ", verb);
				first = false;
			}
			(void)buf_puts(buf, "] }\n");
		}
	}
}

static bool is_empty(const json_t *resources)
{
	struct buf buf;
	bool empty;

	buf_init(&buf, TEXT_MAX);
	put_rules(&buf, resources);
	empty = buf.len == 0;
	buf_finish(&buf);
	return empty;
}

/* space NULL: of the whole cluster. */
static void put_head(struct buf *buf, const char *kind, const char *name, const char *space)
{
	(void)buf_printf(buf,
			 "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata: { "
			 "name: %s%s%s }\n",
			 kind, name, space != NULL ? ", namespace: " : "",
			 space != NULL ? space : "");
}

static void put_binding(struct buf *buf, const struct rbac_wish *wish, const char *role_kind,
			const char *role, const char *space)
{
	put_head(buf, space != NULL ? "RoleBinding" : "ClusterRoleBinding", role, space);
	(void)buf_printf(buf,
			 "roleRef: { apiGroup: rbac.authorization.k8s.io, kind: %s, name: %s }\n"
			 "subjects: [{ kind: ServiceAccount, name: %s, namespace: %s }]\n",
			 role_kind, role, wish->account, wish->account_space);
}

static void put_whole(struct buf *buf, const struct making *making)
{
	const json_t *resources = json_object_get(making->places, "*");

	if (is_empty(resources) && !making->wish->impersonate)
		return;
	put_head(buf, "ClusterRole", "opsd-cluster", NULL);
	(void)buf_puts(buf, "rules:\n");
	put_rules(buf, resources);
	if (making->wish->impersonate)
		(void)buf_puts(buf, "  - { apiGroups: [\"\"], resources: [\"users\", \"groups\"], "
				    "verbs: [impersonate] }\n"
				    "  - { apiGroups: [\"authentication.k8s.io\"], resources: "
				    "[\"userextras/slack-user\"], verbs: [impersonate] }\n");
	put_binding(buf, making->wish, "ClusterRole", "opsd-cluster", NULL);
}

static void put_tenants(struct buf *buf, const struct making *making)
{
	const json_t *resources = json_object_get(making->places, "{}");
	const struct rbac_wish *wish = making->wish;

	if (is_empty(resources))
		return;
	put_head(buf, "ClusterRole", "opsd-tenant", NULL);
	(void)buf_puts(buf, "rules:\n");
	put_rules(buf, resources);
	if (wish->n_spaces == 0)
		(void)buf_puts(buf,
			       "# Bind it in each namespace that a person may name: opsd catalog "
			       "rbac --namespace NAME …\n");
	for (size_t i = 0; i < wish->n_spaces; i++)
		put_binding(buf, wish, "ClusterRole", "opsd-tenant", wish->spaces[i]);
}

static char *print(const struct making *making)
{
	const char *where;
	json_t *resources;
	struct buf buf;

	buf_init(&buf, TEXT_MAX);
	(void)buf_printf(&buf,
			 "# SPDX-License-Identifier: Apache-2.0\n"
			 "# What the commands need of cluster %s%s. Made by opsd catalog rbac.\n",
			 making->wish->cluster,
			 making->wish->bare ? ", without what only makes opsd say more" : "");
	put_whole(&buf, making);
	put_tenants(&buf, making);
	json_object_foreach(making->places, where, resources)
	{
		if (*where != '=' || is_empty(resources))
			continue;
		put_head(&buf, "Role", "opsd", where + 1);
		(void)buf_puts(&buf, "rules:\n");
		put_rules(&buf, resources);
		put_binding(&buf, making->wish, "Role", "opsd", where + 1);
	}
	return buf_take(&buf);
}

char *action_rbac(const struct catalog *catalog, const struct rbac_wish *wish, struct err *err)
{
	struct making making = { .wish = wish, .places = json_object(), .err = err };
	char *text = NULL;

	for (size_t i = 0; i < catalog_commands(catalog) && !making.failed; i++)
		add_command(&making, catalog_command(catalog, i));
	if (!making.failed) {
		prune_all(making.places);
		text = print(&making);
	}
	json_decref(making.places);
	return text;
}
