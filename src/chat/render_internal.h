/* SPDX-License-Identifier: Apache-2.0 */
/* render_internal - parts of messages that several renderers share. */
#ifndef OPSD_CHAT_RENDER_INTERNAL_H
#define OPSD_CHAT_RENDER_INTERNAL_H

#include <stdbool.h>

#include "base/json.h"

struct blocks;

json_t *render_finish(struct blocks *blocks, const char *text, bool replace);
void render_plan(struct blocks *blocks,
		 const json_t *facts); /* what, from → to, owners, warnings */
void render_frozen(struct blocks *blocks, const json_t *facts);  /* freezes that cover it */
void render_context(struct blocks *blocks, const json_t *facts); /* request id and reason */
void render_asked(struct blocks *blocks,
		  const json_t *facts); /* who is asked, until when, Cancel */

/* render_later.c: what an outcome leaves to press, and the question of a revert whose value is not
 * ours any more. */
void render_later(struct blocks *blocks, const json_t *facts);
json_t *render_revert(const json_t *facts);
void render_active_item(struct blocks *blocks, const json_t *item); /* of store_active's list */
void render_when(struct blocks *blocks, const json_t *facts);       /* when it starts and ends */

#endif
