/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_drain.c - empty a node: no new pods, then each of its pods is evicted, as far as their
 * disruption budgets allow.
 *
 * The change is the cordon, with our mark.  The evictions go on look by look, for as long as it
 * takes: each names the pod's uid, so that a repeated one is harmless, and one that a budget
 * refuses is tried again at the next look.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/http.h"

enum {
	TIMEOUT_S = 15 * 60,
	TIMEOUT_MAX_S = 4 * 3600,
	AT_ONCE = GATHER_MAX,
	AGAIN_MS = 5000, /* as kubectl waits for a budget */
	WHY_MAX = 400,
};

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "name", ACTION_TEXT, true, "the node's name" },
	{ "force", ACTION_BOOL, false,
	  "true: also pods that nobody makes again, or that keep data on the node" },
	{ "timeout", ACTION_NUMBER, false, "seconds, 900 by default; then it is given up" },
	{ NULL, ACTION_TEXT, false, NULL },
};

/* --- the pods of a node --- */

static bool controlled_by(const json_t *pod, const char *kind)
{
	json_t *ref;
	size_t i;

	json_array_foreach(
		jget(pod, "metadata.ownerReferences"), i,
		ref) if (jget_bool(ref, "controller", false) &&
			 (kind == NULL || str_eq(jget_str(ref, "kind"), kind))) return true;
	return false;
}

