/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender - the outbox's sending half: takes claimed messages, posts them, reports what came of
 * each.
 *
 * At most one post per channel is under way; outcomes that wait for the same audit channel
 * meanwhile go into one message, up to RENDER_AUDIT_LINES.  Marks are written in batches.  A
 * message that an earlier try may have posted is looked for by its metadata before it is posted
 * again.
 */
#ifndef OPSD_CHAT_SENDER_H
#define OPSD_CHAT_SENDER_H

#include <stdint.h>
#include <uv.h>

#include "core/owed.h"

struct sender;
struct slack_web;

struct sender *sender_create(uv_loop_t *loop, struct slack_web *web, const struct owed_port *port);

/* Takes owed over. */
void sender_add(void *sender, struct owed *owed);

/* Something is owed that was not handed over: looks for it now, not at the next tick. */
void sender_wake(struct sender *sender);

/* Stops claiming; drained when nothing is under way and every mark is written. */
void sender_drain(struct sender *sender, void (*drained)(void *data), void *data);
void sender_destroy(struct sender *sender);

struct sender_stats {
	uint64_t posted, replied, failed, dead, batches, marks;
	unsigned queued;
};
const struct sender_stats *sender_stats(const struct sender *sender);

#endif
