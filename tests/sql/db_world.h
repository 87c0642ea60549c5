/* SPDX-License-Identifier: Apache-2.0 */
/* db_world - what the tests of db share: a loop, a pool, how a job ended, a hand on the server. */
#ifndef OPSD_TESTS_SQL_DB_WORLD_H
#define OPSD_TESTS_SQL_DB_WORLD_H

#include "../unit/test.h"

#include <uv.h>

#include "base/call.h"
#include "base/err.h"
#include "net/db.h"

struct seen {  /* how one job ended */
	int n; /* times */
	int order;
	enum err_kind kind;
	char msg[ERR_MSG_MAX];
	char sqlstate[6];
	char text[64];   /* first field of the last statement that has one */
	char first[64];  /* of the first statement */
	size_t answered; /* statements with a result */
	uint64_t affected;
};

struct world {
	uv_loop_t loop;
	uv_timer_t limit;
	uv_prepare_t sent; /* runs last before the loop looks for answers */
	struct call **cancel_sent;
	struct db *db;
	int ended;
	int listening;
	char payload[64];
	int notices;
	unsigned patience_ms; /* no statement is given less: for tests that are not of lateness */
};

enum { PATIENCE_MS = 60000 };

extern struct world world; /* of the running test */

const char *url(void);
long control(const char *what);
int world_setup(void **state);
int world_teardown(void **state);
void create_full(const char *to, unsigned connections, unsigned max_queued, const char *listen);
void create(unsigned connections);
void once(void);
void wait_up(unsigned n);
void wait_in_flight(unsigned n); /* of statements that take long */
/* Cancels what was just started: after it was sent, before its answer can be read. */
void cancel_in_flight(struct call **call);
void on_done(void *data, const struct db_answer *answer, const struct err *err);
struct call *start(struct seen *seen, const char *name, const char *sql, unsigned timeout_ms);
void wait_for(const struct seen *seen);
void wait_error(const char *part); /* until the last error of the pool has it */
/* Until no other session is left of what was before: one that was dropped may still hold locks. */
void wait_alone(void);
struct seen ask(const char *sql);
void good(const char *sql);

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

/* The tests named by OPSD_TEST_ONLY (a pattern) or all; 77, "skipped", without a server. */
int world_main(const struct CMUnitTest *tests, size_t n);

#endif
