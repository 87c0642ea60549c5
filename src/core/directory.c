/* SPDX-License-Identifier: Apache-2.0 */
/* directory.c - the snapshot itself, its checks, and the YAML and JSON forms. */
#include "core/directory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/conftree.h"
#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "directory_internal.h"

enum { POINTER_MAX = 80, WRONG_MAX = 300 };

static const char *const states[] = { "active", "suspended", "archived", "gone" };
static const char *const kinds[] = { "human", "service", "guest" };

static bool complain(const struct directory_where *where, const char *what, const char *text)
{
	diag_add(where->diags, where->file, where->line, where->column, "%s \"%.60s\"", what, text);
	return false;
}

static bool one_of(const char *text, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (str_eq(text, names[i]))
			return true;
	}
	return false;
}

/* Printable, not empty, not too long: it becomes a key and stands in messages. */
static bool text_ok(const char *text, size_t max)
{
	if (text == NULL || text[0] == '\0' || strlen(text) > max)
		return false;
	for (const char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	}
	return str_utf8_valid(text, strlen(text));
}

static void *grown(void *items, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return items;
	*cap = *cap == 0 ? 64 : *cap * 2;
	return xrealloc(items, *cap * size);
}

bool directory_add_person(struct directory *directory, const struct directory_person *person,
			  const struct directory_where *where)
{
	if (!text_ok(person->id, DIRECTORY_ID_MAX))
		return complain(where, "not a usable id of a person:",
				person->id != NULL ? person->id : "");
	if (person->name[0] != '\0' && !text_ok(person->name, DIRECTORY_NAME_MAX))
		return complain(where, "not a usable name:", person->name);
	if (!one_of(person->state, states, 4))
		return complain(where, "a state is active, suspended, archived or gone, not",
				person->state);
	if (!one_of(person->kind, kinds, 3))
		return complain(where, "a kind is human, service or guest, not", person->kind);
	if (directory->n_people == DIRECTORY_PEOPLE_MAX)
		return complain(where, "too many people, from", person->id);
	directory->people = grown(directory->people, directory->n_people, &directory->cap_people,
				  sizeof(*directory->people));
	directory->people[directory->n_people++] = (struct directory_person){
		.id = arena_strdup(directory->arena, person->id),
		.name = arena_strdup(directory->arena, person->name),
		.state = arena_strdup(directory->arena, person->state),
		.kind = arena_strdup(directory->arena, person->kind),
		.email = str_empty(person->email) ? NULL
						  : arena_strdup(directory->arena, person->email),
	};
	return true;
}

bool directory_add_group(struct directory *directory, const struct directory_group *group,
			 const struct directory_where *where)
{
	if (!text_ok(group->id, DIRECTORY_ID_MAX))
		return complain(where,
				"not a usable id of a group:", group->id != NULL ? group->id : "");
	if (!text_ok(group->name, DIRECTORY_NAME_MAX) || group->name[0] == '~')
		return complain(where, "not a usable name of a group:", group->name);
	if (directory->n_groups == DIRECTORY_GROUPS_MAX)
		return complain(where, "too many groups, from", group->id);
	directory->groups = grown(directory->groups, directory->n_groups, &directory->cap_groups,
				  sizeof(*directory->groups));
	directory->groups[directory->n_groups++] = (struct directory_group){
		.id = arena_strdup(directory->arena, group->id),
		.name = arena_strdup(directory->arena, group->name),
		.everyone = group->everyone,
		.unread = group->unread,
		.aside = group->aside,
	};
	return true;
}

bool directory_add_pair(struct directory *directory, struct directory_pairs *pairs, const char *a,
			const char *b, const struct directory_where *where)
{
	if (!text_ok(a, DIRECTORY_ID_MAX) || !text_ok(b, DIRECTORY_NAME_MAX))
		return complain(where, "not usable:", b != NULL ? b : "");
	if (pairs->n == DIRECTORY_EDGES_MAX)
		return complain(where, "too many members, from", b);
	pairs->items = grown(pairs->items, pairs->n, &pairs->cap, sizeof(*pairs->items));
	pairs->items[pairs->n++] = (struct directory_pair){ arena_strdup(directory->arena, a),
							    arena_strdup(directory->arena, b) };
	return true;
}

