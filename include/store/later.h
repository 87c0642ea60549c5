/* SPDX-License-Identifier: Apache-2.0 */
/*
 * later - what waits: times, schedules, and the buttons that move what has not started; each
 * function is one SQL function call, one commit.
 */
#ifndef OPSD_STORE_LATER_H
#define OPSD_STORE_LATER_H

#include "base/call.h"
#include "base/json.h"
#include "store/audit.h"

struct db;
struct request;
struct store;

/*
 * for, until and at of rq->args, by the database's clock and this time zone (NULL: not known): once
 * a request.  Out: rq->times and rq->waits; or ERR_INVALID with rq->rejection, the sentence about a
 * time that cannot be.
 */
struct call *store_set_times(struct store *store, struct request *rq, const char *tz,
			     call_done_fn done, void *data);

/*
 * ALLOWED|CONFIRMING -> SCHEDULED: plan and digest are recorded, it is nobody's until its time.
 * With rq->err a revert that could not be tried waits a little.  Out: state SCHEDULED; or as it
 * was, and nothing is written: its time has come, or has been over for too long.
 */
struct call *store_schedule(struct store *store, struct request *rq, call_done_fn done, void *data);

/*
 * A click or a word about what has not started: delivery (kind: "extend", "keep", "back", "stop")
 * and fresh asker; the id and, in rq->digest, what the button showed.  Out: state; code when it was
 * refused, with detail; known_id when this click came before.  ret_row: everything of the row when
 * it is ours now, to be carried on with.  Same 1.5 s and disown rule as store_receive.
 */
struct call *store_steer(struct store *store, struct request *rq, json_t **ret_row,
			 call_done_fn done, void *data);

/* What is temporary or waits, as far as this Slack user may see it: [{ "facts", "state", "digest",
 * "mine" }]; null: not known who that is. */
struct call *store_active(struct db *db, const char *team, const char *user, unsigned limit,
			  store_json_fn done, void *data);

/* { "id", "kind", "state", "command", "args", "secret", "changed", "revert": { "id", "state",
 * "token" }, "undo": { "id", "state" } }; null: there is no such request. */
/* The home tab of a Slack user: up to limit of each list and one more (ops.home). */
struct call *store_home(struct db *db, const char *team, const char *user, unsigned limit,
			store_json_fn done, void *data);
struct call *store_undoable(struct db *db, const char *id, store_json_fn done, void *data);

#endif
