/* SPDX-License-Identifier: Apache-2.0 */
/* kube_status.c - how workloads are: one in detail, or all of a namespace in a table. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/http.h"

enum { PAGE = 50, TEXT_MAX = 600, EVENTS_SHOWN = 5, EVENT_MAX = 320 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the namespace" },
	{ "kind", ACTION_TEXT, false, "Deployment (the default) or StatefulSet" },
	{ "name", ACTION_TEXT, false, "one workload; without it all are shown" },
	{ "selector", ACTION_TEXT, false, "labels, like app=web" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct status {
	struct act act;
	struct place place;
	json_t *result; /* while its pods are asked for */
};

static json_t *ready_of(const json_t *object)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "%" PRId64 "/%" PRId64,
		       jget_int(object, "status.readyReplicas", 0),
		       jget_int(object, "spec.replicas", 1));
	return json_string(text);
}

static json_t *image_of(const json_t *object)
{
	json_t *containers = jget(object, "spec.template.spec.containers");

	return json_string(jget_str_or(json_array_get(containers, 0), "image", ""));
}

static json_t *rollout_of(const struct place *place, const json_t *object)
{
	struct rollout rollout;

	rollout_read(object, place->kind, &rollout);
	return json_string(rollout.says);
}

/* --- one --- */

static void field(json_t *fields, const char *name, json_t *value)
{
	json_array_append_new(fields, json_pack("[s, o]", name, value));
}

static void number(json_t *fields, const char *name, const json_t *object, const char *path)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRId64, jget_int(object, path, 0));
	field(fields, name, json_string(text));
}

/* Conditions that are not as one wants them, with the cluster's own words. */
static void put_troubles(const json_t *object, struct buf *buf)
{
	json_t *condition;
	size_t i;

	json_array_foreach(jget(object, "status.conditions"), i, condition)
	{
		const char *type = jget_str_or(condition, "type", "");
		bool is = str_eq(jget_str(condition, "status"), "True");
		bool bad = str_eq(type, "ReplicaFailure") ? is : !is;

		if (bad)
			(void)buf_printf(buf, "%s%s: %.200s", buf->len > 0 ? "\n" : "", type,
					 jget_str_or(condition, "message",
						     jget_str_or(condition, "reason", "")));
	}
}

static void put_scaler(json_t *fields, const struct place *place, const json_t *hpas)
{
	static const struct step none = { 0 };
	struct owners found = { json_array(), json_array() };
	json_t *owner;
	size_t i;

	scalers_say(&found, place, hpas, NULL, &none);
	json_array_foreach(found.owners, i, owner)
		field(fields, "Autoscaler", json_incref(json_object_get(owner, "who")));
	json_decref(found.owners);
	json_decref(found.warnings);
}

static json_t *detail(const struct place *place, const json_t *object, const json_t *hpas)
{
	json_t *fields = json_array(), *result = json_object();
	const char *mark = json_string_value(
		json_object_get(jget(object, "metadata.annotations"), ACTION_MARK));
	char *what = place_text(place);
	struct buf troubles;

	field(fields, "Ready", ready_of(object));
	number(fields, "Updated", object, "status.updatedReplicas");
	number(fields, "Available", object, "status.availableReplicas");
	field(fields, "Rollout", rollout_of(place, object));
	field(fields, "Image", image_of(object));
	put_scaler(fields, place, hpas);
	if (mark != NULL)
		field(fields, "Last changed by request", json_string(mark));
	buf_init(&troubles, TEXT_MAX);
	put_troubles(object, &troubles);
	json_object_set_new(result, "title", json_string(what));
	json_object_set_new(result, "fields", fields);
	if (troubles.len > 0)
		json_object_set_new(result, "text", json_string(buf_text(&troubles)));
	buf_finish(&troubles);
	free(what);
	return result;
}

