/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_logs.c - the last lines of one pod's log: a pod by its name, or the likeliest pod of a
 * workload.
 *
 * What a container writes is bytes: colours, controls and bad UTF-8 are taken out, and it is the
 * end that is shown.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/http.h"

enum { LINES = 50, LINES_MAX = 500, TEXT_MAX = 2800, LOG_MAX = 256 * 1024 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the namespace" },
	{ "kind", ACTION_TEXT, false, "Deployment (the default), StatefulSet, Job … or Pod" },
	{ "name", ACTION_TEXT, true, "its name" },
	{ "container", ACTION_TEXT, false, "which container; the pod's default without it" },
	{ "lines", ACTION_NUMBER, false, "50 by default, 500 at most" },
	{ "previous", ACTION_BOOL, false, "of the run before the last restart" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct logs {
	struct act act;
	struct place place;
	char *pod;
};

static void on_finish(struct act *act)
{
	free(((struct logs *)act)->pod);
}

/* --- the text --- */

/* Bytes of an ANSI escape sequence at p, or 0. */
static size_t escape_len(const char *p)
{
	size_t n = 2;

	if (p[0] != '\x1b')
		return 0;
	if (p[1] != '[')
		return 1;
	while (p[n] != '\0' && (unsigned char)p[n] < 0x40)
		n++;
	return p[n] == '\0' ? n : n + 1;
}

static char *clean(const char *text, size_t len)
{
	struct buf buf;
	size_t i = 0;

	buf_init(&buf, 4 * LOG_MAX);
	while (i < len) {
		uint32_t cp;
		size_t step = escape_len(text + i), seq;

		if (step > 0) {
			i += step;
			continue;
		}
		seq = str_utf8_next(text + i, len - i, &cp);
		if (seq == 0)
			(void)buf_puts(&buf, "\xef\xbf\xbd");
		else if (cp >= 0x20 ? cp != 0x7f : cp == '\n' || cp == '\t')
			(void)buf_append(&buf, text + i, seq);
		i += seq > 0 ? seq : 1;
	}
	return buf_take(&buf);
}

/* The last whole lines that fit. */
static const char *tail_of(const char *text)
{
	const char *line;

	while (str_utf16_len(text) > TEXT_MAX) {
		line = strchr(text, '\n');
		if (line == NULL || line[1] == '\0') /* one endless line: its end */
			return text + strlen(text) - str_utf16_prefix(text, 1000);
		text = line + 1;
	}
	return text;
}

char *logs_tail(const char *raw)
{
	char *text = clean(raw, strlen(raw)), *tail;

	log_redact(text);
	tail = xstrdup(*text != '\0' ? tail_of(text) : "(it has written nothing)");
	free(text);
	return tail;
}

static json_t *answer_of(const struct logs *logs, const char *raw)
{
	char *text = logs_tail(raw);
	char *title = xasprintf("Log of pod %s/%s on cluster %s", logs->place.space, logs->pod,
				kube_name(logs->place.kube));
	json_t *result = json_object(), *shown;

	shown = json_string(text);
	json_object_set_new(result, "title", json_string(title));
	json_object_set_new(result, "text", shown != NULL ? shown : json_string("?"));
	free(title);
	free(text);
	return result;
}

static void on_log(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct logs *logs = data;

	logs->act.inner = NULL;
	if (err != NULL)
		act_end_badly(&logs->act, err);
	else
		act_end(&logs->act, answer_of(logs, answer->text));
}

static void ask_log(struct logs *logs)
{
	const struct action_run *run = logs->act.run;
	const char *container = jget_str(run->with, "container");
	int64_t lines = number_of(json_object_get(run->with, "lines"), LINES);
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("Pod"),
					.space = logs->place.space,
					.name = logs->pod,
					.subresource = "log",
					.accept = "*/*", /* text/plain alone is refused */
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms,
					.max_body = LOG_MAX + 4096 };
	struct buf query;

	buf_init(&query, 1024);
	(void)buf_printf(&query, "tailLines=%" PRId64 "&limitBytes=%d",
			 lines < 1           ? LINES
			 : lines > LINES_MAX ? LINES_MAX
					     : lines,
			 LOG_MAX);
	if (!str_empty(container)) {
		char *escaped = http_escape(container);

		(void)buf_printf(&query, "&container=%s", escaped);
		free(escaped);
	}
	if (jget_bool(run->with, "previous", false))
		(void)buf_puts(&query, "&previous=true");
	request.query = buf_text(&query);
	logs->act.inner = kube_call(logs->place.kube, &request, on_log, logs);
	buf_finish(&query);
}

/* --- the pod --- */

/* Running and in trouble is what one wants to read first, then running, then the newest. */
static int interest(const json_t *pod)
{
	bool running = str_eq(jget_str(pod, "status.phase"), "Running");

	return (running ? 2 : 0) + (running && !pods_ready(pod) ? 1 : 0);
}

static const char *choose(const json_t *pods)
{
	const json_t *best = NULL;
	json_t *pod;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)pods, i, pod)
	{
		int more = best == NULL ? 1 : interest(pod) - interest(best);
		const char *made = jget_str_or(pod, "metadata.creationTimestamp", "");

		if (more > 0 ||
		    (more == 0 &&
		     strcmp(made, jget_str_or(best, "metadata.creationTimestamp", "")) > 0))
			best = pod;
	}
	return jget_str(best, "metadata.name");
}

