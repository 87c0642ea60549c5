/* SPDX-License-Identifier: Apache-2.0 */
/* view.c - what a form's elements hold, as text; whatever kind of element it is. */
#include "slack/view.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"

enum { VALUE_MAX = 64 * 1024, RICH_DEPTH = 8 };

/* Members that hold one text, or one option. */
static const char *const single[] = {
	"value",         "selected_date",    "selected_time",
	"selected_user", "selected_channel", "selected_conversation",
};

/* Members that hold a list of texts, of options or of files. */
static const char *const lists[] = {
	"selected_options",       "selected_users", "selected_channels",
	"selected_conversations", "files",
};

static void put_item(struct buf *buf, const char *text)
{
	if (str_empty(text))
		return;
	if (buf->len > 0)
		(void)buf_puts(buf, ",");
	(void)buf_puts(buf, text);
}

static const char *text_of(const json_t *item)
{
	const char *text = json_string_value(item);

	if (text == NULL)
		text = jget_str(item, "value");
	return text != NULL ? text : jget_str(item, "id");
}

/* Formatted text without its format: a line for each block. */
static void put_rich(struct buf *buf, const json_t *node, unsigned depth)
{
	const char *type = jget_str_or(node, "type", "");
	const json_t *elements = json_object_get(node, "elements"), *element;
	size_t i;

	if (depth > RICH_DEPTH)
		return;
	if (elements != NULL && buf->len > 0 && buf->data[buf->len - 1] != '\n')
		(void)buf_puts(buf, "\n");
	json_array_foreach(elements, i, element) put_rich(buf, element, depth + 1);
	if (elements != NULL)
		return;
	if (str_eq(type, "text"))
		(void)buf_puts(buf, jget_str_or(node, "text", ""));
	else if (str_eq(type, "link"))
		(void)buf_puts(buf, jget_str_or(node, "url", ""));
	else if (str_eq(type, "user"))
		(void)buf_printf(buf, "@%s", jget_str_or(node, "user_id", ""));
	else if (str_eq(type, "channel"))
		(void)buf_printf(buf, "#%s", jget_str_or(node, "channel_id", ""));
	else if (str_eq(type, "usergroup"))
		(void)buf_printf(buf, "@%s", jget_str_or(node, "usergroup_id", ""));
	else if (str_eq(type, "emoji"))
		(void)buf_printf(buf, ":%s:", jget_str_or(node, "name", ""));
}

static void put_element(struct buf *buf, const json_t *element)
{
	const json_t *value = json_object_get(element, "selected_date_time"), *item;
	size_t i;

	for (i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		put_item(buf, jget_str(element, single[i]));
	put_item(buf, jget_str(element, "selected_option.value"));
	if (json_is_integer(value)) {
		char number[24];

		(void)snprintf(number, sizeof(number), "%lld",
			       (long long)json_integer_value(value));
		put_item(buf, number);
	}
	for (size_t list = 0; list < sizeof(lists) / sizeof(lists[0]); list++)
		json_array_foreach(json_object_get(element, lists[list]), i, item)
			put_item(buf, text_of(item));
	value = json_object_get(element, "rich_text_value");
	if (json_is_object(value))
		put_rich(buf, value, 0);
}

json_t *slack_view_values(const json_t *state)
{
	json_t *values = json_object(), *block, *element;
	const char *block_id, *action_id;
	struct buf buf;

	buf_init(&buf, VALUE_MAX);
	json_object_foreach((json_t *)state, block_id, block)
	{
		buf_reset(&buf);
		json_object_foreach(block, action_id, element) put_element(&buf, element);
		if (buf.len > 0)
			(void)json_object_set_new(values, block_id, json_string(buf.data));
	}
	buf_finish(&buf);
	return values;
}
