/* SPDX-License-Identifier: Apache-2.0 */
/* grants.c - the file of grants to single rows; every mistake at its place. */
#include "core/grants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conftree.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/email.h"

enum {
	POINTER_MAX = 200,
	FILE_MAX = 1 << 20,
	NAMES_MAX = 1024,
	WILD_RISK_MAX = 1,
	REASON_MAX = 300,
	OWNER_MAX = 200,
	APPROVALS_MAX = 5
};

struct reading {
	const struct conftree *tree;
	struct diags *diags;
	json_t *actions;
	json_t *groups; /* of the file; NULL: none */
	json_t *rows;   /* by key */
	char pointer[POINTER_MAX];
};

struct grant { /* one entry, before it becomes rows */
	const char *key, *effect, *reason;
	json_t *subject; /* { "group", "group_id" } or { "person" } */
	json_t *where;
	const char *from, *until;
	size_t n_rows; /* it will become */
};

static void complain(struct reading *reading, const char *member, const char *what,
		     const char *text)
{
	char *pointer = xasprintf("%s%s%s", reading->pointer, member[0] != '\0' ? "/" : "", member);

	conftree_diag(reading->tree, reading->diags, pointer, "%s \"%.80s\"", what,
		      text != NULL ? text : "");
	free(pointer);
}

static void complain_near(struct reading *reading, const char *member, const char *what,
			  const char *text, const char *const *names, size_t n)
{
	const char *near = text != NULL ? str_nearest(text, names, n) : NULL;
	char *whole =
		xasprintf("%s%s%s", text != NULL ? text : "",
			  near != NULL ? "\", did you mean \"" : "", near != NULL ? near : "");

	complain(reading, member, what, whole);
	free(whole);
}

static bool known_members(struct reading *reading, json_t *node, const char *const *names)
{
	size_t n = 0, before = reading->diags->total;
	const char *key;
	json_t *value;

	while (names[n] != NULL)
		n++;
	json_object_foreach(node, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < n; i++)
			known |= str_eq(names[i], key);
		if (!known)
			complain_near(reading, "", "unknown member", key, names, n);
	}
	return reading->diags->total == before;
}

static json_t *find_action(const struct reading *reading, const char *name)
{
	size_t i;
	json_t *action;

	json_array_foreach(reading->actions, i, action)
	{
		if (str_eq(jget_str(action, "name"), name))
			return action;
	}
	return NULL;
}

static const char *scope_type(const json_t *action, const char *param)
{
	size_t i;
	json_t *scope;

	json_array_foreach(json_object_get(action, "scope"), i, scope)
	{
		if (str_eq(jget_str(scope, "name"), param))
			return jget_str_or(scope, "type", "enum");
	}
	return NULL;
}

/* ---- where ---- */

/* "a..b", "a..", "..b" or one integer. */
static json_t *read_range(const json_t *value)
{
	const char *text = json_string_value(value);
	const char *dots = text != NULL ? strstr(text, "..") : NULL;
	json_t *range;
	char *low;
	int64_t min = 0, max = 0;
	bool good;

	if (json_is_integer(value))
		return json_pack("{s:o,s:o}", "min", json_integer(json_integer_value(value)), "max",
				 json_integer(json_integer_value(value)));
	if (dots == NULL || strlen(text) == 2)
		return NULL;
	low = xstrndup(text, (size_t)(dots - text));
	good = (low[0] == '\0' || str_to_i64(low, &min)) &&
	       (dots[2] == '\0' || str_to_i64(dots + 2, &max)) &&
	       (low[0] == '\0' || dots[2] == '\0' || min <= max);
	range = good ? json_object() : NULL;
	if (good && low[0] != '\0')
		json_object_set_new(range, "min", json_integer(min));
	if (good && dots[2] != '\0')
		json_object_set_new(range, "max", json_integer(max));
	free(low);
	return range;
}

