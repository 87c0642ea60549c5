/* SPDX-License-Identifier: Apache-2.0 */
/* blocks: nothing that is built can pass a limit of Slack's Block Kit reference. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "slack/blocks.h"

static char *repeat(const char *unit, size_t n)
{
	size_t len = strlen(unit);
	char *text = xmalloc(n * len + 1);

	for (size_t i = 0; i < n; i++)
		memcpy(text + i * len, unit, len);
	text[n * len] = '\0';
	return text;
}

static const json_t *at(const json_t *list, size_t i)
{
	const json_t *item = json_array_get(list, i);

	assert_non_null(item);
	return item;
}

/* As Slack may count: UTF-16 units of the escaped text. */
static size_t counted(const char *text)
{
	size_t n = str_utf16_len(text);

	for (; *text != '\0'; text++)
		n += *text == '&' ? 4 : (*text == '<' || *text == '>' ? 3 : 0);
	return n;
}

static void is_text(const json_t *object, const char *text)
{
	assert_string_equal(jget_str(object, "type"), "plain_text");
	assert_string_equal(jget_str(object, "text"), text);
	assert_false(jget_bool(object, "emoji", true));
}

static void test_simple(void **state)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	json_t *list;

	(void)state;
	blocks_header(blocks, "Scale workers");
	blocks_plain(blocks, "*not bold* <@U1>");
	blocks_plain(blocks, "");
	blocks_plain(blocks, NULL);
	blocks_context(blocks, "small");
	blocks_divider(blocks);
	blocks_preformatted(blocks, "a\n  b");
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(list), 5);
	is_text(jget(at(list, 0), "text"), "Scale workers");
	is_text(jget(at(list, 1), "text"), "*not bold* <@U1>");
	is_text(at(json_object_get(at(list, 2), "elements"), 0), "small");
	assert_string_equal(jget_str(at(list, 3), "type"), "divider");
	assert_string_equal(jget_str(at(json_object_get(at(list, 4), "elements"), 0), "type"),
			    "rich_text_preformatted");
	json_decref(list);
	blocks_destroy(NULL);
}

static void test_text_limits(void **state)
{
	static const char *const units[] = { "x", "&", "<", "\xc3\xa9", "\xf0\x9f\x98\x80" };

	(void)state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
		char *text = repeat(units[i], 5000);
		json_t *message;
		const char *cut;

		blocks_header(blocks, text);
		blocks_plain(blocks, text);
		message = blocks_message(blocks, text);
		cut = jget_str(at(json_object_get(message, "blocks"), 0), "text.text");
		assert_true(counted(cut) <= 150 && counted(cut) > 140);
		assert_true(str_utf8_valid(cut, strlen(cut)) && str_ends(cut, "\xe2\x80\xa6"));
		cut = jget_str(at(json_object_get(message, "blocks"), 1), "text.text");
		assert_true(counted(cut) <= 3000 && counted(cut) > 2900);
		cut = jget_str(message, "text"); /* escaped already */
		assert_true(str_utf16_len(cut) <= 3000 && str_utf16_len(cut) > 2900);
		assert_true(str_ends(cut, "\xe2\x80\xa6"));
		json_decref(message);
		free(text);
	}
}

static void test_message(void **state)
{
	json_t *message = blocks_message(blocks_create(BLOCKS_MESSAGE), "a <b> & c");

	(void)state;
	assert_string_equal(jget_str(message, "text"), "a &lt;b&gt; &amp; c");
	json_decref(message);
	message = blocks_message(blocks_create(BLOCKS_MESSAGE), "");
	assert_true(strlen(jget_str(message, "text")) > 0);
	json_decref(message);
}

/* What does not fit is counted, and buttons are the last to go. */
static void test_too_many(void **state)
{
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	struct button ok = { .text = "OK", .action_id = "ok" };
	json_t *list;

	(void)state;
	for (int i = 0; i < 80; i++)
		blocks_plain(blocks, "line");
	blocks_buttons(blocks, "b", &ok, 1);
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(list), 50);
	assert_string_equal(jget_str(at(list, 49), "type"), "actions");
	is_text(at(json_object_get(at(list, 48), "elements"), 0),
		"32 more parts did not fit here.");
	json_decref(list);
	blocks = blocks_create(BLOCKS_MODAL);
	for (int i = 0; i < 2000; i++)
		blocks_divider(blocks);
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(list), 100);
	is_text(at(json_object_get(at(list, 99), "elements"), 0),
		"1901 more parts did not fit here.");
	json_decref(list);
}

