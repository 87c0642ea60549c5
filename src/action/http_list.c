/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_list.c - a list that an API gives in pages: filters in the query, rows by an expression.
 *
 * rows gives a list of lists (cells), of objects (columns are their keys) or of texts.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "http_ask.h"

enum { COLUMNS_MAX = 10, ROWS_MAX = 500 };

static const struct action_param params[] = {
	{ "api", ACTION_TEXT, true, "an API of the configuration" },
	{ "path", ACTION_TEXT, true, "of the list, like /datasets" },
	{ "query", ACTION_OBJECT, false, "filters; empty ones are left out" },
	{ "cursor", ACTION_TEXT, false, "the query parameter of the next page; cursor by default" },
	{ "rows", ACTION_EXPR, false, "the rows; .answer.items by default" },
	{ "columns", ACTION_LIST, false, "the columns' titles" },
	{ "next", ACTION_EXPR, false, "the next page's cursor; .answer.next by default" },
	{ "total", ACTION_EXPR, false, "how many there are in all" },
	{ "title", ACTION_TEXT, false, "above the list" },
	{ NULL, ACTION_TEXT, false, NULL },
};

/* The titles: as declared, or the keys of the first row that is an object. */
static json_t *columns_of(const json_t *with, const json_t *items)
{
	const json_t *declared = json_object_get(with, "columns");
	json_t *columns = json_array(), *value;
	const char *key;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)declared, i,
			   value) if (json_array_size(columns) < COLUMNS_MAX)
		json_array_append_new(columns, cell_of(value));
	if (declared == NULL) {
		json_object_foreach(json_array_get(items, 0), key,
				    value) if (json_array_size(columns) < COLUMNS_MAX)
			json_array_append_new(columns, json_string(key));
	}
	if (json_array_size(columns) == 0)
		json_array_append_new(columns, json_string("Name"));
	return columns;
}

static json_t *row_of(const json_t *item, const json_t *columns)
{
	json_t *row = json_array(), *value;
	size_t i;

	if (json_is_object(item)) {
		json_array_foreach((json_t *)(uintptr_t)columns, i, value) json_array_append_new(
			row, cell_of(json_object_get(item, json_string_value(value))));
	} else if (json_is_array(item)) {
		json_array_foreach((json_t *)(uintptr_t)item, i, value) if (i < COLUMNS_MAX)
			json_array_append_new(row, cell_of(value));
	} else {
		json_array_append_new(row, cell_of(item));
	}
	return row;
}

/* The value of an optional expression parameter, or of its default; null when there is none. */
static json_t *shape(const struct action_run *run, const char *param, const char *fallback,
		     const json_t *answer, struct err *err)
{
	const char *source = jget_str_or(run->with, param, fallback);

	if (source == NULL)
		return json_null();
	return http_shape(source, run->args, answer, err);
}

static json_t *answer_of(const struct action_run *run, const json_t *answer, struct err *err)
{
	json_t *items = shape(run, "rows", ".answer.items", answer, err);
	json_t *next = items != NULL ? shape(run, "next", ".answer.next", answer, err) : NULL;
	json_t *total = next != NULL ? shape(run, "total", NULL, answer, err) : NULL;
	json_t *result = NULL, *columns, *rows, *item;
	size_t i;

	if (total != NULL && !json_is_array(items)) {
		err_set(err, ERR_INVALID, "API %s: the answer holds no list",
			jget_str_or(run->with, "api", "?"));
	} else if (total != NULL) {
		columns = columns_of(run->with, items);
		rows = json_array();
		json_array_foreach(items, i, item) if (i < ROWS_MAX)
			json_array_append_new(rows, row_of(item, columns));
		result = json_object();
		if (jget_str(run->with, "title") != NULL)
			json_object_set_new(result, "title",
					    json_string(jget_str(run->with, "title")));
		json_object_set_new(result, "columns", columns);
		json_object_set_new(result, "rows", rows);
		json_object_set(result, "next",
				json_is_string(next) && json_string_length(next) > 0 ? next
										     : json_null());
		json_object_set(result, "total", json_is_integer(total) ? total : json_null());
	}
	json_decref(items);
	json_decref(next);
	json_decref(total);
	return result;
}

static void on_answer(void *data, int status, const json_t *answer, const struct err *err)
{
	struct act *act = data;
	struct err own;
	json_t *result;

	(void)status;
	act->inner = NULL;
	if (err != NULL) {
		act_end_badly(act, err);
		return;
	}
	result = answer_of(act->run, answer, &own);
	if (result == NULL)
		act_end_badly(act, &own);
	else
		act_end(act, result);
}

static struct call *apply_list(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(*act), env, run, done, data);
	struct http_ask want = { .api = env_api(env, jget_str_or(run->with, "api", "")),
				 .method = "GET",
				 .path = jget_str(run->with, "path"),
				 .args = run->args,
				 .query = json_object_get(run->with, "query"),
				 .cursor_key = jget_str_or(run->with, "cursor", "cursor"),
				 .cursor = run->cursor,
				 .timeout_ms = run->timeout_ms };

	if (want.api == NULL) {
		err_set(&act->err, ERR_INVALID, "there is no API \"%.80s\" in the configuration",
			jget_str_or(run->with, "api", ""));
		return act_fail(act);
	}
	act->inner = http_ask_start(env, &want, on_answer, act);
	return &act->call;
}

static bool check_list(const json_t *with, const struct action_env *env, const char **ret_param,
		       struct err *err)
{
	const char *path = jget_str_or(with, "path", "");

	if (!env_check_api(env, with, ret_param, err))
		return false;
	*ret_param = "path";
	if (path[0] == '/' && strpbrk(path, "?#") == NULL)
		return true;
	err_set(err, ERR_INVALID, "must begin with / and hold no ? or #; filters belong to query");
	return false;
}

const struct action_kind action_http_list = {
	.name = "http.list",
	.about = "List what an API knows",
	.params = params,
	.effect = ACTION_READ,
	.check = check_list,
	.apply = apply_list,
};
