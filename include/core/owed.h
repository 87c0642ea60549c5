/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owed - one message that Slack still has to be told, claimed by this replica; and what became of
 * it.
 *
 * The store writes and claims the rows, chat sends them; neither knows the other.
 */
#ifndef OPSD_CORE_OWED_H
#define OPSD_CORE_OWED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/call.h"
#include "base/json.h"
#include "base/list.h"

struct owed {                  /* everything is owned by the struct */
	struct list_node node; /* the sender's */
	int64_t id;
	char *kind;           /* "audit", "reply", "preview", "ask", and those that are edited */
	char *request;        /* request id */
	char *channel, *user; /* where; user: for replies */
	char *response_url;   /* NULL: none or used up */
	char *ts;             /* the message to edit; ask: the card; NULL: none yet */
	json_t *body;         /* facts to render */
	int64_t attempts;     /* earlier tries: > 0 means look for it before posting */
	int64_t created_ms;   /* wall clock */
	int64_t claimed_ms;   /* clock_mono_ms before it was claimed */
};
void owed_destroy(struct owed *owed);

/*
 * One message for the whole of its life: "card" (what approvers see), "doubt" (an unknown outcome
 * with its buttons), "progress" (what a request is doing, to its requester).  The row has the
 * newest content only: what it replaces before it was sent is never sent, and at most one edit of a
 * message is under way, so that edits cannot overtake each other.
 */
bool owed_edited(const struct owed *owed);

/* What shares room in a sender: no lane waits for what Slack slows down in another.  The numbers
 * are those of ops.message.lane. */
enum owed_lane {
	OWED_AUDIT,   /* lines of the audit channel */
	OWED_REPLIES, /* answers to people */
	OWED_CARDS, /* what is edited, and notes beside it: by the pace of a channel or a method */
	OWED_LANES
};
enum owed_lane owed_lane(const struct owed *owed);

enum owed_end { OWED_DELIVERED, OWED_LATER, OWED_DEAD };
struct owed_mark {
	int64_t id;
	enum owed_end end;
	char ts[32];      /* delivered: Slack's ts or "" */
	int64_t later_ms; /* later: not before */
	char error[200];  /* later, dead */
	bool twin;        /* set by mark: somebody else had posted it before */
	char channel[32]; /* delivered: where it was posted, if it can be edited or deleted */
};

struct owed_port { /* filled by app from the store */
	void *ctx;
	void (*room)(void *ctx, unsigned room);
	struct call *(*claim)(void *ctx, const unsigned limits[OWED_LANES], call_done_fn done,
			      void *data);
	struct call *(*mark)(void *ctx, struct owed_mark *marks, unsigned n, call_done_fn done,
			     void *data);
};

#endif
