/* SPDX-License-Identifier: Apache-2.0 */
/* store_world - a migrated database with a small company, two replicas, and requests made of a few
 * words. */
#ifndef OPSD_TESTS_SQL_STORE_WORLD_H
#define OPSD_TESTS_SQL_STORE_WORLD_H

#include "db_world.h"

#include "base/json.h"
#include "core/command.h"
#include "core/owed.h"
#include "core/request.h"
#include "store/outbox.h"
#include "store/requests.h"

enum { OWED_SEEN_MAX = 64 };

struct replica {
	struct store *store;
	struct db *intake, *work;
	struct owed *owed[OWED_SEEN_MAX]; /* handed to its sender */
	size_t n_owed;
	int rows; /* found by claim_due */
	char row_id[ID_REQUEST_LEN];
	int64_t row_fence;
	json_t *row; /* the last one found */
};

extern struct replica replicas[2];

struct end { /* how one call ended */
	int n;
	enum err_kind kind;
	char msg[ERR_MSG_MAX];
};

#define BOOT_A "'00000000-0000-4000-8000-00000000000a'"
#define BOOT_B "'00000000-0000-4000-8000-00000000000b'"

int store_setup(void **state);
int store_teardown(void **state);
#define STORE_TEST(fn) cmocka_unit_test_setup_teardown(fn, store_setup, store_teardown)

void on_end(void *data, const struct err *err); /* data: struct end */
void wait_end(struct end *end);
void expect_good(const struct end *end);
void expect_sql(const char *sql, const char *text); /* asked by the owner */
void wait_sql(const char *sql, const char *text);   /* until that is the answer */
/* A connection of the owner beside the others, for a transaction that stays open; the caller
 * closes it. */
struct db_session *aside(void);
void aside_run(struct db_session *session, const char *sql);
void owed_forget(struct replica *replica);

/* title: "workers scale" …; user: "ana" … (Slack user U-ana, ana@example.com); dedup NULL: a new
 * one. */
struct request *make(const char *title, const char *user, const char *args, const char *dedup);
/* A click by user on the preview of rq. */
struct request *make_click(const struct request *rq, const char *user, const char *dedup);
json_t *plan_of(int from, int to);

struct end receive(struct replica *replica, struct request *rq);
struct end confirm(struct replica *replica, struct request *rq, bool yes, json_t **ret_row);
struct end offer(struct replica *replica, struct request *rq);
struct end begin(struct replica *replica, struct request *rq);
struct end settle(struct replica *replica, struct request *rq, enum request_state state);
struct end claim_due(struct replica *replica);
struct end renew(struct replica *replica);
struct end outbox_claim(struct replica *replica, unsigned limit); /* of each lane */
struct end outbox_claim_lanes(struct replica *replica, unsigned audit, unsigned replies,
			      unsigned cards);

#endif
