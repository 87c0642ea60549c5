/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kube_config.c - keys of a ConfigMap: shown when no value is given, else one key is set.
 *
 * A value of several lines is a whole file in one key; it is shown by its first line and never
 * replaced from a chat message.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { VALUE_MAX = 4000, SHOWN_MAX = 300, ROWS_MAX = 200 };

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "a cluster of the configuration" },
	{ "namespace", ACTION_TEXT, true, "the ConfigMap's namespace" },
	{ "name", ACTION_TEXT, true, "the ConfigMap's name" },
	{ "key", ACTION_TEXT, false, "the key; without it all are shown" },
	{ "value", ACTION_TEXT, false, "its new value; without it nothing is changed" },
	{ "restart", ACTION_TEXT, false, "a Deployment that reads it: it is restarted afterwards" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct config {
	struct act act;
	struct place place;
};

static bool key_ok(const char *key)
{
	size_t n = key == NULL ? 0 : strlen(key);

	return n > 0 && n <= 253 &&
	       strspn(key, "-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") ==
		       n;
}

/* The text to set; NULL: none is wanted.  Numbers and truths arrive typed. */
static char *wanted_value(const json_t *with)
{
	const json_t *value = json_object_get(with, "value");

	if (value == NULL || json_is_null(value))
		return NULL;
	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

/* --- what is changed --- */

static const char *plan_key(const json_t *plan)
{
	return jget_str_or(plan, "target.key", "");
}

static json_t *config_fields(const json_t *plan)
{
	json_t *data = json_object(), *fields = json_object();

	json_object_set(data, plan_key(plan), jget(plan, "precondition.to"));
	json_object_set_new(fields, "data", data);
	return fields;
}

static json_t *config_value(const json_t *object, const json_t *plan)
{
	json_t *value = json_object_get(json_object_get(object, "data"), plan_key(plan));

	return value != NULL ? json_incref(value) : json_null();
}

/* --- plan --- */

/* NULL: the key may be set. */
static const char *why_not(const json_t *object, const char *key)
{
	const char *now = json_string_value(json_object_get(json_object_get(object, "data"), key));

	if (jget_bool(object, "immutable", false))
		return "it is immutable; a new one under another name is needed";
	if (json_object_get(json_object_get(object, "binaryData"), key) != NULL)
		return "this key holds binary data, which cannot be set from here";
	if (now != NULL && strchr(now, '\n') != NULL)
		return "this key holds a text of several lines, which cannot be replaced from here";
	return NULL;
}

/* The nearest key of those that are there, for a key that would be new. */
static void warn_new_key(struct planning *planning, const char *key)
{
	const char *names[ROWS_MAX], *name, *near;
	json_t *data = json_object_get(planning->object, "data"), *value;
	size_t n = 0;

	json_object_foreach(data, name, value)
	{
		if (n < ROWS_MAX)
			names[n++] = name;
	}
	near = str_nearest(key, names, n);
	owners_warn(&planning->owners, "%s is a new key%s%s%s", key,
		    near != NULL ? "; did you mean " : "", near != NULL ? near : "",
		    near != NULL ? "?" : ".");
}

/* Kustomize's generator: "settings-7g2k9h4m5t". */
static bool generated_name(const char *name)
{
	const char *dash = strrchr(name, '-');

	return dash != NULL && strlen(dash + 1) == 10 && strspn(dash + 1, "bcdfghkmt2456789") == 10;
}

static json_t *config_path(const json_t *plan)
{
	char *leaf = xasprintf("f:%s", plan_key(plan));
	json_t *path = json_pack("[s, s]", "f:data", leaf);

	free(leaf);
	return path;
}

static void warn_readers(struct planning *planning)
{
	if (generated_name(planning->place->name))
		owners_warn(&planning->owners, "Its name is made by Kustomize: the next "
					       "deployment uses another one.");
	if (str_empty(jget_str(planning->run->with, "restart")))
		owners_warn(&planning->owners,
			    "Pods that read it as environment variables see the new "
			    "value only after a restart.");
}

static bool config_build(struct planning *planning, struct err *err)
{
	const char *key = jget_str_or(planning->run->with, "key", ""), *why;
	json_t *from = json_object_get(json_object_get(planning->object, "data"), key);
	json_t *to = NULL;
	char *text, *what;

	why = why_not(planning->object, key);
	if (why != NULL) {
		what = place_text(planning->place);
		err_set(err, ERR_INVALID, "%s: %s", what, why);
		free(what);
		return false;
	}
	text = wanted_value(planning->run->with);
	to = planning->back != NULL ? json_incref((json_t *)(uintptr_t)planning->back)
				    : json_string(text);
	free(text);
	from = from != NULL ? json_incref(from) : json_null();
	json_object_set_new(planning->target, "key", json_string(key));
	if (!json_equal(from, to))
		planning_change(planning, key, json_incref(from), json_incref(to));
	if (json_is_null(from) && !json_is_null(to))
		warn_new_key(planning, key);
	planning_expect(planning, from, to);
	warn_readers(planning);
	return true;
}

static const struct change_kind change = { .fixed = "ConfigMap",
					   .build = config_build,
					   .fields = config_fields,
					   .value = config_value,
					   .path = config_path };

CHANGE_STEPS(change)
CHANGE_BACK(change)

static bool value_ok(const char *value, struct err *err)
{
	if (value == NULL)
		err_set(err, ERR_INVALID, "a value is needed to set a key");
	else if (strlen(value) > VALUE_MAX)
		err_set(err, ERR_INVALID, "a value may have at most %d bytes", VALUE_MAX);
	else if (strchr(value, '\n') != NULL)
		err_set(err, ERR_INVALID, "a value of several lines cannot be set from here");
	else
		return true;
	return false;
}

static struct call *plan_config(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	const char *key = jget_str(run->with, "key");
	char *value = wanted_value(run->with);
	struct err err;
	bool good = value_ok(value, &err);

	free(value);
	if (good && !key_ok(key)) {
		err_set(&err, ERR_INVALID,
			"\"%.80s\" cannot be a key: letters, digits, -, _ and . are allowed",
			key == NULL ? "" : key);
		good = false;
	}
	if (!good)
		return act_refuse(env, run, &err, done, data);
	return change_plan(&change, env, run, done, data);
}

/* --- reading --- */

/* The first line, cut; *value itself is never trusted to be short. */
static json_t *shown(const char *value)
{
	size_t len = strlen(value), line = strcspn(value, "\n"), cut = 0, step;
	uint32_t cp;
	char *text;
	json_t *cell;

	while (cut < line && (step = str_utf8_next(value + cut, line - cut, &cp)) > 0 &&
	       cut + step <= SHOWN_MAX)
		cut += step;
	text = cut == len ? xstrdup(value) : xasprintf("%.*s … (%zu bytes)", (int)cut, value, len);
	cell = json_string(text);
	free(text);
	return cell;
}

static void add_rows(json_t *rows, const json_t *data, const char *only, bool binary)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)data, key, value)
	{
		const char *text = json_string_value(value);

		if ((only != NULL && !str_eq(only, key)) || text == NULL ||
		    json_array_size(rows) >= ROWS_MAX)
			continue;
		json_array_append_new(
			rows, json_pack("[s, o]", key,
					binary ? json_string("(binary data)") : shown(text)));
	}
}