static int by_string(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One text or a list of them, sorted, each once. */
static json_t *read_values(const json_t *value)
{
	const char *names[NAMES_MAX];
	json_t *values = json_array();
	size_t n = 0, i;
	json_t *item;

	if (json_is_string(value))
		names[n++] = json_string_value(value);
	json_array_foreach((json_t *)(uintptr_t)value, i, item)
	{
		if (!json_is_string(item) || n == NAMES_MAX) {
			json_decref(values);
			return NULL;
		}
		names[n++] = json_string_value(item);
	}
	qsort(names, n, sizeof(*names), by_string);
	for (i = 0; i < n; i++) {
		if (i == 0 || !str_eq(names[i - 1], names[i]))
			json_array_append_new(values, json_string(names[i]));
	}
	if (n > 0)
		return values;
	json_decref(values);
	return NULL;
}

static json_t *read_constraint(struct reading *reading, const char *param, const char *type,
			       const json_t *value)
{
	char member[96];
	json_t *read;

	(void)snprintf(member, sizeof(member), "where/%.80s", param);
	if (str_eq(json_string_value(value), "any"))
		return json_pack("{s:b}", "any", 1);
	if (str_eq(type, "int")) {
		read = read_range(value);
		if (read == NULL)
			complain(reading, member, "a number, a range such as 0..50, or any:",
				 json_string_value(value));
		return read;
	}
	read = read_values(value);
	if (read == NULL) {
		complain(reading, member, "a text, a list of texts, or any:", param);
		return NULL;
	}
	return json_pack("{s:o}", "values", read);
}

/* The scope of one row: every parameter of the action must be named, and no other. */
static json_t *read_scope(struct reading *reading, const struct grant *grant, const json_t *action)
{
	const char *name = jget_str_or(action, "name", "");
	json_t *scope = json_object();
	bool forbid = str_eq(grant->effect, "forbid");
	const char *param;
	json_t *value;
	size_t i;

	json_object_foreach(grant->where, param, value)
	{
		const char *type = scope_type(action, param);
		json_t *constraint =
			type != NULL ? read_constraint(reading, param, type, value) : NULL;

		if (type == NULL)
			conftree_diag(reading->tree, reading->diags, reading->pointer,
				      "%s has no scope \"%.40s\": name its actions one by one",
				      name, param);
		if (constraint != NULL)
			json_object_set_new(scope, param, constraint);
	}
	json_array_foreach(json_object_get(action, "scope"), i, value)
	{
		param = jget_str_or(value, "name", "");
		if (!forbid && json_object_get(grant->where, param) == NULL)
			conftree_diag(reading->tree, reading->diags, reading->pointer,
				      "%s needs where: { %s: … }; write any for no limit", name,
				      param);
	}
	return scope;
}

/* ---- rows ---- */

static void add_row(struct reading *reading, const struct grant *grant, const char *can,
		    const json_t *action)
{
	const char *name = jget_str_or(action, "name", "");
	char *key = grant->n_rows == 1 ? xstrdup(grant->key)
				       : xasprintf("%s:%s:%s", grant->key, name, can);
	json_t *row = json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "key", key, "effect", grant->effect,
				"can", can, "action", name, "reason", grant->reason, "scope",
				read_scope(reading, grant, action));

	json_object_update(row, grant->subject);
	if (grant->from != NULL)
		json_object_set_new(row, "from", json_string(grant->from));
	if (grant->until != NULL)
		json_object_set_new(row, "until", json_string(grant->until));
	if (json_object_get(reading->rows, key) != NULL)
		complain(reading, "", "two grants have the key", key);
	else if (json_object_size(reading->rows) >= GRANTS_ROWS_MAX)
		complain(reading, "", "too many grants, from", key);
	else
		json_object_set(reading->rows, key, row);
	json_decref(row);
	free(key);
}

