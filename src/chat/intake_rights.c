/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake_rights.c - what people ask about their own rights: `whoami`, `why COMMAND…`, and the
 * button Why? of a refusal.  Nothing is requested by it; who asks is known afresh each time.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/email.h"
#include "intake_internal.h"
#include "slack/envelope.h"
#include "slack/people.h"
#include "slack/web.h"

enum { MAX_TELLS = 64 };

struct telling {
	struct list_node node;
	struct intake *intake;
	struct call *call;
	json_t *question;
	char *response_url, *user, *what; /* what: the command that it is about */
	char *notes;                      /* said besides */
};

static void tell_free(struct telling *telling)
{
	list_remove(&telling->intake->tellings, &telling->node);
	json_decref(telling->question);
	free(telling->response_url);
	free(telling->user);
	free(telling->what);
	free(telling->notes);
	free(telling);
}

void intake_tells_cancel(struct intake *intake)
{
	struct list_node *node;

	while ((node = list_first(&intake->tellings)) != NULL) {
		struct telling *telling = list_entry(node, struct telling, node);

		call_cancel(&telling->call);
		tell_free(telling);
	}
}

/* Takes text over. */
static void say(struct telling *telling, char *text, bool replace)
{
	json_t *message = render_note(text);

	json_object_set_new(message, "replace_original", json_boolean(replace));
	(void)slack_web_respond(telling->intake->config.web, telling->response_url, message, NULL,
				NULL);
	free(text);
	tell_free(telling);
}

static char *told(const struct telling *telling, const json_t *value)
{
	const char *what = jget_str_or(telling->question, "what", "");

	if (str_eq(what, "whoami"))
		return words_whoami(value);
	if (str_eq(what, "review"))
		return words_reviewed(value);
	return words_why(value, telling->what);
}

static void on_told(void *data, const json_t *value, const struct err *err)
{
	struct telling *telling = data;
	char *text, *whole;

	telling->call = NULL;
	if (err != NULL) {
		log_warn("not told", LOG_STR("user", telling->user), LOG_STR("error", err->msg));
		say(telling,
		    xstrdup("The database does not answer, so this is not known now. Try "
			    "again in a minute."),
		    false);
		return;
	}
	text = told(telling, value);
	whole = xasprintf("%s%s", text, telling->notes != NULL ? telling->notes : "");
	free(text);
	say(telling, whole, str_eq(jget_str(value, "code"), "reviewed"));
}

static void put_person(json_t *question, const struct slack_user *user)
{
	char key[EMAIL_KEY_LEN];
	const char *why;
	bool ok = user->verdict == SLACK_USER_OK;

	json_object_set_new(question, "verdict",
			    json_string(ok ? "ok" : slack_user_verdict_name(user->verdict)));
	if (ok && email_key(user->email, NULL, 0, key, &why))
		json_object_set_new(question, "email", json_string(key));
}

static void on_person(void *data, const struct slack_user *user, const struct err *err)
{
	struct telling *telling = data;
	struct tell_port *port = &telling->intake->config.tell;

	telling->call = NULL;
	if (err != NULL) {
		say(telling, xstrdup(words_not_known_who()), false);
		return;
	}
	put_person(telling->question, user);
	telling->call = port->tell(port->ctx, telling->question, on_told, telling);
}

/* Takes question, what and notes over. */
static void tell(struct intake *intake, const struct envelope *env, json_t *question, char *what,
		 char *notes)
{
	struct telling *telling;

	if (intake->tellings.count >= MAX_TELLS || env->response_url == NULL) {
		json_decref(question);
		free(what);
		free(notes);
		return;
	}
	telling = xcalloc(1, sizeof(*telling));
	telling->intake = intake;
	telling->question = question;
	telling->response_url = xstrdup(env->response_url);
	telling->user = xstrdup(env->user);
	telling->what = what;
	telling->notes = notes;
	json_object_set_new(question, "team", json_string(env->team));
	json_object_set_new(question, "user", json_string(env->user));
	list_push(&intake->tellings, &telling->node);
	telling->call = slack_people_fetch(intake->config.people, env->user, on_person, telling);
}

/* The arguments as far as they are given. */
static json_t *question_of(const struct command *command, const char *rest, char **ret_notes)
{
	struct args_problems problems;
	json_t *args = args_given(command, rest, &problems), *outlook, *question;

	if (args == NULL) {
		*ret_notes = xstrdup(problems.items[0].text);
		return NULL;
	}
	outlook = args_outlook(command, args);
	*ret_notes = words_outlook(outlook);
	question = json_pack("{s:s, s:s, s:O, s:i, s:O*}", "what", "why", "action", command->action,
			     "scope", json_object_get(outlook, "scope"), "risk", command->risk,
			     "rules", json_object_get(outlook, "rules"));
	json_decref(outlook);
	json_decref(args);
	return question;
}

static void why(struct intake *intake, const struct envelope *env, struct slack_via via,
		const char *rest)
{
	const char *prefix = jget_str(intake->config.prefixes, env->command);
	char *notes = NULL, *shown;
	json_t *question;
	struct line line;

	args_line(intake->catalog, prefix, rest, &line);
	if (line.kind == LINE_UNKNOWN || line.command == NULL) {
		intake_ack_note(intake, env, via,
				line.kind == LINE_UNKNOWN
					? line.problem
					: "Say which command: why workers scale team=ads count=5");
		return;
	}
	question = question_of(line.command, line.kind == LINE_HELP ? "" : line.rest, &notes);
	if (question == NULL) {
		intake_ack_note(intake, env, via, notes);
		free(notes);
		return;
	}
	intake_ack(intake, via, env->id, NULL);
	shown = args_redact(line.command, line.rest);
	tell(intake, env, question, xasprintf("%s %s", line.command->title, shown), notes);
	free(shown);
}

bool intake_rights_slash(struct intake *intake, const struct envelope *env, struct slack_via via,
			 const char *text)
{
	const char *word = text + strspn(text, " \t\r\n");
	size_t len = strcspn(word, " \t\r\n");

	if (len == strlen("whoami") && strncmp(word, "whoami", len) == 0) {
		intake_ack(intake, via, env->id, NULL);
		tell(intake, env, json_pack("{s:s}", "what", "whoami"), NULL, NULL);
		return true;
	}
	if (len != strlen("why") || strncmp(word, "why", len) != 0)
		return false;
	why(intake, env, via, word + len);
	return true;
}

bool intake_rights_click(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	bool review = str_eq(env->action_id, "review");

	if (!review && !str_eq(env->action_id, "why"))
		return false;
	intake_ack(intake, via, env->id, NULL);
	if (id_is_request(env->value != NULL ? env->value : ""))
		tell(intake, env,
		     json_pack("{s:s, s:s}", "what", review ? "review" : "why_request", "request",
			       env->value),
		     xasprintf("request %s", env->value), NULL);
	return true;
}
