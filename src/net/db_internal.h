/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_internal - what the files of db share: the server's address, a connection, a job.
 *
 * db_target.c parses the URL and resolves it; db_conn.c keeps one libpq connection; db_job.c is one
 * job and its answer; db_pipe.c runs groups of jobs through one connection; db.c spreads them over
 * a few of those and listens; db_session.c is a connection for sequential work.
 */
#ifndef OPSD_NET_DB_INTERNAL_H
#define OPSD_NET_DB_INTERNAL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"
#include "base/err.h"
#include "base/list.h"
#include "net/backoff.h"
#include "net/db.h"

enum {
	DB_CONNECT_MS = 5000, /* resolve, TCP, TLS, password and the first statements, together */
	DB_TIMEOUT_MS = 5000, /* of a job that names none */
	DB_GROUP_JOBS = 16,   /* jobs in one transaction */
	DB_GROUP_OPS = 128,   /* answers that the server owes for them */
	DB_CONNECTIONS_MAX = 8,
	DB_QUEUED = 2000,
	DB_JOB_BYTES = 16 << 20, /* statements and parameters of one job */
	DB_NAMES_MAX = 200,      /* prepared statements of one connection; more run unprepared */
	DB_HOSTS_MAX = 8,        /* in the URL */
	DB_ADDRESSES_MAX = 16,   /* they resolve to */
	DB_ALIVE_MS = 30000,     /* a SELECT 1 on the listening connection */
};

/* ---- db_target.c: where the server is ---- */

struct db_target; /* the parsed URL; a secret */

struct db_target *db_target_create(const char *url, const char *name);
void db_target_destroy(struct db_target *target);

/* Begin with the next address: the present one takes connections and says nothing. */
void db_target_rotate(struct db_target *target);

/* Resolves and then starts to connect without blocking; pg is NULL when err is set. */
typedef void (*db_target_fn)(void *data, PGconn *pg, const struct err *err);
struct call *db_target_connect(uv_loop_t *loop, const struct db_target *target, db_target_fn done,
			       void *data);

/* ---- db_conn.c: one connection on the loop ---- */

enum db_conn_state {
	CONN_DOWN,       /* waits for db_conn_open */
	CONN_RESOLVING,  /* waits for db_target_connect */
	CONN_CONNECTING, /* waits for PQconnectPoll to say OK */
	CONN_OPEN,       /* waits for what the owner sends and the server answers */
	CONN_BROKEN,     /* a write failed: waits for the next turn to be lost */
	CONN_CLOSED,     /* waits for its handles to close */
};

struct db_conn;

struct db_conn_events { /* never called from within a db_conn_ function of the owner's */
	void (*open)(struct db_conn *conn);
	void (*input)(struct db_conn *conn);    /* PQconsumeInput was called */
	void (*writable)(struct db_conn *conn); /* while pushing: nothing is left to flush */
	void (*lost)(struct db_conn *conn, const struct err *err); /* or not opened; it is DOWN */
};

struct db_conn {
	uv_loop_t *loop;
	uv_timer_t timer; /* deadline of connecting; the turn of BROKEN */
	struct db_watch *watch;
	int watched; /* UV_READABLE | UV_WRITABLE, 0: none */
	PGconn *pg;
	enum db_conn_state state;
	bool pushing; /* the owner has more to send */
	struct call *target_call;
	struct db_target *target; /* borrowed */
	const struct db_conn_events *events;
	void (*closed)(struct db_conn *conn); /* last: the memory may go */
	const char *name;                     /* borrowed; in sentences */
	void *owner;
};

void db_conn_init(struct db_conn *conn, uv_loop_t *loop, struct db_target *target,
		  const struct db_conn_events *events, const char *name);
void db_conn_open(struct db_conn *conn);  /* DOWN only */
void db_conn_ready(struct db_conn *conn); /* ends the deadline of connecting */
bool db_conn_flush(struct db_conn *conn); /* after each send; false: something is left */
void db_conn_drop(struct db_conn *conn);  /* to DOWN, without an event */
void db_conn_close(struct db_conn *conn, void (*closed)(struct db_conn *conn)); /* at any time */

/* "database NAME: " and libpq's last sentence on one line, secrets masked. */
void db_conn_err(const struct db_conn *conn, enum err_kind kind, struct err *err);

/* ---- db_job.c: one job ---- */

enum db_op_kind { DB_OP_PREPARE, DB_OP_EXEC, DB_OP_SYNC };

