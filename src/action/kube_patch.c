/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_patch.c - set one value somewhere in an object, at a path that the declaration allows.
 *
 * For what has no kind of its own.  A path goes through mappings only: the place of an item in a
 * list may be another one by the time it is written.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { PATH_MAX_LEN = 500, STEPS_MAX = 20, VALUE_MAX = 4000 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, false, "the object's namespace, for kinds that have one" },
	{ "kind", ACTION_TEXT, true, "its kind" },
	{ "name", ACTION_TEXT, true, "its name" },
	{ "allow", ACTION_LIST, true,
	  "the paths that may be set, like /spec/minReadySeconds; * is any one step" },
	{ "path", ACTION_TEXT, true, "which one is set" },
	{ "value", ACTION_VALUE, true, "its new value: a text, a number, or true or false" },
	{ NULL, ACTION_TEXT, false, NULL },
};

/* --- paths: "/metadata/labels/a~1b" --- */

/* One step of a path, unescaped, and *textp past it; NULL at the end.  The caller frees. */
static char *next_step(const char **textp)
{
	const char *text = *textp;
	char *step, *to;
	size_t len;

	if (*text != '/')
		return NULL;
	len = strcspn(++text, "/");
	step = to = xstrndup(text, len);
	for (const char *from = step; *from != '\0'; from++) {
		if (from[0] == '~' && (from[1] == '0' || from[1] == '1'))
			*to++ = *++from == '1' ? '/' : '~';
		else
			*to++ = *from;
	}
	*to = '\0';
	*textp = text + len;
	return step;
}

static json_t *steps_of(const char *path)
{
	json_t *steps = json_array();
	char *step;

	while (path != NULL && (step = next_step(&path)) != NULL) {
		json_array_append_new(steps, json_string(step));
		free(step);
	}
	return steps;
}

static bool path_matches(const json_t *path, const json_t *pattern)
{
	json_t *step;
	size_t i;

	if (json_array_size(path) != json_array_size(pattern))
		return false;
	json_array_foreach((json_t *)(uintptr_t)pattern, i, step)
	{
		const char *want = json_string_value(step);

		if (!str_eq(want, "*") && !str_eq(want, json_string_value(json_array_get(path, i))))
			return false;
	}
	return true;
}

static bool path_allowed(const json_t *path, const json_t *allow)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)allow, i, item)
	{
		json_t *pattern = steps_of(json_string_value(item));
		bool same = path_matches(path, pattern);

		json_decref(pattern);
		if (same)
			return true;
	}
	return false;
}

static const char *step_at(const json_t *path, size_t i)
{
	const char *step = json_string_value(json_array_get(path, i));

	return step != NULL ? step : "";
}

/* What nobody may set by this way, whatever the declaration allows; NULL: it may be set. */
static const char *path_trouble(const json_t *path)
{
	const char *first = step_at(path, 0), *second = step_at(path, 1);

	if (json_array_size(path) == 0 || json_array_size(path) > STEPS_MAX)
		return "a path looks like /spec/minReadySeconds";
	if (str_eq(first, "status") || str_eq(first, "kind") || str_eq(first, "apiVersion") ||
	    str_eq(first, "*"))
		return "only what is wanted can be set: /spec and the like";
	if (str_eq(first, "metadata") &&
	    (json_array_size(path) != 3 ||
	     (!str_eq(second, "labels") && !str_eq(second, "annotations"))))
		return "of the metadata only labels and annotations can be set";
	if (str_eq(first, "spec") && str_eq(second, "replicas"))
		return "replicas are set by kube.scale, which looks who else sets them";
	if (str_eq(first, "data") || str_eq(first, "stringData") || str_eq(first, "binaryData"))
		return "keys are set by kube.config and kube.secret";
	return NULL;
}

/* --- what is changed --- */

static json_t *steps_of_plan(const json_t *plan)
{
	return steps_of(jget_str(plan, "target.key"));
}

/* Borrowed; NULL: absent.  *ret_list: a list stands in the way. */
static json_t *value_at(const json_t *object, const json_t *path, bool *ret_list)
{
	json_t *value = (json_t *)(uintptr_t)object, *step;
	size_t i;

	*ret_list = false;
	json_array_foreach((json_t *)(uintptr_t)path, i, step)
	{
		*ret_list = *ret_list || json_is_array(value);
		value = json_object_get(value, json_string_value(step));
	}
	return value;
}

static json_t *patch_value(const json_t *object, const json_t *plan)
{
	json_t *path = steps_of_plan(plan), *value;
	bool list;

	value = value_at(object, path, &list);
	json_decref(path);
	return value != NULL ? json_incref(value) : json_null();
}

static json_t *patch_fields(const json_t *plan)
{
	json_t *path = steps_of_plan(plan);
	json_t *node = json_incref(jget(plan, "precondition.to"));

	for (size_t i = json_array_size(path); i-- > 0;)
		node = json_pack("{s:o}", step_at(path, i), node);
	json_decref(path);
	return node;
}

static json_t *patch_path(const json_t *plan)
{
	json_t *path = steps_of_plan(plan), *fields = json_array(), *step;
	size_t i;

	json_array_foreach(path, i, step)
	{
		char *field = xasprintf("f:%s", json_string_value(step));

		json_array_append_new(fields, json_string(field));
		free(field);
	}
	json_decref(path);
	return fields;
}

