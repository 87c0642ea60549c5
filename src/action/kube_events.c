/* SPDX-License-Identifier: Apache-2.0 */
/* kube_events.c - what happened in a namespace, or to one object, newest first. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { EVENTS_MAX = 50 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the namespace" },
	{ "name", ACTION_TEXT, false, "only of objects whose name begins so" },
	{ "warnings", ACTION_BOOL, false, "only those of type Warning" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct events {
	struct act act;
	struct place place;
	char *prefix;
};

struct found {
	const json_t *event;
	const char *when;
};

/* The first that is set: emitters of the old kind leave eventTime null. */
const char *events_when(const json_t *event)
{
	static const char *const places[] = { "series.lastObservedTime", "deprecatedLastTimestamp",
					      "eventTime", "metadata.creationTimestamp" };

	for (size_t i = 0; i < 4; i++) {
		const char *when = jget_str(event, places[i]);

		if (!str_empty(when))
			return when;
	}
	return "";
}

static int64_t count_of(const json_t *event)
{
	int64_t n = jget_int(event, "series.count", 0);

	return n > 0 ? n : jget_int(event, "deprecatedCount", 1);
}

static int newest_first(const void *a, const void *b)
{
	return strcmp(((const struct found *)b)->when, ((const struct found *)a)->when);
}

static bool wanted(const struct events *events, const json_t *event)
{
	if (jget_bool(events->act.run->with, "warnings", false) &&
	    !str_eq(jget_str(event, "type"), "Warning"))
		return false;
	return events->prefix == NULL ||
	       str_starts(jget_str_or(event, "regarding.name", ""), events->prefix);
}

static json_t *row_of(const json_t *event)
{
	const char *note = jget_str_or(event, "note", "");
	char *object = xasprintf("%s %s", jget_str_or(event, "regarding.kind", "?"),
				 jget_str_or(event, "regarding.name", "?"));
	char *when = xstrndup(events_when(event), 19),
	     *count = xasprintf("%" PRId64, count_of(event));
	json_t *text = json_string(*note != '\0' ? note : jget_str_or(event, "reason", ""));
	json_t *row = json_pack("[s, s, s, s, o, s]", when, jget_str_or(event, "type", ""),
				jget_str_or(event, "reason", ""), object, cell_of(text), count);

	json_decref(text);
	free(object);
	free(when);
	free(count);
	return row;
}

static json_t *rows_of(const struct events *events, const json_t *items)
{
	struct found *found = xcalloc(json_array_size(items) + 1, sizeof(*found));
	json_t *rows = json_array(), *event;
	size_t n = 0, i;

	json_array_foreach((json_t *)(uintptr_t)items, i, event) if (wanted(events, event))
		found[n++] = (struct found){ event, events_when(event) };
	qsort(found, n, sizeof(*found), newest_first);
	for (i = 0; i < n && i < EVENTS_MAX; i++)
		json_array_append_new(rows, row_of(found[i].event));
	free(found);
	return rows;
}

static void on_events(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct events *events = data;
	json_t *rows;
	char *title;

	events->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&events->act, err);
		return;
	}
	rows = rows_of(events, json_object_get(answer->body, "items"));
	title = xasprintf("Events in %s%s%s on cluster %s", events->place.space,
			  events->prefix != NULL ? " of " : "",
			  events->prefix != NULL ? events->prefix : "",
			  kube_name(events->place.kube));
	act_end(&events->act,
		json_pack("{s:s, s:[s, s, s, s, s, s], s:o}", "title", title, "columns", "When",
			  "Type", "Reason", "Object", "What", "Times", "rows", rows));
	free(title);
}

static void on_finish(struct act *act)
{
	free(((struct events *)act)->prefix);
}

static struct call *apply_events(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct events), env, run, done, data);
	struct events *events = (struct events *)act;
	struct kube_request request = { .method = "GET",
					.query = "limit=500",
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	act->finish = on_finish;
	if (!place_read(&events->place, env, run->with, "Event", PLACE_LIST, &act->err))
		return act_fail(act);
	if (events->place.space == NULL) {
		err_set(&act->err, ERR_INVALID, "a namespace is needed");
		return act_fail(act);
	}
	events->prefix = xstrdup_null(events->place.name);
	request.kind = events->place.kind;
	request.space = events->place.space;
	act->inner = kube_call(events->place.kube, &request, on_events, events);
	return &act->call;
}

static bool check_events(const json_t *with, const struct action_env *env, const char **ret_param,
			 struct err *err)
{
	return place_check(env, with, false, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "list", .kinds = "Event" },
	{ .verbs = NULL },
};

const struct action_kind action_kube_events = {
	.name = "kube.events",
	.about = "Show what happened in a namespace",
	.params = params,
	.effect = ACTION_READ,
	.check = check_events,
	.apply = apply_events,
	.needs = needs,
};
