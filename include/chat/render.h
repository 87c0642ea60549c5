/* SPDX-License-Identifier: Apache-2.0 */
/* render - facts to Block Kit messages; pure.  Every message is an object for chat.postMessage or a
 * response_url. */
#ifndef OPSD_CHAT_RENDER_H
#define OPSD_CHAT_RENDER_H

#include <stddef.h>

#include "base/json.h"

struct args_problems;
struct command;

enum { RENDER_AUDIT_LINES = 20 }; /* outcomes in one message of the audit channel */

/* What the requester gets: an outcome (with the answer of a read as a table) or a refusal. */
json_t *render_reply(const json_t *facts);

/* The plan with Confirm and Cancel. */
json_t *render_preview(const json_t *facts);

/* What is temporary and what waits: store_active's list; null: not known who asks. */
json_t *render_active(const json_t *list);

/* Lines of the audit channel, one per outcome. */
json_t *render_audit(const json_t *const *facts, size_t n);

/* What a request waits for (words_waits()), or what became of its change so far: facts with
 * "progress" (core/progress.h).  While it is not over, the message says that it is edited. */
json_t *render_progress(const json_t *facts);

/* A break-glass with the button that somebody else presses (ops.review_json). */
json_t *render_review(const json_t *review);

/* To a person whose Slack account was linked just now: { "email" }. */
json_t *render_linked(const json_t *link);

/* One plain sentence, only for the person. */
json_t *render_note(const char *text);

/* Help: {"may": [action names] or null: not known} decides what is listed.  command or prefix may
 * be NULL. */
json_t *render_help(const json_t *commands, const char *intro);

#endif
