/* SPDX-License-Identifier: Apache-2.0 */
/* roster.c - rows by id and by key (uthash); the directory at the end. */
#include "roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

enum { EXAMPLES_MAX = 5, LABEL_MAX = 45 };

struct row { /* a person or a group */
	UT_hash_handle by_id, by_key;
	const char *id, *key;
	const char *name, *state, *kind, *email; /* of a person */
	bool everyone, unread, aside;            /* of a group */
};

struct login {
	UT_hash_handle hh;
	const char *text;
	struct row *person; /* NULL: two people have it */
};

struct pair {
	const char *group, *member;
	enum member_kind kind;
};

struct roster {
	struct arena *arena;
	struct row *people, *groups;      /* by id */
	struct row *by_person, *by_group; /* by key */
	struct login *logins;
	struct pair *members;
	struct directory_pair *aliases;
	size_t n_members, cap_members, n_aliases, cap_aliases;
};

struct roster *roster_create(void)
{
	struct roster *roster = xcalloc(1, sizeof(*roster));

	roster->arena = arena_create();
	return roster;
}

void roster_destroy(struct roster *roster)
{
	if (roster == NULL)
		return;
	HASH_CLEAR(by_id, roster->people);
	HASH_CLEAR(by_id, roster->groups);
	HASH_CLEAR(by_key, roster->by_person);
	HASH_CLEAR(by_key, roster->by_group);
	HASH_CLEAR(hh, roster->logins);
	arena_destroy(roster->arena);
	free(roster->members);
	free(roster->aliases);
	free(roster);
}

/* A name is for display: what could not stand in a line of text goes, and what is too long. */
static const char *clean(struct roster *roster, const char *text)
{
	char *copy = arena_strdup(roster->arena, text != NULL ? text : "");
	size_t len = strlen(copy), at = 0;
	uint32_t cp;

	while (at < len && at < DIRECTORY_NAME_MAX) {
		size_t step = str_utf8_next(copy + at, len - at, &cp);

		if (step == 0 || at + step > DIRECTORY_NAME_MAX)
			break;
		if (cp < 0x20 || cp == 0x7f)
			copy[at] = ' ';
		at += step;
	}
	copy[at] = '\0';
	return copy;
}

static bool id_ok(const char *what, const char *id, struct err *err)
{
	size_t len = id == NULL ? 0 : strlen(id);
	bool good = len > 0 && len <= DIRECTORY_ID_MAX;

	for (size_t i = 0; good && i < len; i++)
		good = (unsigned char)id[i] >= 0x20 && id[i] != 0x7f;
	if (!good)
		err_set(err, ERR_INVALID, "a %s without a usable id (\"%.60s\")", what,
			id != NULL ? id : "");
	return good;
}

static bool contradiction(const char *what, const char *id, struct err *err)
{
	err_set(err, ERR_RETRY, "%s %.60s is listed twice, and not alike", what, id);
	return false;
}

static bool same(const struct row *row, const struct row *other)
{
	return str_eq(row->key, other->key) && str_eq(row->name, other->name) &&
	       str_eq(row->state, other->state) && str_eq(row->kind, other->kind) &&
	       str_eq(row->email, other->email) && row->everyone == other->everyone;
}

static struct row *add_row(struct roster *roster, const struct row *row)
{
	struct row *own = arena_alloc(roster->arena, sizeof(*own));

	*own = (struct row){
		.id = arena_strdup(roster->arena, row->id),
		.key = arena_strdup(roster->arena, row->key),
		.name = row->name,
		.state = arena_strdup(roster->arena, row->state),
		.kind = arena_strdup(roster->arena, row->kind),
		.email = arena_strdup(roster->arena, row->email),
		.everyone = row->everyone,
		.unread = row->unread,
		.aside = row->aside,
	};
	return own;
}

bool roster_person(struct roster *roster, const struct directory_person *person, const char *key,
		   struct err *err)
{
	struct row row = { .state = person->state, .kind = person->kind };
	struct row *before, *other;