/* --- plan --- */

/* A typed text becomes what the present value is: a number stays a number. */
static json_t *like(const json_t *wanted, const json_t *now)
{
	const char *text = json_string_value(wanted);
	int64_t n;

	if (text != NULL && json_is_integer(now) && str_to_i64(text, &n))
		return json_integer(n);
	if (text != NULL && json_is_boolean(now) && str_eq(text, "true"))
		return json_true();
	if (text != NULL && json_is_boolean(now) && str_eq(text, "false"))
		return json_false();
	return json_incref((json_t *)(uintptr_t)wanted);
}

static bool patch_build(struct planning *planning, struct err *err)
{
	const char *text = jget_str_or(planning->run->with, "path", "");
	json_t *path = steps_of(text), *now, *to;
	bool list;
	char *what;

	now = value_at(planning->object, path, &list);
	json_decref(path);
	if (list || json_is_object(now) || json_is_array(now)) {
		what = place_text(planning->place);
		err_set(err, ERR_INVALID, "%s: %s %s; only single values in mappings can be set",
			what, text, list ? "leads through a list" : "is not a single value");
		free(what);
		return false;
	}
	to = planning->back != NULL ? json_incref((json_t *)(uintptr_t)planning->back)
				    : like(json_object_get(planning->run->with, "value"), now);
	now = now != NULL ? json_incref(now) : json_null();
	json_object_set_new(planning->target, "key", json_string(text));
	if (!json_equal(now, to))
		planning_change(planning, text, json_incref(now), json_incref(to));
	planning_expect(planning, now, to);
	if (str_starts(text, "/spec/template/") && rollout_kind(planning->place->kind->kind))
		rollout_warn(planning);
	return true;
}

static const struct change_kind change = {
	.build = patch_build, .fields = patch_fields, .value = patch_value, .path = patch_path
};

CHANGE_STEPS(change)
CHANGE_BACK(change)

static bool value_ok(const json_t *value, struct err *err)
{
	if (value == NULL || json_is_null(value) || json_is_object(value) || json_is_array(value))
		err_set(err, ERR_INVALID, "a value is needed: a text, a number, or true or false");
	else if (json_string_length(value) > VALUE_MAX)
		err_set(err, ERR_INVALID, "a value may have at most %d bytes", VALUE_MAX);
	else
		return true;
	return false;
}

static bool path_ok(const json_t *with, struct err *err)
{
	const char *text = jget_str_or(with, "path", "");
	json_t *path = steps_of(text);
	const struct kube_kind *kind = kube_kind_find(jget_str(with, "kind"));
	const char *why = strlen(text) > PATH_MAX_LEN ? "a path is too long" : path_trouble(path);
	bool allowed = path_allowed(path, json_object_get(with, "allow"));

	json_decref(path);
	if (kind != NULL && str_eq(kind->kind, "Secret"))
		why = "a Secret is set by kube.secret";
	if (why != NULL)
		err_set(err, ERR_INVALID, "%.100s cannot be set: %s", text, why);
	else if (!allowed)
		err_set(err, ERR_INVALID, "%.100s is not among the paths that may be set", text);
	return why == NULL && allowed;
}

static struct call *plan_patch(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	struct err err;

	if (!path_ok(run->with, &err) || !value_ok(json_object_get(run->with, "value"), &err))
		return act_refuse(env, run, &err, done, data);
	return change_plan(&change, env, run, done, data);
}

static bool check_allow(const json_t *allow, struct err *err)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)allow, i, item)
	{
		json_t *path = steps_of(json_string_value(item));
		const char *why = path_trouble(path);

		json_decref(path);
		if (why == NULL)
			continue;
		err_set(err, ERR_INVALID, "\"%.80s\": %s",
			json_is_string(item) ? json_string_value(item) : "?", why);
		return false;
	}
	if (json_array_size(allow) > 0)
		return true;
	err_set(err, ERR_INVALID, "at least one path is needed");
	return false;
}

static bool check_patch(const json_t *with, const struct action_env *env, const char **ret_param,
			struct err *err)
{
	const char *path = jget_str(with, "path");
	const struct kube_kind *kind = kube_kind_find(jget_str(with, "kind"));

	if (!place_check(env, with, false, ret_param, err))
		return false;
	*ret_param = "kind";
	if (kind != NULL && str_eq(kind->kind, "Secret")) {
		err_set(err, ERR_INVALID, "a Secret is set by kube.secret");
		return false;
	}
	*ret_param = "allow";
	if (!check_allow(json_object_get(with, "allow"), err))
		return false;
	*ret_param = "path";
	return has_template(path) || path_ok(with, err);
}

static const struct action_need needs[] = {
	{ .verbs = "get patch", .kinds = "*", .object = "name" },
	{ .verbs = "list", .kinds = "*", .spare = true },
	WATCH_NEED("*", "name"),
	GITOPS_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_patch = {
	.name = "kube.patch",
	.about = "Set one value of an object, at one of the paths that are allowed",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check_patch,
	.plan = plan_patch,
	.apply = apply_change,
	.look = look_change,
	.revert = revert_change,
	.follow = follow_change,
	.needs = needs,
};