static void test_too_large(void **state)
{
	struct blocks *blocks = blocks_create(BLOCKS_HOME);
	char *text = repeat("\xe2\x82\xac", 2900);
	json_t *view;
	char *dumped;

	(void)state;
	for (int i = 0; i < 90; i++)
		blocks_plain(blocks, text);
	view = blocks_home(blocks);
	dumped = json_text(view);
	assert_true(strlen(dumped) < 250 * 1000);
	assert_true(json_array_size(json_object_get(view, "blocks")) > 20);
	free(dumped);
	free(text);
	json_decref(view);
}

static void test_rich(void **state)
{
	const struct span spans[] = {
		{ .kind = SPAN_TEXT, .text = "by ", .style = "bi" },
		{ .kind = SPAN_USER, .text = "U012" },
		{ .kind = SPAN_USER, .text = "not an id" },
		{ .kind = SPAN_CHANNEL, .text = "C1" },
		{ .kind = SPAN_LINK, .text = "https://x.example/", .label = "here" },
		{ .kind = SPAN_LINK, .text = "javascript:alert(1)" },
		{ .kind = SPAN_DATE, .text = "25 Nov 03:12 UTC", .epoch = 1795576327 },
		{ .kind = SPAN_TEXT, .text = "" },
		{ .kind = SPAN_TEXT, .text = NULL },
	};
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	json_t *list;
	const json_t *elements;

	(void)state;
	blocks_rich(blocks, spans, sizeof(spans) / sizeof(spans[0]));
	blocks_rich(blocks, spans + 7, 2);
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(list), 1);
	elements = json_object_get(at(json_object_get(at(list, 0), "elements"), 0), "elements");
	assert_int_equal(json_array_size(elements), 7);
	assert_true(jget_bool(at(elements, 0), "style.bold", false));
	assert_true(jget_bool(at(elements, 0), "style.italic", false));
	assert_null(jget(at(elements, 0), "style.code"));
	assert_string_equal(jget_str(at(elements, 1), "user_id"), "U012");
	assert_string_equal(jget_str(at(elements, 2), "type"), "text");
	assert_string_equal(jget_str(at(elements, 3), "channel_id"), "C1");
	assert_string_equal(jget_str(at(elements, 4), "text"), "here");
	assert_string_equal(jget_str(at(elements, 5), "type"), "text");
	assert_int_equal(jget_int(at(elements, 6), "timestamp", 0), 1795576327);
	assert_string_equal(jget_str(at(elements, 6), "fallback"), "25 Nov 03:12 UTC");
	json_decref(list);
}

static void test_fields(void **state)
{
	const char *const pairs[] = { "Team", "ads", "Count", "5 -> 20", "Reason", "" };
	char *huge = repeat("v", 4000);
	const char *const large[] = { "A", huge, "B", huge };
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	const json_t *elements;
	json_t *list;

	(void)state;
	blocks_fields(blocks, pairs, 3);
	blocks_fields(blocks, pairs, 0);
	blocks_fields(blocks, large, 2);
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(list), 3);
	elements = json_object_get(at(json_object_get(at(list, 0), "elements"), 0), "elements");
	assert_int_equal(json_array_size(elements), 6);
	assert_string_equal(jget_str(at(elements, 0), "text"), "Team");
	assert_true(jget_bool(at(elements, 0), "style.bold", false));
	assert_string_equal(jget_str(at(elements, 1), "text"), ": ads");
	assert_string_equal(jget_str(at(elements, 2), "text"), "\nCount");
	assert_string_equal(jget_str(at(elements, 5), "text"), ": -");
	elements = json_object_get(at(json_object_get(at(list, 2), "elements"), 0), "elements");
	assert_string_equal(jget_str(at(elements, 0), "text"), "B");
	assert_true(counted(jget_str(at(elements, 1), "text")) <= 2900);
	json_decref(list);
	free(huge);
}

