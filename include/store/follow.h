/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow - the durable side of following a change: sql/migrations/0017.
 *
 * A row is claimed for one look and released by its mark, so that any replica takes the next.
 */
#ifndef OPSD_STORE_FOLLOW_H
#define OPSD_STORE_FOLLOW_H

#include "base/call.h"
#include "base/json.h"
#include "store/requests.h"

/* Looks that are due: { "id", "fence", "since", "age_ms", "done_ms": null until it was complete,
 * "row": of the request, "kind", "params": null when they hold a secret }.  found is called for
 * each (lent), then done. */
struct call *store_follow_claim(struct store *store, unsigned limit, store_found_fn found,
				call_done_fn done, void *data);

/*
 * What came of looks: [{ "id", "fence", "since", "done": bool, "again_ms" } or, when it is over,
 * "ended"
 * ("done", "failed", "superseded", "undone", "left") and "says"; and "tell"?: what the requester's
 * message says from now on (render_progress) }].  One commit; marks of claims that are not ours any
 * more are ignored.  Wake the sender when it is done.
 */
struct call *store_follow_mark(struct store *store, const json_t *marks, call_done_fn done,
			       void *data);

#endif