static void on_pods(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct logs *logs = data;
	const char *pod;
	struct err own;
	char *what;

	logs->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&logs->act, err);
		return;
	}
	pod = choose(json_object_get(answer->body, "items"));
	if (pod == NULL) {
		what = place_text(&logs->place);
		err_set(&own, ERR_INVALID, "%s has no pods", what);
		free(what);
		act_end_badly(&logs->act, &own);
		return;
	}
	logs->pod = xstrdup(pod);
	ask_log(logs);
}

static void on_near(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

static void on_workload(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct logs *logs = data;
	const struct action_run *run = logs->act.run;
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("Pod"),
					.space = logs->place.space,
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };
	char *query;

	logs->act.inner = NULL;
	if (answer->problem == KUBE_NOT_FOUND) {
		logs->act.inner = nearby_start(&logs->place, run, err, on_near, logs);
		return;
	}
	if (err != NULL) {
		act_end_badly(&logs->act, err);
		return;
	}
	query = pods_query(answer->body);
	request.query = query;
	logs->act.inner = kube_call(logs->place.kube, &request, on_pods, logs);
	free(query);
}

static struct call *apply_logs(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct logs), env, run, done, data);
	struct logs *logs = (struct logs *)act;
	struct kube_request request = { .method = "GET",
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	act->finish = on_finish;
	if (!place_read(&logs->place, env, run->with, "Deployment", PLACE_OBJECT, &act->err))
		return act_fail(act);
	if (str_eq(logs->place.kind->kind, "Pod")) {
		logs->pod = xstrdup(logs->place.name);
		ask_log(logs);
		return &act->call;
	}
	request.kind = logs->place.kind;
	request.space = logs->place.space;
	request.name = logs->place.name;
	act->inner = kube_call(logs->place.kube, &request, on_workload, logs);
	return &act->call;
}

static bool check_logs(const json_t *with, const struct action_env *env, const char **ret_param,
		       struct err *err)
{
	return place_check(env, with, false, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get", .kinds = "Deployment *", .object = "name" },
	{ .verbs = "list", .kinds = "Deployment *", .spare = true },
	{ .verbs = "list", .kinds = "Pod" },
	{ .verbs = "get", .kinds = "Pod", .subresource = "log" },
	{ .verbs = NULL },
};

const struct action_kind action_kube_logs = {
	.name = "kube.logs",
	.about = "Show the last lines of a log",
	.params = params,
	.effect = ACTION_READ,
	.check = check_logs,
	.apply = apply_logs,
	.needs = needs,
};