bool directory_set_time(struct directory *directory, const char *text,
			const struct directory_where *where)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	bool good = strlen(text) == sizeof(form) - 1;

	for (size_t i = 0; good && form[i] != '\0'; i++)
		good = form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i];
	if (!good)
		return complain(where, "generated_at is written 2026-11-25T05:00:00Z, not", text);
	directory->generated_at = arena_strdup(directory->arena, text);
	return true;
}

/* ---- the whole ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct ids {
	const char **items;
	size_t n;
};

static bool has(const struct ids *ids, const char *id)
{
	return ids->n > 0 && bsearch(&id, ids->items, ids->n, sizeof(*ids->items), by_text) != NULL;
}

static bool sort(struct ids *ids, const char *what, const struct directory_where *where)
{
	bool good = true;

	if (ids->n > 0)
		qsort(ids->items, ids->n, sizeof(*ids->items), by_text);
	for (size_t i = 1; i < ids->n; i++) {
		if (str_eq(ids->items[i - 1], ids->items[i]))
			good = complain(where, what, ids->items[i]);
	}
	return good;
}

static bool check_pairs(const struct directory_pairs *pairs, const struct ids *a,
			const struct ids *b, const char *what, const struct directory_where *where)
{
	bool good = true;

	for (size_t i = 0; i < pairs->n; i++) {
		if (!has(a, pairs->items[i].a))
			good = complain(where, what, pairs->items[i].a);
		if (b != NULL && !has(b, pairs->items[i].b))
			good = complain(where, what, pairs->items[i].b);
	}
	return good;
}

static bool check_counts(const struct directory *directory, const struct directory_counts *counts,
			 const struct directory_where *where)
{
	if (counts->people == (long long)directory->n_people &&
	    counts->groups == (long long)directory->n_groups &&
	    counts->members == (long long)directory->members.n)
		return true;
	if (counts->people < 0 || counts->groups < 0 || counts->members < 0)
		diag_add(where->diags, where->file, where->line, where->column,
			 "the closing counts are missing: is the file cut off?");
	else
		diag_add(where->diags, where->file, where->line, where->column,
			 "the closing counts say %lld people, %lld groups, %lld members; there are "
			 "%zu, "
			 "%zu, %zu: "
			 "is the file cut off?",
			 counts->people, counts->groups, counts->members, directory->n_people,
			 directory->n_groups, directory->members.n);
	return false;
}

bool directory_check(const struct directory *directory, const struct directory_counts *counts,
		     const struct directory_where *where)
{
	struct ids people = { xcalloc(directory->n_people + 1, sizeof(char *)),
			      directory->n_people };
	struct ids groups = { xcalloc(directory->n_groups + 1, sizeof(char *)),
			      directory->n_groups };
	struct ids names = { xcalloc(directory->n_groups + 1, sizeof(char *)),
			     directory->n_groups };
	bool good = check_counts(directory, counts, where);

	for (size_t i = 0; i < people.n; i++)
		people.items[i] = directory->people[i].id;
	for (size_t i = 0; i < groups.n; i++) {
		groups.items[i] = directory->groups[i].id;
		names.items[i] = directory->groups[i].name;
	}
	good &= sort(&people, "two people have the id", where);
	good &= sort(&groups, "two groups have the id", where);
	good &= sort(&names, "two groups have the name", where);
	good &= check_pairs(&directory->aliases, &people, NULL, "an alias of the unknown person",
			    where);
	good &= check_pairs(&directory->members, &groups, NULL, "a member of the unknown group",
			    where);
	good &= check_pairs(&directory->nested, &groups, &groups, "nesting of the unknown group",
			    where);
	for (size_t i = 0; i < directory->members.n; i++) {
		if (!has(&people, directory->members.items[i].b))
			good = complain(where,
					"a member who is nobody:", directory->members.items[i].b);
	}
	free(people.items);
	free(groups.items);
	free(names.items);
	return good;
}

/* ---- YAML and JSON ---- */

