/* SPDX-License-Identifier: Apache-2.0 */
/*
 * why.c - what a rollout waits for: which pods are to come up, which of them to speak of, and what
 * kind of trouble it is, so that the reader can be told what to do; pure.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { TEXT_MAX = 400 };

/* The ReplicaSet of the Deployment's revision, which lags behind as long as it is not observed. */
const char *why_set(const json_t *sets, const json_t *object)
{
	static const char note[] = "deployment.kubernetes.io/revision";
	const char *revision = object_note(object, "metadata.annotations", note);
	json_t *set;
	size_t i;

	json_array_foreach(json_object_get(sets, "items"), i, set)
	{
		if (revision != NULL && pods_owned(set, jget_str(object, "metadata.uid")) &&
		    str_eq(object_note(set, "metadata.annotations", note), revision))
			return jget_str(set, "metadata.uid");
	}
	return NULL;
}

json_t *why_pods(const json_t *object, const char *set, const json_t *all)
{
	const char *owner = set != NULL ? set : jget_str(object, "metadata.uid");
	const char *revision = jget_str(object, "status.updateRevision");
	bool by_set = str_eq(jget_str(object, "kind"), "Deployment");
	json_t *pods = json_array(), *pod;
	size_t i;

	json_array_foreach(json_object_get(all, "items"), i, pod)
	{
		const char *has = object_note(pod, "metadata.labels", "controller-revision-hash");

		if (jget_str(pod, "metadata.deletionTimestamp") != NULL ||
		    ((set != NULL || !by_set) && !pods_owned(pod, owner)) ||
		    (revision != NULL && has != NULL && !str_eq(has, revision) && pods_ready(pod)))
			continue;
		json_array_append(pods, pod);
	}
	return pods;
}

/* When opsd changed it last, by the cluster's clock; "": that is not on record. */
static const char *changed_at(const json_t *object)
{
	const char *at = "";
	json_t *entry;
	size_t i;

	json_array_foreach(jget(object, "metadata.managedFields"), i, entry)
	{
		const char *time = jget_str_or(entry, "time", "");

		if (str_eq(jget_str(entry, "manager"), "opsd") && strcmp(time, at) > 0)
			at = time;
	}
	return at;
}

const char *why_warning(const json_t *events, const json_t *object)
{
	const char *text = NULL, *when = changed_at(object);
	json_t *event;
	size_t i;

	json_array_foreach(json_object_get(events, "items"), i, event)
	{
		/* To the second, since the marks of changes have no more. */
		const char *at = events_when(event), *note = jget_str_or(event, "note", "");

		if (!str_eq(jget_str(event, "type"), "Warning") || strncmp(at, when, 19) < 0)
			continue;
		when = at;
		text = *note != '\0' ? note : jget_str_or(event, "reason", "");
	}
	return text;
}

/* --- what kind of trouble --- */

static const char *cause_of(const char *text)
{
	static const struct {
		const char *sign, *cause;
	} signs[] = {
		{ "ImagePull", "image" },
		{ "ErrImage", "image" },
		{ "InvalidImageName", "image" },
		{ "OOMKilled", "memory" },
		{ "CrashLoopBackOff", "crash" },
		{ "CreateContainer", "config" },
		{ "FailedMount", "volume" },
		{ "MountVolume", "volume" },
		{ "no node for it", "nodes" },
		{ "quota", "quota" },
		{ "no pods can be made", "policy" },
		{ "Readiness probe", "ready" },
		{ "Startup probe", "ready" },
		{ "Liveness probe", "crash" },
		{ "is not ready", "ready" },
		{ "RunContainerError", "crash" },
		{ "Error", "crash" },
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strstr(text, signs[i].sign) != NULL)
			return signs[i].cause;
	return NULL;
}

/* text with at most TEXT_MAX units, as JSON takes it. */
static char *clip(char *text)
{
	size_t len = str_utf16_prefix(text, TEXT_MAX);

	text[len] = '\0';
	return text;
}

/* --- the sentence --- */

static void set_text(struct why *why, char *text)
{
	why->text = clip(text);
	why->cause = cause_of(why->text);
}

/* Pods of a StatefulSet come one after the other. */
static const char *ordered_note(const json_t *object, bool trouble)
{
	return trouble && str_eq(jget_str(object, "kind"), "StatefulSet") &&
			       !str_eq(jget_str(object, "spec.podManagementPolicy"), "Parallel")
		       ? "; the next one waits for it, and a change back helps only once this pod "
			 "is deleted"
		       : "";
}

void why_read(struct why *why, const json_t *object, const json_t *pods)
{
	const char *refused = rollout_refusal(object);
	struct worst worst;

	memset(why, 0, sizeof(*why));
	why->about = jget_str_or(object, "metadata.uid", "");
	if (refused != NULL) {
		why->trouble = true;
		set_text(why, xasprintf("no pods can be made: %s", refused));
		return;
	}
	pods_worst(pods, &worst);
	if (worst.pod == NULL) {
		why->unclear = true;
		return;
	}
	why->about = jget_str_or(worst.pod, "metadata.uid", "");
	why->trouble = pods_trouble(worst.why);
	why->unclear = !why->trouble;
	if (worst.n > 1)
		set_text(why, xasprintf("%s: %s; and %zu more that are not ready%s",
					jget_str_or(worst.pod, "metadata.name", "?"), worst.why,
					worst.n - 1, ordered_note(object, why->trouble)));
	else
		set_text(why, xasprintf("%s: %s%s", jget_str_or(worst.pod, "metadata.name", "?"),
					worst.why, ordered_note(object, why->trouble)));
}

void why_add(struct why *why, const char *warning)
{
	char *before = why->text;

	if (str_empty(warning))
		return;
	if (before == NULL) {
		why->trouble = true;
		set_text(why, xasprintf("no pods can be made: %s", warning));
	} else {
		set_text(why, xasprintf("%s. %s", before, warning));
	}
	free(before);
}
