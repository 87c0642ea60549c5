/* SPDX-License-Identifier: Apache-2.0 */
/* blocks_form.c - the blocks that are pressed or filled in, and the views around them. */
#include "slack/blocks.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "blocks_internal.h"
#include "slack/text.h"

enum {
	ACTIONS_ELEMENTS = 25,
	BUTTON_UNITS = 75,
	BUTTON_VALUE = 2000,
	ID_BYTES = 255,
	CONFIRM_TITLE = 100,
	CONFIRM_TEXT = 300,
	CONFIRM_BUTTON = 30,
	LABEL_UNITS = 2000,
	PLACEHOLDER_UNITS = 150,
	OPTIONS = 100,
	OPTION_UNITS = 75,
	OPTION_VALUE = 75, /* the sources differ: 75 or 150 */
	INPUT_LENGTH = 3000,
	TITLE_UNITS = 24,
	METADATA = 3000,
};

/* --- buttons --- */

static json_t *confirm_of(const struct button *button)
{
	json_t *confirm = json_pack(
		"{s:o, s:o, s:o, s:o}", "title",
		blocks_plain_text(button->confirm_title, CONFIRM_TITLE), "text",
		blocks_plain_text(button->confirm_text, CONFIRM_TEXT), "confirm",
		blocks_plain_text(str_empty(button->confirm_yes) ? "Yes" : button->confirm_yes,
				  CONFIRM_BUTTON),
		"deny", blocks_plain_text("Cancel", CONFIRM_BUTTON));

	if (str_eq(button->style, "danger"))
		(void)json_object_set_new(confirm, "style", json_string("danger"));
	return confirm;
}

/* NULL when its value is too long: cut, it would mean something else. */
static json_t *button_of(const struct button *button)
{
	json_t *element;

	assert(strlen(button->action_id) <= ID_BYTES);
	if (button->value != NULL && str_utf16_len(button->value) > BUTTON_VALUE) {
		log_warn("button left out: its value is too long",
			 LOG_STR("action_id", button->action_id),
			 LOG_INT("bytes", strlen(button->value)));
		return NULL;
	}
	element = json_pack("{s:s, s:s, s:o}", "type", "button", "action_id", button->action_id,
			    "text", blocks_plain_text(button->text, BUTTON_UNITS));
	if (!str_empty(button->value))
		(void)json_object_set_new(element, "value", json_string(button->value));
	if (str_eq(button->style, "primary") || str_eq(button->style, "danger"))
		(void)json_object_set_new(element, "style", json_string(button->style));
	if (button->confirm_title != NULL)
		(void)json_object_set_new(element, "confirm", confirm_of(button));
	return element;
}

/* part: of a block that was too long for one; 1: the first. */
static void add_with_id(struct blocks *blocks, const char *block_id, size_t part, json_t *block)
{
	char *id;

	if (block_id != NULL) {
		id = part == 1 ? xstrdup(block_id) : xasprintf("%s-%zu", block_id, part);
		assert(strlen(id) <= ID_BYTES);
		(void)json_object_set_new(block, "block_id", json_string(id));
		free(id);
	}
	blocks_add(blocks, block);
}

static void add_actions(struct blocks *blocks, const char *block_id, size_t part, json_t *elements)
{
	add_with_id(blocks, block_id, part,
		    json_pack("{s:s, s:o}", "type", "actions", "elements", elements));
}

void blocks_plain_button(struct blocks *blocks, const char *text, const char *block_id,
			 const struct button *button)
{
	json_t *block = blocks_plain_section(text), *element = button_of(button);

	if (element != NULL)
		(void)json_object_set_new(block, "accessory", element);
	add_with_id(blocks, block_id, 1, block);
}

void blocks_buttons(struct blocks *blocks, const char *block_id, const struct button *buttons,
		    size_t n)
{
	json_t *elements = json_array();
	size_t part = 1;

	for (size_t i = 0; i < n; i++) {
		json_t *element = button_of(&buttons[i]);

		if (element == NULL)
			continue;
		if (json_array_size(elements) == ACTIONS_ELEMENTS) {
			add_actions(blocks, block_id, part++, elements);
			elements = json_array();
		}
		(void)json_array_append_new(elements, element);
	}
	if (json_array_size(elements) > 0)
		add_actions(blocks, block_id, part, elements);
	else
		json_decref(elements);
}

/* --- inputs --- */

static json_t *option_of(const char *text, const char *value)
{
	return json_pack("{s:o, s:s}", "text",
			 blocks_plain_text(str_empty(text) ? value : text, OPTION_UNITS), "value",
			 value);
}

static bool option_ok(const struct option *option)
{
	return !str_empty(option->value) && str_utf16_len(option->value) <= OPTION_VALUE;
}

static json_t *text_input(const struct input *input)
{
	unsigned most = input->max_length;
	json_t *element;
	char *initial;

	if (most == 0 || most > INPUT_LENGTH)
		most = INPUT_LENGTH;
	element = json_pack("{s:s, s:b, s:i}", "type", "plain_text_input", "multiline",
			    (int)input->multiline, "max_length", (int)most);
	if (!str_empty(input->initial)) {
		initial = slack_text_cut(input->initial, most);
		(void)json_object_set_new(element, "initial_value", json_string(initial));
		free(initial);
	}
	return element;
}

