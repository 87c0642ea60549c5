/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_conn.c - one libpq connection on the loop: open, watch, flush, lose.
 *
 * While connecting, libpq may change its socket and keep its number, so the watcher is closed
 * before each PQconnectPoll and made anew after it.  It is always closed before PQfinish: libuv
 * aborts on a descriptor that is gone.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "db_internal.h"

struct db_watch {
	uv_poll_t poll;
	struct db_conn *conn; /* NULL: closing */
};

static const char *const state_names[] = {
	[CONN_DOWN] = "down", [CONN_RESOLVING] = "resolving", [CONN_CONNECTING] = "connecting",
	[CONN_OPEN] = "open", [CONN_BROKEN] = "broken",       [CONN_CLOSED] = "closed",
};

static void on_connect_event(uv_poll_t *poll, int status, int events);
static void on_event(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

/* The only place where the state changes. */
static void enter(struct db_conn *conn, enum db_conn_state state)
{
	log_debug("database connection", LOG_STR("database", conn->name),
		  LOG_STR("from", state_names[conn->state]), LOG_STR("to", state_names[state]));
	conn->state = state;
}

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void unwatch(struct db_conn *conn)
{
	struct db_watch *watch = conn->watch;

	if (watch == NULL)
		return;
	conn->watch = NULL;
	conn->watched = 0;
	watch->conn = NULL;
	uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static void watch_for(struct db_conn *conn, int events, uv_poll_cb fn)
{
	if (conn->watch != NULL && conn->watched == events)
		return;
	if (conn->watch == NULL) {
		struct db_watch *watch = xcalloc(1, sizeof(*watch));

		watch->conn = conn;
		watch->poll.data = watch;
		if (uv_poll_init(conn->loop, &watch->poll, PQsocket(conn->pg)) != 0)
			abort(); /* not a socket, or watched twice: our fault */
		conn->watch = watch;
	}
	conn->watched = events;
	uv_poll_start(&conn->watch->poll, events, fn);
}

void db_conn_err(const struct db_conn *conn, enum err_kind kind, struct err *err)
{
	const char *text = conn->pg != NULL ? PQerrorMessage(conn->pg) : "";
	char line[ERR_MSG_MAX];
	size_t len = 0;

	for (; *text != '\0' && len + 1 < sizeof(line); text++) {
		bool space = *text == '\n' || *text == '\t' || *text == ' ';

		if (!space)
			line[len++] = *text;
		else if (len > 0 && line[len - 1] != ' ')
			line[len++] = ' ';
	}
	while (len > 0 && line[len - 1] == ' ')
		len--;
	line[len] = '\0';
	err_set(err, kind, "database %s: %s", conn->name,
		len > 0 ? line : "the connection was lost");
	log_redact(err->msg);
}

static void on_notice(void *data, const PGresult *result)
{
	const struct db_conn *conn = data;
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	log_debug("database notice", LOG_STR("database", conn->name), LOG_STR("text", text));
}

static void finish_pg(struct db_conn *conn)
{
	call_cancel(&conn->target_call);
	unwatch(conn);
	if (conn->pg != NULL)
		PQfinish(conn->pg);
	conn->pg = NULL;
}

void db_conn_drop(struct db_conn *conn)
{
	assert(conn->state != CONN_CLOSED);
	uv_timer_stop(&conn->timer);
	finish_pg(conn);
	if (conn->state != CONN_DOWN)
		enter(conn, CONN_DOWN);
}

static void lose(struct db_conn *conn, const struct err *err)
{
	db_conn_drop(conn);
	conn->events->lost(conn, err);
}

static void lose_pg(struct db_conn *conn)
{
	struct err err;

	db_conn_err(conn, ERR_RETRY, &err);
	lose(conn, &err);
}

static void on_target(void *data, PGconn *pg, const struct err *err)
{
	struct db_conn *conn = data;

	conn->target_call = NULL;
	if (err != NULL) {
		struct err lost = *err;

		err_prefix(&lost, "database %s", conn->name);
		log_redact(lost.msg);
		lose(conn, &lost);
		return;
	}
	conn->pg = pg;
	PQsetNoticeReceiver(pg, on_notice, conn);
	if (PQstatus(pg) == CONNECTION_BAD || PQsocket(pg) < 0) {
		lose_pg(conn);
		return;
	}
	enter(conn, CONN_CONNECTING);
	watch_for(conn, UV_WRITABLE, on_connect_event);
}

static void on_connect_event(uv_poll_t *poll, int status, int events)
{
	struct db_conn *conn = ((struct db_watch *)poll->data)->conn;

	(void)status; /* libpq finds out by itself and has the better sentence */
	(void)events;
	if (conn == NULL)
		return;
	unwatch(conn);
	switch (PQconnectPoll(conn->pg)) {
	case PGRES_POLLING_READING:
		watch_for(conn, UV_READABLE, on_connect_event);
		return;
	case PGRES_POLLING_WRITING:
		watch_for(conn, UV_WRITABLE, on_connect_event);
		return;
	case PGRES_POLLING_OK:
		(void)PQsetnonblocking(conn->pg, 1);
		enter(conn, CONN_OPEN);
		watch_for(conn, UV_READABLE, on_event);
		conn->events->open(conn);
		return;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE: /* not used by libpq */
	default:
		lose_pg(conn);
	}
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct db_conn *conn = ((struct db_watch *)poll->data)->conn;
	bool alive = true;

	if (conn == NULL || conn->state != CONN_OPEN)
		return;
	if (status < 0 || (events & UV_READABLE) != 0) {
		PGconn *pg = conn->pg;

		alive = PQconsumeInput(pg) == 1;
		conn->events->input(conn);
		if (conn->state != CONN_OPEN || conn->pg != pg)
			return;
	}
	if (!alive || PQstatus(conn->pg) == CONNECTION_BAD) {
		lose_pg(conn);
		return;
	}
	if (db_conn_flush(conn) && conn->pushing)
		conn->events->writable(conn);
}

bool db_conn_flush(struct db_conn *conn)
{
	int left;

	if (conn->state != CONN_OPEN)
		return false;
	left = PQflush(conn->pg);
	if (left < 0) {
		/* Never an event from within the owner's own call: it comes on the next turn. */
		enter(conn, CONN_BROKEN);
		uv_timer_start(&conn->timer, on_timer, 0, 0);
		return false;
	}
	watch_for(conn, left == 0 && !conn->pushing ? UV_READABLE : UV_READABLE | UV_WRITABLE,
		  on_event);
	return left == 0;
}

static void on_timer(uv_timer_t *timer)
{
	struct db_conn *conn = timer->data;
	struct err err;

	if (conn->state == CONN_BROKEN) {
		PGconn *pg = conn->pg;

		/* What the server still said before it hung up. */
		(void)PQconsumeInput(pg);
		conn->events->input(conn);
		if (conn->state == CONN_BROKEN && conn->pg == pg)
			lose_pg(conn);
		return;
	}
	db_target_rotate(conn->target);
	err_set(&err, ERR_RETRY,
		"database %s: no connection within %d s; is the server reachable and awake?",
		conn->name, DB_CONNECT_MS / 1000);
	lose(conn, &err);
}

void db_conn_init(struct db_conn *conn, uv_loop_t *loop, struct db_target *target,
		  const struct db_conn_events *events, const char *name)
{
	conn->loop = loop;
	conn->target = target;
	conn->events = events;
	conn->name = name;
	conn->state = CONN_DOWN;
	uv_timer_init(loop, &conn->timer);
	conn->timer.data = conn;
}

void db_conn_open(struct db_conn *conn)
{
	assert(conn->state == CONN_DOWN);
	enter(conn, CONN_RESOLVING);
	uv_timer_start(&conn->timer, on_timer, DB_CONNECT_MS, 0);
	conn->target_call = db_target_connect(conn->loop, conn->target, on_target, conn);
}

void db_conn_ready(struct db_conn *conn)
{
	if (conn->state == CONN_OPEN)
		uv_timer_stop(&conn->timer);
}

static void on_closed(uv_handle_t *timer)
{
	struct db_conn *conn = timer->data;

	conn->closed(conn);
}

void db_conn_close(struct db_conn *conn, void (*closed)(struct db_conn *conn))
{
	assert(conn->state != CONN_CLOSED);
	finish_pg(conn);
	enter(conn, CONN_CLOSED);
	conn->closed = closed;
	uv_close((uv_handle_t *)&conn->timer, on_closed);
}
