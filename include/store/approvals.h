/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals - asking approvers about a plan, and their votes; each function is one SQL function
 * call, one commit.  What a card shows is made by SQL when the card is sent.
 */
#ifndef OPSD_STORE_APPROVALS_H
#define OPSD_STORE_APPROVALS_H

#include "base/call.h"
#include "base/json.h"

struct request;
struct store;

/*
 * ALLOWED|CONFIRMING -> APPROVING: plan, digest and rq->rules are recorded, a card is owed to the
 * approval channel, the requester is told who is asked.  changed: the changes of the plan that was
 * approved before and is not what would be done now; NULL: none.  Out: state APPROVING, or DENIED
 * at once when too few people could approve it (announcement owed).
 */
struct call *store_ask(struct store *store, struct request *rq, const json_t *changed,
		       call_done_fn done, void *data);

/*
 * A click on a card: delivery (kind: "approve", "deny", "withdraw") and fresh asker of the click;
 * id and digest of rq from the button, rq->reason.  Out: state of the request; code when the vote
 * was refused, with detail; known_id when this click came before.  ret_row: everything of the row
 * when this was the last approval: it is ours now, to be planned again and started.  Same 1.5 s and
 * disown rule as store_receive.
 */
struct call *store_vote(struct store *store, struct request *rq, json_t **ret_row,
			call_done_fn done, void *data);

/*
 * A click below an unknown outcome: delivery (kind: "happened", "not_happened", "again") and fresh
 * asker.  Out: state of the request and code when it was refused, with detail; known_id when this
 * click came before.  ret_row: of the new request that "again" made; it is ours.
 */
struct call *store_resolve(struct store *store, struct request *rq, json_t **ret_row,
			   call_done_fn done, void *data);

#endif
