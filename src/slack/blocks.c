/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks.c - the blocks that show something.
 *
 * Slack refuses a whole message for one text that is a character too long, so nothing here can be
 * too long.  Whether Slack counts characters or UTF-16 units, before or after escaping, is not
 * documented: UTF-16 units of the escaped text are the most it can be.
 */
#include "slack/blocks.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "blocks_internal.h"
#include "slack/text.h"

enum {
	MESSAGE_BLOCKS = 50,
	VIEW_BLOCKS = 100,
	BUILD_BLOCKS = 1000, /* while building; more are only counted */
	TEXT_UNITS = 2950,   /* 3000 */
	HEADER_UNITS = 150,
	NAME_UNITS = 150,
	URL_BYTES = 3000,
	FALLBACK_UNITS = 3000,
	TABLE_ROWS = 100, /* with the head */
	TABLE_COLUMNS = 20,
	CELL_UNITS = 300,
	TABLE_UNITS = 9500, /* 10,000 in all */
	MESSAGE_BYTES = 100 * 1000,
	VIEW_BYTES = 240 * 1000, /* 250 KB with title and metadata */
};

struct blocks *blocks_create(enum blocks_surface surface)
{
	struct blocks *blocks = xcalloc(1, sizeof(*blocks));

	blocks->surface = surface;
	blocks->list = json_array();
	return blocks;
}

void blocks_destroy(struct blocks *blocks)
{
	if (blocks == NULL)
		return;
	json_decref(blocks->list);
	free(blocks);
}

void blocks_add(struct blocks *blocks, json_t *block)
{
	assert(block != NULL);
	if (json_array_size(blocks->list) < BUILD_BLOCKS) {
		(void)json_array_append_new(blocks->list, block);
		return;
	}
	json_decref(block);
	blocks->dropped++;
}

/* UTF-16 units that escaping adds for this byte. */
static size_t escape_cost(char c)
{
	return c == '&' ? 4 : (c == '<' || c == '>' ? 3 : 0);
}

static size_t escaped_units(const char *text)
{
	size_t units = str_utf16_len(text);

	for (; *text != '\0'; text++)
		units += escape_cost(*text);
	return units;
}

/* Bytes of the longest prefix whose escaped form has at most so many units. */
static size_t escaped_prefix(const char *text, size_t limit)
{
	size_t at = 0, used = 0;

	while (text[at] != '\0') {
		size_t len = str_utf16_prefix(text + at, 1), units = 1;

		if (len == 0) {
			len = str_utf16_prefix(text + at, 2);
			units = 2;
		}
		units += escape_cost(text[at]);
		if (used + units > limit)
			break;
		used += units;
		at += len;
	}
	return at;
}

/* The caller frees. */
static char *fit(const char *text, size_t limit)
{
	if (str_empty(text))
		return xstrdup("-");
	if (escaped_units(text) <= limit)
		return xstrdup(text);
	return xasprintf("%.*s\xe2\x80\xa6", (int)escaped_prefix(text, limit - 1), text);
}

json_t *blocks_text(const char *text, size_t limit)
{
	char *fitted = fit(text, limit);
	json_t *string = json_string(fitted);

	free(fitted);
	return string != NULL ? string : json_string("(text that is not UTF-8)");
}

json_t *blocks_plain_text(const char *text, size_t limit)
{
	return json_pack("{s:s, s:o, s:b}", "type", "plain_text", "text", blocks_text(text, limit),
			 "emoji", 0);
}

/* --- blocks of one text --- */

void blocks_header(struct blocks *blocks, const char *text)
{
	blocks_add(blocks, json_pack("{s:s, s:o}", "type", "header", "text",
				     blocks_plain_text(text, HEADER_UNITS)));
}

json_t *blocks_plain_section(const char *text)
{
	return json_pack("{s:s, s:o}", "type", "section", "text",
			 blocks_plain_text(text, TEXT_UNITS));
}

