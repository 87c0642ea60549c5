/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opsd_freeze.c - stops changes: what the freeze covers does not start until it is lifted or ends.
 *
 * The freeze carries the id of its request, so that setting it twice is setting it once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/own.h"
#include "internal.h"

enum { TEXT_MAX = 1000, HOURS_MAX = 24 * 366 };

static const struct action_param params[] = {
	{ "reason", ACTION_TEXT, true, "why; everybody who is stopped reads it" },
	{ "hours", ACTION_NUMBER, false, "after so many it ends; without it, it must be lifted" },
	{ "action", ACTION_TEXT, false, "only this action; * for anything, like workers.*" },
	{ "cluster", ACTION_TEXT, false, "only in this cluster" },
	{ "namespace", ACTION_TEXT, false, "only in this namespace" },
	{ "name", ACTION_TEXT, false, "only objects of this name, like workers-*" },
	{ "scope", ACTION_OBJECT, false, "only with this scope, like { team: \"{team}\" }" },
	{ NULL, ACTION_TEXT, false, NULL },
};

struct freezing {
	struct act act;
	json_t *args; /* of the question */
};

static void finish(struct act *act)
{
	json_decref(((struct freezing *)act)->args);
}

static void put_text(json_t *what, const char *name, const json_t *value)
{
	if (json_is_string(value) && !str_empty(json_string_value(value)))
		json_object_set(what, name, (json_t *)(uintptr_t)value);
}

static json_t *what_of(const json_t *with)
{
	static const char *const names[] = { "action", "cluster", "namespace", "name" };
	const json_t *scope = json_object_get(with, "scope");
	json_t *what = json_object(), *value;
	const char *key;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_text(what, names[i], json_object_get(with, names[i]));
	json_object_foreach((json_t *)(uintptr_t)scope, key, value) put_text(what, key, value);
	return what;
}

char *own_what_text(const json_t *what)
{
	struct buf buf;
	const char *key;
	json_t *value;

	buf_init(&buf, TEXT_MAX);
	json_object_foreach((json_t *)(uintptr_t)what, key, value)
		buf_printf(&buf, "%s%s=%s", buf.len > 0 ? " " : "", key, json_string_value(value));
	if (buf.len == 0)
		buf_puts(&buf, "everything");
	return buf_take(&buf);
}

static int64_t hours_of(const json_t *with)
{
	return number_of(json_object_get(with, "hours"), 0);
}

static struct call *ask(struct freezing *freezing, const char *what, action_done_fn done)
{
	struct act *act = &freezing->act;
	const struct own_port *own = env_own(act->env);

	if (own->ask == NULL) {
		err_set(&act->err, ERR_INVALID, "There is no database here.");
		return act_fail(act);
	}
	act->inner = own->ask(own->ctx, what, act->run->request_id, freezing->args, done, freezing);
	return &act->call;
}

static struct freezing *freezing_new(struct action_env *env, const struct action_run *run,
				     action_done_fn done, void *data)
{
	struct freezing *freezing =
		(struct freezing *)act_new(sizeof(*freezing), env, run, done, data);

	freezing->act.finish = finish;
	freezing->args = json_pack("{s:o}", "what", what_of(run->with));
	return freezing;
}

/* --- plan --- */

static json_t *warnings_of(const json_t *found)
{
	json_t *warnings = json_array(), *running;
	size_t i;

	json_array_foreach(json_object_get(found, "running"), i, running)
	{
		char *text = xasprintf("Under way, and goes on: %s (%s of %s).",
				       jget_str_or(running, "request", "?"),
				       jget_str_or(running, "command", "?"),
				       jget_str_or(running, "name", "?"));

		json_array_append_new(warnings, json_string(text));
		free(text);
	}
	return warnings;
}

