/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk - reads an API's listings page by page, several at once, into one roster.
 *
 * A listing that contradicts itself or the others, as when something changes while it is read, is
 * read again from the start, everything of it, at most three times.  Whatever else is wrong ends
 * the walk: a part of a directory is never handed on.
 */
#ifndef OPSD_DIRECTORY_WALK_H
#define OPSD_DIRECTORY_WALK_H

#include "internal.h"
#include "roster.h"

struct walk;

struct listing {             /* one list, while it is read */
	const char *what;    /* "members of group 00g1" */
	const char *subject; /* id of the group whose members they are; NULL: another list */
	size_t pages, rows;  /* read so far, by walk and by the kind */
	int64_t total;       /* what its pages say of it, for the kind; -1: not said yet */
};

/* Takes one page; false: err (ERR_RETRY: read everything again).  Calls walk_next() when the page
 * is not the last one. */
typedef bool (*walk_read_fn)(struct walk *walk, struct listing *listing,
			     const struct ask_answer *answer, struct err *err);

struct walk_kind {
	void (*begin)(struct walk *walk); /* walk_list() of the first lists */
	/* The lists that are read when all others are: what those may name is then known, unless it
	 * went meanwhile. */
	void (*last)(struct walk *walk);
	const char *const *headers; /* besides the token; may be NULL */
	enum stranger strangers;
	const char *bearer; /* a setting that, where it is set, is the token; may be NULL */
	token_ask_fn token; /* where it is not, this is how one is asked for */
	bool (*token_check)(const json_t *body, struct err *err); /* may be NULL */
};

struct call *walk_start(struct source *source, const struct walk_kind *kind, source_done_fn done,
			void *data);

const struct source *walk_source(const struct walk *walk);
struct roster *walk_roster(const struct walk *walk);
json_t *walk_memo(const struct walk *walk); /* an object for what a page says to later ones */

/* Queues another list.  Its first page is at url, which is freed. */
void walk_list(struct walk *walk, const char *what, char *url, walk_read_fn read);

/* The first page of a group's members; the caller frees. */
typedef char *(*walk_url_fn)(const struct walk *walk, const char *group_id);

/* A group of the list of groups.  Its members are read when it is in use, or inside one that is. */
bool walk_group(struct walk *walk, const struct directory_group *group, walk_url_fn url,
		walk_read_fn read, struct err *err);

/* A member of the group whose listing this is. */
bool walk_member(struct walk *walk, const struct listing *listing, const char *member,
		 enum member_kind kind, struct err *err);

/* The page after this one, at url, which is freed; false: err (it leads to another peer, or back).
 */
bool walk_next(struct walk *walk, struct listing *listing, char *url, struct err *err);

/* The page's list member; false: err, when it is neither a list nor (if may_lack) absent. */
bool walk_rows(const json_t *page, const char *member, bool may_lack, json_t **ret_rows,
	       struct err *err);
/* Each of them, until one is refused. */
typedef bool (*walk_row_fn)(struct walk *walk, struct listing *listing, const json_t *row,
			    struct err *err);
bool walk_each(struct walk *walk, struct listing *listing, const json_t *rows, walk_row_fn row,
	       struct err *err);

#endif
