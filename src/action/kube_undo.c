/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_undo.c - put a workload's pod template back to what an earlier revision had.
 *
 * The API has no call for it.  The template is replaced whole, in a strategic merge patch that
 * insists on the object's version like every other change.  The value that is planned and compared
 * is a digest of the template: templates hold variables, and plans are recorded.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

#define REVISION "deployment.kubernetes.io/revision"

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the object's namespace" },
	{ "kind", ACTION_TEXT, false, "Deployment (the default), StatefulSet or DaemonSet" },
	{ "name", ACTION_TEXT, true, "the object's name" },
	{ "revision", ACTION_NUMBER, false, "which one; without it the one before" },
	{ NULL, ACTION_TEXT, false, NULL },
};

/* --- templates --- */

/* As the workload has it: without what a controller or a patch adds.  A new reference. */
static json_t *plain_template(const json_t *template)
{
	json_t *plain = json_deep_copy(template);
	json_t *labels = jget(plain, "metadata.labels");

	json_object_del(plain, "$patch");
	json_object_del(labels, "pod-template-hash");
	return plain;
}

static json_t *digest_of(const json_t *template)
{
	json_t *plain = plain_template(template);
	char *text = json_canonical(plain);
	char hex[DIGEST_HEX_LEN];

	digest_hex(text, strlen(text), hex);
	json_decref(plain);
	free(text);
	return json_stringn(hex, 16);
}

/* Of a ReplicaSet, or of a ControllerRevision, whose data is a patch. */
static json_t *template_of(const json_t *revision)
{
	json_t *data = jget(revision, "data.spec.template");

	return data != NULL ? data : jget(revision, "spec.template");
}

/* --- what is changed --- */

static json_t *undo_value(const json_t *object, const json_t *plan)
{
	(void)plan;
	return digest_of(jget(object, "spec.template"));
}

static json_t *undo_fields(const json_t *plan)
{
	json_t *template = json_deep_copy(jget(plan, "precondition.template"));

	if (template == NULL) /* never sent: such a plan is refused before */
		template = json_object();
	json_object_set_new(template, "$patch", json_string("replace"));
	return json_pack("{s:{s:o}}", "spec", "template", template);
}

static json_t *undo_path(const json_t *plan)
{
	(void)plan;
	return json_pack("[s, s, s]", "f:spec", "f:template", "f:spec");
}

/* --- revisions --- */

struct revision {
	const json_t *object; /* NULL: none */
	int64_t number;
};

static int64_t number_in(const json_t *item)
{
	const char *text = object_note(item, "metadata.annotations", REVISION);
	int64_t n;

	if (text != NULL)
		return str_to_i64(text, &n) ? n : 0;
	return jget_int(item, "revision", 0);
}

static bool owned_by(const json_t *item, const json_t *object)
{
	const char *uid = jget_str(object, "metadata.uid");
	json_t *ref;
	size_t i;

	json_array_foreach(jget(item, "metadata.ownerReferences"), i,
			   ref) if (jget_bool(ref, "controller", false) &&
				    str_eq(jget_str(ref, "uid"), uid)) return true;
	return false;
}

/* What the object runs now: the newest revision with its template. */
static struct revision current(const json_t *items, const json_t *object, const json_t *digest)
{
	struct revision found = { NULL, 0 };
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)items, i, item)
	{
		json_t *own = digest_of(template_of(item));

		if (owned_by(item, object) && json_equal(own, (json_t *)(uintptr_t)digest) &&
		    number_in(item) > found.number)
			found = (struct revision){ item, number_in(item) };
		json_decref(own);
	}
	return found;
}

/* number > 0: that one; else the newest below the present one. */
static struct revision choose(const json_t *items, const json_t *object, int64_t number,
			      int64_t below)
{
	struct revision found = { NULL, 0 };
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)items, i, item)
	{
		int64_t n = number_in(item);

		if (!owned_by(item, object))
			continue;
		if (number > 0 ? n == number : (n < below && n > found.number))
			found = (struct revision){ item, n };
	}
	return found;
}

static size_t undo_more(const struct place *place, const struct action_run *run,
			const json_t *object, struct kube_request *requests, char **ret_query)
{
	bool deployment = str_eq(place->kind->kind, "Deployment");

	(void)run;
	*ret_query = pods_query(object);
	requests[0].kind = kube_kind_find(deployment ? "ReplicaSet" : "ControllerRevision");
	requests[0].query = *ret_query;
	return 1;
}

