/* SPDX-License-Identifier: Apache-2.0 */
/* kube_keda.c - pause what a KEDA ScaledObject scales, where it is or at a number of replicas, or
 * let it go on. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { REPLICAS_MAX = 100000 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the ScaledObject's namespace" },
	{ "name", ACTION_TEXT, true, "the ScaledObject's name" },
	{ "pause", ACTION_BOOL, true, "true: KEDA stops scaling; false: it goes on" },
	{ "replicas", ACTION_NUMBER, false, "the number to pause at; without it as many as run" },
	{ NULL, ACTION_TEXT, false, NULL },
};

/* The value is { "paused", "at" }: the two annotations, null where there is none. */
static json_t *pause_value(const json_t *object, const json_t *plan)
{
	const char *paused = object_note(object, "metadata.annotations", KEDA_PAUSED);
	const char *at = object_note(object, "metadata.annotations", KEDA_PAUSED_AT);

	(void)plan;
	return json_pack("{s:s?, s:s?}", "paused", paused, "at", at);
}

static json_t *pause_fields(const json_t *plan)
{
	return json_pack("{s:{s:{s:O, s:O}}}", "metadata", "annotations", KEDA_PAUSED,
			 jget(plan, "precondition.to.paused"), KEDA_PAUSED_AT,
			 jget(plan, "precondition.to.at"));
}

static json_t *pause_path(const json_t *plan)
{
	bool at = json_is_string(jget(plan, "precondition.to.at"));

	return json_pack("[s, s, s]", "f:metadata", "f:annotations",
			 at ? "f:" KEDA_PAUSED_AT : "f:" KEDA_PAUSED);
}

/* "off", "where it is", "at 5 replicas"; what is not "true" pauses nothing. */
static json_t *pause_words(const json_t *value)
{
	const char *at = jget_str(value, "at");
	char *text;
	json_t *words;

	if (at == NULL)
		return json_string(str_eq(jget_str(value, "paused"), "true") ? "where it is"
									     : "off");
	text = xasprintf("at %s replicas", at);
	words = json_string(text);
	free(text);
	return words;
}

static json_t *wanted_of(const json_t *with)
{
	int64_t at = number_of(json_object_get(with, "replicas"), -1);
	char *text;
	json_t *wanted;

	if (!jget_bool(with, "pause", false))
		return json_pack("{s:n, s:n}", "paused", "at");
	if (at < 0)
		return json_pack("{s:s, s:n}", "paused", "true", "at");
	text = xasprintf("%" PRId64, at);
	wanted = json_pack("{s:n, s:s}", "paused", "at", text);
	free(text);
	return wanted;
}

static bool pause_build(struct planning *planning, struct err *err)
{
	const json_t *object = planning->object;
	json_t *from = pause_value(object, NULL);
	json_t *to = planning->back != NULL ? json_incref((json_t *)(uintptr_t)planning->back)
					    : wanted_of(planning->run->with);
	json_t *was = pause_words(from), *will = pause_words(to);
	int64_t min = jget_int(object, "spec.minReplicaCount", 0);
	int64_t max = jget_int(object, "spec.maxReplicaCount", 100);

	(void)err;
	if (json_equal(was, will)) {
		json_decref(was);
		json_decref(will);
	} else {
		if (str_eq(json_string_value(will), "off"))
			owners_warn(&planning->owners,
				    "It scales %s again by its triggers, from %" PRId64
				    " to %" PRId64 ".",
				    jget_str_or(object, "spec.scaleTargetRef.name", "?"), min, max);
		planning_change(planning, "pause", was, will);
	}
	planning_expect(planning, from, to);
	return true;
}

static const struct change_kind change = { .fixed = "ScaledObject",
					   .build = pause_build,
					   .fields = pause_fields,
					   .value = pause_value,
					   .path = pause_path };

CHANGE_STEPS(change)
CHANGE_BACK(change)

static bool replicas_ok(const json_t *with, struct err *err)
{
	const json_t *replicas = json_object_get(with, "replicas");
	int64_t at = number_of(replicas, -1);

	if (replicas == NULL || json_is_null(replicas) || (at >= 0 && at <= REPLICAS_MAX))
		return true;
	err_set(err, ERR_INVALID, "replicas must be a whole number from 0 to %d", REPLICAS_MAX);
	return false;
}

static struct call *plan_pause(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	struct err err;

	if (!replicas_ok(run->with, &err))
		return act_refuse(env, run, &err, done, data);
	return change_plan(&change, env, run, done, data);
}

static bool check_pause(const json_t *with, const struct action_env *env, const char **ret_param,
			struct err *err)
{
	const json_t *replicas = json_object_get(with, "replicas");

	if (!place_check(env, with, false, ret_param, err))
		return false;
	*ret_param = "replicas";
	return has_template(json_string_value(replicas)) || replicas_ok(with, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "ScaledObject", .object = "name" },
	{ .verbs = "list", .kinds = "ScaledObject", .spare = true },
	WATCH_NEED("ScaledObject", "name"),
	GITOPS_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_keda = {
	.name = "kube.keda",
	.about = "Pause the scaling by KEDA, or let it go on",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_pause,
	.plan = plan_pause,
	.apply = apply_change,
	.look = look_change,
	.revert = revert_change,
	.follow = follow_change,
	.needs = needs,
};
