/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.c - the pool: a queue, a few pipes, one to listen; deadlines and reconnecting.
 *
 * Deadlines share one timer, armed at the earliest one that may still be open: it costs a scan per
 * timeout, not a handle per job.  Connections are made one at a time, since each costs the loop
 * some milliseconds of TLS and password arithmetic.
 */
#include "net/db.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "db_internal.h"

enum { BACKOFF_BASE_MS = 100, BACKOFF_CAP_MS = 5000 };

void db_ref(struct db *db)
{
	db->refs++;
}

void db_unref(struct db *db)
{
	assert(db->refs > 0);
	if (--db->refs > 0)
		return;
	db_target_destroy(db->target);
	for (char **statement = db->on_connect; statement != NULL && *statement != NULL;
	     statement++)
		free(*statement);
	free(db->on_connect);
	free(db->pipes);
	free(db->listen);
	free(db->notify);
	free(db->name);
	free(db);
}

static bool is_listener(const struct db *db, const struct db_pipe *pipe)
{
	return pipe == &db->pipes[db->n];
}

static void refresh_stats(struct db *db)
{
	db->stats.queued = (unsigned)db->queue.count;
	db->stats.in_flight = 0;
	db->stats.up = 0;
	for (unsigned i = 0; i < db->n; i++) {
		db->stats.in_flight += (unsigned)db->pipes[i].jobs.count;
		db->stats.up += db->pipes[i].up ? 1 : 0;
	}
}

/* ---- jobs ---- */

static void arm(struct db *db, uint64_t deadline_ms);

static void count_end(struct db *db, const struct db_job *job)
{
	if (job->err == NULL)
		return;
	db->stats.failed++;
	if (job->err->kind == ERR_TIMEOUT)
		db->stats.timeouts++;
}

/* Tells the jobs that failed with their connection; any of them may destroy the db. */
static void tell(struct db *db)
{
	struct list_node *node;

	if (db->telling)
		return;
	db->telling = true;
	db_ref(db);
	while ((node = list_pop(&db->failing)) != NULL) {
		struct db_job *job = list_entry(node, struct db_job, node);

		job->on = NULL;
		count_end(db, job);
		db_job_answer(job);
	}
	db->telling = false;
	db_unref(db);
}

/* The first idle one: a few busy backends of the server keep their caches warm. */
static struct db_pipe *pick(struct db *db)
{
	for (unsigned i = 0; i < db->n; i++) {
		struct db_pipe *pipe = &db->pipes[i];

		if (pipe->up && !pipe->stale && pipe->conn.state == CONN_OPEN &&
		    pipe->jobs.count == 0)
			return pipe;
	}
	return NULL;
}

static void on_sending(uv_prepare_t *handle)
{
	struct db *db = handle->data;
	struct db_pipe *pipe;

	uv_prepare_stop(handle);
	while (db->queue.count > 0 && (pipe = pick(db)) != NULL)
		db_pipe_send(pipe, &db->queue);
	refresh_stats(db);
}

static void dispatch(struct db *db)
{
	if (db->queue.count > 0)
		uv_prepare_start(&db->sending, on_sending);
	refresh_stats(db);
}

static void on_soon(void *data)
{
	struct db_job *job = data;

	job->soon = NULL;
	list_remove(job->on, &job->node);
	job->on = NULL;
	count_end(job->db, job);
	db_job_answer(job);
}

static void fail_soon(struct db_job *job)
{
	list_push(&job->db->failing, &job->node);
	job->on = &job->db->failing;
	job->soon = call_defer(job->db->loop, on_soon, job);
}

/* In flight it goes on without us; its deadline still guards the connection. */
static void on_cancel(struct call *call)
{
	struct db_job *job = (struct db_job *)call;
	struct db *db = job->db;

	if (job->on == &db->queue || job->on == &db->failing) {
		list_remove(job->on, &job->node);
		db_job_free(job);
		refresh_stats(db);
	} else {
		job->done = NULL;
	}
}

