/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_params.c - the parameters of a command. */
#include <stdlib.h>
#include <string.h>

#include "args_internal.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/pattern.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "catalog_internal.h"
#include "core/later.h"

enum { LATER_PARAMS = 4, VALUES_MAX = 100, VALUE_LEN = 75, TEXT_MAX = 1000 };

#define PARAM_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789_"

const char *const catalog_param_types[] = { "string",   "text", "enum",   "integer", "boolean",
					    "duration", "time", "person", NULL };

/* clang-format off */
const struct key catalog_param_keys[] = {
	{ "type",	KEY_TEXT,   true,  "string, text, enum, integer, boolean, …" },
	{ "about",	KEY_TEXT,   false, "what it is, for the form and the help" },
	{ "optional",	KEY_BOOL,   false, "may be left out" },
	{ "secret",	KEY_BOOL,   false, "asked for in the form only, shown as ***" },
	{ "default",	KEY_ANY,    false, "the value when it is left out" },
	{ "pattern",	KEY_TEXT,   false, "string: a regular expression for the whole value" },
	{ "values",	KEY_LIST,   false, "enum: what it may be" },
	{ "min",	KEY_ANY,    false, "integer, duration: the least" },
	{ "max",	KEY_ANY,    false, "integer, duration: the most; text: characters" },
	{ "from",	KEY_OBJECT, false, "string: a reading kind that lists the values" },
	{ NULL, KEY_ANY, false, NULL },
};

/* Which keys go with which type. */
static const struct { const char *key, *types[3]; } key_types[] = {
	{ "secret",	{ "string", "text" } },
	{ "pattern",	{ "string" } },
	{ "values",	{ "enum" } },
	{ "min",	{ "integer", "duration" } },
	{ "max",	{ "integer", "duration", "text" } },
	{ "from",	{ "string" } },
};
/* clang-format on */

static bool goes_with(const char *const types[3], const char *type)
{
	return str_eq(types[0], type) || (types[1] != NULL && str_eq(types[1], type)) ||
	       (types[2] != NULL && str_eq(types[2], type));
}

static void check_keys_of_type(struct loader *loader, struct node node, const struct param *param)
{
	const char *type = param_type_name(param->type);

	for (size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++) {
		struct node child = node_child(loader, node, key_types[i].key);
		const char *const *types = key_types[i].types;

		if (child.value == NULL || goes_with(types, type))
			continue;
		node_diag(loader, child, "\"%s\" goes with %s%s%s%s%s, not with type %s",
			  key_types[i].key, types[0], types[1] != NULL ? ", " : "",
			  types[1] != NULL ? types[1] : "", types[2] != NULL ? ", " : "",
			  types[2] != NULL ? types[2] : "", type);
	}
	if (param->type == PARAM_ENUM && json_object_get(node.value, "values") == NULL)
		node_diag(loader, node, "an enum needs \"values\": [...]");
}

static bool read_type(struct loader *loader, struct node node, struct param *param)
{
	const char *name = json_string_value(json_object_get(node.value, "type"));
	const char *near;
	size_t n = 0;

	if (name == NULL)
		return false;
	for (; catalog_param_types[n] != NULL; n++) {
		if (str_eq(catalog_param_types[n], name)) {
			param->type = (enum param_type)n;
			return true;
		}
	}
	near = str_nearest(name, catalog_param_types, n);
	node_diag(loader, node_child(loader, node, "type"), "unknown type \"%s\"%s%s%s", name,
		  near != NULL ? ", did you mean \""
			       : "; types are string, text, enum, integer, "
				 "boolean, duration, time and person",
		  near != NULL ? near : "", near != NULL ? "\"?" : "");
	return false;
}

static bool is_value(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= VALUE_LEN && strpbrk(text, " \t\n\"'=") == NULL;
}

