/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake.c - envelopes to requests.  on_kind[] says what each kind of envelope does.  An envelope
 * that becomes a request is acknowledged by intake_answered(), after its row is committed; every
 * other one here, at once.
 */
#include "chat/intake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/form.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/facts.h"
#include "core/request.h"
#include "intake_internal.h"
#include "slack/envelope.h"
#include "slack/people.h"
#include "slack/text.h"
#include "slack/view.h"
#include "slack/web.h"

enum { MAX_OPS = 2000, FACTS_FRESH_MS = 60 * 1000, TEXT_KEPT_MAX = 4000, PROBLEMS_TEXT_MAX = 8000 };

/* A command that is not known: what could be meant is asked for before it is recorded. */
struct guessing {
	struct list_node node;
	struct intake *intake;
	struct request *rq;
	struct call *call;
};

void intake_ack(struct intake *intake, struct slack_via via, const char *id, const char *payload)
{
	if (intake->socket == NULL)
		return;
	if (!slack_socket_ack(intake->socket, via, id, payload))
		log_warn("acknowledgement not sent whole", LOG_STR("envelope", id));
}

void intake_ack_note(struct intake *intake, const struct envelope *env, struct slack_via via,
		     const char *text)
{
	json_t *message = render_note(text);
	char *payload = json_text(message);

	if (env->accepts_payload && env->kind == ENVELOPE_SLASH) {
		intake_ack(intake, via, env->id, payload);
	} else {
		intake_ack(intake, via, env->id, NULL);
		if (env->response_url != NULL) {
			json_object_set_new(message, "replace_original", json_false());
			(void)slack_web_respond(intake->config.web, env->response_url,
						json_incref(message), NULL, NULL);
		}
	}
	free(payload);
	json_decref(message);
}

/* requests */

static void put_facts(struct intake *intake, struct request *rq, const struct envelope *env)
{
	const struct slack_user *user =
		slack_people_cached(intake->config.people, env->user, FACTS_FRESH_MS);
	struct asker *asker = &rq->asker;

	asker->team = arena_strdup(rq->arena, env->team);
	asker->user = arena_strdup(rq->arena, env->user);
	asker->channel = arena_strdup(rq->arena, env->channel);
	asker->response_url = arena_strdup(rq->arena, env->response_url);
	if (user != NULL)
		request_set_asker(rq,
				  user->verdict == SLACK_USER_OK
					  ? "ok"
					  : slack_user_verdict_name(user->verdict),
				  user->email, user->name, user->tz);
}

struct request *intake_request(struct intake *intake, const struct envelope *env,
			       struct slack_via via, const char *kind)
{
	struct request *rq = request_create();

	id_request(rq->id); /* a click replaces it by the one on its button */
	rq->delivery.envelope_id = arena_strdup(rq->arena, env->id);
	rq->delivery.dedup = arena_strdup(rq->arena, env->dedup);
	rq->delivery.kind = kind;
	rq->delivery.retry = env->retry;
	rq->delivery.socket = (uint64_t)via.slot << 32 | via.generation;
	rq->delivery.takes_text = env->accepts_payload && env->kind == ENVELOPE_SLASH;
	put_facts(intake, rq, env);
	rq->catalog = catalog_ref(intake->catalog);
	return rq;
}

static const char *kept_text(struct request *rq, const char *text)
{
	return arena_strndup(rq->arena, text, str_utf8_prefix(text, TEXT_KEPT_MAX));
}

static void set_command(struct request *rq, const struct command *command, json_t *args)
{
	bool failed = false;
	const char *denied;

	rq->command = command;
	rq->args = args;
	rq->scope = args_scope(command, args);
	denied = args_guard(command, args, &failed);
	if (failed)
		rq->rejection = "A guard of this command could not be evaluated. Tell the data "
				"platform team.";
	else if (denied != NULL)
		rq->rejection = denied;
}

bool intake_too_busy(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	unsigned max = intake->config.max_ops > 0 ? intake->config.max_ops : MAX_OPS;

	if (op_list_count(intake->config.ops) < max)
		return false;
	intake_ack_note(
		intake, env, via,
		"Nothing was recorded and nothing will happen: too many requests are under way. "
		"Try again in a minute.");
	return true;
}

/* "count must be …; reason is missing. Example: …"  The caller frees. */
static char *problems_text(const struct command *command, const struct args_problems *problems)
{
	char *example = command_example(command);
	struct buf buf;

	buf_init(&buf, PROBLEMS_TEXT_MAX);
	for (size_t i = 0; i < problems->n; i++)
		buf_printf(&buf, "%s%s", i == 0 ? "" : " ", problems->items[i].text);
	buf_printf(&buf, " Example: %s", example);
	free(example);
	return buf_take(&buf);
}

