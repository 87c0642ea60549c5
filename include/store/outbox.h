/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox - what Slack still has to be told: claimed, sent, marked; in batches.
 *
 * A row is owed until Slack says that the message is there.  Rows written by this replica's settle are
 * claimed by it in the same commit while its queue is short, so that the usual announcement costs one more
 * commit (the marks of a batch), not two.
 */
#ifndef OPSD_STORE_OUTBOX_H
#define OPSD_STORE_OUTBOX_H

#include <stdint.h>

#include "base/call.h"
#include "base/json.h"

struct store;

struct owed {			   /* one message; everything is owned by the struct */
	int64_t id;
	char *kind;		   /* "audit", "reply", "preview" */
	char *request;		   /* request id */
	char *channel, *user;	   /* where; user: for replies */
	char *response_url;	   /* NULL: none or used up */
	json_t *body;		   /* facts to render */
	int64_t attempts;	   /* earlier tries: > 0 means look for it before posting */
	int64_t created_ms;
};
void owed_destroy(struct owed *owed);

/* Called for each message that settle, offer, receive … claimed for us; takes the struct over. */
void store_outbox_set_ready(struct store *store, void (*ready)(void *data, struct owed *owed), void *data);

/* How many more the sender can take now: above 0 new announcements are claimed when written. */
void store_outbox_room(struct store *store, unsigned room);

/* Claims up to limit due rows (30 s lease, attempts + 1), oldest first, audit before others. */
struct call *store_outbox_claim(struct store *store, unsigned limit, call_done_fn done, void *data);

enum owed_end { OWED_DELIVERED, OWED_LATER, OWED_DEAD };
struct owed_mark {
	int64_t id;
	enum owed_end end;
	const char *ts;	       /* delivered: Slack's ts or "" */
	int64_t later_ms;      /* later: not before */
	const char *error;     /* later, dead */
};
/* One commit for all marks; a dead row also writes an audit entry. */
struct call *store_outbox_mark(struct store *store, const struct owed_mark *marks, unsigned n, call_done_fn done,
			       void *data);

#endif
