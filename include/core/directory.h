/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory - a snapshot of the company directory, as a file says it ("dirsnap/1"); pure.
 *
 * YAML up to 1 MiB, JSON and CSV for larger ones; docs/directory.md has the forms.  A snapshot is
 * whole or nothing: without its closing counts, with an id twice, or with a member that nobody
 * knows, it is refused, since a partial copy would take rights away.
 */
#ifndef OPSD_CORE_DIRECTORY_H
#define OPSD_CORE_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct diags;

enum {
	DIRECTORY_FILE_MAX = 256 << 20,
	DIRECTORY_PEOPLE_MAX = 500000,
	DIRECTORY_GROUPS_MAX = 100000,
	DIRECTORY_EDGES_MAX = 5000000,
	DIRECTORY_ID_MAX = 200,
	DIRECTORY_NAME_MAX = 254,
};

struct directory_person {
	const char *id;
	const char *name;  /* for display */
	const char *state; /* active suspended archived gone */
	const char *kind;  /* human service guest */
	const char *email; /* as written; NULL: none */
};

struct directory_group {
	const char *id;
	const char *name; /* address or path */
	bool everyone;    /* contains the whole company */
	bool unread;      /* nothing names it: its members were not read */
	bool aside;       /* nor those of this one, which the operator has set aside */
};

struct directory_pair { /* (group, person), (group, group), (person, address) */
	const char *a, *b;
};

struct directory_pairs {
	struct directory_pair *items;
	size_t n, cap;
};

struct directory {
	struct arena *arena;
	const char *generated_at; /* 2026-11-25T05:00:00Z; NULL: it does not say */
	struct directory_person *people;
	size_t n_people, cap_people;
	struct directory_group *groups;
	size_t n_groups, cap_groups;
	struct directory_pairs aliases, members, nested;
};

/* By the ending of file: .csv, .json, else YAML.  NULL: diags has at least one entry. */
struct directory *directory_parse(const char *file, const char *text, size_t len,
				  struct diags *diags);
struct directory *directory_load(const char *path, struct diags *diags); /* blocking */
void directory_destroy(struct directory *directory);

/* ---- building one: the readers here, and the sources of src/directory ---- */

struct directory *directory_create(void);

/* How a reader says that something is wrong, at the place it is reading. */
struct directory_where {
	const char *file;
	int line, column;
	struct diags *diags;
};

/* Each copies its texts and checks them alone; false: said so, or a ceiling is reached. */
bool directory_add_person(struct directory *directory, const struct directory_person *person,
			  const struct directory_where *where);
bool directory_add_group(struct directory *directory, const struct directory_group *group,
			 const struct directory_where *where);
bool directory_add_pair(struct directory *directory, struct directory_pairs *pairs, const char *a,
			const char *b, const struct directory_where *where);

struct directory_counts {
	long long people, groups, members;
};

/* What only the whole can tell: counts, ids twice, unknown ids. */
bool directory_check(const struct directory *directory, const struct directory_counts *counts,
		     const struct directory_where *where);

#endif
