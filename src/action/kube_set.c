/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_set.c - image, variables and resources of one container of a workload.
 *
 * The value is flat: { "image": "w:2", "env LOG_LEVEL": "debug", "limits.memory": "1Gi" }, so that
 * what is planned, compared and set back is the same list of names.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { IMAGE_MAX = 400, ENV_VALUE_MAX = 4000 };

#define ENV "env "

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the object's namespace" },
	{ "kind", ACTION_TEXT, false, "Deployment (the default), StatefulSet or DaemonSet" },
	{ "name", ACTION_TEXT, true, "the object's name" },
	{ "container", ACTION_TEXT, false, "which container; the pod's default without it" },
	{ "image", ACTION_TEXT, false, "its image" },
	{ "env", ACTION_OBJECT, false, "variables; never secrets, the cluster shows them" },
	{ "requests", ACTION_OBJECT, false, "cpu and memory that are kept for it" },
	{ "limits", ACTION_OBJECT, false, "cpu and memory that it may use at most" },
	{ NULL, ACTION_TEXT, false, NULL },
};

/* --- the container --- */

static json_t *containers_of(const json_t *object)
{
	return jget(object, "spec.template.spec.containers");
}

static const json_t *container_named(const json_t *object, const char *name)
{
	json_t *container;
	size_t i;

	json_array_foreach(
		containers_of(object), i,
		container) if (str_eq(jget_str(container, "name"), name)) return container;
	return NULL;
}

/* As kubectl chooses: the annotated one, else the first. */
static const json_t *choose_container(const struct planning *planning)
{
	const json_t *object = planning->object, *found;
	const char *asked = jget_str(planning->run->with, "container");

	if (!str_empty(asked))
		return container_named(object, asked);
	found = container_named(object, object_note(object, "spec.template.metadata.annotations",
						    "kubectl.kubernetes.io/default-container"));
	return found != NULL ? found : json_array_get(containers_of(object), 0);
}

static const json_t *env_named(const json_t *container, const char *name)
{
	json_t *var;
	size_t i;

	json_array_foreach(json_object_get(container, "env"), i,
			   var) if (str_eq(jget_str(var, "name"), name)) return var;
	return NULL;
}

/* What one flat name is now; borrowed, NULL when it is absent. */
static json_t *value_at(const json_t *container, const char *name)
{
	const char *dot = strchr(name, '.');
	json_t *list;
	char *group;

	if (str_starts(name, ENV)) {
		const json_t *var = env_named(container, name + strlen(ENV));

		/* an empty value is left out by the server */
		return var == NULL ? NULL : json_object_get(var, "value");
	}
	if (dot == NULL)
		return json_object_get(container, name);
	group = xstrndup(name, (size_t)(dot - name));
	list = json_object_get(json_object_get(container, "resources"), group);
	free(group);
	return json_object_get(list, dot + 1);
}

/* --- what is changed --- */

static json_t *flat_now(const json_t *container, const json_t *names)
{
	json_t *now = json_object(), *value;
	const char *name;

	json_object_foreach((json_t *)(uintptr_t)names, name, value)
	{
		json_t *is = value_at(container, name);

		if (is == NULL && str_starts(name, ENV) &&
		    env_named(container, name + strlen(ENV)) != NULL)
			json_object_set_new(now, name, json_string(""));
		else
			json_object_set_new(now, name, is != NULL ? json_incref(is) : json_null());
	}
	return now;
}

static json_t *set_value(const json_t *object, const json_t *plan)
{
	return flat_now(container_named(object, jget_str_or(plan, "target.container", "")),
			jget(plan, "precondition.to"));
}

static json_t *env_entry(const char *name, json_t *value)
{
	if (json_is_null(value))
		return json_pack("{s:s, s:s}", "name", name, "$patch", "delete");
	return json_pack("{s:s, s:O}", "name", name, "value", value);
}

/* The member of object, made when it is not there yet. */
static json_t *member(json_t *object, const char *name, json_t *(*make)(void))
{
	json_t *found = json_object_get(object, name);

	if (found != NULL)
		return found;
	found = make();
	json_object_set_new(object, name, found);
	return found;
}

static json_t *set_fields(const json_t *plan)
{
	json_t *container = json_object(), *value;
	const char *name;

	json_object_set_new(container, "name",
			    json_string(jget_str_or(plan, "target.container", "")));
	json_object_foreach(jget(plan, "precondition.to"), name, value)
	{
		const char *dot = strchr(name, '.');

		if (str_starts(name, ENV)) {
			json_array_append_new(member(container, "env", json_array),
					      env_entry(name + strlen(ENV), value));
		} else if (dot == NULL) {
			json_object_set(container, name, value);
		} else {
			char *group = xstrndup(name, (size_t)(dot - name));
			json_t *all = member(container, "resources", json_object);

			json_object_set(member(all, group, json_object), dot + 1, value);
			free(group);
		}
	}
	return json_pack("{s:{s:{s:{s:[o]}}}}", "spec", "template", "spec", "containers",
			 container);
}

