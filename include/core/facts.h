/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts - the JSON that travels from a request to the audit log and to Slack; pure.
 *
 * One shape for every door, so that the audit channel, the requester's reply and the log never
 * disagree: { "request", "command", "text", "args": {…shown}, "risk", "who": { "user", "team",
 * "name", "email" }, "channel", "reason", "target": {…}, "changes": [...], "warnings": [...],
 * "owners": [...], "outcome": state name, "code", "why": sentence, "done": fragment, "detail": {…},
 * "approved_by": [names], "answer": {…}, "when": {…} (core/later.h), "undoes": request, "revert":
 * true, "foreign": sentence, "reversible": true } Members that are not known are left out.
 */
#ifndef OPSD_CORE_FACTS_H
#define OPSD_CORE_FACTS_H

#include <stdbool.h>

#include "base/json.h"

struct request;

/* What the audit channel and the audit entry get: never the answer of a read. */
json_t *facts_announce(const struct request *rq);

/* What the requester gets: the same and the answer. */
json_t *facts_reply(const struct request *rq);

/* What a preview shows: plan, digest, and from the second time on what changed since
 * (changed_since). */
json_t *facts_preview(const struct request *rq);

/* What the message that follows a change says: the facts and "progress" (core/progress.h). */
json_t *facts_progress(const struct request *rq, const json_t *progress);

/* Whether all of a plan that matters to an approver can be shown whole on one card. */
bool facts_fit_card(const json_t *plan);

/* One line of a plan's changes: "replicas 3 → 5"; several joined by ", "; "" when none.  The caller
 * frees. */
char *facts_changes_text(const json_t *changes);

/* "Deployment ads/workers-dev on main".  The caller frees. */
char *facts_target_text(const json_t *target);

#endif
