/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake_later.c - `active`, `cancel R…`, `undo R…` and the buttons about time.  What is undone is
 * looked up first; the undoing is a request like any other.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/action.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/later.h"
#include "core/request.h"
#include "intake_internal.h"
#include "slack/envelope.h"
#include "slack/web.h"

enum { MAX_LATERS = 64, UNDOABLE_MS = 1000 };

/* A question to the database that an answer waits for. */
struct later {
	struct list_node node;
	struct intake *intake;
	struct call *call;
	uv_timer_t timer;   /* of an undo: its acknowledgement waits; closing it frees */
	struct request *rq; /* undo: not begun yet; NULL: begun, or a list */
	char *response_url; /* of a list */
};

static void on_closed(uv_handle_t *timer)
{
	free(timer->data);
}

static void later_free(struct later *later)
{
	list_remove(&later->intake->laters, &later->node);
	call_cancel(&later->call);
	request_destroy(later->rq);
	free(later->response_url);
	uv_close((uv_handle_t *)&later->timer, on_closed);
}

void intake_laters_cancel(struct intake *intake)
{
	struct list_node *node;

	while ((node = list_first(&intake->laters)) != NULL)
		later_free(list_entry(node, struct later, node));
}

static struct later *later_new(struct intake *intake)
{
	struct later *later = xcalloc(1, sizeof(*later));

	later->intake = intake;
	uv_timer_init(intake->loop, &later->timer);
	later->timer.data = later;
	list_push(&intake->laters, &later->node);
	return later;
}

/* active */

static void on_active(void *data, const json_t *value, const struct err *err)
{
	struct later *later = data;
	json_t *message;

	later->call = NULL;
	if (err != NULL)
		log_warn("not listed", LOG_STR("error", err->msg));
	message = err == NULL ? render_active(value)
			      : render_note("The database does not answer, so this is not known "
					    "now. Try again in a minute.");
	(void)slack_web_respond(later->intake->config.web, later->response_url, message, NULL,
				NULL);
	later_free(later);
}

static void active(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	const struct later_port *port = &intake->config.later;
	struct later *later;

	intake_ack(intake, via, env->id, NULL);
	if (intake->laters.count >= MAX_LATERS || env->response_url == NULL)
		return;
	later = later_new(intake);
	later->response_url = xstrdup(env->response_url);
	later->call = port->active(port->ctx, env->team, env->user, on_active, later);
}

/* undo */

/* What was done becomes what is asked for: its command and arguments, to be set back. */
static void fill_undo(struct request *rq, const json_t *past)
{
	const struct command *command = catalog_find_title(rq->catalog, jget_str(past, "command"));
	char *why = words_not_undoable(past, rq->undoes);

	if (why == NULL && (command == NULL || !action_reversible(command->kind, command->with)))
		why = xasprintf("What %s did cannot be set back. Use a command for it.",
				rq->undoes);
	if (why != NULL) {
		rq->rejection = arena_strdup(rq->arena, why);
		rq->undoes = NULL;
		free(why);
		return;
	}
	rq->command = command;
	rq->args = later_without(json_object_get(past, "args"));
	if (json_object_get(rq->args, "reason") != NULL)
		json_object_set_new(rq->args, "reason",
				    json_string(arena_printf(rq->arena, "undo of %s", rq->undoes)));
	rq->scope = args_scope(command, rq->args);
	rq->undone = json_pack("{s:O, s:O}", "plan", json_object_get(past, "plan"), "state",
			       json_object_get(past, "state"));
}

static void on_past(void *data, const json_t *value, const struct err *err)
{
	struct later *later = data;
	struct request *rq = later->rq;

	later->call = NULL;
	later->rq = NULL;
	if (err != NULL) {
		intake_answered(later->intake, rq, err);
		request_destroy(rq);
	} else {
		fill_undo(rq, value);
		intake_begin(later->intake, rq, OP_RECEIVE);
	}
	later_free(later);
}

static void on_slow(uv_timer_t *timer)
{
	struct later *later = timer->data;
	struct err err;

	call_cancel(&later->call);
	err_set(&err, ERR_TIMEOUT, "No answer in time (undo).");
	on_past(later, NULL, &err);
}

