/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_node.c - nodes of a strict YAML tree: where they stand, and what a mapping may hold. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/conftree.h"
#include "base/str.h"
#include "catalog_internal.h"

enum { KEYS_MAX = 32, DIAG_LEN = 700 };

void node_diag(const struct loader *loader, struct node node, const char *fmt, ...)
{
	char text[DIAG_LEN];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conftree_diag(loader->tree, loader->diags, node.pointer, "%s", text);
}

void node_key_diag(const struct loader *loader, struct node node, const char *fmt, ...)
{
	int line = 0, column = 0;
	char text[DIAG_LEN];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)conftree_key_place(loader->tree, node.pointer, &line, &column);
	diag_add(loader->diags, loader->file, line, column, "%s", text);
}

struct node node_child(const struct loader *loader, struct node node, const char *key)
{
	struct buf buf;
	struct node child = { .value = json_object_get(node.value, key) };

	buf_init(&buf, 4096);
	buf_printf(&buf, "%s/", node.pointer);
	for (const char *p = key; *p != '\0'; p++) {
		if (*p == '~' || *p == '/')
			buf_puts(&buf, *p == '~' ? "~0" : "~1");
		else
			buf_append(&buf, p, 1);
	}
	child.pointer = arena_strdup(loader->scratch, buf_text(&buf));
	buf_finish(&buf);
	return child;
}

struct node node_item(const struct loader *loader, struct node node, size_t i)
{
	return (struct node){
		.value = json_array_get(node.value, i),
		.pointer = arena_printf(loader->scratch, "%s/%zu", node.pointer, i),
	};
}

static const char *type_words(enum key_type type)
{
	static const char *const words[] = {
		[KEY_TEXT] = "a text",        [KEY_NUMBER] = "a whole number",
		[KEY_BOOL] = "true or false", [KEY_OBJECT] = "a mapping (key: value)",
		[KEY_LIST] = "a list",        [KEY_ANY] = "a value",
	};

	return words[type];
}

static bool is_of_type(const json_t *value, enum key_type type)
{
	switch (type) {
	case KEY_TEXT:
		return json_is_string(value);
	case KEY_NUMBER:
		return json_is_integer(value);
	case KEY_BOOL:
		return json_is_boolean(value);
	case KEY_OBJECT:
		return json_is_object(value);
	case KEY_LIST:
		return json_is_array(value);
	case KEY_ANY:
		break;
	}
	return !json_is_null(value);
}

void node_unknown(const struct loader *loader, struct node parent, const char *key,
		  const char *what, const char *near)
{
	node_key_diag(loader, node_child(loader, parent, key), "unknown key \"%s\" of %s%s%s%s",
		      key, what, near != NULL ? ", did you mean \"" : "", near != NULL ? near : "",
		      near != NULL ? "\"?" : "");
}

static const struct key *find_key(const struct key *keys, const char *name)
{
	for (; keys->name != NULL; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static const char *nearest_key(const struct key *keys, const char *name)
{
	const char *names[KEYS_MAX];
	size_t n = 0;

	for (; keys->name != NULL && n < KEYS_MAX; keys++)
		names[n++] = keys->name;
	return str_nearest(name, names, n);
}

bool node_check(const struct loader *loader, struct node node, const char *what,
		const struct key *keys)
{
	const char *name;
	json_t *value;

	if (!json_is_object(node.value)) {
		node_diag(loader, node, "%s must be a mapping (key: value)", what);
		return false;
	}
	json_object_foreach((json_t *)node.value, name, value)
	{
		const struct key *key = find_key(keys, name);

		if (key == NULL)
			node_unknown(loader, node, name, what, nearest_key(keys, name));
		else if (!is_of_type(value, key->type))
			node_diag(loader, node_child(loader, node, name), "\"%s\" must be %s", name,
				  type_words(key->type));
	}
	for (; keys->name != NULL; keys++)
		if (keys->required && json_object_get(node.value, keys->name) == NULL)
			node_key_diag(loader, node, "%s needs \"%s\": %s", what, keys->name,
				      keys->about);
	return true;
}

const char *node_text(const struct loader *loader, struct node node, const char *key)
{
	const char *text = json_string_value(json_object_get(node.value, key));

	return arena_strdup(loader->catalog->arena, text);
}

size_t node_size(struct node node)
{
	return json_is_array(node.value) ? json_array_size(node.value) : 0;
}

static bool is_sentence(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

const char *node_sentence(const struct loader *loader, struct node node, size_t max)
{
	const char *text = json_string_value(node.value), *name;

	if (text == NULL)
		return NULL; /* absent, or reported as no text */
	if (*text == '\0' || !is_sentence(text))
		node_diag(loader, node, "must be one line of text, not empty");
	else if (str_utf16_len(text) > max)
		node_diag(loader, node, "must have at most %zu characters, this has %zu", max,
			  str_utf16_len(text));
	for (const char *p = text; *p != '\0'; p++) {
		size_t len = command_template(p, &name);

		if (len > 0)
			node_diag(loader, node,
				  "{%.*s} is replaced in \"do\", \"scope\" and "
				  "\"from\" only, not in this text",
				  (int)len, name);
	}
	return arena_strdup(loader->catalog->arena, text);
}

/* name: a small letter, then the letters, at most 30 in all. */
bool node_name(const struct loader *loader, struct node node, const char *what, const char *name,
	       const char *letters)
{
	size_t len = strlen(name);

	if (len > 0 && len <= 30 && *name >= 'a' && *name <= 'z' && strspn(name, letters) == len)
		return true;
	node_key_diag(
		loader, node,
		"%s \"%s\" must be small letters, digits and \"%c\", begin with a letter and have "
		"at most 30 characters",
		what, name, strchr(letters, '_') != NULL ? '_' : '-');
	return false;
}
