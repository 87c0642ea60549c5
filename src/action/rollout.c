/* SPDX-License-Identifier: Apache-2.0 */
/* rollout.c - what a change to the pods of a workload meets: kinds that roll out, and what holds
 * one up; pure. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

bool rollout_kind(const char *kind)
{
	const struct kube_kind *found = kube_kind_find(kind);

	return found != NULL &&
	       (str_eq(found->kind, "Deployment") || str_eq(found->kind, "StatefulSet") ||
		str_eq(found->kind, "DaemonSet"));
}

bool rollout_check(const json_t *with, const struct action_env *env, const char *fixed,
		   const char **ret_param, struct err *err)
{
	const char *kind = jget_str_or(with, "kind", fixed);

	if (!place_check(env, with, false, ret_param, err))
		return false;
	*ret_param = "kind";
	if (has_template(kind) || rollout_kind(kind))
		return true;
	err_set(err, ERR_INVALID, "must be Deployment, StatefulSet or DaemonSet");
	return false;
}

void rollout_warn(struct planning *planning)
{
	const json_t *object = planning->object;
	int64_t first = jget_int(object, "spec.updateStrategy.rollingUpdate.partition", 0);
	struct owners *owners = &planning->owners;

	if (jget_bool(object, "spec.paused", false))
		owners_warn(owners, "Its rollout is paused: nothing happens to its pods until it "
				    "is resumed, and then it does.");
	if (str_eq(jget_str(object, "spec.updateStrategy.type"), "OnDelete"))
		owners_warn(owners, "Its update strategy is OnDelete: each pod changes only when "
				    "somebody deletes it.");
	if (jget_int(object, "spec.replicas", 1) == 0)
		owners_warn(owners, "It has 0 replicas: no pod changes now.");
	if (first > 0)
		owners_warn(owners, "Only pods from number %" PRId64 " on change (partition).",
			    first);
	if (str_eq(jget_str(object, "spec.strategy.type"), "Recreate"))
		owners_warn(owners,
			    "Its strategy is Recreate: all pods stop before new ones start.");
}

/* --- vertical autoscalers: they write the resources of pods, whatever the template says --- */

size_t vpas_ask(const struct place *place, const struct action_run *run, const json_t *object,
		struct kube_request *requests, char **ret_query)
{
	(void)place;
	(void)object;
	(void)ret_query;
	if (!run->asked || (json_object_size(json_object_get(run->with, "requests")) == 0 &&
			    json_object_size(json_object_get(run->with, "limits")) == 0))
		return 0;
	requests[0].kind = kube_kind_find("VerticalPodAutoscaler");
	requests[0].query = "limit=500";
	return 1;
}

void vpas_say(struct planning *planning)
{
	const json_t *list = planning->more != NULL ? planning->more[0].body : NULL;
	json_t *vpa;
	size_t i;

	json_array_foreach(json_object_get(list, "items"), i, vpa)
	{
		const char *mode = jget_str_or(vpa, "spec.updatePolicy.updateMode", "Auto");
		char *who;

		if (str_eq(mode, "Off") ||
		    !place_is(planning->place, jget(vpa, "spec.targetRef"), "Deployment"))
			continue;
		who = xasprintf("VerticalPodAutoscaler %s", jget_str_or(vpa, "metadata.name", "?"));
		owners_add(&planning->owners, who, NULL,
			   "writes the resources of each new pod (%s): what is set here seems "
			   "ignored",
			   mode);
		free(who);
	}
}

/* --- how far it is, in the order in which kubectl asks --- */

