/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web_errors.c - Slack's methods and error codes, as tables.
 *
 * The class decides what may be done next: only RETRY says for certain that nothing happened.
 * internal_error and fatal_error come with Slack's own warning that part may have been done.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "slack/web.h"
#include "web_internal.h"

static const struct {
	const char *name;
	bool reads, json, posts;
} methods[] = {
	{ "apps.connections.open", true, true, false },
	{ "auth.test", true, true, false },
	{ "bots.info", true, false, false },
	{ "chat.delete", false, true, false },
	{ "chat.getPermalink", true, false, false },
	{ "chat.postEphemeral", false, true, true },
	{ "chat.postMessage", false, true, true },
	{ "chat.update", false, true, true },
	{ "conversations.history", true, false, false },
	{ "conversations.info", true, false, false },
	{ "conversations.join", false, true, false },
	{ "conversations.members", true, false, false },
	{ "conversations.open", true, true, false }, /* opening twice is opening once */
	{ "conversations.replies", true, false, false },
	{ "files.completeUploadExternal", false, true, false },
	{ "team.info", true, true, false },
	{ "usergroups.list", true, false, false },
	{ "usergroups.users.list", true, false, false },
	{ "users.info", true, false, false },
	{ "users.list", true, false, false },
	{ "users.lookupByEmail", true, false, false },
	{ "views.open", false, true, false },
	{ "views.publish", false, true, false },
	{ "views.push", false, true, false },
	{ "views.update", false, true, false },
};

static const struct {
	const char *code;
	enum slack_class class;
	const char *means;
} codes[] = {
	/* limits and passing trouble: certainly not done */
	{ "ratelimited", SLACK_RETRY, "Slack asks us to slow down" },
	{ "rate_limited", SLACK_RETRY, "Slack asks us to slow down" },
	{ "message_limit_exceeded", SLACK_RETRY, "the workspace has sent too many messages" },
	{ "service_unavailable", SLACK_RETRY, "Slack is not available for the moment" },
	{ "request_timeout", SLACK_RETRY, "Slack did not get the whole request" },
	{ "team_added_to_org", SLACK_RETRY, "the workspace is being moved to an organization" },
	{ "external_channel_migrating", SLACK_RETRY, "the channel is being moved" },
	{ "fetch_members_failed", SLACK_RETRY, "Slack could not read the members" },
	/* may have been done */
	{ "fatal_error", SLACK_UNCERTAIN, "Slack failed, perhaps after doing it" },
	{ "internal_error", SLACK_UNCERTAIN, "Slack failed, perhaps after doing it" },
	{ "update_failed", SLACK_UNCERTAIN, "Slack failed, perhaps after doing it" },
	{ "unreadable_answer", SLACK_UNCERTAIN, "the answer was not what Slack sends" },
	{ "no_answer", SLACK_UNCERTAIN, "no complete answer came" },
	/* an operator must act */
	{ "not_authed", SLACK_FATAL, "no token was sent: set slack.bot_token" },
	{ "invalid_auth", SLACK_FATAL,
	  "the token is not valid (or this address is not allowed): set a new slack.bot_token" },
	{ "account_inactive", SLACK_FATAL, "the bot was removed: install the app again" },
	{ "token_revoked", SLACK_FATAL, "the token was revoked: install the app again" },
	{ "token_expired", SLACK_FATAL, "the token has expired: switch token rotation off" },
	{ "missing_scope", SLACK_FATAL, "the app lacks a scope: add it and install the app again" },
	{ "not_allowed_token_type", SLACK_FATAL,
	  "this is the wrong kind of token: bot_token begins with xoxb, app_token with xapp" },
	{ "no_permission", SLACK_FATAL, "the workspace does not let the app do this" },
	{ "access_denied", SLACK_FATAL, "the workspace does not let the app do this" },
	{ "accesslimited", SLACK_FATAL, "the workspace does not allow this network" },
	{ "ekm_access_denied", SLACK_FATAL,
	  "the workspace's administrators have suspended access" },
	{ "org_login_required", SLACK_FATAL, "the workspace has moved: install the app again" },
	{ "enterprise_is_restricted", SLACK_FATAL,
	  "the organization does not let the app do this" },
	{ "two_factor_setup_required", SLACK_FATAL, "the workspace demands two-factor sign-in" },
	{ "unknown_method", SLACK_FATAL, "Slack does not know the method: check slack.api_url" },
	{ "method_deprecated", SLACK_FATAL,
	  "Slack has withdrawn the method: a new opsd is needed" },
	{ "deprecated_endpoint", SLACK_FATAL, "Slack has withdrawn it: a new opsd is needed" },
	/* this call can never work */
	{ "channel_not_found", SLACK_REFUSED,
	  "there is no such channel, or it is private and the bot is not in it: check the id or "
	  "invite the bot with /invite" },
	{ "not_in_channel", SLACK_REFUSED,
	  "the bot is not in the channel: invite it with /invite" },
	{ "is_archived", SLACK_REFUSED, "the channel is archived: unarchive it or name another" },
	{ "restricted_action", SLACK_REFUSED, "the channel does not let the bot post" },
	{ "restricted_action_read_only_channel", SLACK_REFUSED, "only some may post there" },
	{ "user_not_in_channel", SLACK_REFUSED, "the person is not in the channel" },
	{ "user_not_found", SLACK_REFUSED, "there is no such user" },
	{ "users_not_found", SLACK_REFUSED, "nobody has this address" },
	{ "user_not_visible", SLACK_REFUSED, "the app may not see this user" },
	{ "user_disabled", SLACK_REFUSED, "the user is deactivated" },
	{ "message_not_found", SLACK_REFUSED, "the message is gone" },
	{ "cant_update_message", SLACK_REFUSED, "the message is not the bot's own" },
	{ "edit_window_closed", SLACK_REFUSED, "the message is too old to be changed" },
	{ "msg_too_long", SLACK_REFUSED, "the text is too long" },
	{ "msg_blocks_too_long", SLACK_REFUSED, "the message is too large" },
	{ "invalid_blocks", SLACK_REFUSED, "Slack does not accept the message's parts" },
	{ "invalid_blocks_format", SLACK_REFUSED, "Slack does not accept the message's parts" },
	{ "invalid_arguments", SLACK_REFUSED, "Slack does not accept an argument" },
	{ "no_text", SLACK_REFUSED, "the message is empty" },
	{ "metadata_too_large", SLACK_REFUSED, "the message's metadata is too large" },
	{ "expired_trigger_id", SLACK_REFUSED,
	  "more than 3 seconds have passed since the click: do it again" },
	{ "exchanged_trigger_id", SLACK_REFUSED, "the click was used already: do it again" },
	{ "invalid_trigger_id", SLACK_REFUSED, "Slack does not know the click: do it again" },
	{ "hash_conflict", SLACK_REFUSED, "the view has changed meanwhile" },
	{ "not_found", SLACK_REFUSED, "the view is closed" },
	{ "view_too_large", SLACK_REFUSED, "the view is too large" },
	{ "push_limit_reached", SLACK_REFUSED, "three forms are open already" },
	{ "not_enabled", SLACK_REFUSED,
	  "the app's Home tab is off: switch it on under App Home in the app's settings" },
	{ "used_url", SLACK_REFUSED, "the reply address was used five times" },
	{ "expired_url", SLACK_REFUSED, "the reply address is older than 30 minutes" },
};