struct call *db_start(struct db *db, const struct db_statement *statements, size_t n,
		      unsigned timeout_ms, db_done_fn done, void *data)
{
	struct db_job *job = db_job_create(statements, n, done, data);

	assert(!db->destroyed);
	job->call.cancel = on_cancel;
	job->db = db;
	job->timeout_ms = timeout_ms != 0 ? timeout_ms : DB_TIMEOUT_MS;
	job->deadline_ms = uv_now(db->loop) + job->timeout_ms;
	db->stats.jobs++;
	db->stats.statements += n;
	if (job->err == NULL && db->queue.count >= db->max_queued)
		db_job_fail(job, ERR_RETRY,
			    "database %s: %u requests are waiting already; try again shortly",
			    db->name, db->max_queued);
	if (job->err != NULL) {
		fail_soon(job);
		return &job->call;
	}
	list_push(&db->queue, &job->node);
	job->on = &db->queue;
	dispatch(db);
	arm(db, job->deadline_ms);
	return &job->call;
}

/* ---- deadlines ---- */

static void expire_queued(struct db *db, uint64_t now)
{
	struct list_node *next;

	for (struct list_node *node = list_first(&db->queue); node != NULL; node = next) {
		struct db_job *job = list_entry(node, struct db_job, node);

		next = list_next(&db->queue, node);
		if (job->deadline_ms > now)
			continue;
		list_remove(&db->queue, node);
		list_push(&db->failing, node);
		job->on = &db->failing;
		db_job_fail(job, ERR_TIMEOUT, "database %s: not sent within %u ms: %s", db->name,
			    job->timeout_ms, db_up(db) ? "it is too busy" : db->last_error);
	}
}

/* One late answer costs the connection: nothing behind it would come either. */
static void expire_pipe(struct db_pipe *pipe, uint64_t now)
{
	for (struct list_node *node = list_first(&pipe->jobs); node != NULL && pipe->up;
	     node = list_next(&pipe->jobs, node)) {
		struct db_job *job = list_entry(node, struct db_job, node);
		struct err err;

		if (job->deadline_ms > now)
			continue;
		err_set(&err, ERR_RETRY, "database %s: no answer within %u ms", pipe->conn.name,
			job->timeout_ms);
		db_pipe_drop(pipe, &err);
		return;
	}
}

static uint64_t earliest(const struct list *jobs, uint64_t best)
{
	for (struct list_node *node = list_first(jobs); node != NULL;
	     node = list_next(jobs, node)) {
		const struct db_job *job = list_entry(node, struct db_job, node);

		if (best == 0 || job->deadline_ms < best)
			best = job->deadline_ms;
	}
	return best;
}

static void on_deadline(uv_timer_t *timer)
{
	struct db *db = timer->data;
	uint64_t now = uv_now(db->loop);
	uint64_t next = 0;

	db->armed_ms = 0;
	db_ref(db);
	expire_queued(db, now);
	for (unsigned i = 0; i < db->n_all && !db->destroyed; i++)
		expire_pipe(&db->pipes[i], now);
	tell(db);
	if (!db->destroyed) {
		next = earliest(&db->queue, next);
		for (unsigned i = 0; i < db->n_all; i++)
			next = earliest(&db->pipes[i].jobs, next);
		if (next != 0)
			arm(db, next);
		refresh_stats(db);
	}
	db_unref(db);
}

static void arm(struct db *db, uint64_t deadline_ms)
{
	uint64_t now = uv_now(db->loop);

	if (db->armed_ms != 0 && db->armed_ms <= deadline_ms)
		return;
	db->armed_ms = deadline_ms;
	uv_timer_start(&db->deadline, on_deadline, deadline_ms > now ? deadline_ms - now : 0, 0);
}

/* ---- connections ---- */

static void connect_next(struct db *db)
{
	if (db->destroyed || db->waiting)
		return;
	for (unsigned i = 0; i < db->n_all; i++) {
		if (!db->pipes[i].up && db->pipes[i].conn.state != CONN_DOWN)
			return; /* one at a time */
	}
	for (unsigned i = 0; i < db->n_all; i++) {
		if (db->pipes[i].conn.state == CONN_DOWN) {
			db_conn_open(&db->pipes[i].conn);
			return;
		}
	}
}

static void on_retry(uv_timer_t *timer)
{
	struct db *db = timer->data;

	db->waiting = false;
	connect_next(db);
}

static void send_own(struct db_pipe *pipe, const char *sql, db_done_fn done)
{
	struct db_statement statement = { .sql = sql };
	struct db_job *job = db_job_create(&statement, 1, done, pipe);
	struct list queue;

	job->db = pipe->db;
	job->timeout_ms = DB_TIMEOUT_MS;
	job->deadline_ms = uv_now(pipe->db->loop) + DB_TIMEOUT_MS;
	list_init(&queue);
	list_push(&queue, &job->node);
	db_pipe_send(pipe, &queue);
	arm(pipe->db, job->deadline_ms);
}

