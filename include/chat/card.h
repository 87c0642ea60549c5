/* SPDX-License-Identifier: Apache-2.0 */
/*
 * card - what approvers see: the card, the note that names more of them, the form of a refusal;
 * pure.
 *
 * facts: those of core/facts.h with "state", "digest" and "approval": { "rules": [{ "need", "have",
 * "can_approve" | "group" }], "votes": [{ "user", "name", "decision", "reason" }], "asked":
 * [{ "name", "user" }], "expires_ms", "changed", "outdated" }, as SQL made them when it was sent.
 */
#ifndef OPSD_CHAT_CARD_H
#define OPSD_CHAT_CARD_H

#include "base/json.h"

enum { CARD_META_MAX = 300, CARD_REASON_MAX = 300 };

json_t *render_card(const json_t *facts);

/* The note in the thread of a card: "request", "command", "asked", "expires_ms". */
json_t *render_ask(const json_t *facts);

/* An unknown outcome: "state", "why", "asked", "doubt": { "began_ms", "evidence" }; with buttons
 * while nobody has said what came of it. */
json_t *render_doubt(const json_t *facts);

/* The modal behind Deny.  value: of the button. */
json_t *card_deny_view(const char *value);

/* {"response_action":"errors",…} for that modal: JSON text.  The caller frees. */
char *card_deny_errors(const char *text);

#endif
