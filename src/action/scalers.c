/* SPDX-License-Identifier: Apache-2.0 */
/* scalers.c - the autoscalers that set the replicas of a workload, and the change that lasts
 * instead. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { SENTENCE_MAX = 400 };

/* What range would hold the number that is wanted: nothing does for 0, which is no range. */
static json_t *range_lever(const struct place *place, const json_t *hpa, const struct step *step)
{
	int64_t min = jget_int(hpa, "spec.minReplicas", 1);
	int64_t max = jget_int(hpa, "spec.maxReplicas", 0);

	if (!step->set || step->to < 1)
		return NULL;
	if (step->to >= step->from || step->to > max)
		min = step->to;
	if (step->to < step->from || step->to > max)
		max = step->to;
	if (min > step->to)
		min = step->to;
	return json_pack("{s:s, s:{s:s, s:s, s:s, s:I, s:I}}", "kind", "kube.autoscale", "with",
			 "cluster", kube_name(place->kube), "namespace", place->space, "name",
			 jget_str_or(hpa, "metadata.name", ""), "min", (json_int_t)min, "max",
			 (json_int_t)max);
}

static void hpa_says(struct owners *owners, const struct place *place, const json_t *hpa,
		     const struct step *step)
{
	int64_t min = jget_int(hpa, "spec.minReplicas", 1);
	int64_t max = jget_int(hpa, "spec.maxReplicas", 0);
	json_t *lever = range_lever(place, hpa, step);
	char who[SENTENCE_MAX];

	(void)snprintf(who, sizeof(who), "HorizontalPodAutoscaler %s (%" PRId64 " to %" PRId64 ")",
		       jget_str_or(hpa, "metadata.name", "?"), min, max);
	if (!step->set)
		owners_add(owners, who, lever, "sets the replicas");
	else if (step->to == 0)
		owners_add(owners, who, lever,
			   "is switched off by 0 replicas, until somebody sets 1 or more again");
	else if (step->from == 0)
		owners_add(owners, who, lever,
			   "was switched off by the 0 replicas and sets them again from now on");
	else if (step->to < min || step->to > max)
		owners_add(owners, who, lever,
			   "sets the replicas back into its range within a minute; change its "
			   "range instead");
	else
		owners_add(owners, who, lever,
			   "goes on setting the replicas: this is only where it starts from");
}

/* Paused at that number, KEDA keeps it until it is resumed. */
static json_t *pause_lever(const struct place *place, const char *name, const struct step *step)
{
	if (!step->set)
		return NULL;
	return json_pack("{s:s, s:{s:s, s:s, s:s, s:b, s:I}}", "kind", "kube.keda", "with",
			 "cluster", kube_name(place->kube), "namespace", place->space, "name", name,
			 "pause", 1, "replicas", (json_int_t)step->to);
}

/* scaled NULL: only its name is known, by the label of the autoscaler that it keeps. */
static void keda_says(struct owners *owners, const struct place *place, const json_t *scaled,
		      const char *name, const struct step *step)
{
	const char *at = object_note(scaled, "metadata.annotations", KEDA_PAUSED_AT);
	json_t *lever = pause_lever(place, name, step);
	char who[SENTENCE_MAX];

	(void)snprintf(who, sizeof(who), "KEDA ScaledObject %s", name);
	if (at != NULL) {
		owners_add(owners, who, lever,
			   "is paused at %s replicas and keeps them there; change that instead",
			   at);
	} else if (str_eq(object_note(scaled, "metadata.annotations", KEDA_PAUSED), "true")) {
		owners_add(owners, who, NULL,
			   "is paused; when it is resumed it sets the replicas again");
		json_decref(lever);
	} else {
		owners_add(owners, who, lever,
			   "sets the replicas by its triggers and will undo this; pause it or "
			   "change its bounds instead");
	}
}

void scalers_say(struct owners *owners, const struct place *place, const json_t *hpas,
		 const json_t *scaled_objects, const struct step *step)
{
	const char *label;
	json_t *item;
	size_t i;
	bool keda = false;

	json_array_foreach(json_object_get(scaled_objects, "items"), i, item)
	{
		if (!place_is(place, jget(item, "spec.scaleTargetRef"), "Deployment"))
			continue;
		keda_says(owners, place, item, jget_str_or(item, "metadata.name", "?"), step);
		keda = true;
	}
	json_array_foreach(json_object_get(hpas, "items"), i, item)
	{
		label = object_note(item, "metadata.labels", "scaledobject.keda.sh/name");
		if (!place_is(place, jget(item, "spec.scaleTargetRef"), ""))
			continue;
		if (label == NULL)
			hpa_says(owners, place, item, step);
		else if (!keda) /* else it was spoken of */
			keda_says(owners, place, NULL, label, step);
	}
}