/* "workers.*" over what the catalog has now, one level, low risk only. */
static void expand(struct reading *reading, const char *pattern, json_t *ret_actions)
{
	size_t stem = strlen(pattern) - 1, before = json_array_size(ret_actions), i;
	json_t *action;

	json_array_foreach(reading->actions, i, action)
	{
		const char *name = jget_str_or(action, "name", "");

		if (strncmp(name, pattern, stem) == 0 && strchr(name + stem, '.') == NULL &&
		    jget_int(action, "risk", 3) <= WILD_RISK_MAX)
			json_array_append(ret_actions, action);
	}
	if (json_array_size(ret_actions) == before)
		complain(reading, "action", "no action of risk 0 or 1 is meant by", pattern);
}

static void read_action(struct reading *reading, const char *name, json_t *ret_actions)
{
	const json_t *action = name != NULL ? find_action(reading, name) : NULL;
	const char *names[NAMES_MAX];
	size_t n = 0, i;
	json_t *item;

	if (action != NULL) {
		json_array_append(ret_actions, (json_t *)(uintptr_t)action);
		return;
	}
	if (name != NULL && strlen(name) > 2 && str_ends(name, ".*") &&
	    strchr(name, '*') == name + strlen(name) - 1) {
		expand(reading, name, ret_actions);
		return;
	}
	json_array_foreach(reading->actions, i, item)
	{
		if (n < NAMES_MAX)
			names[n++] = jget_str_or(item, "name", "");
	}
	complain_near(reading, "action", "no command has the action", name, names, n);
}

static json_t *read_actions(struct reading *reading, json_t *node)
{
	json_t *actions = json_array(), *item, *value = json_object_get(node, "action");
	size_t i;

	if (json_is_array(value)) {
		json_array_foreach(value, i, item)
		{
			read_action(reading, json_string_value(item), actions);
		}
	} else {
		read_action(reading, json_string_value(value), actions);
	}
	return actions;
}

static size_t read_can(struct reading *reading, json_t *node, const char *ret_can[3])
{
	static const char *const names[] = { "request", "approve", "execute" };
	json_t *value = json_object_get(node, "can"), *item;
	json_t *list = json_is_array(value) ? json_incref(value)
					    : json_pack("[O]", value != NULL ? value : json_null());
	size_t n = 0, i;

	json_array_foreach(list, i, item)
	{
		const char *can = json_string_value(item);
		bool known = false;

		for (size_t k = 0; k < 3; k++)
			known |= str_eq(names[k], can);
		if (!known || n == 3)
			complain_near(reading, "can", "one can request, approve or execute, not",
				      can, names, 3);
		else
			ret_can[n++] = can;
	}
	json_decref(list);
	return n;
}

/* group:NAME (of the file's groups, or of the directory), group-id:ID, person:ADDRESS */
static json_t *read_who(struct reading *reading, json_t *node)
{
	const char *who = jget_str_or(node, "who", ""), *why;
	char key[EMAIL_KEY_LEN];
	json_t *named;

	if (str_starts(who, "group-id:") && who[9] != '\0')
		return json_pack("{s:s}", "group_id", who + 9);
	if (str_starts(who, "person:")) {
		if (email_key(who + 7, NULL, 0, key, &why))
			return json_pack("{s:s}", "person", key);
		complain(reading, "who", "not an e-mail address:", who + 7);
		return NULL;
	}
	if (!str_starts(who, "group:") || who[6] == '\0') {
		complain(reading, "who", "who is group:NAME, group-id:ID or person:ADDRESS, not",
			 who);
		return NULL;
	}
	named = json_object_get(reading->groups, who + 6);
	if (named == NULL)
		return json_pack("{s:s}", "group", who + 6);
	return json_pack("{s:s*,s:s*,s:s*}", "group", jget_str(named, "name"), "group_id",
			 jget_str(named, "id"), "owner", jget_str(named, "owner"));
}