static void read_values(struct loader *loader, struct node node, struct param *param)
{
	struct node list = node_child(loader, node, "values");
	size_t n = node_size(list);
	const char **values;

	if (!json_is_array(list.value))
		return;
	if (n == 0 || n > VALUES_MAX) {
		node_diag(loader, list, "\"values\" must have 1 to %d entries", VALUES_MAX);
		return;
	}
	values = arena_alloc(loader->catalog->arena, n * sizeof(*values));
	for (size_t i = 0; i < n; i++) {
		struct node item = node_item(loader, list, i);
		const char *text = json_string_value(item.value);

		if (text == NULL || !is_value(text)) {
			node_diag(loader, item, "a value is a word of at most %d characters%s",
				  VALUE_LEN, text == NULL ? "; put it into quotes" : "");
			continue;
		}
		for (size_t j = 0; j < param->n_values; j++)
			if (str_ieq(values[j], text))
				node_diag(loader, item, "value \"%s\" is listed twice", text);
		values[param->n_values++] = arena_strdup(loader->catalog->arena, text);
	}
	param->values = values;
}

static void read_pattern(struct loader *loader, struct node node, struct param *param)
{
	struct node child = node_child(loader, node, "pattern");
	struct catalog *catalog = loader->catalog;
	struct err err;
	struct pattern *pattern;

	param->pattern_source = node_text(loader, node, "pattern");
	if (param->pattern_source == NULL)
		return;
	pattern = pattern_create(param->pattern_source, &err);
	if (pattern == NULL) {
		node_diag(loader, child, "%s", err.msg);
		return;
	}
	catalog->patterns =
		xrealloc(catalog->patterns, (catalog->n_patterns + 1) * sizeof(*catalog->patterns));
	catalog->patterns[catalog->n_patterns++] = pattern;
	param->pattern = pattern;
}

/* A bound: a whole number, for a duration "24h". */
static void read_bound(struct loader *loader, struct node node, const struct param *param,
		       const char *key, int64_t *bound)
{
	struct node child = node_child(loader, node, key);
	int64_t seconds;

	if (child.value == NULL)
		return;
	if (param->type == PARAM_DURATION) {
		if (args_duration(json_string_value(child.value), &seconds) && seconds > 0)
			*bound = seconds;
		else
			node_diag(loader, child, "\"%s\" must be a duration like 30m or 24h", key);
	} else if (json_is_integer(child.value)) {
		*bound = json_integer_value(child.value);
	} else {
		node_diag(loader, child, "\"%s\" must be a whole number", key);
	}
}

static void read_bounds(struct loader *loader, struct node node, struct param *param)
{
	param->min = param->type == PARAM_DURATION ? 1 : INT64_MIN;
	param->max = param->type == PARAM_TEXT ? TEXT_MAX : INT64_MAX;
	if (str_eq(param->name, "for")) {
		param->min = LATER_MIN_S;
		param->max = LATER_MAX_S;
	}
	read_bound(loader, node, param, "min", &param->min);
	read_bound(loader, node, param, "max", &param->max);
	if (param->min > param->max)
		node_diag(loader, node_child(loader, node, "min"), "\"min\" is above \"max\"");
	if (param->type == PARAM_TEXT && (param->max < 1 || param->max > TEXT_MAX))
		node_diag(loader, node_child(loader, node, "max"),
			  "a text may have 1 to %d characters", TEXT_MAX);
}

/* Written as it would be typed: default: 5, default: dev, default: 2h. */
static void read_default(struct loader *loader, struct node node, const struct command *command,
			 struct param *param)
{
	struct node child = node_child(loader, node, "default");
	struct args_problems problems = { .n = 0 };
	json_t *value = NULL;
	char *text;

	if (child.value == NULL || json_is_null(child.value))
		return;
	if (param->secret) {
		node_diag(loader, child, "a secret has no default");
		return;
	}
	if (json_is_object(child.value) || json_is_array(child.value) ||
	    json_is_real(child.value)) {
		node_diag(loader, child, "a default is written as it would be typed");
		return;
	}
	text = json_is_integer(child.value) && param->type != PARAM_INTEGER
		       ? xasprintf("%lld", (long long)json_integer_value(child.value))
		       : args_value_text(param, child.value);
	if (args_value(command, param, text, &value, &problems)) {
		json_array_append_new(loader->catalog->kept, value);
		param->fallback = value;
	} else {
		node_diag(loader, child, "the default does not fit: %s", problems.items[0].text);
	}
	free(text);
}

