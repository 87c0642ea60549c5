/* SPDX-License-Identifier: Apache-2.0 */
/* posting - what the sender says to Slack: owed facts as messages and arguments; pure. */
#ifndef OPSD_CHAT_POSTING_H
#define OPSD_CHAT_POSTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/owed.h"

/* One message of its own; audit lines are rendered together (render_audit). */
json_t *posting_render(const struct owed *owed);

/* message for a channel; with owed, n (may be NULL, 0) it carries their ids as metadata. */
json_t *posting_args(const json_t *message, const char *channel, struct owed *const *owed,
		     size_t n);

/* Arguments of conversations.history, or of conversations.replies when owed belongs to a thread. */
json_t *posting_find_args(const struct owed *owed);

/* ts of the message that carries this id; NULL: not among them.  Lent by history. */
const char *posting_found(const json_t *history, int64_t id);

/* Whether one that is edited is needed so much that it is posted again when somebody deleted it. */
bool posting_again(const struct owed *owed);

#endif