void blocks_plain(struct blocks *blocks, const char *text)
{
	if (!str_empty(text))
		blocks_add(blocks, blocks_plain_section(text));
}

static json_t *context_of(const char *text)
{
	return json_pack("{s:s, s:[o]}", "type", "context", "elements",
			 blocks_plain_text(text, TEXT_UNITS));
}

void blocks_context(struct blocks *blocks, const char *text)
{
	if (!str_empty(text))
		blocks_add(blocks, context_of(text));
}

void blocks_divider(struct blocks *blocks)
{
	blocks_add(blocks, json_pack("{s:s}", "type", "divider"));
}

/* --- rich text: what stands in it is never parsed --- */

static json_t *rich_of(const char *kind, json_t *elements)
{
	return json_pack("{s:s, s:[{s:s, s:o}]}", "type", "rich_text", "elements", "type", kind,
			 "elements", elements);
}

void blocks_preformatted(struct blocks *blocks, const char *text)
{
	json_t *element;

	if (str_empty(text))
		return;
	element = json_pack("{s:s, s:o}", "type", "text", "text", blocks_text(text, TEXT_UNITS));
	blocks_add(blocks, rich_of("rich_text_preformatted", json_pack("[o]", element)));
}

static void set_style(json_t *element, const char *style)
{
	static const struct {
		char letter;
		const char *name;
	} styles[] = { { 'b', "bold" }, { 'i', "italic" }, { 's', "strike" }, { 'c', "code" } };
	json_t *set;

	if (str_empty(style))
		return;
	set = json_object();
	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (strchr(style, styles[i].letter) != NULL)
			(void)json_object_set_new(set, styles[i].name, json_true());
	if (json_object_size(set) > 0)
		(void)json_object_set_new(element, "style", set);
	else
		json_decref(set);
}

static bool is_id(const char *text)
{
	return !str_empty(text) && strlen(text) < 32 &&
	       text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")] == '\0';
}

static json_t *text_element(const char *text, size_t limit)
{
	return json_pack("{s:s, s:o}", "type", "text", "text", blocks_text(text, limit));
}

/* What Slack would refuse (an odd id or URL) is shown as the text that it is. */
static json_t *span_element(const struct span *span, size_t limit)
{
	const char *text = span->text;

	switch (span->kind) {
	case SPAN_TEXT:
		break;
	case SPAN_USER:
		if (is_id(text))
			return json_pack("{s:s, s:s}", "type", "user", "user_id", text);
		break;
	case SPAN_CHANNEL:
		if (is_id(text))
			return json_pack("{s:s, s:s}", "type", "channel", "channel_id", text);
		break;
	case SPAN_LINK:
		if ((str_starts(text, "https://") || str_starts(text, "http://")) &&
		    strlen(text) <= URL_BYTES && str_utf8_valid(text, strlen(text)))
			return json_pack(
				"{s:s, s:s, s:o}", "type", "link", "url", text, "text",
				blocks_text(str_empty(span->label) ? text : span->label, limit));
		break;
	case SPAN_BROADCAST:
		if (str_eq(text, "channel") || str_eq(text, "here"))
			return json_pack("{s:s, s:s}", "type", "broadcast", "range", text);
		break;
	case SPAN_DATE:
		if (span->epoch > 0)
			return json_pack("{s:s, s:I, s:s, s:o}", "type", "date", "timestamp",
					 (json_int_t)span->epoch, "format",
					 "{date_short_pretty} at {time}", "fallback",
					 blocks_text(text, NAME_UNITS));
		break;
	}
	return str_empty(text) ? NULL : text_element(text, limit);
}

void blocks_rich(struct blocks *blocks, const struct span *spans, size_t n)
{
	json_t *elements = json_array();
	size_t room = TEXT_UNITS;

	for (size_t i = 0; i < n && room > 1; i++) {
		json_t *element = span_element(&spans[i], room);
		size_t used = str_empty(spans[i].text) ? 0 : escaped_units(spans[i].text);

		if (element == NULL)
			continue;
		set_style(element, spans[i].style);
		(void)json_array_append_new(elements, element);
		room -= used < room ? used : room;
	}
	if (json_array_size(elements) > 0)
		blocks_add(blocks, rich_of("rich_text_section", elements));
	else
		json_decref(elements);
}