static void test_table(void **state)
{
	const char *const head[] = { "Name", "Rows" };
	const char **cells = xcalloc(2 * 150, sizeof(*cells));
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	const json_t *rows;
	json_t *list;

	(void)state;
	for (int i = 0; i < 300; i++)
		cells[i] = i % 2 == 0 ? "dataset" : "";
	blocks_table(blocks, head, 2, cells, 2);
	blocks_table(blocks, head, 2, cells, 2); /* one table a message: the second is text */
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(list), 2);
	rows = json_object_get(at(list, 0), "rows");
	assert_int_equal(json_array_size(rows), 3);
	assert_string_equal(jget_str(at(at(rows, 0), 1), "text"), "Rows");
	assert_string_equal(jget_str(at(at(rows, 1), 0), "text"), "dataset");
	assert_string_equal(jget_str(at(at(rows, 1), 0), "type"), "raw_text");
	assert_string_equal(jget_str(at(list, 1), "type"), "rich_text");
	json_decref(list);
	blocks = blocks_create(BLOCKS_MESSAGE);
	blocks_table(blocks, head, 2, cells, 150);
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(json_object_get(at(list, 0), "rows")), 100);
	is_text(at(json_object_get(at(list, 1), "elements"), 0), "99 of 150 rows shown.");
	json_decref(list);
	free(cells);
}

static void test_wide_table(void **state)
{
	const char *head[25], *cells[25 * 3];
	char *huge = repeat("c", 1000);
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	const json_t *rows;
	json_t *list;
	size_t total = 0, i, j;
	const json_t *row, *cell;

	(void)state;
	for (i = 0; i < 25; i++)
		head[i] = "h";
	for (i = 0; i < 75; i++)
		cells[i] = huge;
	blocks_table(blocks, head, 25, cells, 3);
	list = blocks_take(blocks);
	rows = json_object_get(at(list, 0), "rows");
	assert_int_equal(json_array_size(rows), 2); /* 10,000 characters in all */
	json_array_foreach(rows, i, row)
	{
		assert_int_equal(json_array_size(row), 20);
		json_array_foreach(row, j, cell) total += strlen(jget_str(cell, "text"));
	}
	assert_true(total < 10000);
	is_text(at(json_object_get(at(list, 1), "elements"), 0),
		"1 of 3 rows and 20 of 25 columns shown.");
	json_decref(list);
	blocks = blocks_create(BLOCKS_MODAL); /* no tables there */
	blocks_table(blocks, head, 25, cells, 3);
	list = blocks_take(blocks);
	assert_string_equal(jget_str(at(list, 0), "type"), "rich_text");
	json_decref(list);
	free(huge);
}

static void test_buttons(void **state)
{
	char *huge = repeat("v", 2001);
	struct button buttons[30];
	struct blocks *blocks = blocks_create(BLOCKS_MESSAGE);
	const json_t *elements;
	json_t *list;

	(void)state;
	for (int i = 0; i < 30; i++)
		buttons[i] = (struct button){ .text = "Go", .action_id = "go", .value = "v" };
	buttons[0].style = "danger";
	buttons[0].confirm_title = "Sure?";
	buttons[0].confirm_text = "It stops 3 workers.";
	buttons[1].style = "blue";
	buttons[2].value = huge;
	buttons[3].value = ""; /* Slack refuses an empty one */
	blocks_buttons(blocks, "card", buttons, 30);
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(jget_str(at(list, 0), "block_id"), "card");
	assert_string_equal(jget_str(at(list, 1), "block_id"), "card-2");
	elements = json_object_get(at(list, 0), "elements");
	assert_int_equal(json_array_size(elements), 25);
	assert_int_equal(json_array_size(json_object_get(at(list, 1), "elements")), 4);
	assert_string_equal(jget_str(at(elements, 0), "style"), "danger");
	assert_string_equal(jget_str(at(elements, 0), "confirm.style"), "danger");
	is_text(jget(at(elements, 0), "confirm.confirm"), "Yes");
	assert_null(jget(at(elements, 1), "style"));
	assert_null(jget(at(elements, 2), "value"));
	json_decref(list);
	free(huge);
}

static json_t *one_input(const struct input *input)
{
	struct blocks *blocks = blocks_create(BLOCKS_MODAL);
	json_t *list, *block;

	blocks_input(blocks, input);
	list = blocks_take(blocks);
	assert_int_equal(json_array_size(list), 1);
	block = json_incref(json_array_get(list, 0));
	json_decref(list);
	return block;
}