/* Of the first name: a workload has one deployer in practice. */
static json_t *set_path(const json_t *plan)
{
	json_t *to = jget(plan, "precondition.to");
	const char *name = json_object_iter_key(json_object_iter(to));
	char *key = xasprintf("k:{\"name\":\"%s\"}", jget_str_or(plan, "target.container", ""));
	json_t *path =
		json_pack("[s, s, s, s, s]", "f:spec", "f:template", "f:spec", "f:containers", key);

	free(key);
	if (name == NULL || strchr(name, '.') != NULL) {
		json_array_append_new(path, json_string("f:resources"));
	} else if (str_starts(name, ENV)) {
		key = xasprintf("k:{\"name\":\"%s\"}", name + strlen(ENV));
		json_array_append_new(path, json_string("f:env"));
		json_array_append_new(path, json_string(key));
		free(key);
	} else {
		json_array_append_new(path, json_string("f:image"));
	}
	return path;
}

/* --- what is asked for --- */

static bool put_image(json_t *wanted, const json_t *with, struct err *err)
{
	const char *image = jget_str(with, "image");

	if (str_empty(image))
		return true;
	if (strlen(image) > IMAGE_MAX || strpbrk(image, " \t\n\"'<>") != NULL) {
		err_set(err, ERR_INVALID, "\"%.80s\" cannot be an image", image);
		return false;
	}
	json_object_set_new(wanted, "image", json_string(image));
	return true;
}

static bool put_env(json_t *wanted, const json_t *with, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(json_object_get(with, "env"), name, value)
	{
		char *flat, *text;

		if (json_is_null(value)) /* an optional parameter that was not given */
			continue;
		text = json_is_string(value) ? xstrdup(json_string_value(value))
					     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		if (strlen(text) > ENV_VALUE_MAX) {
			err_set(err, ERR_INVALID, "a variable may have at most %d bytes",
				ENV_VALUE_MAX);
			free(text);
			return false;
		}
		flat = xasprintf(ENV "%s", name);
		json_object_set_new(wanted, flat, json_string(text));
		free(flat);
		free(text);
	}
	return true;
}

static bool put_resources(json_t *wanted, const json_t *with, const char *group, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(json_object_get(with, group), name, value)
	{
		char *text, *amount, *flat;

		if (json_is_null(value))
			continue;
		text = json_is_string(value) ? xstrdup(json_string_value(value))
					     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		amount = quantity_canonical(text);
		if (amount == NULL)
			err_set(err, ERR_INVALID,
				"\"%.40s\" is no amount of %s, like 500m for CPU or 512Mi for "
				"memory",
				text, name);
		free(text);
		if (amount == NULL)
			return false;
		flat = xasprintf("%s.%s", group, name);
		json_object_set_new(wanted, flat, json_string(amount));
		free(flat);
		free(amount);
	}
	return true;
}

static json_t *wanted_of(const json_t *with, struct err *err)
{
	json_t *wanted = json_object();

	if (put_image(wanted, with, err) && put_env(wanted, with, err) &&
	    put_resources(wanted, with, "requests", err) &&
	    put_resources(wanted, with, "limits", err)) {
		if (json_object_size(wanted) > 0)
			return wanted;
		err_set(err, ERR_INVALID, "image, env, requests or limits is needed");
	}
	json_decref(wanted);
	return NULL;
}

/* --- plan --- */

static void no_container(const struct planning *planning, struct err *err)
{
	char *what = place_text(planning->place);
	struct buf names;
	json_t *container;
	size_t i;

	buf_init(&names, 1000);
	json_array_foreach(containers_of(planning->object), i, container)(void)
		buf_printf(&names, "%s%s", i > 0 ? ", " : "", jget_str_or(container, "name", "?"));
	err_set(err, ERR_INVALID, "%s has no container %.80s; it has %s", what,
		jget_str_or(planning->run->with, "container", ""), buf_text(&names));
	buf_finish(&names);
	free(what);
}

/* A variable that comes from a Secret or ConfigMap is not a text to be written over. */
static bool refers(const json_t *container, const json_t *wanted, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)wanted, name, value)
	{
		if (!str_starts(name, ENV) ||
		    json_object_get(env_named(container, name + strlen(ENV)), "valueFrom") == NULL)
			continue;
		err_set(err, ERR_INVALID,
			"the variable %s comes from a Secret, a ConfigMap or the pod; change it "
			"there instead",
			name + strlen(ENV));
		return true;
	}
	return false;
}

static void put_changes(struct planning *planning, const json_t *from, const json_t *to)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)to, name, value)
	{
		json_t *is = json_object_get(from, name);

		if (!json_equal(is, value))
			planning_change(planning, name, json_incref(is), json_incref(value));
	}
}