static void on_near(void *data, const struct err *err)
{
	act_end_badly(data, err);
}

static void refuse(struct config *config, const char *why)
{
	char *what = place_text(&config->place);
	struct err err;

	err_set(&err, ERR_INVALID, "%s: %s", what, why);
	free(what);
	act_end_badly(&config->act, &err);
}

static void on_shown(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct config *config = data;
	const char *key = jget_str(config->act.run->with, "key");
	json_t *rows = json_array();
	char *what;

	config->act.inner = NULL;
	if (err != NULL) {
		json_decref(rows);
		if (answer->problem == KUBE_NOT_FOUND)
			config->act.inner =
				nearby_start(&config->place, config->act.run, err, on_near, config);
		else
			act_end_badly(&config->act, err);
		return;
	}
	add_rows(rows, json_object_get(answer->body, "data"), key, false);
	add_rows(rows, json_object_get(answer->body, "binaryData"), key, true);
	if (key != NULL && json_array_size(rows) == 0) {
		json_decref(rows);
		refuse(config, "it has no such key");
		return;
	}
	what = place_text(&config->place);
	act_end(&config->act,
		json_pack("{s:s, s:[s, s], s:I, s:o}", "title", what, "columns", "Key", "Value",
			  "total", (json_int_t)json_array_size(rows), "rows", rows));
	free(what);
}

