/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_pipe.c - groups of jobs through one connection in pipeline mode, one group at a time.
 *
 * A group is sent as [Parse … Sync] for statements that are new to the connection, then the
 * statements of all its jobs and one Sync: one implicit transaction, one commit, and one flush of
 * the server for all of them.  The server answers in that order: each command gives its results and
 * a NULL, each Sync one result without a NULL; pipe->ops is the list of what is owed.  Parse has a
 * Sync of its own, so that a failing job never takes a prepared name with it.
 *
 * A refused job undoes its whole group; its jobs are then sent once more, each alone, so that only
 * the one whose fault it is fails.
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

static void owe(struct db_pipe *pipe, enum db_op_kind kind, struct db_job *job, size_t statement)
{
	assert(pipe->n_ops < DB_GROUP_OPS);
	pipe->ops[pipe->n_ops++] = (struct db_op){ job, (uint8_t)kind, (uint8_t)statement };
}

static bool send_sync(struct db_pipe *pipe)
{
	owe(pipe, DB_OP_SYNC, NULL, 0);
	return PQpipelineSync(pipe->conn.pg) == 1;
}

static bool send_prepares(struct db_pipe *pipe, struct db_job *job)
{
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
		good = PQsendPrepare(pipe->conn.pg, statement->name, statement->sql, 0, NULL) == 1;
		owe(pipe, DB_OP_PREPARE, job, i);
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

/* Moves the next group from the queue to the pipe: what fits into one, in order. */
static void take_group(struct db_pipe *pipe, struct list *queue)
{
	size_t ops = 2; /* the two Syncs */

	while (list_first(queue) != NULL && pipe->jobs.count < DB_GROUP_JOBS) {
		struct db_job *job = list_entry(list_first(queue), struct db_job, node);

		ops += 2 * job->n;
		if (pipe->jobs.count > 0 && (job->alone || ops > DB_GROUP_OPS))
			return;
		list_remove(queue, &job->node);
		list_push(&pipe->jobs, &job->node);
		job->on = &pipe->jobs;
		if (job->alone)
			return;
	}
}

static bool send_job(struct db_pipe *pipe, struct db_job *job)
{
	bool good = true;

	if (FAILPOINT_ERROR("db.send %s", db_job_name(job))) /* it does not get there */
		(void)shutdown(PQsocket(pipe->conn.pg), SHUT_RDWR);
	for (size_t i = 0; i < job->n && good; i++) {
		good = send_statement(pipe->conn.pg, &job->statements[i]);
		owe(pipe, DB_OP_EXEC, job, i);
	}
	return good;
}

/* What a test asks for: the answers of this group are lost. */
static void lose_answers(struct db_pipe *pipe)
{
	struct list_node *node;

	for (node = list_first(&pipe->jobs); node != NULL; node = list_next(&pipe->jobs, node)) {
		if (FAILPOINT_ERROR("db.sent %s",
				    db_job_name(list_entry(node, struct db_job, node))))
			(void)shutdown(PQsocket(pipe->conn.pg), SHUT_RD);
	}
}

void db_pipe_send(struct db_pipe *pipe, struct list *queue)
{
	struct list_node *node;
	bool good = true;

	assert(pipe->jobs.count == 0);
	pipe->n_ops = pipe->at = 0;
	pipe->refused = false;
	take_group(pipe, queue);
	for (node = list_first(&pipe->jobs); node != NULL && good;
	     node = list_next(&pipe->jobs, node))
		good = send_prepares(pipe, list_entry(node, struct db_job, node));
	if (pipe->n_ops > 0 && good)
		good = send_sync(pipe);
	for (node = list_first(&pipe->jobs); node != NULL && good;
	     node = list_next(&pipe->jobs, node))
		good = send_job(pipe, list_entry(node, struct db_job, node));
	/* A failed send leaves the connection unusable: the flush finds that out and it is lost. */
	if (good)
		(void)send_sync(pipe);
	(void)db_conn_flush(&pipe->conn);
	lose_answers(pipe);
}

/* Keeps the first failure; a Parse that failed is not prepared. */
static void take_failure(struct db_pipe *pipe, const struct db_op *op, PGresult *result)
{
	bool commit = op->kind == DB_OP_SYNC; /* then it may be any job's fault */
	struct db_job *job =
		commit ? list_entry(list_first(&pipe->jobs), struct db_job, node) : op->job;
	size_t at = commit ? job->n - 1 : op->statement;

	if (op->kind == DB_OP_PREPARE)
		forget(pipe, job->statements[at].name);
	/* The server's last word at the commit does not say whether it was before or after it. */
	if (pipe->refused || PQresultStatus(result) == PGRES_PIPELINE_ABORTED ||
	    (commit && db_is_fatal(result))) {
		PQclear(result);
		return;
	}
	pipe->refused = true;
	if (db_is_stale_plan(result))
		pipe->stale = true;
	job->failure = result;
	job->failed_at = at;
	job->err = xcalloc(1, sizeof(*job->err));
	db_refusal(result, job->statements[at].name, job->err);
}

static void lose(struct db_pipe *pipe, PGresult *result)
{
	struct err err;

	PQclear(result);
	db_conn_err(&pipe->conn, ERR_UNCERTAIN, &err);
	db_pipe_drop(pipe, &err);
}

static void take_result(struct db_pipe *pipe, const struct db_op *op, PGresult *result)
{
	struct db_job *job = op->job;

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
		take_failure(pipe, op, result);
		return;
	case PGRES_PIPELINE_ABORTED:
		take_failure(pipe, op, result);
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

/* The last Sync was answered: the transaction is committed, or one refused it for all. */
static void end_group(struct db_pipe *pipe)
{
	bool undone = pipe->refused && pipe->jobs.count > 1;
	struct list again;
	struct list_node *node;

	list_init(&again);
	while ((node = list_pop(&pipe->jobs)) != NULL) {
		struct db_job *job = list_entry(node, struct db_job, node);

		if (undone && job->done == NULL) { /* nobody wants it any more */
			db_job_free(job);
			continue;
		}
		if (undone)
			db_job_again(job);
		job->on = undone ? NULL : &pipe->answered;
		list_push(undone ? &again : &pipe->answered, node);
	}
	if (pipe->up)
		pipe->events->done(pipe, &again);
	else /* on_first_done */
		db_job_answer(list_entry(list_pop(&pipe->answered), struct db_job, node));
}

/* One step of the answers; false: no more for now. */
static bool read_one(struct db_pipe *pipe)
{
	const struct db_op *op = &pipe->ops[pipe->at];
	PGresult *result;

	if (PQisBusy(pipe->conn.pg))
		return false;
	result = PQgetResult(pipe->conn.pg);
	if (result == NULL) {
		if (op->kind == DB_OP_SYNC)
			return ++pipe->empty_reads < EMPTY_READS_MAX;
		pipe->at++;
		return true;
	}
	pipe->empty_reads = 0;
	if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
		take_result(pipe, op, result);
		return true;
	}
	PQclear(result);
	assert(op->kind == DB_OP_SYNC);
	if (++pipe->at == pipe->n_ops)
		end_group(pipe);
	return true;
}

static void read_notices(struct db_pipe *pipe)
{
	PGconn *pg = pipe->conn.pg;

	while (pipe->conn.pg == pg && pg != NULL) {
		PGnotify *notify = PQnotifies(pg);

		if (notify == NULL)
			return;
		pipe->events->notify(pipe, notify->extra, notify->be_pid == PQbackendPID(pg));
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
	struct list queue;
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
	list_init(&queue);
	list_push(&queue, &job->node);
	db_pipe_send(pipe, &queue);
}

/*
 * How each job in flight ends when the connection does.  A refusal undoes its group, and so does
 * the server's last word in the middle of it.
 */
static void fail_jobs(struct db_pipe *pipe, const struct err *err)
{
	for (struct list_node *node = list_first(&pipe->jobs); node != NULL;
	     node = list_next(&pipe->jobs, node)) {
		struct db_job *job = list_entry(node, struct db_job, node);

		if (job->failure != NULL)
			continue; /* why is known */
		if (pipe->refused)
			db_job_fail(job, ERR_RETRY, "%s; it was undone with another", err->msg);
		else
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
	list_init(&pipe->answered);
}
