/* SPDX-License-Identifier: Apache-2.0 */
/* kube_delete.c - delete a job with its pods, or one pod, that very one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the object's namespace" },
	{ "kind", ACTION_TEXT, false, "Job (the default, with its pods) or Pod" },
	{ "name", ACTION_TEXT, true, "the object's name" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct removal {
	struct act act;
	struct place place;
	json_t *plan; /* while it is tried */
};

static void on_finish(struct act *act)
{
	json_decref(((struct removal *)act)->plan);
}

static bool deletable(const char *kind)
{
	const struct kube_kind *found = kube_kind_find(kind);

	return found != NULL && (str_eq(found->kind, "Job") || str_eq(found->kind, "Pod"));
}

static void ask(struct removal *removal, const char *method, const json_t *body, bool dry_run,
		kube_done_fn done)
{
	const struct action_run *run = removal->act.run;
	struct kube_request request = { .method = method,
					.kind = removal->place.kind,
					.space = removal->place.space,
					.name = removal->place.name,
					.body = body,
					.dry_run = dry_run,
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	removal->act.inner = kube_call(removal->place.kube, &request, done, removal);
}

static struct call *begin(struct action_env *env, const struct action_run *run, kube_done_fn then,
			  action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct removal), env, run, done, data);
	struct removal *removal = (struct removal *)act;

	act->finish = on_finish;
	if (!place_read(&removal->place, env, run->with, "Job", PLACE_OBJECT, &act->err))
		return act_fail(act);
	if (!deletable(removal->place.kind->kind)) {
		err_set(&act->err, ERR_INVALID, "a Job or a Pod can be deleted, not a %s",
			removal->place.kind->kind);
		return act_fail(act);
	}
	ask(removal, "GET", NULL, false, then);
	return &act->call;
}

/* --- plan --- */

static void on_near(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

static const char *state_of(const struct removal *removal, const json_t *object)
{
	if (str_eq(removal->place.kind->kind, "Pod"))
		return jget_str_or(object, "status.phase", "there");
	return job_state(object);
}

static void warn(struct planning *planning)
{
	const json_t *object = planning->object;
	int64_t active = jget_int(object, "status.active", 0);
	struct owners *owners = &planning->owners;
	const char *owner = NULL;
	json_t *ref;
	size_t i;

	json_array_foreach(jget(object, "metadata.ownerReferences"), i, ref)
	{
		if (jget_bool(ref, "controller", false))
			owner = jget_str_or(ref, "name", "?");
	}
	if (str_eq(planning->place->kind->kind, "Job")) {
		owners_warn(owners, "Its pods and their logs go with it.");
		if (active > 0)
			owners_warn(owners, "%" PRId64 " of its pods run now and are stopped.",
				    active);
	} else if (owner != NULL) {
		owners_warn(owners, "Its controller %s makes another one.", owner);
	} else {
		owners_warn(owners, "Nobody makes another one: it has no controller.");
	}
}

/* Without the policy a job would leave its pods behind. */
static void send_delete(struct removal *removal, const json_t *plan, bool dry_run,
			kube_done_fn done)
{
	json_t *body = json_pack("{s:s, s:s, s:s, s:{s:s}}", "kind", "DeleteOptions", "apiVersion",
				 "v1", "propagationPolicy", "Background", "preconditions", "uid",
				 jget_str_or(plan, "precondition.uid", ""));

	/* Options that a body has are not taken from the query. */
	if (dry_run)
		json_object_set_new(body, "dryRun", json_pack("[s]", "All"));
	ask(removal, "DELETE", body, dry_run, done);
	json_decref(body);
}

/* A policy says no before anybody is asked to confirm. */
static void on_tried(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct removal *removal = data;
	json_t *plan = removal->plan;
	struct owners owners = { NULL, json_object_get(plan, "warnings") };

	(void)answer;
	removal->act.inner = NULL;
	if (err != NULL && !no_dry_run(&owners, err)) {
		act_end_badly(&removal->act, err);
		return;
	}
	removal->plan = NULL;
	act_end(&removal->act, plan);
}

static void on_read(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct removal *removal = data;
	struct planning planning;

	removal->act.inner = NULL;
	if (answer->problem == KUBE_NOT_FOUND) {
		removal->act.inner =
			nearby_start(&removal->place, removal->act.run, err, on_near, removal);
		return;
	}
	if (err != NULL) {
		act_end_badly(&removal->act, err);
		return;
	}
	planning_start(&planning, &removal->place, removal->act.run, answer->body);
	planning_change(&planning, removal->place.kind->kind,
			json_string(state_of(removal, answer->body)), json_string("deleted"));
	warn(&planning);
	removal->plan = planning_plan(&planning);
	if (removal->act.run->asked) {
		send_delete(removal, removal->plan, true, on_tried);
	} else {
		json_t *plan = removal->plan;

		removal->plan = NULL;
		act_end(&removal->act, plan);
	}
}

static struct call *plan_delete(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	return begin(env, run, on_read, done, data);
}

/* --- apply --- */

static void on_deleted(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct removal *removal = data;
	char *what = place_text(&removal->place), *text;
	struct err own;

	removal->act.inner = NULL;
	if (err == NULL) {
		text = xasprintf("%s deleted", removal->place.name);
		act_end(&removal->act, json_pack("{s:s, s:{s:s}}", "done", text, "evidence",
						 "audit_id", answer->audit_id));
		free(text);
	} else if (answer->problem == KUBE_CONFLICT) {
		err_set(&own, ERR_INVALID,
			"%s was deleted and created again meanwhile; this one was left alone. Ask "
			"again.",
			what);
		act_end_badly(&removal->act, &own);
	} else {
		act_end_badly(&removal->act, err);
	}
	free(what);
}

static struct call *apply_delete(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct removal), env, run, done, data);
	struct removal *removal = (struct removal *)act;

	act->finish = on_finish;
	if (!place_read(&removal->place, env, run->with, "Job", PLACE_OBJECT, &act->err))
		return act_fail(act);
	send_delete(removal, run->plan, false, on_deleted);
	return &act->call;
}

