/* SPDX-License-Identifier: Apache-2.0 */
/* blocks_internal - what the two halves of the builders share: blocks.c and blocks_form.c. */
#ifndef OPSD_SLACK_BLOCKS_INTERNAL_H
#define OPSD_SLACK_BLOCKS_INTERNAL_H

#include "slack/blocks.h"

struct blocks {
	enum blocks_surface surface;
	json_t *list;
	size_t dropped; /* beyond what is kept even while building */
	bool has_table;
};

/* Takes block over. */
void blocks_add(struct blocks *blocks, json_t *block);

/* text cut so that its escaped form has at most so many UTF-16 units; "-" when empty. */
json_t *blocks_text(const char *text, size_t limit);

/* A plain_text object of that; emoji names stay as they are written. */
json_t *blocks_plain_text(const char *text, size_t limit);

/* A section of one. */
json_t *blocks_plain_section(const char *text);

#endif
