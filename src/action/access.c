/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.c - the kinds access.*: rights for a time, and links of Slack accounts.  The target is
 * opsd itself; what each does is decided and done in the database (sql/migrations/0016), which is
 * reached through the port that the service gives.  Doing it twice for one request changes nothing.
 */
#include "action/env.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/own.h"
#include "internal.h"

static struct call *ask(struct act *act, const struct action_kind *kind, const char *what,
			action_done_fn done)
{
	const struct own_port *port = env_own(act->env);
	const struct action_run *run = act->run;
	char *whole;

	if (port->ask == NULL) {
		err_set(&act->err, ERR_INVALID, "This works in the running service only.");
		return act_fail(act);
	}
	whole = xasprintf("%s.%s", kind->name, what);
	act->inner = port->ask(port->ctx, whole, run->request_id, run->with, done, act);
	free(whole);
	return &act->call;
}

/* What the database refuses is certainly not done. */
static bool refused(struct act *act, const json_t *value, const struct err *err)
{
	struct err own;

	if (err != NULL) {
		act_end_badly(act, err);
		return true;
	}
	if (jget_str(value, "refused") == NULL)
		return false;
	err_set(&own, ERR_INVALID, "%s", jget_str(value, "refused"));
	act_end_badly(act, &own);
	return true;
}

static void on_plain(void *data, const json_t *value, const struct err *err)
{
	if (!refused(data, value, err))
		act_end(data, json_incref((json_t *)(uintptr_t)value));
}

static void on_look(void *data, const json_t *value, const struct err *err)
{
	bool done = jget_bool(value, "done", false);

	if (!refused(data, value, err))
		act_end(data, json_pack("{s:s, s:s, s:{s:b}}", "state", done ? "done" : "not_done",
					"says",
					done ? "It is on record as done." : "It is not on record.",
					"evidence", "on_record", done));
}

static void on_list(void *data, const json_t *value, const struct err *err)
{
	if (!refused(data, value, err))
		act_end(data,
			json_pack("{s:s, s:[ssssss], s:O, s:n, s:n}", "title",
				  "Rights that are in no file", "columns", "Grant", "Whose", "What",
				  "Origin", "Ends", "State", "rows", value, "next", "total"));
}

static bool check_where(const json_t *with, const struct action_env *env, const char **ret_param,
			struct err *err)
{
	const json_t *where = json_object_get(with, "where");

	(void)env;
	if (where == NULL || json_is_object(where))
		return true;
	*ret_param = "where";
	err_set(err, ERR_INVALID, "where is a mapping of scope to value: { team: \"{team}\" }");
	return false;
}

#define WHERE                                                                                      \
	{                                                                                          \
		"where", ACTION_OBJECT, false,                                                     \
			"scope of the right, { team: \"{team}\" }; what is null is not given"      \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, ACTION_TEXT, false, NULL                                                     \
	}

static const struct action_param grant_params[] = {
	{ "action", ACTION_TEXT, true, "the action, of risk 0 to 2" },
	{ "can", ACTION_TEXT, false, "request (the default) or approve" },
	{ "who", ACTION_TEXT, false, "me (the default), a person, or group:NAME" },
	WHERE,
	{ "for", ACTION_NUMBER, true, "how long, at most 24 hours" },
	END,
};
static const struct action_param break_glass_params[] = {
	{ "action", ACTION_TEXT, true, "the action" },
	WHERE,
	{ "for", ACTION_NUMBER, false, "how long, at most an hour" },
	END,
};
static const struct action_param suspend_params[] = {
	{ "who", ACTION_TEXT, true, "a person, or group:NAME" },
	{ "action", ACTION_TEXT, false, "the action; without it every one" },
	{ "for", ACTION_NUMBER, true, "how long, at most 24 hours" },
	END,
};
static const struct action_param end_params[] = {
	{ "grant", ACTION_TEXT, true, "the key of the grant" },
	END,
};
static const struct action_param relink_params[] = {
	{ "user", ACTION_TEXT, true, "the Slack account" },
	END,
};
static const struct action_param list_params[] = { END };

/* A change of rights: plan_NAME, apply_NAME, look_NAME and the kind. */
#define ACCESS_KIND(word, title, ...)                                                              \
	static struct call *plan_##word(struct action_env *env, const struct action_run *run,      \
					action_done_fn done, void *data)                           \
	{                                                                                          \
		return ask(act_new(sizeof(struct act), env, run, done, data),                      \
			   &action_access_##word, "plan", on_plain);                               \
	}                                                                                          \
	static struct call *apply_##word(struct action_env *env, const struct action_run *run,     \
					 action_done_fn done, void *data)                          \
	{                                                                                          \
		return ask(act_new(sizeof(struct act), env, run, done, data),                      \
			   &action_access_##word, "do", on_plain);                                 \
	}                                                                                          \
	static struct call *look_##word(struct action_env *env, const struct action_run *run,      \
					action_done_fn done, void *data)                           \
	{                                                                                          \
		return ask(act_new(sizeof(struct act), env, run, done, data),                      \
			   &action_access_##word, "look", on_look);                                \
	}                                                                                          \
	const struct action_kind action_access_##word = { .name = "access." #word,                 \
							  .about = title,                          \
							  .params = word##_params,                 \
							  .effect = ACTION_KEYED,                  \
							  .plan = plan_##word,                     \
							  .apply = apply_##word,                   \
							  .look = look_##word,                     \
							  __VA_ARGS__ }

ACCESS_KIND(grant, "Give somebody a right for at most a day; takes somebody else's approval",
	    .check = check_where);
ACCESS_KIND(
	break_glass,
	"Take a right without asking, for at most an hour: everybody is told, and somebody else "
	"reviews it",
	.check = check_where, .last_resort = true);
ACCESS_KIND(suspend, "Block a person or a group for at most a day", .check = NULL);
ACCESS_KIND(end, "End a grant before its time; one of the reviewed file is blocked for a day",
	    .check = NULL);
ACCESS_KIND(relink,
	    "Forget whose a Slack account is, so that it is linked anew; takes somebody else's "
	    "approval",
	    .check = NULL);

static struct call *apply_list(struct action_env *env, const struct action_run *run,
			       action_done_fn done, void *data)
{
	return ask(act_new(sizeof(struct act), env, run, done, data), &action_access_list, "do",
		   on_list);
}

const struct action_kind action_access_list = {
	.name = "access.list",
	.about = "List the rights that are in no file: in force, or ended within a week",
	.params = list_params,
	.effect = ACTION_READ,
	.apply = apply_list,
};