static void on_plan(void *data, const json_t *found, const struct err *err)
{
	struct freezing *freezing = data;
	struct act *act = &freezing->act;
	const json_t *what = json_object_get(freezing->args, "what");
	int64_t hours = hours_of(act->run->with);
	char *text, *to;
	json_t *plan;

	act->inner = NULL;
	if (err != NULL) {
		act_end_badly(act, err);
		return;
	}
	if (jget_int(found, "actions", 0) == 0) {
		err_set(&act->err, ERR_INVALID, "No action fits \"%.100s\", so nothing would stop.",
			jget_str_or(what, "action", ""));
		act_end_badly(act, &act->err);
		return;
	}
	text = own_what_text(what);
	to = hours > 0 ? xasprintf("frozen for %d h", (int)hours) : xstrdup("frozen");
	plan = json_pack("{s:{s:s, s:s}, s:[], s:[], s:o}", "target", "own", "freeze", "name", text,
			 "changes", "owners", "warnings", warnings_of(found));
	if (json_is_null(json_object_get(found, "same")))
		json_array_append_new(
			json_object_get(plan, "changes"),
			json_pack("{s:s, s:s, s:s}", "field", "changes", "from", "open", "to", to));
	free(text);
	free(to);
	act_end(act, plan);
}

static struct call *plan(struct action_env *env, const struct action_run *run, action_done_fn done,
			 void *data)
{
	struct freezing *freezing = freezing_new(env, run, done, data);
	const char *cluster = jget_str(run->with, "cluster");

	if (!str_empty(cluster) && strchr(cluster, '*') == NULL && env_kube(env, cluster) == NULL) {
		err_set(&freezing->act.err, ERR_INVALID,
			"There is no cluster \"%.80s\" in the configuration.", cluster);
		return act_fail(&freezing->act);
	}
	return ask(freezing, "freeze.plan", on_plan);
}

/* --- apply and look --- */

static void on_frozen(void *data, const json_t *freeze, const struct err *err)
{
	struct freezing *freezing = data;
	char *what, *done;
	json_t *outcome;

	freezing->act.inner = NULL;
	if (err != NULL) {
		act_end_badly(&freezing->act, err);
		return;
	}
	what = own_what_text(json_object_get(freeze, "what"));
	done = xasprintf("frozen: %s", what);
	outcome = json_pack("{s:s, s:O}", "done", done, "evidence", freeze);
	free(what);
	free(done);
	act_end(&freezing->act, outcome);
}

static struct call *apply(struct action_env *env, const struct action_run *run, action_done_fn done,
			  void *data)
{
	struct freezing *freezing = freezing_new(env, run, done, data);
	int64_t hours = hours_of(run->with);

	json_object_set_new(freezing->args, "reason",
			    json_string(jget_str_or(run->with, "reason", "")));
	if (hours > 0)
		json_object_set_new(freezing->args, "seconds", json_integer(hours * 3600));
	return ask(freezing, "freeze", on_frozen);
}

static void on_look(void *data, const json_t *found, const struct err *err)
{
	struct freezing *freezing = data;
	bool set = jget_bool(found, "done", false);

	freezing->act.inner = NULL;
	if (err != NULL)
		act_end_badly(&freezing->act, err);
	else
		act_end(&freezing->act,
			json_pack("{s:s, s:s, s:O}", "state", set ? "done" : "not_done", "says",
				  set ? "The freeze was set." : "The freeze was not set.",
				  "evidence", found));
}

static struct call *look(struct action_env *env, const struct action_run *run, action_done_fn done,
			 void *data)
{
	return ask(freezing_new(env, run, done, data), "freeze.look", on_look);
}

static bool check(const json_t *with, const struct action_env *env, const char **ret_param,
		  struct err *err)
{
	const json_t *hours = json_object_get(with, "hours");

	if (json_is_integer(hours) &&
	    (json_integer_value(hours) < 1 || json_integer_value(hours) > HOURS_MAX)) {
		*ret_param = "hours";
		err_set(err, ERR_INVALID, "hours must be 1 to %d", HOURS_MAX);
		return false;
	}
	return env_check_cluster(env, with, ret_param, err);
}

const struct action_kind action_opsd_freeze = {
	.name = "opsd.freeze",
	.about = "Stops changes until the freeze is lifted or ends; reads go on",
	.params = params,
	.effect = ACTION_CONDITIONAL,
	.check = check,
	.plan = plan,
	.apply = apply,
	.look = look,
};
