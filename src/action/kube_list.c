/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_list.c - objects of one kind as the cluster itself would show them (its Table form), a page
 * at a time.  The first column is the name, so that the same kind gives the choices of a parameter.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/http.h"

enum { PAGE = 50, PAGE_MAX = 500, COLUMNS_MAX = 10 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, false, "only of this namespace; without it of all" },
	{ "kind", ACTION_TEXT, true, "Deployment, Pod, Namespace, …" },
	{ "selector", ACTION_TEXT, false, "labels, like app=web,tier!=test" },
	{ "fields", ACTION_TEXT, false, "fields, like status.phase=Running" },
	{ "limit", ACTION_NUMBER, false, "rows of a page, 50 by default, 500 at most" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct listing {
	struct act act;
	struct place place;
};

/* Wide columns (priority above 0) are left out. */
static bool is_shown(const json_t *definitions, size_t i)
{
	return jget_int(json_array_get(definitions, i), "priority", 0) == 0;
}

static json_t *columns_of(const json_t *definitions, bool spaces)
{
	json_t *columns = json_array(), *definition;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)definitions, i, definition)
	{
		if (!is_shown(definitions, i) || json_array_size(columns) >= COLUMNS_MAX)
			continue;
		json_array_append_new(columns, json_string(jget_str_or(definition, "name", "?")));
		if (i == 0 && spaces)
			json_array_append_new(columns, json_string("Namespace"));
	}
	return columns;
}

static json_t *row_of(const json_t *row, const json_t *definitions, bool spaces)
{
	json_t *cells = json_array(), *value;
	size_t i;

	json_array_foreach(json_object_get(row, "cells"), i, value)
	{
		if (!is_shown(definitions, i) || json_array_size(cells) >= COLUMNS_MAX)
			continue;
		json_array_append_new(cells, cell_of(value));
		if (i == 0 && spaces)
			json_array_append_new(
				cells,
				json_string(jget_str_or(row, "object.metadata.namespace", "")));
	}
	return cells;
}

static void on_table(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct listing *listing = data;
	const struct place *place = &listing->place;
	const json_t *definitions = json_object_get(answer->body, "columnDefinitions");
	const char *next = jget_str_or(answer->body, "metadata.continue", "");
	int64_t more = jget_int(answer->body, "metadata.remainingItemCount", -1);
	bool spaces = place->kind->namespaced && place->space == NULL;
	json_t *rows = json_array(), *row, *result = json_object();
	char *what;
	size_t i;

	listing->act.inner = NULL;
	if (err != NULL) {
		json_decref(rows);
		json_decref(result);
		act_end_badly(&listing->act, err);
		return;
	}
	json_array_foreach(json_object_get(answer->body, "rows"), i, row)
		json_array_append_new(rows, row_of(row, definitions, spaces));
	what = place_text(place);
	json_object_set_new(result, "title", json_string(what));
	json_object_set_new(result, "columns", columns_of(definitions, spaces));
	json_object_set_new(result, "rows", rows);
	json_object_set_new(result, "next", *next != '\0' ? json_string(next) : json_null());
	if (listing->act.run->cursor == NULL && (*next == '\0' || more >= 0))
		json_object_set_new(
			result, "total",
			json_integer((json_int_t)json_array_size(rows) + (more > 0 ? more : 0)));
	free(what);
	act_end(&listing->act, result);
}

static void put_query(struct buf *query, const char *key, const char *value)
{
	char *escaped;

	if (str_empty(value))
		return;
	escaped = http_escape(value);
	(void)buf_printf(query, "&%s=%s", key, escaped);
	free(escaped);
}

static struct call *apply_list(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct listing), env, run, done, data);
	struct listing *listing = (struct listing *)act;
	int64_t limit = number_of(json_object_get(run->with, "limit"), PAGE);
	struct kube_request request = {
		.method = "GET",
		.accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
		.request_id = run->request_id,
		.person = run->person,
		.timeout_ms = run->timeout_ms,
	};
	struct buf query;

	if (!place_read(&listing->place, env, run->with, NULL, PLACE_LIST, &act->err))
		return act_fail(act);
	buf_init(&query, 8192);
	(void)buf_printf(&query, "limit=%" PRId64 "&includeObject=Metadata",
			 limit < 1          ? PAGE
			 : limit > PAGE_MAX ? PAGE_MAX
					    : limit);
	put_query(&query, "labelSelector", jget_str(run->with, "selector"));
	put_query(&query, "fieldSelector", jget_str(run->with, "fields"));
	put_query(&query, "continue", run->cursor);
	request.kind = listing->place.kind;
	request.space = listing->place.space;
	request.query = buf_text(&query);
	act->inner = kube_call(listing->place.kube, &request, on_table, listing);
	buf_finish(&query);
	return &act->call;
}

static bool check_list(const json_t *with, const struct action_env *env, const char **ret_param,
		       struct err *err)
{
	return place_check(env, with, false, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "list", .kinds = "*" },
	{ .verbs = NULL },
};

const struct action_kind action_kube_list = {
	.name = "kube.list",
	.about = "List objects of a cluster",
	.params = params,
	.effect = ACTION_READ,
	.check = check_list,
	.apply = apply_list,
	.needs = needs,
};
