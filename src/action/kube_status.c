/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_status.c - how workloads and jobs are: one in detail, or all of a namespace in a table.
 * shapes[] says what is shown of each kind.
 */
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
	{ "kind", ACTION_TEXT, false,
	  "Deployment (the default), StatefulSet, DaemonSet, ReplicaSet, CronJob or Job" },
	{ "name", ACTION_TEXT, false, "one of them; without it all are shown" },
	{ "selector", ACTION_TEXT, false, "labels, like app=web" },
	{ NULL, ACTION_TEXT, false, NULL },
};

static void field(json_t *fields, const char *name, json_t *value)
{
	json_array_append_new(fields, json_pack("[s, o]", name, value));
}

static json_t *text_of(const json_t *object, const char *path)
{
	return json_string(jget_str_or(object, path, "-"));
}

static json_t *number_text(int64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, n);
	return json_string(text);
}

static json_t *part_of(int64_t n, int64_t all)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "%" PRId64 "/%" PRId64, n, all);
	return json_string(text);
}

static json_t *image_of(const json_t *template)
{
	return json_string(
		jget_str_or(json_array_get(jget(template, "spec.containers"), 0), "image", "-"));
}

/* --- of a workload --- */

static json_t *rollout_of(const struct place *place, const json_t *object)
{
	struct rollout rollout;

	rollout_read(object, place->kind, &rollout);
	return json_string(rollout.says);
}

static json_t *workload_row(const struct place *place, const json_t *object)
{
	struct rollout_counts n = { 0 };

	(void)rollout_counts(object, place->kind, &n);
	return json_pack("[s, o, o, o]", jget_str_or(object, "metadata.name", "?"),
			 part_of(n.ready, n.wanted), rollout_of(place, object),
			 image_of(jget(object, "spec.template")));
}

static void workload_fields(json_t *fields, const struct place *place, const json_t *object)
{
	struct rollout_counts n = { 0 };

	(void)rollout_counts(object, place->kind, &n);
	field(fields, "Ready", part_of(n.ready, n.wanted));
	field(fields, "Updated", number_text(n.updated));
	field(fields, "Available", number_text(n.available));
	field(fields, "Rollout", rollout_of(place, object));
	field(fields, "Image", image_of(jget(object, "spec.template")));
}

static bool workload_lacks_pods(const struct place *place, const json_t *object)
{
	struct rollout_counts n = { 0 };

	return rollout_counts(object, place->kind, &n) && n.ready < n.wanted;
}

/* --- of a job --- */

/* Succeeded of so many as are wanted; a job that takes whatever it can get wants one. */
static json_t *succeeded_of(const json_t *job)
{
	return part_of(jget_int(job, "status.succeeded", 0), jget_int(job, "spec.completions", 1));
}

static json_t *job_row(const struct place *place, const json_t *object)
{
	(void)place;
	return json_pack("[s, s, o, o, o]", jget_str_or(object, "metadata.name", "?"),
			 job_state(object), succeeded_of(object),
			 number_text(jget_int(object, "status.failed", 0)),
			 text_of(object, "status.startTime"));
}

static void job_fields(json_t *fields, const struct place *place, const json_t *object)
{
	(void)place;
	field(fields, "State", json_string(job_state(object)));
	field(fields, "Succeeded", succeeded_of(object));
	field(fields, "Failed", number_text(jget_int(object, "status.failed", 0)));
	field(fields, "Running", number_text(jget_int(object, "status.active", 0)));
	field(fields, "Started", text_of(object, "status.startTime"));
	if (jget_str(object, "status.completionTime") != NULL)
		field(fields, "Ended", text_of(object, "status.completionTime"));
	field(fields, "Image", image_of(jget(object, "spec.template")));
}

static bool job_lacks_pods(const struct place *place, const json_t *object)
{
	(void)place;
	return !str_eq(job_state(object), "complete");
}

/* --- of a cronjob --- */

static const char *suspended(const json_t *object)
{
	return jget_bool(object, "spec.suspend", false) ? "yes" : "no";
}

static json_t *running_of(const json_t *object)
{
	return number_text((int64_t)json_array_size(jget(object, "status.active")));
}

static json_t *cronjob_row(const struct place *place, const json_t *object)
{
	(void)place;
	return json_pack("[s, o, s, o, o, o]", jget_str_or(object, "metadata.name", "?"),
			 text_of(object, "spec.schedule"), suspended(object), running_of(object),
			 text_of(object, "status.lastScheduleTime"),
			 text_of(object, "status.lastSuccessfulTime"));
}

static void cronjob_fields(json_t *fields, const struct place *place, const json_t *object)
{
	(void)place;
	field(fields, "Schedule", text_of(object, "spec.schedule"));
	if (jget_str(object, "spec.timeZone") != NULL)
		field(fields, "Time zone", text_of(object, "spec.timeZone"));
	field(fields, "Suspended", json_string(suspended(object)));
	field(fields, "Running", running_of(object));
	field(fields, "Last run", text_of(object, "status.lastScheduleTime"));
	field(fields, "Last success", text_of(object, "status.lastSuccessfulTime"));
	field(fields, "Image", image_of(jget(object, "spec.jobTemplate.spec.template")));
}

