/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_call.c - one call of an API.
 *
 * retry says what the API's owner promises: "safe" (the same again changes nothing more) and
 * "idempotent" (it honours our Idempotency-Key) may be sent again, which is also how one learns
 * what became of a call without an answer.  "never", the default, is sent once on a connection of
 * its own; afterwards only look_path, or a person, can tell.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "http_ask.h"

enum { DONE_MAX = 300, TEXT_MAX = 2500, FIELDS_MAX = 40 };

static const struct action_param params[] = {
	{ "api", ACTION_TEXT, true, "an API of the configuration" },
	{ "method", ACTION_TEXT, false, "POST by default" },
	{ "path", ACTION_TEXT, true, "like /tasks/{id}; a value is one part of it" },
	{ "query", ACTION_OBJECT, false, "empty values are left out" },
	{ "body", ACTION_OBJECT, false, "sent as JSON" },
	{ "retry", ACTION_TEXT, false, "safe, idempotent or never (the default)" },
	{ "done", ACTION_EXPR, false,
	  "what to say of a good answer, like \"task \\(.answer.id)\"" },
	{ "fields", ACTION_EXPR, false, "of a GET: what to show, a list of [name, value]" },
	{ "title", ACTION_TEXT, false, "of a GET: above what is shown" },
	{ "look_path", ACTION_TEXT, false, "asked by GET after an unclear end" },
	{ "look_done", ACTION_EXPR, false, "of its answer: true when it happened, false when not" },
	{ NULL, ACTION_TEXT, false, NULL },
};

static const char *method_of(const json_t *with)
{
	return jget_str_or(with, "method", "POST");
}

static bool may_repeat(const json_t *with)
{
	const char *retry = jget_str_or(with, "retry", "never");

	return str_eq(retry, "safe") || str_eq(retry, "idempotent");
}

static bool reads(const json_t *with)
{
	return str_eq(method_of(with), "GET");
}

static char *request_text(const struct action_run *run)
{
	return xasprintf("%s %s", method_of(run->with), jget_str_or(run->with, "path", "/"));
}

static struct http_ask want_of(const struct act *act)
{
	const json_t *with = act->run->with;
	struct http_ask want = { .api = env_api(act->env, jget_str_or(with, "api", "")),
				 .method = method_of(with),
				 .path = jget_str(with, "path"),
				 .args = act->run->args,
				 .query = json_object_get(with, "query"),
				 .body = json_object_get(with, "body"),
				 .key = reads(with) ? NULL : act->run->request_id,
				 .keyed = str_eq(jget_str(with, "retry"), "idempotent"),
				 .connection =
					 reads(with) || may_repeat(with) ? HTTP_KEPT : HTTP_OWN,
				 .timeout_ms = act->run->timeout_ms };

	return want;
}

static struct call *no_api(struct act *act)
{
	err_set(&act->err, ERR_INVALID, "there is no API \"%.80s\" in the configuration",
		jget_str_or(act->run->with, "api", ""));
	return act_fail(act);
}

/* --- plan: nothing to read; what would be sent is what is agreed to --- */

static void on_plan(void *data)
{
	struct act *act = data;
	const struct action_run *run = act->run;
	json_t *sent = json_pack("{s:O*, s:O*}", "body", json_object_get(run->with, "body"),
				 "query", json_object_get(run->with, "query"));
	char *canonical = json_canonical(sent), *text = request_text(run);
	char hex[DIGEST_HEX_LEN];
	json_t *plan;

	digest_hex(canonical, strlen(canonical), hex);
	plan = json_pack("{s:{s:s, s:s, s:s}, s:[{s:s, s:n, s:s}], s:[], s:[], s:{s:s}}", "target",
			 "api", jget_str_or(run->with, "api", "?"), "method", method_of(run->with),
			 "path", jget_str_or(run->with, "path", "/"), "changes", "field", "request",
			 "from", "to", text, "owners", "warnings", "precondition", "uid", hex);
	if (!may_repeat(run->with))
		json_array_append_new(
			json_object_get(plan, "warnings"),
			json_string("Should its answer be lost, opsd does not send it again; a "
				    "person then has to look."));
	json_decref(sent);
	free(canonical);
	free(text);
	act_end(act, plan);
}

