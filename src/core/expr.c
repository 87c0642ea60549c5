/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr.c - libjq behind core/expr.h.
 *
 * Compiling costs about 30 ms (libjq 1.6 reads its own library of functions each time) and 6 KiB
 * that stay, so programs are kept by their source and shared: a catalog that is loaded again, and
 * an action kind that compiles at each run, pay once.  Only the table is locked: programs may be
 * compiled on any thread but run on one, the loop's (or that of a tool without a loop).
 */
#include "core/expr.h"

#include <jq.h>
#include <jv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "expr_internal.h"

enum { SOURCE_MAX = 1000, ANSWER_MAX = 1024 * 1024, NESTED_MAX = 200, KEPT_MAX = 256 };

/* From here on a double no longer holds every whole number. */
#define WHOLE_MAX 9007199254740992.0

struct expr {
	struct list_node node; /* of the table, the longest unused first */
	size_t refs;           /* 0: kept in case it is asked for again */
	jq_state *jq;
	char *source;
	struct err failure; /* what jq said last */
	bool failed;
};

static struct {
	uv_once_t once;
	uv_mutex_t lock;
	struct list list;
} table = { .once = UV_ONCE_INIT };

static void table_init(void)
{
	list_init(&table.list);
	(void)uv_mutex_init(&table.lock);
}

/* --- compiling --- */

static void cut(char *text, const char *from)
{
	char *at = strstr(text, from);

	if (at != NULL)
		*at = '\0';
}

/* "jq: error: syntax error, unexpected == (Unix shell quoting issues?) at <top-level>, line 1:\n…".
 */
static void on_message(void *data, jv message)
{
	struct expr *expr = data;
	jv text = jq_format_error(message);
	char *copy = xstrdup(jv_string_value(text));
	const char *what = copy;

	if (str_starts(what, "jq: error: "))
		what += strlen("jq: error: ");
	cut(copy, " (Unix shell");
	cut(copy, " at <top-level>");
	cut(copy, "\n");
	if (!expr->failed)
		err_set(&expr->failure, ERR_INVALID, "%s", what);
	expr->failed = true;
	free(copy);
	jv_free(text);
}

/* libjq reads this file before each program; what is defined there would change what a word means.
 */
static bool home_is_clean(struct err *err)
{
	const char *home = getenv("HOME");
	char *path;
	bool clean;

	if (str_empty(home))
		return true;
	path = xasprintf("%s/.jq", home);
	clean = access(path, F_OK) != 0;
	free(path);
	if (!clean)
		err_set(err, ERR_INVALID,
			"the file .jq in the home directory would change what expressions mean; "
			"move it away or set HOME to another directory");
	return clean;
}

static bool source_is_sound(const char *source, struct err *err)
{
	size_t len = strlen(source);

	if (len == 0 || source[strspn(source, " \t\r\n")] == '\0') {
		err_set(err, ERR_INVALID, "an expression may not be empty");
	} else if (len > SOURCE_MAX) {
		err_set(err, ERR_INVALID, "an expression may have %d bytes, this one has %zu",
			SOURCE_MAX, len);
	} else if (!str_utf8_valid(source, len)) {
		err_set(err, ERR_INVALID, "an expression must be UTF-8 text");
	} else {
		return expr_words_allowed(source, err) && home_is_clean(err);
	}
	return false;
}

static void expr_free(struct expr *expr)
{
	if (expr->jq != NULL)
		jq_teardown(&expr->jq);
	free(expr->source);
	free(expr);
}

static struct expr *build(const char *source, struct err *err)
{
	struct expr *expr;

	if (!source_is_sound(source, err))
		return NULL;
	expr = xcalloc(1, sizeof(*expr));
	expr->source = xstrdup(source);
	expr->jq = jq_init();
	if (expr->jq == NULL) {
		err_set(err, ERR_INTERNAL, "libjq could not be started");
		expr_free(expr);
		return NULL;
	}
	jq_set_error_cb(expr->jq, on_message, expr);
	if (!jq_compile(expr->jq, source)) {
		if (!expr->failed)
			err_set(&expr->failure, ERR_INVALID, "not a jq expression");
		*err = expr->failure;
		err_prefix(err, "in \"%s\"", source);
		expr_free(expr);
		return NULL;
	}
	return expr;
}

/* --- the table; under its lock --- */

static struct expr *table_take(const char *source)
{
	struct list_node *node = list_first(&table.list);