/* The text as typed, for the record, without what stands for a secret. */
static const char *command_text(struct request *rq, const char *text, const struct line *line)
{
	char *rest = args_redact(line->command, line->rest);
	const char *kept = kept_text(
		rq, arena_printf(rq->arena, "%.*s%s", (int)(line->rest - text), text, rest));

	free(rest);
	return kept;
}

static void slash_command(struct intake *intake, const struct envelope *env, struct slack_via via,
			  const char *text, const struct line *line)
{
	struct request *rq;
	struct args_problems problems;
	json_t *args = args_from_text(line->command, line->rest, &problems);

	/* Nothing is wrong but what is missing: ask for it, with what was typed filled in. */
	if (args == NULL && problems.missing_only && env->trigger_id != NULL) {
		json_t *typed = args_typed(line->command, line->rest);
		char *text_instead = problems_text(line->command, &problems);

		intake_ack(intake, via, env->id, NULL);
		intake_open(intake, env, form_view(line->command, typed, env->channel),
			    text_instead);
		json_decref(typed);
		free(text_instead);
		return;
	}
	rq = intake_request(intake, env, via, "slash");
	rq->text = command_text(rq, text, line);
	if (args != NULL) {
		set_command(rq, line->command, args);
	} else {
		char *rejection = problems_text(line->command, &problems);

		rq->rejection = arena_strdup(rq->arena, rejection);
		free(rejection);
	}
	intake_begin(intake, rq, OP_RECEIVE);
}

static void on_guess(void *data, const char *sentence)
{
	struct guessing *guessing = data;
	struct request *rq = guessing->rq;

	rq->rejection = arena_printf(rq->arena, "%s%s", rq->rejection, sentence);
	list_remove(&guessing->intake->guesses, &guessing->node);
	intake_begin(guessing->intake, rq, OP_RECEIVE);
	free(guessing);
}

static void unknown_command(struct intake *intake, const struct envelope *env, struct slack_via via,
			    const char *text, const struct line *line)
{
	struct guessing *guessing = xcalloc(1, sizeof(*guessing));
	struct request *rq = intake_request(intake, env, via, "slash");

	rq->text = kept_text(rq, text);
	rq->rejection = arena_strdup(rq->arena, line->problem);
	guessing->intake = intake;
	guessing->rq = rq;
	list_push(&intake->guesses, &guessing->node);
	guessing->call = guess_start(&intake->config.may, env->team, env->user, line->nearest,
				     on_guess, guessing);
}

static void on_slash(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	const char *prefix = jget_str(intake->config.prefixes, env->command);
	char *text = slack_text_decode(env->text != NULL ? env->text : "");
	struct line line;

	if (intake_too_busy(intake, env, via)) {
		free(text);
		return;
	}
	if (prefix == NULL && intake_rights_slash(intake, env, via, text)) {
		free(text);
		return;
	}
	args_line(intake->catalog, prefix, text, &line);
	if (line.kind == LINE_HELP) {
		intake_ack(intake, via, env->id, NULL);
		intake_show_help(intake, env,
				 line.command != NULL ? line.command->title : line.prefix);
	} else if (line.kind == LINE_OWN) {
		intake_later_word(intake, env, via, &line);
	} else if (line.kind == LINE_UNKNOWN) {
		unknown_command(intake, env, via, text, &line);
	} else {
		slash_command(intake, env, via, text, &line);
	}
	free(text);
}

bool intake_button(const char *value, struct request *rq)
{
	const char *space = value != NULL ? strchr(value, ' ') : NULL;
	char id[ID_REQUEST_LEN] = "";

	if (space != NULL && (size_t)(space - value) < sizeof(id))
		memcpy(id, value, (size_t)(space - value));
	if (!id_is_request(id) || strlen(space + 1) >= sizeof(rq->digest))
		return false;
	memcpy(rq->id, id, sizeof(id));
	memcpy(rq->digest, space + 1, strlen(space + 1) + 1);
	return true;
}

static void on_decision(struct intake *intake, const struct envelope *env, struct slack_via via,
			bool yes)
{
	struct request *rq = intake_request(intake, env, via, yes ? "confirm" : "cancel");

	if (!intake_button(env->value, rq)) {
		intake_ack_note(intake, env, via, words_not_ours());
		request_destroy(rq);
		return;
	}
	intake_begin(intake, rq, rq->asker.facts_fresh ? OP_CONFIRM : OP_CLICKER);
}