	if (!id_ok("person", person->id, err))
		return false;
	row.id = person->id;
	row.key = key != NULL ? key : person->id;
	row.name = clean(roster, person->name);
	row.email = str_empty(person->email) ? NULL : person->email;
	HASH_FIND(by_id, roster->people, row.id, strlen(row.id), before);
	if (before != NULL)
		return same(before, &row) || contradiction("person", row.id, err);
	HASH_FIND(by_key, roster->by_person, row.key, strlen(row.key), other);
	if (other != NULL)
		return contradiction("person", row.key, err);
	if (HASH_CNT(by_id, roster->people) >= DIRECTORY_PEOPLE_MAX) {
		err_set(err, ERR_INVALID, "more than %d people", DIRECTORY_PEOPLE_MAX);
		return false;
	}
	before = add_row(roster, &row);
	HASH_ADD_KEYPTR(by_id, roster->people, before->id, strlen(before->id), before);
	HASH_ADD_KEYPTR(by_key, roster->by_person, before->key, strlen(before->key), before);
	return true;
}

bool roster_group(struct roster *roster, const struct directory_group *group, const char *key,
		  struct err *err)
{
	struct row row = { .everyone = group->everyone,
			   .unread = group->unread,
			   .aside = group->aside };
	struct row *before, *other;

	if (!id_ok("group", group->id, err))
		return false;
	row.id = group->id;
	row.key = key != NULL ? key : group->id;
	row.name = clean(roster, group->name);
	HASH_FIND(by_id, roster->groups, row.id, strlen(row.id), before);
	if (before != NULL)
		return same(before, &row) || contradiction("group", row.id, err);
	HASH_FIND(by_key, roster->by_group, row.key, strlen(row.key), other);
	if (other != NULL)
		return contradiction("group", row.key, err);
	if (HASH_CNT(by_id, roster->groups) >= DIRECTORY_GROUPS_MAX) {
		err_set(err, ERR_INVALID, "more than %d groups", DIRECTORY_GROUPS_MAX);
		return false;
	}
	before = add_row(roster, &row);
	HASH_ADD_KEYPTR(by_id, roster->groups, before->id, strlen(before->id), before);
	HASH_ADD_KEYPTR(by_key, roster->by_group, before->key, strlen(before->key), before);
	return true;
}

void roster_read(struct roster *roster, const char *group_id)
{
	struct row *group;

	HASH_FIND(by_id, roster->groups, group_id, strlen(group_id), group);
	if (group != NULL)
		group->unread = false;
}

/* Contains the whole company. */
bool roster_everyone(struct roster *roster, const char *group_id, struct err *err)
{
	struct row *group;

	HASH_FIND(by_id, roster->groups, group_id, strlen(group_id), group);
	if (group == NULL) {
		err_set(err, ERR_RETRY, "members of a group that is not listed: %.60s", group_id);
		return false;
	}
	group->everyone = true;
	return true;
}

static void *grown(void *items, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return items;
	*cap = *cap == 0 ? 256 : *cap * 2;
	return xrealloc(items, *cap * size);
}

bool roster_alias(struct roster *roster, const char *person_id, const char *address,
		  struct err *err)
{
	if (str_empty(address) || strlen(address) > DIRECTORY_NAME_MAX)
		return true; /* no address can be so long: it identifies nobody */
	if (roster->n_aliases == DIRECTORY_EDGES_MAX) {
		err_set(err, ERR_INVALID, "more than %d addresses", DIRECTORY_EDGES_MAX);
		return false;
	}
	roster->aliases = grown(roster->aliases, roster->n_aliases, &roster->cap_aliases,
				sizeof(*roster->aliases));
	roster->aliases[roster->n_aliases++] =
		(struct directory_pair){ arena_strdup(roster->arena, person_id),
					 arena_strdup(roster->arena, address) };
	return true;
}

void roster_login(struct roster *roster, const char *person_id, const char *text)
{
	struct login *login;
	struct row *person;

	HASH_FIND(by_id, roster->people, person_id, strlen(person_id), person);
	HASH_FIND(hh, roster->logins, text, strlen(text), login);
	if (login != NULL) {
		if (login->person != person)
			login->person = NULL;
		return;
	}
	login = arena_alloc(roster->arena, sizeof(*login));
	*login = (struct login){ .text = arena_strdup(roster->arena, text), .person = person };
	HASH_ADD_KEYPTR(hh, roster->logins, login->text, strlen(login->text), login);
}