/* --- plan --- */

static json_t *image_of(const json_t *template, const char *name)
{
	json_t *container;
	size_t i;

	json_array_foreach(
		jget(template, "spec.containers"), i,
		container) if (str_eq(jget_str(container, "name"),
				      name)) return json_incref(json_object_get(container,
										"image"));
	return json_null();
}

static void put_images(struct planning *planning, const json_t *to)
{
	const json_t *from = jget(planning->object, "spec.template");
	json_t *container;
	size_t i;

	json_array_foreach(jget(to, "spec.containers"), i, container)
	{
		const char *name = jget_str_or(container, "name", "?");
		json_t *was = image_of(from, name), *will = image_of(to, name);
		char *field = xasprintf("image of %s", name);

		if (!json_equal(was, will))
			planning_change(planning, field, json_incref(was), json_incref(will));
		json_decref(was);
		json_decref(will);
		free(field);
	}
}

static bool refuse(const struct planning *planning, struct err *err, const char *why)
{
	char *what = place_text(planning->place);

	err_set(err, ERR_INVALID, "%s: %s", what, why);
	free(what);
	return false;
}

static void put_source(struct planning *planning, const struct revision *to, json_t *from_digest)
{
	const json_t *source = to->object;
	const char *cause =
		object_note(source, "metadata.annotations", "kubernetes.io/change-cause");
	json_t *template = plain_template(template_of(source));

	planning_expect(planning, from_digest, digest_of(template));
	json_object_set_new(planning->precondition, "source",
			    json_pack("{s:s, s:s}", "name",
				      jget_str_or(source, "metadata.name", ""), "uid",
				      jget_str_or(source, "metadata.uid", "")));
	/* For the dry run; taken out again before the plan is recorded. */
	json_object_set_new(planning->precondition, "template", template);
	if (cause != NULL)
		owners_warn(&planning->owners, "Revision %" PRId64 " was made by: %s", to->number,
			    cause);
}

static bool undo_build(struct planning *planning, struct err *err)
{
	const json_t *object = planning->object, *items;
	json_t *now = undo_value(object, NULL);
	int64_t number = number_of(json_object_get(planning->run->with, "revision"), 0);
	struct revision from, to;

	items = json_object_get(planning->more[0].body, "items");
	from = current(items, object, now);
	if (from.object ==
	    NULL) /* its controller has not seen it yet: the newest is the one before */
		from.number = INT64_MAX;
	to = planning->back != NULL ? current(items, object, planning->back)
				    : choose(items, object, number, from.number);
	if (to.object == NULL || planning->more[0].problem != KUBE_FINE) {
		json_decref(now);
		if (planning->more[0].problem == KUBE_FINE)
			return refuse(planning, err,
				      number > 0 || planning->back != NULL
					      ? "it keeps no such revision any more"
					      : "it keeps no earlier revision");
		*err = planning->more[0].err;
		return false;
	}
	if (jget_bool(object, "spec.paused", false)) {
		json_decref(now);
		return refuse(planning, err,
			      "its rollout is paused: nothing would happen until it is resumed, "
			      "and then it would");
	}
	if (to.number != from.number) {
		planning_change(planning, "revision",
				from.object != NULL ? json_integer(from.number) : json_null(),
				json_integer(to.number));
		put_images(planning, template_of(to.object));
		owners_warn(&planning->owners, "Only the pods' template goes back; ConfigMaps and "
					       "Secrets stay as they are.");
	}
	put_source(planning, &to, now);
	rollout_warn(planning);
	if (to.number != from.number)
		quotas_of_rollout(planning, template_of(to.object));
	return true;
}

static const struct change_kind change = { .fixed = "Deployment",
					   .strategic = true,
					   .rolls = true,
					   .quota = true,
					   .more = undo_more,
					   .build = undo_build,
					   .fields = undo_fields,
					   .value = undo_value,
					   .path = undo_path };

/* --- the template comes and goes around the change --- */

struct undo {
	struct act act;
	struct place place;
	struct action_run run; /* with the plan that has the template */
	json_t *plan;
};

static void on_finish(struct act *act)
{
	json_decref(((struct undo *)act)->plan);
}