/* A line for each pair, its name in bold; a new block where one is full. */
void blocks_fields(struct blocks *blocks, const char *const *pairs, size_t n)
{
	json_t *elements = json_array();
	size_t room = TEXT_UNITS;

	for (size_t i = 0; i < n; i++) {
		const char *name = pairs[2 * i];
		const char *value = str_empty(pairs[2 * i + 1]) ? "-" : pairs[2 * i + 1];
		size_t need = NAME_UNITS + 3 + escaped_units(value);
		json_t *bold;
		char *line;

		need = need < TEXT_UNITS ? need : TEXT_UNITS;
		if (need > room) {
			blocks_add(blocks, rich_of("rich_text_section", elements));
			elements = json_array();
			room = TEXT_UNITS;
		}
		line = xasprintf("%s%s", json_array_size(elements) > 0 ? "\n" : "",
				 str_empty(name) ? "-" : name);
		bold = text_element(line, NAME_UNITS);
		free(line);
		set_style(bold, "b");
		(void)json_array_append_new(elements, bold);
		line = xasprintf(": %s", value);
		(void)json_array_append_new(elements, text_element(line, TEXT_UNITS - NAME_UNITS));
		free(line);
		room -= need;
	}
	if (json_array_size(elements) > 0)
		blocks_add(blocks, rich_of("rich_text_section", elements));
	else
		json_decref(elements);
}

/* --- tables --- */

static json_t *cell(const char *text, size_t *used)
{
	json_t *string = blocks_text(text, CELL_UNITS);

	*used += escaped_units(json_string_value(string));
	return json_pack("{s:s, s:o}", "type", "raw_text", "text", string);
}

static json_t *table_row(const char *const *cells, size_t columns, size_t *used)
{
	json_t *row = json_array();

	for (size_t i = 0; i < columns; i++)
		(void)json_array_append_new(row, cell(cells[i], used));
	return row;
}

/* Where no table may stand: a monospaced text, cells parted by two spaces. */
static size_t table_as_text(struct blocks *blocks, const char *const *head, size_t columns,
			    const char *const *cells, size_t rows)
{
	size_t width[TABLE_COLUMNS] = { 0 }, shown = columns, row;
	struct buf buf;

	if (shown > TABLE_COLUMNS)
		shown = TABLE_COLUMNS;
	for (row = 0; row <= rows; row++) {
		for (size_t i = 0; i < shown; i++) {
			const char *text = row == 0 ? head[i] : cells[(row - 1) * columns + i];
			size_t len = text == NULL ? 0 : str_utf16_len(text);

			width[i] = len > width[i] ? len : width[i];
			width[i] = width[i] < 40 ? width[i] : 40;
		}
	}
	buf_init(&buf, TEXT_UNITS);
	for (row = 0; row <= rows; row++) {
		size_t start = buf.len;

		for (size_t i = 0; i < shown; i++) {
			const char *text = row == 0 ? head[i] : cells[(row - 1) * columns + i];
			char *cut = slack_text_cut(text == NULL ? "" : text, 40);
			size_t pad = width[i] - str_utf16_len(cut);

			(void)buf_printf(&buf, "%s%s%*s", i > 0 ? "  " : (row > 0 ? "\n" : ""), cut,
					 i + 1 < shown ? (int)pad : 0, "");
			free(cut);
		}
		if (buf.overflow) { /* the rows before this one are whole */
			buf.data[start] = '\0';
			break;
		}
	}
	blocks_preformatted(blocks, buf_text(&buf));
	buf_finish(&buf);
	return row > 0 ? row - 1 : 0;
}