bool roster_member(struct roster *roster, const char *group_id, const char *member,
		   enum member_kind kind, struct err *err)
{
	struct row *group;
	size_t last = roster->n_members;

	if (!id_ok("member", member, err))
		return false;
	if (roster->n_members == DIRECTORY_EDGES_MAX) {
		err_set(err, ERR_INVALID, "more than %d members", DIRECTORY_EDGES_MAX);
		return false;
	}
	roster->members = grown(roster->members, roster->n_members, &roster->cap_members,
				sizeof(*roster->members));
	/* Most follow another one of the same group: its id is kept once. */
	if (last > 0 && str_eq(roster->members[last - 1].group, group_id)) {
		group_id = roster->members[last - 1].group;
	} else {
		HASH_FIND(by_id, roster->groups, group_id, strlen(group_id), group);
		group_id = group != NULL ? group->id : arena_strdup(roster->arena, group_id);
	}
	roster->members[roster->n_members++] =
		(struct pair){ group_id, arena_strdup(roster->arena, member), kind };
	return true;
}

size_t roster_people(const struct roster *roster)
{
	return HASH_CNT(by_id, roster->people);
}

size_t roster_groups(const struct roster *roster)
{
	return HASH_CNT(by_id, roster->groups);
}

/* ---- the whole ---- */

struct finishing {
	struct roster *roster;
	struct directory *directory;
	struct directory_where where;
	enum stranger strangers;
	json_t *notes;
	struct err *err;
};

static void note(json_t *notes, const char *what, const char *example)
{
	json_t *entry = json_object_get(notes, what);
	json_t *examples;

	if (entry == NULL) {
		entry = json_pack("{s:i, s:[]}", "count", 0, "examples");
		json_object_set_new(notes, what, entry);
	}
	json_object_set_new(entry, "count", json_integer(jget_int(entry, "count", 0) + 1));
	examples = json_object_get(entry, "examples");
	if (json_array_size(examples) < EXAMPLES_MAX)
		json_array_append_new(examples, json_string(example));
}

static bool put_person(struct finishing *f, const struct row *row)
{
	const struct directory_person person = { .id = row->id,
						 .name = row->name,
						 .state = row->state,
						 .kind = row->kind,
						 .email = row->email };

	return directory_add_person(f->directory, &person, &f->where);
}

static bool put_guest(struct finishing *f, const char *id)
{
	const struct directory_person guest = {
		.id = id, .name = "", .state = "active", .kind = "guest"
	};

	note(f->notes, "outside_members", id);
	return roster_person(f->roster, &guest, NULL, f->err) &&
	       directory_add_person(f->directory, &guest, &f->where);
}

