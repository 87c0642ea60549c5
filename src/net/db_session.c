/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_session.c - one connection for sequential work: statements, scripts, COPY; one call at a time.
 *
 * A connection of its own, not of the pool, without pipeline mode.  Once it is lost it stays lost:
 * what was not committed is gone, and each later call says so.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "db_internal.h"

enum {
	PUSH_TURN = 256 << 10, /* bytes of COPY per turn of the loop */
	SCRIPT_MAX = 1 << 20,
};

enum step_kind { STEP_OPEN, STEP_RUN, STEP_SCRIPT, STEP_COPY };

struct step { /* the call in flight */
	struct call call;
	struct db_session *session;
	enum step_kind kind;
	const char *name; /* static or NULL; in sentences */
	struct call *soon;
	struct err *err;
	PGresult *result, *failure;
	bool (*next)(void *data, const char **ret_text, size_t *ret_len);
	union {
		db_session_fn opened;
		db_done_fn run;
		call_done_fn plain;
	} done;
	void *data;
};

struct db_session {
	struct db_conn conn;
	uv_timer_t deadline;
	unsigned handles;
	unsigned timeout_ms;
	struct db *db;
	struct step *step;
	bool closed;
	struct err gone; /* kind ERR_NONE while usable */
};

static void step_free(struct step *step)
{
	call_cancel(&step->soon);
	PQclear(step->result);
	PQclear(step->failure);
	free(step->err);
	free(step);
}

static void on_closed(struct db_session *session)
{
	if (--session->handles > 0)
		return;
	db_unref(session->db);
	free(session);
}

static void on_conn_closed(struct db_conn *conn)
{
	on_closed(conn->owner);
}

static void on_timer_closed(uv_handle_t *timer)
{
	on_closed(timer->data);
}

void db_session_close(struct db_session *session)
{
	if (session == NULL)
		return;
	assert(!session->closed);
	session->closed = true;
	if (session->step != NULL)
		step_free(session->step);
	session->step = NULL;
	db_conn_close(&session->conn, on_conn_closed);
	uv_close((uv_handle_t *)&session->deadline, on_timer_closed);
}

static void tell_run(struct step *step, const struct err *err)
{
	const struct db_result *view[1] = { (const struct db_result *)step->result };
	struct db_answer answer = { .n = 1, .results = view };
	const char *sqlstate = NULL;

	if (step->failure != NULL) {
		view[0] = NULL;
		sqlstate = PQresultErrorField(step->failure, PG_DIAG_SQLSTATE);
	}
	if (sqlstate != NULL)
		(void)snprintf(answer.sqlstate, sizeof(answer.sqlstate), "%s", sqlstate);
	step->done.run(step->data, &answer, err);
}

/* The end of every step.  The next one may be started, or the session closed, within done. */
static void finish(struct db_session *session)
{
	struct step *step = session->step;
	const struct err *err = step->err;

	session->step = NULL;
	session->conn.pushing = false;
	uv_timer_stop(&session->deadline);
	switch (step->kind) {
	case STEP_OPEN:
		if (err != NULL)
			db_session_close(session);
		step->done.opened(step->data, err == NULL ? session : NULL, err);
		break;
	case STEP_RUN:
		tell_run(step, err);
		break;
	case STEP_SCRIPT:
	case STEP_COPY:
		step->done.plain(step->data, err);
		break;
	}
	step_free(step);
}

static void fail(struct step *step, enum err_kind kind, const char *text)
{
	if (step->err == NULL)
		step->err = xcalloc(1, sizeof(*step->err));
	err_set(step->err, kind, "%s", text);
}

static void lost(struct db_session *session, const struct err *err)
{
	struct step *step = session->step;

	session->gone = *err;
	session->gone.kind = ERR_RETRY;
	err_prefix(&session->gone, "the session was lost earlier, with all that was not committed");
	if (step == NULL)
		return;
	if (step->kind == STEP_OPEN && step->failure == NULL)
		fail(step, err->kind, err->msg);
	else if (step->failure == NULL)
		fail(step, ERR_UNCERTAIN, err->msg);
	finish(session);
}

static void on_lost(struct db_conn *conn, const struct err *err)
{
	lost(conn->owner, err);
}

static void on_deadline(uv_timer_t *timer)
{
	struct db_session *session = timer->data;
	struct err err;

	err_set(&err, ERR_RETRY, "database %s: no answer within %u ms", session->db->name,
		session->timeout_ms);
	db_conn_drop(&session->conn);
	lost(session, &err);
}

/* Sends more of a COPY: a share per turn, and only when the last share has left. */
static void push(struct db_conn *conn)
{
	struct db_session *session = conn->owner;
	struct step *step = session->step;
	size_t sent = 0;

	while (sent < PUSH_TURN) {
		const char *text;
		size_t len;

		if (!step->next(step->data, &text, &len)) {
			conn->pushing = false;
			(void)PQputCopyEnd(conn->pg, NULL);
			break;
		}
		if (len > 0)
			(void)PQputCopyData(conn->pg, text, (int)len);
		sent += len + 1;
	}
	(void)db_conn_flush(conn);
}

static void take(struct db_session *session, PGresult *result)
{
	struct step *step = session->step;

	switch (PQresultStatus(result)) {
	case PGRES_COPY_IN:
		PQclear(result);
		if (step->kind == STEP_COPY) {
			session->conn.pushing = true;
			push(&session->conn);
		} else {
			(void)PQputCopyEnd(session->conn.pg, "not expected here");
			(void)db_conn_flush(&session->conn);
		}
		return;
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
	case PGRES_EMPTY_QUERY:
		if (step->kind == STEP_RUN && step->result == NULL)
			step->result = result;
		else
			PQclear(result);
		return;
	default:
		if (step->failure != NULL) {
			PQclear(result);
			return;
		}
		step->failure = result;
		step->err = xcalloc(1, sizeof(*step->err));
		db_refusal(result, step->name, step->err);
	}
}