static struct undo *undo_new(struct action_env *env, const struct action_run *run,
			     action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(struct undo), env, run, done, data);

	act->finish = on_finish;
	return (struct undo *)act;
}

static void on_planned(void *data, const json_t *result, const struct err *err)
{
	struct undo *undo = data;
	json_t *plan;

	if (err != NULL) {
		act_end_badly(&undo->act, err);
		return;
	}
	plan = json_deep_copy(result);
	json_object_del(json_object_get(plan, "precondition"), "template");
	act_end(&undo->act, plan);
}

static struct call *begin(struct action_env *env, const struct action_run *run, bool back,
			  action_done_fn done, void *data)
{
	const char *kind = jget_str_or(run->with, "kind", change.fixed);
	struct undo *undo = undo_new(env, run, done, data);

	if (!rollout_kind(kind)) {
		err_set(&undo->act.err, ERR_INVALID,
			"a Deployment, StatefulSet or DaemonSet has revisions, not a %.80s", kind);
		return act_fail(&undo->act);
	}
	undo->act.inner = (back ? change_revert : change_plan)(&change, env, run, on_planned, undo);
	return &undo->act.call;
}

static struct call *plan_undo(struct action_env *env, const struct action_run *run,
			      action_done_fn done, void *data)
{
	return begin(env, run, false, done, data);
}

static struct call *revert_undo(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	return begin(env, run, true, done, data);
}

static void on_applied(void *data, const json_t *result, const struct err *err)
{
	struct undo *undo = data;

	if (err != NULL)
		act_end_badly(&undo->act, err);
	else
		act_end(&undo->act, json_incref((json_t *)(uintptr_t)result));
}

static void on_source(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct undo *undo = data;
	const json_t *plan = undo->act.run->plan;
	json_t *template = template_of(answer->body), *digest;
	struct err own;
	bool same;

	undo->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&undo->act, err);
		return;
	}
	digest = digest_of(template);
	same = json_equal(digest, jget(plan, "precondition.to"));
	json_decref(digest);
	if (!same) {
		err_set(&own, ERR_INVALID, "%s is not any more what was planned; ask again",
			jget_str_or(plan, "precondition.source.name", "the revision"));
		act_end_badly(&undo->act, &own);
		return;
	}
	undo->plan = json_deep_copy(plan);
	json_object_set_new(json_object_get(undo->plan, "precondition"), "template",
			    plain_template(template));
	undo->run = *undo->act.run;
	undo->run.plan = undo->plan;
	undo->act.inner = change_apply(&change, undo->act.env, &undo->run, on_applied, undo);
}

static struct call *apply_undo(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	struct undo *undo = undo_new(env, run, done, data);
	struct kube_request request = { .method = "GET",
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	if (!place_read(&undo->place, env, run->with, change.fixed, PLACE_OBJECT, &undo->act.err))
		return act_fail(&undo->act);
	request.kind = kube_kind_find(
		str_eq(undo->place.kind->kind, "Deployment") ? "ReplicaSet" : "ControllerRevision");
	request.space = undo->place.space;
	request.name = jget_str_or(run->plan, "precondition.source.name", "");
	undo->act.inner = kube_call(undo->place.kube, &request, on_source, undo);
	return &undo->act.call;
}

CHANGE_LOOKS(change)

static bool check_undo(const json_t *with, const struct action_env *env, const char **ret_param,
		       struct err *err)
{
	return rollout_check(with, env, change.fixed, ret_param, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "Deployment StatefulSet DaemonSet", .object = "name" },
	{ .verbs = "list", .kinds = "Deployment StatefulSet DaemonSet", .spare = true },
	WATCH_NEED("Deployment StatefulSet DaemonSet", "name"),
	WATCH_PODS_NEED,
	{ .verbs = "get list", .kinds = "ReplicaSet" },
	{ .verbs = "get list", .kinds = "ControllerRevision" },
	{ .verbs = "list", .kinds = "Pod", .spare = true },
	{ .verbs = "list", .kinds = "Event", .spare = true },
	QUOTA_NEED,
	GITOPS_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_undo = {
	.name = "kube.undo",
	.about = "Put a workload back to an earlier revision of its pods",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_undo,
	.plan = plan_undo,
	.apply = apply_undo,
	.look = look_change,
	.revert = revert_undo,
	.follow = follow_change,
	.needs = needs,
};