static bool is_over(const json_t *pod)
{
	const char *phase = jget_str(pod, "status.phase");

	return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

/* Mirror pods and those of DaemonSets stay: they would be back at once. */
static bool stays(const json_t *pod)
{
	return object_note(pod, "metadata.annotations", "kubernetes.io/config.mirror") != NULL ||
	       controlled_by(pod, "DaemonSet");
}

static bool keeps_data(const json_t *pod)
{
	json_t *volume;
	size_t i;

	json_array_foreach(jget(pod, "spec.volumes"), i,
			   volume) if (json_object_get(volume, "emptyDir") != NULL) return true;
	return false;
}

struct census {
	size_t leave, alone, data; /* to be evicted; of these: nobody makes it again, local data */
	const char *example;       /* of alone or data */
};

static struct census count(const json_t *pods)
{
	struct census census = { 0 };
	json_t *pod;
	size_t i;

	json_array_foreach(json_object_get(pods, "items"), i, pod)
	{
		bool alone = !controlled_by(pod, NULL) && !is_over(pod);
		bool data = keeps_data(pod) && !is_over(pod);

		if (stays(pod))
			continue;
		census.leave++;
		census.alone += alone;
		census.data += data;
		if (alone || data)
			census.example = jget_str_or(pod, "metadata.name", "?");
	}
	return census;
}

static char *pods_of_node(const char *node)
{
	char *escaped = http_escape(node);
	char *query = xasprintf("limit=500&fieldSelector=spec.nodeName%%3D%s", escaped);

	free(escaped);
	return query;
}

/* --- the plan: a cordon, and who leaves --- */

static size_t drain_more(const struct place *place, const struct action_run *run,
			 const json_t *object, struct kube_request *requests, char **ret_query)
{
	(void)run;
	(void)object;
	*ret_query = pods_of_node(place->name);
	requests[0].kind = kube_kind_find("Pod");
	requests[0].query = *ret_query;
	return 1;
}

static bool may_all_leave(struct planning *planning, const struct census *census, struct err *err)
{
	char *what;

	if (census->alone + census->data == 0 || jget_bool(planning->run->with, "force", false)) {
		if (census->alone > 0)
			owners_warn(&planning->owners, "%zu of them nobody makes again, like %s.",
				    census->alone, census->example);
		if (census->data > 0)
			owners_warn(&planning->owners,
				    "%zu of them lose data that they keep on the node.",
				    census->data);
		return true;
	}
	what = place_text(planning->place);
	err_set(err, ERR_INVALID,
		"%s: of its pods nobody makes %zu again, and %zu keep data on the node, like %s; "
		"they "
		"are evicted only with force",
		what, census->alone, census->data, census->example);
	free(what);
	return false;
}

static bool drain_build(struct planning *planning, struct err *err)
{
	bool from = jget_bool(planning->object, "spec.unschedulable", false);
	bool to = planning->back != NULL ? json_is_true(planning->back) : true;
	const struct gathered *pods = &planning->more[0];
	struct census census = count(pods->body);

	if (planning->back == NULL && pods->problem != KUBE_FINE) {
		*err = pods->err;
		return false;
	}
	if (planning->back == NULL && !may_all_leave(planning, &census, err))
		return false;
	if (from != to)
		planning_change(planning, "unschedulable", json_boolean(from), json_boolean(to));
	if (planning->back == NULL && census.leave > 0)
		planning_change(planning, "pods", json_integer((json_int_t)census.leave),
				json_string("evicted"));
	if (planning->back != NULL)
		owners_warn(&planning->owners, "Pods that left do not come back by themselves.");
	planning_expect(planning, json_boolean(from), json_boolean(to));
	return true;
}

static const struct change_kind change = { .fixed = "Node",
					   .more = drain_more,
					   .build = drain_build,
					   .fields = cordon_fields,
					   .value = cordon_value,
					   .path = cordon_path };

static struct call *plan_drain(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	return change_plan(&change, env, run, done, data);
}

static struct call *apply_drain(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	return change_apply(&change, env, run, done, data);
}

static struct call *look_drain(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	return change_look(&change, env, run, done, data);
}

CHANGE_BACK(change)

/* --- following: the evictions --- */

struct drain {
	struct act act;
	struct place place;
	size_t left, asked;
	char why[WHY_MAX];
};

static int64_t begun_ms(const struct drain *drain)
{
	return jget_int(drain->act.run->since, "keep.begun_ms", clock_wall_ms());
}

static int64_t total(const struct drain *drain)
{
	int64_t known = jget_int(drain->act.run->since, "keep.total", 0);

	return known > (int64_t)drain->left ? known : (int64_t)drain->left;
}

static bool too_late(const struct drain *drain)
{
	int64_t limit = number_of(json_object_get(drain->act.run->with, "timeout"), TIMEOUT_S);

	if (limit < 1 || limit > TIMEOUT_MAX_S)
		limit = TIMEOUT_S;
	return clock_wall_ms() - begun_ms(drain) > limit * 1000;
}

static void end(struct drain *drain, const char *state)
{
	int64_t all = total(drain);
	char *says = drain->left == 0 ? xasprintf("node %s is empty", drain->place.name)
				      : xasprintf("%zu pods are still on node %s", drain->left,
						  drain->place.name);
	json_t *progress = json_pack("{s:s, s:s, s:s*, s:b, s:i, s:{s:I, s:I}}", "state", state,
				     "says", says, "why", drain->why[0] != '\0' ? drain->why : NULL,
				     "final", 1, "again_ms", AGAIN_MS, "keep", "begun_ms",
				     (json_int_t)begun_ms(drain), "total", (json_int_t)all);

	if (all > 0) {
		json_object_set_new(progress, "have", json_integer(all - (int64_t)drain->left));
		json_object_set_new(progress, "of", json_integer(all));
	}
	free(says);
	act_end(&drain->act, progress);
}

/* A pod that is gone, or another of its name, is what was wanted. */
static void on_evicted(void *data, const struct gathered *items)
{
	struct drain *drain = data;

	drain->act.inner = NULL;
	for (size_t i = 0; i < drain->asked; i++)
		if (items[i].problem != KUBE_FINE && items[i].problem != KUBE_NOT_FOUND &&
		    items[i].problem != KUBE_CONFLICT)
			(void)snprintf(drain->why, sizeof(drain->why), "%.350s", items[i].err.msg);
	end(drain, too_late(drain) ? "failed" : drain->why[0] != '\0' ? "stuck" : "going");
}

static json_t *eviction(const json_t *pod)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:{s:s}}}", "apiVersion", "policy/v1", "kind",
			 "Eviction", "metadata", "name", jget_str_or(pod, "metadata.name", ""),
			 "namespace", jget_str_or(pod, "metadata.namespace", ""), "deleteOptions",
			 "preconditions", "uid", jget_str_or(pod, "metadata.uid", ""));
}