static struct call *show(struct action_env *env, const struct action_run *run, action_done_fn done,
			 void *data)
{
	struct act *act = act_new(sizeof(struct config), env, run, done, data);
	struct config *config = (struct config *)act;
	struct kube_request request = { .method = "GET",
					.request_id = run->request_id,
					.person = run->person,
					.timeout_ms = run->timeout_ms };

	if (!place_read(&config->place, env, run->with, change.fixed, PLACE_OBJECT, &act->err))
		return act_fail(act);
	request.kind = config->place.kind;
	request.space = config->place.space;
	request.name = config->place.name;
	act->inner = kube_call(config->place.kube, &request, on_shown, config);
	return &act->call;
}

static struct call *apply_config(struct action_env *env, const struct action_run *run,
				 action_done_fn done, void *data)
{
	if (run->plan == NULL)
		return show(env, run, done, data);
	return apply_change(env, run, done, data);
}

static enum action_effect effect_of(const json_t *with)
{
	return json_object_get(with, "value") == NULL ? ACTION_READ : ACTION_CONDITIONAL;
}

static bool check_config(const json_t *with, const struct action_env *env, const char **ret_param,
			 struct err *err)
{
	const char *key = jget_str(with, "key");

	if (!place_check(env, with, false, ret_param, err) ||
	    !restarting_check(with, ret_param, err))
		return false;
	*ret_param = "key";
	if (key != NULL && !has_template(key) && !key_ok(key)) {
		err_set(err, ERR_INVALID,
			"\"%.80s\" cannot be a key: letters, digits, -, _ and . are allowed", key);
		return false;
	}
	if (key == NULL && json_object_get(with, "value") != NULL) {
		err_set(err, ERR_INVALID, "a value needs a key");
		return false;
	}
	return true;
}

static const struct restart_base base = { .plan = plan_config,
					  .apply = apply_config,
					  .look = look_change,
					  .revert = revert_change,
					  .follow = follow_change };

RESTARTING_STEP(plan)
RESTARTING_STEP(apply)
RESTARTING_STEP(look)
RESTARTING_STEP(revert)
RESTARTING_STEP(follow)

static const struct action_need needs[] = {
	{ .verbs = "get", .kinds = "ConfigMap", .object = "name" },
	{ .verbs = "patch", .kinds = "ConfigMap", .object = "name", .when = "value" },
	{ .verbs = "list", .kinds = "ConfigMap", .spare = true },
	{ .verbs = "list watch",
	  .kinds = "ConfigMap",
	  .object = "name",
	  .when = "value",
	  .spare = true },
	GITOPS_NEEDS,
	RESTARTING_NEEDS,
	{ .verbs = NULL },
};

const struct action_kind action_kube_config = {
	.name = "kube.config",
	.about = "Show the keys of a ConfigMap, or set one",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.effect_of = effect_of,
	.check = check_config,
	.plan = plan_both,
	.apply = apply_both,
	.look = look_both,
	.revert = revert_both,
	.follow = follow_both,
	.needs = needs,
};