struct reading {
	const struct conftree *tree; /* NULL: JSON, whose places are pointers */
	const char *file;
	json_t *root;
	struct directory *directory;
	struct diags *diags;
	char pointer[POINTER_MAX]; /* of the node that is read */
};

static struct directory_where where_of(const struct reading *reading)
{
	struct directory_where where = { .file = reading->file, .diags = reading->diags };

	if (reading->tree == NULL)
		return where;
	if (!conftree_place(reading->tree, reading->pointer, &where.line, &where.column))
		(void)conftree_place(reading->tree, "", &where.line, &where.column);
	return where;
}

/* A mistake at what is read now. */
static void wrong(const struct reading *reading, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void wrong(const struct reading *reading, const char *fmt, ...)
{
	char text[WRONG_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (reading->tree != NULL)
		conftree_diag(reading->tree, reading->diags, reading->pointer, "%s", text);
	else
		diag_add(reading->diags, reading->file, 0, 0, "%s%s%s", reading->pointer,
			 reading->pointer[0] != '\0' ? ": " : "", text);
}

static void at(struct reading *reading, const char *list, size_t i)
{
	(void)snprintf(reading->pointer, sizeof(reading->pointer), "/%s/%zu", list, i);
}

/* Only these members, each of its type: a misspelt one would silently be no state, no members. */
static void check_members(struct reading *reading, json_t *node, const char *const *names)
{
	const char *key;
	json_t *value;

	json_object_foreach(node, key, value)
	{
		size_t n = 0;
		bool known = false;

		while (names[n] != NULL)
			known |= str_eq(names[n++], key);
		if (!known) {
			const char *near = str_nearest(key, names, n);

			wrong(reading, "unknown member \"%.40s\"%s%s", key,
			      near != NULL ? ", did you mean " : "", near != NULL ? near : "");
		}
	}
}

/* A state of another type must not read as "active". */
static void check_types(struct reading *reading, json_t *node)
{
	static const char *const texts[] = { "id", "email", "name", "state", "kind" };
	json_t *everyone = json_object_get(node, "everyone");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *value = json_object_get(node, texts[i]);
		bool may_be_null = str_eq(texts[i], "email") || str_eq(texts[i], "name");

		if (value != NULL && !json_is_string(value) &&
		    !(may_be_null && json_is_null(value)))
			wrong(reading, "%s is a text in quotes", texts[i]);
	}
	if (everyone != NULL && !json_is_boolean(everyone))
		wrong(reading, "everyone is true or false");
}

static void read_pairs(struct reading *reading, json_t *node, const char *member, const char *id,
		       struct directory_pairs *pairs)
{
	struct directory_where where = where_of(reading);
	json_t *list = json_object_get(node, member);
	size_t i;
	json_t *item;

	if (list != NULL && !json_is_array(list) && !json_is_null(list))
		wrong(reading, "%s is a list", member);
	json_array_foreach(list, i, item)
	{
		(void)directory_add_pair(reading->directory, pairs, id, json_string_value(item),
					 &where);
	}
}

static void read_person(struct reading *reading, json_t *node)
{
	static const char *const names[] = {
		"id", "email", "aliases", "name", "state", "kind", NULL
	};
	struct directory_where where = where_of(reading);
	struct directory_person person = { .id = jget_str(node, "id"),
					   .name = jget_str_or(node, "name", ""),
					   .state = jget_str_or(node, "state", "active"),
					   .kind = jget_str_or(node, "kind", "human"),
					   .email = jget_str(node, "email") };

	check_members(reading, node, names);
	check_types(reading, node);
	if (directory_add_person(reading->directory, &person, &where))
		read_pairs(reading, node, "aliases", person.id, &reading->directory->aliases);
}

static void read_group(struct reading *reading, json_t *node)
{
	static const char *const names[] = { "id", "name", "members", "groups", "everyone", NULL };
	struct directory_where where = where_of(reading);
	struct directory_group group = { .id = jget_str(node, "id"),
					 .name = jget_str_or(node, "name", ""),
					 .everyone = jget_bool(node, "everyone", false) };

	check_members(reading, node, names);
	check_types(reading, node);
	if (!directory_add_group(reading->directory, &group, &where))
		return;
	read_pairs(reading, node, "members", group.id, &reading->directory->members);
	read_pairs(reading, node, "groups", group.id, &reading->directory->nested);
}

static void read_list(struct reading *reading, const char *name,
		      void (*read)(struct reading *, json_t *))
{
	json_t *list = json_object_get(reading->root, name);
	size_t i;
	json_t *item;

	if (!json_is_array(list)) {
		(void)snprintf(reading->pointer, sizeof(reading->pointer), "/%s", name);
		wrong(reading, "%s is a list, and is needed", name);
	}
	json_array_foreach(list, i, item)
	{
		at(reading, name, i);
		if (json_is_object(item))
			read(reading, item);
		else
			wrong(reading, "a mapping is needed");
	}
}

static void read_document(struct reading *reading)
{
	static const char *const names[] = { "format", "generated_at", "people",
					     "groups", "counts",       NULL };
	json_t *root = reading->root;
	struct directory_counts counts = { jget_int(root, "counts.people", -1),
					   jget_int(root, "counts.groups", -1),
					   jget_int(root, "counts.members", -1) };
	struct directory_where where;

	reading->pointer[0] = '\0';
	if (!json_is_object(root) || !str_eq(jget_str(root, "format"), "dirsnap/1")) {
		wrong(reading, "a snapshot begins with format: dirsnap/1");
		return;
	}
	check_members(reading, root, names);
	where = where_of(reading);
	(void)directory_set_time(reading->directory, jget_str_or(root, "generated_at", ""), &where);
	read_list(reading, "people", read_person);
	read_list(reading, "groups", read_group);
	(void)snprintf(reading->pointer, sizeof(reading->pointer), "/counts");
	where = where_of(reading);
	(void)directory_check(reading->directory, &counts, &where);
}

struct directory *directory_create(void)
{
	struct directory *directory = xcalloc(1, sizeof(*directory));

	directory->arena = arena_create();
	return directory;
}

static void read_yaml(struct reading *reading, const char *text, size_t len)
{
	struct conftree *tree = conftree_parse(reading->file, text, len, reading->diags);

	reading->tree = tree;
	if (tree != NULL) {
		reading->root = conftree_root(tree);
		read_document(reading);
	}
	conftree_destroy(tree);
}

static void read_json(struct reading *reading, const char *text, size_t len)
{
	struct err err;

	reading->root = json_parse(text, len, DIRECTORY_FILE_MAX, &err);
	if (reading->root != NULL)
		read_document(reading);
	else
		wrong(reading, "%s: is the file cut off?", err.msg);
	json_decref(reading->root);
}

struct directory *directory_parse(const char *file, const char *text, size_t len,
				  struct diags *diags)
{
	struct directory *directory = directory_create();
	struct reading reading = { .file = file, .directory = directory, .diags = diags };
	size_t before = diags->total;

	if (str_ends(file, ".csv"))
		(void)directory_read_csv(directory, file, text, len, diags);
	else if (str_ends(file, ".json"))
		read_json(&reading, text, len);
	else
		read_yaml(&reading, text, len);
	if (diags->total == before)
		return directory;
	directory_destroy(directory);
	return NULL;
}

struct directory *directory_load(const char *path, struct diags *diags)
{
	struct err err;
	size_t len;
	char *text = file_read(path, DIRECTORY_FILE_MAX, &len, &err);
	struct directory *directory;

	if (text == NULL) {
		diag_add(diags, path, 0, 0, "%s", err.msg);
		return NULL;
	}
	directory = directory_parse(path, text, len, diags);
	free(text);
	return directory;
}

void directory_destroy(struct directory *directory)
{
	if (directory == NULL)
		return;
	arena_destroy(directory->arena);
	free(directory->people);
	free(directory->groups);
	free(directory->aliases.items);
	free(directory->members.items);
	free(directory->nested.items);
	free(directory);
}