static int by_name(const void *a, const void *b)
{
	const struct row *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* "name (id)", the name cut at a character. */
static const char *with_id(struct roster *roster, const struct row *row)
{
	size_t len = strlen(row->name), at = 0, step;
	uint32_t cp;

	for (step = 1; step > 0 && at < LABEL_MAX; at += step)
		step = str_utf8_next(row->name + at, len - at, &cp);
	return arena_printf(roster->arena, "%.*s%s(%s)", (int)at, row->name, at > 0 ? " " : "",
			    row->id);
}

/* Looks like what with_id() makes of another group. */
static bool pretends(const struct roster *roster, const struct row *row)
{
	const char *open = strrchr(row->name, '(');
	struct row *other = NULL;

	if (open != NULL && str_ends(open, ")"))
		HASH_FIND(by_id, roster->groups, open + 1, strlen(open) - 2, other);
	return other != NULL && other != row;
}

static bool put_groups(struct finishing *f)
{
	size_t n = roster_groups(f->roster), i = 0;
	struct row **rows = xcalloc(n + 1, sizeof(struct row *)), *row, *next;
	bool good = true;

	HASH_ITER(by_id, f->roster->groups, row, next)
	{
		rows[i++] = row;
	}
	if (n > 0)
		qsort(rows, n, sizeof(struct row *), by_name);
	for (i = 0; good && i < n; i++) {
		struct directory_group group = { .id = rows[i]->id,
						 .name = rows[i]->name,
						 .everyone = rows[i]->everyone,
						 .unread = rows[i]->unread,
						 .aside = rows[i]->aside };
		bool shared = (i > 0 && by_name(&rows[i - 1], &rows[i]) == 0) ||
			      (i + 1 < n && by_name(&rows[i], &rows[i + 1]) == 0);

		if (shared)
			note(f->notes, "shared_names", group.name);
		if (group.name[0] == '~')
			group.name = arena_printf(f->roster->arena, "(%s)", group.id);
		else if (shared || group.name[0] == '\0' || pretends(f->roster, rows[i]))
			group.name = with_id(f->roster, rows[i]);
		good = directory_add_group(f->directory, &group, &f->where);
	}
	free(rows);
	return good;
}

static bool put_member(struct finishing *f, const struct pair *pair)
{
	struct roster *roster = f->roster;
	size_t len = strlen(pair->member);
	struct row *person = NULL, *group = NULL;
	struct login *login = NULL;

	if (pair->kind == MEMBER_LOGIN)
		HASH_FIND(hh, roster->logins, pair->member, len, login);
	else if (pair->kind != MEMBER_GROUP)
		HASH_FIND(by_key, roster->by_person, pair->member, len, person);
	if (login != NULL)
		person = login->person;
	if ((pair->kind == MEMBER_GROUP || pair->kind == MEMBER_EITHER) && person == NULL)
		HASH_FIND(by_key, roster->by_group, pair->member, len, group);
	if (group != NULL)
		return directory_add_pair(f->directory, &f->directory->nested, pair->group,
					  group->id, &f->where);
	if (person == NULL && f->strangers == STRANGER_REFUSED) {
		err_set(f->err, ERR_RETRY, "group %.60s has a member that is not listed: %.60s",
			pair->group, pair->member);
		return false;
	}
	if (person == NULL && (f->strangers == STRANGER_LEFT_OUT || pair->kind == MEMBER_GROUP)) {
		note(f->notes, "left_out_members", pair->member);
		return true;
	}
	if (person == NULL && !put_guest(f, pair->member))
		return false;
	return directory_add_pair(f->directory, &f->directory->members, pair->group,
				  person != NULL ? person->id : pair->member, &f->where);
}

static bool put_all(struct finishing *f)
{
	struct roster *roster = f->roster;
	struct row *row, *next;

	HASH_ITER(by_id, roster->people, row, next)
	{
		if (!put_person(f, row))
			return false;
	}
	if (!put_groups(f))
		return false;
	for (size_t i = 0; i < roster->n_aliases; i++)
		if (!directory_add_pair(f->directory, &f->directory->aliases, roster->aliases[i].a,
					roster->aliases[i].b, &f->where))
			return false;
	for (size_t i = 0; i < roster->n_members; i++)
		if (!put_member(f, &roster->members[i]))
			return false;
	return true;
}

static bool check(struct finishing *f)
{
	const struct directory_counts counts = { (long long)f->directory->n_people,
						 (long long)f->directory->n_groups,
						 (long long)f->directory->members.n };

	return directory_check(f->directory, &counts, &f->where);
}

struct directory *roster_finish(struct roster *roster, enum stranger strangers, json_t *notes,
				struct err *err)
{
	struct diags diags;
	struct finishing f = { .roster = roster,
			       .directory = directory_create(),
			       .where = { .diags = &diags },
			       .strangers = strangers,
			       .notes = notes,
			       .err = err };
	bool good;

	diags_init(&diags);
	err->kind = ERR_NONE;
	good = put_all(&f) && check(&f);
	if (!good && err->kind == ERR_NONE)
		err_set(err, ERR_INVALID, "%s",
			diags.n > 0 ? diag_text(&diags.items[0]) : "the listing is not usable");
	diags_finish(&diags);
	if (good)
		return f.directory;
	directory_destroy(f.directory);
	return NULL;
}
