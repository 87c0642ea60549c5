/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope.c - from JSON to a tagged struct, by the kind of the payload.
 *
 * Absent, null and empty ids all read as NULL.  A key of dedup that cannot be built (a member is
 * missing) falls back to the envelope's id: then a redelivery is not recognised, but no two
 * intents are ever taken for one.
 */
#include "slack/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"

enum { ENVELOPE_MAX = 1024 * 1024 };

static const char *ident(const json_t *obj, const char *path)
{
	const char *text = jget_str(obj, path);

	return str_empty(text) ? NULL : text;
}

static const char *either(const char *first, const char *second)
{
	return first != NULL ? first : second;
}

/* "kind:a:b:c", its digest when that is too long; the envelope's id when a part is missing. */
static void key(struct envelope *envelope, const char *kind, const char *const *parts, size_t n)
{
	char hex[DIGEST_HEX_LEN], *text = xstrdup(kind);
	size_t len;

	for (size_t i = 0; i < n; i++) {
		char *shorter = text;

		if (parts[i] == NULL) {
			free(text);
			key(envelope, "envelope", &envelope->id, 1);
			return;
		}
		text = xasprintf("%s:%s", shorter, parts[i]);
		free(shorter);
	}
	len = strlen(text);
	if (len < sizeof(envelope->dedup)) {
		memcpy(envelope->dedup, text, len + 1);
	} else {
		digest_hex(text, len, hex);
		(void)snprintf(envelope->dedup, sizeof(envelope->dedup), "%s:%s", kind, hex);
	}
	free(text);
}

/* Nothing in it tells this intent from the next. */
static void key_none(struct envelope *envelope)
{
	key(envelope, "envelope", &envelope->id, 1);
}

static void read_slash(struct envelope *envelope)
{
	const json_t *payload = envelope->payload;

	envelope->team = ident(payload, "team_id");
	envelope->user = ident(payload, "user_id");
	envelope->channel = ident(payload, "channel_id");
	envelope->command = jget_str(payload, "command");
	envelope->text = jget_str(payload, "text");
	key(envelope, "slash", &envelope->trigger_id, 1);
}

static void read_view(struct envelope *envelope)
{
	const json_t *payload = envelope->payload;
	const char *view[] = { ident(payload, "view.id"), ident(payload, "view.hash") };

	envelope->view_id = view[0];
	envelope->view_hash = view[1];
	envelope->callback_id = jget_str(payload, "view.callback_id");
	envelope->private_metadata = jget_str(payload, "view.private_metadata");
	key(envelope, "view", view, 2);
}

/* What was entered or chosen, where it is one text. */
static const char *chosen(const json_t *action)
{
	static const char *const members[] = { "value",         "selected_option.value",
					       "selected_user", "selected_channel",
					       "selected_date", "selected_conversation",
					       "selected_time" };

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const char *text = jget_str(action, members[i]);

		if (text != NULL)
			return text;
	}
	return NULL;
}

static void read_action(struct envelope *envelope)
{
	const json_t *payload = envelope->payload;
	const json_t *action = json_array_get(jget(payload, "actions"), 0);
	const char *message[5], *view[4];

	read_view(envelope);
	if (envelope->view_id == NULL)
		envelope->view_id = ident(payload, "container.view_id");
	envelope->message_ts =
		either(ident(payload, "container.message_ts"), ident(payload, "message.ts"));
	envelope->ephemeral = jget_bool(payload, "container.is_ephemeral", false);
	envelope->action_id = ident(action, "action_id");
	envelope->block_id = ident(action, "block_id");
	envelope->action_ts = ident(action, "action_ts");
	envelope->value = chosen(action);
	if (envelope->view_id != NULL) {
		view[0] = envelope->user;
		view[1] = envelope->view_id;
		view[2] = envelope->action_id;
		view[3] = envelope->action_ts;
		key(envelope, "action", view, 4);
		return;
	}
	message[0] = envelope->user;
	message[1] = envelope->channel;
	message[2] = envelope->message_ts;
	message[3] = envelope->action_id;
	message[4] = envelope->action_ts;
	key(envelope, "action", message, 5);
}

static void read_suggest(struct envelope *envelope)
{
	read_view(envelope);
	envelope->action_id = ident(envelope->payload, "action_id");
	envelope->block_id = ident(envelope->payload, "block_id");
	envelope->value = jget_str(envelope->payload, "value");
	key_none(envelope);
}

static void read_shortcut(struct envelope *envelope)
{
	const json_t *payload = envelope->payload;

	envelope->callback_id = jget_str(payload, "callback_id");
	envelope->message_ts = either(ident(payload, "message_ts"), ident(payload, "message.ts"));
	envelope->action_ts = ident(payload, "action_ts");
	key(envelope, "shortcut", &envelope->trigger_id, 1);
}

