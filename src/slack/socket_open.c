/* SPDX-License-Identifier: Apache-2.0 */
/* socket_open.c - reads the answer of apps.connections.open; pure. */
#include <stddef.h>

#include "base/json.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "net/http.h"
#include "socket_internal.h"

enum { ANSWER_MAX = 64 * 1024, LIMITED_MS = 30000 };

static enum dial_class class_of(const char *code)
{
	static const char *const fatal[] = {
		"access_denied",
		"account_inactive",
		"forbidden_team",
		"insecure_request",
		"invalid_arg_name",
		"invalid_auth",
		"missing_args",
		"missing_scope",
		"no_permission",
		"not_allowed",
		"not_authed",
		"team_disabled",
		"not_allowed_token_type",
		"token_expired",
		"token_revoked",
		"user_removed_from_team",
	};
	static const char *const slow[] = { "accesslimited", "ekm_access_denied",
					    "org_login_required", "team_added_to_org" };

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		if (str_eq(code, fatal[i]))
			return DIAL_FATAL;
	for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++)
		if (str_eq(code, slow[i]))
			return DIAL_SLOW;
	return str_eq(code, "ratelimited") ? DIAL_LIMITED : DIAL_TRANSIENT;
}

/* What a person can do about it. */
static const char *advice(enum dial_class class, const char *code)
{
	if (class == DIAL_SLOW)
		return " (an administrator of the workspace has to change that)";
	if (class != DIAL_FATAL)
		return "";
	if (str_eq(code, "missing_scope"))
		return " (the app-level token needs the scope connections:write)";
	if (str_eq(code, "not_allowed_token_type"))
		return " (an app-level token, xapp-…, is needed)";
	return " (check the app-level token and that Socket Mode is on)";
}

static void limited(const struct http_response *response, struct ticket *ret_ticket)
{
	int64_t wait_ms = response->retry_after_ms;

	ret_ticket->class = DIAL_LIMITED;
	ret_ticket->wait_ms = wait_ms >= 0 ? (uint32_t)wait_ms : LIMITED_MS;
	err_set(&ret_ticket->err, ERR_RETRY, "Slack limits how often a socket may be opened");
}

static void read_json(const json_t *json, const struct http_response *response,
		      struct ticket *ret_ticket)
{
	const char *url = jget_str(json, "url");
	const char *code = jget_str_or(json, "error", "no reason");

	if (jget_bool(json, "ok", false) && url != NULL) {
		ret_ticket->class = DIAL_OK;
		ret_ticket->url = xstrdup(url);
		return;
	}
	ret_ticket->class = class_of(code);
	if (ret_ticket->class == DIAL_LIMITED)
		limited(response, ret_ticket);
	else
		err_set(&ret_ticket->err, ret_ticket->class == DIAL_FATAL ? ERR_INVALID : ERR_RETRY,
			"Slack opens no socket: %.60s%s", code, advice(ret_ticket->class, code));
}

void ticket_read(const struct http_response *response, const struct err *err,
		 struct ticket *ret_ticket)
{
	struct err ignored;
	json_t *json;

	*ret_ticket = (struct ticket){ .class = DIAL_TRANSIENT };
	if (err != NULL) {
		ret_ticket->err = *err;
		return;
	}
	if (response->status == 429) {
		limited(response, ret_ticket);
		return;
	}
	if (response->status == 404) {
		ret_ticket->class = DIAL_FATAL;
		err_set(&ret_ticket->err, ERR_INVALID,
			"no apps.connections.open there (HTTP 404): check slack.api_url");
		return;
	}
	json = json_parse(response->body, response->len, ANSWER_MAX, &ignored);
	if (json_is_object(json)) {
		read_json(json, response, ret_ticket);
	} else {
		err_set(&ret_ticket->err, ERR_RETRY,
			"Slack opens no socket: HTTP %d and no answer in JSON", response->status);
	}
	if (ret_ticket->class != DIAL_OK && response->retry_after_ms > 0)
		ret_ticket->wait_ms = (uint32_t)response->retry_after_ms;
	json_decref(json);
}
