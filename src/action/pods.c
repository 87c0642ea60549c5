/* SPDX-License-Identifier: Apache-2.0 */
/* pods.c - the pods of a workload, and why one of them is not ready, in the order in which one
 * looks; pure. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/http.h"

enum { SELECTOR_MAX = 2000, ROWS_MAX = 30, WHY_MAX = 300 };

char *pods_selector(const json_t *workload)
{
	json_t *labels = jget(workload, "spec.selector.matchLabels"), *value;
	struct buf text;
	const char *key;
	bool first = true;

	buf_init(&text, SELECTOR_MAX);
	if (json_object_size(labels) == 0) /* an empty selector would take them all */
		(void)buf_puts(&text, "opsd/nothing");
	json_object_foreach(labels, key, value)
	{
		(void)buf_printf(&text, "%s%s=%s", first ? "" : ",", key,
				 json_is_string(value) ? json_string_value(value) : "");
		first = false;
	}
	return buf_take(&text);
}

char *pods_query(const json_t *workload)
{
	char *selector = pods_selector(workload), *escaped = http_escape(selector);
	char *query = xasprintf("limit=200&labelSelector=%s", escaped);

	free(selector);
	free(escaped);
	return query;
}

static const json_t *condition_of(const json_t *pod, const char *type)
{
	json_t *condition;
	size_t i;

	json_array_foreach(
		jget(pod, "status.conditions"), i,
		condition) if (str_eq(jget_str(condition, "type"), type)) return condition;
	return NULL;
}

bool pods_ready(const json_t *pod)
{
	return str_eq(jget_str(condition_of(pod, "Ready"), "status"), "True");
}

/* Of one list of container states: what the first one in trouble waits for. */
static bool put_container(const json_t *statuses, bool init, char *why, size_t size)
{
	json_t *status;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)statuses, i, status)
	{
		const char *waits = jget_str(status, "state.waiting.reason");
		const char *ended = jget_str(status, "state.terminated.reason");
		const char *last = jget_str(status, "lastState.terminated.reason");
		int64_t code = jget_int(status, "lastState.terminated.exitCode", 0);
		const char *says = jget_str_or(status, "state.waiting.message", "");
		const char *name = jget_str_or(status, "name", "?");

		if (waits == NULL && (ended == NULL || str_eq(ended, "Completed")))
			continue;
		if (waits == NULL)
			(void)snprintf(why, size, "%s%s: %s", init ? "init " : "", name, ended);
		else if (last != NULL)
			(void)snprintf(why, size, "%s%s: %s, last ended by %s (%" PRId64 ")",
				       init ? "init " : "", name, waits, last, code);
		else
			(void)snprintf(why, size, "%s%s: %s%s%.200s", init ? "init " : "", name,
				       waits, *says != '\0' ? ": " : "", says);
		return true;
	}
	return false;
}

/* Nothing keeps it from running, but its readiness probe does not let traffic to it. */
static bool put_unready(const json_t *statuses, char *why, size_t size)
{
	json_t *status;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)statuses, i, status)
	{
		if (jget(status, "state.running") == NULL || jget_bool(status, "ready", true))
			continue;
		(void)snprintf(why, size, "%s runs, but is not ready",
			       jget_str_or(status, "name", "?"));
		return true;
	}
	return false;
}

static void put_why(const json_t *pod, char *why, size_t size)
{
	const json_t *scheduled = condition_of(pod, "PodScheduled");
	const char *deleted = jget_str(pod, "metadata.deletionTimestamp");
	const char *reason = jget_str(pod, "status.reason");

	why[0] = '\0';
	if (deleted != NULL)
		(void)snprintf(why, size, "ends since %s", deleted);
	else if (str_eq(jget_str(scheduled, "status"), "False"))
		(void)snprintf(why, size, "no node for it: %.250s",
			       jget_str_or(scheduled, "message", ""));
	else if (put_container(jget(pod, "status.initContainerStatuses"), true, why, size) ||
		 put_container(jget(pod, "status.containerStatuses"), false, why, size))
		return;
	else if (reason != NULL)
		(void)snprintf(why, size, "%s", reason);
	else if (put_unready(jget(pod, "status.containerStatuses"), why, size))
		return;
	else if (!pods_ready(pod))
		(void)snprintf(why, size, "%.250s",
			       jget_str_or(condition_of(pod, "Ready"), "message", "not ready yet"));
}

bool pods_owned(const json_t *object, const char *uid)
{
	json_t *ref;
	size_t i;

	json_array_foreach(jget(object, "metadata.ownerReferences"), i,
			   ref) if (str_eq(jget_str(ref, "uid"), uid)) return true;
	return false;
}

void pods_worst(const json_t *pods, struct worst *ret)
{
	char why[WHY_MAX];
	json_t *pod;
	size_t i;

	memset(ret, 0, sizeof(*ret));
	json_array_foreach((json_t *)(uintptr_t)pods, i, pod)
	{
		if (pods_ready(pod) || str_eq(jget_str(pod, "status.phase"), "Succeeded"))
			continue;
		ret->n++;
		put_why(pod, why, sizeof(why));
		if (ret->pod != NULL && (pods_trouble(ret->why) || !pods_trouble(why)))
			continue;
		ret->pod = pod;
		memcpy(ret->why, why, sizeof(why));
	}
}

static json_t *restarts_of(const json_t *pod)
{
	json_t *status;
	int64_t n = 0;
	char text[24];
	size_t i;

	json_array_foreach(jget(pod, "status.containerStatuses"), i, status) n +=
		jget_int(status, "restartCount", 0);
	(void)snprintf(text, sizeof(text), "%" PRId64, n);
	return json_string(text);
}

json_t *pods_unready_rows(const json_t *pods)
{
	json_t *rows = json_array(), *pod, *text;
	char why[WHY_MAX];
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)pods, i, pod)
	{
		const char *phase = jget_str_or(pod, "status.phase", "?");

		if (pods_ready(pod) || str_eq(phase, "Succeeded") ||
		    json_array_size(rows) >= ROWS_MAX)
			continue;
		put_why(pod, why, sizeof(why));
		text = json_string(why); /* NULL when the cut left half a character */
		json_array_append_new(rows, json_pack("[s, s, o, o]",
						      jget_str_or(pod, "metadata.name", "?"), phase,
						      restarts_of(pod),
						      text != NULL ? text : json_string("?")));
	}
	return rows;
}

/* What nobody waits out: it takes somebody to put it right. */
bool pods_trouble(const char *why)
{
	static const char *const signs[] = { "BackOff",           "ErrImage",
					     "InvalidImageName",  "CreateContainer",
					     "RunContainerError", "no node for it",
					     "OOMKilled",         "Error" };

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strstr(why, signs[i]) != NULL)
			return true;
	return false;
}