/* The button "Next page" carries the whole question. */
static void on_page(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	struct err err;
	json_t *value =
		env->value != NULL ? json_parse(env->value, strlen(env->value), 4000, &err) : NULL;
	const struct command *command = catalog_find_title(intake->catalog, jget_str(value, "c"));
	struct args_problems problems;
	struct request *rq;
	json_t *args;

	args = command != NULL && command_reads(command)
		       ? args_from_json(command, json_object_get(value, "a"), &problems)
		       : NULL;
	if (args == NULL || jget_str(value, "k") == NULL) {
		intake_ack_note(
			intake, env, via,
			"This page belongs to a command that has changed. Ask again with the "
			"command.");
		json_decref(value);
		return;
	}
	rq = intake_request(intake, env, via, "action");
	rq->text = "Next page";
	rq->cursor = arena_strdup(rq->arena, jget_str(value, "k"));
	set_command(rq, command, args);
	json_decref(value);
	intake_begin(intake, rq, OP_RECEIVE);
}

static void on_action(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	if (intake_form_click(intake, env, via) || intake_card_click(intake, env, via) ||
	    intake_rights_click(intake, env, via) || intake_later_click(intake, env, via))
		return;
	if (!str_eq(env->action_id, "confirm") && !str_eq(env->action_id, "cancel") &&
	    !str_eq(env->action_id, "page")) {
		intake_ack(intake, via, env->id, NULL);
		return;
	}
	if (intake_too_busy(intake, env, via))
		return;
	if (str_eq(env->action_id, "page"))
		on_page(intake, env, via);
	else
		on_decision(intake, env, via, str_eq(env->action_id, "confirm"));
}

static void on_submit(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	json_t *meta =
		str_eq(env->callback_id, "command") ? form_meta(env->private_metadata) : NULL;
	const struct command *command = catalog_find_title(intake->catalog, jget_str(meta, "c"));
	json_t *values, *args;
	struct args_problems problems;
	struct request *rq;

	if (intake_card_submit(intake, env, via)) {
		json_decref(meta);
		return;
	}
	if (command == NULL || intake_too_busy(intake, env, via)) {
		if (command == NULL)
			intake_ack(intake, via, env->id, NULL);
		json_decref(meta);
		return;
	}
	values = slack_view_values(env->state);
	args = args_from_values(command, values, &problems);
	json_decref(values);
	if (args == NULL) {
		char *errors = form_errors(command, &problems);

		intake_ack(intake, via, env->id, errors);
		free(errors);
	} else {
		rq = intake_request(intake, env, via, "submit");
		rq->asker.channel = arena_strdup(rq->arena, jget_str(meta, "ch"));
		rq->text = "(form)";
		set_command(rq, command, args);
		intake_begin(intake, rq, OP_RECEIVE);
	}
	json_decref(meta);
}

static void on_suggest(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	intake_ack(intake, via, env->id, "{\"options\":[]}");
}

static void on_home(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	intake_ack(intake, via, env->id, NULL);
	if (str_eq(jget_str(env->payload, "event.tab"), "home"))
		intake_show_home(intake, env->team, env->user, NULL);
}

static void on_user_changed(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	intake_ack(intake, via, env->id, NULL);
	slack_people_drop(intake->config.people, env->user);
}

static void on_other(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	intake_ack(intake, via, env->id, NULL);
}

static void (*const on_kind[])(struct intake *intake, const struct envelope *env,
			       struct slack_via via) = {
	[ENVELOPE_HELLO] = on_other,      [ENVELOPE_DISCONNECT] = on_other,
	[ENVELOPE_SLASH] = on_slash,      [ENVELOPE_ACTION] = on_action,
	[ENVELOPE_SUBMIT] = on_submit,    [ENVELOPE_CLOSED] = on_other,
	[ENVELOPE_SUGGEST] = on_suggest,  [ENVELOPE_SHORTCUT] = on_other,
	[ENVELOPE_HOME_OPENED] = on_home, [ENVELOPE_USER_CHANGED] = on_user_changed,
	[ENVELOPE_EVENT] = on_other,      [ENVELOPE_UNKNOWN] = on_other,
};

void intake_envelope(void *data, const struct envelope *env, struct slack_via via)
{
	struct intake *intake = data;

	if (env->user == NULL && env->kind != ENVELOPE_EVENT && env->kind != ENVELOPE_UNKNOWN) {
		log_warn("envelope without a user", LOG_STR("envelope", env->id));
		intake_ack(intake, via, env->id, NULL);
		return;
	}
	on_kind[env->kind](intake, env, via);
}