enum {
	N_METHODS = sizeof(methods) / sizeof(methods[0]),
	N_CODES = sizeof(codes) / sizeof(codes[0])
};

bool slack_method_reads(const char *method)
{
	for (size_t i = 0; i < N_METHODS; i++)
		if (str_eq(methods[i].name, method))
			return methods[i].reads;
	return false;
}

bool slack_method_takes_json(const char *method)
{
	for (size_t i = 0; i < N_METHODS; i++)
		if (str_eq(methods[i].name, method))
			return methods[i].json;
	return false; /* a form works everywhere */
}

bool slack_method_posts(const char *method)
{
	for (size_t i = 0; i < N_METHODS; i++)
		if (str_eq(methods[i].name, method))
			return methods[i].posts;
	return false;
}

static size_t code_index(const char *code)
{
	size_t i = 0;

	while (i < N_CODES && !str_eq(codes[i].code, code))
		i++;
	return i;
}

static enum slack_class class_of(int status, const char *error)
{
	size_t i = code_index(error);

	if (status == 429)
		return SLACK_RETRY;
	if (i < N_CODES)
		return codes[i].class;
	if (status >= 500)
		return SLACK_UNCERTAIN;
	if (status >= 200 && status < 300)
		return str_empty(error) ? SLACK_OK : SLACK_REFUSED;
	return status == 401 || status == 403 ? SLACK_FATAL : SLACK_REFUSED;
}

enum slack_class slack_web_classify(int status, const char *error, bool reads)
{
	enum slack_class class = class_of(status, error);

	return class == SLACK_UNCERTAIN && reads ? SLACK_RETRY : class;
}

const char *slack_class_name(enum slack_class class)
{
	switch (class) {
	case SLACK_OK:
		return "ok";
	case SLACK_RETRY:
		return "retry";
	case SLACK_UNCERTAIN:
		return "uncertain";
	case SLACK_FATAL:
		return "fatal";
	case SLACK_REFUSED:
		return "refused";
	}
	return "unknown";
}

static enum err_kind kind_of(enum slack_class class)
{
	switch (class) {
	case SLACK_RETRY:
		return ERR_RETRY;
	case SLACK_UNCERTAIN:
		return ERR_UNCERTAIN;
	case SLACK_REFUSED:
		return ERR_INVALID;
	case SLACK_OK:
	case SLACK_FATAL:
		break;
	}
	return ERR_INTERNAL;
}

void slack_web_sentence(const char *method, const json_t *args, const struct slack_answer *answer,
			int status, struct err *err)
{
	static const char *const places[] = { "channel", "user", "users", "user_id" };
	const char *place = NULL, *needed = jget_str(answer->json, "needed"), *detail;
	size_t i = code_index(answer->error);
	char code[80] = "", where[80] = "";

	for (size_t p = 0; place == NULL && p < sizeof(places) / sizeof(places[0]); p++)
		place = jget_str(args, places[p]);
	if (place != NULL)
		(void)snprintf(where, sizeof(where), " (%s)", place);
	if (str_empty(answer->error))
		(void)snprintf(code, sizeof(code), "HTTP status %d", status);
	else
		(void)snprintf(code, sizeof(code), "%s", answer->error);
	detail = json_string_value(
		json_array_get(jget(answer->json, "response_metadata.messages"), 0));
	err_set(err, kind_of(answer->class), "Slack's %s%s answered %s%s%s%s%s%s%.200s", method,
		where, code, i < N_CODES ? ": " : "", i < N_CODES ? codes[i].means : "",
		needed != NULL ? ", scope " : "", needed != NULL ? needed : "",
		detail != NULL ? "; " : "", detail != NULL ? detail : "");
}
