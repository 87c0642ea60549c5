/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow - the durable side of following a change: sql/migrations/0017.
 *
 * A row is claimed for one look and released by its mark, so that any replica takes the next; or
 * held on by it.
 */
#ifndef OPSD_STORE_FOLLOW_H
#define OPSD_STORE_FOLLOW_H

#include "base/call.h"
#include "base/json.h"
#include "store/audit.h"
#include "store/requests.h"

/* Looks that are due; each is ours for half a minute.  { "id", "fence", "since", "age_ms",
 * "done_ms": null until it was complete, "row": of the request, "kind", "params": null when they
 * hold a secret }.  found is called for each (lent), then done. */
struct call *store_follow_claim(struct store *store, unsigned limit, store_found_fn found,
				call_done_fn done, void *data);

/*
 * What came of looks: [{ "id", "fence", "since", "done": bool, and "again_ms": when the next is due
 * to whoever claims it, or "hold_ms": it stays ours for so long, or, when it is over, "ended"
 * ("done", "failed", "superseded", "undone", "left") and "says"; and "tell"?: what the requester's
 * message says from now on (render_progress) }].  One commit.  Answers with those that are not ours
 * any more, [{ "id", "fence" }], of which nothing was written.  Wake the sender when it is done.
 */
struct call *store_follow_mark(struct store *store, const json_t *marks, store_json_fn done,
			       void *data);

#endif