/* 2026-12-31 or 2026-12-31T18:00:00Z */
static const char *read_time(struct reading *reading, json_t *node, const char *member)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	const char *text = jget_str(node, member);
	size_t len = text != NULL ? strlen(text) : 0;
	bool good = len == 10 || len == 20;

	if (json_object_get(node, member) == NULL)
		return NULL;
	for (size_t i = 0; good && i < len; i++)
		good = form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];
	if (!good)
		complain(reading, member, "a time is 2026-12-31 or 2026-12-31T18:00:00Z (UTC), not",
			 text);
	return good ? text : NULL;
}

static bool key_ok(const char *key)
{
	size_t len = key != NULL ? strlen(key) : 0;

	return len > 0 && len <= 80 &&
	       strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == len;
}

static void read_grant(struct reading *reading, json_t *node)
{
	static const char *const names[] = { "key",  "who",   "can",    "action", "where",
					     "from", "until", "effect", "reason", NULL };
	const char *can[3] = { NULL };
	size_t before = reading->diags->total, n_can, i;
	struct grant grant = { .key = jget_str(node, "key"),
			       .effect = jget_str_or(node, "effect", "allow"),
			       .reason = jget_str_or(node, "reason", ""),
			       .where = json_object_get(node, "where") };
	json_t *actions, *action;

	(void)known_members(reading, node, names);
	if (!key_ok(grant.key))
		complain(reading, "key", "a key is made of a-z, 0-9, - _ and . (at most 80), not",
			 grant.key);
	if (!str_eq(grant.effect, "allow") && !str_eq(grant.effect, "forbid"))
		complain(reading, "effect", "an effect is allow or forbid, not", grant.effect);
	if (grant.where != NULL && !json_is_object(grant.where))
		complain(reading, "where", "where is a mapping of scope to values", "");
	if (strlen(grant.reason) > REASON_MAX)
		complain(reading, "reason", "a reason has at most 300 bytes:", grant.reason);
	grant.subject = read_who(reading, node);
	grant.from = read_time(reading, node, "from");
	grant.until = read_time(reading, node, "until");
	actions = read_actions(reading, node);
	n_can = read_can(reading, node, can);
	grant.n_rows = n_can * json_array_size(actions);
	if (reading->diags->total == before) {
		json_array_foreach(actions, i, action)
		{
			for (size_t k = 0; k < n_can; k++)
				add_row(reading, &grant, can[k], action);
		}
	}
	json_decref(actions);
	json_decref(grant.subject);
}

/* ---- what an action demands ---- */

static void read_apart(struct reading *reading, json_t *action, const json_t *node)
{
	json_t *list = json_is_string(node) ? json_pack("[O]", node)
					    : json_incref((json_t *)(uintptr_t)node);
	const char *own = jget_str_or(action, "name", "");
	json_t *apart = json_array(), *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *name = json_string_value(item);

		if (name == NULL || find_action(reading, name) == NULL || str_eq(name, own))
			complain(reading, "apart_from", "no command has another action", name);
		else
			json_array_append(apart, item);
	}
	json_object_set_new(action, "apart", apart);
	json_decref(list);
}

/* Into the action itself, beside its risk and scope. */
static void read_demands(struct reading *reading, json_t *action, const json_t *node)
{
	static const char *const names[] = { "approvals", "third_starts", "apart_from", NULL };
	const json_t *approvals = json_object_get(node, "approvals");
	const json_t *third = json_object_get(node, "third_starts");

	if (!json_is_object(node)) {
		complain(reading, "", "an action's demands are a mapping", "");
		return;
	}
	(void)known_members(reading, (json_t *)(uintptr_t)node, names);
	if (approvals != NULL &&
	    (!json_is_integer(approvals) || json_integer_value(approvals) < 0 ||
	     json_integer_value(approvals) > APPROVALS_MAX))
		complain(reading, "approvals", "approvals is a number from 0 to 5, not",
			 json_string_value(approvals));
	else if (approvals != NULL)
		json_object_set(action, "approvals", (json_t *)(uintptr_t)approvals);
	if (third != NULL && !json_is_boolean(third))
		complain(reading, "third_starts", "third_starts is true or false, not",
			 json_string_value(third));
	else if (third != NULL)
		json_object_set(action, "third_starts", (json_t *)(uintptr_t)third);
	if (json_object_get(node, "apart_from") != NULL)
		read_apart(reading, action, json_object_get(node, "apart_from"));
}

