/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db - PostgreSQL through libpq, never blocking: a few connections, pipelined statements,
 * deadlines of our own, reconnect with jitter, names resolved off the loop.
 *
 * A job is one or more statements in one implicit transaction.  Jobs that wait for a connection at
 * the same time share it, and so one commit, one flush and one round trip; a job that the server
 * refuses undoes the others of its group, which are then sent again, each alone: nobody notices. So
 * a job must not depend on being alone in its transaction: clock_timestamp(), not now(); no lock
 * that is held for long.  Statements are prepared on first use per connection under their name.
 * When a connection dies with jobs in flight, each of those ends ERR_UNCERTAIN (a job that was
 * still queued simply waits for the next connection, until its deadline: ERR_TIMEOUT).
 */
#ifndef OPSD_NET_DB_H
#define OPSD_NET_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"

struct db;

struct db_config {
	const char *name; /* "intake", "work": application_name, logs, metrics */
	const char
		*url; /* postgresql://… or key=value; a secret; names are resolved off the loop */
	unsigned connections;          /* 1 … 8 */
	unsigned max_queued;           /* jobs waiting; beyond it ERR_RETRY at once; 0: 2000 */
	const char *const *on_connect; /* NULL-ended statements run after each connect (SET …) */
	/* LISTEN channel on a connection of its own when not NULL: notice is called for each
	 * notification of others and once after every (re)connect with payload NULL. */
	const char *listen;
	void (*notice)(void *data, const char *payload);
	void *data;
};

/* Connects in the background. */
struct db *db_create(uv_loop_t *loop, const struct db_config *config);
void db_destroy(struct db *db);  /* jobs not done end silently; memory goes in close callbacks */
bool db_up(const struct db *db); /* at least one connection is usable */
const char *db_last_error(const struct db *db); /* "" when up */

/* Tells the others that listen on our channel.  Only a hint, and never waited for: sent on the
 * listening connection, in a transaction of its own without a flush; several become one. */
void db_notify(struct db *db);

enum { DB_PARAMS_MAX = 32, DB_STATEMENTS_MAX = 16 };

struct db_statement {
	const char *name; /* static: the prepared name; NULL: not prepared */
	const char *sql;
	size_t n;                  /* parameters, text format; NULL is SQL NULL */
	const char *const *params; /* copied by db_start */
};

struct db_result; /* the rows of one statement, lent during done */
size_t db_rows(const struct db_result *result);
const char *db_text(const struct db_result *result, size_t row, size_t column); /* NULL: SQL NULL */
int64_t db_int(const struct db_result *result, size_t row, size_t column);      /* NULL: 0 */
bool db_bool(const struct db_result *result, size_t row, size_t column);
size_t db_columns(const struct db_result *result);
const char *db_column_name(const struct db_result *result, size_t column);
uint64_t db_affected(const struct db_result *result);

struct db_answer {
	size_t n;
	const struct db_result *const *results; /* one per statement, NULL from the failed one on */
	char sqlstate[6];                       /* "" unless the server refused */
};

/*
 * err kinds: ERR_RETRY nothing reached the server, or the server says nothing was done
 * (serialization, deadlock, lock timeout, shutdown before the work); ERR_TIMEOUT deadline while
 * still queued; ERR_UNCERTAIN sent, connection lost or deadline passed (the connection is then
 * dropped); ERR_INVALID the server refused the statement (sqlstate set); the sentence has the
 * server's text.
 */
typedef void (*db_done_fn)(void *data, const struct db_answer *answer, const struct err *err);

struct call *db_start(struct db *db, const struct db_statement *statements, size_t n,
		      unsigned timeout_ms, db_done_fn done, void *data);

/*
 * COPY table FROM STDIN: next is called for more text while the server takes it (false: no more)
 * and must be cheap.  Runs on a connection of its own inside a transaction that is begun by
 * db_session_begin: for the directory sync and migrations.
 */
struct db_session; /* one connection, exclusively, for sequential work: begin … commit */
typedef void (*db_session_fn)(void *data, struct db_session *session, const struct err *err);
struct call *db_session_open(struct db *db, unsigned timeout_ms, db_session_fn done, void *data);
struct call *db_session_run(struct db_session *session, const struct db_statement *statement,
			    unsigned timeout_ms, db_done_fn done, void *data);
/* Several statements, by the simple protocol. */
struct call *db_session_script(struct db_session *session, const char *sql, unsigned timeout_ms,
			       call_done_fn done, void *data);
struct call *db_session_copy(struct db_session *session, const char *copy_sql,
			     bool (*next)(void *data, const char **ret_text, size_t *ret_len),
			     unsigned timeout_ms, call_done_fn done, void *data);
void db_session_close(struct db_session *session); /* rolls back what is open */

struct db_stats {
	uint64_t jobs, statements, failed, timeouts, reconnects, notified, notices;
	unsigned up, in_flight, queued;
};
const struct db_stats *db_stats(const struct db *db);

#endif
