/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox - what Slack still has to be told: claimed, sent, marked; in batches.
 *
 * A row is owed until Slack says that the message is there.  Rows written by this replica's settle
 * are claimed by it in the same commit while its queue is short, so that the usual announcement
 * costs one more commit (the marks of a batch), not two.
 */
#ifndef OPSD_STORE_OUTBOX_H
#define OPSD_STORE_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/owed.h"

struct request;
struct store;

/* Called for each message that settle, offer, receive … claimed for us; takes the struct over. */
void store_outbox_set_ready(struct store *store, void (*ready)(void *data, struct owed *owed),
			    void *data);

/* Called when something was written that was handed to nobody.  crowded: because our sender has no
 * room; else it is a message that is made when it is claimed. */
void store_outbox_set_unclaimed(struct store *store, void (*unclaimed)(void *data, bool crowded),
				void *data);

/* How many more the sender can take now: above 0 new announcements are claimed when written, the
 * requester's reply before the line of the audit channel. */
void store_outbox_room(struct store *store, unsigned room);

/* Claims due rows (30 s lease, attempts + 1), oldest first, up to a limit for each lane; answers to
 * people come first. */
struct call *store_outbox_claim(struct store *store, const unsigned limits[OWED_LANES],
				call_done_fn done, void *data);

/* One commit for all marks; a dead row also writes an audit entry.  Sets twin; marks are lent. */
struct call *store_outbox_mark(struct store *store, struct owed_mark *marks, unsigned n,
			       call_done_fn done, void *data);

/*
 * What a request is doing: owes the requester one direct message, which is edited from then on.  A
 * call replaces what an earlier one said and Slack was not told yet, so call it at each change that
 * a person cares about; each is a commit.  facts: shape at render_progress() (chat/render.h). Under
 * rq->fence, also after the end: ERR_DENIED when somebody else has taken the request over.  Wake
 * the sender when it is done.
 */
struct call *store_progress(struct store *store, struct request *rq, const json_t *facts,
			    call_done_fn done, void *data);

#endif