/* --- look --- */

static void on_looked(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct removal *removal = data;
	char *what = place_text(&removal->place), *says;
	bool same, gone;

	removal->act.inner = NULL;
	if (err != NULL && answer->problem != KUBE_NOT_FOUND) {
		act_end_badly(&removal->act, err);
		free(what);
		return;
	}
	same = err == NULL && str_eq(jget_str(answer->body, "metadata.uid"),
				     jget_str(removal->act.run->plan, "precondition.uid"));
	gone = !same || jget_str(answer->body, "metadata.deletionTimestamp") != NULL;
	says = xasprintf(gone ? "%s is gone, or on its way." : "%s is still there.", what);
	act_end(&removal->act,
		json_pack("{s:s, s:s, s:s, s:{}}", "state", gone ? "done" : "not_done", "says",
			  says, "done", "deleted", "evidence"));
	free(what);
	free(says);
}

static struct call *look_delete(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	return begin(env, run, on_looked, done, data);
}

static bool check_delete(const json_t *with, const struct action_env *env, const char **ret_param,
			 struct err *err)
{
	const char *kind = jget_str_or(with, "kind", "Job");

	if (!place_check(env, with, false, ret_param, err))
		return false;
	*ret_param = "kind";
	if (has_template(kind) || deletable(kind))
		return true;
	err_set(err, ERR_INVALID, "must be Job or Pod");
	return false;
}

static const struct action_need needs[] = {
	{ .verbs = "get delete", .kinds = "Job Pod", .object = "name" },
	{ .verbs = "list", .kinds = "Job Pod", .spare = true },
	{ .verbs = NULL },
};

const struct action_kind action_kube_delete = {
	.name = "kube.delete",
	.about = "Delete a job with its pods, or one pod",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_delete,
	.plan = plan_delete,
	.apply = apply_delete,
	.look = look_delete,
	.needs = needs,
};