static void put(struct rollout *rollout, enum rollout_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void put(struct rollout *rollout, enum rollout_state state, const char *fmt, ...)
{
	va_list ap;

	rollout->state = state;
	va_start(ap, fmt);
	(void)vsnprintf(rollout->says, sizeof(rollout->says), fmt, ap);
	va_end(ap);
}

static const json_t *condition_of(const json_t *object, const char *type)
{
	json_t *condition;
	size_t i;

	json_array_foreach(
		jget(object, "status.conditions"), i,
		condition) if (str_eq(jget_str(condition, "type"), type)) return condition;
	return NULL;
}

static bool deadline_passed(const json_t *object)
{
	return str_eq(jget_str(condition_of(object, "Progressing"), "reason"),
		      "ProgressDeadlineExceeded");
}

static void of_deployment(const json_t *object, struct rollout *rollout)
{
	int64_t wanted = jget_int(object, "spec.replicas", 1);
	int64_t updated = jget_int(object, "status.updatedReplicas", 0);
	int64_t have = jget_int(object, "status.replicas", 0);
	int64_t available = jget_int(object, "status.availableReplicas", 0);

	rollout->of = wanted;
	rollout->have = available < updated ? available : updated;
	if (deadline_passed(object))
		put(rollout, ROLLOUT_FAILED,
		    "it did not come up within its deadline of %" PRId64 " s",
		    jget_int(object, "spec.progressDeadlineSeconds", 600));
	else if (updated < wanted)
		put(rollout, ROLLOUT_GOING, "rolling out: %" PRId64 " of %" PRId64 " updated",
		    updated, wanted);
	else if (have > updated)
		put(rollout, ROLLOUT_GOING, "rolling out: %" PRId64 " old ones are to end",
		    have - updated);
	else if (available < updated)
		put(rollout, ROLLOUT_GOING, "starting: %" PRId64 " of %" PRId64 " available",
		    available, updated);
	else
		put(rollout, ROLLOUT_DONE, wanted == 0 ? "0 replicas" : "complete");
}

static void of_statefulset(const json_t *object, struct rollout *rollout)
{
	int64_t wanted = jget_int(object, "spec.replicas", 1);
	int64_t ready = jget_int(object, "status.readyReplicas", 0);
	int64_t have = jget_int(object, "status.replicas", 0);
	int64_t updated = jget_int(object, "status.updatedReplicas", 0);
	int64_t first = jget_int(object, "spec.updateStrategy.rollingUpdate.partition", 0);
	int64_t due = wanted > first ? wanted - first : 0;

	rollout->of = wanted;
	rollout->have = ready < wanted ? ready : wanted;
	if (ready < wanted)
		put(rollout, ROLLOUT_GOING, "starting: %" PRId64 " of %" PRId64 " ready", ready,
		    wanted);
	else if (have > wanted)
		put(rollout, ROLLOUT_GOING, "%" PRId64 " are to end", have - wanted);
	else if (str_eq(jget_str(object, "spec.updateStrategy.type"), "OnDelete"))
		put(rollout, ROLLOUT_DONE, "all are ready (each is updated when it is deleted)");
	else if (updated < due && !str_eq(jget_str(object, "status.updateRevision"),
					  jget_str(object, "status.currentRevision")))
		put(rollout, ROLLOUT_GOING, "rolling out: %" PRId64 " of %" PRId64 " updated",
		    updated, due);
	else
		put(rollout, ROLLOUT_DONE, wanted == 0 ? "0 replicas" : "complete");
}

static void of_daemonset(const json_t *object, struct rollout *rollout)
{
	int64_t wanted = jget_int(object, "status.desiredNumberScheduled", 0);
	int64_t updated = jget_int(object, "status.updatedNumberScheduled", 0);
	int64_t available = jget_int(object, "status.numberAvailable", 0);

	rollout->of = wanted;
	rollout->have = available < updated ? available : updated;
	if (str_eq(jget_str(object, "spec.updateStrategy.type"), "OnDelete"))
		put(rollout, ROLLOUT_DONE, "%" PRId64 " run (each is updated when it is deleted)",
		    available);
	else if (updated < wanted)
		put(rollout, ROLLOUT_GOING, "rolling out: %" PRId64 " of %" PRId64 " updated",
		    updated, wanted);
	else if (available < wanted)
		put(rollout, ROLLOUT_GOING, "starting: %" PRId64 " of %" PRId64 " available",
		    available, wanted);
	else
		put(rollout, ROLLOUT_DONE, wanted == 0 ? "no node wants it" : "complete");
}

static void of_replicaset(const json_t *object, struct rollout *rollout)
{
	int64_t wanted = jget_int(object, "spec.replicas", 1);
	int64_t ready = jget_int(object, "status.readyReplicas", 0);
	int64_t have = jget_int(object, "status.replicas", 0);

	rollout->of = wanted;
	rollout->have = ready < wanted ? ready : wanted;
	if (ready < wanted || have > wanted)
		put(rollout, ROLLOUT_GOING, "%" PRId64 " of %" PRId64 " ready", ready, wanted);
	else
		put(rollout, ROLLOUT_DONE, wanted == 0 ? "0 replicas" : "complete");
}

void rollout_read(const json_t *object, const struct kube_kind *kind, struct rollout *ret)
{
	static const struct {
		const char *kind;
		void (*read)(const json_t *object, struct rollout *rollout);
	} readers[] = { { "Deployment", of_deployment },
			{ "StatefulSet", of_statefulset },
			{ "DaemonSet", of_daemonset },
			{ "ReplicaSet", of_replicaset } };

	memset(ret, 0, sizeof(*ret));
	ret->of = -1;
	put(ret, ROLLOUT_DONE, "complete");
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (str_eq(readers[i].kind, kind->kind))
			readers[i].read(object, ret);
	if (ret->of < 0)
		return;
	if (jget_bool(object, "spec.paused", false))
		put(ret, ROLLOUT_PAUSED, "paused");
	else if (jget_int(object, "metadata.generation", 0) >
		 jget_int(object, "status.observedGeneration", 0))
		put(ret, ROLLOUT_UNSEEN, "the last change is not yet seen by its controller");
}

const char *rollout_refusal(const json_t *object)
{
	const json_t *failure = condition_of(object, "ReplicaFailure");

	return str_eq(jget_str(failure, "status"), "True")
		       ? jget_str_or(failure, "message", jget_str(failure, "reason"))
		       : NULL;
}
