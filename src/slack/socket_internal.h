/* SPDX-License-Identifier: Apache-2.0 */
/* socket_internal.h - what an answer of apps.connections.open means; private to slack/socket. */
#ifndef OPSD_SLACK_SOCKET_INTERNAL_H
#define OPSD_SLACK_SOCKET_INTERNAL_H

#include <stdint.h>

#include "base/err.h"

struct http_response;

/* What to do about a failed attempt. */
enum dial_class {
	DIAL_OK,
	DIAL_TRANSIENT, /* again, soon: seconds, doubling */
	DIAL_LIMITED,   /* not before the time that Slack named, no socket of this app */
	DIAL_SLOW,      /* somebody has to do something, but we need not tell them: minutes */
	DIAL_CROWDED,   /* too many sockets of this app: 10 s to 5 minutes */
	DIAL_FATAL,     /* the operator must act: report, and probe rarely */
};

struct ticket {
	enum dial_class class;
	char *url;        /* DIAL_OK: the caller frees */
	uint32_t wait_ms; /* at least so long; 0: not said */
	struct err err;   /* unless DIAL_OK */
};

void ticket_read(const struct http_response *response, const struct err *err,
		 struct ticket *ret_ticket);

#endif