static void read_actions_demands(struct reading *reading, json_t *actions)
{
	const char *name;
	json_t *node;

	json_object_foreach(actions, name, node)
	{
		json_t *action = find_action(reading, name);

		(void)snprintf(reading->pointer, sizeof(reading->pointer), "/actions/%.80s", name);
		if (action == NULL)
			complain(reading, "", "no command has the action", name);
		else
			read_demands(reading, action, node);
	}
}

static void read_groups(struct reading *reading)
{
	static const char *const names[] = { "name", "id", "owner", NULL };
	const char *alias;
	json_t *group;

	json_object_foreach(reading->groups, alias, group)
	{
		(void)snprintf(reading->pointer, sizeof(reading->pointer), "/groups/%.80s", alias);
		if (!json_is_object(group) ||
		    (jget_str(group, "name") == NULL && jget_str(group, "id") == NULL))
			complain(reading, "", "a group is { name: …, id: … }, here", alias);
		else if (json_object_get(group, "owner") != NULL &&
			 (str_empty(jget_str(group, "owner")) ||
			  strlen(jget_str(group, "owner")) > OWNER_MAX))
			complain(reading, "owner", "an owner is a text of at most 200 bytes, here",
				 alias);
		else
			(void)known_members(reading, group, names);
	}
}

static void read_root(struct reading *reading)
{
	static const char *const names[] = { "groups", "grants", "actions", NULL };
	json_t *root = conftree_root(reading->tree);
	json_t *grants = json_object_get(root, "grants"), *grant;
	size_t i;

	reading->groups = json_object_get(root, "groups");
	if (!json_is_object(root) || !json_is_array(grants)) {
		conftree_diag(reading->tree, reading->diags, "",
			      "the file has a list grants (and may have groups)");
		return;
	}
	(void)known_members(reading, root, names);
	read_groups(reading);
	read_actions_demands(reading, json_object_get(root, "actions"));
	json_array_foreach(grants, i, grant)
	{
		(void)snprintf(reading->pointer, sizeof(reading->pointer), "/grants/%zu", i);
		if (json_is_object(grant))
			read_grant(reading, grant);
		else
			complain(reading, "", "a grant is a mapping", "");
	}
}

/* The rows in the order of their keys: the same file gives the same plan. */
static json_t *sorted(json_t *rows)
{
	size_t n = json_object_size(rows), i = 0;
	const char **keys = xcalloc(n + 1, sizeof(*keys));
	json_t *list = json_array(), *row;
	const char *key;

	json_object_foreach(rows, key, row)
	{
		keys[i++] = key;
	}
	qsort(keys, n, sizeof(*keys), by_string);
	for (i = 0; i < n; i++)
		json_array_append(list, json_object_get(rows, keys[i]));
	free(keys);
	return list;
}

json_t *grants_parse(const char *file, const char *text, size_t len, json_t *actions,
		     struct diags *diags)
{
	size_t before = diags->total;
	struct conftree *tree = conftree_parse(file, text, len, diags);
	struct reading reading = { .tree = tree, .diags = diags, .actions = actions };
	json_t *list = NULL;

	if (tree == NULL)
		return NULL;
	reading.rows = json_object();
	read_root(&reading);
	if (diags->total == before)
		list = sorted(reading.rows);
	json_decref(reading.rows);
	conftree_destroy(tree);
	return list;
}

json_t *grants_load(const char *path, json_t *actions, struct diags *diags)
{
	struct err err;
	size_t len;
	char *text = file_read(path, FILE_MAX, &len, &err);
	json_t *list;

	if (text == NULL) {
		diag_add(diags, path, 0, 0, "%s", err.msg);
		return NULL;
	}
	list = grants_parse(path, text, len, actions, diags);
	free(text);
	return list;
}
