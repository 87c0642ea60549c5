/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks - Block Kit builders that cannot exceed a limit; pure.
 *
 * Text over a limit is cut with "…" (counted in UTF-16 units of the escaped text, with a margin);
 * blocks over the limit of the surface are dropped and replaced by one line that says how many.
 * Everything that comes from outside goes through plain text or rich text, never mrkdwn.
 * Limits: Slack's Block Kit reference, restated in src/slack/blocks.c.
 */
#ifndef OPSD_SLACK_BLOCKS_H
#define OPSD_SLACK_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

enum blocks_surface { BLOCKS_MESSAGE, BLOCKS_MODAL, BLOCKS_HOME };

struct blocks; /* a list under construction */

struct blocks *blocks_create(enum blocks_surface surface);
void blocks_destroy(struct blocks *blocks);
json_t *
blocks_take(struct blocks *blocks); /* the finished array, owned by the caller; destroys blocks */

void blocks_header(struct blocks *blocks, const char *text);
void blocks_plain(struct blocks *blocks, const char *text);   /* section of plain_text */
void blocks_context(struct blocks *blocks, const char *text); /* one plain_text element */
void blocks_divider(struct blocks *blocks);
void blocks_preformatted(struct blocks *blocks,
			 const char *text); /* rich text: monospaced, nothing parsed */

/* rich_text: one section; spans in order.  A style is "" or any of "b", "i", "s", "c" (code). */
enum span_kind { SPAN_TEXT, SPAN_USER, SPAN_CHANNEL, SPAN_LINK, SPAN_DATE, SPAN_BROADCAST };
struct span {
	enum span_kind kind;
	const char *text; /* text; user or channel id; link URL; broadcast: channel, here */
	const char *style;
	const char *label; /* link */
	long long epoch;   /* date: shown in the reader's time zone; text is the fallback */
};
void blocks_rich(struct blocks *blocks, const struct span *spans, size_t n);

void blocks_fields(struct blocks *blocks, const char *const *pairs,
		   size_t n); /* n pairs: name, value */

/* A table of plain text cells; more rows or columns than allowed are cut and counted below it. */
void blocks_table(struct blocks *blocks, const char *const *head, size_t columns,
		  const char *const *cells, size_t rows);

struct button {
	const char *text, *action_id, *value;
	const char *style;                                      /* NULL, "primary", "danger" */
	const char *confirm_title, *confirm_text, *confirm_yes; /* NULL: no dialog */
};
void blocks_buttons(struct blocks *blocks, const char *block_id, const struct button *buttons,
		    size_t n);
/* A line with a button beside it: one block, so that neither is cut off without the other. */
void blocks_plain_button(struct blocks *blocks, const char *text, const char *block_id,
			 const struct button *button);

/* Inputs of a modal; block_id and action_id are both name. */
struct option {
	const char *text, *value;
};
struct input {
	const char *name, *label, *hint, *placeholder, *initial;
	bool optional, multiline;
	unsigned max_length;          /* 0: 3000 */
	const struct option *options; /* static_select when not NULL */
	size_t n_options;
	bool external; /* external_select */
	bool number;   /* number_input, whole numbers */
	bool checkbox; /* one check box, value "true" */
};
void blocks_input(struct blocks *blocks, const struct input *input);

/* A whole view.  private_metadata over 3000 bytes aborts: our own data, so our own fault. */
json_t *blocks_modal(struct blocks *blocks, const char *title, const char *submit,
		     const char *callback_id, const char *private_metadata);
json_t *blocks_home(struct blocks *blocks);

/* {"text": fallback, "blocks": […]}; takes blocks.  text is escaped and cut to 3000. */
json_t *blocks_message(struct blocks *blocks, const char *text);

#endif
