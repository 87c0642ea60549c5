/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - reads along a path, parsing with limits, the two ways of writing. */
#include "base/json.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"

/* 0.1 stays 0.1; compact for the wire and for digests. */
static const size_t json_dump_flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);

json_t *jget(const json_t *obj, const char *path)
{
	const json_t *at = obj;

	while (at != NULL) {
		size_t len = strcspn(path, ".");

		at = json_object_getn(at, path, len);
		if (path[len] == '\0')
			break;
		path += len + 1;
	}
	return (json_t *)at;
}

const char *jget_str(const json_t *obj, const char *path)
{
	return json_string_value(jget(obj, path));
}

const char *jget_str_or(const json_t *obj, const char *path, const char *fallback)
{
	const char *s = jget_str(obj, path);

	return s != NULL ? s : fallback;
}

int64_t jget_int(const json_t *obj, const char *path, int64_t fallback)
{
	const json_t *value = jget(obj, path);

	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool jget_bool(const json_t *obj, const char *path, bool fallback)
{
	const json_t *value = jget(obj, path);

	if (json_is_boolean(value))
		return json_is_true(value);
	if (str_eq(json_string_value(value), "true"))
		return true;
	if (str_eq(json_string_value(value), "false"))
		return false;
	return fallback;
}

json_t *json_parse(const char *text, size_t len, size_t max, struct err *err)
{
	json_error_t error;
	json_t *value;

	if (len > max) {
		err_set(err, ERR_INVALID, "JSON text of %zu bytes is longer than the %zu allowed",
			len, max);
		return NULL;
	}
	value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (value == NULL)
		err_set(err, ERR_INVALID, "not valid JSON at line %d, column %d: %s", error.line,
			error.column, error.text);
	return value;
}

static char *dump(const json_t *value, size_t flags)
{
	char *text;

	if (value == NULL)
		return xstrdup("null");
	text = json_dumps(value, json_dump_flags | flags);
	assert(text != NULL); /* no memory, or a cycle that we built ourselves */
	return text;
}

char *json_canonical(const json_t *value)
{
	return dump(value, JSON_SORT_KEYS);
}

char *json_text(const json_t *value)
{
	return dump(value, 0);
}
