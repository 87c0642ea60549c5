/* SPDX-License-Identifier: Apache-2.0 */
/* words_internal - pieces of sentences that words.c, words_hold.c, words_later.c and
 * words_rights.c share. */
#ifndef OPSD_CHAT_WORDS_INTERNAL_H
#define OPSD_CHAT_WORDS_INTERNAL_H

#include <stdint.h>

#include "base/json.h"

struct buf;

void words_names(struct buf *buf, const json_t *names, const char *last); /* "a, b and c" */
/* " The members of … are read at the next sync."; nothing without groups. */
void words_put_unread(struct buf *buf, const json_t *groups);
void words_time(struct buf *buf, int64_t ms); /* " at 2026-11-25 08:10 UTC", or nothing */
const char *words_code(const char *code);     /* why somebody was refused */
void words_put_freezes(struct buf *buf, const json_t *frozen); /* a sentence each */
void words_put_frozen(struct buf *buf, const json_t *frozen);  /* why nothing was done: freezes */
void words_put_busy(struct buf *buf, const json_t *holder);    /* … or somebody else's change */
void words_put_undone(struct buf *buf, const char *id, const json_t *undo); /* … or an undo */

#endif