/* NULL when no option can be shown. */
static json_t *select_input(const struct input *input, size_t *ret_shown)
{
	json_t *element = json_pack("{s:s}", "type", "static_select"), *options = json_array();

	for (size_t i = 0; i < input->n_options && json_array_size(options) < OPTIONS; i++) {
		const struct option *option = &input->options[i];
		json_t *item = option_ok(option) ? option_of(option->text, option->value) : NULL;

		if (item == NULL)
			continue;
		if (str_eq(option->value, input->initial))
			(void)json_object_set(element, "initial_option", item);
		(void)json_array_append_new(options, item);
	}
	*ret_shown = json_array_size(options);
	(void)json_object_set_new(element, "options", options);
	if (*ret_shown > 0)
		return element;
	json_decref(element);
	return NULL;
}

static json_t *external_input(const struct input *input)
{
	json_t *element = json_pack("{s:s, s:i}", "type", "external_select", "min_query_length", 0);
	struct option initial = { .text = input->initial, .value = input->initial };

	if (option_ok(&initial))
		(void)json_object_set_new(element, "initial_option",
					  option_of(initial.text, initial.value));
	return element;
}

static json_t *number_input(const struct input *input)
{
	json_t *element = json_pack("{s:s, s:b}", "type", "number_input", "is_decimal_allowed", 0);
	int64_t n;

	if (str_to_i64(input->initial, &n))
		(void)json_object_set_new(element, "initial_value", json_string(input->initial));
	return element;
}

static json_t *checkbox_input(const struct input *input)
{
	json_t *option = option_of("Yes", "true");
	json_t *element = json_pack("{s:s, s:[O]}", "type", "checkboxes", "options", option);

	if (str_eq(input->initial, "true"))
		(void)json_object_set_new(element, "initial_options", json_pack("[O]", option));
	json_decref(option);
	return element;
}

static json_t *element_of(const struct input *input, size_t *ret_shown)
{
	json_t *element = NULL;

	*ret_shown = input->n_options;
	if (input->checkbox)
		return checkbox_input(input);
	if (input->external)
		element = external_input(input);
	else if (input->options != NULL)
		element = select_input(input, ret_shown);
	else if (input->number)
		element = number_input(input);
	if (element == NULL)
		element = text_input(input);
	if (!str_empty(input->placeholder))
		(void)json_object_set_new(element, "placeholder",
					  blocks_plain_text(input->placeholder, PLACEHOLDER_UNITS));
	return element;
}

void blocks_input(struct blocks *blocks, const struct input *input)
{
	size_t shown;
	json_t *element = element_of(input, &shown), *block;

	assert(strlen(input->name) <= ID_BYTES);
	(void)json_object_set_new(element, "action_id", json_string(input->name));
	/* A check box that may not be left empty could never say no. */
	block = json_pack("{s:s, s:s, s:o, s:o, s:b}", "type", "input", "block_id", input->name,
			  "label", blocks_plain_text(input->label, LABEL_UNITS), "element", element,
			  "optional", (int)(input->optional || input->checkbox));
	if (shown < input->n_options) {
		char *hint = xasprintf("%s%sOnly %zu of %zu choices are listed.",
				       input->hint != NULL ? input->hint : "",
				       str_empty(input->hint) ? "" : " ", shown, input->n_options);

		(void)json_object_set_new(block, "hint", blocks_plain_text(hint, LABEL_UNITS));
		free(hint);
	} else if (!str_empty(input->hint)) {
		(void)json_object_set_new(block, "hint",
					  blocks_plain_text(input->hint, LABEL_UNITS));
	}
	blocks_add(blocks, block);
}

/* --- views --- */

json_t *blocks_modal(struct blocks *blocks, const char *title, const char *submit,
		     const char *callback_id, const char *private_metadata)
{
	json_t *view = json_pack("{s:s, s:o, s:o, s:s}", "type", "modal", "title",
				 blocks_plain_text(title, TITLE_UNITS), "blocks",
				 blocks_take(blocks), "callback_id", callback_id);

	assert(view != NULL && strlen(callback_id) <= ID_BYTES);
	assert(private_metadata == NULL || strlen(private_metadata) <= METADATA);
	(void)json_object_set_new(
		view, "close", blocks_plain_text(submit != NULL ? "Cancel" : "Close", TITLE_UNITS));
	if (submit != NULL)
		(void)json_object_set_new(view, "submit", blocks_plain_text(submit, TITLE_UNITS));
	if (private_metadata != NULL)
		(void)json_object_set_new(view, "private_metadata", json_string(private_metadata));
	return view;
}

json_t *blocks_home(struct blocks *blocks)
{
	return json_pack("{s:s, s:o}", "type", "home", "blocks", blocks_take(blocks));
}
