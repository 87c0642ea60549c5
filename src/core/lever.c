/* SPDX-License-Identifier: Apache-2.0 */
/* lever.c - the templates of each command of the kind against the values that are wanted. */
#include "core/lever.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "core/action.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"

/* As a person types it.  The caller frees. */
static char *text_of(const json_t *value)
{
	return json_is_string(value) ? xstrdup(json_string_value(value))
				     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

/* "workers-{role}" against "workers-dev": role is dev.  One parameter at most. */
static bool match_text(const char *template, const char *text, json_t *values)
{
	const char *open = template, *name, *after;
	size_t len = 0, before, rest, whole = strlen(text);
	json_t *value, *known;
	char *key;
	bool good;

	while (*open != '\0' && (len = command_template(open, &name)) == 0)
		open++;
	if (len == 0)
		return str_eq(template, text);
	before = (size_t)(open - template);
	after = open + len + 2;
	rest = strlen(after);
	if (strchr(after, '{') != NULL || whole <= before + rest ||
	    memcmp(template, text, before) != 0 || !str_eq(after, text + whole - rest))
		return false;
	key = xstrndup(name, len);
	value = json_stringn(text + before, whole - before - rest);
	known = json_object_get(values, key);
	good = known == NULL || json_equal(known, value);
	json_object_set_new(values, key, value);
	free(key);
	return good;
}

static bool match_value(const json_t *template, const json_t *wanted, json_t *values)
{
	char *text, *own;
	bool good;

	if (template == NULL)
		return false;
	text = text_of(wanted);
	own = text_of(template);
	good = match_text(own, text, values);
	free(own);
	free(text);
	return good;
}

/* What the command sets beside what is wanted must be fixed: it does just this. */
static bool match_command(const struct command *command, const json_t *with, json_t *values)
{
	const char *key;
	json_t *item;

	json_object_foreach((json_t *)(uintptr_t)with, key, item)
	{
		if (!match_value(json_object_get(command->with, key), item, values))
			return false;
	}
	json_object_foreach((json_t *)(uintptr_t)command->with, key, item)
	{
		const char *text = json_string_value(item), *name;

		if (json_object_get(with, key) == NULL && text != NULL &&
		    command_template(text, &name) > 0)
			return false;
	}
	return true;
}

static json_t *resolved(const struct command *command, json_t *values)
{
	struct args_problems problems;
	json_t *args = args_from_values(command, values, &problems);
	json_t *found = json_pack("{s:s, s:O}", "command", command->title, "values", values);
	char *line, *text;

	if (args != NULL) {
		line = args_text(command, args);
		text = xasprintf("%s %s", command->title, line);
		json_object_set_new(found, "text", json_string(text));
		free(line);
		free(text);
		json_decref(args);
	} else if (!problems.missing_only) { /* the command does not go so far */
		json_decref(found);
		found = NULL;
	}
	return found;
}

json_t *lever_resolve(const struct catalog *catalog, const json_t *lever, const json_t *args)
{
	const char *kind = jget_str(lever, "kind"), *reason = jget_str(args, "reason");
	json_t *found = NULL;

	for (size_t i = 0; found == NULL && i < catalog_commands(catalog); i++) {
		const struct command *command = catalog_command(catalog, i);
		json_t *values;

		if (!str_eq(command->kind->name, kind))
			continue;
		values = json_object();
		if (match_command(command, json_object_get(lever, "with"), values)) {
			if (reason != NULL && command_param(command, "reason") != NULL)
				json_object_set_new(values, "reason", json_string(reason));
			found = resolved(command, values);
		}
		json_decref(values);
	}
	return found;
}
