/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conftree.c - libyaml's events to a JSON tree and a tree of places of the same shape.
 *
 * libyaml only splits the text; what a scalar means is decided in yaml_scalar.c.  The event
 * interface is used because it lets us refuse anchors, depth and size before they cost anything.
 */
#include "base/conftree.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "yaml_scalar_internal.h"

enum { DEPTH_MAX = 64, ANCHORS_MAX = 64, NODES_MAX = 100000, TEXT_MAX = 1024 * 1024 };

struct place {
	int line, column, key_line, key_column;
	char *key; /* NULL in a sequence */
	struct place *items;
	size_t n, cap;
};

struct conftree {
	char *file;
	json_t *root;
	struct place place;
};

/* An open mapping or sequence. */
struct frame {
	json_t *node; /* owned until it is attached */
	struct place place;
	char *key;    /* of the value that comes next, or NULL */
	char *anchor; /* loosely: by which it is meant later, or NULL */
	yaml_mark_t key_mark;
};

struct parse {
	struct conftree *tree;
	struct diags *diags;
	struct frame frames[DEPTH_MAX];
	size_t depth, nodes;
	json_t *anchors; /* loosely: what each marks; NULL: none are allowed */
	bool stop;
};

static void complain(struct parse *p, yaml_mark_t mark, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void complain(struct parse *p, yaml_mark_t mark, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_add(p->diags, p->tree->file, (int)mark.line + 1, (int)mark.column + 1, "%s", text);
}

static void place_finish(struct place *place)
{
	for (size_t i = 0; i < place->n; i++)
		place_finish(&place->items[i]); /* as deep as the text: DEPTH_MAX */
	free(place->items);
	free(place->key);
}

static void place_add(struct place *parent, const struct place *child)
{
	if (parent->n == parent->cap) {
		parent->cap = parent->cap == 0 ? 4 : parent->cap * 2;
		parent->items = xrealloc(parent->items, parent->cap * sizeof(*parent->items));
	}
	parent->items[parent->n++] = *child;
}

/* --- events to nodes --- */

/* Puts a finished value, with its place, where the innermost open node expects one; takes both. */
static void attach(struct parse *p, json_t *value, struct place *place)
{
	struct frame *top;
	int failed;

	if (p->depth == 0) {
		p->tree->root = value;
		p->tree->place = *place;
		return;
	}
	top = &p->frames[p->depth - 1];
	if (json_is_array(top->node)) {
		failed = json_array_append_new(top->node, value);
	} else {
		place->key = top->key;
		place->key_line = (int)top->key_mark.line + 1;
		place->key_column = (int)top->key_mark.column + 1;
		failed = json_object_set_new(top->node, top->key, value);
		top->key = NULL;
	}
	assert(failed == 0);
	(void)failed;
	place_add(&top->place, place);
}

static struct place place_at(yaml_mark_t mark)
{
	int line = (int)mark.line + 1, column = (int)mark.column + 1;

	return (struct place){
		.line = line, .column = column, .key_line = line, .key_column = column
	};
}

static bool expects_key(const struct parse *p)
{
	const struct frame *top = p->depth > 0 ? &p->frames[p->depth - 1] : NULL;

	return top != NULL && json_is_object(top->node) && top->key == NULL;
}

static void refuse_anchor(struct parse *p, yaml_mark_t mark, const yaml_char_t *anchor)
{
	if (anchor != NULL && p->anchors == NULL)
		complain(p, mark, "anchor &%s is not allowed: write the value out where it is used",
			 (const char *)anchor);
}

static void keep_anchor(struct parse *p, const char *anchor, json_t *value)
{
	if (anchor == NULL || p->anchors == NULL)
		return;
	(void)json_object_set(p->anchors, anchor, value);
	if (json_object_size(p->anchors) > ANCHORS_MAX) { /* each may be as deep as DEPTH_MAX */
		diag_add(p->diags, p->tree->file, 0, 0, "more than the %d anchors allowed",
			 ANCHORS_MAX);
		p->stop = true;
	}
}

/* A key that is refused still takes its value: a made-up name keeps the rest of the file in step.
 */
static void on_key(struct parse *p, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	struct frame *top = &p->frames[p->depth - 1];

	top->key_mark = event->start_mark;
	refuse_anchor(p, event->start_mark, event->data.scalar.anchor);
	if (strlen(text) != event->data.scalar.length)
		complain(p, event->start_mark, "a key holds a NUL character");
	else if (!yaml_tag_is_str((const char *)event->data.scalar.tag))
		complain(p, event->start_mark, "tag %s is not allowed",
			 (const char *)event->data.scalar.tag);
	else if (plain && *text == '\0')
		complain(p, event->start_mark, "a key is missing before the colon");
	else if (plain && strcmp(text, "<<") == 0)
		complain(p, event->start_mark,
			 "merge key << is not allowed: write the members out");
	else if (json_object_get(top->node, text) != NULL)
		complain(p, event->start_mark, "key \"%s\" stands here twice", text);
	else {
		top->key = xstrdup(text);
		return;
	}
	top->key = xasprintf("%s #%zu", text, p->nodes);
}

static void on_scalar(struct parse *p, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	const char *tag = (const char *)event->data.scalar.tag;
	struct place place = place_at(event->start_mark);
	struct err err = { 0 };
	json_t *value = NULL;

	refuse_anchor(p, event->start_mark, event->data.scalar.anchor);
	if (strlen(text) != event->data.scalar.length) {
		complain(p, event->start_mark, "a NUL character is not allowed");
	} else if (!yaml_tag_is_str(tag)) {
		complain(p, event->start_mark, "tag %s is not allowed", tag);
	} else if (tag != NULL || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
		value = json_string(text);
	} else {
		value = yaml_scalar(text, &err);
		if (value == NULL && p->anchors != NULL)
			value = json_string(text);
		if (value == NULL)
			complain(p, event->start_mark, "%s", err.msg);
	}
	keep_anchor(p, (const char *)event->data.scalar.anchor, value);
	attach(p, value != NULL ? value : json_null(), &place);
}

/* A mapping or a sequence begins. */
static void on_open(struct parse *p, const yaml_event_t *event, json_t *node,
		    const yaml_char_t *tag, const yaml_char_t *anchor)
{
	refuse_anchor(p, event->start_mark, anchor);
	if (tag != NULL)
		complain(p, event->start_mark, "tag %s is not allowed", (const char *)tag);
	if (expects_key(p)) {
		complain(p, event->start_mark, "a key must be a word, not a %s",
			 json_is_array(node) ? "list or a {name} without quotes"
					     : "mapping; put {name} in quotes");
		p->stop = true;
	} else if (p->depth == DEPTH_MAX) {
		complain(p, event->start_mark, "nested deeper than the %d levels allowed",
			 DEPTH_MAX);
		p->stop = true;
	}
	if (p->stop) {
		json_decref(node);
		return;
	}
	p->frames[p->depth++] = (struct frame){ .node = node,
						.place = place_at(event->start_mark),
						.anchor = xstrdup_null((const char *)anchor) };
}

static void on_close(struct parse *p)
{
	struct frame *top = &p->frames[--p->depth];

	keep_anchor(p, top->anchor, top->node);
	free(top->anchor);
	attach(p, top->node, &top->place);
}

/* What is not allowed stands for nothing, so that the rest of the file can still be checked. */
static void on_alias(struct parse *p, yaml_mark_t mark, const char *anchor)
{
	json_t *value = json_incref(json_object_get(p->anchors, anchor));
	struct place place = place_at(mark);

	if (p->anchors == NULL)
		complain(p, mark, "alias *%s is not allowed: write the value out", anchor);
	else if (value == NULL)
		complain(p, mark, "alias *%s stands for nothing that came before", anchor);
	if (!expects_key(p)) {
		attach(p, value != NULL ? value : json_null(), &place);
		return;
	}
	json_decref(value);
	if (p->anchors != NULL)
		complain(p, mark, "an alias cannot be a key");
	p->stop = true;
}

static void on_event(struct parse *p, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		if (expects_key(p))
			on_key(p, event);
		else
			on_scalar(p, event);
		break;
	case YAML_MAPPING_START_EVENT:
		on_open(p, event, json_object(), event->data.mapping_start.tag,
			event->data.mapping_start.anchor);
		break;
	case YAML_SEQUENCE_START_EVENT:
		on_open(p, event, json_array(), event->data.sequence_start.tag,
			event->data.sequence_start.anchor);
		break;
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		on_close(p);
		break;
	case YAML_ALIAS_EVENT:
		on_alias(p, event->start_mark, (const char *)event->data.alias.anchor);
		break;
	case YAML_DOCUMENT_START_EVENT:
		if (p->tree->root != NULL) {
			complain(p, event->start_mark,
				 "a file holds one document: drop what "
				 "follows this \"---\"");
			p->stop = true;
		}
		break;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	if (++p->nodes > 2 * NODES_MAX && !p->stop) { /* keys are events too */
		complain(p, event->start_mark, "more than the %d nodes allowed", NODES_MAX);
		p->stop = true;
	}
}

/* --- the parser --- */

/* The reader knows only a byte offset. */
static yaml_mark_t mark_of_offset(const char *text, size_t len, size_t offset)
{
	yaml_mark_t mark = { 0 };

	for (size_t i = 0; i < len && i < offset; i++) {
		mark.column++;
		if (text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

static void on_syntax_error(struct parse *p, const yaml_parser_t *parser, const char *text,
			    size_t len)
{
	const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";

	if (parser->error == YAML_MEMORY_ERROR)
		abort();
	if (parser->error == YAML_READER_ERROR)
		complain(p, mark_of_offset(text, len, parser->problem_offset), "%s", problem);
	else if (parser->context != NULL)
		complain(p, parser->problem_mark, "%s %s that began on line %zu", problem,
			 parser->context, parser->context_mark.line + 1);
	else
		complain(p, parser->problem_mark, "%s", problem);
}

static void run(struct parse *p, yaml_parser_t *parser, const char *text, size_t len)
{
	bool end = false;

	while (!end && !p->stop) {
		yaml_event_t event;

		if (!yaml_parser_parse(parser, &event)) {
			on_syntax_error(p, parser, text, len);
			return;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		on_event(p, &event);
		yaml_event_delete(&event);
	}
	if (!p->stop && p->tree->root == NULL)
		diag_add(p->diags, p->tree->file, 1, 1, "the file is empty");
}

static struct conftree *parse_text(const char *file, const char *text, size_t len, bool loose,
				   struct diags *diags)
{
	struct conftree *tree = xcalloc(1, sizeof(*tree));
	struct parse p = { .tree = tree, .diags = diags, .anchors = loose ? json_object() : NULL };
	size_t before = diags->total;
	yaml_parser_t parser;

	tree->file = xstrdup(file);
	if (len > TEXT_MAX) {
		diag_add(diags, file, 0, 0, "longer than the %d bytes allowed", TEXT_MAX);
	} else {
		if (!yaml_parser_initialize(&parser))
			abort();
		yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
		run(&p, &parser, text, len);
		yaml_parser_delete(&parser);
	}
	while (p.depth > 0) { /* what an error left open */
		struct frame *top = &p.frames[--p.depth];

		json_decref(top->node);
		place_finish(&top->place);
		free(top->key);
		free(top->anchor);
	}
	json_decref(p.anchors);
	if (diags->total == before)
		return tree;
	conftree_destroy(tree);
	return NULL;
}

struct conftree *conftree_parse(const char *file, const char *text, size_t len, struct diags *diags)
{
	return parse_text(file, text, len, false, diags);
}

static struct conftree *load(const char *path, bool loose, struct diags *diags)
{
	struct conftree *tree;
	struct err err;
	size_t len;
	char *text = file_read(path, TEXT_MAX, &len, &err);

	if (text == NULL) {
		diag_add(diags, path, 0, 0, "%s", err.msg);
		return NULL;
	}
	tree = parse_text(path, text, len, loose, diags);
	free(text);
	return tree;
}

struct conftree *conftree_load(const char *path, struct diags *diags)
{
	return load(path, false, diags);
}

struct conftree *conftree_load_loose(const char *path, struct diags *diags)
{
	return load(path, true, diags);
}

void conftree_destroy(struct conftree *tree)
{
	if (tree == NULL)
		return;
	json_decref(tree->root);
	place_finish(&tree->place);
	free(tree->file);
	free(tree);
}

json_t *conftree_root(const struct conftree *tree)
{
	return tree->root;
}

const char *conftree_file(const struct conftree *tree)
{
	return tree->file;
}

/* --- places --- */

/* Is the pointer's segment, with its ~0 and ~1, this key? */
static bool segment_is(const char *segment, size_t len, const char *key)
{
	for (size_t i = 0; i < len; i++, key++) {
		char c = segment[i];

		if (c == '~' && i + 1 < len)
			c = segment[++i] == '1' ? '/' : '~';
		if (*key != c)
			return false;
	}
	return *key == '\0';
}

static const struct place *place_child(const struct place *place, const char *segment, size_t len)
{
	size_t index = 0;

	for (size_t i = 0; i < place->n; i++)
		if (place->items[i].key != NULL && segment_is(segment, len, place->items[i].key))
			return &place->items[i];
	if (place->n == 0 || place->items[0].key != NULL || len == 0 || len > 6)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (segment[i] < '0' || segment[i] > '9')
			return NULL;
		index = index * 10 + (size_t)(segment[i] - '0');
	}
	return index < place->n ? &place->items[index] : NULL;
}

/* The place of the node, or of its nearest known parent; ret_whole says which. */
static const struct place *place_find(const struct conftree *tree, const char *pointer,
				      bool *ret_whole)
{
	const struct place *place = &tree->place, *child;

	while (*pointer == '/') {
		size_t len = strcspn(pointer + 1, "/");

		child = place_child(place, pointer + 1, len);
		if (child == NULL)
			break;
		place = child;
		pointer += 1 + len;
	}
	*ret_whole = *pointer == '\0';
	return place;
}

bool conftree_place(const struct conftree *tree, const char *pointer, int *ret_line,
		    int *ret_column)
{
	bool whole;
	const struct place *place = place_find(tree, pointer, &whole);

	if (whole) {
		*ret_line = place->line;
		*ret_column = place->column;
	}
	return whole;
}

bool conftree_key_place(const struct conftree *tree, const char *pointer, int *ret_line,
			int *ret_column)
{
	bool whole;
	const struct place *place = place_find(tree, pointer, &whole);

	if (whole) {
		*ret_line = place->key_line;
		*ret_column = place->key_column;
	}
	return whole;
}

void conftree_diag(const struct conftree *tree, struct diags *diags, const char *pointer,
		   const char *fmt, ...)
{
	bool whole;
	const struct place *place = place_find(tree, pointer, &whole);
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_add(diags, tree->file, place->line, place->column, "%s", text);
}