static void test_inputs(void **state)
{
	json_t *block;

	(void)state;
	block = one_input(&(struct input){ .name = "reason",
					   .label = "Reason",
					   .initial = "abcdef",
					   .max_length = 4,
					   .multiline = true,
					   .hint = "why" });
	assert_string_equal(jget_str(block, "block_id"), "reason");
	assert_string_equal(jget_str(block, "element.action_id"), "reason");
	assert_string_equal(jget_str(block, "element.type"), "plain_text_input");
	assert_string_equal(jget_str(block, "element.initial_value"), "abc\xe2\x80\xa6");
	assert_int_equal(jget_int(block, "element.max_length", 0), 4);
	assert_false(jget_bool(block, "optional", true));
	is_text(jget(block, "hint"), "why");
	json_decref(block);
	block = one_input(
		&(struct input){ .name = "n", .label = "N", .number = true, .initial = "5" });
	assert_string_equal(jget_str(block, "element.type"), "number_input");
	assert_string_equal(jget_str(block, "element.initial_value"), "5");
	assert_false(jget_bool(block, "element.is_decimal_allowed", true));
	json_decref(block);
	block = one_input(
		&(struct input){ .name = "e", .label = "E", .external = true, .initial = "x" });
	assert_string_equal(jget_str(block, "element.type"), "external_select");
	assert_int_equal(jget_int(block, "element.min_query_length", -1), 0);
	assert_string_equal(jget_str(block, "element.initial_option.value"), "x");
	json_decref(block);
	block = one_input(
		&(struct input){ .name = "c", .label = "C", .checkbox = true, .initial = "true" });
	assert_string_equal(jget_str(block, "element.type"), "checkboxes");
	assert_true(jget_bool(block, "optional", false));
	assert_int_equal(json_array_size(jget(block, "element.initial_options")), 1);
	json_decref(block);
}

static void test_select(void **state)
{
	char *huge = repeat("o", 200), names[150][8];
	struct option options[150];
	json_t *block;

	(void)state;
	for (int i = 0; i < 150; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "o%d", i);
		options[i] = (struct option){ .text = i == 1 ? huge : names[i], .value = names[i] };
	}
	options[0].value = huge; /* cannot be sent: left out */
	block = one_input(&(struct input){
		.name = "s", .label = "S", .options = options, .n_options = 150, .initial = "o7" });
	assert_int_equal(json_array_size(jget(block, "element.options")), 100);
	assert_string_equal(jget_str(block, "element.initial_option.value"), "o7");
	is_text(jget(block, "hint"), "Only 100 of 150 choices are listed.");
	assert_true(counted(jget_str(at(jget(block, "element.options"), 0), "text.text")) <= 75);
	json_decref(block);
	block = one_input(
		&(struct input){ .name = "s", .label = "S", .options = options, .n_options = 1 });
	assert_string_equal(jget_str(block, "element.type"), "plain_text_input");
	json_decref(block);
	free(huge);
}

static void test_views(void **state)
{
	json_t *view =
		blocks_modal(blocks_create(BLOCKS_MODAL), "a title that is longer than 24 units",
			     "Preview", "command", "{}");

	(void)state;
	assert_string_equal(jget_str(view, "type"), "modal");
	assert_true(str_utf16_len(jget_str(view, "title.text")) <= 24);
	assert_string_equal(jget_str(view, "callback_id"), "command");
	assert_string_equal(jget_str(view, "private_metadata"), "{}");
	is_text(jget(view, "submit"), "Preview");
	is_text(jget(view, "close"), "Cancel");
	json_decref(view);
	view = blocks_modal(blocks_create(BLOCKS_MODAL), "t", NULL, "c", NULL);
	assert_null(jget(view, "submit"));
	assert_null(jget(view, "private_metadata"));
	json_decref(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simple),     cmocka_unit_test(test_text_limits),
		cmocka_unit_test(test_message),    cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_too_large),  cmocka_unit_test(test_rich),
		cmocka_unit_test(test_fields),     cmocka_unit_test(test_table),
		cmocka_unit_test(test_wide_table), cmocka_unit_test(test_buttons),
		cmocka_unit_test(test_inputs),     cmocka_unit_test(test_select),
		cmocka_unit_test(test_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