static size_t table_as_block(struct blocks *blocks, const char *const *head, size_t columns,
			     const char *const *cells, size_t rows)
{
	size_t shown = columns < TABLE_COLUMNS ? columns : TABLE_COLUMNS, used = 0, row;
	json_t *list = json_array();

	(void)json_array_append_new(list, table_row(head, shown, &used));
	for (row = 0; row < rows && row + 1 < TABLE_ROWS; row++) {
		json_t *next = table_row(cells + row * columns, shown, &used);

		if (used > TABLE_UNITS) {
			json_decref(next);
			break;
		}
		(void)json_array_append_new(list, next);
	}
	blocks_add(blocks, json_pack("{s:s, s:o}", "type", "table", "rows", list));
	return row;
}

void blocks_table(struct blocks *blocks, const char *const *head, size_t columns,
		  const char *const *cells, size_t rows)
{
	char text[120];
	size_t shown, cut;

	if (columns == 0)
		return;
	if (blocks->surface == BLOCKS_MESSAGE && !blocks->has_table) {
		blocks->has_table = true; /* one a message */
		shown = table_as_block(blocks, head, columns, cells, rows);
	} else {
		shown = table_as_text(blocks, head, columns, cells, rows);
	}
	cut = columns > TABLE_COLUMNS ? columns - TABLE_COLUMNS : 0;
	if (shown == rows && cut == 0)
		return;
	if (cut == 0)
		(void)snprintf(text, sizeof(text), "%zu of %zu rows shown.", shown, rows);
	else
		(void)snprintf(text, sizeof(text), "%zu of %zu rows and %d of %zu columns shown.",
			       shown, rows, TABLE_COLUMNS, columns);
	blocks_context(blocks, text);
}

/* --- the finished list --- */

/* A block that can be acted on goes last: a card without its buttons is worth nothing. */
static bool is_control(const json_t *block)
{
	const char *type = jget_str(block, "type");

	return str_eq(type, "actions") || str_eq(type, "input");
}

static size_t last_to_drop(const json_t *list)
{
	size_t n = json_array_size(list);

	for (size_t i = n; i-- > 0;)
		if (!is_control(json_array_get(list, i)))
			return i;
	return n - 1;
}

/* Drops blocks until at most count blocks of at most bytes are left, and says so in one more. */
static void limit_list(struct blocks *blocks, size_t count, size_t bytes)
{
	json_t *list = blocks->list;
	size_t at = json_array_size(list), dropped = blocks->dropped;
	char text[80];

	while (json_array_size(list) > 0) {
		size_t n = json_array_size(list);

		if (n + (dropped > 0 ? 1 : 0) <= count &&
		    json_dumpb(list, NULL, 0, JSON_COMPACT) <= bytes)
			break;
		at = last_to_drop(list);
		(void)json_array_remove(list, at);
		dropped++;
	}
	if (dropped == 0)
		return;
	(void)snprintf(text, sizeof(text), "%zu more part%s did not fit here.", dropped,
		       dropped == 1 ? "" : "s");
	(void)json_array_insert_new(list, at, context_of(text));
}

json_t *blocks_take(struct blocks *blocks)
{
	bool message = blocks->surface == BLOCKS_MESSAGE;
	json_t *list;

	limit_list(blocks, message ? MESSAGE_BLOCKS : VIEW_BLOCKS,
		   message ? MESSAGE_BYTES : VIEW_BYTES);
	list = json_incref(blocks->list);
	blocks_destroy(blocks);
	return list;
}

json_t *blocks_message(struct blocks *blocks, const char *text)
{
	char *fitted = fit(text, FALLBACK_UNITS), *escaped = slack_text_escape(fitted);
	json_t *list = blocks_take(blocks), *string = json_string(escaped);

	free(fitted);
	free(escaped);
	if (string == NULL)
		string = json_string("(text that is not UTF-8)");
	return json_pack("{s:o, s:o}", "text", string, "blocks", list);
}