/* Some at a time; those that leave already are waited for. */
static void evict(struct drain *drain, const json_t *pods)
{
	const struct action_run *run = drain->act.run;
	struct kube_request requests[AT_ONCE] = { 0 };
	json_t *bodies = json_array(), *pod;
	size_t i;

	json_array_foreach(json_object_get(pods, "items"), i, pod)
	{
		json_t *body;

		if (stays(pod) || jget_str(pod, "metadata.deletionTimestamp") != NULL ||
		    drain->asked == AT_ONCE)
			continue;
		body = eviction(pod);
		json_array_append_new(bodies, body);
		requests[drain->asked++] =
			(struct kube_request){ .method = "POST",
					       .kind = kube_kind_find("Pod"),
					       .space = jget_str(pod, "metadata.namespace"),
					       .name = jget_str(pod, "metadata.name"),
					       .subresource = "eviction",
					       .body = body,
					       .request_id = run->request_id,
					       .timeout_ms = run->timeout_ms };
	}
	if (drain->asked > 0)
		drain->act.inner =
			gather_start(drain->place.kube, requests, drain->asked, on_evicted, drain);
	else
		end(drain, too_late(drain) ? "failed" : "going");
	json_decref(bodies);
}

static void on_seen(void *data, const struct gathered *items)
{
	struct drain *drain = data;
	const json_t *plan = drain->act.run->plan, *node = items[0].body;
	struct census census = count(items[1].body);

	drain->act.inner = NULL;
	drain->left = census.leave;
	if (items[0].problem == KUBE_NOT_FOUND ||
	    (items[0].problem == KUBE_FINE &&
	     !str_eq(jget_str(node, "metadata.uid"), jget_str(plan, "precondition.uid")))) {
		drain->left = 0;
		end(drain, "done"); /* the node itself is gone */
	} else if (items[0].problem != KUBE_FINE || items[1].problem != KUBE_FINE) {
		act_end_badly(&drain->act,
			      items[0].problem != KUBE_FINE ? &items[0].err : &items[1].err);
	} else if (!jget_bool(node, "spec.unschedulable", false)) {
		(void)snprintf(drain->why, sizeof(drain->why),
			       "somebody let pods onto the node again, so no more are evicted");
		end(drain, "superseded");
	} else if (drain->left == 0) {
		end(drain, "done");
	} else if (census.alone + census.data > 0 &&
		   !jget_bool(drain->act.run->with, "force", false)) {
		(void)snprintf(drain->why, sizeof(drain->why),
			       "%s came since and would be lost: nobody makes it again, or it "
			       "keeps data on the node",
			       census.example);
		end(drain, too_late(drain) ? "failed" : "stuck");
	} else {
		evict(drain, items[1].body);
	}
}

static struct call *follow_drain(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct drain), env, run, done, data);
	struct drain *drain = (struct drain *)act;
	struct kube_request requests[2] = { 0 };
	char *query;

	if (!place_read(&drain->place, env, run->with, "Node", PLACE_OBJECT, &act->err))
		return act_fail(act);
	query = pods_of_node(drain->place.name);
	for (size_t i = 0; i < 2; i++) {
		requests[i].method = "GET";
		requests[i].request_id = run->request_id;
		requests[i].timeout_ms = run->timeout_ms;
	}
	requests[0].kind = drain->place.kind;
	requests[0].name = drain->place.name;
	requests[1].kind = kube_kind_find("Pod");
	requests[1].query = query;
	act->inner = gather_start(drain->place.kube, requests, 2, on_seen, drain);
	free(query);
	return &act->call;
}

static bool check_drain(const json_t *with, const struct action_env *env, const char **ret_param,
			struct err *err)
{
	return place_check(env, with, false, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "Node", .object = "name" },
	{ .verbs = "list", .kinds = "Node", .spare = true },
	{ .verbs = "list", .kinds = "Pod" },
	{ .verbs = "create", .kinds = "Pod", .subresource = "eviction" },
	{ .verbs = NULL },
};

const struct action_kind action_kube_drain = {
	.name = "kube.drain",
	.about = "Empty a node, as far as disruption budgets allow",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_drain,
	.plan = plan_drain,
	.apply = apply_drain,
	.look = look_drain,
	.revert = revert_change,
	.follow = follow_drain,
	.needs = needs,
};