static void read_param(struct loader *loader, struct node node, const struct command *command,
		       struct param *param)
{
	if (!node_check(loader, node, "a parameter", catalog_param_keys))
		return;
	param->about = node_sentence(loader, node_child(loader, node, "about"), CATALOG_ABOUT_MAX);
	param->optional = json_is_true(json_object_get(node.value, "optional"));
	param->secret = json_is_true(json_object_get(node.value, "secret"));
	if (!read_type(loader, node, param))
		return;
	check_keys_of_type(loader, node, param);
	read_values(loader, node, param);
	read_pattern(loader, node, param);
	read_bounds(loader, node, param);
	read_default(loader, node, command, param);
}

void catalog_read_params(struct loader *loader, struct node node, struct command *command)
{
	size_t n = json_is_object(node.value) ? json_object_size(node.value) : 0;
	struct param *params;
	const char *name;
	json_t *value;

	if (n > ARGS_DECLARED_MAX) {
		node_diag(loader, node, "a command may have %d parameters, this has %zu",
			  ARGS_DECLARED_MAX, n);
		return;
	}
	/* with room for those of catalog_imply_params */
	params = arena_alloc(loader->catalog->arena, (n + LATER_PARAMS) * sizeof(*params));
	command->params = params;
	if (n == 0)
		return;
	json_object_foreach((json_t *)node.value, name, value)
	{
		struct param *param = &params[command->n_params];
		struct node child = node_child(loader, node, name);

		(void)node_name(loader, child, "the parameter's name", name, PARAM_LETTERS);
		if (str_eq(name, "plan"))
			node_key_diag(
				loader, child,
				"\"plan\" cannot be a parameter: rules read the plan as .plan");
		param->name = arena_strdup(loader->catalog->arena, name);
		command->n_params++;
		read_param(loader, child, command, param);
	}
	/* A source may name any parameter, also a later one. */
	for (size_t i = 0; i < command->n_params; i++) {
		struct node child = node_child(loader, node, params[i].name);

		catalog_read_from(loader, node_child(loader, child, "from"), command, &params[i]);
	}
}

/* --- for, until, at --- */

static void imply(struct command *command, const char *name, enum param_type type)
{
	struct param *param = (struct param *)&command->params[command->n_params++];

	*param = (struct param){ .name = name,
				 .about = later_about(name),
				 .type = type,
				 .optional = true,
				 .implied = true,
				 .min = LATER_MIN_S,
				 .max = LATER_MAX_S };
}

/* A "for" of the author's says how long such a change may last; everything else is taken. */
static void check_own(struct loader *loader, struct node params, const struct command *command,
		      bool reversible)
{
	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		struct node node = node_child(loader, params, param->name);

		if (!later_is_word(param->name, strlen(param->name)))
			continue;
		if (!str_eq(param->name, "for"))
			node_key_diag(loader, node,
				      "\"%s\" cannot be a parameter: every change takes it (%s)",
				      param->name, later_about(param->name));
		else if (!reversible)
			node_key_diag(loader, node,
				      "\"for\" cannot be a parameter here: it makes a change "
				      "temporary, and this one cannot be set back");
		else if (param->type != PARAM_DURATION || param->fallback != NULL)
			node_key_diag(loader, node,
				      "\"for\" is how long a change lasts: { type: duration, max: "
				      "24h, optional: true }, without a default");
	}
}

void catalog_imply_params(struct loader *loader, struct node params, struct command *command)
{
	bool reversible = command->kind != NULL && command->risk > 0 &&
			  action_reversible(command->kind, command->with);

	check_own(loader, params, command, reversible);
	if (command->kind == NULL || command->risk == 0 || command->params == NULL)
		return;
	if (reversible && command_param(command, "for") == NULL)
		imply(command, "for", PARAM_DURATION);
	if (reversible)
		imply(command, "until", PARAM_TIME);
	imply(command, "at", PARAM_TIME);
}