/* answers */

void intake_respond(struct intake *intake, const struct request *rq, json_t *message)
{
	if (rq->asker.response_url != NULL)
		(void)slack_web_respond(intake->config.web, rq->asker.response_url, message, NULL,
					NULL);
	else
		json_decref(message);
}

static json_t *answer_of(const struct request *rq, const struct err *err)
{
	json_t *facts, *message;
	char *text = NULL;

	if (err != NULL) {
		text = request_confirms(rq) && !rq->asker.facts_fresh
			       ? xstrdup(words_not_known_who())
			       : words_not_recorded(rq, err);
	} else if (rq->known_id != NULL) {
		text = rq->delivery.takes_text && !str_eq(rq->known_state, "cancelled")
			       ? NULL
			       : words_known(rq);
	} else if (rq->state == REQUEST_RECEIVED || rq->state == REQUEST_ALLOWED) {
		text = words_accepted(rq);
	} else if (request_state_final(rq->state)) {
		facts = facts_reply(rq);
		message = render_reply(facts);
		json_decref(facts);
		return message;
	}
	if (text == NULL)
		return NULL;
	message = render_note(text);
	free(text);
	return message;
}

/* A modal can only be told in its acknowledgement: nothing recorded means the modal stays, with the
 * reason. */
static char *submit_errors(const struct request *rq, const struct err *err)
{
	struct args_problems problems = { .n = 1 };
	char *text = words_not_recorded(rq, err);

	(void)snprintf(problems.items[0].text, sizeof(problems.items[0].text), "%s", text);
	free(text);
	return rq->command->n_params > 0 ? form_errors(rq->command, &problems) : NULL;
}

/* The message with the button is over only when the request is, and not because a stranger clicked.
 */
static bool ends_preview(const struct request *rq, const struct err *err)
{
	return err == NULL && rq->known_id == NULL && request_state_final(rq->state) &&
	       rq->undoes == NULL && !str_eq(rq->code, "not_requester");
}

void intake_answered(struct intake *intake, struct request *rq, const struct err *err)
{
	json_t *message;
	char *payload;

	if (intake_card_answered(intake, rq, err) || intake_later_answered(intake, rq, err))
		return;
	if (str_eq(rq->delivery.kind, "submit") && err != NULL && rq->command != NULL) {
		payload = submit_errors(rq, err);
		intake_ack_all(intake, rq, payload);
		free(payload);
		return;
	}
	message = answer_of(rq, err);
	if (message == NULL) {
		intake_ack_all(intake, rq, NULL);
	} else if (rq->delivery.takes_text) {
		payload = json_text(message);
		intake_ack_all(intake, rq, payload);
		free(payload);
		json_decref(message);
	} else {
		intake_ack_all(intake, rq, NULL);
		json_object_set_new(message, "replace_original",
				    json_boolean(ends_preview(rq, err)));
		intake_respond(intake, rq, message);
	}
}

struct intake *intake_create(uv_loop_t *loop, const struct intake_config *config)
{
	struct intake *intake = xcalloc(1, sizeof(*intake));

	intake->loop = loop;
	intake->config = *config;
	list_init(&intake->shows);
	list_init(&intake->guesses);
	list_init(&intake->openings);
	list_init(&intake->tellings);
	list_init(&intake->laters);
	return intake;
}

void intake_set_socket(struct intake *intake, struct slack_socket *socket)
{
	intake->socket = socket;
}

void intake_set_workspace(struct intake *intake, const char *url)
{
	free(intake->workspace);
	intake->workspace = url != NULL && str_starts(url, "https://") ? xstrdup(url) : NULL;
}

void intake_set_catalog(struct intake *intake, struct catalog *catalog)
{
	catalog_unref(intake->catalog);
	intake->catalog = catalog_ref(catalog);
}

void intake_destroy(struct intake *intake)
{
	struct list_node *node;

	if (intake == NULL)
		return;
	intake_shows_cancel(intake);
	intake_tells_cancel(intake);
	intake_openings_cancel(intake);
	intake_laters_cancel(intake);
	while ((node = list_pop(&intake->guesses)) != NULL) {
		struct guessing *guessing = list_entry(node, struct guessing, node);

		call_cancel(&guessing->call);
		request_destroy(guessing->rq);
		free(guessing);
	}
	intake_takings_drop(intake);
	catalog_unref(intake->catalog);
	free(intake->workspace);
	free(intake);
}