/* --- what is shown of each kind --- */

static const struct shape {
	const char *kinds[4];   /* NULL: no more */
	const char *columns[6]; /* the same */
	json_t *(*row)(const struct place *place, const json_t *object);
	void (*fields)(json_t *fields, const struct place *place, const json_t *object);
	/* May a pod that is not ready be why it is as it is?  NULL: it has none. */
	bool (*lacks_pods)(const struct place *place, const json_t *object);
} shapes[] = {
	{ { "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet" },
	  { "Name", "Ready", "Rollout", "Image" },
	  workload_row,
	  workload_fields,
	  workload_lacks_pods },
	{ { "Job" },
	  { "Name", "State", "Succeeded", "Failed", "Started" },
	  job_row,
	  job_fields,
	  job_lacks_pods },
	{ { "CronJob" },
	  { "Name", "Schedule", "Suspended", "Running", "Last run", "Last success" },
	  cronjob_row,
	  cronjob_fields,
	  NULL },
};

/* NULL: opsd has nothing to say of that kind. */
static const struct shape *shape_of(const struct kube_kind *kind)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (size_t k = 0; k < sizeof(shapes[i].kinds) / sizeof(shapes[i].kinds[0]); k++)
			if (str_eq(shapes[i].kinds[k], kind->kind))
				return &shapes[i];
	return NULL;
}

static json_t *columns_of(const struct shape *shape)
{
	json_t *columns = json_array();

	for (size_t i = 0; i < sizeof(shape->columns) / sizeof(shape->columns[0]); i++)
		if (shape->columns[i] != NULL)
			json_array_append_new(columns, json_string(shape->columns[i]));
	return columns;
}

struct status {
	struct act act;
	struct place place;
	const struct shape *shape;
	json_t *result; /* while its pods are asked for */
};

/* --- one --- */

/* Conditions that are not as one wants them, with the cluster's own words. */
static void put_troubles(const struct place *place, const json_t *object, struct buf *buf)
{
	json_t *condition;
	size_t i;

	if (!place->kind->scalable) {
		(void)buf_printf(buf, "%.400s", job_failure(object));
		return;
	}
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

static json_t *detail(const struct status *status, const json_t *object, const json_t *hpas)
{
	const struct place *place = &status->place;
	json_t *fields = json_array(), *result = json_object();
	const char *mark = object_note(object, "metadata.annotations", ACTION_MARK);
	char *what = place_text(place);
	struct buf troubles;

	status->shape->fields(fields, place, object);
	put_scaler(fields, place, hpas);
	if (mark != NULL)
		field(fields, "Last changed by request", json_string(mark));
	buf_init(&troubles, TEXT_MAX);
	put_troubles(place, object, &troubles);
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
	status->result =
		detail(status, object, status->place.kind->scalable ? items[1].body : NULL);
	ask_more(status, object,
		 status->shape->lacks_pods != NULL &&
			 status->shape->lacks_pods(&status->place, object));
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
	status->act.inner = gather_start(status->place.kube, requests,
					 status->place.kind->scalable ? 2 : 1, on_one, status);
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
	json_array_foreach(json_object_get(answer->body, "items"), i, item)
		json_array_append_new(rows, status->shape->row(&status->place, item));
	what = place_text(&status->place);
	result = json_pack("{s:s, s:o, s:o}", "title", what, "columns", columns_of(status->shape),
			   "rows", rows);
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

static void no_shape(struct err *err, const struct kube_kind *kind)
{
	err_set(err, ERR_INVALID,
		"a %s has no such status; use kube.list, or kube.status of a Deployment, "
		"StatefulSet, DaemonSet, ReplicaSet, CronJob or Job",
		kind->kind);
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
	status->shape = shape_of(status->place.kind);
	if (status->shape == NULL) {
		no_shape(&act->err, status->place.kind);
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
	const struct kube_kind *kind = kube_kind_find(jget_str(with, "kind"));

	if (!place_check(env, with, false, ret_param, err))
		return false;
	if (kind == NULL || shape_of(kind) != NULL)
		return true;
	*ret_param = "kind";
	no_shape(err, kind);
	return false;
}

static const struct action_need needs[] = {
	{ .verbs = "get list", .kinds = "Deployment StatefulSet DaemonSet ReplicaSet CronJob Job" },
	{ .verbs = "list", .kinds = "Pod", .spare = true },
	{ .verbs = "list", .kinds = "Event", .spare = true },
	{ .verbs = "list", .kinds = "HorizontalPodAutoscaler", .spare = true },
	{ .verbs = NULL },
};

const struct action_kind action_kube_status = {
	.name = "kube.status",
	.about = "Show how workloads and jobs are",
	.params = params,
	.effect = ACTION_READ,
	.check = check_status,
	.apply = apply_status,
	.needs = needs,
};