struct call *http_call_plan(struct action_env *env, const struct action_run *run,
			    action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(*act), env, run, done, data);

	if (env_api(env, jget_str_or(run->with, "api", "")) == NULL)
		return no_api(act);
	act->inner = call_defer(env_loop(env), on_plan, act);
	return &act->call;
}

/* --- apply --- */

/* What the declared expression says of the answer, else which status came. */
static char *done_text(const struct action_run *run, int status, const json_t *answer)
{
	const char *source = jget_str(run->with, "done");
	char *request, *text = NULL;
	struct err ignored;
	json_t *value = NULL;

	if (source != NULL)
		value = http_shape(source, run->args, answer, &ignored);
	if (json_is_string(value))
		text = xasprintf("%.*s", DONE_MAX, json_string_value(value));
	json_decref(value);
	if (text != NULL)
		return text;
	request = request_text(run);
	text = xasprintf("%s answered %d", request, status);
	free(request);
	return text;
}

static json_t *outcome_of(const struct action_run *run, int status, const json_t *answer)
{
	char *text = done_text(run, status, answer);
	json_t *outcome = json_object(), *done = json_string(text);

	json_object_set_new(outcome, "done", done != NULL ? done : json_string("done"));
	json_object_set_new(
		outcome, "evidence",
		json_pack("{s:i, s:o*}", "status", status, "task", http_task_id(run, answer)));
	free(text);
	return outcome;
}

/* [[name, value], …] with texts for values of any kind. */
static json_t *as_fields(const json_t *pairs)
{
	json_t *fields = json_array(), *pair;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)pairs, i, pair)
	{
		if (i >= FIELDS_MAX)
			break;
		json_array_append_new(fields, json_pack("[o, o]", cell_of(json_array_get(pair, 0)),
							cell_of(json_array_get(pair, 1))));
	}
	return fields;
}

static json_t *shown_of(const struct action_run *run, const json_t *answer, struct err *err)
{
	const char *source = jget_str(run->with, "fields");
	json_t *result = json_object(), *fields;
	char *text;

	json_object_set_new(result, "title",
			    json_string(jget_str_or(run->with, "title",
						    jget_str_or(run->with, "path", "Answer"))));
	if (source == NULL) {
		text = json_dumps(answer, JSON_ENCODE_ANY | JSON_INDENT(2));
		if (text != NULL) {
			text[str_utf16_prefix(text, TEXT_MAX)] = '\0';
			json_object_set_new(result, "text", json_string(text));
		}
		free(text);
		return result;
	}
	fields = http_shape(source, run->args, answer, err);
	if (fields != NULL) {
		json_object_set_new(result, "fields", as_fields(fields));
		json_decref(fields);
		return result;
	}
	json_decref(result);
	return NULL;
}

static void on_answer(void *data, int status, const json_t *answer, const struct err *err)
{
	struct act *act = data;
	struct err own;
	json_t *result;

	act->inner = NULL;
	if (err != NULL) {
		act_end_badly(act, err);
		return;
	}
	result = reads(act->run->with) ? shown_of(act->run, answer, &own)
				       : outcome_of(act->run, status, answer);
	if (result == NULL)
		act_end_badly(act, &own);
	else
		act_end(act, result);
}

struct call *http_call_apply(struct action_env *env, const struct action_run *run,
			     action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(*act), env, run, done, data);
	struct http_ask want = want_of(act);

	if (want.api == NULL)
		return no_api(act);
	act->inner = http_ask_start(env, &want, on_answer, act);
	return &act->call;
}

/* --- look --- */

static void end_look(struct act *act, const char *state, const char *says, const json_t *evidence)
{
	json_t *look = json_pack("{s:s, s:s}", "state", state, "says", says);

	json_object_set(look, "evidence",
			evidence != NULL ? (json_t *)(uintptr_t)evidence : json_null());
	act_end(act, look);
}

