/* SPDX-License-Identifier: Apache-2.0 */
/* socket_internal.h - the parts of slack/socket that stand alone: tickets, acknowledgements that
 * wait. */
#ifndef OPSD_SLACK_SOCKET_INTERNAL_H
#define OPSD_SLACK_SOCKET_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

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

/*
 * Acknowledgements that no socket could take: for a moment between two sockets.  Slack waits 3 s in
 * all, so what is older than HELD_MS is of no use.
 */
enum { HELD_MAX = 256, HELD_MS = 2500 };

struct held_ack {
	struct list_node node;
	int64_t since_ms; /* clock_mono_ms */
	size_t len;
	char text[];
};

bool held_add(struct list *held, const char *text, size_t len); /* false: there are too many */

/* Gives each that is still of use to send, once; what is held again meanwhile stays.  ret_stale
 * counts the others. */
void held_send(struct list *held, uint64_t *ret_stale,
	       void (*send)(void *data, const char *text, size_t len), void *data);
void held_drop(struct list *held);

#endif