static void on_input(struct db_conn *conn)
{
	struct db_session *session = conn->owner;
	PGconn *pg = conn->pg;

	while (conn->pg == pg && session->step != NULL && !conn->pushing && !PQisBusy(pg)) {
		PGresult *result = PQgetResult(pg);

		if (result == NULL)
			finish(session);
		else
			take(session, result);
		if (session->step == NULL)
			return; /* PQgetResult has no more */
	}
}

/* The pool's first statements, as one script; then the session is the caller's. */
static void on_open(struct db_conn *conn)
{
	struct db_session *session = conn->owner;
	struct buf script;

	db_conn_ready(conn);
	if (session->db->on_connect == NULL || session->db->on_connect[0] == NULL) {
		finish(session);
		return;
	}
	buf_init(&script, SCRIPT_MAX);
	for (char **sql = session->db->on_connect; *sql != NULL; sql++)
		(void)buf_printf(&script, "%s;", *sql);
	(void)PQsendQuery(conn->pg, buf_text(&script));
	buf_finish(&script);
	(void)db_conn_flush(conn);
}

static void on_writable(struct db_conn *conn)
{
	push(conn);
	if (!conn->pushing && conn->state == CONN_OPEN)
		on_input(conn); /* an early refusal lies in libpq's buffer already */
}

static const struct db_conn_events conn_events = {
	.open = on_open,
	.input = on_input,
	.writable = on_writable,
	.lost = on_lost,
};

/* A cancelled step leaves the connection in the middle of something: it is given up. */
static void on_cancel(struct call *call)
{
	struct step *step = (struct step *)call;
	struct db_session *session = step->session;

	session->step = NULL;
	uv_timer_stop(&session->deadline);
	if (step->kind == STEP_OPEN) {
		db_session_close(session);
	} else if (session->gone.kind == ERR_NONE) {
		session->conn.pushing = false;
		db_conn_drop(&session->conn);
		err_set(&session->gone, ERR_RETRY,
			"the session was given up in the middle of a statement");
	}
	step_free(step);
}

static void on_soon(void *data)
{
	struct step *step = data;

	step->soon = NULL;
	finish(step->session);
}

static struct step *begin(struct db_session *session, enum step_kind kind, unsigned timeout_ms,
			  void *data)
{
	struct step *step = xcalloc(1, sizeof(*step));

	assert(!session->closed && session->step == NULL); /* one at a time */
	step->call.cancel = on_cancel;
	step->session = session;
	step->kind = kind;
	step->data = data;
	session->step = step;
	session->timeout_ms = timeout_ms != 0 ? timeout_ms : DB_TIMEOUT_MS;
	uv_timer_start(&session->deadline, on_deadline, session->timeout_ms, 0);
	if (session->gone.kind != ERR_NONE) {
		uv_timer_stop(&session->deadline);
		fail(step, ERR_RETRY, session->gone.msg);
		step->soon = call_defer(session->db->loop, on_soon, step);
	}
	return step;
}

struct call *db_session_open(struct db *db, unsigned timeout_ms, db_session_fn done, void *data)
{
	struct db_session *session = xcalloc(1, sizeof(*session));
	struct step *step;

	assert(!db->destroyed);
	session->db = db;
	db_ref(db);
	session->handles = 2;
	uv_timer_init(db->loop, &session->deadline);
	session->deadline.data = session;
	db_conn_init(&session->conn, db->loop, db->target, &conn_events, db->name);
	session->conn.owner = session;
	step = begin(session, STEP_OPEN, timeout_ms, data);
	step->done.opened = done;
	db_conn_open(&session->conn);
	return &step->call;
}

struct call *db_session_run(struct db_session *session, const struct db_statement *statement,
			    unsigned timeout_ms, db_done_fn done, void *data)
{
	struct step *step = begin(session, STEP_RUN, timeout_ms, data);

	assert(statement->n <= DB_PARAMS_MAX);
	step->name = statement->name;
	step->done.run = done;
	if (step->soon == NULL) {
		(void)PQsendQueryParams(session->conn.pg, statement->sql, (int)statement->n, NULL,
					statement->params, NULL, NULL, 0);
		(void)db_conn_flush(&session->conn);
	}
	return &step->call;
}

struct call *db_session_script(struct db_session *session, const char *sql, unsigned timeout_ms,
			       call_done_fn done, void *data)
{
	struct step *step = begin(session, STEP_SCRIPT, timeout_ms, data);

	step->name = "script";
	step->done.plain = done;
	if (step->soon == NULL) {
		(void)PQsendQuery(session->conn.pg, sql);
		(void)db_conn_flush(&session->conn);
	}
	return &step->call;
}

struct call *db_session_copy(struct db_session *session, const char *copy_sql,
			     bool (*next)(void *data, const char **ret_text, size_t *ret_len),
			     unsigned timeout_ms, call_done_fn done, void *data)
{
	struct step *step = begin(session, STEP_COPY, timeout_ms, data);

	step->name = "copy";
	step->done.plain = done;
	step->next = next;
	if (step->soon == NULL) {
		(void)PQsendQuery(session->conn.pg, copy_sql);
		(void)db_conn_flush(&session->conn);
	}
	return &step->call;
}
