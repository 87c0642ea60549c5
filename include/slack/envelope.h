/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope - one inbound Socket Mode frame as a tagged struct; pure.
 *
 * Lenient on members (absent, null, wrong type, string booleans), strict on what matters: without
 * an envelope id and a user there is nothing to act on.  Strings point into json and live as long.
 */
#ifndef OPSD_SLACK_ENVELOPE_H
#define OPSD_SLACK_ENVELOPE_H

#include <stdbool.h>

#include "base/json.h"

struct err;

enum envelope_kind {
	ENVELOPE_HELLO,
	ENVELOPE_DISCONNECT,
	ENVELOPE_SLASH,    /* slash_commands */
	ENVELOPE_ACTION,   /* interactive: block_actions (on a message, in a modal, on the home tab)
			    */
	ENVELOPE_SUBMIT,   /* interactive: view_submission */
	ENVELOPE_CLOSED,   /* interactive: view_closed */
	ENVELOPE_SUGGEST,  /* interactive: block_suggestion */
	ENVELOPE_SHORTCUT, /* interactive: shortcut or message_action */
	ENVELOPE_HOME_OPENED,  /* events_api: app_home_opened */
	ENVELOPE_USER_CHANGED, /* events_api: user_change */
	ENVELOPE_EVENT,        /* any other event: ack, nothing else */
	ENVELOPE_UNKNOWN,      /* has an envelope_id and an unknown type: ack empty */
};

enum disconnect_reason {
	DISCONNECT_REFRESH,
	DISCONNECT_WARNING,
	DISCONNECT_DISABLED,
	DISCONNECT_TOO_MANY
};

struct envelope {
	enum envelope_kind kind;
	json_t *json;         /* owned by the envelope */
	const char *id;       /* envelope_id; NULL for hello and disconnect */
	bool accepts_payload; /* accepts_response_payload */
	int64_t retry;        /* retry_attempt */

	const char *team, *user; /* who did it; home team of the user where given */
	const char *user_team;
	const char *channel; /* NULL in modals and on the home tab */
	const char *trigger_id, *response_url;

	/* What identifies this intent whatever the envelope (redelivery has a new id): kept 24 h.
	 * event:event_id | slash:trigger_id | action:user:container:action_id:action_ts |
	 * view:id:hash */
	char dedup[256];

	const char *command, *text; /* slash */
	const char *action_id, *value,
		*action_ts; /* first action: value or the selected option's value */
	const char *block_id;
	const char *message_ts, *view_id, *view_hash, *callback_id, *private_metadata;
	bool ephemeral;        /* the message clicked on is ephemeral */
	const json_t *state;   /* view.state.values or state.values; NULL: none */
	const json_t *payload; /* the whole payload */

	enum disconnect_reason reason; /* disconnect */
	int64_t num_connections;       /* hello */
	int64_t lifetime_s;            /* hello: approximate_connection_time; 0: not said */
};

/* false: not JSON, not an object, or no usable type; err says which (ERR_INVALID) and nothing is
 * kept. */
bool envelope_parse(const char *text, size_t len, struct envelope *ret_envelope, struct err *err);
void envelope_finish(struct envelope *envelope);

/* {"envelope_id":"…"} or with ,"payload":…  The caller frees. */
char *envelope_ack(const char *id, const char *payload);

#endif