/* id: of the request to be undone; text: as it is recorded. */
static void undo(struct intake *intake, const struct envelope *env, struct slack_via via,
		 const char *id, const char *text)
{
	const struct later_port *port = &intake->config.later;
	struct request *rq = intake_request(intake, env, via, "undo");
	struct later *later;

	rq->text = arena_strdup(rq->arena, text);
	if (!id_is_request(id)) {
		rq->rejection =
			"Say which request: undo and its id, like undo R1KH2M8Q4ZT7WX0A. The "
			"id stands below each outcome.";
		intake_begin(intake, rq, OP_RECEIVE);
		return;
	}
	rq->undoes = arena_strdup(rq->arena, id);
	later = later_new(intake);
	later->rq = rq;
	uv_timer_start(&later->timer, on_slow, UNDOABLE_MS, 0);
	later->call = port->undoable(port->ctx, id, on_past, later);
}

/* cancel, and the buttons */

/* Takes rq over. */
static void steer(struct intake *intake, struct request *rq)
{
	rq->steering = true;
	intake_begin(intake, rq, rq->asker.facts_fresh ? OP_STEER : OP_CLICKER);
}

static void cancel(struct intake *intake, const struct envelope *env, struct slack_via via,
		   const char *id)
{
	struct request *rq;

	if (!id_is_request(id)) {
		intake_ack_note(intake, env, via,
				"Say which request: cancel and its id, like cancel "
				"R1KH2M8Q4ZT7WX0A. `active` lists what waits.");
		return;
	}
	rq = intake_request(intake, env, via, "stop");
	memcpy(rq->id, id, sizeof(rq->id));
	memcpy(rq->digest, "-", 2);
	steer(intake, rq);
}

void intake_later_word(struct intake *intake, const struct envelope *env, struct slack_via via,
		       const struct line *line)
{
	char id[ID_REQUEST_LEN] = "", text[ID_REQUEST_LEN + 8];
	size_t len = strcspn(line->rest, " \t\r\n");

	if (len < sizeof(id))
		memcpy(id, line->rest, len);
	for (size_t i = 0; i < len && i < sizeof(id); i++)
		if (id[i] >= 'a' && id[i] <= 'z')
			id[i] = (char)(id[i] - 'a' + 'A');
	(void)snprintf(text, sizeof(text), "undo %s", id);
	if (str_eq(line->word, "active"))
		active(intake, env, via);
	else if (str_eq(line->word, "undo"))
		undo(intake, env, via, id, text);
	else
		cancel(intake, env, via, id);
}

static const char *kind_of(const char *action)
{
	static const char *const kinds[] = { "extend", "keep", "back", "stop" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (str_eq(kinds[i], action))
			return kinds[i];
	return NULL;
}

bool intake_later_click(struct intake *intake, const struct envelope *env, struct slack_via via)
{
	const char *kind = kind_of(env->action_id);
	struct request *rq;

	if (kind == NULL && !str_eq(env->action_id, "undo"))
		return false;
	if (intake_too_busy(intake, env, via))
		return true;
	rq = intake_request(intake, env, via, kind != NULL ? kind : "undo");
	if (!intake_button(env->value, rq)) {
		intake_ack_note(intake, env, via, words_not_ours());
		request_destroy(rq);
	} else if (kind != NULL) {
		steer(intake, rq);
	} else {
		char *text = xasprintf("undo %s", rq->id);

		undo(intake, env, via, text + strlen("undo "), text);
		free(text);
		request_destroy(rq);
	}
	return true;
}

bool intake_later_answered(struct intake *intake, const struct request *rq, const struct err *err)
{
	char *text, *payload = NULL;
	json_t *message;

	if (!rq->steering)
		return false;
	if (err != NULL)
		text = rq->asker.facts_fresh ? words_not_recorded(rq, err)
					     : xstrdup(words_not_known_who());
	else
		text = words_steer(rq);
	/* The home tab has no other place for an answer than itself. */
	if (text != NULL && rq->asker.response_url == NULL && !rq->delivery.takes_text) {
		intake_ack_all(intake, rq, NULL);
		intake_show_home(intake, rq->asker.team, rq->asker.user, text);
		free(text);
		return true;
	}
	message = text != NULL ? render_note(text) : NULL;
	if (message != NULL && rq->delivery.takes_text)
		payload = json_text(message);
	intake_ack_all(intake, rq, payload);
	if (message != NULL && payload == NULL) {
		json_object_set_new(message, "replace_original", json_false());
		intake_respond(intake, rq, message);
	} else {
		json_decref(message);
	}
	free(payload);
	free(text);
	return true;
}
