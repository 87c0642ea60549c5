/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_do.c - the action kind that a command names, its parameters and their {templates}. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "catalog_internal.h"
#include "core/expr.h"

enum { KINDS_MAX = 64, KIND_PARAMS_MAX = 32 };

static const struct action_kind *find_kind(const struct loader *loader, const char *name)
{
	for (size_t i = 0; loader->kinds[i] != NULL; i++)
		if (strcmp(loader->kinds[i]->name, name) == 0)
			return loader->kinds[i];
	return NULL;
}

static const char *nearest_kind(const struct loader *loader, const char *name)
{
	const char *names[KINDS_MAX];
	size_t n = 0;

	for (; loader->kinds[n] != NULL && n < KINDS_MAX; n++)
		names[n] = loader->kinds[n]->name;
	return str_nearest(name, names, n);
}

static const struct action_param *find_param(const struct action_kind *kind, const char *name)
{
	for (const struct action_param *p = kind->params; p->name != NULL; p++)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static const char *nearest_param(const struct action_kind *kind, const char *name)
{
	const char *names[KIND_PARAMS_MAX];
	size_t n = 0;

	for (; kind->params[n].name != NULL && n < KIND_PARAMS_MAX; n++)
		names[n] = kind->params[n].name;
	return str_nearest(name, names, n);
}

/* --- templates --- */

static const struct param *param_named(const struct command *command, const char *name, size_t len)
{
	for (size_t i = 0; i < command->n_params; i++) {
		const char *own = command->params[i].name;

		if (strlen(own) == len && memcmp(own, name, len) == 0)
			return &command->params[i];
	}
	return NULL;
}

static const char *nearest_name(const struct command *command, const char *name, size_t len)
{
	const char *names[32], *near;
	char *own = xstrndup(name, len);
	size_t n = 0;

	for (; n < command->n_params && n < 32; n++)
		names[n] = command->params[n].name;
	near = str_nearest(own, names, n);
	free(own);
	return near;
}

static void check_text(const struct loader *loader, struct node node, const struct command *command,
		       bool may_be_absent)
{
	const char *name = NULL;

	for (const char *p = json_string_value(node.value); *p != '\0'; p++) {
		size_t len = command_template(p, &name);
		const struct param *param;
		const char *near;

		if (len == 0)
			continue;
		param = param_named(command, name, len);
		near = nearest_name(command, name, len);
		if (param == NULL)
			node_diag(loader, node, "{%.*s} is no parameter of %s%s%s%s", (int)len,
				  name, command->title, near != NULL ? ", did you mean {" : "",
				  near != NULL ? near : "", near != NULL ? "}?" : "");
		else if (!may_be_absent && param->optional && param->fallback == NULL)
			node_diag(loader, node,
				  "{%s} may be absent here: make it required or give it a default",
				  param->name);
	}
}

void catalog_check_templates(const struct loader *loader, struct node node,
			     const struct command *command, bool may_be_absent)
{
	const char *key;
	json_t *item;

	if (json_is_string(node.value))
		check_text(loader, node, command, may_be_absent);
	for (size_t i = 0; i < node_size(node); i++)
		catalog_check_templates(loader, node_item(loader, node, i), command, true);
	if (!json_is_object(node.value))
		return;
	json_object_foreach((json_t *)node.value, key, item)
		catalog_check_templates(loader, node_child(loader, node, key), command, true);
}

/* --- types of a kind's parameters --- */

/* The parameter that is the whole of a text, as "{count}" is. */
static const struct param *whole_template(const struct command *command, const json_t *value)
{
	const char *text = json_string_value(value), *name;
	size_t len = text != NULL ? command_template(text, &name) : 0;

	if (len == 0 || text[len + 2] != '\0')
		return NULL;
	return param_named(command, name, len);
}

static bool suits(enum action_param_type type, const json_t *value, const struct param *param)
{
	bool number =
		param != NULL && (param->type == PARAM_INTEGER || param->type == PARAM_DURATION);
	bool truth = param != NULL && param->type == PARAM_BOOLEAN;

	switch (type) {
	case ACTION_TEXT:
	case ACTION_EXPR:
		return json_is_string(value) && !number && !truth;
	case ACTION_NUMBER:
		return json_is_number(value) || number;
	case ACTION_BOOL:
		return json_is_boolean(value) || truth;
	case ACTION_OBJECT:
		return json_is_object(value);
	case ACTION_LIST:
		return json_is_array(value);
	case ACTION_VALUE:
		return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
	}
	return false;
}

static const char *suits_words(enum action_param_type type)
{
	static const char *const words[] = {
		[ACTION_TEXT] = "a text",
		[ACTION_NUMBER] = "a number or the {name} of an integer or duration",
		[ACTION_BOOL] = "true, false or the {name} of a boolean",
		[ACTION_OBJECT] = "a mapping (key: value)",
		[ACTION_EXPR] = "an expression",
		[ACTION_LIST] = "a list",
		[ACTION_VALUE] = "a text, a number, or true or false",
	};

	return words[type];
}

struct expr *catalog_compile(struct loader *loader, struct node node, const char *source)
{
	struct catalog *catalog = loader->catalog;
	const char *name;
	struct err err;
	struct expr *expr;

	for (const char *p = source; *p != '\0'; p++) {
		size_t len = command_template(p, &name);

		if (len > 0)
			node_diag(loader, node,
				  "{%.*s} is not replaced in expressions; write .%.*s, or "
				  "{%.*s: .%.*s} for an object",
				  (int)len, name, (int)len, name, (int)len, name, (int)len, name);
	}
	expr = expr_compile(source, &err);
	if (expr == NULL) {
		node_diag(loader, node, "%s", err.msg);
		return NULL;
	}
	catalog->exprs = xrealloc(catalog->exprs, (catalog->n_exprs + 1) * sizeof(struct expr *));
	catalog->exprs[catalog->n_exprs++] = expr;
	return expr;
}

/* A secret parameter that a value is filled from; NULL: none. */
static const struct param *secret_in(const struct command *command, const json_t *value)
{
	const struct param *found = NULL;
	const char *key, *name;
	json_t *item;
	size_t i;

	for (const char *p = json_string_value(value); p != NULL && *p != '\0'; p++) {
		size_t len = command_template(p, &name);
		const struct param *param = len > 0 ? param_named(command, name, len) : NULL;

		if (param != NULL && param->secret)
			return param;
	}
	json_array_foreach((json_t *)(uintptr_t)value, i, item)
	{
		if (found == NULL)
			found = secret_in(command, item);
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
	{
		if (found == NULL)
			found = secret_in(command, item);
	}
	return found;
}

static void check_secrets(struct loader *loader, struct node node, const struct action_kind *kind,
			  const struct action_param *own, const struct command *command)
{
	const struct param *secret =
		str_eq(own->name, kind->secret) ? NULL : secret_in(command, node.value);

	if (secret != NULL)
		node_diag(loader, node, "{%s} is secret, and \"%s\" of %s is shown", secret->name,
			  own->name, kind->name);
}

static void check_with(struct loader *loader, struct node node, const struct action_kind *kind,
		       const struct command *command)
{
	const char *name, *what = arena_printf(loader->scratch, "%s", kind->name);
	json_t *value;

	json_object_foreach((json_t *)node.value, name, value)
	{
		const struct action_param *own = find_param(kind, name);
		struct node child = node_child(loader, node, name);

		if (own == NULL) {
			node_unknown(loader, node, name, what, nearest_param(kind, name));
			continue;
		}
		if (!suits(own->type, value, whole_template(command, value)))
			node_diag(loader, child, "\"%s\" of %s must be %s", name, kind->name,
				  suits_words(own->type));
		else if (own->type == ACTION_EXPR)
			(void)catalog_compile(loader, child, json_string_value(value));
		else
			catalog_check_templates(loader, child, command, !own->required);
		check_secrets(loader, child, kind, own, command);
	}
	for (const struct action_param *p = kind->params; p->name != NULL; p++)
		if (p->required && json_object_get(node.value, p->name) == NULL)
			node_key_diag(loader, node, "%s needs \"%s\": %s", kind->name, p->name,
				      p->about);
}

/* { "kube.scale": { … } }: the kind, or NULL after reporting why. */
static const struct action_kind *read_kind(struct loader *loader, struct node node,
					   const struct command *command, struct node *ret_with)
{
	const char *name, *param = NULL;
	const struct action_kind *kind;
	size_t before = loader->diags->total;
	struct err err = { .kind = ERR_NONE };

	if (!json_is_object(node.value) || json_object_size(node.value) != 1) {
		node_diag(loader, node, "must name one action kind: { kube.scale: { … } }");
		return NULL;
	}
	name = json_object_iter_key(json_object_iter((json_t *)node.value));
	kind = find_kind(loader, name);
	*ret_with = node_child(loader, node, name);
	if (kind == NULL) {
		const char *near = nearest_kind(loader, name);

		node_key_diag(loader, *ret_with, "unknown action kind \"%s\"%s%s%s", name,
			      near != NULL ? ", did you mean \"" : "", near != NULL ? near : "",
			      near != NULL ? "\"?" : "");
		return NULL;
	}
	if (!json_is_object(ret_with->value)) {
		node_diag(loader, *ret_with, "%s needs its parameters: { … }", name);
		return NULL;
	}
	check_with(loader, *ret_with, kind, command);
	if (loader->diags->total == before && kind->check != NULL &&
	    !kind->check(ret_with->value, loader->env, &param, &err))
		node_diag(loader, param != NULL ? node_child(loader, *ret_with, param) : *ret_with,
			  "%s", err.msg);
	return kind;
}

void catalog_read_do(struct loader *loader, struct node node, struct command *command)
{
	struct node with;
	const struct action_kind *kind;

	if (node.value == NULL)
		return;
	kind = read_kind(loader, node, command, &with);
	if (kind == NULL)
		return;
	command->kind = kind;
	json_array_append(loader->catalog->kept, (json_t *)with.value);
	command->with = with.value;
	if (command->risk == 0 && action_effect_of(kind, with.value) != ACTION_READ)
		node_diag(loader, with, "%s changes something: its risk must be 1 to 3",
			  kind->name);
	if (command->risk > 0 && action_effect_of(kind, with.value) == ACTION_READ)
		node_diag(loader, with, "%s only reads: its risk must be 0", kind->name);
}

void catalog_read_from(struct loader *loader, struct node node, struct command *command,
		       struct param *param)
{
	struct node with;
	const struct action_kind *kind;

	if (node.value == NULL || param->type != PARAM_STRING)
		return;
	kind = read_kind(loader, node, command, &with);
	if (kind == NULL)
		return;
	if (action_effect_of(kind, with.value) != ACTION_READ)
		node_diag(loader, with, "values come from a kind that reads; %s does not",
			  kind->name);
	json_array_append(loader->catalog->kept, (json_t *)node.value);
	param->from = node.value;
}