struct db_op {              /* one thing that the server owes an answer for */
	struct db_job *job; /* NULL: a Sync */
	uint8_t kind;
	uint8_t statement;
};

struct db_job {
	struct call call;
	struct list_node node;
	struct list
		*on; /* the queue, a pipe's jobs or answered, or the list of those that failed */
	struct db *db;
	struct call *soon; /* failing at once, on the next turn */
	uint64_t deadline_ms;
	unsigned timeout_ms;
	struct err *err; /* set: how it ends */
	size_t n;
	struct db_statement *statements;
	bool alone; /* in no group: the one that it was in was refused */
	PGresult *results[DB_STATEMENTS_MAX];
	PGresult *failure; /* the first one */
	size_t failed_at;  /* its statement */
	db_done_fn done;   /* NULL: cancelled while in flight */
	void *data;
};

/* For a person: the first statement's name. */
static inline const char *db_job_name(const struct db_job *job)
{
	return job->statements != NULL && job->statements[0].name != NULL ? job->statements[0].name
									  : "setup";
}

struct db_job *db_job_create(const struct db_statement *statements, size_t n, db_done_fn done,
			     void *data);
void db_job_fail(struct db_job *job, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void db_job_again(struct db_job *job);  /* as before it was sent, to go alone */
void db_job_answer(struct db_job *job); /* calls done (unless cancelled) and frees */
void db_job_free(struct db_job *job);

/* The sentence and kind of what the server refused. */
void db_refusal(const PGresult *result, const char *statement, struct err *err);
bool db_is_fatal(const PGresult *result);
bool db_is_stale_plan(const PGresult *result);

/* ---- db_pipe.c: jobs through one connection ---- */

struct db_pipe;

struct db_pipe_events {
	void (*up)(struct db_pipe *pipe);
	void (*notify)(struct db_pipe *pipe, const char *payload, bool own);
	/* A group ended: the jobs of answered are the owner's.  Those of again were undone with one
	 * that the server refused, and are to be sent once more, each alone. */
	void (*done)(struct db_pipe *pipe, struct list *again);
	/* The jobs still on the list are the owner's, each with its err. */
	void (*down)(struct db_pipe *pipe, const struct err *err);
};

struct db_pipe {
	struct db_conn conn;
	struct list jobs;               /* the group in flight, in order: one transaction */
	struct list answered;           /* the group before it, as far as it was not told yet */
	struct db_op ops[DB_GROUP_OPS]; /* of the group in flight */
	size_t n_ops, at;
	bool refused; /* one of the group was */
	bool up;
	bool stale; /* takes no more jobs; replaced when the group is answered */
	unsigned empty_reads;
	const char *const *on_connect; /* borrowed */
	const char *names[DB_NAMES_MAX];
	size_t n_names;
	const struct db_pipe_events *events;
	struct db *db;
};

void db_pipe_init(struct db_pipe *pipe, struct db *db, uv_loop_t *loop, struct db_target *target,
		  const struct db_pipe_events *events);
void db_pipe_send(struct db_pipe *pipe, struct list *queue); /* up, without jobs: takes a group */
void db_pipe_drop(struct db_pipe *pipe, const struct err *err); /* to down, as if lost */

/* ---- db.c: the pool ---- */

struct db {
	uv_loop_t *loop;
	unsigned refs; /* itself, each connection, the timers */
	bool destroyed;
	char *name;
	struct db_target *target;
	char **on_connect;
	unsigned max_queued;
	char *listen;      /* the statement; NULL: none */
	char *notify;      /* the other one */
	bool notify_again; /* it was asked for while one was on its way */
	bool heard;        /* our own notification came back: the channel works */
	bool deaf;         /* it did not, and that was logged */
	void (*notice)(void *data, const char *payload);
	void *data;

	struct db_pipe *pipes; /* n, and one more to listen */
	unsigned n, n_all;
	struct list queue;
	struct list failing; /* off their connection, not yet told */
	bool telling;
	uv_prepare_t sending; /* at the end of the turn: what comes in one turn goes as a group */
	uv_timer_t deadline;  /* the earliest one, or earlier */
	uint64_t armed_ms;    /* 0: not armed */
	uv_timer_t retry;     /* the next try to connect */
	bool waiting;         /* retry runs */
	uv_timer_t alive;
	struct backoff backoff;
	struct db_stats stats;
	char last_error[ERR_MSG_MAX];
};

void db_ref(struct db *db);
void db_unref(struct db *db);

#endif
