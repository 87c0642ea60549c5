/* SPDX-License-Identifier: Apache-2.0 */
/* sync_world - a migrated database, snapshots made of a few words, and one run of the sync. */
#ifndef OPSD_TESTS_SQL_SYNC_WORLD_H
#define OPSD_TESTS_SQL_SYNC_WORLD_H

#include "db_world.h"

#include "base/buf.h"
#include "base/json.h"
#include "store/sync.h"

struct ran { /* value is the caller's */
	int n;
	json_t *value;
	char msg[ERR_MSG_MAX];
};

void on_value(void *data, const json_t *value, const struct err *err); /* data: struct ran */

/* A fresh schema with the real migrations, and world.db as its owner. */
void fresh(void);
/* A pool with the rights of one group role ("opsd_sync", "opsd_grants") and no others. */
struct db *as_login(const char *role, const char *login); /* the login is LOGIN_login */
struct db *as_role(const char *role);
void owner_sees(const char *sql, const char *text); /* asked by the owner */

/* A snapshot: people "ana", or "ana:suspended"; groups "ads=ana,ben+web" (+: nested). */
void snapshot(struct buf *yaml, const char *time, const char *people, const char *groups);

extern const char *sync_by[2]; /* who accepts */
/* Ids of the groups whose members are not read, " g-web g-ops "; of those, the ones set aside. */
extern const char *sync_unread, *sync_aside;
extern const char *sync_failure; /* of the fetch, and which group it was; NULL: it is good */
extern const char *sync_failing;
struct ran sync_run(const char *yaml, bool plan_only, const char *accept);
void expect_outcome(const struct ran *ran, const char *outcome);
bool has_brake(const struct ran *ran, const char *name);
bool has_line(const struct ran *ran, const char *line);
void expect_sync(const char *time, const char *people, const char *groups, const char *outcome);

#endif