static void forecast(struct planning *planning, const char *container, const json_t *to)
{
	json_t *template = json_deep_copy(jget(planning->object, "spec.template")), *item, *value;
	const char *name;
	size_t i;

	json_array_foreach(jget(template, "spec.containers"), i, item)
	{
		json_t *resources;

		if (!str_eq(jget_str(item, "name"), container))
			continue;
		resources = member(item, "resources", json_object);
		json_object_foreach((json_t *)(uintptr_t)to, name, value)
		{
			const char *dot = strchr(name, '.');
			char *group;

			if (dot == NULL || str_starts(name, ENV))
				continue;
			group = xstrndup(name, (size_t)(dot - name));
			if (json_is_null(value))
				json_object_del(member(resources, group, json_object), dot + 1);
			else
				json_object_set(member(resources, group, json_object), dot + 1,
						value);
			free(group);
		}
	}
	quotas_of_rollout(planning, template);
	json_decref(template);
}

static bool set_build(struct planning *planning, struct err *err)
{
	const json_t *container = choose_container(planning);
	json_t *to = planning->back != NULL ? json_incref((json_t *)(uintptr_t)planning->back)
					    : wanted_of(planning->run->with, err);
	json_t *from;

	if (to == NULL)
		return false;
	if (container == NULL)
		no_container(planning, err);
	if (container == NULL || refers(container, to, err)) {
		json_decref(to);
		return false;
	}
	json_object_set_new(planning->target, "container",
			    json_string(jget_str_or(container, "name", "")));
	from = flat_now(container, to);
	put_changes(planning, from, to);
	if (json_array_size(planning->changes) > 0)
		forecast(planning, jget_str_or(container, "name", ""), to);
	planning_expect(planning, from, to);
	rollout_warn(planning);
	vpas_say(planning);
	return true;
}

static const struct change_kind change = { .fixed = "Deployment",
					   .rolls = true,
					   .quota = true,
					   .strategic = true,
					   .more = vpas_ask,
					   .build = set_build,
					   .fields = set_fields,
					   .value = set_value,
					   .path = set_path };

CHANGE_STEPS(change)
CHANGE_BACK(change)

static struct call *plan_set(struct action_env *env, const struct action_run *run,
			     action_done_fn done, void *data)
{
	const char *kind = jget_str_or(run->with, "kind", change.fixed);
	struct err err;

	if (rollout_kind(kind))
		return change_plan(&change, env, run, done, data);
	err_set(&err, ERR_INVALID,
		"a Deployment, StatefulSet or DaemonSet has containers to set, not a %.80s", kind);
	return act_refuse(env, run, &err, done, data);
}

static bool check_amounts(const json_t *with, const char *group, const char **ret_param,
			  struct err *err)
{
	const char *name;
	json_t *value;

	*ret_param = group;
	json_object_foreach(json_object_get(with, group), name, value)
	{
		char *amount;

		if (!str_eq(name, "cpu") && !str_eq(name, "memory") &&
		    !str_eq(name, "ephemeral-storage")) {
			err_set(err, ERR_INVALID, "%s is neither cpu nor memory", name);
			return false;
		}
		if (!json_is_string(value) || has_template(json_string_value(value)))
			continue;
		amount = quantity_canonical(json_string_value(value));
		if (amount == NULL) {
			err_set(err, ERR_INVALID, "%s must be an amount, like 500m or 512Mi", name);
			return false;
		}
		free(amount);
	}
	return true;
}

static bool check_set(const json_t *with, const struct action_env *env, const char **ret_param,
		      struct err *err)
{
	static const char *const some[] = { "image", "env", "requests", "limits" };
	bool any = false;

	if (!rollout_check(with, env, change.fixed, ret_param, err) ||
	    !check_amounts(with, "requests", ret_param, err) ||
	    !check_amounts(with, "limits", ret_param, err))
		return false;
	for (size_t i = 0; i < 4; i++)
		any = any || json_object_get(with, some[i]) != NULL;
	*ret_param = "image";
	if (!any)
		err_set(err, ERR_INVALID, "image, env, requests or limits is needed");
	return any;
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "Deployment StatefulSet DaemonSet", .object = "name" },
	{ .verbs = "list", .kinds = "Deployment StatefulSet DaemonSet", .spare = true },
	WATCH_NEED("Deployment StatefulSet DaemonSet", "name"),
	WATCH_PODS_NEED,
	{ .verbs = "list", .kinds = "VerticalPodAutoscaler", .when = "requests", .spare = true },
	{ .verbs = "list", .kinds = "Pod", .spare = true },
	{ .verbs = "list", .kinds = "Event", .spare = true },
	{ .verbs = "list", .kinds = "ReplicaSet", .spare = true },
	QUOTA_NEED,
	GITOPS_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_set = {
	.name = "kube.set",
	.about = "Set image, variables or resources of a workload's container",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_set,
	.plan = plan_set,
	.apply = apply_change,
	.look = look_change,
	.revert = revert_change,
	.follow = follow_change,
	.needs = needs,
};
