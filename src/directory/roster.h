/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster - the directory that a source's pages make, row by row; its members are resolved at the
 * end, since a page may name somebody who is listed later.
 */
#ifndef OPSD_DIRECTORY_ROSTER_H
#define OPSD_DIRECTORY_ROSTER_H

#include <stdbool.h>

#include "base/json.h"
#include "core/directory.h"

struct err;
struct roster;

struct roster *roster_create(void);
void roster_destroy(struct roster *roster);

/*
 * key: what members are named by, when that is not the id (a DN); NULL: the id.  A row that came
 * before is fine while it says the same.  false: err; ERR_RETRY when the listing contradicts
 * itself, so that it must be read again.
 */
bool roster_person(struct roster *roster, const struct directory_person *person, const char *key,
		   struct err *err);
bool roster_group(struct roster *roster, const struct directory_group *group, const char *key,
		  struct err *err);
void roster_read(struct roster *roster, const char *group_id); /* unread no more */
bool roster_everyone(struct roster *roster, const char *group_id, struct err *err);
bool roster_alias(struct roster *roster, const char *person_id, const char *address,
		  struct err *err);

/* What a person signs in with, by which members may be named; one that two people have leads to
 * neither.  person_id is that of a person who was added. */
void roster_login(struct roster *roster, const char *person_id, const char *login);

enum member_kind { MEMBER_PERSON, MEMBER_GROUP, MEMBER_EITHER, MEMBER_LOGIN };

/* member: an id, a key, or a login.  group_id is that of a group that was added. */
bool roster_member(struct roster *roster, const char *group_id, const char *member,
		   enum member_kind kind, struct err *err);

size_t roster_people(const struct roster *roster);
size_t roster_groups(const struct roster *roster);

/* A member that was not listed: */
enum stranger {
	STRANGER_GUEST,    /* a person from outside: kept, and never allowed anything */
	STRANGER_LEFT_OUT, /* something that is no person or group of ours: counted in notes */
	STRANGER_REFUSED,  /* cannot be, so the listing is incomplete: ERR_RETRY */
};

/* The whole, checked; the roster is empty then.  Groups of one name get their id behind it: a name
 * that another group has too must not lead to either.  notes gets what was left out. */
struct directory *roster_finish(struct roster *roster, enum stranger strangers, json_t *notes,
				struct err *err);

#endif