static enum envelope_kind interactive_kind(const char *type)
{
	static const struct {
		const char *type;
		enum envelope_kind kind;
	} kinds[] = {
		{ "block_actions", ENVELOPE_ACTION },    { "view_submission", ENVELOPE_SUBMIT },
		{ "view_closed", ENVELOPE_CLOSED },      { "block_suggestion", ENVELOPE_SUGGEST },
		{ "message_action", ENVELOPE_SHORTCUT }, { "shortcut", ENVELOPE_SHORTCUT },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (str_eq(type, kinds[i].type))
			return kinds[i].kind;
	return ENVELOPE_UNKNOWN;
}

static void read_interactive(struct envelope *envelope)
{
	const json_t *payload = envelope->payload;

	envelope->kind = interactive_kind(jget_str(payload, "type"));
	envelope->user = ident(payload, "user.id");
	envelope->user_team = ident(payload, "user.team_id");
	/* team is null for an app that is installed for a whole organisation. */
	envelope->team = either(ident(payload, "team.id"), envelope->user_team);
	envelope->channel =
		either(ident(payload, "channel.id"), ident(payload, "container.channel_id"));
	envelope->state = jget(payload, "view.state.values");
	if (envelope->state == NULL)
		envelope->state = jget(payload, "state.values");
	switch (envelope->kind) {
	case ENVELOPE_ACTION:
		read_action(envelope);
		break;
	case ENVELOPE_SUBMIT:
	case ENVELOPE_CLOSED:
		read_view(envelope);
		break;
	case ENVELOPE_SUGGEST:
		read_suggest(envelope);
		break;
	case ENVELOPE_SHORTCUT:
		read_shortcut(envelope);
		break;
	default:
		key_none(envelope);
		break;
	}
}

static void read_event(struct envelope *envelope)
{
	const json_t *payload = envelope->payload;
	const char *type = jget_str(payload, "event.type");
	const char *id = ident(payload, "event_id");

	envelope->kind = ENVELOPE_EVENT;
	if (str_eq(type, "app_home_opened"))
		envelope->kind = ENVELOPE_HOME_OPENED;
	else if (str_eq(type, "user_change"))
		envelope->kind = ENVELOPE_USER_CHANGED;
	envelope->team = ident(payload, "team_id");
	/* The whole profile in user_change, an id elsewhere. */
	envelope->user = either(ident(payload, "event.user"), ident(payload, "event.user.id"));
	envelope->user_team = ident(payload, "event.user.team_id");
	key(envelope, "event", &id, 1);
}

static enum disconnect_reason disconnect_reason(const char *text)
{
	if (str_eq(text, "warning"))
		return DISCONNECT_WARNING;
	if (str_eq(text, "link_disabled"))
		return DISCONNECT_DISABLED;
	if (str_eq(text, "too_many_websockets"))
		return DISCONNECT_TOO_MANY;
	return DISCONNECT_REFRESH; /* also when it is missing or new */
}

/* hello and disconnect: about the socket, not to be acknowledged. */
static bool read_control(struct envelope *envelope, const char *type)
{
	if (str_eq(type, "hello"))
		envelope->kind = ENVELOPE_HELLO;
	else if (str_eq(type, "disconnect"))
		envelope->kind = ENVELOPE_DISCONNECT;
	else
		return false;
	envelope->num_connections = jget_int(envelope->json, "num_connections", 0);
	envelope->lifetime_s =
		jget_int(envelope->json, "debug_info.approximate_connection_time", 0);
	envelope->reason = disconnect_reason(jget_str(envelope->json, "reason"));
	return true;
}

static bool read_any(struct envelope *envelope, struct err *err)
{
	const json_t *json = envelope->json;
	const char *type = ident(json, "type");

	if (!json_is_object(json)) {
		err_set(err, ERR_INVALID, "the frame is not a JSON object");
		return false;
	}
	if (type != NULL && read_control(envelope, type))
		return true;
	envelope->id = ident(json, "envelope_id");
	if (envelope->id == NULL) {
		err_set(err, ERR_INVALID, "the frame has no envelope_id (type %.60s)",
			type != NULL ? type : "missing");
		return false;
	}
	envelope->accepts_payload = jget_bool(json, "accepts_response_payload", false);
	envelope->retry = jget_int(json, "retry_attempt", 0);
	envelope->payload = json_object_get(json, "payload");
	envelope->trigger_id = ident(envelope->payload, "trigger_id");
	envelope->response_url = ident(envelope->payload, "response_url");
	if (str_eq(type, "slash_commands")) {
		envelope->kind = ENVELOPE_SLASH;
		read_slash(envelope);
	} else if (str_eq(type, "interactive")) {
		read_interactive(envelope);
	} else if (str_eq(type, "events_api")) {
		read_event(envelope);
	} else {
		envelope->kind = ENVELOPE_UNKNOWN;
		key_none(envelope);
	}
	return true;
}

bool envelope_parse(const char *text, size_t len, struct envelope *ret_envelope, struct err *err)
{
	struct envelope envelope = { .json = json_parse(text, len, ENVELOPE_MAX, err) };

	if (envelope.json == NULL)
		return false;
	if (!read_any(&envelope, err)) {
		json_decref(envelope.json);
		return false;
	}
	*ret_envelope = envelope;
	return true;
}

void envelope_finish(struct envelope *envelope)
{
	if (envelope == NULL)
		return;
	json_decref(envelope->json);
	memset(envelope, 0, sizeof(*envelope));
}

char *envelope_ack(const char *id, const char *payload)
{
	json_t *string = json_string(id);
	char *quoted = json_text(string), *text;

	if (payload != NULL)
		text = xasprintf("{\"envelope_id\":%s,\"payload\":%s}", quoted, payload);
	else
		text = xasprintf("{\"envelope_id\":%s}", quoted);
	free(quoted);
	json_decref(string);
	return text;
}
