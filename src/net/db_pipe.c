/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_pipe.c - jobs through one connection in pipeline mode.
 *
 * A job is sent as [Parse … Sync] for statements that are new to the connection, then its
 * statements and one Sync.  The server answers in that order: each command gives its results and
 * a NULL, each Sync one result without a NULL; job->ops is the list of what is owed.  Parse has a
 * Sync of its own, so that a failing job never takes a prepared name with it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "db_internal.h"

enum { EMPTY_READS_MAX = 3 };

static bool is_prepared(const struct db_pipe *pipe, const char *name)
{
	for (size_t i = 0; i < pipe->n_names; i++) {
		if (pipe->names[i] == name || str_eq(pipe->names[i], name))
			return true;
	}
	return false;
}

static void forget(struct db_pipe *pipe, const char *name)
{
	for (size_t i = 0; i < pipe->n_names; i++) {
		if (str_eq(pipe->names[i], name)) {
			pipe->names[i] = pipe->names[--pipe->n_names];
			return;
		}
	}
}

static void owe(struct db_job *job, enum db_op_kind kind, size_t statement)
{
	assert(job->n_ops < sizeof(job->ops) / sizeof(job->ops[0]));
	job->ops[job->n_ops++] = (struct db_op){ (uint8_t)kind, (uint8_t)statement };
}

static bool send_prepares(struct db_pipe *pipe, struct db_job *job)
{
	PGconn *pg = pipe->conn.pg;
	bool good = true;

	for (size_t i = 0; i < job->n && good; i++) {
		struct db_statement *statement = &job->statements[i];

		if (statement->name == NULL || is_prepared(pipe, statement->name))
			continue;
		if (pipe->n_names == DB_NAMES_MAX) {
			statement->name = NULL;
			continue;
		}
		pipe->names[pipe->n_names++] = statement->name;
		good = PQsendPrepare(pg, statement->name, statement->sql, 0, NULL) == 1;
		owe(job, DB_OP_PREPARE, i);
	}
	if (job->n_ops > 0) {
		good = good && PQpipelineSync(pg) == 1;
		owe(job, DB_OP_SYNC, 0);
	}
	return good;
}

static bool send_statement(PGconn *pg, const struct db_statement *statement)
{
	int n = (int)statement->n;

	if (statement->name != NULL)
		return PQsendQueryPrepared(pg, statement->name, n, statement->params, NULL, NULL,
					   0) == 1;
	return PQsendQueryParams(pg, statement->sql, n, NULL, statement->params, NULL, NULL, 0) ==
	       1;
}

void db_pipe_send(struct db_pipe *pipe, struct db_job *job)
{
	PGconn *pg = pipe->conn.pg;
	bool good;

	FAILPOINT("db.send %s", db_job_name(job));
	list_push(&pipe->jobs, &job->node);
	job->on = &pipe->jobs;
	good = send_prepares(pipe, job);
	for (size_t i = 0; i < job->n && good; i++) {
		good = send_statement(pg, &job->statements[i]);
		owe(job, DB_OP_EXEC, i);
	}
	owe(job, DB_OP_SYNC, job->n - 1);
	/* A failed send leaves the connection unusable: the flush finds that out and it is lost. */
	if (good)
		good = PQpipelineSync(pg) == 1;
	(void)db_conn_flush(&pipe->conn);
	if (FAILPOINT_ERROR("db.sent %s", db_job_name(job)))
		(void)shutdown(PQsocket(pg), SHUT_RD); /* its answer is lost */
}

/* Keeps the first failure; a Parse that failed is not prepared. */
static void take_failure(struct db_pipe *pipe, struct db_job *job, const struct db_op *op,
			 PGresult *result)
{
	const struct db_statement *statement = &job->statements[op->statement];

	if (op->kind == DB_OP_PREPARE)
		forget(pipe, statement->name);
	if (job->failure != NULL || PQresultStatus(result) == PGRES_PIPELINE_ABORTED) {
		PQclear(result);
		return;
	}
	if (db_is_stale_plan(result))
		pipe->stale = true;
	/* With no answer to its Sync it is not known whether a commit came before. */
	job->fatal = db_is_fatal(result) && op->kind != DB_OP_SYNC;
	job->failure = result;
	job->failed_at = op->statement;
	if (job->err == NULL)
		job->err = xcalloc(1, sizeof(*job->err));
	db_refusal(result, statement->name, job->err);
}

static void lose(struct db_pipe *pipe, PGresult *result)
{
	struct err err;

	PQclear(result);
	db_conn_err(&pipe->conn, ERR_UNCERTAIN, &err);
	db_pipe_drop(pipe, &err);
}

static void take_result(struct db_pipe *pipe, struct db_job *job, const struct db_op *op,
			PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
	case PGRES_EMPTY_QUERY:
		if (op->kind == DB_OP_EXEC && job->results[op->statement] == NULL)
			job->results[op->statement] = result;
		else
			PQclear(result);
		return;
	case PGRES_FATAL_ERROR:
		/* Without a code it is not the server's answer: libpq has lost the connection. */
		if (PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL) {
			lose(pipe, result);
			return;
		}
		take_failure(pipe, job, op, result);
		return;
	case PGRES_PIPELINE_ABORTED:
		take_failure(pipe, job, op, result);
		return;
	default: { /* COPY and what else is no statement of a job */
		struct err err;

		PQclear(result);
		err_set(&err, ERR_RETRY, "database %s: a statement of an unexpected kind",
			pipe->conn.name);
		db_pipe_drop(pipe, &err);
	}
	}
}

