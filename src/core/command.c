/* SPDX-License-Identifier: Apache-2.0 */
/* command.c - questions about one declared command, and the filling in of {param}. */
#include "core/command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "args_internal.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"

enum { FILLED_MAX = 64 * 1024 };

const struct param *command_param(const struct command *command, const char *name)
{
	for (size_t i = 0; i < command->n_params; i++)
		if (str_eq(command->params[i].name, name))
			return &command->params[i];
	return NULL;
}

const char *param_type_name(enum param_type type)
{
	static const char *const names[] = {
		[PARAM_STRING] = "string",   [PARAM_TEXT] = "text",
		[PARAM_ENUM] = "enum",       [PARAM_INTEGER] = "integer",
		[PARAM_BOOLEAN] = "boolean", [PARAM_DURATION] = "duration",
		[PARAM_TIME] = "time",       [PARAM_PERSON] = "person",
	};

	return names[type];
}

bool command_reads(const struct command *command)
{
	return command->risk == 0;
}

bool command_needs_confirmation(const struct command *command)
{
	return command->risk >= 2;
}

bool command_shows_plan(const struct command *command)
{
	return command_needs_confirmation(command) || command->n_approvals > 0;
}

/* A test of the declaration that is let through is an example that works. */
static const char *tested_text(const struct command *command)
{
	for (size_t i = 0; i < command->n_tests; i++) {
		const struct command_test *test = &command->tests[i];

		if (str_eq(test->expect, "allow") || str_eq(test->expect, "approval"))
			return test->text;
	}
	return NULL;
}

char *command_example(const struct command *command)
{
	const char *tested = tested_text(command);
	struct buf buf;

	if (tested != NULL)
		return xasprintf("%s%s%s", command->title, *tested != '\0' ? " " : "", tested);
	buf_init(&buf, FILLED_MAX);
	buf_puts(&buf, command->title);
	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		char *value, *quoted;

		if (param->optional || param->secret || param->fallback != NULL)
			continue;
		value = args_made_up(param);
		quoted = args_quote(value);
		buf_printf(&buf, " %s=%s", param->name, quoted);
		free(quoted);
		free(value);
	}
	return buf_take(&buf);
}

char *command_usage(const struct command *command)
{
	struct buf buf;

	buf_init(&buf, FILLED_MAX);
	buf_puts(&buf, command->title);
	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		bool optional = param->optional || param->fallback != NULL;

		if (param->secret || param->implied) /* asked for in the form; in the help of all */
			continue;
		buf_printf(&buf, optional ? " [%s=]" : " %s=", param->name);
	}
	return buf_take(&buf);
}

/* --- {param} --- */

size_t command_template(const char *text, const char **ret_name)
{
	size_t len;

	if (text[0] != '{' || text[1] < 'a' || text[1] > 'z')
		return 0;
	len = strspn(text + 1, "abcdefghijklmnopqrstuvwxyz0123456789_");
	if (text[1 + len] != '}')
		return 0;
	*ret_name = text + 1;
	return len;
}

static json_t *lookup(const json_t *args, const char *name, size_t len)
{
	char *own = xstrndup(name, len);
	json_t *value = json_object_get(args, own);

	free(own);
	return value;
}

static void put_value(struct buf *buf, const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		buf_puts(buf, json_string_value(value));
	} else if (value != NULL && !json_is_null(value)) {
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
		buf_puts(buf, text != NULL ? text : "");
		free(text);
	}
}

static json_t *fill_string(const char *text, const json_t *args)
{
	const char *name;
	size_t len = command_template(text, &name);
	json_t *filled, *value;
	struct buf buf;

	if (len > 0 && text[len + 2] == '\0') {
		value = lookup(args, name, len);
		return value != NULL ? json_deep_copy(value) : json_null();
	}
	buf_init(&buf, FILLED_MAX);
	while (*text != '\0') {
		len = command_template(text, &name);
		if (len > 0)
			put_value(&buf, lookup(args, name, len));
		else
			buf_append(&buf, text, 1);
		text += len > 0 ? len + 2 : 1;
	}
	filled = buf.overflow ? json_null() : json_string(buf_text(&buf));
	buf_finish(&buf);
	return filled;
}

json_t *command_fill(const json_t *node, const json_t *args)
{
	const char *key;
	json_t *item, *filled;
	size_t i;

	switch (json_typeof(node)) {
	case JSON_STRING:
		return fill_string(json_string_value(node), args);
	case JSON_OBJECT:
		filled = json_object();
		json_object_foreach((json_t *)node, key, item)
			json_object_set_new(filled, key, command_fill(item, args));
		return filled;
	case JSON_ARRAY:
		filled = json_array();
		json_array_foreach(node, i, item)
			json_array_append_new(filled, command_fill(item, args));
		return filled;
	default:
		return json_deep_copy(node);
	}
}