/* ---- listening ---- */

static void on_notified(void *data, const struct db_answer *answer, const struct err *err);

static void send_notify(struct db *db)
{
	db->notify_again = false;
	db->stats.notified++;
	send_own(&db->pipes[db->n], db->notify, on_notified);
}

static void on_notified(void *data, const struct db_answer *answer, const struct err *err)
{
	struct db_pipe *pipe = data;

	(void)answer;
	if (err == NULL && pipe->db->notify_again && pipe->up && pipe->jobs.count == 0)
		send_notify(pipe->db);
}

void db_notify(struct db *db)
{
	struct db_pipe *pipe = &db->pipes[db->n];

	if (db->listen == NULL || !pipe->up)
		return;
	db->notify_again = true;
	if (pipe->jobs.count == 0)
		send_notify(db);
}

static void on_listening(void *data, const struct db_answer *answer, const struct err *err)
{
	struct db_pipe *pipe = data;

	(void)answer;
	if (err == NULL) {
		pipe->db->heard = false;
		pipe->db->notice(pipe->db->data, NULL);
		db_notify(pipe->db); /* to hear ourselves: see on_alive */
	} else if (pipe->up) {
		db_pipe_drop(pipe, err);
	}
}

static void on_alive_done(void *data, const struct db_answer *answer, const struct err *err)
{
	(void)data; /* its deadline is the point */
	(void)answer;
	(void)err;
}

static void on_alive(uv_timer_t *timer)
{
	struct db *db = timer->data;
	struct db_pipe *pipe = &db->pipes[db->n];

	if (pipe->up && !db->heard && !db->deaf)
		log_warn("notifications do not come; what is due is found by asking every second",
			 LOG_STR("database", db->name),
			 LOG_STR("hint", "a pooler in transaction mode drops LISTEN"));
	db->deaf = pipe->up && !db->heard;
	if (pipe->up && pipe->jobs.count == 0)
		send_own(pipe, "SELECT 1", on_alive_done);
}

static void on_up(struct db_pipe *pipe)
{
	struct db *db = pipe->db;

	backoff_reset(&db->backoff);
	db->last_error[0] = '\0';
	if (is_listener(db, pipe))
		send_own(pipe, db->listen, on_listening);
	else
		dispatch(db);
	refresh_stats(db);
	connect_next(db);
}

static void on_down(struct db_pipe *pipe, const struct err *err)
{
	struct db *db = pipe->db;
	struct list_node *node;

	db_ref(db);
	while ((node = list_pop(&pipe->jobs)) != NULL) {
		list_push(&db->failing, node);
		list_entry(node, struct db_job, node)->on = &db->failing;
	}
	db->stats.reconnects++;
	refresh_stats(db);
	(void)snprintf(db->last_error, sizeof(db->last_error), "%s", err->msg);
	if (!db->waiting) {
		db->waiting = true;
		uv_timer_start(&db->retry, on_retry, backoff_next(&db->backoff, 0), 0);
	}
	tell(db);
	if (!db->destroyed)
		dispatch(db);
	db_unref(db);
}

/* Puts the jobs of a refused group back where they were, before those that came later. */
static void put_back(struct db *db, struct list *again)
{
	struct list_node *node;

	while ((node = list_pop(&db->queue)) != NULL)
		list_push(again, node);
	while ((node = list_pop(again)) != NULL) {
		list_entry(node, struct db_job, node)->on = &db->queue;
		list_push(&db->queue, node);
	}
}

/* Any of the answered may destroy the db. */
static void on_done(struct db_pipe *pipe, struct list *again)
{
	struct db *db = pipe->db;
	struct list_node *node;

	db_ref(db);
	put_back(db, again);
	dispatch(db);
	while ((node = list_pop(&pipe->answered)) != NULL) {
		struct db_job *job = list_entry(node, struct db_job, node);

		job->on = NULL;
		if (!is_listener(db, pipe))
			count_end(db, job);
		db_job_answer(job);
	}
	db_unref(db);
}