/* One step of the answers; false: no more for now. */
static bool read_one(struct db_pipe *pipe)
{
	struct db_job *job = list_entry(list_first(&pipe->jobs), struct db_job, node);
	const struct db_op *op = &job->ops[job->at];
	PGresult *result;

	if (PQisBusy(pipe->conn.pg))
		return false;
	result = PQgetResult(pipe->conn.pg);
	if (result == NULL) {
		if (op->kind == DB_OP_SYNC)
			return ++pipe->empty_reads < EMPTY_READS_MAX;
		job->at++;
		return true;
	}
	pipe->empty_reads = 0;
	if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
		take_result(pipe, job, op, result);
		return true;
	}
	PQclear(result);
	assert(op->kind == DB_OP_SYNC);
	if (++job->at < job->n_ops)
		return true;
	list_remove(&pipe->jobs, &job->node);
	job->on = NULL;
	if (pipe->up)
		pipe->events->done(pipe, job);
	else
		db_job_answer(job); /* on_first_done */
	return true;
}

static void read_notices(struct db_pipe *pipe)
{
	PGconn *pg = pipe->conn.pg;

	while (pipe->conn.pg == pg && pg != NULL) {
		PGnotify *notify = PQnotifies(pg);

		if (notify == NULL)
			return;
		pipe->events->notify(pipe, notify->extra);
		PQfreemem(notify);
	}
}

static void on_input(struct db_conn *conn)
{
	struct db_pipe *pipe = conn->owner;
	PGconn *pg = conn->pg;

	pipe->empty_reads = 0;
	while (conn->pg == pg && list_first(&pipe->jobs) != NULL && read_one(pipe))
		;
	if (conn->pg != pg)
		return;
	(void)PQisBusy(
		pg); /* parses what came without a job: a notification, the server's good-bye */
	read_notices(pipe);
	if (conn->pg == pg && pipe->stale && pipe->jobs.count == 0) {
		struct err err;

		err_set(&err, ERR_RETRY, "database %s: prepared statements are out of date",
			conn->name);
		db_pipe_drop(pipe, &err);
	}
}

static void become_up(struct db_pipe *pipe)
{
	db_conn_ready(&pipe->conn);
	pipe->up = true;
	pipe->events->up(pipe);
}

/* The first statements of a connection; a refusal means that it cannot be used. */
static void on_first_done(void *data, const struct db_answer *answer, const struct err *err)
{
	struct db_pipe *pipe = data;
	struct err lost;

	(void)answer;
	if (err == NULL) {
		become_up(pipe);
		return;
	}
	lost = *err;
	err_prefix(&lost, "database %s: on connecting", pipe->conn.name);
	db_pipe_drop(pipe, &lost);
}

static void on_open(struct db_conn *conn)
{
	struct db_pipe *pipe = conn->owner;
	struct db_statement first[DB_STATEMENTS_MAX];
	struct db_job *job;
	size_t n = 0;

	if (PQenterPipelineMode(conn->pg) != 1)
		abort(); /* only refused when not idle */
	while (pipe->on_connect[n] != NULL) {
		assert(n < DB_STATEMENTS_MAX);
		first[n] = (struct db_statement){ .sql = pipe->on_connect[n] };
		n++;
	}
	if (n == 0) {
		become_up(pipe);
		return;
	}
	job = db_job_create(first, n, on_first_done, pipe);
	job->db = pipe->db;
	job->timeout_ms = DB_CONNECT_MS;
	job->deadline_ms = uv_now(conn->loop) + DB_CONNECT_MS;
	db_pipe_send(pipe, job);
}

/* How each job in flight ends when the connection does. */
static void fail_jobs(struct db_pipe *pipe, const struct err *err)
{
	bool unbegun = false; /* those behind one that was refused with the server's last word */

	for (struct list_node *node = list_first(&pipe->jobs); node != NULL;
	     node = list_next(&pipe->jobs, node)) {
		struct db_job *job = list_entry(node, struct db_job, node);
		bool refused = job->failure != NULL && !db_is_fatal(job->failure);

		if (job->fatal)
			unbegun = true;
		else if (unbegun)
			db_job_fail(job, ERR_RETRY, "%s; it had not begun", err->msg);
		else if (!refused)
			db_job_fail(job, ERR_UNCERTAIN, "%s; whether it was done is not known",
				    err->msg);
	}
}

static void go_down(struct db_pipe *pipe, const struct err *err)
{
	if (pipe->up) {
		fail_jobs(pipe, err);
	} else { /* on_first_done's; the owner hears of it by down */
		for (struct list_node *node; (node = list_pop(&pipe->jobs)) != NULL;)
			db_job_free(list_entry(node, struct db_job, node));
	}
	pipe->up = false;
	pipe->stale = false;
	pipe->n_names = 0;
	pipe->events->down(pipe, err);
}

static void on_lost(struct db_conn *conn, const struct err *err)
{
	go_down(conn->owner, err);
}

void db_pipe_drop(struct db_pipe *pipe, const struct err *err)
{
	struct err copy = *err; /* it may be a job's, which ends now */

	db_conn_drop(&pipe->conn);
	go_down(pipe, &copy);
}

static const struct db_conn_events conn_events = {
	.open = on_open,
	.input = on_input,
	.lost = on_lost,
};

void db_pipe_init(struct db_pipe *pipe, struct db *db, uv_loop_t *loop, struct db_target *target,
		  const struct db_pipe_events *events)
{
	static const char *const none[] = { NULL };

	db_conn_init(&pipe->conn, loop, target, &conn_events, db->name);
	pipe->conn.owner = pipe;
	pipe->db = db;
	pipe->events = events;
	pipe->on_connect = db->on_connect != NULL ? (const char *const *)db->on_connect : none;
	list_init(&pipe->jobs);
}