	while (node != NULL) {
		struct expr *expr = list_entry(node, struct expr, node);

		if (strcmp(expr->source, source) == 0) {
			expr->refs++;
			return expr;
		}
		node = list_next(&table.list, node);
	}
	return NULL;
}

/* One that nobody holds, when there are too many. */
static struct expr *table_spare(void)
{
	struct list_node *node = list_first(&table.list);

	while (table.list.count > KEPT_MAX && node != NULL) {
		struct expr *expr = list_entry(node, struct expr, node);

		if (expr->refs == 0) {
			list_remove(&table.list, node);
			return expr;
		}
		node = list_next(&table.list, node);
	}
	return NULL;
}

struct expr *expr_compile(const char *source, struct err *err)
{
	struct expr *expr, *other;

	uv_once(&table.once, table_init);
	uv_mutex_lock(&table.lock);
	expr = table_take(source);
	uv_mutex_unlock(&table.lock);
	if (expr != NULL)
		return expr;
	expr = build(source, err);
	if (expr == NULL)
		return NULL;
	uv_mutex_lock(&table.lock);
	other = table_take(source); /* another thread was quicker */
	if (other == NULL) {
		expr->refs = 1;
		list_push(&table.list, &expr->node);
	}
	uv_mutex_unlock(&table.lock);
	if (other == NULL)
		return expr;
	expr_free(expr);
	return other;
}

void expr_destroy(struct expr *expr)
{
	struct expr *spare;

	if (expr == NULL)
		return;
	uv_mutex_lock(&table.lock);
	expr->refs--;
	list_remove(&table.list, &expr->node);
	list_push(&table.list, &expr->node);
	spare = table_spare();
	uv_mutex_unlock(&table.lock);
	if (spare != NULL)
		expr_free(spare);
}

void expr_forget(void)
{
	struct list_node *node, *next;

	uv_once(&table.once, table_init);
	uv_mutex_lock(&table.lock);
	for (node = list_first(&table.list); node != NULL; node = next) {
		struct expr *expr = list_entry(node, struct expr, node);

		next = list_next(&table.list, node);
		if (expr->refs == 0) {
			list_remove(&table.list, node);
			expr_free(expr);
		}
	}
	uv_mutex_unlock(&table.lock);
}

const char *expr_source(const struct expr *expr)
{
	return expr->source;
}

/* --- values --- */

static jv to_jv(const json_t *value, size_t depth);

static jv object_to_jv(const json_t *value, size_t depth)
{
	jv object = jv_object();
	const char *key;
	json_t *item;

	json_object_foreach((json_t *)value, key, item)
	{
		object = jv_object_set(object, jv_string(key), to_jv(item, depth + 1));
		if (!jv_is_valid(object))
			break;
	}
	return object;
}

static jv array_to_jv(const json_t *value, size_t depth)
{
	jv array = jv_array();
	json_t *item;
	size_t i;

	json_array_foreach(value, i, item) array = jv_array_append(array, to_jv(item, depth + 1));
	return array;
}

/* What lies deeper than NESTED_MAX is seen as null. */
static jv to_jv(const json_t *value, size_t depth)
{
	if (value == NULL || depth > NESTED_MAX)
		return jv_null();
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return object_to_jv(value, depth);
	case JSON_ARRAY:
		return array_to_jv(value, depth);
	case JSON_STRING:
		return jv_string_sized(json_string_value(value), (int)json_string_length(value));
	case JSON_INTEGER:
	case JSON_REAL:
		return jv_number(json_number_value(value));
	case JSON_TRUE:
	case JSON_FALSE:
		return jv_bool(json_is_true(value));
	case JSON_NULL:
		break;
	}
	return jv_null();
}

struct budget {
	size_t left;
	struct err *err;
};

static json_t *from_jv(jv value, size_t depth, struct budget *budget);

static bool spend(struct budget *budget, size_t bytes)
{
	if (bytes > budget->left) {
		budget->left = 0;
		err_set(budget->err, ERR_INVALID, "the expression's answer is larger than 1 MiB");
		return false;
	}
	budget->left -= bytes;
	return true;
}

static json_t *number_from_jv(double number)
{
	if (isnan(number))
		return json_null();
	if (isinf(number))
		return json_real(number > 0 ? 1.7976931348623157e308 : -1.7976931348623157e308);
	if (number == floor(number) && fabs(number) <= WHOLE_MAX)
		return json_integer((json_int_t)number);
	return json_real(number);
}

static json_t *string_from_jv(const char *text, size_t len, struct budget *budget)
{
	if (!spend(budget, len))
		return NULL;
	if (memchr(text, '\0', len) != NULL) {
		err_set(budget->err, ERR_INVALID, "the expression's answer holds a NUL character");
		return NULL;
	}
	return json_stringn(text, len);
}