static void on_notify(struct db_pipe *pipe, const char *payload, bool own)
{
	struct db *db = pipe->db;

	if (!is_listener(db, pipe))
		return;
	if (own) {
		db->heard = true;
		return;
	}
	db->stats.notices++;
	db->notice(db->data, payload);
}

static const struct db_pipe_events pipe_events = {
	.up = on_up,
	.notify = on_notify,
	.done = on_done,
	.down = on_down,
};

/* ---- life ---- */

static char **copy_list(const char *const *list)
{
	size_t n = 0;
	char **copy;

	while (list[n] != NULL)
		n++;
	assert(n <= DB_STATEMENTS_MAX);
	copy = xcalloc(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = xstrdup(list[i]);
	return copy;
}

static void add_timer(struct db *db, uv_timer_t *timer)
{
	uv_timer_init(db->loop, timer);
	timer->data = db;
	db_ref(db);
}

struct db *db_create(uv_loop_t *loop, const struct db_config *config)
{
	struct db *db = xcalloc(1, sizeof(*db));

	assert(config->connections >= 1 && config->connections <= DB_CONNECTIONS_MAX);
	assert(config->listen == NULL || config->notice != NULL);
	db->loop = loop;
	db->name = xstrdup(config->name);
	db->target = db_target_create(config->url, config->name);
	db->on_connect = config->on_connect != NULL ? copy_list(config->on_connect) : NULL;
	db->max_queued = config->max_queued != 0 ? config->max_queued : DB_QUEUED;
	db->listen = config->listen != NULL ? xasprintf("LISTEN %s", config->listen) : NULL;
	db->notify = config->listen != NULL
			     ? xasprintf("SELECT set_config('synchronous_commit', 'off', true), "
					 "pg_notify('%s', '')",
					 config->listen)
			     : NULL;
	db->notice = config->notice;
	db->data = config->data;
	db->n = config->connections;
	db->n_all = db->n + (db->listen != NULL ? 1 : 0);
	list_init(&db->queue);
	list_init(&db->failing);
	backoff_init(&db->backoff, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
	(void)snprintf(db->last_error, sizeof(db->last_error), "database %s: not connected yet",
		       db->name);
	add_timer(db, &db->deadline);
	add_timer(db, &db->retry);
	add_timer(db, &db->alive);
	uv_prepare_init(loop, &db->sending);
	db->sending.data = db;
	db_ref(db);
	db->pipes = xcalloc(db->n_all, sizeof(*db->pipes));
	for (unsigned i = 0; i < db->n_all; i++) {
		db_pipe_init(&db->pipes[i], db, loop, db->target, &pipe_events);
		db_ref(db);
	}
	if (db->listen != NULL)
		uv_timer_start(&db->alive, on_alive, DB_ALIVE_MS, DB_ALIVE_MS);
	connect_next(db);
	return db;
}

static void drop_jobs(struct list *jobs)
{
	struct list_node *node;

	while ((node = list_pop(jobs)) != NULL)
		db_job_free(list_entry(node, struct db_job, node));
}

static void on_conn_closed(struct db_conn *conn)
{
	db_unref(((struct db_pipe *)conn->owner)->db);
}

static void on_handle_closed(uv_handle_t *handle)
{
	db_unref(handle->data);
}

void db_destroy(struct db *db)
{
	if (db == NULL)
		return;

	uv_handle_t *handles[] = { (uv_handle_t *)&db->deadline, (uv_handle_t *)&db->retry,
				   (uv_handle_t *)&db->alive, (uv_handle_t *)&db->sending };

	assert(!db->destroyed);
	db->destroyed = true;
	drop_jobs(&db->queue);
	drop_jobs(&db->failing);
	for (unsigned i = 0; i < db->n_all; i++) {
		drop_jobs(&db->pipes[i].jobs);
		drop_jobs(&db->pipes[i].answered);
		db->pipes[i].up = false;
		db_conn_close(&db->pipes[i].conn, on_conn_closed);
	}
	for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
		uv_close(handles[i], on_handle_closed);
}

bool db_up(const struct db *db)
{
	for (unsigned i = 0; i < db->n; i++) {
		if (db->pipes[i].up)
			return true;
	}
	return false;
}

const char *db_last_error(const struct db *db)
{
	return db_up(db) ? "" : db->last_error;
}

const struct db_stats *db_stats(const struct db *db)
{
	return &db->stats;
}
