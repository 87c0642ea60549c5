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

/* Where the kinds that roll out keep their numbers: in spec (wanted) and status. */
static const struct numbers {
	const char *kind, *wanted, *have, *updated, *ready, *available;
} numbers[] = {
	{ "Deployment", "spec.replicas", "status.replicas", "status.updatedReplicas",
	  "status.readyReplicas", "status.availableReplicas" },
	{ "StatefulSet", "spec.replicas", "status.replicas", "status.updatedReplicas",
	  "status.readyReplicas", "status.availableReplicas" },
	{ "DaemonSet", "status.desiredNumberScheduled", "status.currentNumberScheduled",
	  "status.updatedNumberScheduled", "status.numberReady", "status.numberAvailable" },
	{ "ReplicaSet", "spec.replicas", "status.replicas", "status.replicas",
	  "status.readyReplicas", "status.availableReplicas" },
};

bool rollout_counts(const json_t *object, const struct kube_kind *kind, struct rollout_counts *ret)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const struct numbers *at = &numbers[i];

		if (!str_eq(at->kind, kind->kind))
			continue;
		*ret = (struct rollout_counts){
			.wanted = jget_int(object, at->wanted, str_starts(at->wanted, "spec")),
			.have = jget_int(object, at->have, 0),
			.updated = jget_int(object, at->updated, 0),
			.ready = jget_int(object, at->ready, 0),
			.available = jget_int(object, at->available, 0),
		};
		return true;
	}
	return false;
}

/* The steps that kinds have in common, each in its order; false: that one is past. */

static bool updates(struct rollout *rollout, int64_t updated, int64_t of)
{
	if (updated < of)
		put(rollout, ROLLOUT_GOING, "rolling out: %" PRId64 " of %" PRId64 " updated",
		    updated, of);
	return updated < of;
}

static bool starts(struct rollout *rollout, int64_t n, int64_t of, const char *what)
{
	if (n < of)
		put(rollout, ROLLOUT_GOING, "starting: %" PRId64 " of %" PRId64 " %s", n, of, what);
	return n < of;
}

static bool ends(struct rollout *rollout, int64_t n)
{
	if (n > 0)
		put(rollout, ROLLOUT_GOING, "rolling out: %" PRId64 " old ones are to end", n);
	return n > 0;
}

static bool waits_for_deletes(struct rollout *rollout, const json_t *object, int64_t n)
{
	bool waits = str_eq(jget_str(object, "spec.updateStrategy.type"), "OnDelete");

	if (waits)
		put(rollout, ROLLOUT_DONE, "%" PRId64 " run (each is updated when it is deleted)",
		    n);
	return waits;
}

static int64_t lesser(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Of the good ones, those that are not of before: at least so many, for the old ones that still
 * run are good as a rule. */
static int64_t new_of(int64_t good, int64_t old, int64_t max)
{
	int64_t n = old > 0 ? good - old : good;

	return n < 0 ? 0 : lesser(n, max);
}

static void of_deployment(const json_t *object, const struct rollout_counts *n,
			  struct rollout *rollout)
{
	rollout->have = new_of(n->available, n->have - n->updated, n->updated);
	if (deadline_passed(object))
		put(rollout, ROLLOUT_FAILED,
		    "it did not come up within its deadline of %" PRId64 " s",
		    jget_int(object, "spec.progressDeadlineSeconds", 600));
	else if (!updates(rollout, n->updated, n->wanted) && !ends(rollout, n->have - n->updated))
		(void)starts(rollout, n->available, n->updated, "available");
}

static void of_statefulset(const json_t *object, const struct rollout_counts *n,
			   struct rollout *rollout)
{
	int64_t first = jget_int(object, "spec.updateStrategy.rollingUpdate.partition", 0);
	bool same = str_eq(jget_str(object, "status.updateRevision"),
			   jget_str(object, "status.currentRevision"));
	bool rolls = !same && first < n->wanted &&
		     !str_eq(jget_str(object, "spec.updateStrategy.type"), "OnDelete");

	rollout->of = rolls ? n->wanted - first : n->wanted;
	rollout->have = new_of(n->ready, rolls ? n->have - n->updated : 0, rollout->of);
	if (!starts(rollout, n->ready, n->wanted, "ready") && !ends(rollout, n->have - n->wanted) &&
	    !waits_for_deletes(rollout, object, n->ready) && !same)
		(void)updates(rollout, n->updated, n->wanted - first);
}

static void of_daemonset(const json_t *object, const struct rollout_counts *n,
			 struct rollout *rollout)
{
	rollout->have = new_of(n->available, n->wanted - n->updated, n->updated);
	if (!waits_for_deletes(rollout, object, n->available) &&
	    !updates(rollout, n->updated, n->wanted))
		(void)starts(rollout, n->available, n->wanted, "available");
}

static void of_replicaset(const json_t *object, const struct rollout_counts *n,
			  struct rollout *rollout)
{
	(void)object;
	rollout->have = lesser(n->ready, n->wanted);
	if (!starts(rollout, n->ready, n->wanted, "ready"))
		(void)ends(rollout, n->have - n->wanted);
}

void rollout_read(const json_t *object, const struct kube_kind *kind, struct rollout *ret)
{
	static const struct {
		const char *kind;
		void (*read)(const json_t *object, const struct rollout_counts *n,
			     struct rollout *rollout);
	} readers[] = { { "Deployment", of_deployment },
			{ "StatefulSet", of_statefulset },
			{ "DaemonSet", of_daemonset },
			{ "ReplicaSet", of_replicaset } };
	struct rollout_counts n;

	memset(ret, 0, sizeof(*ret));
	ret->of = -1;
	put(ret, ROLLOUT_DONE, "complete");
	if (!rollout_counts(object, kind, &n))
		return;
	ret->of = n.wanted;
	if (n.wanted == 0)
		put(ret, ROLLOUT_DONE,
		    str_eq(kind->kind, "DaemonSet") ? "no node wants it" : "0 replicas");
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (str_eq(readers[i].kind, kind->kind))
			readers[i].read(object, &n, ret);
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