static json_t *array_from_jv(jv value, size_t depth, struct budget *budget)
{
	json_t *array = json_array();

	jv_array_foreach(value, i, item)
	{
		json_t *own = from_jv(item, depth + 1, budget);

		if (own == NULL) {
			json_decref(array);
			return NULL;
		}
		json_array_append_new(array, own);
	}
	return array;
}

static json_t *object_from_jv(jv value, size_t depth, struct budget *budget)
{
	json_t *object = json_object();
	int iter = jv_object_iter(value);

	for (; jv_object_iter_valid(value, iter); iter = jv_object_iter_next(value, iter)) {
		jv key = jv_object_iter_key(value, iter);
		const char *name = jv_string_value(key);
		json_t *own = NULL;

		if (strlen(name) == (size_t)jv_string_length_bytes(jv_copy(key)) &&
		    spend(budget, strlen(name)))
			own = from_jv(jv_object_iter_value(value, iter), depth + 1, budget);
		if (own != NULL)
			json_object_set_new(object, name, own);
		jv_free(key);
		if (own == NULL) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

/* Takes value.  NULL: budget->err. */
static json_t *from_jv(jv value, size_t depth, struct budget *budget)
{
	json_t *own = NULL;

	if (depth > NESTED_MAX || !spend(budget, 8)) {
		err_set(budget->err, ERR_INVALID,
			"the expression's answer is larger than 1 MiB or nested too deep");
		jv_free(value);
		return NULL;
	}
	switch (jv_get_kind(value)) {
	case JV_KIND_OBJECT:
		own = object_from_jv(value, depth, budget);
		break;
	case JV_KIND_ARRAY:
		own = array_from_jv(value, depth, budget);
		break;
	case JV_KIND_STRING:
		own = string_from_jv(jv_string_value(value),
				     (size_t)jv_string_length_bytes(jv_copy(value)), budget);
		break;
	case JV_KIND_NUMBER:
		own = number_from_jv(jv_number_value(value));
		break;
	case JV_KIND_TRUE:
	case JV_KIND_FALSE:
		own = json_boolean(jv_get_kind(value) == JV_KIND_TRUE);
		break;
	case JV_KIND_NULL:
	case JV_KIND_INVALID:
		own = json_null();
		break;
	}
	jv_free(value);
	return own;
}

/* --- running --- */

static void run_error(struct expr *expr, jv message, struct err *err)
{
	if (jv_get_kind(message) == JV_KIND_STRING)
		err_set(err, ERR_INVALID, "the expression \"%s\" failed: %s", expr->source,
			jv_string_value(message));
	else
		err_set(err, ERR_INVALID, "the expression \"%s\" failed", expr->source);
	jv_free(message);
}

/* The first result; invalid: err is set.  Nothing of the input stays referenced. */
static jv first_result(struct expr *expr, const json_t *input, struct err *err)
{
	jv result;

	jq_start(expr->jq, to_jv(input, 0), 0);
	result = jq_next(expr->jq);
	jq_start(expr->jq, jv_null(), 0);
	if (jv_is_valid(result))
		return result;
	if (jv_invalid_has_msg(jv_copy(result)))
		run_error(expr, jv_invalid_get_msg(jv_copy(result)), err);
	else
		err_set(err, ERR_INVALID, "the expression \"%s\" gave no value", expr->source);
	return result;
}

bool expr_value(struct expr *expr, const json_t *input, json_t **ret_value, struct err *err)
{
	struct err failure = { .kind = ERR_NONE };
	struct budget budget = { .left = ANSWER_MAX, .err = &failure };
	jv result = first_result(expr, input, err);
	json_t *value;

	if (!jv_is_valid(result)) {
		jv_free(result);
		return false;
	}
	value = from_jv(result, 0, &budget);
	if (value == NULL) {
		if (failure.kind == ERR_NONE)
			err_set(&failure, ERR_INVALID, "the expression's answer is not plain JSON");
		*err = failure;
		return false;
	}
	*ret_value = value;
	return true;
}

bool expr_truth(struct expr *expr, const json_t *input, bool *ret_truth, struct err *err)
{
	jv result = first_result(expr, input, err);
	jv_kind kind = jv_get_kind(result);
	bool valid = jv_is_valid(result);

	jv_free(result);
	if (valid)
		*ret_truth = kind != JV_KIND_FALSE && kind != JV_KIND_NULL;
	return valid;
}