static void on_near(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

/* --- what happened to it, and which of its pods are not ready --- */

enum { EVENTS, PODS, ASKED };

static void put_pods(json_t *result, const json_t *list)
{
	json_t *rows = pods_unready_rows(json_object_get(list, "items"));

	if (json_array_size(rows) > 0) {
		json_object_set_new(result, "columns",
				    json_pack("[s, s, s, s]", "Pod", "Phase", "Restarts", "Why"));
		json_object_set(result, "rows", rows);
	}
	json_decref(rows);
}

/* The newest that is older than before; NULL: none. */
static const json_t *event_before(const json_t *list, const char *before)
{
	const json_t *found = NULL;
	json_t *event;
	size_t i;

	json_array_foreach(json_object_get(list, "items"), i, event)
	{
		const char *when = events_when(event);

		if (strcmp(when, before) < 0 &&
		    (found == NULL || strcmp(when, events_when(found)) > 0))
			found = event;
	}
	return found;
}

static void put_events(json_t *result, const json_t *list)
{
	const char *text = jget_str_or(result, "text", ""), *before = "~";
	const json_t *event;
	struct buf buf;
	json_t *all;

	buf_init(&buf, TEXT_MAX + (size_t)EVENTS_SHOWN * EVENT_MAX);
	(void)buf_puts(&buf, text);
	for (size_t n = 0; n < EVENTS_SHOWN && (event = event_before(list, before)) != NULL; n++) {
		before = events_when(event);
		(void)buf_printf(&buf, "%s%.19s %s: %.200s", buf.len > 0 ? "\n" : "", before,
				 jget_str_or(event, "reason", "?"), jget_str_or(event, "note", ""));
	}
	all = json_string(buf_text(&buf)); /* NULL when a cut left half a character */
	if (buf.len > 0 && all != NULL)
		json_object_set(result, "text", all);
	json_decref(all);
	buf_finish(&buf);
}

static void on_more(void *data, const struct gathered *items)
{
	struct status *status = data;
	json_t *result = status->result;

	/* What could not be seen is left out. */
	status->result = NULL;
	put_events(result, items[EVENTS].body);
	put_pods(result, items[PODS].body);
	act_end(&status->act, result);
}

static void ask_more(struct status *status, const json_t *object, bool pods)
{
	const struct action_run *run = status->act.run;
	char *query = pods_query(object);
	char *events = xasprintf("limit=100&fieldSelector=regarding.uid%%3D%s",
				 jget_str_or(object, "metadata.uid", ""));
	struct kube_request requests[ASKED] = { 0 };

	requests[EVENTS].kind = kube_kind_find("Event");
	requests[EVENTS].query = events;
	requests[PODS].kind = kube_kind_find("Pod");
	requests[PODS].query = query;
	for (size_t i = 0; i < ASKED; i++) {
		requests[i].method = "GET";
		requests[i].space = status->place.space;
		requests[i].person = run->person;
		requests[i].request_id = run->request_id;
		requests[i].timeout_ms = run->timeout_ms / 2 + 1;
	}
	status->act.inner =
		gather_start(status->place.kube, requests, pods ? ASKED : PODS, on_more, status);
	free(query);
	free(events);
}

static void on_one(void *data, const struct gathered *items)
{
	struct status *status = data;
	const json_t *object = items[0].body;

	status->act.inner = NULL;
	if (items[0].problem == KUBE_NOT_FOUND) {
		status->act.inner = nearby_start(&status->place, status->act.run, &items[0].err,
						 on_near, status);
		return;
	}
	if (items[0].problem != KUBE_FINE) {
		act_end_badly(&status->act, &items[0].err);
		return;
	}
	status->result = detail(&status->place, object, items[1].body);
	ask_more(status, object,
		 jget_int(object, "status.readyReplicas", 0) <
			 jget_int(object, "spec.replicas", 1));
}

static void ask_one(struct status *status)
{
	struct kube_request requests[2];

	memset(requests, 0, sizeof(requests));
	for (size_t i = 0; i < 2; i++) {
		requests[i].method = "GET";
		requests[i].space = status->place.space;
		requests[i].request_id = status->act.run->request_id;
		requests[i].person = status->act.run->person;
		requests[i].timeout_ms = status->act.run->timeout_ms;
	}
	requests[0].kind = status->place.kind;
	requests[0].name = status->place.name;
	requests[1].kind = kube_kind_find("HorizontalPodAutoscaler");
	requests[1].query = "limit=500";
	status->act.inner = gather_start(status->place.kube, requests, 2, on_one, status);
}

/* --- all --- */

static void on_all(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct status *status = data;
	const char *next = jget_str_or(answer->body, "metadata.continue", "");
	json_t *rows = json_array(), *item, *result;
	char *what;
	size_t i;

	status->act.inner = NULL;
	if (err != NULL) {
		json_decref(rows);
		act_end_badly(&status->act, err);
		return;
	}
	json_array_foreach(json_object_get(answer->body, "items"), i, item) json_array_append_new(
		rows, json_pack("[s, o, o, o]", jget_str_or(item, "metadata.name", "?"),
				ready_of(item), rollout_of(&status->place, item), image_of(item)));
	what = place_text(&status->place);
	result = json_pack("{s:s, s:[s, s, s, s], s:o}", "title", what, "columns", "Name", "Ready",
			   "Rollout", "Image", "rows", rows);
	json_object_set_new(result, "next", *next != '\0' ? json_string(next) : json_null());
	free(what);
	act_end(&status->act, result);
}

static void ask_all(struct status *status)
{
	const struct action_run *run = status->act.run;
	const char *selector = jget_str(run->with, "selector");
	struct kube_request request = { .method = "GET",
					.kind = status->place.kind,
					.space = status->place.space,
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };
	struct buf query;
	char *escaped;

	buf_init(&query, 8192);
	(void)buf_printf(&query, "limit=%d", PAGE);
	if (!str_empty(selector)) {
		escaped = http_escape(selector);
		(void)buf_printf(&query, "&labelSelector=%s", escaped);
		free(escaped);
	}
	if (run->cursor != NULL) {
		escaped = http_escape(run->cursor);
		(void)buf_printf(&query, "&continue=%s", escaped);
		free(escaped);
	}
	request.query = buf_text(&query);
	status->act.inner = kube_call(status->place.kube, &request, on_all, status);
	buf_finish(&query);
}

static void on_finish(struct act *act)
{
	json_decref(((struct status *)act)->result);
}

static struct call *apply_status(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct status), env, run, done, data);
	struct status *status = (struct status *)act;

	act->finish = on_finish;
	if (!place_read(&status->place, env, run->with, "Deployment", PLACE_LIST, &act->err))
		return act_fail(act);
	if (!status->place.kind->scalable) {
		err_set(&act->err, ERR_INVALID, "a %s has no replicas to speak of",
			status->place.kind->kind);
		return act_fail(act);
	}
	if (status->place.name != NULL)
		ask_one(status);
	else
		ask_all(status);
	return &act->call;
}

static bool check_status(const json_t *with, const struct action_env *env, const char **ret_param,
			 struct err *err)
{
	return place_check(env, with, true, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get list", .kinds = "Deployment StatefulSet ReplicaSet" },
	{ .verbs = "list", .kinds = "Pod", .spare = true },
	{ .verbs = "list", .kinds = "Event", .spare = true },
	{ .verbs = "list", .kinds = "HorizontalPodAutoscaler", .spare = true },
	{ .verbs = NULL },
};

const struct action_kind action_kube_status = {
	.name = "kube.status",
	.about = "Show how workloads are",
	.params = params,
	.effect = ACTION_READ,
	.check = check_status,
	.apply = apply_status,
	.needs = needs,
};