/* The same was sent again under the same key: its answer is the answer. */
static void on_same_again(void *data, int status, const json_t *answer, const struct err *err)
{
	struct act *act = data;
	json_t *outcome;

	act->inner = NULL;
	if (err != NULL && (err->kind == ERR_INVALID || err->kind == ERR_DENIED)) {
		end_look(act, "not_done", err->msg, NULL);
		return;
	}
	if (err != NULL) {
		act_end_badly(act, err);
		return;
	}
	outcome = outcome_of(act->run, status, answer);
	json_object_set_new(outcome, "state", json_string("done"));
	json_object_set_new(outcome, "says",
			    json_string("The API answered the same request, sent again."));
	act_end(act, outcome);
}

static void on_looked(void *data, int status, const json_t *answer, const struct err *err)
{
	struct act *act = data;
	const json_t *with = act->run->with;
	json_t *value, *evidence;
	struct err own;
	char *text;

	act->inner = NULL;
	if (err != NULL) {
		act_end_badly(act, err);
		return;
	}
	value = http_shape(jget_str_or(with, "look_done", "null"), act->run->args, answer, &own);
	evidence = json_pack("{s:i, s:s}", "status", status, "path",
			     jget_str_or(with, "look_path", "?"));
	text = xasprintf("%s says that it %s.", jget_str_or(with, "look_path", "?"),
			 json_is_true(value)    ? "happened"
			 : json_is_false(value) ? "did not happen"
						: "cannot tell");
	end_look(act,
		 json_is_true(value)    ? "done"
		 : json_is_false(value) ? "not_done"
					: "unknown",
		 text, evidence);
	json_decref(value);
	json_decref(evidence);
	free(text);
}

static void on_nobody_knows(void *data)
{
	struct act *act = data;
	char *request = request_text(act->run);
	char *says =
		xasprintf("%s on API %s was sent, or was about to be, and opsd cannot see what "
			  "became of it.",
			  request, jget_str_or(act->run->with, "api", "?"));

	end_look(act, "unknown", says, NULL);
	free(request);
	free(says);
}

struct call *http_call_look(struct action_env *env, const struct action_run *run,
			    action_done_fn done, void *data)
{
	struct act *act = act_new(sizeof(*act), env, run, done, data);
	struct http_ask want = want_of(act);

	if (want.api == NULL)
		return no_api(act);
	if (jget_str(run->with, "look_path") != NULL) {
		want.method = "GET";
		want.path = jget_str(run->with, "look_path");
		want.query = want.body = NULL;
		want.key = NULL;
		act->inner = http_ask_start(env, &want, on_looked, act);
	} else if (may_repeat(run->with)) {
		act->inner = http_ask_start(env, &want, on_same_again, act);
	} else {
		act->inner = call_defer(env_loop(env), on_nobody_knows, act);
	}
	return &act->call;
}

/* --- the table entry --- */

enum action_effect http_call_effect(const json_t *with)
{
	if (reads(with))
		return ACTION_READ;
	return may_repeat(with) ? ACTION_KEYED : ACTION_ONCE;
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (str_eq(text, *words))
			return true;
	return false;
}

bool http_call_check(const json_t *with, const struct action_env *env, const char **ret_param,
		     struct err *err)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", NULL };
	static const char *const classes[] = { "safe", "idempotent", "never", NULL };
	const char *path = jget_str_or(with, "path", "");

	if (!env_check_api(env, with, ret_param, err))
		return false;
	*ret_param = "method";
	err_set(err, ERR_INVALID, "must be GET, POST, PUT, PATCH or DELETE");
	if (!one_of(method_of(with), methods))
		return false;
	*ret_param = "retry";
	err_set(err, ERR_INVALID, "must be safe, idempotent or never");
	if (!one_of(jget_str_or(with, "retry", "never"), classes))
		return false;
	*ret_param = "path";
	err_set(err, ERR_INVALID, "must begin with / and hold no ? or #");
	if (path[0] != '/' || strpbrk(path, "?#") != NULL)
		return false;
	*ret_param = "look_done";
	err_set(err, ERR_INVALID, "look_path and look_done belong together");
	return (jget_str(with, "look_path") == NULL) == (jget_str(with, "look_done") == NULL);
}

const struct action_kind action_http_call = {
	.name = "http.call",
	.about = "Call an API",
	.params = params,
	.secret = "body",
	.effect = ACTION_ONCE,
	.effect_of = http_call_effect,
	.check = http_call_check,
	.plan = http_call_plan,
	.apply = http_call_apply,
	.look = http_call_look,
};
